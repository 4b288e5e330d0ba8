"""The one way in which symflow writes files: whole or not at all, and never over what it reads.

A file is written under a name of its own beside its place, and then moved there: whoever reads the
place, or ends the process at any moment, finds what was there before or what is there now. A link
is followed, permissions are kept; a pipe or a device is written to as it is.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path

from symflow.errors import SymflowError

Files = Mapping[Path, bytes]
"""What each file is to hold."""

Inputs = Mapping[str, Path | None]
"""The files that a command reads, by what names them; None for one that is not given."""


def write(files: Files) -> None:
    """Replace files, in their order: all are written beside their places first, then moved there.

    Raises SymflowError where one cannot be written; then none is replaced.
    """
    staged: dict[Path, Path] = {}
    try:
        for path, content in files.items():
            with _told(path):
                place = _place(path)
                if place is not None:
                    if place in staged:
                        raise SymflowError(f"{path}: two files would be written there")
                    place.parent.mkdir(parents=True, exist_ok=True)
                    staged[place] = place.with_name(f".{os.urandom(8).hex()}.partial")
                    _stage(staged[place], content, place)
        for path, content in files.items():
            with _told(path):
                place = _place(path)
                if place is None:
                    with open(path, "wb") as stream:
                        stream.write(content)
                else:
                    os.replace(staged[place], place)
    finally:
        for temporary in staged.values():
            temporary.unlink(missing_ok=True)


def check_writable(path: Path, inputs: Inputs) -> None:
    """Raise SymflowError where `write` would, for a file that is to be written after long work."""
    check_apart(path, inputs)
    with _told(path):
        place = _place(path)
        if place is not None:
            place.parent.mkdir(parents=True, exist_ok=True)
            temporary = place.with_name(f".{os.urandom(8).hex()}.partial")
            try:
                _stage(temporary, b"", place)
            finally:
                temporary.unlink(missing_ok=True)


def check_apart(path: Path, others: Inputs, use: str = "read") -> None:
    """Raise SymflowError where a file to be written is one that is read, or is written too."""
    for name, other in others.items():
        if other is not None and is_same(path, other):
            told = f"{path}: would be written over {name}, which is {use}"
            raise SymflowError(told, hint="write to another file")


def is_same(one: Path, other: Path) -> bool:
    """Whether two paths lead to one file, by links or another spelling, or would if it existed."""
    try:
        return os.path.samefile(one, other)
    except OSError:
        return os.path.realpath(one) == os.path.realpath(other)


def _place(path: Path) -> Path | None:
    """Where a file is replaced: where links lead to; None for a pipe or a device."""
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, "is a folder")
    if path.exists() and not path.is_file():
        return None
    place = Path(os.path.realpath(path))
    if place.is_symlink():
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
    if place.exists() and not os.access(place, os.W_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    return place


def _stage(temporary: Path, content: bytes, place: Path) -> None:
    """Write a new file on the disk, with the permissions of what it is to replace."""
    with open(temporary, "xb") as file:  # new: not what a link of that name would lead to
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    with contextlib.suppress(FileNotFoundError):
        os.chmod(temporary, stat.S_IMODE(os.stat(place).st_mode))


@contextlib.contextmanager
def _told(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise SymflowError(f"{path}: {error.strerror or error}") from None
    except ValueError as error:  # a null byte in the name
        raise SymflowError(f"{path}: {error}") from None
