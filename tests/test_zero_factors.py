"""Factors, arguments and weights that are 0: nothing is divided by what was not divided before.

The right values are closed forms, in 50 digits.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import mpmath
import numpy as np
import pytest

import symflow as sf

X = [0.1, 0.2, 0.3, 1.0]

Formula = Callable[[Any, Any], Any]


def value_and_slope(formula: Formula, w: float, x: Sequence[float]) -> tuple[float, float]:
    """A sum over x, and its derivative by w, as the compiler computes them."""
    point, data = sf.placeholder(sf.float64, ()), sf.placeholder(sf.float64, (len(x),))
    loss = sf.reduce_sum(formula(point, data))
    found = sf.Session().run([loss, *sf.gradients(loss, [point])], {point: w, data: x})
    return float(found[0]), float(found[1])


def exactly(terms: Callable[[Any, Any], Any], w: float, x: Sequence[float]) -> float:
    with mpmath.workdps(50):
        return float(mpmath.fsum(terms(mpmath.mpf(w), mpmath.mpf(one)) for one in x))


DIFFERENCES: dict[str, tuple[Formula, Formula, Formula]] = {
    "circle": (
        lambda w, x: sf.sqrt(1 - (w * x) ** 2),
        lambda w, x: mpmath.sqrt(1 - (w * x) ** 2),
        lambda w, x: -w * x**2 / mpmath.sqrt(1 - (w * x) ** 2),
    ),
    "one minus a square": (
        lambda w, x: 1 - w**2 * x,
        lambda w, x: 1 - w**2 * x,
        lambda w, x: -2 * w * x,
    ),
    "one minus a fourth power": (
        lambda w, x: x - x * w**4,
        lambda w, x: x - x * w**4,
        lambda w, x: -4 * x * w**3,
    ),
    "logarithm of one minus a square": (
        lambda w, x: sf.log(1 - (w * x / 2) ** 2),
        lambda w, x: mpmath.log(1 - (w * x / 2) ** 2),
        lambda w, x: -w * x**2 / 2 / (1 - (w * x / 2) ** 2),
    ),
    "squares with a common factor": (
        lambda w, x: w**2 * x**2 - w**2,
        lambda w, x: w**2 * x**2 - w**2,
        lambda w, x: 2 * w * x**2 - 2 * w,
    ),
    "one over a difference": (
        lambda w, x: 1 / (2 - w * w * x * x),
        lambda w, x: 1 / (2 - w * w * x * x),
        lambda w, x: 2 * w * x * x / (2 - w * w * x * x) ** 2,
    ),
    "a hyperbola": (
        lambda w, x: sf.sqrt(w**2 * x**2 + 1) - 1,
        lambda w, x: w**2 * x**2 / (mpmath.sqrt(w**2 * x**2 + 1) + 1),
        lambda w, x: w * x**2 / mpmath.sqrt(w**2 * x**2 + 1),
    ),
    "exponentials with a factor": (
        lambda w, x: w * sf.exp(x) - w,
        lambda w, x: w * mpmath.expm1(x),
        lambda w, x: mpmath.expm1(x),
    ),
    "cosines with a factor": (
        lambda w, x: w - w * sf.cos(w * x),
        lambda w, x: 2 * w * mpmath.sin(w * x / 2) ** 2,
        lambda w, x: 2 * mpmath.sin(w * x / 2) ** 2 + w * x * mpmath.sin(w * x),
    ),
}


@pytest.mark.parametrize("w", [0.0, 1e-300, 1e-9, -1e-9, 0.5, -0.9])
@pytest.mark.parametrize("name", DIFFERENCES)
def test_a_factor_that_may_be_zero_is_not_taken_out(name: str, w: float) -> None:
    formula, value, slope = DIFFERENCES[name]
    found = value_and_slope(formula, w, X)
    expected = [exactly(one, w, X) for one in (value, slope)]
    as_written = any(word in name for word in ("logarithm", "hyperbola", "cosines"))
    unit = 1e-15 if as_written else 0.0
    np.testing.assert_allclose(found, expected, rtol=4e-15, atol=unit)


def test_the_value_of_a_difference_of_squares_keeps_its_digits() -> None:
    x, y = (sf.placeholder(sf.float64, ()) for _ in range(2))
    z = x**2 - y**2
    at = {x: 1e8 + 1.0, y: 1e8}
    assert sf.Session().run([z, *sf.gradients(z, [x, y])], at) == [2e8 + 1, 2e8 + 2, -2e8]
    assert sf.Session().run(z, {x: 1e200, y: 1e200}) == 0.0
