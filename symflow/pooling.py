"""Pooling, under TensorFlow 1's names: the largest entry or the mean of each window.

Padding never counts: it is no candidate for a maximum, and a mean is over the real entries of a
window alone. For the rules of padding "SAME" see `convolution.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import sympy as sp

from symflow.arrays import reduce_max, reduce_sum
from symflow.errors import SymflowError
from symflow.functions import divide, multiply
from symflow.graph import Tensor, apply
from symflow.operations import Structural
from symflow.program import Constant, Type, Value, literal
from symflow.shapes import Sizes
from symflow.sliding import Call, Whole, windows_of
from symflow.windows import Padding, Sliding


def max_pool(
    value: Any,
    ksize: Whole,
    strides: Whole,
    padding: Any,
    data_format: str = "NHWC",
    name: str | None = None,
) -> Tensor:
    """(n, h, w, c) → (n, h', w', c), the largest entry of each window of `ksize`.

    Equal entries share the gradient equally, which is a subgradient. `ksize` and `strides` are a
    number, two, or four in the order of `data_format`; `padding` is as in `conv2d`.
    """
    return _max_pool(Call("max_pool", 2, data_format), value, ksize, strides, padding, name)


def max_pool1d(
    input: Any,
    ksize: Whole,
    strides: Whole,
    padding: Any,
    data_format: str = "NWC",
    name: str | None = None,
) -> Tensor:
    """(n, w, c) → (n, w', c). See `max_pool`."""
    return _max_pool(Call("max_pool1d", 1, data_format), input, ksize, strides, padding, name)


def max_pool3d(
    input: Any,
    ksize: Whole,
    strides: Whole,
    padding: Any,
    data_format: str = "NDHWC",
    name: str | None = None,
) -> Tensor:
    """(n, d, h, w, c) → (n, d', h', w', c). See `max_pool`."""
    return _max_pool(Call("max_pool3d", 3, data_format), input, ksize, strides, padding, name)


def avg_pool(
    value: Any,
    ksize: Whole,
    strides: Whole,
    padding: Any,
    data_format: str = "NHWC",
    name: str | None = None,
) -> Tensor:
    """(n, h, w, c) → (n, h', w', c), the mean of each window of `ksize`, without its padding.

    The arguments are those of `max_pool`.
    """
    return _avg_pool(Call("avg_pool", 2, data_format), value, ksize, strides, padding, name)


def avg_pool1d(
    input: Any,
    ksize: Whole,
    strides: Whole,
    padding: Any,
    data_format: str = "NWC",
    name: str | None = None,
) -> Tensor:
    """(n, w, c) → (n, w', c). See `avg_pool`."""
    return _avg_pool(Call("avg_pool1d", 1, data_format), input, ksize, strides, padding, name)


def avg_pool3d(
    input: Any,
    ksize: Whole,
    strides: Whole,
    padding: Any,
    data_format: str = "NDHWC",
    name: str | None = None,
) -> Tensor:
    """(n, d, h, w, c) → (n, d', h', w', c). See `avg_pool`."""
    return _avg_pool(Call("avg_pool3d", 3, data_format), input, ksize, strides, padding, name)


def _max_pool(
    call: Call, value: Any, ksize: Whole, strides: Whole, padding: Any, name: str | None
) -> Tensor:
    sliding = call.sliding(ksize, strides, 1)
    pairs = _padding(call, sliding, padding)
    windows = windows_of(call, [call.operand(value)], sliding, pairs, at=0, fill=-np.inf)
    return call.result(reduce_max(windows, axis=tuple(range(call.spatial))), name, "max_pool")


def _avg_pool(
    call: Call, value: Any, ksize: Whole, strides: Whole, padding: Any, name: str | None
) -> Tensor:
    sliding = call.sliding(ksize, strides, 1)
    pairs = _padding(call, sliding, padding)
    x = call.operand(value)
    windows = windows_of(call, [x], sliding, pairs, at=0)
    counts = [
        apply(_ENTRIES, [x], sliding=sliding, padding=pairs, number=number).called(part)
        for number, part in enumerate(("layers", "rows", "columns")[-call.spatial :])
    ]
    total = counts[0]
    for one in counts[1:]:
        total = multiply(total, one).called("entries")
    pooled = divide(reduce_sum(windows, axis=tuple(range(call.spatial))).called("total"), total)
    return call.result(pooled, name, "avg_pool")


def _padding(call: Call, sliding: Sliding, padding: Any) -> Padding:
    pairs = call.padding(padding)
    if not isinstance(pairs, str) and any(
        max(pair) >= size for pair, size in zip(pairs, sliding.size, strict=True)
    ):
        raise call.error(f"padding is {padding!r}: some windows would hold nothing but padding")
    return pairs


def _entries(
    operands: Sequence[Type], sizes: Sizes, sliding: Sliding, padding: Padding, number: int
) -> Value:
    """How many real entries each window has along one axis: a number if it is the same for all."""
    shape = sizes.resolved(operands[0].shape)
    axis, size = sliding.axes[number], sliding.size[number]
    before, after = sliding.pads(shape, padding)[number]
    if not before and not after:
        return literal(sp.Integer(size), ())
    if not shape[axis].is_Integer:
        raise SymflowError(
            f"how many entries a padded window has depends on the size of axis {axis}, "
            f"which is {shape[axis]}: give it as a number, or use VALID"
        )
    wide = int(shape[axis]) + before + after
    starts = np.arange(0, wide - size + 1, sliding.strides[number])
    real = np.minimum(starts + size, wide - after) - np.maximum(starts, before)
    if np.all(real == real[0]):
        return literal(sp.Integer(int(real[0])), ())
    behind = len(shape) - 1 - axis
    return Constant.of(real.astype(float).reshape(-1, *[1] * behind))


_ENTRIES = Structural("avg_pool", _entries)
