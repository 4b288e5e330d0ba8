"""Two thousand models with mistakes: each compiles, or the message names a line of the model."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from broken_models import broken, complaint
from click.testing import CliRunner

from symflow.cli import COMMANDS, main

COUNT = 2000
AT_ONCE = 100


@pytest.mark.parametrize("first", range(0, COUNT, AT_ONCE))
def test_a_broken_model_is_told_what_is_wrong(first: int, tmp_path: Path) -> None:
    complaints = {
        seed: found
        for seed in range(first, first + AT_ONCE)
        if (found := complaint(broken(seed), tmp_path)) is not None
    }
    assert complaints == {}


FOUND = {
    "a logarithm of 0": "x = sf.Variable(0.5)\nloss = x + sf.relu(sf.log(x - x))\n",
    "a minimum with log(0)": (
        "x = sf.Variable(0.5)\nv = sf.sign(sf.hypot(x - x, x - x))\n"
        "loss = x + sf.minimum(sf.log(v), v) * x\n"
    ),
    "a number outside of a domain": "x = sf.Variable(0.5)\nloss = x * sf.square(sf.ndtri(-9))\n",
    "a number too large to write": "x = sf.Variable(0.5)\nloss = x * sf.sin(sf.sinh(2**63))\n",
    "a size found out by matmul": (
        "x = sf.placeholder(shape=(None, 3))\nw = sf.Variable([[1.0]])\n"
        "loss = sf.reduce_sum(x @ (x + w))\n"
    ),
    "a scalar turned around": "x = sf.Variable(0.5)\nz = sf.flip(x)\nloss = z * z\n",
}


@pytest.mark.parametrize("case", FOUND)
def test_found_by_broken_models(case: str, tmp_path: Path) -> None:
    """Models without a mistake that could not be compiled."""
    text = f"import symflow as sf\n{FOUND[case]}"
    assert complaint(text, tmp_path, whole=True) is None


ARGUMENTS = [
    *("compile", "check", "rules", "compil", "", "-", "--", "-h", "--helf", "--version=1"),
    *("model.py", "none.py", ".", "empty.py", "folder", "a\nb", "ü.py", "model.pyc"),
    *("-o", "--output", "out", "model.py/out", "--shape", "x=n", "x=", "=", "x=0", "x=n,n", "x=-1"),
    *("--dtype", "float32", "float16", "--check", "--dump", "lower", "--explain", "--without"),
    *("gram", "--style", "plain", "fast", "--seed", "1", "-1", "1e9", "--most", "0"),
    *("--data", "model.npz", "--save", "--resume", "--steps", "--html", "report.html", "--latex"),
    *("--at", "point.npz", "model.py", "--tolerance", "nan", "inf", "--", "%s", "{}", "'"),
    *("--validate", "--every-point"),
]


@pytest.mark.parametrize("seed", range(100))
def test_any_arguments(seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The command exits 0, 1 or 2 whatever it is given, and says why on stderr."""
    monkeypatch.chdir(tmp_path)
    text = "import symflow as sf\nw = sf.Variable(2.0)\nloss = sf.square(w)\n"
    Path("model.py").write_text(text)
    Path("empty.py").write_text("")
    Path("folder").mkdir()
    rng = random.Random(seed)
    given = [rng.choice([*COMMANDS, "compile", "x"]), "model.py"]
    given = given[: rng.choice([1, 2, 2])] + rng.choices(ARGUMENTS, k=rng.randint(0, 4))
    result = CliRunner().invoke(main, given)
    assert isinstance(result.exception, SystemExit | None), given
    assert result.exit_code in (0, 1, 2), (given, result.stderr)
    assert result.exit_code == 0 or result.stderr or result.stdout, given
    assert "Traceback" not in result.output
