"""Logarithms of running and of weighted sums of exponentials as users write them, by mpmath."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

import mpmath
import numpy as np
import pytest

import symflow as sf
from symflow.rules import NAMES

mp = mpmath.mp.clone()
mp.dps = 1000

_OBJECTS = {name: np.frompyfunc(getattr(mp, name), 1, 1) for name in ("exp", "log")}


def _cumsum(x: Any, axis: int = 0, reverse: bool = False) -> Any:
    turned = np.flip(x, axis) if reverse else x
    total = np.add.accumulate(turned, axis)
    return np.flip(total, axis) if reverse else total


REFERENCE = {**_OBJECTS, "cumsum": _cumsum, "reduce_sum": np.sum}

RUNNING = [
    "log(cumsum(exp(x), 1))",
    "log(cumsum(exp(x), 0))",
    "log(cumsum(exp(x), 1, reverse=True))",
    "log(cumsum(exp(x)[:, ::-1], 1)[:, ::-1])",
    "log(cumsum(exp(x)[:, ::-1], 1))",
    "x - log(cumsum(exp(-x), 1))",
    "log(0.25 * cumsum(3.0 * exp(x / 2), 1, reverse=True))",
    "a * log(cumsum(exp(x - a), 0, reverse=True))",
]
WEIGHTED = [
    "log(reduce_sum(w * exp(x)))",
    "log(reduce_sum(w * exp(-x), 1))",
    "log(reduce_sum(w * w * exp(x), 1))",
    "log(reduce_sum(exp(x) / w, 0))",
    "a - log(reduce_sum(w * exp(x + a)))",
    "log(reduce_sum(2.0 * w * exp(x), 1)) * a",
]
ROWS = {
    "ordinary": [[0.5, -1.0, 2.0], [1.5, 0.25, -0.75]],
    "large": [[800.0, 799.0, -3.0], [2.0, 1e5, 1e5 - 1.5]],
    "far below": [[-800.0, -801.0, -850.0], [-900.0, -902.5, -750.0]],
    "rising": [[-800.0, 0.0, 800.0], [-30.0, 0.0, 30.0]],
    "falling": [[800.0, 0.0, -800.0], [30.0, 0.0, -30.0]],
    "equal": [[700.0, 700.0, 700.0], [0.0, 0.0, 0.0]],
}
W, A = [[0.5, 0.25, 2.0], [1.5, 0.125, 3.0]], 0.75


def of_all(text: str, names: dict[str, Any], x: Any, w: Any, a: Any) -> Any:
    return eval(text, {**names, "x": x, "w": w, "a": a})


def truth(text: str, x: Any, w: Any) -> tuple[Any, Any, Any, Any]:
    """The value, the gradients of Σ c·value by x and by w, and that of Σ gradient by x."""
    step = mp.mpf(10) ** -200

    def exact(array: Any) -> Any:
        return np.vectorize(mp.mpf, otypes=[object])(np.array(array, float))

    def total(x: Any, w: Any) -> Any:
        value = of_all(text, REFERENCE, x, w, mp.mpf(A))
        return np.sum(value * SHARES[: np.size(value)].reshape(np.shape(value)))

    def slope(of: Callable[[Any, Any], Any], x: Any, w: Any, by: int) -> Any:
        found = np.empty(np.shape(x), object)
        for at in np.ndindex(found.shape):
            moved = [[one.copy(), one.copy()] for one in (x, w)]
            moved[by][0][at] += step
            moved[by][1][at] -= step
            pairs = [[moved[n][side] if n == by else (x, w)[n] for n in (0, 1)] for side in (0, 1)]
            found[at] = (of(*pairs[0]) - of(*pairs[1])) / (2 * step)
        return found

    x, w = exact(x), exact(w)

    def along(x: Any, w: Any) -> Any:
        """The derivative in the direction in which all x grow."""
        return (total(x + step, w) - total(x - step, w)) / (2 * step)

    value = of_all(text, REFERENCE, x, w, mp.mpf(A))
    return value, slope(total, x, w, 0), slope(total, x, w, 1), slope(along, x, w, 0)


SHARES = np.array([1.0, 0.5, 2.0, -0.25, 1.5, 3.0])


def computed(text: str, x: Any, w: Any, without: tuple[str, ...] = ()) -> list[Any]:
    tensors = [sf.placeholder(sf.float64, (2, 3)) for _ in range(2)]
    names = {name: getattr(sf, name) for name in REFERENCE}
    value = of_all(text, names, *tensors, A)
    size = int(np.prod([int(one) for one in value.shape]))
    shares = SHARES[:size].reshape([int(one) for one in value.shape])
    total = sf.reduce_sum(shares * value) + 0.0 * sf.reduce_sum(tensors[1])
    first = sf.gradients(total, tensors)
    second = sf.gradients(sf.reduce_sum(first[0]) + 0.0 * sf.reduce_sum(tensors[0]), tensors[:1])
    with sf.Session(without=without) as session, np.errstate(all="ignore"):
        return list(session.run([value, *first, *second], dict(zip(tensors, (x, w), strict=True))))


def off(found: Any, expected: Any, beside: float = 0.0) -> float:
    """The largest error in ulp of the largest entry, also of those beside."""
    largest = max(*map(abs, np.ravel(expected)), beside, mp.mpf(10) ** -290)
    errors = [
        abs(mp.mpf(float(f)) - e) for f, e in zip(np.ravel(found), np.ravel(expected), strict=True)
    ]
    return float(max(errors) / largest / 2.0**-52) if np.all(np.isfinite(found)) else np.inf


@pytest.mark.parametrize("rows", ROWS)
@pytest.mark.parametrize("text", [*RUNNING, *WEIGHTED])
def test_values_and_derivatives(text: str, rows: str) -> None:
    """Right to some ulp of the exponents; and never worse than as written."""
    x = np.array(ROWS[rows])
    expected = truth(text, x, W)
    found, naive = computed(text, x, W), computed(text, x, W, NAMES)
    reach = 8 + float(np.abs(x).max())
    for part, right in enumerate(expected):
        beside = float(max(map(abs, np.ravel(expected[1])))) if part == 3 else 0.0
        worse, written = (off(one[part], right, beside) for one in (found, naive))
        assert worse <= min(reach, 10 * written + 8), (part, worse, written)


def test_weights_of_either_sign() -> None:
    """As `scipy.special.logsumexp(x, b=w)` computes it."""
    x, w = [1000.0, 999.0, 500.0], [1.0, -2.0, 1e200]
    value, by_x, by_w = weighted(x, w)
    exact = [mp.mpf(b) * mp.exp(mp.mpf(a)) for a, b in zip(x, w, strict=True)]
    total = mp.fsum(exact)
    np.testing.assert_allclose(value, float(mp.log(total)), rtol=1e-15)
    np.testing.assert_allclose(by_x, [float(one / total) for one in exact], rtol=1e-13)
    shares = [float(mp.exp(a) / total) for a in x]
    np.testing.assert_allclose(by_w, shares, rtol=1e-13)


def weighted(x: Any, w: Any) -> list[Any]:
    tensors = [sf.placeholder(sf.float64, (len(x),)) for _ in range(2)]
    value = sf.log(sf.reduce_sum(tensors[1] * sf.exp(tensors[0])))
    with np.errstate(all="ignore"):
        fetches = [value, *sf.gradients(value, tensors)]
        return list(sf.Session().run(fetches, dict(zip(tensors, (x, w), strict=True))))


def test_a_weight_of_zero() -> None:
    """It takes no part in the shift, but has a slope of its own."""
    value, by_x, by_w = weighted([900.0, -900.0, 901.0], [0.0, 2.0, 0.0])
    assert value == pytest.approx(-900.0 + np.log(2.0), rel=1e-15)
    assert by_x[1] == 1.0
    value, by_x, by_w = weighted([800.0, 799.0, 802.0], [0.5, 2.0, 0.0])
    total = 0.5 + 2.0 * np.exp(-1.0)
    np.testing.assert_allclose(by_x, [0.5 / total, 2.0 * np.exp(-1.0) / total, 0.0], rtol=1e-14)
    np.testing.assert_allclose(by_w, np.exp([0.0, -1.0, 2.0]) / total, rtol=1e-14)


def test_a_weight_against_its_exponential() -> None:
    """exp(50)·exp(-50) is 1: no digits of the exponent are lost while nothing overflows."""
    x = 50.0
    w = float(mp.exp(-50) * (1 + mp.mpf(2) ** -40))
    value, *_ = weighted([x], [w])
    np.testing.assert_allclose(value, float(mp.log(mp.mpf(w) * mp.exp(50))), rtol=0, atol=3e-16)


@pytest.mark.parametrize("infinite", [[-np.inf, -np.inf], [-np.inf, 3.0], [3.0, -np.inf]])
def test_no_exponential(infinite: list[float]) -> None:
    x = sf.placeholder(sf.float64, (2,))
    y = sf.log(sf.cumsum(sf.exp(x)))
    with np.errstate(all="raise"):
        value, slope = sf.Session().run([y, *sf.gradients(y[1], [x])], {x: infinite})
    np.testing.assert_array_equal(value, [infinite[0], max(infinite)])
    np.testing.assert_array_equal(slope, np.exp(infinite) / 20.085536923187668)


COX = """\
import symflow as sf

x = sf.placeholder(sf.float64, ("n", 2))
event = sf.placeholder(sf.float64, ("n",))
w = sf.Variable([30.0, -20.0])
score = sf.reduce_sum(x * w, 1)
risk = sf.log(sf.cumsum(sf.exp(score), reverse=True))
loss = sf.reduce_sum(event * (risk - score))
train_op = sf.train.GradientDescentOptimizer(1e-3).minimize(loss)
"""


@pytest.mark.parametrize("style", ["fast", "plain"])
def test_partial_likelihood_of_cox(style: str, compiled: Callable[..., ModuleType]) -> None:
    """Scores up to 1800, without a warning."""
    module = compiled(COX, style)
    random = np.random.default_rng(3)
    x, event = random.normal(size=(40, 2)) * 20, (random.random(40) < 0.6).astype(float)
    w = np.array([30.0, -20.0])
    with np.errstate(all="raise", under="ignore"):
        value, slopes = module.loss_and_gradients(module.Parameters(w), x, event)
        result = module.train(module.Parameters(w), x, event, steps=3)

    def exact(w: Any) -> Any:
        score = [sum(mp.mpf(a) * b for a, b in zip(row, w, strict=True)) for row in x.tolist()]
        risk = [mp.log(mp.fsum(map(mp.exp, score[at:]))) for at in range(len(score))]
        return mp.fsum(e * (r - s) for e, r, s in zip(event.tolist(), risk, score, strict=True))

    start = [mp.mpf(one) for one in w.tolist()]
    step = mp.mpf(10) ** -100
    right = [
        (exact([b + step * (n == k) for n, b in enumerate(start)]) - exact(start)) / step
        for k in range(2)
    ]
    np.testing.assert_allclose(value, float(exact(start)), rtol=1e-12)
    np.testing.assert_allclose(slopes.w, [float(one) for one in right], rtol=1e-10)
    assert np.all(np.isfinite(result.losses))
