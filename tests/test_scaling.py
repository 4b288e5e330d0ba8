"""Where scalars are multiplied: on the fewest elements, and after the sums that they wait for."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from test_simplification import compiled, lines

import symflow as sf
from symflow.graph import Tensor


def regression(loss_of: Callable[[Tensor], Tensor], features: int = 5) -> list[str]:
    """The statements of a linear regression with a loss of its errors."""
    x = sf.placeholder(shape=("n", features), name="x")
    y = sf.placeholder(shape=("n",), name="y")
    w = sf.Variable(np.zeros(features), name="w")
    error = sf.subtract(sf.einsum("nj,j->n", x, w), y, name="error")
    return lines(compiled(loss_of(error), w))


def test_a_mean_is_divided_after_the_rows_are_added() -> None:
    assert "error @ x" in regression(lambda error: sf.reduce_mean(sf.square(error)))


def test_what_waits_for_all_rows_is_multiplied_after_them() -> None:
    """The slopes of √(Σ error²) need one pass over the rows, even where it is no smaller."""
    for features in (5, 5000):
        found = regression(lambda error: sf.sqrt(sf.reduce_sum(sf.square(error))), features)
        assert "error @ x" in found


def test_a_factor_stays_on_the_smallest_tensor() -> None:
    """In a network, on the gradient of the last layer."""
    x = sf.placeholder(shape=(32, 50), name="x")
    y = sf.placeholder(shape=(32, 3), name="y")
    v, w = sf.Variable(np.zeros((50, 40)), name="v"), sf.Variable(np.zeros((40, 3)), name="w")
    hidden = sf.tanh(x @ v, name="hidden")
    loss = sf.reduce_mean(sf.square(hidden @ w - y))
    found = lines(compiled(loss, v, w))
    assert len([line for line in found if "/ 48.0" in line]) == 1  # 2 / 96


def test_a_tensor_with_a_name_keeps_its_value() -> None:
    x = sf.placeholder(shape=("n",), name="x")
    w = sf.placeholder(shape=("n", 3), name="w")
    half = sf.multiply(0.5, x, name="half")
    assert lines(compiled(sf.einsum("n,nk->k", half, w))) == ["0.5 * x", "half @ w"]


@pytest.mark.parametrize("scale", [1e-30, 1e30])
def test_numbers_far_from_one_stay(scale: float) -> None:
    """They are there so that single precision does not overflow, or underflow."""
    x = sf.placeholder(sf.float32, ("n",), name="x")
    w = sf.placeholder(sf.float32, ("n", 3), name="w")
    moderate = scale * x
    result = sf.einsum("n,nk->k", moderate, w) + sf.einsum("n,nk->k", moderate, w + w)
    feed = {x: np.full(4, 1 / scale, np.float32), w: np.full((4, 3), 1 / scale, np.float32)}
    np.testing.assert_allclose(sf.Session().run(result, feed), 12 / scale, rtol=1e-6)


@pytest.mark.parametrize("size", [1e-15, 1e15])
def test_norms_of_extreme_errors_in_single_precision(size: float) -> None:
    """Σ error² stays finite, so does all that follows."""
    random = np.random.default_rng(0)
    x = sf.placeholder(sf.float32, (1000, 3))
    w = sf.Variable(np.ones(3, np.float32))
    loss = sf.sqrt(sf.reduce_sum(sf.square(sf.einsum("nj,j->n", x, w))))
    rows = random.normal(size=(1000, 3)).astype(np.float32) * np.float32(size)
    with sf.Session() as session:
        session.run(sf.global_variables_initializer())
        found = session.run(sf.gradients(loss, w)[0], {x: rows})
    error = rows.astype(float) @ np.ones(3)
    expected = rows.T.astype(float) @ error / np.sqrt(error @ error)
    np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_factors_meet_where_they_end() -> None:
    """A product of two tensors that lost a factor gets both."""
    x, y = (sf.placeholder(shape=("n", 4), name=name) for name in "xy")
    a, b = (sf.placeholder(shape=(), name=name) for name in "ab")
    result = sf.einsum("ni,nj->ij", sf.tanh(x) * a, sf.reshape(3.0 * b * sf.exp(y), (-1, 4)))
    random = np.random.default_rng(0)
    feed = {x: random.normal(size=(9, 4)), y: random.normal(size=(9, 4)), a: 0.7, b: -2.0}
    expected = np.tanh(feed[x]).T @ np.exp(feed[y]) * 0.7 * 3 * -2.0
    np.testing.assert_allclose(sf.Session().run(result, feed), expected, rtol=1e-13)
