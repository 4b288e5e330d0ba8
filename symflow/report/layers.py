"""A directed acyclic graph on paper: nodes in layers, edges downwards, few crossings.

The steps are those of Sugiyama, Tagawa and Toda, "Methods for Visual Understanding of Hierarchical
System Structures" (1981): layers by the longest path, long edges cut by a bend in every layer that
they cross, the order within layers by barycentres. Coordinates are, as in Gansner et al., "A
Technique for Drawing Directed Graphs" (1993), those that keep nodes near their neighbours, here in
the sense of least squares, which isotonic regression finds exactly for one layer at a time.

Written here because the packages that do this either need a program beside Python, as Graphviz, or
are no longer kept.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

GAP_ACROSS = 22.0
"""Between two nodes of a layer."""

GAP_DOWN = 34.0
"""Between two layers."""

BEND = 10.0
"""The room that an edge takes where it passes a layer."""

SWEEPS = 12
"""Down and up through all layers, to order them; a few suffice, and the best order is kept."""

Point = tuple[float, float]
Edge = tuple[int, int]


@dataclass(frozen=True)
class Drawing:
    """Where everything is.

    centres  of the nodes
    paths    of the edges, from the lower side of the first node to the upper side of the second
    """

    centres: tuple[Point, ...]
    paths: tuple[tuple[Point, ...], ...]
    width: float
    height: float


def longest_paths(
    count: int, edges: Sequence[Edge], least: Mapping[int, int] | None = None
) -> list[int]:
    """The layer of every node, each edge leading at least one down; `first < second` in all edges.

    A node that nothing leads to comes right above the first that it leads to.

    least  layers above which some nodes must not be
    """
    layers = [(least or {}).get(node, 0) for node in range(count)]
    entered = set()
    for first, second in sorted(edges, key=lambda edge: edge[1]):
        layers[second] = max(layers[second], layers[first] + 1)
        entered.add(second)
    below: dict[int, int] = {}
    for first, second in edges:
        below[first] = min(below.get(first, layers[second]), layers[second])
    for node, layer in below.items():
        if node not in entered:
            layers[node] = layer - 1
    return layers


def drawn(
    sizes: Sequence[tuple[float, float]],
    layers: Sequence[int],
    edges: Sequence[Edge],
    heights: Sequence[float],
) -> Drawing:
    """The nodes, of given widths and heights, in given layers, each of a height of its own; edges
    lead from lower numbers of layers to higher.
    """
    centres: list[Point] = [(0.0, 0.0)] * len(sizes)
    paths: list[tuple[Point, ...]] = [()] * len(edges)
    right = [-GAP_ACROSS] * len(heights)  # of what is placed already, in every layer
    for nodes in _components(len(sizes), edges):
        place = {node: at for at, node in enumerate(nodes)}
        mine = [at for at, (first, _) in enumerate(edges) if first in place]
        part = _Layered(
            [sizes[node] for node in nodes],
            [layers[node] for node in nodes],
            [(place[edges[at][0]], place[edges[at][1]]) for at in mine],
            heights,
        )
        part.order()
        part.place()
        part.move_beside(right)
        for node, centre in zip(nodes, part.centres(), strict=True):
            centres[node] = centre
        for at, path in zip(mine, part.paths(), strict=True):
            paths[at] = path
    height = sum(heights) + GAP_DOWN * max(len(heights) - 1, 0)
    return Drawing(tuple(centres), tuple(paths), max(right, default=0.0), height)


def _components(count: int, edges: Sequence[Edge]) -> list[list[int]]:
    """The nodes that hang together, the largest parts first."""
    head = list(range(count))

    def found(node: int) -> int:
        while head[node] != node:
            head[node] = head[head[node]]
            node = head[node]
        return node

    for first, second in edges:
        head[found(first)] = found(second)
    parts: dict[int, list[int]] = {}
    for node in range(count):
        parts.setdefault(found(node), []).append(node)
    return sorted(parts.values(), key=lambda part: (-len(part), part))


class _Layered:
    """The graph with a bend, which is a node too, wherever an edge passes a layer."""

    def __init__(
        self,
        sizes: Sequence[tuple[float, float]],
        layers: Sequence[int],
        edges: Sequence[Edge],
        heights: Sequence[float],
    ) -> None:
        self.count = len(sizes)
        self.sizes = list(sizes)
        self.layer = list(layers)
        self.heights = heights
        self.tops = [sum(heights[:at]) + GAP_DOWN * at for at in range(len(heights))]
        self.chains: list[list[int]] = []
        self.above: list[list[int]] = [[] for _ in sizes]
        self.below: list[list[int]] = [[] for _ in sizes]
        for first, second in edges:
            assert self.layer[first] < self.layer[second], "edges lead down"
            chain = [first]
            for layer in range(self.layer[first] + 1, self.layer[second]):
                chain.append(self._bend(layer))
            chain.append(second)
            self.chains.append(chain)
            for upper, lower in pairwise(chain):
                self.below[upper].append(lower)
                self.above[lower].append(upper)
        self.rows: list[list[int]] = [[] for _ in heights]
        for node, layer in enumerate(self.layer):
            self.rows[layer].append(node)
        self.x = [0.0] * len(self.layer)

    def _bend(self, layer: int) -> int:
        self.sizes.append((BEND, 0.0))
        self.layer.append(layer)
        self.above.append([])
        self.below.append([])
        return len(self.layer) - 1

    # --- order ---

    def order(self) -> None:
        """Rows in the order of the barycentres of what is above, then of what is below."""
        best, fewest = [list(row) for row in self.rows], self._crossings()
        for sweep in range(SWEEPS):
            down = sweep % 2 == 0
            rows = range(1, len(self.rows)) if down else range(len(self.rows) - 2, -1, -1)
            for at in rows:
                beside = self.rows[at - 1] if down else self.rows[at + 1]
                self._sort(at, beside, self.above if down else self.below)
            crossings = self._crossings()
            if crossings < fewest:
                best, fewest = [list(row) for row in self.rows], crossings
            if fewest == 0:
                break
        self.rows = best

    def _sort(self, at: int, beside: Sequence[int], neighbours: Sequence[Sequence[int]]) -> None:
        position = {node: float(place) for place, node in enumerate(beside)}
        row = self.rows[at]
        scale = len(beside) / max(len(row), 1)
        centre = {
            node: sum(position[one] for one in neighbours[node]) / len(neighbours[node])
            if neighbours[node]
            else place * scale
            for place, node in enumerate(row)
        }
        row.sort(key=centre.__getitem__)

    def _crossings(self) -> int:
        """How often two edges between neighbouring rows cross."""
        total = 0
        for upper, lower in pairwise(self.rows):
            position = {node: place for place, node in enumerate(lower)}
            seen: list[int] = []
            for node in upper:
                ends = [position[one] for one in self.below[node]]
                total += sum(len(seen) - bisect_right(seen, end) for end in ends)
                for end in ends:
                    insort(seen, end)
        return total

    # --- coordinates ---

    def place(self) -> None:
        """Every node as near to its neighbours as the order and the gaps allow."""
        for row in self.rows:
            self._settle(row, [0.0] * len(row), [1.0] * len(row))
        for sweep in range(3 * SWEEPS):
            down, both = sweep % 2 == 0, sweep >= SWEEPS
            for row in self.rows if down else self.rows[::-1]:
                pulls = [self._pull(node, down, both) for node in row]
                self._settle(row, *zip(*pulls, strict=True)) if row else None

    def _pull(self, node: int, down: bool, both: bool) -> tuple[float, float]:
        """Where a node's neighbours want it, and how much."""
        near = [*self.above[node], *self.below[node]] if both else []
        near = near or (self.above[node] if down else self.below[node])
        if not near:
            return self.x[node], 0.001
        weights = [self._weight(node, one) for one in near]
        total = sum(weights)
        places = (weight * self.x[one] for weight, one in zip(weights, near, strict=True))
        return sum(places) / total, total

    def _weight(self, node: int, near: int) -> float:
        """How much a neighbour pulls: long edges want to be straight, and so does a chain of nodes,
        beside which long edges and nodes with no other neighbour find their places.
        """
        if node >= self.count and near >= self.count:
            return 8.0
        if self._is_leaf(node) or self._is_leaf(near):
            return 0.005
        if node < self.count and near < self.count:
            return 1.0
        bend, end = (node, near) if near < self.count else (near, node)
        beside = self.below[end] if bend in self.below[end] else self.above[end]
        in_chain = any(one < self.count and not self._is_leaf(one) for one in beside)
        return 0.05 if in_chain else 1.0

    def _is_leaf(self, node: int) -> bool:
        return len(self.above[node]) + len(self.below[node]) == 1

    def _settle(
        self, row: Sequence[int], wanted: Sequence[float], weights: Sequence[float]
    ) -> None:
        """Places in this order, with gaps, that differ least from those wanted.

        With the gaps taken out, places must not fall from left to right: isotonic regression, by
        pooling neighbours that are in the wrong order.
        """
        offsets = [0.0]
        for left, right in pairwise(row):
            apart = (self.sizes[left][0] + self.sizes[right][0]) / 2 + GAP_ACROSS
            offsets.append(offsets[-1] + apart)
        pools: list[tuple[float, float, int]] = []  # weighted sum, weight, number of nodes
        for place, offset, weight in zip(wanted, offsets, weights, strict=False):
            total, pooled, number = weight * (place - offset), weight, 1
            while pools and pools[-1][0] / pools[-1][1] > total / pooled:
                before = pools.pop()
                total, pooled, number = total + before[0], pooled + before[1], number + before[2]
            pools.append((total, pooled, number))
        settled = (total / pooled for total, pooled, number in pools for _ in range(number))
        for node, place, offset in zip(row, settled, offsets, strict=False):
            self.x[node] = place + offset

    def move_beside(self, right: list[float]) -> None:
        """To the right of what is placed already in the layers that it is in, and note where it
        ends itself.
        """
        sides = [
            (self.layer[node], self.x[node] - width / 2, self.x[node] + width / 2)
            for node, (width, _) in enumerate(self.sizes)
        ]
        shift = max(right[layer] + GAP_ACROSS - left for layer, left, _ in sides)
        self.x = [x + shift for x in self.x]
        for layer, _, end in sides:
            right[layer] = max(right[layer], end + shift)

    def centres(self) -> list[Point]:
        return [(self.x[node], self._middle(node)) for node in range(self.count)]

    def paths(self) -> list[tuple[Point, ...]]:
        return [self._path(chain) for chain in self.chains]

    def _middle(self, node: int) -> float:
        return self.tops[self.layer[node]] + self.heights[self.layer[node]] / 2

    def _path(self, chain: Sequence[int]) -> tuple[Point, ...]:
        points: list[Point] = []
        for place, node in enumerate(chain):
            x, top = self.x[node], self.tops[self.layer[node]]
            if 0 < place < len(chain) - 1:
                points += [(x, top), (x, top + self.heights[self.layer[node]])]
            else:
                half = self.sizes[node][1] / 2
                points.append((x, self._middle(node) + (half if place == 0 else -half)))
        return tuple(points)
