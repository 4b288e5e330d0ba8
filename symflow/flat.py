"""A generated module's loss over one flat vector, for optimizers that know only vectors.

    from scipy.optimize import minimize
    from symflow.flat import flat

    problem = flat(module, x=x, y=y)
    result = minimize(problem.fun, problem.x0, jac=problem.jac, method="L-BFGS-B")
    parameters = problem.parameters(result.x)

It needs the module and NumPy; any optimizer of functions of vectors will do.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Sequence
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from symflow.errors import SymflowError

Vector = NDArray[np.float64]
Interval = tuple["float | None", "float | None"]


class Flat:
    """The loss of a module as a function of a vector: all entries of all parameters, in order.

    x0  the vector to start from

    The module computes in the precision of the parameters that it was given; vectors are float64.
    Loss and gradient of the last vector are kept, so that `fun` and `jac` of the same vector are
    one evaluation.
    """

    def __init__(
        self, module: ModuleType, parameters: Any, inputs: dict[str, Any], threads: int
    ) -> None:
        self._module = module
        self._options = _options(module, inputs, threads)
        if len(parameters) != len(module.Parameters._fields):
            fields = ", ".join(module.Parameters._fields)
            raise SymflowError(f"the parameters are: {fields}; got {len(parameters)} arrays")
        self._start = module.Parameters(*map(np.asarray, parameters))
        self._dtype = np.result_type(np.float32, *(one.dtype for one in self._start))
        whole: frozenset[str] = getattr(module, "INTEGERS", frozenset())
        self._inputs = {
            name: np.array(value) if name in whole else np.array(value, self._dtype)
            for name, value in inputs.items()
        }
        self.x0 = self.vector(self._start)
        self._last: tuple[Vector, float, Vector] | None = None

    def fun(self, vector: ArrayLike) -> float:
        """The loss."""
        return self._evaluated(vector)[0]

    def jac(self, vector: ArrayLike) -> Vector:
        """The gradient of the loss, as long as the vector."""
        return self._evaluated(vector)[1].copy()

    def fun_and_jac(self, vector: ArrayLike) -> tuple[float, Vector]:
        """Both, for `minimize(problem.fun_and_jac, problem.x0, jac=True)`."""
        value, gradient = self._evaluated(vector)
        return value, gradient.copy()

    def parameters(self, vector: ArrayLike) -> Any:
        """A vector as the module's `Parameters`, in their own precision."""
        whole = np.asarray(vector)
        if whole.shape != self.x0.shape:
            raise ValueError(f"expected a vector of {self.x0.size} entries, got {whole.shape}")
        parts, start = [], 0
        for like in self._start:
            part = whole[start : start + like.size]
            parts.append(part.reshape(like.shape).astype(self._dtype))
            start += like.size
        return self._module.Parameters(*parts)

    def vector(self, parameters: Any) -> Vector:
        """`Parameters`, or a gradient, as one vector."""
        parts = [np.asarray(one, np.float64).ravel() for one in parameters]
        return np.concatenate(parts)

    def bounds(self, **intervals: tuple[ArrayLike | None, ArrayLike | None]) -> list[Interval]:
        """What `minimize` wants for `bounds`: an interval for every entry of the vector.

        Intervals are given by parameter: `bounds(w=(0, None), b=(-1, 1))`. An end is None where
        there is none, a number, or an array that broadcasts to the parameter. Parameters that are
        not named are free.
        """
        for name in intervals:
            if name not in self._start._fields:
                known = ", ".join(self._start._fields)
                raise SymflowError(f"bounds: no parameter {name!r}; they are: {known}")
        found: list[Interval] = []
        for name, like in self._start._asdict().items():
            low, high = intervals.get(name, (None, None))
            found += zip(_ends(name, low, like), _ends(name, high, like), strict=True)
        return found

    def _evaluated(self, vector: ArrayLike) -> tuple[float, Vector]:
        """Loss and gradient, from what is kept if the vector is the last one."""
        at = np.asarray(vector, np.float64)
        last = self._last
        if last is not None and np.array_equal(last[0], at):
            return last[1], last[2]
        value, gradients = self._module.loss_and_gradients(
            self.parameters(at), **self._inputs, **self._options
        )
        gradient = self.vector(gradients)
        self._last = at.copy(), float(value), gradient  # optimizers change vectors in place
        return float(value), gradient


def flat(
    module: ModuleType, /, *, parameters: Any = None, threads: int = 1, **inputs: ArrayLike
) -> Flat:
    """The loss of a generated module over one flat vector, with the inputs held fast.

    module      with gradients: one whose model has a loss and Variables
    parameters  to start from, a `Parameters` of the module; the model's own initial ones if None
    threads     that work on blocks of rows side by side, where the module has them
    inputs      of the loss, by name

    Raises SymflowError where the module has no gradients, or an input is missing or unknown;
    ValueError where shapes are wrong, as the module itself does.
    """
    if not hasattr(module, "loss_and_gradients"):
        name = getattr(module, "__name__", repr(module))
        raise SymflowError(f"{name}: no generated module with a loss and gradients")
    start = module.initial_parameters() if parameters is None else parameters
    problem = Flat(module, start, dict(inputs), threads)
    problem.fun(problem.x0)  # wrong shapes are told here, and not inside an optimizer
    return problem


def _options(module: ModuleType, inputs: dict[str, Any], threads: int) -> dict[str, Any]:
    """The other arguments of the module's functions; the inputs must be those that they take."""
    taken = inspect.signature(module.loss_and_gradients).parameters
    _, *names = (name for name, one in taken.items() if one.kind is one.POSITIONAL_OR_KEYWORD)
    missing = [name for name in names if name not in inputs]
    unknown = [name for name in inputs if name not in names]
    if missing or unknown:
        wrong = f"{missing[0]} is missing" if missing else f"{unknown[0]} is none of them"
        raise SymflowError(f"the inputs of the loss are: {', '.join(names) or 'none'}; {wrong}")
    return {"threads": threads} if "threads" in taken else {}


def _ends(name: str, end: ArrayLike | None, like: NDArray[Any]) -> Sequence[float | None]:
    """One end of the intervals of a parameter's entries."""
    if end is None:
        return [None] * like.size
    try:
        ends = np.broadcast_to(np.asarray(end, np.float64), like.shape)
    except ValueError:
        raise SymflowError(
            f"bounds: {name} has shape {like.shape}, and an end of its interval {np.shape(end)}"
        ) from None
    return [None if math.isinf(one) else float(one) for one in ends.ravel()]
