"""Entries of data that are no numbers, and that a `where` leaves out.

A branch that is not taken has no share in a gradient, whatever stands in it: 0·∞ and 0·NaN are
right by the rules of floating-point numbers, and wrong as a derivative of what was written.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from styles import module

import symflow as sf

INF, NAN = np.inf, np.nan
V = np.array([2.0, -INF, 0.5, NAN, INF])
THERE = np.isfinite(V)
X = np.array([0.25, -1.0, 1.5, 0.75, 2.0])

Function = Callable[[Any, Any], Any]

CASES: dict[str, tuple[str, Function, Function]] = {
    # what is written behind the mask; its value; its slope by x
    "product": ("x * v", lambda x, v: x * v, lambda x, v: v),
    "saturated": (
        "sf.tanh(x * v)",
        lambda x, v: np.tanh(x * v),
        lambda x, v: v / np.cosh(x * v) ** 2,
    ),
    "squared": ("sf.square(v - x)", lambda x, v: (v - x) ** 2, lambda x, v: 2 * (x - v)),
    "exponential": ("sf.exp(x * v)", lambda x, v: np.exp(x * v), lambda x, v: v * np.exp(x * v)),
    "logistic": (
        "sf.log(1 + sf.exp(x * v))",
        lambda x, v: np.log1p(np.exp(x * v)),
        lambda x, v: v / (1 + np.exp(-x * v)),
    ),
    "ratio": (
        "v / (1 + x * x)",
        lambda x, v: v / (1 + x * x),
        lambda x, v: -2 * x * v / (1 + x * x) ** 2,
    ),
    "density": (
        "sf.exp(-sf.square(v - x) / 2)",
        lambda x, v: np.exp(-((v - x) ** 2) / 2),
        lambda x, v: (v - x) * np.exp(-((v - x) ** 2) / 2),
    ),
    "wave": (
        "sf.sin(x * v) * v",
        lambda x, v: np.sin(x * v) * v,
        lambda x, v: v * v * np.cos(x * v),
    ),
    "root": (
        "sf.sqrt(1 + sf.square(x * v))",
        lambda x, v: np.sqrt(1 + (x * v) ** 2),
        lambda x, v: x * v * v / np.sqrt(1 + (x * v) ** 2),
    ),
    "Huber": (
        "sf.where(sf.abs(v - x) < 1, sf.square(v - x) / 2, sf.abs(v - x) - 0.5)",
        lambda x, v: np.where(abs(v - x) < 1, (v - x) ** 2 / 2, abs(v - x) - 0.5),
        lambda x, v: np.clip(x - v, -1, 1),
    ),
}

MODEL = """\
import symflow as sf

v = sf.placeholder(sf.float64, (5,))
there = sf.placeholder(sf.bool, (5,))
x = sf.Variable([0.25, -1.0, 1.5, 0.75, 2.0])
term = {text}
loss = sf.reduce_sum({kept})
train_op = sf.train.GradientDescentOptimizer(0.1).minimize(loss)
"""


@pytest.mark.parametrize("style", ["fast", "plain"])
@pytest.mark.parametrize("kept", ["sf.where(there, term, 0.0)", "sf.where(~there, 0.0, term)"])
@pytest.mark.parametrize("name", CASES)
def test_what_is_left_out_has_no_gradient(name: str, kept: str, style: Any, tmp_path: Path) -> None:
    text, value, slope = CASES[name]
    path = tmp_path / "model.py"
    path.write_text(MODEL.format(text=text, kept=kept), encoding="utf-8")
    made = module(path, style, "float64")
    with np.errstate(all="ignore"):
        loss, (d_x,) = made.loss_and_gradients(made.initial_parameters(), V, THERE)
    np.testing.assert_allclose(loss, np.sum(value(X[THERE], V[THERE])), rtol=1e-14)
    np.testing.assert_allclose(d_x[THERE], slope(X[THERE], V[THERE]), rtol=1e-13)
    assert np.all(d_x[~THERE] == 0.0)


def test_in_a_loop() -> None:
    """The state stays where there is no datum."""
    with sf.Graph().as_default(), sf.Session() as session:
        v = sf.placeholder(sf.float64, (5,))
        there = sf.placeholder(sf.bool, (5,))
        a = sf.Variable(0.3)

        def step(h: Any, one: Any) -> Any:
            return sf.where(one[1], sf.tanh(a * h + one[0]), h)

        last = sf.scan(step, (v, there), 0.1)[-1]
        (slope,) = sf.gradients(last, [a])
        session.run(sf.global_variables_initializer())
        with np.errstate(all="ignore"):
            found = session.run([last, slope], {v: V, there: THERE})
    h, d = 0.1, 0.0
    for one in V[THERE]:
        h, d = np.tanh(0.3 * h + one), (h + 0.3 * d) / np.cosh(0.3 * h + one) ** 2
    np.testing.assert_allclose(found, [h, d], rtol=1e-13)


def test_constants_that_are_not_finite() -> None:
    """The same where the model holds the data."""
    with sf.Graph().as_default(), sf.Session() as session:
        x = sf.placeholder(sf.float64, (5,))
        v = sf.constant(V)
        y = sf.where(sf.constant(THERE), sf.tanh(x * v), x)
        (slope,) = sf.gradients(y, [x])
        with np.errstate(all="ignore"):
            found = session.run(slope, {x: X})
    wanted = np.where(THERE, np.where(THERE, V, 0) / np.cosh(X * np.where(THERE, V, 0)) ** 2, 1.0)
    np.testing.assert_allclose(found, wanted, rtol=1e-13)


def test_a_number_that_is_not_itself() -> None:
    """`y == y` is where y is not NaN."""
    with sf.Graph().as_default(), sf.Session() as session:
        x, y = sf.placeholder(sf.float64, (4, 2)), sf.placeholder(sf.float64, (4,))
        w = sf.Variable([0.5, -0.25])
        there = sf.equal(y, y)
        off = sf.where(there, sf.square(y - x @ w), 0.0)
        loss = sf.reduce_sum(off) / sf.reduce_sum(sf.cast(there, sf.float64))
        (slope,) = sf.gradients(loss, [w])
        session.run(sf.global_variables_initializer())
        data = np.array([[1.0, 2.0], [0.5, -1.0], [3.0, 1.0], [-2.0, 0.25]])
        measured = np.array([1.0, NAN, -2.0, 0.5])
        found = session.run(slope, {x: data, y: measured})
    kept = np.array([True, False, True, True])
    off_by = data[kept] @ [0.5, -0.25] - measured[kept]
    np.testing.assert_allclose(found, 2 * off_by @ data[kept] / 3, rtol=1e-14)
