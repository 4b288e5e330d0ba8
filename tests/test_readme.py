"""What README.md says is true: its model compiles to the lines it shows, its programs run."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from symflow.cli import main
from symflow.errors import SymflowError

README = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")
MODEL, GRADIENT, IN_PLACE, USE, TEST, ARTICLE = re.findall(
    r"```python\n(.*?)```", README, re.DOTALL
)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    Path("model.py").write_text(MODEL, encoding="utf-8")
    run = CliRunner().invoke(main, ["compile", "model.py"])
    assert run.output == "wrote generated/model.py\n"
    yield tmp_path
    for name in ("generated", "generated.model"):
        sys.modules.pop(name, None)


def test_the_model_has_twelve_lines_and_the_gradient_ten() -> None:
    assert MODEL.count("\n") == 12
    assert GRADIENT.count("\n") == 10


def test_the_gradient_is_what_the_model_compiles_to(folder: Path) -> None:
    assert IN_PLACE in (folder / "generated" / "model.py").read_text(encoding="utf-8")
    run = CliRunner().invoke(main, ["compile", "model.py", "--style", "plain", "-o", "plain"])
    assert run.exit_code == 0
    assert GRADIENT in (folder / "plain" / "model.py").read_text(encoding="utf-8")


def test_the_module_is_used_as_shown(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    exec(compile(USE, "README.md", "exec"), {})
    steps, reason, first, last = capsys.readouterr().out.splitlines()[0].split()
    assert (steps, reason) == ("500", "steps")
    assert float(last) < 0.3 * float(first)


def test_the_check_looks_as_shown(folder: Path) -> None:
    run = CliRunner().invoke(main, ["check", "generated/model.py"])
    assert run.exit_code == 0
    shown = re.findall(r"^parameter .*$", README, re.MULTILINE)
    assert run.output.splitlines()[0] == shown[0]


def test_the_test_is_one(folder: Path) -> None:
    namespace: dict[str, object] = {}
    exec(compile(TEST, "README.md", "exec"), namespace)
    assert TEST.count("\n") == 5
    namespace["test_gradients"]()  # type: ignore[operator]
    Path("model.py").write_text("x = 1\n", encoding="utf-8")
    with pytest.raises(SymflowError, match="without gradients"):
        namespace["test_gradients"]()  # type: ignore[operator]


def test_the_articles_program_runs(capsys: pytest.CaptureFixture[str]) -> None:
    exec(compile(ARTICLE, "README.md", "exec"), {})
    losses = [float(line.rpartition(" ")[2]) for line in capsys.readouterr().out.splitlines()]
    assert len(losses) == 20
    assert losses[-1] < losses[0]


def test_the_mistake_is_told_as_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("wrong.py").write_text(
        'import symflow as sf\n\nx = sf.placeholder(shape=("n", 784))\n'
        "w = sf.Variable(sf.zeros((512, 10)))\nlogits = sf.matmul(x, w)\n",
        encoding="utf-8",
    )
    run = CliRunner().invoke(main, ["compile", "wrong.py"])
    assert run.exit_code == 1
    assert run.stderr.strip() in README
