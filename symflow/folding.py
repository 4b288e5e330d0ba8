"""Program → Program: what depends on constants alone is computed now, and is a constant itself.

Where the parameters of a model are constants, this is what no call of its module has to do again:
scaled weights, the square root of a variance, a matrix that is inverted. It is computed by the
NumPy code that would stand in the module, in the same precision.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from symflow.invariants import is_free
from symflow.memory import executable, session_source
from symflow.primitives import Part
from symflow.program import (
    Builder,
    Bundle,
    Constant,
    Definition,
    Input,
    Kernel,
    Program,
    Value,
    slots_of,
    without_dead_code,
)
from symflow.recurrence import Scan
from symflow.simplification import fold

LARGEST_GROWTH = 10_000
"""Entries that a result may have more than all that it is computed from: what is only repeated
need not stand in a file."""


def computed(program: Program, dtype: str) -> Program:
    """The program with constants in place of all that is worth computing from constants."""
    tensors = _worth_computing(program)
    if not tensors:
        return program
    builder = Builder()
    moved: dict[int, int] = {}
    for tensor, definition in enumerate(program.definitions):
        value = definition.value.rebind(moved.__getitem__)
        found = _computed(program, tensor, dtype) if tensor in tensors else None
        if found is None:
            moved[tensor] = builder.copy(program, definition, value, moved)
        else:
            constant = Constant.of(found)
            moved[tensor] = builder.add(constant, definition.label, definition.origin)
    outputs = {name: moved[tensor] for name, tensor in program.outputs.items()}
    return fold(without_dead_code(builder.program(outputs)))


def _worth_computing(program: Program) -> frozenset[int]:
    """The tensors that depend on constants alone, cost more than a renaming of axes, and are read
    by what depends on an input, or are outputs."""
    fixed, entries = _fixed(program)
    live = program.live()
    wanted = set(program.outputs.values())
    found: list[int] = []
    for tensor in reversed(range(len(program.definitions))):
        definition = program[tensor]
        if not live[tensor]:
            continue
        size = int(np.prod([int(one) for one in definition.type.shape])) if fixed[tensor] else 0
        if not fixed[tensor]:
            wanted.update(definition.value.operands)
        elif tensor in wanted:
            if _is_free(definition) or size > entries[tensor] + LARGEST_GROWTH:
                wanted.update(definition.value.operands)
            else:
                found.append(tensor)
    return frozenset(found)


def _is_free(definition: Definition) -> bool:
    """Whether a tensor costs nothing, or is no array: a loop, of which each result is one."""
    value = definition.value
    if isinstance(definition.type, Bundle) or not value.operands:
        return True
    return is_free(value) and not isinstance(value, Part)


def _fixed(program: Program) -> tuple[list[bool], list[int]]:
    """For every tensor, whether it depends on constants alone, and how many entries these have."""
    fixed: list[bool] = []
    entries: list[int] = []
    for definition in program.definitions:
        value = definition.value
        own = not isinstance(value, Input) and not _reads_sizes(value)
        own = own and not any(size.free_symbols for size in definition.type.shape)
        fixed.append(own and all(fixed[operand] for operand in value.operands))
        size = value.data.size if isinstance(value, Constant) else 0
        entries.append(size + sum(entries[operand] for operand in value.operands))
    return fixed, entries


def _reads_sizes(value: Value) -> bool:
    """Whether a value depends on sizes that are known only when the program runs."""
    if isinstance(value, Scan):
        return bool(value.steps.free_symbols)
    if not isinstance(value, Kernel):
        return False
    symbols = len(value.body.free_symbols) > len(slots_of(value.body))
    return symbols or any(size.free_symbols for size in value.sizes)


def _computed(program: Program, tensor: int, dtype: str) -> Any:
    """The value of a tensor that depends on constants alone; None where it cannot be computed."""
    alone = without_dead_code(Program(program.definitions[: tensor + 1], {"value": tensor}))
    text, constants = session_source(_without_inputs(alone), [], [], dtype)
    with np.errstate(all="ignore"):
        try:
            (value,) = executable(text, constants, "<constants>")(None)
        except np.linalg.LinAlgError:
            return None
    kinds = {"float": dtype, "int": "int64", "bool": "bool"}
    return np.array(value, kinds[program[tensor].type.dtype])


def _without_inputs(program: Program) -> Program:
    """The program without inputs, which nothing reads here."""
    builder = Builder()
    moved: dict[int, int] = {}
    for tensor, definition in enumerate(program.definitions):
        if not isinstance(definition.value, Input):
            value = definition.value.rebind(moved.__getitem__)
            moved[tensor] = builder.copy(program, definition, value, moved)
    return builder.program({name: moved[tensor] for name, tensor in program.outputs.items()})
