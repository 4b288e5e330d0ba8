"""Evaluation in 50 digits, against mpmath's own functions and against what NumPy computes."""

from __future__ import annotations

from typing import Any

import mpmath
import numpy as np
import pytest
import sympy as sp

import symflow as sf
from symflow.elementwise import ROWS
from symflow.evaluation import Differences, Evaluator, exact, with_exact_numbers
from symflow.highprecision import Arithmetic
from symflow.lowering import Request, lower
from symflow.naming import label_nodes
from symflow.program import Program, slot

x = slot(0)


def lowered(tensor: sf.Tensor) -> Program:
    """The program of a tensor, called z, before any rewriting."""
    request = Request({"z": tensor}, {}, {}, {})
    request = Request({"z": tensor}, {}, label_nodes(request.nodes, {}), {})
    return with_exact_numbers(lower(tensor.graph, request))


def value(tensor: sf.Tensor, **inputs: Any) -> Any:
    return exact(lowered(tensor), {name: np.asarray(one) for name, one in inputs.items()})["z"]


def assert_fifty_digits(found: Any, expected: Any) -> None:
    with mpmath.workdps(80):
        assert abs(mpmath.mpf(found) - expected) <= abs(expected) * mpmath.mpf(10) ** -49


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (sp.exp(-sp.exp(x)), 0.0),
        (sp.exp(sp.exp(x)), np.inf),
        (sp.Rational(1, 2) ** sp.exp(x), 0.0),
        (sp.tanh(-sp.exp(x)), -1.0),
        (sp.erfc(sp.exp(x)), 0.0),
        (sp.cos(sp.exp(x)), np.nan),
        (sp.loggamma(sp.exp(x)), np.inf),
        (sp.polygamma(1, sp.exp(x)), 0.0),
        (sp.log(sp.exp(x) + 1), 1e13),
        (sp.atan(sp.exp(x)), np.pi / 2),
    ],
    ids=str,
)
def test_numbers_whose_exponents_fill_the_memory(body: sp.Expr, expected: float) -> None:
    """Of exp(1e13), which has 1e13 bits, what is reduced by log 2 or π would want all."""
    arithmetic = Arithmetic(50)
    found = float(arithmetic.formula(body)([arithmetic.number(1e13)]))
    np.testing.assert_equal(found, expected)


@pytest.mark.parametrize("digits", [65, 200, 300, 1100])
@pytest.mark.parametrize("at", [1e10, -1e10, 1e150, -1e300, 2.0**200, 800.0])
def test_large_powers_of_e_lie_between_their_bounds(digits: int, at: float) -> None:
    low, right, high = (
        arithmetic.formula(sp.exp(x))([arithmetic.number(at)])
        for arithmetic in (Arithmetic(digits, "f"), Arithmetic(1500), Arithmetic(digits, "c"))
    )
    assert low < right < high
    assert high - low < right * mpmath.mpf(10) ** (1 - digits)


@pytest.mark.parametrize(
    ("body", "at", "expected"),
    [
        (lambda x: sf.log(1 + sf.exp(x)), -800.0, lambda x: mpmath.log1p(mpmath.exp(x))),
        (lambda x: 1 - sf.cos(x), 1e-30, lambda x: 2 * mpmath.sin(x / 2) ** 2),
        (lambda x: (1 + x) - 1, 1e-60, lambda x: x),
        (lambda x: sf.exp(x) - sf.exp(-x), 1e-40, lambda x: 2 * mpmath.sinh(x)),
        (lambda x: sf.softplus(x), 1.5, lambda x: mpmath.log(1 + mpmath.exp(x))),
        (lambda x: sf.cbrt(x), -2.0, lambda x: -mpmath.cbrt(-x)),
        (lambda x: sf.atan2(x, -1.0), 0.3, lambda x: mpmath.atan2(x, -1)),
        (lambda x: sf.log2(x), 3.0, lambda x: mpmath.log(x, 2)),
        (lambda x: sf.where(x > 0, sf.sqrt(x), x), -4.0, lambda x: x),
        (lambda x: 1e3 ** (x * 0.1), 0.5, lambda x: mpmath.mpf(1000) ** (x * mpmath.mpf(0.1))),
    ],
    ids=[
        "log(1 + exp)",
        "1 - cos",
        "(1 + x) - 1",
        "exp - exp",
        "softplus",
        "cbrt",
        "atan2",
        "log2",
        "where",
        "pow",
    ],
)
def test_fifty_digits_of_a_formula(body: Any, at: float, expected: Any) -> None:
    found = value(body(sf.placeholder(shape=(), name="x")), x=at).item()
    with mpmath.workdps(1200):
        assert_fifty_digits(found, expected(mpmath.mpf(at)))


def test_what_cancels_altogether_is_zero() -> None:
    a = sf.placeholder(shape=(2,), name="a")
    found = value((a / 3) * 3 - a, a=[0.7, 1.1])
    assert [float(one) for one in found] == [0.0, 0.0]


def test_what_has_no_real_value_is_not_a_number() -> None:
    arithmetic = Arithmetic(50)
    for body in (sp.sqrt(x), sp.log(x), sp.asin(x - 5), x ** sp.Rational(1, 3)):
        assert mpmath.isnan(arithmetic.formula(body)([arithmetic.number(-2)]))
    for body in (1 / x, sp.gamma(x), x**-2):
        assert mpmath.isinf(arithmetic.formula(body)([arithmetic.number(0)]))


def test_directed_rounding_brackets() -> None:
    low, high = (Arithmetic(20, way).formula(sp.exp(x) / 3)([2]) for way in ("f", "c"))
    with mpmath.workdps(60):
        true = mpmath.exp(2) / 3
        assert mpmath.mpf(low) < true < mpmath.mpf(high)
        assert high - low < mpmath.mpf(10) ** -18


PUBLIC = [row for row in ROWS.values() if hasattr(sf, row.name) and row.name != "to_float"]


@pytest.mark.parametrize("row", PUBLIC, ids=lambda row: row.name)
def test_every_row_is_what_numpy_computes(row: Any) -> None:
    """From the definition here, from the NumPy text there."""
    function = getattr(sf, row.name)
    random = np.random.default_rng(0)
    predicate = row.name.startswith("logical") or row.name == "where"
    operands, arrays = [], []
    for number, (low, high) in enumerate(row.domain):
        whole = predicate and (number == 0 or row.name != "where")
        array = random.integers(0, 2, 7) > 0 if whole else random.uniform(low, high, 7)
        if row.name == "polygamma" and number == 0:
            array = np.round(array)
        node = sf.placeholder(sf.bool if whole else sf.float64, (7,), name=f"x{number}")
        operands.append(node)
        arrays.append(array)
    tensor = function(*operands)
    with sf.Session() as session:
        expected = session.run(tensor, dict(zip(operands, arrays, strict=True)))
    found = value(tensor, **{f"x{number}": array for number, array in enumerate(arrays)})
    np.testing.assert_allclose(found.astype(float), expected, rtol=3e-15, atol=1e-16)


@pytest.mark.parametrize("reduction", ["reduce_sum", "reduce_mean", "reduce_max", "reduce_min"])
@pytest.mark.parametrize("options", [{}, {"axis": 1}, {"axis": (0, -1), "keepdims": True}])
def test_reductions(reduction: str, options: dict[str, Any]) -> None:
    array = np.random.default_rng(0).normal(size=(3, 4, 5))
    a = sf.placeholder(shape=(3, "m", 5), name="a")
    found = value(getattr(sf, reduction)(a, **options), a=array)
    numpy = {"axis": options.get("axis"), "keepdims": options.get("keepdims", False)}
    expected = getattr(np, reduction.removeprefix("reduce_"))(array, **numpy)
    assert found.shape == expected.shape
    np.testing.assert_allclose(found.astype(float), expected, rtol=1e-14)


def test_large_kernels_go_row_by_row(monkeypatch: pytest.MonkeyPatch) -> None:
    a, b = (sf.placeholder(shape=(4, 4), name=name) for name in "ab")
    arrays = {name: np.random.default_rng(1).normal(size=(4, 4)) for name in "ab"}
    program = lowered(sf.transpose(a @ b))
    whole = Evaluator(50).outputs(program, arrays)["z"]
    monkeypatch.setattr("symflow.evaluation.LARGEST", 10)
    rows = Evaluator(50).outputs(program, arrays)["z"]
    assert rows.shape == whole.shape == (4, 4)
    assert np.all(rows == whole)


def test_difference_quotients_know_no_rule() -> None:
    a = sf.placeholder(shape=(2,), name="a")
    z = sf.reduce_sum(sf.exp(a) * sf.abs(a))
    quotients = Differences(lowered(z), "z", {"a": np.array([0.5, 0.0])}, 65)
    with mpmath.workdps(60):
        half = mpmath.mpf(0.5)
        assert_fifty_digits(quotients.central("a", (0,)), mpmath.exp(half) * (1 + half))
    assert quotients.central("a", (1,)) is None
    below, above = quotients.one_sided("a", (1,))
    assert abs(below + 1) < 1e-40
    assert abs(above - 1) < 1e-40
