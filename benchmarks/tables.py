"""Tables, as text and as Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Table:
    """The first column is of words, the others are of numbers; note: sentences below the table."""

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""

    def text(self) -> str:
        """For a terminal: columns padded, two spaces between them."""
        lines = [self.header, *self.rows]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        body = [_padded(line, widths).rstrip() for line in lines]
        return "\n".join([self.title, "", *body, *([self.note] if self.note else []), ""])

    def markdown(self) -> str:
        """With the title as a heading of the third level."""
        align = ["---"] + ["---:"] * (len(self.header) - 1)
        body = ["| " + " | ".join(line) + " |" for line in (self.header, align, *self.rows)]
        parts = [f"### {self.title}", "\n".join(body), *([self.note] if self.note else [])]
        return "\n\n".join(parts) + "\n"


def _padded(line: Sequence[str], widths: Sequence[int]) -> str:
    first, *others = zip(line, widths, strict=True)
    return "  ".join([first[0].ljust(first[1]), *(cell.rjust(width) for cell, width in others)])


def duration(seconds: float) -> str:
    """In the largest of s, ms, µs and ns that leaves a number from 1, with three digits."""
    for factor, unit in ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs")):
        if seconds >= factor:
            return f"{digits(seconds / factor)} {unit}"
    return f"{digits(seconds / 1e-9)} ns"


def digits(number: float) -> str:
    """Three significant digits, without an exponent."""
    if number == 0.0:
        return "0"
    if abs(number) >= 100.0:
        return f"{number:,.0f}"
    decimals = 0
    while decimals < 6 and abs(number) * 10**decimals < 100.0:
        decimals += 1
    return f"{number:.{decimals}f}"


def ratio(seconds: float | None, other: float | None) -> str:
    """seconds / other with two digits at least, or a dash where one is missing."""
    if seconds is None or other is None:
        return "–"
    number = seconds / other
    return digits(number) if number >= 1.0 else f"{number:.3f}"
