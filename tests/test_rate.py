"""The learning rate in the gradient: where it is multiplied, and that training stays the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import ROOT
from styles import Styles, difference, evaluated, module, styles, trained

from symflow.testing import assert_gradients, assert_valid

HEAD = """\
import symflow as sf
x = sf.placeholder(sf.float64, ("n", 5), name="x")
y = sf.placeholder(sf.int64, ("n",), name="y")
w1 = sf.Variable(sf.glorot_uniform((5, 8)))
b1 = sf.Variable(sf.zeros(8))
w2 = sf.Variable(sf.glorot_uniform((8, 3)))
b2 = sf.Variable(sf.zeros(3))
logits = sf.tanh(x @ w1 + b1) @ w2 + b2
labels = sf.one_hot(y, 3)
loss = sf.reduce_mean(sf.nn.softmax_cross_entropy_with_logits(labels=labels, logits=logits))
"""
PLAIN = "GradientDescentOptimizer(0.1)"
DECAYING = "GradientDescentOptimizer(sf.train.exponential_decay(0.5, 2, 0.5))"
PENALTY = "loss = loss + 1e-2 * (sf.nn.l2_loss(w1) + sf.nn.l2_loss(w2))\n"
SHARED = "loss = loss * sf.exp(-sf.reduce_sum(sf.square(w2)))\n"
FOLDED = "rate: float | None"


def made(folder: Path, optimizer: str = PLAIN, more: str = "", dtype: str = "float64") -> Styles:
    path = folder / "model.py"
    path.write_text(f"{HEAD}{more}sf.train.{optimizer}.minimize(loss)\n", encoding="utf-8")
    return styles(path, dtype)


def inputs(n: int = 19) -> dict[str, Any]:
    rng = np.random.default_rng(1)
    return {"x": rng.normal(size=(n, 5)), "y": rng.integers(0, 3, n)}


def agree(both: Styles, **how: Any) -> None:
    """Both styles train to the same parameters, by the same losses."""
    p = both.plain.initial_parameters()
    wanted = trained(both.plain, p, inputs(), **how)
    found = trained(both.fast, p, inputs(), **how)
    assert not isinstance(wanted, str)
    assert not isinstance(found, str)
    assert difference(found, wanted) is None


def test_no_parameter_is_gone_through_twice() -> None:
    source = module(ROOT / "examples" / "digits.py", "fast").SOURCE
    assert FOLDED in source
    assert "np.multiply(rate, d_logits, d_logits)" in source
    assert "np.subtract(moved, gradient, moved)" in source
    assert "np.subtract(moved, rate * gradient, moved)" not in source


WAYS: dict[str, dict[str, Any]] = {
    "all rows": {},
    "batches": {"batch_size": 6},
    "a function": {"learning_rate": lambda step: 0.5 / (1 + step)},
    "NumPy's numbers": {"learning_rate": lambda step: np.float64(0.5) / (1 + step)},
    "tolerance": {"tolerance": 1e-9},
    "tolerance and a function": {"tolerance": 1e-9, "learning_rate": lambda step: 0.1 * step},
    "on_step": {"on_step": lambda *_: None},
    "on_step and a function": {"on_step": lambda *_: None, "learning_rate": lambda step: 0.2},
    "one": {"learning_rate": 1},
    "zero": {"learning_rate": 0.0},
    "negative": {"learning_rate": -0.1},
    "tiny": {"learning_rate": 1e-9},
}


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
@pytest.mark.parametrize("more", ["", PENALTY, SHARED], ids=["", "penalty", "shared"])
def test_training_is_that_of_the_plain_style(tmp_path: Path, way: Any, more: str) -> None:
    for optimizer in (PLAIN, DECAYING):
        both = made(tmp_path, optimizer, more)
        assert (FOLDED in both.fast.SOURCE) == (not more)  # a gradient of two parts has no place
        agree(both, steps=7, **way)


def test_threads(tmp_path: Path) -> None:
    both = made(tmp_path)
    p = both.plain.initial_parameters()
    wanted = trained(both.plain, p, inputs(), steps=5)
    found = trained(both.fast, p, inputs(), steps=5, threads=2)
    assert not isinstance(wanted, str)
    assert not isinstance(found, str)
    assert difference(found, wanted) is None


def test_gradients_are_those_of_the_loss(tmp_path: Path) -> None:
    both = made(tmp_path)
    p = both.plain.initial_parameters()
    found, wanted = (evaluated(one, p, inputs()) for one in (both.fast, both.plain))
    assert difference(found, wanted) is None


@pytest.mark.parametrize("rate", [0.0, 0.3, lambda step: 0.0])
def test_tolerance_is_of_the_gradient_itself(tmp_path: Path, rate: Any) -> None:
    both = made(tmp_path)
    p = both.plain.initial_parameters()
    norm = np.sqrt(sum(np.sum(one**2) for one in both.plain.gradients(p, **inputs())))
    for one in (both.fast, both.plain):
        how = {"learning_rate": rate, "steps": 3}
        result = one.train(p, **inputs(), tolerance=1.001 * norm, **how)
        if rate == 0.3:  # with a rate of 0 the norm plays no part
            assert (result.reason, result.steps) == ("tolerance", 0)
        result = one.train(p, **inputs(), tolerance=1e-3 * norm, **how)
        assert (result.reason, result.steps) == ("steps", 3)


def test_a_rate_may_follow_from_what_on_step_saw(tmp_path: Path) -> None:
    """It is asked for at the start of every step, and `on_step` sees what came of the last one."""
    both = made(tmp_path)
    seen: dict[str, list[Any]] = {}
    for style, one in (("fast", both.fast), ("plain", both.plain)):
        events: list[Any] = []

        def on_step(step: int, loss: float, p: Any, events: list[Any] = events) -> bool:
            events.append(("step", step, round(loss, 9)))
            return step == 3

        def rate(step: int, events: list[Any] = events) -> float:
            events.append(("rate", step))
            return float(events[-2][2]) if step else 0.1

        one.train(
            one.initial_parameters(), **inputs(), learning_rate=rate, steps=9, on_step=on_step
        )
        seen[style] = events
    assert seen["fast"] == seen["plain"]
    assert len(seen["fast"]) == 8


@pytest.mark.parametrize("tolerance", [0.0, 1e-9])
def test_a_function_is_asked_once_for_every_update(tmp_path: Path, tolerance: float) -> None:
    for one in (made(tmp_path).fast, made(tmp_path).plain):
        asked: list[int] = []
        rates = iter([0.1, 0.2, 0.3])

        def rate(step: int, asked: list[int] = asked, rates: Any = rates) -> float:
            asked.append(step)
            return float(next(rates))

        p = one.initial_parameters()
        one.train(p, **inputs(), learning_rate=rate, steps=3, tolerance=tolerance)
        assert asked == [0, 1, 2]


@pytest.mark.parametrize("rate", [0.1, lambda step: np.float64(0.1), np.array(0.1)])
@pytest.mark.parametrize("more", ["", PENALTY, SHARED], ids=["", "penalty", "shared"])
def test_single_precision_stays(tmp_path: Path, rate: Any, more: str) -> None:
    both = made(tmp_path, more=more, dtype="float32")
    p = both.plain.initial_parameters()
    for how in ({}, {"tolerance": 1e-9}, {"batch_size": 6}):
        results = [
            one.train(p, **inputs(), learning_rate=rate, steps=5, **how)
            for one in (both.fast, both.plain)
        ]
        for found, wanted in zip(results[0].parameters, results[1].parameters, strict=True):
            assert found.dtype == np.float32
            np.testing.assert_allclose(found, wanted, atol=1e-6)


@pytest.mark.parametrize(
    "optimizer",
    [
        "MomentumOptimizer(0.1, 0.9)",
        "AdamOptimizer(0.1)",
        "GradientDescentOptimizer(0.1, clip_norm=1.0)",
        "GradientDescentOptimizer(0.1, clip_value=1.0)",
        "GradientDescentOptimizer(0.1, l2=0.1)",
        "GradientDescentOptimizer(sf.train.backtracking_line_search())",
    ],
)
def test_what_reads_the_gradient_gets_the_gradient(tmp_path: Path, optimizer: str) -> None:
    both = made(tmp_path, optimizer)
    assert "gradients: bool" in both.fast.SOURCE
    agree(both, steps=4)


def test_the_rate_stays_where_no_tensor_is_smaller(tmp_path: Path) -> None:
    """Two parameters, and no sum over the rows without one of them."""
    path = tmp_path / "model.py"
    path.write_text(
        "import symflow as sf\n"
        "x = sf.placeholder(sf.float64, ('n', 40), name='x')\n"
        "w = sf.Variable(sf.ones(2))\n"
        "loss = sf.reduce_sum(sf.tanh(x * w[0]) * sf.sin(x * w[1]))\n"
        "sf.train.GradientDescentOptimizer(0.1).minimize(loss)\n"
    )
    assert "gradients: bool" in styles(path, "float64").fast.SOURCE


def test_the_checker_sees_the_gradient(tmp_path: Path) -> None:
    path = tmp_path / "model.py"
    path.write_text(f"{HEAD}{PENALTY}sf.train.{PLAIN}.minimize(loss)\n", encoding="utf-8")
    assert_gradients(path, shapes={"x": (7, 5), "y": (7,)})
    assert_valid(path, shapes={"x": (7, 5), "y": (7,)})
