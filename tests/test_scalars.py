"""Modules on floats: what NumPy gives, also where `math` raises an exception, and as precise."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from conftest import ROOT, imported
from numpy.testing import assert_allclose, assert_array_equal
from test_golden import TOOLS

import symflow as sf
from symflow.files import compile_files, write

Compile = Callable[[str], ModuleType]

HEAD = "import symflow as sf\n"
ARM = HEAD + (
    "import math\nqs = [sf.Variable(0.1 * (n + 1), name=f'q{n}') for n in range(4)]\n"
    "target = sf.placeholder(shape=())\nx = y = angle = 0.0\n"
    "for q in qs:\n    angle = angle + q\n"
    "    x, y = x + 0.5 * sf.cos(angle), y + 0.5 * sf.sin(angle)\n"
    "loss = sf.square(x - target) + sf.square(y - 1) + 0.1 * sum(sf.square(q) for q in qs)\n"
    "__all__ = []\n"
)


def is_on_floats(module: ModuleType) -> bool:
    return hasattr(module, "_float_parameters")


def on_arrays(text: str, point: dict[str, float]) -> list[Any]:
    """The loss and its gradients by the names of a point, as a Session computes them."""
    with sf.Graph().as_default(), np.errstate(all="ignore"):
        names: dict[str, Any] = {"sf": sf}
        names |= {name: sf.placeholder(sf.float64, shape=(), name=name) for name in point}
        exec(text, names)
        by = [names[name] for name in point]
        with sf.Session() as session:
            fetches = [names["loss"], *sf.gradients(names["loss"], by)]
            found: list[Any] = session.run(fetches, {names[one]: point[one] for one in point})
            return found


def variables(names: str) -> str:
    return HEAD + "".join(f"{name} = sf.Variable(0.0)\n" for name in names)


def found(module: ModuleType, **point: float) -> list[Any]:
    """The loss and its gradients, with what NumPy would warn of let pass."""
    with np.errstate(all="ignore"):
        value, gradient = module.loss_and_gradients(module.Parameters(**point))
        assert_allclose(module.loss(module.Parameters(**point)), value, rtol=1e-14)
    assert type(value) is float
    assert all(type(one) is np.ndarray and one.dtype == np.float64 for one in gradient)
    return [value, *gradient]


# --- what is on floats ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("w = sf.Variable(2.0)\nloss = sf.exp(w)\n", True),
        ("w = sf.Variable([[2.0]])\nloss = sf.reduce_sum(sf.exp(w) * 2)\n", True),
        ("w = sf.Variable([2.0, 3.0])\nloss = sf.reduce_sum(sf.exp(w))\n", False),
        (
            "x = sf.placeholder(shape=('n',))\nw = sf.Variable(2.0)\nloss = w * sf.reduce_sum(x)\n",
            0,
        ),
        ("k = sf.placeholder(sf.int64, ())\nw = sf.Variable(2.0)\nloss = w * sf.to_float(k)\n", 1),
        ("k = sf.placeholder(sf.int64, ())\nw = sf.Variable(2.0)\nloss = w * (k * k)\n", False),
    ],
)
def test_what_is_computed_on_floats(compiled: Compile, text: str, expected: bool) -> None:
    assert is_on_floats(compiled(HEAD + text)) == expected


def test_parameters_of_one_entry_keep_their_shape(compiled: Compile) -> None:
    module = compiled(HEAD + "w = sf.Variable([[2.0]])\nb = sf.Variable(1.0)\nloss = w[0, 0] * b\n")
    text = HEAD + "w = sf.Variable([[2.0]])\nb = sf.Variable(1.0)\nloss = sf.reduce_sum(w * b)\n"
    module = compiled(text)
    assert is_on_floats(module)
    value, gradient = module.loss_and_gradients(module.initial_parameters())
    assert value == 2.0
    assert_array_equal(gradient.w, [[1.0]])
    assert gradient.b.shape == ()


# --- values --------------------------------------------------------------------------------------

ONE = (
    *("sin", "cos", "tan", "tanh", "exp", "log", "sqrt", "abs", "square", "sigmoid", "softplus"),
    *("relu", "sign", "atan", "asin", "acos", "sinh", "cosh", "asinh", "acosh", "atanh", "expm1"),
    *("log1p", "log2", "log10", "erf", "erfc", "lgamma", "reciprocal", "rsqrt", "floor", "round"),
    *("elu", "selu", "gelu", "swish", "relu6", "hard_tanh", "cbrt", "log_sigmoid", "negative"),
)
TWO = (
    *("add", "subtract", "multiply", "divide", "maximum", "minimum", "pow", "atan2", "hypot"),
    *("xlogy", "logaddexp", "floormod"),
)
CHOICES = (
    "sf.where({0} > {1}, {2}, 0.0)",
    "sf.where(sf.logical_and({0} > {1}, {1} < {2}), {2}, {0} * {1})",
    "sf.where(sf.logical_or({0} >= 0, sf.logical_not(sf.equal({1}, {2}))), {1}, 2 * {2})",
    "sf.clip_by_value({0}, {1}, {2})",
    "sf.to_float({0} > {1}) * {2}",
)
SPECIAL = (0.0, -0.0, 1.0, -1.0, 0.5, -2.5, 1e-300, 1e200, -1e200, 800.0, -800.0, 1e20)
NOT_FINITE = (float("inf"), float("-inf"), float("nan"))


def random_text(random: np.random.Generator) -> str:
    """A model of x, y and z."""
    lines, names = [], ["x", "y", "z"]
    for number in range(int(random.integers(2, 9))):
        chosen = [str(random.choice(names)) for _ in range(3)]
        kind = random.integers(10)
        if kind < 5:
            text = f"sf.{ONE[random.integers(len(ONE))]}({chosen[0]})"
        elif kind < 8:
            text = f"sf.{TWO[random.integers(len(TWO))]}({chosen[0]}, {chosen[1]})"
        elif kind < 9:
            text = CHOICES[random.integers(len(CHOICES))].format(*chosen)
        else:
            text = f"{chosen[0]} ** {random.integers(-3, 6)} - 0.5 * {chosen[1]}"
        lines.append(f"v{number} = {text}")
        names.append(f"v{number}")
    lines.append(f"loss = {names[-1]} + 0.1 * {names[-2]} * x + 0.2 * y + 0.3 * z")
    return "\n".join([*lines, ""])


@pytest.mark.parametrize("seed", range(60))
def test_random_models(compiled: Compile, seed: int) -> None:
    random = np.random.default_rng(seed)
    text = random_text(random)
    module = compiled(variables("xyz") + text + "__all__ = []\n")
    assert is_on_floats(module)
    for _ in range(4):
        point = dict(zip("xyz", random.uniform(0.2, 0.9, 3).tolist(), strict=True))
        expected = on_arrays(text, point)
        assert_allclose(found(module, **point), expected, rtol=1e-10, atol=1e-10, err_msg=text)
    strange = SPECIAL if "pow" in text else SPECIAL + NOT_FINITE  # np.power(-inf, 0.5) is NaN
    if re.search(r"(sin|cos|tan)\(v", text) and re.search(r"exp|sinh|cosh|pow|\*\*", text):
        strange = tuple(one for one in strange if not abs(one) > 3)  # a last bit decides sin(e^800)
    for _ in range(30):
        point = dict(zip("xyz", random.choice(strange, 3).tolist(), strict=True))
        with np.errstate(all="ignore"):
            functions = [module._NUMPY] if hasattr(module, "_NUMPY") else []
            p = [np.float64(point[name]) for name in "xyz"]
            value, gradient = module._loss_and_gradients(p, *functions)
        assert_allclose(
            found(module, **point), [value, *gradient], rtol=1e-13, err_msg=f"{point}\n{text}"
        )


@pytest.mark.parametrize(
    ("text", "x", "loss", "slope"),
    [
        ("loss = sf.exp(x)", 1000.0, np.inf, np.inf),
        ("loss = sf.log(x)", 0.0, -np.inf, np.inf),
        ("loss = 1 / x", 0.0, np.inf, -np.inf),
        ("loss = 1 / (sf.to_float(x > 0) * x)", -1.0, -np.inf, np.nan),
        ("loss = sf.where(x > 0, 1 / x, 2.0) + 0.0 * x", 0.0, 2.0, 0.0),
        ("loss = 1 / sf.where(x > 0, x, 0.0)", -1.0, np.inf, 0.0),
        ("loss = x ** 1.5", -1.0, np.nan, np.nan),
        ("loss = x ** 7", 1e200, np.inf, np.inf),
        ("loss = sf.sqrt(x)", 0.0, 0.0, np.inf),
        ("loss = sf.sin(x)", np.inf, np.nan, np.nan),
        ("loss = sf.maximum(x, 1.0)", np.nan, np.nan, np.nan),
        ("loss = sf.maximum(1.0, x) + sf.minimum(x, 1.0)", np.nan, np.nan, np.nan),
        ("loss = sf.maximum(x, 1.0)", 1.0, 1.0, 0.5),
        ("loss = sf.relu(x)", 0.0, 0.0, 0.0),
        ("loss = sf.relu(x)", np.nan, np.nan, 0.0),
        ("loss = sf.abs(x)", 0.0, 0.0, 0.0),
        ("loss = sf.sigmoid(x)", -1000.0, 0.0, 0.0),
        ("loss = sf.round(x) * x", 2.5, 5.0, 2.0),
        ("loss = sf.floormod(x, 1.0)", -0.25, 0.75, 1.0),
    ],
)
def test_where_python_raises_numpy_is_followed(
    compiled: Compile, text: str, x: float, loss: float, slope: float
) -> None:
    module = compiled(f"{HEAD}x = sf.Variable(0.5)\n{text}\n__all__ = []\n")
    assert is_on_floats(module)
    assert_array_equal(found(module, x=x), [loss, slope])


@pytest.mark.parametrize("function", ["digamma(x)", "polygamma(2, x)", "lgamma(sf.square(x))"])
def test_functions_of_scipy_take_floats(compiled: Compile, function: str) -> None:
    text = f"loss = sf.{function} * sf.exp(x)\n"
    module = compiled(variables("x") + text)
    assert_allclose(found(module, x=1.25), on_arrays(text, {"x": 1.25}), rtol=1e-14)


def test_numpy_warns_as_on_arrays(compiled: Compile) -> None:
    module = compiled(HEAD + "x = sf.Variable(0.5)\nloss = sf.log(x)\n")
    with pytest.warns(RuntimeWarning, match="divide by zero"):
        module.loss(module.Parameters(0.0))


def test_parts_are_computed_once(compiled: Compile) -> None:
    text = "loss = sf.sin(x * y) * sf.exp(sf.sin(x * y)) + (1 - x) ** 2 + sf.cos(x * y) * z\n"
    module = compiled(variables("xyz") + text)
    source = Path(str(module.__file__)).read_text().partition("def _loss_and_gradients")[2]
    body = source.partition("# ---")[0]
    assert body.count("sin(") == 1
    assert body.count("cos(") == 1
    assert body.count("exp(") == 1
    assert body.count("x * y") == 1
    assert body.count("1.0 - x") == 1


# --- arguments -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "make",
    [float, np.float64, np.float32, np.array, int, lambda one: np.array(one, np.float16)],
)
def test_any_number_is_taken(compiled: Compile, make: Callable[[float], Any]) -> None:
    module = compiled(ARM)
    p = module.Parameters(*(make(value) for value in (1.0, 0.0, 2.0, 1.0)))
    value, gradient = module.loss_and_gradients(p, make(1.0))
    expected = module.loss_and_gradients(module.Parameters(1.0, 0.0, 2.0, 1.0), 1.0)
    assert value == expected[0]
    dtype = np.result_type(np.float32, *(np.asarray(one).dtype for one in p))
    assert [one.dtype for one in gradient] == [dtype] * 4
    assert_allclose(gradient, expected[1], rtol=1e-6)
    assert_array_equal(gradient, module.gradients(p, target=make(1.0)))


def test_what_is_no_number_is_refused_as_ever(compiled: Compile) -> None:
    module = compiled(ARM + "train_op = sf.GradientDescentOptimizer(0.1).minimize(loss)\n")
    p = module.initial_parameters()
    with pytest.raises(ValueError, match=r"q1: expected \(\), got \(1,\)"):
        module.loss(p._replace(q1=np.array([1.0])), 1.0)
    with pytest.raises(ValueError, match=r"q1: expected real numbers, got complex128"):
        module.loss(p._replace(q1=1j), 1.0)
    with pytest.raises(ValueError, match=r"parameters: expected 4 arrays, got 1"):
        module.loss((1.0,), 1.0)
    with pytest.raises(ValueError, match=r"target: expected \(\), got \(2,\)"):
        module.loss_and_gradients(p, [1.0, 2.0])
    with pytest.raises(ValueError, match=r"target: expected real numbers, got <U1"):
        module.train(p, "1")


def test_whole_numbers_stay_whole(compiled: Compile) -> None:
    text = "k = sf.placeholder(sf.int64, ())\nw = sf.Variable(2.0)\nloss = w * k\n__all__ = []\n"
    module = compiled(HEAD + text)
    assert is_on_floats(module)
    value, gradient = module.loss_and_gradients(module.Parameters(2.0), 3)
    assert (value, gradient.w, gradient.w.dtype) == (6.0, 3.0, np.float64)
    with pytest.raises(ValueError, match="k: expected whole numbers, got float64"):
        module.loss(module.Parameters(2.0), 3.0)


# --- training ------------------------------------------------------------------------------------

OPTIMIZERS = (
    "GradientDescentOptimizer(0.05)",
    "GradientDescentOptimizer(sf.train.backtracking_line_search())",
    "MomentumOptimizer(0.05, 0.5, l2=0.1, clip_norm=0.5)",
    "AdagradOptimizer(0.05, clip_value=0.2)",
    "RMSPropOptimizer(0.01)",
    "AdamOptimizer(0.05)",
)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_training_is_that_of_a_session(compiled: Compile, optimizer: str) -> None:
    text = ARM + f"train_op = sf.train.{optimizer}.minimize(loss)\n"
    module = compiled(text)
    seen: list[Any] = []

    def on_step(step: int, loss: float, p: Any) -> None:
        assert type(loss) is float
        assert all(type(one) is np.ndarray and one.shape == () for one in p)
        seen.append(p)

    result = module.train(module.initial_parameters(), 1.0, steps=20, on_step=on_step)
    with sf.Graph().as_default():
        names: dict[str, Any] = {}
        exec(text, names)
        with sf.Session() as session:
            losses = []
            for _ in range(20):
                losses.append(session.run(names["loss"], {names["target"]: 1.0}))
                session.run(names["train_op"], {names["target"]: 1.0})
            last = session.run(names["qs"])
    assert_allclose(result.losses, losses, rtol=1e-12)
    assert_allclose(result.parameters, last, rtol=1e-12)
    assert len(seen) == 20
    assert result.steps == 20


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_training_keeps_float32(compiled: Compile, optimizer: str) -> None:
    module = compiled(ARM + f"train_op = sf.train.{optimizer}.minimize(loss)\n")
    result = module.train(module.initial_parameters(dtype=np.float32), 1.0, steps=20)
    doubles = module.train(module.initial_parameters(), 1.0, steps=20)
    assert {one.dtype for one in result.parameters} == {np.dtype(np.float32)}
    assert_allclose(result.losses, doubles.losses, rtol=1e-5)


def test_a_loss_that_is_not_finite_ends_training(compiled: Compile) -> None:
    text = "w = sf.Variable(1.0)\nloss = sf.log(w)\ntrain_op = sf.GradientDescentOptimizer(1.0)"
    module = compiled(HEAD + text + ".minimize(loss)\n")
    with np.errstate(all="ignore"), pytest.raises(FloatingPointError, match="step 1: the loss is"):
        module.train(module.initial_parameters(), steps=5)


# --- the text ------------------------------------------------------------------------------------

EVERY = variables("xyz") + (
    "loss = sf.sigmoid(x) + sf.softplus(y) + sf.maximum(x, y) + sf.minimum(y, z) + sf.erf(x)"
    " + sf.xlogy(x, y) + x * sf.log(x) + sf.log(1 - sf.exp(-z)) + sf.relu(sf.sin(x) - 0.5)"
    " + sf.where(sf.logical_not(sf.equal(x, y)), x, 0.0) + y ** 7 + (x + y) ** 5 + x ** -2"
    " + sf.pow(x, y) + sf.atan2(x, y) + sf.tanh(x) + sf.clip_by_value(x, 0.0, y) + sf.cbrt(z)\n"
    "train_op = sf.train.AdamOptimizer(0.05, clip_norm=1.0, l2=0.1).minimize(loss)\n"
)
NAMES = HEAD + (
    "sin = sf.Variable(0.5)\nexp = sf.placeholder(shape=())\nlog = sf.cos(sin * exp)\n"
    "number = sf.sin(log)\nloss = sf.exp(number) + sf.log(exp + sf.to_float(sin > 0) * sin)\n"
)
MANY = HEAD + (
    "inputs = [sf.placeholder(shape=(), name=f'a_rather_long_name_{n}') for n in range(9)]\n"
    "ws = [sf.Variable(0.5, name=f'another_rather_long_name_{n}') for n in range(9)]\n"
    "loss = 0.1\nfor w, x in zip(ws, inputs):\n"
    "    loss = loss + sf.square(w * sf.sin(x) - sf.exp(w)) / 3\n"
    "sf.train.GradientDescentOptimizer(sf.train.backtracking_line_search()).minimize(loss)\n"
)


@pytest.fixture(scope="module")
def modules(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of modules on floats."""
    folder = tmp_path_factory.mktemp("scalars")
    for name, text in {"every": EVERY, "names": NAMES, "many": MANY, "arm": ARM}.items():
        (folder / f"{name}.py").write_text(text)
        write(compile_files(folder / f"{name}.py", folder / "out", {}, None))
    return folder / "out"


@pytest.mark.parametrize("tool", TOOLS)
def test_tools_have_nothing_to_say(tool: str, modules: Path) -> None:
    command = [sys.executable, "-m", *TOOLS[tool], *sorted(map(str, modules.glob("*.py")))]
    if tool == "mypy":
        command.append(f"--cache-dir={modules / 'cache'}")
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr


def test_names_of_the_model_come_before_those_of_functions(modules: Path) -> None:
    module = imported(modules / "names.py")
    value, gradient = module.loss_and_gradients(module.Parameters(0.5), 2.0)
    log = np.cos(0.5 * 2.0)
    assert_allclose(value, np.exp(np.sin(log)) + np.log(2.5))
    assert_allclose(
        gradient.sin, np.exp(np.sin(log)) * np.cos(log) * -np.sin(1.0) * 2.0 + 1 / 2.5, rtol=1e-14
    )


def test_no_scipy_for_the_error_function(modules: Path) -> None:
    text = (modules / "every.py").read_text()
    assert "math.erf" in text
    assert "scipy" not in text


def test_the_gradient_checker_reads_modules_on_floats(tmp_path: Path) -> None:
    point = {"x": 0.75, "y": 1.5, "z": 0.625}
    (tmp_path / "every.py").write_text(EVERY)
    assert all(one.ok for one in sf.testing.check_gradients(tmp_path / "every.py", at=point))
    sf.testing.assert_valid(tmp_path / "every.py", at=point)


def test_the_gradient_checker_finds_the_line_that_is_wrong(tmp_path: Path) -> None:
    text = HEAD + "x = sf.Variable(0.5)\nangle = x * x\nloss = sf.sin(angle) + sf.exp(x)\n"
    (tmp_path / "model.py").write_text(text)
    write(compile_files(tmp_path / "model.py", tmp_path / "out", {}, None))
    path = tmp_path / "out" / "model.py"
    source = path.read_text()
    assert "2.0 * x * cos(angle)" in source
    path.write_text(source.replace("2.0 * x * cos(angle)", "2.1 * x * cos(angle)"))
    (result,) = sf.testing.check_gradients(path)
    assert not result.ok
    assert result.method == "complex step"
    assert "d_x" in str(result.reason)
    assert "model.py:2" in str(result.reason)
