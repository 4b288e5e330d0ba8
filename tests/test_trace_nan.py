"""Modules that say where what is not finite began."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from conftest import EXAMPLES, ROOT, imported
from numpy.testing import assert_allclose
from test_golden import TOOLS

import symflow as sf
from symflow.cli import main
from symflow.compilation import Style
from symflow.files import Files, compile_files, write
from symflow.shipping import Shipping

MODEL = """\
import symflow as sf

x = sf.placeholder(shape=("n", 2))
y = sf.placeholder(shape=("n",))
w = sf.Variable([1.0, -1.0])
scores = x @ w
root = sf.sqrt(scores)
loss = sf.reduce_mean(y * root)
sf.train.GradientDescentOptimizer(0.5).minimize(loss)
"""
X, Y = np.array([[3.0, 1.0], [2.0, 2.5], [1.0, 0.5]]), np.ones(3)
W = np.array([1.0, -1.0])


@pytest.fixture
def traced(tmp_path: Path) -> Callable[..., ModuleType]:
    """The module that a model's text compiles to with --trace-nan."""

    def compile_text(text: str, style: str = "fast") -> ModuleType:
        (tmp_path / "model.py").write_text(text)
        files: Files = compile_files(
            tmp_path / "model.py",
            tmp_path / "out",
            {},
            None,
            style="plain" if style == "plain" else "fast",
            ships=Shipping(trace_nan=True),
        )
        write(files)
        return imported(tmp_path / "out" / "model.py")

    return compile_text


def told(function: Callable[..., Any], *arguments: Any, **options: Any) -> str:
    """What the FloatingPointError says."""
    with np.errstate(all="ignore"), pytest.raises(FloatingPointError) as raised:
        function(*arguments, **options)
    return str(raised.value)


@pytest.mark.parametrize("style", ["fast", "plain"])
def test_the_first_tensor_is_named(traced: Callable[..., ModuleType], style: str) -> None:
    module = traced(MODEL, style)
    p = module.Parameters(W)
    where = (
        "model.py:7: root is nan at [1] (root[i] = √(scores[i])); its operands: scores[1] = -0.5"
    )
    assert told(module.root, p, X) == where
    assert told(module.loss, p, X, Y) == where
    assert told(module.gradients, p, X, Y) == where
    assert told(module.loss_and_gradients, p, X, Y) == where
    assert told(module.train, p, X, Y) == f"step 0: {where}"


@pytest.mark.parametrize("style", ["fast", "plain"])
def test_results_that_are_finite_are_what_they_were(
    traced: Callable[..., ModuleType], style: str
) -> None:
    module = traced(MODEL, style)
    p, x = module.Parameters(W), X + np.array([2.0, 0.0])
    assert_allclose(module.loss(p, x, Y), np.mean(np.sqrt(x @ W)), rtol=1e-14)
    found = module.train(p, x, Y, steps=2, learning_rate=0.01)
    assert found.steps == 2


def test_a_gradient_that_is_infinite_where_the_loss_is_not(
    traced: Callable[..., ModuleType],
) -> None:
    module = traced(MODEL)
    p, x = module.Parameters(W), np.array([[1.0, 1.0], [3.0, 1.0]])
    assert np.isfinite(module.loss(p, x, Y[:2]))
    message = told(module.gradients, p, x, Y[:2])
    assert message == (
        "model.py:5: d_w is inf at [0] (d_w[i] = Σ_j masked_product(x[j, i], "
        "masked_quotient(y[j] / n, root[j]) / 2)); its operands: x (2, 2) from 1 to 3, y[0] = 1, "
        "root[0] = 0"
    )
    assert told(module.train, p, x, Y[:2], steps=3) == f"step 0: {message}"


def test_a_loss_that_diverges(traced: Callable[..., ModuleType]) -> None:
    module = traced(
        "import symflow as sf\nx = sf.placeholder(shape=('n',))\nw = sf.Variable(1.0)\n"
        "fit = sf.exp(w * x)\nloss = sf.reduce_sum(sf.square(fit))\n"
        "sf.train.GradientDescentOptimizer(-1.0 + 1.5).minimize(loss)\n"
    )
    p = module.initial_parameters()
    message = told(module.train, p, [-1.0, 2.0], steps=5, learning_rate=10.0)
    assert message.startswith("step ")
    assert ": model.py:" in message


def test_what_is_given_is_named(traced: Callable[..., ModuleType]) -> None:
    module = traced(MODEL)
    p, x = module.Parameters(W), X + np.array([2.0, 0.0])
    wrong = np.array(x)
    wrong[2, 1] = np.nan
    assert told(module.root, p, wrong) == "x is nan at [2, 1], as it was given"
    p = module.Parameters(np.array([1.0, np.nan]))
    assert told(module.loss, p, x, Y) == "w is nan at [1], as it was given"
    wrong[2, 1] = -np.inf
    assert told(module.root, module.Parameters(W), wrong) == "x is -inf at [2, 1], as it was given"


MASKED = """\
import numpy as np
import symflow as sf

x = sf.placeholder(shape=("n", 3))
mask = sf.constant(np.array([0.0, -np.inf, 0.0]))
w = sf.Variable(1.0)
chance = sf.softmax(w * x + mask)
loss = sf.reduce_sum(sf.square(chance - 0.5)) * 1.0
total = sf.log(sf.reduce_sum(x))
"""


def test_what_is_meant_to_be_infinite_is_not_blamed(traced: Callable[..., ModuleType]) -> None:
    module = traced(MASKED.replace("* 1.0", "* sf.log(sf.reduce_sum(x) - 3)"))
    p = module.Parameters(np.array(1.0))
    x = np.ones((2, 3))
    chance = module.chance(p, x)
    assert_allclose(chance, [[0.5, 0.0, 0.5]] * 2)
    message = told(module.loss, p, x - 0.9)
    assert "chance" not in message.split(" is ")[0]
    assert message.startswith("model.py:8: ")


LOOP = """\
import symflow as sf

x = sf.placeholder(shape=("t", "n"))
w = sf.Variable(0.5)
start = sf.zeros_like(x[0])
states = sf.scan(lambda h, one: sf.log(one + w * h), x, start)
loss = sf.reduce_sum(states)
"""


def test_within_a_loop(traced: Callable[..., ModuleType]) -> None:
    module = traced(LOOP)
    p = module.initial_parameters()
    x = np.full((4, 2), 2.0)
    assert np.isfinite(module.loss(p, x))
    x[2, 1] = -3.0
    message = told(module.loss, p, x)
    assert message.startswith("model.py:6: ")
    assert "h is nan at [1] after 2 steps (h[i] = log(" in message


def test_scalars(traced: Callable[..., ModuleType]) -> None:
    module = traced(
        "import symflow as sf\na = sf.Variable(2.0)\nb = sf.Variable(1.0)\n"
        "inner = a - b * b\nloss = sf.log(inner)\n"
        "sf.train.GradientDescentOptimizer(0.1).minimize(loss)\n"
    )
    p = module.Parameters(np.array(1.0), np.array(3.0))
    message = told(module.loss, p)
    assert message.startswith("model.py:5: loss is nan (loss = log(")
    assert "step 0: " in told(module.train, p)


@pytest.mark.parametrize("name", EXAMPLES)
def test_check_accepts_such_a_module(tmp_path: Path, name: str) -> None:
    model = str(ROOT / "examples" / f"{name}.py")
    command = ["compile", model, "--trace-nan", "-o", str(tmp_path)]
    assert CliRunner().invoke(main, command).exit_code == 0
    checked = CliRunner().invoke(main, ["check", str(tmp_path / f"{name}.py"), "--most", "5"])
    assert checked.exit_code == 0, checked.output
    assert f"symflow compile {name}.py --trace-nan\n" in (tmp_path / f"{name}.py").read_text()


def test_without_the_option_the_error_names_it(tmp_path: Path) -> None:
    (tmp_path / "model.py").write_text(MODEL)
    write(compile_files(tmp_path / "model.py", tmp_path / "out", {}, None))
    module = imported(tmp_path / "out" / "model.py")
    message = told(module.train, module.Parameters(W), X, Y)
    assert message == (
        "step 0: the loss is nan; lower the learning rate "
        "(symflow compile --trace-nan says where it began)"
    )
    assert "_trace" not in (tmp_path / "out" / "model.py").read_text()


SMALL = {
    "a number": 'x = sf.placeholder(shape=("n",))\nz = x * 0 + 0.5\nloss = sf.reduce_sum(z)\n',
    "an input": 'x = sf.placeholder(shape=("n",))\nz = sf.reshape(x, (-1, 1))\nk = x > 0\n',
    "whole numbers": "k = sf.placeholder(sf.int64, (3,))\nz = sf.one_hot(k, 4)\n",
    "nothing given": "z = sf.constant([1.0, 2.0]) * 2\n",
    "one parameter": "w = sf.Variable([1.0, 2.0])\nloss = sf.reduce_sum(sf.log(w))\n",
    "loss alone": 'x = sf.placeholder(shape=("n",))\nloss = sf.reduce_sum(x)\n',
    "a long formula": (
        'x = sf.placeholder(shape=("n", 3, 4))\nw = sf.Variable(sf.ones((4, 5)))\n'
        "z = sf.reduce_sum(sf.exp(sf.einsum('nij,jk->nik', sf.sin(x) * x ** 3, w)), axis=1)\n"
        "loss = sf.reduce_mean(sf.square(z - sf.reduce_mean(z, axis=0, keepdims=True)))\n"
    ),
    "solvers": (
        "import numpy as np\na = sf.Variable(np.eye(3) * 2.0)\nx = sf.placeholder(shape=('n', 3))\n"
        "loss = sf.reduce_sum(sf.matrix_solve(a, sf.transpose(x))) + sf.linalg.slogdet(a)[1]\n"
    ),
}


@pytest.mark.parametrize("style", ["fast", "plain"])
@pytest.mark.parametrize("tool", TOOLS)
def test_tools_have_nothing_to_say(tmp_path: Path, tool: str, style: Style) -> None:
    ships = Shipping(trace_nan=True, selftest=True)
    for name, text in SMALL.items():
        path = tmp_path / f"{name.replace(' ', '_')}.py"
        path.write_text(f"import symflow as sf\n{text}")
        write(compile_files(path, tmp_path / "out", {}, None, style=style, ships=ships))
        assert imported(tmp_path / "out" / path.name).selftest()
    files = sorted(map(str, (tmp_path / "out").glob("*.py")))
    run = subprocess.run(
        [sys.executable, "-m", *TOOLS[tool], *files], cwd=ROOT, capture_output=True, text=True
    )
    assert run.returncode == 0, run.stdout + run.stderr


# --- sessions ------------------------------------------------------------------------------------


def test_a_session_that_traces() -> None:
    x = sf.placeholder(shape=("n",), name="x")
    w = sf.Variable(2.0, name="w")
    root = sf.sqrt(x - w, name="root")
    loss = sf.reduce_sum(root)
    step = sf.train.GradientDescentOptimizer(0.1).minimize(loss)
    line = f"test_trace_nan.py:{root.location.line}"
    with sf.Session() as plain:
        assert np.isnan(plain.run(loss, {x: [1.0, 3.0]}))
    with sf.Session(trace_nan=True) as sess:
        assert sess.run(loss, {x: [3.0, 6.0]}) == 3.0
        for fetched in (root, loss, step):
            message = told(sess.run, fetched, {x: [3.0, 1.0]})
            assert message.startswith(f"{line}: root is nan at [1] (root[i] = √(")
        assert told(sess.run, root, {x: [np.nan]}) == "x is nan at [0], as it was given"
        assert "root (1,) from 0 to 0" in told(sess.run, step, {x: [2.0]})
        assert sess.run(w) == 2.0
