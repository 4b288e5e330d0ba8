"""Program → Program: contractions of differences become differences of contractions.

    Σ_j w[k, i, j]·(x[n, j] - m[k, j])  →  Σ_j w[k, i, j]·x'[n, j] - Σ_j w[k, i, j]·m'[k, j]

The left side needs an array over n, k and j, and one product for every k. On the right, the first
sum is a single matrix product, with k and i as one axis, and the second does not depend on n.
This is done for any factor that adds terms over different indices, where it costs less, and where
it costs no digits. x - m is small where both nearly agree, and exact; their products with w are
neither. But where x is the result of arithmetic, it carries the rounding error of a number of its
own size, and so does x - m as written: an error of that size in Σ w·x is no worse. So one of the
two terms must have been rounded. Data and parameters have not been, nor what only moves, repeats
or selects their entries: their differences are formed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import sympy as sp

from symflow.contraction import elements, sum_of_products
from symflow.elementwise import Opaque
from symflow.errors import Location
from symflow.estimates import estimate
from symflow.primitives import Primitive
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
            added = moved[tensor] = _parted(builder, found, one.label, one.origin)
            forms = [formula_text(builder, form) for form in (found.value, found.in_parts)]
            applied.append((added, Rewrite(RULE, one.label.name, one.origin, *forms)))
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

    @property
    def in_parts(self) -> Kernel:
        """The same with the product multiplied out."""
        body = self.rest * self.large + self.rest * self.small
        return _over(self.value, self.value.output, body, self.value.accesses, self.value.reduced)


def _affine(program: Builder, value: Kernel, vanishing: set[int]) -> _Affine | None:
    """The sum as one that is cheaper in parts, or None."""
    if not _is_sum(value):
        return None
    found = _parts(program, value)
    if found is not None:
        return found if _is_cheaper(program, value, None, found) else None
    for position, access in enumerate(value.accesses):
        source = program[access.tensor].value
        if not isinstance(source, Kernel) or not source.elementwise or program.kept(access.tensor):
            continue
        if _factor(source, set(source.output)) is None:
            continue
        found = _parts(program, substituted(program, value, [position]))
        made = access.tensor if access.tensor in vanishing else None
        if found is not None and _is_cheaper(program, value, made, found):
            return found
    return None


def _parts(program: Builder, value: Kernel) -> _Affine | None:
    found = _factor(value, set(value.reduced))
    if found is None or not any(_is_rounded(program, value, term) for term in found[1:]):
        return None
    return _taken_apart(value, *found)


def _taken_apart(value: Kernel, factor: sp.Expr, first: sp.Expr, second: sp.Expr) -> _Affine | None:
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


def _is_rounded(program: Builder, value: Kernel, part: sp.Expr) -> bool:
    """Whether every entry of a part of a body carries a rounding error of its own size."""
    if isinstance(part, sp.Symbol):
        read = slots_of(part)
        return bool(read) and _is_computed(program, value.accesses[read[0]].tensor)
    if isinstance(part, sp.Add):
        return any(_is_rounded(program, value, term) for term in part.args)
    number, rest = part.as_coeff_Mul()
    if number in (-1, 2, -2, sp.S.Half, -sp.S.Half):
        return _is_rounded(program, value, rest)
    if isinstance(part, Opaque):
        numbers = part.args[type(part).result_from :]
        selected = type(part).row.name in _SELECTING
        rounded = all(_is_rounded(program, value, one) for one in numbers)
        return rounded if selected else type(part).row.name in _ROUNDING
    return bool(part.args) and bool(slots_of(part))


_SELECTING = frozenset({"abs", "clip_by_value", "maximum", "minimum", "relu", "to_float", "where"})
"""Functions whose results are entries of their operands, up to sign, or numbers."""

_ROUNDING = frozenset({"expm1", "log1p", "logaddexp", "sigmoid", "softplus", "swish"})
"""Functions whose results are rounded wherever they are. Those of SymPy's are, too."""


def _is_computed(program: Builder, tensor: int) -> bool:
    value = program[tensor].value
    if isinstance(value, Kernel):
        if value.reduction != "sum":
            return _is_computed(program, value.accesses[0].tensor)
        return bool(value.reduced) or _is_rounded(program, value, value.body)
    if isinstance(value, Primitive):  # a view moves the entries of all that it reads
        return all(_is_computed(program, operand) for operand in value.operands)
    return False


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
    factor = _factor(inner, set(inner.reduced))
    again = None if factor is None else _taken_apart(inner, *factor)
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


def _parted(program: Builder, found: _Affine, label: Label, origin: Location | None) -> int:
    """Add the sum in two parts."""
    value = found.value
    sign = -1 if found.small.could_extract_minus_sign() else 1
    both: list[Access] = []
    for term, name in ((found.large, "product"), (sign * found.small, "offset")):
        body = found.rest * term
        carried = value.carried(body)
        output = tuple(i for i in value.output if i is not None and i in carried)
        summed = _over(value, output, body, value.accesses, value.reduced)
        called = Label(f"{label.name}_{name}")
        both.append(Access(sum_of_products(program, summed, called, origin), output))
    total = _over(value, value.output, slot(0) + sign * slot(1), both)
    return program.add(total, label, origin)


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
