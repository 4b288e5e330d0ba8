"""Statements → calls that write where they are told: NumPy expressions taken apart.

    hidden = np.maximum(pixels @ p.w1 + p.b1, 0.0)

becomes

    hidden = pixels.dot(p.w1, <buffer>)
    np.add(hidden, p.b1, hidden)
    np.maximum(hidden, 0.0, out=hidden)

The expression is read as Python reads it; each operator and each ufunc is one call. What is no
such thing (an einsum, a view, a loop) stays as it is written. Every call computes exactly what
the expression does, in the same order; only where the numbers are kept is another.

Results have names, not yet places: `storage.py` finds the places, when it is known how long each
result is needed.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import sympy as sp

from symflow.expressions import (
    UnknownError,
    broadcast_type,
    changed,
    function_name,
    indexed_type,
    is_ufunc,
    names_in,
    number_type,
    product_type,
    reduced_shape,
    reduction_of,
    shape_of,
    size_of,
    text_of,
)
from symflow.machine import MOST_COLUMNS
from symflow.program import ONE, Type
from symflow.shapes import Shape


@dataclass(frozen=True)
class Call:
    """One call of a group.

    target     the local name of its result
    function   `np.add`, or the method `pixels.dot`
    arguments  without the place of the result
    reads      the names that it reads
    type       of the result; None where the result has no place of its own (it is a scalar, or a
               view, or something that NumPy allocates), and `function` is the whole expression
    keyword    whether the place is `out=...`, for some functions take it by no position
    aligned    the names whose place may be that of the result: read entry by entry as they are
    """

    target: str
    function: str
    arguments: tuple[str, ...]
    reads: tuple[str, ...]
    type: Type | None = None
    keyword: bool = False
    aligned: tuple[str, ...] = ()


LONGEST = 1000
"""Characters of an expression that is taken apart as it is; Python reads no sum of thousands."""


class _Operand(NamedTuple):
    """A part of an expression that needs no more calls: a name, a view of one, or a scalar."""

    node: ast.expr
    type: Type


_OPERATORS: Mapping[type[ast.AST], str] = {
    ast.Add: "add",
    ast.Sub: "subtract",
    ast.Mult: "multiply",
    ast.Div: "divide",
    ast.Pow: "power",
    ast.Gt: "greater",
    ast.GtE: "greater_equal",
    ast.Lt: "less",
    ast.LtE: "less_equal",
    ast.Eq: "equal",
    ast.NotEq: "not_equal",
    ast.USub: "negative",
}
_REDUCTIONS: Mapping[str, str] = {"sum": "add", "max": "maximum", "min": "minimum"}
_KEYWORD_ONLY = frozenset({"maximum", "minimum"})
"""By position, NumPy 2.4 takes a third argument of theirs to be a mistake."""


@dataclass(frozen=True)
class Apart:
    """An expression as calls, of which the last one's result is called `RESULT`.

    parts  what the other results are called
    ones   what stands for arrays of the workspace that hold ones
    """

    calls: tuple[Call, ...]
    parts: tuple[str, ...]
    ones: Mapping[str, Type]


RESULT = "_result"


def taken_apart(expression: str, known: Mapping[str, Type]) -> Apart:
    """The calls that compute an expression; `known` are the types of the names in it."""
    tree = ast.parse(expression, mode="eval").body
    try:
        return _Calls(known).apart(tree)
    except UnknownError:
        return Apart((Call(RESULT, expression, (), names_in(tree)),), (), {})


class _Calls:
    """Takes one expression apart."""

    def __init__(self, known: Mapping[str, Type]) -> None:
        self.known = dict(known)
        self.ones: dict[str, Type] = {}
        self._calls: list[Call] = []
        self._parts: list[str] = []

    def apart(self, tree: ast.expr) -> Apart:
        operand = self._visit(tree, RESULT)
        if not (isinstance(operand.node, ast.Name) and operand.node.id == RESULT):
            self._as_it_is(RESULT, operand.node)
        return Apart(tuple(self._calls), tuple(self._parts), self.ones)

    def _part(self) -> str:
        """A name for a result on the way."""
        self._parts.append(f"_part{len(self._parts)}")
        return self._parts[-1]

    def _as_it_is(self, target: str, node: ast.expr) -> None:
        self._calls.append(Call(target, text_of(node), (), names_in(node)))

    # --- types ---

    def _type(self, node: ast.expr) -> Type:
        """The type of an expression."""
        if isinstance(node, ast.Constant) and isinstance(node.value, (int, float)):
            return Type(())
        if isinstance(node, (ast.Name, ast.Attribute)):
            return self._name_type(node)
        if isinstance(node, ast.Subscript):
            return indexed_type(self._type(node.value), node.slice)
        if isinstance(node, ast.UnaryOp):
            if not isinstance(node.op, ast.USub):
                raise UnknownError
            return self._type(node.operand)
        if isinstance(node, ast.BinOp):
            if isinstance(node.op, ast.MatMult):
                return product_type(self._type(node.left), self._type(node.right))
            if type(node.op) not in _OPERATORS:
                raise UnknownError
            return number_type(broadcast_type([self._type(node.left), self._type(node.right)]))
        if isinstance(node, ast.Compare) and len(node.ops) == 1 and type(node.ops[0]) in _OPERATORS:
            found = broadcast_type([self._type(node.left), self._type(node.comparators[0])])
            return Type(found.shape, "bool")
        if isinstance(node, ast.Call):
            return self._call_type(node)
        raise UnknownError

    def _name_type(self, node: ast.Name | ast.Attribute) -> Type:
        name = text_of(node)
        if name in self.known:
            return self.known[name]
        if name == "np.pi":
            return Type(())
        if isinstance(node, ast.Attribute) and node.attr == "T":
            found = self._type(node.value)
            return Type(found.shape[::-1], found.dtype)
        raise UnknownError

    def _call_type(self, node: ast.Call) -> Type:
        name = function_name(node)
        if name == "astype":
            assert isinstance(node.func, ast.Attribute)
            if text_of(node.args[0]) != "dtype":
                raise UnknownError
            return Type(self._type(node.func.value).shape)
        if name in _REDUCTIONS:
            axes, keep = reduction_of(node)
            found = self._type(node.args[0])
            return Type(reduced_shape(found.shape, axes, keep), found.dtype)
        if name == "vdot":
            return Type(())
        if name == "einsum":
            return self._einsum_type(node)
        if name == "reshape":
            return Type(shape_of(node.args[1]), self._type(node.args[0]).dtype)
        if name == "arange" and len(node.args) == 1:
            return Type((size_of(node.args[0]),), "int")
        if name == "where":
            shape = broadcast_type([self._type(one) for one in node.args]).shape
            return Type(shape, broadcast_type([self._type(one) for one in node.args[1:]]).dtype)
        if name == "transpose" and len(node.args) == 2:
            found = self._type(node.args[0])
            order = ast.literal_eval(node.args[1])
            return Type(tuple(found.shape[axis] for axis in order), found.dtype)
        if name == "broadcast_to":
            return Type(shape_of(node.args[1]), self._type(node.args[0]).dtype)
        if not is_ufunc(name) or node.keywords:
            raise UnknownError
        found = broadcast_type([self._type(one) for one in node.args])
        if {kind[-1] for kind in getattr(np, name).types} <= {"?"}:
            return Type(found.shape, "bool")
        return number_type(found)

    def _einsum_type(self, node: ast.Call) -> Type:
        """The sizes of an einsum's output, from its letters."""
        inputs, _, output = str(ast.literal_eval(node.args[0])).partition("->")
        types = [self._type(one) for one in node.args[1:]]
        sizes: dict[str, sp.Expr] = {}
        for letters, type_ in zip(inputs.split(","), types, strict=True):
            sizes |= zip(letters, type_.shape, strict=True)
        if any(one.dtype != "float" for one in types):
            raise UnknownError
        return Type(tuple(sizes[letter] for letter in output))

    # --- calls ---

    def _visit(self, node: ast.expr, target: str | None = None) -> _Operand:
        """Compute an expression, as `target` if it takes a call of its own."""
        type_ = self._type(node)
        if self._is_view(node):
            return _Operand(node, type_)
        if isinstance(node, ast.Call) and function_name(node) in ("vdot", *_REDUCTIONS):
            return self._reduce(node, type_, target)
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.MatMult):
            return self._dot(node, type_, target)
        if not type_.shape:
            return _Operand(self._scalar(node), type_)
        if isinstance(node, ast.Subscript):
            inner = self._visit(node.value)
            return _Operand(changed(node, value=inner.node), type_)
        if isinstance(node, ast.Attribute):
            inner = self._visit(node.value)
            return _Operand(changed(node, value=inner.node), type_)
        if isinstance(node, ast.BinOp):
            return self._ufunc(_OPERATORS[type(node.op)], [node.left, node.right], type_, target)
        if isinstance(node, ast.UnaryOp):
            return self._ufunc("negative", [node.operand], type_, target)
        if isinstance(node, ast.Compare):
            return self._compared(node, type_, target)
        assert isinstance(node, ast.Call)
        return self._called(node, type_, target)

    def _called(self, node: ast.Call, type_: Type, target: str | None) -> _Operand:
        name = function_name(node)
        if name == "astype":
            assert isinstance(node.func, ast.Attribute)
            if isinstance(node.func.value, ast.Compare):
                return self._compared(node.func.value, type_, target)
            return self._ufunc("multiply", [node.func.value, ast.Constant(1.0)], type_, target)
        if name == "where":
            return self._where(node, type_, target)
        if name == "einsum":
            return self._einsum(node, type_, target)
        if name in _VIEWS:
            inner = self._visit(node.args[0])
            return _Operand(changed(node, args=[inner.node, *node.args[1:]]), type_)
        return self._ufunc(name, node.args, type_, target)

    def _is_view(self, node: ast.expr) -> bool:
        """Whether it is an array that is there, as it is or looked at in another way."""
        if isinstance(node, (ast.Name, ast.Attribute)) and text_of(node) in self.known:
            return True
        if isinstance(node, ast.Subscript):
            return self._is_view(node.value)
        if isinstance(node, ast.Attribute) and node.attr == "T":
            return self._is_view(node.value)
        if isinstance(node, ast.Call) and function_name(node) in _VIEWS:
            return self._is_view(node.args[0])
        return isinstance(node, ast.Call) and function_name(node) == "arange"

    def _scalar(self, node: ast.expr) -> ast.expr:
        """A scalar expression, with what it reads of arrays computed before."""
        if isinstance(node, ast.BinOp):
            left, right = self._visit(node.left).node, self._visit(node.right).node
            return changed(node, left=left, right=right)
        if isinstance(node, ast.UnaryOp):
            return changed(node, operand=self._visit(node.operand).node)
        if isinstance(node, ast.Compare):
            left, right = self._visit(node.left).node, self._visit(node.comparators[0]).node
            return changed(node, left=left, comparators=[right])
        if isinstance(node, ast.Call) and function_name(node) != "astype":
            return changed(node, args=[self._visit(one).node for one in node.args])
        if isinstance(node, (ast.Constant, ast.Name, ast.Attribute)):
            return node
        raise UnknownError

    def _ufunc(
        self, name: str, arguments: Sequence[ast.expr], type_: Type, target: str | None
    ) -> _Operand:
        if type_.dtype == "int":
            raise UnknownError
        target = target or self._part()
        operands: list[_Operand] = []
        free = True
        for argument in arguments:
            number = isinstance(argument, ast.Compare) and type_.dtype == "float"
            own = self._type(argument)
            own = Type(own.shape) if number else own
            into = target if free and own == type_ else None
            if number:
                assert isinstance(argument, ast.Compare)
                operands.append(self._compared(argument, own, into))
            else:
                operands.append(self._visit(argument, into))
            if into is not None and text_of(operands[-1].node) == target:
                free = False
        aligned = [
            one.node.id for one in operands if isinstance(one.node, ast.Name) and one.type == type_
        ]
        self._add(
            Call(
                target,
                f"np.{name}",
                tuple(text_of(one.node) for one in operands),
                tuple(read for one in operands for read in names_in(one.node)),
                type_,
                name in _KEYWORD_ONLY,
                tuple(aligned),
            )
        )
        return _Operand(ast.Name(target), type_)

    def _compared(self, node: ast.Compare, type_: Type, target: str | None) -> _Operand:
        """A comparison, as booleans or as the numbers 0 and 1.

        Arithmetic on numbers takes a third of the time of arithmetic on numbers and booleans.
        """
        if not type_.shape:
            return _Operand(self._scalar(node), type_)
        operands = [node.left, *node.comparators]
        return self._ufunc(_OPERATORS[type(node.ops[0])], operands, type_, target)

    def _where(self, node: ast.Call, type_: Type, target: str | None) -> _Operand:
        """The one branch, with the other copied over it where the condition says so."""
        condition, yes, no = node.args
        is_own = type_.dtype == "float" and not self._is_view(no) and self._type(no) == type_
        below = self._visit(no, target if is_own else None)
        above, where = self._visit(yes), self._visit(condition)
        if not is_own or not isinstance(below.node, ast.Name):  # or a view of what is computed
            target = target or self._part()
            chosen = [where.node, above.node, below.node]
            self._as_it_is(target, changed(node, args=chosen))
            return _Operand(ast.Name(target), type_)
        reads = (*names_in(above.node), *names_in(where.node), below.node.id)
        arguments = (below.node.id, text_of(above.node), f"where={text_of(where.node)}")
        self._add(Call(below.node.id, "np.copyto", arguments, reads))
        return below

    def _einsum(self, node: ast.Call, type_: Type, target: str | None) -> _Operand:
        """Row by row, Σ_j x[i, j]·y[i, j], a product and a sum are faster for few columns."""
        spelled, *given = node.args
        types = [self._type(one) for one in given]
        columns = types[0].shape[-1] if types[0].shape else ONE
        narrow = columns.is_Integer and columns <= MOST_COLUMNS
        if text_of(spelled) == '"ij,ij->i"' and types[0] == types[1] and narrow:
            product = self._ufunc("multiply", given, types[0], None)
            found = self._sum(product, (1,), False, type_, target)
            assert found is not None
            return found
        operands = [self._visit(one).node for one in given]
        if not type_.shape:
            return _Operand(changed(node, args=[spelled, *operands]), type_)
        target = target or self._part()
        arguments = [text_of(spelled), *map(text_of, operands)]
        arguments += [f"{one.arg}={text_of(one.value)}" for one in node.keywords]
        reads = tuple(read for one in operands for read in names_in(one))
        self._add(Call(target, "np.einsum", tuple(arguments), reads, type_, True))
        return _Operand(ast.Name(target), type_)

    def _dot(self, node: ast.BinOp, type_: Type, target: str | None) -> _Operand:
        left, right = self._visit(node.left), self._visit(node.right)
        if left.type.dtype != "float" or right.type.dtype != "float":
            raise UnknownError
        reads = (*names_in(left.node), *names_in(right.node))
        flat = max(len(left.type.shape), len(right.type.shape)) <= 2
        if not type_.shape:
            called = ast.Call(ast.Attribute(left.node, "dot"), [right.node], [])
            return _Operand(called, type_)
        target = target or self._part()
        if flat:
            function = text_of(ast.Attribute(left.node, "dot"))
            self._add(Call(target, function, (text_of(right.node),), reads, type_))
        else:
            arguments = (text_of(left.node), text_of(right.node))
            self._add(Call(target, "np.matmul", arguments, reads, type_))
        return _Operand(ast.Name(target), type_)

    def _reduce(self, node: ast.Call, type_: Type, target: str | None) -> _Operand:
        name = function_name(node)
        if name == "vdot":
            arguments = [self._visit(one).node for one in node.args]
            return _Operand(changed(node, args=arguments), type_)
        source = self._visit(node.args[0])
        if source.type.dtype != "float":
            raise UnknownError
        axes, keep = reduction_of(node)
        if name == "sum":
            found = self._sum(source, axes, keep, type_, target)
            if found is not None:
                return found
        function = f"np.{_REDUCTIONS[name]}.reduce"
        rank = len(source.type.shape)
        given = [text_of(source.node)]
        if axes is None and rank > 1:
            given.append("axis=None")
        elif axes is not None and axes != (0,):
            given.append(f"axis={axes[0] if len(axes) == 1 else axes}")
        if keep:
            given.append("keepdims=True")
        if not type_.shape:
            return _Operand(ast.parse(f"{function}({', '.join(given)})", mode="eval").body, type_)
        target = target or self._part()
        self._add(Call(target, function, tuple(given), names_in(source.node), type_, True))
        return _Operand(ast.Name(target), type_)

    def _sum(
        self,
        source: _Operand,
        axes: tuple[int, ...] | None,
        keep: bool,
        type_: Type,
        target: str | None,
    ) -> _Operand | None:
        """A sum as a product with ones, which takes a tenth of the time of `np.add.reduce`."""
        shape = source.type.shape
        if len(shape) == 1 and not keep:
            dot = ast.Attribute(self._ones(shape), "dot")
            return _Operand(ast.Call(dot, [source.node], []), type_)
        if len(shape) != 2 or axes not in ((0,), (1,)) or not type_.shape:
            return None
        (axis,) = axes
        size = shape[axis : axis + 1]
        if axis == 0:
            ones = self._ones((ONE, *size) if keep else size)
            left, right = ones, source.node
        else:
            ones = self._ones((*size, ONE) if keep else size)
            left, right = source.node, ones
        target = target or self._part()
        function = text_of(ast.Attribute(left, "dot"))
        reads = (*names_in(source.node), "work")
        self._add(Call(target, function, (text_of(right),), reads, type_))
        return _Operand(ast.Name(target), type_)

    def _ones(self, shape: Shape) -> ast.expr:
        """An array of ones that the workspace holds."""
        type_ = Type(shape)
        known = next((name for name, one in self.ones.items() if one == type_), None)
        name = known or f"_ones{len(self.ones)}"
        self.ones[name] = type_
        return ast.Name(name)

    def _add(self, call: Call) -> None:
        self._calls.append(call)
        if call.type is not None:
            self.known[call.target] = call.type


def is_taken_apart(expression: str) -> bool:
    """Whether an expression is of such operations that every call of it is short."""
    if len(expression) > LONGEST:
        return False
    tree = ast.parse(expression, mode="eval").body
    return all(_is_known(node) for node in ast.walk(tree))


def _is_known(node: ast.AST) -> bool:
    if isinstance(node, ast.Call):
        name = function_name(node)
        return name in _OWN or name in _REDUCTIONS or is_ufunc(name)
    if isinstance(node, ast.operator | ast.unaryop | ast.cmpop):
        return type(node) in _OPERATORS or isinstance(node, ast.MatMult)
    return True


_VIEWS = ("transpose", "broadcast_to", "reshape")
"""Calls that look at an array in another way; where a reshape cannot, NumPy makes a copy."""

_OWN = frozenset({"vdot", "where", "astype", "arange", "einsum", *_VIEWS})
