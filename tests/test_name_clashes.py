"""Names that the compiler makes itself: no two things have one, whatever a model is made of."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose

from symflow.statements import distinct

Array = Any
Compile = Callable[..., ModuleType]

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
