"""Mixtures of which every exponent overflows to -∞: no slope of 0 is made of 0·∞.

That all weights count as 0 where nothing is left to weigh is a convention at a point, and no branch
in which nothing changes. The slopes by a scale are infinite there, in exact arithmetic too large
for a float: what is given is infinite, or NaN, and no number.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import mpmath
import numpy as np
import pytest
from mpmath import mpf

import symflow as sf

X = [-1.5, 0.25, 2.0]
MEANS = [-1.0, 0.5]

Model = Callable[[Any, Any, Any], Any]


def _log_sum(e: Any) -> Any:
    return sf.reduce_logsumexp(e, 1)


def _exponents(d: Any, scale: Any) -> Any:
    return -0.5 * sf.square(d / scale)


MIXTURES: dict[str, tuple[Model, Callable[[Any, Any], Any], float]] = {
    "log scales": (
        lambda d, s, w: _log_sum(sf.log_softmax(w) - s - 0.5 * (d / sf.exp(s)) ** 2),
        lambda d, s: -s - (d / mpmath.exp(s)) ** 2 / 2,
        -1e6,
    ),
    "log precisions": (
        lambda d, s, w: _log_sum(w + s / 2 - 0.5 * sf.square(d) * sf.exp(s)),
        lambda d, s: s / 2 - d**2 * mpmath.exp(s) / 2,
        2e3,
    ),
    "scales": (
        lambda d, s, w: _log_sum(w - sf.log(s) + _exponents(d, s)),
        lambda d, s: -mpmath.log(s) - (d / s) ** 2 / 2,
        1e-200,
    ),
    "variances": (
        lambda d, s, w: _log_sum(w - sf.square(d) / s),
        lambda d, s: -(d**2) / s,
        1e-320,
    ),
    "an exponential scale, by hand": (
        lambda d, s, w: sf.log(sf.reduce_sum(sf.exp(w - (d / sf.exp(s)) ** 2), 1)),
        lambda d, s: -((d / mpmath.exp(s)) ** 2),
        -1e3,
    ),
    "fourth powers": (
        lambda d, s, w: _log_sum(w - (d / s) ** 4),
        lambda d, s: -((d / s) ** 4),
        1e-200,
    ),
}
"""A mixture of distances, scales and logits; the logarithm of one component; a tiny scale."""


def exactly(component: Callable[[Any, Any], Any], scale: float) -> Any:
    """The slope of the sum of logarithms by a common scale, with exponents without an end."""
    with mpmath.workdps(60):
        step = abs(mpf(scale)) * mpf(10) ** -25

        def total(s: Any) -> Any:
            found = mpf(0)
            for x in X:
                exponents = [component(mpf(x) - mpf(m), s) for m in MEANS]
                found += max(exponents)  # the others are smaller by more than any float is large
            return found

        return (total(mpf(scale) + step) - total(mpf(scale) - step)) / (2 * step)


@pytest.mark.parametrize("name", MIXTURES)
def test_no_slope_is_made_of_nothing(name: str) -> None:
    model, component, scale = MIXTURES[name]
    right = float(exactly(component, scale))
    assert np.isinf(right), "a slope that a float can hold shows nothing"
    x, s, w = (sf.placeholder(sf.float64, one) for one in ((3, 1), (2,), (2,)))
    loss = sf.reduce_sum(model(x - np.array(MEANS), s, w))
    feed = {x: np.array(X)[:, None], s: [scale, scale], w: [0.0, 0.0]}
    with np.errstate(all="ignore"):
        value, slope = sf.Session().run([loss, *sf.gradients(loss, [s])], feed)
    assert value == -np.inf
    assert np.all(np.isnan(slope) | (slope == right)), slope


@pytest.mark.parametrize("name", MIXTURES)
def test_where_nothing_overflows_nothing_changes(name: str) -> None:
    """One component, of which the logarithm is the sum."""
    model, component, _ = MIXTURES[name]
    x, s, w = (sf.placeholder(sf.float64, one) for one in ((3, 1), (1,), (1,)))
    loss = sf.reduce_sum(model(x - MEANS[0], s, w))
    feed = {x: np.array(X)[:, None], s: [0.75], w: [0.0]}
    (slope,) = sf.Session().run(sf.gradients(loss, [s]), feed)
    with mpmath.workdps(60):
        distances = [mpf(one) - mpf(MEANS[0]) for one in X]
        right = mpmath.fsum(
            mpmath.diff(lambda scale, d=d: component(d, scale), mpf("0.75")) for d in distances
        )
    np.testing.assert_allclose(slope, [float(right)], rtol=1e-13)
