"""Kernels and views as NumPy source: contractions as `@`, dot and einsum, the rest as ufuncs.

Every expression knows its axes, as index numbers of the kernel that it is part of, so that
alignment is decided once: an operand is transposed and indexed until NumPy's broadcasting puts
each of its axes where the kernel's index is.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import sympy as sp
from sympy.printing.numpy import NumPyPrinter

from symflow.elementwise import Opaque
from symflow.errors import SymflowError
from symflow.program import (
    Constant,
    Indices,
    Iota,
    Kernel,
    Type,
    Value,
    slot,
    slots_of,
)
from symflow.shapes import Shape
from symflow.views import (
    Concat,
    Diagonal,
    Gather,
    Place,
    Reshape,
    ScatterAdd,
    Slice,
    StopGradient,
    whole,
)

COMPARISON, SUM, PRODUCT, UNARY, ATOM = range(5)
"""How tightly the outermost operator of an expression binds, loosest first."""

_FUNCTIONS: Mapping[str, str] = {
    name: function.replace("numpy.", "np.")
    for name, function in NumPyPrinter().known_functions.items()
    if function.startswith("numpy.")
}


@dataclass(frozen=True)
class Text:
    """NumPy source, how tightly it binds, and which index each axis of its value is."""

    source: str
    binding: int = ATOM
    axes: Indices = ()

    def within(self, binding: int) -> str:
        """The source, in parentheses where it binds less tightly than asked."""
        return self.source if self.binding >= binding else f"({self.source})"

    @property
    def is_name(self) -> bool:
        return re.fullmatch(r"\w+(\.\w+)?", self.source) is not None

    def indexed(self, key: Sequence[str], axes: Indices) -> Text:
        return Text(f"{self.within(ATOM)}[{', '.join(key)}]", ATOM, axes)


Operand = Callable[[int], Text]
"""What a tensor is written as; the axes are filled in by the access."""


def size_text(size: sp.Expr) -> str:
    """A size as Python integer arithmetic."""
    if isinstance(size, sp.ceiling):
        above, below = size.args[0].as_numer_denom()
        return f"-(-({above}) // {below})"
    return str(size)


def literal_text(value: object) -> str:
    """Numbers and nested lists of them as Python writes them; NumPy names what is not finite."""
    return re.sub(r"\b(inf|nan)\b", r"np.\1", repr(value))


def shape_text(shape: Shape) -> str:
    inside = ", ".join(map(size_text, shape))
    return f"({inside},)" if len(shape) == 1 else f"({inside})"


def value_text(value: Value, type_: Type, types: Sequence[Type], operand: Operand) -> Text:
    """The expression that computes a value; axes are those of its output."""
    if isinstance(value, Kernel):
        return kernel_text(value, operand)
    if isinstance(value, Iota):
        return Text(f"np.arange({size_text(value.size)})")
    if isinstance(value, Constant):
        text = literal_text(value.data.tolist())
        return Text(text if value.data.ndim == 0 else f"np.array({text})", UNARY)
    texts = [operand(tensor) for tensor in value.operands]
    if isinstance(value, StopGradient):
        return texts[0]
    if isinstance(value, Reshape):
        return Text(f"np.reshape({texts[0].source}, {shape_text(value.shape)})")
    if isinstance(value, Slice):
        return texts[0].indexed(_key(value.key), ())
    if isinstance(value, Place):
        key = ", ".join(_key(value.key))
        return Text(f"_placed({texts[0].source}, np.s_[{key}], {shape_text(value.shape)})")
    if isinstance(value, Concat):
        parts = ", ".join(text.source for text in texts)
        return Text(f"np.concatenate(({parts}), axis={value.axis})")
    if isinstance(value, Gather):
        if value.axis == 0:
            return texts[0].indexed([texts[1].source], ())
        return Text(f"np.take({texts[0].source}, {texts[1].source}, axis={value.axis})")
    if isinstance(value, ScatterAdd):
        rows = [":"] * value.axis + [texts[1].source]
        where = f"np.s_[{', '.join(rows)}]" if value.axis else texts[1].source
        return Text(f"_scattered({texts[0].source}, {where}, {shape_text(value.shape)})")
    assert isinstance(value, Diagonal), type(value)
    first, second = value.axes
    return Text(f"np.diagonal({texts[0].source}, axis1={first}, axis2={second})")


def _key(key: Sequence[int | tuple[object, object, int]]) -> list[str]:
    parts: list[str] = []
    for part in key:
        if isinstance(part, int):
            parts.append(str(part))
        elif whole(part):
            parts.append(":")
        else:
            start, stop, step = ("" if end is None else str(end) for end in part)
            start = "" if start == "0" else start
            parts.append(f"{start}:{stop}" + (f":{step}" if step != "1" else ""))
    while len(parts) > 1 and parts[-1] == ":":
        parts.pop()
    return parts


# --- kernels ---------------------------------------------------------------------------------


def kernel_text(value: Kernel, operand: Operand) -> Text:
    """The expression for a kernel, with the axes of its output."""
    if is_contraction(value):
        return _fitted(_contraction(value, operand), value)
    if value.elementwise:
        return _elementwise(value, operand)
    return _reduction(value, operand)


def is_contraction(value: Kernel) -> bool:
    """Whether the kernel is the summed product of two tensors, and NumPy has a call for it."""
    if value.elementwise or value.reduction != "sum":
        return False
    factors = [value.accesses[number] for number in slots_of(value.body)]
    if value.body == slot(0) ** 2:
        factors = factors * 2
    elif value.body != slot(0) * slot(1):
        return False
    sets = [frozenset(access.indices) - {None} for access in factors]
    return sets[0] != sets[1] or (
        len(value.reduced) == len(value.sizes) and factors[0].indices == factors[1].indices
    )


def _operands(value: Kernel, operand: Operand) -> list[Text]:
    return [
        Text(text.source, text.binding, access.indices)
        for text, access in ((operand(access.tensor), access) for access in value.accesses)
    ]


def _elementwise(value: Kernel, operand: Operand) -> Text:
    target = value.output
    if value.is_literal:
        return _full(_Body(value, [], target).text(value.body), value)
    if value.is_index_map:
        return _fitted(_operands(value, operand)[0], value)
    text = _Body(value, _operands(value, operand), target).text(value.body)
    return _broadcast(text, value, target)


def _full(number: Text, value: Kernel) -> Text:
    shape = tuple(sp.Integer(1) if i is None else value.sizes[i] for i in value.output)
    if not shape:
        return number
    filled = {"0.0": "np.zeros({shape}, dtype)", "1.0": "np.ones({shape}, dtype)"}
    template = filled.get(number.source, "np.full({shape}, {number}, dtype)")
    return Text(template.format(shape=shape_text(shape), number=number.source), ATOM, value.output)


def _broadcast(text: Text, value: Kernel, target: Indices) -> Text:
    """The text with every axis of the target there, repeated where nothing carries it."""
    if len(text.axes) == len(target) and all(
        have == want for have, want in zip(text.axes, target, strict=True)
    ):
        return text
    shape = shape_text(
        tuple(sp.Integer(1) if index is None else value.sizes[index] for index in target)
    )
    return Text(f"np.broadcast_to({text.source}, {shape})", ATOM, target)


def _reduction(value: Kernel, operand: Operand) -> Text:
    texts = _operands(value, operand)
    layout = _layout(value)
    text = _Body(value, texts, layout).text(value.body)
    text = _broadcast(text, value, layout)
    function = {"sum": "np.sum", "max": "np.max", "min": "np.min"}[value.reduction]
    reduced = set(value.reduced)
    everything = reduced >= set(layout) - {None}
    if everything and not value.output:
        return Text(f"{function}({text.source})", ATOM, ())
    axes = [axis for axis, index in enumerate(layout) if index in reduced]
    axis = str(axes[0]) if len(axes) == 1 else str(tuple(axes))
    kept = tuple(None if index in reduced else index for index in layout)
    if kept == value.output:
        return Text(f"{function}({text.source}, axis={axis}, keepdims=True)", ATOM, kept)
    rest = tuple(index for index in layout if index not in reduced)
    return _fitted(Text(f"{function}({text.source}, axis={axis})", ATOM, rest), value)


def _layout(value: Kernel) -> Indices:
    """The order of axes in which a body under a reduction is evaluated.

    The order of an operand that has all of them, if there is one: best one from which the output
    follows by keeping reduced axes as axes of size one.
    """
    carried = {i for access in value.accesses for i in access.indices if i is not None}
    whole_space = carried | set(value.reduced)
    full = [one.indices for one in value.accesses if set(one.indices) - {None} == whole_space]
    for indices in full:
        kept = tuple(None if index in value.reduced else index for index in indices)
        dropped = tuple(index for index in indices if index not in value.reduced)
        if value.output in (kept, dropped):
            return indices
    if full and not value.output:
        return full[0]
    if full:
        return tuple(index for index in full[0] if index is not None)
    return tuple(sorted(whole_space))


def _fitted(text: Text, value: Kernel) -> Text:
    """The text with its axes in the order of the output, and axes of size one put in."""
    if text.axes == value.output:
        return text
    aligned = _aligned(text, value.output)
    if aligned.axes == value.output:
        return aligned
    missing = [i for i in value.output if i is not None and i not in aligned.axes]
    if missing:
        return _broadcast(aligned, value, value.output)
    key = [":" if index in aligned.axes and index is not None else "None" for index in value.output]
    bare = _without_ones(aligned)
    return bare.indexed(key, value.output) if bare.axes != value.output else bare


def _without_ones(text: Text) -> Text:
    if None not in text.axes:
        return text
    key = ["0" if index is None else ":" for index in text.axes]
    while len(key) > 1 and key[-1] == ":":
        key.pop()
    return text.indexed(key, tuple(index for index in text.axes if index is not None))


def _aligned(text: Text, target: Indices) -> Text:
    """The text so that broadcasting against the target puts each axis in its place."""
    place = {index: at for at, index in enumerate(target) if index is not None}
    carried = [index for index in text.axes if index is not None]
    if carried != sorted(carried, key=place.__getitem__):
        text = _without_ones(text)
        order = sorted(range(len(text.axes)), key=lambda axis: place[text.axes[axis]])  # type: ignore[index]
        axes = tuple(text.axes[axis] for axis in order)
        if order == list(range(len(order)))[::-1]:
            text = Text(f"{text.within(ATOM)}.T", ATOM, axes)
        else:
            text = Text(f"np.transpose({text.source}, {tuple(order)})", ATOM, axes)
    last = target[len(target) - len(text.axes) :] if len(text.axes) <= len(target) else ()
    if len(last) == len(text.axes) and all(
        have is None or have == want for have, want in zip(text.axes, last, strict=True)
    ):
        return text
    text = _without_ones(text)
    if not text.axes or text.axes == target[len(target) - len(text.axes) :]:
        return text
    first = place[text.axes[0]]  # type: ignore[index]
    axes = tuple(index if index in text.axes else None for index in target[first:])
    return text.indexed(["None" if index is None else ":" for index in axes], axes)


# --- bodies ----------------------------------------------------------------------------------


class _Body:
    """Prints one body; every part is aligned with the target axes."""

    def __init__(self, value: Kernel, operands: Sequence[Text], target: Indices) -> None:
        self.value = value
        self.operands = operands
        self.target = target

    def text(self, body: sp.Expr) -> Text:
        if not slots_of(body) and not body.free_symbols:
            return self._number(body)
        if isinstance(body, sp.Symbol):
            numbers = slots_of(body)
            if not numbers:
                return Text(body.name)
            return _aligned(self.operands[numbers[0]], self.target)
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

    @staticmethod
    def _number(body: sp.Expr) -> Text:
        value = float(body)
        text = repr(value)
        return Text(text, UNARY if value < 0 else ATOM)

    def _sum(self, body: sp.Add) -> Text:
        size = common_number(body)
        if size != 1:  # SymPy multiplies 2·(x + y) out
            rest = sp.Add(*(term / size for term in body.args))
            inner = self.text(rest)
            number = self._number(size)
            return Text(f"{number.source} * {inner.within(UNARY)}", PRODUCT, inner.axes)
        terms = [(one.could_extract_minus_sign(), one) for one in body.args]
        terms.sort(key=lambda pair: (pair[0], self._term_order(pair[1])))
        texts = [self.text(-term if negative else term) for negative, term in terms]
        first = texts[0].within(PRODUCT if terms[0][0] else SUM)
        source = f"-{first}" if terms[0][0] else first
        for (negative, _), text in zip(terms[1:], texts[1:], strict=True):
            if not negative and text.binding >= PRODUCT and text.source.startswith("-"):
                source += f" - {text.source[1:]}"  # rather than + -2.0 * x
            else:
                source += f" - {text.within(PRODUCT)}" if negative else f" + {text.within(SUM)}"
        return Text(source, SUM, self._axes(texts))

    def _term_order(self, term: sp.Expr) -> tuple[int, int]:
        """Terms over most indices first; numbers and sizes last."""
        numbers = slots_of(term)
        return -len(self.value.carried(term)), numbers[0] if numbers else len(self.operands)

    def _product(self, body: sp.Mul) -> Text:
        """A chain of * and /, scalars first, so that small things are combined first."""
        coefficient, rest = body.as_coeff_Mul()
        factors = list(sp.Mul.make_args(rest))
        if coefficient == -1 and len(factors) == 1 and isinstance(factors[0], sp.Add):
            return self.text(sp.Add(*(-term for term in factors[0].args)))
        negative, coefficient = bool(coefficient.is_negative), abs(coefficient)
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
        return self._chain([*scalars, *spread], negative)

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
        if exponent == 2 or exponent == 3:
            if text.is_name:
                return Text(" * ".join([text.source] * int(exponent)), PRODUCT, text.axes)
            if exponent == 2:
                return Text(f"np.square({text.source})", ATOM, text.axes)
        if exponent == sp.Rational(1, 2):
            return Text(f"np.sqrt({text.source})", ATOM, text.axes)
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
            return self.text(row.maths(*body.args))
        if row.name == "where" and all(not slots_of(part) for part in body.args[1:]):
            chosen = ", ".join(text.source for text in texts)
            return Text(f"np.where({chosen}).astype(dtype)", ATOM, axes)
        infix = re.fullmatch(r"\{0\} (\S+) \{1\}", row.numpy)
        if infix:
            left, right = (text.within(SUM) for text in texts)
            return Text(f"{left} {infix[1]} {right}", COMPARISON, axes)
        if row.numpy.startswith("{0}."):
            return Text(row.numpy.format(texts[0].within(ATOM)), ATOM, axes)
        return Text(row.numpy.format(*(text.source for text in texts)), ATOM, axes)

    def _function(self, body: sp.Expr) -> Text:
        name = type(body).__name__
        if name not in _FUNCTIONS:
            raise SymflowError(f"NumPy has no {name}; write it in functions that NumPy has")
        texts = [self.text(argument) for argument in body.args]
        arguments = ", ".join(text.source for text in texts)
        return Text(f"{_FUNCTIONS[name]}({arguments})", ATOM, self._axes(texts))


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


# --- contractions ----------------------------------------------------------------------------


def _contraction(value: Kernel, operand: Operand) -> Text:
    texts = _operands(value, operand)
    left, right = texts if len(texts) == 2 else texts * 2
    out = tuple(index for index in value.output if index is not None)
    if not out and left.axes == right.axes:
        if len(left.axes) == 1:
            return Text(f"{left.within(PRODUCT)} @ {_right(right)}", PRODUCT, ())
        return Text(f"np.vdot({left.source}, {right.source})", ATOM, ())
    product = _plain_product(left, right, value)
    if product is not None:
        return product
    left, right = _without_ones(left), _without_ones(right)
    first, second = left.axes, right.axes
    summed = [index for index in first if index in second and index not in out]
    batch = [index for index in first if index in second and index in out]
    if not batch and len(summed) == 1:
        if len(first) <= 2 and len(second) <= 2:
            free_left = [index for index in first if index != summed[0]]
            if free_left and len(out) == 2 and out[0] != free_left[0]:
                left, right = right, left
            return _matrix_product(left, right, summed[0])
        for many, matrix in ((left, right), (right, left)):
            if len(matrix.axes) == 2 and many.axes[-1] == summed[0]:
                return _matrix_product(many, matrix, summed[0])
    count = len(batch)
    if (
        len(summed) == 1
        and list(first[:count]) == batch == list(second[:count])
        and len(first) == len(second) == count + 2
    ):
        if out[-2:] == (_free(second, batch, summed), _free(first, batch, summed)):
            left, right = right, left
        return _batched_product(left, right, summed[0])
    names = "ijklmnopqrstuvwxyzabcdefgh"
    letters = {index: names[index] for index in range(len(value.sizes))}
    spelled = ["".join(letters[index] for index in axes) for axes in (first, second, out)]  # type: ignore[index]
    subscripts = f"{spelled[0]},{spelled[1]}->{spelled[2]}"
    call = f'np.einsum("{subscripts}", {left.source}, {right.source}, optimize=True)'
    return Text(call, ATOM, out)


def _plain_product(left: Text, right: Text, value: Kernel) -> Text | None:
    """`left @ right` as they are, or with one or both transposed, if that is the kernel."""
    forms = [(a, b) for a in (left, right) for b in (left, right) if a is not b]
    for transposed in ((False, False), (True, False), (False, True), (True, True)):
        for pair in forms:
            first, second = (
                _transposed(text) if turn else text
                for text, turn in zip(pair, transposed, strict=True)
            )
            if not 0 < len(first.axes) <= 2 or not 0 < len(second.axes) <= 2:
                return None
            summed = first.axes[-1]
            meets = summed is not None and summed == second.axes[0]
            if meets and (*first.axes[:-1], *second.axes[1:]) == value.output:
                return _matrix_product(first, second, summed)
    return None


def _transposed(text: Text) -> Text:
    if len(text.axes) < 2:
        return text
    return Text(f"{text.within(ATOM)}.T", ATOM, text.axes[::-1])


def _free(axes: Indices, batch: Sequence[int | None], summed: Sequence[int | None]) -> int | None:
    return next(index for index in axes if index not in batch and index not in summed)


def _matrix_product(left: Text, right: Text, summed: int | None) -> Text:
    if left.axes[-1] != summed:
        left = Text(f"{left.within(ATOM)}.T", ATOM, left.axes[::-1])
    if right.axes[0] != summed:
        right = Text(f"{right.within(ATOM)}.T", ATOM, right.axes[::-1])
    source = f"{left.within(PRODUCT)} @ {_right(right)}"
    return Text(source, PRODUCT, (*left.axes[:-1], *right.axes[1:]))


def _batched_product(left: Text, right: Text, summed: int | None) -> Text:
    def swapped(text: Text) -> Text:
        axes = (*text.axes[:-2], text.axes[-1], text.axes[-2])
        return Text(f"np.swapaxes({text.source}, -1, -2)", ATOM, axes)

    left = left if left.axes[-1] == summed else swapped(left)
    right = right if right.axes[-2] == summed else swapped(right)
    axes = (*left.axes[:-1], right.axes[-1])
    return Text(f"{left.within(PRODUCT)} @ {_right(right)}", PRODUCT, axes)


def _right(text: Text) -> str:
    """The right operand of @, which must bind more tightly than the left."""
    return text.source if text.binding >= UNARY else f"({text.source})"
