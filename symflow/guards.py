"""Branches of `where` that fail where they are not taken.

    where(x > 0, √x, 0)  →  where(x > 0, √where(x > 0, x, 1), 0)

NumPy computes both branches everywhere and picks afterwards. What fails in the branch not taken
gives warnings, and 0·∞ in gradients; its argument is replaced by one for which nothing fails.
"""

from __future__ import annotations

from functools import lru_cache

import sympy as sp

from symflow.elementwise import Opaque, function_of
from symflow.program import slots_of
from symflow.rows import masked_product, not_equal, where

_HARMLESS: dict[str, tuple[int, int]] = {
    "log": (0, 1),
    "log2": (0, 1),
    "log10": (0, 1),
    "log1p": (0, 0),
    "log1mexp": (0, -1),
    "xlogx": (0, 1),
    "xlogy": (1, 1),
    "xlog1py": (1, 0),
    "pow": (0, 1),
    "exp": (0, 0),
    "expm1": (0, 0),
    "sinh": (0, 0),
    "cosh": (0, 0),
    "asin": (0, 0),
    "acos": (0, 0),
    "atanh": (0, 0),
    "acosh": (0, 2),
}
"""The argument for which a function may fail or overflow, and a value for which it does not."""


LARGEST_CONDITION = 10
"""Operations in a condition beyond which nothing is guarded: every guard repeats it."""


@lru_cache(maxsize=65536)
def guarded(body: sp.Expr) -> sp.Expr:
    """The body with the arguments of what may fail in a branch replaced where it is not taken."""
    if not body.has(function_of(where), function_of(masked_product)):
        return body
    arguments = [guarded(argument) if argument.args else argument for argument in body.args]
    if isinstance(body, Opaque) and body.row.name == "where":
        condition, yes, no = arguments
        if slots_of(condition) and condition.count_ops() <= LARGEST_CONDITION:
            yes = _within(yes, condition, taken=True)
            no = _within(no, condition, taken=False)
        arguments = [condition, yes, no]
    if isinstance(body, Opaque) and body.row.name == "masked_product":
        mask, other = arguments
        weighs = not mask.has(sp.exp)  # e^u is 0 where nothing else fails
        if slots_of(mask) and weighs and mask.count_ops() <= LARGEST_CONDITION:
            arguments = [mask, _within(other, not_equal(mask, 0), taken=True)]
    return body if tuple(arguments) == body.args else body.func(*arguments)


def _within(branch: sp.Expr, condition: sp.Expr, taken: bool) -> sp.Expr:
    """A branch in which nothing fails where the condition says that it is not taken."""
    if not branch.args:
        return branch
    first = 1 if isinstance(branch, Opaque) and branch.row.name == "where" else 0
    arguments = [
        argument if at < first else _within(argument, condition, taken)
        for at, argument in enumerate(branch.args)
    ]
    found = _may_fail(branch)
    if found is not None:
        at, harmless = found
        if not _is_guarded(arguments[at], condition):
            pair = (arguments[at], harmless) if taken else (harmless, arguments[at])
            arguments[at] = where(condition, *pair)
    return branch if tuple(arguments) == branch.args else branch.func(*arguments)


def _may_fail(part: sp.Expr) -> tuple[int, int] | None:
    """Which argument of a function may make it fail, and what is harmless in its place."""
    if isinstance(part, sp.Pow):
        whole = part.exp.is_Integer
        fails = part.exp.is_negative or not whole
        harmless = part.base.is_positive or (
            part.base.is_nonnegative if part.exp.is_positive else whole and part.base.is_nonzero
        )
        return (0, 1) if fails and slots_of(part.base) and not harmless else None
    found = _HARMLESS.get(type(part).__name__)
    if found is None or not slots_of(part.args[found[0]]):
        return None
    argument = part.args[found[0]]
    name = type(part).__name__
    if name.startswith("exp") and (argument.is_nonpositive or _is_bounded(argument)):
        return None
    positive = argument.is_positive or (name == "log1p" and argument.is_nonnegative)
    return None if found[1] == 1 and positive else found


def _is_bounded(argument: sp.Expr) -> bool:
    """Whether an argument is cut off, as in exp(min(x, 0))."""
    return (
        isinstance(argument, Opaque)
        and argument.row.name == "minimum"
        and any(one.is_number for one in argument.args)
    )


def _is_guarded(argument: sp.Expr, condition: sp.Expr) -> bool:
    while isinstance(argument, Opaque) and argument.row.name == "where":
        if argument.args[0] == condition:
            return True
        argument = argument.args[2] if argument.args[1].is_number else argument.args[1]
    return False
