"""The tables of a report: what was rewritten, what it costs, and what the gradient check found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import sympy as sp

from symflow.checking import check
from symflow.compilation import Compilation
from symflow.errors import SymflowError
from symflow.report.buffers import Workspace
from symflow.report.costs import cost, count_text, counted, total
from symflow.report.entries import Entry
from symflow.report.listing import Span
from symflow.report.picture import Link
from symflow.results import cells
from symflow.rules import RULES
from symflow.stabilisation import Rewrite

MOST = 600
"""Entries of all parameters that are tested, or a few more: a report must not take minutes."""

LEAST = 2
"""Entries of each parameter that are tested, however many parameters there are."""


# --- rewrites --------------------------------------------------------------------------------


@dataclass(frozen=True)
class Application:
    """One rewrite: its tensor, its model line, the formula before and after."""

    tensor: Link
    line: Link | None
    before: str
    after: str


@dataclass(frozen=True)
class Rule:
    """A rule that was taken: its equation, what goes wrong without it, where it is from."""

    name: str
    equation: str
    why: tuple[Span, ...]
    source: str
    applications: tuple[Application, ...]


def rules(run: Compilation, entries: Sequence[Entry]) -> tuple[Rule, ...]:
    """What the compiler rewrote, by rule."""
    applied = list(dict.fromkeys(run.rewrites()))
    known = {one.definition.label.name: one for one in entries}
    found: list[Rule] = []
    for rule in RULES:
        mine = [one for one in applied if one.rule == rule.name]
        if mine:
            applications = tuple(_application(one, known, run.model.source) for one in mine)
            found.append(Rule(rule.name, rule.equation, prose(rule.why), rule.source, applications))
    return tuple(found)


def prose(text: str) -> tuple[Span, ...]:
    """A text with code between backticks, as runs of both."""
    parts = text.split("`")
    return tuple(Span(part, "code" if at % 2 else "") for at, part in enumerate(parts) if part)


def _application(one: Rewrite, known: dict[str, Entry], source: str) -> Application:
    entry, origin = known.get(one.tensor), one.origin
    line = None
    if origin is not None:
        line = Link(str(origin), f"m{origin.line}" if origin.file == source else "")
    anchor = "" if entry is None else entry.anchor
    return Application(Link(one.tensor, anchor), line, one.before, one.after)


# --- operations, bytes and buffers -----------------------------------------------------------


@dataclass(frozen=True)
class Total:
    """Of the forward or the backward half."""

    name: str
    tensors: str
    operations: str
    bytes: str


@dataclass(frozen=True)
class BufferView:
    name: str
    shape: str
    bytes: str
    holds: str


@dataclass(frozen=True)
class Budget:
    """rows  of a block, or "" where there are no blocks
    ratio    operations of the gradient for each of the loss, for many rows; "" if it has none
    """

    totals: tuple[Total, ...]
    ratio: str
    uncounted: tuple[Link, ...]
    buffers: tuple[BufferView, ...]
    workspace: str
    rows: str


def budget(entries: Sequence[Entry], memory: Workspace, dtype: str) -> Budget:
    """What the program costs as a whole, and what memory the module keeps."""
    width = np.dtype(dtype).itemsize
    top = [one for one in entries if counted(one)]
    halves = [
        ("forward", [one for one in top if not one.backward]),
        ("backward", [one for one in top if one.backward]),
    ]
    totals: list[Total] = []
    sums: list[sp.Expr] = []
    for name, half in halves:
        costs = [cost(one, width) for one in half]
        sums.append(sp.expand(total(one.operations for one in costs)))
        totals.append(
            Total(
                name,
                f"{len(half):,}",
                count_text(sums[-1]),
                count_text(total(one.bytes for one in costs)),
            )
        )
    unknown = [one for one in top if cost(one, width).operations is None]
    held = None if memory.entries is None else memory.entries * width
    return Budget(
        tuple(one for one in totals if one.tensors != "0"),
        _ratio(*sums),
        tuple(Link(one.name, one.anchor, one.kind) for one in unknown),
        tuple(
            BufferView(
                one.name,
                one.shape,
                "" if one.entries is None else size_text(one.entries * width),
                ", ".join(one.holds),
            )
            for one in memory.buffers
        ),
        "" if held is None or not memory.buffers else size_text(held),
        f"{memory.rows:,}" if memory.rows else "",
    )


def _ratio(forward: sp.Expr, backward: sp.Expr) -> str:
    """Backward for each forward operation, where all open sizes are large."""
    sizes = forward.free_symbols | backward.free_symbols
    large = dict.fromkeys(sizes, sp.Integer(10**6))
    below = forward.xreplace(large)
    return f"{float(backward.xreplace(large) / below):.1f}" if below != 0 and backward != 0 else ""


def size_text(count: int) -> str:
    """Bytes in the unit that people use for so many."""
    number = float(count)
    for unit in ("bytes", "KiB", "MiB"):
        if number < 1024:
            return f"{number:,.0f} {unit}" if unit == "bytes" else f"{number:,.1f} {unit}"
        number /= 1024
    return f"{number:,.1f} GiB"


# --- the check -------------------------------------------------------------------------------


@dataclass(frozen=True)
class Check:
    """What `symflow check` finds: head and rows of its table, reasons for what is wrong.

    message  in place of a table where there is none
    """

    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    reasons: tuple[str, ...]
    message: str
    ok: bool


def check_table(run: Compilation) -> Check:
    """The gradients of a model against numeric derivatives."""
    if run.model.loss is None or not run.trainable:
        return Check((), (), (), "The model has no gradients: there is nothing to check.", True)
    try:
        results = check(run, most=max(LEAST, MOST // len(run.trainable)))
    except SymflowError as error:
        return Check((), (), (), str(error), False)
    head, *rows = cells(results)
    reasons = tuple(f"{one.name}: {one.reason}" for one in results if one.reason is not None)
    return Check(head, tuple(rows), reasons, "", not reasons)


# --- in short --------------------------------------------------------------------------------


@dataclass(frozen=True)
class Fact:
    """A figure that stands at the top."""

    value: str
    label: str
    anchor: str


def facts(entries: Sequence[Entry], costs: Budget, found: Check) -> tuple[Fact, ...]:
    """The model in a few figures."""
    parameters = [one for one in entries if one.kind == "parameter"]
    numbers = count_text(total(sp.Mul(*one.definition.type.shape) for one in parameters))
    top = sum(1 for one in entries if len(one.path) == 1)
    result = [Fact(f"{top:,}", "tensors", "tensors")]
    if parameters:
        several = "parameters" if len(parameters) > 1 else "parameter"
        result.append(Fact(numbers, f"numbers in {len(parameters)} {several}", "parameters"))
    if costs.totals:
        result.append(Fact(costs.totals[0].operations, "operations forward", "cost"))
    if costs.ratio:
        result.append(Fact(costs.ratio, "operations, backward : forward", "cost"))
    if costs.workspace:
        result.append(Fact(costs.workspace, "kept as buffers", "cost"))
    if found.rows:
        wrong = len(found.reasons)
        verdict = f"{wrong} wrong" if wrong else f"all {len(found.rows)} right"
        result.append(Fact(verdict, "gradients checked", "check"))
    return tuple(result)
