"""What is known of the sign of a value: proofs that a tensor is nowhere negative, or above 1.

A proof reads through the kernels that a value is computed by: p·(1 - p) is not negative where p is
a sigmoid. NaN counts as anything.
"""

from __future__ import annotations

import sympy as sp

from symflow.program import Builder, Kernel, slots_of

DEPTH = 6
"""How many kernels, one reading the other, a proof looks through."""

_NOT_NEGATIVE = frozenset(
    {"exp", "abs", "Abs", "sigmoid", "softplus", "relu", "cosh", "erfc", "root_of_squares"}
)
_AT_MOST_ONE = frozenset({"sigmoid", "tanh", "sin", "cos", "erf", "sech"})


def is_not_negative(
    program: Builder, value: Kernel, expression: sp.Expr, depth: int = DEPTH
) -> bool:
    """Whether a part of a kernel's body is proved to be 0 or more."""
    if isinstance(expression, sp.Add) and _is_rest_of_one(program, value, expression, depth):
        return True
    if isinstance(expression, (sp.Add, sp.Mul)):
        return all(is_not_negative(program, value, one, depth) for one in expression.args)
    if isinstance(expression, sp.Pow):
        if expression.exp.is_Integer and expression.exp.is_even:
            return True
        return is_not_negative(program, value, expression.base, depth)
    if not slots_of(expression):
        return bool(expression.is_nonnegative)
    if isinstance(expression, sp.Symbol):
        source = _source(program, value, expression)
        if source is None or depth == 0:
            return False
        return is_not_negative(program, source, source.body, depth - 1)
    return type(expression).__name__ in _NOT_NEGATIVE or _is_mask(expression)


def _is_rest_of_one(program: Builder, value: Kernel, total: sp.Add, depth: int) -> bool:
    """1 - p, where p is at most 1."""
    number, rest = total.as_coeff_Add()
    return bool(number >= 1) and _is_at_most_one(program, value, -rest, depth)


def _is_at_most_one(program: Builder, value: Kernel, expression: sp.Expr, depth: int) -> bool:
    if isinstance(expression, sp.Symbol) and slots_of(expression):
        source = _source(program, value, expression)
        if source is None or source.reduced or depth == 0:
            return False
        return _is_at_most_one(program, source, source.body, depth - 1)
    return type(expression).__name__ in _AT_MOST_ONE or _is_mask(expression)


def _source(program: Builder, value: Kernel, symbol: sp.Symbol) -> Kernel | None:
    source = program[value.accesses[slots_of(symbol)[0]].tensor].value
    return source if isinstance(source, Kernel) else None


def _is_mask(expression: sp.Expr) -> bool:
    """A comparison as 0 or 1."""
    return type(expression).__name__ == "to_float" and (
        getattr(expression.args[0], "result", None) == "bool"
    )
