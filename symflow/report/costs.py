"""What a program costs: operations, numbers and bytes of every tensor, in terms of its sizes.

A kernel takes the operations of its body, and one more where it reduces, for every entry of all
its indices: 2·n·m·k for a matrix product. Moving entries takes none, and of a solver or a running
sum there is no count. What is printed of the sizes `n`, ... is exact; nothing is measured.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import sympy as sp

from symflow.primitives import Part, Primitive
from symflow.program import Bundle, Constant, Full, Input, Iota, Kernel, Type, Value, operations_in
from symflow.recurrence import Scan
from symflow.report.entries import Entry

MOVING = ("views", "windows", "matrices", "picking", "picks", "tiling")
"""The modules of primitives that only move entries, or add those that meet."""


@dataclass(frozen=True)
class Cost:
    """Of one tensor; `operations` is None where there is no count."""

    operations: sp.Expr | None
    elements: sp.Expr
    bytes: sp.Expr


def cost(one: Entry, precision: int) -> Cost:
    """What a tensor costs, floats taking `precision` bytes."""
    type_ = one.definition.type
    elements = sp.Add(*(sp.Mul(*part.shape) for part in _parts(type_)))
    size = sp.Add(*(sp.Mul(*part.shape) * _width(part, precision) for part in _parts(type_)))
    return Cost(operations(one.definition.value), elements, size)


def operations(value: Value) -> sp.Expr | None:
    """The operations on numbers that a value takes, or None."""
    if isinstance(value, Kernel):
        if value.is_literal:
            return sp.Integer(0)
        each = operations_in(value.body) + bool(value.reduced)
        return sp.Integer(each) * sp.Mul(*value.sizes)
    if isinstance(value, Scan):
        inside = [operations(one.value) for one in value.body.definitions]
        return None if None in inside else value.steps * sp.Add(*inside)
    module = type(value).__module__.rpartition(".")[2]
    moves = not isinstance(value, Primitive) or isinstance(value, Part) or module in MOVING
    return sp.Integer(0) if moves else None


def total(costs: Iterable[sp.Expr | None]) -> sp.Expr:
    """The sum of those that are known."""
    return sp.Add(*(one for one in costs if one is not None))


def counted(one: Entry) -> bool:
    """Whether a tensor takes memory of its own while the program runs."""
    return len(one.path) == 1 and not isinstance(
        one.definition.value, (Input, Constant, Iota, Full, Part)
    )


def count_text(count: sp.Expr | None) -> str:
    """`4,096·n + 10`: terms by the sizes in them, the largest powers first."""
    if count is None:
        return "not counted"
    expanded = sp.expand(count)
    terms = sorted(sp.Add.make_args(expanded), key=_order)
    return " + ".join(_term(one) for one in terms).replace("+ -", "- ")


def _order(term: sp.Expr) -> tuple[int, str]:
    _, rest = term.as_coeff_Mul()
    degree = sum(int(power) for power in rest.as_powers_dict().values() if power.is_Integer)
    return (-degree if rest != 1 else 0), str(rest)


def _term(term: sp.Expr) -> str:
    number, rest = term.as_coeff_Mul()
    if rest == 1:
        return _number(number)
    text = "·".join(_power(one) for one in sorted(sp.Mul.make_args(rest), key=str))
    return text if number == 1 else f"{_number(number)}·{text}"


def _power(factor: sp.Expr) -> str:
    superscripts = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")
    if isinstance(factor, sp.Pow) and factor.exp.is_Integer and factor.exp > 1:
        return f"{factor.base}{str(factor.exp).translate(superscripts)}"
    return str(factor)


def _number(number: sp.Expr) -> str:
    return f"{int(number):,}" if number.is_Integer else str(number)


def _parts(type_: Type) -> Sequence[Type]:
    return type_.parts if isinstance(type_, Bundle) else (type_,)


def _width(type_: Type, precision: int) -> int:
    return {"bool": 1, "int": 8, "float": precision}[type_.dtype]
