"""Random models whose rows can be told apart: of data with n rows, and shared weights.

What `random_graphs.py` draws seldom has a batch. Here every input has n rows, every Variable has
none, and operations are drawn that keep rows apart more often than not.
"""

from __future__ import annotations

import numpy as np
from abstract_models import Leaf, Model, without_dead
from random_graphs import ROW_WEIGHTS, Drawing, Rejected, _finish, _try, chosen_operation

MOVING = (
    *("matmul", "matmul", "matmul", "softmax", "log_softmax", "reduce_sum", "reduce_mean", "norm"),
    *("reduce_max", "reduce_logsumexp", "concat", "slice", "expand_dims", "one_hot", "gather"),
    *("transpose", "reshape", "stack", "where", "pad", "cumsum", "flip", "sort", "einsum"),
)


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
    """Whether the loss reaches every Variable, and one there is."""
    variables = [
        number
        for number, node in enumerate(model.nodes)
        if isinstance(node, Leaf) and node.kind == "Variable"
    ]
    return bool(variables) and set(variables) <= set(model.reached())


def _drawn(rng: np.random.Generator) -> Model:
    drawing = Drawing(rng, True)
    n = drawing.sizes
    inner, outer = ((size, size) for size in rng.choice([1, 2, 3, 4, 5], 2, replace=False))
    drawing.leaf([n, inner], "placeholder")
    drawing.leaf([inner, outer], "Variable")
    drawing.leaf([drawing.one_of([inner, outer])] if drawing.coin(0.8) else [], "Variable")
    if drawing.coin():
        drawing.leaf([n] if drawing.coin() else [n, outer], "placeholder")
    steps = int(rng.integers(2, 10))
    for at in range(4 * steps):
        if len(drawing.nodes) >= steps + 4:
            break
        wanted = list(MOVING if drawing.coin(0.45) else ROW_WEIGHTS)
        _try(drawing, "matmul" if at == 0 else chosen_operation(rng, wanted))
    loss = _finish(drawing, 0.5)
    model = Model(tuple(drawing.nodes[: loss + 1]), n, ())
    return without_dead(model)
