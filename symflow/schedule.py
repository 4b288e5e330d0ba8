"""Program → statements: which tensors get a line of their own, in which order, and their names.

A tensor gets a statement if the user named it, if it is a result, or if it is read more than
once; the rest are written where they are read, as long as a line stays short enough to take in.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import NamedTuple

import sympy as sp

from symflow.alphabets import plain
from symflow.motion import tidied
from symflow.notation import at, body_text, letters, subscripts
from symflow.pieces import largest_part, taken_apart
from symflow.primitives import Part
from symflow.printing import is_contraction, value_text
from symflow.program import (
    Builder,
    Constant,
    Definition,
    Input,
    Kernel,
    Program,
    Type,
    Value,
    operations_in,
    slot,
)
from symflow.recurrence import Scan
from symflow.shapes import show
from symflow.statements import INDENT, WIDTH, Block, ForLoop, Kept, Names, Start, Statement
from symflow.text import ATOM, SUM, Text, shape_text, size_text

_KINDS = {"float": "dtype", "int": "np.int64", "bool": "np.bool_"}
"""In what an array is made that may be empty."""

LONGEST_EXPRESSION = 6
"""NumPy operations in one statement beyond which its operands get statements of their own."""


class Printer:
    """How values are written: as NumPy's functions of arrays. `scalars.py` has one for floats."""

    typed = True
    """Whether a difference, which NumPy 1.26 leaves untyped, is declared to be an array."""

    def text(
        self, value: Value, type_: Type, types: Sequence[Type], operand: Callable[[int], Text]
    ) -> Text:
        """The expression that computes a value."""
        return value_text(value, type_, types, operand)

    explains = False
    """Whether a formula is wanted of every statement, and not of those only that hide indices."""

    def times(self, value: Value) -> Sequence[int]:
        """How often the text of each operand stands in the expression."""
        return _times_printed(value)

    def shape(self, type_: Type) -> str:
        """What a comment says of a value."""
        return show(type_.shape) if type_.shape else "scalar"

    def width(self, target: str, expression: str) -> int:
        """How wide a statement is that stands at the margin."""
        return len(f"{target} = {expression}")


ARRAYS = Printer()

Expressions = Mapping[int, tuple[Mapping[int, Text], Text]]
"""How tensors are written where what they read is written so."""


class _Split(NamedTuple):
    """A program of which more is a statement, and how tensors are called and written so far."""

    program: Program
    roots: Mapping[str, int]
    names: Mapping[int, str]
    known: Expressions


def block(
    program: Program,
    roots: Mapping[str, int],
    inputs: Mapping[str, str],
    constants: Mapping[str, str],
    taken: Iterable[str],
    width: int = WIDTH,
    indent: int = INDENT,
    carries: Mapping[str, str] | None = None,
    apart: Callable[[Program, Mapping[str, int]], set[int]] | None = None,
    printer: Printer = ARRAYS,
) -> Block:
    """The statements that compute `roots`.

    inputs     how each input is written, such as `p.w1`
    constants  how each array constant is written, by its digest
    taken      names that statements must not use
    width      of a line, beyond which a statement is taken apart
    indent     of the statements
    carries    for one step of a loop: the results that inputs become, with the inputs' names
    apart      which tensors of a program must have a statement of their own
    printer    how values are written
    """
    return _settled(
        program, roots, inputs, constants, taken, width, indent, carries, apart, printer
    ).found()


def formulas(
    program: Program,
    roots: Mapping[str, int],
    inputs: Mapping[str, str],
    constants: Mapping[str, str],
    taken: Iterable[str],
) -> Iterator[str]:
    """The statements of a block in index notation; those that have no such form are left out."""
    scheduler = _settled(program, roots, inputs, constants, taken, WIDTH, INDENT)
    found = (scheduler.formula(tensor) for tensor in scheduler.statements)
    return (formula for formula in found if formula)


def _settled(
    program: Program,
    roots: Mapping[str, int],
    inputs: Mapping[str, str],
    constants: Mapping[str, str],
    taken: Iterable[str],
    width: int,
    indent: int,
    carries: Mapping[str, str] | None = None,
    apart: Callable[[Program, Mapping[str, int]], set[int]] | None = None,
    printer: Printer = ARRAYS,
) -> _Scheduler:
    """Statements that are short enough."""
    if any(isinstance(one.value, Scan) for one in program.definitions):
        program = tidied(Program(program.definitions, roots))
        roots = program.outputs
    split: _Split | None = _Split(program, roots, {}, {})
    while split is not None:
        scheduler = _Scheduler(split, inputs, constants, taken, width, indent, carries, printer)
        if apart is not None:
            scheduler.state(apart(split.program, split.roots))
        scheduler.settle()
        split = scheduler.split()
    return scheduler


class _Scheduler:
    def __init__(
        self,
        split: _Split,
        inputs: Mapping[str, str],
        constants: Mapping[str, str],
        taken: Iterable[str],
        width: int,
        indent: int,
        carries: Mapping[str, str] | None,
        printer: Printer,
    ) -> None:
        program, roots, self.kept_names, known = split
        self.printer = printer
        self.pool = Names(())
        self.given: Mapping[int, str] = {}  # the names of statements
        self.width = width
        self.indent = indent
        self.program = program
        self.roots = roots
        self.carries = carries
        self.constants = constants
        self.live = program.live(roots.values())
        self.names = [*taken, *inputs.values(), *constants.values()]
        self.texts: dict[int, Text] = {}
        self.expressions: dict[int, tuple[Mapping[int, Text], Text]] = dict(known)
        self.lists: dict[int, tuple[str, bool]] = {}
        self.long: list[int] = []
        self.statements: dict[int, Statement | ForLoop] = {}
        self.has_loops = any(isinstance(one.value, Scan) for one in program.definitions)
        self.written: dict[int, str] = {}
        for tensor, definition in enumerate(program.definitions):
            if isinstance(definition.value, Input):
                self.written[tensor] = inputs[definition.value.name]
            elif isinstance(definition.value, Constant) and definition.value.digest in constants:
                self.written[tensor] = constants[definition.value.digest]
        sizes = {size for one in program.definitions for size in one.type.shape}
        taken_letters = {symbol.name for size in sizes for symbol in size.free_symbols}
        taken_letters |= {plain(definition.label.name) for definition in program.definitions}
        self.letters = letters(50, taken_letters)
        self.named, self.unnamed = self._around_loops()
        self.stated = self._stated()

    def _stated(self) -> set[int]:
        """The tensors that get a statement."""
        reads = [0] * len(self.program.definitions)
        for tensor, definition in enumerate(self.program.definitions):
            if not self.live[tensor]:
                continue
            value = definition.value
            for operand, times in zip(value.operands, self.printer.times(value), strict=True):
                if not (isinstance(value, Scan) and _is_number(self.program[operand].value)):
                    reads[operand] += times  # each loop writes its own
        stated: set[int] = set()
        weight: dict[int, int] = {}
        for tensor, definition in enumerate(self.program.definitions):
            if not self.live[tensor] or tensor in self.written:
                continue
            value = definition.value
            named_by_user = definition.label.exact and not _is_literal(value)
            repeated = reads[tensor] > 1 and not _is_transpose(value)
            if tensor not in self.unnamed and (named_by_user or repeated or tensor in self.named):
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
            weight[tensor] = 0 if tensor in self.unnamed else total
        return stated

    def state(self, tensors: set[int]) -> None:
        """Give tensors a statement, unless they are written otherwise."""
        self.stated |= {one for one in tensors if self.live[one] and self._may_be_stated(one)}

    def _may_be_stated(self, tensor: int) -> bool:
        """Whether a tensor is not written otherwise: an input, a constant, what a loop leaves."""
        return tensor not in self.written and tensor not in self.unnamed

    def _around_loops(self) -> tuple[set[int], set[int]]:
        """What must have a statement: loops, what each step reads, the results of a step; and
        what has none: the last carries of a loop, and lists that only other loops go through."""
        named: set[int] = set()
        unnamed: set[int] = set()
        if self.carries is not None:
            named.update(self.roots.values())
        for tensor, definition in enumerate(self.program.definitions):
            value = definition.value
            if self.live[tensor] and isinstance(value, Scan):
                named |= {tensor, *value.sequences, *value.shared}
        listed = _only_gone_through(self.program, self.live, self.roots.values())
        for tensor, definition in enumerate(self.program.definitions):
            value = definition.value
            if isinstance(value, Part):
                scan = self.program[value.source].value
                assert isinstance(scan, Scan)
                if value.index < len(scan.initial) or tensor in listed:
                    unnamed.add(tensor)
        return named, unnamed

    def settle(self) -> None:
        """Give statements to operands until every line is short enough, or cannot be helped."""
        while True:
            self.statements = self._statements()
            self.long = self._too_long(self.statements)
            split = [self._heaviest_inline(tensor) for tensor in self.long]
            more = {operand for operand in split if operand is not None}
            if not more:
                return
            self.stated |= more

    def found(self) -> Block:
        """The statements, with formulas where these say more than the code."""
        statements = [self._with_formula(*one) for one in self.statements.items()]
        results = {name: self._text(tensor).source for name, tensor in self.roots.items()}
        return Block(tuple(statements), results, self.program, self.roots)

    def _with_formula(self, tensor: int, one: Statement | ForLoop) -> Statement | ForLoop:
        if not isinstance(one, Statement):
            return one
        shown = self._hides_indices(tensor)
        if not (shown or self.printer.explains):
            return one
        formula = self.formula(tensor)
        fits = 0 < len(formula) <= WIDTH - self.indent - 2
        return replace(one, formula=formula, shown=shown) if fits else one

    def _too_long(self, statements: Mapping[int, Statement | ForLoop]) -> list[int]:
        found: list[int] = []
        for tensor, one in statements.items():
            if isinstance(one, ForLoop):
                parts = [(f"{start.name}: Array", start.expression) for start in one.starts]
            else:
                parts = [(one.target, one.expression)]
            if any(self.indent + self.printer.width(*part) > self.width for part in parts):
                found.append(tensor)
        return found

    def split(self) -> _Split | None:
        """The program with parts of bodies that are too long for a line as tensors of their own."""
        parting = {
            tensor
            for tensor in self.long
            if isinstance(value := self.program[tensor].value, Kernel)
            and largest_part(value) is not None
        }
        if not parting:
            return None
        builder = Builder()
        moved: dict[int, int] = {}
        names: dict[int, str] = {}
        known: dict[int, tuple[Mapping[int, Text], Text]] = {}
        for tensor, definition in enumerate(self.program.definitions):
            value = definition.value.rebind(moved.__getitem__)
            if tensor in parting:
                assert isinstance(value, Kernel)
                value, parts = self._taken_apart(builder, tensor, value, moved)
                names |= {part: name for part, name in parts.items() if part not in names}
                new = builder.add(value, definition.label, definition.origin)
            else:
                new = builder.copy(self.program, definition, value, moved)
                if tensor in self.expressions:
                    texts, text = self.expressions[tensor]
                    known[new] = {moved[one]: read for one, read in texts.items()}, text
            moved[tensor] = new
            if tensor in self.given:
                names.setdefault(new, self.given[tensor])
        outputs = {name: moved[tensor] for name, tensor in self.program.outputs.items()}
        roots = {name: moved[tensor] for name, tensor in self.roots.items()}
        return _Split(builder.program(outputs), roots, names, known)

    def _taken_apart(
        self, builder: Builder, tensor: int, value: Kernel, moved: Mapping[int, int]
    ) -> tuple[Kernel, Mapping[int, str]]:
        """A long value in terms of its parts, and what these are called."""
        definition, statement = self.program[tensor], self.statements[tensor]
        assert isinstance(statement, Statement)
        texts = {moved[one]: self._text(one) for one in definition.value.operands}

        def fits(name: str, part: Kernel, type_: Type, texts: Mapping[int, Text]) -> bool:
            types = [builder[operand].type for operand in part.operands]
            text = self.printer.text(part, type_, types, texts.__getitem__)
            target = f"{name}: Array" if self._is_typed(text) else name
            return self.indent + self.printer.width(target, text.source) <= self.width

        return taken_apart(builder, value, definition, statement.name, texts, self._give, fits)

    def _is_typed(self, text: Text) -> bool:
        """Whether a statement has to say that it assigns an array."""
        return self.printer.typed and text.binding == SUM and " - " in text.source

    def _heaviest_inline(self, tensor: int) -> int | None:
        operands = [
            operand
            for operand in self.program[tensor].value.operands
            if operand not in self.stated
            and self._may_be_stated(operand)
            and self.program[operand].value.operands
        ]
        return max(operands, key=lambda one: len(self._text(one).source), default=None)

    def _statements(self) -> dict[int, Statement | ForLoop]:
        """The statements as of now; those stay that read nothing which is written otherwise."""
        before = {} if self.has_loops else self.statements
        self.texts = {tensor: Text(written) for tensor, written in self.written.items()}
        pool = self.pool = Names(self.names)
        names = self._given_names(pool)
        statements: dict[int, Statement | ForLoop] = {}
        changed: set[int] = set()
        for tensor, definition in enumerate(self.program.definitions):
            if not self.live[tensor]:
                continue
            reads_changed = not changed.isdisjoint(definition.value.operands)
            if tensor not in self.stated:
                if reads_changed:
                    changed.add(tensor)
                continue
            old = before.get(tensor)
            same_name = isinstance(old, Statement) and old.name == names[tensor]
            if isinstance(old, Statement) and same_name and not reads_changed:
                statements[tensor], self.texts[tensor] = old, Text(old.name)
                continue
            if not same_name:
                changed.add(tensor)
            if isinstance(definition.value, Scan):
                statements[tensor] = self._loop(tensor, definition.value, pool)
                continue
            text = self._expression(tensor)
            expression = text.source
            typed = self._is_typed(text)
            name = names[tensor]
            self.texts[tensor] = Text(name)
            comment = self._comment(tensor)
            if name in (self.carries or {}).values():
                typed = False  # it is declared before the loop
            statements[tensor] = Statement(
                name, expression, "", False, comment, typed, self.indent, tensor
            )
        return statements

    def _given_names(self, pool: Names) -> dict[int, str]:
        """A name for every statement; the user's own come first."""
        names = self._carried_names()
        carried = {*(self.carries or {}).values()}
        for tensor, name in self.kept_names.items():
            if tensor in self.stated and tensor not in names and name not in carried:
                names[tensor] = name
                pool.taken.add(name)
        by_rank = sorted(
            (tensor for tensor in self.stated if self.live[tensor] and tensor not in names),
            key=lambda tensor: (-self.program[tensor].label.rank, tensor),
        )
        for tensor in by_rank:
            definition = self.program[tensor]
            if isinstance(definition.value, Scan):
                continue
            names[tensor] = self._give(definition.label.name)
        self.given = names
        return names

    def _give(self, wanted: str) -> str:
        in_step = self.carries is not None
        return self.pool.give_in_step(wanted) if in_step else self.pool.give(wanted)

    # --- loops ---

    def _carried_names(self) -> dict[int, str]:
        """The new carries that can have the names of the old, which nothing reads afterwards."""
        names: dict[int, str] = {}
        carries = self.carries or {}
        inputs = {written: tensor for tensor, written in self.written.items()}
        for root, name in carries.items():
            old, new = inputs.get(name), self.roots[root]
            if new not in self.stated or new in names:
                continue
            moved = any(self.roots[other] == old for other in carries if other != root)
            later = (one for one in self.stated if one > new and self.live[one])
            if old is None or not (moved or any(old in self._reads(one) for one in later)):
                names[new] = name
        return names

    def _reads(self, tensor: int) -> set[int]:
        """The tensors that the statement of a tensor reads by their names."""
        found: set[int] = set()
        for operand in self.program[tensor].value.operands:
            if operand in self.stated or operand in self.written:
                found.add(operand)
            else:
                found |= self._reads(operand)
        return found

    def _loop(self, tensor: int, scan: Scan, pool: Names) -> ForLoop:
        body = scan.body
        given = [body[one].label.name for one in body.inputs]
        first, last = len(scan.initial), len(scan.initial) + len(scan.sequences)
        carries = [pool.give_in_step(name) for name in given[:first]]
        entries = [pool.give_in_step(name) for name in given[first:last]]
        shared = [self._text(operand).within(ATOM) for operand in scan.shared]
        written = zip(body.inputs, [*carries, *entries, *shared], strict=True)
        roots = {str(index): result for index, result in enumerate(body.outputs.values())}
        step = block(
            body,
            roots,
            {_input_name(body, one): text for one, text in written},
            self.constants,
            pool.taken,
            self.width,
            self.indent + INDENT,
            {str(index): name for index, name in enumerate(carries)},
            printer=self.printer,
        )
        pool.taken.update(step.names)
        kept = self._kept(body, step, first, pool)
        self._name_results(tensor, scan, carries, kept)
        return ForLoop(
            starts=tuple(
                Start(name, self._start(operand), self._comment(operand))
                for name, operand in zip(carries, scan.initial, strict=True)
            ),
            kept=kept,
            entries=tuple(
                (name, self._gone_through(operand, scan.reverse))
                for name, operand in zip(entries, scan.sequences, strict=True)
            ),
            steps=size_text(scan.steps),
            step=step,
            carries=tuple(carries),
            indent=self.indent,
            tensor=tensor,
        )

    @staticmethod
    def _kept(body: Program, step: Block, carries: int, pool: Names) -> tuple[Kept, ...]:
        """The lists that the results of all steps are kept in."""
        kept: list[Kept] = []
        for index, result in list(enumerate(body.outputs.values()))[carries:]:
            early = result in body.inputs
            text = step.results[str(index)]
            plain = (text if text.isidentifier() else body[result].label.name).removesuffix("_t")
            name = f"{plain}_before" if early else f"{plain}_steps"
            name = f"{name}_steps" if early and name in pool.taken else name
            kept.append(Kept(pool.give(name), text, early))
        return tuple(kept)

    def _name_results(
        self, tensor: int, scan: Scan, carries: Sequence[str], kept: Sequence[Kept]
    ) -> None:
        """Say how the results of a loop are written after it."""
        for part, one in enumerate(self.program.definitions):
            if isinstance(one.value, Part) and one.value.source == tensor and self.live[part]:
                index = one.value.index
                if index < len(carries):
                    self.texts[part] = Text(carries[index])
                else:
                    self.lists[part] = kept[index - len(carries)].name, scan.reverse

    def _start(self, tensor: int) -> str:
        """A carry before the first step; a number alone has no precision."""
        definition = self.program[tensor]
        value, text = definition.value, self._text(tensor).source
        if definition.type.shape or not _is_number(value):
            return text
        if definition.type.dtype != "float":
            return f"np.asarray({text})"
        return "np.zeros((), dtype)" if text == "0.0" else f"np.asarray({text}, dtype)"

    def _gone_through(self, tensor: int, reverse: bool) -> str:
        """A sequence in the order of the steps."""
        if tensor in self.lists:
            name, reverse_list = self.lists[tensor]
            return name if reverse_list == reverse else f"{name}[::-1]"
        return f"{self._text(tensor).within(ATOM)}{'[::-1]' if reverse else ''}"

    def _stacked(self, tensor: int, definition: Definition) -> Text:
        name, reverse = self.lists[tensor]
        entries = f"{name}{'[::-1]' if reverse else ''}"
        shape, kind = definition.type.shape, definition.type.dtype
        if not shape[0].is_positive:  # n - 1 steps may be none, and nothing cannot be stacked
            made = f"np.array({entries}, {_KINDS[kind]})"
            return Text(made if len(shape) == 1 else f"{made}.reshape({shape_text(shape)})")
        text = f"np.stack({entries})"
        if len(shape) == 1 and kind == "float":
            return Text(f"{text}.astype(dtype, copy=False)")  # scalars may have been widened
        return Text(text)

    def _comment(self, tensor: int) -> str:
        definition = self.program[tensor]
        origin = str(definition.origin) if definition.origin else ""
        said = "  ".join(part for part in (self.printer.shape(definition.type), origin) if part)
        return f"# {said}" if said else ""

    def _text(self, tensor: int) -> Text:
        return self.texts[tensor] if tensor in self.texts else self._expression(tensor)

    def _expression(self, tensor: int) -> Text:
        definition = self.program[tensor]
        if tensor in self.lists:
            return self._stacked(tensor, definition)
        operands = definition.value.operands
        texts = {operand: self._text(operand) for operand in operands}
        known = self.expressions.get(tensor)
        if known is not None and known[0] == texts:
            return known[1]
        types = [self.program[operand].type for operand in operands]
        text = self.printer.text(definition.value, definition.type, types, texts.__getitem__)
        self.expressions[tensor] = texts, text
        return text

    # --- formulas ---

    def formula(self, tensor: int) -> str:
        """The statement in index notation."""
        value = self.program[tensor].value
        if not isinstance(value, Kernel):
            return ""
        fresh = iter(self.letters)
        outer = [next(fresh) if index is not None else "" for index in value.output]
        text = self._indexed_body(value, dict(zip(value.output, outer, strict=True)), fresh)
        left = at(
            plain(self.texts[tensor].source),
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

        def read(number: int) -> str:
            access = value.accesses[number]
            inner = self.program[access.tensor].value
            at_indices = subscripts(access.indices, names)
            if access.tensor in self.texts or not isinstance(inner, Kernel):
                name = self._text(access.tensor).source
                if access.tensor in self.lists and access.tensor not in self.texts:
                    name, _ = self.lists[access.tensor]
                return at(plain(name.removeprefix("p.")), at_indices)
            bound = dict(zip(inner.output, at_indices, strict=True))
            return self._indexed_body(inner, bound, fresh)

        return body_text(value, read, names)


def _only_gone_through(program: Program, live: Sequence[bool], roots: Iterable[int]) -> set[int]:
    """The stacks that nothing but loops read, entry by entry: they stay lists."""
    through: set[int] = set()
    whole = set(roots)
    for tensor, definition in enumerate(program.definitions):
        value = definition.value
        if live[tensor] and isinstance(value, Scan):
            through.update(value.sequences)
            whole.update(value.initial, value.shared)
        elif live[tensor]:
            whole.update(value.operands)
    return through - whole


def _is_literal(value: Value) -> bool:
    return isinstance(value, Kernel) and value.is_literal


def _is_number(value: Value) -> bool:
    return _is_literal(value) or (isinstance(value, Constant) and value.data.ndim == 0)


def _input_name(body: Program, tensor: int) -> str:
    value = body[tensor].value
    assert isinstance(value, Input)
    return value.name


def _times_printed(value: Value) -> Sequence[int]:
    """How often each operand's text stands in the expression."""
    if not isinstance(value, Kernel):
        return [1] * len(value.operands)
    if is_contraction(value):
        return [2] if value.body == slot(0) ** 2 else [1, 1]
    return _occurrences(value.body, len(value.accesses))


@lru_cache(maxsize=65536)
def _occurrences(body: sp.Expr, slots: int) -> Sequence[int]:
    found = Counter(part for part in sp.preorder_traversal(body) if part.is_Symbol)
    return [max(found[slot(number)], 1) for number in range(slots)]


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
    return operations_in(value.body) + (0 if value.elementwise else 1)
