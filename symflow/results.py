"""What a gradient check finds, and how it is shown."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from symflow.shapes import show


@dataclass(frozen=True)
class Result:
    """What was found for one parameter.

    error      the largest relative error
    where      the entry at which it is
    computed   that entry of the generated gradient
    expected   what it should be; at a kink, the nearest number of the interval
    entries    how many were tested, of how many
    method     "complex step", "Richardson", "interval [-1, 1]" or "50 digits"
    reason     why it is wrong; None where it is right
    """

    name: str
    shape: tuple[int, ...]
    error: float
    where: tuple[int, ...]
    computed: float
    expected: float
    entries: tuple[int, int]
    method: str
    reason: str | None = None

    @property
    def ok(self) -> bool:
        return self.reason is None


def methods(found: Sequence[str]) -> str:
    """How several entries were tested, in a few words."""
    different = list(dict.fromkeys(found))
    intervals = [one for one in different if one.startswith("interval")]
    if len(intervals) > 1:
        rest = [one for one in different if one not in intervals]
        different = [*rest, f"{len(intervals)} intervals"]
    return " and ".join(different)


def cells(results: Sequence[Result]) -> list[tuple[str, ...]]:
    """The table as texts: its head, then a row for each result."""
    return [tuple(_COLUMNS), *(tuple(text(one) for text in _COLUMNS.values()) for one in results)]


def table(results: Sequence[Result]) -> str:
    """One line per parameter: largest relative error, where it is, how it was found.

    Below the table, why what is wrong is wrong.
    """
    rows = cells(results)
    rows[0] = (*rows[0][:-1], "")
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = [
        "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
    reasons = [f"{one.name}: {one.reason}" for one in results if one.reason is not None]
    return "\n".join([*lines, *([""] if reasons else []), *reasons]) + "\n"


def _tested(one: Result) -> str:
    tested, there_are = one.entries
    return str(tested) if tested == there_are else f"{tested} of {there_are}"


_COLUMNS: dict[str, Callable[[Result], str]] = {
    "parameter": lambda one: one.name,
    "shape": lambda one: show(one.shape) if one.shape else "scalar",
    "entries": _tested,
    "largest error": lambda one: f"{one.error:.1e}",
    "at": lambda one: str(list(one.where)) if one.where else "-",
    "method": lambda one: one.method,
    "verdict": lambda one: "ok" if one.ok else "WRONG",
}
