"""What made a module wrong: the rule without which it is right, or the stage after which it is not.

Rules are left out one by one, then in pairs, then all. If none of them is it, the program after
each stage is evaluated at the point: wrong in many digits is wrong algebra; right in digits and
wrong in floats loses them; and where the last program is right, printing or layout is wrong.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations

import numpy as np

from symflow.compilation import Compilation
from symflow.modules import Generated
from symflow.program import Program
from symflow.stabilisation import Rewrite
from symflow.validation.calling import Functions
from symflow.validation.comparison import Verdict, judged
from symflow.validation.floats import Floats
from symflow.validation.values import Deviation, Reference, deviation
from symflow.validation.written import derived, evaluated, truth

MOST_IN_PAIRS = 6
"""Rules of which pairs are left out."""

DIGITS = 120

LONGEST = 200
"""Characters of a formula that is shown."""

CLOSE = 1e-12
"""How close a stage's program must come in many digits; it holds numbers of 53 bits."""


def blamed(compilation: Compilation, reference: Reference, found: Deviation, own: bool) -> str:
    """A line that names the rule or the stage.

    own  whether the module is the compiler's own, and not one that is said to be
    """
    if not own and _passes(compilation, reference, found):
        return "the compiler: the module is not what the compiler makes of this model"
    applied = compilation.rewrites()
    rules = list(dict.fromkeys(one.rule for one in applied))
    for names in _selections(rules):
        if _passes(compilation.leaving_out(names), reference, found):
            return _named(names, applied)
    return _stage(compilation, reference, found)


def _selections(rules: Sequence[str]) -> Iterator[tuple[str, ...]]:
    for rule in rules:
        yield (rule,)
    if 2 < len(rules) <= MOST_IN_PAIRS:
        yield from combinations(rules, 2)
    if len(rules) > 1:
        yield tuple(rules)


def _passes(compilation: Compilation, reference: Reference, found: Deviation) -> bool:
    """Whether the module of a run of the compiler is right where another is not."""
    functions = Functions(compilation, Generated.compiled(compilation).module)
    for name, results in functions.results(reference.point.inputs):
        if name != found.result.function or isinstance(results, Exception):
            continue
        for one in results:
            if (one.output, one.array) == (found.result.output, found.result.array):
                compared = deviation(reference, one)
                return isinstance(compared, Deviation) and not compared.problem
    return False


def _named(names: Sequence[str], applied: Sequence[Rewrite]) -> str:
    if len(names) > 2:
        return f"rules: one of {', '.join(names)}; without all of them it is right"
    told = []
    for name in names:
        one = next(one for one in applied if one.rule == name)
        where = f"{one.origin}: " if one.origin else ""
        shown = f": {one.before}  →  {one.after}"
        told.append(f"{name}: {where}{one.tensor}{shown if len(shown) <= LONGEST else ''}")
    both = "the rules " if len(names) > 1 else "the rule "
    return both + " and ".join(told)


def _stage(compilation: Compilation, reference: Reference, found: Deviation) -> str:
    stages = {
        "stabilise": compilation.stages["differentiate"],
        "simplify": compilation.stages["simplify"],
    }
    for name, program in stages.items():
        problem = _problem(program, reference, found)
        if problem:
            return f"the stage {name}: {problem}; no rule is recorded for it"
    return "printing or layout: after the last stage the program is right"


def _problem(program: Program, reference: Reference, found: Deviation) -> str:
    """What is wrong with an output of the program of a stage at a point."""
    output = found.result.output
    only = derived(Program(program.definitions, {output: program.outputs[output]}))
    inputs = reference.point.inputs
    true = reference.truth(DIGITS)[output]
    digits = evaluated(only, inputs, DIGITS)[output]
    exact = truth(digits, digits)
    at = found.entry
    if not true.finite[at]:
        return "" if np.isfinite(float(digits[at])) else "not finite"
    off = abs(exact.nearest[at] - true.nearest[at])
    if not off <= CLOSE * max(true.largest, 1e-300):
        return "wrong in many digits"
    runs = {name: np.asarray(value)[None] for name, value in inputs.items()}
    floats = Floats([False], np.random.default_rng(0)).outputs(only, runs)[output][0]
    verdict = judged(floats, true, reference.runs[output]).verdicts[at]
    return "right in many digits, wrong in floats" if verdict != Verdict.RIGHT else ""
