"""Where a pattern with Wild symbols stands in an expression, up to the order of sums and products.

SymPy's own matcher is for whole expressions. Here a sum matches inside a longer sum, and times a
common factor: `1 - cos(x)` is found in `a + 3·y - 3·y·cos(b)`, with the factor 3·y; a product
matches inside a longer product. A Wild symbol that is a term or a factor by itself takes all that
the rest of the pattern leaves.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import sympy as sp

from symflow.program import ONE

Bindings = Mapping[sp.Wild, sp.Expr]


@dataclass(frozen=True)
class Match:
    """What Wild symbols stand for; the expression is factor · pattern + rest."""

    bindings: Bindings
    factor: sp.Expr = ONE
    rest: sp.Expr = sp.S.Zero

    def put_back(self, replacement: sp.Expr) -> sp.Expr:
        return self.factor * replacement + self.rest


def occurrences(pattern: sp.Expr, node: sp.Expr) -> Iterator[Match]:
    """All ways in which a pattern is a node, or some of its terms or factors."""
    if isinstance(pattern, sp.Add):
        if isinstance(node, sp.Add):
            yield from _terms(pattern, node)
    elif isinstance(pattern, sp.Mul):
        if isinstance(node, sp.Mul):
            number, factors = _split(pattern)
            for bindings, left in _factors(factors, _split(node)[1], {}):
                yield Match(bindings, sp.Mul(_split(node)[0] / number, *left))
    elif isinstance(pattern, sp.Pow):
        if isinstance(node, sp.Pow):
            for bindings, left in _power(pattern, node, {}):
                yield Match(bindings, left)
    elif not isinstance(node, sp.Number):
        for bindings in _whole(pattern, node, {}):
            yield Match(bindings)


def _whole(pattern: sp.Expr, node: sp.Expr, bound: Bindings) -> Iterator[Bindings]:
    """All ways in which a pattern is exactly a node."""
    if isinstance(pattern, sp.Wild):
        if pattern in bound:
            if bound[pattern] == node:
                yield bound
        elif pattern.matches(node) is not None:
            yield {**bound, pattern: node}
        return
    if not pattern.has(sp.Wild):
        if pattern == node:
            yield bound
        return
    if isinstance(pattern, sp.Mul):
        number, factors = _split(pattern)
        if number != 1:
            yield from _whole(sp.Mul(*factors), node / number, bound)
            return
    if isinstance(pattern, sp.Pow) and pattern.exp == 2:
        root = _square_root(node)
        if root is not None:
            yield from _whole(pattern.base, root, bound)
        return
    if node.func != pattern.func:
        return
    if isinstance(pattern, (sp.Add, sp.Mul)):
        yield from _bag(_specific_first(pattern.args), node.args, pattern.func, bound)
    elif len(pattern.args) == len(node.args):
        yield from _sequence(pattern.args, node.args, bound)


def _sequence(
    patterns: Sequence[sp.Expr], nodes: Sequence[sp.Expr], bound: Bindings
) -> Iterator[Bindings]:
    if not patterns:
        yield bound
        return
    for found in _whole(patterns[0], nodes[0], bound):
        yield from _sequence(patterns[1:], nodes[1:], found)


def _bag(
    patterns: Sequence[sp.Expr], nodes: Sequence[sp.Expr], function: type, bound: Bindings
) -> Iterator[Bindings]:
    """Patterns for all of some terms or factors, whatever their order."""
    if not patterns or not nodes:
        if not patterns and not nodes:
            yield bound
        return
    first, *others = patterns
    if isinstance(first, sp.Wild) and not others:
        yield from _whole(first, function(*nodes), bound)
        return
    for at, node in enumerate(nodes):
        for found in _whole(first, node, bound):
            yield from _bag(others, [*nodes[:at], *nodes[at + 1 :]], function, found)


def _terms(pattern: sp.Add, node: sp.Add) -> Iterator[Match]:
    """Some terms of a sum, each a common factor times a term of the pattern."""
    first, *others = _specific_first(pattern.args)
    number, factors = _split(first)
    terms = _terms_of(node)
    for at, term in enumerate(terms):
        coefficient, parts = _split(term)
        rest = [*terms[:at], *terms[at + 1 :]]
        for bindings, left in _factors(factors, parts, {}):
            bases = frozenset(one.as_base_exp()[0] for one in left if not one.is_number)
            if not all(any(_may_be(one, term, bases) for term in rest) for one in others):
                continue
            common = sp.Mul(coefficient / number, *left)
            for found, remaining in _other_terms(others, rest, common, bindings):
                yield Match(found, common, sp.Add(*remaining))


@lru_cache(maxsize=65536)
def _terms_of(total: sp.Add) -> tuple[sp.Expr, ...]:
    """The terms of a sum, and those of a sum that is subtracted from it: a - (b + c)."""
    found: list[sp.Expr] = []
    for term in total.args:
        number, rest = term.as_coeff_Mul()
        if number == -1 and isinstance(rest, sp.Add):
            found += [-one for one in _terms_of(rest)]
        else:
            found.append(term)
    return tuple(found)


def _may_be(pattern: sp.Expr, term: sp.Expr, common: frozenset[sp.Expr]) -> bool:
    """Whether a term may be a pattern times a common factor, of which the bases are given.

    What only one of term and factor is a power of stays when one is divided by the other.
    """
    factors = _split(pattern)[1]
    unlimited = any(isinstance(one, sp.Wild) for one in factors)
    return unlimited or len(_bases(term) ^ common) <= len(factors)


@lru_cache(maxsize=65536)
def _bases(product: sp.Expr) -> frozenset[sp.Expr]:
    """What the factors of a product are powers of, without numbers."""
    factors = sp.Mul.make_args(product)
    return frozenset(one.as_base_exp()[0] for one in factors if not one.is_number)


def _other_terms(
    patterns: Sequence[sp.Expr], terms: Sequence[sp.Expr], common: sp.Expr, bound: Bindings
) -> Iterator[tuple[Bindings, Sequence[sp.Expr]]]:
    if not patterns:
        yield bound, terms
        return
    first, *others = patterns
    bases = _bases(common)
    for at, term in enumerate(terms):
        if not _may_be(first, term, bases):
            continue
        quotient = _quotient(term, common)
        if quotient is None:
            continue
        rest = [*terms[:at], *terms[at + 1 :]]
        for found in _whole(first, quotient, bound):
            yield from _other_terms(others, rest, common, found)


@lru_cache(maxsize=65536)
def _quotient(term: sp.Expr, common: sp.Expr) -> sp.Expr | None:
    """What is left of a term without a common factor; None where that is none of its factors.

    1 - w²·x² is not w²·(1/w² - x²): w may be 0. What several rules ask for, one after the other.
    """
    number, factors = common.as_coeff_Mul()
    rest, powers = term.as_coeff_Mul()[0] / number, dict(map(_parted, _apart(term)))
    for base, exponent in map(_parted, _apart(factors)):
        held = powers.get(base, sp.S.Zero)
        left = held - exponent
        if left != 0 and not (left.is_number and held / exponent > 1):
            return None
        powers[base] = left
    return sp.Mul(rest, *(sp.Pow(base, power) for base, power in powers.items()))


def _apart(product: sp.Expr) -> tuple[sp.Expr, ...]:
    """The factors of a product, but for a number in front of it."""
    return tuple(one for one in sp.Mul.make_args(product.as_coeff_Mul()[1]) if one != 1)


def _parted(factor: sp.Expr) -> tuple[sp.Expr, sp.Expr]:
    """Base and exponent; an exponential is a base of its own."""
    return factor.args if isinstance(factor, sp.Pow) else (factor, ONE)


def _factors(
    patterns: Sequence[sp.Expr], nodes: Sequence[sp.Expr], bound: Bindings
) -> Iterator[tuple[Bindings, Sequence[sp.Expr]]]:
    """Some factors of a product, and those that are left over."""
    if not patterns:
        yield bound, nodes
        return
    first, *others = patterns
    if isinstance(first, sp.Wild):
        if first in bound:
            for at, node in enumerate(nodes):
                if node == bound[first]:
                    yield from _factors(others, [*nodes[:at], *nodes[at + 1 :]], bound)
        elif nodes:
            for found in _whole(first, sp.Mul(*nodes), bound):
                yield from _factors(others, [], found)
        return
    for at, node in enumerate(nodes):
        rest = [*nodes[:at], *nodes[at + 1 :]]
        for found, left in _power(first, node, bound):
            yield from _factors(others, rest if left == 1 else [*rest, left], found)


def _power(pattern: sp.Expr, node: sp.Expr, bound: Bindings) -> Iterator[tuple[Bindings, sp.Expr]]:
    """One factor: `f(x)` is found once in `f(x)³`, where `f(x)²` is left over."""
    base, power = node.args if isinstance(node, sp.Pow) else (node, ONE)
    wanted, by = pattern.args if isinstance(pattern, sp.Pow) else (pattern, ONE)
    if isinstance(wanted, sp.Function) and base.func != wanted.func:
        return
    for found in _whole(pattern, node, bound):
        yield found, ONE
    whole = bool(power.is_Integer and by.is_Integer) and not isinstance(wanted, sp.Wild)
    if whole and power * by > 0 and abs(power) > abs(by):
        for found in _whole(wanted, base, bound):
            yield found, sp.Pow(base, power - by)


@lru_cache(maxsize=65536)
def _split(product: sp.Expr) -> tuple[sp.Expr, Sequence[sp.Expr]]:
    """The number in front of a product, and its other factors, the most specific first."""
    number, rest = product.as_coeff_Mul()
    factors = [one for one in sp.Mul.make_args(rest) if one != 1]
    return number, _specific_first(tuple(factors))


@lru_cache(maxsize=65536)
def _specific_first(parts: tuple[sp.Expr, ...]) -> list[sp.Expr]:
    """Functions before numbers before Wild symbols that take what is left."""

    def rank(part: sp.Expr) -> tuple[bool, bool, int]:
        return isinstance(part, sp.Wild), not part.has(sp.Wild), -part.count_ops()

    return sorted(parts, key=rank) if any(part.has(sp.Wild) for part in parts) else list(parts)


def _square_root(node: sp.Expr) -> sp.Expr | None:
    """x, where a node is written as x² or is the square of a rational number."""
    if isinstance(node, sp.Pow) and node.exp.is_Integer and node.exp.is_even:
        return node.base ** (node.exp / 2)
    if node.is_Rational and node.is_positive:
        root = sp.sqrt(node)
        return root if root.is_Rational else None
    return None
