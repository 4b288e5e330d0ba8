"""A likelihood that chooses by `where` under a logarithm is as exact as one that does above it."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import mpmath
import numpy as np
import pytest

import symflow as sf
from symflow.program import slot
from symflow.rows import ROWS
from symflow.rules import rewritten

MANY = SimpleNamespace(
    exp=mpmath.exp,
    log=mpmath.log,
    sigmoid=lambda x: 1 / (1 + mpmath.exp(-x)),
    ndtr=lambda x: mpmath.erfc(-x / mpmath.sqrt(2)) / 2,
    where=lambda condition, yes, no: yes if condition else no,
    equal=lambda x, y: x == y,
)

POINTS = np.array([-800.0, -40.0, -0.3, 1.5, 40.0, 800.0])
Formula = Callable[[Any, Any, Any], Any]

CASES: dict[str, Formula] = {
    "Bernoulli": lambda m, y, x: m.log(m.where(y > 0, m.sigmoid(x), 1 - m.sigmoid(x))),
    "Bernoulli, labels": lambda m, y, x: m.log(
        m.where(m.equal(y, 1.0), m.sigmoid(x), 1 - m.sigmoid(x))
    ),
    "by hand": lambda m, y, x: m.log(m.where(y > 0, 1 / (1 + m.exp(-x)), 1 - 1 / (1 + m.exp(-x)))),
    "the other way": lambda m, y, x: m.log(m.where(y < 1, 1 - m.sigmoid(2 * x), m.sigmoid(2 * x))),
    "a number in a branch": lambda m, y, x: m.log(m.where(y > 0, m.sigmoid(x), 0.5)),
    "probit": lambda m, y, x: m.log(m.where(y > 0, m.ndtr(x), 1 - m.ndtr(x))),
    "Poisson or none": lambda m, y, x: m.log(m.where(y > 0, m.exp(x), 1 + m.exp(x))),
    "ordered": lambda m, y, x: m.log(
        m.where(y > 0, m.sigmoid(x), m.where(y < 0, 0.25, 1 - m.sigmoid(x)))
    ),
    "times a weight": lambda m, y, x: -3.0 * m.log(m.where(y > 0, m.sigmoid(x), 1 - m.sigmoid(x))),
}


@pytest.mark.parametrize("label", [0.0, 1.0])
@pytest.mark.parametrize("name", CASES)
def test_value_and_slope(name: str, label: float) -> None:
    formula = CASES[name]
    x, y = (sf.placeholder(sf.float64, (len(POINTS),)) for _ in range(2))
    loss = formula(sf, y, x)
    fetches = [loss, *sf.gradients(sf.reduce_sum(loss), [x])]
    feed = {x: POINTS, y: np.full(len(POINTS), label)}
    value, slope = sf.Session().run(fetches, feed)
    scale = 4 if name == "probit" else 1
    with mpmath.workdps(1200):
        for at, point in enumerate(POINTS):
            if scale > 1 and abs(point) > 100:
                continue
            right = formula(MANY, label, mpmath.mpf(point))
            step = mpmath.mpf(10) ** -60
            ends = [formula(MANY, label, mpmath.mpf(point) + one * step) for one in (-1, 1)]
            assert value[at] == pytest.approx(float(right), rel=scale * 1e-15, abs=1e-300)
            expected = float((ends[1] - ends[0]) / (2 * step))
            assert slope[at] == pytest.approx(expected, rel=scale * 1e-15, abs=1e-300)


def test_what_gains_nothing_stays() -> None:
    """One logarithm, not two; and the guard of a branch is one that a rule has put there."""
    c, x, y = (slot(at) for at in range(3))
    for yes in (x, x * y, ROWS["sin"](x)):
        body = ROWS["log"](ROWS["where"](c, yes, 1))
        assert not [one for one in rewritten(body, "written")[1] if one.rule == "log-of-choice"]
