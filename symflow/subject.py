"""What a gradient check is about: a module with gradients, and a point to test it at."""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from symflow.arithmetic import undistributed
from symflow.compilation import Compilation
from symflow.derivatives import dependencies
from symflow.errors import SymflowError
from symflow.files import compilation
from symflow.functional import functional
from symflow.graph import Tensor
from symflow.heads import head_of
from symflow.invocation import Invocation
from symflow.model import Model
from symflow.modules import Generated, graph_of, imported, is_model, made_by, parsed
from symflow.reading import all_numbers, text_of
from symflow.shapes import Shape
from symflow.train import GradientDescentOptimizer, Training

Array = NDArray[Any]


@dataclass(frozen=True)
class Subject:
    """A generated module, and the run of the compiler that made it where that is known.

    name        what it is called in messages
    source      the module's text
    tree        the module as Python reads it, functions without places (`functional.py`)
    functional  the module with those functions
    """

    name: str
    module: ModuleType
    source: str
    compilation: Compilation | None = None
    tree: ast.Module = field(default_factory=lambda: ast.Module([], []))
    functional: ModuleType | None = None

    @property
    def pure(self) -> ModuleType:
        """The module with functions that take any kind of number."""
        return self.module if self.functional is None else self.functional

    @property
    def parameters(self) -> tuple[str, ...]:
        fields: tuple[str, ...] = self.module.Parameters._fields
        return fields

    @property
    def inputs(self) -> Mapping[str, tuple[int | str, ...]]:
        """The inputs of the gradients, and their shapes."""
        code = self.module.gradients.__code__
        taken = code.co_varnames[: code.co_argcount]
        declared: Mapping[str, tuple[int | str, ...]] = getattr(self.module, "INPUTS", {})
        return {name: shape for name, shape in declared.items() if name in taken}

    def loss(self, parameters: Sequence[Any], inputs: Mapping[str, Any]) -> Any:
        """The loss, of any kind of number: arguments are not checked, nor the result converted."""
        return _number(self._called(self.pure._loss, self.module.Parameters(*parameters), inputs))

    def loss_and_gradients(self, parameters: Any, inputs: Mapping[str, Any]) -> Any:
        """The loss and its gradient, of any kind of number."""
        loss, gradients = self._called(self.pure._loss_and_gradients, parameters, inputs)
        return _number(loss), gradients

    def given(self, inputs: Mapping[str, Any]) -> Mapping[str, Any]:
        """What the functions that compute are given by name beside the parameters.

        Those of a module on floats are given the functions of numbers: here NumPy's, which take
        numbers of any kind.
        """
        functions = getattr(self.module, "_NUMPY", None)
        return inputs if functions is None else {**inputs, "maths": functions}

    def _called(self, function: Any, parameters: Any, inputs: Mapping[str, Any]) -> Any:
        names = function.__code__.co_varnames[1 : function.__code__.co_argcount]
        given = self.given(inputs)
        return function(parameters, *(given[name] for name in names))


def _number(loss: Any) -> Any:
    """A loss without axes; a module on floats gives it those of its parameters, all of size 1."""
    return loss.reshape(()) if getattr(loss, "ndim", 0) else loss


@undistributed
def subject(
    of: Path | str | ModuleType | Tensor | Compilation, shapes: Mapping[str, Shape] | None = None
) -> Subject:
    """A model file, a generated module or its file, a model imported, the loss of a graph, or a
    run of the compiler.
    """
    run = compilation_of(of, shapes)
    if run is not None:
        return _compiled(called(of), run)
    if isinstance(of, ModuleType) and hasattr(of, "initial_parameters"):
        return _with_gradients(Subject(of.__name__, of, text_of(_file(of))))
    assert isinstance(of, (Path, str, ModuleType))
    path = _file(of)
    return _with_gradients(Subject(str(path), imported(path), text_of(path)))


def compilation_of(
    of: Path | str | ModuleType | Tensor | Compilation,
    shapes: Mapping[str, Shape] | None = None,
    said: Invocation | None = None,
    parameters: Path | None = None,
) -> Compilation | None:
    """The run of the compiler on a model; None where it is a generated module.

    said        how it is compiled
    parameters  the file of values that is meant by it
    """
    if isinstance(of, Compilation):
        return of
    said = said or Invocation("")
    shapes = {**said.shapes, **(shapes or {})}
    rest = said.dtype, said.without, said.style, said.ships(parameters)
    if isinstance(of, Tensor):
        return Compilation(_model(of), shapes, *rest)
    path = _file(of)
    if is_model(parsed(path)):
        return compilation(path, shapes, *rest)
    if shapes:
        raise SymflowError("--shape is for models; the shapes of a module are fixed")
    return None


@undistributed
def compiled_as(
    of: Path | str | ModuleType | Tensor,
    module: Path | ModuleType,
    shapes: Mapping[str, Shape] | None = None,
    parameters: Path | None = None,
) -> Compilation | None:
    """The run of the compiler on a model by the command that a module says it was made by.

    parameters  the file of values where that is part of the command; if None, one of that name
                beside the module, beside the model or in the working directory
    """
    head, said = made_by(module)
    if not said.parameters:
        if parameters is not None:
            raise SymflowError(f"{called(module)}: was compiled without --parameters")
        return compilation_of(of, shapes, said)
    folders = [_folder(module), _folder(of), Path()]
    files = [parameters] if parameters is not None else _files(said.parameters, folders)
    if not files:
        told = f"{called(module)}: was compiled with --parameters {said.parameters}, which is"
        told += " neither beside it nor beside the model"
        raise SymflowError(told, hint="--parameters FILE says where it is")
    runs = [compilation_of(of, shapes, said, file) for file in files]
    if len(runs) == 1:
        return runs[0]
    return next((run for run in runs if run and graph_of(run) == head.graph), runs[0])


def _folder(of: Path | str | ModuleType | Tensor) -> Path:
    return Path() if isinstance(of, Tensor) else _file(of).parent


def _files(name: str, folders: Sequence[Path]) -> list[Path]:
    """The files of that name, those that differ."""
    found: dict[bytes, Path] = {}
    for path in (folder / name for folder in folders):
        if path.is_file():
            found.setdefault(path.read_bytes(), path)
    return [*found.values()]


def called(of: Path | str | ModuleType | Tensor | Compilation) -> str:
    """What a subject is called in messages."""
    if isinstance(of, Compilation):
        return of.model.source
    return "the graph" if isinstance(of, Tensor) else str(_file(of))


def _file(of: Path | str | ModuleType) -> Path:
    """The file of a module, or the one that is named."""
    if not isinstance(of, ModuleType):
        return Path(of)
    file = getattr(of, "__file__", None)
    if file is None:
        raise SymflowError(f"{of.__name__}: a module without gradients and without a file")
    return Path(file)


def _model(loss: Tensor) -> Model:
    """A graph as a model: its Variables that the loss depends on are to be trained."""
    reached = dependencies(loss)
    variables = tuple(one for one in loss.graph.trainable_variables if one in reached)
    if not variables:
        raise SymflowError("the loss depends on no Variable", loss.location)
    training = Training(GradientDescentOptimizer(1.0), loss, variables, None, None)
    return Model("graph", "", loss.graph, {}, {}, loss, training, variables)


def _compiled(name: str, run: Compilation) -> Subject:
    source = Generated.compiled(run)
    return _with_gradients(Subject(name, source.module, source.text, run))


def _with_gradients(found: Subject) -> Subject:
    needed = ("gradients", "loss", "initial_parameters")
    missing = [name for name in needed if not hasattr(found.module, name)]
    if missing and head_of(found.module.__doc__) is None:
        told = f"{found.name}: neither a model nor a generated module"
        raise SymflowError(told, hint="a model is a Python file that imports symflow")
    if missing:
        told = f"{found.name}: a module without gradients: no {', '.join(missing)}"
        raise SymflowError(told, hint="symflow check MODEL MODULE compares its functions")
    module, tree = functional(found.module, ast.parse(found.source))
    return replace(found, functional=module, tree=tree)


# --- points --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Point:
    """Where gradients are tested: a module's `Parameters`, and its inputs by name."""

    parameters: Any
    inputs: Mapping[str, Array]

    def moved(self, number: int, value: Array) -> list[Array]:
        """The parameters with one of them replaced."""
        return [value if at == number else one for at, one in enumerate(self.parameters)]


_DRAWS: Sequence[Callable[[np.random.Generator, tuple[int, ...]], Array]] = (
    lambda random, shape: random.standard_normal(shape),
    lambda random, shape: random.uniform(0.1, 0.9, shape),
    lambda random, shape: random.uniform(1.1, 2.9, shape),
)
"""Where inputs are drawn from, until the loss and its gradient are finite."""


@undistributed
def points(of: Subject, at: Mapping[str, Any] | Path | str | None, seed: int) -> list[Point]:
    """Points to try, best first. What `at` does not give is drawn.

    Of open sizes that nothing given has, each is another small number.
    """
    given = values_at(at, of.name, [*of.parameters, *getattr(of.module, "INPUTS", ())])
    random = np.random.default_rng(seed)
    sizes = _sizes(of, given)
    found: list[Point] = []
    for draw in _DRAWS:
        start = of.module.initial_parameters(dtype=np.float64)
        parameters = (
            np.asarray(given[name], float)
            if name in given
            else np.asarray(value + 0.1 * draw(random, np.shape(value)), float)
            for name, value in zip(of.parameters, start, strict=True)
        )
        values = type(start)(*parameters)
        inputs: dict[str, Array] = {}
        for name, shape in of.inputs.items():
            whole = name in getattr(of.module, "INTEGERS", ())
            lengths = tuple(sizes[size] if isinstance(size, str) else size for size in shape)
            if name in given:
                inputs[name] = np.asarray(given[name]) if whole else np.asarray(given[name], float)
            elif whole:
                inputs[name] = random.integers(0, 2, lengths)
            else:
                inputs[name] = np.asarray(draw(random, lengths), float)
        found.append(Point(values, inputs))
        if all(name in given for name in (*of.parameters, *of.inputs)):
            break
    try:
        with np.errstate(all="ignore"):
            of.module.loss(found[0].parameters, **found[0].inputs)
    except np.linalg.LinAlgError:
        pass  # `found[0]` has a singular matrix, or one that is not positive definite
    except (TypeError, ValueError) as error:  # the module's own check of shapes
        raise SymflowError(f"{of.name}: {error}") from None
    return found


def values_at(
    at: Mapping[str, Any] | Path | str | None, called: str, known: Sequence[str]
) -> Mapping[str, Any]:
    """The values of a point by name, from a mapping or an .npz file; an error for other names."""
    if at is None:
        return {}
    if not isinstance(at, Mapping):
        at = all_numbers(Path(at))
    unknown = [name for name in at if name not in known]
    if unknown:
        raise SymflowError(
            f"{called} has no {unknown[0]!r}; a point has values of: {', '.join(known)}"
        )
    return at


def _sizes(of: Subject, given: Mapping[str, Any]) -> dict[str, int]:
    """The open sizes: those of the arrays given, small numbers for the rest."""
    sizes: dict[str, int] = {}
    for name, shape in of.inputs.items():
        if name in given and len(shape) == np.ndim(given[name]):
            for size, length in zip(shape, np.shape(given[name]), strict=True):
                if isinstance(size, str):
                    sizes.setdefault(size, length)
    for shape in getattr(of.module, "INPUTS", {}).values():
        for size in shape:
            if isinstance(size, str):
                sizes.setdefault(size, 5 + 2 * len(sizes))
    return sizes
