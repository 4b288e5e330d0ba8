"""`sf.train`: optimizers and step rules, each a few formulas in SymPy.

An optimizer says how one entry of a parameter follows from the entry, its gradient, the rate and
the state that the optimizer keeps for it. The same formulas run in a Session and are printed
into the generated module.

The optimizers here compute what TensorFlow 1's of the same name do, in their dense CPU kernels
(`training_ops.cc`): where an epsilon stands, what the state starts from, and which rate Adam uses.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import sympy as sp

from symflow.arithmetic import undistributed
from symflow.derivatives import dependencies, not_scalar, unreached
from symflow.elementwise import canonical
from symflow.errors import Location, SymflowError, calling_location, together
from symflow.graph import Tensor, Variable, convert
from symflow.guidance import unknown
from symflow.lowering import Adjustment
from symflow.program import number, slot, slots_of
from symflow.rows import ROWS, power
from symflow.source import is_identifier


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

    def __post_init__(self) -> None:
        _positive("initial", self.initial)
        for name, value in (("shrink", self.shrink), ("slope", self.slope)):
            _positive(name, value)
            if not value < 1:
                raise SymflowError(f"{name} is {value}, not between 0 and 1", calling_location())


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
    formula = number(learning_rate) * power(number(decay_rate), exponent)
    return Schedule(formula, f"{learning_rate:g}, times {decay_rate:g} per {decay_steps:g} steps")


def backtracking_line_search(
    initial: float = 1.0, shrink: float = 0.5, slope: float = 1e-4
) -> LineSearch:
    """Try the rate `initial`, and shrink it until the loss falls by enough (Armijo's rule).

    Enough is rate · slope · ‖∇‖², with 0 < shrink < 1 and 0 < slope < 1.
    """
    return LineSearch(initial, shrink, slope)


def _exact(formula: sp.Expr) -> sp.Expr:
    """The formula with 0.9 as nine tenths, so that it prints as it was written; and 0.9^step as a
    function, lest SymPy make (10/9)^(-step) of it, as some versions do.
    """
    formula = formula.replace(
        lambda one: isinstance(one, sp.Pow) and one.base.is_Number and bool(slots_of(one.exp)),
        lambda one: power(one.base, one.exp),
    )
    return formula.xreplace({one: number(float(one)) for one in formula.atoms(sp.Float)})


def _opened(formula: sp.Expr) -> sp.Expr:
    """The formula without `kept`, where it was no state after all."""
    return formula.replace(_Kept, lambda inside: inside)


class _Kept(sp.Function):  # type: ignore[misc]
    """See `kept`."""

    nargs = 1
    is_real = True


def kept(formula: Any) -> sp.Expr:
    """A new state as one thing in the formulas after it, so that SymPy does not multiply it out."""
    return _Kept(formula)


VALUE, GRADIENT, RATE, STEP = map(slot, range(4))
"""What every update reads; the old state follows, and then the new one."""

_ARGUMENTS = ("value", "gradient", "rate", "step")


class Optimizer:
    """What all optimizers share. A subclass gives `update`, and `state` if it keeps any.

    learning_rate  a number, `exponential_decay(...)`, or, for plain descent,
                   `backtracking_line_search(...)`
    clip_value     bound every entry of the gradient by this, up and down
    clip_norm      scale all gradients together by clip_norm / max(‖∇‖, clip_norm), where ‖∇‖ is
                   over all parameters, as tf.clip_by_global_norm (Pascanu et al. 2013)
    l2             add l2 · value to the gradient, as l2 · tf.nn.l2_loss(value) in the loss would;
                   this comes before clipping, and the loss that is reported is without it

    class Momentum(Optimizer):
        state = {"velocity": 0.0}

        def update(self, value, gradient, rate, step, velocity):
            velocity = kept(0.9 * velocity + gradient)
            return value - rate * velocity, velocity

    The options are for every optimizer: one with an `__init__` of its own passes them on.
    """

    state: Mapping[str, float] = {}

    def __init__(
        self,
        learning_rate: Rate,
        *,
        clip_value: float | None = None,
        clip_norm: float | None = None,
        l2: float = 0.0,
    ) -> None:
        if not isinstance(learning_rate, (Schedule, LineSearch)):
            _positive("learning_rate", learning_rate)
            learning_rate = float(learning_rate)
        for name, clip in (("clip_value", clip_value), ("clip_norm", clip_norm)):
            if clip is not None:
                _positive(name, clip)
        _within("l2", l2)
        if clip_value is not None and clip_norm is not None:
            raise SymflowError("give clip_value or clip_norm, not both", calling_location())
        self.learning_rate = learning_rate
        self.clip_value = clip_value
        self.clip_norm = clip_norm
        self.l2 = l2
        if isinstance(learning_rate, LineSearch):
            self._check_plain()
        self.state = {str.__str__(name): value for name, value in self.state.items()}
        for name, value in self.state.items():
            if isinstance(value, bool) or not isinstance(value, (int, float)):
                told = f"a state starts from a number, not from {value!r}"
                raise SymflowError(told, calling_location())
            taken = name in (*_ARGUMENTS, "np", "count", "index") or name.startswith(("new_", "_"))
            if taken or not is_identifier(name):
                raise SymflowError(f"a state cannot be called {name!r}", calling_location())

    def _check_plain(self) -> None:
        name, what = type(self).__name__, ""
        if self.state:
            what = "keeps state"
        elif self.adjustment != Adjustment():
            what = "changes the gradient"
        if what:
            raise SymflowError(
                f"{name} {what}; a line search needs plain descent", calling_location()
            )

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

    def corrected_rate(self, rate: sp.Expr, step: sp.Expr) -> sp.Expr:
        """The rate that `update` is given, from the learning rate and the updates done."""
        return rate

    @property
    def is_plain(self) -> bool:
        """Whether a parameter moves by -rate · gradient, and nothing else is done to either."""
        adjusted = (self.adjustment.penalised, self.adjustment.clipped, self.adjustment.scale)
        fixed = not isinstance(self.learning_rate, LineSearch) and self.rate_formula is None
        plain = list(self.formulas) == [VALUE - RATE * GRADIENT]
        return fixed and plain and all(one is None for one in adjusted)

    @cached_property
    @undistributed
    def formulas(self) -> tuple[sp.Expr, ...]:
        """`update` on slots: value, gradient, rate, step, the state, and the new state.

        First the new value, then each new state, which may read those before it.
        """
        count = len(self.state)
        found = self.update(*(slot(at) for at in range(4 + count)))
        formulas = found if isinstance(found, tuple) else (found,)
        if len(formulas) != 1 + count:
            raise SymflowError(
                f"{type(self).__name__}.update returns {len(formulas)} formulas for the value "
                f"and {count} of state"
            )
        value, *state = (canonical(_exact(sp.sympify(formula))) for formula in formulas)
        new: dict[sp.Expr, sp.Expr] = {}
        written: list[sp.Expr] = []
        for at, formula in enumerate(state):
            body = formula.args[0] if isinstance(formula, _Kept) else formula
            written.append(_opened(body.xreplace(new)))
            if not formula.is_Atom:
                new[formula] = slot(4 + count + at)
        return (_opened(value.xreplace(new)), *written)

    @cached_property
    @undistributed
    def rate_formula(self) -> sp.Expr | None:
        """`corrected_rate` on the slots of rate and step, unless it is the rate itself."""
        formula = _exact(sp.sympify(self.corrected_rate(RATE, STEP)))
        return None if formula == RATE else formula

    def rate_after(self, step: int) -> float:
        """What `update` is given as rate after that many updates."""
        rate = self.learning_rate
        assert not isinstance(rate, LineSearch)
        now = rate.at(step) if isinstance(rate, Schedule) else rate
        return now if self.rate_formula is None else float(self._corrected(now, step))

    @cached_property
    @undistributed
    def _corrected(self) -> Callable[[float, int], float]:
        function: Callable[[float, int], float] = sp.lambdify(
            (RATE, STEP), self.rate_formula, "math"
        )
        return function

    @cached_property
    @undistributed
    def adjustment(self) -> Adjustment:
        """What `clip_value`, `clip_norm` and `l2` do to the gradients."""
        penalised = clipped = scale = None
        if self.l2:
            penalised = GRADIENT + number(self.l2) * VALUE
        if self.clip_value is not None:
            bound = number(self.clip_value)
            clipped = ROWS["maximum"](ROWS["minimum"](slot(0), bound), -bound)
        if self.clip_norm is not None:
            bound = number(self.clip_norm)
            scale = bound / ROWS["maximum"](slot(0), bound)
        return Adjustment(penalised, clipped, scale)

    def minimize(
        self, loss: Any, var_list: Sequence[Variable] | None = None, name: str | None = None
    ) -> Training:
        """The operation that moves every Variable, or those listed, once."""
        loss = convert(loss)
        location = calling_location()
        if loss.type is not None and loss.type.shape != ():
            raise not_scalar(loss, loss.type.shape, location)
        variables = loss.graph.trainable_variables if var_list is None else list(var_list)
        for variable in variables:
            if not isinstance(variable, Variable):
                raise SymflowError(f"minimize: {variable!r} in var_list is no Variable", location)
        if not variables and not loss.broken:
            raise SymflowError(
                "there is no trainable Variable to train",
                location,
                hint="what training changes is an sf.Variable(initial_value)",
            )
        reached = dependencies(loss, flat=False)
        missing = [one for one in variables if one not in reached and not loss.broken]
        if missing:
            raise together(unreached(loss, one) for one in missing)
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


class MomentumOptimizer(Optimizer):
    """velocity ← momentum · velocity + gradient, from 0;  value - rate · velocity.

    With `use_nesterov` the value loses rate · (gradient + momentum · velocity), where the velocity
    is the new one.

    Polyak 1964, "Some methods of speeding up the convergence of iteration methods"; the second form
    of Nesterov's gradient is that of Sutskever et al. 2013, "On the importance of initialization
    and momentum in deep learning". As tf.train.MomentumOptimizer: the rate stands outside the
    velocity, so that a change of it acts at once.
    """

    state: Mapping[str, float] = {"velocity": 0.0}

    def __init__(
        self, learning_rate: Rate, momentum: float, use_nesterov: bool = False, **options: Any
    ) -> None:
        super().__init__(learning_rate, **options)
        _within("momentum", momentum)
        self.momentum = number(momentum)
        self.use_nesterov = use_nesterov

    def update(
        self,
        value: sp.Expr,
        gradient: sp.Expr,
        rate: sp.Expr,
        step: sp.Expr,
        *state: sp.Expr,
    ) -> tuple[sp.Expr, ...]:
        velocity = kept(self.momentum * state[0] + gradient)
        if self.use_nesterov:
            return value - rate * (gradient + self.momentum * velocity), velocity
        return value - rate * velocity, velocity


class AdagradOptimizer(Optimizer):
    """accumulator ← accumulator + gradient²;  value - rate · gradient / √accumulator.

    Duchi, Hazan and Singer 2011, "Adaptive subgradient methods for online learning and stochastic
    optimization". As tf.train.AdagradOptimizer: the accumulator starts from
    `initial_accumulator_value`, which takes the place of an epsilon.
    """

    def __init__(
        self, learning_rate: Rate, initial_accumulator_value: float = 0.1, **options: Any
    ) -> None:
        _positive("initial_accumulator_value", initial_accumulator_value)
        self.state = {"accumulator": float(initial_accumulator_value)}
        super().__init__(learning_rate, **options)

    def update(
        self,
        value: sp.Expr,
        gradient: sp.Expr,
        rate: sp.Expr,
        step: sp.Expr,
        *state: sp.Expr,
    ) -> tuple[sp.Expr, ...]:
        accumulator = kept(state[0] + gradient**2)
        return value - rate * gradient / sp.sqrt(accumulator), accumulator


class RMSPropOptimizer(Optimizer):
    """mean_square ← decay · mean_square + (1 - decay) · gradient², from 1;
    velocity ← momentum · velocity + rate · gradient / √(mean_square + epsilon), from 0;
    value - velocity.

    Tieleman and Hinton 2012, "Lecture 6.5 - rmsprop". As tf.train.RMSPropOptimizer, not centered:
    the epsilon is under the root, the mean starts from 1 and the velocity holds the rate. Without
    momentum no velocity is kept.
    """

    def __init__(
        self,
        learning_rate: Rate,
        decay: float = 0.9,
        momentum: float = 0.0,
        epsilon: float = 1e-10,
        **options: Any,
    ) -> None:
        _within("decay", decay, 1.0)
        _within("momentum", momentum)
        _within("epsilon", epsilon)
        self.decay = number(decay)
        self.momentum = number(momentum)
        self.epsilon = number(epsilon)
        self.state = {"mean_square": 1.0, **({"velocity": 0.0} if momentum else {})}
        super().__init__(learning_rate, **options)

    def update(
        self,
        value: sp.Expr,
        gradient: sp.Expr,
        rate: sp.Expr,
        step: sp.Expr,
        *state: sp.Expr,
    ) -> tuple[sp.Expr, ...]:
        mean_square = kept(self.decay * state[0] + (1 - self.decay) * gradient**2)
        move = rate * gradient / sp.sqrt(mean_square + self.epsilon)
        if not self.momentum:
            return value - move, mean_square
        velocity = kept(self.momentum * state[1] + move)
        return value - velocity, mean_square, velocity


class AdamOptimizer(Optimizer):
    """m ← beta1 · m + (1 - beta1) · gradient, from 0;
    v ← beta2 · v + (1 - beta2) · gradient², from 0;
    value - rate · √(1 - beta2^t) / (1 - beta1^t) · m / (√v + epsilon), at update t = 1, 2, ...

    Kingma and Ba 2015, "Adam: a method for stochastic optimization". As tf.train.AdamOptimizer:
    the epsilon is the "epsilon hat" of the formulation just before the paper's section 2.1, not
    that of its algorithm 1, where it is added to the root of the corrected v.
    """

    state: Mapping[str, float] = {"m": 0.0, "v": 0.0}

    def __init__(
        self,
        learning_rate: Rate = 0.001,
        beta1: float = 0.9,
        beta2: float = 0.999,
        epsilon: float = 1e-8,
        **options: Any,
    ) -> None:
        super().__init__(learning_rate, **options)
        for name, beta in (("beta1", beta1), ("beta2", beta2)):
            _within(name, beta, 1.0)
            if beta == 1:
                raise SymflowError(f"{name} is 1, and nothing would be learned", calling_location())
        _within("epsilon", epsilon)
        self.beta1 = number(beta1)
        self.beta2 = number(beta2)
        self.epsilon = number(epsilon)

    def corrected_rate(self, rate: sp.Expr, step: sp.Expr) -> sp.Expr:
        first, second = (
            1 - power(beta, step + 1) if beta else sp.Integer(1)
            for beta in (self.beta1, self.beta2)
        )
        return rate * sp.sqrt(second) / first

    def update(
        self,
        value: sp.Expr,
        gradient: sp.Expr,
        rate: sp.Expr,
        step: sp.Expr,
        *state: sp.Expr,
    ) -> tuple[sp.Expr, ...]:
        m = kept(self.beta1 * state[0] + (1 - self.beta1) * gradient)
        v = kept(self.beta2 * state[1] + (1 - self.beta2) * gradient**2)
        return value - rate * m / (sp.sqrt(v) + self.epsilon), m, v


class AdamWOptimizer(AdamOptimizer):
    """Adam, and the value loses weight_decay · value as well, which no gradient carries.

    Loshchilov and Hutter 2019, "Decoupled weight decay regularization". As
    tf.contrib.opt.AdamWOptimizer: the decay is weight_decay · value of the value before the
    update, and is *not* multiplied by the learning rate, unlike elsewhere (torch.optim.AdamW);
    nor does it follow a schedule of the rate.
    """

    def __init__(
        self,
        weight_decay: float,
        learning_rate: Rate = 0.001,
        beta1: float = 0.9,
        beta2: float = 0.999,
        epsilon: float = 1e-8,
        **options: Any,
    ) -> None:
        super().__init__(learning_rate, beta1, beta2, epsilon, **options)
        _within("weight_decay", weight_decay, 1.0)
        self.weight_decay = number(weight_decay)

    def update(
        self,
        value: sp.Expr,
        gradient: sp.Expr,
        rate: sp.Expr,
        step: sp.Expr,
        *state: sp.Expr,
    ) -> tuple[sp.Expr, ...]:
        moved, *new = super().update(value, gradient, rate, step, *state)
        return moved - self.weight_decay * value, *new


def _positive(name: str, value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < 1e300:
        raise SymflowError(f"{name} is {value!r}, not a positive number", calling_location())


def _within(name: str, value: Any, most: float = math.inf) -> None:
    """Complain unless the value is a finite number from 0 to `most`."""
    known = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not known or not 0 <= value <= min(most, 1e300):
        bounds = "a number from 0" if most == math.inf else f"a number from 0 to {most:g}"
        raise SymflowError(f"{name} is {value!r}, not {bounds}", calling_location())


if not TYPE_CHECKING:
    _PUBLIC = ("backtracking_line_search", "exponential_decay", "kept", "LineSearch", "Schedule")
    _OPTIMIZERS = [name for name in globals() if name.endswith("Optimizer")]
    __getattr__ = unknown("sf.train", [*_PUBLIC, *_OPTIMIZERS])
