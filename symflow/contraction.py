"""Sums of products, taken apart until each is one NumPy call.

    Σ_i x[i, p]·d[i, k]·(1 - h[i, k]²)  →  g[i, k] = d[i, k]·(1 - h[i, k]²),   Σ_i x[i, p]·g[i, k]

A body is read as a product, and its factors are grouped by the set of indices that they carry.
Factors that carry no summed index leave the sum; a summed index that nothing carries is a
multiplication by its size; an index that only one group carries is summed inside that group. One
group left is an elementwise expression and a reduction; two are a contraction (`@`, dot, tensordot,
einsum); of more, the cheapest pair is contracted first.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import sympy as sp

from symflow.errors import Location
from symflow.picks import picked
from symflow.program import ONE, Access, Builder, Indices, Kernel, Label, kernel, slot, slots_of
from symflow.shapes import Shape
from symflow.signs import is_not_negative
from symflow.views import Reshape

NOMINAL_SIZE = 1000
"""What a size that is known only at run time counts as in an estimate."""


def elements(sizes: Iterable[sp.Expr]) -> float:
    """How many elements an array of these sizes has, nominally."""
    return math.prod(int(size) if size.is_Integer else _nominal(size) for size in sizes)


def _nominal(size: sp.Expr) -> float:
    return float(size.xreplace(dict.fromkeys(size.free_symbols, sp.Integer(NOMINAL_SIZE))))


@dataclass(frozen=True)
class _Factor:
    """A part of a product: a tensor under construction, and the indices that it carries."""

    access: Access

    @property
    def indices(self) -> frozenset[int]:
        return frozenset(index for index in self.access.indices if index is not None)


class _Sum:
    """One sum under reconstruction: a kernel's index space, and where new tensors go."""

    def __init__(
        self, program: Builder, value: Kernel, label: Label, origin: Location | None
    ) -> None:
        self.program = program
        self.value = value
        self.label = label
        self.origin = origin

    def size(self, indices: frozenset[int]) -> float:
        """How many elements an array over these indices has."""
        return elements(self.value.sizes[index] for index in sorted(indices))

    def tensor(
        self, body: sp.Expr, accesses: Sequence[Access], order: Sequence[int], name: str = ""
    ) -> _Factor:
        """A new tensor over the indices in `order`; the body's other indices are summed."""
        used = [accesses[number] for number in slots_of(body)]
        numbers = {index: at for at, index in enumerate(order)}
        for access in used:
            for index in access.indices:
                if index is not None:
                    numbers.setdefault(index, len(numbers))
        moved = [
            Access(one.tensor, tuple(None if i is None else numbers.get(i) for i in one.indices))
            for one in accesses
        ]
        sizes = [self.value.sizes[index] for index in numbers]
        value = kernel(range(len(order)), sizes, body, moved)
        label = Label("_".join(one for one in (self.label.name, name) if one))
        defined = self.program.add(value, label, self.origin)
        return _Factor(Access(defined, tuple(order)))


def _order(used: Sequence[Access], keep: frozenset[int]) -> tuple[int, ...]:
    """Axes in the order of the operand that has most of them, so that few are transposed."""
    order: list[int] = []
    for access in sorted(used, key=lambda one: -sum(i in keep for i in one.indices)):
        order += [i for i in access.indices if i is not None and i in keep and i not in order]
    return tuple(order)


def sum_of_products(program: Builder, value: Kernel, label: Label, origin: Location | None) -> int:
    """Add a sum to the program in normal form; return the tensor."""
    whole = _Sum(program, value, label, origin)
    body = value.body
    reduced = frozenset(value.reduced)
    if isinstance(body, sp.Add) and not _covered(value):
        terms = [
            sum_of_products(
                program,
                kernel(value.output, value.sizes, term, value.accesses),
                Label(label.name),
                origin,
            )
            for term in body.args
        ]
        total = sp.Add(*(slot(number) for number in range(len(terms))))
        return program.elementwise(total, terms, label, origin)
    outside: list[sp.Expr] = []
    groups: dict[frozenset[int], list[sp.Expr]] = {}
    for factor in sp.Mul.make_args(body):
        carried = value.carried(factor)
        if carried & reduced:
            groups.setdefault(carried, []).append(factor)
        else:
            outside.append(factor)
    outside += [value.sizes[index] for index in sorted(reduced.difference(*groups))]
    output = frozenset(i for i in value.output if i is not None)
    if len(groups) == 1:
        (carried,) = groups
        product = sp.Mul(*groups[carried])
        accesses: Sequence[Access] = value.accesses
        both = _halves(whole, product, carried)
        if both is None and not outside:
            return program.add(value, label, origin)
        if both is not None:
            product = slot(0) * slot(1)
            accesses = [factor.access for factor in both]
    else:
        factors = _symmetric(whole, groups) or _contracted(whole, groups, output)
        product = sp.Mul(*(slot(at) for at in range(len(factors))))
        accesses = [factor.access for factor in factors]
        carried = frozenset().union(*(factor.indices for factor in factors))
    if not outside:
        return _summed(program, _over(value, product, accesses, carried & reduced), label, origin)
    if carried >= output:
        total = _over(value, product, accesses, carried)
        inner = Access(_summed(program, total, Label(label.name), origin), value.output)
    else:
        inner = whole.tensor(product, accesses, sorted(carried - reduced)).access
    scaled = sp.Mul(*outside, slot(len(value.accesses)))
    result = _over(value, scaled, [*value.accesses, inner], frozenset())
    return program.add(result, label, origin)


def _over(
    value: Kernel, body: sp.Expr, accesses: Sequence[Access], summed: frozenset[int]
) -> Kernel:
    """A kernel with the same output, whose body is summed over fewer indices."""
    kept = [i for i in range(len(value.sizes)) if i in value.output or i in summed]
    numbers = {index: at for at, index in enumerate(kept)}
    moved = [
        Access(one.tensor, tuple(None if i is None else numbers.get(i) for i in one.indices))
        for one in accesses
    ]
    output = [None if i is None else numbers[i] for i in value.output]
    return kernel(output, [value.sizes[i] for i in kept], body, moved)


def _summed(program: Builder, value: Kernel, label: Label, origin: Location | None) -> int:
    """Add a sum that is one NumPy call, or becomes one by changes of shape."""
    if value.body == slot(0) * slot(1):
        moved = picked(program, value, label, origin)
        if moved is not None:
            return moved
        found = _matrices(value)
        if found is not None:
            return _one_product(program, value, found, label, origin)
        stack = _stack(value) if None not in value.output else None
        if stack is not None:
            return _stacked_product(program, value, stack, label, origin)
    return program.add(value, label, origin)


@dataclass(frozen=True)
class _Matrices:
    """Two accesses as matrices: which indices are their rows, what is summed, and their columns.

    A group of indices that follow each other wherever they stand is one axis.
    """

    left: Access
    right: Access
    rows: Indices
    summed: Indices
    columns: Indices


def _matrices(value: Kernel) -> _Matrices | None:
    """The operands of one matrix product, where merging axes makes the sum one.

    z[n, k, i] = Σ_j x[n, j]·w[k, i, j] is `x @ w.T` once k and i are one axis. A product of a
    stack of matrices and a matrix stays: NumPy's small products beat a large one that is thin.
    """
    out = _without_ones(value.output)
    for left, right in (value.accesses, value.accesses[::-1]):
        first, second = _without_ones(left.indices), _without_ones(right.indices)
        rows = tuple(index for index in out if index in first)
        columns = tuple(index for index in out if index in second)
        summed = tuple(index for index in first if index in value.reduced)
        if (
            out
            and out == (*rows, *columns)
            and first in ((*rows, *summed), (*summed, *rows))
            and second in ((*columns, *summed), (*summed, *columns))
            and max(map(len, (rows, summed, columns))) > 1
            and not (first == (*rows, *summed) and len(second) == 2 and len(summed) == 1)
        ):
            return _Matrices(left, right, rows, summed, columns)
    return None


def _without_ones(indices: Indices) -> Indices:
    return tuple(index for index in indices if index is not None)


def _one_product(
    program: Builder, value: Kernel, of: _Matrices, label: Label, origin: Location | None
) -> int:
    """One matrix product, with the axes merged before it and taken apart after it."""
    groups = [group for group in (of.rows, of.columns, of.summed) if group]
    sizes = [sp.Mul(*(value.sizes[i] for i in group if i is not None)) for group in groups]

    def merged(access: Access) -> Access:
        own = _without_ones(access.indices)
        order = [at for at, group in enumerate(groups) if set(group) <= set(own)]
        order.sort(key=lambda at: own.index(groups[at][0]))
        shape = tuple(sizes[at] for at in order)
        name = f"{program[access.tensor].label.name}_matrix"
        return Access(_reshaped(program, access.tensor, shape, Label(name), origin), tuple(order))

    output = [at for at, group in enumerate(groups) if group != of.summed]
    accesses = [merged(of.left), merged(of.right)]
    product = kernel(output, sizes, slot(0) * slot(1), accesses)
    shape = tuple(ONE if index is None else value.sizes[index] for index in value.output)
    if shape == tuple(sizes[at] for at in output):
        return program.add(product, label, origin)
    flat = program.add(product, Label(f"{label.name}_matrix"), origin)
    return program.add(Reshape(flat, shape), label, origin)


def _reshaped(
    program: Builder, tensor: int, shape: Shape, label: Label, origin: Location | None
) -> int:
    """A tensor in another shape; a reshape of a reshape is one."""
    source = program[tensor].value
    while isinstance(source, Reshape) and not program[tensor].label.exact:
        tensor, source = source.source, program[source.source].value
    if program[tensor].type.shape == shape:
        return tensor
    return program.add(Reshape(tensor, shape), label, origin)


def _stacked_product(
    program: Builder,
    value: Kernel,
    found: tuple[Access, Access],
    label: Label,
    origin: Location | None,
) -> int:
    """z[k, i, j, c] = Σ_o x[i, j, o]·w[k, o, c] is `@` of a matrix and a stack of matrices, once i
    and j are one axis; they get their own back.
    """
    (rows, stack), (summed,) = found, value.reduced
    *free, _ = rows.indices
    numbers = {index: at for at, index in enumerate(stack.indices, 1) if index is not None}
    sizes = [sp.Mul(*(value.sizes[index] for index in free if index is not None))]
    sizes += [value.sizes[index] for index in numbers]
    matrix = Reshape(rows.tensor, (sizes[0], value.sizes[summed]))
    accesses = [
        Access(program.add(matrix, Label(f"{label.name}_rows"), origin), (0, numbers[summed])),
        Access(stack.tensor, tuple(numbers.values())),
    ]
    output = [numbers.get(index, 0) for index in value.output if index is not None]
    output = [index for at, index in enumerate(output) if index or 0 not in output[:at]]
    product = kernel(output, sizes, slot(0) * slot(1), accesses)
    shape = tuple(value.sizes[index] for index in value.output if index is not None)
    reshaped = Reshape(program.add(product, Label(f"{label.name}_stack"), origin), shape)
    return program.add(reshaped, label, origin)


def _stack(value: Kernel) -> tuple[Access, Access] | None:
    """Rows along several axes, and the matrices that all of them are multiplied by."""
    for rows, stack in (value.accesses, value.accesses[::-1]):
        free, matrices = rows.indices[:-1], stack.indices
        columns = [index for index in matrices[-2:] if index not in value.reduced]
        if (
            len(free) > 1
            and len(matrices) > 2
            and len(columns) == 1
            and None not in matrices
            and value.reduced == (rows.indices[-1],)
            and value.output == (*matrices[:-2], *free, *columns)
        ):
            return rows, stack
    return None


def _covered(value: Kernel) -> bool:
    """Whether one operand has all indices, so that nothing larger than it has to be made."""
    return any(len(set(access.indices) - {None}) == len(value.sizes) for access in value.accesses)


def _halves(
    whole: _Sum, product: sp.Expr, carried: frozenset[int]
) -> tuple[_Factor, _Factor] | None:
    """A summed product as the dot product of two tensors, which needs no array of products.

    Σ (x - y)² is the product of x - y with itself; Σ tanh(x)·y·z that of y with tanh(x)·z. What
    divides stays with what it divides.
    """
    accesses = whole.value.accesses
    if any(whole.program[accesses[at].tensor].type.dtype != "float" for at in slots_of(product)):
        return None
    if isinstance(product, sp.Pow) and product.exp.is_Integer and product.exp.is_even:
        if product.exp < 0:
            return None
        left = right = product.base ** (product.exp / 2)
    else:
        factors = [one for one in sp.Mul.make_args(product) if not _divides(one)]
        if len(factors) < 2:
            return None
        left = next((one for one in factors if one.is_Symbol), factors[0])
        right = product / left

    def half(body: sp.Expr) -> _Factor:
        used = [accesses[at] for at in slots_of(body)]
        return (
            _Factor(used[0])
            if body.is_Symbol
            else whole.tensor(body, accesses, order, called(body))
        )

    symbols = [accesses[slots_of(one)[0]] for one in (left, right) if one.is_Symbol]
    order = _order([*symbols, *(accesses[at] for at in slots_of(product))], carried)
    return half(left), half(right)


def _symmetric(whole: _Sum, groups: dict[frozenset[int], list[sp.Expr]]) -> list[_Factor] | None:
    """Σ_n x[n, i]·d[n]·x[n, j] as z.T @ z with z = √d·x, where d is nowhere negative.

    NumPy computes half of the product of a matrix with its own transpose, and mirrors it.
    """
    accesses = whole.value.accesses
    single = [parts[0] for parts in groups.values() if len(parts) == 1 and parts[0].is_Symbol]
    for left, right in itertools.combinations(single, 2):
        first, second = (accesses[slots_of(one)[0]] for one in (left, right))
        if first.tensor != second.tensor:
            continue
        both = frozenset(first.indices) & frozenset(second.indices)
        rest = [one for parts in groups.values() for one in parts if one not in (left, right)]
        swapped = [
            pair for pair in zip(first.indices, second.indices, strict=True) if len({*pair}) > 1
        ]
        if len(swapped) != 1 or not rest or not {*swapped[0]} <= {*whole.value.output}:
            continue
        weight = sp.Mul(*rest)
        if not whole.value.carried(weight) <= both:
            continue
        if not is_not_negative(whole.program, whole.value, weight):
            continue
        order = [index for index in first.indices if index is not None]
        root = whole.tensor(sp.sqrt(weight) * left, accesses, order, "root")
        turned = dict([swapped[0]])
        return [root, _Factor(Access(root.access.tensor, tuple(turned.get(i, i) for i in order)))]
    return None


def called(body: sp.Expr) -> str:
    """What a part of a body is called after its outermost operation."""
    if isinstance(body, sp.Add):
        subtracts = any(term.could_extract_minus_sign() for term in body.args)
        return "difference" if subtracts else "sum"
    if isinstance(body, sp.Pow):
        return "sqrt" if body.exp == sp.Rational(1, 2) else "power"
    return "product" if isinstance(body, sp.Mul) else type(body).__name__.lower()


def _divides(factor: sp.Expr) -> bool:
    return isinstance(factor, sp.Pow) and bool(factor.exp.is_Number and factor.exp < 0)


def _contracted(
    whole: _Sum, groups: dict[frozenset[int], list[sp.Expr]], output: frozenset[int]
) -> list[_Factor]:
    """At most two factors whose product, summed over what is not in the output, is the sum."""
    accesses = whole.value.accesses
    names = list(groups)
    factors: list[_Factor] = []
    for number, carried in enumerate(names):
        others = output.union(*names[:number], *names[number + 1 :])
        body = sp.Mul(*groups[carried])
        if carried <= others and body.is_Symbol:
            factors.append(_Factor(accesses[slots_of(body)[0]]))
        else:
            used = [accesses[at] for at in slots_of(body)]
            factors.append(whole.tensor(body, accesses, _order(used, carried & others)))
    while len(factors) > 2:
        first, second = min(
            itertools.combinations(range(len(factors)), 2),
            key=lambda pair: _price(whole, factors, pair, output),
        )
        kept = _kept(factors, (first, second), output)
        pair = [factors[first].access, factors[second].access]
        product = whole.tensor(slot(0) * slot(1), pair, sorted(kept))
        rest = [factors[at] for at in range(len(factors)) if at not in (first, second)]
        factors = [*rest, product]
    return factors


def _kept(
    factors: Sequence[_Factor], pair: tuple[int, int], output: frozenset[int]
) -> frozenset[int]:
    """The indices of a pair that are still needed once the two are multiplied."""
    others = [factor.indices for at, factor in enumerate(factors) if at not in pair]
    together = factors[pair[0]].indices | factors[pair[1]].indices
    return together & output.union(*others)


def _price(
    whole: _Sum, factors: Sequence[_Factor], pair: tuple[int, int], output: frozenset[int]
) -> tuple[float, float]:
    """Multiplications, then elements of the result, of contracting a pair first."""
    together = factors[pair[0]].indices | factors[pair[1]].indices
    return whole.size(together), whole.size(_kept(factors, pair, output))
