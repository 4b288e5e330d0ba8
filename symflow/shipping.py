"""What a module is compiled for beside training: which functions, with which parameters.

A file of parameters is what `save_parameters` of a module writes, or any .npz with an array for
each Variable, by name.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from symflow.errors import SymflowError
from symflow.graph import Constant, Placeholder, Variable
from symflow.guidance import nearest
from symflow.model import Model
from symflow.reading import Archive


@dataclass(frozen=True)
class Values:
    """Arrays of parameters, by name, and the name of the file that they come from."""

    file: str
    arrays: Mapping[str, NDArray[Any]]

    @property
    def dtype(self) -> str:
        """The precision that all of them have in common: "float32" or "float64"."""
        kinds = [array.dtype for array in self.arrays.values() if array.dtype.kind == "f"]
        return np.dtype(np.result_type(np.float32, *kinds)).name

    def of(self, name: str, shape: tuple[int, ...]) -> NDArray[Any]:
        """The array of a Variable, which must be there, of its shape and finite."""
        if name not in self.arrays:
            held = ", ".join(self.arrays) or "nothing"
            raise SymflowError(f"{self.file} holds no {name}; it holds: {held}")
        array = self.arrays[name]
        if array.dtype.kind not in "biuf":
            raise SymflowError(f"{self.file}: {name} is no array of real numbers: {array.dtype}")
        if array.shape != shape:
            raise SymflowError(f"{self.file}: {name} is {array.shape}, but {shape} in the model")
        if not np.all(np.isfinite(array)):
            raise SymflowError(f"{self.file}: {name} is not finite")
        return array


@dataclass(frozen=True)
class Shipping:
    """The choices of one run of the compiler beyond the model itself.

    only        names of tensors; the module computes these, and holds nothing else
    parameters  values to put into the module
    selftest    whether the module can test itself
    trace_nan   whether the module says where what is not finite began
    """

    only: tuple[str, ...] = ()
    parameters: Values | None = None
    selftest: bool = False
    trace_nan: bool = False


def read_values(path: Path) -> Values:
    """The arrays of an .npz file; raises SymflowError where it is none."""
    archive = Archive(path)
    kept = [name for name in archive.names if not name.startswith("training/")]
    return Values(path.name, {name: archive.numbers(name) for name in kept})


def only(model: Model, names: Sequence[str]) -> Model:
    """The model of some tensors alone: any that the model file names, exported or not."""
    if not names:
        return model
    known = dict(model.exports)
    for node in model.graph.nodes:
        name = node.name or model.bound.get(id(node))
        if name is not None and not isinstance(node, (Placeholder, Variable, Constant)):
            known.setdefault(name, node)
    for name in names:
        if name not in known:
            told = f"--only {name}: {model.source} has no such tensor to compute"
            near = nearest(name, known)
            hint = f"did you mean {near}?" if near else f"it has {', '.join(known) or 'none'}"
            raise SymflowError(told, hint=hint)
    exports = {name: known[name] for name in names}
    return replace(model, exports=exports, loss=None, training=None)
