"""The picture of a program: forward from top to bottom, and beside it backward, upwards.

A gradient stands where the tensor stands that it is the derivative by, as far as there is room.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from symflow.program import Program
from symflow.report.entries import Entry, gradients_of, shape_text
from symflow.report.graph import Node, Side, sides
from symflow.report.layers import Drawing, Point, drawn

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
    halves = _halves(*sides(program, entries, _partners(entries)))
    return Picture(
        _text(max((one.x + one.drawing.width for one in halves), default=200.0) + MARGIN),
        _text(max((one.drawing.height for one in halves), default=0.0) + HEADING + 2 * MARGIN),
        tuple(Heading(one.heading, _text(one.x), _text(MARGIN + 10)) for one in halves),
        tuple((one.role, _curve(path)) for one in halves for path in one.paths()),
        tuple(
            _box(node, centre, tooltip)
            for one in halves
            for node, centre in zip(one.nodes, one.moved(one.drawing.centres), strict=True)
        ),
    )


def _partners(entries: Sequence[Entry]) -> dict[int, int]:
    """For gradients outside of loops, the tensors that they are derivatives by."""
    found: dict[int, int] = {}
    for path, gradient in gradients_of(entries).items():
        if len(path) == 1 and len(gradient.path) == 1:
            found.setdefault(gradient.tensor, path[0])
    return found


def _halves(ahead: Side, back: Side) -> list[_Half]:
    """Both halves in the same rows, the backward one upside down; its layers count from the last
    row, its edges lead up.
    """
    rows = max((*ahead.layers, *back.layers), default=-1) + 1
    free = rows - 1 - max(ahead.layers, default=0)  # above the forward half
    down, up = [free + at for at in ahead.layers], [rows - 1 - at for at in back.layers]
    heights = [0.0] * rows
    for node, row in zip([*ahead.nodes, *back.nodes], [*down, *up], strict=True):
        heights[row] = max(heights[row], _size(node)[1])
    left = drawn(list(map(_size, ahead.nodes)), down, ahead.edges, heights)
    downwards = [(second, first) for first, second in back.edges]
    right = drawn(list(map(_size, back.nodes)), up, downwards, heights)
    halves = [_Half("forward ↓", "forward", ahead.nodes, left, MARGIN)]
    if back.nodes:
        beside = MARGIN + left.width + BETWEEN
        halves.append(_Half("backward ↑", "backward", back.nodes, right, beside))
    return halves


@dataclass(frozen=True)
class _Half:
    """One half, and where it begins."""

    heading: str
    role: str
    nodes: Sequence[Node]
    drawing: Drawing
    x: float

    def paths(self) -> list[list[Point]]:
        """The edges in their direction."""
        step = -1 if self.role == "backward" else 1
        return [self.moved(path[::step]) for path in self.drawing.paths]

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
