"""`sf.Session`: run a graph at once, by the same compiler, in memory.

There is no second evaluator: what is asked for is compiled into a function, which is kept for
the next time that the same is asked of the same shapes. Variables keep their values in the
session that trains them.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from types import SimpleNamespace
from typing import Any

import numpy as np
import sympy as sp
from numpy.typing import NDArray

from symflow.arithmetic import undistributed
from symflow.compiler import compile_program
from symflow.errors import Location, SymflowError, calling_location
from symflow.graph import (
    Graph,
    Placeholder,
    Tensor,
    Variable,
    called_by_user,
    get_default_graph,
)
from symflow.initial import initial_values
from symflow.lowering import Request, Update, needed
from symflow.memory import executable, session_source
from symflow.naming import label_nodes
from symflow.program import Input, Type
from symflow.rules import known_rules
from symflow.shapes import Shape, show
from symflow.showing import Shown
from symflow.stabilisation import Rules
from symflow.train import LineSearch, Training

_numbers = itertools.count()
"""Of compiled functions, so that each has its lines in tracebacks."""


class _Initialize:
    """What `global_variables_initializer` returns."""


def global_variables_initializer() -> _Initialize:
    """An operation that sets all Variables to their initial values, as a new session does."""
    return _Initialize()


@dataclass(frozen=True)
class _Compiled:
    """A function in memory: which inputs it takes, and what it returns.

    trace  makes the function that says where what is not finite began
    """

    call: Callable[..., tuple[Any, ...]]
    inputs: tuple[Placeholder, ...]
    variables: tuple[tuple[str, Variable], ...]
    types: tuple[Type, ...]
    trace: Callable[[], Callable[..., str]]


def _flattened(fetches: Any, flat: list[Any]) -> Callable[[Iterator[Any]], Any]:
    """Append what is fetched to `flat`; return what puts the values into the same structure."""
    if isinstance(fetches, dict):
        parts = {key: _flattened(value, flat) for key, value in fetches.items()}
        return lambda values: {key: part(values) for key, part in parts.items()}
    if isinstance(fetches, (list, tuple)):
        entries = [_flattened(value, flat) for value in fetches]
        return lambda values: _alike(fetches, [entry(values) for entry in entries])
    flat.append(fetches)
    return next


def _alike(fetches: Any, values: list[Any]) -> Any:
    """The values in a list, tuple or named tuple as the fetches are."""
    kind = type(fetches)
    return kind(*values) if hasattr(kind, "_fields") else kind(values)


def _definition(node: Placeholder, called: str) -> list[tuple[str, Location]]:
    return [] if node.location is None else [(called, node.location)]


def _fitting(declared: Shape, given: Sequence[int]) -> str:
    """What to do with an array that has not the declared shape."""
    if len(declared) > len(given):
        return f"it has {len(given)} axes, not {len(declared)}: values[:, None] adds one"
    if len(declared) < len(given):
        return f"it has {len(given)} axes, not {len(declared)}: values.reshape(...) changes that"
    return "sizes of the same name are equal in one run"


class Session(Shown):
    """Runs operations of one graph, and holds the values of its Variables.

    with sf.Session() as sess:
        print(sess.run(loss, feed_dict={x: data}))
    """

    def __init__(
        self,
        graph: Graph | None = None,
        without: Iterable[str] = (),
        trace_nan: bool = False,
    ) -> None:
        """For a graph, or the default one.

        without    names of rules that are left out
        trace_nan  raise FloatingPointError where a result is not finite, or a step of training;
                   it says which tensor that began with, from what, and on which line
        """
        self.trace_nan = trace_nan
        self.graph = graph or get_default_graph()
        self._rules = Rules(frozenset(known_rules(without)))
        self._compiled: dict[tuple[Any, ...], _Compiled] = {}
        self._values: dict[int, NDArray[Any]] = {}
        self._state: dict[tuple[int, int, str], NDArray[Any]] = {}
        self._steps: dict[int, int] = {}

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Forget the values of the Variables."""
        self._values.clear()
        self._state.clear()
        self._steps.clear()

    def run(self, fetches: Any, feed_dict: Mapping[Any, Any] | None = None) -> Any:
        """The values of tensors, for the given values of placeholders.

        fetches    a tensor, an operation such as `minimize` returns (its value is None), or a
                   list, tuple or dict of them, which gives the values in the same structure;
                   all tensors are computed before any Variable moves
        feed_dict  from placeholders to numbers or arrays
        """
        if isinstance(fetches, dict):
            return self.run([fetches], feed_dict)[0]
        if not isinstance(fetches, (list, tuple)):
            return self.run([fetches], feed_dict)[0]
        if any(isinstance(one, (list, tuple, dict)) for one in fetches):
            flat: list[Any] = []
            rebuild = _flattened(fetches, flat)
            return rebuild(iter(self.run(flat, feed_dict)))
        fed = self._fed(feed_dict or {})
        results: list[Any] = [None] * len(fetches)
        tensors = [(at, one) for at, one in enumerate(fetches) if isinstance(one, Tensor)]
        for one in fetches:
            if not isinstance(one, (Tensor, Training, _Initialize)):
                raise SymflowError(
                    f"{one!r} cannot be fetched",
                    calling_location(),
                    hint="fetch tensors, and what minimize returns",
                )
            if isinstance(one, Tensor) and one.graph is not self.graph:
                raise SymflowError(
                    f"{one!r} belongs to another graph than this session", calling_location()
                )
        if any(isinstance(one, _Initialize) for one in fetches):
            self.close()
        if tensors:
            values = self._evaluate([one for _, one in tensors], fed)
            for (at, _), value in zip(tensors, values, strict=True):
                results[at] = value
        for one in fetches:
            if isinstance(one, Training):
                self._train(one, fed)
        return _alike(fetches, results)

    def values(self) -> list[tuple[Variable, NDArray[Any]]]:
        """All Variables of the graph, each with its value in this session."""
        return [(one, self._value(one).copy()) for one in self.graph.variables]

    @property
    def updates(self) -> int:
        """How often Variables were updated, by any optimizer."""
        return sum(self._steps.values())

    # --- feeding ---

    def _fed(self, feed_dict: Mapping[Any, Any]) -> dict[int, NDArray[Any]]:
        fed: dict[int, NDArray[Any]] = {}
        if not isinstance(feed_dict, Mapping):
            raise SymflowError(
                f"feed_dict is a {type(feed_dict).__name__}, not a dict",
                calling_location(),
                hint="feed_dict={x: data}",
            )
        for node, value in feed_dict.items():
            if not isinstance(node, Placeholder):
                raise SymflowError(
                    f"feed_dict: {node!r} is no placeholder",
                    calling_location(),
                    hint="its keys are what sf.placeholder returned, not names",
                )
            if node.graph is not self.graph:
                raise SymflowError(
                    f"feed_dict: {node!r} belongs to another graph", calling_location()
                )
            try:
                array = np.asarray(value)
            except ValueError as error:
                raise SymflowError(f"feed_dict: {node!r}: {error}", calling_location()) from None
            if array.dtype.kind not in "biuf":
                raise SymflowError(f"feed_dict: {node!r} is fed no numbers", calling_location())
            if node.kind == "float":
                array = array.astype(self.graph.dtype, copy=False)
            elif array.dtype.kind == "f":
                raise SymflowError(
                    f"feed_dict: {node!r} wants whole numbers, not {array.dtype}",
                    calling_location(),
                    hint="feed values.astype(int), or declare the placeholder as sf.float32",
                )
            else:  # of bytes, 200 + 100 would be 44
                array = array.astype(np.int64 if node.kind == "int" else np.bool_, copy=False)
            fed[id(node)] = array
        return fed

    def _check_sizes(self, inputs: Sequence[Placeholder], fed: Mapping[int, NDArray[Any]]) -> None:
        """Fed arrays must have the declared shapes, and agree in sizes of the same name."""
        sizes: dict[sp.Expr, int] = {}
        for node in inputs:
            if node.type is None:
                continue
            declared, given = node.type.shape, fed[id(node)].shape
            fits = len(declared) == len(given) and all(
                (sizes.setdefault(want, got) if want.free_symbols else int(want)) == got
                for want, got in zip(declared, given, strict=True)
            )
            if not fits:
                known = tuple(sp.sympify(sizes.get(size, size)) for size in declared)
                called = called_by_user(node)
                raise SymflowError(
                    f"{called}: expected {show(known)}, got {given}",
                    calling_location(),
                    operands=_definition(node, called),
                    hint=_fitting(declared, given),
                )

    # --- compiling ---

    @undistributed
    def _compile(
        self,
        key: tuple[Any, ...],
        fetches: Mapping[str, Tensor],
        fed: Mapping[int, NDArray[Any]],
        update: Update | None = None,
    ) -> _Compiled:
        roots = [*fetches.values()]
        if update is not None:
            roots += [update.loss, *update.variables]
        nodes = needed(roots)
        inputs = [node for node in nodes if isinstance(node, Placeholder)]
        for node in inputs:
            if id(node) not in fed:
                called = called_by_user(node)
                raise SymflowError(
                    f"the placeholder {called} is not fed",
                    calling_location(),
                    operands=_definition(node, called),
                    hint=f"give its value: feed_dict={{{called}: ...}}",
                )
        self._check_sizes(inputs, fed)
        shapes: dict[int, Shape] = {
            id(node): tuple(map(sp.Integer, fed[id(node)].shape))
            for node in inputs
            if node.type is None
        }
        key = (*key, tuple(shapes.values()))
        if key in self._compiled:
            return self._compiled[key]
        labels = label_nodes(nodes, {})
        request = Request(fetches, {}, labels, shapes, update=update)
        program = compile_program(self.graph, request, self._rules)
        read = {
            definition.value.name
            for definition in program.definitions
            if isinstance(definition.value, Input)
        }
        arguments = tuple(node for node in inputs if labels[id(node)].name in read)
        variables = tuple(
            (labels[id(node)].name, node) for node in nodes if isinstance(node, Variable)
        )
        hidden = sorted(read - {labels[id(node)].name for node in nodes})

        def function(traced: bool = False) -> Callable[..., Any]:
            text, constants = session_source(
                program,
                [labels[id(node)].name for node in arguments],
                [*(name for name, _ in variables), *hidden],
                np.dtype(self.graph.dtype).name,
                traced,
            )
            return executable(text, constants, f"<symflow session {next(_numbers)}>")

        types = tuple(program[tensor].type for tensor in program.outputs.values())
        trace = partial(function, True)
        compiled = _Compiled(function(), arguments, variables, types, trace)
        self._compiled[key] = compiled
        return compiled

    def _call(self, compiled: _Compiled, fed: Mapping[int, NDArray[Any]], **more: Any) -> Any:
        values = {name: self._value(node) for name, node in compiled.variables}
        p = SimpleNamespace(**values, **more)
        given = [fed[id(node)] for node in compiled.inputs]
        with np.errstate(all="ignore"):
            results = compiled.call(p, *given)
            if self.trace_nan and not all(np.all(np.isfinite(one)) for one in results):
                raise FloatingPointError(compiled.trace()(p, *given))
        return results

    def _evaluate(self, tensors: Sequence[Tensor], fed: Mapping[int, NDArray[Any]]) -> list[Any]:
        key = tuple(id(tensor) for tensor in tensors)
        fetches = {f"fetch_{at}": tensor for at, tensor in enumerate(tensors)}
        compiled = self._compile(key, fetches, fed)
        results = self._call(compiled, fed)
        return [
            self._typed(result, tensor) for result, tensor in zip(results, tensors, strict=True)
        ]

    def _typed(self, result: Any, tensor: Tensor) -> Any:
        """A result in the model's precision, never an array that the session goes on using."""
        array = np.array(result)
        kind = tensor.type.dtype if tensor.type is not None else "float"
        if kind == "float":
            array = array.astype(self.graph.dtype, copy=False)
        elif kind == "bool":
            array = array.astype(bool, copy=False)
        return array[()]

    def _value(self, variable: Variable) -> NDArray[Any]:
        if id(variable) not in self._values:
            initial = initial_values(self.graph, np.dtype(self.graph.dtype))
            for node in self.graph.variables:
                self._values.setdefault(id(node), initial[id(node)])
        return self._values[id(variable)]

    # --- training ---

    def _train(self, training: Training, fed: Mapping[int, NDArray[Any]]) -> None:
        optimizer = training.optimizer
        state = tuple(optimizer.state)
        update = Update(
            training.loss, training.variables, optimizer.formulas, state, optimizer.adjustment
        )
        compiled = self._compile((id(training), "train"), {"loss": training.loss}, fed, update)
        step = self._steps.get(id(training), 0)
        dtype = self.graph.dtype
        given: dict[str, Any] = {"_step": step}
        for name, initial in optimizer.state.items():
            for at, variable in enumerate(training.variables):
                key = (id(training), id(variable), name)
                if key not in self._state:
                    self._state[key] = np.full_like(self._value(variable), initial)
                given[f"_{name}_{at}"] = self._state[key]
        rate = optimizer.learning_rate
        if isinstance(rate, LineSearch):
            before, *moved = self._call(compiled, fed, _rate=rate.initial, **given)
            moved = self._search(training, rate, fed, float(before), moved)
        else:
            _, *moved = self._call(compiled, fed, _rate=optimizer.rate_after(step), **given)
        per_variable = 1 + len(optimizer.state)
        for at, variable in enumerate(training.variables):
            value, *state = moved[at * per_variable : (at + 1) * per_variable]
            self._values[id(variable)] = np.array(value, dtype)
            for name, entry in zip(optimizer.state, state, strict=True):
                self._state[(id(training), id(variable), name)] = np.array(entry, dtype)
        self._steps[id(training)] = step + 1

    def _search(
        self,
        training: Training,
        rate: LineSearch,
        fed: Mapping[int, NDArray[Any]],
        before: float,
        moved: Sequence[NDArray[Any]],
    ) -> list[NDArray[Any]]:
        """Armijo's rule, as in the generated module."""
        start = [self._value(variable) for variable in training.variables]
        gradient = [(old - new) / rate.initial for old, new in zip(start, moved, strict=True)]
        squared = float(sum(np.vdot(one, one) for one in gradient))
        step, tried = rate.initial, list(moved)
        for _ in range(100):
            for variable, value in zip(training.variables, tried, strict=True):
                self._values[id(variable)] = np.array(value, self.graph.dtype)
            after = float(self._evaluate([training.loss], fed)[0])
            if after <= before - step * rate.slope * squared:
                break
            step *= rate.shrink
            tried = [old - step * one for old, one in zip(start, gradient, strict=True)]
        return tried
