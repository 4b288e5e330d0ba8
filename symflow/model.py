"""A model file: run it on a graph of its own, and find what it declares."""

from __future__ import annotations

import ast
import os
import sys
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from symflow.errors import Location, SymflowError
from symflow.graph import Constant, Graph, Placeholder, Tensor, Variable
from symflow.naming import is_identifier
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
    """

    stem: str
    summary: str
    graph: Graph
    bound: Mapping[int, str]
    exports: Mapping[str, Tensor]
    loss: Tensor | None
    training: Training | None

    @property
    def source(self) -> str:
        return f"{self.stem}.py"


def load(path: str | Path) -> Model:
    """Run a model file. What it raises becomes one line that names the model's line."""
    path = Path(path)
    try:
        source = path.read_text(encoding="utf-8")
    except OSError as error:
        raise SymflowError(f"{path}: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise SymflowError(f"{path}: not a text file in UTF-8") from None
    graph = Graph()
    namespace = _run(path, source, graph)
    _check_names(graph)
    bound = {
        id(value): name
        for name, value in reversed(namespace.items())
        if isinstance(value, Tensor) and value.graph is graph and not name.startswith("_")
    }
    if len(graph.training) > 1:
        first, second = graph.training[:2]
        raise SymflowError(
            f"a second minimize; there is one already at {first.location}", second.location
        )
    training = graph.training[0] if graph.training else None
    loss = namespace.get("loss") if training is None else training.loss
    if not isinstance(loss, Tensor) or loss.graph is not graph:
        loss = None
    exports = _exports(namespace, graph, loss, path)
    if not exports and loss is None:
        raise SymflowError(f"{path.name} declares no tensor to compute")
    summary = (ast.get_docstring(ast.parse(source)) or "").partition("\n")[0].strip()
    return Model(path.stem, summary, graph, bound, exports, loss, training)


def _run(path: Path, source: str, graph: Graph) -> dict[str, Any]:
    namespace: dict[str, Any] = {"__name__": path.stem, "__file__": str(path)}
    folder = str(path.resolve().parent)
    sys.path.insert(0, folder)
    try:
        with graph.as_default():
            exec(compile(source, str(path), "exec"), namespace)
    except SymflowError:
        raise
    except SyntaxError as error:
        line = Location(os.path.basename(error.filename or path.name), error.lineno or 1)
        raise SymflowError(f"SyntaxError: {error.msg}", line) from None
    except (Exception, SystemExit) as error:
        raise SymflowError(_told(error), _line(error, path)) from None
    finally:
        sys.path.remove(folder)
    return namespace


def _told(error: BaseException) -> str:
    try:
        text = " ".join(str(error).split())
    except Exception:  # an exception that cannot even say what it is
        text = ""
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _line(error: BaseException, path: Path) -> Location:
    """The last line of the model file itself on the way to the error."""
    frames = traceback.extract_tb(error.__traceback__)
    lines = [frame.lineno for frame in frames if frame.filename == str(path)]
    return Location(path.name, (lines[-1] if lines else 1) or 1)


def _check_names(graph: Graph) -> None:
    """Names that the user gives must be able to stand in Python source, each for one node."""
    given: dict[str, Tensor] = {}
    for node in graph.nodes:
        if node.name is None:
            continue
        if not is_identifier(node.name):
            raise SymflowError(
                f"the name {node.name!r} is no Python identifier, and cannot stand in the module",
                node.location,
            )
        if node.name in given:
            raise SymflowError(
                f"the name {node.name!r} is taken by the node at {given[node.name].location}",
                node.location,
            )
        given[node.name] = node


def _exports(
    namespace: Mapping[str, Any], graph: Graph, loss: Tensor | None, path: Path
) -> dict[str, Tensor]:
    declared = namespace.get("__all__")
    if declared is not None:
        if not isinstance(declared, (list, tuple)):
            raise SymflowError(f"{path.name}: __all__ is no list of names")
        exports: dict[str, Tensor] = {}
        for name in declared:
            value = namespace.get(name)
            if isinstance(value, Training):
                continue
            if not isinstance(value, Tensor) or value.graph is not graph:
                raise SymflowError(f"{path.name}: __all__ names {name!r}, which is no tensor")
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
