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


# --- weights that are 0 --------------------------------------------------------------------------

Y = [0.0, 1.0, 3.0]
Z = [0.3, -0.2, 0.5]


def xlogx(x: Any) -> Any:
    return x * mpmath.log(x) if x else mpmath.mpf(0)


def softmax(z: Sequence[Any], at: int) -> Any:
    return mpmath.exp(z[at]) / mpmath.fsum(map(mpmath.exp, z))


WEIGHTED: dict[str, tuple[Callable[[Any, Any], Any], Callable[[Any, Sequence[Any]], Any]]] = {
    "logarithm of a quotient": (
        lambda y, z: -(y * sf.log((z + 2) / y)),
        lambda y, z: mpmath.fsum(
            xlogx(y) - y * mpmath.log(one + 2) for y, one in zip(y, z, strict=True)
        ),
    ),
    "a quotient with a name": (
        lambda y, z: (lambda ratio: y * sf.log(ratio))((z + 2) / y),
        lambda y, z: mpmath.fsum(
            y * mpmath.log(one + 2) - xlogx(y) for y, one in zip(y, z, strict=True)
        ),
    ),
    "Poisson deviance": (
        lambda y, z: 2 * (y * sf.log(y / sf.exp(z)) - y + sf.exp(z)),
        lambda y, z: mpmath.fsum(
            2 * (xlogx(y) - y * one - y + mpmath.exp(one)) for y, one in zip(y, z, strict=True)
        ),
    ),
    "Poisson deviance by a difference": (
        lambda y, z: 2 * (y * (sf.log(y) - z) - (y - sf.exp(z))),
        lambda y, z: mpmath.fsum(
            2 * (xlogx(y) - y * one - y + mpmath.exp(one)) for y, one in zip(y, z, strict=True)
        ),
    ),
    "Poisson deviance of a rate": (
        lambda y, z: y * sf.log(y / (z + 2)) - y + z,
        lambda y, z: mpmath.fsum(
            xlogx(y) - y * mpmath.log(one + 2) - y + one for y, one in zip(y, z, strict=True)
        ),
    ),
    "Kullback-Leibler": (
        lambda t, z: t * sf.log(t / sf.softmax(z)),
        lambda t, z: mpmath.fsum(
            xlogx(one) - one * mpmath.log(softmax(z, at)) for at, one in enumerate(t)
        ),
    ),
    "Kullback-Leibler by a difference": (
        lambda t, z: t * (sf.log(t) - sf.log(sf.softmax(z))),
        lambda t, z: mpmath.fsum(
            xlogx(one) - one * mpmath.log(softmax(z, at)) for at, one in enumerate(t)
        ),
    ),
    "Kullback-Leibler, the other sign": (
        lambda t, z: -(t * (sf.log(sf.softmax(z)) - sf.log(t))),
        lambda t, z: mpmath.fsum(
            xlogx(one) - one * mpmath.log(softmax(z, at)) for at, one in enumerate(t)
        ),
    ),
    "Kullback-Leibler of sigmoids": (
        lambda t, z: t * sf.log(t / sf.sigmoid(z)),
        lambda t, z: mpmath.fsum(
            xlogx(one) + one * mpmath.log(1 + mpmath.exp(-z[at])) for at, one in enumerate(t)
        ),
    ),
    "gamma deviance weighted": (
        lambda y, z: y * (y * sf.log(y / (z + 2)) - 1),
        lambda y, z: mpmath.fsum(
            y * (xlogx(y) - y * mpmath.log(one + 2)) - y for y, one in zip(y, z, strict=True)
        ),
    ),
}


@pytest.mark.parametrize("name", WEIGHTED)
def test_a_weight_of_zero_counts_as_zero(name: str) -> None:
    formula, right = WEIGHTED[name]
    y, z = (sf.placeholder(sf.float64, (3,)) for _ in range(2))
    loss = sf.reduce_sum(formula(y, z))
    value, slope = sf.Session().run([loss, *sf.gradients(loss, [z])], {y: Y, z: Z})
    with mpmath.workdps(60):
        exact_y, exact_z = (list(map(mpmath.mpf, one)) for one in (Y, Z))
        expected = right(exact_y, exact_z)
        step = mpmath.mpf(10) ** -25
        slopes = []
        for at in range(3):
            moved = [
                [*exact_z[:at], exact_z[at] + way, *exact_z[at + 1 :]] for way in (step, -step)
            ]
            high, low = (right(exact_y, one) for one in moved)
            slopes.append(float((high - low) / (2 * step)))
    np.testing.assert_allclose(value, float(expected), rtol=1e-14)
    np.testing.assert_allclose(slope, slopes, rtol=1e-13, atol=1e-15)


def test_the_issue_of_a_mask_that_met_a_reciprocal() -> None:
    w, y = sf.placeholder(sf.float64, ()), sf.placeholder(sf.float64, (3,))
    loss = -sf.reduce_sum(y * sf.log(w / y))
    (slope,) = sf.Session().run(sf.gradients(loss, [w]), {w: 1.5, y: [0.0, 1.0, 2.0]})
    assert slope == -2.0


@pytest.mark.parametrize("v", [0.0, 0.25])
def test_a_length_of_roots_is_not_one_at_the_origin(v: float) -> None:
    """√v has the slope 1/(2√v): that of √(√v² + y²) = √(v + y²) at y = 0 is infinite at v = 0."""
    point, y = (sf.placeholder(sf.float64, ()) for _ in range(2))
    length = sf.hypot(sf.sqrt(point), y)
    (slope,) = sf.Session().run(sf.gradients(length, [point]), {point: v, y: 0.0})
    assert not np.isfinite(slope) if v == 0 else slope == 1.0


@pytest.mark.parametrize("x", [-30.0, -3.0, 0.0, 3.0, 30.0, 600.0])
def test_a_logarithm_of_a_product_near_one(x: float) -> None:
    """log(eˣ·y) where the product is almost 1, and x is exact: as good as it is written."""
    a, b = (sf.placeholder(sf.float64, ()) for _ in range(2))
    y = float(mpmath.exp(-mpmath.mpf(x)) * (1 + mpmath.mpf(2) ** -20)) or 5e-324
    found = sf.Session().run(sf.log(sf.exp(a) * b), {a: x, b: y})
    with mpmath.workdps(40):
        right = mpmath.mpf(x) + mpmath.log(mpmath.mpf(y))
        assert abs(found - right) <= 1e-15 * (1 + abs(right))


@pytest.mark.parametrize("x", [-1e4, -800.0, 800.0, 1e4])
def test_a_logarithm_of_a_product_that_overflows(x: float) -> None:
    a, b = (sf.placeholder(sf.float64, ()) for _ in range(2))
    z = sf.log(sf.exp(a) * b)
    found = sf.Session().run([z, *sf.gradients(z, [a, b])], {a: x, b: 3.0})
    np.testing.assert_allclose(found, [x + np.log(3.0), 1.0, 1 / 3], rtol=1e-15)


MIXED: dict[str, tuple[Formula, float]] = {
    "times a root": (lambda t, x: t * sf.sqrt(x), 0.5 / np.sqrt(2.0)),
    "times a logarithm": (lambda t, x: t * sf.log(x), 0.5),
    "times x·log(x)": (lambda t, x: t * (x * sf.log(x)), np.log(2.0) + 1),
    "times a reciprocal": (lambda t, x: t / x, -0.25),
    "times a cube root": (lambda t, x: t * sf.cbrt(x), 2.0 ** (-2 / 3) / 3),
    "times an arc": (lambda t, x: t * sf.acos(x / 4), -0.25 / np.sqrt(0.75)),
    "inside a root": (lambda t, x: sf.sqrt(t * x + 4), 0.25),
    "inside a root, twice": (lambda t, x: sf.sqrt(t * x * x + 4), 1.0),
    "a sum of both": (lambda t, x: t * (sf.sqrt(x) + sf.sqrt(x + t)), 1 / np.sqrt(2.0)),
}


@pytest.mark.parametrize("name", MIXED)
def test_a_slope_by_a_factor_that_is_zero_has_a_slope(name: str) -> None:
    """∂²/∂t∂x at t = 0: a branch that keeps 0 from meeting a pole must not hide it elsewhere."""
    formula, right = MIXED[name]
    t, x = (sf.placeholder(sf.float64, ()) for _ in range(2))
    (slope,) = sf.gradients(formula(t, x), [x])
    found = sf.Session().run(sf.gradients(slope, [t]), {t: 0.0, x: 2.0})
    np.testing.assert_allclose(found[0], right, rtol=1e-15)
