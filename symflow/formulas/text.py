"""Formulas as text: `hidden[i, j] = relu(Σ_k x[i, k]·w[k, j] + b[j])`."""

from __future__ import annotations

from functools import singledispatch

from symflow.formulas.tree import (
    Big,
    Call,
    Cases,
    Entry,
    Equation,
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
)

_SUPERSCRIPTS = str.maketrans("0123456789-", "⁰¹²³⁴⁵⁶⁷⁸⁹⁻")
_FENCES = {
    "abs": ("|", "|"),
    "floor": ("⌊", "⌋"),
    "ceil": ("⌈", "⌉"),
    "indicator": ("[", "]"),
    "norm": ("‖", "‖"),
}
_BIG = {"sum": "Σ", "product": "Π", "any": "∃", "all": "∀"}
_ROOTS = {2: "√", 3: "∛", 4: "∜"}

SPACE = "\N{NO-BREAK SPACE}"
"""Where a line must not be broken."""


def equation(equation: Equation) -> str:
    """An equation on one line."""
    return written(equation).replace(SPACE, " ")


def written(equation: Equation) -> str:
    """The same, with `SPACE` where it must not be broken into lines."""
    return f"{text(equation.left)}{SPACE}{equation.operator}{SPACE}{text(equation.right)}"


@singledispatch
def text(tree: Tree) -> str:
    raise AssertionError(f"{tree!r} has no text")


@text.register
def _(tree: Number) -> str:
    mantissa, e, exponent = tree.text.partition("e")
    return f"{mantissa}e{int(exponent)}" if e else tree.text


@text.register
def _(tree: Name) -> str:
    return tree.name


@text.register
def _(tree: Quantity) -> str:
    return f"d_{tree.name}" if tree.bar else tree.name


@text.register
def _(tree: Partial) -> str:
    return f"∂{tree.of}/∂{tree.by}"


@text.register
def _(tree: Entry) -> str:
    indices = f",{SPACE}".join(_tight(text(index)) for index in tree.indices)
    return f"{_atom(tree.base)}[{indices}]"


@text.register
def _(tree: Negative) -> str:
    return f"-{_factor(tree.inside)}"


@text.register
def _(tree: Sum) -> str:
    found = text(tree.terms[0])
    for term in tree.terms[1:]:
        if isinstance(term, Negative):
            found += f" -{SPACE}{_factor(term.inside)}"
        else:
            found += f" +{SPACE}{text(term)}"
    return found


@text.register
def _(tree: Product) -> str:
    *first, last = tree.factors
    parts = [*map(_inner_factor, first), _factor(last)]
    return "·".join(parts)


@text.register
def _(tree: Quotient) -> str:
    above, below = _factor(tree.above), tree.below
    return f"{above}{SPACE}/{SPACE}{_denominator(below)}"


@text.register
def _(tree: Power) -> str:
    base, exponent = _power_base(tree.base), text(tree.exponent)
    if exponent.lstrip("-").isdigit():
        return base + exponent.translate(_SUPERSCRIPTS)
    simple = isinstance(tree.exponent, (Number, Name, Quantity, Entry))
    return f"{base}^{exponent}" if simple else f"{base}^({exponent})"


@text.register
def _(tree: Root) -> str:
    inside = text(tree.inside)
    simple = isinstance(tree.inside, (Number, Name, Quantity, Entry))
    sign = _ROOTS.get(tree.degree)
    if sign is None:
        return f"{_power_base(tree.inside)}^(1/{tree.degree})"
    return f"{sign}{inside}" if simple else f"{sign}({inside})"


@text.register
def _(tree: Call) -> str:
    return f"{tree.function}({', '.join(map(text, tree.arguments))})"


@text.register
def _(tree: Fenced) -> str:
    left, right = _FENCES[tree.kind]
    return f"{left}{text(tree.inside)}{right}"


@text.register
def _(tree: Big) -> str:
    sign = _BIG.get(tree.kind, tree.kind)
    over = "".join(text(index) for index in tree.over)
    if tree.bound is not None:
        over += f"{tree.bound[0]}{_tight(text(tree.bound[1]))}"
    return f"{sign}_{over}{SPACE}{_factor(tree.body)}"


@text.register
def _(tree: Relation) -> str:
    left, right = (
        f"({text(one)})" if isinstance(one, (Relation, Not)) else text(one)
        for one in (tree.left, tree.right)
    )
    return f"{left}{SPACE}{tree.operator}{SPACE}{right}"


@text.register
def _(tree: Not) -> str:
    return f"¬({text(tree.inside)})"


@text.register
def _(tree: Cases) -> str:
    branches = [f"{text(value)} if {text(condition)}" for value, condition in tree.branches]
    return "{" + "; ".join([*branches, f"{text(tree.otherwise)} else"]) + "}"


def _tight(text: str) -> str:
    """An index without spaces: x[i+1]."""
    return text.replace(" ", "").replace(SPACE, "")


def _parenthesised(tree: Tree) -> str:
    return f"({text(tree)})"


def _factor(tree: Tree) -> str:
    """What stands last in a product, or under a Σ."""
    loose = isinstance(tree, (Sum, Negative, Relation))
    return _parenthesised(tree) if loose else text(tree)


def _inner_factor(tree: Tree) -> str:
    """What stands in a product with more behind it."""
    if isinstance(tree, Quotient):
        simple = all(isinstance(one, (Number, Name)) for one in (tree.above, tree.below))
        return _tight(text(tree)) if simple else _parenthesised(tree)
    return _parenthesised(tree) if isinstance(tree, Big) else _factor(tree)


def _denominator(tree: Tree) -> str:
    loose = isinstance(tree, (Product, Quotient))
    return _parenthesised(tree) if loose else _inner_factor(tree)


def _power_base(tree: Tree) -> str:
    loose = isinstance(tree, (Product, Quotient, Power, Root))
    return _parenthesised(tree) if loose else _inner_factor(tree)


def _atom(tree: Tree) -> str:
    return text(tree) if isinstance(tree, (Quantity, Partial, Call)) else _parenthesised(tree)
