"""Bodies of kernels as NumPy source: ufuncs and operators, small things combined first."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import sympy as sp
from sympy.printing.numpy import SciPyPrinter

from symflow.alphabets import size_name
from symflow.arithmetic import assert_undistributed
from symflow.elementwise import Opaque, canonical
from symflow.errors import SymflowError
from symflow.program import Dtype, Indices, Kernel, Type, dtype_of, slots_of
from symflow.source import literal
from symflow.text import ATOM, COMPARISON, PRODUCT, SUM, UNARY, Text, aligned

LARGEST_PRODUCT = 8
"""The largest whole exponent of a power that is written as products."""

_FUNCTIONS: Mapping[str, str] = {
    name: function.replace("numpy.", "np.").removeprefix("scipy.")
    for name, function in SciPyPrinter().known_functions.items()
    if function.startswith(("numpy.", "scipy.special.")) and name != "LambertW"  # complex
}


class Kinds(NamedTuple):
    """The kinds of number of a kernel's result and of its operands, in order."""

    result: Dtype
    operands: tuple[Dtype, ...]

    @staticmethod
    def of(result: Type, operands: Sequence[Type]) -> Kinds:
        return Kinds(result.dtype, tuple(one.dtype for one in operands))

    @staticmethod
    def of_floats(value: Kernel) -> Kinds:
        return Kinds("float", tuple[Dtype, ...](["float"] * len(value.accesses)))

    @property
    def whole(self) -> bool:
        """Whether the result is of integers, which a float would widen."""
        return self.result == "int"


class Body:
    """Prints one body; every part is aligned with the target axes."""

    def __init__(
        self, value: Kernel, operands: Sequence[Text], target: Indices, kinds: Kinds
    ) -> None:
        assert_undistributed()
        self.value = value
        self.kinds = kinds
        self.operands = operands
        self.target = target

    def text(self, body: sp.Expr) -> Text:
        if not slots_of(body) and not body.free_symbols:
            return self._number(body)
        if isinstance(body, sp.Symbol):
            numbers = slots_of(body)
            if not numbers:
                return Text(size_name(body.name))
            return aligned(self.operands[numbers[0]], self.target)
        if isinstance(body, sp.Add):
            return self._sum(body)
        if isinstance(body, sp.Mul):
            return self._product(body)
        if isinstance(body, sp.Pow):
            return self._power(body)
        if isinstance(body, Opaque):
            return self._opaque(body)
        return self._function(body)

    def _axes(self, texts: Sequence[Text]) -> Indices:
        """The axes of texts broadcast against each other."""
        rank = max((len(text.axes) for text in texts), default=0)
        axes: list[int | None] = []
        for at in range(-rank, 0):
            found = [text.axes[at] for text in texts if len(text.axes) >= -at]
            axes.append(next((index for index in found if index is not None), None))
        return tuple(axes)

    def _number(self, body: sp.Expr) -> Text:
        text = str(body) if self.kinds.whole and body.is_Integer else literal(float(body))
        return Text(text, UNARY if text.startswith("-") else ATOM)

    def _sum(self, body: sp.Add) -> Text:
        size = common_number(body)
        if size != 1:  # SymPy multiplies 2·(x + y) out
            rest = sp.Add(*(term / size for term in body.args))
            inner = self.text(rest)
            number = self._number(size)
            return Text(f"{number.source} * {inner.within(UNARY)}", PRODUCT, inner.axes)
        terms: list[tuple[bool, bool, tuple[int, int], Text]] = []
        for term in body.args:
            negative = term.could_extract_minus_sign()
            text = self.text(-term if negative else term)
            nested = text.binding == SUM and not negative  # in front it needs no parentheses
            terms.append((negative, not nested, self._term_order(term), text))
        terms.sort(key=lambda term: term[:3])
        negative, *_, text = terms[0]
        source = f"-{text.within(PRODUCT)}" if negative else text.within(SUM)
        for negative, *_, text in terms[1:]:
            if not negative and text.binding >= PRODUCT and text.source.startswith("-"):
                source += f" - {text.source[1:]}"  # rather than + -2.0 * x
            else:
                source += f" {'-' if negative else '+'} {text.within(PRODUCT)}"
        return Text(source, SUM, self._axes([text for *_, text in terms]))

    def _term_order(self, term: sp.Expr) -> tuple[int, int]:
        """Terms over most indices first; numbers and sizes last."""
        numbers = slots_of(term)
        return -len(self.value.carried(term)), numbers[0] if numbers else len(self.operands)

    def _product(self, body: sp.Mul) -> Text:
        """A chain of * and /, scalars first, so that small things are combined first."""
        coefficient, rest = body.as_coeff_Mul()
        factors = [one for one in sp.Mul.make_args(rest) if not one.is_number]
        numbers = [one for one in sp.Mul.make_args(rest) if one.is_number and one != 1]
        if numbers:  # 2 / √π is one number
            coefficient = sp.Float(float(sp.Mul(coefficient, *numbers)))
        if coefficient == -1 and len(factors) == 1 and isinstance(factors[0], sp.Add):
            return self.text(sp.Add(*(-term for term in factors[0].args)))
        negative, coefficient = bool(coefficient.is_negative), abs(coefficient)
        factors = _squared_together(factors)
        parts = [
            (_is_inverse(one), sp.Pow(one, -1) if _is_inverse(one) else one) for one in factors
        ]
        if coefficient.is_Rational and coefficient.p == 1 and not _is_decimal(coefficient):
            parts.append((True, sp.Integer(coefficient.q)))  # x / 3, for a third is no decimal
        elif coefficient != 1:
            parts.append((False, coefficient))
        parts.sort(key=lambda part: self._factor_order(*part))
        spread = [part for part in parts if self.value.carried(part[1])]
        scalars = [part for part in parts if not self.value.carried(part[1])]
        if scalars and spread and all(inverse for inverse, _ in scalars):
            if negative:
                scalars.insert(0, (False, sp.Integer(-1)))
                negative = False
            elif not spread[0][0]:
                if len(scalars) > 1:
                    scalars = [(True, sp.Mul(*(part for _, part in scalars)))]
                spread, scalars = [*spread, *scalars], []
        return self._chain([*scalars, *_squares_around(spread)], negative)

    def _factor_order(self, inverse: bool, factor: sp.Expr) -> tuple[int, bool, bool, int]:
        """Numbers, sizes, then factors over ever more indices; divisors after what they divide."""
        numbers = slots_of(factor)
        kind = numbers[0] if numbers else -2 if factor.is_number else -1
        return len(self.value.carried(factor)), inverse, isinstance(factor, sp.Add), kind

    def _masks_last(self, parts: Sequence[tuple[bool, sp.Expr]]) -> Sequence[tuple[bool, sp.Expr]]:
        """Booleans behind an array of floats, whose precision they take without a conversion."""
        masks = [part for part in parts if self._is_mask(part[1])]
        rest = [part for part in parts if part not in masks]
        if not masks or not any(self.value.carried(part) for _, part in rest):
            return parts
        return [*rest, *((inverse, mask.args[0]) for inverse, mask in masks)]

    @staticmethod
    def _is_mask(part: sp.Expr) -> bool:
        return (
            isinstance(part, Opaque)
            and type(part).row.name == "to_float"
            and getattr(part.args[0], "result", None) == "bool"
        )

    def _chain(self, parts: Sequence[tuple[bool, sp.Expr]], negative: bool) -> Text:
        if parts[0][0] and not all(inverse for inverse, _ in parts):
            leading = next(part for part in parts if not part[0])
            parts = [leading, *(part for part in parts if part is not leading)]
        parts = self._masks_last(parts)
        texts = [self.text(part) for _, part in parts]
        first = texts[0]
        source = f"1.0 / {first.within(UNARY)}" if parts[0][0] else first.within(PRODUCT)
        for (inverse, _), text in zip(parts[1:], texts[1:], strict=True):
            source += f" {'/' if inverse else '*'} {text.within(UNARY)}"
        if len(parts) == 1 and not parts[0][0] and not negative:
            return texts[0]
        return Text(f"-{source}" if negative else source, PRODUCT, self._axes(texts))

    def _power(self, body: sp.Pow) -> Text:
        base, exponent = body.base, body.exp
        if exponent.is_Number and exponent < 0:
            bottom = self.text(sp.Pow(base, -exponent))
            return Text(f"1.0 / {bottom.within(UNARY)}", PRODUCT, bottom.axes)
        text = self.text(base)
        small = exponent.is_Integer and exponent <= LARGEST_PRODUCT
        if small and (text.is_name or exponent in (2, 4, 8)):
            return _products(text, int(exponent))
        if exponent == sp.Rational(1, 2):
            return Text(f"np.sqrt({text.source})", ATOM, text.axes)
        if exponent == sp.Rational(3, 2) and text.is_name:  # a tenth of the time of a power
            return Text(f"{text.source} * np.sqrt({text.source})", PRODUCT, text.axes)
        power = self.text(exponent)
        axes = self._axes([text, power])
        if exponent.is_Integer:
            return Text(f"np.power({text.source}, {int(exponent)})", ATOM, axes)
        return Text(f"np.power({text.source}, {power.source})", ATOM, axes)

    def _opaque(self, body: Opaque) -> Text:
        row = type(body).row
        texts = [self.text(argument) for argument in body.args]
        axes = self._axes(texts)
        if row.numpy is None:
            return self.text(canonical(row.maths(*body.args)))
        if row.name == "where" and self._chooses_scalars(body, texts):
            chosen = ", ".join(text.source for text in texts)
            return Text(f"np.where({chosen}).astype(dtype)", ATOM, axes)
        if row.name == "clip_by_value" and not slots_of(body.args[0]):
            number, low = body.args[:2]  # of a number np.clip makes an array
            above = f"np.maximum({texts[0].source}, {texts[1].source})"
            if not slots_of(low):
                above = self._number(max(number, low, key=float)).source
            return Text(f"np.minimum({above}, {texts[2].source})", ATOM, axes)
        infix = re.fullmatch(r"\{0\} (\S+) \{1\}", row.numpy)
        if infix:
            left, right = (text.within(SUM) for text in texts)
            return Text(f"{left} {infix[1]} {right}", COMPARISON, axes)
        if row.numpy.startswith("{0}."):
            return Text(row.numpy.format(texts[0].within(ATOM)), ATOM, axes)
        if not CALL.fullmatch(row.numpy):  # a formula such as ({0} - {1}) * ({0} + {1})
            return Text(row.numpy.format(*(text.within(UNARY) for text in texts)), PRODUCT, axes)
        return Text(row.numpy.format(*(text.source for text in texts)), ATOM, axes)

    def _chooses_scalars(self, body: Opaque, texts: Sequence[Text]) -> bool:
        """Whether an array is made of floats that have no precision: numbers alone have none, and
        NumPy 1.26 widens scalars that meet numbers.
        """
        condition, *chosen = texts
        if any(one.axes for one in chosen) or dtype_of(body, self.kinds.operands) != "float":
            return False
        return bool(condition.axes) or not any(map(slots_of, body.args[1:]))

    def _function(self, body: sp.Expr) -> Text:
        texts = [self.text(argument) for argument in body.args]
        arguments = ", ".join(text.source for text in texts)
        return Text(f"{function_name(body)}({arguments})", ATOM, self._axes(texts))


CALL = re.compile(r"([\w.]+)\(([^()]*)\)")
"""What a row's NumPy text is where it is a function of the operands."""


def function_name(body: sp.Expr) -> str:
    """What NumPy or SciPy calls a function of SymPy's."""
    name = type(body).__name__
    if name not in _FUNCTIONS:
        raise SymflowError(f"NumPy and SciPy have no {name}; write it in functions that they have")
    return _FUNCTIONS[name]


def _products(text: Text, exponent: int) -> Text:
    """A power as products, a hundredth of the time of `np.power`."""
    if text.is_name and exponent <= 3:
        return Text(" * ".join([text.source] * exponent), PRODUCT, text.axes)
    if exponent % 2:
        even = _products(text, exponent - 1)
        return Text(f"{even.source} * {text.source}", PRODUCT, text.axes)
    half = text if exponent == 2 else _products(text, exponent // 2)
    return Text(f"np.square({half.source})", ATOM, text.axes)


def _squares_around(parts: Sequence[tuple[bool, sp.Expr]]) -> list[tuple[bool, sp.Expr]]:
    """x² / y as x / y * x: x² vanishes, or overflows, where x / y is an ordinary number."""
    squared = [at for at, (inverse, one) in enumerate(parts) if not inverse and _is_square(one)]
    below = [one for inverse, one in parts if inverse]
    if len(squared) != 1 or len(below) != 1 or not below[0].is_Symbol:
        return list(parts)
    (at,) = squared
    base = parts[at][1].base
    return [*parts[:at], (False, base), *parts[at + 1 :], (False, base)]


def _is_square(factor: sp.Expr) -> bool:
    return isinstance(factor, sp.Pow) and bool(factor.exp == 2) and bool(factor.base.is_Symbol)


def _squared_together(factors: Sequence[sp.Expr]) -> list[sp.Expr]:
    """x²·y⁻² as (x/y)², as it was written: SymPy takes it apart, and x² and y² may overflow, or
    vanish, where x/y is an ordinary number."""
    squared = [one for one in factors if isinstance(one, sp.Pow) and _is_high(one.exp)]
    if squared:
        factors = [part for one in factors for part in _roots_of_exponential(one)]
        squared = [one for one in factors if isinstance(one, sp.Pow) and _is_high(one.exp)]
    if len(squared) < 2:
        return list(factors)
    least = 2 if any(abs(one.exp) < 4 for one in squared) else 4  # as squares, not as powers
    sign = -1 if all(one.exp < 0 for one in squared) else 1
    together = sp.Mul(*(one.base ** (sign * sp.sign(one.exp)) for one in squared))
    rest = [one.base ** (one.exp - sp.sign(one.exp) * least) for one in squared]
    others = [one for one in factors if one not in squared]
    power = sp.Pow(together, sign * least, evaluate=False)
    return [*others, power, *_squared_together([one for one in rest if one != 1])]


def _roots_of_exponential(factor: sp.Expr) -> list[sp.Expr]:
    """exp(2·x + y) as exp(x)²·exp(y), beside what is squared as well."""
    if not isinstance(factor, sp.exp):
        return [factor]
    even = [one for one in sp.Add.make_args(factor.args[0]) if _is_even(one.as_coeff_Mul()[0])]
    if not even:
        return [factor]
    rest = sp.Add(*(one for one in sp.Add.make_args(factor.args[0]) if one not in even))
    root = sp.exp(sp.Add(*even) / 2)
    return [sp.Pow(root, 2, evaluate=False), *([sp.exp(rest)] if rest != 0 else [])]


def _is_even(number: sp.Expr) -> bool:
    return bool(number.is_Integer and number % 2 == 0)


def _is_high(exponent: sp.Expr) -> bool:
    return bool(exponent.is_Integer and abs(exponent) >= 2)


def _is_decimal(value: sp.Expr) -> bool:
    """Whether a number is written as it is in a few digits."""
    return len(repr(float(value))) <= 8


def common_number(body: sp.Add) -> sp.Expr:
    """The number by which every term of a sum is multiplied, up to sign, or 1."""
    numbers = {abs(term.as_coeff_Mul()[0]) for term in body.args}
    (size, *others) = sorted(numbers, key=sp.default_sort_key)
    whole = all(term.as_coeff_Mul()[1] != 1 for term in body.args)
    return size if whole and not others and size.is_Rational else sp.Integer(1)


def _is_inverse(factor: sp.Expr) -> bool:
    return isinstance(factor, sp.Pow) and bool(factor.exp.is_Number and factor.exp < 0)
