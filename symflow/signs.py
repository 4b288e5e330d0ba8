"""What is known of numbers before any is there: the least and the largest they can be, and not 0.

A range holds for floats, not for real numbers alone: eˣ underflows to 0, and a product of two
numbers that are not 0 may be 0. A proof reads through the kernels that a value is computed by:
p·(1 - p) is not negative where p is a sigmoid. NaN counts as anything.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
import sympy as sp

from symflow.elementwise import Opaque
from symflow.program import (
    Access,
    Builder,
    Bundle,
    Constant,
    Full,
    Input,
    Iota,
    Kernel,
    Value,
    kernel,
    slot,
    slots_of,
)
from symflow.views import Reshape, Slice, StopGradient

DEPTH = 6
"""How many kernels, one reading the other, a proof looks through."""


@dataclass(frozen=True)
class Range:
    """Numbers from `low` to `high`, and, where `nonzero`, not 0."""

    low: float = -math.inf
    high: float = math.inf
    nonzero: bool = False

    @property
    def nonnegative(self) -> bool:
        return self.low >= 0

    @property
    def nonpositive(self) -> bool:
        return self.high <= 0

    @property
    def zero_free(self) -> bool:
        return self.nonzero or self.low > 0 or self.high < 0

    @property
    def positive(self) -> bool:
        return self.nonnegative and self.zero_free

    def within(self, other: Range) -> bool:
        """Whether all these numbers are among those."""
        inside = self.low >= other.low and self.high <= other.high
        return inside and (self.zero_free or not other.nonzero)

    def __and__(self, other: Range) -> Range:
        low, high = max(self.low, other.low), min(self.high, other.high)
        return Range(low, high, self.nonzero or other.nonzero)

    def __or__(self, other: Range) -> Range:
        low, high = min(self.low, other.low), max(self.high, other.high)
        return Range(low, high, self.zero_free and other.zero_free)

    def __neg__(self) -> Range:
        return Range(-self.high, -self.low, self.nonzero)

    def __add__(self, other: Range) -> Range:
        low, high = self.low + other.low, self.high + other.high
        either = self.zero_free or other.zero_free
        same = (self.low >= 0 and other.low >= 0) or (self.high <= 0 and other.high <= 0)
        return Range(low, high, same and either)

    def __mul__(self, other: Range) -> Range:
        ends = [_times(a, b) for a in (self.low, self.high) for b in (other.low, other.high)]
        grow = all(one.low >= 1 or one.high <= -1 for one in (self, other))
        return Range(min(ends), max(ends), grow)


def _times(a: float, b: float) -> float:
    """0·∞ is 0: the bound of a product of numbers, of which none is infinite."""
    return 0.0 if a == 0 or b == 0 else a * b


ANY = Range()
NONNEGATIVE = Range(low=0.0)
POSITIVE = Range(low=0.0, nonzero=True)
NEGATIVE = Range(high=0.0, nonzero=True)
NONPOSITIVE = Range(high=0.0)
NONZERO = Range(nonzero=True)
UNIT = Range(0.0, 1.0)
FROM_MINUS_ONE = Range(-1.0, 1.0)


# --- operations ------------------------------------------------------------------------------


def _monotone(function: Callable[[float], float]) -> Callable[[Range], Range]:
    """Of a function that grows with its argument; bounds are moved out by what rounding may do."""

    def ranged(of: Range) -> Range:
        low, high = (_outside(function, end) for end in (of.low, of.high))
        return Range(low - 1e-15 * abs(low), high + 1e-15 * abs(high), of.zero_free)

    return ranged


def _outside(function: Callable[[float], float], at: float) -> float:
    try:
        return function(at)
    except (OverflowError, ValueError):
        return math.copysign(math.inf, at)


def _exponential(of: Range) -> Range:
    low, high = (0.0 if end == -math.inf else _outside(math.exp, end) for end in (of.low, of.high))
    return Range(low * (1 - 1e-15), high * (1 + 1e-15))


def _logarithm(of: Range) -> Range:
    low = math.log(of.low) if of.low > 0 else -math.inf
    return Range(low, math.log(of.high) if 0 < of.high < math.inf else math.inf)


def _distance(of: Range) -> Range:
    if of.nonnegative or of.nonpositive:
        return of if of.nonnegative else -of
    return Range(0.0, max(-of.low, of.high), of.nonzero)


def _same_sign(of: Range) -> Range:
    low = 0.0 if of.nonnegative else -math.inf
    return Range(low, 0.0 if of.nonpositive else math.inf, of.zero_free)


_OF: dict[str, Callable[..., Range]] = {
    "exp": _exponential,
    "log": _logarithm,
    "sigmoid": lambda of: UNIT,
    "logistic": lambda of: UNIT,
    "logistic_slope": lambda of: UNIT,
    "softplus": lambda of: NONNEGATIVE,
    "relu": lambda of: NONNEGATIVE & Range(high=max(of.high, 0.0)),
    "abs": _distance,
    "Abs": _distance,
    "sign": lambda of: FROM_MINUS_ONE,
    "tanh": lambda of: _monotone(math.tanh)(of) & FROM_MINUS_ONE,
    "hyperbolic_tangent": lambda of: _OF["tanh"](of),
    "sin": lambda of: FROM_MINUS_ONE,
    "cos": lambda of: FROM_MINUS_ONE,
    "erf": lambda of: FROM_MINUS_ONE,
    "sech": lambda of: UNIT,
    "erfc": lambda of: Range(0.0, 2.0),
    "ndtr": lambda of: UNIT,
    "log_ndtr": lambda of: NONPOSITIVE,
    "erfcx": lambda of: POSITIVE,
    "log_cosh": lambda of: NONNEGATIVE,
    "exprel": lambda of: POSITIVE,
    "exprel_slope": lambda of: POSITIVE,
    "log1prel": lambda of: POSITIVE,
    "cosh": lambda of: Range(low=1.0),
    "sinh": lambda of: _same_sign(of),
    "expm1": lambda of: _same_sign(of) & Range(low=-1.0),
    "log1p": lambda of: _same_sign(of),
    "atan": _monotone(math.atan),
    "root_of_squares": lambda of: NONNEGATIVE,
    "hypot": lambda x, y: Range(low=0.0, nonzero=x.zero_free or y.zero_free),
    "maximum": lambda x, y: Range(
        max(x.low, y.low),
        max(x.high, y.high),
        (x.zero_free and y.zero_free) or x.positive or y.positive,
    ),
    "minimum": lambda x, y: -_OF["maximum"](-x, -y),
    "to_float": lambda of: of,
    "floor": lambda of: Range(math.floor(of.low) if of.low > -math.inf else of.low, of.high),
    "relu6": lambda of: Range(0.0, 6.0),
    "polygamma": lambda order, of: ANY,
}
"""The range of an operation, from those of its operands."""


# --- bodies ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Facts:
    """What is known of the slots of a body.

    ranges   of each slot; those that are missing may be anything
    below    pairs of slots of which the first is never larger than the second, its own maximum
    given    slots that read inputs as they are, which nothing has rounded
    data     slots that are no finite numbers where what is given to the model is none; looked for
             where a choice may leave them out
    assumed  ranges of parts of the body, as where it is defined at all
    """

    ranges: tuple[Range, ...] = ()
    below: frozenset[tuple[int, int]] = frozenset()
    given: frozenset[int] = frozenset()
    data: frozenset[int] = frozenset()
    assumed: tuple[tuple[sp.Expr, Range], ...] = ()

    def is_rounded(self, part: sp.Expr) -> bool:
        """Whether a part of the body carries an error of its own last place, or more."""
        number, rest = part.as_coeff_Mul()
        if type(rest).__name__ == "clip_by_value" and abs(number) == 1:
            return any(slots_of(one) and self.is_rounded(one) for one in rest.args)
        exact = rest.is_Symbol and not self.given.isdisjoint(slots_of(rest))
        return not ((exact and abs(number) in (1, 2, _HALF)) or not slots_of(part))

    def range(self, part: sp.Expr) -> Range:
        """The range of a part of the body."""
        return _range(sp.sympify(part), self)

    def assuming(self, *more: tuple[sp.Expr, Range]) -> Facts:
        """What is known where some parts have these ranges."""
        found = [one for given in more for one in (given, *_bare(given))]
        return replace(self, assumed=(*self.assumed, *found))


NOTHING = Facts()
_HALF = sp.Rational(1, 2)


def _bare(one: tuple[sp.Expr, Range]) -> Iterator[tuple[sp.Expr, Range]]:
    """-x within a range is x within another, and so is 1 + x."""
    part, range_ = one
    number, rest = part.as_coeff_Mul()
    if number == -1:
        found = rest, -range_
    else:
        number, rest = part.as_coeff_Add()
        if number == 0 or not slots_of(rest):
            return
        found = rest, Range(range_.low - float(number), range_.high - float(number))
    yield found
    yield from _bare(found)


@lru_cache(maxsize=65536)
def _range(part: sp.Expr, facts: Facts) -> Range:
    found = _computed(part, facts)
    for one, range_ in facts.assumed:
        if one == part:
            found = found & range_
    return found


def _computed(part: sp.Expr, facts: Facts) -> Range:
    if not part.free_symbols:
        return _of_number(part)
    if isinstance(part, sp.Symbol):
        numbers = slots_of(part)
        if not numbers:  # a size
            return Range(low=1.0)
        return facts.ranges[numbers[0]] if numbers[0] < len(facts.ranges) else ANY
    if isinstance(part, sp.Add):
        return _of_sum(part, facts)
    if isinstance(part, sp.Mul):
        return _of_product(part, facts)
    if isinstance(part, sp.Pow):
        return _of_power(part, facts)
    name = type(part).__name__
    if name == "where":
        condition, yes, no = part.args
        return facts.assuming(*implied(condition, True)).range(yes) | facts.assuming(
            *implied(condition, False)
        ).range(no)
    if getattr(part, "result", None) == "bool":
        return UNIT
    if name in _OF:
        return _OF[name](*map(facts.range, part.args))
    if isinstance(part, Opaque):
        maths = part.row.maths(*part.args)
        return ANY if maths.has(sp.Piecewise) or maths == part else facts.range(maths)
    return ANY


def _of_number(part: sp.Expr) -> Range:
    try:
        value = float(part)
    except (TypeError, ValueError, OverflowError):
        return ANY
    return Range(value, value) if value == value else ANY


def _of_sum(part: sp.Add, facts: Facts) -> Range:
    found = facts.range(part.args[0])
    for term in part.args[1:]:
        found = found + facts.range(term)
    for first, second in facts.below:
        rest = _beside_difference(part, first, second)
        if rest is not None:
            found = found & (NONPOSITIVE + facts.range(rest))
    return found


@lru_cache(maxsize=65536)
def _beside_difference(part: sp.Add, first: int, second: int) -> sp.Expr | None:
    """What is added to the difference of two slots: z of x - (y + z) is subtracted from x - y."""
    terms = [one for term in part.args for one in _single(term)]
    if slot(first) not in terms or -slot(second) not in terms:
        return None
    terms.remove(slot(first))
    terms.remove(-slot(second))
    return sp.Add(*terms)


def _single(term: sp.Expr) -> Sequence[sp.Expr]:
    """The terms of a sum that is a term of another, or is subtracted there."""
    number, rest = term.as_coeff_Mul()
    spread = rest.is_Add and abs(number) == 1
    return [number * one for one in rest.args] if spread else [term]


@lru_cache(maxsize=1024)
def _difference(first: int, second: int) -> sp.Expr:
    return slot(first) - slot(second)


def _of_product(part: sp.Mul, facts: Facts) -> Range:
    number, rest = part.as_coeff_Mul()
    if number != 1:
        of = facts.range(rest)
        return replace(_of_number(number) * of, nonzero=abs(number) >= 1 and of.zero_free)
    found = facts.range(part.args[0])
    for factor in part.args[1:]:
        found = found * facts.range(factor)
    inverse = [one for one in part.args if isinstance(one, sp.Pow) and one.exp.is_negative]
    if len(inverse) > 1:  # of 1 / (x·y) it may be known what x·y is, and of neither x nor y
        above = sp.Mul(*(one for one in part.args if one not in inverse))
        below = sp.Mul(*(one.base**-one.exp for one in inverse))
        found = found & (facts.range(above) * _inverse(facts.range(below)))
    return found


def _of_power(part: sp.Pow, facts: Facts) -> Range:
    base, exponent = part.args
    of = facts.range(base)
    if not exponent.is_number:
        return NONNEGATIVE if of.nonnegative else ANY
    if exponent.is_negative:
        return _inverse(facts.range(base**-exponent))
    if exponent.is_Integer and exponent.is_even:
        of = _distance(of)
    elif not exponent.is_Integer:
        of = of & NONNEGATIVE
    power = float(exponent)
    low, high = (math.copysign(_to_power(abs(end), power), end) for end in (of.low, of.high))
    return Range(low, high, of.zero_free and power < 1)


def _to_power(number: float, power: float) -> float:
    try:
        return float(number**power)
    except OverflowError:
        return math.inf


def _inverse(of: Range) -> Range:
    if of.low > 0 or of.high < 0:
        return Range(1 / of.high if of.high else -math.inf, 1 / of.low if of.low else math.inf)
    return NONNEGATIVE if of.nonnegative else NONPOSITIVE if of.nonpositive else ANY


def implied(condition: sp.Expr, holds: bool) -> Iterator[tuple[sp.Expr, Range]]:
    """What a comparison with 0 says of what is compared."""
    name, arguments = type(condition).__name__, condition.args
    if len(arguments) != 2 or 0 not in arguments:
        return
    part = arguments[0] if arguments[1] == 0 else arguments[1]
    side = name if arguments[1] == 0 else _TURNED.get(name, name)
    found = _COMPARED.get(side)
    if found is not None:
        yield part, found[0 if holds else 1]


_COMPARED = {
    "greater": (POSITIVE, NONPOSITIVE),
    "greater_equal": (NONNEGATIVE, NEGATIVE),
    "less": (NEGATIVE, NONNEGATIVE),
    "less_equal": (NONPOSITIVE, POSITIVE),
    "equal": (Range(0.0, 0.0), NONZERO),
    "not_equal": (NONZERO, Range(0.0, 0.0)),
}
_TURNED = {
    "greater": "less",
    "less": "greater",
    "greater_equal": "less_equal",
    "less_equal": "greater_equal",
}


# --- what a body demands -----------------------------------------------------------------------


def demands(body: sp.Expr, facts: Facts = NOTHING) -> Iterator[tuple[sp.Expr, Range, Facts]]:
    """What must hold for a body to be a number: which part must be within which range, and what
    is known there, in the branch of a choice.
    """
    if type(body).__name__ == "where":
        condition, yes, no = body.args
        yield from demands(condition, facts)
        yield from demands(yes, facts.assuming(*implied(condition, True)))
        yield from demands(no, facts.assuming(*implied(condition, False)))
        return
    if type(body).__name__ in ("masked_product", "masked_quotient"):
        mask, other = body.args
        yield from demands(mask, facts)
        facts = facts.assuming((mask, NONZERO))
        if type(body).__name__ == "masked_quotient":
            yield other, NONZERO, facts
        yield from demands(other, facts)
        return
    if isinstance(body, sp.Pow) and body.exp.is_number and slots_of(body.base):
        if not body.exp.is_Integer:
            yield body.base, NONNEGATIVE, facts
        if body.exp.is_negative:
            yield body.base, NONZERO, facts
    if type(body).__name__ == "log1p" and slots_of(body):
        yield 1 + body.args[0], POSITIVE, facts
    wanted = _DEMANDS.get(type(body).__name__)
    if wanted is not None and slots_of(body.args[-1]):
        yield body.args[-1], wanted, facts
    for part in body.args:
        yield from demands(part, facts)


_DEMANDS = {
    "log": POSITIVE,
    "log2": POSITIVE,
    "log10": POSITIVE,
    "xlogx": NONNEGATIVE,
    "xlogy": NONNEGATIVE,
    "root_of_squares": NONNEGATIVE,
    "log1mexp": NONPOSITIVE,
    "asin": FROM_MINUS_ONE,
    "acos": FROM_MINUS_ONE,
    "atanh": FROM_MINUS_ONE,
    "acosh": Range(low=1.0),
}


def allowed(before: sp.Expr, after: sp.Expr, facts: Facts = NOTHING) -> bool:
    """Whether an expression is a number wherever one that it replaces is: it divides only by what
    that divided by or what is proved not to be 0, and likewise for roots and logarithms."""
    facts = facts.assuming(*((part, range_) for part, range_, _ in demands(before)))
    facts = facts.assuming(
        *(
            (sp.cos(one.args[0]), NONZERO)
            for one in sp.preorder_traversal(before)
            if isinstance(one, sp.tan)
        )
    )
    return all(known.range(part).within(range_) for part, range_, known in demands(after, facts))


# --- kernels -----------------------------------------------------------------------------------


def is_not_negative(program: Builder, value: Kernel, expression: sp.Expr) -> bool:
    """Whether a part of a kernel's body is proved to be 0 or more."""
    return facts_of(program, value).range(expression).nonnegative


def facts_of(program: Builder, value: Kernel, depth: int = DEPTH) -> Facts:
    """What is known of what a kernel reads."""
    if depth == 0:
        return NOTHING
    ranges = tuple(_of_tensor(program, access.tensor, depth - 1) for access in value.accesses)
    below = frozenset(_pairs(program, value))
    given = frozenset(
        number
        for number, access in enumerate(value.accesses)
        if isinstance(program[access.tensor].value, (Input, Constant))
    )
    chooses = any(type(part).__name__ == "where" for part in sp.preorder_traversal(value.body))
    data = frozenset(
        number
        for number, access in enumerate(value.accesses)
        if chooses and _reads_data(program, access.tensor, depth)
    )
    return Facts(ranges, below, given, data)


def _reads_data(program: Builder, tensor: int, depth: int) -> bool:
    """Whether a tensor of floats may be infinite or NaN because what a model is given is."""
    definition = program[tensor]
    value = definition.value
    if isinstance(definition.type, Bundle) or definition.type.dtype != "float":
        return False
    if isinstance(value, Input):
        return value.kind == "placeholder"
    if isinstance(value, Constant):
        return not np.all(np.isfinite(value.data))
    return depth > 0 and any(_reads_data(program, one, depth - 1) for one in value.operands)


def _pairs(program: Builder, value: Kernel) -> Iterator[tuple[int, int]]:
    """Slots of which the first is never larger than the second, its own maximum."""
    for second, top in enumerate(value.accesses):
        peak = _maximum(program, top)
        if peak is not None:
            for first, access in enumerate(value.accesses):
                if _is_maximum_of(peak, top, access):
                    yield first, second


def _written_out(program: Builder, value: Kernel) -> Kernel:
    """A sum of exp(y), y = x - m, as one of exp(x - m)."""
    while len(value.accesses) == 1:
        (access,) = value.accesses
        source = program[access.tensor].value
        if not isinstance(source, Kernel) or not source.elementwise or not source.accesses:
            break
        outer = dict(zip(source.output, access.indices, strict=True))
        accesses = [
            Access(one.tensor, tuple(None if i is None else outer[i] for i in one.indices))
            for one in source.accesses
        ]
        body = value.body.xreplace({slot(0): source.body})
        value = kernel(value.output, value.sizes, body, accesses, value.reduction)
    return value


def _of_tensor(program: Builder, tensor: int, depth: int) -> Range:
    value = program[tensor].value
    if isinstance(value, Kernel):
        facts = facts_of(program, value, depth)
        found = facts.range(value.body)
        return _summed(program, value, found) if value.reduced else found
    if isinstance(value, (Reshape, Slice, StopGradient)):
        return _of_tensor(program, value.operands[0], depth) if depth else ANY
    if isinstance(value, Constant) and value.data.size and value.data.dtype.kind in "fiub":
        low, high = float(value.data.min()), float(value.data.max())
        return Range(low, high, bool((value.data != 0).all())) if low == low else ANY
    if isinstance(value, Full):
        return Range(float(value.value), float(value.value))
    return NONNEGATIVE if isinstance(value, Iota) else ANY


def _summed(program: Builder, value: Kernel, of: Range) -> Range:
    if value.reduction in ("max", "min"):
        return of
    if value.reduction != "sum":
        return UNIT
    wide = _written_out(program, value)
    whole = any(
        wide.body == sp.exp(_difference(*pair)) and _runs_over(wide, *pair)
        for pair in _pairs(program, wide)
    )
    low = 1.0 if whole else of.low if of.low >= 0 else -math.inf
    return Range(low, of.high if of.high <= 0 else math.inf, of.zero_free and of.low >= 0)


def _runs_over(value: Kernel, first: int, second: int) -> bool:
    """Whether a sum has the term in which x is its own maximum."""
    inside, top = (set(value.accesses[at].indices) - {None} for at in (first, second))
    return set(value.reduced) == inside - top and top <= set(value.output)


def _maximum(program: Builder, access: Access) -> Kernel | None:
    """The kernel that takes the maximum that an access reads, or 0 where that is not finite."""
    value: Value = program[access.tensor].value
    if isinstance(value, Kernel) and type(value.body).__name__ == "where":
        peak = _where_finite(program, value)
        if peak is None:
            return None
        value = program[peak].value
    while isinstance(value, StopGradient):
        value = program[value.source].value
    return value if isinstance(value, Kernel) and value.reduction == "max" else None


def _where_finite(program: Builder, value: Kernel) -> int | None:
    """x, of a kernel that is where(|x| < ∞, x, 0), with its condition written out or read."""
    condition, part, other = value.body.args
    if other != 0 or not isinstance(part, sp.Symbol):
        return None
    tensor = value.operands[slots_of(part)[0]]
    value, condition = _behind(program, value, condition)
    if type(condition).__name__ != "less":
        return None
    size, bound = condition.args
    _, infinity = _behind(program, value, bound)
    value, size = _behind(program, value, size)
    if infinity != sp.oo or type(size).__name__ != "abs" or not isinstance(size.args[0], sp.Symbol):
        return None
    return tensor if value.operands[slots_of(size.args[0])[0]] == tensor else None


def _behind(program: Builder, value: Kernel, part: sp.Expr) -> tuple[Kernel, sp.Expr]:
    """What an operand is computed by, and its body; a part that is no operand as it is."""
    if not isinstance(part, sp.Symbol) or not slots_of(part):
        return value, part
    source = program[value.operands[slots_of(part)[0]]].value
    if isinstance(source, Kernel):
        return source, source.body
    if isinstance(source, Constant) and source.data.size == 1 and source.data.item() == math.inf:
        return value, sp.oo
    return value, part


def _is_maximum_of(peak: Kernel, top: Access, access: Access) -> bool:
    """Whether an entry is among those of which another access reads the maximum."""
    (read,) = peak.accesses
    if read.tensor != access.tensor or len(top.indices) != len(peak.output):
        return False
    at = dict(zip(peak.output, top.indices, strict=True))
    return all(
        at[inner] == outer
        for inner, outer in zip(read.indices, access.indices, strict=True)
        if inner in peak.output
    )
