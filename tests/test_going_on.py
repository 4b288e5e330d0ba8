"""Training that goes on from where an earlier call ended: bit for bit as if it had not ended."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from symflow.compilation import Style

Compile = Callable[..., ModuleType]

HEAD = "import symflow as sf\n"
ROWS = (
    HEAD
    + """\
x = sf.placeholder(sf.{dtype}, ("n", 4), name="x")
y = sf.placeholder(sf.{dtype}, ("n",), name="y")
w = sf.Variable(sf.glorot_uniform((4, 3)))
v = sf.Variable(sf.ones(3))
b = sf.Variable(0.5)
loss = sf.reduce_mean(sf.square(sf.tanh(x @ w) @ v + b - y))
sf.train.{optimizer}.minimize(loss)
"""
)
NUMBERS = (
    HEAD
    + """\
a = sf.Variable(1.5)
b = sf.Variable(-0.5)
loss = sf.square(sf.sin(a) - 0.3) * (1.0 + b * b) + sf.exp(b)
sf.train.{optimizer}.minimize(loss)
"""
)
OPTIMIZERS = [
    "GradientDescentOptimizer(0.1)",
    "GradientDescentOptimizer(sf.train.exponential_decay(0.1, 3, 0.5))",
    "GradientDescentOptimizer(0.1, clip_norm=0.05)",
    "GradientDescentOptimizer(sf.train.backtracking_line_search())",
    "MomentumOptimizer(0.1, 0.9)",
    "RMSPropOptimizer(0.004, momentum=0.5)",
    "AdamOptimizer(0.05)",
]


def rows(dtype: str = "float64") -> tuple[Any, Any]:
    random = np.random.default_rng(2)
    return random.normal(size=(23, 4)).astype(dtype), random.normal(size=23).astype(dtype)


def same(module: ModuleType, data: tuple[Any, ...], cut: int, **how: Any) -> None:
    """Twelve steps at once, and in two calls."""
    start = module.initial_parameters(seed=1)
    whole = module.train(start, *data, steps=12, **how)
    first = module.train(start, *data, steps=cut, **how)
    second = module.train(first.parameters, *data, steps=12 - cut, state=first.state, **how)
    assert first.losses + second.losses == whole.losses
    assert (first.steps, second.steps, second.state.step) == (cut, 12 - cut, 12)
    for one, other in zip(second.parameters, whole.parameters, strict=True):
        assert_array_equal(one, other, strict=True)
    for kept, wanted in zip(second.state[1:], whole.state[1:], strict=True):
        for one, other in zip(kept, wanted, strict=True):
            assert_array_equal(one, other, strict=True)


@pytest.mark.parametrize("style", ["fast", "plain"])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_two_calls_are_one(compiled: Compile, optimizer: str, style: Style) -> None:
    for dtype in ("float64", "float32"):
        module = compiled(ROWS.format(optimizer=optimizer, dtype=dtype), style)
        for cut in (0, 1, 5, 12):
            same(module, rows(dtype), cut)


@pytest.mark.parametrize("style", ["fast", "plain"])
@pytest.mark.parametrize("size", [1, 5, 23])
def test_mini_batches_go_on_where_they_were(compiled: Compile, style: Style, size: int) -> None:
    """Of 5 in 23 rows there are 4 in a pass: cut within one, at its end, and after two."""
    module = compiled(ROWS.format(optimizer="AdamOptimizer(0.05)", dtype="float64"), style)
    for cut in (1, 4, 6, 8, 11):
        same(module, rows(), cut, batch_size=size, seed=7)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_two_calls_are_one_on_floats(compiled: Compile, optimizer: str, dtype: str) -> None:
    module = compiled(NUMBERS.format(optimizer=optimizer))
    assert hasattr(module, "_float_parameters")
    start = module.initial_parameters(dtype=np.dtype(dtype))
    whole = module.train(start, steps=9)
    first = module.train(start, steps=4)
    second = module.train(first.parameters, steps=5, state=first.state)
    assert first.losses + second.losses == whole.losses
    for one, other in zip(second.parameters, whole.parameters, strict=True):
        assert_array_equal(one, other, strict=True)
        assert one.dtype == dtype


def test_what_on_step_ended_goes_on(compiled: Compile) -> None:
    """The step that it ended is taken again, with its rows; steps are counted over all calls."""
    module = compiled(ROWS.format(optimizer="MomentumOptimizer(0.1, 0.9)", dtype="float64"))
    start, data = module.initial_parameters(), rows()
    whole = module.train(start, *data, steps=10, batch_size=4)
    asked: list[int] = []

    def rate(step: int) -> float:
        asked.append(step)
        return 0.1

    how: dict[str, Any] = {"batch_size": 4, "learning_rate": rate}
    first = module.train(start, *data, **how, steps=10, on_step=lambda step, *_: step == 6)
    assert (first.reason, first.steps, first.state.step) == ("stopped", 6, 6)
    seen: list[int] = []
    second = module.train(
        first.parameters,
        *data,
        **how,
        steps=4,
        state=first.state,
        on_step=lambda step, *_: seen.append(step),
    )
    assert seen == [6, 7, 8, 9]
    assert asked == [0, 1, 2, 3, 4, 5, 6, 6, 7, 8, 9]
    assert first.losses[:6] + second.losses == whole.losses
    for one, other in zip(second.parameters, whole.parameters, strict=True):
        assert_array_equal(one, other)


def test_tolerance_says_where(compiled: Compile) -> None:
    module = compiled(ROWS.format(optimizer="GradientDescentOptimizer(0.1)", dtype="float64"))
    first = module.train(module.initial_parameters(), *rows(), steps=8)
    result = module.train(first.parameters, *rows(), state=first.state, tolerance=1e9)
    assert (result.reason, result.steps, result.state.step) == ("tolerance", 0, 8)


def test_by_moments_too(compiled: Compile) -> None:
    """Up to rounding: the sums over the data are centred anew with every call."""
    module = compiled(
        HEAD + "x = sf.placeholder(sf.float64, ('n',))\ny = sf.placeholder(sf.float64, ('n',))\n"
        "w = sf.Variable(1.0)\nb = sf.Variable(0.0)\n"
        "loss = sf.reduce_mean(sf.square(w * x + b - y))\n"
        "rate = sf.train.exponential_decay(0.1, 9, 0.5)\n"
        "sf.train.GradientDescentOptimizer(rate).minimize(loss)\n"
    )
    assert hasattr(module, "_descended")
    x = np.random.default_rng(0).normal(size=50)
    start = module.initial_parameters()
    whole = module.train(start, x, 2 * x - 1, steps=20)
    first = module.train(start, x, 2 * x - 1, steps=7)
    second = module.train(first.parameters, x, 2 * x - 1, steps=13, state=first.state)
    assert second.state == (20,)
    assert_allclose(first.losses + second.losses, whole.losses, rtol=1e-9)
    assert_allclose(second.parameters, whole.parameters, rtol=1e-9)
    stopped = module.train(first.parameters, x, 2 * x - 1, state=first.state, tolerance=1e9)
    assert (stopped.reason, stopped.steps, stopped.state) == ("tolerance", 0, (7,))


def test_a_state_of_other_shapes_is_refused(compiled: Compile) -> None:
    module = compiled(ROWS.format(optimizer="MomentumOptimizer(0.1, 0.9)", dtype="float64"))
    start = module.initial_parameters()
    wrong = module.TrainingState(3, start._replace(v=np.zeros(4)))
    with pytest.raises(ValueError, match=r"^v: expected \(3,\), got \(4,\)$"):
        module.train(start, *rows(), state=wrong)
