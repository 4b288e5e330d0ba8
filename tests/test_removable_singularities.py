"""Quotients that are 0 / 0 at a point: values and two derivatives there and near it, by mpmath."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import mpmath
import numpy as np
import pytest

import symflow as sf

mp = mpmath.mp.clone()
mp.dps = 250

REFERENCE = SimpleNamespace(
    **{name: getattr(mp, name) for name in ("exp", "log", "sqrt", "sin", "cos")},
    pow=lambda x, y: x**y,
)
FORMULAS: dict[str, Callable[[Any, Any], Any]] = {
    "(exp(x) - 1) / x": lambda m, x: (m.exp(x) - 1) / x,
    "(exp(3x) - 1) / x": lambda m, x: (m.exp(3 * x) - 1) / x,
    "(1 - exp(-x)) / x": lambda m, x: (1 - m.exp(-x)) / x,
    "x / (exp(x) - 1)": lambda m, x: x / (m.exp(x) - 1),
    "log(1 + x) / x": lambda m, x: m.log(1 + x) / x,
    "sin(x) / x": lambda m, x: m.sin(x) / x,
    "(1 - cos(x)) / x^2": lambda m, x: (1 - m.cos(x)) / x**2,
    "Box and Cox by lambda": lambda m, x: (m.pow(1.75 + 0 * x, x) - 1) / x,
    "Box and Cox below 1": lambda m, x: (m.pow(0.25 + 0 * x, x) - 1) / x,
}
POINTS = [0.0, 1e-30, -1e-20, 1e-9, -1e-5, 1e-3, -0.03, 0.3, -0.7]


def derivatives(formula: Callable[[Any, Any], Any], at: float) -> list[Any]:
    """At 0 the limit, which is that at 1e-40 to as many digits."""
    x, step = mp.mpf(at or 1e-40), mp.mpf(10) ** -60
    below, here, above = (formula(REFERENCE, x + number * step) for number in (-1, 0, 1))
    return [here, (above - below) / (2 * step), (above - 2 * here + below) / step**2]


@pytest.mark.parametrize("name", FORMULAS)
def test_near_the_singularity(name: str) -> None:
    formula = FORMULAS[name]
    x = sf.placeholder(sf.float64, (len(POINTS),))
    y = formula(sf, x)
    (slope,) = sf.gradients(sf.reduce_sum(y), [x])
    (curvature,) = sf.gradients(sf.reduce_sum(slope), [x])
    with np.errstate(all="raise", under="ignore"):
        found = sf.Session().run([y, slope, curvature], {x: POINTS})
    for at, point in enumerate(POINTS):
        for order, right in enumerate(derivatives(formula, point)):
            error = abs(mp.mpf(float(found[order][at])) - right)
            assert error <= 1.5e-14 * abs(right) + mp.mpf(10) ** -38, (point, order)


@pytest.mark.parametrize("x", [1e-3, 0.5, 1.0, 2.0, 40.0])
@pytest.mark.parametrize("y", [0.0, 1e-300, -1e-12, 1e-4, 0.5, -2.0, 3.0])
def test_box_and_cox_by_both(x: float, y: float) -> None:
    """(x^y - 1) / y, whose derivative by x is x^(y - 1)."""
    base, power = (sf.placeholder(sf.float64, ()) for _ in range(2))
    z = (sf.pow(base, power) - 1.0) / power
    fetches = [z, *sf.gradients(z, [base, power])]
    value, by_x, by_y = sf.Session().run(fetches, {base: x, power: y})
    a, b = mp.mpf(x), mp.mpf(y if abs(y) > 1e-40 else 1e-40)  # the limit, at 0
    right = (a**b - 1) / b
    np.testing.assert_allclose(value, float(right), rtol=1e-14)
    np.testing.assert_allclose(by_x, float(a ** (b - 1)), rtol=1e-14)
    slope = a**b * mp.log(a) / b - right / b
    np.testing.assert_allclose(by_y, float(slope), rtol=2e-14, atol=1e-30)


def test_box_and_cox_of_what_is_not_positive() -> None:
    """As it is written: a power of 0 and of a negative number."""
    base, power = (sf.placeholder(sf.float64, ("n",)) for _ in range(2))
    z = (sf.pow(base, power) - 1.0) / power
    found = sf.Session().run(z, {base: [0.0, -2.0, -1.5], power: [0.5, 3.0, -2.0]})
    np.testing.assert_allclose(found, [-2.0, -3.0, (1.5**-2 - 1) / -2], rtol=1e-15)
