"""Operations beyond the elementwise: forward against NumPy, gradients against the complex step.

One table: each case is an operation in symflow, the same in NumPy, and the shapes of its operands.
A shape may name a size; such a case runs with the size fixed, named, declared as None, and with
placeholders of no declared shape at all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from numpy.typing import NDArray
from reference import complex_step, evaluate

import symflow as sf

Array = NDArray[Any]

SIZES = {"n": 4, "m": 5}


@dataclass(frozen=True)
class Case:
    """`rank` marks an operation that needs to know how many axes its operands have."""

    name: str
    symflow: Callable[..., Any]
    numpy: Callable[..., Any]
    shapes: tuple[tuple[int | str, ...], ...]
    rank: bool = False


def einsum(subscripts: str, *shapes: tuple[int | str, ...]) -> Case:
    return Case(
        f"einsum {subscripts}",
        lambda *x: sf.einsum(subscripts, *x),
        lambda *x: np.einsum(subscripts, *x),
        shapes,
    )


def matmul(*shapes: tuple[int | str, ...]) -> Case:
    return Case(f"matmul {shapes[0]} @ {shapes[1]}", sf.matmul, np.matmul, shapes)


def flipped(transpose_a: bool, transpose_b: bool, *shapes: tuple[int | str, ...]) -> Case:
    def reference(a: Array, b: Array) -> Array:
        a = np.swapaxes(a, -1, -2) if transpose_a else a
        return a @ (np.swapaxes(b, -1, -2) if transpose_b else b)

    return Case(
        f"matmul {shapes[0]} @ {shapes[1]} transposed {transpose_a:d}{transpose_b:d}",
        lambda a, b: sf.matmul(a, b, transpose_a=transpose_a, transpose_b=transpose_b),
        reference,
        shapes,
        rank=len(shapes[0]) > 2,
    )


def reduction(name: str, axis: Any, keepdims: bool, shape: tuple[int | str, ...]) -> Case:
    numpy_names = {"reduce_mean": np.mean, "reduce_max": np.max, "reduce_min": np.min}
    return Case(
        f"{name} axis={axis} keepdims={keepdims} {shape}",
        lambda x: getattr(sf, name)(x, axis=axis, keepdims=keepdims),
        lambda x: numpy_names.get(name, np.sum)(x, axis=axis, keepdims=keepdims),
        (shape,),
    )


def index(text: str, *shape: int | str) -> Case:
    """`x[...]` is the same text for both."""
    function = eval(f"lambda x: x[{text}]", {"np": np})
    return Case(f"x[{text}] of {shape}", function, function, (shape,), rank="..." in text)


def one(
    name: str, symflow: Callable[..., Any], numpy: Callable[..., Any], *shapes: Any, **more: Any
) -> Case:
    return Case(f"{name} {', '.join(map(str, shapes))}", symflow, numpy, shapes, **more)


def softmax(x: Array, axis: int = -1) -> Array:
    powers = np.exp(x - np.max(x.real, axis, keepdims=True))
    return powers / powers.sum(axis, keepdims=True)


def log_softmax(x: Array, axis: int = -1) -> Array:
    return x - np.log(np.exp(x).sum(axis, keepdims=True))


ROWS_TWICE = np.array([2, 0, 2, 1, 0])
GRID = np.array([[2, 0], [2, 2]])
LABELS = np.array([[0, 1, 0], [1, 0, 0], [0, 0, 1], [0.5, 0.25, 0.25]])

MATMULS = [
    matmul((3,), (3,)),
    matmul(("n",), ("n",)),
    matmul((3,), (3, 2)),
    matmul(("n", 3), (3,)),
    matmul(("n", 3), (3, 2)),
    matmul(("n", 3), (3, "m")),
    matmul((2, "n"), ("n", 3)),
    matmul((1, 3), (3, 1)),
    matmul((3, 1), (1, 2)),
    matmul((2, 3), (3, 1)),
    matmul(("n", 2, 3), ("n", 3, 5)),
    matmul(("n", 2, 3), (3, 5)),
    matmul((2, 3), ("n", 3, 5)),
    matmul(("n", 1, 2, 3), (5, 3, 2)),
    matmul((2, 1, 4, 3), (1, 5, 3, 2)),
    matmul(("n", 2, 3), (3,)),
    matmul((3,), ("n", 3, 2)),
    flipped(True, False, (3, "n"), (3, 2)),
    flipped(False, True, ("n", 3), (2, 3)),
    flipped(True, True, (3, 2), ("n", 3)),
    flipped(True, False, ("n", 3, 2), ("n", 3, 5)),
    flipped(False, True, ("n", 2, 3), (5, 3)),
    one("x @ x", lambda x: x @ x, lambda x: x @ x, (3, 3)),
    one("x.T @ x", lambda x: sf.transpose(x) @ x, lambda x: x.T @ x, ("n", 3)),
    one("three", lambda a, b, c: a @ b @ c, lambda a, b, c: a @ b @ c, ("n", 3), (3, 2), (2, 4)),
    one("by an array", lambda x: np.eye(4)[:3] @ x, lambda x: np.eye(4)[:3] @ x, (4, 2)),
]

EINSUMS = [
    einsum("i->", ("n",)),
    einsum("i->i", ("n",)),
    einsum("ii->", (3, 3)),
    einsum("ii->i", (3, 3)),
    einsum("ii", (3, 3)),
    einsum("ij->", ("n", 3)),
    einsum("ij->i", ("n", 3)),
    einsum("ij->j", ("n", 3)),
    einsum("ij->ji", ("n", 3)),
    einsum("ba", ("n", 3)),
    einsum("ij,jk->ik", ("n", 3), (3, 2)),
    einsum("ij,jk", ("n", 3), (3, 2)),
    einsum("ij,kj->ki", ("n", 3), (2, 3)),
    einsum("bij,bjk->bik", ("n", 2, 3), ("n", 3, 4)),
    einsum("bij,jk->bik", ("n", 2, 3), (3, 4)),
    einsum("ij,ij->", ("n", 3), ("n", 3)),
    einsum("ij,ij->i", ("n", 3), ("n", 3)),
    einsum("ij,ij->ji", ("n", 3), ("n", 3)),
    einsum("i,j->ij", ("n",), (3,)),
    einsum("i,j->ji", ("n",), (3,)),
    einsum("i,i->i", ("n",), ("n",)),
    einsum("i,j->", ("n",), (3,)),
    einsum("ij,j->i", ("n", 3), (3,)),
    einsum("i,ij,j->", ("n",), ("n", 3), (3,)),
    einsum("ijk,kl,lm->ijm", ("n", 2, 3), (3, 4), (4, 2)),
    einsum("ijk,ik->ij", ("n", 2, 3), ("n", 3)),
    einsum("iij->ij", (3, 3, 2)),
    einsum("ijj,ijj,klmn->lmij", (1, 3, 3), (1, 3, 3), (1, 3, 4, 2)),
    einsum("iji->j", (3, 2, 3)),
    einsum("iii->i", (3, 3, 3)),
    einsum("iijj->ij", (2, 2, 3, 3)),
    einsum("ijij->", (2, 3, 2, 3)),
    einsum("ii,ij->j", (3, 3), (3, 2)),
    einsum("ij,k->ik", ("n", 3), (2,)),
    einsum("ij,->ij", ("n", 3), ()),
    einsum("ij,jk->ik", (1, 3), (3, 1)),
    einsum("ii->i", (1, 1)),
    einsum("abcd,cd,b->ad", (2, 3, 4, 2), (4, 2), (3,)),
    einsum("bhid,bhjd->bhij", ("n", 2, 3, 4), ("n", 2, 3, 4)),
]

REDUCTIONS = [
    reduction(name, axis, keepdims, ("n", 3, 2))
    for name in ("reduce_sum", "reduce_mean", "reduce_max", "reduce_min")
    for axis in (None, 0, 1, -1, (0, 1), (1, 2), (-1, 0), (0, 1, 2))
    for keepdims in (False, True)
] + [
    reduction(name, axis, False, shape)
    for name in ("reduce_sum", "reduce_mean", "reduce_max")
    for axis, shape in [(None, ()), (0, (1, 3)), (1, (3, 1)), ((), ("n", 3)), (0, ("n",))]
]

INDICES = [
    index("1", "n", 3),
    index("-1", 4, 3),
    index("-1", "n", 3),
    index("1:3", 4, 3),
    index("1:", "n", 3),
    index(":-1", "n", 3),
    index("1:-1", "n", 3),
    index("-2:", "n", 3),
    index("::2", "n", 3),
    index("1::2", "n", 3),
    index("::-1", "n", 3),
    index("0::-1", 3, 4),
    index("1:, 0:-5:-2", 3, 4),
    index("3:0:-2", 5, 2),
    index(":, 1", "n", 3),
    index(":, -1", "n", 3),
    index(":, ::-1", "n", 3),
    index(":, 2:0:-1", "n", 3),
    index("1, 2", 4, 3),
    index("1:3, 0", 4, 3),
    index("-1, 1:", 4, 3),
    index("None", "n", 3),
    index(":, None", "n", 3),
    index("None, 1, None, :2", 4, 3),
    index("..., 1", "n", 3, 2),
    index("..., None", "n", 3),
    index("1, ..., 0", 4, 3, 2),
    index("...", "n", 3),
    index("..., :1", "n", 3, 2),
    index("np.array([2, 0, 2])", 4, 3),
    index("[1, 1]", 4, 3),
    index(":, np.array([2, 0, 2])", "n", 3),
    index("1, np.array([[0, 1], [1, 1]])", 2, 3, 2),
    index("1:, np.array([0, 0])", "n", 3),
    index("np.int64(2)", 4, 3),
    index("1:100", 4, 3),
]

INDEX_MAPS = [
    one("transpose", sf.transpose, np.transpose, ("n", 3)),
    one("transpose", sf.transpose, np.transpose, ("n", 3, 2)),
    one("transpose", sf.transpose, np.transpose, (3,)),
    *(
        one(
            f"transpose {perm}",
            lambda x, perm=perm: sf.transpose(x, perm),
            lambda x, perm=perm: np.transpose(x, perm),
            ("n", 3, 2),
        )
        for perm in [(0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), [0, 1, 2], (-1, 0, 1)]
    ),
    *(
        one(
            f"expand_dims {axis}",
            lambda x, axis=axis: sf.expand_dims(x, axis),
            lambda x, axis=axis: np.expand_dims(x, axis),
            ("n", 3),
        )
        for axis in (0, 1, 2, -1, -2, -3)
    ),
    one("squeeze", sf.squeeze, np.squeeze, (1, 3, 1, 2)),
    one("squeeze 0", lambda x: sf.squeeze(x, 0), lambda x: np.squeeze(x, 0), (1, 3, 1)),
    one("squeeze -1", lambda x: sf.squeeze(x, -1), lambda x: np.squeeze(x, -1), ("n", 1)),
    one(
        "squeeze two", lambda x: sf.squeeze(x, (0, 2)), lambda x: np.squeeze(x, (0, 2)), (1, "n", 1)
    ),
    one("squeeze all", sf.squeeze, np.squeeze, (1, 1)),
    *(
        one(
            f"broadcast_to {shape}",
            lambda x, shape=shape: sf.broadcast_to(x, shape),
            lambda x, shape=shape: np.broadcast_to(x, shape),
            source,
        )
        for source, shape in [
            ((), (2, 3)),
            ((3,), (2, 3)),
            ((2, 1), (2, 3)),
            ((1, 3), (4, 2, 3)),
            ((2, 3), (2, 3)),
        ]
    ),
    *(
        one(
            f"reshape {shape}",
            lambda x, shape=shape: sf.reshape(x, shape),
            lambda x, shape=shape: np.reshape(x, shape),
            source,
        )
        for source, shape in [
            ((2, 6), (3, 4)),
            ((2, 6), 12),
            ((2, 6), (-1,)),
            ((2, 6), -1),
            ((2, 6), (2, -1, 3)),
            (("n", 3, 2), (-1, 6)),
            (("n", 6), (-1, 3, 2)),
            (("n", 6), (-1, 3)),
            ((1, 1), ()),
            ((), (1, 1)),
        ]
    ),
    *(
        one(
            f"concat {axis}",
            lambda *x, axis=axis: sf.concat(x, axis),
            lambda *x, axis=axis: np.concatenate(x, axis),
            *shapes,
        )
        for axis, shapes in [
            (0, ((2, 3), (4, 3))),
            (0, (("n", 3), (2, 3))),
            (0, (("n", 3), ("m", 3))),
            (1, (("n", 3), ("n", 2), ("n", 1))),
            (-1, (("n", 3), ("n", 2))),
            (-2, ((2, 3), (4, 3))),
            (0, ((2,), (3,), (1,))),
        ]
    ),
    one("concat twice", lambda x: sf.concat([x, x], 0), lambda x: np.concatenate([x, x]), ("n", 2)),
    *(
        one(
            f"stack {axis}",
            lambda *x, axis=axis: sf.stack(x, axis),
            lambda *x, axis=axis: np.stack(x, axis),
            ("n", 3),
            ("n", 3),
        )
        for axis in (0, 1, 2, -1, -2)
    ),
    one("stack scalars", lambda *x: sf.stack(x), lambda *x: np.stack(x), (), (), ()),
    *(
        one(
            f"gather {rows.tolist()} axis {axis}",
            lambda x, rows=rows, axis=axis: sf.gather(x, rows, axis=axis),
            lambda x, rows=rows, axis=axis: np.take(x, rows, axis=axis),
            shape,
        )
        for rows, axis, shape in [
            (ROWS_TWICE, 0, (3,)),
            (ROWS_TWICE, 0, ("n", 3)),
            (ROWS_TWICE, 1, ("n", 3)),
            (ROWS_TWICE, -1, ("n", 2, 3)),
            (GRID, 0, ("n", 3)),
            (GRID, 1, (2, 3, 2)),
            (np.array(1), 0, ("n", 3)),
        ]
    ),
]

LOSSES = [
    *(
        one(
            f"softmax {axis}",
            lambda x, axis=axis: sf.softmax(x, axis),
            lambda x, axis=axis: softmax(x, axis),
            ("n", 3),
        )
        for axis in (-1, 0, 1)
    ),
    one("softmax of a vector", sf.nn.softmax, softmax, ("n",)),
    one("softmax of three axes", sf.softmax, softmax, ("n", 2, 3)),
    *(
        one(
            f"log_softmax {axis}",
            lambda x, axis=axis: sf.nn.log_softmax(x, axis),
            lambda x, axis=axis: log_softmax(x, axis),
            ("n", 3),
        )
        for axis in (-1, 0, 1)
    ),
    *(
        one(
            f"logsumexp {axis} {keepdims}",
            lambda x, axis=axis, keepdims=keepdims: sf.reduce_logsumexp(x, axis, keepdims),
            lambda x, axis=axis, keepdims=keepdims: np.log(np.exp(x).sum(axis, keepdims=keepdims)),
            ("n", 3),
        )
        for axis, keepdims in [(None, False), (0, False), (1, True), (-1, False), ((0, 1), True)]
    ),
    one(
        "naive log softmax",
        lambda x: sf.log(sf.softmax(x)),
        log_softmax,
        ("n", 3),
    ),
    one(
        "naive softmax",
        lambda x: sf.exp(x) / sf.reduce_sum(sf.exp(x), 1, keepdims=True),
        softmax,
        ("n", 3),
    ),
    one(
        "softmax cross entropy",
        lambda z: sf.nn.softmax_cross_entropy_with_logits(labels=LABELS, logits=z),
        lambda z: -(LABELS * log_softmax(z)).sum(-1),
        (4, 3),
    ),
    one(
        "softmax cross entropy of labels",
        lambda y, z: sf.nn.softmax_cross_entropy_with_logits(labels=y, logits=z),
        lambda y, z: -(y * log_softmax(z)).sum(-1),
        ("n", 3),
        ("n", 3),
    ),
    one(
        "softmax cross entropy, first axis",
        lambda y, z: sf.nn.softmax_cross_entropy_with_logits(labels=y, logits=z, axis=0),
        lambda y, z: -(y * log_softmax(z, 0)).sum(0),
        (3, "n"),
        (3, "n"),
    ),
    one(
        "sigmoid cross entropy",
        lambda y, z: sf.nn.sigmoid_cross_entropy_with_logits(labels=y, logits=z),
        lambda y, z: -y * np.log(1 / (1 + np.exp(-z))) - (1 - y) * np.log(1 / (1 + np.exp(z))),
        ("n", 3),
        ("n", 3),
    ),
    one("bias_add", sf.nn.bias_add, np.add, ("n", 3), (3,)),
    one(
        "mean squared error",
        sf.losses.mean_squared_error,
        lambda y, p: np.mean((p - y) ** 2),
        ("n", 3),
        ("n", 3),
    ),
    one("l2_loss", sf.nn.l2_loss, lambda x: (x**2).sum() / 2, ("n", 3)),
    one(
        "global_norm",
        lambda *x: sf.global_norm(x),
        lambda a, b: np.sqrt((a**2).sum() + (b**2).sum()),
        ("n", 3),
        (2,),
    ),
    one(
        "layer norm",
        lambda x: (
            (x - sf.reduce_mean(x, -1, keepdims=True))
            / sf.sqrt(
                sf.reduce_mean(sf.square(x - sf.reduce_mean(x, -1, keepdims=True)), -1, True) + 1e-5
            )
        ),
        lambda x: (
            (x - x.mean(-1, keepdims=True))
            / np.sqrt(((x - x.mean(-1, keepdims=True)) ** 2).mean(-1, keepdims=True) + 1e-5)
        ),
        ("n", 3),
    ),
]

CASES = MATMULS + EINSUMS + REDUCTIONS + INDICES + INDEX_MAPS + LOSSES


def variants() -> Iterator[Any]:
    for case in CASES:
        yield pytest.param(case, "fixed", id=f"{case.name}, fixed")
        if any(isinstance(size, str) for shape in case.shapes for size in shape):
            yield pytest.param(case, "named", id=f"{case.name}, named")
            yield pytest.param(case, "unknown", id=f"{case.name}, unknown")
        if not case.rank:
            yield pytest.param(case, "shapeless", id=f"{case.name}, shapeless")


def declared(shape: tuple[int | str, ...], variant: str) -> Any:
    if variant == "shapeless":
        return None
    if variant == "unknown":
        return tuple(None if isinstance(size, str) else size for size in shape)
    return shape if variant == "named" else given(shape)


def given(shape: tuple[int | str, ...]) -> tuple[int, ...]:
    return tuple(SIZES[size] if isinstance(size, str) else size for size in shape)


@pytest.mark.parametrize(("case", "variant"), list(variants()))
def test_operation(case: Case, variant: str) -> None:
    rng = np.random.default_rng(0)
    values = [rng.normal(size=given(shape)) for shape in case.shapes]
    expected = np.asarray(case.numpy(*values))
    weights = rng.uniform(1, 2, expected.shape)
    x = [sf.placeholder(sf.float64, declared(shape, variant)) for shape in case.shapes]
    y = case.symflow(*x)
    assert variant == "shapeless" or len(y.shape) == expected.ndim
    w = sf.placeholder(sf.float64, y.shape and [s if isinstance(s, int) else None for s in y.shape])
    fetches = [y, *sf.gradients(sf.reduce_sum(y * w), x)]
    result, *gradients = evaluate(fetches, {w: weights, **dict(zip(x, values, strict=True))})
    assert np.shape(result) == expected.shape
    assert_allclose(result, expected, rtol=1e-12, atol=1e-13)

    def loss(*moved: Array) -> Any:
        return (case.numpy(*moved) * weights).sum()

    for at, gradient in enumerate(gradients):
        assert np.shape(gradient) == values[at].shape
        assert_allclose(gradient, complex_step(loss, values, at), rtol=1e-11, atol=1e-12)


# --- what does not fit the table -------------------------------------------------------------


@pytest.mark.parametrize("shape", [("n", -1), ("n", 3, 2), (-1, "n")])
def test_reshape_to_a_named_size(shape: tuple[int | str, ...]) -> None:
    x = sf.placeholder(sf.float64, ("n", 6))
    data = np.arange(24.0).reshape(4, 6)
    y = sf.reshape(x, shape)
    value, gradient = evaluate([y, *sf.gradients(sf.reduce_sum(y * y), x)], {x: data})
    assert_allclose(value, data.reshape(given(shape)))
    assert_allclose(gradient, 2 * data)


def test_broadcast_to_a_named_size() -> None:
    x, y = sf.placeholder(sf.float64, ("n", 2)), sf.placeholder(sf.float64, (2,))
    z = sf.broadcast_to(y, ("n", 2)) * x
    value, gradient = evaluate(
        [z, *sf.gradients(sf.reduce_sum(z), y)], {x: np.ones((4, 2)), y: [2, 3]}
    )
    assert_allclose(value, [[2, 3]] * 4)
    assert_allclose(gradient, [4, 4])


@pytest.mark.parametrize("shape", [(3,), (2, 2), ()])
def test_one_hot(shape: tuple[int, ...]) -> None:
    rows = np.random.default_rng(0).integers(0, 4, shape)
    k = sf.placeholder(sf.int64, shape)
    assert_allclose(evaluate(sf.one_hot(k, 4), {k: rows}), np.eye(4)[rows])
    assert_allclose(evaluate(sf.one_hot(rows, 4)), np.eye(4)[rows])


@pytest.mark.parametrize("outside", [-1, 4])
def test_one_hot_outside_its_depth_is_zero(outside: int) -> None:
    assert_allclose(evaluate(sf.one_hot([outside, 1], 3)), [[0, 0, 0], [0, 1, 0]])


@pytest.mark.parametrize("shape", [("m",), None, (None,)])
def test_gather_by_a_placeholder(shape: Any) -> None:
    table, rows = sf.placeholder(sf.float64, ("n", 2)), sf.placeholder(sf.int64, shape)
    picked = sf.gather(table, rows)
    w, weights = sf.placeholder(sf.float64, (None, 2)), np.arange(10.0).reshape(5, 2)
    data = np.random.default_rng(0).normal(size=(4, 2))
    fetches = [picked, *sf.gradients(sf.reduce_sum(picked * w), table)]
    value, gradient = evaluate(fetches, {table: data, rows: ROWS_TWICE, w: weights})
    scattered = np.zeros((4, 2))
    np.add.at(scattered, ROWS_TWICE, weights)
    assert_allclose(value, data[ROWS_TWICE])
    assert_allclose(gradient, scattered)


def test_gather_is_differentiated_twice() -> None:
    x = sf.placeholder(sf.float64, (3,))
    (gradient,) = sf.gradients(sf.reduce_sum(sf.gather(x, ROWS_TWICE) ** 3), x)
    (second,) = sf.gradients(sf.reduce_sum(gradient), x)
    data = np.array([1.0, 2, 3])
    assert_allclose(evaluate(second, {x: data}), 6 * data * np.bincount(ROWS_TWICE))


def test_the_slope_of_one_entry_is_one() -> None:
    """The upstream that is scattered is a number, not an array."""
    x = sf.placeholder(sf.float64, (3,))
    loss = sf.gather(x, 1) + sf.gather(x, 0)
    assert_array_equal(evaluate(sf.gradients(loss, x)[0], {x: [1.0, 2, 3]}), [1, 1, 0])


def test_negative_rows_count_from_the_end() -> None:
    x = sf.placeholder(sf.float64, (3,))
    y = sf.gather(x, np.array([-1, 2, 0]))
    value, gradient = evaluate([y, *sf.gradients(sf.reduce_sum(y), x)], {x: [1.0, 2, 3]})
    assert_allclose(value, [3, 3, 1])
    assert_allclose(gradient, [1, 0, 2])


def test_an_integer_and_an_array_with_a_slice_between_are_as_in_numpy_or_refused() -> None:
    """NumPy puts the axes of the array first then."""
    x, data = sf.placeholder(sf.float64, (2, 3, 2)), np.arange(12.0).reshape(2, 3, 2)
    try:
        y = x[1, :, np.array([[0, 1], [1, 1]])]
    except sf.SymflowError:
        return
    assert_allclose(evaluate(y, {x: data}), data[1, :, np.array([[0, 1], [1, 1]])])


def test_stop_gradient() -> None:
    x = sf.placeholder(sf.float64, (3,))
    y = sf.reduce_sum(x * sf.stop_gradient(x))
    value, gradient = evaluate([y, *sf.gradients(y, x)], {x: [1.0, 2, 3]})
    assert value == 14
    assert_allclose(gradient, [1, 2, 3])


@pytest.mark.parametrize("dtype", [sf.float32, sf.float64])
def test_a_float_cast_to_float_is_the_same_number_for_derivatives_too(dtype: Any) -> None:
    x = sf.placeholder(dtype, (3,))
    y = sf.cast(x, dtype) ** 2
    value, gradient = evaluate([y, *sf.gradients(sf.reduce_sum(y), x)], {x: [1.0, 2, 3]})
    assert_allclose(value, [1, 4, 9])
    assert_allclose(gradient, [2, 4, 6])


def test_cast_of_comparisons_counts() -> None:
    x = sf.placeholder(sf.float64, ("n",))
    correct = sf.reduce_mean(sf.cast(x > 0, sf.float64))
    assert evaluate(correct, {x: [1.0, -1, 2, 3]}) == 0.75


def test_sums_of_whole_numbers_and_booleans_are_whole() -> None:
    k = sf.placeholder(sf.int64, ("n",))
    counts = evaluate([sf.reduce_sum(k), sf.reduce_sum(k > 1), sf.reduce_max(k)], {k: [1, 2, 3]})
    assert counts == [6, 2, 3]
    assert all(np.asarray(count).dtype.kind == "i" for count in counts)


def test_mean_of_whole_numbers_is_no_whole_number() -> None:
    k = sf.placeholder(sf.int64, ("n",))
    assert evaluate(sf.reduce_mean(k), {k: [1, 2]}) == 1.5


def test_operators_meet_arrays_on_either_side() -> None:
    x = sf.placeholder(sf.float64, (2, 2))
    a, data = np.array([[1.0, 2], [3, 4]]), np.array([[5.0, 6], [7, 8]])
    left = [a + x, a - x, a * x, a / x, a @ x, 2 / x, 1 - x, 2**x]
    right = [a + data, a - data, a * data, a / data, a @ data, 2 / data, 1 - data, 2**data]
    for result, expected in zip(evaluate(left, {x: data}), right, strict=True):
        assert_allclose(result, expected)


def test_iteration_over_a_fixed_dimension() -> None:
    x = sf.placeholder(sf.float64, (3,))
    a, b, c = x
    assert evaluate(a * b + c, {x: [2.0, 3, 4]}) == 10


MISTAKES: list[tuple[str, Callable[[Any], Any], str]] = [
    ("matmul", lambda x: x @ np.ones((4, 2)), r"matmul: .*\(2, 3\).*\(4, 2\)"),
    ("matmul of a scalar", lambda x: x @ 2.0, "scalar"),
    ("add", lambda x: x + np.ones(4), r"add: .*\(2, 3\).*\(4,\).*do not broadcast"),
    ("axis", lambda x: sf.reduce_sum(x, 2), "axis 2 is out of range"),
    ("axis twice", lambda x: sf.reduce_sum(x, (0, -2)), "twice"),
    ("reshape", lambda x: sf.reshape(x, (4, 2)), "cannot be reshaped"),
    ("reshape to two unknowns", lambda x: sf.reshape(x, (-1, -1)), "only one dimension"),
    ("transpose", lambda x: sf.transpose(x, (0,)), "does not name every axis"),
    ("squeeze", lambda x: sf.squeeze(x, 0), "not of size 1"),
    ("expand_dims", lambda x: sf.expand_dims(x, 3), "out of range"),
    ("broadcast_to", lambda x: sf.broadcast_to(x, (3,)), "does not broadcast"),
    ("concat", lambda x: sf.concat([x, np.ones((2, 4))], 0), "differ outside axis 0"),
    ("concat in old order", lambda x: sf.concat(0, [x, x]), "tensors come first"),
    ("concat of nothing", lambda x: sf.concat([], 0), "concat"),
    ("stack of nothing", lambda x: sf.stack([]), "stack|concat"),
    ("index", lambda x: x[2], "out of range"),
    ("too many indices", lambda x: x[0, 0, 0], "3 indices"),
    ("two ellipses", lambda x: x[..., 0, ...], "ellips|[.]{3}"),
    ("empty slice", lambda x: x[2:], "empty"),
    ("float index", lambda x: x[np.array([0.5])], "whole numbers"),
    ("gather by floats", lambda x: sf.gather(x, x), "whole numbers"),
    ("gather outside", lambda x: sf.gather(x, np.array([5])), "range|bounds"),
    ("einsum letters", lambda x: sf.einsum("ijk->i", x), "einsum"),
    ("einsum operands", lambda x: sf.einsum("ij,jk->ik", x), "einsum"),
    ("einsum sizes", lambda x: sf.einsum("ij,ij->", x, np.ones((3, 3))), "both"),
    ("einsum diagonal", lambda x: sf.einsum("ii->i", x), "diagonal"),
    ("one_hot depth", lambda x: sf.one_hot([0], 0), "depth"),
    ("truth", lambda x: bool(x), "truth value"),
    ("len", lambda x: len(x), "len"),
    ("assignment", lambda x: x.__setitem__(0, 1.0), "cannot be changed"),
]


@pytest.mark.parametrize(
    ("mistake", "message"), [case[1:] for case in MISTAKES], ids=[case[0] for case in MISTAKES]
)
def test_mistakes_are_told_where_they_are_made(mistake: Callable[[Any], Any], message: str) -> None:
    x = sf.placeholder(sf.float64, (2, 3), name="x")
    with pytest.raises(sf.SymflowError, match=message) as caught:
        mistake(x)
    assert str(caught.value).startswith("test_operations.py:")


@pytest.mark.parametrize(
    "rows",
    [
        lambda k: k + 1,
        lambda k: 2 * k,
        lambda k: sf.maximum(k, 1),
        lambda k: sf.where(k > 0, k, 1),
        lambda k: sf.clip_by_value(k, 0, 1),
    ],
    ids=["k + 1", "2 k", "maximum", "where", "clip"],
)
def test_arithmetic_of_indices_stays_whole(rows: Callable[[Any], Any]) -> None:
    k = sf.placeholder(sf.int64, ("n",))
    table = np.array([10.0, 20.0, 30.0])
    gathered = sf.gather(table, rows(k))
    expected = table[evaluate(rows(k), {k: [0, 1]})]
    assert_allclose(evaluate(gathered, {k: [0, 1]}), expected)


def test_one_tensor_is_stacked_and_joined() -> None:
    x = sf.placeholder(shape=(3,))
    stacked, joined = evaluate([sf.stack([x]), sf.concat([x], 0)], {x: [1.0, 2, 3]})
    assert stacked.tolist() == [[1, 2, 3]]
    assert joined.tolist() == [1, 2, 3]


@pytest.mark.parametrize("other", [sf.int64, sf.bool])
def test_products_of_single_precision_and_whole_numbers_stay_single(
    other: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sf.Session, "_typed", lambda session, result, tensor: result)
    x, k = sf.placeholder(sf.float32, (2, 3)), sf.placeholder(other, (3, 2))
    products = [x @ k, sf.einsum("ij,jk->ik", x, k), sf.tensordot(x, k, 1)]
    (slope,) = sf.gradients(sf.reduce_sum(products[0]), x)
    given = {x: np.ones((2, 3)), k: np.ones((3, 2), other)}
    for result, right in zip(evaluate([*products, slope], given), [3, 3, 3, 2], strict=True):
        assert result.dtype == np.float32
        assert np.all(result == right)
