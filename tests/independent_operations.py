"""Every operation on whole arrays once more, by hand: value, forward derivative, how to draw it.

An array here has one axis more than the model's tensor, in front: that of the samples, by which
one walk through a graph evaluates it at many points, or along many directions, at once. An axis
in `how` is the model's.

An operation is one entry of OPERATIONS. Linear ones need no derivative: the tangent moves as the
value does.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from independent_rows import ROWS

Drawn = tuple[Sequence[Any], dict[str, Any]] | None


@dataclass(frozen=True)
class Operation:
    """text     how a model writes it, from the operands' names and `how`
    value    value(m, operands, **how)
    tangent  tangent(m, operands, tangents, result, **how), where a tangent may be None for zero
    draw     operands and `how` for a random graph, or None where nothing fits; see `Drawing`
    kinks    quantities that must stay away from zero, unless no direction moves them
    jumps    whether the value itself jumps there
    """

    name: str
    text: Callable[..., str]
    value: Callable[..., Any]
    tangent: Callable[..., Any]
    draw: Callable[[Any], Drawn]
    kinks: Callable[..., list[Any]] | None = None
    jumps: bool = False
    weight: float = 1.0


OPERATIONS: dict[str, Operation] = {}


def operation(
    name: str,
    text: str | Callable[..., str],
    value: Callable[..., Any],
    draw: Callable[[Any], Drawn],
    tangent: Callable[..., Any] | None = None,
    kinks: Callable[..., list[Any]] | None = None,
    weight: float = 1.0,
) -> None:
    """Linear in all operands together, unless `tangent` says otherwise."""
    written = text if callable(text) else text.format
    OPERATIONS[name] = Operation(
        name, written, value, tangent or _linear(value), draw, kinks, False, weight
    )


def _linear(value: Callable[..., Any]) -> Callable[..., Any]:
    def tangent(m: Any, x: Sequence[Any], t: Sequence[Any], y: Any, **how: Any) -> Any:
        return value(
            m, [np.zeros_like(a) if b is None else b for a, b in zip(x, t, strict=True)], **how
        )

    return tangent


def _multilinear(value: Callable[..., Any]) -> Callable[..., Any]:
    def tangent(m: Any, x: Sequence[Any], t: Sequence[Any], y: Any, **how: Any) -> Any:
        moved = [at for at, one in enumerate(t) if one is not None]
        return sum(value(m, [*x[:at], t[at], *x[at + 1 :]], **how) for at in moved)

    return tangent


def _axes(x: Any, axis: Any) -> tuple[int, ...]:
    """The model's axes as axes of an array with samples in front."""
    rank = x.ndim - 1
    if axis is None:
        return tuple(range(1, rank + 1))
    wanted = (axis,) if isinstance(axis, int) else axis
    return tuple(one % rank + 1 for one in wanted)


# --- elementwise -----------------------------------------------------------------------------


def aligned(operands: Sequence[Any]) -> list[Any]:
    """Operands whose last axes meet, with the samples in front of all."""
    rank = max(one.ndim for one in operands)
    return [
        one
        if one.ndim == rank
        else one.reshape(one.shape[:1] + (1,) * (rank - one.ndim) + one.shape[1:])
        for one in operands
    ]


def elementwise(name: str) -> Operation:
    row = ROWS[name]

    def tangent(m: Any, x: Sequence[Any], t: Sequence[Any], y: Any) -> Any:
        wide = aligned(x)
        parts = []
        for partial, one in zip(row.partials, t, strict=True):
            if one is not None:
                moved = aligned([one, *wide])[0]
                parts.append(partial(m, *wide, y) * moved)
        return np.broadcast_to(sum(parts), y.shape)

    def kinks(m: Any, x: Sequence[Any]) -> list[Any]:
        return row.kinks(m, *aligned(x)) if row.kinks else []

    return Operation(
        name,
        row.text.format,
        lambda m, x: np.asarray(row.value(m, *aligned(x))),
        tangent,
        lambda drawing: drawing.operands_of_row(name),
        kinks,
        row.jumps,
    )


for _name in ROWS:
    OPERATIONS[_name] = elementwise(_name)


def _draw_any(drawing: Any) -> Drawn:
    x = drawing.floating()
    return None if x is None else ([x], {})


# --- reductions ------------------------------------------------------------------------------


def _draw_reduction(drawing: Any) -> Drawn:
    x = drawing.floating(lambda node: node.rank > 0)
    return None if x is None else ([x], {"axis": drawing.axes(x), "keepdims": drawing.coin()})


def _mean(m: Any, x: Sequence[Any], axis: Any, keepdims: bool) -> Any:
    axes = _axes(x[0], axis)
    count = math.prod(x[0].shape[one] for one in axes)
    return np.sum(x[0], axis=axes, keepdims=keepdims) / count


def _best_first(m: Any, x: Any, axis: Any, sign: int) -> tuple[Any, Any, list[int]]:
    """The reduced axes as one, the last; the order of their entries; the axes."""
    axes = list(_axes(x, axis))
    kept = [one for one in range(x.ndim) if one not in axes]
    flat = np.transpose(x, [*kept, *axes])
    flat = flat.reshape(*flat.shape[: len(kept)], -1)
    return flat, np.argsort(-sign * np.asarray(m.real(flat), float), axis=-1, kind="stable"), axes


def _extremum(sign: int) -> tuple[Callable[..., Any], ...]:
    def pick(m: Any, x: Any, order_of: Any, axis: Any, keepdims: bool) -> Any:
        _, order, axes = _best_first(m, order_of, axis, sign)
        flat, _, _ = _best_first(m, x, axis, sign)
        best = np.take_along_axis(flat, order[..., :1], -1)[..., 0]
        return np.expand_dims(best, axes) if keepdims else best

    def value(m: Any, x: Sequence[Any], axis: Any, keepdims: bool) -> Any:
        return pick(m, x[0], x[0], axis, keepdims)

    def tangent(m: Any, x: Any, t: Any, y: Any, axis: Any, keepdims: bool) -> Any:
        return pick(m, t[0], x[0], axis, keepdims)

    def kinks(m: Any, x: Sequence[Any], axis: Any, keepdims: bool) -> list[Any]:
        flat, order, _ = _best_first(m, x[0], axis, sign)
        ranked = np.take_along_axis(flat, order, -1)
        return [ranked[..., :1] - ranked[..., 1:]]

    return value, tangent, kinks


def _log_sum_exp(m: Any, x: Sequence[Any], axis: Any, keepdims: bool) -> Any:
    return m.log(np.sum(m.exp(x[0]), axis=_axes(x[0], axis), keepdims=keepdims))


def _shares(m: Any, x: Any, axis: Any) -> Any:
    powers = m.exp(x)
    return powers / np.sum(powers, axis=_axes(x, axis), keepdims=True)


def _log_sum_exp_tangent(m: Any, x: Any, t: Any, y: Any, axis: Any, keepdims: bool) -> Any:
    return np.sum(_shares(m, x[0], axis) * t[0], axis=_axes(x[0], axis), keepdims=keepdims)


def _softmax_tangent(m: Any, x: Any, t: Any, y: Any, axis: Any) -> Any:
    mean = np.sum(y * t[0], axis=_axes(y, axis), keepdims=True)
    return y * (t[0] - mean)


def _log_softmax_tangent(m: Any, x: Any, t: Any, y: Any, axis: Any) -> Any:
    return t[0] - np.sum(_shares(m, x[0], axis) * t[0], axis=_axes(y, axis), keepdims=True)


def _draw_softmax(drawing: Any) -> Drawn:
    x = drawing.floating(lambda node: node.rank > 0)
    return None if x is None else ([x], {"axis": drawing.axis(x)})


operation(
    "reduce_sum",
    "sf.reduce_sum({0}, axis={axis}, keepdims={keepdims})",
    lambda m, x, axis, keepdims: np.sum(x[0], axis=_axes(x[0], axis), keepdims=keepdims),
    _draw_reduction,
    weight=3,
)
operation(
    "reduce_mean",
    "sf.reduce_mean({0}, axis={axis}, keepdims={keepdims})",
    _mean,
    _draw_reduction,
    weight=2,
)
for _name, _sign in (("reduce_max", 1), ("reduce_min", -1)):
    _value, _tangent, _kinks = _extremum(_sign)
    operation(
        _name,
        f"sf.{_name}({{0}}, axis={{axis}}, keepdims={{keepdims}})",
        _value,
        _draw_reduction,
        _tangent,
        _kinks,
        weight=2,
    )
operation(
    "reduce_logsumexp",
    "sf.reduce_logsumexp({0}, axis={axis}, keepdims={keepdims})",
    _log_sum_exp,
    _draw_reduction,
    _log_sum_exp_tangent,
)
operation(
    "softmax",
    "sf.softmax({0}, axis={axis})",
    lambda m, x, axis: _shares(m, x[0], axis),
    _draw_softmax,
    _softmax_tangent,
    weight=2,
)
operation(
    "log_softmax",
    "sf.log_softmax({0}, axis={axis})",
    lambda m, x, axis: m.log(_shares(m, x[0], axis)),
    _draw_softmax,
    _log_softmax_tangent,
)
operation(
    "l2_loss",
    "sf.l2_loss({0})",
    lambda m, x: np.sum(x[0] * x[0], axis=_axes(x[0], None)) / 2,
    _draw_any,
    lambda m, x, t, y: np.sum(x[0] * t[0], axis=_axes(x[0], None)),
    weight=0.5,
)


# --- contractions ----------------------------------------------------------------------------


def _matmul(m: Any, x: Sequence[Any], a: bool, b: bool) -> Any:
    left, right = x
    left = np.swapaxes(left, -1, -2) if a else left
    right = np.swapaxes(right, -1, -2) if b else right
    row, column = left.ndim == 2, right.ndim == 2
    left = left[:, None, :] if row else left
    right = right[:, :, None] if column else right
    product = np.matmul(*aligned([left, right]))
    product = product[..., 0] if column else product
    return (product[..., 0, :] if not column else product[..., 0]) if row else product


def _matmul_text(left: str, right: str, a: bool, b: bool) -> str:
    if not a and not b:
        return f"{left} @ {right}"
    return f"sf.matmul({left}, {right}, transpose_a={a}, transpose_b={b})"


def _draw_matmul(drawing: Any) -> Drawn:
    left = drawing.floating(lambda node: node.rank > 0)
    if left is None:
        return None
    dims = drawing.dims(left)
    a = len(dims) > 1 and drawing.coin(0.2)
    inner = dims[-2] if a else dims[-1]
    batch = dims[:-2]
    b = drawing.coin(0.2)

    def fits(node: Any) -> bool:
        if b and node.rank < 2:
            return False
        meets = node.dims[-1] if b or node.rank == 1 else node.dims[-2] if node.rank else None
        return meets == inner and drawing.broadcast(batch, node.dims[:-2]) is not None

    right = drawing.floating(fits)
    return None if right is None else ([left, right], {"a": a, "b": b})


def _einsum(m: Any, x: Sequence[Any], subscripts: str) -> Any:
    inputs, output = subscripts.split("->")
    batched = ",".join(f"Z{term}" for term in inputs.split(","))
    return np.einsum(f"{batched}->Z{output}", *x)


def _draw_einsum(drawing: Any) -> Drawn:
    count = drawing.integer(1, 4)
    operands = [drawing.floating(lambda node: node.rank > 0) for _ in range(count)]
    if any(one is None for one in operands):
        return None
    letters: dict[str, Any] = {}
    terms = []
    for operand in operands:
        term = ""
        for size in drawing.dims(operand):
            known = [letter for letter, dim in letters.items() if dim == size]
            if known and drawing.coin(0.7):
                term += drawing.one_of(known)
            else:
                letters["ijklmnopqrst"[len(letters)]] = size
                term += "ijklmnopqrst"[len(letters) - 1]
        terms.append(term)
        if len(letters) > 6:
            return None
    kept = [letter for letter in letters if drawing.coin(0.4)]
    output = "".join(drawing.shuffled(kept))
    return operands, {"subscripts": f"{','.join(terms)}->{output}"}


operation("matmul", _matmul_text, _matmul, _draw_matmul, _multilinear(_matmul), weight=6)
operation(
    "einsum",
    lambda *x, subscripts: f"sf.einsum({subscripts!r}, {', '.join(x)})",
    _einsum,
    _draw_einsum,
    _multilinear(_einsum),
    weight=4,
)
