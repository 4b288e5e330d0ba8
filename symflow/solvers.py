"""Solvers: linear systems, inverses, determinants and the Cholesky factor, with their adjoints.

With X̄ the adjoint of X, from M. B. Giles, "Collected matrix derivative results for forward and
reverse mode algorithmic differentiation" (2008):

    X = A⁻¹ B          B̄ = A⁻ᵀ X̄,  Ā = -B̄ Xᵀ
    Y = A⁻¹            Ā = -Yᵀ Ȳ Yᵀ
    d = det A          Ā = d̄ · cof A, the matrix of cofactors, which is d · A⁻ᵀ where A is regular
    l = log |det A|    Ā = l̄ · A⁻ᵀ

and from I. Murray, "Differentiation of the Cholesky decomposition" (2016), with Φ the lower
triangle of which the diagonal is halved:

    A = L Lᵀ           S = L⁻ᵀ Φ(Lᵀ L̄) L⁻¹,  Ā = Φ(S + Sᵀ)

Each adjoint is kernels and solvers again, so that all can be differentiated twice. Matrices are
the last two axes; those before them are batches.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import sympy as sp
from numpy.typing import NDArray

import symflow.elimination as elimination
from symflow.arithmetic import Symbol
from symflow.errors import SymflowError
from symflow.matrices import Band
from symflow.primitives import Evaluation, Primitive
from symflow.program import ONE, Access, Builder, Label, Type, indices_of, kernel, slot
from symflow.shapes import Shape, Sizes, show
from symflow.text import Text

Array = NDArray[Any]


@dataclass(frozen=True, slots=True)
class Solve(Primitive):
    """matrix⁻¹ · right; the right side is a matrix too, or a vector where there is no batch."""

    tensors: ClassVar[tuple[str, ...]] = ("matrix", "right")
    matrix: int
    right: int

    def infer(self, operands: Sequence[Type]) -> Type:
        return Type(operands[1].shape)

    def adjoint(self, program: Builder, position: int, upstream: int, label: Label) -> int | None:
        solved = Label(program[self.right].label.of_gradient.name)
        right = program.add(Solve(_transposed(program, self.matrix), upstream), solved)
        if position == 1:
            return right
        solution = program.add(self, Label("solution", -1))
        columns = "i,j->ij" if len(program[right].type.shape) == 1 else "ik,jk->ij"
        return _einsum(program, columns, (right, solution), label, -1)

    def numpy(self, operands: Sequence[Text]) -> Text:
        matrix, right = operands
        return Text(f"np.linalg.solve({matrix.source}, {right.source})")

    def exact(self, operands: Sequence[Array], evaluation: Evaluation) -> Array:
        matrix, right = operands
        if right.ndim == 1:
            return elimination.solved(matrix, right)
        return elimination.each_matrix(elimination.solved, matrix, right)


@dataclass(frozen=True, slots=True)
class Inverse(Primitive):
    source: int

    def infer(self, operands: Sequence[Type]) -> Type:
        return Type(operands[0].shape)

    def adjoint(self, program: Builder, position: int, upstream: int, label: Label) -> int | None:
        inverse = program.add(self, _named(program, self.source, "inverse"))
        name = program[self.source].label.of_gradient.name
        left = _einsum(program, "ki,kj->ij", (inverse, upstream), Label(f"{name}_left"), -1)
        return _einsum(program, "ik,jk->ij", (left, inverse), label)

    def numpy(self, operands: Sequence[Text]) -> Text:
        return Text(f"np.linalg.inv({operands[0].source})")

    def exact(self, operands: Sequence[Array], evaluation: Evaluation) -> Array:
        return elimination.each_matrix(elimination.inverse, *operands)


# --- determinants ----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Determinant(Primitive):
    source: int

    def infer(self, operands: Sequence[Type]) -> Type:
        return Type(operands[0].shape[:-2])

    def adjoint(self, program: Builder, position: int, upstream: int, label: Label) -> int | None:
        cofactors = program.add(Cofactors(self.source), _named(program, self.source, "cofactors"))
        return _einsum(program, ",ij->ij", (upstream, cofactors), label)

    def numpy(self, operands: Sequence[Text]) -> Text:
        return Text(f"np.linalg.det({operands[0].source})")

    def exact(self, operands: Sequence[Array], evaluation: Evaluation) -> Array:
        return elimination.each_matrix(elimination.determinant, *operands)


@dataclass(frozen=True, slots=True)
class Cofactors(Primitive):
    """The derivative of the determinant: a polynomial in the entries, right for any matrix."""

    source: int

    def infer(self, operands: Sequence[Type]) -> Type:
        return Type(operands[0].shape)

    def adjoint(self, program: Builder, position: int, upstream: int, label: Label) -> int | None:
        return program.add(CofactorSlope(self.source, upstream), label)

    def numpy(self, operands: Sequence[Text]) -> Text:
        return Text(f"_cofactors({operands[0].source})")

    def exact(self, operands: Sequence[Array], evaluation: Evaluation) -> Array:
        return elimination.each_matrix(elimination.cofactors, *operands)


@dataclass(frozen=True, slots=True)
class CofactorSlope(Primitive):
    """How the cofactors change in a direction: linear in it, and its own adjoint there, since it
    is a second derivative."""

    tensors: ClassVar[tuple[str, ...]] = ("source", "direction")
    source: int
    direction: int

    def infer(self, operands: Sequence[Type]) -> Type:
        return Type(operands[0].shape)

    def adjoint(self, program: Builder, position: int, upstream: int, label: Label) -> int | None:
        if position == 0:
            raise SymflowError(
                "the third derivative of a determinant is not offered; write it with slogdet, "
                "which can be differentiated any number of times"
            )
        return program.add(CofactorSlope(self.source, upstream), label)

    def numpy(self, operands: Sequence[Text]) -> Text:
        source, direction = operands
        return Text(f"_cofactor_slope({source.source}, {direction.source})")

    def exact(self, operands: Sequence[Array], evaluation: Evaluation) -> Array:
        return elimination.each_matrix(elimination.cofactor_slope, *operands)


@dataclass(frozen=True, slots=True)
class LogDeterminant(Primitive):
    """log |det|; without `size`, log det, which is NaN where the determinant is negative."""

    source: int
    size: bool = True

    def infer(self, operands: Sequence[Type]) -> Type:
        return Type(operands[0].shape[:-2])

    def adjoint(self, program: Builder, position: int, upstream: int, label: Label) -> int | None:
        inverse = program.add(Inverse(self.source), _named(program, self.source, "inverse"))
        return _einsum(program, ",ji->ij", (upstream, inverse), label)

    def numpy(self, operands: Sequence[Text]) -> Text:
        if self.size:
            return Text(f"np.linalg.slogdet({operands[0].source})[1]")
        return Text(f"_log_determinant({operands[0].source})")

    def exact(self, operands: Sequence[Array], evaluation: Evaluation) -> Array:
        def logarithm(matrix: Array) -> Any:
            found = elimination.determinant(matrix)
            if found < 0 and not self.size:
                return evaluation.context.nan
            return evaluation.context.log(abs(found))

        return elimination.each_matrix(logarithm, *operands)


@dataclass(frozen=True, slots=True)
class DeterminantSign(Primitive):
    """-1, 0 or 1. Its derivative is 0 everywhere."""

    source: int

    def infer(self, operands: Sequence[Type]) -> Type:
        return Type(operands[0].shape[:-2])

    def adjoint(self, program: Builder, position: int, upstream: int, label: Label) -> int | None:
        return None

    def numpy(self, operands: Sequence[Text]) -> Text:
        return Text(f"np.linalg.slogdet({operands[0].source})[0]")

    def exact(self, operands: Sequence[Array], evaluation: Evaluation) -> Array:
        def sign(matrix: Array) -> Any:
            return evaluation.context.sign(elimination.determinant(matrix))

        return elimination.each_matrix(sign, *operands)


# --- Cholesky --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Cholesky(Primitive):
    """The lower triangular L with L Lᵀ = source, of which only the lower triangle is read."""

    source: int

    def infer(self, operands: Sequence[Type]) -> Type:
        return Type(operands[0].shape)

    def adjoint(self, program: Builder, position: int, upstream: int, label: Label) -> int | None:
        factor = program.add(self, _named(program, self.source, "cholesky"))
        transposed = _transposed(program, factor)
        name = program[self.source].label.of_gradient.name
        product = _einsum(program, "ki,kj->ij", (factor, upstream), Label(f"{name}_product"))
        half = _half_lower(program, product, Label(f"{name}_half"))
        left = program.add(Solve(transposed, half), Label(f"{name}_left"))
        both = program.add(Solve(transposed, _transposed(program, left)), Label(f"{name}_both"))
        total = _plus_transposed(program, both, Label(f"{name}_symmetric"))
        return _half_lower(program, total, label)

    def numpy(self, operands: Sequence[Text]) -> Text:
        return Text(f"np.linalg.cholesky({operands[0].source})")

    def exact(self, operands: Sequence[Array], evaluation: Evaluation) -> Array:
        def root(x: Any) -> Any:
            return evaluation.context.sqrt(x) if x > 0 else evaluation.context.nan

        return elimination.each_matrix(lambda matrix: elimination.cholesky(matrix, root), *operands)


def _half_lower(program: Builder, source: int, label: Label) -> int:
    """Φ: the lower triangle of which the diagonal is halved."""
    lower = program.add(Band(source, None, 0), Label(f"{label.name}_lower"))
    below = program.add(Band(source, None, -1), Label(f"{label.name}_below"))
    return program.elementwise((slot(0) + slot(1)) / 2, (lower, below), label)


# --- kernels between solvers -----------------------------------------------------------------


def _named(program: Builder, tensor: int, part: str) -> Label:
    return Label(f"{program[tensor].label.name}_{part}")


def _transposed(program: Builder, tensor: int) -> int:
    indices, sizes = indices_of(program[tensor].type.shape)
    swapped = (*indices[:-2], indices[-1], indices[-2])
    transposed = kernel(swapped, sizes, slot(0), [Access(tensor, indices)])
    return program.add(transposed, _named(program, tensor, "transposed"))


def _plus_transposed(program: Builder, tensor: int, label: Label) -> int:
    """tensor + tensorᵀ."""
    indices, sizes = indices_of(program[tensor].type.shape)
    swapped = (*indices[:-2], indices[-1], indices[-2])
    both = [Access(tensor, indices), Access(tensor, swapped)]
    return program.add(kernel(indices, sizes, slot(0) + slot(1), both), label)


def _einsum(
    program: Builder, subscripts: str, operands: Sequence[int], label: Label, factor: int = 1
) -> int:
    """factor · einsum over the last axes; those before them are batches, the same for all."""
    given, result = subscripts.split("->")
    terms = given.split(",")
    shapes = [program[operand].type.shape for operand in operands]
    batch, sizes = indices_of(shapes[0][: len(shapes[0]) - len(terms[0])])
    numbers: dict[str, int | None] = {}
    for term, shape in zip(terms, shapes, strict=True):
        for letter, size in zip(term, shape[len(batch) :], strict=True):
            if letter not in numbers:
                numbers[letter] = None if size == ONE else len(sizes)
                if size != ONE:
                    sizes.append(size)
    accesses = [
        Access(operand, (*batch, *(numbers[letter] for letter in term)))
        for operand, term in zip(operands, terms, strict=True)
    ]
    body = sp.Mul(factor, *(slot(number) for number in range(len(operands))))
    output = (*batch, *(numbers[letter] for letter in result))
    return program.add(kernel(output, sizes, body, accesses), label)


# --- shape rules -----------------------------------------------------------------------------


def square(operand: Type, sizes: Sizes) -> Shape:
    """The shape of square matrices, or an error."""
    shape = operand.shape
    if len(shape) < 2:
        raise SymflowError(f"{show(shape)} is no matrix")
    if sizes.agree(shape[-2], shape[-1]) is None:
        raise SymflowError(f"the matrix {show(shape[-2:])} is not square")
    return shape


def solve(operands: Sequence[Type], sizes: Sizes) -> Solve:
    matrix, right = square(operands[0], sizes), operands[1].shape
    rows = matrix[:-1]
    is_vector = len(right) == 1 and len(matrix) == 2
    fits = len(right) == len(rows) + (not is_vector) and all(
        sizes.agree(mine, other) is not None
        for mine, other in zip(rows, right[: len(rows)], strict=True)
    )
    if not fits:
        wanted = show((*rows, Symbol("k")))
        wanted = f"{show(rows)} or {wanted}" if len(rows) == 1 else wanted
        hint = "; a batch of vectors is rhs[..., None]" if right == rows else ""
        raise SymflowError(f"the right side is to be {wanted}, not {show(right)}{hint}")
    return Solve(0, 1)
