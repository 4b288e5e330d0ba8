"""NumPy source under construction: how tightly it binds, and which index each axis is.

Alignment is decided here, once: an operand is transposed and indexed until NumPy's broadcasting
puts each of its axes where the kernel's index is.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import sympy as sp
from sympy.printing.str import StrPrinter

from symflow.alphabets import size_name
from symflow.program import Indices
from symflow.shapes import Shape

COMPARISON, SUM, PRODUCT, UNARY, ATOM = range(5)
"""How tightly the outermost operator of an expression binds, loosest first."""


@dataclass(frozen=True)
class Text:
    """NumPy source, how tightly it binds, and which index each axis of its value is."""

    source: str
    binding: int = ATOM
    axes: Indices = ()

    def within(self, binding: int) -> str:
        """The source, in parentheses where it binds less tightly than asked."""
        return self.source if self.binding >= binding else f"({self.source})"

    @property
    def is_name(self) -> bool:
        return re.fullmatch(r"\w+(\.\w+)?", self.source) is not None

    def indexed(self, key: Sequence[str], axes: Indices) -> Text:
        return Text(f"{self.within(ATOM)}[{', '.join(key)}]", ATOM, axes)


def without_ones(text: Text) -> Text:
    if None not in text.axes:
        return text
    key = ["0" if index is None else ":" for index in text.axes]
    key = ellipsed(key) if key[-1] == "0" else key
    while len(key) > 1 and key[-1] == ":":
        key.pop()
    return text.indexed(key, tuple(index for index in text.axes if index is not None))


def ellipsed(key: list[str]) -> list[str]:
    """A key for all axes, with `...` in place of three or more `:` in front."""
    count = next((at for at, part in enumerate(key) if part != ":"), 0)
    return ["...", *key[count:]] if count > 2 else key


def aligned(text: Text, target: Indices) -> Text:
    """The text so that broadcasting against the target puts each axis in its place."""
    place = {index: at for at, index in enumerate(target) if index is not None}
    carried = [index for index in text.axes if index is not None]
    if carried != sorted(carried, key=place.__getitem__):
        text = without_ones(text)
        order = sorted(range(len(text.axes)), key=lambda axis: place[text.axes[axis]])  # type: ignore[index]
        axes = tuple(text.axes[axis] for axis in order)
        if order == list(range(len(order)))[::-1]:
            text = Text(f"{text.within(ATOM)}.T", ATOM, axes)
        else:
            text = Text(f"np.transpose({text.source}, {tuple(order)})", ATOM, axes)
    last = target[len(target) - len(text.axes) :] if len(text.axes) <= len(target) else ()
    if len(last) == len(text.axes) and all(
        have is None or have == want for have, want in zip(text.axes, last, strict=True)
    ):
        return text
    text = without_ones(text)
    if not text.axes or text.axes == target[len(target) - len(text.axes) :]:
        return text
    first = place[text.axes[0]]  # type: ignore[index]
    axes = tuple(index if index in text.axes else None for index in target[first:])
    return text.indexed(["None" if index is None else ":" for index in axes], axes)


@lru_cache(maxsize=65536)
def size_text(size: sp.Expr) -> str:
    """A size as Python integer arithmetic."""
    if isinstance(size, sp.ceiling):
        above, below = size.args[0].as_numer_denom()
        return f"-(-({_spaced(above)}) // {below})"
    above, below = size.as_numer_denom()
    if below != 1:
        return f"{_spaced(above) if above.is_Symbol else f'({_spaced(above)})'} // {below}"
    return _spaced(size)


class _SizePrinter(StrPrinter):  # type: ignore[misc]
    """Sizes in which a division that rounds up stands within a sum or a product."""

    def _print_Symbol(self, size: sp.Symbol) -> str:
        return size_name(size.name)

    def _print_ceiling(self, size: sp.ceiling) -> str:
        return f"({size_text(size)})"


def _spaced(size: sp.Expr) -> str:
    """3 * n + 2, as a formatter writes it."""
    return re.sub(r"(?<!\*)\*(?!\*)", " * ", _SizePrinter().doprint(size).replace(" * ", "*"))


def shape_text(shape: Shape) -> str:
    inside = ", ".join(map(size_text, shape))
    return f"({inside},)" if len(shape) == 1 else f"({inside})"
