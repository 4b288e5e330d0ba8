"""A model as data: a list of leaves and steps, which can be printed, evaluated, and changed.

The text of a model is what symflow runs; `walk` is the other way to its value, in any arithmetic,
with forward-mode derivatives beside it. The last node is the loss, a scalar.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from independent_numbers import FLOAT, Arithmetic, Array
from independent_operations import OPERATIONS

STOPS = {"stop_gradient", "argmax"}
"""Floats behind which nothing is differentiated."""


@dataclass(frozen=True)
class Leaf:
    """What a model is given: its values for both sizes of n.

    kind      "placeholder", "Variable" or "constant"
    shape     as declared; "n" for the size that differs
    declared  the dtype in which a constant is written, where it is not the model's: a constant of
              whole numbers or of truth values is read by arithmetic as floats are
    """

    kind: str
    shape: tuple[int | str, ...]
    values: tuple[Array, Array]
    declared: str = ""

    @property
    def floating(self) -> bool:
        return bool(self.values[0].dtype.kind == "f")


@dataclass(frozen=True)
class Step:
    """One operation; an operand is the number of an earlier node, or a float written out."""

    operation: str
    operands: tuple[int | float, ...]
    how: Mapping[str, Any] = field(default_factory=dict)

    @property
    def sources(self) -> tuple[int, ...]:
        return tuple(one for one in self.operands if isinstance(one, int))


@dataclass(frozen=True)
class Model:
    """Nodes in order.

    by       the nodes that derivatives are taken by
    fetched  nodes whose values are asked for besides
    order    2: the loss is differentiated, and then the sum of squares of its gradients
    """

    nodes: tuple[Leaf | Step, ...]
    sizes: tuple[int, int]
    by: tuple[int, ...]
    fetched: tuple[int, ...] = ()
    dtype: str = "float64"
    order: int = 1

    @property
    def loss(self) -> int:
        return len(self.nodes) - 1

    @property
    def symbolic(self) -> bool:
        return any(isinstance(one, Leaf) and "n" in one.shape for one in self.nodes)

    @property
    def operations(self) -> set[str]:
        return {one.operation for one in self.nodes if isinstance(one, Step)}

    def reached(self, loss: int | None = None, stops: Collection[str] = STOPS) -> list[int]:
        """The nodes that a derivative of the loss passes through; none passes through `stops`."""
        floats = self._floating()
        found = {self.loss if loss is None else loss}
        for number in range(max(found), -1, -1):
            node = self.nodes[number]
            if number in found and isinstance(node, Step) and node.operation not in stops:
                found.update(one for one in node.sources if floats[one])
        return sorted(found)

    def _floating(self) -> list[bool]:
        floats: list[bool] = []
        for node in self.nodes:
            if isinstance(node, Leaf):
                floats.append(node.floating)
            else:
                floats.append(node.operation not in PREDICATES)
        return floats

    def live(self) -> list[int]:
        """The nodes that anything asked for depends on."""
        found = {self.loss, *self.by, *self.fetched}
        for number in range(len(self.nodes) - 1, -1, -1):
            node = self.nodes[number]
            if number in found and isinstance(node, Step):
                found.update(node.sources)
        return sorted(found)


PREDICATES = {
    "greater",
    "greater_equal",
    "less",
    "less_equal",
    "equal",
    "not_equal",
    "logical_and",
    "logical_or",
    "logical_xor",
    "logical_not",
}


# --- text ------------------------------------------------------------------------------------


def names(model: Model) -> list[str]:
    letters = {"placeholder": "x", "Variable": "w", "constant": "c"}
    return [
        f"{letters[node.kind] if isinstance(node, Leaf) else 't'}{number}"
        for number, node in enumerate(model.nodes)
    ]


def text(model: Model, called: Sequence[str] | None = None) -> str:
    """The model as a file that symflow compiles; the loss is called `loss`."""
    called = list(called or names(model))
    lines = ["import numpy as np", "import symflow as sf", ""]
    for number, node in enumerate(model.nodes):
        written = _leaf(node, model.dtype) if isinstance(node, Leaf) else step_text(node, called)
        lines.append(f"{called[number]} = {written}")
    lines.append(f"loss = {called[model.loss]}")
    if model.order == 2:
        by = ", ".join(called[one] for one in model.by)
        lines.append(f"slopes = sf.gradients(loss, [{by}])")
        squares = " + ".join(
            f"sf.reduce_sum(sf.square(slopes[{at}]))" for at in range(len(model.by))
        )
        lines.append(f"loss = {squares}")
    return "\n".join(lines) + "\n"


def step_text(step: Step, called: Sequence[str]) -> str:
    operands = [
        called[one] if isinstance(one, int) else (repr(one) if one >= 0 else f"({one!r})")
        for one in step.operands
    ]
    return OPERATIONS[step.operation].text(*operands, **step.how)


def _leaf(leaf: Leaf, dtype: str) -> str:
    values = leaf.values[0].tolist()
    if leaf.kind == "placeholder":
        given = " and ".join(str(one.tolist()) for one in dict.fromkeys(map(_Shown, leaf.values)))
        kind = dtype if leaf.floating else "int64"
        return f"sf.placeholder(sf.{kind}, {leaf.shape!r})  # {given}"
    if not leaf.floating:
        return f"sf.constant({values!r})"
    if leaf.declared:
        written = leaf.values[0].astype(leaf.declared).tolist()
        return f"sf.constant({_array(written, leaf.declared)})"
    if np.any(np.isinf(leaf.values[0])):
        return f"sf.{leaf.kind}({_array(values, dtype).replace('inf', 'np.inf')})"
    return f"sf.{leaf.kind}({_array(values, dtype)})"


def _array(values: Any, dtype: str) -> str:
    return f"np.array({values!r}, np.{'bool_' if dtype == 'bool' else dtype})"


class _Shown:
    """Values that are shown once where both are the same."""

    def __init__(self, values: Array) -> None:
        self.values = values

    def tolist(self) -> Any:
        return self.values.tolist()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Shown) and np.array_equal(self.values, other.values)

    def __hash__(self) -> int:
        return 0


# --- values ----------------------------------------------------------------------------------


@dataclass
class Noise:
    """A relative error in every result, of a given size: what rounding does, many times larger."""

    size: float
    rng: np.random.Generator

    def __call__(self, values: Array) -> Array:
        return values * (1 + self.size * self.rng.standard_normal(values.shape))


Moved = Mapping[int, Array]


def walk(
    model: Model,
    m: Arithmetic,
    at: int,
    samples: int,
    shifts: Moved,
    directions: Moved | None = None,
    noise: Noise | None = None,
    stop: int | None = None,
) -> tuple[list[Array], list[Array | None]]:
    """Every node's value, and its tangent, with the samples in front.

    at          which of the two sizes of n
    shifts      what is added to the values of nodes, one entry per sample
    directions  the tangents of nodes; those of all others follow by forward mode
    """
    values: list[Array] = []
    tangents: list[Array | None] = []
    for number, node in enumerate(model.nodes[:stop]):
        value, tangent = result(m, node, model.sizes[at], at, samples, values, tangents, noise)
        if number in shifts:
            value = value + shifts[number]
        if directions is not None and number in directions:
            given = directions[number]
            tangent = given if tangent is None else tangent + given
        values.append(value)
        tangents.append(tangent)
    return values, tangents


def result(
    m: Arithmetic,
    node: Leaf | Step,
    size: int,
    at: int,
    samples: int,
    values: Sequence[Array],
    tangents: Sequence[Array | None],
    noise: Noise | None = None,
) -> tuple[Array, Array | None]:
    """The value and the tangent of one node, from those before it.

    The tangent reads the value with its noise, as derivatives re-use results: 1 - tanh² is
    exact to the digits of 1, not to its own.
    """
    if isinstance(node, Leaf):
        given = node.values[at]
        value = m.array(given) if node.floating else given
        return np.broadcast_to(value, (samples, *given.shape)), None
    operation = OPERATIONS[node.operation]
    x = operands(m, node, samples, values)
    t = [tangents[one] if isinstance(one, int) else None for one in node.operands]
    how = {key: _sized(one, size) for key, one in node.how.items()}
    value = np.asarray(operation.value(m, x, **how))
    if noise is not None and value.dtype.kind in "fc":
        value = noise(value)
    if all(one is None for one in t):
        return value, None
    tangent = operation.tangent(m, x, t, value, **how)
    if tangent is None:
        return value, None
    return value, np.asarray(tangent) if noise is None else noise(np.asarray(tangent))


def operands(m: Arithmetic, step: Step, samples: int, values: Sequence[Array]) -> list[Array]:
    return [
        values[one] if isinstance(one, int) else m.array(np.full(samples, one))
        for one in step.operands
    ]


def _sized(entry: Any, size: int) -> Any:
    """`n` in a shape as a number."""
    return (
        tuple(size if one == "n" else one for one in entry) if isinstance(entry, tuple) else entry
    )


# --- changes ---------------------------------------------------------------------------------


def renumbered(model: Model, moved: Mapping[int, int], nodes: Sequence[Leaf | Step]) -> Model:
    """The model with other nodes; `moved` says where each of the old ones went."""
    return replace(
        model,
        nodes=tuple(nodes),
        by=tuple(dict.fromkeys(moved[one] for one in model.by if one in moved)),
        fetched=tuple(dict.fromkeys(moved[one] for one in model.fetched if one in moved)),
    )


def rebound(node: Leaf | Step, moved: Mapping[int, int]) -> Leaf | Step:
    if isinstance(node, Leaf):
        return node
    read = tuple(moved[one] if isinstance(one, int) else one for one in node.operands)
    return replace(node, operands=read)


def without_dead(model: Model) -> Model:
    live = model.live()
    moved = {old: new for new, old in enumerate(live)}
    return renumbered(model, moved, [rebound(model.nodes[one], moved) for one in live])


def inserted(model: Model, after: int, steps: Sequence[Step], readers: Sequence[int]) -> Model:
    """Steps put in after a node; an operand -1 is the step before. Some of the readers of the
    node read the last of the steps instead."""
    nodes: list[Leaf | Step] = list(model.nodes[: after + 1])
    for step in steps:
        nodes.append(rebound(step, {one: one for one in range(after + 1)} | {-1: len(nodes) - 1}))
    moved = {number: number for number in range(after + 1)}
    for number in range(after + 1, len(model.nodes)):
        seen = {**moved, after: after + len(steps)} if number in readers else moved
        nodes.append(rebound(model.nodes[number], seen))
        moved[number] = number + len(steps)
    return renumbered(model, moved, nodes)


def float_values(model: Model, at: int) -> list[Array]:
    with np.errstate(all="ignore"):
        values, _ = walk(model, FLOAT, at, 1, {})
    return [one[0] for one in values]
