"""Program → statements: which tensors get a line of their own, in which order, and their names.

A tensor gets a statement if the user named it, if it is a result, or if it is read more than
once; the rest are written where they are read, as long as a line stays short enough to take in.
"""

from __future__ import annotations

import ast
import keyword
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import sympy as sp

from symflow.notation import at, body_text, letters, subscripts
from symflow.printing import is_contraction, value_text
from symflow.program import (
    Access,
    Builder,
    Constant,
    Input,
    Kernel,
    Label,
    Program,
    kernel,
    slot,
    slots_of,
)
from symflow.shapes import show
from symflow.text import SUM, Text

LONGEST_EXPRESSION = 6
"""NumPy operations in one statement beyond which its operands get statements of their own."""

WIDTH = 100
INDENT = 4

BUILTINS = frozenset(
    {
        "FloatingPointError",
        "ValueError",
        "all",
        "bool",
        "callable",
        "dict",
        "float",
        "int",
        "isinstance",
        "len",
        "list",
        "min",
        "next",
        "open",
        "range",
        "slice",
        "str",
        "sum",
        "tuple",
        "zip",
    }
)
"""What generated code uses of Python's own functions."""

RESERVED = frozenset(
    {"np", "os", "special", "p", "d", "dtype", "parameters", "rate", "step", "value", "gradient"}
    | {"rows"}
    | set(keyword.kwlist)
    | BUILTINS
)
"""Names that generated code uses itself."""


@dataclass(frozen=True)
class Statement:
    """One line of a generated function, with what a reader wants to know beside it.

    formula  the same in index notation, "" where there is none
    shown    whether it says more than the NumPy expression, which hides indices
    """

    name: str
    expression: str
    formula: str
    shown: bool
    comment: str
    typed: bool = False  # NumPy 1.26 leaves the type of a difference open

    @property
    def target(self) -> str:
        return f"{self.name}: Array" if self.typed else self.name

    @property
    def lines(self) -> list[str]:
        """The source, commented within the width that a formatter leaves alone."""
        code = f"{self.target} = {self.expression}"
        above = [f"# {self.formula}"] if self.shown else []
        if INDENT + len(code) + 2 + len(self.comment) <= WIDTH:
            return [*above, f"{code}  {self.comment}"]
        if above and INDENT + len(above[0]) + 2 + len(self.comment) <= WIDTH:
            return [
                f"{above[0]}  {self.comment.removeprefix('# ')}",
                *broken(self.target, self.expression),
            ]
        return [*above, self.comment, *broken(self.target, self.expression)]


def broken(target: str, expression: str) -> list[str]:
    """An assignment, broken as a formatter would where it is too long and cannot be split."""
    line = f"{target} = {expression}"
    if INDENT + len(line) <= WIDTH or 2 * INDENT + len(expression) > WIDTH:
        return [line]
    value = ast.parse(expression, mode="eval").body
    function = f"{ast.unparse(value.func)}(" if isinstance(value, ast.Call) else ""
    if function and expression.startswith(function):
        inside = expression.removeprefix(function).removesuffix(")")
        return [f"{target} = {function}", f"    {inside}", ")"]
    if isinstance(value, (ast.BinOp, ast.UnaryOp)):
        return [f"{target} = (", f"    {expression}", ")"]
    return [line]


@dataclass(frozen=True)
class Block:
    """The statements of a function, and the expressions of its results in terms of them."""

    statements: tuple[Statement, ...]
    results: Mapping[str, str]

    def mentions(self, name: str) -> bool:
        """Whether the code reads a name; an argument's name is not read."""
        sources = [*(one.expression for one in self.statements), *self.results.values()]
        read = re.compile(rf"(?<![\w.\"']){re.escape(name)}(?!\w|=(?!=))")
        return any(read.search(one) for one in sources)


class Names:
    """Gives out names, each once."""

    def __init__(self, taken: Iterable[str]) -> None:
        self._taken = set(taken)

    def give(self, wanted: str) -> str:
        name, count = wanted, 1
        if name in RESERVED:
            name = wanted = f"{name}_"
        while name in self._taken:
            count += 1
            name = f"{wanted}_{count}"
        self._taken.add(name)
        return name


def block(
    program: Program,
    roots: Mapping[str, int],
    inputs: Mapping[str, str],
    constants: Mapping[str, str],
    taken: Iterable[str],
    width: int = WIDTH,
) -> Block:
    """The statements that compute `roots`.

    inputs     how each input is written, such as `p.w1`
    constants  how each array constant is written, by its digest
    taken      names that statements must not use
    width      of a line, beyond which a statement is taken apart
    """
    while True:
        scheduler = _Scheduler(program, roots, inputs, constants, taken, width)
        found = scheduler.block()
        split = scheduler.split()
        if split is None:
            return found
        program, roots = split


class _Scheduler:
    def __init__(
        self,
        program: Program,
        roots: Mapping[str, int],
        inputs: Mapping[str, str],
        constants: Mapping[str, str],
        taken: Iterable[str],
        width: int,
    ) -> None:
        self.width = width
        self.program = program
        self.roots = roots
        self.live = program.live(roots.values())
        self.names = [*taken, *inputs.values(), *constants.values()]
        self.texts: dict[int, Text] = {}
        self.long: list[int] = []
        self.written: dict[int, str] = {}
        for tensor, definition in enumerate(program.definitions):
            if isinstance(definition.value, Input):
                self.written[tensor] = inputs[definition.value.name]
            elif isinstance(definition.value, Constant) and definition.value.digest in constants:
                self.written[tensor] = constants[definition.value.digest]
        sizes = {size for one in program.definitions for size in one.type.shape}
        taken_letters = {symbol.name for size in sizes for symbol in size.free_symbols}
        taken_letters |= {definition.label.name for definition in program.definitions}
        self.letters = letters(50, taken_letters)
        self.stated = self._stated()

    def _stated(self) -> set[int]:
        """The tensors that get a statement."""
        reads = [0] * len(self.program.definitions)
        for tensor, definition in enumerate(self.program.definitions):
            if not self.live[tensor]:
                continue
            value = definition.value
            for position, operand in enumerate(value.operands):
                reads[operand] += _times_printed(value, position)
        stated: set[int] = set()
        weight: dict[int, int] = {}
        for tensor, definition in enumerate(self.program.definitions):
            if not self.live[tensor] or tensor in self.written:
                continue
            value = definition.value
            is_literal = isinstance(value, Kernel) and value.is_literal
            repeated = reads[tensor] > 1 and not _is_transpose(value)
            if (definition.label.exact and not is_literal) or repeated:
                stated.add(tensor)
            inline = [
                operand
                for operand in value.operands
                if operand not in stated and operand not in self.written
            ]
            total = _operations(value) + sum(weight[operand] for operand in inline)
            for operand in sorted(inline, key=lambda one: (-weight[one], one)):
                if total > LONGEST_EXPRESSION and weight[operand] > 1:
                    stated.add(operand)
                    total -= weight[operand]
            weight[tensor] = total
        return stated

    def block(self) -> Block:
        while True:
            statements = self._statements()
            split = [self._heaviest_inline(tensor) for tensor in self._too_long(statements)]
            more = {operand for operand in split if operand is not None}
            if not more:
                break
            self.stated |= more
        self.long = self._too_long(statements)
        results = {name: self._text(tensor).source for name, tensor in self.roots.items()}
        return Block(tuple(statements.values()), results)

    def _too_long(self, statements: Mapping[int, Statement]) -> list[int]:
        return [
            tensor
            for tensor, one in statements.items()
            if INDENT + len(one.target) + len(" = ") + len(one.expression) > self.width
        ]

    def split(self) -> tuple[Program, Mapping[str, int]] | None:
        """The program with parts of bodies that are too long for a line as tensors of their own."""
        parts: dict[int, sp.Expr] = {}
        for tensor in self.long:
            value = self.program[tensor].value
            part = _largest_part(value) if isinstance(value, Kernel) else None
            if part is not None:
                parts[tensor] = part
        return _with_parts(self.program, self.roots, parts) if parts else None

    def _heaviest_inline(self, tensor: int) -> int | None:
        operands = [
            operand
            for operand in self.program[tensor].value.operands
            if operand not in self.stated
            and operand not in self.written
            and self.program[operand].value.operands
        ]
        return max(operands, key=lambda one: len(self._text(one).source), default=None)

    def _statements(self) -> dict[int, Statement]:
        self.texts = {tensor: Text(written) for tensor, written in self.written.items()}
        names = self._given_names()
        statements: dict[int, Statement] = {}
        for tensor, definition in enumerate(self.program.definitions):
            if not self.live[tensor] or tensor not in self.stated:
                continue
            text = self._expression(tensor)
            expression = text.source
            typed = text.binding == SUM and " - " in expression
            name = names[tensor]
            self.texts[tensor] = Text(name)
            origin = f"  {definition.origin}" if definition.origin else ""
            shape = show(definition.type.shape) if definition.type.shape else "scalar"
            comment = f"# {shape}{origin}"
            formula = self._formula(tensor)
            shown = self._hides_indices(tensor) and 0 < len(formula) <= WIDTH - INDENT - 2
            statements[tensor] = Statement(name, expression, formula, shown, comment, typed)
        return statements

    def _given_names(self) -> dict[int, str]:
        """A name for every statement; the user's own come first."""
        names = Names(self.names)
        by_rank = sorted(
            (tensor for tensor in self.stated if self.live[tensor]),
            key=lambda tensor: (-self.program[tensor].label.rank, tensor),
        )
        return {tensor: names.give(self.program[tensor].label.name) for tensor in by_rank}

    def _text(self, tensor: int) -> Text:
        return self.texts[tensor] if tensor in self.texts else self._expression(tensor)

    def _expression(self, tensor: int) -> Text:
        definition = self.program[tensor]
        types = [self.program[operand].type for operand in definition.value.operands]
        return value_text(definition.value, definition.type, types, self._text)

    # --- formulas ---

    def _formula(self, tensor: int) -> str:
        """The statement in index notation."""
        value = self.program[tensor].value
        if not isinstance(value, Kernel):
            return ""
        fresh = iter(self.letters)
        outer = [next(fresh) if index is not None else "" for index in value.output]
        text = self._indexed_body(value, dict(zip(value.output, outer, strict=True)), fresh)
        left = at(
            self.texts[tensor].source,
            ["0" if i is None else n for i, n in zip(value.output, outer, strict=True)],
        )
        return f"{left} = {text}"

    def _hides_indices(self, tensor: int) -> bool:
        value = self.program[tensor].value
        if not isinstance(value, Kernel):
            return False
        return not value.elementwise or any(
            self._hides_indices(operand)
            for operand in value.operands
            if operand not in self.stated and operand not in self.written
        )

    def _indexed_body(
        self, value: Kernel, known: Mapping[int | None, str], fresh: Iterable[str]
    ) -> str:
        fresh = iter(fresh)
        names = [known.get(index) or next(fresh) for index in range(len(value.sizes))]

        def read(number: int) -> sp.Expr:
            access = value.accesses[number]
            inner = self.program[access.tensor].value
            at_indices = subscripts(access.indices, names)
            if access.tensor in self.texts or not isinstance(inner, Kernel):
                name = self._text(access.tensor).source.removeprefix("p.")
                return sp.Symbol(at(name, at_indices))
            bound = dict(zip(inner.output, at_indices, strict=True))
            text = self._indexed_body(inner, bound, fresh)
            return sp.Symbol(text)

        return body_text(value, read, names)


def _largest_part(value: Kernel) -> sp.Expr | None:
    """What is summed, or the term or factor with most operations in it.

    None for a contraction: the product that it sums would be far larger than its operands.
    """
    if is_contraction(value):
        return None
    if value.reduction == "sum" and value.reduced and value.body.args:
        return value.body
    parts = [part for part in value.body.args if part.args and slots_of(part)]
    if not parts and isinstance(value.body, (sp.Add, sp.Mul)) and len(value.body.args) > 3:
        terms = sorted(value.body.args, key=lambda term: slots_of(term))
        return value.body.func(*terms[: len(terms) // 2])  # as in a sum of many names
    return max(parts, key=lambda part: part.count_ops(), default=None)


def _with_parts(
    program: Program, roots: Mapping[str, int], parts: Mapping[int, sp.Expr]
) -> tuple[Program, Mapping[str, int]]:
    builder = Builder()
    moved: dict[int, int] = {}
    for number, definition in enumerate(program.definitions):
        value = definition.value.rebind(moved.__getitem__)
        part = parts.get(number)
        if part is not None:
            whole = definition.value
            assert isinstance(whole, Kernel)
            label = Label(_part_name(definition.label.name, whole, part), 2)
            own = builder.add(whole.part(part).rebind(moved.__getitem__), label, definition.origin)
            accesses = [Access(moved[one.tensor], one.indices) for one in whole.accesses]
            value = kernel(
                whole.output,
                whole.sizes,
                _replaced(whole.body, part, slot(len(accesses))),
                [*accesses, Access(own, whole.order(part))],
            )
        moved[number] = builder.add(value, definition.label, definition.origin)
    outputs = {name: moved[number] for name, number in program.outputs.items()}
    return builder.program(outputs), {name: moved[number] for name, number in roots.items()}


def _replaced(body: sp.Expr, part: sp.Expr, by: sp.Expr) -> sp.Expr:
    """The body with something in place of a part, which may be some terms of a sum."""
    if type(part) is type(body) and set(part.args) < set(body.args):
        return body.func(by, *(term for term in body.args if term not in part.args))
    return body.xreplace({part: by})


def _part_name(owner: str, whole: Kernel, part: sp.Expr) -> str:
    owner = re.sub(r"_(sum|terms|mean)$", "", owner)
    if whole.reduced:
        return f"{owner}_terms"
    if isinstance(part, sp.Add):
        subtracts = any(term.could_extract_minus_sign() for term in part.args)
        return f"{owner}_{'difference' if subtracts else 'sum'}"
    return f"{owner}_{'product' if isinstance(part, sp.Mul) else type(part).__name__.lower()}"


def _times_printed(value: object, position: int) -> int:
    """How often an operand's text stands in the expression."""
    if not isinstance(value, Kernel):
        return 1
    if is_contraction(value):
        return 2 if value.body == slot(0) ** 2 else 1
    count = 0
    for part in sp.preorder_traversal(value.body):
        if part == slot(position):
            count += 1
    return max(count, 1)


def _is_transpose(value: object) -> bool:
    """Whether it is written `x.T`, which costs nothing and says more than a name."""
    return (
        isinstance(value, Kernel)
        and value.is_index_map
        and len(value.output) == 2
        and value.accesses[0].indices == value.output[::-1]
    )


def _operations(value: object) -> int:
    """NumPy operations that a value takes, roughly."""
    if not isinstance(value, Kernel):
        return 1
    if value.is_literal:
        return 0
    return int(value.body.count_ops()) + (0 if value.elementwise else 1)
