"""What overflows or loses digits is replaced: rules on bodies, and sums of exponentials.

Done before derivatives are taken, and again after. A rule looks through the elementwise kernels
that a kernel reads: `log(p)` with `p = sigmoid(z)` is seen as `log(sigmoid(z))`.
"""

from __future__ import annotations

import sympy as sp

from symflow.program import (
    Access,
    Builder,
    Definition,
    Kernel,
    Label,
    kernel,
    slot,
    slots_of,
)
from symflow.rows import exp, log, root_of_squares
from symflow.rules import rewritten
from symflow.solvers import Determinant, LogDeterminant
from symflow.substitution import read_through
from symflow.views import StopGradient


def stabilised(program: Builder, definition: Definition) -> int | None:
    value = definition.value
    if not isinstance(value, Kernel) or not value.elementwise:
        return None
    if not value.body.has(sp.log, sp.Pow, sp.exp, sp.erf) and not (
        _masked(value.body) or _adds_erf(program, value)
    ):
        return None
    shifted = _shifted_exponentials(program, value, definition)
    if shifted is not None:
        return shifted
    logarithm = _log_of_determinant(program, value)
    if logarithm is not None:
        return program.add(logarithm, definition.label, definition.origin)
    norm = _norm(program, value)
    if norm is not None:
        return program.add(norm, definition.label, definition.origin)
    wide = read_through(program, value)
    body, applied = rewritten(wide.body)
    undone = value.body.has(sp.log) and not body.has(sp.log)  # SymPy itself: log(exp(x)) is x
    if not applied and not undone:
        return None
    return program.add(
        kernel(wide.output, wide.sizes, body, wide.accesses), definition.label, definition.origin
    )


def _adds_erf(program: Builder, value: Kernel) -> bool:
    """Whether a sum has a term of its own tensor that is an erf, as 1 - erf(x) has."""
    sources = (program[access.tensor].value for access in value.accesses)
    return isinstance(value.body, sp.Add) and any(
        isinstance(source, Kernel) and isinstance(source.body, sp.erf) for source in sources
    )


def _masked(body: sp.Expr) -> bool:
    return isinstance(body, sp.Mul) and any(type(part).__name__ == "where" for part in body.args)


def _shifted_exponentials(program: Builder, value: Kernel, definition: Definition) -> int | None:
    """log-sum-exp: log Σ c·exp(x) → m + log Σ c·exp(x - m) with m = max x;
    softmax: exp(x) / Σ exp(x) → exp(x - m) / Σ exp(x - m).

    m is a constant for derivatives, which is exact: neither side depends on it.
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
            reader = value
        elif value.body.has(1 / slot(position)):
            reader = read_through(program, value, 1)
            if access not in reader.accesses or _exponent_of(reader.body, True) is None:
                continue
        else:
            continue
        shifted, peak = _around_peak(program, wide, exponent, definition)
        accesses = [*reader.accesses, Access(shifted, access.indices), Access(peak, access.indices)]
        sum_, top = slot(len(accesses) - 2), slot(len(accesses) - 1)
        old = slot(reader.accesses.index(access))
        if reader is value:
            body = value.body.xreplace({logarithm: top + log(sum_)})
        else:
            numerator = _exponent_of(reader.body, True)
            body = reader.body.xreplace({exp(numerator): exp(numerator - top), old: sum_})
        return program.add(
            kernel(value.output, value.sizes, body, accesses), definition.label, definition.origin
        )
    return None


def _log_of_determinant(program: Builder, value: Kernel) -> Kernel | None:
    """log-determinant: log(det(A)) from the factors of A, where det(A) itself would overflow."""
    for position, access in enumerate(value.accesses):
        source = program[access.tensor].value
        logarithm = log(slot(position))
        if isinstance(source, Determinant) and value.body.has(logarithm):
            label = Label(f"{program[access.tensor].label.name}_log")
            tensor = program.add(LogDeterminant(source.source, size=False), label)
            body = value.body.xreplace({logarithm: slot(len(value.accesses))})
            accesses = [*value.accesses, Access(tensor, access.indices)]
            return kernel(value.output, value.sizes, body, accesses)
    return None


def _norm(program: Builder, value: Kernel) -> Kernel | None:
    """norm: √(x² + y²) and √(Σ x²) get the gradient 0 at 0, where the chain rule gives 0 · ∞."""
    roots = {
        part: root_of_squares(part.base)
        for part in value.body.atoms(sp.Pow)
        if part.exp == sp.Rational(1, 2) and _sums_squares(program, value, part.base)
    }
    if not roots:
        return None
    body = value.body.xreplace(roots)
    return kernel(value.output, value.sizes, body, value.accesses)


def _sums_squares(program: Builder, value: Kernel, expression: sp.Expr) -> bool:
    """Whether an expression can be 0 only where all that it adds up is 0, with slope 0."""
    if isinstance(expression, sp.Symbol):
        for number in slots_of(expression):
            source = program[value.accesses[number].tensor].value
            if isinstance(source, Kernel) and source.reduction == "sum" and source.accesses:
                return _sums_squares(program, source, source.body)
        return False
    if isinstance(expression, sp.Add):
        return all(_sums_squares(program, value, term) for term in expression.args)
    if isinstance(expression, sp.Mul):
        factors = expression.args
        return all(one.is_positive or _sums_squares(program, value, one) for one in factors)
    if isinstance(expression, sp.Pow):
        return bool(expression.exp.is_Integer and expression.exp.is_even and expression.exp > 0)
    return bool(expression.is_nonnegative and not slots_of(expression))


def _exponent_of(body: sp.Expr, anywhere: bool = False) -> sp.Expr | None:
    """x, where the body is exp(x) times what has no operand, or (anywhere) times anything."""
    exponents = [part.args[0] for part in sp.Mul.make_args(body) if type(part) is sp.exp]
    rest = [part for part in sp.Mul.make_args(body) if type(part) is not sp.exp]
    if len(exponents) != 1 or (not anywhere and any(slots_of(part) for part in rest)):
        return None
    return exponents[0]


def _around_peak(
    program: Builder, total: Kernel, exponent: sp.Expr, definition: Definition
) -> tuple[int, int]:
    """Σ c·exp(x - m) and m, for a kernel Σ c·exp(x)."""
    name = definition.label.name
    space = _exponent(program, total, exponent, name)
    peak = program.add(
        kernel(total.output, total.sizes, slot(0), [space], "max"),
        Label(f"{name}_max"),
        definition.origin,
    )
    peak = program.add(StopGradient(peak), Label(f"{name}_max"), definition.origin)
    coefficient = sp.Mul(*(one for one in sp.Mul.make_args(total.body) if type(one) is not sp.exp))
    shifted = kernel(
        total.output,
        total.sizes,
        coefficient * exp(slot(0) - slot(1)),
        [space, Access(peak, total.output)],
    )
    return program.add(shifted, Label(f"{name}_total"), definition.origin), peak


def _is_shifted(program: Builder, total: Kernel) -> bool:
    """Whether a maximum is subtracted already inside a sum of exponentials."""
    for access in total.accesses:
        source = program[access.tensor].value
        while isinstance(source, StopGradient):
            source = program[source.source].value
        if isinstance(source, Kernel) and source.reduction == "max":
            return True
    return False


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
