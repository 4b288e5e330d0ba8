"""Models that people ask about, beside the same formulas by hand in NumPy.

Regression of every kind, survival, mixtures, rankings, likelihoods of matrices, losses of nets,
curves, geometry, derivatives in a loss: in both styles and precisions, by rows of all numbers,
at ordinary data and at zeros, ties and extremes, and trained. Gradients are complex steps.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from public import called
from scipy import special
from styles import module

import symflow as sf
from symflow.compilation import Style
from symflow.testing import assert_valid

RNG = np.random.default_rng(11)
Numbers = dict[str, Any]
STYLES: tuple[Style, ...] = ("fast", "plain")
RATE = 1e-4


@dataclass(frozen=True)
class Case:
    """A model: its lines, its Variables, what it is fed, and its loss by hand.

    also   other data, or other values of the Variables
    fixed  whether the number of rows is that of the data
    """

    lines: str
    start: Numbers
    fed: Numbers
    loss: Callable[..., Any]
    also: tuple[Numbers, ...] = ()
    fixed: bool = False
    rows: tuple[int, ...] = (1, 4, 5, 19)
    close: float = 1e-9

    text: str = field(init=False)

    def __post_init__(self) -> None:
        head = ["import numpy as np", "import symflow as sf", ""]
        for name, value in self.fed.items():
            shape = value.shape if self.fixed else ("n", *value.shape[1:])
            dtype = {"b": "sf.bool, ", "i": "sf.int64, "}.get(value.dtype.kind, "")
            head.append(f"{name} = sf.placeholder({dtype}shape={shape})")
        for name, value in self.start.items():
            head.append(f"{name} = sf.Variable(np.array({np.asarray(value, float).tolist()}))")
        end = f"train_op = sf.train.GradientDescentOptimizer({RATE}).minimize(loss)\n"
        object.__setattr__(self, "text", "\n".join([*head, self.lines, end]))

    def points(self) -> list[tuple[Numbers, Numbers]]:
        """Values of the Variables, and data of so many rows."""
        found = []
        for other in ({}, *self.also):
            start = {
                name: np.asarray(other.get(name, at), float) for name, at in self.start.items()
            }
            fed = {name: other.get(name, at) for name, at in self.fed.items()}
            for rows in (0,) if self.fixed or not fed else self.rows:
                given = {
                    name: at[np.arange(rows) % len(at)] if rows else at for name, at in fed.items()
                }
                found.append((start, given))
        return found

    def slopes(self, start: Numbers, fed: Numbers) -> Numbers:
        """The derivatives of the loss by a complex step."""
        found = {}
        for name, value in start.items():
            found[name] = np.zeros_like(value)
            for entry in np.ndindex(value.shape):
                moved = np.array(value, complex)
                moved[entry] += 1e-30j
                found[name][entry] = self.loss(**{**start, name: moved}, **fed).imag / 1e-30
        return found


# --- functions that take complex numbers -----------------------------------------------------


def sigmoid(x: Any) -> Any:
    return np.exp(-softplus(-x))


def softplus(x: Any) -> Any:
    up = x.real > 0
    return np.where(up, x, 0) + np.log1p(np.exp(np.where(up, -x, x)))


def logsumexp(x: Any, axis: int = -1) -> Any:
    top = np.max(x.real, axis=axis, keepdims=True)
    total = np.log(np.sum(np.exp(x - top), axis=axis, keepdims=True)) + top
    return np.squeeze(total, axis=axis)


def log_softmax(x: Any) -> Any:
    return x - np.expand_dims(logsumexp(x), -1)


def softmax(x: Any) -> Any:
    return np.exp(log_softmax(x))


def size(x: Any) -> Any:
    return np.where(x.real >= 0, x, -x)


def relu(x: Any) -> Any:
    return np.where(x.real > 0, x, 0)


lgamma = special.loggamma


# --- data --------------------------------------------------------------------------------

X = RNG.normal(size=(7, 3))
ZEROS = np.where(RNG.random((7, 3)) < 0.5, 0.0, X)
Y = RNG.normal(size=7)
POSITIVE = RNG.gamma(2.0, 1.0, 7) + 0.1
COUNTS = np.array([0, 1, 3, 0, 2, 5, 1])
TRUE = np.array([1, 0, 1, 1, 0, 0, 1])
KINDS = np.array([0, 2, 1, 2, 0, 0, 1])
FIRST, SECOND = np.array([0, 1, 2, 3, 0, 1, 2]), np.array([1, 2, 3, 0, 2, 3, 2])
ORDERS = np.stack([RNG.permutation(4) for _ in range(7)])
ALLOWED = RNG.random((7, 4)) < 0.6
ALLOWED[np.arange(7), KINDS] = True
W = np.array([0.3, -0.2, 0.5])
LAYER = RNG.normal(size=(3, 4))
LINE = np.linspace(-1.0, 1.0, 6)
RISK = np.array([[1.0, 0.2, 0.1], [0.2, 0.5, 0.0], [0.1, 0.0, 0.3]])
DISTANCES = np.array([[0.0, 1, 2, 1], [1, 0, 1, 2], [2, 1, 0, 1], [1, 2, 1, 0]])
CONSTANT = {"x": 0.0 * X}
HUGE = {"x": 1e6 * X}


# --- by hand --------------------------------------------------------------------------------


def gamma_regression(w: Any, a: Any, x: Any, y: Any) -> Any:
    k, mean = np.exp(a), np.exp(x @ w)
    parts = k * np.log(k / mean) - lgamma(k) + (k - 1) * np.log(y) - k * y / mean
    return -np.sum(parts)


def negative_binomial(w: Any, a: Any, x: Any, y: Any) -> Any:
    r, mean = softplus(a), np.exp(x @ w)
    counts = lgamma(y + r) - lgamma(r) - lgamma(y + 1)
    return -np.mean(counts + r * np.log(r / (r + mean)) + y * np.log(mean / (r + mean)))


def tweedie(w: Any, x: Any, y: Any) -> Any:
    mean = np.exp(x @ w)
    return np.mean(2 * (y**0.5 / -0.25 - y * mean**-0.5 / -0.5 + mean**0.5 / 0.5))


def zero_inflated(w: Any, a: Any, x: Any, y: Any) -> Any:
    mean = np.exp(x @ w)
    none = logsumexp(np.stack([a + 0 * mean, -mean], axis=-1))
    some = -mean + y * np.log(mean) - lgamma(y + 1)
    return -np.mean(np.where(y == 0, none, some) - softplus(a + 0 * mean))


def ordinal(w: Any, c: Any, x: Any, k: Any) -> Any:
    cuts = [c[0], c[0] + np.exp(c[1]), c[0] + np.exp(c[1]) + np.exp(c[2])]
    below = [0.0, *(sigmoid(cut - x @ w) for cut in cuts), 1.0]
    return -np.mean(sum((k == at) * np.log(below[at + 1] - below[at]) for at in range(4)))


def cox(w: Any, x: Any, t: Any, e: Any) -> Any:
    risk = x @ w
    return -sum(
        e[at] * (risk[at] - logsumexp(risk[t >= t[at]])) for at in range(len(t))
    ) + 0 * np.sum(risk)


def weibull(w: Any, a: Any, x: Any, t: Any, e: Any) -> Any:
    k, u = np.exp(a), np.log(t) - x @ w
    return -np.mean(e * (a - x @ w + (k - 1) * u) - np.exp(k * u))


def mixture(m: Any, s: Any, l: Any, y: Any) -> Any:  # noqa: E741
    z = (y[:, None] - m) / np.exp(s)
    return -np.mean(logsumexp(log_softmax(l) - 0.5 * z**2 - s - 0.5 * np.log(2 * np.pi)))


def plackett_luce(s: Any, r: Any) -> Any:
    return -np.mean([sum(s[one[at]] - logsumexp(s[one[at:]]) for at in range(4)) for one in r])


def gaussian_process(t: Any, x: Any, y: Any) -> Any:
    apart = (x[:, None] - x) ** 2
    k = np.exp(t[1] - apart / (2 * np.exp(2 * t[0]))) + np.exp(t[2]) * np.eye(len(x))
    return 0.5 * y @ np.linalg.solve(k, y) + 0.5 * np.log(np.linalg.det(k))


def linear_chain(t: Any, w: Any, x: Any, k: Any) -> Any:
    scores = x @ w
    alpha = scores[0]
    for row in scores[1:]:
        alpha = logsumexp(alpha[:, None] + t, 0) + row
    path = np.sum(scores[np.arange(len(k)), k]) + np.sum(t[k[:-1], k[1:]])
    return logsumexp(alpha) - path


def attention(q: Any, k: Any, v: Any, x: Any) -> Any:
    rows = []
    for at in range(len(x)):
        scores = ((x[at] @ q) @ (x[: at + 1] @ k).T) / np.sqrt(3.0)
        rows.append(softmax(scores) @ (x[: at + 1] @ v))
    return np.mean(np.array(rows) ** 2)


def masked(w: Any, x: Any, ok: Any, k: Any) -> Any:
    scores = x @ w
    return np.mean(
        [logsumexp(row[one]) - row[at] for row, one, at in zip(scores, ok, k, strict=True)]
    )


def triplet(w: Any, x: Any, y: Any, z: Any) -> Any:
    near, far = (np.sum(((x - other) @ w) ** 2, axis=1) for other in (y, z))
    return np.mean(relu(near - far + 0.2))


def batch_normalized(w: Any, g: Any, b: Any, x: Any, y: Any) -> Any:
    h = x @ w
    h = h - np.mean(h, axis=0)
    z = g * h / np.sqrt(np.mean(h**2, axis=0) + 1e-3) + b
    return np.mean((np.sum(np.tanh(z), axis=1) - y) ** 2)


def autoencoder(u: Any, v: Any, x: Any, e: Any) -> Any:
    mean, spread = (x @ u)[:, :2], (x @ u)[:, 2:]
    logits = (mean + np.exp(0.5 * spread) * e) @ v
    rebuilt = np.sum(softplus(logits) - sigmoid(x) * logits, axis=1)
    return np.mean(rebuilt - 0.5 * np.sum(1 + spread - mean**2 - np.exp(spread), axis=1))


def planar_flow(w: Any, u: Any, b: Any, x: Any) -> Any:
    u = u + (softplus(w @ u) - 1 - w @ u) * w / (w @ w)
    t = np.tanh(x @ w + b)
    z = x + t[:, None] * u
    return np.mean(0.5 * np.sum(z**2, axis=1) - np.log(size(1 + (1 - t**2) * (w @ u))))


def haversine(c: Any, x: Any, y: Any) -> Any:
    across = np.cos(x[:, 0]) * np.cos(c[0]) * np.sin((x[:, 1] - c[1]) / 2) ** 2
    a = np.sin((x[:, 0] - c[0]) / 2) ** 2 + across
    return np.mean((2 * np.arcsin(np.sqrt(a)) - y) ** 2)


def angles(w: Any, m: Any, x: Any, y: Any) -> Any:
    apart = y - 2 * np.arctan(x @ w) - m
    return np.mean((apart - 2 * np.pi * np.round(apart.real / (2 * np.pi))) ** 2)


def density(x: Any) -> Any:
    return np.exp(-x * x / 2) / np.sqrt(2 * np.pi)


def greeks(s: Any, v: Any, x: Any, t: Any) -> Any:
    d = (np.log(s / x) + (0.02 + v**2 / 2) * t) / (v * np.sqrt(t))
    delta, vega = 0.5 * special.erfc(-d / np.sqrt(2)), s * density(d) * np.sqrt(t)
    return np.sum(delta + 0.1 * vega + density(d) / (s * v * np.sqrt(t)))


def penalty(w: Any, v: Any, x: Any) -> Any:
    h = np.tanh(x @ w)
    slope = np.sqrt(np.sum((((1 - h**2) * v) @ w.T) ** 2, axis=1))
    return np.mean(h @ v) + 10 * np.mean((slope - 1) ** 2)


def laplace(w: Any, x: Any, y: Any) -> Any:
    z = x @ w
    curved = (x.T * (sigmoid(z) * sigmoid(-z))) @ x + np.eye(3)
    fit = np.sum(softplus(z) - y * z) + 0.5 * w @ w
    return fit + 0.5 * np.log(np.linalg.det(curved))


def physics(w: Any, b: Any, v: Any, x: Any) -> Any:
    h = np.tanh(x[:, None] * w + b)
    first, second = ((1 - h**2) * w) @ v, (-2 * h * (1 - h**2) * w**2) @ v
    return np.mean((second + h @ v - np.sin(x)) ** 2) + np.mean((first - h @ v) ** 2)


def transport(s: Any) -> Any:
    cost = (LINE[:3, None] - (s + LINE[3:])) ** 2
    k, f, g = -cost / 0.3, np.zeros(3), np.zeros(3)
    for _ in range(2):
        f = -logsumexp(k + g, 1) - np.log(3)
        g = -logsumexp(k + f[:, None], 0) - np.log(3)
    return np.sum(np.exp(f[:, None] + k + g) * cost)


def pairs(q: Any) -> Any:
    return [(at, to, np.sum((q[at] - q[to]) ** 2)) for at in range(len(q)) for to in range(at)]


def parity(z: Any) -> Any:
    w = softmax(z)
    share = w * (RISK @ w) / (w @ RISK @ w)
    return np.sum((share[:, None] - share) ** 2)


def spline(b: Any, x: Any, y: Any) -> Any:
    fit = b[0] + b[1] * x + sum(b[2 + at] * relu(x - at + 1) ** 3 for at in range(3))
    return np.mean((fit - y) ** 2)


def standardised(w: Any, x: Any, y: Any) -> Any:
    return np.mean((((x - np.mean(x, 0)) / (np.std(x, 0) + 1e-8)) @ w - y) ** 2)


MASKED = "z = sf.where(ok, x @ w, -np.inf)\n"
GP = (
    "apart = (x[:, None] - x[None, :]) ** 2\n"
    "k = sf.exp(t[1]) * sf.exp(-apart / (2 * sf.exp(2 * t[0]))) + sf.exp(t[2]) * np.eye(6)\n"
)

CASES = {
    # regression
    "least squares": Case(
        "loss = sf.reduce_mean(sf.square(x @ w + b - y))",
        {"w": W, "b": 0.1}, {"x": X, "y": Y},
        lambda w, b, x, y: np.mean((x @ w + b - y) ** 2),
        (CONSTANT, {"x": 1e3 * X}, {"y": 1e6 * Y}),
    ),
    "whole numbers": Case(
        "loss = sf.reduce_mean(sf.square(x @ w + b - y))",
        {"w": [0.1, 0.2], "b": 0.1}, {"x": ORDERS[:, :2] * 20, "y": COUNTS},
        lambda w, b, x, y: np.mean((x @ w + b - y) ** 2),
    ),
    "weights": Case(
        "r = x @ w - y\nloss = sf.reduce_sum(v * r * r) / sf.reduce_sum(v)",
        {"w": W}, {"x": X, "y": Y, "v": COUNTS[::-1]},
        lambda w, x, y, v: np.sum(v * (x @ w - y) ** 2) / np.sum(v),
    ),
    "standardised": Case(
        "z = (x - sf.reduce_mean(x, axis=0)) / (sf.reduce_std(x, axis=0) + 1e-8)\n"
        "loss = sf.reduce_mean(sf.square(z @ w - y))",
        {"w": W}, {"x": X, "y": Y}, standardised, ({"x": np.ones_like(X)}, HUGE),
    ),
    "Poisson": Case(
        "eta = x @ w\nloss = sf.reduce_mean(sf.exp(eta) - y * eta + sf.lgamma(y + 1.0))",
        {"w": W}, {"x": X, "y": COUNTS},
        lambda w, x, y: np.mean(np.exp(x @ w) - y * (x @ w) + lgamma(y + 1)),
        ({"x": ZEROS}, {"y": 0 * COUNTS}, {"y": 10**6 * COUNTS}),
    ),
    "gamma": Case(
        "mean = sf.exp(x @ w)\nk = sf.exp(a)\nloss = -sf.reduce_sum(k * sf.log(k) - "
        "k * sf.log(mean) - sf.lgamma(k) + (k - 1) * sf.log(y) - k * y / mean)",
        {"w": W, "a": 0.3}, {"x": X, "y": POSITIVE}, gamma_regression, ({"x": ZEROS},),
    ),
    "negative binomial": Case(
        "mean = sf.exp(x @ w)\nr = sf.softplus(a)\n"
        "counts = sf.lgamma(y + r) - sf.lgamma(r) - sf.lgamma(y + 1)\n"
        "loss = -sf.reduce_mean(counts + r * sf.log(r / (r + mean)) + "
        "y * sf.log(mean / (r + mean)))",
        {"w": W, "a": 0.3}, {"x": X, "y": COUNTS}, negative_binomial,
        ({"x": ZEROS}, {"y": 0 * COUNTS}),
    ),
    "Tweedie": Case(
        "p = 1.5\nm = sf.exp(x @ w)\nloss = sf.reduce_mean(2 * (sf.pow(y, 2 - p) / ((1 - p) * "
        "(2 - p)) - y * sf.pow(m, 1 - p) / (1 - p) + sf.pow(m, 2 - p) / (2 - p)))",
        {"w": W}, {"x": X, "y": np.where(COUNTS == 0, 0.0, POSITIVE)}, tweedie,
        ({"y": 0.0 * POSITIVE},),
    ),
    "zeros beyond Poisson": Case(
        "p = sf.sigmoid(a)\nm = sf.exp(x @ w)\nloss = -sf.reduce_mean(sf.where(sf.equal(y, 0), "
        "sf.log(p + (1 - p) * sf.exp(-m)), sf.log(1 - p) - m + y * sf.log(m) - sf.lgamma(y + 1)))",
        {"w": W, "a": 0.2}, {"x": X, "y": COUNTS.astype(float)}, zero_inflated,
        ({"y": 0.0 * COUNTS}, {"x": ZEROS}),
    ),
    "ordinal, with cuts at ∞": Case(
        "inner = sf.concat([c[:1], c[0] + sf.cumsum(sf.exp(c[1:]))], 0)\n"
        "cuts = sf.concat([np.array([-np.inf]), inner, np.array([np.inf])], 0)\n"
        "above = sf.sigmoid(sf.gather(cuts, k + 1) - x @ w)\n"
        "below = sf.sigmoid(sf.gather(cuts, k) - x @ w)\n"
        "loss = -sf.reduce_mean(sf.log(above - below))",
        {"w": W, "c": [-1.0, 0.1, 0.2]}, {"x": X, "k": np.array([0, 1, 2, 3, 3, 0, 1])}, ordinal,
        ({"x": ZEROS}, {"k": np.full(7, 0)}, {"k": np.full(7, 3)}),
    ),
    "naive cross entropy": Case(
        "p = 1 / (1 + sf.exp(-(x @ w)))\n"
        "loss = -sf.reduce_mean(y * sf.log(p) + (1 - y) * sf.log(1 - p))",
        {"w": W}, {"x": X, "y": TRUE},
        lambda w, x, y: np.mean(softplus(x @ w) - y * (x @ w)), (HUGE, CONSTANT, {"x": ZEROS}),
    ),
    "item response": Case(
        "z = sf.gather(a, j) * (sf.gather(t, i) - sf.gather(b, j))\n"
        "loss = -sf.reduce_mean(sf.where(r, sf.log(sf.sigmoid(z)), sf.log(1 - sf.sigmoid(z))))",
        {"a": [1.0, 0.5, 2.0], "t": [0.1, 0.2, 0.3, 0.4], "b": [0.0, 0.5, -0.5]},
        {"i": FIRST, "j": KINDS, "r": TRUE == 1},
        lambda a, t, b, i, j, r: np.mean(
            softplus(np.where(r, -1, 1) * (a[j] * (t[i] - b[j])))
        ),
        ({"a": [1e3, 1e3, -1e3]},),
    ),
    # survival
    "Cox, sorted": Case(
        "order = sf.argsort(-t)\nrisk = sf.gather(x @ w, order)\n"
        "total = sf.log(sf.cumsum(sf.exp(risk)))\n"
        "loss = -sf.reduce_sum(sf.gather(e, order) * (risk - total))",
        {"w": W}, {"x": X, "t": POSITIVE, "e": TRUE}, cox, ({"x": ZEROS}, {"e": 0 * TRUE}),
        rows=(1, 3, 5, 7),
    ),
    "Cox, all pairs": Case(
        "risk = x @ w\nthere = t[None, :] >= t[:, None]\n"
        "total = sf.reduce_logsumexp(sf.where(there, risk[None, :], -np.inf), axis=1)\n"
        "loss = -sf.reduce_sum(e * (risk - total))",
        {"w": W}, {"x": X, "t": POSITIVE, "e": TRUE}, cox,
        ({"x": ZEROS}, {"t": np.round(POSITIVE)}, {"x": 300 * X}),
    ),
    "Weibull, censored": Case(
        "k = sf.exp(a)\nscale = sf.exp(x @ w)\nloss = -sf.reduce_mean(e * (sf.log(k) - "
        "sf.log(scale) + (k - 1) * sf.log(t / scale)) - sf.pow(t / scale, k))",
        {"w": W, "a": 0.2}, {"x": X, "t": POSITIVE, "e": TRUE}, weibull,
        ({"x": ZEROS}, {"e": 0 * TRUE}),
    ),
    # likelihoods
    "mixture": Case(
        "z = (sf.expand_dims(y, 1) - m) / sf.exp(s)\np = sf.nn.softmax(l)\n"
        "d = p * sf.exp(-0.5 * z**2) / (sf.exp(s) * np.sqrt(2 * np.pi))\n"
        "loss = -sf.reduce_mean(sf.log(sf.reduce_sum(d, axis=1)))",
        {"m": [-1.0, 0.5], "s": [0.1, -0.2], "l": [0.0, 0.3]}, {"y": Y}, mixture,
        ({"y": 0.0 * Y}, {"m": [0.0, 0.0], "s": [0.0, 0.0]}),
    ),
    "Bradley and Terry": Case(
        "p = sf.exp(s)\nu, v = sf.gather(p, a), sf.gather(p, b)\n"
        "loss = -sf.reduce_sum(sf.log(u / (u + v)))",
        {"s": [0.5, 0.2, -0.3, 0.0]}, {"a": FIRST, "b": SECOND},
        lambda s, a, b: np.sum(softplus(s[b] - s[a])), ({"s": [0.0] * 4},),
    ),
    "Plackett and Luce": Case(
        "t = sf.gather(s, r)\n"
        "rest = sf.log(sf.reverse(sf.cumsum(sf.reverse(sf.exp(t), [1]), 1), [1]))\n"
        "loss = -sf.reduce_mean(sf.reduce_sum(t - rest, axis=1))",
        {"s": [0.5, 0.2, -0.3, 0.0]}, {"r": ORDERS}, plackett_luce, ({"s": [0.0] * 4},),
    ),
    "Gaussian process": Case(
        f"{GP}l = sf.cholesky(k)\n"
        "v = sf.matrix_triangular_solve(l, sf.expand_dims(y, 1), lower=True)\n"
        "loss = 0.5 * sf.reduce_sum(sf.square(v)) + sf.reduce_sum(sf.log(sf.diag_part(l)))",
        {"t": [-0.5, 0.2, -2.0]}, {"x": LINE, "y": Y[:6]}, gaussian_process,
        ({"x": np.zeros(6)}, {"x": np.round(LINE)}), fixed=True, close=1e-8,
    ),
    "Gaussian process, inverted": Case(
        f"{GP}loss = 0.5 * sf.reduce_sum(y * (sf.matrix_inverse(k) @ y)) "
        "+ 0.5 * sf.log(sf.matrix_determinant(k))",
        {"t": [-0.5, 0.2, -2.0]}, {"x": LINE, "y": Y[:6]}, gaussian_process,
        ({"x": np.zeros(6)}, {"y": 0.0 * Y[:6]}), fixed=True, close=1e-8,
    ),
    "random field": Case(
        "s = x @ w\nunary = sf.reduce_sum(s * sf.one_hot(k, 3))\n"
        "steps = sf.reduce_sum(sf.gather_nd(t, sf.stack([k[:-1], k[1:]], axis=1)))\n"
        "a = sf.scan(lambda a, r: sf.reduce_logsumexp(a[:, None] + t, axis=0) + r, s[1:], s[0])\n"
        "loss = sf.reduce_logsumexp(sf.concat([s[:1], a], 0)[-1]) - unary - steps",
        {"t": RNG.normal(size=(3, 3)), "w": RNG.normal(size=(3, 3))}, {"x": X, "k": KINDS},
        linear_chain, (CONSTANT, {"k": 0 * KINDS}),
    ),
    # nets
    "causal attention": Case(
        "mask = np.where(np.tril(np.ones((5, 5))) > 0, 0.0, -np.inf)\n"
        "s = (x @ q) @ sf.transpose(x @ k) / np.sqrt(3.0) + mask\n"
        "loss = sf.reduce_mean(sf.square(sf.nn.softmax(s) @ (x @ v)))",
        {name: RNG.normal(size=(3, 3)) for name in "qkv"}, {"x": X[:5]}, attention,
        ({"x": 0.0 * X[:5]}, {"x": 1e2 * X[:5]}), fixed=True, close=1e-8,
    ),
    "masked by -∞, picked": Case(
        f"{MASKED}loss = sf.reduce_mean(sf.reduce_logsumexp(z, axis=1) "
        "- sf.reduce_sum(sf.one_hot(k, 4) * (x @ w), axis=1))",
        {"w": LAYER}, {"x": X, "ok": ALLOWED, "k": KINDS}, masked, (CONSTANT, {"x": 300 * X}),
    ),
    "masked by -∞, chosen": Case(
        f"{MASKED}loss = -sf.reduce_mean(sf.reduce_sum(sf.where(sf.one_hot(k, 4) > 0, "
        "sf.nn.log_softmax(z), 0.0), axis=1))",
        {"w": LAYER}, {"x": X, "ok": ALLOWED, "k": KINDS}, masked, (CONSTANT, {"x": 300 * X}),
    ),
    "masked by -1e9": Case(
        "z = sf.where(ok, x @ w, -1e9)\nloss = sf.reduce_mean(sf.nn."
        "softmax_cross_entropy_with_logits(labels=sf.one_hot(k, 4), logits=z))",
        {"w": LAYER}, {"x": X, "ok": ALLOWED, "k": KINDS}, masked, (CONSTANT, {"x": 300 * X}),
    ),
    "triplets": Case(
        "f = lambda one: one @ w\nnear = sf.reduce_sum(sf.square(f(x) - f(y)), axis=1)\n"
        "far = sf.reduce_sum(sf.square(f(x) - f(z)), axis=1)\n"
        "loss = sf.reduce_mean(sf.relu(near - far + 0.2))",
        {"w": RNG.normal(size=(3, 2))}, {"x": X, "y": ZEROS, "z": X[::-1]}, triplet,
        ({"y": X, "z": X},),
    ),
    "focal": Case(
        "p = sf.sigmoid(x @ w)\nright = sf.where(sf.equal(y, 1), p, 1 - p)\n"
        "loss = -sf.reduce_mean(0.25 * sf.square(1 - right) * sf.log(right))",
        {"w": W}, {"x": X, "y": TRUE},
        lambda w, x, y: np.mean(
            0.25 * sigmoid((1 - 2 * y) * (x @ w)) ** 2 * softplus((1 - 2 * y) * (x @ w))
        ),
        (CONSTANT, {"x": 5 * X}),
    ),
    "Huber": Case(
        "e = x @ w - y\nq = sf.minimum(sf.abs(e), 1.0)\n"
        "loss = sf.reduce_mean(0.5 * q**2 + (sf.abs(e) - q))",
        {"w": W}, {"x": X, "y": Y},
        lambda w, x, y: np.mean(
            np.where(
                np.abs((x @ w - y).real) <= 1, 0.5 * (x @ w - y) ** 2, size(x @ w - y) - 0.5
            )
        ),
        ({"y": 1e6 * Y}, {"x": 0.0 * X, "y": 0.0 * Y}),
    ),
    "quantile": Case(
        "e = y - (x @ w + b)\nloss = sf.reduce_mean(e * (0.9 - sf.cast(e < 0, sf.float64)))",
        {"w": W, "b": 0.1}, {"x": X, "y": Y},
        lambda w, b, x, y: np.mean(
            (y - x @ w - b) * np.where((y - x @ w - b).real < 0, -0.1, 0.9)
        ),
        ({"y": 1e6 * Y},),
    ),
    "log cosh": Case(
        "loss = sf.reduce_mean(sf.log(sf.cosh(x @ w - y)))", {"w": W}, {"x": X, "y": Y},
        lambda w, x, y: np.mean(size(x @ w - y) + softplus(-2 * size(x @ w - y)) - np.log(2)),
        ({"y": 1e6 * Y}, {"x": 0.0 * X, "y": 0.0 * Y}),
    ),
    "pairs in order": Case(
        "s = x @ w\nd = s[:, None] - s[None, :]\n"
        "loss = -sf.reduce_sum(sf.where(y[:, None] > y[None, :], sf.log(sf.sigmoid(d)), 0.0))",
        {"w": W}, {"x": X, "y": Y},
        lambda w, x, y: np.sum(
            (y[:, None] > y) * softplus((x @ w) - (x @ w)[:, None])
        ),
        ({"y": 0.0 * Y}, {"x": 1e4 * X}, {"y": np.round(Y)}),
    ),
    "batch normalization": Case(
        "h = x @ w\nm, v = sf.nn.moments(h, [0])\n"
        "z = sf.nn.batch_normalization(h, m, v, b, g, 1e-3)\n"
        "loss = sf.reduce_mean(sf.square(sf.reduce_sum(sf.tanh(z), axis=1) - y))",
        {"w": LAYER, "g": [1.0, 1.0, 0.5, 2.0], "b": [0.0, 0.1, 0.2, 0.3]}, {"x": X, "y": Y},
        batch_normalized, ({"x": np.repeat(X[:1], 7, 0)},), close=1e-8,
    ),
    "variational autoencoder": Case(
        "m, s = sf.split(x @ u, 2, 1)\nlogits = (m + sf.exp(0.5 * s) * e) @ v\n"
        "rebuilt = sf.reduce_sum(sf.nn.sigmoid_cross_entropy_with_logits("
        "labels=sf.sigmoid(x), logits=logits), axis=1)\n"
        "apart = -0.5 * sf.reduce_sum(1 + s - m**2 - sf.exp(s), axis=1)\n"
        "loss = sf.reduce_mean(rebuilt + apart)",
        {"u": LAYER, "v": RNG.normal(size=(2, 3))}, {"x": X, "e": RNG.normal(size=(7, 2))},
        autoencoder, (CONSTANT,),
    ),
    "planar flow": Case(
        "p = sf.reduce_sum(w * u)\nq = u + (sf.softplus(p) - 1 - p) * w / sf.reduce_sum(w * w)\n"
        "t = sf.tanh(x @ w + b)\nz = x + t[:, None] * q\nloss = sf.reduce_mean(0.5 * "
        "sf.reduce_sum(z**2, axis=1) - sf.log(sf.abs(1 + (1 - t**2) * sf.reduce_sum(w * q))))",
        {"w": W, "u": [0.1, 0.2, 0.3], "b": 0.1}, {"x": X}, planar_flow, (CONSTANT, HUGE),
    ),
    # geometry, money, curves
    "haversine": Case(
        "a = sf.sin((x[:, 0] - c[0]) / 2) ** 2\n"
        "b = sf.cos(x[:, 0]) * sf.cos(c[0]) * sf.sin((x[:, 1] - c[1]) / 2) ** 2\n"
        "loss = sf.reduce_mean(sf.square(2 * sf.asin(sf.sqrt(a + b)) - y))",
        {"c": [0.2, 0.1]}, {"x": ZEROS[:, :2], "y": POSITIVE}, haversine,
    ),
    "angles": Case(
        "d = y - 2 * sf.atan(x @ w) - m\n"
        "loss = sf.reduce_mean(sf.square(sf.atan2(sf.sin(d), sf.cos(d))))",
        {"w": W, "m": 0.3}, {"x": X, "y": 3 * Y}, angles,
    ),
    "Greeks": Case(
        "d = (sf.log(s / x) + (0.02 + v**2 / 2) * t) / (v * sf.sqrt(t))\nprice = sf.reduce_sum("
        "s * sf.ndtr(d) - x * sf.exp(-0.02 * t) * sf.ndtr(d - v * sf.sqrt(t)))\n"
        "delta, vega = sf.gradients(price, [s, v])\n"
        "loss = delta + 0.1 * vega + sf.gradients(delta, [s])[0]",
        {"s": 100.0, "v": 0.3}, {"x": 100.0 + 10.0 * Y, "t": POSITIVE}, greeks,
        ({"x": np.full(7, 100.0)},),
    ),
    "parity of risk": Case(
        "c = np.array([[1.0, 0.2, 0.1], [0.2, 0.5, 0.0], [0.1, 0.0, 0.3]])\n"
        "w = sf.exp(z) / sf.reduce_sum(sf.exp(z))\nr = w * (c @ w)\nr = r / sf.reduce_sum(r)\n"
        "loss = sf.reduce_sum(sf.square(r[:, None] - r[None, :]))",
        {"z": [0.0, 0.1, 0.2]}, {}, parity, ({"z": [0.0, 0.0, 0.0]},),
    ),
    "polynomial": Case(
        "loss = sf.reduce_mean(sf.square(sum(b[k] * x**k for k in range(5)) - y))",
        {"b": [0.1, 0.2, 0.3, -0.1, 0.05]}, {"x": Y, "y": POSITIVE},
        lambda b, x, y: np.mean((sum(b[k] * x**k for k in range(5)) - y) ** 2),
        ({"x": 0.0 * Y}, {"x": 10.0 * Y}),
    ),
    "spline": Case(
        "s = b[0] + b[1] * x + sum(b[2 + k] * sf.maximum(x - k + 1, 0) ** 3 for k in range(3))\n"
        "loss = sf.reduce_mean(sf.square(s - y))",
        {"b": [0.1, 0.2, 0.3, -0.1, 0.05]}, {"x": Y, "y": POSITIVE}, spline,
        ({"x": np.array([-1.0, 0, 1, 0, 0, 1, 2])},),
    ),
    "Hill": Case(
        "loss = sf.reduce_mean(sf.square(v * x**h / (k**h + x**h) - y))",
        {"v": 2.0, "k": 0.5, "h": 1.7}, {"x": POSITIVE, "y": Y},
        lambda v, k, h, x, y: np.mean((v / (1 + (k / x) ** h) - y) ** 2),
        ({"x": 1e6 * POSITIVE},),
    ),
    "distances": Case(
        f"d = np.array({DISTANCES.tolist()})\n"
        "loss = sf.reduce_sum(sf.square(sf.norm(q[:, None, :] - q[None, :, :], axis=2) - d))",
        {"q": RNG.normal(size=(4, 2))}, {},
        lambda q: 2 * sum((np.sqrt(far) - DISTANCES[at, to]) ** 2 for at, to, far in pairs(q)),
    ),
    "molecules": Case(
        "at, to = np.triu_indices(4, 1)\nd = sf.gather(q, at) - sf.gather(q, to)\n"
        "r = sf.reduce_sum(d**2, axis=1) ** -3\nloss = 4 * sf.reduce_sum(r**2 - r)",
        {"q": np.array([[0.0, 0, 0], [1.5, 0, 0], [0, 1.5, 0], [0, 0.5, 1.5]])}, {},
        lambda q: 4 * sum(far**-6 - far**-3 for _, _, far in pairs(q)),
    ),
    "transport": Case(
        "x = np.linspace(-1.0, 1.0, 6)\ncost = sf.square(x[:3, None] - (s + x[3:])[None, :])\n"
        "k, f, g = -cost / 0.3, np.zeros(3), np.zeros(3)\nfor _ in range(2):\n"
        "    f = -sf.reduce_logsumexp(k + g[None, :], axis=1) - np.log(3)\n"
        "    g = -sf.reduce_logsumexp(k + f[:, None], axis=0) - np.log(3)\n"
        "loss = sf.reduce_sum(sf.exp(f[:, None] + k + g[None, :]) * cost)",
        {"s": [0.1, 0.2, 0.3]}, {}, transport,
    ),
    # derivatives in a loss
    "gradient penalty": Case(
        "h = sf.tanh(x @ w)\ng = sf.gradients(sf.reduce_sum(h @ v), [x])[0]\n"
        "slope = sf.sqrt(sf.reduce_sum(g**2, axis=1))\n"
        "loss = sf.reduce_mean(h @ v) + 10 * sf.reduce_mean(sf.square(slope - 1))",
        {"w": LAYER, "v": [1.0, -1.0, 0.5, 0.2]}, {"x": X}, penalty, (CONSTANT,),
    ),
    "physics": Case(
        "u = sf.tanh(x[:, None] * w + b) @ v\nux = sf.gradients(sf.reduce_sum(u), [x])[0]\n"
        "uxx = sf.gradients(sf.reduce_sum(ux), [x])[0]\n"
        "loss = sf.reduce_mean((uxx + u - sf.sin(x)) ** 2) + sf.reduce_mean((ux - u) ** 2)",
        {"w": [1.0, 2.0, 0.5], "b": [0.0, 0.1, 0.2], "v": [1.0, -1.0, 0.5]}, {"x": Y}, physics,
        ({"x": 0.0 * Y},),
    ),
    "evidence by Laplace": Case(
        "z = x @ w\nfit = sf.reduce_sum(sf.softplus(z) - y * z) + 0.5 * sf.reduce_sum(w**2)\n"
        "g = sf.gradients(fit, [w])[0]\n"
        "h = sf.stack([sf.gradients(g[k], [w])[0] for k in range(3)])\n"
        "loss = fit + 0.5 * sf.log(sf.matrix_determinant(h))",
        {"w": W}, {"x": X, "y": TRUE}, laplace, (CONSTANT,),
    ),
}  # fmt: skip


def assert_close(found: Any, wanted: Any, close: float) -> None:
    largest = np.max(np.abs(wanted), initial=0.0)
    np.testing.assert_allclose(found, wanted, rtol=0.0, atol=close * largest + 1e-3 * close)


@pytest.mark.parametrize("name", CASES)
def test_values_slopes_and_training(name: str, tmp_path: Path) -> None:
    case = CASES[name]
    path = tmp_path / "model.py"
    path.write_text(case.text, encoding="utf-8")
    modules = [module(path, style) for style in STYLES]
    single = module(path, "fast", "float32")
    for start, fed in case.points():
        loss, slopes = case.loss(**start, **fed), case.slopes(start, fed)
        for made in modules:
            for threads in (1, 2):
                p = made.Parameters(**start)
                found, gradient = called(made.loss_and_gradients, p, fed, threads=threads)
                assert_close(found, loss, case.close)
                for one, slope in slopes.items():
                    assert_close(getattr(gradient, one), slope, 10 * case.close)
    start, fed = case.points()[-1] if case.fixed or not case.fed else case.points()[2]
    _assert_descent(case, modules, start, fed)
    fed = {name: at.astype(np.float32) if at.dtype == float else at for name, at in fed.items()}
    p = single.Parameters(**{name: at.astype(np.float32) for name, at in start.items()})
    found, gradient = called(single.loss_and_gradients, p, fed)
    assert_close(found, case.loss(**start, **fed), 1e-3)
    assert {one.dtype for one in gradient} == {np.dtype(np.float32)}


def _assert_descent(case: Case, modules: list[Any], start: Numbers, fed: Numbers) -> None:
    """The losses before three updates, and where they lead."""
    at, losses = dict(start), []
    for _ in range(3):
        losses.append(case.loss(**at, **fed))
        slopes = case.slopes(at, fed)
        at = {name: value - RATE * slopes[name] for name, value in at.items()}
    for made in modules:
        result = called(made.train, made.Parameters(**start), fed, steps=3, learning_rate=RATE)
        assert_close(result.losses[:3], losses, 10 * case.close)
        for name, value in at.items():
            assert_close(getattr(result.parameters, name), value, 10 * case.close)


@pytest.mark.parametrize("name", list(CASES)[::2])
def test_a_session(name: str) -> None:
    case = CASES[name]
    names: Numbers = {}
    with sf.Graph().as_default(), sf.Session() as session:
        exec(case.text, names)
        by = [names[one] for one in case.start]
        feed = {names[one]: value for one, value in case.fed.items()}
        found, *gradients = session.run([names["loss"], *sf.gradients(names["loss"], by)], feed)
    start = {one: np.asarray(value, float) for one, value in case.start.items()}
    assert_close(found, case.loss(**start, **case.fed), case.close)
    for one, slope in zip(gradients, case.slopes(start, case.fed).values(), strict=True):
        assert_close(one, slope, 10 * case.close)


RIGHT = {
    "a cosine that may be rounded beyond 1": (
        'x = sf.placeholder(shape=("n", 3))\nw = sf.Variable([0.3, -0.2, 0.5])\n'
        "cosine = sf.reduce_sum(x * w, axis=1) / (sf.norm(x, axis=1) * sf.norm(w))\n"
        "loss = sf.reduce_mean(sf.acos(cosine))\n"
    ),
    "an exponential of an exponential": (
        'x = sf.placeholder(shape=("n",))\nw = sf.Variable(0.3)\n'
        "loss = -sf.reduce_sum(sf.log(0.5 + 0.5 * sf.exp(-sf.exp(w * x))))\n"
    ),
}


@pytest.mark.parametrize("name", RIGHT)
def test_what_is_right_passes_the_check(name: str, tmp_path: Path) -> None:
    path = tmp_path / "model.py"
    path.write_text(f"import symflow as sf\n\n{RIGHT[name]}", encoding="utf-8")
    assert_valid(path)
