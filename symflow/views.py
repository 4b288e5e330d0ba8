"""Views: linear maps that only move entries, each naming its adjoint.

    reshape ↔ reshape          slice ↔ place (into zeros)        concat ↔ its slices
    gather ↔ scatter-add       a slice that turns axes round ↔ itself    stop_gradient: none

More of them: `tiling.py` (pad, roll, tile, repeat), `matrices.py` (bands and diagonals),
`picking.py` (sorting, entries by coordinates).

A view is one class (see `primitives.py`). Transposes, broadcasting, expand_dims and squeeze are
no views: they are index maps, and vanish into the accesses of the kernels that read them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import sympy as sp

from symflow.primitives import Along, Primitive
from symflow.program import (
    Builder,
    Label,
    Type,
    Value,
    widest,
)
from symflow.shapes import Shape, canonical_size
from symflow.text import Text, shape_text, size_text

Step = tuple["int | sp.Expr | None", "int | sp.Expr | None", int]
"""Start, stop and step of one axis, as in a Python slice; sizes such as `n` may be ends."""

WHOLE: Step = (None, None, 1)
TURNED: Step = (None, None, -1)


@dataclass(frozen=True, slots=True)
class Reshape(Primitive):
    is_view: ClassVar[bool] = True
    source: int
    shape: Shape

    def infer(self, operands: Sequence[Type]) -> Type:
        return Type(self.shape, operands[0].dtype)

    def adjoint(self, program: Builder, position: int, upstream: int, label: Label) -> int | None:
        return program.add(Reshape(upstream, program[self.source].type.shape), label)

    def along(self, axes: Sequence[int | None], types: Sequence[Type]) -> Along:
        """The axis before which the other axes have as many entries as before.

        In front of all others it may also take some of them in, or let them go.
        """
        (axis,), shape = axes, types[0].shape
        assert axis is not None
        before = canonical_size(sp.Mul(*shape[:axis]))
        for at, size in enumerate(self.shape):
            same = size == shape[axis] or (before == 1 and size.has(*shape[axis].free_symbols))
            if same and canonical_size(sp.Mul(*self.shape[:at])) == before:
                return at
        return None

    def numpy(self, operands: Sequence[Text]) -> Text:
        return Text(f"np.reshape({operands[0].source}, {shape_text(self.shape)})")


@dataclass(frozen=True, slots=True)
class Slice(Primitive):
    """`source[key]`: per axis a whole number, which drops the axis, or start, stop and step."""

    is_view: ClassVar[bool] = True
    source: int
    key: tuple[int | Step, ...]

    def infer(self, operands: Sequence[Type]) -> Type:
        shape = operands[0].shape
        sizes = [
            sliced(size, part)
            for size, part in zip(shape, self.key, strict=True)
            if not isinstance(part, int)
        ]
        return Type(tuple(sizes), operands[0].dtype)

    def adjoint(self, program: Builder, position: int, upstream: int, label: Label) -> int | None:
        if all(part in (WHOLE, TURNED) for part in self.key):
            return program.add(Slice(upstream, self.key), label)
        return program.add(Place(upstream, self.key, program[self.source].type.shape), label)

    def along(self, axes: Sequence[int | None], types: Sequence[Type]) -> Along:
        (axis,) = axes
        assert axis is not None
        dropped = sum(isinstance(part, int) for part in self.key[:axis])
        return axis - dropped if takes_all(self.key[axis]) else None

    def numpy(self, operands: Sequence[Text]) -> Text:
        return operands[0].indexed(_key_text(self.key), ())


@dataclass(frozen=True, slots=True)
class Place(Primitive):
    """Zeros of the given shape, with `source` at `key`."""

    source: int
    key: tuple[int | Step, ...]
    shape: Shape

    def infer(self, operands: Sequence[Type]) -> Type:
        return Type(self.shape, operands[0].dtype)

    def adjoint(self, program: Builder, position: int, upstream: int, label: Label) -> int | None:
        return program.add(Slice(upstream, self.key), label)

    def along(self, axes: Sequence[int | None], types: Sequence[Type]) -> Along:
        (axis,) = axes
        kept = [at for at, part in enumerate(self.key) if not isinstance(part, int)]
        assert axis is not None
        return kept[axis] if takes_all(self.key[kept[axis]]) else None

    def numpy(self, operands: Sequence[Text]) -> Text:
        key = ", ".join(_key_text(self.key))
        return Text(f"_placed({operands[0].source}, np.s_[{key}], {shape_text(self.shape)})")


@dataclass(frozen=True, slots=True)
class Concat(Primitive):
    tensors: ClassVar[tuple[str, ...]] = ("sources",)
    sources: tuple[int, ...]
    axis: int

    def infer(self, operands: Sequence[Type]) -> Type:
        shape = list(operands[0].shape)
        shape[self.axis] = sp.Add(*(operand.shape[self.axis] for operand in operands))
        return Type(tuple(shape), widest([operand.dtype for operand in operands]))

    def adjoint(self, program: Builder, position: int, upstream: int, label: Label) -> int | None:
        sizes = [program[source].type.shape[self.axis] for source in self.sources]
        start, stop = sp.Add(*sizes[:position]), sp.Add(*sizes[: position + 1])
        key: list[int | Step] = [WHOLE] * len(program[upstream].type.shape)
        key[self.axis] = (start, stop, 1)
        return program.add(Slice(upstream, tuple(key)), label)

    def along(self, axes: Sequence[int | None], types: Sequence[Type]) -> Along:
        alike = all(axis == axes[0] for axis in axes)
        return axes[0] if alike and axes[0] != self.axis else None

    def numpy(self, operands: Sequence[Text]) -> Text:
        parts = ", ".join(operand.source for operand in operands)
        comma = "," if len(operands) == 1 else ""
        return Text(f"np.concatenate(({parts}{comma}), axis={self.axis})")


def side_by_side(shares: Sequence[Value], shape: Shape) -> Concat | None:
    """The sum of parts placed into zeros, where they cover an axis without gap or overlap.

    The adjoint of `z[:, :64]`, `z[:, 64:]` is one array again, rather than a sum of two.
    """
    found: dict[sp.Expr, tuple[int, sp.Expr]] = {}  # by start: source and stop
    axes: set[int] = set()
    for share in shares:
        if not isinstance(share, Place):
            return None
        parts = [(axis, part) for axis, part in enumerate(share.key) if not takes_all(part)]
        if len(parts) != 1:
            return None
        ((axis, part),) = parts
        if isinstance(part, int) or part[2] != 1:
            return None
        size = shape[axis]
        start, stop = (
            sp.sympify(end) if isinstance(end, sp.Expr) or end >= 0 else size + end
            for end in (0 if part[0] is None else part[0], size if part[1] is None else part[1])
        )
        found[start] = share.source, stop
        axes.add(axis)
    if len(axes) != 1 or len(found) != len(shares):
        return None
    (axis,) = axes
    sources: list[int] = []
    at = sp.Integer(0)
    while at in found:
        source, at = found.pop(at)
        sources.append(source)
    return None if found or at != shape[axis] else Concat(tuple(sources), axis)


@dataclass(frozen=True, slots=True)
class Gather(Primitive):
    """source[..., rows, ...]: entries of one axis, picked by an array of whole numbers."""

    tensors: ClassVar[tuple[str, ...]] = ("source", "rows")
    source: int
    rows: int
    axis: int

    def infer(self, operands: Sequence[Type]) -> Type:
        source, rows = operands
        shape = source.shape[: self.axis] + rows.shape + source.shape[self.axis + 1 :]
        return Type(shape, source.dtype)

    def adjoint(self, program: Builder, position: int, upstream: int, label: Label) -> int | None:
        if position == 1:
            return None
        shape = program[self.source].type.shape
        return program.add(ScatterAdd(upstream, self.rows, self.axis, shape), label)

    def along(self, axes: Sequence[int | None], types: Sequence[Type]) -> Along:
        source, rows = axes
        if source is None:
            return None if rows is None else self.axis + rows
        if rows is not None or source == self.axis:
            return None
        return source if source < self.axis else source + len(types[1].shape) - 1

    def numpy(self, operands: Sequence[Text]) -> Text:
        source, rows = operands
        if self.axis == 0:
            return source.indexed([rows.source], ())
        return Text(f"np.take({source.source}, {rows.source}, axis={self.axis})")


@dataclass(frozen=True, slots=True)
class ScatterAdd(Primitive):
    """Zeros of the given shape, with every entry of `source` added where it was gathered."""

    tensors: ClassVar[tuple[str, ...]] = ("source", "rows")
    source: int
    rows: int
    axis: int
    shape: Shape

    def infer(self, operands: Sequence[Type]) -> Type:
        return Type(self.shape, operands[0].dtype)

    def adjoint(self, program: Builder, position: int, upstream: int, label: Label) -> int | None:
        return None if position else program.add(Gather(upstream, self.rows, self.axis), label)

    def along(self, axes: Sequence[int | None], types: Sequence[Type]) -> Along:
        source, rows = axes
        return "sum" if rows is not None and source == self.axis + rows else None

    def numpy(self, operands: Sequence[Text]) -> Text:
        source, rows = operands
        key = [":"] * self.axis + [rows.source]
        where = f"np.s_[{', '.join(key)}]" if self.axis else rows.source
        return Text(f"_scattered({source.source}, {where}, {shape_text(self.shape)})")


@dataclass(frozen=True, slots=True)
class StopGradient(Primitive):
    """The tensor itself, with nothing behind it as far as derivatives are concerned."""

    is_view: ClassVar[bool] = True
    source: int

    def infer(self, operands: Sequence[Type]) -> Type:
        return operands[0]

    def adjoint(self, program: Builder, position: int, upstream: int, label: Label) -> int | None:
        return None

    def numpy(self, operands: Sequence[Text]) -> Text:
        return operands[0]


def sliced(size: sp.Expr, step: Step) -> sp.Expr:
    """How many entries a slice takes of an axis of that size."""
    start, stop, stride = step
    if all(isinstance(end, int) or end is None for end in (start, stop)) and size.is_Integer:
        return sp.Integer(len(range(*slice(start, stop, stride).indices(int(size)))))
    first, last = (
        size + end if isinstance(end, int) and end < 0 else end
        for end in (0 if start is None else start, size if stop is None else stop)
    )
    return sp.ceiling(sp.expand((last - first) / sp.Integer(abs(stride))))


def takes_all(part: int | Step) -> bool:
    """Whether a key takes all of its axis."""
    return part in (WHOLE, (0, None, 1))


def _end_text(end: object) -> str:
    return "" if end is None else size_text(end) if isinstance(end, sp.Expr) else str(end)


def _key_text(key: Sequence[int | tuple[object, object, int]]) -> list[str]:
    """A key between the brackets."""
    parts: list[str] = []
    for part in key:
        if isinstance(part, int):
            parts.append(str(part))
        elif takes_all(part):
            parts.append(":")
        else:
            start, stop, step = (_end_text(end) for end in part)
            start = "" if start == "0" and part[2] > 0 else start
            colon = " : " if " " in start + stop else ":"  # as a formatter leaves them
            text = f"{start}{colon}{stop}" + (f"{colon}{step}" if step != "1" else "")
            parts.append(text.strip())
    while len(parts) > 1 and parts[-1] == ":":
        parts.pop()
    return parts
