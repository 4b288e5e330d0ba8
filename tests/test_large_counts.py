"""log(k / (k + μ)) at large k = eˢ: as exact as written, in spite of the guard against overflow."""

from __future__ import annotations

import mpmath as mp
import numpy as np
import pytest

import symflow as sf

MU = np.array([0.7, 1.3, 2.9, 4.1, 7.7])


@pytest.mark.parametrize("s", [-5.0, 2.0, 10.0, 15.0, 20.0, 25.0])
def test_negative_binomial_term(s: float) -> None:
    with sf.Graph().as_default(), sf.Session() as session:
        at, mu = sf.placeholder(sf.float64, ()), sf.placeholder(sf.float64, ("n",))
        k = sf.exp(at)
        found = session.run(sf.reduce_sum(sf.log(k / (k + mu))), {at: s, mu: MU})
    with mp.workdps(400), np.errstate(all="ignore"):
        k = mp.exp(mp.mpf(s))
        exact = sum(mp.log(k / (k + mp.mpf(float(one)))) for one in MU)
        written = np.log(np.exp(s) / (np.exp(s) + MU))
    naive = abs(float(np.sum(written)) - float(exact))
    assert abs(float(found) - float(exact)) <= 2 * naive + 1e-15


@pytest.mark.parametrize("s", [-760.0, -720.0, 720.0, 800.0])
def test_beyond_the_guard(s: float) -> None:
    """log(eˢ·y) where eˢ overflows or vanishes."""
    with sf.Graph().as_default(), sf.Session() as session:
        at, y = sf.placeholder(sf.float64, ()), sf.placeholder(sf.float64, ())
        value = sf.log(sf.exp(at) / (2 + y))
        found = session.run([value, *sf.gradients(value, [at, y])], {at: s, y: 1.0})
    np.testing.assert_allclose(found, [s - np.log(3), 1.0, -1 / 3], rtol=1e-14)
