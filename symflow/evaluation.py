"""Programs in 50 digits: the user's own mathematics, evaluated without the code that is printed.

`exact` evaluates the lowered program, before any rewriting, with ever more digits until rounding
all operations down and rounding all up give the same 50 digits. What then still differs only in
numbers too small to be anything is zero.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, fields, replace
from functools import cache, lru_cache
from threading import get_ident
from typing import Any

import numpy as np
import sympy as sp
from mpmath.libmp import from_man_exp
from numpy.typing import NDArray

from symflow.alphabets import size_name
from symflow.arithmetic import undistributed
from symflow.errors import SymflowError
from symflow.highprecision import Arithmetic, Rounding
from symflow.layout import Helpers, render
from symflow.primitives import Primitive
from symflow.program import (
    Bundle,
    Constant,
    Full,
    Input,
    Iota,
    Kernel,
    Program,
    Type,
    Value,
    slot,
    slots_of,
)
from symflow.recurrence import in_bodies
from symflow.text import Text
from symflow.views import StopGradient

DIGITS = 50
GUARD = 15
MORE = 4
MOST_DIGITS = 1100
"""So many times as many digits are tried, up to enough for exp(-1700) to count beside 1."""

LONGEST = 4_000
"""Bits by which numbers are shifted to be whole."""

LARGEST = 200_000
"""Numbers of a kernel that are held at a time."""

Array = NDArray[Any]


@lru_cache(maxsize=64)
def _arithmetic(digits: int, rounding: Rounding, thread: int) -> Arithmetic:
    """Numbers of a precision, with the bodies that were seen. mpmath changes its precision while it
    computes, so each thread has its own."""
    return Arithmetic(digits, rounding)


class Evaluator:
    """One evaluation of programs: its numbers, and the sizes that inputs have.

    frozen  values of tensors, by number, that are held while an input moves
    """

    def __init__(
        self,
        digits: int,
        rounding: Rounding = "n",
        frozen: Mapping[int, Array] | None = None,
    ) -> None:
        self.arithmetic = _arithmetic(digits, rounding, get_ident())
        self.context = self.arithmetic.context
        self.sizes: dict[sp.Expr, sp.Expr] = {}
        self.frozen = dict(frozen or {})

    def size(self, size: sp.Expr) -> int:
        return int(size.xreplace(self.sizes))

    def outputs(self, program: Program, inputs: Mapping[str, Array]) -> dict[str, Array]:
        tensors = self.tensors(program, inputs)
        return {name: tensors[tensor] for name, tensor in program.outputs.items()}

    @np.errstate(all="ignore")  # NumPy watches the flags of the processor
    def tensors(self, program: Program, inputs: Mapping[str, Array]) -> dict[int, Array]:
        """Every tensor that the outputs depend on, by number."""
        for definition in program.definitions:
            if isinstance(definition.value, Input) and definition.value.name in inputs:
                self._learn(definition.type, np.shape(inputs[definition.value.name]))
        values: dict[int, Array] = {}
        for tensor, live in enumerate(program.live()):
            if not live:
                continue
            definition = program[tensor]
            operands = [values[operand] for operand in definition.value.operands]
            if tensor in self.frozen:
                values[tensor] = self.frozen[tensor]
            elif isinstance(definition.value, Input):
                given = np.asarray(inputs[definition.value.name])
                values[tensor] = self._typed(given, definition.type)
            else:
                result = self._value(definition.value, operands)
                own = isinstance(definition.value, Kernel) and definition.type.dtype == "float"
                values[tensor] = result if own else self._typed(result, definition.type)
        return values

    def _learn(self, type_: Type, shape: tuple[int, ...]) -> None:
        for size, given in zip(type_.shape, shape, strict=True):
            if isinstance(size, sp.Symbol):
                self.sizes.setdefault(size, sp.Integer(given))

    def _typed(self, array: Array, type_: Type) -> Array:
        if isinstance(type_, Bundle):
            return array
        if type_.dtype == "float":
            return _each(self.arithmetic.number, np.asarray(array))
        return np.asarray(array).astype(bool if type_.dtype == "bool" else np.int64)

    def _value(self, value: Value, operands: Sequence[Array]) -> Array:
        if isinstance(value, Kernel):
            return self._kernel(value, operands)
        if isinstance(value, Constant):
            return value.data
        if isinstance(value, Iota):
            return np.arange(self.size(value.size))
        if isinstance(value, Full):
            return np.full([self.size(size) for size in value.shape], value.value)
        assert isinstance(value, Primitive), type(value)
        within = copy(self)  # what is frozen counts the tensors of this program
        within.frozen = {}
        result = value.exact(operands, within)
        return self._printed(value, operands) if result is None else result

    def _kernel(self, value: Kernel, operands: Sequence[Array]) -> Array:
        """The definition of a kernel: the body at all indices, and the reduction over some."""
        operands = [
            one if one.dtype == object else _each(self.arithmetic.number, one) for one in operands
        ]
        sizes = [self.size(size) for size in value.sizes]
        places = list(np.ogrid[tuple(slice(size) for size in sizes)]) if sizes else []
        kept = [index for index in value.output if index is not None]
        if kept and math.prod(sizes) > LARGEST:  # one after the other along the first axis
            rows = np.split(places[kept[0]], sizes[kept[0]], axis=kept[0])
            parts = [self._reduced(value, operands, {kept[0]: row}, places) for row in rows]
            result = np.concatenate(parts)
        else:
            result = self._reduced(value, operands, {}, places)
        return result.reshape([1 if index is None else sizes[index] for index in value.output])

    def _reduced(
        self,
        value: Kernel,
        operands: Sequence[Array],
        at: Mapping[int, Array],
        places: Sequence[Array],
    ) -> Array:
        """A kernel at some of its indices, with the indices of its output as axes."""
        places = [at.get(index, place) for index, place in enumerate(places)]
        read = [
            operand[tuple(0 if index is None else places[index] for index in access.indices)]
            for operand, access in zip(operands, value.accesses, strict=True)
        ]
        kept = [index for index in value.output if index is not None]
        shape = [place.size for place in places]
        if value.body == slot(0) * slot(1) and value.reduced and value.reduction == "sum":
            return self._contracted(read, [*kept, *value.reduced], len(kept), shape)
        formula = self.arithmetic.formula(value.body.xreplace(self.sizes))
        if read:
            terms = np.frompyfunc(lambda *numbers: formula(numbers), len(read), 1)(*read)
        else:
            terms = formula(())
        terms = np.broadcast_to(np.asarray(terms, dtype=object), shape)
        terms = terms.transpose([*kept, *value.reduced])
        if not value.reduced:
            return terms
        terms = terms.reshape(*(shape[index] for index in kept), -1)
        if value.reduction in ("any", "all"):
            fold_all = np.any if value.reduction == "any" else np.all
            return np.asarray(fold_all(terms.astype(bool), axis=-1))
        fold = {"sum": np.add, "max": np.maximum, "min": np.minimum}[value.reduction]
        return np.asarray(fold.reduce(terms, axis=-1), dtype=object)

    def _contracted(
        self, factors: Sequence[Array], axes: Sequence[int], kept: int, shape: Sequence[int]
    ) -> Array:
        """The summed product of two tensors; each sum is rounded once.

        As whole numbers with an exponent in common, where there is one, which is much faster.
        """
        sizes = [shape[axis] for axis in axes]
        whole = [found for one in factors if (found := _whole(one)) is not None]
        exact = len(whole) == len(factors)
        left, right = (
            np.broadcast_to(one, shape).transpose(axes).reshape(math.prod(sizes[:kept]), -1)
            for one in ([numbers for numbers, _ in whole] if exact else factors)
        )
        sums = np.empty(len(left), dtype=object)
        exponent = sum(one for _, one in whole)
        precision = self.context._prec_rounding
        for row in range(len(left)):
            if exact:
                total = from_man_exp(int(left[row] @ right[row]), exponent, *precision)
                sums[row] = self.context.make_mpf(total)
            else:
                sums[row] = self.context.fdot(left[row], right[row])
        return sums.reshape(sizes[:kept])

    def _printed(self, value: Primitive, operands: Sequence[Array]) -> Array:
        """A primitive by its NumPy text, on arrays of these numbers."""
        names = [f"operand_{number}" for number in range(len(operands))]
        namespace = {
            **helper_functions(),
            **dict(zip(names, operands, strict=True)),
            "dtype": object,
        }
        namespace |= {size_name(size): int(number) for size, number in self.sizes.items()}
        try:
            result = eval(value.numpy([Text(name) for name in names]).source, namespace)
        except (TypeError, ValueError, AttributeError) as error:
            raise SymflowError(
                f"{type(value).__name__} cannot be evaluated in many digits: {error}"
            ) from None
        return np.asarray(result)


def _whole(values: Array) -> tuple[Array, int] | None:
    """Numbers as whole ones, and the power of two that they are multiples of; None where there is
    none, or these would be too long."""
    parts = [value._mpf_ for value in values.flat]
    exponents = [exponent for _, mantissa, exponent, _ in parts if mantissa]
    if any(exponent and not mantissa for _, mantissa, exponent, _ in parts):  # NaN and infinity
        return None
    least = min(exponents, default=0)
    if exponents and max(exponents) - least > LONGEST:
        return None
    found = np.empty(values.shape, object)
    found.reshape(-1)[:] = [
        (-1 if sign else 1) * int(mantissa) << exponent - least if mantissa else 0
        for sign, mantissa, exponent, _ in parts
    ]
    return found, least


def _each(function: Callable[[Any], Any], array: Array) -> Array:
    return np.asarray(np.frompyfunc(function, 1, 1)(array), dtype=object)


@cache
def helper_functions() -> dict[str, Any]:
    """The functions that generated code may call."""
    everything = Helpers(**{one.name: True for one in fields(Helpers)})
    namespace: dict[str, Any] = {}
    exec(
        render(
            "session.py.j2",
            function=None,
            traces=False,
            helpers=everything,
            scipy=False,
        ),
        namespace,
    )
    return namespace


# --- as many digits as it takes ------------------------------------------------------------------


@dataclass(frozen=True)
class Exact:
    """Outputs of a program as object arrays of mpmath numbers, right to 50 digits.

    NaN stands for what is undefined, or did not settle, as beside a kink that no precision decides.

    digits  of the arithmetic that it took
    """

    values: Mapping[str, Array]
    digits: int

    def __getitem__(self, name: str) -> Array:
        return self.values[name]


@undistributed
def exact(program: Program, inputs: Mapping[str, Array]) -> Exact:
    """The outputs of a program for the given inputs, to 50 digits."""
    digits = DIGITS + GUARD
    while True:
        low, high = (Evaluator(digits, way).outputs(program, inputs) for way in ("f", "c"))
        settled = all(np.all(_each_pair(_settled, low[name], high[name])) for name in low)
        finite = all(np.all(_each(_is_finite, one)) for one in low.values())
        if MORE * digits > MOST_DIGITS or (settled and finite):
            break
        digits = MOST_DIGITS if settled else MORE * digits  # log(1 - erf(30)) is -∞ in few digits
    return Exact({name: _settle(low[name], high[name], digits) for name in low}, digits)


def _is_finite(number: Any) -> bool:
    return not hasattr(number, "_mpf_") or bool(abs(number) < number.context.inf)


def _settled(low: Any, high: Any) -> bool:
    """Whether two results that bracket a number have 50 digits in common."""
    if not hasattr(low, "_mpf_") or low == high:
        return True
    if low != low or high != high:  # NaN
        return bool(low != low and high != high)
    near = abs(low - high) * 10**DIGITS <= max(abs(low), abs(high))
    return bool(near) and _is_finite(low) and _is_finite(high)


def _settle(low: Array, high: Array, digits: int) -> Array:
    """The numbers between; zero for what is too small beside the others to be anything."""

    def middle(x: Any, y: Any) -> Any:
        if _settled(x, y):
            return x if x == y else (x + y) / 2
        tiny = abs(x) + abs(y) < largest * type(x)(10) ** (-digits // 2)
        return type(x)(0) if tiny else type(x)("nan")

    sizes = [abs(x) for x in np.ravel(high) if hasattr(x, "_mpf_")]
    largest = max([*sizes, 1])
    return _each_pair(middle, low, high)


def _each_pair(function: Callable[[Any, Any], Any], first: Array, second: Array) -> Array:
    with np.errstate(all="ignore"):
        return np.asarray(np.frompyfunc(function, 2, 1)(first, second), dtype=object)


# --- derivatives by differences ------------------------------------------------------------------

STEP = 25
"""Digits after the point of the step of a difference quotient."""


class Differences:
    """Derivatives of a scalar output by difference quotients, of which no rule is part.

    Of a program that is evaluated with `digits`; what stops the gradient is held.
    """

    def __init__(self, program: Program, output: str, inputs: Mapping[str, Array], digits: int):
        self.program = replace(program, outputs={output: program.outputs[output]})
        self.inputs = inputs
        self.output = output
        self.digits = max(100, digits) + 2 * STEP
        base = Evaluator(self.digits)
        self._found = found = base.tensors(self.program, inputs)
        self.context = base.context
        self.value = found[self.program.outputs[output]].item()

    def _at(self, name: str, entry: tuple[int, ...], shift: Any) -> Any:
        evaluator = Evaluator(self.digits, frozen=self._still(name))
        moved = np.asarray(self.inputs[name]).astype(object)
        moved[entry] = evaluator.arithmetic.number(moved[entry]) + shift
        value = evaluator.outputs(self.program, {**self.inputs, name: moved})[self.output]
        return self.context.make_mpf(value.item()._mpf_)

    def _still(self, name: str) -> Mapping[int, Array]:
        """What an input does not move, and what stops the gradient."""
        moving: set[int] = set()
        for tensor in self._found:
            value = self.program[tensor].value
            moves = isinstance(value, Input) and value.name == name
            if moves or not (isinstance(value, StopGradient) or moving.isdisjoint(value.operands)):
                moving.add(tensor)
        return {tensor: value for tensor, value in self._found.items() if tensor not in moving}

    def _step(self, name: str, entry: tuple[int, ...]) -> Any:
        size = abs(float(np.asarray(self.inputs[name])[entry]))
        return self.context.mpf(10) ** -STEP * max(1, size)

    def central(self, name: str, entry: tuple[int, ...]) -> Any | None:
        """The derivative by an entry of an input, to about 48 digits; None at a kink or a jump."""
        h = self._step(name, entry)
        above, below = (self._at(name, entry, step) for step in (h, -h))
        slopes = [(above - self.value) / h, (self.value - below) / h]
        bend = abs(slopes[0] - slopes[1])
        curved = abs(self.value) / 10**20 + max(map(abs, slopes)) / 10**15
        return (above - below) / (2 * h) if bend <= curved else None

    def one_sided(self, name: str, entry: tuple[int, ...]) -> tuple[Any, Any]:
        """The limits of the derivative from below and from above.

        The value at the point itself is not used, so that a jump there does not matter.
        """
        h = self._step(name, entry)

        def slope(step: Any) -> Any:
            return (self._at(name, entry, 3 * step) - self._at(name, entry, step)) / (2 * step)

        below, above = (2 * slope(way * h) - slope(2 * way * h) for way in (-1, 1))
        return below, above


@undistributed
def with_exact_numbers(program: Program) -> Program:
    """The program with every floating-point number in a body as the fraction that it is.

    SymPy would round a product of two of them to 15 digits.
    """
    program = in_bodies(program, with_exact_numbers)
    definitions = []
    for definition in program.definitions:
        value = definition.value
        if isinstance(value, Kernel) and value.body.has(sp.Float):
            numbers = {one: sp.Rational(one) for one in value.body.atoms(sp.Float)}
            body = value.body.xreplace(numbers)
            assert slots_of(body) == slots_of(value.body)
            definition = replace(definition, value=replace(value, body=body))
        definitions.append(definition)
    return Program(tuple(definitions), program.outputs)
