"""Python source as words: the one place where names in text are found and exchanged.

A name is never looked for by what it looks like, since `axis` is a part of `axis=0`, of `"axis"`
and of `x.axis`, and none of these is a variable. `words` tells them apart, and `renamed` exchanges
variables alone.
"""

from __future__ import annotations

import keyword
import re
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from typing import Literal, NamedTuple

Kind = Literal["variable", "attribute", "argument", "string", "comment", "other"]


class Word(NamedTuple):
    """A part of a source; all parts together are the source again.

    kind  of a name: a "variable", an "attribute", or the name of an "argument" of a call
    """

    kind: Kind
    text: str


_PART = re.compile(
    r'''(?P<string>[bfru]{0,2}(?:"""(?:\\.|[^\\])*?"""|"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'))'''
    r"""|(?P<comment>\#[^\n]*)|(?P<number>\d[\w.]*)|(?P<name>[^\W\d]\w*)|(?P<space>\s+)|(?P<sign>.)""",
    re.DOTALL | re.IGNORECASE,
)
_ASSIGNED = re.compile(r"\s*=(?!=)")
_FIELD = re.compile(r"(\{\{|\}\})|\{([^{}]+?)((?:![a-z])?(?::[^{}]*)?\})")
"""A pair of braces that stands for one, or an expression in an f-string and what follows it."""


def words(source: str) -> Iterator[Word]:
    """The parts of Python source, such as this compiler writes it, in order."""
    before, brackets = "", 0
    for found in _PART.finditer(source):
        text, group = found[0], found.lastgroup
        if group == "name" and not keyword.iskeyword(text):
            named = brackets and before in ("(", ",") and _ASSIGNED.match(source, found.end())
            yield Word("attribute" if before == "." else "argument" if named else "variable", text)
        elif group == "string":
            yield Word("string", text)
        elif group == "comment":
            yield Word("comment", text)
        else:
            brackets += (text in ("(", "[", "{")) - (text in (")", "]", "}"))
            yield Word("other", text)
        if group not in ("space", "comment"):
            before = text


def renamed(source: str, names: Mapping[str, str]) -> str:
    """The source with variables called otherwise, also in the braces of f-strings."""

    def name(one: Word) -> str:
        return names.get(one.text, one.text) if one.kind == "variable" else one.text

    return exchanged(source, name)


def exchanged(source: str, name: Callable[[Word], str]) -> str:
    """The source with what `name` makes of each variable, attribute, and name of an argument."""
    found: list[str] = []
    for one in words(source):
        if one.kind == "string" and _is_formatted(one.text):
            found.append(_FIELD.sub(lambda field: _field(field, name), one.text))
        elif one.kind in ("variable", "attribute", "argument"):
            found.append(name(one))
        else:
            found.append(one.text)
    return "".join(found)


def _is_formatted(string: str) -> bool:
    return "f" in string.partition('"')[0].partition("'")[0].lower()


def _field(found: re.Match[str], name: Callable[[Word], str]) -> str:
    doubled, expression, rest = found.groups()
    return doubled or f"{{{exchanged(expression, name)}{rest}"


@lru_cache(maxsize=65536)
def variables(source: str) -> tuple[str, ...]:
    """The variables that a source mentions, in order, each once; those of f-strings too."""
    found: dict[str, None] = {}

    def see(one: Word) -> str:
        if one.kind == "variable":
            found[one.text] = None
        return one.text

    exchanged(source, see)
    return tuple(found)
