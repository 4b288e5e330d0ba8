"""Axes as users write them, as whole numbers from 0."""

from __future__ import annotations

import operator
from collections.abc import Sequence

from symflow.errors import SymflowError
from symflow.program import Type
from symflow.shapes import show


def axes_of(operand: Type, axis: int | Sequence[int] | None) -> list[int]:
    """One axis or several, negative ones counted from the end; all of them for None."""
    rank = len(operand.shape)
    if axis is None:
        return list(range(rank))
    try:
        wanted = [operator.index(one) for one in (axis if isinstance(axis, Sequence) else [axis])]
    except TypeError:
        raise SymflowError(f"axis {axis!r} is no whole number") from None
    for one in wanted:
        if not -rank <= one < rank:
            hint = f"axes of {{0}} go from {-rank} to {rank - 1}" if rank else "{0} has no axes"
            raise SymflowError(
                f"axis {one} is out of range for shape {show(operand.shape)}", hint=hint
            )
    axes = [one % rank for one in wanted]
    if len(set(axes)) != len(axes):
        raise SymflowError(f"axis {tuple(wanted)} names an axis twice")
    return axes


def axis_of(operand: Type, axis: int) -> int:
    """The one axis that an operation runs along."""
    if axis is None or isinstance(axis, Sequence):
        raise SymflowError(f"axis {axis!r} is not one axis")
    return axes_of(operand, axis)[0]
