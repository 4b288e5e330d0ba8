"""A user's own operation is tested when it is added."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import sympy as sp
from reference import evaluate

import symflow as sf
from symflow.elementwise import ROWS
from symflow.errors import SymflowError


@pytest.fixture(autouse=True)
def own_table() -> Iterator[None]:
    before = dict(ROWS)
    yield
    ROWS.clear()
    ROWS.update(before)


def gradient_at(function: Any, values: list[float]) -> tuple[Any, Any, Any]:
    x = sf.placeholder(sf.float64, ("n",))
    y = function(x)
    (first,) = sf.gradients(sf.reduce_sum(y), x)
    (second,) = sf.gradients(sf.reduce_sum(first), x)
    return evaluate([y, first, second], {x: np.array(values)})


def test_partials_and_numpy_of_ones_own() -> None:
    own = sf.operation(
        "own_expm1", lambda x: sp.exp(x) - 1, partials=lambda x, y: [y + 1], numpy="np.expm1({0})"
    )
    value, first, second = gradient_at(own, [1e-20, 1.0])
    assert value.tolist() == [1e-20, np.expm1(1.0)]
    np.testing.assert_allclose(first, np.exp([1e-20, 1.0]), rtol=1e-15)
    np.testing.assert_allclose(second, np.exp([1e-20, 1.0]), rtol=1e-15)


def test_partials_follow_from_the_maths_where_only_numpy_is_given() -> None:
    own = sf.operation("own_cube", lambda x: x**3, numpy="{0} ** 3")
    x = sf.placeholder(sf.float64, ("n",))
    (slope,) = sf.gradients(sf.reduce_sum(2 * own(x + 1)), x)
    value = evaluate([2 * own(x + 1), slope], {x: np.array([1.0, 2.0])})
    assert [one.tolist() for one in value] == [[16.0, 54.0], [24.0, 54.0]]


def test_a_convention_at_a_kink_may_be_any_in_the_interval() -> None:
    """0.13 of the way is a point that is tested, and here the kink."""
    for number, slope in enumerate((-1.0, 0.3, 1.0)):
        sf.operation(
            f"own_abs_{number}",
            lambda x: sp.Abs(x),
            partials=lambda x, y, slope=slope: [sp.sign(x) + slope * (1 - sp.sign(x) ** 2)],
            domain=((-0.13, 0.87),),
        )


@pytest.mark.parametrize(
    ("maths", "options", "message"),
    [
        (
            lambda x: sp.exp(x) - 1,
            {"partials": lambda x, y: [y]},
            r"the derivative by x is wrong at x = -2.22: it gives -0.8913908912, and difference "
            r"quotients of the maths give 0.1086091088",
        ),
        (
            lambda x, y: x**2 * y,
            {"partials": lambda x, y, z: [2 * x * y, x]},
            "the derivative by y is wrong at x = -2.22, y = -0.54: it gives -2.22, .* 4.9284",
        ),
        (lambda x: x * sp.sin(x), {"partials": lambda x, y: [sp.sin(x)]}, "derivative by x is"),
        (lambda x, y: x * y, {"partials": lambda x, y, z: [y]}, "too few"),
        (lambda x: sp.exp(x) - 1, {"numpy": "np.exp({0})"}, r"np.exp\(.*gives 0.10.*maths -0.89"),
        (lambda x: x, {"numpy": "np.sum({0})"}, r"gives shape \(\) for 5 numbers"),
        (lambda x: x, {"numpy": "{0} * np.ones(5)"}, "gives float64 for float32"),
        (lambda x: x, {"numpy": "nope({0})"}, "numpy= calls nope, which a module does not have"),
        (lambda x: x, {"numpy": "np.exp({1})"}, r"is no expression with the operands as \{0\}"),
        (lambda x: x, {"numpy": "np.exp({0}"}, "is no expression"),
        (lambda x: x, {"numpy": np.exp}, "is no expression"),
        (lambda x: sp.log(-x), {"domain": ((1.0, 2.0),)}, "no real value at any point tried"),
    ],
)
def test_what_is_wrong_is_refused(maths: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(SymflowError, match=r"test_registration\.py:\d+: wrong: .*" + message):
        sf.operation("wrong", maths, **options)
    assert "wrong" not in ROWS


def test_points_outside_of_the_natural_domain_are_passed_over() -> None:
    value, first, _ = gradient_at(sf.operation("own_log", lambda x: sp.log(x)), [2.0, 4.0])
    np.testing.assert_allclose(value, np.log([2.0, 4.0]))
    np.testing.assert_allclose(first, [0.5, 0.25])


def test_it_takes_no_time() -> None:
    sf.operation("warm", lambda x: sp.sin(x))
    taken = []
    for number in range(5):
        start = time.perf_counter()
        sf.operation(f"timed_{number}", lambda x, number=number: x / (number + 1 + sp.Abs(x)))
        taken.append(time.perf_counter() - start)
    assert min(taken) < 0.05
