"""The formula of every entry, as text and as MathML. A bar is a derivative: x̄ is ∂loss/∂x."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from symflow.formulas import mathml, text
from symflow.formulas.reading import Reader
from symflow.formulas.tree import Partial, Quantity, Tree
from symflow.notation import view_text
from symflow.primitives import Part
from symflow.program import Constant, Input, Program
from symflow.recurrence import Scan
from symflow.report.entries import Entry
from symflow.shapes import show


@dataclass(frozen=True)
class Formula:
    """In index notation; `mathml` is an element, or "" where there is only a text."""

    text: str
    mathml: str = ""


class Equations:
    """Formulas in which tensors are called as entries call them.

    gradients  of the entries that are derivatives by parameters: their paths, with the parameter
    """

    def __init__(self, entries: Sequence[Entry], gradients: Mapping[tuple[int, ...], str]) -> None:
        self.by_path = {one.path: one for one in entries}
        self.gradients = gradients
        self._readers: dict[tuple[int, ...], tuple[Reader, Reader]] = {}

    def of(self, one: Entry) -> Formula:
        """What defines a tensor."""
        value = one.definition.value
        if isinstance(value, Input):
            return Formula(f"{one.name}  {show(one.definition.type.shape)}")
        if isinstance(value, Constant) and value.data.ndim:
            return Formula(f"{one.name} = {_array_text(value)}")
        if isinstance(value, (Scan, Part)):
            return Formula(f"{one.name} = {view_text(one.definition, self._called(one))}")
        plain, typeset = self._reader(one)
        written = text.equation(plain.equation(one.tensor))
        return Formula(written, mathml.equation(typeset.equation(one.tensor)))

    def _called(self, one: Entry) -> _Called:
        return _Called(self.by_path, one.path[:-1])

    def _reader(self, one: Entry) -> tuple[Reader, Reader]:
        """Readers of the program that an entry is in: with names as they are, and typeset."""
        within = one.path[:-1]
        if within not in self._readers:
            count = len(one.program.definitions)
            mine = [self.by_path[(*within, tensor)] for tensor in range(count)]
            plain: dict[int, Tree] = {other.tensor: Quantity(other.name) for other in mine}
            typeset = {other.tensor: self._name(other) for other in mine}
            self._readers[within] = Reader(one.program, plain), Reader(one.program, typeset)
        return self._readers[within]

    def _name(self, one: Entry) -> Tree:
        if one.path in self.gradients:
            return Partial("loss", self.gradients[one.path])
        return _bar(one.name) if one.backward else Quantity(one.name)


class Before:
    """Formulas of the program as it is before it is simplified, its tensors called by `names`."""

    def __init__(self, program: Program, names: Sequence[str]) -> None:
        self.plain = Reader(program, {at: Quantity(name) for at, name in enumerate(names)})
        self.typeset = Reader(program, {at: _bar(name) for at, name in enumerate(names)})

    def of(self, tensor: int) -> Formula:
        """What defines a tensor."""
        written = text.equation(self.plain.equation(tensor))
        return Formula(written, mathml.equation(self.typeset.equation(tensor)))


def _bar(name: str) -> Quantity:
    return Quantity(name.removeprefix("d_"), bar=name.startswith("d_"))


class _Called:
    """What an operand is called, in the program that is at a path."""

    def __init__(self, entries: Mapping[tuple[int, ...], Entry], within: tuple[int, ...]) -> None:
        self.entries = entries
        self.within = within

    def __call__(self, operand: int) -> str:
        return self.entries[(*self.within, operand)].name


def _array_text(value: Constant) -> str:
    """A constant, or the beginning of it."""
    written = np.array2string(value.data, threshold=12, separator=", ")
    return " ".join(written.split())
