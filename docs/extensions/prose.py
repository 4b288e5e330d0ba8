"""A docstring of symflow as Markdown.

The docstrings are plain text in three forms: paragraphs, tables of names with what they mean, and
code, which is indented or stands by itself. `prose` finds these forms and writes them in MyST's
Markdown.
"""

from __future__ import annotations

import ast
import contextlib
import re
import textwrap
from collections.abc import Iterable
from itertools import groupby

_ENTRY = re.compile(r"^(\S+(?:, \S+)*)  +(\S.*)$")
_SPECIAL = re.compile(r"([\\*_\[\]<>|#$~])")


def escaped(text: str) -> str:
    """Text that Markdown shows as it stands; what stands in backticks is code."""
    parts = text.split("`")
    return "`".join(
        part if at % 2 else _SPECIAL.sub(r"\\\1", part) for at, part in enumerate(parts)
    )


def prose(docstring: str) -> str:
    """A docstring, already without its indentation, as Markdown."""
    parts = []
    paragraphs = re.split(r"\n[^\S\n]*\n", docstring.strip("\n"))
    for is_code, group in groupby(paragraphs, _is_code):
        if is_code:
            parts.append(_code(textwrap.dedent("\n\n".join(group))))
        else:
            parts += map(_paragraph, group)
    return "\n\n".join(parts)


def _is_code(part: str) -> bool:
    """What is indented, and what is Python and not a single word."""
    if all(line.startswith("    ") for line in part.splitlines()):
        return True
    with contextlib.suppress(SyntaxError):
        ast.parse(part)
        return not part.strip().isidentifier()
    return False


def _paragraph(part: str) -> str:
    lines = part.splitlines()
    if _ENTRY.match(lines[0]):
        return _definitions(lines)
    return escaped("\n".join(line.strip() for line in lines))


def _code(text: str) -> str:
    """Python, or a formula."""
    language = "text"
    with contextlib.suppress(SyntaxError):
        ast.parse(text)
        language = "python"
    return f"```{language}\n{text}\n```"


def _definitions(lines: Iterable[str]) -> str:
    """A table of names as a list of definitions."""
    entries: list[list[str]] = []
    for line in lines:
        found = _ENTRY.match(line)
        if found:
            entries.append([f"`{found[1]}`", found[2].strip()])
        else:
            entries[-1].append(line.strip())
    return "\n\n".join(f"{name}\n: {escaped(' '.join(meaning))}" for name, *meaning in entries)
