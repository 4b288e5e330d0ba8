"""The moments of the data as functions of a module: sums over rows, of all at once or in blocks.

    _moment_sums  some rows → what they add to the sums, where rows come in blocks
    _moments      the placeholders → the moments

With blocks, the rows stay in the cache while all sums are taken of them, no array on the way is
as long as the data, and the blocks are shared among threads.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from symflow.alphabets import size_name
from symflow.batching import Batch, Place, batched, places
from symflow.layout import Function, signature, sizes_of
from symflow.program import Input, Program, Type, Value
from symflow.schedule import ARRAYS, Printer, block
from symflow.statements import INDENT, WIDTH, Block, Names, assignment, call, unpacked
from symflow.text import PRODUCT, Text

_OWN = ("works", "rows", "sums", "dtype")
"""Names that the functions use themselves."""


def gathered(
    program: Program, inputs: Sequence[str], constants: Mapping[str, str], rows: str
) -> tuple[Function, ...]:
    """The functions that compute the outputs of a program from data, the last one `_moments`.

    inputs     the arguments of `_moments`; where it adds up blocks, `works` is the first, and
               where none of them is of floats, the precision is the last
    constants  how each array constant is written, by its digest
    rows       how a module that adds up blocks of rows writes the number of all rows; or ""
    """
    found = _Gathering(program, inputs, constants)
    batch = _batch(program, found.sizes, rows)
    return (found.at_once(),) if batch is None else found.in_blocks(batch)


def adds_up_blocks(program: Program, inputs: Sequence[str], rows: str) -> bool:
    """Whether `_moments` does; the arguments are those of `gathered`."""
    return _batch(program, _Gathering(program, inputs, {}).sizes, rows) is not None


def floats_of(program: Program, inputs: Sequence[str]) -> list[str]:
    """The inputs that have a precision."""
    values = [one.value for one in program.definitions if one.type.dtype == "float"]
    names = {value.name for value in values if isinstance(value, Input)}
    return [name for name in inputs if name in names]


def _batch(program: Program, sizes: Mapping[str, str], rows: str) -> Batch | None:
    batch = batched(program, list(program.outputs.values())) if rows else None
    return batch if batch is not None and sizes.get(size_name(batch.size)) == rows else None


class _Gathering:
    def __init__(
        self, program: Program, inputs: Sequence[str], constants: Mapping[str, str]
    ) -> None:
        self.program = program
        self.inputs = inputs
        self.constants = constants
        self.types = {
            one.value.name: one.value.type
            for one in program.definitions
            if isinstance(one.value, Input)
        }
        self.sizes = sizes_of({name: self.types[name].shape for name in inputs})
        self.floats = floats_of(program, inputs)

    def at_once(self) -> Function:
        code = self._block(self.program)
        return self._moments(code, [], [*self._measured(code, self.sizes), *_lines(code)])

    def in_blocks(self, batch: Batch) -> tuple[Function, ...]:
        total = size_name(batch.total)

        def sums_of(program: Program, roots: Mapping[str, int]) -> set[int]:
            found = places(batch, program, list(roots.values()))
            return {tensor for tensor, place in enumerate(found) if place == "sum"}

        code = self._block(batch.program, total, sums_of, _Sums())
        found = places(batch, code.program, list(code.roots.values()))

        def part(*wanted: Place) -> Block:
            chosen = tuple(one for one in code.statements if found[one.tensor] in wanted)
            return replace(code, statements=chosen, results={})

        inside, before, after = part("row", "sum"), part("free"), part("after")
        sums = [
            name for one in inside.statements if found[one.tensor] == "sum" for name in one.names
        ]
        cut = next(name for name in self.inputs if name in batch.axes)
        rows = {size_name(batch.size): f"{cut}.shape[{batch.axes[cut]}]"}
        measured = self._measured(inside, self.sizes | rows)
        needed = {line.partition(" = ")[2].partition(".")[0] for line in measured}
        read = [name for name in self.inputs if name in needed or inside.mentions(name)]
        told = [] if self.floats else ["dtype"]
        shared = [name for name in (*before.names, total, *told) if inside.mentions(name)]
        arguments = [f"{name}: Array" for name in read]
        arguments += [f"{name}: Any" for name in shared]
        share = Function(
            signature("_moment_sums", arguments, "Sequence[Any]"),
            ("What a block of rows adds to the sums of the data.",),
            (*measured, *_lines(inside), *_returned(sums)),
        )
        some = [
            f"{name}[{':, ' * batch.axes[name]}rows]" if name in batch.axes else name
            for name in read
        ]
        each = call("lambda _, rows: _moment_sums", [*some, *shared], ",", 3 * INDENT)
        whole = call("sums = _moment_sums", [*read, *shared], "", 2 * INDENT)
        others = {size: text for size, text in self.sizes.items() if size != size_name(batch.size)}
        outside = replace(code, statements=(*before.statements, *after.statements))
        lines = [
            *self._measured(outside, others),
            f"{total} = {self.sizes[size_name(batch.size)]}",
            *_lines(before),
            f"if {total} <= BLOCK:",
            *(f"    {line}" for line in whole),
            "else:",
            "    sums = _summed(",
            "        works,",
            f"        {total},",
            *(f"        {line}" for line in each),
            "    )",
            *unpacked(sums, "sums"),
            *_lines(after),
        ]
        return share, self._moments(code, ["works: Sequence[_Workspace]"], lines)

    def _block(
        self,
        program: Program,
        total: str = "",
        apart: Callable[[Program, Mapping[str, int]], set[int]] | None = None,
        printer: Printer = ARRAYS,
    ) -> Block:
        written = {name: name for name in self.types}
        taken = [*self.sizes, *self.inputs, *_OWN, total]
        return block(
            program,
            program.outputs,
            written,
            self.constants,
            taken,
            apart=apart,
            printer=printer,
        )

    def _measured(self, code: Block, sizes: Mapping[str, str]) -> list[str]:
        """The sizes that some statements mention, and the precision."""
        lines = [f"{size} = {text}" for size, text in sizes.items() if code.mentions(size)]
        known = self.floats and code.mentions("dtype")
        return [*lines, *([f"dtype = {self.floats[0]}.dtype"] if known else [])]

    def _moments(self, code: Block, works: Sequence[str], lines: Sequence[str]) -> Function:
        results = [code.results[name] for name in self.program.outputs]
        last: list[str]
        if len(results) > 1:
            last = call("return ", results, "")
        elif INDENT + len(f"return ({results[0]},)") <= WIDTH:
            last = [f"return ({results[0]},)"]
        else:
            only = Names([*self.sizes, *self.inputs, *_OWN, *code.names]).give("moment")
            last = [*assignment(only, results[0]), f"return ({only},)"]
        arguments = [*works, *(f"{name}: Array" for name in self.inputs)]
        arguments += [] if self.floats else ["dtype: Any"]
        return Function(
            signature("_moments", arguments, "tuple[Any, ...]"),
            ("What the gradient depends on beside the parameters: sums over the data.",),
            (*lines, *last),
        )


class _Sums(Printer):
    """Sums over the rows of a matrix are products with ones, which take a quarter of the time."""

    def text(
        self, value: Value, type_: Type, types: Sequence[Type], operand: Callable[[int], Text]
    ) -> Text:
        found = super().text(value, type_, types, operand)
        if len(type_.shape) != 1 or any(
            len(one.shape) > 2 or one.dtype != "float" for one in types
        ):
            return found
        product = r"np.ones(len(\1), \1.dtype) @ \1"
        if _SUM.fullmatch(found.source):
            return replace(found, source=_SUM.sub(product, found.source), binding=PRODUCT)
        return replace(found, source=_SUM.sub(f"({product})", found.source))


_SUM = re.compile(r"np\.sum\((\w+), axis=0\)")


def _lines(code: Block) -> list[str]:
    return [line for one in code.statements for line in one.lines]


def _returned(values: Sequence[str]) -> list[str]:
    line = f"return ({values[0]},)" if len(values) == 1 else f"return {', '.join(values)}"
    return [line] if INDENT + len(line) <= WIDTH else call("return ", values, "")
