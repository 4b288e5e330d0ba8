"""Squares of products and quotients whose factors are too large, or too small, to be squared.

SymPy takes (x / y)² apart into x²·y⁻². Written so, 0 / 0 and ∞ / ∞ come of quotients that are
ordinary numbers: in float32, where x and y are beyond 1e±19, as lengths and masses in SI units are.
"""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from styles import module

import symflow as sf

EXPRESSIONS = (
    "sf.square(x * y)",
    "sf.square(x / z)",
    "sf.square(z / x) + 1",
    "x * y * x * y",
    "(x / z) * (x / z)",
    "sf.pow(x * y, 3.0)",
    "sf.pow(x * y, 4.0)",
    "sf.pow(x / z, 5.0)",
    "1 / sf.square(x * y)",
    "1 / (1 + sf.square(x / z))",
    "sf.square(x * y) * y * x",
    "sf.square((x - 2 * z) / z)",
    "w * sf.square(x * y)",
    "sf.square(w * x * y)",
    "sf.square(sf.abs(x) * y)",
)


@pytest.mark.parametrize("style", ["fast", "plain"])
@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_they_are_what_is_written(expression: str, style: Any, tmp_path: Path) -> None:
    path = tmp_path / "model.py"
    path.write_text(
        "import symflow as sf\n"
        'x, y, z = (sf.placeholder(sf.float64, ("n",), name) for name in "xyz")\n'
        "w = sf.Variable(0.5)\n"
        f"value = {expression}\n"
        "loss = sf.reduce_sum(w * value)\n"
        '__all__ = ["value"]\n'
        "train_op = sf.train.GradientDescentOptimizer(0.1).minimize(loss)\n",
        encoding="utf-8",
    )
    for dtype, scale in (("float64", 2.0**600), ("float64", 2.0**-600), ("float32", 2.0**75)):
        made = module(path, style, dtype)
        x = np.array([1.0, -3.0, 0.625], dtype) * np.array(scale, dtype)
        y = (np.array([0.5, 0.25, 2.0], dtype) / np.array(scale, dtype)).astype(dtype)
        z = np.array([4.0, 0.5, -1.0], dtype) * np.array(scale, dtype)
        given = dict(zip("xyz", (x, y, z), strict=True))
        p = made.initial_parameters(dtype=np.dtype(dtype))
        names = made.value.__code__.co_varnames[: made.value.__code__.co_argcount]
        found = made.value(p, *(given[name] for name in names[1:]))
        loss = made.loss(p, *(given[name] for name in names[1:]))
        wanted = [
            exact(expression, *map(Fraction, map(float, row))) for row in zip(x, y, z, strict=True)
        ]
        np.testing.assert_allclose(found, wanted, rtol=4 * np.finfo(dtype).eps)
        np.testing.assert_allclose(loss, sum(wanted) / 2, rtol=100 * np.finfo(dtype).eps)


def exact(expression: str, x: Fraction, y: Fraction, z: Fraction) -> float:
    class Exact:
        square = staticmethod(lambda one: one * one)
        pow = staticmethod(lambda one, power: one ** int(power))
        abs = staticmethod(abs)

    return float(eval(expression, {"sf": Exact, "x": x, "y": y, "z": z, "w": Fraction(1, 2)}))


def test_scalars() -> None:
    """The same where all is computed in Python's floats."""
    with sf.Graph().as_default(), sf.Session() as session:
        x, y = sf.placeholder(sf.float64, ()), sf.placeholder(sf.float64, ())
        assert session.run(sf.square(x / y), {x: 3e200, y: 1e200}) == 9.0
        assert session.run(sf.square(x * y), {x: 2.0**600, y: 2.0**-599}) == 4.0
