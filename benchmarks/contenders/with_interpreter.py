"""A graph that is interpreted node by node, as in the article that symflow grew from.

Every operation computes its value, and its gradient when asked, in NumPy; a Session walks the
graph once for the loss, and the training operation walks it again, forward and backward.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from benchmarks.contender import Builders, Contender
from benchmarks.workloads import Array, Data, Workload

VERSION = "interpreter"


class Node:
    """An operation: its operands, its value by theirs, and what it hands back to each of them."""

    def __init__(
        self,
        operands: tuple[Node, ...] = (),
        compute: Callable[..., Any] | None = None,
        gradients: tuple[Callable[..., Any], ...] = (),
    ) -> None:
        self.operands, self.compute, self.gradients = operands, compute, gradients
        self.consumers: list[Node] = []
        self.value: Any = None
        for operand in operands:
            operand.consumers.append(self)


def summed_to(gradient: Any, value: Any) -> Array:
    """A gradient, summed over the axes along which its operand was broadcast."""
    gradient, shape = np.asarray(gradient), np.shape(value)
    while np.ndim(gradient) > len(shape):
        gradient = np.sum(gradient, axis=0)
    for axis, size in enumerate(shape):
        if size == 1:
            gradient = np.sum(gradient, axis=axis, keepdims=True)
    return gradient


def add(x: Node, y: Node) -> Node:
    to_x, to_y = (lambda d, x, y: summed_to(d, x)), (lambda d, x, y: summed_to(d, y))
    return Node((x, y), np.add, (to_x, to_y))


def subtract(x: Node, y: Node) -> Node:
    to_x, to_y = (lambda d, x, y: summed_to(d, x)), (lambda d, x, y: summed_to(-d, y))
    return Node((x, y), np.subtract, (to_x, to_y))


def multiply(x: Node, y: Node) -> Node:
    to_x, to_y = (lambda d, x, y: summed_to(d * y, x)), (lambda d, x, y: summed_to(d * x, y))
    return Node((x, y), np.multiply, (to_x, to_y))


def matvec(x: Node, w: Node) -> Node:
    return Node((x, w), np.dot, (lambda d, x, w: np.outer(d, w), lambda d, x, w: np.dot(x.T, d)))


def square(x: Node) -> Node:
    return Node((x,), np.square, (lambda d, x: d * np.multiply(2.0, x),))


def softplus(x: Node) -> Node:
    return Node(
        (x,),
        lambda x: np.maximum(x, 0.0) + np.log1p(np.exp(-np.abs(x))),
        (lambda d, x: d / (1.0 + np.exp(-x)),),
    )


def reduce_sum(x: Node) -> Node:
    return Node((x,), np.sum, (lambda d, x: d * np.ones_like(x),))


def reduce_mean(x: Node) -> Node:
    return Node((x,), np.mean, (lambda d, x: d * np.ones_like(x) / np.size(x),))


def postorder(node: Node) -> list[Node]:
    order: list[Node] = []

    def visit(one: Node) -> None:
        for operand in one.operands:
            visit(operand)
        order.append(one)

    visit(node)
    return order


def forward(target: Node, feed: dict[Node, Any]) -> Any:
    for node in postorder(target):
        if node in feed:
            node.value = feed[node]
        elif node.compute is not None:
            node.value = node.compute(*(operand.value for operand in node.operands))
    return target.value


def backward(target: Node) -> dict[Node, Any]:
    """The gradient of every node, those of data among them: breadth first, as the article goes.

    An operation computes the gradients of all its operands whenever one of them asks.
    """
    found: dict[Node, Any] = {target: np.ones_like(target.value)}
    queue, seen = deque(target.operands), {target, *target.operands}
    while queue:
        node = queue.popleft()
        total: Any = 0.0
        for consumer in node.consumers:
            values = [operand.value for operand in consumer.operands]
            shares = [gradient(found[consumer], *values) for gradient in consumer.gradients]
            for operand, share in zip(consumer.operands, shares, strict=True):
                if operand is node:
                    total = total + share
        found[node] = total
        for operand in node.operands:
            if operand not in seen:
                seen.add(operand)
                queue.append(operand)
    return found


def article(w: Node, b: Node, x: Node, y: Node) -> Node:
    return reduce_sum(square(subtract(add(multiply(x, w), b), y)))


def logistic(w: Node, b: Node, x: Node, y: Node) -> Node:
    z = add(matvec(x, w), b)
    return reduce_mean(subtract(softplus(z), multiply(y, z)))


def builders(workload: Workload, data: Data) -> Builders:
    if workload.name == "W1":
        return {"interpreter": partial(_training, workload, data)}
    if workload.name == "W3":
        return {"interpreter": partial(_gradients, data)}
    return {}


def _nodes(data: Data) -> tuple[dict[str, Node], dict[Node, Any]]:
    nodes = {name: Node() for name in (*data.parameters, *data.inputs)}
    for name, value in data.parameters.items():
        nodes[name].value = value
    return nodes, {nodes[name]: value for name, value in data.inputs.items()}


def _gradients(data: Data) -> Contender:
    nodes, feed = _nodes(data)
    loss = logistic(*(nodes[name] for name in ("w", "b", "x", "y")))

    def run() -> Any:
        value = forward(loss, feed)
        found = backward(loss)
        return {"loss": value, **{name: found[nodes[name]] for name in data.parameters}}

    return Contender(run, lambda found: found)


def _training(workload: Workload, data: Data) -> Contender:
    nodes, feed = _nodes(data)
    loss = article(*(nodes[name] for name in ("w", "b", "x", "y")))

    def run() -> Any:
        """As the article's loop: the loss is one run of the Session, the training step another."""
        for name, value in data.parameters.items():
            nodes[name].value = value
        losses = []
        for _ in range(workload.steps):
            losses.append(forward(loss, feed))
            forward(loss, feed)
            found = backward(loss)
            for name in data.parameters:
                nodes[name].value = nodes[name].value - workload.rate * found[nodes[name]]
        return {"loss": np.array(losses), **{name: nodes[name].value for name in data.parameters}}

    return Contender(run, lambda found: found)
