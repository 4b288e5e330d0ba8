"""Program → Program: every `Derivative` becomes the kernels that compute it.

Breadth-first from the loss back to what it is differentiated by. A tensor's adjoint is complete,
and the tensor leaves the queue, when every operand edge on a path to the loss has delivered its
share; shares are counted and summed per edge, so a tensor that one operation reads twice gets
two. Consumers that the loss does not depend on are no part of it.

There is one rule. For each access A[g] in  z[out] = Σ_red body:

    Ā[g] += Σ over all other indices of  z̄[out] · ∂body/∂A[g]

and SymPy takes the derivative, once per body. Primitives name their adjoints themselves. Where a
slope of 0 may meet an infinite one, `poles.py` says which of them wins.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence

import sympy as sp

import symflow.poles as poles
from symflow.arithmetic import undistributed
from symflow.elementwise import differentiated
from symflow.poles import Nature
from symflow.primitives import Primitive, Shares
from symflow.program import (
    Access,
    Builder,
    Bundle,
    Derivative,
    Kernel,
    Label,
    Program,
    kernel,
    literal,
    slot,
)
from symflow.rows import equal, greater, to_float, where
from symflow.tiling import Roll
from symflow.views import Reshape, Slice, side_by_side


@undistributed
def differentiate(program: Program) -> Program:
    """The same program without `Derivative`; those of one loss share one backward pass."""
    wanted: dict[int, set[int]] = {}
    for definition in program.definitions:
        if isinstance(definition.value, Derivative):
            wanted.setdefault(definition.value.of, set()).add(definition.value.by)
    kept = {x for by in wanted.values() for x in by}
    builder = Builder()
    moved: dict[int, int] = {}
    adjoints: dict[int, dict[int, int]] = {}
    for tensor, definition in enumerate(program.definitions):
        value = definition.value
        if not isinstance(value, Derivative):
            label, origin = definition.label, definition.origin
            rebound = value.rebind(moved.__getitem__)
            if tensor in kept:
                moved[tensor] = builder.add(rebound, label, origin, alone=True)
            else:
                moved[tensor] = builder.copy(program, definition, rebound, moved)
            continue
        if value.of not in adjoints:
            by = [moved[x] for x in sorted(wanted[value.of]) if x in moved]
            loss = moved[value.of]
            one = builder.add(literal(sp.Integer(1), builder[loss].type.shape), Label("one"))
            adjoints[value.of] = backward(builder, [(loss, one)], by)
        moved[tensor] = adjoints[value.of][moved[value.by]]
        builder.relabel(moved[tensor], definition.label, definition.origin)
    return builder.program({name: moved[tensor] for name, tensor in program.outputs.items()})


def backward(
    program: Builder, seeds: Sequence[tuple[int, int]], by: Sequence[int]
) -> dict[int, int]:
    """Append the adjoints that lead to each of `by`; return the tensors they are.

    seeds  the tensors to start from, each with its adjoint: a loss and the number one
    """
    ready = _edges(program, [root for root, _ in seeds], by)
    natures = _Natures(program, by, ready)
    shares: dict[int, list[int]] = {tensor: [] for tensor in ready}
    for root, seed in seeds:
        if root in ready:
            shares[root].append(seed)
    adjoints: dict[int, int] = {}
    queue = deque(tensor for tensor in reversed(ready) if not ready[tensor])
    while queue:
        tensor = queue.popleft()
        delivered = shares.pop(tensor)
        adjoint = adjoints[tensor] = _total(program, tensor, delivered)
        natures.total(adjoint, delivered)
        operands = program[tensor].value.operands
        positions = [number for number, operand in enumerate(operands) if operand in ready]
        given = _shares(program, tensor, positions, adjoint, natures)
        for position, share in zip(positions, given, strict=True):
            operand = operands[position]
            if share is not None:
                shares[operand].append(share)
            ready[operand] -= 1
            if not ready[operand]:
                queue.append(operand)
    return {x: adjoints[x] if x in adjoints else _total(program, x, []) for x in by}


class _Natures:
    """What is known of adjoints while they are made, by their tensors; see `poles.py`."""

    def __init__(self, program: Builder, by: Sequence[int], between: Iterable[int]) -> None:
        self.known: dict[int, Nature] = {}
        self.depends: dict[int, int] = {}
        bits = {x: 1 << number for number, x in enumerate(by)}
        for tensor in range(max(between, default=-1) + 1):
            own = bits.get(tensor, 0)
            for operand in program[tensor].value.operands:
                own |= self.depends.get(operand, 0)
            if own and program[tensor].type.dtype == "float":
                self.depends[tensor] = own

    def of(self, adjoint: int) -> Nature:
        return self.known.get(adjoint, Nature())

    def total(self, adjoint: int, shares: Sequence[int]) -> None:
        if len(shares) > 1:
            self.known[adjoint] = Nature.of_sum(self.of(share) for share in shares)

    def note(self, share: int, nature: Nature) -> None:
        if nature != Nature():
            self.known[share] = nature


def _edges(program: Builder, roots: Iterable[int], by: Iterable[int]) -> dict[int, int]:
    """For every tensor between `by` and the roots: how many edges lead from it towards them.

    Nothing passes through whole numbers and booleans: what only they read gets no share.
    """
    ancestors = set(roots)
    last = max(ancestors, default=-1)
    for tensor in range(last, -1, -1):
        if tensor in ancestors and program[tensor].type.dtype == "float":
            ancestors.update(program[tensor].value.operands)
    between: set[int] = set()
    targets = set(by)
    for tensor in range(last + 1):
        if tensor in ancestors and program[tensor].type.dtype == "float":
            operands = program[tensor].value.operands
            if tensor in targets or any(operand in between for operand in operands):
                between.add(tensor)
    edges = dict.fromkeys(sorted(between), 0)
    for tensor in edges:
        for operand in program[tensor].value.operands:
            if operand in edges:
                edges[operand] += 1
    return edges


def _total(program: Builder, tensor: int, shares: Sequence[int]) -> int:
    """The adjoint of a tensor from its shares; zeros where there are none."""
    definition = program[tensor]
    label = definition.label.of_gradient
    if isinstance(definition.type, Bundle):
        return _total_by_part(program, shares, label)
    if not shares:
        return program.add(literal(sp.Integer(0), definition.type.shape), label)
    if len(shares) == 1:
        program.relabel(shares[0], label, definition.origin)
        return shares[0]
    joined = side_by_side([program[share].value for share in shares], definition.type.shape)
    if joined is not None:
        return program.add(joined, label, definition.origin)
    body = sp.Add(*(slot(number) for number in range(len(shares))))
    return program.elementwise(body, shares, label, definition.origin)


def _total_by_part(program: Builder, shares: Sequence[int], label: Label) -> int:
    """The adjoint of a value with several results, from the shares of single results."""
    adjoints: dict[int, int] = {}
    for share in shares:
        value = program[share].value
        assert isinstance(value, Shares)
        for at, adjoint in zip(value.indices, value.adjoints, strict=True):
            if at in adjoints:  # a result that stays itself, read as itself and as its like
                pair = [adjoints[at], adjoint]
                adjoint = program.elementwise(slot(0) + slot(1), pair, label)
            adjoints[at] = adjoint
    indices = tuple(sorted(adjoints))
    return program.add(Shares(tuple(adjoints[at] for at in indices), indices), label)


def _shares(
    program: Builder, tensor: int, positions: Sequence[int], adjoint: int, natures: _Natures
) -> Sequence[int | None]:
    """What some operands of a tensor get of the tensor's adjoint."""
    value = program[tensor].value
    labels = [
        Label(f"{program[value.operands[one]].label.of_gradient.name}_part", -1)
        for one in positions
    ]
    if isinstance(value, Primitive):
        shares = value.shares(program, positions, adjoint, labels)
        for share in shares:
            if share is not None:
                moves = isinstance(value, (Reshape, Slice, Roll))
                nature = natures.of(adjoint)
                natures.note(share, nature if moves else Nature.of_sum(iter([nature])))
        return shares
    return [
        _share(program, tensor, *one, adjoint, natures)
        for one in zip(positions, labels, strict=True)
    ]


def _share(
    program: Builder, tensor: int, position: int, label: Label, adjoint: int, natures: _Natures
) -> int | None:
    """The same for one operand of a kernel."""
    definition = program[tensor]
    value = definition.value
    assert isinstance(value, Kernel)
    nature = natures.of(adjoint)
    if value.reduction != "sum":
        share = _share_of_extremum(program, tensor, adjoint, label, nature)
        natures.note(share, Nature.of_sum(iter([nature])))
        return share
    derivative = differentiated(value.body, position)
    if derivative == 0:
        return None
    upstream = slot(len(value.accesses))
    body, nature = poles.share(
        program, value, position, derivative, upstream, nature, natures.depends
    )
    share = program.add(
        adjoint_kernel(value, position, body, tensor, adjoint), label, definition.origin
    )
    natures.note(share, nature)
    return share


def adjoint_kernel(
    value: Kernel, position: int, body: sp.Expr, result: int, adjoint: int
) -> Kernel:
    """The one rule: the share of access `position`; the body is upstream · derivative."""
    own = slot(len(value.accesses) + 1)
    if value.elementwise:  # tanh′ = 1 - tanh² reads the stored tanh
        body = _reusing(body, value.body, own)
        body = _of_quotient(body, value.body, slot(position), own)
    return kernel(
        value.accesses[position].indices,
        value.sizes,
        body,
        [*value.accesses, Access(adjoint, value.output), Access(result, value.output)],
    )


def _reusing(derivative: sp.Expr, body: sp.Expr, result: sp.Symbol) -> sp.Expr:
    """The derivative with the result of the body put in wherever the body itself occurs."""
    if isinstance(body, sp.Symbol) or not body.args:
        return derivative
    if isinstance(body, sp.Pow) and body.exp.is_Rational and not body.exp.is_Integer:
        # √x occurs in its derivative as x^(-1/2)
        inverse = sp.Pow(body.base, -body.exp)
        return derivative.xreplace({body: result, inverse: 1 / result})
    return derivative.xreplace({body: result})


def _of_quotient(share: sp.Expr, body: sp.Expr, divisor: sp.Symbol, result: sp.Symbol) -> sp.Expr:
    """The share of a divisor in terms of the quotient: -(x / y) / y for -x / y².

    y² overflows, or vanishes, long before the quotient does.
    """
    exponent = body.as_powers_dict().get(divisor, 0) if body.is_Mul or body.is_Pow else 0
    if not (sp.sympify(exponent).is_Integer and exponent < 0):
        return share
    found: dict[sp.Expr, sp.Expr] = {}
    for part in sp.preorder_traversal(share):
        if isinstance(part, (sp.Mul, sp.Pow)):
            rest = part * divisor / body
            if divisor not in rest.free_symbols and part.has(divisor):
                found[part] = rest * result / divisor
    return share.xreplace(found)


def _share_of_extremum(
    program: Builder, tensor: int, adjoint: int, label: Label, nature: Nature
) -> int:
    """The adjoint of max and min: equal entries share equally, which is a subgradient."""
    definition = program[tensor]
    value = definition.value
    assert isinstance(value, Kernel)
    (access,) = value.accesses
    name = definition.label.name
    at_extremum = program.add(
        kernel(
            access.indices,
            value.sizes,
            to_float(equal(slot(0), slot(1))),
            [access, Access(tensor, value.output)],
        ),
        Label(f"{name}_ties"),
        definition.origin,
    )
    ties = Access(at_extremum, access.indices)
    count = program.add(
        kernel(value.output, value.sizes, slot(0), [ties]),
        Label(f"{name}_count"),
        definition.origin,
    )
    body = slot(0) * slot(1) / slot(2)
    if nature.pole:  # no other entry changes the extremum, whatever is made of it
        body = where(greater(slot(0), 0), slot(1), 0) / slot(2)
    share = kernel(
        access.indices,
        value.sizes,
        body,
        [ties, Access(adjoint, value.output), Access(count, value.output)],
    )
    return program.add(share, label, definition.origin)
