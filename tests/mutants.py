"""Every rule by which symflow differentiates and rewrites, broken in turn.

A mutant is a patch of the running symflow. They are enumerated, not listed: by every operand of
every row, by every operand of every primitive, by every rewrite rule. No mutant is made of a
derivative that is zero everywhere by scaling it; such a one is set to 1 instead. No derivative is
ever taken by a boolean, so there is no mutant of one.

    python tests/mutants.py        all mutants, each against every graph that meets its rule
"""

from __future__ import annotations

import itertools
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

import numpy as np
import pytest
import sympy as sp
from abstract_models import PREDICATES, Leaf, Model, Step
from graph_comparison import Judge
from independent_operations import OPERATIONS
from random_graphs import available, random_model
from sympy.core.cache import clear_cache

from symflow import (
    contraction,
    differentiation,
    elementwise,
    rules,
    simplification,
    stabilisation,
)
from symflow.elementwise import ROWS, Elementwise, Opaque, canonical
from symflow.primitives import Primitive
from symflow.program import Builder, Kernel, Label, kernel, literal, slot, slots_of
from symflow.views import Slice, StopGradient

Patch = Callable[[pytest.MonkeyPatch], None]
Key = tuple[Any, ...]
Judges = Sequence["tuple[Judge, set[Key]]"]


@dataclass(frozen=True)
class Mutant:
    """`rule` is what a graph must meet to notice."""

    name: str
    rule: Key
    patch: Patch


def forget() -> None:
    """Clear what has been derived by rules that are no longer, or not yet, broken."""
    for cached in (
        elementwise.differentiated,
        elementwise.canonical,
        rules.rewritten,
        simplification._common_factors,
    ):
        cached.cache_clear()
    clear_cache()


# --- broken expressions ----------------------------------------------------------------------


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
        found += [one] if "adjoint" in vars(one) else []
        found += primitives(one)
    return found


def _doubled(program: Builder, share: int, label: Label) -> int:
    return program.elementwise(2 * slot(0), [share], label)


def _negated(program: Builder, share: int, label: Label) -> int:
    return program.elementwise(-slot(0), [share], label)


def _zero(program: Builder, share: int, label: Label) -> int:
    return program.add(literal(sp.Integer(0), program[share].type.shape), label)


def _backwards(program: Builder, share: int, label: Label) -> int:
    key: list[Any] = [(None, None, 1)] * len(program[share].type.shape)
    for axis, size in enumerate(program[share].type.shape):
        if size != 1:
            key[axis] = (None, None, -1)
            return program.add(Slice(share, tuple(key)), label)
    return share


BROKEN_SHARES = {
    "doubled": _doubled,
    "negated": _negated,
    "zero": _zero,
    "backwards": _backwards,
}


def primitive_mutants() -> Iterator[Mutant]:
    for one in primitives():
        if one is StopGradient:
            yield Mutant("stop_gradient: let through", ("adjoint", "StopGradient", 0), _let_through)
            continue
        several = any(name == "sources" for name in one.tensors)  # type: ignore[attr-defined]
        for number in range(2 if several else len(one.tensors)):  # type: ignore[attr-defined]
            for name, way in BROKEN_SHARES.items():
                rule = ("adjoint", one.__name__, number)
                told = f"{one.__name__} by operand {number}: {name}"
                yield Mutant(told, rule, _broken_adjoint(one, number, way))


def _broken_adjoint(one: type, number: int, way: Callable[..., int]) -> Patch:
    original = vars(one)["adjoint"]

    def adjoint(self: Any, program: Builder, position: int, upstream: int, label: Label) -> Any:
        share = original(self, program, position, upstream, label)
        return share if share is None or min(position, 1) != number else way(program, share, label)

    return lambda monkeypatch: monkeypatch.setattr(one, "adjoint", adjoint)


def _let_through(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        StopGradient, "adjoint", lambda self, program, position, upstream, label: upstream
    )


# --- the one rule, and sums over paths -------------------------------------------------------


def _wrapped(module: Any, name: str, way: Callable[..., Any]) -> Patch:
    """`way(result, *arguments)` in place of a function's result."""
    original = getattr(module, name)

    def replaced(*arguments: Any) -> Any:
        return way(original(*arguments), *arguments)

    return lambda monkeypatch: monkeypatch.setattr(module, name, replaced)


def _with_body(value: Kernel | None, change: Callable[[Kernel], sp.Expr]) -> Kernel | None:
    if value is None:
        return None
    return kernel(value.output, value.sizes, change(value), value.accesses, value.reduction)


def _upstream(value: Kernel, adjoint: int) -> sp.Symbol:
    return slot(next(at for at, one in enumerate(value.accesses) if one.tensor == adjoint))


def path_mutants() -> Iterator[Mutant]:
    def of_kernel(name: str, change: Callable[[Kernel, int], sp.Expr]) -> Mutant:
        patch = _wrapped(
            differentiation,
            "adjoint_kernel",
            lambda found, value, position, result, adjoint: _with_body(
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
        _wrapped(
            differentiation,
            "_reusing",
            lambda found, derivative, body, own: found.xreplace({own: 2 * own}),
        ),
    )

    first = _wrapped(differentiation, "_edges", lambda found, *_: dict.fromkeys(found, 1))
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
        return _wrapped(
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


# --- rewriting -------------------------------------------------------------------------------


def rewrite_mutants() -> Iterator[Mutant]:
    for at, rule in enumerate(rules.RULES):
        # negation would undo itself where a rule applies inside what it applies to
        ways = [way for way in broken(rule.right) if way[0] != "negated"]
        for name, way in [*ways, ("one more", lambda one: one + 1)]:
            other = replace(rule, right=way(rule.right))
            changed = (*rules.RULES[:at], other, *rules.RULES[at + 1 :])
            yield Mutant(
                f"rule {rule.name}: {name}",
                ("rule", rule.name),
                lambda monkeypatch, changed=changed: monkeypatch.setattr(rules, "RULES", changed),
            )

    def without_peak(found: tuple[int, int], program: Builder, *_: Any) -> tuple[int, int]:
        return found[0], _zero(program, found[1], Label("peak"))

    def doubled_total(found: tuple[int, int], program: Builder, *_: Any) -> tuple[int, int]:
        return _doubled(program, found[0], Label("total")), found[1]

    yield Mutant(
        "log-sum-exp: the peak is not put back",
        ("function", "_around_peak"),
        _wrapped(stabilisation, "_around_peak", without_peak),
    )
    yield Mutant(
        "log-sum-exp: the total is doubled",
        ("function", "_around_peak"),
        _wrapped(stabilisation, "_around_peak", doubled_total),
    )
    for module, name in DOUBLED:

        def way(found: Any, *arguments: Any) -> Any:
            if found is None or found is arguments[0] or found in arguments:
                return found
            if isinstance(found, sp.Expr):
                return 2 * found
            return _with_body(found, lambda one: 2 * one.body)

        yield Mutant(f"{name}: doubled", ("function", name), _wrapped(module, name, way))
    yield Mutant(
        "_contracted: a factor is lost",
        ("function", "_contracted"),
        _wrapped(contraction, "_contracted", lambda found, *_: found[:1]),
    )


DOUBLED = [
    (stabilisation, "_norm"),
    (contraction, "_over"),
    (simplification, "_merged_sum"),
    (simplification, "_common_factors"),
    (simplification, "substituted"),
]
"""Rewrites that are functions, not data; each returns what is to replace a kernel."""


def all_mutants() -> list[Mutant]:
    return [*row_mutants(), *primitive_mutants(), *path_mutants(), *rewrite_mutants()]


# --- the graphs ------------------------------------------------------------------------------


WITHOUT_SLOPE = PREDICATES | {"one_hot", "argmax"}
"""Operations that alone lead no derivative anywhere."""


def aimed_models(per_operation: int = 3) -> list[Model]:
    """Small models: each operation in a few, at both orders, and the left side of every rule."""
    found = [model_of(rule.left) for rule in rules.RULES]
    found += further_models()
    for name in OPERATIONS:
        if available(name) and name not in WITHOUT_SLOPE:
            found += [random_model(seed, 1, [name]) for seed in range(per_operation)]
            found += [random_model(seed, 2, [name]) for seed in range(per_operation // 2)]
    return found


def model_of(pattern: sp.Expr) -> Model:
    """A model whose loss is the sum of an expression, with a Variable for every Wild."""
    nodes: list[Leaf | Step] = []
    known: dict[sp.Expr, int | float] = {}

    def step(name: str, *operands: int | float, **how: Any) -> int:
        nodes.append(Step(name, operands, how))
        return len(nodes) - 1

    def put(one: sp.Expr) -> int | float:
        if one not in known:
            known[one] = made(one)
        return known[one]

    def made(one: sp.Expr) -> int | float:
        if one.is_Number:
            return float(one)
        if isinstance(one, (sp.Wild, sp.Symbol)):
            values = np.array([0.7, 1.3, -0.4]) + len(nodes) / 8 if one.name != "c" else None
            leaf = np.array([1.0, -1.0, 0.5]) if values is None else np.abs(values)
            nodes.append(Leaf("Variable", leaf.shape, (leaf, leaf)))
            at = len(nodes) - 1
            return step("greater", at, 0.0) if values is None else at
        parts = [put(part) for part in one.args]
        if isinstance(one, sp.Pow):
            return step("reciprocal", parts[0]) if one.exp == -1 else step("pow", *parts)
        if isinstance(one, (sp.Add, sp.Mul)):
            name = "add" if isinstance(one, sp.Add) else "multiply"
            total = parts[0]
            for part in parts[1:]:
                total = step(name, total, part)
            return total
        return step(one.row.name if isinstance(one, Opaque) else type(one).__name__, *parts)

    end = step("sin", put(pattern))
    step("reduce_sum", end, axis=None, keepdims=False)
    model = Model(tuple(nodes), (1, 1), ())
    reached = model.reached()
    by = tuple(one for one in reached if isinstance(nodes[one], Leaf))
    return replace(model, by=by)


_SIN = Step("sin", (3,))


def further_models() -> list[Model]:
    """What chance would meet late: norms, naive log-sum-exp, and entries equal at a maximum."""
    values = np.array([[0.3, -1.2, 0.8], [1.1, 0.4, -0.6]])
    leaf = Leaf("Variable", (2, 3), (values, values))
    axis = {"axis": 1, "keepdims": False}
    total = {"axis": None, "keepdims": False}

    def model(*steps: Step) -> Model:
        return Model((leaf, *steps, Step("reduce_sum", (len(steps),), total)), (1, 1), (0,))

    models = [
        model(Step("square", (0,)), Step("reduce_sum", (1,), axis), Step("sqrt", (2,))),
        model(Step("exp", (0,)), Step("reduce_sum", (1,), axis), Step("log", (2,))),
        model(
            Step("exp", (0,)),
            Step("reduce_sum", (1,), {"axis": 1, "keepdims": True}),
            Step("divide", (1, 2)),
            Step("square", (3,)),
        ),
    ]
    models.append(
        model(
            Step("square", (0,)),
            Step("reduce_sum", (1,), axis),
            Step("multiply", (2, 0.5)),
        )
    )
    for name in ("reduce_max", "reduce_min"):
        twice = Step("concat", (0, 0), {"axis": 1})
        models.append(model(twice, Step(name, (1,), axis)))
    square = Step("matmul", (0, 0), {"a": False, "b": True})
    diagonal = Step("einsum", (1,), {"subscripts": "ii->i"})
    models.append(model(square, diagonal, Step("square", (2,))))
    for exclusive in (False, True):
        running = Step("cumprod", (0,), {"axis": 1, "exclusive": exclusive, "reverse": False})
        models.append(model(running, Step("sin", (1,))))
        models.append(replace(models[-1], order=2))
    for branches in ((1, 0.5), (0.5, 1)):
        chosen = Step("where", (2, *branches))
        models.append(model(Step("square", (0,)), Step("greater", (0, 0.5)), chosen, _SIN))
    lengths = [Step("square", (0,)), Step("reduce_sum", (1,), axis)]
    models.append(model(*lengths, Step("argmax", (0,), {"axis": 1}), Step("multiply", (2, 3))))
    models.append(model(Step("stop_gradient", (0,)), Step("multiply", (0, 1))))
    return models


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
        original = vars(one)["adjoint"]

        def adjoint(self: Any, program: Any, position: int, *rest: Any, original=original) -> Any:
            share = original(self, program, position, *rest)
            if share is not None or isinstance(self, StopGradient):
                note(("adjoint", type(self).__name__, min(position, 1)))
            return share

        monkeypatch.setattr(one, "adjoint", adjoint)

    added = Builder.add

    def add(self: Builder, value: Any, *rest: Any, **named: Any) -> int:
        tensor = added(self, value, *rest, **named)
        if isinstance(value, Primitive):
            kinds = [self[operand].type.dtype for operand in value.operands]
            for at, kind in enumerate(kinds):
                met_as = (kind, self[tensor].type.dtype)
                note(("kind", type(value).__name__, min(at, 1), met_as))
        return tensor

    monkeypatch.setattr(Builder, "add", add)

    def watch(module: Any, name: str, key: Callable[..., Key | None]) -> None:
        def way(found: Any, *arguments: Any) -> Any:
            made = key(found, *arguments)
            if made is not None:
                note(made)
            return found

        _wrapped(module, name, way)(monkeypatch)

    watch(differentiation, "_edges", lambda *_: ("edges",))
    watch(differentiation, "_total", lambda _, p, t, shares: ("total",) if shares[1:] else None)
    watch(
        differentiation,
        "_share_of_extremum",
        lambda _, program, tensor, *__: ("extremum", program[tensor].value.reduction),
    )
    for module, name in [*DOUBLED, (stabilisation, "_around_peak"), (contraction, "_contracted")]:
        watch(
            module,
            name,
            lambda found, *arguments, name=name: (
                None if found is None or found in arguments else ("function", name)
            ),
        )
    rewritten = rules.rewritten

    def recorded(body: sp.Expr) -> Any:
        found = rewritten(body)
        for name in found[1]:
            note(("rule", name))
        return found

    monkeypatch.setattr(stabilisation, "rewritten", recorded)


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
        with pytest.MonkeyPatch.context() as monkeypatch:
            forget()
            mutant.patch(monkeypatch)
            for judge in itertools.chain(meeting, _further(mutant)):
                if verdict.caught and (enough or verdict.tried >= len(meeting)):
                    break
                verdict.tried += 1
                verdict.caught += not judge.accepts()
        forget()
        found.append(verdict)
    return found


def _further(mutant: Mutant) -> Iterator[Judge]:
    """More graphs with the operation of a rule that none has noticed yet."""
    name = mutant.rule[1] if len(mutant.rule) > 1 else None
    if name in OPERATIONS:
        for seed in range(100, 120):
            yield Judge(random_model(seed, 1, [name]))


def main() -> int:
    start = time.perf_counter()
    judges = [met(model) for model in aimed_models(8)]
    verdicts = judged(judges, enough=False)
    for one in verdicts:
        mark = "caught " if one.caught else "SURVIVES"
        print(f"{mark} by {one.caught:3} of {one.tried:3} graphs   {one.mutant.name}")
    survivors = sum(not one.caught for one in verdicts)
    seconds = time.perf_counter() - start
    print(f"{len(verdicts)} mutants, {survivors} survive, {len(judges)} graphs, {seconds:.0f} s")
    return min(survivors, 1)


if __name__ == "__main__":
    sys.exit(main())
