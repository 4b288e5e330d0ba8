"""What notebooks show of tensors, graphs and sessions."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from IPython.core.formatters import DisplayFormatter

import symflow as sf


def shown(one: object) -> dict[str, str]:
    """What IPython offers a notebook, by kind of text."""
    found: dict[str, str] = DisplayFormatter().format(one)[0]
    return found


def rows(one: object) -> list[list[str]]:
    """The cells of the table, without what is between the signs of a formula."""
    root = ElementTree.fromstring(f"<div>{shown(one)['text/html']}</div>")
    return [
        [
            "".join(cell.itertext()).replace("\N{INVISIBLE TIMES}", "·")
            for cell in row.iterfind("td")
        ]
        for row in root.iter("tr")
    ]


@pytest.fixture
def notebook(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The namespace of a notebook, in which names are looked up."""
    module = ModuleType("__main__")
    monkeypatch.setitem(sys.modules, "__main__", module)
    return module


def test_a_tensor_is_its_formula(notebook: Any) -> None:
    with sf.Graph().as_default():
        notebook.x = sf.placeholder(shape=("n", 3))
        notebook.w = sf.Variable(sf.zeros(3))
        notebook.logits = notebook.x @ notebook.w
        notebook.probability = sf.sigmoid(notebook.logits)
    ((formula, shape, place),) = rows(notebook.logits)
    assert formula == "logitsi=∑jxi,j·wj"
    assert shape == "(n,)"
    assert place.startswith("test_notebook.py:")
    ((formula, *_),) = rows(notebook.probability)
    assert formula.replace("\N{FUNCTION APPLICATION}", "") == "probabilityi=sigmoid(logitsi)"
    assert shown(notebook.logits)["text/latex"] == (
        "$\\displaystyle \\begin{aligned}\n"
        r"\mathrm{logits}_{i} &= \sum_{j} x_{i,j} \, w_{j}"
        "\n\\end{aligned}$"
    )
    assert rows(notebook.x)[0][:2] == ["x", "input, (n, 3)"]
    assert rows(notebook.w)[0][:2] == ["w", "parameter, (3,)"]


def test_names_given_to_nodes_are_used_without_a_notebook() -> None:
    with sf.Graph().as_default():
        x = sf.placeholder(shape=("n",), name="x")
        y = sf.tanh(x, name="y")
    assert rows(y)[0][0].replace("\N{FUNCTION APPLICATION}", "") == "yi=tanh(xi)"


def test_a_graph_is_all_of_its_formulas(notebook: Any) -> None:
    with sf.Graph().as_default() as graph:
        notebook.x = sf.placeholder(shape=("n",))
        notebook.b = sf.Variable(1.0)
        notebook.y = notebook.x + notebook.b
        notebook.loss = sf.reduce_sum(sf.square(notebook.y))
    assert [row[0] for row in rows(graph)] == ["x", "b", "yi=xi+b", "loss=∑iyi2"]


def test_a_graph_with_a_loop(notebook: Any) -> None:
    with sf.Graph().as_default() as graph:
        notebook.x = sf.placeholder(shape=("n",))
        notebook.total = sf.scan(lambda total, entry: total + entry, notebook.x, 0.0)
    assert len(rows(graph)) == 4  # x, what the loop starts from, a step, the result


def test_an_empty_graph() -> None:
    assert rows(sf.Graph()) == []


def test_a_tensor_of_unknown_shape_stays_text() -> None:
    with sf.Graph().as_default():
        x = sf.placeholder()
        y = x + 1
    assert rows(x)[0][1] == "input, unknown shape"
    assert shown(y) == {"text/plain": "<symflow add unknown shape>"}


def test_a_session_shows_the_values_that_it_has_reached(notebook: Any) -> None:
    with sf.Graph().as_default() as graph:
        notebook.w = sf.Variable([1.0, 2.0])
        notebook.big = sf.Variable(np.arange(12.0).reshape(3, 4))
        loss = sf.reduce_sum(sf.square(notebook.w)) + sf.reduce_sum(notebook.big)
        step = sf.train.GradientDescentOptimizer(0.25).minimize(loss)
    session = sf.Session(graph)
    assert rows(session) == [
        ["w", "(2,)", "[1., 2.]"],
        ["big", "(3, 4)", "from 0 to 11, mean 5.5"],
    ]
    assert "initial values" in shown(session)["text/html"]
    session.run(step)
    assert rows(session)[0] == ["w", "(2,)", "[0.5, 1. ]"]
    assert "after 1 update<" in shown(session)["text/html"]


def test_names_are_no_markup(notebook: Any) -> None:
    with sf.Graph().as_default():
        x = sf.placeholder(shape=(), name="a<b")
    assert "<b" not in shown(x)["text/html"].replace("<br", "")
