"""A model or a generated module as training and predicting see it."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from symflow.errors import SymflowError
from symflow.files import compilation
from symflow.fitting.matching import Declared
from symflow.modules import Generated, imported, is_model, parsed
from symflow.shapes import Shape

_OWN = frozenset({"loss", "gradients", "loss_and_gradients", "train", "save_parameters"})
"""What takes parameters, and is no tensor of the model."""


@dataclass(frozen=True)
class Module:
    """A generated module, and the text and the arrays that it was made from."""

    path: Path
    module: ModuleType
    source: Generated

    @cached_property
    def digest(self) -> str:
        """The same for a model as for the module that it compiles to.

        It covers the arrays beside the module, for the text names their file by a hash.
        """
        return hashlib.sha256(self.source.text.encode()).hexdigest()[:16]

    @property
    def files(self) -> dict[str, Path | None]:
        """The files that it was read from, by what they are called in messages."""
        found: dict[str, Path | None] = {f"the module {self.path.name}": self.path}
        return {**found, **{name: self.path.with_name(name) for name in self.source.beside}}

    @property
    def parameters(self) -> tuple[str, ...]:
        fields: tuple[str, ...] = self.module.Parameters._fields
        return fields

    @property
    def integers(self) -> frozenset[str]:
        return frozenset(getattr(self.module, "INTEGERS", ()))

    @property
    def has_parameters(self) -> bool:
        """Whether parameters are given to it; of a module with values put in, they are not."""
        return hasattr(self.module, "Parameters")

    @property
    def functions(self) -> tuple[str, ...]:
        """The tensors that the module computes: its functions of inputs, and of parameters."""
        known = ["parameters", *getattr(self.module, "INPUTS", ())]
        found: list[str] = []
        for name, value in vars(self.module).items():
            own = inspect.isfunction(value) and value.__module__ == self.module.__name__
            if own and not name.startswith("_") and name not in _OWN:
                taken = list(inspect.signature(value).parameters)
                right = taken[:1] == ["parameters"] if self.has_parameters else bool(taken)
                if right and all(one in known for one in taken):
                    found.append(name)
        return tuple(found)

    def inputs(self, function: str) -> dict[str, Declared]:
        """The inputs of a function, and their shapes."""
        declared: Mapping[str, Declared] = getattr(self.module, "INPUTS", {})
        taken = inspect.signature(getattr(self.module, function)).parameters
        return {name: shape for name, shape in declared.items() if name in taken}

    def takes(self, option: str) -> bool:
        """Whether `train` takes an argument of that name."""
        return option in inspect.signature(self.module.train).parameters

    def default(self, option: str) -> Any:
        """What `train` does where it is not told."""
        return inspect.signature(self.module.train).parameters[option].default

    def loaded(self, path: Path) -> Any:
        """Parameters from a file. Raises SymflowError where they are not this module's."""
        try:
            return self.module.load_parameters(path)
        except OSError as error:
            told = f"{path}: {error.strerror}" if error.strerror else str(error)
            raise SymflowError(told) from None
        except ValueError as error:
            raise SymflowError(str(error)) from None


def opened(path: Path, shapes: Mapping[str, Shape]) -> Module:
    """A generated module, or a model compiled in memory."""
    if is_model(parsed(path)):
        made = Generated.compiled(compilation(path, shapes))
        return Module(path, made.module, made)
    if shapes:
        raise SymflowError("--shape is for models; the shapes of a module are fixed")
    module = imported(path)
    if not hasattr(module, "Parameters") and not hasattr(module, "INPUTS"):
        raise SymflowError(f"{path}: neither a model nor a module that symflow has generated")
    return Module(path, module, Generated.read(path))


def trainable(path: Path, shapes: Mapping[str, Shape]) -> Module:
    """The same, and sure to have `train`."""
    found = opened(path, shapes)
    if not hasattr(found.module, "train"):
        raise SymflowError(
            f"{path}: no training: the model says nothing of how its loss is made small; "
            "hint: sf.train.GradientDescentOptimizer(0.1).minimize(loss)"
        )
    if not hasattr(found.module, "TrainingState"):
        raise SymflowError(
            f"{path}: a module of an earlier symflow, whose training cannot go on where it ended; "
            "hint: compile the model again"
        )
    return found


# --- rows ----------------------------------------------------------------------------------------


def row_axes(inputs: Mapping[str, Declared]) -> dict[str, int]:
    """Along which axis each input has its rows; empty where there are no rows.

    The rows are what the open size counts that most inputs have: of (t, n, 8) and (n,), n.
    """
    open_sizes = [size for shape in inputs.values() for size in shape if isinstance(size, str)]
    counts = {
        size: sum(size in shape for shape in inputs.values()) for size in dict.fromkeys(open_sizes)
    }
    if not counts:
        return {}
    rows = max(counts, key=lambda size: counts[size])  # the first of them
    if any(shape.count(rows) > 1 for shape in inputs.values()):
        return {}
    return {name: shape.index(rows) for name, shape in inputs.items() if rows in shape}


def row_count(data: Mapping[str, NDArray[Any]], axes: Mapping[str, int]) -> int | None:
    """How many rows there are."""
    return next((data[name].shape[axis] for name, axis in axes.items()), None)


def chosen(
    data: Mapping[str, NDArray[Any]], axes: Mapping[str, int], rows: NDArray[Any]
) -> dict[str, NDArray[Any]]:
    """Some rows of the data; what has no rows as it is."""
    return {
        name: np.take(array, rows, axes[name]) if name in axes else array
        for name, array in data.items()
    }
