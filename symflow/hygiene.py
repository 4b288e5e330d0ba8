"""The end of a module: all names in plain letters, and none for two things.

Until here what the user named is spelled in alphabets of its own (`alphabets.py`). Where two names
of one function become the same, one of them gives way and gets an underscore:

    a public function    its arguments are public, so variables of the compiler's give way
    any other function   is given all by position, so the user's names give way

What is hidden by a name of the user's, as `len` by an argument of that name, is read by another
name: `_len = len`.
"""

from __future__ import annotations

import builtins
import re
import symtable
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property

from symflow.alphabets import MARKED, plain, tensor_name
from symflow.functional import READ_BY_NAME
from symflow.program import Definition, Input, Program
from symflow.recurrence import Scan
from symflow.source import check_names
from symflow.statements import distinct
from symflow.tokens import renamed, variables


def marked(program: Program, outputs: Mapping[str, str]) -> Program:
    """A program in which labels and inputs are spelled as the user's.

    outputs  what outputs are called, where that is not as before
    """
    definitions = tuple(map(_marked, program.definitions))
    called = [outputs.get(name, name) for name in program.outputs]
    found = zip(distinct(called), program.outputs.values(), strict=True)
    return Program(definitions, dict(found))


def _marked(definition: Definition) -> Definition:
    value = definition.value
    if isinstance(value, Input):
        value = replace(value, name=tensor_name(value.name))
    elif isinstance(value, Scan):
        value = replace(value, body=marked(value.body, {}))
    label = replace(definition.label, name=tensor_name(definition.label.name))
    return replace(definition, value=value, label=label)


def settled(source: str, known: Collection[str] = ()) -> str:
    """A module in plain letters, in which no name of a function stands for two things, or none.

    known  names that the text is given when it is run
    """
    text = source if source.isascii() else _Module(source).settled()
    check_names(text, known)
    return text


_TOP = re.compile(r"^(?=[^\s)\]}#])", re.MULTILINE)
_HEAD = re.compile(r"(?:def|class) (\w+)|(\w+)(?:: [^=\n]*)? = ")
_COMMENT = re.compile(r'^ *# .*|  # .*|"""(?:.|\n)*?"""', re.MULTILINE)
_BARE = re.compile(r"(?<!\w)[A-Za-z_]\w*")


@dataclass(frozen=True)
class _Statement:
    """A statement at the margin of a module, with the comments and the room behind it."""

    text: str

    @cached_property
    def name(self) -> str:
        """What it defines."""
        found = _HEAD.match(self.text)
        return "" if found is None else found[1] or found[2]

    @property
    def is_function(self) -> bool:
        return self.text.startswith("def ")

    @property
    def is_public(self) -> bool:
        """Whether it is a function that users call."""
        return self.is_function and not self.name.startswith("_")

    @property
    def has_scopes(self) -> bool:
        return self.is_function or (self.text.startswith("class ") and "    def " in self.text)

    @cached_property
    def head(self) -> str:
        """A function up to its body."""
        end = re.search(r":\n", self.text)
        return self.text if end is None else self.text[: end.end()]


class _Module:
    def __init__(self, source: str) -> None:
        self.source = source
        self.statements = [_Statement(text) for text in _TOP.split(source) if text]
        self.aliases: dict[str, str] = {}
        self.shared = self._shared()
        self.hidden = self._hidden()

    @cached_property
    def bare(self) -> set[str]:
        """All words of the compiler's."""
        return set(_BARE.findall(_COMMENT.sub("", self.source)))

    def _shared(self) -> dict[str, str]:
        """What the user's names at the margin are called: functions by them, constants nearly."""
        found: dict[str, str] = {}
        for one in self.statements:
            if MARKED.fullmatch(one.name):
                called = plain(one.name)
                taken = () if one.is_function else {*self.bare, *found.values()}
                found[one.name] = free(called, taken)
        distinct([*found.values()])
        return found

    def _hidden(self) -> dict[str, str]:
        """Names of Python's that a function of the user's hides, and what stands for them."""
        public = [name for name in self.shared.values() if hasattr(builtins, name)]
        read = {name for one in self.statements for name in variables(one.text)} if public else ()
        return {name: self.alias(name) for name in public if name in read}

    def alias(self, name: str) -> str:
        """Another name for what is hidden in a function."""
        if name not in self.aliases:
            self.aliases[name] = free(f"_{name}", {*self.bare, *self.aliases.values()})
        return self.aliases[name]

    def settled(self) -> str:
        written = [self._statement(one) for one in self.statements]
        distinct([plain(one.name) for one in self.statements if one.is_function])
        defined = [one.name for one in self.statements]
        for name, alias in self.aliases.items():
            at = defined.index(name if name in defined else "Array")
            line = f"{alias} = {name}\n"
            if self.statements[at].has_scopes:
                written[at] += f"{line}\n\n"
            else:
                text = written[at].rstrip("\n")
                written[at] = f"{text}\n{line}{written[at][len(text) + 1 :]}"
        return "".join(written)

    def _statement(self, one: _Statement) -> str:
        users = set(MARKED.findall(one.text))
        spelled = set(map(plain, users))
        others = set(_BARE.findall(_COMMENT.sub("", one.text)))
        if one.is_function and not one.is_public:
            others |= READ_BY_NAME
        as_spelled = all(self.shared.get(name, "") in ("", plain(name)) for name in users)
        alone = len(spelled) == len(users) and others.isdisjoint(spelled | self.hidden.keys())
        if as_spelled and alone:
            return plain(one.text)
        names = {**self.hidden, **self.shared}
        if one.has_scopes:
            names = {**self.hidden, **_Names(one, self).found}
        head = dict(names)
        if one.is_public:  # its other arguments stay as they are
            head = {name: to for name, to in names.items() if name in users | self.hidden.keys()}
        head |= {name: to for name, to in self.shared.items() if name == one.name}
        return plain(renamed(one.head, head) + renamed(one.text[len(one.head) :], names))


class _Names:
    """What the names of one function become, where they are not as they are.

    found  by the name as it is spelled
    """

    def __init__(self, function: _Statement, module: _Module) -> None:
        tables = symtable.symtable(function.text, "module", "exec").get_children()
        symbols = [symbol for table in _all(tables) for symbol in table.get_symbols()]
        self.module = module
        self.mine = {one.get_name() for one in symbols}
        self.local = {one.get_name() for one in symbols if one.is_local() or one.is_parameter()}
        users = {one for one in self.mine if MARKED.fullmatch(one)}
        self.mine -= users
        self.found: dict[str, str] = {}
        fixed = {one: to for one, to in module.shared.items() if one in users - self.local}
        if function.is_public and isinstance(tables[0], symtable.Function):
            parameters = users.intersection(tables[0].get_parameters())
            fixed |= {one: plain(one) for one in sorted(parameters)}
        self.taken = {*self.mine, *fixed.values()}
        if function.is_function and not function.is_public:
            self.taken |= READ_BY_NAME
        for one, called in fixed.items():
            self.found[one] = called
            if called in self.mine:
                self._gives_way(called)
        for one in sorted(users - fixed.keys()):
            self.found[one] = self._free(plain(one))

    def _gives_way(self, name: str) -> None:
        """Call something of the compiler's otherwise."""
        if name in self.local:
            self.found[name] = self._free(f"{name}_")
        else:
            self.found[name] = self.module.alias(name)

    def _free(self, name: str) -> str:
        name = free(name, self.taken)
        self.taken.add(name)
        return name


def _all(tables: list[symtable.SymbolTable]) -> Iterator[symtable.SymbolTable]:
    for table in tables:
        yield table
        yield from _all(table.get_children())


def free(name: str, taken: Collection[str]) -> str:
    """The name, or with as few underscores behind it as nothing else has."""
    while name in taken:
        name += "_"
    return name
