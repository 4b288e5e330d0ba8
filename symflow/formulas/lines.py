"""The lines in which a program is told: an equation, a shape and a model line each."""

from __future__ import annotations

from collections.abc import Container, Iterator
from dataclasses import dataclass

import sympy as sp

from symflow.errors import Location
from symflow.formulas.reading import Names, Reader, Steps
from symflow.formulas.selection import named
from symflow.formulas.tree import Equation, Quantity, Tree
from symflow.program import Constant, Derivative, Input, Program
from symflow.shapes import Shape


@dataclass(frozen=True)
class Line:
    """One tensor: its formula, its shape, and the model line it comes from.

    by_user  whether the user named it
    """

    equation: Equation
    shape: Shape
    origin: Location | None
    by_user: bool = False


def model_names(program: Program) -> Names:
    """The names that the model is told with."""
    roots: dict[int, Tree] = {
        tensor: Quantity(program[tensor].label.name)
        for tensor in program.outputs.values()
        if not isinstance(program[tensor].value, (Derivative, Input))
    }
    inputs: dict[int, Tree] = {at: Quantity(program[at].label.name) for at in program.inputs}
    return named(program, roots, inputs)


def lines(reader: Reader, known: Container[int] = ()) -> Iterator[Line]:
    """An equation for each tensor that is computed; a scan is told by its steps."""
    sizes = tuple(_sizes(reader))
    for tensor in sorted({*reader.names.called, *reader.names.loops}):
        one = reader.program[tensor]
        if tensor in reader.names.loops:
            steps = reader.steps(tensor)
            for equation, shape in steps.started():
                yield Line(equation, (*sizes, *shape), one.origin)
            yield from lines(steps)
            for equation, shape in steps.passed():
                yield Line(equation, (*sizes, steps.scan.steps, *shape), one.origin)
        elif tensor not in known and not isinstance(one.value, (Input, Constant)):
            equation, shape = reader.equation(tensor), (*sizes, *one.type.shape)
            yield Line(equation, shape, one.origin, one.label.exact)


def _sizes(reader: Reader) -> Iterator[sp.Expr]:
    """How many steps there are around a tensor, in loops within loops."""
    if isinstance(reader, Steps):
        yield from _sizes(reader.outside)
        yield reader.scan.steps
