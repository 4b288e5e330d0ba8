"""Rules of stability, contractions and simplification, broken in turn."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import sympy as sp
from aimed_models import instance_of
from breaking import BROKEN_SHARES, Mutant, broken, doubled, with_body, wrapped, zero

from symflow import contraction, rules, simplification, solving, stabilisation, structures
from symflow.program import Builder, Label

Peak = tuple[int, int, int]
Body = Callable[[sp.Expr], sp.Expr]
BODIES: dict[str, Body] = {
    "doubled": lambda one: 2 * one,
    "zero": lambda one: sp.Integer(0),
    "one more": lambda one: one + 1,
}
"""Without negation, which would undo itself where a rule applies inside what it applies to."""

WITHOUT_PATTERN = {"affine-contraction", "exp-product", "safe-where", "solve"}
"""Rules that are functions; so are those of `structures.py`, which are marked."""


def is_tested_elsewhere(rule: rules.Rule) -> bool:
    """What no small random graph meets: see test_affine, test_fast and test_descent; and what asks
    for more than its pattern says: see test_rule_contracts."""
    if rule.phase == "scheduled" or rule.name == "affine-contraction":
        return True
    if rule.structural or rule.name in WITHOUT_PATTERN:
        return False
    return instance_of(rule) is None


def rewrite_mutants() -> Iterator[Mutant]:
    for at, rule in enumerate(rules.RULES):
        if rule.name in WITHOUT_PATTERN or is_tested_elsewhere(rule):
            continue
        if rule.structural:
            for name, body in BODIES.items():
                told, key = f"rule {rule.name}: {name}", ("rule", rule.name)
                if rule.name == "masked-logit":
                    yield Mutant(told, key, wrapped(stabilisation, "masked_logits", _with(body)))
                    continue
                patch = wrapped(
                    stabilisation.Stabiliser, "_restructured", _replacing(rule.name, body)
                )
                yield Mutant(told, key, patch)
            continue
        for name, right in _wrong_sides(rule):
            changed = (*rules.RULES[:at], replace(rule, right=right), *rules.RULES[at + 1 :])
            yield Mutant(
                f"rule {rule.name}: {name}",
                ("rule", rule.name),
                lambda monkeypatch, changed=changed: monkeypatch.setattr(rules, "RULES", changed),
            )
    for name, body in BODIES.items():
        yield Mutant(
            f"rule exp-product: {name}",
            ("rule", "exp-product"),
            wrapped(
                stabilisation.Stabiliser,
                "_widened",
                lambda found, *_, body=body: (
                    (found[0], body(found[1]), *found[2:]) if found[3] else found
                ),
            ),
        )
        yield Mutant(
            f"rule safe-where: {name}",
            ("rule", "safe-where"),
            wrapped(
                stabilisation,
                "guarded",
                lambda found, before, body=body: found if found == before else body(found),
            ),
        )
    for name, way in BROKEN_SHARES.items():
        yield Mutant(
            f"rule solve: {name}",
            ("rule", "solve"),
            wrapped(
                solving,
                "_solution",
                lambda found, program, value, position, definition, way=way: (
                    found if found is None else way(program, found, definition.label)
                ),
            ),
        )
    yield from _function_mutants()


def _wrong_sides(rule: rules.Rule) -> Iterator[tuple[str, Any]]:
    right = rule.right
    if isinstance(right, sp.Expr):
        for name, way in [*broken(right), ("one more", BODIES["one more"])]:
            if name != "negated":
                yield name, way(right)
        return
    for name, way in BODIES.items():
        yield name, lambda bindings, way=way: way(right(bindings))


def _with(body: Body) -> Callable[..., Any]:
    return lambda found, *_: with_body(found, lambda one: body(one.body))


def _replacing(rule: str, body: Body) -> Callable[..., Any]:
    def way(found: Any, *_: Any) -> Any:
        if found is None or found.rule != rule:
            return found
        return replace(found, after=with_body(found.after, lambda one: body(one.body)))

    return way


def _function_mutants() -> Iterator[Mutant]:
    def without_peak(found: Peak, program: Builder, *_: Any) -> Peak:
        return found[0], zero(program, found[1], Label("peak")), found[2]

    def doubled_total(found: Peak, program: Builder, *_: Any) -> Peak:
        return doubled(program, found[0], Label("total")), *found[1:]

    yield Mutant(
        "log-sum-exp: the peak is not put back",
        ("function", "_around_peak"),
        wrapped(structures, "_around_peak", without_peak),
    )
    yield Mutant(
        "log-sum-exp: the total is doubled",
        ("function", "_around_peak"),
        wrapped(structures, "_around_peak", doubled_total),
    )
    for module, name in DOUBLED:

        def way(found: Any, *arguments: Any) -> Any:
            if found is None or found is arguments[0] or found in arguments:
                return found
            if isinstance(found, sp.Expr):
                return 2 * found
            return with_body(found, lambda one: 2 * one.body)

        yield Mutant(f"{name}: doubled", ("function", name), wrapped(module, name, way))
    yield Mutant(
        "_contracted: a factor is lost",
        ("function", "_contracted"),
        wrapped(contraction, "_contracted", lambda found, *_: found[:1]),
    )


DOUBLED = [
    (contraction, "_over"),
    (simplification, "_merged_sum"),
    (simplification, "_common_factors"),
    (simplification, "substituted"),
]
"""Rewrites that are functions, not data; each returns what is to replace a kernel."""
