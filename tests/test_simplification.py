"""Rewrites: as text, numerically, and that they never hurt."""

from __future__ import annotations

import mpmath
import numpy as np
import pytest
import sympy as sp

import symflow as sf
from symflow.compiler import compile_program
from symflow.graph import Tensor
from symflow.lowering import Request, needed
from symflow.naming import label_nodes
from symflow.printing import value_text
from symflow.program import Input, Program, check, slot
from symflow.rules import RULES, cost, rewritten
from symflow.text import Text

EQUATIONS = {
    "log-sigmoid": "log(sigmoid(x)) → -softplus(-x)",
    "log of one minus sigmoid": "log(1 - sigmoid(x)) → -softplus(x)",
    "softplus": "log(exp(x) + 1) → softplus(x)",
    "sigmoid": "1 / (exp(x) + 1) → sigmoid(-x)",
    "log of a product with exp": "log(exp(x)·y) → x + log(y)",
    "erfc": "1 - erf(x) → erfc(x)",
    "erfc, lower tail": "erf(x) + 1 → erfc(-x)",
    "half of erfc": "0.5 - erf(x) / 2 → erfc(x) / 2",
    "half of erfc, lower tail": "erf(x) / 2 + 0.5 → erfc(-x) / 2",
    "masked product": "where(c, 1, 0)·x → where(c, x, 0)",
    "masked product, other branch": "where(c, 0, 1)·x → where(c, 0, x)",
}


def compiled(output: Tensor, *by: Tensor) -> Program:
    """The simplified program of a tensor and its derivatives."""
    derivatives = {f"d{at}": (output, x) for at, x in enumerate(by)}
    nodes = needed([output, *by])
    request = Request({"out": output}, derivatives, label_nodes(nodes, {}), {})
    return compile_program(output.graph, request)


def lines(program: Program) -> list[str]:
    """Every computed tensor as NumPy source, one statement each."""
    return [
        value_text(
            one.value,
            one.type,
            [program[operand].type for operand in one.value.operands],
            lambda operand: Text(program[operand].label.name),
        ).source
        for one in program.definitions
        if not isinstance(one.value, Input)
    ]


def test_every_rule_reads_as_documented() -> None:
    assert {rule.name: rule.equation for rule in RULES} == EQUATIONS


def exact(expression: sp.Expr, values: dict[sp.Symbol, float]) -> mpmath.mpf:
    """An expression of SymPy functions and of rows, in 50 digits."""
    while any(hasattr(part, "row") for part in sp.preorder_traversal(expression)):
        expression = expression.replace(
            lambda part: hasattr(part, "row"), lambda part: part.row.maths(*part.args)
        )
    with mpmath.workdps(50):
        return mpmath.mpf(sp.N(expression.subs(values), 50))


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_a_rule_keeps_the_value(rule) -> None:
    wilds = sorted(rule.left.atoms(sp.Wild), key=str)
    random = np.random.default_rng(0)
    for _ in range(20):
        values = {}
        for wild in wilds:
            drawn = sp.Rational(float(random.uniform(0.2, 3.0)))
            values[wild] = sp.Integer(random.integers(0, 2)) if str(wild) == "c_" else drawn
        left, right = (exact(side, values) for side in (rule.left, rule.right))
        assert abs(left - right) <= mpmath.mpf(10) ** -40 * max(1, abs(left))


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_rules_end(rule) -> None:
    wilds = sorted(rule.left.atoms(sp.Wild), key=str)
    body = rule.left.xreplace({wild: slot(at) for at, wild in enumerate(wilds)})
    once, applied = rewritten(body)
    assert rule.name in applied
    assert rewritten(once) == (once, ())


def test_cost_grows_with_the_work() -> None:
    x, y = slot(0), slot(1)
    assert cost(x) < cost(x + y) < cost(sp.exp(x) + y) < cost(sp.exp(x) + sp.sin(y))


def test_index_maps_vanish_into_accesses() -> None:
    x = sf.placeholder(shape=(3, 4), name="x")
    y = sf.placeholder(shape=(4,), name="y")
    moved = sf.expand_dims(sf.transpose(sf.transpose(x)), 0)
    assert lines(compiled(sf.squeeze(moved) + sf.expand_dims(y, 0))) == ["x + y"]


def test_a_dense_layer_is_one_product_and_one_expression() -> None:
    x = sf.placeholder(shape=("n", 3), name="x")
    w = sf.Variable(sf.zeros((3, 2)), name="w")
    b = sf.Variable(sf.zeros(2), name="b")
    program = compiled(sf.tanh(sf.matmul(x, w) + b, name="h"))
    assert lines(program) == ["x @ w", "np.tanh(h_product + b)"]


def test_equal_values_are_one_tensor() -> None:
    x = sf.placeholder(shape=(3,), name="x")
    program = compiled(sf.exp(x) * sf.exp(x) + sf.reduce_sum(sf.exp(x)))
    assert sum("np.exp" in line for line in lines(program)) <= 2


def test_dead_code_is_gone() -> None:
    x = sf.placeholder(shape=(3,), name="x")
    sf.exp(x)
    assert lines(compiled(sf.reduce_sum(x))) == ["np.sum(x)"]


def test_the_stored_tanh_serves_its_derivative() -> None:
    w = sf.Variable(sf.zeros(3), name="w")
    hidden = sf.tanh(w, name="hidden")
    text = "\n".join(lines(compiled(sf.reduce_sum(sf.square(hidden)), w)))
    assert text.count("np.tanh") == 1
    assert "hidden * hidden" in text


def test_factors_without_index_leave_the_sum() -> None:
    x = sf.placeholder(shape=("n", 3), name="x")
    a = sf.placeholder(shape=(), name="a")
    assert (
        lines(compiled(sf.reduce_sum(a * x))) == ["np.sum(x)", "a * tensor"]
        or lines(compiled(sf.reduce_sum(a * x)))[0] == "np.sum(x)"
    )


def test_a_sum_over_an_absent_index_is_a_multiplication() -> None:
    x = sf.placeholder(shape=(3,), name="x")
    spread = sf.broadcast_to(sf.expand_dims(x, 0), (5, 3))
    assert lines(compiled(sf.reduce_sum(spread, 0))) == ["5.0 * x"]


def test_three_factors_are_contracted_in_the_cheaper_order() -> None:
    a = sf.placeholder(shape=(2, 100), name="a")
    b = sf.placeholder(shape=(100, 100), name="b")
    c = sf.placeholder(shape=(100,), name="c")
    assert lines(compiled(sf.einsum("ij,jk,k->i", a, b, c)))[0] == "b @ c"


def test_no_array_is_larger_than_it_must_be() -> None:
    """Σ_k of a product over three indices never becomes a three-dimensional array."""
    x = sf.placeholder(shape=("n", 50), name="x")
    w = sf.Variable(sf.zeros((50, 20)), name="w")
    program = compiled(sf.reduce_sum(sf.square(sf.sigmoid(x @ w) * 2.0)), w)
    assert all(len(one.type.shape) <= 2 for one in check(program).definitions)


@pytest.mark.parametrize(
    ("naive", "at", "value", "gradient"),
    [
        (lambda x: sf.log(sf.sigmoid(x)), -800.0, -800.0, 1.0),
        (lambda x: sf.log(1.0 + sf.exp(x)), 800.0, 800.0, 1.0),
        (lambda x: sf.log(1.0 - sf.sigmoid(x)), 800.0, -800.0, -1.0),
        (lambda x: 1.0 / (1.0 + sf.exp(-x)), -1000.0, 0.0, 0.0),
    ],
    ids=["log sigmoid", "log(1 + exp)", "log(1 - sigmoid)", "1 / (1 + exp(-x))"],
)
def test_naive_forms_are_computed_well(naive, at, value, gradient) -> None:
    x = sf.placeholder(shape=(), name="x")
    y = naive(x)
    (d,) = sf.gradients(y, [x])
    assert sf.Session().run([y, d], {x: at}) == [value, gradient]


@pytest.mark.parametrize(
    ("norm", "at", "value", "gradient"),
    [
        (lambda x: sf.sqrt(x[0] ** 2 + x[1] ** 2), [0.0, 0.0], 0.0, [0.0, 0.0]),
        (lambda x: sf.sqrt(x[0] ** 2 + x[1] ** 2), [3.0, -4.0], 5.0, [0.6, -0.8]),
        (lambda x: sf.sqrt(sf.reduce_sum(sf.square(x))), [0.0, 0.0], 0.0, [0.0, 0.0]),
        (lambda x: sf.sqrt(2.0 * sf.l2_loss(x)), [0.0, 0.0], 0.0, [0.0, 0.0]),
        (lambda x: sf.global_norm([x]), [0.0, 0.0], 0.0, [0.0, 0.0]),
        (lambda x: sf.global_norm([x, x]), [0.0, 1.0], 2.0**0.5, [0.0, 2.0**0.5]),
        (lambda x: sf.reduce_sum(sf.sqrt(sf.square(x))), [0.0, -2.0], 2.0, [0.0, -1.0]),
    ],
)
def test_a_norm_has_a_subgradient_at_zero(norm, at, value, gradient) -> None:
    x = sf.placeholder(shape=(2,), name="x")
    y = norm(x)
    (d,) = sf.gradients(y, [x])
    found, slope = sf.Session().run([y, d], {x: at})
    np.testing.assert_allclose(found, value, rtol=1e-15)
    np.testing.assert_allclose(slope, gradient, rtol=1e-15)


def test_a_root_of_anything_else_keeps_its_infinite_slope() -> None:
    x = sf.placeholder(shape=(), name="x")
    (d,) = sf.gradients(sf.sqrt(x), [x])
    assert sf.Session().run(d, {x: 0.0}) == np.inf


def test_the_power_0_is_constant_in_its_base() -> None:
    x, y = (sf.placeholder(shape=(), name=name) for name in "xy")
    z = x**y
    assert sf.Session().run([z, *sf.gradients(z, [x, y])], {x: 0.0, y: 0.0}) == [1.0, 0.0, 0.0]
