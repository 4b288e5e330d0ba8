"""NumPy expressions as Python reads them: their source, and the types of what they compute."""

from __future__ import annotations

import ast
import copy
import re
from collections.abc import Sequence

import numpy as np
import sympy as sp

from symflow.alphabets import plain
from symflow.program import ONE, Type, dimension, widest
from symflow.shapes import Shape


class UnknownError(Exception):
    """An expression of which the type is not known; it stays as it is written."""


def text_of(node: ast.expr) -> str:
    """The source of an expression, as a formatter leaves it."""
    text = ast.unparse(node).replace(" ** ", "**").replace("'", '"')
    return _SLICE.sub(_spaced, text) if ":" in text else text


_SLICE = re.compile(r"(?<=[\[,])( ?)([^\[\],]*:[^\[\],]*)(?=[\],])")


def _spaced(found: re.Match[str]) -> str:
    """A slice with room around the colon where an end is more than a name or a number."""
    space, text = found.groups()
    ends = [end.strip() for end in text.split(":")]
    return space + (" : " if any(" " in end for end in ends) else ":").join(ends).strip()


def changed(node: ast.expr, **changes: object) -> ast.expr:
    changed = copy.copy(node)
    for name, value in changes.items():
        setattr(changed, name, value)
    return changed


def names_in(node: ast.AST) -> tuple[str, ...]:
    found = (one.id for one in ast.walk(node) if isinstance(one, ast.Name))
    return tuple(dict.fromkeys(found))


def function_name(node: ast.Call) -> str:
    """The function's own name: `exp` of `np.exp(x)`, `astype` of `x.astype(dtype)`, else ""."""
    if isinstance(node.func, ast.Attribute):
        if isinstance(node.func.value, ast.Name) and node.func.value.id == "np":
            return node.func.attr
        if node.func.attr == "astype":
            return "astype"
    return ""


def is_ufunc(name: str) -> bool:
    function = getattr(np, name, None) if name else None
    return isinstance(function, np.ufunc) and function.nout == 1 and function.signature is None


def broadcast_type(types: Sequence[Type]) -> Type:
    rank = max(len(one.shape) for one in types)
    shape: list[sp.Expr] = []
    for axis in range(-rank, 0):
        sizes = [one.shape[axis] for one in types if len(one.shape) >= -axis]
        shape.append(next((size for size in sizes if size != ONE), ONE))
    arrays = [one.dtype for one in types if one.shape]
    return Type(tuple(shape), widest(arrays) if arrays else "float")


def number_type(type_: Type) -> Type:
    """The type of arithmetic; what NumPy makes of booleans alone is not followed."""
    if type_.dtype == "bool":
        raise UnknownError
    return type_


def product_type(left: Type, right: Type) -> Type:
    first, second = left.shape, right.shape
    if not first or not second:
        raise UnknownError
    columns = second[-1:] if len(second) > 1 else ()
    if len(first) <= 2 and len(second) <= 2:
        return Type((*first[:-1], *columns))
    if len(first) < 2 or len(second) < 2:
        raise UnknownError
    stack = broadcast_type([Type(first[:-2]), Type(second[:-2])]).shape
    return Type((*stack, first[-2], *columns))


def indexed_type(type_: Type, key: ast.expr) -> Type:
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
            raise UnknownError
    return Type((*shape, *sizes), type_.dtype)


def _is_new_axis(part: ast.expr) -> bool:
    return isinstance(part, ast.Constant) and part.value is None


def _is_ellipsis(part: ast.expr) -> bool:
    return isinstance(part, ast.Constant) and part.value is Ellipsis


def _slice_size(size: sp.Expr, part: ast.Slice) -> sp.Expr:
    if part.step is not None:
        raise UnknownError
    start = size_of(part.lower) if part.lower else sp.Integer(0)
    stop = size_of(part.upper) if part.upper else size
    start, stop = (size + end if end.is_negative else end for end in (start, stop))
    if size.is_Integer:  # an end beyond the axis is at its end: x[-4:] of three entries has three
        start, stop = (min(max(end, sp.Integer(0)), size) for end in (start, stop))
    return stop - start


def size_of(node: ast.expr) -> sp.Expr:
    """Integer arithmetic on sizes, as SymPy has it."""
    if isinstance(node, ast.Constant) and isinstance(node.value, int):
        return sp.Integer(node.value)
    if isinstance(node, ast.Name):
        return dimension(plain(node.id))
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        return -size_of(node.operand)
    if isinstance(node, ast.BinOp):
        left, right = size_of(node.left), size_of(node.right)
        if isinstance(node.op, ast.Add):
            return left + right
        if isinstance(node.op, ast.Sub):
            return left - right
        if isinstance(node.op, ast.Mult):
            return left * right
    raise UnknownError


def shape_of(node: ast.expr) -> Shape:
    if not isinstance(node, ast.Tuple):
        raise UnknownError
    return tuple(size_of(one) for one in node.elts)


def reduction_of(node: ast.Call) -> tuple[tuple[int, ...] | None, bool]:
    """The axes of a reduction, all if None, and whether they are kept."""
    given = {one.arg: ast.literal_eval(one.value) for one in node.keywords}
    axis = given.get("axis")
    axes = (axis,) if isinstance(axis, int) else axis
    return axes, bool(given.get("keepdims", False))


def reduced_shape(shape: Shape, axes: tuple[int, ...] | None, keep: bool) -> Shape:
    gone = range(len(shape)) if axes is None else axes
    if keep:
        return tuple(ONE if axis in gone else size for axis, size in enumerate(shape))
    return tuple(size for axis, size in enumerate(shape) if axis not in gone)
