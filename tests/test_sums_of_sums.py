"""A difference of dates keeps its digits where a rule looks through it: (t - s) + 0.1 is not
t + 0.1 - s, of which the first sum is rounded.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import mpmath
import numpy as np
import pytest

import symflow as sf

FORMULAS: dict[str, Callable[[Any, Any], Any]] = {
    "log": lambda m, d: m.log(d() + 0.1) - m.log(d() + 0.3),
    "log from above": lambda m, d: m.log(0.1 - d()) - m.log(0.2 - d()),
    "root": lambda m, d: m.sqrt(0.1 + d()) - m.sqrt(d()),
    "fraction": lambda m, d: 1 / (d() + 0.1) - 1 / (d() + 0.7),
    "sine": lambda m, d: m.sin(d() + 0.1) - m.sin(d() + 0.2),
    "tangent": lambda m, d: m.tan(d() + 0.1) - m.tan(d() + 0.2),
    "arctangent": lambda m, d: m.atan(d() + 0.1) - m.atan(d() - 0.2),
    "twice": lambda m, d: m.log(d() + 0.1) - m.log((d() + 0.1) + 0.3),
    "log1p": lambda m, d: m.log(1 + (d() + 0.1)) - m.log(d() + 0.1),
    "inverse": lambda m, d: 1 - 1 / (1 + (d() + 0.7)),
    "softplus": lambda m, d: m.log(1 + m.exp(d() + 0.1)),
    "exponential": lambda m, d: m.exp(d() + 0.3) - 1,
    "conjugate": lambda m, d: m.sqrt(m.sqrt(d() + 0.7) + 0.1) - 0.4,
}
DAYS = 2451545.0 + 1 / 3, 2451545.0 + 1 / 3 - 2.0**-12


@pytest.mark.parametrize("name", FORMULAS)
def test_differences_of_dates(name: str) -> None:
    mp = mpmath.mp.clone()
    mp.dps = 60
    formula = FORMULAS[name]
    t, s = (sf.placeholder(sf.float64, ("n",)) for _ in range(2))
    value = formula(sf, lambda: t - s)
    slopes = sf.gradients(sf.reduce_sum(value), [t, s])
    with sf.Session() as session:
        found = session.run([value, *slopes], {t: [DAYS[0]], s: [DAYS[1]]})
    difference = mp.mpf(DAYS[0]) - mp.mpf(DAYS[1])
    slope = mp.diff(lambda d: formula(mp, lambda: d), difference)
    right = [formula(mp, lambda: difference), slope, -slope]
    for one, expected in zip(found, right, strict=True):
        np.testing.assert_allclose(one[0], float(expected), rtol=3e-14)
