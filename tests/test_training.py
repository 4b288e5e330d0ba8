"""Training through generated modules: the examples' results, stopping, mini-batches, files."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

Load = Callable[[str], ModuleType]

# --- the examples --------------------------------------------------------------------------------


def test_linear_regression_prints_the_article(generated: Load, linear_regression: Any) -> None:
    x, y, printed = linear_regression
    module = generated("linear_regression")
    result = module.train(module.initial_parameters(), x, y, steps=20)
    assert_allclose(result.losses, printed["loss"], rtol=1e-12)
    assert result.parameters.w.item() == pytest.approx(printed["final"]["w"], abs=5e-9)
    assert result.parameters.b.item() == pytest.approx(printed["final"]["b"], abs=1e-13)


def test_logistic_regression(generated: Load, breast_cancer: Any) -> None:
    train, (x, y) = breast_cancer
    module = generated("logistic_regression")
    result = module.train(module.initial_parameters(), *train, tolerance=1e-4)
    assert result.reason == "tolerance"
    assert np.all(np.diff(result.losses) < 0)
    assert np.mean((module.probability(result.parameters, x) > 0.5) == y) >= 0.95


def test_mlp_regression(generated: Load, diabetes: Any) -> None:
    """About as good on rows never seen as least squares, which suits these data well."""
    (train_x, train_y), (x, y) = diabetes
    module = generated("mlp_regression")
    result = module.train(module.initial_parameters(), train_x, train_y, steps=300)
    ones = np.ones((len(train_x), 1))
    line = np.linalg.lstsq(np.hstack([train_x, ones]), train_y, rcond=None)[0]

    def r_squared(prediction: Any) -> float:
        return float(1 - np.sum((prediction - y) ** 2) / np.sum((y - y.mean()) ** 2))

    found = r_squared(module.prediction(result.parameters, x))
    assert found > 0.4
    assert found > r_squared(x @ line[:-1] + line[-1]) - 0.05


def test_digits(generated: Load, digits: Any) -> None:
    train, (pixels, digit) = digits
    module = generated("digits")
    result = module.train(module.initial_parameters(), *train, steps=2000, batch_size=50)
    probability = module.probability(result.parameters, pixels)
    assert probability.dtype == np.float32
    assert_allclose(probability.sum(axis=1), 1.0, rtol=1e-5)
    assert np.mean(probability.argmax(axis=1) == digit) >= 0.95


def test_digits_cnn(generated: Load, digits: Any) -> None:
    train, (pixels, digit) = ((pixels.reshape(-1, 8, 8, 1), digit) for pixels, digit in digits)
    module = generated("digits_cnn")
    result = module.train(module.initial_parameters(), *train, steps=1000, batch_size=50)
    probability = module.probability(result.parameters, pixels)
    assert probability.dtype == np.float32
    assert np.mean(probability.argmax(axis=1) == digit) >= 0.97


def test_lstm(generated: Load, digits: Any) -> None:
    """Digits as sequences of rows, in mini-batches along the second axis."""
    (pixels, digit), (unseen, answer) = digits
    module = generated("lstm")
    rows = pixels.reshape(-1, 8, 8).swapaxes(0, 1)
    result = module.train(module.initial_parameters(), rows, digit, steps=800, batch_size=50)
    probability = module.probability(result.parameters, unseen.reshape(-1, 8, 8).swapaxes(0, 1))
    assert probability.dtype == np.float32
    assert np.mean(probability.argmax(axis=1) == answer) >= 0.95


def test_rosenbrock(generated: Load) -> None:
    module = generated("rosenbrock")
    result = module.train(module.initial_parameters(), steps=20000, tolerance=1e-4)
    assert result.reason == "tolerance"
    assert_allclose(result.parameters, (1.0, 1.0), atol=1e-3)


# --- when it stops -------------------------------------------------------------------------------


@pytest.mark.parametrize("steps", [0, 1, 7])
def test_stops_after_steps(generated: Load, linear_regression: Any, steps: int) -> None:
    x, y, _ = linear_regression
    module = generated("linear_regression")
    start = module.initial_parameters()
    result = module.train(start, x, y, steps=steps)
    expected, losses = start, []
    for _ in range(steps):
        loss, d = module.loss_and_gradients(expected, x, y)
        losses.append(loss)
        moved = (value - 0.005 * gradient for value, gradient in zip(expected, d, strict=True))
        expected = module.Parameters(*moved)
    assert (result.steps, result.reason) == (steps, "steps")
    assert result.losses == pytest.approx(losses, rel=1e-13)
    assert result._fields == ("parameters", "losses", "steps", "reason", "state")
    for one, other in zip(result.parameters, expected, strict=True):
        assert_allclose(one, other, rtol=1e-13)


def test_stops_at_tolerance(generated: Load, linear_regression: Any) -> None:
    x, y, _ = linear_regression
    module = generated("linear_regression")
    result = module.train(module.initial_parameters(), x, y, tolerance=1e-3)
    assert result.reason == "tolerance"
    assert 0 < result.steps < 1000

    def norm(parameters: Any) -> float:
        gradients = module.gradients(parameters, x, y)
        return float(np.sqrt(sum(np.sum(np.square(one)) for one in gradients)))

    assert norm(result.parameters) <= 1e-3
    before = module.train(module.initial_parameters(), x, y, steps=result.steps - 1)
    assert norm(before.parameters) > 1e-3


@pytest.mark.parametrize("answer", [None, False, True, np.True_])
def test_on_step(generated: Load, linear_regression: Any, answer: Any) -> None:
    x, y, _ = linear_regression
    module = generated("linear_regression")
    seen: list[tuple[int, float]] = []

    def on_step(step: int, loss: float, parameters: Any) -> bool | None:
        assert loss == module.loss(parameters, x, y)
        seen.append((step, loss))
        return answer if step == 3 else None

    result = module.train(module.initial_parameters(), x, y, steps=6, on_step=on_step)
    steps = 3 if answer else 6
    assert (result.steps, result.reason) == (steps, "stopped" if answer else "steps")
    assert seen == list(enumerate(result.losses))
    assert len(seen) == (4 if answer else 6)


def test_divergence_is_an_error(generated: Load, linear_regression: Any) -> None:
    x, y, _ = linear_regression
    module = generated("linear_regression")
    message = r"^step \d+: the loss is (inf|nan); lower"
    with pytest.raises(FloatingPointError, match=message), np.errstate(all="ignore"):
        module.train(module.initial_parameters(), x, y, learning_rate=10.0)


def test_training_leaves_its_arguments_alone(generated: Load, linear_regression: Any) -> None:
    x, y, _ = linear_regression
    module = generated("linear_regression")
    start = module.initial_parameters()
    copies = [np.copy(one) for one in (*start, x, y)]
    module.train(start, x, y, steps=3)
    for one, copy in zip((*start, x, y), copies, strict=True):
        assert_array_equal(one, copy)


# --- rates, mini-batches, seeds ------------------------------------------------------------------


def test_learning_rate_may_be_a_function(generated: Load, linear_regression: Any) -> None:
    x, y, _ = linear_regression
    module = generated("linear_regression")
    asked: list[int] = []

    def rate(step: int) -> float:
        asked.append(step)
        return 0.004 / (step + 1)

    start = module.initial_parameters()
    falling = module.train(start, x, y, steps=2, learning_rate=rate)
    first = module.train(start, x, y, steps=1, learning_rate=0.004)
    second = module.train(first.parameters, x, y, steps=1, learning_rate=0.002)
    assert asked == [0, 1]
    for one, other in zip(falling.parameters, second.parameters, strict=True):
        assert_allclose(one, other, rtol=1e-13)


def test_schedule_of_the_model(generated: Load, diabetes: Any) -> None:
    """0.1, halved every 500 steps."""
    (x, y), _ = diabetes
    module = generated("mlp_regression")
    start = module.initial_parameters()
    own = module.train(start, x, y, steps=20)
    same = module.train(start, x, y, steps=20, learning_rate=lambda step: 0.1 * 0.5 ** (step / 500))
    constant = module.train(start, x, y, steps=20, learning_rate=0.1)
    assert_allclose(own.losses, same.losses, rtol=1e-14)
    assert own.losses != constant.losses


def test_seed_of_the_mini_batches(generated: Load, digits: Any) -> None:
    train, _ = digits
    module = generated("digits")

    def losses(seed: int) -> list[float]:
        start = module.initial_parameters()
        found: list[float] = module.train(start, *train, steps=5, batch_size=32, seed=seed).losses
        return found

    assert losses(1) == losses(1)
    assert losses(1) != losses(2)


def test_seed_of_the_initial_parameters(generated: Load) -> None:
    module = generated("digits")
    assert_array_equal(module.initial_parameters(3).w1, module.initial_parameters(3).w1)
    assert np.any(module.initial_parameters(3).w1 != module.initial_parameters(4).w1)
    assert_array_equal(module.initial_parameters().w1, module.initial_parameters(0).w1)


def test_mini_batches_are_without_replacement(generated: Load) -> None:
    """With rate 0 the loss of a batch tells its rows: y holds different powers of two."""
    module = generated("linear_regression")
    start = module.initial_parameters()._replace(w=np.zeros((1, 1)))
    y = np.sqrt(2.0 ** np.arange(8))
    result = module.train(start, np.zeros(8), y, steps=4, batch_size=4, learning_rate=0.0)
    rows = [round(loss) for loss in result.losses]
    assert all(bin(one).count("1") == 4 for one in rows)
    assert rows[0] + rows[1] == rows[2] + rows[3] == 2**8 - 1


@pytest.mark.parametrize("batch_size", [0, -1, 101, 1000])
def test_batch_size_is_checked(generated: Load, linear_regression: Any, batch_size: int) -> None:
    x, y, _ = linear_regression
    module = generated("linear_regression")
    with pytest.raises(ValueError, match=f"^batch_size: expected 1 to 100, got {batch_size}$"):
        module.train(module.initial_parameters(), x, y, batch_size=batch_size)


@pytest.mark.parametrize("batch_size", [1, 37, 100])
def test_batch_size_may_be_anything_up_to_all_rows(
    generated: Load, linear_regression: Any, batch_size: int
) -> None:
    x, y, _ = linear_regression
    module = generated("linear_regression")
    result = module.train(module.initial_parameters(), x, y, steps=10, batch_size=batch_size)
    assert len(result.losses) == 10


# --- files ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("file_name", ["saved.npz", "saved", "with space.npz"])
def test_save_and_load(generated: Load, example: str, tmp_path: Path, file_name: str) -> None:
    module = generated(example)
    parameters = module.initial_parameters(seed=5)
    for path in (tmp_path / file_name, str(tmp_path / file_name)):
        module.save_parameters(path, parameters)
        loaded = module.load_parameters(path)
        assert type(loaded) is module.Parameters
        for one, other in zip(loaded, parameters, strict=True):
            assert_array_equal(one, other)
            assert one.dtype == other.dtype
    assert [one.name for one in tmp_path.iterdir()] == [file_name]


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"b": np.array(0.0)}, "w"),
        ({"w": np.zeros((1, 1))}, "b"),
        ({"w": np.zeros((1, 2)), "b": np.array(0.0)}, r"w: expected \(1, 1\), got \(1, 2\)"),
        ({"w": np.zeros((1, 1)), "b": np.zeros(1)}, r"b: expected \(\), got \(1,\)"),
        ({"w": np.array([[None]]), "b": np.array(0.0)}, "w"),
        ({"w": np.array([["1"]]), "b": np.array(0.0)}, "w"),
    ],
    ids=["no w", "no b", "shape of w", "shape of b", "pickled object", "text"],
)
def test_wrong_file(generated: Load, tmp_path: Path, arrays: Any, message: str) -> None:
    path = tmp_path / "wrong.npz"
    np.savez(path, **arrays)
    with pytest.raises(ValueError, match=rf"\b{message}(\W|$)"):
        generated("linear_regression").load_parameters(path)


@pytest.mark.parametrize("kind", ["text", "npy", "pickle", "cut", "empty"])
def test_no_parameter_file(generated: Load, tmp_path: Path, kind: str) -> None:
    module = generated("linear_regression")
    path = tmp_path / "wrong.npz"
    module.save_parameters(path, module.initial_parameters())
    with open(path, "r+b") as file:
        content = file.read()
        file.seek(0)
        file.truncate()
        if kind == "npy":
            np.save(file, np.zeros(3))
        else:
            other = {"text": b"w = 1\n", "cut": content[:-40], "pickle": pickle.dumps([1])}
            file.write(other.get(kind, b""))
    with pytest.raises(ValueError, match=r"wrong\.npz"):
        module.load_parameters(path)


def test_failed_save_keeps_the_old_file(generated: Load, tmp_path: Path) -> None:
    module = generated("linear_regression")
    path = tmp_path / "saved.npz"
    module.save_parameters(path, module.initial_parameters())
    old = path.read_bytes()
    with pytest.raises(ValueError, match=r"^w: expected \(1, 1\), got \(\)$"):
        module.save_parameters(path, module.Parameters(np.array(1.0), np.array(1.0)))
    assert path.read_bytes() == old
    assert [one.name for one in tmp_path.iterdir()] == ["saved.npz"]


# --- arguments -----------------------------------------------------------------------------------

PIXELS, DIGIT = np.zeros((10, 64), np.float32), np.zeros(10, int)
WRONG_INPUTS = [
    (np.zeros((32, 8, 8)), DIGIT, "pixels: expected (n, 64), got (32, 8, 8)"),
    (np.zeros((10, 63)), DIGIT, "pixels: expected (n, 64), got (10, 63)"),
    (np.zeros(64), DIGIT, "pixels: expected (n, 64), got (64,)"),
    (0.0, DIGIT, "pixels: expected (n, 64), got ()"),
    (PIXELS, np.zeros(9, int), "digit: expected (10,), got (9,)"),
    (PIXELS, np.zeros((10, 1), int), "digit: expected (10,), got (10, 1)"),
    (PIXELS, np.zeros(10), "digit: expected whole numbers, got float64"),
]


@pytest.mark.parametrize("function", ["loss", "gradients", "loss_and_gradients", "train"])
@pytest.mark.parametrize(("pixels", "digit", "message"), WRONG_INPUTS)
def test_wrong_inputs(
    generated: Load, function: str, pixels: Any, digit: Any, message: str
) -> None:
    module = generated("digits")
    with pytest.raises(ValueError) as error:  # noqa: PT011 (the whole message is compared)
        getattr(module, function)(module.initial_parameters(), pixels, digit)
    assert str(error.value) == message


def test_wrong_input_of_an_exported_function(generated: Load) -> None:
    module = generated("digits")
    with pytest.raises(ValueError, match=r"^pixels: expected \(n, 64\), got \(64,\)$"):
        module.probability(module.initial_parameters(), np.zeros(64))


def test_wrong_parameters(generated: Load) -> None:
    module = generated("digits")
    start = module.initial_parameters()
    with pytest.raises(ValueError, match=r"^b1: expected \(32,\), got \(31,\)$"):
        module.loss(start._replace(b1=np.zeros(31)), PIXELS, DIGIT)
    with pytest.raises(ValueError, match=r"^parameters: expected 4 arrays, got 3$"):
        module.loss(start[:3], PIXELS, DIGIT)


def test_lists_and_names_are_arguments_too(generated: Load) -> None:
    module = generated("linear_regression")
    start = module.initial_parameters()
    assert module.loss(start, [1, 2], [3, 5]) == 13.0
    assert module.loss(parameters=start, y_=[3, 5], x=[1, 2]) == 13.0
    assert_array_equal(module.y(start, [1, 2]), [[1.0, 2.0]])


# --- NIST's certified regressions ----------------------------------------------------------------


@dataclass(frozen=True)
class Regression:
    """The lines of a model that fit y, in units of the start; and NIST's parameters from them."""

    lines: str
    parameters: Callable[[Any], tuple[Any, ...]]
    scale: float


REGRESSIONS = {
    "Norris": Regression(
        "c = sf.Variable(0.0)\nslope = sf.Variable(0.0)\nfit = 300 * (c + slope * (x - 430) / 350)",
        lambda p: (300 * (p.c - p.slope * 430 / 350), 300 / 350 * p.slope),
        300.0,
    ),
    "Misra1a": Regression(
        "b1 = sf.Variable(0.5)\nb2 = sf.Variable(1.0)\n"
        "fit = 500 * b1 / b2 * (1 - sf.exp(-b2 * x * 0.0005))",
        lambda p: (500 * p.b1 / p.b2, 0.0005 * p.b2),
        20.0,
    ),
    "Chwirut2": Regression(
        "b1 = sf.Variable(1.0)\nb2 = sf.Variable(1.0)\nb3 = sf.Variable(1.0)\n"
        "fit = sf.exp(-0.15 * b1 * x) / (0.008 * b2 + 0.01 * b3 * x)",
        lambda p: (0.15 * p.b1, 0.008 * p.b2, 0.01 * p.b3),
        20.0,
    ),
    "Rat42": Regression(
        "b1 = sf.Variable(1.0)\nc = sf.Variable(2.5 - 0.07 * 43)\nb3 = sf.Variable(1.0)\n"
        "fit = 75 * b1 / (1 + sf.exp(c - 0.07 * b3 * (x - 43)))",
        lambda p: (75 * p.b1, p.c + 0.07 * 43 * p.b3, 0.07 * p.b3),
        20.0,
    ),
}


@pytest.mark.parametrize("name", REGRESSIONS)
def test_certified_parameters(name: str, compiled: Callable[[str], ModuleType]) -> None:
    """From NIST's second start (0 for the linear Norris), by plain gradient descent."""
    regression = REGRESSIONS[name]
    lines = (Path(__file__).parent / "data" / "strd" / f"{name}.dat").read_text().splitlines()
    column = 2 if "Start 2" in "".join(lines) else 0
    certified = [
        float(line.replace("=", " ").split()[1 + column])
        for line in lines
        if line.strip().lower().startswith("b") and len(line.split()) > 2
    ]
    y, x = np.array([line.split() for line in lines[60:] if line.strip()], float).T
    module = compiled(
        'import symflow as sf\nx = sf.placeholder(shape=("n",))\ny = sf.placeholder(shape=("n",))\n'
        f"{regression.lines}\n"
        f"loss = sf.reduce_mean(sf.square((fit - y) / {regression.scale}))\n"
        "rate = sf.train.backtracking_line_search()\n"
        "sf.train.GradientDescentOptimizer(rate).minimize(loss)\n"
    )
    result = module.train(module.initial_parameters(), x, y, steps=20000, tolerance=1e-8)
    assert result.reason == "tolerance"
    assert_allclose(regression.parameters(result.parameters), certified, rtol=1e-4)
