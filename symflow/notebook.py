"""What notebooks show: a tensor as its formula, a graph as its formulas, a session as its values.

Formulas are MathML, which browsers show without a script. A name is the node's own, or the
variable of the notebook that it is bound to.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Sequence
from html import escape
from typing import Any

import numpy as np
from numpy.typing import NDArray

from symflow.arithmetic import undistributed
from symflow.errors import Location, SymflowError
from symflow.formulas import latex as printed
from symflow.formulas import mathml
from symflow.formulas.lines import Line, lines
from symflow.formulas.reading import Reader
from symflow.formulas.selection import named
from symflow.formulas.tree import Quantity, Tree
from symflow.graph import Constant, Graph, Placeholder, StepInput, Tensor, Variable
from symflow.lowering import Request, lower, needed
from symflow.naming import label_nodes
from symflow.program import Input
from symflow.session import Session
from symflow.shapes import Shape, show

_CELL = 'style="text-align: left; vertical-align: middle; padding: 0.3em 1em"'
_FEW = 6
"""Entries of an array that are shown one by one."""


@undistributed
def html(one: object) -> str | None:
    """A tensor, a graph or a session as HTML; None where the graph has a mistake, which is for
    the compiler to report.
    """
    try:
        if isinstance(one, Tensor):
            return _tensor_html(one)
        if isinstance(one, Graph):
            return _graph_html(one)
        return _session_html(one) if isinstance(one, Session) else None
    except SymflowError:
        return None


@undistributed
def latex(one: object) -> str | None:
    """A tensor as LaTeX; None for all else."""
    try:
        return _tensor_latex(one) if isinstance(one, Tensor) else None
    except SymflowError:
        return None


def _told(roots: Sequence[Tensor], whole: bool) -> list[Line]:
    """The equations of some tensors, in terms of what has a name; or of all, if `whole`."""
    nodes = needed(roots)
    bound = _bound()
    labels = label_nodes(nodes, bound)
    request = Request({f"root_{at}": node for at, node in enumerate(roots)}, {}, labels, {})
    program = lower(roots[0].graph, request)
    wanted: dict[int, Tree] = {
        tensor: Quantity(program[tensor].label.name) for tensor in program.outputs.values()
    }
    known: dict[int, Tree] = {
        tensor: Quantity(one.label.name)
        for tensor, one in enumerate(program.definitions)
        if isinstance(one.value, Input) or (one.label.exact and not whole)
    }
    reader = Reader(program, named(program, wanted, known))
    return list(lines(reader, known.keys() - wanted.keys()))


def _bound() -> dict[int, str]:
    """The names that nodes have in the notebook, or in the program that runs."""
    variables = vars(sys.modules["__main__"])
    return {
        id(value): name
        for name, value in reversed(list(variables.items()))
        if isinstance(value, Tensor) and not name.startswith("_")
    }


def _name(node: Tensor) -> str:
    return node.name or _bound().get(id(node)) or type(node).__name__.lower()


# --- tensors and graphs ------------------------------------------------------------------------


def _tensor_html(tensor: Tensor) -> str:
    if isinstance(tensor, (Placeholder, Variable, Constant)):
        return _table([_leaf(tensor)])
    return _table(_row(line) for line in _told([tensor], whole=False))


def _tensor_latex(tensor: Tensor) -> str:
    if isinstance(tensor, (Placeholder, Variable, Constant)):
        return f"${printed.latex(Quantity(_name(tensor)))}$"
    rows = [printed.equation(line.equation, "&") for line in _told([tensor], whole=False)]
    inside = " \\\\\n".join(rows)
    return f"$\\displaystyle \\begin{{aligned}}\n{inside}\n\\end{{aligned}}$"


def _graph_html(graph: Graph) -> str:
    leaves: list[Tensor] = [*graph.placeholders, *graph.variables]
    rows = [_leaf(node) for node in leaves]
    results = _results(graph)
    if results:
        rows += [_row(line) for line in _told(results, whole=True)]
    return _table(rows)


def _results(graph: Graph) -> list[Tensor]:
    """What nothing else is computed from, outside of the bodies of scans."""
    inside: set[int] = set()
    read: set[int] = set()
    for node in graph.nodes:
        if isinstance(node, StepInput) or any(id(one) in inside for one in node.inputs):
            inside.add(id(node))
        read.update(map(id, node.inputs))
    return [
        node
        for node in graph.nodes
        if id(node) not in read | inside
        if not isinstance(node, (Placeholder, Variable, Constant))
    ]


def _leaf(node: Tensor) -> tuple[str, str, str]:
    kind = {"Placeholder": "input", "Variable": "parameter"}.get(type(node).__name__, "constant")
    shape = "unknown shape" if node.type is None else _shape(node.type.shape)
    formula = mathml.formula(Quantity(_name(node)))
    return formula, f"{kind}, {shape}", _place(node.location)


def _row(line: Line) -> tuple[str, str, str]:
    return mathml.equation(line.equation, display=False), _shape(line.shape), _place(line.origin)


def _shape(shape: Shape) -> str:
    return show(shape) if shape else "scalar"


def _place(location: Location | None) -> str:
    """The model line; a cell has no file of its own."""
    if location is None:
        return ""
    cell = re.fullmatch(r"<.*>|\d+\.py", location.file)
    return f"line {location.line} of its cell" if cell else str(location)


def _table(rows: Iterable[tuple[str, str, str]]) -> str:
    body = "".join(
        f"<tr><td {_CELL}>{formula}</td><td {_CELL}>{escape(shape)}</td>"
        f'<td {_CELL}><span style="opacity: 0.6">{escape(place)}</span></td></tr>'
        for formula, shape, place in rows
    )
    return f"<table>{body}</table>"


# --- sessions ----------------------------------------------------------------------------------


def _session_html(session: Session) -> str:
    """The values of the Variables, and how often they were updated."""
    rows = [
        (mathml.formula(Quantity(_name(variable))), _shape_of(value), _values(value))
        for variable, value in session.values()
    ]
    count = session.updates
    told = f"after {count} update{'' if count == 1 else 's'}" if count else "initial values"
    return f"{_table(rows)}<p>{told}</p>"


def _shape_of(value: NDArray[Any]) -> str:
    return str(value.shape) if value.shape else "scalar"


def _values(value: NDArray[Any]) -> str:
    """All of them if they are few, or from where to where they lie."""
    if not value.shape:
        return f"{float(value):.6g}"
    if value.size <= _FEW:
        return np.array2string(value, precision=4, separator=", ").replace("\n", "")
    low, high, mean = float(value.min()), float(value.max()), float(value.mean())
    return f"from {low:.4g} to {high:.4g}, mean {mean:.4g}"
