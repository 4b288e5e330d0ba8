"""Losses over flat vectors: what SciPy's optimizers find with them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from conftest import ROOT
from numpy.testing import assert_allclose, assert_array_equal
from scipy.optimize import minimize
from test_oracles import certified, second_start

from symflow.errors import SymflowError
from symflow.flat import Flat, flat

FORMULAS = {
    "Norris": "b1 + b2*x",
    "Misra1a": "b1 * (1 - sf.exp(-b2*x))",
    "Chwirut2": "sf.exp(-b1*x) / (b2 + b3*x)",
    "Rat42": "b1 / (1 + sf.exp(b2 - b3*x))",
}
TIGHT: dict[str, dict[str, Any]] = {
    "L-BFGS-B": {"ftol": 0.0, "gtol": 1e-10, "maxiter": 5000},
    "BFGS": {"gtol": 1e-9},
    "trust-constr": {"gtol": 1e-9, "xtol": 1e-14},
}
# The trust region does not get along Misra1a's valley, a million times as long as wide.
FITS = [
    (name, method)
    for name in FORMULAS
    for method in TIGHT
    if (name, method) != ("Misra1a", "trust-constr")
]


@pytest.fixture
def rosenbrock(generated: Callable[[str], ModuleType]) -> Flat:
    return flat(generated("rosenbrock"))


@pytest.fixture
def perceptron(diabetes: Any, generated: Callable[[str], ModuleType]) -> Flat:
    X, y = diabetes[0]
    return flat(generated("mlp_regression"), x=X, y=y)


# --- optimizers ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "method"), FITS)
@pytest.mark.filterwarnings("ignore:delta_grad == 0.0")
def test_strd(name: str, method: str, compiled: Callable[[str], ModuleType]) -> None:
    """From NIST's second start to the certified parameters: seven digits of each."""
    x, y, parameters, _, rss = certified(name)
    start = second_start(name, len(parameters))
    variables = "".join(
        f"b{i + 1} = sf.Variable({one!r})\n" for i, one in enumerate(start.tolist())
    )
    module = compiled(
        'import symflow as sf\nx = sf.placeholder(shape=("n",))\ny = sf.placeholder(shape=("n",))\n'
        f"{variables}loss = sf.reduce_sum(sf.square(y - ({FORMULAS[name]})))\n"
    )
    problem = flat(module, x=x, y=y)
    assert_array_equal(problem.x0, start)
    found = minimize(problem.fun, problem.x0, jac=problem.jac, method=method, options=TIGHT[method])
    assert_allclose(found.x, parameters, rtol=1e-7)
    assert_allclose(found.fun, rss, rtol=1e-9)


@pytest.mark.parametrize("method", ["BFGS", "CG", "L-BFGS-B", "Newton-CG", "SLSQP", "TNC"])
def test_rosenbrocks_valley(rosenbrock: Flat, method: str) -> None:
    found = minimize(rosenbrock.fun, rosenbrock.x0, jac=rosenbrock.jac, method=method)
    assert_allclose(found.x, [1.0, 1.0], atol=1e-3)
    both = minimize(rosenbrock.fun_and_jac, rosenbrock.x0, jac=True, method=method)
    assert_array_equal(both.x, found.x)


def test_bounds_hold(rosenbrock: Flat) -> None:
    bounds = rosenbrock.bounds(x=(None, 0.5))
    assert bounds == [(None, 0.5), (None, None)]
    found = minimize(rosenbrock.fun_and_jac, rosenbrock.x0, jac=True, bounds=bounds)
    assert_allclose(found.x, [0.5, 0.25], atol=1e-5)  # on the floor of the valley, y = x²


def test_bounds_of_entries(perceptron: Flat) -> None:
    low = np.linspace(-1.0, 0.0, 16)
    bounds = perceptron.bounds(b1=(low, np.inf), w2=(-2.0, 2.0))
    assert len(bounds) == perceptron.x0.size == 160 + 16 + 16 + 1
    assert bounds[:160] == [(None, None)] * 160
    assert bounds[160:176] == [(one, None) for one in low]
    assert bounds[176:] == [(-2.0, 2.0)] * 16 + [(None, None)]
    found = minimize(perceptron.fun_and_jac, perceptron.x0, jac=True, bounds=bounds)
    assert np.all(perceptron.parameters(found.x).b1 >= low)


def test_digits_are_learnt_sooner_than_by_descent(
    digits: Any, generated: Callable[[str], ModuleType]
) -> None:
    """As many evaluations of loss and gradient, in float32; and the digits held out are read."""
    module = generated("digits")
    (pixels, digit), (held_pixels, held_digit) = digits
    problem = flat(module, pixels=pixels, digit=digit)
    found = minimize(problem.fun_and_jac, problem.x0, jac=True, method="L-BFGS-B")
    descended = module.train(module.initial_parameters(), pixels, digit, steps=found.nfev)
    assert found.fun < 0.1 * descended.losses[-1]
    parameters = problem.parameters(found.x)
    assert parameters.w1.dtype == np.float32
    told = np.argmax(module.probability(parameters, held_pixels), axis=1)
    assert np.mean(told == held_digit) > 0.94


# --- vectors -------------------------------------------------------------------------------------


def test_values_are_those_of_the_module(
    diabetes: Any, perceptron: Flat, generated: Callable[[str], ModuleType]
) -> None:
    module = generated("mlp_regression")
    X, y = diabetes[0]
    vector = np.random.default_rng(0).normal(size=perceptron.x0.size)
    parameters = perceptron.parameters(vector)
    value, gradients = module.loss_and_gradients(parameters, X, y)
    assert perceptron.fun(vector) == value
    assert_array_equal(perceptron.jac(vector), perceptron.vector(gradients))
    assert_array_equal(perceptron.vector(parameters), vector)
    assert_array_equal(perceptron.x0[:160].reshape(10, 16), module.initial_parameters().w1)


def test_threads_give_the_same(
    diabetes: Any, perceptron: Flat, generated: Callable[[str], ModuleType]
) -> None:
    X, y = diabetes[0]
    two = flat(generated("mlp_regression"), threads=2, x=X, y=y)
    assert_array_equal(two.jac(two.x0), perceptron.jac(perceptron.x0))


def test_the_start_may_be_given(rosenbrock: Flat, generated: Callable[[str], ModuleType]) -> None:
    module = generated("rosenbrock")
    start = module.Parameters(np.array(3.0), np.array(4.0))
    assert_array_equal(flat(module, parameters=start).x0, [3.0, 4.0])
    single = flat(module, parameters=module.initial_parameters(dtype=np.float32))
    assert single.jac(single.x0).dtype == np.float64
    assert single.parameters(single.x0).x.dtype == np.float32


def test_one_vector_is_evaluated_once(rosenbrock: Flat, monkeypatch: pytest.MonkeyPatch) -> None:
    module, seen = rosenbrock._module, []
    counted = module.loss_and_gradients

    def counting(parameters: Any) -> Any:
        seen.append(parameters)
        return counted(parameters)

    monkeypatch.setattr(module, "loss_and_gradients", counting)
    at = np.array([0.5, 0.5])
    value, slope = rosenbrock.fun(at), rosenbrock.jac(at)
    assert len(seen) == 1
    slope[:] = 0.0  # what was returned is the caller's
    assert_allclose(rosenbrock.jac(at), [-51.0, 50.0])
    at += 1.0  # as optimizers do
    assert rosenbrock.fun(at) != value
    assert len(seen) == 2


# --- mistakes ------------------------------------------------------------------------------------


def test_mistakes_are_told_at_once(
    rosenbrock: Flat, generated: Callable[[str], ModuleType]
) -> None:
    module = generated("mlp_regression")
    X, y = np.zeros((5, 10)), np.zeros((5, 1))
    for inputs, message in [
        ({"x": X}, "the inputs of the loss are: x, y; y is missing"),
        ({"x": X, "y": y, "z": y}, "the inputs of the loss are: x, y; z is none of them"),
    ]:
        with pytest.raises(SymflowError, match=message):
            flat(module, **inputs)
    with pytest.raises(ValueError, match=r"y: expected \(5, 1\), got \(5,\)"):
        flat(module, x=X, y=y[:, 0])
    with pytest.raises(SymflowError, match="the parameters are: w1, b1, w2, b2; got 2 arrays"):
        flat(module, parameters=(1.0, 2.0), x=X, y=y)
    with pytest.raises(SymflowError, match="numpy: no generated module with a loss"):
        flat(np)
    with pytest.raises(SymflowError, match="bounds: no parameter 'z'; they are: x, y"):
        rosenbrock.bounds(z=(0, 1))
    with pytest.raises(SymflowError, match=r"bounds: x has shape \(\), and an end .* \(3,\)"):
        rosenbrock.bounds(x=(np.zeros(3), None))
    with pytest.raises(ValueError, match=r"expected a vector of 2 entries, got \(3,\)"):
        rosenbrock.fun(np.zeros(3))


def test_it_needs_numpy_alone() -> None:
    code = (
        "import sys, numpy; before = {one.partition('.')[0] for one in sys.modules}\n"
        "import symflow.flat; after = {one.partition('.')[0] for one in sys.modules}\n"
        "print(sorted(after - before - set(sys.stdlib_module_names)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.stdout == "['symflow']\n", done.stderr
