"""Every row of the elementwise table against its own maths, in 30 digits; conventions; stability.

The first tests are driven by the table: an operation that is added to it is tested by it.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import accuracy
import mpmath
import numpy as np
import pytest
import sympy as sp
from numpy.testing import assert_allclose, assert_array_equal
from numpy.typing import NDArray
from reference import precision_within

import symflow as sf
import symflow.session
from symflow.elementwise import Elementwise
from symflow.graph import apply
from symflow.rows import ROWS

Array = NDArray[Any]

ROW_LIST = list(ROWS.values())
BINARY = [row for row in ROW_LIST if len(row.domain) > 1]
WHOLE = {"bool": np.bool_, "int": np.int64}
DIFFERENTIABLE = [row for row in ROW_LIST if row.result not in WHOLE]
NUMPY_NAMES = {
    "add": "add",
    "multiply": "multiply",
    "divide": "divide",
    "subtract": "subtract",
    "maximum": "maximum",
    "pow": "power",
    "hypot": "hypot",
    "logaddexp": "logaddexp",
    "atan2": "arctan2",
    "floormod": "mod",
}
PATTERNS = [(), (3,), (2, 3), (2, 1), (1, 3), (4, 2, 3)]


def named(value: Any) -> str | None:
    return getattr(value, "name", None)


@pytest.fixture
def printed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The source of everything that sessions compile."""
    texts: list[str] = []
    original = symflow.session.session_source

    def recorded(*args: Any, **kwargs: Any) -> Any:
        found = original(*args, **kwargs)
        texts.append(found[0])
        return found

    monkeypatch.setattr(symflow.session, "session_source", recorded)
    return texts


def draw(row: Elementwise, shapes: list[tuple[int, ...]], seed: int = 0) -> list[Array]:
    """Random operands from the row's domain; predicates meet ties, conditions are 0 or 1."""
    rng = np.random.default_rng(seed)
    found = []
    for number, ((low, high), shape) in enumerate(zip(row.domain, shapes, strict=True)):
        values = rng.uniform(low, high, shape)
        whole = row.result == "bool" or number < row.result_from
        found.append(np.round(values) if whole else values)
    return found


def exact(row: Elementwise, operands: list[Array], *by: int) -> Array:
    """The row's maths, differentiated by the operands `by`, evaluated with 30 digits."""
    points = [np.ravel(operand) for operand in np.broadcast_arrays(*operands)]
    shape = np.broadcast_shapes(*(np.shape(operand) for operand in operands))
    return np.array([float(one) for one in accuracy.exact(row, points, by, 30)]).reshape(shape)


def reduced(gradient: Array, shape: tuple[int, ...]) -> Array:
    """The adjoint of broadcasting: summed over the axes along which an operand was repeated."""
    extra = gradient.ndim - len(shape)
    repeated = [axis + extra for axis, size in enumerate(shape) if size == 1]
    return gradient.sum((*range(extra), *repeated)).reshape(shape)


def flat(lists: list[list[Any]]) -> list[Any]:
    return list(itertools.chain.from_iterable(lists))


def run(fetches: Any, placeholders: list[Any], values: list[Array]) -> Any:
    fed = [
        np.asarray(value, x.dtype) if x.kind == "bool" else value
        for x, value in zip(placeholders, values, strict=True)
    ]
    with sf.Session() as session:
        return session.run(fetches, dict(zip(placeholders, fed, strict=True)))


def accepted(row: Elementwise, shape: Any, dtype: Any = sf.float64, name: str | None = None) -> Any:
    """A placeholder of the kind that the row takes."""
    return sf.placeholder(sf.bool if row.takes == "booleans" else dtype, shape, name)


def gradients_at(function: Callable[..., Any], *values: Any) -> tuple[Array, list[Array]]:
    """A function of tensors at a point, and the gradient of its sum by every operand."""
    arrays = [np.asarray(value, float) for value in values]
    x = [sf.placeholder(sf.float64, array.shape) for array in arrays]
    y = function(*x)
    value, *slopes = run([y, *sf.gradients(sf.reduce_sum(y), x)], x, arrays)
    return value, slopes


# --- the table -------------------------------------------------------------------------------

INTERNAL = (
    *("root_of_squares", "difference_of_squares", "xlogx", "log1mexp", "exp_over_expm1"),
    *(
        "xlog1py",
        "inverse_mills",
        "log_erfc",
        "erfc_hazard",
        "log_cosh",
        "exprel",
        "exprel_slope",
        "exprel_curvature",
        "log_rising",
        "polygamma_change",
    ),
    *(
        "masked_product",
        "masked_quotient",
        "logistic",
        "logistic_slope",
        "hyperbolic_tangent",
        "fraction",
        "hill",
        "hill_slope",
    ),
    *("log1prel", "log1prel_slope", "log1prel_curvature", "sinc", "sinc_slope", "sinc_curvature"),
)


@pytest.mark.parametrize("row", ROW_LIST, ids=named)
def test_a_row_draws_as_many_operands_as_it_takes(row: Elementwise) -> None:
    assert row.arity == len(row.domain)


@pytest.mark.parametrize("row", ROW_LIST, ids=named)
def test_a_row_is_offered_under_its_name_and_documented(row: Elementwise) -> None:
    assert row.doc.endswith(".")
    if row.name in INTERNAL:
        return  # what a formula becomes where symflow finds a better way to compute it
    operands = [accepted(row, (3,)) for _ in row.domain]
    assert getattr(sf, row.name)(*operands).operation is row


@pytest.mark.parametrize("row", ROW_LIST, ids=named)
def test_forward(row: Elementwise) -> None:
    values = draw(row, [(40,)] * len(row.domain))
    x = [accepted(row, ("n",)) for _ in values]
    result = run(apply(row, x), x, values)
    assert result.dtype == WHOLE.get(row.result, np.float64)
    assert_allclose(result, exact(row, values), rtol=1e-14, atol=1e-15)


@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("row", DIFFERENTIABLE, ids=named)
def test_derivatives(row: Elementwise, order: int) -> None:
    values = draw(row, [(40,)] * len(row.domain), seed=order)
    x = [sf.placeholder(sf.float64, ("n",)) for _ in values]
    operands = range(len(x))
    wanted = list(itertools.product(operands, repeat=order))
    fetches = []
    for by in wanted:
        y = apply(row, x)
        for operand in by:
            (y,) = sf.gradients(sf.reduce_sum(y), x[operand])
        fetches.append(y)
    for by, result in zip(wanted, run(fetches, x, values), strict=True):
        assert_allclose(result, exact(row, values, *by), rtol=1e-12, atol=1e-14, err_msg=str(by))


@pytest.mark.parametrize("row", [row for row in ROW_LIST if row.result in WHOLE], ids=named)
def test_predicates_have_no_derivative(row: Elementwise) -> None:
    x = [accepted(row, (3,), name=name) for name in ["x", "y"][: len(row.domain)]]
    told = "x holds booleans" if row.takes == "booleans" else "x .*only through this"
    with pytest.raises(sf.SymflowError, match=told):
        sf.gradients(sf.reduce_sum(sf.to_float(apply(row, x))), x)


@pytest.mark.parametrize("row", BINARY, ids=named)
def test_broadcasting(row: Elementwise) -> None:
    """Every pattern of shapes against every other: values, and gradients of a weighted sum."""
    operands = range(len(row.domain))
    pools = [
        draw(row, [shape] * len(row.domain), seed=number) for number, shape in enumerate(PATTERNS)
    ]
    x = [[accepted(row, shape) for _ in operands] for shape in PATTERNS]
    combinations = list(itertools.product(range(len(PATTERNS)), repeat=len(row.domain)))
    weights = np.random.default_rng(1).uniform(1, 2, (4, 2, 3))
    fetches, expected = [], []
    for combination in combinations:
        chosen = [x[pattern][operand] for operand, pattern in enumerate(combination)]
        values = [pools[pattern][operand] for operand, pattern in enumerate(combination)]
        shape = np.broadcast_shapes(*(value.shape for value in values))
        weight = weights[(0,) * (3 - len(shape))][tuple(map(slice, shape))]
        z = apply(row, chosen)
        fetches.append(z)
        expected.append(np.broadcast_to(numpy_maths(row)(*values), shape))
        if row.result not in WHOLE:
            fetches += sf.gradients(sf.reduce_sum(z * weight), chosen)
            expected += [
                reduced(weight * numpy_maths(row, operand)(*values), values[operand].shape)
                for operand in operands
            ]
    results = run(fetches, flat(x), flat(pools))
    for result, right in zip(results, expected, strict=True):
        assert np.shape(result) == right.shape
        assert_allclose(result, right, rtol=1e-12, atol=1e-13)


def numpy_maths(row: Elementwise, *by: int) -> Callable[..., Any]:
    """The row's maths, or a derivative of it, as a NumPy function."""
    variables = accuracy.symbols(row)
    function = sp.lambdify(variables, accuracy.derived(row, variables, by), ["numpy", "scipy"])
    return lambda *values: function(*np.broadcast_arrays(*values))


@pytest.mark.parametrize("row", ROW_LIST, ids=named)
def test_single_precision_stays_single(row: Elementwise, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the compiled code itself, not by a conversion at its end."""
    monkeypatch.setattr(sf.Session, "_typed", lambda session, result, tensor: result)
    values = draw(row, [(5,)] * len(row.domain))
    x = [accepted(row, ("n",), sf.float32) for _ in values]
    y = apply(row, x)
    fetches = [y]
    if row.result not in WHOLE:
        scaled = sf.reduce_mean(0.1 * y + 1 / 3)
        first = sf.gradients(scaled, x)
        fetches += [scaled, *first, *sf.gradients(sf.reduce_sum(first[-1]), x)]
    results = run(fetches, x, values)
    wanted = WHOLE.get(row.result, np.float32)
    assert [precision_within(one, wanted) for one in results] == [wanted] * len(results)
    assert_allclose(results[0], exact(row, values), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("other", [sf.int64, sf.bool, sf.int32], ids=str)
@pytest.mark.parametrize("name", NUMPY_NAMES)
def test_single_precision_stays_single_beside_whole_numbers(
    name: str, other: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sf.Session, "_typed", lambda session, result, tensor: result)
    x, k = sf.placeholder(sf.float32, (3,)), sf.placeholder(other, (3,))
    y = apply(ROWS[name], [x, k])
    one = np.ones(3, other)
    value, gradient = run(
        [y, *sf.gradients(sf.reduce_sum(y), x)], [x, k], [np.array([2.0, 3, 4]), one]
    )
    assert value.dtype == gradient.dtype == np.float32
    reference = getattr(np, NUMPY_NAMES[name])
    assert_allclose(value, reference(np.array([2.0, 3, 4]), one.astype(float)))


@pytest.mark.parametrize(
    "row", [row for row in ROW_LIST if row.result == "float" and len(row.domain) == 1], ids=named
)
def test_whole_numbers_become_floats_of_the_models_precision(row: Elementwise) -> None:
    k, x = sf.placeholder(sf.int64, ("n",)), sf.placeholder(sf.float32, ("n",))
    ones = np.array([1, 1])
    y = apply(row, [k])
    assert y.type is not None
    assert y.type.dtype == "float"
    if row.name != "atanh":  # infinite at 1
        assert_allclose(run(y * x, [k, x], [ones, ones]), exact(row, [ones]), rtol=1e-6, atol=1e-7)


# --- a row of one's own ----------------------------------------------------------------------


@pytest.fixture
def softsign(own_table: None) -> Any:
    return sf.operation("softsign", lambda x: x / (1 + sp.Abs(x)), doc="x / (1 + |x|).")


def test_an_operation_is_one_row(softsign: Any, printed: list[str]) -> None:
    values = np.array([-3.0, -0.5, 0.0, 0.25, 2.0])
    x = sf.placeholder(sf.float64, ("n",))
    y = softsign(x, name="squashed")
    (gradient,) = sf.gradients(sf.reduce_sum(y), x)
    (second,) = sf.gradients(sf.reduce_sum(gradient), x)
    value, slope, curvature = run([y, gradient, second], [x], [values])
    assert_allclose(value, values / (1 + np.abs(values)), rtol=1e-15)
    assert_allclose(slope, (1 + np.abs(values)) ** -2, rtol=1e-15)
    assert_allclose(curvature, -2 * np.sign(values) * (1 + np.abs(values)) ** -3, rtol=1e-14)
    assert "np.abs(" in printed[0]
    assert y.name == "squashed"
    assert y.operation.name == softsign.__name__ == "softsign"


@pytest.mark.parametrize(
    ("maths", "at", "value", "gradient"),
    [
        (lambda x: x - sp.floor(x), [2.25, -0.25], [0.25, 0.75], [1, 1]),
        (lambda x: x * sp.ceiling(x), [2.25, -0.25], [6.75, 0], [3, 0]),
        (lambda x: sp.Mod(x, 2), [2.25, -0.25], [0.25, 1.75], [1, 1]),
        (lambda x: sp.atan2(x, x), [0.0, 2], [0, np.pi / 4], [0, 0]),
        (lambda x: sp.sign(x) * x + sp.Max(x, 0), [-2.0, 2], [2, 4], [-1, 2]),
    ],
    ids=["floor", "ceiling", "Mod", "atan2", "sign and Max"],
)
@pytest.mark.usefixtures("own_table")
def test_functions_of_sympy_that_are_rows(
    maths: Any, at: list[float], value: list[float], gradient: list[float]
) -> None:
    result, (slope,) = gradients_at(sf.operation("own", maths), at)
    assert_allclose(result, value, rtol=1e-15)
    assert_allclose(slope, gradient, rtol=1e-15)


def test_the_derivative_of_a_choice_is_a_choice_of_derivatives(printed: list[str]) -> None:
    x = sf.placeholder(sf.float32, ("n",))
    (slope,) = sf.gradients(sf.reduce_sum(sf.leaky_relu(x)), x)
    assert_allclose(run(slope, [x], [np.array([-1.0, 0, 2])]), [0.2, 0.2, 1], rtol=1e-7)
    assert printed[0].count("np.where") == 1


@pytest.mark.usefixtures("own_table")
def test_an_operation_of_two_operands_broadcasts() -> None:
    hypot = sf.operation("hypotenuse", lambda x, y: sp.sqrt(x**2 + y**2), domain=((1, 2),) * 2)
    value, (dx, dy) = gradients_at(hypot, [[3.0], [6.0]], [4.0, 8.0])
    wide, high = np.array([[3.0], [6.0]]), np.array([4.0, 8.0])
    length = np.hypot(wide, high)
    assert_allclose(value, length)
    assert_allclose(dx, (wide / length).sum(1, keepdims=True))
    assert_allclose(dy, (high / length).sum(0))


def test_a_name_is_given_once(softsign: Any) -> None:
    with pytest.raises(sf.SymflowError, match="softsign exists already"):
        sf.operation("softsign", lambda x: x)


def test_an_operation_counts_its_operands(softsign: Any) -> None:
    with pytest.raises(sf.SymflowError, match=r"softsign\(x\): too many positional arguments"):
        softsign(1.0, 2.0)


@pytest.mark.parametrize(
    "maths", [lambda x: x > 0, lambda x: x * sp.Symbol("stranger")], ids=["relation", "free symbol"]
)
@pytest.mark.usefixtures("own_table")
def test_maths_that_is_no_expression_in_its_operands_is_refused(maths: Any) -> None:
    with pytest.raises(sf.SymflowError, match="broken"):
        sf.operation("broken", maths)
    assert "broken" not in ROWS


# --- conventions at kinks --------------------------------------------------------------------

KINKS: list[tuple[str, Callable[..., Any], list[Any], Any, list[Any]]] = [
    ("relu", sf.relu, [[0.0, -1, 2]], [0, 0, 2], [[0, 0, 1]]),
    ("abs", sf.abs, [[0.0, -1, 2]], [0, 1, 2], [[0, -1, 1]]),
    ("sign", sf.sign, [[0.0, -1, 2]], [0, -1, 1], [[0, 0, 0]]),
    ("maximum", sf.maximum, [[1.0, 2], [1.0, 3]], [1, 3], [[0.5, 0], [0.5, 1]]),
    ("minimum", sf.minimum, [[1.0, 2], [1.0, 3]], [1, 2], [[0.5, 1], [0.5, 0]]),
    ("maximum of x and x", lambda x: sf.maximum(x, x), [[1.0, 2]], [1, 2], [[1, 1]]),
    ("reduce_max", sf.reduce_max, [[1.0, 3, 3, 3]], 3, [[0, 1 / 3, 1 / 3, 1 / 3]]),
    ("reduce_min", sf.reduce_min, [[1.0, 1, 3]], 1, [[0.5, 0.5, 0]]),
    (
        "reduce_max of rows",
        lambda x: sf.reduce_max(x, axis=1),
        [[[1.0, 1], [0, 2]]],
        [1, 2],
        [[[0.5, 0.5], [0, 1]]],
    ),
    ("where", lambda x, y: sf.where(x > 0, x, y), [[1.0, -1], [5, 6]], [1, 6], [[1, 0], [0, 1]]),
    ("guarded sqrt", lambda x: sf.where(x > 0, sf.sqrt(x), 0), [[-1.0, 4]], [0, 2], [[0, 0.25]]),
    (
        "guarded log",
        lambda x: sf.where(x > 0, sf.log(x), 0),
        [[0.0, 2]],
        [0, np.log(2)],
        [[0, 0.5]],
    ),
    ("guarded 1/x", lambda x: sf.where(x > 0, 1 / x, x), [[0.0, 2]], [0, 0.5], [[1, -0.25]]),
    ("0 to the power 2", sf.pow, [0.0, 2.0], 0, [0, 0]),
    ("negative base", sf.pow, [-2.0, 3.0], -8, [12, 0]),
    ("cbrt", sf.cbrt, [[-8.0, 27]], [-2, 3], [[1 / 12, 1 / 27]]),
    ("hypot", sf.hypot, [[0.0, 3], [0.0, 4]], [0, 5], [[0, 0.6], [0, 0.8]]),
    ("atan2", sf.atan2, [[0.0, 1], [0.0, 0]], [0, np.pi / 2], [[0, 0], [0, -1]]),
    (
        "xlogy",
        sf.xlogy,
        [[0.0, 0, 0, 2], [0.0, -1, 3, 0.5]],
        [0, 0, 0, -2 * np.log(2)],
        [[0, 0, np.log(3), -np.log(2)], [0, 0, 0, 4]],
    ),
    ("xlogy of x and x", lambda x: sf.xlogy(x, x), [[0.0, 1]], [0, 0], [[0, 1]]),
    ("xlogy of 0 and x", lambda x: x + sf.xlogy(0.0, x), [[0.0, 1]], [0, 1], [[1, 1]]),
    ("floor", sf.floor, [[2.5, -2.5, 3]], [2, -3, 3], [[0, 0, 0]]),
    ("ceil", sf.ceil, [[2.5, -2.5, 3]], [3, -2, 3], [[0, 0, 0]]),
    ("round", sf.round, [[0.5, 1.5, 2.5, -2.5]], [0, 2, 2, -2], [[0, 0, 0, 0]]),
    ("round of a number", lambda x: x * sf.round(2.5), [1.0], 2, [2]),
    ("floormod", sf.floormod, [[7.0, -7], [3.0, 3]], [1, 2], [[1, 1], [-2, 3]]),
    (
        "clip_by_value",
        lambda x: sf.clip_by_value(x, -1.0, 2.0),
        [[-1.0, 2, 0, -3, 5]],
        [-1, 2, 0, -1, 2],
        [[1, 1, 1, 0, 0]],
    ),
    (
        "clip_by_value between tensors",
        sf.clip_by_value,
        [[-1.0, 2, -3, 5], [-1.0, -1, -1, -1], [2.0, 2, 2, 2]],
        [-1, 2, -1, 2],
        [[1, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]],
    ),
    ("leaky_relu", sf.leaky_relu, [[0.0, -1, 2]], [0, -0.2, 2], [[0.2, 0.2, 1]]),
    ("slope of leaky_relu", sf.leaky_relu, [[-1.0, 2], 0.5], [-0.5, 2], [[0.5, 1], -1]),
    ("relu6", sf.relu6, [[0.0, 6, 3, 7, -1]], [0, 6, 3, 6, 0], [[0, 0, 1, 0, 0]]),
    ("hard_sigmoid", sf.hard_sigmoid, [[-2.5, 2.5, 0, 3]], [0, 1, 0.5, 1], [[0.2, 0.2, 0.2, 0]]),
    ("hard_tanh", sf.hard_tanh, [[-1.0, 1, 0.5, 2]], [-1, 1, 0.5, 1], [[1, 1, 1, 0]]),
    ("elu", sf.elu, [[0.0, -1, 2]], [0, np.expm1(-1), 2], [[1, np.exp(-1), 1]]),
    ("elu of 2", lambda x: sf.elu(x, 2.0), [[0.0, 1]], [0, 1], [[1, 1]]),
    ("selu", sf.selu, [[0.0, 1]], [0, 1.0507009873554805], [[1.0507009873554805] * 2]),
]


@pytest.mark.parametrize(
    ("function", "at", "value", "gradient"), [case[1:] for case in KINKS], ids=[c[0] for c in KINKS]
)
def test_conventions(
    function: Callable[..., Any], at: list[Any], value: Any, gradient: list[Any]
) -> None:
    result, slopes = gradients_at(function, *at)
    assert_allclose(result, value, rtol=1e-15)
    for slope, right in zip(slopes, gradient, strict=True):
        assert_allclose(slope, right, rtol=1e-15)


# --- stable values ---------------------------------------------------------------------------


def naive_softmax(x: Any) -> Any:
    return sf.exp(x) / sf.reduce_sum(sf.exp(x), axis=-1, keepdims=True)


def naive_cross_entropy(x: Any) -> Any:
    p = sf.sigmoid(x)
    return -(0.25 * sf.log(p) + 0.75 * sf.log(1 - p))


SHARE = np.exp(-1.0) / (1 + np.exp(-1.0))
SCALE = 1.0507009873554805  # of selu
ASINH = float(np.arcsinh(1e200))
STEEP = 1 / np.sqrt(2 - 2**-40)
STABLE: list[tuple[str, Callable[..., Any], Any, Any, Any]] = [
    ("sigmoid", sf.sigmoid, [800.0, -800, 0], [1, 0, 0.5], [0, 0, 0.25]),
    ("naive sigmoid", lambda x: 1 / (1 + sf.exp(-x)), [800.0, -800, 0], [1, 0, 0.5], [0, 0, 0.25]),
    ("softplus", sf.softplus, [800.0, -800, 0], [800, 0, np.log(2)], [1, 0, 0.5]),
    ("log(1+exp)", lambda x: sf.log(1 + sf.exp(x)), [800.0, -800], [800, 0], [1, 0]),
    ("log(exp+1)", lambda x: sf.log(sf.exp(x) + 1.0), [800.0, -800], [800, 0], [1, 0]),
    ("log sigmoid", lambda x: sf.log(sf.sigmoid(x)), [-800.0, 800], [-800, 0], [1, 0]),
    ("log(1-sigmoid)", lambda x: sf.log(1 - sf.sigmoid(x)), [-800.0, 800], [0, -800], [0, -1]),
    ("tanh", sf.tanh, [400.0, -400], [1, -1], [0, 0]),
    ("log_sigmoid", sf.log_sigmoid, [-800.0, 800, 0], [-800, 0, -np.log(2)], [1, 0, 0.5]),
    ("logaddexp", lambda x: sf.logaddexp(x[0], x[1]), [1e3, 1e3], 1e3 + np.log(2), [0.5, 0.5]),
    ("logaddexp apart", lambda x: sf.logaddexp(x[0], x[1]), [-1000.0, 1000], 1000, [0, 1]),
    ("swish", sf.swish, [800.0, -800, 0], [800, 0, 0], [1, 0, 0.5]),
    ("gelu", sf.gelu, [800.0, -800, 0], [800, 0, 0], [1, 0, 0.5]),
    ("elu", sf.elu, [800.0, -800], [800, -1], [1, 0]),
    ("elu below", sf.elu, [-40.0], [-1], [np.exp(-40)]),
    ("selu", sf.selu, [800.0, -800], [840.5607898843844, -1.7580993408473766], [SCALE, 0]),
    ("expm1 below", sf.expm1, [-40.0], [-1], [np.exp(-40)]),
    ("asinh", sf.asinh, [1e200, -1e200, 1e-200], [ASINH, -ASINH, 1e-200], [1e-200, 1e-200, 1]),
    ("hypot", lambda x: sf.hypot(x[0], x[1]), [3e200, 4e200], 5e200, [0.6, 0.8]),
    ("tiny hypot", lambda x: sf.hypot(x[0], x[1]), [3e-200, 4e-200], 5e-200, [0.6, 0.8]),
    ("acos", sf.acos, [1 - 2**-40], [np.sqrt(2**-39 + 2**-79 / 6)], [-(2**20) * STEEP]),
    ("asin", sf.asin, [2**-40 - 1], [np.sqrt(2**-39) - np.pi / 2], [2**20 * STEEP]),
    ("atanh", sf.atanh, [1 - 2**-40], [0.5 * np.log(2**41 - 1)], [2**40 * STEEP**2]),
    ("log of exp", lambda x: sf.log(sf.exp(x)), [1000.0, -1000], [1000, -1000], [1, 1]),
    ("naive cross entropy", naive_cross_entropy, [800.0, -800], [600, 200], [0.75, -0.25]),
    ("logsumexp", sf.reduce_logsumexp, [1000.0, 1000], 1000 + np.log(2), [0.5, 0.5]),
    ("logsumexp below", sf.reduce_logsumexp, [-1000.0, -1000], np.log(2) - 1000, [0.5, 0.5]),
    (
        "naive logsumexp",
        lambda x: sf.log(sf.reduce_sum(sf.exp(x))),
        [1000.0, 999],
        1000 - np.log(1 - SHARE),
        [1 - SHARE, SHARE],
    ),
    (
        "naive logsumexp below",
        lambda x: sf.log(sf.reduce_sum(sf.exp(x))),
        [-1000.0, -1001],
        -1000 - np.log(1 - SHARE),
        [1 - SHARE, SHARE],
    ),
    (
        "naive logsumexp of rows",
        lambda x: sf.log(sf.reduce_sum(sf.exp(x), axis=1)),
        [[1000.0, 1000], [-1000, -1000]],
        [1000 + np.log(2), np.log(2) - 1000],
        [[0.5, 0.5], [0.5, 0.5]],
    ),
    (
        "naive log of mean of exp",
        lambda x: sf.log(sf.reduce_mean(sf.exp(x))),
        [1000.0, 1000],
        1000,
        [0.5, 0.5],
    ),
    ("softmax", sf.softmax, [1000.0, 1000], [0.5, 0.5], [0, 0]),
    ("naive softmax", naive_softmax, [1000.0, 1000], [0.5, 0.5], [0, 0]),
    ("naive softmax below", naive_softmax, [-1000.0, -1000], [0.5, 0.5], [0, 0]),
    (
        "one of naive softmax",
        lambda x: naive_softmax(x)[0],
        [1000.0, 999],
        1 - SHARE,
        [SHARE * (1 - SHARE), -SHARE * (1 - SHARE)],
    ),
    ("log_softmax", lambda x: sf.log_softmax(x)[1], [1000.0, -1000], -2000, [-1, 1]),
    ("log of softmax", lambda x: sf.log(sf.softmax(x))[1], [1000.0, -1000], -2000, [-1, 1]),
    ("log of naive softmax", lambda x: sf.log(naive_softmax(x))[1], [1000.0, 0], -1000, [-1, 1]),
]


@pytest.mark.parametrize(
    ("function", "at", "value", "gradient"),
    [case[1:] for case in STABLE],
    ids=[case[0] for case in STABLE],
)
def test_stable(function: Callable[..., Any], at: Any, value: Any, gradient: Any) -> None:
    with np.errstate(invalid="raise"):
        result, (slope,) = gradients_at(function, at)
    assert_allclose(result, value, rtol=1e-14, atol=1e-300)
    assert_allclose(slope, gradient, rtol=1e-13, atol=1e-300)


@pytest.mark.parametrize(
    ("function", "reference"), [(sf.expm1, mpmath.expm1), (sf.log1p, mpmath.log1p)]
)
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_small_numbers_keep_their_digits(
    function: Callable[..., Any], reference: Callable[..., Any], dtype: Any
) -> None:
    values = np.array([1e-30, -1e-17, 1e-12, -1e-8, 1e-5, 0.1], dtype)
    x = sf.placeholder(dtype, values.shape)
    y = function(x)
    result, slope = run([y, *sf.gradients(sf.reduce_sum(y), x)], [x], [values])
    with mpmath.workdps(40):
        right = np.array([float(reference(float(value))) for value in values], dtype)
        slopes = np.array([float(mpmath.diff(reference, float(value))) for value in values], dtype)
    assert result.dtype == slope.dtype == dtype
    np.testing.assert_array_max_ulp(result, right, maxulp=2)
    np.testing.assert_array_max_ulp(slope, slopes, maxulp=2)


@pytest.mark.parametrize("labels", [[1.0, 0.0], [0.5, 0.5]])
def test_cross_entropies_of_extreme_logits(labels: list[float]) -> None:
    y = np.array(labels)

    def both(z: Any) -> Any:
        return sf.nn.softmax_cross_entropy_with_logits(
            labels=y, logits=z
        ) + sf.nn.sigmoid_cross_entropy_with_logits(labels=y, logits=z)

    z = np.array([-1000.0, 1000.0])
    value, (slope,) = gradients_at(both, z)
    assert_allclose(value, y[0] * 2000 + np.array([1000 * y[0], 1000 * (1 - y[1])]), rtol=1e-14)
    assert_allclose(slope, 2 * (np.array([0, 1]) - y) + np.array([0, 1]) - y, rtol=1e-14)


def test_equal_entries_of_a_broadcast_maximum_share() -> None:
    value, (dx, dy) = gradients_at(sf.maximum, [1.0, 2.0, 3.0], 2.0)
    assert_array_equal(value, [2, 2, 3])
    assert_array_equal(dx, [0, 0.5, 1])
    assert_array_equal(dy, 1.5)
