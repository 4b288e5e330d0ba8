"""The fast style of a module: loss and gradients through a workspace, block by block.

    _fixed     rows → arrays     what no parameter changes; in training, once before all steps
    _block     rows → sums       the share of a block of rows, written to buffers
    _evaluate  all rows → loss   what rows share, the sums of all blocks, what follows from them

Both hold the statements of the plain style, in its order and under its formulas, taken apart into
calls that write to buffers (`calls.py`, `storage.py`). A model without a batch (`batching.py`) has
only the second function. With `gradients=False` both stop where the loss is known.

In a module that is trained by plain gradient descent both may take a `rate` in place of that: the
gradient is of rate · loss, and nothing is left to be multiplied when the parameters are moved.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import sympy as sp

from symflow.alphabets import size_name, tensor_name
from symflow.batching import Batch, Place, batched, places
from symflow.calls import Call, is_taken_apart
from symflow.choice import GRADIENTS, OF_RATE, Choice
from symflow.contraction import NOMINAL_SIZE
from symflow.expansion import expanded
from symflow.grouping import Calls
from symflow.invariants import data_only, dependent
from symflow.layout import Function, signature, sizes_of
from symflow.machine import BLOCK_BYTES, KEPT_BYTES, LEAST_BLOCK, MOST_BLOCK, NUMBER_BYTES, SMALL
from symflow.primitives import Part
from symflow.program import Constant, Input, Kernel, Program, Type
from symflow.recurrence import Scan
from symflow.scaling import RATE
from symflow.schedule import Printer, block
from symflow.shapes import Shape
from symflow.statements import INDENT, WIDTH, ForLoop, Names, Statement, call, unpacked
from symflow.storage import Buffer, Group, stored
from symflow.text import shape_text
from symflow.tokens import variables


@dataclass(frozen=True)
class Interface:
    """What a core is told of its module.

    parameters  names of the Variables that are trained
    arguments   names of the inputs of loss and gradients, in the model's order
    constants   how each array constant is written, by its digest
    gradient    the expression of a parameter's gradient as an array of its own
    invariant   whether what no parameter changes is computed apart
    step        the program in which gradients are those of rate · loss, if training gains by it
    """

    program: Program
    parameters: Sequence[str]
    arguments: Sequence[str]
    constants: Mapping[str, str]
    gradient: Callable[[str, str], str]
    invariant: bool = True
    step: Program | None = None


@dataclass(frozen=True)
class Core:
    """The functions, and what the workspace holds.

    rows       rows of a block at most; 0 where there are no blocks
    count      what the number of rows is called
    sizes      what the workspace is made for, beside the precision
    lengths    the same as they are read off the inputs
    workspace  the lines of its constructor
    fixed      the rows of which `train` keeps what no parameter changes, 0 if there is nothing
    inputs     what `_fixed` takes in training, of the rows of a block
    length     the number of all rows
    largest    entries of the largest gradient; numbers are returned as arrays if it is large
    fresh      the parameters whose gradient has a row for every row of data: `_evaluate` makes an
               array for it, which is no part of the workspace
    choice     the argument that says whether gradients are wanted
    """

    functions: tuple[Function, ...]
    rows: int
    count: str
    sizes: tuple[str, ...]
    lengths: tuple[str, ...]
    workspace: tuple[str, ...]
    fixed: int = 0
    inputs: str = ""
    length: str = ""
    largest: int = 0
    fresh: frozenset[str] = frozenset()
    choice: Choice = GRADIENTS

    @property
    def keeps(self) -> bool:
        """Whether workspaces wait for the next call: not where they are as large as the data."""
        return bool(self.rows) or not self.sizes

    @property
    def has_buffers(self) -> bool:
        """Whether anything is written to memory of the module's own."""
        lines = [*self.workspace, *(line for one in self.functions for line in one.lines)]
        return any("_empty(" in line for line in lines)

    @property
    def parameters(self) -> str:
        """The arguments of the workspace's constructor."""
        return ", ".join(["self", *(f"{size}: int" for size in self.sizes), "dtype: Any"])

    @property
    def key(self) -> str:
        """What tells workspaces apart."""
        return ", ".join([*self.sizes, "dtype"]) + ("" if self.sizes else ",")

    @property
    def rest(self) -> str:
        """The arguments of a workspace like this one for other rows."""
        others = [f"self.key[{at}]" for at in range(1, len(self.sizes))]
        return ", ".join([self.count, *others, "self.dtype"])


class _Explained(Printer):
    """Every group of calls stands under its formula."""

    explains = True

    def __init__(self, wide: bool) -> None:
        """`wide` if what is taken apart may be as long as it is."""
        self.wide = wide

    def width(self, target: str, expression: str) -> int:
        apart = self.wide and is_taken_apart(expression)
        return 0 if apart else super().width(target, expression)


def core(interface: Interface) -> Core:
    """The functions of the fast style for the loss and gradients of a program."""
    program = interface.program if interface.step is None else interface.step
    wide = _Core(interface, program, *_in_blocks(interface, program), wide=True)
    if wide.shares_rate:
        program = interface.program
        wide = _Core(interface, program, *_in_blocks(interface, program), wide=True)
    found = wide.made()
    lines = (line for function in found.functions for line in function.lines)
    if any(INDENT + len(line) > WIDTH for line in lines):  # NumPy's types kept one together
        return _Core(interface, program, wide.whole, wide.batch, wide=False).made()
    return found


def _in_blocks(interface: Interface, program: Program) -> tuple[Program, Batch | None]:
    """A program as blocks of rows compute it, and which those are."""
    whole = expanded(program)
    wanted = ["loss", *(f"d_{name}" for name in interface.parameters)]
    return whole, batched(whole, [whole.outputs[name] for name in wanted])


class _Core:
    def __init__(
        self,
        interface: Interface,
        source: Program,
        whole: Program,
        batch: Batch | None,
        wide: bool,
    ) -> None:
        """`whole` is `source` as blocks compute it, with its batch if there is one."""
        self.interface = interface
        self.whole = whole
        self.batch = batch
        self.choice = OF_RATE if source is interface.step else GRADIENTS
        self.changing = [*interface.parameters, RATE]  # from step to step
        outputs = whole.outputs
        roots = {"loss": outputs["loss"]}
        roots |= {f"d_{name}": outputs[f"d_{name}"] for name in interface.parameters}
        program = self.batch.program if self.batch else whole
        self.types = {
            one.value.name: one.value.type
            for one in program.definitions
            if isinstance(one.value, Input)
        }
        self.written = {name: self._written(name) for name in self.types}
        given = [*interface.arguments, *interface.parameters]  # others serve other results
        shapes = {self.written[one]: self.types[one].shape for one in self.types if one in given}
        self.lengths = sizes_of(shapes)
        if self.batch:  # rows are counted by an input that is cut
            cut = next(one for one in given if one in self.batch.axes)
            counted = f"{cut}.shape[{self.batch.axes[cut]}]"
            self.lengths[size_name(self.batch.rows)] = counted
            inside = cut in interface.parameters
            self.lengths[size_name(self.batch.total)] = f"p.{counted}" if inside else counted
        self.constants = {
            digest: _in_workspace(text) for digest, text in interface.constants.items()
        }
        taken = [*self.lengths, *interface.arguments, *interface.parameters]
        taken += [tensor_name(one) for one in ("key", "dtype", "rest", "of")]  # of a workspace
        taken += [one.removeprefix("work.") for one in self.constants.values()]
        self.code = block(
            program,
            roots,
            self.written,
            self.constants,
            taken,
            apart=self._apart,
            printer=_Explained(wide),
        )
        self.names = Names([*taken, *self.code.names])
        self.program = self.code.program
        self.places = self._places(self.program, self.code.roots)
        self.forward = self.program.live([self.code.roots["loss"]])
        known = {text: self.types[name] for name, text in self.written.items()}
        known |= {size: Type(()) for size in self.lengths}
        known |= {
            self.constants[one.value.digest]: one.type
            for one in program.definitions
            if isinstance(one.value, Constant) and one.value.digest in self.constants
        }
        self.calls = Calls(known, self.names.give)
        self.buffers: list[Buffer] = []
        sizes = [
            sp.Mul(*self.types[name].shape) for name in interface.parameters if name in self.types
        ]
        self.largest = max(int(size) if size.is_Integer else NOMINAL_SIZE for size in sizes)
        self.fixed = self._fixed_statements()
        self.before_fixed, self.only_fixed = self._read_by_fixed()
        self.kept: list[str] = []
        results = set(self.code.roots.values())
        self.outside = {
            one.name: f"_out_{one.name}"
            for one in self.code.statements
            if isinstance(one, Statement)
            and self.places[one.tensor] == "row"
            and one.tensor in results
        }

    def _written(self, name: str) -> str:
        """An input as the functions write it: rows of a parameter are an argument."""
        given = (*self.interface.arguments, RATE)
        if name in given or (self.batch and name in self.batch.axes):
            return name
        return f"p.{name}"

    def _places(self, program: Program, roots: Mapping[str, int]) -> tuple[Place, ...]:
        if self.batch is None:
            everywhere: Place = "after"
            return (everywhere,) * len(program.definitions)
        return places(self.batch, program, list(roots.values()))

    def _apart(self, program: Program, roots: Mapping[str, int]) -> set[int]:
        """Sums and results are statements, and so is what all rows share, if it is an array."""
        found = self._places(program, roots)
        live = program.live(roots.values())
        given = (Input, Part)  # what has a name already
        apart = {one for one in roots.values() if not isinstance(program[one].value, given)}
        for tensor, definition in enumerate(program.definitions):
            if not live[tensor]:
                continue
            if found[tensor] == "sum":
                apart.add(tensor)
            if found[tensor] == "row":
                apart |= {
                    one
                    for one in definition.value.operands
                    if found[one] == "free" and _takes_work(program, one)
                }
        if self.interface.invariant:
            whole = Program(program.definitions, roots)
            fixed = data_only(whole, self.changing)
            apart |= {one for one in fixed if found[one] in ("row", "sum")}
        return apart

    def _fixed_statements(self) -> list[Statement | ForLoop]:
        """Those of a block that no parameter changes."""
        if self.batch is None or not self.interface.invariant:
            return []
        moving = dependent(self.program, self.changing)
        results = set(self.code.roots.values())
        return [
            one
            for one in self.code.statements
            if self.places[one.tensor] in ("row", "sum")
            and not moving[one.tensor]
            and one.tensor not in results
        ]

    def _read_by_fixed(self) -> tuple[list[Statement | ForLoop], list[Statement | ForLoop]]:
        """What all rows share that they read, and those of it that nothing else reads."""
        if not self.fixed:
            return [], []
        fixed: set[str] = set()
        others = set(self.code.results.values())
        for one in self.fixed:
            fixed.update(variables("\n".join(one.lines)))
        before: list[Statement | ForLoop] = []
        only: list[Statement | ForLoop] = []
        for one in reversed(self.code.statements):
            if one in self.fixed:
                continue
            read = variables("\n".join(one.lines))
            if self.places[one.tensor] == "free" and not fixed.isdisjoint(one.names):
                before.insert(0, one)
                fixed.update(read)
                if others.isdisjoint(one.names):
                    only.append(one)
                    continue
            others.update(name for name in read if name not in one.names)
        return before, only

    @property
    def shares_rate(self) -> bool:
        """Whether rows share something that needs the rate, and stands where none is given."""
        carries = dependent(self.program, [RATE])
        rows = [at for at, place in enumerate(self.places) if place in ("row", "sum")]
        before = self.program.live(rows)
        return any(
            self.places[one.tensor] == "free" and carries[one.tensor] and before[one.tensor]
            for one in self.code.statements
        )

    # --- functions ---

    def made(self) -> Core:
        functions: list[Function] = []
        fixed: list[Function] = []
        if self.batch is not None:
            functions.append(self._block())
            fixed = [self._fixed_function()] if self.kept else []
        functions = [*fixed, *functions, self._evaluate()]
        count = size_name(self.batch.rows) if self.batch else ""
        held = [*(one.type for one in self.buffers), *self.calls.ones.values()]
        sizes = [count] if count else []
        sizes += [
            size
            for size in self.lengths
            if size != count and any(_has(type_, size) for type_ in held)
        ]
        lengths = [self.lengths[size] for size in sizes]
        if self.batch is not None:
            lengths[0] = f"min({self.lengths[size_name(self.batch.total)]}, BLOCK)"
        rows = self._rows() if count else 0
        return Core(
            tuple(functions),
            rows,
            count,
            tuple(sizes),
            tuple(lengths),
            self._workspace(),
            self._kept_rows() if self.kept else 0,
            self._fixed_in_training() if self.kept else "",
            self.lengths[size_name(self.batch.total)] if self.batch else "",
            self.largest,
            self._fresh(),
            self.choice,
        )

    def _fresh(self) -> frozenset[str]:
        """The parameters whose gradients are arrays of their own; of two with one array, none."""
        results = self.code.results
        made = [results[f"d_{name}"] for name in self.interface.parameters]
        return frozenset(
            name
            for name, result in zip(self.interface.parameters, made, strict=True)
            if result in self.outside and made.count(result) == 1
        )

    def _statements(self, *wanted: Place) -> list[Statement | ForLoop]:
        """The statements of some places; those that the loss needs come first."""
        elsewhere = {one.tensor for one in (*self.fixed, *self.only_fixed)}
        rest = [one for one in self.code.statements if one.tensor not in elsewhere]
        found = [one for one in rest if self.places[one.tensor] in wanted]
        return sorted(found, key=lambda one: not self.forward[one.tensor])

    def _group(self, one: Statement | ForLoop) -> Group:
        if isinstance(one, ForLoop):
            reads = variables("\n".join(one.lines))
            own = tuple(Call(name, "", (), reads) for name in one.names)
            return Group(None, own, tuple(one.lines))
        type_ = self.program[one.tensor].type
        calls = self.calls.group(one, type_)
        out = self.outside.get(one.name)
        lines = () if out is None or calls[-1].type else (f"np.copyto({out}, {one.name})",)
        return Group(one, tuple(calls), behind=lines)

    def _scalars(self) -> dict[str, bool]:
        return {
            one.name: not self.program[one.tensor].type.shape
            for one in self.code.statements
            if isinstance(one, Statement)
        }

    def _fixed_function(self) -> Function:
        """What no parameter changes, of a block of rows."""
        assert self.batch is not None
        lines = [line for one in (*self.before_fixed, *self.fixed) for line in one.lines]
        lines += _returned([self._by_column(name) for name in self.kept])
        read = variables("\n".join(lines))
        self.fixed_inputs = self._inputs(read)
        total = size_name(self.batch.total)
        if total in read:
            self.fixed_inputs.append(total)
        floats = [one for one in self.fixed_inputs if one != total and self._is_float(one)]
        if "work" in read or ("dtype" in read and not floats):
            self.fixed_inputs.insert(0, "work")
        kinds = {"work": "_Workspace", total: "int"}
        arguments = [f"{name}: {kinds.get(name, 'Array')}" for name in self.fixed_inputs]
        size = size_name(self.batch.rows)
        prelude = [f"{size} = {self.lengths[size]}"] if size in read else []
        prelude += self._sizes(read, {size, total})
        if "dtype" in read:
            prelude.append(f"dtype = {floats[0] if floats else 'work'}.dtype")
        return Function(
            signature("_fixed", arguments, "tuple[Any, ...]"),
            ("What no parameter changes, of a block of rows.",),
            (*prelude, *lines),
        )

    def _by_column(self, name: str) -> str:
        types = {**self.calls.known, **self.types}
        return f"np.asfortranarray({name})" if types[name] in self.by_column else name

    def _is_float(self, name: str) -> bool:
        return name in self.types and self.types[name].dtype == "float"

    def _inputs(self, read: Sequence[str]) -> list[str]:
        """The inputs that are read, and those that rows are counted by and sizes are read off."""
        assert self.batch is not None
        sizes = {size_name(self.batch.rows), *read}.intersection(self.lengths)
        needed = {*read, *(self.lengths[size].partition(".")[0] for size in sizes)}
        names = [*self.interface.arguments, *self.interface.parameters]
        return [name for name in names if name in needed]

    def _fixed_arguments(self, rows: str) -> list[str]:
        return [self._argument(name, rows) for name in self.fixed_inputs]

    def _fixed_in_training(self) -> str:
        """The arguments of `_fixed` for the rows of a block, as `train` writes them."""
        assert self.batch is not None
        total = size_name(self.batch.total)
        own = {total: self.lengths[total], "work": "works[0]"}
        return ", ".join(own.get(one, one) for one in self._fixed_arguments("rows"))

    def _kept_rows(self) -> int:
        """Rows of which what no parameter changes may be kept."""
        assert self.batch is not None
        kept = set(self.kept)
        shapes = [
            self.program[one.tensor].type.shape
            for one in self.fixed
            if isinstance(one, Statement) and one.name in kept
        ]
        each = sum(_elements(one, self.batch.rows) for one in shapes)
        return int(KEPT_BYTES / (NUMBER_BYTES * max(each, 1)))

    def _block(self) -> Function:
        assert self.batch is not None
        statements = self._statements("row", "sum")
        fixed = [name for one in self.fixed for name in one.names]
        for one in [*self.fixed, *self._statements("free")]:
            if isinstance(one, Statement):
                self.calls.known[one.name] = self.program[one.tensor].type
        own = [name for one in self.fixed if self._is_sum(one) for name in one.names]
        forward = [one for one in statements if self.forward[one.tensor]]
        groups = [self._group(one) for one in forward]
        first = [name for one in forward if self._is_sum(one) for name in one.names]
        first += own
        groups.append(Group(None, (), _returned(first, f"if {self.choice.stop}:")))
        groups += [self._group(one) for one in statements[len(forward) :]]
        sums = [name for one in statements if self._is_sum(one) for name in one.names]
        sums = [*first, *(name for name in sums if name not in first)]
        found = stored(groups, sums, self._scalars(), self.outside)
        self.buffers += found.buffers
        self.sums = first, sums[len(first) :]
        lines = [line for group in found.lines for line in group]
        lines += _returned(sums)
        read = variables("\n".join(lines))
        self.kept = [name for name in fixed if name in read]
        self.by_column = found.by_column
        if self.interface.invariant:  # inputs are put by column once, if anything is
            inputs = [name for name in self._inputs(read) if self.types[name] in self.by_column]
            self.kept += [name for name in inputs if name in self.interface.arguments]
        passed = self._passed(read)
        size, length = size_name(self.batch.rows), self.lengths[size_name(self.batch.rows)]
        prelude = [f"{size} = {length}"] if size in read else []
        prelude += self._sizes(read, {size, size_name(self.batch.total)})
        prelude += ["dtype = work.dtype"] if "dtype" in read else []
        arguments = ["work: _Workspace", *(f"{name}: {kind}" for name, kind in passed.items())]
        arguments = [one for one in arguments if one.partition(":")[0] not in self.kept]
        arguments += [f"{out}: Array" for out in self.outside.values()]
        arguments += [self.choice.argument, *(f"{name}: Any" for name in self.kept)]
        self.passed = list(passed)
        doc = (
            "What a block of rows adds to the sums: those of the loss, then those of its gradient.",
            *self.choice.note,
        )
        return Function(signature("_block", arguments, "Sequence[Any]"), doc, (*prelude, *lines))

    def _is_sum(self, one: Statement | ForLoop) -> bool:
        return self.places[one.tensor] == "sum"

    def _passed(self, read: Sequence[str]) -> dict[str, str]:
        """What the block reads: parameters, inputs, what all rows share, the number of rows."""
        assert self.batch is not None
        free = {name for one in self._statements("free") for name in one.names}
        passed = {"p": "Parameters"} if "p" in read else {}
        passed |= dict.fromkeys(self._inputs(read), "Array")
        passed |= {name: "Any" for name in self.code.names if name in free and name in read}
        total = size_name(self.batch.total)
        passed |= {total: "int"} if total in read else {}
        return passed | dict.fromkeys(self.kept, "Any")

    def _evaluate(self) -> Function:
        groups: list[Group] = []
        later: list[Statement | ForLoop] = []
        if self.batch is not None:
            first, later = self._before_blocks()
            groups += [self._group(one) for one in first]
            groups += self._blocks()
        statements = [*self._statements("after"), *later]
        statements.sort(key=lambda one: (not self.forward[one.tensor], one not in later))
        forward = [one for one in statements if self.forward[one.tensor]]
        groups += [self._group(one) for one in forward]
        loss = self.code.results["loss"]
        stop = [f"if {self.choice.stop}:", f"    return float({loss}), None"]
        if self.batch is not None and self.sums[1]:
            stop += unpacked(self.sums[1], "rest")
        groups.append(Group(None, (), tuple(stop)))
        groups += [self._group(one) for one in statements[len(forward) :]]
        results = self.code.results
        fields = [self._gradient(name, results[f"d_{name}"]) for name in self.interface.parameters]
        last = call("return float(" + loss + "), Parameters", fields, "")
        found = stored(groups, variables("\n".join(last)), self._scalars(), {})
        self.buffers += found.buffers
        lines = [line for group in found.lines for line in group]
        read = variables("\n".join([*lines, *last]))
        prelude = ["work = works[0]"] if "work" in read else []
        prelude += self._sizes(read, set())
        prelude += ["dtype = works[0].dtype"] if "dtype" in read else []
        arguments = ["works: Sequence[_Workspace]", "p: Parameters"]
        arguments += [f"{name}: Array" for name in self.interface.arguments]
        arguments += [self.choice.argument]
        arguments += ["fixed: Sequence[Sequence[Any]] | None = None"] if self.kept else []
        return Function(
            signature("_evaluate", arguments, "tuple[float, Any]"),
            (self.choice.doc,),
            (*prelude, *lines, *last),
        )

    def _before_blocks(self) -> tuple[list[Statement | ForLoop], list[Statement | ForLoop]]:
        """What rows share: for the loss or for the blocks, and for nothing but the gradient."""
        needed = set(self.passed)
        first: list[Statement | ForLoop] = []
        later: list[Statement | ForLoop] = []
        for one in reversed(self._statements("free")):
            if self.forward[one.tensor] or not needed.isdisjoint(one.names):
                first.insert(0, one)
                needed.update(variables("\n".join(one.lines)))
            else:
                later.insert(0, one)
        return first, later

    def _gradient(self, name: str, source: str) -> str:
        """A gradient as training takes it: numbers stay numbers."""
        is_number = not self.types[name].shape and self.largest <= SMALL
        return source if is_number else self.interface.gradient(name, source)

    def _sizes(self, read: Sequence[str], but: set[str]) -> list[str]:
        return [f"{n} = {text}" for n, text in self.lengths.items() if n in read and n not in but]

    def _blocks(self) -> list[Group]:
        """The statements that add up the blocks."""
        assert self.batch is not None
        total = size_name(self.batch.total)
        outs = list(self.outside)
        lines = [f"{name} = _empty({self._whole(name)}, dtype)" for name in outs]
        given = [name for name in self.passed if name not in self.kept]
        whole = [self._argument(name, "") for name in given] + outs
        parts = [self._argument(name, "rows") for name in given]
        parts += [f"{name}[{self._key(name)}]" for name in outs]
        if self.kept:
            lines += self._of_fixed(whole, parts)
        else:
            choice = self.choice.name
            single = call("sums = _block", ["work", *whole, choice], "", 2 * INDENT)
            each = call("lambda work, rows: _block", ["work", *parts, choice], ",", 3 * INDENT)
            lines += [f"if {total} <= BLOCK:", *(f"    {line}" for line in single), "else:"]
            lines += ["    sums = _summed(", "        works,", f"        {total},"]
            lines += [*(f"        {line}" for line in each), "    )"]
        first, rest = self.sums
        lines += unpacked([*first, *(["*rest"] if rest else [])], "sums")
        reads = tuple(name for name in variables("\n".join(lines)))
        own = tuple(Call(name, "", (), reads) for name in (*first, *rest))
        return [Group(None, own, tuple(lines))]

    def _of_fixed(self, whole: Sequence[str], parts: Sequence[str]) -> list[str]:
        """The same where each block is given what no parameter changes."""
        assert self.batch is not None
        total = size_name(self.batch.total)

        def inside(arguments: Sequence[str], rows: str, at: str, indent: int) -> list[str]:
            made = self._fixed_arguments(rows)
            line = f"given = fixed[{at}] if fixed else _fixed({', '.join(made)})"
            if indent + len(line) > WIDTH:
                calls = call("given = _fixed", made, "", indent + INDENT)
                lines = ["if fixed:", f"    given = fixed[{at}]", "else:"]
                lines += [f"    {part}" for part in calls]
            else:
                lines = [line]
            passed = ["work", *arguments, self.choice.name, "*given"]
            return [*lines, *call("return _block", passed, "", indent)]

        single = inside(whole, "", "0", 2 * INDENT)
        single = [line.replace("return _block", "sums = _block") for line in single]
        each = inside(parts, "rows", "rows.start // BLOCK", 3 * INDENT)
        return [
            f"if {total} <= BLOCK:",
            *(f"    {line}" for line in single),
            "else:",
            "",
            "    def block(work: _Workspace, rows: slice) -> Sequence[Any]:",
            *(f"        {line}" for line in each),
            "",
            f"    sums = _summed(works, {total}, block)",
        ]

    def _argument(self, name: str, rows: str) -> str:
        """An argument of the block, of all rows or of some."""
        assert self.batch is not None
        text = name if name not in self.interface.parameters else f"p.{name}"
        axis = self.batch.axes.get(name)
        return text if axis is None or not rows else f"{text}[{':, ' * axis}{rows}]"

    def _tensor(self, name: str) -> int:
        return next(
            one.tensor
            for one in self.code.statements
            if isinstance(one, Statement) and one.name == name
        )

    def _key(self, name: str) -> str:
        assert self.batch is not None
        shape = self.program[self._tensor(name)].type.shape
        return ":, " * shape.index(self.batch.rows) + "rows"

    def _whole(self, name: str) -> str:
        """The shape of a result with all rows."""
        assert self.batch is not None
        shape = self.program[self._tensor(name)].type.shape
        return shape_text(
            tuple(self.batch.total if size == self.batch.rows else size for size in shape)
        )

    # --- the workspace ---

    def _workspace(self) -> tuple[str, ...]:
        lines = [
            f"self.{self.constants[digest].removeprefix('work.')} = {text}"
            for digest, text in self.interface.constants.items()
            if self.constants[digest].startswith("work.")
        ]
        for name, type_ in self.calls.ones.items():
            lines.append(f"self.{name}: Array = np.ones({shape_text(type_.shape)}, dtype)")
        for buffer in self.buffers:
            shape = shape_text(buffer.type.shape)
            kind = "bool" if buffer.type.dtype == "bool" else "dtype"
            order = ', "F"' if buffer.by_column else ""
            lines.append(f"self.{buffer.name} = _empty({shape}, {kind}{order})")
        return tuple(lines)

    def _rows(self) -> int:
        """Rows of a block such that what it reads and writes stays in the cache."""
        assert self.batch is not None
        shapes = [one.type.shape for one in self.buffers]
        shapes += [self.types[name].shape for name in self.batch.axes]
        rows = self.batch.rows
        each = sum(_elements(one, rows) for one in shapes if sp.Tuple(*one).has(rows))
        fits = BLOCK_BYTES / (NUMBER_BYTES * max(each, 1))
        power = 1
        while power * 3 <= fits * 2:  # the nearest power of two
            power *= 2
        return max(LEAST_BLOCK, min(MOST_BLOCK, power))


def _elements(shape: Shape, rows: sp.Symbol) -> int:
    """Entries per row."""
    sizes = sp.Mul(*shape) / rows
    return int(sizes.subs(dict.fromkeys(sizes.free_symbols, NOMINAL_SIZE)))


def _has(type_: Type, size: str) -> bool:
    return any(size_name(symbol) == size for part in type_.shape for symbol in part.free_symbols)


def _in_workspace(text: str) -> str:
    """Where a constant of floats is kept in the precision of the workspace."""
    inside = text.removeprefix("np.asarray(").partition(",")[0]
    return f"work.{inside.removeprefix('_')}" if text.startswith("np.asarray(") else text


def _takes_work(program: Program, tensor: int) -> bool:
    """Whether something is better computed once than for every block."""
    definition = program[tensor]
    value = definition.value
    if not definition.type.shape or not value.operands or isinstance(value, (Part, Scan)):
        return False
    return not (isinstance(value, Kernel) and (value.is_index_map or value.is_literal))


def _targets(names: Sequence[str]) -> str:
    return f"({names[0]},)" if len(names) == 1 else ", ".join(names) or "()"


def _returned(names: Sequence[str], condition: str = "") -> tuple[str, ...]:
    inside = INDENT + (INDENT if condition else 0)
    line = f"return {_targets(names)}"
    lines = [line] if inside + len(line) <= WIDTH else call("return ", list(names), "", inside)
    if not condition:
        return tuple(lines)
    return (condition, *(f"    {line}" for line in lines))
