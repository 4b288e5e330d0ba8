"""Names in a Session: placeholders are told from sizes, and from what functions call their own."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import symflow as sf

NAMES = (
    *("n", "m", "p", "np", "dtype", "special", "Array", "Any", "run", "len", "float", "range"),
    *("result", "total_n", "x_t", "fetch_0", "rate", "step", "value", "axis", "n_2", "np_", "self"),
)


def test_a_placeholder_beside_a_size_of_its_name() -> None:
    x = sf.placeholder(shape=("n",), name="x")
    n = sf.placeholder(shape=(), name="n")
    with sf.Session() as session:
        assert_array_equal(session.run(x * n, {x: [1, 2, 3], n: 10}), [10, 20, 30])


@pytest.mark.parametrize("name", NAMES)
def test_a_placeholder_of_any_name(name: str) -> None:
    x = sf.placeholder(shape=("n",), name=name)
    z = sf.placeholder(shape=("n", "m"), name="z")
    w = sf.Variable(2.0, name="w")
    y = x * sf.reduce_sum(sf.ones_like(x)) + w * sf.reduce_mean(z, 1)
    padded = sf.pad(sf.ones_like(z), [[0, 0], [1, 0]])
    given = {x: [1.0, 2.0, 3.0], z: np.full((3, 2), 0.5)}
    with sf.Session() as session:
        one, other = session.run([y, padded], given)
    assert_array_equal(one, [4.0, 7.0, 10.0])
    assert_array_equal(other, [[0, 1, 1]] * 3)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "optimizer", [sf.train.GradientDescentOptimizer, sf.train.AdamOptimizer], ids=["plain", "Adam"]
)
def test_a_variable_of_any_name(name: str, optimizer: type[sf.train.Optimizer]) -> None:
    found = []
    for called in (name, "harmless"):
        with sf.Graph().as_default():
            x = sf.placeholder(shape=("n",), name="x")
            w = sf.Variable([0.1, -0.2], name=called)
            h = sf.tanh(x[:, None] * w)
            loss = sf.reduce_mean(sf.square(h)) + sf.reduce_sum(w) / sf.reduce_sum(sf.ones_like(x))
            train = optimizer(0.1).minimize(loss)
            with sf.Session(trace_nan=True) as session:
                for _ in range(3):
                    session.run(train, {x: [1.0, -0.5, 2.0]})
                found.append(session.run([w, loss], {x: [1.0, -0.5, 2.0]}))
    assert_array_equal(found[0][0], found[1][0])
    assert found[0][1] == found[1][1]


def test_where_a_nan_began_is_told_by_the_users_names() -> None:
    x = sf.placeholder(shape=("n",), name="given")
    y = sf.log(x, name="self")
    with sf.Session(trace_nan=True) as session:
        assert_allclose(session.run(y, {x: [1.0]}), [0.0])
        with pytest.raises(FloatingPointError, match=r"self.* is nan at \[1\].*given\[1\] = -1"):
            session.run(y + 1.0, {x: [1.0, -1.0]})
