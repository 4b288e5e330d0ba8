"""A module against a run of the compiler: every check there is, and what each of them finds."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, reduce
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import sympy as sp
from numpy.typing import NDArray

from symflow.arithmetic import undistributed
from symflow.compilation import Compilation, Style
from symflow.diagnosis import first_not_finite
from symflow.errors import SymflowError
from symflow.heads import head_of
from symflow.initial import initial_values
from symflow.modules import Generated, graph_of
from symflow.program import Input, Kernel, Program, operations_in
from symflow.recurrence import Scan
from symflow.shapes import show
from symflow.subject import Point as Place
from symflow.subject import subject, values_at
from symflow.validation.blame import blamed
from symflow.validation.borders import borders
from symflow.validation.calling import Functions
from symflow.validation.cases import Cases
from symflow.validation.contract import check_contract
from symflow.validation.derivatives import Disagreement, disagreement
from symflow.validation.findings import Finding, Report, Row
from symflow.validation.functions import check_functions, precisions
from symflow.validation.points import Given, Inputs, Point, around, bases, inputs_of
from symflow.validation.threads import check_threads
from symflow.validation.training import FEWER_ROWS, Paths, check_training
from symflow.validation.values import Deviation, Reference, deviations, references
from symflow.validation.written import as_written

Array = NDArray[Any]

SIZES = (5, 3, 4, 2)
"""Open sizes, in the order of their inputs; small, since every number is computed in 50 digits."""

SMALL = (3, 2)
"""The same of large models."""

EFFORT = 4_000_000
"""Operations in many digits that a validation may take, roughly: some microseconds each."""

FEW = 4
"""Points at which derivatives are compared with difference quotients."""

LEAST = 3
"""Points at which even the largest model is tested."""


@dataclass
class Expectation:
    """What a model computes, and where modules are compared with it.

    program  the program as it was written
    at       values of parameters and inputs by name, for the first of the points
    seed     of everything that is drawn
    effort   operations in many digits, roughly
    limits   what was left out; checks append to it
    """

    compilation: Compilation
    program: Program
    at: Inputs
    seed: int = 0
    effort: int = EFFORT
    limits: list[str] = field(default_factory=list)

    @cached_property
    def sizes(self) -> dict[sp.Expr, sp.Integer]:
        """The open sizes: those of what is given, small numbers for the rest."""
        found: dict[sp.Expr, sp.Integer] = {}
        symbols: dict[sp.Expr, None] = {}
        for tensor in self.program.inputs:
            one = self.program[tensor]
            symbols |= dict.fromkeys(size for size in one.type.shape if not size.is_Integer)
            array = self.at.get(getattr(one.value, "name", ""))
            if array is not None:
                found |= zip(one.type.shape, map(sp.Integer, np.shape(array)), strict=False)
        rest = [one for one in symbols if one not in found]
        small, usual = (
            found | {one: sp.Integer(of[at % len(of)]) for at, one in enumerate(rest)}
            for of in (SMALL, SIZES)
        )
        return small if work(self.program, usual) > self.effort / 100 else usual

    @cached_property
    def given(self) -> list[Given]:
        return inputs_of(self.program, self.sizes)

    @cached_property
    def initial(self) -> Inputs:
        values = initial_values(self.compilation.model.graph, np.float64)
        nodes = self.compilation.trainable
        found = {self.compilation.name(node): values[id(node)] for node in nodes}
        return {**found, **self.compilation.initial}

    @cached_property
    def points(self) -> list[Point]:
        """The user's first, then those that tell most, as many as there is time for."""
        random = np.random.default_rng(self.seed)
        start = list(bases(self.given, self.initial, self.at, random))
        runs = references(self.program, start, self.seed, jigs=0)
        base = next((one.point for one in runs if _is_finite(one)), start[0])
        own = [one for one in start if one is not base]
        more = around(base.inputs, self.given, random)
        edges = borders(base.inputs, self.program, self.given)
        found = [base, *more[:4], *edges[:2], *own, *edges[2:], *more[4:]]
        most = max(LEAST, int(self.effort / (4 * max(1, work(self.program, self.sizes)))))
        if len(found) > most:
            self.limits.append(f"{len(found) - most} of {len(found)} points: the model is large")
        return found[:most]

    @cached_property
    def cases(self) -> Cases:
        """Parameters and data of other sizes, in naive code alone."""
        found = Cases(self.compilation, self.program, self.seed)
        if found.large:
            self.limits.append(f"training by more than {FEWER_ROWS} rows: the model is large")
        return found

    @cached_property
    def paths(self) -> Paths:
        """Where training leads."""
        return Paths(self.cases)

    @cached_property
    def references(self) -> list[Reference]:
        return references(self.program, self.points, self.seed)

    @cached_property
    def disagreement(self) -> tuple[Point, Disagreement] | None:
        """Where the derivatives as written are not those of the values, at a few finite points."""
        has_loss = self.compilation.model.loss is not None
        names = [self.compilation.name(node) for node in self.compilation.trainable if has_loss]
        large = work(self.program, self.sizes) > self.effort / 100
        finite = [one.point for one in self.references if names and _is_finite(one)]
        for point in finite[: 1 if large else FEW]:
            found = disagreement(self.program, point.inputs, names, self.seed)
            if found is not None:
                return point, found
        return None


def work(program: Program, sizes: Mapping[sp.Expr, sp.Integer]) -> int:
    """How many operations the kernels of a program are, and those of its loops."""
    total = 0
    for definition in program.definitions:
        value = definition.value
        if isinstance(value, Kernel):
            count = int(sp.Mul(*value.sizes).xreplace(sizes))
            total += count * (1 + operations_in(value.body))
        elif isinstance(value, Scan):
            total += int(value.steps.xreplace(sizes)) * work(value.body, sizes)
    return total


def _is_finite(reference: Reference) -> bool:
    return all(bool(np.isfinite(one[0]).all()) for one in reference.runs.values())


@dataclass
class Validation:
    """A module that is validated, and what all checks share.

    compilation  the run of the compiler that the module is said to come from
    module       the module, loaded; it may be another than the compiler would make
    expected     what it should compute
    style        of the compiler's own module; "" where it is one that is said to be
    rows         every array that was compared
    """

    compilation: Compilation
    module: ModuleType
    expected: Expectation
    style: str = ""
    rows: list[Row] = field(default_factory=list)

    @cached_property
    def functions(self) -> Functions:
        return Functions(self.compilation, self.module)


Check = Callable[[Validation], Iterator[Finding]]


def values(validation: Validation) -> Iterator[Finding]:
    """All arrays that the module's functions give, at all points."""
    if precisions(validation.compilation)[0] != np.float64:
        validation.expected.limits.append("points in 50 digits: the module is one of float32 alone")
        return
    worst: dict[tuple[str, str], tuple[Deviation, Reference]] = {}
    raised: set[str] = set()
    for reference in validation.expected.references:
        for one in deviations(reference, validation.functions):
            if isinstance(one, Finding):
                if one.function not in raised:
                    raised.add(one.function)
                    yield one
                continue
            if one.note:
                yield finding(one, "", validation.style)
            key = one.result.function, one.result.array
            if key not in worst or _rank(one) > _rank(worst[key][0]):
                worst[key] = one, reference
    for one, reference in worst.values():
        validation.rows.append(row(one))
        if one.problem and not one.note:
            blame = blamed(validation.compilation, reference, one, bool(validation.style))
            yield finding(one, blame, validation.style)


def _rank(one: Deviation) -> tuple[int, float]:
    return (2 if one.problem and not one.note else 0 if one.note else 1, one.ratio)


def finding(one: Deviation, blame: str, style: str) -> Finding:
    function, array = one.result.function, one.result.array
    derivative = array and one.result.output != "loss"
    name = f"the derivative by {array}" if derivative else one.result.output
    if one.note:
        told = f"{name} has a limit, which neither the module nor the code as written gives"
    else:
        entry = f"[{', '.join(map(str, one.entry))}]" if one.entry else ""
        told = f"{name}{entry} is {one.computed:.10g}, not {one.expected:.10g}"
        if f"{one.computed:.10g}" == f"{one.expected:.10g}":
            told = f"{name}{entry} is {one.computed!r}, not {one.expected!r}"
    return Finding(function, array, one.point.name, told, blame, style, one.note)


def row(one: Deviation) -> Row:
    return Row(
        one.result.function,
        one.result.array,
        one.result.value.shape,
        one.error,
        one.ratio,
        one.entry,
        one.point.name,
        not one.problem or one.note,
    )


def derivatives(validation: Validation) -> Iterator[Finding]:
    """Derivatives as the rules of differentiation have them, against those of the values."""
    if validation.expected.disagreement is not None:
        point, found = validation.expected.disagreement
        told = (
            f"the derivative by {found.parameter} along a random direction is "
            f"{found.derived:.10g}, but the loss changes by {found.quotient:.10g}"
        )
        blame = "a rule of differentiation: no rewriting is part of this"
        yield Finding("gradients", found.parameter, point.name, told, blame)


def finiteness(validation: Validation) -> Iterator[Finding]:
    """A note where the loss as written is finite at none of the user's own points: why."""
    own = [one for one in validation.expected.references if one.point.own]
    if "loss" not in own[0].runs or any(np.isfinite(one.runs["loss"][0]) for one in own):
        return
    about, point = subject(validation.compilation), own[0].point
    parameters = about.module.Parameters(*(point.inputs[name] for name in about.parameters))
    cause = first_not_finite(
        about, Place(parameters, {one: point.inputs[one] for one in about.inputs})
    )
    told = "the loss that is written is not finite" + (f": {cause}" if cause else "")
    yield Finding("loss", "", point.name, told, note=True)


def functions(validation: Validation) -> Iterator[Finding]:
    """Every function, for all numbers of rows, in both precisions, and called again."""
    return check_functions(validation.module, validation.expected.cases)


def threads(validation: Validation) -> Iterator[Finding]:
    """Several threads in one call, and several calls at a time."""
    return check_threads(validation.module, validation.expected.cases)


def contract(validation: Validation) -> Iterator[Finding]:
    """Names, refusals, initial parameters and files."""
    return check_contract(validation.module, validation.expected.cases)


def training(validation: Validation) -> Iterator[Finding]:
    """Training, step by step."""
    if validation.compilation.model.training is None:
        return iter(())
    return check_training(validation.module, validation.expected.paths)


CHECKS: tuple[Check, ...] = (
    values,
    derivatives,
    finiteness,
    functions,
    threads,
    contract,
    training,
)
"""In the order in which they are made."""


At = Mapping[str, Any] | Path | str | None
"""Values of parameters and inputs by name, an .npz file of them, or none."""


@undistributed
def validate(
    compilation: Compilation,
    module: ModuleType,
    *,
    at: At = None,
    seed: int = 0,
    effort: int = EFFORT,
) -> Report:
    """Compare a module with the program as it was written, whatever made the module."""
    report = _report(Validation(compilation, module, expectation(compilation, at, seed, effort)))
    head = head_of(module.__doc__)
    if report.ok or head is None or head.graph == graph_of(compilation):
        return report
    told = f"the module was compiled from another graph: {head.graph} of {head.model}, which is"
    told += f" {graph_of(compilation)} now; compile it again"
    return replace(report, findings=(*report.findings, Finding("module", "", "", told, note=True)))


@undistributed
def validate_compiled(
    compilation: Compilation,
    styles: Sequence[Style] = ("fast", "plain"),
    *,
    at: At = None,
    seed: int = 0,
    effort: int = EFFORT,
) -> Report:
    """Compare the modules that the compiler makes with the program as it was written."""
    expected = expectation(compilation, at, seed, effort)
    reports = []
    for style in styles:
        run = compilation.in_style(style)
        module = Generated.compiled(run).module
        reports.append(_report(Validation(run, module, expected, style)))
    return reduce(Report.with_more, reports)


@undistributed
def expectation(
    compilation: Compilation, at: At = None, seed: int = 0, effort: int = EFFORT
) -> Expectation:
    """What a model computes at a point, which must fit, and at others."""
    program = as_written(compilation)
    types = {
        one.value.name: one.type for one in program.definitions if isinstance(one.value, Input)
    }
    given = values_at(at, compilation.model.source, [*types])
    arrays: dict[str, Array] = {}
    lengths: dict[sp.Expr, int] = {}
    for name, value in given.items():
        kind = {"float": float, "int": np.int64, "bool": bool}[types[name].dtype]
        try:
            arrays[name] = np.asarray(value, kind)
        except (TypeError, ValueError, OverflowError):
            raise SymflowError(f"{name}: no array of numbers") from None
        wanted, shape = types[name].shape, arrays[name].shape
        fits = len(wanted) == len(shape) and all(
            lengths.setdefault(size, int(size) if size.is_Integer else length) == length
            for size, length in zip(wanted, shape, strict=True)
        )
        if not fits:
            wanted = tuple(size.xreplace(lengths) for size in wanted)
            raise SymflowError(f"{name}: expected {show(wanted)}, got {show(shape)}")
    return Expectation(compilation, program, arrays, seed, effort)


def _report(validation: Validation) -> Report:
    found: list[Finding] = []
    for check in CHECKS:
        wrong = {_about(one) for one in found if not one.note}
        for one in check(validation):
            if one.note or _about(one) not in wrong:  # which is wrong in many ways
                found.append(replace(one, style=validation.style))
                wrong |= set() if one.note or check is values else {_about(one)}
    points = len(validation.expected.points) if validation.rows else 0
    limits = tuple(validation.expected.limits)
    return Report(tuple(found), tuple(validation.rows), points, limits)


def _about(one: Finding) -> str:
    return one.array or one.function
