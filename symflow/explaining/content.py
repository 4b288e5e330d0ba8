"""A model explained: what it computes and its gradients, as equations in the model's own names.

The model is told as it was written, before anything is rewritten; the gradients as they are
computed. What holds the equations is written out in `formulas`, as text, LaTeX or MathML.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass

from symflow.arithmetic import undistributed
from symflow.compilation import Compilation
from symflow.errors import Location
from symflow.explaining.training import Told, told
from symflow.formulas.algebra import names_in
from symflow.formulas.lines import Line, lines, model_names
from symflow.formulas.reading import Reader
from symflow.formulas.selection import named, recognised, wants_name
from symflow.formulas.text import text
from symflow.formulas.tree import Entry, Equation, Partial, Quantity, Tree, renamed
from symflow.program import Constant, Definition, Dtype, Input, Program
from symflow.shapes import Shape


@dataclass(frozen=True)
class Given:
    """An input, a parameter or a constant of the model file."""

    name: Tree
    shape: Shape
    dtype: Dtype
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


@undistributed
def explained(compilation: Compilation) -> Explanation:
    """A model of a file, explained."""
    model = compilation.model
    loss = "" if model.loss is None else compilation.name(model.loss)
    trained = [compilation.name(node) for node in compilation.trainable]
    written = compilation.stages["lower"]
    reader = Reader(written, model_names(written))
    called = reader.names.called
    parameters = _given(written, "variable")
    told_lines = list(lines(reader))
    return Explanation(
        model.source,
        model.summary,
        loss,
        _given(written, "placeholder"),
        parameters,
        _constants(written, called),
        told_lines,
        _gradients(compilation.program(), reader, told_lines, loss, trained),
        [one for one in parameters if text(one.name) in trained],
        None if model.training is None else told(model.training.optimizer, loss),
    )


def _given(program: Program, kind: str) -> list[Given]:
    return [
        Given(Quantity(one.label.name), one.type.shape, one.type.dtype, one.origin)
        for tensor in program.inputs
        if isinstance((one := program[tensor]).value, Input) and one.value.kind == kind
    ]


def _constants(program: Program, called: Mapping[int, Tree]) -> list[Given]:
    return [
        Given(name, one.type.shape, one.type.dtype, one.origin)
        for tensor, name in called.items()
        if isinstance((one := program[tensor]).value, Constant)
    ]


def _gradients(
    program: Program, model: Reader, told: Sequence[Line], loss: str, parameters: Sequence[str]
) -> list[Line]:
    """The equations of the gradients, and of what they read that the model did not name."""
    if not parameters:
        return []
    program = recognised(program)
    known = _known(program, model, {f"d_{parameter}" for parameter in parameters})
    roots: dict[int, Tree] = {}
    again: list[tuple[Tree, int]] = []
    for parameter in parameters:
        tensor = program.outputs[f"d_{parameter}"]
        gradient: Tree = Partial(loss, parameter)
        if tensor in known or tensor in roots:
            again.append((gradient, tensor))
        else:
            roots[tensor] = gradient
    reader = Reader(program, named(program, roots, known, _name_of_adjoint, model.names))
    found = _not_told(lines(reader, known), told)
    for gradient, tensor in again:
        one = program[tensor]
        found.append(Line(reader.same(gradient, tensor), one.type.shape, one.origin))
    return found


def _known(program: Program, model: Reader, results: Container[str]) -> dict[int, Tree]:
    """The tensors that the model is told with: what is given, and what the user named."""
    forward = program.live(at for name, at in program.outputs.items() if name not in results)
    by_label: dict[str, Tree] = {}
    by_digest: dict[str, Tree] = {}
    for tensor, name in model.names.called.items():
        one = model.program[tensor]
        if isinstance(one.value, Input) or one.label.exact:
            by_label[one.label.name] = name
        if isinstance(one.value, Constant):
            by_digest[one.value.digest] = name
    known: dict[int, Tree] = {}
    for tensor, one in enumerate(program.definitions):
        if isinstance(one.value, Constant):
            if wants_name(one):
                known[tensor] = by_digest.get(one.value.digest, Quantity(one.label.name))
        elif isinstance(one.value, Input) or (one.label.exact and forward[tensor]):
            known[tensor] = by_label.get(one.label.name, Quantity(one.label.name))
    return known


def _not_told(found: Iterable[Line], told: Sequence[Line]) -> list[Line]:
    """The lines that say something new: not again what the user has named."""
    before = {_form(line.equation) for line in told}
    names = {_base(line) for line in told if line.by_user}
    return [
        line
        for line in found
        if _form(line.equation) not in before and not (line.by_user and _base(line) in names)
    ]


def _base(line: Line) -> Tree:
    """What a line defines, without indices."""
    left = line.equation.left
    return left.base if isinstance(left, Entry) else left


def _form(equation: Equation) -> Equation:
    """An equation with indices of its own, to see whether two say the same."""
    found = dict.fromkeys([*names_in(equation.left), *names_in(equation.right)])
    names = {name: f"_{at}" for at, name in enumerate(found)}
    return Equation(renamed(equation.left, names), renamed(equation.right, names))


def _name_of_adjoint(definition: Definition) -> Tree:
    """d_hidden is the derivative of the loss by hidden, unless the user calls something so."""
    name = definition.label.name
    if name.startswith("d_") and not definition.label.exact:
        return Quantity(name.removeprefix("d_"), bar=True)
    return Quantity(name)
