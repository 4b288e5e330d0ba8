"""Solvers against NumPy: values, complex steps of NumPy's own functions, SymPy's closed forms."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import mpmath
import numpy as np
import pytest
import sympy as sp
from numpy.testing import assert_allclose, assert_array_equal
from numpy.typing import NDArray
from reference import complex_step, evaluate

import symflow as sf
from symflow.checking import check
from symflow.testing import assert_valid

Array = NDArray[Any]
rng = np.random.default_rng(0)


def regular(*shape: int) -> Array:
    """Random matrices far from singular ones."""
    return rng.standard_normal(shape) + 3.0 * np.eye(shape[-1])


def definite(*shape: int) -> Array:
    """Random symmetric positive definite matrices."""
    root = regular(*shape)
    return root @ np.swapaxes(root, -1, -2)


def columns(matrix: Array, right: Array) -> Array:
    """NumPy's solve, with right sides that mean the same to NumPy 1 and 2."""
    wide = right[:, None] if right.ndim == 1 else right
    batch = np.broadcast_shapes(matrix.shape[:-2], wide.shape[:-2])
    found = np.linalg.solve(matrix, np.broadcast_to(wide, (*batch, *wide.shape[-2:])))
    return found[..., 0] if right.ndim == 1 else found


def transposed(matrix: Array) -> Array:
    return np.swapaxes(matrix, -1, -2)


def log_abs(matrix: Array) -> Array:
    """log |det|, analytic beside the real line."""
    det = np.linalg.det(matrix)
    return np.log(np.where(det.real < 0, -det, det))


Case = tuple[Callable[..., Any], Callable[..., Any], list[Array]]
CASES: dict[str, Case] = {
    "solve": (sf.matrix_solve, columns, [regular(3, 3), rng.random((3, 2))]),
    "solve, vector": (sf.linalg.solve, columns, [regular(3, 3), rng.random(3)]),
    "solve, one column": (sf.linalg.solve, columns, [regular(3, 3), rng.random((3, 1))]),
    "solve, batch": (sf.matrix_solve, columns, [regular(4, 3, 3), rng.random((4, 3, 2))]),
    "solve, two batches": (
        sf.matrix_solve,
        columns,
        [regular(2, 2, 3, 3), rng.random((2, 2, 3, 1))],
    ),
    "solve, square batch": (sf.matrix_solve, columns, [regular(3, 3, 3), rng.random((3, 3, 3))]),
    "solve, broadcast right": (
        sf.matrix_solve,
        columns,
        [regular(2, 4, 3, 3), rng.random((4, 3, 2))],
    ),
    "solve, broadcast matrix": (sf.matrix_solve, columns, [regular(3, 3), rng.random((4, 3, 2))]),
    "solve, batch of one": (sf.matrix_solve, columns, [regular(1, 3, 3), rng.random((4, 3, 2))]),
    "solve, vector for all": (sf.matrix_solve, columns, [regular(4, 3, 3), rng.random(3)]),
    "solve, 1 × 1": (sf.matrix_solve, columns, [regular(1, 1), rng.random((1, 1))]),
    "solve, adjoint": (
        lambda a, b: sf.matrix_solve(a, b, adjoint=True),
        lambda a, b: columns(transposed(a), b),
        [regular(4, 3, 3), rng.random((4, 3, 2))],
    ),
    "solve, adjoint, vector": (
        lambda a, b: sf.matrix_solve(a, b, True),
        lambda a, b: columns(a.T, b),
        [regular(3, 3), rng.random(3)],
    ),
    "inverse": (sf.matrix_inverse, np.linalg.inv, [regular(3, 3)]),
    "inverse, batch": (sf.linalg.inv, np.linalg.inv, [regular(2, 4, 3, 3)]),
    "inverse, adjoint": (
        lambda a: sf.matrix_inverse(a, adjoint=True),
        lambda a: np.linalg.inv(transposed(a)),
        [regular(2, 3, 3)],
    ),
    "determinant": (sf.matrix_determinant, np.linalg.det, [regular(3, 3)]),
    "determinant, negative": (sf.linalg.det, np.linalg.det, [-regular(3, 3)]),
    "determinant, batch": (sf.linalg.det, np.linalg.det, [regular(4, 3, 3)]),
    "determinant, 1 × 1": (sf.linalg.det, np.linalg.det, [regular(1, 1)]),
    "log |det|": (lambda a: sf.linalg.slogdet(a)[1], log_abs, [regular(3, 3)]),
    "log |det|, negative": (lambda a: sf.linalg.slogdet(a)[1], log_abs, [-regular(3, 3)]),
    "log |det|, batch": (
        lambda a: sf.linalg.slogdet(a).log_abs_determinant,
        log_abs,
        [regular(2, 4, 3, 3)],
    ),
    "log det": (lambda a: sf.log(sf.matrix_determinant(a)), log_abs, [regular(4, 3, 3)]),
    "logdet": (
        lambda a: sf.linalg.logdet(a + sf.einsum("bij->bji", a)),
        lambda a: log_abs(a + transposed(a)),
        [definite(4, 3, 3)],
    ),
    "triangular solve": (
        sf.matrix_triangular_solve,
        lambda a, b: np.linalg.solve(np.tril(a), b),
        [regular(3, 3), rng.random((3, 2))],
    ),
    "triangular solve, upper": (
        lambda a, b: sf.linalg.triangular_solve(a, b, lower=False),
        lambda a, b: columns(np.triu(a), b),
        [regular(3, 3), rng.random(3)],
    ),
    "triangular solve, adjoint": (
        lambda a, b: sf.matrix_triangular_solve(a, b, adjoint=True),
        lambda a, b: np.linalg.solve(transposed(np.tril(a)), b),
        [regular(2, 3, 3), rng.random((2, 3, 4))],
    ),
    "triangular solve, upper, adjoint": (
        lambda a, b: sf.matrix_triangular_solve(a, b, False, True),
        lambda a, b: np.linalg.solve(transposed(np.triu(a)), b),
        [regular(3, 3), rng.random((3, 2))],
    ),
    "cholesky_solve": (
        lambda a, b: sf.cholesky_solve(sf.cholesky(a @ sf.transpose(a)), b),
        lambda a, b: np.linalg.solve(a @ a.T, b),
        [regular(3, 3), rng.random((3, 2))],
    ),
    "cholesky_solve, any triangle": (
        sf.cholesky_solve,
        lambda a, b: np.linalg.solve(np.tril(a) @ np.tril(a).T, b),
        [regular(3, 3), rng.random(3)],
    ),
    "product with an inverse": (
        lambda a, b: sf.matrix_inverse(a) @ b,
        lambda a, b: np.linalg.inv(a) @ b,
        [regular(3, 3), rng.random((3, 4))],
    ),
    "inverse times vector": (
        lambda a, b: sf.matrix_inverse(a) @ b,
        lambda a, b: np.linalg.inv(a) @ b,
        [regular(3, 3), rng.random(3)],
    ),
    "vector times inverse": (
        lambda a, b: b @ sf.matrix_inverse(a),
        lambda a, b: b @ np.linalg.inv(a),
        [regular(3, 3), rng.random(3)],
    ),
    "product with an inverse on the right": (
        lambda a, b: b @ sf.matrix_inverse(a, adjoint=True),
        lambda a, b: b @ np.linalg.inv(transposed(a)),
        [regular(3, 3), rng.random((4, 3))],
    ),
    "products with inverses in a batch": (
        lambda a, b: sf.matrix_inverse(a) @ b + b @ sf.matrix_inverse(a),
        lambda a, b: np.linalg.inv(a) @ b + b @ np.linalg.inv(a),
        [regular(4, 3, 3), rng.random((4, 3, 3))],
    ),
    "batch of inverses, one right side": (
        lambda a, b: sf.matrix_inverse(a) @ b,
        lambda a, b: np.linalg.inv(a) @ b,
        [regular(4, 3, 3), rng.random((3, 2))],
    ),
    "inverse times itself": (
        lambda a: sf.matrix_inverse(a) @ sf.matrix_inverse(a),
        lambda a: np.linalg.inv(a) @ np.linalg.inv(a),
        [regular(3, 3)],
    ),
    "trace of an inverse times a matrix": (
        lambda a, b: sf.einsum("ij,ji->", sf.matrix_inverse(a), b),
        lambda a, b: np.trace(np.linalg.inv(a) @ b),
        [regular(3, 3), rng.random((3, 3))],
    ),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_values_and_derivatives(case: Case) -> None:
    """The second derivative is that of the first by a complex step through its closed form."""
    function, reference, values = case
    x = [sf.placeholder(sf.float64, value.shape) for value in values]
    y = function(*x)
    right = reference(*values)
    weights = rng.random(np.shape(right))
    first = sf.gradients(sf.reduce_sum(sf.square(y) * weights), x)
    found, *slopes = evaluate([y, *first], dict(zip(x, values, strict=True)))
    assert found.shape == right.shape
    assert_allclose(found, right, rtol=1e-12)
    for at, slope in enumerate(slopes):
        numeric = complex_step(lambda *moved: np.sum(weights * reference(*moved) ** 2), values, at)
        assert_allclose(slope, numeric, rtol=1e-10, atol=1e-11)


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_second_derivatives(case: Case) -> None:
    """Hessian times a direction, against differences of the gradients tested above."""
    function, _, values = case
    x = [sf.placeholder(sf.float64, value.shape) for value in values]
    y = function(*x)
    first = sf.gradients(sf.reduce_sum(y * rng.random(y.shape)), x)
    directions = [rng.standard_normal(value.shape) for value in values]
    along = sum(sf.reduce_sum(s * v) for s, v in zip(first, directions, strict=True))
    second = sf.gradients(along, x)

    def gradient(step: float) -> list[Array]:
        moved = [value + step * v for value, v in zip(values, directions, strict=True)]
        return evaluate(first, dict(zip(x, moved, strict=True)))

    h = 1e-3
    found = evaluate(second, dict(zip(x, values, strict=True)))
    near = zip(gradient(h), gradient(-h), strict=True)
    far = zip(gradient(2 * h), gradient(-2 * h), strict=True)
    for one, (right, left), (further, back) in zip(found, near, far, strict=True):
        difference = (8 * (right - left) - (further - back)) / (12 * h)
        assert_allclose(one, difference, rtol=1e-7, atol=1e-8)


# --- determinants ----------------------------------------------------------------------------

SINGULAR = {
    "rank 3 of 4": [[1, 2, 3, 4], [2, 1, 0, 1], [3, 3, 3, 5], [1, -1, 2, 0]],
    "rank 2 of 4": [[1, 2, 3, 4], [2, 1, 0, 1], [3, 3, 3, 5], [4, 5, 6, 9]],
    "rank 2 of 3": [[1, 2, 3], [4, 5, 6], [7, 8, 9]],
    "rank 1 of 3": [[1, 2, 3], [2, 4, 6], [-1, -2, -3]],
    "zero": [[0, 0, 0], [0, 0, 0], [0, 0, 0]],
    "1 × 1": [[0]],
    "2 × 2": [[1, 2], [2, 4]],
    "negative": [[0, 1], [1, 0]],
    "regular": [[2, 1, 0], [1, 3, 1], [0, 1, 4]],
}


@pytest.mark.parametrize("matrix", SINGULAR.values(), ids=SINGULAR)
def test_derivatives_of_determinants_of_any_rank(matrix: list[list[int]]) -> None:
    """Against the polynomial that a determinant is."""
    size = len(matrix)
    entries = sp.symbols(f"a:{size * size}")
    polynomial = sp.Matrix(size, size, entries).det(method="berkowitz")
    at = dict(zip(entries, np.ravel(matrix).tolist(), strict=True))
    direction = rng.integers(-3, 4, (size, size))
    slope = sum(v * polynomial.diff(a) for v, a in zip(direction.flat, entries, strict=True))
    first = [float(polynomial.diff(a).subs(at)) for a in entries]
    second = [float(slope.diff(a).subs(at)) for a in entries]
    a = sf.placeholder(sf.float64, (size, size))
    (gradient,) = sf.gradients(sf.matrix_determinant(a), a)
    (product,) = sf.gradients(sf.reduce_sum(gradient * direction.astype(float)), a)
    found, curved = evaluate([gradient, product], {a: matrix})
    assert_allclose(found.ravel(), first, rtol=1e-12, atol=1e-12)
    assert_allclose(curved.ravel(), second, rtol=1e-12, atol=1e-12)


def test_a_batch_with_a_singular_matrix() -> None:
    values = np.array([[[1.0, 2], [2, 4]], [[1, 2], [3, 4]]])
    a = sf.placeholder(sf.float64, ("n", 2, 2))
    (gradient,) = sf.gradients(sf.reduce_sum(sf.matrix_determinant(a)), a)
    expected = [[[4, -2], [-2, 1]], [[4, -3], [-2, 1]]]
    assert_allclose(evaluate(gradient, {a: values}), expected, rtol=1e-14)


def test_no_third_derivative_of_a_determinant() -> None:
    a = sf.placeholder(sf.float64, (2, 2))
    y: Any = sf.matrix_determinant(a)
    for _ in range(3):
        (y,) = sf.gradients(sf.reduce_sum(y * y), a)
    with pytest.raises(sf.SymflowError, match="third derivative of a determinant"):
        evaluate(y, {a: np.eye(2)})


def test_log_determinants_beyond_the_range_of_floats() -> None:
    """det of 400 times 1000 is 10¹²⁰⁰."""
    a = sf.placeholder(sf.float64, (400, 400))
    sign, size = sf.linalg.slogdet(a)
    naive = sf.log(sf.matrix_determinant(a))
    gradients = [sf.gradients(one, a)[0] for one in (size, naive)]
    fetches = evaluate([sign, size, naive, *gradients], {a: 1e3 * np.eye(400)})
    assert fetches[0] == 1.0
    assert_allclose(fetches[1:3], 400 * np.log(1e3), rtol=1e-14)
    assert_allclose(fetches[3:], [1e-3 * np.eye(400)] * 2)


def test_signs_of_determinants() -> None:
    values = np.array([[[1.0, 2], [2, 4]], [[1, 2], [3, 4]], [[2, 0], [0, 1]]])
    a = sf.placeholder(sf.float64, (3, 2, 2))
    sign, size = sf.linalg.slogdet(a)
    logarithm = sf.log(sf.matrix_determinant(a))
    slope = sf.gradients(sf.reduce_sum(sign), a)[0]
    found = evaluate([sign, size, logarithm, slope], {a: values})
    assert_array_equal(found[0], [0, -1, 1])
    assert_allclose(found[1], [-np.inf, np.log(2), np.log(2)])
    assert_allclose(found[2], [-np.inf, np.nan, np.log(2)])
    assert_array_equal(found[3], np.zeros((3, 2, 2)))


# --- Cholesky --------------------------------------------------------------------------------


def test_cholesky_against_50_digits() -> None:
    """First and second derivatives by every entry; the upper triangle is not read."""
    weights, direction = rng.standard_normal((2, 3, 3))
    value = definite(3, 3)
    step = mpmath.mpf(10) ** -15
    lower = [(i, j) for i in range(3) for j in range(i + 1)]

    def loss(*moved: tuple[int, int, Any]) -> Any:
        matrix = mpmath.matrix((np.tril(value) + np.tril(value, -1).T).tolist())
        for i, j, by in moved:
            matrix[i, j] += by
            if i != j:
                matrix[j, i] += by
        factor = mpmath.cholesky(matrix)
        return sum(mpmath.mpf(weights[at]) * factor[at] for at in lower)

    def along(*moved: tuple[int, int, Any]) -> Any:
        to, back = ([(*at, s * step * mpmath.mpf(direction[at])) for at in lower] for s in (1, -1))
        return (loss(*moved, *to) - loss(*moved, *back)) / (2 * step)

    first, second = np.zeros((2, 3, 3))
    with mpmath.workdps(60):
        for at in lower:
            first[at] = (loss((*at, step)) - loss((*at, -step))) / (2 * step)
            second[at] = (along((*at, step)) - along((*at, -step))) / (2 * step)
    a = sf.placeholder(sf.float64, (3, 3))
    factor = sf.cholesky(a)
    (gradient,) = sf.gradients(sf.reduce_sum(weights * factor), a)
    (product,) = sf.gradients(sf.reduce_sum(direction * gradient), a)
    found = evaluate([factor, gradient, product], {a: np.tril(value) + 7.0 * np.triu(value, 1)})
    assert_allclose(found[0], np.linalg.cholesky(value), rtol=1e-14, atol=1e-15)
    assert_allclose(found[1], first, rtol=1e-12, atol=1e-14)
    assert_allclose(found[2], second, rtol=1e-12, atol=1e-14)


def test_a_batch_of_factors() -> None:
    """Through x xᵀ, where every convention for the gradient agrees: d Σ L² is that of a trace."""
    values = regular(2, 4, 3, 3)
    x = sf.placeholder(sf.float64, (2, "n", 3, 3))
    product = x @ sf.transpose(x, (0, 1, 3, 2))
    factor = sf.linalg.cholesky(product)
    total = sf.reduce_sum(sf.square(factor))  # the trace of x xᵀ
    diagonal = 2 * sf.reduce_sum(sf.log(sf.einsum("abii->abi", factor)))  # log det
    found = evaluate([factor, *sf.gradients(total, x), *sf.gradients(diagonal, x)], {x: values})
    assert_allclose(found[0], np.linalg.cholesky(values @ transposed(values)), atol=1e-13)
    assert_allclose(found[1], 2 * values, rtol=1e-11, atol=1e-12)
    assert_allclose(found[2], 2 * transposed(np.linalg.inv(values)), rtol=1e-11, atol=1e-12)


# --- precision, sizes, whole numbers ---------------------------------------------------------


@pytest.mark.parametrize(
    "function",
    [
        lambda a, b: sf.matrix_solve(a, b),
        lambda a, b: sf.matrix_inverse(a) + b,
        lambda a, b: sf.matrix_determinant(a) * b,
        lambda a, b: sf.linalg.slogdet(a)[0] * sf.linalg.slogdet(a)[1] * b,
        lambda a, b: sf.log(sf.matrix_determinant(a)) * b,
        lambda a, b: sf.cholesky(a) + b,
        lambda a, b: sf.matrix_triangular_solve(a, b),
    ],
    ids=["solve", "inverse", "det", "slogdet", "log det", "cholesky", "triangular"],
)
def test_single_precision_stays_single(
    function: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the compiled code itself, not by a conversion at its end."""
    monkeypatch.setattr(sf.Session, "_typed", lambda session, result, tensor: result)
    a, b = sf.placeholder(sf.float32, (3, 3)), sf.placeholder(sf.float32, (3, 3))
    y = function(a, b)
    first = sf.gradients(sf.reduce_sum(sf.square(y)), [a, b])
    second = sf.gradients(sf.reduce_sum(sf.square(first[0])), [a, b])
    values = {a: definite(3, 3).astype(np.float32), b: rng.random((3, 3)).astype(np.float32)}
    for result in evaluate([y, *first, *second], values):
        assert result.dtype == np.float32


def test_whole_numbers_are_solved_for_in_the_models_precision() -> None:
    k, x = sf.placeholder(sf.int64, (2, 2)), sf.placeholder(sf.float32, (2,))
    found = evaluate(
        [sf.matrix_solve(k, x), sf.matrix_determinant(k), sf.matrix_inverse([[2, 0], [0, 4]])],
        {k: [[2, 0], [0, 4]], x: [1.0, 1.0]},
    )
    assert [one.dtype for one in found] == [np.float32] * 3
    assert_allclose(found[0], [0.5, 0.25])
    assert_allclose(found[1], 8.0)
    assert_allclose(found[2], [[0.5, 0], [0, 0.25]])


def test_shapes_known_only_when_fed() -> None:
    a, b = sf.placeholder(), sf.placeholder()
    x = sf.matrix_solve(a, b)
    values = {a: definite(3, 3), b: rng.random((3, 2))}
    fetches = [x, *sf.gradients(sf.reduce_sum(x), b), sf.linalg.logdet(a)]
    found, slope, size = evaluate(fetches, values)
    assert_allclose(size, np.linalg.slogdet(values[a])[1])
    assert_allclose(found, np.linalg.solve(values[a], values[b]))
    assert_allclose(slope, np.linalg.solve(values[a].T, np.ones((3, 2))))


def test_open_sizes_agree() -> None:
    a, b = sf.placeholder(sf.float64, ("m", None)), sf.placeholder(sf.float64, (None, "k"))
    x = sf.matrix_solve(a, b)
    assert x.shape == ("m", "k")
    assert a.shape == ("m", "m")


# --- errors ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: sf.matrix_inverse(np.ones((2, 3))), r"the matrix \(2, 3\) is not square"),
        (lambda: sf.matrix_determinant(np.ones(3)), r"\(3,\) is no matrix"),
        (lambda: sf.cholesky(1.0), r"\(\) is no matrix"),
        (lambda: sf.linalg.slogdet(np.ones((4, 2, 3))), r"the matrix \(2, 3\) is not square"),
        (
            lambda: sf.matrix_solve(np.eye(3), np.ones(2)),
            r"the right side is to be \(3,\) or \(3, k\), not \(2,\)",
        ),
        (
            lambda: sf.matrix_solve(np.ones((4, 3, 3)), np.ones((4, 3))),
            r"is to be \(4, 3, k\), not \(4, 3\); a batch of vectors is rhs\[\.\.\., None\]",
        ),
        (
            lambda: sf.matrix_solve(np.ones((4, 3, 3)), np.ones((5, 3, 2))),
            r"the right side is to be \(4, 3, k\), not \(5, 3, 2\)",
        ),
        (lambda: sf.matrix_solve(np.eye(3), 1.0), r"not \(\)"),
        (
            lambda: sf.matrix_triangular_solve(np.ones((2, 3)), np.ones(2)),
            r"\(2, 3\) is not square",
        ),
    ],
)
def test_what_does_not_fit_is_told(make: Callable[[], Any], message: str) -> None:
    with pytest.raises(sf.SymflowError, match=message):
        make()


SINGULAR_MODEL = """
import numpy as np
import symflow as sf
a = sf.Variable(np.ones((2, 2)), name="a")
x = sf.matrix_solve(a, [1.0, 2.0])
factor = sf.cholesky(a - 2.0)
loss = sf.reduce_sum(x) + sf.reduce_sum(factor)
"""


def test_singular_matrices_are_numpys_error(compiled: Callable[[str], ModuleType]) -> None:
    module = compiled(SINGULAR_MODEL)
    start = module.initial_parameters()
    for function in (module.x, module.factor):
        with pytest.raises(np.linalg.LinAlgError):
            function(start)


# --- rules and what is printed ---------------------------------------------------------------


def source(module: ModuleType) -> str:
    return Path(str(module.__file__)).read_text(encoding="utf-8")


PRODUCTS = """
import numpy as np
import symflow as sf
__all__ = ["y", "z", "both", "log_density"]
a = sf.Variable(np.eye(3) * 2.0)
x = sf.placeholder(shape=("n", 3))
y = sf.matrix_inverse(a) @ sf.transpose(x)
z = x @ sf.matrix_inverse(a + 1.0)
inverse = sf.matrix_inverse(a + 2.0)
both = inverse @ sf.transpose(x)
log_density = 0.5 * sf.log(sf.matrix_determinant(a))
loss = sf.reduce_sum(y) + sf.reduce_sum(z) + sf.reduce_sum(both) + log_density
"""


def test_products_with_inverses_are_linear_systems(compiled: Callable[[str], ModuleType]) -> None:
    module = compiled(PRODUCTS)
    text = source(module)
    forward = text[: text.index("def loss(")]
    assert forward.count("np.linalg.inv(") == 1  # the one with a name
    assert "np.linalg.solve(p.a, x.T)" in forward
    assert "_log_determinant(p.a)" in forward
    assert "np.linalg.det(" not in text
    value = np.array([[2.0, 1, 0], [0.5, 2, 0], [0, 1, 3]])
    data = rng.random((5, 3))
    p = module.Parameters(a=value)
    assert_allclose(module.y(p, data), np.linalg.inv(value) @ data.T, rtol=1e-13)
    assert_allclose(module.z(p, data), data @ np.linalg.inv(value + 1), rtol=1e-12)
    assert_allclose(module.both(p, data), np.linalg.inv(value + 2) @ data.T, rtol=1e-13)
    assert_allclose(module.log_density(p), 0.5 * np.log(np.linalg.det(value)), rtol=1e-14)


GAUSSIAN_PROCESS = '''\
"""Evidence of a Gaussian process, by the Cholesky factor."""

import numpy as np
import symflow as sf

x = sf.placeholder(shape=("n",))
y = sf.placeholder(shape=("n",))
noise = sf.Variable(0.3)
width = sf.Variable(1.0)
distances = sf.square(x[:, None] - x)
ones = sf.to_float(sf.equal(distances, 0.0))
kernel = sf.exp(-distances / sf.square(width)) + sf.square(noise) * ones
factor = sf.cholesky(kernel)
white = sf.matrix_triangular_solve(factor, y)
loss = 0.5 * sf.reduce_sum(sf.square(white)) + 0.5 * sf.linalg.logdet(kernel)
rate = sf.train.backtracking_line_search()
train_op = sf.train.GradientDescentOptimizer(rate).minimize(loss)
'''


def test_a_gaussian_process_learns(compiled: Callable[[str], ModuleType]) -> None:
    module = compiled(GAUSSIAN_PROCESS)
    gradient = source(module).partition("def _loss_and_gradients(")[2]
    assert gradient.count("np.linalg.cholesky(") == 1
    x = np.linspace(0.0, 5.0, 20)
    y = np.sin(x)
    result = module.train(module.initial_parameters(), x, y, steps=50)
    assert result.losses[-1] < result.losses[0]
    covariance = np.exp(-((x[:, None] - x) ** 2)) + 0.09 * np.eye(20)
    loss = 0.5 * y @ np.linalg.solve(covariance, y) + 0.5 * np.linalg.slogdet(covariance)[1]
    assert_allclose(result.losses[0], loss, rtol=1e-11)


# --- the checker -----------------------------------------------------------------------------

CHECKED = """
import numpy as np
import symflow as sf
a = sf.Variable(np.array([[4.0, 1.0], [1.0, 3.0]]))
b = sf.Variable(np.array([1.0, 2.0]))
loss = {loss}
"""


@pytest.mark.parametrize(
    ("loss", "method"),
    [
        ("sf.reduce_sum(sf.matrix_solve(a, b) ** 2)", "complex step"),
        ("sf.reduce_sum(sf.matrix_inverse(a) ** 2 * b)", "complex step"),
        ("sf.matrix_determinant(a) * sf.reduce_sum(b)", "complex step"),
        ("sf.linalg.slogdet(-a)[1] * sf.reduce_sum(b)", "complex step"),
        ("sf.linalg.slogdet(a[::-1])[0] * sf.reduce_sum(sf.log(b))+0*a[0,0]", "complex step"),
        ("sf.log(sf.matrix_determinant(a)) * sf.reduce_sum(b)", "complex step"),
        ("sf.reduce_sum(sf.cholesky(a) * b)", "complex step"),
        ("sf.reduce_sum(sf.cholesky_solve(sf.cholesky(a), b))", "complex step"),
        (
            "sf.reduce_sum(sf.gradients(sf.matrix_determinant(a), a)[0] * b)",
            "complex step and Richardson",
        ),
    ],
)
def test_the_checker_continues_solvers(tmp_path: Path, loss: str, method: str) -> None:
    (tmp_path / "model.py").write_text(CHECKED.format(loss=loss))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        results = check(tmp_path / "model.py")
    assert [one.name for one in results] == ["a", "b"]
    methods = {one.method for one in results}
    assert methods == set(method.split(" and ")), results
    assert all(one.error < 1e-8 for one in results), results


@pytest.mark.parametrize(
    "loss",
    [
        "sf.reduce_sum(sf.matrix_solve(a, b) ** 2)",
        "sf.reduce_sum(sf.matrix_inverse(a) ** 2 * b)",
        "sf.linalg.slogdet(-a)[1] * sf.linalg.slogdet(a[::-1])[0] * sf.reduce_sum(b)",
        "sf.log(sf.matrix_determinant(a)) * sf.reduce_sum(b)",
        "sf.reduce_sum(sf.cholesky(a) * b) + sf.linalg.logdet(a)",
        "sf.reduce_sum(sf.triangular_solve(a, b))",
        "sf.reduce_sum(sf.gradients(sf.matrix_determinant(a), a)[0] * b)",
        "sf.reduce_sum(sf.matrix_determinant(sf.stack([a, a * a, -a])) ** 2) + b[0]",
    ],
)
def test_solvers_in_fifty_digits(tmp_path: Path, loss: str) -> None:
    """By elimination, minors and Cholesky's own recurrence, which share nothing with NumPy."""
    text = CHECKED.format(loss=loss.replace("sf.triangular_solve", "sf.linalg.triangular_solve"))
    (tmp_path / "model.py").write_text(text)
    assert_valid(tmp_path / "model.py")


def test_the_checker_goes_on_to_a_point_that_is_not_singular(tmp_path: Path) -> None:
    text = "import symflow as sf\na = sf.Variable({0})\nx = sf.placeholder(shape=(2, 2))\n"
    text += "loss = sf.reduce_sum(sf.cholesky({1}) * a)\n"
    (tmp_path / "model.py").write_text(text.format("[[3.0, 1.0], [1.0, 3.0]]", "x"))
    assert all(one.ok for one in check(tmp_path / "model.py", seed=1))
    (tmp_path / "model.py").write_text(text.format("[[-9.0, 0.0], [0.0, -9.0]]", "a + 0.0 * x"))
    with pytest.raises(sf.SymflowError, match=r"at any point tried: .*positive definite"):
        check(tmp_path / "model.py")
