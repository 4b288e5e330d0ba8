"""Logits that a mask takes out with -∞: what is summed over them is the sum over those that stay.

The right values are closed forms of the logits that stay, in 50 digits.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import mpmath
import numpy as np
import pytest
from mpmath import mpf
from styles import styles

import symflow as sf

Z = [[1.0, 2.0, 3.0, -0.5], [0.0, 1.0, 0.25, 2.0], [0.5, -0.5, 700.0, 1.0]]
MASK = [[True, True, False, True], [True, True, True, True], [False, True, False, False]]
LABELS = [[0.0, 1.0, 0.0, 0.0], [0.25, 0.75, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0]]
CHOSEN = [1, 3, 1]

Row = Sequence[Any]


def logs(z: Row) -> list[Any]:
    total = mpmath.log(mpmath.fsum(map(mpmath.exp, z)))
    return [one - total for one in z]


def cross_entropy(z: Row, t: Row) -> Any:
    return -mpmath.fsum(a * b for a, b in zip(t, logs(z), strict=True))


def divergence(z: Row, t: Row) -> Any:
    return cross_entropy(z, t) + mpmath.fsum(a * mpmath.log(a) for a in t if a)


def entropy(z: Row, t: Row) -> Any:
    return -mpmath.fsum(mpmath.exp(one) * one for one in logs(z))


def to_half(z: Row, t: Row) -> Any:
    """Σ p·(log p - log q), where q has half of the logits."""
    halves = logs([one / 2 for one in z])
    return mpmath.fsum(mpmath.exp(a) * (a - b) for a, b in zip(logs(z), halves, strict=True))


Model = Callable[[Any, Any, Any], Any]

MODELS: dict[str, tuple[Model, Callable[[Row, Row], Any]]] = {
    "log of softmax": (lambda q, t, m: -sf.reduce_sum(t * sf.log(sf.softmax(q))), cross_entropy),
    "log_softmax": (lambda q, t, m: -sf.reduce_sum(t * sf.log_softmax(q)), cross_entropy),
    "from the weights' side": (
        lambda q, t, m: sf.reduce_sum(sf.reduce_sum(-t * sf.log_softmax(q), 1)),
        cross_entropy,
    ),
    "cross entropy with logits": (
        lambda q, t, m: sf.reduce_sum(sf.nn.softmax_cross_entropy_with_logits(labels=t, logits=q)),
        cross_entropy,
    ),
    "minus logsumexp": (
        lambda q, t, m: -sf.reduce_sum(t * (q - sf.reduce_logsumexp(q, 1, keepdims=True))),
        cross_entropy,
    ),
    "minus logsumexp without keepdims": (
        lambda q, t, m: -sf.reduce_sum(t * (q - sf.expand_dims(sf.reduce_logsumexp(q, 1), 1))),
        cross_entropy,
    ),
    "minus the log of a sum": (
        lambda q, t, m: (
            -sf.reduce_sum(t * (q - sf.log(sf.reduce_sum(sf.exp(q), 1, keepdims=True))))
        ),
        cross_entropy,
    ),
    "minus the log of a sum without keepdims": (
        lambda q, t, m: (
            -sf.reduce_sum(t * (q - sf.expand_dims(sf.log(sf.reduce_sum(sf.exp(q), 1)), 1)))
        ),
        cross_entropy,
    ),
    "the log of a sum minus": (
        lambda q, t, m: sf.reduce_sum(t * (sf.log(sf.reduce_sum(sf.exp(q), 1, keepdims=True)) - q)),
        cross_entropy,
    ),
    "of twice the logits": (
        lambda q, t, m: (
            -sf.reduce_sum(t * (2 * q - sf.log(sf.reduce_sum(sf.exp(2 * q), 1, keepdims=True))))
        ),
        lambda z, t: cross_entropy([2 * one for one in z], t),
    ),
    "xlogy": (lambda q, t, m: -sf.reduce_sum(sf.xlogy(t, sf.softmax(q))), cross_entropy),
    "divergence of a quotient": (
        lambda q, t, m: sf.reduce_sum(t * sf.log(t / sf.softmax(q))),
        divergence,
    ),
    "divergence of a difference": (
        lambda q, t, m: sf.reduce_sum(t * (sf.log(t) - sf.log_softmax(q))),
        divergence,
    ),
    "entropy": (
        lambda q, t, m: (lambda p: -sf.reduce_sum(p * sf.log(p)))(sf.softmax(q)),
        entropy,
    ),
    "entropy by log_softmax": (
        lambda q, t, m: -sf.reduce_sum(sf.softmax(q) * sf.log_softmax(q)),
        entropy,
    ),
    "entropy by exp": (
        lambda q, t, m: (lambda own: -sf.reduce_sum(sf.exp(own) * own))(sf.log_softmax(q)),
        entropy,
    ),
    "two distributions": (
        lambda q, t, m: sf.reduce_sum(sf.softmax(q) * (sf.log_softmax(q) - sf.log_softmax(q / 2))),
        to_half,
    ),
    "a bonus for entropy": (
        lambda q, t, m: (
            sf.reduce_sum(0.5 * sf.softmax(q) * sf.log_softmax(q))
            - sf.reduce_sum(t * sf.log_softmax(q))
        ),
        lambda z, t: cross_entropy(z, t) - entropy(z, t) / 2,
    ),
    "logsumexp": (
        lambda q, t, m: sf.reduce_sum(sf.reduce_logsumexp(q, 1)),
        lambda z, t: mpmath.log(mpmath.fsum(map(mpmath.exp, z))),
    ),
    "one-hot": (
        lambda q, t, m: -sf.reduce_sum(sf.one_hot(CHOSEN, 4) * sf.log(sf.softmax(q))),
        lambda z, t: None,
    ),
}
"""A loss of masked logits, labels and the mask, and what a row adds to it."""


def kept(row: Sequence[Any], mask: Sequence[bool]) -> list[Any]:
    return [mpf(one) for one, stays in zip(row, mask, strict=True) if stays]


def right(name: str) -> tuple[float, list[list[float]]]:
    """The loss and its slopes by all logits, those that are taken out among them."""
    of_row = MODELS[name][1]
    if name == "one-hot":
        of_row = cross_entropy
    with mpmath.workdps(60):
        total, slopes, step = mpf(0), [], mpf(10) ** -25
        for at, (z, t, m) in enumerate(zip(Z, LABELS, MASK, strict=True)):
            weights = [float(k == CHOSEN[at]) for k in range(4)] if name == "one-hot" else t
            z, t = kept(z, m), kept(weights, m)
            total += of_row(z, t)
            found = iter(
                (
                    of_row([*z[:k], z[k] + step, *z[k + 1 :]], t)
                    - of_row([*z[:k], z[k] - step, *z[k + 1 :]], t)
                )
                / (2 * step)
                for k in range(len(z))
            )
            slopes.append([float(next(found)) if stays else 0.0 for stays in m])
        return float(total), slopes


@pytest.mark.parametrize("how", ["where", "added"])
@pytest.mark.parametrize("name", MODELS)
def test_what_is_masked_counts_as_nothing(name: str, how: str) -> None:
    z, t = (sf.placeholder(sf.float64, (3, 4)) for _ in range(2))
    m = sf.placeholder(sf.bool, (3, 4))
    q = sf.where(m, z, -np.inf) if how == "where" else z + sf.where(m, 0.0, -np.inf)
    loss = MODELS[name][0](q, t, m)
    with np.errstate(all="ignore"):
        value, slope = sf.Session().run(
            [loss, *sf.gradients(loss, [z])], {z: Z, t: LABELS, m: MASK}
        )
    expected, slopes = right(name)
    np.testing.assert_allclose(value, expected, rtol=1e-14)
    np.testing.assert_allclose(slope, slopes, rtol=1e-13, atol=1e-15)


def test_the_loss_of_the_issue() -> None:
    """A one-hot label, three logits of which one is taken out."""
    z, t = (sf.placeholder(sf.float64, (3,)) for _ in range(2))
    q = sf.where(sf.constant([True, True, False]), z, -np.inf)
    loss = -sf.reduce_sum(t * sf.log(sf.softmax(q)))
    value = sf.Session().run(loss, {z: [2.0, 1.0, 5.0], t: [0.0, 1.0, 0.0]})
    assert value == pytest.approx(1.3132616875182228, rel=1e-15)


def test_a_weight_on_what_is_taken_out_is_infinite() -> None:
    z = sf.placeholder(sf.float64, (3,))
    q = sf.where(sf.constant([True, True, False]), z, -np.inf)
    loss = -sf.reduce_sum(sf.constant([0.5, 0.0, 0.5]) * sf.log_softmax(q))
    assert sf.Session().run(loss, {z: [2.0, 1.0, 5.0]}) == np.inf


def test_a_temperature_of_zero_does_not_take_the_mask_away() -> None:
    """0·∞ is 0 beside log p alone: a masked logit times 0 is no logit of 0."""
    z, beta = sf.placeholder(sf.float64, (3,)), sf.placeholder(sf.float64, ())
    q = sf.where(sf.constant([True, True, False]), z, -np.inf)
    for scaled in (beta * q, beta * (q - sf.reduce_max(q))):
        with np.errstate(all="ignore"):
            found = sf.Session().run(sf.softmax(scaled), {z: [2.0, 1.0, 5.0], beta: 0.0})
        assert np.all(np.isnan(found))


def test_a_row_in_which_nothing_is_left() -> None:
    """No limit is the same from all sides: -∞ and NaN, without a slope."""
    z, m = sf.placeholder(sf.float64, ("n", 2)), sf.placeholder(sf.bool, ("n", 2))
    q = sf.where(m, z, -np.inf)
    total, p = sf.reduce_logsumexp(q, 1), sf.softmax(q)
    fetches = [total, p, *sf.gradients(sf.reduce_sum(total), [z])]
    fetches += sf.gradients(sf.reduce_sum(sf.square(p)), [z])
    with np.errstate(all="ignore"):
        totals, shares, *slopes = sf.Session().run(
            fetches, {z: [[1.0, 2.0], [1.0, 1.0]], m: [[False, False], [True, True]]}
        )
    assert totals[0] == -np.inf
    assert np.all(np.isnan(shares[0]))
    np.testing.assert_array_equal([one[0] for one in slopes], 0.0)
    np.testing.assert_allclose(totals[1], 1.0 + np.log(2.0), rtol=1e-15)


MODULE = """
import numpy as np
import symflow as sf
x = sf.placeholder(shape=("n", 3), name="x")
t = sf.placeholder(shape=("n", 4), name="t")
m = sf.placeholder(sf.bool, shape=("n", 4), name="m")
w = sf.Variable(np.arange(12.0).reshape(3, 4) / 10, name="w")
q = sf.where(m, x @ w, -np.inf)
loss = -sf.reduce_mean(sf.reduce_sum(t * sf.log_softmax(q), 1))
"""


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_modules_in_blocks(dtype: str, tmp_path: Path) -> None:
    (tmp_path / "model.py").write_text(MODULE, encoding="utf-8")
    pair = styles(tmp_path / "model.py", dtype)
    random = np.random.default_rng(0)
    x, w = random.normal(size=(13, 3)).astype(dtype), pair.plain.initial_parameters().w
    m = random.random((13, 4)) < 0.6
    m[:, 2] = True
    t = np.eye(4, dtype=dtype)[np.where(m[:, 0], 0, 2)]
    logits = np.where(m, np.float64(x) @ np.float64(w), -np.inf)
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    loss = -np.log(p[t == 1]).mean()
    slope = np.float64(x).T @ (p - t) / 13
    for made in (pair.plain, pair.fast):
        parameters = made.initial_parameters(dtype=np.dtype(dtype))
        with np.errstate(all="ignore"):
            found, gradient = made.loss_and_gradients(parameters, x=x, t=t, m=m)
        close = 1e-13 if dtype == "float64" else 1e-5
        np.testing.assert_allclose(found, loss, rtol=close)
        np.testing.assert_allclose(gradient.w, slope, rtol=close, atol=close)
