"""The program as written as naive code: what a module must give at points where that is a number.

Where neither the program nor its naive code is in trouble, 50 digits are not needed to know what is
right: naive code in double precision is, but for its rounding, and by how much it scatters under
random rounding is how much of it is rounding. So it can be the reference for thousands of rows, for
single precision, and for steps of training.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import sympy as sp
from numpy.typing import NDArray

from symflow.program import Kernel, Program
from symflow.recurrence import Scan
from symflow.validation.comparison import FACTOR, ULPS
from symflow.validation.floats import Floats

Array = NDArray[Any]
Inputs = Mapping[str, Array]

JIGS = 3
"""Runs under random rounding."""

MORE = 3
"""How many times as many there are where a module seems to be wrong, and then again."""

MOST_JIGS = 27
"""Where it is wrong if it still seems so."""

MOST = 10_000_000
"""Terms of kernels that one evaluation may have: about a second."""


@dataclass(frozen=True)
class Expected:
    """An array of the program as written.

    value    in double precision
    allowed  how far a module may be from it, entry by entry
    again    the same by more runs: of many numbers, some scatter little in a few runs, by luck
    """

    value: Array
    allowed: Array
    again: Callable[[], Expected | None] = lambda: None

    def fault(self, given: Any) -> str | None:
        """What is wrong with the values of a module's array of the same shape: " is 1, not 2"."""
        with np.errstate(all="ignore"):
            apart = np.abs(np.asarray(given, float) - self.value)
            wrong = ~(apart <= self.allowed)  # True for NaN
            worse = np.where(wrong, apart / self.allowed, -1.0)
        if not np.any(wrong):
            return None
        surer = self.again()
        if surer is not None:
            return surer.fault(given)
        at = np.unravel_index(int(np.argmax(np.nan_to_num(worse, nan=np.inf))), worse.shape)
        entry = f"[{', '.join(map(str, at))}]" if at else ""
        found, expected = float(np.asarray(given)[at]), float(self.value[at])
        if f"{found:.10g}" == f"{expected:.10g}":
            return f"{entry} is {found!r}, not {expected!r}"
        return f"{entry} is {found:.10g}, not {expected:.10g}"


class Naive:
    """The naive code of a model, for every check that compares with it."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self._known: dict[Any, dict[str, Expected]] = {}

    def runs(self, inputs: Inputs, moved: list[bool], dtype: Any = np.float64) -> dict[str, Array]:
        """The outputs of several runs, one behind the other; `inputs` have an axis for them."""
        return Floats(moved, np.random.default_rng(0), dtype).outputs(self.program, inputs)

    def expected(
        self, inputs: Inputs, dtype: Any = np.float64, key: Any = None, jigs: int = JIGS
    ) -> dict[str, Expected]:
        """The outputs by name, those of them that are finite, in the precision asked for too.

        dtype  what the module computes in; the inputs are numbers of that precision
        key    under which it is known from now on
        """
        named = (key, np.dtype(dtype), jigs)
        if key is None or named not in self._known:
            again = partial(self.expected, inputs, dtype, key)
            found = self._expected(inputs, np.dtype(dtype), jigs, again)
            if key is None:
                return found
            self._known[named] = found
        return self._known[named]

    def _expected(
        self, inputs: Inputs, dtype: Any, jigs: int, known: Callable[[int], dict[str, Expected]]
    ) -> dict[str, Expected]:
        def again(name: str) -> Expected | None:
            return None if jigs >= MOST_JIGS else known(MORE * jigs).get(name)

        moved = [False, *[True] * jigs]
        if dtype == np.float64:
            found = self.runs(_for_runs(inputs, len(moved)), moved)
            pairs = {name: (value[0], value[1:]) for name, value in found.items()}
        else:
            still = self.runs(_for_runs(inputs, 1), moved[:1])
            found = self.runs(_for_runs(inputs, jigs), moved[1:], dtype)
            pairs = {name: (value[0], found[name]) for name, value in still.items()}
        return {
            name: Expected(value, allowance(value, runs, dtype), partial(again, name))
            for name, (value, runs) in pairs.items()
            if np.all(np.isfinite(value)) and (dtype == np.float64 or np.all(np.isfinite(runs)))
        }

    def terms(self, sizes: Mapping[sp.Symbol, int]) -> int:
        """What an evaluation costs, in terms of kernels."""
        return _terms(self.program, {size: sp.Integer(count) for size, count in sizes.items()})

    @property
    def sizes(self) -> list[sp.Symbol]:
        """The sizes that inputs have and no number is, in the order of the inputs."""
        types = (self.program[tensor].type for tensor in self.program.inputs)
        sizes = (size for type_ in types for size in type_.shape)
        return list(dict.fromkeys(size for size in sizes if isinstance(size, sp.Symbol)))

    @property
    def loops(self) -> set[sp.Expr]:
        """The sizes that loops count as their steps."""
        return {one.value.steps for one in self.program.definitions if isinstance(one.value, Scan)}


def _terms(program: Program, sizes: Mapping[sp.Symbol, sp.Integer]) -> int:
    total = 0
    for definition in program.definitions:
        value = definition.value
        if isinstance(value, Scan):
            total += int(value.steps.xreplace(sizes)) * _terms(value.body, sizes)
        elif isinstance(value, Kernel):
            total += OVERHEAD + math.prod(int(size.xreplace(sizes)) for size in value.sizes)
    return total


OVERHEAD = 5_000
"""Terms that are computed in the time that it takes to begin."""


def allowance(value: Array, moved: Array, dtype: Any) -> Array:
    """How far from the value a module may be.

    moved  the naive code's arrays under random rounding, one behind the other
    """
    with np.errstate(all="ignore"):
        spread = np.abs(moved.astype(float) - value)
        spread = np.max(np.where(np.isfinite(spread), spread, 0.0), axis=0)
    largest = np.asarray(np.max(np.abs(value), initial=0.0), dtype)
    return np.asarray(FACTOR * spread + ULPS * float(np.spacing(largest)))


def _for_runs(inputs: Inputs, count: int) -> dict[str, Array]:
    return {name: np.repeat(np.asarray(one)[None], count, 0) for name, one in inputs.items()}
