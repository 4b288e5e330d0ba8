"""The program as it was written: the reference of validation.

The graph is lowered and derivatives are taken; no rule is applied, nothing is shared or folded,
and floating-point numbers in bodies are the fractions that they are. It is evaluated in many
digits twice, with all operations rounded down and with all rounded up: the truth is between, and
where the two differ too much to decide, more digits are needed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from mpmath.libmp import ComplexResult
from numpy.typing import NDArray

from symflow.arithmetic import undistributed
from symflow.compilation import Compilation
from symflow.differentiation import differentiate
from symflow.evaluation import Evaluator, with_exact_numbers
from symflow.highprecision import Rounding
from symflow.lowering import lower
from symflow.program import Program, check, without_dead_code
from symflow.recurrence import in_bodies

Array = NDArray[Any]
Inputs = Mapping[str, Array]

DIGITS = (65, 200, 1100)
"""Of which 50 are right where nothing cancels; and more, for what these do not decide."""

SETTLED = 1e-20
NOTHING = 1e-40
"""How close bounds are that are one number: beside it, and to each other."""

UNDEFINED = (ZeroDivisionError, ComplexResult, ValueError, OverflowError, ArithmeticError)
"""What mpmath raises where there is no number, as for singular matrices."""


@undistributed
def as_written(compilation: Compilation) -> Program:
    """The outputs of a model, `loss` and `d_w`, ..., by the operations that the user wrote."""
    return derived(check(lower(compilation.model.graph, compilation.request)))


@undistributed
def derived(program: Program) -> Program:
    """The program with all derivatives taken, and exact numbers."""
    program = in_bodies(program, derived)
    return check(without_dead_code(with_exact_numbers(differentiate(program))))


@dataclass(frozen=True)
class Truth:
    """What an output is: two arrays of numbers, of which one bound each entry from below.

    Each number is the sum of two floats.

    finite  where there is a number, and no infinity or NaN
    beyond  where it is larger than floats are
    """

    low: tuple[Array, Array]
    high: tuple[Array, Array]
    finite: Array
    beyond: Array

    @property
    def nearest(self) -> Array:
        return self.low[0]

    @property
    def largest(self) -> float:
        """The largest entry that is finite."""
        sizes = np.abs(self.nearest[self.finite & ~self.beyond])
        return float(np.max(sizes)) if sizes.size else 0.0

    @property
    def settled(self) -> Array:
        """Where the two bounds are one number, or nothing; the logarithm of the determinant of a
        singular matrix never is."""
        (low, below), (high, above) = self.low, self.high
        with np.errstate(all="ignore"):
            width = np.abs((high - low) + (above - below))
            size = np.maximum(np.abs(low), np.abs(high))
            return np.asarray((width <= SETTLED * size) | (width <= NOTHING))


def truths(program: Program, inputs: Inputs, digits: int) -> dict[str, Truth]:
    """The outputs of a program in so many digits."""
    low, high = (evaluated(program, inputs, digits, way) for way in ("f", "c"))
    return {name: truth(low[name], high[name]) for name in low}


def evaluated(
    program: Program,
    inputs: Inputs,
    digits: int,
    rounding: Rounding = "n",
    frozen: Mapping[int, Array] | None = None,
) -> dict[str, Array]:
    """The outputs as arrays of mpmath's numbers; NaN where there are none."""
    evaluator = Evaluator(digits, rounding, frozen)
    try:
        return evaluator.outputs(program, inputs)
    except UNDEFINED:
        shapes = {
            name: tuple(evaluator.size(size) for size in program[tensor].type.shape)
            for name, tensor in program.outputs.items()
        }
        nothing = evaluator.context.nan
        return {name: np.full(shape, nothing, object) for name, shape in shapes.items()}


def truth(low: Array, high: Array) -> Truth:
    first, last = _split(low), _split(high)
    finite = np.isfinite(first[0]) & np.isfinite(last[0])
    beyond = np.zeros(low.shape, bool)
    if not finite.all():
        found = np.vectorize(_is_number, otypes=[bool])
        finite = found(low) & found(high)
        beyond = finite & ~(np.isfinite(first[0]) & np.isfinite(last[0]))
    return Truth(first, last, finite, beyond)


def _is_number(value: Any) -> bool:
    if not hasattr(value, "_mpf_"):
        return bool(np.isfinite(value))
    return bool(value == value and abs(value) != value.context.inf)


@np.errstate(all="ignore")
def _split(values: Array) -> tuple[Array, Array]:
    """Numbers of mpmath as the sums of two floats each."""
    if values.dtype != object:
        return values.astype(float), np.zeros(values.shape)
    first = np.empty(values.shape)
    rest = np.zeros(values.shape)
    for at, value in enumerate(values.flat):
        near = float(value)
        first.flat[at] = near
        if near - near == 0.0:
            rest.flat[at] = float(value - near)
    return first, rest
