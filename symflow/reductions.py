"""Reductions beyond sums: products, deviations, norms, running totals, sums of segments."""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np

from symflow.arrays import Axis, reduce_max, reduce_mean, reduce_sum
from symflow.errors import SymflowError, calling_location
from symflow.functions import abs, greater, less, pow, square, where
from symflow.graph import Constant, Tensor, convert, elementwise, structural

Order = Literal["euclidean", "fro"] | float


def reduce_prod(
    x: Any, axis: Axis = None, keepdims: bool = False, name: str | None = None
) -> Tensor:
    """The product over the given axes, or over all; derivatives are exact also where it is 0."""
    return structural("reduce_prod", x, label=name, axis=axis, keepdims=keepdims)


def reduce_any(
    x: Any, axis: Axis = None, keepdims: bool = False, name: str | None = None
) -> Tensor:
    """Whether any of the booleans holds, over the given axes or over all."""
    return structural("reduce_any", x, label=name, axis=axis, keepdims=keepdims)


def reduce_all(
    x: Any, axis: Axis = None, keepdims: bool = False, name: str | None = None
) -> Tensor:
    """Whether all of the booleans hold, over the given axes or over all."""
    return structural("reduce_all", x, label=name, axis=axis, keepdims=keepdims)


def reduce_variance(
    x: Any, axis: Axis = None, keepdims: bool = False, name: str | None = None
) -> Tensor:
    """The mean square of the distances from the mean, which is computed first."""
    x = convert(x)
    deviation = (x - reduce_mean(x, axis, keepdims=True).called("mean")).called("deviation")
    variance = reduce_mean(square(deviation), axis, keepdims, name=name)
    return variance.called("variance")


def reduce_std(
    x: Any, axis: Axis = None, keepdims: bool = False, name: str | None = None
) -> Tensor:
    """The square root of the variance. Where all entries are equal the gradient is 0."""
    return _root(reduce_variance(x, axis, keepdims), name).called("std")


def norm(
    x: Any,
    ord: Order = "euclidean",
    axis: Axis = None,
    keepdims: bool = False,
    name: str | None = None,
) -> Tensor:
    """The norm of vectors, or of matrices where `axis` is a pair.

    ord   vectors: "euclidean" (or "fro", 2), 1, np.inf or a number p ≥ 1, for (Σ |x|ᵖ)^(1/p);
          matrices: "euclidean" (or "fro"), 1 for the largest sum of a column of |x|, np.inf for
          that of a row
    axis  one axis, a pair (rows, columns), or None for all entries as one vector

    The gradient at 0 is 0; of several largest entries or sums each gets an equal share.
    """
    x = convert(x)
    axes = axis if axis is None or isinstance(axis, (int, np.integer)) else tuple(axis)
    if isinstance(axes, tuple) and len(axes) not in (1, 2):
        raise SymflowError(
            f"norm: axis {axes} is neither one axis nor a pair of them", calling_location()
        )
    matrix = isinstance(axes, tuple) and len(axes) == 2
    if ord in ("euclidean", "fro") or (ord == 2 and not matrix):
        return _root(reduce_sum(square(x), axes, keepdims), name).called("norm")
    if matrix and ord in (1, math.inf):
        assert isinstance(axes, tuple)
        sums = reduce_sum(abs(x), axes[0] if ord == 1 else axes[1], keepdims=True)
        return reduce_max(sums, axes, keepdims, name=name).called("norm")
    if matrix or isinstance(ord, str) or not ord >= 1:
        known = '"euclidean", "fro", 1 and np.inf' + ("" if matrix else ", and numbers from 1")
        raise SymflowError(
            f"norm: the orders of a {'matrix' if matrix else 'vector'} norm are {known}, "
            f"not {ord!r}",
            calling_location(),
        )
    if ord == math.inf:
        return reduce_max(abs(x), axes, keepdims, name=name).called("norm")
    if ord == 1:
        return reduce_sum(abs(x), axes, keepdims, name=name).called("norm")
    total = reduce_sum(pow(abs(x), float(ord)), axes, keepdims).called("powers")
    some = greater(total, 0.0)
    return where(some, pow(where(some, total, 1.0), 1.0 / ord), 0.0, name=name).called("norm")


def _root(squares: Tensor, name: str | None) -> Tensor:
    """The root of a sum of squares, with gradient 0 at 0."""
    return elementwise("root_of_squares", squares, label=name)


# --- along an axis ---------------------------------------------------------------------------


def cumsum(
    x: Any,
    axis: int = 0,
    exclusive: bool = False,
    reverse: bool = False,
    name: str | None = None,
) -> Tensor:
    """The sum of all entries up to each one along an axis.

    exclusive  without the entry itself, so that the first is 0
    reverse    from the end of the axis
    """
    return _cumulative("cumsum", x, axis, exclusive, reverse, name)


def cumprod(
    x: Any,
    axis: int = 0,
    exclusive: bool = False,
    reverse: bool = False,
    name: str | None = None,
) -> Tensor:
    """The product of all entries up to each one along an axis.

    exclusive  without the entry itself, so that the first is 1
    reverse    from the end of the axis

    No derivative divides by an entry: they are exact where entries are 0.
    """
    return _cumulative("cumprod", x, axis, exclusive, reverse, name)


def _cumulative(
    operation: str, x: Any, axis: int, exclusive: bool, reverse: bool, name: str | None
) -> Tensor:
    label = None if exclusive else name
    result = structural(operation, x, label=label, axis=axis, reverse=bool(reverse))
    if not exclusive:
        return result
    by, fill = (-1 if reverse else 1), int(operation == "cumprod")
    return structural("shift", result, label=name, axis=axis, by=by, fill=fill)


# --- segments --------------------------------------------------------------------------------


def unsorted_segment_sum(
    data: Any, segment_ids: Any, num_segments: int, name: str | None = None
) -> Tensor:
    """z[s] = Σ data[i] over all i with segment_ids[i] = s, for s below `num_segments`.

    The segments may have several axes, the first ones of the data. An empty segment is 0. As in
    TensorFlow, entries with a negative segment are dropped; one from `num_segments` on is an
    IndexError when the program runs, and an error at once if the segments are constant.
    """
    data, ids = convert(data), convert(segment_ids)
    count = _count("unsorted_segment_sum", num_segments)
    if isinstance(ids, Constant):
        if ids.value.dtype.kind in "iu" and np.any(ids.value >= count):
            raise SymflowError(
                f"unsorted_segment_sum: segment {ids.value.max()} is not below {count}",
                calling_location(),
            )
        if not np.any(ids.value < 0):
            return structural("segment_sum", data, ids, label=name, count=count)
    # what is dropped goes to a segment of its own, behind the last
    kept = where(less(ids, 0), count, ids).called("segments")
    sums = structural("segment_sum", data, kept, count=count + 1).called("sums")
    return structural("section", sums, label=name, axis=0, start=None, stop=count)


def segment_sum(
    data: Any, segment_ids: Any, num_segments: int | None = None, name: str | None = None
) -> Tensor:
    """z[s] = Σ data[i] over all i with segment_ids[i] = s; the segments ascend from 0.

    Constant segments say themselves how many they are; otherwise give `num_segments`, since
    sizes are fixed when the program is compiled. That they ascend is checked where they are
    constant, and makes no difference where they are not.
    """
    ids = convert(segment_ids)
    if isinstance(ids, Constant):
        if ids.value.ndim != 1 or np.any(np.diff(ids.value) < 0) or np.any(ids.value < 0):
            raise SymflowError(
                "segment_sum: the segments are no ascending vector from 0; "
                "unsorted_segment_sum takes any",
                calling_location(),
            )
        num_segments = int(ids.value[-1]) + 1 if num_segments is None else num_segments
    if num_segments is None:
        raise SymflowError(
            "segment_sum: how many segments a placeholder holds is not known before it is fed: "
            "give num_segments",
            calling_location(),
        )
    return unsorted_segment_sum(data, ids, num_segments, name=name)


def _count(operation: str, number: Any) -> int:
    if isinstance(number, bool) or not isinstance(number, (int, np.integer)) or number < 1:
        raise SymflowError(
            f"{operation}: num_segments is {number!r}, not a whole number from 1",
            calling_location(),
        )
    return int(number)
