"""What to write in place of what symflow does not have.

Names of TensorFlow 2, NumPy and PyTorch that people try first have an answer of their own; of
other names the nearest is told.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable
from typing import Any

from symflow.errors import SymflowError, calling_location

_GRADIENTS = "gradients are sf.gradients(loss, [w]), or come with minimize(loss)"
_FUNCTION = "no decorator is needed: `symflow compile` makes functions of the model's tensors"
_LAYERS = "build layers from Variables: h = sf.tanh(sf.matmul(x, w) + b)"
_OPTIMIZER = "optimizers are in sf.train: sf.train.AdamOptimizer(0.001).minimize(loss)"
_RUN = "its value comes from a session: sf.Session().run(t, feed_dict={x: data})"
_ASSIGN = "Variables change by training: sf.train.GradientDescentOptimizer(0.1).minimize(loss)"
_DATA = "feed arrays: sess.run(loss, feed_dict={x: data}), or train(parameters, x) in the module"

MODULE: dict[str, str] = {
    "GradientTape": _GRADIENTS,
    "Module": _LAYERS,
    "Parameter": "sf.Variable(initial_value)",
    "autograd": _GRADIENTS,
    "concatenate": "sf.concat",
    "convert_to_tensor": "sf.constant",
    "data": _DATA,
    "function": _FUNCTION,
    "get_variable": "sf.Variable(initial_value, name=...)",
    "grad": _GRADIENTS,
    "initializers": "initializers are sf.zeros, sf.random_normal, sf.glorot_uniform, ...",
    "keras": f"{_LAYERS}; optimizers are in sf.train, losses in sf.losses",
    "layers": _LAYERS,
    "math": "mathematical functions are in symflow itself, as sf.exp",
    "mean": "sf.reduce_mean",
    "optim": _OPTIMIZER,
    "optimizers": _OPTIMIZER,
    "random": "initial values are sf.random_normal(shape), sf.random_uniform(shape), ...",
    "sum": "sf.reduce_sum",
    "tensor": "sf.constant",
    "max": "sf.reduce_max over axes, sf.maximum of two tensors",
    "min": "sf.reduce_min over axes, sf.minimum of two tensors",
}
"""Of `sf` itself and its submodules."""

TENSOR: dict[str, str] = {
    "T": "sf.transpose(t)",
    "assign": _ASSIGN,
    "assign_add": _ASSIGN,
    "assign_sub": _ASSIGN,
    "astype": "sf.cast(t, sf.float32)",
    "backward": _GRADIENTS,
    "cpu": _RUN,
    "detach": "sf.stop_gradient(t)",
    "dim": "len(t.shape)",
    "eval": _RUN,
    "grad": _GRADIENTS,
    "item": _RUN,
    "ndim": "len(t.shape)",
    "numpy": _RUN,
    "read_value": "a Variable is its own value: use it as it is",
    "size": "t.shape has the sizes, and math.prod(t.shape) is their number",
    "to": "sf.cast(t, sf.float32)",
    "tolist": _RUN,
    "value": "a tensor is its own value: use it as it is",
    "view": "sf.reshape(t, shape)",
}
"""Of tensors and Variables."""


class UnknownNameError(SymflowError, AttributeError):
    """A name that is not there; an AttributeError too, so that `hasattr` and `getattr` work."""


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name that is most like another one."""
    names = sorted(known)
    folded = {one.lower(): one for one in reversed(names)}
    found = difflib.get_close_matches(name.lower(), folded, 1, 0.6)
    return folded[found[0]] if found else None


def unknown(holder: str, known: Iterable[str]) -> Callable[[str], Any]:
    """The `__getattr__` of a module that a user calls `holder`, with these names."""
    names = sorted(known)

    def missing(name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        hint = MODULE.get(name)
        near = nearest(name, names)
        if hint is None and near is not None:
            hint = f"did you mean {holder}.{near}?"
        raise UnknownNameError(f"{holder} has no {name!r}", calling_location(), hint=hint)

    return missing


def unknown_of_tensor(what: str, name: str, functions: Iterable[str]) -> UnknownNameError:
    """Why a tensor has no such attribute or method."""
    known = set(functions)
    hint = TENSOR.get(name)
    if hint is None:
        for function in (name, f"reduce_{name}"):
            if function in known:
                hint = f"it is a function: sf.{function}(t)"
                break
    near = nearest(name, ("shape", "get_shape", "name", "graph"))
    if hint is None and near is not None:
        hint = f"did you mean .{near}?"
    return UnknownNameError(f"{what} has no .{name}", calling_location(), hint=hint)
