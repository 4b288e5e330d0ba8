r"""Formulas as LaTeX: `\mathrm{hidden}_{i,j} = \tanh\left(\sum_{k} x_{i,k}\, w_{k,j}\right)`.

What is written here needs amsmath and nothing else.
"""

from __future__ import annotations

import re
from functools import singledispatch

from symflow.formulas.spelling import LATEX_GREEK, spelling
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
    parts,
)

_FENCES = {
    "abs": (r"\lvert ", r"\rvert "),
    "floor": (r"\lfloor ", r"\rfloor "),
    "ceil": (r"\lceil ", r"\rceil "),
    "indicator": ("[", "]"),
    "norm": (r"\lVert ", r"\rVert "),
}
_BIG = {
    "sum": r"\sum",
    "product": r"\prod",
    "max": r"\max",
    "min": r"\min",
    "any": r"\exists",
    "all": r"\forall",
    "argmax": r"\operatorname*{arg\,max}",
    "argmin": r"\operatorname*{arg\,min}",
}
_RELATIONS = {"≠": r"\neq", "≤": r"\leq", "≥": r"\geq", "∧": r"\land", "∨": r"\lor", "⊕": r"\oplus"}
_FUNCTIONS = {
    **{name: rf"\{name}" for name in ("exp", "log", "sin", "cos", "tan", "sinh", "cosh", "tanh")},
    **{name: rf"\{name}" for name in ("max", "min", "det")},
    **{f"a{name}": rf"\arc{name}" for name in ("sin", "cos", "tan")},
    "log2": r"\log_2",
    "log10": r"\log_{10}",
    "ndtr": r"\Phi",
    "ndtri": r"\Phi^{-1}",
    "digamma": r"\psi",
    "round": r"\operatorname{round}",
}


def equation(equation: Equation, mark: str = "") -> str:
    """An equation; `mark` goes in front of its sign, as & does in an `align`."""
    sign = r"\leftarrow" if equation.operator == "←" else "="
    return f"{latex(equation.left)} {mark}{sign} {latex(equation.right)}"


def escaped(text: str) -> str:
    """Text as LaTeX prints it."""
    return re.sub(r"([_#$%&{}])", r"\\\1", text)


@singledispatch
def latex(tree: Tree) -> str:
    raise AssertionError(f"{tree!r} has no LaTeX")


@latex.register
def _(tree: Number) -> str:
    mantissa, e, exponent = tree.text.partition("e")
    if not e:
        return tree.text
    power = f"10^{{{int(exponent)}}}"
    return power if float(mantissa) == 1 else rf"{mantissa} \cdot {power}"


@latex.register
def _(tree: Name) -> str:
    return _named(tree.name)


@latex.register
def _(tree: Quantity) -> str:
    return _quantity(tree, "")


@latex.register
def _(tree: Partial) -> str:
    return _partial(tree, "")


@latex.register
def _(tree: Entry) -> str:
    indices = ",".join(latex(index) for index in tree.indices)
    if isinstance(tree.base, Quantity):
        return _quantity(tree.base, indices)
    if isinstance(tree.base, Partial):
        return _partial(tree.base, indices)
    base = latex(tree.base) if isinstance(tree.base, Call) else _parenthesised(tree.base)
    return f"{base}_{{{indices}}}"


@latex.register
def _(tree: Negative) -> str:
    return f"-{_factor(tree.inside)}"


@latex.register
def _(tree: Sum) -> str:
    found = latex(tree.terms[0])
    for term in tree.terms[1:]:
        if isinstance(term, Negative):
            found += f" - {_factor(term.inside)}"
        else:
            found += f" + {latex(term)}"
    return found


@latex.register
def _(tree: Product) -> str:
    *first, last = tree.factors
    return r" \, ".join([*map(_inner_factor, first), _factor(last)])


@latex.register
def _(tree: Quotient) -> str:
    return rf"\frac{{{latex(tree.above)}}}{{{latex(tree.below)}}}"


@latex.register
def _(tree: Power) -> str:
    return f"{_power_base(tree.base)}^{{{latex(tree.exponent)}}}"


@latex.register
def _(tree: Root) -> str:
    degree = "" if tree.degree == 2 else f"[{tree.degree}]"
    return rf"\sqrt{degree}{{{latex(tree.inside)}}}"


@latex.register
def _(tree: Call) -> str:
    name = _FUNCTIONS.get(tree.function) or rf"\operatorname{{{escaped(tree.function)}}}"
    inside = ", ".join(map(latex, tree.arguments))
    return name + _between("(", inside, ")", any(map(_is_tall, tree.arguments)))


@latex.register
def _(tree: Fenced) -> str:
    left, right = _FENCES[tree.kind]
    return _between(left, latex(tree.inside), right, _is_tall(tree.inside))


@latex.register
def _(tree: Big) -> str:
    over = ",".join(latex(index) for index in tree.over)
    if tree.bound is not None:
        relation = _RELATIONS.get(tree.bound[0], tree.bound[0])
        over += f" {relation} {latex(tree.bound[1])}"
    return f"{_BIG[tree.kind]}_{{{over}}} {_factor(tree.body)}"


@latex.register
def _(tree: Relation) -> str:
    left, right = (
        _parenthesised(one) if isinstance(one, (Relation, Not)) else latex(one)
        for one in (tree.left, tree.right)
    )
    return f"{left} {_RELATIONS.get(tree.operator, tree.operator)} {right}"


@latex.register
def _(tree: Not) -> str:
    return rf"\lnot {_parenthesised(tree.inside)}"


@latex.register
def _(tree: Cases) -> str:
    rows = [
        rf"{latex(value)} & \text{{if }} {latex(condition)}" for value, condition in tree.branches
    ]
    rows.append(rf"{latex(tree.otherwise)} & \text{{otherwise}}")
    inside = r" \\ ".join(rows)
    return rf"\begin{{cases}} {inside} \end{{cases}}"


# --- names -------------------------------------------------------------------------------------


def _named(name: str, indices: str = "", bar: bool = False) -> str:
    """A name with indices below it; its own mark then stands above."""
    found = spelling(name)
    stem = LATEX_GREEK.get(found.stem, found.stem)
    if not found.is_letter:
        stem = rf"\mathrm{{{escaped(found.stem)}}}"
    if bar:
        stem = rf"\bar{{{stem}}}" if found.is_letter else rf"\overline{{{stem}}}"
    mark = found.mark if found.mark.isdigit() else rf"\mathrm{{{escaped(found.mark)}}}"
    above = r"\prime" * found.primes
    below = indices
    if found.mark and indices:
        above = f"({mark}){above}"
    elif found.mark:
        below = mark
    return stem + (f"^{{{above}}}" if above else "") + (f"_{{{below}}}" if below else "")


def _has_superscript(tree: Tree) -> bool:
    if isinstance(tree, Entry):
        found = spelling(tree.base.name) if isinstance(tree.base, Quantity) else None
        return found is not None and bool(found.mark or found.primes)
    return isinstance(tree, Quantity) and bool(spelling(tree.name).primes)


def _quantity(tree: Quantity, indices: str) -> str:
    return _named(tree.name, indices, tree.bar)


def _partial(tree: Partial, indices: str) -> str:
    return rf"\frac{{\partial {_named(tree.of)}}}{{\partial {_named(tree.by, indices)}}}"


# --- parentheses -------------------------------------------------------------------------------


def _is_tall(tree: Tree) -> bool:
    """Whether parentheses around it must grow."""
    tall = isinstance(tree, (Quotient, Big, Cases, Partial))
    return tall or any(map(_is_tall, parts(tree)))


def _between(left: str, inside: str, right: str, tall: bool) -> str:
    return rf"\left{left}{inside}\right{right}" if tall else f"{left}{inside}{right}"


def _parenthesised(tree: Tree) -> str:
    return _between("(", latex(tree), ")", _is_tall(tree))


def _factor(tree: Tree) -> str:
    """What stands last in a product, or under a Σ."""
    loose = isinstance(tree, (Sum, Negative, Relation))
    return _parenthesised(tree) if loose else latex(tree)


def _inner_factor(tree: Tree) -> str:
    """What stands in a product with more behind it."""
    return _parenthesised(tree) if isinstance(tree, (Big, Cases)) else _factor(tree)


def _power_base(tree: Tree) -> str:
    loose = isinstance(tree, (Product, Quotient, Power, Call, Partial)) or _has_superscript(tree)
    loose = loose or (isinstance(tree, Entry) and isinstance(tree.base, Partial))
    return _parenthesised(tree) if loose else _inner_factor(tree)
