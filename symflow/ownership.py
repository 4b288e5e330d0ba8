"""Which results have memory of their own: what a function hands out is nobody else's.

Views, transposes and broadcasts are looks at arrays that are there already: at an argument, a
constant of the module, or another result. Where such a thing would be handed out, a copy is.
"""

from __future__ import annotations

from symflow.primitives import Part, Primitive
from symflow.program import Full, Iota, Kernel, Program
from symflow.recurrence import Scan


def owns_memory(program: Program, tensor: int) -> bool:
    """Whether NumPy makes an array for a tensor, one that can be written to."""
    value = program[tensor].value
    if isinstance(value, Kernel):
        return not value.is_index_map and not _is_repeated(value)
    if isinstance(value, Part):
        scan = program[value.source].value
        assert isinstance(scan, Scan)
        return value.index >= len(scan.initial)  # a stack; a carry may still be what it was
    if isinstance(value, Primitive):
        return not value.is_view
    return isinstance(value, (Full, Iota))


def _is_repeated(value: Kernel) -> bool:
    """Whether an array is repeated along an axis, which takes no memory."""
    carried = value.carried(value.body)
    return bool(carried) and not carried.issuperset(i for i in value.output if i is not None)
