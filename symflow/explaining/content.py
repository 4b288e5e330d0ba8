"""A model explained: what it computes and its gradients, as equations in the model's own names.

The model is told as it was written, before anything is rewritten; the gradients as they are
computed. What holds the equations is written out in `formulas`, as text, LaTeX or MathML.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from symflow.compilation import Compilation
from symflow.errors import Location
from symflow.explaining.training import Told, told
from symflow.formulas.reading import Reader
from symflow.formulas.selection import named, recognised
from symflow.formulas.text import text
from symflow.formulas.tree import Equation, Partial, Quantity, Tree
from symflow.program import Bundle, Constant, Definition, Derivative, Dtype, Input, Program
from symflow.shapes import Shape


@dataclass(frozen=True)
class Given:
    """An input, a parameter or a constant of the model file."""

    name: Tree
    shape: Shape
    dtype: Dtype
    origin: Location | None


@dataclass(frozen=True)
class Line:
    """One tensor: its formula, its shape, and the model line it comes from."""

    equation: Equation
    shape: Shape
    origin: Location | None


@dataclass(frozen=True)
class Explanation:
    """What there is to say of a model.

    title      the file it comes from
    summary    the first line of its docstring, or ""
    loss       its name, or "" for a model without one
    model      in the order in which the model computes it
    gradients  of the loss by each parameter, with what they are computed from, in order
    trained    the parameters that the gradients are by
    training   how they are trained, if the model says
    """

    title: str
    summary: str
    loss: str
    inputs: Sequence[Given]
    parameters: Sequence[Given]
    constants: Sequence[Given]
    model: Sequence[Line]
    gradients: Sequence[Line]
    trained: Sequence[Given]
    training: Told | None


def explained(compilation: Compilation) -> Explanation:
    """A model of a file, explained."""
    model = compilation.model
    loss = "" if model.loss is None else compilation.name(model.loss)
    trained = [compilation.name(node) for node in compilation.trainable]
    written = compilation.stages["lower"]
    called = _forward(written)
    parameters = _given(written, called, "variable")
    return Explanation(
        model.source,
        model.summary,
        loss,
        _given(written, called, "placeholder"),
        parameters,
        _constants(written, called),
        list(_lines(written, called, Reader(written, called))),
        _gradients(compilation.program(), called.values(), trained),
        [one for one in parameters if text(one.name) in trained],
        None if model.training is None else told(model.training.optimizer, loss),
    )


def _given(program: Program, called: Mapping[int, Tree], kind: str) -> list[Given]:
    return [
        Given(called[tensor], one.type.shape, one.type.dtype, one.origin)
        for tensor in program.inputs
        if isinstance((one := program[tensor]).value, Input) and one.value.kind == kind
    ]


def _constants(program: Program, called: Mapping[int, Tree]) -> list[Given]:
    return [
        Given(name, one.type.shape, one.type.dtype, one.origin)
        for tensor, name in called.items()
        if isinstance((one := program[tensor]).value, Constant)
    ]


def _forward(program: Program) -> dict[int, Tree]:
    """The names of the tensors that the model is told with."""
    roots: dict[int, Tree] = {
        tensor: Quantity(program[tensor].label.name)
        for tensor in program.outputs.values()
        if not isinstance(program[tensor].value, Derivative)
    }
    inputs: dict[int, Tree] = {at: Quantity(program[at].label.name) for at in program.inputs}
    return named(program, roots, inputs)


def _lines(program: Program, called: Iterable[int], reader: Reader) -> Iterable[Line]:
    """An equation for each tensor that is computed."""
    for tensor in called:
        one = program[tensor]
        if not isinstance(one.value, (Input, Constant)) and not isinstance(one.type, Bundle):
            yield Line(reader.equation(tensor), one.type.shape, one.origin)


def _gradients(program: Program, written: Iterable[Tree], parameters: Sequence[str]) -> list[Line]:
    """The equations of the gradients, and of what they read that the model did not name."""
    if not parameters:
        return []
    program = recognised(program)
    names = {text(name): name for name in written}
    results = {f"d_{parameter}" for parameter in parameters}
    known: dict[int, Tree] = {}
    forward = program.live(at for name, at in program.outputs.items() if name not in results)
    for tensor, one in enumerate(program.definitions):
        given = isinstance(one.value, (Input, Constant))
        if given or (one.label.exact and forward[tensor]):
            known[tensor] = names.get(one.label.name) or Quantity(one.label.name)
    loss = program[program.outputs["loss"]].label.name
    roots: dict[int, Tree] = {}
    again: list[tuple[Tree, int]] = []
    for parameter in parameters:
        tensor = program.outputs[f"d_{parameter}"]
        gradient: Tree = Partial(loss, parameter)
        if tensor in known or tensor in roots:
            again.append((gradient, tensor))
        else:
            roots[tensor] = gradient
    called = named(program, roots, known, _name_of_adjoint)
    reader = Reader(program, {**known, **called})
    lines = list(_lines(program, [at for at in called if at not in known], reader))
    for gradient, tensor in again:
        one = program[tensor]
        lines.append(Line(reader.same(gradient, tensor), one.type.shape, one.origin))
    return lines


def _name_of_adjoint(definition: Definition) -> Tree:
    """d_hidden is the derivative of the loss by hidden, unless the user calls something so."""
    name = definition.label.name
    if name.startswith("d_") and not definition.label.exact:
        return Quantity(name.removeprefix("d_"), bar=True)
    return Quantity(name)
