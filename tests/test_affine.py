"""Contractions of differences: fewer operations, and no digits lost to a common offset."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from test_simplification import compiled, lines

import symflow as sf
from symflow.program import check


def pairs(k: int, d: int, rows: int | str = "n") -> tuple[sf.Tensor, list[sf.Tensor]]:
    """Σ_nki (Σ_j w[k, i, j]·(tanh(x)[n, j] - m[k, j]))², squashed; x, m and w."""
    x = sf.placeholder(shape=(rows, d), name="x")
    m = sf.Variable(np.zeros((k, d)), name="m")
    w = sf.Variable(np.zeros((k, d, d)), name="w")
    white = sf.einsum("kij,nkj->nki", w, sf.tanh(x)[:, None, :] - m)
    distance = sf.reduce_sum(sf.square(white), axis=2)
    return sf.reduce_sum(sf.log1p(distance), name="loss"), [x, m, w]


def mixture(k: int, d: int, rows: int, dtype: str = "float64") -> tuple[sf.Tensor, Any]:
    """Σ_n log Σ_k exp(-½ Σ_i (Σ_j w[k, i, j]·(x[n, j] - m[k, j]))²); and x, m and w."""
    x = sf.placeholder(np.dtype(dtype), (rows, d), name="x")
    m = sf.placeholder(np.dtype(dtype), (k, d), name="m")
    w = sf.placeholder(np.dtype(dtype), (k, d, d), name="w")
    white = sf.einsum("kij,nkj->nki", w, x[:, None, :] - m)
    exponents = -0.5 * sf.reduce_sum(sf.square(white), axis=2)
    return sf.reduce_sum(sf.reduce_logsumexp(exponents, axis=1), name="loss"), (x, m, w)


def test_differences_of_what_is_computed_are_matrix_products() -> None:
    loss, (_, m, w) = pairs(25, 10)
    program = compiled(loss, m, w)
    shapes = [[str(size) for size in one.type.shape] for one in check(program).definitions]
    assert shapes.count(["n", "25", "10"]) <= 4  # product, difference, gradient, and a factor of it
    assert not any(len(shape) > 3 for shape in shapes)
    assert "jkl" not in "\n".join(lines(program))


@pytest.mark.parametrize("widths", [1.0, 64.0, 8192.0])
@pytest.mark.parametrize("offset", [0.0, 1000.0, 2.4e4])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_centres_far_from_each_other_cost_no_digits(
    widths: float, offset: float, dtype: str
) -> None:
    """Rows lie beside one centre each; all others are as many widths away. Against the same in
    numbers of 64 binary digits."""
    random = np.random.default_rng(0)
    loss, (x, m, w) = mixture(25, 10, 40, dtype)
    centres = (widths * random.normal(size=(25, 10)) + offset).astype(dtype)
    rows = (centres[np.arange(40) % 25] + 0.3 * random.normal(size=(40, 10))).astype(dtype)
    roots = random.normal(size=(25, 10, 10)).astype(dtype)
    found = sf.Session().run([loss, *sf.gradients(loss, [m, w])], {x: rows, m: centres, w: roots})
    differences = rows.astype(np.longdouble)[:, None] - centres.astype(np.longdouble)
    white = np.einsum("kij,nkj->nki", roots.astype(np.longdouble), differences)
    exponents = -(white**2).sum(axis=2) / 2
    largest = exponents.max(axis=1, keepdims=True)
    densities = np.exp(exponents - largest)
    upstream = -white * (densities / densities.sum(axis=1, keepdims=True))[:, :, None]
    expected = [
        (np.log(densities.sum(axis=1)) + largest[:, 0]).sum(),
        -np.einsum("nki,kij->kj", upstream, roots),
        np.einsum("nki,nkj->kij", upstream, differences),
    ]
    for value, true in zip(found, expected, strict=True):
        assert np.abs(value - true).max() <= 40 * np.finfo(dtype).eps * np.abs(true).max()


def test_without_the_rule_everything_is_as_written() -> None:
    random = np.random.default_rng(0)
    loss, (x, _, _) = pairs(25, 10)
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
