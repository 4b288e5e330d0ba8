"""What repeats, surrounds, turns and parts tensors."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

from symflow.arrays import Axis, concat, gather, reshape
from symflow.errors import SymflowError, calling_location
from symflow.graph import Tensor, convert, structural


def tile(x: Any, multiples: Sequence[int], name: str | None = None) -> Tensor:
    """The whole tensor repeated along each axis, as often as `multiples` says."""
    many = (multiples,) if isinstance(multiples, (int, np.integer)) else tuple(multiples)
    return structural("tile", x, label=name, multiples=many)


def repeat(
    x: Any, repeats: int | Sequence[int], axis: int | None = None, name: str | None = None
) -> Tensor:
    """Every entry of an axis repeated in place: equally often, or each as often as a list says.

    Without an axis the tensor is flattened first.
    """
    x = convert(x)
    if axis is None:
        x, axis = reshape(x, (-1,)), 0
    if isinstance(repeats, (int, np.integer)):
        return structural("repeat", x, label=name, repeats=int(repeats), axis=axis)
    counts = np.asarray(repeats)
    size = _size("repeat", x, axis)
    if counts.shape != (size,) or counts.dtype.kind not in "iu" or np.any(counts < 0):
        raise SymflowError(
            f"repeat: {repeats!r} is not one whole number for each of the {size} entries of axis "
            f"{axis}",
            calling_location(),
        )
    if not counts.any():
        raise SymflowError("repeat: nothing is left", calling_location())
    return gather(x, np.repeat(np.arange(len(counts)), counts), axis=axis, name=name)


def flip(x: Any, axis: Axis = None, name: str | None = None) -> Tensor:
    """The entries in reverse order along the given axes, or along all."""
    return structural("flip", x, label=name, axis=axis)


def reverse(x: Any, axis: Axis, name: str | None = None) -> Tensor:
    """The entries in reverse order along the given axes."""
    return structural("flip", x, label=name, axis=axis)


def roll(x: Any, shift: int | Sequence[int], axis: Axis = None, name: str | None = None) -> Tensor:
    """Entries moved along axes; what moves beyond the end comes in at the beginning.

    Without an axis they move through all entries in row-major order, as in NumPy.
    """
    x = convert(x)
    if axis is not None:
        return structural("roll", x, label=name, shift=shift, axis=axis)
    if x.type is None:
        raise SymflowError("roll: the tensor has no known shape: give an axis", calling_location())
    flat = structural("roll", reshape(x, (-1,)), shift=shift, axis=0)
    return structural("reshape", flat, label=name, shape=x.type.shape)


def pad(
    x: Any,
    paddings: Sequence[Sequence[int]],
    mode: str = "CONSTANT",
    constant_values: float = 0,
    name: str | None = None,
) -> Tensor:
    """More entries around a tensor; `paddings` says for every axis how many before and behind.

    mode  "CONSTANT", all of them `constant_values`; "REFLECT", the tensor mirrored at its first
          and last entry; "SYMMETRIC", mirrored at its edges, so that those occur twice
    """
    widths = _widths(paddings)
    x = convert(x)
    mode = mode.upper() if isinstance(mode, str) else mode
    if mode == "CONSTANT":
        return structural("pad", x, label=name, widths=widths, value=constant_values)
    if mode not in ("REFLECT", "SYMMETRIC"):
        raise SymflowError(
            f'pad: mode is "CONSTANT", "REFLECT" or "SYMMETRIC", not {mode!r}', calling_location()
        )
    if x.shape is not None and len(x.shape) != len(widths):
        raise SymflowError(
            f"pad: {len(widths)} paddings for {len(x.shape)} axes", calling_location()
        )
    edge = int(mode == "REFLECT")
    wide = [axis for axis, width in enumerate(widths) if any(width)]
    if not wide:
        return structural("pad", x, label=name, widths=widths, value=0)
    result: Tensor = x
    for axis in wide:
        label = name if axis == wide[-1] else None
        result = _mirrored(result, axis, widths[axis], edge, mode, label).called("padded")
    return result


def _widths(paddings: Any) -> tuple[tuple[int, int], ...]:
    try:
        widths = np.asarray(paddings)
    except ValueError:
        widths = np.empty(0)
    whole = widths.dtype.kind in "iu" and widths.ndim == 2 and widths.shape[1] == 2
    if not whole or np.any(widths < 0):
        raise SymflowError(
            f"pad: {paddings!r} is not a pair of whole numbers for every axis", calling_location()
        )
    return tuple((int(before), int(behind)) for before, behind in widths)


def _mirrored(
    x: Tensor, axis: int, widths: tuple[int, int], edge: int, mode: str, name: str | None
) -> Tensor:
    """The tensor with its first and last entries along an axis in reverse around it."""
    before, behind = widths
    size = x.shape[axis] if x.shape is not None else None
    most = max(before, behind) + edge
    if isinstance(size, int) and most > size:
        raise SymflowError(
            f"pad: mode {mode} takes at most {size - edge} entries before and behind axis {axis} "
            f"of size {size}",
            calling_location(),
        )
    parts = [x]
    if before:
        first = structural("section", x, axis=axis, start=edge, stop=before + edge)
        parts.insert(0, structural("flip", first, axis=axis))
    if behind:
        last = structural("section", x, axis=axis, start=-behind - edge, stop=-edge or None)
        parts.append(structural("flip", last, axis=axis))
    return concat(parts, axis, name=name)


def split(
    value: Any, num_or_size_splits: Any, axis: int = 0, name: str | None = None
) -> list[Tensor]:
    """Parts of a tensor along an axis: so many equal ones, or ones of the given sizes.

    One of the sizes may be -1, for all that is left; of an axis without a fixed size it must be.
    """
    value = convert(value)
    if isinstance(num_or_size_splits, (int, np.integer)):
        count, size = int(num_or_size_splits), _size("split", value, axis)
        if count < 1 or size % count:
            raise SymflowError(
                f"split: axis {axis} has {size} entries, which are not {count} equal parts",
                calling_location(),
            )
        lengths = [size // count] * count
    else:
        lengths = _lengths(value, list(num_or_size_splits), axis)
    edges = _edges(lengths)
    return [
        structural("section", value, label=name and f"{name}_{at}", axis=axis, start=a, stop=b)
        for at, (a, b) in enumerate(itertools.pairwise(edges))
    ]


def _edges(lengths: list[int]) -> list[int | None]:
    """Where parts of these lengths meet; behind an open one, -1, counted from the end."""
    at = lengths.index(-1) if -1 in lengths else len(lengths)
    edges: list[int | None] = [*itertools.accumulate(lengths[:at], initial=0)]
    behind = lengths[at + 1 :]
    if at < len(lengths):
        edges += [-sum(behind[first:]) or None for first in range(len(behind) + 1)]
    return edges


def _lengths(value: Tensor, lengths: list[Any], axis: int) -> list[int]:
    whole = all(isinstance(one, (int, np.integer)) and (one >= 1 or one == -1) for one in lengths)
    if not lengths or not whole or lengths.count(-1) > 1:
        raise SymflowError(
            f"split: {lengths} are not whole numbers from 1, of which one may be -1",
            calling_location(),
        )
    given = int(sum(one for one in lengths if one != -1))
    if -1 in lengths and (value.shape is None or not isinstance(value.shape[axis], int)):
        return [int(one) for one in lengths]
    size = _size("split", value, axis)
    if (given >= size) if -1 in lengths else (given != size):
        raise SymflowError(
            f"split: {lengths} does not add up to the {size} entries of axis {axis}",
            calling_location(),
        )
    return [size - given if one == -1 else int(one) for one in lengths]


def unstack(
    value: Any, num: int | None = None, axis: int = 0, name: str | None = None
) -> list[Tensor]:
    """The entries of an axis, each as a tensor without that axis."""
    value = convert(value)
    size = num
    if value.shape is not None:
        size = _size("unstack", value, axis)
    if size is None or (num is not None and num != size):
        raise SymflowError(
            f"unstack: axis {axis} has "
            + (f"{size} entries, not {num}" if size else "no known size: give num"),
            calling_location(),
        )
    parts = [structural("section", value, axis=axis, start=at, stop=at + 1) for at in range(size)]
    return [
        structural("squeeze", part, label=name and f"{name}_{at}", axis=axis)
        for at, part in enumerate(parts)
    ]


def _size(operation: str, value: Tensor, axis: int) -> int:
    """The fixed size of an axis."""
    if value.shape is None:
        raise SymflowError(f"{operation}: the tensor's shape is not known", calling_location())
    rank = len(value.shape)
    if not isinstance(axis, (int, np.integer)) or not -rank <= axis < rank:
        raise SymflowError(
            f"{operation}: axis {axis} is out of range for {rank} axes", calling_location()
        )
    size = value.shape[axis]
    if not isinstance(size, int):
        raise SymflowError(
            f"{operation}: axis {axis} has {size or 'an unknown number of'} entries, which must "
            "be a fixed number here; the sizes of a split may hold one -1",
            calling_location(),
        )
    return size
