"""The training loop of a module: the optimizer's formulas, step rule and arguments, as strings."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import sympy as sp

from symflow.layout import Function, call, docstring, signature
from symflow.printing import kernel_text
from symflow.program import Access, Type, kernel
from symflow.text import Text
from symflow.train import LineSearch, Optimizer, Rate, Schedule


@dataclass(frozen=True)
class StateField:
    """What an optimizer keeps for every parameter."""

    name: str
    initial: str


@dataclass(frozen=True)
class Loop:
    """What the template of `train` wants to know.

    before, after    functions that stand before and after it
    arguments        the inputs of the loss, as they are passed on
    batch_arguments  the same with the rows of a mini-batch taken
    """

    train: Function
    before: tuple[Function, ...]
    after: tuple[Function, ...]
    states: tuple[StateField, ...]
    state_names: str
    arguments: str
    batch_arguments: str
    unpacked: str
    checked: str
    batches: bool
    first: str
    search: bool
    abc_imports: str


def training_loop(
    optimizer: Optimizer, inputs: Mapping[str, Type], loss_inputs: Sequence[str]
) -> Loop:
    """The loop for an optimizer.

    inputs       what the loss and its gradients read, in order
    loss_inputs  those of them that the loss reads
    """
    rate = optimizer.learning_rate
    batch = _batch_inputs(inputs)
    before: list[Function] = []
    if isinstance(rate, Schedule):
        before.append(_schedule(rate))
        default = "_learning_rate"
    else:
        default = repr(rate.initial if isinstance(rate, LineSearch) else rate)
    after = [*_updates(optimizer), _SQUARED_NORM]
    if isinstance(rate, LineSearch):
        after.append(_line_search(rate, list(inputs), loss_inputs))
    arguments = [
        "parameters: Parameters",
        *(f"{name}: ArrayLike" for name in inputs),
        "*",
        f"learning_rate: float | Callable[[int], float] = {default}",
        "steps: int = 1000",
        "tolerance: float = 0.0",
        *(["batch_size: int | None = None", "seed: int = 0"] if batch else []),
        "on_step: Callable[[int, float, Parameters], bool | None] | None = None",
    ]
    states = tuple(
        StateField(f"{name}_of", repr(float(initial))) for name, initial in optimizer.state.items()
    )
    names = ", ".join(inputs)
    return Loop(
        train=Function(
            signature("train", arguments, "TrainingResult"), _doc(optimizer, bool(batch))
        ),
        before=tuple(before),
        after=tuple(after),
        states=states,
        state_names=", ".join(state.name for state in states),
        arguments=names,
        batch_arguments="".join(
            f", {name}[rows]" if name in batch else f", {name}" for name in inputs
        ),
        unpacked=names if len(inputs) > 1 else f"({names},)",
        checked=", ".join(f"{name}={name}" for name in inputs),
        batches=bool(batch),
        first=batch[0] if batch else "",
        search=isinstance(rate, LineSearch),
        abc_imports="Callable, Iterator" if batch else "Callable",
    )


def _batch_inputs(inputs: Mapping[str, Type]) -> list[str]:
    """The inputs of which a mini-batch takes rows: those that share their first, open size."""
    leading = {
        name: type_.shape[0]
        for name, type_ in inputs.items()
        if type_.shape and type_.shape[0].is_Symbol
    }
    if not leading:
        return []
    rows = next(iter(leading.values()))
    if any(rows in type_.shape[1:] for type_ in inputs.values()):
        return []
    return [name for name, size in leading.items() if size == rows]


_SQUARED_NORM = Function(
    signature("_squared_norm", ["d: Parameters"], "float"),
    ("The sum of all squares.",),
    ("return float(sum(np.vdot(gradient, gradient) for gradient in d))",),
)


def _updates(optimizer: Optimizer) -> list[Function]:
    """The update of one parameter, from the optimizer's formulas."""
    state = list(optimizer.state)
    texts = [
        formula_text(formula, ["value", "gradient", "rate", "step", *state])
        for formula in optimizer.formulas
    ]
    arguments = ["value: Array", "gradient: Array", *(f"{name}: Array" for name in state)]
    arguments += ["rate: float", "step: int"]
    if state:
        returns = "tuple[" + ", ".join(["Array"] * len(texts)) + "]"
        doc = f"One parameter, and its {' and '.join(state)}, after one update."
        lines = call("return ", texts, "")
        return [Function(signature("_updated", arguments, returns), (doc,), tuple(lines))]
    moved = Function(
        signature(
            "_moved", ["p: Parameters", "d: Parameters", "rate: float", "step: int"], "Parameters"
        ),
        ("Every parameter after one update.",),
        (
            "moved = (_updated(*entries, rate, step) for entries in zip(p, d, strict=True))",
            "return Parameters(*(np.asarray(value, p[0].dtype) for value in moved))",
        ),
    )
    updated = Function(
        signature("_updated", arguments, "Array"),
        ("One parameter after one update.",),
        (f"return {texts[0]}",),
    )
    return [moved, updated]


def formula_text(formula: sp.Expr, names: Sequence[str]) -> str:
    """An elementwise formula on slots as a NumPy expression of the given names."""
    order = sorted(names, key=lambda name: name not in ("rate", "step"))  # rate * gradient
    value = kernel((), (), formula, [Access(order.index(name), ()) for name in names])
    return kernel_text(value, lambda operand: Text(order[operand])).source


def _schedule(rate: Schedule) -> Function:
    return Function(
        signature("_learning_rate", ["step: int"], "float"),
        (docstring(f"The rate after `step` updates: {rate.doc}."),),
        (f"return float({formula_text(rate.formula, ['step'])})",),
    )


def _line_search(rate: LineSearch, inputs: Sequence[str], loss_inputs: Sequence[str]) -> Function:
    arguments = ["rate: float", "value: float", "p: Parameters", "d: Parameters"]
    arguments += [f"{name}: Array" for name in inputs]
    passed = ", ".join(["_moved(p, d, rate, 0)", *loss_inputs])
    return Function(
        signature("_line_search", arguments, "float"),
        (
            "The first rate, shrunk step by step, at which the loss falls by enough.",
            f"Enough is {rate.slope:g} of what the gradient promises (Armijo's rule).",
        ),
        (
            f"enough = {rate.slope!r} * _squared_norm(d)",
            "for _ in range(100):",
            f"    if float(_loss({passed})) <= value - rate * enough:",
            "        break",
            f"    rate *= {rate.shrink!r}",
            "return rate",
        ),
    )


def _doc(optimizer: Optimizer, batches: bool) -> tuple[str, ...]:
    name = type(optimizer).__name__.removesuffix("Optimizer")
    title = re.sub(r"(?<!^)(?=[A-Z])", " ", name).capitalize()
    rate: Rate = optimizer.learning_rate
    lines = [
        f"{title}, from the given parameters.",
        "Stops after `steps` updates, when the norm of the gradient is at most `tolerance`, or",
        "when `on_step(step, loss, parameters)` returns True. A loss that is not finite raises",
        "FloatingPointError.",
        "",
    ]
    if isinstance(rate, LineSearch):
        lines += [
            "learning_rate  the first rate tried at each step, shrunk until the loss falls enough,",
            "               or a function from the number of updates done to it",
        ]
    else:
        lines.append("learning_rate  a number, or a function from the number of updates done to it")
    if batches:
        lines.append("batch_size     rows per update, without replacement; None for all rows")
        lines.append("seed           of the order of the rows")
    return tuple(lines)
