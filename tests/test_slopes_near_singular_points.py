"""Every operation and its derivatives close to the points where they are infinite, 0 or turn.

In ulps of the right value, whatever its size: near a singular point a derivative that is 1 - x²,
computed as it stands, has no digits, and no average over random points shows it.
"""

from __future__ import annotations

import math
from typing import Any

import mpmath
import numpy as np
import pytest
from accuracy import SLOW, exact
from numpy.typing import NDArray

import symflow as sf
from symflow.elementwise import Elementwise
from symflow.graph import apply
from symflow.rows import ROWS

Array = NDArray[Any]

EVERYWHERE = (0.0, 1.0, -1.0)
ELSEWHERE = {
    "tan": (math.pi / 2, -math.pi / 2),
    "ndtri": (0.5,),
    "tanh": (0.25,),
    "logistic": (-30.0, 30.0),
    "logistic_slope": (-30.0, 30.0),
    "hyperbolic_tangent": (-15.0, 15.0),
    "softplus": (-30.0, 30.0),
    "relu6": (6.0,),
    "round": (0.5,),
}
"""Points near which an operation or one of its derivatives is infinite, has a kink or is small."""

DISTANCES = 10.0 ** -np.arange(1, 15.5, 0.5)
MOST = 8.0
"""Ulps."""

MORE: dict[str, tuple[float, str]] = {
    "erfinv": (200.0, "exp(y²) of the value y: its rounding counts 2·y² times, and y is up to 5.3"),
    "ndtri": (200.0, "likewise, exp(y²/2) where y is up to 8"),
    "log_ndtr": (40.0, "y·(y + x) with the value y: y and x cancel in part where x < 0"),
    "inverse_mills": (40.0, "likewise"),
    "log_erfc": (40.0, "likewise"),
    "erfc_hazard": (40.0, "likewise"),
    "erfcx": (40.0, "2·x·y - 2/√π cancels in part"),
    "erfc": (12.0, "SciPy's"),
    "gelu": (12.0, "a sum of several terms"),
    "log1prel": (20.0, "a quotient of a difference beyond where its series is taken"),
    "log1prel_slope": (20.0, "likewise"),
    "log1prel_curvature": (20.0, "likewise"),
}
"""Rows that may lose more, and why."""

APART: dict[str, tuple[tuple[float, ...], str]] = {
    "lgamma": ((0.0,), "SciPy's values near its zeros, 1 and 2, and its digamma near -1, -2, ..."),
    "digamma": ((0.0,), "likewise"),
    "sigmoid": ((1.0, -1.0, -30.0), "y·(1 - y)·(1 - 2·y) at 0 is right to the last place of 1"),
}
"""Rows that are not tried everywhere, and what is left out."""

DEGREES = {"_slope": 1, "inverse_mills": 1, "erfc_hazard": 1, "_curvature": 2}
"""Rows that are derivatives of others: third ones are not bounded."""

OPERANDS = [
    (row, operand)
    for row in ROWS.values()
    if row.result not in ("bool", "int") and row.name not in ("to_float", "where")
    for operand in range(row.result_from, row.arity)
]


def places(row: Elementwise, operand: int) -> list[Array]:
    """One operand near each point, on both sides; the others in the middle of their domains."""
    everywhere, _ = APART.get(row.name, (EVERYWHERE, ""))
    near = [*everywhere, *ELSEWHERE.get(row.name, ())]
    steps = np.concatenate([DISTANCES, -DISTANCES])
    at = np.concatenate([point + steps * (abs(point) or 1.0) for point in near])
    fixed = [0.4 * low + 0.6 * high for low, high in row.domain]
    if row.name in ("polygamma", "polygamma_change"):
        fixed[0] = 1.0
    if row.opaque and not hasattr(sf, row.name) and row.domain[operand][0] > 0.0:
        at = at[at > 0.0]  # only rules write it; beyond are poles, where SciPy loses the digits
    return [at if one == operand else np.full(len(at), fixed[one]) for one in range(row.arity)]


def off(row: Elementwise, operand: int, order: int) -> tuple[float, float]:
    """The largest error in ulp, and where it is."""
    operands = places(row, operand)
    x = [sf.placeholder(sf.float64, one.shape) for one in operands]
    y = apply(row, x)
    for _ in range(order):
        (y,) = sf.gradients(sf.reduce_sum(y), x[operand])
    with np.errstate(all="ignore"):
        found = sf.Session().run(y, dict(zip(x, operands, strict=True)))
    worst, where = 0.0, math.nan
    digits = 40 if row.name in SLOW else 200  # of (eˣ - 1) / x and the like there is 1 / x⁵
    right = exact(row, operands, [operand] * order, digits)
    for value, expected, at in zip(found, right, operands[operand], strict=True):
        if not mpmath.isfinite(expected) or abs(expected) > 1e300:
            continue
        unit = mpmath.mpf(float(np.spacing(abs(float(expected)))))
        error = float(abs(mpmath.mpf(float(value)) - expected) / unit)
        if not error <= worst:
            worst, where = error, float(at)
    return worst, where


@pytest.mark.parametrize(
    ("row", "operand"), OPERANDS, ids=lambda one: getattr(one, "name", str(one))
)
def test_digits_near_singular_points(row: Elementwise, operand: int) -> None:
    most = MORE.get(row.name, (MOST, ""))[0]
    degree = next((DEGREES[end] for end in DEGREES if row.name.endswith(end)), 0)
    for order in range(3 - degree):
        worst, where = off(row, operand, order)
        assert worst <= most, (order, where)
