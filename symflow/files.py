"""Models in, modules out: compile a file, and write what comes of it all at once or not at all."""

from __future__ import annotations

import contextlib
import gc
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from symflow.compilation import Compilation, Style
from symflow.emission import emit
from symflow.errors import SymflowError
from symflow.model import load
from symflow.naming import is_identifier
from symflow.shapes import Shape
from symflow.shipping import Shipping

Files = dict[Path, bytes | None]
"""What each file is to hold; None for one that must not be there."""


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
    with _no_collection():
        source = emit(compilation(model, shapes, dtype, without, style, ships))
    return {
        output / f"{model.stem}.npz": source.archive(),
        output / f"{model.stem}.py": source.text.encode(),
    }


@contextlib.contextmanager
def _no_collection() -> Iterator[None]:
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
        raise SymflowError(f"{model}: {model.stem!r} is no name for a Python module")
    return Compilation(load(model), shapes, dtype, without, style, ships)


def is_current(path: Path, content: bytes | None) -> bool:
    """Whether a file holds what it is to hold."""
    try:
        return path.read_bytes() == content
    except FileNotFoundError:
        return content is None
    except OSError as error:
        raise SymflowError(f"{path}: {error.strerror or error}") from None


def write(files: Files) -> None:
    """Replace files: all are written beside their places first, then moved there."""
    written: dict[Path, str] = {}
    path = Path()
    try:
        for path, content in files.items():
            if content is not None:
                path.parent.mkdir(parents=True, exist_ok=True)
                handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
                written[path] = temporary
                with os.fdopen(handle, "wb") as file:
                    file.write(content)
                os.chmod(temporary, 0o666 & ~_umask())
        for path in files:
            if path.is_dir():
                raise IsADirectoryError(None, "is a folder")
        for path, content in files.items():
            if content is None:
                path.unlink(missing_ok=True)
            else:
                os.replace(written[path], path)
    except OSError as error:
        raise SymflowError(f"{path}: {error.strerror or error}") from None
    finally:
        for temporary in written.values():
            with contextlib.suppress(FileNotFoundError):
                os.remove(temporary)


def check_writable(path: Path) -> None:
    """Raise SymflowError where `write` would, for a file that is to be written after long work."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.is_dir():
            raise IsADirectoryError(None, "is a folder")
        with tempfile.TemporaryFile(dir=path.parent):
            pass
    except OSError as error:
        raise SymflowError(f"{path}: {error.strerror or error}") from None


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
