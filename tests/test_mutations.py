"""Every derivative rule and every rewrite rule, broken in turn: each must be noticed.

`python tests/mutants.py` (`make mutants`) says by how many graphs.
"""

from __future__ import annotations

import subprocess
import sys
from collections import Counter

import mutants
from broken_derivatives import primitives
from broken_rewrites import is_tested_elsewhere
from mutants import all_mutants

from symflow.rows import ROWS
from symflow.rules import RULES
from symflow.running import RunningMaximum


def test_every_mutant_is_caught() -> None:
    """In a process of its own, with which all ends that anything remembers of broken rules."""
    command = [sys.executable, mutants.__file__, "--once"]
    run = subprocess.run(command, capture_output=True, text=True)
    survivors = [line for line in run.stdout.splitlines() if line.startswith("SURVIVES")]
    assert not survivors
    assert run.returncode == 0, run.stderr
    assert " mutants, 0 survive" in run.stdout


def test_every_rule_has_its_mutants() -> None:
    made = all_mutants()
    assert len(made) > 780
    broken = Counter(one.rule[:2] for one in made)
    for row in ROWS.values():
        kinds = broken["partial", row.name] + broken["derivative", row.name]
        assert kinds or row.result in ("bool", "int") or row.name == "to_float", row.name
    for one in primitives():
        asked = one is not RunningMaximum  # which is read behind StopGradient alone
        assert broken["adjoint", one.__name__] or not asked, one.__name__
    for rule in RULES:
        assert broken["rule", rule.name] >= 3 or is_tested_elsewhere(rule), rule.name
    names = [one.name for one in made]
    assert len(set(names)) == len(names)
