"""The table of elementwise operations: one row each. See `elementwise.py` for what a row is."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Sequence
from functools import cache

import sympy as sp

from symflow.elementwise import ROWS as ROWS
from symflow.elementwise import Domain, Elementwise, choose
from symflow.program import number, slot

_BOTH: Domain = ((-3.0, 3.0), (-3.0, 3.0))
_POSITIVE: Domain = ((0.1, 4.0),)

_HALF = sp.Rational(1, 2)
_GELU = number(math.sqrt(2 / math.pi))
_SELU = number(1.0507009873554804934), number(1.6732632423543772848)
"""Scale and alpha of self-normalising networks, by Klambauer and others, to full precision."""


_HILL = slot(0), slot(1), slot(2)
"""x, k and h of the Hill function."""


def _where(condition: sp.Expr, yes: sp.Expr, no: sp.Expr) -> sp.Expr | None:
    if condition.is_Number:
        return no if condition == 0 else yes
    return yes if yes == no else None


def _power(base: sp.Expr, exponent: sp.Expr) -> sp.Expr | None:
    return base**exponent if exponent.is_Number else None


def _masked_product(x: sp.Expr, y: sp.Expr) -> sp.Expr | None:
    if x == 0 or x.is_Number or y.is_Number:
        return x if x == 0 else x * y
    number, rest = y.as_coeff_Mul()
    if isinstance(rest, sp.Pow) and rest.exp.is_negative:
        return number * masked_quotient(x, 1 / rest)
    return None


@cache
def _hill_curvatures() -> Sequence[sp.Expr]:
    """The derivatives in slots of the slope of xʰ / (xʰ + kʰ) by x: products of few powers of x and
    k, of the smaller of x / k and k / x, so that less underflows than does in the slope."""
    x, k, h = _HILL
    near = h * power(x / k, abs_(h) - 1) * hill(k, x, abs_(h)) ** 2 / k
    far = h * power(k / x, abs_(h)) * hill(x, k, abs_(h)) ** 2 / x
    tilt = h * (hill(k, x, h) - hill(x, k, h))
    found = [
        (near.diff(x), hill_slope(x, k, h) * (tilt - 1) / x),
        (-hill_slope(x, k, h) * tilt / k, far.diff(k)),
        (near.diff(h), far.diff(h)),
    ]
    return [where(less(abs_(x), abs_(k)), *branches) for branches in found]


def _x_log_number(x: sp.Expr, y: sp.Expr) -> sp.Expr | None:
    if x.is_Number:
        return x if x == 0 else x * log(y)
    return x * log(y) if y.is_Number and y > 0 else None


def _elu_of_number(x: sp.Expr, alpha: sp.Expr) -> sp.Expr | None:
    if not x.is_Number:
        return None
    return x if x >= 0 else alpha * (sp.exp(x) - 1)


def _polygamma(order: sp.Expr, x: sp.Expr) -> sp.Expr | None:
    return digamma(x) if order == 0 else None


def _sign_of_product(x: sp.Expr) -> sp.Expr | None:
    return sp.sign(x) if x.is_Number else None


def _between(x: sp.Expr, y: sp.Expr) -> sp.Expr:
    """1 where x > y, 0 where x < y, a half where they are equal."""
    return (1 + sign(x - y)) / 2


def _predicate(name: str, maths: Callable[..., sp.Expr], symbol: str, doc: str) -> Elementwise:
    return Elementwise(
        name,
        maths,
        doc,
        partials=lambda *operands: [0] * (len(operands) - 1),
        numpy=f"{{0}} {symbol} {{1}}",
        opaque=True,
        result="bool",
        domain=((-3.0, 3.0), (-3.0, 3.0)),
    )


def _connective(name: str, maths: Callable[..., sp.Expr], doc: str) -> Elementwise:
    arity = len(inspect.signature(maths).parameters)
    return Elementwise(
        name,
        maths,
        doc,
        partials=lambda *operands: [0] * (len(operands) - 1),
        numpy=f"np.{name}({', '.join(f'{{{number}}}' for number in range(arity))})",
        opaque=True,
        result="bool",
        takes="booleans",
        domain=((0.0, 1.0),) * arity,
    )


def _logarithm(name: str, base: int, doc: str) -> Elementwise:
    return Elementwise(
        name,
        lambda x: sp.log(x) / sp.log(base),
        doc,
        partials=lambda x, y: [sp.Rational(str((1 / sp.log(base)).evalf(60))) / x],
        numpy=f"np.{name}({{0}})",
        opaque=True,
        result="float",
        domain=_POSITIVE,
    )


def _step(name: str, maths: Callable[..., sp.Expr], doc: str, numpy: str) -> Elementwise:
    return Elementwise(
        name,
        maths,
        f"{doc} Its derivative is 0 everywhere.",
        partials=lambda x, y: [0],
        numpy=f"{numpy}({{0}})",
        opaque=True,
        result="float",
    )


def _line_between(
    name: str, low: int, line: Callable[[sp.Expr], sp.Expr], text: str, edges: str, slope: str
) -> Elementwise:
    """A line, clipped to [low, 1]."""
    return Elementwise(
        name,
        lambda x: sp.Piecewise((low, line(x) < low), (1, line(x) > 1), (line(x), True)),
        f"{text}, but no less than {low} and no more than 1. {edges} the derivative is {slope}.",
        opaque=True,
        evaluate=lambda x: clip_by_value(line(x), low, 1),
        result="float",
    )


def _has_no_inverse(y: sp.Expr) -> sp.Expr:
    """Whether y is no positive number: by it, 0 / y may be anything."""
    return logical_or(less_equal(y, 0), equal(y, sp.oo))


def _cosine(x: sp.Expr, y: sp.Expr, length: sp.Expr) -> sp.Expr:
    """x / √(x² + y²), and 0 at the origin.

    The 0 stands in the choice itself: as a factor x / 1 it would cancel against one of 1 / x.
    """
    if any(one.is_Number and one != 0 for one in (x, y)):
        return x / length
    return where(greater(length, 0), x / length, 0)


def _turning(x: sp.Expr, y: sp.Expr) -> sp.Expr:
    """x / (x² + y²), and 0 at the origin."""
    square = x**2 + y**2
    return where(greater(square, 0), x / square, 0)


def _weight(x: sp.Expr, y: sp.Expr, total: sp.Expr) -> sp.Expr:
    """eˣ / (eˣ + eʸ), and 0 where both are -∞."""
    if any(one.is_Number for one in (x, y)):
        return logistic(x - y)
    some = greater(total, -sp.oo)
    return where(some, logistic(where(some, x, 0) - y), 0)


_DERIVATIVES = ("", "_slope", "_curvature")


def _removable(
    name: str,
    maths: Callable[[sp.Expr], sp.Expr],
    text: str,
    next_: Callable[[sp.Expr, int, sp.Expr], sp.Expr],
    beyond: tuple[sp.Expr, sp.Expr],
    domain: Domain,
) -> list[Elementwise]:
    """A quotient f(x) / x that is a number at 0 too, and its derivatives to second order, each by
    its series near 0.

    next_   the derivative of the one of that order, from its value, where x is not 0: of x·q = f,
            x·q⁽ⁿ⁺¹⁾ + (n + 1)·q⁽ⁿ⁾ = f⁽ⁿ⁺¹⁾
    beyond  the third and the fourth derivative at 0
    """

    def row(order: int) -> Elementwise:
        def partials(x: sp.Expr, y: sp.Expr) -> list[sp.Expr]:
            if order + 1 < len(_DERIVATIVES):
                return [ROWS[name + _DERIVATIVES[order + 1]](x)]
            line = beyond[0] + beyond[1] * x
            return [where(less(abs_(x), _NEAR), line, next_(x, order, y))]

        said = ("", "The derivative of ", "The second derivative of ")[order]
        return Elementwise(
            name + _DERIVATIVES[order],
            lambda x: sp.diff(maths(_X), _X, order).xreplace({_X: x}),
            f"{said}{text}, at 0 too.",
            partials=partials,
            numpy=f"_{name}({{0}}, {order})" if order else f"_{name}({{0}})",
            helper=name,
            opaque=True,
            result="float",
            domain=domain,
        )

    return [row(order) for order in range(len(_DERIVATIVES))]


_X = sp.Symbol("x", real=True)
_NEAR = sp.Rational(1, 10**5)
"""Where a third derivative has more digits from two terms of its series than from a difference."""


to_float = Elementwise(
    "to_float",
    lambda x: x,
    "An integer or boolean as a floating-point number.",
    partials=lambda x, y: [0],
    numpy="{0}.astype(dtype)",
    opaque=True,
    evaluate=lambda x: x if x.is_Number else None,
    result="float",
)
to_int = Elementwise(
    "to_int",
    lambda x: choose(x < 0, sp.ceiling(x), sp.floor(x)),
    "A whole number, without what stands behind the point. It has no derivative.",
    partials=lambda x, y: [0],
    numpy="{0}.astype(np.int64)",
    opaque=True,
    result="int",
)
sign = Elementwise(
    "sign",
    lambda x: choose(x > 0, 1, choose(x < 0, -1, 0)),
    "-1, 0 or 1. Its derivative is 0 everywhere.",
    partials=lambda x, y: [0],
    numpy="np.sign({0})",
    opaque=True,
    evaluate=_sign_of_product,
)
greater = _predicate("greater", lambda x, y: choose(x > y, 1, 0), ">", "x > y, as booleans.")


_TABLE = (
    Elementwise("add", lambda x, y: x + y, "x + y.", domain=_BOTH),
    Elementwise("subtract", lambda x, y: x - y, "x - y.", domain=_BOTH),
    Elementwise("multiply", lambda x, y: x * y, "x · y, element by element.", domain=_BOTH),
    Elementwise(
        "divide",
        lambda x, y: x / y,
        "x / y, always as floating point.",
        result="float",
        domain=((-3.0, 3.0), (0.5, 3.0)),
    ),
    Elementwise(
        "masked_product",
        lambda x, y: x * y,
        "x · y, and 0 where x is 0, whatever y is.",
        partials=lambda x, y, z: [y, x],
        numpy="_masked_product({0}, {1})",
        helper="masked_product",
        opaque=True,
        evaluate=_masked_product,
        result="float",
        domain=_BOTH,
    ),
    Elementwise(
        "masked_quotient",
        lambda x, y: x / y,
        "x / y, and 0 where x is 0, whatever y is.",
        partials=lambda x, y, z: [1 / y, -masked_quotient(z, y)],
        numpy="_masked_quotient({0}, {1})",
        helper="masked_quotient",
        opaque=True,
        evaluate=lambda x, y: (x if x == 0 else x / y) if x.is_Number else None,
        result="float",
        domain=((-3.0, 3.0), (0.5, 3.0)),
    ),
    Elementwise("negative", lambda x: -x, "-x."),
    Elementwise("square", lambda x: x**2, "x²."),
    Elementwise(
        "difference_of_squares",
        lambda x, y: x**2 - y**2,
        "x² - y² as (x - y)·(x + y), which is exact where x and y are close.",
        partials=lambda x, y, z: [2 * x, -2 * y],
        numpy="({0} - {1}) * ({0} + {1})",
        opaque=True,
        domain=_BOTH,
    ),
    Elementwise("sqrt", lambda x: sp.sqrt(x), "The square root.", result="float", domain=_POSITIVE),
    Elementwise(
        "root_of_squares",
        lambda x: sp.sqrt(x),
        "√x where x is a sum of squares: its derivative at 0 counts as ½, so that a norm has "
        "the subgradient 0 there.",
        partials=lambda x, y: [1 / (2 * where(greater(y, 0), y, 1))],
        numpy="np.sqrt({0})",
        opaque=True,
        result="float",
        domain=_POSITIVE,
    ),
    Elementwise(
        "pow",
        lambda x, y: x**y,
        "x to the power y. By y the derivative is 0 where x ≤ 0.",
        partials=lambda x, y, z: [
            masked_product(y, power(x, y - 1)),
            z * sp.log(where(greater(x, 0), x, 1)),
        ],
        numpy="np.power({0}, {1})",
        opaque=True,
        evaluate=_power,
        domain=((0.2, 3.0), (-2.0, 2.0)),
    ),
    Elementwise(
        "hill",
        lambda x, k, h: 1 / (1 + (k / x) ** h),
        "xʰ / (xʰ + kʰ), at 0 too. By h the derivative is 0 where x / k ≤ 0.",
        partials=lambda x, k, h, y: [
            hill_slope(x, k, h),
            -hill_slope(k, x, h),
            masked_product(y * hill(k, x, h), where(greater(x / k, 0), log(x / k), 0)),
        ],
        numpy="_hill({0}, {1}, {2})",
        helper="hill",
        opaque=True,
        result="float",
        domain=((0.2, 3.0), (0.2, 3.0), (-2.0, 3.0)),
    ),
    Elementwise(
        "hill_slope",
        lambda x, k, h: h / x / ((1 + (k / x) ** h) * (1 + (x / k) ** h)),
        "The derivative of xʰ / (xʰ + kʰ) by x, at 0 too.",
        partials=lambda x, k, h, y: [
            one.xreplace(dict(zip(_HILL, (x, k, h), strict=True))) for one in _hill_curvatures()
        ],
        numpy="_hill_slope({0}, {1}, {2})",
        helper="hill_slope",
        opaque=True,
        result="float",
        domain=((0.2, 3.0), (0.2, 3.0), (-2.0, 3.0)),
    ),
    Elementwise("exp", lambda x: sp.exp(x), "eˣ.", result="float"),
    Elementwise(
        "log", lambda x: sp.log(x), "The natural logarithm.", result="float", domain=_POSITIVE
    ),
    Elementwise("sin", lambda x: sp.sin(x), "The sine of x radians.", result="float"),
    Elementwise("cos", lambda x: sp.cos(x), "The cosine of x radians.", result="float"),
    Elementwise("tanh", lambda x: sp.tanh(x), "The hyperbolic tangent.", result="float"),
    Elementwise(
        "hyperbolic_tangent",
        lambda x: sp.tanh(x),
        "tanh(x), with derivatives that have all digits where it is near ±1.",
        partials=lambda x, y: [4 * logistic_slope(2 * x)],
        numpy="np.tanh({0})",
        opaque=True,
        result="float",
        becomes=lambda x: sp.tanh(x),
    ),
    Elementwise(
        "sigmoid",
        lambda x: 1 / (1 + sp.exp(-x)),
        "1 / (1 + e⁻ˣ), without overflow for any x.",
        partials=lambda x, y: [y * (1 - y)],
        numpy="_sigmoid({0})",
        helper="sigmoid",
        opaque=True,
        result="float",
    ),
    Elementwise(
        "logistic",
        lambda x: 1 / (1 + sp.exp(-x)),
        "sigmoid(x), with derivatives that have all digits where it is near 1.",
        partials=lambda x, y: [logistic_slope(x)],
        numpy="_sigmoid({0})",
        helper="sigmoid",
        opaque=True,
        result="float",
        becomes=lambda x: sigmoid(x),
    ),
    Elementwise(
        "logistic_slope",
        lambda x: 1 / (1 + sp.exp(-x)) / (1 + sp.exp(x)),
        "The derivative of logistic(x), with a derivative that has all digits everywhere.",
        partials=lambda x, y: [-y * hyperbolic_tangent(x / 2)],
        numpy="_sigmoid({0}) * _sigmoid(-{0})",
        helper="sigmoid",
        opaque=True,
        result="float",
        becomes=lambda x: sigmoid(x) * sigmoid(-x),
    ),
    Elementwise(
        "fraction",
        lambda x, y: y / (x + y),
        "y / (x + y), with derivatives that are no differences: x / (x + y)² and -y / (x + y)².",
        partials=lambda x, y, z: [-y / (x + y) ** 2, x / (x + y) ** 2],
        numpy="{1} / ({0} + {1})",
        opaque=True,
        result="float",
        domain=((0.1, 3.0), (0.5, 3.0)),
        becomes=lambda x, y: y / (x + y),
    ),
    Elementwise(
        "softplus",
        lambda x: sp.log(1 + sp.exp(x)),
        "log(1 + eˣ), without overflow for any x.",
        partials=lambda x, y: [logistic(x)],
        numpy="_softplus({0})",
        helper="softplus",
        opaque=True,
        result="float",
    ),
    Elementwise(
        "relu",
        lambda x: choose(x > 0, x, 0),
        "max(x, 0). At 0 the derivative is 0.",
        partials=lambda x, y: [to_float(greater(y, 0))],
        numpy="np.maximum({0}, 0.0)",
        opaque=True,
        result="float",
    ),
    Elementwise(
        "abs",
        lambda x: choose(x < 0, -x, x),
        "|x|. At 0 the derivative is 0.",
        partials=lambda x, y: [sign(x)],
        numpy="np.abs({0})",
        opaque=True,
        evaluate=lambda x: sp.Abs(x) if x.is_Number else None,
    ),
    sign,
    Elementwise(
        "maximum",
        lambda x, y: choose(x > y, x, y),
        "The larger of x and y. Where they are equal each gets half of the gradient.",
        partials=lambda x, y, z: [_between(x, y), _between(y, x)],
        numpy="np.maximum({0}, {1})",
        opaque=True,
        domain=_BOTH,
    ),
    Elementwise(
        "minimum",
        lambda x, y: choose(x < y, x, y),
        "The smaller of x and y. Where they are equal each gets half of the gradient.",
        partials=lambda x, y, z: [_between(y, x), _between(x, y)],
        numpy="np.minimum({0}, {1})",
        opaque=True,
        domain=_BOTH,
    ),
    Elementwise(
        "where",
        lambda condition, x, y: choose(sp.Ne(condition, 0), x, y),
        "x where the condition holds, y elsewhere; the gradient goes only to the one taken. A "
        "number for a condition holds where it is not 0, as in NumPy.",
        partials=lambda condition, x, y, z: [0, where(condition, 1, 0), where(condition, 0, 1)],
        numpy="np.where({0}, {1}, {2})",
        opaque=True,
        evaluate=_where,
        result_from=1,
        domain=((0.0, 1.0), (-3.0, 3.0), (-3.0, 3.0)),
    ),
    to_float,
    to_int,
    greater,
    _predicate("greater_equal", lambda x, y: choose(x >= y, 1, 0), ">=", "x ≥ y, as booleans."),
    _predicate("less", lambda x, y: choose(x < y, 1, 0), "<", "x < y, as booleans."),
    _predicate("less_equal", lambda x, y: choose(x <= y, 1, 0), "<=", "x ≤ y, as booleans."),
    _predicate("equal", lambda x, y: choose(sp.Eq(x, y), 1, 0), "==", "x = y, as booleans."),
    _predicate("not_equal", lambda x, y: choose(sp.Ne(x, y), 1, 0), "!=", "x ≠ y, as booleans."),
    Elementwise("reciprocal", lambda x: 1 / x, "1 / x.", result="float", domain=_POSITIVE),
    Elementwise("rsqrt", lambda x: 1 / sp.sqrt(x), "1 / √x.", result="float", domain=_POSITIVE),
    Elementwise(
        "cbrt",
        lambda x: choose(x < 0, -((-x) ** sp.Rational(1, 3)), x ** sp.Rational(1, 3)),
        "The real cube root, also of negative x. At 0 the derivative is infinite.",
        partials=lambda x, y: [1 / (3 * y**2)],
        numpy="np.cbrt({0})",
        opaque=True,
        result="float",
    ),
    Elementwise(
        "hypot",
        lambda x, y: sp.sqrt(x**2 + y**2),
        "√(x² + y²), without overflow. At the origin the derivative is 0.",
        partials=lambda x, y, z: [_cosine(x, y, z), _cosine(y, x, z)],
        numpy="np.hypot({0}, {1})",
        opaque=True,
        result="float",
        domain=_BOTH,
    ),
    Elementwise(
        "expm1",
        lambda x: sp.exp(x) - 1,
        "eˣ - 1, to full precision for small x.",
        partials=lambda x, y: [exp(x)],
        numpy="np.expm1({0})",
        opaque=True,
        result="float",
    ),
    Elementwise(
        "log1p",
        lambda x: sp.log(1 + x),
        "log(1 + x), to full precision for small x.",
        partials=lambda x, y: [1 / (1 + x)],
        numpy="np.log1p({0})",
        opaque=True,
        result="float",
        domain=((-0.9, 3.0),),
    ),
    _logarithm("log2", 2, "The logarithm to base 2."),
    _logarithm("log10", 10, "The logarithm to base 10."),
    Elementwise(
        "logaddexp",
        lambda x, y: sp.log(sp.exp(x) + sp.exp(y)),
        "log(eˣ + eʸ), without overflow. Where both are -∞ the derivative is 0.",
        partials=lambda x, y, z: [_weight(x, y, z), _weight(y, x, z)],
        numpy="np.logaddexp({0}, {1})",
        opaque=True,
        result="float",
        domain=_BOTH,
    ),
    Elementwise(
        "xlogy",
        lambda x, y: x * sp.log(y),
        "x · log(y), and 0 where x = 0. There the derivative by y is 0, and so is that by x "
        "where y ≤ 0.",
        partials=lambda x, y, z: [
            where(logical_and(equal(x, 0), less_equal(y, 0)), 0, log(y)),
            where(logical_and(equal(x, 0), _has_no_inverse(y)), 0, x / y),
        ],
        numpy="_xlogy({0}, {1})",
        helper="xlogy",
        opaque=True,
        evaluate=_x_log_number,
        result="float",
        domain=((-3.0, 3.0), (0.1, 4.0)),
    ),
    Elementwise(
        "xlog1py",
        lambda x, y: x * sp.log(1 + y),
        "x · log(1 + y), and 0 where x = 0. There the derivative by y is 0, and so is that by x "
        "where y ≤ -1.",
        partials=lambda x, y, z: [
            where(logical_and(equal(x, 0), less_equal(y, -1)), 0, log1p(y)),
            where(logical_and(equal(x, 0), _has_no_inverse(1 + y)), 0, x / (1 + y)),
        ],
        numpy="_xlog1py({0}, {1})",
        helper="xlog1py",
        opaque=True,
        result="float",
        domain=((-3.0, 3.0), (-0.9, 3.0)),
    ),
    Elementwise(
        "xlogx",
        lambda x: x * sp.log(x),
        "x · log(x), and 0 where x = 0. There the derivative is -∞.",
        partials=lambda x, y: [log(x) + 1],
        numpy="_xlogx({0})",
        helper="xlogx",
        opaque=True,
        result="float",
        domain=_POSITIVE,
    ),
    Elementwise(
        "log1mexp",
        lambda x: sp.log(1 - sp.exp(x)),
        "log(1 - eˣ) for x < 0, as Mächler (2012) computes it.",
        partials=lambda x, y: [exp(x) / expm1(x)],
        numpy="_log1mexp({0})",
        helper="log1mexp",
        opaque=True,
        result="float",
        domain=((-3.0, -0.1),),
    ),
    Elementwise(
        "exp_over_expm1",
        lambda x: sp.exp(x) / (sp.exp(x) - 1),
        "eˣ / (eˣ - 1), without overflow for any x.",
        partials=lambda x, y: [y * exp_over_expm1(-x)],
        numpy="_exp_over_expm1({0})",
        helper="exp_over_expm1",
        opaque=True,
        result="float",
        domain=_POSITIVE,
    ),
    Elementwise(
        "log_cosh",
        lambda x: sp.log(sp.cosh(x)),
        "log(cosh(x)), without overflow, and to full precision near 0.",
        partials=lambda x, y: [hyperbolic_tangent(x)],
        numpy="_log_cosh({0})",
        helper="log_cosh",
        opaque=True,
        result="float",
    ),
    *_removable(
        "exprel",
        lambda x: (sp.exp(x) - 1) / x,
        "(eˣ - 1) / x",
        lambda x, order, y: (sp.exp(x) - (order + 1) * y) / x,
        (sp.Rational(1, 4), sp.Rational(1, 5)),
        _BOTH[:1],
    ),
    *_removable(
        "log1prel",
        lambda x: sp.log(1 + x) / x,
        "log(1 + x) / x",
        lambda x, order, y: (
            (sp.factorial(order) * (-1) ** order / (1 + x) ** (order + 1) - (order + 1) * y) / x
        ),
        (sp.Rational(-3, 2), sp.Rational(24, 5)),
        ((-0.9, 3.0),),
    ),
    *_removable(
        "sinc",
        lambda x: sp.sin(x) / x,
        "sin(x) / x",
        lambda x, order, y: (sp.cos(x + order * sp.pi / 2) - (order + 1) * y) / x,
        (sp.Integer(0), sp.Rational(1, 5)),
        _BOTH[:1],
    ),
    Elementwise("tan", lambda x: sp.tan(x), "The tangent of x radians.", domain=((-1.3, 1.3),)),
    Elementwise(
        "asin",
        lambda x: sp.asin(x),
        "The angle, from -π/2 to π/2, whose sine is x.",
        partials=lambda x, y: [1 / sp.sqrt(difference_of_squares(1, x))],
        numpy="np.arcsin({0})",
        opaque=True,
        result="float",
        domain=((-0.9, 0.9),),
    ),
    Elementwise(
        "acos",
        lambda x: sp.acos(x),
        "The angle, from 0 to π, whose cosine is x.",
        partials=lambda x, y: [-1 / sp.sqrt(difference_of_squares(1, x))],
        numpy="np.arccos({0})",
        opaque=True,
        result="float",
        domain=((-0.9, 0.9),),
    ),
    Elementwise("atan", lambda x: sp.atan(x), "The angle, from -π/2 to π/2, whose tangent is x."),
    Elementwise(
        "atan2",
        lambda y, x: sp.atan2(y, x),
        "The angle, from -π to π, of the point (x, y); y comes first. At the origin the "
        "derivative is 0.",
        partials=lambda y, x, z: [_turning(x, y), -_turning(y, x)],
        numpy="np.arctan2({0}, {1})",
        opaque=True,
        result="float",
        domain=_BOTH,
    ),
    Elementwise("sinh", lambda x: sp.sinh(x), "The hyperbolic sine, (eˣ - e⁻ˣ) / 2."),
    Elementwise("cosh", lambda x: sp.cosh(x), "The hyperbolic cosine, (eˣ + e⁻ˣ) / 2."),
    Elementwise(
        "asinh",
        lambda x: sp.asinh(x),
        "The inverse of sinh.",
        partials=lambda x, y: [1 / hypot(1, x)],
        numpy="np.arcsinh({0})",
        opaque=True,
        result="float",
    ),
    Elementwise(
        "acosh", lambda x: sp.acosh(x), "The inverse of cosh, for x ≥ 1.", domain=((1.1, 4.0),)
    ),
    Elementwise(
        "atanh",
        lambda x: sp.atanh(x),
        "The inverse of tanh.",
        partials=lambda x, y: [1 / difference_of_squares(1, x)],
        numpy="np.arctanh({0})",
        opaque=True,
        result="float",
        domain=((-0.9, 0.9),),
    ),
    Elementwise("erf", lambda x: sp.erf(x), "The error function, 2/√π · ∫ e^(-t²) from 0 to x."),
    Elementwise(
        "erfc",
        lambda x: sp.erfc(x),
        "1 - erf(x), to full precision for large x.",
        partials=lambda x, y: [-2 / sp.sqrt(sp.pi) * exp(-(x**2))],
        numpy="special.erfc({0})",
        opaque=True,
        result="float",
    ),
    Elementwise(
        "erfinv",
        lambda x: sp.erfinv(x),
        "The inverse of erf, for -1 < x < 1.",
        partials=lambda x, y: [sp.sqrt(sp.pi) / 2 * exp(y**2)],
        numpy="special.erfinv({0})",
        opaque=True,
        result="float",
        domain=((-0.9, 0.9),),
    ),
    Elementwise(
        "ndtr",
        lambda x: erfc(-x / sp.sqrt(2)) / 2,  # of SymPy's own, erfc(-x) is 2 - erfc(x)
        "Φ(x), the probability that a standard normal number is less than x.",
        partials=lambda x, y: [exp(-(x**2) / 2) / sp.sqrt(2 * sp.pi)],
        numpy="special.ndtr({0})",
        opaque=True,
        result="float",
    ),
    Elementwise(
        "log_ndtr",
        lambda x: sp.log(sp.erfc(-x / sp.sqrt(2)) / 2),
        "log Φ(x), far into the tail.",
        partials=lambda x, y: [inverse_mills(x)],
        numpy="special.log_ndtr({0})",
        opaque=True,
        result="float",
    ),
    Elementwise(
        "inverse_mills",
        lambda x: sp.sqrt(2 / sp.pi) * sp.exp(-(x**2) / 2) / sp.erfc(-x / sp.sqrt(2)),
        "φ(x) / Φ(x), the density of a standard normal number by its distribution function.",
        partials=lambda x, y: [-y * (y + x)],
        numpy="_inverse_mills({0})",
        helper="inverse_mills",
        opaque=True,
        result="float",
    ),
    Elementwise(
        "log_erfc",
        lambda x: sp.log(sp.erfc(x)),
        "log(erfc(x)), far into the tail.",
        partials=lambda x, y: [-erfc_hazard(x)],
        numpy="_log_erfc({0})",
        helper="log_erfc",
        opaque=True,
        result="float",
    ),
    Elementwise(
        "erfc_hazard",
        lambda x: 2 / sp.sqrt(sp.pi) * sp.exp(-(x**2)) / sp.erfc(x),
        "2/√π · exp(-x²) / erfc(x), of which neither underflows.",
        partials=lambda x, y: [y * (y - 2 * x)],
        numpy="_erfc_hazard({0})",
        helper="erfc_hazard",
        opaque=True,
        result="float",
    ),
    Elementwise(
        "erfcx",
        lambda x: sp.exp(x**2) * sp.erfc(x),
        "exp(x²) · erfc(x), which falls as 1 / x where erfc underflows.",
        partials=lambda x, y: [2 * x * y - 2 / sp.sqrt(sp.pi)],
        numpy="special.erfcx({0})",
        opaque=True,
        result="float",
    ),
    Elementwise(
        "ndtri",
        lambda x: sp.sqrt(2) * sp.erfinv(2 * x - 1),
        "The inverse of Φ, for 0 < x < 1.",
        partials=lambda x, y: [sp.sqrt(2 * sp.pi) * exp(y**2 / 2)],
        numpy="special.ndtri({0})",
        opaque=True,
        result="float",
        domain=((0.05, 0.95),),
    ),
    Elementwise(
        "lgamma",
        lambda x: choose(
            x > 0,
            sp.loggamma(x),
            sp.log(sp.pi) - sp.log(sp.sin(sp.pi * x) ** 2) / 2 - sp.loggamma(1 - x),
        ),
        "log |Γ(x)|, infinite at 0, -1, -2, ...",
        partials=lambda x, y: [digamma(x)],
        numpy="special.gammaln({0})",
        opaque=True,
        result="float",
        domain=_POSITIVE,
    ),
    Elementwise(
        "digamma",
        lambda x: sp.digamma(x),
        "Γ′(x) / Γ(x), the derivative of lgamma.",
        partials=lambda x, y: [polygamma(1, x)],
        numpy="special.digamma({0})",
        opaque=True,
        result="float",
        domain=_POSITIVE,
    ),
    Elementwise(
        "polygamma",
        lambda order, x: sp.polygamma(order, x),
        "The derivative of digamma of a whole order from 0, by which there is no derivative: it "
        "counts as 0.",
        partials=lambda order, x, y: [0, polygamma(order + 1, x)],
        numpy="_polygamma({0}, {1})",
        helper="polygamma",
        opaque=True,
        evaluate=_polygamma,
        result="float",
        result_from=1,
        domain=((0.0, 3.0), (0.1, 4.0)),
    ),
    Elementwise(
        "log_rising",
        lambda x, n: lgamma.maths(x + n) - lgamma.maths(x),
        "lgamma(x + n) - lgamma(x), the logarithm of x · (x + 1) · ... · (x + n - 1), where both "
        "are large too.",
        partials=lambda x, n, y: [polygamma_change(0, x, n), digamma(x + n)],
        numpy="_log_rising({0}, {1})",
        helper="log_rising",
        opaque=True,
        evaluate=lambda x, n: sp.S.Zero if n == 0 else None,
        result="float",
        domain=((0.1, 40.0), (0.1, 4.0)),
    ),
    Elementwise(
        "polygamma_change",
        lambda order, x, n: sp.polygamma(order, x + n) - sp.polygamma(order, x),
        "polygamma(order, x + n) - polygamma(order, x), where the two are close too. The "
        "derivative by the order counts as 0.",
        partials=lambda order, x, n, y: [
            0,
            polygamma_change(order + 1, x, n),
            polygamma(order + 1, x + n),
        ],
        numpy="_polygamma_change({0}, {1}, {2})",
        helper="polygamma_change",
        opaque=True,
        evaluate=lambda order, x, n: sp.S.Zero if n == 0 else None,
        result="float",
        result_from=1,
        domain=((0.0, 3.0), (0.1, 40.0), (0.1, 4.0)),
    ),
    _step(
        "floor", lambda x: sp.floor(x), "The largest whole number that is not above x.", "np.floor"
    ),
    _step(
        "ceil", lambda x: sp.ceiling(x), "The smallest whole number that is not below x.", "np.ceil"
    ),
    _step(
        "round",
        lambda x: choose(sp.Eq(sp.Mod(x, 2), _HALF), sp.floor(x), sp.floor(x + _HALF)),
        "The nearest whole number, the even one of two.",
        "np.rint",
    ),
    Elementwise(
        "floormod",
        lambda x, y: x - y * sp.floor(x / y),
        "x - y · floor(x / y), of the sign of y. The steps of floor have derivative 0.",
        partials=lambda x, y, z: [1, -floor(x / y)],
        numpy="np.mod({0}, {1})",
        opaque=True,
        domain=((-3.0, 3.0), (0.5, 2.0)),
    ),
    Elementwise(
        "clip_by_value",
        lambda x, low, high: sp.Piecewise(
            (high, low > high), (high, x > high), (low, x < low), (x, True)
        ),
        "x, but no less than low and no more than high, which is the result where low is above "
        "it. At the edges the gradient goes to x.",
        partials=lambda x, low, high, z: [
            to_float(logical_and(greater_equal(x, low), less_equal(x, high))),
            to_float(logical_and(less(x, low), less_equal(low, high))),
            to_float(logical_or(greater(x, high), greater(low, high))),
        ],
        numpy="np.clip({0}, {1}, {2})",
        opaque=True,
        domain=((-3.0, 3.0), (-2.0, -0.5), (0.5, 2.0)),
    ),
    Elementwise(
        "log_sigmoid",
        lambda x: -sp.log(1 + sp.exp(-x)),
        "log(1 / (1 + e⁻ˣ)), without overflow for any x.",
        opaque=True,
        evaluate=lambda x: -softplus(-x),
        result="float",
    ),
    Elementwise(
        "swish",
        lambda x: x / (1 + sp.exp(-x)),
        "x · sigmoid(x).",
        opaque=True,
        evaluate=lambda x: x * sigmoid(x),
        result="float",
    ),
    Elementwise(
        "gelu",
        lambda x: x / 2 * (1 + sp.tanh(_GELU * (x + sp.Rational(44715, 10**6) * x**3))),
        "x / 2 · (1 + tanh(√(2/π) · (x + 0.044715 x³))): the approximation of Hendrycks and "
        "Gimpel, not the exact x · Φ(x).",
        opaque=True,
        evaluate=lambda x: x * sigmoid(2 * _GELU * (x + sp.Rational(44715, 10**6) * x**3)),
        result="float",
    ),
    Elementwise(
        "elu",
        lambda x, alpha=1.0: choose(x < 0, alpha * (sp.exp(x) - 1), x),
        "x where x ≥ 0, alpha · (eˣ - 1) elsewhere. At 0 the derivative is 1.",
        partials=lambda x, alpha, y: [
            exp(minimum(x, 0)) if alpha == 1 else where(less(x, 0), alpha * exp(minimum(x, 0)), 1),
            expm1(minimum(x, 0)),
        ],
        numpy="_elu({0}, {1})",
        helper="elu",
        opaque=True,
        evaluate=_elu_of_number,
        result="float",
        domain=((-3.0, 3.0), (0.5, 2.0)),
    ),
    Elementwise(
        "selu",
        lambda x: _SELU[0] * choose(x < 0, _SELU[1] * (sp.exp(x) - 1), x),
        "1.0507 · elu(x, 1.6733), of which the numbers have full precision. At 0 the derivative "
        "is 1.0507.",
        opaque=True,
        evaluate=lambda x: _SELU[0] * elu(x, _SELU[1]),
        result="float",
    ),
    Elementwise(
        "leaky_relu",
        lambda x, alpha=0.2: choose(x > 0, x, alpha * x),
        "x where x > 0, alpha · x elsewhere. At 0 the derivative is alpha.",
        domain=((-3.0, 3.0), (0.05, 0.5)),
    ),
    Elementwise(
        "relu6",
        lambda x: sp.Piecewise((0, x < 0), (6, x > 6), (x, True)),
        "min(max(x, 0), 6). At 0 and at 6 the derivative is 0.",
        partials=lambda x, y: [to_float(logical_and(greater(y, 0), less(y, 6)))],
        numpy="np.clip({0}, 0.0, 6.0)",
        opaque=True,
        result="float",
        domain=((-3.0, 9.0),),
    ),
    _line_between("hard_sigmoid", 0, lambda x: x / 5 + _HALF, "x / 5 + ½", "At ±2.5", "0.2"),
    _line_between("hard_tanh", -1, lambda x: x, "x", "At ±1", "1"),
    _connective(
        "logical_and",
        lambda x, y: choose(sp.Ne(x * y, 0), 1, 0),
        "Whether both x and y hold, as booleans.",
    ),
    _connective(
        "logical_or",
        lambda x, y: choose(sp.Ne(x**2 + y**2, 0), 1, 0),
        "Whether x or y holds, or both, as booleans.",
    ),
    _connective(
        "logical_xor",
        lambda x, y: choose(sp.Ne((x - y) ** 2, 0), 1, 0),
        "Whether one of x and y holds, but not both, as booleans.",
    ),
    _connective(
        "logical_not", lambda x: choose(sp.Eq(x, 0), 1, 0), "Whether x does not hold, as booleans."
    ),
)

ROWS.update((row.name, row) for row in _TABLE)

abs_: Elementwise = ROWS["abs"]
atan2: Elementwise = ROWS["atan2"]
atanh: Elementwise = ROWS["atanh"]
clip_by_value: Elementwise = ROWS["clip_by_value"]
difference_of_squares: Elementwise = ROWS["difference_of_squares"]
digamma: Elementwise = ROWS["digamma"]
elu: Elementwise = ROWS["elu"]
equal: Elementwise = ROWS["equal"]
erfc: Elementwise = ROWS["erfc"]
erfc_hazard: Elementwise = ROWS["erfc_hazard"]
erfcx: Elementwise = ROWS["erfcx"]
exp: Elementwise = ROWS["exp"]
exp_over_expm1: Elementwise = ROWS["exp_over_expm1"]
expm1: Elementwise = ROWS["expm1"]
exprel: Elementwise = ROWS["exprel"]
floor: Elementwise = ROWS["floor"]
fraction: Elementwise = ROWS["fraction"]
greater_equal: Elementwise = ROWS["greater_equal"]
hyperbolic_tangent: Elementwise = ROWS["hyperbolic_tangent"]
hill: Elementwise = ROWS["hill"]
hill_slope: Elementwise = ROWS["hill_slope"]
hypot: Elementwise = ROWS["hypot"]
inverse_mills: Elementwise = ROWS["inverse_mills"]
less: Elementwise = ROWS["less"]
less_equal: Elementwise = ROWS["less_equal"]
log: Elementwise = ROWS["log"]
log_cosh: Elementwise = ROWS["log_cosh"]
log_erfc: Elementwise = ROWS["log_erfc"]
log_ndtr: Elementwise = ROWS["log_ndtr"]
log1prel: Elementwise = ROWS["log1prel"]
log1mexp: Elementwise = ROWS["log1mexp"]
log1p: Elementwise = ROWS["log1p"]
logaddexp: Elementwise = ROWS["logaddexp"]
lgamma: Elementwise = ROWS["lgamma"]
log_rising: Elementwise = ROWS["log_rising"]
logistic: Elementwise = ROWS["logistic"]
logistic_slope: Elementwise = ROWS["logistic_slope"]
logical_and: Elementwise = ROWS["logical_and"]
masked_product: Elementwise = ROWS["masked_product"]
masked_quotient: Elementwise = ROWS["masked_quotient"]
not_equal: Elementwise = ROWS["not_equal"]
logical_or: Elementwise = ROWS["logical_or"]
maximum: Elementwise = ROWS["maximum"]
minimum: Elementwise = ROWS["minimum"]
ndtr: Elementwise = ROWS["ndtr"]
polygamma: Elementwise = ROWS["polygamma"]
polygamma_change: Elementwise = ROWS["polygamma_change"]
power: Elementwise = ROWS["pow"]
root_of_squares = ROWS["root_of_squares"]
sigmoid: Elementwise = ROWS["sigmoid"]
sinc: Elementwise = ROWS["sinc"]
softplus: Elementwise = ROWS["softplus"]
where: Elementwise = ROWS["where"]
xlog1py: Elementwise = ROWS["xlog1py"]
xlogx: Elementwise = ROWS["xlogx"]
xlogy: Elementwise = ROWS["xlogy"]
