"""Faults planted in generated modules, one by one: `symflow check` must see them.

They stand in `planted_faults.txt`. A fault is an edit of the text of an emitted module, in the
function that it names, at the one place where the old text stands there; where it stands no more,
or twice, the fault is an error and no pass. The kinds are those in which a module can be wrong: a
gradient or a block of it, one entry point, one precision, some numbers of rows, threads, what is
kept between calls, training, special points, tiny errors, names and order, parameters and files.

    python tests/test_planted_faults.py [WORD ...]    each that has all words, and what is found
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from symflow.compilation import Style

TABLE = Path(__file__).with_suffix(".txt")


@dataclass(frozen=True)
class Edit:
    """In a function or class, or "" for the whole module, `old` becomes `new`.

    Names of functions inside of others have a dot: `_summed.added`.
    """

    within: str
    old: str
    new: str

    def applied(self, text: str) -> str:
        start, end = _region(text, self.within)
        region = text[start:end]
        found = region.count(self.old)
        if found != 1:
            raise LookupError(f"{self.old!r} stands {found} times in {self.within or 'the module'}")
        return text[:start] + region.replace(self.old, self.new) + text[end:]


@dataclass(frozen=True)
class Fault:
    """A module that is wrong.

    survives  why `symflow check` cannot see it; "" where it must
    """

    kind: str
    name: str
    model: str
    style: Style
    survives: str
    edits: tuple[Edit, ...]

    def __str__(self) -> str:
        return f"{self.kind}: {self.name}: {self.model}, {self.style}"

    def planted(self, text: str) -> str:
        """The text of the module with the fault."""
        wrong = text
        for edit in self.edits:
            try:
                wrong = edit.applied(wrong)
            except LookupError as error:
                raise LookupError(f"{self}: {error}") from None
        if ast.dump(ast.parse(wrong)) == _meaning(text):
            raise LookupError(f"{self}: the module means what it meant")
        return wrong


@lru_cache(maxsize=4)
def _parsed(text: str) -> ast.Module:
    return ast.parse(text)


@lru_cache(maxsize=4)
def _meaning(text: str) -> str:
    return ast.dump(_parsed(text))


def _region(text: str, within: str) -> tuple[int, int]:
    """Where a function stands in the text, from its first line to its last."""
    if not within:
        return 0, len(text)
    nodes: Sequence[ast.AST] = _parsed(text).body
    for name in within.split("."):
        matching = [one for one in nodes if getattr(one, "name", None) == name]
        if len(matching) != 1:
            raise LookupError(f"{len(matching)} functions {within}")
        found = matching[0]
        nodes = [one for one in ast.walk(found) if isinstance(one, ast.FunctionDef)][1:]
    assert isinstance(found, (ast.FunctionDef, ast.ClassDef))
    lines = text.splitlines(keepends=True)
    start = sum(map(len, lines[: found.lineno - 1]))
    return start, start + sum(map(len, lines[found.lineno - 1 : found.end_lineno]))


def _read(text: str) -> Iterator[Fault]:
    kind = ""
    for block in text.split("\n\n"):
        lines = [line for line in block.splitlines() if not line.startswith("#")]
        if not any(lines):
            continue
        if lines[0].startswith("=== "):
            kind = lines[0].removeprefix("=== ")
            continue
        name, _, module = lines[0].rpartition(": ")
        model, _, style = module.partition(", ")
        assert style in ("fast", "plain"), lines[0]
        reasons = [line.removeprefix("! ") for line in lines if line.startswith("! ")]
        edits = tuple(_edits([line for line in lines[1:] if not line.startswith("! ")]))
        yield Fault(kind, name, model, style, " ".join(reasons), edits)  # type: ignore[arg-type]


def _edits(lines: Sequence[str]) -> Iterator[Edit]:
    starts = [at for at, line in enumerate(lines) if line.startswith("@")]
    for start, end in zip(starts, [*starts[1:], len(lines)], strict=True):
        old = [line[2:] for line in lines[start + 1 : end] if line.startswith("-")]
        new = [line[2:] for line in lines[start + 1 : end] if line.startswith("+")]
        assert len(old) + len(new) == end - start - 1, lines[start:end]
        yield Edit(lines[start][1:].strip(), "\n".join(old), "\n".join(new))


FAULTS = tuple(_read(TABLE.read_text(encoding="utf-8")))
