"""Linear systems, inverses, determinants, Cholesky factors and norms once more, by hand.

Matrices are drawn as x·(1 + J)·xᵀ + 2 + K with skew-symmetric J and K. Their inverses are no
larger than ½, and elimination needs no pivots; so it runs in any arithmetic.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from independent_operations import Drawn, _axes, _mean, aligned, operation

# --- elimination -----------------------------------------------------------------------------


def _transposed(a: Any) -> Any:
    return np.swapaxes(a, -1, -2)


def _product(*factors: Any) -> Any:
    found = factors[0]
    for one in factors[1:]:
        found = np.matmul(*aligned([found, one]))
    return found


def _eliminated(a: Any, b: Any) -> tuple[Any, Any]:
    """The pivots of a, and a⁻¹·b."""
    batch = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    a = np.array(np.broadcast_to(a, (*batch, *a.shape[-2:])))
    kind = np.result_type(a.dtype, b.dtype)
    a, b = a.astype(kind), np.array(np.broadcast_to(b, (*batch, *b.shape[-2:]))).astype(kind)
    pivots = []
    for at in range(a.shape[-1]):
        pivot = a[..., at, at]
        pivots.append(pivot)
        row, right = (one[..., at : at + 1, :] / pivot[..., None, None] for one in (a, b))
        factor = np.array(a[..., :, at : at + 1])
        factor[..., at, :] = 0
        a, b = a - factor * row, b - factor * right
        a[..., at : at + 1, :], b[..., at : at + 1, :] = row, right
    return pivots, b


def _solved(a: Any, b: Any) -> Any:
    return _eliminated(*aligned([a, b]))[1]


def _inverse(a: Any) -> Any:
    return _eliminated(a, np.broadcast_to(np.eye(a.shape[-1]), a.shape))[1]


def _determinant(a: Any) -> Any:
    pivots, _ = _eliminated(a, a)
    found = pivots[0]
    for one in pivots[1:]:
        found = found * one
    return found


def _diagonal(a: Any) -> Any:
    return np.diagonal(a, axis1=-2, axis2=-1)


def _trace(a: Any) -> Any:
    return np.sum(_diagonal(a), axis=-1)


def _part(a: Any, which: str) -> Any:
    """The lower or the upper triangle, or the lower one without its diagonal."""
    rows = np.arange(a.shape[-1])
    offset = rows - rows[:, None]
    kept = {"lower": offset <= 0, "upper": offset >= 0, "below": offset < 0}[which]
    return np.where(kept, a, 0)


# --- drawing ---------------------------------------------------------------------------------


def _regular(drawing: Any, skew: bool = True) -> int | None:
    """A square matrix from a node or from a new Variable."""
    x = drawing.floating(
        lambda node: (
            1 < node.rank < 4
            and node.dims[-1][0] == node.dims[-1][1] <= 3
            and node.dims[-2][0] == node.dims[-2][1] <= 3
        )
    )
    if x is None:
        size = drawing.integer(1, 4)
        x = drawing.leaf([(size, size), (size, size)], "Variable")
    rows, columns = (one[0] for one in drawing.dims(x)[-2:])
    left = x
    if skew:
        middle = drawing.constant(np.eye(columns) + _skew(drawing, columns))
        left = drawing.step("matmul", x, middle, a=False, b=False)
    product = drawing.step("matmul", left, x, a=False, b=True)
    added = 2 * np.eye(rows) + (_skew(drawing, rows) if skew else 0)
    return int(drawing.step("add", product, drawing.constant(added)))


def _skew(drawing: Any, size: int) -> Any:
    drawn = np.round(drawing.rng.normal(size=(size, size)) * 8) / 8
    return drawn - drawn.T


def _draw_matrix(drawing: Any) -> Drawn:
    a = _regular(drawing)
    return None if a is None else ([a], {})


def _draw_definite(drawing: Any) -> Drawn:
    a = _regular(drawing, skew=False)
    return None if a is None else ([a], {})


def _draw_signed(drawing: Any) -> Drawn:
    a = _regular(drawing)
    if a is None:
        return None
    if drawing.coin():
        size = drawing.dims(a)[-1][0]
        signs = np.diag(drawing.rng.choice([-1.0, 1.0], size))
        a = drawing.step("matmul", drawing.constant(signs), a, a=False, b=False)
    return [a], {}


def _draw_system(drawing: Any) -> tuple[int, int] | None:
    a = _regular(drawing)
    if a is None:
        return None
    *batch, _, size = drawing.dims(a)

    def fits(node: Any) -> bool:
        if node.rank == 1:
            return bool(node.dims == (size,))
        return (
            node.rank > 1
            and node.dims[-2] == size
            and drawing.broadcast(batch, node.dims[:-2]) is not None
        )

    b = drawing.floating(fits)
    if b is None or drawing.coin(0.2):
        columns = drawing.integer(1, 4)
        b = drawing.leaf([size, (columns, columns)] if drawing.coin(0.7) else [size])
    return a, b


def _draw_solve(drawing: Any) -> Drawn:
    found = _draw_system(drawing)
    return None if found is None else (found, {"adjoint": drawing.coin(0.3)})


def _draw_triangular(drawing: Any) -> Drawn:
    found = _draw_system(drawing)
    how = {"lower": drawing.coin(), "adjoint": drawing.coin(0.3)}
    return None if found is None else (found, how)


# --- systems ---------------------------------------------------------------------------------


def _system(a: Any, b: Any, adjoint: bool) -> Any:
    a = _transposed(a) if adjoint else a
    return _solved(a, b[..., None])[..., 0] if b.ndim == 2 else _solved(a, b)


def _applied(a: Any, y: Any, adjoint: bool, vector: bool) -> Any:
    a = _transposed(a) if adjoint else a
    return _product(a, y[..., None])[..., 0] if vector else _product(a, y)


def _system_tangent(x: Sequence[Any], t: Sequence[Any], y: Any, adjoint: bool) -> Any:
    """A·Ẏ = Ḃ - Ȧ·Y."""
    a, b = x
    vector = b.ndim == 2
    moved = np.zeros_like(y)
    if t[1] is not None:
        given = t[1].reshape(len(y), *[1] * (y.ndim - 2), -1) if vector else t[1]
        moved = sum(aligned([moved, given]))
    if t[0] is not None:
        moved = moved - _applied(t[0], y, adjoint, vector)
    a = _transposed(a) if adjoint else a
    return _solved(a, moved[..., None])[..., 0] if vector else _solved(a, moved)


operation(
    "matrix_solve",
    "sf.matrix_solve({0}, {1}, adjoint={adjoint})",
    lambda m, x, adjoint: _system(*x, adjoint),
    _draw_solve,
    lambda m, x, t, y, adjoint: _system_tangent(x, t, y, adjoint),
)
operation(
    "matrix_triangular_solve",
    "sf.matrix_triangular_solve({0}, {1}, lower={lower}, adjoint={adjoint})",
    lambda m, x, lower, adjoint: _system(_part(x[0], "lower" if lower else "upper"), x[1], adjoint),
    _draw_triangular,
    lambda m, x, t, y, lower, adjoint: _system_tangent(
        [_part(x[0], "lower" if lower else "upper"), x[1]],
        [None if t[0] is None else _part(t[0], "lower" if lower else "upper"), t[1]],
        y,
        adjoint,
    ),
)
operation(
    "matrix_inverse",
    "sf.matrix_inverse({0})",
    lambda m, x: _inverse(x[0]),
    _draw_matrix,
    lambda m, x, t, y: -_product(y, t[0], y),
)


# --- determinants and factors ----------------------------------------------------------------


def _cholesky(m: Any, a: Any) -> Any:
    found = np.zeros_like(a)
    for row in range(a.shape[-1]):
        for column in range(row + 1):
            known = found[..., row, :column] * found[..., column, :column]
            rest = a[..., row, column] - np.sum(known, axis=-1)
            if row == column:
                found[..., row, row] = m.sqrt(rest)
            else:
                found[..., row, column] = rest / found[..., column, column]
    return found


def _cholesky_tangent(m: Any, x: Any, t: Any, y: Any) -> Any:
    """L·Φ(L⁻¹·Ȧ·L⁻ᵀ), where only the lower triangle of A is read."""
    moved = _part(t[0], "lower") + _transposed(_part(t[0], "below"))
    inside = _solved(y, _transposed(_solved(y, moved)))
    return _product(y, (_part(inside, "lower") + _part(inside, "below")) / 2)


def _signed_logarithm(m: Any, x: Sequence[Any]) -> Any:
    found = _determinant(x[0])
    sign = np.where(m.real(found) < 0, -1, 1)
    return sign * m.log(sign * found)


operation(
    "matrix_determinant",
    "sf.matrix_determinant({0})",
    lambda m, x: _determinant(x[0]),
    _draw_matrix,
    lambda m, x, t, y: y * _trace(_solved(x[0], t[0])),
)
operation(
    "slogdet",
    "(sf.linalg.slogdet({0}).sign * sf.linalg.slogdet({0}).log_abs_determinant)",
    _signed_logarithm,
    _draw_signed,
    lambda m, x, t, y: (
        np.where(m.real(_determinant(x[0])) < 0, -1, 1) * _trace(_solved(x[0], t[0]))
    ),
)
operation(
    "logdet",
    "sf.linalg.logdet({0})",
    lambda m, x: 2 * m.log(_diagonal(_cholesky(m, x[0]))).sum(-1),
    _draw_definite,
    # only the lower triangle is read, as by Cholesky
    lambda m, x, t, y: _trace(
        _solved(x[0], _part(t[0], "lower") + _transposed(_part(t[0], "below")))
    ),
    weight=0.5,
)
operation(
    "cholesky",
    "sf.cholesky({0})",
    lambda m, x: _cholesky(m, x[0]),
    _draw_definite,
    _cholesky_tangent,
)


# --- norms -----------------------------------------------------------------------------------


def _draw_reduction(drawing: Any) -> Drawn:
    x = drawing.floating(lambda node: node.rank > 0)
    return None if x is None else ([x], {"axis": drawing.axes(x), "keepdims": drawing.coin()})


def _draw_norm(drawing: Any) -> Drawn:
    x = drawing.floating(lambda node: node.rank > 0)
    if x is None:
        return None
    axes = drawing.axes(x)
    some = isinstance(axes, tuple) and len(axes) > 2  # no matrices
    return [x], {"axis": axes[:2] if some else axes, "keepdims": drawing.coin()}


def _sum(x: Any, axis: Any, keepdims: bool) -> Any:
    return np.sum(x, axis=_axes(x, axis), keepdims=keepdims)


def _deviations(m: Any, x: Any, axis: Any) -> Any:
    return x - _mean(m, [x], axis, True)


def _variance(m: Any, x: Any, axis: Any, keepdims: bool) -> Any:
    return _mean(m, [_deviations(m, x, axis) ** 2], axis, keepdims)


operation(
    "norm",
    "sf.norm({0}, axis={axis}, keepdims={keepdims})",
    lambda m, x, axis, keepdims: m.sqrt(_sum(x[0] * x[0], axis, keepdims)),
    _draw_norm,
    lambda m, x, t, y, axis, keepdims: _sum(x[0] * t[0], axis, keepdims) / y,
    lambda m, x, axis, keepdims: [_sum(x[0] * x[0], axis, keepdims)],
)
operation(
    "reduce_std",
    "sf.reduce_std({0}, axis={axis}, keepdims={keepdims})",
    lambda m, x, axis, keepdims: m.sqrt(_variance(m, x[0], axis, keepdims)),
    _draw_reduction,
    lambda m, x, t, y, axis, keepdims: (
        _mean(m, [_deviations(m, x[0], axis) * t[0]], axis, keepdims) / y
    ),
    lambda m, x, axis, keepdims: [_variance(m, x[0], axis, keepdims)],
)
