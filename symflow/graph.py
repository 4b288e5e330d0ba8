"""The user's graph: placeholders, Variables, constants and the operations between them.

A node knows its operation, its inputs, its name if the user gave one, and the line of the model
that made it. Types are inferred as nodes are made, so that a mistake is reported where it is
made; what depends on a placeholder without a shape is inferred when the shape is known.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import sympy as sp
from numpy.typing import DTypeLike, NDArray

import symflow.initializers as initializers
import symflow.operations as operations
from symflow.arithmetic import undistributed
from symflow.errors import Location, SymflowError, calling_location, is_own
from symflow.guidance import unknown_of_tensor
from symflow.program import Dtype, Type, dimension
from symflow.rows import ROWS
from symflow.shapes import Shape, Sizes, Unknown, show, unknown
from symflow.showing import Shown
from symflow.source import is_identifier

_KINDS: dict[str, Dtype] = {"b": "bool", "i": "int", "u": "int", "f": "float"}


class Graph(Shown):
    """A set of nodes, and the training operations asked of them.

    `with Graph().as_default():` makes it the graph that new nodes belong to.
    """

    def __init__(self) -> None:
        self.nodes: list[Tensor] = []
        self.training: list[Any] = []
        self.sizes = Sizes()
        self.seed = 0
        self.names: Mapping[int, str] = {}  # what the model binds nodes to, when it has been run
        self.observers: list[Callable[[], None]] = []  # called when a node is made

    @contextmanager
    def as_default(self) -> Iterator[Graph]:
        _default.graphs.append(self)
        try:
            yield self
        finally:
            _default.graphs.pop()

    @property
    def placeholders(self) -> list[Placeholder]:
        return [node for node in self.nodes if isinstance(node, Placeholder)]

    @property
    def variables(self) -> list[Variable]:
        return [node for node in self.nodes if isinstance(node, Variable)]

    @property
    def trainable_variables(self) -> list[Variable]:
        return [variable for variable in self.variables if variable.trainable]

    @property
    def dtype(self) -> type[np.floating[Any]]:
        """float32 where every precision that the model states is single, else float64."""
        stated = {node.dtype for node in self.nodes if isinstance(node, (Placeholder, Variable))}
        floats = {np.dtype(one) for one in stated if one is not None and np.dtype(one).kind == "f"}
        return np.float32 if floats and floats <= {np.dtype(np.float32)} else np.float64


class _Default(threading.local):
    """The default graphs of one thread, the one that new nodes belong to last.

    As in TensorFlow 1: what is made in one thread is never a node of another thread's graph.
    """

    def __init__(self) -> None:
        self.graphs = [Graph()]


_default = _Default()


def get_default_graph() -> Graph:
    """The graph that new nodes belong to; every thread has a default graph of its own."""
    return _default.graphs[-1]


def reset_default_graph() -> None:
    """Replace the default graph by an empty one."""
    _default.graphs[-1] = Graph()


def set_random_seed(seed: int) -> None:
    """Set the seed from which the default graph draws initial values."""
    get_default_graph().seed = initializers.seeded("set_random_seed", seed) or 0


class Tensor(Shown):
    """A node of the graph. Made by `placeholder`, `Variable`, `constant` and the operations.

    `+ - * / % ** @ - abs [] < <= > >= == !=` make further nodes, with NumPy's broadcasting, and
    so do `& | ^ ~` of booleans.
    """

    __array_ufunc__ = None  # NumPy arrays leave `array * tensor` to the tensor

    def __init__(
        self,
        operation: operations.Operation | None,
        inputs: Sequence[Tensor],
        attributes: dict[str, Any],
        name: str | None,
        type_: Type | None,
        graph: Graph | None = None,
    ) -> None:
        if name is not None and not isinstance(name, str):
            raise SymflowError(f"name={name!r} is no string", calling_location())
        self.operation = operation
        self.inputs = tuple(inputs)
        self.attributes = attributes
        self.name = None if name is None else str.__str__(name)  # not what a subclass makes of it
        self.location: Location | None = calling_location()
        self.graph = graph or get_default_graph()
        self.part: str | None = None  # what it is in the composition that made it
        self.broken: bool = any(one.broken for one in inputs)  # what it is made of was a mistake
        self._type = type_
        self.number = len(self.graph.nodes)
        self.graph.nodes.append(self)
        for observe in self.graph.observers:
            observe()

    def called(self, part: str) -> Tensor:
        """The node itself, named as a part of the composition that makes it."""
        self.part = part
        return self

    @property
    def type(self) -> Type | None:
        """Shape and kind of number, or None while they depend on a placeholder without shape."""
        return None if self._type is None else self._type.resolved(self.graph.sizes)

    @property
    def shape(self) -> tuple[int | str | None, ...] | None:
        """Sizes as numbers or names, None for a size or a whole shape that is not yet known."""
        if self.type is None:
            return None
        return tuple(
            int(size) if size.is_Integer else (None if size.atoms(Unknown) else str(size))
            for size in self.type.shape
        )

    def get_shape(self) -> tuple[int | str | None, ...] | None:
        return self.shape

    def __repr__(self) -> str:
        kind = type(self).__name__ if self.operation is None else self.operation.name
        shape = "unknown shape" if self.type is None else show(self.type.shape)
        return f"<symflow {kind}{f' {self.name!r}' if self.name else ''} {shape}>"

    def __add__(self, other: Any) -> Tensor:
        return elementwise("add", self, other)

    def __radd__(self, other: Any) -> Tensor:
        return elementwise("add", other, self)

    def __sub__(self, other: Any) -> Tensor:
        return elementwise("subtract", self, other)

    def __rsub__(self, other: Any) -> Tensor:
        return elementwise("subtract", other, self)

    def __mul__(self, other: Any) -> Tensor:
        return elementwise("multiply", self, other)

    def __rmul__(self, other: Any) -> Tensor:
        return elementwise("multiply", other, self)

    def __truediv__(self, other: Any) -> Tensor:
        return elementwise("divide", self, other)

    def __rtruediv__(self, other: Any) -> Tensor:
        return elementwise("divide", other, self)

    def __pow__(self, other: Any) -> Tensor:
        return elementwise("pow", self, other)

    def __rpow__(self, other: Any) -> Tensor:
        return elementwise("pow", other, self)

    def __matmul__(self, other: Any) -> Tensor:
        return apply(operations.TABLE["matmul"], [self, other])

    def __rmatmul__(self, other: Any) -> Tensor:
        return apply(operations.TABLE["matmul"], [other, self])

    def __mod__(self, other: Any) -> Tensor:
        return elementwise("floormod", self, other)

    def __rmod__(self, other: Any) -> Tensor:
        return elementwise("floormod", other, self)

    def __and__(self, other: Any) -> Tensor:
        return elementwise("logical_and", self, other)

    def __rand__(self, other: Any) -> Tensor:
        return elementwise("logical_and", other, self)

    def __or__(self, other: Any) -> Tensor:
        return elementwise("logical_or", self, other)

    def __ror__(self, other: Any) -> Tensor:
        return elementwise("logical_or", other, self)

    def __xor__(self, other: Any) -> Tensor:
        return elementwise("logical_xor", self, other)

    def __rxor__(self, other: Any) -> Tensor:
        return elementwise("logical_xor", other, self)

    def __invert__(self) -> Tensor:
        return elementwise("logical_not", self)

    def __neg__(self) -> Tensor:
        return elementwise("negative", self)

    def __abs__(self) -> Tensor:
        return elementwise("abs", self)

    def __lt__(self, other: Any) -> Tensor:
        return elementwise("less", self, other)

    def __le__(self, other: Any) -> Tensor:
        return elementwise("less_equal", self, other)

    def __gt__(self, other: Any) -> Tensor:
        return elementwise("greater", self, other)

    def __ge__(self, other: Any) -> Tensor:
        return elementwise("greater_equal", self, other)

    def __eq__(self, other: object) -> Tensor:  # type: ignore[override]
        return elementwise("equal", self, other)

    def __ne__(self, other: object) -> Tensor:  # type: ignore[override]
        return elementwise("not_equal", self, other)

    __hash__ = object.__hash__

    def __bool__(self) -> bool:
        raise self._no_number(
            "truth value",
            "choose with sf.where(test, a, b); write & | ~ for and or not, sf.maximum for max",
        )

    def __float__(self) -> float:
        raise self._no_number("value for float()", "leave float() out: operations take tensors")

    def __int__(self) -> int:
        raise self._no_number("value for int()", "sf.to_int(t) makes whole numbers of a tensor")

    def __index__(self) -> int:
        raise self._no_number(
            "value to count with",
            "sizes and indices that Python counts with are in .shape, or numbers of your own",
        )

    def __array__(self, *options: Any, **named: Any) -> NDArray[Any]:
        raise self._no_number(
            "numbers for NumPy", "use symflow's function of that name, as sf.exp for np.exp"
        )

    def _no_number(self, what: str, hint: str) -> SymflowError:
        return SymflowError(
            f"{called_by_user(self)} has no {what} while the graph is built",
            calling_location(),
            hint=hint,
        )

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        kind = "a Variable" if isinstance(self, Variable) else "a tensor"
        raise unknown_of_tensor(kind, name, (*ROWS, *operations.TABLE))

    def __iter__(self) -> Iterator[Tensor]:
        size = self.shape[0] if self.shape else None
        if not isinstance(size, int):
            raise SymflowError(
                f"{called_by_user(self)} has no fixed first dimension to go along",
                calling_location(),
                hint="operations work on all rows at once; sf.scan goes from one to the next",
            )
        return (self[number] for number in range(size))

    def __len__(self) -> int:
        raise SymflowError(
            "a tensor has no len()", calling_location(), hint="its sizes are in .shape"
        )

    def __getitem__(self, key: Any) -> Tensor:
        return _indexed(self, key if isinstance(key, tuple) else (key,))

    def __setitem__(self, key: Any, value: Any) -> None:
        raise SymflowError(
            f"{called_by_user(self)} cannot be changed in place: a tensor is a formula",
            calling_location(),
            hint="make a new tensor, as with sf.where(condition, new, old) or sf.concat",
        )


class Placeholder(Tensor):
    """A value given when the program runs. Made by `placeholder`."""

    def __init__(self, dtype: Any, shape: Any, name: str | None) -> None:
        self.dtype = _dtype(dtype) if dtype is not None else None
        kind: Dtype = "float" if self.dtype is None else _KINDS[np.dtype(self.dtype).kind]
        type_ = None if shape is None else Type(shape_of(shape), kind)
        self.kind = kind
        super().__init__(None, (), {}, name, type_)


class StepInput(Tensor):
    """What a step of a scan reads: the carry of the step before, or its entry of a sequence."""

    def __init__(self, type_: Type | None, graph: Graph) -> None:
        super().__init__(None, (), {}, None, type_, graph)


class Variable(Tensor):
    """A value that training changes.

    initial_value  an array, a number, or an initializer such as `sf.glorot_uniform((64, 32))`
    name           as it stands in the generated module; by default the name it is bound to
    trainable      False for a value that optimizers leave alone
    """

    def __init__(
        self, initial_value: Any = None, name: str | None = None, trainable: bool = True
    ) -> None:
        if initial_value is None:
            hint = "as sf.Variable(np.zeros(3)) or sf.Variable(sf.glorot_uniform((784, 10)))"
            raise SymflowError("a Variable needs an initial value", calling_location(), hint=hint)
        if isinstance(initial_value, Constant):
            initial_value = initial_value.value
        if isinstance(initial_value, Tensor):
            raise SymflowError(
                "the initial value of a Variable is an array or an initializer, not a tensor",
                calling_location(),
                hint="as np.zeros((784, 10)) or sf.glorot_uniform((784, 10))",
            )
        self.dtype: Any = None
        self.initial_value: initializers.Initializer | NDArray[Any]
        if isinstance(initial_value, initializers.Initializer):
            self.initial_value = initial_value
        else:
            array = initializers.given(initial_value)
            self.dtype = np.float32 if array.dtype == np.float32 else None
            self.initial_value = array.astype(np.result_type(array.dtype, np.float32))
            wrong = np.argwhere(~np.isfinite(self.initial_value))
            if len(wrong):
                at = tuple(wrong[0].tolist())
                told = f"entry {at} is {self.initial_value[at]}" if at else str(self.initial_value)
                raise SymflowError(f"the initial value is not finite: {told}", calling_location())
        self.trainable = bool(trainable)
        shape = tuple(map(sp.Integer, self.initial_value.shape))
        super().__init__(None, (), {}, name, Type(shape))


class Constant(Tensor):
    """A value that the model file holds. Made by `constant`, and by numbers in expressions."""

    def __init__(self, value: Any, dtype: Any = None, name: str | None = None) -> None:
        array = initializers.given(value)
        self.value = array if dtype is None else _cast(array, _dtype(dtype))
        if self.value.dtype.kind in "iu":  # of bytes, 200 + 100 would be 44
            self.value = _cast(self.value, np.int64)
        shape = tuple(map(sp.Integer, self.value.shape))
        super().__init__(None, (), {}, name, Type(shape, _KINDS[self.value.dtype.kind]))


def placeholder(dtype: DTypeLike | None = None, shape: Any = None, name: str | None = None) -> Any:
    """A value that is given when the program runs.

    dtype  `sf.float32`, `sf.int64`, ...; floating point in the model's precision by default
    shape  numbers, names such as `"n"` for sizes known only then, `None` for a size that follows
           from the others. Without a shape, it is taken from what a Session is fed, and
           `symflow compile` wants `--shape`
    """
    return Placeholder(dtype, shape, name)


def constant(value: Any, dtype: DTypeLike | None = None, name: str | None = None) -> Tensor:
    """A number or an array that stands in the model file."""
    return Constant(value, dtype, name)


def shape_of(shape: Any) -> Shape:
    """What a user writes for a shape, as sizes."""
    if isinstance(shape, (int, str, np.integer)):
        return (_size(shape),)
    if not isinstance(shape, Iterable):
        told, hint = f"{shape!r} is no shape", 'as (784, 10), or ("n", 784) where n is open'
        raise SymflowError(told, calling_location(), hint=hint)
    entries = tuple(shape)
    return tuple(_size(entry) for entry in entries)


def named_shape(text: str) -> tuple[str, Shape]:
    """`x=n,784` as a name and a shape; raises SymflowError where it is none."""
    name, equals, sizes = text.partition("=")
    entries = [entry.strip() for entry in sizes.strip("() ").split(",") if entry.strip()]
    if not equals or not name.strip():
        raise SymflowError(f"{text!r} is not NAME=SIZE,SIZE,...")
    whole = [int(entry) if entry.lstrip("-").isdigit() else entry for entry in entries]
    return name.strip(), shape_of(whole)


def _size(entry: Any) -> sp.Expr:
    if entry is None:
        return unknown()
    if isinstance(entry, str) and is_identifier(entry):
        return dimension(str.__str__(entry))
    if isinstance(entry, (int, np.integer)) and not isinstance(entry, bool) and entry >= 1:
        return sp.Integer(int(entry))
    raise SymflowError(
        f"{entry!r} is no dimension: use a whole number from 1, a name or None", calling_location()
    )


def _dtype(dtype: Any) -> Any:
    try:
        found = None if isinstance(dtype, (tuple, list, dict)) else np.dtype(dtype)
    except (TypeError, ValueError):
        found = None
    if found is None:
        raise SymflowError(
            f"{dtype!r} is no dtype",
            calling_location(),
            hint="as sf.float32; the order is placeholder(dtype, shape, name)",
        )
    if found.kind not in _KINDS:
        raise SymflowError(f"dtype {found} is not a real number's", calling_location())
    return found.type


def _cast(array: NDArray[Any], dtype: Any) -> NDArray[Any]:
    """An array of another dtype, if its numbers are among those that the dtype has."""
    with np.errstate(all="ignore"):
        cast = array.astype(dtype)
    if cast.dtype.kind in "iu" and not np.array_equal(cast, np.trunc(array)):
        wrong = array[cast != np.trunc(array)].flat[0]
        raise SymflowError(f"{wrong} is no number of {cast.dtype}", calling_location())
    return cast


def convert(value: Any) -> Tensor:
    """A tensor from what a user may write in its place."""
    if isinstance(value, Tensor):
        return value
    if isinstance(value, initializers.Initializer):
        if value.constant is None:
            hint = f"sf.Variable(sf.{value.name}({value.shape}))"
            raise SymflowError(f"{value.name} is for Variables only", calling_location(), hint=hint)
        return Constant(np.full(value.shape, value.constant))
    return Constant(value)


def _exponent(given: Tensor) -> Tensor:
    """What something is raised to: NumPy has no integers to negative powers."""
    if isinstance(given, Constant) and given.value.dtype.kind == "i" and np.any(given.value < 0):
        return Constant(given.value.astype(float), given.name)
    return given


def elementwise(name: str, *operands: Any, label: str | None = None) -> Tensor:
    """A row of the elementwise table applied to tensors, arrays or numbers."""
    return apply(ROWS[name], operands, label)


def structural(name: str, *operands: Any, label: str | None = None, **attributes: Any) -> Tensor:
    """A row of the table of all other operations applied to tensors, arrays or numbers."""
    return apply(operations.TABLE[name], operands, label, **attributes)


@undistributed
def apply(
    operation: operations.Operation,
    operands: Sequence[Any],
    name: str | None = None,
    **attributes: Any,
) -> Tensor:
    """A new node; its type is inferred now if the types of the operands are known."""
    inputs = [convert(operand) for operand in operands]
    if operation is ROWS["pow"]:
        inputs[1] = _exponent(inputs[1])
    graphs = {id(node.graph): node.graph for node in inputs}
    if len(graphs) > 1:
        names, location = [called_by_user(node) for node in inputs], calling_location()
        raise SymflowError(
            f"{operation.name}: {' and '.join(names)} belong to different graphs",
            location,
            operands=_definitions(inputs, names, location),
            hint="make all tensors of a model in one graph",
        )
    graph = next(iter(graphs.values()), get_default_graph())
    if any(node.broken for node in inputs):
        return Tensor(operation, inputs, attributes, name, None, graph)
    types = [node.type for node in inputs]
    inferred = None
    known = [type_ for type_ in types if type_ is not None]
    if len(known) == len(types):
        try:
            found = -1
            while found < len(graph.sizes):  # sizes declared as None may be found out on the way
                found = len(graph.sizes)
                known = [node.type for node in inputs if node.type is not None]
                value = operation.define(known, graph.sizes, **attributes)
            inferred = value.infer([known[number] for number in value.operands])
        except SymflowError as error:
            raise described(error, operation, inputs, known, calling_location()) from None
    return Tensor(operation, inputs, attributes, name, inferred, graph)


def described(
    error: SymflowError,
    operation: operations.Operation,
    inputs: Sequence[Tensor],
    types: Sequence[Type],
    location: Location | None,
) -> SymflowError:
    """The error with the operation, its operands as the user calls them, and the line.

    An error without a message is a clash of the operands' shapes. In its hint {0}, {1}, ... stand
    for what the user calls the operands.
    """
    if error.location is not None:  # of an operation inside this one
        return error
    names = [called_by_user(node) for node in inputs]
    shapes = [
        f"{name} is {show(type_.shape)}"
        for node, name, type_ in zip(inputs, names, types, strict=True)
        if not isinstance(node, Constant) or len(inputs) < 3
    ]
    told = (" and " if error.message else " but ").join(shapes)
    parts = [operation.name, told, error.message]
    return SymflowError(
        ": ".join(part for part in parts if part),
        location,
        operands=_definitions(inputs, names, location),
        hint=None if error.hint is None else error.hint.format(*names),
    )


def _definitions(
    nodes: Sequence[Tensor], names: Sequence[str], location: Location | None
) -> list[tuple[str, Location]]:
    """Where operands are defined, as far as the line at fault and its message do not show it."""
    found: dict[str, Location] = {}
    for node, name in zip(nodes, names, strict=True):
        known = node.location is None or node.location == location or str(node.location) in name
        literal = isinstance(node, Constant) and not name.isidentifier()
        if not known and not literal and node.location is not None:
            found.setdefault(name, node.location)
    return list(found.items())


def called_by_user(node: Tensor, inside: bool = True) -> str:
    """What the user calls a node: its name, or the variable it is bound to, or what it is.

    inside  whether to write an operation with its operands, where those have names
    """
    if node.name:
        return node.name
    if id(node) in node.graph.names:
        return node.graph.names[id(node)]
    frame: Any = sys._getframe(1)
    while frame is not None:
        own = is_own(frame)
        for scope in (frame.f_globals,) if own else (frame.f_locals, frame.f_globals):
            for name, value in scope.items():
                if value is node and not name.startswith("_"):
                    return str(name)
        frame = frame.f_back
    if isinstance(node, Constant) and node.value.ndim == 0:
        return str(node.value)
    if isinstance(node, StepInput) and node.part is not None:
        return node.part
    if node.operation is not None and inside:
        operands = [called_by_user(one, inside=False) for one in node.inputs]
        if all(one[:4] not in ("the ", "a ") for one in operands) and len(operands) < 4:
            return f"{node.operation.name}({', '.join(operands)})"
    kind = type(node).__name__ if node.operation is None else node.operation.name
    kind = kind if isinstance(node, Variable) else kind.lower()
    return f"the {kind} at {node.location}" if node.location else f"a {kind}"


def _indexed(tensor: Tensor, key: tuple[Any, ...]) -> Tensor:
    """NumPy's basic indexing, and one array of whole numbers per axis as a gather."""
    if any(part is Ellipsis for part in key):
        at = next(number for number, part in enumerate(key) if part is Ellipsis)
        if sum(part is Ellipsis for part in key) > 1:
            raise SymflowError("an index has one ellipsis at most", calling_location())
        if tensor.type is None:
            raise SymflowError("... needs a tensor of known rank", calling_location())
        named = sum(part is not None and part is not Ellipsis for part in key)
        fill = (slice(None),) * (len(tensor.type.shape) - named)
        key = (*key[:at], *fill, *key[at + 1 :])
    basic: list[Any] = []
    gathers: list[tuple[int, Any]] = []
    new_axes: list[int] = []
    axis = 0  # of the result, before new axes and gathers
    for part in key:
        if part is None:
            new_axes.append(axis + len(new_axes))
        elif isinstance(part, (int, np.integer)) and not isinstance(part, bool):
            basic.append(int(part))
        elif isinstance(part, slice):
            basic.append(_step(part))
            axis += 1
        else:
            gathers.append((axis, part))
            basic.append((None, None, 1))
            axis += 1
    result = tensor
    if any(part != (None, None, 1) for part in basic):
        result = apply(operations.TABLE["slice"], [result], key=tuple(basic))
    kinds = ["slice" if isinstance(part, slice) else "entry" for part in key if part is not None]
    entries = [at for at, kind in enumerate(kinds) if kind == "entry"]
    apart = entries != list(range(min(entries, default=0), max(entries, default=-1) + 1))
    if len(gathers) > 1 or (gathers and (new_axes or apart)):
        # NumPy would put the axes of an array that a slice parts from a number in front
        raise SymflowError("index with one array at a time, beside slices", calling_location())
    for axis, rows in gathers:
        result = apply(operations.TABLE["gather"], [result, rows], axis=axis)
    for axis in new_axes:
        result = apply(operations.TABLE["expand_dims"], [result], axis=axis)
    return result


def _step(part: slice) -> tuple[int | None, int | None, int]:
    ends = (part.start, part.stop, part.step)
    if not all(end is None or isinstance(end, (int, np.integer)) for end in ends):
        raise SymflowError(f"{part} is not a slice of whole numbers", calling_location())
    start, stop, step = (None if end is None else int(end) for end in ends)
    if step == 0:
        raise SymflowError("a slice with step 0", calling_location())
    return start, stop, 1 if step is None else step
