"""Slopes of what saturates, made by rules: as exact as those of the formulas that users write."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any

import mpmath
import numpy as np
import pytest

import symflow as sf
from symflow.elementwise import ROWS, without_twins
from symflow.program import slot
from symflow.rules import rewritten

Formula = Callable[[Any, Any, Any], Any]

MANY = SimpleNamespace(
    exp=mpmath.exp,
    log=mpmath.log,
    sigmoid=lambda x: 1 / (1 + mpmath.exp(-x)),
    logaddexp=lambda x, y: mpmath.log(mpmath.exp(x) + mpmath.exp(y)),
)
"""The functions of symflow that formulas call, in many digits."""

FIRST: Mapping[str, tuple[Formula, float, float]] = {
    "logistic growth": (lambda m, r, t: 3 / (1 + m.exp(-r * (0.5 - t))), 0.7, -30.0),
    "logistic growth, early": (lambda m, r, t: 3 / (1 + m.exp(-r * (0.5 - t))), 0.7, 30.0),
    "mixture": (lambda m, u, x: m.log(m.sigmoid(u) * m.exp(-x * x) + 1 - m.sigmoid(u)), -30.0, 0.5),
    "the other share": (lambda m, u, x: x * (1 - m.sigmoid(u)), -35.0, 2.0),
    "Fermi": (lambda m, e, mu: 1 / (m.exp((e - mu) / 0.25) + 1), 1.0, 9.5),
    "two states": (lambda m, u, v: m.exp(u) / (m.exp(u) + m.exp(v)), 36.0, 0.5),
    "two states, by the other": (lambda m, u, v: m.exp(u) / (m.exp(u) + m.exp(v)), -2.0, -37.0),
    "Boltzmann": (lambda m, v, k: m.exp(v / k) / (1 + m.exp(v / k)), 9.0, 0.25),
    "twice less one": (lambda m, x, c: c * (2 * m.sigmoid(x) - 1), -38.0, 3.0),
    "quotient": (lambda m, x, c: c * (m.exp(x) - 1) / (m.exp(x) + 1), -38.0, 3.0),
    "quotient turned": (lambda m, x, c: c * (1 - m.exp(x)) / (1 + m.exp(x)), -38.0, 3.0),
    "Richards": (lambda m, x, c: c / (1 + m.exp(-x)) ** 2, 36.0, 2.0),
    "gate": (lambda m, x, y: y / (1 + m.exp(-x)) + m.exp(-x), 37.0, 1.25),
}
"""Formulas of two numbers, and a point where a sigmoid in them is almost 0 or 1."""

SECOND: Mapping[str, tuple[Formula, float, float]] = {
    "softplus": (lambda m, x, y: y * m.log(1 + m.exp(x)), 36.0, 2.0),
    "softplus below": (lambda m, x, y: y * m.log(1 + m.exp(x)), -36.0, 2.0),
    "logaddexp": (lambda m, x, y: m.logaddexp(x, y), 38.0, 1.0),
    "logaddexp by hand": (lambda m, x, y: m.log(m.exp(x) + m.exp(y)), 1.0, 38.0),
    "log of a sigmoid": (lambda m, x, y: y * m.log(m.sigmoid(x)), 36.0, 2.0),
}
"""Formulas of which the first slope is a sigmoid."""


def exact(formula: Formula, at: tuple[float, float], order: tuple[int, int]) -> float:
    with mpmath.workdps(80):
        return float(mpmath.diff(lambda x, y: formula(MANY, x, y), at, order))


@pytest.mark.parametrize("name", FIRST)
def test_slopes(name: str) -> None:
    formula, *at = FIRST[name]
    x, y = (sf.placeholder(sf.float64, ()) for _ in range(2))
    found = sf.Session().run(
        sf.gradients(formula(sf, x, y), [x, y]), dict(zip((x, y), at, strict=True))
    )
    expected = [exact(formula, (at[0], at[1]), order) for order in ((1, 0), (0, 1))]
    np.testing.assert_allclose(found, expected, rtol=2e-14)


@pytest.mark.parametrize("name", SECOND)
def test_second_slopes(name: str) -> None:
    formula, *at = SECOND[name]
    x, y = (sf.placeholder(sf.float64, ()) for _ in range(2))
    slopes = sf.gradients(formula(sf, x, y), [x, y])
    found = sf.Session().run(sf.gradients(slopes[0], [x, y]), dict(zip((x, y), at, strict=True)))
    expected = [exact(formula, (at[0], at[1]), order) for order in ((2, 0), (1, 1))]
    np.testing.assert_allclose(found, expected, rtol=2e-14)


def test_slopes_in_a_loop() -> None:
    """The body of a loop is differentiated twice: for what is asked within, and with the loop."""
    x = sf.placeholder(sf.float64, ("n",))
    last = sf.scan(lambda s, e: s / (1 + sf.exp(-e)), x, 1.0)[-1]
    at = np.array([35.0, 36.0, 37.0])
    found = sf.Session().run(sf.gradients(last, [x])[0], {x: at})
    np.testing.assert_allclose(found, np.exp(-at), rtol=2e-14)


def test_what_users_call_keeps_the_derivative_that_reuses_the_value() -> None:
    """y·(1 - y) and 1 - y² read what is there already; it is computed once."""
    for row in (ROWS["sigmoid"], ROWS["tanh"]):
        assert row(slot(0)).diff(slot(0)).has(row(slot(0)))
    body, _ = rewritten(ROWS["sigmoid"](slot(0)), "written")
    assert body == ROWS["sigmoid"](slot(0))


@pytest.mark.parametrize("phase", ["written", "computed"])
def test_twins_are_gone_when_derivatives_are_taken(phase: Any) -> None:
    """Before, the rules on a sigmoid are those on its twin; after, there is none."""
    x = slot(0)
    by_hand = 1 / (1 + ROWS["exp"](-x))
    body, _ = rewritten(by_hand, phase)
    assert without_twins(body) == ROWS["sigmoid"](x)
    assert (body == ROWS["sigmoid"](x)) == (phase == "computed")
    logarithm, _ = rewritten(ROWS["log"](ROWS["logistic"](x)), "written")
    assert logarithm == -ROWS["softplus"](-x)
