"""A formula in lines: broken where it is nested least, before an operator or behind a factor."""

from __future__ import annotations

from collections.abc import Iterator

from symflow.formulas.text import SPACE

INDENT = 4
LAST_RESORT = 100


def wrapped(formula: str, width: int) -> list[str]:
    """Lines of at most `width` characters, if the formula can be broken so; those after the first
    are indented. `formula` is text in which `SPACE` stands where it must not be broken.
    """
    lines: list[str] = []
    rest, room = formula, width
    while len(rest) > room:
        at = _best(rest, room)
        if at is None:
            break
        lines.append(rest[:at].rstrip(f" {SPACE}"))
        rest, room = rest[at:].lstrip(f" {SPACE}"), width - INDENT
    lines.append(rest)
    first, *others = (line.replace(SPACE, " ") for line in lines)
    return [first, *(" " * INDENT + line for line in others)]


def _best(formula: str, room: int) -> int | None:
    """Where to break: as little nested as can be, and there as late as can be."""
    places = list(_places(formula))
    fitting = [one for one in places if room // 3 < one[0] <= room]
    if fitting:
        return min(fitting, key=lambda one: (one[1], -one[0]))[0]
    return next((at for at, _ in places if at > room // 3), None)


def _places(formula: str) -> Iterator[tuple[int, int]]:
    """The places where a line may end, each with how badly. Behind a factor, before / and behind
    the first = are a bit worse; where `SPACE` stands is better than a line that is too long.
    """
    depth = 0
    for at, sign in enumerate(formula):
        depth += _NESTED.get(sign, 0)
        if sign == " ":
            yield at, depth
        elif sign == "·":
            yield at + 1, depth + 1
        elif sign == SPACE and formula.startswith("/", at + 1):
            yield at, depth + 2
        elif sign == SPACE and not depth and formula[at - 1] in "=←":
            yield at, depth + 3
        elif sign == SPACE:
            yield at + 1, depth + LAST_RESORT


_NESTED = {"(": 4, "{": 4, "[": 40, ")": -4, "}": -4, "]": -40}
"""How much worse it is to break inside."""
