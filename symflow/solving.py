"""Products with inverses as linear systems: A⁻¹ · B → solve(A, B), before derivatives are taken.

Fewer operations, fewer digits lost, and the gradient solves too. An inverse that the user named,
or that is read more than once, stays.
"""

from __future__ import annotations

from collections.abc import Sequence

from symflow.program import (
    Access,
    Builder,
    Definition,
    Derivative,
    Indices,
    Kernel,
    Label,
    Program,
    Value,
    kernel,
    slot,
    without_dead_code,
)
from symflow.solvers import Inverse, Solve
from symflow.stabilisation import Rewrite, Rules


def solve_for_products(program: Program, rules: Rules) -> Program:
    """The rule `solve`, for a whole program."""
    if "solve" in rules.without:
        return program
    readers = [len(consumers) for consumers in program.consumers()]
    kept = {d.value.by for d in program.definitions if isinstance(d.value, Derivative)}
    for tensor in (*program.outputs.values(), *kept):
        readers[tensor] += 1
    inverses = {
        tensor
        for tensor, definition in enumerate(program.definitions)
        if isinstance(definition.value, Inverse)
        and readers[tensor] == 1
        and not definition.label.exact
    }
    if not inverses:
        return program
    builder = Builder()
    moved: dict[int, int] = {}
    for tensor, definition in enumerate(program.definitions):
        value = definition.value.rebind(moved.__getitem__)
        solved = None
        for position in _inverses_in(definition.value, inverses) if tensor not in kept else ():
            assert isinstance(value, Kernel)
            solved = _solution(builder, value, position, definition)
            if solved is not None:
                if rules.applied is not None:
                    rules.applied.append(_explained(program, definition, position))
                break
        if solved is None:
            alone = tensor in kept
            solved = builder.add(value, definition.label, definition.origin, alone=alone)
        moved[tensor] = solved
    outputs = {name: moved[tensor] for name, tensor in program.outputs.items()}
    return without_dead_code(builder.program(outputs))


def _inverses_in(value: Value, inverses: set[int]) -> list[int]:
    """The accesses of a kernel that read an inverse."""
    if not isinstance(value, Kernel):
        return []
    return [at for at, access in enumerate(value.accesses) if access.tensor in inverses]


def _explained(program: Program, definition: Definition, position: int) -> Rewrite:
    value = definition.value
    assert isinstance(value, Kernel)
    inverse, other = (value.accesses[at].tensor for at in (position, 1 - position))
    source = program[inverse].value
    assert isinstance(source, Inverse)
    before, right, matrix = (program[one].label.name for one in (inverse, other, source.source))
    left = value.accesses[position].indices[-1] in value.reduced
    product = f"{before} · {right}" if left else f"{right} · {before}"
    solved = f"solve({matrix}, {right})" if left else f"solve({matrix}ᵀ, {right})"
    return Rewrite("solve", definition.label.name, definition.origin, product, solved)


def _solution(program: Builder, value: Kernel, position: int, definition: Definition) -> int | None:
    """The product of an inverse, access `position`, and one other tensor, as a linear system."""
    if value.body != slot(0) * slot(1) or value.reduction != "sum" or len(value.reduced) != 1:
        return None
    inverse, other = value.accesses[position], value.accesses[1 - position]
    (summed,) = value.reduced
    *batch, row, column = inverse.indices
    source = program[inverse.tensor].value
    if not isinstance(source, Inverse) or summed not in (row, column) or row == column:
        return None
    free = row if summed == column else column
    rest = [index for index in other.indices if index not in (*batch, summed)]
    whole = summed in other.indices and set(batch) <= set(other.indices) and None not in batch
    if not whole or free in rest or len(rest) > 1 or (not rest and batch):
        return None
    name, origin = definition.label.name, definition.origin

    def reordered(tensor: int, indices: Sequence[int | None], target: Indices, part: str) -> int:
        numbers = {index: at for at, index in enumerate(i for i in target if i is not None)}
        output, read = (
            tuple(None if i is None else numbers[i] for i in axes) for axes in (target, indices)
        )
        sizes = [value.sizes[index] for index in numbers]
        moved = kernel(output, sizes, slot(0), [Access(tensor, read)])
        return program.add(moved, Label(f"{name}_{part}"), origin)

    matrix = source.source
    if summed == row:
        matrix = reordered(matrix, inverse.indices, (*batch, column, row), "transposed")
    right = reordered(other.tensor, other.indices, (*batch, summed, *rest), "right")
    solution = program.add(Solve(matrix, right), Label(f"{name}_solution"), origin)
    result = reordered(solution, (*batch, free, *rest), value.output, "solution")
    program.relabel(result, definition.label, origin)
    return result
