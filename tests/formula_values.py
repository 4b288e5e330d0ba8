"""What the equations that a person reads come to, entry by entry, as they stand.

Nothing of symflow's code computes here: an equation is read as mathematics reads it. The range of
an index under Σ is the size of an axis at which it stands.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import sympy as sp

from symflow.formulas.lines import Line
from symflow.formulas.text import text
from symflow.formulas.tree import (
    Big,
    Call,
    Cases,
    Entry,
    Fenced,
    Name,
    Negative,
    Not,
    Number,
    Partial,
    Power,
    Product,
    Quantity,
    Quotient,
    Relation,
    Root,
    Sum,
    Tree,
    parts,
)
from symflow.rows import ROWS

Indices = tuple[int, ...]
Scope = Mapping[str, int]


class Unsupported(Exception):  # noqa: N818
    """A function of whole tensors, or an index that stands at no axis of its own."""


class Values:
    """The values of equations, for given arrays and sizes."""

    def __init__(
        self, lines: Sequence[Line], given: Mapping[str, Any], sizes: Mapping[str, int]
    ) -> None:
        self.given = {name: np.asarray(array) for name, array in given.items()}
        self.sizes = sizes
        self.known: dict[tuple[str, Indices], Any] = {}
        self.lines: dict[str, list[Line]] = {}
        for line in lines:
            self.lines.setdefault(_name(line.equation.left), []).append(line)
        self.shapes = {name: array.shape for name, array in self.given.items()}
        for name, found in self.lines.items():
            self.shapes[name] = self._shape(max(found, key=lambda line: len(line.shape)))

    def _shape(self, line: Line) -> tuple[int, ...]:
        named = {
            symbol: self.sizes[symbol.name] for one in line.shape for symbol in one.free_symbols
        }
        return tuple(int(size.subs(named)) for size in line.shape)

    def array(self, name: str) -> Any:
        """All entries of what an equation defines."""
        shape = self.shapes[name]
        entries = [self.entry(name, index) for index in np.ndindex(shape)]
        return np.array(entries, float).reshape(shape)

    def entry(self, name: str, index: Indices) -> Any:
        if name in self.given:
            assert all(0 <= at < size for at, size in zip(index, self.shapes[name], strict=True))
            return self.given[name][index]
        if (name, index) not in self.known:
            self.known[name, index] = self._computed(name, index)
        return self.known[name, index]

    def _computed(self, name: str, index: Indices) -> Any:
        for line in self.lines[name]:
            scope = self._matched(line, index)
            if scope is not None:
                return self.value(line.equation.right, scope)
        raise AssertionError(f"no equation for {name}{index}")

    def _matched(self, line: Line, index: Indices) -> dict[str, int] | None:
        """The indices of an equation for an entry, or None if it is not about that entry."""
        left = line.equation.left
        own = left.indices if isinstance(left, Entry) else ()
        assert len(own) == len(index), f"{text(left)} is read as {index}"
        scope: dict[str, int] = {}
        for one, at in zip(own, index, strict=True):
            names = [name for name in _letters(one) if name not in self.sizes]
            if not names:
                if self.value(one, {}) != at:
                    return None
            else:
                scope[names[0]] = at - int(self.value(one, {names[0]: 0}))
                if scope[names[0]] < 0:
                    return None
        return scope

    # --- trees ---

    def value(self, tree: Tree, scope: Scope) -> Any:
        method: Callable[[Any, Scope], Any] = getattr(self, f"_{type(tree).__name__.lower()}")
        return method(tree, scope)

    def _number(self, tree: Number, scope: Scope) -> Any:
        return float(tree.text)

    def _name(self, tree: Name, scope: Scope) -> Any:
        if tree.name == "π":
            return math.pi
        if tree.name == "∞":
            return math.inf
        return scope[tree.name] if tree.name in scope else self.sizes[tree.name]

    def _quantity(self, tree: Quantity | Partial, scope: Scope) -> Any:
        return self.entry(text(tree), ())

    _partial = _quantity

    def _entry(self, tree: Entry, scope: Scope) -> Any:
        index = tuple(int(self.value(one, scope)) for one in tree.indices)
        if not isinstance(tree.base, (Quantity, Partial)):
            raise Unsupported(text(tree))
        return self.entry(text(tree.base), index)

    def _negative(self, tree: Negative, scope: Scope) -> Any:
        return -self.value(tree.inside, scope)

    def _sum(self, tree: Sum, scope: Scope) -> Any:
        return sum(self.value(term, scope) for term in tree.terms)

    def _product(self, tree: Product, scope: Scope) -> Any:
        return math.prod(self.value(factor, scope) for factor in tree.factors)

    def _quotient(self, tree: Quotient, scope: Scope) -> Any:
        return self.value(tree.above, scope) / self.value(tree.below, scope)

    def _power(self, tree: Power, scope: Scope) -> Any:
        if isinstance(tree.base, (Quantity, Partial)) and not self._is_scalar(tree.base):
            raise Unsupported(text(tree))
        return self.value(tree.base, scope) ** self.value(tree.exponent, scope)

    def _is_scalar(self, tree: Tree) -> bool:
        return self.shapes[text(tree)] == ()

    def _root(self, tree: Root, scope: Scope) -> Any:
        return self.value(tree.inside, scope) ** (1 / tree.degree)

    def _call(self, tree: Call, scope: Scope) -> Any:
        wholes = (one for one in tree.arguments if isinstance(one, Quantity))
        if any(not self._is_scalar(one) for one in wholes) or tree.function == "det":
            raise Unsupported(text(tree))
        arguments = [self.value(one, scope) for one in tree.arguments]
        if tree.function in _FUNCTIONS:
            return _FUNCTIONS[tree.function](*arguments)
        if tree.function not in ROWS:
            raise Unsupported(text(tree))
        return float(sp.N(ROWS[tree.function].maths(*map(sp.Float, arguments))))

    def _fenced(self, tree: Fenced, scope: Scope) -> Any:
        return _FENCES[tree.kind](self.value(tree.inside, scope))

    def _relation(self, tree: Relation, scope: Scope) -> bool:
        left, right = self.value(tree.left, scope), self.value(tree.right, scope)
        return bool(_RELATIONS[tree.operator](left, right))

    def _not(self, tree: Not, scope: Scope) -> bool:
        return not self.value(tree.inside, scope)

    def _cases(self, tree: Cases, scope: Scope) -> Any:
        for value, condition in tree.branches:
            if self.value(condition, scope):
                return self.value(value, scope)
        return self.value(tree.otherwise, scope)

    def _big(self, tree: Big, scope: Scope) -> Any:
        names = [text(one) for one in tree.over]
        ranges = [range(self._range(name, tree.body)) for name in names]
        if tree.bound is not None:
            sign, last = tree.bound[0], int(self.value(tree.bound[1], scope))
            ranges = [range(last + 1) if sign == "≤" else range(last, ranges[0].stop)]
        values: list[Any] = []
        for place in np.ndindex(*(len(one) for one in ranges)):
            at = [one[number] for one, number in zip(ranges, place, strict=True)]
            values.append(self.value(tree.body, {**scope, **dict(zip(names, at, strict=True))}))
        return _BIG[tree.kind](values)

    def _range(self, name: str, tree: Tree) -> int:
        """The size of an axis at which the index stands alone."""
        for entry in _entries(tree):
            if isinstance(entry.base, (Quantity, Partial)):
                shape = self.shapes[text(entry.base)]
                for index, size in zip(entry.indices, shape, strict=True):
                    if index == Name(name):
                        return size
        raise Unsupported(f"{name} in {text(tree)}")


_FUNCTIONS: dict[str, Callable[..., Any]] = {
    **{name: getattr(np, name) for name in ("exp", "log", "sin", "cos", "tan", "sinh", "cosh")},
    **{f"a{name}": getattr(np, f"arc{name}") for name in ("sin", "cos", "tan", "sinh", "cosh")},
    "tanh": np.tanh,
    "atanh": np.arctanh,
    "atan2": np.arctan2,
    "erf": math.erf,
    "cbrt": np.cbrt,
    "sign": np.sign,
    "round": np.rint,
    "max": max,
    "min": min,
    "clip": lambda x, low, high: min(max(x, low), high),
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "softplus": lambda x: np.log1p(np.exp(x)),
    "relu": lambda x: max(x, 0.0),
    "elu": lambda x, alpha: x if x >= 0 else alpha * np.expm1(x),
    "floormod": lambda x, y: x % y,
    "to_int": int,
}
_FENCES: dict[str, Callable[[Any], Any]] = {
    "abs": abs,
    "floor": math.floor,
    "ceil": math.ceil,
    "indicator": float,
}
_RELATIONS: dict[str, Callable[[Any, Any], Any]] = {
    "=": lambda x, y: x == y,
    "≠": lambda x, y: x != y,
    "<": lambda x, y: x < y,
    "≤": lambda x, y: x <= y,
    ">": lambda x, y: x > y,
    "≥": lambda x, y: x >= y,
    "∧": lambda x, y: x and y,
    "∨": lambda x, y: x or y,
    "⊕": lambda x, y: bool(x) != bool(y),
}
_BIG: dict[str, Callable[[list[Any]], Any]] = {
    "sum": sum,
    "product": math.prod,
    "max": max,
    "min": min,
    "any": any,
    "all": all,
    "argmax": lambda values: int(np.argmax(values)),
    "argmin": lambda values: int(np.argmin(values)),
}


def _name(left: Tree) -> str:
    return text(left.base if isinstance(left, Entry) else left)


def _letters(tree: Tree) -> Iterator[str]:
    if isinstance(tree, Name):
        yield tree.name
    for part in parts(tree):
        yield from _letters(part)


def _entries(tree: Tree) -> Iterator[Entry]:
    if isinstance(tree, Entry):
        yield tree
    for part in parts(tree):
        yield from _entries(part)
