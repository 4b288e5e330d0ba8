"""Rewrite rules on bodies, as data: a name, what is replaced, by what, and why.

A `stable` rule replaces a form that overflows, divides zero by zero or loses digits, and is
always taken. Any other rule is taken only where the estimated cost falls. Rules never undo one
another: each removes the form that its left side is, and no right side contains a left side.

When a rule is taken matters for gradients. The derivative of a stable form is stable where it is
a sum of terms of one sign (`atan2`), and a mess elsewhere; the derivative of `sin(x + e) - sin(x)`
as written is a difference that the rules know again. `phase` says which.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache, lru_cache
from typing import Literal

import sympy as sp

from symflow.elementwise import function_of, with_twins, without_twins
from symflow.errors import SymflowError
from symflow.guidance import nearest
from symflow.matching import Bindings, occurrences
from symflow.notation import expression_text
from symflow.program import slot, slots_of
from symflow.rows import (
    abs_,
    atan2,
    atanh,
    clip_by_value,
    difference_of_squares,
    digamma,
    equal,
    erfc,
    exp,
    exp_over_expm1,
    expm1,
    exprel,
    fraction,
    greater,
    hill,
    hyperbolic_tangent,
    less,
    lgamma,
    log,
    log1mexp,
    log1p,
    log1prel,
    log_cosh,
    log_erfc,
    log_ndtr,
    log_rising,
    logaddexp,
    logical_and,
    logistic,
    ndtr,
    polygamma_change,
    power,
    root_of_squares,
    sigmoid,
    sign,
    sinc,
    softplus,
    where,
    xlog1py,
    xlogx,
    xlogy,
)
from symflow.signs import (
    FROM_MINUS_ONE,
    NEGATIVE,
    NONNEGATIVE,
    NONZERO,
    NOTHING,
    POSITIVE,
    Facts,
    Range,
    allowed,
    demands,
)

Phase = Literal["written", "computed", "scheduled"]
"""What the user wrote, before derivatives are taken; or what is computed, when all are."""

_a, _b, _c, _d, _x, _y, _u, _v = (sp.Wild(name) for name in "abcdxyuv")
_k = sp.Wild("k", properties=[lambda value: _is_root(value)])
_HALF = sp.Rational(1, 2)
_p = sp.Wild("p", properties=[lambda value: _is_power(value)])


@dataclass(frozen=True, eq=False)
class Rule:
    """`left` → `right`, with Wild symbols that stand for any expression.

    name      as the command line has it
    left      what is replaced; a sum also within a longer sum, and times a common factor
    right     what replaces it, or a function of what the Wild symbols stand for
    why       what goes wrong without it
    source    where the formula is from
    phase     when it is taken: on what is written, on what is computed, or on both
    given     names for differences on the right; each must get simpler when it is expanded
    provided  what else must hold, of what the Wild symbols stand for and of the whole body
    helps     the region in which it helps and nowhere hurts: what must be proved of them
    says      the same in words
    domain    what else is known where the left side is a number: ranges of expressions
    text      the equation where it is no pattern on one body
    stable    whether it is taken even where it costs more

    Whatever the rule: where its right side divides, takes a root or a logarithm, it is taken only
    if that is proved to be possible wherever the left side is a number (`signs.allowed`).
    """

    name: str
    left: sp.Expr = sp.S.Zero
    right: sp.Expr | Callable[[Bindings], sp.Expr] = sp.S.Zero
    why: str = ""
    source: str = ""
    phase: Phase | None = None
    given: Mapping[sp.Wild, sp.Expr] = field(default_factory=dict)
    provided: Callable[[Bindings, sp.Expr], bool] | None = None
    helps: Callable[[Bindings, Facts], bool] | None = None
    says: str = ""
    domain: Mapping[sp.Expr, Range] = field(default_factory=dict)
    text: str = ""
    stable: bool = True

    @property
    def equation(self) -> str:
        """The rule for a person: `log(sigmoid(x)) → -softplus(-x)`."""
        if self.text:
            return self.text
        assert isinstance(self.right, sp.Expr)
        right = without_twins(self.right)
        equation = f"{expression_text(self.left)} → {expression_text(right)}"
        for name, difference in self.given.items():
            equation += f", with {expression_text(name)} = {expression_text(difference)}"
        return f"{equation}, {self.says}" if self.says else equation

    @property
    def structural(self) -> bool:
        """Whether it looks at several kernels, and stands in `stabilisation.py`."""
        return bool(self.left == 0)

    def applied(self, node: sp.Expr, body: sp.Expr, facts: Facts = NOTHING) -> sp.Expr | None:
        """What replaces a node of a body, or None where the rule says nothing of it."""
        matches = (match for left in _lefts(self) for match in occurrences(left, node))
        for match in matches:
            bindings = self._completed(match.bindings)
            if bindings is None or (self.provided and not self.provided(bindings, body)):
                continue
            if self.helps and not self.helps(bindings, facts):
                continue
            if isinstance(self.right, sp.Expr):
                right = self.right.xreplace(dict(bindings))
            else:
                right = self.right(bindings)
            after = match.put_back(right)
            if self._is_proved(node, after, bindings, facts):
                return after
        return None

    def _is_proved(self, before: sp.Expr, after: sp.Expr, bindings: Bindings, facts: Facts) -> bool:
        """Whether what replaces a node is a number wherever the node is."""
        names = dict(bindings)
        domain = [(part.xreplace(names), range_) for part, range_ in self.domain.items()]
        return allowed(before, after, facts.assuming(*domain))

    def _completed(self, bindings: Bindings) -> Bindings | None:
        found = dict(bindings)
        for name, difference in self.given.items():
            value = _simpler_difference(difference.xreplace(found))
            if value is None:
                return None
            found[name] = value
        return found


# --- conditions ------------------------------------------------------------------------------


@lru_cache(maxsize=65536)
def _simpler_difference(written: sp.Expr) -> sp.Expr | None:
    """A difference that cancels as algebra: what is left has fewer terms than it is written in."""
    if _has_terms_apart(written):
        return None
    expanded = sp.expand(as_written(written))
    terms = len(sp.Add.make_args(expanded))
    if expanded == 0 or terms > 1:
        return None
    return expanded


def as_written(body: sp.Expr) -> sp.Expr:
    """A body with x² - y² where that is computed another way."""
    return body.replace(function_of(difference_of_squares), difference_of_squares.maths)


def _has_terms_apart(written: sp.Expr) -> bool:
    """Whether a term of a sum reads what no other reads, and another reads something too: both
    stay when the sum is expanded, which can take long.
    """
    read = [set(slots_of(term)) for term in sp.Add.make_args(written)]
    readers = Counter(number for one in read for number in one)
    apart = [any(readers[number] == 1 for number in one) for one in read]
    return any(apart) and sum(map(bool, read)) > 1


def _positive(name: sp.Wild) -> Callable[[Bindings, sp.Expr], bool]:
    return lambda bound, body: bool(bound[name].is_positive)


def _positive_apart(bound: Bindings, body: sp.Expr) -> bool:
    return bool(bound[_d].is_positive) and not body.has(greater(bound[_b], 0))


def _is_grown(bound: Bindings, body: sp.Expr) -> bool:
    """Whether a is b and something more, so that a is as exact as b + d; and neither b a difference
    nor d a negative number, with which the one that is left may be close to the pole at 0.
    """
    b, d = (sp.Add.make_args(bound[name]) for name in (_b, _d))
    if not slots_of(bound[_b]) or any(one.could_extract_minus_sign() for one in b):
        return False
    if all(one.could_extract_minus_sign() for one in d):
        return False
    before, after = cost(bound[_b]), cost(bound[_a])
    return before < after or (before == after and bool(bound[_d].is_positive))


def _is_beta(bound: Bindings, body: sp.Expr) -> bool:
    """Whether c is a + b, of which no terms cancel, as those of x - 1 and y + 1 would; and no other
    lgamma is there, of which a difference may be exact.
    """
    a, b, c = (bound[name] for name in (_a, _b, _c))
    terms, *parts = (len(sp.Add.make_args(one)) for one in (c, a, b))
    if all(one.as_coeff_Add()[0].is_positive for one in (a, b)):
        terms += 1  # 3 and 4 are one, 7, and none cancels
    alone = len(body.atoms(function_of(lgamma))) == len({a, b, c})
    return alone and c == a + b and terms == sum(parts) and _vary(_a, _b)(bound, body)


def _is_plain(bound: Bindings, body: sp.Expr) -> bool:
    """Whether d is a number or a variable, and so finite, whatever a and b overflow to."""
    return bool(bound[_d].as_coeff_Mul()[1].is_Atom)


def _simplest(name: sp.Wild, other: sp.Wild) -> Callable[[Bindings, sp.Expr], bool]:
    return lambda bound, body: cost(bound[name]) <= cost(bound[other])


def _may_vanish(bound: Bindings, body: sp.Expr) -> bool:
    """Whether the factor of a logarithm may be 0, as a probability may and a 1 / x may not."""
    factor = bound[_x]
    inverse = any(one.is_Pow and one.exp.is_negative for one in sp.Mul.make_args(factor))
    return bool(slots_of(factor)) and not inverse and not factor.is_positive


def _meets_no_number(bound: Bindings, facts: Facts) -> bool:
    """Whether a factor may be infinite or NaN, at a pole or where data are, beside a choice."""
    if _is_of_a_point(bound[_c], facts):
        return False
    reads_data = not facts.data.isdisjoint(slots_of(bound[_x]))
    return reads_data or any(True for _ in demands(bound[_x]))


def _is_of_a_point(condition: sp.Expr, facts: Facts) -> bool:
    """Whether a choice is of a single point, where 0·∞ may tend to anything: u > 0 is, of u ≥ 0."""
    name = type(condition).__name__
    if name in ("equal", "not_equal"):
        return bool(condition.args[0] != condition.args[1])  # x = x wherever x is a number
    at_zero = name in ("greater", "less_equal") and condition.args[1] == 0
    return at_zero and facts.range(condition.args[0]).nonnegative


def _is_quotient(bound: Bindings, body: sp.Expr) -> bool:
    """Whether what is raised to a power is a quotient of what may be 0."""
    return bool(slots_of(_parts_of_quotient(bound[_u])[1]))


def _parts_of_quotient(quotient: sp.Expr) -> tuple[sp.Expr, sp.Expr]:
    numerator, denominator = sp.fraction(quotient)
    return numerator, denominator


def _vanish_together(bound: Bindings, body: sp.Expr) -> bool:
    """Whether x may be 0, and the argument of the logarithm is 0 or infinite then."""
    x, y = ({one.as_base_exp()[0] for one in sp.Mul.make_args(bound[name])} for name in (_x, _y))
    return _may_vanish(bound, body) and any(slots_of(one) for one in x & y)


def _vanish_apart(bound: Bindings, body: sp.Expr) -> bool:
    """Whether a and b have no factor in common at whose zeros both are 0: 1 / (1 / a + 1 / b) has
    a slope along that, and none by a and b."""
    a, b = ({one.as_base_exp()[0] for one in sp.Mul.make_args(bound[name])} for name in (_a, _b))
    return _vary(_a, _b)(bound, body) and not any(slots_of(one) for one in a & b)


def _times_log(bound: Bindings) -> sp.Expr:
    return xlogx(bound[_x]) if bound[_x] == bound[_y] else xlogy(bound[_x], bound[_y])


_FAR = 700
"""What exp does not overflow at, nor underflow at minus that."""

_NEAR_ONE = Range(math.exp(-8), math.exp(8))
"""Of which the logarithm loses few digits more than there are in 1."""


def _loses_no_digits(bound: Bindings, facts: Facts) -> bool:
    """Whether x + log(y) is as exact as log(eˣ·y), also where the two cancel."""
    if facts.is_rounded(bound[_x]):  # then so is eˣ, by as many digits as x has before the point
        return True
    x, y = facts.range(bound[_x]), facts.range(bound[_y])
    below = x.nonpositive and y.high <= _NEAR_ONE.high
    return below or (x.nonnegative and y.low >= _NEAR_ONE.low) or y.within(_NEAR_ONE)


def _has_better_logarithm(argument: sp.Expr) -> bool:
    """Whether log(x) is what another rule replaces."""
    whole, choice = log(argument), function_of(where)
    rules = applicable(kinds_of(whole), "written")
    others = (rule for rule in rules if isinstance(rule.left, sp.log) and not rule.left.has(choice))
    return any(rule.applied(whole, whole) is not None for rule in others)


def _is_clipped(argument: sp.Expr) -> bool:
    return type(argument).__name__ == "clip_by_value"


def _is_root(value: sp.Expr) -> bool:
    return bool(value.is_Rational and 1 < value.q <= 4 and abs(value.p) <= 4)


def _is_power(value: sp.Expr) -> bool:
    return bool(value.is_Number and not value.is_Integer and not _is_root(value))


def _of_either_sign(bound: Bindings, body: sp.Expr) -> bool:
    b = bound[_b]
    known = b.is_nonpositive or not slots_of(b) or "root" in kinds_of(b)
    return not known and not body.has(greater(b, 0), greater(-b, 0))


def _may_be_infinite(bound: Bindings, body: sp.Expr) -> bool:
    """Whether a quotient is by what may be 0, which is not yet the larger of two numbers."""
    b = bound[_b]
    return bool(slots_of(b)) and not b.is_positive and "where" not in kinds_of(b)


def _is_taken_away(bound: Bindings, body: sp.Expr) -> bool:
    """Whether 1 + y is written as 1 - p, as of a probability."""
    return bool(bound[_y].could_extract_minus_sign())


def _is_by_root_of_two(bound: Bindings, body: sp.Expr) -> bool:
    """Whether x is written as z / √2, as in the normal distribution function."""
    factor = abs(float(sp.sqrt(2) * bound[_x].as_independent(*bound[_x].free_symbols)[0]))
    return bool(abs(factor - 1) < 1e-9)


def _has_ratio(bound: Bindings, body: sp.Expr) -> bool:
    """Whether u is a multiple of x, so that f(u) / x is a number where x is 0."""
    return _is_multiple(bound[_u], bound[_x])


def _has_inverse_ratio(bound: Bindings, body: sp.Expr) -> bool:
    return _is_multiple(bound[_x], bound[_u])


def _is_multiple(a: sp.Expr, b: sp.Expr) -> bool:
    below = sp.Mul.make_args(a / b) if slots_of(b) else ()
    negative = [one for one in below if isinstance(one, sp.Pow) and one.exp.is_negative]
    return bool(below) and not any(slots_of(one) for one in negative)


def _vary(*names: sp.Wild) -> Callable[[Bindings, sp.Expr], bool]:
    """That something stands for more than a number."""
    return lambda bound, body: all(slots_of(bound[name]) for name in names)


# --- right sides -----------------------------------------------------------------------------


def _grows_no_faster(bound: Bindings, body: sp.Expr) -> bool:
    """Whether a - b, times what is as large as √a, overflows no sooner than a: of 1/√a - 1/√b it
    is no square.
    """
    return bool(bound[_k] > 0) or not bound[_d].has(sp.Pow)


def _root_difference(bound: Bindings) -> sp.Expr:
    """a^k - b^k for k = p/q: with u = a^(1/q), v = b^(1/q) it is a multiple of
    u - v = (a - b) / (u^(q-1) + ... + v^(q-1)).
    """
    a, b, exponent = bound[_a], bound[_b], bound[_k]
    size, root = abs(exponent.p), exponent.q

    def mixed(degree: int) -> sp.Expr:
        """u^degree + u^(degree-1)·v + ... + v^degree; without a + b, whose terms would mix."""
        u, v = a ** sp.Rational(1, root), b ** sp.Rational(1, root)
        if (degree, root) == (2, 2):
            return (u + v) ** 2 - u * v
        if (degree, root) == (3, 3):
            return (u + v) * (u**2 + v**2)
        return sp.Add(
            *(
                a ** sp.Rational(degree - at, root) * b ** sp.Rational(at, root)
                for at in range(degree + 1)
            )
        )

    difference = bound[_d] * mixed(size - 1) / mixed(root - 1)
    return difference if exponent > 0 else -difference * a**exponent * b**exponent


def _number_power_difference(bound: Bindings) -> sp.Expr:
    """The larger of two powers times a number between -1 and 0, which never overflows."""
    a, b, exponent = bound[_a], bound[_b], bound[_p]
    ratio = log1p(bound[_d] / where(greater(b, 0), b, 1))
    larger, sign_ = (a, -1) if exponent > 0 else (b, 1)
    stable = sign_ * larger**exponent * expm1(-abs(exponent) * ratio)
    return where(greater(b, 0), stable, a**exponent - b**exponent)


def _of_ratio(function: sp.Expr, power: int = 1) -> Callable[[Bindings], sp.Expr]:
    """(u / x)^power · function of u, where u / x has no pole."""
    return lambda bound: (bound[_u] / bound[_x]) ** power * function.xreplace(dict(bound))


def _of_inverse_ratio(function: sp.Expr) -> Callable[[Bindings], sp.Expr]:
    return lambda bound: bound[_x] / bound[_u] * function.xreplace(dict(bound))


_LOG = log(where(greater(_x, 0), _x, 1))
_NEAR_LOG = logical_and(greater(_x, 0), less(abs_(_y * _LOG), 1))

_MINUS = where(greater(_u, 0), -_u, _u)
"""-|u|, of which the second derivative is that of a line on either side."""

_SMALLER = less(abs_(_a), abs_(_b))
_LEAST, _LARGEST = where(_SMALLER, _a, _b), where(_SMALLER, _b, _a)
_DIVISOR = where(equal(_LARGEST, 0), 1, _LARGEST)


RULES = (
    # sigmoid and softplus
    Rule(
        "log-sigmoid",
        log(sigmoid(_x)),
        -softplus(-_x),
        "the sigmoid underflows at -746, and its logarithm is -∞",
    ),
    Rule(
        "log-one-minus-sigmoid",
        log(1 - sigmoid(_x)),
        -softplus(_x),
        "the sigmoid is 1 from 37 on, and the logarithm -∞",
    ),
    Rule(
        "log1p-minus-sigmoid",
        log1p(-sigmoid(_x)),
        -softplus(_x),
        "the sigmoid is 1 from 37 on, and the logarithm -∞",
    ),
    Rule(
        "softplus",
        log(1 + exp(_x)),
        softplus(_x),
        "the exponential overflows at 710, and is lost beside 1 below -37",
    ),
    Rule(
        "softplus-log1p",
        log1p(exp(_x)),
        softplus(_x),
        "the exponential overflows at 710",
    ),
    Rule(
        "logaddexp-zero",
        logaddexp(_x, 0),
        softplus(_x),
        "less work",
    ),
    Rule(
        "logaddexp-zero-first",
        logaddexp(0, _x),
        softplus(_x),
        "less work",
    ),
    Rule(
        "tanh",
        (exp(_x) - exp(-_x)) / (exp(_x) + exp(-_x)),
        hyperbolic_tangent(_x),
        "∞ / ∞ beyond 710, and digits are lost near 0",
    ),
    Rule(
        "tanh-quotient",
        (exp(_x) - 1) / (exp(_x) + 1),
        hyperbolic_tangent(_x / 2),
        "∞ / ∞ beyond 710, and digits are lost near 0",
    ),
    Rule(
        "tanh-quotient-negative",
        (1 - exp(_x)) / (1 + exp(_x)),
        -hyperbolic_tangent(_x / 2),
        "∞ / ∞ beyond 710, and digits are lost near 0",
    ),
    Rule(
        "tanh-of-sigmoid",
        2 * sigmoid(_x) - 1,
        hyperbolic_tangent(_x / 2),
        "digits are lost near 0",
        phase="written",
    ),
    Rule(
        "sigmoid-quotient",
        exp(_x) / (1 + exp(_x)),
        logistic(_x),
        "∞ / ∞ beyond 710",
    ),
    Rule(
        "sigmoid",
        1 / (1 + exp(_x)),
        logistic(-_x),
        "the exponential overflows at 710",
    ),
    Rule(
        "sigmoid-of-difference",
        exp(_x) / (exp(_x) + exp(_y)),
        logistic(_x - _y),
        "∞ / ∞ beyond 710, 0 / 0 below -745",
        phase="written",
    ),
    Rule(
        "one-minus-sigmoid",
        1 - sigmoid(_x),
        logistic(-_x),
        "the sigmoid is 1 from 37 on, and the difference 0",
        phase="written",
    ),
    # sums of exponentials
    Rule(
        "log-sum-exp",
        text="log(Σ c·exp(x)) → m + log(Σ c·exp(x - m)), with m = max(x), also within a longer sum "
        "of positive numbers and exponentials; of weights that are tensors, m is what max(x) is "
        "beyond ±150",
        why="the exponentials overflow at 710, and all underflow below -745",
        source="Blanchard, D. J. Higham and N. J. Higham (2021)",
    ),
    Rule(
        "log-cumsum-exp",
        text="log(cumsum(exp(x))) → m + log(r), with m the running maximum and"
        " r[j] = exp(x[j] - m[j]) + exp(m[j-1] - m[j])·r[j-1]",
        why="the exponentials overflow at 710, and all underflow below -745",
        phase="written",
    ),
    Rule(
        "softmax",
        text="exp(x) / Σ exp(x) → exp(x - m) / Σ exp(x - m), with m = max(x)",
        why="∞ / ∞ beyond 710, 0 / 0 below -745",
        source="Blanchard, D. J. Higham and N. J. Higham (2021)",
    ),
    Rule(
        "logaddexp",
        log(exp(_x) + exp(_y)),
        logaddexp(_x, _y),
        "the exponentials overflow at 710, and both underflow below -745",
    ),
    Rule(
        "log-of-exp-product",
        log(exp(_x) * _y),
        _x + log(_y),
        "the exponential overflows at 710",
        helps=_loses_no_digits,
        says="where x is rounded itself, or x and log(y) are of one sign",
        domain={_y: POSITIVE},
    ),
    Rule(
        "log-of-exp-product-far",
        log(exp(_x) * _y),
        log(exp(clip_by_value(_x, -_FAR, _FAR)) * _y)
        + where(greater(abs_(_x), _FAR), _x - clip_by_value(_x, -_FAR, _FAR), 0),
        "the exponential overflows at 710",
        provided=lambda bound, body: not _is_clipped(bound[_x]),
        says="which is as exact as the left side where x and log(y) cancel",
        domain={exp(clip_by_value(_x, -_FAR, _FAR)) * _y: POSITIVE},
    ),
    Rule(
        "exp-product",
        exp(_x) * exp(_y),
        exp(_x + _y),
        "0·∞ and ∞ / ∞ where one of them overflows",
        phase="written",
        text="exp(x)·exp(y) → exp(x + y), and log(exp(x)) → x",
    ),
    # exp(x) - 1 and log(1 + x)
    Rule(
        "exp-quotient",
        (exp(2 * _x) - 1) / (exp(_x) - 1),
        exp(_x) + 1,
        "0 / 0 near 0, ∞ / ∞ beyond 355",
    ),
    Rule(
        "exp-over-expm1",
        exp(_x) / (exp(_x) - 1),
        exp_over_expm1(_x),
        "∞ / ∞ beyond 710, and digits are lost near 0",
        phase="written",
    ),
    Rule(
        "exp-second-difference",
        exp(_x) - 2 + exp(-_x),
        4 * sp.sinh(_x / 2) ** 2,
        "digits are lost near 0",
        "Hamming (1987), problem 3.3.7",
        phase="computed",
    ),
    Rule(
        "sinh",
        exp(_x) - exp(-_x),
        2 * sp.sinh(_x),
        "digits are lost near 0",
        phase="computed",
    ),
    Rule(
        "log-one-minus-exp",
        log(1 - exp(_x)),
        log1mexp(_x),
        "digits are lost near 0 and below -37",
        "Mächler (2012)",
        domain={_x: NEGATIVE},
    ),
    Rule(
        "log-exp-minus-one",
        log(exp(_x) - 1),
        _x + log1mexp(-_x),
        "the exponential overflows at 710, and digits are lost near 0",
        "Mächler (2012)",
        domain={_x: POSITIVE},
    ),
    Rule(
        "expm1",
        exp(_x) - 1,
        expm1(_x),
        "digits are lost near 0",
        "Kahan (1987)",
    ),
    # logarithms
    Rule(
        "atanh",
        log((1 + _x) / (1 - _x)),
        2 * atanh(_x),
        "digits are lost near 0",
        "Hamming (1987), problem 3.4.3",
        domain={_x: FROM_MINUS_ONE},
    ),
    Rule(
        "atanh-difference",
        log1p(_x) - log1p(-_x),
        2 * atanh(_x),
        "digits are lost near 0",
    ),
    Rule(
        "log1p",
        log(1 + _x),
        log1p(_x),
        "digits of x are lost beside 1",
        "Kahan (1987)",
    ),
    Rule(
        "log-difference",
        log(_a) - log(_b),
        log1p(_d / _b),
        "digits are lost where a and b are close",
        "Hamming (1987), problem 3.3.6",
        phase="computed",
        given={_d: _a - _b},
        provided=_positive(_d),
        says="where d > 0",
    ),
    Rule(
        "log1p-minus-log",
        log1p(_a) - log(_b),
        log1p(_d / _b),
        "digits are lost where 1 + a and b are close",
        phase="computed",
        given={_d: 1 + _a - _b},
        provided=_positive(_d),
        says="where d > 0",
    ),
    Rule(
        "log-minus-log1p",
        log(_a) - log1p(_b),
        log1p(_d / (1 + _b)),
        "digits are lost where a and 1 + b are close",
        phase="computed",
        given={_d: _a - 1 - _b},
        provided=_positive(_d),
        says="where d > 0",
    ),
    Rule(
        "xlogx",
        _x * log(_y),
        xlogx(_x),
        "0·∞ at 0, where the value is 0 and the derivative -∞",
        phase="written",
        provided=lambda bound, body: bound[_x] == bound[_y] and _may_vanish(bound, body),
        text="log(x)·x → xlogx(x), where x may be 0",
    ),
    Rule(
        "xlogy",
        _x * log(_y),
        xlogy(_x, _y),
        "0·∞ at x = y = 0, where the value counts as 0",
        phase="written",
        provided=_may_vanish,
        says="where x may be 0",
    ),
    Rule(
        "xlogx-of-rest",
        (1 + _y) * log1p(_y),
        where(less(_y, -_HALF), xlogx(1 + _y), (1 + _y) * log1p(where(less(_y, -_HALF), 0, _y))),
        "0·∞ at y = -1, where the value is 0 and the derivative -∞",
        phase="written",
        provided=_is_taken_away,
        domain={1 + _y: NONNEGATIVE, 1 + where(less(_y, -_HALF), 0, _y): POSITIVE},
        says="where y is -p",
    ),
    Rule(
        "xlog1py",
        _x * log1p(_y),
        xlog1py(_x, _y),
        "0·∞ at x = 0, y = -1, where the value counts as 0",
        phase="written",
        provided=lambda bound, body: _may_vanish(bound, body) and _is_taken_away(bound, body),
        says="where x may be 0 and y is -p",
    ),
    Rule(
        "xlogy-in-sum",
        _x * (log(_y) + _u),
        lambda bound: _times_log(bound) + bound[_x] * bound[_u],
        "0·∞ at x = 0, where the value counts as 0",
        phase="written",
        provided=_vanish_together,
        text="x·(log(y) + u) → xlogy(x, y) + x·u, where y has the factor x",
    ),
    Rule(
        "xlogy-from-sum",
        _x * (_u - log(_y)),
        lambda bound: bound[_x] * bound[_u] - _times_log(bound),
        "0·∞ at x = 0, where the value counts as 0",
        phase="written",
        provided=_vanish_together,
        text="x·(u - log(y)) → x·u - xlogy(x, y), where y has the factor x",
    ),
    Rule(
        "xlogx-difference",
        xlogx(_a) - xlogx(_b),
        _b * log1p(_d / where(equal(_b, 0), 1, _b)) + _d * log(_a),
        "digits are lost where a and b are close",
        "Hamming (1987), example 3.8",
        phase="computed",
        given={_d: _a - _b},
        provided=_positive(_d),
        says="where d > 0",
    ),
    Rule(
        "xlogx-difference-log1p",
        (1 + _a) * log1p(_a) - xlogx(_b),
        _b * log1p(_d / where(equal(_b, 0), 1, _b)) + _d * log1p(_a),
        "digits are lost where 1 + a and b are close",
        "Hamming (1987), example 3.8",
        phase="computed",
        given={_d: 1 + _a - _b},
        provided=_positive(_d),
        says="where d > 0",
    ),
    # the error function
    Rule(
        "erfc",
        1 - sp.erf(_x),
        erfc(_x),
        "erf is 1 from 6 on, and the difference 0",
    ),
    Rule(
        "erfc-lower-tail",
        1 + sp.erf(_x),
        erfc(-_x),
        "erf is -1 below -6, and the sum 0",
    ),
    Rule(
        "log-ndtr",
        log(ndtr(_x)),
        log_ndtr(_x),
        "Φ(x) underflows below -38, and its logarithm is -∞",
    ),
    Rule(
        "one-minus-ndtr",
        1 - ndtr(_x),
        ndtr(-_x),
        "Φ(x) is 1 from 8 on, and the difference 0",
        phase="written",
    ),
    Rule(
        "log-erfc",
        log(erfc(_x)),
        log_erfc(_x),
        "erfc(x) underflows above 26, and its logarithm is -∞",
    ),
    Rule(
        "log-half-erfc",
        log(erfc(_x) / 2),
        log_ndtr(-sp.sqrt(2) * _x),
        "Φ(x) underflows below -38, and its logarithm is -∞",
        provided=_is_by_root_of_two,
        text="log(erfc(x / √2) / 2) → log_ndtr(-x)",
    ),
    Rule(
        "log-cosh",
        log(sp.cosh(_x)),
        log_cosh(_x),
        "cosh overflows at 710, and digits are lost near 0",
        phase="written",
    ),
    Rule(
        "log-sinh",
        log(sp.sinh(_x)),
        _x + log1mexp(-2 * _x) - sp.log(2),
        "sinh overflows at 710",
        phase="written",
        domain={_x: NONNEGATIVE},
    ),
    # factorials
    Rule(
        "log-beta",
        lgamma(_a) + lgamma(_b) - lgamma(_c),
        where(less(_a, _b), lgamma(_a) - log_rising(_b, _a), lgamma(_b) - log_rising(_a, _b)),
        "digits are lost where one of a and b is large",
        phase="written",
        provided=_is_beta,
        text="lgamma(a) + lgamma(b) - lgamma(a + b) → lgamma(a) - log_rising(b, a), with a the"
        " smaller of the two",
    ),
    Rule(
        "lgamma-difference",
        lgamma(_a) - lgamma(_b),
        log_rising(_b, _d),
        "digits are lost where a and b are large",
        given={_d: _a - _b},
        provided=_is_grown,
        says="where a is written as b + d, and b as no difference",
    ),
    Rule(
        "digamma-difference",
        digamma(_a) - digamma(_b),
        polygamma_change(0, _b, _d),
        "digits are lost where a and b are close",
        given={_d: _a - _b},
        provided=_is_grown,
        says="where a is written as b + d, and b as no difference",
    ),
    # trigonometry
    Rule(
        "half-angle",
        (1 - sp.cos(_x)) / sp.sin(_x),
        sp.tan(_x / 2),
        "0 / 0 at 0, and digits are lost near it",
        "Hamming (1987), example 3.4",
    ),
    Rule(
        "half-angle-inverse",
        sp.sin(_x) / (1 + sp.cos(_x)),
        sp.tan(_x / 2),
        "digits are lost near π",
        "Hamming (1987), example 3.4",
    ),
    Rule(
        "one-minus-cos",
        1 - sp.cos(_x),
        2 * sp.sin(_x / 2) ** 2,
        "digits are lost near 0",
        "Hamming (1987), problem 3.4.1",
        phase="computed",
    ),
    Rule(
        "sin-difference",
        sp.sin(_a) - sp.sin(_b),
        sp.cos(_b) * sp.sin(_d) - 2 * sp.sin(_b) * sp.sin(_d / 2) ** 2,
        "digits are lost where a and b are close",
        "Hamming (1987), example 3.3",
        phase="computed",
        given={_d: _a - _b},
        provided=_simplest(_b, _a),
        says="where b is no longer than a",
    ),
    Rule(
        "cos-difference",
        sp.cos(_a) - sp.cos(_b),
        -sp.sin(_b) * sp.sin(_d) - 2 * sp.cos(_b) * sp.sin(_d / 2) ** 2,
        "digits are lost where a and b are close",
        "Hamming (1987), problem 3.3.5",
        phase="computed",
        given={_d: _a - _b},
        provided=_simplest(_b, _a),
        says="where b is no longer than a",
    ),
    Rule(
        "tan-difference",
        sp.tan(_a) - sp.tan(_b),
        sp.sin(_d) / (sp.cos(_a) * sp.cos(_b)),
        "digits are lost where a and b are close",
        "Hamming (1987), problem 3.3.2",
        phase="computed",
        given={_d: _a - _b},
    ),
    Rule(
        "atan-difference",
        sp.atan(_a) - sp.atan(_b),
        atan2(_d, 1 + _a * _b),
        "digits are lost where a and b are close",
        "Hamming (1987), example 3.5",
        phase="computed",
        given={_d: _a - _b},
        provided=_is_plain,
        says="where d is a number or a variable, and not infinite beside an infinite a",
    ),
    # differences of powers
    Rule(
        "root-difference",
        _a**_k - _b**_k,
        _root_difference,
        "digits are lost where a and b are close",
        "Hamming (1987), examples 3.1 and 3.6",
        phase="computed",
        given={_d: _a - _b},
        provided=_grows_no_faster,
        text="√a - √b → (a - b) / (√a + √b), and likewise for a^(p/q), where a - b gets simpler"
        ", and is no power for k < 0",
    ),
    Rule(
        "power-difference",
        power(_a, _y) - power(_b, _y),
        where(
            greater(_b, 0),
            -sign(_y)
            * power(where(greater(_y, 0), _a, _b), _y)
            * expm1(-abs_(_y) * log1p(_d / where(greater(_b, 0), _b, 1))),
            power(_a, _y) - power(_b, _y),
        ),
        "digits are lost where a and b are close",
        "Hamming (1987), problem 3.4.6",
        phase="computed",
        given={_d: _a - _b},
        provided=_positive_apart,
        says="where d > 0",
    ),
    Rule(
        "number-power-difference",
        _a**_p - _b**_p,
        _number_power_difference,
        "digits are lost where a and b are close",
        "Hamming (1987), problem 3.3.4",
        phase="computed",
        given={_d: _a - _b},
        provided=_positive_apart,
        says="where d > 0 and p is no whole number",
        text="a^p - b^p → -a^p·expm1(-p·log1p(d / b)), with d = a - b, where b > 0, d > 0 and p is"
        " no whole number; of a negative p, b^p·expm1(p·log1p(d / b))",
    ),
    Rule(
        "conjugate-positive",
        sp.sqrt(_a) - _b,
        _d / (sp.sqrt(_a) + _b),
        "digits are lost where √a and b are close",
        "Hamming (1987), p. 42",
        phase="computed",
        given={_d: _a - _b**2},
        provided=_positive(_b),
        says="where b > 0",
    ),
    Rule(
        "conjugate",
        sp.sqrt(_a) - _b,
        where(greater(_b, 0), _d / (sp.sqrt(_a) + _b), sp.sqrt(_a) - _b),
        "digits are lost where √a and b are close",
        "Hamming (1987), p. 42",
        phase="computed",
        given={_d: _a - _b**2},
        provided=_of_either_sign,
    ),
    Rule(
        "conjugate-norm",
        root_of_squares(_a) - _b,
        where(greater(_b, 0), _d / (root_of_squares(_a) + _b), root_of_squares(_a) - _b),
        "digits are lost where √a and b are close",
        "Hamming (1987), p. 42",
        phase="computed",
        given={_d: _a - _b**2},
        provided=_of_either_sign,
    ),
    Rule(
        "fraction-second-difference",
        1 / _a - 2 / _b + 1 / _c,
        2 * _d**2 / (_a * _b * _c),
        "digits are lost where a, b and c are close",
        "Hamming (1987), problem 3.3.3",
        phase="computed",
        given={_d: _a - _b},
        provided=lambda bound, body: sp.expand(bound[_b] - bound[_c] - bound[_d]) == 0,
        says="where b - c = d",
    ),
    Rule(
        "fraction-difference",
        1 / _a - 1 / _b,
        _d / (_a * _b),
        "digits are lost where a and b are close",
        "Hamming (1987), problem 3.3.1",
        phase="computed",
        given={_d: _b - _a},
    ),
    Rule(
        "reciprocal",
        text="1 / (1 / x) → x",
        why="∞·0 in the gradient at 0",
        phase="written",
    ),
    # quotients that are a number at 0 too
    Rule(
        "exprel",
        expm1(_u) / _x,
        _of_ratio(exprel(_u)),
        "0 / 0 at 0, and digits of the derivatives are lost near it",
        phase="written",
        provided=_has_ratio,
        text="(exp(c·x) - 1) / x → c·exprel(c·x)",
    ),
    Rule(
        "exprel-inverse",
        _x / expm1(_u),
        where(
            greater(_u, 0),
            _x / _u * exp(-_u) / exprel(-_u),
            where(
                greater(_u, -1),
                _x / _u / exprel(where(greater(_u, 0), 0, where(greater(_u, -1), _u, 0))),
                _x / expm1(where(greater(_u, -1), -1, _u)),
            ),
        ),
        "0 / 0 at 0, and digits of the derivatives are lost near it",
        phase="written",
        provided=lambda bound, body: (
            _has_inverse_ratio(bound, body) and not bound[_u].has(function_of(where))
        ),
        domain={expm1(where(greater(_u, -1), -1, _u)): NONZERO},
        text="c·x / (exp(x) - 1) → c / exprel(x) where -1 < x ≤ 0, c·exp(-x) / exprel(-x) where"
        " x > 0",
    ),
    Rule(
        "log1prel",
        log1p(_u) / _x,
        _of_ratio(log1prel(_u)),
        "0 / 0 at 0, and digits of the derivatives are lost near it",
        phase="written",
        provided=_has_ratio,
        text="log(1 + c·x) / x → c·log1prel(c·x)",
    ),
    Rule(
        "log1prel-inverse",
        _x / log1p(_u),
        where(
            less(abs_(_u), _HALF),
            _x / _u / log1prel(where(less(abs_(_u), _HALF), _u, 0)),
            _x / log1p(where(less(abs_(_u), _HALF), _HALF, _u)),
        ),
        "0 / 0 at 0, and digits of the derivatives are lost near it",
        phase="written",
        provided=lambda bound, body: (
            _has_inverse_ratio(bound, body) and not bound[_u].has(function_of(where))
        ),
        domain={
            log1p(where(less(abs_(_u), _HALF), _HALF, _u)): NONZERO,
            1 + where(less(abs_(_u), _HALF), _HALF, _u): POSITIVE,
        },
        text="c·x / log(1 + x) → c / log1prel(x), where |x| < ½",
    ),
    Rule(
        "sinc",
        sp.sin(_u) / _x,
        _of_ratio(sinc(_u)),
        "0 / 0 at 0, and digits of the derivatives are lost near it",
        phase="written",
        provided=_has_ratio,
        text="sin(c·x) / x → c·sinc(c·x)",
    ),
    Rule(
        "sinc-inverse",
        _x / sp.sin(_u),
        _of_inverse_ratio(1 / sinc(_u)),
        "0 / 0 at 0, and digits of the derivatives are lost near it",
        phase="written",
        provided=_has_inverse_ratio,
        domain={sinc(_u): NONZERO},
        text="c·x / sin(x) → c / sinc(x)",
    ),
    Rule(
        "one-minus-cos-quotient",
        (1 - sp.cos(_u)) / _x,
        _of_ratio(sp.sin(_u / 2) * sinc(_u / 2)),
        "0 / 0 at 0, and digits are lost near it",
        phase="written",
        provided=_has_ratio,
        text="(1 - cos(c·x)) / x → c·sin(c·x / 2)·sinc(c·x / 2)",
    ),
    Rule(
        "one-minus-cos-square",
        (1 - sp.cos(_u)) / _x**2,
        _of_ratio(sinc(_u / 2) ** 2 / 2, 2),
        "0 / 0 at 0, and digits are lost near it",
        phase="written",
        provided=_has_ratio,
        text="(1 - cos(c·x)) / x² → ½·c²·sinc(c·x / 2)²",
    ),
    Rule(
        "box-cox",
        (power(_x, _y) - 1) / _y,
        where(
            _NEAR_LOG,
            _LOG * exprel(_y * _LOG),
            (power(_x, _y) - 1) / where(equal(_y, 0), 1, _y),
        ),
        "0 / 0 at y = 0, where the value is log(x), and digits are lost near it",
        phase="written",
        provided=lambda bound, body: not body.has(function_of(exprel)),
        text="(pow(x, y) - 1) / y → log(x)·exprel(y·log(x)), where x > 0 and |y·log(x)| < 1",
    ),
    Rule(
        "saturation",
        1 / (1 + _a / _b),
        fraction(_a, _b),
        "0·∞ in the gradient where b is 0",
        phase="written",
        provided=_may_be_infinite,
        domain={_a + _b: NONZERO},
    ),
    Rule(
        "parallel",
        1 / (1 / _a + 1 / _b),
        _LEAST / (1 + _LEAST / _DIVISOR),
        "0·∞ in the gradient where a or b is 0",
        phase="written",
        provided=_vanish_apart,
        domain={1 + _LEAST / _DIVISOR: NONZERO},
        text="1 / (1 / a + 1 / b) → u / (1 + u / v), with u the smaller of a and b, v the other",
    ),
    Rule(
        "one-minus-inverse",
        1 - 1 / _b,
        _d / _b,
        "digits are lost where b is close to 1",
        phase="computed",
        given={_d: _b - 1},
    ),
    Rule(
        "one-minus-quotient",
        1 - _a / _b,
        _d / _b,
        "digits are lost where a and b are close",
        phase="computed",
        given={_d: _b - _a},
    ),
    Rule(
        "saturation-slope",
        1 / _b - _a / _b**2,
        _d / _b**2,
        "digits are lost where a and b are close, as in the derivative of x / (x + 1)",
        phase="computed",
        given={_d: _b - _a},
        provided=_is_plain,
        says="which is a number or a variable",
    ),
    Rule(
        "quotient-slope",
        _u / _b - _a / _b**2,
        _d / _b**2,
        "digits are lost where a and u·b are close, as in the derivative of x / (2·x + 1)",
        phase="computed",
        given={_d: _u * _b - _a},
        provided=_is_plain,
        says="which is a number or a variable",
    ),
    Rule(
        "difference-of-squares",
        _x**2 - _y**2,
        difference_of_squares(_x, _y),
        "digits are lost where x and y are close, ∞ - ∞ beyond 1e154",
        phase="written",
        provided=_vary(_x, _y),
        text="x² - y² → (x - y)·(x + y), of which the derivative is that of x² - y²,"
        " where neither is a number",
    ),
    Rule(
        "difference-of-computed-squares",
        _x**2 - _y**2,
        (_x - _y) * (_x + _y),
        "digits are lost where x and y are close, ∞ - ∞ beyond 1e154",
        phase="computed",
        provided=_vary(_x, _y),
        says="where neither is a number",
    ),
    Rule(
        "one-minus-square",
        _x**2 - _y**2,
        difference_of_squares(_x, _y),
        "digits are lost where x and y are close",
        phase="written",
        provided=lambda bound, body: not slots_of(bound[_x]) or not slots_of(bound[_y]),
        text="x² - y² → (x - y)·(x + y), of which the derivative is that of x² - y²,"
        " where one is a number",
    ),
    Rule(
        "variance",
        text="mean(x²) - mean(x)² → mean((x - mean(x))²)",
        why="digits are lost where the mean is large, and the result may be negative",
        source="Chan, Golub and LeVeque (1983)",
        phase="written",
    ),
    Rule(
        "norm",
        text="√(Σ x²): its gradient at 0 is 0",
        why="0·∞ at 0",
        phase="written",
    ),
    # sums
    Rule(
        "affine-contraction",
        text="Σ_j a[i, j]·(x[n, j] - y[i, j]) → Σ_j a[i, j]·x[n, j] - Σ_j a[i, j]·y[i, j],"
        " where x or y is a result of arithmetic",
        why="less work: one matrix product, and no array over all indices",
        phase="computed",
        stable=False,
    ),
    # matrices
    Rule(
        "log-determinant",
        text="log(det(A)) → log|det(A)| from the factors of A",
        why="the determinant overflows or underflows for large A",
    ),
    Rule(
        "solve",
        text="A⁻¹·B → solve(A, B), where the inverse is read once and has no name",
        why="digits are lost where A is nearly singular",
        source="N. J. Higham (2002), section 14.1",
        phase="written",
    ),
    # where
    Rule(
        "masked-branch",
        where(_c, where(_c, 1, 0) * _x, _y),
        where(_c, _x, _y),
        "less work",
    ),
    Rule(
        "masked-branch-no",
        where(_c, _x, where(_c, 0, 1) * _y),
        where(_c, _x, _y),
        "less work",
    ),
    Rule(
        "masked-product",
        where(_c, 1, 0) * _x,
        where(_c, _x, 0),
        "0·∞ where the condition does not hold",
    ),
    Rule(
        "masked-product-no",
        where(_c, 0, 1) * _x,
        where(_c, 0, _x),
        "0·∞ where the condition holds",
    ),
    Rule(
        "masked-factor",
        where(_c, _u, 0) * _x,
        where(_c, _u * _x, 0),
        "0·∞ where the condition does not hold",
        phase="computed",
        helps=_meets_no_number,
        says="where x may be infinite, and c does not hold but at a point",
    ),
    Rule(
        "masked-factor-no",
        where(_c, 0, _u) * _x,
        where(_c, 0, _u * _x),
        "0·∞ where the condition holds",
        phase="computed",
        helps=_meets_no_number,
        says="where x may be infinite, and c holds not only at a point",
    ),
    Rule(
        "where-sum",
        where(_c, _x, _y) + where(_c, _u, _v),
        where(_c, _x + _u, _y + _v),
        "less work",
        stable=False,
    ),
    Rule(
        "where-difference",
        where(_c, _x, _y) - where(_c, _u, _v),
        where(_c, _x - _u, _y - _v),
        "less work",
        stable=False,
    ),
    Rule(
        "safe-where",
        text="where(c, f(x), y) → where(c, f(where(c, x, 1)), y), where f(x) may fail",
        why="warnings, and 0·∞ in gradients, from a branch that is not taken",
    ),
    # training
    Rule(
        "quadratic-loss",
        text="L(θ + δ) → L(θ) + ½⟨δ, g(θ) + g(θ + δ)⟩, g(θ + δ) → g(θ) + H·δ, where L is quadratic",
        why="every step of `train` reads all of the data, where moments of them would do",
        phase="scheduled",
        stable=False,
    ),
    Rule(
        "loop-invariant",
        text="for each step: f(data) → once, before the loop: f(data)",
        why="every step of `train` computes anew what no parameter changes",
        phase="scheduled",
        stable=False,
    ),
    Rule(
        "log-of-choice",
        log(where(_c, _x, _y)),
        where(_c, log(_x), log(_y)),
        "what underflows in a branch has a logarithm that another rule knows",
        phase="written",
        provided=lambda bound, body: any(_has_better_logarithm(bound[one]) for one in (_x, _y)),
        domain={_x: POSITIVE, _y: POSITIVE},
        says="where another rule knows the logarithm of x or of y",
    ),
    Rule(
        "tanh-ratio",
        sp.tanh(_u) / _x,
        _of_ratio(2 * exprel(2 * _MINUS) * logistic(-2 * _MINUS)),
        "0 / 0 at 0, and digits of the derivatives are lost near it",
        phase="written",
        provided=_has_ratio,
        text="tanh(c·x) / x → 2·c·exprel(-2·|c·x|)·sigmoid(2·|c·x|)",
    ),
    Rule(
        "masked-logit",
        text="w·log(p) → w·log(p), and 0 where w is 0, where p is 0 for what a mask takes out",
        why="0·∞ where a logit is -∞: the weight of what a mask takes out is 0",
    ),
    Rule(
        "hill",
        1 / (1 + power(_u, _y)),
        lambda bound: hill(*reversed(_parts_of_quotient(bound[_u])), bound[_y]),
        "0·∞ in the gradient where x is 0",
        phase="written",
        provided=_is_quotient,
        text="1 / (1 + (k / x)^h) → hill(x, k, h)",
    ),
    Rule(
        "one-minus-hill",
        1 - hill(_x, _y, _u),
        hill(_y, _x, _u),
        "digits are lost where the Hill function is close to 1",
        phase="written",
        provided=lambda bound, body: bound[_x] != bound[_y],
    ),
)

NAMES = tuple(rule.name for rule in RULES)
_BY_NAME = {rule.name: rule for rule in RULES}
_GENERAL = [_BY_NAME[name] for name in ("expm1", "log1p")]
"""Rules that apply to what is a part of other rules' left sides."""


_NANOSECONDS: dict[str, float] = {
    "exp": 0.8,
    "log": 0.8,
    "tanh": 1.9,
    "sin": 9.0,
    "cos": 9.0,
    "sigmoid": 2.5,
    "softplus": 3.0,
    "where": 0.9,
    "maximum": 0.55,
    "minimum": 0.55,
    "relu": 0.55,
    "expm1": 1.4,
    "log1p": 1.1,
    "log2": 1.3,
    "log10": 0.9,
    "tan": 1.5,
    "asin": 1.4,
    "acos": 1.4,
    "atan": 1.3,
    "atan2": 2.4,
    "sinh": 1.3,
    "cosh": 1.1,
    "asinh": 2.3,
    "acosh": 3.4,
    "atanh": 1.9,
    "cbrt": 1.3,
    "hypot": 11.0,
    "logaddexp": 14.0,
    "floormod": 9.0,
    "clip_by_value": 1.1,
    "elu": 4.4,
    "xlogx": 2.8,
    "xlogy": 2.8,
    "hill": 4.0,
    "hill_slope": 11.0,
    "log1mexp": 6.0,
    "exp_over_expm1": 4.5,
}
"""Measured cost of a NumPy call per float64 element in cache; 0.3 for all others."""


@lru_cache(maxsize=65536)
def cost(body: sp.Expr) -> float:
    """Estimated nanoseconds per element to evaluate a body with one NumPy call per operation."""
    if not body.args:
        return 0.0
    inside = sum(cost(part) for part in body.args)
    if isinstance(body, (sp.Add, sp.Mul)):
        return inside + 0.3 * (len(body.args) - 1)
    if isinstance(body, sp.Pow):
        if body.exp.is_Integer:
            return inside + 0.3 * min(abs(int(body.exp)), 10)
        return inside + (1.2 if abs(body.exp) == sp.Rational(1, 2) else 3.0)
    return inside + _NANOSECONDS.get(type(body).__name__, 0.3)


# --- rewriting -------------------------------------------------------------------------------

MOST_STEPS = 50
"""Rewrites of one body; far more than any takes, so that a wrong rule cannot run forever."""


@dataclass(frozen=True)
class Step:
    """One rule applied to a part of a body."""

    rule: str
    before: sp.Expr
    after: sp.Expr

    @property
    def difference(self) -> tuple[sp.Expr, sp.Expr]:
        """Before and after, without the terms of a sum that stay as they are."""
        if not isinstance(self.before, sp.Add):
            return self.before, self.after
        after = sp.Add.make_args(self.after)
        same = sp.Add(*(term for term in self.before.args if term in after))
        return self.before - same, self.after - same


def rewritten(
    body: sp.Expr,
    phase: Phase | None = None,
    without: frozenset[str] = frozenset(),
    facts: Facts = NOTHING,
) -> tuple[sp.Expr, tuple[Step, ...]]:
    """The body after all rules, and what they did one after the other."""
    return _rewritten(body, phase, without, facts)


@lru_cache(maxsize=65536)
def _rewritten(
    body: sp.Expr, phase: Phase | None, without: frozenset[str], facts: Facts
) -> tuple[sp.Expr, tuple[Step, ...]]:
    steps: list[Step] = []
    while len(steps) < MOST_STEPS:
        step = _first_step(body, phase, without, facts)
        if step is None:
            break
        steps.append(step)
        body = body.xreplace({step.before: step.after})
    return body, tuple(steps)


def _first_step(
    body: sp.Expr, phase: Phase | None, without: frozenset[str], facts: Facts
) -> Step | None:
    """The first rule of the table that applies, at the outermost place."""
    rules = [rule for rule in applicable(kinds_of(body), phase) if rule.name not in without]
    nodes: dict[Rule, list[sp.Expr]] = {rule: [] for rule in rules}
    for node in dict.fromkeys(sp.preorder_traversal(body)) if rules else ():
        for rule in _applicable_at(node.func, kinds_of(node)):
            if rule in nodes:
                nodes[rule].append(node)
    for rule in rules:
        for node in nodes[rule]:
            after = rule.applied(node, body, facts)
            if after is None or after == node:
                continue
            after = without_twins(after) if phase == "computed" else after
            if body.xreplace({node: after}).has(sp.I):  # log(-exp(x)) and sqrt(-sin(x)²) are NaN
                continue
            if rule.stable or cost(after) < cost(node):
                return Step(rule.name, node, after)
    return None


@lru_cache(maxsize=65536)
def kinds_of(body: sp.Expr) -> frozenset[str]:
    """The functions in a body, and whether there are powers and roots."""
    found: set[str] = set().union(*map(kinds_of, body.args))
    if isinstance(body, sp.Function):
        found.add(type(body).__name__)
    elif isinstance(body, sp.Pow) and not isinstance(body.exp, sp.Wild):
        found.add("square" if body.exp.is_Integer and body.exp.is_even else "")
        found.add("inverse" if body.exp.is_negative else "")
        found.add("root" if body.exp.is_Number and not body.exp.is_Integer else "")
    return frozenset(found - {""})


@lru_cache(maxsize=65536)
def applicable(kinds: frozenset[str], phase: Phase | None) -> tuple[Rule, ...]:
    """The rules on bodies whose functions are all there."""
    return tuple(
        rule
        for rule in RULES
        if not rule.structural
        and (phase is None or rule.phase in (None, phase))
        and any(needs <= kinds for needs in _needs(rule))
    )


@lru_cache(maxsize=65536)
def _applicable_at(head: type, kinds: frozenset[str]) -> tuple[Rule, ...]:
    """The rules of which a left side is an expression of a class, in functions that are there."""
    return tuple(
        rule
        for rule in RULES
        if not rule.structural
        and any(
            issubclass(head, left.func) and needs <= kinds
            for left, needs in zip(_lefts(rule), _needs(rule), strict=True)
        )
    )


@lru_cache(maxsize=65536)
def surface(body: sp.Expr) -> tuple[frozenset[str], tuple[int, ...]]:
    """The functions and powers that a body does arithmetic with, and the slots.

    What stands within a function is none of it, but for those that SymPy may take away when it
    reads the body in another: exp(log(x)) is x, and |x|² is x².
    """
    found: set[str] = set()
    slots: set[int] = set()
    pending = [body]
    while pending:
        part = pending.pop()
        if part.is_Symbol:
            slots.update(slots_of(part))
        elif isinstance(part, sp.Pow):
            found |= kinds_of(part.func(slot(0), part.exp))
        elif isinstance(part, sp.Function):
            found.add(type(part).__name__)
        if isinstance(part, (sp.Add, sp.Mul, sp.Pow, sp.exp, sp.log, sp.Abs)):
            pending += part.args
    return frozenset(found), tuple(sorted(slots))


@lru_cache(maxsize=65536)
def may_apply(
    body: sp.Expr, near: frozenset[str], kinds: frozenset[str], phase: Phase | None
) -> bool:
    """Whether a rule may apply at one of the operations of a body, once what it reads is read in.

    near   the functions that it then does arithmetic with
    kinds  all functions in it then
    """
    own = kinds_of(body)
    arithmetic = {sp.Add: body.has(sp.Add), sp.Mul: body.has(sp.Mul, sp.Pow)}
    arithmetic[sp.Pow] = arithmetic[sp.Mul]
    for rule in applicable(kinds, phase):
        for left, needs in zip(_lefts(rule), _needs(rule), strict=True):
            if left.func in arithmetic:
                if arithmetic[left.func] and needs <= near:
                    return True
            elif left.func.__name__ in own:
                return True
    return False


@cache
def _needs(rule: Rule) -> tuple[frozenset[str], ...]:
    """The functions without which a rule finds nothing, for each of its left sides."""
    return tuple(
        kinds_of(left) or frozenset({"root"})  # of a power, the exponent may be a Wild symbol
        for left in _lefts(rule)
    )


@cache
def _lefts(rule: Rule) -> tuple[sp.Expr, ...]:
    """The left side, and what it looks like once other rules have been at its parts.

    Every operation of a model is rewritten on its own before what reads it: `log(1 - exp(x))`
    is met as `log(-expm1(x))`, and `log(1 / (1 + exp(x)))` as that of a twin of the sigmoid.
    """
    wilds = sorted(rule.left.atoms(sp.Wild), key=str)
    slots = {wild: slot(at) for at, wild in enumerate(wilds)}
    met = _met(rule.left.xreplace(slots), whole=True)
    met = met.xreplace({symbol: wild for wild, symbol in slots.items()})
    ways = (rule.left, met, with_twins(rule.left), with_twins(met))
    return tuple(dict.fromkeys(ways))


def _met(node: sp.Expr, whole: bool = False) -> sp.Expr:
    """An expression of which every sum and function inside has been rewritten on its own."""
    if not node.args:
        return node
    node = node.func(*(_met(part) for part in node.args))
    if whole or not isinstance(node, (sp.Add, sp.Function)):
        return node
    for rule in _GENERAL:
        for match in occurrences(rule.left, node):
            assert isinstance(rule.right, sp.Expr)
            return match.put_back(rule.right.xreplace(dict(match.bindings)))
    return node


def known_rules(names: Iterable[str]) -> tuple[str, ...]:
    """The names, each once, in the order of the table; an error for one that is no rule."""
    wanted = set(names)
    unknown = sorted(wanted - set(NAMES))
    if unknown:
        near = nearest(unknown[0], NAMES)
        hint = f"did you mean {near}?" if near else "`symflow rules` lists them"
        raise SymflowError(f"there is no rule {unknown[0]!r}", hint=hint)
    return tuple(name for name in NAMES if name in wanted)


def described(name: str) -> str:
    """A rule's equation, and what goes wrong without it."""
    rule = _BY_NAME[name]
    reason = f"{rule.why}; {rule.source}" if rule.source else rule.why
    return f"{name}\n    {rule.equation}\n    why: {reason}\n"


def documented() -> str:
    """All rules, one after the other."""
    return "\n".join(described(name) for name in NAMES)
