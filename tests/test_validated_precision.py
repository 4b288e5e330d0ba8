"""Validation in single precision: nothing that is right is told, nor what overflows in any code."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

from symflow.cli import main
from symflow.errors import SymflowError
from symflow.testing import validate

HEAD = "import symflow as sf\n"
LINE = HEAD + 'x = sf.placeholder(shape=("n", 3), name="x")\nw = sf.Variable(1.0)\n'

MODEL = (
    LINE
    + """\
v = sf.Variable(sf.ones((3, 2)))
hidden = sf.tanh(x @ v)
prediction = hidden * w
loss = sf.reduce_mean(sf.square(prediction))
"""
)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("model.py").write_text(MODEL)
    return tmp_path


def run(*arguments: Any) -> Result:
    return CliRunner().invoke(main, [str(one) for one in arguments], prog_name="symflow")


@pytest.mark.parametrize(
    "loss",
    [
        "sf.erfcx(x) * w",  # exp(x²) from x = -10 on
        "sf.exp(sf.square(x) * w)",
        "sf.square(sf.exp(2 * x * w))",
        "sf.exp(3 * sf.exp(x) * w)",
        "sf.cosh(4 * x) * w",
        "sf.square(sf.pow(x * w, 16))",
    ],
)
def test_what_is_no_number_in_single_precision(loss: str, tmp_path: Path) -> None:
    """Data far from zero lead out of its range, which ends at 3.4e38."""
    (tmp_path / "model.py").write_text(f"{LINE}loss = sf.reduce_sum({loss})\n")
    report = validate(tmp_path / "model.py")
    assert report.ok, str(report)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("style", ["fast", "plain"])
def test_a_module_that_holds_its_parameters(dtype: str, style: str, here: Path) -> None:
    """It computes in their precision, whatever that of its inputs is."""
    random = np.random.default_rng(0)
    np.savez("held.npz", w=np.array(0.3, dtype), v=random.normal(size=(3, 2)).astype(dtype))
    options = ("--only", "prediction", "--parameters", "held.npz", "--style", style)
    result = run("compile", "model.py", *options, "--validate")
    assert result.exit_code == 0, result.output
    assert ("50 digits" in result.output) == (dtype == "float32")
    assert result.output.endswith("wrote generated/model.py\n")


# --- what is given to `symflow check` -------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("check", "model.py", "model.py"), "model.py is a model too"),
        (("check", "model.py", "none.py"), "none.py: No such file or directory\n"),
        (("check", "model.py", "--seed", "-1"), "-1 is not in the range x>=0"),
        (("check", "text.py"), "text.py:1: SyntaxError: "),
        (("compile", "."), ".: is a folder\n"),
        (
            ("compile", "\u6a21\u578b.py"),
            "cannot be the name of a generated module\n    hint: use ",
        ),
        (("train", "model.py", "--learning-rate", "nan"), "nan is not finite"),
        (("train", "model.py", "--tolerance", "inf"), "inf is not finite"),
    ],
)
def test_mistakes(arguments: tuple[str, ...], told: str, here: Path) -> None:
    Path("text.py").write_text("def f(:\n")
    result = run(*arguments)
    assert result.exit_code in (1, 2), result.output
    assert told in result.output


def test_a_point_of_text(here: Path) -> None:
    with pytest.raises(SymflowError, match=r"^v: no array of numbers$"):
        validate("model.py", at={"v": "much"})
    with pytest.raises(SymflowError, match=r"^w: no array of numbers$"):
        validate("model.py", at={"w": [[1.0], [1.0, 2.0]]})


def test_a_module_that_is_not_there(here: Path) -> None:
    with pytest.raises(SymflowError, match=r"^none.py: No such file or directory$"):
        validate("model.py", "none.py")
