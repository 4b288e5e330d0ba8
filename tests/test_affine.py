"""Contractions of differences: fewer operations, and no digits lost to a common offset."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from test_simplification import compiled, lines

import symflow as sf
from symflow.program import check
from symflow.testing import check_gradients


def mixture(k: int, d: int, rows: int | str = "n") -> tuple[sf.Tensor, list[sf.Tensor]]:
    """Σ_nki (Σ_j w[k, i, j]·(x[n, j] - m[k, j]))², squashed; x, m and w."""
    x = sf.placeholder(shape=(rows, d), name="x")
    m = sf.Variable(np.zeros((k, d)), name="m")
    w = sf.Variable(np.zeros((k, d, d)), name="w")
    white = sf.einsum("kij,nkj->nki", w, x[:, None, :] - m)
    distance = sf.reduce_sum(sf.square(white), axis=2)
    return sf.reduce_sum(sf.log1p(distance), name="loss"), [x, m, w]


def test_a_mixture_of_gaussians_is_matrix_products() -> None:
    loss, (_, m, w) = mixture(25, 10)
    program = compiled(loss, m, w)
    shapes = [[str(size) for size in one.type.shape] for one in check(program).definitions]
    assert shapes.count(["n", "25", "10"]) <= 4  # product, difference, gradient, and a factor of it
    assert not any(len(shape) > 3 for shape in shapes)
    text = "\n".join(lines(program))
    assert "jkl" not in text
    assert text.count("x - m_mean") == 1


@pytest.mark.parametrize("offset", [0.0, 1000.0])
def test_a_common_offset_costs_no_digits(offset: float) -> None:
    random = np.random.default_rng(0)
    loss, _ = mixture(25, 10, rows=40)
    m = random.normal(size=(25, 10)) + offset
    x = m[random.integers(0, 25, 40)] + 0.3 * random.normal(size=(40, 10))
    at = {"x": x, "m": m, "w": random.normal(size=(25, 10, 10))}
    assert "m_mean" in "\n".join(lines(compiled(loss)))
    results = check_gradients(loss, at=at, most=40)
    assert all(one.error < 1e-13 for one in results), results


def test_without_the_rule_everything_is_as_written() -> None:
    random = np.random.default_rng(0)
    loss, (x, _, _) = mixture(25, 10)
    feed = {x: random.normal(size=(7, 10))}
    with sf.Session() as one, sf.Session(without=["affine-contraction"]) as other:
        assert math.isclose(one.run(loss, feed), other.run(loss, feed), rel_tol=1e-13)
    with pytest.raises(sf.SymflowError):
        sf.Session(without=["affine"])


@pytest.mark.parametrize(
    ("subscripts", "left", "right"),
    [
        ("kij,nkj->nki", (40, 6, 5), lambda a, b: a[:, None, :] - b),
        ("kij,nkj->ikn", (40, 6, 5), lambda a, b: 0.5 * (a[:, None, :] + b)),
        ("kij,nkj->ki", (40, 6, 5), lambda a, b: b - a[:, None, :]),
        ("kij,nkj->k", (40, 6, 5), lambda a, b: a[:, None, :] - 2.0 * b + 1.0),
        ("jk,nkj->n", (5, 40), lambda a, b: sf.exp(a)[:, None, :] - sf.tanh(b)),
    ],
)
def test_values_stay(subscripts: str, left: tuple[int, ...], right: Any) -> None:
    random = np.random.default_rng(0)
    a, b = sf.placeholder(shape=("n", 5)), sf.placeholder(shape=(40, 5))
    w = sf.placeholder(shape=left)
    result = sf.einsum(subscripts, w, right(a, b))
    slopes = sf.gradients(sf.reduce_sum(sf.sin(result)), [a, b, w])
    feed = {
        one: random.normal(size=[30 if s == "n" else s for s in shape])
        for one, shape in ((a, ("n", 5)), (b, (40, 5)), (w, left))
    }
    with sf.Session() as one, sf.Session(without=["affine-contraction"]) as other:
        found, expected = (each.run([result, *slopes], feed) for each in (one, other))
    for left_value, right_value in zip(found, expected, strict=True):
        scale = np.abs(right_value).max()
        np.testing.assert_allclose(left_value, right_value, rtol=1e-11, atol=1e-13 * scale)


def test_a_small_difference_stays() -> None:
    """One that is no larger than its terms is formed."""
    x = sf.placeholder(shape=("n", 5), name="x")
    m = sf.Variable(np.zeros(5), name="m")
    w = sf.Variable(np.zeros((5, 3)), name="w")
    assert lines(compiled((x - m) @ w)) == ["(x - m) @ w"] or "x - m" in lines(
        compiled((x - m) @ w)
    )
