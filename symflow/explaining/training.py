"""An optimizer as equations: what happens to an entry θ of a parameter, with g = ∂loss/∂θ."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from symflow.formulas.algebra import minus, number, over, plus, times, tree
from symflow.formulas.tree import Call, Equation, Fenced, Name, Partial, Quantity, Tree
from symflow.program import number as exact
from symflow.program import slot
from symflow.train import LineSearch, Optimizer, Schedule

VALUE, GRADIENT = Quantity("θ"), Quantity("g")
RATE, STEP = Name("η"), Name("t")
NORM = Fenced("norm", GRADIENT)


@dataclass(frozen=True)
class Told:
    """How a model is trained.

    optimizer  its class, as words: "gradient descent"
    equations  one step, in order: of every entry θ of a parameter
    remarks    what stands in no equation, as sentences
    """

    optimizer: str
    equations: Sequence[Equation]
    remarks: Sequence[str]


def told(optimizer: Optimizer, loss: str) -> Told:
    """One step of an optimizer."""
    remarks = list(_remarks(optimizer, loss))
    return Told(_words(type(optimizer).__name__), list(_step(optimizer, loss)), remarks)


def _words(name: str) -> str:
    """GradientDescentOptimizer as words; names such as AdamW stay."""
    name = name.removesuffix("Optimizer") or name
    words = re.findall(r"[A-Z][a-z]+|[A-Z]+(?![a-z])|\w", name)
    return " ".join(words).lower() if name == "GradientDescent" else name


def _step(optimizer: Optimizer, loss: str) -> Iterator[Equation]:
    yield Equation(GRADIENT, Partial(loss, "θ"))
    yield from _adjusted(optimizer)
    yield from _rate(optimizer)
    new = _new_names(optimizer)
    old = [Quantity(name) for name in optimizer.state]
    operands: list[Tree] = [VALUE, GRADIENT, RATE, STEP, *old, *new]
    slots = {slot(at): one for at, one in enumerate(operands)}
    value, *state = optimizer.formulas
    for name, formula in zip(new, state, strict=True):
        yield Equation(name, tree(formula, slots), "←")
    yield Equation(VALUE, tree(value, slots), "←")
    for before, after in zip(old, new, strict=True):
        if before != after:
            yield Equation(before, after, "←")


def _new_names(optimizer: Optimizer) -> list[Quantity]:
    """A state keeps its name when it changes, unless its old value is still read."""
    value, *state = optimizer.formulas
    count = len(state)
    names: list[Quantity] = []
    for at, name in enumerate(optimizer.state):
        later = [value, *state[at + 1 :]]
        read = any(slot(4 + at) in formula.free_symbols for formula in later)
        names.append(Quantity(f"{name}_" if read else name))
    assert len(names) == count
    return names


def _adjusted(optimizer: Optimizer) -> Iterator[Equation]:
    """What l2, clip_value and clip_norm do to the gradient."""
    if optimizer.l2:
        penalty = times([number(exact(optimizer.l2)), VALUE])
        yield Equation(GRADIENT, plus([GRADIENT, penalty]), "←")
    if optimizer.clip_value is not None:
        bound = number(exact(optimizer.clip_value))
        inner = Call("min", (GRADIENT, bound))
        yield Equation(GRADIENT, Call("max", (inner, minus(bound))), "←")
    if optimizer.clip_norm is not None:
        bound = number(exact(optimizer.clip_norm))
        scaled = over(times([bound, GRADIENT]), Call("max", (NORM, bound)))
        yield Equation(GRADIENT, scaled, "←")


def _rate(optimizer: Optimizer) -> Iterator[Equation]:
    rate = optimizer.learning_rate
    if isinstance(rate, Schedule):
        yield Equation(RATE, tree(rate.formula, {slot(0): STEP}))
    elif not isinstance(rate, LineSearch):
        yield Equation(RATE, number(exact(rate)))
    if optimizer.rate_formula is not None:
        slots = {slot(2): RATE, slot(3): STEP}
        yield Equation(RATE, tree(optimizer.rate_formula, slots), "←")


def _remarks(optimizer: Optimizer, loss: str) -> Iterator[str]:
    rate = optimizer.learning_rate
    if isinstance(rate, LineSearch):
        yield (
            f"η is {rate.initial:g}, times {rate.shrink:g} until the {loss} falls by at least "
            f"{rate.slope:g}·η·‖g‖²."
        )
    starts = [f"{name} from {value:g}" for name, value in optimizer.state.items()]
    if starts:
        yield f"Each entry keeps {', '.join(starts)}."
    if isinstance(rate, Schedule) or optimizer.rate_formula is not None:
        yield "t counts the updates done, from 0."
    if optimizer.clip_norm is not None:
        yield "‖g‖ is over all parameters together."
    yield "train stops after `steps` updates, or where ‖g‖ ≤ `tolerance`."
