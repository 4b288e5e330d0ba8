"""What a model's value and slopes are in the limit, by mpmath and moved inputs alone.

A model is a function of a namespace and numbers: of symflow's functions and tensors, or of those
here. A slope at a singular point is the limit of difference quotients on either side of it; what
is not the same on both sides is a kink, where anything between the two is a subgradient.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import mpmath
from mpmath import mp, mpf

DIGITS = 320
NEAR = (mpf(10) ** -30, mpf(10) ** -90)
"""How far beside a point slopes are taken; a limit is what both agree on."""

STEP = mpf(10) ** -60
"""Of a difference quotient, in terms of the distance."""


class Mathematics:
    """symflow's functions, of mpmath's numbers; NaN where there is no real number."""

    def __getattr__(self, name: str) -> Callable[..., Any]:
        function = getattr(mpmath, name)

        def real(*operands: Any) -> Any:
            if any(mpmath.isnan(one) for one in operands):
                return mpmath.nan
            try:
                found = function(*operands)
            except (ValueError, ZeroDivisionError):
                return mpmath.nan
            return found if isinstance(found, mpf) else mpmath.nan

        return real

    def log(self, x: Any) -> Any:
        if mpmath.isnan(x) or x < 0:
            return mpmath.nan
        return -mpmath.inf if x == 0 else mpmath.log(x)

    def log1p(self, x: Any) -> Any:
        return self.log(1 + x)

    def sqrt(self, x: Any) -> Any:
        return mpmath.sqrt(x) if x >= 0 else mpmath.nan

    def rsqrt(self, x: Any) -> Any:
        return _quotient(mpf(1), self.sqrt(x))

    def cbrt(self, x: Any) -> Any:
        return mpmath.sign(x) * mpmath.cbrt(abs(x))

    def pow(self, x: Any, y: Any) -> Any:
        if x < 0 and y != int(y):
            return mpmath.nan
        return mpmath.inf if x == 0 and y < 0 else mpmath.power(x, y)

    def divide(self, x: Any, y: Any) -> Any:
        return _quotient(x, y)

    def reciprocal(self, x: Any) -> Any:
        return _quotient(mpf(1), x)

    def square(self, x: Any) -> Any:
        return x * x

    def abs(self, x: Any) -> Any:
        return abs(x)

    def relu(self, x: Any) -> Any:
        return self.maximum(x, 0)

    def relu6(self, x: Any) -> Any:
        return self.clip_by_value(x, 0, 6)

    def maximum(self, x: Any, y: Any) -> Any:
        return mpmath.nan if mpmath.isnan(x) or mpmath.isnan(y) else max(mpf(x), mpf(y))

    def minimum(self, x: Any, y: Any) -> Any:
        return mpmath.nan if mpmath.isnan(x) or mpmath.isnan(y) else min(mpf(x), mpf(y))

    def clip_by_value(self, x: Any, low: Any, high: Any) -> Any:
        return self.minimum(self.maximum(x, low), high)

    def where(self, condition: Any, x: Any, y: Any) -> Any:
        return x if condition else y

    def sigmoid(self, x: Any) -> Any:
        return 1 / (1 + mpmath.exp(-x))

    def softplus(self, x: Any) -> Any:
        return mpmath.log(1 + mpmath.exp(x))

    def ndtr(self, x: Any) -> Any:
        return mpmath.erfc(-x / mpmath.sqrt(2)) / 2

    def lgamma(self, x: Any) -> Any:
        return mpmath.loggamma(x)

    def logaddexp(self, x: Any, y: Any) -> Any:
        return self.log(mpmath.exp(x) + mpmath.exp(y))

    def xlogy(self, x: Any, y: Any) -> Any:
        return mpf(0) if x == 0 else x * self.log(y)

    def hypot(self, x: Any, y: Any) -> Any:
        return mpmath.sqrt(x * x + y * y)


def _quotient(x: Any, y: Any) -> Any:
    if y != 0:
        return mpmath.mpf(x) / y
    return mpmath.nan if x == 0 or mpmath.isnan(x) else mpmath.sign(x) * mpmath.inf


EXACT = Mathematics()
Model = Callable[..., Any]


def _value(model: Model, at: Sequence[Any]) -> Any:
    """NaN where a quotient by 0 occurs: a limit is taken then."""
    try:
        found = model(EXACT, *at)
    except (ZeroDivisionError, ValueError):
        return mpmath.nan
    return mpmath.mpf(found) if isinstance(found, (mpf, int, float)) else mpmath.nan


def value(model: Model, at: Sequence[float]) -> Any:
    """The value at a point, or the limit there if that is the same along all axes."""
    with mp.workdps(DIGITS):
        point = [mpf(one) for one in at]
        found = _value(model, point)
        if not mpmath.isnan(found):
            return found
        limits = [
            _settled([_value(model, _moved(point, number, side * near)) for near in NEAR])
            for number in range(len(at))
            for side in (1, -1)
        ]
        return _agreed([one for one in limits if not mpmath.isnan(one)])


def slopes(model: Model, at: Sequence[float], by: int, order: int = 1) -> list[Any]:
    """What a derivative tends to on the sides of a point on which it exists: none, one or two."""
    with mp.workdps(2 * order * DIGITS - DIGITS):
        point = [mpf(one) for one in at]
        found = []
        for side in (1, -1):
            sides = [_quotients(model, point, by, side * near, order) for near in NEAR]
            limit = _settled(sides)
            if not mpmath.isnan(limit):
                found.append(limit)
        return found


def _quotients(model: Model, point: Sequence[Any], by: int, shift: Any, order: int) -> Any:
    step = abs(shift) * STEP
    middle = _moved(point, by, shift)
    values = [_value(model, _moved(middle, by, at * step)) for at in range(-order, order + 1)]
    if order == 1:
        return (values[2] - values[0]) / (2 * step)
    return (values[3] - 2 * values[2] + values[1]) / step**2


def _moved(point: Sequence[Any], by: int, shift: Any) -> list[Any]:
    return [one + shift if at == by else one for at, one in enumerate(point)]


def _settled(found: Sequence[Any]) -> Any:
    """A limit from values at two distances, the second much nearer: it may be infinite."""
    far, near = found
    if mpmath.isnan(far) or mpmath.isnan(near):
        return mpmath.nan
    if mpmath.isinf(near) or abs(near - far) <= mpf(10) ** -12 * max(abs(near), mpf(10) ** -3):
        return near
    grows = abs(near) > abs(far) * mpf("1.5") and near * far > 0
    return mpmath.sign(near) * mpmath.inf if grows else mpmath.nan


def _agreed(found: Sequence[Any]) -> Any:
    if not found:
        return mpmath.nan
    same = all(one == found[0] or abs(one - found[0]) <= mpf(10) ** -12 for one in found)
    return found[0] if same else mpmath.nan


def is_right(found: float, sides: Sequence[Any], close: float) -> bool:
    """Whether a number is the limit, or between the two at a kink; anything where there is none."""
    if not sides:
        return True
    low, high = min(sides), max(sides)
    if mpmath.isinf(low) and low == high:
        return bool(found == low)
    slack = close * max(1.0, *(abs(float(one)) for one in sides if not mpmath.isinf(one)), 0.0)
    return bool(low - slack <= found <= high + slack)
