"""The functions of a module whose loss is computed on floats, as strings for the templates."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import sympy as sp

from symflow.layout import Function, signature
from symflow.loop import FORMULA_NAMES, Loop, formula_text, reached, started
from symflow.program import Kernel, Program, Type
from symflow.scalars import TWINS, ScalarPrinter, Twin, with_shared_parts
from symflow.schedule import block
from symflow.shapes import Shape
from symflow.source import docstring, literal
from symflow.statements import INDENT, WIDTH, Block, Statement, broken, call, unpacked
from symflow.text import Text, shape_text
from symflow.train import LineSearch, Optimizer


@dataclass(frozen=True)
class FloatHelpers:
    """Which functions of floats a module defines."""

    sign_of_float: bool = False
    larger_float: bool = False
    smaller_float: bool = False
    sigmoid_of_float: bool = False
    softplus_of_float: bool = False
    xlogx_of_float: bool = False
    xlogy_of_floats: bool = False
    log1mexp_of_float: bool = False

    @staticmethod
    def of(twins: Iterable[Twin]) -> FloatHelpers:
        names = {twin.floats.removeprefix("_") for twin in twins if twin.floats.startswith("_")}
        return FloatHelpers(**dict.fromkeys(names, True))


@dataclass(frozen=True)
class Scalars:
    """What the templates want to know.

    gradients   the functions of the section on gradients
    training    the loop of `train`, on floats
    namespaces  the definitions of `_FLOATS` and `_NUMPY`
    hands_on    whether functions are handed one of these
    raises      whether floats can raise an exception where NumPy gives infinity or NaN
    results     the statements that make `Parameters` of floats
    opening     the statements that make floats of what `train` is given
    step        the statement of `train` that computes the loss and its derivatives
    inputs      whether they read anything but parameters
    """

    gradients: tuple[Function, ...]
    training: Loop | None
    helpers: FloatHelpers
    namespaces: tuple[str, ...]
    hands_on: bool
    raises: bool
    results: tuple[str, ...]
    count: int
    opening: tuple[str, ...]
    step: tuple[str, ...]
    inputs: bool

    @property
    def abc_imports(self) -> tuple[str, ...]:
        """What is needed of `collections.abc`."""
        called = ["Callable"] if self.raises or self.training is not None else []
        return (*called, "Iterable", "Sequence")


@dataclass(frozen=True)
class _Core:
    """A function on floats before it is known what it is handed: all but its last argument.

    inner  whether another one calls it, and not `_evaluated`, which hands on functions to all
    """

    name: str
    arguments: tuple[str, ...]
    returns: str
    doc: tuple[str, ...]
    opening: tuple[str, ...]
    lines: tuple[str, ...]
    twins: tuple[Twin, ...]
    inner: bool = False


class ScalarFunctions:
    """Makes the functions of one module.

    parameters   the names of the parameters
    loss_inputs  those of the inputs that the loss reads
    inputs       those that the loss and its gradients read
    types        of parameters and inputs
    annotated    a list of arguments, for public functions
    """

    def __init__(
        self,
        program: Program,
        parameters: Sequence[str],
        loss_inputs: Sequence[str],
        inputs: Sequence[str],
        types: Mapping[str, Type],
        annotated: Callable[[Sequence[str]], list[str]],
    ) -> None:
        self.program = program
        self.parameters = parameters
        self.loss_inputs = loss_inputs
        self.inputs = inputs
        self.types = types
        self.annotated = annotated
        self.given = [*parameters, *inputs]
        labels = [definition.label.name for definition in program.definitions]
        self.printer = ScalarPrinter([*labels, *self.given, "maths"])

    def scalars(self, optimizer: Optimizer | None, loop: Loop | None) -> Scalars:
        cores = [self._loss(), self._loss_and_gradients()]
        moves = [] if optimizer is None else _moves(optimizer)
        everything = [*cores, *moves]
        twins = [twin for twin in TWINS.values() if any(twin in core.twins for core in everything)]
        risky = re.compile(r" / |\*\*|\bnp\.|\bspecial\.")
        raises = bool(twins) or any(risky.search(line) for one in everything for line in one.lines)
        hands_on = bool(twins)
        functions = [_finished(core, hands_on) for core in everything]
        shapes = [self.types[name].shape for name in self.parameters]
        return Scalars(
            gradients=(*self._public(raises), *functions[:2]),
            training=None
            if loop is None or optimizer is None
            else self._training(optimizer, loop, functions[2:], raises),
            helpers=FloatHelpers.of(twins),
            namespaces=tuple(_namespaces(twins)),
            hands_on=hands_on,
            raises=raises,
            results=_results(shapes),
            count=len(shapes),
            opening=tuple(self._entry("p, dtype", self.inputs)),
            step=tuple(self._step(raises)),
            inputs=bool(self.inputs),
        )

    # --- loss and gradients ---

    def _public(self, raises: bool) -> tuple[Function, ...]:
        loss_arguments = self.annotated(self.loss_inputs)
        arguments = self.annotated(self.inputs)
        return (
            Function(
                signature("loss", loss_arguments, "float"),
                ("The loss, a scalar: what training makes small.",),
                (
                    *self._entry("p, _", self.loss_inputs),
                    *evaluated("value = ", raises, ["_loss", "p", *self.loss_inputs]),
                    "return float(value)",
                ),
            ),
            Function(
                signature("gradients", arguments, "Parameters"),
                ("The exact derivative of the loss by every parameter.",),
                tuple(call("return loss_and_gradients", ["parameters", *self.inputs], "[1]")),
            ),
            Function(
                signature("loss_and_gradients", arguments, "tuple[float, Parameters]"),
                ("The loss, and its exact derivative by every parameter.",),
                (
                    *self._entry("p, dtype", self.inputs),
                    *evaluated("value, d = ", raises, ["_loss_and_gradients", "p", *self.inputs]),
                    "return float(value), _arrays(d, dtype)",
                ),
            ),
        )

    @staticmethod
    def _entry(target: str, inputs: Sequence[str]) -> list[str]:
        lines = [f"{target} = _float_parameters(parameters)"]
        if inputs:
            arguments = [f"{one}={one}" for one in inputs]
            *first, last = unpacked(inputs, "_float_inputs(")
            lines += [*first, *call(last.removesuffix("("), arguments, "")]
        return lines

    def _loss(self) -> _Core:
        code = self._block({"loss": self.program.outputs["loss"]})
        lines = [line for statement in code.statements[:-1] for line in statement.lines]
        lines += _returned(code)
        return self._core("_loss", self.loss_inputs, "Any", "The loss, on floats.", code, lines)

    def _loss_and_gradients(self) -> _Core:
        outputs = self.program.outputs
        names = ["loss", *(f"d_{one}" for one in self.parameters)]
        code = self._block({name: outputs[name] for name in names})
        lines = [line for statement in code.statements for line in statement.lines]
        lines += _tuple("d", [code.results[name] for name in names[1:]])
        lines.append(f"return {code.results['loss']}, d")
        returns = "tuple[float, Sequence[float]]"
        doc = "The loss and its derivatives, on floats."
        return self._core("_loss_and_gradients", self.inputs, returns, doc, code, lines)

    def _block(self, roots: Mapping[str, int]) -> Block:
        program = with_shared_parts(self.program, roots)
        inputs = {name: name for name in self.given}
        taken = [*self.given, "maths", *self.printer.names.values()]
        return block(program, program.outputs, inputs, {}, taken, printer=self.printer)

    def _core(
        self,
        name: str,
        inputs: Sequence[str],
        returns: str,
        doc: str,
        code: Block,
        lines: Sequence[str],
    ) -> _Core:
        arguments = ("p: Sequence[float]", *(f"{one}: float" for one in inputs))
        targets = _targets([one if code.mentions(one) else "_" for one in self.parameters])
        twins = tuple(
            twin for twin in TWINS.values() if code.mentions(self.printer.names[twin.name])
        )
        opening = (*targets, *_bound(twins, self.printer))
        return _Core(name, arguments, returns, (doc,), opening, tuple(lines), twins)

    # --- training ---

    def _step(self, raises: bool) -> list[str]:
        parts = ["_loss_and_gradients", "p", *self.inputs]
        return evaluated("value, d = ", raises, parts, "", 2 * INDENT)

    def _training(
        self, optimizer: Optimizer, loop: Loop, moves: Sequence[Function], raises: bool
    ) -> Loop:
        states = [state.name for state in loop.states]
        adjustment = optimizer.adjustment
        adjusted, moved = list[str](), list[str]()
        if adjustment.penalised is not None:
            adjusted += evaluated("d = ", raises, ["_penalised", "p", "d"])
        if isinstance(optimizer.learning_rate, LineSearch):
            given = ["rate", "value", "p", "d", *self.inputs]
            moved += call("rate = _line_search", given, "", 2 * INDENT)
        if adjustment.clipped is not None or adjustment.scale is not None:
            moved += evaluated("d = ", raises, ["_clipped", "d"])
        if optimizer.rate_formula is not None:
            moved += evaluated("rate = ", raises, ["_corrected_rate", "rate", "step"])
        targets = ", ".join(["p", *states])
        parts = ["_moved", "p", "d", *states, "rate", "step"]
        moved += evaluated(f"{targets} = ", raises, parts, "", 2 * INDENT)
        search = []
        if isinstance(optimizer.learning_rate, LineSearch):
            search = [self._line_search(optimizer.learning_rate, raises)]
        after = (*moves, *search, _SQUARED_NORM)
        kept = loop.states
        return replace(
            loop,
            after=after,
            adjusted=tuple(adjusted),
            moved=tuple(moved),
            started=started([f"_arrays([{one.initial}] * len(p), dtype)" for one in kept]),
            given=tuple(f"{one.name} = _float_parameters(state.{one.kept})[0]" for one in kept),
            reached=reached([f"_arrays({one.name}, dtype)" for one in kept]),
        )

    def _line_search(self, rate: LineSearch, raises: bool) -> Function:
        arguments = ["rate: float", "value: float", "p: Sequence[float]", "d: Sequence[float]"]
        arguments += [f"{name}: float" for name in self.inputs]
        moved = evaluated("moved = ", raises, ["_moved", "p", "d", "rate", "0"])
        parts = ["_loss", "moved", *self.loss_inputs]
        result = evaluated("result = ", raises, parts, "", 2 * INDENT)
        return Function(
            signature("_line_search", arguments, "float"),
            (
                "The first rate, shrunk step by step, at which the loss falls by enough.",
                f"Enough is {rate.slope:g} of what the gradient promises (Armijo's rule).",
            ),
            (
                f"enough = {literal(rate.slope)} * _squared_norm(d)",
                "for _ in range(100):",
                *(f"    {line}" for line in moved),
                *(f"    {line}" for line in result),
                "    if result <= value - rate * enough:",
                "        break",
                f"    rate *= {literal(rate.shrink)}",
                "return rate",
            ),
        )


def evaluated(
    target: str, raises: bool, parts: Sequence[str], closing: str = "", indent: int = INDENT
) -> list[str]:
    """`target` and a call: of `_evaluated` where floats can raise exceptions, else as it is.

    parts  the function, and what it is given
    """
    function, *given = parts
    if raises:
        return call(f"{target}_evaluated", parts, closing, indent)
    return call(f"{target}{function}", given, closing, indent)


def _finished(core: _Core, hands_on: bool) -> Function:
    takes_functions = bool(core.twins) or (hands_on and not core.inner)
    arguments = [*core.arguments, *(["maths: Any"] if takes_functions else [])]
    heading = signature(core.name, arguments, core.returns)
    return Function(heading, core.doc, (*core.opening, *core.lines))


def _targets(names: Sequence[str]) -> list[str]:
    """`x, y = p`: the parameters by their names."""
    return [] if all(name == "_" for name in names) else unpacked(names, "p")


def _returned(code: Block) -> list[str]:
    """The last statement of a block, as what is returned."""
    result = code.results["loss"]
    last = code.statements[-1] if code.statements else None
    if not isinstance(last, Statement) or last.name != result:
        return [*(last.lines if last is not None else []), f"return {result}"]
    lines = broken("return ", last.expression)
    if len(lines) == 1 and INDENT + len(lines[0]) + 2 + len(last.comment) <= WIDTH:
        return [f"{lines[0]}  {last.comment}".rstrip()]
    return [last.comment, *lines] if last.comment else lines


def _tuple(target: str, parts: Sequence[str]) -> list[str]:
    line = f"{target} = ({parts[0]},)" if len(parts) == 1 else f"{target} = ({', '.join(parts)})"
    if INDENT + len(line) <= WIDTH:
        return [line]
    return [f"{target} = (", *(f"    {part}," for part in parts), ")"]


def _bound(twins: Sequence[Twin], printer: ScalarPrinter) -> list[str]:
    """`cos, sin = maths.cos, maths.sin`: functions as names that are found at once."""
    lines: list[str] = []
    some: list[Twin] = []
    for twin in twins:
        longer = _binding([*some, twin], printer)
        if some and INDENT + len(longer) > WIDTH:
            lines.append(_binding(some, printer))
            some = []
        some.append(twin)
    return [*lines, _binding(some, printer)] if some else lines


def _binding(twins: Sequence[Twin], printer: ScalarPrinter) -> str:
    left = ", ".join(printer.names[twin.name] for twin in twins)
    return f"{left} = {', '.join(f'maths.{twin.name}' for twin in twins)}"


def _namespaces(twins: Sequence[Twin]) -> list[str]:
    if not twins:
        return []
    floats = [f"{twin.name}={twin.floats}" for twin in twins]
    arrays = [f"{twin.name}={twin.numpy}" for twin in twins]
    return [
        *call("_FLOATS = SimpleNamespace", floats, "", 0),
        *call("_NUMPY = SimpleNamespace", arrays, "", 0),
    ]


def _results(shapes: Sequence[Shape]) -> tuple[str, ...]:
    if not any(shapes):
        return (
            "if dtype in (float, np.float64):  # what NumPy makes of floats by itself, sooner",
            "    return Parameters(*map(np.array, numbers))",
            "return Parameters(*[np.array(one, dtype) for one in numbers])",
        )
    parts = [shape_text(shape) for shape in shapes]
    return (
        *_tuple("shapes: tuple[tuple[int, ...], ...]", parts),
        "pairs = zip(shapes, numbers, strict=True)",
        "return Parameters(*(np.full(shape, one, dtype) for shape, one in pairs))",
    )


# --- the optimizer's formulas --------------------------------------------------------------------

_SQUARED_NORM = Function(
    signature("_squared_norm", ["d: Sequence[float]"], "float"),
    ("The sum of all squares.",),
    ("return sum(one * one for one in d)",),
)


class _Formulas:
    """Writes formulas, and remembers which functions they need."""

    def __init__(self, names: Sequence[str]) -> None:
        self.names = names
        self.printer = ScalarPrinter([*names, "norm", "scale", "entries"])
        self.twins: list[Twin] = []

    def text(self, formula: sp.Expr) -> str:
        text = formula_text(formula, self.names, self._write)
        for twin in TWINS.values():
            name = self.printer.names[twin.name]
            if re.search(rf"(?<![\w.]){name}\(", text) and twin not in self.twins:
                self.twins.append(twin)
        return text

    def _write(self, value: Kernel, operand: Callable[[int], Text]) -> Text:
        return self.printer.text(value, Type(()), (), operand)

    def core(
        self, name: str, arguments: Sequence[str], returns: str, doc: str, lines: Sequence[str]
    ) -> _Core:
        twins = tuple(twin for twin in TWINS.values() if twin in self.twins)
        opening = tuple(_bound(twins, self.printer))
        return _Core(name, tuple(arguments), returns, (doc,), opening, tuple(lines), twins)


_SEQUENCES = ("p: Sequence[float]", "d: Sequence[float]")


def _moves(optimizer: Optimizer) -> list[_Core]:
    """What is done in a step with the gradients and the parameters."""
    return [*_rate(optimizer), *_updates(optimizer), *_adjustments(optimizer)]


def _rate(optimizer: Optimizer) -> list[_Core]:
    if optimizer.rate_formula is None:
        return []
    formulas = _Formulas(FORMULA_NAMES)
    lines = [f"return float({formulas.text(optimizer.rate_formula)})"]
    doc = "The rate of one update, from the learning rate and the updates done."
    return [formulas.core("_corrected_rate", ["rate: float", "step: int"], "float", doc, lines)]


def _updates(optimizer: Optimizer) -> list[_Core]:
    state = list(optimizer.state)
    new = [f"new_{name}" for name in state]
    formulas = _Formulas([*FORMULA_NAMES, *state, *new])
    value, *kept = (formulas.text(one) for one in optimizer.formulas)
    each = [*_SEQUENCES, *(f"{name}_of: Sequence[float]" for name in state)]
    numbers = ["value: float", "gradient: float", *(f"{name}: float" for name in state)]
    last = ["rate: float", "step: int"]
    if not state:
        doc = "Every parameter after one update."
        lines = _comprehension(value, "value, gradient", "zip(p, d, strict=True)")
        return [formulas.core("_moved", [*each, *last], "list[float]", doc, lines)]
    what = " and ".join(name.replace("_", " ") for name in state)
    lines = [f"{name} = {text}" for name, text in zip(new, kept, strict=True)]
    lines += [f"new_value = {value}", f"return {', '.join(['new_value', *new])}"]
    returns = f"tuple[{', '.join(['Any'] * (1 + len(state)))}]"
    doc = docstring(f"One parameter, and its {what}, after one update.")
    updated = formulas.core("_updated", [*numbers, *last], returns, doc, lines)
    handed = ", maths" if updated.twins else ""
    names = ["p", "d", *(f"{name}_of" for name in state), "strict=True"]
    lines = [
        *call("entries = zip", names, ""),
        f"moved = [_updated(*entry, rate, step{handed}) for entry in entries]",
        "return [list(one) for one in zip(*moved, strict=True)]",
    ]
    doc = docstring(f"Every parameter, and its {what}, after one update.")
    moved = _Formulas(()).core("_moved", [*each, *last], "list[list[float]]", doc, lines)
    return [replace(moved, twins=updated.twins), replace(updated, inner=True)]


def _adjustments(optimizer: Optimizer) -> list[_Core]:
    """What is done to all gradients before each parameter is moved by its own."""
    adjustment = optimizer.adjustment
    cores: list[_Core] = []
    if adjustment.penalised is not None:
        formulas = _Formulas(FORMULA_NAMES)
        text = formulas.text(adjustment.penalised)
        lines = _comprehension(text, "value, gradient", "zip(p, d, strict=True)")
        doc = "The gradients with those of a penalty on the squares of the parameters."
        cores.append(formulas.core("_penalised", _SEQUENCES, "list[float]", doc, lines))
    lines, doc = [], ""
    if adjustment.clipped is not None:
        formulas = _Formulas(["gradient"])
        doc = "The gradients with every entry within bounds."
        text = formulas.text(adjustment.clipped)
    elif adjustment.scale is not None:
        formulas = _Formulas(["norm"])
        doc = "The gradients, scaled together so that their norm is within its bound."
        scale, text = formulas.text(adjustment.scale), "scale * gradient"
        lines = ["norm = math.sqrt(_squared_norm(d))", f"scale = {scale}"]
    if doc:
        lines += _comprehension(text, "gradient", "d")
        cores.append(formulas.core("_clipped", _SEQUENCES[1:], "list[float]", doc, lines))
    return cores


def _comprehension(text: str, entry: str, sequence: str) -> list[str]:
    line = f"return [{text} for {entry} in {sequence}]"
    if INDENT + len(line) <= WIDTH:
        return [line]
    return ["return [", f"    {text}", f"    for {entry} in {sequence}", "]"]
