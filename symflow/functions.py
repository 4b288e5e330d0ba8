"""What users call: TensorFlow 1's elementwise operations, made from the rows of the table."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from symflow.elementwise import Domain, Elementwise
from symflow.errors import SymflowError, calling_location
from symflow.graph import Tensor, apply
from symflow.registration import own_operation
from symflow.rows import ROWS


class Function(Protocol):
    """Applies a row to tensors, arrays or numbers, by position or by name."""

    __name__: str

    def __call__(self, *operands: Any, name: str | None = None, **named: Any) -> Tensor: ...


def _function(row: Elementwise) -> Function:
    """The function that applies a row; its parameters are those of the row's maths."""
    operands = inspect.signature(row.maths).parameters.values()
    label = inspect.Parameter("name", inspect.Parameter.KEYWORD_ONLY, default=None)
    signature = inspect.Signature([*operands, label])

    def applied(*given: Any, **named: Any) -> Tensor:
        try:
            bound = signature.bind(*given, **named)
        except TypeError as error:
            takes = ", ".join(one.name for one in operands)
            raise SymflowError(f"{row.name}({takes}): {error}", calling_location()) from None
        bound.apply_defaults()
        return apply(row, bound.args, bound.kwargs["name"])

    applied.__name__ = applied.__qualname__ = row.name
    applied.__doc__ = row.doc
    applied.__module__ = __name__
    applied.__signature__ = signature  # type: ignore[attr-defined]
    return applied


add = _function(ROWS["add"])
subtract = _function(ROWS["subtract"])
multiply = _function(ROWS["multiply"])
divide = _function(ROWS["divide"])
negative = _function(ROWS["negative"])
square = _function(ROWS["square"])
sqrt = _function(ROWS["sqrt"])
pow = _function(ROWS["pow"])
exp = _function(ROWS["exp"])
log = _function(ROWS["log"])
sin = _function(ROWS["sin"])
cos = _function(ROWS["cos"])
tanh = _function(ROWS["tanh"])
sigmoid = _function(ROWS["sigmoid"])
softplus = _function(ROWS["softplus"])
relu = _function(ROWS["relu"])
abs = _function(ROWS["abs"])
sign = _function(ROWS["sign"])
maximum = _function(ROWS["maximum"])
minimum = _function(ROWS["minimum"])
where = _function(ROWS["where"])
equal = _function(ROWS["equal"])
not_equal = _function(ROWS["not_equal"])
less = _function(ROWS["less"])
less_equal = _function(ROWS["less_equal"])
greater = _function(ROWS["greater"])
greater_equal = _function(ROWS["greater_equal"])
reciprocal = _function(ROWS["reciprocal"])
rsqrt = _function(ROWS["rsqrt"])
cbrt = _function(ROWS["cbrt"])
hypot = _function(ROWS["hypot"])
expm1 = _function(ROWS["expm1"])
log1p = _function(ROWS["log1p"])
log2 = _function(ROWS["log2"])
log10 = _function(ROWS["log10"])
logaddexp = _function(ROWS["logaddexp"])
xlogy = _function(ROWS["xlogy"])
tan = _function(ROWS["tan"])
asin = _function(ROWS["asin"])
acos = _function(ROWS["acos"])
atan = _function(ROWS["atan"])
atan2 = _function(ROWS["atan2"])
sinh = _function(ROWS["sinh"])
cosh = _function(ROWS["cosh"])
asinh = _function(ROWS["asinh"])
acosh = _function(ROWS["acosh"])
atanh = _function(ROWS["atanh"])
erf = _function(ROWS["erf"])
erfc = _function(ROWS["erfc"])
erfinv = _function(ROWS["erfinv"])
ndtr = _function(ROWS["ndtr"])
ndtri = _function(ROWS["ndtri"])
log_ndtr = _function(ROWS["log_ndtr"])
erfcx = _function(ROWS["erfcx"])
lgamma = _function(ROWS["lgamma"])
digamma = _function(ROWS["digamma"])
floor = _function(ROWS["floor"])
ceil = _function(ROWS["ceil"])
round = _function(ROWS["round"])
floormod = _function(ROWS["floormod"])
clip_by_value = _function(ROWS["clip_by_value"])
log_sigmoid = _function(ROWS["log_sigmoid"])
swish = _function(ROWS["swish"])
gelu = _function(ROWS["gelu"])
elu = _function(ROWS["elu"])
selu = _function(ROWS["selu"])
leaky_relu = _function(ROWS["leaky_relu"])
relu6 = _function(ROWS["relu6"])
hard_sigmoid = _function(ROWS["hard_sigmoid"])
hard_tanh = _function(ROWS["hard_tanh"])
logical_and = _function(ROWS["logical_and"])
logical_or = _function(ROWS["logical_or"])
logical_xor = _function(ROWS["logical_xor"])
logical_not = _function(ROWS["logical_not"])
to_float = _function(ROWS["to_float"])
to_int = _function(ROWS["to_int"])


def polygamma(order: Any, x: Any, name: str | None = None) -> Tensor:
    """The derivative of digamma of a whole order from 0; order 0 is digamma itself.

    By the order there is no derivative: it counts as 0.
    """
    if isinstance(order, (int, float)) and (order < 0 or order != int(order)):
        raise SymflowError(
            f"polygamma: the order is a whole number from 0, not {order}", calling_location()
        )
    return apply(ROWS["polygamma"], [order, x], name)


def operation(
    name: str,
    maths: Callable[..., Any],
    *,
    doc: str = "",
    domain: Domain = ((-3.0, 3.0),),
    partials: Callable[..., Sequence[Any]] | None = None,
    numpy: str | None = None,
) -> Function:
    """Add an elementwise operation of your own, and get the function that applies it.

        softsign = sf.operation("softsign", lambda x: x / (1 + sympy.Abs(x)))

    maths     takes SymPy expressions, one per operand, and returns one; derivative, printed code
              and broadcasting follow from it
    domain    an interval per operand: where the operation is tested, now and by the tests
    partials  takes the operands and the result, and returns the derivative by each operand: to
              re-use the result, or to settle a kink
    numpy     how NumPy computes it where the maths as it stands is slow or overflows:
              "np.expm1({0})", `{0}` standing for the first operand

    At points of the domain the partials are compared with difference quotients of the maths in
    many digits, and the NumPy text with the maths. What differs is a SymflowError.
    """
    try:
        return _function(own_operation(name, maths, doc, domain, partials, numpy))
    except SymflowError as error:
        raise SymflowError(error.message, error.location or calling_location()) from None
