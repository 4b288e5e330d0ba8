"""Functions of NumPy on matrices, continued from real to complex numbers.

NumPy's own conjugate or take absolute values of complex numbers, where the complex step wants
analytic functions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


def _vdot(first: Array, second: Array) -> Any:
    return np.ravel(first) @ np.ravel(second)


def _cholesky(matrix: Array) -> Array:
    """L with L Lᵀ = matrix, without a conjugate; the lower triangle is read, as NumPy does."""
    np.linalg.cholesky(np.real(matrix))  # refuses what is not positive definite
    factor = np.zeros_like(matrix)
    for column in range(matrix.shape[-1]):
        left = factor[..., column:, :column]
        rest = matrix[..., column:, column] - np.sum(left * left[..., :1, :], axis=-1)
        factor[..., column:, column] = rest / np.sqrt(rest[..., :1])
    return factor


def _slogdet(matrix: Array) -> tuple[Array, Array]:
    """The real sign, and log(sign · det)."""
    sign, size = np.linalg.slogdet(matrix)
    real = np.sign(np.real(sign))
    return real, size + np.log(np.where(real == 0.0, 1.0, sign * real))


ANALYTIC = frozenset({np.linalg.det, np.linalg.inv, np.linalg.solve})
"""Those of `numpy.linalg` that are analytic as they are."""

CONTINUED: Mapping[Any, Callable[..., Any]] = {
    np.vdot: _vdot,
    np.linalg.cholesky: _cholesky,
    np.linalg.slogdet: _slogdet,
}
