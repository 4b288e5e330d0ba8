"""Random models whose rows can be told apart: of data with n rows, and shared weights.

What `random_graphs.py` draws seldom has a batch. Here every input has n rows, every Variable has
none, and operations are drawn that keep rows apart more often than not.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from abstract_models import STOPS, Leaf, Model, Step, without_dead
from random_graphs import ROW_WEIGHTS, Drawing, Rejected, _try, chosen_operation

KEEPING = (
    *("matmul", "matmul", "matmul", "einsum", "softmax", "log_softmax", "norm", "reduce_sum"),
    *("reduce_mean", "reduce_max", "reduce_logsumexp", "concat", "slice", "expand_dims"),
    *("transpose", "reshape", "stack", "one_hot", "gather", "squeeze"),
)
MIXING = ("sort", "cumsum", "flip", "pad", "reduce_variance", "unsorted_segment_sum", "top_k")
FLAT = frozenset({"floor", "ceil", "round", "sign"})
"""What moves in steps alone: a loss that a Variable reaches only through it is not trained."""

ENDS = ("reduce_sum", "reduce_mean", "l2_loss")


def batch_model(seed: int) -> Model:
    """A model from a seed; its Variables are all reached from the loss."""
    for attempt in range(1000):
        rng = np.random.default_rng([seed, attempt, 1])
        try:
            model = _drawn(rng)
        except Rejected:
            continue
        if trainable(model):
            return model
    raise AssertionError(f"no model is drawn from seed {seed}")


def trainable(model: Model) -> bool:
    """Whether the loss moves with every Variable, and one there is."""
    variables = [
        number
        for number, node in enumerate(model.nodes)
        if isinstance(node, Leaf) and node.kind == "Variable"
    ]
    return bool(variables) and set(variables) <= set(model.reached(stops=STOPS | FLAT))


def _drawn(rng: np.random.Generator) -> Model:
    drawing = Drawing(rng, True)
    n = drawing.sizes
    inner, outer = ((int(size),) * 2 for size in rng.choice([1, 2, 3, 4, 5], 2, replace=False))
    x = drawing.leaf([n, inner], "placeholder")
    w = drawing.leaf([inner, outer], "Variable")
    drawing.leaf([drawing.one_of([inner, outer])] if drawing.coin(0.8) else [], "Variable")
    if drawing.coin():
        drawing.leaf([n] if drawing.coin() else [n, outer], "placeholder")
    if drawing.coin(0.8):
        drawing.step("matmul", x, w, a=False, b=False)
    steps = int(rng.integers(2, 10))
    for _ in range(4 * steps):
        if len(drawing.nodes) >= steps + 4:
            break
        _try(drawing, chosen_operation(rng, _operations(drawing)))
    loss = _ended(drawing)
    return without_dead(Model(tuple(drawing.nodes[: loss + 1]), n, ()))


def _operations(drawing: Drawing) -> Sequence[str]:
    if drawing.coin(0.05):
        return MIXING
    return KEEPING if drawing.coin(0.35) else list(ROW_WEIGHTS)


def _ended(drawing: Drawing) -> int:
    """Sums of what is computed last and of what nothing reads, and their sum."""
    read = {one for node in drawing.nodes if isinstance(node, Step) for one in node.sources}
    floats = [one.number for one in drawing.known if one.kind == "float"]
    steps = [one for one in floats if isinstance(drawing.nodes[one], Step)]
    unread = [one for one in floats if one not in read and one not in steps[-1:]]
    total: int | None = None
    for end in [*steps[-1:], *unread]:
        name = drawing.one_of(ENDS)
        how = {} if name == "l2_loss" else {"axis": None, "keepdims": False}
        end = drawing.step(name, end, **how)
        total = end if total is None else drawing.step("add", total, end)
    if total is None:
        raise Rejected
    return drawing.step("tanh", total) if drawing.coin(0.2) else total
