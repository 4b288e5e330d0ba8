"""Test vectors of a model: small inputs, and what is right for them, in 50 digits where it can be.

Inputs and parameters are patterns that a module makes anew (`Draw`), so that only what is right
has to be stored. It comes from the user's own mathematics, the lowered program, evaluated in 50
digits; where that cannot be, or would take long, from the compiled program in float64, and to 12
digits only, which do not depend on the machine that compiles.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from symflow.arithmetic import undistributed
from symflow.compilation import Compilation
from symflow.compiler import compile_program
from symflow.errors import SymflowError
from symflow.evaluation import exact, with_exact_numbers
from symflow.initial import initial_values
from symflow.lowering import Request, Update, lower
from symflow.memory import executable, session_source
from symflow.program import Input, Kernel, Program, Type, check, dimension
from symflow.recurrence import Scan, derivatives_taken
from symflow.stabilisation import Rules
from symflow.train import LineSearch, Training

Array = NDArray[Any]

STEPS = 3
"""Of training: after one, momentum and its kin do not show yet."""

LARGEST_EXACT = 100_000
"""Numbers that kernels compute beyond which 50 digits would take too long."""


@dataclass(frozen=True)
class Draw:
    """How numbers are made of a pattern between 0 and 1; each is exact in float32."""

    scale: float
    shift: float
    levels: int

    def text(self, name: str, type_: Type, pattern: str) -> str:
        """As it stands in a module."""
        if type_.dtype == "float":
            return f"{self.scale} * {pattern} {'-' if self.shift < 0 else '+'} {abs(self.shift)}"
        return f"({self.levels} * {pattern}).astype(int)"

    def array(self, type_: Type, pattern: Array) -> Array:
        """The numbers themselves."""
        if type_.dtype == "float":
            return np.asarray(self.scale * pattern + self.shift)
        return np.asarray((self.levels * pattern).astype(int))


DRAWS = (
    Draw(2.0, -1.0, 8),
    Draw(2.0, -1.0, 2),
    Draw(0.75, 0.125, 8),
    Draw(0.75, 0.125, 2),
    Draw(1.75, 1.125, 2),
)
"""Tried one after the other, until all results are finite."""

NEAR = Draw(0.25, -0.125, 2)
"""What is added to the initial parameters, which are zero too often."""


def pattern(seed: int, *shape: int) -> Array:
    """The pattern: hashes of whole numbers, as a fraction of 2¹⁶ each."""
    count = math.prod(shape)
    mixed = np.arange(1, count + 1, dtype=np.uint64) + np.uint64(seed * 1000003)
    for factor in (2654435761, 2246822519):
        mixed = mixed * np.uint64(factor) % np.uint64(2**32)
        mixed = mixed ^ (mixed >> np.uint64(15))
    return np.asarray((mixed >> np.uint64(16)) / 65536.0).reshape(shape)


@dataclass(frozen=True)
class Vectors:
    """A point, and what is right there.

    draw      of the inputs
    lengths   the open sizes
    exports   by name; `loss`, and `gradients` by parameter, where there is a loss
    losses    before each step of training, and the `trained` parameters after the last
    steps     of training
    digits    "50" or "16", of what is right
    """

    draw: Draw
    lengths: Mapping[str, int]
    exports: Mapping[str, Array]
    loss: Array | None
    gradients: Mapping[str, Array]
    losses: tuple[float, ...]
    trained: Mapping[str, Array]


@undistributed
def vectors(compilation: Compilation, steps: int = STEPS) -> Vectors:
    """Test vectors with so many steps of training, if the model trains."""
    return _Point(compilation).vectors(steps)


class _Point:
    """Where a model is tested."""

    def __init__(self, compilation: Compilation) -> None:
        self.compilation = compilation
        self.program = compilation.program()
        self.types = {
            one.value.name: one.type
            for one in self.program.definitions
            if isinstance(one.value, Input)
        }
        given = (compilation.name(node) for node in compilation.inputs)
        self.inputs = [name for name in given if name in self.types]
        self.lengths = self._lengths()
        self.parameters = self._parameters()

    def _lengths(self) -> dict[str, int]:
        found: dict[str, int] = {}
        for name in self.inputs:
            for size in self.types[name].shape:
                if not size.is_Integer:
                    found.setdefault(str(size), 5 + 2 * len(found))
        return found

    def _shape(self, name: str) -> tuple[int, ...]:
        sizes = self.types[name].shape
        return tuple(int(one) if one.is_Integer else self.lengths[str(one)] for one in sizes)

    def _parameters(self) -> dict[str, Array]:
        run = self.compilation
        if run.model.loss is None:
            start: dict[str, Array] = {}
        else:
            drawn = initial_values(run.model.graph, np.float64)
            start = {run.name(node): drawn[id(node)] for node in run.trainable}
            start |= run.initial
        found: dict[str, Array] = {}
        for number, node in enumerate(run.trainable):
            name = run.name(node)
            spread = NEAR.scale * pattern(number + 1, *self._shape(name))
            found[name] = np.asarray(start.get(name, 0.0) + spread + NEAR.shift, np.float64)
        return found

    def _at(self, draw: Draw) -> dict[str, Array]:
        """Parameters and inputs by name."""
        found = dict(self.parameters)
        for number, name in enumerate(self.inputs):
            seed = 1 + len(self.parameters) + number
            found[name] = draw.array(self.types[name], pattern(seed, *self._shape(name)))
        return found

    def vectors(self, steps: int) -> Vectors:
        for draw in DRAWS:
            at = self._at(draw)
            try:
                results = _in_floats(self.program, at)
            except (IndexError, ValueError, np.linalg.LinAlgError):
                continue
            if all(np.all(np.isfinite(one)) for one in results.values()):
                return self._right(draw, at, results, steps)
        raise SymflowError("--with-selftest: found no inputs at which all results are finite")

    def _right(
        self, draw: Draw, at: Mapping[str, Array], results: Mapping[str, Array], steps: int
    ) -> Vectors:
        run = self.compilation
        lowered = lower(run.model.graph, run.request)
        right = self._exact(lowered, at, 1)
        if right is None:
            right = {name: _rounded(one, 12) for name, one in results.items()}
        losses: list[float] = []
        trained: Mapping[str, Array] = {}
        if run.model.training is not None:
            losses, trained = self._trained(run.model.training, at, steps)
        return Vectors(
            draw,
            self.lengths,
            {name: right[run.output(name)] for name in run.model.exports},
            right.get("loss"),
            {name: right[f"d_{name}"] for name in self.parameters if f"d_{name}" in right},
            tuple(losses),
            trained,
        )

    def _exact(
        self, program: Program, at: Mapping[str, Array], times: int
    ) -> dict[str, Array] | None:
        """The outputs of a lowered program; None where 50 digits are too many."""
        if times * self._size(program) > LARGEST_EXACT:
            return None
        try:
            found = exact(check(derivatives_taken(with_exact_numbers(program))), at).values
        except (SymflowError, TypeError, ValueError, ArithmeticError, LookupError):
            return None
        floats = {name: _rounded(one, 16) for name, one in found.items()}
        return floats if all(np.all(np.isfinite(one)) for one in floats.values()) else None

    def _size(self, program: Program) -> int:
        """How many numbers kernels compute, roughly: gradients take twice the time."""
        known = {dimension(name): length for name, length in self.lengths.items()}

        def total(program: Program) -> int:
            count = 0
            for definition in program.definitions:
                value = definition.value
                if isinstance(value, Kernel):
                    count += math.prod(int(size.xreplace(known)) for size in value.sizes)
                elif isinstance(value, Scan):
                    count += int(value.steps.xreplace(known)) * total(value.body)
            return count

        return 3 * total(program)

    # --- training ---

    def _trained(
        self, training: Training, at: Mapping[str, Array], steps: int
    ) -> tuple[list[float], Mapping[str, Array]]:
        """The losses before each step, as far as they are finite, and the parameters then."""
        run, optimizer = self.compilation, training.optimizer
        update = Update(
            training.loss,
            tuple(run.trainable),
            optimizer.formulas,
            tuple(optimizer.state),
            optimizer.adjustment,
        )
        own = run.request
        request = Request(
            {"loss": training.loss}, {}, run.labels, own.shapes, own.fixed, update=update
        )
        lowered = lower(run.model.graph, request)
        compiled = compile_program(run.model.graph, request, Rules(frozenset(run.without)))
        digits = 12 if isinstance(optimizer.learning_rate, LineSearch) else 16
        now, losses = dict(at), list[float]()
        for number, name in enumerate(self.parameters):
            for state, initial in optimizer.state.items():
                now[f"_{state}_{number}"] = np.full(self._shape(name), float(initial))
        for step in range(steps):
            rate = optimizer.learning_rate
            if isinstance(rate, LineSearch):
                found = self._searched(rate, compiled, now)
            else:
                now |= {"_rate": np.asarray(optimizer.rate_after(step)), "_step": np.asarray(step)}
                right = self._exact(lowered, now, steps)
                found = _in_floats(compiled, now) if right is None else right
                digits = 12 if right is None else digits
            if not all(np.all(np.isfinite(one)) for one in found.values()):
                break  # training by the model's own rate diverges here
            losses.append(float(_rounded(found["loss"], digits)))
            for number, name in enumerate(self.parameters):
                kept = [name, *(f"_{state}_{number}" for state in optimizer.state)]
                now |= {one: found[f"update_{number}_{at}"] for at, one in enumerate(kept)}
        return losses, {name: _rounded(now[name], digits) for name in self.parameters}

    def _searched(
        self, search: LineSearch, program: Program, now: Mapping[str, Array]
    ) -> Mapping[str, Array]:
        """One update by Armijo's rule."""
        rate, step = search.initial, np.asarray(0)

        def moved(size: float) -> Mapping[str, Array]:
            return _in_floats(program, {**now, "_rate": np.asarray(size), "_step": step})

        start = moved(1.0)
        outputs = [f"update_{number}_0" for number in range(len(self.parameters))]
        squared = sum(
            float(np.sum((now[name] - start[output]) ** 2))
            for name, output in zip(self.parameters, outputs, strict=True)
        )
        for _ in range(100):
            tried = moved(rate)
            there = dict(zip(self.parameters, (tried[one] for one in outputs), strict=True))
            after = _in_floats(program, {**now, **there, "_rate": np.asarray(1.0), "_step": step})
            if float(after["loss"]) <= float(start["loss"]) - rate * search.slope * squared:
                break
            rate *= search.shrink
        return tried


def _in_floats(
    program: Program, at: Mapping[str, Array], dtype: str = "float64"
) -> dict[str, Array]:
    """The outputs of a compiled program, by the code that it is printed as."""
    kinds = {
        one.value.name: one.value for one in program.definitions if isinstance(one.value, Input)
    }
    arguments = [name for name, one in kinds.items() if one.kind == "placeholder"]
    variables = [name for name, one in kinds.items() if one.kind == "variable"]
    typed = {
        name: np.asarray(at[name], dtype if one.type.dtype == "float" else None)
        for name, one in kinds.items()
    }
    text, constants = session_source(program, arguments, variables, dtype)
    function = executable(text, constants, "<self-test>")
    p = SimpleNamespace(**{name: typed[name] for name in variables})
    with np.errstate(all="ignore"):
        results = function(p, *(typed[name] for name in arguments))
    return {name: np.asarray(one) for name, one in zip(program.outputs, results, strict=True)}


def _rounded(array: Array, digits: int) -> Array:
    """Numbers as those of float64 with so many digits."""
    if array.dtype.kind not in "fO":
        return array
    found = [float(f"{float(one):.{digits}g}") for one in array.ravel()]
    return np.array(found).reshape(array.shape)
