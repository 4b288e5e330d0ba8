"""`python -O` leaves assertions out: nothing that the compiler does may stand in one."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import EXAMPLES, ROOT

import symflow

FILES = sorted(Path(symflow.__file__).parent.rglob("*.py"))
BUILTIN = frozenset(
    {"isinstance", "len", "type", "set", "all", "any", "range", "tuple", "callable"}
)
PURE = BUILTIN | {"slot", "slots_of"}
"""What an assertion may call."""


def works(assertion: ast.Assert) -> bool:
    """Whether an assertion may do more than look: it calls what may, or binds a name."""
    called = [one.func for one in ast.walk(assertion.test) if isinstance(one, ast.Call)]
    asks = all(isinstance(one, ast.Name) and one.id in PURE for one in called)
    binds = any(isinstance(one, ast.NamedExpr) for one in ast.walk(assertion.test))
    return binds or not asks


def test_assertions_only_look() -> None:
    found = [
        f"{path.name}:{node.lineno}: {ast.unparse(node)}"
        for path in FILES
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Assert) and works(node)
    ]
    assert found == []


def test_work_in_an_assertion_is_found() -> None:
    for text in ("assert run()", "assert x.pop() > 0", "assert (y := x)", "assert f(slot(1))"):
        (statement,) = ast.parse(text).body
        assert isinstance(statement, ast.Assert)
        assert works(statement)


COMPILE_ALL = """\
import pathlib, sys
import symflow as sf
from symflow.files import compile_files

for path in map(pathlib.Path, sys.argv[2:]):
    for style in ("fast", "plain"):
        with sf.Graph().as_default():
            files = compile_files(path, pathlib.Path(sys.argv[1]) / style, {}, None, style=style)
        for name, content in files.items():
            if content is not None:
                name.parent.mkdir(parents=True, exist_ok=True)
                name.write_bytes(content)
"""


@pytest.mark.parametrize("flag", ["-O", "-OO"])
def test_the_same_bytes(flag: str, tmp_path: Path) -> None:
    names = [*EXAMPLES]
    paths = [str(ROOT / "examples" / f"{name}.py") for name in names]
    command = [sys.executable, flag, "-c", COMPILE_ALL, str(tmp_path), *paths]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    subprocess.run(command, check=True, env=environment, cwd=ROOT / "examples")
    for name in names:
        for style, folder in (("fast", ""), ("plain", "plain")):
            kept = ROOT / "generated" / folder / f"{name}.py"
            if kept.exists():
                made = (tmp_path / style / f"{name}.py").read_bytes()
                assert made == kept.read_bytes(), f"{style} {name}"
