"""Windows as users ask for them: strides, padding and data formats checked, windows as nodes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from symflow.arrays import transpose
from symflow.errors import SymflowError, calling_location
from symflow.functions import to_float
from symflow.graph import Tensor, apply, convert
from symflow.operations import Structural
from symflow.program import Access, Type, Value, indices_of, kernel, slot
from symflow.shapes import Shape, Sizes, show
from symflow.tiling import Pad
from symflow.views import WHOLE, Step
from symflow.windows import Padding, Sliding, Windows

Whole = int | Sequence[int]
"""A number for all axes that windows slide along, one for each, or one per axis of the tensor."""

FORMATS = {1: ("NWC", "NCW"), 2: ("NHWC", "NCHW"), 3: ("NDHWC", "NCDHW")}


@dataclass(frozen=True)
class Call:
    """What a user called: the function, how many axes windows slide along, in which format."""

    name: str
    spatial: int
    data_format: str

    def __post_init__(self) -> None:
        known = FORMATS[self.spatial]
        if self.data_format not in known:
            raise self.error(f"data_format is {self.data_format!r}: use {' or '.join(known)}")

    def error(self, message: str) -> SymflowError:
        return SymflowError(f"{self.name}: {message}", calling_location())

    @property
    def _channels_first(self) -> bool:
        return self.data_format == FORMATS[self.spatial][1]

    @property
    def axes(self) -> tuple[int, ...]:
        """The axes that windows slide along, channels last."""
        return tuple(range(1, self.spatial + 1))

    def operand(self, x: Any) -> Tensor:
        """A tensor of floats, channels last."""
        x = convert(x)
        if x.type is not None and len(x.type.shape) != self.spatial + 2:
            raise self.error(
                f"{self.data_format} takes {self.spatial + 2} axes, "
                f"but the input is {show(x.type.shape)}"
            )
        if x.type is None or x.type.dtype != "float":
            x = to_float(x)
        return transpose(x, (0, *range(2, self.spatial + 2), 1)) if self._channels_first else x

    def result(self, x: Tensor, name: str | None, part: str) -> Tensor:
        """The result in the format of the call, under the user's name."""
        if self._channels_first:
            x = transpose(x.called(part), (0, self.spatial + 1, *self.axes))
        x.name = name
        return x.called(part)

    def filter(self, filter: Any) -> tuple[Tensor, tuple[int, ...]]:
        """The filter, and its size along each axis."""
        filter = convert(filter)
        if filter.shape is None or len(filter.shape) != self.spatial + 2:
            told = "no shape" if filter.type is None else f"shape {show(filter.type.shape)}"
            raise self.error(
                f"a filter has {self.spatial + 2} axes: its size, then channels in and out; "
                f"this one has {told}"
            )
        size = tuple(one for one in filter.shape[: self.spatial] if isinstance(one, int))
        if len(size) < self.spatial:
            raise self.error("the size of a filter is of fixed numbers")
        return filter, size

    def sliding(self, size: Whole, strides: Whole, dilations: Whole) -> Sliding:
        return Sliding(
            self.axes,
            self.entries("ksize", size),
            self.entries("strides", strides),
            self.entries("dilations", dilations),
        )

    def entries(self, what: str, value: Whole) -> tuple[int, ...]:
        """One number per axis that windows slide along."""
        given: list[Any] = list(value) if isinstance(value, (list, tuple)) else [value]
        if any(not isinstance(one, (int, np.integer)) or one < 1 for one in given):
            raise self.error(f"{what} is {value!r}: use whole numbers from 1")
        found = [int(one) for one in given]
        if len(found) == self.spatial + 2:
            batch, channels, found = self._split(found)
            if (batch, channels) != (1, 1):
                raise self.error(f"{what} is {value!r}: 1 along batch and channels")
        if len(found) == 1:
            found *= self.spatial
        if len(found) != self.spatial:
            raise self.error(
                f"{what} is {value!r}: one number, {self.spatial}, or {self.spatial + 2}"
            )
        return tuple(found)

    def padding(self, padding: Any) -> Padding:
        """ "SAME", "VALID", or a pair for each axis that windows slide along."""
        if isinstance(padding, str):
            if padding.upper() not in ("SAME", "VALID"):
                raise self.error(f"padding is {padding!r}: use 'SAME', 'VALID' or pairs of numbers")
            return padding.upper()
        try:
            pairs = [tuple(int(one) for one in pair) for pair in padding]
        except TypeError:
            raise self.error(
                f"padding is {padding!r}: use 'SAME', 'VALID' or pairs of numbers"
            ) from None
        if len(pairs) == self.spatial + 2:
            batch, channels, pairs = self._split(pairs)
            if any(batch) or any(channels):
                raise self.error(f"padding is {padding!r}: none along batch and channels")
        if len(pairs) != self.spatial or any(
            len(pair) != 2 or min(pair, default=0) < 0 for pair in pairs
        ):
            raise self.error(
                f"padding is {padding!r}: {self.spatial} pairs of numbers from 0, before and after"
            )
        return tuple((before, after) for before, after in pairs)

    def _split(self, entries: list[Any]) -> tuple[Any, Any, list[Any]]:
        """Those of batch and channels, and those of the axes between or behind."""
        if self._channels_first:
            return entries[0], entries[1], entries[2:]
        return entries[0], entries[-1], entries[1:-1]


def windows_of(
    call: Call,
    operands: Sequence[Tensor],
    sliding: Sliding,
    padding: Padding,
    at: int,
    fill: float = 0.0,
) -> Tensor:
    """All windows of the first operand, padded with `fill`; the second, if any, is a filter."""
    how: dict[str, Any] = {"sliding": sliding, "padding": padding}
    padded = apply(Structural(call.name, _padded), operands, fill=fill, **how).called("padded")
    return apply(_WINDOWS, [padded], sliding=sliding, at=at).called("windows")


def _padded(
    operands: Sequence[Type], sizes: Sizes, sliding: Sliding, padding: Padding, fill: float
) -> Value:
    """The first operand with its padding; all that can be wrong with shapes is found out here."""
    operand, *filters = operands
    rank = len(sliding.axes) + 2
    if len(operand.shape) != rank:
        raise SymflowError(f"the input has {len(operand.shape)} axes, not {rank}")
    for one in filters:
        if sizes.agree(operand.shape[-1], one.shape[-2]) is None:
            raise SymflowError(
                f"the input has {operand.shape[-1]} channels, the filter takes {one.shape[-2]}"
            )
    shape = sizes.resolved(operand.shape)
    pads = sliding.pads(shape, padding)
    wide = padded_shape(shape, sliding, pads)
    sliding.counts(wide)
    if not any(map(any, pads)):
        indices, extents = indices_of(shape)
        return kernel(indices, extents, slot(0), [Access(0, indices)])
    along = dict(zip(sliding.axes, pads, strict=True))
    return Pad(0, tuple(along.get(axis, (0, 0)) for axis in range(rank)), fill)


def padded_shape(shape: Shape, sliding: Sliding, pads: Sequence[tuple[int, int]]) -> Shape:
    wide = list(shape)
    for axis, pair in zip(sliding.axes, pads, strict=True):
        wide[axis] += sum(pair)
    return tuple(wide)


def inside(sliding: Sliding, pads: Sequence[tuple[int, int]]) -> tuple[Step, ...]:
    """Where a tensor stands in its padding."""
    key = [WHOLE] * (len(sliding.axes) + 2)
    for axis, (before, after) in zip(sliding.axes, pads, strict=True):
        key[axis] = (before or None, -after or None, 1)
    return tuple(key)


def _windows(operands: Sequence[Type], sizes: Sizes, sliding: Sliding, at: int) -> Value:
    (operand,) = operands
    if set(sliding.size) | set(sliding.strides) != {1}:
        return Windows(0, sliding, at)
    indices, extents = indices_of(operand.shape)  # each entry is a window
    output = (*indices[:at], *[None] * len(sliding.axes), *indices[at:])
    return kernel(output, extents, slot(0), [Access(0, indices)])


_WINDOWS = Structural("windows", _windows)
