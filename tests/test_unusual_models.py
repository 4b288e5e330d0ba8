"""Models that few would write, and that are right nevertheless: beside NumPy, by a complex step."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from public import called
from styles import BLOCK, module

import symflow as sf
from symflow.compilation import Style
from symflow.files import compile_files
from symflow.modules import imported
from symflow.shipping import Shipping
from symflow.testing import check_gradients

Numbers = dict[str, Any]
RNG = np.random.default_rng(3)
X, Y = RNG.normal(size=(11, 3)), RNG.normal(size=11)
W = np.array([0.3, 0.5, 0.9])
U = np.eye(3) + np.arange(9.0).reshape(3, 3) / 20


@dataclass(frozen=True)
class Case:
    """Lines of a model, the values of its Variables, what it is fed, and its loss by hand.

    slope  what the derivative is taken of, where that is another function
    """

    lines: str
    start: Numbers
    fed: Numbers
    loss: Callable[..., Any]
    slope: Callable[..., Any] | None = field(default=None)

    @property
    def text(self) -> str:
        kinds = {"i": "sf.int64, ", "b": "sf.bool, ", "f": ""}
        head = [
            f"{name} = sf.placeholder({kinds[value.dtype.kind]}shape={('n', *value.shape[1:])!r})"
            for name, value in self.fed.items()
        ]
        head += [
            f"{name} = sf.Variable(np.array({np.asarray(value).tolist()}))"
            for name, value in self.start.items()
        ]
        end = "train_op = sf.train.GradientDescentOptimizer(0.01).minimize(loss)"
        return "\n".join(["import numpy as np", "import symflow as sf", *head, self.lines, end, ""])

    def slopes(self, at: Numbers) -> Numbers:
        found = {}
        for name, value in at.items():
            value = np.asarray(value, float)
            slope = np.zeros_like(value)
            for entry in np.ndindex(value.shape):
                moved = value.astype(complex)
                moved[entry] += 1e-30j
                function = self.slope or self.loss
                slope[entry] = function(**{**at, name: moved}, **self.fed).imag / 1e-30
            found[name] = slope
        return found


CX, CY = np.arange(12.0).reshape(4, 3) / 10, np.array([1.0, 0.0, 2.0, -1.0])
WHOLE = RNG.integers(0, 5, size=(11, 3))
COUNT = RNG.integers(0, 5, size=11)
TRUE = RNG.random(11) > 0.5
CONSTANTS = """\
cx = sf.constant(np.arange(12.0).reshape(4, 3) / 10)
cy = sf.constant([1.0, 0.0, 2.0, -1.0])
"""


def soft(x: Any) -> Any:
    return np.exp(x) / np.sum(np.exp(x), axis=-1, keepdims=True)


QUADRATIC = {
    "constants alone": Case(
        f"{CONSTANTS}loss = sf.reduce_mean(sf.square(cx @ w - cy))",
        {"w": W},
        {},
        lambda w: np.mean((CX @ w - CY) ** 2),
    ),
    "constants and numbers": Case(
        f"{CONSTANTS}loss = sf.reduce_mean(sf.square(cx[:, 1] * w + b - cy))",
        {"w": 0.5, "b": 1.0},
        {},
        lambda w, b: np.mean((CX[:, 1] * w + b - CY) ** 2),
    ),
    "integers that are constants": Case(
        "c = sf.constant(np.array([[1, 2, 3], [4, 5, 6], [7, 8, 1]]))\n"
        "loss = sf.reduce_mean(sf.square(c @ w / 10 - sf.constant([1, 0, 1])))",
        {"w": W},
        {},
        lambda w: np.mean(
            (np.array([[1, 2, 3], [4, 5, 6], [7, 8, 1]]) @ w / 10 - np.array([1, 0, 1])) ** 2
        ),
    ),
    "integers that are fed": Case(
        "loss = sf.reduce_mean(sf.square(k @ w + b - c)) + 0.1 * sf.reduce_sum(w * w)",
        {"w": W, "b": 0.5},
        {"k": WHOLE, "c": COUNT},
        lambda w, b, k, c: np.mean((k @ w + b - c) ** 2) + 0.1 * np.sum(w * w),
    ),
    "integers fed before floats": Case(
        "loss = sf.reduce_mean(sf.square(x @ w + b - 0.5 * c))",
        {"w": W, "b": 0.5},
        {"c": COUNT, "x": X},
        lambda w, b, c, x: np.mean((x @ w + b - 0.5 * c) ** 2),
    ),
    "booleans that are fed": Case(
        "loss = sf.reduce_mean(sf.square(w * t - 0.25))",
        {"w": 0.5},
        {"t": TRUE},
        lambda w, t: np.mean((w * t - 0.25) ** 2),
    ),
    "nothing but parameters": Case(
        "loss = sf.reduce_sum(sf.square(w - 1.0))",
        {"w": W},
        {},
        lambda w: np.sum((w - 1.0) ** 2),
    ),
}

CASES = QUADRATIC | {
    "straight through": Case(
        "h = sf.tanh(x @ w)\nloss = sf.reduce_mean(h - sf.stop_gradient(h)) + sf.reduce_sum(w * w)",
        {"w": W},
        {"x": X},
        lambda w, x: np.sum(w * w),
        lambda w, x: np.sum(w * w) + np.mean(np.tanh(x @ w)),
    ),
    "straight through alone": Case(
        "loss = sf.reduce_sum(sf.tanh(x @ w) - sf.stop_gradient(sf.tanh(x @ w)))",
        {"w": W},
        {"x": X},
        lambda w, x: 0.0 * np.sum(w),
        lambda w, x: np.sum(np.tanh(x @ w)),
    ),
    "rounded": Case(
        "h = x @ w\n"
        "loss = sf.reduce_mean(sf.square(h + sf.stop_gradient(sf.round(h) - h) - 0.3))",
        {"w": W},
        {"x": X},
        lambda w, x: np.mean((np.round((x @ w).real) - 0.3) ** 2),
        lambda w, x: np.mean(2 * (np.round((x @ w).real) - 0.3) * (x @ w)),
    ),
    "the count of rows": Case(
        "loss = sf.reduce_sum(w) * sf.reduce_sum(sf.ones_like(x[:, 0]))",
        {"w": W},
        {"x": X},
        lambda w, x: np.sum(w) * len(x),
    ),
    "rows that add up to nothing": Case(
        "loss = sf.reduce_sum(sf.zeros_like(x) * w) + sf.reduce_sum(w * w)",
        {"w": W},
        {"x": X},
        lambda w, x: np.sum(w * w),
    ),
    "rows that add up to one each": Case(
        "loss = sf.reduce_sum(sf.nn.softmax(x @ u)) + sf.reduce_sum(u * u)",
        {"u": U},
        {"x": X},
        lambda u, x: np.sum(soft(x @ u)) + np.sum(u * u),
    ),
    "a choice of a transposed product": Case(
        "loss = sf.reduce_mean(sf.where(x > 0.1, x, sf.transpose(sf.transpose(x * w) * 2.0)) @ w)",
        {"w": W},
        {"x": X},
        lambda w, x: np.mean(np.where(x > 0.1, x, 2.0 * x * w) @ w),
    ),
    "a choice of one row": Case(
        "row = sf.expand_dims(sf.maximum(w, 0.4) * 2.0, 0)\n"
        "loss = sf.reduce_sum(sf.where(row > 0.9, row * row, row)) + sf.reduce_mean(x)",
        {"w": W},
        {"x": X},
        lambda w, x: (
            lambda row: np.sum(np.where(row.real > 0.9, row * row, row)) + np.mean(x)
        )(2.0 * np.where(w.real > 0.4, w, 0.4)),
    ),
    "choices within choices": Case(
        "loss = sf.reduce_mean(sf.where(x > 0.1, sf.where(x > 1.0, sf.atan2(x, w), x * w), "
        "sf.logaddexp(x, w)))",
        {"w": W},
        {"x": X},
        lambda w, x: np.mean(
            np.where(
                x > 0.1, np.where(x > 1.0, np.arctan(x / w), x * w), np.log(np.exp(x) + np.exp(w))
            )
        ),
    ),
    "a sum over what one factor has": Case(
        "m = sf.reduce_mean(sf.where(x < w, 0.5, sf.exp(w)) + x, axis=0, keepdims=True)\n"
        "loss = sf.reduce_mean(m @ u)",
        {"w": W, "u": U},
        {"x": X},
        lambda w, u, x: np.mean(
            np.mean(np.where(x < w.real, 0.5, np.exp(w)) + x, axis=0, keepdims=True) @ u
        ),
    ),
    "numbers as conditions": Case(
        "loss = sf.reduce_sum(sf.where(k, x @ w, 2.0 * w[0]))\n"
        "loss = loss + sf.reduce_sum(sf.where(2, w, w * w))",
        {"w": W},
        {"k": COUNT, "x": X},
        lambda w, k, x: np.sum(np.where(k, x @ w, 2.0 * w[0])) + np.sum(w),
    ),
    "floats as conditions": Case(
        "z = sf.maximum(x, 0.0)\nloss = sf.reduce_sum(sf.where(z, z * w, -1.0)) + sf.reduce_sum(w)",
        {"w": W},
        {"x": X},
        lambda w, x: np.sum(np.where(np.maximum(x, 0.0), x * w, -1.0)) + np.sum(w),
    ),
    "a Variable as a condition": Case(
        "loss = sf.reduce_sum(sf.where(v, w, 3.0 * w)) + sf.reduce_sum(v * w)",
        {"w": W, "v": np.array([0.0, 1.0, -2.0])},
        {},
        lambda w, v: np.sum(np.where(v.real, w, 3.0 * w)) + np.sum(v * w),
    ),
    "a constant of integers as a condition": Case(
        "loss = sf.reduce_sum(sf.where(sf.constant([1, 0, 7]), w, 3.0 * w))",
        {"w": W},
        {},
        lambda w: np.sum(np.where([1, 0, 7], w, 3.0 * w)),
    ),
    "integers that are computed at once": Case(
        "loss = sf.reduce_sum(w * sf.log1p(sf.square(sf.constant(2))))\n"
        "loss = loss + sf.reduce_sum(sf.gather(w, sf.constant(3) - 2))",
        {"w": W},
        {},
        lambda w: np.sum(w * np.log(5.0)) + w[1],
    ),
    "truths that are computed at once": Case(
        "loss = sf.reduce_sum(w * (sf.constant(2) > 1))\n"
        "loss = loss - sf.reduce_sum(w * w) * (sf.constant(1) > 2)",
        {"w": W},
        {},
        lambda w: np.sum(w),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_values_and_slopes(name: str, tmp_path: Path) -> None:
    case = CASES[name]
    path = tmp_path / "model.py"
    path.write_text(case.text, encoding="utf-8")
    loss, slopes = case.loss(**case.start, **case.fed), case.slopes(case.start)
    for style in ("fast", "plain"):
        made = module(path, style, "float64")
        p = made.initial_parameters()
        takes = inspect.signature(made.loss_and_gradients).parameters
        for threads in (1, 2, 5) if "threads" in takes else (1,):
            found, gradients = called(made.loss_and_gradients, p, case.fed, threads=threads)
            np.testing.assert_allclose(found, loss, rtol=1e-12, atol=1e-14)
            alone = called(made.loss, p, case.fed, threads=threads)
            np.testing.assert_allclose(alone, loss, rtol=1e-12, atol=1e-14)
            for one, slope in slopes.items():
                np.testing.assert_allclose(getattr(gradients, one), slope, rtol=1e-11, atol=1e-13)
    assert len(X) > 2 * BLOCK


@pytest.mark.parametrize("name", list(CASES)[len(QUADRATIC) :])
def test_a_session(name: str) -> None:
    case = CASES[name]
    names: Numbers = {}
    exec(case.text, names)
    feed = {names[one]: value for one, value in case.fed.items()}
    slopes = case.slopes(case.start)
    with sf.Session() as session:
        by = [names[one] for one in slopes]
        found, *gradients = session.run([names["loss"], *sf.gradients(names["loss"], by)], feed)
    np.testing.assert_allclose(found, case.loss(**case.start, **case.fed), rtol=1e-12, atol=1e-14)
    for one, slope in zip(gradients, slopes.values(), strict=True):
        np.testing.assert_allclose(one, slope, rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("name", QUADRATIC)
def test_training_is_descent(name: str, tmp_path: Path) -> None:
    """Whether moments are used or not: the updates are those of the rule, one by one."""
    case = QUADRATIC[name]
    path = tmp_path / "model.py"
    path.write_text(case.text, encoding="utf-8")
    at = {one: np.asarray(value, float) for one, value in case.start.items()}
    losses = []
    for _ in range(60):
        losses.append(case.loss(**at, **case.fed))
        slopes = case.slopes(at)
        at = {one: value - 0.01 * slopes[one] for one, value in at.items()}
    for style in ("fast", "plain"):
        for dtype, close in (("float64", 1e-9), ("float32", 2e-3)):
            made = module(path, style, dtype)
            p = made.initial_parameters(dtype=np.dtype(dtype))
            found = called(made.train, p, case.fed, steps=60, learning_rate=0.01)
            np.testing.assert_allclose(found.losses, losses, rtol=close, atol=close)
            for one, value in at.items():
                moved = getattr(found.parameters, one)
                assert moved.dtype == dtype
                np.testing.assert_allclose(moved, value, rtol=close, atol=close)


ROOTS = {
    "sf.sqrt(-(w * w))": np.nan,
    "sf.sqrt(-2.0 * sf.square(w))": np.nan,
    "(-(w * w)) ** 0.5": np.nan,
    "(-(w * w)) ** 1.5": np.nan,
    "sf.sqrt(w * w * (-3.0))": np.nan,
    "sf.sqrt(-sf.exp(w))": np.nan,
    "sf.rsqrt(-(w * w))": np.nan,
    "sf.log(-(w * w))": np.nan,
    "sf.pow(-2.0, w)": np.nan,
    "sf.sqrt(-sf.abs(w - 0.5))": [np.nan, 0.0, np.nan],
    "sf.where(w > 0.4, sf.sqrt(w), sf.sqrt(-(w * w)))": [np.nan, 0.5**0.5, 0.9**0.5],
    "sf.where(w > 0.0, w, sf.sqrt(-(w * w)))": W,
}


@pytest.mark.parametrize("root", ROOTS)
def test_roots_of_what_is_negative(root: str, tmp_path: Path) -> None:
    """NaN, as NumPy has it, and no complex number on the way."""
    wanted = np.broadcast_to(np.asarray(ROOTS[root]), (3,))
    w = sf.Variable(W)
    with sf.Session() as session:
        np.testing.assert_allclose(session.run(eval(root, {"sf": sf, "w": w})), wanted)
        total = session.run(sf.reduce_sum(eval(root, {"sf": sf, "w": w})))
    np.testing.assert_allclose(total, np.sum(wanted))
    path = tmp_path / "model.py"
    path.write_text(f"import symflow as sf\nw = sf.Variable({W.tolist()})\nq = {root}\n")
    for style in ("fast", "plain"):
        made = module(path, style, "float64")
        np.testing.assert_allclose(called(made.q, None, {}), wanted)


ONE_ROW = {
    "sf.scan(lambda h, e: sf.tanh(h * w + e), x)": lambda x: x,
    "sf.scan(lambda h, e: sf.tanh(h * w + e), x[1:], x[0] * w)": lambda x: np.empty((0, 3)),
    "sf.scan(lambda h, e: sf.tanh(h * w + e), x, reverse=True)": lambda x: x,
    "sf.scan(lambda h, e: sf.tanh(h * w + e), x)[-1]": lambda x: x[0],
    "sf.scan(lambda h, e: h + e, x[:, 0])": lambda x: x[:, 0],
    "sf.scan(lambda h, e: h + e, k)": lambda x: np.array([3]),
}


@pytest.mark.parametrize("style", ["fast", "plain"])
@pytest.mark.parametrize("loop", ONE_ROW)
def test_a_loop_of_no_step(
    loop: str, style: Style, compiled: Callable[..., ModuleType], tmp_path: Path
) -> None:
    """n - 1 steps, where there is one row."""
    made = compiled(
        'import symflow as sf\nx = sf.placeholder(shape=("n", 3))\n'
        'k = sf.placeholder(sf.int64, ("n",))\nw = sf.Variable([0.1, 0.2, 0.3])\n'
        f"s = {loop}\nloss = sf.reduce_sum(s * 2.0) + sf.reduce_sum(w) + sf.reduce_sum(x * w)\n"
        "train_op = sf.train.GradientDescentOptimizer(0.1).minimize(loss)\n",
        style,
    )
    for dtype in (np.float32, np.float64):
        p = made.initial_parameters(dtype=dtype)
        fed = {"x": X[:1].astype(dtype), "k": np.array([3])}
        wanted = ONE_ROW[loop](fed["x"])
        found = called(made.s, p, fed)
        assert found.dtype == (np.int64 if "k" in loop.split(",")[-1] else dtype)
        np.testing.assert_array_equal(found, wanted)
        loss, gradients = called(made.loss_and_gradients, p, fed)
        np.testing.assert_allclose(
            loss, 2.0 * np.sum(wanted) + 0.6 + np.sum(fed["x"] * W_SMALL), rtol=1e-5
        )
        np.testing.assert_allclose(gradients.w, 1.0 + fed["x"][0], rtol=1e-5)


W_SMALL = np.array([0.1, 0.2, 0.3])

INSIDE = {
    "descent": (
        "def step(h, e):\n"
        "    energy = sf.square(h) * w + e * h\n"
        "    return h - 0.1 * sf.gradients(energy, h)[0]\n\n"
        "s = sf.scan(step, y, 0.5)\nloss = sf.reduce_sum(sf.square(s))\n"
    ),
    "leapfrog": (
        "def step(c, e):\n"
        "    q, m = c\n"
        "    energy = sf.square(q) * w + sf.sin(q * e)\n"
        "    m = m - 0.05 * sf.gradients(energy, q)[0]\n"
        "    return q + 0.1 * m, m\n\n"
        "q, m = sf.scan(step, y, (0.3, 1.0))\nloss = sf.reduce_sum(sf.square(q)) + m[-1]\n"
    ),
    "integers that fill": (
        "loss = sf.reduce_sum(sf.ones_like(sf.constant([1, 2])) * w) + y[0] * w\n"
    ),
    "integers that add up": (
        "loss = sf.reduce_sum(sf.cumsum(sf.ones_like(sf.constant([1, 2, 3])))) * w * w + y[0]\n"
    ),
    "truths": (
        "c = sf.constant([True, False])\n"
        "loss = sf.reduce_sum(sf.where(sf.ones_like(c), w, 2.0 * w)) + y[0] * w * w\n"
    ),
    "any and all": (
        "loss = sf.where(sf.reduce_any(y > 0.0), w, w * w)\n"
        "loss = loss + sf.where(sf.reduce_all(y > 9.0), 1.0, w)\n"
    ),
}


def by_hand(name: str, w: Any, y: Any) -> Any:
    if name == "descent":
        h, total = 0.5, 0.0
        for e in y:
            h = h - 0.1 * (2.0 * h * w + e)
            total = total + h**2
        return total
    if name == "leapfrog":
        q, m, total = 0.3, 1.0, 0.0
        for e in y:
            m = m - 0.05 * (2.0 * q * w + e * np.cos(q * e))
            q = q + 0.1 * m
            total = total + q**2
        return total + m
    return {
        "integers that fill": 2 * w + y[0] * w,
        "integers that add up": 6 * w * w + y[0],
        "truths": 2 * w + y[0] * w * w,
        "any and all": (w if np.any(y > 0) else w * w) + w,
    }[name]


@pytest.mark.parametrize("name", INSIDE)
def test_in_many_digits(name: str, tmp_path: Path) -> None:
    """The checker and the self-test know derivatives inside loops, and what no kernel computes."""
    path = tmp_path / "model.py"
    path.write_text(
        "import symflow as sf\ny = sf.placeholder(shape=(4,))\nw = sf.Variable(0.7)\n"
        f"{INSIDE[name]}train_op = sf.train.GradientDescentOptimizer(0.01).minimize(loss)\n"
    )
    y = np.array([0.3, -0.2, 0.5, 0.1])
    assert all(one.ok for one in check_gradients(path))
    with sf.Graph().as_default():
        files = compile_files(path, tmp_path / "out", {}, None, ships=Shipping(selftest=True))
    for file, content in files.items():
        if content is not None:
            file.parent.mkdir(exist_ok=True)
            file.write_bytes(content)
    made = imported(tmp_path / "out" / "model.py")
    assert made.selftest()
    loss, gradients = made.loss_and_gradients(made.initial_parameters(), y)
    np.testing.assert_allclose(loss, by_hand(name, 0.7, y), rtol=1e-13)
    slope = by_hand(name, 0.7 + 1e-30j, y).imag / 1e-30
    np.testing.assert_allclose(gradients.w, slope, rtol=1e-12)
