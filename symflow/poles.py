"""What a zero is worth beside an infinite slope: the chain rule where 0 meets ∞.

    ū += where(u > 0, z̄, 0)                 of  z = relu(u)      read by  √z
    x̄ += masked_product(c, z̄)               of  z = c·x          read by  √z
    x̄ += masked_quotient(z̄, x)              of  z = log(x)       read by  max(z, -5)

The chain rule multiplies slopes. Where one is 0 and another infinite the product is NaN, although
the function has a slope there. A zero of a flat branch is a branch, and no factor: what is read
through it does not change, whatever its slope is. So it is written as a branch wherever the other
factor may be infinite. A zero that is a factor is a product that is 0 there, and is differentiated
as the product that it is: beside a pole that is elsewhere, its slope counts. It wins where that is
proved:

- beside the slope of √y, y·log(y) or acos(y): if y is 0 with slope 0, it is of second order, and
  √y has slope 0, or a kink of which 0 lies in the middle;
- beside any slope of what is finite, if it depends on nothing that the pole depends on: c·x is 0
  for all x where c = 0.

Elsewhere it does not, as in cbrt(x³) at 0, of which the slope is 1. A slope can be infinite only
where something is divided by that may be 0 for all that is known (`signs.py`), so that ordinary
networks have no branches.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import IntEnum
from functools import cache, lru_cache, reduce

import sympy as sp

from symflow.elementwise import Opaque
from symflow.program import Builder, Kernel, slots_of
from symflow.rows import (
    greater_equal,
    less_equal,
    logical_and,
    masked_product,
    not_equal,
    where,
)
from symflow.signs import Facts, facts_of, implied


class Pole(IntEnum):
    """How a slope may be infinite, the worst last."""

    NONE = 0
    ROOT = 1
    """At 0 of y^p with p ≥ ½ and of y·log(y), of which the value is finite."""
    CUSP = 2
    """At 0 of y^p with 0 < p < ½."""
    INFINITE = 3
    """Of 1/y and log(y), where the value is infinite too."""


@dataclass(frozen=True)
class Nature:
    """What is known of an adjoint: where it may be infinite, and where it may be 0.

    pole   the worst pole among those of the slopes that it is a product of
    flat   whether it may be 0 because a branch is flat
    zero   whether it may be 0 because another slope is
    zeros  what such zeros depend on: a bit for each thing that derivatives are taken by
    """

    pole: Pole = Pole.NONE
    flat: bool = False
    zero: bool = False
    zeros: int = 0

    @staticmethod
    def of_sum(parts: Iterator[Nature]) -> Nature:
        """Of a sum of several adjoints, which may cancel anywhere."""
        return Nature(max((part.pole for part in parts), default=Pole.NONE), zero=True, zeros=-1)


@dataclass(frozen=True)
class Slope:
    """A kernel's derivative by one operand, taken apart.

    own     the worst pole of the derivative at a zero that the operand may bring about
    far     whether it may be infinite at a zero of something else
    flats   conditions that hold where the branch taken is not flat
    factor  the derivative without what is 0 and 1 by these conditions
    zeros   factors that may be 0, and have no pole; all that have none, where no pole is near
    """

    own: Pole
    far: bool
    flats: tuple[sp.Expr, ...]
    factor: sp.Expr
    zeros: sp.Expr

    @staticmethod
    def of(
        program: Builder, value: Kernel, derivative: sp.Expr, position: int, upstream: Nature
    ) -> Slope:
        known = cache(lambda: facts_of(program, value))
        own, far, flats, factor, zeros = Pole.NONE, False, [], [], []
        for part in sp.Mul.make_args(derivative):
            condition = _condition(part)
            if condition is not None:
                flats.append(condition)
            if condition is None or condition is not part.args[0]:
                factor.append(part)
            if condition is not None or not slots_of(part):
                continue
            singular = list(_singular(part, known())) if _may_be_singular(part) else []
            near = [_pole(one) for one in singular if position in slots_of(_vanishing(one))]
            own = max([own, *near])
            far = far or (upstream.flat and len(near) < len(singular))
            inverse = isinstance(part, sp.Pow) and part.exp.is_negative
            if not (inverse or any(near)):
                zeros.append(part)
        if zeros and (upstream.pole or own):
            zeros = [part for part in zeros if not known().range(part).zero_free]
        return Slope(own, far, tuple(flats), sp.Mul(*factor), sp.Mul(*zeros))


def share(
    program: Builder,
    value: Kernel,
    position: int,
    derivative: sp.Expr,
    upstream: sp.Expr,
    nature: Nature,
    depends: Mapping[int, int],
) -> tuple[sp.Expr, Nature]:
    """upstream · derivative, with branches where 0 may meet ∞ and wins; and what it is like.

    depends  what each tensor depends on, as bits
    """
    slope = Slope.of(program, value, derivative, position, nature)
    operand = depends.get(value.operands[position], 0)
    read = [depends.get(value.operands[at], 0) for at in slots_of(slope.zeros)]
    zeros = reduce(int.__or__, read, 0)
    pole = max(nature.pole, slope.own)
    conditions, wins = list(slope.flats) if pole else [], False
    if slots_of(slope.zeros) and _is_no_larger(value):
        apart = position not in slots_of(slope.zeros) and not zeros & operand
        if pole == Pole.ROOT or (pole == Pole.CUSP and apart):
            wins = True
    vanishes = nature.flat or (nature.zero and slope.own < Pole.INFINITE)
    vanishes = (slope.own and vanishes) or (slope.far and nature.flat)
    vanishes = bool(vanishes and not nature.zeros & operand)
    summed = set(value.accesses[position].indices) < set(range(len(value.sizes)))
    after = Nature(
        pole,
        (nature.flat or bool(slope.flats)) and not summed,
        nature.zero or bool(slots_of(slope.zeros)) or summed,
        -1 if summed else nature.zeros | zeros,
    )
    factor, given = slope.factor, upstream
    if wins:
        factor /= slope.zeros
    if vanishes:
        given, factor = masked_product(upstream, factor), sp.S.One
    if wins and slope.own:
        given, factor = masked_product(slope.zeros, given * factor), sp.S.One
    elif wins:
        given = masked_product(slope.zeros, given)
    if not conditions:
        return given * (factor if wins or vanishes else derivative), after
    condition = reduce(logical_and, conditions)
    if slope.own or slope.far:
        return where(condition, given * factor, 0), after
    return where(condition, given, 0) * factor, after


def _is_no_larger(value: Kernel) -> bool:
    """Whether a product, entry by entry, has no more entries than one of its operands.

    Those of a matrix with a vector can be told apart; of two matrices that would be a third axis.
    """
    if value.elementwise or len(value.accesses) < 2:
        return True
    return any(len(set(access.indices)) >= len(value.sizes) for access in value.accesses)


# --- zeros -----------------------------------------------------------------------------------


@lru_cache(maxsize=65536)
def _condition(part: sp.Expr) -> sp.Expr | None:
    """Where a slope that is 0 on all of one side is not 0: of relu, clip, |x|, max and min."""
    if isinstance(part, Opaque) and part.row.name == "to_float":
        condition = part.args[0]
        return condition if getattr(condition, "result", None) == "bool" else None
    if isinstance(part, Opaque) and part.row.name == "sign":
        return not_equal(part.args[0], 0)
    if isinstance(part, sp.Add) and len(part.args) == 2:  # ½ + ½·sign(x)
        half, rest = part.as_coeff_Add()
        coefficient, step = rest.as_coeff_Mul()
        if abs(coefficient) == half and isinstance(step, Opaque) and step.row.name == "sign":
            holds = greater_equal if coefficient > 0 else less_equal
            return holds(step.args[0], 0)
    return None


# --- poles -----------------------------------------------------------------------------------


_INFINITE_AT_ZERO = {
    "log": Pole.ROOT,  # the slope of y·log(y)
    "pow": Pole.CUSP,
    "digamma": Pole.INFINITE,
    "masked_quotient": Pole.INFINITE,
}
_INFINITE_AT_ENDS = frozenset({"erfinv", "ndtri"})


@lru_cache(maxsize=65536)
def _may_be_singular(part: sp.Expr) -> bool:
    return any(map(_is_singular, sp.preorder_traversal(part)))


def _is_singular(part: sp.Expr) -> bool:
    """Whether a power or a function may be infinite at 0, or at the ends of where it is defined."""
    if isinstance(part, sp.Pow):
        return bool(part.exp.is_negative and slots_of(part))
    return type(part).__name__ in _INFINITE_AT_ZERO or type(part).__name__ in _INFINITE_AT_ENDS


def _singular(part: sp.Expr, facts: Facts) -> Iterator[sp.Expr]:
    """The parts of an expression that may be infinite for all that is known in their branches."""
    if type(part).__name__ == "where":
        condition, yes, no = part.args
        yield from _singular(yes, facts.assuming(*implied(condition, True)))
        yield from _singular(no, facts.assuming(*implied(condition, False)))
        return
    at_ends = type(part).__name__ in _INFINITE_AT_ENDS
    if _is_singular(part) and (at_ends or not facts.range(_vanishing(part)).zero_free):
        yield part
    for one in part.args:
        yield from _singular(one, facts)


def _vanishing(part: sp.Expr) -> sp.Expr:
    """What a power or a function has its pole at a zero of."""
    return part.args[1 if type(part).__name__ == "masked_quotient" else 0]


def _pole(part: sp.Expr) -> Pole:
    """The pole of a power or a function."""
    name = type(part).__name__
    if name in _INFINITE_AT_ZERO:
        return _INFINITE_AT_ZERO[name]
    if name in _INFINITE_AT_ENDS:
        return Pole.INFINITE
    if type(part.base).__name__ == "cbrt":
        return Pole.CUSP
    if -part.exp <= sp.Rational(1, 2):
        return Pole.ROOT
    return Pole.CUSP if -part.exp < 1 else Pole.INFINITE
