"""The fast and the plain style of one model, side by side.

Both compute the same numbers, in another order where blocks are summed. So what they may differ
by is 1e-12 of the largest entry; where an ill-conditioned graph does not keep to that, what
rounding does to the graph is measured, and allowed beside it.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from abstract_models import Leaf, Model, names, text
from graph_comparison import forward, tolerance
from independent_numbers import FLOAT

from symflow.compilation import Style
from symflow.emission import emit
from symflow.files import compilation

CLOSE = 1e-12
BLOCK = 4
ROWS = (1, 2, BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK + 7)
"""One block, not full, full, and more: with a rest of one row, and with one of three."""

DESCENT = "train_op = sf.train.GradientDescentOptimizer(0.01).minimize(loss)\n"


@dataclass(frozen=True)
class Styles:
    fast: ModuleType
    plain: ModuleType

    @property
    def has_blocks(self) -> bool:
        return hasattr(self.fast, "BLOCK")


def module(path: Path, style: Style, dtype: str | None = None, without: Sequence[str] = ()) -> Any:
    """The module of a model file, with blocks of few rows; nothing is written."""
    source = emit(compilation(path, {}, dtype, without, style))
    assert not source.beside, "arrays that stand in another file"
    made = ModuleType(f"{path.stem}_{style}")
    exec(compile(source.text, f"<{made.__name__}>", "exec"), made.__dict__)
    made.SOURCE = source.text  # type: ignore[attr-defined]
    if hasattr(made, "BLOCK"):
        made.BLOCK = BLOCK  # type: ignore[attr-defined]
    return made


def styles(path: Path, dtype: str | None = None, without: Sequence[str] = ()) -> Styles:
    return Styles(module(path, "fast", dtype, without), module(path, "plain", dtype))


def of_graph(
    model: Model, folder: Path, without: Sequence[str] = (), training: str = DESCENT
) -> Styles:
    """A random graph's, in double precision, with a line that says how it is trained."""
    path = folder / "model.py"
    path.write_text(text(model) + training, encoding="utf-8")
    return styles(path, "float64", without)


def with_rows(model: Model, n: int | None, moved: float = 1e-3) -> Model:
    """The model given n rows of data: its own ones again and again, each time a little moved."""
    if n is None:
        return model
    rng = np.random.default_rng(n)
    nodes = []
    for node in model.nodes:
        if isinstance(node, Leaf) and "n" in node.shape:
            value = node.values[0]
            for axis, size in enumerate(node.shape):
                if size == "n":
                    value = np.take(value, np.arange(n) % value.shape[axis], axis)
            if node.floating:
                value = value + moved * rng.normal(size=value.shape)
            node = replace(node, values=(value, value))
        nodes.append(node)
    return replace(model, nodes=tuple(nodes), sizes=(n, n))


def data(model: Model, made: ModuleType) -> dict[str, Any]:
    """What the loss of a random graph is computed from."""
    wanted = inspect.signature(made.loss).parameters
    return {
        name: node.values[0]
        for name, node in zip(names(model), model.nodes, strict=True)
        if isinstance(node, Leaf) and name in wanted
    }


# --- comparison ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Found:
    """A loss and its gradient, or the losses of training and where it led."""

    losses: Any
    arrays: Sequence[Any]


def evaluated(made: ModuleType, p: Any, inputs: Mapping[str, Any], **how: Any) -> Found:
    """By all three functions, which must say the same."""
    with np.errstate(all="ignore"):
        value, gradient = made.loss_and_gradients(p, **inputs, **how)
        alone = made.loss(p, **inputs, **how)
        other = made.gradients(p, **inputs, **how)
    assert isinstance(value, float)
    np.testing.assert_allclose(alone, value, rtol=1e-14)
    for one, two in zip(gradient, other, strict=True):
        np.testing.assert_array_equal(one, two)
    return Found(value, gradient)


def trained(made: ModuleType, p: Any, inputs: Mapping[str, Any], **how: Any) -> Found | str:
    with np.errstate(all="ignore"):
        try:
            result = made.train(p, **inputs, **how)
        except FloatingPointError as error:
            return str(error)
    return Found(result.losses, result.parameters)


def difference(found: Found, wanted: Found, close: float = CLOSE) -> str | None:
    """What is further apart than it may be."""
    pairs = [(np.asarray(found.losses), np.asarray(wanted.losses))]
    pairs += zip(found.arrays, wanted.arrays, strict=True)
    for at, (one, other) in enumerate(pairs):
        what = "the loss" if at == 0 else f"array {at - 1}"
        if type(one) is not type(other) or one.dtype != other.dtype or one.shape != other.shape:
            return f"{what} is {one.dtype} {one.shape}, not {other.dtype} {other.shape}"
        finite = np.isfinite(other)
        if not np.array_equal(one[~finite], other[~finite], equal_nan=True):
            return f"{what} is {one}, not {other}"
        size = np.max(np.abs(other[finite]), initial=0.0)
        largest = np.max(np.abs(one[finite] - other[finite]), initial=0.0)
        if not largest <= close * size:
            return f"{what} differs by {largest:.1e} of {size:.1e}"
    return None


def is_rounding(model: Model, made: ModuleType, found: Found, wanted: Found) -> bool:
    """Whether the two differ by no more than rounding explains in this graph."""
    fields = made.Parameters._fields
    by = tuple(number for number, name in enumerate(names(model)) if name in fields)
    if model.order != 1 or len(by) != len(fields):
        return False
    asked = replace(model, by=by)
    with np.errstate(all="ignore"):
        allowed = tolerance(asked, 0, forward(asked, FLOAT, 0))
    slopes = [np.concatenate([one.ravel() for one in each.arrays]) for each in (found, wanted)]
    return bool(
        abs(found.losses - wanted.losses) <= allowed["loss"][0]
        and np.all(np.abs(slopes[0] - slopes[1]) <= allowed["slopes"])
    )
