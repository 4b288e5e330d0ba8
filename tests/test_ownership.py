"""What a function hands out is the caller's alone, and what it is given stays as it is.

No result shares memory with an argument, with an array of the module, with another result or with
that of an earlier call; so whatever is written to results, the next call says the same again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from abstract_models import Leaf, Model, names
from batch_graphs import batch_model, trainable
from conftest import EXAMPLES, ROOT, imported
from public import arrays, everything, trained
from random_graphs import random_model
from styles import of_graph

import symflow as sf
from symflow.compilation import Style
from symflow.flat import flat

GRAPHS, CHUNK = 40, 10


def spoiled(found: Any) -> None:
    """Write nonsense to every array of a result."""
    for one in arrays(found):
        one[...] = True if one.dtype == bool else np.nan if one.dtype.kind == "f" else -999


def copies(found: Any) -> list[Any]:
    return [one.copy() for one in arrays(found)]


def same(found: list[Any], wanted: list[Any]) -> bool:
    """Whether arrays are equal to the last bit."""
    return len(found) == len(wanted) and all(
        one.dtype == other.dtype and one.shape == other.shape and one.tobytes() == other.tobytes()
        for one, other in zip(found, wanted, strict=True)
    )


def overlap(found: Any, others: Any) -> bool:
    return any(np.may_share_memory(a, b) for a in arrays(found) for b in arrays(others))


def complaint(made: ModuleType, p: Any, inputs: Mapping[str, Any], folder: Path) -> str | None:
    """What a module hands out, or keeps, that is not its own."""
    given = copies([p, inputs])
    first = everything(made, p, inputs, folder)
    second = everything(made, p, inputs, folder)
    kept = {name: one for name, one in vars(made).items() if not name.startswith("__")}
    kept = {name: one for name, one in kept.items() if not isinstance(one, type)}
    for name, found in first.items():
        if not all(one.flags.writeable for one in arrays(found)):
            return f"{name} cannot be written to"
        one = [*arrays(found)]
        twice = any(np.may_share_memory(a, b) for at, a in enumerate(one) for b in one[:at])
        for what, others in (("an argument", [p, inputs]), ("the module", kept)):
            if overlap(found, others):
                return f"{name} shares memory with {what}"
        if twice:
            return f"two results of {name} share memory"
        if any(overlap(found, other) for other in second.values()):
            return f"{name} shares memory with a later result"
    wanted = copies(first)
    if not same(copies(second), wanted):
        return "a second call says something else"
    spoiled([first, second])
    if not same(copies(everything(made, p, inputs, folder)), wanted):
        return "a call says something else after its results were written to"
    return None if same(copies([p, inputs]), given) else "an argument was written to"


def steps_complaint(made: ModuleType, p: Any, inputs: Mapping[str, Any]) -> str | None:
    """What is wrong with what `on_step` is given: it may write there at any step."""

    def write(step: int, loss: float, now: Any) -> None:
        seen.append([step, loss, copies(now)])
        found.append(overlap(now, [p, inputs]))
        spoiled(now)

    def read(step: int, loss: float, now: Any) -> None:
        seen.append([step, loss, copies(now)])

    results, told = [], []
    for on_step in (read, write):
        seen: list[Any] = []
        found: list[bool] = []
        results.append(copies(trained(made, p, inputs, steps=3, on_step=on_step)))
        told.append(repr(seen))
    if any(found):
        return "on_step is given the caller's arrays"
    return None if same(*results) and told[0] == told[1] else "on_step moves the training"


def whole(made: ModuleType, n: int = 5) -> dict[str, Any]:
    """Inputs of n rows."""
    rng = np.random.default_rng(0)
    found: dict[str, Any] = {}
    for name, shape in getattr(made, "INPUTS", {}).items():
        sizes = [{"n": n, "t": 3}.get(str(one), one) for one in shape]
        is_whole = name in getattr(made, "INTEGERS", ())
        found[name] = rng.integers(0, 4, sizes) if is_whole else rng.normal(size=sizes)
    return found


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("folder", ["", "plain"])
@pytest.mark.parametrize("name", EXAMPLES)
def test_examples(name: str, folder: str, dtype: str, tmp_path: Path) -> None:
    path = ROOT / "generated" / folder / f"{name}.py"
    if not path.exists():
        pytest.skip("not shown in this style")
    made = imported(path)
    p = made.initial_parameters(dtype=np.dtype(dtype))
    inputs = {
        name: value if value.dtype.kind == "i" else value.astype(dtype)
        for name, value in whole(made).items()
    }
    assert complaint(made, p, inputs, tmp_path) is None
    assert steps_complaint(made, p, inputs) is None


OPTIMIZERS = (
    "GradientDescentOptimizer(0.01)",
    "MomentumOptimizer(0.01, 0.9)",
    "AdamOptimizer(0.01)",
    "RMSPropOptimizer(0.01)",
    "AdagradOptimizer(0.01)",
    "GradientDescentOptimizer(sf.train.backtracking_line_search())",
)


@pytest.mark.parametrize("first", range(0, GRAPHS, CHUNK))
def test_random_graphs(first: int, tmp_path: Path) -> None:
    for seed in range(first, first + CHUNK):
        model = random_model(seed) if seed % 2 else batch_model(seed)
        if not trainable(model):
            model = batch_model(seed)
        optimizer = OPTIMIZERS[seed % len(OPTIMIZERS)]
        both = of_graph(model, tmp_path, training=f"sf.train.{optimizer}.minimize(loss)\n")
        for made in (both.fast, both.plain):
            inputs = placeholders(model, made)
            p = made.initial_parameters()
            found = complaint(made, p, inputs, tmp_path) or steps_complaint(made, p, inputs)
            assert found is None, f"graph {seed}, {made.__name__}: {found}"


def placeholders(model: Model, made: ModuleType) -> dict[str, Any]:
    """The values of a random graph's placeholders, by name."""
    return {
        name: node.values[0]
        for name, node in zip(names(model), model.nodes, strict=True)
        if isinstance(node, Leaf) and name in getattr(made, "INPUTS", ())
    }


VIEWS = """\
import numpy as np
import symflow as sf

x = sf.placeholder(shape=("n", 3))
s = sf.placeholder(shape=())
k = sf.constant(np.arange(9.0).reshape(3, 3))
whole = sf.constant(np.arange(4))
w = sf.Variable(np.arange(1.0, 4.0))
u = sf.Variable(np.eye(3))
b = sf.Variable(0.5)

{exports}
hidden = x @ u @ w + b
loss = sf.reduce_mean(sf.square(hidden))
train_op = sf.train.{optimizer}.minimize(loss)
"""
LOOKS = (
    "kt = sf.transpose(k)",
    "row = k[1]",
    "flat = sf.reshape(k, (9,))",
    "diagonal = sf.diag_part(k)",
    "held = sf.stop_gradient(k)",
    "all_of_it = sf.matrix_band_part(k, -1, -1)",
    "column = sf.expand_dims(whole, 1)",
    "turned = sf.reverse(whole, [0])",
    "repeated = sf.broadcast_to(whole, (2, 4))",
    "ut = sf.transpose(u)",
    "first = w[0]",
    "same = sf.stop_gradient(x)",
    "xt = sf.transpose(x)",
    "tall = sf.broadcast_to(w, (2, 3))",
    "number = sf.reshape(s, (1, 1))",
    "wide = sf.broadcast_to(s, (4,))",
    "entries = sf.scan(lambda c, e: e, x, w)",
    "swapped, other = sf.scan(lambda c, e: (c[1], c[0]), x, (w, 2.0 * w))",
    "last = sf.scan(lambda c, e: c, x, w)[-1]",
    "one = sf.ones_like(x)",
    "count = sf.range(5)",
    "truth = x > 0.0",
)


@pytest.mark.parametrize("style", ["fast", "plain"])
def test_looks_at_arrays_are_copied(
    style: Style, compiled: Callable[..., ModuleType], tmp_path: Path
) -> None:
    for optimizer, looks in zip(OPTIMIZERS[:2], (LOOKS[::2], LOOKS[1::2]), strict=True):
        made = compiled(VIEWS.format(exports="\n".join(looks), optimizer=optimizer), style)
        inputs = {"x": np.linspace(-1.0, 1.0, 12).reshape(4, 3), "s": np.array(2.0)}
        for dtype in (np.float32, np.float64):
            p = made.initial_parameters(dtype=dtype)
            given = {name: value.astype(dtype) for name, value in inputs.items()}
            assert complaint(made, p, given, tmp_path) is None
            assert steps_complaint(made, p, given) is None


def test_a_transposed_constant_stays_what_it_is(compiled: Callable[..., ModuleType]) -> None:
    made = compiled(
        "import numpy as np\nimport symflow as sf\n"
        "k = sf.constant([[1.0, 2.0], [3.0, 4.0]])\nkt = sf.transpose(k)\n"
    )
    made.kt()[0, 0] = 99.0
    np.testing.assert_array_equal(made.kt(), [[1.0, 3.0], [2.0, 4.0]])


ALIKE = """\
import symflow as sf

x = sf.placeholder(shape=("n", 2))
a = sf.Variable(sf.ones((2,)))
b = sf.Variable(sf.ones((2,)))
c = sf.Variable(sf.ones((2, 1)))
loss = sf.reduce_sum(sf.tanh(x * (a + b + c[:, 0])))
train_op = sf.train.AdamOptimizer(0.01).minimize(loss)
"""


@pytest.mark.parametrize("style", ["fast", "plain"])
def test_equal_gradients_are_two_arrays(
    style: Style, compiled: Callable[..., ModuleType], tmp_path: Path
) -> None:
    made = compiled(ALIKE, style)
    inputs = {"x": np.linspace(-1.0, 1.0, 8).reshape(4, 2)}
    assert complaint(made, made.initial_parameters(), inputs, tmp_path) is None


KEEPS = """\
import symflow as sf
from symflow.train import Optimizer, kept


class Lookback(Optimizer):
    state = {"before": 0.0, "mean": 0.0}

    def update(self, value, gradient, rate, step, before, mean):
        before = kept(value)
        mean = kept(0.5 * mean + 0.5 * (value - rate * gradient))
        return mean, before, mean


x = sf.placeholder(shape=("n",))
w = sf.Variable([1.0, 2.0])
loss = sf.reduce_mean(sf.square(sf.expand_dims(x, 1) * w - 1.0))
train_op = Lookback(0.1).minimize(loss)
"""


def test_an_optimizer_that_keeps_the_parameters(
    compiled: Callable[..., ModuleType], tmp_path: Path
) -> None:
    made = compiled(KEEPS)
    p, inputs = made.initial_parameters(), {"x": np.array([0.5, 1.0, -1.0])}
    assert complaint(made, p, inputs, tmp_path) is None
    assert steps_complaint(made, p, inputs) is None
    by_hand, mean = np.array([1.0, 2.0]), np.zeros(2)
    for _ in range(3):
        gradient = np.mean((np.outer(inputs["x"], by_hand) - 1.0).T * inputs["x"], axis=1)
        mean = 0.5 * mean + 0.5 * (by_hand - 0.1 * gradient)
        before, by_hand = by_hand, mean
    found = made.train(p, **inputs, steps=3)
    np.testing.assert_allclose(found.parameters.w, by_hand, rtol=1e-14)
    np.testing.assert_allclose(found.state.before.w, before, rtol=1e-14)


def test_what_is_held_fast_for_scipy_does_not_move(generated: Any) -> None:
    made = generated("logistic_regression")
    inputs = whole(made)
    start = made.initial_parameters()
    problem = flat(made, parameters=start, **inputs)
    vector = problem.x0.copy()
    before = problem.fun(vector), problem.jac(vector)
    spoiled([inputs, start])
    spoiled(problem.jac(vector))
    assert problem.fun(vector + 0.0) == before[0]
    assert same([problem.jac(vector)], [before[1]])


def test_a_session_keeps_its_values() -> None:
    given = np.array([1.0, 2.0])
    v = sf.Variable(given)
    x = sf.placeholder(shape=("n", 2))
    fed = np.ones((3, 2))
    vt, xs = sf.transpose(sf.expand_dims(v, 0)), sf.reshape(x, (-1,))
    training = sf.train.MomentumOptimizer(0.1, 0.9).minimize(sf.reduce_sum(sf.square(x * v)))
    with sf.Session() as session:
        first = session.run([v, vt, xs, v], {x: fed})
        wanted = copies(first)
        spoiled([first, given])
        spoiled([value for _, value in session.values()])
        assert same(copies(session.run([v, vt, xs, v], {x: fed})), wanted)
        session.run(training, {x: fed})
        moved = session.run(v)
        np.testing.assert_allclose(moved, [0.4, 0.8])
        spoiled(moved)
        session.run(training, {x: fed})
        np.testing.assert_allclose(session.run(v), [-0.38, -0.76])
    assert np.all(fed == 1.0)
