"""Files that anyone may have made: what is wrong with them is told, and nothing in them is run.

No more memory is taken than the size of a file warrants, whatever it claims to hold.
"""

from __future__ import annotations

import math
import zipfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from symflow.errors import SymflowError

Array = NDArray[Any]

ALWAYS = 2**26
"""Bytes that a file may unpack to, however small it is."""

EXPANSION = 200
"""How often its own size a file may unpack to beyond that. Deflated zeros are a thousand times
smaller; tables of measured numbers are three to twenty times."""

LONGEST_SOURCE = 2**26
"""Bytes of a Python file."""

LONGEST_NAME = 256
"""Characters of the name of an array, which messages tell."""


def check_expansion(path: Path, unpacked: int) -> None:
    """Raise SymflowError for more bytes than one should unpack from a file."""
    if unpacked > max(ALWAYS, EXPANSION * path.stat().st_size):
        told = f"{path}: unpacks to {unpacked:.1e} bytes, which is more than a table of that size"
        raise SymflowError(told, hint="write it without compression, as np.savez does")


def check_regular(path: Path) -> None:
    """Raise SymflowError for what is no file that can be read twice and has an end."""
    try:
        path.stat()
    except (OSError, ValueError) as error:
        raise SymflowError(f"{path}: {getattr(error, 'strerror', None) or error}") from None
    if not path.is_file():
        raise SymflowError(f"{path}: {'is a folder' if path.is_dir() else 'is no regular file'}")


def text_of(path: Path) -> str:
    """The text of a Python file."""
    check_regular(path)
    try:
        if path.stat().st_size > LONGEST_SOURCE:
            raise SymflowError(f"{path}: too long for a Python file")
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise SymflowError(f"{path}: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise SymflowError(f"{path}: not a text file in UTF-8") from None


def repeated(names: Sequence[str]) -> str | None:
    """A name that stands there twice."""
    return next((name for name, count in Counter(names).items() if count > 1), None)


# --- arrays --------------------------------------------------------------------------------------


class Archive:
    """The arrays of an .npz file, each read when it is asked for.

    names  of all of them, in the order of the file

    Raises SymflowError where it is no such file.
    """

    def __init__(self, path: Path) -> None:
        check_regular(path)
        self.path = path
        with self._opened() as archive:
            members = archive.infolist()
        check_expansion(path, sum(one.file_size for one in members))
        files = [one.filename for one in members]
        for one in files:
            if not one.endswith(".npy") or len(one) > LONGEST_NAME:
                raise SymflowError(f"{path}: {one[:40]!r} is no name of an array")
        self.names = tuple(one.removesuffix(".npy") for one in files)
        if (again := repeated(self.names)) is not None:
            raise SymflowError(f"{path}: two arrays are called {again!r}")

    def numbers(self, name: str) -> Array:
        """An array of real numbers. Raises SymflowError where it is something else."""
        array = self._array(name, "biuf")
        return array.astype(array.dtype.newbyteorder("="), copy=False)

    def text(self, name: str) -> str:
        """A text that stands in the file as an array without axes."""
        array = self._array(name, "U")
        if array.shape:
            raise SymflowError(f"{self.path}: array {name}: expected one text, got {array.shape}")
        return str(array)

    def _array(self, name: str, kinds: str) -> Array:
        with self._opened(f"array {name}: ") as archive, archive.open(f"{name}.npy") as file:
            shape, by_columns, dtype = _header(file)
            if dtype.kind not in kinds:
                wanted = "one text" if kinds == "U" else "real numbers"
                raise ValueError(f"expected {wanted}, got {dtype}")
            size = math.prod(shape) * dtype.itemsize
            if size != archive.getinfo(f"{name}.npy").file_size - file.tell():
                raise ValueError(f"{shape} of {dtype} are not as many bytes as there are")
            array: Array = np.ndarray(
                shape, dtype, file.read(size), order="F" if by_columns else "C"
            )
            return array.copy()

    @contextmanager
    def _opened(self, what: str = "") -> Iterator[zipfile.ZipFile]:
        """The file as an archive; whatever goes wrong is the file's fault."""
        try:
            with open(self.path, "rb") as file:
                if file.read(6) == b"\x93NUMPY":
                    told = "one array, not an .npz file of arrays"
                    raise SymflowError(f"{self.path}: {told}", hint="np.savez writes one")
                file.seek(0)
                with zipfile.ZipFile(file) as archive:
                    yield archive
        except SymflowError:
            raise
        except OSError as error:
            raise SymflowError(f"{self.path}: {error.strerror or error}") from None
        except Exception as error:  # a file can be broken in any way
            told = f"{what}{error}" if what else f"not an .npz file of arrays: {error}"
            raise SymflowError(f"{self.path}: {told}") from None


def _header(file: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """What an array says of itself: its shape, whether it lies by columns, its dtype."""
    version = np.lib.format.read_magic(file)
    if version == (1, 0):
        shape, by_columns, dtype = np.lib.format.read_array_header_1_0(file)
    else:
        shape, by_columns, dtype = np.lib.format.read_array_header_2_0(file)
    if any(size < 0 for size in shape) or len(shape) > 32:
        raise ValueError(f"{shape} is no shape")
    return shape, by_columns, dtype


def all_numbers(path: Path) -> dict[str, Array]:
    """All arrays of a file, which must be of real numbers."""
    archive = Archive(path)
    return {name: archive.numbers(name) for name in archive.names}
