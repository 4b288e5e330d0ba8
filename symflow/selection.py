"""What picks entries by their value or position: sorting, extremes, gathering, masks."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from symflow.arrays import gather, reshape
from symflow.errors import SymflowError, calling_location
from symflow.graph import Constant, Tensor, convert, shape_of, structural


class TopK(NamedTuple):
    """What `top_k` returns."""

    values: Tensor
    indices: Tensor


def argmax(x: Any, axis: int | None = None, name: str | None = None) -> Tensor:
    """The position of the largest entry along an axis, axis 0 by default; the first one of ties.

    Positions are whole numbers: there is no derivative.
    """
    return structural("argmax", x, label=name, axis=0 if axis is None else axis)


def argmin(x: Any, axis: int | None = None, name: str | None = None) -> Tensor:
    """The position of the smallest entry along an axis, axis 0 by default; the first one of ties.

    Positions are whole numbers: there is no derivative.
    """
    return structural("argmin", x, label=name, axis=0 if axis is None else axis)


def argsort(
    values: Any, axis: int = -1, direction: str = "ASCENDING", name: str | None = None
) -> Tensor:
    """The positions of the entries of an axis in sorted order; ties keep their order.

    Positions are whole numbers: there is no derivative.
    """
    descending = _descending("argsort", direction)
    return structural("argsort", values, label=name, axis=axis, descending=descending)


def sort(
    values: Any, axis: int = -1, direction: str = "ASCENDING", name: str | None = None
) -> Tensor:
    """The entries of an axis in sorted order, "ASCENDING" or "DESCENDING".

    The gradient goes back to where each entry came from; ties keep their order.
    """
    values = convert(values)
    descending = _descending("sort", direction)
    order = structural("argsort", values, axis=axis, descending=descending).called("order")
    return structural("take_along", values, order, label=name, axis=axis).called("sorted")


def top_k(x: Any, k: int = 1, sorted: bool = True, name: str | None = None) -> TopK:
    """The k largest entries of the last axis, largest first, and their positions.

    Of equal entries the first comes first. The order is the same whatever `sorted` says.
    """
    x = convert(x)
    if isinstance(k, bool) or not isinstance(k, (int, np.integer)):
        raise SymflowError(f"top_k: k is {k!r}, not a whole number", calling_location())
    order = structural("top_k", x, k=int(k)).called("top")
    return TopK(structural("take_along", x, order, label=name, axis=-1).called("largest"), order)


def _descending(operation: str, direction: str) -> bool:
    if direction not in ("ASCENDING", "DESCENDING"):
        raise SymflowError(
            f'{operation}: direction is "ASCENDING" or "DESCENDING", not {direction!r}',
            calling_location(),
        )
    return direction == "DESCENDING"


def gather_nd(params: Any, indices: Any, name: str | None = None) -> Tensor:
    """z[i] = params[indices[i, 0], ..., indices[i, k-1]]: entries or slices by coordinates.

    The last axis of the indices holds the coordinates. Negative ones count from the end, as in
    NumPy; out of range is an IndexError when the program runs, and an error at once where the
    indices are constant. Entries that are picked twice add up in the gradient.
    """
    params, indices = convert(params), convert(indices)
    result = structural("gather_nd", params, indices, label=name)
    _check_coordinates("gather_nd", params.shape, indices)
    return result


def scatter_nd(indices: Any, updates: Any, shape: Any, name: str | None = None) -> Tensor:
    """Zeros of the given shape, with every update added at its coordinates; see `gather_nd`."""
    indices = convert(indices)
    result = structural("scatter_nd", indices, updates, label=name, shape=shape_of(shape))
    _check_coordinates("scatter_nd", result.shape, indices)
    return result


def _check_coordinates(
    operation: str, shape: tuple[int | str | None, ...] | None, indices: Tensor
) -> None:
    if shape is None or not isinstance(indices, Constant):
        return
    for axis in range(indices.value.shape[-1]):
        size, found = shape[axis], indices.value[..., axis]
        if isinstance(size, int) and np.any((found < -size) | (found >= size)):
            raise SymflowError(
                f"{operation}: a coordinate is out of range for axis {axis} of size {size}",
                calling_location(),
            )


def embedding_lookup(params: Any, ids: Any, name: str | None = None) -> Tensor:
    """Rows of a table, by number; rows that are looked up twice add up in the gradient.

    Out-of-range numbers are treated as `gather` does.
    """
    return gather(params, ids, axis=0, name=name)


def boolean_mask(tensor: Any, mask: Any, axis: int = 0, name: str | None = None) -> Tensor:
    """The entries where a constant mask holds, in one axis in place of those of the mask.

    The mask must be a constant, for how many entries a computed mask keeps is not known before
    the program runs. Reduce with `where` instead, which gives the same without the shape:

        sf.reduce_sum(sf.where(mask, x, 0.0))
        sf.reduce_sum(sf.where(mask, x, 0.0)) / sf.reduce_sum(sf.cast(mask, sf.float64))
        sf.reduce_max(sf.where(mask, x, -np.inf))
    """
    tensor, mask = convert(tensor), convert(mask)
    if not isinstance(mask, Constant):
        raise SymflowError(
            "boolean_mask: how many entries a computed mask keeps is not known before the program "
            "runs; keep the shape and reduce with where, as in "
            "reduce_sum(where(mask, x, 0.0))",
            calling_location(),
        )
    shape, held = tensor.shape, mask.value
    if held.dtype.kind != "b" or held.ndim == 0 or not held.any():
        raise SymflowError(
            "boolean_mask: the mask is no array of booleans, some of them true", calling_location()
        )
    if shape is None:
        raise SymflowError("boolean_mask: the tensor's shape is not known", calling_location())
    first = axis + len(shape) if axis < 0 else axis
    masked = shape[first : first + held.ndim]
    if masked != held.shape:
        raise SymflowError(
            f"boolean_mask: the mask is {held.shape}, but the tensor is {_shown(shape)} from axis "
            f"{axis} on",
            calling_location(),
        )
    if held.ndim > 1:
        tensor = reshape(tensor, (*shape[:first], held.size, *shape[first + held.ndim :]))
    return gather(tensor, np.flatnonzero(held), axis=first, name=name)


def _shown(shape: tuple[int | str | None, ...]) -> str:
    return "(" + ", ".join(str(size) for size in shape) + ")"
