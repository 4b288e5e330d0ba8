"""What a program tends to where it is not finite itself, and where its derivative jumps.

All inputs are moved a little, in many digits; what numbers near by have in common is the limit.
Booleans and whole numbers stay as they are, so that no choice becomes another one. On a flat
branch, as of sqrt(maximum(0, u)) at u < 0, the derivative of the program is 0·∞ near by, too; but
there the loss itself has a difference quotient.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from symflow.evaluation import Evaluator
from symflow.program import Program
from symflow.validation.derivatives import stopped
from symflow.validation.points import Inputs
from symflow.validation.written import UNDEFINED, evaluated

Array = NDArray[Any]

DIGITS = 160
DISTANCES = (-30, -33)
"""Exponents of ten: two of them, since a pole only reads as a large number."""

WAYS = 3
"""Up, down and at random, at each distance."""

AGREE = 1e-6
"""How close to a limit a number must come."""

CONVERGED = 1e-13
"""How close numbers near by are that have a limit; a logarithm beside a large number goes on."""

STEP_DIGITS = 200
STEP = -45
STEP_FROM = (-30, -37)


def moved_inputs(inputs: Inputs, digits: int, seed: int = 0) -> Iterator[dict[str, Array]]:
    """The inputs a little off: up, down, and at random, at either distance."""
    context = Evaluator(digits).context
    random = np.random.default_rng(seed)
    for distance in DISTANCES:
        small = context.mpf(10) ** distance
        for way in (1, -1, 0):
            yield {
                name: _moved(np.asarray(value), small, way, context, random)
                for name, value in inputs.items()
            }


def _moved(value: Array, small: Any, way: int, context: Any, random: np.random.Generator) -> Array:
    if value.dtype.kind not in "fO":
        return value
    found = np.empty(value.shape, object)
    for at in np.ndindex(value.shape):
        # of two distances, so that equal numbers are not moved alike
        share = context.mpf(float(random.uniform(0.5, 1.0)))
        sign = way or (1 if random.random() < 0.5 else -1)
        number = context.mpf(float(value[at])) if value.dtype.kind == "f" else value[at]
        found[at] = number + sign * share * small * max(abs(number), 1 if number == 0 else 0)
    return found


class Limits:
    """What outputs tend to at a point."""

    def __init__(self, program: Program, inputs: Inputs) -> None:
        self.program = program
        self.inputs = inputs
        self._near: dict[str, list[Array]] | None = None

    @property
    def near(self) -> Mapping[str, Sequence[Array]]:
        """Each output at six places near by."""
        if self._near is None:
            held = self._held(DIGITS)
            runs: list[dict[str, Array]] = []
            for inputs in moved_inputs(self.inputs, DIGITS):
                runs.append(evaluated(self.program, inputs, DIGITS, frozen=held))
                if len(runs) == 2 and not any(
                    _numbers(one).any() for run in runs for one in run.values()
                ):
                    break  # nothing is finite near by
            self._near = {name: [run[name] for run in runs] for name in self.program.outputs}
        return self._near

    def _held(self, digits: int) -> dict[int, Array]:
        """What is whole or boolean at the point itself."""
        try:
            tensors = Evaluator(digits).tensors(self.program, self.inputs)
        except UNDEFINED:
            return {}
        return {
            tensor: value
            for tensor, value in tensors.items()
            if self.program[tensor].type.dtype != "float"
        }

    def limit(self, name: str) -> Array:
        """What an output tends to, as floats; NaN where there is no limit.

        From one side is enough, where there is nothing on the other one.
        """
        runs = np.stack([_floats(one) for one in self.near[name]])
        if len(runs) < len(DISTANCES) * WAYS:
            return np.full(runs.shape[1:], np.nan)
        finite = np.isfinite(runs)
        with np.errstate(all="ignore"):
            low = np.min(np.where(finite, runs, np.inf), axis=0)
            high = np.max(np.where(finite, runs, -np.inf), axis=0)
            agree = high - low <= CONVERGED * np.maximum(np.abs(low), np.abs(high)) + 1e-25
        agree &= ~np.isinf(runs).any(axis=0)
        both = finite[:WAYS].any(axis=0) & finite[WAYS:].any(axis=0)  # at either distance
        return np.where(both & agree, high, np.nan)

    def between(self, name: str) -> tuple[Array, Array]:
        """The least and the largest that an output is near by."""
        runs = np.stack([_floats(one) for one in self.near[name]])
        return np.min(runs, axis=0), np.max(runs, axis=0)

    def slope(self, of: str, by: str, entry: tuple[int, ...]) -> float:
        """The derivative of the loss by an entry of an input, by difference quotients alone;
        NaN where they do not agree."""
        found = [
            self._quotient(of, by, entry, distance, way)
            for distance in STEP_FROM
            for way in (1, -1)
        ]
        low, high = min(found), max(found)
        agree = all(np.isfinite(found)) and high - low <= AGREE * max(abs(low), abs(high)) + 1e-30
        return float(np.mean(found)) if agree else float("nan")

    def _quotient(self, of: str, by: str, entry: tuple[int, ...], distance: int, way: int) -> float:
        loss = replace(self.program, outputs={of: self.program.outputs[of]})
        context = Evaluator(STEP_DIGITS).context
        start = context.mpf(float(np.asarray(self.inputs[by])[entry]))
        size = abs(start) or 1
        start = start + way * size * context.mpf(10) ** distance
        step = size * context.mpf(10) ** STEP
        held = stopped(loss, {**self.inputs, by: _with(self.inputs[by], entry, start)}, STEP_DIGITS)
        values = []
        for end in (start + step, start - step):
            inputs = {**self.inputs, by: _with(self.inputs[by], entry, end)}
            values.append(evaluated(loss, inputs, STEP_DIGITS, frozen=held)[of].item())
        try:
            return float((values[0] - values[1]) / (2 * step))
        except (TypeError, ValueError):
            return float("nan")


def _with(array: Array, entry: tuple[int, ...], value: Any) -> Array:
    changed = np.asarray(array).astype(object)
    changed[entry] = value
    return changed


def _numbers(values: Array) -> Array:
    return np.isfinite(_floats(values))


def _floats(values: Array) -> Array:
    with np.errstate(all="ignore"):
        return np.asarray(values, dtype=object).astype(float)
