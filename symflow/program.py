"""The intermediate representation: a program is a list of tensors, each defined by one value.

    program     ::=  definition*, outputs
    definition  ::=  type, value, label, origin       bound once, only to what stands before it
    value       ::=  kernel | input | constant | iota | full | primitive | derivative
    kernel      ::=  z[output] = reduction over the other indices of body(slots)
                     each slot bound to one access  tensor[indices]

A kernel is the one form of every computation: matmul, broadcasting, transposes, reductions and
elementwise maths differ only in their indices and their body. An index is a small integer, local
to its kernel, with its size in the kernel's table; an axis of size one carries no index (`None`),
which is all there is to broadcasting. Bodies are SymPy expressions over the same few slot
symbols in every kernel, so equal operations have equal bodies, and structural identity of a
value is common-subexpression elimination.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, lru_cache
from typing import Any, Literal, NamedTuple, Protocol

import numpy as np
import sympy as sp
from numpy.typing import NDArray

from symflow.arithmetic import Symbol, assert_undistributed
from symflow.errors import Location
from symflow.shapes import Shape, Sizes

Dtype = Literal["bool", "int", "float"]
Reduction = Literal["sum", "max", "min", "any", "all"]
Indices = tuple["int | None", ...]

ONE = sp.Integer(1)
_RANK: dict[str, int] = {"bool": 0, "int": 1, "float": 2}


@dataclass(frozen=True, slots=True)
class Type:
    """Shape and kind of number of a tensor. Precision is not part of a program."""

    shape: Shape
    dtype: Dtype = "float"

    def resolved(self, sizes: Sizes) -> Type:
        """The type in terms of the sizes that are known now."""
        return Type(sizes.resolved(self.shape), self.dtype)


@dataclass(frozen=True, slots=True)
class Bundle(Type):
    """The type of a value with several results: their types. A `Part` of it is a tensor."""

    parts: tuple[Type, ...] = ()

    @staticmethod
    def of(parts: Sequence[Type]) -> Bundle:
        return Bundle((), widest([part.dtype for part in parts]), tuple(parts))

    def resolved(self, sizes: Sizes) -> Type:
        return Bundle.of([part.resolved(sizes) for part in self.parts])


@cache
def slot(number: int) -> sp.Symbol:
    """The symbol that stands for operand `number` in every body."""
    return Symbol(f"s{number}", real=True)


@cache
def _slot_number(symbol: sp.Symbol) -> int | None:
    name = symbol.name
    number = int(name[1:]) if name[:1] == "s" and name[1:].isdigit() else None
    return number if number is not None and symbol == slot(number) else None


@lru_cache(maxsize=65536)
def slots_of(body: sp.Expr) -> tuple[int, ...]:
    """The numbers of the slots that a body mentions, ascending."""
    numbers = (_slot_number(symbol) for symbol in body.free_symbols)
    return tuple(sorted(number for number in numbers if number is not None))


@lru_cache(maxsize=65536)
def operations_in(body: sp.Expr) -> int:
    """How many operations an expression consists of."""
    return int(body.count_ops())


def dimension(name: str) -> sp.Symbol:
    """A size that is known only when the program runs, such as the number of rows `n`."""
    return Symbol(name, integer=True, positive=True)


def number(value: float) -> sp.Expr:
    """A Python number as SymPy reads it off the page: 0.1 is one tenth, and prints as 0.1. One of
    many digits is the float itself, as a fraction.

    A fraction is exact whatever SymPy does with it, and every version does the same; not so a
    Float, of which 1.13 makes 4^k·(x + 0.5)^k where (4.0·x + 2.0)^k is written.
    """
    if isinstance(value, int) or float(value).is_integer():
        return sp.Integer(int(value))
    written = repr(float(value))
    return sp.Rational(written) if len(written) < 15 else sp.Rational(float(value))


LARGEST_DENOMINATOR = 10**10
"""Of a number that people are shown as a fraction."""


# --- values ----------------------------------------------------------------------------------


class Value(Protocol):
    """What defines a tensor. Values are immutable, and equal values compute the same thing."""

    @property
    def operands(self) -> tuple[int, ...]:
        """The tensors that it reads."""

    def rebind(self, binding: Callable[[int], int]) -> Value:
        """The same value reading `binding(operand)` in place of each operand."""

    def infer(self, operands: Sequence[Type]) -> Type:
        """The type of the result, from the types of the operands in order."""


class Access(NamedTuple):
    """`tensor[indices]`: one entry per axis, `None` where the axis has size one."""

    tensor: int
    indices: Indices


@dataclass(frozen=True, slots=True)
class Kernel:
    """z[output] = reduction over the remaining indices of body. Build with `kernel`."""

    output: Indices
    sizes: tuple[sp.Expr, ...]
    body: sp.Expr
    accesses: tuple[Access, ...]
    reduction: Reduction = "sum"

    def __repr__(self) -> str:
        """That of a dataclass; SymPy takes long to write an expression, and writes each once."""
        form = _written(self.output, self.sizes, self.body)
        return f"{form}, accesses={self.accesses}, reduction={self.reduction!r})"

    @property
    def operands(self) -> tuple[int, ...]:
        return tuple([tensor for tensor, _ in self.accesses])

    @property
    def reduced(self) -> tuple[int, ...]:
        """The indices that the reduction runs over."""
        return _beside(self.output, len(self.sizes))

    @property
    def elementwise(self) -> bool:
        return not self.reduced

    @property
    def is_index_map(self) -> bool:
        """Whether it only renames, drops or repeats axes of one tensor."""
        return self.elementwise and self.body == slot(0)

    @property
    def is_literal(self) -> bool:
        """Whether every element is the same number (or a formula in the sizes)."""
        return self.elementwise and not self.accesses

    def rebind(self, binding: Callable[[int], int]) -> Kernel:
        accesses: list[Access] = []
        old = new = -1
        ordered = same = True
        for tensor, indices in self.accesses:
            moved = binding(tensor)
            accesses.append(Access(moved, indices))
            same = same and moved == tensor
            ordered = ordered and (moved > new if tensor > old else moved == new)
            old, new = tensor, moved
        if same:
            return self
        if ordered:  # canonical as it is
            return Kernel(self.output, self.sizes, self.body, tuple(accesses), self.reduction)
        return kernel(self.output, self.sizes, self.body, accesses, self.reduction)

    def infer(self, operands: Sequence[Type]) -> Type:
        indices = tuple(access.indices for access in self.accesses)
        types = tuple(operands)
        return _inferred(self.output, self.sizes, self.body, indices, self.reduction, types)

    def carried(self, expression: sp.Expr) -> frozenset[int]:
        """The indices on which a part of the body depends."""
        return frozenset(
            index
            for number in slots_of(expression)
            for index in self.accesses[number].indices
            if index is not None
        )

    def order(self, expression: sp.Expr) -> tuple[int, ...]:
        """The indices that a part of the body carries, those of the output first."""
        return tuple(sorted(self.carried(expression)))

    def part(self, expression: sp.Expr) -> Kernel:
        """The elementwise kernel that computes a part of the body, over `order(expression)`."""
        numbers = {index: at for at, index in enumerate(self.order(expression))}
        accesses = [
            Access(one.tensor, tuple(None if i is None else numbers.get(i) for i in one.indices))
            for one in self.accesses
        ]
        sizes = [self.sizes[index] for index in numbers]
        return kernel(range(len(sizes)), sizes, expression, accesses)


@lru_cache(maxsize=65536)
def _written(output: Indices, sizes: tuple[sp.Expr, ...], body: sp.Expr) -> str:
    return f"Kernel(output={output}, sizes={sizes}, body={body!r}"


@lru_cache(maxsize=65536)
def _beside(output: Indices, count: int) -> tuple[int, ...]:
    """The indices that are not in the output."""
    return tuple(index for index in range(count) if index not in output)


def kernel(
    output: Sequence[int | None],
    sizes: Sequence[sp.Expr],
    body: sp.Expr,
    accesses: Sequence[Access],
    reduction: Reduction = "sum",
) -> Kernel:
    """A kernel in canonical form: slots in order of their tensors, indices in order of use.

    Slots that the body does not mention are dropped, and two slots with the same access become
    one, so that equal computations are equal values. `sizes` may hold indices that nothing
    carries; they stay where they are reduced or part of the output.
    """
    assert_undistributed()
    tensors = sorted({access.tensor for access in accesses})
    ranks = {tensor: rank for rank, tensor in enumerate(tensors)}
    ordered = _canonical(
        tuple(output),
        tuple(sizes),
        body,
        tuple((ranks[access.tensor], access.indices) for access in accesses),
        reduction,
    )
    return Kernel(
        ordered.output,
        ordered.sizes,
        ordered.body,
        tuple(Access(tensors[access.tensor], access.indices) for access in ordered.accesses),
        ordered.reduction,
    )


def in_order(output: Indices, count: int, accesses: Iterable[Access]) -> list[Access]:
    """Accesses as the slots of a kernel with `count` indices are in order, each once."""
    position = {index: at for at, index in enumerate(i for i in output if i is not None)}

    def rank(access: Access) -> tuple[int, tuple[int, ...]]:
        return access.tensor, tuple(
            -1 if i is None else position.get(i, count) for i in access.indices
        )

    return sorted(dict.fromkeys(accesses), key=rank)


@lru_cache(maxsize=65536)
def _canonical(
    output: Indices,
    sizes: tuple[sp.Expr, ...],
    body: sp.Expr,
    ranked: tuple[tuple[int, Indices], ...],
    reduction: Reduction,
) -> Kernel:
    """The canonical form depends on the order of the tensors alone: they are 0, 1, ... here."""
    accesses = [Access(*one) for one in ranked]
    used = slots_of(body)
    position = {index: at for at, index in enumerate(i for i in output if i is not None)}
    distinct = in_order(output, len(sizes), [accesses[number] for number in used])
    for access in distinct:
        for index in access.indices:
            if index is not None:
                position.setdefault(index, len(position))
    for index in range(len(sizes)):
        position.setdefault(index, len(position))
    if reduction == "sum" or len(position) == len([i for i in output if i is not None]):
        numbers = {access: number for number, access in enumerate(distinct)}
        renumbering = tuple((number, numbers[accesses[number]]) for number in used)
        if any(old != new for old, new in renumbering):
            body = _renumbered(body, renumbering)
            if len(slots_of(body)) < len(distinct):  # as in x - x
                rest = tuple((access.tensor, access.indices) for access in distinct)
                return _canonical(output, sizes, body, rest, reduction)
    else:
        assert len(distinct) == 1, f"{reduction} reduces one tensor"
        assert body == slot(used[0]), f"{reduction} reduces a tensor as it is"
        body = slot(0)

    def moved(indices: Indices) -> Indices:
        return tuple(None if i is None else position[i] for i in indices)

    placed = sorted(range(len(sizes)), key=position.__getitem__)
    reduces = len(placed) > sum(index is not None for index in output)
    return Kernel(
        moved(output),
        tuple(sizes[index] for index in placed),
        body,
        tuple(Access(access.tensor, moved(access.indices)) for access in distinct),
        reduction if reduces else "sum",
    )


@lru_cache(maxsize=65536)
def _inferred(
    output: Indices,
    sizes: tuple[sp.Expr, ...],
    body: sp.Expr,
    accesses: tuple[Indices, ...],
    reduction: Reduction,
    operands: tuple[Type, ...],
) -> Type:
    """The type of a kernel, from the indices of its accesses and the types of what they read."""
    for indices, operand in zip(accesses, operands, strict=True):
        expected = tuple(ONE if i is None else sizes[i] for i in indices)
        assert operand.shape == expected, f"{operand.shape} is accessed as {expected}"
    shape = tuple(ONE if index is None else sizes[index] for index in output)
    dtype = dtype_of(body, tuple(operand.dtype for operand in operands))
    if dtype == "bool" and _beside(output, len(sizes)) and reduction == "sum":
        dtype = "int"
    return Type(shape, dtype)


@lru_cache(maxsize=65536)
def _renumbered(body: sp.Expr, renumbering: tuple[tuple[int, int], ...]) -> sp.Expr:
    return body.xreplace({slot(old): slot(new) for old, new in renumbering if old != new})


class Leaf:
    """A value that reads no tensor."""

    __slots__ = ()

    @property
    def operands(self) -> tuple[int, ...]:
        return ()

    def rebind(self, binding: Callable[[int], int]) -> Value:
        return self  # type: ignore[return-value]


@dataclass(frozen=True, slots=True)
class Input(Leaf):
    """Something that is given when the program runs: a placeholder or a Variable."""

    name: str
    type: Type
    kind: Literal["placeholder", "variable"]

    def infer(self, operands: Sequence[Type]) -> Type:
        return self.type


@dataclass(frozen=True, slots=True)
class Constant(Leaf):
    """An array that the model file holds. Equal bytes are equal constants."""

    data: NDArray[Any] = field(compare=False, repr=False)
    digest: str

    @staticmethod
    def of(data: NDArray[Any]) -> Constant:
        content = f"{data.dtype.str}{data.shape}".encode() + np.ascontiguousarray(data).tobytes()
        return Constant(data, hashlib.sha256(content).hexdigest()[:16])

    def infer(self, operands: Sequence[Type]) -> Type:
        kinds: dict[str, Dtype] = {"b": "bool", "i": "int", "u": "int", "f": "float"}
        return Type(tuple(map(sp.Integer, self.data.shape)), kinds[self.data.dtype.kind])


@dataclass(frozen=True, slots=True)
class Iota(Leaf):
    """0, 1, 2, ..., size - 1."""

    size: sp.Expr

    def infer(self, operands: Sequence[Type]) -> Type:
        return Type((self.size,), "int")


@dataclass(frozen=True, slots=True)
class Full(Leaf):
    """The same integer or boolean everywhere. Of floats, a literal kernel does this."""

    value: int
    shape: Shape
    dtype: Dtype

    def infer(self, operands: Sequence[Type]) -> Type:
        return Type(self.shape, self.dtype)


@dataclass(frozen=True, slots=True)
class Derivative:
    """∂ of / ∂ by, summed over the elements of `of`. The gradients stage replaces it."""

    of: int
    by: int

    @property
    def operands(self) -> tuple[int, ...]:
        return (self.of, self.by)

    def rebind(self, binding: Callable[[int], int]) -> Value:
        return Derivative(binding(self.of), binding(self.by))

    def infer(self, operands: Sequence[Type]) -> Type:
        return Type(operands[1].shape)


# --- types of bodies -------------------------------------------------------------------------


@lru_cache(maxsize=65536)
def dtype_of(body: sp.Expr, slots: tuple[Dtype, ...]) -> Dtype:
    """The kind of number of a body. A number alone is a float: it never widens an array."""
    return _dtype_of(body, slots) if slots_of(body) else "float"


def _dtype_of(body: sp.Expr, slots: tuple[Dtype, ...]) -> Dtype:
    if isinstance(body, sp.Symbol):
        number = _slot_number(body)
        return "int" if number is None else slots[number]
    if isinstance(body, sp.Integer):
        return "int"
    declared: str | None = getattr(body, "result", None)  # opaque functions say theirs
    if declared == "bool" or declared == "int" or declared == "float":
        return declared  # type: ignore[return-value]
    parts = [_dtype_of(part, slots) for part in body.args]
    if isinstance(body, sp.Pow) and body.exp.is_Integer and body.exp.is_positive:
        return parts[0]
    if declared == "widest":
        chosen = body.args[body.result_from :]
        return widest(parts[body.result_from :]) if any(map(slots_of, chosen)) else "float"
    return widest([*parts, "int"]) if isinstance(body, (sp.Add, sp.Mul)) else "float"


def widest(dtypes: Sequence[Dtype]) -> Dtype:
    """What numbers of several kinds give when they meet."""
    return max(dtypes, key=_RANK.__getitem__)


# --- programs --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Label:
    """How a tensor is called: the user's own name (`exact`), or one derived from such a name.

    Of two labels for the same tensor the one of higher rank stays: 2 for the user's own name,
    1 for the gradient of something that the user named, 0 for the rest, -1 for a part of a
    gradient, which may turn out to be all of it.
    """

    name: str
    rank: int = 0

    @property
    def exact(self) -> bool:
        return self.rank == 2

    @property
    def of_gradient(self) -> Label:
        return Label(f"d_{self.name}", 1 if self.exact else 0)


@dataclass(frozen=True, slots=True)
class Definition:
    """One tensor: its type, what computes it, how it is called, the model line it comes from."""

    type: Type
    value: Value
    label: Label
    origin: Location | None = None


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Program:
    """Definitions in order, each reading only earlier ones, and what is asked of them by name.

    Programs that compute the same in the same way are equal, whatever they call it, so that a
    program can be part of a value.
    """

    definitions: tuple[Definition, ...]
    outputs: Mapping[str, int]

    @property
    def _content(self) -> tuple[tuple[Value, ...], tuple[tuple[str, int], ...]]:
        return tuple(one.value for one in self.definitions), tuple(self.outputs.items())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Program) and self._content == other._content

    def __hash__(self) -> int:
        return hash(self._content)

    def __repr__(self) -> str:
        return f"Program{self._content}"

    @property
    def inputs(self) -> tuple[int, ...]:
        """The tensors that are given when the program runs."""
        return tuple(n for n, one in enumerate(self.definitions) if isinstance(one.value, Input))

    def __getitem__(self, tensor: int) -> Definition:
        return self.definitions[tensor]

    def consumers(self) -> list[list[int]]:
        """For every tensor, the tensors that read it, once per operand."""
        consumers: list[list[int]] = [[] for _ in self.definitions]
        for tensor, definition in enumerate(self.definitions):
            for operand in definition.value.operands:
                consumers[operand].append(tensor)
        return consumers

    def live(self, roots: Iterable[int] | None = None) -> list[bool]:
        """For every tensor, whether one of `roots` (all outputs, by default) depends on it."""
        live = [False] * len(self.definitions)
        for root in self.outputs.values() if roots is None else roots:
            live[root] = True
        for tensor in reversed(range(len(self.definitions))):
            if live[tensor]:
                for operand in self.definitions[tensor].value.operands:
                    live[operand] = True
        return live


class Builder:
    """Collects definitions; the same value added twice is the same tensor.

    Where derivatives by a tensor are still to be taken, it must stay itself: a program is first
    built with `merge=False`, and tensors added with `alone=True` are never merged.
    """

    def __init__(self, merge: bool = True) -> None:
        self.definitions: list[Definition] = []
        self._tensors: dict[Value, int] = {}
        self._merge = merge
        self._alone: set[int] = set()
        self._extremal: set[int] = set()

    def add(
        self, value: Value, label: Label, origin: Location | None = None, alone: bool = False
    ) -> int:
        alone = alone or not self._merge
        known = None if alone else self._tensors.get(value)
        if known is not None:
            self.relabel(known, label, origin)
            return known
        type_ = value.infer([self.definitions[operand].type for operand in value.operands])
        if alone:
            self._alone.add(len(self.definitions))
        else:
            self._tensors[value] = len(self.definitions)
        self.definitions.append(Definition(type_, value, label, origin))
        self._note_extremum(value)
        return len(self.definitions) - 1

    def copy(
        self, program: Program, definition: Definition, value: Value, moved: Mapping[int, int]
    ) -> int:
        """Add a definition of another program, `value` being its value with operands moved.

        Where these have the types that they had, so has the value.
        """
        label, origin = definition.label, definition.origin
        for operand in definition.value.operands:
            if self.definitions[moved[operand]].type is not program.definitions[operand].type:
                return self.add(value, label, origin)
        new = len(self.definitions)
        tensor = self._tensors.setdefault(value, new)
        if tensor < new:
            self.relabel(tensor, label, origin)
        elif value is definition.value:
            self.definitions.append(definition)
        else:
            self.definitions.append(Definition(definition.type, value, label, origin))
        self._note_extremum(value)
        return tensor

    def _note_extremum(self, value: Value) -> None:
        if isinstance(value, Kernel) and value.reduction in ("max", "min"):
            self._extremal.update(value.operands)

    def has_extremum(self, tensor: int) -> bool:
        """Whether the largest or smallest of a tensor's entries is taken: what is subtracted from
        it must be one of its entries as they are stored, and not as they are computed again in
        another order."""
        return tensor in self._extremal

    def kept(self, tensor: int) -> bool:
        """Whether a tensor must stay itself, because derivatives by it are still to be taken."""
        return tensor in self._alone

    def extend(self, tensor: int, value: Value) -> None:
        """Let a value with several results have more of them, after those that it has."""
        types = [self.definitions[operand].type for operand in value.operands]
        extended = replace(self.definitions[tensor], value=value, type=value.infer(types))
        self.definitions[tensor] = extended
        self._tensors[value] = tensor

    def relabel(self, tensor: int, label: Label, origin: Location | None) -> None:
        """Call a tensor by the better of two names."""
        if label.rank > self.definitions[tensor].label.rank:
            self.definitions[tensor] = replace(self.definitions[tensor], label=label, origin=origin)

    def __getitem__(self, tensor: int) -> Definition:
        return self.definitions[tensor]

    def elementwise(
        self, body: sp.Expr, operands: Sequence[int], label: Label, origin: Location | None = None
    ) -> int:
        """body applied to tensors of the same shape, element by element."""
        shape = self.definitions[operands[0]].type.shape
        indices, sizes = indices_of(shape)
        accesses = [Access(operand, indices) for operand in operands]
        return self.add(kernel(indices, sizes, body, accesses), label, origin)

    def program(self, outputs: Mapping[str, int]) -> Program:
        return Program(tuple(self.definitions), outputs)


def indices_of(shape: Shape) -> tuple[Indices, list[sp.Expr]]:
    """One index per axis, none for an axis of size one; and the table of their sizes."""
    sizes: list[sp.Expr] = []
    indices: list[int | None] = []
    for size in shape:
        indices.append(None if size == ONE else len(sizes))
        if size != ONE:
            sizes.append(size)
    return tuple(indices), sizes


def literal(number: sp.Expr, shape: Shape) -> Kernel:
    """A tensor of which every element is `number`."""
    indices, sizes = indices_of(shape)
    return kernel(indices, sizes, number, [])


def without_dead_code(program: Program) -> Program:
    """Only what the outputs depend on."""
    live = program.live()
    for tensor, definition in enumerate(program.definitions):
        if isinstance(definition.value, Input):
            live[tensor] = True  # sizes are read off placeholders
    if all(live):
        return program
    definitions: list[Definition] = []
    moved: dict[int, int] = {}
    for tensor, definition in enumerate(program.definitions):
        if live[tensor]:
            moved[tensor] = len(definitions)
            value = definition.value.rebind(moved.__getitem__)
            if value is not definition.value:
                definition = Definition(definition.type, value, definition.label, definition.origin)
            definitions.append(definition)
    return Program(
        tuple(definitions), {name: moved[tensor] for name, tensor in program.outputs.items()}
    )


def check(program: Program) -> Program:
    """Assert what every stage must leave true, and return the program."""
    for tensor, definition in enumerate(program.definitions):
        for operand in definition.value.operands:
            assert 0 <= operand < tensor, f"%{tensor} reads %{operand}, which is not yet bound"
        operands = [program[operand].type for operand in definition.value.operands]
        inferred = definition.value.infer(operands)
        assert inferred == definition.type, f"%{tensor} is {definition.type}, not {inferred}"
        if isinstance(definition.value, Kernel):
            used = slots_of(definition.value.body)
            assert used == tuple(range(len(definition.value.accesses))), f"%{tensor}: slots {used}"
    for name, tensor in program.outputs.items():
        assert 0 <= tensor < len(program.definitions), f"output {name} dangles"
    return program
