"""Array operations against NumPy: values, first and second derivatives, sizes, kinds, mistakes.

One table, as in `test_operations.py`. The loss is Σ w·y², so that the second derivative of a
linear operation is no zero: the gradient is compared with the complex step of the same loss in
NumPy, and a product with the Hessian with a difference quotient of complex-step gradients.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from conftest import ROOT, imported
from numpy.testing import assert_allclose, assert_array_equal
from numpy.typing import NDArray
from reference import complex_step, evaluate
from test_golden import TOOLS

import symflow as sf
from symflow.checking import check
from symflow.files import compile_files, write

Array = NDArray[Any]
Shape = tuple[int | str, ...]

SIZES = {"n": 4, "m": 5}


@dataclass(frozen=True)
class Case:
    """`known` marks an operation that must know the shapes of its operands."""

    name: str
    symflow: Callable[..., Any]
    numpy: Callable[..., Any]
    shapes: tuple[Shape, ...]
    known: bool = False


def case(
    name: str,
    symflow: Callable[..., Any],
    numpy: Callable[..., Any],
    *shapes: Shape,
    known: bool = False,
) -> Case:
    return Case(f"{name} {', '.join(map(str, shapes))}", symflow, numpy, shapes, known)


def absolute(x: Array) -> Array:
    """|x| of what is real but for a step into the complex."""
    return x * np.sign(x.real)


def largest(x: Array, axis: Any = None, keepdims: bool = False) -> Array:
    """The maximum by the real part."""
    axes = range(x.ndim) if axis is None else np.atleast_1d(axis) % x.ndim
    last = np.moveaxis(x, list(axes), range(-len(axes), 0))
    rows = last.reshape(*last.shape[: x.ndim - len(axes)], -1)
    result = np.take_along_axis(rows, rows.real.argmax(-1)[..., None], -1)[..., 0]
    return np.expand_dims(result, tuple(axes)) if keepdims else result


def deviation(x: Array, axis: Any, keepdims: bool) -> Array:
    return np.sqrt(variance(x, axis, keepdims))


def variance(x: Array, axis: Any, keepdims: bool) -> Array:
    return np.mean((x - x.mean(axis, keepdims=True)) ** 2, axis, keepdims=keepdims)


def powers(x: Array, p: float, axis: Any, keepdims: bool = False) -> Array:
    return np.sum(absolute(x) ** p, axis, keepdims=keepdims) ** (1 / p)


def running(function: Any, x: Array, axis: int, exclusive: bool, reverse: bool) -> Array:
    """TensorFlow's running totals, entry by entry."""
    moved = np.moveaxis(x, axis, 0)
    size = len(moved)
    result = np.empty_like(moved)
    for j in range(size):
        part = moved[j + exclusive :] if reverse else moved[: j + 1 - exclusive]
        result[j] = function(part, axis=0)
    return np.moveaxis(result, 0, axis)


REDUCTIONS = [
    case(
        f"{name} axis={axis} keepdims={keepdims}",
        lambda x, n=name, a=axis, k=keepdims: getattr(sf, n)(x, a, k),
        lambda x, f=function, a=axis, k=keepdims: f(x, a, keepdims=k),
        ("n", 3, 2),
    )
    for name, function in [
        ("reduce_prod", np.prod),
        ("reduce_variance", variance),
        ("reduce_std", deviation),
    ]
    for axis in (None, 0, -1, (0, 1), (2, 0), (0, 1, 2))
    for keepdims in (False, True)
] + [
    case("reduce_prod", sf.reduce_prod, np.prod, ()),
    case("reduce_prod 0", lambda x: sf.reduce_prod(x, 0), lambda x: x[0], (1, 3)),
    case("reduce_prod", lambda x: sf.reduce_prod(x, 1), lambda x: np.prod(x, 1), ("n", "m")),
    *(
        case(
            f"norm {ord_} axis={axis} keepdims={keepdims}",
            lambda x, o=ord_, a=axis, k=keepdims: sf.norm(x, o, a, k),
            lambda x, f=function, a=axis, k=keepdims: f(x, a, k),
            ("n", 3),
        )
        for ord_, function in [
            ("euclidean", lambda x, a, k: powers(x, 2, a, k)),
            ("fro", lambda x, a, k: powers(x, 2, a, k)),
            (2, lambda x, a, k: powers(x, 2, a, k)),
            (1, lambda x, a, k: powers(x, 1, a, k)),
            (3, lambda x, a, k: powers(x, 3, a, k)),
            (1.5, lambda x, a, k: powers(x, 1.5, a, k)),
            (np.inf, lambda x, a, k: largest(absolute(x), a, k)),
        ]
        for axis, keepdims in [(None, False), (0, False), (-1, True), ((1,), False)]
    ),
    *(
        case(
            f"matrix norm {ord_} {axes}",
            lambda x, o=ord_, a=axes: sf.norm(x, o, axis=a),
            lambda x, f=function, a=axes: f(x, a),
            ("n", 3, 2),
        )
        for ord_, function in [
            ("fro", lambda x, a: powers(x, 2, a)),
            ("euclidean", lambda x, a: powers(x, 2, a)),
            (1, lambda x, a: largest(absolute(x).sum(a[0], keepdims=True), a)),
            (np.inf, lambda x, a: largest(absolute(x).sum(a[1], keepdims=True), a)),
        ]
        for axes in [(0, 1), (1, 2), (-1, 0)]
    ),
]

RUNNING = [
    case(
        f"{name} axis={axis} exclusive={exclusive:d} reverse={reverse:d}",
        lambda x, n=name, a=axis, e=exclusive, r=reverse: getattr(sf, n)(x, a, e, r),
        lambda x, f=function, a=axis, e=exclusive, r=reverse: running(f, x, a, e, r),
        ("n", 3),
    )
    for name, function in [("cumsum", np.sum), ("cumprod", np.prod)]
    for axis in (0, 1, -2)
    for exclusive in (False, True)
    for reverse in (False, True)
] + [
    case("cumsum", sf.cumsum, np.cumsum, ("n",)),
    case("cumprod", sf.cumprod, np.cumprod, ("n",)),
    case(
        "cumprod of three axes",
        lambda x: sf.cumprod(x, 1),
        lambda x: np.cumprod(x, 1),
        ("n", 3, 2),
    ),
]

SORTING = [
    *(
        case(
            f"sort {axis} {direction}",
            lambda x, a=axis, d=direction: sf.sort(x, a, d),
            lambda x, a=axis, s=sign: s * np.sort(s * x, a),
            ("n", 3),
        )
        for axis in (0, -1)
        for direction, sign in (("ASCENDING", 1), ("DESCENDING", -1))
    ),
    case("sort", sf.sort, np.sort, ("n",)),
    *(
        case(
            f"top_k {k}",
            lambda x, k=k: sf.top_k(x, k).values,
            lambda x, k=k: -np.sort(-x)[..., :k],
            shape,
        )
        for k, shape in [(2, ("n", 3)), (1, ("n",)), (3, (2, "n", 3))]
    ),
]

GRID = np.array([[2, 0], [1, 1], [2, 0], [-1, -2]])
SEGMENTS = np.array([0, 3, 0, 1])


def segments(x: Array, ids: Array, count: int) -> Array:
    result = np.zeros((count, *x.shape[ids.ndim :]), x.dtype)
    for at in np.ndindex(ids.shape):
        if ids[at] >= 0:
            result[ids[at]] += x[at]
    return result


PICKING = [
    case(
        "gather_nd entries",
        lambda x: sf.gather_nd(x, GRID),
        lambda x: x[tuple(GRID.T)],
        ("n", 3),
    ),
    case(
        "gather_nd slices",
        lambda x: sf.gather_nd(x, GRID),
        lambda x: x[tuple(GRID.T)],
        ("n", 3, 2),
    ),
    case(
        "gather_nd rows",
        lambda x: sf.gather_nd(x, [[[1]], [[0]]]),
        lambda x: x[np.array([[1], [0]])],
        ("n", 2),
    ),
    case(
        "scatter_nd",
        lambda x: sf.scatter_nd([[1, 0], [0, 2], [1, 0], [0, 1]], x, (2, 3)),
        lambda x: segments(x, np.array([3, 2, 3, 1]), 6).reshape(2, 3),
        (4,),
    ),
    case(
        "segment_sum",
        lambda x: sf.segment_sum(x, [0, 0, 2, 2]),
        lambda x: segments(x, np.array([0, 0, 2, 2]), 3),
        (4, 3),
    ),
    case(
        "unsorted_segment_sum",
        lambda x: sf.unsorted_segment_sum(x, SEGMENTS, 5),
        lambda x: segments(x, SEGMENTS, 5),
        (4, 3),
    ),
    case(
        "unsorted_segment_sum, two axes, some dropped",
        lambda x: sf.unsorted_segment_sum(x, [[0, -1], [1, 1], [0, -2]], 2),
        lambda x: segments(x, np.array([[0, -1], [1, 1], [0, -2]]), 2),
        (3, 2, 2),
    ),
    case(
        "embedding_lookup",
        lambda x: sf.nn.embedding_lookup(x, [[1, 0], [1, 1]]),
        lambda x: x[np.array([[1, 0], [1, 1]])],
        ("n", 3),
    ),
    case(
        "boolean_mask of rows",
        lambda x: sf.boolean_mask(x, np.array([True, False, True])),
        lambda x: x[[0, 2]],
        (3, 2),
        known=True,
    ),
    case(
        "boolean_mask of columns",
        lambda x: sf.boolean_mask(x, [True, False, True], axis=1),
        lambda x: x[:, [0, 2]],
        ("n", 3),
        known=True,
    ),
    case(
        "boolean_mask of two axes",
        lambda x: sf.boolean_mask(x, [[True, False], [True, True]]),
        lambda x: x[[0, 1, 1], [0, 0, 1]],
        (2, 2, 3),
        known=True,
    ),
    case(
        "masked sum",
        lambda x: sf.reduce_sum(sf.where(x > 0, x, 0.0), 1),
        lambda x: np.where(x.real > 0, x, 0).sum(1),
        ("n", 3),
    ),
    case(
        "masked mean",
        lambda x: (
            sf.reduce_sum(sf.where(x > -1, x, 0.0)) / sf.reduce_sum(sf.cast(x > -1, sf.float64))
        ),
        lambda x: x[x.real > -1].mean(),
        ("n", 3),
    ),
    case(
        "masked maximum",
        lambda x: sf.reduce_max(sf.where(x < 1, x, -np.inf)),
        lambda x: largest(x[x.real < 1]),
        ("n", 3),
    ),
]


def padding(mode: str, *widths: tuple[int, int], shape: Shape = ("n", 3)) -> Case:
    return case(
        f"pad {mode} {widths}",
        lambda x: sf.pad(x, widths, mode),
        lambda x: np.pad(x, widths, mode=mode.lower()),
        shape,
        known=mode != "CONSTANT",
    )


SHAPING = [
    padding("CONSTANT", (1, 2), (0, 1)),
    padding("CONSTANT", (0, 0), (2, 0)),
    padding("CONSTANT", (2, 1), shape=("n",)),
    padding("REFLECT", (1, 2), (0, 1)),
    padding("REFLECT", (3, 3), shape=("n",)),
    padding("REFLECT", (0, 0), (2, 2)),
    padding("SYMMETRIC", (1, 2), (0, 3)),
    padding("SYMMETRIC", (2, 0), shape=("n",)),
    padding("REFLECT", (0, 0), (0, 0)),
    case(
        "pad 1.5",
        lambda x: sf.pad(x, [[1, 0]], constant_values=1.5),
        lambda x: np.pad(x, ((1, 0),), constant_values=1.5),
        ("n",),
    ),
    *(
        case(
            f"tile {many}", lambda x, m=many: sf.tile(x, m), lambda x, m=many: np.tile(x, m), shape
        )
        for many, shape in [
            ((2,), ("n",)),
            ((2, 3), ("n", 3)),
            ((1, 2), ("n", 3)),
            ((3, 1), (1, "n")),
            ((1, 1), ("n", 3)),
        ]
    ),
    *(
        case(
            f"repeat {many} {axis}",
            lambda x, m=many, a=axis: sf.repeat(x, m, a),
            lambda x, m=many, a=axis: np.repeat(x, m, a),
            shape,
            known=isinstance(many, list),
        )
        for many, axis, shape in [
            (2, 0, ("n", 3)),
            (3, -1, ("n", 3)),
            (1, 0, ("n",)),
            (2, None, ("n", 2)),
            ([2, 0, 1], 1, ("n", 3)),
        ]
    ),
    *(
        case(f"flip {axis}", lambda x, a=axis: sf.flip(x, a), lambda x, a=axis: np.flip(x, a), s)
        for axis, s in [(None, ("n", 3)), (0, ("n", 3)), (-1, ("n", 3)), ((0, 2), ("n", 3, 2))]
    ),
    case("reverse", lambda x: sf.reverse(x, [1]), lambda x: x[:, ::-1], ("n", 3)),
    *(
        case(
            f"roll {shift} {axis}",
            lambda x, s=shift, a=axis: sf.roll(x, s, a),
            lambda x, s=shift, a=axis: np.roll(x, s, a),
            ("n", 3),
            known=axis is None,
        )
        for shift, axis in [(1, 0), (-2, 1), (5, -1), ((1, 2), (0, 1)), (2, (0, 1)), (2, None)]
    ),
    *(
        case(
            f"split {parts} {axis} [{at}]",
            lambda x, p=parts, a=axis, i=at: sf.split(x, p, a)[i],
            lambda x, e=edges, a=axis, i=at: np.split(x, e, a)[i],
            shape,
            known=isinstance(parts, int) or (-1 in parts and shape == ("n", 5)),
        )
        for parts, edges, axis, shape in [
            (2, 2, 0, (4, 3)),
            (3, 3, -1, ("n", 3)),
            ([1, -1, 1], [1, -1], 0, ("n", 2)),
            ([-1, 2], [-2], 0, ("n",)),
            ([1, -1], [1], 0, ("n", 2)),
        ]
        for at in (0, -1)
    ),
    case(
        "split sizes", lambda x: sf.split(x, [2, 3], 1)[1], lambda x: x[:, 2:], ("n", 5), known=True
    ),
    case("unstack", lambda x: sf.unstack(x)[1], lambda x: x[1], (3, 2), known=True),
    case(
        "unstack -1", lambda x: sf.unstack(x, axis=-1)[2], lambda x: x[:, 2], ("n", 3), known=True
    ),
    case("unstack of n", lambda x: sf.unstack(x, 3, 1)[0], lambda x: x[:, 0], ("n", 3)),
]

MATRICES = [
    case("diag", sf.diag, np.diag, ("n",)),
    case("diag of one", sf.diag, np.diag, (1,)),
    case("diag_part", sf.diag_part, np.diag, (3, 3)),
    case("diag_part", sf.diag_part, np.diag, ("n", "n")),
    case(
        "matrix_diag",
        sf.matrix_diag,
        lambda x: np.stack([np.diag(row) for row in x]),
        ("n", 3),
    ),
    case(
        "matrix_diag_part",
        sf.matrix_diag_part,
        lambda x: np.stack([np.diag(one) for one in x]),
        ("n", 3, 3),
    ),
    case("trace", sf.trace, np.trace, ("n", "n")),
    case("trace", sf.trace, lambda x: np.trace(x, axis1=1, axis2=2), ("n", 3, 3)),
    case("outer", sf.outer, np.outer, ("n",), ("m",)),
    case("outer", sf.outer, np.outer, ("n", 3), (2,)),
    *(
        case(
            f"tensordot {axes}",
            lambda a, b, x=axes: sf.tensordot(a, b, x),
            lambda a, b, x=axes: np.tensordot(a, b, x),
            *shapes,
        )
        for axes, shapes in [
            (0, (("n",), (3,))),
            (1, (("n", 3), (3, 2))),
            (2, ((2, "n", 3), ("n", 3, 4))),
            ((0, 0), (("n", 3), ("n", 2))),
            (([0, 1], [1, 0]), (("n", 3), (3, "n"))),
            ([[1], [-1]], (("n", 3), (2, 3))),
        ]
    ),
    *(case(f"tril {k}", lambda x, k=k: sf.tril(x, k), lambda x, k=k: np.tril(x, k), ("n", 3))
      for k in (0, 1, -2)),
    *(case(f"triu {k}", lambda x, k=k: sf.triu(x, k), lambda x, k=k: np.triu(x, k), ("n", 3, 2))
      for k in (0, 1, -1)),
    *(
        case(
            f"matrix_band_part {low} {high}",
            lambda x, low=low, h=high: sf.matrix_band_part(x, low, h),
            lambda x, low=low, h=high: np.triu(
                np.tril(x, h if h >= 0 else 99), -low if low >= 0 else -99
            ),
            ("n", "m"),
        )
        for low, high in [(0, 0), (1, 2), (-1, 0), (0, -1), (-1, -1)]
    ),
    case("x % y", lambda x, y: x % y, lambda x, y: x - y * np.floor((x / y).real), ("n",), ("n",)),
]  # fmt: skip

CASES = REDUCTIONS + RUNNING + SORTING + PICKING + SHAPING + MATRICES


def variants() -> Iterator[Any]:
    for one in CASES:
        named = any(isinstance(size, str) for shape in one.shapes for size in shape)
        chosen = ["named" if named else "fixed"]
        chosen += ["fixed"] * (named and one.known) + ["shapeless"] * (not one.known)
        for variant in chosen:
            yield pytest.param(one, variant, id=f"{one.name}, {variant}")


def given(shape: Shape) -> tuple[int, ...]:
    return tuple(SIZES[size] if isinstance(size, str) else size for size in shape)


@pytest.mark.parametrize(("one", "variant"), list(variants()))
def test_value_gradient_and_hessian(one: Case, variant: str) -> None:
    rng = np.random.default_rng(1)
    values = [np.asarray(rng.normal(size=given(shape))) for shape in one.shapes]
    expected = np.asarray(one.numpy(*values))
    weights = rng.uniform(1, 2, expected.shape)
    directions = [rng.normal(size=value.shape) for value in values]
    declared = {"fixed": given, "named": tuple, "shapeless": lambda shape: None}[variant]
    x = [sf.placeholder(sf.float64, declared(shape)) for shape in one.shapes]
    v = [sf.placeholder(sf.float64, declared(shape)) for shape in one.shapes]
    y = one.symflow(*x)
    w = sf.placeholder(sf.float64, y.shape and [s if isinstance(s, int) else None for s in y.shape])
    gradients = sf.gradients(sf.reduce_sum(w * y * y), x)
    along = sum(sf.reduce_sum(g * d) for g, d in zip(gradients, v, strict=True))
    fetches = [y, *gradients, *sf.gradients(along, x)]
    feed = {w: weights, **dict(zip([*x, *v], [*values, *directions], strict=True))}
    result, *rest = evaluate(fetches, feed)
    assert np.shape(result) == expected.shape
    assert_allclose(result, expected, rtol=1e-12, atol=1e-13)

    def loss(*moved: Array) -> Any:
        return (one.numpy(*moved) ** 2 * weights).sum()

    pairs = list(zip(values, directions, strict=True))
    for at, value in enumerate(values):
        assert_allclose(rest[at], complex_step(loss, values, at), rtol=1e-11, atol=1e-12)
        step = 1e-5
        apart = [
            complex_step(loss, [np.asarray(a + s * b) for a, b in pairs], at) for s in (step, -step)
        ]
        second = rest[len(values) + at]
        assert np.shape(second) == value.shape
        assert_allclose(second, (apart[0] - apart[1]) / (2 * step), rtol=1e-6, atol=1e-6)


SINGLE_ROW = {
    "cumsum": lambda x: sf.cumsum(x, 0, exclusive=True),
    "cumprod": lambda x: sf.cumprod(x, 0, reverse=True),
    "exclusive cumprod": lambda x: sf.cumprod(x, 0, exclusive=True),
    "reduce_prod": lambda x: sf.reduce_prod(x, 0),
    "reduce_std": lambda x: sf.reduce_std(x, 0),
    "sort": lambda x: sf.sort(x, 0),
    "tile": lambda x: sf.tile(x, (2, 1)),
    "roll": lambda x: sf.roll(x, 1, 0),
    "pad": lambda x: sf.pad(x, [[1, 1], [0, 0]]),
}


@pytest.mark.parametrize("operation", SINGLE_ROW.values(), ids=SINGLE_ROW.keys())
@pytest.mark.parametrize("size", ["n", 1])
def test_an_axis_of_one_entry(operation: Callable[..., Any], size: Any) -> None:
    """A named size that turns out to be 1 computes what a fixed 1 does."""
    x, data = sf.placeholder(sf.float64, (size, 3)), np.array([[2.0, 0.0, -1.0]])
    wide = sf.placeholder(sf.float64, ("k", 3))
    both = []
    for one, fed in ((x, data), (wide, np.concatenate([data, data]))):
        y = operation(one)
        (gradient,) = sf.gradients(sf.reduce_sum(y * y), one)
        (second,) = sf.gradients(sf.reduce_sum(gradient), one)
        both.append(evaluate([y, gradient, second], {one: fed}))
    assert all(np.all(np.isfinite(value)) for value in both[0])
    assert both[0][1].shape == both[0][2].shape == data.shape
    assert [value.ndim for value in both[0]] == [value.ndim for value in both[1]]


# --- zeros, ties and kinks -------------------------------------------------------------------


def hessian(function: Callable[[Any], Any], at: Any) -> tuple[Any, Array, Array]:
    """Value, gradient and Hessian of a scalar function of a vector."""
    data = np.asarray(at, float)
    x = sf.placeholder(sf.float64, data.shape)
    y = function(x)
    (gradient,) = sf.gradients(y, x)
    rows = [sf.gradients(gradient[number], x)[0] for number in range(data.size)]
    value, first, *second = evaluate([y, gradient, *rows], {x: data})
    return value, first, np.array(second)


@pytest.mark.parametrize(
    ("at", "value", "gradient", "second"),
    [
        ([0, 3], 0, [3, 0], [[0, 1], [1, 0]]),
        ([0, 0], 0, [0, 0], [[0, 1], [1, 0]]),
        ([2, 0, 5], 0, [0, 10, 0], [[0, 5, 0], [5, 0, 2], [0, 2, 0]]),
        ([0, 0, 5], 0, [0, 0, 0], [[0, 5, 0], [5, 0, 0], [0, 0, 0]]),
        ([2, 3, 5], 30, [15, 10, 6], [[0, 5, 3], [5, 0, 2], [3, 2, 0]]),
        ([7], 7, [1], [[0]]),
    ],
)
@pytest.mark.parametrize(
    "function",
    [
        sf.reduce_prod,
        lambda x: sf.cumprod(x)[-1],
        lambda x: sf.cumprod(x, reverse=True)[0],
        lambda x: sf.reduce_prod(sf.reshape(x, (1, -1)), axis=(0, 1)),
    ],
    ids=["reduce_prod", "cumprod", "reversed cumprod", "two axes"],
)
def test_a_product_is_exact_at_zeros(
    function: Any, at: Any, value: float, gradient: Any, second: Any
) -> None:
    found = hessian(function, at)
    assert found[0] == value
    assert_array_equal(found[1], gradient)
    assert_array_equal(found[2], second)


def test_third_derivative_of_a_product() -> None:
    x = sf.placeholder(sf.float64, (3,))
    y = sf.reduce_prod(x)
    for number in range(3):
        y = sf.gradients(y, x)[0][number]
    assert evaluate(y, {x: [0.0, 0.0, 0.0]}) == 1


@pytest.mark.parametrize("number", range(4))
def test_running_products_are_exact_at_zeros(number: int) -> None:
    """∂ (x0 ··· xj) / ∂ xi is the product of the others, for i ≤ j."""
    data = np.array([2.0, 0.0, 3.0, 0.0])
    x = sf.placeholder(sf.float64, (4,))
    (gradient,) = sf.gradients(sf.cumprod(x)[number], x)
    expected = [np.prod(np.delete(data[: number + 1], i)) if i <= number else 0 for i in range(4)]
    assert_array_equal(evaluate(gradient, {x: data}), expected)


def test_a_product_takes_time_in_proportion() -> None:
    x = sf.placeholder(sf.float64, ("n",))
    (gradient,) = sf.gradients(sf.reduce_prod(x), x)
    (second,) = sf.gradients(sf.reduce_sum(gradient), x)
    found = evaluate([gradient, second], {x: np.ones(200_000)})
    assert_array_equal(found[0], np.ones(200_000))
    assert_array_equal(found[1], np.full(200_000, 199_999.0))


@pytest.mark.parametrize("ord_", ["euclidean", 1, 2, 3, 1.5, np.inf])
def test_the_gradient_of_a_norm_at_the_origin_is_0(ord_: Any) -> None:
    x = sf.placeholder(sf.float64, ("n", 2))
    y = sf.norm(x, ord_, axis=1)
    (gradient,) = sf.gradients(sf.reduce_sum(y), x)
    data = np.array([[0.0, 0.0], [3.0, 0.0]])
    value, slope = evaluate([y, gradient], {x: data})
    assert_allclose(value, [0, 3], rtol=1e-15)
    assert_allclose(slope, [[0, 0], [1, 0]], rtol=1e-15)


@pytest.mark.parametrize("ord_", ["fro", 1, np.inf])
def test_matrix_norms_are_those_of_numpy(ord_: Any) -> None:
    data = np.random.default_rng(0).normal(size=(4, 3))
    x = sf.placeholder(sf.float64, (4, 3))
    found = evaluate([sf.norm(x, ord_, (0, 1)), sf.norm(x, ord_, (0, 1), keepdims=True)], {x: data})
    assert_allclose(found[0], np.linalg.norm(data, ord_))
    assert found[1].shape == (1, 1)


def test_equal_entries_have_no_deviation_and_gradient_0() -> None:
    x = sf.placeholder(sf.float64, (2, 3))
    y = sf.reduce_std(x, 1)
    (gradient,) = sf.gradients(sf.reduce_sum(y), x)
    value, slope = evaluate([y, gradient], {x: [[0.1, 0.1, 0.1], [1.0, 1.0, 4.0]]})
    assert_allclose(value, [0, np.sqrt(2)], atol=1e-15)
    assert_allclose(slope[1], (np.array([1, 1, 4]) - 2) / 3 / np.sqrt(2))
    assert np.all(np.abs(slope[0]) <= 1)
    assert evaluate(gradient, {x: np.ones((2, 3))}).tolist() == np.zeros((2, 3)).tolist()


def test_a_variance_far_from_0_keeps_its_digits() -> None:
    data = 1e9 + np.array([0.0, 1.0, 2.0])
    x = sf.placeholder(sf.float64, (3,))
    assert evaluate(sf.reduce_variance(x), {x: data}) == 2 / 3


def test_positions_of_ties_come_in_order() -> None:
    x, data = sf.placeholder(sf.float64, (5,)), np.array([1.0, 3.0, 3.0, 1.0, 3.0])
    down = sf.argsort(x, direction="DESCENDING")
    fetches = [sf.argmax(x), sf.argmin(x), sf.argsort(x), down, sf.top_k(x, 2).indices]
    found = evaluate(fetches, {x: data})
    assert [np.asarray(one).tolist() for one in found] == [
        1, 0, [0, 3, 1, 2, 4], [1, 2, 4, 0, 3], [1, 2],
    ]  # fmt: skip
    assert all(np.asarray(one).dtype.kind == "i" for one in found)


def test_the_gradient_of_ties_goes_to_the_first() -> None:
    x = sf.placeholder(sf.float64, (3,))
    (gradient,) = sf.gradients(sf.reduce_sum(sf.top_k(x, 1).values), x)
    assert_array_equal(evaluate(gradient, {x: [2.0, 2.0, 1.0]}), [1, 0, 0])


@pytest.mark.parametrize("axis", [0, 1, -1, None])
def test_argmax_and_argmin(axis: int | None) -> None:
    x, data = sf.placeholder(sf.float64, ("n", 3)), np.random.default_rng(0).normal(size=(4, 3))
    found = evaluate([sf.argmax(x, axis), sf.argmin(x, axis)], {x: data})
    along = 0 if axis is None else axis  # TensorFlow 1's default
    assert_array_equal(found[0], data.argmax(along))
    assert_array_equal(found[1], data.argmin(along))


def test_top_k_is_fetched_as_it_is_returned() -> None:
    x = sf.placeholder(sf.float64, (2, 4))
    data = np.array([[1.0, 4.0, 2.0, 3.0], [5.0, 5.0, 6.0, 0.0]])
    found = evaluate(sf.nn.top_k(x, k=2), {x: data})
    assert_array_equal(found.values, [[4, 3], [6, 5]])
    assert_array_equal(found.indices, [[1, 3], [2, 0]])


# --- whole numbers and booleans --------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.int64, np.int32, np.uint8, np.bool_])
def test_whole_numbers_are_reordered_as_they_are(dtype: Any) -> None:
    data = np.array([[1, 0, 1], [0, 1, 1]]).astype(dtype) * dtype(1)
    x = sf.placeholder(dtype, ("n", 3))
    pairs: list[tuple[Any, Any]] = [
        (sf.sort(x, 1, "DESCENDING"), -np.sort(-data.astype(int), 1)),
        (sf.argsort(x, 1, "DESCENDING"), np.argsort(-data.astype(int), 1, kind="stable")),
        (sf.top_k(x, 2).values, -np.sort(-data.astype(int), 1)[:, :2]),
        (sf.argmax(x, 1), data.argmax(1)),
        (sf.cumsum(x, 1), data.cumsum(1)),
        (sf.cumsum(x, 1, exclusive=True), data.cumsum(1) - data),
        (sf.cumprod(x, 1), data.cumprod(1)),
        (sf.reduce_prod(x, 1), data.prod(1)),
        (sf.flip(x, 1), data[:, ::-1]),
        (sf.tile(x, (1, 2)), np.tile(data, (1, 2))),
        (sf.tril(x), np.tril(data)),
        (sf.gather_nd(x, [[0, 1]]), data[[0], [1]]),
        (sf.pad(x, [[0, 0], [1, 0]]), np.pad(data, ((0, 0), (1, 0)))),
        (sf.zeros_like(x), np.zeros_like(data)),
        (sf.ones_like(x), np.ones_like(data)),
        (sf.unsorted_segment_sum(x[:2], [0, 0], 1), data.astype(int).sum(0)[None] > 0)
        if dtype is np.bool_
        else (sf.unsorted_segment_sum(x[:2], [0, 0], 1), data.sum(0)[None]),
    ]
    found = evaluate([one for one, _ in pairs], {x: data})
    for value, (tensor, expected) in zip(found, pairs, strict=True):
        assert_array_equal(value, expected)
        assert {"b": "bool", "i": "int", "u": "int"}[value.dtype.kind] == tensor.type.dtype


def test_booleans_in_arithmetic_count_as_0_and_1() -> None:
    x = sf.placeholder(sf.bool, (3,))
    data = np.array([True, False, True])
    found = evaluate([x + x, x * 2.0, -x, sf.sqrt(x), sf.reduce_mean(x)], {x: data})
    for value, expected in zip(found, [2 * data, 2 * data, -1 * data, data, 2 / 3], strict=True):
        assert_allclose(value, expected)


def test_connectives_of_booleans() -> None:
    data = np.array([[True, True], [True, False], [False, True], [False, False]])
    x = sf.placeholder(sf.bool, (4, 2))
    a, b = x[:, 0], x[:, 1]
    p, q = data.T
    pairs = [
        (a & b, p & q),
        (a | b, p | q),
        (a ^ b, p ^ q),
        (~a, ~p),
        (True & a, p),
        (False | b, q),
    ]
    found = evaluate([one for one, _ in pairs], {x: data})
    for value, (_, expected) in zip(found, pairs, strict=True):
        assert value.dtype == np.bool_
        assert_array_equal(value, expected)


@pytest.mark.parametrize("axis", [None, 0, 1, (0, 1)])
@pytest.mark.parametrize("keepdims", [False, True])
def test_any_and_all(axis: Any, keepdims: bool) -> None:
    data = np.array([[True, False, True], [True, True, True]])
    x = sf.placeholder(sf.bool, ("n", 3))
    found = evaluate(
        [sf.reduce_any(~x, axis, keepdims), sf.reduce_all(x, axis, keepdims)], {x: data}
    )
    assert_array_equal(found[0], (~data).any(axis, keepdims=keepdims))
    assert_array_equal(found[1], data.all(axis, keepdims=keepdims))


def test_where_of_booleans_is_boolean() -> None:
    x = sf.placeholder(sf.float64, (3,))
    y = sf.where(x > 1, x > 2, x < 0)
    assert y.type.dtype == "bool"
    assert_array_equal(evaluate(~y & True, {x: [-1.0, 1.5, 3.0]}), [False, True, False])


def test_remainders_of_whole_numbers_are_whole() -> None:
    k = sf.placeholder(sf.int64, ("n",))
    found = evaluate([k % 3, -k % 3, 7 % k], {k: [1, 2, 5]})
    assert [one.tolist() for one in found] == [[1, 2, 2], [2, 1, 1], [0, 1, 2]]
    assert all(one.dtype.kind == "i" for one in found)


def test_cast() -> None:
    x, k = sf.placeholder(sf.float64, (4,)), sf.placeholder(sf.int64, (4,))
    fetches = [sf.cast(x, sf.int32), sf.cast(x, sf.bool), sf.cast(k, bool), sf.cast(k > 0, int)]
    found = evaluate([*fetches, sf.cast(k, float)], {x: [-1.7, 0.0, 0.5, 2.9], k: [0, 1, -2, 3]})
    assert [one.tolist() for one in found] == [
        [-1, 0, 0, 2],
        [True, False, True, True],
        [False, True, True, True],
        [0, 1, 0, 1],
        [0.0, 1.0, -2.0, 3.0],
    ]
    assert [one.dtype.kind for one in found] == list("ibbif")
    table = sf.constant([10.0, 20.0, 30.0])
    assert_array_equal(
        evaluate(table[sf.cast(x, sf.int64)], {x: [0.5, 1.5, 2.5, 0.0]}), [10, 20, 30, 10]
    )


def test_what_is_filled() -> None:
    x = sf.placeholder(sf.float64, ("n", 2))
    fetches = [
        sf.fill(("n", 3), 1.5), sf.fill((2,), 3), sf.fill("n", True), sf.zeros_like(x),
        sf.ones_like(x), sf.eye("n"), sf.eye(2, 3), sf.range("n"), sf.range(5), sf.range(2, 9, 3),
        sf.range(3, 0, -1), sf.range(0.0, 1.0, 0.25), x * 1.0,
    ]  # fmt: skip
    found = evaluate(fetches, {x: np.ones((4, 2))})
    wanted = [
        np.full((4, 3), 1.5), np.full(2, 3), np.full(4, True), np.zeros((4, 2)), np.ones((4, 2)),
        np.eye(4), np.eye(2, 3), np.arange(4), np.arange(5), np.arange(2, 9, 3),
        np.arange(3, 0, -1), np.arange(0.0, 1.0, 0.25), np.ones((4, 2)),
    ]  # fmt: skip
    for value, expected in zip(found, wanted, strict=True):
        assert_array_equal(value, expected)
        assert value.dtype.kind == expected.dtype.kind


def test_precision_is_kept() -> None:
    data = np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32)
    for one in CASES:
        if one.shapes != (("n", 3),):
            continue
        with sf.Graph().as_default():
            x = sf.placeholder(sf.float32, ("n", 3))
            y = one.symflow(x)
            (gradient,) = sf.gradients(sf.reduce_sum(y * y), x)
            for value in evaluate([y, gradient], {x: data}):
                assert value.dtype == np.float32, one.name


def test_segments_of_a_placeholder() -> None:
    x, k = sf.placeholder(sf.float64, ("n", 2)), sf.placeholder(sf.int64, ("n",))
    data, ids = np.arange(8.0).reshape(4, 2), np.array([1, -1, 2, 1])
    y = sf.unsorted_segment_sum(x, k, 3)
    (gradient,) = sf.gradients(sf.reduce_sum(y * y), x)
    value, slope = evaluate([y, gradient], {x: data, k: ids})
    expected = segments(data, ids, 3)
    assert_array_equal(value, expected)
    assert_array_equal(slope, np.where(ids[:, None] < 0, 0, 2 * expected[ids]))
    ascending = sf.segment_sum(x, k, 3)
    assert_array_equal(
        evaluate(ascending, {x: data, k: [0, 0, 1, 2]}), segments(data, np.array([0, 0, 1, 2]), 3)
    )


def test_coordinates_from_a_placeholder() -> None:
    x, k = sf.placeholder(sf.float64, ("n", 3)), sf.placeholder(sf.int64, ("m", 2))
    data = np.arange(12.0).reshape(4, 3)
    y = sf.gather_nd(x, k)
    (gradient,) = sf.gradients(sf.reduce_sum(y), x)
    value, slope = evaluate([y, gradient], {x: data, k: GRID})
    expected = np.zeros((4, 3))
    np.add.at(expected, tuple(GRID.T), 1.0)
    assert_array_equal(value, data[tuple(GRID.T)])
    assert_array_equal(slope, expected)


@pytest.mark.parametrize(
    ("part", "name"),
    [
        (lambda w: sf.argmax(w), "argmax"),
        (lambda w: sf.argsort(w)[0], "argsort"),
        (lambda w: sf.cast(w[0], sf.int64), "to_int"),
        (lambda w: sf.reduce_any(w > 0), "a comparison"),
    ],
)
def test_what_has_no_derivative_is_named(part: Callable[[Any], Any], name: str) -> None:
    w = sf.Variable([1.0, 2.0], name="w")
    loss = sf.cast(part(w), sf.float64)
    with pytest.raises(sf.SymflowError, match=rf"{name}: w .*only through this"):
        sf.gradients(loss, w)


# --- mistakes --------------------------------------------------------------------------------

N = ("n", 3)
MISTAKES: list[tuple[str, Callable[[Any], Any], str]] = [
    ("cumsum axis", lambda x: sf.cumsum(x, 2), r"cumsum: x is \(n, 3\): axis 2 is out of range"),
    ("cumsum axes", lambda x: sf.cumsum(x, (0, 1)), "not one axis"),
    ("cumprod axis", lambda x: sf.cumprod(x, 0.5), "no whole number"),
    ("prod axis", lambda x: sf.reduce_prod(x, (0, 2)), r"reduce_prod: .*axis 2"),
    ("any of floats", sf.reduce_any, r"reduce_any: x is \(n, 3\): booleans are wanted, not floats"),
    ("all of integers", lambda x: sf.reduce_all(sf.cast(x, sf.int64)), "booleans .* not ints"),
    ("and of floats", lambda x: x & True, "logical_and: .*booleans are wanted, not floats.*x > 0"),
    ("not of floats", lambda x: ~x, "logical_not: .*booleans"),
    ("norm order", lambda x: sf.norm(x, 0.5), "norm: the orders .* not 0.5"),
    ("norm name", lambda x: sf.norm(x, "nuc"), "not 'nuc'"),
    ("matrix norm 2", lambda x: sf.norm(x, 2, (0, 1)), "matrix norm are .* not 2"),
    ("norm of three axes", lambda x: sf.norm(x, axis=(0, 1, 2)), "neither one axis nor a pair"),
    ("argmax axis", lambda x: sf.argmax(x, 2), "argmax: .*axis 2 is out of range"),
    ("argmax of a scalar", lambda x: sf.argmax(x[0, 0]), "out of range"),
    ("direction", lambda x: sf.sort(x, 0, "UP"), "sort: direction"),
    ("top_k", lambda x: sf.top_k(x, 4), r"top_k: x is \(n, 3\): k is 4, .* is 3"),
    ("top_k of nothing", lambda x: sf.top_k(x, 0), "k is 0"),
    ("top_k by half", lambda x: sf.top_k(x, 0.5), "k is 0.5"),
    ("top_k of a scalar", lambda x: sf.top_k(x[0, 0]), "scalar"),
    ("tile", lambda x: sf.tile(x, (2,)), r"tile: .*\(n, 3\).*multiples \(2,\) is not one per axis"),
    ("tile by zero", lambda x: sf.tile(x, (2, 0)), "less than 1"),
    ("repeat", lambda x: sf.repeat(x, [1, 2], 0), "axis 0 has n entries, which must be a fixed"),
    ("repeat of 3", lambda x: sf.repeat(x, [1, 2], 1), "one whole number for each of the 3"),
    ("flip", lambda x: sf.flip(x, 2), "flip: .*axis 2"),
    ("roll", lambda x: sf.roll(x, (1, 2), 0), "2 shifts for 1 axes"),
    ("roll by half", lambda x: sf.roll(x, 0.5, 0), "no whole number"),
    ("pad", lambda x: sf.pad(x, [[1, 1]]), r"pad: .*1 paddings for shape \(n, 3\)"),
    ("pad by one", lambda x: sf.pad(x, 1), "pair of whole numbers"),
    ("pad mode", lambda x: sf.pad(x, [[1, 1], [0, 0]], "EDGE"), "mode is"),
    ("pad reflect", lambda x: sf.pad(x, [[0, 0], [3, 0]], "REFLECT"), "at most 2 entries"),
    ("split n", lambda x: sf.split(x, 3), "split: axis 0 has n entries, .* fixed number"),
    ("split uneven", lambda x: sf.split(x, 2, 1), "3 entries, which are not 2 equal parts"),
    ("split sizes", lambda x: sf.split(x, [1, 1], 1), "does not add up to the 3 entries"),
    ("split open", lambda x: sf.split(x, [-1, -1], 1), "one may be -1"),
    ("split axis", lambda x: sf.split(x, 2, 2), "axis 2 is out of range"),
    ("unstack n", lambda x: sf.unstack(x), "unstack: axis 0 has n entries"),
    ("unstack number", lambda x: sf.unstack(x, 2, 1), "3 entries, not 2"),
    ("diag", sf.diag, r"diag: x is \(n, 3\): \(n, 3\) is no vector; matrix_diag"),
    ("diag_part", sf.diag_part, "not square"),
    ("diag_part of a vector", lambda x: sf.diag_part(x[0]), "no matrix"),
    ("trace", sf.trace, "not square"),
    ("tril", lambda x: sf.tril(x[0]), "no matrix"),
    ("tensordot", lambda x: sf.tensordot(x, x, 3), "3 axes of .* cannot be summed"),
    ("tensordot sizes", lambda x: sf.tensordot(x, x, [[0], [1]]), "differs from axis 1"),
    ("tensordot pairs", lambda x: sf.tensordot(x, x, [[0, 1], [1]]), "pairs 2 axes with 1"),
    ("tensordot axes", lambda x: sf.tensordot(x, x, [0]), "neither a number nor two lists"),
    ("gather_nd floats", lambda x: sf.gather_nd(x, x), "whole numbers, but these are float"),
    ("gather_nd depth", lambda x: sf.gather_nd(x, [[0, 0, 0]]), "how many axes .* 1 to 2"),
    ("gather_nd range", lambda x: sf.gather_nd(x, [[0, 3]]), "out of range for axis 1 of size 3"),
    ("scatter_nd", lambda x: sf.scatter_nd([[0]], x, (2, 3)), r"updates should be \(1, 3\)"),
    ("gather range", lambda x: sf.gather(x, [3], axis=-1), "out of range for axis -1 of size 3"),
    ("segments", lambda x: sf.unsorted_segment_sum(x, [[0, 1]], 2), "not the first dimensions"),
    ("segment beyond", lambda x: sf.unsorted_segment_sum(x[0], [0, 1, 2], 2), "2 is not below 2"),
    ("segments of floats", lambda x: sf.unsorted_segment_sum(x, x, 2), "whole numbers"),
    ("segment count", lambda x: sf.unsorted_segment_sum(x, [0], 0.5), "num_segments is 0.5"),
    ("segments falling", lambda x: sf.segment_sum(x[0], [1, 0, 0]), "no ascending"),
    ("segments unknown", lambda x: sf.segment_sum(x, sf.cast(x, int)), "give num_segments"),
    ("computed mask", lambda x: sf.boolean_mask(x, x > 0), r"where\(mask, x, 0\.0\)"),
    ("mask of floats", lambda x: sf.boolean_mask(x, [1.0, 2.0]), "no array of booleans"),
    ("mask of nothing", lambda x: sf.boolean_mask(x, [False] * 3, 1), "some of them true"),
    ("mask shape", lambda x: sf.boolean_mask(x, [True, False], 1), r"mask is \(2,\), .*\(n, 3\)"),
    ("fill", lambda x: sf.fill((2,), "a"), "fill: 'a' is no number"),
    ("eye", lambda x: sf.eye(0), "no dimension"),
    ("range", lambda x: sf.range(3, 1), "empty"),
    ("range of names", lambda x: sf.range("n", 3), "not numbers"),
    ("cast", lambda x: sf.cast(x, complex), "complex128 is not"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("mistake", "message"), [one[1:] for one in MISTAKES], ids=[one[0] for one in MISTAKES]
)
def test_mistakes_are_told_where_they_are_made(mistake: Callable[[Any], Any], message: str) -> None:
    x = sf.placeholder(sf.float64, N, name="x")
    with pytest.raises(sf.SymflowError, match=message) as caught:
        mistake(x)
    assert str(caught.value).startswith("test_arrays.py:")


def test_a_size_of_no_placeholder_is_a_mistake() -> None:
    with pytest.raises(sf.SymflowError, match=r"the size 'n' of .* of no placeholder"):
        evaluate(sf.fill(("n", 2), 1.0))


# --- generated modules -----------------------------------------------------------------------

MODEL = '''\
"""Uses many array operations at once."""

import numpy as np

import symflow as sf

x = sf.placeholder(shape=("n", 4))
k = sf.placeholder(sf.int64, ("n",))
w = sf.Variable(np.linspace(-0.5, 1.0, 12).reshape(4, 3))
e = sf.Variable(np.linspace(0.1, 1.0, 6))
scale = sf.Variable([1.0, 0.0, 2.0])

hidden = x @ w
best, where_best = sf.nn.top_k(hidden, 2)
ranked = sf.sort(hidden, 0, "DESCENDING")
product = sf.reduce_prod(hidden, axis=1)
volume = sf.reduce_prod(sf.tanh(hidden) + 1.0, axis=(0, 1))
whole = sf.reduce_prod(scale)
survival = sf.cumprod(sf.sigmoid(hidden), axis=1, exclusive=True)
total = sf.cumsum(hidden, axis=0, reverse=True)
spread = sf.reduce_std(hidden, axis=0)
length = sf.norm(hidden, axis=1)
lower = sf.tril(sf.outer(e, e))
band = sf.matrix_band_part(hidden, 1, 1)
padded = sf.pad(hidden, [[1, 1], [2, 0]])
mirrored = sf.pad(hidden, [[1, 1], [2, 0]], "REFLECT")
tiled = sf.tile(scale, [3])
repeated = sf.repeat(hidden, 2, axis=1)
turned = sf.roll(sf.flip(hidden, 1), 1, axis=1)
sums = sf.unsorted_segment_sum(hidden, k, 5)
looked_up = sf.gather_nd(hidden, sf.stack([sf.range("n"), k % 3], axis=1))
mask = (hidden > 0) & ~(hidden > 1)
masked = sf.reduce_sum(sf.where(mask, hidden, 0.0), axis=1)
first = sf.argmax(hidden, axis=1)
any_large = sf.reduce_any(hidden > 1.0, axis=1)
blank = sf.zeros_like(hidden)
ones = sf.fill(("n", 2), 1)
identity = sf.eye(3)
count = sf.cast(hidden * 10.0, sf.int64)
gram = sf.matmul(hidden, hidden, transpose_a=True) + identity + sf.diag(scale)
trace = sf.trace(gram)
left, right = sf.split(hidden, [1, -1], axis=1)

parts = [best, ranked, product, volume, whole, survival, total, spread, length, lower, band]
parts += [padded, mirrored, tiled, repeated, turned, sums, looked_up, masked, trace, left * right]
loss = sum(sf.reduce_mean(sf.square(part)) for part in parts)
train_op = sf.train.GradientDescentOptimizer(0.001).minimize(loss)
'''


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The module that `MODEL` compiles to."""
    folder = tmp_path_factory.mktemp("many")
    (folder / "many.py").write_text(MODEL, encoding="utf-8")
    write(compile_files(folder / "many.py", folder / "out", {}, None))
    return folder / "out" / "many.py"


@pytest.mark.parametrize("tool", TOOLS)
def test_tools_have_nothing_to_say(tool: str, many: Path) -> None:
    run = subprocess.run(
        [sys.executable, "-m", *TOOLS[tool], str(many)], cwd=ROOT, capture_output=True, text=True
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert all(len(line) <= 100 for line in many.read_text("utf-8").splitlines())


def test_a_generated_module_agrees_with_a_session(many: Path) -> None:
    module = imported(many)
    rng = np.random.default_rng(0)
    x, k = rng.normal(size=(5, 4)), np.array([0, 3, 1, 1, -1])
    namespace: dict[str, Any] = {"__name__": "many"}
    exec(compile(MODEL, "many.py", "exec"), namespace)
    point = module.initial_parameters()
    names = [
        name
        for name, value in namespace.items()
        if isinstance(value, sf.Tensor) and callable(getattr(module, name, None))
    ]
    assert {"best", "whole", "ones", "blank", "count", "any_large"} <= set(names)
    feed = {namespace["x"]: x, namespace["k"]: k}
    values = evaluate([namespace[name] for name in names], feed)
    inputs = {"x": x, "k": k}
    for name, value in zip(names, values, strict=True):
        function = getattr(module, name)
        taken = function.__code__.co_varnames[: function.__code__.co_argcount]
        given = {one: inputs[one] for one in taken if one in inputs}
        found = function(point, **given)
        assert_allclose(found, value, rtol=1e-12, err_msg=name)
    gradients = sf.gradients(namespace["loss"], [namespace[name] for name in point._fields])
    expected = evaluate(gradients, feed)
    for found, value in zip(module.gradients(point, x, k), expected, strict=True):
        assert_allclose(found, value, rtol=1e-10)


def test_a_generated_gradient_is_that_of_the_generated_loss(many: Path) -> None:
    module = imported(many)
    rng = np.random.default_rng(0)
    x, k = rng.normal(size=(5, 4)), np.array([0, 3, 1, 1, -1])
    point = module.initial_parameters()
    gradients = module.gradients(point, x, k)
    for at, name in enumerate(point._fields):
        for entry in np.ndindex(point[at].shape):
            slopes = []
            for step in (1e-5, -1e-5):
                moved = [np.array(value) for value in point]
                moved[at][entry] += step
                slopes.append(module.loss(type(point)(*moved), x, k))
            quotient = (slopes[0] - slopes[1]) / 2e-5
            assert_allclose(gradients[at][entry], quotient, rtol=1e-5, atol=1e-6, err_msg=name)


def test_the_checker_follows_every_operation(many: Path) -> None:
    """`symflow check` steps into the complex plane, through sorting, segments and the rest."""
    for result in check(many):
        assert result.error < 1e-7, result


def test_single_precision_survives_training(many: Path) -> None:
    module = imported(many)
    x = np.random.default_rng(0).normal(size=(5, 4)).astype(np.float32)
    point = module.initial_parameters(dtype=np.float32)
    k = np.array([0, 3, 1, 1, -1])
    assert all(one.dtype == np.float32 for one in module.gradients(point, x, k))
    result = module.train(point, x, k, steps=3)
    assert all(one.dtype == np.float32 for one in result.parameters)
    for name in ("survival", "padded", "blank", "identity", "lower", "best", "sums"):
        function = getattr(module, name)
        taken = function.__code__.co_varnames[1 : function.__code__.co_argcount]
        given = {one: {"x": x, "k": k}[one] for one in taken}
        assert function(point, **given).dtype == np.float32, name


def test_sizes_alone_make_an_input(compiled: Callable[[str], ModuleType]) -> None:
    """What a function needs of an input may be no more than how many rows it has."""
    module = compiled(
        "import symflow as sf\n"
        'x = sf.placeholder(shape=("n", 2))\n'
        'y = sf.placeholder(shape=("n",))\n'
        "blank = sf.zeros_like(x)\n"
        'counted = sf.range("n") + 1\n'
        "both = blank[:, 0] + y\n"
    )
    x, y = np.ones((3, 2)), np.ones(3)
    assert_array_equal(module.blank(x), np.zeros((3, 2)))
    assert_array_equal(module.counted(x), [1, 2, 3])
    assert_array_equal(module.both(y), y)
