"""Products with constants of zeros and ones that only move entries: they become picks.

    Σ_l lower[k, l]·places[l, i, j]  →  lower[k, at[i, j]], and 0 where no l has a place

What a model writes as a product with such a constant, to lay out the entries of a triangle or to
choose columns, costs as many multiplications as the constant has entries; picking, as the result.
The values are the same, except that 0·∞ no longer spoils what does not read the ∞.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import sympy as sp
from numpy.typing import NDArray

from symflow.errors import Location
from symflow.program import (
    Access,
    Builder,
    Constant,
    Kernel,
    Label,
    literal,
    slot,
)
from symflow.views import Concat, Gather, Reshape

FEWEST = 64
"""Entries summed for one of the result from which picking it is faster than a matrix product."""


def picked(program: Builder, value: Kernel, label: Label, origin: Location | None) -> int | None:
    """The tensor that picks what a sum of products with a constant is, or None."""
    if value.body != slot(0) * slot(1) or not value.reduced or None in value.output:
        return None
    for access, other in (value.accesses, value.accesses[::-1]):
        constant = program[other.tensor].value
        if isinstance(constant, Constant) and program[access.tensor].type.dtype == "float":
            found = _picked(program, value, (access, other), constant, label, origin)
            if found is not None:
                return found
    return None


def _picked(
    program: Builder,
    value: Kernel,
    operands: tuple[Access, Access],
    constant: Constant,
    label: Label,
    origin: Location | None,
) -> int | None:
    access, other = operands
    summed = tuple(index for index in access.indices if index in value.reduced)
    kept = tuple(index for index in access.indices if index not in value.reduced)
    new = tuple(index for index in value.output if index in other.indices)
    same = access.indices == (*kept, *summed) and value.output == (*kept, *new)
    if not same or not new or set(other.indices) != {*summed, *new} or None in access.indices:
        return None
    count = sp.Mul(*(value.sizes[index] for index in summed if index is not None))
    if len(other.indices) != len(summed) + len(new) or not count.is_Integer or count < FEWEST:
        return None
    order = tuple(other.indices.index(index) for index in (*summed, *new))
    rows = _entries(constant, order, len(summed))
    if rows is None:
        return None
    name = label.name
    shape = tuple(value.sizes[index] for index in kept if index is not None)
    source = access.tensor
    if len(summed) > 1:
        source = program.add(Reshape(source, (*shape, count)), Label(f"{name}_entries"), origin)
    if np.any(rows == int(count)):
        nothing = program.add(literal(sp.S.Zero, (*shape, sp.S.One)), Label(f"{name}_zero"))
        both = Concat((source, nothing), len(shape))
        source = program.add(both, Label(f"{name}_and_zero"), origin)
    places = program.add(Constant.of(rows), Label(f"{program[other.tensor].label.name}_places"))
    return program.add(Gather(source, places, len(shape)), label, origin)


@lru_cache(maxsize=64)
def _entries(constant: Constant, order: tuple[int, ...], summed: int) -> NDArray[np.int64] | None:
    """For every entry of the result, the one that it is, or the number of all where it is 0."""
    data = constant.data
    if data.dtype.kind not in "fiub" or not np.all((data == 0) | (data == 1)):
        return None
    turned = np.transpose(data, order)
    matrix = turned.reshape(int(np.prod(turned.shape[:summed])), -1) != 0
    if np.any(np.count_nonzero(matrix, axis=0) > 1):
        return None
    found = np.where(matrix.any(axis=0), matrix.argmax(axis=0), len(matrix))
    return found.reshape(turned.shape[summed:]).astype(np.int64)
