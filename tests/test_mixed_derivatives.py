"""Mixed second derivatives where a slope is 0, and the other slope is not.

Where 0 meets ∞ the 0 may win (`symflow/poles.py`); where nothing is infinite a 0 that is a factor
is a factor as any other, and what it is multiplied by is the derivative by it. The right values are
difference quotients of mpmath's.
"""

from __future__ import annotations

import mpmath
import numpy as np
import pytest
from limits import EXACT, Model
from mpmath import mp, mpf
from reference import evaluate

import symflow as sf

MODELS: dict[str, tuple[Model, list[tuple[float, float]]]] = {
    # the slope by the first is differentiated by the second
    "weighted root": (lambda m, x, y: y * m.sqrt(x), [(4, 0), (4, 1e-9), (4, 3)]),
    "weighted cubic root": (lambda m, x, y: y * m.cbrt(x), [(8, 0), (8, 3)]),
    "weighted power": (lambda m, x, y: y * m.pow(x, 0.3), [(2, 0), (2, 3)]),
    "weighted logarithm": (lambda m, x, y: y * m.log(x), [(4, 0), (4, 3)]),
    "weighted reciprocal": (lambda m, x, y: y * m.reciprocal(x), [(4, 0), (4, 3)]),
    "weighted angle": (lambda m, x, y: y * m.asin(x), [(0.5, 0), (0.5, 3)]),
    "weighted x·log(x)": (lambda m, x, y: y * m.xlogy(x, x), [(0.25, 0), (0.25, 3)]),
    "x·log(y)": (lambda m, x, y: m.xlogy(y, x), [(4, 0), (4, 3)]),
    "x·log(1 + y)": (lambda m, x, y: y * m.log1p(x), [(4, 0), (4, 3)]),
    "square of a root": (lambda m, x, y: m.square(1 + y * m.sqrt(x)), [(4, 0), (4, 3)]),
    "residual of a root": (lambda m, x, y: m.square(m.sqrt(x) - y), [(4, 2), (4, 3)]),
    "root of a line": (lambda m, x, y: m.sqrt(1 + y * x), [(1, 0), (1, 1e-9), (1, 3)]),
    "power of a line": (lambda m, x, y: m.pow(1 + y * x, 0.7), [(1, 0), (1, 3)]),
    "cubic root of a line": (lambda m, x, y: m.cbrt(1 + y * x), [(1, 0), (1, 3)]),
    "root of a sine": (lambda m, x, y: m.sqrt(1 + m.sin(y) * x), [(1, 0), (1, 0.5)]),
    "root of a relu": (lambda m, x, y: m.sqrt(m.relu(1 + y * x)), [(1, 0), (1, 3), (1, -3)]),
    "angle of a product": (lambda m, x, y: m.acos(x * y), [(0.5, 0), (0.5, 0.5)]),
    "root of a clip": (lambda m, x, y: y * m.sqrt(m.maximum(x, 0.0)), [(4, 0), (-1, 0)]),
    "power": (lambda m, x, y: m.pow(x, y), [(2, 0), (2, 1e-9), (2, 1), (2, 3)]),
    "power of a line by a variable": (lambda m, x, y: m.pow(1 + x, y) + x, [(2, 0), (2, 2)]),
    "haversine": (
        lambda m, x, y: m.asin(m.sqrt(m.square(m.sin(x)) + m.square(m.sin(y)))),
        [(0.5, 0), (0.5, 0.25)],
    ),
    "floor of a logarithm": (lambda m, x, y: y * m.maximum(m.log(x), -5.0), [(2, 0), (1e-4, 0)]),
}


def _mixed(model: Model, x: float, y: float) -> float:
    """∂²/∂x∂y by a quotient of differences."""
    with mp.workdps(120):
        step = mpf(10) ** -30

        def at(i: int, j: int) -> mpf:
            return mpmath.mpf(model(EXACT, mpf(x) + i * step, mpf(y) + j * step))

        return float((at(1, 1) - at(1, -1) - at(-1, 1) + at(-1, -1)) / (4 * step**2))


@pytest.mark.parametrize("order", ["xy", "yx"])
@pytest.mark.parametrize("name", MODELS)
def test_mixed_second_derivative(name: str, order: str) -> None:
    model, points = MODELS[name]
    x, y = (sf.placeholder(sf.float64, ("n",)) for _ in range(2))
    first, second = (x, y) if order == "xy" else (y, x)
    (slope,) = sf.gradients(sf.reduce_sum(model(sf, x, y)), [first])
    (found,) = sf.gradients(sf.reduce_sum(slope), [second])
    values = evaluate(found, {x: [one for one, _ in points], y: [one for _, one in points]})
    right = [_mixed(model, *point) for point in points]
    np.testing.assert_allclose(values, right, rtol=1e-12, atol=1e-12)
