"""The program as written in float64, one operation after the other, under random rounding.

What the naive code loses is the measure of what a module may lose. One run of it says little: it
is often exact by luck. So it is run several times, with every operation moved by a unit in the
last place at random, and sums added in random order (Parker, Monte Carlo Arithmetic, UCLA
CSD-970002, 1997). Operations that do not round are left alone, so that what ties goes on to tie.

All runs at all points are one run on arrays with one more axis in front. The bodies of kernels
are walked as they stand, not printed, so that what is wrong with printing shows.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from importlib import import_module
from typing import Any

import numpy as np
import sympy as sp
from numpy.typing import NDArray

from symflow.alphabets import size_name
from symflow.bodies import function_name
from symflow.elementwise import Opaque, canonical
from symflow.evaluation import helper_functions
from symflow.layout import uses_scipy
from symflow.matrices import Band, Diagonal, DiagonalMatrix, Eye
from symflow.picking import Extremum, GatherEach, Order, PutAlong, TakeAlong
from symflow.primitives import Part, Primitive, Shares
from symflow.program import (
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
from symflow.recurrence import Scan
from symflow.running import Shift
from symflow.text import Text
from symflow.tiling import Pad, Repeat, Roll, Tile
from symflow.views import Concat, Gather, Place, Reshape, ScatterAdd, Slice, StopGradient
from symflow.windows import Windows

Array = NDArray[Any]

AT_ONCE = 2_000_000
"""Numbers of a kernel that are held at a time."""

WAYS = 1 << 14
"""Roundings that are drawn once, and used from another place each time."""

APART = 256
"""Terms of a run from which on runs are added up one by one: then that is quicker."""

_MOVES = (
    *(Band, Diagonal, DiagonalMatrix, Eye, Extremum, GatherEach, Order, PutAlong, TakeAlong),
    *(Part, Shares, Shift, Pad, Repeat, Roll, Tile, Concat, Gather, Place, Reshape, Slice),
    *(StopGradient, Windows),
)
"""Primitives that compute nothing, and so do not round."""

_UNROUNDED = frozenset({"where", "relu", "abs", "maximum", "minimum", "relu6", "clip_by_value"})
"""The same of rows, beside those that give whole numbers and booleans."""


class Floats:
    """One evaluation of a program at several points, several times each.

    moved  for each run, whether its operations are rounded at random
    """

    def __init__(
        self, moved: Sequence[bool] | Array, random: np.random.Generator, dtype: Any = np.float64
    ) -> None:
        self.moved = np.asarray(moved)
        self.random = random
        self.dtype = np.dtype(dtype)
        unit = np.finfo(self.dtype).eps
        up, down = self.dtype.type(1 + unit), self.dtype.type(1 - unit / 2)
        self._ways = np.where(random.integers(0, 2, 2 * WAYS) == 1, up, down)
        self.sizes: dict[sp.Expr, sp.Expr] = {}
        self._fixed: frozenset[int] = frozenset()

    @property
    def runs(self) -> int:
        return len(self.moved)

    @np.errstate(all="ignore")
    def outputs(self, program: Program, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """The outputs by name; `inputs` and they have an axis for the runs in front."""
        values = self.tensors(program, inputs)
        return {name: values[tensor] for name, tensor in program.outputs.items()}

    @np.errstate(all="ignore")
    def tensors(self, program: Program, inputs: Mapping[str, Array]) -> dict[int, Any]:
        """Every tensor that the outputs depend on, by number."""
        for definition in program.definitions:
            if isinstance(definition.value, Input) and definition.value.name in inputs:
                lengths = np.shape(inputs[definition.value.name])[1:]
                for size, length in zip(definition.type.shape, lengths, strict=True):
                    if isinstance(size, sp.Symbol):
                        self.sizes.setdefault(size, sp.Integer(length))
        values: dict[int, Any] = {}
        fixed: set[int] = set()
        for tensor, live in enumerate(program.live()):
            if live:
                definition, read = program[tensor], program[tensor].value.operands
                self._fixed = frozenset(at for at, one in enumerate(read) if one in fixed)
                given = isinstance(definition.value, Input)
                if definition.type.shape == () and fixed.issuperset(read) and not given:
                    fixed.add(tensor)
                if isinstance(definition.value, Input):
                    array = inputs[definition.value.name]
                    values[tensor] = np.asarray(array, self._kind(definition.type))
                else:
                    operands = [values[one] for one in definition.value.operands]
                    values[tensor] = self._value(definition.value, definition.type, operands)
        return values

    def size(self, size: sp.Expr) -> int:
        return int(size.xreplace(self.sizes))

    def _kind(self, type_: Type) -> Any:
        return {"bool": np.bool_, "int": np.int64, "float": self.dtype}[type_.dtype]

    def _value(self, value: Value, type_: Type, operands: Sequence[Any]) -> Any:
        if isinstance(value, Kernel):
            return np.asarray(self._kernel(value, operands), self._kind(type_))
        if isinstance(value, Constant):
            return self._everywhere(value.data.astype(self._kind(type_)))
        if isinstance(value, Iota):
            return self._everywhere(np.arange(self.size(value.size)))
        if isinstance(value, Full):
            shape = [self.size(size) for size in value.shape]
            return self._everywhere(np.full(shape, value.value, self._kind(type_)))
        assert isinstance(value, Primitive), type(value)
        if isinstance(value, Scan):
            return self._scan(value, operands)
        if isinstance(value, Part):
            return operands[0][value.index]
        if isinstance(value, Shares):
            return list(operands)
        return self._primitive(value, type_, operands)

    def _everywhere(self, array: Array) -> Array:
        return np.broadcast_to(array, (self.runs, *array.shape))

    def _rounded(self, array: Any) -> Any:
        """Each entry a unit in the last place up or down, in the runs that are moved."""
        if array.dtype != self.dtype or not self.moved.any():
            return array
        begin = int(self.random.integers(WAYS))
        shape = (self.runs, *array.shape[1:])  # of a number alone, there is one for all runs
        count = math.prod(shape)
        some = self._ways[begin : begin + min(count, WAYS)]
        moved = array * (some if count <= WAYS else np.resize(some, count)).reshape(shape)
        still = ~self.moved
        if still.any():
            np.copyto(moved, array, where=still.reshape(-1, *[1] * (moved.ndim - 1)))
        return moved

    # --- kernels ---

    def _kernel(self, value: Kernel, operands: Sequence[Array]) -> Array:
        sizes = [self.size(size) for size in value.sizes]
        at_once = max(1, AT_ONCE // max(1, math.prod(sizes)))
        if at_once >= self.runs:
            return self._of_kernel(value, operands, sizes)
        parts = []
        for first in range(0, self.runs, at_once):
            some = slice(first, first + at_once)
            within = Floats(self.moved[some], self.random, self.dtype)
            within.sizes, within._fixed = self.sizes, self._fixed
            parts.append(within._of_kernel(value, [one[some] for one in operands], sizes))
        return np.concatenate(parts)

    def _of_kernel(self, value: Kernel, operands: Sequence[Array], sizes: Sequence[int]) -> Array:
        kept = [index for index in value.output if index is not None]
        shape = [1 if index is None else sizes[index] for index in value.output]
        read = [
            _spread(operand, access.indices, len(sizes))
            for operand, access in zip(operands, value.accesses, strict=True)
        ]
        body = value.body.xreplace(self.sizes) if self.sizes else value.body
        products = value.reduced and value.reduction == "sum" and body == slot(0) * slot(1)
        if products and self.runs * math.prod(sizes) > AT_ONCE:
            return self._product(read, sizes, kept).reshape(self.runs, *shape)
        terms = np.asarray(self._body(body, read))
        terms = np.broadcast_to(terms, (self.runs, *sizes))
        order = [0, *(1 + index for index in kept), *(1 + index for index in value.reduced)]
        terms = terms.transpose(order)
        if value.reduced:
            terms = terms.reshape(self.runs, *(sizes[index] for index in kept), -1)
            terms = self._reduced(value.reduction, terms)
        return terms.reshape(self.runs, *shape)

    def _product(self, read: Sequence[Array], sizes: Sequence[int], kept: Sequence[int]) -> Array:
        """A large sum of products, whose terms are moved, as NumPy computes it."""
        found = []
        axes = list(range(len(sizes)))
        for run in range(self.runs):
            first, second = (one[run % len(one)] for one in read)
            if self.moved[run]:
                first = first * self.random.choice(self._ways, first.shape)
            pair = [
                (
                    one.squeeze(tuple(at for at in axes if one.shape[at] == 1)),
                    [at for at in axes if one.shape[at] != 1],
                )
                for one in (first, second)
            ]
            flat = [part for one in pair for part in one]
            result = np.einsum(*flat, [at for at in kept if sizes[at] != 1], optimize=True)
            found.append(np.asarray(result).reshape([sizes[at] for at in kept]))
        return np.asarray(self._rounded(np.asarray(found, self.dtype)))

    def _reduced(self, reduction: str, terms: Array) -> Array:
        """A reduction over the last axis; sums are added one by one, in random order."""
        if reduction != "sum":
            return np.asarray(getattr(np, reduction)(terms, axis=-1))
        count = terms.shape[-1]
        if terms.dtype != self.dtype or count < 2:
            return np.asarray(np.sum(terms, axis=-1))
        total = np.sum(terms, axis=-1)
        if self.moved.any():
            runs = np.flatnonzero(self.moved)
            orders = np.argsort(self.random.random((len(runs), count)), axis=-1)
            if terms[0].size >= APART and total[0].size > 1:
                for run, order in zip(runs, orders, strict=True):
                    # along the first of several axes in C's order NumPy adds one after the other
                    mixed = np.take(np.moveaxis(terms[run], -1, 0), order, axis=0)
                    total[run] = np.add.reduce(mixed, axis=0)
            else:
                orders = orders.reshape(len(runs), *[1] * (terms.ndim - 2), count)
                mixed = np.take_along_axis(terms[runs], orders, axis=-1)
                total[runs] = np.add.accumulate(mixed, axis=-1)[..., -1]
        return np.asarray(self._rounded(total))

    # --- bodies ---

    def _body(self, body: Any, operands: Sequence[Array]) -> Any:
        """A body of operands with the indices of the kernel as axes.

        What is made of numbers of the model alone is not moved: 2.0 - 1 is whole, and an exponent.
        """
        if self.moved.any() and self._fixed and self._fixed.issuperset(slots_of(body)):
            moved, self.moved = self.moved, np.zeros_like(self.moved)
            try:
                return self._body(body, operands)
            finally:
                self.moved = moved
        if isinstance(body, sp.Symbol):
            (number,) = slots_of(body)
            return operands[number]
        if body in (sp.true, sp.false):
            return np.full((1,) * _rank(operands), bool(body))
        if not body.free_symbols:
            return np.full((1,) * _rank(operands), _number(body), self.dtype)
        if isinstance(body, sp.Piecewise):
            return self._choice(body, operands)
        if isinstance(body, Opaque):
            return self._opaque(body, operands)
        if type(body) in _LOGIC:
            parts = [self._body(part, operands) for part in body.args]
            return _LOGIC[type(body)](*parts)
        if isinstance(body, sp.Add):
            return self._sum(body, operands)
        if isinstance(body, sp.Mul):
            return self._factors(body, operands)
        if isinstance(body, sp.Pow):
            return self._power(body, operands)
        parts = [self._float(self._body(part, operands)) for part in body.args]
        return self._rounded(_function(function_name(body))(*parts))

    def _float(self, array: Any) -> Any:
        return array if array.dtype == self.dtype else array.astype(self.dtype)

    def _sum(self, body: sp.Add, operands: Sequence[Array]) -> Any:
        total = self._body(body.args[0], operands)
        for term in body.args[1:]:
            total = self._rounded(_widened(np.add, total, self._body(term, operands)))
        return total

    def _factors(self, body: sp.Mul, operands: Sequence[Array]) -> Any:
        """A product, with divisors divided by."""
        top = [one for one in body.args if not _divides(one)]
        product = None
        for factor in top:
            if factor == -1:
                continue
            value = self._body(factor, operands)
            product = (
                value if product is None else self._rounded(_widened(np.multiply, product, value))
            )
        if product is None:
            product = np.ones((1,) * _rank(operands), self.dtype)
        for factor in body.args:
            if _divides(factor):
                bottom = self._body(sp.Pow(factor.base, -factor.exp), operands)
                product = self._rounded(self._float(product) / self._float(bottom))
        return -product if -1 in top else product

    def _power(self, body: sp.Pow, operands: Sequence[Array]) -> Any:
        base, exponent = body.base, body.exp
        if _divides(body):
            bottom = self._float(self._body(sp.Pow(base, -exponent), operands))
            return self._rounded(self.dtype.type(1) / bottom)
        value = self._body(base, operands)
        if exponent.is_Integer and value.dtype != self.dtype:
            return value ** int(exponent)
        if exponent == sp.Rational(1, 2):
            return self._rounded(np.sqrt(self._float(value)))
        if exponent.is_Integer and exponent <= 3:
            product = value
            for _ in range(int(exponent) - 1):
                product = self._rounded(product * value)
            return product
        power = _settled(self._float(self._body(exponent, operands)))
        return self._rounded(np.power(self._float(value), power))

    def _choice(self, body: sp.Piecewise, operands: Sequence[Array]) -> Any:
        result: Any = np.full((1,) * _rank(operands), np.nan, self.dtype)
        for branch, condition in reversed(body.args):
            holds = self._body(condition, operands)
            result = np.where(holds, self._body(branch, operands), result)
        return result

    def _opaque(self, body: Opaque, operands: Sequence[Array]) -> Any:
        row = type(body).row
        if row.numpy is None:
            return self._body(canonical(row.maths(*body.args)), operands)
        given = [self._body(part, operands) for part in body.args]
        if row.result == "float" and row.name != "to_float":
            given = [self._float(one) for one in given]
        if row.name == "pow":
            given[1] = _settled(given[1])
        found = np.asarray(_called(row.numpy, row.arity)(self.dtype.type, *given))
        exact = row.name in _UNROUNDED or row.result in ("bool", "int") or row.name == "to_float"
        return found if exact else self._rounded(found)

    # --- what is no kernel ---

    def _primitive(self, value: Primitive, type_: Type, operands: Sequence[Array]) -> Array:
        """By its NumPy text, run by run; what computes is given operands that are moved."""
        moves = isinstance(value, _MOVES)
        names = [f"operand_{number}" for number in range(len(operands))]
        given = operands if moves else [self._rounded(one) for one in operands]
        code = compile(value.numpy([Text(name) for name in names]).source, "", "eval")
        namespace = {**helper_functions(), "dtype": self.dtype}
        namespace |= {size_name(size): int(number) for size, number in self.sizes.items()}
        shape = [self.size(size) for size in type_.shape]
        found = np.empty((self.runs, *shape), self._kind(type_))
        for run in range(self.runs):
            read = [one[run] for one in given]
            apart = [read]
            if self.moved[run] and isinstance(value, ScatterAdd):
                source, rows = read
                apart = self._in_parts(source, rows, value.axis)
            try:
                parts = [
                    eval(code, {**namespace, **dict(zip(names, one, strict=True))}) for one in apart
                ]
                found[run] = sum(parts[1:], parts[0])
            except (np.linalg.LinAlgError, ZeroDivisionError):
                found[run] = np.nan
        return found if moves else np.asarray(self._rounded(found))

    def _in_parts(self, source: Array, rows: Array, axis: int) -> list[list[Array]]:
        """What a sum by rows adds, in parts and in random order."""
        if not rows.ndim or not len(rows):
            return [[source, rows]]
        count = int(self.random.choice([1, 4, 32]))
        parts = np.array_split(self.random.permutation(len(rows)), min(count, len(rows)))
        return [[np.take(source, one, axis), rows[one]] for one in parts]

    def _scan(self, value: Scan, operands: Sequence[Array]) -> list[Array]:
        first, last = len(value.initial), len(value.initial) + len(value.sequences)
        names = [str(getattr(value.body[one].value, "name", "")) for one in value.body.inputs]
        carries, steps = list(operands[:first]), range(self.size(value.steps))
        found: list[list[Array]] = []
        for step in reversed(steps) if value.reverse else steps:
            entries = [sequence[:, step] for sequence in operands[first:last]]
            given = dict(zip(names, [*carries, *entries, *operands[last:]], strict=True))
            results = list(self.outputs(value.body, given).values())
            carries = results[:first]
            found.append(results[first:])
        in_order = found[::-1] if value.reverse else found
        return [*carries, *(np.stack(one, axis=1) for one in zip(*in_order, strict=True))]


def _spread(array: Array, indices: Sequence[int | None], count: int) -> Array:
    """An operand with the indices of a kernel as axes, behind that of the runs."""
    held = [None if index is None else index for index in indices]
    carried = [index for index in held if index is not None]
    array = array[(slice(None), *(0 if index is None else slice(None) for index in held))]
    if len(set(carried)) < len(carried):
        array = np.einsum(array, [count, *carried], [count, *sorted(set(carried))])
        carried = sorted(set(carried))
    order = sorted(range(len(carried)), key=carried.__getitem__)
    array = array.transpose([0, *(1 + at for at in order)])
    sizes = dict(zip(sorted(carried), array.shape[1:], strict=True))
    return array.reshape(len(array), *(sizes.get(index, 1) for index in range(count)))


def _settled(exponents: Any) -> Any:
    """Exponents as whole numbers where only rounding keeps them from it: bases may be negative."""
    whole = np.rint(exponents)
    near = np.abs(exponents - whole) <= 8 * np.finfo(exponents.dtype).eps * np.abs(whole)
    return np.where(near, whole, exponents)


def _rank(operands: Sequence[Array]) -> int:
    return operands[0].ndim if operands else 1


def _widened(function: Callable[..., Any], x: Any, y: Any) -> Any:
    """Booleans are numbers where they are added and multiplied."""
    if x.dtype == bool and y.dtype == bool:
        x = x.astype(np.int64)
    return function(x, y)


def _divides(factor: sp.Expr) -> bool:
    return isinstance(factor, sp.Pow) and bool(factor.exp.is_Number and factor.exp < 0)


@cache
def _number(body: sp.Expr) -> float:
    """A number alone; what SymPy has no number for is not a number."""
    try:
        return float(body)
    except (TypeError, OverflowError):
        return math.nan


@cache
def _function(text: str) -> Any:
    """A function of NumPy or SciPy by its name in generated code."""
    return eval(text, {"np": np} | _special(text))


@cache
def _called(text: str, arity: int) -> Any:
    """A row's NumPy text as a function of a dtype and its operands."""
    names = [f"x{number}" for number in range(arity)]
    namespace = helper_functions()
    namespace.update(_special(text))  # what the helpers read, too
    return eval(f"lambda dtype, {', '.join(names)}: {text.format(*names)}", namespace)


def _special(text: str) -> dict[str, Any]:
    """SciPy's functions, for a text that speaks of them; a module with it needs SciPy, too."""
    return {"special": import_module("scipy.special")} if uses_scipy(text) else {}


_LOGIC: dict[Any, Callable[..., Any]] = {
    sp.StrictGreaterThan: np.greater,
    sp.GreaterThan: np.greater_equal,
    sp.StrictLessThan: np.less,
    sp.LessThan: np.less_equal,
    sp.Equality: np.equal,
    sp.Unequality: np.not_equal,
    sp.And: lambda *parts: np.logical_and.reduce(np.broadcast_arrays(*parts)),
    sp.Or: lambda *parts: np.logical_or.reduce(np.broadcast_arrays(*parts)),
    sp.Not: np.logical_not,
}
