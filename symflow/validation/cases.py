"""Parameters and data of all the numbers of rows at which a module can change its ways.

A module of the fast style computes block by block, and says in `BLOCK` how many rows a block has.
While it is tested, blocks are of four rows, so that one row, a block less a row, a block, a block
and a row, and several blocks and a rest are all small; and then once more as it is.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from types import ModuleType
from typing import Any

import numpy as np
import sympy as sp
from numpy.typing import NDArray

from symflow.compilation import Compilation
from symflow.initial import initial_values
from symflow.program import Program
from symflow.validation.naive import MOST, Expected, Naive
from symflow.validation.points import Given, inputs_of

Array = NDArray[Any]

BLOCK = 4
"""Rows of a block while a module is tested."""

FEW = (1, 2, BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK, 6 * BLOCK - 1)
"""Numbers of rows, for blocks of that many."""

FEWER = (1, 2, BLOCK + 1)
"""The same of sizes that are not those of rows."""

FAR = 7.0
"""Of which data are multiples that are to be far from zero."""

OTHERS = (3, 2)
"""What sizes are that are not in question: the first at which the program is a number."""

MANY = 131
"""Rows where there are no blocks."""

LESS = 47
"""The same of large models."""

LARGE = 1_000_000
"""Terms of kernels in several blocks of four rows beyond which a model is large."""

_DRAWS: Sequence[Callable[[np.random.Generator, tuple[int, ...]], Array]] = (
    lambda random, shape: random.standard_normal(shape),
    lambda random, shape: random.uniform(0.1, 0.9, shape),
    lambda random, shape: random.uniform(1.1, 2.9, shape),
    lambda random, shape: random.integers(0, 2, shape).astype(float),
    lambda random, shape: random.integers(1, 6, shape).astype(float),
)
"""Where data are drawn from, until the program is finite."""

_WHOLE = (8, 3, 2)
"""Below which whole numbers are drawn, until there are such indices."""


@dataclass(frozen=True)
class Case:
    """Parameters and data by name, in double precision or whole numbers.

    name   how it is told: "5 rows"
    sizes  of the data, by their names
    rows   of a block; None is as the module has it
    """

    name: str
    sizes: Mapping[sp.Symbol, int]
    inputs: Mapping[str, Array]
    rows: int | None = BLOCK

    def cast(self, dtype: Any) -> dict[str, Array]:
        """The inputs as a module in that precision is given them."""
        return {
            name: np.array(value, dtype if value.dtype.kind == "f" else value.dtype)
            for name, value in self.inputs.items()
        }


class Cases:
    """Cases of one model, each with what the program as written gives there; computed once.

    program  all outputs, as written
    """

    def __init__(self, compilation: Compilation, program: Program, seed: int = 0) -> None:
        self.compilation = compilation
        self.reference = Naive(program)
        self.seed = seed
        self.sizes = self.reference.sizes
        self._found: dict[Any, Case | None] = {}
        self._many: dict[tuple[int, ...], Sequence[Case]] = {}
        initial = initial_values(compilation.model.graph, np.float64)
        self.parameters = {
            compilation.name(node): initial[id(node)] for node in compilation.trainable
        }

    @cached_property
    def few(self) -> Sequence[Case]:
        """Each open size in turn, few of it and a few blocks; the other sizes are small."""
        found: dict[tuple[tuple[sp.Symbol, int], ...], Case] = {}
        if not self.sizes:
            case = self.case({})
            return [] if case is None else [case]
        for size in self.sizes:
            for count in FEW if size == self.rows else FEWER:
                for other in OTHERS:
                    sizes = {one: count if one == size else other for one in self.sizes}
                    case = self.case(sizes)
                    if case is not None:
                        found.setdefault(tuple(sizes.items()), case)
                        break
        far = [self._far(case, sign) for case in [*found.values()][:1] for sign in (1.0, -1.0)]
        return [*found.values(), *(case for case in far if self.expected(case))]

    def _far(self, case: Case, sign: float) -> Case:
        """The same with data out where exponentials are large and small."""
        inputs = {
            name: value
            if name in self.parameters or value.dtype.kind != "f"
            else sign * FAR * (1.0 + np.abs(value))
            for name, value in case.inputs.items()
        }
        return replace(
            case, name=f"{case.name}, data far {'up' if sign > 0 else 'down'}", inputs=inputs
        )

    def many(self, module: ModuleType) -> Sequence[Case]:
        """Blocks as they are in the module: one and a row, and two and a rest."""
        block = getattr(module, "BLOCK", None)
        counts = (block + 1, 2 * block + 7) if isinstance(block, int) else (self.most,)
        if counts not in self._many:
            self._many[counts] = self._with_rows(counts)
        return self._many[counts]

    @property
    def most(self) -> int:
        return LESS if self.large else MANY

    @cached_property
    def large(self) -> bool:
        """Whether fewer rows must do."""
        rows = FEW[-1]
        return self.cost({one: rows if one == self.rows else 3 for one in self.sizes}) > LARGE

    def _with_rows(self, counts: Sequence[int]) -> list[Case]:
        found = []
        for count in counts if self.rows is not None else ():
            sizes = {one: count if one == self.rows else OTHERS[0] for one in self.sizes}
            case = self.case(sizes, None) if self.cost(sizes) <= MOST else None
            if case is not None:
                found.append(case)
        return found

    @property
    def rows(self) -> sp.Symbol | None:
        """What counts the rows: the first open size that counts no steps."""
        loops = self.reference.loops
        return next((size for size in self.sizes if size not in loops), None)

    def cost(self, sizes: Mapping[sp.Symbol, int]) -> int:
        return self.reference.terms(sizes)

    def case(self, sizes: Mapping[sp.Symbol, int], rows: int | None = BLOCK) -> Case | None:
        """One with these sizes, of data at which as many outputs as possible are finite."""
        key = (*sizes.items(), rows)
        if key not in self._found:
            self._found[key] = self._best(self._candidates(sizes, rows))
        return self._found[key]

    def _best(self, candidates: Iterator[Case]) -> Case | None:
        best, most = None, 0
        for case in candidates:
            finite = len(self.expected(case))
            if finite > most:
                best, most = case, finite
            if finite == len(self.reference.program.outputs):
                break
        return best

    def expected(self, case: Case, dtype: Any = np.float64) -> dict[str, Expected]:
        """What the outputs of the program are, those that are finite."""
        inputs = {
            name: value.astype(np.float64) if value.dtype.kind == "f" else value
            for name, value in case.cast(dtype).items()
        }
        try:
            return self.reference.expected(inputs, dtype, (case.name, self.seed))
        except (IndexError, ValueError, ArithmeticError):
            return {}  # no such index, a size that does not fit, no number

    def _candidates(self, sizes: Mapping[sp.Symbol, int], rows: int | None) -> Iterator[Case]:
        given = inputs_of(self.reference.program, sizes)
        told = ", ".join(f"{name} = {n}" for name, n in sizes.items()) or "no open size"
        if rows is None:
            told += " in blocks as they are"
        bounds = _WHOLE if any(one.dtype == "int" for one in given) else _WHOLE[:1]
        for number, (draw, bound) in enumerate(itertools.product(_DRAWS, bounds)):
            random = np.random.default_rng([self.seed, *sizes.values()])
            inputs = {one.name: self._drawn(one, draw, bound, random) for one in given}
            name = f"{told}, data {number + 1}" if number else told
            yield Case(name, sizes, inputs, rows)

    def _drawn(
        self, one: Given, draw: Callable[..., Array], bound: int, random: np.random.Generator
    ) -> Array:
        if one.parameter and one.name in self.parameters:
            around = self.parameters[one.name]
            return np.asarray(around + 0.1 * random.standard_normal(one.shape))
        if one.dtype == "float":
            return np.asarray(draw(random, one.shape), float)
        if one.dtype == "bool":
            return random.integers(0, 2, one.shape).astype(bool)
        return random.integers(0, bound, one.shape)


@contextlib.contextmanager
def blocks_of(module: ModuleType, rows: int | None) -> Iterator[None]:
    """The module with blocks of so many rows."""
    before = getattr(module, "BLOCK", None)
    if rows is None or before is None:
        yield
        return
    module.BLOCK = rows  # type: ignore[attr-defined]
    try:
        yield
    finally:
        module.BLOCK = before  # type: ignore[attr-defined]
