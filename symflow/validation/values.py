"""Every array that a module computes, at every point, against the program as written."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from symflow.program import Program
from symflow.validation.calling import NO_NUMBER, Functions, Result
from symflow.validation.comparison import Judged, Verdict, judged
from symflow.validation.findings import Finding
from symflow.validation.floats import Floats
from symflow.validation.limits import AGREE, Limits
from symflow.validation.points import Point
from symflow.validation.written import DIGITS, Truth, evaluated, truths

Array = NDArray[Any]

JIGS = 8
"""Runs of the naive code under random rounding, beside the one that is not."""

MOST_SLOPES = 4
"""Entries of an array that difference quotients are made for."""

TINY = 1e-12


class Reference:
    """The program as written at one point: in digits, and as naive code.

    runs  the naive code's outputs, one behind the other; the first is not moved
    """

    def __init__(self, program: Program, point: Point, runs: Mapping[str, Array]) -> None:
        self.program = program
        self.point = point
        self.runs = dict(runs)
        self._truths: dict[int, dict[str, Truth]] = {}

    def truth(self, digits: int) -> dict[str, Truth]:
        if digits not in self._truths:
            self._truths[digits] = truths(self.program, self.point.inputs, digits)
        return self._truths[digits]

    @cached_property
    def limits(self) -> Limits:
        return Limits(self.program, self.point.inputs)

    @cached_property
    def unlimited(self) -> Mapping[str, Array]:
        """Naive code with numbers of 53 bits of any size: where floats overflow, it does not."""
        ways = [evaluated(self.program, self.point.inputs, 15, way) for way in ("n", "f", "c")]
        with np.errstate(all="ignore"):
            return {
                name: np.stack([np.asarray(one[name]).astype(float) for one in ways])
                for name in self.program.outputs
            }


def references(
    program: Program,
    points: Sequence[Point],
    seed: int = 0,
    dtype: Any = np.float64,
    jigs: int = JIGS,
) -> list[Reference]:
    """References at points whose inputs have the same shapes; the naive code runs once for all."""
    runs = 1 + jigs
    moved = [jig > 0 for _ in points for jig in range(runs)]
    inputs = {
        name: np.repeat(np.stack([np.asarray(one.inputs[name]) for one in points]), runs, 0)
        for name in points[0].inputs
    }
    outputs = Floats(moved, np.random.default_rng(seed), dtype).outputs(program, inputs)
    return [
        Reference(
            program,
            point,
            {name: value[number * runs : (number + 1) * runs] for name, value in outputs.items()},
        )
        for number, point in enumerate(points)
    ]


@dataclass(frozen=True)
class Deviation:
    """Where an array of a module is worst at a point.

    error     how far it is off
    ratio     the same in units of what naive code is off
    expected  what it should be, as a float
    problem   "" where it is right
    note      whether the program as written is no better there
    """

    result: Result
    point: Point
    entry: tuple[int, ...]
    computed: float
    expected: float
    error: float
    ratio: float
    problem: str = ""
    note: bool = False


def deviations(
    reference: Reference, functions: Functions, dtype: Any = np.float64
) -> Iterator[Deviation | Finding]:
    """What every function of a module gives at a point; equal arrays are compared once."""
    known: dict[str, list[Result]] = {}
    for name, found in functions.results(reference.point.inputs, dtype):
        if isinstance(found, Exception):
            if not isinstance(found, NO_NUMBER) or _defined(reference, functions.outputs(name)):
                told = f"raises {type(found).__name__}: {found}"
                yield Finding(name, "", reference.point.name, told)
            continue
        for one in found:
            same = known.setdefault(one.output, [])
            if any(np.array_equal(one.value, other.value, equal_nan=True) for other in same):
                continue
            same.append(one)
            yield deviation(reference, one)


def _defined(reference: Reference, outputs: Sequence[str]) -> bool:
    """Whether the program as written has a number for all of some outputs."""
    true = reference.truth(DIGITS[0])
    return all(bool(true[one].finite.all()) for one in outputs)


def deviation(reference: Reference, one: Result) -> Deviation | Finding:
    expected = reference.runs[one.output].shape[1:]
    if one.value.shape != expected:
        told = f"has the shape {one.value.shape}, not {expected}"
        return Finding(one.function, one.array, reference.point.name, told)
    return _Comparison(reference, one).deviation()


class _Comparison:
    """One array at one point."""

    def __init__(self, reference: Reference, result: Result) -> None:
        self.reference = reference
        self.result = result
        self.runs = reference.runs[result.output]
        self.judged, self.truth = self._decided()

    def _decided(self) -> tuple[Judged, Truth]:
        """With as many digits as it takes; what is wrong is confirmed with more of them."""
        for digits in DIGITS:
            truth = self.reference.truth(digits)[self.result.output]
            found = judged(self.result.value, truth, self.runs)
            if found.has(Verdict.OFF) and np.any(~found.naive & (found.verdicts == Verdict.OFF)):
                self.runs = np.concatenate(
                    [self.runs, self.reference.unlimited[self.result.output]]
                )
                found = judged(self.result.value, truth, self.runs)
            doubtful = found.has(Verdict.UNDECIDED) or found.has(Verdict.UNKNOWN)
            confirmed = digits > DIGITS[0] or not found.has(Verdict.OFF)
            if not doubtful and confirmed:
                break
        return found, truth

    def deviation(self) -> Deviation:
        for verdict, judge in (
            (Verdict.OFF, self._off),
            (Verdict.LOST, self._lost),
            (Verdict.UNKNOWN, self._unknown),
            (Verdict.UNDECIDED, self._undecided),
        ):
            if self.judged.has(verdict):
                found = judge(self.judged.verdicts == verdict)
                if found is not None:
                    return found
        known = (self.judged.verdicts == Verdict.RIGHT) & np.isfinite(self.judged.error)
        if not known.any():
            return Deviation(self.result, self.reference.point, (), 0.0, 0.0, 0.0, 0.0)
        ratio = np.where(known, self.judged.ratio, -1.0)
        at = np.unravel_index(int(np.argmax(ratio)), ratio.shape)
        return self._at(tuple(map(int, at)))

    def _at(self, at: tuple[int, ...], problem: str = "", note: bool = False) -> Deviation:
        return Deviation(
            self.result,
            self.reference.point,
            at,
            float(self.result.value[at]),
            float(self.truth.nearest[at]),
            float(self.judged.error[at]),
            float(self.judged.ratio[at]) if np.isfinite(self.judged.error[at]) else np.inf,
            problem,
            note,
        )

    @property
    def _is_gradient(self) -> bool:
        return self.result.output.startswith("d_") and self.result.function in (
            "gradients",
            "loss_and_gradients",
        )

    def _off(self, where: Array) -> Deviation | None:
        if self._is_gradient:
            with np.errstate(all="ignore"):
                low, high = self.reference.limits.between(self.result.output)
                apart = high - low > AGREE * np.maximum(np.abs(low), np.abs(high))
                reach = AGREE * (high - low)
                given = self.result.value
                where = where & ~(apart & (given >= low - reach) & (given <= high + reach))
        if not where.any():
            return None
        ratio = np.where(where, self.judged.ratio, -1.0)
        at = np.unravel_index(int(np.argmax(ratio)), ratio.shape)
        return self._at(tuple(map(int, at)), "wrong")

    def _undecided(self, where: Array) -> Deviation | None:
        """No number of digits settles it: what is not finite may be so."""
        return self._off(where & np.isfinite(self.result.value.astype(float)))

    def _lost(self, where: Array) -> Deviation:
        """The module has no number where the program has one.

        It is to blame where no rounding of the naive code ends so, as does a cosine of 1 + 2e-16.
        """
        worse = where & self.judged.safe
        some = worse if worse.any() else where
        note = not worse.any() and self._is_excused
        return self._at(_first(some), "not finite", note)

    def _unknown(self, where: Array) -> Deviation | None:
        """The program itself has no number: is there a limit?"""
        limit = self.reference.limits.limit(self.result.output)
        given = self.result.value.astype(float)
        entries = [tuple(map(int, at)) for at in np.argwhere(where & ~np.isfinite(limit))]
        if self._is_gradient and self._loss_is_finite:
            for at in entries[:MOST_SLOPES]:
                by = self.result.output.removeprefix("d_")
                limit[at] = self.reference.limits.slope("loss", by, at)
        known = where & np.isfinite(limit)
        with np.errstate(all="ignore"):
            off = ~(np.abs(given - limit) <= AGREE * np.abs(limit) + TINY)
        wrong, lost = known & off & np.isfinite(given), known & ~np.isfinite(given)
        if wrong.any():
            at = _first(wrong)
            return replace(self._at(at, "wrong"), expected=float(limit[at]))
        if lost.any():
            worse = lost & self.judged.safe
            at = _first(worse if worse.any() else lost)
            note = not worse.any() and self._is_excused
            return replace(self._at(at, "not finite", note), expected=float(limit[at]))
        return None

    @property
    def _is_excused(self) -> bool:
        """Whether naive code need not be excelled: elsewhere, or where the loss is no number."""
        return not self.reference.point.own or (self._is_gradient and not self._loss_is_finite)

    @property
    def _loss_is_finite(self) -> bool:
        """Near by, where there is anything finite at all."""
        return bool(np.isfinite(self.reference.limits.limit("loss")).all())


def _first(where: Array) -> tuple[int, ...]:
    return tuple(int(one) for one in np.argwhere(where)[0])
