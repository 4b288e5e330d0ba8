"""Rules that look at several kernels at once: sums of exponentials, determinants, norms, variances.

Each takes a kernel and gives what computes it better, or None.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache, reduce

import sympy as sp

from symflow.elementwise import function_of
from symflow.infinities import Infinities
from symflow.program import (
    Access,
    Builder,
    Definition,
    Kernel,
    Label,
    Value,
    kernel,
    slot,
    slots_of,
)
from symflow.rows import (
    abs_,
    clip_by_value,
    equal,
    exp,
    expm1,
    greater,
    less,
    log,
    log1p,
    logaddexp,
    masked_product,
    maximum,
    minimum,
    root_of_squares,
    where,
)
from symflow.running import CumulativeSum, Recurrence, RunningMaximum, shifted
from symflow.solvers import Determinant, LogDeterminant
from symflow.substitution import read_through, substituted
from symflow.views import Slice, StopGradient


@dataclass(frozen=True)
class Restructured:
    """By which rule, from which kernel, to which."""

    rule: str
    before: Kernel
    after: Kernel


def shifted_exponentials(
    program: Builder, value: Kernel, definition: Definition, without: frozenset[str]
) -> Restructured | None:
    """log-sum-exp: log Σ c·exp(x) → m + log Σ c·exp(x - m) with m = max x;
    softmax: exp(x) / Σ exp(x) → exp(x - m) / Σ exp(x - m).

    m is a constant for derivatives, which is exact: neither side depends on it. Where all x are
    -∞ the value is -∞ and the gradient 0.
    """
    for position, access in enumerate(value.accesses):
        total = program[access.tensor].value
        if not isinstance(total, Kernel) or total.elementwise or program.kept(access.tensor):
            continue
        wide = read_through(program, total)
        exponent = _exponent_of(wide.body)
        if exponent is None or total.reduction != "sum" or _is_shifted(program, wide):
            continue
        logarithm = log(slot(position))
        if value.body.has(logarithm):
            rule, reader = "log-sum-exp", value
        elif value.body.has(1 / slot(position)):
            rule, reader = "softmax", read_through(program, value, 1)
            if access not in reader.accesses or _exponent_of(reader.body, True) is None:
                continue
        else:
            continue
        if rule in without:
            continue
        if Infinities(program).within(wide, exponent):
            wide, exponent = _as_read(program, total)
        shifted, peak, finite = _around_peak(program, wide, exponent, definition)
        accesses = [*reader.accesses, *(Access(one, access.indices) for one in (shifted, peak))]
        sum_, top = slot(len(accesses) - 2), slot(len(accesses) - 1)
        old = slot(reader.accesses.index(access))
        if rule == "log-sum-exp":
            body = value.body.xreplace({logarithm: top + log(where(greater(sum_, 0), sum_, 1))})
        else:
            accesses[-1] = Access(finite, access.indices)
            numerator = _exponent_of(reader.body, True)
            body = reader.body.xreplace({exp(numerator): exp(numerator - top), old: sum_})
        return Restructured(rule, value, kernel(value.output, value.sizes, body, accesses))
    return None


def shifted_terms(program: Builder, value: Kernel, definition: Definition) -> Restructured | None:
    """log-sum-exp of a longer sum: log(k + Σ c·exp(x)) → m + log(k·exp(-m) + Σ c·exp(x - m)) with
    m = max(0, max x), and log(exp(y) + s) → logaddexp(y, log(s)).

    Where no exponential is above 1, m is 0 and nothing moves: log(1 + s) is log1p(s) then.
    """
    wide = value
    for _ in range(4):
        for part in sp.preorder_traversal(wide.body):
            argument = _argument_of_log(part)
            terms = None if argument is None else _exponential_terms(program, wide, argument)
            if terms is None:
                continue
            accesses, body = _log_of_terms(program, wide, terms, definition)
            after = kernel(wide.output, wide.sizes, wide.body.xreplace({part: body}), accesses)
            return Restructured("log-sum-exp", wide, after)
        wider = read_through(program, wide, 1)
        if wider is wide:
            break
        wide = wider
    return None


@dataclass(frozen=True)
class _Sum:
    """A factor times Σ c·exp(exponent), read at an access."""

    factor: sp.Expr
    position: int
    total: Kernel
    exponent: sp.Expr


@dataclass(frozen=True)
class _Terms:
    """number + Σ exp(exponents) + sums, of which there is one at least."""

    number: sp.Expr
    exponents: tuple[sp.Expr, ...]
    sums: tuple[_Sum, ...]


def _argument_of_log(part: sp.Expr) -> sp.Expr | None:
    if isinstance(part, sp.log):
        argument = part.args[0]
        return argument if isinstance(argument, (sp.Add, sp.Mul)) else None
    return 1 + part.args[0] if isinstance(part, function_of(log1p)) else None


def _exponential_terms(program: Builder, value: Kernel, argument: sp.Expr) -> _Terms | None:
    """A sum of positive numbers, exponentials and sums of exponentials; None for any other."""
    number: sp.Expr = sp.S.Zero
    exponents: list[sp.Expr] = []
    sums: list[_Sum] = []
    for term in sp.Add.make_args(argument):
        factors = sp.Mul.make_args(term)
        factor = sp.Mul(*(one for one in factors if not slots_of(one)))
        rest = [one for one in factors if slots_of(one)]
        if not factor.is_positive or len(rest) > 1:
            return None
        if not rest:
            number += factor
        elif isinstance(rest[0], sp.exp):
            exponents.append(rest[0].args[0] + (0 if factor == 1 else log(factor)))
        else:
            total = _total_of_exponentials(program, value, rest[0])
            exponent = None if total is None else _exponent_of(total.body)
            if total is None or exponent is None:
                return None
            sums.append(_Sum(factor, slots_of(rest[0])[0], total, exponent))
    return _Terms(number, tuple(exponents), tuple(sums)) if sums else None


def _total_of_exponentials(program: Builder, value: Kernel, term: sp.Expr) -> Kernel | None:
    """Σ c·exp(x), if that is what an operand is, with c > 0 and without a shift."""
    if not isinstance(term, sp.Symbol):
        return None
    tensor = value.accesses[slots_of(term)[0]].tensor
    total = program[tensor].value
    if not isinstance(total, Kernel) or total.elementwise or program.kept(tensor):
        return None
    if total.reduction != "sum":
        return None
    wide = read_through(program, total)
    exponent = _exponent_of(wide.body)
    if exponent is None or not (wide.body / exp(exponent)).is_positive:
        return None
    return None if _is_shifted(program, wide) else wide


def _log_of_terms(
    program: Builder, value: Kernel, terms: _Terms, definition: Definition
) -> tuple[list[Access], sp.Expr]:
    """The logarithm of a sum of terms, and what it reads."""
    accesses = list(value.accesses)
    logarithms = list(terms.exponents)
    for number, one in zip((terms.number, *[0] * len(terms.sums)), terms.sums, strict=False):
        scale = one.factor * one.total.body / exp(one.exponent) if number else None
        shifted, peak, finite = _around_peak(program, one.total, one.exponent, definition, scale)
        indices = value.accesses[one.position].indices
        accesses += [Access(tensor, indices) for tensor in (shifted, peak, finite)]
        sum_, top, shift = (slot(len(accesses) - back) for back in (3, 2, 1))
        if number == 0:
            found = top + log(where(greater(sum_, 0), one.factor * sum_, 1))
        elif number == 1:
            found = top + log1p(expm1(-shift) + one.factor * sum_)
        else:
            found = top + log(number * exp(-shift) + one.factor * sum_)
        logarithms.append(found)
    return accesses, reduce(logaddexp, logarithms)


FAR = 150
"""Of exponents that are no longer, sums with weights neither overflow nor underflow, nor do the
squares and cubes by which derivatives divide.
"""


_OVERFLOWS = 700


def weighted_exponentials(
    program: Builder, value: Kernel, definition: Definition
) -> Restructured | None:
    """log-sum-exp with weights: log Σ w·exp(x) → s + log Σ w·exp(x - s), w of any sign.

    s is 0 where the largest x is within ±150, so that nothing is rounded that may cancel against a
    weight, and what is beyond elsewhere. It is a constant for derivatives.
    """
    for position, access in enumerate(value.accesses):
        logarithm = log(slot(position))
        total = program[access.tensor].value
        if not value.body.has(logarithm) or not isinstance(total, Kernel) or total.elementwise:
            continue
        if total.reduction != "sum" or program.kept(access.tensor):
            continue
        wide = read_through(program, total)
        exponent = _exponent_of(wide.body, True)
        if exponent is None or not slots_of(exponent) or _is_shifted(program, wide):
            continue
        shifted, top = _around_far_peak(program, wide, exponent, definition)
        accesses = [*value.accesses, *(Access(one, access.indices) for one in (shifted, top))]
        sum_, shift = slot(len(accesses) - 2), slot(len(accesses) - 1)
        some = less(abs_(shift), sp.oo)
        body = value.body.xreplace({logarithm: shift + log(where(some, sum_, 1))})
        after = kernel(value.output, value.sizes, body, accesses)
        return Restructured("log-sum-exp", value, after)
    return None


def _around_far_peak(
    program: Builder, total: Kernel, exponent: sp.Expr, definition: Definition
) -> tuple[int, int]:
    """Σ w·exp(x - s), and s, which is infinite where the largest x with w ≠ 0 is."""
    name = definition.label.name
    weight = sp.Mul(*(one for one in sp.Mul.make_args(total.body) if one != exp(exponent)))
    everything = tuple(range(len(total.sizes)))
    counted = where(equal(weight, 0), -sp.oo, exponent)
    read = program.add(
        kernel(everything, total.sizes, counted, total.accesses), Label(f"{name}_exponent")
    )
    peak = program.add(
        kernel(total.output, total.sizes, slot(0), [Access(read, everything)], "max"),
        Label(f"{name}_max"),
        definition.origin,
    )
    peak = program.add(StopGradient(peak), Label(f"{name}_max"), definition.origin)
    beyond = slot(0) - clip_by_value(slot(0), -FAR, FAR)
    far = program.elementwise(beyond, [peak], Label(f"{name}_far"))
    shift = program.elementwise(
        where(less(abs_(slot(0)), sp.oo), slot(0), 0), [far], Label(f"{name}_shift")
    )
    accesses = [*total.accesses, Access(shift, total.output)]
    moved = exponent - slot(len(accesses) - 1)
    bounded = where(less(moved, _OVERFLOWS), moved, _OVERFLOWS)  # longer ones have the weight 0
    body = weight * exp(bounded)
    shifted = kernel(total.output, total.sizes, body, accesses)
    return program.add(shifted, Label(f"{name}_total"), definition.origin), far


def running_exponentials(
    program: Builder, value: Kernel, definition: Definition
) -> Restructured | None:
    """log-cumsum-exp: log Σ_{i ≤ j} exp(x[i]) → m[j] + log(r[j]), with the running maximum m and
    r[j] = exp(x[j] - m[j]) + exp(m[j-1] - m[j])·r[j-1]; also from the end, and turned round.
    """
    value = read_through(program, value, 1)
    for position, access in enumerate(value.accesses):
        factors = [
            (part, part.args[0] / slot(position))
            for part in value.body.atoms(sp.log)
            if slots_of(part.args[0]) == (position,)
        ]
        scaled = {part: factor for part, factor in factors if factor.is_positive}
        found = _running_logarithm(program, access.tensor, definition) if scaled else None
        if found is not None:
            whole = slot(len(value.accesses))
            logarithms = {
                part: whole if factor == 1 else whole + log(factor)
                for part, factor in scaled.items()
            }
            body = value.body.xreplace(logarithms)
            accesses = [*value.accesses, Access(found, access.indices)]
            after = kernel(value.output, value.sizes, body, accesses)
            return Restructured("log-cumsum-exp", value, after)
    return None


def _running_logarithm(program: Builder, tensor: int, definition: Definition) -> int | None:
    """The logarithm of a running sum of exponentials, or of a part of one."""
    value = program[tensor].value
    if program.kept(tensor):
        return None
    if isinstance(value, Slice):
        whole = _running_logarithm(program, value.source, definition)
        label = Label(f"{definition.label.name}_part")
        return None if whole is None else program.add(Slice(whole, value.key), label)
    if not isinstance(value, CumulativeSum):
        return None
    exponent = _exponents(program, value.source)
    if exponent is None:
        return None
    axis, reverse, name = value.axis, value.reverse, definition.label.name
    peak = program.add(RunningMaximum(exponent, axis, reverse), Label(f"{name}_max"))
    peak = program.add(StopGradient(peak), Label(f"{name}_max"), definition.origin)
    finite = where(less(abs_(slot(0)), sp.oo), slot(0), 0)
    shift = program.elementwise(finite, [peak], Label(f"{name}_shift"))
    before = shifted(program, peak, axis, -1 if reverse else 1)
    fall = exp(minimum(slot(0), slot(1)) - slot(1))  # that of the first entry counts nowhere
    falls = program.elementwise(fall, [before, shift], Label(f"{name}_falls"))
    shares = program.elementwise(exp(slot(0) - slot(1)), [exponent, shift], Label(f"{name}_shares"))
    total = program.add(Recurrence(falls, shares, axis, reverse), Label(f"{name}_total"))
    return program.elementwise(
        slot(0) + log(where(greater(slot(1), 0), slot(1), 1)),
        [peak, total],
        Label(f"{name}_logarithm"),
    )


def _exponents(program: Builder, tensor: int) -> int | None:
    """x, where a tensor is exp(x), or a part of that."""
    value = program[tensor].value
    if program.kept(tensor):
        return None
    if isinstance(value, Slice):
        whole = _exponents(program, value.source)
        label = Label(f"{program[tensor].label.name}_exponent")
        return None if whole is None else program.add(Slice(whole, value.key), label)
    if not isinstance(value, Kernel) or not value.elementwise:
        return None
    wide = read_through(program, value)
    exponent = _exponent_of(wide.body)
    factor = None if exponent is None else wide.body / exp(exponent)
    if factor is None or not factor.is_positive:
        return None
    body = exponent if factor == 1 else exponent + log(factor)
    label = Label(f"{program[tensor].label.name}_exponent")
    return program.add(kernel(wide.output, wide.sizes, body, wide.accesses), label)


def log_of_determinant(program: Builder, value: Kernel) -> Restructured | None:
    """log-determinant: log(det(A)) from the factors of A, where det(A) itself would overflow."""
    for position, access in enumerate(value.accesses):
        source = program[access.tensor].value
        logarithm = log(slot(position))
        if isinstance(source, Determinant) and value.body.has(logarithm):
            label = Label(f"{program[access.tensor].label.name}_log")
            tensor = program.add(LogDeterminant(source.source, size=False), label)
            body = value.body.xreplace({logarithm: slot(len(value.accesses))})
            accesses = [*value.accesses, Access(tensor, access.indices)]
            after = kernel(value.output, value.sizes, body, accesses)
            return Restructured("log-determinant", value, after)
    return None


def norm(program: Builder, value: Kernel) -> Restructured | None:
    """norm: √(x² + y²) and √(Σ x²) get the gradient 0 at 0, where the chain rule gives 0 · ∞."""
    roots = {
        part: root_of_squares(part.base)
        for part in value.body.atoms(sp.Pow)
        if part.exp == sp.Rational(1, 2) and _sums_squares(program, value, part.base)
    }
    if not roots:
        return None
    body = value.body.xreplace(roots)
    return Restructured("norm", value, kernel(value.output, value.sizes, body, value.accesses))


def reciprocal(program: Builder, value: Kernel) -> Restructured | None:
    """reciprocal: 1 / (1 / x) → x, also where x is 0."""
    positions = [
        position
        for position, access in enumerate(value.accesses)
        if _is_inverse(program[access.tensor].value)
        and not program.kept(access.tensor)
        and any(_is_power_of(part, slot(position)) for part in value.body.atoms(sp.Pow))
    ]
    if not positions:
        return None
    return Restructured("reciprocal", value, substituted(program, value, positions))


def _is_inverse(source: Value) -> bool:
    """Whether a value is 1 / x, or a whole power of that."""
    if not isinstance(source, Kernel) or not source.elementwise:
        return False
    body = source.body
    return isinstance(body, sp.Pow) and bool(body.exp.is_Integer and body.exp.is_negative)


def _is_power_of(part: sp.Pow, base: sp.Expr) -> bool:
    return bool(part.base == base and part.exp.is_Integer)


def variance(program: Builder, value: Kernel) -> Restructured | None:
    """variance: mean(x²) - mean(x)² → mean((x - mean(x))²)."""
    means = [
        position
        for position, access in enumerate(value.accesses)
        if isinstance(source := program[access.tensor].value, Kernel) and not source.elementwise
    ]
    if not means or not isinstance(value.body, sp.Add):
        return None
    value = read_through(program, value)
    for one in _squares_and_means(value.body, len(value.accesses)):
        centred = _centred(program, value.accesses[one.square], value.accesses[one.mean])
        if centred is not None:
            accesses = [*value.accesses, Access(centred, value.accesses[one.mean].indices)]
            body = one.rest + one.factor * slot(len(accesses) - 1)
            after = kernel(value.output, value.sizes, body, accesses)
            return Restructured("variance", value, after)
    return None


@dataclass(frozen=True)
class _SquareAndMean:
    """A body as  factor · (square - mean²) + rest; square and mean are slots."""

    square: int
    mean: int
    factor: sp.Expr
    rest: sp.Expr


@lru_cache(maxsize=65536)
def _squares_and_means(body: sp.Expr, slots: int) -> tuple[_SquareAndMean, ...]:
    found: list[_SquareAndMean] = []
    for term in body.args if isinstance(body, sp.Add) else ():
        for square in slots_of(term):
            factor = term / slot(square)
            for mean in range(slots):
                subtracted = -factor * slot(mean) ** 2
                if not slots_of(factor) and mean != square and subtracted in body.args:
                    rest = body - term - subtracted
                    found.append(_SquareAndMean(square, mean, factor, rest))
    return tuple(found)


def _centred(program: Builder, square: Access, mean: Access) -> int | None:
    """The mean of (x - m)², where one tensor is the mean of x², and m another, that of x."""
    squares, means = (program[access.tensor].value for access in (square, mean))
    kinds = isinstance(squares, Kernel) and isinstance(means, Kernel)
    if not kinds or square.indices != mean.indices or program.kept(square.tensor):
        return None
    assert isinstance(squares, Kernel)
    assert isinstance(means, Kernel)
    if squares.reduction != "sum" or means.reduction != "sum" or means.elementwise:
        return None
    squares, means = read_through(program, squares), read_through(program, means)
    factors = sp.Mul.make_args(means.body)
    share = sp.Mul(*(factor for factor in factors if not slots_of(factor)))
    x = means.body / share
    if sp.Mul(share, *(means.sizes[index] for index in means.reduced)) != 1:
        return None
    if kernel(means.output, means.sizes, share * x**2, means.accesses) != squares:
        return None
    accesses = [*means.accesses, Access(mean.tensor, means.output)]
    body = share * (x - slot(len(accesses) - 1)) ** 2
    centred = kernel(means.output, means.sizes, body, accesses)
    definition = program[square.tensor]
    return program.add(centred, Label(f"{definition.label.name}_centred"), definition.origin)


def masked_logits(infinities: Infinities, value: Kernel) -> Kernel | None:
    """masked-logit: w·log p → w·log p, and 0 where w is 0, if p is 0 for what a mask takes out;
    e^u·x → e^u·x, and 0 where u is -∞, if x may be infinite there too.
    """
    if not any(map(infinities.of, value.operands)) and not value.body.has(sp.oo, -sp.oo):
        return None
    terms = [_masked_logit(infinities, value, one) for one in sp.Add.make_args(value.body)]
    body = sp.Add(*terms)
    if body == value.body:
        return None
    return kernel(value.output, value.sizes, body, value.accesses)


def _masked_logit(infinities: Infinities, value: Kernel, term: sp.Expr) -> sp.Expr:
    """One term of a sum; as it is where it is no product of a weight and what may be infinite."""
    number, rest = term.as_coeff_Mul()
    factors = sp.Mul.make_args(rest)
    infinite = [one for one in factors if infinities.within(value, one)]
    if len(infinite) != 1 or len(factors) == 1:
        return term
    inverses = [one for one in factors if isinstance(one, sp.Pow) and one.exp.is_negative]
    weights = [one for one in factors if one is not infinite[0] and one not in inverses]
    weight = sp.Mul(*weights)
    logarithm = infinities.is_log_probability(value, weight, infinite[0])
    if not slots_of(weight) or not (logarithm or infinities.vanishes(value, weight)):
        return term
    return number * masked_product(weight, infinite[0]) * sp.Mul(*inverses)


def _sums_squares(program: Builder, value: Kernel, expression: sp.Expr) -> bool:
    """Whether an expression can be 0 only where all that it adds up is 0, with slope 0."""
    if isinstance(expression, sp.Symbol):
        for number in slots_of(expression):
            source = program[value.accesses[number].tensor].value
            if isinstance(source, Kernel) and source.reduction == "sum" and source.accesses:
                return _sums_squares(program, source, source.body)
        return False
    if isinstance(expression, sp.Add):
        never = any(term.is_positive for term in expression.args)  # 1 + x² is never 0
        return not never and all(_sums_squares(program, value, one) for one in expression.args)
    if isinstance(expression, sp.Mul):
        factors = expression.args
        return all(one.is_positive or _sums_squares(program, value, one) for one in factors)
    if isinstance(expression, sp.Pow):
        return bool(expression.exp.is_Integer and expression.exp.is_even and expression.exp > 0)
    return bool(expression.is_nonnegative and not slots_of(expression))


def _as_read(program: Builder, total: Kernel) -> tuple[Kernel, sp.Expr]:
    """A sum of exponentials with its exponents read where they are: what a mask takes out of them
    is known by the tensor that they are."""
    depth, exponent = 0, _exponent_of(total.body)
    while exponent is None:
        depth += 1
        wide = read_through(program, total, depth)
        exponent = _exponent_of(wide.body)
    return (read_through(program, total, depth) if depth else total), exponent


def _exponent_of(body: sp.Expr, anywhere: bool = False) -> sp.Expr | None:
    """x, where the body is exp(x) times what has no operand, or (anywhere) times anything."""
    exponents = [part.args[0] for part in sp.Mul.make_args(body) if type(part) is sp.exp]
    rest = [part for part in sp.Mul.make_args(body) if type(part) is not sp.exp]
    if len(exponents) != 1 or (not anywhere and any(slots_of(part) for part in rest)):
        return None
    return exponents[0]


def _around_peak(
    program: Builder,
    total: Kernel,
    exponent: sp.Expr,
    definition: Definition,
    scale: sp.Expr | None = None,
) -> tuple[int, int, int]:
    """Σ c·exp(x - m), and m, and the m that is subtracted, which is 0 where m is not finite.

    m is max(x); beside a number, max(0, log(scale) + max(x)), with which no scale·exp(x - m) is
    above 1, and one is 1 where m is not 0.
    """
    name = definition.label.name
    space = _exponent(program, total, exponent, name)
    peak = program.add(
        kernel(total.output, total.sizes, slot(0), [space], "max"),
        Label(f"{name}_max"),
        definition.origin,
    )
    if scale is not None:
        above = maximum(slot(0) + log(scale), 0)
        peak = program.elementwise(above, [peak], Label(f"{name}_max"))
    peak = program.add(StopGradient(peak), Label(f"{name}_max"), definition.origin)
    finite = program.elementwise(
        where(less(abs_(slot(0)), sp.oo), slot(0), 0), [peak], Label(f"{name}_shift")
    )
    coefficient = sp.Mul(*(one for one in sp.Mul.make_args(total.body) if type(one) is not sp.exp))
    shifted = kernel(
        total.output,
        total.sizes,
        coefficient * exp(slot(0) - slot(1)),
        [space, Access(finite, total.output)],
    )
    return program.add(shifted, Label(f"{name}_total"), definition.origin), peak, finite


def _is_shifted(program: Builder, total: Kernel) -> bool:
    """Whether a maximum is subtracted already inside a sum of exponentials."""
    return any(_is_peak(program, access.tensor) for access in total.accesses)


def _is_peak(program: Builder, tensor: int) -> bool:
    """Whether a tensor is a maximum of others, or the larger of that and a number."""
    source = program[tensor].value
    while isinstance(source, StopGradient):
        source = program[source.source].value
    if not isinstance(source, Kernel):
        return False
    floored = isinstance(source.body, function_of(maximum)) and len(source.accesses) == 1
    return source.reduction == "max" or (floored and _is_peak(program, source.accesses[0].tensor))


def _exponent(program: Builder, total: Kernel, exponent: sp.Expr, name: str) -> Access:
    """What is exponentiated, as one tensor over all indices of the sum."""
    everything = tuple(range(len(total.sizes)))
    if isinstance(exponent, sp.Symbol):
        access = total.accesses[slots_of(exponent)[0]]
        if set(access.indices) >= set(everything):
            return access
    tensor = program.add(
        kernel(everything, total.sizes, exponent, total.accesses), Label(f"{name}_exponent")
    )
    return Access(tensor, everything)
