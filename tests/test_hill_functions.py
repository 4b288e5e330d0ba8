"""Hill functions and logistic curves of doses, at a dose of 0: slopes by all that is fitted.

The share bound is xʰ / (xʰ + kʰ). At x = 0 it is 0 for every k and h > 0, so its slopes by them
are 0; by x it is 0, 1 / k or ∞ as h is above, at or below 1. The right values elsewhere are closed
forms in 50 digits.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import mpmath
import numpy as np
import pytest
from mpmath import mpf
from styles import styles

import symflow as sf

Model = Callable[[Any, Any, Any], Any]

SHARES: dict[str, Model] = {
    "1 / (1 + (k / x)^h)": lambda x, k, h: 1 / (1 + (k / x) ** h),
    "with a difference": lambda x, k, h: 1 - (1 - 1 / (1 + (k / x) ** h)),
    "four parameters": lambda x, k, h: -1 + (1.0 - -1.0) / (1 + (k / x) ** h) / 2 + 1,
    "x^h / (k^h + x^h)": lambda x, k, h: x**h / (k**h + x**h),
    "the other share": lambda x, k, h: 1 - 1 / (1 + (x / k) ** h),
    "negative exponent": lambda x, k, h: 1 / (1 + (x / k) ** -h),
}


def run(model: Callable[..., Any], points: Sequence[Sequence[float]]) -> list[Any]:
    """The value and the slopes by all operands, at points one after the other."""
    columns = [np.array(one) for one in zip(*points, strict=True)]
    operands = [sf.placeholder(sf.float64, ("n",)) for _ in columns]
    y = model(*operands)
    with np.errstate(all="ignore"):
        return sf.Session().run(
            [y, *sf.gradients(sf.reduce_sum(y), operands)],
            dict(zip(operands, columns, strict=True)),
        )


@pytest.mark.parametrize("name", SHARES)
def test_at_no_dose(name: str) -> None:
    points = [(0.0, 3.0, 2.0), (0.0, 3.0, 1.0), (0.0, 0.5, 4.5), (0.0, 3.0, 0.5)]
    value, by_x, by_k, by_h = run(SHARES[name], points)
    np.testing.assert_array_equal(value, 0.0)
    np.testing.assert_array_equal(by_k, 0.0)
    np.testing.assert_array_equal(by_h, 0.0)
    np.testing.assert_allclose(by_x, [0.0, 1 / 3, 0.0, np.inf], rtol=1e-15)


@pytest.mark.parametrize("name", SHARES)
def test_at_doses(name: str) -> None:
    points = [
        (2.0, 3.0, 2.5),
        (3.0, 3.0, 1.0),
        (3.0, 2.0, 0.5),
        (0.125, 8.0, 3.0),
        (40.0, 2.0, 2.0),
    ]
    found = run(SHARES[name], points)
    summed = any(word in name for word in ("1 -", "other", "difference", "four", "+ x^h"))
    away = 1e-15 if summed else 0.0
    with mpmath.workdps(50):
        for at, (x, k, h) in enumerate(points):
            x, k, h = mpf(x), mpf(k), mpf(h)
            z, w = 1 / (1 + (k / x) ** h), 1 / (1 + (x / k) ** h)
            right = [z, h * z * w / x, -h * z * w / k, z * w * mpmath.log(x / k)]
            for one, expected in zip(found, right, strict=True):
                np.testing.assert_allclose(
                    one[at], float(expected), rtol=2e-14, atol=away, err_msg=f"{x, k, h}"
                )


COMPLEMENTS: dict[str, tuple[Model, Callable[..., Any]]] = {
    "share that is left": (
        lambda x, k, h: 1 - 1 / (1 + (x / k) ** h),
        lambda x, k, h: 1 / (1 + (k / x) ** h),
    ),
    "share bound": (
        lambda x, k, h: 1 - 1 / (1 + (k / x) ** h),
        lambda x, k, h: 1 / (1 + (x / k) ** h),
    ),
    "three times that": (
        lambda x, k, h: 3 - 3 / (1 + (x / k) ** h),
        lambda x, k, h: 3 / (1 + (k / x) ** h),
    ),
    "to the power -h": (
        lambda x, k, h: 1 - 1 / (1 + (k / x) ** -h),
        lambda x, k, h: 1 / (1 + (k / x) ** h),
    ),
    "its logarithm": (
        lambda x, k, h: sf.log(1 - 1 / (1 + (x / k) ** h)),
        lambda x, k, h: -mpmath.log(1 + (k / x) ** h),
    ),
    "in a product": (
        lambda x, k, h: x * (1 - 1 / (1 + (x / k) ** h)),
        lambda x, k, h: x / (1 + (k / x) ** h),
    ),
}


@pytest.mark.parametrize("name", COMPLEMENTS)
def test_what_is_left_of_one(name: str) -> None:
    """1 less a share close to 1 has all its digits, and so have its slopes."""
    model, right = COMPLEMENTS[name]
    points = [
        (1e-10, 1.0, 2.0),
        (1e-5, 2.0, 2.5),
        (0.5, 2.0, 1.5),
        (3.0, 2.0, 0.5),
        (9.0, 2.0, 2.0),
    ]
    found = run(model, points)
    with mpmath.workdps(80):
        for at, point in enumerate(points):
            arguments = tuple(map(mpf, point))
            expected = [right(*arguments)]
            for by in range(3):
                order = tuple(int(by == other) for other in range(3))
                expected.append(mpmath.diff(right, arguments, order))
            for one, exact in zip(found, expected, strict=True):
                np.testing.assert_allclose(one[at], float(exact), rtol=2e-14, err_msg=f"{point}")


@pytest.mark.parametrize("name", ["1 / (1 + (k / x)^h)", "negative exponent"])
def test_far_doses(name: str) -> None:
    """Where (k / x)^h overflows or underflows, and where k is 0 or x infinite."""
    points = [(1e300, 1e-30, 2.0), (1e-300, 1e30, 2.0), (2.0, 0.0, 2.0), (2.0, 0.0, 1.0)]
    value, by_x, by_k, by_h = run(SHARES[name], points)
    np.testing.assert_array_equal(value, [1.0, 0.0, 1.0, 1.0])
    np.testing.assert_array_equal(by_x, 0.0)
    np.testing.assert_array_equal(by_k, [0.0, 0.0, 0.0, -0.5])
    np.testing.assert_array_equal(by_h, 0.0)


def test_negative_orders_and_signs() -> None:
    """Whole orders take numbers of either sign, as powers do."""
    points = [(0.0, 3.0, -2.0), (-1.0, 2.0, 2.0), (-1.0, -2.0, 3.0), (1.0, 2.0, -1.0)]
    value, by_x, by_k, _ = run(SHARES["1 / (1 + (k / x)^h)"], points)
    np.testing.assert_allclose(value, [1.0, 0.2, 1 / 9, 2 / 3], rtol=1e-15)
    np.testing.assert_allclose(by_x, [0.0, -0.32, -8 / 27, -2 / 9], rtol=1e-15)
    np.testing.assert_allclose(by_k, [0.0, -0.16, 4 / 27, 1 / 9], rtol=1e-15)


@pytest.mark.parametrize("by", [0, 1, 2])
def test_second_derivatives(by: int) -> None:
    """By every pair of operands, below and above k; at no dose the limit."""
    points = [(0.5, 2.0, 2.5), (3.0, 2.0, 1.5), (0.0, 2.0, 3.0)]
    columns = [np.array(one) for one in zip(*points, strict=True)]
    operands = [sf.placeholder(sf.float64, ("n",)) for _ in columns]
    y = 1 / (1 + (operands[1] / operands[0]) ** operands[2])
    slopes = sf.gradients(sf.reduce_sum(y), operands)
    fetches = sf.gradients(sf.reduce_sum(slopes[by]), operands)
    with np.errstate(all="ignore"):
        found = sf.Session().run(fetches, dict(zip(operands, columns, strict=True)))

    def share(x: Any, k: Any, h: Any) -> Any:
        return 1 / (1 + (k / x) ** h)

    with mpmath.workdps(60):
        for at, point in enumerate(points[:2]):
            for other in range(3):
                order = [0, 0, 0]
                order[by] += 1
                order[other] += 1
                right = mpmath.diff(share, tuple(map(mpf, point)), tuple(order))
                np.testing.assert_allclose(found[other][at], float(right), rtol=1e-12)
    assert [float(one[2]) for one in found] == [0.0, 0.0, 0.0]


MODULE = """
import symflow as sf
x = sf.placeholder(shape=("n",), name="x")
y = sf.placeholder(shape=("n",), name="y")
a, b = sf.Variable(1.0, name="a"), sf.Variable(3.0, name="b")
c, h = sf.Variable(2.0, name="c"), sf.Variable(1.5, name="h")
fitted = a + (b - a) / (1 + (c / x) ** h)
loss = sf.reduce_mean(sf.square(y - fitted))
"""


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_a_dose_response_with_controls(dtype: str, tmp_path: Path) -> None:
    """Four parameters, and doses of 0 among the data, as in every assay."""
    (tmp_path / "model.py").write_text(MODULE, encoding="utf-8")
    pair = styles(tmp_path / "model.py", dtype)
    x, y = np.array([0.0, 0.0, 0.5, 1.0, 2.0, 8.0, 32.0]), np.array([1, 1.25, 1, 1.5, 2, 2.5, 3.0])
    z = np.array([float(1 / (1 + (mpf(2) / mpf(one)) ** 1.5)) if one else 0.0 for one in x])
    residual = 2 * (1 + 2 * z - y) / len(x)
    logs = np.log(np.where(x > 0, x / 2, 1.0))
    right = {
        "a": residual @ (1 - z),
        "b": residual @ z,
        "c": residual @ (-2 * 1.5 * z * (1 - z) / 2),
        "h": residual @ (2 * z * (1 - z) * logs),
    }
    for made in (pair.plain, pair.fast):
        parameters = made.initial_parameters(dtype=np.dtype(dtype))
        with np.errstate(all="ignore"):
            found = made.gradients(parameters, x=x.astype(dtype), y=y.astype(dtype))
        for name, expected in right.items():
            close = 1e-13 if dtype == "float64" else 1e-5
            np.testing.assert_allclose(getattr(found, name), expected, rtol=close)
