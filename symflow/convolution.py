"""Convolution, under TensorFlow 1's names: a contraction of windows with a filter.

As in TensorFlow, the filter is not turned round (which makes it a cross-correlation), and padding
"SAME" gives ⌈size / stride⌉ windows, with what is odd behind. Along an axis whose size is known
only at run time, "SAME" needs stride 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sympy as sp

import symflow.operations as operations
from symflow.errors import SymflowError
from symflow.graph import Tensor, apply, shape_of
from symflow.operations import Structural
from symflow.program import Type, Value
from symflow.shapes import Shape, Sizes, show
from symflow.sliding import Call, Whole, inside, padded_shape, windows_of
from symflow.windows import OverlapAdd, Padding, Sliding


def conv1d(
    value: Any,
    filters: Any,
    stride: Whole,
    padding: Any,
    data_format: str = "NWC",
    dilations: Whole = 1,
    name: str | None = None,
) -> Tensor:
    """(n, w, c) with filters (k, c, o) → (n, w', o). See `conv2d`."""
    call = Call("conv1d", 1, data_format)
    return _convolution(call, value, filters, stride, padding, dilations, name)


def conv2d(
    input: Any,
    filter: Any,
    strides: Whole,
    padding: Any,
    data_format: str = "NHWC",
    dilations: Whole = 1,
    name: str | None = None,
) -> Tensor:
    """(n, h, w, c) with a filter (k, l, c, o) → (n, h', w', o).

        y[n, i, j, o] = Σ_klc x[n, s·i + d·k, s·j + d·l, c]·filter[k, l, c, o]

    strides, dilations  s and d: a number, two, or four in the order of `data_format`
    padding             "SAME", "VALID", or pairs (before, after): two, or four as for strides
    data_format         "NHWC", or "NCHW" for (n, c, h, w) → (n, o, h', w'); the filter is the same
    """
    call = Call("conv2d", 2, data_format)
    return _convolution(call, input, filter, strides, padding, dilations, name)


def conv3d(
    input: Any,
    filter: Any,
    strides: Whole,
    padding: Any,
    data_format: str = "NDHWC",
    dilations: Whole = 1,
    name: str | None = None,
) -> Tensor:
    """(n, d, h, w, c) with a filter (k, l, m, c, o) → (n, d', h', w', o). See `conv2d`."""
    call = Call("conv3d", 3, data_format)
    return _convolution(call, input, filter, strides, padding, dilations, name)


def _convolution(
    call: Call,
    input: Any,
    filter: Any,
    strides: Whole,
    padding: Any,
    dilations: Whole,
    name: str | None,
) -> Tensor:
    filter, size = call.filter(filter)
    sliding = call.sliding(size, strides, dilations)
    operands = [call.operand(input), filter]
    windows = windows_of(call, operands, sliding, call.padding(padding), at=call.spatial + 1)
    along, within = "ijm"[: call.spatial], "klp"[: call.spatial]
    product = _einsum((f"n{along}{within}c", f"{within}co"), f"n{along}o", windows, filter)
    return call.result(product, name, "convolution")


def depthwise_conv2d(
    input: Any,
    filter: Any,
    strides: Whole,
    padding: Any,
    rate: Whole = 1,
    data_format: str = "NHWC",
    name: str | None = None,
) -> Tensor:
    """(n, h, w, c) with a filter (k, l, c, m) → (n, h', w', c·m): every channel by itself.

    `rate` is what `dilations` are in `conv2d`.
    """
    call = Call("depthwise_conv2d", 2, data_format)
    filter, size = call.filter(filter)
    sliding = call.sliding(size, strides, rate)
    operands = [call.operand(input), filter]
    windows = windows_of(call, operands, sliding, call.padding(padding), at=3)
    product = _einsum(("nijklc", "klcm"), "nijcm", windows, filter)
    if product.type is None:
        raise call.error("the input needs a shape")
    *outer, channels, multiplier = product.type.shape
    shape = (*outer, channels * multiplier)
    joined = apply(operations.TABLE["reshape"], [product.called("channels")], shape=shape)
    return call.result(joined, name, "convolution")


def separable_conv2d(
    input: Any,
    depthwise_filter: Any,
    pointwise_filter: Any,
    strides: Whole,
    padding: Any,
    rate: Whole = 1,
    data_format: str = "NHWC",
    name: str | None = None,
) -> Tensor:
    """`depthwise_conv2d`, then `conv2d` with a filter (1, 1, c·m, o)."""
    inner = depthwise_conv2d(input, depthwise_filter, strides, padding, rate, data_format)
    return conv2d(inner.called("depthwise"), pointwise_filter, 1, "VALID", data_format, name=name)


def conv2d_transpose(
    value: Any,
    filter: Any,
    output_shape: Any,
    strides: Whole,
    padding: Any = "SAME",
    data_format: str = "NHWC",
    name: str | None = None,
) -> Tensor:
    """(n, h', w', o) with a filter (k, l, c, o) → (n, h, w, c): the adjoint of `conv2d`.

    `output_shape` is (n, h, w, c), in the order of `data_format`, with n a number, a name or None:
    `conv2d` may take several sizes to the same (h', w'), and this says which is meant.
    """
    call = Call("conv2d_transpose", 2, data_format)
    filter, size = call.filter(filter)
    sliding = call.sliding(size, strides, 1)
    pairs = call.padding(padding)
    entries = list(output_shape)
    if len(entries) != 4 or not all(isinstance(entry, int) for entry in entries[1:]):
        raise call.error(f"output_shape is {output_shape!r}: use 4 numbers, the first may be None")
    if data_format == "NCHW":
        entries = [entries[0], *entries[2:], entries[1]]
    shape = shape_of(entries)
    how: dict[str, Any] = {"sliding": sliding, "padding": pairs, "shape": shape}
    product = apply(_TRANSPOSED, [call.operand(value), filter], **how).called("windows")
    result = apply(_OVERLAP_ADD, [product], **how)
    pads = sliding.pads(shape, pairs)
    if any(map(any, pads)):
        key = inside(sliding, pads)
        result = apply(operations.TABLE["slice"], [result.called("padded")], key=key)
    return call.result(result, name, "convolution")


def _einsum(inputs: Sequence[str], output: str, *operands: Tensor) -> Tensor:
    return apply(operations.TABLE["einsum"], operands, inputs=tuple(inputs), output=output)


def _transposed(
    operands: Sequence[Type], sizes: Sizes, sliding: Sliding, padding: Padding, shape: Shape
) -> Value:
    """What each entry adds to its window: (k, l, n, h', w', c)."""
    value, filter = operands
    if len(value.shape) != len(shape):
        raise SymflowError(f"the input has {len(value.shape)} axes, not {len(shape)}")
    for what, first, second in (
        ("input has {} channels, the filter gives {}", value.shape[-1], filter.shape[-1]),
        ("output_shape has {} channels, the filter takes {}", shape[-1], filter.shape[-2]),
        ("input has {} rows, output_shape {}", value.shape[0], shape[0]),
    ):
        if sizes.agree(first, second) is None:
            raise SymflowError(f"the {what.format(first, second)}")
    counts = sliding.counts(padded_shape(shape, sliding, sliding.pads(shape, padding)))
    if counts != value.shape[1:-1]:
        raise SymflowError(
            f"{show(shape)} has {show(counts)} windows, the input has {show(value.shape[1:-1])}"
        )
    contraction = operations.TABLE["einsum"]
    value_: Value = contraction.define(operands, sizes, inputs=("nijo", "klco"), output="klnijc")
    return value_


def _overlap_added(
    operands: Sequence[Type], sizes: Sizes, sliding: Sliding, padding: Padding, shape: Shape
) -> Value:
    """All windows added up, with the padding still around; the batch is that of the operand."""
    within = len(sliding.axes)
    outer = (operands[0].shape[within], *map(sp.sympify, shape[1:]))
    return OverlapAdd(0, sliding, padded_shape(outer, sliding, sliding.pads(outer, padding)))


_TRANSPOSED = Structural("conv2d_transpose", _transposed)
_OVERLAP_ADD = Structural("overlap_add", _overlap_added)
