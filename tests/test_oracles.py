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


@pytest.mark.parametrize("name", MODELS)
def test_strd_by_gauss_newton(name: str) -> None:
    """From NIST's second start (0 for the linear Norris), all certified digits but two.

    (Jᵀ J)⁻¹ gives the certified standard deviations.
    """
    data_x, data_y, parameters, deviations, rss = certified(name)
    x, y = (sf.placeholder(sf.float64, ("n",)) for _ in range(2))
    b = [sf.placeholder(sf.float64, ("n",)) for _ in parameters]  # repeated: a slope for each row
    fit = MODELS[name](x, *b)
    slopes = sf.stack(sf.gradients(fit, b), axis=1)
    normal = sf.transpose(slopes) @ slopes
    residual = y - fit
    step = sf.matrix_solve(normal, sf.transpose(slopes) @ residual)
    loss = sf.reduce_sum(sf.square(residual))
    freedom = len(data_x) - len(parameters)
    variances = sf.einsum("ii->i", sf.matrix_inverse(normal)) * loss / freedom
    at = second_start(name, len(parameters))
    with sf.Session() as session:
        for _ in range(25):
            feed = {one: np.full(len(data_x), value) for one, value in zip(b, at, strict=True)}
            at = at + session.run(step, feed | {x: data_x, y: data_y})
        found = session.run([loss, sf.sqrt(variances)], feed | {x: data_x, y: data_y})
    assert_allclose(at, parameters, rtol=2e-9)
    assert_allclose(found[0], rss, rtol=1e-9)
    assert_allclose(found[1], deviations, rtol=1e-8)


def second_start(name: str, count: int) -> Array:
    text = (DATA / "strd" / f"{name}.dat").read_text()
    rows = re.findall(r"^ +b\d = +\S+ +(\S+) ", text, re.MULTILINE)
    assert len(rows) == (0 if name == "Norris" else count)
    return np.array([float(row) for row in rows] or [0.0] * count)


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


def cross(x: Any, y: Any) -> Any:
    def turned(vectors: Any, by: int) -> Any:
        return sf.gather(vectors, np.roll([0, 1, 2], -by), axis=1)

    return turned(x, 1) * turned(y, 2) - turned(x, 2) * turned(y, 1)


def projected(cameras: Any, points: Any) -> Any:
    """Pinhole cameras with radial distortion, one camera and one point per row.

    Of a camera: 3 numbers of its rotation (the axis, as long as the angle, in radians), its
    centre, its focal length, its principal point, 2 coefficients of the distortion.
    """
    rotation, centre, focal = cameras[:, :3], cameras[:, 3:6], cameras[:, 6:7]
    principal, k1, k2 = cameras[:, 7:9], cameras[:, 9:10], cameras[:, 10:11]
    angle = sf.sqrt(sf.reduce_sum(sf.square(rotation), axis=1, keepdims=True))
    axis = rotation / angle
    x = points - centre
    along = sf.reduce_sum(axis * x, axis=1, keepdims=True)
    turned = x * sf.cos(angle) + cross(axis, x) * sf.sin(angle) + axis * along * (1 - sf.cos(angle))
    flat = turned[:, :2] / turned[:, 2:]
    square = sf.reduce_sum(sf.square(flat), axis=1, keepdims=True)
    return focal * flat * (1 + k1 * square + k2 * square**2) + principal


def test_adbench_bundle_adjustment() -> None:
    """Every row of the sparse Jacobian: 10 observations of 10 points by 2 cameras.

    The file holds one camera, point, weight and feature, which all have.
    """
    golden = json.loads((DATA / "adbench" / "golden.json").read_text())["ba"]
    lines = (DATA / "adbench" / "ba_test.txt").read_text().splitlines()
    n, m, p = map(int, lines[0].split())
    camera, point, weight, feature = (np.array(line.split(), float) for line in lines[1:])
    seen_by, seen = np.arange(p) % n, np.arange(p) % m

    cameras = sf.Variable(np.tile(camera, (n, 1)))
    points = sf.Variable(np.tile(point, (m, 1)))
    weights = sf.Variable(np.tile(weight, p))
    chosen = sf.placeholder(sf.float64, (p, 2))  # a row of the Jacobian
    projection = projected(sf.gather(cameras, seen_by), sf.gather(points, seen))
    residuals = weights[:, None] * (projection - feature)
    weight_residuals = 1 - sf.square(weights)
    slopes = sf.gradients(sf.reduce_sum(chosen * residuals), [cameras, points, weights])
    weight_slope = sf.gradients(weight_residuals, weights)[0]

    def close(found: Array, expected: Any) -> None:
        expected = np.broadcast_to(expected, found.shape)
        scale = np.maximum(1, np.abs(found) + np.abs(expected))
        assert np.max(np.abs(found - expected) / scale) <= 1e-10

    with sf.Session() as session:
        values = session.run([residuals, weight_residuals, weight_slope])
        close(values[0], golden["reproj_err"])
        close(values[1], golden["w_err"])
        close(values[2], golden["dw"])
        for observation in range(p):
            for coordinate, row in enumerate(np.array(golden["J_2x15"])):
                cotangent = np.zeros((p, 2))
                cotangent[observation, coordinate] = 1
                found = session.run(slopes, {chosen: cotangent})
                expected = [np.zeros((n, 11)), np.zeros((m, 3)), np.zeros(p)]
                places = (seen_by[observation], seen[observation], observation)
                parts = (row[:11], row[11:14], row[14])
                for one, place, part in zip(expected, places, parts, strict=True):
                    one[place] = part
                for slope, right in zip(found, expected, strict=True):
                    close(slope, right)


# --- Rubi ------------------------------------------------------------------------------------

FUNCTIONS: dict[Any, Callable[[Any], Any]] = {
    sp.exp: sf.exp,
    sp.log: sf.log,
    sp.sin: sf.sin,
    sp.cos: sf.cos,
    sp.tan: sf.tan,
    sp.cot: lambda x: 1 / sf.tan(x),
    sp.sec: lambda x: 1 / sf.cos(x),
    sp.csc: lambda x: 1 / sf.sin(x),
    sp.asin: sf.asin,
    sp.acos: sf.acos,
    sp.atan: sf.atan,
    sp.acot: lambda x: sf.atan(1 / x),
    sp.asec: lambda x: sf.acos(1 / x),
    sp.acsc: lambda x: sf.asin(1 / x),
    sp.asinh: sf.asinh,
    sp.atanh: sf.atanh,
}
"""What occurs in the pairs beside powers; those that NumPy lacks as Maxima defines them."""

PAIRS = [
    pair
    for suite in json.loads((DATA / "rubi_derivative_pairs.json").read_text()).values()
    for pair in suite
]

IMAGINARY: dict[str, tuple[tuple[int, ...], list[dict[str, float]]]] = {
    "atan(sqrt(x))^2": ((0,), []),
    "2*atan(sqrt(1-a)*tan(1/2*x)/sqrt(1+a))/sqrt(1-a^2)": (
        (0, 1, 2),
        [{"a": 0.5, "x": 0.37}, {"a": -0.25, "x": 1.5}, {"a": 0.875, "x": -2.5}],
    ),
}
"""Points at which F is real by way of imaginary square roots, which symflow does not take: there
the result is NaN. And points to take in their place, where f is evaluated from its text."""


def parsed(maxima: str, symbols: dict[str, Any]) -> sp.Expr:
    """Maxima's text as SymPy reads it, with nothing rearranged.

    Where a pair has a symbol e, its text says %e for it too.
    """
    text = maxima.replace("%e", "e" if "e" in symbols else "E")
    text = text.replace("^", "**").replace("%pi", "pi")
    names = {name: sp.Symbol(name) for name in re.findall(r"\b[A-Za-z]\w*\b(?!\()", text)}
    return parse_expr(text, local_dict=names | {"E": sp.E, "pi": sp.pi}, evaluate=False)


def evaluated(pair: dict[str, Any], at: dict[str, float]) -> dict[str, Any]:
    """f and F at another point, in 20 digits, from their texts."""
    f, whole = (
        sp.N(parsed(pair[text], at).subs({name: sp.Rational(v) for name, v in at.items()}), 20)
        for text in ("integrand", "antiderivative")
    )
    return {"at": at, "f": str(f), "F": str(whole)}


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


def test_rubi_pairs_are_all_there() -> None:
    assert len(PAIRS) == 261
    written = {name for pair in PAIRS for name in re.findall(r"(\w+)\(", pair["antiderivative"])}
    assert written == {function.__name__ for function in FUNCTIONS} - {"exp"} | {"sqrt"}


@pytest.mark.parametrize("pair", PAIRS, ids=[pair["antiderivative"][:60] for pair in PAIRS])
def test_rubi(pair: dict[str, Any]) -> None:
    """The derivative of the antiderivative is the integrand."""
    missing, others = IMAGINARY.get(pair["antiderivative"], ((), []))
    points = pair["points"] + [evaluated(pair, at) for at in others]
    symbols = {name: sf.placeholder(sf.float64, (len(points),)) for name in points[0]["at"]}
    antiderivative = graph_of(parsed(pair["antiderivative"], symbols), symbols)
    (slope,) = sf.gradients(antiderivative, symbols[pair["var"]])
    feed = {node: [point["at"][name] for point in points] for name, node in symbols.items()}
    value, result = evaluate([antiderivative, slope], feed)
    right = np.array([float(point["f"]) for point in points])
    tolerance = np.maximum(
        1e-8 * np.maximum(1e-3, np.abs(right)), 100 * pair["naive_float64_relerr"]
    )
    wrong = ~(np.abs(result - right) <= tolerance)
    assert tuple(np.flatnonzero(wrong)) == missing
    assert np.all(np.isnan(result[wrong]))
    real = np.isfinite(value)  # F is a real part where the logarithm of x < 0 occurs in it
    antiderivatives = np.array([float(point["F"]) for point in points])
    assert_allclose(value[real], antiderivatives[real], rtol=1e-8, atol=1e-9)
