"""Tensors that are made from a number and a shape."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import sympy as sp

from symflow.errors import SymflowError, calling_location
from symflow.functions import add, multiply, to_float
from symflow.graph import Tensor, apply, shape_of, structural
from symflow.operations import TABLE


def fill(dims: Any, value: Any, name: str | None = None) -> Tensor:
    """The same number everywhere; `dims` may hold names of sizes, such as "n".

    An integer gives integers, and a boolean booleans.
    """
    if not isinstance(value, (bool, int, float, np.bool_, np.integer, np.floating)):
        raise SymflowError(f"fill: {value!r} is no number", calling_location())
    plain = value.item() if isinstance(value, np.generic) else value
    return structural("fill", label=name, shape=shape_of(dims), value=plain)


def zeros_like(x: Any, name: str | None = None) -> Tensor:
    """Zeros of the shape and the kind of number of a tensor."""
    return structural("zeros_like", x, label=name)


def ones_like(x: Any, name: str | None = None) -> Tensor:
    """Ones of the shape and the kind of number of a tensor."""
    return structural("ones_like", x, label=name)


def eye(num_rows: Any, num_columns: Any = None, name: str | None = None) -> Tensor:
    """1.0 on the diagonal of a matrix and 0.0 elsewhere; sizes may be names, such as "n"."""
    rows, columns = shape_of((num_rows, num_rows if num_columns is None else num_columns))
    return structural("eye", label=name, rows=rows, columns=columns)


def range_(start: Any, limit: Any = None, delta: float = 1, name: str | None = None) -> Tensor:
    """start, start + delta, ... below `limit` (above it if delta < 0); `range(limit)` from 0.

    Whole numbers if all three are. `range("n")` counts up to a size that is known only later.
    """
    if limit is None:
        start, limit = 0, start
    if isinstance(limit, str) and start == 0 and delta == 1:
        return apply(TABLE["range"], [], name, size=shape_of((limit,))[0])
    numbers = (start, limit, delta)
    if not all(isinstance(one, (int, float, np.integer, np.floating)) for one in numbers):
        raise SymflowError(
            f"range: {numbers} are not numbers, nor one name of a size", calling_location()
        )
    count = math.ceil((limit - start) / delta) if delta else 0
    if count < 1:
        raise SymflowError(f"range: {numbers} is empty", calling_location())
    positions: Tensor = apply(TABLE["range"], [], size=sp.Integer(count))
    if any(isinstance(one, (float, np.floating)) for one in numbers):
        positions = to_float(positions)
    return add(multiply(positions, delta), start, name=name).called("range")
