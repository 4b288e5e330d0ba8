"""Gaussian elimination of matrices of numbers of any kind, where `numpy.linalg` has none.

Arrays hold objects that add, multiply, divide and compare, such as mpmath's numbers. What a
singular matrix leaves undefined is NaN.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


def each_matrix(function: Callable[..., Any], *stacks: Array) -> Array:
    """A function of matrices applied to each of a batch; the batches are the same."""
    batch = stacks[0].shape[:-2]
    results = [
        np.asarray(function(*(stack[at] for stack in stacks)), dtype=object)
        for at in np.ndindex(batch)
    ]
    shape = results[0].shape
    found = np.empty((len(results), *shape), dtype=object)
    for number, result in enumerate(results):
        found[number] = result
    return found.reshape((*batch, *shape))


def solved(matrix: Array, right: Array) -> Array:
    """matrix⁻¹ · right, by Gauss and Jordan's method with the largest pivots."""
    size = len(matrix)
    columns = right.reshape(size, -1)
    rows = np.concatenate([matrix, columns], axis=1)
    for at in range(size):
        pivot = max(range(at, size), key=lambda row: abs(rows[row, at]))
        if rows[pivot, at] == 0:
            return np.full(right.shape, rows[pivot, at] + float("nan"), dtype=object)
        rows[[at, pivot]] = rows[[pivot, at]]
        rows[at] = rows[at] / rows[at, at]
        for other in range(size):
            if other != at:
                rows[other] = rows[other] - rows[other, at] * rows[at]
    result: Array = rows[:, size:].reshape(right.shape)
    return result


def inverse(matrix: Array) -> Array:
    return solved(matrix, np.eye(len(matrix), dtype=int).astype(object))


def determinant(matrix: Array) -> Any:
    rows, result = matrix.copy(), 1
    for at in range(len(rows)):
        pivot = max(range(at, len(rows)), key=lambda row: abs(rows[row, at]))
        if rows[pivot, at] == 0:
            return rows[pivot, at]
        if pivot != at:
            rows[[at, pivot]] = rows[[pivot, at]]
            result = -result
        result = result * rows[at, at]
        for row in range(at + 1, len(rows)):
            rows[row] = rows[row] - rows[row, at] / rows[at, at] * rows[at]
    return result


def cofactors(matrix: Array) -> Array:
    """The determinants of what is left without a row and a column, with their signs."""
    return _minors(matrix, lambda minor, row, column: determinant(minor))


def cofactor_slope(matrix: Array, direction: Array) -> Array:
    """How cofactors change in a direction: a determinant is linear in each of its rows."""

    def slope(minor: Array, row: int, column: int) -> Any:
        moved = _without(direction, row, column)
        total: Any = 0
        for one in range(len(minor)):
            changed = minor.copy()
            changed[one] = moved[one]
            total = total + determinant(changed)
        return total

    return _minors(matrix, slope)


def cholesky(matrix: Array, root: Callable[[Any], Any]) -> Array:
    """L with L Lᵀ = matrix, from its lower triangle."""
    factor = np.full(matrix.shape, matrix[0, 0] * 0, dtype=object)
    for column in range(len(matrix)):
        left = factor[column:, :column]
        rest = matrix[column:, column] - (left * left[0]).sum(axis=1)
        factor[column:, column] = rest / root(rest[0])
    return factor


def _minors(matrix: Array, function: Callable[[Array, int, int], Any]) -> Array:
    found = np.empty(matrix.shape, dtype=object)
    for row, column in np.ndindex(matrix.shape):
        value = function(_without(matrix, row, column), row, column)
        found[row, column] = -value if (row + column) % 2 else value
    return found


def _without(matrix: Array, row: int, column: int) -> Array:
    rest: Array = np.delete(np.delete(matrix, row, axis=0), column, axis=1)
    return rest
