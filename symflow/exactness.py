"""What a model's loss and gradients are in 50 digits, to measure a generated module against.

The gradients are those of the lowered program, the user's own mathematics before any rewriting.
Difference quotients in 150 digits, which rest on no rule of differentiation, confirm them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property
from typing import Any

from numpy.typing import NDArray

from symflow.compilation import Compilation
from symflow.differences import Slope
from symflow.evaluation import Differences, Exact, exact, with_exact_numbers
from symflow.lowering import lower
from symflow.program import Program, check, without_dead_code
from symflow.recurrence import derivatives_taken
from symflow.subject import Point

Array = NDArray[Any]

AGREE = 1e-30
"""Relative difference at which a difference quotient and a derivative are the same number."""


class Reference:
    """Loss and gradients of a model at a point, in 50 digits."""

    def __init__(self, compilation: Compilation, point: Point) -> None:
        self._program = with_exact_numbers(lower(compilation.model.graph, compilation.request))
        names = [compilation.name(node) for node in compilation.trainable]
        wanted = {"loss", *(f"d_{name}" for name in names)}
        outputs = {name: at for name, at in self._program.outputs.items() if name in wanted}
        self._program = check(replace(self._program, outputs=outputs))
        self._inputs = {**point.inputs, **dict(zip(names, point.parameters, strict=True))}

    @cached_property
    def _exact(self) -> Exact:
        return exact(check(derivatives_taken(self._program)), self._inputs)

    @cached_property
    def _differences(self) -> Differences:
        return Differences(self._loss, "loss", self._inputs, self._exact.digits)

    @cached_property
    def _loss(self) -> Program:
        """What computes the loss; derivatives that it is made of are taken."""
        outputs = {"loss": self._program.outputs["loss"]}
        return check(derivatives_taken(without_dead_code(replace(self._program, outputs=outputs))))

    @cached_property
    def loss(self) -> Any:
        """The loss alone, which may be finite where its gradient is not."""
        return exact(self._loss, self._inputs)["loss"].item()

    @cached_property
    def gradients(self) -> Mapping[str, Array]:
        """By each parameter, as object arrays of mpmath numbers."""
        return {
            name.removeprefix("d_"): value
            for name, value in self._exact.values.items()
            if name != "loss"
        }

    def slope(self, name: str, entry: tuple[int, ...]) -> Slope:
        """The derivative by an entry of a parameter from difference quotients alone."""
        central = self._differences.central(name, entry)
        if central is not None:
            return Slope(float(central), float(central), 0.0, "50 digits", exact=True)
        low, high = sorted(self._differences.one_sided(name, entry))
        if _same(low, high):
            middle = float((low + high) / 2)
            return Slope(middle, middle, 0.0, "50 digits", exact=True)
        method = f"interval [{float(low):.6g}, {float(high):.6g}]"
        return Slope(float(low), float(high), 0.0, method, "kink", exact=True)


def _same(x: Any, y: Any) -> bool:
    return bool(abs(x - y) <= AGREE * max(abs(x), abs(y), AGREE))
