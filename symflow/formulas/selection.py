"""Which tensors of a program get a line of their own when a person reads it, and their names.

What the user named has one, and so has what is long, or read more than once and not quite short.
All else is written where it is read.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator, Mapping, Sequence

import sympy as sp

from symflow.formulas.moving import MOVES
from symflow.formulas.reading import Loop, Names, Reader, Steps, is_one_number, step_index
from symflow.formulas.text import text
from symflow.formulas.tree import Big, Entry, Product, Quantity, Tree, parts
from symflow.primitives import Part, Primitive
from symflow.program import (
    Access,
    Constant,
    Definition,
    Input,
    Kernel,
    Program,
    Value,
    kernel,
    slot,
)
from symflow.recurrence import Scan

LONGEST = 72
"""Characters of a formula beyond which it is not written into another."""

LONGEST_REPEATED = 26
"""The same where it would stand in several places."""


NameOf = Callable[[Definition], Tree]


def by_label(definition: Definition) -> Tree:
    return Quantity(definition.label.name)


def named(
    program: Program,
    roots: Mapping[int, Tree],
    known: Mapping[int, Tree],
    name: NameOf = by_label,
    before: Names | None = None,
) -> Names:
    """What every tensor is called where `roots` are written out; in order, with what is known.

    roots  have a name and a line in any case
    known  have a name, and are explained elsewhere
    name   of a tensor that gets a line
    before what has been told already: its names stand for what they stood for
    """
    used = {text(one) for one in (*known.values(), *roots.values())}
    again: dict[str, Tree] = {}
    if before is not None:
        used.update(text(one) for one in _all_names(before))
        again = _in_loops(before)

    def reading(names: Names) -> Reader:
        return Reader(program, names)

    return _Selection(name, used, again).names(program, roots, known, reading)


class _Selection:
    def __init__(self, name: NameOf, taken: set[str], again: dict[str, Tree]) -> None:
        self.name = name
        self.taken = taken
        self.again = again

    def names(
        self,
        program: Program,
        roots: Mapping[int, Tree],
        known: Mapping[int, Tree],
        reading: Callable[[Names], Reader],
    ) -> Names:
        """The names of a program, or of a scan's body, of which `reading` makes a reader."""
        live = _needed(program, roots, known)
        reads = _reads(program, live)
        whole = _read_whole(program, live)
        summed = _summed_later(program, live)
        called: dict[int, Tree] = {**known, **roots}
        loops: dict[int, Loop] = {}
        for tensor, definition in enumerate(program.definitions):
            if not live[tensor] or tensor in called or isinstance(definition.value, Input):
                continue
            reader = reading(Names(called, loops))
            if isinstance(definition.value, Scan):
                loops[tensor] = self._loop(reader, tensor, definition.value, live)
                continue
            longest = LONGEST if reads[tensor] <= 1 else LONGEST_REPEATED
            right = reader.equation(tensor).right
            if (
                (tensor in whole and reader.sequence(tensor) is None)
                or wants_name(definition)
                or (summed[tensor] and _is_layer(definition.value, right))
                or len(text(right)) > longest
            ):
                called[tensor] = self._name(definition)
        return Names({one: called[one] for one in sorted(called) if live[one]}, loops)

    def _loop(self, reader: Reader, tensor: int, scan: Scan, live: Sequence[bool]) -> Loop:
        """How a scan is told: its carries have names, and so has what is stacked and read."""
        parts = {
            one.value.index: None
            for at, one in enumerate(reader.program.definitions)
            if live[at] and isinstance(one.value, Part) and one.value.source == tensor
        }
        results = list(scan.body.outputs.values())
        first = len(scan.initial)
        roots: dict[int, Tree] = {}
        carried: list[Tree] = []
        for old, new in zip(scan.body.inputs, results[:first], strict=False):
            passed = new in roots or new in scan.body.inputs
            carried.append(self._name(scan.body[old if passed else new]))
            if not passed:
                roots[new] = carried[-1]
        for result in (results[index] for index in sorted(parts)):
            if result not in roots and result not in scan.body.inputs:
                roots[result] = self._name(scan.body[result])
        step = step_index(reader, scan)

        def reading(names: Names) -> Reader:
            return Steps(reader, scan, Loop(names, carried, step), step)

        return Loop(self.names(scan.body, roots, {}, reading), carried, step)

    def _name(self, definition: Definition) -> Tree:
        """What a tensor has been called before, or a new name."""
        if definition.label.exact and definition.label.name in self.again:
            return self.again.pop(definition.label.name)
        return self._distinct(self.name(definition))

    def _distinct(self, name: Tree) -> Tree:
        """The name, or the name with a number if it is taken."""
        found, count = name, 1
        while text(found) in self.taken:
            assert isinstance(name, Quantity)
            count += 1
            found = Quantity(f"{name.name}_{count}", name.bar)
        self.taken.add(text(found))
        return found


def _all_names(names: Names) -> Iterator[Tree]:
    yield from names.called.values()
    for loop in names.loops.values():
        yield from loop.carried
        yield from _all_names(loop.names)


def _in_loops(names: Names) -> dict[str, Tree]:
    """The names in loops by the labels that they are, if no other tensor has such a label."""
    inside = dict.fromkeys(
        one for loop in names.loops.values() for one in (*loop.carried, *_all_names(loop.names))
    )
    others = {text(one) for one in _all_names(names)}
    return {
        one.name: one
        for one in inside
        if isinstance(one, Quantity) and f"{one.name}_2" not in others
    }


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


def wants_name(definition: Definition) -> bool:
    """Whether a tensor has a name however short it is: the user's own, and arrays of numbers."""
    value = definition.value
    if isinstance(value, Constant):
        return value.data.ndim > 0 and (definition.label.exact or not is_one_number(value))
    return definition.label.exact


def _reads(program: Program, live: Sequence[bool]) -> list[int]:
    reads = [0] * len(program.definitions)
    for tensor, definition in enumerate(program.definitions):
        if live[tensor]:
            for operand in definition.value.operands:
                reads[operand] += 1
    return reads


def _summed_later(program: Program, live: Sequence[bool]) -> list[bool]:
    """For every tensor, whether it would stand under a Σ, written where it is read."""
    summed = [False] * len(program.definitions)
    for tensor in reversed(range(len(summed))):
        definition = program[tensor]
        value = definition.value
        if live[tensor] and isinstance(value, Kernel):
            over = bool(value.reduced) or (summed[tensor] and not definition.label.exact)
            for operand in value.operands:
                summed[operand] = summed[operand] or over
    return summed


def _is_layer(value: Value, tree: Tree) -> bool:
    """Whether it is a function of matrix products, as tanh(Σ_k x[i, k]·w[k, j])."""
    return isinstance(value, Kernel) and value.elementwise and _has_product(tree)


def _has_product(tree: Tree) -> bool:
    if isinstance(tree, Big) and isinstance(tree.body, Product):
        entries = [one for one in tree.body.factors if isinstance(one, Entry)]
        if len(entries) > 1:
            return True
    return any(map(_has_product, parts(tree)))


def _read_whole(program: Program, live: Sequence[bool]) -> set[int]:
    """The tensors that are arguments of functions of whole tensors."""
    return {
        operand
        for tensor, definition in enumerate(program.definitions)
        if live[tensor] and isinstance(definition.value, Primitive)
        if type(definition.value) not in MOVES and not isinstance(definition.value, (Scan, Part))
        for operand in definition.value.operands
    }


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
