"""Fields of a data file → the inputs of a function: which is which, and whether it fits.

What `--map` says comes first. Then an input x takes the field x, or x_0, x_1, ... (also x0 and
x[0]); after that a field whose name is nearly the same, as y for y_; and if one input is left, and
as many fields as it needs, it takes those in the order of the file. What was not plain from the
names is said.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

import numpy as np

from symflow.errors import SymflowError, printable
from symflow.fitting.tables import Array, Table

Declared = tuple["int | str", ...]
"""The shape of an input, as `INPUTS` of a module has it."""


@dataclass(frozen=True)
class Match:
    """An input, and the fields of a file that it is made of.

    guess    what tells, where it is neither the name nor `--map`
    """

    name: str
    shape: Declared
    fields: tuple[str, ...]
    guess: str = ""


def parsed(maps: Sequence[str]) -> dict[str, str]:
    """`x=age,bmi` as an input and what it is made of. Raises SymflowError where it is none."""
    found: dict[str, str] = {}
    for text in maps:
        name, equals, fields = text.partition("=")
        if not equals or not name.strip() or not fields.strip():
            raise SymflowError(f"--map {text}: not INPUT=COLUMN,COLUMN,...")
        if name.strip() in found:
            raise SymflowError(f"--map {text}: {name.strip()} is mapped already")
        found[name.strip()] = fields.strip()
    return found


def matched(
    table: Table, inputs: Mapping[str, Declared], maps: Mapping[str, str], strict: bool = True
) -> list[Match]:
    """Which fields each input is made of. Raises SymflowError where one has none.

    strict  whether a name in `maps` that is no input is an error
    """
    unknown = [name for name in maps if name not in inputs]
    if unknown and strict:
        raise SymflowError(
            f"--map {unknown[0]}={maps[unknown[0]]}: the inputs are: {', '.join(inputs)}"
        )
    found: dict[str, tuple[str, ...]] = {}
    guesses: dict[str, str] = {}
    for name in inputs:
        if name in maps:
            found[name] = _mapped(table, name, maps[name])
    for name in inputs:
        if name not in found:
            fields = _named(table.names, name)
            if fields:
                found[name] = fields
    for rule, guess in ((_nearly, "nearly its name"), (_left, "all that is left")):
        missing = {name: shape for name, shape in inputs.items() if name not in found}
        taken = {field for fields in found.values() for field in fields}
        free = [field for field in table.names if field not in taken]
        more = rule(table, missing, free)
        found |= more
        guesses |= dict.fromkeys(more, guess)
    missing = {name: shape for name, shape in inputs.items() if name not in found}
    if missing:
        raise _unmatched(table, missing, found)
    return [
        Match(name, shape, found[name], guesses.get(name, "")) for name, shape in inputs.items()
    ]


# --- rules ---------------------------------------------------------------------------------------


def _mapped(table: Table, name: str, text: str) -> tuple[str, ...]:
    """`age,bmi`, `pixel_*` and `age..s6`: names, patterns, and all from one to another."""
    found: list[str] = []
    for part in (one.strip() for one in text.split(",")):
        first, dots, last = part.partition("..")
        if part in table.places:
            fields = [part]
        elif dots and first in table.places and last in table.places:
            start, end = table.places[first], table.places[last]
            fields = list(table.names[start : end + 1])
        else:
            fields = [one for one in table.names if fnmatchcase(one, part)]
        if not fields:
            raise table.error(f"--map {name}={text}: {_no_field(table, part)}")
        found += fields
    return tuple(found)


def _named(fields: Sequence[str], name: str) -> tuple[str, ...]:
    """The field of that name, or the numbered ones, from 0 or 1 on without a gap."""
    if name in fields:
        return (name,)
    numbered = re.compile(rf"{re.escape(name)}(?:_?(\d+)|\[(\d+)\])")
    numbers: dict[int, str] = {}
    for field in fields:
        if one := numbered.fullmatch(field):
            numbers[int(one[1] or one[2])] = field
    order = sorted(numbers)
    whole = bool(order) and order[0] in (0, 1) and order[-1] - order[0] == len(order) - 1
    return tuple(numbers[number] for number in order) if whole else ()


def _nearly(
    table: Table, missing: Mapping[str, Declared], free: Sequence[str]
) -> dict[str, tuple[str, ...]]:
    """y for y_, and X for x, where only one field is so near."""
    found: dict[str, tuple[str, ...]] = {}
    for name in missing:
        near = [one for one in free if _plain(one) == _plain(name)]
        if len(near) == 1 and (near[0],) not in found.values():
            found[name] = (near[0],)
    return found


def _plain(name: str) -> str:
    return name.strip("_ ").lower()


def _left(
    table: Table, missing: Mapping[str, Declared], free: Sequence[str]
) -> dict[str, tuple[str, ...]]:
    """What is left for one input. Without a header, for several, in their order."""
    if len(missing) > 1 and table.headed:
        return {}
    counts = [_width(shape) if table.called == "column" else 1 for shape in missing.values()]
    if None in counts or sum(one or 0 for one in counts) != len(free):
        return {}
    found: dict[str, tuple[str, ...]] = {}
    at = 0
    for name, count in zip(missing, counts, strict=True):
        found[name] = tuple(free[at : at + (count or 0)])
        at += count or 0
    return found


def _width(shape: Declared) -> int | None:
    """How many columns an input is made of: its entries per row."""
    sizes = [size for size in shape[1:] if isinstance(size, int)]
    return math.prod(sizes) if len(sizes) == len(shape[1:]) else None


def _unmatched(
    table: Table, missing: Mapping[str, Declared], found: Mapping[str, Sequence[str]]
) -> SymflowError:
    name, shape = next(iter(missing.items()))
    taken = {field for fields in found.values() for field in fields}
    free = [field for field in table.names if field not in taken]
    one = free[0] if free else "COLUMN"
    example = one if (_width(shape) or 1) == 1 else f"{one},..."
    return table.error(
        f"{_no_field(table, name)} for the input {name} {shown(shape)}; "
        f"hint: --map {name}={example}"
    )


def _no_field(table: Table, name: str) -> str:
    near = difflib.get_close_matches(name, table.names, 3, 0.6)
    listed = near or [*table.names[:8], *(["..."] if len(table.names) > 8 else [])]
    what = f"nearest are: {', '.join(near)}" if near else f"there are: {', '.join(listed)}"
    return f"no {table.called} {name} ({what})"


# --- arrays --------------------------------------------------------------------------------------


def arrays(table: Table, matches: Sequence[Match], integers: frozenset[str]) -> dict[str, Array]:
    """The inputs as the function takes them. Raises SymflowError where one does not fit.

    integers  the inputs that are of whole numbers
    """
    wanted = list(dict.fromkeys(field for match in matches for field in match.fields))
    fields = dict(zip(wanted, table.read(wanted), strict=True))
    sizes: dict[str, int] = {}
    found: dict[str, Array] = {}
    for match in matches:
        array = _put_together(table, match, [fields[name] for name in match.fields])
        _check_shape(table, match, array.shape, sizes)
        found[match.name] = _whole(table, match, array) if match.name in integers else array
    return found


def _put_together(table: Table, match: Match, fields: Sequence[Array]) -> Array:
    """One array of the right shape, of one that has it already or of columns side by side."""
    if len(fields) == 1 and fields[0].ndim == len(match.shape):
        return fields[0]
    if not match.shape and all(field.size == 1 for field in fields):
        return fields[0].reshape(())
    rows = {len(field) if field.ndim else 1 for field in fields}
    if len(rows) > 1:
        listed = ", ".join(
            f"{name} {field.shape}" for name, field in zip(match.fields, fields, strict=True)
        )
        raise table.error(f"{match.name}: arrays of several lengths: {listed}")
    count = rows.pop()
    whole = np.hstack([field.reshape(count, -1) for field in fields])
    width = _width(match.shape)
    if width == whole.shape[1]:
        inner = [size for size in match.shape[1:] if isinstance(size, int)]
        return whole.reshape(count, *inner)
    return whole


def _check_shape(table: Table, match: Match, shape: tuple[int, ...], sizes: dict[str, int]) -> None:
    known: Declared = tuple(sizes.get(str(size), size) for size in match.shape)
    fits = len(shape) == len(match.shape) and all(
        got > 0 and got == (sizes.setdefault(want, got) if isinstance(want, str) else want)
        for want, got in zip(match.shape, shape, strict=True)
    )
    if not fits:
        fields = ", ".join(match.fields[:4]) + (", ..." if len(match.fields) > 4 else "")
        raise table.error(f"{match.name}: expected {shown(known)}, got {shape} from {fields}")


def _whole(table: Table, match: Match, array: Array) -> Array:
    """Whole numbers, which files of text and floats may hold too."""
    if array.dtype.kind != "f":
        return array
    wrong = np.argwhere(array != np.round(array))
    if len(wrong):
        at = tuple(wrong[0])
        where = f", row {at[0] + 1}" if at else ""
        raise table.error(
            f"{table.called} {match.fields[0]}{where}: {match.name} wants whole numbers, "
            f"not {array[at]}"
        )
    return array.astype(np.int64)


def shown(shape: Declared) -> str:
    """`(n, 3)`, `(n,)` or `()`."""
    return f"({', '.join(map(str, shape))}{',' if len(shape) == 1 else ''})"


def described(table: Table, matches: Sequence[Match]) -> list[str]:
    """A line for every input: what it is made of."""
    width = max((len(match.name) for match in matches), default=0)
    lines = []
    for match in matches:
        plural = "s" if len(match.fields) > 1 else ""
        fields = ", ".join(match.fields)
        if len(match.fields) > 3:
            fields = f"{match.fields[0]} to {match.fields[-1]} ({len(match.fields)})"
        note = f", {match.guess}" if match.guess else ""
        what = f"{table.called}{plural} {printable(fields)}{note}"
        lines.append(f"  {match.name:<{width}} {shown(match.shape)} is {what}")
    return lines
