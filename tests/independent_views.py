"""Operations that move entries once more, by hand: reshaping, joining, slicing, gathering."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from independent_operations import Drawn, _axes, _draw_any, operation


def _shape(x: Any) -> tuple[int, ...]:
    return tuple(x.shape[1:])


def _written(shape: Sequence[Any]) -> str:
    parts = [repr(one) for one in shape]
    return f"({', '.join(parts)}{',' if len(parts) == 1 else ''})"


def _transpose(m: Any, x: Sequence[Any], perm: Any) -> Any:
    rank = x[0].ndim - 1
    order = tuple(range(rank))[::-1] if perm is None else perm
    return np.transpose(x[0], (0, *(one % rank + 1 for one in order)))


def _draw_transpose(drawing: Any) -> Drawn:
    x = drawing.floating(lambda node: node.rank > 0)
    if x is None:
        return None
    rank = len(drawing.dims(x))
    order = tuple(drawing.shuffled(list(range(rank))))
    return [x], {"perm": None if drawing.coin(0.3) else order}


def _draw_expansion(drawing: Any) -> Drawn:
    x = drawing.floating(lambda node: node.rank < 4)
    if x is None:
        return None
    rank = len(drawing.dims(x)) + 1
    return [x], {"axis": drawing.integer(-rank, rank)}


def _expand(m: Any, x: Sequence[Any], axis: int) -> Any:
    return np.expand_dims(x[0], axis % x[0].ndim + 1)


def _squeeze(m: Any, x: Sequence[Any], axis: Any) -> Any:
    return np.squeeze(x[0], axis=_axes(x[0], axis))


def _draw_squeeze(drawing: Any) -> Drawn:
    x = drawing.floating(lambda node: (1, 1) in node.dims)
    if x is None:
        return None
    dims = drawing.dims(x)
    ones = [at for at, size in enumerate(dims) if size == (1, 1)]
    chosen = tuple(one for one in ones if drawing.coin(0.7)) or (ones[0],)
    signed = tuple(one - len(dims) if drawing.coin(0.3) else one for one in chosen)
    return [x], {"axis": signed[0] if len(signed) == 1 else signed}


def _broadcast_to(m: Any, x: Sequence[Any], shape: Sequence[int]) -> Any:
    wide = x[0].reshape(x[0].shape[:1] + (1,) * (len(shape) + 1 - x[0].ndim) + _shape(x[0]))
    return np.broadcast_to(wide, (x[0].shape[0], *shape))


def _draw_broadcast(drawing: Any) -> Drawn:
    x = drawing.floating(lambda node: node.rank < 4 and drawing.nameable(node.dims))
    if x is None:
        return None
    dims = [
        (size, size) if one == (1, 1) and drawing.coin() else one
        for one in drawing.dims(x)
        for size in (drawing.integer(1, 4),)
    ]
    if len(dims) < 4 and drawing.coin():
        size = drawing.integer(1, 4)
        dims = [(size, size), *dims]
    return [x], {"shape": drawing.named(dims)}


def _reshape(m: Any, x: Sequence[Any], shape: Sequence[int]) -> Any:
    return np.reshape(x[0], (x[0].shape[0], *shape))


def _draw_reshape(drawing: Any) -> Drawn:
    x = drawing.floating()
    if x is None:
        return None
    dims = drawing.dims(x)
    moving = [one for one in dims if one[0] != one[1]]
    if len(moving) > 1:
        return None
    total = math.prod(one[0] for one in dims if one[0] == one[1])
    sizes: list[Any] = []
    while total > 1 and len(sizes) < 3:
        divisors = [one for one in range(1, total + 1) if total % one == 0]
        sizes.append(drawing.one_of(divisors))
        total //= sizes[-1]
    sizes += [total] if total > 1 or drawing.coin(0.2) else []
    if moving:
        at = drawing.integer(0, len(sizes) + 1)
        sizes.insert(at, "n" if drawing.nameable(moving) and drawing.coin() else -1)
    elif sizes and drawing.coin(0.4):
        sizes[drawing.integer(0, len(sizes))] = -1
    return [x], {"shape": tuple(sizes)}


def _concat(m: Any, x: Sequence[Any], axis: int) -> Any:
    return np.concatenate(x, _axes(x[0], axis)[0])


def _draw_concat(drawing: Any) -> Drawn:
    first = drawing.floating(lambda node: node.rank > 0)
    if first is None:
        return None
    dims = drawing.dims(first)
    axis = drawing.integer(0, len(dims))

    def fits(node: Any) -> bool:
        return node.rank == len(dims) and all(
            at == axis or one == other
            for at, (one, other) in enumerate(zip(dims, node.dims, strict=True))
        )

    others = [drawing.floating(fits) for _ in range(drawing.integer(1, 3))]
    operands = drawing.shuffled([first, *others])
    return operands, {"axis": axis - len(dims) if drawing.coin(0.3) else axis}


def _stack(m: Any, x: Sequence[Any], axis: int) -> Any:
    return np.stack(x, axis % x[0].ndim + 1)


def _draw_stack(drawing: Any) -> Drawn:
    first = drawing.floating(lambda node: node.rank < 4)
    if first is None:
        return None
    dims = drawing.dims(first)
    others = [
        drawing.floating(lambda node: node.dims == dims) for _ in range(drawing.integer(1, 3))
    ]
    rank = len(dims) + 1
    return [first, *others], {"axis": drawing.integer(-rank, rank)}


def _key(key: Sequence[Any]) -> tuple[Any, ...]:
    return tuple(slice(*one) if isinstance(one, tuple) else one for one in key)


def _key_text(key: Sequence[Any]) -> str:
    def written(one: Any) -> str:
        if not isinstance(one, tuple):
            return str(one)
        start, stop, step = ("" if end is None else str(end) for end in one)
        return f"{start}:{stop}:{step}" if step else f"{start}:{stop}"

    return ", ".join(map(written, key))


def _draw_slice(drawing: Any) -> Drawn:
    x = drawing.floating(lambda node: node.rank > 0)
    if x is None:
        return None
    dims = drawing.dims(x)
    key: list[Any] = []
    for size in dims[: drawing.integer(1, len(dims) + 1)]:
        if drawing.coin(0.1):
            key.append(None)
        key.append(drawing.part_of(size))
    return [x], {"key": tuple(key)}


def _gather(m: Any, x: Sequence[Any], axis: int) -> Any:
    return np.take(x[0], x[1][0], axis=_axes(x[0], axis)[0])


def _draw_gather(drawing: Any) -> Drawn:
    x = drawing.floating(lambda node: any(one[0] == one[1] for one in node.dims))
    if x is None:
        return None
    dims = drawing.dims(x)
    axis = drawing.one_of([at for at, one in enumerate(dims) if one[0] == one[1]])
    rows = drawing.indices(dims[axis][0], negative=drawing.coin(0.2))
    return [x, rows], {"axis": axis - len(dims) if drawing.coin(0.3) else axis}


def _one_hot(m: Any, x: Sequence[Any], depth: int) -> Any:
    return (x[0][..., None] == np.arange(depth)) * 1.0


operation("transpose", "sf.transpose({0}, perm={perm})", _transpose, _draw_transpose, weight=3)
operation("expand_dims", "sf.expand_dims({0}, axis={axis})", _expand, _draw_expansion, weight=2)
operation("squeeze", "sf.squeeze({0}, axis={axis})", _squeeze, _draw_squeeze, weight=2)
operation(
    "broadcast_to",
    lambda x, shape: f"sf.broadcast_to({x}, {_written(shape)})",
    _broadcast_to,
    _draw_broadcast,
    weight=2,
)
operation(
    "reshape",
    lambda x, shape: f"sf.reshape({x}, {_written(shape)})",
    _reshape,
    _draw_reshape,
    weight=3,
)
operation(
    "concat",
    lambda *x, axis: f"sf.concat([{', '.join(x)}], axis={axis})",
    _concat,
    _draw_concat,
    weight=3,
)
operation(
    "stack",
    lambda *x, axis: f"sf.stack([{', '.join(x)}], axis={axis})",
    _stack,
    _draw_stack,
    weight=2,
)
operation(
    "slice",
    lambda x, key: f"{x}[{_key_text(key)}]",
    lambda m, x, key: x[0][(slice(None), *_key(key))],
    _draw_slice,
    weight=5,
)
operation(
    "gather",
    "sf.gather({0}, {1}, axis={axis})",
    _gather,
    _draw_gather,
    lambda m, x, t, y, axis: _gather(m, [t[0], x[1]], axis),
    weight=4,
)
operation(
    "one_hot",
    "sf.one_hot({0}, {depth})",
    _one_hot,
    lambda drawing: ([drawing.indices(depth := drawing.integer(1, 4))], {"depth": depth}),
    weight=1,
)
operation(
    "stop_gradient",
    "sf.stop_gradient({0})",
    lambda m, x: m.real(x[0]),
    _draw_any,
    lambda m, x, t, y: None,
)
