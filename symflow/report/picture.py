"""The picture of a program: forward from top to bottom, and beside it backward, upwards.

A gradient stands where the tensor stands that it is the derivative by, as far as there is room.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from symflow.program import Program
from symflow.report.entries import Entry, gradients_of, shape_text
from symflow.report.graph import Node, sides
from symflow.report.layers import Point, drawn

CHARACTER = 7.25
"""The width of one, in the picture's letters of 12 pixels."""

LINE = 16.0
LONGEST_NAME = 30
BETWEEN = 70.0
"""From the forward half to the backward one."""

MARGIN = 16.0
HEADING = 34.0


@dataclass(frozen=True)
class Link:
    """`text` leads to the entry of a tensor."""

    text: str
    anchor: str
    title: str = ""


@dataclass(frozen=True)
class Line:
    """A line of text in a box; with links, these stand behind it."""

    text: str
    y: str
    role: str
    links: tuple[Link, ...] = ()


@dataclass(frozen=True)
class Box:
    """A node: a rectangle with a name, a shape, and what a gradient reads."""

    anchor: str
    kind: str
    title: str
    x: str
    y: str
    width: str
    height: str
    centre: str
    lines: tuple[Line, ...]


@dataclass(frozen=True)
class Heading:
    text: str
    x: str
    y: str


@dataclass(frozen=True)
class Picture:
    """An SVG, ready to be laid out; all numbers are texts."""

    width: str
    height: str
    headings: tuple[Heading, ...]
    edges: tuple[tuple[str, str], ...]
    boxes: tuple[Box, ...]


def picture(program: Program, entries: Sequence[Entry], tooltip: Callable[[Entry], str]) -> Picture:
    """The graph of a program; `tooltip` says what is shown where a pointer rests on a node."""
    partner: dict[int, int] = {}
    for path, gradient in gradients_of(entries).items():
        if len(path) == 1 and len(gradient.path) == 1:
            partner.setdefault(gradient.tensor, path[0])
    ahead, back = sides(program, entries, partner)
    rows = max((*ahead.layers, *back.layers), default=-1) + 1
    # the backward half is drawn upside down: its layers count from the last row
    down = (
        ahead.layers
        if not back.layers
        else [at + rows - 1 - max(ahead.layers) for at in ahead.layers]
    )
    up = [rows - 1 - at for at in back.layers]
    heights = [0.0] * rows
    for node, row in zip([*ahead.nodes, *back.nodes], [*down, *up], strict=True):
        heights[row] = max(heights[row], _size(node)[1])
    left = drawn([_size(one) for one in ahead.nodes], down, ahead.edges, heights)
    reversed_edges = [(second, first) for first, second in back.edges]
    right = drawn([_size(one) for one in back.nodes], up, reversed_edges, heights)
    shift = MARGIN + left.width + BETWEEN
    parts = [
        _Half("forward ↓", "forward", ahead.nodes, left.centres, left.paths, MARGIN),
        _Half(
            "backward ↑",
            "backward",
            back.nodes,
            right.centres,
            tuple(path[::-1] for path in right.paths),
            shift,
        ),
    ]
    parts = [one for one in parts if one.nodes]
    width = shift + right.width if back.nodes else MARGIN + left.width
    return Picture(
        _text(max(width + MARGIN, 200.0)),
        _text(left.height + HEADING + 2 * MARGIN),
        tuple(Heading(one.heading, _text(one.x), _text(MARGIN + 10)) for one in parts),
        tuple((one.role, _curve(one.moved(path))) for one in parts for path in one.paths),
        tuple(
            _box(node, centre, tooltip)
            for one in parts
            for node, centre in zip(one.nodes, one.moved(one.centres), strict=True)
        ),
    )


@dataclass(frozen=True)
class _Half:
    """One half, and where it begins."""

    heading: str
    role: str
    nodes: Sequence[Node]
    centres: Sequence[Point]
    paths: Sequence[Sequence[Point]]
    x: float

    def moved(self, points: Sequence[Point]) -> list[Point]:
        return [(x + self.x, y + MARGIN + HEADING) for x, y in points]


def _lines(node: Node) -> list[tuple[str, str, tuple[Link, ...]]]:
    """The role and text of every line of a box."""
    entry = node.entry
    lines: list[tuple[str, str, tuple[Link, ...]]] = [("name", _short(entry.name), ())]
    if not node.again:
        lines.append(("shape", _short(shape_text(entry)), ()))
    for at in range(0, len(node.reads), 2):
        links = tuple(
            Link(_short(one.entry.name), one.entry.anchor, f"reads {one.entry.name}")
            for one in node.reads[at : at + 2]
        )
        lines.append(("reads", "← " if at == 0 else "  ", links))
    return lines


def _short(name: str) -> str:
    return name if len(name) <= LONGEST_NAME else f"{name[: LONGEST_NAME - 1]}…"


def _size(node: Node) -> tuple[float, float]:
    lines = _lines(node)
    widths = [len(text) + sum(len(one.text) + 2 for one in links) for _, text, links in lines]
    return max(widths) * CHARACTER + 22.0, len(lines) * LINE + 12.0


def _box(node: Node, centre: Point, tooltip: Callable[[Entry], str]) -> Box:
    width, height = _size(node)
    x, y = centre[0] - width / 2, centre[1] - height / 2
    lines = tuple(
        Line(text, _text(y + 6.0 + LINE * (at + 0.74)), role, links)
        for at, (role, text, links) in enumerate(_lines(node))
    )
    kind = f"{node.entry.kind} again" if node.again else node.entry.kind
    return Box(
        node.entry.anchor,
        kind,
        tooltip(node.entry),
        _text(x),
        _text(y),
        _text(width),
        _text(height),
        _text(centre[0]),
        lines,
    )


def _curve(points: Sequence[Point]) -> str:
    """A path through points, that leaves and enters each of them vertically."""
    x, y = points[0]
    parts = [f"M{_text(x)} {_text(y)}"]
    for to_x, to_y in points[1:]:
        if abs(to_x - x) < 0.05:
            parts.append(f"V{_text(to_y)}")
        else:
            middle = (y + to_y) / 2
            controls = f"{_text(x)} {_text(middle)} {_text(to_x)} {_text(middle)}"
            parts.append(f"C{controls} {_text(to_x)} {_text(to_y)}")
        x, y = to_x, to_y
    return "".join(parts)


def _text(number: float) -> str:
    """A number with one decimal, the same on every machine."""
    return f"{number:.1f}".removesuffix(".0").replace("-0.0", "0")
