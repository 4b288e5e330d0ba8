"""Views of matrices: the identity, diagonals, bands.

diagonal ↔ a kernel with the identity      diagonal matrix ↔ its diagonal      band ↔ itself
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import sympy as sp

from symflow.errors import SymflowError
from symflow.primitives import Primitive
from symflow.program import Access, Builder, Label, Type, Value, indices_of, kernel, slot
from symflow.shapes import Sizes, show
from symflow.text import Text, size_text


@dataclass(frozen=True, slots=True)
class Eye(Primitive):
    """1.0 on the diagonal of a matrix, and 0.0 elsewhere."""

    tensors: ClassVar[tuple[str, ...]] = ()
    rows: sp.Expr
    columns: sp.Expr

    def infer(self, operands: Sequence[Type]) -> Type:
        return Type((self.rows, self.columns))

    def numpy(self, operands: Sequence[Text]) -> Text:
        columns = "" if self.rows == self.columns else f", {size_text(self.columns)}"
        return Text(f"np.eye({size_text(self.rows)}{columns}, dtype=dtype)")


@dataclass(frozen=True, slots=True)
class Diagonal(Primitive):
    """z[..., i] = source[..., i, ..., i, ...]: two axes of equal size, read together, put last."""

    is_view: ClassVar[bool] = True
    source: int
    axes: tuple[int, int]

    def infer(self, operands: Sequence[Type]) -> Type:
        shape = operands[0].shape
        rest = [size for axis, size in enumerate(shape) if axis not in self.axes]
        return Type((*rest, shape[self.axes[0]]), operands[0].dtype)

    def adjoint(self, program: Builder, position: int, upstream: int, label: Label) -> int | None:
        shape = program[self.source].type.shape
        output, sizes = indices_of(shape)
        row, column = (output[axis] for axis in self.axes)
        rest = tuple(index for axis, index in enumerate(output) if axis not in self.axes)
        if row is None or column is None:  # a 1 × 1 diagonal is all there is
            accesses, body = [Access(upstream, (*rest, None))], slot(0)
        else:
            ones = program.add(Eye(sizes[row], sizes[row]), Label("identity"))
            accesses = [Access(upstream, (*rest, row)), Access(ones, (row, column))]
            body = slot(0) * slot(1)
        return program.add(kernel(output, sizes, body, accesses), label)

    def numpy(self, operands: Sequence[Text]) -> Text:
        first, second = self.axes
        return Text(f"np.diagonal({operands[0].source}, axis1={first}, axis2={second})")


@dataclass(frozen=True, slots=True)
class DiagonalMatrix(Primitive):
    """z[..., i, i] = source[..., i], and 0 elsewhere; `size` is that of the axis."""

    source: int
    size: sp.Expr
    rank: int

    def infer(self, operands: Sequence[Type]) -> Type:
        return Type((*operands[0].shape, self.size), operands[0].dtype)

    def adjoint(self, program: Builder, position: int, upstream: int, label: Label) -> int | None:
        return program.add(Diagonal(upstream, (self.rank - 1, self.rank)), label)

    def numpy(self, operands: Sequence[Text]) -> Text:
        (source,) = operands
        if self.rank == 1:
            return Text(f"np.diag({source.source})")
        on_diagonal = f"np.eye({size_text(self.size)}, dtype=bool)"
        return Text(f"np.where({on_diagonal}, {source.indexed(['...', 'None'], ()).source}, 0)")


@dataclass(frozen=True, slots=True)
class Band(Primitive):
    """z[..., i, j] = source[..., i, j] where low ≤ j - i ≤ high, and 0 elsewhere."""

    is_view: ClassVar[bool] = True
    source: int
    low: int | None
    high: int | None

    def infer(self, operands: Sequence[Type]) -> Type:
        return operands[0]

    def adjoint(self, program: Builder, position: int, upstream: int, label: Label) -> int | None:
        return program.add(Band(upstream, self.low, self.high), label)

    def numpy(self, operands: Sequence[Text]) -> Text:
        source = operands[0].source
        for function, diagonal in (("np.tril", self.high), ("np.triu", self.low)):
            if diagonal is not None:
                source = f"{function}({source}{f', {diagonal}' if diagonal else ''})"
        return Text(source)


# --- operations ------------------------------------------------------------------------------


def eye(operands: Sequence[Type], sizes: Sizes, rows: sp.Expr, columns: sp.Expr) -> Value:
    return Eye(rows, columns)


def diagonal_matrix(operands: Sequence[Type], sizes: Sizes, rank: int | None = None) -> Value:
    shape = operands[0].shape
    if operands[0].dtype == "bool":
        raise SymflowError("booleans make no diagonal matrix; cast them first")
    if not shape or rank not in (None, len(shape)):
        hint = "; matrix_diag makes one matrix per row" if shape else ""
        raise SymflowError(f"{show(shape)} is no vector{hint}")
    return DiagonalMatrix(0, shape[-1], len(shape))


def diagonal(operands: Sequence[Type], sizes: Sizes, rank: int | None = None) -> Value:
    """The diagonal of the last two axes."""
    shape = operands[0].shape
    if len(shape) < 2 or rank not in (None, len(shape)):
        hint = "; matrix_diag_part takes one diagonal per matrix" if len(shape) > 2 else ""
        raise SymflowError(f"{show(shape)} is no matrix{hint}")
    if sizes.agree(shape[-2], shape[-1]) is None:
        raise SymflowError(f"{show(shape)} is not square")
    return Diagonal(0, (len(shape) - 2, len(shape) - 1))


def band(operands: Sequence[Type], sizes: Sizes, low: int | None, high: int | None) -> Value:
    shape = operands[0].shape
    if len(shape) < 2:
        raise SymflowError(f"{show(shape)} is no matrix")
    return Band(0, low, high)
