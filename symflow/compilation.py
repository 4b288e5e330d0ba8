"""One run of the compiler on a model file: what is asked of the graph, under which names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import replace
from functools import cached_property
from typing import Any, Literal

import numpy as np
import sympy as sp
from numpy.typing import NDArray

from symflow.arithmetic import undistributed
from symflow.batching import batched
from symflow.compiler import compile_program, compile_stages
from symflow.errors import Location, SymflowError, together
from symflow.graph import Placeholder, Tensor, Variable
from symflow.initial import initial_values
from symflow.invariants import data_only
from symflow.invocation import Invocation
from symflow.lowering import Request, needed
from symflow.model import Model
from symflow.moments import Quadratic, quadratic
from symflow.naming import label_nodes
from symflow.notation import definition_text, program_text
from symflow.program import Program
from symflow.rules import known_rules
from symflow.scaling import with_rate
from symflow.shapes import Shape, Unknown, show
from symflow.shipping import Shipping, only
from symflow.source import is_identifier
from symflow.stabilisation import Rewrite, Rules, explained

PUBLIC = frozenset(
    {"INPUTS", "INTEGERS", "Array", "Parameters", "TrainingResult", "TrainingState"}
    | {"gradients", "initial_parameters", "load_parameters", "loss_and_gradients"}
    | {"save_parameters", "train"}
)
"""What a generated module defines for its users."""

OWN = frozenset(
    {"BLOCK", "BREAK_EVEN", "CLOSE", "KEPT", "RECENTRE", "annotations", "math", "np", "os"}
    | {
        "io",
        "special",
        "zipfile",
        "Any",
        "ArrayLike",
        "Callable",
        "Iterable",
        "Iterator",
        "NDArray",
    }
    | {"NamedTuple", "Path", "Sequence", "SimpleNamespace", "hashlib", "selftest", "sys"}
)
"""What it defines or imports beside that: no function may be called so."""

ARGUMENTS = frozenset({"parameters", "threads"})
"""What public functions call arguments of their own."""

OF_TRAINING = frozenset(
    {"batch_size", "learning_rate", "on_step", "seed", "state", "steps", "tolerance"}
)
"""The same of `train`."""


Style = Literal["fast", "plain"]


class Compilation:
    """A model, and the choices of one run.

    shapes  for placeholders, by name, in place of the ones in the file
    dtype   "float32" or "float64"; the model's own precision if None
    without names of rules that are left out
    style   "fast" for loss and gradients in blocks, through a workspace; "plain" to be read
    ships   which functions, with which parameters, and what the module says of itself
    """

    def __init__(
        self,
        model: Model,
        shapes: Mapping[str, Shape] | None = None,
        dtype: str | None = None,
        without: Sequence[str] = (),
        style: Style = "fast",
        ships: Shipping | None = None,
    ) -> None:
        self.ships = ships or Shipping()
        self.model = only(model, self.ships.only)
        self.style = style
        self.without = known_rules(without)
        roots = self._roots()
        self.trainable = self._trainable(model, roots)
        values = self.ships.parameters
        self.embedded = values is not None and not self.trainable
        of_values = values.dtype if values is not None else None
        self.dtype = dtype or of_values or np.dtype(model.graph.dtype).name
        self.nodes = needed([*roots, *self.trainable])
        self.labels = label_nodes(self.nodes, self._bound())
        self.inputs = [node for node in self.nodes if isinstance(node, Placeholder)]
        given = dict(shapes or {})
        self._check_names(given)
        self.invocation = self._invocation(given, dtype)
        self.request = self._request(self._by_identity(given))

    def _invocation(self, shapes: Mapping[str, Shape], dtype: str | None) -> Invocation:
        ships, source = self.ships, self.model.source
        file = "" if ships.parameters is None else ships.parameters.file
        rest = ships.only, file, ships.selftest, ships.trace_nan
        return Invocation(source, shapes, dtype, self.without, self.style, *rest)

    def _roots(self) -> list[Tensor]:
        loss = self.model.loss
        return [*self.model.exports.values(), *([loss] if loss is not None else [])]

    def _trainable(self, model: Model, roots: Sequence[Tensor]) -> list[Variable]:
        """The Variables that functions are given as parameters.

        They are those that the model trains; of these, what a module of some functions `only`
        reads. None where their values are put into such a module.
        """
        if self.model.loss is not None:
            return list(self.model.trainable)
        if model.loss is None or self.ships.parameters is not None:
            return []
        read = {id(node) for node in needed(roots)}
        return [node for node in model.trainable if id(node) in read]

    def _bound(self) -> dict[int, str]:
        bound = dict(self.model.bound)
        loss = self.model.loss
        if loss is not None and id(loss) not in bound and loss.name is None:
            bound[id(loss)] = "loss"
        return bound

    def name(self, node: Tensor) -> str:
        return self.labels[id(node)].name

    def _check_names(self, given: Mapping[str, Shape]) -> None:
        mistakes: list[SymflowError] = []
        own = ARGUMENTS | (OF_TRAINING if self.model.training is not None else set())
        for node in self.inputs:
            mistakes += _misnamed(self.name(node), node.location, own)
        for variable in self.trainable:
            mistakes += _misnamed(self.name(variable), variable.location, frozenset())
        defined = PUBLIC | OWN | ({"loss"} if self.model.loss is not None else set())
        for name, exported in self.model.exports.items():
            mistakes += _misnamed(name, exported.location, defined)
        for node in self.inputs:
            for size in node.type.shape if node.type is not None else ():
                mistakes += _misnamed_size(size, node.location)
        for shape in given.values():
            for size in shape:
                mistakes += _misnamed_size(size, None)
        if mistakes:
            raise together(mistakes)

    def _by_identity(self, shapes: Mapping[str, Shape]) -> dict[int, Shape]:
        known = {self.name(node): node for node in self.inputs}
        for name, shape in shapes.items():
            if name not in known:
                raise SymflowError(
                    f"--shape {name}: the placeholders are: {', '.join(known) or 'none'}"
                )
            declared = known[name].type
            fits = declared is None or (
                len(declared.shape) == len(shape)
                and all(
                    not want.is_Integer or want == got
                    for want, got in zip(declared.shape, shape, strict=True)
                )
            )
            if declared is not None and not fits:
                raise SymflowError(
                    f"--shape {name}: {show(shape)} does not fit {show(declared.shape)}",
                    known[name].location,
                )
        return {id(known[name]): shape for name, shape in shapes.items()}

    def _request(self, shapes: Mapping[int, Shape]) -> Request:
        derivatives: dict[str, tuple[Tensor, Tensor]] = {}
        outputs = {self.output(name): node for name, node in self.model.exports.items()}
        if self.model.loss is not None:
            outputs["loss"] = self.model.loss
            for variable in self.trainable:
                derivatives[f"d_{self.name(variable)}"] = (self.model.loss, variable)
        return Request(outputs, derivatives, self.labels, shapes, self._fixed())

    def output(self, name: str) -> str:
        """The output of the program that an exported tensor is: `d_w()` where `d_w` is ∂loss/∂w."""
        derivatives = {f"d_{self.name(variable)}" for variable in self.trainable}
        return f"{name}()" if name in derivatives and self.model.loss is not None else name

    def _fixed(self) -> dict[int, NDArray[Any]]:
        """The values of the Variables that are constants of the module, by identity."""
        given = {id(node) for node in self.trainable}
        rest = [n for n in self.nodes if isinstance(n, Variable) and id(n) not in given]
        initial = initial_values(self.model.graph, np.float64) if rest else {}
        values = self.ships.parameters
        fixed = {id(node): initial[id(node)] for node in rest}
        for node in rest if values is not None else ():
            assert values is not None
            name = self.name(node)
            if node.trainable or name in values.arrays:
                fixed[id(node)] = values.of(name, initial[id(node)].shape).astype(self.dtype)
        return fixed

    @cached_property
    def initial(self) -> Mapping[str, NDArray[Any]]:
        """Values that stand in the module as the initial ones of parameters, by name."""
        values = self.ships.parameters
        if values is None:
            return {}
        names = {self.name(node): node.initial_value.shape for node in self.trainable}
        return {name: values.of(name, shape) for name, shape in names.items()}

    def leaving_out(self, rules: Sequence[str]) -> Compilation:
        """The same run without some rules more."""
        other = copy(self)
        other.without = known_rules([*self.without, *rules])
        other.invocation = replace(self.invocation, without=other.without)
        vars(other).pop("stages", None)
        return other

    def in_style(self, style: Style) -> Compilation:
        """The same run, laid out in another way."""
        other = copy(self)
        other.style = style
        other.invocation = replace(self.invocation, style=style)
        return other

    @cached_property
    def stages(self) -> Mapping[str, Program]:
        """The program after every stage."""
        rules = Rules(frozenset(self.without))
        constants = self.dtype if self.embedded else ""
        return dict(compile_stages(self.model.graph, self.request, rules, constants))

    def program(self) -> Program:
        return self.stages["simplify"]

    @undistributed
    def quadratic(self) -> Quadratic | None:
        """The loss from moments of the data, where plain gradient descent can use them."""
        training = self.model.training
        if training is None or not training.optimizer.is_plain:
            return None
        if self.style == "plain" or "quadratic-loss" in self.without:
            return None
        names = [self.name(node) for node in self.trainable]
        # a stopped gradient can be seen before simplification only
        return quadratic(self.stages["differentiate"], names, Rules(frozenset(self.without)))

    @undistributed
    def step(self, program: Program, names: Sequence[str]) -> Program | None:
        """The loss, and rate times its gradient, where plain gradient descent gains by that.

        program  the one that is emitted, and the names that parameters have in it
        """
        training = self.model.training
        if training is None or not training.optimizer.is_plain or self.style == "plain":
            return None
        return with_rate(program, names)

    @undistributed
    def rewrites(self) -> list[Rewrite]:
        """What the rules rewrote, in the order in which it was done."""
        applied: list[Rewrite] = []
        compile_program(self.model.graph, self.request, Rules(frozenset(self.without), applied))
        return [*applied, *self._hoisted()]

    @undistributed
    def explain(self) -> str:
        """What the rules rewrote, grouped by rule, for a person who audits it."""
        return explained(self.rewrites())

    def _hoisted(self) -> list[Rewrite]:
        """What training does once, and not at every step."""
        if self.style == "plain" or self.model.training is None:
            return []
        found: list[Rewrite] = []
        program, names = self.program(), [self.name(node) for node in self.trainable]
        roots = [program.outputs[name] for name in ("loss", *(f"d_{one}" for one in names))]
        batch = batched(program, roots)
        if batch is not None and "loop-invariant" not in self.without:
            whole = Program(program.definitions, {str(one): one for one in roots})
            for tensor in data_only(whole, names):
                if batch.places[tensor] in ("row", "sum"):
                    one = program[tensor]
                    formula = definition_text(program, tensor)
                    where = one.label.name, one.origin
                    found.append(Rewrite("loop-invariant", *where, "at every step", formula))
        form = self.quadratic()
        if form is not None:
            loss = self.model.loss
            moments = ", ".join(one.removeprefix("moment_") for one in form.moments.outputs)
            before, after = "every step of train reads the data", f"it reads moments: {moments}"
            origin = None if loss is None else loss.location
            found.append(Rewrite("quadratic-loss", "loss", origin, before, after))
        return found

    @undistributed
    def dump(self, stage: str) -> str:
        """The program after a stage, as text."""
        return program_text(self.stages[stage])


def _misnamed_size(size: sp.Expr, location: Location | None) -> list[SymflowError]:
    if not isinstance(size, sp.Symbol) or isinstance(size, Unknown):
        return []
    return _misnamed(size.name, location, frozenset())


def _misnamed(name: str, location: Location | None, taken: frozenset[str]) -> list[SymflowError]:
    """What is wrong with a name of the user's in a module that uses these names itself."""
    if name in taken or name.startswith("_"):
        return [
            SymflowError(
                f"the name {name!r} has a meaning of its own in a generated module",
                location,
                hint="rename the variable, or give another name with name=...",
            )
        ]
    if not is_identifier(name):
        told = f"the name {name!r} cannot stand in a Python module"
        return [SymflowError(told, location, hint="use ASCII letters, digits and _ only")]
    return []
