"""What values cost: estimates by which the better of two equal forms is taken.

Nanoseconds for float64 on one core of a server of 2023 (AVX-512), with NumPy 2.4 and OpenBLAS 0.3.
Between forms of the same mathematics only the ratios count. A size that is known only when the
program runs counts as `NOMINAL_SIZE`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from symflow.contraction import elements
from symflow.printing import is_contraction
from symflow.program import Definition, Kernel, slots_of
from symflow.rules import cost
from symflow.views import Reshape

CALL = 600.0
"""A NumPy call on next to nothing."""

MULTIPLICATION = 0.035
"""A multiplication and an addition within a matrix product."""

PRODUCT = 400.0
"""One more matrix in a stack of products."""

MOVE = 0.5
"""An element read or written; a temporary that leaves the cache costs more, a small one less."""


class Definitions(Protocol):
    """A program, finished or not."""

    def __getitem__(self, tensor: int) -> Definition: ...


def estimate(program: Definitions, tensors: Iterable[int]) -> float:
    """The nanoseconds that computing some tensors of a program takes."""
    return sum(_estimate(program, program[tensor]) for tensor in tensors)


def _estimate(program: Definitions, definition: Definition) -> float:
    value = definition.value
    if not value.operands or isinstance(value, Reshape):
        return CALL if value.operands else 0.0
    result = elements(definition.type.shape)
    read = sum(elements(program[operand].type.shape) for operand in value.operands)
    if not isinstance(value, Kernel):
        return CALL + MOVE * (read + result)
    if is_contraction(value):
        return CALL + _product(value) + MOVE * (read + result)
    calls = max(len(slots_of(value.body)) - 1, 0) + bool(value.reduced)
    return CALL * calls + elements(value.sizes) * (cost(value.body) + MOVE)


def _product(value: Kernel) -> float:
    """The multiplications, and what a stack of products costs more than one product."""
    shared = set(value.output)
    for access in value.accesses:
        shared &= set(access.indices)
    stacked = [index for index in shared if index is not None]
    work = MULTIPLICATION * elements(value.sizes)
    if not stacked:
        return work
    moved = sum(
        elements(value.sizes[i] for i in one.indices if i is not None) for one in value.accesses
    )
    in_front = all(set(one.indices[: len(stacked)]) == set(stacked) for one in value.accesses)
    work += PRODUCT * elements(value.sizes[index] for index in stacked)
    return work if in_front else work + MOVE * moved
