"""Which numbers are -∞ or ∞ because the model says so: the logits that a mask takes out.

    where(mask, z, -∞)  is -∞ for some entries, log_softmax(where(mask, z, -∞)) likewise

What overflows is not meant, nor what an input may hold, nor the pole of a logarithm or a quotient:
only infinities that are written down, and what sums, scales, choices and views hand on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache, reduce

import numpy as np
import sympy as sp

from symflow.elementwise import function_of
from symflow.primitives import Primitive
from symflow.program import Builder, Constant, Kernel, slots_of
from symflow.rows import abs_, less, xlogx, xlogy
from symflow.signs import facts_of
from symflow.substitution import read_through


@dataclass(frozen=True)
class Ends:
    """Whether a number may be -∞, and whether it may be ∞."""

    low: bool = False
    high: bool = False

    def __bool__(self) -> bool:
        return self.low or self.high

    def __or__(self, other: Ends) -> Ends:
        return Ends(self.low or other.low, self.high or other.high)

    def __neg__(self) -> Ends:
        return Ends(self.high, self.low)


FINITE = Ends()
BOTH = Ends(True, True)


class Infinities:
    """What is known of the tensors of a program that grows."""

    def __init__(self, program: Builder) -> None:
        self.program = program
        self.known: dict[int, Ends] = {}

    def of(self, tensor: int) -> Ends:
        if tensor not in self.known:
            self.known[tensor] = self._of(tensor)
        return self.known[tensor]

    def within(self, value: Kernel, part: sp.Expr) -> Ends:
        """Of a part of a kernel's body."""
        return _ends(part, tuple(self.of(tensor) for tensor in value.operands))

    def is_log_probability(self, value: Kernel, weight: sp.Expr, part: sp.Expr) -> bool:
        """Whether w·part is w·log p, or one term of it, of a p that is 0 for what is masked; or a
        difference of such."""
        if self._is_logarithm(value, weight, part):
            return True
        source = self._source(value, part)
        if source is not None:
            return source.body.is_Add and self.is_log_probability(source, sp.S.One, source.body)
        terms = [one for one in part.args if self.within(value, one)] if part.is_Add else []
        plain = [-one if one.could_extract_minus_sign() else one for one in terms]
        return bool(terms) and all(self.is_log_probability(value, weight, one) for one in plain)

    def vanishes(self, value: Kernel, part: sp.Expr) -> bool:
        """Whether a factor is e^u, 0 where u is -∞, or has such a factor."""
        for one in sp.Mul.make_args(part):
            if isinstance(one, sp.exp) and self.within(value, one.args[0]).low:
                return True
            source = self._source(value, one)
            if source is not None and self.vanishes(source, source.body):
                return True
        return False

    def _is_logarithm(self, value: Kernel, weight: sp.Expr, part: sp.Expr) -> bool:
        """Whether a part that may be infinite is ±log p, or log(p·s) beside w·log(s)."""
        ends = self.within(value, part)
        if not ends:
            return False
        wide = read_through(self.program, value.part(part), 3)
        beside = any(one.args[0] == weight for one in value.body.atoms(*_WEIGHTED))
        if not (beside or wide.body.has(sp.log)):
            return False
        terms = sp.Add.make_args(wide.body)
        log_of_p = wide.body if ends.low else sp.Add(*(-one for one in terms))
        return facts_of(self.program, wide).range(log_of_p).nonpositive

    def _source(self, value: Kernel, part: sp.Expr) -> Kernel | None:
        """The elementwise kernel that a part of a body reads, if it is one operand as it is."""
        if not isinstance(part, sp.Symbol) or not slots_of(part):
            return None
        source = self.program[value.operands[slots_of(part)[0]]].value
        return source if isinstance(source, Kernel) and source.elementwise else None

    def _of(self, tensor: int) -> Ends:
        definition = self.program[tensor]
        value = definition.value
        if definition.type.dtype != "float":
            return FINITE
        if isinstance(value, Constant):
            data = value.data
            return Ends(bool(np.any(data == -np.inf)), bool(np.any(data == np.inf)))
        if isinstance(value, Kernel):
            found = self.within(value, value.body)
            # the largest of some is finite: of a row in which nothing is left there is no answer
            kept = {"max": Ends(False, found.high), "min": Ends(found.low, False)}
            return kept.get(value.reduction, found)
        if isinstance(value, Primitive):
            return reduce(Ends.__or__, map(self.of, value.operands), FINITE)
        return FINITE


@lru_cache(maxsize=65536)
def _ends(part: sp.Expr, of: tuple[Ends, ...]) -> Ends:
    if isinstance(part, sp.Symbol):
        numbers = slots_of(part)
        return of[numbers[0]] if numbers else FINITE
    if not part.args:
        return Ends(part == -sp.oo, part == sp.oo)
    name = type(part).__name__
    if name == "where":
        condition, *branches = part.args
        if condition == less(abs_(branches[0]), sp.oo):
            branches = branches[1:]
        return _any(branches, of)
    if name in ("maximum", "minimum"):
        first, second = (_ends(one, of) for one in part.args)
        every, some = Ends(first.low and second.low, first.high and second.high), first | second
        return Ends(every.low, some.high) if name == "maximum" else Ends(some.low, every.high)
    if isinstance(part, sp.Add):
        return _any(part.args, of)
    if isinstance(part, sp.Mul):
        number, rest = part.as_coeff_Mul()
        found = _any(sp.Mul.make_args(rest), of)
        alone = not isinstance(rest, sp.Mul)
        return (-found if number.is_negative else found) if alone or not found else BOTH
    if name in ("masked_product", "masked_quotient"):
        return BOTH if _any(part.args, of) else FINITE
    if name in _GROWING:
        return Ends(False, _ends(part.args[0], of).high)
    return FINITE


def _any(parts: Sequence[sp.Expr], of: tuple[Ends, ...]) -> Ends:
    return reduce(Ends.__or__, (_ends(one, of) for one in parts), FINITE)


_WEIGHTED = tuple(map(function_of, (xlogx, xlogy)))
_GROWING = frozenset({"exp", "softplus", "relu", "log", "log1p", "sqrt"})
"""Functions that are ∞ at ∞, and at -∞ no such thing."""
