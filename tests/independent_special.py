"""Error functions, the gamma function, and exponentials near 0 once more, by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
from independent_operations import OPERATIONS, Drawn, elementwise, operation
from independent_rows import row
from scipy import special


def _inverse_erf(m: Any, x: Any) -> Any:
    """By Newton's method from SciPy's result, since that is for real numbers only."""
    found = m.array(special.erfinv(np.asarray(m.real(x), float)))
    for _ in range(1 if m.name == "float" else 4):
        found = found - (m.erf(found) - x) * m.sqrt(m.pi) / 2 * m.exp(found * found)
    return found


def _bell(m: Any, x: Any) -> Any:
    return m.exp(-x * x / 2) / m.sqrt(2 * m.pi)


row("erf", lambda m, x: m.erf(x), lambda m, x, y: 2 * m.exp(-x * x) / m.sqrt(m.pi))
row("erfc", lambda m, x: m.erfc(x), lambda m, x, y: -2 * m.exp(-x * x) / m.sqrt(m.pi))
row("erfinv", _inverse_erf, lambda m, x, y: m.sqrt(m.pi) / 2 * m.exp(y * y))
row(
    "ndtr",
    lambda m, x: m.erfc(-x / m.sqrt(2)) / 2,
    lambda m, x, y: _bell(m, x),
)
row(
    "ndtri",
    lambda m, x: m.sqrt(2) * _inverse_erf(m, 2 * x - 1),
    lambda m, x, y: 1 / _bell(m, y),
)
row(
    "log_ndtr",
    lambda m, x: m.log(m.erfc(-x / m.sqrt(2)) / 2),
    lambda m, x, y: _bell(m, x) / m.exp(y),
)
row(
    "erfcx",
    lambda m, x: m.exp(x * x) * m.erfc(x),
    lambda m, x, y: 2 * x * y - 2 / m.sqrt(m.pi),
)
row(
    "log_cosh",
    lambda m, x: m.log((m.exp(x) + m.exp(-x)) / 2),
    lambda m, x, y: m.tanh(x),
    text="sf.log(sf.cosh({0}))",
)
row("lgamma", lambda m, x: m.loggamma(x), lambda m, x, y: m.digamma(x))
row("digamma", lambda m, x: m.digamma(x), lambda m, x, y: m.polygamma(1, x))
row(
    "xlogx",
    lambda m, x: x * m.log(x),
    lambda m, x, y: m.log(x) + 1,
    text="({0} * sf.log({0}))",
)
row(
    "log1mexp",
    lambda m, x: m.log(1 - m.exp(x)),
    lambda m, x, y: m.exp(x) / (m.exp(x) - 1),
    text="sf.log(1.0 - sf.exp({0}))",
)
row(
    "exp_over_expm1",
    lambda m, x: m.exp(x) / (m.exp(x) - 1),
    lambda m, x, y: -m.exp(x) / (m.exp(x) - 1) ** 2,
    text="(sf.exp({0}) / (sf.exp({0}) - 1.0))",
)
row(
    "difference_of_squares",
    lambda m, x, y: x**2 - y**2,
    lambda m, x, y, z: 2 * x,
    lambda m, x, y, z: -2 * y,
    text="({0} ** 2 - {1} ** 2)",
)
for _name in ("erf", "erfc", "erfcx", "erfinv", "log_ndtr", "ndtr", "ndtri", "lgamma", "digamma"):
    OPERATIONS[_name] = elementwise(_name)
for _name in (
    "xlogx",
    "log1mexp",
    "exp_over_expm1",
    "difference_of_squares",
    "log_cosh",
):  # which models do not name
    OPERATIONS[_name] = elementwise(_name)


def _draw_polygamma(drawing: Any) -> Drawn:
    x = drawing.floating()
    return None if x is None else ([drawing.within(x, 0.1, 4.0)], {"order": drawing.integer(1, 4)})


operation(
    "polygamma",
    "sf.polygamma({order}, {0})",
    lambda m, x, order: m.polygamma(order, x[0]),
    _draw_polygamma,
    lambda m, x, t, y, order: m.polygamma(order + 1, x[0]) * t[0],
    weight=0.5,
)
