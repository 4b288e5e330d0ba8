"""Windows that slide along some axes, and adding them up where they overlap.

    window[.., k, .., i, ..]  =  source[.., stride · i + dilation · k, ..]
    window ↔ overlap-add (into zeros)

Each is the adjoint of the other, so both can be differentiated any number of times. Convolution
and average pooling are contractions of windows, max pooling is a maximum over them: kernels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import sympy as sp

from symflow.errors import SymflowError
from symflow.primitives import Along, Primitive
from symflow.program import Access, Builder, Label, Type, indices_of, kernel, slot
from symflow.shapes import Shape
from symflow.text import Text, shape_text

Padding = str | tuple[tuple[int, int], ...]
""""SAME", "VALID", or how many entries before and after each axis that windows slide along."""


@dataclass(frozen=True, slots=True)
class Sliding:
    """How windows slide: one entry per axis that they slide along, in ascending order of axes."""

    axes: tuple[int, ...]
    size: tuple[int, ...]
    strides: tuple[int, ...]
    dilations: tuple[int, ...]

    @property
    def reach(self) -> tuple[int, ...]:
        """From the first entry of a window to its last, both included."""
        pairs = zip(self.size, self.dilations, strict=True)
        return tuple(dilation * (size - 1) + 1 for size, dilation in pairs)

    def counts(self, shape: Shape) -> Shape:
        """How many windows there are along each axis; `shape` is padded already."""
        found: list[sp.Expr] = []
        for axis, reach, stride in zip(self.axes, self.reach, self.strides, strict=True):
            if shape[axis].is_Integer and shape[axis] < reach:
                raise SymflowError(
                    f"a window of {reach} does not fit into axis {axis}, which has {shape[axis]}"
                )
            found.append(sp.ceiling(sp.expand((shape[axis] - reach + 1) / sp.Integer(stride))))
        return tuple(found)

    def pads(self, shape: Shape, padding: Padding) -> tuple[tuple[int, int], ...]:
        """Entries to add before and after each axis. "SAME" is TensorFlow's: ⌈size / stride⌉
        windows, and what is odd goes behind.
        """
        if padding == "VALID":
            return ((0, 0),) * len(self.axes)
        if padding != "SAME":
            assert not isinstance(padding, str)
            return padding
        pads: list[tuple[int, int]] = []
        for axis, reach, stride in zip(self.axes, self.reach, self.strides, strict=True):
            size = shape[axis]
            if stride == 1:
                total = reach - 1
            elif size.is_Integer:
                total = max((-(-int(size) // stride) - 1) * stride + reach - int(size), 0)
            else:
                raise SymflowError(
                    f"padding SAME with stride {stride} depends on the size of axis {axis}, "
                    f"which is {size}: give it as a number, or use VALID"
                )
            pads.append((total // 2, total - total // 2))
        return tuple(pads)

    def text(self) -> str:
        """As arguments of the generated helpers."""
        parts = [f"axes={self.axes}"]
        if any(stride > 1 for stride in self.strides):
            parts.append(f"strides={self.strides}")
        if any(dilation > 1 for dilation in self.dilations):
            parts.append(f"dilations={self.dilations}")
        return ", ".join(parts)


@dataclass(frozen=True, slots=True)
class Windows(Primitive):
    """All windows of `source`; the axes inside a window stand together, from axis `at` on.

    The axes slid along stay where they are, and count the windows.
    """

    source: int
    sliding: Sliding
    at: int

    def infer(self, operands: Sequence[Type]) -> Type:
        (operand,) = operands
        shape = list(operand.shape)
        counts = self.sliding.counts(operand.shape)
        for axis, count in zip(self.sliding.axes, counts, strict=True):
            shape[axis] = count
        shape[self.at : self.at] = map(sp.Integer, self.sliding.size)
        return Type(tuple(shape), operand.dtype)

    def adjoint(self, program: Builder, position: int, upstream: int, label: Label) -> int | None:
        output, sizes = indices_of(program[upstream].type.shape)
        inside = slice(self.at, self.at + len(self.sliding.axes))
        first = (*output[inside], *output[: inside.start], *output[inside.stop :])
        if first != output:
            moved = kernel(first, sizes, slot(0), [Access(upstream, output)])
            upstream = program.add(moved, Label(f"{program[upstream].label.name}", -1))
        shape = program[self.source].type.shape
        return program.add(OverlapAdd(upstream, self.sliding, shape), label)

    def along(self, axes: Sequence[int | None], types: Sequence[Type]) -> Along:
        (axis,) = axes
        if axis is None or axis in self.sliding.axes:
            return None
        return axis if axis < self.at else axis + len(self.sliding.size)

    def numpy(self, operands: Sequence[Text]) -> Text:
        return Text(
            f"_windows({operands[0].source}, {self.sliding.size}, {self.sliding.text()}"
            + (f", at={self.at})" if self.at else ")")
        )


@dataclass(frozen=True, slots=True)
class OverlapAdd(Primitive):
    """Zeros of the given shape, with every window of `source` added where it was taken from.

    The axes inside a window are the first ones of `source`: then what is added at once lies
    together in memory, which is two to four times as fast.
    """

    source: int
    sliding: Sliding
    shape: Shape

    def infer(self, operands: Sequence[Type]) -> Type:
        (operand,) = operands
        expected = Windows(0, self.sliding, 0).infer([Type(self.shape, operand.dtype)])
        assert operand == expected, f"{operand.shape} are no windows of {self.shape}"
        return Type(self.shape, operand.dtype)

    def adjoint(self, program: Builder, position: int, upstream: int, label: Label) -> int | None:
        return program.add(Windows(upstream, self.sliding, 0), label)

    def along(self, axes: Sequence[int | None], types: Sequence[Type]) -> Along:
        (axis,), inside = axes, len(self.sliding.size)
        if axis is None or axis < inside or axis - inside in self.sliding.axes:
            return None
        return axis - inside

    def numpy(self, operands: Sequence[Text]) -> Text:
        shape = shape_text(self.shape)
        return Text(f"_overlap_added({operands[0].source}, {shape}, {self.sliding.text()})")
