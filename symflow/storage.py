"""Calls → lines with places: which buffer of the workspace each result is written to.

A result needs its place from the call that writes it first to the last one that reads it, or
reads a view of it. A result may be written over an operand that is not needed afterwards, if the
call goes through both entry by entry; else it gets a buffer that is free again, or a new one.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from symflow.calls import Call
from symflow.machine import MOST_COLUMNS
from symflow.program import Type
from symflow.statements import INDENT, WIDTH, Statement, assignment, call


@dataclass(frozen=True)
class Buffer:
    """An array of the workspace; `by_column` if a column of it lies together in memory."""

    name: str
    type: Type
    by_column: bool = False


@dataclass(frozen=True)
class Group:
    """A statement and the calls that compute it; lines before and behind stand as they are.

    A call without a function stands for what the lines do.
    """

    statement: Statement | None
    calls: tuple[Call, ...]
    lines: tuple[str, ...] = ()
    behind: tuple[str, ...] = ()


@dataclass(frozen=True)
class Stored:
    """The source of some groups, and the buffers that they write to.

    by_column  the types of which a column lies together in memory
    """

    lines: tuple[tuple[str, ...], ...]
    buffers: tuple[Buffer, ...]
    by_column: frozenset[Type]


def stored(
    groups: Sequence[Group],
    results: Sequence[str],
    scalars: Mapping[str, bool],
    outside: Mapping[str, str],
    indent: int = INDENT,
) -> Stored:
    """Find a place for every result.

    results  names that are read after the last call
    scalars  names of single numbers, which are no views unless their expression is one
    outside  for results that are written to an array which is given, how it is written
    """
    places = _Places(groups, results, scalars, outside)
    lines = tuple(tuple(_lines(group, places, indent)) for group in groups)
    return Stored(lines, tuple(places.buffers), places.by_column)


class _Places:
    def __init__(
        self,
        groups: Sequence[Group],
        results: Sequence[str],
        scalars: Mapping[str, bool],
        outside: Mapping[str, str],
    ) -> None:
        self.calls = [one for group in groups for one in group.calls]
        self.buffers: list[Buffer] = []
        self.outs: list[str] = []  # of each call: where it writes, "" if NumPy finds the place
        self._place: dict[str, str] = dict(outside)
        self._types: dict[str, Type] = {}
        self._outside = outside
        self.by_column = _by_column(self.calls)
        self._last = self._last_reads(results, scalars)
        self._dying: dict[int, list[str]] = {}
        for name, at in self._last.items():
            self._dying.setdefault(at, []).append(name)
        self._free: dict[Type, list[str]] = {}
        self._next = 0
        for at, one in enumerate(self.calls):
            self.outs.append(self._out(at, one))
        self.unread = {*outside}.difference(*(one.reads for one in self.calls))

    def _last_reads(self, results: Sequence[str], scalars: Mapping[str, bool]) -> dict[str, int]:
        """The last call that needs what is in the place of a name."""
        behind: dict[str, tuple[str, ...]] = {}  # the results that a view looks at
        last: dict[str, int] = {}

        def read(name: str, at: int) -> None:
            for base in behind.get(name, (name,)):
                last[base] = max(last.get(base, 0), at)

        for at, one in enumerate(self.calls):
            for name in one.reads:
                read(name, at)
            last.setdefault(one.target, at)
            if one.type is None and one.function != "np.copyto":
                bases = (base for name in one.reads for base in behind.get(name, (name,)))
                number = scalars.get(one.target) and _is_number(one.function)
                behind[one.target] = () if number else tuple(dict.fromkeys(bases))
        for name in results:
            read(name, len(self.calls))
        return last

    def _out(self, at: int, one: Call) -> str:
        if one.type is None:
            self._release(at)
            return ""
        if one.target in self._types:
            self._release(at)
            return one.target
        self._types[one.target] = one.type
        if one.target in self._outside:
            self._release(at)
            return self._outside[one.target]
        over = next((name for name in one.aligned if self._gives_way(name, at, one.type)), None)
        if over is not None:
            self._place[one.target] = self._place[over]
            self._release(at, over)
            return over
        free = self._free.get(one.type)
        if free:
            place = free.pop()
        else:
            place = one.target
            self.buffers.append(Buffer(place, one.type, one.type in self.by_column))
        self._place[one.target] = place
        self._release(at)
        return f"work.{place}"

    def _gives_way(self, name: str, at: int, type_: Type) -> bool:
        return (
            self._types.get(name) == type_ and self._last[name] == at and name not in self._outside
        )

    def _release(self, at: int, over: str | None = None) -> None:
        """The places that nothing needs after this call are free again."""
        for name in self._dying.get(at, ()):
            if name in self._place and name != over and name not in self._outside:
                self._free.setdefault(self._types[name], []).append(self._place.pop(name))
        if over is not None:
            self._place.pop(over, None)

    def lies_by_column(self, name: str) -> bool:
        return self._types.get(name) in self.by_column

    def next_out(self) -> str:
        self._next += 1
        return self.outs[self._next - 1]


def _is_number(expression: str) -> bool:
    """Whether an expression without axes is a number of its own, and no array of no axes.

    `x[0, 0]` is a number, but `np.reshape(x, ())` looks at the entry where it is.
    """
    node = ast.parse(expression or "0", mode="eval").body
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        return node.func.attr not in _VIEWS
    return not isinstance(node, (ast.Name, ast.Attribute))


_VIEWS = frozenset({"asarray", "broadcast_to", "reshape", "squeeze", "transpose"})
"""Functions of NumPy whose results may be views."""


def _lines(group: Group, places: _Places, indent: int) -> list[str]:
    """The source of a group, under its formula and the model line it comes from."""
    lines = [*group.lines]
    statement = group.statement
    if statement is not None:
        lines += _comments(statement, indent)
    for one in group.calls:
        out = places.next_out()
        if one.function.endswith(".dot") and one.type in places.by_column:
            lines += _turned_lines(one, out, indent)
        elif one.function:
            one = _along_memory(one, places)
            named = out != one.target and one.target not in places.unread
            lines += _call_lines(one, out, named, indent)
    return [*lines, *group.behind]


def _by_column(calls: Sequence[Call]) -> frozenset[Type]:
    """The types of narrow matrices of which a row's largest entry is wanted.

    NumPy finds the largest of ten neighbours one by one, but goes through ten columns with the
    widest instructions there are.
    """
    types = {one.target: one.type for one in calls if one.type is not None}
    found: set[Type] = set()
    for one in calls:
        extremum = one.function in ("np.maximum.reduce", "np.minimum.reduce")
        if extremum and "axis=1" in one.arguments and one.arguments[0] in types:
            type_ = types[one.arguments[0]]
            columns = type_.shape[-1]
            if len(type_.shape) == 2 and columns.is_Integer and columns <= MOST_COLUMNS:
                found.add(type_)
    return frozenset(found)


def _comments(statement: Statement, indent: int) -> list[str]:
    about = statement.comment.removeprefix("# ")
    if not statement.formula:
        return [f"# {statement.name}: {about}"]
    line = f"# {statement.formula}  {about}"
    if indent + len(line) <= WIDTH:
        return [line]
    if indent + 2 + len(statement.formula) <= WIDTH:
        return [f"# {statement.formula}", f"# {about}"]
    return [f"# {statement.name}: {about}"]


def _call_lines(one: Call, out: str, named: bool, indent: int) -> list[str]:
    if one.function == "np.copyto":
        return call("np.copyto", list(one.arguments), "", indent)
    if one.type is None:
        return assignment(one.target, one.function, indent)
    place = f"out={out}" if one.keyword else out
    opening = f"{one.target} = {one.function}" if named else one.function
    return call(opening, [*one.arguments, place], "", indent)


def _along_memory(one: Call, places: _Places) -> Call:
    """Σ a·b, turned where a or b lies by column, for of what lies otherwise `vdot` makes copies."""
    found = _VDOT.fullmatch(one.function)
    if found is None or not any(places.lies_by_column(name) for name in found.groups()):
        return one
    return replace(one, function="np.vdot({}.T, {}.T)".format(*found.groups()))


_VDOT = re.compile(r"np\.vdot\((\w+), (\w+)\)")


def _turned_lines(one: Call, out: str, indent: int) -> list[str]:
    """(left @ right).T as right.T @ left.T, for a place that BLAS can write to by columns only."""
    left, (right,) = one.function.removesuffix(".dot"), one.arguments
    turned = [
        text.removesuffix(".T") if text.endswith(".T") else f"{text}.T" for text in (left, right)
    ]
    lines = [] if out == one.target else [f"{one.target} = {out}"]
    return [*lines, *call(f"{turned[1]}.dot", [turned[0], f"{one.target}.T"], "", indent)]
