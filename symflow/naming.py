"""Names: from the model where it gives them, else from the thing that a value is a part of."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from symflow.graph import Constant, Placeholder, Tensor, Variable
from symflow.program import Label
from symflow.source import is_identifier


def label_nodes(nodes: Sequence[Tensor], bound: Mapping[int, str]) -> dict[int, Label]:
    """A label for every node: its own name, the variable it is bound to, or a derived one.

    A value that the user never named is called after the first named value that it is a part of,
    and its operation: `hidden_matmul`. Placeholders and Variables get names that differ.
    """
    owners: dict[int, str] = {}
    labels: dict[int, Label] = {}
    kept = {n.name: id(n) for n in nodes if n.name and _identifier(n.name) == n.name}
    taken = {**{name: node for node, name in bound.items()}, **kept}
    inputs: dict[str, int] = {}
    for node in reversed(nodes):
        given = _identifier(node.name) if node.name else bound.get(id(node))
        part = _part(node)
        owner = given or owners.get(id(node))
        labels[id(node)] = Label(
            given or (f"{owner}_{part}" if owner else part), rank=0 if given is None else 2
        )
        for source in node.inputs:
            owners[id(source)] = owner or part
    for node in nodes:
        if isinstance(node, (Placeholder, Variable)):
            label = labels[id(node)]
            name, count = label.name, 1
            own = label.exact and (not node.name or node.name in kept)  # `_x` gives way to `x`
            while name in inputs or (taken.get(name, id(node)) != id(node) and not own):
                count += 1
                name = f"{label.name}_{count}"
            inputs[name] = id(node)
            labels[id(node)] = Label(name, label.rank)
    return labels


_NOUNS = {
    "add": "sum",
    "subtract": "difference",
    "multiply": "product",
    "divide": "quotient",
    "matmul": "product",
    "pow": "power",
}


def _part(node: Tensor) -> str:
    if node.part is not None:
        return node.part
    if node.operation is not None:
        name = node.operation.name.removeprefix("reduce_")
        return _NOUNS.get(name, name)
    if isinstance(node, Constant):
        return "constant"
    return "input" if isinstance(node, Placeholder) else "variable"


def _identifier(name: str) -> str:
    """The nearest identifier to what a user calls a node, for code that is never written out."""
    plain = re.sub(r"\W+", "_", name, flags=re.ASCII).strip("_") or "tensor"
    return plain if is_identifier(plain) else f"tensor_{plain}"
