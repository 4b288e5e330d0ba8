"""Every function of every other, in value and slope, against the two computed one after the other.

SymPy and the rules make one expression of two. Wherever the two functions on their own have a
number, at the ends of the floating-point numbers too, the one must have it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any
from zlib import crc32

import numpy as np
import pytest
from numpy.typing import NDArray

import symflow as sf
from symflow.rows import ROWS

Array = NDArray[np.float64]

POSITIVE = [0.0, 1e-300, 1e-160, 1e-20, 1e-9, 1e-3, 0.3, 0.5, 0.9, 1 - 1e-9, 1.0, 1 + 1e-9, 1.7]
POSITIVE += [3.0, 20.0, 40.0, 700.0, 1e3, 1e9, 1e17, 1e160, 1e300, np.inf]
POINTS = np.array([*POSITIVE, *(-one for one in POSITIVE), np.nan])

SAMPLE = 12
"""One pair of so many is tested in every run."""


@cache
def computed(*names: str) -> Callable[[Array], tuple[Array, Array]]:
    """A function of a function ..., and its derivative."""
    graph = sf.Graph()
    with graph.as_default():
        x = sf.placeholder(sf.float64, ("n",))
        y: Any = x
        for name in names:
            y = getattr(sf, name)(y)
        fetches = [y, *sf.gradients(y, [x])]
        session = sf.Session()

    def run(at: Array) -> tuple[Array, Array]:
        with np.errstate(all="ignore"):
            value, slope = session.run(fetches, {x: at})
        return value, slope

    return run


@cache
def functions() -> tuple[str, ...]:
    """All functions of one number that give a float."""
    found = []
    for name, row in ROWS.items():
        if row.arity == 1 and row.takes == "numbers" and hasattr(sf, name):
            with sf.Graph().as_default(), sf.Session() as session:
                if session.run(getattr(sf, name)(sf.constant([0.5]))).dtype == np.float64:
                    found.append(name)
    return tuple(found)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "inner" in metafunc.fixturenames:
        metafunc.parametrize("inner", functions())


def test_one_after_the_other(inner: str, long: bool) -> None:
    between, first = computed(inner)(POINTS)
    for outer in functions():
        if not long and crc32(f"{outer} {inner}".encode()) % SAMPLE:
            continue
        found = computed(inner, outer)(POINTS)
        at, toward = between, [between]
        for end in (-np.inf, np.inf):
            toward.append(np.nextafter(np.nextafter(at, end), end))
        values, slopes = zip(*(computed(outer)(one) for one in toward), strict=True)
        with np.errstate(all="ignore"):
            chained = [slope * first for slope in slopes]
        for what, one, wanted in (("value", found[0], values), ("slope", found[1], chained)):
            agrees = _agrees(one, *wanted, digits=1e-14 if what == "value" else 1e-6)
            ends = np.isinf(wanted[0]) if what == "slope" else False  # or there is none, a digit on
            wrong = np.flatnonzero(~(agrees | np.isnan(values[0]) | ends))
            told = [f"{POINTS[k]}: {one[k]!r}, not {wanted[0][k]!r}" for k in wrong]
            assert not told, f"the {what} of {outer}({inner}(x)) at {'; '.join(told)}"


def _agrees(found: Array, wanted: Array, *near: Array, digits: float) -> NDArray[np.bool_]:
    """Within what rounding of the inner function may change; anything where the two fail.

    Slopes one after the other lose digits that one expression keeps: y·(1 - y) of a sigmoid.
    """
    with np.errstate(all="ignore"):
        spread = sum(np.nan_to_num(abs(one - wanted), nan=np.inf) for one in near)
        least = 1e-300 if digits < 1e-10 else 1e-14
        close = abs(found - wanted) <= 4 * spread + digits * abs(wanted) + least
    return close | (found == wanted) | np.isnan(wanted)


def test_what_is_never_a_number() -> None:
    """cos(x) - 1 as -2·sin²(x/2) under a root would be imaginary."""
    for names in (("cos", "acosh"), ("sin", "acosh"), ("tanh", "acosh")):
        value, slope = computed(*names)(np.array([0.3, 1.7]))
        assert np.all(np.isnan(value))
        assert np.all(np.isnan(slope))
