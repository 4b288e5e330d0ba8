"""The training loop of a module: the optimizer's formulas, step rule and arguments, as strings."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

import sympy as sp

from symflow.choice import OF_RATE
from symflow.cores import Core
from symflow.layout import Function, signature
from symflow.lowering import Adjustment
from symflow.machine import SMALL
from symflow.printing import floats_text
from symflow.program import Access, Kernel, Type, kernel
from symflow.source import docstring, literal
from symflow.statements import INDENT, WIDTH, call
from symflow.text import Text
from symflow.train import LineSearch, Optimizer, Rate, Schedule


@dataclass(frozen=True)
class StateField:
    """What an optimizer keeps for every parameter.

    kept   what the optimizer calls it
    name   the variable of `train` that holds it
    """

    kept: str
    name: str
    initial: str


@dataclass(frozen=True)
class Loop:
    """What the template of `train` wants to know.

    before, after    functions that stand before and after it
    arguments        the inputs of the loss, as they are passed on
    batch, rows      all of them, and the rows of a mini-batch of them
    passed           what follows the parameters where the loss is computed
    choice           what it is told of the gradients that are wanted
    folded           whether that is a rate, by which they are multiplied already
    started          the statement that gives training that begins its state
    given, reached   statements that take the optimizer's state from that of training, and back
    descended        the statement that tries to go by moments of the data
    adjusted         statements that change the gradients as soon as they are there
    moved            statements that move the parameters and the optimizer's state
    """

    train: Function
    before: tuple[Function, ...]
    after: tuple[Function, ...]
    states: tuple[StateField, ...]
    started: tuple[str, ...]
    given: tuple[str, ...]
    reached: tuple[str, ...]
    descended: tuple[str, ...]
    adjusted: tuple[str, ...]
    moved: tuple[str, ...]
    arguments: str
    batch: str
    rows: str
    passed: str
    unpacked: str
    checked: str
    batches: bool
    count: str
    search: bool
    abc_imports: tuple[str, ...]
    works: str
    choice: str
    folded: bool


def training_loop(
    optimizer: Optimizer,
    inputs: Mapping[str, Type],
    loss_inputs: Sequence[str],
    steps: Collection[sp.Expr] = (),
    core: Core | None = None,
) -> Loop:
    """The loop for an optimizer.

    inputs       what the loss and its gradients read, in order
    loss_inputs  those of them that the loss reads
    steps        how many steps the loops of the loss have
    core         of the fast style
    """
    rate = optimizer.learning_rate
    batch = batch_axes(inputs, steps)
    before: list[Function] = []
    if isinstance(rate, Schedule):
        before.append(_schedule(rate))
        default = "_learning_rate"
    else:
        default = literal(rate.initial if isinstance(rate, LineSearch) else rate)
    in_place = core is not None and optimizer.is_plain
    after = [*_corrected_rate(optimizer), *([] if in_place else _updates(optimizer))]
    folded = in_place and core is not None and core.choice is OF_RATE
    after += [*_adjustments(optimizer.adjustment), _SQUARED_NORM]
    if isinstance(rate, LineSearch):
        after.append(_line_search(rate, list(inputs), loss_inputs, core is not None))
    arguments = [
        "parameters: Parameters",
        *(f"{name}: ArrayLike" for name in inputs),
        "*",
        f"learning_rate: float | Callable[[int], float] = {default}",
        "steps: int = 1000",
        "tolerance: float = 0.0",
        *(["batch_size: int | None = None", "seed: int = 0"] if batch else []),
        *(["threads: int = 1"] if core is not None and core.rows else []),
        "state: TrainingState | None = None",
        "on_step: Callable[[int, float, Parameters], bool | None] | None = None",
    ]
    states = tuple(
        StateField(name, f"{name}_of", literal(float(initial)))
        for name, initial in optimizer.state.items()
    )
    names = ", ".join(inputs)
    by_moments = ["works", "p", *inputs, "state", "learning_rate", "steps", "tolerance"]
    works = ""
    if core is not None:
        counted = next((f"{name}.shape[{axis}]" for name, axis in batch.items()), "")
        lengths = [
            one.replace(counted, "batch_size or n") if counted else one for one in core.lengths
        ]
        given = ", ".join([*lengths, "p[0].dtype"])
        if core.keeps:
            works = f"_borrowed({'threads' if core.rows else '1'}, {given})"
        else:
            works = f"[_Workspace({given})]"
    return Loop(
        train=Function(
            signature("train", arguments, "TrainingResult"),
            _doc(optimizer, bool(batch), core is not None and core.rows > 0),
        ),
        before=tuple(before),
        after=tuple(after),
        states=states,
        started=started(
            [f"Parameters(*(np.full_like(value, {one.initial}) for value in p))" for one in states]
        ),
        given=tuple(
            f"{one.name} = _copied(_checked_parameters(state.{one.kept}))" for one in states
        ),
        reached=reached([one.name for one in states]),
        descended=tuple(call("found = _descended", by_moments, "", 2 * INDENT)),
        adjusted=() if optimizer.adjustment.penalised is None else ("d = _penalised(p, d)",),
        moved=tuple(_moves(optimizer, [state.name for state in states], core)),
        arguments=names,
        batch=_tuple(inputs),
        rows=_tuple(
            f"{name}[{':, ' * batch[name]}rows]" if name in batch else name for name in inputs
        ),
        passed=", *batch" if batch else "".join(f", {name}" for name in inputs),
        unpacked=names if len(inputs) > 1 else f"({names},)",
        checked=", ".join(f"{name}={name}" for name in inputs),
        batches=bool(batch),
        count=next((f"{name}.shape[{axis}]" for name, axis in batch.items()), ""),
        search=isinstance(rate, LineSearch),
        abc_imports=("Callable", "Iterator") if batch else ("Callable",),
        works=works,
        choice="rate" if folded else core.choice.whole if core is not None else "",
        folded=folded,
    )


def batch_axes(inputs: Mapping[str, Type], steps: Collection[sp.Expr]) -> dict[str, int]:
    """The inputs of which a mini-batch takes rows, each with the axis that they are along.

    Rows are what the first open size counts, unless loops count it as their steps: a sequence
    (t, n, d) has its rows along axis 1.
    """
    first = [type_.shape[0] for type_ in inputs.values() if type_.shape]
    second = [
        type_.shape[1]
        for type_ in inputs.values()
        if len(type_.shape) > 1 and type_.shape[0] in steps
    ]
    rows = next((size for size in (*first, *second) if size.is_Symbol and size not in steps), None)
    if rows is None or any(type_.shape.count(rows) > 1 for type_ in inputs.values()):
        return {}
    axes = {name: type_.shape.index(rows) for name, type_ in inputs.items() if rows in type_.shape}
    in_place = all(axis == (inputs[name].shape[0] in steps) for name, axis in axes.items())
    return axes if in_place else {}


FORMULA_NAMES = ("value", "gradient", "rate", "step")
"""What the slots of an optimizer's formulas are called, before its state."""

_SQUARED_NORM = Function(
    signature("_squared_norm", ["d: Parameters"], "float"),
    ("The sum of all squares.",),
    ("return float(sum(np.vdot(gradient, gradient) for gradient in d))",),
)


def _tuple(parts: Iterable[str]) -> str:
    listed = ", ".join(parts)
    return f"({listed},)" if "," not in listed else f"({listed})"


def _moves(optimizer: Optimizer, states: Sequence[str], core: Core | None) -> list[str]:
    """The statements in the loop that follow the choice of a rate."""
    adjustment = optimizer.adjustment
    lines: list[str] = []
    if adjustment.clipped is not None or adjustment.scale is not None:
        lines.append("d = _clipped(d)")
    if optimizer.rate_formula is not None:
        lines.append("rate = _corrected_rate(rate, step)")
    if states:
        targets = ", ".join(["p", *states])
        lines += call(f"{targets} = _moved", ["p", "d", *states, "rate", "step"], "", 8)
    elif core is not None and core.choice is OF_RATE:
        lines += [
            "for moved, gradient in zip(p, d, strict=True):",
            "    np.subtract(moved, gradient, moved)",
        ]
    elif core is not None and optimizer.is_plain:
        lines.append("for moved, gradient in zip(p, d, strict=True):")
        if core.largest == 1:  # on a 0-d array, a ufunc takes ten times as long as Python
            lines.append("    moved[()] -= rate * gradient")
        elif core.largest > SMALL:  # a temporary array of that size costs more than the call
            lines += [
                "    np.multiply(gradient, rate, gradient)",
                "    np.subtract(moved, gradient, moved)",
            ]
        else:
            lines.append("    np.subtract(moved, rate * gradient, moved)")
    else:
        lines.append("p = _moved(p, d, rate, step)")
    return lines


def started(states: Sequence[str]) -> tuple[str, ...]:
    """The statement that gives training that begins its state."""
    return tuple(call("state = TrainingState", ["0", *states], "", 2 * INDENT))


def reached(states: Sequence[str]) -> tuple[str, ...]:
    """The statement that hands out where training stands."""
    return tuple(call("state = TrainingState", ["state.step + steps", *states], ""))


def _corrected_rate(optimizer: Optimizer) -> list[Function]:
    formula = optimizer.rate_formula
    if formula is None:
        return []
    text = formula_text(formula, FORMULA_NAMES)
    return [
        Function(
            signature("_corrected_rate", ["rate: float", "step: int"], "float"),
            ("The rate of one update, from the learning rate and the updates done.",),
            tuple(call("return float", [text], "")),
        )
    ]


def _adjustments(adjustment: Adjustment) -> list[Function]:
    """What is done to all gradients before each parameter is moved by its own."""
    functions: list[Function] = []
    if adjustment.penalised is not None:
        text = formula_text(adjustment.penalised, FORMULA_NAMES)
        functions.append(
            Function(
                signature("_penalised", ["p: Parameters", "d: Parameters"], "Parameters"),
                ("The gradients with those of a penalty on the squares of the parameters.",),
                (
                    f"entries = ({text} for value, gradient in zip(p, d, strict=True))",
                    "return Parameters(*(np.asarray(entry, p[0].dtype) for entry in entries))",
                ),
            )
        )
    doc, lines = "", []
    if adjustment.clipped is not None:
        doc = "The gradients with every entry within bounds."
        text = formula_text(adjustment.clipped, ["gradient"])
    elif adjustment.scale is not None:
        doc = "The gradients, scaled together so that their norm is within its bound."
        lines = [
            "norm = np.sqrt(_squared_norm(d))",
            f"scale = float({formula_text(adjustment.scale, ['norm'])})",
        ]
        text = "scale * gradient"
    if doc:
        lines += [
            f"entries = ({text} for gradient in d)",
            "return Parameters(*(np.asarray(entry, d[0].dtype) for entry in entries))",
        ]
        clipped = signature("_clipped", ["d: Parameters"], "Parameters")
        functions.append(Function(clipped, (doc,), tuple(lines)))
    return functions


def _updates(optimizer: Optimizer) -> list[Function]:
    """The update of one parameter, from the optimizer's formulas, and of all parameters."""
    state = list(optimizer.state)
    new = [f"new_{name}" for name in state]
    value, *kept = (_new(one, [*FORMULA_NAMES, *state, *new]) for one in optimizer.formulas)
    arguments = ["value: Array", "gradient: Array", *(f"{name}: Array" for name in state)]
    arguments += ["rate: float", "step: int"]
    if state:
        return _stateful(arguments, state, [*zip(new, kept, strict=True), ("new_value", value)])
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
    typed = [f"new_value: Array = {value}", "return new_value"]  # for NumPy types ufuncs as Any
    updated = Function(
        signature("_updated", arguments, "Array"),
        ("One parameter after one update.",),
        tuple(typed),
    )
    return [moved, updated]


def _new(formula: sp.Expr, names: Sequence[str]) -> str:
    """A formula for an array, which is another one than those that it is computed from."""
    text = formula_text(formula, names)
    return f"np.array({text})" if formula.is_Symbol else text


def _stateful(
    arguments: Sequence[str], state: Sequence[str], formulas: Sequence[tuple[str, str]]
) -> list[Function]:
    """The same for an optimizer that keeps state, which comes with the parameters."""
    each = ["p", "d", *(f"{name}_of" for name in state)]
    what = " and ".join(name.replace("_", " ") for name in state)
    moved = Function(
        signature(
            "_moved",
            [*(f"{name}: Parameters" for name in each), "rate: float", "step: int"],
            "tuple[Parameters, ...]",
        ),
        (docstring(f"Every parameter, and its {what}, after one update."),),
        (
            *call("entries = zip", [*each, "strict=True"], ""),
            "moved = zip(*(_updated(*entry, rate, step) for entry in entries), strict=True)",
            "dtype = p[0].dtype",
            "return tuple(Parameters(*(np.asarray(one, dtype) for one in new)) for new in moved)",
        ),
    )
    new = [name for name, _ in formulas]
    updated = Function(
        signature("_updated", arguments, f"tuple[{', '.join(['Array'] * len(new))}]"),
        (docstring(f"One parameter, and its {what}, after one update."),),
        (
            *(line for name, text in formulas for line in _assigned(name, text)),
            f"return {', '.join([new[-1], *new[:-1]])}",
        ),
    )
    return [moved, updated]


def _assigned(name: str, text: str) -> list[str]:
    line = f"{name} = {text}"
    return [line] if 4 + len(line) <= WIDTH else [f"{name} = (", f"    {text}", ")"]


def formula_text(
    formula: sp.Expr,
    names: Sequence[str],
    write: Callable[[Kernel, Callable[[int], Text]], Text] = floats_text,
) -> str:
    """An elementwise formula on slots as an expression of the given names."""
    # rate * gradient, but 0.9 * velocity + gradient
    order = sorted(names, key=lambda name: (name not in ("rate", "step"), name == "gradient"))
    value = kernel((), (), formula, [Access(order.index(name), ()) for name in names])
    return write(value, lambda operand: Text(order[operand])).source


def _schedule(rate: Schedule) -> Function:
    return Function(
        signature("_learning_rate", ["step: int"], "float"),
        (docstring(f"The rate after `step` updates: {rate.doc}."),),
        (f"return float({formula_text(rate.formula, ['step'])})",),
    )


def _line_search(
    rate: LineSearch, inputs: Sequence[str], loss_inputs: Sequence[str], fast: bool
) -> Function:
    arguments = ["rate: float", "value: float", "p: Parameters", "d: Parameters"]
    arguments += [f"{name}: Array" for name in inputs]
    if fast:
        arguments.insert(0, "works: Sequence[_Workspace]")
        passed = ", ".join(["works", "_moved(p, d, rate, 0)", *inputs, "False"])
        tried = f"_evaluate({passed})[0]"
    else:
        passed = ", ".join(["_moved(p, d, rate, 0)", *loss_inputs])
        tried = f"float(_loss({passed}))"
    return Function(
        signature("_line_search", arguments, "float"),
        (
            "The first rate, shrunk step by step, at which the loss falls by enough.",
            f"Enough is {rate.slope:g} of what the gradient promises (Armijo's rule).",
        ),
        (
            f"enough = {literal(rate.slope)} * _squared_norm(d)",
            "for _ in range(100):",
            f"    if {tried} <= value - rate * enough:",
            "        break",
            f"    rate *= {literal(rate.shrink)}",
            "return rate",
        ),
    )


def _doc(optimizer: Optimizer, batches: bool, threads: bool) -> tuple[str, ...]:
    name = type(optimizer).__name__.removesuffix("Optimizer")
    title = re.sub(r"(?<=[a-z])[A-Z](?=[a-z])", lambda found: f" {found[0].lower()}", name)
    rate: Rate = optimizer.learning_rate
    lines = [
        docstring(f"{title}, from the given parameters."),
        "Stops after `steps` updates, when the norm of the gradient is at most `tolerance`, or",
        "when `on_step(step, loss, parameters)` returns True. A loss that is not finite raises",
        "FloatingPointError.",
    ]
    if optimizer.l2:
        lines.append(
            "The gradient is that of the loss and a penalty, the losses are of the loss alone."
        )
    lines.append("")
    if isinstance(rate, LineSearch):
        lines += [
            "learning_rate  the first rate tried at each step, shrunk until the loss falls enough,",
            "               or a function of the number of updates done that gives it",
        ]
    else:
        lines.append(
            "learning_rate  a number, or a function of the number of updates done that gives it"
        )
    if batches:
        lines.append("batch_size     rows per update, without replacement; None for all rows")
        lines.append("seed           of the order of the rows")
    if threads:
        lines.append("threads        that work on blocks of rows side by side")
    lines.append("state          `state` of an earlier result, to go on as if it had not ended")
    return tuple(lines)
