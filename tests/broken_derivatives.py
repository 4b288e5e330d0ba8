"""Derivatives of rows, adjoints of primitives, and sums over paths, broken in turn."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import pytest
import sympy as sp
from breaking import BROKEN_SHARES, Mutant, Patch, broken, transposed, with_body, wrapped

from symflow import differentiation, elementwise
from symflow.arithmetic import undistributed
from symflow.elementwise import ROWS, Elementwise, canonical
from symflow.primitives import Part, Primitive
from symflow.program import Builder, Kernel, Label, kernel, literal, slot, slots_of
from symflow.running import RunningMaximum
from symflow.solvers import (
    Cofactors,
    CofactorSlope,
    Determinant,
    DeterminantSign,
    Inverse,
    LogDeterminant,
    Solve,
)
from symflow.views import StopGradient

# --- derivatives of rows ---------------------------------------------------------------------


def row_mutants() -> Iterator[Mutant]:
    for row in ROWS.values():
        if row.result in ("bool", "int") or row.name == "to_float":
            continue
        slots = [slot(number) for number in range(row.arity)]
        derivatives = _partials(row, slots)
        for number in range(row.result_from, row.arity):
            ways = list(broken(derivatives[number]))
            for other in range(row.result_from, row.arity):
                if derivatives[other] != derivatives[number]:
                    swapped = derivatives[other]
                    ways.append((f"that by operand {other}", _constantly(swapped)))
            for name, way in ways:
                told = f"{row.name} by operand {number}: {name}"
                if row.partials and derivatives[number] != 0 and row.name != "where":
                    patch = _broken_partial(row, number, name, way)
                    yield Mutant(told, ("partial", row.name, number), patch)
                else:
                    patch = _broken_derivative(row.name, number, name, way)
                    yield Mutant(told, ("derivative", row.name, number), patch)


@undistributed
def _partials(row: Elementwise, slots: Sequence[sp.Symbol]) -> list[sp.Expr]:
    if row.partials is not None:
        given = row.partials(*slots, slot(row.arity))
        return [sp.sympify(one) for one in given]
    body = canonical(row(*slots))
    return [elementwise.differentiated(body, number) for number in range(row.arity)]


def _constantly(expression: sp.Expr) -> Callable[[sp.Expr], sp.Expr]:
    return lambda _: expression


def _broken_partial(
    row: Elementwise, number: int, name: str, way: Callable[[sp.Expr], sp.Expr]
) -> Patch:
    original = row.partials
    assert original is not None

    def partials(*operands: sp.Expr) -> list[sp.Expr]:
        found = [sp.sympify(one) for one in original(*operands)]
        if name.startswith("that by operand"):
            found[number] = found[int(name.split()[-1])]
        elif name.startswith("without"):  # as the rule is written, whatever it is applied to
            symbols = [slot(at) for at in range(len(operands))]
            general = way(sp.sympify(original(*symbols)[number]))
            found[number] = general.xreplace(dict(zip(symbols, operands, strict=True)))
        else:
            found[number] = way(found[number])
        return found

    # rows are frozen, and hashed by identity: the class of the function reads another row
    other = replace(row, partials=partials)
    function = elementwise.function_of(row)
    return lambda monkeypatch: monkeypatch.setattr(function, "row", other)


@undistributed
def bodies() -> dict[tuple[sp.Expr, int], tuple[str, int]]:
    """Which operand of which row a slot of a body is, whatever the order of the slots."""
    found: dict[tuple[sp.Expr, int], tuple[str, int]] = {}
    for row in ROWS.values():
        for order in itertools.permutations(range(row.arity)):
            body = canonical(row(*(slot(number) for number in order)))
            for operand, number in enumerate(order):
                found.setdefault((body, number), (row.name, operand))
    return found


def _broken_derivative(
    row: str, operand: int, name: str, way: Callable[[sp.Expr], sp.Expr]
) -> Patch:
    known = bodies()
    original = elementwise.differentiated

    def differentiated(body: sp.Expr, number: int) -> sp.Expr:
        if known.get((body, number)) != (row, operand):
            return original(body, number)
        if name.startswith("that by operand"):
            other = int(name.split()[-1])
            return original(body, next(at for at in slots_of(body) if known[body, at][1] == other))
        return canonical(way(original(body, number)))

    return lambda monkeypatch: monkeypatch.setattr(
        differentiation, "differentiated", differentiated
    )


# --- adjoints of primitives ------------------------------------------------------------------


def primitives(root: type = Primitive) -> list[type]:
    found: list[type] = []
    for one in root.__subclasses__():
        if getattr(sys.modules[one.__module__], one.__name__, None) is not one:
            continue  # what a class with slots was made from
        found += [one] if {"adjoint", "shares"} & set(vars(one)) else []
        found += primitives(one)
    return found


def place(value: Primitive, position: int) -> int:
    """Which of the kinds of its operands one is: by the field, or the first and the others."""
    if len(value.tensors) == 1:
        return min(position, 1)
    found: list[int] = []
    for number, name in enumerate(value.tensors):
        held = getattr(value, name)
        found += [number] * (len(held) if isinstance(held, tuple) else 1)
    return found[position]


def primitive_mutants() -> Iterator[Mutant]:
    for one in primitives():
        if one is StopGradient:
            yield Mutant("stop_gradient: let through", ("adjoint", "StopGradient", 0), _let_through)
            continue
        if one is RunningMaximum:
            continue  # it has no derivative
        if one is DeterminantSign:
            yield Mutant("DeterminantSign: one", ("adjoint", "DeterminantSign", 0), _slope_of_sign)
            continue
        several = any(name == "sources" for name in one.tensors)  # type: ignore[attr-defined]
        ways = {**BROKEN_SHARES, "transposed": transposed} if one in _SOLVERS else BROKEN_SHARES
        for number in range(2 if several else len(one.tensors)):  # type: ignore[attr-defined]
            if one is CofactorSlope and number == 0:
                continue  # refused
            for name, way in ways.items():
                rule = ("adjoint", one.__name__, number)
                told = f"{one.__name__} by operand {number}: {name}"
                yield Mutant(told, rule, _broken_adjoint(one, number, way))


_SOLVERS = (Solve, Inverse, Determinant, LogDeterminant, Cofactors, CofactorSlope)


def _broken_adjoint(one: type, number: int, way: Callable[..., int]) -> Patch:
    method = "adjoint" if "adjoint" in vars(one) else "shares"
    original = vars(one)[method]

    def adjoint(self: Any, program: Builder, position: int, upstream: int, label: Label) -> Any:
        if one is Part:  # whose share is several tensors
            return original(self, program, position, way(program, upstream, label), label)
        share = original(self, program, position, upstream, label)
        if share is None or place(self, position) != number:
            return share
        return way(program, share, label)

    def shares(
        self: Any, program: Builder, positions: Sequence[int], *rest: Any
    ) -> list[int | None]:
        found = original(self, program, positions, *rest)
        return [
            way(program, share, Label("broken"))
            if share is not None and place(self, position) == number
            else share
            for position, share in zip(positions, found, strict=True)
        ]

    broken_one = adjoint if method == "adjoint" else shares
    return lambda monkeypatch: monkeypatch.setattr(one, method, broken_one)


def _slope_of_sign(monkeypatch: pytest.MonkeyPatch) -> None:
    def adjoint(self: Any, program: Builder, position: int, upstream: int, label: Label) -> int:
        return program.add(literal(sp.Integer(1), program[self.source].type.shape), label)

    monkeypatch.setattr(DeterminantSign, "adjoint", adjoint)


def _let_through(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        StopGradient, "adjoint", lambda self, program, position, upstream, label: upstream
    )


# --- the one rule, and sums over paths -------------------------------------------------------


def _upstream(value: Kernel, adjoint: int) -> sp.Symbol:
    return slot(next(at for at, one in enumerate(value.accesses) if one.tensor == adjoint))


def path_mutants() -> Iterator[Mutant]:
    def of_kernel(name: str, change: Callable[[Kernel, int], sp.Expr]) -> Mutant:
        patch = wrapped(
            differentiation,
            "adjoint_kernel",
            lambda found, value, position, body, result, adjoint: with_body(
                found, lambda one: change(one, adjoint)
            ),
        )
        return Mutant(f"the one rule: {name}", ("kernel",), patch)

    yield of_kernel("doubled", lambda one, adjoint: 2 * one.body)
    yield of_kernel("negated", lambda one, adjoint: -one.body)
    yield of_kernel("zero", lambda one, adjoint: 0 * one.body)
    yield of_kernel(
        "without the upstream",
        lambda one, adjoint: one.body.xreplace({_upstream(one, adjoint): sp.Integer(1)}),
    )
    yield of_kernel("without the derivative", lambda one, adjoint: _upstream(one, adjoint))
    yield of_kernel(
        "a mean for the sum",
        lambda one, adjoint: one.body / sp.Mul(*(one.sizes[at] for at in one.reduced)),
    )
    yield Mutant(
        "the one rule: re-uses twice the result",
        ("kernel",),
        wrapped(
            differentiation,
            "_reusing",
            lambda found, derivative, body, own: found.xreplace({own: 2 * own}),
        ),
    )

    first = wrapped(differentiation, "_edges", lambda found, *_: dict.fromkeys(found, 1))
    yield Mutant("paths: complete at the first share", ("edges",), first)
    total = differentiation._total
    yield Mutant(
        "paths: the last share is lost",
        ("total",),
        lambda monkeypatch: monkeypatch.setattr(
            differentiation,
            "_total",
            lambda program, tensor, shares: total(
                program, tensor, shares[: max(1, len(shares) - 1)]
            ),
        ),
    )
    yield Mutant(
        "paths: the seed is two",
        ("kernel",),
        lambda monkeypatch: monkeypatch.setattr(
            differentiation, "literal", lambda number, shape: literal(2 * number, shape)
        ),
    )
    yield from _extremum_mutants()


def _extremum_mutants() -> Iterator[Mutant]:
    def only(reduction: str, way: Callable[[Builder, int, Label], int]) -> Patch:
        return wrapped(
            differentiation,
            "_share_of_extremum",
            lambda share, program, tensor, adjoint, label: (
                way(program, share, label)
                if program[tensor].value.reduction == reduction
                else share
            ),
        )

    def uncounted(program: Builder, share: int, label: Label) -> int:
        value = program[share].value
        assert isinstance(value, Kernel)
        top, _ = value.body.as_numer_denom()
        return program.add(kernel(value.output, value.sizes, top, value.accesses), label)

    for reduction in ("max", "min"):
        for name, way in {**BROKEN_SHARES, "ties are not counted": uncounted}.items():
            yield Mutant(
                f"reduce_{reduction}: {name}", ("extremum", reduction), only(reduction, way)
            )
