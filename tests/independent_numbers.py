"""The same mathematics in three kinds of number: floats, complex numbers, and 50 digits.

An `Arithmetic` is a namespace of functions on NumPy arrays. Formulas that are written with it run
in all three; comparisons look at the real part only, so that the complex step passes through.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import mpmath
import numpy as np
from numpy.typing import NDArray
from scipy import special

Array = NDArray[Any]

DIGITS = 50
_WORKING = 110
"""Digits carried, so that a complex step of 1e-50 is exact to 50 after its square is dropped."""


@dataclass(frozen=True)
class Arithmetic:
    """Functions of one kind of number, under the names of `math`."""

    name: str
    functions: Any
    array: Callable[[Any], Array]
    real: Callable[[Any], Any]
    imaginary: Callable[[Any], Any]
    step: Any
    pi: Any

    def __getattr__(self, name: str) -> Callable[..., Any]:
        found: Callable[..., Any] = self.functions[name]
        return found


_IN_NUMPY = {"asin": "arcsin", "acos": "arccos", "atan": "arctan", "asinh": "arcsinh"}
_IN_NUMPY |= {"acosh": "arccosh", "atanh": "arctanh"}
_NAMES = ["exp", "log", "sqrt", "sin", "cos", "tan", "sinh", "cosh", "tanh", "floor", *_IN_NUMPY]
_SPECIAL = ["erf", "erfc", "loggamma", "digamma"]
_BERNOULLI = [1 / 6, -1 / 30, 1 / 42, -1 / 30, 5 / 66, -691 / 2730, 7 / 6]


def _polygamma(order: int, z: Array) -> Array:
    """The asymptotic series beyond 20 (Abramowitz and Stegun, 6.4.11), and a sum up to there.

    SciPy has none for complex numbers.
    """
    found, far = sum(1 / (z + at) ** (order + 1) for at in range(20)), z + 20
    found = math.factorial(order) * (found + 1 / (2 * far ** (order + 1)))
    found = found + math.factorial(order - 1) / far**order
    for at, bernoulli in enumerate(_BERNOULLI, 1):
        ratio = math.factorial(2 * at + order - 1) / math.factorial(2 * at)
        found = found + bernoulli * ratio / far ** (2 * at + order)
    return -found if order % 2 == 0 else found


FLOAT = Arithmetic(
    "float",
    {name: getattr(np, _IN_NUMPY.get(name, name)) for name in _NAMES}
    | {name: getattr(special, name) for name in _SPECIAL}
    | {"polygamma": _polygamma},
    lambda values: np.asarray(values, complex if np.iscomplexobj(values) else float),
    np.real,
    np.imag,
    1e-30j,
    np.pi,
)
"""For complex numbers too."""

with mpmath.workdps(_WORKING):
    EXACT = Arithmetic(
        "exact",
        {name: np.frompyfunc(getattr(mpmath, name), 1, 1) for name in [*_NAMES, *_SPECIAL]}
        | {"polygamma": np.frompyfunc(mpmath.psi, 2, 1)},
        np.frompyfunc(mpmath.mpmathify, 1, 1),
        np.frompyfunc(lambda value: mpmath.mpmathify(value).real, 1, 1),
        np.frompyfunc(lambda value: mpmath.mpmathify(value).imag, 1, 1),
        mpmath.mpc(0, mpmath.mpf(10) ** -DIGITS),
        +mpmath.pi,
    )
"""Only inside `exactly()`."""


def exactly() -> Any:
    """`with exactly():` numbers of EXACT have more than 50 digits."""
    return mpmath.workdps(_WORKING)
