"""Formulas as presentation MathML, which browsers show without a script."""

from __future__ import annotations

from functools import singledispatch
from html import escape

from symflow.formulas.spelling import spelling
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

_FENCES = {
    "abs": ("|", "|"),
    "floor": ("⌊", "⌋"),
    "ceil": ("⌈", "⌉"),
    "indicator": ("[", "]"),
    "norm": ("‖", "‖"),
}
_BIG = {"sum": "∑", "product": "∏", "any": "∃", "all": "∀"}
_FUNCTIONS = {
    **{f"a{name}": f"arc{name}" for name in ("sin", "cos", "tan")},
    "ndtr": "Φ",
    "digamma": "ψ",
}
_TIMES = '<mo lspace="0" rspace="0.17em">\N{INVISIBLE TIMES}</mo>'
_APPLIED = "<mo>\N{FUNCTION APPLICATION}</mo>"


def equation(equation: Equation, display: bool = True) -> str:
    """An equation as an element; `display` gives it a line of its own, in the middle."""
    kind = ' display="block"' if display else ' displaystyle="true"'
    left, right = mathml(equation.left), mathml(equation.right)
    return f"<math{kind}>{_row(left, _operator(equation.operator), right)}</math>"


def formula(tree: Tree) -> str:
    """A formula within a text."""
    return f"<math>{mathml(tree)}</math>"


@singledispatch
def mathml(tree: Tree) -> str:
    raise AssertionError(f"{tree!r} has no MathML")


@mathml.register
def _(tree: Number) -> str:
    mantissa, e, exponent = tree.text.partition("e")
    if not e:
        return f"<mn>{tree.text}</mn>"
    sign = "<mo>−</mo>" if exponent.startswith("-") else ""
    power = f"<msup><mn>10</mn>{_row(sign, f'<mn>{abs(int(exponent))}</mn>')}</msup>"
    return power if float(mantissa) == 1 else _row(f"<mn>{mantissa}</mn>", _operator("·"), power)


@mathml.register
def _(tree: Name) -> str:
    return _named(tree.name)


@mathml.register
def _(tree: Quantity) -> str:
    return _named(tree.name, (), tree.bar)


@mathml.register
def _(tree: Partial) -> str:
    return _partial(tree, ())


@mathml.register
def _(tree: Entry) -> str:
    if isinstance(tree.base, Quantity):
        return _named(tree.base.name, tree.indices, tree.base.bar)
    if isinstance(tree.base, Partial):
        return _partial(tree.base, tree.indices)
    base = mathml(tree.base) if isinstance(tree.base, Call) else _parenthesised(tree.base)
    return f"<msub>{base}{_listed(tree.indices)}</msub>"


@mathml.register
def _(tree: Negative) -> str:
    return _row('<mo form="prefix">−</mo>', _factor(tree.inside))


@mathml.register
def _(tree: Sum) -> str:
    found = [mathml(tree.terms[0])]
    for term in tree.terms[1:]:
        if isinstance(term, Negative):
            found += [_operator("-"), _factor(term.inside)]
        else:
            found += [_operator("+"), mathml(term)]
    return _row(*found)


@mathml.register
def _(tree: Product) -> str:
    *first, last = tree.factors
    found = [part for factor in first for part in (_inner_factor(factor), _TIMES)]
    return _row(*found, _factor(last))


@mathml.register
def _(tree: Quotient) -> str:
    return f"<mfrac>{mathml(tree.above)}{mathml(tree.below)}</mfrac>"


@mathml.register
def _(tree: Power) -> str:
    return f"<msup>{_power_base(tree.base)}{mathml(tree.exponent)}</msup>"


@mathml.register
def _(tree: Root) -> str:
    inside = mathml(tree.inside)
    if tree.degree == 2:
        return f"<msqrt>{inside}</msqrt>"
    return f"<mroot>{inside}<mn>{tree.degree}</mn></mroot>"


@mathml.register
def _(tree: Call) -> str:
    name = escape(_FUNCTIONS.get(tree.function, tree.function))
    inside: list[str] = []
    for at, argument in enumerate(tree.arguments):
        inside += [_operator(","), mathml(argument)] if at else [mathml(argument)]
    function = f'<mi mathvariant="normal">{name}</mi>' if len(name) == 1 else f"<mi>{name}</mi>"
    return _row(function, _APPLIED, _fenced("(", _row(*inside), ")"))


@mathml.register
def _(tree: Fenced) -> str:
    left, right = _FENCES[tree.kind]
    return _fenced(left, mathml(tree.inside), right)


@mathml.register
def _(tree: Big) -> str:
    over = _listed(tree.over)
    if tree.bound is not None:
        over = _row(over, _operator(tree.bound[0]), mathml(tree.bound[1]))
    name = tree.kind.replace("arg", "arg\N{THIN SPACE}")
    sign = _operator(_BIG[tree.kind]) if tree.kind in _BIG else f"<mi>{name}</mi>"
    space = "" if tree.kind in _BIG else '<mspace width="0.17em"/>'
    return _row(f"<munder>{sign}{over}</munder>", space, _factor(tree.body))


@mathml.register
def _(tree: Relation) -> str:
    left, right = (
        _parenthesised(one) if isinstance(one, (Relation, Not)) else mathml(one)
        for one in (tree.left, tree.right)
    )
    return _row(left, _operator(tree.operator), right)


@mathml.register
def _(tree: Not) -> str:
    return _row(_operator("¬"), _parenthesised(tree.inside))


@mathml.register
def _(tree: Cases) -> str:
    rows = [
        (mathml(value), _row("<mtext>if\N{NO-BREAK SPACE}</mtext>", mathml(condition)))
        for value, condition in tree.branches
    ]
    rows.append((mathml(tree.otherwise), "<mtext>otherwise</mtext>"))
    cells = "".join(f"<mtr><mtd>{one}</mtd><mtd>{when}</mtd></mtr>" for one, when in rows)
    return _row("<mo>{</mo>", f'<mtable columnalign="left left">{cells}</mtable>')


# --- names and rows ----------------------------------------------------------------------------


def _row(*parts: str) -> str:
    return f"<mrow>{''.join(parts)}</mrow>"


def _operator(sign: str) -> str:
    return f"<mo>{escape({'-': '−'}.get(sign, sign))}</mo>"


def _fenced(left: str, inside: str, right: str) -> str:
    return _row(f'<mo form="prefix">{left}</mo>', inside, f'<mo form="postfix">{right}</mo>')


def _parenthesised(tree: Tree) -> str:
    return _fenced("(", mathml(tree), ")")


def _listed(indices: tuple[Tree, ...]) -> str:
    found: list[str] = []
    for at, index in enumerate(indices):
        found += ['<mo separator="true">,</mo>', mathml(index)] if at else [mathml(index)]
    return _row(*found)


def _named(name: str, indices: tuple[Tree, ...] = (), bar: bool = False) -> str:
    """A name with indices below it; its own mark then stands above."""
    found = spelling(name)
    stem = f"<mi>{escape(found.stem)}</mi>"
    if bar:
        stem = f'<mover accent="true">{stem}<mo>¯</mo></mover>'
    mark = f"<mn>{found.mark}</mn>" if found.mark.isdigit() else f"<mi>{escape(found.mark)}</mi>"
    above = f"<mo>{'′' * found.primes}</mo>" if found.primes else ""
    below = _listed(indices) if indices else ""
    if found.mark and indices:
        above = _row("<mo>(</mo>", mark, "<mo>)</mo>", above)
    elif found.mark:
        below = mark
    if above and below:
        return f"<msubsup>{stem}{below}{above}</msubsup>"
    if above:
        return f"<msup>{stem}{above}</msup>"
    return f"<msub>{stem}{below}</msub>" if below else stem


def _partial(tree: Partial, indices: tuple[Tree, ...]) -> str:
    above, below = (_row("<mo>∂</mo>", one) for one in (_named(tree.of), _named(tree.by, indices)))
    return f"<mfrac>{above}{below}</mfrac>"


# --- parentheses -------------------------------------------------------------------------------


def _factor(tree: Tree) -> str:
    """What stands last in a product, or under a Σ."""
    loose = isinstance(tree, (Sum, Negative, Relation))
    return _parenthesised(tree) if loose else mathml(tree)


def _inner_factor(tree: Tree) -> str:
    """What stands in a product with more behind it."""
    return _parenthesised(tree) if isinstance(tree, (Big, Cases)) else _factor(tree)


def _power_base(tree: Tree) -> str:
    loose = isinstance(tree, (Product, Quotient, Power, Call, Partial)) or (
        isinstance(tree, Entry) and isinstance(tree.base, Partial)
    )
    return _parenthesised(tree) if loose else _inner_factor(tree)
