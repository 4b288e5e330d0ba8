"""A failing model made as small as it can be while it still fails.

Greedy delta debugging: a change is kept if the smaller model is valid and still fails. Steps are
dropped, cut off as leaves that hold their value, or by-passed; questions are dropped; sizes fall.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
from abstract_models import (
    Leaf,
    Model,
    Step,
    float_values,
    rebound,
    renumbered,
    without_dead,
)

Fails = Callable[[Model], bool]


def shrunk(model: Model, fails: Fails) -> Model:
    """A model of which no single change leads to a smaller one that fails."""
    smaller = True
    while smaller:
        smaller = False
        for candidate in _candidates(model):
            if _size(candidate) < _size(model) and _valid(candidate) and fails(candidate):
                model, smaller = candidate, True
                break
    return model


def _size(model: Model) -> tuple[int, ...]:
    leaves = [node for node in model.nodes if isinstance(node, Leaf)]
    return (
        model.order,
        sum(isinstance(node, Step) for node in model.nodes),
        len(model.by) + len(model.fetched),
        sum(leaf.values[0].size + 2 * leaf.shape.count("n") for leaf in leaves),
        len(leaves),
        sum(
            float(np.abs(leaf.values[0]).sum()) != round(float(np.abs(leaf.values[0]).sum()), 1)
            for leaf in leaves
        ),
    )


def _valid(model: Model) -> bool:
    if not model.by or not set(model.by) <= set(model.reached()):
        return False
    if any(
        isinstance(node, Leaf) and node.kind == "constant" and number in model.by
        for number, node in enumerate(model.nodes)
    ):
        return False
    try:
        values = float_values(model, 0)
        float_values(model, 1)
    except Exception:  # shapes that no longer fit
        return False
    return values[model.loss].shape == () and bool(np.isfinite(values[model.loss]))


def _candidates(model: Model) -> Iterator[Model]:
    if model.order > 1:
        yield replace(model, order=1)
    for one in model.by:
        yield without_dead(replace(model, by=tuple(x for x in model.by if x != one)))
    for one in model.fetched:
        yield without_dead(replace(model, fetched=tuple(x for x in model.fetched if x != one)))
    values = (float_values(model, 0), float_values(model, 1))
    for number, node in reversed(list(enumerate(model.nodes))):
        if isinstance(node, Leaf):
            continue
        if number != model.loss and values[0][number].dtype.kind == "f":
            yield _ended(model, number, values[0][number].ndim)
        for source in node.sources:  # also where the loss is then an earlier node
            if values[0][source].shape == values[0][number].shape:
                yield _bypassed(model, number, source)
        leaf = _cut(model, number, (values[0][number], values[1][number]))
        if leaf is not None:
            yield from leaf
    for number, node in enumerate(model.nodes):
        if isinstance(node, Leaf) and node.kind == "Variable" and number not in model.by:
            yield _replaced(model, number, replace(node, kind="constant"))
    yield from _narrower(model)
    for number, node in enumerate(model.nodes):
        if isinstance(node, Leaf) and node.floating:
            rounded = tuple(np.round(one, 1) for one in node.values)
            yield _replaced(model, number, replace(node, values=rounded))


def _replaced(model: Model, number: int, node: Leaf | Step) -> Model:
    nodes = list(model.nodes)
    nodes[number] = node
    return replace(model, nodes=tuple(nodes))


def _bypassed(model: Model, number: int, source: int) -> Model:
    """Readers of a node read one of its operands."""
    moved = {at: at for at in range(len(model.nodes))} | {number: source}
    nodes = [rebound(node, moved) for node in model.nodes]
    if number == model.loss:
        nodes, moved = nodes[: source + 1], {at: at for at in range(source + 1)}
        return without_dead(renumbered(model, moved, nodes))
    return without_dead(renumbered(model, moved, nodes))


def _cut(model: Model, number: int, values: tuple[np.ndarray, np.ndarray]) -> Iterator[Model]:
    """A leaf in place of a step, with the value that the step has."""
    first, second = (np.asarray(one) for one in values)
    if first.dtype.kind == "b" or number == model.loss:
        return
    sizes = zip(first.shape, second.shape, strict=True)
    shape = [one if one == other else "n" for one, other in sizes]
    if any(
        size == "n" and (first.shape[at], second.shape[at]) != model.sizes
        for at, size in enumerate(shape)
    ):
        return
    for kind in ("constant", "Variable", "placeholder"):
        if kind == "placeholder" or "n" not in shape:
            both = (first, second if kind == "placeholder" else first)
            cut = _replaced(model, number, Leaf(kind, tuple(shape), both))
            yield without_dead(cut)
            if kind != "constant" and first.dtype.kind == "f":
                yield without_dead(replace(cut, by=(*_others(cut, number), number)))


def _others(model: Model, number: int) -> tuple[int, ...]:
    """What is still differentiated by where a node has become a leaf."""
    reached = model.reached()
    return tuple(one for one in model.by if one != number and one in reached)


def _ended(model: Model, number: int, rank: int) -> Model:
    """The sum of an earlier node as the loss."""
    nodes = model.nodes[: number + 1]
    if rank:
        nodes = (*nodes, Step("reduce_sum", (number,), {"axis": None, "keepdims": False}))
    moved = {at: at for at in range(number + 1)}
    ended = renumbered(model, moved, nodes)
    return without_dead(replace(ended, by=_others(ended, -1)))


def _narrower(model: Model) -> Iterator[Model]:
    """Every axis of one size smaller, in all leaves and where steps name it."""
    leaves = [node for node in model.nodes if isinstance(node, Leaf)]
    if model.symbolic:
        first, _ = model.sizes
        fixed = [
            replace(
                node,
                shape=tuple(first if one == "n" else one for one in node.shape),
                values=(node.values[0], node.values[0]),
            )
            if isinstance(node, Leaf)
            else _renamed(node, "n", first)
            for node in model.nodes
        ]
        yield replace(model, nodes=tuple(fixed), sizes=(1, 1))
        return
    for size in sorted({one for leaf in leaves for one in leaf.shape if one != 1}, key=str):
        for less in range(1, int(size)):
            yield replace(model, nodes=tuple(_with(node, int(size), less) for node in model.nodes))


def _with(node: Leaf | Step, size: int, less: int) -> Leaf | Step:
    if isinstance(node, Step):
        return _renamed(node, size, less)
    key = tuple(slice(less) if one == size else slice(None) for one in node.shape)
    values = tuple(one[key] for one in node.values)
    return replace(node, shape=values[0].shape, values=values)


def _renamed(step: Step, size: int | str, other: int) -> Step:
    if "shape" not in step.how:
        return step
    shape = tuple(other if one == size else one for one in step.how["shape"])
    return replace(step, how={**step.how, "shape": shape})
