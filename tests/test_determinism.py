"""The same model gives the same bytes: on every hash seed, from every folder, under other names."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from datetime import date
from pathlib import Path

import pytest
from conftest import EXAMPLES, ROOT

from symflow.files import compile_files

COMPILES = """\
import hashlib, sys
from pathlib import Path
from symflow.files import compile_files

digest = hashlib.sha256()
for name in sys.argv[2:]:
    for path, content in compile_files(Path(sys.argv[1], name + ".py"), Path(), {}, None).items():
        digest.update(b"%s %r " % (path.name.encode(), content))
print(digest.hexdigest())
"""


def compile_all(folder: Path, cwd: Path, seed: int) -> str:
    """A hash of everything that the examples in a folder compile to, in a process of its own."""
    environment = {**os.environ, "PYTHONHASHSEED": str(seed)}
    environment["PYTHONPATH"] = str(ROOT)
    command = [sys.executable, "-c", COMPILES, folder, *EXAMPLES]
    return subprocess.run(
        command, cwd=cwd, env=environment, capture_output=True, text=True, check=True
    ).stdout


def module_text(model: Path) -> str:
    content = compile_files(model, Path(), {}, None)[Path(model.name)]
    assert content is not None
    return content.decode()


def test_hash_seeds_and_folders(tmp_path: Path) -> None:
    elsewhere = tmp_path / "some where" / "ünïcode"
    shutil.copytree(ROOT / "examples", elsewhere)
    found = {
        compile_all(ROOT / "examples", ROOT, 0),
        compile_all(ROOT / "examples", ROOT, 1),
        compile_all(Path("examples"), ROOT, 2),
        compile_all(Path(), ROOT / "examples", 3),
        compile_all(elsewhere, tmp_path, 4),
        compile_all(Path("..", "some where", "ünïcode"), elsewhere.parent, 5),
    }
    assert len(found) == 1


def test_order_of_compilation() -> None:
    """What was compiled before, in the same process, leaves no trace."""
    texts = {name: module_text(ROOT / "examples" / f"{name}.py") for name in reversed(EXAMPLES)}
    for name in EXAMPLES:
        assert module_text(ROOT / "examples" / f"{name}.py") == texts[name]


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("digits", "w1", "q1"),
        ("digits", "w2", "a7"),
        ("digits", "hidden", "zebras"),
        ("linear_regression", "w", "a"),
        ("linear_regression", "b", "z"),
        ("logistic_regression", "w", "k"),
        ("mlp_regression", "b1", "z9"),
        ("mlp_regression", "w2", "A2"),
        ("rosenbrock", "x", "z"),
        ("rosenbrock", "y", "a"),
    ],
)
def test_renaming_changes_only_the_name(tmp_path: Path, name: str, old: str, new: str) -> None:
    whole_word = rf"(?<![a-zA-Z0-9])(?<!, \"){old}(?![a-zA-Z0-9])"  # "w" is a mode of files too
    original = ROOT / "examples" / f"{name}.py"
    renamed = tmp_path / f"{name}.py"
    renamed.write_text(re.sub(whole_word, new, original.read_text(encoding="utf-8")), "utf-8")
    assert module_text(renamed) == re.sub(whole_word, new, module_text(original))


def test_output_names_no_place_and_no_time(example: str, tmp_path: Path) -> None:
    model = tmp_path / f"{example}.py"
    shutil.copy(ROOT / "examples" / model.name, model)
    text = module_text(model)
    for place in (tmp_path, ROOT, Path.home(), Path(sys.prefix)):
        assert str(place) not in text
    assert not re.search(r"""["' ](/|[A-Z]:\\)\w""", text)
    assert str(date.today().year) not in text
    assert not re.search(r"\d{1,4}[-/]\d{1,2}[-/]\d{1,4}|[012]\d:[0-5]\d", text)
