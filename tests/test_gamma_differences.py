"""Differences of lgamma and digamma, as of densities of counts: exact also where both are large."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mpmath
import numpy as np
import pytest
from styles import module

import symflow as sf
from symflow.rules import NAMES

mp = mpmath.mp.clone()
mp.dps = 240

Formula = Callable[[Any, Any, Any], Any]


class Mathematics:
    lgamma = staticmethod(mp.loggamma)
    digamma = staticmethod(mp.digamma)
    log = staticmethod(mp.log)
    log1p = staticmethod(lambda x: mp.log(1 + x))


FORMULAS: dict[str, Formula] = {
    "rising factorial": lambda m, a, x: m.lgamma(a + x) - m.lgamma(a),
    "falling factorial": lambda m, a, x: m.lgamma(a) - m.lgamma(a + x),
    "of a number": lambda m, a, x: m.lgamma(a + 3) - m.lgamma(a) + x,
    "Student": lambda m, a, x: m.lgamma((a + 1) / 2) - m.lgamma(a / 2) - x,
    "both moved": lambda m, a, x: m.lgamma(a + 5) - m.lgamma(a + 2) + x,
    "times": lambda m, a, x: x * (m.lgamma(a + x) - m.lgamma(a)),
    "counts": lambda m, a, x: m.lgamma(x + a) - m.lgamma(a) - m.lgamma(x * x + 1),
    "of a multiple": lambda m, a, x: m.lgamma(3 * a + x) - m.lgamma(3 * a),
    "beta": lambda m, a, x: m.lgamma(a) + m.lgamma(x) - m.lgamma(a + x),
    "beta of others": lambda m, a, x: m.lgamma(a * x) + m.lgamma(x + 1) - m.lgamma(a * x + x + 1),
    "beta-binomial": lambda m, a, x: (
        (m.lgamma(3 + a) + m.lgamma(4 + x) - m.lgamma(7 + a + x))
        - (m.lgamma(a) + m.lgamma(x) - m.lgamma(a + x))
    ),
    "gamma ratio": lambda m, a, x: m.lgamma(a + 0.5) - m.lgamma(a) - 0.5 * m.log(a) + x,
    "multinomial": lambda m, a, x: m.lgamma(a) - m.lgamma(a + x) + m.lgamma(3 + x) - m.lgamma(x),
    "digamma": lambda m, a, x: m.digamma(a + x) - m.digamma(a),
    "digamma of halves": lambda m, a, x: m.digamma(a / 2 + 0.5) - m.digamma(a / 2) + x,
}

POINTS = [
    (float(a), float(x))
    for a in (1e-3, 0.3, 2.0, 11.5, 12.5, 13.0, 40.0, 1e3, 1e5, 1e8, 1e12, 1e16, 1e100)
    for x in (1e-6, 0.5, 1.0, 3.0, 20.0, 1e4, 1e9)
] + [(1e8, -3.0), (50.0, -20.0), (50.0, -40.0), (50.0, -49.0), (13.0, -1.5), (1e5, -9.9e4)]


def computed(
    formula: Formula,
    without: tuple[str, ...] = (),
    points: list[tuple[float, float]] = POINTS,
) -> Any:
    """The value, both slopes, and the second derivative by the first operand, at all points."""
    a, x = (sf.placeholder(sf.float64, ("n",)) for _ in range(2))
    y = formula(sf, a, x)
    slopes = sf.gradients(sf.reduce_sum(y), [a, x])
    curvature = sf.gradients(sf.reduce_sum(slopes[0]), [a])
    columns = [np.array(column) for column in zip(*points, strict=True)]
    with sf.Session(without=without) as session, warnings.catch_warnings():
        warnings.simplefilter("ignore" if without else "error")
        return session.run([y, *slopes, *curvature], dict(zip((a, x), columns, strict=True)))


def truth(formula: Formula, a: float, x: float) -> list[Any]:
    step = (mp.mpf(10) ** -30 * a, mp.mpf(10) ** -30 * abs(x))

    def value(i: int, j: int) -> Any:
        return formula(Mathematics, mp.mpf(a) + i * step[0], mp.mpf(x) + j * step[1])

    by_a = (value(1, 0) - value(-1, 0)) / (2 * step[0])
    by_x = (value(0, 1) - value(0, -1)) / (2 * step[1])
    curvature = (value(1, 0) - 2 * value(0, 0) + value(-1, 0)) / step[0] ** 2
    return [value(0, 0), by_a, by_x, curvature]


def in_ulps(found: float, expected: Any) -> float:
    unit = np.spacing(abs(float(expected)))
    return float(abs(mp.mpf(float(found)) - expected) / mp.mpf(float(unit)))


@pytest.mark.parametrize("name", FORMULAS)
def test_never_worse_than_as_written(name: str) -> None:
    formula = FORMULAS[name]
    points = [one for one in POINTS if one[1] > 0 or name not in POSITIVE]
    after, before = computed(formula, (), points), computed(formula, NAMES, points)
    for at, point in enumerate(points):
        for part, expected in enumerate(truth(formula, *point)):
            if abs(expected) < 1e-250:
                continue
            worse, naive = (in_ulps(one[part][at], expected) for one in (after, before))
            if worse > 10 * naive + 4:  # which may be luck
                naive = nearby(formula, point, part)
            assert worse <= 10 * naive + 4, (point, part, worse, naive)


def nearby(formula: Formula, point: tuple[float, float], part: int) -> float:
    """The largest error as written at some points beside one."""
    a, x = point
    moved = [1 + number * 2.0**-50 for number in range(1, 9)]
    points = [(a * one, x * other) for one, other in zip(moved, reversed(moved), strict=True)]
    found = computed(formula, NAMES, points)[part]
    return max(
        in_ulps(one, truth(formula, *beside)[part])
        for one, beside in zip(found, points, strict=True)
    )


POSITIVE = ("beta", "beta of others", "beta-binomial", "multinomial")
"""Of which lgamma(x) is a term, too."""

EXACT = ["rising factorial", "falling factorial", "times", "digamma", "of a multiple", "beta"]


@pytest.mark.parametrize("name", EXACT)
@pytest.mark.parametrize("a", [1e3, 1e5, 1e8, 1e12, 1e16])
@pytest.mark.parametrize("x", [0.5, 1.0, 3.0, 20.0, 1e4])
def test_nothing_is_lost(name: str, a: float, x: float) -> None:
    """Where the terms as written are up to 1e15 times their difference."""
    at = POINTS.index((a, x))
    found = _found(name)
    for part, expected in enumerate(truth(FORMULAS[name], a, x)):
        assert in_ulps(found[part][at], expected) <= 8, part


_computed: dict[str, Any] = {}


def _found(name: str) -> Any:
    if name not in _computed:
        _computed[name] = computed(FORMULAS[name])
    return _computed[name]


MODEL = """\
import symflow as sf

y = sf.placeholder(sf.float64, ("n",), name="y")
r = sf.Variable(1e8, name="r")
mu = sf.Variable(2.0, name="mu")
log_p = (
    sf.lgamma(y + r) - sf.lgamma(r) - sf.lgamma(y + 1)
    + r * sf.log(r / (r + mu)) + y * sf.log(mu / (r + mu))
)
rising = sf.reduce_sum(sf.lgamma(y + r) - sf.lgamma(r), name="rising")
loss = rising + 0.0 * mu
"""


@pytest.mark.parametrize("style", ["fast", "plain"])
@pytest.mark.parametrize(("dtype", "close"), [("float64", 1e-15), ("float32", 1e-6)])
def test_a_module(style: Any, dtype: str, close: float, tmp_path: Path) -> None:
    """The negative binomial distribution's own part, of many failures."""
    path = tmp_path / "model.py"
    path.write_text(MODEL)
    made = module(path, style, dtype)
    y = np.array([0.0, 1.0, 3.0, 250.0], dtype)
    parameters = made.Parameters(r=np.array(1e8, dtype), mu=np.array(2.0, dtype))
    value, slopes = made.loss_and_gradients(parameters, y)
    total = sum(mp.loggamma(mp.mpf(10) ** 8 + int(n)) - mp.loggamma(10**8) for n in y)
    slope = sum(mp.digamma(mp.mpf(10) ** 8 + int(n)) - mp.digamma(10**8) for n in y)
    np.testing.assert_allclose(float(value), float(total), rtol=close)
    np.testing.assert_allclose(float(slopes.r), float(slope), rtol=close)
    assert slopes.r.dtype == dtype


def test_of_nothing() -> None:
    """a + 0 is a: no difference, and no slope by a."""
    a, x = (sf.placeholder(sf.float64, (2,)) for _ in range(2))
    y = sf.lgamma(a + x) - sf.lgamma(a)
    fed = {a: [3.0, 1e8], x: [0.0, 0.0]}
    value, by_a, by_x = sf.Session().run([y, *sf.gradients(y, [a, x])], fed)
    np.testing.assert_array_equal(value, [0.0, 0.0])
    np.testing.assert_array_equal(by_a, [0.0, 0.0])
    np.testing.assert_allclose(by_x, [0.9227843350984671, np.log(1e8) - 5e-9], rtol=1e-15)


def test_a_difference_of_others_stays() -> None:
    a, b = (sf.placeholder(sf.float64, ()) for _ in range(2))
    y = sf.lgamma(a) - sf.lgamma(b)
    assert sf.Session().run(y, {a: 5.0, b: 3.0}) == pytest.approx(np.log(12.0), rel=1e-15)
