"""`symflow explain`: what a person reads of a model."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from abstract_models import Leaf, Model, names
from abstract_models import text as model_text
from batch_graphs import batch_model, trainable
from click.testing import CliRunner, Result
from formula_values import Unsupported, Values
from graph_comparison import built
from random_graphs import random_model
from test_formulas import balanced

import symflow as sf
from symflow.cli import main
from symflow.explaining import content
from symflow.files import compilation

ROOT = Path(__file__).parent.parent
EXAMPLES = [path.stem for path in sorted((ROOT / "examples").glob("*.py")) if path.stem != "demo"]


def explain(*arguments: str | Path, columns: int = 100) -> Result:
    return CliRunner().invoke(
        main, ["explain", *map(str, arguments)], env={"COLUMNS": str(columns)}
    )


def told(source: str, tmp_path: Path, *arguments: str) -> str:
    model = tmp_path / "model.py"
    model.write_text("import symflow as sf\n" + source)
    result = explain(model, *arguments)
    assert result.exit_code == 0, result.output
    return result.output


def test_the_model_of_the_article() -> None:
    assert (
        explain(ROOT / "examples" / "linear_regression.py").output
        == """\
linear_regression.py: Linear regression on one feature, as in the simpleflow article.

Inputs
  x   (n,)  line 5
  y_  (n,)  line 6

Parameters
  w  (1, 1)  line 7
  b  scalar  line 8

Model
  y[0, i] = w[0, 0]·x[i] + b     (1, n)  line 10
  loss = Σ_i (y[0, i] - y_[i])²  scalar  line 11

Gradients
  ∂loss/∂b = 2·Σ_i (y[0, i] - y_[i])             scalar  line 8
  ∂loss/∂w[0, 0] = 2·Σ_i x[i]·(y[0, i] - y_[i])  (1, 1)  line 7

Training
  gradient descent; for every entry θ of w, b:
    g = ∂loss/∂θ
    η = 0.005
    θ ← θ - η·g
  train stops after `steps` updates, or where ‖g‖ ≤ `tolerance`.
"""
    )


def test_a_classifier() -> None:
    """A softmax as in a textbook, and its gradient in terms of it."""
    output = explain(ROOT / "examples" / "digits.py").output
    assert "probability[i, j] = exp(logits[i, j]) / (Σ_k exp(logits[i, k]))" in output
    assert (
        "d_logits[i, j] = probability[i, j]·Σ_k [digit[i] = k] / n - [digit[i] = j] / n" in output
    )
    assert "digit   (n,) whole numbers  line 6" in output
    assert "  [condition] is 1 where the condition holds, and 0 elsewhere\n" in output
    assert "  d_x is ∂loss/∂x, or a part of it\n" in output


def test_a_recurrent_network() -> None:
    """Backpropagation through time: the adjoints of the states run from the last to the first."""
    output = explain(ROOT / "examples" / "lstm.py").output
    model, gradients = re.split(r"\nGradients\n", output)
    assert "h[0, i, j] = empty[i, j]" in model
    assert "c[s+1, j, k] = c[s, j, k]·f[s, j, k] + i[s, j, k]·g[s, j, k]" in model
    assert "d_h[t, j, k] = Σ_l d_logits[j, l]·w_out[k, l]" in gradients
    assert "d_h[s, j, k] = Σ_l d_z[s, j, l]·u[k, l]" in gradients
    assert "c[s+1, j, k] =" not in gradients


@pytest.mark.parametrize("columns", [60, 80, 100, 200])
@pytest.mark.parametrize("model", EXAMPLES)
def test_lines_fit_the_terminal(model: str, columns: int) -> None:
    output = explain(ROOT / "examples" / f"{model}.py", columns=columns).output
    assert max(map(len, output.splitlines())) <= min(columns, 100)


@pytest.mark.parametrize("model", EXAMPLES)
def test_latex(model: str) -> None:
    output = explain("--latex", ROOT / "examples" / f"{model}.py").output
    assert output.count(r"\begin{align*}") == output.count(r"\end{align*}") >= 2
    assert balanced("".join(line for line in output.splitlines() if not line.startswith("%")))
    inside = re.findall(r"\\begin\{align\*\}\n(.*?)\n\\end\{align\*\}", output, re.DOTALL)
    for block in inside:
        *rows, last = block.split("\n")
        assert all(row.endswith(r" \\") for row in rows)
        assert not last.endswith(r"\\")
        assert all(
            re.sub(r"\\begin\{cases\}.*?\\end\{cases\}", "", row).count("&") == 1
            for row in [*rows, last]
        )
        assert block.isascii()


def test_latex_to_paste(tmp_path: Path) -> None:
    source = (
        'x = sf.placeholder(shape=("n",))\nw = sf.Variable(2.0)\nloss = sf.reduce_mean(w * x)\n'
    )
    assert (
        told(source, tmp_path, "--latex")
        == r"""% model.py, by symflow explain --latex; needs \usepackage{amsmath}
% inputs: x (n,)
% parameters: w ()
\begin{align*}
  \mathrm{loss} &= \frac{1}{n} \, \sum_{i} w \, x_{i}
\end{align*}
% gradients; a bar is the derivative of loss by what is below it
\begin{align*}
  \frac{\partial \mathrm{loss}}{\partial w} &= \frac{1}{n} \, \sum_{i} x_{i}
\end{align*}
"""
    )


def test_a_model_without_a_loss(tmp_path: Path) -> None:
    output = told('x = sf.placeholder(shape=("n",))\ny = sf.tanh(x)\n', tmp_path)
    assert "  y[i] = tanh(x[i])  (n,)  line 3\n" in output
    assert "Gradients" not in output
    assert "Training" not in output


def test_gradients_that_are_something_else_already(tmp_path: Path) -> None:
    source = "w = sf.Variable(2.0)\nv = sf.Variable(3.0)\nloss = w * v\n"
    output = told(source, tmp_path)
    assert "∂loss/∂w = v" in output
    assert "∂loss/∂v = w" in output


def test_two_equal_gradients(tmp_path: Path) -> None:
    source = "a = sf.Variable(2.0)\nb = sf.Variable(3.0)\nloss = sf.square(a + b)\n"
    output = told(source, tmp_path)
    assert "∂loss/∂a = 2·(a + b)" in output
    assert "∂loss/∂b = ∂loss/∂a" in output


def test_a_name_that_looks_like_a_gradient(tmp_path: Path) -> None:
    """What the user calls d_h is not taken for the derivative by h."""
    source = (
        'x = sf.placeholder(shape=("n",))\nw = sf.Variable(2.0)\n'
        "h = sf.tanh(w * x)\nd_h = sf.exp(h) * 2\nloss = sf.reduce_sum(d_h * h)\n"
    )
    output = told(source, tmp_path)
    names = re.findall(r"^  (\S+(?: \w+\])?) = ", output, re.MULTILINE)
    assert len(names) == len(set(names))
    assert "d_h[i] = 2·exp(h[i])" in output


def test_constants_have_a_name_and_a_shape(tmp_path: Path) -> None:
    source = "table = sf.constant([[1.0, 2.0]])\nz = sf.Variable([1.0, 2.0])\ny = table @ z\n"
    output = told(source, tmp_path)
    assert "Constants\n  table  (1, 2)  line 2\n" in output
    assert "y[0] = Σ_i table[0, i]·z[i]" in output


def test_optimizers(tmp_path: Path) -> None:
    source = "w = sf.Variable(2.0)\nloss = w * w\nsf.train.{}.minimize(loss)\n"
    adam = told(source.format("AdamOptimizer(0.01, clip_norm=2.0)"), tmp_path)
    assert "    g ← 2·g / max(‖g‖, 2)\n" in adam
    assert "    η ← η·√(1 - 0.999^(t + 1)) / (1 - 0.9^(t + 1))\n" in adam
    assert "    θ ← θ - η·m / (√v + 1e-8)\n" in adam
    assert "  Each entry keeps m from 0, v from 0.\n" in adam
    search = "GradientDescentOptimizer(sf.train.backtracking_line_search(4.0))"
    assert "η is 4, times 0.5 until the loss falls by at least 0.0001·η·‖g‖²." in told(
        source.format(search), tmp_path
    )
    decay = "GradientDescentOptimizer(sf.train.exponential_decay(0.1, 500, 0.5), l2=0.5)"
    output = told(source.format(decay), tmp_path)
    assert "    g ← 0.5·θ + g\n" in output
    assert "    η = 0.1·0.5^(0.002·t)\n" in output


def test_rewrites(tmp_path: Path) -> None:
    source = 'x = sf.placeholder(shape=("n",))\ny = sf.log(sf.sigmoid(x))\n'
    output = told(source, tmp_path, "--rewrites")
    assert "log-sigmoid" in output
    assert "log-sigmoid" not in told(source, tmp_path, "--rewrites", "--without", "log-sigmoid")


def test_a_mistake_is_one_line(tmp_path: Path) -> None:
    result = explain(tmp_path / "none.py")
    assert result.exit_code == 1
    assert result.output.startswith("symflow: ")
    assert result.output.count("\n") == 1


# --- the equations say what is computed --------------------------------------------------------


def agrees(model: Model, seed: int, tmp_path: Path) -> None:
    """Gradients by the equations, entry by entry, and by symflow."""
    rng = np.random.default_rng(seed)
    called = [
        name if isinstance(node, Leaf) or rng.random() < 0.4 else f"_{name}"
        for name, node in zip(names(model), model.nodes, strict=True)
    ]
    path = tmp_path / "model.py"
    path.write_text(model_text(model, called))
    told = content.explained(compilation(path, {}))
    leaves = {at: one for at, one in enumerate(model.nodes) if isinstance(one, Leaf)}
    given = {called[at]: one.values[0] for at, one in leaves.items()}
    values = Values([*told.model, *told.gradients], given, {"n": model.sizes[0]})
    graph = built(model)
    fed = {
        graph.tensors[at]: one.values[0] for at, one in leaves.items() if one.kind == "placeholder"
    }
    by = [at for at, one in leaves.items() if one.kind == "Variable"]
    with graph.session.graph.as_default():
        slopes = sf.gradients(graph.loss, [graph.tensors[at] for at in by])
    close = 1e-9 if model.dtype == "float64" else 1e-3
    for at, wanted in zip(by, graph.session.run(slopes, fed), strict=True):
        found = values.array(f"∂{told.loss}/∂{called[at]}")
        np.testing.assert_allclose(found, wanted, rtol=close, atol=close)


@pytest.mark.parametrize("seed", range(40))
def test_equations_say_what_is_computed(seed: int, tmp_path: Path) -> None:
    try:
        agrees(batch_model(seed), seed, tmp_path)
    except Unsupported:
        pytest.skip("a function of whole tensors")


@pytest.mark.parametrize("seed", range(40))
def test_recurrences_say_what_loops_compute(seed: int, tmp_path: Path) -> None:
    model = random_model(seed, order=1, wanted=["scan"])
    if not trainable(model):
        pytest.skip("a Variable that the loss does not reach")
    try:
        agrees(model, seed, tmp_path)
    except Unsupported:
        pytest.skip("a function of whole tensors")


def test_two_loops_of_one_cell(tmp_path: Path) -> None:
    """Their states have different names, and the same ones in the gradients."""
    path = tmp_path / "model.py"
    path.write_text(
        """import symflow as sf
x = sf.placeholder(shape=("t", 2))
w = sf.Variable([[0.5, -0.25], [0.75, 1.0]])
def cell(h, row):
    h = sf.tanh(row + h @ w)
    return h
first = sf.scan(cell, x, sf.zeros(2))
second = sf.scan(cell, first, sf.zeros(2))
loss = sf.reduce_sum(sf.square(second))
"""
    )
    told = content.explained(compilation(path, {}))
    x, w = np.array([[1.0, -1.0], [0.5, 0.25], [0.0, 2.0]]), np.array([[0.5, -0.25], [0.75, 1.0]])
    found = Values([*told.model, *told.gradients], {"x": x, "w": w}, {"t": 3}).array("∂loss/∂w")
    namespace: dict[str, Any] = {}
    with sf.Graph().as_default() as graph:
        exec(path.read_text(), namespace)
        slope = sf.gradients(namespace["loss"], [namespace["w"]])
        wanted = sf.Session(graph).run(slope, {namespace["x"]: x})[0]
    np.testing.assert_allclose(found, wanted, rtol=1e-12)
