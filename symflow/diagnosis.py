"""Why a gradient is off or not finite: at which operation, on which line of the model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from symflow.differences import Slope, UnsupportedError, continued, step_at
from symflow.subject import Point, Subject
from symflow.tracing import Statement, Trace

Array = NDArray[Any]

PROBES = 4
"""Entries of each tensor of which the derivative is tested."""


def first_not_finite(of: Subject, point: Point) -> str | None:
    """The statement of the module that first gives infinity or NaN, and what it was given."""
    for name, array in (*point.inputs.items(), *zip(of.parameters, point.parameters, strict=True)):
        if not np.all(np.isfinite(array)):
            return f"{name} itself is not finite"
    for statement, names in Trace(of).run(point):
        value: Any = names.get(statement.name)
        if _is_float(value) and not np.all(np.isfinite(value)):
            array = np.asarray(value)
            entry = tuple(int(one) for one in np.argwhere(~np.isfinite(array))[0])
            kind = "undefined" if np.isnan(array[entry]) else _infinite(statement)
            return f"{kind}: {_entry(statement.name, entry)} is {array[entry]} at {statement}"
    return None


def _infinite(statement: Statement) -> str:
    poles = ("/", "divide", "log")
    return "pole or overflow" if any(one in statement.text for one in poles) else "overflow"


def kink(of: Subject, slope: Slope) -> str | None:
    """The operation and the line at which the complex step gave up."""
    if slope.cause is None:
        return None
    trace = Trace(of)
    own = [line for file, line in slope.lines if file == of.module.__file__]
    found = [one for line in own[::-1] if (one := trace.at_line(line)) is not None]
    statements = [one for one in found if one.origin] + found  # rather than a line of a helper
    return slope.cause + (f" at {statements[0]}" if statements else "")


def first_wrong(of: Subject, point: Point) -> str | None:
    """The first statement of the backward pass of which the derivative is not that of the loss.

    The module calls the derivative of the loss by `hidden` `d_hidden`. Each is compared with the
    complex step: `hidden` is moved when it has been computed, and the rest of the module is run.
    """
    trace = Trace(of)
    names = trace.names(point)
    forward = {statement.name for statement in trace.statements}
    untested: dict[str, Statement] = {}
    right: list[Statement] = []
    wrong: tuple[Statement, str] | None = None
    for statement in trace.statements:
        by = statement.name.removeprefix("d_")
        value: Any = names.get(by) if by in forward else getattr(point.parameters, by, None)
        given: Any = names.get(statement.name)
        if by == statement.name or not _alike(value, given):
            untested[statement.name] = statement
            continue
        found = _disagreement(trace, point, by, np.asarray(given), in_forward=by in forward)
        if found is None:
            right.append(statement)
        elif wrong is None:
            wrong = statement, f"d_{found}, at {statement}"
    if wrong is not None:
        cleared = [one for each in right for one in _behind(each, untested)]
        suspects = [one for one in _behind(wrong[0], untested) if one not in cleared]
        return "; or in ".join([wrong[1], *map(str, suspects)])
    last = [one for one in trace.statements if "Parameters(" in one.text]
    return f"the derivatives are right before {last[-1]}" if last else None


def _disagreement(
    trace: Trace, point: Point, by: str, given: Array, in_forward: bool
) -> str | None:
    """An entry of the derivative by a tensor that the complex step does not confirm."""
    least = 1e-13 * float(np.max(np.abs(given)))
    for entry in _probes(given):
        true = _derivative(trace, point, by, entry, in_forward)
        if true is not None and not np.isclose(given[entry], true, rtol=1e-6, atol=least):
            return f"{_entry(by, entry)} is {given[entry]:.6g}, not {true:.6g}"
    return None


def _behind(statement: Statement, untested: Mapping[str, Statement]) -> list[Statement]:
    """The parts of derivatives that a statement reads and that could not be tested themselves."""
    found: dict[str, Statement] = {}
    pending = [statement]
    while pending:
        for name in pending.pop().reads:
            one = untested.get(name)
            if one is not None and name.startswith("d_") and name not in found:
                found[name] = one
                pending.append(one)
    return sorted(found.values(), key=lambda one: -one.line)


def _derivative(
    trace: Trace, point: Point, by: str, entry: tuple[int, ...], in_forward: bool
) -> float | None:
    """The derivative of the loss by an entry of a tensor of the module, by the complex step."""
    at = 0.0

    def moving(value: Any) -> Array:
        nonlocal at
        at = float(np.real(np.asarray(value)[entry]))
        return continued(value, entry)

    changes = {by: moving} if in_forward else {}
    if not in_forward:
        number = trace.subject.parameters.index(by)
        moved = point.moved(number, moving(point.parameters[number]))
        point = Point(type(point.parameters)(*moved), point.inputs)
    if trace.loss is None:
        return None
    try:
        names = trace.names(point, changes, until=set(trace.loss.co_names))
        found = np.imag(np.asarray(eval(trace.loss, names)))
    except (UnsupportedError, TypeError, NameError):
        return None
    return float(found) / step_at(at)


def _probes(array: Array) -> list[tuple[int, ...]]:
    """The largest entries, and some spread over the array."""
    flat = np.ravel(np.abs(array))
    if flat.size == 0:
        return []
    chosen = [int(np.argmax(flat)), *np.linspace(0, flat.size - 1, PROBES - 1).astype(int)]
    return [
        tuple(int(one) for one in np.unravel_index(number, array.shape))
        for number in dict.fromkeys(int(one) for one in chosen)
    ]


def _entry(name: str, entry: tuple[int, ...]) -> str:
    return f"{name}[{', '.join(map(str, entry))}]" if entry else name


def _alike(value: Any, given: Any) -> bool:
    return _is_float(value) and _is_float(given) and np.shape(value) == np.shape(given)


def _is_float(value: Any) -> bool:
    return isinstance(value, (float, np.ndarray, np.floating)) and np.asarray(value).dtype.kind in (
        "f",
        "c",
    )
