"""Statements of generated functions, their names, and how they are laid out."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from symflow.program import Program
from symflow.tokens import variables

WIDTH = 100
INDENT = 4


@dataclass(frozen=True)
class Statement:
    """One line of a generated function, with what a reader wants to know beside it.

    formula  the same in index notation, where it is shown
    shown    whether it says more than the NumPy expression, which hides indices
    tensor   which one of the program it computes
    after    lines that follow it
    """

    name: str
    expression: str
    formula: str
    shown: bool
    comment: str
    typed: bool = False  # NumPy 1.26 leaves the type of a difference open
    indent: int = INDENT
    tensor: int = -1  # of the program that it is part of
    after: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        return (self.name,)

    @property
    def sources(self) -> tuple[str, ...]:
        return (self.expression,)

    @property
    def target(self) -> str:
        return f"{self.name}: Array" if self.typed else self.name

    @property
    def lines(self) -> list[str]:
        """The source, commented within the width that a formatter leaves alone."""
        return [*self._own, *self.after]

    @property
    def _own(self) -> list[str]:
        code = f"{self.target} = {self.expression}"
        above = [f"# {self.formula}"] if self.shown else []
        if not self.comment:
            return [*above, *assignment(self.target, self.expression, self.indent)]
        if self.indent + len(code) + 2 + len(self.comment) <= WIDTH:
            return [*above, f"{code}  {self.comment}"]
        if above and self.indent + len(above[0]) + 2 + len(self.comment) <= WIDTH:
            return [
                f"{above[0]}  {self.comment.removeprefix('# ')}",
                *assignment(self.target, self.expression, self.indent),
            ]
        return [*above, self.comment, *assignment(self.target, self.expression, self.indent)]


def assignment(target: str, expression: str, indent: int = INDENT) -> list[str]:
    """An assignment, broken as a formatter would where it is too long and cannot be split."""
    return broken(f"{target} = ", expression, indent)


def broken(opening: str, expression: str, indent: int = INDENT) -> list[str]:
    """An expression behind `name = ` or `return `, broken as a formatter would."""
    line = f"{opening}{expression}"
    if indent + len(line) <= WIDTH:
        return [line]
    parts = chained(expression)
    if indent + INDENT + len(expression) > WIDTH and parts[1:]:
        return [f"{opening}(", *(f"    {part}" for part in parts), ")"]
    value = ast.parse(expression, mode="eval").body
    if isinstance(value, ast.Call) and isinstance(value.func, (ast.Name, ast.Attribute)):
        function = ast.unparse(value.func)
        given = [ast.get_source_segment(expression, one) or "" for one in _arguments(value)]
        if expression == f"{function}({', '.join(given)})":
            return call(f"{opening}{function}", given, "", indent)
    if isinstance(value, (ast.BinOp, ast.UnaryOp)) and indent + INDENT + len(expression) <= WIDTH:
        return [f"{opening}(", f"    {expression}", ")"]
    return [line]


def _arguments(value: ast.Call) -> list[ast.expr | ast.keyword]:
    return [*value.args, *value.keywords]


def chained(expression: str) -> list[str]:
    """The terms of a sum, each with its sign, or the factors of a product: `a`, `+ b`, `- c`.

    Anything else is one part.
    """
    words, depth = [""], 0
    for character in expression:
        depth += (character in "([{") - (character in ")]}")
        if depth == 0 and character == " ":
            words.append("")
        else:
            words[-1] += character
    operators = set(words[1::2])
    if not operators <= {"+", "-", "*", "/"}:
        return [expression]
    lowest = operators & {"+", "-"} or operators
    parts = [words[0]]
    for operator, operand in zip(words[1::2], words[2::2], strict=True):
        if operator in lowest:
            parts.append(f"{operator} {operand}")
        else:
            parts[-1] += f" {operator} {operand}"
    return parts


@dataclass(frozen=True)
class Block:
    """The statements of a function, and the expressions of its results in terms of them.

    program  the one that is scheduled, with parts of long bodies as tensors of their own
    roots    its tensors that are the results
    """

    statements: tuple[Statement | ForLoop, ...]
    results: Mapping[str, str]
    program: Program
    roots: Mapping[str, int]

    @property
    def names(self) -> tuple[str, ...]:
        """What its statements assign to."""
        return tuple(name for one in self.statements for name in one.names)

    @property
    def sources(self) -> tuple[str, ...]:
        """The code that it consists of, without comments."""
        statements = (source for one in self.statements for source in one.sources)
        return (*statements, *self.results.values())

    def mentions(self, name: str) -> bool:
        """Whether the code reads a name; an argument's name is not read."""
        return any(name in variables(source) for source in self.sources)


@dataclass(frozen=True)
class Start:
    """`h: Array = np.zeros((n, 64), dtype)`: a carry before the first step."""

    name: str
    expression: str
    comment: str

    def lines(self, indent: int) -> list[str]:
        code = f"{self.name}: Array = {self.expression}"
        if indent + len(code) + 2 + len(self.comment) <= WIDTH:
            return [f"{code}  {self.comment}"]
        return [self.comment, code]


@dataclass(frozen=True)
class Kept:
    """`h_steps.append(h)`: a list of what every step computes; `early` if before all else."""

    name: str
    expression: str
    early: bool


@dataclass(frozen=True)
class ForLoop:
    """The statements of a scan: the carries' first values, lists of what is kept, and a loop.

    entries  for each sequence, what an entry is called, and the sequence as it is gone through
    steps    the number of steps, for a loop without sequences
    step     the statements of one step; its first results are the new carries
    """

    starts: tuple[Start, ...]
    kept: tuple[Kept, ...]
    entries: tuple[tuple[str, str], ...]
    steps: str
    step: Block
    carries: tuple[str, ...]
    indent: int
    formula: str = ""
    tensor: int = -1

    @property
    def names(self) -> tuple[str, ...]:
        """What it assigns to."""
        entries = (name for name, _ in self.entries)
        kept = (one.name for one in self.kept)
        return (*self.carries, *entries, *kept, *self.step.names)

    @property
    def sources(self) -> tuple[str, ...]:
        """The code that it consists of, without comments."""
        starts = (start.expression for start in self.starts)
        sequences = [sequence for _, sequence in self.entries] or [self.steps]
        return (*starts, *sequences, *self.step.sources)

    @property
    def _moves(self) -> list[tuple[str, str]]:
        """The carries that no statement assigns, and their new values."""
        new = [self.step.results[str(index)] for index in range(len(self.carries))]
        return [(old, text) for old, text in zip(self.carries, new, strict=True) if old != text]

    @property
    def lines(self) -> list[str]:
        within = [f"{one.name}.append({one.expression})" for one in self.kept if one.early]
        within += (line for statement in self.step.statements for line in statement.lines)
        if self._moves:
            targets, values = (", ".join(part) for part in zip(*self._moves, strict=True))
            within.append(f"{targets} = {values}")
        within += [f"{one.name}.append({one.expression})" for one in self.kept if not one.early]
        return [
            *(line for start in self.starts for line in start.lines(self.indent)),
            *(f"{one.name}: list[Array] = []" for one in self.kept),
            *self._header(),
            *(f"    {line}" for line in within or ["pass"]),
        ]

    def _header(self) -> list[str]:
        """The line with `for`, broken as a formatter would."""
        if not self.entries:
            return [f"for _ in range({self.steps}):"]
        targets, sequences = ([*part] for part in zip(*self.entries, strict=True))
        if len(targets) == 1:
            return [f"for {targets[0]} in {sequences[0]}:"]
        arguments = [*sequences, "strict=True"]
        opening, first = f"for {', '.join(targets)} in zip", []
        if self.indent + len(opening) + 1 > WIDTH:
            opening, first = ") in zip", ["for (", *(f"    {target}," for target in targets)]
        return [*first, *call(opening, arguments, ":", self.indent)]


def call(opening: str, parts: Sequence[str], closing: str, indent: int = INDENT) -> list[str]:
    """`opening(parts)closing` on one line if it fits, else on three, else one part per line."""
    line = f"{opening}({', '.join(parts)}){closing}"
    if indent + len(line) <= WIDTH:
        return [line]
    inner = f"    {', '.join(parts)}"
    if indent + len(inner) <= WIDTH:
        return [f"{opening}(", inner, f"){closing}"]
    return [f"{opening}(", *(f"    {part}," for part in parts), f"){closing}"]


def distinct(names: Sequence[str]) -> Sequence[str]:
    """The names, none of which may stand for two things: then one would have the other's numbers.

    This is a check of the compiler's own, and one that `python -O` does not leave out.
    """
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise AssertionError(f"a name for two things: {', '.join(twice)}")
    return names


def unpacked(names: Sequence[str], source: str) -> list[str]:
    """`x, y = source`, of which the source may go on."""
    distinct(names)
    line = f"({names[0]},) = {source}" if len(names) == 1 else f"{', '.join(names)} = {source}"
    if INDENT + len(line) <= WIDTH:
        return [line]
    return ["(", *(f"    {name}," for name in names), f") = {source}"]


class Names:
    """Gives out names, each once."""

    def __init__(self, taken: Iterable[str]) -> None:
        self.taken = set(taken)
        self._given: dict[str, int] = {}  # how often each was asked for

    def give(self, wanted: str) -> str:
        count = self._given.get(wanted, 0) + 1
        name = wanted if count == 1 else f"{wanted}_{count}"
        while name in self.taken:
            count += 1
            name = f"{wanted}_{count}"
        self._given[wanted] = count
        self.taken.add(name)
        return name

    def give_in_step(self, wanted: str) -> str:
        """A name within one step of a loop: `x_t` where `x` is all steps."""
        return self.give(f"{wanted}_t" if wanted in self.taken else wanted)
