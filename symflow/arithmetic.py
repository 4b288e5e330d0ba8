"""SymPy's arithmetic as the compiler uses it: what it would evaluate unasked stays as written.

SymPy makes 2·(t - t0) into 2·t - 2·t0 wherever a number meets a sum. It is right as algebra; as
numbers each product is rounded before the difference is taken, and what t and t0 have in common
no longer cancels: for a date in days 1e-9 of a period is lost, for numbers in float32 everything.
So SymPy's parameter `distribute` is off in all that symflow makes of expressions: `undistributed`
goes around whatever a user calls, and `assert_undistributed` stands where a kernel is made.

It also makes x / √(1 + x²) of sin(atan(x)), which is 0 where x² overflows, and the like of other
functions of inverse functions. While numbers are not multiplied out, these stay too.

The parameter belongs to a thread, but SymPy's cache to all of them, and to the user's own SymPy.
Assigning to the parameter empties the cache; here it is changed behind SymPy's back, which is
right because no expression of symflow's is one of anybody else's: all of its symbols are of the
class below.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, ParamSpec, TypeVar

import sympy as sp
from sympy.core.parameters import global_parameters

_Given = ParamSpec("_Given")
_Result = TypeVar("_Result")


class Symbol(sp.Symbol):  # type: ignore[misc]
    """A symbol of symflow's, which equals no other of its name. SymPy sorts by names of classes,
    and sorts it as one of its own."""

    __slots__ = ()


def undistributed(function: Callable[_Given, _Result]) -> Callable[_Given, _Result]:
    """The function, leaving products of numbers and sums as they are."""

    @wraps(function)
    def wrapped(*given: _Given.args, **named: _Given.kwargs) -> _Result:
        parameters = vars(global_parameters)
        before = parameters["distribute"]
        parameters["distribute"] = False
        try:
            return function(*given, **named)
        finally:
            parameters["distribute"] = before

    return wrapped


def _negated(total: sp.Add) -> sp.Expr:
    """What SymPy does while it distributes, since -(x - y) is exactly y - x. Without, its functions
    go round in circles: sin(y - x) is -sin(-(y - x)), whose argument has a minus in front again.
    """
    return total.func(*(-term for term in total.args))


sp.Add.__neg__ = _negated


def _keep_inverses(function: Any) -> None:
    """Leave a function of an inverse function as it is in what symflow makes of expressions."""
    evaluated = function.eval.__func__

    def eval(cls: Any, argument: sp.Expr) -> sp.Expr | None:
        if isinstance(argument, _INVERSES) and not global_parameters.distribute:
            return None
        return evaluated(cls, argument)

    function.eval = classmethod(eval)


_INVERSES = (sp.asin, sp.acos, sp.atan, sp.asinh, sp.acosh, sp.atanh)
for _function in (sp.sin, sp.cos, sp.tan, sp.sinh, sp.cosh, sp.tanh):
    _keep_inverses(_function)


def assert_undistributed() -> None:
    assert not global_parameters.distribute, "an expression is made outside of `undistributed`"
