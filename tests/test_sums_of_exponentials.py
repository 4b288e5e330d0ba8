"""Logarithms of sums of exponentials as users write them: exact at any size, by mpmath."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import mpmath
import numpy as np
import pytest
from styles import module

import symflow as sf
from symflow.rules import NAMES

mp = mpmath.mp.clone()
mp.dps = 1000  # exp(-1000) is seen beside exp(1000)

REFERENCE = {
    "exp": np.frompyfunc(mp.exp, 1, 1),
    "log": np.frompyfunc(mp.log, 1, 1),
    "log1p": np.frompyfunc(lambda x: mp.log(1 + x), 1, 1),
    "reduce_sum": np.sum,
    "reduce_mean": np.mean,
}

SUMS = [
    "log(1 + reduce_sum(exp(x)))",
    "log(reduce_sum(exp(x)) + 1.0)",
    "log1p(reduce_sum(exp(x)))",
    "log(2.5 + reduce_sum(exp(x)))",
    "log(0.001 + reduce_sum(exp(x)))",
    "log(0.5 + 3.0 * reduce_sum(exp(-x)))",
    "log(1 + reduce_mean(exp(x)))",
    "log(1 + reduce_sum(0.25 * exp(x / 2)))",
    "log(2.0 * reduce_sum(exp(x)))",
    "log(exp(a) + reduce_sum(exp(x)))",
    "log(2.0 * exp(a) + reduce_sum(exp(x)))",
    "log(1 + exp(a) + reduce_sum(exp(x)))",
    "log(reduce_sum(exp(x)) + reduce_sum(exp(x * a)))",
    "a * log(1 + reduce_sum(exp(x))) + x[0]",
    "log(1 + reduce_sum(exp(x - a)))",
]

POINTS = [
    ([1.0, 2.0, 3.0], 0.5),
    ([0.0, 0.0, 0.0], 1.0),
    ([-40.0, -41.0, -50.0], -0.5),
    ([800.0, 799.5, 3.0], 2.0),
    ([-80.0, -81.0, -60.0], -1.0),
    ([-0.5, -1.5, -2.25], 0.25),
    ([0.0, -3.0, 1000.0], -2.0),
    ([1e5, 1.0, 1e5], 900.0),
]

Numbers = list[float]


def of_all(text: str, names: dict[str, Any], x: Any, a: Any) -> Any:
    return eval(text, {**names, "x": x, "a": a})


@cache
def truth(text: str, at: int) -> tuple[Any, list[Any], list[Any]]:
    """The value, its gradient by all entries of x and by a, and the gradient of the sum of that."""
    x, a = POINTS[at]
    step = mp.mpf(10) ** -100
    point = [mp.mpf(one) for one in (*x, a)]

    def value(p: list[Any]) -> Any:
        return of_all(text, REFERENCE, np.array(p[:-1], object), p[-1])

    def slope(of: Callable[[list[Any]], Any], by: set[int]) -> Callable[[list[Any]], Any]:
        def moved(p: list[Any], size: Any) -> list[Any]:
            return [one + size * (number in by) for number, one in enumerate(p)]

        return lambda p: (of(moved(p, step)) - of(moved(p, -step))) / (2 * step)

    every = range(len(point))
    total = slope(value, set(every))
    first, second = ([slope(of, {n})(point) for n in every] for of in (value, total))
    return value(point), first, second


def off(found: Any, expected: list[Any], dtype: Any, beside: list[Any] | None = None) -> float:
    """The largest error, in units in the last place of the largest entry, also of those beside."""
    largest = max(abs(one) for one in (*expected, *(beside or ())))
    unit = max(np.finfo(dtype).eps * largest, mp.mpf(10) ** -300)
    errors = [abs(mp.mpf(float(f)) - e) for f, e in zip(np.ravel(found), expected, strict=True)]
    return float(max(errors) / unit) if np.all(np.isfinite(found)) else np.inf


@cache
def made(style: Any, dtype: str) -> Any:
    """One module of all formulas, each with parameters of its own."""
    lines = ["import symflow as sf", "from symflow import exp, log, log1p, reduce_mean, reduce_sum"]
    for number, text in enumerate(SUMS):
        lines += [f"x{number} = x = sf.Variable(sf.zeros(3), name='x{number}')"]
        lines += [f"a{number} = a = sf.Variable(0.0, name='a{number}')"]
        lines += [f"y{number} = {text} + 0.0 * a"]
    lines += ["loss = " + " + ".join(f"y{number}" for number in range(len(SUMS)))]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.py"
        path.write_text("\n".join(lines) + "\n")
        return module(path, style, dtype)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("style", ["fast", "plain"])
def test_a_module(style: Any, dtype: str) -> None:
    """Values and gradients, without a warning."""
    compiled = made(style, dtype)
    for at, (x, a) in enumerate(POINTS):
        p = {f"x{number}": np.array(x, dtype) for number in range(len(SUMS))}
        p |= {f"a{number}": np.array(a, dtype) for number in range(len(SUMS))}
        parameters = compiled.Parameters(**p)
        with np.errstate(all="raise", under="ignore"):
            gradients = compiled.gradients(parameters)
            values = [getattr(compiled, f"y{n}")(parameters) for n in range(len(SUMS))]
        for number, text in enumerate(SUMS):
            value, slopes, _ = truth(text, at)
            by_x, by_a = getattr(gradients, f"x{number}"), getattr(gradients, f"a{number}")
            assert np.asarray(by_x).dtype == dtype
            assert off(values[number], [value], dtype) <= 8, (text, x, a)  # near 0, one of 1
            sizes = 4 + max(map(abs, (*x, a)))  # how far a difference of exponents is rounded
            assert off([*by_x, by_a], slopes, dtype) <= sizes, (text, x, a)


def computed(text: str, at: int, without: tuple[str, ...] = ()) -> list[Any]:
    """The value, the gradient and the second derivatives."""
    x, a = sf.placeholder(sf.float64, (3,)), sf.placeholder(sf.float64, ())
    names = {name: getattr(sf, name) for name in REFERENCE}
    value = of_all(text, names, x, a) + 0.0 * a
    first = sf.gradients(value, [x, a])
    second = sf.gradients(sf.reduce_sum(first[0]) + first[1] + 0.0 * a, [x, a])
    with sf.Session(without=without) as session, warnings.catch_warnings():
        warnings.simplefilter("ignore" if without else "error")
        fed = dict(zip((x, a), POINTS[at], strict=True))
        return list(session.run([value, *first, *second], fed))


@pytest.mark.parametrize("text", SUMS)
def test_never_worse_than_as_written(text: str) -> None:
    """Value, gradient and second derivative, in ulp of the largest share of a gradient."""
    for at, point in enumerate(POINTS):
        value, first, second = truth(text, at)
        naive, found = computed(text, at, NAMES), computed(text, at)
        parts = ([value], first[:3], first[3:], second[:3])
        for part, expected in enumerate(parts):
            beside = first if part else None
            worse, written = (off(one[part], expected, "float64", beside) for one in (found, naive))
            assert worse <= 10 * written + 4, (text, point, part, worse, written)


def test_no_exponential() -> None:
    """Where all x are -∞ the number is left, and the gradient is 0."""
    x = sf.placeholder(sf.float64, (2,))
    y = sf.log(3.0 + sf.reduce_sum(sf.exp(x)))
    with np.errstate(all="raise"):
        value, slope = sf.Session().run([y, *sf.gradients(y, [x])], {x: [-np.inf, -np.inf]})
    assert value == np.log(3.0)
    np.testing.assert_array_equal(slope, [0.0, 0.0])


def test_an_infinite_exponential() -> None:
    x = sf.placeholder(sf.float64, (2,))
    y = sf.log(1.0 + sf.reduce_sum(sf.exp(x)))
    assert sf.Session().run(y, {x: [np.inf, 0.0]}) == np.inf


@pytest.mark.parametrize(
    "text",
    [
        "log(reduce_sum(exp(x)) - 1)",
        "log(2 - reduce_sum(exp(x)))",
        "log(a + reduce_sum(exp(x)))",
        "log(1 + reduce_sum(x * exp(x)))",
        "log(1 + reduce_sum(-exp(x)))",
    ],
)
def test_a_sum_that_may_be_negative_stays(text: str) -> None:
    x, a = [0.25, -0.5, -3.0], 0.75
    names = {name: getattr(sf, name) for name in REFERENCE}
    tensor = sf.placeholder(sf.float64, (3,))
    found = sf.Session().run(of_all(text, names, tensor, a), {tensor: x})
    names = {name: getattr(np, name.replace("reduce_", "")) for name in REFERENCE}
    with np.errstate(invalid="ignore"):
        np.testing.assert_allclose(found, of_all(text, names, np.array(x), a), rtol=1e-14)
