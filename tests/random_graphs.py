"""Draws valid models at random.

A size is a pair: what it is for the first and for the second value of n; two sizes agree when
both do. Shapes are known before an operation is put in, and values too: what would overflow,
leave its domain, or stand near a kink is drawn again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import independent_arrays  # noqa: F401  (its operations are part of the table)
import independent_loops  # noqa: F401
import independent_matrices  # noqa: F401
import independent_special  # noqa: F401
import independent_views  # noqa: F401
import independent_windows  # noqa: F401
import numpy as np
from abstract_models import PREDICATES, Leaf, Model, Step, operands, result, without_dead
from independent_numbers import FLOAT, Array
from independent_operations import OPERATIONS
from independent_rows import ROWS

import symflow as sf
from symflow.rows import ROWS as SYMFLOW_ROWS

Dim = tuple[int, int]

COMPARISONS = ["greater", "less", "greater_equal", "less_equal", "equal", "not_equal"]
LARGEST = 50.0
STEEPEST = 500.0
MARGIN = 2e-3
ENTRIES = 48
SAMPLES = 3


@dataclass(frozen=True)
class Node:
    number: int
    dims: tuple[Dim, ...]
    kind: str  # "float", "bool" or "int"

    @property
    def rank(self) -> int:
        return len(self.dims)


class Rejected(Exception):  # noqa: N818
    """What was drawn cannot stand in a model."""


class Drawing:
    """A model under construction, and the choices that operations make in it."""

    def __init__(self, rng: np.random.Generator, symbolic: bool, dtype: str = "float64") -> None:
        self.rng = rng
        self.dtype = dtype
        first, second = rng.permutation([2, 3, 4])[:2] if symbolic else (1, 1)
        self.sizes = (int(first), int(second))
        self.symbolic = symbolic
        self.nodes: list[Leaf | Step] = []
        self.known: list[Node] = []
        self.tied = False  # whether entries are equal by construction, at a kink of a maximum
        self._values: tuple[list[Array], list[Array]] = ([], [])
        self._tangents: tuple[list[Array | None], list[Array | None]] = ([], [])

    # --- choices ---

    def coin(self, chance: float = 0.5) -> bool:
        return bool(self.rng.random() < chance)

    def integer(self, low: int, high: int) -> int:
        return int(self.rng.integers(low, high))

    def one_of(self, options: Sequence[Any]) -> Any:
        return options[self.integer(0, len(options))]

    def shuffled(self, options: Sequence[Any]) -> list[Any]:
        return [options[at] for at in self.rng.permutation(len(options))]

    def literal(self, low: float, high: float) -> float:
        """A number that float32 holds too."""
        return float(np.ceil(self.rng.uniform(low, high) * 16 - 1e-9) / 16)

    def node(self, fits: Callable[[Node], bool], kind: str = "float") -> int | None:
        """A node, a recent one rather than an old one."""
        options = [one.number for one in self.known if one.kind == kind and fits(one)]
        if not options:
            return None
        weights = 0.15 + 0.85 ** np.arange(len(options))[::-1]
        return int(self.rng.choice(options, p=weights / weights.sum()))

    def floating(self, fits: Callable[[Node], bool] = lambda node: True) -> int | None:
        return self.node(fits)

    def dims(self, number: int) -> tuple[Dim, ...]:
        return self.known[number].dims

    def axis(self, number: int) -> int:
        rank = len(self.dims(number))
        return self.integer(-rank, rank)

    def axes(self, number: int) -> Any:
        """One axis, several, or all, of either sign."""
        rank = len(self.dims(number))
        if self.coin(0.2):
            return None
        if self.coin(0.6):
            return self.axis(number)
        chosen = self.shuffled(range(rank))[: self.integer(1, rank + 1)]
        return tuple(one - rank if self.coin(0.3) else one for one in chosen)

    def part_of(self, size: Dim) -> Any:
        """A number or a slice, as a key to an axis of that size."""
        if size[0] != size[1]:
            whole, back = (None, None, None), (None, None, -1)
            return self.one_of([whole, whole, back, 0, -1, (1, None, None), (None, -1, None)])
        if self.coin(0.3):
            return self.integer(-size[0], size[0])
        for _ in range(20):
            ends = [self.integer(-size[0] - 1, size[0] + 2) if self.coin() else None for _ in "ab"]
            step = self.one_of([None, None, 1, 2, -1, -2, 3])
            if range(size[0])[slice(*ends, step)]:
                return (*ends, step)
        return (None, None, None)

    def nameable(self, dims: Sequence[Dim]) -> bool:
        """Whether every size can be written: a number, or n itself."""
        return all(one[0] == one[1] or one == self.sizes for one in dims)

    def named(self, dims: Sequence[Dim]) -> tuple[int | str, ...]:
        return tuple(one[0] if one[0] == one[1] else "n" for one in dims)

    def broadcast(self, *shapes: Sequence[Dim]) -> tuple[Dim, ...] | None:
        rank = max(map(len, shapes))
        found: list[Dim] = []
        for at in range(-rank, 0):
            sizes = {shape[at] for shape in shapes if len(shape) >= -at} - {(1, 1)}
            if len(sizes) > 1:
                return None
            found.append(sizes.pop() if sizes else (1, 1))
        return tuple(found)

    # --- leaves ---

    def leaf(self, dims: Sequence[Dim], kind: str | None = None) -> int:
        kind = kind or self.one_of(["placeholder", "Variable", "Variable", "constant"])
        shape = self.named(dims)
        if "n" in shape:
            kind = "placeholder"
        draw = self.rng.normal
        values = [
            np.asarray(draw(size=[one[at] for one in dims])).astype(self.dtype).astype(float)
            for at in (0, 1)
        ]
        second = values[1] if kind == "placeholder" and self.symbolic else values[0]
        return self.put(Leaf(kind, shape, (values[0], second)))

    def indices(self, size: int, negative: bool = False) -> int:
        shape = tuple(self.integer(1, 5) for _ in range(self.integer(0, 3)))
        rows = self.rng.integers(-size if negative else 0, size, shape)
        kind = "constant" if self.coin() else "placeholder"
        return self.put(Leaf(kind, shape, (rows, rows)))

    def constant(self, values: Array) -> int:
        return self.put(Leaf("constant", values.shape, (values, values)))

    # --- steps ---

    def step(self, operation: str, *operands: Any, **how: Any) -> int:
        return self.put(Step(operation, tuple(operands), how))

    def put(self, node: Leaf | Step) -> int:
        """Add a node, if its value and its slopes are of a size that tests can speak of."""
        both = []
        for at in (0, 1):
            if at and not self.symbolic:
                both.append(both[0])
                continue
            values, tangents = self._values[at], self._tangents[at]
            with np.errstate(all="ignore"):
                value, tangent = result(FLOAT, node, self.sizes[at], at, SAMPLES, values, tangents)
                if isinstance(node, Leaf) and node.floating:
                    tangent = self.rng.normal(size=value.shape)
                if isinstance(node, Step):
                    self._accept(node, at, value, tangent)
            both.append((value, tangent))
        for at, (value, tangent) in enumerate(both):
            self._values[at].append(value)
            self._tangents[at].append(tangent)
        (first, _), (second, _) = both
        dims = tuple(zip(first.shape[1:], second.shape[1:], strict=True))
        kind = {"f": "float", "b": "bool", "i": "int"}[first.dtype.kind]
        self.nodes.append(node)
        self.known.append(Node(len(self.nodes) - 1, dims, kind))
        return len(self.nodes) - 1

    def _accept(self, step: Step, at: int, value: Array, tangent: Array | None) -> None:
        if value.ndim > 6 or value[0].size > ENTRIES or not np.all(np.isfinite(value)):
            raise Rejected(step)
        if value.dtype.kind == "f" and np.max(np.abs(value), initial=0) > LARGEST:
            raise Rejected(step)
        if tangent is not None and not np.max(np.abs(tangent), initial=0) < STEEPEST:
            raise Rejected(step)
        if self._near_kink(step, at):
            raise Rejected(step)

    def _near_kink(self, step: Step, at: int) -> bool:
        operation = OPERATIONS[step.operation]
        if operation.kinks is None:
            return False
        x = operands(FLOAT, step, SAMPLES, self._values[at])
        distances = operation.kinks(FLOAT, x, **step.how)
        moved = [
            value
            if not isinstance(one, int) or self._tangents[at][one] is None
            else value + 1e-7 * self._tangents[at][one]
            for one, value in zip(step.operands, x, strict=True)
        ]
        for here, there in zip(distances, operation.kinks(FLOAT, moved, **step.how), strict=True):
            close = np.abs(here) < MARGIN
            stays = (np.abs(here) < 1e-13) & (np.abs(there) < 1e-13) & (not operation.jumps)
            if np.any(close & ~stays):
                return True
            self.tied |= bool(np.any(stays))
        return False

    def value(self, number: int) -> Array:
        """All entries of a node, for both sizes."""
        return np.concatenate([self._values[at][number].ravel() for at in (0, 1)])

    # --- operands of elementwise operations ---

    def operands_of_row(self, name: str) -> Any:
        domain = SYMFLOW_ROWS[name].domain
        if name in ("logical_and", "logical_or", "logical_xor", "logical_not", "to_float"):
            kinds = ["bool"] * len(domain)
        else:
            kinds = [
                "bool" if name == "where" and at == 0 else "float" for at in range(len(domain))
            ]
        chosen: list[Any] = []
        shapes: list[Any] = []
        for kind, (low, high) in zip(kinds, domain, strict=True):
            literal = len(domain) > 1 and kind == "float" and self.coin(0.2)
            everything_else = len(chosen) == len(domain) - 1
            if literal and not (everything_else and all(isinstance(x, float) for x in chosen)):
                chosen.append(self._literal_operand(name, low, high))
                continue
            found = self.node(lambda node: self.broadcast(*shapes, node.dims) is not None, kind)
            if found is None:
                if kind == "bool":
                    left = self.floating(
                        lambda node: self.broadcast(*shapes, node.dims) is not None
                    )
                    found = (
                        left
                        if left is None
                        else self.step(
                            self.one_of(COMPARISONS),
                            left,
                            self.literal(-1, 1),
                        )
                    )
                    found = found and self._combined(found)
                if found is None:
                    return None
            shapes.append(self.dims(found))
            chosen.append(self.within(found, low, high) if kind == "float" else found)
        return chosen, {}

    def _combined(self, condition: int) -> int:
        """The condition, or a logical function of it."""
        if self.coin():
            return condition
        if self.coin(0.4):
            return self.step("logical_not", condition)
        compared = self.nodes[condition]
        assert isinstance(compared, Step)
        other = self.step("less", compared.operands[0], self.literal(0, 2))
        return self.step(
            self.one_of(["logical_and", "logical_or", "logical_xor"]), condition, other
        )

    def _literal_operand(self, name: str, low: float, high: float) -> float:
        if name == "pow" and self.coin():
            return float(self.one_of([2, 3, -1, 0.5, -0.5, 1.5, 1]))
        return self.literal(low, high)

    def within(self, number: int, low: float, high: float) -> int:
        """The node itself where it lies in the domain, or something of it that does."""
        values = self.value(number)
        if np.all((values >= low) & (values <= high)):
            return number
        if low > 0 and high >= 4 and self.coin(0.6):
            positive = self.one_of(["square", "abs", "softplus"])
            return self.step("add", self.step(positive, number), 0.125)
        if low <= -3 and high >= 3 and self.coin(0.6):
            return self.step(self.one_of(["sin", "tanh", "atan", "asinh"]), number)
        width = float(np.floor((high - low) * 14) / 16)
        middle = float(np.round((high + low) * 8) / 16)
        if self.coin():
            inner = self.step("multiply", self.step("sin", number), width / 2)
            return self.step("add", inner, middle)
        inner = self.step("multiply", self.step("sigmoid", number), width)
        return self.step("add", inner, middle - width / 2)


WEIGHTS = {name: one.weight for name, one in OPERATIONS.items() if name not in ROWS}
ROW_WEIGHTS = {name: 0.3 if name in PREDICATES else 1.0 for name in ROWS}


def available(name: str) -> bool:
    """Whether this symflow offers the operation."""
    if name in SYMFLOW_ROWS or name == "slice":
        return True
    return any(hasattr(module, name) for module in (sf, sf.nn, sf.linalg))


def chosen_operation(rng: np.random.Generator, wanted: Sequence[str] | None = None) -> str:
    table = ROW_WEIGHTS if rng.random() < 0.5 else WEIGHTS
    options = [name for name in (wanted or table) if available(name)]
    weights = np.array([1.0 if wanted else table[name] for name in options])
    return str(options[int(rng.choice(len(options), p=weights / weights.sum()))])


def random_model(seed: int, order: int | None = None, wanted: Sequence[str] | None = None) -> Model:
    """A model from a seed. `wanted` names operations of which at least one is on the way."""
    for attempt in range(1000):
        rng = np.random.default_rng([seed, attempt])
        try:
            model = _drawn(rng, order, wanted)
        except Rejected:
            continue
        if model is not None and (not wanted or model.operations & set(wanted)):
            return model
    raise AssertionError(f"no model is drawn from seed {seed} with {wanted}")


def _drawn(
    rng: np.random.Generator, order: int | None, wanted: Sequence[str] | None
) -> Model | None:
    dtype = "float32" if rng.random() < 0.15 and not wanted else "float64"
    symbolic = bool(rng.random() < 0.4) and not wanted
    drawing = Drawing(rng, symbolic, dtype)
    if order is None:
        order = 2 if rng.random() < 0.2 and dtype == "float64" else 1
    _draw_leaves(drawing)
    steps = int(rng.integers(2, 10))
    if wanted:
        steps = int(rng.integers(0, 2))
    elif order == 2:
        steps = int(rng.integers(1, 6))
    for _ in range(4 * steps):
        if sum(isinstance(one, Step) for one in drawing.nodes) >= steps:
            break
        _try(drawing, chosen_operation(rng))
    if wanted:
        for _ in range(20):
            if _try(drawing, chosen_operation(rng, wanted)):
                break
    loss = _finish(drawing, 1.0 if wanted else 0.5)
    nodes = tuple(drawing.nodes[: loss + 1])
    model = Model(nodes, drawing.sizes, (), (), dtype, order)
    return _with_questions(drawing, model)


def _draw_leaves(drawing: Drawing) -> None:
    pool = [(size, size) for size in (drawing.integer(1, 5), drawing.integer(1, 5))]
    pool += [drawing.sizes] * 2 if drawing.symbolic else []
    pool.append((1, 1))
    for at in range(drawing.integer(1, 4)):
        rank = int(drawing.rng.choice(5, p=[0.1, 0.27, 0.4, 0.2, 0.03]))
        dims = [drawing.one_of(pool) for _ in range(rank)]
        if at == 0 and drawing.symbolic:
            dims = [drawing.sizes, *dims[1:]]
        drawing.leaf(dims, "placeholder" if at == 0 and drawing.coin() else None)


def _try(drawing: Drawing, name: str) -> bool:
    """Put in an operation if it can be; what was put in for it alone may stay."""
    try:
        drawn = OPERATIONS[name].draw(drawing)
        if drawn is None:
            return False
        operands, how = drawn
        drawing.step(name, *operands, **how)
    except Rejected:
        return False
    return True


ENDS = ["reduce_sum", "reduce_sum", "reduce_mean", "l2_loss", "reduce_max", "reduce_logsumexp"]


def _finish(drawing: Drawing, curved: float) -> int:
    """A scalar from the last node and a few that nothing reads, with a chance of a curve."""
    read = {one for node in drawing.nodes if isinstance(node, Step) for one in node.sources}
    floats = [one.number for one in drawing.known if one.kind == "float"]
    steps = [one for one in floats if isinstance(drawing.nodes[one], Step)]
    if not steps:
        raise Rejected
    unread = [one for one in steps if one not in read and one != steps[-1]]
    ends = [steps[-1], *drawing.shuffled(unread)[: drawing.integer(0, 3)]]
    total: int | None = None
    for end in ends:
        if drawing.coin(curved):
            end = drawing.step(drawing.one_of(["sin", "tanh", "square"]), end)
        if drawing.dims(end) or drawing.coin(0.3):
            name = drawing.one_of(ENDS)
            how = {} if name == "l2_loss" else {"axis": None, "keepdims": False}
            end = drawing.step(name, end, **how)
        total = end if total is None else drawing.step("add", total, end)
    assert total is not None
    return total


def _with_questions(drawing: Drawing, model: Model) -> Model | None:
    """By what the loss is differentiated, and what else is fetched."""
    reached = [one for one in model.reached() if one != model.loss]
    leaves = [
        one
        for one in reached
        if isinstance(node := model.nodes[one], Leaf) and node.kind != "constant"
    ]
    inner = [one for one in reached if isinstance(model.nodes[one], Step)]
    by = leaves[:4]
    if inner and model.order == 1 and not drawing.tied and drawing.coin(0.2):
        by.append(drawing.one_of(inner))
    if not leaves:
        return None
    floats = [one.number for one in drawing.known[: model.loss] if one.kind == "float"]
    fetched = tuple(drawing.shuffled(floats)[: drawing.integer(0, 3)])
    return without_dead(
        Model(model.nodes, model.sizes, tuple(by), fetched, model.dtype, model.order)
    )
