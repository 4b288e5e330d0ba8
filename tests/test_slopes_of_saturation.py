"""Slopes of 1 / (1 + a / b), far into saturation and at 0: no differences of equal numbers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import mpmath
import numpy as np
import pytest

import symflow as sf

Formula = Callable[[Any, Any, Any], Any]

CASES: dict[str, tuple[Formula, tuple[float, float, float]]] = {
    "a difference": (lambda x, w, y: 1 / (1 + (x - w) / y), (0.3, 1.2, 1e150)),
    "a difference, negative": (lambda x, w, y: 1 / (1 + (x - w) / y), (0.5, 1.5, -1e150)),
    "moderate": (lambda x, w, y: 1 / (1 + (x - w) / y), (2.5, 1.25, 1e9)),
    "a product": (lambda x, w, y: 1 / (1 + x * w / y), (0.3, 1.2, 1e12)),
    "competitive inhibition": (lambda k, i, s: 1 / (1 + k * (1 + i / 0.5) / s), (2.0, 3.0, 1e8)),
    "Langmuir": (lambda k, p, s: s / (1 + (k - 1) / p), (3.0, 1e10, 0.25)),
    "under a logarithm": (lambda x, w, y: sf_log(1 / (1 + (x - w) / y)), (2.5, 1.25, 1e9)),
    "squared": (lambda x, w, y: 1 / (1 + (x + w) / y) ** 2, (2.5, 1.25, 1e9)),
}
"""Formulas of three numbers, and where they are saturated."""


def sf_log(x: Any) -> Any:
    return sf.log(x) if isinstance(x, sf.Tensor) else mpmath.log(x)


@pytest.mark.parametrize("name", CASES)
def test_slopes_in_saturation(name: str) -> None:
    formula, at = CASES[name]
    x = [sf.placeholder(sf.float64, ()) for _ in at]
    feed = dict(zip(x, at, strict=True))
    first = sf.gradients(formula(*x), x)
    second = sf.gradients(first[2], x[:2])
    found = sf.Session().run([*first, *second], feed)
    with mpmath.workdps(700):
        orders = [(1, 0, 0), (0, 1, 0), (0, 0, 1), (1, 0, 1), (0, 1, 1)]
        right = [float(mpmath.diff(formula, at, order)) for order in orders]
    usual = [one for one in range(len(right)) if abs(right[one]) > 1e-290]
    np.testing.assert_allclose(np.array(found)[usual], np.array(right)[usual], rtol=4e-15)


@pytest.mark.parametrize("a", [2.0, -0.25])
def test_slopes_at_zero(a: float) -> None:
    """1 / (1 + a / b) is b / (a + b): its slope at b = 0 is 1 / a, its second one -2 / a²."""
    x, y = (sf.placeholder(sf.float64, ()) for _ in range(2))
    z = 1 / (1 + x / y)
    (slope,) = sf.gradients(z, [y])
    found = sf.Session().run([z, slope, *sf.gradients(slope, [y])], {x: a, y: 0.0})
    assert found == [0.0, 1 / a, -2 / a**2]
