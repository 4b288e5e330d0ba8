"""Loops with a carried state once more, by hand: one step after another."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from independent_operations import Drawn, operation

STEPS = {"scaled": "sf.tanh(h * {2} + e)", "mixed": "sf.sin(h @ {2} + e * h)"}
"""What becomes of a carry h with an entry e and a shared operand."""


def _through(m: Any, x: Sequence[Any], t: Sequence[Any], step: str, reverse: bool) -> Any:
    """The carry after every step, and how it moves."""
    elems, carry, shared = x
    d_elems, d_carry, d_shared = (
        np.zeros_like(one) if moved is None else moved for one, moved in zip(x, t, strict=True)
    )
    results = {}
    order = range(elems.shape[1])
    for at in reversed(order) if reverse else order:
        entry, d_entry = elems[:, at], d_elems[:, at]
        if step == "scaled":
            inside = d_carry * shared + carry * d_shared + d_entry
            carry = m.tanh(carry * shared + entry)
            d_carry = (1 - carry * carry) * inside
        else:
            product = np.einsum("zi,zij->zj", d_carry, shared)
            inside = product + np.einsum("zi,zij->zj", carry, d_shared)
            inside = inside + d_entry * carry + entry * d_carry
            outside = np.einsum("zi,zij->zj", carry, shared) + entry * carry
            carry, d_carry = m.sin(outside), m.cos(outside) * inside
        results[at] = carry, d_carry
    return tuple(np.stack([results[at][one] for at in order], axis=1) for one in (0, 1))


def _draw(drawing: Any) -> Drawn:
    step = drawing.one_of(list(STEPS))
    rank = 2 if step == "mixed" else None
    elems = drawing.floating(
        lambda node: (
            0 < node.rank < 4 and rank in (None, node.rank) and drawing.nameable(node.dims[1:])
        )
    )
    if elems is None:
        return None
    dims = drawing.dims(elems)[1:]
    initial = drawing.floating(lambda node: node.dims == dims)
    wanted = dims if step == "scaled" else dims * 2
    shared = drawing.floating(lambda node: node.dims == wanted)
    if initial is None:
        initial = drawing.leaf(dims)
    if shared is None or drawing.coin(0.3):
        shared = drawing.leaf(wanted)
    return [elems, initial, shared], {"step": step, "reverse": drawing.coin(0.3)}


def _written(elems: str, initial: str, shared: str, step: str, reverse: bool) -> str:
    body = STEPS[step].format(elems, initial, shared)
    return f"sf.scan(lambda h, e: {body}, {elems}, {initial}, reverse={reverse})"


operation(
    "scan",
    _written,
    lambda m, x, **how: _through(m, x, [None] * 3, **how)[0],
    _draw,
    lambda m, x, t, y, **how: _through(m, x, t, **how)[1],
    weight=1.5,
)
