"""Points on the borders of conditions: where both sides of a comparison are equal.

For every comparison, maximum, absolute value and clip of a program one entry of one input is moved
until the two sides agree, by the secant method on the naive code.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import sympy as sp
from numpy.typing import NDArray

from symflow.arithmetic import undistributed
from symflow.elementwise import Opaque
from symflow.program import Builder, Definition, Kernel, Label, Program
from symflow.validation.floats import Floats
from symflow.validation.points import Given, Inputs, Point

Array = NDArray[np.float64]

MOST = 8
"""Conditions for which points are made."""

MOST_ENTRIES = 64
"""Entries of an input that are tried."""

ROUNDS = 8

_COMPARED = frozenset(
    {"greater", "greater_equal", "less", "less_equal", "equal", "not_equal", "maximum", "minimum"}
)
_OF_ZERO = frozenset({"relu", "abs", "sign"})


@undistributed
def borders(base: Inputs, program: Program, given: Sequence[Given]) -> list[Point]:
    """Points at which a condition is on its border, made of a base by moving a single number."""
    conditions = list(_conditions(program))[:MOST]
    floats = [one for one in given if one.dtype == "float" and np.prod(one.shape) > 0]
    if not conditions or not floats:
        return []
    extended, origins = _with(program, conditions)
    found: list[Point] = []
    for name, origin in origins.items():
        for one in [*(d for d in floats if not d.parameter), *(p for p in floats if p.parameter)]:
            values = _solved(extended, name, base, one)
            if values is not None:
                found.append(Point(f"the border of {origin}, by {one.name}", values))
                break
    return found


def _conditions(program: Program) -> Iterator[tuple[Definition, sp.Expr]]:
    """Kernels, each with the difference of two sides of a condition in it."""
    live = program.live()
    seen: set[tuple[object, sp.Expr]] = set()
    for tensor, definition in enumerate(program.definitions):
        value = definition.value
        if not live[tensor] or not isinstance(value, Kernel) or value.reduction != "sum":
            continue
        for part in sp.preorder_traversal(value.body):
            for difference in _differences(part):
                if difference.free_symbols and (value.accesses, difference) not in seen:
                    seen.add((value.accesses, difference))
                    yield definition, difference


def _differences(part: sp.Basic) -> Iterator[sp.Expr]:
    if isinstance(part, sp.core.relational.Relational):
        yield part.lhs - part.rhs
    elif isinstance(part, Opaque):
        name = type(part).row.name
        if name in _COMPARED:
            yield part.args[0] - part.args[1]
        elif name in _OF_ZERO:
            yield part.args[0]
        elif name == "clip_by_value":
            yield part.args[0] - part.args[1]
            yield part.args[0] - part.args[2]
        elif name == "relu6":
            yield part.args[0]
            yield part.args[0] - 6


def _with(
    program: Program, conditions: Sequence[tuple[Definition, sp.Expr]]
) -> tuple[Program, Mapping[str, str]]:
    """The program with the differences as its outputs, and where each of them is written."""
    builder = Builder(merge=False)
    builder.definitions = list(program.definitions)
    outputs: dict[str, int] = {}
    origins: dict[str, str] = {}
    for number, (definition, difference) in enumerate(conditions):
        assert isinstance(definition.value, Kernel)
        name = f"border {number}"
        outputs[name] = builder.add(definition.value.part(difference), Label(name))
        where = f" at {definition.origin}" if definition.origin else ""
        origins[name] = f"{definition.label.name}{where}"
    return builder.program(outputs), origins


def _evaluated(program: Program, name: str, base: Inputs, one: Given, values: Array) -> Array:
    """A difference, flat, where an input is each of some values."""
    inputs = {
        key: values if key == one.name else np.broadcast_to(value, (len(values), *np.shape(value)))
        for key, value in base.items()
    }
    only = Program(program.definitions, {name: program.outputs[name]})
    found = Floats([False] * len(values), np.random.default_rng(0)).outputs(only, inputs)
    return np.asarray(found[name], float).reshape(len(values), -1)


@np.errstate(all="ignore")
def _solved(program: Program, name: str, base: Inputs, one: Given) -> Inputs | None:
    """The base with an entry of an input moved to where some entry of a difference is 0."""
    start = np.asarray(base[one.name], float)
    count = min(start.size, MOST_ENTRIES)
    steps = 1e-3 * np.maximum(1.0, np.abs(start.reshape(-1)[:count]))
    moved = np.repeat(start.reshape(1, -1), count + 1, 0)
    moved[np.arange(count), np.arange(count)] += steps
    values = _evaluated(program, name, base, one, moved.reshape(-1, *start.shape))
    slopes = np.abs((values[:count] - values[count]) / steps[:, None])
    slopes = np.where(np.isfinite(slopes), slopes, 0.0)
    if not slopes.any():
        return None
    entry, at = map(int, np.unravel_index(int(np.argmax(slopes)), slopes.shape))
    last, new = start.reshape(-1)[entry], moved[entry, entry]
    before, after = values[count, at], values[entry, at]
    for _ in range(ROUNDS):
        if after == 0.0 or after == before:
            break
        last, new = new, new - after * (new - last) / (after - before)
        trials = [new, np.nextafter(new, np.inf), np.nextafter(new, -np.inf), round(new, 12)]
        tried = np.repeat(start.reshape(1, -1), len(trials), 0)
        tried[:, entry] = trials
        results = _evaluated(program, name, base, one, tried.reshape(-1, *start.shape))[:, at]
        best = int(np.argmin(np.where(np.isfinite(results), np.abs(results), np.inf)))
        before, after, new = after, results[best], trials[best]
    if not np.isfinite(after) or abs(after) > 1e-12 * max(1.0, abs(new)):
        return None
    found = start.copy()
    found.reshape(-1)[entry] = new
    return {**base, one.name: found}
