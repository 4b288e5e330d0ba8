"""What an estimator is given as its model, as a generated module."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from symflow.compilation import Compilation
from symflow.errors import Location, SymflowError
from symflow.files import compilation
from symflow.graph import Graph, Tensor
from symflow.model import Model, declared
from symflow.modules import Generated, is_model, parsed
from symflow.source import is_identifier


def generated(
    of: Any, output: str, options: Mapping[str, Any] | None, sizes: Mapping[str, int]
) -> Generated:
    """The module of a model.

    output   what a factory's result is called in the module
    options  further arguments of a factory
    sizes    of the data; a factory is given those that it has arguments for
    """
    if not is_factory(of):
        if options:
            raise SymflowError("options are for a factory; the model is a module or a file")
        return _module(of)
    wanted = accepted(of, sizes)
    graph = Graph()
    with graph.as_default():
        result = of(**wanted, **(options or {}))
    return Generated.compiled(Compilation(_model(of, output, graph, result)))


def is_factory(of: Any) -> bool:
    """Whether a model is a function that builds a graph."""
    return callable(of) and not isinstance(of, (ModuleType, Generated))


def _module(of: Any) -> Generated:
    if isinstance(of, Generated):
        return of
    if isinstance(of, ModuleType):
        file = getattr(of, "__file__", None)
        if file is None or not hasattr(of, "initial_parameters"):
            raise SymflowError(f"{of.__name__} is no generated module with a loss")
        return Generated.read(Path(file), of.__name__)
    if isinstance(of, (str, os.PathLike)):
        path = Path(of)
        if is_model(parsed(path)):
            return Generated.compiled(compilation(path, {}))
        return Generated.read(path)
    raise SymflowError(
        f"model: expected a generated module, a path or a function that builds a graph, got {of!r}"
    )


def accepted(factory: Callable[..., Any], sizes: Mapping[str, int]) -> dict[str, int]:
    """The sizes that a factory has arguments for."""
    try:
        parameters = inspect.signature(factory).parameters
    except (TypeError, ValueError):
        raise SymflowError(f"model: {factory!r} does not say what arguments it takes") from None
    if any(one.kind is one.VAR_KEYWORD for one in parameters.values()):
        return dict(sizes)
    return {name: size for name, size in sizes.items() if name in parameters}


def _model(factory: Callable[..., Any], output: str, graph: Graph, result: Any) -> Model:
    """What a factory has built, as a model file would declare it."""
    name, line = _called(factory), _location(factory)
    if not isinstance(result, Tensor) or result.graph is not graph:
        raise SymflowError(
            f"{name} returns {type(result).__name__}, no tensor", line, hint=f"return the {output}"
        )
    if not graph.training:
        raise SymflowError(
            f"{name} minimizes nothing",
            line,
            hint="sf.train.GradientDescentOptimizer(0.1).minimize(loss)",
        )
    names = {output: result, "__all__": [output]}
    return declared(name, inspect.getdoc(factory), names, graph)


def _called(factory: Callable[..., Any]) -> str:
    """A name for the module: that of the function, if a module can have it."""
    name = getattr(inspect.unwrap(getattr(factory, "func", factory)), "__name__", "")
    return name if is_identifier(name) else "model"


def _location(factory: Callable[..., Any]) -> Location | None:
    code = getattr(getattr(factory, "func", factory), "__code__", None)
    if code is None:
        return None
    path = code.co_filename
    return Location(os.path.basename(path), code.co_firstlineno, path)
