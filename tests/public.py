"""All that a generated module can be asked, and what it hands out."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

AROUND = ("initial_parameters", "train", "save_parameters", "load_parameters", "selftest")
"""The public functions of a module that compute no tensor."""


def functions(module: ModuleType) -> dict[str, Any]:
    """The functions that compute tensors, the loss and its gradient, by name."""
    return {
        name: one
        for name, one in vars(module).items()
        if inspect.isfunction(one)
        and one.__module__ == module.__name__
        and not name.startswith("_")
        and name not in AROUND
    }


def called(function: Any, p: Any, inputs: Mapping[str, Any], **how: Any) -> Any:
    """A function of a module, given what it takes of parameters and inputs."""
    taken = inspect.signature(function).parameters
    first = [p] if "parameters" in taken else []
    given = {name: value for name, value in inputs.items() if name in taken}
    with np.errstate(all="ignore"):
        return function(*first, **given, **{k: v for k, v in how.items() if k in taken})


def everything(module: ModuleType, p: Any, inputs: Mapping[str, Any], folder: Path) -> Any:
    """What each public function returns, by name; `train` for no step, and for two."""
    found = {name: called(one, p, inputs) for name, one in functions(module).items()}
    if p is None:
        return found
    found["initial_parameters"] = module.initial_parameters(dtype=p[0].dtype)
    module.save_parameters(folder / "saved.npz", p)
    found["load_parameters"] = module.load_parameters(folder / "saved.npz")
    if hasattr(module, "train"):
        for steps in (0, 2):
            found[f"train {steps}"] = trained(module, p, inputs, steps=steps)
        state = found["train 2"].state if not isinstance(found["train 2"], str) else None
        found["train on"] = trained(module, p, inputs, steps=0, state=state)
    return found


def trained(module: ModuleType, p: Any, inputs: Mapping[str, Any], **how: Any) -> Any:
    """The result of `train`, or what it complained of."""
    try:
        return called(module.train, p, inputs, **how)
    except FloatingPointError as error:
        return str(error)


def arrays(found: Any) -> Iterator[np.ndarray[Any, Any]]:
    """The arrays in a result, wherever in it."""
    if isinstance(found, np.ndarray):
        yield found
    elif isinstance(found, dict):
        for one in found.values():
            yield from arrays(one)
    elif isinstance(found, (list, tuple)):
        for one in found:
            yield from arrays(one)
    elif type(found).__name__ == "_Workspace":
        yield from arrays(vars(found))
