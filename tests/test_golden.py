"""generated/ is what examples/ compile to, byte for byte, and passes the strictest tools."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import DATA, EXAMPLES, ROOT, imported
from numpy.testing import assert_allclose

from symflow.archives import named_in
from symflow.files import compile_files, write
from symflow.shipping import Shipping, read_values
from symflow.writing import Files

GENERATED = ROOT / "generated"
PLAIN = GENERATED / "plain"
"""Two of them in the plain style, to be read beside the others."""

INFERENCE = GENERATED / "inference"
"""One of them for use alone: no training, its parameters in it, and a test of itself."""

IN_BOTH_STYLES = ("digits", "logistic_regression")
TOOLS = {
    "ruff check": ["ruff", "check", "--no-cache", "--config", str(ROOT / "pyproject.toml")],
    "ruff check isolated": ["ruff", "check", "--no-cache", "--isolated"],
    "ruff format": ["ruff", "format", "--check", "--diff", "--isolated", "--line-length", "100"],
    "mypy": ["mypy", "--strict"],
}

SMALL = {
    "one_parameter": "w = sf.Variable([1.0, 2.0])\nloss = sf.reduce_sum(w * w)\n",
    "loss_only": 'x = sf.placeholder(shape=("n",))\nloss = sf.reduce_sum(x)\n',
    "one_moment": (
        'x = sf.placeholder(shape=("n",))\nw = sf.Variable(1.0)\n'
        "loss = sf.reduce_sum(sf.square(w * x))\nsf.GradientDescentOptimizer(0.1).minimize(loss)\n"
    ),
    "one_moment_of_matrices": (
        'x = sf.placeholder(shape=("n", 40))\nw = sf.Variable(sf.ones(40))\n'
        "loss = sf.reduce_sum(sf.square(x @ w))\nsf.GradientDescentOptimizer(0.1).minimize(loss)\n"
    ),
    "rows_of_parameters": (
        "a = sf.Variable(sf.ones((600, 3)))\nb = sf.Variable(sf.ones((600, 3)))\n"
        "loss = sf.reduce_sum(sf.square(a * b - 1.5)) + sf.l2_loss(a)\n"
    ),
    "shared_by_rows": (
        'x = sf.placeholder(shape=("n", 3))\nz = sf.placeholder(shape=(3, 3))\n'
        "w = sf.Variable(sf.ones(3))\nm = sf.exp(z) @ sf.tanh(z)\n"
        "loss = sf.reduce_sum(sf.sin(x @ m) * w) + sf.reduce_logsumexp(w)\n"
        "loss = loss + sf.reduce_sum(w * sf.reduce_logsumexp(x, axis=1, keepdims=True))\n"
        "sf.GradientDescentOptimizer(0.1).minimize(loss)\n"
    ),
    "many_layers": (
        'h = x = sf.placeholder(shape=("n", 3))\nfor layer in range(12):\n'
        '    w = sf.Variable(sf.ones((3, 3)), name=f"weights{layer}")\n'
        '    h = sf.tanh(h @ w + sf.Variable(sf.zeros(3), name=f"bias{layer}"))\n'
        "loss = sf.reduce_sum(sf.square(h))\nsf.GradientDescentOptimizer(0.1).minimize(loss)\n"
    ),
    "no_loss": 'x = sf.placeholder(shape=("n",))\nz = 2 * x\nk = x > 0\nt = sf.reduce_sum(x)\n',
    "whole_numbers": "k = sf.placeholder(sf.int64, (3,))\nz = sf.one_hot(k, 4)\n",
    "nothing_given": "z = sf.constant([1.0, 2.0]) * 2\n",
    "line_search": (
        "x = sf.placeholder(shape=(2, 3))\nrandom = sf.Variable(sf.zeros(3))\n"
        "result = x @ random\nloss = sf.reduce_sum(sf.abs(result))\n"
        "rate = sf.train.backtracking_line_search()\n"
        "train_op = sf.GradientDescentOptimizer(rate).minimize(loss)\n"
    ),
    "windows": (
        'x = sf.placeholder(sf.float32, ("n", 32, 32, 16))\nbias = sf.Variable(sf.zeros(16))\n'
        "w = sf.Variable(sf.random_normal((3, 3, 16, 32)))\n"
        'y = sf.nn.conv2d(x + bias, w, 2, "SAME", dilations=2)\n'
        'pooled = sf.nn.avg_pool(y, 3, 2, "SAME")\n'
        'largest = sf.nn.max_pool(pooled, 3, 2, "SAME")\n'
        "mean, variance = sf.nn.moments(largest, [0, 1, 2])\n"
        "normal = sf.nn.batch_normalization(largest, mean, variance, None, None, 1e-3)\n"
        'wide = sf.nn.conv2d_transpose(y, w, (None, 33, 33, 16), 2, "VALID")\n'
        "loss = sf.reduce_sum(sf.tanh(normal)) + sf.reduce_sum(sf.square(wide))\n"
    ),
    "solvers": (
        "import numpy as np\na = sf.Variable(np.eye(3) * 2.0)\nx = sf.placeholder(shape=('n', 3))\n"
        "white = sf.matrix_triangular_solve(sf.cholesky(a), sf.transpose(x))\n"
        "sign, size = sf.linalg.slogdet(a)\ninverse = sf.matrix_inverse(a)\n"
        "moved = sf.matrix_solve(a, sf.transpose(x), adjoint=True)\n"
        "upper = sf.matrix_triangular_solve(a, [1.0, 2.0, 3.0], lower=False)\n"
        "loss = sf.reduce_sum(white) + sign * size + sf.reduce_sum(inverse ** 2)"
        " + sf.reduce_sum(sf.sin(moved)) + sf.reduce_sum(upper)\n"
    ),
    "matrix": "import numpy as np\nw = sf.Variable(np.eye(9) / 7)\nloss = sf.reduce_sum(w ** 3)\n",
}


def compared(files: Files, pytestconfig: pytest.Config) -> None:
    if pytestconfig.getoption("--update-generated"):
        write(files)
    for path, content in files.items():
        assert path.exists(), path.name
        if path.suffix == ".py":
            assert path.read_bytes().decode() == content.decode(), (
                "refresh with: pytest tests -k golden --update-generated"
            )
        else:
            assert path.read_bytes() == content


def test_golden_module(example: str, pytestconfig: pytest.Config) -> None:
    model = ROOT / "examples" / f"{example}.py"
    compared(compile_files(model, GENERATED, {}, None), pytestconfig)


@pytest.mark.parametrize("name", IN_BOTH_STYLES)
def test_golden_plain_module(name: str, pytestconfig: pytest.Config) -> None:
    model = ROOT / "examples" / f"{name}.py"
    compared(compile_files(model, PLAIN, {}, None, style="plain"), pytestconfig)


def test_golden_inference_module(pytestconfig: pytest.Config) -> None:
    values = read_values(DATA / "digits_parameters.npz")
    ships = Shipping(only=("probability",), parameters=values, selftest=True)
    model = ROOT / "examples" / "digits.py"
    compared(compile_files(model, INFERENCE, {}, None, ships=ships), pytestconfig)


@pytest.mark.parametrize("name", IN_BOTH_STYLES)
def test_golden_styles_agree(name: str, request: pytest.FixtureRequest) -> None:
    """On the data that the example is about, block by block and by two threads too."""
    fast, plain = imported(GENERATED / f"{name}.py"), imported(PLAIN / f"{name}.py")
    assert not hasattr(plain, "_Workspace")
    data = "breast_cancer" if name == "logistic_regression" else name
    inputs, _ = request.getfixturevalue(data)
    p = fast.initial_parameters(dtype=np.float64)
    p = fast.train(p, *inputs, steps=5).parameters
    value, gradient = plain.loss_and_gradients(p, *inputs)
    for block in (fast.BLOCK, 100):
        fast.BLOCK = block  # type: ignore[attr-defined]
        for threads in (1, 2):
            found = fast.loss_and_gradients(p, *inputs, threads=threads)
            assert_allclose(found[0], value, rtol=1e-12)
            for one, other in zip(found[1], gradient, strict=True):
                assert_allclose(one, other, rtol=0, atol=1e-12 * np.max(np.abs(other)))


def test_golden_folder_holds_nothing_else() -> None:
    folders = ((GENERATED, EXAMPLES), (PLAIN, IN_BOTH_STYLES), (INFERENCE, ["digits"]))
    for folder, names in folders:
        modules = {path.stem: path for path in folder.glob("*.py")}
        assert modules.keys() == set(names)
        named = {named_in(path.read_text()) for path in modules.values()} - {None}
        assert {path.name for path in folder.glob("*.npz")} == named
        others = {path.name for path in folder.iterdir() if path.suffix not in (".py", ".npz")}
        assert others <= {"__pycache__", "inference", "plain"}


@pytest.mark.parametrize("tool", TOOLS)
@pytest.mark.parametrize(
    "folder", [GENERATED, PLAIN, INFERENCE], ids=["fast", "plain", "inference"]
)
def test_golden_tool(tool: str, folder: Path, every_helper: Path) -> None:
    """For mypy, modules of one name are one module: it reads one folder at a time."""
    files = [*sorted(map(str, folder.glob("*.py"))), str(every_helper)]
    run = subprocess.run(
        [sys.executable, "-m", *TOOLS[tool], *files], cwd=ROOT, capture_output=True, text=True
    )
    assert run.returncode == 0, run.stdout + run.stderr


@pytest.mark.parametrize("tool", TOOLS)
def test_tool_on_other_models(tool: str, tmp_path: Path) -> None:
    for name, text in SMALL.items():
        (tmp_path / f"{name}.py").write_text(f"import symflow as sf\n{text}")
        write(compile_files(tmp_path / f"{name}.py", tmp_path / "out", {}, None))
    files = sorted(map(str, (tmp_path / "out").glob("*.py")))
    run = subprocess.run(
        [sys.executable, "-m", *TOOLS[tool], *files], cwd=ROOT, capture_output=True, text=True
    )
    assert run.returncode == 0, run.stdout + run.stderr
