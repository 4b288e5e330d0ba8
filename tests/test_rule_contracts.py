"""Every rule in every context is no worse than what was written; a rule that is gets found.

pytest tests/test_rule_contracts.py --long --update-generated     all of it, and the table
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from functools import cache

import numpy as np
import pytest
import rule_contexts
import sympy as sp
from conftest import ROOT
from rule_contexts import Case, compared

from symflow import rules, signs
from symflow.arithmetic import undistributed
from symflow.program import slot
from symflow.rows import equal, where
from symflow.rules import RULES, Rule
from symflow.signs import NOTHING, Facts, Range, allowed
from symflow.validation.floats import Floats

MOST_RATIO = 10.0
"""The errors of the naive code that a rule may make, beside 4 ulp."""

EVERY, EVERY_LONG = 30, 6
"""One context in so many is tried, and each rule alone; with `--long`, and to make the table, all.
Which ones is decided by their own names: a new rule changes nothing for the others."""

PAGE = ROOT / "docs" / "stability.md"
BEGIN, END = "<!-- contexts -->\n", "<!-- end of contexts -->\n"


@cache
def by_rule() -> dict[str, list[Case]]:
    found: dict[str, list[Case]] = defaultdict(list)
    for case in rule_contexts.cases():
        found[case.rule].append(case)
    return found


def sampled(name: str, every: int) -> list[Case]:
    """The rule alone, and some of its contexts."""
    first, *others = by_rule()[name]
    return [first, *(one for one in others if one.digest % every == 0)]


@pytest.fixture(scope="session")
def every(long: bool, pytestconfig: pytest.Config) -> int:
    if pytestconfig.getoption("--update-generated"):
        return 1
    return EVERY_LONG if long else EVERY


NAMES = [rule.name for rule in RULES if rule.name not in rule_contexts.TRAINING]
MEASURED: dict[str, tuple[int, float]] = {}
"""In how many contexts a rule was tried, and the worst ratio there."""


def test_every_rule_has_contexts() -> None:
    """New rules are taken in by themselves; one that is no pattern needs an example."""
    assert not [name for name in NAMES if not by_rule()[name]]


@pytest.mark.parametrize("name", ["log-exp-minus-one", "atanh", "log-sinh", "conjugate"])
def test_points_are_where_the_left_side_is_a_number(name: str) -> None:
    """Half of those drawn without regard for it are not."""
    for case in by_rule()[name][::7]:
        usable = rule_contexts._usable(case.left, case.points())
        assert np.mean(usable == 2) > 0.7, case.id


def test_a_rule_is_tried_where_it_was_whatever_others_there_are(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    alone = [rule for rule in RULES if rule.name == "norm"]
    before = {case.id: case.points() for case in by_rule()["norm"]}
    monkeypatch.setattr(rule_contexts, "RULES", alone)
    for case in rule_contexts.cases():
        for name, column in case.points().items():
            np.testing.assert_array_equal(column, before[case.id][name])


@pytest.mark.parametrize("name", NAMES)
def test_a_rule_is_no_worse_than_what_was_written(name: str, every: int) -> None:
    faults = []
    worst = 0.0
    for case in sampled(name, every):
        found = compared(case)
        worst = max(worst, found.worst)
        faults += [f"{case.id}: {fault}" for fault in found.faults[:3]]
    MEASURED[name] = len(sampled(name, every)), worst
    assert not faults, "\n".join(["", *faults[:20]])
    assert worst <= MOST_RATIO


def test_the_table_of_contexts(every: int) -> None:
    """docs/stability.md has the largest errors that were found in all contexts."""
    before, _, rest = PAGE.read_text("utf-8").partition(BEGIN)
    table, _, after = rest.partition(END)
    if every == 1 and len(MEASURED) == len(NAMES):
        head = "| rule | contexts | worst ratio |\n|---|---|---|\n"
        table = head + "".join(
            f"| `{name}` | {MEASURED[name][0]} | {MEASURED[name][1]:.1f} |\n" for name in NAMES
        )
        PAGE.write_text(f"{before}{BEGIN}{table}{END}{after}", "utf-8")
    rows = [line.strip("| ").split(" | ") for line in table.splitlines()[2:]]
    assert [row[0].strip("`") for row in rows] == NAMES
    assert all(float(row[2]) <= MOST_RATIO for row in rows)


# --- the engine proves what it divides by -------------------------------------------------------

_x, _y = sp.Wild("x"), sp.Wild("y")
a, b = slot(0), slot(1)


def test_a_rule_that_divides_by_what_may_be_zero_is_not_taken() -> None:
    """Right as algebra, and 0 / 0 at x = 0."""
    rule = Rule("unproven", sp.atan(_x), 2 * sp.atan((sp.sqrt(1 + _x**2) - 1) / _x), "")
    assert rule.applied(sp.atan(a), sp.atan(a)) is None
    assert rule.applied(sp.atan(a), sp.atan(a), Facts((Range(low=1.0),))) is not None
    assert rule.applied(sp.atan(sp.cosh(a)), sp.atan(a)) is not None


def test_without_the_proof_the_contexts_find_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """The rule of the issue: 1 - w²·x² as w²·(1/w² - x²)."""
    broken = Rule(
        "broken",
        1 - _x**2 * _y**2,
        _y**2 * (1 / _y - _x) * (1 / _y + _x),
        "",
        phase="computed",
        provided=lambda bound, body: bound[_x].is_Symbol and bound[_y].is_Symbol,
    )
    context = rule_contexts.CONTEXTS["root"]
    case = rule_contexts._case("broken", "root", (1 - a**2 * b**2), context)
    for table in (RULES, (broken, *RULES)):
        with monkeypatch.context() as patch:
            _forget()
            patch.setattr(rules, "RULES", table)
            if table is not RULES:
                assert not compared(case, _without_squares()).faults  # not taken
                patch.setattr(rules, "allowed", lambda before, after, facts: True)
                _forget()
            found = compared(case, _without_squares())
            assert bool(found.faults) == (table is not RULES)
    _forget()


def _without_squares() -> rule_contexts.Rules:
    names = ("difference-of-squares", "one-minus-square", "difference-of-computed-squares")
    return rule_contexts.Rules(frozenset(names))


def _forget() -> None:
    for one in (rules._rewritten, rules.applicable, rules._applicable_at, rules.may_apply):
        one.cache_clear()


# --- ranges ---------------------------------------------------------------------------------------

BODIES = {
    "1 + exp": (1 + sp.exp(a), Range(low=1.0)),
    "a root": (sp.sqrt(1 + a**2), Range(low=1.0)),
    "an inverse": (1 / (1 + a**2), Range(0.0, 1.0)),
    "an exponential underflows": (sp.exp(a), Range(low=0.0)),
    "a product of squares underflows": (a**2 * b**2, Range(low=0.0)),
    "a guarded number": (where(equal(a, 0), 1, a), Range(nonzero=True)),
    "hyperbolic": (sp.cosh(a) + sp.tanh(a), Range(low=0.0)),
}


@pytest.mark.parametrize("name", BODIES)
def test_ranges(name: str) -> None:
    body, expected = BODIES[name]
    found = NOTHING.range(body)
    assert found.within(expected)
    assert found.zero_free == expected.zero_free or name == "hyperbolic"


@undistributed
def _drawn(random: np.random.Generator, depth: int) -> sp.Expr:
    """An expression of two slots."""
    if depth == 0:
        return [a, b, sp.Integer(1), sp.Rational(1, 2), -a][int(random.integers(5))]
    one, other = (_drawn(random, depth - 1) for _ in range(2))
    forms = [one + other, one * other, one - other, one**2, sp.exp(one), sp.tanh(one), 1 + one**2]
    forms += [
        sp.cosh(one),
        rules.abs_(one),
        sp.sqrt(1 + one**2),
        1 / (2 + sp.cos(one)),
        sp.atan(one),
    ]
    forms += [rules.sigmoid(one), rules.expm1(one), rules.softplus(one), sp.sin(one) + other]
    return sp.sympify(forms[int(random.integers(len(forms)))])


def test_ranges_hold_at_random() -> None:
    """Values of random expressions, in floats, are within what is said of them."""
    random = np.random.default_rng(0)
    read = [random.normal(size=200) * 10.0 ** random.integers(-8, 4, 200) for _ in range(2)]
    read[0][:5], read[1][:3] = 0.0, 0.0
    known = 0
    for depth in itertools.chain(*([1, 2, 3] for _ in range(60))):
        body = _drawn(random, depth)
        if not body.free_symbols:
            continue
        with np.errstate(all="ignore"):
            values = np.ravel(Floats([False], random)._body(body, [one[None] for one in read]))
        values = values[~np.isnan(values)]
        found = NOTHING.range(body)
        known += found != signs.ANY
        slack = 1e-12 * np.abs(values)
        assert np.all(values >= found.low - slack), (body, found)
        assert np.all(values <= found.high + slack), (body, found)
        assert not found.zero_free or np.all(values != 0), (body, found)
    assert known > 60


def test_what_is_allowed() -> None:
    root = sp.sqrt(a + 1) - sp.sqrt(a)
    assert allowed(root, 1 / (sp.sqrt(a + 1) + sp.sqrt(a)))
    assert not allowed(sp.sqrt(a + b) - sp.sqrt(a), b / (sp.sqrt(a + b) + sp.sqrt(a)))
    assert allowed(1 / a - 1 / b, (b - a) / (a * b))
    assert not allowed(a - b, (a**2 - b**2) / (a + b))
    assert allowed(sp.tan(a) - sp.tan(b), sp.sin(a - b) / (sp.cos(a) * sp.cos(b)))
