"""Losses of several open sizes, in blocks of rows: the numbers of all rows, whatever the cut."""

from __future__ import annotations

from collections.abc import Callable
from inspect import signature
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

Array = Any

N_M = 'z = sf.placeholder(shape=("n", "m"), name="z")\n'
M_N = 'z = sf.placeholder(shape=("m", "n"), name="z")\n'
N = 'y = sf.placeholder(shape=("n",), name="y")\n'
Q = 'q = sf.placeholder(shape=("m",), name="q")\n'
W = "w = sf.Variable(1.5, name='w')\n"
V = "v = sf.Variable([0.3, -0.2], name='v')\n"
SQUARES = " + w*sf.reduce_mean(sf.square(y))"

# The text of a model, and its loss written in NumPy, of its inputs by name and of its parameters.
CASES: dict[str, tuple[str, Callable[..., Any]]] = {
    "ones beside zeros": (
        N_M + N + W + "g = sf.concat([sf.ones_like(z), sf.zeros_like(z)], 1)\n"
        "loss = w*sf.reduce_mean(g)" + SQUARES,
        lambda w, z, y: w * 0.5 + w * np.mean(y**2),
    ),
    "ones that are padded": (
        N_M + N + W + "loss = w*sf.reduce_sum(sf.pad(sf.ones_like(z), [[0, 0], [1, 2]]))" + SQUARES,
        lambda w, z, y: w * z.size + w * np.mean(y**2),
    ),
    "a sum per row of ones": (
        N_M + N + W + "loss = w*sf.reduce_sum(sf.exp(sf.reduce_sum(sf.ones_like(z), 1)))" + SQUARES,
        lambda w, z, y: w * len(z) * np.exp(z.shape[1]) + w * np.mean(y**2),
    ),
    "ones times rows": (
        N_M + N + W + "loss = w*sf.reduce_sum(sf.reduce_sum(sf.ones_like(z), 1)*y)" + SQUARES,
        lambda w, z, y: w * z.shape[1] * y.sum() + w * np.mean(y**2),
    ),
    "size of a later input": (
        N + N_M + W + "loss = w*sf.reduce_mean(sf.pad(sf.ones_like(z), [[0, 0], [1, 0]]))"
        " + w*sf.reduce_sum(sf.square(y))",
        lambda w, y, z: w * z.shape[1] / (1 + z.shape[1]) + w * np.sum(y**2),
    ),
    "transposed for its size": (
        M_N + N + W + "loss = w*sf.reduce_sum(sf.pad(sf.ones_like(z), [[1, 0], [0, 0]]))" + SQUARES,
        lambda w, z, y: w * z.size + w * np.mean(y**2),
    ),
    "transposed, and read": (
        M_N + N + W + "loss = w*sf.reduce_mean(sf.exp(sf.transpose(z)*y[:, None]))" + SQUARES,
        lambda w, z, y: w * np.mean(np.exp(z.T * y[:, None])) + w * np.mean(y**2),
    ),
    "transposed, rows second": (
        N + M_N + W + "loss = w*sf.reduce_mean(sf.square(sf.reduce_sum(z, 0) - y))",
        lambda w, y, z: w * np.mean((z.sum(0) - y) ** 2),
    ),
    "broadcast to rows": (
        Q + N + W + 'g = sf.broadcast_to(q, ("n", "m"))\n'
        "loss = w*sf.reduce_sum(sf.exp(g)*y[:, None]) + w*sf.reduce_mean(sf.square(y))",
        lambda w, q, y: w * (np.exp(q).sum() * y.sum()) + w * np.mean(y**2),
    ),
    "broadcast, apart from the rows": (
        Q + N + W + 'g = sf.broadcast_to(q, ("n", "m"))\nloss = w*sf.reduce_mean(sf.exp(g))'
        + SQUARES,
        lambda w, q, y: w * np.mean(np.exp(q)) + w * np.mean(y**2),
    ),
    "broadcast, the rows first": (
        N + Q + W + 'g = sf.broadcast_to(q, ("n", "m"))\nloss = w*sf.reduce_sum(sf.exp(g))'
        + SQUARES,
        lambda w, y, q: w * len(y) * np.exp(q).sum() + w * np.mean(y**2),
    ),
    "broadcast and padded": (
        N + Q + W + 'g = sf.pad(sf.broadcast_to(q, ("n", "m")), [[0, 0], [1, 1]])\n'
        "loss = w*sf.reduce_sum(sf.exp(g))" + SQUARES,
        lambda w, y, q: w * len(y) * (np.exp(q).sum() + 2) + w * np.mean(y**2),
    ),
    "one more than the rows": (
        N + W + "loss = w*sf.reduce_sum(sf.exp(sf.ones_like(sf.pad(y, [[1, 0]]))))" + SQUARES,
        lambda w, y: w * np.e * (len(y) + 1) + w * np.mean(y**2),
    ),
    "rows and their number": (
        N + W + "loss = w*sf.reduce_sum(y)*sf.reduce_sum(sf.ones_like(y)) + sf.square(w)",
        lambda w, y: w * y.sum() * len(y) + w**2,
    ),
    "their number within rows": (
        N_M + N + W + "loss = w*sf.reduce_sum(sf.sin(y/sf.reduce_sum(sf.ones_like(z))))" + SQUARES,
        lambda w, z, y: w * np.sum(np.sin(y / z.size)) + w * np.mean(y**2),
    ),
    "a mean within rows": (
        N_M + Q + W + "loss = w*sf.reduce_mean(sf.square(sf.reduce_mean(z*q, 1)))",
        lambda w, z, q: w * np.mean(np.mean(z * q, 1) ** 2),
    ),
    "square, for its size": (
        'k = sf.placeholder(shape=("n", "n"), name="k")\n' + N + W
        + "loss = w*sf.reduce_sum(sf.ones_like(k))" + SQUARES,
        lambda w, k, y: w * k.size + w * np.mean(y**2),
    ),
    "square and with a third size": (
        'k = sf.placeholder(shape=("n", "n", "m"), name="k")\n' + N + W
        + "loss = w*sf.reduce_sum(sf.pad(y[:, None]*sf.ones_like(k[0]), [[0, 0], [0, 1]]))"
        + SQUARES,
        lambda w, k, y: w * k.shape[2] * y.sum() + w * np.mean(y**2),
    ),
    "two sizes that count": (
        N + 'u = sf.placeholder(shape=("m",), name="u")\n' + W
        + "loss = w*sf.reduce_mean(sf.square(y)) + w*sf.reduce_mean(sf.exp(u))",
        lambda w, y, u: w * np.mean(y**2) + w * np.mean(np.exp(u)),
    ),
    "a size of a size": (
        N_M + 'u = sf.placeholder(shape=("m", 2), name="u")\n' + V
        + "loss = sf.reduce_mean(sf.square(z @ (u @ v))) + sf.reduce_sum(sf.square(u @ v))",
        lambda v, z, u: np.mean((z @ (u @ v)) ** 2) + np.sum((u @ v) ** 2),
    ),
    "parameters over both": (
        N_M + N + V + "loss = sf.reduce_mean(sf.square(v[0]*sf.reduce_sum(z, 1) - v[1]*y))"
        " + sf.reduce_mean(sf.pad(v[0]*sf.ones_like(z), [[0, 0], [0, 1]]))",
        lambda v, z, y: np.mean((v[0] * z.sum(1) - v[1] * y) ** 2)
        + v[0] * z.shape[1] / (z.shape[1] + 1),
    ),
}  # fmt: skip

TRAIN = "sf.train.GradientDescentOptimizer(1e-6).minimize(loss)\n"
BLOCK = 8


def inputs(text: str, n: int, seed: int) -> dict[str, Array]:
    """Values for the placeholders of a model, with 5 for m."""
    rng = np.random.default_rng(seed)
    shapes = {
        "z": (n, 5) if N_M in text else (5, n),
        "y": (n,),
        "q": (5,),
        "k": (n, n, 5) if '"n", "n", "m"' in text else (n, n),
        "u": (5, 2) if '("m", 2)' in text else (5,),
    }
    order = [one for one in shapes if f'name="{one}"' in text]
    return {name: rng.normal(size=shapes[name]) for name in order}


@pytest.mark.parametrize("case", CASES)
def test_blocks_of_several_sizes(compiled: Callable[..., ModuleType], case: str) -> None:
    text, right = CASES[case]
    model = f"import symflow as sf\n{text}\n{TRAIN}"
    plain = compiled(model, "plain")
    fast = compiled(model, "fast")
    p = fast.initial_parameters()
    value = float(p[0]) if p[0].ndim == 0 else p[0]
    if hasattr(fast, "BLOCK"):
        fast.BLOCK = BLOCK
    for n in (1, BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK + 7):
        given = inputs(text, n, n)
        wanted = right(value, **given)
        given = {name: given[name] for name in given if name in signature(plain.train).parameters}
        written = plain.loss_and_gradients(p, **given)
        assert_allclose(written[0], wanted, rtol=1e-12)
        for threads in (1, 2) if hasattr(fast, "BLOCK") else (None,):
            how = {} if threads is None else {"threads": threads}
            loss, gradients = fast.loss_and_gradients(p, **given, **how)
            assert_allclose(loss, wanted, rtol=1e-12)
            assert_array_equal(fast.loss(p, **given, **how), loss)
            for got, known in zip(gradients, written[1], strict=True):
                assert_allclose(got, known, rtol=1e-11, atol=1e-13)
        known = plain.train(p, **given, steps=4)
        assert_allclose(known.losses[0], wanted, rtol=1e-12)
        if hasattr(fast, "BREAK_EVEN"):
            fast.BREAK_EVEN = n % 2 * 100  # by moments of the data, and by the data
        trained = fast.train(p, **given, steps=4)
        assert_allclose(trained.losses, known.losses, rtol=1e-9)
        for got, other in zip(trained.parameters, known.parameters, strict=True):
            assert_allclose(got, other, rtol=1e-9)


@pytest.mark.parametrize("n", [20_000, 65_537])
def test_each_block_counts_its_own_rows(compiled: Callable[..., ModuleType], n: int) -> None:
    text, _ = CASES["ones beside zeros"]
    module = compiled(f"import symflow as sf\n{text}\n")
    assert n > module.BLOCK
    loss = module.loss(module.initial_parameters(), np.zeros((n, 2)), np.ones(n))
    assert_allclose(loss, 2.25, rtol=1e-12)
