"""A rule is taken where it is proved of a product by its name, though not of the product itself.

log(1 + u) - log(u) demands that u is positive, which says that x·w is, but neither x nor w. Taken
in some of the readers of a difference and not in the difference, two numbers that cancel are
computed in two ways.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import mpmath
import numpy as np
import pytest

import symflow as sf
from symflow.program import slot
from symflow.signs import NONNEGATIVE, NOTHING, POSITIVE

AROUND: dict[str, Callable[[Any, Any], Any]] = {
    "alone": lambda m, z: z,
    "root": lambda m, z: m.sqrt(z),
    "square": lambda m, z: z * z,
    "logarithm": lambda m, z: m.log(z),
    "sine": lambda m, z: m.sin(z),
}
WITHIN: dict[str, Callable[[Any, Any], Any]] = {
    "product": lambda x, w: x * w,
    "quotient": lambda x, w: x / w,
    "double": lambda x, w: 2 * x * w,
}
NEAR = {"product": (3e5, 4e3), "quotient": (7e6, 0.3), "double": (5e3, 7e4)}


@pytest.mark.parametrize("around", AROUND)
@pytest.mark.parametrize("within", WITHIN)
def test_second_derivatives_of_differences_of_logarithms(around: str, within: str) -> None:
    mp = mpmath.mp.clone()
    mp.dps = 80

    def formula(m: Any, x: Any, w: Any) -> Any:
        u = WITHIN[within](x, w)
        return AROUND[around](m, m.log(1 + u) - m.log(u))

    x, w = (sf.placeholder(sf.float64, ("n",)) for _ in range(2))
    value = formula(sf, x, w)
    slope = sf.gradients(sf.reduce_sum(value), x)[0]
    bend = sf.gradients(sf.reduce_sum(slope), x)[0]
    point = NEAR[within]
    with sf.Session() as session:
        found = session.run([value, slope, bend], {x: [point[0]], w: [point[1]]})
    at = [mp.mpf(one) for one in point]
    for order, one in enumerate(found):
        right = mp.diff(lambda x: formula(mp, x, at[1]), at[0], order)
        lost = WITHIN[within](*point) * 1e-15 if order else 0.0  # by 1 / (1 + u) - 1 / u
        np.testing.assert_allclose(one[0], float(right), rtol=1e-13 + 10 * lost)


@pytest.mark.parametrize("assumed", [POSITIVE, NONNEGATIVE])
def test_the_inverse_of_a_product_has_its_sign(assumed: Any) -> None:
    a, b, c = (slot(number) for number in range(3))
    known = NOTHING.assuming((a * b, assumed))
    assert known.range(1 / (a * b)).nonnegative
    assert known.range(2 / (a * b)).nonnegative
    assert not known.range(c / (a * b)).nonnegative
    assert not known.range(1 / (a * c)).nonnegative
    assert known.range(-1 / (a * b)).nonpositive
