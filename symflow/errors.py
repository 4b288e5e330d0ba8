"""What a user sees when something is wrong with the model: what, where it stands, what to do.

model.py:12: matmul: x is (n, 784) but w is (512, 10)
    logits = sf.matmul(x, w) + b
    x is defined at model.py:4, w at model.py:7
    hint: the last dimension of x must equal the first of w
"""

from __future__ import annotations

import linecache
import os
import re
import sys
import threading
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from types import FrameType

_PACKAGE = os.path.dirname(os.path.abspath(__file__)) + os.sep
_LONGEST = 120  # characters of a source line that are shown
_LONGEST_MESSAGE = 500


@dataclass(frozen=True, slots=True)
class Location:
    """A line of the user's own code. Only the file's name is kept in output: it holds no paths.

    path    where the line can be read
    caller  the line of the model that led there, if it is another one
    """

    file: str
    line: int
    path: str = field(default="", compare=False, repr=False)
    caller: Location | None = field(default=None, compare=False, repr=False)

    def __str__(self) -> str:
        return f"{printable(self.file)}:{self.line}"

    @property
    def source(self) -> str:
        """The line as it is written, or "" where it cannot be read."""
        if not self.path:
            return ""
        linecache.checkcache(self.path)
        return shown(linecache.getline(self.path, self.line))


def printable(text: str) -> str:
    """A line of whoever's making that is safe to print: what a terminal would obey is escaped.

    That is what controls it, also the direction of writing, and what no encoding has.
    """
    if text.isprintable():
        return text
    return "".join(
        one if one.isprintable() or unicodedata.category(one) == "Zs" else _escaped(one)
        for one in text
    )


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode()


def shown(text: str) -> str:
    """A line of source that is safe to print, and not too long."""
    text = printable(text.strip().expandtabs(4))
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]} ..."


class SymflowError(Exception):
    """A mistake in the model, its data or the command.

    Everything that a user can do wrong raises this. A broken invariant inside symflow is an
    AssertionError instead, and is never blamed on the user.

    message   what is wrong, in one line
    location  the line of the user's code that is at fault
    excerpt   that line as it is written, and what else shows how the model came to it
    operands  what the line reads: how the user calls each, and where it is defined
    hint      what to do about it
    others    further mistakes that were found with this one
    """

    def __init__(
        self,
        message: str,
        location: Location | None = None,
        *,
        operands: Sequence[tuple[str, Location]] = (),
        hint: str | None = None,
        excerpt: Sequence[str] | None = None,
    ) -> None:
        super().__init__(message)
        self.message = _in_one_line(message)
        self.location = location
        self.operands = tuple((printable(name), place) for name, place in operands)
        self.hint = None if hint is None else printable(hint)
        lines = _excerpt(location) if excerpt is None else excerpt
        self.excerpt = tuple(map(printable, lines))
        self.others: tuple[SymflowError, ...] = ()

    @property
    def line(self) -> str:
        """The first line: where, and what is wrong."""
        return f"{self.location}: {self.message}" if self.location else self.message

    @property
    def alone(self) -> str:
        """The mistake without the others that were found with it."""
        lines = [*self.excerpt]
        if self.operands:
            (name, place), *rest = self.operands
            told = [f"{name} is defined at {place}", *(f"{other} at {at}" for other, at in rest)]
            lines.append(", ".join(told))
        if self.hint:
            lines.append(f"hint: {self.hint}")
        return "\n".join([self.line, *(f"    {line}" for line in lines)])

    @property
    def every(self) -> tuple[SymflowError, ...]:
        """This mistake and the others, in the order in which they are told."""
        return (self, *self.others)

    @property
    def printed(self) -> str:
        """What a command says of it on stderr."""
        told = [f"symflow: {one.alone}" for one in self.every]
        return "\n".join([*told, *([f"symflow: {len(told)} mistakes"] if self.others else [])])

    def __str__(self) -> str:
        told = [one.alone for one in self.every]
        return "\n".join([*told, *([f"{len(told)} mistakes"] if self.others else [])])


def _in_one_line(message: str) -> str:
    """A message without line breaks, addresses and folders, of a length that can be read."""
    line = printable(" ".join(message.split()))
    line = re.sub(r" (at 0x[0-9a-fA-F]+|from '[^']*')>", ">", line)
    line = re.sub(r" \([^()]*[/\\][^()]*\.py\)$", "", line)
    return line if len(line) <= _LONGEST_MESSAGE else f"{line[:_LONGEST_MESSAGE]} ..."


def _excerpt(location: Location | None) -> list[str]:
    if location is None:
        return []
    lines = [location.source] if location.source else []
    if location.caller is not None:
        called = location.caller.source
        lines.append(f"called at {location.caller}" + (f": {called}" if called else ""))
    return lines


def together(mistakes: Iterable[SymflowError]) -> SymflowError:
    """Several mistakes as one error: the first by its line, which holds the others."""
    found: dict[str, SymflowError] = {}
    for mistake in mistakes:
        for one in mistake.every:
            found.setdefault(one.alone, one)
    first, *others = sorted(found.values(), key=_order)
    first.others = tuple(others)
    for one in others:
        one.others = ()
    return first


def _order(error: SymflowError) -> tuple[str, int]:
    at = error.location
    return (at.file, at.line) if at is not None else ("", 0)


def is_own(frame: FrameType) -> bool:
    """Whether a frame is symflow's, not the user's."""
    return frame.f_code.co_filename.startswith(_PACKAGE)


class _Running(threading.local):
    """The files of the models that a thread runs."""

    def __init__(self) -> None:
        self.models: list[str] = []


_running = _Running()


@contextmanager
def running(path: str, source: str) -> Iterator[None]:
    """While a model runs, a line of a function is told with the line of the model behind it."""
    linecache.cache[path] = (len(source), None, source.splitlines(keepends=True), path)
    _running.models.append(path)
    try:
        yield
    finally:
        _running.models.pop()


def calling_location() -> Location | None:
    """The line of the innermost frame that is not symflow's: where the user called us."""
    frame = sys._getframe(1)
    while frame is not None and is_own(frame):
        frame = frame.f_back  # type: ignore[assignment]
    return None if frame is None else location_of(frame)


def location_of(frame: FrameType) -> Location:
    """Where a frame of the user's code is, and the line of the model that led there."""
    caller = None
    if _running.models and frame.f_code.co_name != "<module>":
        outer = frame.f_back
        while outer is not None and outer.f_code.co_filename != _running.models[-1]:
            outer = outer.f_back
        if outer is not None:
            caller = _line_of(outer, None)
    here = _line_of(frame, caller)
    return _line_of(frame, None) if caller == here else here


def _line_of(frame: FrameType, caller: Location | None) -> Location:
    path = frame.f_code.co_filename
    return Location(_file_name(path), frame.f_lineno or 1, path, caller)


@lru_cache(maxsize=256)
def _file_name(path: str) -> str:
    """What a user calls a file: its name without folders, or the cell of a notebook: `In[3]`."""
    notebook = sys.modules.get("IPython")
    shell = None if notebook is None else notebook.get_ipython()
    told = None if shell is None else shell.compile.format_code_name(path)
    return os.path.basename(path) if told is None else str(told[1])
