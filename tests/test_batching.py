"""Which axis is the batch: what is free, a row, a sum over rows, or computed from sums."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import symflow as sf
from symflow.batching import LEAST_ROWS, Batch, batched, places
from symflow.compiler import compile_stages
from symflow.graph import Tensor, Variable
from symflow.lowering import Request, needed
from symflow.naming import label_nodes
from symflow.program import Program, dimension

MANY = LEAST_ROWS


def program_of(text: str) -> Program:
    """The loss of a text, and its derivatives by all Variables."""
    names: dict[str, Any] = {"sf": sf, "np": np, "MANY": MANY}
    exec(text, names)
    loss = names["loss"]
    by = [one for one in names.values() if isinstance(one, Variable)]
    bound = {id(one): name for name, one in names.items() if isinstance(one, Tensor)}
    labels = label_nodes(needed([loss, *by]), bound)
    derivatives = {f"d_{labels[id(one)].name}": (loss, one) for one in by}
    request = Request({"loss": loss}, derivatives, labels, {})
    return dict(compile_stages(loss.graph, request))["simplify"]


def batch_of(text: str) -> Batch | None:
    program = program_of(text)
    return batched(program, list(program.outputs.values()))


def results(batch: Batch) -> dict[str, str]:
    """The place of the loss, and of the derivative by each Variable."""
    return {name: batch.places[one] for name, one in batch.program.outputs.items()}


X = "x = sf.placeholder(shape=('n', 3), name='x')\n"
W = "w = sf.Variable(sf.ones(3), name='w')\n"
XW = X + W
M = "m = sf.Variable(sf.ones((3, 4)), name='m')\n"
K = "k = sf.placeholder(sf.int64, ('n',), name='k')\n"

BATCHES = {
    "a sum over all rows": (
        XW + "loss = sf.reduce_sum(sf.sin(x * w))",
        ("n", {"x": 0}, {"loss": "sum", "d_w": "sum"}),
    ),
    "a mean": (
        XW + "loss = sf.reduce_mean(sf.sin(x * w))",
        ("n", {"x": 0}, {"loss": "after", "d_w": "after"}),
    ),
    "a function of a sum": (
        XW + "loss = sf.sqrt(sf.reduce_sum(sf.square(x * w)))",
        ("n", {"x": 0}, {"loss": "after", "d_w": "after"}),
    ),
    "a penalty": (
        XW + "loss = sf.reduce_sum(sf.sin(x * w)) + sf.l2_loss(w)",
        ("n", {"x": 0}, {"loss": "after", "d_w": "after"}),
    ),
    "a perceptron": (
        X + M + "v = sf.Variable(sf.ones(4), name='v')\n"
        "loss = sf.reduce_sum(sf.sin(sf.tanh(x @ m) @ v))",
        ("n", {"x": 0}, {"loss": "sum", "d_m": "after", "d_v": "sum"}),  # times v, at the end
    ),
    "a softmax of every row": (
        X + M + K + "loss = sf.reduce_sum(sf.nn.softmax_cross_entropy_with_logits("
        "labels=sf.one_hot(k, 4), logits=x @ m))",
        ("n", {"x": 0, "k": 0}, {"loss": "after", "d_m": "sum"}),
    ),
    "rows on the last axis": (
        "x = sf.placeholder(shape=(3, 'n'), name='x')\n" + W + "loss = sf.reduce_sum("
        "sf.sin(sf.transpose(x) * w))",
        ("n", {"x": 1}, {"loss": "sum", "d_w": "sum"}),
    ),
    "rows in the middle": (
        "x = sf.placeholder(shape=(5, 'n', 3), name='x')\n"
        "y = sf.placeholder(shape=('n',), name='y')\n" + W + "loss = sf.reduce_sum("
        "sf.sin(sf.reduce_sum(sf.sin(x * w), axis=(0, 2)) - y))",
        ("n", {"x": 1, "y": 0}, {"loss": "sum", "d_w": "sum"}),
    ),
    "whichever comes first": (
        "x = sf.placeholder(shape=('n', 't', 3), name='x')\n" + W + "loss = sf.reduce_sum("
        "sf.sin(x * w))",
        ("n", {"x": 0}, {"loss": "sum", "d_w": "sum"}),
    ),
    "the other size where the first is none": (
        "x = sf.placeholder(shape=('t', 'n', 3), name='x')\n" + W + "loss = sf.reduce_sum("
        "sf.sin(sf.reduce_max(x * w, axis=0)))",
        ("n", {"x": 1}, {"loss": "sum", "d_w": "sum"}),
    ),
    "the shape of rows changed": (
        "x = sf.placeholder(shape=('n', 12), name='x')\n" + W + "loss = sf.reduce_sum("
        "sf.sin(sf.reshape(x, ('n', 4, 3)) * w))",
        ("n", {"x": 0}, {"loss": "sum", "d_w": "sum"}),
    ),
    "rows one after the other": (
        "x = sf.placeholder(shape=('n', 8, 8, 3), name='x')\n" + M + "loss = sf.reduce_sum("
        "sf.sin(sf.reshape(x, (-1, 3)) @ m))",
        ("n", {"x": 0}, {"loss": "sum", "d_m": "sum"}),
    ),
    "images": (
        "x = sf.placeholder(shape=('n', 8, 8, 1), name='x')\n"
        "m = sf.Variable(sf.ones((3, 3, 1, 2)), name='m')\n"
        "y = sf.nn.max_pool(sf.nn.conv2d(x, m, 1, 'SAME'), 2, 2, 'VALID')\n"
        "loss = sf.reduce_sum(sf.sin(y))",
        ("n", {"x": 0}, {"loss": "sum", "d_m": "after"}),
    ),
    "parts of rows side by side": (
        XW + "loss = sf.reduce_sum(sf.sin(sf.concat([x * w, x[:, 1:]], axis=1)))",
        ("n", {"x": 0}, {"loss": "sum", "d_w": "sum"}),
    ),
    "rows of a table, and what is added to them": (
        X + K + "e = sf.Variable(sf.ones((5, 3)), name='e')\n"
        "loss = sf.reduce_sum(sf.sin(sf.gather(e, k) * x))",
        ("n", {"x": 0, "k": 0}, {"loss": "sum", "d_e": "sum"}),
    ),
    "words of a sentence": (
        "k = sf.placeholder(sf.int64, ('n', 't'), name='k')\n"
        "e = sf.Variable(sf.ones((5, 3)), name='e')\n"
        "loss = sf.reduce_sum(sf.square(sf.reduce_mean(sf.gather(e, k), axis=1)))",
        ("n", {"k": 0}, {"loss": "sum", "d_e": "sum"}),
    ),
    "many rows, counted in the model": (
        f"x = sf.placeholder(shape=({MANY}, 3), name='x')\n" + W + "loss = sf.reduce_mean("
        "sf.sin(x * w))",
        (MANY, {"x": 0}, {"loss": "after", "d_w": "after"}),
    ),
    "rows of a parameter": (
        f"x = sf.placeholder(shape=({MANY}, 3), name='x')\n" + W + "v = sf.Variable("
        f"sf.ones(({MANY}, 3)), name='v')\nloss = sf.reduce_sum(sf.sin(x * w + v))",
        (MANY, {"x": 0, "v": 0}, {"loss": "sum", "d_w": "sum", "d_v": "row"}),
    ),
    "a matrix of sums": (
        XW + "loss = sf.log(sf.matrix_determinant(sf.transpose(x) @ x + sf.matrix_diag(w)))",
        ("n", {"x": 0}, {"loss": "after", "d_w": "after"}),
    ),
    "a gradient of rows in the loss": (
        XW + "g = sf.gradients(sf.reduce_sum(sf.sin(x * w)), x)[0]\n"
        "loss = sf.reduce_sum(sf.sin(g))",
        ("n", {"x": 0}, {"loss": "sum", "d_w": "after"}),
    ),
}


@pytest.mark.parametrize(("text", "wanted"), BATCHES.values(), ids=BATCHES)
def test_there_is_a_batch(text: str, wanted: Any) -> None:
    batch = batch_of(text)
    assert batch is not None
    assert (str(batch.size), dict(batch.axes), results(batch)) == (str(wanted[0]), *wanted[1:])


NONE = {
    "no rows": W + "loss = sf.reduce_sum(sf.sin(w))",
    "few rows": (
        f"x = sf.placeholder(shape=({MANY - 1}, 3))\n{W}loss = sf.reduce_sum(sf.sin(x * w))"
    ),
    "every row with every row": XW + "loss = sf.reduce_sum(sf.sin((x * w) @ sf.transpose(x)))",
    "a square of rows": (
        "x = sf.placeholder(shape=('n', 'n'))\nw = sf.Variable(1.0)\n"
        "loss = sf.reduce_sum(sf.sin(x * w))"
    ),
    "sums up to a row": XW + "loss = sf.reduce_sum(sf.sin(sf.cumsum(x * w, axis=0)))",
    "rows in order": XW + "loss = sf.reduce_sum(sf.sin(sf.sort(x * w, axis=0)))",
    "the largest row": XW + "loss = sf.reduce_sum(sf.reduce_max(x * w, axis=0))",
    "a product of rows": XW + "loss = sf.reduce_sum(sf.reduce_prod(x * w, axis=0))",
    "a softmax over rows": XW + "loss = sf.reduce_sum(sf.sin(sf.softmax(x * w, axis=0)))",
    "a stable sum over rows": XW + "loss = sf.reduce_logsumexp(x * w)",
    "a mean that is taken from rows": (
        XW + "z = x * w\nloss = sf.reduce_sum(sf.sin(z - sf.reduce_mean(z, axis=0)))"
    ),
    "normal rows": (
        XW + "z = sf.tanh(x * w)\nmean, variance = sf.nn.moments(z, [0])\nloss = sf.reduce_sum("
        "sf.sin(sf.nn.batch_normalization(z, mean, variance, None, None, 1e-3)))"
    ),
    "rows from the last to the first": XW + "loss = sf.reduce_sum(sf.sin(sf.flip(x, 0) * x * w))",
    "the row before": XW + "loss = sf.reduce_sum(sf.sin(x[1:] * x[:-1] * w))",
    "every second row": XW + "loss = sf.reduce_sum(sf.sin(x[::2] * w))",
    "one row": XW + "loss = sf.reduce_sum(sf.sin(x[0] * w))",
    "rows twice": XW + "loss = sf.reduce_sum(sf.sin(sf.concat([x, x * w], axis=0)))",
    "a row of zeros in front": XW + "loss = sf.reduce_sum(sf.cos(sf.pad(x * w, ((1, 0), (0, 0)))))",
    "which rows": (
        XW + "r = sf.placeholder(sf.int64, (4,))\nloss = sf.reduce_sum(sf.sin(sf.gather(x * w, r)))"
    ),
    "one step per row": (
        XW + "loss = sf.reduce_sum(sf.scan(lambda h, e: sf.tanh(h * w + e), x, sf.zeros(3)))"
    ),
    "the place of a row in a triangle": (
        XW + "loss = sf.reduce_sum(sf.matrix_band_part(sf.sin(x * w), 1, 0))"
    ),
    "windows over rows": (
        XW + "loss = sf.reduce_sum(sf.sin(sf.nn.max_pool1d("
        "sf.expand_dims(x * w, 0), 2, 2, 'VALID')))"
    ),
}


@pytest.mark.parametrize("text", NONE.values(), ids=NONE)
def test_there_is_no_batch(text: str) -> None:
    assert batch_of(text) is None


def test_the_two_numbers_of_rows_are_told_apart() -> None:
    """In a block `n` counts its rows, and a mean is divided by the number of all."""
    batch = batch_of(XW + "loss = sf.reduce_mean(sf.sin(x * w) * w)")
    assert batch is not None
    assert (batch.rows, batch.total) == (dimension("n"), dimension("total_n"))
    bodies = [getattr(one.value, "body", None) for one in batch.program.definitions]
    symbols = set().union(*(one.free_symbols for one in bodies if one is not None))
    assert batch.total in symbols
    assert batch.rows not in symbols


def test_names_of_sizes_are_not_taken_twice() -> None:
    batch = batch_of(
        "n = sf.placeholder(shape=(), name='n')\n"
        f"x = sf.placeholder(shape=({MANY}, 3), name='x')\n"
        + W
        + "loss = sf.reduce_sum(sf.sin(x * w * n))"
    )
    assert batch is not None
    assert str(batch.rows) == "n_"
    batch = batch_of(
        X + "total_n = sf.Variable(sf.ones(3), name='total_n')\n"
        "loss = sf.reduce_mean(sf.sin(x * total_n))"
    )
    assert batch is not None
    assert str(batch.total) == "total_n_"


def test_names_come_before_numbers() -> None:
    batch = batch_of(
        f"x = sf.placeholder(shape=('n', {MANY}), name='x')\nw = sf.Variable(sf.ones({MANY}), "
        "name='w')\nloss = sf.reduce_sum(sf.sin(x * w))"
    )
    assert batch is not None
    assert (batch.size, dict(batch.axes)) == (dimension("n"), {"x": 0})
    assert results(batch) == {"loss": "sum", "d_w": "sum"}


def test_what_is_asked_for_decides() -> None:
    """Another result of the program may mix rows as it likes."""
    program = program_of(XW + "loss = sf.reduce_sum(sf.sin(x * w))")
    outputs = program.outputs
    batch = batched(program, [outputs["loss"]])
    assert batch is not None
    assert batch.places[outputs["loss"]] == "sum"
    found = places(batch, batch.program, list(outputs.values()))
    assert [found[one] for one in outputs.values()] == ["sum", "sum"]
    assert batched(program, [program.inputs[0]]) is None
