"""Kinks, singular points and overflows on which other frameworks were measured.

The cases are those of `data/peers_at_singular_points.md`, by the names that they have there; where
every peer says NaN and mathematics has an answer, this is the answer.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose
from reference import evaluate

import symflow as sf

INF, NAN = np.inf, np.nan
LOG_2 = float(np.log(2.0))

CASES: dict[str, tuple[Callable[..., Any], list[float], list[float]]] = {
    "abs @0": (sf.abs, [0], [0, 0]),
    "sqrt @0": (sf.sqrt, [0], [0, INF]),
    "relu @0": (sf.relu, [0], [0, 0]),
    "maximum @tie": (sf.maximum, [1, 1], [1, 0.5, 0.5]),
    "minimum @tie": (sf.minimum, [1, 1], [1, 0.5, 0.5]),
    "reduce_max tie [x,x]": (lambda x, y: sf.reduce_max(sf.stack([x, y])), [1, 1], [1, 0.5, 0.5]),
    "clip @edge": (lambda x: sf.clip_by_value(x, -1.0, 1.0), [1], [1, 1]),
    "pow 0**0": (sf.pow, [0, 0], [1, 0, 0]),
    "pow 0**2": (sf.pow, [0, 2], [0, 0, 0]),
    "pow 0**.5": (sf.pow, [0, 0.5], [0, INF, 0]),
    "pow (-2)**3": (sf.pow, [-2, 3], [-8, 12, 0]),
    "pow (-2)**.5": (sf.pow, [-2, 0.5], [NAN, NAN, NAN]),
    "norm [x,y]@0 sqrt(x2+y2)": (lambda x, y: sf.sqrt(x**2 + y**2), [0, 0], [0, 0, 0]),
    "linalg.norm @0": (lambda x, y: sf.norm(sf.stack([x, y])), [0, 0], [0, 0, 0]),
    "prod [0,3] via reduce_prod": (
        lambda x, y: sf.reduce_prod(sf.stack([x, y])),
        [0, 3],
        [0, 3, 0],
    ),
    "where(x>0,sqrt(x),0) @-1": (lambda x: sf.where(x > 0, sf.sqrt(x), 0.0), [-1], [0, 0]),
    "where(x>0,log(x),0) @0": (lambda x: sf.where(x > 0, sf.log(x), 0.0), [0], [0, 0]),
    "sigmoid @800": (sf.sigmoid, [800], [1, 0]),
    "sigmoid @-800": (sf.sigmoid, [-800], [0, 0]),
    "log(sigmoid) @-800 naive": (lambda x: sf.log(sf.sigmoid(x)), [-800], [-800, 1]),
    "log_sigmoid @-800": (sf.log_sigmoid, [-800], [-800, 1]),
    "softplus @800": (sf.softplus, [800], [800, 1]),
    "log(1+exp) @800 naive": (lambda x: sf.log(1 + sf.exp(x)), [800], [800, 1]),
    "logsumexp [1000,1000]": (
        lambda x, y: sf.reduce_logsumexp(sf.stack([x, y])),
        [1000, 1000],
        [1000 + LOG_2, 0.5, 0.5],
    ),
    "logsumexp [-inf,-inf]": (
        lambda x, y: sf.reduce_logsumexp(sf.stack([x, y])),
        [-INF, -INF],
        [-INF, 0, 0],
    ),
    "x*log(x) @0 naive": (lambda x: x * sf.log(x), [0], [0, -INF]),
    "tanh @400": (sf.tanh, [400], [1, 0]),
    "x/x @0": (lambda x: x / x, [0], [1, 0]),
    "atan2(0,0)": (sf.atan2, [0, 0], [0, 0, 0]),
    "sign @0": (sf.sign, [0], [0, 0]),
}


def cells(line: str) -> list[str]:
    return [cell.strip().strip("*") for cell in line.strip().strip("|").split("|")]


def test_the_page_shows_all_that_was_measured() -> None:
    """docs/numerics.md: what is tested here beside what others give, as measured."""
    data = Path(__file__).parent / "data" / "peers_at_singular_points.md"
    page = (Path(__file__).parent.parent / "docs" / "numerics.md").read_text("utf-8")
    measured = [cells(line) for line in data.read_text("utf-8").splitlines()[2:]]
    shown = [cells(line) for line in page.splitlines() if cells(line)[0] in CASES]
    assert len(measured) == len(CASES) == 30
    assert [[name, *others] for name, own, *others, why in shown] == measured
    for name, own, *_ in shown:
        _, _, expected = CASES[name]
        assert own == f"({', '.join(f'{one:g}' for one in expected)})", name


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_singular_point(case: tuple[Callable[..., Any], list[float], list[float]]) -> None:
    function, at, expected = case
    x = [sf.placeholder(sf.float64, ()) for _ in at]
    y = function(*x)
    found = evaluate([y, *sf.gradients(y, x)], dict(zip(x, map(float, at), strict=True)))
    assert_allclose(found, expected, rtol=1e-15)
