"""Statements → groups of calls. Statements of one form are taken apart once, whatever they read.

The form of `hidden = np.tanh(x @ p.w + p.b)` is `np.tanh(_0 @ _1 + _2)` with the types of the
three arrays.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache

from symflow.alphabets import tensor_name
from symflow.calls import RESULT, Apart, Call, taken_apart
from symflow.program import Type
from symflow.statements import Statement
from symflow.tokens import renamed, words

Fresh = Callable[[str], str]


class Calls:
    """Takes the statements of one function apart, in order.

    known  what the names that its expressions mention are; those of statements are added
    fresh  gives a name that is not taken yet, from one that would do
    """

    def __init__(self, known: Mapping[str, Type], fresh: Fresh) -> None:
        self.known = dict(known)
        self._fresh = fresh
        self._ones: dict[Type, str] = {}

    @property
    def ones(self) -> Mapping[str, Type]:
        """The arrays of the workspace that hold ones, by name."""
        return {name: type_ for type_, name in self._ones.items()}

    def group(self, statement: Statement, type_: Type) -> list[Call]:
        """The calls of a statement, which computes a tensor of that type."""
        form = _Form.of(statement.expression, self.known)
        apart = _of_form(form.expression, form.types)
        names = {**form.names, RESULT: statement.name}
        names |= {part: self._fresh(f"{statement.name}_part") for part in apart.parts}
        names |= {place: f"work.{self._name_of(ones)}" for place, ones in apart.ones.items()}
        self.known[statement.name] = type_
        return [_renamed(one, names) for one in apart.calls]

    def _name_of(self, ones: Type) -> str:
        if ones not in self._ones:
            sizes = (re.sub(r"\W+", "_", str(size)) for size in ones.shape)
            self._ones[ones] = self._fresh(tensor_name("_".join(["ones", *sizes])))
        return self._ones[ones]


@lru_cache(maxsize=65536)
def _of_form(expression: str, types: tuple[tuple[str, Type], ...]) -> Apart:
    return taken_apart(expression, dict(types))


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
        parts = list(words(expression))
        found: list[str] = []
        at = 0
        while at < len(parts):
            kind, text = parts[at]
            if kind != "variable":
                found.append(text)
                at += 1
                continue
            end = at + 1
            while end + 1 < len(parts) and parts[end + 1].kind == "attribute":
                end += 2
            name = text = "".join(part.text for part in parts[at:end])
            while name and name not in known:
                name = name.rpartition(".")[0]
            if name and known[name].shape:
                place = places.setdefault(name, f"_{len(places)}")
                types[place] = known[name]
                text = f"{place}{text[len(name) :]}"
            elif name:  # a size is part of what a shape is
                types[name] = known[name]
            found.append(text)
            at = end
        names = {place: name for name, place in places.items()}
        return _Form("".join(found), tuple(types.items()), names)


def _renamed(one: Call, names: Mapping[str, str]) -> Call:
    return Call(
        names[one.target],
        renamed(one.function, names),
        tuple([renamed(argument, names) for argument in one.arguments]),
        tuple([names.get(read, read).partition(".")[0] for read in one.reads]),
        one.type,
        one.keyword,
        tuple([full for name in one.aligned if "." not in (full := names.get(name, name))]),
    )
