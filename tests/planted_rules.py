"""Rules that are right as algebra, and wrong as numbers, with models that meet them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pytest
import sympy as sp

from symflow import rules, stabilisation
from symflow.elementwise import ROWS
from symflow.program import slots_of
from symflow.rules import Step

PLANTED = "planted"
"""The name of the rule."""

atan2, expm1, log1p, logaddexp, maximum, sigmoid, softplus = (
    ROWS[name]
    for name in ["atan2", "expm1", "log1p", "logaddexp", "maximum", "sigmoid", "softplus"]
)
absolute = ROWS["abs"]
_x, _y = sp.Wild("x"), sp.Wild("y")
_LINE = 'x = sf.placeholder(shape=("n",), name="x")\n'


@dataclass(frozen=True)
class Case:
    """`left` → `right`, and a model with `left` in it."""

    left: Any
    right: Any
    model: str
    phase: Any = None


CASES: Mapping[str, Case] = {
    "a factor pulled out that may be zero": Case(
        1 - _x**2 * _y**2,
        _x**2 * (1 / _x - _y) * (_y + 1 / _x),
        _LINE + "w = sf.Variable(0.5)\nloss = sf.reduce_mean(sf.sqrt(1 - sf.square(w * x)))",
    ),
    "difference of squares before it is differentiated": Case(
        1 - _x**4,
        (1 - _x**2) * (1 + _x**2),
        "w = sf.Variable([0.5, 0.1])\nloss = sf.reduce_sum(sf.sqrt(1 - w ** 4))",
        "written",
    ),
    "the logarithm of a product": Case(
        sp.log(_x * _y),
        sp.log(_x) + sp.log(_y),
        "w = sf.Variable(0.5)\nv = sf.Variable(0.2)\nloss = sf.log(sf.tanh(w) * v)",
    ),
    "a root of a square": Case(
        sp.sqrt(1 + _x**2),
        _x * sp.sqrt(1 + 1 / _x**2),
        "w = sf.Variable([0.5, 0.1])\nloss = sf.reduce_sum(sf.sqrt(1 + w ** 2))",
    ),
    "a maximum by an absolute value": Case(
        maximum(_x, _y),
        (_x + _y + absolute(_x - _y)) / 2,
        _LINE + "w = sf.Variable(0.5)\nloss = sf.reduce_sum(sf.maximum(w, x) * sf.sin(x))",
    ),
    "softplus by hand": Case(
        softplus(_x),
        sp.log(1 + sp.exp(_x)),
        _LINE + "w = sf.Variable(0.5)\nloss = sf.reduce_mean(sf.softplus(w * x))",
        "computed",
    ),
    "the other side of a sigmoid": Case(
        sigmoid(-_x),
        1 - sigmoid(_x),
        _LINE + "w = sf.Variable(0.5)\nloss = sf.reduce_mean(sf.square(sf.sigmoid(-(w * x)) * x))",
    ),
    "expm1 by hand": Case(
        expm1(_x),
        sp.exp(_x) - 1,
        _LINE + "w = sf.Variable(0.5)\nloss = sf.reduce_sum(sf.square(sf.expm1(w * x)))",
    ),
    "log1p by its series": Case(
        log1p(_x),
        _x - _x**2 / 2,
        _LINE + "w = sf.Variable(0.5)\nloss = sf.reduce_sum(sf.log1p(sf.square(w * x)))",
    ),
    "tanh by exponentials": Case(
        sp.tanh(_x),
        (sp.exp(2 * _x) - 1) / (sp.exp(2 * _x) + 1),
        _LINE + "w = sf.Variable(0.5)\nloss = sf.reduce_sum(sf.square(sf.tanh(w * x)))",
    ),
    "logaddexp by hand": Case(
        logaddexp(_x, _y),
        sp.log(sp.exp(_x) + sp.exp(_y)),
        _LINE + "w = sf.Variable(0.5)\nloss = sf.reduce_mean(sf.logaddexp(w, x))",
        "computed",
    ),
    "a square multiplied out": Case(
        (_x - _y) ** 2,
        _x**2 - 2 * _x * _y + _y**2,
        _LINE + "w = sf.Variable(0.5)\nloss = sf.reduce_mean(sf.square(x - w))",
    ),
    "a root of a product": Case(
        sp.sqrt(_x * _y),
        sp.sqrt(_x) * sp.sqrt(_y),
        "w = sf.Variable(0.5)\nv = sf.Variable(0.2)\nloss = sf.sqrt(sf.tanh(w) * v)",
    ),
    "an angle by its tangent": Case(
        atan2(_x, _y),
        sp.atan(_x / _y),
        "w = sf.Variable(0.5)\nv = sf.Variable(0.2)\nloss = sf.atan2(w, v)",
    ),
}


def plant(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the compiler take the rule of a case wherever it can, and none that might mend it."""

    def rewritten(
        body: sp.Expr, phase: str | None, without: frozenset[str], facts: Any
    ) -> tuple[sp.Expr, tuple[Step, ...]]:
        if PLANTED in without or case.phase not in (None, phase):
            return original(body, phase, without - {PLANTED}, facts)
        for part in sp.preorder_traversal(body):
            bound = part.match(case.left) if isinstance(part, sp.Expr) and part.args else None
            if bound and all(slots_of(value) for value in bound.values()):
                after = case.right.xreplace(bound)
                return body.xreplace({part: after}), (Step(PLANTED, part, after),)
        return original(body, phase, without, facts)

    original: Any = stabilisation.rewritten
    monkeypatch.setattr(stabilisation, "rewritten", rewritten)
    monkeypatch.setattr(stabilisation, "may_apply", lambda *arguments: True)
    monkeypatch.setattr(rules, "NAMES", (*rules.NAMES, PLANTED))
