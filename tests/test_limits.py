"""Models at points where a slope of 0 meets an infinite one, or 0/0: the limits, by mpmath.

All models stand in one file, each with parameters of its own, so that one module in each style and
precision shows them all.
"""

from __future__ import annotations

import inspect
from functools import cache
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from limits import Model, is_right, slopes, value
from reference import evaluate
from styles import module

import symflow as sf

INF = np.inf

BRANCHES: dict[str, tuple[Model, list[tuple[float, ...]]]] = {
    # a flat branch below a root, or below something that is infinite
    "root of relu": (lambda m, u: m.sqrt(m.relu(u)), [(-1,), (0,), (2,)]),
    "root of a maximum": (lambda m, u: m.sqrt(m.maximum(0.0, u)), [(-1,), (3,)]),
    "root of a maximum, other way": (lambda m, u: m.sqrt(m.maximum(u, 0.0)), [(-1,), (3,)]),
    "root of a clip": (lambda m, u: m.sqrt(m.clip_by_value(u, 0.0, 1.0)), [(-1,), (0.5,), (2,)]),
    "root as a power": (lambda m, u: m.pow(m.maximum(u, 0.0), 0.5), [(-1,), (4,)]),
    "power of a maximum": (lambda m, u: m.pow(m.maximum(u, 0.0), 0.3), [(-1,), (2,)]),
    "power of a relu": (lambda m, u, p: m.pow(m.relu(u), p), [(-1, 0.5), (2, 0.5), (-1, 1.5)]),
    "cubic root of relu": (lambda m, u: m.cbrt(m.relu(u)), [(-1,), (8,)]),
    "cubic root of a clip": (lambda m, u: m.cbrt(m.clip_by_value(u, 0.0, 9.0)), [(-1,), (10,)]),
    "angle of a clip": (
        lambda m, u: m.acos(m.clip_by_value(u, -1.0, 1.0)),
        [(2,), (-2,), (0.5,)],
    ),
    "other angle of a clip": (
        lambda m, u: m.asin(m.clip_by_value(u, -1.0, 1.0)),
        [(2,), (-2,), (0.5,)],
    ),
    "root of a line's relu": (lambda m, w, b: m.sqrt(m.relu(w * 2.0 + b)), [(-1, 0), (1, 2)]),
    "root of relu times": (lambda m, u, w: w * m.sqrt(m.relu(u)), [(-1, 3), (2, 3), (-1, 0)]),
    "reciprocal root of relu": (lambda m, u: 1 / (1 + m.sqrt(m.relu(u))), [(-1,), (4,)]),
    "root of 1 - relu": (lambda m, u: m.sqrt(1 - m.minimum(u, 1.0)), [(2,), (0,)]),
    "root of a distance": (lambda m, x: m.sqrt(m.abs(x)), [(0,), (4,)]),
    "root of a clipped distance": (lambda m, x: m.sqrt(m.relu(m.abs(x) - 1)), [(0,), (0.5,), (3,)]),
    "root of relu6": (lambda m, u: m.sqrt(m.relu6(u)), [(-1,), (4,), (7,)]),
    "root of 6 - relu6": (lambda m, u: m.sqrt(6 - m.relu6(u)), [(-1,), (4,), (7,)]),
    "entropy of a clip": (
        lambda m, x: m.xlogy(m.clip_by_value(x, 0.0, 1.0), m.clip_by_value(x, 0.0, 1.0)),
        [(-1,), (0.5,), (2,)],
    ),
    "acosh of a maximum": (lambda m, x: m.acosh(m.maximum(x, 1.0)), [(0,), (2,)]),
    "chord of a clip": (
        lambda m, x: m.sqrt(1 - m.square(m.clip_by_value(x, -1.0, 1.0))),
        [(2,), (-2,), (0.6,)],
    ),
    # an infinite slope within a flat branch
    "floor of a logarithm": (lambda m, x: m.maximum(m.log(x), -5.0), [(0,), (1e-4,), (3,)]),
    "clipped logarithm": (lambda m, x: m.clip_by_value(m.log(x), -5.0, 0.0), [(0,), (0.5,), (2,)]),
    "relu of a logarithm": (lambda m, x: m.relu(1 + m.log(x)), [(0,), (0.1,), (2,)]),
    "relu of a weighted logarithm": (lambda m, x, w: m.relu(w * m.log(x) + 1), [(0, 2), (2, 3)]),
    "ceiling of a reciprocal": (lambda m, x: m.minimum(m.reciprocal(x), 10.0), [(0.01,), (2,)]),
    "relu6 of a reciprocal": (lambda m, x: m.relu6(m.reciprocal(m.square(x))), [(0,), (2,)]),
    "larger of a root": (lambda m, x: m.maximum(m.sqrt(x), 1.0), [(0,), (4,)]),
    "larger of two roots": (lambda m, x, y: m.maximum(m.sqrt(x), m.sqrt(y)), [(0, 1), (4, 1)]),
    "smaller of a cubic root": (lambda m, x: m.minimum(m.cbrt(x), -1.0), [(0,), (-8,)]),
    # a factor of 0 beside the infinite slope of a root
    "root of a product": (lambda m, c, x: m.sqrt(c * x), [(0, 2), (0, 0), (2, 0), (2, 8)]),
    "root of three factors": (
        lambda m, a, b, c: m.sqrt(a * b * c),
        [(0, 2, 3), (0, 0, 3), (0, 0, 0)],
    ),
    "cubic root of a product": (lambda m, c, x: m.cbrt(c * x), [(0, 2), (0, 0), (2, 4)]),
    "geometric mean": (lambda m, a, b: m.pow(a * b, 0.25), [(0, 2), (0, 0), (2, 8)]),
    "masked root": (lambda m, c, x: c * m.sqrt(x), [(0, 0), (0, 4), (2, 4)]),
    "masked cubic root": (lambda m, c, x: c * m.cbrt(x), [(0, 0), (2, 8)]),
    "masked power": (lambda m, c, x: c * m.pow(x, 0.3), [(0, 0), (2, 8)]),
    "haversine": (
        lambda m, a, b, c, d: (
            2
            * m.asin(
                m.sqrt(
                    m.square(m.sin((c - a) / 2))
                    + m.cos(a) * m.cos(c) * m.square(m.sin((d - b) / 2))
                )
            )
        ),
        [(0.5, 0.25, 0.5, 0.25), (0.5, 0.25, 0.75, 0.5), (0, 0, 0, 0)],
    ),
    "root of a cosine": (lambda m, x: m.sqrt(1 - m.cos(x)), [(0,), (1,)]),
    "angle of a cosine": (lambda m, x: m.acos(m.cos(x)), [(0,), (1,)]),
    "acosh of cosh": (lambda m, x: m.acosh(m.cosh(x)), [(0,), (1,)]),
    "root of a square, scaled": (lambda m, w, x: m.sqrt(w * m.square(x)), [(2, 0), (2, 3), (0, 3)]),
    "root of a fourth power": (lambda m, x: m.sqrt(x * x * x * x), [(0,), (2,)]),
    "root of a difference": (lambda m, a, b: m.sqrt(m.square(a - b)), [(1, 1), (2, 1)]),
    "root of x·sin x": (lambda m, x: m.sqrt(x * m.sin(x)), [(0,), (1,)]),
    "root squared": (lambda m, x: m.square(m.sqrt(x)), [(0,), (2,)]),
    "cubic root cubed": (lambda m, x: m.pow(m.cbrt(x), 3.0), [(0,), (2,), (-2,)]),
    # 0 beside the infinite
    "reciprocal of a reciprocal": (lambda m, b: m.reciprocal(m.reciprocal(b)), [(0,), (2,)]),
    "by a reciprocal": (lambda m, a, b: a / m.reciprocal(b), [(3, 0), (3, 2)]),
    "square of a reciprocal's reciprocal": (
        lambda m, b: 1 / m.square(m.reciprocal(b)),
        [(0,), (2,)],
    ),
    "parallel resistors": (
        lambda m, a, b: 1 / (m.reciprocal(a) + m.reciprocal(b)),
        [(0, 2), (2, 0), (2, 3)],
    ),
    "harmonic mean": (
        lambda m, a, b: 2 / (m.reciprocal(a) + m.reciprocal(b)),
        [(0, 2), (2, 0), (2, 3)],
    ),
    "inhibition": (lambda m, v, k, s: v / (1 + k / s), [(2, 3, 0), (2, 0, 3), (2, 3, 1)]),
    # branches of where
    "where of a where": (
        lambda m, x: m.where(x > 0, m.where(x > 1, m.log(x), x - 1), -1.0),
        [(-1,), (0.5,), (2,)],
    ),
    "where of a root": (lambda m, x: m.where(x > 0, m.sqrt(x), 0.0), [(-1,), (4,)]),
    "root of a where": (lambda m, x: m.sqrt(m.where(x > 0, x, 0.0)), [(-1,), (4,)]),
    "quotient in a where": (lambda m, x, y: m.where(y > 0, x / y, x), [(3, -1), (3, 0), (3, 2)]),
    "root of relu in a where": (
        lambda m, x, y: m.where(y > 0, m.sqrt(m.relu(x)), x) + y,
        [(-1, 1), (-1, -1), (4, 1)],
    ),
    # everyday functions at their edges
    "x·log(x) of a square": (lambda m, x: m.xlogy(m.square(x), m.square(x)), [(0,), (2,)]),
    "power of 0": (lambda m, x, y: m.pow(x, y), [(0, 2), (0, 0.5), (2, 3)]),
    "binary entropy": (
        lambda m, p: -m.xlogy(p, p) - (1 - p) * m.log(1 - p),
        [(0.25,), (0.5,), (0.75,)],
    ),
    "hypot at the origin": (lambda m, x, y: m.hypot(x, y), [(0, 0), (3, 4)]),
    "asin at 1 of a sine": (lambda m, x: m.asin(m.sin(x)), [(0,), (1,)]),
    "atanh of a clip": (
        lambda m, x: m.atanh(m.clip_by_value(x, -0.5, 0.5)),
        [(2,), (-2,), (0.25,)],
    ),
    "logit of a clip": (
        lambda m, x: (lambda p: m.log(p) - m.log(1 - p))(m.clip_by_value(x, 0.25, 0.75)),
        [(0,), (1,), (0.5,)],
    ),
}
"""A model, and points; every parameter is scalar."""

REMOVABLE: dict[str, tuple[Model, list[tuple[float, ...]]]] = {
    "(exp(x) - 1) / x": (lambda m, x: (m.exp(x) - 1) / x, [(0,), (1e-9,), (-0.5,), (3,)]),
    "(1 - exp(-x)) / x": (lambda m, x: (1 - m.exp(-x)) / x, [(0,), (1e-9,), (-0.5,), (3,)]),
    "elimination": (lambda m, t, k: (1 - m.exp(-k * t)) / k, [(2, 0), (2, 1e-9), (2, 0.5)]),
    "x / (exp(x) - 1)": (lambda m, x: x / (m.exp(x) - 1), [(0,), (1e-9,), (-0.5,), (3,)]),
    "x / (1 - exp(-x))": (lambda m, x: x / (1 - m.exp(-x)), [(0,), (1e-9,), (-0.5,), (3,)]),
    "log(1 + x) / x": (lambda m, x: m.log(1 + x) / x, [(0,), (1e-9,), (-0.25,), (3,)]),
    "x / log(1 + x)": (lambda m, x: x / m.log(1 + x), [(0,), (1e-9,), (-0.25,), (3,)]),
    "sin(x) / x": (lambda m, x: m.sin(x) / x, [(0,), (1e-9,), (-0.5,), (3,)]),
    "sin(3·x) / x": (lambda m, x: m.sin(3 * x) / x, [(0,), (1e-9,), (-0.5,), (3,)]),
    "x / sin(x)": (lambda m, x: x / m.sin(x), [(0,), (1e-9,), (-0.5,), (2,)]),
    "(1 - cos(x)) / x²": (lambda m, x: (1 - m.cos(x)) / m.square(x), [(0,), (1e-9,), (2,)]),
    "(1 - cos(x)) / x": (lambda m, x: (1 - m.cos(x)) / x, [(0,), (1e-9,), (2,)]),
    "tanh(x) / x": (lambda m, x: m.tanh(x) / x, [(0,), (1e-9,), (-0.5,), (3,), (-30,)]),
    "tanh(k·t) / k": (lambda m, t, k: m.tanh(k * t) / k, [(2, 0), (2, 1e-9), (2, -0.5)]),
    "effectiveness": (lambda m, w, x: w * m.square(m.tanh(x) / x), [(2, 0), (2, 1e-5), (2, 1)]),
    "sinc squared": (lambda m, x: m.square(m.sin(x) / x), [(0,), (1e-9,), (2,)]),
    "log of (exp(x) - 1) / x": (lambda m, x: m.log((m.exp(x) - 1) / x), [(0,), (1e-9,), (2,)]),
    "a factor beside it": (lambda m, w, x: w * (m.exp(x) - 1) / x, [(0, 0), (2, 0), (2, 1)]),
}
"""Quotients that are a number where they are 0 / 0, as are both of their derivatives."""

MODELS = BRANCHES | REMOVABLE


def _text() -> str:
    lines = ["import numpy as np", "import symflow as sf", "from test_limits import MODELS", ""]
    lines += ["loss = 0.0"]
    for number, (name, (model, points)) in enumerate(MODELS.items()):
        arity = len(inspect.signature(model).parameters) - 1
        operands = [f"a{number}_{at}" for at in range(arity)]
        for at, operand in enumerate(operands):
            column = [float(point[at]) for point in points]
            lines.append(f"{operand} = sf.Variable({column})")
        call = ", ".join(operands)
        lines.append(f"y{number} = MODELS[{name!r}][0](sf, {call})")
        lines.append(f"loss += sf.reduce_sum(y{number})")
    return "\n".join(lines) + "\n"


@pytest.fixture(scope="module")
def modules(tmp_path_factory: pytest.TempPathFactory) -> Any:
    path = tmp_path_factory.mktemp("limits") / "model.py"
    path.write_text(_text(), encoding="utf-8")

    @cache
    def made(style: str, dtype: str) -> tuple[ModuleType, Any]:
        found = module(path, style, dtype)  # type: ignore[arg-type]
        with np.errstate(all="ignore"):
            return found, found.gradients(found.initial_parameters())

    return made


@pytest.mark.parametrize("name", MODELS)
def test_limit(name: str, modules: Any) -> None:
    model, points = MODELS[name]
    number = list(MODELS).index(name)
    limits = [[slopes(model, point, by) for by in range(len(points[0]))] for point in points]
    values = [value(model, point) for point in points]
    assert any(one for row in limits for one in row), "a model without a limit shows nothing"
    for style in ("fast", "plain"):
        for dtype, close in (("float64", 1e-13), ("float32", 1e-5)):
            made, gradients = modules(style, dtype)
            with np.errstate(all="ignore"):
                found = getattr(made, f"y{number}")(made.initial_parameters())
            for at, point in enumerate(points):
                what = (style, dtype, point)
                if np.isfinite(float(values[at])):
                    assert abs(float(found[at]) - float(values[at])) <= close * max(
                        1.0, abs(float(values[at]))
                    ), what
                for by, sides in enumerate(limits[at]):
                    slope = float(getattr(gradients, f"a{number}_{by}")[at])
                    shown = [float(one) for one in sides]
                    assert is_right(slope, sides, close), (*what, f"by {by}", slope, shown)


@pytest.mark.parametrize("name", REMOVABLE)
def test_second_derivative(name: str) -> None:
    """By the last parameter, in float64, from a Session."""
    model, points = REMOVABLE[name]
    by = len(points[0]) - 1
    columns = [sf.placeholder(sf.float64, ("n",)) for _ in points[0]]
    (slope,) = sf.gradients(sf.reduce_sum(model(sf, *columns)), [columns[by]])
    (curvature,) = sf.gradients(sf.reduce_sum(slope), [columns[by]])
    feed = {x: [point[at] for point in points] for at, x in enumerate(columns)}
    found = evaluate(curvature, feed)
    for at, point in enumerate(points):
        sides = slopes(model, point, by, order=2)
        assert sides
        assert is_right(float(found[at]), sides, 1e-12), (point, found[at], sides)


def test_certain_probabilities() -> None:
    """Entropy and cross entropy at p = 0 and p = 1, written naively."""
    p, y = (sf.placeholder(sf.float64, (3,)) for _ in range(2))
    entropy = -p * sf.log(p) - (1 - p) * sf.log(1 - p)
    loss = -y * sf.log(p) - (1 - y) * sf.log(1 - p)
    fetches = [entropy, *sf.gradients(entropy, [p]), loss, *sf.gradients(loss, [p])]
    feed = {p: [0.0, 1.0, 0.5], y: [0.0, 1.0, 1.0]}
    found = evaluate(fetches, feed)
    log_2 = np.log(2.0)
    np.testing.assert_allclose(found[0], [0.0, 0.0, log_2], atol=1e-16)
    np.testing.assert_array_equal(found[1], [INF, -INF, 0.0])
    np.testing.assert_allclose(found[2], [0.0, 0.0, log_2], atol=1e-16)
    np.testing.assert_array_equal(found[3], [1.0, -1.0, -2.0])


def test_the_slope_of_a_product_is_no_proof() -> None:
    """cbrt(x³) has the slope 1 at 0; where 0·∞ is not proved to be 0 it stays NaN."""
    x = sf.placeholder(sf.float64, ())
    y = sf.cbrt(x * x * x)
    assert np.isnan(evaluate(sf.gradients(y, [x])[0], {x: 0.0}))


def test_both_minus_infinity() -> None:
    """No weight to share out: 0, as of reduce_logsumexp."""
    x, y = (sf.placeholder(sf.float64, ()) for _ in range(2))
    z = sf.logaddexp(x, y)
    with np.errstate(all="raise"):
        found = evaluate([z, *sf.gradients(z, [x, y])], {x: -INF, y: -INF})
        some = evaluate(sf.gradients(z, [x, y]), {x: -INF, y: 2.0})
    assert found == [-INF, 0.0, 0.0]
    assert some == [0.0, 1.0]


@pytest.mark.parametrize("text", ["sf.sqrt(1e-5 + sf.square(h))", "sf.softplus(h)", "sf.exp(h)"])
def test_no_branch_where_no_pole_can_be(text: str, tmp_path: Any) -> None:
    path = tmp_path / "model.py"
    path.write_text(
        "import symflow as sf\nx = sf.placeholder(sf.float64, ('n', 3))\n"
        "w = sf.Variable(sf.ones((3, 4)))\nh = sf.relu(x @ w)\n"
        f"loss = sf.reduce_mean({text})\n"
    )
    made = module(path, "plain", "float64")
    body = made.SOURCE.partition("def _loss_and_gradients")[2].partition("\n\n\n")[0]
    assert "np.where" not in body
