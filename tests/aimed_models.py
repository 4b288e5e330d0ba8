"""Models that meet every derivative and every rule: small ones, most of them drawn at random."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import sympy as sp
from abstract_models import PREDICATES, Leaf, Model, Step
from graph_comparison import forward
from independent_numbers import FLOAT
from independent_operations import OPERATIONS
from random_graphs import available, random_model

from symflow import rules
from symflow.arithmetic import undistributed
from symflow.elementwise import Opaque
from symflow.program import slot

WITHOUT_SLOPE = PREDICATES | {"one_hot", "argmax"}
"""Operations that alone lead no derivative anywhere."""


def aimed_models(per_operation: int = 2) -> list[Model]:
    """Small models: each operation in a few, at both orders, and the left side of every rule."""
    found = [model for rule in rules.RULES if (model := model_of_rule(rule)) is not None]
    found += further_models()
    for name in OPERATIONS:
        if available(name) and name not in WITHOUT_SLOPE:
            found += [random_model(seed, 1, [name]) for seed in range(per_operation)]
            found += [random_model(seed, 2, [name]) for seed in range(per_operation // 2)]
            if name in OFTEN_SYMMETRIC:
                seeds = range(per_operation, 6 * per_operation)
                found += [random_model(seed, order, [name]) for seed in seeds for order in (1, 2)]
    return found


OFTEN_SYMMETRIC = (
    "gather_nd",
    "scatter_nd",
    "reduce_prod",
    "matrix_inverse",
    "matrix_determinant",
    "cholesky",
    "scan",
)
"""Of which few models notice entries that are turned round: axes of one entry, equal entries."""


_VALUES = np.array([0.7, 1.3, 0.4])
SCALES = (1.0, 0.3, -1.0, -0.3)


def model_of_rule(rule: rules.Rule) -> Model | None:
    """A model in which the rule applies; None where the rule has no pattern, or asks for more than
    its pattern says: such rules have their models in `rule_contexts.py`."""
    if rule.structural or rule.name == "exp-product":
        return None
    pattern = instance_of(rule)
    if pattern is None:
        return None
    for scale in SCALES:
        model = model_of(pattern, scale)
        with np.errstate(all="ignore"):
            found = forward(model, FLOAT, 0)
        if all(np.all(np.isfinite(part)) for part in found.parts.values()):
            return model
    raise AssertionError(f"{rule.name}: no values at which {pattern} is finite")


@undistributed
def instance_of(rule: rules.Rule) -> sp.Expr | None:
    """The left side with something for the Wild symbols of which the rule asks something."""
    for pattern in _instances(rule):
        wilds = sorted(pattern.atoms(sp.Wild), key=str)
        body = pattern.xreplace({one: slot(at) for at, one in enumerate(wilds)})
        if rule.applied(body, body) is not None:
            return pattern
    return None


def _instances(rule: rules.Rule) -> Iterator[sp.Expr]:
    a, b, c, d, k, p, w, y = (sp.Wild(name) for name in "abcdkpwy")
    plain = {one: sp.Wild(one.name) for one in rule.left.atoms(sp.Wild)}
    left = rule.left.xreplace(plain).xreplace({k: sp.S.Half, p: sp.Float(0.3)})
    if rule.says == "where one is a number":
        left = left.xreplace({y: sp.Integer(1)})
    if not rule.given:
        yield left
        yield left.xreplace({c: a + b})
        for one in sorted(left.atoms(sp.Wild), key=str):  # as -p, z / √2, w / x, a probability
            yield left.xreplace({one: -one})
            yield left.xreplace({one: w / one})
            yield left.xreplace({one: one / sp.sqrt(2)})
            yield left.xreplace({one: rules.sigmoid(one)})
    for difference in rule.given.values():
        for name, value, less in itertools.product(
            (a, b), (sp.Rational(1, 4), d, d**2), (b, sp.exp(b))
        ):
            found = next(iter(sp.solve(difference - value, name)), None)
            if found is None:
                continue
            yield left.subs({name: found, c: b - value}, simultaneous=True).subs(b, less)


def model_of(pattern: sp.Expr, scale: float = 1.0) -> Model:
    """A model whose loss is the sum of an expression, with a Variable for every Wild."""
    nodes: list[Leaf | Step] = []
    known: dict[sp.Expr, int | float] = {}
    conditions = {
        one.args[0]
        for one in pattern.atoms(Opaque)
        if one.row.name == "where" and isinstance(one.args[0], sp.Symbol)
    }

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
        if isinstance(one, sp.Symbol):
            values = scale * (_VALUES + len(nodes) / 8)
            leaf = np.array([1.0, -1.0, 0.5]) if one in conditions else values
            nodes.append(Leaf("Variable", leaf.shape, (leaf, leaf)))
            at = len(nodes) - 1
            return step("greater", at, 0.0) if one in conditions else at
        if isinstance(one, Opaque) and one.row.name == "hill":  # which rules write, and no user
            return put(one.row.maths(*one.args))
        parts = [put(part) for part in one.args]
        if isinstance(one, sp.Pow):
            named = POWERS.get(one.exp)
            return step("pow", *parts) if named is None else step(named, parts[0])
        if isinstance(one, (sp.Add, sp.Mul)):
            name = "add" if isinstance(one, sp.Add) else "multiply"
            total = parts[0]
            for part in parts[1:]:
                total = step(name, total, part)
            return total
        name = one.row.name if isinstance(one, Opaque) else type(one).__name__
        return step("sqrt" if name == "root_of_squares" else name, *parts)

    end = step("sin", put(pattern))
    step("reduce_sum", end, axis=None, keepdims=False)
    model = Model(tuple(nodes), (1, 1), ())
    reached = model.reached()
    by = tuple(one for one in reached if isinstance(nodes[one], Leaf))
    return replace(model, by=by)


POWERS = {sp.Integer(-1): "reciprocal", sp.Integer(2): "square", sp.S.Half: "sqrt"}

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
    mean = {"axis": 1, "keepdims": False}
    models.append(  # the variance, as it is not to be computed
        model(
            Step("square", (0,)),
            Step("reduce_mean", (1,), mean),
            Step("reduce_mean", (0,), mean),
            Step("square", (3,)),
            Step("subtract", (2, 4)),
            Step("sin", (5,)),
        )
    )
    models.append(  # exponentials that SymPy joins
        model(
            Step("sin", (0,)),
            Step("exp", (0,)),
            Step("exp", (1,)),
            Step("multiply", (2, 3)),
            Step("sin", (4,)),
        )
    )
    models.append(  # a branch that may fail
        model(
            Step("square", (0,)),
            Step("greater", (1, 0.5)),
            Step("log", (1,)),
            Step("where", (2, 3, 0)),
            Step("sin", (4,)),
        )
    )
    weights = Leaf("Variable", (2, 3), (1 + values**2, 1 + values**2))
    weighted = (Step("exp", (0,)), Step("multiply", (1, 2)), Step("reduce_sum", (3,), axis))
    ends = (Step("log", (4,)), Step("sin", (5,)), Step("reduce_sum", (6,), total))
    models.append(Model((leaf, weights, *weighted, *ends), (1, 1), (0, 1)))
    for reverse in (False, True):
        along = {"axis": 1, "exclusive": False, "reverse": reverse}
        running = Step("cumsum", (1,), along)
        models.append(model(Step("exp", (0,)), running, Step("log", (2,)), Step("sin", (3,))))
    count = Leaf("Variable", (2, 3), (values**2 + 1, values**2 + 1))
    rising = (  # of which both operands are differentiated, and twice
        *(count, Step("square", (0,)), Step("add", (1, 2)), Step("lgamma", (1,))),
        *(Step("lgamma", (3,)), Step("subtract", (5, 4)), Step("sin", (6,))),
    )
    for order in (1, 2):
        ends = Step("reduce_sum", (7,), total)
        models.append(Model((leaf, *rising, ends), (1, 1), (0, 1), order=order))
    models += _masked_models()
    regular = Leaf("Variable", (3, 3), (_REGULAR, _REGULAR))
    plain = {"a": False, "b": False}
    for steps in (
        [Step("matrix_determinant", (0,)), Step("log", (1,))],
        [Step("matrix_inverse", (0,)), Step("sin", (0,)), Step("matmul", (1, 2), plain)],
        [Step("matrix_inverse", (0,)), Step("sin", (0,)), Step("matmul", (2, 1), plain)],
    ):
        end = Step("sin", (len(steps),))
        weighted = Step("multiply", (len(steps) + 1, 0))
        total_of_all = Step("reduce_sum", (len(steps) + 2,), total)
        models.append(Model((regular, *steps, end, weighted, total_of_all), (1, 1), (0,)))
    determinant = Step("matrix_determinant", (0,))
    models.append(Model((regular, determinant, Step("sin", (1,))), (1, 1), (0,), order=2))
    return models


def _masked_models() -> list[Model]:
    """Slopes of slopes in which a zero keeps an infinite factor out: by x, √(c·x) has the masked
    product of c and 1 / (2√(c·x)), and max(log(c·x), -5) a masked quotient."""
    factor, values = np.array([0.7, 0.4, 1.3]), np.array([0.3, 1.2, 0.8])
    leaves = tuple(Leaf("Variable", (3,), (one, one)) for one in (factor, values))
    total = {"axis": None, "keepdims": False}
    root = (Step("multiply", (0, 1)), Step("sqrt", (2,)), Step("reduce_sum", (3,), total))
    floor = (
        *(Step("multiply", (0, 1)), Step("log", (2,)), Step("maximum", (3, -5.0))),
        Step("reduce_sum", (4,), total),
    )
    return [Model((*leaves, *steps), (1, 1), (0, 1), order=2) for steps in (root, floor)]


_REGULAR = np.array([[2.0, 0.5, -0.3], [-0.8, 1.5, 0.2], [0.1, -0.6, 2.5]])
