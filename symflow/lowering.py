"""Graph → Program: every node becomes the kernel or the view that its row in a table gives.

in     nodes of the user's graph, the shapes of placeholders that have none
out    a program with one definition per node, and one `Derivative` per gradient asked for
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import sympy as sp
from numpy.typing import NDArray

from symflow.arithmetic import undistributed
from symflow.errors import SymflowError
from symflow.graph import (
    Constant,
    Graph,
    Placeholder,
    StepInput,
    Tensor,
    Variable,
    called_by_user,
    described,
)
from symflow.operations import Structural
from symflow.program import (
    Access,
    Builder,
    Derivative,
    Input,
    Label,
    Program,
    Type,
    Value,
    dimension,
    indices_of,
    kernel,
    slot,
)
from symflow.program import Constant as Literal
from symflow.recurrence import Scan
from symflow.rows import to_float
from symflow.shapes import Shape, Sizes, Unknown, show


@dataclass(frozen=True)
class Adjustment:
    """What is done to gradients before an optimizer sees them, in this order; None is nothing.

    penalised  an entry, from value and gradient in slots 0 and 1
    clipped    an entry, from the gradient in slot 0
    scale      a factor for all entries of all gradients, from their norm in slot 0
    """

    penalised: sp.Expr | None = None
    clipped: sp.Expr | None = None
    scale: sp.Expr | None = None


@dataclass(frozen=True)
class Update:
    """One update of some Variables, as an optimizer's formulas say; see `train.Optimizer`.

    The program reads the rate, the number of updates done and the optimizer's state from inputs
    called `_rate`, `_step` and `_velocity_0`; its outputs are `update_0_0`, ...: for each
    Variable the new value and the new state.
    """

    loss: Tensor
    variables: tuple[Variable, ...]
    formulas: tuple[sp.Expr, ...]
    state: tuple[str, ...]
    adjustment: Adjustment


@dataclass(frozen=True)
class Request:
    """What to compute: tensors by name, and derivatives of a scalar by name.

    labels  how each node is called, by its identity; see `naming.label_nodes`
    shapes  shapes for placeholders, by identity, in place of the ones they were made with
    fixed   values of Variables that are constants here, by identity
    """

    outputs: Mapping[str, Tensor]
    derivatives: Mapping[str, tuple[Tensor, Tensor]]
    labels: Mapping[int, Label]
    shapes: Mapping[int, Shape]
    fixed: Mapping[int, NDArray[Any]] = field(default_factory=dict)
    update: Update | None = None

    @property
    def nodes(self) -> list[Tensor]:
        """The nodes that are needed, in the order in which they were made."""
        roots = [*self.outputs.values()]
        for y, x in self.derivatives.values():
            roots += [y, x]
        if self.update is not None:
            roots += [self.update.loss, *self.update.variables]
        return needed(roots)


def needed(roots: Iterable[Tensor]) -> list[Tensor]:
    """Everything that the roots depend on, in the order in which it was made."""
    found: dict[int, Tensor] = {}
    pending = list(roots)
    while pending:
        node = pending.pop()
        if id(node) not in found:
            found[id(node)] = node
            pending.extend(node.inputs)
    return sorted(found.values(), key=lambda node: node.number)


@undistributed
def lower(graph: Graph, request: Request) -> Program:
    nodes = request.nodes
    sizes = Sizes(graph.sizes)
    while True:  # sizes declared as None may be found out only at a later node
        before = len(sizes)
        program = _lowered(nodes, request, sizes)
        if program is not None:
            _name_unknowns(nodes, request, sizes)
        if len(sizes) == before:
            assert program is not None
            _check_sizes(program)
            return program


def _check_sizes(program: Program) -> None:
    """Every size that is no number must be that of an axis of an input."""
    inputs = [one for one in program.definitions if isinstance(one.value, Input)]
    known = {size for one in inputs for size in one.type.shape}
    for definition in program.definitions:
        for size in definition.type.shape:
            for symbol in size.free_symbols - known:
                called = "None" if isinstance(symbol, Unknown) else repr(symbol.name)
                raise SymflowError(
                    f"the size {called} of {show(definition.type.shape)} is of no placeholder that "
                    "is read here, and cannot be found out",
                    definition.origin,
                    hint="sizes with a name are those of placeholders; write numbers for others",
                )


def _lowered(nodes: Sequence[Tensor], request: Request, sizes: Sizes) -> Program | None:
    """The program, or None where a size was found out on the way and all must be done again."""
    builder = Builder(merge=False)
    tensors: dict[int, int] = {}
    if not add_nodes(
        builder,
        nodes,
        request.labels,
        tensors,
        sizes,
        lambda node, label: _leaf(node, label, request, sizes),
    ):
        return None
    outputs = {name: tensors[id(node)] for name, node in request.outputs.items()}
    for name, (y, x) in request.derivatives.items():
        outputs[name] = _derivative(builder, name, y, x, tensors)
    if request.update is not None:
        outputs |= _updated(builder, request.update, request.labels, tensors)
    return builder.program(outputs)


def add_nodes(
    builder: Builder,
    nodes: Iterable[Tensor],
    labels: Mapping[int, Label],
    tensors: dict[int, int],
    sizes: Sizes,
    leaf: Callable[[Tensor, Label], Value],
) -> bool:
    """Add what each node computes; False where a size was found out on the way, and all must be
    done again."""
    for node in nodes:
        label = labels[id(node)]
        operands = [tensors[id(source)] for source in node.inputs]
        if isinstance(node.operation, Structural) and node.operation.joins:
            operands = _promoted(builder, operands)
        types = [builder[operand].type for operand in operands]
        if node.operation is None:
            value = leaf(node, label)
        else:
            try:
                known = len(sizes)
                value = node.operation.define(types, sizes, **node.attributes)
                if len(sizes) > known:
                    return False
            except SymflowError as error:
                raise described(error, node.operation, node.inputs, types, node.location) from None
            value = value.rebind(operands.__getitem__)
            if isinstance(value, Scan):
                value = value.labelled([builder[operand].label for operand in operands])
        tensors[id(node)] = builder.add(value, label, node.location)
    return True


def _promoted(builder: Builder, operands: Sequence[int]) -> list[int]:
    """Tensors of which all are floats if one is."""
    kinds = [builder[operand].type.dtype for operand in operands]
    if "float" not in kinds:
        return [*operands]
    return [
        operand
        if kind == "float"
        else builder.elementwise(
            to_float(slot(0)), [operand], Label(f"{builder[operand].label.name}_float")
        )
        for operand, kind in zip(operands, kinds, strict=True)
    ]


def _derivative(
    builder: Builder, name: str, y: Tensor, x: Tensor, tensors: Mapping[int, int]
) -> int:
    shape = builder[tensors[id(y)]].type.shape
    if shape != ():
        raise SymflowError(
            f"the loss must be a scalar, but {called_by_user(y)} is {show(shape)}",
            y.location,
            hint="sf.reduce_mean or sf.reduce_sum makes one number of it",
        )
    derivative = Derivative(tensors[id(y)], tensors[id(x)])
    return builder.add(derivative, Label(name, 2), x.location)


def _updated(
    builder: Builder, update: Update, labels: Mapping[int, Label], tensors: Mapping[int, int]
) -> dict[str, int]:
    scalar = Type(())
    rate = builder.add(Input("_rate", scalar, "variable"), Label("rate"))
    step = builder.add(Input("_step", scalar, "variable"), Label("step"))
    outputs: dict[str, int] = {}
    gradients = _adjusted(builder, update, labels, tensors)
    for at, (variable, gradient) in enumerate(zip(update.variables, gradients, strict=True)):
        tensor = tensors[id(variable)]
        name = labels[id(variable)].name
        type_ = builder[tensor].type
        indices, sizes = indices_of(type_.shape)
        accesses = [
            Access(tensor, indices),
            Access(gradient, indices),
            Access(rate, ()),
            Access(step, ()),
        ]
        for state in update.state:
            entry = builder.add(Input(f"_{state}_{at}", type_, "variable"), Label(state))
            accesses.append(Access(entry, indices))
        moved: list[int] = []
        for number in (*range(1, len(update.formulas)), 0):  # the value reads the new state
            value = kernel(indices, sizes, update.formulas[number], accesses)
            moved.append(builder.add(value, Label(f"{name}_{number}")))
            accesses.append(Access(moved[-1], indices))
        for number, entry in enumerate([moved[-1], *moved[:-1]]):
            outputs[f"update_{at}_{number}"] = entry
    return outputs


def _adjusted(
    builder: Builder, update: Update, labels: Mapping[int, Label], tensors: Mapping[int, int]
) -> list[int]:
    """The gradients of the loss by each Variable, penalised and clipped as asked."""
    adjustment = update.adjustment

    def entrywise(body: sp.Expr, *operands: int) -> int:
        indices, sizes = indices_of(builder[operands[0]].type.shape)
        accesses = [Access(one, indices if builder[one].type.shape else ()) for one in operands]
        return builder.add(kernel(indices, sizes, body, accesses), Label("gradient"))

    values = [tensors[id(variable)] for variable in update.variables]
    gradients = [
        _derivative(builder, f"d_{labels[id(variable)].name}", update.loss, variable, tensors)
        for variable in update.variables
    ]
    if adjustment.penalised is not None:
        pairs = zip(values, gradients, strict=True)
        gradients = [entrywise(adjustment.penalised, *pair) for pair in pairs]
    if adjustment.clipped is not None:
        gradients = [entrywise(adjustment.clipped, gradient) for gradient in gradients]
    if adjustment.scale is not None:
        squares = []
        for gradient in gradients:
            indices, sizes = indices_of(builder[gradient].type.shape)
            squared = kernel((), sizes, slot(0) ** 2, [Access(gradient, indices)])
            squares.append(builder.add(squared, Label("norm")))
        total = sp.Add(*(slot(number) for number in range(len(squares))))
        norm = entrywise(sp.sqrt(total), *squares)
        scale = entrywise(adjustment.scale, norm)
        gradients = [entrywise(slot(0) * slot(1), gradient, scale) for gradient in gradients]
    return gradients


def _leaf(node: Tensor, label: Label, request: Request, sizes: Sizes) -> Input | Literal:
    if isinstance(node, Constant):
        return Literal.of(node.value)
    if id(node) in request.fixed:
        return Literal.of(request.fixed[id(node)])
    if isinstance(node, Variable):
        assert node.type is not None
        return Input(label.name, node.type, "variable")
    if isinstance(node, StepInput):
        raise SymflowError(
            f"a value of one step of the scan at {node.location} is used outside of it",
            node.location,
            hint="what a step computes leaves the scan as a part of what its function returns",
        )
    assert isinstance(node, Placeholder)
    shape = request.shapes.get(id(node), node.type.shape if node.type else None)
    if shape is None:
        raise SymflowError(
            f"the placeholder {label.name} has no shape",
            node.location,
            hint=f'declare it with shape=("n", 784), or compile with --shape {label.name}=n,784',
        )
    return Input(label.name, Type(sizes.resolved(shape), node.kind), "placeholder")


def _name_unknowns(nodes: Sequence[Tensor], request: Request, sizes: Sizes) -> None:
    """Call sizes declared as None, and never found out, n, m, k, ..."""
    shapes: list[Shape] = []
    for node in nodes:
        if isinstance(node, Placeholder):
            shape = request.shapes.get(id(node), node.type.shape if node.type else ())
            shapes.append(sizes.resolved(shape))
    taken = {str(size) for shape in shapes for size in shape}
    taken |= {label.name for label in request.labels.values()}
    free = (name for name in _names() if name not in taken)
    for shape in shapes:
        for size in shape:
            if isinstance(size, Unknown) and isinstance(sizes.resolve(size), Unknown):
                sizes.agree(size, dimension(next(free)))


def _names() -> Iterable[str]:
    yield from "nmk"
    number = 1
    while True:
        yield f"n{number}"
        number += 1
