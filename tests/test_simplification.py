"""Rewrites: as text, numerically, and that they never hurt."""

from __future__ import annotations

import re
from pathlib import Path

import mpmath
import numpy as np
import pytest
import sympy as sp
from conftest import imported

import symflow as sf
from symflow.arithmetic import undistributed
from symflow.compiler import compile_program
from symflow.files import compile_files, write
from symflow.graph import Tensor
from symflow.lowering import Request, needed
from symflow.matching import occurrences
from symflow.naming import label_nodes
from symflow.printing import value_text
from symflow.program import Access, Input, Program, Type, check, dimension, kernel, slot
from symflow.rows import ROWS
from symflow.rules import MOST_STEPS, RULES, Rule, cost, rewritten
from symflow.signs import Facts
from symflow.text import Text


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


def exact(expression: sp.Expr, values: dict[sp.Symbol, float]) -> mpmath.mpf:
    """An expression of SymPy functions and of rows, in 50 digits."""
    while any(hasattr(part, "row") for part in sp.preorder_traversal(expression)):
        expression = expression.replace(
            lambda part: hasattr(part, "row"), lambda part: part.row.maths(*part.args)
        )
    with mpmath.workdps(50):
        return mpmath.mpf(sp.N(expression.subs(values), 50))


_X = sp.Wild("x")
GIVEN = Facts(given=frozenset(range(8)))
ON_BODIES = [rule for rule in RULES if not rule.structural]


def instance(rule: Rule) -> tuple[sp.Expr, dict[sp.Wild, sp.Expr]]:
    """The left side of a rule with slots in it; differences are made to cancel."""
    wilds = {str(wild).strip("_"): wild for wild in rule.left.atoms(sp.Wild)}
    stands = {wild: slot(at) for at, wild in enumerate(sorted(wilds.values(), key=str))}
    if "p" in wilds:
        stands[wilds["p"]] = sp.Float(0.3)
    if "k" in wilds:
        stands[wilds["k"]] = sp.Rational(-2, 3)
    if rule.name == "fraction-second-difference":
        stands[wilds["a"]] = stands[wilds["b"]] + 1
        stands[wilds["c"]] = stands[wilds["b"]] - 1
    elif rule.name == "one-minus-square":
        stands[wilds["y"]] = sp.Integer(3)
    elif rule.name == "log-of-exp-product":
        stands[wilds["y"]] = sp.Integer(2)
    elif rule.name in ("xlogy-in-sum", "xlogy-from-sum"):
        stands[wilds["y"]] = stands[wilds["x"]] * slot(4)
    elif rule.name == "log-of-choice":
        stands[wilds["x"]] = ROWS["sigmoid"](slot(4))
    elif rule.name.startswith("masked-factor"):
        stands[wilds["x"]] = 1 / stands[wilds["x"]]
    elif rule.name in ("exprel-inverse", "log1prel-inverse", "sinc-inverse"):
        stands[wilds["x"]] = 2 * stands[wilds["u"]] * slot(4)
    elif set(wilds) == {"u", "x"} and rule.phase == "written":
        stands[wilds["u"]] = 2 * stands[wilds["x"]] * slot(4)
    elif rule.name in ("xlogx-of-rest", "xlog1py"):
        stands[wilds["y"]] = -slot(4)
    elif rule.name == "log-half-erfc":
        stands[wilds["x"]] = -slot(0) / sp.sqrt(2)
    elif rule.name == "hill":
        stands[wilds["u"]] = slot(4) / slot(0)
    elif rule.name == "log-beta":
        stands[wilds["c"]] = stands[wilds["a"]] + stands[wilds["b"]]
    elif rule.name == "one-minus-inverse":
        stands[wilds["b"]] = slot(0) + 1
    elif rule.name == "conjugate-positive":
        stands[wilds["b"]] = sp.Integer(2)
        stands[wilds["a"]] = slot(0) + 4
    elif rule.given:
        (difference,) = rule.given.values()
        a = stands[wilds["a"]]
        left = 1 if rule.name == "xlogx-difference-log1p" else 2
        solved = sp.solve(difference.subs(stands) - left, a)
        stands[wilds["a"]] = solved[0]
    return rule.left.xreplace(stands), stands


@pytest.mark.parametrize("rule", ON_BODIES, ids=lambda rule: rule.name)
def test_a_rule_keeps_the_value(rule) -> None:
    left, _ = instance(rule)
    right = rule.applied(left, left, GIVEN)
    random = np.random.default_rng(0)
    for _ in range(5):
        values = {slot(at): sp.Float(random.uniform(0.2, 0.9), 60) for at in range(5)}
        if rule.name == "log-one-minus-exp":
            values = {symbol: -value for symbol, value in values.items()}
        if "where" in str(left):
            values[slot(0)] = sp.Integer(random.integers(0, 2))
        before, after = (exact(side, values) for side in (left, right))
        assert abs(before - after) <= mpmath.mpf(10) ** -40 * max(1, abs(before))


@pytest.mark.parametrize("rule", ON_BODIES, ids=lambda rule: rule.name)
def test_rules_end(rule) -> None:
    body, _ = instance(rule)
    phase = rule.phase or "written"
    once, steps = rewritten(body, phase, facts=GIVEN)
    assert rule.name in [step.rule for step in steps]
    assert rewritten(once, phase, facts=GIVEN) == (once, ())
    without = rewritten(body, phase, frozenset({rule.name}), GIVEN)[1]
    assert rule.name not in [step.rule for step in without]


def test_bodies_of_many_rules_end() -> None:
    """Whatever is put together from the left sides of rules comes to an end."""
    random = np.random.default_rng(0)
    lefts = [instance(rule)[0] for rule in ON_BODIES]
    for _ in range(30):
        first, second, third = (lefts[at] for at in random.integers(0, len(lefts), 3))
        body = first.xreplace({slot(0): second}) - third
        for phase in ("written", "computed"):
            assert len(rewritten(body, phase)[1]) < MOST_STEPS


@pytest.mark.parametrize(
    ("pattern", "node", "found"),
    [
        (1 - sp.cos(_X), 3 - 3 * sp.cos(slot(0)), True),
        (1 - sp.cos(_X), slot(1) + slot(2) - slot(2) * sp.cos(slot(0)), True),
        (1 - sp.cos(_X), 2 - 3 * sp.cos(slot(0)), False),
        (sp.exp(_X) * sp.sin(_X), slot(1) * sp.exp(slot(0)) * sp.sin(slot(0)), True),
        (sp.exp(_X) * sp.sin(_X), slot(1) * sp.exp(slot(0)) * sp.sin(slot(1)), False),
        (1 / (1 + sp.exp(_X)), (1 + sp.exp(slot(0))) ** -3, True),
        (sp.log(1 + _X), sp.log(1 + slot(0) + slot(1)), True),
    ],
)
def test_occurrences(pattern: sp.Expr, node: sp.Expr, found: bool) -> None:
    matches = list(occurrences(pattern, node))
    assert bool(matches) == found
    for match in matches:
        assert sp.expand(match.put_back(pattern.xreplace(dict(match.bindings))) - node) == 0


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


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (lambda x, y: sf.reduce_sum(sf.square(x - y)), ["x - y", "np.vdot(d, d)"]),
        (lambda x, y: sf.reduce_sum((x - y) * x), ["x - y", "np.vdot(x, d)"]),
        (lambda x, y: sf.reduce_sum(x**4), ["x * x", "np.vdot(d, d)"]),
        (
            lambda x, y: sf.reduce_sum(sf.square(x - y), axis=1),
            ["x - y", 'np.einsum("ij,ij->i", d, d)'],
        ),
        (lambda x, y: sf.reduce_sum(x * y, axis=0), ['np.einsum("ij,ij->j", x, y)']),
        (lambda x, y: sf.reduce_sum(x / y), ["np.sum(x / y)"]),
        (lambda x, y: sf.reduce_sum(x, axis=0), ["np.sum(x, axis=0)"]),
        (lambda x, y: sf.reduce_sum(sf.exp(x) / y), ["np.sum(np.exp(x) / y)"]),
    ],
)
def test_a_summed_product_is_a_dot_product(written, expected) -> None:
    """No array of products is made."""
    x, y = (sf.placeholder(shape=("n", 3), name=name) for name in "xy")
    found = lines(compiled(written(x, y)))
    assert [re.sub(r"\b(sum|tensor)_\w+", "d", line) for line in found] == expected


def test_whole_numbers_are_added_as_they_are() -> None:
    """`np.sum` widens them, and a dot product would not."""
    k = sf.placeholder(sf.int32, ("n",), name="k")
    assert lines(compiled(sf.reduce_sum(k * k))) == ["np.sum(k * k)"]


@pytest.mark.parametrize(
    ("weight", "is_symmetric"),
    [
        (lambda z: sf.sigmoid(z) * (1 - sf.sigmoid(z)), True),
        (lambda z: sf.exp(z) + sf.abs(z), True),
        (lambda z: sf.square(z) / 3.0, True),
        (lambda z: sf.cast(z > 0, sf.float64), True),
        (lambda z: 1.0 / (1.0 + z * z), True),
        (lambda z: z, False),
        (lambda z: 1.0 - sf.exp(z), False),
        (lambda z: z * z * z, False),
    ],
)
def test_a_weighted_square_of_a_matrix_is_half_the_work(weight, is_symmetric) -> None:
    """Of z.T @ z, NumPy computes one triangle; the result is exactly symmetric."""
    x, z = sf.placeholder(shape=("n", 3), name="x"), sf.placeholder(shape=("n",), name="z")
    hessian = sf.transpose(x) @ (weight(z)[:, None] * x) / 7.0
    last = [line for line in lines(compiled(hessian)) if "@" in line]
    left, _, right = last[0].partition(".T @ ")
    assert (left == right) == is_symmetric
    random = np.random.default_rng(0)
    feed = {x: random.normal(size=(9, 3)), z: random.normal(size=9)}
    found, d = sf.Session().run([hessian, weight(z)], feed)
    np.testing.assert_allclose(
        found, feed[x].T @ (d[:, None] * feed[x]) / 7.0, rtol=1e-13, atol=1e-15
    )
    if is_symmetric:
        np.testing.assert_array_equal(found, found.T)


def test_the_hessian_of_logistic_regression_is_symmetric() -> None:
    x = sf.placeholder(shape=("n", 3), name="x")
    w = sf.Variable(sf.zeros(3), name="w")
    p = sf.sigmoid(sf.einsum("nj,j->n", x, w), name="p")
    hessian = sf.einsum("ni,n,nj->ij", x, p * (1 - p), x)
    assert "hessian" not in lines(compiled(hessian))
    assert any(re.fullmatch(r"(\w+)\.T @ \1", line) for line in lines(compiled(hessian)))


def test_a_product_that_only_moves_entries_is_a_pick() -> None:
    """A triangle laid out by a constant of zeros and ones, and its gradient."""
    d = 12
    below = [(row, column) for column in range(d) for row in range(column + 1, d)]
    places = np.zeros((len(below), d, d))
    for number, (row, column) in enumerate(below):
        places[number, row, column] = 1
    lower = sf.Variable(np.random.default_rng(0).normal(size=(5, len(below))), name="lower")
    laid = sf.einsum("kl,lij->kij", lower, places)
    slope = sf.gradients(sf.reduce_sum(sf.sin(laid) * np.arange(144.0).reshape(d, d)), lower)[0]
    text = "\n".join(lines(compiled(sf.reduce_sum(sf.sin(laid)), lower)))
    assert "@" not in text
    assert text.count("np.take(") == 2
    with sf.Session() as session:
        held = session.run(lower)
        found, gradient = session.run([laid, slope])
    np.testing.assert_array_equal(found, np.einsum("kl,lij->kij", held, places))
    weights = np.einsum("kij,lij->kl", np.cos(found) * np.arange(144.0).reshape(d, d), places)
    np.testing.assert_allclose(gradient, weights, rtol=1e-14)


@pytest.mark.parametrize("change", ["two", "half"])
def test_other_constants_stay_factors(change: str) -> None:
    matrix = np.eye(100)
    matrix[0, :2] = 1.0 if change == "two" else 0.5
    if change == "two":
        matrix[1, 1] = 1.0
    x = sf.placeholder(shape=("n", 100), name="x")
    assert any("@" in line for line in lines(compiled(x @ sf.constant(matrix))))


def test_whole_powers_are_products() -> None:
    x, y = (sf.placeholder(shape=("n",), name=name) for name in "xy")
    for power in range(2, 9):
        both = x**power + (x - y) ** power + 1 / x**power
        text = "\n".join(lines(compiled(both)))
        assert "power(" not in text.replace("sum_power(", "")
        a, b = np.array([0.3, -1.7, 2.0]), np.array([-2.2, 0.1, 1.0])
        found = sf.Session().run(both, {x: a, y: b})
        np.testing.assert_allclose(found, a**power + (a - b) ** power + 1 / a**power, rtol=1e-14)


def test_a_sum_over_an_absent_index_is_a_multiplication() -> None:
    x = sf.placeholder(shape=(3,), name="x")
    spread = sf.broadcast_to(sf.expand_dims(x, 0), (5, 3))
    assert lines(compiled(sf.reduce_sum(spread, 0))) == ["5.0 * x"]


def test_a_sum_over_an_index_that_sharing_makes_absent() -> None:
    """Both are sums of one array, one of them twice."""
    x = sf.placeholder(shape=("n", "n"), name="x")
    once, twice = sf.sin(x), sf.sin(sf.broadcast_to(x, (2, "n", "n")))
    loss = sf.reduce_sum(sf.square(twice)) + sf.reduce_sum(once)
    (slope,) = sf.gradients(loss, x)
    at = np.array([[0.3, -1.0], [2.0, 0.5]])
    found, gradient = sf.Session().run([loss, slope], {x: at})
    np.testing.assert_allclose(found, 2 * np.sum(np.sin(at) ** 2) + np.sum(np.sin(at)))
    np.testing.assert_allclose(gradient, 4 * np.sin(at) * np.cos(at) + np.cos(at))
    assert "broadcast" not in "\n".join(lines(compiled(loss, x)))


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


@undistributed
def test_numbers_beside_an_exponential() -> None:
    """SymPy does not see that exp(-x - 1)·exp(x + 1) is 1; the derivative of erf has both."""
    n = dimension("n")
    body = sp.exp(-slot(0) - 1) / (8 * sp.sqrt(sp.pi) * sp.sqrt(slot(0) + 1))
    value, type_ = kernel([0], [n], body, [Access(0, (0,))]), Type((n,))
    text = value_text(value, type_, [type_], lambda _: Text("x")).source
    found = eval(text, {"np": np, "x": np.array([2.0])})
    np.testing.assert_allclose(found, [float(body.subs(slot(0), 2))], rtol=1e-15)


def test_what_is_not_real_to_sympy_is_left_to_numpy(tmp_path: Path) -> None:
    """log(-exp(x)) is x + iπ to SymPy, and nan to NumPy."""
    model = tmp_path / "model.py"
    model.write_text(
        "import symflow as sf\nx = sf.placeholder(shape=('n',))\nw = sf.Variable(1.0)\n"
        "loss = sf.reduce_sum(sf.log(-sf.exp(x * w)))\n"
    )
    write(compile_files(model, tmp_path / "out", {}, None))
    module = imported(tmp_path / "out" / "model.py")
    with np.errstate(invalid="ignore"):
        assert np.isnan(module.loss(module.initial_parameters(), [0.5, 1.0]))
