"""Beside the command line: the hook for pre-commit, and completion in shells."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT
from test_cli import LINEAR

from symflow.cli import COMMANDS

# --- pre-commit ----------------------------------------------------------------------------------


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with two models in git, and the hook on them, without a package index.

    pre-commit installs symflow for a user; here the hook runs the one that is tested.
    """
    hooks, project, commands = (tmp_path / name for name in ("hooks", "project", "bin"))
    for folder in (hooks, project / "models", commands):
        folder.mkdir(parents=True)
    shutil.copy(ROOT / ".pre-commit-hooks.yaml", hooks)
    (commands / "symflow").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m symflow "$@"\n')
    (commands / "symflow").chmod(0o755)
    path = f"{commands}{os.pathsep}{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    for name, value in {
        "PATH": path,
        "PYTHONPATH": str(ROOT),
        "PRE_COMMIT_HOME": str(tmp_path / "home"),
        "GIT_CONFIG_GLOBAL": os.devnull,
        **{
            f"GIT_{who}_{what}": "a"
            for who in ("AUTHOR", "COMMITTER")
            for what in ("NAME", "EMAIL")
        },
    }.items():
        monkeypatch.setenv(name, value)
    for name in ("GIT_DIR", "GIT_INDEX_FILE", "GIT_WORK_TREE"):
        monkeypatch.delenv(name, raising=False)
    for command in (("init", "-q"), ("add", "."), ("commit", "-qm", "hooks")):
        git(hooks, *command)
    git(project, "init", "-q")
    (project / "models" / "line.py").write_text(LINEAR)
    (project / "models" / "steeper.py").write_text(LINEAR.replace("0.5", "0.75"))
    (project / "other.py").write_text("no model\n")
    (project / ".pre-commit-config.yaml").write_text(
        f"repos:\n  - repo: {hooks}\n    rev: {git(hooks, 'rev-parse', 'HEAD')}\n    hooks:\n"
        "      - id: symflow-compile-check\n        files: ^models/\n        args: [-o, src]\n"
        "        language: system\n"
    )
    git(project, "add", ".")
    monkeypatch.chdir(project)
    return project


def git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def hook() -> Any:
    command = [sys.executable, "-m", "pre_commit", "run", "--all-files"]
    return subprocess.run(command, capture_output=True, text=True)


def test_the_hook_passes_where_modules_are_current(repository: Path) -> None:
    missing = hook()
    assert missing.returncode == 1, missing.stdout + missing.stderr
    assert f"symflow: {Path('src') / 'line.py'} is missing\n" in missing.stdout
    assert f"symflow: {Path('src') / 'steeper.py'} is missing\n" in missing.stdout
    for model in ("line", "steeper"):
        subprocess.run(["symflow", "compile", f"models/{model}.py", "-o", "src"], check=True)
    passed = hook()
    assert (passed.returncode, passed.stdout.count("Passed")) == (0, 1), passed.stdout
    (repository / "models" / "line.py").write_text(LINEAR.replace("0.5", "0.25"))
    stale = hook()
    assert stale.returncode == 1
    assert f"symflow: {Path('src') / 'line.py'} is not what the model compiles to" in stale.stdout
    assert "steeper" not in stale.stdout


def test_the_hook_names_the_line_of_a_mistake(repository: Path) -> None:
    (repository / "models" / "line.py").write_text(LINEAR.replace("sf.square", "sf.sqare"))
    failed = hook()
    assert failed.returncode == 1
    assert "symflow: line.py:8: " in failed.stdout
    assert "Traceback" not in failed.stdout


def test_the_hook_waits_to_be_told_which_files_are_models(repository: Path) -> None:
    config = repository / ".pre-commit-config.yaml"
    config.write_text(config.read_text().replace("        files: ^models/\n", ""))
    skipped = hook()
    assert skipped.returncode == 0
    assert "no files to check" in skipped.stdout


# --- completion ----------------------------------------------------------------------------------


def completed(shell: str, step: str, **words: str) -> str:
    """What symflow prints where the variable asks for completion."""
    code = "from symflow.cli import main; main(prog_name='symflow')"
    environment = {**os.environ, "_SYMFLOW_COMPLETE": f"{shell}_{step}", **words}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, cwd=ROOT, capture_output=True, text=True
    )
    return done.stdout


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_there_is_a_script_for_each_shell(shell: str) -> None:
    script = completed(shell, "source")
    assert f"_SYMFLOW_COMPLETE={shell}_complete" in script
    if shutil.which(shell):
        checked = subprocess.run([shell, "-n"], input=script, capture_output=True, text=True)
        assert (checked.returncode, checked.stderr) == (0, "")


def test_commands_and_options_are_completed() -> None:
    commands = completed("bash", "complete", COMP_WORDS="symflow ", COMP_CWORD="1")
    assert [line.removeprefix("plain,") for line in commands.split()] == list(COMMANDS)
    options = completed("bash", "complete", COMP_WORDS="symflow compile --ch", COMP_CWORD="2")
    assert options.strip() == "plain,--check"
    styles = completed("bash", "complete", COMP_WORDS="symflow compile --style p", COMP_CWORD="3")
    assert styles.strip() == "plain,plain"
    models = completed("bash", "complete", COMP_WORDS="symflow compile ex", COMP_CWORD="2")
    assert models.strip() == "file,ex"
