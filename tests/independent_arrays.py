"""Running sums, sorting, tiling and the parts of matrices once more, by hand."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from independent_operations import Drawn, _axes, _mean, operation

# --- running along an axis -------------------------------------------------------------------


def _ranked(drawing: Any, least: int = 1) -> int | None:
    found: int | None = drawing.floating(lambda node: node.rank >= least)
    return found


def _draw_running(drawing: Any) -> Drawn:
    x = _ranked(drawing)
    if x is None:
        return None
    how = {"exclusive": drawing.coin(0.3), "reverse": drawing.coin(0.3)}
    return [x], {"axis": drawing.axis(x), **how}


def _lines(x: Any, axis: int, reverse: bool) -> Any:
    """The entries along an axis, in the order in which they are run through."""
    lines = np.moveaxis(x, _axes(x, axis)[0], 0)
    return lines[::-1] if reverse else lines


def _from_lines(lines: Sequence[Any], x: Any, axis: int, reverse: bool) -> Any:
    return np.moveaxis(np.stack(lines[::-1] if reverse else lines), 0, _axes(x, axis)[0])


def _sums(m: Any, x: Sequence[Any], axis: int, exclusive: bool, reverse: bool) -> Any:
    found, total = [], 0 * _lines(x[0], axis, reverse)[0]
    for line in _lines(x[0], axis, reverse):
        found.append(total)
        total = total + line
        found[-1] = found[-1] if exclusive else total
    return _from_lines(found, x[0], axis, reverse)


def _products(m: Any, x: Any, t: Any, axis: int, exclusive: bool, reverse: bool) -> Any:
    """Running products of numbers x + t·ε: the values, and the coefficients of ε."""
    values, slopes = [], []
    value, slope = 0 * _lines(x, axis, reverse)[0] + 1, 0 * _lines(x, axis, reverse)[0]
    for line, moved in zip(_lines(x, axis, reverse), _lines(t, axis, reverse), strict=True):
        before = value, slope
        value, slope = value * line, slope * line + value * moved
        kept = before if exclusive else (value, slope)
        values.append(kept[0])
        slopes.append(kept[1])
    return tuple(_from_lines(one, x, axis, reverse) for one in (values, slopes))


def _product(m: Any, x: Any, t: Any, axis: Any, keepdims: bool) -> Any:
    axes = _axes(x, axis)
    kept = [one for one in range(x.ndim) if one not in axes]

    def flat(one: Any) -> Any:
        moved = np.transpose(one, [*kept, *axes])
        return moved.reshape(*moved.shape[: len(kept)], -1)

    both = _products(m, flat(x), flat(t), -1, False, False)
    return tuple(np.expand_dims(one[..., -1], axes) if keepdims else one[..., -1] for one in both)


def _draw_reduction(drawing: Any) -> Drawn:
    x = _ranked(drawing)
    return None if x is None else ([x], {"axis": drawing.axes(x), "keepdims": drawing.coin()})


def _deviations(m: Any, x: Any, axis: Any) -> Any:
    return x - _mean(m, [x], axis, True)


operation(
    "cumsum",
    "sf.cumsum({0}, axis={axis}, exclusive={exclusive}, reverse={reverse})",
    _sums,
    _draw_running,
    weight=2,
)
operation(
    "cumprod",
    "sf.cumprod({0}, axis={axis}, exclusive={exclusive}, reverse={reverse})",
    lambda m, x, **how: _products(m, x[0], 0 * x[0], **how)[0],
    _draw_running,
    lambda m, x, t, y, **how: _products(m, x[0], t[0], **how)[1],
)
operation(
    "reduce_prod",
    "sf.reduce_prod({0}, axis={axis}, keepdims={keepdims})",
    lambda m, x, **how: _product(m, x[0], 0 * x[0], **how)[0],
    _draw_reduction,
    lambda m, x, t, y, **how: _product(m, x[0], t[0], **how)[1],
)
operation(
    "reduce_variance",
    "sf.reduce_variance({0}, axis={axis}, keepdims={keepdims})",
    lambda m, x, axis, keepdims: _mean(m, [_deviations(m, x[0], axis) ** 2], axis, keepdims),
    _draw_reduction,
    lambda m, x, t, y, axis, keepdims: _mean(
        m, [2 * _deviations(m, x[0], axis) * t[0]], axis, keepdims
    ),
)


# --- by size, and by coordinates -------------------------------------------------------------


def _sorted(m: Any, x: Any, by: Any, axis: int, direction: str) -> Any:
    at = _axes(x, axis)[0]
    sign = 1 if direction == "ASCENDING" else -1
    order = np.argsort(sign * np.asarray(m.real(by), float), axis=at, kind="stable")
    return np.take_along_axis(x, order, at)


def _neighbours(m: Any, x: Sequence[Any], axis: int, direction: str) -> list[Any]:
    ordered = np.moveaxis(_sorted(m, x[0], x[0], axis, direction), _axes(x[0], axis)[0], 0)
    return [ordered[1:] - ordered[:-1]]


def _draw_sort(drawing: Any) -> Drawn:
    x = _ranked(drawing)
    how = {"direction": drawing.one_of(["ASCENDING", "DESCENDING"])}
    return None if x is None else ([x], {"axis": drawing.axis(x), **how})


def _static(dims: Sequence[Any]) -> bool:
    return all(one == other for one, other in dims)


def _coordinates(drawing: Any, sizes: Sequence[int], count: int) -> int:
    rows = np.stack([drawing.rng.integers(0, size, count) for size in sizes], axis=-1)
    found: int = drawing.constant(rows)
    return found


def _draw_gather(drawing: Any) -> Drawn:
    x = drawing.floating(lambda node: node.rank > 0 and _static(node.dims))
    if x is None:
        return None
    depth = drawing.integer(1, len(drawing.dims(x)) + 1)
    sizes = [one[0] for one in drawing.dims(x)[:depth]]
    return [x, _coordinates(drawing, sizes, drawing.integer(1, 5))], {}


def _gathered(m: Any, x: Sequence[Any]) -> Any:
    return x[0][(slice(None), *np.moveaxis(x[1][0], -1, 0))]


def _draw_scatter(drawing: Any) -> Drawn:
    x = drawing.floating(lambda node: node.rank > 0 and _static(node.dims))
    if x is None:
        return None
    sizes = [drawing.integer(1, 4) for _ in range(drawing.integer(1, 3))]
    count, *rest = (one[0] for one in drawing.dims(x))
    return [_coordinates(drawing, sizes, count), x], {"shape": (*sizes, *rest)}


def _scattered(m: Any, x: Sequence[Any], shape: Sequence[int]) -> Any:
    found = np.zeros((x[1].shape[0], *shape), x[1].dtype)
    for number, place in enumerate(x[0][0]):
        found[(slice(None), *place)] += x[1][:, number]
    return found


operation(
    "sort",
    "sf.sort({0}, axis={axis}, direction={direction!r})",
    lambda m, x, **how: _sorted(m, x[0], x[0], **how),
    _draw_sort,
    lambda m, x, t, y, **how: _sorted(m, t[0], x[0], **how),
    _neighbours,
)


def _largest(m: Any, x: Sequence[Any], axis: int) -> Any:
    return np.argmax(np.asarray(m.real(x[0]), float), axis=_axes(x[0], axis)[0]) * 1.0


def _draw_argmax(drawing: Any) -> Drawn:
    x = _ranked(drawing)
    return None if x is None else ([x], {"axis": drawing.axis(x)})


operation(
    "argmax",
    "sf.to_float(sf.argmax({0}, axis={axis}))",
    _largest,
    _draw_argmax,
    lambda m, x, t, y, axis: None,
    lambda m, x, axis: _neighbours(m, x, axis, "ASCENDING"),
    weight=0.5,
)
operation(
    "gather_nd",
    "sf.gather_nd({0}, {1})",
    _gathered,
    _draw_gather,
    lambda m, x, t, y: _gathered(m, [t[0], x[1]]),
)
operation(
    "scatter_nd",
    "sf.scatter_nd({0}, {1}, {shape})",
    _scattered,
    _draw_scatter,
    lambda m, x, t, y, shape: _scattered(m, [x[0], t[1]], shape),
)


def _top(m: Any, x: Any, by: Any, k: int) -> Any:
    return _sorted(m, x, by, -1, "DESCENDING")[..., :k]


def _draw_top(drawing: Any) -> Drawn:
    x = drawing.floating(lambda node: node.rank > 0 and _static(node.dims[-1:]))
    return None if x is None else ([x], {"k": drawing.integer(1, drawing.dims(x)[-1][0] + 1)})


def _draw_segments(drawing: Any) -> Drawn:
    x = drawing.floating(lambda node: node.rank > 0 and _static(node.dims[:1]))
    if x is None:
        return None
    count = drawing.integer(1, 4)
    rows = drawing.rng.integers(0, count, drawing.dims(x)[0][0])
    return [x, drawing.constant(rows)], {"count": count}


def _segments(m: Any, x: Sequence[Any], count: int) -> Any:
    return _scattered(m, [x[1][..., None], x[0]], (count, *x[0].shape[2:]))


operation(
    "top_k",
    "sf.top_k({0}, {k}).values",
    lambda m, x, k: _top(m, x[0], x[0], k),
    _draw_top,
    lambda m, x, t, y, k: _top(m, t[0], x[0], k),
    lambda m, x, k: _neighbours(m, x, -1, "DESCENDING"),
)
operation(
    "unsorted_segment_sum",
    "sf.unsorted_segment_sum({0}, {1}, {count})",
    _segments,
    _draw_segments,
    lambda m, x, t, y, count: _segments(m, [t[0], x[1]], count),
)


# --- parts of matrices -----------------------------------------------------------------------


def _draw_vector(drawing: Any) -> Drawn:
    x = drawing.floating(lambda node: 0 < node.rank < 4)
    return None if x is None else ([x], {})


def _draw_square(drawing: Any) -> Drawn:
    x = drawing.floating(lambda node: node.rank > 1 and node.dims[-1] == node.dims[-2])
    if x is None and drawing.coin():
        size = drawing.integer(1, 4)
        x = drawing.leaf([(size, size), (size, size)], "Variable")
    return None if x is None else ([x], {})


def _draw_band(drawing: Any) -> Drawn:
    x = drawing.floating(lambda node: node.rank > 1 and _static(node.dims[-2:]))
    if x is None:
        return None
    rows, columns = (one[0] for one in drawing.dims(x)[-2:])
    return [x], {"low": drawing.integer(-1, rows), "high": drawing.integer(-1, columns)}


def _band(m: Any, x: Sequence[Any], low: int, high: int) -> Any:
    rows, columns = x[0].shape[-2:]
    offset = np.arange(columns) - np.arange(rows)[:, None]
    below, above = (offset >= -low) | (low < 0), (offset <= high) | (high < 0)
    return np.where(below & above, x[0], 0)


operation(
    "matrix_diag",
    "sf.matrix_diag({0})",
    lambda m, x: np.where(np.eye(x[0].shape[-1], dtype=bool), x[0][..., None], 0),
    _draw_vector,
)
operation(
    "matrix_diag_part",
    "sf.matrix_diag_part({0})",
    lambda m, x: np.diagonal(x[0], axis1=-2, axis2=-1),
    _draw_square,
)
operation("matrix_band_part", "sf.matrix_band_part({0}, {low}, {high})", _band, _draw_band)


# --- around, along, and over again -----------------------------------------------------------


def _draw_flip(drawing: Any) -> Drawn:
    x = _ranked(drawing)
    return None if x is None else ([x], {"axis": drawing.axes(x)})


def _draw_pad(drawing: Any) -> Drawn:
    x = drawing.floating(lambda node: node.rank > 0 and _static(node.dims))
    if x is None:
        return None
    sizes = [one[0] for one in drawing.dims(x)]
    mode = drawing.one_of(["CONSTANT", "REFLECT", "SYMMETRIC"])
    most = [3 if mode == "CONSTANT" else size + (mode == "SYMMETRIC") for size in sizes]
    edges = tuple(
        (drawing.integer(0, min(one, 3)), drawing.integer(0, min(one, 3))) for one in most
    )
    return [x], {"paddings": edges, "mode": mode}


def _draw_roll(drawing: Any) -> Drawn:
    x = _ranked(drawing)
    return None if x is None else ([x], {"shift": drawing.integer(-3, 4), "axis": drawing.axis(x)})


def _draw_tile(drawing: Any) -> Drawn:
    x = _ranked(drawing)
    if x is None:
        return None
    multiples = tuple(drawing.integer(1, 3) for _ in drawing.dims(x))
    return None if math.prod(multiples) > 4 else ([x], {"multiples": multiples})


def _draw_repeat(drawing: Any) -> Drawn:
    x = drawing.floating(lambda node: node.rank > 0 and _static(node.dims))
    return None if x is None else ([x], {"repeats": drawing.integer(1, 4), "axis": drawing.axis(x)})


operation(
    "flip",
    "sf.flip({0}, axis={axis})",
    lambda m, x, axis: np.flip(x[0], _axes(x[0], axis)),
    _draw_flip,
)
operation(
    "pad",
    "sf.pad({0}, {paddings}, {mode!r})",
    lambda m, x, paddings, mode: np.pad(x[0], ((0, 0), *paddings), mode.lower()),
    _draw_pad,
)
operation(
    "roll",
    "sf.roll({0}, {shift}, axis={axis})",
    lambda m, x, shift, axis: np.roll(x[0], shift, _axes(x[0], axis)[0]),
    _draw_roll,
)
operation(
    "tile",
    "sf.tile({0}, {multiples})",
    lambda m, x, multiples: np.tile(x[0], (1, *multiples)),
    _draw_tile,
)
operation(
    "repeat",
    "sf.repeat({0}, {repeats}, axis={axis})",
    lambda m, x, repeats, axis: np.repeat(x[0], repeats, _axes(x[0], axis)[0]),
    _draw_repeat,
)
