"""What the functions of a module give, by the names of the outputs of its program."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from symflow.compilation import Compilation

Array = NDArray[Any]

NO_NUMBER = (np.linalg.LinAlgError, ArithmeticError)
"""What functions of a module raise where there is no number, as for singular matrices."""


@dataclass(frozen=True)
class Result:
    """An array that a function of a module gave.

    output    the output of the program that it is: "loss", "d_w", ...
    function  of the module
    array     what of the function's result it is, "" where that is one array
    """

    output: str
    function: str
    array: str
    value: Array


class Functions:
    """The functions of a module that compute, one call each at a point."""

    def __init__(self, compilation: Compilation, module: ModuleType) -> None:
        self.module = module
        self.names = [*compilation.model.exports]
        self.trained = [compilation.name(node) for node in compilation.trainable]
        if compilation.model.loss is not None:
            self.names += ["loss", "gradients", "loss_and_gradients"]
        self.names = [name for name in self.names if hasattr(module, name)]  # `contract` misses it

    def results(
        self, inputs: Mapping[str, Array], dtype: Any = np.float64
    ) -> Iterator[tuple[str, list[Result] | Exception]]:
        """Each function's name and what it gives, or why it gives nothing."""
        for name in self.names:
            try:
                with np.errstate(all="ignore"):
                    found = self._call(name, inputs, dtype)
            except Exception as error:  # of a module that may be any
                yield name, error
                continue
            yield name, list(self._parts(name, found))

    def _call(self, name: str, inputs: Mapping[str, Array], dtype: Any) -> Any:
        function = getattr(self.module, name)
        given: dict[str, Any] = {}
        for one in inspect.signature(function).parameters:
            if one == "parameters":
                values = (np.array(inputs[name], dtype) for name in self.trained)
                given[one] = self.module.Parameters(*values)
            elif one in inputs:
                value = np.asarray(inputs[one])
                given[one] = np.array(value, dtype if value.dtype.kind == "f" else value.dtype)
        return function(**given)

    def _parts(self, name: str, found: Any) -> Iterator[Result]:
        if name == "loss_and_gradients":
            loss, found = found
            yield Result("loss", name, "loss", np.asarray(loss))
        elif name != "gradients":
            yield Result(name, name, "", np.asarray(found))
            return
        for parameter, value in zip(self.trained, found, strict=True):
            yield Result(f"d_{parameter}", name, parameter, np.asarray(value))

    def outputs(self, name: str) -> list[str]:
        """The outputs of the program that a function gives."""
        if name not in ("gradients", "loss_and_gradients"):
            return [name]
        derivatives = [f"d_{one}" for one in self.trained]
        return derivatives if name == "gradients" else ["loss", *derivatives]
