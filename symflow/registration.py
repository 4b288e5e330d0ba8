"""A user's own operation, tested when it is added: derivative and NumPy text against its maths.

At points of its domain, each partial derivative must be the difference quotient of the maths in
many digits, and the NumPy text must compute the maths.
"""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import sympy as sp

from symflow.alphabets import size_name
from symflow.arithmetic import undistributed
from symflow.elementwise import ROWS, Domain, Elementwise, differentiated, register
from symflow.errors import SymflowError
from symflow.evaluation import helper_functions
from symflow.highprecision import Arithmetic, Formula
from symflow.printing import value_text
from symflow.program import Type, dimension, slot
from symflow.shapes import Sizes
from symflow.source import BUILTINS
from symflow.text import Text

DIGITS = 60
STEP = 25
"""Digits after the point of the step of a difference quotient."""

PARTIAL_TOLERANCE = 1e-9
TEXT_TOLERANCE = 1e-6
"""Relative; partials may hold numbers of 16 digits, and a text rounds."""

_PLACES = (0.13, 0.87, 0.41, 0.66, 0.29)
"""Where in the interval of an operand points lie, one after the other."""


@undistributed
def own_operation(
    name: str,
    maths: Callable[..., Any],
    doc: str,
    domain: Domain,
    partials: Callable[..., Sequence[Any]] | None,
    numpy: str | None,
) -> Elementwise:
    """The row of a user's operation, in the table once it has been tested."""
    opaque = partials is not None or numpy is not None
    row = Elementwise(
        name,
        maths,
        doc,
        partials=partials if partials is not None or not opaque else _derived(maths),
        numpy=None if numpy is None else _template(name, numpy, maths),
        opaque=opaque,
        result="float" if opaque else "widest",
        domain=domain,
    )
    register(row)
    try:
        _verify(row)
    except BaseException:
        del ROWS[name]
        raise
    return row


def _derived(maths: Callable[..., Any]) -> Callable[..., Sequence[Any]]:
    """Partial derivatives of an opaque operation from its maths."""

    def partials(*operands: Any) -> Sequence[Any]:
        slots = [slot(number) for number in range(len(operands) - 1)]
        values = dict(zip(slots, operands, strict=False))
        body = sp.sympify(maths(*slots))
        return [differentiated(body, number).xreplace(values) for number in range(len(slots))]

    return partials


def _template(name: str, numpy: str, maths: Callable[..., Any]) -> str:
    """The NumPy text with parentheses, so that whatever is put in stays together."""
    arity = len(inspect.signature(maths).parameters)
    try:
        tree = ast.parse(numpy.format(*(f"_{number}" for number in range(arity))), mode="eval")
    except (AttributeError, LookupError, ValueError, SyntaxError):
        raise SymflowError(
            f"{name}: numpy={numpy!r} is no expression with the operands as "
            + ", ".join(f"{{{number}}}" for number in range(arity))
        ) from None
    _check_names(name, tree)
    text = re.sub(r"(?<![(,] )(?<![(,])(\{\d+\})|(\{\d+\})(?!\s*[,)])", r"(\1\2)", numpy)
    closed = (ast.Call, ast.Subscript, ast.Attribute, ast.Name)
    return text if isinstance(tree.body, closed) else f"({text})"


def _check_names(name: str, tree: ast.Expression) -> None:
    """A module has NumPy, SciPy's functions, and what computes; it reads and runs nothing."""
    known = {"np", "special", "dtype", *BUILTINS}
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and node.id not in known and not node.id.startswith("_"):
            told = f"{name}: numpy= calls {node.id}, which a module does not have"
            raise SymflowError(told, hint="np.sin({0}), special.erf({0}), ...")
        wrong = node.id if isinstance(node, ast.Name) else getattr(node, "attr", "")
        if wrong.startswith("__"):
            raise SymflowError(f"{name}: numpy= calls {wrong}, which a module does not have")


@dataclass(frozen=True)
class _Sample:
    """A point of the domain, the value there and the true derivatives, as intervals at kinks."""

    point: tuple[float, ...]
    value: Any
    slopes: tuple[tuple[Any, Any], ...]


def _verify(row: Elementwise) -> None:
    samples = _samples(row)
    if not samples:
        raise SymflowError(
            f"{row.name}: the maths has no real value at any point tried of its domain, "
            f"{', '.join(map(str, row.domain))}; give domain= one in which it has"
        )
    body = row(*(slot(number) for number in range(row.arity)))
    arithmetic = Arithmetic(DIGITS)
    for number in range(row.arity):
        try:
            derivative = arithmetic.formula(differentiated(body, number))
        except IndexError:
            raise SymflowError(f"{row.name}: partials= gives too few of them") from None
        for sample in samples:
            _verify_partial(row, number, derivative, sample)
    _verify_text(row, samples)


def _samples(row: Elementwise) -> list[_Sample]:
    arithmetic = Arithmetic(DIGITS + 2 * STEP)
    maths = arithmetic.row(row)
    intervals = [*row.domain, *[row.domain[-1]] * row.arity][: row.arity]
    found = []
    for at in range(len(_PLACES)):
        point = tuple(
            low + (high - low) * _PLACES[(at + 2 * number) % len(_PLACES)]
            for number, (low, high) in enumerate(intervals)
        )
        operands = [arithmetic.number(one) for one in point]
        value = maths(operands)
        slopes = [_slopes(arithmetic, maths, operands, number) for number in range(row.arity)]
        if all(arithmetic.context.isfinite(one) for one in (value, *sum(slopes, ()))):
            found.append(_Sample(point, value, tuple(slopes)))
    return found


def _slopes(
    arithmetic: Arithmetic, maths: Formula, operands: Sequence[Any], number: int
) -> tuple[Any, Any]:
    """The derivatives from below and from above, or twice the one where there is no kink."""
    h = arithmetic.context.mpf(10) ** -STEP

    def moved(way: int) -> Any:
        one = operands[number] + way * h
        return maths([*operands[:number], one, *operands[number + 1 :]])

    here, above, below = maths(operands), moved(1), moved(-1)
    slopes = sorted([(above - here) / h, (here - below) / h])
    if abs(slopes[1] - slopes[0]) <= PARTIAL_TOLERANCE * max(abs(slopes[0]), 1):
        slopes = [(above - below) / (2 * h)] * 2
    return slopes[0], slopes[1]


def _verify_partial(row: Elementwise, number: int, derivative: Formula, sample: _Sample) -> None:
    given = derivative([_number(one) for one in sample.point])
    low, high = sample.slopes[number]
    true = min(max(low, given), high)
    scale = max(abs(true), abs(given), 1e-20)
    if not abs(given - true) <= PARTIAL_TOLERANCE * scale:
        names = list(inspect.signature(row.maths).parameters)
        raise SymflowError(
            f"{row.name}: the derivative by {names[number]} is wrong at {_shown(names, sample)}: "
            f"it gives {float(given):.10g}, and difference quotients of the maths give "
            f"{float(true):.10g}"
        )


def _number(value: float) -> Any:
    return _PLAIN.number(value)


_PLAIN = Arithmetic(DIGITS)


def _shown(names: Sequence[str], sample: _Sample) -> str:
    return ", ".join(f"{name} = {x:.6g}" for name, x in zip(names, sample.point, strict=True))


def _verify_text(row: Elementwise, samples: Sequence[_Sample]) -> None:
    """The printed text, with float64 and float32 operands."""
    types = [Type((dimension("n"),))] * row.arity
    value = row.define(types, Sizes())
    names = [f"operand_{number}" for number in range(row.arity)]
    text = value_text(value, types[0], types, lambda tensor: Text(names[tensor])).source
    names_of = list(inspect.signature(row.maths).parameters)
    for dtype in (np.float64, np.float32):
        columns = np.array([one.point for one in samples], dtype).T
        namespace = {**helper_functions(), **dict(zip(names, columns, strict=True))}
        namespace |= {"dtype": np.dtype(dtype), size_name("n"): len(samples)}
        try:
            with np.errstate(all="ignore"):
                result = np.asarray(eval(text, namespace))
        except Exception as error:
            if row.numpy is None and isinstance(error, NameError):
                return  # functions that a module imports
            raise SymflowError(
                f"{row.name}: {text} raises {type(error).__name__}: {error}"
            ) from None
        if result.shape != (len(samples),):
            raise SymflowError(
                f"{row.name}: {text} gives shape {result.shape} for {len(samples)} numbers"
            )
        if result.dtype != dtype:
            raise SymflowError(f"{row.name}: {text} gives {result.dtype} for {np.dtype(dtype)}")
        if dtype is np.float64:
            _verify_values(row, text, names_of, result, samples)


def _verify_values(
    row: Elementwise, text: str, names: Sequence[str], result: Any, samples: Sequence[_Sample]
) -> None:
    for given, sample in zip(result, samples, strict=True):
        terms = [
            abs(x * float(high)) for x, (_, high) in zip(sample.point, sample.slopes, strict=True)
        ]
        true = float(sample.value)
        if not abs(given - true) <= TEXT_TOLERANCE * max(abs(true), *terms):
            raise SymflowError(
                f"{row.name}: at {_shown(names, sample)}, {text} gives {given:.10g}, "
                f"and the maths {true:.10g}"
            )
