"""Which tensors of a program get a line of their own when a person reads it, and their names.

What the user named has one, and so has what is long, or read more than once and not quite short.
All else is written where it is read.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping, Sequence

import sympy as sp

from symflow.formulas.moving import MOVES
from symflow.formulas.reading import Reader
from symflow.formulas.text import text
from symflow.formulas.tree import Partial, Quantity, Tree
from symflow.primitives import Primitive
from symflow.program import (
    Access,
    Constant,
    Definition,
    Input,
    Kernel,
    Program,
    kernel,
    slot,
)

LONGEST = 72
"""Characters of a formula beyond which it is not written into another."""

LONGEST_REPEATED = 26
"""The same where it would stand in several places."""


def named(
    program: Program,
    roots: Mapping[int, Tree],
    known: Mapping[int, Tree],
    name: Callable[[Definition], Tree] | None = None,
) -> dict[int, Tree]:
    """Every tensor that is called by a name where `roots` are written out, with it, in order.

    roots  have a name and a line in any case
    known  have a name, and are explained elsewhere
    name   of a tensor that gets a line, if it is not its label
    """
    live = _needed(program, roots, known)
    reads = _reads(program, live)
    whole = _read_whole(program, live)
    called: dict[int, Tree] = {**known, **roots}
    taken = {text(one) for one in called.values()}
    for tensor, definition in enumerate(program.definitions):
        if not live[tensor] or tensor in called:
            continue
        wanted = tensor in whole or _wants_name(definition)
        if not wanted:
            reader = Reader(program, called)
            length = len(text(reader.equation(tensor).right))
            wanted = length > (LONGEST if reads[tensor] <= 1 else LONGEST_REPEATED)
        if wanted:
            found = Quantity(definition.label.name) if name is None else name(definition)
            called[tensor] = _distinct(found, taken)
            taken.add(text(called[tensor]))
    return {tensor: called[tensor] for tensor in sorted(called) if live[tensor]}


def _needed(program: Program, roots: Mapping[int, Tree], known: Container[int]) -> list[bool]:
    """For every tensor, whether the roots depend on it, but through what is known already."""
    live = [False] * len(program.definitions)
    for root in roots:
        live[root] = True
    for tensor in reversed(range(len(live))):
        if live[tensor] and (tensor in roots or tensor not in known):
            for operand in program[tensor].value.operands:
                live[operand] = True
    return live


def _wants_name(definition: Definition) -> bool:
    value = definition.value
    if isinstance(value, Constant):
        return value.data.ndim > 0
    return isinstance(value, Input) or definition.label.exact


def _reads(program: Program, live: Sequence[bool]) -> list[int]:
    reads = [0] * len(program.definitions)
    for tensor, definition in enumerate(program.definitions):
        if live[tensor]:
            for operand in definition.value.operands:
                reads[operand] += 1
    return reads


def _read_whole(program: Program, live: Sequence[bool]) -> set[int]:
    """The tensors that are arguments of functions of whole tensors."""
    return {
        operand
        for tensor, definition in enumerate(program.definitions)
        if live[tensor] and isinstance(definition.value, Primitive)
        if type(definition.value) not in MOVES
        for operand in definition.value.operands
    }


def _distinct(name: Tree, taken: set[str]) -> Tree:
    """The name, or the name with a number if it is taken."""
    if text(name) not in taken or not isinstance(name, (Quantity, Partial)):
        return name
    assert isinstance(name, Quantity)
    count = 2
    while text(Quantity(f"{name.name}_{count}", name.bar)) in taken:
        count += 1
    return Quantity(f"{name.name}_{count}", name.bar)


# --- what the user named is seen again in formulas of the compiler ------------------------------


def recognised(program: Program) -> Program:
    """The program with entries of named tensors where their formulas occur in later kernels:
    exp(z[i, j]) / total[i] is softmax[i, j] again.
    """
    definitions = list(program.definitions)
    by_operand: dict[int, list[int]] = {}
    for tensor, definition in enumerate(program.definitions):
        value = definition.value
        if not isinstance(value, Kernel):
            continue
        if not definition.label.exact:
            seen = {one: None for operand in value.operands for one in by_operand.get(operand, ())}
            for other in seen:
                pattern = program[other].value
                assert isinstance(pattern, Kernel)
                value = _with(value, pattern, other)
            if value is not definition.value:
                definitions[tensor] = Definition(
                    definition.type, value, definition.label, definition.origin
                )
        elif value.elementwise and len(value.accesses) > 1:
            by_operand.setdefault(value.operands[0], []).append(tensor)
    return Program(tuple(definitions), program.outputs)


def _with(value: Kernel, pattern: Kernel, tensor: int) -> Kernel:
    """A kernel with an access to `tensor`, which is `pattern`, where its formula occurs."""
    indices: dict[int | None, int | None] = {None: None}
    slots: dict[sp.Symbol, sp.Symbol] = {}
    for number, access in enumerate(pattern.accesses):
        alike = [at for at, one in enumerate(value.accesses) if one.tensor == access.tensor]
        if len(alike) != 1:
            return value
        slots[slot(number)] = slot(alike[0])
        for index, own in zip(access.indices, value.accesses[alike[0]].indices, strict=True):
            if indices.setdefault(index, own) != own:
                return value
    if any(index not in indices for index in pattern.output):
        return value
    new = slot(len(value.accesses))
    body = value.body.subs(pattern.body.xreplace(slots), new)
    if not body.has(new):
        return value
    access = Access(tensor, tuple(indices[index] for index in pattern.output))
    return kernel(value.output, value.sizes, body, [*value.accesses, access], value.reduction)
