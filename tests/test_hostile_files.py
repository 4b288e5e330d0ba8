"""Files of strangers, through everything that reads: told in a line, and nothing is executed."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner
from hostile_files import MODEL, tried

from symflow.cli import main
from symflow.errors import SymflowError, printable
from symflow.fitting.matching import arrays, matched
from symflow.fitting.tables import table


def test_hostile_files_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, long: bool
) -> None:
    """700 files, each through the module itself and one command; the long test through all."""
    monkeypatch.chdir(tmp_path)
    found = tried(tmp_path, 2000 if long else 700, all_of_them=long)
    assert found.failures == ()
    assert found.files >= 700


def test_many_columns_take_no_quadratic_time(tmp_path: Path) -> None:
    """Twenty thousand took minutes; time is counted in what is asked of names."""

    class Name(str):
        compared = 0

        def __eq__(self, other: object) -> bool:
            Name.compared += 1
            return str.__eq__(self, other)

        __hash__ = str.__hash__

    count = 20000
    path = tmp_path / "wide.csv"
    header = ",".join(f"x_{at}" for at in range(count))
    path.write_text(f"{header},y\n" + ",".join(["1.5"] * count) + ",2\n")
    source = table(path)
    object.__setattr__(source, "names", tuple(map(Name, source.names)))
    matches = matched(source, {"x": ("n", count), "y": ("n",)}, {"y": "y"})
    assert arrays(source, matches, frozenset())["x"].shape == (1, count)
    assert Name.compared < 10 * count


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain", "plain"),
        ("\x1b[31m", "\\x1b[31m"),
        ("a\rb\nc\td", "a\\rb\\nc\\td"),
        ("\u202eabc", "\\u202eabc"),
        ("\ud800", "\\ud800"),
        ("\x00\x7f\x9b", "\\x00\\x7f\\x9b"),
        ("β·Σ — é 漢", "β·Σ — é 漢"),
        ("\u00a0\u2009", "\u00a0\u2009"),
        ("\u2066x\u2069\u200b\ufeff", "\\u2066x\\u2069\\u200b\\ufeff"),
        ("\U000e0041", "\\U000e0041"),
    ],
)
def test_what_a_terminal_would_obey_is_escaped(text: str, expected: str) -> None:
    assert printable(text) == expected


def test_errors_hold_nothing_that_a_terminal_would_obey() -> None:
    error = SymflowError("a\x1b[2J", hint="b\x1b[2J", excerpt=["c\x1b[2J"])
    for text in (str(error), error.printed, error.line):
        assert "\x1b" not in text
    assert str(error) == "a\\x1b[2J\n    c\\x1b[2J\n    hint: b\\x1b[2J"


@pytest.mark.parametrize(
    "command",
    [
        ["compile", "model.py", "--dump", "lower"],
        ["compile", "model.py"],
        ["check", "model.py"],
        ["explain", "model.py"],
        ["explain", "model.py", "--latex"],
        ["explain", "model.py", "--rewrites"],
    ],
    ids=" ".join,
)
def test_what_a_model_says_of_itself_is_escaped(
    command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("model.py").write_text(f'"""\x1b[2J\x1b]0;title\x07A model\u202e."""\n{MODEL}')
    result = CliRunner().invoke(main, command, prog_name="symflow")
    assert result.exit_code == 0, result.output
    assert not {"\x1b", "\x07", "\u202e"} & {*result.output}


@pytest.mark.parametrize(
    "text",
    ["\0", "(" * 5000, "x = " + "[" * 900, "\x1b[2J", "def", "'" * 3, "x = 1\n\0y = 2\n"],
    ids=["null", "deep", "nested", "escape", "cut", "quotes", "null later"],
)
@pytest.mark.parametrize("command", ["compile", "check", "explain", "train", "predict"])
def test_python_files_that_are_none(
    command: str, text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("model.py").write_text(text)
    result = CliRunner().invoke(main, [command, "model.py"], prog_name="symflow")
    assert result.exit_code == 1, result.output
    assert "\x1b" not in result.output
    assert "bug" not in result.output
