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


@dataclass(frozen=True)
class Initializer:
    """How to make the initial value of a Variable.

    name        as the user wrote it; stands in the generated module as a comment
    shape       whole numbers
    expression  NumPy, with `{random}` for the `numpy.random.Generator` to draw from
    seed        the initializer's own seed, or None to share the model's generator
    helper      function that the generated module must define for it
    """

    name: str
    shape: tuple[int, ...]
    expression: str
    seed: int | None = None
    helper: str | None = None
    constant: float | None = None


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


def _number(name: str, value: float) -> float:
    if isinstance(value, bool) or not math.isfinite(value):
        raise SymflowError(f"{name}: {value!r} is no finite number", calling_location())
    return float(value)


def zeros(shape: Sequence[int] | int) -> Initializer:
    """All zeros."""
    sizes = _shape("zeros", shape)
    return Initializer("zeros", sizes, f"np.zeros({_written(sizes)}, dtype)", constant=0.0)


def ones(shape: Sequence[int] | int) -> Initializer:
    """All ones."""
    sizes = _shape("ones", shape)
    return Initializer("ones", sizes, f"np.ones({_written(sizes)}, dtype)", constant=1.0)


def random_normal(
    shape: Sequence[int] | int, mean: float = 0.0, stddev: float = 1.0, seed: int | None = None
) -> Initializer:
    """Drawn from a normal distribution."""
    sizes = _shape("random_normal", shape)
    mean, stddev = _number("random_normal", mean), _number("random_normal", stddev)
    drawn = f"{{random}}.normal({mean!r}, {stddev!r}, {_written(sizes)})"
    return Initializer("random_normal", sizes, drawn, seed)


def truncated_normal(
    shape: Sequence[int] | int, mean: float = 0.0, stddev: float = 1.0, seed: int | None = None
) -> Initializer:
    """Normal, with values beyond two standard deviations drawn again."""
    sizes = _shape("truncated_normal", shape)
    mean, stddev = _number("truncated_normal", mean), _number("truncated_normal", stddev)
    drawn = f"_truncated_normal({{random}}, {mean!r}, {stddev!r}, {_written(sizes)})"
    return Initializer("truncated_normal", sizes, drawn, seed, helper="truncated_normal")


def random_uniform(
    shape: Sequence[int] | int, minval: float = 0.0, maxval: float = 1.0, seed: int | None = None
) -> Initializer:
    """Drawn uniformly from [minval, maxval)."""
    sizes = _shape("random_uniform", shape)
    low, high = _number("random_uniform", minval), _number("random_uniform", maxval)
    if not low < high:
        raise SymflowError(f"random_uniform: {low} is not below {high}", calling_location())
    drawn = f"{{random}}.uniform({low!r}, {high!r}, {_written(sizes)})"
    return Initializer("random_uniform", sizes, drawn, seed)


def glorot_uniform(shape: Sequence[int] | int, seed: int | None = None) -> Initializer:
    """Uniform within ±√(6 / (fan in + fan out)), which keeps variances even across layers.

    Glorot and Bengio, "Understanding the difficulty of training deep feedforward neural
    networks", AISTATS 2010. The fans are the last two sizes, times the sizes before them.
    """
    sizes = _shape("glorot_uniform", shape)
    receptive = math.prod(sizes[:-2])
    fans = (sizes[-2:] * 2)[:2] if sizes else (1, 1)
    limit = float(f"{math.sqrt(6.0 / (receptive * (fans[0] + fans[1]))):.6g}")
    drawn = f"{{random}}.uniform({-limit!r}, {limit!r}, {_written(sizes)})"
    return Initializer("glorot_uniform", sizes, drawn, seed)


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


def _written(shape: tuple[int, ...]) -> str:
    return str(shape[0]) if len(shape) == 1 else str(shape)
