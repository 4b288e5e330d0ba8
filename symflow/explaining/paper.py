r"""An explanation as LaTeX to paste: an `align*` each for model, gradients and training.

It needs amsmath and nothing else. A long sum is broken before one of its terms.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from symflow.arithmetic import undistributed
from symflow.explaining.content import Explanation, Given
from symflow.formulas import text
from symflow.formulas.latex import equation, latex
from symflow.formulas.tree import Equation, Negative, Sum, Tree
from symflow.shapes import show

LONGEST = 80
"""Characters of a formula as text, beyond which a row is broken."""


@undistributed
def snippet(explanation: Explanation) -> str:
    """What is to be pasted."""
    return "\n".join(_lines(explanation)) + "\n"


def _lines(explanation: Explanation) -> Iterator[str]:
    yield rf"% {explanation.title}, by symflow explain --latex; needs \usepackage{{amsmath}}"
    for title, given in (
        ("inputs", explanation.inputs),
        ("parameters", explanation.parameters),
        ("constants", explanation.constants),
    ):
        if given:
            yield f"% {title}: {', '.join(map(_given, given))}"
    yield from _align([line.equation for line in explanation.model])
    if explanation.gradients:
        yield rf"% gradients; a bar is the derivative of {explanation.loss} by what is below it"
        yield from _align([line.equation for line in explanation.gradients])
    if explanation.training is not None:
        yield f"% training by {explanation.training.optimizer}, of every parameter"
        yield from (f"% {remark}" for remark in explanation.training.remarks)
        yield from _align(explanation.training.equations)


def _given(given: Given) -> str:
    return f"{text.text(given.name)} {show(given.shape)}"


def _align(equations: Sequence[Equation]) -> Iterator[str]:
    if equations:
        rows = [row for one in equations for row in _rows(one)]
        yield r"\begin{align*}"
        yield from (rf"  {row} \\" for row in rows[:-1])
        yield f"  {rows[-1]}"
        yield r"\end{align*}"


def _rows(one: Equation) -> Iterator[str]:
    """An equation, in rows where it is a long sum."""
    right = one.right
    pieces = [right]
    if isinstance(right, Sum) and len(text.equation(one)) > LONGEST:
        pieces = list(_pieces(right))
    yield equation(Equation(one.left, pieces[0], one.operator), "&")
    for piece in pieces[1:]:
        sign = "" if _is_subtracted(piece) else "+ "
        yield rf"&\quad {{}} {sign}{latex(piece)}"


def _pieces(right: Sum) -> Iterator[Tree]:
    """As many terms together as fit into a row."""
    row: list[Tree] = []
    for term in right.terms:
        if row and len(text.text(Sum((*row, term)))) > LONGEST:
            yield row[0] if len(row) == 1 else Sum(tuple(row))
            row = []
        row.append(term)
    yield row[0] if len(row) == 1 else Sum(tuple(row))


def _is_subtracted(piece: Tree) -> bool:
    """Whether it begins with a minus."""
    first = piece.terms[0] if isinstance(piece, Sum) else piece
    return isinstance(first, Negative)
