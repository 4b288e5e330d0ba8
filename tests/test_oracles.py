"""Reference values that this project did not compute: NIST, ADBench, Rubi. See data/README.md."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from functools import reduce
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sympy as sp
from numpy.testing import assert_allclose
from numpy.typing import NDArray
from reference import evaluate
from sympy.parsing.sympy_parser import parse_expr

import symflow as sf

Array = NDArray[Any]
DATA = Path(__file__).parent / "data"


# --- NIST StRD -------------------------------------------------------------------------------

MODELS: dict[str, Callable[..., Any]] = {
    "Norris": lambda x, b0, b1: b0 + b1 * x,
    "Misra1a": lambda x, b1, b2: b1 * (1 - sf.exp(-b2 * x)),
    "Chwirut2": lambda x, b1, b2, b3: sf.exp(-b1 * x) / (b2 + b3 * x),
    "Rat42": lambda x, b1, b2, b3: b1 / (1 + sf.exp(b2 - b3 * x)),
}


def certified(name: str) -> tuple[Array, Array, list[float], list[float], float]:
    """x, y, the certified parameters, their standard deviations, the residual sum of squares."""
    text = (DATA / "strd" / f"{name}.dat").read_text()
    first, last = map(int, re.search(r"Data +\(lines (\d+) to +(\d+)\)", text).groups())
    y, x = np.loadtxt(text.splitlines()[first - 1 : last]).T
    rows = re.findall(r"^ +[Bb]\d .*?(\S+) +(\S+) *$", text, re.MULTILINE)
    rss = re.search(r"Residual Sum of Squares: +(\S+)|^Residual +\d+ +(\S+)", text, re.MULTILINE)
    values, deviations = zip(*[map(float, row) for row in rows], strict=True)
    return x, y, list(values), list(deviations), float(rss[1] or rss[2])


@pytest.mark.parametrize("name", MODELS)
def test_strd(name: str) -> None:
    """The certified parameters have the certified residuals, and no slope."""
    data_x, data_y, parameters, deviations, rss = certified(name)
    x, y = (sf.placeholder(sf.float64, ("n",)) for _ in range(2))
    b = [sf.Variable(parameter) for parameter in parameters]
    loss = sf.reduce_sum(sf.square(y - MODELS[name](x, *b)))
    value, *slopes = evaluate([loss, *sf.gradients(loss, b)], {x: data_x, y: data_y})
    assert_allclose(value, rss, rtol=2e-10)
    # A step by one standard deviation changes the loss by about rss / (n - p); the parameters are
    # certified to eleven digits.
    slack = [
        1e-9 * abs(at) / deviation for at, deviation in zip(parameters, deviations, strict=True)
    ]
    scaled = [slope * deviation / rss for slope, deviation in zip(slopes, deviations, strict=True)]
    assert np.all(np.abs(scaled) <= 1e-10 + sum(slack))


# --- ADBench ---------------------------------------------------------------------------------


def mixture(path: Path) -> tuple[Array, Array, Array, Array, float, int]:
    """alphas (k,), means (k, d), icf (k, d(d+1)/2), x (n, d), and Wishart's gamma and m."""
    lines = path.read_text().splitlines()
    d, k, n = map(int, lines[0].split())
    rows = [np.array(line.split(), float) for line in lines[1:]]
    alphas = np.concatenate(rows[:k])
    means, icf, x = (
        np.stack(rows[k + at : k + at + size]) for at, size in ((0, k), (k, k), (2 * k, n))
    )
    assert x.shape == (n, d)
    gamma, m = rows[2 * k + k + n]
    return alphas, means, icf, x, float(gamma), int(m)


def log_wishart_constant(d: int, gamma: float, m: int) -> float:
    degrees = d + m + 1
    gammas = sum(math.lgamma(0.5 * (degrees + 1 - j)) for j in range(1, d + 1))
    log_gamma = 0.25 * d * (d - 1) * math.log(math.pi) + gammas
    return degrees * d * (math.log(gamma) - 0.5 * math.log(2)) - log_gamma


def test_adbench_gaussian_mixture() -> None:
    """The log-likelihood as its formula stands on paper, with naive log Σ exp."""
    golden = json.loads((DATA / "adbench" / "golden.json").read_text())["gmm"]
    given_alphas, given_means, given_icf, data, gamma, m = mixture(
        DATA / "adbench" / "gmm_test.txt"
    )
    (k, d), n = given_means.shape, len(data)
    places = np.zeros((d * (d - 1) // 2, d, d))
    below = [(row, column) for column in range(d) for row in range(column + 1, d)]
    for number, (row, column) in enumerate(below):
        places[number, row, column] = 1

    alphas, means, icf = map(sf.Variable, (given_alphas, given_means, given_icf))
    x = sf.placeholder(sf.float64, ("n", d))
    log_diagonal, lower = icf[:, :d], icf[:, d:]
    q = sf.exp(log_diagonal)[:, :, None] * np.eye(d) + sf.einsum("kl,lij->kij", lower, places)
    whitened = sf.einsum("kij,nkj->nki", q, x[:, None, :] - means)
    distances = sf.reduce_sum(sf.square(whitened), axis=-1)
    exponents = alphas + sf.reduce_sum(log_diagonal, axis=1) - 0.5 * distances
    likelihood = sf.reduce_sum(sf.log(sf.reduce_sum(sf.exp(exponents), axis=1)))
    weights = n * sf.log(sf.reduce_sum(sf.exp(alphas)))
    squares = sf.reduce_sum(sf.exp(2 * log_diagonal)) + sf.reduce_sum(lower**2)
    prior = 0.5 * gamma**2 * squares - m * sf.reduce_sum(log_diagonal)
    constant = -n * d * 0.5 * math.log(2 * math.pi) - k * log_wishart_constant(d, gamma, m)
    objective = likelihood - weights + prior + constant

    fetches = [objective, *sf.gradients(objective, [alphas, means, icf])]
    value, *slopes = evaluate(fetches, {x: data})
    found = np.concatenate([slope.ravel() for slope in slopes])
    expected = np.array(golden["gradient"])
    assert abs(value - golden["objective"]) <= 1e-10 * max(1, abs(value) + golden["objective"])
    scale = np.maximum(1, np.abs(found) + np.abs(expected))
    assert np.max(np.abs(found - expected) / scale) <= 1e-10


# --- Rubi ------------------------------------------------------------------------------------

FUNCTIONS: dict[Any, Callable[[Any], Any]] = {
    sp.exp: sf.exp,
    sp.log: sf.log,
    sp.sin: sf.sin,
    sp.cos: sf.cos,
    sp.tanh: sf.tanh,
}
KNOWN = {"exp", "log", "sqrt", "sin", "cos", "tanh"}
PAIRS = [
    pair
    for suite in json.loads((DATA / "rubi_derivative_pairs.json").read_text()).values()
    for pair in suite
    if set(re.findall(r"(\w+)\(", pair["antiderivative"])) <= KNOWN
]


def parsed(maxima: str, symbols: dict[str, Any]) -> sp.Expr:
    """Maxima's text as SymPy reads it, with nothing rearranged.

    Where a pair has a symbol e, its text says %e for it too.
    """
    text = maxima.replace("%e", "e" if "e" in symbols else "E")
    text = text.replace("^", "**").replace("%pi", "pi")
    names = {name: sp.Symbol(name) for name in re.findall(r"\b[A-Za-z]\w*\b(?!\()", text)}
    return parse_expr(text, local_dict=names | {"E": sp.E, "pi": sp.pi}, evaluate=False)


def graph_of(expression: sp.Expr, symbols: dict[str, Any]) -> Any:
    """A SymPy expression as nodes, one operation at a time."""
    if isinstance(expression, sp.Symbol):
        return symbols[expression.name]
    if expression.is_number and not expression.args:
        return float(expression)
    operands = [graph_of(part, symbols) for part in expression.args]
    if isinstance(expression, sp.Add):
        return reduce(lambda x, y: x + y, operands)
    if isinstance(expression, sp.Mul):
        return reduce(lambda x, y: x * y, operands)
    if isinstance(expression, sp.Pow):
        return operands[0] ** operands[1]
    return FUNCTIONS[expression.func](*operands)


def test_rubi_pairs_are_many() -> None:
    assert len(PAIRS) >= 171


@pytest.mark.parametrize("pair", PAIRS, ids=[pair["antiderivative"][:60] for pair in PAIRS])
def test_rubi(pair: dict[str, Any]) -> None:
    """The derivative of the antiderivative is the integrand."""
    points = pair["points"]
    symbols = {name: sf.placeholder(sf.float64, (len(points),)) for name in points[0]["at"]}
    antiderivative = graph_of(parsed(pair["antiderivative"], symbols), symbols)
    (slope,) = sf.gradients(antiderivative, symbols[pair["var"]])
    feed = {node: [point["at"][name] for point in points] for name, node in symbols.items()}
    value, result = evaluate([antiderivative, slope], feed)
    right = np.array([float(point["f"]) for point in points])
    tolerance = np.maximum(
        1e-8 * np.maximum(1e-3, np.abs(right)), 100 * pair["naive_float64_relerr"]
    )
    assert np.all(np.abs(result - right) <= tolerance)
    real = np.isfinite(value)  # F is a real part where the logarithm of x < 0 occurs in it
    antiderivatives = np.array([float(point["F"]) for point in points])
    assert_allclose(value[real], antiderivatives[real], rtol=1e-8, atol=1e-9)
