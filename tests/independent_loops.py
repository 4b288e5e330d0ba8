"""Loops with a carried state once more, by hand: one step after another."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
from independent_operations import Drawn, operation
from independent_rows import ROWS

from symflow.rows import ROWS as SYMFLOW_ROWS

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


# --- loops over everything ---------------------------------------------------------------------

SMOOTH = [
    name
    for name, row in ROWS.items()
    if row.kinks is None
    and all(low <= -1 and high >= 1 for low, high in SYMFLOW_ROWS[name].domain)
    and name not in ("to_float", "where", "logical_not")
]
"""Rows that a carry between -1 and 1 can go through, one operand or two."""

HEADS = ("softmax", "logsumexp", "l2_normalize", "masked", "row")
"""What is done with h and e in a step: among them the steps of an HMM and of a Kalman filter."""

HEAD_TEXTS = {
    "softmax": "sf.softmax(h * s + e)",
    "logsumexp": "sf.reduce_logsumexp(sf.expand_dims(h, -1) + s, axis=0) + 0.5 * e",
    "l2_normalize": "sf.nn.l2_normalize(h + s + 0.25 * e, axis=0)",
    "masked": "sf.where(e > 0.0, sf.tanh(h * s), h + e)",
}


def _head(m: Any, head: str, rows: Sequence[str], h: Any, e: Any, s: Any, t: Sequence[Any]) -> Any:
    """A step's value and tangent; arrays have the samples in front."""
    d_h, d_e, d_s = t
    if head == "softmax":
        inside, d_inside = h * s + e, d_h * s + h * d_s + d_e
        powers = m.exp(inside)
        y = powers / np.sum(powers, axis=-1, keepdims=True)
        return y, y * (d_inside - np.sum(y * d_inside, axis=-1, keepdims=True))
    if head == "logsumexp":
        powers = m.exp(h[..., :, None] + s)
        total = np.sum(powers, axis=-2)
        moved = np.sum(powers * (d_h[..., :, None] + d_s), axis=-2) / total
        return m.log(total) + e / 2, moved + d_e / 2
    if head == "l2_normalize":
        v, d_v = h + s + e / 4, d_h + d_s + d_e / 4
        size = m.sqrt(np.sum(v * v, axis=-1, keepdims=True))
        y = v / size
        return y, (d_v - y * np.sum(y * d_v, axis=-1, keepdims=True)) / size
    if head == "masked":
        y = m.tanh(h * s)
        yes = (1 - y * y) * (d_h * s + h * d_s)
        chosen = m.real(e) > 0
        return np.where(chosen, y, h + e), np.where(chosen, yes, d_h + d_e)
    value, tangent = h, d_h
    for name in rows:
        row = ROWS[name]
        operands = [value, e][: len(row.partials)]
        moved = [tangent, d_e][: len(row.partials)]
        y = row.value(m, *operands)
        slopes = [one(m, *operands, y) for one in row.partials]
        value, tangent = y, sum(a * b for a, b in zip(slopes, moved, strict=True))
    inside, d_inside = value * s, tangent * s + value * d_s
    y = m.tanh(inside)
    return y, (1 - y * y) * d_inside


def _loop(m: Any, x: Any, t: Any, head: str, rows: Sequence[str], reverse: bool) -> Any:
    elems, carry, shared = x
    d_elems, d_carry, d_shared = (
        np.zeros_like(one) if moved is None else moved for one, moved in zip(x, t, strict=True)
    )
    results = {}
    order = range(elems.shape[1])
    for at in reversed(order) if reverse else order:
        entry = elems[:, at], d_elems[:, at]
        tangents = d_carry, entry[1], d_shared
        carry, d_carry = _head(m, head, rows, carry, entry[0], shared, tangents)
        results[at] = np.broadcast_arrays(carry, d_carry)
    return tuple(np.stack([results[at][one] for at in order], axis=1) for one in (0, 1))


def _draw_loop(drawing: Any) -> Drawn:
    head = drawing.one_of(HEADS)
    elems = drawing.floating(
        lambda node: node.rank == 2 and drawing.nameable(node.dims) and node.dims[1][0] > 0
    )
    if elems is None:
        return None
    size = drawing.dims(elems)[1:]
    wanted = size * 2 if head == "logsumexp" else size
    initial = drawing.floating(lambda node: node.dims == size)
    shared = drawing.floating(lambda node: node.dims == wanted)
    if head in ("row", "masked", "softmax"):
        elems = drawing.within(elems, -1, 1)
    if initial is None or drawing.coin(0.2):
        initial = drawing.leaf(size)
    if head == "row":
        initial = drawing.within(initial, -1, 1)
    if shared is None or drawing.coin(0.3):
        shared = drawing.leaf(wanted)
    rows = tuple(drawing.shuffled(SMOOTH)[: drawing.integer(1, 3)])
    first = ROWS[rows[0]]
    if len(rows) > 1 and len(first.partials) == 1:
        rows = (rows[0], "sin")  # what comes out of a row may be large
    how = {"head": head, "rows": rows[:2], "reverse": drawing.coin(0.3)}
    return [elems, initial, shared], how


def _loop_text(
    elems: str, initial: str, shared: str, head: str, rows: Sequence[str], reverse: bool
) -> str:
    body = HEAD_TEXTS.get(head, "")
    if head == "row":
        body = "h"
        for name in rows:
            body = ROWS[name].text.format(body, "e")
        body = f"sf.tanh(({body}) * s)"
    body = re.sub(r"\bs\b", shared, body)
    return f"sf.scan(lambda h, e: {body}, {elems}, {initial}, reverse={reverse})"


operation(
    "loop",
    _loop_text,
    lambda m, x, **how: _loop(m, x, [None] * 3, **how)[0],
    _draw_loop,
    lambda m, x, t, y, **how: _loop(m, x, t, **how)[1],
    kinks=lambda m, x, head, rows, reverse: [x[0]] if head == "masked" else [],
    weight=0.0,
)
