"""Derivatives as nodes of the graph, and why there is none where there is none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import symflow.operations as operations
from symflow.errors import SymflowError, calling_location
from symflow.graph import Tensor, apply, called_by_user, convert
from symflow.program import Bundle


def gradients(ys: Any, xs: Any, name: str = "gradients") -> list[Tensor]:
    """The derivative of the sum of all entries of `ys` by each of `xs`, as tensors.

    They are part of the graph, and can be used and differentiated again. An x that no y depends
    on is an error that says where the path breaks.
    """
    of = [convert(y) for y in (ys if isinstance(ys, (list, tuple)) else [ys])]
    by = [convert(x) for x in (xs if isinstance(xs, (list, tuple)) else [xs])]
    found: list[Tensor] = []
    for x in by:
        reached = [y for y in of if x in dependencies(y)]
        if not reached:
            raise SymflowError(unreached(of[0], x), calling_location())
        parts = [apply(operations.TABLE["gradient"], [y, x]) for y in reached]
        total = parts[0]
        for part in parts[1:]:
            total = total + part
        found.append(total)
    return found


class GradientTable(Mapping[Tensor, Tensor]):
    """From every node that a loss depends on to the gradient of the loss by that node."""

    def __init__(self, entries: Sequence[tuple[Tensor, Tensor]]) -> None:
        self._entries = {id(node): (node, gradient) for node, gradient in entries}

    def __getitem__(self, node: Tensor) -> Tensor:
        return self._entries[id(node)][1]

    def __contains__(self, node: object) -> bool:
        return id(node) in self._entries

    def __iter__(self) -> Any:
        return (node for node, _ in self._entries.values())

    def __len__(self) -> int:
        return len(self._entries)


def compute_gradients(loss: Any) -> GradientTable:
    """The table of the article: every node connected to the loss, and its gradient."""
    loss = convert(loss)
    single = [one for one in dependencies(loss).values() if not isinstance(one.type, Bundle)]
    nodes = sorted(single, key=lambda node: -node.number)
    row = operations.TABLE["gradient"]
    return GradientTable([(node, apply(row, [loss, node])) for node in nodes])


class Dependencies(dict[int, Tensor]):
    """Nodes by identity, since `==` between tensors makes a new node."""

    def __contains__(self, node: object) -> bool:
        return super().__contains__(id(node))


def dependencies(y: Tensor) -> Dependencies:
    """The nodes through which a derivative of y can pass, y among them."""
    found = Dependencies()
    pending = [y]
    while pending:
        node = pending.pop()
        if node in found or not differentiable(node):
            continue
        found[id(node)] = node
        if node.operation is not operations.TABLE["stop_gradient"]:
            pending.extend(node.inputs)
    return found


def differentiable(node: Tensor) -> bool:
    """Whether a node holds real numbers that can change by a little."""
    return node.type is None or node.type.dtype == "float"


def unreached(y: Tensor, x: Tensor, name: str | None = None) -> str:
    """Why y has no derivative by x: the node at which the path between them breaks."""
    called = name or called_by_user(x)
    target = f"{y.name!r}" if y.name else "the loss"
    at = f" ({x.location})" if x.location else ""
    if x.type is not None and not differentiable(x):
        held = "booleans" if x.type.dtype == "bool" else "whole numbers"
        return f"{called}{at} holds {held}, by which there is no derivative"
    pending, seen, broken = [y], {id(y)}, None
    while pending:
        node = pending.pop()
        for source in node.inputs:
            if id(source) in seen:
                continue
            seen.add(id(source))
            pending.append(source)
        is_stop = node.operation is operations.TABLE["stop_gradient"]
        at_break = is_stop or not differentiable(node)
        if at_break and node is not x and _depends(node, x):
            broken = node
    if broken is not None and broken.operation is not None:
        return (
            f"{called}{at} reaches {target} only through {broken.operation.name}"
            f" ({broken.location}), which has no derivative"
        )
    return f"{target} does not depend on {called}{at}: no operation connects them"


def _depends(y: Tensor, x: Tensor) -> bool:
    pending, seen = [y], set()
    while pending:
        node = pending.pop()
        if node is x:
            return True
        if id(node) not in seen:
            seen.add(id(node))
            pending.extend(node.inputs)
    return False
