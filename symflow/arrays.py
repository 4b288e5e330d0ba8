"""Operations on whole arrays: reductions, contractions, and what only moves entries."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import sympy as sp
from numpy.typing import DTypeLike

import symflow.operations as operations
from symflow.errors import SymflowError, calling_location
from symflow.functions import (
    abs,
    add,
    divide,
    equal,
    exp,
    greater,
    less,
    log,
    multiply,
    not_equal,
    sqrt,
    square,
    subtract,
    to_float,
    to_int,
    where,
)
from symflow.graph import Constant, Tensor, apply, convert, shape_of
from symflow.graph import structural as _structural

Axis = int | Sequence[int] | None


# --- reductions ------------------------------------------------------------------------------


def reduce_sum(
    x: Any, axis: Axis = None, keepdims: bool = False, name: str | None = None
) -> Tensor:
    """The sum over the given axes, or over all."""
    return _structural("reduce_sum", x, label=name, axis=axis, keepdims=keepdims)


def reduce_mean(
    x: Any, axis: Axis = None, keepdims: bool = False, name: str | None = None
) -> Tensor:
    """The mean over the given axes, or over all."""
    return _structural("reduce_mean", x, label=name, axis=axis, keepdims=keepdims)


def reduce_max(
    x: Any, axis: Axis = None, keepdims: bool = False, name: str | None = None
) -> Tensor:
    """The largest entry over the given axes; equal ones share the gradient equally."""
    return _structural("reduce_max", x, label=name, axis=axis, keepdims=keepdims)


def reduce_min(
    x: Any, axis: Axis = None, keepdims: bool = False, name: str | None = None
) -> Tensor:
    """The smallest entry over the given axes; equal ones share the gradient equally."""
    return _structural("reduce_min", x, label=name, axis=axis, keepdims=keepdims)


def reduce_logsumexp(
    x: Any, axis: Axis = None, keepdims: bool = False, name: str | None = None
) -> Tensor:
    """log Σ eˣ, computed around the largest entry so that nothing overflows.

    Where all entries are -∞ the value is -∞, and the gradient counts as 0.
    """
    x = convert(x)
    peak = _peak(x, axis)
    shift = where(less(abs(peak), np.inf), peak, 0.0).called("shift")
    total = reduce_sum(exp((x - shift).called("shifted")), axis, keepdims=keepdims).called("total")
    if not keepdims:
        peak = reduce_sum(peak, axis)
    return add(log(where(greater(total, 0.0), total, 1.0)), peak, name=name)


def _peak(x: Tensor, axis: Axis) -> Tensor:
    """The largest entry, by which exponents are shifted: the result is the same for any number,
    and formulas for people leave it out; see `formulas/reading.py`.
    """
    return stop_gradient(reduce_max(x, axis, keepdims=True)).called("peak")


def softmax(x: Any, axis: int = -1, name: str | None = None) -> Tensor:
    """eˣ / Σ eˣ along an axis."""
    x = convert(x)
    shifted = (x - _peak(x, axis)).called("shifted")
    exponentials = exp(shifted)
    total = reduce_sum(exponentials, axis, keepdims=True).called("total")
    return divide(exponentials, total, name=name)


def log_softmax(x: Any, axis: int = -1, name: str | None = None) -> Tensor:
    """x - log Σ eˣ along an axis."""
    x = convert(x)
    shifted = (x - _peak(x, axis)).called("shifted")
    total = reduce_sum(exp(shifted), axis, keepdims=True).called("total")
    return subtract(shifted, log(total), name=name).called("log_softmax")


# --- contractions and index maps -------------------------------------------------------------


def matmul(
    a: Any,
    b: Any,
    transpose_a: bool = False,
    transpose_b: bool = False,
    name: str | None = None,
) -> Tensor:
    """The matrix product of the last two dimensions, with NumPy's rules for 1-D and batches."""
    left = _structural("transpose_matrix", a) if transpose_a else convert(a)
    right = _structural("transpose_matrix", b) if transpose_b else convert(b)
    return _structural("matmul", left, right, label=name)


def einsum(subscripts: str, *operands: Any, name: str | None = None) -> Tensor:
    """NumPy's einsum with explicit letters: `einsum("bij,bjk->bik", a, b)`.

    A letter repeated inside one operand takes the diagonal; without `->` the letters that occur
    once are kept, in alphabetical order. No ellipsis.
    """
    inputs, arrow, output = subscripts.replace(" ", "").partition("->")
    terms = inputs.split(",")
    letters = inputs.replace(",", "")
    if not arrow:
        output = "".join(sorted(letter for letter in set(letters) if letters.count(letter) == 1))
    fits = (
        len(terms) == len(operands)
        and (not letters or letters.isalpha())
        and set(output) <= set(letters)
        and len(set(output)) == len(output)
    )
    if not fits:
        raise SymflowError(
            f"einsum: '{subscripts}' does not fit {len(operands)} operands", calling_location()
        )
    tensors = [convert(operand) for operand in operands]
    for number, term in enumerate(terms):
        while len(set(term)) < len(term):
            letter = next(letter for letter in term if term.count(letter) > 1)
            first = term.index(letter)
            second = term.index(letter, first + 1)
            tensors[number] = _structural("diagonal", tensors[number], axes=(first, second))
            term = term[:first] + term[first + 1 : second] + term[second + 1 :] + letter
        terms[number] = term
    return _structural("einsum", *tensors, label=name, inputs=tuple(terms), output=output)


def transpose(x: Any, perm: Sequence[int] | None = None, name: str | None = None) -> Tensor:
    """The axes in the order `perm`, or in reverse."""
    return _structural("transpose", x, label=name, perm=None if perm is None else tuple(perm))


def expand_dims(x: Any, axis: int = -1, name: str | None = None) -> Tensor:
    """A new axis of size one before `axis`."""
    return _structural("expand_dims", x, label=name, axis=axis)


def squeeze(x: Any, axis: Axis = None, name: str | None = None) -> Tensor:
    """Without the given axes of size one, or without all of them."""
    return _structural("squeeze", x, label=name, axis=axis)


def broadcast_to(x: Any, shape: Any, name: str | None = None) -> Tensor:
    """Repeated to the given shape by NumPy's broadcasting."""
    return _structural("broadcast_to", x, label=name, shape=shape_of(shape))


# --- views -----------------------------------------------------------------------------------


def reshape(x: Any, shape: Any, name: str | None = None) -> Tensor:
    """The same entries in row-major order in another shape; one dimension may be -1."""
    entries = (shape,) if isinstance(shape, (int, str)) else tuple(shape)
    sizes = tuple(
        sp.Integer(-1) if not isinstance(entry, str) and entry == -1 else shape_of((entry,))[0]
        for entry in entries
    )
    return _structural("reshape", x, label=name, shape=sizes)


def concat(values: Sequence[Any], axis: int, name: str | None = None) -> Tensor:
    """Joined along an existing axis."""
    if not isinstance(values, (list, tuple)) or not values:
        raise SymflowError(
            f"concat(values, axis): the tensors come first, in a list, not {values!r}",
            calling_location(),
        )
    return _structural("concat", *values, label=name, axis=axis)


def stack(values: Sequence[Any], axis: int = 0, name: str | None = None) -> Tensor:
    """Joined along a new axis."""
    if not isinstance(values, (list, tuple)) or not values:
        raise SymflowError(
            f"stack(values, axis): {values!r} is no list of tensors", calling_location()
        )
    return concat([expand_dims(value, axis) for value in values], axis, name=name)


def gather(params: Any, indices: Any, axis: int = 0, name: str | None = None) -> Tensor:
    """Entries of one axis, picked by whole numbers; repeated ones add up in the gradient."""
    params, indices = convert(params), convert(indices)
    if (
        isinstance(indices, Constant)
        and params.shape is not None
        and -1 <= axis < len(params.shape)
    ):
        size = params.shape[axis]
        if isinstance(size, int) and np.any((indices.value < -size) | (indices.value >= size)):
            raise SymflowError(
                f"gather: an index is out of range for axis {axis} of size {size}",
                calling_location(),
            )
    return _structural("gather", params, indices, label=name, axis=axis)


def one_hot(indices: Any, depth: int, name: str | None = None) -> Tensor:
    """1.0 at the index and 0.0 elsewhere, along a new last axis of size `depth`."""
    if not isinstance(depth, (int, np.integer)) or depth < 1:
        raise SymflowError(f"one_hot: depth is {depth!r}", calling_location())
    positions = apply(operations.TABLE["range"], [], size=sp.Integer(int(depth)))
    return to_float(equal(expand_dims(indices, -1), positions), name=name).called("one_hot")


def stop_gradient(x: Any, name: str | None = None) -> Tensor:
    """x itself, as a constant for every derivative."""
    return _structural("stop_gradient", x, label=name)


def l2_loss(x: Any, name: str | None = None) -> Tensor:
    """Half the sum of squares."""
    return multiply(reduce_sum(square(x)), 0.5, name=name)


def cast(x: Any, dtype: DTypeLike, name: str | None = None) -> Tensor:
    """To another kind of number, of which booleans are one.

    To floating point in the model's precision; to 64-bit integers, without what stands behind
    the point; to booleans, which say what is not 0.
    """
    x, kind = convert(x), np.dtype(dtype).kind
    if kind == "f":
        return to_float(x, name=name)
    if kind in "iu":
        return to_int(x, name=name)
    if kind == "b":
        return not_equal(x, 0, name=name)
    raise SymflowError(f"cast: {np.dtype(dtype)} is not a real number's", calling_location())


def global_norm(tensors: Sequence[Any]) -> Tensor:
    """√ of the sum of all squares."""
    total: Tensor = Constant(0.0)
    for tensor in tensors:
        total = total + reduce_sum(square(tensor))
    return sqrt(total)
