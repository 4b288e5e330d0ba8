"""The tensors of a program as equations.

What nobody named is written where it is read, as long as it is short or read once; the rest is
an entry of a tensor with a name.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import sympy as sp

from symflow.formulas.algebra import index_names, number, summed, tree
from symflow.formulas.moving import MOVES, made_of_whole
from symflow.formulas.tree import (
    ZERO,
    Big,
    Entry,
    Equation,
    Name,
    Quantity,
    Tree,
)
from symflow.notation import letters
from symflow.primitives import Primitive
from symflow.program import Constant, Definition, Full, Input, Iota, Kernel, Program, slot
from symflow.views import StopGradient


class Reader:
    """Equations for the tensors of a program.

    called  the tensors that have a name, with it; those that are not in it are written out
            where they are read. By default every tensor is called by its label.
    """

    def __init__(self, program: Program, called: Mapping[int, Tree] | None = None) -> None:
        self.program = program
        self.called = (
            {at: Quantity(one.label.name) for at, one in enumerate(program.definitions)}
            if called is None
            else called
        )
        sizes = {size for one in program.definitions for size in one.type.shape}
        taken = {symbol.name for size in sizes for symbol in size.free_symbols}
        taken |= {one.label.name for one in program.definitions}
        self._letters = letters(40, taken)

    def equation(self, tensor: int) -> Equation:
        """name[i, j] = Σ_k x[i, k]·w[k, j]."""
        own = self._outer(tensor)
        left = _entry(self.called.get(tensor) or self._label(tensor), own)
        return Equation(left, self.definition(tensor, own))

    def same(self, name: Tree, tensor: int) -> Equation:
        """name[i, j] = tensor[i, j]."""
        own = self._outer(tensor)
        return Equation(_entry(name, own), self.read(tensor, own, own))

    def _outer(self, tensor: int) -> list[Tree]:
        """An index for every axis; the only entry of an axis of size one is 0."""
        fresh = iter(self._letters)
        shape = self.program[tensor].type.shape
        return [number(sp.Integer(0)) if size == 1 else Name(next(fresh)) for size in shape]

    def _label(self, tensor: int) -> Tree:
        return Quantity(self.program[tensor].label.name)

    def fresh(self, count: int, within: Iterable[Tree]) -> list[Tree]:
        """Letters for indices that are not those of what stands around."""
        taken = {name for index in within for name in index_names(index)}
        free: list[Tree] = [Name(one) for one in self._letters if one not in taken]
        return free[:count]

    def read(self, tensor: int, indices: Sequence[Tree], scope: Sequence[Tree]) -> Tree:
        """An entry of a tensor: by name, or what defines it.

        scope  the indices that have a meaning here, beside those of the entry
        """
        name = self.called.get(tensor)
        if name is not None:
            return _entry(name, indices)
        return self.definition(tensor, indices, scope)

    def whole(self, tensor: int) -> Tree:
        """A tensor without indices, as the argument of a function of tensors."""
        return self.called.get(tensor) or self._label(tensor)

    def definition(self, tensor: int, indices: Sequence[Tree], scope: Sequence[Tree] = ()) -> Tree:
        """What computes an entry of a tensor."""
        definition = self.program[tensor]
        value = definition.value
        if _makes_no_difference(definition):
            return ZERO
        if isinstance(value, Kernel):
            return self._kernel(value, indices, (*scope, *indices))
        if isinstance(value, Iota):
            return indices[0]
        if isinstance(value, Full):
            return number(sp.Integer(value.value))
        if isinstance(value, Constant) and not value.data.ndim:
            return number(sp.sympify(value.data.item()))
        move = MOVES.get(type(value))
        if move is not None:
            return move(self, value, indices, scope)
        if isinstance(value, (Input, Constant)) or not isinstance(value, Primitive):
            return _entry(self._label(tensor), indices)
        return _entry(made_of_whole(self, value), indices)

    def _kernel(self, value: Kernel, indices: Sequence[Tree], scope: Sequence[Tree]) -> Tree:
        known = dict(zip(value.output, indices, strict=True))
        over = self.fresh(len(value.reduced), scope)
        known.update(zip(value.reduced, over, strict=True))
        known[None] = number(sp.Integer(0))
        inner = (*scope, *over)
        operands = {
            slot(at): self.read(access.tensor, [known[i] for i in access.indices], inner)
            for at, access in enumerate(value.accesses)
        }
        body = tree(value.body, operands)
        if value.reduction == "sum":
            return summed(over, body) if over else body
        return Big(value.reduction, tuple(over), body)


def _makes_no_difference(definition: Definition) -> bool:
    """Whether it is what a softmax of ours shifts its exponents by; a user's own has no such
    label.
    """
    label = definition.label
    ours = label.name.endswith("_peak") or label.name == "peak"
    return ours and not label.exact and isinstance(definition.value, StopGradient)


def _entry(base: Tree, indices: Sequence[Tree]) -> Tree:
    return Entry(base, tuple(indices)) if indices else base
