"""Writing what a kernel reads into the kernel itself: indices composed, bodies replaced."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

import sympy as sp

from symflow.elementwise import canonical
from symflow.program import Access, Builder, Indices, Kernel, in_order, kernel, slot, slots_of
from symflow.rules import cost


def composed(source: Kernel, inner: Access, indices: Indices) -> Access:
    """`inner`, an access inside `source`, seen from a kernel that reads source at `indices`."""
    outer = dict(zip(source.output, indices, strict=True))
    return Access(inner.tensor, tuple(None if i is None else outer[i] for i in inner.indices))


def substituted(program: Builder, value: Kernel, positions: list[int]) -> Kernel:
    """The kernel with some operands, elementwise kernels themselves, replaced by their bodies.

    The kernel as it is where SymPy leaves the real numbers then: √(-x²) is NaN, and not i·|x|.
    """
    sources: list[tuple[int, Kernel]] = []
    for position in positions:
        source = program[value.accesses[position].tensor].value
        assert isinstance(source, Kernel)
        sources.append((position, source))
    read = {*value.operands, *(one for _, source in sources for one in source.operands)}
    tensors = sorted(read)
    ranks = {tensor: rank for rank, tensor in enumerate(tensors)}
    form = value.rebind(ranks.__getitem__)
    forms = tuple((position, source.rebind(ranks.__getitem__)) for position, source in sources)
    joined = _joined(form, forms)
    return value if joined.body.has(sp.I) else joined.rebind(tensors.__getitem__)


@lru_cache(maxsize=65536)
def _joined(value: Kernel, sources: tuple[tuple[int, Kernel], ...]) -> Kernel:
    """A kernel with sources in place of some operands; kernels of one form are joined once."""
    read: dict[int, list[Access]] = {
        position: [
            composed(source, one, value.accesses[position].indices) for one in source.accesses
        ]
        for position, source in sources
    }
    stay = [at for at in range(len(value.accesses)) if at not in read]
    found = [value.accesses[at] for at in stay]
    found += [access for inner in read.values() for access in inner]
    accesses = in_order(value.output, len(value.sizes), found)
    numbers = {access: slot(number) for number, access in enumerate(accesses)}
    replacements: dict[sp.Symbol, sp.Expr] = {slot(at): numbers[value.accesses[at]] for at in stay}
    for position, source in sources:
        inner = {slot(at): numbers[access] for at, access in enumerate(read[position])}
        replacements[slot(position)] = _replaced(source.body, inner)
    body = canonical(_replaced(value.body, replacements))
    return kernel(value.output, value.sizes, body, accesses)


def _replaced(body: sp.Expr, replacements: Mapping[sp.Symbol, sp.Expr]) -> sp.Expr:
    """SymPy builds every expression anew in which something is replaced, be it by itself."""
    return body.xreplace({old: new for old, new in replacements.items() if old != new})


@lru_cache(maxsize=65536)
def parts_sum(body: sp.Expr, number: int, source: sp.Expr) -> bool:
    """Whether SymPy would add in another order: of x + (y - z) it makes x + y - z, which is rounded
    otherwise.
    """
    return source.is_Add and any(slot(number) in total.args for total in body.atoms(sp.Add))


@lru_cache(maxsize=65536)
def takes_root_apart(body: sp.Expr, number: int, source: sp.Expr) -> bool:
    """Whether SymPy would make 0 · √x of a root that is 0, with x below 0: √(w²·x) → |w|·√x."""
    for power in body.atoms(sp.Pow):
        if power.exp.is_Integer or not power.base.has(slot(number)):
            continue
        apart = {slot(at): slot(at + len(body.free_symbols) + 100) for at in slots_of(source)}
        base = power.base.xreplace({slot(number): source.xreplace(apart)})
        factors = sp.Mul.make_args(sp.Pow(base, power.exp))
        roots = [one for one in factors if isinstance(one, sp.Pow) and not one.exp.is_Integer]
        rest = [one for one in factors if one not in roots]
        negative = any(slots_of(one.base) and not one.base.is_nonnegative for one in roots)
        if negative and any(not one.is_positive for one in rest):
            return True
    return False


def read_through(program: Builder, value: Kernel, depth: int = 3, parted: bool = True) -> Kernel:
    """The kernel with the elementwise kernels that it reads written out in its body.

    parted  also sums as terms of sums
    """
    for _ in range(depth):
        through = [
            position
            for position, access in enumerate(value.accesses)
            if isinstance(source := program[access.tensor].value, Kernel)
            and source.elementwise
            and source.accesses
            and not program.kept(access.tensor)
            and not program.has_extremum(access.tensor)
            and cost(source.body) + cost(value.body) < 20
            and not takes_root_apart(value.body, position, source.body)
            and (parted or not parts_sum(value.body, position, source.body))
        ]
        if not through:
            break
        value = substituted(program, value, through)
    return value
