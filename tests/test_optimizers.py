"""Optimizers against TensorFlow 1's updates, written out here entry by entry, without symflow."""

from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from conftest import ROOT, imported
from numpy.testing import assert_allclose, assert_array_equal
from reference import precision_within
from test_golden import TOOLS

import symflow as sf
from symflow.files import compile_files, write
from symflow.program import slot
from symflow.train import kept

STEPS = 50
RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(12, 3))
Y = X @ [1.0, -2.0, 0.5] + 0.3 + 0.1 * RANDOM.normal(size=12)
START = [1.5, 0.25, -1.0, 0.0]
"""Three weights and a bias, which the model has as an array and a number."""

MODEL = """\
import symflow as sf

x = sf.placeholder(sf.{dtype}, ("n", 3))
y = sf.placeholder(sf.{dtype}, ("n",))
w = sf.Variable([1.5, 0.25, -1.0])
b = sf.Variable(0.0)
loss = sf.reduce_mean(sf.square(sf.reduce_sum(x * w, axis=1) + b - y))
train_op = sf.train.{optimizer}.minimize(loss)
"""


def gradient_of(entries: list[float]) -> list[float]:
    """Of the mean of (w · x + b - y)²."""
    gradient = [0.0] * 4
    for row, y in zip(X.tolist(), Y.tolist(), strict=True):
        residual = entries[0] * row[0] + entries[1] * row[1] + entries[2] * row[2] + entries[3] - y
        for at, factor in enumerate([*row, 1.0]):
            gradient[at] += 2.0 * residual * factor / len(Y)
    return gradient


# --- TensorFlow 1's updates of one entry: each gets the gradient, and returns what to subtract ---

Entry = Callable[[float, float, int], float]


def plain(lr: float) -> Entry:
    return lambda value, g, t: lr * g


def momentum(lr: float, momentum: float, nesterov: bool = False) -> Entry:
    """ApplyMomentum."""
    accum = 0.0

    def apply(value: float, g: float, t: int) -> float:
        nonlocal accum
        accum = accum * momentum + g
        return g * lr + accum * momentum * lr if nesterov else accum * lr

    return apply


def adagrad(lr: float, accum: float = 0.1) -> Entry:
    """ApplyAdagrad."""

    def apply(value: float, g: float, t: int) -> float:
        nonlocal accum
        accum += g * g
        return g * lr * (1 / math.sqrt(accum))

    return apply


def rmsprop(lr: float, rho: float = 0.9, momentum: float = 0.0, epsilon: float = 1e-10) -> Entry:
    """ApplyRMSProp; its slot "rms" starts from ones."""
    ms, mom = 1.0, 0.0

    def apply(value: float, g: float, t: int) -> float:
        nonlocal ms, mom
        ms += (g * g - ms) * (1 - rho)
        mom = mom * momentum + g * lr / math.sqrt(ms + epsilon)
        return mom

    return apply


def adam(
    lr: float = 0.001,
    beta1: float = 0.9,
    beta2: float = 0.999,
    epsilon: float = 1e-8,
    decay: float = 0.0,
) -> Entry:
    """ApplyAdam, and the weight decay of tf.contrib.opt.DecoupledWeightDecayExtension."""
    m = v = 0.0

    def apply(value: float, g: float, t: int) -> float:
        nonlocal m, v
        lr_t = lr * math.sqrt(1 - beta2**t) / (1 - beta1**t)
        m += (g - m) * (1 - beta1)
        v += (g * g - v) * (1 - beta2)
        return decay * value + m * lr_t / (math.sqrt(v) + epsilon)

    return apply


OPTIMIZERS: dict[str, Callable[[], Entry]] = {
    "GradientDescentOptimizer(0.05)": lambda: plain(0.05),
    "MomentumOptimizer(0.02, 0.9)": lambda: momentum(0.02, 0.9),
    "MomentumOptimizer(0.02, 0.8, True)": lambda: momentum(0.02, 0.8, True),
    "MomentumOptimizer(0.02, 0)": lambda: plain(0.02),
    "AdagradOptimizer(0.1)": lambda: adagrad(0.1),
    "AdagradOptimizer(0.2, initial_accumulator_value=0.5)": lambda: adagrad(0.2, 0.5),
    "RMSPropOptimizer(0.004)": lambda: rmsprop(0.004),
    "RMSPropOptimizer(0.002, 0.8, 0.5, 1e-3)": lambda: rmsprop(0.002, 0.8, 0.5, 1e-3),
    "AdamOptimizer()": adam,
    "AdamOptimizer(0.01, 0.5, 0.75, 1e-4)": lambda: adam(0.01, 0.5, 0.75, 1e-4),
    "AdamOptimizer(0.01, beta1=0, epsilon=0.01)": lambda: adam(0.01, 0.0, epsilon=0.01),
    "AdamWOptimizer(0.01)": lambda: adam(decay=0.01),
    "AdamWOptimizer(0.002, 0.01, 0.8, 0.99)": lambda: adam(0.01, 0.8, 0.99, decay=0.002),
}


def clipped_by_value(bound: float) -> Callable[[list[float]], list[float]]:
    """tf.clip_by_value(g, -bound, bound)."""
    return lambda gradient: [min(max(one, -bound), bound) for one in gradient]


def clipped_by_norm(bound: float) -> Callable[[list[float]], list[float]]:
    """tf.clip_by_global_norm(gradient, bound)."""

    def clipped(gradient: list[float]) -> list[float]:
        norm = math.sqrt(sum(one * one for one in gradient))
        return [one * bound / max(norm, bound) for one in gradient]

    return clipped


def reference(
    entry: Callable[[], Entry],
    clip: Callable[[list[float]], list[float]] = list,
    l2: float = 0.0,
    steps: int = STEPS,
) -> list[list[float]]:
    """The entries after each update."""
    entries, path = list(START), []
    updates = [entry() for _ in entries]
    for t in range(1, steps + 1):
        pairs = zip(entries, gradient_of(entries), strict=True)
        gradient = clip([g + l2 * value for value, g in pairs])
        moves = [
            update(value, g, t) for update, value, g in zip(updates, entries, gradient, strict=True)
        ]
        entries = [value - move for value, move in zip(entries, moves, strict=True)]
        path.append(entries)
    return path


# --- the same in a Session and in a generated module ---------------------------------------------


def in_session(optimizer: str, dtype: str = "float64") -> Iterator[tuple[Any, Any]]:
    """w and b after each update."""
    names: dict[str, Any] = {}
    with sf.Graph().as_default() as graph:
        exec(MODEL.format(optimizer=optimizer, dtype=dtype), names)
    feed = {names["x"]: X, names["y"]: Y}
    with sf.Session(graph) as session:
        for _ in range(STEPS):
            session.run(names["train_op"], feed)
            yield session.run((names["w"], names["b"]))


def in_module(module: ModuleType, x: Any = X, y: Any = Y) -> list[Any]:
    """Parameters after each update."""
    path: list[Any] = []

    def on_step(step: int, loss: float, parameters: Any) -> None:
        path.append(parameters)

    start = module.initial_parameters()
    result = module.train(start, x, y, steps=STEPS, on_step=on_step)
    return [*path[1:], result.parameters]


def flat(path: Any) -> list[list[float]]:
    return [[*np.asarray(w).tolist(), float(b)] for w, b in path]


def assert_same(path: Any, expected: list[list[float]], tolerance: float = 1e-13) -> None:
    """Within the tolerance of the size of the parameters, some of which pass through 0."""
    found = np.array(flat(path))
    assert found.shape == np.shape(expected)
    assert_allclose(found, expected, rtol=tolerance, atol=tolerance)


Compile = Callable[[str], ModuleType]


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_updates_are_those_of_tensorflow_1(optimizer: str, compiled: Compile) -> None:
    expected = reference(OPTIMIZERS[optimizer])
    assert_same(in_session(optimizer), expected)
    assert_same(in_module(compiled(MODEL.format(optimizer=optimizer, dtype="float64"))), expected)


CLIPPED = {
    "clip_value=0.5": {"clip": clipped_by_value(0.5)},
    "clip_norm=0.75": {"clip": clipped_by_norm(0.75)},
    "clip_norm=1e6": {},
    "l2=0.125": {"l2": 0.125},
    "clip_value=0.5, l2=0.125": {"clip": clipped_by_value(0.5), "l2": 0.125},
    "clip_norm=0.75, l2=0.125": {"clip": clipped_by_norm(0.75), "l2": 0.125},
}
BASES = {
    "GradientDescentOptimizer(0.05, {})": lambda: plain(0.05),
    "MomentumOptimizer(0.02, 0.9, {})": lambda: momentum(0.02, 0.9),
    "AdamOptimizer(0.01, {})": lambda: adam(0.01),
}


@pytest.mark.parametrize("option", CLIPPED)
@pytest.mark.parametrize("base", BASES)
def test_options_are_for_every_optimizer(base: str, option: str, compiled: Compile) -> None:
    optimizer = base.format(option)
    expected = reference(BASES[base], **CLIPPED[option])  # type: ignore[arg-type]
    assert_same(in_session(optimizer), expected)
    assert_same(in_module(compiled(MODEL.format(optimizer=optimizer, dtype="float64"))), expected)


@pytest.mark.parametrize(
    ("make", "entry"),
    [
        (lambda options: sf.train.AdagradOptimizer(0.1, **options), lambda: adagrad(0.1)),
        (lambda options: sf.train.RMSPropOptimizer(0.004, **options), lambda: rmsprop(0.004)),
        (lambda options: sf.train.AdamWOptimizer(0.01, **options), lambda: adam(decay=0.01)),
    ],
)
def test_options_of_the_others(make: Any, entry: Callable[[], Entry]) -> None:
    w, b = sf.Variable(START[:3]), sf.Variable(START[3])
    loss = sf.reduce_mean(sf.square(sf.reduce_sum(X * w, axis=1) + b - Y))
    train = make({"clip_norm": 0.75, "l2": 0.125}).minimize(loss)
    with sf.Session() as session:
        for _ in range(STEPS):
            session.run(train)
        expected = reference(entry, clipped_by_norm(0.75), 0.125)[-1:]
        assert_same([session.run((w, b))], expected)


def test_clipping_matters_to_the_model() -> None:
    """Else the tests above would show nothing."""
    free = np.array(reference(lambda: plain(0.05)))
    for clip in (clipped_by_value(0.5), clipped_by_norm(0.75)):
        assert np.all(np.max(np.abs(free - reference(lambda: plain(0.05), clip)), axis=1) > 1e-3)


def test_the_clipped_norm_is_over_all_parameters() -> None:
    """A gradient of (3, 0) and 4 has the norm 5."""
    w, b = sf.Variable([0.0, 0.0]), sf.Variable(0.0)
    loss = 3 * w[0] + 4 * b
    train = sf.train.GradientDescentOptimizer(1.0, clip_norm=1.0).minimize(loss)
    with sf.Session() as session:
        session.run(train)
        assert_allclose(session.run(w), [-0.6, 0])
        assert_allclose(session.run(b), -0.8)


def test_a_gradient_of_zero_is_not_divided_by_its_norm(compiled: Compile) -> None:
    module = compiled(
        "import symflow as sf\nw = sf.Variable([0.0, 0.0])\nloss = sf.reduce_sum(w * w)\n"
        "sf.train.MomentumOptimizer(0.1, 0.9, clip_norm=1.0).minimize(loss)\n"
    )
    assert_array_equal(module.train(module.initial_parameters(), steps=2).parameters.w, [0, 0])


def test_the_tolerance_is_for_the_penalised_gradient(compiled: Compile) -> None:
    """(w - 1)² + w²/2 is least at 2/3, where the loss alone has a gradient."""
    module = compiled(
        "import symflow as sf\nw = sf.Variable(0.0)\nloss = sf.square(w - 1)\n"
        "sf.train.MomentumOptimizer(0.1, 0.5, l2=1.0, clip_norm=1.0).minimize(loss)\n"
    )
    result = module.train(module.initial_parameters(), tolerance=1e-10)
    assert result.reason == "tolerance"
    assert_allclose(result.parameters.w, 2 / 3, rtol=1e-9)
    assert_allclose(result.losses[-1], 1 / 9, rtol=1e-8)


# --- precision -----------------------------------------------------------------------------------

ALL = [
    "GradientDescentOptimizer(0.05, clip_norm=0.75, l2=0.125)",
    "GradientDescentOptimizer(sf.train.exponential_decay(0.1, 20, 0.5), clip_value=0.5)",
    "MomentumOptimizer(0.02, 0.9)",
    "MomentumOptimizer(0.02, 0.9, use_nesterov=True, clip_norm=0.75)",
    "AdagradOptimizer(0.1, clip_value=0.5)",
    "RMSPropOptimizer(0.004, l2=0.125)",
    "RMSPropOptimizer(sf.train.exponential_decay(0.004, 20, 0.5), momentum=0.512345678)",
    "AdamOptimizer()",
    "AdamWOptimizer(0.01, clip_norm=0.75, l2=0.125)",
]


@pytest.mark.parametrize("optimizer", ALL)
def test_single_precision_stays_single(optimizer: str, compiled: Compile) -> None:
    module = compiled(MODEL.format(optimizer=optimizer, dtype="float32"))
    states: list[Any] = []
    moved = getattr(module, "_moved", None)

    def watched(*arguments: Any) -> Any:
        states.extend(one for one in arguments if isinstance(one, tuple))
        return moved(*arguments)

    if moved is not None:  # plain descent moves parameters in place
        module._moved = watched  # type: ignore[attr-defined]
    path = in_module(module, X.astype(np.float32), Y.astype(np.float32))
    for parameters in [*path, *states]:
        assert all(isinstance(one, (np.ndarray, np.floating)) for one in parameters)
        assert [one.shape for one in parameters] == [(3,), ()]
    for w, b in path:
        assert (w.dtype, b.dtype) == (np.float32, np.float32)
    for w, b in states:
        assert (w.dtype, precision_within(b, np.float32)) == (np.float32, np.float32)
    session = list(in_session(optimizer, "float32"))
    assert {one.dtype for values in session for one in values} == {np.dtype(np.float32)}
    double = list(in_session(optimizer))
    assert_same(session, flat(double), 1e-4)
    assert_same(path, flat(double), 1e-4)


# --- state ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("optimizer", "state"),
    [
        (sf.train.GradientDescentOptimizer(0.1), {}),
        (sf.train.MomentumOptimizer(0.1, 0.9), {"velocity": 0}),
        (sf.train.AdagradOptimizer(0.1), {"accumulator": 0.1}),
        (sf.train.AdagradOptimizer(0.1, 2.0), {"accumulator": 2}),
        (sf.train.RMSPropOptimizer(0.1), {"mean_square": 1}),
        (sf.train.RMSPropOptimizer(0.1, momentum=0.5), {"mean_square": 1, "velocity": 0}),
        (sf.train.AdamOptimizer(), {"m": 0, "v": 0}),
        (sf.train.AdamWOptimizer(0.1), {"m": 0, "v": 0}),
    ],
)
def test_state_starts_as_that_of_tensorflow_1(optimizer: Any, state: dict[str, float]) -> None:
    assert optimizer.state == state


def test_state_starts_anew_with_every_training(compiled: Compile) -> None:
    module = compiled(MODEL.format(optimizer="AdamOptimizer(0.01)", dtype="float64"))
    first, second = in_module(module), in_module(module)
    assert flat(first) == flat(second)


def test_every_training_has_its_own_state() -> None:
    w = sf.Variable(1.0)
    optimizer = sf.train.MomentumOptimizer(0.1, 0.9)
    one, other = optimizer.minimize(w), optimizer.minimize(w)
    with sf.Session() as session:
        session.run([one, one, other])
        assert_allclose(session.run(w), 1 - 0.1 - 0.19 - 0.1)


def test_defaults_are_those_of_tensorflow_1() -> None:
    adam = sf.train.AdamOptimizer()
    found = (adam.learning_rate, *map(float, (adam.beta1, adam.beta2, adam.epsilon)))
    assert found == (0.001, 0.9, 0.999, 1e-8)
    adamw = sf.train.AdamWOptimizer(0.1)
    found = (adamw.learning_rate, *map(float, (adamw.beta1, adamw.beta2, adamw.epsilon)))
    assert found == (0.001, 0.9, 0.999, 1e-8)
    rmsprop = sf.train.RMSPropOptimizer(0.1)
    found = tuple(map(float, (rmsprop.decay, rmsprop.momentum, rmsprop.epsilon)))
    assert found == (0.9, 0.0, 1e-10)


def test_a_rate_may_be_a_schedule(compiled: Compile) -> None:
    optimizer = "AdamOptimizer(sf.train.exponential_decay(0.02, 10, 0.5))"
    module = compiled(MODEL.format(optimizer=optimizer, dtype="float64"))

    def falling() -> Entry:
        m = v = 0.0

        def apply(value: float, g: float, t: int) -> float:
            nonlocal m, v
            m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
            lr = 0.02 * 0.5 ** ((t - 1) / 10) * math.sqrt(1 - 0.999**t) / (1 - 0.9**t)
            return lr * m / (math.sqrt(v) + 1e-8)

        return apply

    assert_same(in_module(module), reference(falling))
    assert_same(in_session(optimizer), reference(falling))


# --- what is generated ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def modules(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of generated modules, one for each of ALL, and some with difficult names."""
    folder = tmp_path_factory.mktemp("optimizers")
    texts = {
        f"optimizer_{at}": MODEL.format(optimizer=optimizer, dtype="float32")
        for at, optimizer in enumerate(ALL)
    }
    texts["scalar"] = (
        "import symflow as sf\nw = sf.Variable(3.0)\nloss = sf.square(w - 1)\n"
        "sf.train.AdamOptimizer(0.01, 0.123456789, 0.5, clip_norm=1.0).minimize(loss)\n"
    )
    texts["names"] = (
        "import symflow as sf\nvelocity_of = sf.placeholder(shape=('n', 2))\n"
        "velocity = sf.Variable([1.0, 2.0])\nnew_value = sf.Variable(1.0)\n"
        "loss = sf.reduce_sum(sf.square(velocity_of - velocity)) + new_value ** 2\n"
        "sf.train.MomentumOptimizer(0.01, 0.9).minimize(loss)\n"
    )
    texts["sign"] = (
        "import symflow as sf\nimport sympy as sp\nw = sf.Variable([1.0, 2.0])\n"
        "class SignOptimizer(sf.train.Optimizer):\n"
        "    def update(self, value, gradient, rate, step):\n"
        "        return value - rate * sp.sign(gradient)\n"
        "SignOptimizer(0.25).minimize(sf.reduce_sum(w * w))\n"
    )
    for name, text in texts.items():
        (folder / f"{name}.py").write_text(text)
        write(compile_files(folder / f"{name}.py", folder / "out", {}, None))
    return folder / "out"


@pytest.mark.parametrize("tool", TOOLS)
def test_tools_have_nothing_to_say(tool: str, modules: Path) -> None:
    command = [sys.executable, "-m", *TOOLS[tool], *sorted(map(str, modules.glob("*.py")))]
    if tool == "mypy":  # modules of the same names may have been looked at before
        command.append(f"--cache-dir={modules / 'cache'}")
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr


def test_formulas_are_readable(modules: Path) -> None:
    nesterov, adamw = ((modules / f"optimizer_{at}.py").read_text() for at in (3, 8))
    assert (
        "    new_velocity = 0.9 * velocity + gradient\n"
        "    new_value = value - rate * (0.9 * new_velocity + gradient)\n"
        "    return new_value, new_velocity\n"
    ) in nesterov
    assert (
        "    new_m = 0.9 * m + 0.1 * gradient\n"
        "    new_v = 0.999 * v + 0.001 * (gradient * gradient)\n"
        "    new_value = 0.99 * value - rate * new_m / (np.sqrt(new_v) + 1e-08)\n"
        "    return new_value, new_m, new_v\n"
    ) in adamw
    assert '"""AdamW, from the given parameters.\n' in adamw


def test_names_of_the_model_do_not_meet_those_of_the_optimizer(modules: Path) -> None:
    module = imported(modules / "names.py")
    result = module.train(module.initial_parameters(), np.ones((3, 2)), steps=2)
    assert_allclose(result.parameters.new_value, 1 - 0.02 - 0.01 * (1.8 + 1.96))


def test_an_optimizer_of_ones_own_without_state(modules: Path) -> None:
    module = imported(modules / "sign.py")
    assert_array_equal(module.train(module.initial_parameters(), steps=2).parameters.w, [0.5, 1.5])


def test_what_is_kept_need_not_be_state() -> None:
    class Halved(sf.train.Optimizer):
        def update(self, value: Any, gradient: Any, rate: Any, step: Any, *state: Any) -> Any:
            return value - rate * kept(gradient / 2)

    value, gradient, rate = (slot(number) for number in range(3))
    assert Halved(0.1).formulas == (value - rate * gradient / 2,)


# --- mistakes ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: sf.train.MomentumOptimizer(0.1, -0.5), "momentum is -0.5"),
        (lambda: sf.train.MomentumOptimizer(0.1, "much"), "momentum is 'much'"),
        (lambda: sf.train.AdagradOptimizer(0.1, 0.0), "initial_accumulator_value is 0.0"),
        (lambda: sf.train.RMSPropOptimizer(0.1, 1.5), "decay is 1.5, not a number from 0 to 1"),
        (lambda: sf.train.RMSPropOptimizer(0.1, epsilon=math.nan), "epsilon is nan"),
        (lambda: sf.train.AdamOptimizer(0), "learning_rate is 0"),
        (lambda: sf.train.AdamOptimizer(beta1=1.0), "beta1 is 1"),
        (lambda: sf.train.AdamOptimizer(beta2=True), "beta2 is True"),
        (lambda: sf.train.AdamWOptimizer(-1.0), "weight_decay is -1.0"),
        (lambda: sf.train.AdamOptimizer(clip_value=0.0), "clip_value is 0.0"),
        (lambda: sf.train.AdamOptimizer(clip_norm=-1.0), "clip_norm is -1.0"),
        (lambda: sf.train.AdamOptimizer(l2=-1.0), "l2 is -1.0"),
        (lambda: sf.train.AdamOptimizer(clip_value=1.0, clip_norm=1.0), "not both"),
    ],
)
def test_arguments_are_checked(make: Callable[[], Any], message: str) -> None:
    with pytest.raises(sf.SymflowError, match=message) as caught:
        make()
    assert str(caught.value).startswith("test_optimizers.py:")


@pytest.mark.parametrize("options", [{"clip_value": 1.0}, {"clip_norm": 1.0}, {"l2": 0.1}])
def test_a_line_search_is_for_plain_descent(options: dict[str, float]) -> None:
    rate = sf.train.backtracking_line_search()
    with pytest.raises(sf.SymflowError, match="changes the gradient; a line search needs plain"):
        sf.train.GradientDescentOptimizer(rate, **options)
    with pytest.raises(sf.SymflowError, match="keeps state; a line search needs plain descent"):
        sf.train.AdamOptimizer(rate, **options)


@pytest.mark.parametrize("name", ["value", "np", "new_m", "count", "_m", "class", "a b", "x\n"])
def test_a_state_has_a_name_that_can_be_written(name: str) -> None:
    kind = type("Odd", (sf.train.Optimizer,), {"state": {name: 0.0}})
    with pytest.raises(sf.SymflowError, match="a state cannot be called"):
        kind(0.1)
