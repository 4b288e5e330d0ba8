"""Long bodies → shorter ones: parts that do not fit on a line become tensors of their own."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

import sympy as sp

from symflow.printing import is_contraction
from symflow.program import (
    Access,
    Builder,
    Definition,
    Kernel,
    Label,
    Type,
    kernel,
    operations_in,
    slot,
    slots_of,
)
from symflow.text import Text

Fits = Callable[[str, Kernel, Type, Mapping[int, Text]], bool]
"""Whether a value of that type, called so, is written on one line; the texts of what it reads."""


def taken_apart(
    builder: Builder,
    value: Kernel,
    definition: Definition,
    target: str,
    texts: Mapping[int, Text],
    called: Callable[[str], str],
    fits: Fits,
) -> tuple[Kernel, Mapping[int, str]]:
    """The value, which is too long, in terms of its parts, which are added to the program; and
    how these are called.

    Its largest part becomes a tensor, and that part's own, until all of them fit on a line.

    definition  whose value it is, in terms of the builder's tensors
    target      what the statement assigns to
    texts       how the tensors that it reads are written
    called      what a tensor is called that would like a name
    """
    pieces = _Pieces(builder, definition, texts, called, fits)
    return pieces.of(value, definition.label.name, target), pieces.names


class _Pieces:
    def __init__(
        self,
        builder: Builder,
        definition: Definition,
        texts: Mapping[int, Text],
        called: Callable[[str], str],
        fits: Fits,
    ) -> None:
        self.builder = builder
        self.definition = definition
        self.texts = dict(texts)
        self.names: dict[int, str] = {}
        self.called = called
        self.fits = fits

    def of(self, value: Kernel, owner: str, target: str) -> Kernel:
        part = largest_part(value)
        while part is not None:
            name = part_name(owner, value, part)
            written = self.called(name)
            own = value.part(part)
            if not self._fits(own, written):
                own = self.of(own, owner, written)
            tensor = self.builder.add(own, Label(name, 2), self.definition.origin)
            if tensor not in self.texts:
                self.texts[tensor], self.names[tensor] = Text(written), written
            body = _replaced(value.body, part, slot(len(value.accesses)))
            accesses = [*value.accesses, Access(tensor, value.order(part))]
            value = kernel(value.output, value.sizes, body, accesses)
            part = None if self._fits(value, target) else largest_part(value)
        return value

    def _fits(self, value: Kernel, target: str) -> bool:
        type_ = value.infer([self.builder[one].type for one in value.operands])
        return self.fits(target, value, type_, self.texts)


def largest_part(value: Kernel) -> sp.Expr | None:
    """What is summed; or the term or factor with most operations in it; or half of many terms.

    None for a contraction: the product that it sums would be far larger than its operands.
    """
    if is_contraction(value):
        return None
    if value.reduction == "sum" and value.reduced and value.body.args:
        return value.body
    parts = [part for part in value.body.args if part.args and slots_of(part)]
    largest = max(parts, key=operations_in, default=None)
    if isinstance(value.body, (sp.Add, sp.Mul)) and len(value.body.args) > 3:
        small = isinstance(value.body, sp.Add) and _is_minor(largest, value.body)
        if small or largest is None:  # as in a sum of many names
            terms = sorted(value.body.args, key=lambda term: slots_of(term))
            return value.body.func(*terms[: len(terms) // 2])
    return largest


def _is_minor(part: sp.Expr | None, body: sp.Expr) -> bool:
    return part is None or 2 * operations_in(part) < operations_in(body)


def _replaced(body: sp.Expr, part: sp.Expr, by: sp.Expr) -> sp.Expr:
    """The body with something in place of a part, which may be some terms of a sum."""
    if type(part) is type(body) and set(part.args) < set(body.args):
        return body.func(by, *(term for term in body.args if term not in part.args))
    return body.xreplace({part: by})


def part_name(owner: str, whole: Kernel, part: sp.Expr) -> str:
    """What a part of the body of `owner` is called."""
    owner = re.sub(r"_(sum|terms|mean)$", "", owner)
    if whole.reduced:
        return f"{owner}_terms"
    if isinstance(part, sp.Add):
        subtracts = any(term.could_extract_minus_sign() for term in part.args)
        return f"{owner}_{'difference' if subtracts else 'sum'}"
    return f"{owner}_{'product' if isinstance(part, sp.Mul) else type(part).__name__.lower()}"
