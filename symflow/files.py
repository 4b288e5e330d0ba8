"""Models in, modules out: compile a file, and write what comes of it whole or not at all."""

from __future__ import annotations

import contextlib
import gc
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import symflow.writing as writing
from symflow.archives import is_written
from symflow.compilation import Compilation, Style
from symflow.emission import emit
from symflow.errors import SymflowError
from symflow.model import load
from symflow.shapes import Shape
from symflow.shipping import Shipping
from symflow.source import is_identifier
from symflow.writing import Files

_IMPORTS_SYMFLOW = re.compile(rb"^\s*(import|from) symflow\b", re.MULTILINE)


def compile_files(
    model: Path,
    output: Path,
    shapes: Mapping[str, Shape],
    dtype: str | None,
    without: Sequence[str] = (),
    style: Style = "fast",
    ships: Shipping | None = None,
) -> Files:
    """The module of a model, and the arrays that stand beside it if there are any.

    without  names of rules that are left out; see `symflow rules`
    style    "fast", or "plain" to be read
    ships    which functions, with which parameters, and what the module says of itself
    """
    with no_collection():
        return module_files(compilation(model, shapes, dtype, without, style, ships), output)


def module_files(run: Compilation, output: Path) -> Files:
    """The module of a run of the compiler, and the arrays that stand beside it."""
    source = emit(run)
    files = {output / name: content for name, content in source.beside.items()}
    return {**files, output / f"{run.model.stem}.py": source.text.encode()}


@contextlib.contextmanager
def no_collection() -> Iterator[None]:
    """Without the search for cycles: nearly all that the compiler makes is kept until the end,
    and going through it again and again takes a seventh of the time.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def compilation(
    model: Path,
    shapes: Mapping[str, Shape],
    dtype: str | None = None,
    without: Sequence[str] = (),
    style: Style = "fast",
    ships: Shipping | None = None,
) -> Compilation:
    if not is_identifier(model.stem):
        if model.is_dir():
            raise SymflowError(f"{model}: is a folder")
        told = f"{model}: {model.stem!r} cannot be the name of a generated module"
        raise SymflowError(told, hint="use letters a to z, digits and _ only, and no digit first")
    return Compilation(load(model), shapes, dtype, without, style, ships)


def is_current(path: Path, content: bytes) -> bool:
    """Whether a file holds what it is to hold."""
    try:
        return path.read_bytes() == content
    except FileNotFoundError:
        return False
    except OSError as error:
        raise SymflowError(f"{path}: {error.strerror or error}") from None


def write(files: Files) -> None:
    """Write modules and their arrays; then arrays that no module there names any more are removed.

    Arrays stand before the module that names them: wherever this is ended, a module that is found
    there finds its own.
    """
    writing.write(files)
    for folder in dict.fromkeys(path.parent for path in files):
        for path in _left_over(folder, [path.stem for path in files if path.suffix == ".py"]):
            path.unlink(missing_ok=True)


def check_no_model(path: Path) -> None:
    """Raise SymflowError where a module would be written over a model: another one than its own."""
    if path.is_file() and _IMPORTS_SYMFLOW.search(path.read_bytes()):
        told = f"{path}: there is a model already, which a module would be written over"
        raise SymflowError(told, hint="-o names another folder")


def _left_over(folder: Path, stems: Sequence[str]) -> list[Path]:
    """Arrays that symflow wrote for modules of these names, and that no module names."""
    found = [path for path in folder.glob("*.npz") if is_written(path, stems)]
    modules = [path.read_bytes() for path in folder.glob("*.py") if found and path.is_file()]
    return [path for path in found if not any(path.name.encode() in text for text in modules)]
