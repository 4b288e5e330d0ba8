"""The tensors of a program as a report lists them: with a name of their own and an anchor.

A tensor in the body of a loop has an entry too, behind the loop's.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from symflow.naming import is_identifier
from symflow.program import Bundle, Constant, Definition, Input, Program
from symflow.recurrence import Scan
from symflow.shapes import show
from symflow.statements import Names


@dataclass(frozen=True)
class Entry:
    """One tensor.

    path      its number in its program, behind those of the loops that it is in
    name      by which the report calls it; each is given once
    backward  whether only gradients need it
    """

    path: tuple[int, ...]
    program: Program
    name: str
    backward: bool

    @property
    def tensor(self) -> int:
        return self.path[-1]

    @property
    def definition(self) -> Definition:
        return self.program[self.tensor]

    @property
    def anchor(self) -> str:
        return "t" + "-".join(map(str, self.path))

    @property
    def kind(self) -> str:
        """In one word."""
        value = self.definition.value
        if isinstance(value, Input) and len(self.path) == 1:
            return "parameter" if value.kind == "variable" else "input"
        if isinstance(value, Constant):
            return "constant"
        return "backward" if self.backward else "forward"


def shape_text(one: Entry) -> str:
    """The shape of a tensor; of a loop, its steps."""
    type_, value = one.definition.type, one.definition.value
    if isinstance(value, Scan):
        return f"{value.steps} steps {'backwards' if value.reverse else ''}".rstrip()
    if isinstance(type_, Bundle):
        return " ".join(show(part.shape) for part in type_.parts)
    return show(type_.shape) if type_.shape else "scalar"


def entries(program: Program, gradients: Collection[str]) -> list[Entry]:
    """All tensors, in order; names as a generated module would give them, the user's own first.

    gradients  which outputs of the program are gradients
    """
    found = _unnamed(program, (), _backward(program, gradients))
    pool = Names(())
    names: dict[tuple[int, ...], str] = {}
    for one in sorted(found, key=lambda one: (len(one.path), -one.definition.label.rank, one.path)):
        label = one.definition.label.name
        names[one.path] = pool.give(label if is_identifier(label) else "tensor")
    return [Entry(one.path, one.program, names[one.path], one.backward) for one in found]


def _unnamed(program: Program, within: tuple[int, ...], backward: Sequence[bool]) -> list[Entry]:
    found: list[Entry] = []
    for tensor, definition in enumerate(program.definitions):
        one = Entry((*within, tensor), program, "", backward[tensor])
        found.append(one)
        if isinstance(definition.value, Scan):
            body = definition.value.body
            inside = [one.backward] * len(body.definitions)
            found += _unnamed(body, one.path, inside)
    return found


def _backward(program: Program, gradients: Collection[str]) -> list[bool]:
    """For every tensor, whether no output but gradients depends on it."""
    results = [at for name, at in program.outputs.items() if name not in gradients]
    needed = program.live([*results, *program.inputs])
    return [not one for one in needed]


def gradient_of(one: Entry, among: Sequence[Entry]) -> Entry | None:
    """The tensor that is the derivative of the loss by another, where the program has one."""
    wanted, shape = one.definition.label.of_gradient.name, one.definition.type.shape
    output = one.program.outputs.get(wanted) if len(one.path) == 1 else None
    found = [
        other
        for other in among
        if other.backward
        and other.definition.label.name == wanted
        and other.definition.type.shape == shape
        and not isinstance(other.definition.value, Input)
    ]
    if output is not None:
        found = [other for other in among if other.path == (output,)]
    return found[-1] if found else None
