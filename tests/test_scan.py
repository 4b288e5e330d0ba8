"""`sf.scan` against Python loops: values, gradients, second derivatives, and the code it makes."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
import pytest
from click.testing import CliRunner
from conftest import ROOT
from numpy.testing import assert_allclose
from reference import Array, complex_step, evaluate

import symflow as sf
from symflow.checking import check
from symflow.cli import main
from symflow.testing import validate


def unrolled(fn: Callable[[Any, Any], Any], elems: Any, carry: Any, reverse: bool = False) -> Any:
    """What `sf.scan` computes, as one operation after another, without a loop."""
    several = isinstance(elems, tuple)
    steps = (elems[0] if several else elems).shape[0]
    results: list[Any] = []
    for t in reversed(range(steps)) if reverse else range(steps):
        carry = fn(carry, tuple(one[t] for one in elems) if several else elems[t])
        results.append(carry)
    if reverse:
        results.reverse()
    if isinstance(carry, tuple):
        return tuple(sf.stack([one[at] for one in results]) for at in range(len(carry)))
    return sf.stack(results)


def same(
    build: Callable[[Callable[..., Any]], tuple[Any, list[Any]]], *, second: bool = True
) -> list[Array]:
    """Loss, gradients and second derivatives are the same with and without a loop; return them."""
    found: list[list[Array]] = []
    for scan in (sf.scan, unrolled):
        with sf.Graph().as_default():
            loss, by = build(scan)
            first = sf.gradients(loss, by)
            fetched = [loss, *first]
            if second:
                penalty = sf.reduce_sum(sf.stack([sf.reduce_sum(sf.sin(one)) for one in first]))
                fetched += sf.gradients(penalty + loss, by)
            found.append(evaluate(fetched))
    for one, other in zip(*found, strict=True):
        assert_allclose(one, other, rtol=1e-11, atol=1e-12)
    return found[0]


def drawn(*shape: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).normal(size=shape)


# --- values ----------------------------------------------------------------------------------


def test_cumulative_sum() -> None:
    x = drawn(7)
    assert_allclose(evaluate(sf.scan(lambda c, x_t: c + x_t, x, 0.0)), np.cumsum(x))
    backwards = evaluate(sf.scan(lambda c, x_t: c + x_t, x, 0.0, reverse=True))
    assert_allclose(backwards, np.cumsum(x[::-1])[::-1])


@pytest.mark.parametrize("zeros", [[], [2], [2, 4]])
def test_gradient_of_a_cumulative_product_at_zeros(zeros: list[int]) -> None:
    values, weights = drawn(6), drawn(6, seed=1)
    values[zeros] = 0.0
    x = sf.Variable(values)
    products = sf.scan(lambda c, x_t: c * x_t, x)
    total = sf.reduce_sum(weights * products)
    value, gradient = evaluate([products, *sf.gradients(total, x)])
    assert_allclose(value, np.cumprod(values))
    expected = complex_step(lambda x: np.sum(weights * np.cumprod(x)), [values], 0)
    assert_allclose(gradient, expected, atol=1e-14)


def test_without_initializer_the_first_entry_is_the_carry() -> None:
    x = drawn(5, 3)
    assert_allclose(evaluate(sf.scan(lambda c, x_t: c + x_t, x)), np.cumsum(x, axis=0))
    last_first = evaluate(sf.scan(lambda c, x_t: 2 * c + x_t, x, reverse=True))
    expected = [x[4]]
    for t in (3, 2, 1, 0):
        expected.insert(0, 2 * expected[0] + x[t])
    assert_allclose(last_first, expected)
    assert_allclose(evaluate(sf.scan(lambda c, x_t: c + x_t, x[:1])), x[:1])


def test_fibonacci_carries_that_change_places() -> None:
    a, b = sf.scan(lambda carry, _: (carry[1], carry[0] + carry[1]), np.zeros(10), (0.0, 1.0))
    assert_allclose(evaluate(a), [1, 1, 2, 3, 5, 8, 13, 21, 34, 55])
    assert_allclose(evaluate(b), [1, 2, 3, 5, 8, 13, 21, 34, 55, 89])


def test_carries_swap() -> None:
    a, b, c = sf.scan(
        lambda carry, x: (carry[1], carry[0] * x, carry[0]), np.arange(1.0, 7), (1.0, 2.0, 0.0)
    )
    expected, carry = [], (1.0, 2.0, 0.0)
    for x in range(1, 7):
        carry = (carry[1], carry[0] * x, carry[0])
        expected.append(carry)
    assert_allclose(np.transpose(evaluate([a, b, c])), expected)


def test_a_carry_read_after_it_is_computed() -> None:
    def step(h: Any, x: Any) -> Any:
        new = sf.tanh(h + x)
        return new + 0.5 * h * new

    x = drawn(4, 2)
    h, expected = np.zeros(2), []
    for row in x:
        new = np.tanh(h + row)
        h = new + 0.5 * h * new
        expected.append(h)
    assert_allclose(evaluate(sf.scan(step, x, np.zeros(2))), expected)


class State(NamedTuple):
    total: Any
    count: Any


def test_structures_are_kept() -> None:
    x, y = drawn(4, 2), np.arange(4)
    state = sf.scan(
        lambda s, e: State(s.total + e[0] * 2.0, s.count + e[1]),
        (sf.constant(x), sf.constant(y)),
        State(sf.zeros(2), 0),
    )
    assert isinstance(state, State)
    total, count = evaluate([state.total, state.count])
    assert_allclose(total, 2 * np.cumsum(x, axis=0))
    assert count.tolist() == [0, 1, 3, 6]
    assert count.dtype.kind == "i"
    listed = sf.scan(lambda s, e: [s[0] + e], x, [sf.zeros(2)])
    assert isinstance(listed, list)


def test_symbolic_number_of_steps() -> None:
    x = sf.placeholder(shape=("t", "n", 2))
    w = sf.Variable(drawn(2, 2))
    h = sf.scan(lambda h, x_t: sf.tanh(x_t + h @ w), x, x[0] * 0.0)
    loss = sf.reduce_mean(h)
    with sf.Session() as session:
        for steps, n in ((3, 2), (5, 1), (1, 4)):
            data = drawn(steps, n, 2)

            def reference(w: Array, data: Array = data) -> Any:
                h, all_h = np.zeros(data.shape[1:]), []
                for x_t in data:
                    h = np.tanh(x_t + h @ w)
                    all_h.append(h)
                return np.mean(all_h)

            found = session.run([loss, *sf.gradients(loss, w)], {x: data})
            values = session.run(w)
            assert_allclose(found[0], reference(values))
            assert_allclose(found[1], complex_step(reference, [values], 0))


def test_shapes_that_are_fed() -> None:
    x = sf.placeholder(name="x")
    total = sf.scan(lambda c, x_t: c + x_t, x, sf.zeros(3))[-1]
    assert_allclose(evaluate(total, {x: np.ones((4, 3))}), [4, 4, 4])
    y = sf.placeholder(shape=(None, None))
    total = sf.scan(lambda c, y_t: c + y_t, y, sf.zeros(3))
    assert total.shape == (None, 3)
    assert_allclose(evaluate(total, {y: np.ones((2, 3))}), [[1, 1, 1], [2, 2, 2]])


def test_single_precision_stays() -> None:
    x = sf.placeholder(sf.float32, ("t",))
    w = sf.Variable(np.float32(0.5))
    h = sf.scan(lambda h, x_t: 0.5 * sf.tanh(w * h + x_t) + 0.1, x, 0.0)
    loss = sf.reduce_sum(h)
    values = evaluate([h, loss, *sf.gradients(loss, [x, w])], {x: [1.0, 2.0, 3.0]})
    assert {np.asarray(value).dtype for value in values} == {np.dtype(np.float32)}


# --- gradients -------------------------------------------------------------------------------


def gru(w: Any, u: Any, v: Any) -> Callable[[Any, Any], Any]:
    def cell(h: Any, x_t: Any) -> Any:
        reset = sf.sigmoid(x_t @ w + h @ u)
        update = sf.sigmoid(x_t @ w - h @ v)
        new = sf.tanh(x_t @ w + (reset * h) @ u)
        return update * h + (1.0 - update) * new

    return cell


def lstm(w: Any, u: Any, b: Any) -> Callable[[Any, Any], Any]:
    def cell(state: Any, x_t: Any) -> Any:
        h, c = state
        z = x_t @ w + h @ u + b
        c = sf.sigmoid(z[:, :2]) * c + sf.sigmoid(z[:, 2:4]) * sf.tanh(z[:, 4:6])
        return sf.sigmoid(z[:, 6:]) * sf.tanh(c), c

    return cell


@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("reverse", [False, True])
def test_gru(last: bool, reverse: bool) -> None:
    def build(scan: Any) -> Any:
        x, h = sf.Variable(drawn(4, 3, 2)), sf.Variable(drawn(3, 2, seed=1))
        w, u, v = (sf.Variable(drawn(2, 2, seed=at)) for at in (2, 3, 4))
        states = scan(gru(w, u, v), x, h, reverse=reverse)
        read = states[0 if reverse else -1] if last else states
        return sf.reduce_sum(sf.square(read)), [x, h, w, u, v]

    same(build)


@pytest.mark.parametrize("read", ["h", "c", "last h", "both"])
def test_lstm(read: str) -> None:
    def build(scan: Any) -> Any:
        x, h0, c0 = (sf.Variable(drawn(*s)) for s in ((4, 3, 2), (3, 2), (3, 2)))
        w, u, b = (sf.Variable(drawn(*s, seed=1)) for s in ((2, 8), (2, 8), (8,)))
        h, c = scan(lstm(w, u, b), x, (h0, c0))
        loss = {
            "h": lambda: sf.reduce_mean(sf.exp(h)),
            "c": lambda: sf.reduce_sum(sf.square(c) * np.arange(4.0).reshape(4, 1, 1)),
            "last h": lambda: sf.reduce_sum(sf.square(h[-1])),
            "both": lambda: sf.reduce_sum(h[1:] * c[:-1]) + sf.reduce_max(h[2]),
        }[read]()
        return loss, [x, h0, c0, w, u, b]

    same(build)


def test_lstm_by_complex_step() -> None:
    x, w, u, b = drawn(5, 3, 2), drawn(2, 8, seed=1), drawn(2, 8, seed=2), drawn(8, seed=3)

    def sigmoid(z: Array) -> Array:
        return 1 / (1 + np.exp(-z))

    def loss(x: Array, w: Array, u: Array, b: Array) -> Any:
        h = c = np.zeros((3, 2))
        for x_t in x:
            z = x_t @ w + h @ u + b
            c = sigmoid(z[:, :2]) * c + sigmoid(z[:, 2:4]) * np.tanh(z[:, 4:6])
            h = sigmoid(z[:, 6:]) * np.tanh(c)
        return np.sum(h * h)

    variables = [sf.Variable(one) for one in (x, w, u, b)]
    h, _ = sf.scan(lstm(*variables[1:]), variables[0], (sf.zeros((3, 2)), sf.zeros((3, 2))))
    found = evaluate(sf.gradients(sf.reduce_sum(sf.square(h[-1])), variables))
    for at, gradient in enumerate(found):
        assert_allclose(gradient, complex_step(loss, [x, w, u, b], at), rtol=1e-10, atol=1e-13)


def test_elems_of_several_tensors_and_a_carry_that_the_loss_does_not_read() -> None:
    def build(scan: Any) -> Any:
        x, y, a = (sf.Variable(drawn(*s)) for s in ((4, 3), (4,), (3,)))

        def step(carry: Any, entry: Any) -> Any:
            total, unread = carry
            x_t, y_t = entry
            return sf.sin(total * a) + x_t * y_t, unread + sf.reduce_sum(x_t) * a

        total, _ = scan(step, (x, y), (sf.constant(drawn(3)), sf.constant(drawn(3))))
        return sf.reduce_sum(sf.square(total)), [x, y, a]

    same(build)


def test_whole_numbers_beside_the_carry() -> None:
    def build(scan: Any) -> Any:
        table, start = sf.Variable(drawn(5, 3)), sf.Variable(drawn(2, 3))
        tokens = sf.constant(np.array([[0, 1], [4, 4], [1, 0]]))

        def step(carry: Any, k: Any) -> Any:
            h, count = carry
            return sf.tanh(h + sf.gather(table, k) / sf.to_float(count + 1)), count + 1

        h, _ = scan(step, tokens, (start, sf.constant(0)))
        return sf.reduce_sum(sf.square(h)), [table, start]

    same(build)


def test_reductions_and_kinks_inside_a_step() -> None:
    def build(scan: Any) -> Any:
        x, w = sf.Variable(drawn(4, 3)), sf.Variable(drawn(3, 3))

        def step(h: Any, x_t: Any) -> Any:
            attention = sf.softmax(h * x_t)
            return sf.relu(x_t + w @ h) + attention * sf.reduce_max(h) - sf.reduce_mean(x_t * h)

        h = scan(step, x, sf.constant(drawn(3)))
        return sf.reduce_sum(sf.square(h)), [x, w]

    same(build)


def test_views_inside_a_step() -> None:
    def build(scan: Any) -> Any:
        x, w = sf.Variable(drawn(3, 2, 6)), sf.Variable(drawn(3, 2))

        def step(h: Any, x_t: Any) -> Any:
            cut = sf.reshape(x_t, (2, 3, 2)) * w
            turned = sf.concat([h[:, 1:], h[:, :1]], 1)
            return sf.tanh(turned + sf.reduce_sum(cut, 2) + x_t[:, ::2])

        h = scan(step, x, sf.constant(drawn(2, 3)))
        return sf.reduce_sum(h[:, 0] * h[:, 1]), [x, w]

    same(build)


def test_one_weight_in_many_places() -> None:
    def build(scan: Any) -> Any:
        w, x = sf.Variable(drawn(2, 2)), sf.Variable(drawn(3, 2, 2))
        h = scan(lambda h, x_t: sf.tanh(w @ h @ w + w * x_t), x @ w, w)
        return sf.reduce_sum(h * w), [w, x]

    same(build)


def test_two_scans_one_after_the_other() -> None:
    def build(scan: Any) -> Any:
        x, w = sf.Variable(drawn(4, 3)), sf.Variable(drawn(3))
        h = scan(lambda h, x_t: sf.tanh(h * w + x_t), x, sf.constant(np.zeros(3)))
        back = scan(lambda b, h_t: sf.sin(b + h_t * w), h, h[-1], reverse=True)
        return sf.reduce_sum(back * h), [x, w]

    same(build)


def test_a_scan_inside_a_scan() -> None:
    def build(scan: Any) -> Any:
        x, w, v = (sf.Variable(drawn(*s)) for s in ((3, 4, 2), (2,), (2,)))

        def outer(h: Any, x_t: Any) -> Any:
            inner = scan(lambda g, y: sf.tanh(g * w + y * h), x_t, h * v)
            return inner[-1] + 0.1 * sf.reduce_sum(inner, 0)

        h = scan(outer, x, sf.constant(drawn(2)))
        return sf.reduce_sum(sf.square(h)), [x, w, v]

    same(build)


@pytest.mark.parametrize("steps", [1, 4])
def test_gradients_inside_a_step(steps: int) -> None:
    """Gradient descent as a loop, differentiated through."""

    def build(scan: Any) -> Any:
        a, rates = sf.Variable(drawn(3)), sf.Variable(drawn(steps, seed=1))
        scaled = 2.0 * a  # on the way from a to the energy, outside of the step

        def step(point: Any, rate: Any) -> Any:
            energy = sf.reduce_sum(sf.log(1.0 + sf.square(point - scaled)))
            moved = point - rate * sf.gradients(energy, point)[0]
            # what the carry has of a comes from earlier steps, and counts as fixed within one
            return moved + sf.gradients(energy, a)[0] if steps == 1 else moved

        path = scan(step, rates, sf.constant([0.1, 0.2, 0.1]))
        return sf.reduce_sum(sf.square(path[-1] - 1.0)), [a, rates]

    same(build, second=steps == 1)


def test_gradient_by_the_states() -> None:
    x = sf.Variable(drawn(4, 2))
    h = sf.scan(lambda h, x_t: sf.tanh(h + x_t), x, np.zeros(2))
    loss = sf.reduce_sum(sf.square(h)) + sf.reduce_sum(h[-1])
    by_h, states = evaluate([*sf.gradients(loss, h), h])
    expected = 2 * states
    expected[-1] += 1.0
    assert_allclose(by_h, expected)


def test_a_loss_that_reads_nothing_of_a_carry_that_is_shared() -> None:
    def build(scan: Any) -> Any:
        w, x = sf.Variable(2.0), sf.Variable(drawn(3))
        h = scan(lambda h, x_t: w * x_t, x, 0.0)
        return sf.reduce_sum(sf.square(h)), [w, x]

    same(build)


def test_compute_gradients_goes_through_a_scan() -> None:
    x = sf.Variable(drawn(3))
    loss = sf.reduce_sum(sf.scan(lambda c, x_t: c * x_t, x, 1.0))
    table = sf.compute_gradients(loss)
    assert_allclose(evaluate(table[x]), evaluate(sf.gradients(loss, x)[0]))


# --- errors ----------------------------------------------------------------------------------


def test_a_carry_that_changes_its_shape() -> None:
    x = sf.placeholder(shape=(5, 3))
    with pytest.raises(sf.SymflowError, match=r"the carry c is \(\) before .* and \(3,\) after"):
        sf.scan(lambda c, x_t: c + x_t, x, 0.0)


def test_a_carry_that_changes_its_kind() -> None:
    with pytest.raises(sf.SymflowError, match=r"carry c is of dtype int .* start with 0\.0"):
        sf.scan(lambda c, x_t: c + x_t, drawn(3), 0)


def test_another_number_of_carries() -> None:
    with pytest.raises(sf.SymflowError, match=r"the carry is 2 tensors, .* returns 3 tensors"):
        sf.scan(lambda c, x_t: (*c, x_t), drawn(3), (0.0, 0.0))
    with pytest.raises(sf.SymflowError, match="returns nothing"):
        sf.scan(lambda c, x_t: None, drawn(3), 0.0)


def test_no_function_of_carry_and_entry() -> None:
    with pytest.raises(sf.SymflowError, match="3 is no function"):
        sf.scan(3, drawn(3), 0.0)  # type: ignore[arg-type]
    with pytest.raises(sf.SymflowError, match=r"fn\(carry, entry\): too many positional"):
        sf.scan(lambda c: c, drawn(3), 0.0)  # type: ignore[arg-type,misc]


def test_a_mistake_that_shows_when_shapes_are_fed() -> None:
    x, w = sf.placeholder(), sf.Variable(np.eye(3))
    states = sf.scan(lambda c, x_t: c + x_t @ w, x, np.zeros(3))
    with pytest.raises(sf.SymflowError, match=r"test_scan.py:\d+: matmul: x_t is \(2,\) but w is"):
        evaluate(states, {x: np.ones((4, 2))})


def test_entries_that_do_not_fit() -> None:
    with pytest.raises(sf.SymflowError, match="elems have 3 and 4 entries"):
        sf.scan(lambda c, e: c + e[0] + e[1], (drawn(3), drawn(4)), 0.0)
    with pytest.raises(sf.SymflowError, match="no first dimension"):
        sf.scan(lambda c, e: c + e, 1.0, 0.0)
    with pytest.raises(sf.SymflowError, match="elems is empty"):
        sf.scan(lambda c, e: c, (), 0.0)


def test_a_value_of_a_step_outside() -> None:
    kept: list[Any] = []

    def step(c: Any, x_t: Any) -> Any:
        kept.append(sf.sin(c))
        return c + x_t

    sf.scan(step, drawn(3), 0.0)
    with pytest.raises(sf.SymflowError, match=r"a value of one step of the scan .* outside"):
        evaluate(kept[0])


def test_a_mistake_inside_a_step_has_its_line(tmp_path: Path) -> None:
    model = tmp_path / "model.py"
    model.write_text(
        'import symflow as sf\nx = sf.placeholder(shape=("t", 3))\n'
        "w = sf.Variable(sf.zeros((2, 2)))\n"
        "def step(h, x_t):\n    return h + x_t @ w\nh = sf.scan(step, x, sf.zeros(2))\n"
    )
    run = CliRunner().invoke(main, ["compile", str(model)])
    assert run.exit_code == 1
    assert run.stderr.startswith("symflow: model.py:5: matmul: x_t is (3,) but w is (2, 2)")


# --- the generated module --------------------------------------------------------------------

LSTM = """\
import symflow as sf

x = sf.placeholder(shape=({steps}, "n", 3))
y = sf.placeholder(shape=("n",))
w = sf.Variable(sf.glorot_uniform((3, 16)))
u = sf.Variable(sf.glorot_uniform((4, 16)))
b = sf.Variable(sf.zeros(16))
v = sf.Variable(sf.glorot_uniform((4, 1)))


def cell(state, x_t):
    h, c = state
    z = x_t @ w + h @ u + b
    i, f, o = (sf.sigmoid(z[:, at : at + 4]) for at in (0, 4, 8))
    c = f * c + i * sf.tanh(z[:, 12:])
    return o * sf.tanh(c), c


start = 0.0 * x[0] @ w[:, :4]
h, c = sf.scan(cell, x, (start, start))
loss = sf.reduce_mean(sf.square((h[-1] @ v)[:, 0] - y))
train_op = sf.train.AdamOptimizer(0.01).minimize(loss)

__all__ = ["h"]
"""


@pytest.fixture
def module(compiled: Callable[[str], ModuleType]) -> ModuleType:
    return compiled(LSTM.format(steps='"t"'))


def test_the_length_of_a_module_does_not_depend_on_the_steps(
    compiled: Callable[[str], ModuleType],
) -> None:
    lengths = set()
    for steps in (2, 10, 1000):
        text = Path(str(compiled(LSTM.format(steps=steps)).__file__)).read_text()
        lengths.add(sum(not line.lstrip().startswith("#") for line in text.splitlines()))
        assert len(re.findall(r"^    for ", text, re.MULTILINE)) >= 4
    assert len(lengths) == 1


def test_a_thousand_steps_compile_at_once(tmp_path: Path) -> None:
    """The whole process, with all that it imports; seconds of the processor, not of the clock."""
    (tmp_path / "model.py").write_text(LSTM.format(steps=1000))
    measured = (
        "import sys, time\nfrom click.testing import CliRunner\nfrom symflow.cli import main\n"
        "run = CliRunner().invoke(main, ['compile', 'model.py'])\n"
        "assert run.exit_code == 0, run.output\nprint(time.process_time())\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", measured],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert float(run.stdout) < 2.0


def test_the_module_is_right_by_the_complex_step(module: ModuleType) -> None:
    results = check(Path(str(module.__file__)))
    assert max(one.error for one in results) < 1e-9
    assert {one.method for one in results} == {"complex step"}


def test_the_model_in_fifty_digits(tmp_path: Path) -> None:
    (tmp_path / "model.py").write_text(LSTM.format(steps=3).replace('"n"', "2"))
    report = validate(tmp_path / "model.py")
    assert report.ok, report
    assert [one.array for one in report.rows if one.function == "gradients"]


def test_each_function_keeps_only_what_it_needs(compiled: Callable[..., ModuleType]) -> None:
    text = Path(str(compiled(LSTM.format(steps='"t"'), "plain").__file__)).read_text()
    loss = text[text.index("def _loss(") : text.index("def _loss_and_gradients(")]
    assert "append" not in loss
    both = text[text.index("def _loss_and_gradients(") : text.index("# --- training")]
    code = re.sub("#.*", "", both)
    assert code.count("np.stack(") == 2  # the states before each step, and d_z
    assert "np.stack(h_before)" in code


def test_the_module_learns(module: ModuleType) -> None:
    random = np.random.default_rng(0)
    x = random.normal(size=(6, 32, 3))
    y = np.tanh(x[:, :, 0].sum(axis=0))
    result = module.train(module.initial_parameters(), x, y, learning_rate=0.02, steps=150)
    assert result.losses[-1] < 0.1 * result.losses[0]


def test_sizes_come_from_inputs_that_a_function_takes(
    compiled: Callable[[str], ModuleType],
) -> None:
    module = compiled(
        "import symflow as sf\n"
        'x = sf.placeholder(shape=("t",))\ny = sf.placeholder(shape=("t",))\n'
        "a = sf.Variable(0.5)\n"
        "powers = sf.scan(lambda c, _: a * c, x, 1.0)\n"
        "mean = sf.reduce_mean(y)\n"
        "loss = sf.reduce_sum(x) * sf.reduce_sum(powers)\n"
    )
    start = module.initial_parameters()
    assert_allclose(module.powers(start, np.ones(3)), [0.5, 0.25, 0.125])
    assert_allclose(module.mean(start, [1.0, 3.0]), 2.0)


def test_kinks_on_numbers_are_checked(compiled: Callable[[str], ModuleType]) -> None:
    module = compiled(
        "import symflow as sf\nx = sf.placeholder(shape=('t',))\na = sf.Variable(0.5)\n"
        "step = lambda c, x_t: sf.abs(c - a * x_t) + sf.relu(c * x_t)\n"
        "loss = sf.reduce_sum(sf.scan(step, x, 1.0))\n"
    )
    (result,) = check(Path(str(module.__file__)))
    assert result.error < 1e-12


@pytest.mark.parametrize(
    "tool",
    [
        ["ruff", "check", "--no-cache", "--config", str(ROOT / "pyproject.toml")],
        ["ruff", "format", "--check", "--diff", "--isolated", "--line-length", "100"],
        ["mypy", "--strict"],
    ],
    ids=["check", "format", "mypy"],
)
def test_tools(tool: list[str], module: ModuleType) -> None:
    run = subprocess.run(
        [sys.executable, "-m", *tool, str(module.__file__)], capture_output=True, text=True
    )
    assert run.returncode == 0, run.stdout + run.stderr


def test_dump_shows_the_body_of_a_loop(tmp_path: Path) -> None:
    model = tmp_path / "model.py"
    model.write_text(LSTM.format(steps='"t"'))
    run = CliRunner().invoke(main, ["compile", str(model), "--dump", "simplify"])
    assert run.exit_code == 0, run.output
    assert re.search(
        r"^\S+ = scan\(.*\) t steps from first to last +model.py:20$", run.output, re.M
    )
    assert re.search(r"^    h%\d+\[i, j\] = ", run.output, re.M)
    assert re.search(r"^    result 0 -> h%\d+$", run.output, re.M)
