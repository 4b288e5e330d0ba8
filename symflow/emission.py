"""Model → source: gathers ready strings into frozen dataclasses; Jinja2 only lays them out."""

from __future__ import annotations

import ast
import hashlib
import io
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
import sympy as sp
from numpy.typing import NDArray

import symflow
from symflow.compiler import compile_program, undistributed
from symflow.elementwise import ROWS
from symflow.errors import SymflowError
from symflow.functions import dependencies, unreached
from symflow.graph import Placeholder, Tensor, Variable
from symflow.initializers import Initializer
from symflow.lowering import Request, needed
from symflow.model import Model
from symflow.naming import label_nodes
from symflow.notation import formula
from symflow.printing import Text, shape_text, value_text
from symflow.program import Access, Builder, Constant, Input, Kernel, Label, Program, Type, slot
from symflow.program import kernel as new_kernel
from symflow.schedule import INDENT, RESERVED, WIDTH, Block, block
from symflow.shapes import Shape, show
from symflow.train import LineSearch, Schedule, Training

LARGEST_LITERAL = 300
"""Entries of an array beyond which it goes to a file beside the module."""

LONGEST_SUMMARY = 12
"""Formulas in the docstring of a module; the functions have them all."""

MODULE_NAMES = (
    "Array INPUTS Parameters TrainingResult initial_parameters gradients loss_and_gradients train "
    "save_parameters load_parameters np os Path Any NamedTuple ArrayLike NDArray Callable Iterator"
).split()


@dataclass(frozen=True)
class Function:
    """A function ready to be laid out."""

    signature: tuple[str, ...]
    doc: tuple[str, ...]
    lines: tuple[str, ...] = ()


@dataclass(frozen=True)
class ParameterField:
    name: str
    shape: str
    shape_source: str


@dataclass(frozen=True)
class InputField:
    name: str
    shape: str


@dataclass(frozen=True)
class StateField:
    name: str
    initial: str


@dataclass(frozen=True)
class TrainingPart:
    train: Function
    functions: tuple[Function, ...]
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


@dataclass(frozen=True)
class Helpers:
    sigmoid: bool = False
    softplus: bool = False
    placed: bool = False
    scattered: bool = False
    truncated_normal: bool = False

    @staticmethod
    def of(source: str) -> Helpers:
        """Those that a source calls."""
        return Helpers(**{name: f"_{name}(" in source for name in Helpers.__dataclass_fields__})


@dataclass(frozen=True)
class Module:
    summary: str
    formulas: tuple[str, ...]
    version: str
    source: str
    digest: str
    command: str
    inputs: tuple[InputField, ...]
    integers: str
    has_integers: bool
    constants: tuple[str, ...]
    has_arrays: bool
    has_parameters: bool
    has_checks: bool
    takes_arrays: bool
    parameters: tuple[ParameterField, ...]
    initial: Function | None
    functions: tuple[Function, ...]
    gradients: tuple[Function, ...]
    training: TrainingPart | None


@dataclass(frozen=True)
class Source:
    """A compiled model: the module's text, and the arrays that stand in a file beside it."""

    text: str
    arrays: Mapping[str, NDArray[Any]] = field(default_factory=dict)

    def archive(self) -> bytes | None:
        """The .npz file, the same bytes every time, or None where there is nothing in it."""
        if not self.arrays:
            return None
        file = io.BytesIO()
        np.savez(file, allow_pickle=False, **self.arrays)  # type: ignore[arg-type]
        return file.getvalue()


# --- templates -------------------------------------------------------------------------------


@cache
def _environment() -> jinja2.Environment:
    package = Path(__file__).parent
    folders = [package / "templates", package.parent / "templates"]  # installed, or a checkout
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(folders),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,
    )


def render(template: str, **values: Any) -> str:
    """The template's text with blank lines as a formatter leaves them, parsed to be sure."""
    text = _environment().get_template(template).render(**values)
    text = re.sub(r"[ \t]+\n", "\n", text)
    text = re.sub(r"\n{4,}", "\n\n\n", text).strip("\n") + "\n"
    ast.parse(text)
    return text


# --- pieces ----------------------------------------------------------------------------------


def signature(name: str, arguments: Sequence[str], returns: str) -> tuple[str, ...]:
    """`def name(arguments) -> returns:` on one line if it fits, as a formatter breaks it if not."""
    line = f"def {name}({', '.join(arguments)}) -> {returns}:"
    if len(line) <= WIDTH:
        return (line,)
    inner = f"    {', '.join(arguments)}"
    if len(inner) <= WIDTH and "*" not in arguments:
        return (f"def {name}(", inner, f") -> {returns}:")
    return (f"def {name}(", *(f"    {argument}," for argument in arguments), f") -> {returns}:")


def call(opening: str, parts: Sequence[str], closing: str, indent: int = 4) -> list[str]:
    """`opening(parts)closing` on one line if it fits, else one part per line."""
    line = f"{opening}({', '.join(parts)}){closing}"
    if indent + len(line) <= WIDTH:
        return [line]
    inner = f"    {', '.join(parts)}"
    if indent + len(inner) <= WIDTH:
        return [f"{opening}(", inner, f"){closing}"]
    return [f"{opening}(", *(f"    {part}," for part in parts), f"){closing}"]


def array_lines(array: NDArray[Any], prefix: str, suffix: str, indent: int) -> list[str]:
    """An array literal broken as a formatter would."""
    line = f"{prefix}{array.tolist()!r}{suffix}"
    if indent + len(line) <= WIDTH or array.ndim == 0:
        return [line]
    lines = [f"{prefix}["]
    for row in array:
        lines += [f"    {one}" for one in array_lines(np.asarray(row), "", ",", indent + 4)]
    return [*lines, f"]{suffix}"]


# --- one compilation -------------------------------------------------------------------------


class Compilation:
    """A model and the choices of one run of the compiler.

    shapes  for placeholders, by name, in place of the ones in the file
    dtype   "float32" or "float64"; the model's own precision if None
    """

    def __init__(
        self, model: Model, shapes: Mapping[str, Shape] | None = None, dtype: str | None = None
    ) -> None:
        self.model = model
        self.dtype = dtype or np.dtype(model.graph.dtype).name
        roots = [*model.exports.values(), *([model.loss] if model.loss is not None else [])]
        self.nodes = needed(roots)
        self.trainable = self._trainable()
        self.nodes = needed([*roots, *self.trainable])
        bound = dict(model.bound)
        if model.loss is not None and id(model.loss) not in bound and model.loss.name is None:
            bound[id(model.loss)] = "loss"
        self.labels = label_nodes(self.nodes, bound)
        self.inputs = [node for node in self.nodes if isinstance(node, Placeholder)]
        self._check_clashes()
        self.shapes = self._given_shapes(shapes or {})
        self.request = self._request()
        self.command = "symflow compile " + model.source

    @property
    def options(self) -> str:
        return ""

    def _trainable(self) -> list[Variable]:
        loss, training = self.model.loss, self.model.training
        if loss is None:
            return []
        if training is not None:
            return sorted(training.variables, key=lambda one: one.number)
        variables = self.model.graph.trainable_variables
        for variable in variables:
            if variable not in dependencies(loss):
                raise SymflowError(unreached(loss, variable), variable.location)
        return variables

    def name(self, node: Tensor) -> str:
        return self.labels[id(node)].name

    def _check_clashes(self) -> None:
        for node in [*self.inputs, *self.trainable]:
            name = self.name(node)
            clash = name in RESERVED or name in MODULE_NAMES or name.startswith("_")
            if clash or name in {"learning_rate", "steps", "tolerance", "batch_size", "seed"}:
                raise SymflowError(
                    f"the name {name!r} has a meaning of its own in a generated module; "
                    "choose another",
                    node.location,
                )
        for name, node in self.model.exports.items():
            if name in MODULE_NAMES or name == "loss" or not name.isascii():
                raise SymflowError(
                    f"the name {name!r} has a meaning of its own in a generated module; "
                    "choose another",
                    node.location,
                )

    def _given_shapes(self, shapes: Mapping[str, Shape]) -> dict[int, Shape]:
        known = {self.name(node): node for node in self.inputs}
        for name in shapes:
            if name not in known:
                declared = ", ".join(known) or "none"
                raise SymflowError(f"--shape {name}: the placeholders are: {declared}")
        for name, shape in shapes.items():
            declared_type = known[name].type
            if declared_type is not None and len(declared_type.shape) != len(shape):
                raise SymflowError(
                    f"--shape {name}: {show(shape)} does not fit {show(declared_type.shape)}",
                    known[name].location,
                )
        return {id(known[name]): shape for name, shape in shapes.items()}

    def _request(self) -> Request:
        derivatives: dict[str, tuple[Tensor, Tensor]] = {}
        outputs = dict(self.model.exports)
        if self.model.loss is not None:
            outputs["loss"] = self.model.loss
            for variable in self.trainable:
                derivatives[f"d_{self.name(variable)}"] = (self.model.loss, variable)
        fixed = {
            id(node): initial_value(node, self.model.graph.seed)
            for node in self.nodes
            if isinstance(node, Variable) and node not in _Same(self.trainable)
        }
        return Request(outputs, derivatives, self.labels, self.shapes, fixed)

    def program(self) -> Program:
        return compile_program(self.model.graph, self.request)

    def source(self) -> Source:
        with undistributed():
            return _Emitter(self, self.program()).source()


class _Same:
    """Membership by identity, since `==` between tensors makes a node."""

    def __init__(self, nodes: Iterable[Tensor]) -> None:
        self._ids = {id(node) for node in nodes}

    def __contains__(self, node: object) -> bool:
        return id(node) in self._ids


class _Emitter:
    """Everything that the templates want to know, from one program."""

    def __init__(self, compilation: Compilation, program: Program) -> None:
        self.compilation = compilation
        self.model = compilation.model
        self.program = program
        self.types = {
            definition.value.name: definition.type
            for definition in program.definitions
            if isinstance(definition.value, Input)
        }
        self.parameters = [compilation.name(node) for node in compilation.trainable]
        self.arguments = [
            name
            for name in (compilation.name(node) for node in compilation.inputs)
            if name in self.types
        ]
        self.written = {name: f"p.{name}" for name in self.parameters}
        self.written |= {name: name for name in self.arguments}
        self.sizes = self._sizes()
        self.arrays: dict[str, NDArray[Any]] = {}
        self.constants, self.constant_lines = self._constants()
        self.taken = [*self.sizes, *self.arguments]

    def source(self) -> Source:
        functions = tuple(
            self._exported(name, node) for name, node in self.model.exports.items()
        )
        has_loss = self.model.loss is not None
        gradients = self._gradient_functions() if has_loss else ()
        training = self._training() if self.model.training is not None else None
        takes_arrays = bool(self.arguments)
        module = Module(
            summary=_docstring(
                self.model.summary or f"{self.model.stem}: a model compiled by symflow."
            ),
            formulas=self._formulas(),
            version=symflow.__version__,
            source=self.model.source,
            digest=digest(self.program),
            command=self.compilation.command,
            inputs=tuple(
                InputField(name, self._shape_tuple(self.types[name].shape))
                for name in self.arguments
            ),
            integers=repr(tuple(n for n in self.arguments if self.types[n].dtype != "float")),
            has_integers=any(self.types[name].dtype != "float" for name in self.arguments),
            constants=tuple(self.constant_lines),
            has_arrays=bool(self.arrays),
            has_parameters=bool(self.parameters),
            has_checks=bool(self.parameters or self.arguments),
            takes_arrays=takes_arrays,
            parameters=tuple(
                ParameterField(
                    name,
                    show(self.types[name].shape) if self.types[name].shape else "scalar",
                    shape_text(self.types[name].shape),
                )
                for name in self.parameters
            ),
            initial=self._initial() if self.parameters else None,
            functions=functions,
            gradients=gradients,
            training=training,
        )
        text = render("module.py.j2", module=module, helpers=Helpers())
        helpers = Helpers.of(text)
        return Source(render("module.py.j2", module=module, helpers=helpers), self.arrays)

    # --- shared ---

    def _sizes(self) -> dict[str, str]:
        """How each named size is found: `n` as `x.shape[0]`."""
        found: dict[str, str] = {}
        for name in self.arguments:
            for axis, size in enumerate(self.types[name].shape):
                if size.is_Symbol:
                    found.setdefault(str(size), f"{name}.shape[{axis}]")
        return found

    @staticmethod
    def _shape_tuple(shape: Shape) -> str:
        parts = [str(size) if size.is_Integer else f'"{size}"' for size in shape]
        return f"({parts[0]},)" if len(parts) == 1 else f"({', '.join(parts)})"

    def _constants(self) -> tuple[dict[str, str], list[str]]:
        """Array constants: small ones stand in the module, large ones in a file beside it."""
        names: dict[str, str] = {}
        lines: list[str] = []
        for definition in self.program.definitions:
            value = definition.value
            if not isinstance(value, Constant) or value.data.ndim == 0:
                continue
            name = f"_{definition.label.name.upper()}"
            while name in names.values():
                name += "_"
            names[value.digest] = name
            if value.data.size > LARGEST_LITERAL:
                key = name.strip("_").lower()
                self.arrays[key] = value.data
                lines.append(f'{name} = _arrays["{key}"]')
            else:
                lines += array_lines(value.data, f"{name} = np.array(", ")", 0)
        return names, lines

    def _block(self, roots: Mapping[str, int]) -> Block:
        return block(self.program, roots, self.written, self.constants, self.taken)

    def _used(self, tensors: Iterable[int]) -> list[str]:
        """The inputs that tensors depend on, in the model's order."""
        live = self.program.live(tensors)
        names = {
            definition.value.name
            for tensor, definition in enumerate(self.program.definitions)
            if live[tensor] and isinstance(definition.value, Input)
        }
        return [name for name in self.arguments if name in names]

    def _prelude(self, code: Block, used: Sequence[str]) -> list[str]:
        """Sizes and precision, where the statements mention them."""
        lines = [
            f"{size} = {source}"
            for size, source in self.sizes.items()
            if code.mentions(size) and source.partition(".")[0] in used
        ]
        if code.mentions("dtype"):
            floats = [name for name in used if self.types[name].dtype == "float"]
            source = "p[0].dtype" if self.parameters else f"{floats[0]}.dtype" if floats else ""
            lines.append(f"dtype = {source or 'np.dtype(np.' + self.compilation.dtype + ')'}")
        return lines

    def _entry(self, used: Sequence[str]) -> list[str]:
        """Checks of the arguments of a public function."""
        lines = ["p = _checked_parameters(parameters)"] if self.parameters else []
        if used:
            targets = ", ".join(used) if len(used) > 1 else f"({used[0]},)"
            precision = "p[0].dtype" if self.parameters else self._precision(used)
            given = [precision, *(f"{name}={name}" for name in used)]
            lines += call(f"{targets} = _checked_inputs", given, "")
        return lines

    def _precision(self, used: Sequence[str]) -> str:
        floats = [name for name in used if self.types[name].dtype == "float"]
        if not floats:
            return f"np.{self.compilation.dtype}"
        arrays = ", ".join(f"np.asarray({name})" for name in floats)
        return f"np.result_type(np.float32, {arrays})"

    def _parameters(self, used: Sequence[str], annotation: str = "ArrayLike") -> list[str]:
        first = ["parameters: Parameters"] if self.parameters else []
        return first + [f"{name}: {annotation}" for name in used]

    def _described(self, used: Sequence[str]) -> list[str]:
        return [f"{name}  {show(self.types[name].shape)}" for name in used]

    # --- functions ---

    def _exported(self, name: str, node: Tensor) -> Function:
        tensor = self.program.outputs[name]
        used = self._used([tensor])
        code = self._block({name: tensor})
        type_ = self.program[tensor].type
        shape = show(type_.shape) if type_.shape else "a scalar"
        result = code.results[name]
        lines = [*self._entry(used), *self._prelude(code, used)]
        statements = list(code.statements)
        for statement in statements:
            lines += statement.lines
        if not re.fullmatch(r"\w+", result) or result in self.arguments:
            lines.append(f"result: Array = np.asarray({result})")
            result = "result"
        elif type_.shape == ():
            result = f"np.asarray({result})"
        lines.append(f"return {result}")
        if result.isidentifier() and result != "result":
            lines = [_annotated(line, result) for line in lines]
        inputs = [f"{one} {show(self.types[one].shape)}" for one in used]
        of = f", from {', '.join(inputs)}" if inputs else ""
        doc = _docstring(f"{name}, {shape}{of}.")
        return Function(signature(name, self._parameters(used), "Array"), (doc,), tuple(lines))

    def _gradient_functions(self) -> tuple[Function, ...]:
        loss = self.program.outputs["loss"]
        used_loss = self._used([loss])
        arguments = ["p", *used_loss] if self.parameters else list(used_loss)
        public = Function(
            signature("loss", self._parameters(used_loss), "float"),
            ("The loss, a scalar: what training makes small.",),
            (*self._entry(used_loss), f"return float(_loss({', '.join(arguments)}))"),
        )
        cores = [self._core("_loss", {"loss": loss}, used_loss, "Any")]
        if not self.parameters:
            return (public, *cores)
        roots = {
            name: tensor
            for name, tensor in self.program.outputs.items()
            if name == "loss" or name in {f"d_{one}" for one in self.parameters}
        }
        used = self._used(roots.values())
        passed = ", ".join(["p", *used])
        gradients = Function(
            signature("gradients", self._parameters(used), "Parameters"),
            ("The exact derivative of the loss by every parameter.",),
            (*self._entry(used), f"return _loss_and_gradients({passed})[1]"),
        )
        both = Function(
            signature("loss_and_gradients", self._parameters(used), "tuple[float, Parameters]"),
            ("The loss, and its exact derivative by every parameter.",),
            (*self._entry(used), f"return _loss_and_gradients({passed})"),
        )
        cores.append(
            self._core("_loss_and_gradients", roots, used, "tuple[float, Parameters]")
        )
        return (public, gradients, both, *cores)

    def _core(
        self, name: str, roots: Mapping[str, int], used: Sequence[str], returns: str
    ) -> Function:
        """A function on arguments that are checked already."""
        code = self._block(roots)
        lines = self._prelude(code, used)
        for statement in code.statements:
            lines += statement.lines
        if len(roots) == 1:
            lines.append(f"return {code.results['loss']}")
            doc = "The loss, for arguments that are checked already."
        else:
            fields = [
                f"{one}={self._gradient(one, code.results[f'd_{one}'])}" for one in self.parameters
            ]
            lines += call("d = Parameters", fields, "")
            lines.append(f"return float({code.results['loss']}), d")
            doc = "The loss and its gradient, for arguments that are checked already."
        arguments = (["p: Parameters"] if self.parameters else []) + [
            f"{one}: Array" for one in used
        ]
        return Function(signature(name, arguments, returns), (doc,), tuple(lines))

    def _gradient(self, parameter: str, source: str) -> str:
        """A gradient as an array of its own, in the parameter's precision."""
        tensor = self.program.outputs[f"d_{parameter}"]
        value = self.program[tensor].value
        type_ = self.program[tensor].type
        reads_only = not isinstance(value, Kernel) or value.is_index_map
        if type_.shape == () or reads_only:
            return f"np.array({source}, p.{parameter}.dtype)"
        return source

    # --- training ---

    def _training(self) -> TrainingPart:
        training = self.model.training
        assert training is not None
        optimizer = training.optimizer
        roots = [self.program.outputs["loss"]]
        roots += [self.program.outputs[f"d_{name}"] for name in self.parameters]
        used = self._used(roots)
        batch = self._batch_inputs(used)
        rate = optimizer.learning_rate
        default = (
            "_learning_rate"
            if isinstance(rate, Schedule)
            else repr(rate.initial if isinstance(rate, LineSearch) else rate)
        )
        keywords = [
            f"learning_rate: float | Callable[[int], float] = {default}",
            "steps: int = 1000",
            "tolerance: float = 0.0",
            *(["batch_size: int | None = None", "seed: int = 0"] if batch else []),
            "on_step: Callable[[int, float, Parameters], bool | None] | None = None",
        ]
        functions = [*self._updates(training)]
        if isinstance(rate, Schedule):
            functions.append(_schedule_function(rate))
        functions.append(
            Function(
                signature("_squared_norm", ["d: Parameters"], "float"),
                ("The sum of all squares.",),
                ("return float(sum(np.vdot(gradient, gradient) for gradient in d))",),
            )
        )
        if isinstance(rate, LineSearch):
            functions.append(self._line_search(rate, used))
        states = tuple(
            StateField(f"state_{name}", repr(float(initial)))
            for name, initial in optimizer.state.items()
        )
        return TrainingPart(
            train=Function(
                signature("train", [*self._parameters(used), "*", *keywords], "TrainingResult"),
                _training_doc(type(optimizer).__name__, rate, bool(batch)),
            ),
            functions=tuple(functions),
            states=states,
            state_names=", ".join(state.name for state in states),
            arguments=", ".join(used),
            batch_arguments="".join(
                f", {name}[rows]" if name in batch else f", {name}" for name in used
            ),
            unpacked=", ".join(used) if len(used) > 1 else f"({', '.join(used)},)",
            checked=", ".join(f"{name}={name}" for name in used),
            batches=bool(batch),
            first=batch[0] if batch else "",
            search=isinstance(rate, LineSearch),
            abc_imports="Callable, Iterator" if batch else "Callable",
        )

    def _batch_inputs(self, used: Sequence[str]) -> list[str]:
        """The inputs of which a mini-batch takes rows: those that share their first, open size."""
        leading = [
            self.types[name].shape[0]
            for name in used
            if self.types[name].shape and self.types[name].shape[0].is_Symbol
        ]
        if not leading:
            return []
        rows = leading[0]
        if any(rows in self.types[name].shape[1:] for name in used):
            return []
        return [n for n in used if self.types[n].shape and self.types[n].shape[0] == rows]

    def _updates(self, training: Training) -> list[Function]:
        """The update of one parameter, from the optimizer's formulas."""
        optimizer = training.optimizer
        state = list(optimizer.state)
        texts = formula_lines(
            optimizer.formulas, ["value", "gradient", "rate", "step", *state]
        )
        arguments = ["value: Array", "gradient: Array"]
        arguments += [f"{name}: Array" for name in state]
        arguments += ["rate: float", "step: int"]
        doc = "One parameter after one update."
        if not state:
            updated = Function(
                signature("_updated", arguments, "Array"), (doc,), (f"return {texts[0]}",)
            )
            moved = Function(
                signature(
                    "_moved", ["p: Parameters", "d: Parameters", "rate: float", "step: int"],
                    "Parameters",
                ),
                ("Every parameter after one update.",),
                (
                    "moved = (_updated(*entries, rate, step) for entries in zip(p, d, strict=True))",
                    "return Parameters(*(np.asarray(value, p[0].dtype) for value in moved))",
                ),
            )
            return [moved, updated]
        returns = "tuple[" + ", ".join(["Array"] * len(texts)) + "]"
        doc = f"One parameter, and its {' and '.join(state)}, after one update."
        lines = call("return ", list(texts), "")
        return [Function(signature("_updated", arguments, returns), (doc,), tuple(lines))]

    def _line_search(self, rate: LineSearch, used: Sequence[str]) -> Function:
        arguments = ["rate: float", "value: float", "p: Parameters", "d: Parameters"]
        arguments += [f"{name}: Array" for name in used]
        used_loss = self._used([self.program.outputs["loss"]])
        passed = ", ".join(["_moved(p, d, rate, 0)", *used_loss])
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

    # --- initial values ---

    def _initial(self) -> Function:
        lines: list[str] = []
        draws = False
        for node in self.compilation.trainable:
            name = self.compilation.name(node)
            value = node.initial_value
            draws = draws or (isinstance(value, Initializer) and "{random}" in value.expression)
            lines += initial_lines(name, node)
        body = [f"random = np.random.default_rng({self.model.graph.seed} if seed is None else seed)"]
        opening = body if any("random." in one or "(random" in one for one in lines) else []
        used = bool(opening)
        note = (
            f"for the values that are drawn; None is the model's own, {self.model.graph.seed}"
            if used
            else "not used: no value of this model is drawn from it"
        )
        doc = (
            "The initial values of the model.",
            f"seed   {note}",
            "dtype  np.float32 or np.float64; all that is computed from parameters keeps it",
        )
        arguments = ["seed: int | None = None", f"dtype: Any = np.{self.compilation.dtype}"]
        indented = [f"    {line}" for line in lines]
        return Function(
            signature("initial_parameters", arguments, "Parameters"),
            doc,
            (*opening, "return Parameters(", *indented, ")"),
        )

    def _formulas(self) -> tuple[str, ...]:
        """The forward formulas of what the user named, for the module's docstring."""
        roots = [
            tensor for name, tensor in self.program.outputs.items() if not name.startswith("d_")
        ]
        code = self._block({str(tensor): tensor for tensor in roots})
        return tuple(
            one
            for one in (_docstring(statement.formula) for statement in code.statements)
            if one and len(one) + INDENT <= WIDTH
        )[:LONGEST_SUMMARY]


def initial_lines(name: str, node: Variable) -> list[str]:
    """`name=...,` in the construction of the initial parameters."""
    value = node.initial_value
    if isinstance(value, Initializer):
        own = "random" if value.seed is None else f"np.random.default_rng({value.seed})"
        text = value.expression.format(random=own)
        drawn = text if text.endswith("dtype)") else f"{text}.astype(dtype)"
        note = f"  # {value.name}" if "{random}" in value.expression else ""
        return [f"{name}={drawn},{note}"]
    shape = shape_text(tuple(map(sp.Integer, value.shape)))
    if value.size > 1 and np.all(value == value.flat[0]):
        return [f"{name}=np.full({shape}, {float(value.flat[0])!r}, dtype),"]
    return array_lines(value.astype(float), f"{name}=np.array(", ", dtype),", 8)


def initial_value(node: Variable, seed: int, random: Any = None) -> NDArray[Any]:
    """The initial value itself, from the expression that stands in the module."""
    if not isinstance(node.initial_value, Initializer):
        return node.initial_value
    text = render("session.py.j2", function=_INITIAL, helpers=Helpers(truncated_normal=True))
    namespace: dict[str, Any] = {}
    exec(text, namespace)
    generator = np.random.default_rng([seed, node.number]) if random is None else random
    own = node.initial_value.seed
    namespace["random"] = generator if own is None else np.random.default_rng(own)
    namespace["dtype"] = np.float64
    value = eval(node.initial_value.expression.format(random="random"), namespace)
    return np.asarray(value, np.float64)


_INITIAL = Function(("def _nothing() -> None:",), ("Nothing.",))


def formula_lines(formulas: Sequence[sp.Expr], names: Sequence[str]) -> list[str]:
    """Elementwise formulas on slots as NumPy expressions of the given names."""
    builder = Builder()
    inputs = [
        builder.add(Input(name, Type(()), "placeholder"), Label(name, 2)) for name in names
    ]
    outputs = {}
    for number, body in enumerate(formulas):
        accesses = [Access(tensor, ()) for tensor in inputs]
        value = new_kernel((), (), body, accesses)
        outputs[str(number)] = builder.add(value, Label("result"))
    program = builder.program(outputs)
    results = []
    for tensor in outputs.values():
        definition = program[tensor]
        text = value_text(
            definition.value,
            definition.type,
            [],
            lambda operand: Text(program[operand].label.name),
        )
        results.append(text.source)
    return results


def _schedule_function(rate: Schedule) -> Function:
    (text,) = formula_lines([rate.formula], ["step"])
    return Function(
        signature("_learning_rate", ["step: int"], "float"),
        (_docstring(f"The rate after `step` updates: {rate.doc}."),),
        (f"return float({text})",),
    )


def _training_doc(name: str, rate: object, batches: bool) -> tuple[str, ...]:
    title = re.sub(r"(?<!^)(?=[A-Z])", " ", name.removesuffix("Optimizer")).capitalize()
    lines = [
        f"{title}, from the given parameters.",
        "Stops after `steps` updates, when the norm of the gradient is at most `tolerance`, or when",
        "`on_step(step, loss, parameters)` returns True. A loss that is not finite raises",
        "FloatingPointError.",
        "",
    ]
    if isinstance(rate, LineSearch):
        lines.append("learning_rate  first rate tried at each step, shrunk until the loss falls enough;")
        lines.append("               or a function from the number of updates done to it")
    else:
        lines.append("learning_rate  a number, or a function from the number of updates done to it")
    if batches:
        lines.append("batch_size     rows per update, without replacement; None for all rows")
        lines.append("seed           of the order of the rows")
    return tuple(lines)


def digest(program: Program) -> str:
    """A hash of what a program computes; names do not count."""
    lines = [
        repr(definition.value)
        if not isinstance(definition.value, Input)
        else repr((definition.value.type, definition.value.kind))
        for definition in program.definitions
    ]
    lines.append(repr(list(program.outputs.values())))
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:8]


def _docstring(text: str) -> str:
    """A text that can stand in a docstring: one line, no quotes that end it, no escapes."""
    return " ".join(text.split()).replace("\\", "/").replace('"""', "'''").rstrip('"')


def _annotated(line: str, name: str) -> str:
    """The assignment to a result with its type, for NumPy's operators are typed as Any."""
    prefix = f"{name} = "
    annotated = f"{name}: Array = {line.removeprefix(prefix)}"
    fits = 4 + len(annotated) <= WIDTH
    return annotated if line.startswith(prefix) and fits else line


