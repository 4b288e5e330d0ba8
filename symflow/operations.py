"""The table of all other operations: each gives the kernel or the view that computes it.

`define` takes the types of the operands and says what value computes the result, with operand k
read as tensor k. Its type is the shape rule; there is no second one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import sympy as sp

import symflow.matrices as matrices
import symflow.picking as picking
import symflow.running as running
import symflow.tiling as tiling
from symflow.axes import axes_of
from symflow.elementwise import align
from symflow.errors import SymflowError
from symflow.program import (
    ONE,
    Access,
    Derivative,
    Full,
    Iota,
    Reduction,
    Type,
    Value,
    indices_of,
    kernel,
    literal,
    slot,
)
from symflow.program import number as exactly
from symflow.rows import to_float
from symflow.shapes import FITS, Shape, Sizes, broadcast, canonical_size, show
from symflow.solvers import (
    Cholesky,
    Determinant,
    DeterminantSign,
    Inverse,
    LogDeterminant,
    solve,
    square,
)
from symflow.views import (
    WHOLE,
    Concat,
    Gather,
    Reshape,
    Slice,
    Step,
    StopGradient,
    sliced,
)


class Operation(Protocol):
    """A row of either table."""

    @property
    def name(self) -> str: ...

    @property
    def define(self) -> Callable[..., Value]: ...


@dataclass(frozen=True, eq=False)
class Structural:
    """An operation that says itself how indices or entries move.

    joins  whether entries of all operands come to stand in one array: beside floats, integers and
           booleans are floats then, for NumPy would widen float32
    """

    name: str
    define: Callable[..., Value]
    joins: bool = False


def _reduction(operation: Reduction, mean: bool = False) -> Callable[..., Value]:
    def define(
        operands: Sequence[Type],
        sizes: Sizes,
        axis: int | Sequence[int] | None = None,
        keepdims: bool = False,
    ) -> Value:
        (operand,) = operands
        axes = axes_of(operand, axis)
        if operation in ("any", "all") and operand.dtype != "bool":
            raise SymflowError(
                f"booleans are wanted, not {operand.dtype}s", hint="compare first: {0} > 0"
            )
        indices, extents = indices_of(operand.shape)
        output = [
            None if number in axes else index
            for number, index in enumerate(indices)
            if keepdims or number not in axes
        ]
        body = slot(0) if operand.dtype == "float" or not mean else to_float(slot(0))
        if mean:
            body = body / sp.Mul(*(operand.shape[number] for number in axes))
        return kernel(output, extents, body, [Access(0, indices)], operation)

    return define


def _product(operands: Sequence[Type]) -> sp.Expr:
    """All operands multiplied; beside floats, whole numbers become floats of their precision."""
    floating = any(operand.dtype == "float" for operand in operands)
    return sp.Mul(
        *(
            to_float(slot(at)) if floating and operand.dtype != "float" else slot(at)
            for at, operand in enumerate(operands)
        )
    )


def _matmul(operands: Sequence[Type], sizes: Sizes) -> Value:
    """NumPy's matmul: a 1-D operand is a row on the left, a column on the right."""
    left, right = (operand.shape for operand in operands)
    if not left or not right:
        raise SymflowError(
            "a scalar has no rows or columns", hint="multiply by a number with *, not with @"
        )
    rows = left[-2:-1]
    columns = right[-1:] if len(right) > 1 else ()
    inner = sizes.agree(left[-1], right[-2] if len(right) > 1 else right[-1])
    if inner is None:
        meets = "first" if len(right) < 3 else "second to last"
        raise SymflowError("", hint=f"the last dimension of {{0}} must equal the {meets} of {{1}}")
    batch = broadcast([left[:-2], right[:-2]], sizes)
    output, extents = indices_of((*batch, *rows, *columns))
    at = len(batch)
    contracted = None if inner == ONE else len(extents)
    if contracted is not None:
        extents.append(inner)
    accesses = [
        Access(
            0,
            (
                *align(Type(left[:-2]), output[:at]),
                *output[at : at + len(rows)],
                contracted,
            ),
        ),
        Access(
            1,
            (
                *align(Type(right[:-2]), output[:at]),
                contracted,
                *output[at + len(rows) :],
            ),
        ),
    ]
    return kernel(output, extents, _product(operands), accesses)


def _einsum(operands: Sequence[Type], sizes: Sizes, inputs: Sequence[str], output: str) -> Value:
    """Subscripts without repetition inside one operand; the caller has taken diagonals."""
    extents: list[sp.Expr] = []
    numbers: dict[str, int | None] = {}
    known: dict[str, sp.Expr] = {}
    for subscripts, operand in zip(inputs, operands, strict=True):
        if len(subscripts) != len(operand.shape):
            raise SymflowError(
                f"'{subscripts}' does not fit the shape {show(operand.shape)}",
                hint="one letter per axis",
            )
        for letter, size in zip(subscripts, operand.shape, strict=True):
            agreed = sizes.agree(known.get(letter, size), size)
            if agreed is None:
                raise SymflowError(f"'{letter}' is both {known[letter]} and {size}")
            known[letter] = agreed
    for letter, size in known.items():
        numbers[letter] = None if size == ONE else len(extents)
        if size != ONE:
            extents.append(size)
    accesses = [
        Access(at, tuple(numbers[letter] for letter in subscripts))
        for at, subscripts in enumerate(inputs)
    ]
    body = _product(operands)
    return kernel([numbers[letter] for letter in output], extents, body, accesses)


def _tensordot(
    operands: Sequence[Type], sizes: Sizes, axes: int | tuple[tuple[int, ...], tuple[int, ...]]
) -> Value:
    """Summed over so many last axes of a and first ones of b, or over pairs of axes."""
    left, right = operands
    ranks = len(left.shape), len(right.shape)
    if isinstance(axes, int):
        if not 0 <= axes <= min(ranks):
            raise SymflowError(
                f"{axes} axes of {show(left.shape)} and {show(right.shape)} cannot be summed"
            )
        pairs = [(ranks[0] - axes + at, at) for at in range(axes)]
    else:
        first, second = axes_of(left, axes[0]), axes_of(right, axes[1])
        if len(first) != len(second):
            raise SymflowError(f"axes {axes} pairs {len(first)} axes with {len(second)}")
        pairs = list(zip(first, second, strict=True))
    for at, meets in pairs:
        if sizes.agree(left.shape[at], right.shape[meets]) is None:
            raise SymflowError(
                f"axis {at} of {show(left.shape)} differs from axis {meets} of {show(right.shape)}"
            )
    letters = [chr(ord("a") + at) for at in range(sum(ranks))]
    own, other = letters[: ranks[0]], letters[ranks[0] :]
    for at, meets in pairs:
        other[meets] = own[at]
    summed = [own[at] for at, _ in pairs]
    output = "".join(letter for letter in (*own, *other) if letter not in summed)
    return _einsum(operands, sizes, ("".join(own), "".join(other)), output)


def _transpose(operands: Sequence[Type], sizes: Sizes, perm: Sequence[int] | None = None) -> Value:
    (operand,) = operands
    rank = len(operand.shape)
    order = list(range(rank))[::-1] if perm is None else axes_of(operand, perm)
    if len(order) != rank:
        raise SymflowError(f"perm {tuple(order)} does not name every axis of {show(operand.shape)}")
    indices, extents = indices_of(operand.shape)
    return kernel([indices[axis] for axis in order], extents, slot(0), [Access(0, indices)])


def _transpose_matrix(operands: Sequence[Type], sizes: Sizes) -> Value:
    rank = len(operands[0].shape)
    if rank < 2:
        raise SymflowError(
            f"{show(operands[0].shape)} is no matrix to transpose",
            hint="{0}[:, None] makes a column of a vector",
        )
    return _transpose(operands, sizes, (*range(rank - 2), rank - 1, rank - 2))


def _expand_dims(operands: Sequence[Type], sizes: Sizes, axis: int) -> Value:
    (operand,) = operands
    rank = len(operand.shape) + 1
    if not -rank <= axis < rank:
        raise SymflowError(
            f"axis {axis} is out of range for shape {show(operand.shape)}",
            hint=f"a new axis goes from {-rank} to {rank - 1}",
        )
    indices, extents = indices_of(operand.shape)
    output = list(indices)
    output.insert(axis % rank, None)
    return kernel(output, extents, slot(0), [Access(0, indices)])


def _squeeze(
    operands: Sequence[Type], sizes: Sizes, axis: int | Sequence[int] | None = None
) -> Value:
    (operand,) = operands
    indices, extents = indices_of(operand.shape)
    if axis is None:
        axes = [number for number, size in enumerate(operand.shape) if size == ONE]
    else:
        axes = axes_of(operand, axis)
    for number in axes:
        if operand.shape[number] != ONE:
            raise SymflowError(f"axis {number} of {show(operand.shape)} is not of size 1")
    output = [index for number, index in enumerate(indices) if number not in axes]
    return kernel(output, extents, slot(0), [Access(0, indices)])


def _broadcast_to(operands: Sequence[Type], sizes: Sizes, shape: Shape) -> Value:
    (operand,) = operands
    if broadcast([operand.shape, shape], sizes) != sizes.resolved(shape):
        raise SymflowError(f"{show(operand.shape)} does not broadcast to {show(shape)}", hint=FITS)
    output, extents = indices_of(shape)
    return kernel(output, extents, slot(0), [Access(0, align(operand, output))])


def _reshape(operands: Sequence[Type], sizes: Sizes, shape: Sequence[sp.Expr]) -> Value:
    (operand,) = operands
    total = sp.Mul(*operand.shape)
    given = sp.Mul(*(size for size in shape if size != -1))
    if sum(size == -1 for size in shape) > 1:
        raise SymflowError("only one dimension can be -1")
    rest = total / given if given != 0 else sp.Integer(0)
    result = tuple(canonical_size(rest) if size == -1 else sp.sympify(size) for size in shape)
    whole = not rest.is_Rational or rest.is_Integer
    if not whole or sp.expand(sp.Mul(*result) - total) != 0:
        wanted = "(" + ", ".join(map(str, shape)) + ")"
        raise SymflowError(
            f"{show(operand.shape)} cannot be reshaped to {wanted}",
            hint=f"{{0}} has {total} entries, and -1 stands for one size that follows from them",
        )
    return Reshape(0, result)


def _concat(operands: Sequence[Type], sizes: Sizes, axis: int) -> Value:
    first = operands[0]
    (at,) = axes_of(first, axis)
    for operand in operands[1:]:
        same = len(operand.shape) == len(first.shape) and all(
            number == at or sizes.agree(size, other) is not None
            for number, (size, other) in enumerate(zip(first.shape, operand.shape, strict=True))
        )
        if not same:
            raise SymflowError(
                f"{show(first.shape)} and {show(operand.shape)} differ outside axis {at}"
            )
    return Concat(tuple(range(len(operands))), at)


def _slice(operands: Sequence[Type], sizes: Sizes, key: Sequence[int | Step]) -> Value:
    (operand,) = operands
    shape = operand.shape
    if len(key) > len(shape):
        raise SymflowError(
            f"{len(key)} indices for shape {show(shape)}", hint="at most one index per axis"
        )
    full = (*key, *[WHOLE] * (len(shape) - len(key)))
    for size, part in zip(shape, full, strict=True):
        if isinstance(part, int):
            if size.is_Integer and not -size <= part < size:
                raise SymflowError(
                    f"index {part} is out of range for shape {show(shape)}",
                    hint=f"along this axis it goes from {-size} to {size - 1}",
                )
        elif part[2] < 0 and not size.is_Integer and part[:2] != (None, None):
            raise SymflowError(f"a backward slice of {size} entries takes them all, as [::-1]")
        elif sliced(size, part) == 0:
            raise SymflowError(f"a slice of {show(shape)} is empty")
    return Slice(0, tuple(full))


def _gather(operands: Sequence[Type], sizes: Sizes, axis: int = 0) -> Value:
    source, rows = operands
    picking.whole_numbers(rows)
    return Gather(0, 1, axes_of(source, axis)[0])


def _filled(operands: Sequence[Type], sizes: Sizes, shape: Shape, value: float) -> Value:
    """The same number everywhere: an integer or a boolean if the value is one."""
    if isinstance(value, float):
        return literal(exactly(value), shape)
    return Full(int(value), shape, "bool" if isinstance(value, bool) else "int")


def _filled_like(value: int) -> Callable[..., Value]:
    """The same number everywhere, of the shape and kind of the operand."""

    def define(operands: Sequence[Type], sizes: Sizes) -> Value:
        (operand,) = operands
        if operand.dtype == "float":
            return literal(sp.Integer(value), operand.shape)
        return Full(value, operand.shape, operand.dtype)

    return define


def _diagonal(operands: Sequence[Type], sizes: Sizes, axes: tuple[int, int]) -> Value:
    shape = operands[0].shape
    if sizes.agree(shape[axes[0]], shape[axes[1]]) is None:
        raise SymflowError(f"a diagonal of {show(shape)}: the axes differ in size")
    return matrices.Diagonal(0, axes)


def _of_squares(value: Value) -> Callable[..., Value]:
    """A solver that takes square matrices."""

    def define(operands: Sequence[Type], sizes: Sizes) -> Value:
        square(operands[0], sizes)
        return value

    return define


TABLE: dict[str, Structural] = {
    row.name: row
    for row in (
        Structural("reduce_sum", _reduction("sum")),
        Structural("reduce_mean", _reduction("sum", mean=True)),
        Structural("reduce_max", _reduction("max")),
        Structural("reduce_min", _reduction("min")),
        Structural("reduce_any", _reduction("any")),
        Structural("reduce_all", _reduction("all")),
        Structural("reduce_prod", running.product),
        Structural("cumsum", running.cumulative(running.CumulativeSum)),
        Structural("cumprod", running.cumulative(running.CumulativeProduct)),
        Structural("shift", running.shift),
        Structural("segment_sum", picking.segment_sum),
        Structural("matmul", _matmul),
        Structural("einsum", _einsum),
        Structural("tensordot", _tensordot),
        Structural("eye", matrices.eye),
        Structural("diag", matrices.diagonal_matrix),
        Structural("diag_part", matrices.diagonal),
        Structural("band_part", matrices.band),
        Structural("transpose", _transpose),
        Structural("transpose_matrix", _transpose_matrix),
        Structural("expand_dims", _expand_dims),
        Structural("squeeze", _squeeze),
        Structural("broadcast_to", _broadcast_to),
        Structural("reshape", _reshape),
        Structural("concat", _concat, joins=True),
        Structural("slice", _slice),
        Structural("section", tiling.section),
        Structural("flip", tiling.flip),
        Structural("roll", tiling.roll),
        Structural("tile", tiling.tile),
        Structural("repeat", tiling.repeat),
        Structural("pad", tiling.pad),
        Structural("gather", _gather),
        Structural("gather_nd", picking.gather_each),
        Structural("scatter_nd", picking.scatter_each),
        Structural("take_along", picking.along),
        Structural("sparse_softmax_cross_entropy_with_logits", picking.classes),
        Structural("argmax", picking.extremum("argmax")),
        Structural("argmin", picking.extremum("argmin")),
        Structural("argsort", picking.order),
        Structural("top_k", picking.largest),
        Structural("fill", _filled),
        Structural("zeros_like", _filled_like(0)),
        Structural("ones_like", _filled_like(1)),
        Structural("diagonal", _diagonal),
        Structural("matrix_solve", solve),
        Structural("matrix_inverse", _of_squares(Inverse(0))),
        Structural("matrix_determinant", _of_squares(Determinant(0))),
        Structural("log_abs_determinant", _of_squares(LogDeterminant(0))),
        Structural("determinant_sign", _of_squares(DeterminantSign(0))),
        Structural("cholesky", _of_squares(Cholesky(0))),
        Structural("stop_gradient", lambda operands, sizes: StopGradient(0)),
        Structural("range", lambda operands, sizes, size: Iota(size)),
        Structural("gradient", lambda operands, sizes: Derivative(0, 1)),
    )
}
"""Every operation that is not elementwise, by name."""
