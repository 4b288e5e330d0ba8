"""Entries picked by position: the order and the extremes of an axis, and what they point at.

argsort, argmax, argmin     whole numbers, without derivative
take along an axis ↔ put along it         gather by coordinates ↔ scatter-add
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import sympy as sp

from symflow.axes import axis_of
from symflow.errors import SymflowError
from symflow.primitives import Primitive
from symflow.program import Builder, Label, Type, Value
from symflow.shapes import Shape, Sizes, show
from symflow.text import ATOM, Text, shape_text
from symflow.views import ScatterAdd


@dataclass(frozen=True, slots=True)
class Extremum(Primitive):
    """The position of the largest or smallest entry of an axis, the first one of equals."""

    source: int
    axis: int
    function: Literal["argmax", "argmin"]

    def infer(self, operands: Sequence[Type]) -> Type:
        shape = operands[0].shape
        return Type((*shape[: self.axis], *shape[self.axis + 1 :]), "int")

    def adjoint(self, program: Builder, position: int, upstream: int, label: Label) -> int | None:
        return None

    def numpy(self, operands: Sequence[Text]) -> Text:
        return Text(f"np.{self.function}({operands[0].source}, axis={self.axis})")


@dataclass(frozen=True, slots=True)
class Order(Primitive):
    """The positions of the entries of an axis in sorted order; equal ones keep theirs.

    first   how many of them, or None for all
    signed  whether the operand can be negated, as unsigned integers and booleans cannot
    """

    source: int
    axis: int
    descending: bool
    first: int | None
    signed: bool

    def infer(self, operands: Sequence[Type]) -> Type:
        shape = list(operands[0].shape)
        if self.first is not None:
            shape[self.axis] = sp.Integer(self.first)
        return Type(tuple(shape), "int")

    def adjoint(self, program: Builder, position: int, upstream: int, label: Label) -> int | None:
        return None

    def numpy(self, operands: Sequence[Text]) -> Text:
        (source,) = operands
        if self.descending:
            signed = source if self.signed else Text(f"{source.within(ATOM)}.astype(np.int64)")
            source = Text(f"-{signed.within(ATOM)}")
        text = Text(f'np.argsort({source.source}, axis={self.axis}, kind="stable")')
        if self.first is None:
            return text
        return text.indexed([":"] * self.axis + [f":{self.first}"], ())


@dataclass(frozen=True, slots=True)
class TakeAlong(Primitive):
    """z[.., j, ..] = source[.., rows[.., j, ..], ..]: each line of an axis by its own positions.

    The positions within a line differ from each other.
    """

    tensors: ClassVar[tuple[str, ...]] = ("source", "rows")
    source: int
    rows: int
    axis: int

    def infer(self, operands: Sequence[Type]) -> Type:
        return Type(operands[1].shape, operands[0].dtype)

    def adjoint(self, program: Builder, position: int, upstream: int, label: Label) -> int | None:
        if position == 1:
            return None
        shape = program[self.source].type.shape
        return program.add(PutAlong(upstream, self.rows, self.axis, shape), label)

    def numpy(self, operands: Sequence[Text]) -> Text:
        source, rows = operands
        return Text(f"np.take_along_axis({source.source}, {rows.source}, axis={self.axis})")


@dataclass(frozen=True, slots=True)
class PutAlong(Primitive):
    """Zeros of the given shape, with every entry of `source` where it was taken from."""

    tensors: ClassVar[tuple[str, ...]] = ("source", "rows")
    source: int
    rows: int
    axis: int
    shape: Shape

    def infer(self, operands: Sequence[Type]) -> Type:
        return Type(self.shape, operands[0].dtype)

    def adjoint(self, program: Builder, position: int, upstream: int, label: Label) -> int | None:
        return None if position else program.add(TakeAlong(upstream, self.rows, self.axis), label)

    def numpy(self, operands: Sequence[Text]) -> Text:
        source, rows = operands
        shape = shape_text(self.shape)
        return Text(f"_put_along({source.source}, {rows.source}, {self.axis}, {shape})")


@dataclass(frozen=True, slots=True)
class GatherEach(Primitive):
    """z[.., ...] = source[rows[.., 0], ..., rows[.., depth - 1], ...]: entries by coordinates."""

    tensors: ClassVar[tuple[str, ...]] = ("source", "rows")
    source: int
    rows: int
    depth: int

    def infer(self, operands: Sequence[Type]) -> Type:
        source, rows = operands
        return Type((*rows.shape[:-1], *source.shape[self.depth :]), source.dtype)

    def adjoint(self, program: Builder, position: int, upstream: int, label: Label) -> int | None:
        if position == 1:
            return None
        shape = program[self.source].type.shape
        return program.add(ScatterEach(upstream, self.rows, self.depth, shape), label)

    def numpy(self, operands: Sequence[Text]) -> Text:
        source, rows = operands
        return source.indexed([f"tuple(np.moveaxis({rows.source}, -1, 0))"], ())


@dataclass(frozen=True, slots=True)
class ScatterEach(Primitive):
    """Zeros of the given shape, with every entry of `source` added at its coordinates."""

    tensors: ClassVar[tuple[str, ...]] = ("source", "rows")
    source: int
    rows: int
    depth: int
    shape: Shape

    def infer(self, operands: Sequence[Type]) -> Type:
        return Type(self.shape, operands[0].dtype)

    def adjoint(self, program: Builder, position: int, upstream: int, label: Label) -> int | None:
        return None if position else program.add(GatherEach(upstream, self.rows, self.depth), label)

    def numpy(self, operands: Sequence[Text]) -> Text:
        source, rows = operands
        where = f"tuple(np.moveaxis({rows.source}, -1, 0))"
        return Text(f"_scattered({source.source}, {where}, {shape_text(self.shape)})")


# --- operations ------------------------------------------------------------------------------


def extremum(function: Literal["argmax", "argmin"]) -> Callable[..., Value]:
    def define(operands: Sequence[Type], sizes: Sizes, axis: int) -> Value:
        return Extremum(0, axis_of(operands[0], axis), function)

    return define


def order(operands: Sequence[Type], sizes: Sizes, axis: int, descending: bool) -> Value:
    (operand,) = operands
    return Order(0, axis_of(operand, axis), descending, None, operand.dtype == "float")


def largest(operands: Sequence[Type], sizes: Sizes, k: int) -> Value:
    (operand,) = operands
    if not operand.shape:
        raise SymflowError("a scalar has no entries to choose from")
    size = operand.shape[-1]
    if k < 1 or (size.is_Integer and k > size):
        raise SymflowError(f"k is {k}, but the last dimension of {show(operand.shape)} is {size}")
    return Order(0, len(operand.shape) - 1, True, k, operand.dtype == "float")


def along(operands: Sequence[Type], sizes: Sizes, axis: int) -> Value:
    return TakeAlong(0, 1, axis_of(operands[0], axis))


def classes(operands: Sequence[Type], sizes: Sizes) -> Value:
    """Of each row of scores, or of an array of rows, the one of a class."""
    scores, labels = operands
    if labels.dtype != "int":
        raise SymflowError(
            f"labels are whole numbers, a class for each row, but these are {labels.dtype}s",
            hint="of probabilities: softmax_cross_entropy_with_logits; of whole numbers that are "
            "kept as floats: sf.to_int(labels)",
        )
    if labels.shape[:-1] != scores.shape[:-1]:
        raise SymflowError(
            f"labels are {show(labels.shape[:-1])} but logits are {show(scores.shape)}",
            hint="logits have one axis more than labels, the last, along which the classes are",
        )
    return TakeAlong(0, 1, len(scores.shape) - 1)


def gather_each(operands: Sequence[Type], sizes: Sizes) -> Value:
    return GatherEach(0, 1, _depth(*operands))


def scatter_each(operands: Sequence[Type], sizes: Sizes, shape: Shape) -> Value:
    rows, updates = operands
    depth = _depth(Type(shape), rows)
    expected = (*rows.shape[:-1], *shape[depth:])
    fits = len(expected) == len(updates.shape) and all(
        sizes.agree(*pair) is not None for pair in zip(expected, updates.shape, strict=True)
    )
    if not fits:
        raise SymflowError(f"the updates should be {show(expected)}, not {show(updates.shape)}")
    return ScatterEach(1, 0, depth, shape)


def segment_sum(operands: Sequence[Type], sizes: Sizes, count: int) -> Value:
    source, rows = operands
    whole_numbers(rows)
    rank = len(rows.shape)
    fits = len(source.shape) >= rank and all(
        sizes.agree(*pair) is not None for pair in zip(source.shape[:rank], rows.shape, strict=True)
    )
    if not fits:
        raise SymflowError(
            f"the segments, {show(rows.shape)}, are not the first dimensions of "
            f"{show(source.shape)}"
        )
    return ScatterAdd(0, 1, 0, (sp.Integer(count), *source.shape[rank:]))


def _depth(source: Type, rows: Type) -> int:
    """How many axes the coordinates run over."""
    whole_numbers(rows)
    depth = rows.shape[-1] if rows.shape else None
    if depth is None or not depth.is_Integer or depth > len(source.shape):
        raise SymflowError(
            f"the last dimension of the indices, {show(rows.shape)}, says how many axes of "
            f"{show(source.shape)} they run over: 1 to {len(source.shape)}"
        )
    return int(depth)


def whole_numbers(rows: Type) -> None:
    if rows.dtype != "int":
        raise SymflowError(
            f"indices are whole numbers, but these are {rows.dtype}s", hint="sf.to_int(...) of them"
        )
