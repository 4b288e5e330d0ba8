"""Program → source: ready strings in frozen dataclasses; Jinja2 only lays them out."""

from __future__ import annotations

import hashlib
import itertools
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from numpy.typing import NDArray

import symflow
from symflow.alphabets import plain, tensor_name
from symflow.archives import archived, beside
from symflow.arguments import Arguments
from symflow.arithmetic import undistributed
from symflow.backward import Gradients
from symflow.compilation import Compilation
from symflow.cores import Core, Interface, core
from symflow.descent import Descent, descent
from symflow.embedding import Embedded
from symflow.forward import exported
from symflow.hygiene import marked, settled
from symflow.initial import initial_lines
from symflow.layout import (
    Function,
    Helpers,
    laid_out,
    paragraphs,
    render,
    signature,
    uses_math,
    uses_scipy,
)
from symflow.loop import Loop, training_loop
from symflow.moments import Quadratic
from symflow.program import Constant, Input, Program
from symflow.recurrence import Scan
from symflow.scalar_functions import ScalarFunctions, Scalars
from symflow.scalars import is_scalar
from symflow.schedule import formulas
from symflow.selftest import TOLERANCES, SelfTest, Writer, tolerances, with_digest
from symflow.shapes import Shape, show
from symflow.source import docstring, literal
from symflow.statements import INDENT, WIDTH
from symflow.text import shape_text
from symflow.vectors import STEPS, vectors

LONGEST_SUMMARY = 12
"""Formulas in the docstring of a module; the functions have them all."""


WHOLE = {"int": "np.int64", "bool": "np.bool_"}
"""What inputs that are no floats are kept in: of bytes, 200 + 100 would be 44."""


@dataclass(frozen=True)
class ParameterField:
    name: str
    shape: str


@dataclass(frozen=True)
class InputField:
    name: str
    shape: str


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
    arrays: str
    has_parameters: bool
    has_checks: bool
    takes_arrays: bool
    parameters: tuple[ParameterField, ...]
    shapes: tuple[str, ...]
    initial: Function | None
    trains: bool
    functions: tuple[Function, ...]
    gradients: tuple[Function, ...]
    training: Loop | None
    core: Core | None
    descent: Descent | None
    abc_imports: str
    scalars: Scalars | None
    selftest: SelfTest | None
    traces: bool


@dataclass(frozen=True)
class Source:
    """A compiled model: the module's text, and the file of arrays beside it, if there is one.

    beside  its name, which the text holds, and its bytes, the same every time
    """

    text: str
    beside: Mapping[str, bytes] = field(default_factory=dict)


@undistributed
def emit(compilation: Compilation) -> Source:
    """Compile a model into the source of its module."""
    source = _Emitter(compilation).source()
    if not compilation.ships.selftest:
        return source
    needed = tolerances(source.text, source.beside, compilation.model.stem)
    if needed is not None:
        source = _Emitter(compilation, needed).source()
    return replace(source, text=with_digest(source.text))


class _Emitter:
    """Everything that the templates want to know, from one program."""

    def __init__(
        self, compilation: Compilation, tolerances: Mapping[str, float] = TOLERANCES
    ) -> None:
        self.compilation = compilation
        self.tolerances = tolerances
        self.traces = compilation.ships.trace_nan
        self.model = compilation.model
        self.parameters = [tensor_name(compilation.name(node)) for node in compilation.trainable]
        self.derivatives = {f"d_{plain(name)}": f"d_{name}" for name in self.parameters}
        self.exports = {tensor_name(name): name for name in self.model.exports}
        self.program = program = marked(compilation.program(), self._outputs())
        self.embedded = Embedded(program, compilation.dtype if compilation.embedded else "")
        self.given = Arguments(
            program,
            self.parameters,
            [tensor_name(compilation.name(node)) for node in compilation.inputs],
            self.embedded.names,
            compilation.dtype,
            compilation.embedded,
        )
        self.types = self.given.types
        self.gradients = Gradients(self.given)
        self.core = self._fast_core()

    def _outputs(self) -> dict[str, str]:
        """What the outputs of the program are called here."""
        exports = {self.compilation.output(name): key for key, name in self.exports.items()}
        return self.derivatives | exports if self.model.loss is not None else exports

    def _fast_core(self) -> Core | None:
        """The functions of the fast style on arrays, if there is a gradient of some."""
        if not self._is_fast() or self._is_scalar():
            return None
        return core(
            Interface(
                self.program,
                self.parameters,
                self.gradients.used,
                self.given.constants,
                self.gradients.array,
                "loop-invariant" not in self.compilation.without,
                self.compilation.step(self.program, self.parameters),
            )
        )

    def _descent(self) -> Descent | None:
        """The loop of `train` from moments of the data, for a loss that has such a form."""
        traced = self.traces  # at every step
        form = self.compilation.quadratic() if self.core is not None and not traced else None
        if form is None or self.core is None:
            return None
        return descent(
            self._marked(form),
            self.parameters,
            self.gradients.used,
            self.given.constants,
            self.compilation.dtype,
            self.core.length if self.core.rows else "",
            self.core.choice,
        )

    def _marked(self, form: Quadratic) -> Quadratic:
        """The same with the user's names spelled as here."""
        moments = {name: tensor_name(name) for name in form.moments.outputs}
        start = {self.derivatives.get(of, of): tensor_name(to) for of, to in form.start.items()}
        return replace(
            form,
            moments=marked(form.moments, moments),
            step=marked(form.step, self.derivatives),
            start=start,
        )

    def _is_fast(self) -> bool:
        has_gradient = self.model.loss is not None and bool(self.parameters)
        fast = self.compilation.style == "fast" and has_gradient
        return fast and not (self.traces and self._is_scalar())  # a trace is of arrays

    def _is_scalar(self) -> bool:
        """Whether all that gradients are computed from is numbers."""
        return is_scalar(self.program, [*self.gradients.roots.values()])

    def source(self) -> Source:
        functions = tuple(
            one for name in self.exports for one in exported(self.given, name, self.traces)
        )
        has_loss = self.model.loss is not None
        training = self._loop() if self.model.training is not None else None
        scalars = self._scalars(training)
        if scalars is not None:
            gradients = scalars.gradients
        else:
            gradients = self._gradients() if has_loss else ()
        takes_arrays = bool(self.given.names)
        initial = self._initial() if self.parameters and has_loss else None
        quick = self._descent()
        selftest = self._selftest(quick) if self.compilation.ships.selftest else None
        files = self._files()
        module = Module(
            summary="\n".join(
                paragraphs(
                    docstring(
                        self.model.summary or f"{self.model.stem}: a model compiled by symflow."
                    )
                )
            ),
            formulas=self._formulas(),
            version=symflow.__version__,
            source=self.model.source,
            digest=digest(self.compilation.program(), self.compilation.initial),
            command=docstring(str(self.compilation.invocation)),
            inputs=tuple(
                InputField(name, self._shape_tuple(self.types[name].shape))
                for name in self.given.names
            ),
            integers=", ".join(
                f'"{name}": {WHOLE[self.types[name].dtype]}'
                for name in self.given.names
                if self.types[name].dtype in WHOLE
            ),
            has_integers=any(self.types[name].dtype in WHOLE for name in self.given.names),
            constants=tuple(self.embedded.lines),
            arrays=next(iter(files), ""),
            has_parameters=bool(self.parameters),
            has_checks=bool(self.parameters or self.given.names),
            takes_arrays=takes_arrays,
            parameters=tuple(
                ParameterField(
                    name,
                    show(self.types[name].shape) if self.types[name].shape else "scalar",
                )
                for name in self.parameters
            ),
            shapes=self._shapes(),
            initial=initial,
            trains=initial is not None,
            functions=functions,
            gradients=gradients,
            training=training,
            core=self.core,
            descent=quick,
            abc_imports=self._abc_imports(training, scalars),
            scalars=scalars,
            selftest=selftest,
            traces=self.traces,
        )
        found = {"helpers": Helpers(), "scipy": False, "standard": ()}
        bare = laid_out("module.py.j2", module=module, **found)
        found = {
            "helpers": Helpers.of(bare),
            "scipy": uses_scipy(bare),
            "standard": self._standard_imports(uses_math(bare)),
        }
        text = render("module.py.j2", module=module, **found)
        return Source(settled(text), files)

    def _files(self) -> dict[str, bytes]:
        """The file beside the module, once it is known what stands in it."""
        if not self.embedded.arrays:
            return {}
        content = archived(self.embedded.arrays)
        return {beside(self.model.stem, content): content}

    def _abc_imports(self, training: Loop | None, scalars: Scalars | None) -> str:
        names = set(training.abc_imports) if training is not None else set()
        if scalars is not None:
            names = set(scalars.abc_imports)
        elif self.core is not None:
            names |= {"Callable", "Sequence"} if self.core.rows else {"Sequence"}
        names |= {"Iterator"} if self.compilation.ships.selftest or self.traces else set()
        names |= {"Callable"} if self.traces else set()
        return ", ".join(sorted(names))

    def _standard_imports(self, has_math: bool) -> tuple[str, ...]:
        """Modules of Python's own that are imported whole."""
        own = ["hashlib", "sys"] if self.compilation.ships.selftest else []
        own += ["os", "zipfile"] if self.parameters else []
        own += ["io"] if self.parameters and self.model.loss is not None else []
        own += ["hashlib", "io"] if self.embedded.arrays else []
        return tuple(sorted({*own, *(["math"] if has_math else [])}))

    def _selftest(self, quick: Descent | None) -> SelfTest:
        steps = STEPS if quick is None else max(STEPS, quick.break_even)
        right = vectors(self.compilation, steps)
        exports = {name: self.program.outputs[name] for name in self.exports}
        has_loss = self.model.loss is not None
        return Writer(self.given, self.embedded.arrays, right).written(
            {name: self.given.used([tensor]) for name, tensor in exports.items()},
            self.given.used([self.program.outputs["loss"]]) if has_loss else [],
            self.gradients.used if has_loss else [],
            self.core is not None and self.core.rows > 0,
            quick is not None,
            self.tolerances,
            self.model.stem,
        )

    # --- shared ---

    def _shapes(self) -> tuple[str, ...]:
        """The parameters' shapes as a tuple, as a formatter breaks it."""
        parts = [shape_text(self.types[name].shape) for name in self.parameters]
        if len(parts) == 1:
            return (f"_SHAPES: tuple[tuple[int, ...], ...] = ({parts[0]},)",)
        return (
            "_SHAPES: tuple[tuple[int, ...], ...] = (",
            *(f"    {part}," for part in parts),
            ")",
        )

    @staticmethod
    def _shape_tuple(shape: Shape) -> str:
        parts = [str(size) if size.is_Integer else f'"{size}"' for size in shape]
        return f"({parts[0]},)" if len(parts) == 1 else f"({', '.join(parts)})"

    def _gradients(self) -> tuple[Function, ...]:
        if self.core is not None:
            functions = self.gradients.around(self.core)
        else:
            functions = self.gradients.plain()
        return self.gradients.traced(functions, self.core is None) if self.traces else functions

    def _scalars(self, loop: Loop | None) -> Scalars | None:
        """The functions of the fast style on floats."""
        if not self._is_fast() or not self._is_scalar():
            return None
        functions = ScalarFunctions(
            self.program,
            self.parameters,
            self.given.used([self.program.outputs["loss"]]),
            self.gradients.used,
            self.types,
            self.given.declared,
        )
        training = self.model.training
        return functions.scalars(training.optimizer if training is not None else None, loop)

    def _loop(self) -> Loop:
        assert self.model.training is not None
        loss = self.program.outputs["loss"]
        roots = [loss, *(self.program.outputs[f"d_{name}"] for name in self.parameters)]
        inputs = {name: self.types[name] for name in self.given.used(roots)}
        values = [definition.value for definition in self.program.definitions]
        steps = {value.steps for value in values if isinstance(value, Scan)}
        optimizer = self.model.training.optimizer
        return training_loop(optimizer, inputs, self.given.used([loss]), steps, self.core)

    # --- initial values ---

    def _initial(self) -> Function:
        lines: list[str] = []
        for node in self.compilation.trainable:
            name = self.compilation.name(node)
            if name in self.compilation.initial:
                value = self.compilation.initial[name]
                lines += self.embedded.initial(tensor_name(name), value)
            else:
                lines += initial_lines(tensor_name(name), node)
        seed = self.model.graph.seed
        used = any(re.search(r"(?<![\w.])random\.|\(random,", one) for one in lines)
        opening = [f"random = np.random.default_rng({literal(seed)} if seed is None else seed)"]
        note = (
            f"for the values that are drawn; None is the model's own, {seed}"
            if used
            else "not used: no value of this model is drawn from it"
        )
        values = self.compilation.ships.parameters
        doc = (
            "The initial values of the model."
            if values is None
            else docstring(f"The values of {values.file}."),
            f"seed   {note}",
            "dtype  np.float32 or np.float64; all that is computed from parameters keeps it",
        )
        arguments = ["seed: int | None = None", f"dtype: Any = np.{self.compilation.dtype}"]
        indented = [f"    {line}" for line in lines]
        return Function(
            signature("initial_parameters", arguments, "Parameters"),
            doc,
            (*(opening if used else []), "return Parameters(", *indented, ")"),
        )

    def _formulas(self) -> tuple[str, ...]:
        """The forward formulas of what the user named, for the module's docstring."""
        roots = [
            tensor
            for name, tensor in self.program.outputs.items()
            if name not in self.derivatives.values()
        ]
        named = {str(tensor): tensor for tensor in roots}
        given = self.given
        found = formulas(self.program, named, given.written, given.constants, given.taken)
        plain = (docstring(formula) for formula in found)
        fitting = (one for one in plain if one and len(one) + INDENT <= WIDTH)
        return tuple(itertools.islice(fitting, LONGEST_SUMMARY))


def digest(program: Program, initial: Mapping[str, NDArray[Any]] | None = None) -> str:
    """A hash of what a program computes, and from where training starts; names do not count."""
    lines = [
        repr(definition.value)
        if not isinstance(definition.value, Input)
        else repr((definition.value.type, definition.value.kind))
        for definition in program.definitions
    ]
    lines.append(repr(list(program.outputs.values())))
    lines += [Constant.of(value).digest for value in (initial or {}).values()]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:8]
