"""Test generated gradients entry by entry against numeric derivatives, and say why where one is
wrong: complex step → Richardson → an interval of one-sided derivatives at kinks.

This is what can be done with a module alone. With its model there is more: see `validation`.

Errors are relative to the entry itself, however small it is beside the others. Only where terms
cancel can an entry not be right to its own size. How much of an entry is rounding is measured: by
how much it scatters when all operations are rounded at random. A difference of that order is
measured against the terms that cancelled.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

import symflow.diagnosis as diagnosis
from symflow.arithmetic import undistributed
from symflow.compilation import Compilation
from symflow.differences import Slope, continued, slope
from symflow.errors import SymflowError
from symflow.exactness import Reference
from symflow.graph import Tensor
from symflow.results import Result, methods
from symflow.roundoff import scatter
from symflow.shapes import Shape
from symflow.subject import Point, Subject, points, subject

TOLERANCE = 1e-6
"""Largest relative error that passes, unless another is asked for."""

MARGIN = 64.0
"""How many times what is measured of rounding there may be."""

PROVED = 3
"""Entries of a parameter that difference quotients in 50 digits must confirm."""

_MORE_DIGITS = "symflow check of the model file compares with 50 digits"

Array = NDArray[Any]


@undistributed
def check(
    of: Path | str | ModuleType | Tensor | Compilation,
    shapes: Mapping[str, Shape] | None = None,
    *,
    at: Mapping[str, Any] | Path | str | None = None,
    seed: int = 0,
    most: int = 200,
    tolerance: float = TOLERANCE,
) -> list[Result]:
    """Test the gradients of a model file, a generated module, the loss of a graph, or of a run of
    the compiler, which has its shapes.

    shapes     of placeholders, as for compiling
    at         values of parameters and inputs by name, or an .npz file of them; the rest is drawn
    most       entries tested per parameter; of larger ones, as many are sampled
    tolerance  largest relative error that passes
    """
    about = subject(of, shapes)
    point = _finite(about, points(about, at, seed))
    return _Check(about, point, tolerance, most).numerically(np.random.default_rng(seed))


def _finite(about: Subject, candidates: Sequence[Point]) -> Point:
    refused: np.linalg.LinAlgError | None = None
    for point in candidates:
        try:
            with np.errstate(all="ignore"):
                value, gradient = about.module.loss_and_gradients(point.parameters, **point.inputs)
        except np.linalg.LinAlgError as error:
            refused = error
            continue
        if np.isfinite(value) and all(np.all(np.isfinite(one)) for one in gradient):
            return point
    tried = "at any point tried" if len(candidates) > 1 else "at the point given"
    message = f"{about.name}: the loss or its gradient is not finite {tried}"
    if refused is not None:
        raise SymflowError(f"{message}: {refused}")
    found = diagnosis.first_not_finite(about, candidates[0])
    if found is not None:
        message += f": {found}"
    if about.compilation is not None:
        loss = Reference(about.compilation, candidates[0]).loss
        message += f"; the loss is {loss.context.nstr(loss, 6)} in 50 digits"
    raise SymflowError(message)


class _Check:
    """One module at one point: its gradients, and how much of them is rounding."""

    def __init__(self, about: Subject, point: Point, tolerance: float, most: int) -> None:
        self.about = about
        self.point = point
        self.tolerance = tolerance
        self.most = most
        with np.errstate(all="ignore"):
            _, gradients = about.module.loss_and_gradients(point.parameters, **point.inputs)
        self.gradients = [np.asarray(one) for one in gradients]
        self.unit = float(np.finfo(self.gradients[0].dtype).eps)
        self.noise = scatter(about, point)
        self._reference: Reference | None = None

    @property
    def reference(self) -> Reference:
        if self._reference is None:
            assert self.about.compilation is not None
            self._reference = Reference(self.about.compilation, self.point)
        return self._reference

    def error(
        self, number: int, entry: tuple[int, ...], expected: float, rounding: float = 0.0
    ) -> float:
        """The relative error of an entry, as the module's docstring says.

        rounding  how much of `expected` is rounding
        """
        noise = float(self.noise[number][entry]) + rounding
        return relative(float(self.gradients[number][entry]), expected, noise, self.unit)

    # --- numeric derivatives ---

    def numerically(self, random: np.random.Generator) -> list[Result]:
        results = []
        for number, name in enumerate(self.about.parameters):
            entries = list(np.ndindex(self.gradients[number].shape))
            tested = entries
            if len(entries) > self.most:
                chosen = random.choice(len(entries), self.most, replace=False)
                tested = [entries[at] for at in sorted(chosen)]
            result = self._numerically(number, name, tested)
            results.append(replace(result, entries=(len(tested), len(entries))))
        return results

    def _numerically(self, number: int, name: str, tested: Sequence[tuple[int, ...]]) -> Result:
        found = {entry: self._slope(number, entry) for entry in tested}
        found |= self._confirmed(number, name, found)
        worst = max(found, key=lambda entry: self._off(number, entry, found[entry]))
        error, reason = self._off(number, worst, found[worst]), None
        if error > self.tolerance:
            reason = self._reason(name, number, worst, found[worst])
        return Result(
            name=name,
            shape=self.gradients[number].shape,
            error=error,
            where=worst,
            computed=float(self.gradients[number][worst]),
            expected=found[worst].nearest(float(self.gradients[number][worst])),
            entries=(len(tested), len(tested)),
            method=methods([one.method for one in found.values()]),
            reason=reason,
        )

    def _slope(self, number: int, entry: tuple[int, ...]) -> Slope:
        start = np.asarray(self.point.parameters[number], float)

        def loss(value: Any) -> Any:
            if isinstance(value, complex):
                moved = continued(start, entry)
            else:
                moved = start.copy()
                moved[entry] = value
            return self.about.loss(self.point.moved(number, moved), self.point.inputs)

        return slope(loss, float(start[entry]))

    def _off(self, number: int, entry: tuple[int, ...], found: Slope) -> float:
        """The error of an entry against a numeric derivative, which is rounded too."""
        near = found.nearest(float(self.gradients[number][entry]))
        rounding = 0.0 if found.exact else self.unit * _largest(self.gradients[number])
        return self.error(number, entry, near, rounding)

    def _confirmed(
        self, number: int, name: str, found: Mapping[tuple[int, ...], Slope]
    ) -> dict[tuple[int, ...], Slope]:
        """Entries that seem wrong, in 50 digits where the model is there, worst first.

        Ends at the first that is wrong indeed. Once the differentiated program has proved right
        for some entries, it speaks for the others.
        """
        confirmed: dict[tuple[int, ...], Slope] = {}
        if self.about.compilation is None:
            return confirmed
        off = {entry: self._off(number, entry, one) for entry, one in found.items()}
        doubtful = [entry for entry in found if not off[entry] <= self.tolerance]
        for entry in sorted(doubtful, key=lambda entry: -off[entry]):
            derived = float(self.reference.gradients[name][entry])
            true = Slope(derived, derived, 0.0, "50 digits", exact=True)
            if len(confirmed) < PROVED or not self._off(number, entry, true) <= self.tolerance:
                true = self.reference.slope(name, entry)
            if true.low == true.high and found[entry].cause is not None:
                true = replace(true, cause=found[entry].cause, lines=found[entry].lines)
            confirmed[entry] = true
            if self._off(number, entry, true) > self.tolerance:
                break
        return confirmed

    def _reason(self, name: str, number: int, entry: tuple[int, ...], found: Slope) -> str:
        given = float(self.gradients[number][entry])
        which = f"{name}[{', '.join(map(str, entry))}]" if entry else name
        cause = diagnosis.kink(self.about, found)
        beside = f" ({cause})" if cause else ""
        if found.is_interval:
            return f"outside the {found.method} at a kink: {which} is {given:.10g}{beside}"
        expected = found.nearest(given)
        if abs(given - expected) <= 4.0 * found.noise:
            return (
                f"undecided: {which} is {given:.10g}, and the numeric derivative {expected:.10g} "
                f"is known to {found.noise:.1g} only{beside}; {_MORE_DIGITS}"
            )
        wrong = f"wrong derivative: {which} is {given:.10g}, not {expected:.10g}"
        located = diagnosis.first_wrong(self.about, self.point)
        return wrong + beside + (f"; {located}" if located else "")


def relative(given: float, expected: float, noise: float, unit: float) -> float:
    """|given - expected| relative to the larger of the two.

    A difference that rounding explains is measured against the terms of which it is the rounding.
    """
    difference = abs(given - expected)
    if difference == 0.0:
        return 0.0
    if not np.isfinite(difference):
        return np.inf
    scale = max(abs(given), abs(expected))
    if difference <= MARGIN * noise:
        scale = max(scale, noise / unit)
    return float(difference / scale)


def _largest(array: Array) -> float:
    return float(np.max(np.abs(array))) if array.size else 0.0
