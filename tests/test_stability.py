"""Rules never make a value or a gradient worse: one-sided, against mpmath and FPBench."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import mpmath
import numpy as np
import pytest
from conftest import ROOT, imported

import symflow as sf
from symflow.files import compilation, compile_files, write
from symflow.rules import NAMES, RULES, Rule, described

DIGITS = 1600
"""Of the reference: 1e300 + 1 must not be 1e300."""

REFERENCE = SimpleNamespace(
    **{
        name: getattr(mpmath, name)
        for name in (
            *("exp", "log", "sqrt", "sin", "cos", "tan", "atan", "expm1", "erf", "erfc"),
            *("cosh", "sinh"),
        )
    },
    sigmoid=lambda x: 1 / (1 + mpmath.exp(-x)),
    tanh=mpmath.tanh,
    ndtr=lambda x: mpmath.erfc(-x / mpmath.sqrt(2)) / 2,
    log1p=mpmath.log1p,
    pow=lambda x, y: x**y,
    logaddexp=lambda x, y: mpmath.log(mpmath.exp(x) + mpmath.exp(y)),
    square=lambda x: x * x,
)

Formula = Callable[[Any, Any], Any]

_TINY = [10.0**e for e in (-300, -160, -20, -9, -5)]
_ORDINARY = [0.001, 0.3, 0.7, 1.0, 1.5, 3.0, 11.0]
_LARGE = [50.0, 300.0, 800.0, 1500.0]
_HUGE = [1e9, 1e20, 1e150, 1e300]


def both(points: list[float]) -> list[float]:
    return [*(-x for x in points), *points]


EXPONENTS = both([*_TINY, *_ORDINARY, *_LARGE])
NORMAL = both([*_TINY, *_ORDINARY, 6.5, 9.0, 25.0])
POSITIVE = [*_TINY, *_ORDINARY, *_LARGE, *_HUGE]
ANGLES = both([*_TINY, *_ORDINARY, 50.0, 1e5, 3.1415, 1.5707])

HILL = [0.1, 0.5, 1.0, 2.0, 2.5, 5.0, 12.0]

CASES: dict[str, tuple[Formula, list[float]]] = {
    "log-sigmoid": (lambda m, x: m.log(m.sigmoid(x)), EXPONENTS),
    "log-one-minus-sigmoid": (lambda m, x: m.log(1 - m.sigmoid(x)), EXPONENTS),
    "log1p-minus-sigmoid": (lambda m, x: m.log1p(-m.sigmoid(x)), EXPONENTS),
    "softplus": (lambda m, x: m.log(1 + m.exp(x)), EXPONENTS),
    "softplus-log1p": (lambda m, x: m.log1p(m.exp(x)), EXPONENTS),
    "logaddexp-zero": (lambda m, x: m.logaddexp(x, 0.0), EXPONENTS),
    "logaddexp-zero-first": (lambda m, x: m.logaddexp(0.0, x), EXPONENTS),
    "tanh": (lambda m, x: (m.exp(x) - m.exp(-x)) / (m.exp(x) + m.exp(-x)), EXPONENTS),
    "tanh-quotient": (lambda m, x: (m.exp(2 * x) - 1) / (m.exp(2 * x) + 1), EXPONENTS),
    "tanh-quotient-negative": (lambda m, x: (1 - m.exp(x)) / (1 + m.exp(x)), EXPONENTS),
    "tanh-of-sigmoid": (lambda m, x: 2 * m.sigmoid(2 * x) - 1, EXPONENTS),
    "sigmoid-quotient": (lambda m, x: m.exp(x) / (1 + m.exp(x)), EXPONENTS),
    "sigmoid": (lambda m, x: 1 / (1 + m.exp(x)), EXPONENTS),
    "one-minus-sigmoid": (lambda m, x: 1 - m.sigmoid(x), EXPONENTS),
    "logaddexp": (lambda m, x: m.log(m.exp(x) + m.exp(x / 3)), EXPONENTS),
    "log-of-exp-product": (lambda m, x: m.log(m.exp(x) * (x * x + 2)), EXPONENTS),
    "log-of-exp-product-far": (lambda m, x: m.log(m.exp(x) * (x * x + 2)), EXPONENTS),
    "exp-product": (lambda m, x: m.exp(3 * x) / m.exp(2 * x), EXPONENTS),
    "exp-quotient": (lambda m, x: (m.exp(2 * x) - 1) / (m.exp(x) - 1), EXPONENTS),
    "exp-over-expm1": (lambda m, x: m.exp(x) / (m.exp(x) - 1), EXPONENTS),
    "exp-second-difference": (lambda m, x: m.exp(x) - 2 + m.exp(-x), EXPONENTS),
    "sinh": (lambda m, x: m.exp(x) - m.exp(-x), EXPONENTS),
    "log-one-minus-exp": (lambda m, x: m.log(1 - m.exp(-x)), [*_TINY, *_ORDINARY, *_LARGE]),
    "log-exp-minus-one": (lambda m, x: m.log(m.exp(x) - 1), [*_TINY, *_ORDINARY, *_LARGE]),
    "expm1": (lambda m, x: m.exp(x) - 1, EXPONENTS),
    "atanh": (lambda m, x: m.log((1 + x) / (1 - x)), both([*_TINY, 0.3, 0.9, 1 - 1e-12])),
    "atanh-difference": (lambda m, x: m.log(1 + x) - m.log(1 - x), both([*_TINY, 0.3, 0.99])),
    "log1p": (lambda m, x: m.log(1 + x), [-0.9, -0.5, *(-x for x in _TINY), *POSITIVE]),
    "log-difference": (lambda m, x: m.log(x + 3) - m.log(x), POSITIVE),
    "log1p-minus-log": (lambda m, x: m.log(x + 1) - m.log(x), POSITIVE),
    "log-minus-log1p": (lambda m, x: m.log(x + 2) - m.log(x + 1), POSITIVE),
    "xlogx": (lambda m, x: x * m.log(x), POSITIVE),
    "xlogy": (lambda m, x: m.square(x - 2) * m.log(x), POSITIVE[:-2]),
    "xlogy-in-sum": (lambda m, x: x * (m.log(x / 3) + 1), POSITIVE[:-1]),
    "xlogy-from-sum": (lambda m, x: x * (2 - m.log(x)), POSITIVE[:-1]),
    "xlogx-difference-log1p": (lambda m, x: (x + 1) * m.log(x + 1) - x * m.log(x), POSITIVE),
    "xlogx-difference": (lambda m, x: (x + 2) * m.log(x + 2) - x * m.log(x), POSITIVE),
    "erfc": (lambda m, x: 1 - m.erf(x), both([*_TINY, *_ORDINARY, 25.0])),
    "erfc-lower-tail": (lambda m, x: 1 + m.erf(x), both([*_TINY, *_ORDINARY, 25.0])),
    "half-angle": (lambda m, x: (1 - m.cos(x)) / m.sin(x), ANGLES),
    "half-angle-inverse": (lambda m, x: m.sin(x) / (1 + m.cos(x)), ANGLES),
    "one-minus-cos": (lambda m, x: 1 - m.cos(x), ANGLES),
    "sin-difference": (lambda m, x: m.sin(x + 2.0**-20) - m.sin(x), ANGLES),
    "cos-difference": (lambda m, x: m.cos(x + 2.0**-20) - m.cos(x), ANGLES),
    "tan-difference": (lambda m, x: m.tan(x + 2.0**-20) - m.tan(x), ANGLES),
    "atan-difference": (lambda m, x: m.atan(x + 1) - m.atan(x), both(POSITIVE)),
    "root-difference": (lambda m, x: m.sqrt(x + 1) - m.sqrt(x), POSITIVE),
    "power-difference": (lambda m, x: m.pow(x + 1, x / x / 3) - m.pow(x, x / x / 3), POSITIVE),
    "number-power-difference": (lambda m, x: m.pow(x + 1, 0.3) - m.pow(x, 0.3), POSITIVE),
    "conjugate-positive": (lambda m, x: m.sqrt(1 + x * x) - 1, both(POSITIVE[:-2])),
    "conjugate": (lambda m, x: m.sqrt(1 + x * x) - x, both(POSITIVE[:-2])),
    "conjugate-norm": (lambda m, x: m.sqrt(x * x + m.square(x / 7)) - x, both(POSITIVE[2:-2])),
    "fraction-second-difference": (
        lambda m, x: 1 / (x + 1) - 2 / x + 1 / (x - 1),
        [0.001, 0.3, 1.5, 11.0, 5e3, 1e9, 1e90],
    ),
    "fraction-difference": (lambda m, x: 1 / (x + 1) - 1 / x, POSITIVE[1:]),
    "difference-of-squares": (
        lambda m, x: m.square(x * 3) - m.square(m.sin(x) + 1),
        [*_TINY, *_ORDINARY, 0.4797311, 1e5, 1e150],
    ),
    "xlogx-of-rest": (lambda m, x: (1 - x) * m.log(1 - x), [*_TINY, 0.3, 0.6, 0.999, -3.0, -1e9]),
    "xlog1py": (lambda m, x: (2 - x * x) * m.log(1 - x), [*_TINY, 0.3, 0.6, 0.999, -3.0, -1e9]),
    "sigmoid-of-difference": (lambda m, x: m.exp(x) / (m.exp(x) + m.exp(x / 3)), EXPONENTS),
    "log-ndtr": (lambda m, x: m.log(m.ndtr(x)), NORMAL),
    "one-minus-ndtr": (lambda m, x: 1 - m.ndtr(x), NORMAL),
    "log-erfc": (lambda m, x: m.log(m.erfc(x)), NORMAL),
    "log-half-erfc": (lambda m, x: m.log(0.5 * m.erfc(-x / 2**0.5)), NORMAL),
    "log-cosh": (lambda m, x: m.log(m.cosh(x)), EXPONENTS),
    "log-sinh": (lambda m, x: m.log(m.sinh(x)), [*_TINY, *_ORDINARY, *_LARGE]),
    "exprel": (lambda m, x: (m.exp(2 * x) - 1) / x, EXPONENTS),
    "exprel-inverse": (lambda m, x: x / (m.exp(x) - 1), EXPONENTS),
    "log1prel": (lambda m, x: m.log(1 + x) / x, [-0.9, -0.5, *(-x for x in _TINY), *POSITIVE]),
    "log1prel-inverse": (lambda m, x: x / m.log(1 + x), [-0.9, -0.5, *POSITIVE]),
    "sinc": (lambda m, x: m.sin(3 * x) / x, ANGLES),
    "box-cox": (lambda m, x: (m.pow(x, x / x / 2**20) - 1) / (x / x / 2**20), POSITIVE),
    "tanh-ratio": (lambda m, x: m.tanh(3 * x) / x, EXPONENTS),
    "sinc-inverse": (lambda m, x: x / m.sin(x), ANGLES),
    "one-minus-cos-quotient": (lambda m, x: (1 - m.cos(2 * x)) / x, ANGLES),
    "one-minus-cos-square": (lambda m, x: (1 - m.cos(x)) / m.square(x), ANGLES),
    "one-minus-inverse": (lambda m, x: 1 - 1 / (1 + x), [-0.9, -0.5, *POSITIVE]),
    "one-minus-quotient": (lambda m, x: 1 - x / (3 + x), [-0.9, *POSITIVE]),
    "hill": (lambda m, x: 1 / (1 + m.pow(3 / x, x)), HILL),
    "one-minus-hill": (lambda m, x: 1 - 1 / (1 + m.pow(3 / x, x)), HILL),
    "saturation": (lambda m, x: 1 / (1 + 2.5 * (3 + x) / x), both(POSITIVE)),
    "saturation-slope": (lambda m, x: x / (x + 3), [-50.0, -1e9, *POSITIVE]),
    "quotient-slope": (lambda m, x: x / (2 * x + 3), [-50.0, -1e9, *POSITIVE]),
    "parallel": (lambda m, x: 1 / (1 / x + 1 / (3 + x)), POSITIVE),
    "difference-of-computed-squares": (
        lambda m, x: m.square(m.tan(x + 2.0**-20)) - m.square(m.tan(x)),
        [*_TINY, *_ORDINARY],
    ),
    "one-minus-square": (lambda m, x: 1 - x * x, both([*_TINY, *_ORDINARY, 1 - 1e-9, 1e150])),
}
"""A formula for each rule on bodies, and where it is tried."""

EXACT = {
    "masked-factor",
    "masked-factor-no",
    "log-of-choice",
    "masked-product",
    "masked-product-no",
    "masked-branch",
    "masked-branch-no",
} | {
    "where-sum",
    "where-difference",
}
"""Rules that move terms in and out of branches, and round nothing: tested as equations."""

ELSEWHERE = {"log-beta", "lgamma-difference", "digamma-difference"}
"""Rules of which mpmath has not so many digits in reasonable time: test_gamma_differences.py."""


def exponent_rounds(name: str, point: float) -> float:
    """What half an ulp of an exponent x - x/3 is worth, in ulps of its exponential."""
    return abs(point) / 3 if name == "sigmoid-of-difference" else 0.0


def in_ulps(found: float, expected: mpmath.mpf) -> float:
    """The distance from the true value in units in the last place of it."""
    if not np.isfinite(found):
        return np.inf
    unit = np.spacing(abs(float(expected)))
    return float(abs(mpmath.mpf(float(found)) - expected) / mpmath.mpf(float(unit)))


def evaluated(formula: Formula, points: list[float], without: tuple[str, ...] = ()) -> Any:
    """Values and derivatives of a formula at some points."""
    x = sf.placeholder(sf.float64, (len(points),))
    y = formula(sf, x)
    with sf.Session(without=without) as session:
        return session.run([y, *sf.gradients(sf.reduce_sum(y), [x])], {x: np.array(points)})


def truth(formula: Formula, point: float) -> tuple[mpmath.mpf, mpmath.mpf]:
    """Value and derivative in many digits, by a difference with a step beyond them."""
    x = mpmath.mpf(point)
    step = abs(x) * mpmath.mpf(10) ** -200
    low, middle, high = (formula(REFERENCE, one) for one in (x - step, x, x + step))
    return middle, (high - low) / (2 * step)


@pytest.mark.parametrize("name", CASES)
def test_a_rule_never_hurts(name: str) -> None:
    formula, points = CASES[name]
    after = evaluated(formula, points)
    before = evaluated(formula, points, NAMES)
    with mpmath.workdps(DIGITS):
        for at, point in enumerate(points):
            for part, expected in enumerate(truth(formula, point)):
                if abs(expected) > 1e308 or 0 < abs(expected) < 1e-300:
                    continue
                worse, naive = (in_ulps(one[part][at], expected) for one in (after, before))
                naive = max(naive, exponent_rounds(name, point))
                assert worse <= 4 * naive + 8, (point, ("value", "gradient")[part], worse, naive)


def test_every_rule_has_a_case() -> None:
    on_bodies = {rule.name for rule in RULES if not rule.structural}
    assert on_bodies | {"exp-product"} == set(CASES) | EXACT | ELSEWHERE


# --- FPBench ---------------------------------------------------------------------------------

FPBENCH = json.loads((Path(__file__).parent / "data" / "fpbench_hamming.json").read_text())
_FPCORE: dict[str, Callable[..., Any]] = {
    "+": lambda a, b: a + b,
    "-": lambda a, b=None: -a if b is None else a - b,
    "*": lambda a, b: a * b,
    "/": lambda a, b: a / b,
    **{name: getattr(sf, name) for name in ("sqrt", "exp", "log", "sin", "cos", "tan", "atan")},
    "pow": sf.pow,
}


def built(core: Any, arguments: dict[str, Any]) -> Any:
    """A graph from an FPCore expression as nested lists."""
    if isinstance(core, str):
        return arguments[core] if core in arguments else float(core)
    return _FPCORE[core[0]](*(built(part, arguments) for part in core[1:]))


def fpbench_errors(entry: dict[str, Any], without: tuple[str, ...]) -> np.ndarray[Any, Any]:
    """In ulps: a row per point, f first, then the derivative by each argument."""
    x = {name: sf.placeholder(sf.float64, ()) for name in entry["args"]}
    f = built(entry["fpcore_body"], x)
    fetches = [f, *sf.gradients(f, list(x.values()))]
    rows = []
    with sf.Session(without=without) as session:
        for point in entry["points"]:
            found = session.run(fetches, {x[name]: point["x"][name] for name in x})
            expected = [point["f"], *(point["df"][name] for name in x)]
            pairs = zip(found, map(mpmath.mpf, expected), strict=True)
            rows.append([in_ulps(float(one), exact) for one, exact in pairs])
    return np.array(rows)


@pytest.fixture(scope="module")
def fpbench() -> dict[str, tuple[Any, Any]]:
    """For every expression: the errors of the naive code, and those with the rules."""
    with mpmath.workdps(40):
        return {
            entry["name"]: (fpbench_errors(entry, NAMES), fpbench_errors(entry, ()))
            for entry in FPBENCH
        }


@pytest.mark.parametrize("name", [entry["name"] for entry in FPBENCH])
def test_fpbench(name: str, fpbench: dict[str, tuple[Any, Any]]) -> None:
    naive, found = fpbench[name]
    assert np.all(found <= 10 * naive + 4)


def test_fpbench_is_mostly_better(fpbench: dict[str, tuple[Any, Any]]) -> None:
    assert len(fpbench) == 28
    gained = [np.mean(bits(naive) - bits(found)) for naive, found in fpbench.values()]
    assert sum(gain > 0.25 for gain in gained) >= 22
    assert np.median(gained) > 1.4  # of what the code loses as it is written, sums and all


def bits(ulps: Any) -> Any:
    """Wrong bits of 53, as FPBench counts them."""
    return np.log2(1.0 + np.minimum(ulps, 2.0**53))


# --- several kernels -------------------------------------------------------------------------


def test_variance_of_numbers_far_from_zero() -> None:
    x = sf.placeholder(sf.float64, ("n",))
    naive = sf.reduce_mean(sf.square(x)) - sf.square(sf.reduce_mean(x))
    data = 1e9 + np.array([4.0, 7.0, 13.0, 16.0])
    with sf.Session() as session:
        value, slope = session.run([naive, *sf.gradients(naive, [x])], {x: data})
    assert value == 22.5
    np.testing.assert_allclose(slope, (data - data.mean()) / 2, rtol=1e-15)


@pytest.mark.parametrize("keepdims", [False, True])
def test_variance_along_an_axis(keepdims: bool) -> None:
    x = sf.placeholder(sf.float64, ("n", 5))
    mean = sf.reduce_mean(x, 0, keepdims=keepdims)
    naive = sf.reduce_mean(x * x, 0, keepdims=keepdims) - mean * mean
    data = 1e8 + np.random.default_rng(0).normal(size=(7, 5))
    expected = np.var(data, axis=0, keepdims=keepdims)
    np.testing.assert_allclose(sf.Session().run(naive, {x: data}), expected, rtol=1e-12)


def test_a_mean_of_something_else_is_no_variance() -> None:
    x, y = (sf.placeholder(sf.float64, ("n",)) for _ in range(2))
    z = sf.reduce_mean(sf.square(x)) - sf.square(sf.reduce_mean(y))
    assert sf.Session().run(z, {x: [1.0, 2.0], y: [3.0, 5.0]}) == 2.5 - 16.0
    z = sf.reduce_sum(sf.square(x)) - sf.square(sf.reduce_sum(x))
    assert sf.Session().run(z, {x: [1.0, 2.0]}) == 5.0 - 9.0


LOG_SUM_EXPS: dict[str, Callable[[Any], Any]] = {
    "reduce_logsumexp": sf.reduce_logsumexp,
    "naive": lambda x: sf.log(sf.reduce_sum(sf.exp(x))),
}


@pytest.mark.parametrize("function", LOG_SUM_EXPS.values(), ids=LOG_SUM_EXPS.keys())
@pytest.mark.parametrize(
    ("at", "value", "slope"),
    [
        ([-np.inf, -np.inf], -np.inf, [0.0, 0.0]),
        ([-np.inf, 1.0], 1.0, [0.0, 1.0]),
        ([-1000.0, -1000.0], -1000.0 + np.log(2.0), [0.5, 0.5]),
        ([1000.0, 1000.0], 1000.0 + np.log(2.0), [0.5, 0.5]),
    ],
)
def test_log_sum_exp(function: Any, at: list[float], value: float, slope: list[float]) -> None:
    x = sf.placeholder(sf.float64, (2,))
    y = function(x)
    found, gradient = sf.Session().run([y, *sf.gradients(y, [x])], {x: at})
    np.testing.assert_allclose(found, value, rtol=1e-15)
    np.testing.assert_allclose(gradient, slope, rtol=1e-12)


@pytest.mark.parametrize("far", [-900.0, 900.0])
def test_cross_entropies_from_probabilities(far: float) -> None:
    """The gradient is that of mathematics where the probability is 0 or 1 in floating point."""
    z, y = (sf.placeholder(sf.float64, (2,)) for _ in range(2))
    p = sf.sigmoid(z)
    loss = sf.reduce_sum(-y * sf.log(p) - (1 - y) * sf.log(1 - p))
    value, slope = sf.Session().run(
        [loss, *sf.gradients(loss, [z])], {z: [far, far], y: [0.0, 1.0]}
    )
    assert value == 900.0
    np.testing.assert_array_equal(slope, np.heaviside(far, 0.0) - np.array([0.0, 1.0]))


@pytest.mark.parametrize(
    "softmax",
    [lambda z: sf.softmax(z), lambda z: sf.exp(z) / sf.reduce_sum(sf.exp(z), keepdims=True)],
    ids=["softmax", "by hand"],
)
def test_cross_entropy_of_a_softmax(softmax: Any) -> None:
    z, y = (sf.placeholder(sf.float64, (3,)) for _ in range(2))
    loss = -sf.reduce_sum(y * sf.log(softmax(z)))
    feed = {z: [0.0, 1000.0, -1000.0], y: [1.0, 0.0, 0.0]}
    value, slope = sf.Session().run([loss, *sf.gradients(loss, [z])], feed)
    assert value == 1000.0
    np.testing.assert_array_equal(slope, [-1.0, 1.0, 0.0])


def test_entropy_of_certainty() -> None:
    p = sf.placeholder(sf.float64, (3,))
    entropy = -sf.reduce_sum(p * sf.log(p))
    value, slope = sf.Session().run([entropy, *sf.gradients(entropy, [p])], {p: [0.0, 1.0, 0.0]})
    assert value == 0.0
    np.testing.assert_array_equal(slope, [np.inf, -1.0, np.inf])


def test_products_of_exponentials() -> None:
    x, y = (sf.placeholder(sf.float64, ()) for _ in range(2))
    z = sf.exp(x) * sf.exp(-y)
    found = sf.Session().run([z, *sf.gradients(z, [x, y])], {x: 1000.0, y: 1000.0})
    assert found == [1.0, 1.0, -1.0]


# --- branches not taken ----------------------------------------------------------------------

BRANCHES: dict[str, tuple[str, list[float], list[float], list[float]]] = {
    "sqrt": ("sf.where(x > 0, sf.sqrt(x), 0.0)", [-1.0, 4.0], [0.0, 2.0], [0.0, 0.25]),
    "sqrt at 0": ("sf.where(x > 0, sf.sqrt(x), 0.0)", [0.0, 4.0], [0.0, 2.0], [0.0, 0.25]),
    "log": ("sf.where(x <= 0, 0.0, sf.log(x))", [0.0, 1.0], [0.0, 0.0], [0.0, 1.0]),
    "1/x": ("sf.where(x > 0, 1 / x, x)", [0.0, 2.0], [0.0, 0.5], [1.0, -0.25]),
    "exp": ("sf.where(x < 0, sf.exp(x), 1 + x)", [900.0, 0.0], [901.0, 1.0], [1.0, 1.0]),
    "power": ("sf.where(x > 0, x ** 0.3, 0.0)", [-1.0, 1.0], [0.0, 1.0], [0.0, 0.3]),
    "nested": (
        "sf.where(x > 0, sf.log(sf.sqrt(x)), 0.0)",
        [-1.0, 1.0],
        [0.0, 0.0],
        [0.0, 0.5],
    ),
    "asin": ("sf.where(sf.abs(x) < 1, sf.asin(x), x)", [3.0, 0.0], [3.0, 0.0], [1.0, 1.0]),
}


@pytest.mark.parametrize("case", BRANCHES.values(), ids=BRANCHES.keys())
def test_a_branch_not_taken_is_silent(
    case: tuple[str, list[float], list[float], list[float]], tmp_path: Path
) -> None:
    text, at, value, slope = case
    model = tmp_path / "model.py"
    model.write_text(
        f"import symflow as sf\nx = sf.Variable(sf.zeros(2))\ny = {text}\nloss = sf.reduce_sum(y)\n"
    )
    write(compile_files(model, tmp_path / "out", {}, "float64"))
    module = imported(tmp_path / "out" / "model.py")
    parameters = module.Parameters(x=np.array(at))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        np.testing.assert_allclose(module.y(parameters), value)
        np.testing.assert_allclose(module.gradients(parameters).x, slope)


# --- listed and switched off -----------------------------------------------------------------

MODEL = """\
import symflow as sf

x = sf.Variable(sf.ones(3))
q = sf.sigmoid(x)
loss = -sf.reduce_sum(sf.log(q, name="log_q"))
"""


def test_explained(tmp_path: Path) -> None:
    model = tmp_path / "model.py"
    model.write_text(MODEL)
    text = compilation(model, {}).explain()
    assert described("log-sigmoid") in text
    assert "model.py:5: log_q\n        log(sigmoid(x[i]))  →  -softplus(-x[i])\n" in text
    text = compilation(model, {}, without=["log-sigmoid"]).explain()
    assert text.startswith(
        "No rule applies.\nWhat is not listed is computed as it is written, but "
    )


def test_explained_once(tmp_path: Path) -> None:
    """A product of two inverses is one linear system, and a norm stays the number that it is."""
    model = tmp_path / "model.py"
    model.write_text(
        "import numpy as np\nimport symflow as sf\n"
        "a, b = (sf.Variable(np.eye(2) + number) for number in (1.0, 2.0))\n"
        "product = sf.matrix_inverse(a) @ sf.matrix_inverse(b)\n"
        "loss = sf.reduce_sum(product) + sf.sqrt(sf.reduce_sum(a**2))\n"
    )
    text = compilation(model, {}).explain()
    assert text.count("→  solve(") == 1
    assert text.count("→  √(") == 0


def test_switched_off(tmp_path: Path) -> None:
    model = tmp_path / "model.py"
    model.write_text(MODEL)
    text = compilation_text(tmp_path, "log-sigmoid")
    assert "np.log(" in text
    assert "symflow compile model.py --without log-sigmoid\n" in text
    assert "_softplus" not in text


def compilation_text(folder: Path, *without: str) -> str:
    (folder / "model.py").write_text(MODEL)
    files = compile_files(folder / "model.py", folder / "out", {}, None, without)
    content = files[folder / "out" / "model.py"]
    assert content is not None
    return content.decode()


def test_unknown_rule(tmp_path: Path) -> None:
    with pytest.raises(sf.SymflowError, match="no rule 'log-sigmoyd'") as caught:
        sf.Session(without=["log-sigmoyd"])
    assert caught.value.hint == "did you mean log-sigmoid?"


# --- documentation ---------------------------------------------------------------------------


def row(rule: Rule) -> str:
    equation = rule.equation.replace("|", "\\|")
    phase = {None: "both", "written": "before", "computed": "after", "scheduled": "in `train`"}[
        rule.phase
    ]
    return f"| `{rule.name}` | {equation} | {rule.why} | {phase} | {rule.source} |"


def test_the_rules_are_documented(request: pytest.FixtureRequest) -> None:
    path = ROOT / "docs" / "stability.md"
    before, _, rest = path.read_text("utf-8").partition("<!-- rules -->\n")
    _, _, after = rest.partition("<!-- end of rules -->\n")
    head = "| rule | equation | without it | when | source |\n|---|---|---|---|---|\n"
    table = head + "".join(row(rule) + "\n" for rule in RULES)
    text = f"{before}<!-- rules -->\n{table}<!-- end of rules -->\n{after}"
    if request.config.getoption("--update-generated"):
        path.write_text(text, "utf-8")
    assert path.read_text("utf-8") == text, (
        "python -m pytest tests/test_stability.py --update-generated"
    )
