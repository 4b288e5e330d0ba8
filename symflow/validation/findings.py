"""What validation finds, and how it is shown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from symflow.shapes import show


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong with a module, or, as a note, no better than what was written.

    function  of the module: "loss", "gradients", "loss_and_gradients", "prediction", "train", ...
    array     what of its result: a parameter's name for gradients, "" where there is but one thing
    point     the name of the point at which it is worst, "" where there is none
    told      what is wrong, in a line
    blame     the rule or the stage, and the model's line; "" where it was not looked for
    style     of the module: "fast", "plain", or "" where it is not the compiler's own
    note      whether the module is no worse there than the program as it was written
    """

    function: str
    array: str
    point: str
    told: str
    blame: str = ""
    style: str = ""
    note: bool = False

    def __str__(self) -> str:
        where = f" at: {self.point}" if self.point else ""
        style = f" ({self.style} style)" if self.style else ""
        blame = f"\n    {self.blame}" if self.blame else ""
        return f"{self.function}: {self.told}{where}{style}{blame}"


@dataclass(frozen=True)
class Row:
    """An array of a function, at the point and the entry at which it is worst.

    error  how far it is off
    ratio  the same in units of what the naive code is off; more than 10 is wrong
    """

    function: str
    array: str
    shape: tuple[int, ...]
    error: float
    ratio: float
    entry: tuple[int, ...]
    point: str
    ok: bool


@dataclass(frozen=True)
class Report:
    """All that was found of a module.

    rows    every array that was compared
    points  at how many points
    limits  what was left out, and why: "4 of 40 points: the model is large"
    """

    findings: tuple[Finding, ...] = ()
    rows: tuple[Row, ...] = ()
    points: int = 0
    limits: tuple[str, ...] = ()

    @property
    def errors(self) -> Sequence[Finding]:
        return [one for one in self.findings if not one.note]

    @property
    def ok(self) -> bool:
        return not self.errors

    def with_more(self, other: Report) -> Report:
        """The same with what was found of another module of the same program."""
        rows = {(one.function, one.array): one for one in self.rows}
        for one in other.rows:
            known = rows.get((one.function, one.array))
            if known is None or (not one.ok, one.ratio) > (not known.ok, known.ratio):
                rows[one.function, one.array] = one
        findings = {replace(one, style=""): one for one in self.findings}
        for found in other.findings:
            bare = replace(found, style="")
            findings[bare] = bare if bare in findings else found  # the same in both styles
        limits = tuple(dict.fromkeys((*self.limits, *other.limits)))
        points = max(self.points, other.points)
        return Report(tuple(findings.values()), tuple(rows.values()), points, limits)

    def __str__(self) -> str:
        return "\n".join([*self._table(), *self._told()]) + "\n"

    def _table(self) -> list[str]:
        """A line for each array: its largest error, and where it is."""
        if not self.rows:
            return []
        lines = [("", "shape", "error", "× naive", "entry", "point", ""), *map(_cells, self.rows)]
        widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
        return [
            "  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip()
            for line in lines
        ]

    def _told(self) -> list[str]:
        notes = [one for one in self.findings if one.note]
        told = [""] if self.errors or notes else []
        told += [f"wrong: {one}" for one in self.errors]
        for text in dict.fromkeys(one.told for one in notes):
            places = dict.fromkeys(one.point for one in notes if one.told == text)
            at = f" at: {'; '.join(places)}" if any(places) else ""
            told.append(f"note: {text}{at}")
        told += [f"left out: {one}" for one in self.limits]
        if self.ok:
            told.append(f"ok: {self.points} points" if self.points else "ok")
        return told


def _cells(one: Row) -> tuple[str, ...]:
    return (
        called(one.function, one.array),
        show(one.shape) if one.shape else "scalar",
        f"{one.error:.1e}",
        f"{one.ratio:.1f}" if one.ratio < 1e4 else f"{one.ratio:.0e}",
        str(list(one.entry)) if one.entry else "-",
        one.point,
        "ok" if one.ok else "WRONG",
    )


def called(function: str, array: str) -> str:
    """A function's result, or for gradients what it is the derivative by."""
    return f"{function}: {array}" if array else function
