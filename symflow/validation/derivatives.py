"""Whether the derivatives of the program as written are those of its loss.

The rules of differentiation stand on both sides of every comparison, so they are tested apart: by
difference quotients of the loss in many digits, along random directions, which see every entry.
What stops the gradient is held.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from symflow.evaluation import Evaluator
from symflow.program import Program
from symflow.validation.points import Inputs
from symflow.validation.written import UNDEFINED, evaluated
from symflow.views import StopGradient

Array = NDArray[Any]

DIGITS = 120
STEP = -40
CLOSE = 1e-14
FLOOR = 1e-30
"""Relative difference of a derivative and a quotient that are the same number, as far as the rules'
own numbers are, which have 53 bits."""


@dataclass(frozen=True)
class Disagreement:
    """A derivative along a direction that is not that of the values."""

    parameter: str
    derived: float
    quotient: float


def disagreement(
    program: Program, inputs: Inputs, parameters: Sequence[str], seed: int = 0
) -> Disagreement | None:
    """The first parameter by which the derivative is wrong; None too where there is a kink."""
    random = np.random.default_rng(seed)
    directions = {name: random.uniform(0.5, 1.0, np.shape(inputs[name])) for name in parameters}
    derivatives = evaluated(program, inputs, DIGITS)
    loss = replace(program, outputs={"loss": program.outputs["loss"]})
    held = stopped(loss, inputs, DIGITS)
    if _compared(loss, inputs, directions, derivatives, held) is None:
        return None
    for name in parameters:
        found = _compared(loss, inputs, {name: directions[name]}, derivatives, held)
        if found is not None:
            return Disagreement(name, *found)
    return None


def _compared(
    loss: Program,
    inputs: Inputs,
    directions: Inputs,
    derivatives: Mapping[str, Array],
    held: Mapping[int, Array],
) -> tuple[float, float] | None:
    """The derivative along directions, and the quotient, where they differ."""
    context = Evaluator(DIGITS).context
    step = context.mpf(10) ** STEP
    below, here, above = (
        evaluated(loss, _moved(inputs, directions, way * step), DIGITS, frozen=held)["loss"].item()
        for way in (-1, 0, 1)
    )
    shares = [
        context.mpf(float(length)) * derivatives[f"d_{name}"][at]
        for name, direction in directions.items()
        for at, length in np.ndenumerate(direction)
    ]
    derived = sum(shares, context.zero)
    size = sum(map(abs, shares), context.zero) + abs(here)
    try:
        right, left = (float((above - here) / step), float((here - below) / step))
        quotient = (above - below) / (2 * step)
        kink = abs(right - left) > 1e-12 * (abs(right) + abs(left))
        if kink or not np.isfinite(float(size + abs(quotient))):
            return None
    except (TypeError, ValueError, OverflowError):
        return None
    near = abs(derived - quotient) <= CLOSE * size + FLOOR
    return None if near else (float(derived), float(quotient))


def _moved(inputs: Inputs, directions: Inputs, step: Any) -> dict[str, Array]:
    moved = dict(inputs)
    for name, direction in directions.items():
        start = np.asarray(inputs[name])
        entries = np.empty(start.shape, object)
        for at in np.ndindex(start.shape):
            number = type(step)
            entries[at] = step * number(float(direction[at])) + number(float(start[at]))
        moved[name] = entries
    return moved


def stopped(program: Program, inputs: Inputs, digits: int) -> dict[int, Array]:
    """What stops the gradient, as it is."""
    stops = [
        tensor
        for tensor, one in enumerate(program.definitions)
        if isinstance(one.value, StopGradient)
    ]
    if not stops:
        return {}
    try:
        tensors = Evaluator(digits).tensors(program, inputs)
    except UNDEFINED:
        return {}
    return {tensor: tensors[tensor] for tensor in stops if tensor in tensors}
