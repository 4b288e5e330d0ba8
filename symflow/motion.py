"""Program → Program: what a loop does not have to do leaves it.

    tidy    results that nothing reads, carries that never change, literals as operands
    hoist   what depends on no carry is computed for all steps at once:
                z[j] = Σ_k x_t[k]·w[k, j]  in the loop  →  z[t, j] = Σ_k x[t, k]·w[k, j]  before it
    sink    a carry that only adds up is one sum over all steps:
                d_u ← d_u + Σ_i h_t[i, k]·d_z_t[i, j]  →  Σ_ti h[t, i, k]·d_z[t, i, j]  after it
    last    states[-1] is the carry that the loop ends with

A kernel needs no more for this than one more index, the step. The two are each other's adjoint:
what is hoisted on the way there is sunk on the way back.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

import sympy as sp

from symflow.contraction import NOMINAL_SIZE
from symflow.primitives import Part
from symflow.program import (
    ONE,
    Access,
    Builder,
    Constant,
    Definition,
    Derivative,
    Indices,
    Kernel,
    Leaf,
    Program,
    Value,
    indices_of,
    kernel,
    slot,
    slots_of,
    without_dead_code,
)
from symflow.recurrence import Carry, Recurrence, Scan, at_all_steps
from symflow.views import Slice, takes_all


def tidied(program: Program) -> Program:
    """Loops that do no more than is read, and hand over no literals."""
    return _rewritten(program, [_tidy])


def hoisted(program: Program) -> Program:
    """Loops without what does not depend on their carries."""
    return _rewritten(program, [_tidy, _hoist])


def sunk(program: Program) -> Program:
    """Loops without that either, and without sums that can be taken at their end."""
    return _rewritten(program, [_tidy, _hoist, _sink])


@dataclass
class _Loop:
    """A loop that is rewritten.

    wanted  the results that something reads; those of them that must stay are `pinned`
    known   results that are tensors outside the loop
    sums    results that are sums over all steps: the initial value, and one kernel per term
    """

    program: Builder
    recurrence: Recurrence
    wanted: set[int]
    pinned: set[int]
    known: dict[int, int]
    sums: dict[int, tuple[int, list[Kernel]]]

    def replace(self, index: int, tensor: int) -> None:
        """Say that a result is a tensor outside."""
        self.known[index] = tensor
        self.wanted.discard(index)

    def stack(self, tensor: int) -> None:
        """Ask for the values of a tensor of the body at all steps."""
        if tensor not in self.recurrence.stacked:
            self.recurrence.stacked.append(tensor)
        self.wanted.add(len(self.recurrence.carries) + self.recurrence.stacked.index(tensor))

    def outer(self, tensor: int) -> int | None:
        """What a tensor of the body is, or is an entry of, outside."""
        recurrence = self.recurrence
        for bound in (recurrence.entries, recurrence.shared):
            if tensor in bound:
                return bound[tensor]
        definition = recurrence.definitions[tensor]
        if isinstance(definition.value, Leaf) and tensor not in recurrence.given:
            return self.program.add(definition.value, definition.label, definition.origin)
        return None

    def for_all_steps(self, value: Kernel, outer: Callable[[int], int], total: bool) -> Kernel:
        """The kernel over all steps, or its sum over them."""
        recurrence = self.recurrence
        step = None if recurrence.steps == ONE else len(value.sizes)
        sizes = value.sizes if step is None else (*value.sizes, recurrence.steps)
        accesses = [
            Access(
                outer(one.tensor),
                one.indices
                if one.tensor in recurrence.shared or self._is_leaf(one.tensor)
                else (step, *one.indices),
            )
            for one in value.accesses
        ]
        output = value.output if total else (step, *value.output)
        return kernel(output, sizes, value.body, accesses, value.reduction)

    def _is_leaf(self, tensor: int) -> bool:
        is_leaf = isinstance(self.recurrence.definitions[tensor].value, Leaf)
        return is_leaf and tensor not in self.recurrence.given


Rewrite = Callable[[_Loop], None]


def _rewritten(program: Program, rewrites: Iterable[Rewrite]) -> Program:
    if not any(isinstance(one.value, Scan) for one in program.definitions):
        return program
    kept = {one.value.by for one in program.definitions if isinstance(one.value, Derivative)}
    live = program.live()
    read: dict[int, set[int]] = {}
    pinned: dict[int, set[int]] = {}
    for tensor, one in enumerate(program.definitions):
        if isinstance(one.value, Part) and live[tensor]:
            read.setdefault(one.value.source, set()).add(one.value.index)
            if tensor in kept:
                pinned.setdefault(one.value.source, set()).add(one.value.index)
    builder = Builder()
    moved: dict[int, int] = {}
    results: dict[int, Callable[[int], Value | int]] = {}
    for tensor, one in enumerate(program.definitions):
        if not live[tensor] and one.value.operands:
            continue
        if isinstance(one.value, Part) and one.value.source in results:
            value = results[one.value.source](one.value.index)
        else:
            value = one.value.rebind(moved.__getitem__)
        if isinstance(value, Scan):
            known: dict[int, int] = {}
            recurrence = Recurrence.of(value)
            wanted, held = read.get(tensor, set()), pinned.get(tensor, set())
            loop = _Loop(builder, recurrence, wanted, held, known, {})
            results[tensor] = _finished(loop, rewrites, one)
        elif isinstance(value, int):
            moved[tensor] = value
            builder.relabel(value, one.label, one.origin)
        else:
            moved[tensor] = builder.add(value, one.label, one.origin, alone=tensor in kept)
    outputs = {name: moved[tensor] for name, tensor in program.outputs.items()}
    return without_dead_code(builder.program(outputs))


def _finished(
    loop: _Loop, rewrites: Iterable[Rewrite], definition: Definition
) -> Callable[[int], Value | int]:
    """Rewrite a loop and add it; return what gives the value of each wanted result."""
    for rewrite in rewrites:
        rewrite(loop)
    builder, recurrence = loop.program, loop.recurrence
    places: dict[int, int] = {}
    tensor = -1
    if loop.wanted:
        scan, places = recurrence.scan(loop.wanted)
        tensor = builder.add(scan, definition.label, definition.origin)

    def stack(inner: int) -> int:
        outer = loop.outer(inner)
        if outer is not None:
            return outer
        one = recurrence.definitions[inner]
        place = places[len(recurrence.carries) + recurrence.stacked.index(inner)]
        before = any(inner == carry.old for carry in recurrence.carries)
        return builder.add(Part(tensor, place), at_all_steps(one.label, before), one.origin)

    for index, (initial, terms) in loop.sums.items():
        label = recurrence.definitions[recurrence.carries[index].new].label
        totals = [builder.add(loop.for_all_steps(term, stack, total=True), label) for term in terms]
        body = sp.Add(*(slot(number) for number in range(len(terms) + 1)))
        loop.known[index] = builder.elementwise(body, [initial, *totals], label)

    def result(index: int) -> Value | int:
        return loop.known[index] if index in loop.known else Part(tensor, places[index])

    return result


# --- tidy ------------------------------------------------------------------------------------


def _tidy(loop: _Loop) -> None:
    builder, recurrence = loop.program, loop.recurrence
    for tensor, outer in list(recurrence.entries.items()):
        same = _same_at_all_steps(builder, outer)
        if same is not None:
            del recurrence.entries[tensor]
            recurrence.shared[tensor] = same
    for tensor, outer in list(recurrence.shared.items()):
        value = builder[outer].value
        scalar = isinstance(value, Constant) and value.data.ndim == 0
        if scalar or (isinstance(value, Kernel) and value.is_literal):
            del recurrence.shared[tensor]
            one = recurrence.definitions[tensor]
            recurrence.definitions[tensor] = replace(one, value=value)
    for index, carry in enumerate(recurrence.carries):
        if carry.new == carry.old and index not in loop.pinned:
            recurrence.shared[carry.old] = carry.initial
            loop.replace(index, carry.initial)
    for place, tensor in enumerate(recurrence.stacked):
        index = len(recurrence.carries) + place
        if index not in loop.pinned and index in loop.wanted:
            if tensor in recurrence.entries:
                loop.replace(index, recurrence.entries[tensor])
            elif tensor in recurrence.shared:
                loop.replace(index, _repeated(loop, recurrence.shared[tensor]))


def _same_at_all_steps(program: Builder, tensor: int) -> int | None:
    """The entry that a sequence repeats, if it does."""
    definition = program[tensor]
    value = definition.value
    if not isinstance(value, Kernel) or not value.elementwise or program.kept(tensor):
        return None
    step = value.output[0]
    if any(step in access.indices for access in value.accesses if step is not None):
        return None
    if step is None and value.accesses:
        return None
    numbers = {index: at for at, index in enumerate(i for i in value.output if i != step)}
    accesses = [
        Access(one.tensor, tuple(None if i is None else numbers[i] for i in one.indices))
        for one in value.accesses
    ]
    output, sizes = indices_of(definition.type.shape[1:])
    repeated = kernel(output, sizes, value.body, accesses)
    return program.add(repeated, definition.label, definition.origin)


def _repeated(loop: _Loop, tensor: int) -> int:
    """A tensor as a sequence of as many steps."""
    one = loop.program[tensor]
    output, sizes = indices_of((loop.recurrence.steps, *one.type.shape))
    value = kernel(output, sizes, slot(0), [Access(tensor, output[1:])])
    return loop.program.add(value, at_all_steps(one.label), one.origin)


# --- hoist -----------------------------------------------------------------------------------


def _hoist(loop: _Loop) -> None:
    recurrence = loop.recurrence
    if recurrence.has_derivatives:  # which are by tensors of the body
        return
    for tensor in sorted(recurrence.live(recurrence.results[at] for at in loop.wanted)):
        one = recurrence.definitions[tensor]
        value = one.value
        if tensor in recurrence.given or not value.operands or isinstance(value, (Scan, Part)):
            continue
        operands = {operand: loop.outer(operand) for operand in value.operands}
        if any(outer is None for outer in operands.values()):
            continue
        outer = {inner: number for inner, number in operands.items() if number is not None}
        if not any(operand in recurrence.entries for operand in operands):
            fixed = loop.program.add(value.rebind(outer.__getitem__), one.label, one.origin)
            recurrence.shared[tensor] = fixed
        elif isinstance(value, Kernel) and _pays(loop, value):
            whole = loop.for_all_steps(value, outer.__getitem__, total=False)
            recurrence.entries[tensor] = loop.program.add(whole, one.label, one.origin)


def _pays(loop: _Loop, value: Kernel) -> bool:
    """Whether all steps at once are better: always for a sum; else if nothing large is made.

    What earlier loops computed stands in lists, and is read from there step by step.
    """
    if value.reduced:
        return True
    entries = loop.recurrence.entries
    read = [access for access in value.accesses if access.tensor in entries]
    if any(isinstance(loop.program[entries[one.tensor]].value, Part) for one in read):
        return False
    return _size(value, value.output) <= max(_size(value, one.indices) for one in read)


def _size(value: Kernel, indices: Indices) -> int:
    return math.prod(
        int(value.sizes[i]) if value.sizes[i].is_Integer else NOMINAL_SIZE
        for i in indices
        if i is not None
    )


# --- sink ------------------------------------------------------------------------------------


def _sink(loop: _Loop) -> None:
    recurrence = loop.recurrence
    live = recurrence.live(recurrence.results[at] for at in loop.wanted)
    readers: dict[int, int] = {}
    for tensor in live - recurrence.given:
        for operand in recurrence.definitions[tensor].value.operands:
            readers[operand] = readers.get(operand, 0) + 1
    for result in recurrence.results:
        readers[result] = readers.get(result, 0) + 1
    for index, carry in enumerate(recurrence.carries):
        alone = readers.get(carry.old) == 1 == readers[carry.new]
        if alone and index in loop.wanted and index not in loop.pinned:
            terms = _added(recurrence, carry)
            if terms:
                loop.sums[index] = (carry.initial, terms)
                loop.wanted.discard(index)
                for term in terms:
                    for operand in term.operands:
                        if loop.outer(operand) is None:
                            loop.stack(operand)


def _added(recurrence: Recurrence, carry: Carry) -> list[Kernel] | None:
    """The sums that a step adds to a carry, where it does nothing else to it."""
    value = recurrence.definitions[carry.new].value
    if not isinstance(value, Kernel) or not value.elementwise or carry.old not in value.operands:
        return None  # as in h ← (h + x)·w / 2, of which h is no term
    terms: list[Kernel] = []
    given = recurrence.given
    for term in sp.Add.make_args(value.body):
        coefficient, rest = term.as_coeff_Mul()
        numbers = slots_of(rest)
        if len(numbers) != 1 or rest != slot(numbers[0]):
            return None
        access = value.accesses[numbers[0]]
        if access.indices != value.output:
            return None
        if access.tensor == carry.old:
            if coefficient != 1:
                return None
            continue
        inner = recurrence.definitions[access.tensor].value
        is_sum = isinstance(inner, Kernel) and inner.reduced and inner.reduction == "sum"
        if access.tensor in given or not is_sum:
            return None
        assert isinstance(inner, Kernel)
        terms.append(kernel(inner.output, inner.sizes, coefficient * inner.body, inner.accesses))
    return terms


# --- last ------------------------------------------------------------------------------------


def last_entries(program: Builder, definition: Definition) -> int | None:
    """states[-1] of a loop is the carry that it ends with; states[0] of one that runs back."""
    value = definition.value
    if not isinstance(value, Slice) or program.kept(value.source):
        return None
    part = program[value.source].value
    scan = program[part.source].value if isinstance(part, Part) else None
    if not isinstance(part, Part) or not isinstance(scan, Scan):
        return None
    at = value.key[0]
    ends = [0] if scan.reverse else [-1, scan.steps - 1]
    results = list(scan.body.outputs.values())
    carries = results[: len(scan.initial)]
    if not isinstance(at, int) or at not in ends or part.index < len(carries):
        return None
    if results[part.index] not in carries:
        return None
    last = program.add(
        Part(part.source, carries.index(results[part.index])), definition.label, definition.origin
    )
    rest = value.key[1:]
    if all(takes_all(one) for one in rest):
        return last
    return program.add(Slice(last, rest), definition.label, definition.origin)
