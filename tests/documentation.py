"""The code blocks of a page of documentation, and how each of them is kept true.

A page is run from top to bottom in a folder of its own, its Python in one namespace:

    ```python     is run; a block of ```text right after it is what it prints
    ```console    after `$ ` stands a command, which is run; below it, what it prints

What is shown may leave something out: `...` stands for any text, and as a line for any number of
lines. Numbers with a decimal point agree if they differ by one in their last place.

A comment in the page, which no reader sees, says what else a block is, or what comes before it:

    <!-- file: model.py -->      the next block is the content of a file
    <!-- in: generated/m.py -->  the next block is part of a file; `...` stands for left out lines
    <!-- fails -->               the commands of the next block exit with another status than 0
    <!-- not run: reason -->     the next block cannot be run; the tests list all of these
    <!-- run: symflow ... -->    a command that is run before the next block
    <!-- python: ... -->         code that is run before the next block, of one line or several
    <!-- write: data.csv ... --> a file that is written before the next block
"""

from __future__ import annotations

import io
import os
import re
import shlex
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from click.testing import CliRunner

from symflow.cli import main

NOT_RUN = {
    "make": "builds an environment of its own",
    "pip": "needs the network",
    "pre-commit": "needs the network",
    "git": "is about the reader's own repository",
}
"""Programs that are not run where a page shows them, and why."""

OUTPUT = "text"
LANGUAGES = ("python", "console", OUTPUT)
"""Of the blocks that are run; one in another language says what it is by a comment."""

_FENCE = re.compile(
    r"^<!-- (?P<mark>.*?)-->$|^(?P<indent> *)(?P<fence>```+)(?P<info>[^\n`]*)\n"
    r"(?P<body>.*?)^(?P=indent)(?P=fence)$",
    re.DOTALL | re.MULTILINE,
)
_NUMBER = r"-?\d+\.\d+(?:e[-+]?\d+)?"


@dataclass(frozen=True)
class Mark:
    """A comment that concerns the next block."""

    kind: str
    text: str


@dataclass(frozen=True)
class Block:
    """A code block: where it begins, its language and text, and the comments before it."""

    line: int
    language: str
    text: str
    marks: tuple[Mark, ...] = ()

    def mark(self, kind: str) -> str | None:
        """What a comment before the block says."""
        return next((one.text for one in self.marks if one.kind == kind), None)


def blocks(page: str) -> Iterator[Block]:
    """The code blocks of a page in order; those that are directives of Sphinx are none."""
    marks: list[Mark] = []
    for found in _FENCE.finditer(page):
        if found["mark"] is not None:
            kind, _, text = found["mark"].partition(":")
            marks.append(Mark(kind.strip(), text.strip(" ")))
        elif not found["info"].startswith("{"):
            line = page.count("\n", 0, found.start()) + 1
            text = re.sub(rf"^{found['indent']}", "", found["body"], flags=re.MULTILINE)
            yield Block(line, found["info"].strip(), text, tuple(marks))
            marks = []


def difference(shown: str, real: str) -> str | None:
    """None where `real` is what is shown; else where they part, for a person."""
    pattern, numbers = _pattern(shown.strip("\n"))
    found = re.fullmatch(pattern, real.strip("\n"), re.DOTALL)
    if found is None:
        return f"shown:\n{shown}\nreal:\n{real}"
    for number, group in zip(numbers, found.groups(), strict=True):
        if not _close(number, group):
            return f"{number} is shown, and it is {group}:\n{real}"
    return None


def _pattern(shown: str) -> tuple[str, list[str]]:
    """What is shown as a regular expression with a group for every number, and the numbers."""
    pattern, numbers = "", []
    for part in re.split(rf"(^\.\.\.\n|\n\.\.\.$|\.\.\.|{_NUMBER})", shown, flags=re.MULTILINE):
        if part.strip() == "...":
            pattern += f"(?:{part.replace('...', '.*')})?"
        elif re.fullmatch(_NUMBER, part):
            pattern += f"({_NUMBER})"
            numbers.append(part)
        else:
            pattern += re.escape(part)
    return pattern, numbers


def _close(shown: str, real: str) -> bool:
    digits, _, exponent = shown.partition("e")
    unit = 10.0 ** (int(exponent or 0) - len(digits.partition(".")[2]))
    return abs(float(shown) - float(real)) <= max(1.01 * unit, 1e-9 * abs(float(shown)))


def missing(excerpt: str, text: str) -> str:
    """Lines of an excerpt that do not stand in a text, one after the other; "" if all do.

    Where the excerpt has `...`, the text may have other lines.
    """
    after = 0
    for piece in re.split(r"^ *\.\.\.\n", excerpt, flags=re.MULTILINE):
        at = f"\n{text}".find(f"\n{piece}", after)
        if at < 0:
            return piece
        after = at + len(piece)
    return ""


def commands(console: str) -> Iterator[tuple[str, str]]:
    """The commands of a console block, each with what it prints."""
    for part in re.split(r"^\$ ", console, flags=re.MULTILINE)[1:]:
        command, _, rest = part.partition("\n")
        while command.endswith("\\"):
            more, _, rest = rest.partition("\n")
            command = command[:-1] + more.strip()
        yield command.strip(), rest


@dataclass
class Page:
    """A page that is run in the current folder."""

    path: Path
    namespace: dict[str, Any] = field(default_factory=lambda: {"__name__": "__main__"})
    printed: str = ""

    def run(self) -> None:
        """Run all blocks; an AssertionError names the first that is not true."""
        for block in blocks(self.path.read_text(encoding="utf-8")):
            try:
                self._run(block)
            except Exception as error:
                where = f"{self.path.name}:{block.line}"
                raise AssertionError(f"{where}: {type(error).__name__}: {error}") from error

    def _run(self, block: Block) -> None:
        for mark in block.marks:
            if mark.kind == "run":
                status, output = self._command(mark.text.strip())
                assert status == 0, output
            elif mark.kind == "python":
                self._python(textwrap.dedent(mark.text), block.line)
            elif mark.kind == "write":
                name, _, content = mark.text.partition("\n")
                _write(name, content)
            else:
                assert mark.kind in ("file", "in", "fails", "not run"), mark
        name, part_of = block.mark("file"), block.mark("in")
        if block.mark("not run") is not None:
            return
        if name is not None:
            _write(name, block.text)
        elif part_of is not None:
            text = Path(part_of.strip()).read_text(encoding="utf-8")
            absent = missing(block.text, text)
            assert not absent, f"{part_of}has no\n{absent}"
        elif block.language == "python":
            self._python(block.text, block.line)
        elif block.language == OUTPUT:
            _agree(block.text, self.printed)
        else:
            assert block.language == "console", f"{block.language!r} is not run"
            self._console(block)

    def _python(self, text: str, line: int) -> None:
        padded = "\n" * line + text  # so that a traceback names the line of the page
        with redirect_stdout(io.StringIO()) as printed:
            exec(compile(padded, str(self.path), "exec"), self.namespace)
        self.printed = printed.getvalue()

    def _console(self, block: Block) -> None:
        for command, shown in commands(block.text):
            if command.split()[0] in NOT_RUN:
                assert not shown.strip(), f"{command} is not run, and so what it prints is not true"
                continue
            status, output = self._command(command)
            assert (status != 0) == (block.mark("fails") is not None), output
            if shown.strip():
                _agree(shown, output)

    @staticmethod
    def _command(command: str) -> tuple[int, str]:
        """Exit status and output, errors among it. symflow itself runs in this process."""
        words = shlex.split(command, comments=True)
        if words[0] == "symflow" and not {"|", ">", "&&"} & set(words):
            run = CliRunner().invoke(main, words[1:], prog_name="symflow")
            if run.exception is not None and not isinstance(run.exception, SystemExit):
                raise run.exception
            return run.exit_code, run.output
        done = subprocess.run(
            ["bash", "-c", command],
            env={**os.environ, **_where_to_look()},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        return done.returncode, done.stdout


def _where_to_look() -> dict[str, str]:
    """This Python as `python`, and the symflow that is tested as `symflow`."""
    folder = Path.cwd() / ".bin"
    folder.mkdir(exist_ok=True)
    for name, module in (("symflow", "-m symflow "), ("python", "")):
        (folder / name).write_text(f'#!/bin/sh\nexec "{sys.executable}" {module}"$@"\n')
        (folder / name).chmod(0o755)
    path = f"{folder}{os.pathsep}{os.environ['PATH']}"
    return {"PATH": path, "PYTHONPATH": os.pathsep.join(sys.path)}


def _agree(shown: str, real: str) -> None:
    found = difference(shown, real)
    assert found is None, found


def _write(name: str, text: str) -> None:
    path = Path(name.strip())
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
