"""Windows that slide along an axis, once more by hand: convolution and pooling in one dimension."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from independent_operations import Drawn, _multilinear, operation

_LOW = -1e30
"""In the place of padding, below every entry."""


def _taps(x: Any, size: int, stride: int, padding: str, dilation: int = 1, fill: float = 0) -> Any:
    """(s, n, w, c) → (size, s, n, w', c): what every window holds at each of its places."""
    width, reach = x.shape[2], (size - 1) * dilation + 1
    count = -(-(width if padding == "SAME" else width - reach + 1) // stride)
    missing = max((count - 1) * stride + reach - width, 0) if padding == "SAME" else 0
    edges = [(0, 0)] * x.ndim
    edges[2] = (missing // 2, missing - missing // 2)
    wide = np.pad(x, edges, constant_values=fill)
    last = (count - 1) * stride + 1
    return np.stack([wide[:, :, at : at + last : stride] for at in range(0, reach, dilation)])


def _convolved(m: Any, x: Sequence[Any], stride: int, padding: str, dilations: int) -> Any:
    taps = _taps(x[0], x[1].shape[1], stride, padding, dilations)
    return np.einsum("kznwc,zkco->znwo", taps, x[1])


def _mean(m: Any, x: Sequence[Any], ksize: int, strides: int, padding: str) -> Any:
    held = _taps(np.ones(x[0].shape), ksize, strides, padding)
    return np.sum(_taps(x[0], ksize, strides, padding), axis=0) / np.sum(held, axis=0)


def _ranked(m: Any, x: Any, by: Any, ksize: int, strides: int, padding: str) -> Any:
    order = np.argsort(
        -np.asarray(m.real(_taps(by, ksize, strides, padding, fill=_LOW)), float), axis=0
    )
    return np.take_along_axis(_taps(x, ksize, strides, padding, fill=_LOW), order, 0)


def _largest(m: Any, x: Sequence[Any], **how: Any) -> Any:
    return _ranked(m, x[0], x[0], **how)[0]


def _ties(m: Any, x: Sequence[Any], **how: Any) -> list[Any]:
    ranked = _ranked(m, x[0], x[0], **how)
    return [ranked[0] - ranked[1]] if len(ranked) > 1 else []


def _images(drawing: Any) -> int | None:
    """A node (n, w, c) with a width that is known."""
    found: int | None = drawing.floating(
        lambda node: node.rank == 3 and 1 < node.dims[1][0] == node.dims[1][1]
    )
    if found is None:
        width, channels = drawing.integer(2, 5), drawing.integer(1, 3)
        found = drawing.leaf([(2, 2), (width, width), (channels, channels)], "Variable")
    return found


def _draw_convolution(drawing: Any) -> Drawn:
    x = _images(drawing)
    (_, (width, _), channels) = drawing.dims(x)
    dilation = drawing.integer(1, 3)
    size = drawing.integer(1, (width - 1) // dilation + 2)
    out = drawing.integer(1, 4)
    if channels[0] != channels[1]:
        return None
    filters = drawing.leaf([(size, size), channels, (out, out)], "Variable")
    how = {"stride": drawing.integer(1, 3) if dilation == 1 else 1, "dilations": dilation}
    return [x, filters], {**how, "padding": drawing.one_of(["SAME", "VALID"])}


def _draw_pool(drawing: Any) -> Drawn:
    x = _images(drawing)
    size = drawing.integer(1, drawing.dims(x)[1][0] + 1)
    how = {"ksize": size, "strides": drawing.integer(1, 3)}
    return [x], {**how, "padding": drawing.one_of(["SAME", "VALID"])}


operation(
    "conv1d",
    "sf.nn.conv1d({0}, {1}, {stride}, {padding!r}, dilations={dilations})",
    _convolved,
    _draw_convolution,
    _multilinear(_convolved),
    weight=2,
)
operation("avg_pool1d", "sf.nn.avg_pool1d({0}, {ksize}, {strides}, {padding!r})", _mean, _draw_pool)
operation(
    "max_pool1d",
    "sf.nn.max_pool1d({0}, {ksize}, {strides}, {padding!r})",
    _largest,
    _draw_pool,
    lambda m, x, t, y, **how: _ranked(m, t[0], x[0], **how)[0],
    _ties,
)
