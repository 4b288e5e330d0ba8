"""Program → Program: scalars are multiplied where the fewest elements are.

    d_error[n] = 2 / n·error[n],   d_w[j] = Σ_n x[n, j]·d_error[n]
        →   d_w[j] = 2 / n·Σ_n x[n, j]·error[n]

A factor without index travels forward through what is linear: products, sums, contractions and
reshapes. It may leave a tensor if it can go on through everything that reads it; where it stays is
decided backwards, from the results, by the number of elements that are multiplied. In a network
the gradient of the last layer is smaller than those of all weights, and the factor stays there.

A factor that is itself a sum over rows, as 1 / (2·√Σ error²), would let the rows wait for one
another: every row had to be gone through twice. It counts as expensive there, and leaves.

The learning rate is such a factor too: `with_rate` multiplies by it where all of the gradient comes
through, so that training needs no pass over every parameter for it.

What overflows stays as it was but for a factor of the size of the scalar; so numbers far from 1,
which somebody may have put there for that purpose, do not move.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache, partial

import sympy as sp

from symflow.bodies import common_number
from symflow.contraction import elements
from symflow.invariants import dependent
from symflow.program import (
    Access,
    Builder,
    Definition,
    Input,
    Kernel,
    Label,
    Program,
    Type,
    Value,
    check,
    indices_of,
    kernel,
    slot,
    slots_of,
    without_dead_code,
)
from symflow.views import Reshape, Slice

WAITING = 10.0
"""How much worse a multiplication is that waits for a sum over all rows."""

ARRAY_CALL, SCALAR_CALL = 500.0, 30.0
"""The multiplications of elements that a NumPy call takes as long as; and one of two numbers."""

FAR_FROM_ONE = 2.0**20
"""Numbers beyond this, or its inverse, stay where they were written."""

RATE = "rate"
"""What the input is called by which the loss is multiplied in a step of training."""

BATCH = 128
"""Rows of a step of training: those of a mini-batch. With more of them, a pass over the smallest
array of rows is little beside the others."""


@dataclass(frozen=True)
class _Scale:
    """A factor without index: an expression over slots, and the scalars in them."""

    body: sp.Expr
    tensors: tuple[int, ...]


def scaled(program: Program) -> Program:
    """The program with scalar factors where the fewest elements are multiplied."""
    prices = cache(partial(_prices, program))  # most programs have no factor to ask for
    waits = _waiting(program)
    builder = Builder()
    moved: dict[int, int] = {}
    pending: dict[int, list[_Scale]] = {}

    def leaves(scale: _Scale, tensor: int) -> bool:
        here, onward = prices(any(waits[one] for one in scale.tensors))[tensor]
        return onward < here

    for tensor, one in enumerate(program.definitions):
        scales = [scale for operand in one.value.operands for scale in pending.get(operand, ())]
        value: Value = one.value
        own = _factored(one) if isinstance(value, Kernel) else None
        if own is not None and _can_leave(own[0]) and leaves(own[0], tensor):
            value = own[1]
            scales.append(own[0])
        arriving = [scale for scale in scales if not leaves(scale, tensor)]
        if len(arriving) < len(scales):
            pending[tensor] = [scale for scale in scales if leaves(scale, tensor)]
        label = one.label
        if tensor in pending:
            label = Label(f"{label.name}_unscaled")
        value = value.rebind(moved.__getitem__)
        if arriving:
            moved[tensor] = _multiplied(builder, value, arriving, moved, one)
        else:
            moved[tensor] = builder.add(value, label, one.origin)
    outputs = {name: moved[tensor] for name, tensor in program.outputs.items()}
    return without_dead_code(builder.program(outputs))


def _prices(program: Program, slow: bool) -> list[tuple[float, float]]:
    """For every tensor, what a factor that arrives at it costs there, and if it goes on.

    slow  whether the factor waits for a sum over all rows
    """
    prices: dict[int, tuple[float, float]] = {}
    readers = program.consumers()
    fixed = {*program.outputs.values()}
    for tensor in reversed(range(len(program.definitions))):
        one = program[tensor]
        here = elements(one.type.shape) + ARRAY_CALL if one.type.shape else SCALAR_CALL
        if slow and any(size.free_symbols for size in one.type.shape):
            here *= WAITING
        goes_on = tensor not in fixed and not one.label.exact and bool(readers[tensor])
        if goes_on and all(_is_linear(program[at].value, tensor) for at in readers[tensor]):
            prices[tensor] = here, sum(min(prices[reader]) for reader in readers[tensor])
        else:
            prices[tensor] = here, math.inf
    return [prices[tensor] for tensor in range(len(program.definitions))]


def _is_linear(value: Value, tensor: int) -> bool:
    """Whether a factor of an operand is a factor of the value."""
    if isinstance(value, (Reshape, Slice)):
        return True
    if not isinstance(value, Kernel) or value.reduction != "sum":
        return False
    read = [at for at, access in enumerate(value.accesses) if access.tensor == tensor]
    factors = sp.Mul.make_args(value.body)
    return (
        len(read) == 1
        and sum(factor.has(slot(read[0])) for factor in factors) == 1
        and (slot(read[0]) in factors)
    )


def _waiting(program: Program) -> list[bool]:
    """For every tensor, whether it can only be computed once a sum over all rows is."""
    waits: list[bool] = []
    for one in program.definitions:
        value = one.value
        sums = isinstance(value, Kernel) and any(
            value.sizes[index].free_symbols for index in value.reduced
        )
        waits.append(sums or any(waits[operand] for operand in value.operands))
    return waits


def _factored(one: Definition) -> tuple[_Scale, Kernel] | None:
    """The factors without index of an elementwise kernel, and the kernel without them."""
    value = one.value
    if not isinstance(value, Kernel) or not value.elementwise or one.type.dtype != "float":
        return None
    if not one.type.shape or not slots_of(value.body):
        return None
    body = value.body
    number = common_number(body) if isinstance(body, sp.Add) else sp.Integer(1)
    factors = sp.Mul.make_args(body)
    scalars = [factor for factor in factors if not value.carried(factor)]
    rest = sp.Mul(*(factor for factor in factors if value.carried(factor)))
    if number != 1:
        scalars, rest = [number], sp.Add(*(term / number for term in body.args))
    scale = sp.Mul(*scalars)
    if scale in (1, -1) or not value.carried(rest):
        return None
    used = slots_of(scale)
    renumbered = {slot(at): slot(place) for place, at in enumerate(used)}
    tensors = tuple(value.accesses[at].tensor for at in used)
    return _Scale(scale.xreplace(renumbered), tensors), kernel(
        value.output, value.sizes, rest, value.accesses
    )


def _can_leave(scale: _Scale) -> bool:
    number = abs(float(scale.body.as_coeff_Mul()[0]))
    return math.isfinite(number) and 1 / FAR_FROM_ONE <= number <= FAR_FROM_ONE


def _multiplied(
    program: Builder,
    value: Value,
    scales: Sequence[_Scale],
    moved: dict[int, int],
    one: Definition,
) -> int:
    """Add a value times scalars: in its own body, or as a product of its own after a sum."""
    if isinstance(value, Kernel) and value.elementwise:
        output, sizes = value.output, value.sizes
        body, accesses = value.body, list(value.accesses)
    else:
        inner = program.add(value, Label(one.label.name), one.origin)
        shape = program[inner].type.shape
        output, listed = indices_of(shape)
        sizes = tuple(listed)
        body, accesses = slot(0), [Access(inner, output)]
    for scale in scales:
        placed = {slot(at): slot(len(accesses) + at) for at in range(len(scale.tensors))}
        body = body * scale.body.xreplace(placed)
        accesses += [
            Access(moved[tensor], (None,) * len(program[moved[tensor]].type.shape))
            for tensor in scale.tensors
        ]
    return program.add(kernel(output, sizes, body, accesses), one.label, one.origin)


# --- the learning rate ---------------------------------------------------------------------------


def with_rate(program: Program, parameters: Sequence[str]) -> Program | None:
    """The loss, and rate times its gradient: a step of plain gradient descent.

    The rate, an input, multiplies the tensor through which all of the gradient comes, if there is
    one with fewer elements than the parameters have. None where there is not.
    """
    names = ["loss", *(f"d_{one}" for one in parameters)]
    wanted = {name: program.outputs[name] for name in names}
    program = without_dead_code(replace(program, outputs=wanted))
    gradients = [program.outputs[name] for name in names[1:]]
    changes = dependent(program, parameters)
    allowed = sum(_pass_over(program[tensor]) for tensor in gradients)
    costs = {
        tensor: _pass_over(program[tensor])
        for tensor in _behind_all(program, gradients)
        if changes[tensor]  # what does not is computed once, before training
    }
    fewest = sorted((one for one in costs if costs[one] < allowed), key=lambda one: costs[one])
    place = next((one for one in fewest if _scales(program, one)), None)
    return None if place is None else _multiplied_at(program, place)


def _behind_all(program: Program, gradients: Sequence[int]) -> list[int]:
    """The elementwise kernels that every gradient depends on, and nothing else does."""
    own = {tensor: 1 << at for at, tensor in enumerate(gradients)}
    every = (1 << len(gradients)) - 1
    reaches = [own.get(tensor, 0) for tensor in range(len(program.definitions))]
    only = [True] * len(program.definitions)
    only[program.outputs["loss"]] = False
    for tensor in reversed(range(len(program.definitions))):
        for operand in program[tensor].value.operands:
            reaches[operand] |= reaches[tensor]
            only[operand] &= only[tensor]
    return [
        tensor
        for tensor, one in enumerate(program.definitions)
        if only[tensor] and reaches[tensor] == every and one.type.dtype == "float"
        if isinstance(one.value, Kernel) and one.value.elementwise and one.value.accesses
    ]


def _scales(program: Program, tensor: int) -> bool:
    """Whether a factor of a tensor is one of all that depends on it."""
    carries = [False] * len(program.definitions)
    carries[tensor] = True
    for at in range(tensor + 1, len(program.definitions)):
        value = program[at].value
        if any(carries[operand] for operand in value.operands):
            carries[at] = True
            if not _is_homogeneous(value, carries):
                return False
    return True


def _pass_over(one: Definition) -> float:
    """What one more multiplication of a tensor costs in a step on a mini-batch."""
    shape = one.type.shape
    rows = {size: sp.Integer(BATCH) for entry in shape for size in entry.free_symbols}
    entries = elements(size.xreplace(rows) for size in shape)
    return entries + ARRAY_CALL if shape else SCALAR_CALL


def _is_homogeneous(value: Value, carries: Sequence[bool]) -> bool:
    """Whether a value is multiplied where all that carries the rate is."""
    if isinstance(value, (Reshape, Slice)):
        return True
    if not isinstance(value, Kernel) or value.reduction != "sum":
        return False
    carriers = {slot(at) for at, access in enumerate(value.accesses) if carries[access.tensor]}
    return _degree(value.body, carriers) == 1


def _degree(body: sp.Expr, carriers: set[sp.Symbol]) -> int | None:
    """The power of a factor of the carriers that is one of the body, if that is 0 or 1."""
    if body in carriers:
        return 1
    if not body.free_symbols & carriers:
        return 0
    degrees = [_degree(part, carriers) for part in body.args]
    if isinstance(body, sp.Add):
        return 1 if all(degree == 1 for degree in degrees) else None
    if isinstance(body, sp.Mul):
        return 1 if None not in degrees and sum(map(bool, degrees)) == 1 else None
    return None


def _multiplied_at(program: Program, place: int) -> Program:
    """The program with the rate as a factor of one tensor."""
    builder = Builder()
    rate = builder.add(Input(RATE, Type(()), "placeholder"), Label(RATE))
    moved: dict[int, int] = {}
    for tensor, one in enumerate(program.definitions):
        value = one.value.rebind(moved.__getitem__)
        if tensor == place:
            scale = _Scale(slot(0), (tensor,))
            moved[tensor] = _multiplied(builder, value, [scale], {tensor: rate}, one)
        else:
            moved[tensor] = builder.add(value, one.label, one.origin)
    outputs = {name: moved[tensor] for name, tensor in program.outputs.items()}
    return check(builder.program(outputs))
