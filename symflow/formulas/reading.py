"""The tensors of a program as equations.

What nobody named is written where it is read, as long as it is short or read once; the rest is
an entry of a tensor with a name.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import sympy as sp

from symflow.formulas.algebra import index_names, number, plus, summed, tree
from symflow.formulas.moving import MOVES, made_of_whole
from symflow.formulas.tree import (
    UNIT,
    ZERO,
    Big,
    Entry,
    Equation,
    Name,
    Quantity,
    Tree,
)
from symflow.notation import letters
from symflow.primitives import Part, Primitive
from symflow.program import Constant, Definition, Full, Input, Iota, Kernel, Program, slot
from symflow.recurrence import Scan
from symflow.shapes import Shape
from symflow.views import StopGradient


@dataclass(frozen=True)
class Names:
    """What tensors of a program are called; those without a name are written where they are read.

    called  the names, by tensor
    loops   the same for the bodies of scans, by the tensor of the scan
    """

    called: Mapping[int, Tree]
    loops: Mapping[int, Loop] = field(default_factory=dict)


@dataclass(frozen=True)
class Loop:
    """How the steps of a scan are told: each tensor of the body has one more index, the step.

    What is carried has the index of the step *before* which it has a value, so that it starts
    from the index 0: c[s + 1] = f[s]·c[s].

    names    of the body's tensors
    carried  the name of every carry
    step     the index
    """

    names: Names
    carried: Sequence[Tree]
    step: Tree


class Reader:
    """Equations for the tensors of a program.

    names  of tensors, and of those in loops; by default every tensor is called by its label
    """

    around: Sequence[Tree] = ()
    """Indices that every tensor has in front of its own."""

    def __init__(self, program: Program, names: Names | Mapping[int, Tree] | None = None) -> None:
        self.program = program
        if names is None:
            names = _labels(program)
        self.names = names if isinstance(names, Names) else Names(names)
        self.letters = _letters(program)

    def equation(self, tensor: int) -> Equation:
        """name[i, j] = Σ_k x[i, k]·w[k, j]."""
        own = self.outer(tensor)
        name = self.names.called.get(tensor) or self._label(tensor)
        return Equation(self.named(name, tensor, own), self.definition(tensor, own, self.around))

    def same(self, name: Tree, tensor: int) -> Equation:
        """name[i, j] = tensor[i, j]."""
        own = self.outer(tensor)
        return Equation(entry(name, own), self.read(tensor, own, own))

    def named(self, name: Tree, tensor: int, indices: Sequence[Tree]) -> Tree:
        """An entry of a tensor by its name."""
        return entry(name, indices)

    def outer(self, tensor: int) -> list[Tree]:
        """An index for every axis; the only entry of an axis of size one is 0."""
        shape = self.program[tensor].type.shape
        fresh = iter(self.fresh(len(shape), self.around))
        return [ZERO if size == 1 else next(fresh) for size in shape]

    def _label(self, tensor: int) -> Tree:
        return Quantity(self.program[tensor].label.name)

    def fresh(self, count: int, within: Iterable[Tree]) -> list[Tree]:
        """Letters for indices that are not those of what stands around."""
        taken = {name for index in within for name in index_names(index)}
        free: list[Tree] = [Name(one) for one in self.letters if one not in taken]
        return free[:count]

    def read(self, tensor: int, indices: Sequence[Tree], scope: Sequence[Tree]) -> Tree:
        """An entry of a tensor: by name, or what defines it.

        scope  the indices that have a meaning here, beside those of the entry
        """
        name = self.names.called.get(tensor)
        if name is not None:
            return self.named(name, tensor, indices)
        return self.definition(tensor, indices, scope)

    def whole(self, tensor: int) -> Tree:
        """A tensor without indices, as the argument of a function of tensors."""
        sequence = self.sequence(tensor)
        if sequence is not None:
            return sequence
        return self.names.called.get(tensor) or self._label(tensor)

    def sequence(self, tensor: int) -> Tree | None:
        """The name of what every step of a scan computes, if a tensor is all of that."""
        value = self.program[tensor].value
        if tensor in self.names.called or not isinstance(value, Part):
            return None
        if value.source not in self.names.loops:
            return None
        steps = self.steps(value.source)
        result = list(steps.program.outputs.values())[value.index]
        stacked = value.index >= len(steps.carries) and result not in steps.moved
        return steps.names.called.get(result) if stacked and not self.around else None

    def steps(self, tensor: int, step: Tree | None = None) -> Steps:
        """The body of a scan at one of its steps."""
        scan, loop = self.program[tensor].value, self.names.loops[tensor]
        assert isinstance(scan, Scan)
        return Steps(self, scan, loop, loop.step if step is None else step)

    def _part(self, value: Part, indices: Sequence[Tree], scope: Sequence[Tree]) -> Tree:
        """A result of a scan: what is carried out of it, or what a step has stacked."""
        scan = self.program[value.source].value
        assert isinstance(scan, Scan)
        result = list(scan.body.outputs.values())[value.index]
        if value.index >= len(scan.initial):
            return self.steps(value.source, indices[0]).read(result, indices[1:], scope)
        last = ZERO if scan.reverse else tree(scan.steps, {})
        return entry(self.names.loops[value.source].carried[value.index], (last, *indices))

    def definition(self, tensor: int, indices: Sequence[Tree], scope: Sequence[Tree] = ()) -> Tree:
        """What computes an entry of a tensor."""
        definition = self.program[tensor]
        value = definition.value
        if _makes_no_difference(definition):
            return ZERO
        if isinstance(value, Kernel):
            return self._kernel(value, indices, (*scope, *indices))
        if isinstance(value, Iota):
            return indices[0]
        if isinstance(value, Full):
            return number(sp.Integer(value.value))
        if isinstance(value, Constant) and is_one_number(value):
            return number(sp.sympify(value.data.flat[0].item()))
        if isinstance(value, Part) and value.source in self.names.loops:
            return self._part(value, indices, scope)
        move = MOVES.get(type(value))
        if move is not None:
            return move(self, value, indices, scope)
        if isinstance(value, (Input, Constant)) or not isinstance(value, Primitive):
            return entry(self._label(tensor), indices)
        return entry(made_of_whole(self, value), indices)

    def _kernel(self, value: Kernel, indices: Sequence[Tree], scope: Sequence[Tree]) -> Tree:
        known = dict(zip(value.output, indices, strict=True))
        over = self.fresh(len(value.reduced), scope)
        known.update(zip(value.reduced, over, strict=True))
        known[None] = ZERO
        inner = (*scope, *over)
        operands = {
            slot(at): self.read(access.tensor, [known[i] for i in access.indices], inner)
            for at, access in enumerate(value.accesses)
        }
        body = tree(value.body, operands)
        if value.reduction == "sum":
            return summed(over, body) if over else body
        return Big(value.reduction, tuple(over), body)


class Steps(Reader):
    """The body of a scan at a step."""

    def __init__(self, outer: Reader, scan: Scan, loop: Loop, step: Tree) -> None:
        super().__init__(scan.body, loop.names)
        self.letters = [one for one in outer.letters if one in self.letters]
        self.around = (*outer.around, step)
        self.outside = outer
        self.scan = scan
        self.loop = loop
        self.step = step
        first = len(scan.initial)
        self.carries = dict(zip(scan.body.inputs[:first], loop.carried, strict=True))
        self.entries = dict(zip(scan.body.inputs[first:], scan.sequences, strict=False))
        last = first + len(scan.sequences)
        self.shared = dict(zip(scan.body.inputs[last:], scan.shared, strict=True))
        self.moved = set(list(scan.body.outputs.values())[:first])
        before = plus([step, UNIT])
        self.old, self.new = (before, step) if scan.reverse else (step, before)

    def named(self, name: Tree, tensor: int, indices: Sequence[Tree]) -> Tree:
        step = self.new if tensor in self.moved else self.step
        return entry(name, (*self.outside.around, step, *indices))

    def read(self, tensor: int, indices: Sequence[Tree], scope: Sequence[Tree]) -> Tree:
        if tensor in self.carries:
            return entry(self.carries[tensor], (*self.outside.around, self.old, *indices))
        if tensor in self.entries:
            return self.outside.read(self.entries[tensor], (self.step, *indices), scope)
        if tensor in self.shared:
            return self.outside.read(self.shared[tensor], indices, scope)
        return super().read(tensor, indices, scope)

    def whole(self, tensor: int) -> Tree:
        if tensor in self.carries:
            return entry(self.carries[tensor], (*self.outside.around, self.old))
        if tensor in self.entries:
            return entry(self.outside.whole(self.entries[tensor]), (self.step,))
        if tensor in self.shared:
            return self.outside.whole(self.shared[tensor])
        return self.named(super().whole(tensor), tensor, ())

    def started(self) -> Iterator[tuple[Equation, Shape]]:
        """What each carry starts from, with its shape."""
        first = tree(self.scan.steps, {}) if self.scan.reverse else ZERO
        for name, initial in zip(self.loop.carried, self.scan.initial, strict=True):
            own = self.outside.outer(initial)
            left = entry(name, (*self.outside.around, first, *own))
            right = self.outside.read(initial, own, self.outside.around)
            yield Equation(left, right), self.outside.program[initial].type.shape

    def passed(self) -> Iterator[tuple[Equation, Shape]]:
        """The carries that take over another one, or something given, at every step."""
        results = self.scan.body.outputs.values()
        for name, result in zip(self.loop.carried, results, strict=False):
            if self.names.called.get(result) != name:
                own = self.outer(result)
                left = entry(name, (*self.outside.around, self.new, *own))
                right = self.read(result, own, self.around)
                yield Equation(left, right), self.program[result].type.shape


def step_index(reader: Reader, scan: Scan) -> Tree:
    """A letter for the steps of a scan: s, unless something is called so."""
    inside = _letters(scan.body)
    taken = {name for index in reader.around for name in index_names(index)}
    free = [one for one in reader.letters if one in inside and one not in taken]
    return Name(next((one for one in "srtq" if one in free), free[-1]))


def _letters(program: Program) -> list[str]:
    """Letters that are no names of sizes or tensors."""
    sizes = {size for one in program.definitions for size in one.type.shape}
    taken = {symbol.name for size in sizes for symbol in size.free_symbols}
    return letters(40, taken | {one.label.name for one in program.definitions})


def _labels(program: Program) -> Names:
    """Every tensor called by its label."""
    called: dict[int, Tree] = {}
    loops: dict[int, Loop] = {}
    for tensor, definition in enumerate(program.definitions):
        scan = definition.value
        called[tensor] = Quantity(definition.label.name)
        if isinstance(scan, Scan):
            inside = _labels(scan.body)
            called_inside = {
                at: one for at, one in inside.called.items() if at not in scan.body.inputs
            }
            carried = [Quantity(scan.body[at].label.name) for at in scan.body.inputs]
            step = step_index(Reader(program, Names({})), scan)
            names = Names(called_inside, inside.loops)
            loops[tensor] = Loop(names, carried[: len(scan.initial)], step)
    return Names(called, loops)


def _makes_no_difference(definition: Definition) -> bool:
    """Whether it is what a softmax of ours shifts its exponents by; a user's own has no such
    label.
    """
    label = definition.label
    ours = label.name.endswith("_peak") or label.name == "peak"
    return ours and not label.exact and isinstance(definition.value, StopGradient)


def is_one_number(constant: Constant) -> bool:
    """Whether all entries of an array are the same number."""
    data = constant.data
    return data.dtype.kind != "b" and bool(np.all(data == data.flat[0]))


def entry(base: Tree, indices: Sequence[Tree]) -> Tree:
    return Entry(base, tuple(indices)) if indices else base
