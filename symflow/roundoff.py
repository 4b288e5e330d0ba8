"""How much of a generated gradient is rounding: Monte Carlo arithmetic on NumPy arrays.

Every operation that rounds has its result moved up or down at random; sums and products of
matrices have their terms moved, since it is terms that cancel. By how much the gradients then
scatter is how much of them is rounding (Parker, Monte Carlo Arithmetic, UCLA CSD-970002, 1997).

Results move by half of their digits, and the scatter is scaled down to the last one: what goes to
the other side of a kink moves a gradient by as much however little it moves itself, and so counts
for little here. Operations that do not round, such as a maximum or a comparison, are left alone,
so that what ties goes on to tie.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from symflow.subject import Point, Subject

Array = NDArray[Any]

RUNS = 4


def scatter(of: Subject, point: Point) -> list[Array]:
    """By how much each entry of each gradient scatters; what is not finite does not."""
    with np.errstate(all="ignore"):
        gradients = _run(of, point, None)
        still = [np.asarray(one, float) for one in gradients]
        moved = [np.zeros(one.shape) for one in still]
        for run in range(RUNS):
            try:
                gradients = _run(of, point, np.random.default_rng(run))
            except (TypeError, ValueError):  # a function of NumPy that takes no such arrays
                unit = np.finfo(np.asarray(gradients[0]).dtype).eps
                return [unit * np.abs(one) for one in still]
            for most, old, new in zip(moved, still, gradients, strict=True):
                change = np.abs(np.asarray(new, float) - old)
                np.maximum(most, np.where(np.isfinite(change), change, 0.0), out=most)
    scale = _step(np.asarray(gradients[0]).dtype)
    return [one * scale for one in moved]


def _step(dtype: Any) -> float:
    """Half of the digits; its square is a unit in the last place."""
    return float(np.sqrt(np.finfo(dtype).eps))


def _run(of: Subject, point: Point, random: np.random.Generator | None) -> Any:
    inputs = [point.inputs[name] for name in of.inputs]
    parameters = point.parameters
    if random is not None:
        _State.random = random
        inputs = [_jittery(array) for array in inputs]
        parameters = type(parameters)(*map(_jittery, parameters))
    given = dict(zip(of.inputs, inputs, strict=True))
    return of.loss_and_gradients(parameters, given)[1]


class _State:
    random = np.random.default_rng(0)


class Jittered(np.ndarray[Any, np.dtype[Any]]):
    """Floating-point numbers, every operation on which is a little off."""

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **options: Any) -> Any:
        plain = [_plain(value) for value in inputs]
        if ufunc is np.matmul or (method != "__call__" and ufunc is np.add):
            plain = [_moved(value) for value in plain]
        out = options.pop("out", None)
        result = getattr(ufunc, method)(*plain, **options)
        if ufunc.__name__ not in _EXACT:
            result = _moved(result)
        if out is not None:
            _plain(out[0])[...] = result
            return out[0]
        return _jittery(result)

    def __array_function__(self, function: Any, types: Any, arguments: Any, options: Any) -> Any:
        if function in _CONTRACTIONS:
            arguments = [_moved(_plain(value)) for value in arguments]
            return _jittery(function(*arguments, **options))
        return _jittery(super().__array_function__(function, types, arguments, options))


_CONTRACTIONS = (np.einsum, np.vdot, np.dot, np.tensordot, np.inner)
_EXACT = frozenset(
    {
        "absolute",
        "ceil",
        "clip",
        "copysign",
        "fabs",
        "floor",
        "fmax",
        "fmin",
        "maximum",
        "minimum",
        "negative",
        "positive",
        "rint",
        "sign",
        "trunc",
    }
)


def _plain(value: Any) -> Any:
    return value.view(np.ndarray) if isinstance(value, Jittered) else value


def _jittery(value: Any) -> Any:
    if isinstance(value, (np.ndarray, np.floating)) and np.asarray(value).dtype.kind == "f":
        return np.asarray(value).view(Jittered)
    return value


def _moved(value: Any) -> Any:
    """Each entry a little up or down."""
    if not isinstance(value, (np.ndarray, np.floating)) or value.dtype.kind != "f":
        return value
    ways = _State.random.choice((-1.0, 1.0), np.shape(value))
    return np.asarray(value * (1.0 + _step(value.dtype) * ways), value.dtype)
