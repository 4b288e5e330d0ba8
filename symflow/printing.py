"""Kernels as NumPy source: contractions as `@`, dot, tensordot and einsum, the rest as ufuncs."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import sympy as sp

from symflow.arithmetic import undistributed
from symflow.bodies import Body, Kinds
from symflow.primitives import Primitive
from symflow.program import (
    Access,
    Constant,
    Full,
    Indices,
    Iota,
    Kernel,
    Type,
    Value,
    slot,
    slots_of,
)
from symflow.source import literal
from symflow.text import (
    ATOM,
    PRODUCT,
    UNARY,
    Text,
    aligned,
    ellipsed,
    shape_text,
    size_text,
    without_ones,
)

Operand = Callable[[int], Text]
"""What a tensor is written as; the axes are filled in by the access."""


@undistributed
def value_text(value: Value, type_: Type, types: Sequence[Type], operand: Operand) -> Text:
    """The expression that computes a value; axes are those of its output."""
    if isinstance(value, Kernel):
        return kernel_text(value, operand, Kinds.of(type_, types))
    if isinstance(value, Iota):
        return Text(f"np.arange({size_text(value.size)})")
    if isinstance(value, Full):
        number = bool(value.value) if value.dtype == "bool" else value.value
        return Text(f"np.full({shape_text(value.shape)}, {number})")
    if isinstance(value, Constant):
        text = literal(value.data.tolist())
        return Text(text if value.data.ndim == 0 else f"np.array({text})", UNARY)
    assert isinstance(value, Primitive), type(value)
    made = value.numpy([operand(tensor) for tensor in value.operands])
    return _in_precision(made) if _is_made_of_scalars(type_, types) else made


def _is_made_of_scalars(type_: Type, types: Sequence[Type]) -> bool:
    """Whether an array of floats has them from scalars alone, which NumPy 1.26 widens."""
    floats = [one for one in types if one.dtype == "float"]
    in_array = type_.dtype == "float" and type_.shape != ()
    return in_array and bool(floats) and all(one.shape == () for one in floats)


def _in_precision(text: Text) -> Text:
    return Text(f"{text.within(ATOM)}.astype(dtype, copy=False)", ATOM, text.axes)


_NAME, _OTHER = "\N{LATIN LETTER DENTAL CLICK}", "\0"
"""What is put around the number of an operand in a template, where that is a name or not."""

_STANDS_FOR = re.compile(rf"[{_NAME}{_OTHER}](\d+)[{_NAME}{_OTHER}](?:\.{_NAME})?")


# --- kernels ---------------------------------------------------------------------------------


def kernel_text(value: Kernel, operand: Operand, kinds: Kinds) -> Text:
    """The expression for a kernel, with the axes of its output."""
    tensors = list(dict.fromkeys(value.operands))
    texts = [operand(tensor) for tensor in tensors]
    template = _template(value.rebind(tensors.index), tuple(map(_Shape.of, texts)), kinds)
    source = "".join(
        texts[part].source[template.skipped[part] :] if isinstance(part, int) else part
        for part in template.parts
    )
    return Text(source, template.binding, template.axes)


def floats_text(value: Kernel, operand: Operand) -> Text:
    """The expression for a kernel that reads floats alone."""
    return kernel_text(value, operand, Kinds.of_floats(value))


@dataclass(frozen=True)
class _Shape:
    """All that decides how an operand is written into an expression.

    dots  of a name: 0 in `x`, 1 in `p.x`; None for what is no name
    """

    binding: int
    negative: bool
    dots: int | None

    @staticmethod
    def of(text: Text) -> _Shape:
        dots = text.source.count(".") if text.is_name else None
        return _Shape(text.binding, text.source.startswith("-"), dots)

    def text(self, number: int) -> Text:
        """A text of this shape that stands for operand `number`."""
        end = _OTHER if self.dots is None else _NAME
        source = f"{end}{number}{end}{f'.{end}' if self.dots else ''}"
        return Text(f"-{source}" if self.negative else source, self.binding)


@dataclass(frozen=True)
class _Template:
    """An expression in which numbers stand for the operands' texts.

    skipped  for each operand, how much of its text is in the expression already
    """

    parts: tuple[str | int, ...]
    skipped: tuple[int, ...]
    binding: int
    axes: Indices


@lru_cache(maxsize=65536)
def _template(value: Kernel, shapes: tuple[_Shape, ...], kinds: Kinds) -> _Template:
    """How kernels of one form are written: each form is printed once, whatever it reads."""
    text = _printed(value, lambda tensor: shapes[tensor].text(tensor), kinds)
    pieces = _STANDS_FOR.split(text.source)
    parts = [int(piece) if at % 2 else piece for at, piece in enumerate(pieces)]
    skipped = tuple(int(shape.negative) for shape in shapes)
    return _Template(tuple(part for part in parts if part != ""), skipped, text.binding, text.axes)


def _printed(value: Kernel, operand: Operand, kinds: Kinds) -> Text:
    if is_contraction(value) and not (kinds.whole and _is_elementwise_product(value)):
        return _fitted(_contraction(value, operand), value, kinds)
    if value.elementwise:
        return _elementwise(value, operand, kinds)
    return _reduction(value, operand, kinds)


def is_contraction(value: Kernel) -> bool:
    """Whether the kernel is the summed product of two tensors, and NumPy has a call for it."""
    if value.elementwise or value.reduction != "sum":
        return False
    factors = [value.accesses[number] for number in slots_of(value.body)]
    if value.body == slot(0) ** 2:
        factors = factors * 2
    elif value.body != slot(0) * slot(1):
        return False
    if not value.carried(value.body).issuperset(value.reduced):
        return False
    sets = [frozenset(access.indices) - {None} for access in factors]
    return sets[0] != sets[1] or _in_one_order(value, factors)


def _in_one_order(value: Kernel, factors: Sequence[Access]) -> bool:
    """Whether two arrays of the same indices have them in the same order, as a dot product needs.

    One row times a vector is a product too.
    """
    first, second = (one.indices for one in factors)
    if len(value.reduced) == len(value.sizes) == 1 and {len(first), len(second)} == {1, 2}:
        return max(first, second, key=len)[1] is not None
    return first == second and (
        bool(value.carried(value.body) - {*value.reduced}) or not value.output
    )


def _is_elementwise_product(value: Kernel) -> bool:
    """Whether two arrays of the same indices meet, whose sum widens whole numbers."""
    return len({frozenset(access.indices) - {None} for access in value.accesses}) == 1


def _operands(value: Kernel, operand: Operand) -> list[Text]:
    return [
        Text(text.source, text.binding, access.indices)
        for text, access in ((operand(access.tensor), access) for access in value.accesses)
    ]


def _elementwise(value: Kernel, operand: Operand, kinds: Kinds) -> Text:
    target = value.output
    if value.is_literal:
        return _full(_number(value, target, kinds), value)
    if value.is_index_map:
        return _fitted(_operands(value, operand)[0], value, kinds)
    text = Body(value, _operands(value, operand), target, kinds).text(value.body)
    return _broadcast(text, value, target, kinds)


def _number(value: Kernel, target: Indices, kinds: Kinds) -> Text:
    """The number that fills an array; Python raises at 1 / 0, which may fill an empty one."""
    body = Body(value, [], target, kinds)
    top, bottom = sp.fraction(value.body)
    if not value.output or bottom.is_number or bottom.is_positive:
        return body.text(value.body)
    return Text(f"np.divide({body.text(top).source}, {body.text(bottom).source})", ATOM)


def _full(number: Text, value: Kernel) -> Text:
    shape = tuple(sp.Integer(1) if i is None else value.sizes[i] for i in value.output)
    if not shape:
        return number
    filled = {"0.0": "np.zeros({shape}, dtype)", "1.0": "np.ones({shape}, dtype)"}
    template = filled.get(number.source, "np.full({shape}, {number}, dtype)")
    return Text(template.format(shape=shape_text(shape), number=number.source), ATOM, value.output)


def _broadcast(text: Text, value: Kernel, target: Indices, kinds: Kinds) -> Text:
    """The text with every axis of the target there, repeated where nothing carries it."""
    if len(text.axes) == len(target) and all(
        have == want for have, want in zip(text.axes, target, strict=True)
    ):
        return text
    shape = shape_text(
        tuple(sp.Integer(1) if index is None else value.sizes[index] for index in target)
    )
    if not text.axes:
        precision = ", dtype" if kinds.result == "float" else ""
        return Text(f"np.full({shape}, {text.source}{precision})", ATOM, target)
    added = len(target) - len(text.axes)
    if text.axes and text.axes == target[added:] and set(target[:added]) == {None}:
        return text.indexed(["None"] * added, target)
    return Text(f"np.broadcast_to({text.source}, {shape})", ATOM, target)


def _reduction(value: Kernel, operand: Operand, kinds: Kinds) -> Text:
    texts = _operands(value, operand)
    layout = _layout(value)
    text = Body(value, texts, layout, kinds).text(value.body)
    text = _broadcast(text, value, layout, kinds)
    function = f"np.{value.reduction}"
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
    return _fitted(Text(f"{function}({text.source}, axis={axis})", ATOM, rest), value, kinds)


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


def _fitted(text: Text, value: Kernel, kinds: Kinds) -> Text:
    """The text with its axes in the order of the output, and axes of size one put in."""
    if text.axes == value.output:
        return text
    if not text.axes:
        return _broadcast(text, value, value.output, kinds)
    placed = aligned(text, value.output)
    if placed.axes == value.output:
        return placed
    missing = [i for i in value.output if i is not None and i not in placed.axes]
    if missing:
        return _broadcast(placed, value, value.output, kinds)
    key = [":" if index in placed.axes and index is not None else "None" for index in value.output]
    bare = without_ones(placed)
    key = ellipsed(key)
    return bare.indexed(key, value.output) if bare.axes != value.output else bare


# --- contractions ----------------------------------------------------------------------------


def _contraction(value: Kernel, operand: Operand) -> Text:
    texts = _operands(value, operand)
    left, right = texts if len(texts) == 2 else texts * 2
    carried = value.carried(value.body)  # an index of the output alone is broadcast afterwards
    out = tuple(index for index in value.output if index in carried)
    if not out and left.axes == right.axes:
        if len(left.axes) == 1:
            return Text(f"{left.within(PRODUCT)} @ {_right(right)}", PRODUCT, ())
        return Text(f"np.vdot({left.source}, {right.source})", ATOM, ())
    if not out and set(left.axes) - {None} == set(right.axes) - {None} and len(value.sizes) == 1:
        row, vector = (left, right) if len(left.axes) == 2 else (right, left)
        if len(row.axes) > 2 or not value.output:
            return Text(f"np.vdot({left.source}, {right.source})", ATOM, ())
        entry = Text(f"{row.within(PRODUCT)} @ {_right(vector)}", PRODUCT, (None,))
        more = ["None"] * (len(value.output) - 1)
        return entry.indexed([":", *more], value.output) if more else entry
    product = _plain_product(left, right, value)
    if product is not None:
        return product
    operands = left, right
    left, right = without_ones(left), without_ones(right)
    first, second = left.axes, right.axes
    summed = [index for index in first if index in second and index not in out]
    batch = [index for index in first if index in second and index in out]
    if len(summed) < len(value.reduced):  # an index of one of the two alone is summed as well
        return _einsum(left, right, out)
    if len(summed) == 1:
        for rows, matrices in ((left, right), (right, left)):
            if _is_stack(rows, matrices, summed[0], out):
                return _batched_product(rows, matrices, summed[0])
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
    if not batch and len(summed) == len(value.reduced):
        return _tensordot(*operands, value)
    shortest, longest = sorted((len(first), len(second)))
    in_front = list(first[:count]) == batch == list(second[:count])
    if len(summed) == 1 and longest == count + 2 and (in_front or shortest == longest):
        order = [index for index in out if index in batch]
        if first[-1] not in batch and second[-1] not in batch:
            return _aligned_product(left, right, order, summed[0], out)
    is_product = shortest >= count + len(summed) + 1  # else there is nothing to be faster at
    return _einsum(left, right, out, ", optimize=True" if is_product else "")


def _einsum(left: Text, right: Text, out: Indices, optimize: str = "") -> Text:
    names = "ijklmnopqrstuvwxyzabcdefgh"
    letters = dict(zip(dict.fromkeys((*left.axes, *right.axes)), names, strict=False))
    spelled = ["".join(letters[index] for index in axes) for axes in (left.axes, right.axes, out)]
    subscripts = f"{spelled[0]},{spelled[1]}->{spelled[2]}"
    return Text(f'np.einsum("{subscripts}", {left.source}, {right.source}{optimize})', ATOM, out)


def _is_stack(rows: Text, matrices: Text, summed: int | None, out: Sequence[int | None]) -> bool:
    """Whether `rows @ matrices` is one matrix times each of a stack of matrices."""
    if len(rows.axes) != 2 or len(matrices.axes) < 3 or summed not in matrices.axes[-2:]:
        return False
    columns = _free(matrices.axes[-2:], (), (summed,))
    return tuple(out) == (*matrices.axes[:-2], _free(rows.axes, (), (summed,)), columns)


def _tensordot(left: Text, right: Text, value: Kernel) -> Text:
    """Several axes of each summed against each other: one matrix product, whatever their order.

    Axes of size one stay where they are if the result then has the axes of the output.
    """
    bare = without_ones(left), without_ones(right)
    forms = [
        form
        for first, second in ((left, right), (right, left), bare, bare[::-1])
        for form in (_joined(first, second, value), _paired(first, second, value))
        if form is not None
    ]
    return next((form for form in forms if form.axes == value.output), forms[-1])


def _joined(left: Text, right: Text, value: Kernel) -> Text | None:
    """The last axes of one against the first of the other, if they meet."""
    for count in range(min(len(left.axes), len(right.axes)), 0, -1):
        met = left.axes[-count:]
        if met == right.axes[:count] and set(met) - {None} == set(value.reduced):
            source = f"np.tensordot({left.source}, {right.source}, axes={count})"
            return Text(source, ATOM, (*left.axes[:-count], *right.axes[count:]))
    return None


def _paired(left: Text, right: Text, value: Kernel) -> Text:
    """Each summed axis of one against the same of the other."""
    summed = [index for index in left.axes if index in value.reduced]
    pairs = tuple(tuple(text.axes.index(index) for index in summed) for text in (left, right))
    axes = str(pairs if len(summed) > 1 else tuple(at for (at,) in pairs))
    rest = [index for text in (left, right) for index in text.axes if index not in value.reduced]
    return Text(f"np.tensordot({left.source}, {right.source}, axes={axes})", ATOM, tuple(rest))


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
        if len(text.axes) == 2:
            return _transposed(text)
        axes = (*text.axes[:-2], text.axes[-1], text.axes[-2])
        return Text(f"np.swapaxes({text.source}, -1, -2)", ATOM, axes)

    left = left if left.axes[-1] == summed else swapped(left)
    right = right if right.axes[-2] == summed else swapped(right)
    stack = max(left.axes[:-2], right.axes[:-2], key=len)
    axes = (*stack, left.axes[-2], right.axes[-1])
    return Text(f"{left.within(PRODUCT)} @ {_right(right)}", PRODUCT, axes)


def _aligned_product(
    left: Text, right: Text, batch: Sequence[int | None], summed: int | None, out: Indices
) -> Text:
    """`@` of two stacks of matrices or vectors, once the axes of the stack stand first in both."""
    taken = (*batch, summed)
    rows, columns = (next((i for i in text.axes if i not in taken), None) for text in (left, right))
    if rows is None or columns is None:
        turned = columns is None and left.axes[-2:] == (summed, rows)
        turned |= rows is None and right.axes[-2:] == (columns, summed)
    else:
        turned = out.index(columns) < out.index(rows)
    if turned:
        left, right, rows, columns = right, left, columns, rows
    absent = -1  # a vector is a matrix with one row, or one column
    left = aligned(left, (*batch, absent if rows is None else rows, summed))
    right = aligned(right, (*batch, summed, absent if columns is None else columns))
    source = f"{left.within(PRODUCT)} @ {_right(right)}"
    return Text(source, PRODUCT, (*batch, rows, columns))


def _right(text: Text) -> str:
    """The right operand of @, which must bind more tightly than the left."""
    return text.source if text.binding >= UNARY else f"({text.source})"
