"""What a gradient check finds, and how it is shown."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from symflow.shapes import show


@dataclass(frozen=True)
class Result:
    """What was found for one parameter, or for the loss itself.

    error      the largest relative error
    where      the entry at which it is
    computed   that entry of the generated gradient
    expected   what it should be; at a kink, the nearest number of the interval
    entries    how many were tested, of how many
    method     "complex step", "Richardson", "interval [-1, 1]" or "50 digits"
    reason     why it is wrong; None where it is right
    ulp        the largest error in units in the last place of the true entry, if it was found
               in 50 digits; and of the largest entry of the parameter
    ulp_where  the entry at which the first of these is
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
    ulp: tuple[float, float] | None = None
    ulp_where: tuple[int, ...] = ()

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
    columns = _COLUMNS if all(one.ulp is None for one in results) else _COLUMNS | _IN_ULP
    order = [name for name in _ORDER if name in columns]
    return [tuple(order), *(tuple(columns[name](one) for name in order) for one in results)]


def table(results: Sequence[Result]) -> str:
    """One line per parameter: largest relative error, where it is, how it was found.

    In 50 digits also the largest errors in units in the last place: of the entry itself, and of
    the largest entry of the parameter. Below the table, why what is wrong is wrong.
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
_IN_ULP: dict[str, Callable[[Result], str]] = {
    "in ulp": lambda one: f"{one.ulp[0]:.3g}" if one.ulp else "",
    "in ulp at": lambda one: str(list(one.ulp_where)) if one.ulp_where else "-",
    "of largest": lambda one: f"{one.ulp[1]:.3g}" if one.ulp else "",
}
_ORDER = (
    "parameter",
    "shape",
    "entries",
    "largest error",
    "at",
    "in ulp",
    "in ulp at",
    "of largest",
    "method",
    "verdict",
)
