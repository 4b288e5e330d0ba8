"""Running sums and products along an axis, and the recurrence in which their derivatives close.

    cumulative sum       y[j] = y[j-1] + x[j]          ↔  the same from the other end
    cumulative product   y[j] = y[j-1] · x[j]          ↔  (product of those before) · recurrence
    product              y    = Π x[j]                 ↔  (those before) · (those behind)
    recurrence           r[j] = b[j] + a[j] · r[j-1]   ↔  recurrences from the other end
    running maximum      y[j] = max(y[j-1], x[j])      a shift of exponents, which has no derivative

Nothing is ever divided by an entry, so that all derivatives are exact where entries are zero; and
all of them take time proportional to the number of entries, as the values do.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import sympy as sp

from symflow.axes import axes_of, axis_of
from symflow.primitives import Primitive
from symflow.program import (
    ONE,
    Access,
    Builder,
    Label,
    Type,
    Value,
    indices_of,
    kernel,
    slot,
)
from symflow.shapes import Sizes
from symflow.text import Text
from symflow.views import Reshape


@dataclass(frozen=True, slots=True)
class CumulativeSum(Primitive):
    """The sum of the entries up to each one along an axis, from the end if `reverse`."""

    source: int
    axis: int
    reverse: bool = False

    def infer(self, operands: Sequence[Type]) -> Type:
        return _counted(operands[0])

    def adjoint(self, program: Builder, position: int, upstream: int, label: Label) -> int | None:
        return program.add(CumulativeSum(upstream, self.axis, not self.reverse), label)

    def numpy(self, operands: Sequence[Text]) -> Text:
        return _running("np.cumsum", operands[0], self.axis, self.reverse)


@dataclass(frozen=True, slots=True)
class CumulativeProduct(Primitive):
    """The product of the entries up to each one along an axis, from the end if `reverse`."""

    source: int
    axis: int
    reverse: bool = False

    def infer(self, operands: Sequence[Type]) -> Type:
        return _counted(operands[0])

    def adjoint(self, program: Builder, position: int, upstream: int, label: Label) -> int | None:
        """x̄[j] = Π_{i<j} x[i] · s[j]  with  s[j] = ȳ[j] + x[j+1] · s[j+1]."""
        following = shifted(program, self.source, self.axis, 1 if self.reverse else -1)
        behind = Recurrence(following, upstream, self.axis, not self.reverse)
        before = products_before(program, self.source, self.axis, self.reverse)
        return program.elementwise(slot(0) * slot(1), [before, program.add(behind, label)], label)

    def numpy(self, operands: Sequence[Text]) -> Text:
        return _running("np.cumprod", operands[0], self.axis, self.reverse)


@dataclass(frozen=True, slots=True)
class RunningMaximum(Primitive):
    """The largest of the entries up to each one along an axis, from the end if `reverse`.

    It is read behind `StopGradient` alone.
    """

    source: int
    axis: int
    reverse: bool = False

    def infer(self, operands: Sequence[Type]) -> Type:
        return operands[0]

    def adjoint(self, program: Builder, position: int, upstream: int, label: Label) -> int | None:
        return None

    def numpy(self, operands: Sequence[Text]) -> Text:
        return _running("np.maximum.accumulate", operands[0], self.axis, self.reverse)


@dataclass(frozen=True, slots=True)
class Product(Primitive):
    """The product over some axes."""

    source: int
    axes: tuple[int, ...]
    rank: int
    keepdims: bool

    def infer(self, operands: Sequence[Type]) -> Type:
        shape = [
            ONE if axis in self.axes else size
            for axis, size in enumerate(operands[0].shape)
            if self.keepdims or axis not in self.axes
        ]
        return Type(tuple(shape), _counted(operands[0]).dtype)

    def adjoint(self, program: Builder, position: int, upstream: int, label: Label) -> int | None:
        """The share of an entry is the product of all others, those before and those behind it."""
        indices, sizes = indices_of(program[self.source].type.shape)
        above = tuple(
            None if axis in self.axes else index
            for axis, index in enumerate(indices)
            if self.keepdims or axis not in self.axes
        )
        others = self._others(program)
        share = kernel(indices, sizes, slot(0) * slot(1), [Access(upstream, above), others])
        return program.add(share, label)

    def _others(self, program: Builder) -> Access:
        """The product of all entries but each one; those of several axes are put in a row first."""
        name, type_ = program[self.source].label.name, program[self.source].type
        indices, sizes = indices_of(type_.shape)
        if len(self.axes) == 1:
            return Access(_products_beside(program, self.source, self.axes[0], name), indices)
        rest = [axis for axis in range(self.rank) if axis not in self.axes]
        order = [*rest, *self.axes]
        moved, apart = (tuple(many[axis] for axis in order) for many in (indices, type_.shape))
        entries = kernel(moved, sizes, slot(0), [Access(self.source, indices)])
        label = Label(f"{name}_entries")
        count = sp.Mul(*apart[len(rest) :])
        flat = Reshape(program.add(entries, label), (*apart[: len(rest)], count))
        others = _products_beside(program, program.add(flat, label), len(rest), name)
        return Access(program.add(Reshape(others, apart), program[others].label), moved)

    def numpy(self, operands: Sequence[Text]) -> Text:
        if len(self.axes) == self.rank and not self.keepdims:
            return Text(f"np.prod({operands[0].source})")
        axes = str(self.axes[0]) if len(self.axes) == 1 else str(self.axes)
        kept = ", keepdims=True" if self.keepdims else ""
        return Text(f"np.prod({operands[0].source}, axis={axes}{kept})")


@dataclass(frozen=True, slots=True)
class Shift(Primitive):
    """The entries one place further along an axis of `rank` ones, or one back; `fill` moves in."""

    source: int
    axis: int
    by: int
    rank: int
    fill: int = 0

    def infer(self, operands: Sequence[Type]) -> Type:
        return operands[0]

    def adjoint(self, program: Builder, position: int, upstream: int, label: Label) -> int | None:
        return program.add(replace(self, source=upstream, by=-self.by, fill=0), label)

    def numpy(self, operands: Sequence[Text]) -> Text:
        key = [":"] * self.axis + [":-1" if self.by == 1 else "1:"]
        widths = ["(0, 0)"] * self.rank
        widths[self.axis] = "(1, 0)" if self.by == 1 else "(0, 1)"
        width = widths[0] if self.rank == 1 else f"({', '.join(widths)})"
        fill = f", constant_values={self.fill}" if self.fill else ""
        return Text(f"np.pad({operands[0].indexed(key, ()).source}, {width}{fill})")


@dataclass(frozen=True, slots=True)
class Recurrence(Primitive):
    """r[j] = source[j] + factors[j] · r[j-1] along an axis, or with r[j+1] if `reverse`.

    The first factor, behind which there is nothing, does not count.
    """

    tensors: ClassVar[tuple[str, ...]] = ("factors", "source")
    factors: int
    source: int
    axis: int
    reverse: bool = False

    def infer(self, operands: Sequence[Type]) -> Type:
        return operands[1]

    def adjoint(self, program: Builder, position: int, upstream: int, label: Label) -> int | None:
        """λ[j] = r̄[j] + a[j+1] · λ[j+1] is the share of b, and λ[j] · r[j-1] that of a."""
        by = -1 if self.reverse else 1
        factors = shifted(program, self.factors, self.axis, -by)
        back = Recurrence(factors, upstream, self.axis, not self.reverse)
        share = program.add(back, label)
        if position == 1:
            return share
        own = program.add(self, Label(f"{program[self.source].label.name}_recurrence"))
        previous = shifted(program, own, self.axis, by)
        return program.elementwise(slot(0) * slot(1), [share, previous], label)

    def numpy(self, operands: Sequence[Text]) -> Text:
        factors, source = operands
        order = ", reverse=True" if self.reverse else ""
        return Text(f"_recurrence({factors.source}, {source.source}, axis={self.axis}{order})")


def shifted(program: Builder, tensor: int, axis: int, by: int) -> int:
    """The tensor one place further along an axis, or one back."""
    name = Label(f"{program[tensor].label.name}_{'previous' if by == 1 else 'next'}")
    return program.add(Shift(tensor, axis, by, len(program[tensor].type.shape)), name)


def products_before(program: Builder, tensor: int, axis: int, reverse: bool) -> int:
    """The product of the entries before each one, or behind it if `reverse`; 1 where none is."""
    label = program[tensor].label.name
    running = program.add(CumulativeProduct(tensor, axis, reverse), Label(f"{label}_products"))
    by, name = (-1, "behind") if reverse else (1, "before")
    rank = len(program[tensor].type.shape)
    return program.add(Shift(running, axis, by, rank, fill=1), Label(f"{label}_{name}"))


def _products_beside(program: Builder, tensor: int, axis: int, name: str) -> int:
    """The product of all entries of an axis but each one."""
    parts = [products_before(program, tensor, axis, reverse) for reverse in (False, True)]
    return program.elementwise(slot(0) * slot(1), parts, Label(f"{name}_others"))


def _running(function: str, source: Text, axis: int, reverse: bool) -> Text:
    if not reverse:
        return Text(f"{function}({source.source}, axis={axis})")
    turned = [":"] * axis + ["::-1"]
    inner = source.indexed(turned, ()).source
    return Text(f"{function}({inner}, axis={axis})").indexed(turned, ())


def _counted(operand: Type) -> Type:
    """Sums and products of booleans are whole numbers."""
    return Type(operand.shape, "int" if operand.dtype == "bool" else operand.dtype)


# --- operations ------------------------------------------------------------------------------


def cumulative(kind: type[CumulativeSum | CumulativeProduct]) -> Callable[..., Value]:
    def define(operands: Sequence[Type], sizes: Sizes, axis: int, reverse: bool) -> Value:
        return kind(0, axis_of(operands[0], axis), reverse)

    return define


def shift(operands: Sequence[Type], sizes: Sizes, axis: int, by: int, fill: int) -> Value:
    return Shift(0, axis_of(operands[0], axis), by, len(operands[0].shape), fill)


def product(
    operands: Sequence[Type],
    sizes: Sizes,
    axis: int | Sequence[int] | None = None,
    keepdims: bool = False,
) -> Value:
    (operand,) = operands
    axes = axes_of(operand, axis)
    if operand.dtype != "bool" and all(operand.shape[one] == ONE for one in axes):
        indices, extents = indices_of(operand.shape)
        output = [index for at, index in enumerate(indices) if keepdims or at not in axes]
        return kernel(output, extents, slot(0), [Access(0, indices)])
    return Product(0, tuple(sorted(axes)), len(operand.shape), keepdims)
