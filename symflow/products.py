"""The linear part of a tensor as a sum of products, each of data and of one δ.

    y[n] = Σ_k x[n, k]·w[k] + b      has the linear part      Σ_k x[n, k]·δ_w[k] + δ_b

A kernel that is affine in what moves carries the products of its operands to products of its
own, the slopes of its body being the new factors. A view is linear too: a view of δ, or of a sum
of products that has been computed, is another δ.

A product is computed in two parts. Its factors of data are summed over all indices that neither
the result nor δ has, which gives a moment; that is multiplied by δ and summed over the rest.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

import sympy as sp

from symflow.elementwise import ROWS
from symflow.invariants import dependent
from symflow.polynomials import slopes, without
from symflow.program import (
    ONE,
    Access,
    Builder,
    Definition,
    Indices,
    Input,
    Kernel,
    Label,
    Program,
    dtype_of,
    indices_of,
    kernel,
    literal,
    slot,
    slots_of,
)
from symflow.substitution import composed
from symflow.views import Concat, Place, Reshape, Slice

LINEAR_VIEWS = (Reshape, Slice, Place, Concat)

MOST_PRODUCTS = 64
"""Products of one tensor beyond which a model is no sum of a few."""

MOST_FACTORS = 16
"""Tensors in one product beyond which it is not expanded further."""

Products = dict[Kernel, sp.Expr]
"""A sum of products of data and one δ, each with the number in front of it."""


class Expansion:
    """The linear parts of the tensors of a program, for parameters that move by δ.

    builder  a program under construction: the data as in the source, for every parameter an
             input δ of its name, moments, and what is computed of them
    changes  from the name of each parameter to its δ
    moving   δ and views of it: what products are products of
    """

    def __init__(self, source: Program, parameters: Sequence[str]) -> None:
        self.builder = Builder()
        self.changes: dict[str, int] = {}
        self.moving: set[int] = set()
        self._source = source
        self._moves = dependent(source, parameters)
        self._data: dict[int, int] = {}
        self._products: dict[int, Products] = {}

    def add(self, tensor: int) -> bool:
        """Add a tensor of the source, after its operands; False if it is not plainly affine."""
        definition = self._source[tensor]
        if not self._moves[tensor]:
            value = definition.value.rebind(self._data.__getitem__)
            self._data[tensor] = self.builder.add(value, definition.label, definition.origin)
            return True
        products = self._products_of(definition)
        if products is None or len(products) > MOST_PRODUCTS:
            return False
        if any(len(product.accesses) > MOST_FACTORS for product in products):
            return False
        self._products[tensor] = products
        return True

    def linear_part(self, tensor: int) -> int:
        """The tensor of `builder` that is the linear part of a tensor of the source."""
        definition = self._source[tensor]
        label = Label(f"{definition.label.name}_change")
        shares = _Shares(self.builder, self.moving, label)
        for product, number in self._products.get(tensor, {}).items():
            shares.add(product, number)
        parts = shares.tensors()
        if not parts:
            return self.builder.add(literal(sp.Integer(0), definition.type.shape), label)
        total = sp.Add(*(slot(number) for number in range(len(parts))))
        return self.builder.elementwise(total, parts, label)

    def _products_of(self, definition: Definition) -> Products | None:
        value = definition.value
        if isinstance(value, Input):
            label = Label(f"{definition.label.name}_change", 2)
            change = self.builder.add(value, label, definition.origin)
            self.changes[value.name] = change
            return self._whole(change)
        renamed = self._renaming(value) if isinstance(value, Reshape) else value
        if isinstance(renamed, Kernel):
            return self._through(renamed)
        if isinstance(value, LINEAR_VIEWS):
            if not any(self._products.get(operand) for operand in value.operands):
                return {}
            view = value.rebind(self.linear_part)
            return self._whole(self.builder.add(view, Label(f"{definition.label.name}_change")))
        return None

    def _whole(self, tensor: int) -> Products:
        """A tensor that depends on δ, as one product."""
        self.moving.add(tensor)
        indices, sizes = indices_of(self.builder[tensor].type.shape)
        return {kernel(indices, sizes, slot(0), [Access(tensor, indices)]): sp.Integer(1)}

    def _renaming(self, value: Reshape) -> Kernel | None:
        """A change of shape that only adds and drops axes of size one, as a renaming of axes."""
        before, after = self._source[value.source].type.shape, value.shape
        if [size for size in before if size != ONE] != [size for size in after if size != ONE]:
            return None
        indices, sizes = indices_of(after)
        read, _ = indices_of(before)
        return kernel(indices, sizes, slot(0), [Access(value.source, read)])

    def _through(self, value: Kernel) -> Products | None:
        """The products of a kernel, from those of its operands."""
        moving = frozenset(at for at, one in enumerate(value.operands) if self._moves[one])
        found = slopes(value.body, moving) if value.reduction == "sum" else None
        if found is None:
            return None
        products: Products = {}
        for position, slope in found.items():
            access = value.accesses[position]
            for product, number in self._products[access.tensor].items():
                carried, factor = _split(self._carried(value, slope, access, product))
                products[carried] = products.get(carried, sp.Integer(0)) + number * factor
        return {product: number for product, number in products.items() if number != 0}

    def _carried(self, value: Kernel, slope: sp.Expr, access: Access, product: Kernel) -> Kernel:
        """slope·product over the indices of the kernel, which reads the product at `access`."""
        accesses = [self._of_data(one) for one in value.accesses]
        inner = dict(zip(product.output, access.indices, strict=True))
        sizes = list(value.sizes)
        for index in product.reduced:
            inner[index] = len(sizes)
            sizes.append(product.sizes[index])
        beyond = {slot(at): slot(len(accesses) + at) for at in range(len(product.accesses))}
        accesses += [
            Access(one.tensor, tuple(None if i is None else inner[i] for i in one.indices))
            for one in product.accesses
        ]
        return kernel(value.output, sizes, slope * product.body.xreplace(beyond), accesses)

    def _of_data(self, access: Access) -> Access:
        """An access to the source as one to `builder`; renamed axes are read as they were."""
        if self._moves[access.tensor]:
            return access  # no slope mentions it
        read = Access(self._data[access.tensor], access.indices)
        while isinstance(value := self.builder[read.tensor].value, Kernel) and value.is_index_map:
            read = composed(value, value.accesses[0], read.indices)
        return read


def _split(product: Kernel) -> tuple[Kernel, sp.Expr]:
    """A product without the number in front of it, and that number."""
    slots = [slot(number) for number in slots_of(product.body)]
    number, body = product.body.as_independent(*slots, as_Add=False)
    return kernel(product.output, product.sizes, body, product.accesses), number


# --- moments ---------------------------------------------------------------------------------


class _Shares:
    """The products of one tensor as moments times δ, ready to be added up.

    Products that differ in their moment alone are one, whose moment is the sum.
    """

    def __init__(self, builder: Builder, moving: set[int], label: Label) -> None:
        self.builder = builder
        self.moving = moving
        self.label = label
        self._terms: dict[object, tuple[_Term, list[Access]]] = {}

    def add(self, product: Kernel, number: sp.Expr) -> None:
        term = _Term.of(product, number, self.moving)
        moments = [self._moment(term, part) for part in term.parts]
        key: object = product, number
        if len(moments) == 1:
            key = term.change, frozenset(moments[0].indices)
        elif not moments:
            key = term.change, None
        if key not in self._terms:
            self._terms[key] = term, moments
        elif moments:
            self._terms[key][1].extend(moments)
        else:
            first, _ = self._terms[key]
            self._terms[key] = replace(first, number=first.number + term.number), []

    def tensors(self) -> list[int]:
        """What is to be added up."""
        return [self._tensor(term, moments) for term, moments in self._terms.values()]

    def _tensor(self, term: _Term, moments: list[Access]) -> int:
        if len(moments) > len(term.parts):
            moments = [self._total(term, moments)]
        body = sp.Mul(term.number, *(slot(number) for number in range(len(moments) + 1)))
        sizes = term.product.sizes[: term.kept]
        value = kernel(term.product.output, sizes, body, [*moments, term.change])
        return self.builder.add(value, self.label)

    def _moment(self, term: _Term, part: sp.Expr) -> Access:
        """Some factors of data, summed over the indices that only data have.

        The axes come in the order in which the tensors have them, whichever product it is for.
        """
        accesses = term.product.accesses
        dtypes = tuple(self.builder[access.tensor].type.dtype for access in accesses)
        if dtype_of(part, dtypes) != "float":
            part = ROWS["to_float"](part)  # a count of rows would widen float32
        axes = dict.fromkeys(
            index
            for number in slots_of(part)
            for index in accesses[number].indices
            if index is not None and index < term.kept
        )
        order = (*axes, *sorted(term.product.carried(part) - axes.keys()))
        numbers = {index: at for at, index in enumerate(order)}
        moved = [
            Access(one.tensor, tuple(None if i is None else numbers.get(i) for i in one.indices))
            for one in accesses
        ]
        sizes = [term.product.sizes[index] for index in order]
        value = kernel(range(len(axes)), sizes, part, moved)
        if value.is_index_map and value.accesses[0].indices == value.output:
            return Access(value.accesses[0].tensor, tuple(axes))
        label = Label(_called(self.builder, term.product, part, bool(value.reduced)))
        return Access(self.builder.add(value, label), tuple(axes))

    def _total(self, term: _Term, moments: list[Access]) -> Access:
        """The sum of moments over the same indices."""
        axes = [index for index in moments[0].indices if index is not None]
        numbers: dict[int | None, int] = {index: at for at, index in enumerate(axes)}
        moved = [
            Access(one.tensor, tuple(numbers[index] for index in one.indices)) for one in moments
        ]
        sizes = [term.product.sizes[index] for index in axes]
        total = sp.Add(*(slot(number) for number in range(len(moved))))
        label = self.builder[moments[0].tensor].label
        value = kernel(range(len(axes)), sizes, total, moved)
        return Access(self.builder.add(value, Label(label.name)), tuple(axes))


@dataclass(frozen=True)
class _Term:
    """A product whose first `kept` indices are those of the result and of δ.

    change  the access to δ
    parts   factors of data: those together that share an index which is summed, and those whose
            indices others have too
    number  what is left in front
    """

    product: Kernel
    kept: int
    change: Access
    parts: tuple[sp.Expr, ...]
    number: sp.Expr

    @staticmethod
    def of(product: Kernel, number: sp.Expr, moving: Collection[int]) -> _Term:
        (at,) = (n for n, one in enumerate(product.accesses) if one.tensor in moving)
        data = without(product.body, at)
        product, kept = _arranged(product, at)
        factors = [factor for factor in sp.Mul.make_args(data) if slots_of(factor)]
        carried = frozenset(range(kept)).union(*(product.carried(one) for one in factors))
        number *= sp.Mul(*(size for i, size in enumerate(product.sizes) if i not in carried))
        parts = _parts(product, factors, kept)
        if not parts and number.free_symbols:
            parts = [sp.Integer(1)]
        if parts:
            parts[-1] *= number
            number = sp.Integer(1)
        return _Term(product, kept, product.accesses[at], tuple(parts), number)


def _arranged(product: Kernel, at: int) -> tuple[Kernel, int]:
    """The product with the indices of the result and of the access `at` first; how many."""
    indices = (*product.output, *product.accesses[at].indices)
    order = dict.fromkeys(index for index in indices if index is not None)
    kept = len(order)
    order.update(dict.fromkeys(range(len(product.sizes))))
    numbers = {index: to for to, index in enumerate(order)}

    def moved(indices: Indices) -> Indices:
        return tuple(None if index is None else numbers[index] for index in indices)

    arranged = replace(
        product,
        output=moved(product.output),
        sizes=tuple(product.sizes[index] for index in order),
        accesses=tuple(Access(one.tensor, moved(one.indices)) for one in product.accesses),
    )
    return arranged, kept


def _parts(product: Kernel, factors: Sequence[sp.Expr], kept: int) -> list[sp.Expr]:
    """The factors taken together as `_Term` says, the smallest last."""
    parts: list[tuple[sp.Expr, frozenset[int]]] = []
    for factor in factors:
        carried = product.carried(factor)
        apart = []
        for part, indices in parts:
            if any(index >= kept for index in carried & indices):
                factor, carried = factor * part, carried | indices
            else:
                apart.append((part, indices))
        parts = [*apart, (factor, carried)]
    outer = frozenset(range(kept))
    found: list[tuple[sp.Expr, frozenset[int]]] = []
    for part, indices in sorted(parts, key=lambda one: -len(one[1] & outer)):
        for at, (larger, covered) in enumerate(found):
            if indices & outer <= covered:
                found[at] = larger * part, covered
                break
        else:
            found.append((part, indices & outer))
    return [part for part, _ in found]


def _called(program: Builder, product: Kernel, part: sp.Expr, summed: bool) -> str:
    """x_x for Σ x·x, x_total for Σ x, x for x itself, count for what reads no tensor."""
    names: list[str] = []
    for number in slots_of(part):
        name = _of_one(program, product.accesses[number].tensor)
        bases = dict(factor.as_base_exp() for factor in sp.Mul.make_args(part))
        power = bases.get(slot(number), ONE)
        names += [name] * (int(power) if power in (2, 3) else 1)
    if not names:
        return "count"
    return names[0] + "_total" if summed and len(names) == 1 else "_".join(names)


def _of_one(program: Builder, tensor: int) -> str:
    """The name of a tensor, or of the one named tensor that it is made of."""
    named: dict[str, None] = {}
    pending, seen = [tensor], {tensor}
    while pending:
        definition = program[pending.pop()]
        operands = definition.value.operands
        if definition.label.exact or isinstance(definition.value, Input):
            named[definition.label.name] = None
            continue
        pending += [operand for operand in operands if operand not in seen]
        seen.update(operands)
    name = next(iter(named)) if len(named) == 1 else program[tensor].label.name
    return name.strip("_")
