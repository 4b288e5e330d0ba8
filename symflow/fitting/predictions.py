"""What a module's function says of rows of data, as a table."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from symflow.archives import archived
from symflow.errors import SymflowError
from symflow.fitting.modules import Module, row_axes, row_count
from symflow.writing import write

Array = NDArray[Any]


def function_of(module: Module, named: str | None) -> str:
    """The function that is asked for, or the only one, or the one called `prediction`."""
    functions = module.functions
    if named is not None:
        if named not in functions:
            raise SymflowError(
                f"{module.path}: no function {named}; there are: {', '.join(functions) or 'none'}"
            )
        return named
    if len(functions) == 1 or "prediction" in functions:
        return functions[0] if len(functions) == 1 else "prediction"
    if not functions:
        raise SymflowError(f"{module.path}: no function to predict with; the model exports none")
    raise SymflowError(
        f"{module.path}: several functions; hint: --function {' or '.join(functions)}"
    )


def predicted(module: Module, function: str, parameters: Any, data: Mapping[str, Array]) -> Array:
    """The values of a function; `parameters` is None where the module takes none."""
    first = () if parameters is None else (parameters,)
    try:
        with np.errstate(all="ignore"):
            return np.asarray(getattr(module.module, function)(*first, **data))
    except (ValueError, np.linalg.LinAlgError) as error:
        raise SymflowError(f"{module.path}: {error}") from None


def by_row(module: Module, function: str, values: Array, data: Mapping[str, Array]) -> Array:
    """The values with an axis of the rows of the data in front and one of the rest behind it."""
    count = row_count(data, row_axes(module.inputs(function)))
    if count is None or count not in values.shape:
        return values.reshape(1, -1)
    return np.moveaxis(values, values.shape.index(count), 0).reshape(count, -1)


def as_csv(name: str, rows: Array) -> str:
    """A header and a line for every row; floats in as few digits as give them back exactly."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    width = rows.shape[1]
    writer.writerow([name] if width == 1 else [f"{name}_{at}" for at in range(width)])
    writer.writerows([str(one) for one in row] for row in rows)
    return file.getvalue()


def check_kind(path: Path) -> None:
    """Raise SymflowError for a file of a kind that is not written, before what would be in it."""
    if path.suffix.lower() not in (".csv", ".npz"):
        raise SymflowError(f"--output {path}: predictions are written to .csv or .npz")


def save(path: Path, name: str, values: Array, rows: Array) -> None:
    """Write a .csv of rows, or an .npz of the values in their own shape.

    An existing file is replaced at once or not at all.
    """
    if path.suffix.lower() == ".csv":
        write({path: as_csv(name, rows).encode()})
        return
    write({path: archived({name: values})})
