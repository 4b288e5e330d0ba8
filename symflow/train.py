"""`sf.train`: optimizers and step rules, each a few formulas in SymPy.

An optimizer says how one entry of a parameter follows from the entry, its gradient, the rate and
the state that the optimizer keeps for it. The same formulas run in a Session and are printed
into the generated module.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import sympy as sp

from symflow.errors import Location, SymflowError, calling_location
from symflow.functions import dependencies, unreached
from symflow.graph import Tensor, Variable, convert
from symflow.program import number, slot
from symflow.shapes import show


@dataclass(frozen=True)
class Schedule:
    """A learning rate that depends on the number of updates done: a formula in slot 0."""

    formula: sp.Expr
    doc: str

    def at(self, step: int) -> float:
        """The rate after that many updates."""
        return float(self.formula.subs(slot(0), step))


@dataclass(frozen=True)
class LineSearch:
    """A step found anew each time: `initial`, times `shrink` until the loss falls enough.

    Enough is `slope` times what the gradient promises (Armijo 1966).
    """

    initial: float
    shrink: float
    slope: float


Rate = float | Schedule | LineSearch


def exponential_decay(
    learning_rate: float, decay_steps: float, decay_rate: float, staircase: bool = False
) -> Schedule:
    """learning_rate · decay_rate^(step / decay_steps), the quotient rounded down if `staircase`."""
    for name, value in (
        ("learning_rate", learning_rate),
        ("decay_steps", decay_steps),
        ("decay_rate", decay_rate),
    ):
        _positive(name, value)
    periods = slot(0) / number(decay_steps)
    exponent = sp.floor(periods) if staircase else periods
    # unevaluated, for SymPy would make 0.1·0.5^x into 2^(-x) / 10
    decay = sp.Pow(number(decay_rate), exponent, evaluate=False)
    formula = sp.Mul(number(learning_rate), decay, evaluate=False)
    return Schedule(formula, f"{learning_rate:g}, times {decay_rate:g} per {decay_steps:g} steps")


def backtracking_line_search(
    initial: float = 1.0, shrink: float = 0.5, slope: float = 1e-4
) -> LineSearch:
    """Try the rate `initial`, and shrink it until the loss falls by enough (Armijo's rule).

    Enough is rate · slope · ‖∇‖², with 0 < shrink < 1 and 0 < slope < 1.
    """
    _positive("initial", initial)
    for name, value in (("shrink", shrink), ("slope", slope)):
        if not 0 < value < 1:
            raise SymflowError(f"{name} is {value}, not between 0 and 1", calling_location())
    return LineSearch(float(initial), float(shrink), float(slope))


def _exact(formula: sp.Expr) -> sp.Expr:
    """The formula with 0.9 as nine tenths, so that it prints as it was written."""
    return formula.xreplace({one: number(float(one)) for one in formula.atoms(sp.Float)})


class Optimizer:
    """What all optimizers share. A subclass gives `update`, and `state` if it keeps any.

    class Momentum(Optimizer):
        state = {"velocity": 0.0}

        def update(self, value, gradient, rate, step, velocity):
            velocity = 0.9 * velocity + gradient
            return value - rate * velocity, velocity
    """

    state: ClassVar[Mapping[str, float]] = {}

    def __init__(self, learning_rate: Rate) -> None:
        if not isinstance(learning_rate, (Schedule, LineSearch)):
            _positive("learning_rate", learning_rate)
            learning_rate = float(learning_rate)
        if isinstance(learning_rate, LineSearch) and self.state:
            raise SymflowError(
                f"{type(self).__name__} keeps state; a line search needs plain descent",
                calling_location(),
            )
        self.learning_rate = learning_rate

    def update(
        self,
        value: sp.Expr,
        gradient: sp.Expr,
        rate: sp.Expr,
        step: sp.Expr,
        *state: sp.Expr,
    ) -> sp.Expr | tuple[sp.Expr, ...]:
        """The new value, then the new state, of one entry; `step` counts updates from 0."""
        raise AssertionError(f"{type(self).__name__} gives no update")

    @property
    def formulas(self) -> tuple[sp.Expr, ...]:
        """`update` on slots: value, gradient, rate, step, then the state."""
        found = self.update(*(slot(at) for at in range(4 + len(self.state))))
        formulas = found if isinstance(found, tuple) else (found,)
        if len(formulas) != 1 + len(self.state):
            raise SymflowError(
                f"{type(self).__name__}.update returns {len(formulas)} formulas for the value "
                f"and {len(self.state)} of state"
            )
        return tuple(_exact(sp.sympify(formula)) for formula in formulas)

    def minimize(
        self, loss: Any, var_list: Sequence[Variable] | None = None, name: str | None = None
    ) -> Training:
        """The operation that moves every Variable, or those listed, once."""
        loss = convert(loss)
        location = calling_location()
        if loss.type is not None and loss.type.shape != ():
            raise SymflowError(
                f"the loss is a scalar, but this one is {show(loss.type.shape)}", location
            )
        variables = loss.graph.trainable_variables if var_list is None else list(var_list)
        if not variables:
            raise SymflowError("there is no trainable Variable to train", location)
        reached = dependencies(loss)
        for variable in variables:
            if variable not in reached:
                raise SymflowError(unreached(loss, variable), location)
        training = Training(self, loss, tuple(variables), name, location)
        loss.graph.training.append(training)
        return training


@dataclass(frozen=True, eq=False)
class Training:
    """Made by `minimize`: run it in a Session for one update, or compile it into `train`."""

    optimizer: Optimizer
    loss: Tensor
    variables: tuple[Variable, ...]
    name: str | None
    location: Location | None


class GradientDescentOptimizer(Optimizer):
    """value - rate · gradient.

    learning_rate  a number, `exponential_decay(...)` or `backtracking_line_search(...)`
    """

    def update(
        self,
        value: sp.Expr,
        gradient: sp.Expr,
        rate: sp.Expr,
        step: sp.Expr,
        *state: sp.Expr,
    ) -> sp.Expr:
        return value - rate * gradient


def _positive(name: str, value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < 1e300:
        raise SymflowError(f"{name} is {value!r}, not a positive number", calling_location())
