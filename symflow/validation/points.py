"""Where modules are tested: points at which programs lose digits, or are not finite.

Inputs are the parameters and the placeholders of a program, by name. Around a base at which the
program is finite each of them is made zero, one, negative, tiny, huge, equal, or with gaps.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import sympy as sp
from numpy.typing import NDArray

from symflow.program import Input, Program

Array = NDArray[Any]
Inputs = Mapping[str, Array]


@dataclass(frozen=True)
class Point:
    """Values of all inputs by name.

    own  whether it is the user's: the point given, or the initial values
    """

    name: str
    inputs: Inputs
    own: bool = False


@dataclass(frozen=True)
class Given:
    """An input of a program with its shape in numbers."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    parameter: bool


def inputs_of(program: Program, sizes: Mapping[sp.Expr, sp.Integer]) -> list[Given]:
    found = []
    for tensor in program.inputs:
        value, type_ = program[tensor].value, program[tensor].type
        assert isinstance(value, Input)
        shape = tuple(int(size.xreplace(sizes)) for size in type_.shape)
        found.append(Given(value.name, shape, type_.dtype, value.kind == "variable"))
    return found


_DATA: Mapping[str, Callable[[np.random.Generator, tuple[int, ...]], Array]] = {
    "random data": lambda random, shape: random.standard_normal(shape),
    "data from 0.1 to 0.9": lambda random, shape: random.uniform(0.1, 0.9, shape),
    "data from 1.1 to 2.9": lambda random, shape: random.uniform(1.1, 2.9, shape),
    "data of 0 and 1": lambda random, shape: random.integers(0, 2, shape).astype(float),
    "positive definite data": lambda random, shape: _definite(random, shape),
    "whole positive data": lambda random, shape: random.integers(1, 6, shape).astype(float),
}

_CHANGES: Mapping[str, Callable[[Array], Array]] = {
    "0": lambda value: np.zeros_like(value),
    "1": lambda value: np.ones_like(value),
    "-1": lambda value: -np.ones_like(value),
    "1e-9": lambda value: np.full_like(value, 1e-9),
    "30": lambda value: np.full_like(value, 30.0),
    "-30": lambda value: np.full_like(value, -30.0),
    "1e6": lambda value: np.full_like(value, 1e6),
    "-1e6": lambda value: np.full_like(value, -1e6),
    "negated": lambda value: -value,
    "all equal": lambda value: np.full_like(value, value.flat[0] if value.size else 0.0),
    "0 at every second entry": lambda value: _gaps(value),
    "repeated": lambda value: np.resize(value.ravel()[: (value.size + 1) // 2], value.shape),
}
"""What is done to one input at a time. Whole numbers may be indices, and become 0 or 1 only."""

_OF_WHOLE = ("0", "1", "all equal", "0 at every second entry")


def _definite(random: np.random.Generator, shape: tuple[int, ...]) -> Array:
    if len(shape) < 2 or shape[-1] != shape[-2]:
        return np.asarray(random.standard_normal(shape))
    root = random.standard_normal(shape)
    return np.asarray(root @ np.swapaxes(root, -1, -2) + np.eye(shape[-1]))


def _gaps(value: Array) -> Array:
    changed = value.copy()
    changed.reshape(-1)[::2] = 0
    return changed


def bases(
    given: Sequence[Given], initial: Inputs, at: Inputs, random: np.random.Generator
) -> Iterator[Point]:
    """The user's own point, and the initial parameters with data of several kinds."""
    for name, draw in _DATA.items():
        values: dict[str, Array] = {}
        for one in given:
            if one.name in at:
                values[one.name] = np.array(at[one.name])
            elif one.name in initial:
                values[one.name] = np.array(initial[one.name], float)
            else:
                values[one.name] = _drawn(one, draw, random)
        start = "the point given" if at else "the initial values"
        drawn = [one for one in given if one.name not in at and one.name not in initial]
        yield Point(f"{start}, {name}" if drawn else start, values, own=True)
        if not drawn:
            return


def _drawn(
    one: Given,
    draw: Callable[[np.random.Generator, tuple[int, ...]], Array],
    random: np.random.Generator,
) -> Array:
    if one.dtype == "float":
        return np.asarray(draw(random, one.shape), float)
    whole = random.integers(0, 2, one.shape)
    return np.asarray(whole, bool if one.dtype == "bool" else np.int64)


def around(base: Inputs, given: Sequence[Given], random: np.random.Generator) -> list[Point]:
    """Points made of a base, those that tell most first."""
    floats = [one for one in given if one.dtype == "float"]
    names = [one.name for one in floats]

    def everywhere(name: str, value: Callable[[Given], Any], some: Sequence[Given]) -> Point:
        changed = {one.name: np.asarray(value(one), float) for one in some}
        return Point(name, {**base, **changed})

    parameters = [one for one in floats if one.parameter]
    data = [one for one in floats if not one.parameter]
    normal = everywhere("random values", lambda one: random.standard_normal(one.shape), floats)
    positive = everywhere(
        "positive values", lambda one: random.uniform(0.1, 0.9, one.shape), floats
    )
    negative = everywhere(
        "negative values", lambda one: -random.uniform(0.1, 0.9, one.shape), floats
    )
    near = everywhere(
        "near the base",
        lambda one: base[one.name] + 0.1 * random.standard_normal(one.shape),
        parameters,
    )
    offset = everywhere(
        "1e6 and a little everywhere", lambda one: 1e6 + random.standard_normal(one.shape), floats
    )
    far = everywhere(
        "data of 1e6 and a little", lambda one: 1e6 + random.standard_normal(one.shape), data
    )
    zeros = everywhere("0 everywhere", lambda one: np.zeros(one.shape), floats)
    ones = everywhere("1 everywhere", lambda one: np.ones(one.shape), floats)
    first = [normal, near, offset, zeros, positive, negative, *([far] if data else []), ones]
    largest = max(
        (float(np.max(np.abs(base[one.name]))) for one in parameters if one.shape != (0,)),
        default=0.0,
    )
    if data and 3.0 < largest < 1e15:
        first.append(
            everywhere(
                "data around the largest parameter",
                lambda one: largest * (1 + 1e-6 * random.standard_normal(one.shape)),
                data,
            )
        )
    found = list(first)
    found += _with_equal(base, floats)
    for change in _CHANGES:
        for one in given:
            if one.name in names or change in _OF_WHOLE:
                found.append(_changed(base, one, change))
    return found


def _changed(base: Inputs, one: Given, change: str) -> Point:
    value = np.asarray(base[one.name])
    text = f"{one.name} {change}" if change[0].isalpha() else f"{one.name} = {change}"
    changed = _CHANGES[change](value) if value.size else value
    return Point(text, {**base, one.name: np.asarray(changed, value.dtype)})


def _with_equal(base: Inputs, floats: Sequence[Given]) -> list[Point]:
    """Two inputs of one shape that are equal."""
    found: list[Point] = []
    for number, one in enumerate(floats):
        for other in floats[number + 1 :]:
            if one.shape == other.shape and len(found) < MOST_PAIRS:
                values = {**base, other.name: np.array(base[one.name])}
                found.append(Point(f"{one.name} = {other.name}", values))
    return found


MOST_PAIRS = 6
