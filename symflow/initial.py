"""Initial values of Variables: as source in a module, and as the arrays that it would draw."""

from __future__ import annotations

from typing import Any

import numpy as np
import sympy as sp
from numpy.typing import NDArray

from symflow.graph import Graph, Variable
from symflow.initializers import Initializer
from symflow.layout import Helpers, array_lines, render
from symflow.source import literal
from symflow.text import shape_text


def initial_lines(name: str, node: Variable) -> list[str]:
    """`name=...,` in the construction of the initial parameters."""
    value = node.initial_value
    if isinstance(value, Initializer):
        seed = literal(value.seed)
        text = value.drawn("random" if value.seed is None else f"np.random.default_rng({seed})")
        drawn = text if text.endswith("dtype)") else f"{text}.astype(dtype)"
        note = "  # glorot_uniform" if value.name == "glorot_uniform" else ""
        return [f"{name}={drawn},{note}"]
    shape = shape_text(tuple(map(sp.Integer, value.shape)))
    if value.size > 1 and np.all(value == value.flat[0]):
        return [f"{name}=np.full({shape}, {literal(float(value.flat[0]))}, dtype),"]
    return array_lines(name, value.astype(float), ["dtype"], 8)


def initial_values(graph: Graph, dtype: Any) -> dict[int, NDArray[Any]]:
    """The initial values of a graph's Variables, by identity, as its module would draw them."""
    text = render(
        "session.py.j2",
        function=None,
        traces=False,
        helpers=Helpers(truncated_normal=True),
        scipy=False,
    )
    namespace: dict[str, Any] = {"dtype": dtype}
    exec(text, namespace)
    drawing = np.random.default_rng(graph.seed)
    values: dict[int, NDArray[Any]] = {}
    for node in graph.variables:
        initial = node.initial_value
        if isinstance(initial, Initializer):
            # the module draws only what it trains, so the others must not disturb the sequence
            shared = drawing if node.trainable else np.random.default_rng([graph.seed, node.number])
            own = shared if initial.seed is None else np.random.default_rng(initial.seed)
            namespace["random"] = own
            initial = eval(initial.drawn("random"), namespace)
        values[id(node)] = np.array(initial, dtype)
    return values
