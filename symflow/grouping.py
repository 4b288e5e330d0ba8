"""Statements → groups of calls. Statements of one form are taken apart once, whatever they read.

The form of `hidden = np.tanh(x @ p.w + p.b)` is `np.tanh(_0 @ _1 + _2)` with the types of the
three arrays.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache

from symflow.calls import RESULT, Apart, Call, taken_apart
from symflow.program import Type
from symflow.statements import Statement

Fresh = Callable[[str], str]


class Calls:
    """Takes the statements of one function apart, in order.

    known  what the names that its expressions mention are; those of statements are added
    fresh  gives a name that is not taken yet, from one that would do
    """

    def __init__(self, known: Mapping[str, Type], fresh: Fresh) -> None:
        self.known = dict(known)
        self._fresh = fresh
        self.ones: dict[str, Type] = {}  # arrays of the workspace that hold ones

    def group(self, statement: Statement, type_: Type) -> list[Call]:
        """The calls of a statement, which computes a tensor of that type."""
        form = _Form.of(statement.expression, self.known)
        apart = _of_form(form.expression, form.types)
        names = {**form.names, RESULT: statement.name}
        names |= {part: self._fresh(f"{statement.name}_part") for part in apart.parts}
        self.ones |= apart.ones
        self.known[statement.name] = type_
        return [_renamed(one, names) for one in apart.calls]


@lru_cache(maxsize=65536)
def _of_form(expression: str, types: tuple[tuple[str, Type], ...]) -> Apart:
    return taken_apart(expression, dict(types))


_NAME = re.compile(r"(?<![\w.])[A-Za-z]\w*(?:\.[A-Za-z]\w*)*(?!=[^=])")
"""A name with its attributes that is no argument's."""

_PLACE = re.compile(r"(?<![\w.])_(?:result|part\d+|\d+)(?!\w)")
"""What stands for a name in a form; no name in a module's functions looks like that."""


@dataclass(frozen=True)
class _Form:
    """An expression in which `_0`, `_1`, ... stand for arrays.

    types  of all that it mentions
    names  of the arrays
    """

    expression: str
    types: tuple[tuple[str, Type], ...]
    names: Mapping[str, str]

    @staticmethod
    def of(expression: str, known: Mapping[str, Type]) -> _Form:
        types: dict[str, Type] = {}
        places: dict[str, str] = {}

        def place(found: re.Match[str]) -> str:
            name = found[0]
            while name not in known:
                name, dot, _attribute = name.rpartition(".")
                if not dot:
                    return found[0]
            type_ = known[name]
            if not type_.shape:  # a size is part of what a shape is
                types[name] = type_
                return found[0]
            at = places.setdefault(name, f"_{len(places)}")
            types[at] = type_
            return f"{at}{found[0][len(name) :]}"

        quoted = '"' in expression  # subscripts of an einsum look like names
        parts = expression.split('"') if quoted else [expression]
        parts[::2] = [_NAME.sub(place, part) for part in parts[::2]]
        names = {at: name for name, at in places.items()}
        return _Form('"'.join(parts), tuple(types.items()), names)


def _renamed(one: Call, names: Mapping[str, str]) -> Call:
    def name(found: re.Match[str]) -> str:
        return names[found[0]]

    return Call(
        names[one.target],
        _PLACE.sub(name, one.function),
        tuple([_PLACE.sub(name, argument) for argument in one.arguments]),
        tuple([names.get(read, read).partition(".")[0] for read in one.reads]),
        one.type,
        one.keyword,
        tuple([full for name in one.aligned if "." not in (full := names.get(name, name))]),
    )
