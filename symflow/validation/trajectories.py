"""Training as the model says it, step by step, in naive code: what `train` of a module must do.

One update is a program: the gradient as written, and the optimizer's formulas on it, as a Session
runs them, with no rule. Several trajectories go side by side, all but the first under random
rounding; how far they come apart, chaos and all, is how much of a result is rounding.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import sympy as sp
from numpy.typing import NDArray

from symflow.compilation import Compilation
from symflow.lowering import Update, lower
from symflow.program import check
from symflow.train import RATE, STEP, LineSearch, Schedule, Training
from symflow.validation.floats import Floats
from symflow.validation.naive import JIGS, Expected, allowance
from symflow.validation.written import derived

Array = NDArray[Any]
Inputs = Mapping[str, Array]
Rates = Callable[[int], float]


@dataclass(frozen=True)
class Reached:
    """Where training is before an update; everything has an axis for the trajectories in front.

    loss    there
    norm    of the gradient that the tolerance is for
    kept    the optimizer's state: by its name, then by that of the parameter
    """

    step: int
    parameters: Inputs
    kept: Mapping[str, Inputs]
    loss: Array
    norm: Array


class Trajectories:
    """The training of one model."""

    def __init__(self, compilation: Compilation, training: Training) -> None:
        self.optimizer = training.optimizer
        self.names = [compilation.name(node) for node in compilation.trainable]
        state = tuple(self.optimizer.state)
        update = Update(
            training.loss,
            tuple(compilation.trainable),
            self.optimizer.formulas,
            state,
            self.optimizer.adjustment,
        )
        request = replace(compilation.request, outputs={"loss": training.loss}, update=update)
        self.program = derived(check(lower(compilation.model.graph, request)))
        just_loss = replace(request, derivatives={}, update=None)
        self.loss = derived(check(lower(compilation.model.graph, just_loss)))

    # --- rates ---

    def own_rate(self, step: int) -> float:
        """The learning rate that the model asks for, after that many updates."""
        rate = self.optimizer.learning_rate
        if isinstance(rate, LineSearch):
            return rate.initial
        return rate.at(step) if isinstance(rate, Schedule) else rate

    def _corrected(
        self, rate: float, step: int, random: np.random.Generator, unit: float, runs: int
    ) -> Array:
        """What `update` is given, moved by as much as naive code loses of it."""
        formula = self.optimizer.rate_formula
        lost = 0.0
        if formula is not None:
            true = float(formula.subs({RATE: rate, STEP: step}))
            code = sp.lambdify((RATE, STEP), formula, "math")
            lost = abs(code(rate, step) / true - 1.0) if true else 0.0
            rate = true
        moves = random.choice((-1.0, 1.0), runs) * (lost + 4.0 * unit)
        return rate * np.where(np.arange(runs) == 0, 1.0, 1.0 + moves)

    # --- steps ---

    def followed(
        self,
        start: Inputs,
        inputs: Inputs,
        steps: int,
        *,
        dtype: Any = np.float64,
        rates: Rates | None = None,
        rows: Sequence[Mapping[str, Array]] | None = None,
        first: int = 0,
        kept: Mapping[str, Inputs] | None = None,
        jigs: int = JIGS,
    ) -> list[Reached]:
        """Where training is before each of so many updates, and after the last.

        It ends before a loss that is not finite.

        rows   what each step is given in place of `inputs`, by name
        first  how many updates were made before
        kept   the optimizer's state then
        jigs   trajectories under random rounding
        """
        runs = 1 + jigs
        random = np.random.default_rng(0)
        floats = Floats([run > 0 for run in range(runs)], random, dtype)
        parameters: Inputs = {name: _each(start[name], runs) for name in self.names}
        states: Mapping[str, Inputs] = {
            name: {
                one: _each(kept[name][one] if kept else np.full_like(start[one], initial), runs)
                for one in self.names
            }
            for name, initial in self.optimizer.state.items()
        }
        unit = float(np.finfo(dtype).eps)
        found: list[Reached] = []
        for number in range(steps + 1):
            step = first + number
            given = rows[min(number, len(rows) - 1)] if rows else inputs
            data = {name: _each(value, runs) for name, value in given.items()}
            rate = self._corrected((rates or self.own_rate)(step), step, random, unit, runs)
            made = self._update(floats, parameters, states, data, rate, step)
            if not np.all(np.isfinite(made["loss"])):
                break
            norm = self._norm(parameters, made)
            found.append(Reached(step, parameters, states, made["loss"], norm))
            if number == steps:
                break
            if isinstance(self.optimizer.learning_rate, LineSearch):
                searched = self._searched(floats, found[-1], made, data, rate, step)
                if searched is None:
                    break
                made = searched
            parameters, states = self._moved(made)
        return found

    def _update(
        self,
        floats: Floats,
        parameters: Inputs,
        states: Mapping[str, Inputs],
        data: Inputs,
        rate: Array,
        step: int,
    ) -> dict[str, Array]:
        of_states = {
            f"_{state}_{at}": values[name]
            for state, values in states.items()
            for at, name in enumerate(self.names)
        }
        clock = {"_rate": rate, "_step": np.full(len(rate), float(step))}
        return floats.outputs(self.program, {**data, **parameters, **of_states, **clock})

    def _moved(self, made: Mapping[str, Array]) -> tuple[Inputs, Mapping[str, Inputs]]:
        parameters = {name: made[f"update_{at}_0"] for at, name in enumerate(self.names)}
        states = {
            state: {name: made[f"update_{at}_{1 + which}"] for at, name in enumerate(self.names)}
            for which, state in enumerate(self.optimizer.state)
        }
        return parameters, states

    def _norm(self, parameters: Inputs, made: Mapping[str, Array]) -> Array:
        total: Any = 0.0
        for name in self.names:
            gradient = made[f"d_{name}"] + self.optimizer.l2 * parameters[name]
            total = total + np.sum(gradient.reshape(len(gradient), -1) ** 2, axis=1)
        return np.asarray(np.sqrt(total))

    def _searched(
        self,
        floats: Floats,
        here: Reached,
        made: dict[str, Array],
        data: Inputs,
        rate: Array,
        step: int,
    ) -> dict[str, Array] | None:
        """The first rate of those tried at which the loss falls enough (Armijo's rule).

        None where it depends on rounding which one that is.
        """
        search = self.optimizer.learning_rate
        assert isinstance(search, LineSearch)
        enough = search.slope * here.norm**2
        for _ in range(100):
            parameters, _ = self._moved(made)
            loss = floats.outputs(self.loss, {**data, **parameters})["loss"]
            spare = here.loss - rate * enough - loss
            falls = spare >= 0.0
            scale = np.max(np.abs(here.loss)) * 64 * np.finfo(floats.dtype).eps
            if np.any(falls != falls[0]) or np.min(np.abs(spare)) <= scale:
                return None
            if falls[0]:
                break
            rate = rate * search.shrink
            made = self._update(floats, here.parameters, here.kept, data, rate, step)
        return made


def _each(value: Any, runs: int) -> Array:
    return np.repeat(np.asarray(value)[None], runs, 0)


def expected(
    runs: Array,
    dtype: Any = np.float64,
    still: Array | None = None,
    again: Callable[[], Expected | None] = lambda: None,
) -> Expected:
    """An array of which the first run is right, and the others are under random rounding.

    still  what is right, where the runs are in a lower precision
    again  the same by more runs
    """
    value = np.asarray(runs[0] if still is None else still, float)
    return Expected(value, allowance(value, np.asarray(runs[1:]), np.dtype(dtype)), again)


def batches(n: int, size: int, seed: int, steps: int) -> list[Array]:
    """Which rows each step uses: every pass in an order of its own, what is left over is not used.

    As generated modules say it: the orders are those of `default_rng((seed, pass))`.
    """
    per_pass = n // size
    found = []
    for step in range(steps):
        order = np.random.default_rng((seed, step // per_pass)).permutation(n)
        at = step % per_pass
        found.append(order[at * size : (at + 1) * size])
    return found
