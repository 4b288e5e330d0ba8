"""Formulas for people: a kernel in index notation, a program as text."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import sympy as sp
from sympy.printing.str import StrPrinter

from symflow.arithmetic import Symbol
from symflow.bodies import common_number
from symflow.elementwise import Opaque
from symflow.primitives import Part, Primitive
from symflow.program import (
    LARGEST_DENOMINATOR,
    Definition,
    Indices,
    Kernel,
    Program,
    slot,
    slots_of,
)
from symflow.recurrence import Scan
from symflow.shapes import show

_LETTERS = "ijklpqrstuvwabcdefgh"
_SUPERSCRIPTS = str.maketrans("0123456789-", "⁰¹²³⁴⁵⁶⁷⁸⁹⁻")
_BIG = {"sum": "Σ", "max": "max", "min": "min", "any": "any", "all": "all"}


class _Formula(StrPrinter):  # type: ignore[misc]
    """SymPy's plain text with ·, fractions and powers as a person writes them.

    operands  what is written for some symbols, by their names
    arranged  then also how the factors of products are sorted, where they are not symbols alone
    unsure    whether there was a product of which that is not known
    """

    def __init__(
        self,
        operands: Mapping[str, _Operand] | None = None,
        arranged: Mapping[frozenset[sp.Expr], Sequence[sp.Expr]] | None = None,
    ) -> None:
        super().__init__({"order": "none"})
        self.operands = operands or {}
        self.arranged = arranged or {}
        self.unsure = False

    def _print_Symbol(self, expr: sp.Symbol) -> str:
        operand = self.operands.get(expr.name)
        return expr.name if operand is None else operand.stand_in(expr.name)

    def _print_Add(self, expr: sp.Add, order: object = None) -> str:
        size = common_number(expr)
        if size != 1:
            inner = self._print(sp.Add(*(term / size for term in expr.args)))
            return (
                f"({inner}) / {size.q}"
                if size.is_Rational and size.p == 1 and size.q <= LARGEST_DENOMINATOR
                else (f"{number_text(size)}·({inner})")
            )
        terms = [(term.could_extract_minus_sign(), term) for term in expr.args]
        terms.sort(key=lambda pair: (pair[0], pair[1].is_number, self._sigma(pair[1])))
        text = ""
        for negative, term in terms:
            part = self._print(-term if negative else term)
            if negative:
                part = _guarded(part, keep_big=True)
                text += f" - {part}" if text else f"-{part}"
            elif text and part.startswith("-"):
                text += f" - {part[1:]}"
            else:
                text += f" + {part}" if text else part
        return text

    def _print_Mul(self, expr: sp.Mul) -> str:
        coefficient, rest = expr.as_coeff_Mul()
        above: list[str] = []
        below: list[str] = []
        if coefficient.is_Rational and 1 < coefficient.q <= LARGEST_DENOMINATOR:
            below.append(str(coefficient.q))
            if abs(coefficient.p) != 1:
                above.append(str(abs(coefficient.p)))
        elif abs(coefficient) != 1:
            above.append(number_text(abs(coefficient)))
        for factor in self._sorted(sp.Mul.make_args(rest)):
            inverse = isinstance(factor, sp.Pow) and factor.exp.is_Number and factor.exp < 0
            part = sp.Pow(factor.base, -factor.exp) if inverse else factor
            text = _guarded(self._print(part))
            (below if inverse else above).append(text)
        text = ("-" if coefficient.is_negative else "") + ("·".join(above) or "1")
        if below:
            text += " / " + (f"({'·'.join(below)})" if len(below) > 1 else below[0])
        return text

    def _print_Pow(self, expr: sp.Pow, rational: bool = False) -> str:
        base = self._print(expr.base)
        if expr.exp == sp.Rational(1, 2):
            return f"√({base})"
        if expr.exp.is_Number and expr.exp < 0:
            return f"1 / {_guarded(self._print(sp.Pow(expr.base, -expr.exp)))}"
        base = _guarded(base)
        if expr.exp.is_Integer:
            return base + str(expr.exp).translate(_SUPERSCRIPTS)
        return f"{base}^({self._print(expr.exp)})"

    def _print_Rational(self, expr: sp.Rational) -> str:
        return number_text(expr)

    def _print_Float(self, expr: sp.Float) -> str:
        return number_text(expr)

    def _print_Function(self, expr: sp.Function) -> str:
        template = expr.row.numpy if isinstance(expr, Opaque) else None
        infix = re.fullmatch(r"\{0\} (\S+) \{1\}", template or "")
        if infix:
            left, right = (_guarded(self._print(part), keep_big=True) for part in expr.args)
            return f"({left} {infix[1]} {right})"
        return str(super()._print_Function(expr))

    def _print_Pi(self, expr: sp.Expr) -> str:
        return "π"

    def _print_root_of_squares(self, expr: sp.Expr) -> str:
        return f"√({self._print(expr.args[0])})"

    def _print_to_float(self, expr: sp.Expr) -> str:
        return str(self._print(expr.args[0]))

    def _sigma(self, term: sp.Expr) -> bool:
        """Σ reads best in front: what follows it would seem to be summed."""
        texts = (self._print(symbol) for symbol in term.free_symbols)
        return not any(text.startswith(tuple(_BIG.values())) for text in texts)

    def _sorted(self, factors: Sequence[sp.Expr]) -> Sequence[sp.Expr]:
        """Factors in the order of the indices of the result: x[i, k] before w[k, j]."""
        arranged = self.arranged.get(frozenset(factors))
        if arranged is not None or len(factors) == 1:
            return arranged or factors
        texts = {factor: str(factor) for factor in factors}
        if not self.operands:
            return sorted(factors, key=lambda one: (first_letter(texts[one]), texts[one]))
        if any(text not in self.operands for text in texts.values()):
            self.unsure = True
            return factors
        return sorted(factors, key=lambda one: (self.operands[texts[one]].letter, texts[one]))


def first_letter(text: str) -> str:
    """The first index, by the alphabet, that stands in a text."""
    found = re.findall(r"[\[ ]([a-z]\d*)(?=[,\]])", text)
    return min(found) if found else ""


def _bare(text: str) -> str:
    """A text without what stands in parentheses or brackets."""
    while True:
        shorter = re.sub(r"\([^()\[\]]*\)|\[[^()\[\]]*\]", "", text)
        if shorter == text:
            return text
        text = shorter


def _guarded(text: str, keep_big: bool = False) -> str:
    """A text as one factor: in parentheses if it is a sum, a fraction or a Σ."""
    bare = _bare(text)
    loose = " + " in bare or " - " in bare or bare.startswith("-")
    if not keep_big:
        loose = loose or " / " in bare or any(bare.startswith(f"{big}_") for big in _BIG.values())
    return f"({text})" if loose else text


_printer = _Formula()


def number_text(value: sp.Expr) -> str:
    """A number as its shortest decimal."""
    return repr(int(value)) if value.is_Integer else repr(float(value))


def letters(count: int, avoid: Iterable[str] = ()) -> list[str]:
    """Names for indices that are no names of sizes."""
    taken = set(avoid)
    free = [letter for letter in _LETTERS if letter not in taken]
    return [free[at] if at < len(free) else f"i{at}" for at in range(count)]


def at(name: str, indices: Sequence[str]) -> str:
    """`name[i, j]`, or the name alone for a scalar."""
    return f"{name}[{', '.join(indices)}]" if indices else name


def subscripts(indices: Indices, names: Sequence[str]) -> list[str]:
    """The letters of an access; the only entry of an axis of size one is 0."""
    return ["0" if index is None else names[index] for index in indices]


def plain_text(expression: sp.Expr) -> str:
    """An expression as a person writes it."""
    return str(_printer.doprint(expression))


def expression_text(expression: sp.Expr) -> str:
    """An expression of Wild symbols, which SymPy writes with an underscore."""
    return re.sub(r"\b([a-z])_(?![A-Za-z0-9_])", r"\1", plain_text(expression))


def body_text(value: Kernel, read: Callable[[int], str], names: Sequence[str]) -> str:
    """The right side of a kernel's formula; `read` gives what stands for each operand."""
    numbers = slots_of(value.body)
    text = _with_operands(value.body, [read(number) for number in numbers], value.reduced != ())
    if not value.reduced:
        return text
    over = "".join(names[index] for index in value.reduced)
    return f"{_BIG[value.reduction]}_{over} {text}"


# --- one text for all bodies that are equal ----------------------------------------------------


@dataclass(frozen=True)
class _Operand:
    """All that decides how the text of an operand is written into a formula.

    letter    its first index, by the alphabet
    negative  whether it begins with a minus, which a sum may take out of it
    big       whether it is a Σ or the like
    loose     the operators outside of its parentheses
    """

    letter: str
    negative: bool
    big: bool
    loose: tuple[str, ...]

    def stand_in(self, name: str) -> str:
        """A text that is written as that of the operand would be."""
        inside = "".join(self.loose)
        return f"{'-' * self.negative}{'Σ_' * self.big}{name}{inside}\2"


@lru_cache(maxsize=65536)
def _operand(text: str) -> _Operand | None:
    """None for a text of which these are not all that matters."""
    bare = _bare(text)
    negative, big = bare.startswith("-"), bare.startswith(tuple(f"{one}_" for one in _BIG.values()))
    if text.startswith("-") != negative or text.startswith(tuple(_BIG.values())) != big:
        return None
    loose = tuple(operator for operator in (" + ", " - ", " / ") if operator in bare)
    return _Operand(first_letter(text), negative, big, loose)


def _with_operands(body: sp.Expr, texts: Sequence[str], as_term: bool) -> str:
    """The body with texts in place of its slots, in parentheses where a term must have them.

    SymPy sorts sums by the names in them, and products are sorted by their texts. So the text of
    a body is a function of the order of its operands, of the order of the factors of its
    products, and of how each operand is written; it is printed once for each.
    """
    operands = [_operand(text) for text in texts]
    ranks = {text: rank for rank, text in enumerate(sorted(set(texts)))}
    order = tuple([ranks[text] for text in texts])
    products = _products(body, order)
    signed = products and any(text.startswith("-") for text in texts)
    if None in operands or products is None or signed:
        return _printed(body, tuple(texts), as_term)
    written = list(ranks)
    orders = tuple([_order([_filled(one, written) for one in product]) for product in products])
    parts = _template(body, order, orders, tuple(operands), as_term)
    return _printed(body, tuple(texts), as_term) if parts is None else _filled(parts, written)


Parts = tuple["str | tuple[int, int]", ...]
"""A text, cut where an operand stands: its rank, and how much of it is left out."""


def _filled(parts: Parts, written: Sequence[str]) -> str:
    return "".join(
        [written[part[0]][part[1] :] if isinstance(part, tuple) else part for part in parts]
    )


def _order(factors: Sequence[str]) -> tuple[int, ...]:
    """The order in which factors are written."""
    keys = [(first_letter(text), text) for text in factors]
    return tuple(sorted(range(len(keys)), key=keys.__getitem__))


def _ranked(body: sp.Expr, order: tuple[int, ...]) -> sp.Expr:
    """The body with symbols that SymPy sorts as it would sort the operands' texts."""
    symbols = (Symbol(_name(rank)) for rank in order)
    return body.xreplace(dict(zip(map(slot, slots_of(body)), symbols, strict=True)))


def _name(rank: int) -> str:
    return f"\0{rank:04}\1"


_STAND_IN = re.compile("(?:Σ_)?\0(\\d+)\1(?:[^\0\2]*\2)?")


def _cut(text: str, skipped: Mapping[int, int]) -> Parts:
    pieces = _STAND_IN.split(text)
    return tuple(
        (int(piece), skipped.get(int(piece), 0)) if at % 2 else piece
        for at, piece in enumerate(pieces)
    )


def _factors(body: sp.Expr) -> list[tuple[sp.Expr, ...]]:
    """The factors of every product in a body that is not one of operands alone."""
    products = dict.fromkeys(
        sp.Mul.make_args(part.as_coeff_Mul()[1])
        for part in sp.preorder_traversal(body)
        if isinstance(part, sp.Mul)
    )
    return [one for one in products if len(one) > 1 and not all(part.is_Symbol for part in one)]


@lru_cache(maxsize=65536)
def _products(body: sp.Expr, order: tuple[int, ...]) -> tuple[tuple[Parts, ...], ...] | None:
    """The texts of those factors; None for a body that mentions sizes."""
    if any(not slots_of(symbol) for symbol in body.free_symbols):
        return None
    ranked = _ranked(body, order)
    return tuple(tuple(_cut(str(one), {}) for one in factors) for factors in _factors(ranked))


@lru_cache(maxsize=65536)
def _template(
    body: sp.Expr,
    order: tuple[int, ...],
    orders: tuple[tuple[int, ...], ...],
    operands: tuple[_Operand, ...],
    as_term: bool,
) -> Parts | None:
    """The text of a body; None where it has to be printed with the operands in it."""
    by_name = {_name(rank): one for rank, one in zip(order, operands, strict=True)}
    ranked = _ranked(body, order)
    arranged = {
        frozenset(factors): [factors[at] for at in order]
        for factors, order in zip(_factors(ranked), orders, strict=True)
    }
    printer = _Formula(by_name, arranged)
    text = str(printer.doprint(ranked))
    if printer.unsure:
        return None
    skipped = {rank: int(one.negative) for rank, one in zip(order, operands, strict=True)}
    return _cut(_as_term(text) if as_term else text, skipped)


@lru_cache(maxsize=65536)
def _printed(body: sp.Expr, texts: tuple[str, ...], as_term: bool) -> str:
    symbols = map(Symbol, texts)
    replacements = {slot(at): one for at, one in zip(slots_of(body), symbols, strict=True)}
    text = plain_text(body.xreplace(replacements))
    return _as_term(text) if as_term else text


def _as_term(text: str) -> str:
    return f"({text})" if _guarded(text, keep_big=True) != text else text


def formula(
    name: str,
    value: Kernel,
    called: Callable[[int], str],
) -> str:
    """`name[i, j] = Σ_k x[i, k]·w[k, j]`."""
    names = letters(len(value.sizes), [str(size) for size in value.sizes])

    def read(number: int) -> str:
        access = value.accesses[number]
        return at(called(access.tensor), subscripts(access.indices, names))

    return f"{at(name, subscripts(value.output, names))} = {body_text(value, read, names)}"


def view_text(definition: Definition, called: Callable[[int], str]) -> str:
    """A value that is no kernel, as its kind and operands."""
    value = definition.value
    operands = ", ".join(called(operand) for operand in value.operands)
    kind = type(value).__name__.lower()
    if isinstance(value, Part):
        return f"{operands}.{value.index}"
    if isinstance(value, Scan):
        parts = [", ".join(map(called, part)) for part in (value.initial, value.sequences)]
        rest = ", ".join(map(called, value.shared))
        order = "from last to first" if value.reverse else "from first to last"
        return f"{kind}({parts[0]}; {parts[1]}; {rest}) {value.steps} steps {order}"
    return f"{kind}({operands})" if isinstance(value, Primitive) or operands else kind


def definition_text(program: Program, tensor: int) -> str:
    """One definition as a formula, its operands by their labels alone."""
    definition = program[tensor]

    def called(operand: int) -> str:
        return program[operand].label.name

    if isinstance(definition.value, Kernel):
        return formula(definition.label.name, definition.value, called)
    return f"{definition.label.name} = {view_text(definition, called)}"


def program_text(program: Program) -> str:
    """Every definition on a line: formula, shape, model line; then the outputs."""
    rows = _rows(program, 0)
    left_width = min(90, max((len(left) for left, _, _ in rows), default=0))
    shape_width = max((len(shape) for _, shape, _ in rows), default=0)
    lines = [
        f"{left:<{left_width}}  {shape:<{shape_width}}  {origin}".rstrip()
        for left, shape, origin in rows
    ]
    return "\n".join([*lines, "", *_outputs(program)]) + "\n"


def _outputs(program: Program) -> list[str]:
    return [
        f"{name} -> {program[tensor].label.name}%{tensor}"
        for name, tensor in program.outputs.items()
    ]


def _rows(program: Program, depth: int) -> list[tuple[str, str, str]]:
    """Formula, shape and model line of every definition; the body of a loop below it, indented."""
    names = [f"{one.label.name}%{tensor}" for tensor, one in enumerate(program.definitions)]
    rows: list[tuple[str, str, str]] = []
    for tensor, definition in enumerate(program.definitions):
        value = definition.value
        if isinstance(value, Kernel):
            left = formula(names[tensor], value, names.__getitem__)
        else:
            left = f"{names[tensor]} = {view_text(definition, names.__getitem__)}"
        dtype = definition.type.dtype if definition.type.dtype != "float" else ""
        shape = f"{show(definition.type.shape)} {dtype}".strip()
        if isinstance(value, Scan):
            shape = ""
        rows.append(("    " * depth + left, shape, str(definition.origin or "")))
        if isinstance(value, Scan):
            rows += _rows(value.body, depth + 1)
            indent = "    " * (depth + 1)
            rows += [(f"{indent}{line}", "", "") for line in _outputs(value.body)]
    return rows
