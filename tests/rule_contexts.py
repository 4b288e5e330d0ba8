"""Every rule where users may have it: contexts made by machine, and the points to try them at.

A rule's left side is filled with variables, with products, quotients and differences of them, so
that what a difference must leave is left; then it stands alone, in a longer sum, times a factor
that may be 0, beneath a logarithm, a root, a fraction line, in a branch. Rules on several kernels
have an example each.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import reduce
from operator import add
from typing import Any

import numpy as np
import sympy as sp
from numpy.typing import NDArray
from written import FAR, Comparison, Model

import symflow as sf
from symflow.arithmetic import undistributed
from symflow.elementwise import Opaque
from symflow.program import slot, slots_of
from symflow.rows import ROWS
from symflow.rules import RULES, Rule
from symflow.signs import Facts
from symflow.stabilisation import Rules
from symflow.validation.floats import Floats

Array = NDArray[Any]
Tensor = Any

# --- left sides as graphs ------------------------------------------------------------------------


def graph_of(expression: sp.Expr, operands: Mapping[sp.Symbol, Tensor]) -> Tensor:
    """An expression as a user writes it, with sums and products from left to right."""

    def build(part: sp.Expr) -> Tensor:
        return graph_of(part, operands)

    if isinstance(expression, sp.Symbol):
        return operands[expression]
    if not expression.free_symbols:
        return float(expression)
    if isinstance(expression, sp.Add):
        first, *rest = sorted(expression.args, key=lambda one: one.could_extract_minus_sign())
        total = build(first)
        for term in rest:
            minus = term.could_extract_minus_sign()
            total = total - build(-term) if minus else total + build(term)
        return total
    if isinstance(expression, sp.Mul):
        above, below = expression.as_numer_denom()
        if below != 1:
            return build(above) / build(below)
        if expression.args[0] == -1:
            return -build(-expression)
        first, *rest = expression.args
        product = build(first)
        for factor in rest:
            product = product * build(factor)
        return product
    if isinstance(expression, sp.Pow):
        return _power(expression, build)
    if isinstance(expression, Opaque) and not hasattr(sf, type(expression).__name__):
        return build(expression.row.maths(*expression.args))  # which users do not name
    function = getattr(sf, type(expression).__name__)
    return function(*map(build, expression.args))


def _power(expression: sp.Pow, build: Callable[[sp.Expr], Tensor]) -> Tensor:
    base, exponent = expression.args
    if exponent.is_number and exponent.is_negative:
        return 1.0 / build(base**-exponent)
    if exponent == sp.Rational(1, 2):
        return sf.sqrt(build(base))
    if exponent == 2:
        return sf.square(build(base))
    if exponent.is_number:
        return build(base) ** (int(exponent) if exponent.is_Integer else float(exponent))
    return sf.pow(build(base), build(exponent))


# --- fillings ------------------------------------------------------------------------------------

x, y, u, v, w, t = (slot(number) for number in range(6))
VARIABLES = {x: "x", y: "y", u: "u", v: "v", w: "w", t: "t"}
"""The first four may stand in a left side; `w` is a factor of them, and `t` one of the whole."""

_FILLS = (
    x,
    y,
    x + 1,
    x + y,
    x - y,
    x + sp.Rational(3, 10),
    x + 2,
    x**2 + y,
    x**2 + 1,
    x * y,
    sp.Integer(2),
    -x,
    1 / y,
    -x / sp.sqrt(2),
)
_FILLS_OF = {"log-of-choice": (ROWS["sigmoid"](x), ROWS["exp"](x - y), y, ROWS["ndtr"](-x))}
"""Of rules that look at functions for which a Wild symbol stands."""
_EXPONENTS = {
    "k": (sp.Rational(1, 2), sp.Rational(-3, 4)),
    "p": (sp.Rational(3, 8), sp.Rational(-5, 8)),
}
"""Which are floats: of others, what is rounded counts as often as log x has it."""
TRIES = 3000


@undistributed
def instances(rule: Rule, most: int = 3) -> list[sp.Expr]:
    """The left side with expressions for its Wild symbols, such that the rule applies."""
    wilds = sorted(rule.left.atoms(sp.Wild), key=str)
    conditions = {part.args[0] for part in rule.left.atoms(sp.Function) if _chooses(part)}
    fills = _FILLS_OF.get(rule.name, _FILLS)
    choices = [
        (_condition(u),) if wild in conditions else _EXPONENTS.get(wild.name, fills)
        for wild in wilds
    ]
    apart = iter((x, y, v, w))
    plain = [next(apart) if some is _FILLS else some[0] for some in choices]
    filled = [plain, *itertools.product(*choices)]
    if len(filled) > TRIES:
        random = np.random.default_rng(0)
        filled = [
            plain,
            *([some[random.integers(len(some))] for some in choices] for _ in range(TRIES)),
        ]
    found: dict[sp.Expr, None] = {}
    for one in filled:
        left = rule.left.xreplace(dict(zip(wilds, one, strict=True)))
        if left.free_symbols and left not in found and rule.applied(left, left, GIVEN) is not None:
            found[left] = None
        if len(found) == most:
            break
    return list(found)


def _chooses(part: sp.Expr) -> bool:
    return type(part).__name__ == "where"


def _condition(of: sp.Expr) -> sp.Expr:
    return ROWS["greater"](of, 0)


GIVEN = Facts(given=frozenset(range(len(VARIABLES))))
"""That all slots read inputs."""

FORMS: dict[str, Callable[[sp.Symbol], sp.Expr]] = {
    "variables": lambda one: one,
    "products": lambda one: one * w,
    "quotients": lambda one: one / w,
    "differences": lambda one: one - w,
}

Context = Callable[[Tensor, Mapping[str, Tensor]], Tensor]

CONTEXTS: dict[str, Context] = {
    "alone": lambda z, of: z,
    "times t": lambda z, of: of["t"] * z,
    "over t": lambda z, of: z / of["t"],
    "in a sum": lambda z, of: of["t"] + z,
    "subtracted": lambda z, of: of["t"] - z,
    "times w, in a sum": lambda z, of: of["w"] * z + of["t"],
    "times x": lambda z, of: of["x"] * z,
    "logarithm": lambda z, of: sf.log(z),
    "root": lambda z, of: sf.sqrt(z),
    "reciprocal": lambda z, of: 1.0 / z,
    "exponential": lambda z, of: sf.exp(z),
    "square": lambda z, of: sf.square(z),
    "taken": lambda z, of: sf.where(of["t"] > 0.0, z, of["x"]),
    "not taken": lambda z, of: sf.where(of["t"] > 0.0, of["x"] * of["t"], z),
}

_TRIED: Mapping[str, Iterable[str]] = {
    "variables": CONTEXTS,
    "products": ("alone", "times t", "times x", "logarithm", "root"),
    "quotients": ("alone", "times t", "times x"),
    "differences": ("alone", "times t"),
}
"""The contexts of the first filling of a rule, in each form; others are tried in two."""

# --- rules on several kernels --------------------------------------------------------------------

ROWS_OF = 3
"""Entries of `x` and `y` along the axis that a structural rule sums over."""

Structure = Callable[[Tensor, Tensor, Tensor], Tensor]


def _mean(z: Tensor) -> Tensor:
    return sf.reduce_mean(z, 1)


STRUCTURES: dict[str, tuple[Structure, ...]] = {
    "log-sum-exp": (
        lambda x, y, t: sf.log(sf.reduce_sum(sf.exp(x), 1)),
        lambda x, y, t: sf.reduce_sum(y * sf.log(sf.softmax(x)), 1),
        lambda x, y, t: t + sf.log(sf.reduce_sum(y * sf.exp(x), 1)),
    ),
    "log-cumsum-exp": (
        lambda x, y, t: sf.reduce_sum(y * sf.log(sf.cumsum(sf.exp(x), 1)), 1),
        lambda x, y, t: t * sf.reduce_sum(sf.log(sf.cumsum(sf.exp(x - y), 1, reverse=True)), 1),
    ),
    "softmax": (
        lambda x, y, t: sf.reduce_sum(
            y * sf.exp(x) / sf.reduce_sum(sf.exp(x), 1, keepdims=True), 1
        ),
        lambda x, y, t: sf.reduce_sum(y * sf.log(y / sf.softmax(x)), 1),
        lambda x, y, t: sf.reduce_sum(y * (sf.log(y) - sf.log(sf.softmax(x))), 1),
    ),
    "exp-product": (
        lambda x, y, t: sf.exp(x[:, 0]) * sf.exp(y[:, 0]) * t,
        lambda x, y, t: sf.exp(x[:, 0]) / sf.exp(y[:, 0]) + t,
    ),
    "variance": (
        lambda x, y, t: _mean(sf.square(x)) - sf.square(_mean(x)),
        lambda x, y, t: t * sf.exp(_mean(x) * _mean(x) - _mean(x * x)) + y[:, 0],
    ),
    "norm": (
        lambda x, y, t: sf.sqrt(sf.reduce_sum(sf.square(x), 1)),
        lambda x, y, t: t * sf.sqrt(x[:, 0] ** 2 + y[:, 0] ** 2),
        lambda x, y, t: 1.0 / (t + sf.sqrt(sf.reduce_sum(sf.square(x - y), 1))),
    ),
    "log-determinant": (
        lambda x, y, t: sf.log(sf.matrix_determinant(_matrix(x, y))),
        lambda x, y, t: t * sf.log(sf.matrix_determinant(_matrix(x, y))),
    ),
    "solve": (
        lambda x, y, t: (sf.matrix_inverse(_matrix(x, y)) @ sf.expand_dims(y[:, :2], -1))[:, 0, 0],
        lambda x, y, t: (
            t * (sf.matrix_inverse(_matrix(y, x)) @ sf.expand_dims(x[:, 1:], -1))[:, 1, 0]
        ),
    ),
    "affine-contraction": (
        lambda x, y, t: sf.reduce_sum(_MIXED * (x[:, None, :] - _CENTRES), (1, 2)) * t,
        lambda x, y, t: sf.reduce_sum(y[:, :, None] * (x[:, None, :] - _CENTRES), (1, 2)) + t,
    ),
    "reciprocal": (
        lambda x, y, t: 1.0 / (1.0 / t) + x[:, 0],
        lambda x, y, t: x[:, 0] / (1.0 / t),
        lambda x, y, t: 1.0 / (1.0 / (t * x[:, 0])) - y[:, 0],
    ),
    "safe-where": (
        lambda x, y, t: sf.where(t > 0.0, sf.sqrt(t), x[:, 0]),
        lambda x, y, t: y[:, 0] * sf.where(t > 0.0, x[:, 0] / t, 1.0),
        lambda x, y, t: sf.where(t <= 0.0, x[:, 0], y[:, 0] * sf.log(t)),
    ),
    "masked-logit": (
        lambda x, y, t: sf.reduce_sum(_masked(y, 0.0) * sf.log_softmax(_masked(x)), 1),
        lambda x, y, t: t + sf.reduce_sum(sf.softmax(_masked(x)) * sf.log_softmax(_masked(y)), 1),
    ),
}
"""Examples of rules that are no patterns: of two matrices and a column, a number per row."""

_CENTRES = np.array([[0.5, -1.0, 2.0], [1.5, 0.25, -0.75], [0.0, 3.0, 1.0]])
_MIXED = np.array([[1.0, -2.0, 0.5], [0.75, 1.0, -1.0], [0.25, 0.5, 2.0]])
TRAINING = {"quadratic-loss", "loop-invariant"}
"""Rules of `train`, which is compared with the plain loop elsewhere."""


def _masked(x: Tensor, by: float = -np.inf) -> Tensor:
    """The last entry of every row is taken out."""
    return sf.where(sf.constant([*[True] * (ROWS_OF - 1), False]), x, by)


def _matrix(x: Tensor, y: Tensor) -> Tensor:
    """A matrix that is far from singular for all x and y."""
    return sf.stack([sf.tanh(x[:, :2]), sf.tanh(y[:, :2])], 1) + 2.5 * np.eye(2)


# --- models --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Case:
    """A rule in a context: what is computed from which variables, one number per row.

    left  the rule's left side as it is filled, of the slots of `VARIABLES`; 0 if it is no pattern
    """

    rule: str
    name: str
    build: Callable[[Mapping[str, Tensor]], Tensor] = field(repr=False)
    widths: Mapping[str, int | None]
    left: sp.Expr = sp.S.Zero

    @property
    def id(self) -> str:
        return f"{self.rule}: {self.name}"

    @property
    def digest(self) -> int:
        """A number that the rule's name and the context decide, and no other rule."""
        return int.from_bytes(hashlib.sha256(self.id.encode()).digest()[:8], "big")

    def points(self) -> dict[str, Array]:
        """Where the rule is tried: points at which its left side is a number, as far as may be."""
        drawn = [
            {name: way(one) for name, one in points(self.widths, self.digest + number).items()}
            for number, way in enumerate(WAYS)
        ]
        if self.left == 0:
            return drawn[0]
        usable = np.stack([_usable(self.left, one) for one in drawn])
        best = usable.argmax(axis=0)
        some = usable.max(axis=0) > 0
        at = best[some], np.flatnonzero(some)
        return {name: np.stack([one[name] for one in drawn])[at] for name in self.widths}

    def model(self, rules: Rules | None = None) -> Model:
        """The value, its gradient and the gradient of a sum of that, by all variables.

        In that sum the slopes have factors, or those by x and w would cancel where x - w is read.
        """
        with sf.Graph().as_default():
            of = {
                name: sf.placeholder(sf.float64, ("n",) if width is None else ("n", width), name)
                for name, width in self.widths.items()
            }
            value = self.build(of)
            fetches = {"value": value}
            total = sf.reduce_sum(value)
            for degree in (1, 2):
                slopes = {name: _slope(total, one) for name, one in of.items()}
                known = {name: one for name, one in slopes.items() if one is not None}
                if not known:
                    break
                fetches |= {f"d{degree}_{name}": one for name, one in known.items()}
                terms = zip(WEIGHTS, known.values(), strict=False)
                total = reduce(add, (weight * sf.reduce_sum(one) for weight, one in terms))
            return Model(fetches, rules)


WEIGHTS = (1.0, 0.625, -1.75, 0.875, -0.375, 1.5)
"""Of the slopes by each variable, in the sum that is differentiated again."""


def _slope(total: Tensor, by: Tensor) -> Tensor | None:
    """A derivative, where there is one: a total may depend on some variables in conditions."""
    try:
        return sf.gradients(total, by)[0]
    except sf.SymflowError:
        return None


def cases(most: int = 3) -> Iterator[Case]:
    """All rules in all contexts."""
    for rule in RULES:
        if rule.structural:
            yield from _structural(rule)
        else:
            yield from _on_bodies(rule, most)


def _on_bodies(rule: Rule, most: int) -> Iterator[Case]:
    for number, left in enumerate(instances(rule, most)):
        for form, way in FORMS.items():
            filled = _filled(left, way)
            if number and form != "variables":
                continue
            for context in ("alone", "times t") if number else _TRIED[form]:
                around = CONTEXTS[context]
                yield _case(rule.name, f"{number}, {form}, {context}", filled, around)


@undistributed
def _filled(left: sp.Expr, way: Callable[[sp.Symbol], sp.Expr]) -> sp.Expr:
    return left.xreplace({one: way(one) for one in (x, y, v)})


def _case(rule: str, name: str, filled: sp.Expr, around: Context) -> Case:
    def build(of: Mapping[str, Tensor]) -> Tensor:
        operands = {symbol: of[name] for symbol, name in VARIABLES.items() if name in of}
        return around(graph_of(filled, operands), of)

    read = {VARIABLES[slot(number)] for number in slots_of(filled)}
    read |= {"t"} if " t" in name or "sum" in name or "sub" in name or "taken" in name else set()
    read |= {"w"} if "times w" in name else set()
    read |= {"x"} if "times x" in name or "taken" in name else set()
    return Case(rule, name, build, {one: None for one in VARIABLES.values() if one in read}, filled)


def _structural(rule: Rule) -> Iterator[Case]:
    for number, build in enumerate(STRUCTURES.get(rule.name, ())):
        widths = {"x": ROWS_OF, "y": ROWS_OF, "t": None}
        for context in ("alone", "times t", "reciprocal", "taken"):
            around = CONTEXTS[context]

            def built(
                of: Mapping[str, Tensor], build: Structure = build, around: Context = around
            ) -> Tensor:
                return around(build(of["x"], of["y"], of["t"]), {**of, "x": of["t"]})

            yield Case(rule.name, f"{number}, {context}", built, widths)


# --- points --------------------------------------------------------------------------------------

SPECIAL = (
    *(0.0, 1.0, -1.0, 2.0, 30.0, -800.0, 800.0, 1e6, 1e-9, -1e-9),
    *(1e40, -1e40, 1e-40, 1e150, -1e150, 1e-300),
)
_NEAR = tuple(one for one in SPECIAL if one == 0 or 1 / FAR < abs(one) < FAR)
_PAIRS = (0.0, 1.0, -1e-9, 1e6)

WAYS: tuple[Callable[[Array], Array], ...] = (
    lambda drawn: drawn,
    lambda drawn: drawn,
    lambda drawn: -drawn,
    lambda drawn: drawn / (1.0 + np.abs(drawn)),
    lambda drawn: -drawn / (1.0 + np.abs(drawn)),
)
"""What is made of a point, which is drawn anew each time, until there is a number."""

_POLES, _TURNS, _TIMES = (-30.0, np.inf), (-1e15, 1e15), (-300.0, 300.0)
REACH = {
    **dict.fromkeys(("lgamma", "digamma", "polygamma"), _POLES),
    **dict.fromkeys(("sin", "cos", "tan"), _TURNS),
    "pow": _TIMES,
}
"""The operands of which there is anything to say: mpmath walks by ones from where poles of the
gamma function are to where there are none, an angle that is rounded by a turn has no digits, and
what is rounded in the base of a power counts as often as its exponent has it."""


def points(widths: Mapping[str, int | None], seed: int = 0) -> dict[str, Array]:
    """Values of variables, a row per point: random, special one by one and in pairs, equal and
    almost equal ones."""
    random = np.random.default_rng(seed)
    names = list(widths)
    found: list[dict[str, float]] = []

    def draw(positive: bool) -> dict[str, float]:
        drawn = {name: float(random.normal()) for name in names}
        return {name: abs(one) for name, one in drawn.items()} if positive else drawn

    found += [draw(number % 2 == 0) for number in range(12)]
    for name in names:
        found += [{**draw(way), name: value} for value in SPECIAL for way in (True, False)]
    for first, second in itertools.combinations(names, 2):
        found += [
            {**draw(True), first: one, second: other}
            for one, other in itertools.product(_PAIRS, _PAIRS)
        ]
        for a in (0.7, 1e-9, 12.5, 1e6 / 3):
            found.append({**draw(True), first: a, second: a})
            found.append({**draw(True), first: a, second: a * (1 + 1e-9)})
    found += [dict.fromkeys(names, value) for value in SPECIAL if value in _NEAR]
    columns = {name: np.array([one[name] for one in found]) for name in names}
    return {
        name: column if widths[name] is None else _beside(column, widths[name] or 0, random)
        for name, column in columns.items()
    }


def _beside(column: Array, width: int, random: np.random.Generator) -> Array:
    """A row of entries for each value: the value itself among others, or in all of them."""
    rows = random.normal(size=(len(column), width))
    rows[:, 0] = column
    rows[::3] = column[::3, None]
    return rows


def _usable(left: sp.Expr, feed: Mapping[str, Array]) -> Array:
    """Of every point: 2 if an expression is a number there, if an infinite one, 1 if it is none, 0
    if that cannot be said."""
    slots = [feed.get(name, np.zeros(1))[None] for name in VARIABLES.values()]
    floats, count = Floats([False], np.random.default_rng(0)), len(next(iter(feed.values())))

    def at_points(part: sp.Expr) -> Array:
        return np.broadcast_to(floats._body(part, slots), (1, count))[0]

    with np.errstate(all="ignore"):
        found = np.where(np.isnan(at_points(left)), 1, 2)
        for part in sp.preorder_traversal(left):
            if type(part).__name__ in REACH:
                (least, most), operand = REACH[type(part).__name__], at_points(part.args[-1])
                found = np.where((operand < least) | (operand > most), 0, found)
    return found


def compared(case: Case, rules: Rules | None = None) -> Comparison:
    return Comparison(case.model(rules), case.points())
