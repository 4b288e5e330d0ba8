"""float32 stays float32, under NumPy 1.26, which widens scalars, and under NumPy 2, which does not.

Each expression is written twice, for symflow and for NumPy. All that a module of it hands out must
be of the precision that its parameters have, and the numbers those of NumPy in float64.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from public import arrays, called, everything, functions
from styles import module

import symflow as sf
from symflow.compilation import Style

MODEL = """\
import numpy as np
import symflow as sf

x = sf.placeholder(shape=("n", 3))
k = sf.placeholder(sf.int64, ("n",))
b = sf.placeholder(sf.bool, ("n",))
w = sf.Variable(np.array([0.3, 0.5, 0.9]))
u = sf.Variable(np.eye(3) + np.arange(9.0).reshape(3, 3) / 7)
a = sf.Variable(0.5)
c = sf.constant(np.array([1, 2, 3]))
C = sf.constant(np.array([[4, 2, 3], [1, 7, 6], [2, 1, 9]]))
m = sf.constant(np.array([True, False, True]))
bytes_ = sf.constant(np.array([200, 100, 50], np.uint8))
yes = sf.constant(True)
seven = sf.constant(7)

q = {expression}
loss = sf.reduce_sum(sf.sin(q)) + a * a + sf.reduce_sum(w) + sf.reduce_sum(u)
train_op = sf.train.GradientDescentOptimizer(0.01).minimize(loss)
"""

RNG = np.random.default_rng(0)
INPUTS: dict[str, Any] = {
    "x": RNG.normal(size=(6, 3)),
    "k": np.array([2, 0, 1, 1, 2, 0]),
    "b": np.array([True, False, False, True, True, False]),
}
CONSTANTS: dict[str, Any] = {
    "c": np.array([1, 2, 3]),
    "C": np.array([[4, 2, 3], [1, 7, 6], [2, 1, 9]]),
    "m": np.array([True, False, True]),
    "bytes_": np.array([200, 100, 50]),
    "seven": 7,
    "TRIGAMMA": np.pi**2 / 6 - np.array([0.0, 1.0, 1.25]),
    "np": np,
}

EXPRESSIONS = {
    # integers and booleans of the model beside floats
    "c * w": "c * w",
    "w - c": "w - c",
    "C @ w": "C @ w",
    "x @ C @ w": "x @ C @ w",
    "sf.einsum('ij,j->i', C, w)": "C @ w",
    "sf.tensordot(C, u, 2)": "np.sum(C * u)",
    "sf.concat([c, w], 0) * a": "np.concatenate([c, w]) * a",
    "sf.stack([c, w, m]) * a": "np.stack([c, w, m]) * a",
    "sf.stack([a, 1, 2.5])": "np.stack([a, 1.0, 2.5])",
    "sf.matrix_solve(C, sf.reshape(w, (3, 1)))": "np.linalg.solve(C, w.reshape(3, 1))",
    "sf.where(c > 1, c, w)": "np.where(c > 1, c, w)",
    "sf.where(m, 1, c) * a": "np.where(m, 1, c) * a",
    "sf.where(m, True, False) * a": "m * a",
    "sf.where(w > 0.4, 1, 0) * a": "(w > 0.4) * a",
    "m * w": "m * w",
    "(w > 0.4) * 2.0 * a": "(w > 0.4) * 2.0 * a",
    "sf.cast(w > 0.4, sf.float32) - a": "(w > 0.4) - a",
    "sf.reduce_sum(m) * a": "np.sum(m) * a",
    "sf.reduce_mean(c) * a": "np.mean(c) * a",
    "c / 2 * w": "c / 2 * w",
    "1 / c * w": "1 / c * w",
    "c ** -1 * w": "w / c",
    "sf.pow(2.0, -c) * w": "2.0 ** -c * w",
    "w ** c": "w ** c",
    "sf.sqrt(c) * w + sf.exp(m)": "np.sqrt(c) * w + np.exp(m.astype(float))",
    "sf.maximum(c, w)": "np.maximum(c, w)",
    "sf.clip_by_value(w, 0, c)": "np.clip(w, 0, c)",
    "sf.clip_by_value(0.6, w, 0.8)": "np.minimum(np.maximum(0.6, w), 0.8)",
    "sf.clip_by_value(2.0, 0.1, w) + x": "np.minimum(2.0, w) + x",
    "sf.clip_by_value(1, w, c)": "np.minimum(np.maximum(1, w), c)",
    "sf.xlogy(2, w) + sf.xlogy(c, w)": "(2 + c) * np.log(w)",
    "sf.atan2(1, w) + sf.logaddexp(0, w)": "np.arctan(1 / w) + np.log(1 + np.exp(w))",
    "sf.floormod(c, 0.7) * w": "np.mod(c, 0.7) * w",
    "sf.elu(-w, 2) + sf.polygamma(1, c) * a": "2 * np.expm1(-w) + a * TRIGAMMA",
    "sf.elu(-2, w) + sf.elu(3, w)": "w * np.expm1(-2.0) + 3.0",
    "sf.leaky_relu(-2, w) + sf.hypot(3, w)": "-2.0 * w + np.hypot(3.0, w)",
    "sf.cumsum(c) * w": "np.cumsum(c) * w",
    "sf.diag(c) @ w": "c * w",
    "sf.range(3) / 2 * w": "np.arange(3) / 2 * w",
    "sf.fill((3,), 2) * w": "2 * w",
    "sf.ones_like(c) * w + sf.zeros_like(m)": "w",
    "sf.one_hot(c - 1, 3) @ w": "w",
    "sf.nn.softmax(c) * w": "np.exp(c) / np.sum(np.exp(c)) * w",
    # integers and booleans of the data
    "x @ w * k - k": "x @ w * k - k",
    "sf.reduce_sum(k) * w / sf.reduce_sum(b)": "np.sum(k) * w / np.sum(b)",
    "sf.where(b, x @ w, 2.0 * a)": "np.where(b, x @ w, 2.0 * a)",
    "sf.gather(w, k) * k": "w[k] * k",
    "sf.one_hot(k, 3) @ w": "w[k]",
    "b * w[1]": "b * w[1]",
    "sf.cumsum(k) * a": "np.cumsum(k) * a",
    "sf.scan(lambda h, e: h * a + e, k, 0.0)": "carried(lambda h, e: h * a + e, k, 0.0)",
    "sf.scan(lambda h, e: sf.where(e, h * a, h), b, 1.0)":
        "carried(lambda h, e: h * a if e else h, b, 1.0)",
    "sf.scan(lambda h, e: h + e, c, 0) * a": "np.cumsum(c) * a",
    # numbers alone: booleans, NumPy's own, bytes
    "yes * w": "w",
    "w - yes": "w - 1",
    "w * True - False": "w",
    "seven * w - seven": "7 * w - 7",
    "w * np.float64(0.1)": "w * 0.1",
    "np.float64(1 / 3) * x * w": "x * w / 3",
    "bytes_ + bytes_ * 2 - w": "bytes_ * 3 - w",
    "sf.constant(np.array([12], np.int8)) ** 2 * w": "144 * w",
    "sf.constant(np.float32(0.5)) * w": "0.5 * w",
    "w * sf.lgamma(sf.constant(0.5))": "w * 0.5723649429247001",
    # functions of infinite numbers, which NumPy 2 takes for float64
    "w * sf.atan(sf.constant(-np.inf))": "w * -np.pi / 2",
    "sf.floormod(sf.atan(sf.constant(np.inf)), w)": "np.mod(np.pi / 2, w)",
    "sf.maximum(sf.tanh(sf.constant(-np.inf)), w)": "np.maximum(-1.0, w)",
    "w + sf.exp(sf.constant(-np.inf)) * x": "w + 0.0 * x",
    "sf.hypot(w, sf.minimum(sf.constant(np.inf), 2.0))": "np.hypot(w, 2.0)",
    "sf.scan(lambda h, e: h * a + sf.erf(sf.constant(np.inf)), k, 0.0)":
        "carried(lambda h, e: h * a + 1.0, k, 0.0)",
    # arrays that are made of scalars alone
    "sf.broadcast_to(2.0 * a, (3,))": "np.full(3, 2.0 * a)",
    "sf.broadcast_to(sf.reduce_sum(w) / 2.0, (3,))": "np.full(3, np.sum(w) / 2.0)",
    "sf.stack([2.0 * a, a / 3.0])": "np.stack([2.0 * a, a / 3.0])",
    "sf.cumsum(sf.stack([2.0 * a, 3.0 * a]))": "np.cumsum([2.0 * a, 3.0 * a])",
    "sf.where(m, 2.0 * a, a / 2.0)": "np.where(m, 2.0 * a, a / 2.0)",
    "x * sf.where(x > 0.0, 2.0 * a, 3.0 * a)": "x * np.where(x > 0.0, 2.0 * a, 3.0 * a)",
    "m * (2.0 * a) + c * (3.0 * a)": "m * (2.0 * a) + c * (3.0 * a)",
    "sf.expand_dims(2.0 * a, 0)": "np.array([2.0 * a])",
    "sf.reshape(2.0 * a, (1, 1))": "np.array([[2.0 * a]])",
    "sf.pad(sf.expand_dims(2.0 * a, 0), [[1, 1]])": "np.array([0.0, 2.0 * a, 0.0])",
    "sf.scan(lambda h, e: 2.0 * h + a / 3.0, k, 2.0 * a)":
        "carried(lambda h, e: 2.0 * h + a / 3.0, k, 2.0 * a)",
    "x * (2.0 * a) / sf.reduce_sum(k)": "x * (2.0 * a) / np.sum(k)",
    "w * 2.0 ** a": "w * 2.0 ** a",
}  # fmt: skip


def carried(step: Callable[[Any, Any], Any], entries: Any, carry: Any) -> Any:
    found = []
    for entry in entries:
        carry = step(carry, entry)
        found.append(carry)
    return np.stack(found)


def reference(text: str, p: dict[str, Any]) -> Any:
    """The loss by NumPy alone."""
    q = eval(text, {**CONSTANTS, **INPUTS, **p, "carried": carried})
    return np.sum(np.sin(q)) + p["a"] ** 2 + np.sum(p["w"]) + np.sum(p["u"])


def slopes(text: str, p: dict[str, Any]) -> dict[str, Any]:
    """Its derivatives by central differences."""
    found = {}
    for name, value in p.items():
        slope = np.zeros_like(value)
        for entry in np.ndindex(value.shape):
            ends = []
            for h in (1e-6, -1e-6):
                moved = value.copy()
                moved[entry] += h
                ends.append(reference(text, {**p, name: moved}))
            slope[entry] = (ends[0] - ends[1]) / 2e-6
        found[name] = slope
    return found


def imprecise(found: Any, dtype: str) -> Iterator[str]:
    """Arrays of floats that are of another precision."""
    for name, result in found.items():
        for one in arrays(result):
            if one.dtype.kind == "f" and one.dtype != dtype:
                yield f"{name} is {one.dtype}"


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_expressions(expression: str, tmp_path: Path) -> None:
    path = tmp_path / "model.py"
    path.write_text(MODEL.format(expression=expression), encoding="utf-8")
    for style in ("fast", "plain"):
        for dtype in ("float32", "float64"):
            made = module(path, style, dtype)
            p = made.initial_parameters(dtype=np.dtype(dtype))
            inputs = {
                name: value.astype(dtype) if value.dtype.kind == "f" else value
                for name, value in INPUTS.items()
            }
            assert [*imprecise(everything(made, p, inputs, tmp_path), dtype)] == []
            loss, gradients = called(made.loss_and_gradients, p, inputs)
            exact = {name: np.asarray(one, np.float64) for name, one in p._asdict().items()}
            close = {"rtol": 1e-5, "atol": 1e-4} if dtype == "float32" else {"rtol": 1e-12}
            np.testing.assert_allclose(loss, reference(EXPRESSIONS[expression], exact), **close)
            if dtype == "float64":
                for name, slope in slopes(EXPRESSIONS[expression], exact).items():
                    one = getattr(gradients, name)
                    np.testing.assert_allclose(one, slope, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("expression", list(EXPRESSIONS)[::4])
def test_a_session(expression: str) -> None:
    """A model of which every precision is stated as single."""
    text = MODEL.format(expression=expression).replace("sf.placeholder(shape", SINGLE)
    text = text.replace("np.array([0.3", "np.float32([0.3").replace(
        "np.eye(3)", "np.eye(3, dtype='f')"
    )
    text = text.replace(".reshape(3, 3) / 7)", ".reshape(3, 3).astype('f') / 7)")
    text = text.replace("sf.Variable(0.5)", "sf.Variable(np.float32(0.5))")
    names: dict[str, Any] = {}
    exec(text, names)
    feed = {names[name]: value for name, value in INPUTS.items()}
    fetched = [names["q"], names["loss"], *sf.gradients(names["loss"], names["w"])]
    p = {"w": np.array([0.3, 0.5, 0.9]), "a": np.array(0.5)}
    p["u"] = np.eye(3) + np.arange(9.0).reshape(3, 3) / 7
    with sf.Session() as session:
        for one in session.run(fetched, feed):
            assert one.dtype == np.float32
        loss = session.run(names["loss"], feed)
        np.testing.assert_allclose(loss, reference(EXPRESSIONS[expression], p), rtol=1e-4)
        session.run(names["train_op"], feed)
        assert session.run(names["w"]).dtype == np.float32


SINGLE = "sf.placeholder(sf.float32, shape"

OPTIMIZERS = (
    "GradientDescentOptimizer(0.01)",
    "GradientDescentOptimizer(0.01, l2=0.1)",
    "GradientDescentOptimizer(0.01, clip_norm=0.5)",
    "GradientDescentOptimizer(0.01, clip_value=0.5)",
    "GradientDescentOptimizer(sf.train.exponential_decay(0.01, 2, 0.5))",
    "GradientDescentOptimizer(sf.train.backtracking_line_search())",
    "MomentumOptimizer(0.01, 0.9)",
    "AdamOptimizer(0.01)",
    "RMSPropOptimizer(0.01)",
    "AdagradOptimizer(0.01)",
)


@pytest.mark.parametrize("style", ["fast", "plain"])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_optimizers(optimizer: str, style: Style, tmp_path: Path) -> None:
    """Parameters, state, and what `on_step` is given; numbers alone, and arrays beside them."""
    head = 'x = sf.placeholder(shape=("n", 2))\n'
    for variables, loss in (
        ("w = sf.Variable([0.5, 1.0])\nb = sf.Variable(0.5)\n", "sf.reduce_mean((x @ w - b) ** 4)"),
        ("w = sf.Variable(1.5)\nb = sf.Variable(0.5)\n", "(w * w - b) ** 4 + (1 - w) ** 2"),
    ):
        path = tmp_path / "model.py"
        text = f"import symflow as sf\n{head if 'x' in loss else ''}{variables}loss = {loss}\n"
        path.write_text(f"{text}train_op = sf.train.{optimizer}.minimize(loss)\n")
        made = module(path, style, "float32")
        p = made.initial_parameters()
        inputs = {"x": np.linspace(-1.0, 1.0, 8).reshape(4, 2).astype(np.float32)}
        seen: list[Any] = []

        def watch(step: int, loss: float, now: Any, seen: list[Any] = seen) -> None:
            assert type(loss) is float
            seen.append(now)

        found = called(made.train, p, inputs, steps=3, on_step=watch)
        more = called(made.train, found.parameters, inputs, steps=2, state=found.state)
        told = {"first": found, "on": more, "seen": seen, **everything(made, p, inputs, tmp_path)}
        assert [*imprecise(told, "float32")] == []
        assert all(type(one) is float for one in [*found.losses, *more.losses])


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.int32, np.uint16, bool])
def test_whole_numbers_do_not_wrap(dtype: Any, compiled: Callable[..., ModuleType]) -> None:
    """Of bytes, 100 · 100 is 16 for NumPy: inputs of whole numbers are kept in 64 bits."""
    made = compiled(
        'import symflow as sf\nk = sf.placeholder(sf.int64, ("n",))\n'
        "square = k * k\nless = k - 101\ntwice = sf.reduce_sum(k + k)\n"
    )
    k = np.array([100, 1, 0], dtype)
    for one in (k, k[::-1]):
        wide = [int(value) for value in one]
        assert made.square(one).tolist() == [value * value for value in wide]
        assert made.less(one).tolist() == [value - 101 for value in wide]
        assert made.twice(one) == 2 * sum(wide)
    node = sf.placeholder(sf.int64, ("n",))
    with sf.Session() as session:
        assert session.run(node * node - 101, {node: k}).tolist() == [
            int(value) ** 2 - 101 for value in k
        ]


def test_a_truth_is_one(compiled: Callable[..., ModuleType]) -> None:
    made = compiled(
        'import symflow as sf\nb = sf.placeholder(sf.bool, ("n",))\n'
        "one = b * 1.5\nother = sf.where(b, 1.0, 2.0)\ncount = sf.reduce_sum(b)\n"
    )
    given = np.array([2, 0, -7, 1])
    assert made.one(given).tolist() == [1.5, 0.0, 1.5, 1.5]
    assert made.other(given).tolist() == [1.0, 2.0, 1.0, 1.0]
    assert made.count(given) == 3


def test_choices_of_integers_are_integers(compiled: Callable[..., ModuleType]) -> None:
    made = compiled(
        'import symflow as sf\nx = sf.placeholder(shape=("n",))\nw = sf.Variable([1.0, 2.0])\n'
        "side = sf.where(x > 0.0, 1, 0)\ncount = sf.reduce_sum(side)\n"
        "read = sf.gather(w, side)\nsteps = sf.cumsum(sf.where(x > 0.0, 2, -1))\n"
        "loss = sf.reduce_sum(read)\n"
        "train_op = sf.train.GradientDescentOptimizer(0.1).minimize(loss)\n"
    )
    p, x = made.initial_parameters(), np.array([0.5, -0.5, 1.0])
    assert made.side(p, x).dtype == np.int64
    assert made.side(p, x).tolist() == [1, 0, 1]
    assert made.count(p, x) == 2
    assert made.read(p, x).tolist() == [2.0, 1.0, 2.0]
    assert made.steps(p, x).tolist() == [2, 1, 3]
    assert made.gradients(p, x).w.tolist() == [1.0, 2.0]


def test_every_function_of_the_examples(generated: Callable[[str], ModuleType]) -> None:
    for name in ("digits", "digits_cnn", "lstm", "mlp_regression", "logistic_regression"):
        made = generated(name)
        p = made.initial_parameters(dtype=np.float32)
        rng = np.random.default_rng(0)
        inputs = {
            one: (
                rng.integers(0, 4, [{"n": 5, "t": 3}.get(str(size), size) for size in shape])
                if one in getattr(made, "INTEGERS", ())
                else rng.normal(size=[{"n": 5, "t": 3}.get(str(size), size) for size in shape])
            )
            for one, shape in made.INPUTS.items()
        }
        found = {one: called(function, p, inputs) for one, function in functions(made).items()}
        assert [*imprecise(found, "float32")] == [], name
