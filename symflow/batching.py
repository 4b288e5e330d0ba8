"""Program → which of its axes is the batch, and which tensors are summed over it.

A loss is computed in blocks of rows, by threads, or from arrays larger than memory exactly when
it is  f(Σ_n l_n)  over an index n: each row's share depends on that row and on what all rows
share, and what is left to do after the sum reads no row. In index notation this can be seen:

    free   no row in it:                   w, w·wᵀ
    row    carries n on one axis:          z[n, j] = Σ_k x[n, k]·w[k, j]
    sum    a sum over n of rows:           g[k, j] = Σ_n x[n, k]·d[n, j]
    after  computed from sums:             loss = √s

An index is the batch if every kernel that reads rows reads them all at the same index, if nothing
but a sum reduces it, and if no row waits for a sum: that would take a second pass over the rows.
A primitive says itself whether it treats entries along an axis apart (`Primitive.along`). Several
entries of a row may stand one after the other on the axis of the rows: images of 8 × 8 pixels as
64·n rows of a matrix are still n rows.

In a block `n` counts the rows of the block. Where it stands in a formula, as in a mean, it is the
number of all rows, and gets a name of its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import sympy as sp

from symflow.primitives import Primitive
from symflow.program import Definition, Input, Kernel, Program, Type, dimension
from symflow.recurrence import Scan

Place = Literal["free", "row", "sum", "after"]

LEAST_ROWS = 512
"""Of a size that is a number, and not a name, to be tried as the batch: fewer rows gain nothing."""


@dataclass(frozen=True)
class Batch:
    """A program with a batch index.

    program  with the size of the batch as `rows`, and as `total` where it is a number in a formula
    rows     the size that counts the rows of a block
    total    the number of all rows
    size     the size as the model declares it: a name, or a number
    axes     for each input with rows, the axis that they are along
    places   what each tensor is
    """

    program: Program
    rows: sp.Symbol
    total: sp.Symbol
    size: sp.Expr
    axes: Mapping[str, int]
    places: tuple[Place, ...]


def batched(program: Program, roots: Sequence[int]) -> Batch | None:
    """The batch of what `roots` depend on, or None where there is none."""
    live = program.live(roots)
    for size in _candidates(program, live):
        found = _Analysis(program, live, size).run()
        if found is not None:
            return found
    return None


def places(batch: Batch, program: Program, roots: Sequence[int]) -> tuple[Place, ...]:
    """What each tensor is in a program that computes the same in other steps."""
    analysis = _Analysis(program, program.live(roots), batch.rows)
    known = analysis.classified()
    assert known, "a program with a batch has lost it"
    return tuple(analysis.places)


def _candidates(program: Program, live: Sequence[bool]) -> list[sp.Expr]:
    """Sizes that may count rows: names first, in the order of the placeholders; then numbers."""
    found: list[sp.Expr] = []
    for kind in ("placeholder", "variable"):
        for tensor in program.inputs:
            value = program[tensor].value
            if live[tensor] and isinstance(value, Input) and value.kind == kind:
                found += [size for size in value.type.shape if size not in found]
    names = [size for size in found if size.is_Symbol]
    numbers = [size for size in found if size.is_Integer and size >= LEAST_ROWS]
    return names + numbers


class _Analysis:
    def __init__(self, program: Program, live: Sequence[bool], size: sp.Expr) -> None:
        self.program = program
        self.live = live
        self.size = size
        self.places: list[Place] = ["free"] * len(program.definitions)
        self.axes: dict[int, int] = {}
        self.indices: dict[int, int] = {}  # of kernels, the index that counts rows

    def run(self) -> Batch | None:
        if not self.classified() or "sum" not in self.places:
            return None
        rows = self.size if self.size.is_Symbol else self._named("n")
        total = self._named(f"total_{rows}")
        program = self._rewritten(rows, total)
        return Batch(program, rows, total, self.size, self._cut(), tuple(self.places))

    def _cut(self) -> dict[str, int]:
        """The inputs of which a block has rows, also where nothing but their size is read."""
        found: dict[str, int] = {}
        for tensor, definition in enumerate(self.program.definitions):
            value, shape = definition.value, definition.type.shape
            if not isinstance(value, Input):
                continue
            if tensor in self.axes:
                found[value.name] = self.axes[tensor]
            elif self.size.is_Symbol and shape.count(self.size) == 1:
                found[value.name] = shape.index(self.size)
        return found

    def _named(self, wanted: str) -> sp.Symbol:
        """A size by a name that no input and no other size has."""
        sizes = [size for one in self.program.definitions for size in one.type.shape]
        taken = {symbol.name for size in sizes for symbol in size.free_symbols}
        taken |= {
            one.value.name for one in self.program.definitions if isinstance(one.value, Input)
        }
        while wanted in taken:
            wanted += "_"
        return dimension(wanted)

    def classified(self) -> bool:
        """Find the place of every live tensor; whether each has one."""
        for tensor, definition in enumerate(self.program.definitions):
            if not self.live[tensor]:
                continue
            value = definition.value
            if isinstance(value, Input):
                found = self._input(tensor, definition.type)
            elif isinstance(value, Kernel):
                found = self._kernel(tensor, value)
            else:
                found = self._other(tensor, definition)
            if not found:
                return False
        return True

    def _input(self, tensor: int, type_: Type) -> bool:
        axes = [axis for axis, size in enumerate(type_.shape) if size == self.size]
        if any(size.has(self.size) for size in type_.shape if size != self.size):
            return False
        if len(axes) == 1:
            self.places[tensor] = "row"
            self.axes[tensor] = axes[0]
        return len(axes) < 2

    def _kernel(self, tensor: int, value: Kernel) -> bool:
        found: set[int] = set()
        waits = False
        for access in value.accesses:
            place = self.places[access.tensor]
            waits = waits or place in ("sum", "after")
            if place == "row":
                index = access.indices[self.axes[access.tensor]]
                if index is None:
                    return False
                found.add(index)
        if not found:
            outer = (at for at in value.output if at is not None)
            found = {at for at in outer if self._counts_rows(value.sizes[at])}
        if not found:
            self.places[tensor] = "after" if waits else "free"
            return not any(map(self._counts_rows, value.sizes))
        if len(found) > 1 or waits:
            return False
        (index,) = found
        if not self._is_of_whole_rows(value.sizes[index]):
            return False
        for access in value.accesses:
            if self.places[access.tensor] != "row" and index in access.indices:
                return False
        if self.size.is_Symbol and sum(map(self._counts_rows, value.sizes)) > 1:
            return False
        self.indices[tensor] = index
        if index in value.output:
            self.places[tensor] = "row"
            self.axes[tensor] = value.output.index(index)
            return True
        self.places[tensor] = "sum"
        return value.reduction == "sum"

    def _other(self, tensor: int, definition: Definition) -> bool:
        value = definition.value
        operands = [self.places[one] for one in value.operands]
        if any(place in ("sum", "after") for place in operands):
            self.places[tensor] = "after"
            return "row" not in operands
        if "row" not in operands:
            steps = [value.steps] if isinstance(value, Scan) else []
            return not any(map(self._counts_rows, [*definition.type.shape, *steps]))
        if not isinstance(value, Primitive) or not self.size.is_Symbol:
            return False
        axis = value.along([self.axes.get(one) for one in value.operands], self._types(value))
        counted = sum(map(self._counts_rows, definition.type.shape))
        if axis is None:
            return False
        if axis == "sum":
            self.places[tensor] = "sum"
            return counted == 0
        self.places[tensor] = "row"
        self.axes[tensor] = axis
        return counted == 1

    def _counts_rows(self, size: sp.Expr) -> bool:
        return bool(size.has(self.size))

    def _is_of_whole_rows(self, size: sp.Expr) -> bool:
        """Whether every row has as much of it as any other, as of 64·n, and not of n + 1."""
        return not self._counts_rows(size / self.size)

    def _types(self, value: Primitive) -> list[Type]:
        return [self.program[operand].type for operand in value.operands]

    def _rewritten(self, rows: sp.Symbol, total: sp.Symbol) -> Program:
        """The program with the two numbers of rows told apart."""
        definitions: list[Definition] = []
        for tensor, definition in enumerate(self.program.definitions):
            value, type_ = definition.value, definition.type
            if self.places[tensor] == "row" and self.size.is_Integer:
                shape = list(type_.shape)
                shape[self.axes[tensor]] = rows
                type_ = replace(type_, shape=tuple(shape))
            if isinstance(value, Input):
                value = replace(value, type=type_)
            elif isinstance(value, Kernel) and self.live[tensor]:
                sizes = list(value.sizes)
                if tensor in self.indices and self.size.is_Integer:
                    sizes[self.indices[tensor]] = rows
                body = value.body
                if self.size.is_Symbol and body.has(self.size):
                    body = body.xreplace({self.size: total})
                value = replace(value, sizes=tuple(sizes), body=body)
            definitions.append(replace(definition, value=value, type=type_))
        return Program(tuple(definitions), self.program.outputs)
