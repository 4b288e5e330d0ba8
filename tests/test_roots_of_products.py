"""Roots of sums of products at rows of zeros: where all of a row is 0, no weight changes its root.

The right values are sums over the other rows, in closed form.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from styles import styles

import symflow as sf

X = np.array([[0.0, 0.0, 0.0], [1.0, 2.0, 3.0], [0.5, 0.0, 2.0], [0.0, 0.0, 0.0]])
W = np.array([0.1, 0.2, 0.3])
Y = np.array([2.0, -1.0, 3.0, 0.5])

Model = Callable[[Any, Any], Any]

SUMS: dict[str, Model] = {
    "a matrix and a vector": lambda x, w: x @ w,
    "a matrix and a column": lambda x, w: sf.squeeze(x @ sf.expand_dims(w, 1), 1),
    "a vector and a matrix": lambda x, w: w @ sf.transpose(x),
    "a sum of products": lambda x, w: sf.reduce_sum(x * w, 1),
    "tensordot": lambda x, w: sf.tensordot(x, w, 1),
    "einsum": lambda x, w: sf.einsum("ij,j->i", x, w),
    "einsum of columns": lambda x, w: sf.einsum("ji,j->i", sf.transpose(x), w),
    "with a factor": lambda x, w: 2.0 * (x @ w) / 2.0,
}
"""x·w in every row."""

ROOTS: dict[str, tuple[Model, Callable[[Any], Any]]] = {
    "square root": (lambda u, y: y * sf.sqrt(u), lambda u: 0.5 / np.sqrt(u)),
    "power": (lambda u, y: y * u**0.75, lambda u: 0.75 * u**-0.25),
    "cubic root": (lambda u, y: y * sf.cbrt(u), lambda u: u ** (-2 / 3) / 3),
    "entropy": (lambda u, y: y * u * sf.log(u), lambda u: np.log(u) + 1),
    "root of a root": (lambda u, y: y * sf.sqrt(sf.sqrt(u)), lambda u: 0.25 * u**-0.75),
    "difference of roots": (
        lambda u, y: y * (sf.sqrt(u) - sf.sqrt(2.0 * u)),
        lambda u: (1 - np.sqrt(2.0)) * 0.5 / np.sqrt(u),
    ),
}
"""What is made of u ≥ 0, times y; and its slope where u > 0."""


def right(root: str) -> Any:
    rows = np.any(X != 0, axis=1)
    return (Y[rows] * ROOTS[root][1](X[rows] @ W)) @ X[rows] / len(X)


@pytest.mark.parametrize("root", ROOTS)
@pytest.mark.parametrize("sum_", SUMS)
def test_a_row_of_zeros_has_no_slope(sum_: str, root: str) -> None:
    x, w, y = (sf.placeholder(sf.float64, one.shape) for one in (X, W, Y))
    loss = sf.reduce_mean(ROOTS[root][0](SUMS[sum_](x, w), y))
    with np.errstate(all="ignore"):
        found = sf.Session().run(sf.gradients(loss, [w]), {x: X, w: W, y: Y})
    np.testing.assert_allclose(found[0], right(root), rtol=1e-13)


def test_beside_what_is_not_zero_the_slope_is_infinite() -> None:
    """√(x·w + b) at x = 0, b = 0: no weight changes it, b does."""
    x, w, b = (sf.placeholder(sf.float64, one) for one in ((2, 3), (3,), ()))
    slopes = sf.gradients(sf.reduce_sum(sf.sqrt(x @ w + b)), [w, b])
    with np.errstate(all="ignore"):
        by_w, by_b = sf.Session().run(slopes, {x: X[:2], w: W, b: 0.0})
    np.testing.assert_allclose(by_w, X[1] * 0.5 / np.sqrt(X[1] @ W), rtol=1e-14)
    assert by_b == np.inf
    with np.errstate(all="ignore"):  # where x is not 0, but x·w is
        by_w, _ = sf.Session().run(slopes, {x: [[1.0, 0.0, 2.0], X[1]], w: 0 * W, b: 0.0})
    np.testing.assert_array_equal(by_w, [np.inf, np.inf, np.inf])


def test_second_derivative() -> None:
    x, w = sf.placeholder(sf.float64, (2, 3)), sf.placeholder(sf.float64, (3,))
    (slope,) = sf.gradients(sf.reduce_sum(sf.sqrt(x @ w)), [w])
    with np.errstate(all="ignore"):
        (found,) = sf.Session().run(sf.gradients(sf.reduce_sum(slope), [w]), {x: X[1:3], w: W})
    u = X[1:3] @ W
    expected = -0.25 * (u**-1.5 * X[1:3].sum(1)) @ X[1:3]
    np.testing.assert_allclose(found, expected, rtol=1e-13)


MODULE = """
import numpy as np
import symflow as sf
x = sf.placeholder(shape=("n", 3), name="x")
y = sf.placeholder(shape=("n",), name="y")
w = sf.Variable(np.array([0.1, 0.2, 0.3]), name="w")
loss = sf.reduce_mean(y * {root})
"""


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_modules_in_blocks(dtype: str, tmp_path: Path) -> None:
    (tmp_path / "model.py").write_text(MODULE.format(root="sf.sqrt(x @ w)"), encoding="utf-8")
    pair = styles(tmp_path / "model.py", dtype)
    assert pair.has_blocks
    x, y = np.tile(X, (3, 1)), np.tile(Y, 3)
    close = 1e-13 if dtype == "float64" else 1e-5
    for made in (pair.plain, pair.fast):
        parameters = made.initial_parameters(dtype=np.dtype(dtype))
        with np.errstate(all="ignore"):
            found = made.gradients(parameters, x=x.astype(dtype), y=y.astype(dtype))
        np.testing.assert_allclose(found.w, right("square root"), rtol=close)


@pytest.mark.parametrize("root", ["sf.sqrt(1.0 + sf.square(x @ w))", "sf.log1p(sf.exp(x @ w))"])
def test_products_stay_products_where_nothing_is_infinite(root: str, tmp_path: Path) -> None:
    (tmp_path / "model.py").write_text(MODULE.format(root=root), encoding="utf-8")
    pair = styles(tmp_path / "model.py")
    assert all("_masked" not in made.SOURCE for made in (pair.plain, pair.fast))
