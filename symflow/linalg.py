"""`sf.linalg`: solving linear systems, inverses, determinants, Cholesky factors.

Matrices are the last two axes of a tensor; axes before them are a batch. The generated module
calls `numpy.linalg`, which raises `numpy.linalg.LinAlgError` for a singular matrix to solve with
or to invert, and for a matrix to factor that is not positive definite.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import symflow.operations as operations
from symflow.arrays import expand_dims, reduce_sum, squeeze
from symflow.errors import SymflowError
from symflow.functions import log, multiply, to_float
from symflow.graph import Tensor, apply, convert
from symflow.guidance import unknown
from symflow.matrix_parts import matrix_diag_part, tril, triu
from symflow.program import Type
from symflow.shapes import Shape, broadcast

__all__ = [
    "SignAndLogDeterminant",
    "cholesky",
    "cholesky_solve",
    "det",
    "inv",
    "logdet",
    "slogdet",
    "solve",
    "triangular_solve",
]


def matrix_solve(matrix: Any, rhs: Any, adjoint: bool = False, name: str | None = None) -> Tensor:
    """X with matrix · X = rhs, or with matrixᵀ · X = rhs if `adjoint`.

    matrix  (..., m, m), regular; a singular one raises `numpy.linalg.LinAlgError` when it runs
    rhs     (..., m, k), or one vector (m,), which gives the solutions as (..., m); batches are
            broadcast against those of the matrix. Vectors in a batch are `rhs[..., None]`
    """
    matrix, rhs = _floats(matrix), _floats(rhs)
    if adjoint:
        matrix = _transposed(matrix)
    if matrix.type is not None and rhs.type is not None:
        if len(rhs.type.shape) == 1 and len(matrix.type.shape) > 2:
            columns = matrix_solve(matrix, expand_dims(rhs, -1))
            return squeeze(columns, -1, name=name)
        matrix, rhs = _same_batch(matrix, matrix.type, rhs, rhs.type)
    return _solver("matrix_solve", matrix, rhs, name=name)


def matrix_inverse(input: Any, adjoint: bool = False, name: str | None = None) -> Tensor:
    """The inverse of (..., m, m), transposed if `adjoint`.

    To multiply by an inverse, `matrix_solve` is faster and loses fewer digits. A singular matrix
    raises `numpy.linalg.LinAlgError` when it runs.
    """
    matrix = _floats(input)
    return _solver("matrix_inverse", _transposed(matrix) if adjoint else matrix, name=name)


def matrix_determinant(input: Any, name: str | None = None) -> Tensor:
    """The determinants (...,) of matrices (..., m, m).

    The derivative is the matrix of cofactors, which is right for singular matrices too, and so is
    the second derivative. There is no third one: for that take `slogdet`.
    """
    return _solver("matrix_determinant", _floats(input), name=name)


class SignAndLogDeterminant(NamedTuple):
    """det = sign · exp(log_abs_determinant)."""

    sign: Tensor
    log_abs_determinant: Tensor


def slogdet(input: Any, name: str | None = None) -> SignAndLogDeterminant:
    """The sign and log |det| of matrices (..., m, m), where det itself would overflow.

    The derivative of the sign is 0, that of log |det| is the transposed inverse. Of a singular
    matrix the values are 0 and -∞, and there is no derivative: `numpy.linalg.LinAlgError`.
    """
    matrix = _floats(input)
    sign = _solver("determinant_sign", matrix, name=name and f"{name}_sign")
    return SignAndLogDeterminant(sign, _solver("log_abs_determinant", matrix, name=name))


def logdet(matrix: Any, name: str | None = None) -> Tensor:
    """log det of symmetric positive definite matrices, by the Cholesky factor."""
    factor = cholesky(matrix)
    return multiply(2.0, reduce_sum(log(matrix_diag_part(factor)), axis=-1), name=name)


def cholesky(input: Any, name: str | None = None) -> Tensor:
    """The lower triangular L with L · Lᵀ = input, for symmetric positive definite (..., m, m).

    Only the lower triangle of the input is read, as NumPy does, and only there is the derivative
    other than 0 (I. Murray, "Differentiation of the Cholesky decomposition", 2016): it is exact
    entry by entry, also where the input is a Variable. Behind anything that makes symmetric
    matrices, such as x · xᵀ, it is the derivative that any other convention gives. A matrix that
    is not positive definite raises `numpy.linalg.LinAlgError` when it runs.
    """
    return _solver("cholesky", _floats(input), name=name)


def matrix_triangular_solve(
    matrix: Any, rhs: Any, lower: bool = True, adjoint: bool = False, name: str | None = None
) -> Tensor:
    """X with T · X = rhs (Tᵀ · X = rhs if `adjoint`), T the lower or upper triangle of `matrix`.

    The other triangle is not read. NumPy has no solver of its own for triangles: this is
    `numpy.linalg.solve`, with its cost. Shapes are those of `matrix_solve`.
    """
    matrix = convert(matrix)
    if not (lower and matrix.operation is operations.TABLE["cholesky"]):
        matrix = tril(matrix) if lower else triu(matrix)
    return matrix_solve(matrix, rhs, adjoint, name)


def cholesky_solve(chol: Any, rhs: Any, name: str | None = None) -> Tensor:
    """X with A · X = rhs, given the Cholesky factor of A: two systems with triangles."""
    return matrix_triangular_solve(
        chol, matrix_triangular_solve(chol, rhs), adjoint=True, name=name
    )


solve = matrix_solve
inv = matrix_inverse
det = matrix_determinant
triangular_solve = matrix_triangular_solve


def _solver(operation: str, *operands: Tensor, name: str | None = None) -> Tensor:
    return apply(operations.TABLE[operation], operands, name)


def _floats(value: Any) -> Tensor:
    """Whole numbers as floats: NumPy would solve for them in float64, whatever the model's is."""
    tensor = convert(value)
    return tensor if tensor.type is not None and tensor.type.dtype == "float" else to_float(tensor)


def _transposed(matrix: Tensor) -> Tensor:
    return apply(operations.TABLE["transpose_matrix"], [matrix])


def _same_batch(
    matrix: Tensor, matrix_type: Type, rhs: Tensor, rhs_type: Type
) -> tuple[Tensor, Tensor]:
    """Both with all axes of the batch; what does not fit is left for the shape rule to tell."""
    left, right = matrix_type.shape, rhs_type.shape
    sizes = matrix.graph.sizes
    if len(left) < 2 or len(right) < 2 or left[:-2] == right[:-2]:
        return matrix, rhs
    if sizes.agree(left[-1], right[-2]) is None:
        return matrix, rhs
    try:
        batch = broadcast([left[:-2], right[:-2]], sizes)
    except SymflowError:
        return matrix, rhs
    return _repeated(matrix, (*batch, *left[-2:])), _repeated(rhs, (*batch, *right[-2:]))


def _repeated(tensor: Tensor, shape: Shape) -> Tensor:
    if tensor.type is not None and tensor.type.shape == shape:
        return tensor
    return apply(operations.TABLE["broadcast_to"], [tensor], shape=shape)


if not TYPE_CHECKING:
    __getattr__ = unknown("sf.linalg", __all__)
