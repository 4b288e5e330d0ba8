"""Numeric derivatives of a function in double precision, and how far each can be trusted.

The complex step, Im f(x + ih) / h with a tiny h (Squire and Trapp, SIAM Review 40, 1998), is
exact to rounding where the function is analytic around the point. NumPy's kinked functions (abs,
maximum, comparisons) are continued from the side on which the point lies, and it is watched how
near a kink it is. Where it lies on one, or a function takes no complex numbers, differences are
extrapolated (Ridders, Advances in Engineering Software 4, 1982): from both sides apart, and where
the two agree, across the point.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from symflow.continuation import ANALYTIC, CONTINUED

STEP = 1e-30
"""Of the complex step, relative to small numbers; its square must vanish beside the number."""

NEAR = 1e-7
"""Distance from a kink, relative to the numbers compared, at which a point counts as on it."""

Array = NDArray[Any]


@dataclass(frozen=True)
class Slope:
    """A derivative, or the interval between those from below and from above.

    noise   how much of it may be rounding, or what extrapolation leaves
    method  how it was found
    cause   why the complex step did not do: "abs: kink", "gamma: no complex numbers"
    lines   of each file that was running when it gave up, innermost last
    exact   whether it is right to the last place
    """

    low: float
    high: float
    noise: float
    method: str
    cause: str | None = None
    lines: tuple[tuple[str, int], ...] = ()
    exact: bool = False

    @property
    def is_interval(self) -> bool:
        return self.low < self.high

    def nearest(self, value: float) -> float:
        """The number of the interval that is nearest to a value."""
        return min(max(value, self.low), self.high)


class UnsupportedError(Exception):
    """A function that takes no complex numbers, or a point on a kink."""


def slope(f: Callable[[Any], Any], x: float) -> Slope:
    """The derivative at x of a function that takes real and `Continued` complex numbers."""
    with np.errstate(all="ignore"):
        try:
            h = step_at(x)
            with warnings.catch_warnings():
                warnings.simplefilter("error", np.exceptions.ComplexWarning)
                found = float(np.imag(np.asarray(f(complex(x, h))))) / h
            return Slope(found, found, 0.0, "complex step")
        except (UnsupportedError, TypeError, np.exceptions.ComplexWarning) as error:
            cause = str(error) if isinstance(error, UnsupportedError) else "no complex numbers"
            return _without_complex(f, x, cause, _lines(error.__traceback__))


def _without_complex(
    f: Callable[[Any], Any], x: float, cause: str, lines: tuple[tuple[str, int], ...]
) -> Slope:
    below, above = one_sided(f, x, -1), one_sided(f, x, 1)
    across = extrapolated(f, x)
    apart = abs(below[0] - above[0])
    trusted = 10.0 * (below[1] + above[1]) + 1e-7 * max(abs(below[0]), abs(above[0]))
    if not apart > trusted:  # also where a side has no limit
        middle = (below[0] + above[0]) / 2.0
        if abs(across[0] - middle) > trusted:  # a jump
            across = (middle, max(below[1], above[1]))
        return Slope(across[0], across[0], across[1], "Richardson", cause, lines)
    low, high = sorted((below, above))
    method = f"interval [{_short(low[0])}, {_short(high[0])}]"
    return Slope(low[0], high[0], max(low[1], high[1]), method, cause, lines)


def _short(value: float) -> str:
    return f"{round(value, 6) + 0.0:.6g}" if abs(value) >= 1e-6 else f"{value:.0g}"


def _lines(trace: TracebackType | None) -> tuple[tuple[str, int], ...]:
    found = []
    while trace is not None:
        found.append((trace.tb_frame.f_code.co_filename, trace.tb_lineno))
        trace = trace.tb_next
    return tuple(found)


# --- the complex step ----------------------------------------------------------------------------


class Continued(np.ndarray[Any, np.dtype[Any]]):
    """Complex numbers on which kinked functions go on as on the real line beside them."""

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **options: Any) -> Any:
        plain = [_plain(value) for value in inputs]
        out = options.pop("out", None)
        continued = _CONTINUATIONS.get(ufunc.__name__)
        try:
            if continued is not None and method == "__call__":
                result = continued(*plain)
            elif method == "reduce" and ufunc in (np.maximum, np.minimum):
                result = _extremum(ufunc, *plain, **options)
            else:
                result = getattr(ufunc, method)(*plain, **options)
        except TypeError:
            raise UnsupportedError(f"{ufunc.__name__}: no complex numbers") from None
        except UnsupportedError as error:
            raise UnsupportedError(f"{ufunc.__name__}: {error}") from None
        if out is None:
            return _wrapped(result)
        _plain(out[0])[...] = result
        return out[0]

    def __getitem__(self, key: Any) -> Any:
        return _wrapped(super().__getitem__(key))  # a number stays continued, too

    def astype(self, dtype: Any, **options: Any) -> Any:  # type: ignore[override]
        """What would be real numbers of some precision stays complex."""
        return self if np.dtype(dtype).kind == "f" else super().astype(dtype, **options)

    def __array_function__(self, function: Any, types: Any, arguments: Any, options: Any) -> Any:
        continued = CONTINUED.get(function)
        if continued is not None:
            result = continued(*map(_plain, arguments))
            return tuple(map(_wrapped, result)) if isinstance(result, tuple) else _wrapped(result)
        if function.__module__ == "numpy.linalg" and function not in ANALYTIC:
            raise UnsupportedError(f"{function.__name__}: no complex numbers")
        try:
            return _wrapped(super().__array_function__(function, types, arguments, options))
        except TypeError:
            raise UnsupportedError(f"{function.__name__}: no complex numbers") from None


def step_at(x: float) -> float:
    """The complex step at a number."""
    return max(STEP * min(1.0, abs(x) or 1.0), 1e-200)


def continued(array: Array, entry: tuple[int, ...]) -> Array:
    """The array with a complex step at one entry."""
    moved = np.array(array, dtype=complex)
    moved[entry] += 1j * step_at(float(np.real(moved[entry])))
    return moved.view(Continued)


def _plain(value: Any) -> Any:
    return value.view(np.ndarray) if isinstance(value, Continued) else value


def _wrapped(result: Any) -> Any:
    if isinstance(result, (Continued, tuple, list)) or not np.iscomplexobj(result):
        return result
    return np.asarray(result).view(Continued)


def _apart(x: Any, y: Any) -> None:
    """Refuse a comparison that a moving number may decide either way."""
    difference = np.asarray(x) - np.asarray(y)
    moving = np.imag(difference) != 0.0
    scale = np.maximum(np.abs(np.real(x)), np.abs(np.real(y)))
    if np.any(moving & (np.abs(np.real(difference)) <= NEAR * np.maximum(scale, NEAR))):
        raise UnsupportedError("kink")


def _chosen(first: bool) -> Callable[[Any, Any], Any]:
    def choose(x: Any, y: Any) -> Any:
        _apart(x, y)
        larger = np.real(x) > np.real(y)
        return np.where(larger if first else ~larger, x, y)

    return choose


def _compared(compare: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    def decide(x: Any, y: Any) -> Any:
        _apart(x, y)
        return compare(np.real(x), np.real(y))

    return decide


def _absolute(x: Any) -> Any:
    _apart(x, np.zeros_like(x))
    return np.where(np.real(x) < 0.0, -x, x)


def _sign(x: Any) -> Any:
    _apart(x, np.zeros_like(x))
    return np.sign(np.real(x))


def _extremum(ufunc: Any, x: Array, axis: Any = 0, keepdims: bool = False, **options: Any) -> Array:
    """The largest or smallest along axes; entries that tie for it must move alike."""
    found = ufunc.reduce(np.real(x), axis=axis, keepdims=True)
    tied = np.abs(np.real(x) - found) <= NEAR * np.maximum(np.abs(found), NEAR)
    steps = [
        fold.reduce(np.where(tied, np.imag(x), empty), axis=axis, keepdims=True)
        for fold, empty in ((np.minimum, np.inf), (np.maximum, -np.inf))
    ]
    if np.any(steps[0] != steps[1]):
        raise UnsupportedError("kink")
    result: Array = found + 1j * steps[0]
    axes = tuple(range(x.ndim)) if axis is None else axis
    return result if keepdims else np.squeeze(result, axis=axes)


def _step(function: Callable[[Any], Any], shift: float) -> Callable[[Any], Any]:
    """A step function, with steps at the whole numbers plus `shift`."""

    def continued(x: Any) -> Any:
        _apart(x, np.rint(np.real(x) - shift) + shift)
        return function(np.real(x))

    return continued


def _with_branch_at_zero(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function that is analytic for positive numbers, but has no derivative at 0."""

    def continued(x: Any, *more: Any) -> Any:
        x = np.asarray(x)
        near = np.abs(np.imag(x)) > NEAR * np.abs(np.real(x))
        if np.any(near | ((np.real(x) < 0.0) & (np.abs(x) < STEP))):
            raise UnsupportedError("kink")
        return function(x, *more)

    return continued


_root = _with_branch_at_zero(np.sqrt)


def _power(x: Any, y: Any) -> Any:
    whole = np.all(np.isreal(y)) and np.all(np.real(y) == np.rint(np.real(y)))
    return np.power(x, np.real(y)) if whole else _with_branch_at_zero(np.power)(x, y)


def _modulus(x: Any, y: Any) -> Any:
    return x - y * _CONTINUATIONS["floor"](np.asarray(x) / y)


def _angle(y: Any, x: Any) -> Any:
    steep = np.abs(np.real(y)) > np.abs(np.real(x))
    _apart(np.abs(np.real(x)) + np.abs(np.real(y)) + np.imag(x + y) * 1j, np.zeros_like(x))
    over, under = np.where(steep, -x, y), np.where(steep, y, x)
    return np.arctan2(np.real(y), np.real(x)) + 1j * np.imag(np.arctan(over / under))


def _cube_root(x: Any) -> Any:
    _apart(x, np.zeros_like(x))
    sign = np.sign(np.real(x))
    return sign * np.power(sign * x, 1.0 / 3.0)


def _log_of_sum(x: Any, y: Any) -> Any:
    larger = np.where(np.real(x) > np.real(y), x, y)
    return larger + np.log(np.exp(x - larger) + np.exp(y - larger))


_CONTINUATIONS: Mapping[str, Callable[..., Any]] = {
    "absolute": _absolute,
    "arctan2": _angle,
    "cbrt": _cube_root,
    "ceil": _step(np.ceil, 0.0),
    "floor": _step(np.floor, 0.0),
    "hypot": lambda x, y: _root(x * x + y * y),
    "log": _with_branch_at_zero(np.log),
    "logaddexp": _log_of_sum,
    "power": _power,
    "remainder": _modulus,
    "rint": _step(np.rint, 0.5),
    "sqrt": _root,
    "sign": _sign,
    "clip": lambda x, low, high: _chosen(first=False)(_chosen(first=True)(x, low), high),
    "maximum": _chosen(first=True),
    "minimum": _chosen(first=False),
    "greater": _compared(np.greater),
    "greater_equal": _compared(np.greater_equal),
    "less": _compared(np.less),
    "less_equal": _compared(np.less_equal),
    "equal": _compared(np.equal),
    "not_equal": _compared(np.not_equal),
}


# --- extrapolation -------------------------------------------------------------------------------

SHRINK = 1.6
LEVELS = 14


def extrapolated(f: Callable[[Any], Any], x: float) -> tuple[float, float]:
    """Ridders' method: central differences, extrapolated to step zero; and its own error."""
    start = 0.05 * max(1.0, abs(x))

    def quotient(h: float) -> tuple[float, float]:
        above, below = float(f(x + h)), float(f(x - h))
        return (above - below) / (2.0 * h), _rounding(above, below) / (2.0 * h)

    return _neville(quotient, start, SHRINK * SHRINK)


def one_sided(f: Callable[[Any], Any], x: float, side: int) -> tuple[float, float]:
    """The limit of the derivative from below (-1) or above (1), and its error.

    The value at x itself is not used, so that a jump there does not matter.
    """
    start = 1e-2 * max(1.0, abs(x))

    def quotient(h: float) -> tuple[float, float]:
        far, near = float(f(x + 3 * side * h)), float(f(x + side * h))
        return side * (far - near) / (2.0 * h), _rounding(far, near) / (2.0 * h)

    return _neville(quotient, start, SHRINK)


def _rounding(*values: float) -> float:
    return 4.0 * float(np.finfo(float).eps) * max(map(abs, values))


def _neville(
    quotient: Callable[[float], tuple[float, float]], start: float, ratio: float
) -> tuple[float, float]:
    """The limit for step zero of an expansion in powers of which each falls by `ratio`."""
    rows: list[list[float]] = []
    best, error = np.nan, np.inf
    for level in range(LEVELS):
        try:
            value, rounding = quotient(start / SHRINK**level)
        except np.linalg.LinAlgError:  # so far away is no inverse, or no Cholesky factor
            value, rounding = np.nan, 0.0
        row = [value]
        factor = ratio
        for order in range(level):
            row.append((row[order] * factor - rows[-1][order]) / (factor - 1.0))
            factor *= ratio
            found = max(abs(row[-1] - row[-2]), abs(row[-1] - rows[-1][order])) + rounding
            if found <= error:
                best, error = row[-1], found
        rows.append(row)
    return float(best), float(error)
