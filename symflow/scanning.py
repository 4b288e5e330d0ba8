"""`scan`: a function is called once, on what stands for any step; what it does is the loop."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import symflow.operations as operations
from symflow.arrays import concat, expand_dims
from symflow.errors import SymflowError, calling_location
from symflow.graph import Constant, Graph, StepInput, Tensor, apply, convert
from symflow.lowering import add_nodes, needed
from symflow.naming import label_nodes
from symflow.primitives import Part
from symflow.program import Builder, Input, Label, Program, Type, Value
from symflow.program import Constant as Literal
from symflow.recurrence import Scan
from symflow.shapes import Sizes, show
from symflow.source import is_identifier


def scan(
    fn: Callable[[Any, Any], Any],
    elems: Any,
    initializer: Any = None,
    reverse: bool = False,
    name: str | None = None,
) -> Any:
    """fn applied to one entry of `elems` after another, with a carry from step to step.

        states = sf.scan(lambda h, x_t: sf.tanh(x_t @ w + h @ u), x, sf.zeros((32, 64)))

    fn           fn(carry, entry) gives the carry after the step. It is called once, on what stands
                 for any step, and may read any other tensor of the graph
    elems        a tensor, or a tuple, list or NamedTuple of tensors, of equal first dimension;
                 entries are taken along it, in the same structure
    initializer  the carry before the first step: a tensor, or a tuple, list or NamedTuple of them.
                 Without it the first entries are the carry, and the first values of the result
    reverse      True to go from the last entry to the first; results stay beside their entries

    Returns the carry after every step, along a new first axis, in the carry's structure. The
    carry after the last step is `states[-1]`, or `states[0]` where the scan goes in reverse. A
    carry that changes its shape or kind of number is a SymflowError.

    The generated module has a `for` loop, whatever the number of steps. Gradients go back through
    the steps (backpropagation through time, Werbos 1990) and read again what each step has
    computed, so that memory grows with their number.
    """
    _check_callable(fn)
    sequences, as_elems = _flattened(elems, "elems")
    if initializer is None:
        return _from_first_entries(fn, sequences, as_elems, reverse, name)
    initial, as_carry = _flattened(initializer, "initializer")
    graph = sequences[0].graph
    carries = tuple(StepInput(one.type, graph) for one in initial)
    entries = tuple(StepInput(_entry_type(one), graph) for one in sequences)
    with _local_names(fn, graph) as names:
        returned = fn(as_carry(carries), as_elems(entries))
    results = _like_carry(returned, initializer)
    parameters = [*_parameters(fn), "carry", "entry"]
    _name(carries, parameters[0], initializer, names)
    _name(entries, parameters[1], elems, names)
    inside, shared = _inside((*carries, *entries), results)
    for one, carry in zip(results, carries, strict=True):
        names.setdefault(id(one), names[id(carry)])
    for one in (*carries, *entries):
        one.called(names[id(one)])
    computed = {id(one) for one in inside}
    bound = {key: called for key, called in names.items() if key in computed}
    labels = label_nodes([*inside], bound)
    labels |= {id(one): Label(names[id(one)], 2) for one in (*carries, *entries)}
    step = _Step(carries, entries, tuple(shared), tuple(inside), tuple(results), labels)
    whole = apply(_SCAN, [*initial, *sequences, *shared], step=step, reverse=bool(reverse))
    stacks: list[Tensor] = []
    for number, carry in enumerate(carries):
        called = names[id(carry)]
        given = name if name is None or len(carries) == 1 else f"{name}_{called}"
        stacks.append(apply(_PART, [whole], given, index=number + len(carries)).called(called))
    return as_carry(stacks)


def _from_first_entries(
    fn: Callable[[Any, Any], Any],
    sequences: Sequence[Tensor],
    as_elems: Callable[[Sequence[Any]], Any],
    reverse: bool,
    name: str | None,
) -> Any:
    if all(one.shape is not None and one.shape[:1] == (1,) for one in sequences):
        return as_elems(sequences)
    first = [one[-1 if reverse else 0] for one in sequences]
    rest = [one[:-1] if reverse else one[1:] for one in sequences]
    stacks, _ = _flattened(scan(fn, as_elems(rest), as_elems(first), reverse), "elems")
    whole: list[Tensor] = []
    for number, (one, stack) in enumerate(zip(first, stacks, strict=True)):
        parts = [expand_dims(one, 0), stack]
        given = name if name is None or len(stacks) == 1 else f"{name}_{number}"
        whole.append(concat(parts[::-1] if reverse else parts, 0, name=given))
    return as_elems(whole)


def _check_callable(fn: Any) -> None:
    if not callable(fn):
        raise SymflowError(f"scan(fn, elems): {fn!r} is no function", calling_location())
    try:
        inspect.signature(fn).bind(None, None)
    except ValueError:  # a function that does not tell what it takes
        return
    except TypeError as error:
        raise SymflowError(f"scan: fn(carry, entry): {error}", calling_location()) from None


# --- structures ------------------------------------------------------------------------------


def _flattened(value: Any, what: str) -> tuple[list[Tensor], Callable[[Sequence[Any]], Any]]:
    """The tensors of a structure, and what puts others into the same structure."""
    if not isinstance(value, (tuple, list)):
        return [convert(value)], lambda parts: parts[0]
    if not value:
        raise SymflowError(f"scan: {what} is empty", calling_location())
    kind: Any = type(value)
    make = kind._make if hasattr(kind, "_make") else kind
    return [convert(one) for one in value], lambda parts: make(parts)


def _like_carry(returned: Any, initializer: Any) -> list[Tensor]:
    """What a step returns, as tensors in the order of the carry."""
    wanted = len(initializer) if isinstance(initializer, (tuple, list)) else None
    given = len(returned) if isinstance(returned, (tuple, list)) else None
    if returned is None or wanted != given:
        told = ["one tensor" if one is None else f"{one} tensors" for one in (wanted, given)]
        raise SymflowError(
            f"scan: the carry is {told[0]}, but the function returns "
            f"{'nothing' if returned is None else told[1]}",
            calling_location(),
        )
    return [convert(one) for one in returned] if given is not None else [convert(returned)]


def _entry_type(sequence: Tensor) -> Type | None:
    type_ = sequence.type
    if type_ is None:
        return None
    if not type_.shape:
        raise SymflowError("scan: elems has no first dimension to go along", calling_location())
    return Type(type_.shape[1:], type_.dtype)


# --- names -----------------------------------------------------------------------------------


@contextmanager
def _local_names(fn: Callable[..., Any], graph: Graph) -> Iterator[dict[int, str]]:
    """What `fn` calls its tensors, by their identity: seen whenever it makes another one."""
    code = getattr(fn, "__code__", None) or getattr(type(fn).__call__, "__code__", None)
    names: dict[int, str] = {}

    def observe() -> None:
        frame = sys._getframe(1)
        while frame is not None and frame.f_code is not code:
            frame = frame.f_back  # type: ignore[assignment]
        for name, value in frame.f_locals.items() if frame is not None else ():
            if isinstance(value, Tensor) and is_identifier(name) and not name.startswith("_"):
                names.setdefault(id(value), name)

    graph.observers.append(observe)
    try:
        yield names
    finally:
        graph.observers.remove(observe)


def _parameters(fn: Callable[..., Any]) -> list[str]:
    """What `fn` calls the carry and the entry."""
    try:
        names = list(inspect.signature(fn).parameters)[:2]
    except (TypeError, ValueError):
        names = []
    plain = [name.strip("_") for name in names]
    return plain if len(plain) == 2 and all(map(is_identifier, plain)) else ["carry", "entry"]


def _name(nodes: Sequence[Tensor], parameter: str, structure: Any, names: dict[int, str]) -> None:
    """Call what a step reads as its function does, or after the fields or the parameter."""
    if not isinstance(structure, (tuple, list)):
        names.setdefault(id(nodes[0]), parameter)
        return
    fields = getattr(structure, "_fields", None)
    for number, node in enumerate(nodes):
        names.setdefault(id(node), fields[number] if fields else f"{parameter}_{number}")


# --- the body --------------------------------------------------------------------------------


def _inside(
    given: Sequence[Tensor], results: Sequence[Tensor]
) -> tuple[list[Tensor], list[Tensor]]:
    """What a step computes, and what all steps share: what depends on no step stays outside."""
    reached = needed(results)
    gradient = operations.TABLE["gradient"]
    sources = {id(node) for node in given}
    while True:
        varying = set(sources)
        for node in reached:
            if any(id(one) in varying for one in node.inputs):
                varying.add(id(node))
        more = {
            id(node.inputs[1])
            for node in reached
            if node.operation is gradient and id(node) in varying
        }
        if more <= varying:
            break
        sources |= more  # a derivative by what is outside passes through all that reads it
    starts = {id(node) for node in reached if not any(id(i) in varying for i in node.inputs)}
    inside = [one for one in reached if id(one) in varying - starts]
    read = {id(one): one for node in inside for one in node.inputs}
    read |= {id(one): one for one in results}
    known = {id(one) for one in (*inside, *given)}
    rest = sorted((one for key, one in read.items() if key not in known), key=_number)
    numbers = [one for one in rest if isinstance(one, Constant) and one.value.ndim == 0]
    shared = [one for one in rest if not (isinstance(one, Constant) and one.value.ndim == 0)]
    return sorted([*inside, *numbers], key=_number), shared


def _number(node: Tensor) -> int:
    return node.number


@dataclass(frozen=True, eq=False)
class _Step:
    """A traced function: what it reads, what it computes, what it returns."""

    carries: tuple[Tensor, ...]
    entries: tuple[Tensor, ...]
    shared: tuple[Tensor, ...]
    inside: tuple[Tensor, ...]
    results: tuple[Tensor, ...]
    labels: Mapping[int, Label]


def _define(operands: Sequence[Type], sizes: Sizes, step: _Step, reverse: bool) -> Value:
    """The scan of a step; operands are the initial carries, the sequences and what is shared."""
    carries, sequences = len(step.carries), len(step.entries)
    while True:  # sizes declared as None may be found out on the way
        known = len(sizes)
        types = [one.resolved(sizes) for one in operands]
        entries = types[carries : carries + sequences]
        steps = entries[0].shape[0]
        for one in entries:
            if sizes.agree(steps, one.shape[0]) is None:
                raise SymflowError(f"elems have {steps} and {one.shape[0]} entries")
        given = [
            *types[:carries],
            *(Type(one.shape[1:], one.dtype) for one in entries),
            *types[carries + sequences :],
        ]
        body = _body(step, given, sizes)
        if body is not None and len(sizes) == known:
            places = list(range(len(operands)))
            return Scan(
                tuple(places[:carries]),
                tuple(places[carries : carries + sequences]),
                tuple(places[carries + sequences :]),
                body,
                steps,
                reverse,
            )


def _body(step: _Step, given: Sequence[Type], sizes: Sizes) -> Program | None:
    """The program of a step, or None where a size was found out."""
    builder = Builder(merge=False)
    tensors: dict[int, int] = {}
    nodes = (*step.carries, *step.entries, *step.shared)
    for number, (node, type_) in enumerate(zip(nodes, given, strict=True)):
        label = step.labels.get(id(node), Label("shared"))
        one = Input(f"given {number}", type_, "placeholder")
        tensors[id(node)] = builder.add(one, label, node.location)
    if not add_nodes(builder, step.inside, step.labels, tensors, sizes, _leaf):
        return None
    new = [tensors[id(node)] for node in step.results]
    for carry, before, tensor in zip(step.carries, given, new, strict=False):
        _check_carry(step.labels[id(carry)].name, before, builder[tensor].type, sizes)
    outputs = [*new, *new]
    return builder.program({f"result {at}": tensor for at, tensor in enumerate(outputs)})


def _leaf(node: Tensor, label: Label) -> Value:
    assert isinstance(node, Constant), f"{node} inside a scan"
    return Literal.of(node.value)


def _check_carry(name: str, before: Type, after: Type, sizes: Sizes) -> None:
    same = len(before.shape) == len(after.shape) and all(
        sizes.agree(*pair) is not None for pair in zip(before.shape, after.shape, strict=True)
    )
    if same and before.dtype == after.dtype:
        return
    first, then = (f"of dtype {one.dtype}" if same else show(one.shape) for one in (before, after))
    hint = "; start with 0.0 rather than 0" if same and before.dtype == "int" else ""
    raise SymflowError(f"the carry {name} is {first} before a step and {then} after it{hint}")


_SCAN = operations.Structural("scan", _define)
_PART = operations.Structural("part", lambda operands, sizes, index: Part(0, index))
