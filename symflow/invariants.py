"""What of a program does not change while parameters are trained, and what computing costs.

    dependent   which tensors read a parameter, directly or not
    data_only   which of the others are worth computing once, before the loop
    work        nanoseconds, as a formula in the sizes that are known only when the program runs

The estimates count what NumPy does per element, as `rules.cost` does; calls are not counted.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

import sympy as sp

from symflow.contraction import NOMINAL_SIZE
from symflow.primitives import Part
from symflow.program import Kernel, Leaf, Program, Value, slot
from symflow.recurrence import Scan
from symflow.rules import cost
from symflow.views import Reshape, Slice, StopGradient

ADDITION = 0.3
"""Nanoseconds to add one element to a sum."""

MATRIX_PRODUCT = 0.25
"""What multiplying and adding costs in a product of matrices, next to a pass over an array.

Measured with 32 columns; a product of larger matrices is cheaper still.
"""

MOVE = 0.5
"""Nanoseconds to move an element, where a view is not free."""


def dependent(program: Program, parameters: Collection[str]) -> list[bool]:
    """For every tensor, whether it depends on an input with one of these names."""
    parameters = frozenset(parameters)
    found: list[bool] = []
    for definition in program.definitions:
        value = definition.value
        own = getattr(value, "name", None) if isinstance(value, Leaf) else None
        found.append(own in parameters or any(found[one] for one in value.operands))
    return found


def data_only(program: Program, parameters: Collection[str]) -> tuple[int, ...]:
    """The tensors to compute once before the parameters are trained, in order.

    They depend on no parameter, cost more than a renaming of axes, and are read by what does
    depend on one, or are outputs. What only they read is not among them.
    """
    moving = dependent(program, parameters)
    live = program.live()
    wanted = set(program.outputs.values())
    found: list[int] = []
    for tensor in reversed(range(len(program.definitions))):
        value = program[tensor].value
        if not live[tensor]:
            continue
        if moving[tensor]:
            wanted.update(value.operands)
        elif tensor in wanted:
            if is_free(value):
                wanted.update(value.operands)
            else:
                found.append(tensor)
    return tuple(reversed(found))


def work(program: Program, tensors: Iterable[int]) -> sp.Expr:
    """Estimated nanoseconds to compute some tensors of a program, from what they read."""
    return sp.Add(*(_work(program, tensor) for tensor in tensors))


def nominal(formula: sp.Expr, sizes: Mapping[str, int] | None = None) -> float:
    """A formula in sizes as a number; a size that is not given counts as `NOMINAL_SIZE`."""
    known = sizes or {}
    return float(
        formula.xreplace(
            {one: sp.Integer(known.get(one.name, NOMINAL_SIZE)) for one in formula.free_symbols}
        )
    )


def is_free(value: Value) -> bool:
    """Whether computing it costs next to nothing: it is given, or a view."""
    if isinstance(value, Kernel):
        return value.is_index_map or value.is_literal
    return isinstance(value, (Leaf, Part, Reshape, Slice, StopGradient))


def _work(program: Program, tensor: int) -> sp.Expr:
    definition = program[tensor]
    value = definition.value
    if isinstance(value, Scan):
        return value.steps * work(value.body, range(len(value.body.definitions)))
    if is_free(value):
        return sp.Integer(0)
    if not isinstance(value, Kernel):
        return MOVE * sp.Mul(*definition.type.shape)
    each = cost(value.body) + (ADDITION if value.reduced else 0.0)
    if _is_matrix_product(value):
        each *= MATRIX_PRODUCT
    return sp.Float(each) * sp.Mul(*value.sizes)


def _is_matrix_product(value: Kernel) -> bool:
    """Whether both factors of a sum of products have an index of the output for themselves."""
    if not value.reduced or value.body != slot(0) * slot(1):
        return False
    output = set(value.output) - {None}
    first, second = (output.intersection(access.indices) for access in value.accesses)
    return bool(first - second) and bool(second - first)
