"""Bodies of kernels in as many digits as asked: the mathematics of the rows, and nothing else.

Nothing here knows how NumPy computes an operation. An opaque operation is evaluated from its
`maths`, a choice only in the branch that it takes. What is no real number is not a number: the
logarithm and the root of a negative number. A pole is infinite.

The rounding of every operation can be directed. A result that comes out the same, to the digits
wanted, with all operations rounded down and with all rounded up has that many digits; where
digits cancel or are absorbed, as in log(1 + exp(-800)), the two differ (Kahan, How Futile are
Mindless Assessments of Roundoff, 2006).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import frexp
from typing import Any, Literal

import sympy as sp
from mpmath.ctx_mp import MPContext
from mpmath.libmp import ComplexResult
from sympy.core.relational import Relational
from sympy.logic.boolalg import BooleanFunction
from sympy.printing.pycode import MpmathPrinter

from symflow.elementwise import Elementwise, Opaque
from symflow.errors import SymflowError
from symflow.program import slot, slots_of

Rounding = Literal["n", "f", "c"]
"""To nearest, down (floor) and up (ceiling), as mpmath calls them."""

Formula = Callable[[Sequence[Any]], Any]
"""A body as a function of the numbers in its slots."""


TOWER = 1030
"""Bits of the largest exponent of a number that functions are taken of: all floats have fewer."""


LONG = 32
SQUARING = 600
"""Bits of a whole number, and of a precision, from which on mpmath takes eˣ by squaring."""

FAR = 1 << 16
"""Bits of a number from which on `_FLAT` are as at infinity: mpmath would take π to as many."""

_FLAT = (
    *(sp.sin, sp.cos, sp.tan, sp.cot, sp.sinc),
    *(sp.erf, sp.erfc, sp.gamma, sp.loggamma, sp.polygamma),
)


def _bits(value: Any) -> int:
    """How many bits a number has before the point; negative for small ones."""
    if not hasattr(value, "_mpf_"):
        return frexp(value)[1]
    _, mantissa, exponent, count = value._mpf_
    return int(exponent + count) if mantissa else 0


class Arithmetic:
    """Numbers of a precision and a rounding, and bodies as functions of them."""

    def __init__(self, digits: int, rounding: Rounding = "n") -> None:
        self.context: Any = MPContext()
        self.context.dps = digits
        self.context.trap_complex = True
        self.context._prec_rounding[1] = rounding
        self.digits = digits
        self._formulas: dict[sp.Expr, Formula] = {}
        self._rows: dict[Elementwise, Formula] = {}

    def number(self, value: Any) -> Any:
        """A number of Python, NumPy or mpmath in this precision."""
        if type(value) is self.context.mpf:
            return value
        if hasattr(value, "_mpf_"):
            return +self.context.make_mpf(value._mpf_)
        return self.context.mpf(value.item() if hasattr(value, "item") else value)

    def formula(self, body: sp.Expr) -> Formula:
        """The body as a function of the numbers in slots 0, 1, ..."""
        found = self._formulas.get(body)
        if found is None:
            found = self._formulas[body] = self._compiled(body)
        return found

    def _compiled(self, body: Any) -> Formula:
        if isinstance(body, sp.Symbol):
            (number,) = slots_of(body)
            return lambda operands: operands[number]
        if isinstance(body, sp.Piecewise):
            return self._choice(body)
        if isinstance(body, (Relational, BooleanFunction)) or body in (sp.true, sp.false):
            return self._condition(body)
        if not body.free_symbols:
            constant = self._constant(body)
            return lambda operands: constant
        if isinstance(body, sp.Add):
            return self._sum(body)
        if isinstance(body, sp.Mul):
            return self._product(body)
        if isinstance(body, sp.Pow):
            return self._power(body)
        if isinstance(body, Opaque):
            return self._opaque(body)
        return self._function(body)

    def _constant(self, body: sp.Expr) -> Any:
        if isinstance(body, sp.Float):
            return self.number(body)
        if body is sp.nan or body is sp.zoo:
            return self.context.nan
        if body in (sp.oo, -sp.oo):
            return self.context.inf if body is sp.oo else -self.context.inf
        if any(isinstance(part, Opaque) for part in sp.preorder_traversal(body)):
            body = body.replace(
                lambda part: isinstance(part, Opaque), lambda part: type(part).row.maths(*part.args)
            )
        if body.is_Rational:
            return self.context.mpf(body.p) / body.q
        value = sp.N(body, self.digits + 10)
        return self.number(value) if value.is_Float else self._constant(value)

    def _sum(self, body: sp.Add) -> Formula:
        first, *rest = (self.formula(term) for term in body.args)

        def add(operands: Sequence[Any]) -> Any:
            total = first(operands)
            for term in rest:
                total = total + term(operands)
            return total

        return add

    def _product(self, body: sp.Mul) -> Formula:
        first, *rest = (self.formula(factor) for factor in body.args)
        if len(rest) == 1:
            (second,) = rest
            return lambda operands: first(operands) * second(operands)

        def multiply(operands: Sequence[Any]) -> Any:
            total = first(operands)
            for factor in rest:
                total = total * factor(operands)
            return total

        return multiply

    def _power(self, body: sp.Pow) -> Formula:
        base = self.formula(body.base)
        if body.exp.is_Integer:
            whole = int(body.exp)
            if whole > 0:
                return lambda operands: base(operands) ** whole
            return self._real(lambda operands: 1 / base(operands) ** -whole)
        if abs(body.exp) == sp.Rational(1, 2):
            root = self._real(lambda operands: self.context.sqrt(base(operands)))
            return root if body.exp > 0 else self._real(lambda operands: 1 / root(operands))
        exponent = self.formula(body.exp)

        def raised(operands: Sequence[Any]) -> Any:
            x, y = base(operands), exponent(operands)
            if x > 0 and _bits(y) + abs(_bits(x)).bit_length() > TOWER:
                return self.context.inf if (x > 1) == (y > 0) else self.context.zero
            return x**y

        return self._real(raised)

    def _choice(self, body: sp.Piecewise) -> Formula:
        branches = [
            (self.formula(condition), self.formula(value)) for value, condition in body.args
        ]

        def choose(operands: Sequence[Any]) -> Any:
            for holds, value in branches:
                if holds(operands):
                    return value(operands)
            return self.context.nan

        return choose

    def _condition(self, body: Any) -> Formula:
        if body in (sp.true, sp.false):
            return lambda operands: bool(body)
        parts = [self.formula(part) for part in body.args]
        if isinstance(body, sp.And):
            return lambda operands: all(part(operands) for part in parts)
        if isinstance(body, sp.Or):
            return lambda operands: any(part(operands) for part in parts)
        if isinstance(body, sp.Not):
            return lambda operands: not parts[0](operands)
        left, right = parts
        compare = _COMPARISONS[type(body)]
        return lambda operands: compare(left(operands), right(operands))

    def _opaque(self, body: Opaque) -> Formula:
        row = type(body).row
        maths = self.row(row)
        arguments = [self.formula(argument) for argument in body.args]
        return lambda operands: maths(_Operands(arguments, operands))

    def row(self, row: Elementwise) -> Formula:
        """An operation, from its maths."""
        if row not in self._rows:
            maths = sp.sympify(row.maths(*(slot(number) for number in range(row.arity))))
            self._rows[row] = self.formula(maths)
        return self._rows[row]

    def _function(self, body: sp.Expr) -> Formula:
        """A function of SymPy, as SymPy writes it for mpmath."""
        arguments = [self.formula(argument) for argument in body.args]
        names = [sp.Symbol(f"x{number}", real=True) for number in range(len(arguments))]
        printer = MpmathPrinter({"allow_unknown_functions": True})
        function = body.func(*names)
        source = printer.doprint(function)
        if "Not supported" in source or function.func is not body.func:
            raise SymflowError(f"mpmath has no {type(body).__name__}")
        code = f"lambda {', '.join(map(str, names))}: {source}"
        name = type(body).__name__  # which SymPy leaves as it is where it does not know mpmath's
        known = [one for one in (name, name.lower()) if hasattr(self.context, one)]
        own = {name: getattr(self.context, known[0])} if known else {}
        try:
            call = eval(code, {"mpmath": self.context, **own})
        except NameError:
            raise SymflowError(f"mpmath has no {type(body).__name__}") from None
        if name in ("exp", "sinh", "cosh", "tanh"):
            (argument,) = arguments
            return self._real(lambda operands: self._grown(name, call, argument(operands)))
        if isinstance(body, _FLAT):
            return self._real(
                lambda operands: call(*(self._near(argument(operands)) for argument in arguments))
            )
        return self._real(lambda operands: call(*(argument(operands) for argument in arguments)))

    def _grown(self, name: str, call: Callable[[Any], Any], x: Any) -> Any:
        """A function that grows like eˣ: infinite where the exponent of the result has more than
        `TOWER` bits, since the next function of that would take for ever."""
        if _bits(x) <= TOWER:
            return self._exponential(x) if name == "exp" and _bits(x) > LONG else call(x)
        if x > 0 or name == "cosh":
            return self.context.one if name == "tanh" else self.context.inf
        return {"exp": self.context.zero, "sinh": -self.context.inf, "tanh": -self.context.one}[
            name
        ]

    def _exponential(self, x: Any) -> Any:
        """eˣ of a large number; where it is whole mpmath squares e again and again, which takes it
        far longer than any other."""
        context = self.context
        if context.prec <= SQUARING or not context.isint(x):
            return context.exp(x)
        with context.workprec(context.prec + _bits(x)):
            third = context.one / 3
            found = context.exp(x - third) * context.exp(third)
        return +found

    def _near(self, x: Any) -> Any:
        """The number itself, or an infinite one instead of one that is longer than `FAR`."""
        return x if _bits(x) <= FAR else x * self.context.inf

    def _real(self, formula: Formula) -> Formula:
        """What gives no real number gives NaN, and a pole is infinite."""

        def evaluate(operands: Sequence[Any]) -> Any:
            try:
                return formula(operands)
            except ComplexResult:
                return self.context.nan
            except (ZeroDivisionError, OverflowError):
                return self.context.inf
            except ValueError:  # a pole of gamma and its kin
                return self.context.inf

        return evaluate


class _Operands(Sequence[Any]):
    """The arguments of an opaque operation, each evaluated when its maths asks for it."""

    __slots__ = ("_arguments", "_known", "_operands")

    def __init__(self, arguments: Sequence[Formula], operands: Sequence[Any]) -> None:
        self._arguments = arguments
        self._operands = operands
        self._known: list[Any] = [None] * len(arguments)

    def __len__(self) -> int:
        return len(self._arguments)

    def __getitem__(self, number: Any) -> Any:
        value = self._known[number]
        if value is None:
            value = self._known[number] = self._arguments[number](self._operands)
        return value


_COMPARISONS: dict[Any, Callable[[Any, Any], bool]] = {
    sp.StrictGreaterThan: lambda x, y: bool(x > y),
    sp.GreaterThan: lambda x, y: bool(x >= y),
    sp.StrictLessThan: lambda x, y: bool(x < y),
    sp.LessThan: lambda x, y: bool(x <= y),
    sp.Equality: lambda x, y: bool(x == y),
    sp.Unequality: lambda x, y: bool(x != y),
}
