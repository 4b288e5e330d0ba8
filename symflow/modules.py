"""Generated modules in memory: as text that is imported when it is needed, and from files."""

from __future__ import annotations

import ast
import importlib.util
import tempfile
import traceback
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import Any

from symflow.archives import named_in
from symflow.compilation import Compilation
from symflow.emission import digest, emit
from symflow.errors import SymflowError
from symflow.heads import Head, head_of
from symflow.invocation import Invocation, invocation
from symflow.reading import text_of


@dataclass(frozen=True)
class Generated:
    """A generated module as text, and the arrays that stand beside it. It can be pickled.

    beside  the file of arrays beside the module, if there is one: its name and its bytes
    """

    name: str
    text: str = field(repr=False)
    beside: Mapping[str, bytes] = field(default_factory=dict, repr=False)

    @staticmethod
    def compiled(run: Compilation) -> Generated:
        """The module that a run of the compiler makes."""
        source = emit(run)
        return Generated(run.model.stem, source.text, source.beside)

    @staticmethod
    def read(path: Path, name: str | None = None) -> Generated:
        """A module from its file, and from the one beside it."""
        text = text_of(path)
        file = named_in(text)
        beside = {} if file is None else {file: path.with_name(file).read_bytes()}
        return Generated(name or path.stem, text, beside)

    @cached_property
    def module(self) -> ModuleType:
        """The module, imported when it is first asked for."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / f"{self.name.rpartition('.')[2]}.py"
            for name, content in {**self.beside, path.name: self.text.encode()}.items():
                (Path(folder) / name).write_bytes(content)
            return imported(path)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "module"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)


def parsed(path: Path) -> ast.Module:
    """A Python file as Python reads it."""
    try:
        return ast.parse(text_of(path))
    except SyntaxError as error:
        raise SymflowError(f"{path}:{error.lineno or 1}: SyntaxError: {error.msg}") from None
    except (ValueError, RecursionError, MemoryError) as error:
        raise SymflowError(f"{path}: {error or 'nested too deeply'}") from None


def made_by(module: Path | ModuleType) -> tuple[Head, Invocation]:
    """What a module says of the command that made it; an error where it does not say it."""
    if isinstance(module, ModuleType):
        name, documented = module.__name__, module.__doc__
    else:
        name, documented = str(module), ast.get_docstring(parsed(module))
    hint = "its docstring says of which model it is, and how to compile it: compile it again"
    head = head_of(documented)
    if head is None:
        raise SymflowError(f"{name}: its head, as symflow writes it, is missing", hint=hint)
    try:
        return head, invocation(head.command)
    except ValueError as error:
        told = f"{name}: its head has no command that it was compiled by: {error}"
        raise SymflowError(told, hint=hint) from None


def graph_of(run: Compilation) -> str:
    """The hash that the head of a run's module has."""
    return digest(run.program(), run.initial)


def is_model(tree: ast.Module) -> bool:
    """Whether a file is a model, and no generated module: whether it imports symflow."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import) and any(one.name == "symflow" for one in node.names):
            return True
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "symflow":
            return True
    return False


def imported(path: Path) -> ModuleType:
    """A module from its file, under no name that others could import."""
    text_of(path)  # which tells of a file that cannot be read
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise SymflowError(f"{path}: no Python module")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        hint = "pip install scipy" if getattr(error, "name", None) == "scipy" else None
        frames = traceback.extract_tb(error.__traceback__)
        lines = [one.lineno for one in frames if one.filename == spec.origin and one.lineno]
        at = f":{lines[-1]}" if lines else ""
        told = f"{type(error).__name__}: {error}".removesuffix(": ")
        raise SymflowError(f"{path}{at}: {told}", hint=hint) from None
    return module
