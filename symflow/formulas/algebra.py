"""SymPy expressions as trees: signs taken out, factors above and below, terms in a good order."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

import sympy as sp

from symflow.bodies import common_number
from symflow.elementwise import ROWS, Opaque
from symflow.formulas.tree import (
    UNIT,
    ZERO,
    Big,
    Call,
    Cases,
    Entry,
    Fenced,
    Name,
    Negative,
    Not,
    Number,
    Partial,
    Power,
    Product,
    Quantity,
    Quotient,
    Relation,
    Root,
    Sum,
    Tree,
    parts,
)
from symflow.notation import number_text
from symflow.program import LARGEST_DENOMINATOR

_AS_DEFINED = frozenset(
    {"log1p", "expm1", "hypot", "log1mexp", "logaddexp", "xlogy", "xlogx", "exp_over_expm1"}
    | {"pow", "root_of_squares", "difference_of_squares", "log_cosh"}
    | {"exprel", "log1prel", "sinc", "xlog1py", "masked_product", "masked_quotient"}
    | {"hill", "hill_slope"}
)
"""Operations that are there for their digits alone; what they compute is easier to read."""

_RELATIONS: Mapping[str, Callable[[Tree, Tree], Tree]] = {
    "greater": lambda x, y: Relation(x, ">", y),
    "greater_equal": lambda x, y: Relation(x, "≥", y),
    "less": lambda x, y: Relation(x, "<", y),
    "less_equal": lambda x, y: Relation(x, "≤", y),
    "equal": lambda x, y: Relation(x, "=", y),
    "not_equal": lambda x, y: Relation(x, "≠", y),
    "logical_and": lambda x, y: Relation(x, "∧", y),
    "logical_or": lambda x, y: Relation(x, "∨", y),
    "logical_xor": lambda x, y: Relation(x, "⊕", y),
}
_FUNCTIONS = {"maximum": "max", "minimum": "min", "clip_by_value": "clip"}


def tree(expression: sp.Expr, operands: Mapping[sp.Symbol, Tree]) -> Tree:
    """An expression with trees in place of some symbols."""
    return _Reader(operands).tree(expression)


class _Reader:
    def __init__(self, operands: Mapping[sp.Symbol, Tree]) -> None:
        self.operands = operands

    def tree(self, expression: sp.Expr) -> Tree:
        if isinstance(expression, sp.Symbol):
            return self.operands.get(expression) or Name(expression.name)
        if isinstance(expression, sp.Rational) and expression.q != 1:
            return self._rational(expression)
        if expression.is_number and expression.is_Number:
            return number(expression)
        if isinstance(expression, sp.Add):
            return self._sum(expression)
        if isinstance(expression, sp.Mul):
            coefficient, rest = expression.as_coeff_Mul()
            factors = [] if coefficient == 1 else [self.tree(coefficient)]
            return times([*factors, *map(self.tree, sp.Mul.make_args(rest))])
        if isinstance(expression, sp.Pow):
            return self._power(expression.base, expression.exp)
        if isinstance(expression, Opaque):
            return self._operation(expression)
        return self._function(expression)

    def _rational(self, value: sp.Rational) -> Tree:
        """0.01 as it is, a third as a fraction."""
        if len(number_text(abs(value))) <= 8 or value.q > LARGEST_DENOMINATOR:
            return number(value)
        above = number(sp.Integer(abs(value.p)))
        return _signed(value.p < 0, over(above, number(sp.Integer(value.q))))

    def _sum(self, expression: sp.Add) -> Tree:
        size = common_number(expression)
        if size == 1:
            return plus([self.tree(term) for term in expression.args])
        inner = self.tree(sp.Add(*(term / size for term in expression.args)))
        return times([self.tree(size), inner])

    def _power(self, base: sp.Expr, exponent: sp.Expr) -> Tree:
        if exponent.is_Number and exponent < 0:
            return over(UNIT, self._power(base, -exponent))
        if exponent == 1:
            return self.tree(base)
        if exponent.is_Rational and exponent.p == 1:
            return Root(self.tree(base), int(exponent.q))
        return Power(self.tree(base), self.tree(exponent))

    def _operation(self, expression: Opaque) -> Tree:
        name = type(expression).row.name
        if name in _AS_DEFINED:
            return self._as_defined(name, expression.args)
        arguments = [self.tree(one) for one in expression.args]
        if name == "where":
            return _cases(*arguments)
        if name == "to_float":
            return truth(arguments[0])
        if name in _RELATIONS:
            return _RELATIONS[name](*arguments)
        if name == "logical_not":
            return Not(arguments[0])
        if name in ("abs", "floor", "ceil"):
            return Fenced(name, arguments[0])  # type: ignore[arg-type]
        return Call(_FUNCTIONS.get(name, name), tuple(arguments))

    def _as_defined(self, name: str, arguments: Sequence[sp.Expr]) -> Tree:
        inner: dict[sp.Symbol, Tree] = {}
        operands: list[sp.Expr] = []
        for argument in arguments:
            operands.append(argument if argument.is_number else sp.Dummy(real=True))
            if not argument.is_number:
                inner[operands[-1]] = self.tree(argument)
        return tree(ROWS[name].maths(*operands), inner)

    def _function(self, expression: sp.Expr) -> Tree:
        if expression is sp.pi:
            return Name("π")
        if expression is sp.E:
            return Call("exp", (UNIT,))
        if isinstance(expression, sp.Abs):
            return Fenced("abs", self.tree(expression.args[0]))
        if isinstance(expression, (sp.floor, sp.ceiling)):
            kind = "floor" if isinstance(expression, sp.floor) else "ceil"
            return Fenced(kind, self.tree(expression.args[0]))  # type: ignore[arg-type]
        arguments = tuple(self.tree(one) for one in expression.args)
        return Call(type(expression).__name__, arguments)


def number(value: sp.Expr) -> Tree:
    """A number as people write it: 1 for 1.0."""
    size = abs(value)
    if size == sp.oo:
        return _signed(bool(value < 0), Name("∞"))
    whole = float(size).is_integer() and size < 2**53
    return _signed(bool(value < 0), Number(number_text(sp.Integer(size) if whole else size)))


def truth(tree: Tree) -> Tree:
    """A condition as a number."""
    if isinstance(tree, Relation) and tree.operator == "=" and tree.left == tree.right:
        return UNIT
    return Fenced("indicator", tree) if is_condition(tree) else tree


def is_condition(tree: Tree) -> bool:
    return isinstance(tree, (Relation, Not)) or (
        isinstance(tree, Big) and tree.kind in ("any", "all")
    )


def _cases(condition: Tree, yes: Tree, no: Tree) -> Tree:
    if yes == no or (condition == Relation(yes, ">", ZERO) and _is_positive(yes)):
        return yes
    if isinstance(no, Cases):
        return Cases(((yes, condition), *no.branches), no.otherwise)
    return Cases(((yes, condition),), no)


def _is_positive(tree: Tree) -> bool:
    """Whether it is a sum of exponentials, which is 0 in rounding only."""
    body = tree.body if isinstance(tree, Big) and tree.kind == "sum" else tree
    return isinstance(body, Call) and body.function == "exp"


def _signed(negative: bool, tree: Tree) -> Tree:
    return minus(tree) if negative else tree


def minus(tree: Tree) -> Tree:
    if isinstance(tree, Negative):
        return tree.inside
    if isinstance(tree, Sum) and any(isinstance(term, Negative) for term in tree.terms):
        return plus([minus(term) for term in tree.terms])
    return tree if tree == ZERO else Negative(tree)


def plus(terms: Sequence[Tree]) -> Tree:
    """A sum; terms that are sums are opened."""
    flat: list[Tree] = []
    for term in map(truth, terms):
        flat.extend(term.terms if isinstance(term, Sum) else [term])
    flat = _numbers_as_one([term for term in flat if term != ZERO])
    if not flat:
        return ZERO
    if len(flat) == 1:
        return flat[0]
    return Sum(tuple(sorted(flat, key=_term_order)))


def _numbers_as_one(terms: Sequence[Tree]) -> list[Tree]:
    rest = [term for term in terms if _value(term) is None]
    values = [value for term in terms if (value := _value(term)) is not None]
    if len(values) < 2:
        return list(terms)
    total = sp.Add(*values)
    return [*rest, number(total)] if total != 0 else rest


def _value(term: Tree) -> sp.Rational | None:
    if isinstance(term, Negative):
        value = _value(term.inside)
        return None if value is None else -value
    return sp.Rational(term.text) if isinstance(term, Number) else None


def _term_order(term: Tree) -> tuple[object, ...]:
    """What is subtracted last, numbers after names, what has more factors and indices before."""
    negative = isinstance(term, Negative)
    inside = term.inside if isinstance(term, Negative) else term
    factors = len(inside.factors) if isinstance(inside, Product) else 1
    many = len(set(_indices(inside)))
    return negative, isinstance(inside, Number), not _has_big(inside), -factors, -many


def _has_big(tree: Tree) -> bool:
    return isinstance(tree, Big) or (
        isinstance(tree, (Product, Quotient)) and any(map(_has_big, parts(tree)))
    )


def times(factors: Sequence[Tree]) -> Tree:
    """A product: signs in front, fractions as one, numbers as one, Σ last."""
    negative = False
    above: list[Tree] = []
    below: list[Tree] = []
    pending = [truth(factor) for factor in factors]
    while pending:
        factor = pending.pop(0)
        if isinstance(factor, Negative):
            negative = not negative
            pending.insert(0, factor.inside)
        elif isinstance(factor, Product):
            pending[:0] = factor.factors
        elif isinstance(factor, Quotient):
            pending.insert(0, factor.above)
            below.extend(_factors(factor.below))
        else:
            above.append(factor)
    if ZERO in above:
        return ZERO
    return _signed(negative, _fraction(_in_order(above), _in_order(below)))


def over(above: Tree, below: Tree) -> Tree:
    """A fraction of what may be fractions."""
    if isinstance(below, Negative):
        return minus(over(above, below.inside))
    if isinstance(below, Quotient):
        return times([above, Quotient(below.below, below.above)])
    return times([above, Quotient(UNIT, below)]) if below != UNIT else above


def summed(over: Sequence[Tree], body: Tree) -> Tree:
    """Σ of a body, and in front of it the numbers and sizes by which every term is multiplied."""
    if isinstance(body, Negative):
        return minus(summed(over, body.inside))
    above: list[Tree] = []
    below: list[Tree] = []
    for factor in _factors(body):
        above += _factors(factor.above if isinstance(factor, Quotient) else factor)
        below += _factors(factor.below) if isinstance(factor, Quotient) else ()

    def varies(factor: Tree) -> bool:
        return not isinstance(factor, (Number, Name)) or factor in over

    inner = _fraction([one for one in above if varies(one)], [one for one in below if varies(one)])
    outer = _fraction(
        [one for one in above if not varies(one)], [one for one in below if not varies(one)]
    )
    return times([outer, Big("sum", tuple(over), truth(inner))])


def _fraction(above: Sequence[Tree], below: Sequence[Tree]) -> Tree:
    """What is summed stands behind the fraction that it is multiplied by."""
    shared = [factor for factor in above if factor in below]
    for factor in shared:
        if factor in below:
            above, below = _without(above, factor), _without(below, factor)
    bigs = [factor for factor in above if isinstance(factor, Big)]
    rest = [factor for factor in above if not isinstance(factor, Big)]
    if below and bigs and all(isinstance(factor, Number) for factor in rest):
        return Product((Quotient(_product(rest), _product(below)), *bigs))
    return Quotient(_product(above), _product(below)) if below else _product(above)


def _without(factors: Sequence[Tree], factor: Tree) -> Sequence[Tree]:
    at = list(factors).index(factor)
    return [*factors[:at], *factors[at + 1 :]]


def _factors(tree: Tree) -> Sequence[Tree]:
    return tree.factors if isinstance(tree, Product) else (tree,)


def _product(factors: Sequence[Tree]) -> Tree:
    if not factors:
        return UNIT
    return factors[0] if len(factors) == 1 else Product(tuple(factors))


def _in_order(factors: Sequence[Tree]) -> list[Tree]:
    """Numbers as one in front, then by the first index: x[i, k] before w[k, j]."""
    numbers = [factor for factor in factors if isinstance(factor, Number)]
    rest = [factor for factor in factors if not isinstance(factor, Number)]
    total = sp.Mul(*(sp.Rational(one.text) for one in numbers))
    front = [] if total == 1 else [Number(number_text(total))]
    return [*front, *sorted(rest, key=_factor_order)]


def _factor_order(factor: Tree) -> tuple[object, ...]:
    rank = 0 if isinstance(factor, Name) else 1
    if isinstance(factor, Partial) or (
        isinstance(factor, Entry) and isinstance(factor.base, Partial)
    ):
        rank = 2
    if isinstance(factor, Fenced) and factor.kind == "indicator":
        rank = 3
    if isinstance(factor, Big):
        rank = 4
    return rank, min(_indices(factor), default="")


def names_in(tree: Tree) -> Iterator[str]:
    """All indices and sizes in a tree."""
    if isinstance(tree, Name):
        yield tree.name
    for part in parts(tree):
        yield from names_in(part)


def _indices(tree: Tree) -> list[str]:
    """The names of the indices in a tree."""
    if isinstance(tree, Entry):
        return [name for index in tree.indices for name in index_names(index)]
    if isinstance(tree, (Quantity, Partial, Number)):
        return []
    return [name for part in parts(tree) for name in _indices(part)]


def index_names(index: Tree) -> list[str]:
    """The letters in an index, as i and j in x[2·i + j]."""
    if isinstance(index, Name):
        return [index.name]
    return [name for part in parts(index) for name in index_names(part)]
