"""Training on a quadratic loss from moments: the ordinary way, only sooner, or the ordinary way."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import ROOT
from numpy.testing import assert_allclose, assert_array_equal
from styles import Styles, styles

HEAD = "import symflow as sf\n"
ARTICLE = ROOT / "examples" / "linear_regression.py"
ONE_FEATURE = (
    "x = sf.placeholder(sf.float64, ('n',))\ny = sf.placeholder(sf.float64, ('n',))\n"
    "w = sf.Variable(1.0)\nb = sf.Variable(0.0)\n"
    "loss = sf.reduce_mean(sf.square(w * x + b - y))\n"
    "sf.train.GradientDescentOptimizer(0.1).minimize(loss)\n"
)
SEVERAL_OUTPUTS = (
    "x = sf.placeholder(sf.float64, ('n', 8))\ny = sf.placeholder(sf.float64, ('n', 3))\n"
    "w = sf.Variable(sf.zeros((8, 3)))\nb = sf.Variable(sf.zeros(3))\n"
    "loss = sf.reduce_mean(sf.square(x @ w + b - y)) + 0.01 * sf.l2_loss(w)\n"
    "sf.train.GradientDescentOptimizer(0.1).minimize(loss)\n"
)

Make = Callable[[str], Styles]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """Both styles of a model's text, with blocks of four rows."""

    def compile_text(text: str) -> Styles:
        path = tmp_path / "model.py"
        path.write_text(HEAD + text, encoding="utf-8")
        both = styles(path)
        assert hasattr(both.fast, "_descended")
        assert not hasattr(both.plain, "_descended")
        return both

    return compile_text


def line(n: int, noise: float, offset: float = 0.0, seed: int = 0) -> tuple[Any, Any]:
    """A feature, and a line through it with some noise."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=n)
    return x + offset, 2.0 * x - 1.0 + noise * rng.normal(size=n)


def several(n: int, seed: int = 0) -> tuple[Any, Any]:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 8))
    return x, x @ rng.normal(size=(8, 3)) + 0.5 + 0.1 * rng.normal(size=(n, 3))


def agree(found: Any, wanted: Any, close: float = 1e-9) -> None:
    assert (found.steps, found.reason) == (wanted.steps, wanted.reason)
    none = 1e-16 * max(wanted.losses, default=0.0)  # what is left of a loss that rounding ends
    assert_allclose(found.losses, wanted.losses, rtol=close, atol=none)
    assert all(type(one) is float for one in found.losses)
    for one, other in zip(found.parameters, wanted.parameters, strict=True):
        assert type(one) is np.ndarray
        assert (one.dtype, one.shape) == (other.dtype, other.shape)
        assert_allclose(one, other, rtol=close, atol=close * np.max(np.abs(other)))


@pytest.fixture
def ways(monkeypatch: pytest.MonkeyPatch) -> Callable[[Any], list[str]]:
    """The ways that training of a module has gone, as it goes them."""

    def watched(made: Any) -> list[str]:
        taken: list[str] = []
        descended = made._descended

        def watching(*arguments: Any) -> Any:
            found = descended(*arguments)
            taken.append("given up" if found is None else "moments")
            return found

        monkeypatch.setattr(made, "_descended", watching)
        return taken

    return watched


# --- the same result -----------------------------------------------------------------------------


def test_the_article(linear_regression: Any, ways: Any) -> None:
    x, y, printed = linear_regression
    both = styles(ARTICLE, "float64")
    taken = ways(both.fast)
    p = both.fast.initial_parameters()
    found = both.fast.train(p, x, y, steps=20)
    assert_allclose(found.losses, printed["loss"], rtol=1e-12)
    agree(found, both.plain.train(p, x, y, steps=20), 1e-12)
    assert taken == ["moments"]


@pytest.mark.parametrize("n", [1, 2, 4, 5, 19])
@pytest.mark.parametrize("steps", [0, 1, 2, 3, 100])
def test_any_number_of_steps(make: Make, n: int, steps: int) -> None:
    both = make(ONE_FEATURE)
    p, (x, y) = both.fast.initial_parameters(), line(n, 0.1)
    agree(both.fast.train(p, x, y, steps=steps), both.plain.train(p, x, y, steps=steps))


@pytest.mark.parametrize("threads", [1, 3])
def test_several_outputs(make: Make, ways: Any, threads: int) -> None:
    both = make(SEVERAL_OUTPUTS)
    taken = ways(both.fast)
    p, (x, y) = both.fast.initial_parameters(), several(100)
    wanted = both.plain.train(p, x, y, steps=200)
    agree(both.fast.train(p, x, y, steps=200, threads=threads), wanted)
    assert taken == ["moments"]


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("n", [3, 4, 19])
def test_moments_of_rows_that_are_computed_from_others(make: Make, n: int, threads: int) -> None:
    """Rows lie along different axes, and share something that is computed before them."""
    both = make(
        "x = sf.placeholder(sf.float64, (3, 'n'))\ny = sf.placeholder(sf.float64, ('n',))\n"
        "width = sf.placeholder(sf.float64, (3, 1))\nw = sf.Variable(sf.zeros(3))\n"
        "b = sf.Variable(0.5)\nfeatures = sf.transpose(sf.sin(x / sf.exp(width)))\n"
        "loss = sf.reduce_mean(sf.square(features @ w + b - y))\n"
        "sf.train.GradientDescentOptimizer(0.1).minimize(loss)\n"
    )
    assert "_moment_sums" in both.fast.SOURCE
    rng = np.random.default_rng(n)
    x, y, width = rng.normal(size=(3, n)), rng.normal(size=n), rng.normal(size=(3, 1))
    data = {"x": x, "y": y, "width": width}
    p = both.fast.initial_parameters()
    wanted = both.plain.train(p, **data, steps=30)
    agree(both.fast.train(p, **data, steps=30, threads=threads), wanted, 1e-12)


def test_a_single_moment_that_takes_more_than_a_line(make: Make) -> None:
    feature = "sf.sin(a_feature_with_a_long_name) * sf.cos(a_feature_with_a_long_name)"
    both = make(
        "a_feature_with_a_long_name = sf.placeholder(sf.float64, ('n',))\n"
        "a_weight_with_a_long_name = sf.placeholder(sf.float64, ('n',))\nw = sf.Variable(3.0)\n"
        f"fit = a_weight_with_a_long_name * {feature}\n"
        "loss = sf.reduce_sum(sf.square(w * fit * sf.exp(a_weight_with_a_long_name)))\n"
        "sf.train.GradientDescentOptimizer(0.01).minimize(loss)\n"
    )
    x, _ = line(19, 0.1)
    p = both.fast.initial_parameters()
    agree(both.fast.train(p, x, x / 3, steps=20), both.plain.train(p, x, x / 3, steps=20))


def test_a_step_may_count_the_rows(make: Make) -> None:
    """What has as many entries as the data, and does not change."""
    both = make(
        "x = sf.placeholder(sf.float64, ('n',))\nw = sf.Variable([0.5])\nv = sf.Variable([2.0])\n"
        "loss = sf.l2_loss(sf.concat([w, x, x], axis=0)) + sf.l2_loss(x * v)\n"
        "sf.train.GradientDescentOptimizer(0.01).minimize(loss)\n"
    )
    (x, _), p = line(19, 0.1), both.fast.initial_parameters()
    agree(both.fast.train(p, x, steps=20), both.plain.train(p, x, steps=20))


@pytest.mark.parametrize("text", [ONE_FEATURE, SEVERAL_OUTPUTS])
def test_float32(make: Make, ways: Any, text: str) -> None:
    both = make(text.replace("float64", "float32"))
    taken = ways(both.fast)
    p = both.fast.initial_parameters(dtype=np.float32)
    x, y = line(100, 0.3) if text == ONE_FEATURE else several(100)
    agree(both.fast.train(p, x, y, steps=50), both.plain.train(p, x, y, steps=50), 1e-4)
    assert taken == ["moments"]


@pytest.mark.parametrize("text", [ONE_FEATURE, SEVERAL_OUTPUTS])
@pytest.mark.parametrize("tolerance", [1e3, 0.5, 1e-2, 1e-6])
def test_training_ends_where_the_gradient_is_small(
    make: Make, ways: Any, text: str, tolerance: float
) -> None:
    both = make(text)
    taken = ways(both.fast)
    p = both.fast.initial_parameters()
    x, y = line(50, 0.3) if text == ONE_FEATURE else several(100)
    how = {"steps": 1000, "tolerance": tolerance}
    found, wanted = (one.train(p, x, y, **how) for one in (both.fast, both.plain))
    agree(found, wanted)
    assert wanted.reason == "steps" or wanted.steps < 1000
    assert taken == ["moments"]


def test_a_rate_that_is_a_function(make: Make, ways: Any) -> None:
    both = make(SEVERAL_OUTPUTS)
    taken, asked = ways(both.fast), []

    def rate(step: int) -> float:
        asked.append(step)
        return 0.2 / (1 + step)

    p, (x, y) = both.fast.initial_parameters(), several(100)
    wanted = both.plain.train(p, x, y, steps=30, learning_rate=rate)
    asked.clear()
    agree(both.fast.train(p, x, y, steps=30, learning_rate=rate), wanted)
    assert asked == [*range(30)]
    assert taken == ["moments"]


# --- what is not finite --------------------------------------------------------------------------


@pytest.mark.parametrize("text", [ONE_FEATURE, SEVERAL_OUTPUTS])
@pytest.mark.parametrize("rate", [1e20, 1e100, 1e200])
def test_a_loss_without_end_is_told_in_the_same_words(make: Make, text: str, rate: float) -> None:
    both = make(text)
    p = both.fast.initial_parameters()
    x, y = line(50, 0.3) if text == ONE_FEATURE else several(100)
    said = []
    for made in (both.fast, both.plain):
        with np.errstate(all="ignore"), pytest.raises(FloatingPointError) as error:
            made.train(p, x, y, steps=100, learning_rate=rate)
        said.append(str(error.value))
    assert said[0] == said[1]


@pytest.mark.parametrize("text", [ONE_FEATURE, SEVERAL_OUTPUTS])
@pytest.mark.parametrize("wrong", [np.nan, np.inf, 1e200])
def test_data_that_is_not_finite_is_told_in_the_same_words(
    make: Make, text: str, wrong: float
) -> None:
    both = make(text)
    p = both.fast.initial_parameters()
    x, y = line(50, 0.3) if text == ONE_FEATURE else several(100)
    y[17] = wrong
    said = []
    for made in (both.fast, both.plain):
        with np.errstate(all="ignore"), pytest.raises(FloatingPointError) as error:
            made.train(p, x, y, steps=100)
        said.append(str(error.value))
    assert said[0] == said[1]


# --- digits --------------------------------------------------------------------------------------


@pytest.mark.parametrize("offset", [0.0, 1000.0])
@pytest.mark.parametrize("noise", [1.0, 1e-5])
def test_losses_keep_their_digits(make: Make, ways: Any, noise: float, offset: float) -> None:
    """A raw Gram matrix loses three digits to the noise, and all of them to the offset."""
    both = make(ONE_FEATURE)
    taken = ways(both.fast)
    x, y = line(200, noise, offset)
    rate, steps = (0.3, 200) if offset == 0 else (4e-7, 200)
    start = both.fast.initial_parameters()
    if offset:  # near the line, as it would take millions of steps to come there
        start = both.fast.Parameters(np.array(2.0), np.array(-2001.0 + 0.5))
    how = {"steps": steps, "learning_rate": rate}
    found, wanted = (one.train(start, x, y, **how) for one in (both.fast, both.plain))
    assert_allclose(found.losses, wanted.losses, rtol=1e-6)
    at_the_end = both.plain.loss(wanted.parameters, x, y)
    assert_allclose(both.plain.loss(found.parameters, x, y), at_the_end, rtol=1e-6)
    assert taken == ["moments"]


def test_a_line_without_noise_is_found_as_precisely(make: Make) -> None:
    both = make(ONE_FEATURE)
    x, y = line(200, 0.0)
    p = both.fast.initial_parameters()
    how = {"steps": 200, "learning_rate": 0.3}
    found, wanted = (one.train(p, x, y, **how) for one in (both.fast, both.plain))
    assert_allclose(found.losses, wanted.losses, rtol=1e-5, atol=1e-26)
    assert max(found.losses[-1], wanted.losses[-1]) < 1e-27


# --- the ordinary way ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "how", [{"on_step": lambda *_: None}, {"batch_size": 7, "seed": 3}, {"steps": 1}]
)
def test_what_wants_every_step_goes_the_ordinary_way(
    make: Make, ways: Any, how: dict[str, Any]
) -> None:
    both = make(SEVERAL_OUTPUTS)
    taken = ways(both.fast)
    p, (x, y) = both.fast.initial_parameters(), several(50)
    how = {"steps": 20} | how
    agree(both.fast.train(p, x, y, **how), both.plain.train(p, x, y, **how), 1e-11)
    assert taken == []


@pytest.mark.parametrize("text", [ONE_FEATURE, SEVERAL_OUTPUTS])
@pytest.mark.parametrize("off", [1e-3, 0.1, np.nan])
def test_moments_that_are_wrong_are_noticed(
    make: Make, ways: Any, monkeypatch: pytest.MonkeyPatch, text: str, off: float
) -> None:
    both = make(text)
    taken, moments = ways(both.fast), both.fast._moments
    wrong = lambda *data: tuple(one * (1 + off) for one in moments(*data))  # noqa: E731
    monkeypatch.setattr(both.fast, "_moments", wrong)
    p = both.fast.initial_parameters()
    x, y = line(50, 0.3) if text == ONE_FEATURE else several(50)
    start = [one.copy() for one in p]
    found = both.fast.train(p, x, y, steps=5)
    assert taken == ["moments" if np.isnan(off) else "given up"]  # every step is from the data
    agree(found, both.plain.train(p, x, y, steps=5), 1e-12)
    for one, before in zip(p, start, strict=True):
        assert_array_equal(one, before)


def test_a_model_without_such_a_loss_has_no_moments(tmp_path: Path) -> None:
    path = tmp_path / "model.py"
    path.write_text(HEAD + ONE_FEATURE.replace("square", "abs"))
    assert not hasattr(styles(path).fast, "_descended")
    path.write_text(HEAD + ONE_FEATURE)
    assert not hasattr(styles(path, without=["quadratic-loss"]).fast, "_descended")


# --- whose arrays they are -----------------------------------------------------------------------


@pytest.mark.parametrize("text", [ONE_FEATURE, SEVERAL_OUTPUTS])
def test_results_stay_what_they_were(make: Make, text: str) -> None:
    made = make(text).fast
    p = made.initial_parameters()
    x, y = line(50, 0.3) if text == ONE_FEATURE else several(50)
    given = [one.copy() for one in (*p, x, y)]
    first = made.train(p, x, y, steps=10)
    kept = [one.copy() for one in first.parameters]
    made.train(first.parameters, x, y, steps=10)
    made.gradients(p, x + 1, y)
    for one, before in zip((*first.parameters, *p, x, y), (*kept, *given), strict=True):
        assert_array_equal(one, before)
        assert one.flags.writeable
