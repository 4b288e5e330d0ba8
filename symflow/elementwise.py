"""The table of elementwise operations: one row each, from which everything else follows.

A row is the operation's name, its maths as a SymPy expression, and where needed a stable way to
compute it. Forward code, derivative, broadcasting, formula and documentation follow from the row;
an operation is added by adding a row (see CONTRIBUTING.md).

An operation whose maths SymPy would rearrange into something worse (sigmoid into a form that
overflows, a maximum into Heaviside with a half at zero) is `opaque`: in a body it is a function
of its own, which SymPy cannot take apart and which brings its own partial derivatives.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache, reduce
from typing import Any, Literal

import sympy as sp

from symflow.errors import SymflowError
from symflow.program import (
    ONE,
    Access,
    Dtype,
    Kernel,
    Type,
    dtype_of,
    indices_of,
    kernel,
    slot,
)
from symflow.shapes import Sizes, broadcast

Domain = tuple[tuple[float, float], ...]


class Opaque(sp.Function):  # type: ignore[misc]
    """An operation that SymPy sees only from outside. Subclasses are made from rows."""

    row: Elementwise
    result: str
    result_from = 0
    is_real = True

    @classmethod
    def eval(cls, *arguments: sp.Expr) -> sp.Expr | None:
        simpler = cls.row.evaluate(*arguments) if cls.row.evaluate else None
        if simpler is not None:
            return simpler
        if all(argument.is_number for argument in arguments):
            return cls.row.maths(*arguments)
        return None

    def fdiff(self, argindex: int = 1) -> sp.Expr:
        row = type(self).row
        assert row.partials is not None, f"{row.name} is opaque and gives no derivative"
        return sp.sympify(row.partials(*self.args, self)[argindex - 1])


@dataclass(frozen=True, eq=False)
class Elementwise:
    """One row: an operation on numbers, applied to whole tensors with NumPy's broadcasting.

    name      what users call it, and what it is called in formulas
    maths     its definition in SymPy; its parameters are the operands
    doc       one line for the reference
    partials  by each operand, given the operands and the result; SymPy derives them from `maths`
              where this is None. Give them to re-use the result or to fix a convention at a kink
    numpy     how the generated module computes it, `{0}` standing for the first operand; printed
              from `maths` where this is None
    helper    name of the function that the generated module defines for it, if it needs one
    opaque    whether SymPy must not look inside
    evaluate  simpler form for special arguments, or None
    result    "float"; "bool" for predicates; "widest" for the widest of the operands
    domain    where the tests draw each operand from
    """

    name: str
    maths: Callable[..., sp.Expr]
    doc: str = ""
    partials: Callable[..., Sequence[Any]] | None = None
    numpy: str | None = None
    helper: str | None = None
    opaque: bool = False
    evaluate: Callable[..., sp.Expr | None] | None = None
    result: Literal["float", "bool", "widest"] = "widest"
    result_from: int = 0
    domain: Domain = ((-3.0, 3.0),)

    @property
    def arity(self) -> int:
        return len(inspect.signature(self.maths).parameters)

    def __call__(self, *operands: Any) -> sp.Expr:
        """The operation as part of a body."""
        if self.opaque:
            return function_of(self)(*operands)
        return sp.sympify(self.maths(*map(sp.sympify, operands)))

    def define(self, operands: Sequence[Type], sizes: Sizes) -> Kernel:
        """The kernel that applies the operation to operands broadcast against each other."""
        shape = broadcast([operand.shape for operand in operands], sizes)
        output, extents = indices_of(shape)
        accesses = [
            Access(number, align(operand, output)) for number, operand in enumerate(operands)
        ]
        slots = [slot(number) for number in range(len(operands))]
        dtypes = [operand.dtype for operand in operands]
        body = canonical(self(*_promoted(self, slots, dtypes)))
        if self is to_float and dtypes[0] == "float":
            body = slots[0]
        return kernel(output, extents, body, accesses)


def align(operand: Type, output: Sequence[int | None]) -> tuple[int | None, ...]:
    """The indices of an operand whose last axis meets the last axis of the output."""
    last = output[len(output) - len(operand.shape) :]
    return tuple(
        None if size == ONE else index for size, index in zip(operand.shape, last, strict=True)
    )


def _promoted(
    row: Elementwise, slots: Sequence[sp.Expr], dtypes: Sequence[Dtype]
) -> Sequence[sp.Expr]:
    """Integers and booleans become floats where they meet floats, or where the result is one.

    NumPy would widen float32 to float64 where it meets an int64 array.
    """
    if row.result == "bool" or row.name == "to_float":
        return slots
    body = row(*slots)
    numbers = dtypes[row.result_from :]
    if "float" not in numbers and dtype_of(body, tuple(dtypes)) != "float" and "int" in numbers:
        return slots
    return [
        value if dtype == "float" or number < row.result_from else to_float(value)
        for number, (value, dtype) in enumerate(zip(slots, dtypes, strict=True))
    ]


@cache
def function_of(row: Elementwise) -> type[Opaque]:
    """The SymPy function class of an opaque row."""
    members = {"row": row, "nargs": row.arity, "result": row.result, "result_from": row.result_from}
    return type(row.name, (Opaque,), members)


def choose(condition: sp.Expr, yes: Any, no: Any) -> sp.Expr:
    return sp.Piecewise((yes, condition), (no, True))


def _where(condition: sp.Expr, yes: sp.Expr, no: sp.Expr) -> sp.Expr | None:
    if condition.is_Number:
        return no if condition == 0 else yes
    return yes if yes == no else None


def _power(base: sp.Expr, exponent: sp.Expr) -> sp.Expr | None:
    return base**exponent if exponent.is_Number else None


def _sign_of_product(x: sp.Expr) -> sp.Expr | None:
    return sp.sign(x) if x.is_Number else None


def _between(x: sp.Expr, y: sp.Expr) -> sp.Expr:
    """1 where x > y, 0 where x < y, a half where they are equal."""
    return (1 + sign(x - y)) / 2


def _predicate(name: str, maths: Callable[..., sp.Expr], symbol: str, doc: str) -> Elementwise:
    return Elementwise(
        name,
        maths,
        doc,
        partials=lambda *operands: [0] * (len(operands) - 1),
        numpy=f"{{0}} {symbol} {{1}}",
        opaque=True,
        result="bool",
        domain=((-3.0, 3.0), (-3.0, 3.0)),
    )


to_float = Elementwise(
    "to_float",
    lambda x: x,
    "An integer or boolean as a floating-point number.",
    partials=lambda x, y: [0],
    numpy="{0}.astype(dtype)",
    opaque=True,
    evaluate=lambda x: x if x.is_Number else None,
    result="float",
)
sign = Elementwise(
    "sign",
    lambda x: choose(x > 0, 1, choose(x < 0, -1, 0)),
    "-1, 0 or 1. Its derivative is 0 everywhere.",
    partials=lambda x, y: [0],
    numpy="np.sign({0})",
    opaque=True,
    evaluate=_sign_of_product,
)
greater = _predicate("greater", lambda x, y: choose(x > y, 1, 0), ">", "x > y.")

_BOTH: Domain = ((-3.0, 3.0), (-3.0, 3.0))
_POSITIVE: Domain = ((0.1, 4.0),)

_TABLE = (
    Elementwise("add", lambda x, y: x + y, "x + y.", domain=_BOTH),
    Elementwise("subtract", lambda x, y: x - y, "x - y.", domain=_BOTH),
    Elementwise("multiply", lambda x, y: x * y, "x · y.", domain=_BOTH),
    Elementwise(
        "divide", lambda x, y: x / y, "x / y.", result="float", domain=((-3.0, 3.0), (0.5, 3.0))
    ),
    Elementwise("negative", lambda x: -x, "-x."),
    Elementwise("square", lambda x: x**2, "x²."),
    Elementwise("sqrt", lambda x: sp.sqrt(x), "√x.", result="float", domain=_POSITIVE),
    Elementwise(
        "pow",
        lambda x, y: x**y,
        "x to the power y. By y the derivative is 0 where x ≤ 0.",
        partials=lambda x, y, z: [
            y * power(x, y - 1),
            z * sp.log(where(greater(x, 0), x, 1)),
        ],
        numpy="np.power({0}, {1})",
        opaque=True,
        evaluate=_power,
        domain=((0.2, 3.0), (-2.0, 2.0)),
    ),
    Elementwise("exp", lambda x: sp.exp(x), "eˣ.", result="float"),
    Elementwise(
        "log", lambda x: sp.log(x), "The natural logarithm.", result="float", domain=_POSITIVE
    ),
    Elementwise("sin", lambda x: sp.sin(x), "The sine of x radians.", result="float"),
    Elementwise("cos", lambda x: sp.cos(x), "The cosine of x radians.", result="float"),
    Elementwise("tanh", lambda x: sp.tanh(x), "The hyperbolic tangent.", result="float"),
    Elementwise(
        "sigmoid",
        lambda x: 1 / (1 + sp.exp(-x)),
        "1 / (1 + e⁻ˣ), without overflow for any x.",
        partials=lambda x, y: [y * (1 - y)],
        numpy="_sigmoid({0})",
        helper="sigmoid",
        opaque=True,
        result="float",
    ),
    Elementwise(
        "softplus",
        lambda x: sp.log(1 + sp.exp(x)),
        "log(1 + eˣ), without overflow for any x.",
        partials=lambda x, y: [sigmoid(x)],
        numpy="_softplus({0})",
        helper="softplus",
        opaque=True,
        result="float",
    ),
    Elementwise(
        "relu",
        lambda x: choose(x > 0, x, 0),
        "max(x, 0). At 0 the derivative is 0.",
        partials=lambda x, y: [to_float(greater(y, 0))],
        numpy="np.maximum({0}, 0.0)",
        opaque=True,
        result="float",
    ),
    Elementwise(
        "abs",
        lambda x: choose(x < 0, -x, x),
        "|x|. At 0 the derivative is 0.",
        partials=lambda x, y: [sign(x)],
        numpy="np.abs({0})",
        opaque=True,
        evaluate=lambda x: sp.Abs(x) if x.is_Number else None,
    ),
    sign,
    Elementwise(
        "maximum",
        lambda x, y: choose(x > y, x, y),
        "The larger of x and y. Where they are equal each gets half of the gradient.",
        partials=lambda x, y, z: [_between(x, y), _between(y, x)],
        numpy="np.maximum({0}, {1})",
        opaque=True,
        domain=_BOTH,
    ),
    Elementwise(
        "minimum",
        lambda x, y: choose(x < y, x, y),
        "The smaller of x and y. Where they are equal each gets half of the gradient.",
        partials=lambda x, y, z: [_between(y, x), _between(x, y)],
        numpy="np.minimum({0}, {1})",
        opaque=True,
        domain=_BOTH,
    ),
    Elementwise(
        "where",
        lambda condition, x, y: choose(sp.Ne(condition, 0), x, y),
        "x where the condition holds, y elsewhere; the gradient goes only to the one taken.",
        partials=lambda condition, x, y, z: [0, where(condition, 1, 0), where(condition, 0, 1)],
        numpy="np.where({0}, {1}, {2})",
        opaque=True,
        evaluate=_where,
        result_from=1,
        domain=((0.0, 1.0), (-3.0, 3.0), (-3.0, 3.0)),
    ),
    to_float,
    greater,
    _predicate("greater_equal", lambda x, y: choose(x >= y, 1, 0), ">=", "x ≥ y."),
    _predicate("less", lambda x, y: choose(x < y, 1, 0), "<", "x < y."),
    _predicate("less_equal", lambda x, y: choose(x <= y, 1, 0), "<=", "x ≤ y."),
    _predicate("equal", lambda x, y: choose(sp.Eq(x, y), 1, 0), "==", "x = y."),
    _predicate("not_equal", lambda x, y: choose(sp.Ne(x, y), 1, 0), "!=", "x ≠ y."),
)

ROWS: dict[str, Elementwise] = {row.name: row for row in _TABLE}
"""Every elementwise operation by name, in the order of the reference."""

abs_ = ROWS["abs"]
equal = ROWS["equal"]
exp = ROWS["exp"]
log = ROWS["log"]
power: Elementwise = ROWS["pow"]
sigmoid: Elementwise = ROWS["sigmoid"]
softplus = ROWS["softplus"]
where: Elementwise = ROWS["where"]


def register(row: Elementwise) -> Elementwise:
    """Add a row to the table. Names are unique, and the maths must be SymPy."""
    if row.name in ROWS:
        raise SymflowError(f"the operation {row.name} exists already")
    body = row(*(slot(number) for number in range(row.arity)))
    if not isinstance(body, sp.Expr):
        raise SymflowError(f"the maths of {row.name} gives {body!r}, which is no SymPy expression")
    foreign = body.free_symbols - {slot(number) for number in range(row.arity)}
    if foreign:
        names = ", ".join(sorted(map(str, foreign)))
        raise SymflowError(f"the maths of {row.name} mentions {names}, which is no operand")
    ROWS[row.name] = row
    return row


# --- differentiation -------------------------------------------------------------------------


@lru_cache(maxsize=65536)
def differentiated(body: sp.Expr, number: int) -> sp.Expr:
    """∂ body / ∂ slot, by SymPy: every derivative that symflow takes comes from here."""
    return canonical(sp.diff(canonical(body), slot(number)))


@lru_cache(maxsize=65536)
def canonical(body: sp.Expr) -> sp.Expr:
    """The body in the functions of the table.

    SymPy writes sqrt(x²) as Abs(x), and differentiates Abs, sign and Max into distributions.
    """
    if not body.has(sp.Abs, sp.sign, sp.Max, sp.Min, sp.Piecewise):
        return body
    for function, row in ((sp.Abs, abs_), (sp.sign, sign)):
        body = body.replace(function, row)
    for function, row in ((sp.Max, ROWS["maximum"]), (sp.Min, ROWS["minimum"])):
        body = body.replace(function, lambda *parts, row=row: reduce(row, parts))
    return body.replace(sp.Piecewise, _nested_where)


def _nested_where(*branches: tuple[sp.Expr, Any]) -> sp.Expr:
    """A Piecewise, which SymPy cannot keep apart from its conditions, as nested `where`."""
    *earlier, (result, _) = branches
    for value, condition in reversed(earlier):
        if type(condition) not in _PREDICATES:
            raise SymflowError(f"the condition {condition} is no single comparison")
        predicate = ROWS[_PREDICATES[type(condition)]]
        result = where(predicate(condition.lhs, condition.rhs), value, result)
    return result


_PREDICATES = {
    sp.StrictGreaterThan: "greater",
    sp.GreaterThan: "greater_equal",
    sp.StrictLessThan: "less",
    sp.LessThan: "less_equal",
    sp.Equality: "equal",
    sp.Unequality: "not_equal",
}
