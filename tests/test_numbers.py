"""Numbers beside sums: what is computed is rounded as it is written.

Every formula is tried where its terms are large beside their difference, as dates in days are:
the error of the module, in value and derivative, is compared with that of the same formula in
NumPy, both against mpmath.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from typing import Any

import mpmath
import numpy as np
import pytest
import sympy as sp

import symflow as sf
from symflow.rules import RULES

DIGITS = 60

JULIAN = 2451545.0
"""Noon of January 1, 2000, in days."""

Formula = Callable[..., Any]

CASES: dict[str, tuple[Formula, Formula]] = {
    "phase": (
        lambda m, x, w, y: m.sin(2 * math.pi * (x - w)),
        lambda m, x, w, y: -2 * math.pi * m.cos(2 * math.pi * (x - w)),
    ),
    "phase of a period": (
        lambda m, x, w, y: m.cos((x - w) * (2 * math.pi / 365.25)),
        lambda m, x, w, y: 2 * math.pi / 365.25 * m.sin((x - w) * (2 * math.pi / 365.25)),
    ),
    "root": (
        lambda m, x, w, y: math.sqrt(10) * (x - w),
        lambda m, x, w, y: -math.sqrt(10) + 0 * x,
    ),
    "minus a tenth": (lambda m, x, w, y: y - 0.1 * (x - w), lambda m, x, w, y: 0.1 + 0 * x),
    "plus twice": (lambda m, x, w, y: 2 * (x - w) + y, lambda m, x, w, y: -2 + 0 * x),
    "minus": (lambda m, x, w, y: y - (x - w), lambda m, x, w, y: 1 + 0 * x),
    "minus a sum": (lambda m, x, w, y: y - (-x + w), lambda m, x, w, y: -1 + 0 * x),
    "third": (lambda m, x, w, y: y + (x - w) / 3, lambda m, x, w, y: -1 / 3 + 0 * x),
    "tiny": (lambda m, x, w, y: 1e-30 * (x - w), lambda m, x, w, y: -1e-30 + 0 * x),
    "huge": (lambda m, x, w, y: 1e30 * (x - w), lambda m, x, w, y: -1e30 + 0 * x),
    "seven": (
        lambda m, x, w, y: m.exp(-0.7 * (x - w)),
        lambda m, x, w, y: 0.7 * m.exp(-0.7 * (x - w)),
    ),
    "squared": (
        lambda m, x, w, y: m.square(0.1 * (x - w) - y),
        lambda m, x, w, y: -0.2 * (0.1 * (x - w) - y),
    ),
    "bell": (
        lambda m, x, w, y: m.exp(-0.5 * m.square((x - w) / 7)),
        lambda m, x, w, y: (x - w) / 49 * m.exp(-0.5 * m.square((x - w) / 7)),
    ),
    "nested": (
        lambda m, x, w, y: 3 * (y - 2 * (x - w)),
        lambda m, x, w, y: 6 + 0 * x,
    ),
    "two differences": (
        lambda m, x, w, y: 0.3 * (x - w) - 0.7 * (w - x),
        lambda m, x, w, y: -1.0 + 0 * x,
    ),
    "product": (
        lambda m, x, w, y: y * (0.1 * (x - w)) * 10,
        lambda m, x, w, y: -y,
    ),
    "negative": (lambda m, x, w, y: -(x - w) * 5, lambda m, x, w, y: 5 + 0 * x),
}
"""A formula of x, w and y, and its derivative by w, by hand."""

POINTS = [
    (JULIAN + 0.3, JULIAN + 0.1, 0.25),
    (JULIAN + 1 / 3, JULIAN, 1e-7),
    (JULIAN + 1e-6, JULIAN, -3e-8),
    (1e6 + 0.7, 1e6, 0.1),
    (0.7, 0.2, 1.3),
    (-3.3, 1.1, 0.0),
    (0.1, 0.1, 0.1),
    (2.5, 0.0, -1.0),
]
"""x, w and y: dates beside an epoch, offsets, and ordinary numbers."""


def computed(formula: Formula, dtype: str) -> tuple[np.ndarray, np.ndarray]:
    """Value and derivative by w at all points, by one graph."""
    points = np.array(POINTS, dtype)
    with sf.Graph().as_default(), sf.Session() as session:
        x, w, y = (sf.placeholder(np.dtype(dtype), ("n",), name=name) for name in "xwy")
        value = formula(sf, x, w, y)
        (gradient,) = sf.gradients(sf.reduce_sum(value), [w])
        feed = dict(zip((x, w, y), points.T, strict=True))
        return tuple(map(np.asarray, session.run([value, gradient], feed)))  # type: ignore[return-value]


class Exact:
    """mpmath's functions, under NumPy's names."""

    sin, cos, exp, log = mpmath.sin, mpmath.cos, mpmath.exp, mpmath.log

    @staticmethod
    def square(value: Any) -> Any:
        return value * value


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("name", CASES)
def test_numbers_are_not_multiplied_out(name: str, dtype: str) -> None:
    agrees(CASES[name], dtype)


def agrees(formulas: tuple[Formula, Formula], dtype: str) -> None:
    """Value and derivative are as near to the exact ones as NumPy's of the same formula."""
    found = computed(formulas[0], dtype)
    points = np.array(POINTS, dtype)
    for formula, values in zip(formulas, found, strict=True):
        assert values.dtype == dtype
        for at, (point, value) in enumerate(zip(points, values, strict=True)):
            with mpmath.workdps(DIGITS), np.errstate(all="ignore"):
                exact = formula(Exact, *(mpmath.mpf(float(one)) for one in point))
                naive = formula(np, *(points[at, [column]] for column in range(3)))[0]
                unit = float(np.spacing(np.dtype(dtype).type(abs(float(exact)))))
                allowed = 4 * abs(mpmath.mpf(float(naive)) - exact) + 4 * unit
                assert abs(mpmath.mpf(float(value)) - exact) <= allowed, point


def test_coefficients_in_a_trained_module(tmp_path: Any) -> None:
    """A phase fitted to dates: loss and gradient in blocks, against mpmath."""
    from conftest import imported

    from symflow.files import compile_files, write

    model = tmp_path / "model.py"
    model.write_text(
        "import math\nimport symflow as sf\n"
        't, y = sf.placeholder(shape=("n",)), sf.placeholder(shape=("n",))\n'
        f"epoch = sf.Variable({JULIAN!r})\namplitude = sf.Variable(0.8)\n"
        "loss = sf.reduce_mean(sf.square(y - amplitude * sf.sin(2 * math.pi * (t - epoch))))\n"
        "sf.GradientDescentOptimizer(1e-3).minimize(loss)\n"
    )
    for style in ("fast", "plain"):
        write(compile_files(model, tmp_path / style, {}, None, style=style))  # type: ignore[arg-type]
        module = imported(tmp_path / style / "model.py")
        days = JULIAN + np.linspace(0.05, 40, 50)
        heights = np.sin(days)
        loss, gradients = module.loss_and_gradients(module.initial_parameters(), days, heights)
        with mpmath.workdps(DIGITS):
            period, mean, slope = mpmath.mpf(2 * math.pi), mpmath.mpf(0), mpmath.mpf(0)
            for day, height in zip(days, heights, strict=True):
                angle = period * (mpmath.mpf(day) - mpmath.mpf(JULIAN))
                error = mpmath.mpf(height) - mpmath.mpf(0.8) * mpmath.sin(angle)
                mean += error**2 / 50
                slope += 2 * error * mpmath.mpf(0.8) * period * mpmath.cos(angle) / 50
            assert abs(loss - mean) < 2e-14
            assert abs(gradients.epoch - slope) < 2e-13


def test_rules_have_no_number_beside_a_sum() -> None:
    """They are made when their module is imported, by whatever SymPy then does."""
    for rule in RULES:
        for side in (rule.left, rule.right):
            products = side.atoms(sp.Mul) if isinstance(side, sp.Basic) else ()
            for product in products:
                assert not (product.args[0].is_Number and product.args[-1].is_Add), rule.name


def test_sympy_of_the_user_is_left_alone() -> None:
    x, y = sp.symbols("x y", real=True)
    assert sp.srepr(2 * (x - y)) == sp.srepr(2 * x - 2 * y)
    found = computed(CASES["plus twice"][0], "float64")
    assert sp.srepr(2 * (x - y)) == sp.srepr(2 * x - 2 * y)
    assert sp.srepr(-(x - y)) == sp.srepr(y - x)
    again: list[Any] = []
    thread = threading.Thread(
        target=lambda: again.append(computed(CASES["plus twice"][0], "float64"))
    )
    thread.start()
    thread.join()
    np.testing.assert_array_equal(again[0], found)


SUMS: dict[str, tuple[Formula, Formula]] = {
    "plus a difference": (lambda m, x, w, y: y + (x - w), lambda m, x, w, y: -1 + 0 * x),
    "difference and a sum": (lambda m, x, w, y: (x - w) + (y + 0.1), lambda m, x, w, y: -1 + 0 * x),
    "from left to right": (lambda m, x, w, y: x - w + y + y * y, lambda m, x, w, y: -1 + 0 * x),
    "two differences": (
        lambda m, x, w, y: (x - w) - (y - 0.3) + (w - x) * 0.7,
        lambda m, x, w, y: -0.3 + 0 * x,
    ),
    "under a sine": (
        lambda m, x, w, y: m.sin(2 * math.pi * (x - w) + y),
        lambda m, x, w, y: -2 * math.pi * m.cos(2 * math.pi * (x - w) + y),
    ),
    "phase and offset": (
        lambda m, x, w, y: m.sin((x - w) + y),
        lambda m, x, w, y: -m.cos((x - w) + y),
    ),
    "beside a logarithm that is rewritten": (
        lambda m, x, w, y: y + (x - w) + m.log(1 + m.exp(y)),
        lambda m, x, w, y: -1 + 0 * x,
    ),
    "beside an exponential that is rewritten": (
        lambda m, x, w, y: (x - w) + (m.exp(y) - 1),
        lambda m, x, w, y: -1 + 0 * x,
    ),
}
"""Sums of sums: the order of additions is that of the model."""


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("name", SUMS)
def test_sums_are_added_as_they_are_written(name: str, dtype: str) -> None:
    agrees(SUMS[name], dtype)


@pytest.mark.parametrize(
    ("formula", "exact"),
    [
        (lambda x: (x * 1e-170) ** 2, lambda x: (x * mpmath.mpf("1e-170")) ** 2),
        (lambda x: (x * 1e-200) * (x * 1e-200), lambda x: (x * mpmath.mpf("1e-200")) ** 2),
        (lambda x: 1e-200 / (1e200 / x), lambda x: mpmath.mpf("1e-400") * x),
        (lambda x: (x * 1e-120) ** 3, lambda x: (x * mpmath.mpf("1e-120")) ** 3),
        (
            lambda x: sf.sqrt((x * 1e-170) ** 2 + 1.0),
            lambda x: mpmath.sqrt((x / mpmath.mpf("1e170")) ** 2 + 1),
        ),
        (lambda x: 1 / (x * 1e-180) / (x * 1e-180), lambda x: (x / mpmath.mpf("1e180")) ** -2),
    ],
)
def test_numbers_that_no_float_holds_are_not_made(formula: Formula, exact: Formula) -> None:
    """SymPy would multiply 1e-170² out, which is 0 in a module."""
    points = np.array([1.7e170, 3e150, -2.5e190])
    with sf.Graph().as_default(), sf.Session() as session:
        x = sf.placeholder(shape=("n",))
        with np.errstate(all="ignore"):
            found = session.run(formula(x), {x: points})
    with mpmath.workdps(DIGITS):
        for point, value in zip(points, found, strict=True):
            expected = exact(mpmath.mpf(point))
            if 1e-300 < abs(expected) < 1e300:
                assert abs(value - expected) <= 1e-14 * abs(expected)


@pytest.mark.parametrize("rate", [0.9, 0.999, 0.5, 0.1, 1 / 3, 2.5])
def test_powers_of_numbers_are_computed_as_they_are_written(rate: float) -> None:
    """SymPy 1.13 makes (10/9)^(-step - 1) of 0.9^(step + 1) in a product."""
    schedule = sf.train.exponential_decay(0.1, 10, rate)
    for step in (0, 1, 7, 100):
        with mpmath.workdps(DIGITS):
            expected = mpmath.mpf(0.1) * mpmath.mpf(rate) ** (mpmath.mpf(step) / 10)
            assert abs(schedule.at(step) - expected) <= 1e-14 * expected
    assert "pow(" in sp.srepr(schedule.formula)
