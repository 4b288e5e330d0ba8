"""Data files: named fields, which are the columns of a table or the arrays of an .npz file."""

from __future__ import annotations

import csv
import gzip
import warnings
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TextIO

import numpy as np
from numpy.typing import NDArray

from symflow.errors import SymflowError
from symflow.reading import ALWAYS, Archive, check_expansion, check_regular, repeated

Array = NDArray[Any]

KINDS = (".npz", ".csv", ".csv.gz", ".tsv", ".tsv.gz", ".parquet")


@dataclass(frozen=True)
class Table:
    """A data file.

    names    of its fields, in the order of the file
    called   what a field is called: "column" or "array"
    headed   whether the names are the file's own; else they are numbers from 0
    read     the arrays of the fields of the given names
    """

    path: Path
    names: tuple[str, ...]
    called: str
    headed: bool
    read: Callable[[Sequence[str]], list[Array]]

    @cached_property
    def places(self) -> Mapping[str, int]:
        """Where each field stands."""
        return {name: at for at, name in enumerate(self.names)}

    def error(self, message: str) -> SymflowError:
        return SymflowError(f"{self.path}: {message}")


def table(path: Path) -> Table:
    """Open a data file: .npz, .csv and .tsv, also with .gz, or .parquet.

    Raises SymflowError where it cannot be read; entries are looked at when they are read.
    """
    name = path.name.lower()
    kind = next((kind for kind in KINDS if name.endswith(kind)), None)
    if kind is None:
        raise SymflowError(f"{path}: no data file that is known here: {', '.join(KINDS)}")
    check_regular(path)
    try:
        if kind == ".npz":
            return _archive(path)
        if kind == ".parquet":
            return _parquet(path)
        return _text(path)
    except OSError as error:
        raise SymflowError(f"{path}: {error.strerror or error}") from None


# --- arrays --------------------------------------------------------------------------------------


def _archive(path: Path) -> Table:
    archive = Archive(path)
    return Table(
        path, archive.names, "array", True, lambda names: [_finite(archive, one) for one in names]
    )


def _finite(archive: Archive, name: str) -> Array:
    array = archive.numbers(name)
    if (at := _not_finite(array)) is not None:
        where = f"[{', '.join(map(str, at))}]"
        raise SymflowError(f"{archive.path}: array {name}: {where} is {array[at]}")
    return array


def _not_finite(array: Array) -> tuple[int, ...] | None:
    """Where the first entry is that is NaN or infinite."""
    if array.dtype.kind != "f" or np.isfinite(array).all():
        return None
    return tuple(map(int, np.argwhere(~np.isfinite(array))[0]))


# --- text ----------------------------------------------------------------------------------------


def _text(path: Path) -> Table:
    with _opened(path) as file:
        first = file.readline()
    if not first.strip():
        raise SymflowError(f"{path}: the first line is empty; it names the columns")
    delimiter = _delimiter(path, first)
    try:
        cells = [cell.strip() for cell in next(csv.reader([first], delimiter=delimiter))]
    except csv.Error as error:
        raise SymflowError(f"{path}: line 1: {error}") from None
    headed = not all(_is_number(cell) for cell in cells)
    names = tuple(cells) if headed else tuple(map(str, range(len(cells))))
    if (again := repeated(names)) is not None:
        raise SymflowError(f"{path}: two columns are called {again!r}")

    def read(wanted: Sequence[str]) -> list[Array]:
        if not wanted:
            return []
        of = {name: at for at, name in enumerate(names)}
        places = [of[name] for name in wanted]
        whole = _at_once(path, delimiter, headed, len(names))
        if whole is not None:
            return [whole[:, place] for place in places]
        lines, rows = _cells(path, delimiter, headed, len(names), places)
        return [
            _column(path, name, lines, [row[at] for row in rows]) for at, name in enumerate(wanted)
        ]

    return Table(path, names, "column", headed, read)


def _opened(path: Path) -> TextIO:
    if path.suffix.lower() == ".gz":
        return _Checked(gzip.open(path, "rt", encoding="utf-8-sig", newline=""), path)  # type: ignore[return-value]
    return _Checked(open(path, encoding="utf-8-sig", newline=""), path)  # type: ignore[return-value]


class _Checked:
    """A text file whose errors of encoding and compression name it, and that is not without end."""

    def __init__(self, file: Any, path: Path) -> None:
        self.file = file
        self.path = path
        self.count = 0

    def __enter__(self) -> _Checked:
        return self

    def __exit__(self, *exception: object) -> None:
        self.file.close()

    def __iter__(self) -> Iterator[str]:
        while line := self.readline():
            yield line

    def readline(self) -> str:
        try:
            line: str = self.file.readline(LONGEST)
        except UnicodeDecodeError:
            raise SymflowError(f"{self.path}: not a text file in UTF-8") from None
        except (gzip.BadGzipFile, EOFError, zlib.error) as error:
            raise SymflowError(f"{self.path}: not a whole gzip file: {error}") from None
        if len(line) == LONGEST:
            raise SymflowError(f"{self.path}: a line of more than {LONGEST} characters: no table")
        self.count += len(line)
        if self.count > ALWAYS:
            check_expansion(self.path, self.count)
        return line


def _delimiter(path: Path, first: str) -> str:
    """A comma, or what the first line has in its place."""
    if ".tsv" in path.suffixes[-2:]:
        return "\t"
    return next((one for one in (",", ";", "\t") if one in first), ",")


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


LONGEST = 2**24
"""Characters of a line."""


def _at_once(path: Path, delimiter: str, headed: bool, width: int) -> Array | None:
    """All columns, if there are nothing but finite numbers: a tenth of the time."""
    how: dict[str, Any] = {"delimiter": delimiter, "skiprows": int(headed), "quotechar": '"'}
    try:
        with warnings.catch_warnings(), _opened(path) as lines:
            warnings.simplefilter("ignore")  # of files without rows
            whole = np.loadtxt(lines, encoding=None, comments=None, ndmin=2, **how)
    except ValueError:
        return None  # and then it is looked for, line by line
    fits = whole.size > 0 and whole.shape[1] == width and _not_finite(whole) is None
    return whole if fits else None


def _cells(
    path: Path, delimiter: str, headed: bool, width: int, places: Sequence[int]
) -> tuple[list[int], list[list[str]]]:
    """The lines that hold rows, and of each the cells at the given places."""
    lines: list[int] = []
    rows: list[list[str]] = []
    with _opened(path) as file:
        reader = csv.reader(file, delimiter=delimiter)
        try:
            for number, cells in enumerate(reader):
                if (headed and number == 0) or not cells:
                    continue
                if len(cells) != width:
                    what = "the header has" if headed else "the first line has"
                    raise SymflowError(
                        f"{path}: line {reader.line_num} has {len(cells)} cells, {what} {width}"
                    )
                lines.append(reader.line_num)
                rows.append([cells[place] for place in places])
        except csv.Error as error:
            raise SymflowError(f"{path}: line {reader.line_num}: {error}") from None
    if not rows:
        raise SymflowError(f"{path}: no rows below the header")
    return lines, rows


def _column(path: Path, name: str, lines: Sequence[int], cells: Sequence[str]) -> Array:
    try:
        array = np.array([float(cell) for cell in cells])
    except ValueError:
        row = next(row for row, cell in enumerate(cells) if not _is_number(cell))
        what = f"{cells[row]!r} is no number" if cells[row].strip() else "the cell is empty"
        raise SymflowError(f"{path}: line {lines[row]}, column {name}: {what}") from None
    if (at := _not_finite(array)) is not None:
        raise SymflowError(f"{path}: line {lines[at[0]]}, column {name}: {cells[at[0]].strip()}")
    return array


# --- parquet -------------------------------------------------------------------------------------


def _parquet(path: Path) -> Table:
    try:
        import pyarrow.parquet as pq
    except ImportError as error:
        missing = isinstance(error, ModuleNotFoundError)
        raise SymflowError(
            f"{path}: .parquet files are read by pyarrow, which "
            f"{'is not installed' if missing else f'cannot be imported: {error}'}; "
            "hint: pip install 'symflow[parquet]'"
        ) from None

    def read(wanted: Sequence[str]) -> list[Array]:
        with _of_parquet(path):
            rows = pq.read_metadata(path).num_rows
            check_expansion(path, 8 * rows * len(wanted))
            columns = pq.read_table(path, columns=list(wanted))
            return [_of_arrow(path, name, columns.column(name)) for name in wanted]

    with _of_parquet(path):
        names = tuple(pq.read_schema(path).names)
    if (again := repeated(names)) is not None:
        raise SymflowError(f"{path}: two columns are called {again!r}")
    return Table(path, names, "column", True, read)


@contextmanager
def _of_parquet(path: Path) -> Iterator[None]:
    """Whatever goes wrong is the file's fault."""
    try:
        yield
    except SymflowError:
        raise
    except Exception as error:  # a file can be broken in any way
        raise SymflowError(f"{path}: not a .parquet file that can be read: {error}") from None


def _of_arrow(path: Path, name: str, column: Any) -> Array:
    if column.null_count:
        row = column.is_null().to_pylist().index(True)
        raise SymflowError(f"{path}: row {row + 1}, column {name}: the cell is empty")
    nested = "list" in str(column.type)
    try:
        array = np.array(column.to_pylist()) if nested else np.asarray(column.to_numpy())
    except ValueError:
        raise SymflowError(f"{path}: column {name}: lists of several lengths") from None
    if array.dtype.kind not in "biuf":
        raise SymflowError(f"{path}: column {name} holds {column.type}, not real numbers")
    if (at := _not_finite(array)) is not None:
        raise SymflowError(f"{path}: row {at[0] + 1}, column {name} is {array[at]}")
    return array
