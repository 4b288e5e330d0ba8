"""Running graphs: the article's program, feeding, caching, state, optimizers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sympy as sp
from numpy.testing import assert_allclose, assert_array_equal

import symflow as sf
import symflow.session

DATA = Path(__file__).parents[1] / "examples" / "data"
PRINTED = json.loads((DATA / "linear_regression_printed.json").read_text())


@pytest.fixture
def compilations(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """One entry for everything that sessions compile."""
    made: list[Any] = []
    original = symflow.session.compile_program

    def counted(*args: Any, **kwargs: Any) -> Any:
        made.append(args)
        return original(*args, **kwargs)

    monkeypatch.setattr(symflow.session, "compile_program", counted)
    return made


# --- the article -----------------------------------------------------------------------------


@pytest.mark.parametrize("column", [False, True], ids=["rows", "columns"])
def test_the_program_of_the_article(column: bool) -> None:
    input_x, input_y = np.loadtxt(DATA / "linear_regression.csv", delimiter=",", skiprows=1).T
    shape = (-1, 1) if column else (-1,)
    x = sf.Placeholder()
    y_ = sf.Placeholder()
    w = sf.Variable([[1.0]], name="weight")
    b = sf.Variable(0.0, name="threshold")
    y = x * w + b
    loss = sf.reduct_sum(sf.square(y - y_))
    train_op = sf.GradientDescentOptimizer(learning_rate=0.005).minimize(loss)
    feed_dict = {x: input_x.reshape(shape), y_: input_y.reshape(shape)}
    losses = []
    with sf.Session() as sess:
        for _ in range(20):
            losses.append(sess.run(loss, feed_dict=feed_dict))
            sess.run(train_op, feed_dict)
        w_value = sess.run(w, feed_dict=feed_dict)
        b_value = sess.run(b, feed_dict=feed_dict)
    assert_allclose(losses, PRINTED["loss"], rtol=1e-12)
    assert w_value.shape == (1, 1)
    assert_allclose(w_value, [[PRINTED["final"]["w"]]], rtol=5e-9)
    assert_allclose(b_value, PRINTED["final"]["b"], rtol=1e-11)


def test_the_small_programs_of_the_article() -> None:
    a = sf.constant([[2.0, 2.0, 3.0], [3.0, 3.0, 3.0]], name="ma")
    b = sf.constant([3.0, 4.0, 5.0], name="mb")
    with sf.Session() as sess:
        assert_array_equal(sess.run(sf.matmul(a, b)), [29, 36])
        assert sess.run(sf.add(sf.constant(1.0), sf.constant(2.0), name="a+b")) == 3


# --- feeding ---------------------------------------------------------------------------------


def test_an_unfed_placeholder_is_named_with_its_line() -> None:
    x = sf.placeholder(sf.float64, (3,), name="pixels")
    session = sf.Session()
    with pytest.raises(sf.SymflowError, match=r"pixels.*not fed") as caught:
        session.run(x + 1)
    assert str(caught.value).startswith("test_session.py:")


@pytest.mark.parametrize(
    ("shape", "given", "message"),
    [
        (("n", 784), (32, 28, 28), r"x: expected \(n, 784\), got \(32, 28, 28\)"),
        (("n", 784), (32, 10), r"x: expected \(\w+, 784\), got \(32, 10\)"),
        ((3,), (4,), r"x: expected \(3,\), got \(4,\)"),
        ((), (1,), r"x: expected \(\), got \(1,\)"),
        ((None, 2), (2, 3), r"x: expected \(.*, 2\), got \(2, 3\)"),
        (("n", "n"), (2, 3), r"x: expected \(2, 2\), got \(2, 3\)"),
    ],
)
def test_a_wrong_shape_names_the_expected_and_the_given(
    shape: Any, given: tuple[int, ...], message: str
) -> None:
    x = sf.placeholder(sf.float64, shape, name="x")
    with sf.Session() as session, pytest.raises(sf.SymflowError, match=message):
        session.run(sf.exp(x), {x: np.zeros(given)})


def test_sizes_of_one_name_agree() -> None:
    x, y = (sf.placeholder(sf.float64, ("n", 2), name=name) for name in "xy")
    with sf.Session() as session:
        assert session.run(x + y, {x: np.ones((3, 2)), y: np.ones((3, 2))}).shape == (3, 2)
        with pytest.raises(sf.SymflowError, match=r"y: expected \(3, 2\), got \(4, 2\)"):
            session.run(x + y, {x: np.ones((3, 2)), y: np.ones((4, 2))})


def test_unknown_sizes_that_meet_agree() -> None:
    x, y = (sf.placeholder(sf.float64, (None,), name=name) for name in "xy")
    with sf.Session() as session:
        assert_array_equal(session.run(x + y, {x: [1, 2], y: [3, 4]}), [4, 6])
        with pytest.raises(sf.SymflowError, match="expected"):
            session.run(x + y, {x: [1, 2], y: [3, 4, 5]})


@pytest.mark.parametrize("value", ["text", None, [1, "a"], 1j, object(), [[1], [1, 2]], {}])
def test_what_is_no_number_cannot_be_fed(value: Any) -> None:
    x = sf.placeholder(sf.float64, name="x")
    with sf.Session() as session, pytest.raises(sf.SymflowError, match=r"feed_dict.*'x'"):
        session.run(x + 1, {x: value})


def test_fractions_are_no_whole_numbers() -> None:
    k = sf.placeholder(sf.int64, ("n",))
    with sf.Session() as session, pytest.raises(sf.SymflowError, match="whole numbers"):
        session.run(k + 1, {k: [0.5]})


@pytest.mark.parametrize("value", [3, 2.5, np.float32(1.5), True, [[1, 2], [3, 4]], np.int8([1])])
def test_numbers_lists_and_arrays_can_be_fed(value: Any) -> None:
    x = sf.placeholder(sf.float64)
    with sf.Session() as session:
        result = session.run(x * 2, {x: value})
    assert result.dtype == np.float64
    assert_array_equal(result, 2 * np.asarray(value, float))


def test_only_placeholders_are_fed() -> None:
    w = sf.Variable(1.0)
    with sf.Session() as session, pytest.raises(sf.SymflowError, match="no placeholder"):
        session.run(w + 1, {w: 2.0})


def test_what_is_fed_too_much_does_no_harm() -> None:
    x, y = sf.placeholder(sf.float64, ()), sf.placeholder(sf.float64, ())
    with sf.Session() as session:
        assert session.run(x + 1, {x: 1.0, y: 2.0}) == 2


def test_a_foreign_graph_is_refused() -> None:
    with sf.Graph().as_default():
        foreign = sf.constant(1.0)
        foreign_input = sf.placeholder(sf.float64, ())
    x = sf.placeholder(sf.float64, ())
    with sf.Session() as session:
        with pytest.raises(sf.SymflowError, match="another graph"):
            session.run(foreign)
        with pytest.raises(sf.SymflowError, match="graph"):
            session.run(x, {x: 1.0, foreign_input: 1.0})
    with pytest.raises(sf.SymflowError, match="different graphs"):
        foreign + x


def test_a_session_may_be_given_its_graph() -> None:
    graph = sf.Graph()
    with graph.as_default():
        two = sf.constant(2.0)
    with sf.Session(graph) as session:
        assert session.run(two) == 2


# --- fetching --------------------------------------------------------------------------------


def test_fetches_keep_their_structure() -> None:
    x = sf.placeholder(sf.float64, ())
    feed = {x: 3.0}
    with sf.Session() as session:
        assert session.run(x, feed) == 3
        assert session.run([x, x * x], feed) == [3, 9]
        assert session.run((x, x * x), feed) == (3, 9)
        assert session.run({"x": x, "square": x * x}, feed) == {"x": 3, "square": 9}
        assert session.run({"all": [x, (x + 1, x + 2)]}, feed) == {"all": [3, (4, 5)]}
        assert session.run([x, x], feed) == [3, 3]
        assert session.run([], feed) == []


@pytest.mark.parametrize("fetch", ["x", 1.0, None])
def test_what_is_no_part_of_a_graph_cannot_be_fetched(fetch: Any) -> None:
    with sf.Session() as session, pytest.raises(sf.SymflowError, match="cannot be fetched"):
        session.run([fetch])


def test_scalars_are_numbers_and_tensors_arrays() -> None:
    x = sf.placeholder(sf.float64, ("n",))
    with sf.Session() as session:
        total, doubled = session.run([sf.reduce_sum(x), x * 2], {x: [1, 2]})
    assert isinstance(total, np.float64)
    assert isinstance(doubled, np.ndarray)
    assert f"{total}" == "3.0"


def test_results_are_copies() -> None:
    w, x = sf.Variable([1.0, 2.0]), sf.placeholder(sf.float64, (2,))
    given = np.array([3.0, 4.0])
    constant = sf.constant([5.0, 6.0])
    with sf.Session() as session:
        fetches = [
            w,
            x,
            constant,
            w[:1],
            sf.reshape(w, (2, 1)),
            sf.transpose(x),
            sf.stop_gradient(w),
        ]
        before = [value.copy() for value in session.run(fetches, {x: given})]
        for value in session.run(fetches, {x: given}):
            value[...] = -1
        assert_array_equal(given, [3, 4])
        for value, expected in zip(session.run(fetches, {x: given}), before, strict=True):
            assert_array_equal(value, expected)


def test_initial_values_are_copies() -> None:
    start = np.array([1.0, 2.0])
    w = sf.Variable(start)
    start[:] = 7
    with sf.Session() as session:
        assert_array_equal(session.run(w), [1, 2])


# --- caching ---------------------------------------------------------------------------------


def test_the_same_is_compiled_once(compilations: list[Any]) -> None:
    x = sf.placeholder()
    y = sf.reduce_sum(x * x)
    with sf.Session() as session:
        for scale in range(5):
            assert session.run(y, {x: [scale, scale]}) == 2 * scale**2
        assert len(compilations) == 1
        session.run(y, {x: [1.0, 2.0, 3.0]})
        assert len(compilations) == 2
        session.run([y, x], {x: [1.0, 2.0]})
        assert len(compilations) == 3
        session.run(y, {x: [1.0, 2.0]})
        assert len(compilations) == 3


def test_named_sizes_need_no_second_compilation(compilations: list[Any]) -> None:
    x = sf.placeholder(sf.float64, ("n",))
    y = sf.reduce_mean(x)
    with sf.Session() as session:
        assert [session.run(y, {x: np.ones(size)}) for size in (1, 2, 50)] == [1, 1, 1]
    assert len(compilations) == 1


def test_training_compiles_once(compilations: list[Any]) -> None:
    w = sf.Variable(1.0)
    train = sf.GradientDescentOptimizer(0.1).minimize(w * w)
    with sf.Session() as session:
        for _ in range(5):
            session.run(train)
    assert len(compilations) == 1


# --- state -----------------------------------------------------------------------------------


def test_variables_live_in_their_session() -> None:
    w = sf.Variable(1.0)
    train = sf.GradientDescentOptimizer(0.25).minimize(w * w)
    first, second = sf.Session(), sf.Session()
    for _ in range(2):
        first.run(train)
    assert first.run(w) == 0.25
    assert second.run(w) == 1
    second.run(train)
    assert (first.run(w), second.run(w)) == (0.25, 0.5)


def test_tensors_are_computed_before_variables_move() -> None:
    w = sf.Variable(1.0)
    loss = w * w
    train = sf.GradientDescentOptimizer(0.25).minimize(loss)
    with sf.Session() as session:
        assert session.run([train, loss, w]) == [None, 1, 1]
        assert session.run([loss, train, w]) == [0.25, None, 0.5]
        assert session.run(train) is None
        assert session.run(w) == 0.125


def test_initializing_starts_again() -> None:
    w = sf.Variable(1.0)
    train = sf.GradientDescentOptimizer(0.25).minimize(w * w)
    with sf.Session() as session:
        assert session.run(sf.global_variables_initializer()) is None
        session.run(train)
        assert session.run(w) == 0.5
        session.run(sf.global_variables_initializer())
        assert session.run(w) == 1


def test_random_initial_values_follow_the_seed() -> None:
    def drawn(seed: int) -> list[Any]:
        with sf.Graph().as_default():
            sf.set_random_seed(seed)
            both = [sf.Variable(sf.random_normal((3,))), sf.Variable(sf.random_normal((3,)))]
            with sf.Session() as session:
                return session.run(both)

    one, again, other = drawn(1), drawn(1), drawn(2)
    assert_array_equal(one, again)
    assert not np.array_equal(one, other)
    assert not np.array_equal(one[0], one[1])


def test_only_the_listed_variables_move() -> None:
    v, w = sf.Variable(1.0), sf.Variable(1.0)
    fixed = sf.Variable(1.0, trainable=False)
    loss = v * v + w * w + fixed * fixed
    optimizer = sf.GradientDescentOptimizer(0.25)
    with sf.Session() as session:
        session.run(optimizer.minimize(loss, var_list=[w]))
        assert session.run([v, w, fixed]) == [1, 0.5, 1]
        session.run(optimizer.minimize(loss))
        assert session.run([v, w, fixed]) == [0.5, 0.25, 1]


def test_single_precision_variables_stay_single() -> None:
    w, x = sf.Variable(np.float32([1, 2])), sf.placeholder(sf.float32, (2,))
    train = sf.GradientDescentOptimizer(0.1).minimize(sf.reduce_sum(sf.square(w - x)))
    with sf.Session() as session:
        session.run(train, {x: [0.0, 0.0]})
        moved = session.run(w)
    assert moved.dtype == np.float32
    assert_allclose(moved, [0.8, 1.6], rtol=1e-6)


# --- rates -----------------------------------------------------------------------------------


def trained(rate: Any, steps: int = 6, start: float = 1.0) -> list[float]:
    """w² from 1: every step multiplies w by 1 - 2·rate."""
    w = sf.Variable(start)
    train = sf.train.GradientDescentOptimizer(rate).minimize(w * w)
    path = []
    with sf.Session() as session:
        for _ in range(steps):
            session.run(train)
            path.append(float(session.run(w)))
    return path


def test_a_fixed_rate() -> None:
    assert_allclose(trained(0.1), 0.8 ** np.arange(1, 7), rtol=1e-14)


@pytest.mark.parametrize("staircase", [False, True])
def test_exponential_decay(staircase: bool) -> None:
    rate = sf.train.exponential_decay(0.2, decay_steps=3, decay_rate=0.5, staircase=staircase)
    periods = np.arange(6) / 3
    rates = 0.2 * 0.5 ** (np.floor(periods) if staircase else periods)
    assert_allclose(trained(rate), np.cumprod(1 - 2 * rates), rtol=1e-14)


def armijo(w: float, initial: float, shrink: float, slope: float) -> float:
    step, gradient = initial, 2 * w
    while (w - step * gradient) ** 2 > w**2 - step * slope * gradient**2:
        step *= shrink
    return w - step * gradient


@pytest.mark.parametrize(
    ("initial", "shrink", "slope"), [(1.0, 0.5, 1e-4), (10.0, 0.3, 0.25), (0.01, 0.5, 0.1)]
)
def test_backtracking_line_search(initial: float, shrink: float, slope: float) -> None:
    path = trained(sf.train.backtracking_line_search(initial, shrink, slope))
    expected, w = [], 1.0
    for _ in path:
        w = armijo(w, initial, shrink, slope)
        expected.append(w)
    assert_allclose(path, expected, rtol=1e-12)


def test_a_line_search_never_lets_the_loss_rise() -> None:
    x = sf.Variable([-1.2, 1.0])
    loss = 100 * (x[1] - x[0] ** 2) ** 2 + (1 - x[0]) ** 2
    rate = sf.train.backtracking_line_search()
    train = sf.train.GradientDescentOptimizer(rate).minimize(loss)
    with sf.Session() as session:
        losses = []
        for _ in range(50):
            losses.append(session.run(loss))
            session.run(train)
    assert np.all(np.diff(losses) < 0)


def test_a_line_search_at_the_minimum_stays_there() -> None:
    assert trained(sf.train.backtracking_line_search(), start=0.0, steps=2) == [0, 0]


def test_a_line_search_steps_back_from_where_the_loss_is_no_number() -> None:
    w = sf.Variable(2.0)
    loss = w - sf.log(w)
    rate = sf.train.backtracking_line_search(initial=8.0)
    train = sf.train.GradientDescentOptimizer(rate).minimize(loss)
    with sf.Session() as session:
        session.run(train)
        assert session.run(w) == 1
        assert session.run(loss) == 1


@pytest.mark.parametrize("rate", [0, -0.1, "fast", None, np.nan, np.inf, True])
def test_a_rate_is_a_positive_number(rate: Any) -> None:
    with pytest.raises(sf.SymflowError, match="learning_rate"):
        sf.GradientDescentOptimizer(rate)


def test_a_loss_is_a_scalar() -> None:
    w = sf.Variable([1.0, 2.0])
    with pytest.raises(sf.SymflowError, match=r"scalar.*\(2,\)"):
        sf.GradientDescentOptimizer(0.1).minimize(w * w)


# --- an optimizer of one's own ---------------------------------------------------------------


class Momentum(sf.train.Optimizer):
    state = {"velocity": 0.0}  # noqa: RUF012 - as in the reference

    def update(self, value: Any, gradient: Any, rate: Any, step: Any, velocity: Any) -> Any:
        velocity = 0.9 * velocity + gradient
        return value - rate * velocity, velocity


class Adam(sf.train.Optimizer):
    state = {"mean": 0.0, "square": 0.0}  # noqa: RUF012

    def update(self, value: Any, gradient: Any, rate: Any, step: Any, *state: Any) -> Any:
        mean = 0.9 * state[0] + 0.1 * gradient
        square = 0.999 * state[1] + 0.001 * gradient**2
        unbiased = sp.sqrt(square / (1 - 0.999 ** (step + 1)))
        return value - rate * mean / (1 - 0.9 ** (step + 1)) / (unbiased + 1e-8), mean, square


def momentum(w: Any, steps: int) -> Any:
    velocity = np.zeros_like(w)
    for _ in range(steps):
        velocity = 0.9 * velocity + 2 * w
        w = w - 0.05 * velocity
    return w


def adam(w: Any, steps: int) -> Any:
    mean = square = np.zeros_like(w)
    for step in range(1, steps + 1):
        mean = 0.9 * mean + 0.1 * 2 * w
        square = 0.999 * square + 0.001 * (2 * w) ** 2
        w = w - 0.05 * mean / (1 - 0.9**step) / (np.sqrt(square / (1 - 0.999**step)) + 1e-8)
    return w


@pytest.mark.parametrize(("optimizer", "reference"), [(Momentum, momentum), (Adam, adam)])
def test_an_optimizer_is_its_formulas(optimizer: Any, reference: Any) -> None:
    start = np.array([1.0, -2.0, 0.5])
    w, v = sf.Variable(start), sf.Variable([[3.0]])
    loss = sf.reduce_sum(w * w) + sf.reduce_sum(v * v)
    train = optimizer(0.05).minimize(loss)
    sessions = [sf.Session(), sf.Session()]
    for session, steps in zip(sessions, (7, 3), strict=True):
        for _ in range(steps):
            session.run(train)
        assert_allclose(session.run(w), reference(start, steps), rtol=1e-13)
        assert_allclose(session.run(v), reference(np.array([[3.0]]), steps), rtol=1e-13)


def test_initializing_forgets_the_state_of_optimizers() -> None:
    w = sf.Variable(1.0)
    train = Momentum(0.05).minimize(w * w)
    with sf.Session() as session:
        for _ in range(3):
            session.run(train)
        session.run(sf.global_variables_initializer())
        session.run(train)
        assert_allclose(session.run(w), momentum(np.array(1.0), 1))


def test_an_optimizer_with_state_has_no_line_search() -> None:
    with pytest.raises(sf.SymflowError, match="Momentum keeps state"):
        Momentum(sf.train.backtracking_line_search())


def test_an_update_gives_one_formula_for_each_state() -> None:
    class Forgetful(sf.train.Optimizer):
        state = {"velocity": 0.0}  # noqa: RUF012

        def update(self, value: Any, gradient: Any, rate: Any, step: Any, *state: Any) -> Any:
            return value - rate * gradient

    w = sf.Variable(1.0)
    train = Forgetful(0.1).minimize(w * w)
    with sf.Session() as session, pytest.raises(sf.SymflowError, match="Forgetful"):
        session.run(train)


def test_a_feed_that_is_no_dict() -> None:
    x = sf.placeholder(shape=("n",), name="x")
    with pytest.raises(sf.SymflowError, match="feed_dict is a list, not a dict"):
        sf.Session().run(x + 1, [1.0])  # type: ignore[arg-type]
