"""The tensors of a program as a report lists them: with a name of their own and an anchor.

A tensor in the body of a loop has an entry too, behind the loop's.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from symflow.errors import Location
from symflow.program import Bundle, Constant, Definition, Input, Program
from symflow.recurrence import Scan
from symflow.shapes import Shape, show
from symflow.source import is_identifier
from symflow.statements import Names

GIVEN = ("input", "parameter")
"""Kinds of tensors whose names are the user's, or stand in the module's own arguments."""


@dataclass(frozen=True)
class Entry:
    """One tensor.

    path      its number in its program, behind those of the loops that it is in
    label     a name that tells it and its gradient from others; see `relabelling.py`
    name      by which the report calls it; each is given once
    backward  whether only gradients need it
    """

    path: tuple[int, ...]
    program: Program
    label: str
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


def entries(program: Program, twin: Program, gradients: Collection[str]) -> list[Entry]:
    """All tensors, in order, called by their labels.

    twin       the same program with labels that differ
    gradients  which outputs of the program are gradients
    """
    return _entries(program, twin, (), _backward(program, gradients))


def _entries(
    program: Program, twin: Program, within: tuple[int, ...], backward: Sequence[bool]
) -> list[Entry]:
    found: list[Entry] = []
    for tensor, (definition, other) in enumerate(
        zip(program.definitions, twin.definitions, strict=True)
    ):
        name = definition.label.name
        one = Entry((*within, tensor), program, other.label.name, name, backward[tensor])
        found.append(one)
        if isinstance(definition.value, Scan) and isinstance(other.value, Scan):
            body = definition.value.body
            inside = [one.backward] * len(body.definitions)
            found += _entries(body, other.value.body, one.path, inside)
    return found


def named(found: Sequence[Entry], known: Mapping[tuple[int, ...], str]) -> list[Entry]:
    """Entries with a name for each: what the module calls it, or else its label, told apart.

    known  names in the module
    """
    pool = Names(())
    names: dict[tuple[int, ...], str] = {}
    for one in sorted(found, key=lambda one: (one.kind not in GIVEN, one.path not in known)):
        wanted = known.get(one.path, one.definition.label.name)
        names[one.path] = pool.give(wanted if is_identifier(wanted) else "tensor")
    return [replace(one, name=names[one.path]) for one in found]


def _backward(program: Program, gradients: Collection[str]) -> list[bool]:
    """For every tensor, whether no output but gradients depends on it."""
    results = [at for name, at in program.outputs.items() if name not in gradients]
    needed = program.live([*results, *program.inputs])
    return [not one for one in needed]


def gradients_of(found: Sequence[Entry]) -> dict[tuple[int, ...], Entry]:
    """For paths of tensors, the derivative of the loss by them, where the program has it."""
    ahead = Counter(_key(one, one.label) for one in found if not one.backward)
    derivatives: dict[_Key, Entry] = {}
    for one in found:
        if one.backward and not isinstance(one.definition.value, Input):
            derivatives[_key(one, one.label)] = one  # the last is all of it
    top = {one.tensor: one for one in found if len(one.path) == 1}
    result: dict[tuple[int, ...], Entry] = {}
    for one in found:
        derivative = derivatives.get(_key(one, f"d_{one.label}"))
        output = one.program.outputs.get(f"d_{one.label}")
        if one.backward or isinstance(one.definition.type, Bundle):
            continue
        if one.kind == "parameter" and output is not None:
            result[one.path] = top[output]
        elif derivative is not None and ahead[_key(one, one.label)] == 1:
            result[one.path] = derivative
    return result


_Key = tuple[str, Shape, "Location | None"]


def _key(one: Entry, label: str) -> _Key:
    """A gradient has the shape and the model line of what it is the derivative by."""
    return label, one.definition.type.shape, one.definition.origin
