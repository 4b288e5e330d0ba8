"""What an elementwise operation is: a row, from which everything else follows.

The rows themselves stand in `rows.py`. A row is the operation's name, its maths as a SymPy
expression, and where needed a stable way to compute it. Forward code, derivative, broadcasting,
formula and documentation follow from the row; an operation is added by adding a row (see
CONTRIBUTING.md).

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

from symflow.arithmetic import undistributed
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
    slots_of,
)
from symflow.shapes import Sizes, broadcast

Domain = tuple[tuple[float, float], ...]

ROWS: dict[str, Elementwise] = {}
"""Every elementwise operation by name, in the order of the reference; `rows.py` fills it."""


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

    def _eval_derivative(self, symbol: sp.Symbol) -> sp.Expr:
        if type(self).row.name == "where":
            # a branch that is not taken may have no finite derivative
            condition, yes, no = self.args
            return ROWS["where"](condition, yes.diff(symbol), no.diff(symbol))
        return super()._eval_derivative(symbol)

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
    evaluate  simpler form for special arguments, or for all of them in terms of other rows
    result    "float"; "int"; "bool" for predicates; "widest" for the widest of the operands
    takes     "numbers", booleans among them, which count as 0 and 1; or "booleans" alone
    domain    where the tests draw each operand from
    becomes   what it is in terms of other rows, but for its derivative: a twin of theirs, until all
              derivatives are taken
    """

    name: str
    maths: Callable[..., sp.Expr]
    doc: str = ""
    partials: Callable[..., Sequence[Any]] | None = None
    numpy: str | None = None
    helper: str | None = None
    opaque: bool = False
    evaluate: Callable[..., sp.Expr | None] | None = None
    result: Literal["float", "int", "bool", "widest"] = "widest"
    result_from: int = 0
    takes: Literal["numbers", "booleans"] = "numbers"
    domain: Domain = ((-3.0, 3.0),)
    becomes: Callable[..., sp.Expr] | None = None

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
        dtypes = tuple(operand.dtype for operand in operands)
        if self.takes == "booleans":
            self._check_booleans(dtypes)
        return kernel(output, extents, _body(self, dtypes), accesses)

    def _check_booleans(self, dtypes: Sequence[Dtype]) -> None:
        numbers = [dtype for dtype in dtypes if dtype != "bool"]
        if numbers:
            raise SymflowError(
                f"booleans are wanted, not {numbers[0]}s; compare first, as in x > 0"
            )


def align(operand: Type, output: Sequence[int | None]) -> tuple[int | None, ...]:
    """The indices of an operand whose last axis meets the last axis of the output."""
    last = output[len(output) - len(operand.shape) :]
    return tuple(
        None if size == ONE else index for size, index in zip(operand.shape, last, strict=True)
    )


@lru_cache(maxsize=65536)
def _body(row: Elementwise, dtypes: tuple[Dtype, ...]) -> sp.Expr:
    """The operation on operands of some kinds of numbers."""
    slots = [slot(number) for number in range(len(dtypes))]
    if row.name == "where" and dtypes[0] != "bool":  # as NumPy takes numbers for conditions
        slots[0] = ROWS["not_equal"](slots[0], 0)
    if row.name in ("to_float", "to_int") and dtypes[0] == row.result:
        return slots[0]
    return canonical(row(*_promoted(row, slots, dtypes)))


def _promoted(
    row: Elementwise, slots: Sequence[sp.Expr], dtypes: Sequence[Dtype]
) -> Sequence[sp.Expr]:
    """Integers and booleans become floats where they meet floats, or where the result is one.

    NumPy would widen float32 to float64 where it meets an int64 array.
    """
    if row.result in ("bool", "int") or row.name == "to_float":
        return slots
    body = row(*slots)
    numbers = dtypes[row.result_from :]
    if row.name == "where" and set(numbers) == {"bool"}:
        return slots
    floating = row.result == "float" or dtype_of(body, tuple(dtypes)) == "float"
    if "float" not in numbers and not floating and "int" in numbers:
        return slots
    return [
        value if dtype == "float" or number < row.result_from else ROWS["to_float"](value)
        for number, (value, dtype) in enumerate(zip(slots, dtypes, strict=True))
    ]


@cache
def function_of(row: Elementwise) -> type[Opaque]:
    """The SymPy function class of an opaque row."""
    members = {"row": row, "nargs": row.arity, "result": row.result, "result_from": row.result_from}
    return type(row.name, (Opaque,), members)


def choose(condition: sp.Expr, yes: Any, no: Any) -> sp.Expr:
    return sp.Piecewise((yes, condition), (no, True))


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


# --- twins -----------------------------------------------------------------------------------


@cache
def _twins() -> dict[type[Opaque], Callable[..., sp.Expr]]:
    return {function_of(row): row.becomes for row in ROWS.values() if row.becomes is not None}


@lru_cache(maxsize=65536)
def without_twins(body: sp.Expr) -> sp.Expr:
    """The body with what twins become, which differs from them in its derivatives alone."""
    for twin, row in _twins().items():
        body = body.replace(twin, row) if body.has(twin) else body
    return body


def with_twins(body: sp.Expr) -> sp.Expr:
    """The body with twins for the rows that have one."""
    for twin, row in _twins().items():
        function = row(*(slot(number) for number in range(twin.row.arity))).func
        if issubclass(function, sp.Function) and body.has(function):
            body = body.replace(function, twin)
    return body


# --- differentiation -------------------------------------------------------------------------


@lru_cache(maxsize=65536)
@undistributed
def differentiated(body: sp.Expr, number: int) -> sp.Expr:
    """∂ body / ∂ slot, by SymPy: every derivative that symflow takes comes from here."""
    return canonical(sp.diff(canonical(body), slot(number)))


@lru_cache(maxsize=65536)
def canonical(body: sp.Expr) -> sp.Expr:
    """The body in the functions of the table.

    SymPy writes sqrt(x²) as Abs(x) and erfc(-x) as 2 - erfc(x), which loses digits, and
    differentiates Abs, sign and Max into distributions, and floor not at all.
    """
    if not body.has(*_IN_TABLE, sp.Max, sp.Min, sp.Piecewise):
        return body
    for function, name in _IN_TABLE.items():
        body = body.replace(
            lambda part, function=function: isinstance(part, function) and bool(slots_of(part)),
            lambda part, row=ROWS[name]: row(*part.args),
        )
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
        result = ROWS["where"](predicate(condition.lhs, condition.rhs), value, result)
    return result


_IN_TABLE = {
    sp.Abs: "abs",
    sp.sign: "sign",
    sp.floor: "floor",
    sp.ceiling: "ceil",
    sp.Mod: "floormod",
    sp.atan2: "atan2",
    sp.erfc: "erfc",
    sp.erfinv: "erfinv",
    sp.loggamma: "lgamma",
    sp.polygamma: "polygamma",
}

_PREDICATES = {
    sp.StrictGreaterThan: "greater",
    sp.GreaterThan: "greater_equal",
    sp.StrictLessThan: "less",
    sp.LessThan: "less_equal",
    sp.Equality: "equal",
    sp.Unequality: "not_equal",
}
