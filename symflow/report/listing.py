"""Python source as lines for a page: numbered, coloured, with links beside them."""

from __future__ import annotations

import io
import keyword
import tokenize
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from symflow.report.picture import Link


@dataclass(frozen=True)
class Span:
    """A run of text, and what it is: "keyword", "string", "comment", "number" or ""."""

    text: str
    role: str


@dataclass(frozen=True)
class SourceLine:
    anchor: str
    number: int
    spans: tuple[Span, ...]
    links: tuple[Link, ...]


def listing(
    source: str, prefix: str, links: Mapping[int, Sequence[Link]]
) -> tuple[SourceLine, ...]:
    """Every line of a source, with an anchor of `prefix` and its number; `links` by line."""
    texts = source.removesuffix("\n").split("\n")
    spans = _spans(source, texts)
    return tuple(
        SourceLine(f"{prefix}{number}", number, spans[number], tuple(links.get(number, ())))
        for number in range(1, len(texts) + 1)
    )


def excerpt(lines: Sequence[SourceLine], first: int, last: int) -> tuple[SourceLine, ...]:
    """Some lines, as far to the left as they can be together."""
    chosen = lines[first - 1 : last]
    texts = ["".join(span.text for span in one.spans) for one in chosen]
    indent = min((len(one) - len(one.lstrip()) for one in texts if one.strip()), default=0)
    return tuple(
        SourceLine(one.anchor, one.number, tuple(_without(one.spans, indent)), ()) for one in chosen
    )


def _without(spans: Sequence[Span], count: int) -> Iterator[Span]:
    for span in spans:
        cut = min(count, len(span.text))
        count -= cut
        if span.text[cut:]:
            yield Span(span.text[cut:], span.role)


def _spans(source: str, texts: Sequence[str]) -> dict[int, tuple[Span, ...]]:
    """The runs of every line."""
    marks: dict[int, list[tuple[int, int, str]]] = {at + 1: [] for at in range(len(texts))}
    for role, (row, column), (end_row, end_column) in _tokens(source):
        for at in range(row, end_row + 1):
            first = column if at == row else 0
            last = end_column if at == end_row else len(texts[at - 1])
            marks[at].append((first, last, role))
    return {at: tuple(_cut(texts[at - 1], found)) for at, found in marks.items()}


def _cut(text: str, marks: Sequence[tuple[int, int, str]]) -> Iterator[Span]:
    at = 0
    for first, last, role in marks:
        if first > at:
            yield Span(text[at:first], "")
        yield Span(text[first:last], role)
        at = last
    if text[at:]:
        yield Span(text[at:], "")


def _tokens(source: str) -> Iterator[tuple[str, tuple[int, int], tuple[int, int]]]:
    """What is coloured, and where it is."""
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        role = _ROLES.get(token.type, "")
        if token.type == tokenize.NAME and keyword.iskeyword(token.string):
            role = "keyword"
        if role:
            yield role, token.start, token.end


_ROLES = {
    tokenize.COMMENT: "comment",
    tokenize.STRING: "string",
    tokenize.NUMBER: "number",
    **{
        getattr(tokenize, name): "string"
        for name in ("FSTRING_START", "FSTRING_MIDDLE", "FSTRING_END")
        if hasattr(tokenize, name)
    },
}
