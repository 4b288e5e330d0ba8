"""Every derivative rule and every rewrite rule, broken in turn: each must be noticed.

`python tests/mutants.py` (`make mutants`) says by how many graphs.
"""

from __future__ import annotations

from collections import Counter

import pytest
from aimed_models import aimed_models
from broken_derivatives import primitives
from broken_rewrites import is_tested_elsewhere
from mutants import Judges, all_mutants, judged, met

from symflow.rows import ROWS
from symflow.rules import RULES


@pytest.fixture(scope="module")
def judges() -> Judges:
    return [met(model) for model in aimed_models()]


def test_every_mutant_is_caught(judges: Judges) -> None:
    verdicts = judged(judges)
    survivors = [one.mutant.name for one in verdicts if not one.caught]
    assert not survivors, f"{len(survivors)} of {len(verdicts)} mutants survive"
    print(f"{len(verdicts)} mutants, all caught")
    assert len(verdicts) > 780


def test_every_rule_has_its_mutants() -> None:
    mutants = all_mutants()
    broken = Counter(one.rule[:2] for one in mutants)
    for row in ROWS.values():
        kinds = broken["partial", row.name] + broken["derivative", row.name]
        assert kinds or row.result in ("bool", "int") or row.name == "to_float", row.name
    for one in primitives():
        assert broken["adjoint", one.__name__], one.__name__
    for rule in RULES:
        assert broken["rule", rule.name] >= 3 or is_tested_elsewhere(rule), rule.name
    names = [one.name for one in mutants]
    assert len(set(names)) == len(names)
