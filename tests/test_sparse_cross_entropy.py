"""The cross entropy of labels that are whole numbers: TensorFlow 1's sparse one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import mpmath
import numpy as np
import pytest

import symflow as sf
from symflow.testing import assert_valid

LOGITS = np.array([[0.5, -1.0, 2.0], [800.0, 0.0, -800.0], [1e3, 1e3, -1e3], [0.0, 0.0, 0.0]])
MODEL = """\
import symflow as sf
x = sf.placeholder(shape=("n", 3), name="x")
y = sf.placeholder(sf.int64, ("n",), name="y")
w = sf.Variable([[0.1, 0.2, -0.3], [0.5, 0.0, 0.1], [-0.2, 0.3, 0.4]])
loss = sf.reduce_mean(sf.nn.sparse_softmax_cross_entropy_with_logits(labels=y, logits=x @ w))
"""


def entropy(labels: Any, logits: Any) -> Any:
    return sf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=logits)


def evaluated(labels: Any, logits: np.ndarray[Any, Any]) -> Any:
    y = sf.placeholder(sf.int64, np.shape(labels))
    z = sf.placeholder(sf.float64, logits.shape)
    loss = entropy(y, z)
    return sf.Session().run([loss, *sf.gradients(sf.reduce_sum(loss), [z])], {y: labels, z: logits})


@pytest.mark.parametrize("labels", [[0, 0, 0, 0], [1, 1, 1, 1], [2, 2, 2, 2], [-1, 0, 2, 1]])
def test_values_and_gradients(labels: list[int]) -> None:
    value, slope = evaluated(labels, LOGITS)
    with mpmath.workdps(800):
        for row, label in enumerate(labels):
            powers = [mpmath.exp(one) for one in LOGITS[row]]
            right = mpmath.log(mpmath.fsum(powers)) - LOGITS[row][label]
            assert value[row] == pytest.approx(float(right), rel=1e-15, abs=1e-300)
            shares = [float(one / mpmath.fsum(powers)) for one in powers]
            shares[label] -= 1
            np.testing.assert_allclose(slope[row], shares, rtol=1e-15, atol=1e-16)


def test_rows_of_rows_are_as_with_one_hot_labels() -> None:
    random = np.random.default_rng(0)
    labels, logits = random.integers(0, 4, (2, 3)), random.normal(size=(2, 3, 4))
    value, slope = evaluated(labels, logits)
    z = sf.placeholder(sf.float64, logits.shape)
    dense = sf.nn.softmax_cross_entropy_with_logits(labels=np.eye(4)[labels], logits=z)
    expected = sf.Session().run([dense, *sf.gradients(sf.reduce_sum(dense), [z])], {z: logits})
    np.testing.assert_allclose(value, expected[0], rtol=1e-15)
    np.testing.assert_allclose(slope, expected[1], rtol=1e-14, atol=1e-16)


def test_a_label_out_of_range_is_an_error() -> None:
    """In one-hot labels it is a row of zeros, and its loss 0."""
    with pytest.raises(IndexError):
        evaluated([0, 0, 3, 0], LOGITS)


def test_a_module_is_valid(tmp_path: Path) -> None:
    path = tmp_path / "model.py"
    path.write_text(MODEL, encoding="utf-8")
    x = np.array([[1.0, 2.0, -1.0], [0.5, 0.0, 3.0]])
    assert_valid(path, at={"x": x, "y": np.array([2, 0])})


@pytest.mark.parametrize(
    ("labels", "logits", "told", "hint"),
    [
        ([0.0, 1.0], (2, 3), "labels are whole numbers", "sf.to_int(labels)"),
        ([[0, 1]], (2, 3), "labels are (1, 2) but logits are (2, 3)", "one axis more"),
        ([[0, 1, 0], [1, 0, 0]], (2, 3), "labels are (2, 3)", "one axis more"),
        (0, (2, 3), "labels are () but logits are (2, 3)", "one axis more"),
        ([True, False], (2, 3), "but these are bools", "sf.to_int(labels)"),
        ([0], (), "logits is ()", "logits has no axes"),
    ],
)
def test_what_is_wrong_is_told(labels: Any, logits: Any, told: str, hint: str) -> None:
    with pytest.raises(sf.SymflowError) as caught:
        entropy(labels, sf.placeholder(sf.float64, logits))
    assert told in str(caught.value)
    assert hint in str(caught.value.hint)
