"""Windows: convolution, pooling and normalisation against loops, closed forms and published rules.

The loops read one entry at a time, are written for this file alone, and take complex numbers, so
that gradients are compared with the complex step of the loops.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from numpy.typing import NDArray
from reference import complex_step, evaluate

import symflow as sf

Array = NDArray[Any]
Compiled = Callable[[str], Any]


# --- loops ---------------------------------------------------------------------------------------


def padding_of(size: int, reach: int, stride: int, padding: Any, axis: int) -> tuple[int, int, int]:
    """Windows, entries before and entries behind, by TensorFlow's documentation."""
    if padding == "VALID":
        return -(-(size - reach + 1) // stride), 0, 0
    if padding == "SAME":
        count = -(-size // stride)
        total = max(reach - (size % stride or stride), 0)
        return count, total // 2, total - total // 2
    before, after = padding[axis]
    return (size + before + after - reach) // stride + 1, before, after


def entries(
    shape: tuple[int, ...], size: Any, strides: Any, padding: Any, dilations: Any
) -> list[tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]]:
    """(window, place in the window, place in the tensor) of every entry that is not padding."""
    plans = [
        padding_of(extent, (k - 1) * d + 1, s, padding, axis)
        for axis, (extent, k, s, d) in enumerate(zip(shape, size, strides, dilations, strict=True))
    ]
    found = []
    for window in np.ndindex(*(count for count, _, _ in plans)):
        for inside in np.ndindex(*size):
            at = tuple(
                w * s + k * d - before
                for w, k, s, d, (_, before, _) in zip(
                    window, inside, strides, dilations, plans, strict=True
                )
            )
            if all(0 <= one < extent for one, extent in zip(at, shape, strict=True)):
                found.append((window, inside, at))
    return found


def counts(shape: Any, size: Any, strides: Any, padding: Any, dilations: Any) -> list[int]:
    return [
        padding_of(extent, (k - 1) * d + 1, s, padding, axis)[0]
        for axis, (extent, k, s, d) in enumerate(zip(shape, size, strides, dilations, strict=True))
    ]


def convolved(x: Array, w: Array, strides: Any, padding: Any, dilations: Any) -> Array:
    size, spatial = w.shape[:-2], x.shape[1:-1]
    how = (spatial, size, strides, padding, dilations)
    result = np.zeros((len(x), *counts(*how), w.shape[-1]), np.result_type(x, w))
    for window, inside, at in entries(*how):
        for row, c, o in np.ndindex(len(x), x.shape[-1], w.shape[-1]):
            result[(row, *window, o)] += x[(row, *at, c)] * w[(*inside, c, o)]
    return result


def pooled(x: Array, size: Any, strides: Any, padding: Any, how: Callable[..., Any]) -> Array:
    ones = (1,) * len(size)
    spatial = x.shape[1:-1]
    found: dict[Any, list[Any]] = {}
    for window, _, at in entries(spatial, size, strides, padding, ones):
        for row, c in np.ndindex(len(x), x.shape[-1]):
            found.setdefault((row, *window, c), []).append(x[(row, *at, c)])
    result = np.zeros(
        (len(x), *counts(spatial, size, strides, padding, ones), x.shape[-1]), x.dtype
    )
    for place, values in found.items():
        result[place] = how(values)
    return result


def largest(values: list[Any]) -> Any:
    return max(values, key=lambda value: value.real)


def mean(values: list[Any]) -> Any:
    return sum(values) / len(values)


# --- convolution and pooling against them --------------------------------------------------------


@dataclass(frozen=True)
class Case:
    """One geometry: sizes of the tensor and of the window, and how the window slides."""

    shape: tuple[int, ...]
    size: tuple[int, ...]
    strides: tuple[int, ...]
    padding: Any
    dilations: tuple[int, ...] = ()
    channels: tuple[int, int] = (2, 3)

    @property
    def steps(self) -> tuple[int, ...]:
        return self.dilations or (1,) * len(self.size)

    @property
    def shapes(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        return (2, *self.shape, self.channels[0]), (*self.size, *self.channels)

    def operands(self, seed: int = 0) -> tuple[Array, Array]:
        random = np.random.default_rng(seed)
        x, w = (random.normal(size=shape) for shape in self.shapes)
        return x, w


CASES = (
    Case((5, 6), (3, 3), (1, 1), "VALID"),
    Case((5, 6), (3, 3), (1, 1), "SAME"),
    Case((5, 6), (2, 3), (2, 2), "SAME"),
    Case((6, 5), (3, 2), (2, 1), "VALID"),
    Case((7, 6), (2, 3), (1, 1), "VALID", (3, 2)),
    Case((5, 5), (3, 3), (2, 3), "SAME", (2, 1)),
    Case((4, 5), (3, 2), (1, 2), ((1, 0), (0, 1))),
    Case((4, 4), (1, 1), (1, 1), "VALID"),
    Case((5, 4), (1, 1), (2, 3), "SAME"),
    Case((4, 4), (4, 4), (1, 1), "VALID"),
    Case((4, 3), (3, 2), (1, 1), "SAME", channels=(1, 1)),
    Case((4, 4), (2, 3), (1, 1), "VALID", channels=(1, 3)),
    Case((4, 4), (2, 3), (1, 1), "VALID", channels=(3, 1)),
    Case((4, 1), (3, 1), (1, 1), "SAME"),
    Case((7,), (3,), (2,), "SAME"),
    Case((7,), (3,), (1,), "VALID", (2,)),
    Case((3, 4, 3), (2, 2, 3), (1, 2, 1), "SAME", channels=(2, 2)),
)
CONVOLUTIONS = {1: sf.nn.conv1d, 2: sf.nn.conv2d, 3: sf.nn.conv3d}
MAXIMA = {1: sf.nn.max_pool1d, 2: sf.nn.max_pool, 3: sf.nn.max_pool3d}
MEANS = {1: sf.nn.avg_pool1d, 2: sf.nn.avg_pool, 3: sf.nn.avg_pool3d}


def weights(shape: tuple[int, ...]) -> Array:
    """Fixed numbers that make a scalar of a tensor without symmetry."""
    return np.cos(1.0 + np.arange(np.prod(shape))).reshape(shape)


def compare(
    function: Callable[..., Any], reference: Callable[..., Array], operands: list[Array]
) -> None:
    """Value, gradient by each operand, and the gradient of a function of the gradient."""
    expected = reference(*operands)
    placeholders = [sf.placeholder(shape=("n", *one.shape[1:])) for one in operands[:1]]
    nodes = [*placeholders, *(sf.Variable(one) for one in operands[1:])]
    result = function(*nodes)
    factor = sf.placeholder(shape=("n", *expected.shape[1:]))
    loss = sf.reduce_sum(factor * sf.sin(result))
    feed = {nodes[0]: operands[0], factor: weights(expected.shape)}
    gradients = sf.gradients(loss, nodes)
    value, *found = evaluate([result, *gradients], feed)
    assert_allclose(value, expected, rtol=1e-12, atol=1e-12)

    def scalar(*values: Array) -> Any:
        return np.sum(weights(expected.shape) * np.sin(reference(*values)))

    for at, gradient in enumerate(found):
        assert_allclose(gradient, complex_step(scalar, operands, at), rtol=1e-10, atol=1e-10)
    again = sf.reduce_sum(sf.square(gradients[0]))
    second = evaluate(sf.gradients(again, nodes), feed)

    step = 1e-6  # along one direction, by central differences of the gradient
    for at, gradient in enumerate(second):
        direction = weights(operands[at].shape)
        ends = []
        for sign in (step, -step):
            moved = [value.copy() for value in operands]
            moved[at] += sign * direction
            with sf.Graph().as_default():
                x = [sf.Variable(value) for value in moved]
                inner = sf.reduce_sum(weights(expected.shape) * sf.sin(function(*x)))
                ends.append(evaluate(sf.reduce_sum(sf.square(sf.gradients(inner, x)[0]))))
        slope = (ends[0] - ends[1]) / (2 * step)
        assert_allclose(np.vdot(gradient, direction), slope, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_convolution(case: Case) -> None:
    function = CONVOLUTIONS[len(case.size)]
    compare(
        lambda x, w: function(x, w, case.strides, case.padding, dilations=case.steps),
        lambda x, w: convolved(x, w, case.strides, case.padding, case.steps),
        list(case.operands()),
    )


POOLS = [case for case in CASES if not case.dilations and case.channels == (2, 3)]


@pytest.mark.parametrize("case", POOLS, ids=str)
def test_max_pool(case: Case) -> None:
    function = MAXIMA[len(case.size)]
    compare(
        lambda x: function(x, case.size, case.strides, case.padding),
        lambda x: pooled(x, case.size, case.strides, case.padding, largest),
        [case.operands()[0] - 3.0],  # zeros from padding would win
    )


@pytest.mark.parametrize("case", POOLS, ids=str)
def test_avg_pool(case: Case) -> None:
    function = MEANS[len(case.size)]
    compare(
        lambda x: function(x, case.size, case.strides, case.padding),
        lambda x: pooled(x, case.size, case.strides, case.padding, mean),
        [case.operands()[0]],
    )


@pytest.mark.parametrize("padding", ["SAME", "VALID"])
@pytest.mark.parametrize("multiplier", [1, 2])
def test_depthwise(padding: str, multiplier: int) -> None:
    random = np.random.default_rng(0)
    x, w = random.normal(size=(2, 5, 4, 3)), random.normal(size=(3, 2, 3, multiplier))

    def reference(x: Array, w: Array) -> Array:
        each = [
            convolved(x[..., c : c + 1], w[:, :, c : c + 1], (2, 1), padding, (1, 1))
            for c in range(3)
        ]
        return np.concatenate(each, axis=-1)

    compare(lambda x, w: sf.nn.depthwise_conv2d(x, w, (2, 1), padding), reference, [x, w])


def test_separable() -> None:
    random = np.random.default_rng(0)
    x, w, v = (random.normal(size=s) for s in ((2, 4, 4, 2), (2, 2, 2, 3), (1, 1, 6, 4)))
    inner = sf.nn.depthwise_conv2d(x, w, 1, "SAME")
    found, expected = evaluate([sf.nn.separable_conv2d(x, w, v, 1, "SAME"), inner @ v[0, 0]])
    assert_allclose(found, expected)


TRANSPOSED = [case for case in CASES if len(case.size) == 2 and not case.dilations]


@pytest.mark.parametrize("case", TRANSPOSED, ids=str)
def test_transposed_convolution(case: Case) -> None:
    """Against its definition: each entry adds the filter, times itself, into its window."""
    x, w = case.operands()
    windows = counts(case.shape, case.size, case.strides, case.padding, (1, 1))
    value = np.random.default_rng(1).normal(size=(2, *windows, case.channels[1]))

    def reference(value: Array, w: Array) -> Array:
        result = np.zeros(x.shape, np.result_type(value, w))
        for window, inside, at in entries(
            case.shape, case.size, case.strides, case.padding, (1, 1)
        ):
            for row in range(2):
                result[(row, *at)] += w[inside] @ value[(row, *window)]
        return result

    shape = (None, *x.shape[1:])
    compare(
        lambda y, w: sf.nn.conv2d_transpose(y, w, shape, case.strides, case.padding),
        reference,
        [value, w],
    )


@pytest.mark.parametrize("case", CASES, ids=str)
def test_overlap_add_is_the_adjoint_of_windows(case: Case) -> None:
    """⟨W x, y⟩ = ⟨x, W* y⟩, with W* read off the derivative, and W** = W."""
    x, w = case.operands(seed=3)
    given, filter = sf.Variable(x), sf.constant(w)
    result = CONVOLUTIONS[len(case.size)](
        given, filter, case.strides, case.padding, dilations=case.steps
    )
    assert result.type is not None
    y = sf.Variable(np.random.default_rng(4).normal(size=[int(s) for s in result.type.shape]))
    adjoint = sf.gradients(sf.reduce_sum(result * y), [given])[0]
    twice = sf.gradients(sf.reduce_sum(adjoint * given), [y])[0]
    left, right, again, value = evaluate(
        [sf.reduce_sum(result * y), sf.reduce_sum(given * adjoint), twice, result]
    )
    assert_allclose(left, right, rtol=1e-12)
    assert_allclose(again, value, rtol=1e-12)


# --- what others publish -------------------------------------------------------------------------


def test_same_padding_as_tensorflow_documents_it() -> None:
    """tf.nn, "Notes on padding": width 13, filter 6, stride 5 drops 2 entries or pads 1 and 2."""
    x = np.arange(1.0, 14.0).reshape(1, 13, 1)
    valid, same, largest = evaluate(
        [
            sf.nn.conv1d(x, np.ones((6, 1, 1)), 5, "VALID"),
            sf.nn.conv1d(x, np.ones((6, 1, 1)), 5, "SAME"),
            sf.nn.max_pool1d(x, 6, 5, "SAME"),
        ]
    )
    assert_array_equal(valid.ravel(), [21, 51])  # 1..6, 6..11
    assert_array_equal(same.ravel(), [15, 45, 46])  # 0,1..5, 5..10, 10..13,0,0
    assert_array_equal(largest.ravel(), [5, 10, 13])


def test_cross_correlation_is_numpys() -> None:
    """np.correlate slides without turning the filter round, as TensorFlow does."""
    random = np.random.default_rng(0)
    x, w = random.normal(size=11), random.normal(size=4)
    for mode, padding in (("valid", "VALID"), ("full", ((3, 3),))):
        found = evaluate(sf.nn.conv1d(x[None, :, None], w[:, None, None], 1, padding))
        assert_allclose(found.ravel(), np.correlate(x, w, mode))


def test_onnx_operator_specification() -> None:
    """The Conv examples: 3 × 3 of ones over 0..24, with and without padding, and with strides.

    The figures are those of the tests of the ONNX standard (Apache-2.0).
    """
    x = np.arange(25.0).reshape(1, 1, 5, 5)
    ones = np.ones((3, 3, 1, 1))
    padded = [
        [12, 21, 27, 33, 24],
        [33, 54, 63, 72, 51],
        [63, 99, 108, 117, 81],
        [93, 144, 153, 162, 111],
        [72, 111, 117, 123, 84],
    ]
    same, valid = (
        evaluate(sf.nn.conv2d(x, ones, 1, padding, data_format="NCHW"))
        for padding in ("SAME", "VALID")
    )
    assert_array_equal(same[0, 0], padded)
    assert_array_equal(valid[0, 0], [[54, 63, 72], [99, 108, 117], [144, 153, 162]])
    x = np.arange(35.0).reshape(1, 1, 7, 5)
    strided = evaluate(sf.nn.conv2d(x, ones, 2, ((1, 1), (1, 1)), data_format="NCHW"))
    assert_array_equal(
        strided[0, 0], [[12, 27, 24], [63, 108, 81], [123, 198, 141], [112, 177, 124]]
    )


def test_onnx_average_without_padding_and_maximum() -> None:
    """AveragePool and MaxPool on 1..25: windows of 5 with two entries around; SAME_UPPER."""
    x = np.arange(1.0, 26.0).reshape(1, 5, 5, 1)
    pads = ((2, 2), (2, 2))
    averages, largest = evaluate([sf.nn.avg_pool(x, 5, 1, pads), sf.nn.max_pool(x, 5, 1, pads)])
    assert_array_equal(
        averages[0, ..., 0],
        [
            [7, 7.5, 8, 8.5, 9],
            [9.5, 10, 10.5, 11, 11.5],
            [12, 12.5, 13, 13.5, 14],
            [14.5, 15, 15.5, 16, 16.5],
            [17, 17.5, 18, 18.5, 19],
        ],
    )
    assert_array_equal(
        largest[0, ..., 0],
        [[13, 14, 15, 15, 15], [18, 19, 20, 20, 20]] + [[23, 24, 25, 25, 25]] * 3,
    )
    averages, largest = evaluate(
        [pool(x, 3, 2, "SAME") for pool in (sf.nn.avg_pool, sf.nn.max_pool)]
    )
    assert_array_equal(averages[0, ..., 0], [[4, 5.5, 7], [11.5, 13, 14.5], [19, 20.5, 22]])
    assert_array_equal(largest[0, ..., 0], [[7, 9, 10], [17, 19, 20], [22, 24, 25]])


# --- formats, sizes, precision -------------------------------------------------------------------


@pytest.mark.parametrize("padding", ["SAME", "VALID", ((0, 0), (0, 0), (2, 1), (0, 1))])
def test_channels_first(padding: Any) -> None:
    random = np.random.default_rng(0)
    x, w = random.normal(size=(2, 6, 5, 3)), random.normal(size=(3, 2, 3, 4))
    last = padding if isinstance(padding, str) else ((0, 0), (2, 1), (0, 1), (0, 0))
    turned = x.transpose(0, 3, 1, 2)
    y = random.normal(size=(2, 6, 5, 4))
    pairs = [
        (
            sf.nn.conv2d(turned, w, (1, 1, 2, 1), padding, data_format="NCHW"),
            sf.nn.conv2d(x, w, (1, 2, 1, 1), last),
        ),
        (
            sf.nn.max_pool(turned, (1, 1, 3, 2), (1, 1, 2, 1), padding, data_format="NCHW"),
            sf.nn.max_pool(x, (1, 3, 2, 1), (1, 2, 1, 1), last),
        ),
        (
            sf.nn.avg_pool(turned, (3, 2), (2, 1), padding, "NCHW"),
            sf.nn.avg_pool(x, (3, 2), (2, 1), last),
        ),
        (
            sf.nn.depthwise_conv2d(turned, w, 1, "SAME", data_format="NCHW"),
            sf.nn.depthwise_conv2d(x, w, 1, "SAME"),
        ),
        (
            sf.nn.conv2d_transpose(
                y.transpose(0, 3, 1, 2), w, (2, 3, 6, 5), 1, "SAME", data_format="NCHW"
            ),
            sf.nn.conv2d_transpose(y, w, (2, 6, 5, 3), 1, "SAME"),
        ),
    ]
    for first, second in pairs:
        found, expected = evaluate([first, second])
        assert_allclose(found.transpose(0, 2, 3, 1), expected)


@pytest.mark.parametrize(("padding", "stride"), [("SAME", 1), ("VALID", 1), ("VALID", 2)])
def test_symbolic_lengths(padding: str, stride: int, compiled: Compiled) -> None:
    module = compiled(
        "import symflow as sf\n"
        'x = sf.placeholder(shape=("n", "t", 2))\n'
        "w = sf.Variable(sf.random_normal((3, 2, 4)))\n"
        f'y = sf.nn.conv1d(x, w, {stride}, "{padding}")\n'
        "loss = sf.reduce_sum(sf.square(y))\n"
    )
    p = module.initial_parameters()
    for rows, length in ((2, 3), (1, 8), (3, 7)):
        x = np.random.default_rng(length).normal(size=(rows, length, 2))
        expected = convolved(x, p.w, (stride,), padding, (1,))
        assert_allclose(module.y(p, x), expected)
        gradient = complex_step(
            lambda w, x=x: np.sum(convolved(x, w, (stride,), padding, (1,)) ** 2), [p.w], 0
        )
        assert_allclose(module.gradients(p, x).w, gradient, rtol=1e-10)


def test_placeholders_without_shape() -> None:
    x = sf.placeholder()
    w = np.random.default_rng(0).normal(size=(3, 3, 2, 4))
    result = sf.nn.max_pool(sf.nn.conv2d(x, w, 1, "SAME"), 2, 2, "SAME")
    for size in (5, 6):
        value = np.random.default_rng(size).normal(size=(2, size, size, 2))
        inner = convolved(value, w, (1, 1), "SAME", (1, 1))
        expected = pooled(inner, (2, 2), (2, 2), "SAME", largest)
        assert_allclose(evaluate(result, {x: value}), expected)


SINGLE = """\
import numpy as np

import symflow as sf

x = sf.placeholder(sf.float32, ("n", 6, 6, 2))
k = sf.placeholder(sf.int64, ("n", 4, 4, 1))
w = sf.Variable(sf.glorot_uniform((3, 3, 2, 4)))
v = sf.Variable(sf.glorot_uniform((2, 2, 4, 3)))
u = sf.Variable(sf.glorot_uniform((2, 2, 1, 3)))
offset, scale = sf.Variable(sf.zeros(3)), sf.Variable(sf.ones(3))

first = sf.nn.avg_pool(sf.nn.conv2d(x, w, 1, "SAME"), 3, 2, "SAME")
second = sf.nn.conv2d_transpose(first, w, ("n", 6, 6, 2), 2)
third = sf.nn.max_pool(sf.nn.conv2d(first, v, 1, "VALID"), 2, 1, "SAME")
counted = sf.nn.max_pool(k, 2, 2, "SAME") + sf.nn.avg_pool(k, 2, 2, "SAME")
whole = sf.nn.conv2d(k, u, 2, "VALID")
mean, variance = sf.nn.moments(third, [0, 1, 2])
normal = sf.nn.batch_normalization(third, mean, variance, offset, scale, 1e-3)
layer = sf.nn.l2_normalize(sf.nn.layer_norm(normal, offset, scale), axis=-1)
loss = sf.reduce_mean(sf.square(second)) + sf.reduce_mean(layer * counted * whole)
train_op = sf.train.GradientDescentOptimizer(0.1).minimize(loss)
"""


def test_single_precision_stays(compiled: Compiled) -> None:
    module = compiled(SINGLE)
    random = np.random.default_rng(0)
    x = random.normal(size=(3, 6, 6, 2)).astype(np.float32)
    k = random.integers(0, 9, (3, 4, 4, 1))
    p = module.initial_parameters()
    for name in ("first", "second", "third", "counted", "whole", "normal", "layer"):
        used = [x] if name in ("first", "second", "third", "normal") else [k]
        used = [x] if name == "layer" else used
        assert getattr(module, name)(p, *used).dtype == np.float32, name
    loss, d = module.loss_and_gradients(p, x, k)
    double = module.initial_parameters(dtype=np.float64)
    expected, exact = module.loss_and_gradients(double, x, k)
    assert_allclose(loss, expected, rtol=1e-5)
    for found, value in zip(d, exact, strict=True):
        assert found.dtype == np.float32
        assert value.dtype == np.float64
        assert_allclose(found, value, rtol=1e-3, atol=1e-5)
    result = module.train(p, x, k, steps=3)
    assert all(one.dtype == np.float32 for one in result.parameters)


# --- kinks and padding ---------------------------------------------------------------------------


def test_equal_entries_of_a_window_share() -> None:
    x = sf.Variable(np.array([[1.0, 1.0, 0.0], [0.0, 1.0, 2.0]])[None, :, :, None])
    loss = sf.reduce_sum(sf.nn.max_pool(x, 2, 1, "VALID"))
    (gradient,) = evaluate(sf.gradients(loss, [x]))
    assert_allclose(gradient[0, ..., 0], [[1 / 3, 1 / 3, 0], [0, 1 / 3, 1]])


@pytest.mark.parametrize("level", [-1e30, -1.0, 0.0])
def test_padding_never_wins(level: float) -> None:
    """Not even where all entries are equal to what padding might hold."""
    x = sf.Variable(np.full((1, 3, 3, 1), level))
    result = sf.nn.max_pool(x, 3, 2, "SAME")
    loss = sf.reduce_sum(sf.square(result))
    (first,) = sf.gradients(loss, [x])
    (second,) = sf.gradients(sf.reduce_sum(first), [x])
    value, gradient, again = evaluate([result, first, second])
    assert_array_equal(value, level)
    assert_allclose(gradient.sum(), 8 * level)  # four windows, each 2·level
    assert np.all(np.isfinite(again))


# --- errors --------------------------------------------------------------------------------------

ERRORS = (
    (
        lambda x, w: sf.nn.conv2d(x[0], w, 1, "SAME"),
        "conv2d: NHWC takes 4 axes, but the input is (6, 5, 2)",
    ),
    (
        lambda x, w: sf.nn.conv2d(x, w[0], 1, "SAME"),
        "conv2d: a filter has 4 axes: its size, then channels in and out; "
        "this one has shape (3, 2, 4)",
    ),
    (
        lambda x, w: sf.nn.conv2d(x, w[:, :, :1], 1, "SAME"),
        "the input has 2 channels, the filter takes 1",
    ),
    (
        lambda x, w: sf.nn.conv2d(x[:, :2], w, 1, "VALID"),
        "a window of 3 does not fit into axis 1, which has 2",
    ),
    (
        lambda x, w: sf.nn.conv2d(x, w, 1, "VALID", dilations=(1, 3)),
        "a window of 7 does not fit into axis 2, which has 5",
    ),
    (
        lambda x, w: sf.nn.conv2d(x, w, 0, "SAME"),
        "conv2d: strides is 0: use whole numbers from 1",
    ),
    (
        lambda x, w: sf.nn.conv2d(x, w, (2, 1, 1, 1), "SAME"),
        "conv2d: strides is (2, 1, 1, 1): 1 along batch and channels",
    ),
    (
        lambda x, w: sf.nn.conv2d(x, w, (1, 1, 1), "SAME"),
        "conv2d: strides is (1, 1, 1): one number, 2, or 4",
    ),
    (
        lambda x, w: sf.nn.conv2d(x, w, 1, "FULL"),
        "conv2d: padding is 'FULL': use 'SAME', 'VALID' or pairs of numbers",
    ),
    (
        lambda x, w: sf.nn.conv2d(x, w, 1, 1),
        "conv2d: padding is 1: use 'SAME', 'VALID' or pairs of numbers",
    ),
    (
        lambda x, w: sf.nn.conv2d(x, w, 1, ((1, 1), (-1, 0))),
        "conv2d: padding is ((1, 1), (-1, 0)): 2 pairs of numbers from 0, before and after",
    ),
    (
        lambda x, w: sf.nn.conv2d(x, w, 1, "SAME", data_format="NWC"),
        "conv2d: data_format is 'NWC': use NHWC or NCHW",
    ),
    (
        lambda x, w: sf.nn.max_pool(x, 2.5, 1, "SAME"),
        "max_pool: ksize is 2.5: use whole numbers from 1",
    ),
    (
        lambda x, w: sf.nn.max_pool(x, 2, 1, ((2, 0), (0, 0))),
        "max_pool: padding is ((2, 0), (0, 0)): some windows would hold nothing but padding",
    ),
    (
        lambda x, w: sf.nn.max_pool(sf.placeholder(shape=("n", "h", 4, 1)), 2, 2, "SAME"),
        "padding SAME with stride 2 depends on the size of axis 1, which is h: "
        "give it as a number, or use VALID",
    ),
    (
        lambda x, w: sf.nn.avg_pool(sf.placeholder(shape=("n", "h", 4, 1)), 2, 1, "SAME"),
        "how many entries a padded window has depends on the size of axis 1, which is h: "
        "give it as a number, or use VALID",
    ),
    (
        lambda x, w: sf.nn.conv2d_transpose(x, w, (None, 6, 5, 2), 1),
        "the input has 2 channels, the filter gives 4",
    ),
    (
        lambda x, w: sf.nn.conv2d_transpose(
            sf.placeholder(shape=("n", 6, 5, 4)), w, ("n", 12, 11, 2), 2
        ),
        "(n, 12, 11, 2) has (6, 6) windows, the input has (6, 5)",
    ),
    (
        lambda x, w: sf.nn.conv2d_transpose(x, w, (6, 5), 1),
        "conv2d_transpose: output_shape is (6, 5): use 4 numbers, the first may be None",
    ),
)


@pytest.mark.parametrize(("wrong", "message"), ERRORS, ids=[text for _, text in ERRORS])
def test_errors(wrong: Callable[[Any, Any], Any], message: str) -> None:
    x = sf.placeholder(shape=("n", 6, 5, 2), name="x")
    w = sf.Variable(np.zeros((3, 3, 2, 4)), name="w")
    with pytest.raises(sf.SymflowError) as error:
        wrong(x, w)
    assert error.value.message.endswith(message)


def test_error_names_the_operands() -> None:
    x = sf.placeholder(shape=("n", 6, 5, 2), name="x")
    w = sf.Variable(np.zeros((3, 3, 3, 4)), name="w")
    with pytest.raises(sf.SymflowError, match=r"conv2d: x is \(n, 6, 5, 2\) and w is \(3, 3, 3, 4"):
        sf.nn.conv2d(x, w, 1, "SAME")


# --- normalisation -------------------------------------------------------------------------------


@pytest.mark.parametrize("axes", [0, [0, 1], [-1], None])
@pytest.mark.parametrize("keepdims", [False, True])
def test_moments(axes: Any, keepdims: bool) -> None:
    x = np.random.default_rng(0).normal(size=(4, 3, 2)) + 1e6
    mean, variance = evaluate(list(sf.nn.moments(x, axes, keepdims=keepdims)))
    axis = axes if axes is None or isinstance(axes, int) else tuple(axes)
    assert_allclose(mean, np.mean(x, axis=axis, keepdims=keepdims), rtol=1e-14)
    assert_allclose(variance, np.var(x, axis=axis, keepdims=keepdims), rtol=1e-9)


def normalized(x: Array, axis: Any, offset: Any, scale: Any, epsilon: float) -> Array:
    mean = np.mean(x, axis=axis, keepdims=True)
    variance = np.mean((x - mean) ** 2, axis=axis, keepdims=True)
    return scale * (x - mean) / np.sqrt(variance + epsilon) + offset


@pytest.mark.parametrize("epsilon", [1e-3, 1.0])
def test_batch_normalization(epsilon: float) -> None:
    random = np.random.default_rng(0)
    operands = [random.normal(size=shape) for shape in ((4, 2, 3), (3,), (3,))]

    def function(x: Any, offset: Any, scale: Any) -> Any:
        mean, variance = sf.nn.moments(x, [0, 1])
        return sf.nn.batch_normalization(x, mean, variance, offset, scale, epsilon)

    compare(
        function, lambda x, offset, scale: normalized(x, (0, 1), offset, scale, epsilon), operands
    )


def test_gradient_of_batch_normalization_in_closed_form() -> None:
    """Ioffe and Szegedy (2015), section 3: the chain rule through mean and variance."""
    random = np.random.default_rng(0)
    x, d = random.normal(size=(6, 4)), random.normal(size=(6, 4))
    node = sf.Variable(x)
    mean, variance = sf.nn.moments(node, [0])
    result = sf.nn.batch_normalization(node, mean, variance, None, None, 1e-3)
    (found,) = evaluate(sf.gradients(sf.reduce_sum(result * d), [node]))
    root = np.sqrt(x.var(axis=0) + 1e-3)
    hat = (x - x.mean(axis=0)) / root
    expected = (d - d.mean(axis=0) - hat * np.mean(d * hat, axis=0)) / root
    assert_allclose(found, expected, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("axes", [-1, (1, 2)])
def test_layer_norm(axes: Any) -> None:
    random = np.random.default_rng(0)
    operands = [random.normal(size=shape) for shape in ((4, 2, 3), (3,), (3,))]
    compare(
        lambda x, offset, scale: sf.nn.layer_norm(x, offset, scale, axes),
        lambda x, offset, scale: normalized(x, axes, offset, scale, 1e-5),
        operands,
    )


def test_variance_zero() -> None:
    """A constant batch is normalised to its offset, and every derivative is finite."""
    x = sf.Variable(np.full((3, 4), 7.0))
    offset = np.arange(4.0)
    for result in (
        sf.nn.batch_normalization(x, *sf.nn.moments(x, [0]), offset, 2.0, 1e-3),
        sf.nn.layer_norm(x, offset, variance_epsilon=1e-3),
    ):
        loss = sf.reduce_sum(result * np.arange(12.0).reshape(3, 4))
        (first,) = sf.gradients(loss, [x])
        (second,) = sf.gradients(sf.reduce_sum(sf.square(first)), [x])
        value, gradient, again = evaluate([result, first, second])
        assert_array_equal(value, np.broadcast_to(offset, (3, 4)))
        assert_allclose(gradient.sum(), 0.0, atol=1e-9)
        assert np.any(gradient != 0.0)
        assert np.all(np.isfinite(again))


@pytest.mark.parametrize("axis", [None, 0, -1, (0, 2)])
def test_l2_normalize(axis: Any) -> None:
    def reference(x: Array) -> Array:
        return x / np.sqrt(np.sum(x * x, axis=axis, keepdims=True))

    compare(
        lambda x: sf.nn.l2_normalize(x, axis),
        reference,
        [np.random.default_rng(0).normal(size=(3, 2, 4))],
    )


def test_l2_normalize_at_zero() -> None:
    x = sf.Variable(np.zeros(3))
    result = sf.nn.l2_normalize(x, epsilon=1e-4)
    value, gradient = evaluate([result, sf.gradients(sf.reduce_sum(result), [x])[0]])
    assert_array_equal(value, 0.0)
    assert_allclose(gradient, 100.0)


# --- what is printed -----------------------------------------------------------------------------


def test_a_convolution_is_one_product_forward_and_two_back(compiled: Compiled) -> None:
    """And the windows are taken once."""
    module = compiled(
        "import symflow as sf\n"
        'x = sf.placeholder(shape=("n", 8, 8, 3))\n'
        "w1 = sf.Variable(sf.random_normal((3, 3, 3, 4)))\n"
        "w2 = sf.Variable(sf.random_normal((3, 3, 4, 5)))\n"
        'hidden = sf.tanh(sf.nn.conv2d(x, w1, 1, "VALID"))\n'
        'loss = sf.reduce_sum(sf.square(sf.nn.conv2d(hidden, w2, 1, "VALID")))\n',
        "plain",
    )
    with open(module.__file__, encoding="utf-8") as file:
        body = file.read().partition("def _loss_and_gradients")[2].partition("# ---")[0]
    assert "einsum" not in body
    assert body.count("tensordot(") + body.count(" @ ") == 5  # two, and two for w2, one for w1
    assert body.count("_windows(") == 2
    assert body.count("_overlap_added(") == 1


def test_a_transposed_product_is_a_product(compiled: Compiled) -> None:
    """Of the transposed factors; nothing is moved."""
    module = compiled(
        "import symflow as sf\n"
        'a, b = sf.placeholder(shape=("n", 3)), sf.placeholder(shape=(3, "m"))\n'
        "z = sf.transpose(a @ b)\n"
    )
    a, b = np.arange(6.0).reshape(2, 3), np.arange(12.0).reshape(3, 4)
    assert_allclose(module.z(a, b), (a @ b).T)
    with open(module.__file__, encoding="utf-8") as file:
        assert "= b.T @ a.T" in file.read()


@pytest.mark.parametrize(
    ("subscripts", "expected"),
    [
        ("nkc,kco->no", "np.reshape(a, (2, 12)) @ np.reshape(b, (12, 5))"),
        ("nkc,nko->co", "np.reshape(a, (6, 4)).T @ np.reshape(b, (6, 5))"),
        ("nkc,nkco->o", "np.reshape(a, (24,)) @ np.reshape(b, (24, 5))"),
        ("nc,koc->nko", "np.reshape(a @ np.reshape(b, (15, 4)).T, (2, 3, 5))"),
        ("nkc,co->nko", "= a @ b"),
        ("nkc,nc->nk", "(a @ b[:, :, None])[:, :, 0]"),
        ("nkc,noc->kno", "np.transpose(a @ np.swapaxes(b, -1, -2), (1, 0, 2))"),
        ("nkc,onc->nko", "a @ np.transpose(b, (1, 2, 0))"),
        ("nkc,ck->nk", 'np.einsum("ijk,kj->ij", a, b)'),
        ("nkc,ock->no", "np.tensordot(a, b, axes=((1, 2), (2, 1)))"),
    ],
)
def test_axes_that_stay_together_are_one_in_a_product(
    subscripts: str, expected: str, compiled: Compiled
) -> None:
    size = dict(zip("nkco", (2, 3, 4, 5), strict=True))
    inputs = subscripts.partition("->")[0]
    shapes = [tuple(size[letter] for letter in term) for term in inputs.split(",")]
    module = compiled(
        "import symflow as sf\n"
        f"a, b = sf.placeholder(shape={shapes[0]}), sf.placeholder(shape={shapes[1]})\n"
        f'z = sf.einsum("{subscripts}", a, b)\n'
    )
    a, b = (np.random.default_rng(0).normal(size=shape) for shape in shapes)
    assert_allclose(module.z(a, b), np.einsum(subscripts, a, b))
    with open(module.__file__, encoding="utf-8") as file:
        source = file.read()
    assert expected in source


def test_all_contractions_of_two_matrices_and_a_cube() -> None:
    """Every order of axes, sizes of one among them, against NumPy's einsum."""
    random = np.random.default_rng(0)
    for sizes in ((2, 3, 4, 5), (2, 1, 4, 5), (2, 3, 4, 1), (1, 3, 4, 5)):
        size = dict(zip("ijkl", sizes, strict=True))
        for left, right in itertools.product(("ijk", "kij", "jki"), ("jkl", "klj", "lkj", "kl")):
            free = "".join(sorted(set(left) ^ set(right)))
            for output in {free, free[::-1], free[1:] + free[:1]}:
                text = f"{left},{right}->{output}"
                a, b = (random.normal(size=[size[one] for one in t]) for t in (left, right))
                x, y = sf.placeholder(shape=a.shape), sf.placeholder(shape=b.shape)
                found = evaluate(sf.einsum(text, x, y), {x: a, y: b})
                assert_allclose(found, np.einsum(text, a, b), rtol=1e-12, err_msg=text)
