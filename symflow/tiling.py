"""Views that repeat, surround and rotate: each entry moves to one place or to several.

pad ↔ slice      roll ↔ roll back      tile, repeat ↔ the sum over the copies
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from dataclasses import dataclass

import sympy as sp

from symflow.axes import axes_of, axis_of
from symflow.errors import SymflowError
from symflow.primitives import Along, Primitive
from symflow.program import Access, Builder, Label, Type, Value, indices_of, kernel, slot
from symflow.shapes import Sizes, canonical_size, show
from symflow.source import literal
from symflow.text import Text
from symflow.views import WHOLE, Reshape, Slice, Step, sliced


@dataclass(frozen=True, slots=True)
class Pad(Primitive):
    """The source with entries of one value around it: per axis, how many before and behind."""

    source: int
    widths: tuple[tuple[int, int], ...]
    value: float

    def infer(self, operands: Sequence[Type]) -> Type:
        (operand,) = operands
        sizes = zip(operand.shape, self.widths, strict=True)
        return Type(tuple(size + sum(width) for size, width in sizes), operand.dtype)

    def adjoint(self, program: Builder, position: int, upstream: int, label: Label) -> int | None:
        key = tuple((before, -behind or None, 1) for before, behind in self.widths)
        return program.add(Slice(upstream, key), label)

    def along(self, axes: Sequence[int | None], types: Sequence[Type]) -> Along:
        (axis,) = axes
        return axis if axis is not None and self.widths[axis] == (0, 0) else None

    def numpy(self, operands: Sequence[Text]) -> Text:
        value = f", constant_values={literal(self.value)}" if self.value else ""
        widths = self.widths[0] if len(self.widths) == 1 else self.widths
        return Text(f"np.pad({operands[0].source}, {widths}{value})")


@dataclass(frozen=True, slots=True)
class Roll(Primitive):
    """Entries moved along axes; those moved beyond the end come in at the beginning."""

    source: int
    shifts: tuple[int, ...]
    axes: tuple[int, ...]

    def infer(self, operands: Sequence[Type]) -> Type:
        return operands[0]

    def adjoint(self, program: Builder, position: int, upstream: int, label: Label) -> int | None:
        return program.add(Roll(upstream, tuple(-one for one in self.shifts), self.axes), label)

    def numpy(self, operands: Sequence[Text]) -> Text:
        shift, axis = (
            str(many[0]) if len(many) == 1 else str(many) for many in (self.shifts, self.axes)
        )
        return Text(f"np.roll({operands[0].source}, {shift}, axis={axis})")


@dataclass(frozen=True, slots=True)
class Tile(Primitive):
    """The whole repeated along every axis, as often as `multiples` says."""

    source: int
    multiples: tuple[int, ...]

    def infer(self, operands: Sequence[Type]) -> Type:
        (operand,) = operands
        pairs = zip(operand.shape, self.multiples, strict=True)
        return Type(tuple(canonical_size(size * many) for size, many in pairs), operand.dtype)

    def adjoint(self, program: Builder, position: int, upstream: int, label: Label) -> int | None:
        parts: list[sp.Expr] = []
        copies: list[int] = []
        for size, many in zip(program[self.source].type.shape, self.multiples, strict=True):
            if many > 1:
                copies.append(len(parts))
                parts.append(sp.Integer(many))
            parts.append(size)
        return _summed(program, upstream, parts, copies, label)

    def numpy(self, operands: Sequence[Text]) -> Text:
        many = self.multiples[0] if len(self.multiples) == 1 else self.multiples
        return Text(f"np.tile({operands[0].source}, {many})")


@dataclass(frozen=True, slots=True)
class Repeat(Primitive):
    """Every entry of an axis repeated in place."""

    source: int
    repeats: int
    axis: int

    def infer(self, operands: Sequence[Type]) -> Type:
        shape = list(operands[0].shape)
        shape[self.axis] = canonical_size(shape[self.axis] * self.repeats)
        return Type(tuple(shape), operands[0].dtype)

    def adjoint(self, program: Builder, position: int, upstream: int, label: Label) -> int | None:
        parts = list(program[self.source].type.shape)
        parts.insert(self.axis + 1, sp.Integer(self.repeats))
        return _summed(program, upstream, parts, [self.axis + 1], label)

    def numpy(self, operands: Sequence[Text]) -> Text:
        return Text(f"np.repeat({operands[0].source}, {self.repeats}, axis={self.axis})")


def _summed(
    program: Builder, upstream: int, parts: Sequence[sp.Expr], copies: Sequence[int], label: Label
) -> int:
    """The adjoint of the copies apart from each other, in axes of their own, summed over those."""
    apart = program.add(Reshape(upstream, tuple(parts)), Label(f"{label.name}_copies"))
    indices, sizes = indices_of(tuple(parts))
    output = [index for axis, index in enumerate(indices) if axis not in copies]
    return program.add(kernel(output, sizes, slot(0), [Access(apart, indices)]), label)


# --- operations ------------------------------------------------------------------------------


def pad(
    operands: Sequence[Type], sizes: Sizes, widths: Sequence[tuple[int, int]], value: float
) -> Value:
    check_widths(operands[0], widths)
    return Pad(0, tuple(widths), value)


def check_widths(operand: Type, widths: Sequence[tuple[int, int]]) -> None:
    if len(widths) != len(operand.shape):
        raise SymflowError(f"{len(widths)} paddings for shape {show(operand.shape)}")


def roll(
    operands: Sequence[Type],
    sizes: Sizes,
    shift: int | Sequence[int],
    axis: int | Sequence[int],
) -> Value:
    (operand,) = operands
    axes = axes_of(operand, axis)
    shifts = list(shift) if isinstance(shift, Sequence) else [shift]
    shifts = [_whole("shift", one) for one in shifts * (len(axes) if len(shifts) == 1 else 1)]
    if len(shifts) != len(axes):
        raise SymflowError(f"{len(shifts)} shifts for {len(axes)} axes")
    return Roll(0, tuple(shifts), tuple(axes))


def tile(operands: Sequence[Type], sizes: Sizes, multiples: Sequence[int]) -> Value:
    (operand,) = operands
    many = tuple(_whole("multiple", one, 1) for one in multiples)
    if len(many) != len(operand.shape):
        raise SymflowError(f"multiples {many} is not one per axis of {show(operand.shape)}")
    return Tile(0, many)


def repeat(operands: Sequence[Type], sizes: Sizes, repeats: int, axis: int) -> Value:
    return Repeat(0, _whole("repeats", repeats, 1), axis_of(operands[0], axis))


def flip(operands: Sequence[Type], sizes: Sizes, axis: int | Sequence[int] | None = None) -> Value:
    (operand,) = operands
    axes = axes_of(operand, axis)
    if not axes:  # a scalar
        indices, extents = indices_of(operand.shape)
        return kernel(indices, extents, slot(0), [Access(0, indices)])
    key = [(None, None, -1) if at in axes else WHOLE for at in range(len(operand.shape))]
    return Slice(0, tuple(key))


def section(
    operands: Sequence[Type], sizes: Sizes, axis: int, start: int | None, stop: int | None
) -> Value:
    """source[start:stop] along one axis."""
    (operand,) = operands
    at = axis_of(operand, axis)
    key: list[int | Step] = [WHOLE] * len(operand.shape)
    key[at] = (start, stop, 1)
    size = sliced(operand.shape[at], (start, stop, 1))
    if size.is_Integer and size < 1:
        raise SymflowError(f"axis {axis} of {show(operand.shape)} has no entries {start}:{stop}")
    return Slice(0, tuple(key))


def _whole(name: str, value: object, least: int | None = None) -> int:
    try:
        number = operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        raise SymflowError(f"{name} {value!r} is no whole number") from None
    if least is not None and number < least:
        raise SymflowError(f"{name} {number} is less than {least}")
    return number
