"""How derivatives and rewrites are broken: what a mutant is, and what all of them need."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import pytest
import sympy as sp

from symflow.program import Access, Builder, Kernel, Label, indices_of, kernel, literal, slot
from symflow.views import Slice

Patch = Callable[[pytest.MonkeyPatch], None]
Key = tuple[Any, ...]


@dataclass(frozen=True)
class Mutant:
    """`rule` is what a graph must meet to notice."""

    name: str
    rule: Key
    patch: Patch


def forget() -> None:
    """Clear all that symflow and SymPy remember of derivatives, kernels and rewritten bodies: what
    is derived by a broken rule must not outlive it, nor what is derived without hide it."""
    for remembered in caches(tuple(name for name in sys.modules if name.startswith("symflow"))):
        remembered.cache_clear()


@cache
def caches(modules: tuple[str, ...]) -> list[Any]:
    """Every cached function and method of some modules, and SymPy's derivatives.

    Functions that return classes are left out: a second class of one name would equal nothing that
    was made of the first. So are those of text and flags, which read names and templates.
    """
    holders: list[Any] = [sys.modules[name] for name in modules]
    holders += [one for holder in holders for one in vars(holder).values() if isinstance(one, type)]
    held = {id(one): one for holder in holders for one in vars(holder).values()}
    functions = [one for one in held.values() if hasattr(one, "cache_clear")]
    within_sympy = [kind._eval_derivative for kind in (sp.Add, sp.Mul)]
    return [*filter(_holds_what_is_derived, functions), *within_sympy]


def _holds_what_is_derived(function: Any) -> bool:
    signature = inspect.signature(function)
    plain = all(one.annotation in ("str", "bool") for one in signature.parameters.values())
    return not plain and not str(signature.return_annotation).startswith("type[")


# --- broken expressions, functions and tensors -------------------------------------------------


def broken(expression: sp.Expr) -> Iterator[tuple[str, Callable[[sp.Expr], sp.Expr]]]:
    """Ways to break an expression that do break it."""

    def without(at: int) -> Callable[[sp.Expr], sp.Expr]:
        return lambda one: one.func(*(part for k, part in enumerate(one.args) if k != at))

    ways: list[tuple[str, Callable[[sp.Expr], sp.Expr]]] = [
        ("doubled", lambda one: 2 * one),
        ("negated", lambda one: -one),
        ("zero", lambda one: sp.Integer(0)),
    ]
    if expression == 0:
        ways = [("one", lambda one: sp.Integer(1))]
    if isinstance(expression, (sp.Add, sp.Mul)):
        what = "term" if isinstance(expression, sp.Add) else "factor"
        ways += [(f"without {what} {at}", without(at)) for at in range(len(expression.args))]
    for name, way in ways:
        if way(expression) != expression:
            yield name, way


def wrapped(module: Any, name: str, way: Callable[..., Any]) -> Patch:
    """`way(result, *arguments)` in place of a function's result."""
    original = getattr(module, name)

    def replaced(*arguments: Any) -> Any:
        return way(original(*arguments), *arguments)

    return lambda monkeypatch: monkeypatch.setattr(module, name, replaced)


def with_body(value: Kernel | None, change: Callable[[Kernel], sp.Expr]) -> Kernel | None:
    if value is None:
        return None
    return kernel(value.output, value.sizes, change(value), value.accesses, value.reduction)


def doubled(program: Builder, share: int, label: Label) -> int:
    return program.elementwise(2 * slot(0), [share], label)


def negated(program: Builder, share: int, label: Label) -> int:
    return program.elementwise(-slot(0), [share], label)


def zero(program: Builder, share: int, label: Label) -> int:
    return program.add(literal(sp.Integer(0), program[share].type.shape), label)


def backwards(program: Builder, share: int, label: Label) -> int:
    key: list[Any] = [(None, None, 1)] * len(program[share].type.shape)
    for axis, size in enumerate(program[share].type.shape):
        if size != 1:
            key[axis] = (None, None, -1)
            return program.add(Slice(share, tuple(key)), label)
    return share


def transposed(program: Builder, share: int, label: Label) -> int:
    shape = program[share].type.shape
    if len(shape) < 2 or shape[-1] != shape[-2]:
        return share
    indices, sizes = indices_of(shape)
    swapped = (*indices[:-2], indices[-1], indices[-2])
    return program.add(kernel(swapped, sizes, slot(0), [Access(share, tuple(indices))]), label)


BROKEN_SHARES = {
    "doubled": doubled,
    "negated": negated,
    "zero": zero,
    "backwards": backwards,
}
