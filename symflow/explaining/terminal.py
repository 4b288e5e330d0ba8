"""An explanation as text: formulas, shapes and model lines in columns."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator, Sequence

from symflow.arithmetic import undistributed
from symflow.errors import Location
from symflow.explaining.content import Explanation, Given
from symflow.formulas.lines import Line
from symflow.formulas.text import SPACE, text, written
from symflow.formulas.tree import Call, Fenced, Quantity, Tree, parts
from symflow.formulas.wrapping import wrapped
from symflow.shapes import Shape, show

WIDTH = 100
"""Characters in a line, if the terminal has as many."""

NARROW = 36
"""Characters for formulas, below which there are no columns."""

INDENT = "  "

_OF_TENSORS = {
    "concat": "its arguments joined along an axis",
    "order": "the positions of the entries of x in sorted order",
    "overlap_add": "zeros, with every window of x added where it was taken from",
    "pad": "x with zeros, or another number, around it",
    "place": "zeros, with x where it was taken from",
    "reshape": "the entries of x, row by row, in another shape",
    "scatter_add": "zeros, with every entry of x added where it was taken from",
    "scatter_each": "zeros, with every entry of x added where it was taken from",
}
"""Functions of whole tensors that have no name in mathematics."""

Row = tuple[str, str, str]


@undistributed
def page(explanation: Explanation, width: int = WIDTH) -> str:
    """All of it, in lines of at most `width` characters."""
    sections: list[tuple[str, list[str]]] = []
    file = explanation.title
    for title, given in (
        ("Inputs", explanation.inputs),
        ("Parameters", explanation.parameters),
        ("Constants", explanation.constants),
    ):
        sections.append((title, _table([_row_of_given(one, file) for one in given], width)))
    for title, lines in (("Model", explanation.model), ("Gradients", explanation.gradients)):
        sections.append((title, _table([_row_of_line(one, file) for one in lines], width)))
    sections.append(("Training", list(_training(explanation, width))))
    notation = [line for one in _notation(explanation) for line in _paragraph(one, width)]
    sections.append(("Notation", notation))
    title = f"{file}: {explanation.summary}" if explanation.summary else file
    head = textwrap.fill(title, width, subsequent_indent=INDENT)
    blocks = [head, *("\n".join([title, *lines]) for title, lines in sections if lines)]
    return "\n\n".join(blocks).replace(SPACE, " ") + "\n"


def _row_of_given(given: Given, file: str) -> Row:
    shape = _shape(given.shape)
    kind = {"int": " whole numbers", "bool": " booleans"}.get(given.dtype, "")
    return text(given.name), shape + kind, _origin(given.origin, file)


def _row_of_line(line: Line, file: str) -> Row:
    return written(line.equation), _shape(line.shape), _origin(line.origin, file)


def _shape(shape: Shape) -> str:
    return show(shape) if shape else "scalar"


def _origin(origin: Location | None, file: str) -> str:
    if origin is None:
        return ""
    return f"line {origin.line}" if origin.file == file else str(origin)


def _table(rows: Sequence[Row], width: int) -> list[str]:
    """Three columns; a formula that is too long for its own goes on below."""
    if not rows:
        return []
    shapes, origins = (max(len(row[at]) for row in rows) for at in (1, 2))
    room = width - len(INDENT) - 2 - shapes - 2 - origins
    if room < NARROW:
        return [line for row in rows for line in _stacked(row, width)]
    formulas = [wrapped(row[0], room) for row in rows]
    left = max(len(line) for lines in formulas for line in lines)
    found: list[str] = []
    for (first, *rest), (_, shape, origin) in zip(formulas, rows, strict=True):
        found.append(f"{INDENT}{first:<{left}}  {shape:<{shapes}}  {origin}".rstrip())
        found += [INDENT + line for line in rest]
    return found


def _stacked(row: Row, width: int) -> list[str]:
    """A formula, and below it the rest, where there is no room for columns."""
    formula, shape, origin = row
    lines = wrapped(formula, width - len(INDENT))
    return [*(INDENT + line for line in lines), f"{3 * INDENT}{shape}  {origin}".rstrip()]


def _training(explanation: Explanation, width: int) -> Iterator[str]:
    told = explanation.training
    if told is None:
        return
    names = ", ".join(text(one.name) for one in explanation.trained)
    yield from _paragraph(f"{told.optimizer}; for every entry θ of {names}:", width)
    for equation in told.equations:
        yield from (2 * INDENT + line for line in wrapped(written(equation), width - 4))
    for remark in told.remarks:
        yield from _paragraph(remark, width)


def _paragraph(sentence: str, width: int) -> list[str]:
    return textwrap.wrap(
        sentence, width, initial_indent=INDENT, subsequent_indent=INDENT, break_on_hyphens=False
    )


def _notation(explanation: Explanation) -> Iterator[str]:
    """What the formulas use that not everybody writes so."""
    lines = [*explanation.model, *explanation.gradients]
    trees = [one for line in lines for one in _all(line.equation.right)]
    if any(isinstance(one, Fenced) and one.kind == "indicator" for one in trees):
        yield "[condition] is 1 where the condition holds, and 0 elsewhere"
    if any(isinstance(one, Quantity) and one.bar for one in trees):
        yield f"d_x is ∂{explanation.loss}/∂x, or a part of it"
    used = {one.function: None for one in trees if isinstance(one, Call)}
    yield from (f"{name}(x) is {_OF_TENSORS[name]}" for name in used if name in _OF_TENSORS)


def _all(tree: Tree) -> Iterable[Tree]:
    yield tree
    for part in parts(tree):
        yield from _all(part)
