"""A program as nodes of a picture: forward and backward apart, and parts folded into wholes.

A tensor is drawn inside the one that reads it if the user never named it and nothing else does,
and the results of a loop inside the loop, so that what is drawn is about what one would draw by
hand. What an edge would have to lead to from far away is drawn again beside it, dashed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from symflow.primitives import Part
from symflow.program import Constant, Full, Input, Iota, Kernel, Program
from symflow.report.entries import Entry
from symflow.report.layers import Edge, longest_paths

LONGEST = 5
"""Layers that an edge passes at most."""


@dataclass
class Node:
    """What is drawn as one.

    entry   the tensor that it is called after
    parts   those that are folded into it
    reads   of a gradient: the forward nodes that it reads
    again   whether it stands for a node that is drawn elsewhere
    """

    entry: Entry
    parts: list[Entry] = field(default_factory=list)
    reads: list[Node] = field(default_factory=list)
    again: bool = False


@dataclass(frozen=True)
class Side:
    """The forward or the backward half: nodes, the layer of each, and edges between them."""

    nodes: list[Node]
    layers: list[int]
    edges: list[Edge]


def sides(program: Program, entries: Sequence[Entry], partner: dict[int, int]) -> tuple[Side, Side]:
    """Both halves; the backward one counts its layers from the loss.

    partner  of a gradient: the forward tensor that it is the derivative by
    """
    top = [one for one in entries if len(one.path) == 1]
    owner = _owners(program, top)
    nodes: dict[int, Node] = {}
    for one in top:
        if owner[one.tensor] == one.tensor:
            nodes[one.tensor] = Node(one)
    for one in top:
        if owner[one.tensor] != one.tensor and owner[one.tensor] in nodes:
            nodes[owner[one.tensor]].parts.append(one)
    numbers = {tensor: at for at, tensor in enumerate(_in_order(program, owner, nodes))}
    edges: dict[Edge, None] = {}
    for one in top:
        for operand in one.definition.value.operands:
            first, second = owner[operand], owner[one.tensor]
            if first == second or first not in nodes or second not in nodes:
                continue
            if nodes[first].entry.backward == nodes[second].entry.backward:
                edges[(first, second)] = None
            elif nodes[first] not in nodes[second].reads:
                nodes[second].reads.append(nodes[first])
    ahead = _side(nodes, numbers, edges, False, {})
    depth = max(ahead.layers, default=0)
    layer = {one.entry.tensor: at for one, at in zip(ahead.nodes, ahead.layers, strict=True)}
    least = {
        tensor: depth - layer[owner[forward]]
        for tensor, forward in partner.items()
        if tensor in nodes and owner.get(forward) in layer
    }
    return _far_again(ahead), _far_again(_side(nodes, numbers, edges, True, least))


def _in_order(program: Program, owner: dict[int, int], nodes: dict[int, Node]) -> list[int]:
    """Nodes, each behind what it reads."""
    placed: dict[int, None] = {}
    reads: dict[int, list[int]] = {one: [] for one in nodes}
    for tensor, definition in enumerate(program.definitions):
        for operand in definition.value.operands:
            if owner[tensor] in reads and owner[operand] != owner[tensor]:
                reads[owner[tensor]].append(owner[operand])
    for start in nodes:
        waiting = [start]
        while waiting:
            one = waiting[-1]
            missing = [other for other in reads[one] if other in nodes and other not in placed]
            if one in placed or not missing:
                placed[waiting.pop()] = None
            else:
                waiting.append(missing[0])
    return list(placed)


def _owners(program: Program, top: Sequence[Entry]) -> dict[int, int]:
    """For every tensor, the one that it is drawn in."""
    consumers = program.consumers()
    results = set(program.outputs.values())
    owner: dict[int, int] = {}
    for one in reversed(top):
        definition, readers = one.definition, list(dict.fromkeys(consumers[one.tensor]))
        value = definition.value
        alone = len(readers) == 1 and top[readers[0]].backward == one.backward
        mine = isinstance(value, Input) or one.tensor in results or definition.label.exact
        number = isinstance(value, (Iota, Full)) or (isinstance(value, Kernel) and value.is_literal)
        number = number or (isinstance(value, Constant) and value.data.ndim == 0)
        if isinstance(value, Part):
            owner[one.tensor] = value.source
        elif readers and (number or (alone and not mine)):
            owner[one.tensor] = owner[readers[0]]
        else:
            owner[one.tensor] = one.tensor
    return {tensor: owner[owner[tensor]] for tensor in owner}


def _side(
    nodes: dict[int, Node],
    numbers: dict[int, int],
    edges: dict[Edge, None],
    backward: bool,
    least: dict[int, int],
) -> Side:
    mine = [one for one in numbers if nodes[one].entry.backward == backward]
    place = {tensor: at for at, tensor in enumerate(mine)}
    inside = [(place[a], place[b]) for a, b in edges if a in place and b in place]
    at_least = {place[tensor]: layer for tensor, layer in least.items() if tensor in place}
    layers = longest_paths(len(mine), inside, at_least)
    return Side([nodes[tensor] for tensor in mine], layers, inside)


def _far_again(side: Side) -> Side:
    """With long edges cut: their first node is drawn again right above the second."""
    nodes, layers, edges = list(side.nodes), list(side.layers), []
    again: dict[Edge, int] = {}  # by the node and the layer that it is drawn in again
    for first, second in sorted(side.edges, key=lambda edge: (layers[edge[1]], edge)):
        if layers[second] - layers[first] <= LONGEST:
            edges.append((first, second))
            continue
        key = first, layers[second] - 1
        if key not in again:
            again[key] = len(nodes)
            nodes.append(Node(side.nodes[first].entry, again=True))
            layers.append(key[1])
        edges.append((again[key], second))
    return Side(nodes, layers, edges)
