"""Initial values of Variables: arrays, numbers, or a distribution to draw from.

An initializer is written once, as the NumPy expression that stands in the generated module;
`Session` evaluates the same expression.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from symflow.errors import SymflowError, calling_location
from symflow.source import literal


@dataclass(frozen=True)
class Initializer:
    """How to make the initial value of a Variable.

    name        as the user wrote it; stands in the generated module as a comment
    shape       whole numbers
    method      of the `numpy.random.Generator` that draws it, or a function that is given one
    numbers     what that is given before the shape
    seed        the initializer's own seed, or None to share the model's generator
    constant    the number that all entries are, where nothing is drawn
    """

    name: str
    shape: tuple[int, ...]
    method: str = ""
    numbers: tuple[float, ...] = ()
    seed: int | None = None
    constant: float | None = None

    def drawn(self, random: str) -> str:
        """NumPy, for a generator of that name."""
        shape = literal(self.shape[0] if len(self.shape) == 1 else self.shape)
        if self.constant is not None:
            return f"np.{self.name}({shape}, dtype)"
        numbers = ", ".join([*map(literal, self.numbers), shape])
        if self.method.startswith("_"):
            return f"{self.method}({random}, {numbers})"
        return f"{random}.{self.method}({numbers})"


def _shape(name: str, shape: Sequence[int] | int) -> tuple[int, ...]:
    try:
        sizes = (shape,) if isinstance(shape, (int, np.integer)) else tuple(shape)
    except TypeError:
        sizes = (-1,)
    for size in sizes:
        if not isinstance(size, (int, np.integer)) or size < 1:
            raise SymflowError(
                f"{name}: {shape!r} is no shape of whole numbers from 1", calling_location()
            )
    return tuple(int(size) for size in sizes)


def _number(name: str, value: float, least: float = -math.inf) -> float:
    array = np.asarray(value)
    if array.shape or array.dtype.kind not in "iuf" or not np.isfinite(array):
        raise SymflowError(f"{name}: {value!r} is no finite number", calling_location())
    if array < least:
        raise SymflowError(f"{name}: {value!r} is below {least:g}", calling_location())
    return float(array)


def seeded(name: str, seed: Any) -> int | None:
    """A seed that NumPy's generators take: a whole number from 0, or None."""
    known = isinstance(seed, (int, np.integer)) and not isinstance(seed, bool)
    if seed is not None and (not known or seed < 0):
        told = f"{name}: seed={seed!r} is no whole number from 0"
        raise SymflowError(told, calling_location())
    return None if seed is None else int(seed)


def zeros(shape: Sequence[int] | int) -> Initializer:
    """All zeros."""
    sizes = _shape("zeros", shape)
    return Initializer("zeros", sizes, constant=0.0)


def ones(shape: Sequence[int] | int) -> Initializer:
    """All ones."""
    sizes = _shape("ones", shape)
    return Initializer("ones", sizes, constant=1.0)


def random_normal(
    shape: Sequence[int] | int, mean: float = 0.0, stddev: float = 1.0, seed: int | None = None
) -> Initializer:
    """Drawn from a normal distribution."""
    sizes = _shape("random_normal", shape)
    numbers = _number("random_normal", mean), _number("random_normal", stddev, 0.0)
    return Initializer("random_normal", sizes, "normal", numbers, seeded("random_normal", seed))


def truncated_normal(
    shape: Sequence[int] | int, mean: float = 0.0, stddev: float = 1.0, seed: int | None = None
) -> Initializer:
    """Normal, with values beyond two standard deviations drawn again."""
    sizes = _shape("truncated_normal", shape)
    name = "truncated_normal"
    numbers = _number(name, mean), _number(name, stddev, 0.0)
    return Initializer(name, sizes, "_truncated_normal", numbers, seeded(name, seed))


def random_uniform(
    shape: Sequence[int] | int, minval: float = 0.0, maxval: float = 1.0, seed: int | None = None
) -> Initializer:
    """Drawn uniformly from [minval, maxval)."""
    sizes = _shape("random_uniform", shape)
    low, high = _number("random_uniform", minval), _number("random_uniform", maxval)
    if not low < high:
        raise SymflowError(f"random_uniform: {low} is not below {high}", calling_location())
    own = seeded("random_uniform", seed)
    return Initializer("random_uniform", sizes, "uniform", (low, high), own)


def glorot_uniform(shape: Sequence[int] | int, seed: int | None = None) -> Initializer:
    """Uniform within ±√(6 / (fan in + fan out)), which keeps variances even across layers.

    Glorot and Bengio, "Understanding the difficulty of training deep feedforward neural
    networks", AISTATS 2010. The fans are the last two sizes, times the sizes before them.
    """
    sizes = _shape("glorot_uniform", shape)
    receptive = math.prod(sizes[:-2])
    fans = (sizes[-2:] * 2)[:2] if sizes else (1, 1)
    limit = float(f"{math.sqrt(6.0 / (receptive * (fans[0] + fans[1]))):.6g}")
    own = seeded("glorot_uniform", seed)
    return Initializer("glorot_uniform", sizes, "uniform", (-limit, limit), own)


def given(value: Any) -> NDArray[Any]:
    """An array that the user gave as initial value or constant, checked to be numbers."""
    try:
        array = np.array(value)
    except ValueError as error:
        raise SymflowError(
            f"not a rectangular array: {str(error).partition('. ')[0]}",
            calling_location(),
            hint="all rows must be of equal length",
        ) from None
    if isinstance(value, int) and array.dtype == object:
        raise SymflowError(
            f"{value} does not fit in 64 bits", calling_location(), hint="write it as a float"
        )
    if array.dtype.kind not in "biuf":
        raise SymflowError(
            f"{value!r} is not made of real numbers",
            calling_location(),
            hint="a value is a number, an array, or for Variables an initializer: sf.zeros(shape)",
        )
    if array.size == 0:
        raise SymflowError(f"an array of shape {array.shape} is empty", calling_location())
    return array
