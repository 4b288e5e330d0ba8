"""Every elementwise operation and its partial derivatives once more, by hand.

Nothing here comes from symflow or SymPy: these are the formulas of a textbook, in the arithmetic
`m`, for comparison with what symflow derives. `kinks` are the quantities that change sign where
the operation has no derivative or jumps; random graphs stay away from them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Row:
    """`value(m, *x)`; `partials[k](m, *x, y)`; `text` as a model writes it."""

    name: str
    text: str
    value: Callable[..., Any]
    partials: tuple[Callable[..., Any], ...]
    kinks: Callable[..., list[Any]] | None = None
    jumps: bool = False


ROWS: dict[str, Row] = {}

_SCALE, _ALPHA = 1.0507009873554804934, 1.6732632423543772848
"""Of selu; Klambauer and others, 2017."""


def row(
    name: str,
    value: Callable[..., Any],
    *partials: Callable[..., Any],
    text: str | None = None,
    kinks: Callable[..., list[Any]] | None = None,
    jumps: bool = False,
) -> None:
    operands = value.__code__.co_argcount - 1
    called = f"sf.{name}({', '.join(f'{{{at}}}' for at in range(operands))})"
    ROWS[name] = Row(name, text or called, value, partials, kinks, jumps)


def _nothing(*_: Any) -> int:
    return 0


def _sigmoid(m: Any, x: Any) -> Any:
    return 1 / (1 + m.exp(-x))


def _positive(m: Any, x: Any) -> Any:
    return m.real(x) > 0


def _cube_root(m: Any, x: Any) -> Any:
    size = np.where(m.real(x) < 0, -x, x)
    root = m.exp(m.log(np.where(size == 0, 1, size)) / 3)
    return np.where(size == 0, 0, np.where(m.real(x) < 0, -root, root))


def _angle(m: Any, y: Any, x: Any) -> Any:
    """The angle of (x, y) by the arc tangent of whichever quotient is at most one."""
    flat = abs(m.real(x)) > abs(m.real(y))
    below, left = m.real(y) < 0, m.real(x) < 0
    over_x = m.atan(y / np.where(flat, x, 1)) + np.where(left, np.where(below, -1, 1), 0) * m.pi
    over_y = np.where(below, -1, 1) * m.pi / 2 - m.atan(x / np.where(flat, 1, y))
    return np.where(flat, over_x, over_y)


def _nearest(m: Any, x: Any) -> Any:
    return m.floor(m.real(x) + 0.5)


def _clip(m: Any, x: Any, low: Any, high: Any) -> Any:
    raised = np.where(m.real(x) < m.real(low), low, x)
    return np.where(m.real(x) > m.real(high), high, raised)


def _inside(m: Any, x: Any, low: Any, high: Any) -> Any:
    return (m.real(x) >= m.real(low)) & (m.real(x) <= m.real(high))


row("add", lambda m, x, y: x + y, lambda m, *_: 1, lambda m, *_: 1, text="({0} + {1})")
row("subtract", lambda m, x, y: x - y, lambda m, *_: 1, lambda m, *_: -1, text="({0} - {1})")
row("multiply", lambda m, x, y: x * y, lambda m, x, y, z: y, lambda m, x, y, z: x, text="{0} * {1}")
row(
    "divide",
    lambda m, x, y: x / y,
    lambda m, x, y, z: 1 / y,
    lambda m, x, y, z: -x / (y * y),
    text="{0} / {1}",
)
row("negative", lambda m, x: -x, lambda m, x, y: -1, text="(-{0})")
row("square", lambda m, x: x * x, lambda m, x, y: 2 * x)
row("sqrt", lambda m, x: m.sqrt(x), lambda m, x, y: 1 / (2 * y))
row(
    "pow",
    lambda m, x, y: x**y,
    lambda m, x, y, z: y * x ** (y - 1),
    lambda m, x, y, z: x**y * m.log(x),
    text="{0} ** {1}",
)
row("exp", lambda m, x: m.exp(x), lambda m, x, y: m.exp(x))
row("log", lambda m, x: m.log(x), lambda m, x, y: 1 / x)
row("sin", lambda m, x: m.sin(x), lambda m, x, y: m.cos(x))
row("cos", lambda m, x: m.cos(x), lambda m, x, y: -m.sin(x))
row("tan", lambda m, x: m.tan(x), lambda m, x, y: 1 / m.cos(x) ** 2)
row("tanh", lambda m, x: m.tanh(x), lambda m, x, y: 1 - y * y)
row("sinh", lambda m, x: m.sinh(x), lambda m, x, y: m.cosh(x))
row("cosh", lambda m, x: m.cosh(x), lambda m, x, y: m.sinh(x))
row("asin", lambda m, x: m.asin(x), lambda m, x, y: 1 / m.sqrt(1 - x * x))
row("acos", lambda m, x: m.acos(x), lambda m, x, y: -1 / m.sqrt(1 - x * x))
row("atan", lambda m, x: m.atan(x), lambda m, x, y: 1 / (1 + x * x))
row("asinh", lambda m, x: m.asinh(x), lambda m, x, y: 1 / m.sqrt(1 + x * x))
row("acosh", lambda m, x: m.acosh(x), lambda m, x, y: 1 / m.sqrt(x * x - 1))
row("atanh", lambda m, x: m.atanh(x), lambda m, x, y: 1 / (1 - x * x))
row(
    "atan2",
    _angle,
    lambda m, y, x, z: x / (x * x + y * y),
    lambda m, y, x, z: -y / (x * x + y * y),
    text="sf.atan2({0}, {1})",
    kinks=lambda m, y, x: [y],  # behind the origin the angle jumps
    jumps=True,
)
row("sigmoid", _sigmoid, lambda m, x, y: y * (1 - y))
row("softplus", lambda m, x: m.log(1 + m.exp(x)), lambda m, x, y: 1 / (1 + m.exp(-x)))
row("log_sigmoid", lambda m, x: -m.log(1 + m.exp(-x)), lambda m, x, y: 1 / (1 + m.exp(x)))
row(
    "swish",
    lambda m, x: x * _sigmoid(m, x),
    lambda m, x, y: _sigmoid(m, x) * (1 + x * _sigmoid(m, -x)),
)
row(
    "gelu",
    lambda m, x: x / 2 * (1 + m.tanh(m.sqrt(2 / m.pi) * (x + x**3 * 44715 / 10**6))),
    lambda m, x, y: (
        (1 + m.tanh(m.sqrt(2 / m.pi) * (x + x**3 * 44715 / 10**6))) / 2
        + x
        / 2
        / m.cosh(m.sqrt(2 / m.pi) * (x + x**3 * 44715 / 10**6)) ** 2
        * m.sqrt(2 / m.pi)
        * (1 + 3 * x**2 * 44715 / 10**6)
    ),
)
row("reciprocal", lambda m, x: 1 / x, lambda m, x, y: -1 / (x * x))
row("rsqrt", lambda m, x: 1 / m.sqrt(x), lambda m, x, y: -1 / (2 * x * m.sqrt(x)))
row("cbrt", _cube_root, lambda m, x, y: 1 / (3 * y * y), kinks=lambda m, x: [x])
row(
    "hypot",
    lambda m, x, y: m.sqrt(x * x + y * y),
    lambda m, x, y, z: x / z,
    lambda m, x, y, z: y / z,
    kinks=lambda m, x, y: [x * x + y * y],
)
row("expm1", lambda m, x: m.exp(x) - 1, lambda m, x, y: m.exp(x))
row("log1p", lambda m, x: m.log(1 + x), lambda m, x, y: 1 / (1 + x))
row("log2", lambda m, x: m.log(x) / m.log(2), lambda m, x, y: 1 / (x * m.log(2)))
row("log10", lambda m, x: m.log(x) / m.log(10), lambda m, x, y: 1 / (x * m.log(10)))
row(
    "logaddexp",
    lambda m, x, y: m.log(m.exp(x) + m.exp(y)),
    lambda m, x, y, z: m.exp(x - z),
    lambda m, x, y, z: m.exp(y - z),
)
row(
    "xlogy",
    lambda m, x, y: x * m.log(y),
    lambda m, x, y, z: m.log(y),
    lambda m, x, y, z: x / y,
)
row(
    "relu",
    lambda m, x: np.where(_positive(m, x), x, 0),
    lambda m, x, y: np.where(_positive(m, x), 1, 0),
    kinks=lambda m, x: [x],
)
row(
    "abs",
    lambda m, x: np.where(m.real(x) < 0, -x, x),
    lambda m, x, y: np.where(m.real(x) < 0, -1, 1),
    kinks=lambda m, x: [x],
)
row(
    "sign",
    lambda m, x: np.where(_positive(m, x), 1.0, np.where(m.real(x) < 0, -1.0, 0.0)),
    _nothing,
    kinks=lambda m, x: [x],
    jumps=True,
)
row(
    "maximum",
    lambda m, x, y: np.where(m.real(x) > m.real(y), x, y),
    lambda m, x, y, z: np.where(m.real(x) > m.real(y), 1, 0),
    lambda m, x, y, z: np.where(m.real(x) > m.real(y), 0, 1),
    kinks=lambda m, x, y: [x - y],
)
row(
    "minimum",
    lambda m, x, y: np.where(m.real(x) < m.real(y), x, y),
    lambda m, x, y, z: np.where(m.real(x) < m.real(y), 1, 0),
    lambda m, x, y, z: np.where(m.real(x) < m.real(y), 0, 1),
    kinks=lambda m, x, y: [x - y],
)
row(
    "where",
    lambda m, condition, x, y: np.where(condition, x, y),
    _nothing,
    lambda m, condition, x, y, z: np.where(condition, 1, 0),
    lambda m, condition, x, y, z: np.where(condition, 0, 1),
)
row("to_float", lambda m, x: x * 1.0 if x.dtype != bool else np.where(x, 1.0, 0.0), _nothing)
for _name, _symbol, _function in (
    ("greater", ">", np.greater),
    ("greater_equal", ">=", np.greater_equal),
    ("less", "<", np.less),
    ("less_equal", "<=", np.less_equal),
    ("equal", "==", np.equal),
    ("not_equal", "!=", np.not_equal),
):
    row(
        _name,
        lambda m, x, y, function=_function: function(m.real(x), m.real(y)).astype(bool),
        _nothing,
        _nothing,
        text=f"({{0}} {_symbol} {{1}})",
        kinks=lambda m, x, y: [x - y],
        jumps=True,
    )
row("logical_and", lambda m, x, y: x & y, _nothing, _nothing)
row("logical_or", lambda m, x, y: x | y, _nothing, _nothing)
row("logical_xor", lambda m, x, y: x ^ y, _nothing, _nothing)
row("logical_not", lambda m, x: ~x, _nothing)
row(
    "floor",
    lambda m, x: m.floor(m.real(x)),
    _nothing,
    kinks=lambda m, x: [x - _nearest(m, x)],
    jumps=True,
)
row(
    "ceil",
    lambda m, x: -m.floor(-m.real(x)),
    _nothing,
    kinks=lambda m, x: [x - _nearest(m, x)],
    jumps=True,
)
row("round", _nearest, _nothing, kinks=lambda m, x: [x - m.floor(m.real(x)) - 0.5], jumps=True)
row(
    "floormod",
    lambda m, x, y: x - y * m.floor(m.real(x / y)),
    lambda m, x, y, z: 1,
    lambda m, x, y, z: -m.floor(m.real(x / y)),
    kinks=lambda m, x, y: [x / y - _nearest(m, x / y)],
    jumps=True,
)
row(
    "clip_by_value",
    _clip,
    lambda m, x, low, high, z: np.where(_inside(m, x, low, high), 1, 0),
    lambda m, x, low, high, z: np.where(m.real(x) < m.real(low), 1, 0),
    lambda m, x, low, high, z: np.where(m.real(x) > m.real(high), 1, 0),
    text="sf.clip_by_value({0}, {1}, {2})",
    kinks=lambda m, x, low, high: [x - low, x - high, high - low],
)
row(
    "elu",
    lambda m, x, alpha: np.where(_positive(m, x), x, alpha * (m.exp(x) - 1)),
    lambda m, x, alpha, y: np.where(_positive(m, x), 1, alpha * m.exp(x)),
    lambda m, x, alpha, y: np.where(_positive(m, x), 0, m.exp(x) - 1),
    kinks=lambda m, x, alpha: [x],
)
row(
    "selu",
    lambda m, x: _SCALE * np.where(_positive(m, x), x, _ALPHA * (m.exp(x) - 1)),
    lambda m, x, y: _SCALE * np.where(_positive(m, x), 1, _ALPHA * m.exp(x)),
    kinks=lambda m, x: [x],
)
row(
    "leaky_relu",
    lambda m, x, alpha: np.where(_positive(m, x), x, alpha * x),
    lambda m, x, alpha, y: np.where(_positive(m, x), 1, alpha),
    lambda m, x, alpha, y: np.where(_positive(m, x), 0, x),
    kinks=lambda m, x, alpha: [x],
)
row(
    "relu6",
    lambda m, x: _clip(m, x, 0, 6),
    lambda m, x, y: np.where(_inside(m, x, 0, 6), 1, 0),
    kinks=lambda m, x: [x, x - 6],
)
row(
    "hard_sigmoid",
    lambda m, x: _clip(m, x / 5 + 0.5, 0, 1),
    lambda m, x, y: np.where(_inside(m, x / 5 + 0.5, 0, 1), 1, 0) * (x * 0 + 1) / 5,
    kinks=lambda m, x: [x - 2.5, x + 2.5],
)
row(
    "hard_tanh",
    lambda m, x: _clip(m, x, -1, 1),
    lambda m, x, y: np.where(_inside(m, x, -1, 1), 1, 0),
    kinks=lambda m, x: [x - 1, x + 1],
)
