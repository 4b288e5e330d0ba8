"""Names that the compiler makes itself: no two things have one, whatever a model is made of."""

from __future__ import annotations

import ast
import inspect
import io
import keyword
import re
import tokenize
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from conftest import ROOT, imported
from numpy.testing import assert_allclose

import symflow.tokens as tokens
from symflow.compilation import OWN as COMPILER_OWN
from symflow.compilation import PUBLIC
from symflow.files import compile_files, write
from symflow.shipping import Shipping
from symflow.statements import distinct
from symflow.tokens import renamed, words

Array = Any
Compile = Callable[..., ModuleType]
GENERATED = ROOT / "generated"

START = "import symflow as sf\n"
X = START + 'x = sf.placeholder(shape=("n",), name="x")\n'
XY = X + 'y = sf.placeholder(shape=("n",), name="y")\n'


def test_the_compiler_notices_a_name_for_two_things() -> None:
    distinct(["a", "b"])
    with pytest.raises(AssertionError, match="two things: a"):
        distinct(["a", "b", "a"])


# --- moments -------------------------------------------------------------------------------------

# A model of x and y with parameters in one array or in several, and its features by hand.
FEATURES = {
    "powers": (
        "b1, b2 = sf.Variable(0.0, name='b1'), sf.Variable(0.0, name='b2')\n"
        "prediction = b1*x + b2*x**2",
        lambda x: [x, x**2],
    ),
    "cubic": (
        "b1, b2, b3 = (sf.Variable(0.0, name=f'b{k}') for k in (1, 2, 3))\n"
        "prediction = b1*x + b2*x**2 + b3*x**3",
        lambda x: [x, x**2, x**3],
    ),
    "entries": (
        "b = sf.Variable(sf.zeros(3), name='b')\nprediction = b[0] + b[1]*x + b[2]*x**2",
        lambda x: [x**0, x, x**2],
    ),
    "sin and cos": (
        "b1, b2 = sf.Variable(0.0, name='b1'), sf.Variable(0.0, name='b2')\n"
        "prediction = b1*sf.sin(x) + b2*sf.cos(x)",
        lambda x: [np.sin(x), np.cos(x)],
    ),
    "sin of multiples": (
        "b1, b2 = sf.Variable(0.0, name='b1'), sf.Variable(0.0, name='b2')\n"
        "c = sf.Variable(0.0, name='c')\n"
        "prediction = b1*sf.sin(x) + b2*sf.sin(2.0*x) + c",
        lambda x: [np.sin(x), np.sin(2 * x), x**0],
    ),
    "square and root": (
        "b1, b2 = sf.Variable(0.0, name='b1'), sf.Variable(0.0, name='b2')\n"
        "prediction = b1*x*x + b2*sf.sqrt(sf.abs(x))",
        lambda x: [x**2, np.sqrt(abs(x))],
    ),
    "names of moments": (
        "x_x, start_loss = sf.Variable(0.0, name='x_x'), sf.Variable(0.0, name='start_loss')\n"
        "moment_x_x = sf.Variable(0.0, name='moment_x_x')\n"
        "prediction = x_x*x + start_loss*x**2 + moment_x_x*sf.exp(-x)",
        lambda x: [x, x**2, np.exp(-x)],
    ),
    "gradients' names": (
        "w, d_w = sf.Variable(0.0, name='w'), sf.Variable(0.0, name='d_w')\n"
        "start_d_w = sf.Variable(0.0, name='start_d_w')\n"
        "prediction = w*x + d_w*x**2 + start_d_w",
        lambda x: [x, x**2, x**0],
    ),
}


def descended(features: Array, y: Array, rate: float, steps: int) -> tuple[Array, list[float]]:
    """Gradient descent on the sum of squares, as one would write it."""
    theta, losses = np.zeros(features.shape[1]), []
    for _ in range(steps):
        residual = features @ theta - y
        losses.append(float(residual @ residual))
        theta = theta - rate * 2 * features.T @ residual
    return theta, losses


@pytest.mark.parametrize("style", ["fast", "plain"])
@pytest.mark.parametrize("case", FEATURES)
def test_moments_of_like_terms(compiled: Compile, case: str, style: str) -> None:
    model, features = FEATURES[case]
    module = compiled(
        f"{XY}{model}\nloss = sf.reduce_sum(sf.square(prediction - y))\n"
        "sf.train.GradientDescentOptimizer(3e-6).minimize(loss)\n",
        style,
    )
    if "names" not in case:
        assert max(map(len, inspect.getsource(module).splitlines())) <= 100
    x, y = np.array([1.0, 2.0, 3.0]), np.array([1.0, 0.0, 2.0])
    right, losses = descended(np.stack(features(x), axis=1), y, 3e-6, 40)
    found = module.train(module.initial_parameters(), x=x, y=y, steps=40)
    assert_allclose(np.concatenate([one.ravel() for one in found.parameters]), right, rtol=1e-11)
    assert_allclose(found.losses, losses, rtol=1e-13)


def test_moments_of_powers_to_the_digits_of_a_hand_calculation(compiled: Compile) -> None:
    model, _ = FEATURES["powers"]
    module = compiled(
        f"{XY}{model}\nloss = sf.reduce_sum(sf.square(prediction - y))\n"
        "sf.train.GradientDescentOptimizer(3e-6).minimize(loss)\n"
    )
    module.BREAK_EVEN = 0
    found = module.train(module.initial_parameters(), [1, 2, 3], [1, 0, 2], steps=3)
    assert_allclose(found.parameters, [1.25916e-4, 3.41772e-4], rtol=4e-6)
    assert_allclose(found.losses[2], 4.990169854, rtol=1e-10)


def test_moments_of_two_columns_of_one_placeholder(compiled: Compile) -> None:
    module = compiled(
        START + 'x = sf.placeholder(shape=("n", 3), name="x")\n'
        'y = sf.placeholder(shape=("n",), name="y")\n'
        "b = [sf.Variable(0.0, name=f'b{k}') for k in range(3)]\n"
        "prediction = b[0]*x[:, 0] + b[1]*x[:, 1] + b[2]*x[:, 2]\n"
        "loss = sf.reduce_sum(sf.square(prediction - y))\n"
        "sf.train.GradientDescentOptimizer(1e-3).minimize(loss)\n"
    )
    assert module.BREAK_EVEN < 100
    x = np.random.default_rng(1).normal(size=(20, 3))
    y = x @ [1.0, -2.0, 0.5]
    right, losses = descended(x, y, 1e-3, 100)
    found = module.train(module.initial_parameters(), x, y, steps=100)
    assert_allclose(np.array(found.parameters), right, rtol=1e-11)
    assert_allclose(found.losses, losses, rtol=1e-11)


# --- names inside names --------------------------------------------------------------------------

ONE_NAME = START + (
    'x = sf.placeholder(shape=("n", 3), name="x")\n'
    '{0} = sf.Variable([[0.1, 0.2], [0.3, -0.4], [0.5, 0.6]], name="{0}")\n'
    "{1} = x @ {0}\n"
    "loss = sf.reduce_sum(sf.reduce_logsumexp({1}, 1)) + sf.reduce_sum(sf.square({0}[1:]))\n"
    "loss = loss + sf.reduce_mean(sf.nn.max_pool1d(sf.expand_dims({1}, -1), 1, 1, 'VALID'))\n"
)


def by_hand(x: Array) -> float:
    w = np.array([[0.1, 0.2], [0.3, -0.4], [0.5, 0.6]])
    z = x @ w
    return float(np.log(np.exp(z).sum(axis=1)).sum() + (w[1:] ** 2).sum() + z.mean())


@pytest.mark.parametrize("style", ["fast", "plain"])
@pytest.mark.parametrize("name", ["axis", "axi", "a", "stride", "keepdim", "dtyp", "ou"])
def test_a_variable_called_like_a_part_of_an_argument(
    compiled: Compile, name: str, style: str
) -> None:
    x = np.random.default_rng(2).normal(size=(7, 3))
    for text in (ONE_NAME.format(name, "z"), ONE_NAME.format("w", name)):
        module = compiled(text, style)
        assert_allclose(module.loss(module.initial_parameters(), x), by_hand(x), rtol=1e-14)


def test_logsumexp_of_a_tensor_called_like_an_argument(compiled: Compile) -> None:
    module = compiled(
        START + 'x = sf.placeholder(shape=("n", 2), name="x")\n'
        "w = sf.Variable([[1.0, 0.0], [0.0, 1.0]], name='w')\n"
        "axi = x @ w\n"
        "loss = sf.reduce_sum(sf.reduce_logsumexp(axi, 1))\n"
    )
    x = np.array([[0.0, 1.0], [2.0, 3.0]])
    right = np.log(np.exp(x).sum(axis=1)).sum()
    assert_allclose(module.loss(module.initial_parameters(), x), right, rtol=1e-14)


@pytest.mark.parametrize(
    ("shape", "columns"),
    [(("m", 1), "z[:, 1:]"), (("m",), "z[:, 1:]"), (("m_1",), "z[:, 1:]")],
)
def test_arrays_of_ones_of_shapes_that_are_spelled_alike(
    compiled: Compile, shape: tuple[Any, ...], columns: str
) -> None:
    module = compiled(
        START + f'z = sf.placeholder(shape=("n", "m"), name="z")\n'
        f'v = sf.placeholder(shape=("n", *{shape[:1]}), name="v")\n'
        "w = sf.Variable(1.5, name='w')\n"
        f"loss = w*sf.reduce_mean(sf.square(sf.reduce_sum({columns}, 1)))"
        " + w*sf.reduce_sum(sf.exp(sf.reduce_sum(v, 1, keepdims=True)))"
        " + w*sf.reduce_sum(sf.exp(sf.reduce_sum(v, 1)))\n"
    )
    rng = np.random.default_rng(3)
    z = rng.normal(size=(5, 4))
    v = 0.1 * rng.normal(size=(5, 4 if shape[0] == "m" else 3))
    right = 1.5 * (np.mean(z[:, 1:].sum(1) ** 2) + 2 * np.exp(v.sum(1)).sum())
    assert_allclose(module.loss(module.initial_parameters(), z, v), right, rtol=1e-13)


# --- outputs and files ---------------------------------------------------------------------------


@pytest.mark.parametrize("style", ["fast", "plain"])
def test_an_exported_tensor_called_like_a_gradient(compiled: Compile, style: str) -> None:
    module = compiled(
        X + "w = sf.Variable(1.5, name='w')\nd_w = 7.0*sf.reduce_sum(x)*w\n"
        "loss = w*sf.reduce_sum(sf.sin(x))\n",
        style,
    )
    p, x = module.initial_parameters(), np.array([0.5, 1.0])
    assert_allclose(module.d_w(p, x), 7 * 1.5 * 1.5, rtol=1e-15)
    assert_allclose(module.gradients(p, x).w, np.sin(x).sum(), rtol=1e-15)


TWINS = ("wW", "Ww", "pP", "dD", "nN")
OWN = ("p", "given", "d", "value", "block", "found", "dtype", "pattern")


@pytest.mark.parametrize("names", [*TWINS, *(f"{one},{one.upper()}" for one in OWN)])
def test_self_tests_of_twins_and_of_its_own_names(tmp_path: Path, names: str) -> None:
    first, second = names.split(",") if "," in names else names
    model = tmp_path / "model.py"
    model.write_text(
        START + f'{first} = sf.placeholder(shape=("n", 3), name="{first}")\n'
        f"{second} = sf.Variable([1.0, 2.0, 3.0])\nv = sf.Variable(sf.zeros((3,)))\n"
        f"z = sf.tanh({first} @ {second} + {first} @ v)\n"
        "total = sf.reduce_mean(sf.square(z))\n"
        "sf.train.GradientDescentOptimizer(0.1).minimize(total)\n"
    )
    write(compile_files(model, tmp_path / "out", {}, None, ships=Shipping(selftest=True)))
    assert imported(tmp_path / "out" / "model.py").selftest()


@pytest.mark.parametrize("name", ["file", "allow_pickle", "count", "index", "args", "kwds"])
def test_parameters_are_saved_whatever_they_are_called(compiled: Compile, name: str) -> None:
    module = compiled(
        X + f"{name} = sf.Variable([1.0, 2.0])\nv = sf.Variable(3.0)\n"
        f"loss = sf.reduce_sum(sf.square(x))*sf.reduce_sum({name})*v\n"
    )
    p = module.initial_parameters()
    path = Path(str(module.__file__)).with_name("saved.npz")
    module.save_parameters(path, p)
    for got, right in zip(module.load_parameters(path), p, strict=True):
        np.testing.assert_array_equal(got, right)
    with np.load(path, allow_pickle=False) as file:
        assert sorted(file.files) == sorted([name, "v"])


# --- names in text -------------------------------------------------------------------------------


@pytest.mark.parametrize("path", sorted(GENERATED.glob("*.py")), ids=lambda path: path.stem)
def test_words_are_those_of_pythons_own_tokenizer(path: Path) -> None:
    source = path.read_text(encoding="utf-8")
    own = [one.text for one in words(source) if one.kind in ("variable", "attribute", "argument")]
    assert "".join(one.text for one in words(source)) == source
    read = ast.walk(ast.parse(source))
    variables = {node.id for node in read if isinstance(node, ast.Name)}
    assert variables <= set(tokens.variables(source))
    simple = tokenize.generate_tokens(io.StringIO(re.sub(r'f"[^"\n]*"', '""', source)).readline)
    names = [one.string for one in simple if one.type == tokenize.NAME]
    expected = [name for name in names if not keyword.iskeyword(name)]
    assert own == expected


def test_names_are_exchanged_where_they_are_variables() -> None:
    source = 'axis = np.sum(axis, axis=0, out=x.axis)  # axis "axis"\nf"{axis} {{axis}} {a!r:>3}"'
    assert renamed(source, {"axis": "b", "a": "c"}) == (
        'b = np.sum(b, axis=0, out=x.axis)  # axis "axis"\nf"{b} {{axis}} {c!r:>3}"'
    )


@pytest.mark.parametrize("path", sorted(GENERATED.rglob("*.py")), ids=lambda path: path.stem)
def test_what_a_module_defines_is_known(path: Path) -> None:
    """Names that no function of the user's may have, of which a new template may bring more."""
    model = GENERATED.parent / "examples" / path.name
    users = {one.id for one in ast.walk(ast.parse(model.read_text())) if isinstance(one, ast.Name)}
    defined: set[str] = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            defined.add(node.name)
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            defined |= {one.asname or one.name for one in node.names}
        elif isinstance(node, (ast.Assign, ast.AnnAssign)):
            target = node.targets[0] if isinstance(node, ast.Assign) else node.target
            defined.add(ast.unparse(target))
    public = {name for name in defined if not name.startswith("_")}
    assert public - users - {"loss", "selftest"} <= PUBLIC | COMPILER_OWN
