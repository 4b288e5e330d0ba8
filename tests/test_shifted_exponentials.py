"""exp(e - max e) where e is huge: both e are one and the same array, never computed twice."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

import mpmath
import numpy as np
import pytest

MIXTURE = """\
import symflow as sf
x = sf.placeholder(shape=("n",))
m = sf.Variable([-1.0, 0.5])
s = sf.Variable([0.1, -0.1])
l = sf.Variable([0.0, 0.3])
d = (sf.expand_dims(x, 1) - m) / sf.exp(s)
e = sf.log_softmax(l) - s - 0.5 * d ** 2
loss = -sf.reduce_mean(sf.reduce_logsumexp(e, 1))
train_op = sf.train.GradientDescentOptimizer(0.1).minimize(loss)
"""
X = np.array([0.3, -0.7, 1.9, 0.01, -2.5])


def density(x: list[Any], m: list[Any], s: list[Any], weights: list[Any]) -> Any:
    """The loss by the definition of a mixture."""
    total = mpmath.mpf(0)
    size = sum(mpmath.exp(one) for one in weights)
    for one in x:
        parts = [
            mpmath.exp(b) / size * mpmath.exp(-c - ((one - a) / mpmath.exp(c)) ** 2 / 2)
            for a, b, c in zip(m, weights, s, strict=True)
        ]
        total -= mpmath.log(sum(parts)) / len(x)
    return total


def exact(values: Any) -> list[Any]:
    return [mpmath.mpf(float(one)) for one in values]


@pytest.mark.parametrize("style", ["fast", "plain"])
@pytest.mark.parametrize("s", [0.1, -3.0, -10.0, -30.0])
def test_weights_of_a_mixture_with_narrow_parts(
    s: float, style: str, compiled: Callable[..., ModuleType]
) -> None:
    """The gradient by the weights was 0 at s = -30, where 0.23 is right."""
    module = compiled(MIXTURE, style)
    p = module.Parameters([-1.0, 0.5], [s, s], [0.0, 0.3])
    value, gradient = module.loss_and_gradients(p, X)
    with mpmath.workdps(60):
        x, m, widths = exact(X), exact([-1.0, 0.5]), exact([s, s])
        right = density(x, m, widths, exact([0.0, 0.3]))
        slope = mpmath.diff(lambda w: density(x, m, widths, [w, mpmath.mpf(0.3)]), 0)
    np.testing.assert_allclose(value, float(right), rtol=1e-13)
    np.testing.assert_allclose(gradient.l[0], float(slope), rtol=1e-12)
