"""Derivatives as nodes of the graph, and why there is none where there is none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import symflow.operations as operations
from symflow.elementwise import Elementwise
from symflow.errors import Location, SymflowError
from symflow.graph import Tensor, Variable, apply, called_by_user, convert
from symflow.program import Bundle, slot
from symflow.shapes import Shape, show


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
            raise unreached(of[0], x)
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


def dependencies(y: Tensor, flat: bool = True) -> Dependencies:
    """The nodes through which a derivative of y can pass, y among them.

    flat  whether it may pass through what moves in steps, as floor does, and is 0 then
    """
    found = Dependencies()
    pending = [y]
    while pending:
        node = pending.pop()
        if node in found or not differentiable(node):
            continue
        found[id(node)] = node
        if node.operation is not operations.TABLE["stop_gradient"] and (flat or not is_flat(node)):
            pending.extend(node.inputs)
    return found


def differentiable(node: Tensor) -> bool:
    """Whether a node holds real numbers that can change by a little."""
    return node.type is None or node.type.dtype == "float"


def not_scalar(loss: Tensor, shape: Shape, location: Location | None) -> SymflowError:
    """Why a tensor that is no single number cannot be made small."""
    called = called_by_user(loss)
    return SymflowError(
        f"the loss must be a scalar, but {called} is {show(shape)}",
        location,
        operands=[(called, loss.location)] if loss.location not in (None, location) else [],
        hint="sf.reduce_mean or sf.reduce_sum makes one number of it",
    )


def unreached(y: Tensor, x: Tensor) -> SymflowError:
    """Why y has no derivative by x: the node at which the path between them breaks."""
    called = called_by_user(x)
    target = called_by_user(y) if y.name else "the loss"
    if x.type is not None and not differentiable(x):
        held = "booleans" if x.type.dtype == "bool" else "whole numbers"
        return SymflowError(
            f"{called} holds {held}, by which there is no derivative", x.location or y.location
        )
    breaks = [node for node in _nodes_of(y) if _ends(node) and node is not x and _depends(node, x)]
    if breaks:
        last = min(breaks, key=lambda node: node.number)
        assert last.operation is not None, "no path goes through what has no inputs"
        what = last.operation.name
        what = "a comparison" if what in _COMPARISONS else what
        told = "its derivative is 0" if differentiable(last) else "it has no derivative"
        told = "it lets no derivative through" if what == "stop_gradient" else told
        return SymflowError(
            f"{what}: {called} reaches {target} only through this, and {told}",
            last.location,
            operands=[(called, x.location)] if x.location not in (None, last.location) else [],
            hint=_around(what),
        )
    readers = [node for node in y.graph.nodes if any(one is x for one in node.inputs)]
    return unread(x, called, target, readers[-1] if readers else None)


def unread(x: Tensor, called: str, target: str, reader: Tensor | None = None) -> SymflowError:
    """What to say of a tensor that a loss does not depend on; `reader` is what reads it."""
    told = "nothing reads it"
    if reader is not None:
        name, place = called_by_user(reader), str(reader.location)
        at = "" if place in name else f" at {place}"
        told = f"{name}{at} reads it, but {target} does not depend on that"
    return SymflowError(
        f"{target} does not depend on {called}: {told}",
        x.location,
        hint=f"use {called} in {target}, remove it, or declare it with trainable=False"
        if isinstance(x, Variable)
        else f"{called} is to be a part of what {target} is computed from",
    )


_COMPARISONS = {"less", "less_equal", "greater", "greater_equal", "equal", "not_equal"}
"""Python may have turned their operands around."""


def _ends(node: Tensor) -> bool:
    """Whether no derivative but 0 passes through a node."""
    is_stop = node.operation is operations.TABLE["stop_gradient"]
    return is_stop or not differentiable(node) or is_flat(node)


def is_flat(node: Tensor) -> bool:
    """Whether the derivative of an operation is 0 wherever there is one."""
    return isinstance(node.operation, Elementwise) and _moves_in_steps(node.operation)


@cache
def _moves_in_steps(row: Elementwise) -> bool:
    operands = [slot(number) for number in range(len(row.domain))]
    formula = row(*operands)
    return all(formula.diff(operand) == 0 for operand in operands)


def _around(operation: str) -> str:
    if operation == "stop_gradient":
        return "leave stop_gradient out, or declare the Variable with trainable=False"
    return f"{operation} moves in steps: take a smooth function in its place"


def _nodes_of(y: Tensor) -> list[Tensor]:
    """All that y is computed from, and y."""
    found, pending = {id(y): y}, [y]
    while pending:
        for source in pending.pop().inputs:
            if id(source) not in found:
                found[id(source)] = source
                pending.append(source)
    return list(found.values())


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
