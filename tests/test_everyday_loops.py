"""Models with a loop that people write, beside the same loop by hand in NumPy.

Each is compiled in both styles and both precisions, with everything exported and with the loss
alone, with short names and long ones; the gradient is that of a complex step.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from public import called
from styles import module

import symflow as sf
from symflow.compilation import Style
from symflow.files import compile_files
from symflow.modules import imported
from symflow.shipping import Shipping

RNG = np.random.default_rng(7)
ROWS = RNG.normal(size=(6, 3))
SERIES = RNG.normal(size=8)
Numbers = dict[str, Any]


@dataclass(frozen=True)
class Loop:
    """A model: its lines, the values of its Variables, what it is fed, and its loss by hand."""

    lines: str
    start: Numbers
    fed: Numbers
    loss: Callable[..., Any]

    def text(self, exports: str = "", rename: Callable[[str], str] = lambda name: name) -> str:
        head = [f"{name} = sf.placeholder(shape={shape})" for name, shape in self._shapes()]
        head += [
            f"{name} = sf.Variable(np.array({np.asarray(value).tolist()}))"
            for name, value in self.start.items()
        ]
        text = "\n".join([*head, self.lines])
        for name in {*re.findall(r"^(\w+) =", text, re.M), *self.start, *self.fed} - {"loss"}:
            text = re.sub(rf"(?<![\w.]){name}(?!\w|=(?!=))", rename(name), text)
        end = "train_op = sf.train.GradientDescentOptimizer(0.01).minimize(loss)"
        return f"import numpy as np\nimport symflow as sf\n\n{text}\n{exports}\n{end}\n"

    def _shapes(self) -> list[tuple[str, str]]:
        return [
            (name, f'("n", {value.shape[1]})' if value.ndim == 2 else '("n",)')
            for name, value in self.fed.items()
        ]

    def slopes(self) -> Numbers:
        """The derivatives of the loss by a complex step."""
        found = {}
        for name, value in self.start.items():
            value = np.asarray(value, float)
            slope = np.zeros_like(value)
            for entry in np.ndindex(value.shape):
                moved = value.astype(complex)
                moved[entry] += 1e-30j
                slope[entry] = self.loss(**{**self.start, name: moved}, **self.fed).imag / 1e-30
            found[name] = slope
        return found


def states(step: Callable[[Any, Any], Any], entries: Any, carry: Any) -> Any:
    found = []
    for entry in entries:
        carry = step(carry, entry)
        found.append(carry)
    return np.stack(found)


def sigmoid(x: Any) -> Any:
    return 1.0 / (1.0 + np.exp(-x))


def logsumexp(x: Any, axis: int | None = None) -> Any:
    top = np.max(x.real, axis=axis, keepdims=True)
    total = np.log(np.sum(np.exp(x - top), axis=axis, keepdims=True)) + top
    return np.squeeze(total, axis=axis)


MASK = np.array([[1.0, 1.0, 0.0], [0.0, 1.0, 1.0], [1.0, 0.0, 1.0]])


def hidden_markov(t: Any, x: Any) -> Any:
    log_t = np.where(MASK > 0, t, -1e9)
    log_t = log_t - logsumexp(log_t, 1)[:, None]
    alpha = np.zeros(3)
    for row in x:
        alpha = logsumexp(alpha[:, None] + log_t, 0) + row
    return -logsumexp(alpha)


def kalman(q: Any, r: Any, y: Any) -> Any:
    mean, spread, total = 0.0, 1.0, 0.0
    for one in y:
        spread = spread + np.exp(q)
        whole = spread + np.exp(r)
        gain = spread / whole
        total = total + 0.5 * (np.log(whole) + (one - mean) ** 2 / whole)
        mean = mean + gain * (one - mean)
        spread = (1.0 - gain) * spread
    return total


def gated(w: Any, u: Any, b: Any, x: Any) -> Any:
    h = np.zeros(2)
    for row in x:
        z = sigmoid(row @ w[0] + h @ u[0] + b[0])
        r = sigmoid(row @ w[1] + h @ u[1] + b[1])
        new = np.tanh(row @ w[2] + (r * h) @ u[2] + b[2])
        h = (1.0 - z) * h + z * new
    return np.sum(h**2)


def long_short(w: Any, u: Any, x: Any) -> Any:
    h, c = np.zeros(2), np.zeros(2)
    for row in x:
        whole = row @ w + h @ u
        i, f, o, g = (whole[2 * at : 2 * at + 2] for at in range(4))
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        h = sigmoid(o) * np.tanh(c)
    return np.sum(h)


def runge_kutta(k: Any, y0: Any, t: Any) -> Any:
    def slope(y: Any) -> Any:
        return np.array([y[1], -k[0] * np.sin(y[0]) - k[1] * y[1]])

    y, total = y0, 0.0
    for one in t:
        a = slope(y)
        b = slope(y + 0.05 * a)
        c = slope(y + 0.05 * b)
        d = slope(y + 0.1 * c)
        y = y + 0.1 / 6.0 * (a + 2.0 * b + 2.0 * c + d)
        total = total + (y[0] - one) ** 2
    return total


def smoothed(a: Any, y: Any) -> Any:
    level, total = y[0], 0.0
    for one in y[1:]:
        total = total + (one - level) ** 2
        level = level + sigmoid(a) * (one - level)
    return total / (len(y) - 1)


def tanh_from(start: Callable[[Any], Any]) -> Callable[..., Any]:
    return lambda v, x: np.sum(states(lambda h, e: np.tanh(0.5 * h + e), x, start(v)))


def from_zeros(v: Any, x: Any) -> Any:
    return tanh_from(lambda v: 0.0 * v)(v, x) + np.sum(v)


V = np.array([0.3, 0.5, 0.9])
TANH = "s = sf.scan(lambda h, e: sf.tanh(0.5 * h + e), x, {start})\nloss = sf.reduce_sum(s)"
GELU = np.sqrt(2.0 / np.pi)
STARTS: dict[str, Callable[[Any], Any]] = {
    "v": lambda v: v,
    "sf.zeros(3)": lambda v: 0.0 * v,
    "sf.nn.l2_normalize(v)": lambda v: v / np.sqrt(np.sum(v**2)),
    "sf.nn.gelu(v)": lambda v: v / 2 * (1 + np.tanh(GELU * (v + 0.044715 * v**3))),
    "sf.rsqrt(v)": lambda v: 1.0 / np.sqrt(v),
    "1.0 - sf.nn.softmax(v)": lambda v: 1.0 - np.exp(v) / np.sum(np.exp(v)),
    "sf.log1p(sf.exp(v))": lambda v: np.log(1.0 + np.exp(v)),
    "sf.log_sigmoid(v) * sf.square(v - 1.0)": lambda v: np.log(sigmoid(v)) * (v - 1.0) ** 2,
    "sf.exp(-v) / (1.0 + sf.square(v))": lambda v: np.exp(-v) / (1.0 + v**2),
    "sf.scan(lambda g, _: sf.sin(g) + v, x, v)[-1]": lambda v: states(
        lambda g, _: np.sin(g) + v, ROWS, v
    )[-1],
}

LINEAR = (
    "0.5 * (h @ u)",
    "(h + v) @ u * 0.5",
    "(h + e) @ u / 3.0",
    "(h - e * v) @ u * 0.25 + v",
    "h @ u",
    "h + e @ u",
    "h + 0.5 * ((e * v) @ u) - e",
    "2.0 * h + e @ u",
    "(u @ h) * 0.5 + e",
)
"""Steps of which only the end is read: some add up, and can be one sum; others cannot."""

LOOPS = {
    f"start {start}": Loop(
        TANH.format(start=start) + ("" if "v" in start else " + sf.reduce_sum(v)"),
        {"v": V},
        {"x": ROWS},
        tanh_from(by_hand) if "v" in start else from_zeros,
    )
    for start, by_hand in STARTS.items()
} | {
    "sigmoid starts": Loop(
        "a, b = sf.scan(lambda c, e: (c[0] * e + c[1], c[1] * 0.9 + e), y, "
        "(1 - sf.sigmoid(p0), sf.sigmoid(p0)))\n"
        "loss = sf.reduce_sum(sf.square(a)) + sf.reduce_sum(b)",
        {"p0": 0.3},
        {"y": SERIES},
        lambda p0, y: sum(
            one[0] ** 2 + one[1]
            for one in states(
                lambda c, e: np.array([c[0] * e + c[1], c[1] * 0.9 + e]),
                y,
                np.array([1 - sigmoid(p0), sigmoid(p0)]),
            )
        ),
    ),
    "hidden Markov": Loop(
        "mask = sf.constant(np.array([[1.0, 1.0, 0.0], [0.0, 1.0, 1.0], [1.0, 0.0, 1.0]]))\n"
        "log_t = sf.nn.log_softmax(sf.where(mask > 0, t, -1e9))\n"
        "alpha = sf.scan(lambda a, e: sf.reduce_logsumexp(sf.expand_dims(a, 1) + log_t, axis=0) "
        "+ e, x, sf.zeros(3))\nloss = -sf.reduce_logsumexp(alpha[-1])",
        {"t": RNG.normal(size=(3, 3))},
        {"x": ROWS},
        hidden_markov,
    ),
    "Kalman": Loop(
        "def step(c, one):\n"
        "    mean, spread, _ = c\n"
        "    spread = spread + sf.exp(q)\n"
        "    whole = spread + sf.exp(r)\n"
        "    gain = spread / whole\n"
        "    part = 0.5 * (sf.log(whole) + sf.square(one - mean) / whole)\n"
        "    return mean + gain * (one - mean), (1.0 - gain) * spread, part\n\n"
        "mean, spread, part = sf.scan(step, y, (0.0, 1.0, 0.0))\nloss = sf.reduce_sum(part)",
        {"q": -0.5, "r": 0.2},
        {"y": SERIES},
        kalman,
    ),
    "GRU": Loop(
        "def step(h, e):\n"
        "    z = sf.sigmoid(e @ w[0] + h @ u[0] + b[0])\n"
        "    r = sf.sigmoid(e @ w[1] + h @ u[1] + b[1])\n"
        "    new = sf.tanh(e @ w[2] + (r * h) @ u[2] + b[2])\n"
        "    return (1.0 - z) * h + z * new\n\n"
        "h = sf.scan(step, x, sf.zeros(2))\nloss = sf.reduce_sum(sf.square(h[-1]))",
        {
            "w": RNG.normal(size=(3, 3, 2)),
            "u": RNG.normal(size=(3, 2, 2)),
            "b": RNG.normal(size=(3, 2)),
        },
        {"x": ROWS},
        gated,
    ),
    "LSTM": Loop(
        "def step(carry, e):\n"
        "    h, c = carry\n"
        "    whole = e @ w + h @ u\n"
        "    c = sf.sigmoid(whole[2:4]) * c + sf.sigmoid(whole[:2]) * sf.tanh(whole[6:])\n"
        "    return sf.sigmoid(whole[4:6]) * sf.tanh(c), c\n\n"
        "h, c = sf.scan(step, x, (sf.zeros(2), sf.zeros(2)))\nloss = sf.reduce_sum(h[-1])",
        {"w": RNG.normal(size=(3, 8)), "u": RNG.normal(size=(2, 8))},
        {"x": ROWS},
        long_short,
    ),
    "Runge-Kutta": Loop(
        "def slope(y):\n"
        "    return sf.stack([y[1], -k[0] * sf.sin(y[0]) - k[1] * y[1]])\n\n"
        "def step(y, _):\n"
        "    a = slope(y)\n"
        "    b = slope(y + 0.05 * a)\n"
        "    c = slope(y + 0.05 * b)\n"
        "    d = slope(y + 0.1 * c)\n"
        "    return y + 0.1 / 6.0 * (a + 2.0 * b + 2.0 * c + d)\n\n"
        "path = sf.scan(step, t, y0)\nloss = sf.reduce_sum(sf.square(path[:, 0] - t))",
        {"k": [1.3, 0.2], "y0": [0.5, -0.1]},
        {"t": SERIES},
        runge_kutta,
    ),
    "what is positive": Loop(
        "s = sf.scan(lambda h, e: sf.tanh(0.5 * h + e), x, v)\n"
        "loss = sf.reduce_sum(sf.where(s > 0, s, 0.0))",
        {"v": V},
        {"x": ROWS},
        lambda v, x: sum(
            one
            for one in states(lambda h, e: np.tanh(0.5 * h + e), x, v).ravel()
            if one.real > 0
        ),
    ),
    "read in several places": Loop(
        "s = sf.scan(lambda h, e: sf.sin(h * v) + e, x, v)\n"
        "loss = sf.reduce_mean(s) * sf.reduce_sum(s[0] * s[-1]) + sf.reduce_sum(s[1:] - s[:-1])",
        {"v": V},
        {"x": ROWS},
        lambda v, x: (lambda s: np.mean(s) * np.sum(s[0] * s[-1]) + np.sum(s[1:] - s[:-1]))(
            states(lambda h, e: np.sin(h * v) + e, x, v)
        ),
    ),
    "a loop in a loop": Loop(
        "inner = lambda e: sf.scan(lambda g, i: sf.sin(g) * i + v[0], e, v[1])[-1]\n"
        "s = sf.scan(lambda h, e: 0.5 * h + inner(e), x, v[2])\nloss = sf.reduce_sum(s)",
        {"v": V},
        {"x": ROWS},
        lambda v, x: np.sum(
            states(
                lambda h, e: 0.5 * h
                + states(lambda g, i: np.sin(g) * i + v[0], e, v[1])[-1],
                x,
                v[2],
            )
        ),
    ),
    "one step": Loop(
        "s = sf.scan(lambda h, e: sf.tanh(h * v + e), x[:1], sf.exp(-v))\nloss = sf.reduce_sum(s)",
        {"v": V},
        {"x": ROWS},
        lambda v, x: np.sum(np.tanh(np.exp(-v) * v + x[0])),
    ),
    **{
        f"linear: {step}": Loop(
            f"last = sf.scan(lambda h, e: {step}, x, v)[-1]\nloss = sf.reduce_sum(last * v)",
            {"v": V, "u": np.eye(3) + np.arange(9.0).reshape(3, 3) / 20},
            {"x": ROWS},
            lambda v, u, x, step=step: np.sum(
                states(eval(f"lambda h, e: {step}", {"v": v, "u": u, "np": np}), x, v)[-1] * v
            ),
        )
        for step in LINEAR
    },
    "survival": Loop(
        "hazard = sf.sigmoid(x @ v)\n"
        "alive = sf.scan(lambda s, h: s * (1.0 - h), hazard, 1.0)\n"
        "loss = -sf.log(alive[-1]) - sf.reduce_sum(sf.log(hazard) * alive)",
        {"v": V},
        {"x": ROWS},
        lambda v, x: (
            lambda h: -np.log(np.cumprod(1.0 - h)[-1]) - np.sum(np.log(h) * np.cumprod(1.0 - h))
        )(sigmoid(x @ v)),
    ),
    "smoothing": Loop(
        "level = sf.scan(lambda l, e: l + sf.sigmoid(a) * (e - l), y)\n"
        "loss = sf.reduce_mean(sf.square(y[1:] - level[:-1]))",
        {"a": 0.4},
        {"y": SERIES},
        smoothed,
    ),
}  # fmt: skip


def long(name: str) -> str:
    """A name of 40 letters."""
    return f"{name}_{'of_the_thing_that_is_meant_here' * 2}"[:40]


WAYS = {
    "all": ("", lambda name: name),
    "the loss": ('__all__ = ["loss"]', lambda name: name),
    "long": ("", long),
}


@pytest.mark.parametrize("name", LOOPS)
def test_loops(name: str, tmp_path: Path) -> None:
    loop = LOOPS[name]
    path = tmp_path / "model.py"
    loss, slopes = loop.loss(**loop.start, **loop.fed), loop.slopes()
    for exports, rename in WAYS.values():
        path.write_text(loop.text(exports, rename), encoding="utf-8")
        fed = {rename(one): value for one, value in loop.fed.items()}
        styles: tuple[Style, ...] = ("plain",) if exports else ("fast", "plain")
        for style in styles:
            made = module(path, style, "float64")
            found, gradients = called(made.loss_and_gradients, made.initial_parameters(), fed)
            np.testing.assert_allclose(found, loss, rtol=1e-12)
            for one, slope in slopes.items():
                np.testing.assert_allclose(
                    getattr(gradients, rename(one)), slope, rtol=1e-10, atol=1e-12
                )
    single = module(path, "fast", "float32")
    fed = {one: value.astype(np.float32) for one, value in fed.items()}
    found, gradients = called(single.loss_and_gradients, single.initial_parameters(), fed)
    np.testing.assert_allclose(found, loss, rtol=1e-4, atol=1e-4)
    assert {one.dtype for one in gradients} == {np.dtype(np.float32)}


@pytest.mark.parametrize("name", list(LOOPS)[::3])
def test_a_session(name: str) -> None:
    loop = LOOPS[name]
    names: Numbers = {}
    exec(loop.text(), names)
    feed = {names[one]: value for one, value in loop.fed.items()}
    slopes = loop.slopes()
    with sf.Session() as session:
        by = [names[one] for one in slopes]
        found, *gradients = session.run([names["loss"], *sf.gradients(names["loss"], by)], feed)
    np.testing.assert_allclose(found, loop.loss(**loop.start, **loop.fed), rtol=1e-12)
    for one, slope in zip(gradients, slopes.values(), strict=True):
        np.testing.assert_allclose(one, slope, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("name", list(LOOPS)[1::4])
def test_of_parts_and_tested_by_itself(name: str, tmp_path: Path) -> None:
    loop = LOOPS[name]
    path = tmp_path / "model.py"
    path.write_text(loop.text(), encoding="utf-8")
    with sf.Graph().as_default():
        whole = compile_files(path, tmp_path / "out", {}, None, ships=Shipping(selftest=True))
    with sf.Graph().as_default():
        part = compile_files(path, tmp_path / "part", {}, None, ships=Shipping(only=("loss",)))
    for files in (whole, part):
        for file, content in files.items():
            if content is not None:
                file.parent.mkdir(exist_ok=True)
                file.write_bytes(content)
    made, alone = imported(tmp_path / "out" / "model.py"), imported(tmp_path / "part" / "model.py")
    assert made.selftest()
    p = made.initial_parameters()
    wanted = loop.loss(**loop.start, **loop.fed)
    np.testing.assert_allclose(called(alone.loss, alone.Parameters(*p), loop.fed), wanted)
