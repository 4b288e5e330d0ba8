"""What a broken rule must not satisfy, and no graph is drawn for: small checks, written by hand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import mpmath
import numpy as np
import sympy as sp
from aimed_models import instance_of

import symflow as sf
from symflow import rules
from symflow.elementwise import Elementwise, Opaque
from symflow.graph import apply
from symflow.program import slot


@dataclass
class ByHand:
    """What no graph is drawn for."""

    check: Callable[[], bool]

    def accepts(self) -> bool:
        try:
            return self.check()
        except Exception:
            return False


def third_derivative_of_determinant() -> bool:
    """By the direction of the second one, which is linear in it: [[a, b], [c, d]] has the
    cofactors [[d, -c], [-b, a]]."""
    direction = np.array([[0.3, -0.7], [1.1, 0.4]])
    weights = np.array([[0.5, 2.0], [-1.0, 0.25]])
    with sf.Graph().as_default():
        matrix, moved = sf.Variable(np.array([[1.0, 2.0], [-0.5, 3.0]])), sf.Variable(direction)
        (cofactors,) = sf.gradients(sf.matrix_determinant(matrix), [matrix])
        (slope,) = sf.gradients(sf.reduce_sum(moved * cofactors), [matrix])
        (found,) = sf.gradients(sf.reduce_sum(weights * slope), [moved])
        (a, b), (c, d) = weights
        return bool(np.allclose(sf.Session().run(found), [[d, -c], [-b, a]], rtol=1e-12))


def both_sides_agree(rule: rules.Rule) -> bool:
    """A body and what the rules make of it, in numbers."""
    if rule.structural or rule.name == "exp-product":
        return True
    pattern = instance_of(rule)
    wilds = sorted(pattern.atoms(sp.Wild), key=str)
    body = pattern.xreplace({one: slot(at) for at, one in enumerate(wilds)})
    at = next(at for at, one in enumerate(rules.RULES) if one.name == rule.name)
    after = rules.RULES[at].applied(body, body)
    values = {slot(number): sp.Float(0.3 + 0.2 * number, 30) for number in range(len(wilds))}
    return bool(abs(_number(body, values) - _number(after, values)) < 1e-9)


def _number(body: sp.Expr, values: dict[sp.Symbol, sp.Expr]) -> sp.Expr:
    if not body.args:
        return values.get(body, body)
    arguments = [_number(one, values) for one in body.args]
    found = body.row.maths(*arguments) if isinstance(body, Opaque) else body.func(*arguments)
    return sp.N(found, 30)


def slopes_of_row(row: Elementwise) -> bool:
    """By its floating operands, against what 30 digits give of its mathematics."""
    places = (0.23, 0.61, 0.87)
    points = [  # of operands that differ, where the domains are equal
        [low + at * (high - low) for at in np.roll(places, number)]
        for number, (low, high) in enumerate(row.domain)
    ]
    with sf.Graph().as_default():
        operands = [sf.Variable(np.array(one)) for one in points]
        by = operands[row.result_from :]
        found = sf.Session().run(sf.gradients(sf.reduce_sum(apply(row, operands)), by))
    symbols = sp.symbols(f"x:{row.arity}")
    maths = sp.lambdify(symbols, row.maths(*symbols), "mpmath")
    with mpmath.workdps(30):
        for number, slopes in enumerate(found, row.result_from):
            order = tuple(int(at == number) for at in range(row.arity))
            wanted = [float(mpmath.diff(maths, at, order)) for at in zip(*points, strict=True)]
            if not np.allclose(slopes, wanted, rtol=1e-9, atol=0):
                return False
    return True


def masked_cross_entropy() -> bool:
    """-Σ w·log softmax(z) where -∞ is put in for the logit of what has no weight."""
    logits, weights = np.array([0.3, -0.4, 1.1]), np.array([0.25, 0.75, 0.0])
    with sf.Graph().as_default():
        z = sf.Variable(logits)
        masked = sf.where(sf.constant([True, True, False]), z, -np.inf)
        loss = -sf.reduce_sum(sf.constant(weights) * sf.log_softmax(masked))
        found = sf.Session().run([loss, *sf.gradients(loss, [z])])
    total = np.exp(logits[:2]).sum()
    slopes = [*(np.exp(logits[:2]) / total - weights[:2]), 0.0]
    value = np.log(total) - logits[:2] @ weights[:2]
    return all(map(np.allclose, found, (value, slopes)))


def logarithm_beyond_the_guard() -> bool:
    """log(eˢ / (2 + y)) where eˢ overflows, or vanishes."""
    with sf.Graph().as_default():
        s, y = sf.placeholder(sf.float64, ("n",)), sf.placeholder(sf.float64, ())
        value = sf.log(sf.exp(s) / (2 + y))
        fetches = [value, *sf.gradients(value, [s, y])]
        found = sf.Session().run(fetches, {s: np.array([-760.0, 800.0]), y: 1.0})
    wanted = (np.array([-760.0, 800.0]) - np.log(3), [1.0, 1.0], -2 / 3)
    return all(map(np.allclose, found, wanted))
