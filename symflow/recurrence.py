"""Loops with a carried state: `Scan`, its adjoint, and what both are made of.

    c_0 = initial,   (c_t, y_t) = body(c_(t-1), x_t, w)   for t = 1, ..., steps

`c` are the carries, `x` the sequences, of which every step reads one entry along axis 0, and `w`
is what all steps share. The results are the last of each carry and the stack of each y. The
body is a program, so all that is known of programs holds inside a loop too: it is stabilised,
differentiated and simplified by the same passes.

The adjoint of a scan is a scan the other way round. Its carries are the adjoints of the carries
and the running totals of what each step adds to the adjoints of `w`; its results y are the
adjoints of the sequences. What a step computes on the way there and the step back reads again is
recorded: it becomes a further result of the first scan, so that nothing is computed twice (as in
backpropagation through time, Werbos 1990). The adjoint is a scan, and has an adjoint itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, NamedTuple

import numpy as np
import sympy as sp
from numpy.typing import NDArray

from symflow.arithmetic import undistributed
from symflow.differentiation import backward, differentiate
from symflow.elementwise import without_twins
from symflow.primitives import Evaluation, Part, Primitive, Shares
from symflow.program import (
    Builder,
    Bundle,
    Definition,
    Derivative,
    Input,
    Kernel,
    Label,
    Program,
    Type,
    check,
    literal,
    slot,
)


@dataclass(frozen=True, slots=True)
class Scan(Primitive):
    """Build with `Recurrence`.

    initial    the carries before the first step
    sequences  what each step reads one entry of, along axis 0
    shared     what each step reads as it is
    body       one step; its inputs are carries, entries and shared tensors in this order, its
               outputs the carries after the step, and then what is stacked
    steps      how many there are
    reverse    whether entries are read, and stacked, from the last to the first
    """

    tensors: ClassVar[tuple[str, ...]] = ("initial", "sequences", "shared")
    initial: tuple[int, ...]
    sequences: tuple[int, ...]
    shared: tuple[int, ...]
    body: Program
    steps: sp.Expr
    reverse: bool = False

    def infer(self, operands: Sequence[Type]) -> Type:
        check(self.body)
        carries, sequences = len(self.initial), len(self.sequences)
        given = [self.body[tensor].type for tensor in self.body.inputs]
        for number, (operand, wanted) in enumerate(zip(operands, given, strict=True)):
            if carries <= number < carries + sequences:
                wanted = Type((self.steps, *wanted.shape), wanted.dtype)
            assert operand == wanted, f"operand {number} is {operand}, not {wanted}"
        types = [self.body[tensor].type for tensor in self.body.outputs.values()]
        assert types[:carries] == given[:carries], "a carry changes its type"
        stacked = [Type((self.steps, *one.shape), one.dtype) for one in types[carries:]]
        return Bundle.of([*types[:carries], *stacked])

    def exact(self, operands: Sequence[NDArray[Any]], evaluation: Evaluation) -> NDArray[Any]:
        """The results one after the other, as an array of arrays."""
        first, last = len(self.initial), len(self.initial) + len(self.sequences)
        names = [str(getattr(self.body[tensor].value, "name", "")) for tensor in self.body.inputs]
        carries, steps = list(operands[:first]), range(evaluation.size(self.steps))
        found: list[list[Any]] = []
        for step in reversed(steps) if self.reverse else steps:
            entries = [sequence[step] for sequence in operands[first:last]]
            given = dict(zip(names, [*carries, *entries, *operands[last:]], strict=True))
            results = list(evaluation.outputs(self.body, given).values())
            carries = results[:first]
            found.append(results[first:])
        in_order = found[::-1] if self.reverse else found
        stacks = [np.stack(one) for one in zip(*in_order, strict=True)]
        if not found:  # no step
            stacked = list(self.body.outputs.values())[first:]
            shapes = [self.body[tensor].type.shape for tensor in stacked]
            stacks = [np.empty((0, *map(evaluation.size, one)), object) for one in shapes]
        parts = np.empty(first + len(stacks), object)
        for number, part in enumerate([*carries, *stacks]):
            parts[number] = np.asarray(part)
        return parts

    def labelled(self, operands: Sequence[Label]) -> Scan:
        """The scan with what all steps share called in the body as it is outside."""
        definitions = list(self.body.definitions)
        first = len(self.initial) + len(self.sequences)
        for tensor, label in zip(self.body.inputs[first:], operands[first:], strict=True):
            definitions[tensor] = replace(definitions[tensor], label=label)
        return replace(self, body=Program(tuple(definitions), self.body.outputs))

    def shares(
        self, program: Builder, positions: Sequence[int], upstream: int, labels: Sequence[Label]
    ) -> list[int | None]:
        found = _Adjoint(program, self, upstream).shares()
        return [found.get(position) for position in positions]


class Carry(NamedTuple):
    """A carry: the outer tensor that it starts as; in the body, its old and its new value."""

    initial: int
    old: int
    new: int


@dataclass
class Recurrence:
    """A scan under construction, over the tensors of a body that may hold more than it needs.

    entries  for tensors of the body, the outer tensor of which they are an entry at each step
    shared   for tensors of the body, the outer tensor that they are
    stacked  the tensors of the body that are stacked
    """

    definitions: list[Definition]
    steps: sp.Expr
    reverse: bool
    carries: list[Carry] = field(default_factory=list)
    entries: dict[int, int] = field(default_factory=dict)
    shared: dict[int, int] = field(default_factory=dict)
    stacked: list[int] = field(default_factory=list)

    @staticmethod
    def of(scan: Scan) -> Recurrence:
        body, inputs, outputs = scan.body, scan.body.inputs, list(scan.body.outputs.values())
        carries, sequences = len(scan.initial), len(scan.sequences)
        return Recurrence(
            list(body.definitions),
            scan.steps,
            scan.reverse,
            [Carry(*one) for one in zip(scan.initial, inputs, outputs, strict=False)],
            dict(zip(inputs[carries:], scan.sequences, strict=False)),
            dict(zip(inputs[carries + sequences :], scan.shared, strict=True)),
            outputs[carries:],
        )

    @property
    def results(self) -> list[int]:
        """The tensors of the body that are results: new carries, then what is stacked."""
        return [*(carry.new for carry in self.carries), *self.stacked]

    @property
    def given(self) -> set[int]:
        """The tensors of the body that no step computes."""
        return {*(carry.old for carry in self.carries), *self.entries, *self.shared}

    @property
    def has_derivatives(self) -> bool:
        return any(isinstance(one.value, Derivative) for one in self.definitions)

    def live(self, roots: Iterable[int]) -> set[int]:
        """What the roots depend on within one step."""
        given = self.given
        live: set[int] = set()
        pending = list(roots)
        while pending:
            tensor = pending.pop()
            if tensor not in live:
                live.add(tensor)
                if tensor not in given:
                    pending.extend(self.definitions[tensor].value.operands)
        return live

    def _needed(self, wanted: Iterable[int]) -> tuple[list[int], set[int]]:
        """The carries that the wanted results depend on over all steps, and the body's tensors."""
        kept = {at for at in wanted if at < len(self.carries)}
        stacked = [self.results[at] for at in wanted if at >= len(self.carries)]
        while True:
            live = self.live([*stacked, *(self.carries[at].new for at in sorted(kept))])
            read = live - self.shared.keys()
            more = {at for at, carry in enumerate(self.carries) if carry.old in read} - kept
            if not more:
                return sorted(kept), live
            kept |= more

    def scan(self, wanted: Iterable[int] | None = None) -> tuple[Scan, dict[int, int]]:
        """The scan with no more than the wanted results need; where each result is in it."""
        wanted = sorted(range(len(self.results)) if wanted is None else wanted)
        kept, live = self._needed(wanted)
        builder = Builder(merge=not self.has_derivatives)
        moved: dict[int, int] = {}

        def give(kind: str, number: int, tensor: int) -> None:
            one = self.definitions[tensor]
            given = Input(f"{kind} {number}", one.type, "placeholder")
            moved[tensor] = builder.add(given, one.label, one.origin)

        for number, at in enumerate(kept):
            give("carry", number, self.carries[at].old)
        operands: dict[str, tuple[int, ...]] = {}
        for kind, bound in (("entry", self.entries), ("shared", self.shared)):
            first: dict[int, int] = {}  # of what the same outer tensor gives
            for tensor, outer in bound.items():
                if tensor in live and tensor not in moved:
                    if outer in first:
                        moved[tensor] = moved[first[outer]]
                    else:
                        give(kind, len(first), tensor)
                        first[outer] = tensor
            operands[kind] = tuple(first)
        for tensor in sorted(live - moved.keys()):
            one = self.definitions[tensor]
            value = one.value.rebind(moved.__getitem__)
            moved[tensor] = builder.add(value, one.label, one.origin)
        stacks = [at for at in wanted if at >= len(self.carries)]
        places = {at: number for number, at in enumerate([*kept, *stacks])}
        outputs = {f"result {place}": moved[self.results[at]] for at, place in places.items()}
        scan = Scan(
            tuple(self.carries[at].initial for at in kept),
            operands["entry"],
            operands["shared"],
            builder.program(outputs),
            self.steps,
            self.reverse,
        )
        return scan, places


def in_bodies(program: Program, stage: Callable[[Program], Program]) -> Program:
    """The program with every body as a stage leaves it."""
    if not any(isinstance(one.value, Scan) for one in program.definitions):
        return program
    definitions = tuple(
        replace(one, value=replace(one.value, body=stage(one.value.body)))
        if isinstance(one.value, Scan)
        else one
        for one in program.definitions
    )
    return Program(definitions, program.outputs)


@undistributed
def derivatives_taken(program: Program) -> Program:
    """The program without derivatives, and no body of a loop with them."""
    return _without_twins(_derivatives_taken(program))


def _derivatives_taken(program: Program) -> Program:
    return differentiate(in_bodies(program, _derivatives_taken))


def _without_twins(program: Program) -> Program:
    """The program with the rows themselves for those that differ in their derivatives alone."""
    program = in_bodies(program, _without_twins)
    definitions = tuple(
        replace(one, value=replace(one.value, body=without_twins(one.value.body)))
        if isinstance(one.value, Kernel)
        else one
        for one in program.definitions
    )
    return Program(definitions, program.outputs)


# --- adjoint ---------------------------------------------------------------------------------


class _Adjoint:
    """The adjoint of a scan under construction.

    step     one step there, and what follows from it for the step back
    inputs   what a step there reads, by the position of the scan's operand; in `step`
    outputs  what it computes; in `step`
    loop     the steps back
    arrived  the inputs of a step back that are adjoints
    results  which result of the loop an operand's adjoint is, by the operand's position
    """

    def __init__(self, program: Builder, scan: Scan, upstream: int) -> None:
        self.program = program
        self.scan = scan
        self.own = program.add(scan, Label("scan"))
        shares = program[upstream].value
        assert isinstance(shares, Shares)
        self.upstream = dict(zip(shares.indices, shares.adjoints, strict=True))
        self.step = Builder()
        copied: dict[int, int] = {}
        for tensor, one in enumerate(scan.body.definitions):
            value = one.value.rebind(copied.__getitem__)
            copied[tensor] = self.step.add(value, one.label, one.origin)
        self.inputs = [copied[tensor] for tensor in scan.body.inputs]
        self.outputs = [copied[tensor] for tensor in scan.body.outputs.values()]
        self.loop = Recurrence(self.step.definitions, scan.steps, not scan.reverse)
        self.arrived: list[int] = []
        self.results: dict[int, int] = {}

    def shares(self) -> dict[int, int]:
        """Append the adjoint to the program; return what each operand gets, by its position."""
        carries, sequences = len(self.scan.initial), len(self.scan.sequences)
        seeds = self._seeds()
        floats = [one for one, given in enumerate(self.inputs) if self._is_float(given)]
        found = backward(self.step, seeds, [self.inputs[one] for one in floats])
        for position in floats:
            adjoint = found[self.inputs[position]]
            if position < carries:
                at = self.results[position]
                self.loop.carries[at] = self.loop.carries[at]._replace(new=adjoint)
            elif position >= carries + sequences:
                self._add_up(position, adjoint)
        for position in floats:
            if carries <= position < carries + sequences:
                self.results[position] = len(self.loop.results)
                self.loop.stacked.append(found[self.inputs[position]])
        self._read_again()
        scan, places = self.loop.scan()
        back = self.program.add(scan, Label("backwards"), self.program[self.own].origin)
        return {
            position: self.program.add(Part(back, places[at]), self._label(position).of_gradient)
            for position, at in self.results.items()
        }

    def _is_float(self, tensor: int) -> bool:
        return self.step[tensor].type.dtype == "float"

    def _label(self, position: int) -> Label:
        """What the operand at a position is called outside."""
        return self.program[self.scan.operands[position]].label

    def _arriving(self, like: int, label: Label) -> int:
        """A new input of a step back, of the type of a tensor."""
        name = f"adjoint {len(self.arrived)}"
        given = Input(name, self.step[like].type, "placeholder")
        self.arrived.append(self.step.add(given, label))
        return self.arrived[-1]

    def _zeros(self, like: int, label: Label) -> int:
        """What an adjoint outside the loop starts as."""
        return self.program.add(literal(sp.Integer(0), self.step[like].type.shape), label)

    def _seeds(self) -> list[tuple[int, int]]:
        """The results of a step there with their adjoints, which a step back reads."""
        carries = len(self.scan.initial)
        seeds: list[tuple[int, int]] = []
        for at, result in enumerate(self.outputs):
            if at < carries and self._is_float(result):
                old = self.inputs[at]
                label = self.step[old].label.of_gradient
                start = self.upstream.get(at)
                if start is None:
                    start = self._zeros(result, label)
                seed = self._arriving(result, label)
                self.results[at] = len(self.loop.carries)
                self.loop.carries.append(Carry(start, seed, seed))
            elif at >= carries and at in self.upstream:
                seed = self._arriving(result, self.step[result].label.of_gradient)
                self.loop.entries[seed] = self.upstream[at]
            else:
                continue
            seeds.append((result, seed))
        return seeds

    def _add_up(self, position: int, adjoint: int) -> None:
        """Let a carry be the sum of what all steps add to the adjoint of what they share."""
        label = self._label(position).of_gradient
        total = self._arriving(self.inputs[position], label)
        added = self.step.elementwise(slot(0) + slot(1), [total, adjoint], label)
        self.results[position] = len(self.loop.carries)
        self.loop.carries.append(Carry(self._zeros(total, label), total, added))

    def _read_again(self) -> None:
        """Give the steps back what they read of the steps there, which record it if need be."""
        scan, carries = self.scan, len(self.scan.initial)
        olds, rest = self.inputs[:carries], self.inputs[carries:]
        entries = dict(zip(rest, scan.sequences, strict=False))
        shared = dict(zip(rest[len(scan.sequences) :], scan.shared, strict=True))
        read = _read_by_adjoints(self.step, set(self.arrived), {*olds, *entries})
        stacked = self.outputs[carries:]
        recorded = [one for one in read if one not in entries and one not in stacked]
        there = Recurrence(self.step.definitions, scan.steps, scan.reverse, stacked=stacked)
        there.carries = [Carry(*one) for one in zip(scan.initial, olds, self.outputs, strict=False)]
        there.entries, there.shared = entries, shared
        stacked += recorded
        if recorded:
            self.program.extend(self.own, there.scan()[0])
        self.loop.shared = shared
        for tensor in read:
            one = self.step[tensor]
            if tensor in entries:
                self.loop.entries[tensor] = entries[tensor]
            else:
                part = Part(self.own, carries + stacked.index(tensor))
                label = at_all_steps(one.label, before=tensor in olds)
                self.loop.entries[tensor] = self.program.add(part, label, one.origin)


def at_all_steps(label: Label, before: bool = False) -> Label:
    """The label of the stack of what is so called in a step, or of what it was before the step."""
    return Label(f"{label.name}_before" if before else label.name, min(label.rank, 0))


def _read_by_adjoints(step: Builder, adjoints: set[int], given: set[int]) -> list[int]:
    """What differs from step to step, depends on no adjoint, and is read by what does."""
    adjoint, varying = set(adjoints), set(given)
    found: dict[int, None] = {}
    for tensor, one in enumerate(step.definitions):
        operands = one.value.operands
        if any(operand in adjoint for operand in operands):
            adjoint.add(tensor)
            found |= dict.fromkeys(operand for operand in operands if operand in varying)
        elif any(operand in varying for operand in operands):
            varying.add(tensor)
    return sorted(found)
