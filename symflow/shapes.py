"""Shapes: tuples of sizes, each a number, a name such as `n`, or not yet known."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import sympy as sp

from symflow.errors import SymflowError

Shape = tuple[sp.Expr, ...]

FITS = "from the last axis on, sizes must be equal or one of them 1; x[:, None] adds an axis"
"""What shapes must be to broadcast."""


class Unknown(sp.Dummy):  # type: ignore[misc]
    """The size of an axis declared as `None`: equal to whatever it first has to agree with."""


def canonical_size(size: sp.Expr) -> sp.Expr:
    """A size in the one form that it has, however it came about: 2·n - 2, and not 2·(n - 1)."""
    return sp.expand(size) if size.has(sp.Add) else size


def unknown() -> sp.Expr:
    return Unknown("?", integer=True, positive=True)


@lru_cache(maxsize=65536)
def show(shape: Shape) -> str:
    """(n, 784), as Python writes a tuple."""
    inside = ", ".join("?" if isinstance(size, Unknown) else str(size) for size in shape)
    return f"({inside},)" if len(shape) == 1 else f"({inside})"


class Sizes:
    """What is known of the sizes declared as `None`."""

    def __init__(self, known: Sizes | None = None) -> None:
        self._known: dict[sp.Expr, sp.Expr] = dict(known._known) if known else {}

    def __len__(self) -> int:
        return len(self._known)

    def resolve(self, size: sp.Expr) -> sp.Expr:
        """The size in terms of what is known now."""
        if not self._known or not size.free_symbols:
            return size
        while True:
            resolved = canonical_size(size.xreplace(self._known))
            if resolved == size:
                return size
            size = resolved

    def resolved(self, shape: Shape) -> Shape:
        return tuple(self.resolve(size) for size in shape)

    def agree(self, first: sp.Expr, second: sp.Expr) -> sp.Expr | None:
        """The size that both are, or None where they cannot be equal."""
        first, second = self.resolve(first), self.resolve(second)
        if first == second:
            return first
        if isinstance(first, Unknown):
            self._known[first] = second
            return second
        if isinstance(second, Unknown):
            self._known[second] = first
            return first
        return None


def broadcast(shapes: Sequence[Shape], sizes: Sizes) -> Shape:
    """NumPy's broadcasting: axes meet from the last one, and an axis of size one gives way."""
    rank = max(len(shape) for shape in shapes)
    result: list[sp.Expr] = []
    for axis in range(-rank, 0):
        size: sp.Expr = sp.Integer(1)
        for shape in shapes:
            if len(shape) < -axis or shape[axis] == 1:
                continue
            agreed = shape[axis] if size == 1 else sizes.agree(size, shape[axis])
            if agreed is None:
                raise SymflowError("they do not broadcast", hint=FITS)
            size = agreed
        result.append(size)
    return tuple(result)
