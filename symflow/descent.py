"""Gradient descent on a loss that is quadratic in the parameters, from moments of the data.

`train` reads the data once and not at every step; see `moments.py` for the mathematics. Here the
two programs of a `Quadratic` become three things of a module:

    _moments     the placeholders → what the gradient depends on beside the parameters
    _descended   the loop: a step is a few operations on moments, whatever the number of rows
    BREAK_EVEN   after how many steps that has paid

The loss at the end is compared with the loss of the data. If rounding has come between the two,
`_descended` gives up, and `train` goes on as for any other loss.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from symflow.choice import Choice
from symflow.gathering import adds_up_blocks, floats_of, gathered
from symflow.layout import Function, signature, sizes_of
from symflow.moments import RECENTRE, Quadratic
from symflow.program import Input, Program, Type
from symflow.scalars import ScalarPrinter, is_scalar
from symflow.schedule import block
from symflow.statements import INDENT, WIDTH, Block, Names, assignment, call, unpacked

_OWN = (
    *("works", "p", "d", "learning_rate", "steps", "tolerance", "rate", "step", "losses", "low"),
    *("state", "reason", "exact", "before", "allowed", "dtype"),
)
"""Names that the loop uses itself."""


_DOC = (
    "`train` on all rows, from moments; None where rounding has come between them and the data.",
    "The loss is quadratic in the parameters. So, exactly, with H from moments of the data,",
    "    gradient(p + change) = gradient(p) + H·change",
    "    loss(p + change) = loss(p) + ½⟨change, gradient(p) + gradient(p + change)⟩.",
)

CLOSE = {"float64": 1e-6, "float32": 1e-3}
"""By precision: how near the loss at the end must come to the loss of the data."""


@dataclass(frozen=True)
class Descent:
    """The functions, and the steps from which on they are faster than what they replace."""

    functions: tuple[Function, ...]
    break_even: int
    recentre: float
    close: float


def descent(
    form: Quadratic,
    parameters: Sequence[str],
    arguments: Sequence[str],
    constants: Mapping[str, str],
    dtype: str,
    rows: str,
    choice: Choice,
) -> Descent | None:
    """The functions that descend by a quadratic form; None where it never pays.

    arguments  the inputs of the loss and its gradient, in the model's order
    constants  how each array constant is written, by its digest
    dtype      of the initial parameters
    rows       how a module that adds up blocks of rows writes the number of all rows; or ""
    choice     how `_evaluate` is told whether gradients are wanted
    """
    pays = form.break_even()
    if math.isinf(pays):
        return None
    loop = _Loop(form, parameters, arguments, constants, rows, choice)
    functions = (*gathered(form.moments, loop.read, constants, rows), loop.descended())
    return Descent(functions, max(2, math.ceil(pays) + 1), RECENTRE[dtype], CLOSE[dtype])


class _Loop:
    def __init__(
        self,
        form: Quadratic,
        parameters: Sequence[str],
        arguments: Sequence[str],
        constants: Mapping[str, str],
        rows: str,
        choice: Choice,
    ) -> None:
        self.form = form
        self.choice = choice
        self.parameters = parameters
        self.arguments = arguments
        self.constants = constants
        self.read = [
            one.value.name
            for one in form.moments.definitions
            if isinstance(one.value, Input) and one.value.name in arguments
        ]
        types = _types(form.moments)
        self.sizes = sizes_of({name: types[name].shape for name in self.read})
        self.in_blocks = adds_up_blocks(form.moments, self.read, rows)
        self.on_floats = is_scalar(form.step, list(form.step.outputs.values()))

    def _measured(self, code: Block) -> list[str]:
        """The sizes that some statements mention."""
        return [f"{size} = {text}" for size, text in self.sizes.items() if code.mentions(size)]

    # --- the loop ---

    def descended(self) -> Function:
        step = self.form.step
        given = _types(step)
        pool = Names([*_OWN, *self.arguments, *self.sizes])
        inner = {name: pool.give(_label(step, name)) for name in given}
        changes = {name: inner[name] for name in self.parameters}
        code = self._step(inner)
        gradients = {name: code.results[f"d_{name}"] for name in self.parameters}
        inside = [line for statement in code.statements for line in statement.lines]
        inside += self._recentred(code, inner, changes, gradients)
        inside += self._ended(gradients)
        inside += [
            "rate = learning_rate(step) if callable(learning_rate) else learning_rate",
            *(f"{changes[one]} -= rate * {gradients[one]}" for one in changes),
        ]
        back = {one: f"({changes[one]} + rate * {gradients[one]})" for one in changes}
        passed, alone = ", ".join(["works", *self.arguments]), self.choice.alone
        lines = [
            *self._measured(code),
            *(["dtype = p[0].dtype"] if code.mentions("dtype") else []),
            *self._start(inner, changes),
            "losses: list[float] = []",
            'reason = "steps"',
            "for step in range(state.step, state.step + steps):",
            *(f"    {line}" for line in inside),
            f"{code.results['loss']} = losses[-1]",
            *self._moved("before", back),
            f"exact, _ = _evaluate({passed.replace('works', 'works, before', 1)}, {alone})",
            "allowed = CLOSE * abs(exact) + np.finfo(p[0].dtype).eps * abs(losses[0])",
            f"if not abs(exact - {code.results['loss']}) <= allowed:",
            "    return None",
            *self._moved("p", changes),
            "return TrainingResult(p, losses, steps, reason, TrainingState(state.step + steps))",
        ]
        arguments = ["works: Sequence[_Workspace]", "p: Parameters"]
        arguments += [f"{name}: Array" for name in self.arguments]
        arguments += ["state: TrainingState", "learning_rate: float | Callable[[int], float]"]
        arguments += ["steps: int", "tolerance: float"]
        return Function(
            signature("_descended", arguments, "TrainingResult | None"), _DOC, tuple(lines)
        )

    def _step(self, inner: Mapping[str, str]) -> Block:
        program = self.form.step
        taken = [*_OWN, *self.arguments, *self.sizes]
        roots = dict(program.outputs)
        if self.on_floats:
            printer = ScalarPrinter([*taken, *inner.values()])
            return block(
                program,
                roots,
                inner,
                self.constants,
                taken,
                indent=2 * INDENT,
                apart=_results,
                printer=printer,
            )
        return block(
            program, roots, inner, self.constants, taken, indent=2 * INDENT, apart=_results
        )

    def _start(self, inner: Mapping[str, str], changes: Mapping[str, str]) -> list[str]:
        """What is known before the first step; the first loss is computed from the data."""
        moments = [inner[name] for name in self.form.moments.outputs if name in inner]
        told = [] if floats_of(self.form.moments, self.read) else ["p[0].dtype"]
        given = ", ".join([*(["works"] if self.in_blocks else []), *self.read, *told])
        if self.on_floats:
            lines = unpacked(moments, f"(float(one) for one in _moments({given}))")
        else:
            lines = unpacked(moments, f"_moments({given})")
        scalars = [inner[self.form.start["loss"]], "rate"]
        if self.on_floats:
            scalars += [inner[name] for key, name in self.form.start.items() if key != "loss"]
            scalars += changes.values()
        else:
            for one, change in changes.items():
                start = inner[self.form.start[f"d_{one}"]]
                lines.append(f"{change} = {start} = np.zeros_like(p.{one})")
        chain = f"{' = '.join(scalars)} = 0.0"
        fits = INDENT + len(chain) <= WIDTH
        lines += [chain] if fits else [f"{one} = 0.0" for one in scalars]
        lines.append("low = math.inf  # a smaller loss is computed from the data again")
        return lines

    def _recentred(
        self,
        code: Block,
        inner: Mapping[str, str],
        changes: Mapping[str, str],
        gradients: Mapping[str, str],
    ) -> list[str]:
        """Move the centre, where the loss has become small next to the loss there."""
        loss = code.results["loss"]
        passed = ", ".join(["works", "p", *self.arguments, self.choice.whole])
        lines = [
            *self._moved("p", changes, 3 * INDENT),
            f"{loss}, d = _evaluate({passed})",
            f"{inner[self.form.start['loss']]} = {loss}",
        ]
        for one in self.parameters:
            start = inner[self.form.start[f"d_{one}"]]
            value = f"d.{one}.item()" if self.on_floats else f"np.array(d.{one})"
            zero = "0.0" if self.on_floats else f"np.zeros_like(p.{one})"
            lines.append(f"{gradients[one]} = {start} = {value}")
            lines.append(f"{changes[one]} = {zero}")
        lines.append(f"low = RECENTRE * abs({loss})")
        message = (
            f'f"step {{step}}: the loss is {{{loss}}}; lower the learning rate "',
            '"(symflow compile --trace-nan says where it began)"',
        )
        return [
            f"if not abs({loss}) >= low:",
            *(f"    {line}" for line in lines),
            f"losses.append({loss if self.on_floats else f'float({loss})'})",
            f"if not math.isfinite({loss}):",
            "    raise FloatingPointError(",
            *(f"        {line}" for line in message),
            "    )",
        ]

    def _ended(self, gradients: Mapping[str, str]) -> list[str]:
        if self.on_floats:
            norm = " + ".join(f"{one} * {one}" for one in gradients.values())
        else:
            norm = " + ".join(f"np.vdot({one}, {one})" for one in gradients.values())
        lines, condition = [], f"if tolerance > 0.0 and {norm} <= tolerance * tolerance:"
        if 2 * INDENT + len(condition) > WIDTH:
            lines = assignment("squared", norm, 2 * INDENT)
            condition = "if squared <= tolerance * tolerance and tolerance > 0.0:"
        return [
            *lines,
            condition,
            '    steps, reason, rate = step - state.step, "tolerance", 0.0',
            "    break",
        ]

    def _moved(self, target: str, changes: Mapping[str, str], indent: int = INDENT) -> list[str]:
        """The parameters after a change, 0-d arrays where NumPy would give numbers."""
        types = _types(self.form.step)
        fields = [
            f"{one}=p.{one} + {change}"
            if types[one].shape
            else f"{one}=np.asarray(p.{one} + {change}, p.{one}.dtype)"
            for one, change in changes.items()
        ]
        return call(f"{target} = Parameters", fields, "", indent)


def _results(program: Program, roots: Mapping[str, int]) -> set[int]:
    return set(roots.values())


def _types(program: Program) -> dict[str, Type]:
    return {
        one.value.name: one.value.type
        for one in program.definitions
        if isinstance(one.value, Input)
    }


def _label(program: Program, name: str) -> str:
    return next(
        one.label.name
        for one in program.definitions
        if isinstance(one.value, Input) and one.value.name == name
    )
