"""A path → a module with its text: a generated one, or one that a model compiles to in memory."""

from __future__ import annotations

import ast
import importlib.util
import tempfile
from pathlib import Path
from types import ModuleType

from symflow.compilation import Compilation
from symflow.emission import emit
from symflow.errors import SymflowError
from symflow.files import write


def text_of(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise SymflowError(f"{path}: {error.strerror or error}") from None
    except UnicodeDecodeError as error:
        raise SymflowError(f"{path}: {error}") from None


def tree_of(path: Path, text: str) -> ast.Module:
    try:
        return ast.parse(text)
    except SyntaxError as error:
        raise SymflowError(f"{path}: {error}") from None


def is_model(tree: ast.Module) -> bool:
    """Whether a file imports symflow, as models do and generated modules do not."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import) and any(one.name == "symflow" for one in node.names):
            return True
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "symflow":
            return True
    return False


def in_memory(run: Compilation) -> tuple[ModuleType, str]:
    """The module that a model compiles to, from a folder that goes away, and its text."""
    source = emit(run)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / run.model.source
        write({path.with_suffix(".npz"): source.archive(), path: source.text.encode()})
        return imported(path), source.text


def imported(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise SymflowError(f"{path}: no Python module")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        hint = "; hint: pip install scipy" if getattr(error, "name", None) == "scipy" else ""
        raise SymflowError(f"{path}: {type(error).__name__}: {error}{hint}") from None
    return module
