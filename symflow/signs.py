"""What is known of the sign of a value: proofs that it is nowhere negative, or 0, or above 1.

A proof reads through the kernels that a value is computed by: p·(1 - p) is not negative where p is
a sigmoid. NaN counts as anything.
"""

from __future__ import annotations

import sympy as sp

from symflow.program import Builder, Constant, Kernel, slots_of

DEPTH = 6
"""How many kernels, one reading the other, a proof looks through."""

_NOT_NEGATIVE = frozenset(
    {"exp", "abs", "Abs", "sigmoid", "softplus", "relu", "cosh", "erfc", "root_of_squares"}
)
_POSITIVE = frozenset({"exp", "sigmoid", "softplus", "cosh", "erfc", "ndtr"})
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


def is_positive(program: Builder, value: Kernel, expression: sp.Expr, depth: int = DEPTH) -> bool:
    """Whether a part of a kernel's body is proved to be above 0, but for underflow."""
    if not slots_of(expression):
        return bool(expression.is_positive)
    if isinstance(expression, sp.Add):
        return any(is_positive(program, value, one, depth) for one in expression.args) and all(
            is_not_negative(program, value, one, depth) for one in expression.args
        )
    if isinstance(expression, sp.Mul):
        return all(is_positive(program, value, one, depth) for one in expression.args)
    if isinstance(expression, sp.Pow):
        return is_positive(program, value, expression.base, depth)
    if isinstance(expression, sp.Symbol):
        return _is_positive_tensor(program, value, expression, depth)
    name, arguments = type(expression).__name__, expression.args
    if name in ("root_of_squares", "abs"):
        return is_positive(program, value, arguments[0], depth)
    if name in ("maximum", "hypot"):
        return any(is_positive(program, value, one, depth) for one in arguments)
    if name == "clip_by_value":
        return all(is_positive(program, value, one, depth) for one in arguments[1:])
    if name in ("where", "minimum"):
        first = 1 if name == "where" else 0
        return all(
            is_positive(program, value, one, depth) or _is_chosen(arguments[0], one, at)
            for at, one in enumerate(arguments)
            if at >= first
        )
    return name in _POSITIVE


def _is_chosen(condition: sp.Expr, branch: sp.Expr, at: int) -> bool:
    """Whether a branch of `where(x > 0, x, y)` or `where(x == 0, y, x)` is not 0 where taken."""
    name = type(condition).__name__
    if name not in ("greater", "equal") or condition.args[1] != 0:
        return False
    return bool(condition.args[0] == branch) and at == (1 if name == "greater" else 2)


def _is_positive_tensor(program: Builder, value: Kernel, symbol: sp.Symbol, depth: int) -> bool:
    source = program[value.accesses[slots_of(symbol)[0]].tensor].value
    if isinstance(source, Constant):
        return bool(source.data.dtype.kind != "b" and (source.data > 0).all())
    if not isinstance(source, Kernel) or depth == 0 or source.reduction not in _OF_LIKE_SIGN:
        return False
    return is_positive(program, source, source.body, depth - 1)


_OF_LIKE_SIGN = frozenset({"sum", "max", "min"})


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
