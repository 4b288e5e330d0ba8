"""Pictures of a run: what is drawn, from which numbers, and that they are the same every time."""

from __future__ import annotations

import struct
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from conftest import DATA, ROOT
from numpy.testing import assert_allclose, assert_array_equal

from symflow.cli import main
from symflow.fitting.checkpoints import Checkpoint, load
from symflow.fitting.modules import trainable
from symflow.fitting.pictures import check_drawable, figure
from symflow.fitting.run import Plan

pytest.importorskip("matplotlib")

LINE = ROOT / "examples" / "linear_regression.py"
LINE_DATA = DATA / "linear_regression.csv"
ONE = """\
import symflow as sf
w = sf.Variable(-1.5)
loss = w**4 - 2 * w**2 + 0.3 * w + 3
sf.train.GradientDescentOptimizer(0.02).minimize(loss)
"""


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def train(*arguments: Any) -> None:
    result = CliRunner().invoke(main, ["train", *map(str, arguments)])
    assert result.exit_code == 0, result.output


def drawn(model: Path, data: dict[str, Any], *arguments: Any) -> tuple[Any, Checkpoint]:
    """The figure of a run, and the run."""
    train(model, *arguments, "--save", "run.npz")
    module = trainable(model, {})
    run = load(Path("run.npz"), module)
    return figure(Plan(module, run.record, data, None, None, None), run), run


def size(path: str) -> tuple[int, int]:
    """Of a .png file."""
    content = Path(path).read_bytes()
    assert content[:8] == b"\x89PNG\r\n\x1a\n"
    width, height = struct.unpack(">II", content[16:24])
    return width, height


def test_the_article() -> None:
    x, y = np.loadtxt(LINE_DATA, delimiter=",", skiprows=1).T
    found, run = drawn(LINE, {"x": x, "y_": y}, "--data", LINE_DATA, "--steps", 20)
    losses, fit, descent = found.axes
    assert [one.get_title("left") for one in found.axes[:2]] == ["Loss", "Data and fit"]
    assert_array_equal(losses.lines[0].get_ydata(), run.history.losses)
    assert losses.get_yscale() == "linear"
    points, line = fit.lines
    assert_array_equal(points.get_xdata(), x)
    assert_array_equal(points.get_ydata(), y)
    w, b = run.parameters.w.item(), run.parameters.b.item()
    assert_allclose(line.get_ydata(), w * line.get_xdata() + b)
    assert (fit.get_xlabel(), fit.get_ylabel()) == ("x", "y_")
    assert (descent.get_xlabel(), descent.get_ylabel()) == ("w", "b")
    path, start, end = descent.lines
    assert len(path.get_xdata()) == 21
    assert_array_equal(np.ravel(start.get_data()), [1.0, 0.0])
    assert_array_equal(np.ravel(end.get_data()), [w, b])
    low, high = descent.get_xlim()
    assert low < 1.0 < w < high
    assert descent.collections


def test_one_number() -> None:
    Path("one.py").write_text(ONE)
    found, run = drawn(Path("one.py"), {}, "--steps", 30)
    losses, descent = found.axes
    assert len(losses.lines[0].get_ydata()) == 30
    curve, path, *_ = descent.lines
    w = curve.get_xdata()
    assert_allclose(curve.get_ydata(), w**4 - 2 * w**2 + 0.3 * w + 3)
    assert_allclose(path.get_xdata(), [*np.ravel(run.history.path), run.parameters.w])
    assert_allclose(path.get_ydata()[:30], run.history.losses)


def test_mini_batches_and_rows_held_out() -> None:
    rows = np.loadtxt(DATA / "digits.csv.gz", delimiter=",")
    data = {"pixels": rows[:, :-1] / 16, "digit": rows[:, -1].astype(int)}
    np.savez("digits.npz", **data)
    how = ["--data", "digits.npz", "--steps", 80, "--batch-size", 100, "--validation", 0.2]
    found, run = drawn(ROOT / "generated" / "digits.py", data, *how)
    (losses,) = found.axes
    each, means, held = losses.lines
    assert_array_equal(each.get_ydata(), run.history.losses)
    assert_allclose(means.get_ydata()[0], np.mean(run.history.losses[:17]))
    assert_array_equal(held.get_ydata(), list(run.history.validation.values()))
    labels = [one.get_text() for one in losses.get_legend().get_texts()]
    assert labels == ["mini-batches", "mean per pass", "held out"]


def test_far_apart_losses_are_on_a_logarithmic_scale() -> None:
    found, _ = drawn(ROOT / "examples" / "rosenbrock.py", {}, "--steps", 100)
    assert found.axes[0].get_yscale() == "log"


def test_a_column_may_be_a_matrix() -> None:
    Path("model.py").write_text(
        "import symflow as sf\n"
        "x = sf.placeholder(shape=('n', 1))\ny = sf.placeholder(shape=('n', 1))\n"
        "w = sf.Variable(sf.glorot_uniform((1, 4)))\nv = sf.Variable(sf.ones((4, 1)))\n"
        "prediction = sf.tanh(x @ w) @ v\n"
        "loss = sf.reduce_mean(sf.square(prediction - y))\n"
        "sf.train.AdamOptimizer(0.05).minimize(loss)\n"
    )
    x = np.linspace(-1, 1, 30)[:, None]
    np.savez("data.npz", x=x, y=np.sin(3 * x))
    found, _ = drawn(Path("model.py"), dict(np.load("data.npz")), "--data", "data.npz")
    assert [one.get_title("left") for one in found.axes] == ["Loss", "Data and fit"]
    assert len(found.axes[1].lines[1].get_ydata()) == 400


@pytest.mark.parametrize("kind", ["png", "svg", "pdf"])
def test_the_same_bytes(kind: str) -> None:
    for name in ("one", "two"):
        train(LINE, "--data", LINE_DATA, "--steps", 20, "--plot", f"{name}.{kind}")
    assert Path(f"one.{kind}").read_bytes() == Path(f"two.{kind}").read_bytes()


def test_how_large_a_picture_is() -> None:
    train(LINE, "--data", LINE_DATA, "--steps", 20, "--plot", "fit.png")
    assert size("fit.png") == (2073, 561)


def test_mistakes_are_told_before_training(monkeypatch: pytest.MonkeyPatch) -> None:
    how = ["train", str(LINE), "--data", str(LINE_DATA), "--plot"]
    result = CliRunner().invoke(main, [*how, "fit.jpeg2"])
    assert result.exit_code == 1
    assert result.output == "symflow: --plot fit.jpeg2: a picture is .png, .svg, .pdf\n"
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    result = CliRunner().invoke(main, [*how, "fit.png"])
    assert result.output.endswith("hint: pip install 'symflow[plot]'\n")
    assert result.output.count("\n") == 1
    monkeypatch.undo()
    check_drawable(Path("fit.png"))
