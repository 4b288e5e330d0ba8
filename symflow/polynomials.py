"""Bodies as polynomials in some of their slots: of which degree, and with which slopes.

What is not obviously a polynomial is none: a function of a slot has no degree, even where it
would turn out to be one. Of `where`, the condition must not depend on the slots.
"""

from __future__ import annotations

from collections.abc import Mapping

import sympy as sp

from symflow.elementwise import ROWS, Opaque
from symflow.program import slot, slots_of


def degree(body: sp.Expr, degrees: Mapping[int, int]) -> int | None:
    """The degree of a body, given those of its slots; None where it is no polynomial.

    Slots that are not in `degrees` are coefficients. Terms that would cancel count too.
    """
    moving = [number for number in slots_of(body) if degrees.get(number, 0)]
    if not moving:
        return 0
    if isinstance(body, sp.Symbol):
        return degrees[moving[0]]
    if isinstance(body, sp.Pow) and body.exp.is_Integer and body.exp.is_positive:
        inner = degree(body.base, degrees)
        return None if inner is None else inner * int(body.exp)
    if isinstance(body, (sp.Add, sp.Mul)):
        parts = [degree(part, degrees) for part in body.args]
        known = [part for part in parts if part is not None]
        if len(known) < len(parts):
            return None
        return max(known) if isinstance(body, sp.Add) else sum(known)
    if _is_where(body):
        condition, *branches = (degree(part, degrees) for part in body.args)
        if condition == 0 and None not in branches:
            return max(part for part in branches if part is not None)
    return None


def slopes(body: sp.Expr, moving: frozenset[int]) -> dict[int, sp.Expr] | None:
    """∂ body / ∂ slot for each of the `moving` slots, where none of them depends on such a slot.

    None where the body is not affine in these slots together.
    """
    mentioned = [number for number in slots_of(body) if number in moving]
    if not mentioned:
        return {}
    if isinstance(body, sp.Symbol):
        return {mentioned[0]: sp.Integer(1)}
    if isinstance(body, sp.Add):
        total: dict[int, sp.Expr] = {}
        for term in body.args:
            found = slopes(term, moving)
            if found is None:
                return None
            for number, slope in found.items():
                total[number] = total.get(number, sp.Integer(0)) + slope
        return total
    if isinstance(body, sp.Mul):
        factors = [one for one in body.args if not moving.isdisjoint(slots_of(one))]
        found = slopes(factors[0], moving) if len(factors) == 1 else None
        rest = sp.Mul(*(one for one in body.args if one not in factors))
        return None if found is None else {at: rest * slope for at, slope in found.items()}
    if _is_where(body) and moving.isdisjoint(slots_of(body.args[0])):
        condition, *branches = body.args
        yes, no = (slopes(branch, moving) for branch in branches)
        if yes is not None and no is not None:
            return {
                at: ROWS["where"](condition, yes.get(at, sp.Integer(0)), no.get(at, sp.Integer(0)))
                for at in sorted(yes | no)
            }
    return None


def without(body: sp.Expr, number: int) -> sp.Expr:
    """The other factors of a product that has a slot as a factor."""
    factors = sp.Mul.make_args(body)
    assert slot(number) in factors, f"{body} is no multiple of slot {number}"
    return sp.Mul(*(factor for factor in factors if factor != slot(number)))


def _is_where(body: sp.Expr) -> bool:
    return isinstance(body, Opaque) and body.row.name == "where"
