"""How much of a number is rounding: the naive code's runs, and as many of them as it takes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from symflow.files import compilation
from symflow.validation.floats import Floats
from symflow.validation.naive import MOST_JIGS, Expected, Naive
from symflow.validation.written import as_written

HEAD = 'import symflow as sf\nx = sf.placeholder(shape=("n", "m"), name="x")\n'


@pytest.fixture
def naive(tmp_path: Path) -> Callable[[str], Naive]:
    def made(loss: str) -> Naive:
        path = tmp_path / "model.py"
        path.write_text(f"{HEAD}w = sf.Variable(1.0)\nz = {loss}\n__all__ = ['z']\n")
        return Naive(as_written(compilation(path, {})))

    return made


@pytest.mark.parametrize("count", [2, 8, 63, 64, 1000])
@pytest.mark.parametrize("rows", [1, 3, 40])
def test_sums_are_added_one_by_one_in_another_order(
    count: int, rows: int, naive: Callable[[str], Naive]
) -> None:
    """The first run is NumPy's; the others are off by half a unit of Σ|x| for each addition.

    The sum and its product are moved besides, by up to two units each, and rounded.
    """
    random = np.random.default_rng(count)
    x = random.integers(-(2**20), 2**20, (rows, count)) * 2.0**40 + 1.0  # some bits are lost
    data = np.broadcast_to(x, (40, rows, count))
    moved = [False, *[True] * 39]
    found = Floats(moved, random).outputs(
        naive("w * sf.reduce_sum(x, 1)").program, {"x": data, "w": np.ones(40)}
    )["z"]
    assert np.array_equal(found[0], np.sum(x, 1))
    exact = np.array([float(sum(map(int, row))) for row in x])
    unit = np.spacing(np.sum(np.abs(x), 1))
    off = np.abs(found - exact) / unit
    assert np.max(off) <= 5 + count / 2
    assert np.all(np.std(found[1:], axis=0) > 0)


def test_the_runs_that_are_not_moved_are_bit_for_bit_naive(naive: Callable[[str], Naive]) -> None:
    x = np.random.default_rng(0).normal(size=(4, 5, 7))
    moved = [True, False, True, False]
    found = naive("sf.exp(w * x) / (1 + x * x)").runs({"x": x, "w": np.ones(4)}, moved)["z"]
    naively = np.exp(x) / (1 + x * x)
    for run, is_moved in enumerate(moved):
        assert np.array_equal(found[run], naively[run]) != is_moved
    assert np.allclose(found, naively, rtol=1e-14)


def test_what_seems_wrong_is_asked_again_with_more_runs() -> None:
    value, asked = np.zeros(3), []

    def more(allowed: float, then: Callable[[], Expected | None]) -> Callable[[], Expected]:
        def made() -> Expected:
            asked.append(allowed)
            return Expected(value, np.full(3, allowed), then)

        return made

    strict = Expected(value, np.full(3, 0.1), more(0.2, more(0.5, lambda: None)))
    assert strict.fault(np.full(3, 0.05)) is None
    assert asked == []
    assert strict.fault(np.full(3, 0.3)) is None
    assert asked == [0.2, 0.5]
    assert strict.fault(np.array([0.0, 0.6, 0.0])) == "[1] is 0.6, not 0"
    assert strict.fault(np.array([0.0, np.nan, 0.0])) == "[1] is nan, not 0"


def test_a_sum_of_thousands_by_rows_in_any_order(naive: Callable[[str], Naive]) -> None:
    """Blocks, threads and sorting add up in orders of their own: none of a hundred is alarming."""
    random = np.random.default_rng(1)
    x, n, m = random.normal(size=(16391, 5)), 16391, 5
    written = naive("w * sf.reduce_sum(x, 0)")
    known = written.expected({"x": x, "w": np.array(1.0)}, key="x")["z"]
    for _ in range(100):
        order = random.permutation(n)
        blocks = np.array_split(order, int(random.choice([1, 2, 3, 16, 1000])))
        total = np.zeros(m)
        for block in blocks:
            total += np.add.accumulate(x[block], axis=0)[-1]
        assert known.fault(total) is None
    assert known.fault(total * (1 + 1e-10)) is not None
    assert MOST_JIGS >= 24
