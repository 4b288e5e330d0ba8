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
import copy
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import sympy as sp

from symflow.machine import MOST_COLUMNS
from symflow.program import ONE, Dtype, Type, dimension, widest
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


class _UnknownError(Exception):
    """An expression that is not taken apart."""


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
_BOOLEAN = frozenset({"greater", "greater_equal", "less", "less_equal", "equal", "not_equal"})
_REDUCTIONS: Mapping[str, str] = {"sum": "add", "max": "maximum", "min": "minimum"}
_KEYWORD_ONLY = frozenset({"maximum", "minimum"})
"""By position, NumPy 2.4 takes a third argument of theirs to be a mistake."""


@dataclass(frozen=True)
class Apart:
    """An expression as calls, of which the last one's result is called `RESULT`.

    parts  what the other results are called
    ones   arrays of the workspace that hold ones
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
    except _UnknownError:
        return Apart((Call(RESULT, expression, (), _names(tree)),), (), {})


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
        self._calls.append(Call(target, _text(node), (), _names(node)))

    # --- types ---

    def _type(self, node: ast.expr) -> Type:
        """The type of an expression."""
        if isinstance(node, ast.Constant) and isinstance(node.value, (int, float)):
            return Type(())
        if isinstance(node, (ast.Name, ast.Attribute)):
            return self._name_type(node)
        if isinstance(node, ast.Subscript):
            return _indexed(self._type(node.value), node.slice)
        if isinstance(node, ast.UnaryOp):
            if not isinstance(node.op, ast.USub):
                raise _UnknownError
            return self._type(node.operand)
        if isinstance(node, ast.BinOp):
            if isinstance(node.op, ast.MatMult):
                return _product(self._type(node.left), self._type(node.right))
            if type(node.op) not in _OPERATORS:
                raise _UnknownError
            return _of_numbers(_broadcast([self._type(node.left), self._type(node.right)]))
        if isinstance(node, ast.Compare) and len(node.ops) == 1 and type(node.ops[0]) in _OPERATORS:
            found = _broadcast([self._type(node.left), self._type(node.comparators[0])])
            return Type(found.shape, "bool")
        if isinstance(node, ast.Call):
            return self._call_type(node)
        raise _UnknownError

    def _name_type(self, node: ast.Name | ast.Attribute) -> Type:
        name = _text(node)
        if name in self.known:
            return self.known[name]
        if name == "np.pi":
            return Type(())
        if isinstance(node, ast.Attribute) and node.attr == "T":
            found = self._type(node.value)
            return Type(found.shape[::-1], found.dtype)
        raise _UnknownError

    def _call_type(self, node: ast.Call) -> Type:
        name = _function(node)
        if name == "astype":
            assert isinstance(node.func, ast.Attribute)
            if _text(node.args[0]) != "dtype":
                raise _UnknownError
            return Type(self._type(node.func.value).shape)
        if name in _REDUCTIONS:
            axes, keep = _reduction(node)
            found = self._type(node.args[0])
            return Type(_reduced(found.shape, axes, keep), found.dtype)
        if name == "vdot":
            return Type(())
        if name == "einsum":
            return self._einsum_type(node)
        if name == "reshape":
            return Type(_shape(node.args[1]), self._type(node.args[0]).dtype)
        if name == "arange" and len(node.args) == 1:
            return Type((_size(node.args[0]),), "int")
        if name == "where":
            shape = _broadcast([self._type(one) for one in node.args]).shape
            return Type(shape, _broadcast([self._type(one) for one in node.args[1:]]).dtype)
        if name == "transpose" and len(node.args) == 2:
            found = self._type(node.args[0])
            order = ast.literal_eval(node.args[1])
            return Type(tuple(found.shape[axis] for axis in order), found.dtype)
        if name == "broadcast_to":
            return Type(_shape(node.args[1]), self._type(node.args[0]).dtype)
        if not _is_ufunc(name) or node.keywords:
            raise _UnknownError
        found = _broadcast([self._type(one) for one in node.args])
        if {kind[-1] for kind in getattr(np, name).types} <= {"?"}:
            return Type(found.shape, "bool")
        return _of_numbers(found)

    def _einsum_type(self, node: ast.Call) -> Type:
        """The sizes of an einsum's output, from its letters."""
        inputs, _, output = str(ast.literal_eval(node.args[0])).partition("->")
        types = [self._type(one) for one in node.args[1:]]
        sizes: dict[str, sp.Expr] = {}
        for letters, type_ in zip(inputs.split(","), types, strict=True):
            sizes |= zip(letters, type_.shape, strict=True)
        if any(one.dtype != "float" for one in types):
            raise _UnknownError
        return Type(tuple(sizes[letter] for letter in output))

    # --- calls ---

    def _visit(self, node: ast.expr, target: str | None = None) -> _Operand:
        """Compute an expression, as `target` if it takes a call of its own."""
        type_ = self._type(node)
        if self._is_view(node):
            return _Operand(node, type_)
        if isinstance(node, ast.Call) and _function(node) in ("vdot", *_REDUCTIONS):
            return self._reduce(node, type_, target)
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.MatMult):
            return self._dot(node, type_, target)
        if not type_.shape:
            return _Operand(self._scalar(node), type_)
        if isinstance(node, ast.Subscript):
            inner = self._visit(node.value)
            return _Operand(_with(node, value=inner.node), type_)
        if isinstance(node, ast.Attribute):
            inner = self._visit(node.value)
            return _Operand(_with(node, value=inner.node), type_)
        if isinstance(node, ast.BinOp):
            return self._ufunc(_OPERATORS[type(node.op)], [node.left, node.right], type_, target)
        if isinstance(node, ast.UnaryOp):
            return self._ufunc("negative", [node.operand], type_, target)
        if isinstance(node, ast.Compare):
            return self._compared(node, type_, target)
        assert isinstance(node, ast.Call)
        return self._called(node, type_, target)

    def _called(self, node: ast.Call, type_: Type, target: str | None) -> _Operand:
        name = _function(node)
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
            return _Operand(_with(node, args=[inner.node, *node.args[1:]]), type_)
        return self._ufunc(name, node.args, type_, target)

    def _is_view(self, node: ast.expr) -> bool:
        """Whether it is an array that is there, as it is or looked at in another way."""
        if isinstance(node, (ast.Name, ast.Attribute)) and _text(node) in self.known:
            return True
        if isinstance(node, ast.Subscript):
            return self._is_view(node.value)
        if isinstance(node, ast.Attribute) and node.attr == "T":
            return self._is_view(node.value)
        if isinstance(node, ast.Call) and _function(node) in _VIEWS:
            return self._is_view(node.args[0])
        return isinstance(node, ast.Call) and _function(node) == "arange"

    def _scalar(self, node: ast.expr) -> ast.expr:
        """A scalar expression, with what it reads of arrays computed before."""
        if isinstance(node, ast.BinOp):
            left, right = self._visit(node.left).node, self._visit(node.right).node
            return _with(node, left=left, right=right)
        if isinstance(node, ast.UnaryOp):
            return _with(node, operand=self._visit(node.operand).node)
        if isinstance(node, ast.Compare):
            left, right = self._visit(node.left).node, self._visit(node.comparators[0]).node
            return _with(node, left=left, comparators=[right])
        if isinstance(node, ast.Call) and _function(node) != "astype":
            return _with(node, args=[self._visit(one).node for one in node.args])
        if isinstance(node, (ast.Constant, ast.Name, ast.Attribute)):
            return node
        raise _UnknownError

    def _ufunc(
        self, name: str, arguments: Sequence[ast.expr], type_: Type, target: str | None
    ) -> _Operand:
        if type_.dtype == "int":
            raise _UnknownError
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
            if into is not None and _text(operands[-1].node) == target:
                free = False
        aligned = [
            one.node.id for one in operands if isinstance(one.node, ast.Name) and one.type == type_
        ]
        self._add(
            Call(
                target,
                f"np.{name}",
                tuple(_text(one.node) for one in operands),
                tuple(read for one in operands for read in _names(one.node)),
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
        if type_.dtype != "float" or self._is_view(no) or self._type(no) != type_:
            operands = [self._visit(one) for one in node.args]
            target = target or self._part()
            self._as_it_is(target, _with(node, args=[one.node for one in operands]))
            return _Operand(ast.Name(target), type_)
        below = self._visit(no, target)
        above, where = self._visit(yes), self._visit(condition)
        assert isinstance(below.node, ast.Name)
        reads = (*_names(above.node), *_names(where.node), below.node.id)
        arguments = (below.node.id, _text(above.node), f"where={_text(where.node)}")
        self._add(Call(below.node.id, "np.copyto", arguments, reads))
        return below

    def _einsum(self, node: ast.Call, type_: Type, target: str | None) -> _Operand:
        """Row by row, Σ_j x[i, j]·y[i, j], a product and a sum are faster for few columns."""
        spelled, *given = node.args
        types = [self._type(one) for one in given]
        columns = types[0].shape[-1] if types[0].shape else ONE
        narrow = columns.is_Integer and columns <= MOST_COLUMNS
        if _text(spelled) == '"ij,ij->i"' and types[0] == types[1] and narrow:
            product = self._ufunc("multiply", given, types[0], None)
            found = self._sum(product, (1,), False, type_, target)
            assert found is not None
            return found
        operands = [self._visit(one).node for one in given]
        if not type_.shape:
            return _Operand(_with(node, args=[spelled, *operands]), type_)
        target = target or self._part()
        arguments = [_text(spelled), *map(_text, operands)]
        arguments += [f"{one.arg}={_text(one.value)}" for one in node.keywords]
        reads = tuple(read for one in operands for read in _names(one))
        self._add(Call(target, "np.einsum", tuple(arguments), reads, type_, True))
        return _Operand(ast.Name(target), type_)

    def _dot(self, node: ast.BinOp, type_: Type, target: str | None) -> _Operand:
        left, right = self._visit(node.left), self._visit(node.right)
        if left.type.dtype != "float" or right.type.dtype != "float":
            raise _UnknownError
        reads = (*_names(left.node), *_names(right.node))
        flat = max(len(left.type.shape), len(right.type.shape)) <= 2
        if not type_.shape:
            called = ast.Call(ast.Attribute(left.node, "dot"), [right.node], [])
            return _Operand(called, type_)
        target = target or self._part()
        if flat:
            function = _text(ast.Attribute(left.node, "dot"))
            self._add(Call(target, function, (_text(right.node),), reads, type_))
        else:
            arguments = (_text(left.node), _text(right.node))
            self._add(Call(target, "np.matmul", arguments, reads, type_))
        return _Operand(ast.Name(target), type_)

    def _reduce(self, node: ast.Call, type_: Type, target: str | None) -> _Operand:
        name = _function(node)
        if name == "vdot":
            arguments = [self._visit(one).node for one in node.args]
            return _Operand(_with(node, args=arguments), type_)
        source = self._visit(node.args[0])
        if source.type.dtype != "float":
            raise _UnknownError
        axes, keep = _reduction(node)
        if name == "sum":
            found = self._sum(source, axes, keep, type_, target)
            if found is not None:
                return found
        function = f"np.{_REDUCTIONS[name]}.reduce"
        rank = len(source.type.shape)
        given = [_text(source.node)]
        if axes is None and rank > 1:
            given.append("axis=None")
        elif axes is not None and axes != (0,):
            given.append(f"axis={axes[0] if len(axes) == 1 else axes}")
        if keep:
            given.append("keepdims=True")
        if not type_.shape:
            return _Operand(ast.parse(f"{function}({', '.join(given)})", mode="eval").body, type_)
        target = target or self._part()
        self._add(Call(target, function, tuple(given), _names(source.node), type_, True))
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
        function = _text(ast.Attribute(left, "dot"))
        reads = (*_names(source.node), "work")
        self._add(Call(target, function, (_text(right),), reads, type_))
        return _Operand(ast.Name(target), type_)

    def _ones(self, shape: Shape) -> ast.expr:
        name = "_".join(["ones", *(re.sub(r"\W+", "_", str(size)) for size in shape)])
        self.ones[name] = Type(shape)
        return ast.Attribute(ast.Name("work"), name)

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
        name = _function(node)
        return name in _OWN or name in _REDUCTIONS or _is_ufunc(name)
    if isinstance(node, ast.operator | ast.unaryop | ast.cmpop):
        return type(node) in _OPERATORS or isinstance(node, ast.MatMult)
    return True


_VIEWS = ("transpose", "broadcast_to", "reshape")
"""Calls that look at an array in another way; where a reshape cannot, NumPy makes a copy."""

_OWN = frozenset({"vdot", "where", "astype", "arange", "einsum", *_VIEWS})


# --- reading expressions -------------------------------------------------------------------------


def _text(node: ast.expr) -> str:
    """The source of an expression, as a formatter leaves it."""
    text = ast.unparse(node).replace(" ** ", "**").replace("'", '"')
    return _SLICE.sub(_spaced, text) if ":" in text else text


_SLICE = re.compile(r"(?<=[\[,])( ?)([^\[\],]*:[^\[\],]*)(?=[\],])")


def _spaced(found: re.Match[str]) -> str:
    """A slice with room around the colon where an end is more than a name or a number."""
    space, text = found.groups()
    ends = [end.strip() for end in text.split(":")]
    return space + (" : " if any(" " in end for end in ends) else ":").join(ends).strip()


def _with(node: ast.expr, **changes: object) -> ast.expr:
    changed = copy.copy(node)
    for name, value in changes.items():
        setattr(changed, name, value)
    return changed


def _names(node: ast.AST) -> tuple[str, ...]:
    found = (one.id for one in ast.walk(node) if isinstance(one, ast.Name))
    return tuple(dict.fromkeys(found))


def _function(node: ast.Call) -> str:
    """The function's own name: `exp` of `np.exp(x)`, `astype` of `x.astype(dtype)`, else ""."""
    if isinstance(node.func, ast.Attribute):
        if isinstance(node.func.value, ast.Name) and node.func.value.id == "np":
            return node.func.attr
        if node.func.attr == "astype":
            return "astype"
    return ""


def _is_ufunc(name: str) -> bool:
    function = getattr(np, name, None) if name else None
    return isinstance(function, np.ufunc) and function.nout == 1 and function.signature is None


def _broadcast(types: Sequence[Type]) -> Type:
    rank = max(len(one.shape) for one in types)
    shape: list[sp.Expr] = []
    for axis in range(-rank, 0):
        sizes = [one.shape[axis] for one in types if len(one.shape) >= -axis]
        shape.append(next((size for size in sizes if size != ONE), ONE))
    arrays = [one.dtype for one in types if one.shape]
    return Type(tuple(shape), widest(arrays) if arrays else "float")


def _of_numbers(type_: Type) -> Type:
    """The type of arithmetic; what NumPy makes of booleans alone is not followed."""
    if type_.dtype == "bool":
        raise _UnknownError
    return type_


def _product(left: Type, right: Type) -> Type:
    first, second = left.shape, right.shape
    if not first or not second:
        raise _UnknownError
    columns = second[-1:] if len(second) > 1 else ()
    if len(first) <= 2 and len(second) <= 2:
        return Type((*first[:-1], *columns))
    if len(first) < 2 or len(second) < 2:
        raise _UnknownError
    stack = _broadcast([Type(first[:-2]), Type(second[:-2])]).shape
    return Type((*stack, first[-2], *columns))


def _indexed(type_: Type, key: ast.expr) -> Type:
    """The type of `x[key]` for the keys that the printer writes."""
    parts = list(key.elts) if isinstance(key, ast.Tuple) else [key]
    taken = sum(not _is_new_axis(part) for part in parts)
    if any(_is_ellipsis(part) for part in parts):
        at = next(at for at, part in enumerate(parts) if _is_ellipsis(part))
        missing = len(type_.shape) - taken + 1
        parts[at : at + 1] = [ast.Slice()] * missing
    shape: list[sp.Expr] = []
    sizes = iter(type_.shape)
    for part in parts:
        if _is_new_axis(part):
            shape.append(ONE)
        elif isinstance(part, ast.Slice):
            shape.append(_slice_size(next(sizes), part))
        elif isinstance(part, (ast.Constant, ast.UnaryOp)):
            next(sizes)
        else:
            raise _UnknownError
    return Type((*shape, *sizes), type_.dtype)


def _is_new_axis(part: ast.expr) -> bool:
    return isinstance(part, ast.Constant) and part.value is None


def _is_ellipsis(part: ast.expr) -> bool:
    return isinstance(part, ast.Constant) and part.value is Ellipsis


def _slice_size(size: sp.Expr, part: ast.Slice) -> sp.Expr:
    if part.step is not None:
        raise _UnknownError
    start = _size(part.lower) if part.lower else sp.Integer(0)
    stop = _size(part.upper) if part.upper else size
    start, stop = (size + end if end.is_negative else end for end in (start, stop))
    return stop - start


def _size(node: ast.expr) -> sp.Expr:
    """Integer arithmetic on sizes, as SymPy has it."""
    if isinstance(node, ast.Constant) and isinstance(node.value, int):
        return sp.Integer(node.value)
    if isinstance(node, ast.Name):
        return dimension(node.id)
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        return -_size(node.operand)
    if isinstance(node, ast.BinOp):
        left, right = _size(node.left), _size(node.right)
        if isinstance(node.op, ast.Add):
            return left + right
        if isinstance(node.op, ast.Sub):
            return left - right
        if isinstance(node.op, ast.Mult):
            return left * right
    raise _UnknownError


def _shape(node: ast.expr) -> Shape:
    if not isinstance(node, ast.Tuple):
        raise _UnknownError
    return tuple(_size(one) for one in node.elts)


def _reduction(node: ast.Call) -> tuple[tuple[int, ...] | None, bool]:
    """The axes of a reduction, all if None, and whether they are kept."""
    given = {one.arg: ast.literal_eval(one.value) for one in node.keywords}
    axis = given.get("axis")
    axes = (axis,) if isinstance(axis, int) else axis
    return axes, bool(given.get("keepdims", False))


def _reduced(shape: Shape, axes: tuple[int, ...] | None, keep: bool) -> Shape:
    gone = range(len(shape)) if axes is None else axes
    if keep:
        return tuple(ONE if axis in gone else size for axis, size in enumerate(shape))
    return tuple(size for axis, size in enumerate(shape) if axis not in gone)


def dtype_text(dtype: Dtype) -> str:
    """A type of numbers as the dtype of a buffer."""
    return "bool" if dtype == "bool" else "dtype"
