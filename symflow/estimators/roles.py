"""Which input of a module takes X, which one takes y, and which function predicts."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from symflow.errors import SymflowError

Array = NDArray[Any]


@dataclass(frozen=True)
class Roles:
    """Names of a module's inputs and of the function that predicts.

    features  the inputs that take the columns of X, in order
    target    the input that takes y
    output    the function that predicts
    """

    features: tuple[str, ...]
    target: str
    output: str


def roles(
    module: ModuleType,
    features: str | Sequence[str] | None,
    target: str | None,
    output: str | None,
    usual: str,
) -> Roles:
    """The roles of a module's inputs; those that are None follow from the module.

    X is what the function that predicts reads, y is what else the loss reads. The function is
    the one called `usual`, or the only one that leaves an input of the loss to y.
    """
    if not hasattr(module, "loss_and_gradients"):
        raise SymflowError(f"{module.__name__} is no generated module with a loss to make small")
    inputs = _inputs(module.loss)
    given = (features,) if isinstance(features, str) else features
    for name in (*(given or ()), *((target,) if target else ())):
        if name not in inputs:
            raise SymflowError(f"the inputs of the loss are {_listed(inputs)}; {name!r} is none")
    output = output or _predicting(module, inputs, target, usual)
    readers = _functions(module)
    if output not in readers:
        raise SymflowError(f"output: {output!r} is none of {_listed(readers)}")
    read = readers[output]
    features = tuple(given or read)
    rest = [name for name in inputs if name not in features]
    target = target or (rest[0] if len(rest) == 1 else None)
    if set(read) - set(features) or target is None or sorted((*features, target)) != sorted(inputs):
        raise SymflowError(
            f"{output} reads {_listed(read)}, the loss {_listed(inputs)}: "
            "an estimator needs X for the one, and X and a single y for the other"
        )
    first = {name: (*module.INPUTS[name], 1)[0] for name in (target, *features)}
    if not isinstance(first[target], str) or len(set(first.values())) > 1:
        shapes = "; ".join(f"{name} has shape {module.INPUTS[name]}" for name in inputs)
        raise SymflowError(f"the rows come first, in any number, in X and in y; but {shapes}")
    return Roles(features, target, output)


def _predicting(module: ModuleType, inputs: Sequence[str], target: str | None, usual: str) -> str:
    readers = _functions(module)
    fitting = [
        name
        for name, read in readers.items()
        if read and set(read) < set(inputs) and target not in read
    ]
    if usual in fitting:
        return usual
    if len(fitting) == 1:
        return fitting[0]
    reading = "; ".join(f"{name} reads {_listed(readers[name])}" for name in (fitting or readers))
    raise SymflowError(
        f"{module.__name__}: which function predicts? The loss reads {_listed(inputs)}; "
        f"{reading or 'there is no other function'}",
        hint=f"call the one that reads X and not y {usual}, or give output=",
    )


def _functions(module: ModuleType) -> dict[str, tuple[str, ...]]:
    """The functions made of the model's tensors, and the inputs that each reads."""
    return {
        name: _inputs(function)
        for name, function in vars(module).items()
        if inspect.isfunction(function)
        and not name.startswith("_")
        and inspect.signature(function).return_annotation == "Array"
    }


def _inputs(function: Callable[..., Any]) -> tuple[str, ...]:
    return tuple(
        name
        for name, one in inspect.signature(function).parameters.items()
        if one.kind is one.POSITIONAL_OR_KEYWORD and name != "parameters"
    )


def _listed(names: Sequence[str] | dict[str, Any]) -> str:
    return ", ".join(names) or "nothing"


# --- arrays --------------------------------------------------------------------------------------


def columns(module: ModuleType, name: str) -> int | None:
    """How many columns an input takes: 1 for a vector, None where that is open."""
    rest = module.INPUTS[name][1:]
    return None if any(isinstance(size, str) for size in rest) else math.prod(rest)


def spread(module: ModuleType, names: Sequence[str], table: Array) -> dict[str, Array]:
    """The columns of a table (n, k) as inputs by name, in order, in the shapes of the inputs."""
    wanted = [columns(module, name) for name in names]
    known = sum(one for one in wanted if one is not None)
    open_ones = wanted.count(None)
    if open_ones > 1:
        raise SymflowError(f"{_listed(names)}: only one input may take any number of columns")
    left = table.shape[1] - known
    if left < open_ones or (left and not open_ones):
        more = "at least " if open_ones else ""
        raise ValueError(
            f"{_listed(names)}: expected {more}{known + open_ones} columns, got {table.shape[1]}"
        )
    found: dict[str, Array] = {}
    start = 0
    for name, count in zip(names, wanted, strict=True):
        end = start + (left if count is None else count)
        part, start = table[:, start:end], end
        shape = module.INPUTS[name]
        if count is not None:
            part = part.reshape(len(table), *shape[1:])
        found[name] = whole(name, part) if name in getattr(module, "INTEGERS", ()) else part
    return found


def whole(name: str, values: Array) -> Array:
    """Values as whole numbers; ValueError where they are none."""
    rounded = np.rint(values).astype(np.int64)
    if not np.array_equal(rounded, values):
        raise ValueError(f"{name}: expected whole numbers")
    return rounded
