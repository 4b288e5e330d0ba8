"""Every rule by which symflow differentiates and rewrites, broken in turn.

A mutant is a patch of the running symflow. They are enumerated, not listed: by every operand of
every row, by every operand of every primitive, by every rewrite rule. No mutant is made of a
derivative that is zero everywhere by scaling it; such a one is set to 1 instead. No derivative is
ever taken by a boolean, so there is no mutant of one.

    python tests/mutants.py          all mutants, each against every graph that meets its rule
    python tests/mutants.py --once   against fewer graphs, until one notices
"""

from __future__ import annotations

import itertools
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

import pytest
import sympy as sp
from abstract_models import Model
from aimed_models import aimed_models
from breaking import Key, Mutant, forget, wrapped
from broken_derivatives import (
    bodies,
    path_mutants,
    place,
    primitive_mutants,
    primitives,
    row_mutants,
)
from broken_rewrites import DOUBLED, rewrite_mutants
from graph_comparison import Judge
from hand_checks import (
    ByHand,
    both_sides_agree,
    logarithm_beyond_the_guard,
    masked_cross_entropy,
    slopes_of_row,
    third_derivative_of_determinant,
)
from independent_operations import OPERATIONS
from random_graphs import random_model

from symflow import (
    contraction,
    differentiation,
    elementwise,
    solving,
    stabilisation,
    structures,
)
from symflow.elementwise import Opaque
from symflow.primitives import Primitive
from symflow.program import Builder, slots_of
from symflow.rows import ROWS
from symflow.rules import RULES
from symflow.solvers import DeterminantSign
from symflow.views import StopGradient

Judges = Sequence["tuple[Judge, set[Key]]"]


def all_mutants() -> list[Mutant]:
    return [*row_mutants(), *primitive_mutants(), *path_mutants(), *rewrite_mutants()]


# --- what meets what -------------------------------------------------------------------------


def met(model: Model) -> tuple[Judge, set[Key]]:
    """A judge, and the rules that symflow follows to satisfy it."""
    keys: set[Key] = set()
    judge = Judge(model)
    with pytest.MonkeyPatch.context() as monkeypatch:
        _record(monkeypatch, keys.add)
        assert judge.accepts(), f"symflow fails as it is: {model}"
    return judge, keys


def meaningful(mutant: Mutant, judges: Judges) -> bool:
    """No derivative is taken by an operand of whole numbers, nor of a result of whole numbers."""
    if mutant.rule[0] != "adjoint":
        return True
    kinds = {key[3] for _, keys in judges for key in keys if key[:3] == ("kind", *mutant.rule[1:])}
    return not kinds or ("float", "float") in kinds


def _record(monkeypatch: pytest.MonkeyPatch, note: Callable[[Key], None]) -> None:
    known = bodies()
    differentiated = elementwise.differentiated

    def noted(body: sp.Expr, number: int) -> sp.Expr:
        note(("kernel",))
        if (body, number) in known:
            note(("derivative", *known[body, number]))
        for part in body.atoms(Opaque):
            for at, argument in enumerate(part.args):
                if number in slots_of(argument):
                    note(("partial", type(part).row.name, at))
        return differentiated(body, number)

    monkeypatch.setattr(differentiation, "differentiated", noted)
    for one in primitives():
        method = "adjoint" if "adjoint" in vars(one) else "shares"
        original = vars(one)[method]

        def adjoint(self: Any, program: Any, position: int, *rest: Any, original=original) -> Any:
            share = original(self, program, position, *rest)
            if share is not None or isinstance(self, (StopGradient, DeterminantSign)):
                note(("adjoint", type(self).__name__, place(self, position)))
            return share

        def shares(
            self: Any, program: Any, positions: Sequence[int], *rest: Any, original=original
        ) -> Any:
            found = original(self, program, positions, *rest)
            for position, share in zip(positions, found, strict=True):
                if share is not None:
                    note(("adjoint", type(self).__name__, place(self, position)))
            return found

        monkeypatch.setattr(one, method, adjoint if method == "adjoint" else shares)

    added = Builder.add

    def add(self: Builder, value: Any, *rest: Any, **named: Any) -> int:
        tensor = added(self, value, *rest, **named)
        if isinstance(value, Primitive):
            kinds = [self[operand].type.dtype for operand in value.operands]
            for at, kind in enumerate(kinds):
                met_as = (kind, self[tensor].type.dtype)
                note(("kind", type(value).__name__, place(value, at), met_as))
        return tensor

    monkeypatch.setattr(Builder, "add", add)

    def watch(module: Any, name: str, key: Callable[..., Key | None]) -> None:
        def way(found: Any, *arguments: Any) -> Any:
            made = key(found, *arguments)
            if made is not None:
                note(made)
            return found

        wrapped(module, name, way)(monkeypatch)

    watch(differentiation, "_edges", lambda *_: ("edges",))
    watch(differentiation, "_total", lambda _, p, t, shares: ("total",) if shares[1:] else None)
    watch(
        differentiation,
        "_share_of_extremum",
        lambda _, program, tensor, *__: ("extremum", program[tensor].value.reduction),
    )
    for module, name in [*DOUBLED, (structures, "_around_peak"), (contraction, "_contracted")]:
        watch(
            module,
            name,
            lambda found, *arguments, name=name: (
                None if found is None or found in arguments else ("function", name)
            ),
        )
    watch(
        stabilisation.Stabiliser,
        "_restructured",
        lambda found, *_: ("rule", found.rule) if found else None,
    )
    watch(
        stabilisation.Stabiliser,
        "_widened",
        lambda found, *_: ("rule", "exp-product") if found[3] else None,
    )
    watch(solving, "_solution", lambda found, *_: ("rule", "solve") if found else None)
    rewritten = stabilisation.Stabiliser._rewritten

    def recorded(self: Any, program: Builder, value: Any) -> Any:
        found = rewritten(self, program, value)
        for step in found[1]:
            note(("rule", step.rule))
        return found

    monkeypatch.setattr(stabilisation.Stabiliser, "_rewritten", recorded)


@dataclass
class Verdict:
    mutant: Mutant
    caught: int
    tried: int


def judged(judges: Judges, enough: bool = True) -> list[Verdict]:
    """Each mutant against the graphs that meet its rule, until one notices (or against all)."""
    found = []
    for mutant in all_mutants():
        if not meaningful(mutant, judges):
            continue
        meeting = [judge for judge, keys in judges if mutant.rule in keys]
        meeting.sort(key=lambda judge: (judge.model.order, len(judge.model.nodes)))
        verdict = Verdict(mutant, 0, 0)
        with _broken(mutant):
            for judge in itertools.chain(meeting, _further(mutant)):
                if verdict.caught and (enough or verdict.tried >= len(meeting)):
                    break
                verdict.tried += 1
                verdict.caught += not judge.accepts()
        found.append(verdict)
    return found


@contextmanager
def _broken(mutant: Mutant) -> Iterator[None]:
    """With a rule that is broken; what was derived by it is forgotten at the end."""
    forget()
    try:
        with pytest.MonkeyPatch.context() as monkeypatch:
            mutant.patch(monkeypatch)
            yield
    finally:
        forget()


def _further(mutant: Mutant) -> Iterator[Judge | ByHand]:
    """What else must hold, and more graphs with the operation of a rule, if none has noticed."""
    name = mutant.rule[1] if len(mutant.rule) > 1 else None
    if name == "CofactorSlope":
        yield ByHand(third_derivative_of_determinant)
    if name == "masked-logit":
        yield ByHand(masked_cross_entropy)
    if name == "log-of-exp-product-far":
        yield ByHand(logarithm_beyond_the_guard)
    if mutant.rule[0] == "rule":
        yield from (ByHand(partial(both_sides_agree, one)) for one in RULES if one.name == name)
    if name in ROWS.keys() - OPERATIONS.keys():  # which rules write, and no user
        yield ByHand(partial(slopes_of_row, ROWS[name]))
    if name in OPERATIONS:
        for seed in range(100, 120):
            yield Judge(random_model(seed, 1, [name]))


def main() -> int:
    start = time.perf_counter()
    once = "--once" in sys.argv
    judges = [met(model) for model in (aimed_models() if once else aimed_models(8))]
    verdicts = judged(judges, enough=once)
    for one in verdicts:
        mark = "caught " if one.caught else "SURVIVES"
        print(f"{mark} by {one.caught:3} of {one.tried:3} graphs   {one.mutant.name}")
    survivors = sum(not one.caught for one in verdicts)
    seconds = time.perf_counter() - start
    print(f"{len(verdicts)} mutants, {survivors} survive, {len(judges)} graphs, {seconds:.0f} s")
    return min(survivors, 1)


if __name__ == "__main__":
    sys.exit(main())
