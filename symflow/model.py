"""A model file: run it on a graph of its own, and find what it declares."""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from symflow.derivatives import dependencies, not_scalar, unreached, unread
from symflow.errors import SymflowError, printable, together
from symflow.execution import run
from symflow.graph import Constant, Graph, Placeholder, Tensor, Variable
from symflow.heads import generated_head
from symflow.reading import text_of
from symflow.source import is_identifier, is_name
from symflow.train import Training


@dataclass(frozen=True)
class Model:
    """What a model file declares.

    stem      the file's name without `.py`
    summary   first line of its docstring, or ""
    bound     module-level names of nodes, by identity
    exports   tensors to make functions of, by name, in the order of `__all__` or of the file
    loss      what training makes small, if there is such a thing
    training  how, if the model says
    trainable the Variables to train: those of `minimize`, or all where there is only a loss
    """

    stem: str
    summary: str
    graph: Graph
    bound: Mapping[int, str]
    exports: Mapping[str, Tensor]
    loss: Tensor | None
    training: Training | None
    trainable: Sequence[Variable]

    @property
    def source(self) -> str:
        return f"{self.stem}.py"


def load(path: str | Path) -> Model:
    """Run a model file. All mistakes in it that can be found are told together."""
    path = Path(path)
    graph, text = Graph(), text_of(path)
    head = generated_head(text)
    if head is not None:
        told = f"{path}: a generated module, and no model: it was compiled from {head.model}"
        raise SymflowError(told, hint=f"give {head.model}, or the model that it is called now")
    tree, namespace, mistakes = run(path, text, graph)
    documented = None if mistakes else ast.get_docstring(tree)
    return declared(path.stem, documented, namespace, graph, mistakes, tree)


def declared(
    stem: str,
    documented: str | None,
    namespace: dict[str, Any],
    graph: Graph,
    mistakes: Sequence[SymflowError] = (),
    tree: ast.Module | None = None,
) -> Model:
    """What the names of a model, or of a function that builds one, declare of a graph.

    documented  the docstring
    mistakes    those that have been found already; they are told with the ones found here
    tree        of a model file
    """
    mistakes = [*mistakes]
    # as plain text: not what a subclass makes of it
    namespace = {str.__str__(n): one for n, one in namespace.items() if isinstance(n, str)}
    bound = {
        id(value): name
        for name, value in reversed(namespace.items())
        if isinstance(value, Tensor) and value.graph is graph and is_name(name)
        if not name.startswith("_")
    }
    graph.names = bound
    training = graph.training[0] if graph.training else None
    loss = namespace.get("loss") if training is None else training.loss
    if not isinstance(loss, Tensor) or loss.graph is not graph:
        loss = None
    trainable = [] if loss is None else graph.trainable_variables
    if training is not None:
        trainable = sorted(training.variables, key=lambda one: one.number)
    mistakes += [*_misnamed(graph), *_trained_again(graph)]
    if mistakes and tree and "loss" in namespace and (loss is None or loss.broken):
        mistakes += _unread(tree, graph)
    elif training is None and loss is not None:
        mistakes += _useless(loss, trainable, alone=not mistakes)
    if mistakes:
        raise together(mistakes)
    exports = _exports(namespace, graph, loss, f"{stem}.py")
    if not exports and loss is None:
        raise SymflowError(
            f"{stem}.py declares no tensor to compute",
            hint="bind what is to be computed to a name: loss = sf.reduce_mean(...)",
        )
    summary = printable((documented or "").partition("\n")[0].strip())
    return Model(stem, summary, graph, bound, exports, loss, training, tuple(trainable))


# --- mistakes of the whole -----------------------------------------------------------------------


def _trained_again(graph: Graph) -> list[SymflowError]:
    return [
        SymflowError(
            "a second minimize: a module has one loss to train",
            again.location,
            operands=[("the first one", graph.training[0].location)],
            hint="minimize the sum of both losses, or write two models",
        )
        for again in graph.training[1:]
    ]


def _useless(loss: Tensor, variables: Sequence[Variable], alone: bool) -> list[SymflowError]:
    """Why a loss that the model only names cannot be made small by its Variables."""
    if alone and loss.type is not None and loss.type.shape != ():
        return [not_scalar(loss, loss.type.shape, loss.location)]
    reached = dependencies(loss, flat=False)
    return [unreached(loss, one) for one in variables if one not in reached]


def _unread(tree: ast.Module, graph: Graph) -> list[SymflowError]:
    """Variables that nothing in a model reads, whatever the mistakes in what it computes."""
    names = [node for node in ast.walk(tree) if isinstance(node, ast.Name)]
    read = {node.id for node in names if isinstance(node.ctx, ast.Load)}
    inputs = {id(one) for node in graph.nodes for one in node.inputs}
    return [
        unread(one, graph.names[id(one)], "the loss")
        for one in graph.trainable_variables
        if id(one) in graph.names and graph.names[id(one)] not in read and id(one) not in inputs
    ]


def _misnamed(graph: Graph) -> list[SymflowError]:
    """Names that the user gives must be able to stand in Python source, each for one node."""
    given: dict[str, Tensor] = {}
    mistakes: list[SymflowError] = []
    for node in graph.nodes:
        if node.name is None:
            continue
        if not (isinstance(node.name, str) and is_identifier(node.name)):
            kind = "not in plain letters" if is_name(node.name) else "no Python identifier"
            mistakes.append(
                SymflowError(
                    f"the name {node.name!r} is {kind}, and cannot stand in the module",
                    node.location,
                    hint="use letters a to z, digits and _ only, and no word of Python's own",
                )
            )
        elif node.name in given:
            first = given[node.name].location
            mistakes.append(
                SymflowError(
                    f"the name {node.name!r} is taken",
                    node.location,
                    operands=[] if first is None else [(f"the first {node.name}", first)],
                    hint="give each tensor a name of its own",
                )
            )
        else:
            given[node.name] = node
    return mistakes


def _exports(
    namespace: Mapping[str, Any], graph: Graph, loss: Tensor | None, file: str
) -> dict[str, Tensor]:
    declared = namespace.get("__all__")
    if declared is not None:
        if not isinstance(declared, (list, tuple)) or not all(
            isinstance(name, str) for name in declared
        ):
            raise SymflowError(f"{file}: __all__ is no list of names")
        exports: dict[str, Tensor] = {}
        for name in map(str.__str__, declared):
            value = namespace.get(name)
            if isinstance(value, Training):
                continue
            if not isinstance(value, Tensor) or value.graph is not graph:
                raise SymflowError(f"{file}: __all__ names {name!r}, which is no tensor")
            if value is not loss:
                exports[name] = value
        return exports
    return {
        name: value
        for name, value in namespace.items()
        if isinstance(value, Tensor)
        and value.graph is graph
        and not name.startswith("_")
        and not isinstance(value, (Placeholder, Variable, Constant))
        and value is not loss
    }
