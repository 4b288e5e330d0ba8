"""The backward pass: sums over paths, higher orders, and broken paths."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from numpy.typing import NDArray
from reference import complex_step, evaluate

import symflow as sf

Array = NDArray[Any]


def scalars(*values: float) -> tuple[list[Any], dict[Any, float]]:
    nodes = [sf.placeholder(sf.float64, ()) for _ in values]
    return nodes, dict(zip(nodes, values, strict=True))


# --- sums over paths -------------------------------------------------------------------------

PATHS: list[tuple[str, Callable[..., Any], list[float]]] = [
    ("article", lambda a, b, c: a + (a * b + c), [2, 3, 4]),
    ("square", lambda x: x * x, [3]),
    ("quotient", lambda x: x / x + x, [3]),
    ("x to the x", lambda x: x**x, [2]),
    ("power of a power", lambda x, y: (x**y) ** y, [2, 1.5]),
    ("diamond", lambda x: sf.sin(x) * sf.cos(x) + sf.sin(x), [0.7]),
    ("late consumer", lambda a, b: (a * b) * (a + (a * b)) + a, [2, 3]),
    ("one name twice", lambda a: (lambda b: b * b + b * a)(a * a), [1.5]),
    ("difference of equals", lambda a: (a - a) * a + a, [2]),
    ("unused operand", lambda a, b: a * 2 + 0 * b, [2, 3]),
    ("tower", lambda a: ((a * a) * (a * a)) * ((a * a) * (a * a)), [1.1]),
]
IN_NUMPY = {
    "diamond": lambda x: np.sin(x) * np.cos(x) + np.sin(x),
}


@pytest.mark.parametrize(("name", "function", "at"), PATHS, ids=[name for name, _, _ in PATHS])
def test_every_path_counts(name: str, function: Callable[..., Any], at: list[float]) -> None:
    nodes, feed = scalars(*at)
    value, *slopes = evaluate([function(*nodes), *sf.gradients(function(*nodes), nodes)], feed)
    reference = IN_NUMPY.get(name, function)
    values = [np.array(float(number)) for number in at]
    assert_allclose(value, reference(*values), rtol=1e-14)
    for number, slope in enumerate(slopes):
        assert_allclose(slope, complex_step(reference, values, number), rtol=1e-13, atol=1e-14)


def test_a_matrix_times_itself() -> None:
    data = np.random.default_rng(0).normal(size=(3, 3))
    a = sf.placeholder(sf.float64, (3, 3))
    gradient = evaluate(sf.gradients(sf.reduce_sum(a @ a), a)[0], {a: data})
    ones = np.ones((3, 3))
    assert_allclose(gradient, ones @ data.T + data.T @ ones, rtol=1e-13)


def test_a_consumer_outside_the_loss_is_no_part_of_it() -> None:
    (x,), feed = scalars(3.0)
    shared = x * x
    outside = sf.exp(shared) * x
    loss = shared + x
    assert evaluate([*sf.gradients(loss, x), *sf.gradients(loss, shared)], feed) == [7, 1]
    value, slope = evaluate([outside, *sf.gradients(outside, x)], feed)
    assert_allclose([value, slope], [3 * np.exp(9.0), np.exp(9.0) * 19])


def test_a_consumer_that_only_a_comparison_reads_delivers_nothing() -> None:
    x = sf.placeholder(sf.float64, (3,))
    limit = sf.square(x) * 2
    loss = sf.reduce_sum(x * sf.to_float(limit <= 3) + sf.where(sf.sin(x) > 0, x, 5.0))
    gradient = evaluate(sf.gradients(loss, x)[0], {x: [1.0, 2.0, -1.0]})
    assert_array_equal(gradient, [2, 1, 1])


def test_a_variable_used_in_three_layers() -> None:
    start = 0.3 * np.random.default_rng(0).normal(size=(3, 3))
    data = np.random.default_rng(1).normal(size=(4, 3))
    w, x = sf.Variable(start), sf.placeholder(sf.float64, ("n", 3))
    hidden = x
    for _ in range(3):
        hidden = sf.tanh(hidden @ w)
    gradient = evaluate(sf.gradients(sf.reduce_sum(hidden), w)[0], {x: data})

    def loss(weights: Array) -> Any:
        values = data
        for _ in range(3):
            values = np.tanh(values @ weights)
        return values.sum()

    assert_allclose(gradient, complex_step(loss, [start], 0), rtol=1e-12)


def test_a_broadcast_operand_gets_the_sum() -> None:
    b = sf.Variable([1.0, 2.0, 3.0])
    x = sf.placeholder(sf.float64, ("n", 3))
    loss = sf.reduce_sum((x + b) * b)
    data = np.arange(12.0).reshape(4, 3)
    gradient = evaluate(sf.gradients(loss, b)[0], {x: data})
    assert_allclose(gradient, data.sum(0) + 2 * 4 * np.array([1.0, 2, 3]))


def test_interior_tensors_of_equal_structure_stay_apart() -> None:
    """d(a·b·b)/da is b·b although a and b compute the same."""
    (x,), feed = scalars(3.0)
    a, b = x * 2, x * 2
    loss = a * b * b
    by_a, by_b, by_x = evaluate(sf.gradients(loss, [a, b, x]), feed)
    assert (by_a, by_b, by_x) == (36, 72, 216)


def test_equal_interior_tensors_stay_apart_when_dead_code_goes() -> None:
    x = sf.placeholder(sf.float64, (2,))
    shared, own = sf.exp(x), sf.exp(x)
    loss = sf.reduce_sum(shared) + 0.5 * sf.reduce_sum(own * own)  # 0.5 is folded, and dead
    gradient = evaluate(sf.gradients(loss, own)[0], {x: [1.0, 2.0]})
    assert_allclose(gradient, np.exp([1.0, 2.0]))


def test_interior_tensors_are_differentiated_by_even_where_they_would_be_rewritten() -> None:
    x = sf.placeholder(sf.float64, (3,))
    data = np.array([1.0, 2, 4])
    powers = sf.exp(x)
    total = sf.reduce_sum(powers)
    loss = sf.log(total)
    by_powers, by_total, by_x = evaluate(sf.gradients(loss, [powers, total, x]), {x: data})
    assert_allclose(by_total, 1 / np.exp(data).sum())
    assert_allclose(by_powers, np.full(3, 1 / np.exp(data).sum()))
    assert_allclose(by_x, np.exp(data) / np.exp(data).sum())


def test_by_the_loss_itself() -> None:
    (x,), feed = scalars(3.0)
    loss = x * x
    assert evaluate(sf.gradients(loss, loss), feed) == [1]


def test_several_ys_add_up() -> None:
    (x, z), feed = scalars(3.0, 2.0)
    by_x, by_z = sf.gradients([x * x, x * z, sf.exp(x)], [x, z])
    assert_allclose(evaluate([by_x, by_z], feed), [6 + 2 + np.exp(3.0), 3])


def test_ys_that_are_no_scalars_are_summed() -> None:
    x = sf.placeholder(sf.float64, (2, 2))
    data = np.array([[1.0, 2], [3, 4]])
    assert_allclose(evaluate(sf.gradients(x * x, x)[0], {x: data}), 2 * data)


def test_the_table_of_the_article() -> None:
    (a, b, c), feed = scalars(2.0, 3.0, 4.0)
    product = a * b
    inner = product + c
    loss = a + inner
    table = sf.compute_gradients(loss)
    assert len(table) == len(list(table)) == 6
    assert all(node in table for node in (a, b, c, product, inner, loss))
    found = evaluate([table[node] for node in (a, b, c, product, inner, loss)], feed)
    assert found == [4, 2, 1, 1, 1, 1]


# --- higher orders ---------------------------------------------------------------------------


def rosenbrock(x: Any) -> Any:
    return 100 * (x[1] - x[0] ** 2) ** 2 + (1 - x[0]) ** 2


def test_hessian_vector_product() -> None:
    x, v = sf.placeholder(sf.float64, (2,)), sf.placeholder(sf.float64, (2,))
    (gradient,) = sf.gradients(rosenbrock(x), x)
    (product,) = sf.gradients(sf.reduce_sum(gradient * v), x)
    at, along = np.array([-1.2, 1.0]), np.array([0.3, -0.7])
    hessian = np.array([[1200 * at[0] ** 2 - 400 * at[1] + 2, -400 * at[0]], [-400 * at[0], 200]])
    assert_allclose(evaluate(product, {x: at, v: along}), hessian @ along, rtol=1e-13)


def test_hessian_row_by_row() -> None:
    x = sf.placeholder(sf.float64, (2,))
    (gradient,) = sf.gradients(rosenbrock(x), x)
    rows = [sf.gradients(gradient[number], x)[0] for number in range(2)]
    at = np.array([0.5, 2.0])
    expected = [[1200 * 0.25 - 800 + 2, -200], [-200, 200]]
    assert_allclose(evaluate(sf.stack(rows), {x: at}), expected, rtol=1e-13)


def test_gradient_penalty() -> None:
    rng = np.random.default_rng(0)
    start, data = rng.normal(size=(3, 2)), rng.normal(size=(5, 3))
    w, x = sf.Variable(start), sf.placeholder(sf.float64, ("n", 3))
    score = sf.reduce_sum(sf.tanh(x @ w))
    (by_x,) = sf.gradients(score, x)
    norms = sf.sqrt(sf.reduce_sum(sf.square(by_x), axis=1))
    penalty = sf.reduce_mean(sf.square(norms - 1))
    value, gradient = evaluate([penalty, *sf.gradients(penalty, w)], {x: data})

    def reference(weights: Array) -> Any:
        slopes = (1 - np.tanh(data @ weights) ** 2) @ weights.T
        return ((np.sqrt((slopes**2).sum(1)) - 1) ** 2).mean()

    assert_allclose(value, reference(start), rtol=1e-13)
    assert_allclose(gradient, complex_step(reference, [start], 0), rtol=1e-11)


@pytest.mark.parametrize("order", range(1, 7))
def test_high_orders(order: int) -> None:
    (x,), feed = scalars(0.7)
    y = sf.sin(x) * sf.exp(x)
    for _ in range(order):
        (y,) = sf.gradients(y, x)
    derivative = (1 + 1j) ** order * np.exp((1 + 1j) * 0.7)
    assert_allclose(evaluate(y, feed), derivative.imag, rtol=1e-12)


def test_second_derivative_of_a_linear_loss_is_zero() -> None:
    w = sf.Variable([1.0, 2.0])
    (first,) = sf.gradients(sf.reduce_sum(3 * w), w)
    assert_array_equal(evaluate(sf.gradients(sf.reduce_sum(first), w)[0]), [0, 0])


# --- paths that break ------------------------------------------------------------------------

BROKEN: list[tuple[str, Callable[[Any], Any], str]] = [
    ("stop_gradient", lambda w: sf.stop_gradient(w * 2) ** 2, "only through stop_gradient"),
    ("comparison", lambda w: sf.to_float(w > 0), "only through greater"),
    ("condition", lambda w: sf.where(w > 0, 1.0, 2.0), "only through greater"),
    ("deep", lambda w: sf.exp(sf.tanh(sf.stop_gradient(w))) + 1, "only through stop_gradient"),
    ("nothing", lambda w: sf.constant([1.0, 2.0]), "does not depend on weight"),
]


@pytest.mark.parametrize(
    ("loss_of", "message"), [case[1:] for case in BROKEN], ids=[case[0] for case in BROKEN]
)
@pytest.mark.parametrize("how", ["gradients", "minimize"])
def test_a_broken_path_is_an_error_that_says_where(
    how: str, loss_of: Callable[[Any], Any], message: str
) -> None:
    w = sf.Variable([1.0, 2.0], name="weight")
    loss = sf.reduce_sum(loss_of(w), name="loss")
    optimizer = sf.GradientDescentOptimizer(0.1)
    derive = sf.gradients if how == "gradients" else optimizer.minimize
    with pytest.raises(sf.SymflowError, match=message) as caught:
        derive(loss, [w])
    assert "weight" in str(caught.value)
    assert str(caught.value).startswith("test_gradients.py:")


def test_an_untrainable_variable_need_not_be_reached() -> None:
    w, _ = sf.Variable(2.0), sf.Variable(1.0, trainable=False)
    assert sf.GradientDescentOptimizer(0.1).minimize(w * w).variables[0] is w


def test_a_path_beside_a_broken_one_is_enough() -> None:
    (x,), feed = scalars(3.0)
    assert evaluate(sf.gradients(sf.stop_gradient(x) * x, x), feed) == [3]


@pytest.mark.parametrize(
    ("name", "slope"),
    [
        ("tanh", 1 - np.tanh(1.0) ** 2),
        ("sin", np.cos(1.0)),
        ("exp", np.e),
        ("sqrt", 0.5),
        ("log", 1.0),
        ("acos", -np.inf),
        ("log1p", 0.5),
        ("sigmoid", np.exp(-1.0) / (1 + np.exp(-1.0)) ** 2),
    ],
)
def test_what_is_always_1_is_differentiated_by(name: str, slope: float) -> None:
    """The softmax of one number: a constant to those that read it, and yet no number of theirs."""
    w = sf.Variable([[0.3], [-1.1]])
    one = sf.softmax(w, axis=1)
    value = sf.reduce_sum(getattr(sf, name)(one))
    assert_allclose(evaluate(sf.gradients(value, one)[0], {}), [[slope], [slope]], rtol=1e-14)


@pytest.mark.parametrize("dtype", [sf.int64, sf.bool])
def test_whole_numbers_have_no_gradient(dtype: Any) -> None:
    k = sf.placeholder(dtype, (3,), name="k")
    with pytest.raises(sf.SymflowError, match="k "):
        sf.gradients(sf.reduce_sum(sf.to_float(k) * 2.0), k)


def test_whole_numbers_beside_real_ones() -> None:
    x, k = sf.placeholder(sf.float64, (3,)), sf.placeholder(sf.int64, (3,))
    loss = sf.reduce_sum(x**2 * k + sf.where(k > 1, x, -x))
    gradient = evaluate(sf.gradients(loss, x)[0], {x: [1.0, 2, 3], k: [1, 2, 3]})
    assert_allclose(gradient, [1, 9, 19])


def test_two_thousand_operations_deep() -> None:
    x = sf.placeholder(sf.float64, (2,))
    y = x
    for number in range(1000):
        y = sf.sin(y) if number % 2 else y * 1.0005
        y = y + 0.001
    value, gradient = evaluate([y, *sf.gradients(sf.reduce_sum(y), x)], {x: [0.5, -0.5]})
    expected = np.array([0.5, -0.5]) + 1e-30j
    for number in range(1000):
        expected = (np.sin(expected) if number % 2 else expected * 1.0005) + 0.001
    assert_allclose(value, expected.real, rtol=1e-12)
    assert_allclose(gradient, expected.imag / 1e-30, rtol=1e-11)
