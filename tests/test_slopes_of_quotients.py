"""Slopes of quotients whose divisor is too large, or too small, to be squared.

-x / y² is right as algebra; y² is infinite from y = 1e154 on, in float32 from 2e19, and 0 below
1e-162. A softmax, a logistic curve or shares of a mixture written out have such divisors where all
that is asked for is an ordinary number.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import mpmath as mp
import numpy as np
import pytest
from styles import module

TRAINED = "\ntrain_op = sf.train.GradientDescentOptimizer(0.1).minimize(loss)\n"

SOFTMAX = """\
z = sf.Variable({z})
w = sf.placeholder(shape=(3,))
e = sf.exp(z) * w
loss = -sf.log(e[0] / sf.reduce_sum(e))"""

MODELS: dict[str, tuple[str, Any, list[list[float]]]] = {
    "softmax with weights": (
        SOFTMAX.format(z="[400.0, 399.0, 401.0]"),
        lambda m, p, w: -m.log(m.exp(p[0]) * w[0] / sum(m.exp(p[k]) * w[k] for k in range(3))),
        [[1.0, 2.0, 0.5]],
    ),
    "small softmax": (
        SOFTMAX.format(z="[-400.0, -399.0, -401.0]"),
        lambda m, p, w: -m.log(m.exp(p[0]) * w[0] / sum(m.exp(p[k]) * w[k] for k in range(3))),
        [[1.0, 2.0, 0.5]],
    ),
    "logistic growth": (
        """t = sf.placeholder(shape=("n",))
y = sf.placeholder(shape=("n",))
v = sf.Variable([10.0, 1.0, 0.5])
K, r, N0 = v[0], v[1], v[2]
N = K * N0 * sf.exp(r * t) / (K + N0 * (sf.exp(r * t) - 1.0))
loss = sf.reduce_mean(sf.square(N - y))""",
        lambda m, p, t, y: (
            sum(
                (p[0] * p[2] * m.exp(p[1] * a) / (p[0] + p[2] * (m.exp(p[1] * a) - 1)) - b) ** 2
                for a, b in zip(t, y, strict=True)
            )
            / 2
        ),
        [[1.0, 356.0], [1.0, 9.0]],
    ),
    "shares of a mixture": (
        """x = sf.placeholder(shape=("n",))
v = sf.Variable([0.3, 1.0])
f1 = v[0] * sf.exp(-0.5 * sf.square(x - v[1]))
f0 = (1 - v[0]) * sf.exp(-0.5 * sf.square(x + v[1]))
loss = sf.reduce_mean(sf.square(f1 / (f1 + f0)))""",
        lambda m, p, x: (
            sum((1 / (1 + (1 - p[0]) / p[0] * m.exp(-2 * a * p[1]))) ** 2 for a in x) / 5
        ),
        [[3.0, 6.0, 12.0, 12.5, 30.0]],
    ),
    "kernel regression": (
        """x = sf.placeholder(shape=("n",))
h = sf.Variable([0.0])
w = sf.exp(-0.5 * sf.square((40.0 - x) / sf.exp(h[0])))
loss = sf.reduce_sum(w * x) / sf.reduce_sum(w)""",
        lambda m, p, x: (
            sum(m.exp(-(((40 - a) / m.exp(p[0])) ** 2) / 2) * a for a in x)
            / sum(m.exp(-(((40 - a) / m.exp(p[0])) ** 2) / 2) for a in x)
        ),
        [[12.0, 11.99, 11.97]],
    ),
    "z scores of light years": (
        """x = sf.placeholder(shape=("n",))
v = sf.Variable([1e160, 2e160])
loss = sf.reduce_mean(sf.square((x - v[0]) / v[1]))""",
        lambda m, p, x: sum(((a - p[0]) / p[1]) ** 2 for a in x) / 3,
        [[1.5e160, -3e160, 2e159]],
    ),
    "reciprocals": (
        """x = sf.placeholder(shape=("n",))
v = sf.Variable([3e-170, 5e169])
loss = sf.reduce_sum(x * 1e-172 / v[0]) + sf.reduce_sum(x) / v[1]""",
        lambda m, p, x: sum(a * mp.mpf(1e-172) / p[0] + a / p[1] for a in x),
        [[1.5, -3.0, 0.2]],
    ),
}


@pytest.mark.parametrize("style", ["fast", "plain"])
@pytest.mark.parametrize("name", MODELS)
def test_large_and_small_divisors(name: str, style: Any, tmp_path: Path) -> None:
    text, formula, data = MODELS[name]
    path = tmp_path / "model.py"
    path.write_text(f"import symflow as sf\n\n{text}{TRAINED}", encoding="utf-8")
    made = module(path, style, "float64")
    p = made.initial_parameters()
    with np.errstate(under="ignore"):
        value, (slope,) = made.loss_and_gradients(p, *(np.array(one) for one in data))
    with mp.workdps(400):
        at = [mp.mpf(float(one)) for one in p[0]]
        given = [[mp.mpf(one) for one in row] for row in data]
        exact = formula(mp, at, *given)
        wanted = []
        for k, centre in enumerate(at):
            step = abs(centre) * mp.mpf(10) ** -60 if centre else mp.mpf(10) ** -60
            ends = [
                formula(mp, [*at[:k], centre + sign * step, *at[k + 1 :]], *given)
                for sign in (1, -1)
            ]
            wanted.append(float((ends[0] - ends[1]) / (2 * step)))
    np.testing.assert_allclose(value, float(exact), rtol=1e-12)
    np.testing.assert_allclose(slope, wanted, rtol=1e-10)
