"""Program → Program: scalars are multiplied where the fewest elements are.

    d_error[n] = 2 / n·error[n],   d_w[j] = Σ_n x[n, j]·d_error[n]
        →   d_w[j] = 2 / n·Σ_n x[n, j]·error[n]

A factor without index travels forward through what is linear: products, sums, contractions and
reshapes. It may leave a tensor if it can go on through everything that reads it; where it stays is
decided backwards, from the results, by the number of elements that are multiplied. In a network
the gradient of the last layer is smaller than those of all weights, and the factor stays there.

A factor that is itself a sum over rows, as 1 / (2·√Σ error²), would let the rows wait for one
another: every row had to be gone through twice. It counts as expensive there, and leaves.

The learning rate is such a factor too: in `train` the gradient may be that of rate · loss.
`with_rate` multiplies by it where all gradients come through.

What overflows stays as it was but for a factor of the size of the scalar; so numbers far from 1,
which somebody may have put there for that purpose, do not move.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
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
    Value,
    indices_of,
    kernel,
    literal,
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


def rate_read_through(program: Program) -> Program:
    """The program in which nothing is a number times the rate but what reads it.

    So numbers meet as they do without the rate: where 1 / n is put in for it, so is rate / n.
    """
    builder = Builder()
    moved: dict[int, int] = {}
    numbers: dict[int, sp.Expr] = {}  # of what is a number times the rate everywhere
    source = -1
    for tensor, one in enumerate(program.definitions):
        value: Value = one.value.rebind(moved.__getitem__)
        if isinstance(value, Kernel) and value.reduction == "sum":
            accesses = [*value.accesses, Access(source, ())]
            rate = slot(len(value.accesses))
            replaced = {
                slot(at): numbers[access.tensor] * rate
                for at, access in enumerate(value.accesses)
                if access.tensor in numbers
            }
            if replaced:
                body = value.body.xreplace(replaced)
                value = kernel(value.output, value.sizes, body, accesses)
        moved[tensor] = builder.add(value, one.label, one.origin)
        if isinstance(value, Input) and value.name == RATE:
            source = moved[tensor]
            numbers[source] = sp.Integer(1)
        elif isinstance(value, Kernel) and value.elementwise and value.operands == (source,):
            number = value.body / slot(0)
            if not slots_of(number):
                numbers[moved[tensor]] = number
    outputs = {name: moved[tensor] for name, tensor in program.outputs.items()}
    return without_dead_code(builder.program(outputs))


def with_rate(program: Program, parameters: Sequence[str]) -> Program | None:
    """The program with the rate on fewer elements than the parameters have, if there is a way.

    program     gradients of rate · loss, where the rate is an input; each is the rate times what
                it would be without, and so is what leads from the rate to them
    parameters  of which they are the gradients
    """
    found = [
        at
        for at, one in enumerate(program.definitions)
        if isinstance(one.value, Input) and one.value.name == RATE
    ]
    if not found:
        return None
    (source,) = found
    multiples = _multiples(program, source)
    cost, place = min(_places(program, multiples, parameters))
    gradients = (program[program.outputs[f"d_{name}"]] for name in parameters)
    if cost >= sum(_pass_over(one) for one in gradients):
        return None
    return program if place == source else _multiplied_at(program, multiples, place)


def _multiples(program: Program, source: int) -> list[int]:
    """The rate, and what else is the rate times scalars."""
    found = [source]
    for tensor, one in enumerate(program.definitions):
        carriers = [operand for operand in one.value.operands if operand in found]
        if carriers and not one.type.shape and isinstance(one.value, Kernel):
            carries = [at in found for at in range(tensor)]
            if one.value.elementwise and _is_homogeneous(one.value, carries):
                found.append(tensor)
    return found


def _places(
    program: Program, multiples: Sequence[int], parameters: Sequence[str]
) -> list[tuple[float, int]]:
    """Where the rate can stand, with what that costs: where it is, or at a tensor through which
    all comes that was multiplied by it earlier.

    What no parameter changes is computed once, but not if the rate is in it.
    """
    carries = dependent(program, [RATE])
    moves = dependent(program, parameters)
    readers = program.consumers()
    results = {*program.outputs.values()}
    scalars = {*multiples}
    found: list[tuple[float, int]] = []
    after = 0.0  # what it costs in the tensors that follow
    for tensor in reversed(range(len(program.definitions))):
        one = program[tensor]
        if not carries[tensor] or tensor in scalars:
            continue
        again = 0.0 if moves[tensor] else _pass_over(one)
        found.append((_pass_over(one) + again + after, tensor))
        after += again
        if not scalars.isdisjoint(one.value.operands):
            after += _extra(one, multiples)
    places = [(after, multiples[0])]
    read_until = multiples[0]  # where what carries the rate so far is read last
    for cost, tensor in reversed(found):
        if not _is_homogeneous(program[tensor].value, carries):
            break
        if read_until <= tensor:
            places.append((cost, tensor))
        last = len(readers) if tensor in results else max(readers[tensor], default=tensor)
        read_until = max(read_until, last)
    return places


def _pass_over(one: Definition) -> float:
    """What one more multiplication of a tensor costs in a step."""
    shape = one.type.shape
    return _entries(shape) + ARRAY_CALL if shape else SCALAR_CALL


def _entries(sizes: Sequence[sp.Expr]) -> float:
    rows = {size: sp.Integer(BATCH) for one in sizes for size in one.free_symbols}
    return elements(size.xreplace(rows) for size in sizes)


def _extra(one: Definition, multiples: Sequence[int]) -> float:
    """What the rate costs in a tensor that reads it: nothing much beside another scalar."""
    value = one.value
    if not isinstance(value, Kernel):
        return _pass_over(one)
    read = {slot(at): access.tensor for at, access in enumerate(value.accesses)}
    for term in sp.Add.make_args(value.body):
        scalars = [part for part in sp.Mul.make_args(term) if not value.carried(part)]
        others = [part for part in scalars if part != -1 and read.get(part) != multiples[0]]
        if not others and any(read.get(part) == multiples[0] for part in scalars):
            return _entries(value.sizes) + ARRAY_CALL
    return SCALAR_CALL


def _is_homogeneous(value: Value, carries: Sequence[bool]) -> bool:
    """Whether a value is multiplied where all that carries the rate is; an adjoint is."""
    if not isinstance(value, Kernel):
        return True
    carriers = {slot(at) for at, access in enumerate(value.accesses) if carries[access.tensor]}
    return value.reduction == "sum" and _degree(value.body, carriers) == 1


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


def _multiplied_at(program: Program, multiples: Sequence[int], place: int) -> Program:
    """The program with the rate at a place, and one in place of it before."""
    source = multiples[0]
    builder = Builder()
    moved: dict[int, int] = {}
    earlier: dict[int, int] = {}  # the same without the rate
    for tensor, one in enumerate(program.definitions):
        bound = earlier if tensor <= place else moved
        if tensor == source:
            moved[tensor] = builder.add(one.value, one.label, one.origin)
            earlier[tensor] = builder.add(literal(sp.Integer(1), one.type.shape), Label("one"))
        elif tensor == place:
            value = one.value.rebind(earlier.__getitem__)
            rate = _Scale(slot(0), (source,))
            moved[tensor] = _multiplied(builder, value, [rate], moved, one)
        elif tensor in multiples:
            value = one.value.rebind(moved.__getitem__)
            moved[tensor] = builder.add(value, one.label, one.origin)
            value = one.value.rebind(earlier.__getitem__)
            earlier[tensor] = builder.add(value, one.label, one.origin)
        else:
            value = one.value.rebind(bound.__getitem__)
            moved[tensor] = earlier[tensor] = builder.add(value, one.label, one.origin)
    outputs = {name: moved[tensor] for name, tensor in program.outputs.items()}
    return without_dead_code(builder.program(outputs))
