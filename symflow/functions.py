"""What users call: TensorFlow 1's operations, as rows of the tables or compositions of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import sympy as sp
from numpy.typing import DTypeLike

import symflow.operations as operations
from symflow.elementwise import Domain, Elementwise, register
from symflow.errors import SymflowError, calling_location
from symflow.graph import (
    Constant,
    Tensor,
    apply,
    called_by_user,
    convert,
    elementwise,
    shape_of,
)

Axis = int | Sequence[int] | None


def _structural(operation: str, *operands: Any, label: str | None = None, **how: Any) -> Tensor:
    return apply(operations.TABLE[operation], operands, label, **how)


# --- elementwise -----------------------------------------------------------------------------


def add(x: Any, y: Any, name: str | None = None) -> Tensor:
    """x + y."""
    return elementwise("add", x, y, label=name)


def subtract(x: Any, y: Any, name: str | None = None) -> Tensor:
    """x - y."""
    return elementwise("subtract", x, y, label=name)


def multiply(x: Any, y: Any, name: str | None = None) -> Tensor:
    """x · y, element by element."""
    return elementwise("multiply", x, y, label=name)


def divide(x: Any, y: Any, name: str | None = None) -> Tensor:
    """x / y, always as floating point."""
    return elementwise("divide", x, y, label=name)


def negative(x: Any, name: str | None = None) -> Tensor:
    """-x."""
    return elementwise("negative", x, label=name)


def square(x: Any, name: str | None = None) -> Tensor:
    """x²."""
    return elementwise("square", x, label=name)


def sqrt(x: Any, name: str | None = None) -> Tensor:
    """The square root."""
    return elementwise("sqrt", x, label=name)


def pow(x: Any, y: Any, name: str | None = None) -> Tensor:
    """x to the power y."""
    return elementwise("pow", x, y, label=name)


def exp(x: Any, name: str | None = None) -> Tensor:
    """eˣ."""
    return elementwise("exp", x, label=name)


def log(x: Any, name: str | None = None) -> Tensor:
    """The natural logarithm."""
    return elementwise("log", x, label=name)


def sin(x: Any, name: str | None = None) -> Tensor:
    """The sine of x radians."""
    return elementwise("sin", x, label=name)


def cos(x: Any, name: str | None = None) -> Tensor:
    """The cosine of x radians."""
    return elementwise("cos", x, label=name)


def tanh(x: Any, name: str | None = None) -> Tensor:
    """The hyperbolic tangent."""
    return elementwise("tanh", x, label=name)


def sigmoid(x: Any, name: str | None = None) -> Tensor:
    """1 / (1 + e⁻ˣ), without overflow for any x."""
    return elementwise("sigmoid", x, label=name)


def softplus(x: Any, name: str | None = None) -> Tensor:
    """log(1 + eˣ), without overflow for any x."""
    return elementwise("softplus", x, label=name)


def relu(x: Any, name: str | None = None) -> Tensor:
    """max(x, 0). At 0 the derivative is 0."""
    return elementwise("relu", x, label=name)


def abs(x: Any, name: str | None = None) -> Tensor:
    """|x|. At 0 the derivative is 0."""
    return elementwise("abs", x, label=name)


def sign(x: Any, name: str | None = None) -> Tensor:
    """-1, 0 or 1. The derivative is 0."""
    return elementwise("sign", x, label=name)


def maximum(x: Any, y: Any, name: str | None = None) -> Tensor:
    """The larger of x and y. Where they are equal each gets half of the gradient."""
    return elementwise("maximum", x, y, label=name)


def minimum(x: Any, y: Any, name: str | None = None) -> Tensor:
    """The smaller of x and y. Where they are equal each gets half of the gradient."""
    return elementwise("minimum", x, y, label=name)


def where(condition: Any, x: Any, y: Any, name: str | None = None) -> Tensor:
    """x where the condition holds, y elsewhere; all three broadcast."""
    return elementwise("where", condition, x, y, label=name)


def equal(x: Any, y: Any, name: str | None = None) -> Tensor:
    """x = y, as booleans."""
    return elementwise("equal", x, y, label=name)


def not_equal(x: Any, y: Any, name: str | None = None) -> Tensor:
    """x ≠ y, as booleans."""
    return elementwise("not_equal", x, y, label=name)


def less(x: Any, y: Any, name: str | None = None) -> Tensor:
    """x < y, as booleans."""
    return elementwise("less", x, y, label=name)


def less_equal(x: Any, y: Any, name: str | None = None) -> Tensor:
    """x ≤ y, as booleans."""
    return elementwise("less_equal", x, y, label=name)


def greater(x: Any, y: Any, name: str | None = None) -> Tensor:
    """x > y, as booleans."""
    return elementwise("greater", x, y, label=name)


def greater_equal(x: Any, y: Any, name: str | None = None) -> Tensor:
    """x ≥ y, as booleans."""
    return elementwise("greater_equal", x, y, label=name)


def reciprocal(x: Any, name: str | None = None) -> Tensor:
    """1 / x."""
    return elementwise("reciprocal", x, label=name)


def rsqrt(x: Any, name: str | None = None) -> Tensor:
    """1 / √x."""
    return elementwise("rsqrt", x, label=name)


def cbrt(x: Any, name: str | None = None) -> Tensor:
    """The real cube root, also of negative x. At 0 the derivative is infinite."""
    return elementwise("cbrt", x, label=name)


def hypot(x: Any, y: Any, name: str | None = None) -> Tensor:
    """√(x² + y²), without overflow. At the origin the derivative is 0."""
    return elementwise("hypot", x, y, label=name)


def expm1(x: Any, name: str | None = None) -> Tensor:
    """eˣ - 1, to full precision for small x."""
    return elementwise("expm1", x, label=name)


def log1p(x: Any, name: str | None = None) -> Tensor:
    """log(1 + x), to full precision for small x."""
    return elementwise("log1p", x, label=name)


def log2(x: Any, name: str | None = None) -> Tensor:
    """The logarithm to base 2."""
    return elementwise("log2", x, label=name)


def log10(x: Any, name: str | None = None) -> Tensor:
    """The logarithm to base 10."""
    return elementwise("log10", x, label=name)


def logaddexp(x: Any, y: Any, name: str | None = None) -> Tensor:
    """log(eˣ + eʸ), without overflow."""
    return elementwise("logaddexp", x, y, label=name)


def xlogy(x: Any, y: Any, name: str | None = None) -> Tensor:
    """x · log(y), and 0 where x = 0, with derivative 0 by y, and by x if y ≤ 0."""
    return elementwise("xlogy", x, y, label=name)


def tan(x: Any, name: str | None = None) -> Tensor:
    """The tangent of x radians."""
    return elementwise("tan", x, label=name)


def asin(x: Any, name: str | None = None) -> Tensor:
    """The angle, from -π/2 to π/2, whose sine is x."""
    return elementwise("asin", x, label=name)


def acos(x: Any, name: str | None = None) -> Tensor:
    """The angle, from 0 to π, whose cosine is x."""
    return elementwise("acos", x, label=name)


def atan(x: Any, name: str | None = None) -> Tensor:
    """The angle, from -π/2 to π/2, whose tangent is x."""
    return elementwise("atan", x, label=name)


def atan2(y: Any, x: Any, name: str | None = None) -> Tensor:
    """The angle, from -π to π, of the point (x, y). At the origin the derivative is 0."""
    return elementwise("atan2", y, x, label=name)


def sinh(x: Any, name: str | None = None) -> Tensor:
    """The hyperbolic sine, (eˣ - e⁻ˣ) / 2."""
    return elementwise("sinh", x, label=name)


def cosh(x: Any, name: str | None = None) -> Tensor:
    """The hyperbolic cosine, (eˣ + e⁻ˣ) / 2."""
    return elementwise("cosh", x, label=name)


def asinh(x: Any, name: str | None = None) -> Tensor:
    """The inverse of sinh."""
    return elementwise("asinh", x, label=name)


def acosh(x: Any, name: str | None = None) -> Tensor:
    """The inverse of cosh, for x ≥ 1."""
    return elementwise("acosh", x, label=name)


def atanh(x: Any, name: str | None = None) -> Tensor:
    """The inverse of tanh."""
    return elementwise("atanh", x, label=name)


def floor(x: Any, name: str | None = None) -> Tensor:
    """The largest whole number that is not above x. The derivative is 0."""
    return elementwise("floor", x, label=name)


def ceil(x: Any, name: str | None = None) -> Tensor:
    """The smallest whole number that is not below x. The derivative is 0."""
    return elementwise("ceil", x, label=name)


def round(x: Any, name: str | None = None) -> Tensor:
    """The nearest whole number, the even one of two. The derivative is 0."""
    return elementwise("round", x, label=name)


def floormod(x: Any, y: Any, name: str | None = None) -> Tensor:
    """x - y · floor(x / y), of the sign of y. By y the derivative is -floor(x / y)."""
    return elementwise("floormod", x, y, label=name)


def clip_by_value(x: Any, low: Any, high: Any, name: str | None = None) -> Tensor:
    """x, but no less than low and no more than high. At the edges the gradient goes to x."""
    return elementwise("clip_by_value", x, low, high, label=name)


def log_sigmoid(x: Any, name: str | None = None) -> Tensor:
    """log(1 / (1 + e⁻ˣ)), without overflow for any x."""
    return elementwise("log_sigmoid", x, label=name)


def swish(x: Any, name: str | None = None) -> Tensor:
    """x · sigmoid(x)."""
    return elementwise("swish", x, label=name)


def gelu(x: Any, name: str | None = None) -> Tensor:
    """x/2 · (1 + tanh(√(2/π) · (x + 0.044715 x³))): Hendrycks and Gimpel's approximation."""
    return elementwise("gelu", x, label=name)


def elu(x: Any, alpha: Any = 1.0, name: str | None = None) -> Tensor:
    """x where x ≥ 0, alpha · (eˣ - 1) elsewhere. At 0 the derivative is 1."""
    return elementwise("elu", x, alpha, label=name)


def selu(x: Any, name: str | None = None) -> Tensor:
    """1.0507 · elu(x, 1.6733), in full precision. At 0 the derivative is 1.0507."""
    return elementwise("selu", x, label=name)


def leaky_relu(x: Any, alpha: Any = 0.2, name: str | None = None) -> Tensor:
    """x where x > 0, alpha · x elsewhere. At 0 the derivative is alpha."""
    return elementwise("leaky_relu", x, alpha, label=name)


def relu6(x: Any, name: str | None = None) -> Tensor:
    """min(max(x, 0), 6). At 0 and at 6 the derivative is 0."""
    return elementwise("relu6", x, label=name)


def hard_sigmoid(x: Any, name: str | None = None) -> Tensor:
    """x/5 + ½, clipped to [0, 1]. At ±2.5 the derivative is 0.2."""
    return elementwise("hard_sigmoid", x, label=name)


def hard_tanh(x: Any, name: str | None = None) -> Tensor:
    """x, clipped to [-1, 1]. At ±1 the derivative is 1."""
    return elementwise("hard_tanh", x, label=name)


def logical_and(x: Any, y: Any, name: str | None = None) -> Tensor:
    """Whether both x and y hold, as booleans."""
    return elementwise("logical_and", x, y, label=name)


def logical_or(x: Any, y: Any, name: str | None = None) -> Tensor:
    """Whether x or y holds, or both, as booleans."""
    return elementwise("logical_or", x, y, label=name)


def logical_not(x: Any, name: str | None = None) -> Tensor:
    """Whether x does not hold, as booleans."""
    return elementwise("logical_not", x, label=name)


def to_float(x: Any, name: str | None = None) -> Tensor:
    """Integers or booleans as floating-point numbers of the model's precision."""
    return elementwise("to_float", x, label=name)


def operation(name: str, maths: Any, *, doc: str = "", domain: Domain = ((-3.0, 3.0),)) -> Any:
    """Add an elementwise operation of your own, and get the function that applies it.

        softsign = sf.operation("softsign", lambda x: x / (1 + sympy.Abs(x)))

    `maths` takes SymPy expressions, one per operand, and returns one; its derivative, printed
    code and broadcasting follow. `domain` says where the tests draw each operand from.
    """
    row = register(Elementwise(name, maths, doc, domain=domain))

    def applied(*operands: Any, name: str | None = None) -> Tensor:
        if len(operands) != row.arity:
            raise SymflowError(
                f"{row.name} takes {row.arity} operands, not {len(operands)}", calling_location()
            )
        return apply(row, operands, name)

    applied.__name__ = applied.__qualname__ = row.name
    applied.__doc__ = doc
    return applied


# --- reductions ------------------------------------------------------------------------------


def reduce_sum(
    x: Any, axis: Axis = None, keepdims: bool = False, name: str | None = None
) -> Tensor:
    """The sum over the given axes, or over all."""
    return _structural("reduce_sum", x, label=name, axis=axis, keepdims=keepdims)


def reduce_mean(
    x: Any, axis: Axis = None, keepdims: bool = False, name: str | None = None
) -> Tensor:
    """The mean over the given axes, or over all."""
    return _structural("reduce_mean", x, label=name, axis=axis, keepdims=keepdims)


def reduce_max(
    x: Any, axis: Axis = None, keepdims: bool = False, name: str | None = None
) -> Tensor:
    """The largest entry over the given axes; equal ones share the gradient equally."""
    return _structural("reduce_max", x, label=name, axis=axis, keepdims=keepdims)


def reduce_min(
    x: Any, axis: Axis = None, keepdims: bool = False, name: str | None = None
) -> Tensor:
    """The smallest entry over the given axes; equal ones share the gradient equally."""
    return _structural("reduce_min", x, label=name, axis=axis, keepdims=keepdims)


def reduce_logsumexp(
    x: Any, axis: Axis = None, keepdims: bool = False, name: str | None = None
) -> Tensor:
    """log Σ eˣ, computed around the largest entry so that nothing overflows."""
    x = convert(x)
    peak = stop_gradient(reduce_max(x, axis, keepdims=True))
    total = reduce_sum(exp((x - peak).called("shifted")), axis, keepdims=keepdims).called("total")
    if not keepdims:
        peak = reduce_sum(peak, axis)
    return add(log(total), peak, name=name)


def softmax(x: Any, axis: int = -1, name: str | None = None) -> Tensor:
    """eˣ / Σ eˣ along an axis."""
    x = convert(x)
    shifted = (x - stop_gradient(reduce_max(x, axis, keepdims=True))).called("shifted")
    exponentials = exp(shifted)
    total = reduce_sum(exponentials, axis, keepdims=True).called("total")
    return divide(exponentials, total, name=name)


def log_softmax(x: Any, axis: int = -1, name: str | None = None) -> Tensor:
    """x - log Σ eˣ along an axis."""
    x = convert(x)
    shifted = (x - stop_gradient(reduce_max(x, axis, keepdims=True))).called("shifted")
    total = reduce_sum(exp(shifted), axis, keepdims=True).called("total")
    return subtract(shifted, log(total), name=name).called("log_softmax")


# --- contractions and index maps -------------------------------------------------------------


def matmul(
    a: Any,
    b: Any,
    transpose_a: bool = False,
    transpose_b: bool = False,
    name: str | None = None,
) -> Tensor:
    """The matrix product of the last two dimensions, with NumPy's rules for 1-D and batches."""
    left = _structural("transpose_matrix", a) if transpose_a else convert(a)
    right = _structural("transpose_matrix", b) if transpose_b else convert(b)
    return _structural("matmul", left, right, label=name)


def einsum(subscripts: str, *operands: Any, name: str | None = None) -> Tensor:
    """NumPy's einsum with explicit letters: `einsum("bij,bjk->bik", a, b)`.

    A letter repeated inside one operand takes the diagonal; without `->` the letters that occur
    once are kept, in alphabetical order. No ellipsis.
    """
    inputs, arrow, output = subscripts.replace(" ", "").partition("->")
    terms = inputs.split(",")
    letters = inputs.replace(",", "")
    if not arrow:
        output = "".join(sorted(letter for letter in set(letters) if letters.count(letter) == 1))
    fits = (
        len(terms) == len(operands)
        and (not letters or letters.isalpha())
        and set(output) <= set(letters)
        and len(set(output)) == len(output)
    )
    if not fits:
        raise SymflowError(
            f"einsum: '{subscripts}' does not fit {len(operands)} operands", calling_location()
        )
    tensors = [convert(operand) for operand in operands]
    for number, term in enumerate(terms):
        while len(set(term)) < len(term):
            letter = next(letter for letter in term if term.count(letter) > 1)
            first = term.index(letter)
            second = term.index(letter, first + 1)
            tensors[number] = _structural("diagonal", tensors[number], axes=(first, second))
            term = term[:first] + term[first + 1 : second] + term[second + 1 :] + letter
        terms[number] = term
    return _structural("einsum", *tensors, label=name, inputs=tuple(terms), output=output)


def transpose(x: Any, perm: Sequence[int] | None = None, name: str | None = None) -> Tensor:
    """The axes in the order `perm`, or in reverse."""
    return _structural("transpose", x, label=name, perm=None if perm is None else tuple(perm))


def expand_dims(x: Any, axis: int = -1, name: str | None = None) -> Tensor:
    """A new axis of size one before `axis`."""
    return _structural("expand_dims", x, label=name, axis=axis)


def squeeze(x: Any, axis: Axis = None, name: str | None = None) -> Tensor:
    """Without the given axes of size one, or without all of them."""
    return _structural("squeeze", x, label=name, axis=axis)


def broadcast_to(x: Any, shape: Any, name: str | None = None) -> Tensor:
    """Repeated to the given shape by NumPy's broadcasting."""
    return _structural("broadcast_to", x, label=name, shape=shape_of(shape))


# --- views -----------------------------------------------------------------------------------


def reshape(x: Any, shape: Any, name: str | None = None) -> Tensor:
    """The same entries in row-major order in another shape; one dimension may be -1."""
    entries = (shape,) if isinstance(shape, (int, str)) else tuple(shape)
    sizes = tuple(
        sp.Integer(-1) if not isinstance(entry, str) and entry == -1 else shape_of((entry,))[0]
        for entry in entries
    )
    return _structural("reshape", x, label=name, shape=sizes)


def concat(values: Sequence[Any], axis: int, name: str | None = None) -> Tensor:
    """Joined along an existing axis."""
    if not isinstance(values, (list, tuple)) or not values:
        raise SymflowError(
            f"concat(values, axis): the tensors come first, in a list, not {values!r}",
            calling_location(),
        )
    return _structural("concat", *values, label=name, axis=axis)


def stack(values: Sequence[Any], axis: int = 0, name: str | None = None) -> Tensor:
    """Joined along a new axis."""
    if not isinstance(values, (list, tuple)) or not values:
        raise SymflowError(
            f"stack(values, axis): {values!r} is no list of tensors", calling_location()
        )
    return concat([expand_dims(value, axis) for value in values], axis, name=name)


def gather(params: Any, indices: Any, axis: int = 0, name: str | None = None) -> Tensor:
    """Entries of one axis, picked by whole numbers; repeated ones add up in the gradient."""
    params, indices = convert(params), convert(indices)
    if (
        isinstance(indices, Constant)
        and params.shape is not None
        and -1 <= axis < len(params.shape)
    ):
        size = params.shape[axis]
        if isinstance(size, int) and np.any((indices.value < -size) | (indices.value >= size)):
            raise SymflowError(
                f"gather: an index is out of range for axis {axis} of size {size}",
                calling_location(),
            )
    return _structural("gather", params, indices, label=name, axis=axis)


def one_hot(indices: Any, depth: int, name: str | None = None) -> Tensor:
    """1.0 at the index and 0.0 elsewhere, along a new last axis of size `depth`."""
    if not isinstance(depth, (int, np.integer)) or depth < 1:
        raise SymflowError(f"one_hot: depth is {depth!r}", calling_location())
    positions = apply(operations.TABLE["range"], [], size=sp.Integer(int(depth)))
    return to_float(equal(expand_dims(indices, -1), positions), name=name).called("one_hot")


def stop_gradient(x: Any, name: str | None = None) -> Tensor:
    """x itself, as a constant for every derivative."""
    return _structural("stop_gradient", x, label=name)


def l2_loss(x: Any, name: str | None = None) -> Tensor:
    """Half the sum of squares."""
    return multiply(reduce_sum(square(x)), 0.5, name=name)


def cast(x: Any, dtype: DTypeLike, name: str | None = None) -> Tensor:
    """To floating point of the model's precision."""
    if np.dtype(dtype).kind != "f":
        raise SymflowError("cast goes to floating point only", calling_location())
    return to_float(x, name=name)


# --- derivatives -----------------------------------------------------------------------------


def gradients(ys: Any, xs: Any, name: str = "gradients") -> list[Tensor]:
    """The derivative of the sum of all entries of `ys` by each of `xs`, as tensors.

    They are part of the graph, and can be used and differentiated again. An x that no y depends
    on is an error that says where the path breaks.
    """
    of = [convert(y) for y in (ys if isinstance(ys, (list, tuple)) else [ys])]
    by = [convert(x) for x in (xs if isinstance(xs, (list, tuple)) else [xs])]
    found: list[Tensor] = []
    for x in by:
        reached = [y for y in of if x in dependencies(y)]
        if not reached:
            raise SymflowError(unreached(of[0], x), calling_location())
        parts = [_structural("gradient", y, x) for y in reached]
        total = parts[0]
        for part in parts[1:]:
            total = total + part
        found.append(total)
    return found


class GradientTable(Mapping[Tensor, Tensor]):
    """From every node that a loss depends on to the gradient of the loss by that node."""

    def __init__(self, entries: Sequence[tuple[Tensor, Tensor]]) -> None:
        self._entries = {id(node): (node, gradient) for node, gradient in entries}

    def __getitem__(self, node: Tensor) -> Tensor:
        return self._entries[id(node)][1]

    def __contains__(self, node: object) -> bool:
        return id(node) in self._entries

    def __iter__(self) -> Any:
        return (node for node, _ in self._entries.values())

    def __len__(self) -> int:
        return len(self._entries)


def compute_gradients(loss: Any) -> GradientTable:
    """The table of the article: every node connected to the loss, and its gradient."""
    loss = convert(loss)
    nodes = sorted(dependencies(loss).values(), key=lambda node: -node.number)
    return GradientTable([(node, _structural("gradient", loss, node)) for node in nodes])


class Dependencies(dict[int, Tensor]):
    """Nodes by identity, since `==` between tensors makes a new node."""

    def __contains__(self, node: object) -> bool:
        return super().__contains__(id(node))


def dependencies(y: Tensor) -> Dependencies:
    """The nodes through which a derivative of y can pass, y among them."""
    found = Dependencies()
    pending = [y]
    while pending:
        node = pending.pop()
        if node in found or not differentiable(node):
            continue
        found[id(node)] = node
        if node.operation is not operations.TABLE["stop_gradient"]:
            pending.extend(node.inputs)
    return found


def differentiable(node: Tensor) -> bool:
    """Whether a node holds real numbers that can change by a little."""
    return node.type is None or node.type.dtype == "float"


def unreached(y: Tensor, x: Tensor, name: str | None = None) -> str:
    """Why y has no derivative by x: the node at which the path between them breaks."""
    called = name or called_by_user(x)
    target = f"{y.name!r}" if y.name else "the loss"
    at = f" ({x.location})" if x.location else ""
    pending, seen, broken = [y], {id(y)}, None
    while pending:
        node = pending.pop()
        for source in node.inputs:
            if id(source) in seen:
                continue
            seen.add(id(source))
            pending.append(source)
        is_stop = node.operation is operations.TABLE["stop_gradient"]
        at_break = is_stop or not differentiable(node)
        if at_break and node is not x and _depends(node, x):
            broken = node
    if broken is not None and broken.operation is not None:
        return (
            f"{called}{at} reaches {target} only through {broken.operation.name}"
            f" ({broken.location}), which has no derivative"
        )
    return f"{target} does not depend on {called}{at}: no operation connects them"


def _depends(y: Tensor, x: Tensor) -> bool:
    pending, seen = [y], set()
    while pending:
        node = pending.pop()
        if node is x:
            return True
        if id(node) not in seen:
            seen.add(id(node))
            pending.extend(node.inputs)
    return False


def global_norm(tensors: Sequence[Any]) -> Tensor:
    """√ of the sum of all squares."""
    total: Tensor = Constant(0.0)
    for tensor in tensors:
        total = total + reduce_sum(square(tensor))
    return sqrt(total)
