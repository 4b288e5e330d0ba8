"""Diagonals, triangles and products of matrices and tensors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from symflow.arrays import expand_dims, reduce_sum, reshape
from symflow.errors import SymflowError, calling_location
from symflow.functions import multiply
from symflow.graph import Tensor, convert, structural


def diag(diagonal: Any, name: str | None = None) -> Tensor:
    """The matrix with a vector on its diagonal, and zeros elsewhere."""
    return structural("diag", diagonal, label=name, rank=1)


def diag_part(x: Any, name: str | None = None) -> Tensor:
    """The diagonal of a square matrix."""
    return structural("diag_part", x, label=name, rank=2)


def matrix_diag(diagonal: Any, name: str | None = None) -> Tensor:
    """A matrix with every row of the last axis on its diagonal, and zeros elsewhere."""
    return structural("diag", diagonal, label=name)


def matrix_diag_part(x: Any, name: str | None = None) -> Tensor:
    """The diagonals of square matrices, which the last two axes are."""
    return structural("diag_part", x, label=name)


def trace(x: Any, name: str | None = None) -> Tensor:
    """The sum of the diagonal of square matrices, which the last two axes are."""
    return reduce_sum(structural("diag_part", x), axis=-1, name=name).called("trace")


def outer(a: Any, b: Any, name: str | None = None) -> Tensor:
    """z[i, j] = a[i] · b[j]; what is no vector is flattened, as in NumPy."""
    left, right = (
        one if one.shape is not None and len(one.shape) == 1 else reshape(one, (-1,))
        for one in (convert(a), convert(b))
    )
    return multiply(expand_dims(left, 1), expand_dims(right, 0), name=name).called("outer")


def tensordot(
    a: Any, b: Any, axes: int | Sequence[int | Sequence[int]], name: str | None = None
) -> Tensor:
    """Summed products over axes of a paired with axes of b.

    axes  a number of axes, the last ones of a and the first ones of b, or the two lists of them
    """
    pairs: int | tuple[tuple[int, ...], ...]
    if isinstance(axes, (int, np.integer)):
        pairs = int(axes)
    else:
        if not isinstance(axes, (list, tuple)) or len(axes) != 2:
            raise SymflowError(
                f"tensordot: axes {axes!r} is neither a number nor two lists", calling_location()
            )
        pairs = tuple(
            (int(one),) if isinstance(one, (int, np.integer)) else tuple(one) for one in axes
        )
    return structural("tensordot", a, b, label=name, axes=pairs)


def matrix_band_part(x: Any, num_lower: int, num_upper: int, name: str | None = None) -> Tensor:
    """x[..., i, j] where i - j ≤ num_lower and j - i ≤ num_upper, and 0 elsewhere.

    A negative number keeps all on its side of the diagonal.
    """
    low = None if num_lower < 0 else -int(num_lower)
    high = None if num_upper < 0 else int(num_upper)
    return structural("band_part", x, label=name, low=low, high=high)


def tril(x: Any, k: int = 0, name: str | None = None) -> Tensor:
    """The lower triangle: x[..., i, j] where j - i ≤ k, and 0 elsewhere."""
    return structural("band_part", x, label=name, low=None, high=int(k))


def triu(x: Any, k: int = 0, name: str | None = None) -> Tensor:
    """The upper triangle: x[..., i, j] where j - i ≥ k, and 0 elsewhere."""
    return structural("band_part", x, label=name, low=int(k), high=None)
