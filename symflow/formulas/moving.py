"""What is no kernel, as formulas: a view reads other indices, a running sum is a Σ with a bound.

What has no such form is a function of whole tensors: `cholesky(a)[i, j]`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal, Protocol

import sympy as sp

from symflow.formulas.algebra import number, plus, times, tree, truth
from symflow.formulas.tree import (
    ZERO,
    Big,
    Call,
    Fenced,
    Number,
    Power,
    Product,
    Relation,
    Tree,
)
from symflow.matrices import Band, Diagonal, DiagonalMatrix, Eye
from symflow.picking import Extremum, GatherEach, TakeAlong
from symflow.primitives import Primitive
from symflow.program import Program
from symflow.running import CumulativeProduct, CumulativeSum
from symflow.running import Product as ProductOver
from symflow.solvers import (
    Determinant,
    DeterminantSign,
    Inverse,
    LogDeterminant,
    Solve,
)
from symflow.views import Gather, Slice, StopGradient
from symflow.windows import Windows


class Reading(Protocol):
    """What a move can ask of the reader; see `reading.py`."""

    @property
    def program(self) -> Program: ...

    def read(self, tensor: int, indices: Sequence[Tree], scope: Sequence[Tree]) -> Tree: ...

    def whole(self, tensor: int) -> Tree: ...

    def fresh(self, count: int, within: Iterable[Tree]) -> list[Tree]: ...


Indices = Sequence[Tree]
Move = Callable[[Any, Any, Indices, Indices], Tree]
"""Of the reader, the primitive, the indices of an entry and those around it: the entry."""


def _same(reader: Reading, value: StopGradient, indices: Indices, scope: Indices) -> Tree:
    return reader.read(value.source, indices, scope)


def _slice(reader: Reading, value: Slice, indices: Indices, scope: Indices) -> Tree:
    shape = reader.program[value.source].type.shape
    fresh = iter(indices)
    found: list[Tree] = []
    for size, part in zip(shape, value.key, strict=False):
        if isinstance(part, tuple):
            start, _, stride = part
            first = _from_start(start if start is not None else 0 if stride > 0 else -1, size)
            found.append(_shifted(next(fresh), first, stride))
        else:
            found.append(tree(_from_start(part, size), {}))
    return reader.read(value.source, [*found, *fresh], scope)


def _from_start(place: int | sp.Expr, size: sp.Expr) -> sp.Expr:
    return sp.sympify(size + place if isinstance(place, int) and place < 0 else place)


def _shifted(index: Tree, by: sp.Expr, stride: int = 1) -> Tree:
    """stride · index + by."""
    return plus([times([number(sp.Integer(stride)), index]), tree(by, {})])


def _gather(reader: Reading, value: Gather, indices: Indices, scope: Indices) -> Tree:
    rank = len(reader.program[value.rows].type.shape)
    before, at, behind = (
        indices[: value.axis],
        indices[value.axis : value.axis + rank],
        indices[value.axis + rank :],
    )
    row = reader.read(value.rows, at, scope)
    return reader.read(value.source, [*before, row, *behind], scope)


def _take_along(reader: Reading, value: TakeAlong, indices: Indices, scope: Indices) -> Tree:
    row = reader.read(value.rows, indices, scope)
    place = [*indices[: value.axis], row, *indices[value.axis + 1 :]]
    return reader.read(value.source, place, scope)


def _gather_each(reader: Reading, value: GatherEach, indices: Indices, scope: Indices) -> Tree:
    rank = len(reader.program[value.rows].type.shape) - 1
    first = [
        reader.read(value.rows, [*indices[:rank], Number(str(at))], scope)
        for at in range(value.depth)
    ]
    return reader.read(value.source, [*first, *indices[rank:]], scope)


def _windows(reader: Reading, value: Windows, indices: Indices, scope: Indices) -> Tree:
    sliding = value.sliding
    last = value.at + len(sliding.axes)
    inside, outside = indices[value.at : last], [*indices[: value.at], *indices[last:]]
    for axis, within, stride, dilation in zip(
        sliding.axes, inside, sliding.strides, sliding.dilations, strict=True
    ):
        stepped = [times([Number(str(stride)), outside[axis]])]
        outside[axis] = plus([*stepped, times([Number(str(dilation)), within])])
    return reader.read(value.source, outside, scope)


def _running(kind: Literal["sum", "product"]) -> Move:
    def entry(
        reader: Reading,
        value: CumulativeSum | CumulativeProduct,
        indices: Indices,
        scope: Indices,
    ) -> Tree:
        (over,) = reader.fresh(1, (*scope, *indices))
        place = [*indices[: value.axis], over, *indices[value.axis + 1 :]]
        body = reader.read(value.source, place, (*scope, *indices, over))
        bound = "≥" if value.reverse else "≤", indices[value.axis]
        return Big(kind, (over,), body, bound)

    return entry


def _product(reader: Reading, value: ProductOver, indices: Indices, scope: Indices) -> Tree:
    over = reader.fresh(len(value.axes), (*scope, *indices))
    kept, found = iter(indices), iter(over)
    place: list[Tree] = []
    for axis in range(value.rank):
        reduced = axis in value.axes
        if not reduced or value.keepdims:
            index = next(kept)
        place.append(next(found) if reduced else index)
    return Big("product", tuple(over), reader.read(value.source, place, (*scope, *place)))


def _extremum(reader: Reading, value: Extremum, indices: Indices, scope: Indices) -> Tree:
    over = reader.fresh(1, (*scope, *indices))
    place = [*indices[: value.axis], *over, *indices[value.axis :]]
    return Big(value.function, tuple(over), reader.read(value.source, place, (*scope, *place)))


def _eye(reader: Reading, value: Eye, indices: Indices, scope: Indices) -> Tree:
    return truth(Relation(indices[0], "=", indices[1]))


def _diagonal(reader: Reading, value: Diagonal, indices: Indices, scope: Indices) -> Tree:
    rest = iter(indices[:-1])
    rank = len(indices) + 1
    place = [indices[-1] if axis in value.axes else next(rest) for axis in range(rank)]
    return reader.read(value.source, place, scope)


def _diagonal_matrix(
    reader: Reading, value: DiagonalMatrix, indices: Indices, scope: Indices
) -> Tree:
    on = truth(Relation(indices[-2], "=", indices[-1]))
    return times([reader.read(value.source, indices[:-1], scope), on])


def _band(reader: Reading, value: Band, indices: Indices, scope: Indices) -> Tree:
    row, column = indices[-2:]
    low = None if value.low is None else _shifted(row, sp.Integer(value.low))
    high = None if value.high is None else _shifted(row, sp.Integer(value.high))
    conditions: list[Tree] = [] if low is None else [Relation(column, "≥", low)]
    conditions += [] if high is None else [Relation(column, "≤", high)]
    entry = reader.read(value.source, indices, scope)
    return times([entry, *map(truth, conditions)])


MOVES: Mapping[type, Move] = {
    StopGradient: _same,
    Slice: _slice,
    Gather: _gather,
    TakeAlong: _take_along,
    GatherEach: _gather_each,
    Windows: _windows,
    CumulativeSum: _running("sum"),
    CumulativeProduct: _running("product"),
    ProductOver: _product,
    Extremum: _extremum,
    Eye: _eye,
    Diagonal: _diagonal,
    DiagonalMatrix: _diagonal_matrix,
    Band: _band,
}
"""Primitives of which an entry is a formula in entries of what they read."""


def made_of_whole(reader: Reading, value: Primitive) -> Tree:
    """Any other primitive: a function of whole tensors, of which entries are read."""
    operands = [reader.whole(operand) for operand in value.operands]
    inverse = Power(operands[0], tree(sp.Integer(-1), {})) if operands else ZERO
    if isinstance(value, Inverse):
        return inverse
    if isinstance(value, Solve):
        return Product((inverse, operands[1]))
    if isinstance(value, Determinant):
        return Call("det", tuple(operands))
    if isinstance(value, DeterminantSign):
        return Call("sign", (Call("det", tuple(operands)),))
    if isinstance(value, LogDeterminant):
        determinant = Call("det", tuple(operands))
        return Call("log", (Fenced("abs", determinant) if value.size else determinant,))
    return Call(called(value), tuple(operands))


def called(value: object) -> str:
    """The name of a primitive's class as that of a function: `overlap_add`."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", type(value).__name__).lower()
