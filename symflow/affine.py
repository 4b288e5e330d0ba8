"""Program → Program: contractions of differences become differences of contractions.

    Σ_j w[k, i, j]·(x[n, j] - m[k, j])  →  Σ_j w[k, i, j]·x'[n, j] - Σ_j w[k, i, j]·m'[k, j]

The left side needs an array over n, k and j, and one product for every k. On the right, the first
sum is a single matrix product, with k and i as one axis, and the second does not depend on n.
This is done for any factor that adds terms over different indices, where it costs less.

It changes rounding. A difference of large numbers that nearly agree is small and exact, and their
products with w are neither. So what both terms have in common is first taken out of both:

    x'[n, j] = x[n, j] - c[j],    m'[k, j] = m[k, j] - c[j],    c[j] = mean of m[k, j] over k

which is exact mathematics for any c. Then a common offset, however large, costs no digits: the
error of an entry is that of numbers of the size of |x[n] - c| and |m[k] - c|. The digits that can
still be lost are those of the spread of the m over their distance to x: three, where the m lie a
thousand times farther from each other than from the x that are compared with them. One m that is
farther away than that blurs all; `--without affine-contraction` leaves everything as written.
The smaller term gives c, so that no sum over many rows has to be finished before the first
product can start.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import sympy as sp

from symflow.contraction import elements, sum_of_products
from symflow.errors import Location
from symflow.estimates import estimate
from symflow.program import (
    Access,
    Builder,
    Derivative,
    Indices,
    Input,
    Kernel,
    Label,
    Program,
    kernel,
    slot,
    slots_of,
    without_dead_code,
)
from symflow.stabilisation import ALL_RULES, Rewrite, Rules, formula_text
from symflow.substitution import substituted

RULE = "affine-contraction"


def distributed(program: Program, rules: Rules = ALL_RULES) -> Program:
    """The program with products distributed over sums where that is cheaper."""
    if RULE in rules.without:
        return program
    summed_only = _summed_only(program)
    kept = {one.value.by for one in program.definitions if isinstance(one.value, Derivative)}
    builder = Builder()
    moved: dict[int, int] = {}
    vanishing: set[int] = set()
    applied: list[tuple[int, Rewrite]] = []
    for tensor, one in enumerate(program.definitions):
        value = one.value.rebind(moved.__getitem__)
        found = _affine(builder, value, vanishing) if isinstance(value, Kernel) else None
        if found is None:
            moved[tensor] = builder.add(value, one.label, one.origin, alone=tensor in kept)
        else:
            added, after = _parted(builder, found, one.label, one.origin)
            before = formula_text(builder, found.value)
            rewrite = Rewrite(
                RULE, one.label.name, one.origin, before, formula_text(builder, after)
            )
            applied.append((added, rewrite))
            moved[tensor] = added
        if summed_only[tensor]:
            vanishing.add(moved[tensor])
    outputs = {name: moved[tensor] for name, tensor in program.outputs.items()}
    rebuilt = builder.program(outputs)
    if rules.applied is not None:
        live = rebuilt.live()
        rules.applied.extend(rewrite for tensor, rewrite in applied if live[tensor])
    return without_dead_code(rebuilt)


def _summed_only(program: Program) -> list[bool]:
    """For every tensor, whether nothing but sums reads it, so that it may vanish from all."""
    found = [True] * len(program.definitions)
    for tensor in program.outputs.values():
        found[tensor] = False
    for one in program.definitions:
        if not _is_sum(one.value):
            for operand in one.value.operands:
                found[operand] = False
    return found


def _is_sum(value: object) -> bool:
    return isinstance(value, Kernel) and bool(value.reduced) and value.reduction == "sum"


@dataclass(frozen=True)
class _Affine:
    """A sum of `rest · (large + small)`, whose last two carry different indices."""

    value: Kernel
    rest: sp.Expr
    large: sp.Expr
    small: sp.Expr


def _affine(program: Builder, value: Kernel, vanishing: set[int]) -> _Affine | None:
    """The sum as one that is cheaper in parts, or None."""
    if not _is_sum(value):
        return None
    found = _parts(value)
    if found is not None:
        return found if _is_cheaper(program, value, None, found) else None
    for position, access in enumerate(value.accesses):
        source = program[access.tensor].value
        if not isinstance(source, Kernel) or not source.elementwise or program.kept(access.tensor):
            continue
        if _factor(source, set(source.output)) is None:
            continue
        found = _parts(substituted(program, value, [position]))
        made = access.tensor if access.tensor in vanishing else None
        if found is not None and _is_cheaper(program, value, made, found):
            return found
    return None


def _parts(value: Kernel) -> _Affine | None:
    found = _factor(value, set(value.reduced))
    if found is None:
        return None
    factor, first, second = found
    rest = sp.Mul(*(one for one in sp.Mul.make_args(value.body) if one != factor))
    sizes = [elements(value.sizes[i] for i in value.carried(one)) for one in (first, second)]
    large, small = (first, second) if sizes[0] >= sizes[1] else (second, first)
    return _Affine(value, rest, large, small) if slots_of(rest) else None


def _factor(value: Kernel, over: set[int | None]) -> tuple[sp.Expr, sp.Expr, sp.Expr] | None:
    """A factor that adds two terms over different indices, and those terms."""
    for factor in sp.Mul.make_args(value.body):
        if not isinstance(factor, sp.Add) or not value.carried(factor) & over:
            continue
        terms: dict[frozenset[int], list[sp.Expr]] = {}
        for term in sorted(factor.args, key=lambda one: -len(value.carried(one))):
            carried = value.carried(term)
            home = next((other for other in terms if carried <= other), carried)
            terms.setdefault(home, []).append(term)
        if len(terms) == 2:
            first, second = (sp.Add(*parts) for parts in terms.values())
            return factor, first, second
    return None


def _is_cheaper(program: Builder, value: Kernel, made: int | None, found: _Affine) -> bool:
    """Whether the parts cost less than the sum, and than the factor `made` that vanishes."""
    whole = Builder()
    reads = _inputs(program, whole, value)
    if made is not None:
        source = program[made].value
        assert isinstance(source, Kernel)
        reads[made] = whole.add(
            source.rebind(_inputs(program, whole, source).__getitem__), Label("")
        )
    before = value.rebind(reads.__getitem__)
    assert isinstance(before, Kernel)
    sum_of_products(whole, before, Label(""), None)
    parts = Builder()
    inner = found.value.rebind(_inputs(program, parts, found.value).__getitem__)
    assert isinstance(inner, Kernel)
    again = _parts(inner)
    assert again is not None
    _parted(parts, again, Label(""), None)
    costs = [estimate(one, range(len(one.definitions))) for one in (whole, parts)]
    return costs[1] < costs[0]


def _inputs(program: Builder, builder: Builder, value: Kernel) -> dict[int, int]:
    """For every operand, an input of the same type in another program."""
    return {
        operand: builder.add(Input(str(operand), program[operand].type, "placeholder"), Label(""))
        for operand in value.operands
    }


def _parted(
    program: Builder, found: _Affine, label: Label, origin: Location | None
) -> tuple[int, Kernel]:
    """Add the sum in two parts; return it, and the sum that the parts are of."""
    value = found.value
    common = value.carried(found.large) & value.carried(found.small)
    outer = value.carried(found.small) - common
    share = sp.Mul(*(value.sizes[index] for index in sorted(outer)))
    accesses = list(value.accesses)

    def add(body: sp.Expr, order: Sequence[int], name: str) -> sp.Expr:
        """A tensor over some indices, as one more operand."""
        indices = tuple(order)
        tensor = program.add(_over(value, indices, body, accesses), Label(name), origin)
        accesses.append(Access(tensor, indices))
        return slot(len(accesses) - 1)

    sign = -1 if found.small.could_extract_minus_sign() else 1
    names = [_name(program, part, value, label) for part in (found.large, found.small)]
    centre = add(sign * found.small / share, sorted(common), f"{names[1]}_mean")
    large = add(found.large + sign * centre, _order(value, found.large), f"{names[0]}_centred")
    small = add(sign * found.small - centre, _order(value, found.small), f"{names[1]}_centred")
    widened = kernel(value.output, value.sizes, found.rest * (large + sign * small), accesses)
    both: list[Access] = []
    for term, name in ((large, "product"), (small, "offset")):
        body = found.rest * term
        carried = {i for n in slots_of(body) for i in accesses[n].indices}
        output = tuple(i for i in value.output if i is not None and i in carried)
        summed = _over(value, output, body, accesses, value.reduced)
        called = Label(f"{label.name}_{name}")
        both.append(Access(sum_of_products(program, summed, called, origin), output))
    total = _over(value, value.output, slot(0) + sign * slot(1), both)
    return program.add(total, label, origin), widened


def _over(
    value: Kernel,
    output: Indices,
    body: sp.Expr,
    accesses: Sequence[Access],
    summed: Sequence[int] = (),
) -> Kernel:
    """A kernel in the indices of another one, which are numbered anew."""
    used = [accesses[number] for number in slots_of(body)]
    order = dict.fromkeys(i for i in (*output, *summed) if i is not None)
    order |= dict.fromkeys(i for access in used for i in access.indices if i is not None)
    numbers: dict[int | None, int] = {index: at for at, index in enumerate(order)}
    moved = [
        Access(one.tensor, tuple(None if i is None else numbers.get(i) for i in one.indices))
        for one in accesses
    ]
    sizes = [value.sizes[index] for index in order]
    return kernel([None if i is None else numbers[i] for i in output], sizes, body, moved)


def _order(value: Kernel, part: sp.Expr) -> list[int]:
    """The indices of a part in the order in which its largest operand has them."""
    used = sorted(
        (value.accesses[number] for number in slots_of(part)), key=lambda one: -len(one.indices)
    )
    return list(dict.fromkeys(i for access in used for i in access.indices if i is not None))


def _name(program: Builder, part: sp.Expr, value: Kernel, label: Label) -> str:
    """What a term is called: as its only operand, or after the sum that it is in."""
    numbers = slots_of(part)
    return (
        program[value.accesses[numbers[0]].tensor].label.name if len(numbers) == 1 else label.name
    )
