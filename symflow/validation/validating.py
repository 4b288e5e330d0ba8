"""A module against a run of the compiler: every check there is, and what each of them finds."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from types import ModuleType

import numpy as np
import sympy as sp

from symflow.compilation import Compilation
from symflow.initial import initial_values
from symflow.program import Kernel, Program, operations_in
from symflow.recurrence import Scan
from symflow.validation.borders import borders
from symflow.validation.calling import Functions
from symflow.validation.findings import Finding, Report, Row
from symflow.validation.points import Given, Inputs, Point, around, bases, inputs_of
from symflow.validation.values import Deviation, Reference, deviations, references
from symflow.validation.written import as_written

SIZES = (5, 3, 4, 2)
"""Open sizes, in the order of their names; small, since every number is computed in 50 digits."""

SMALL = (3, 2, 2, 2)
"""The same of large models."""

EFFORT = 4_000_000
"""Operations in many digits that a validation may take, roughly: some microseconds each."""

LEAST = 4
"""Points at which even the largest model is tested."""


@dataclass
class Validation:
    """A module that is validated, and what all checks share.

    compilation  the run of the compiler that the module is said to come from
    module       the module, loaded; it may be another than the compiler would make
    at           values of parameters and inputs by name
    seed         of everything that is drawn
    effort       operations in many digits, roughly
    limits       what was left out; checks append to it
    rows         what was found right, too
    """

    compilation: Compilation
    module: ModuleType
    at: Inputs
    seed: int = 0
    effort: int = EFFORT
    limits: list[str] = field(default_factory=list)
    rows: dict[tuple[str, str], Row] = field(default_factory=dict)

    @cached_property
    def written(self) -> Program:
        return as_written(self.compilation)

    @cached_property
    def functions(self) -> Functions:
        return Functions(self.compilation, self.module)

    @cached_property
    def sizes(self) -> dict[sp.Expr, sp.Integer]:
        """The open sizes: those of what is given, small numbers for the rest."""
        found: dict[sp.Expr, sp.Integer] = {}
        symbols: dict[sp.Expr, None] = {}
        for tensor in self.written.inputs:
            one = self.written[tensor]
            symbols |= dict.fromkeys(size for size in one.type.shape if not size.is_Integer)
            array = self.at.get(getattr(one.value, "name", ""))
            if array is not None:
                found |= zip(one.type.shape, map(sp.Integer, np.shape(array)), strict=False)
        rest = [one for one in symbols if one not in found]
        small, usual = (
            found | {one: sp.Integer(of[at % len(of)]) for at, one in enumerate(rest)}
            for of in (SMALL, SIZES)
        )
        return small if self._work(usual) > self.effort / 100 else usual

    def _work(self, sizes: Mapping[sp.Expr, sp.Integer]) -> int:
        """How many operations one evaluation takes, about."""
        return work(self.written, sizes)

    @cached_property
    def given(self) -> list[Given]:
        return inputs_of(self.written, self.sizes)

    @cached_property
    def points(self) -> list[Point]:
        """The user's first, then those that tell most, as many as there is time for."""
        random = np.random.default_rng(self.seed)
        start = list(bases(self.given, self.initial, self.at, random))
        runs = references(self.written, start, self.seed)
        base = next((one.point for one in runs if _is_finite(one)), start[0])
        own = [base, *(one for one in start if one is not base)]
        around_it = around(base.inputs, self.given, random)
        on_borders = borders(base.inputs, self.written, self.given)
        found = [base, *around_it[:4], *on_borders[:2], *own[1:], *on_borders[2:], *around_it[4:]]
        most = max(LEAST, int(self.effort / (4 * max(1, self._work(self.sizes)))))
        if len(found) > most:
            self.limits.append(f"{most} of {len(found)} points: the model is large")
        return found[:most]

    @cached_property
    def initial(self) -> Inputs:
        values = initial_values(self.compilation.model.graph, np.float64)
        nodes = self.compilation.trainable
        found = {self.compilation.name(node): values[id(node)] for node in nodes}
        return {**found, **self.compilation.initial}

    @cached_property
    def references(self) -> list[Reference]:
        return references(self.written, self.points, self.seed)


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


Check = Callable[[Validation], Iterator[Finding]]


def values(validation: Validation) -> Iterator[Finding]:
    """All arrays that the module's functions give, at all points."""
    worst: dict[tuple[str, str], Deviation] = {}
    for reference in validation.references:
        for one in deviations(reference, validation.functions):
            if isinstance(one, Finding):
                yield one
                continue
            key = one.result.function, one.result.array
            if key not in worst or _rank(one) > _rank(worst[key]):
                worst[key] = one
    for key, one in worst.items():
        validation.rows[key] = row(one)
        if one.problem:
            yield finding(one)


def _rank(one: Deviation) -> tuple[int, float]:
    return (0 if not one.problem else 1 if one.note else 2, one.ratio)


def finding(one: Deviation) -> Finding:
    entry = f"[{', '.join(map(str, one.entry))}]" if one.entry else ""
    name = one.result.array or one.result.function
    told = f"{name}{entry} is {one.computed:.10g}, not {one.expected:.10g}"
    return Finding(one.result.function, one.result.array, one.point.name, told, note=one.note)


def row(one: Deviation) -> Row:
    return Row(
        one.result.function,
        one.result.array,
        one.result.value.shape,
        one.error,
        one.ratio,
        one.entry,
        one.point.name,
    )


CHECKS: tuple[Check, ...] = (values,)
"""In the order in which they are made."""


def validate(
    compilation: Compilation,
    module: ModuleType,
    *,
    at: Inputs | None = None,
    seed: int = 0,
    effort: int = EFFORT,
) -> Report:
    """Compare a module with the program as it was written."""
    validation = Validation(compilation, module, at or {}, seed, effort)
    findings = tuple(finding for check in CHECKS for finding in check(validation))
    return Report(findings, tuple(validation.rows.values()), tuple(validation.limits))
