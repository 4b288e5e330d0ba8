"""What a module promises beside its numbers: its names, what it refuses, parameters and files."""

from __future__ import annotations

import inspect
import re
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from symflow.initial import initial_values
from symflow.lowering import needed
from symflow.program import Input
from symflow.shapes import show
from symflow.validation.calls import Call, Callee, arrays_in, frozen, same
from symflow.validation.cases import Case, Cases
from symflow.validation.findings import Finding

Array = NDArray[Any]

SEEDS = (None, 1, 2)
"""Of which initial parameters are drawn."""

DTYPES = (np.dtype(np.float64), np.dtype(np.float32))


def check_contract(module: ModuleType, known: Cases) -> Iterator[Finding]:
    """Names, then what is refused, then parameters and files."""
    of = _Promised(module, known)
    for told, test in _TESTS.items():
        try:
            yield from test(of)
        except Exception as error:  # a module may be any
            text = " ".join(f"{type(error).__name__}: {error}".split())[:200]
            yield Finding("module", "", told, f"raises {text}")


class _Promised:
    """A module, and what its model says of it."""

    def __init__(self, module: ModuleType, known: Cases) -> None:
        self.compilation = known.compilation
        self.module = module
        self.callee = Callee(known.compilation, module)
        self.known = known
        self.trained = self.callee.trained

    @property
    def case(self) -> Case | None:
        """One with several rows; sizes differ from each other."""
        sizes = {size: 5 + 2 * at for at, size in enumerate(self.known.sizes)}
        return self.known.case(sizes) or (self.known.few[-1] if self.known.few else None)


# --- names ---------------------------------------------------------------------------------------


def _functions(of: _Promised) -> Iterator[Finding]:
    wanted = [*of.callee.forward, *of.callee.backward]
    if of.trained and of.callee.backward:
        wanted += ["initial_parameters", "save_parameters", "load_parameters"]
    for name in wanted:
        if not of.callee.has(name):
            yield Finding(name, "", "its module", "is missing")
    if of.trained:
        fields = list(of.module.Parameters._fields)
        if fields != of.trained:
            told = f"has the fields {', '.join(fields)}, not {', '.join(of.trained)}"
            yield Finding("Parameters", "", "its module", told)


def _signatures(of: _Promised) -> Iterator[Finding]:
    """Parameters, then inputs in the order in which the model makes them, by their names."""
    nodes = dict(of.compilation.model.exports)
    loss = of.compilation.model.loss
    if loss is not None:
        nodes |= dict.fromkeys([*of.callee.backward, "train"], loss)
    for function, node in nodes.items():
        if not of.callee.has(function):
            continue
        reached = {id(one) for one in needed([node])}
        order = [of.compilation.name(one) for one in of.compilation.inputs if id(one) in reached]
        given = [
            name
            for name, one in inspect.signature(getattr(of.module, function)).parameters.items()
            if one.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD
        ]
        expected = [name for name in order if name in given]
        if of.trained:
            expected = ["parameters", *expected]
        if given != expected:
            told = f"takes {', '.join(given)}, not {', '.join(expected)}"
            yield Finding(function, "", "its signature", told)


def _inputs(of: _Promised) -> Iterator[Finding]:
    """`INPUTS` and `INTEGERS`: the shapes, with one name for each size."""
    declared: Mapping[str, Any] = getattr(of.module, "INPUTS", {})
    whole: frozenset[str] = getattr(of.module, "INTEGERS", frozenset())
    program = of.known.reference.program
    names: dict[Any, Any] = {}
    for tensor in program.inputs:
        value, type_ = program[tensor].value, program[tensor].type
        if not isinstance(value, Input) or value.kind != "placeholder":
            continue
        shape = declared.get(value.name, ())
        fits = len(shape) == len(type_.shape) and all(
            names.setdefault(size, said) == said if not size.is_Integer else size == said
            for size, said in zip(type_.shape, shape, strict=True)
        )
        fits = fits and len(set(names.values())) == len(names)
        if not fits or (type_.dtype != "float") != (value.name in whole):
            told = f"{value.name} is {shape}, not {show(type_.shape)}"
            yield Finding("INPUTS", value.name, "its module", told)


# --- refusals ------------------------------------------------------------------------------------


def _refused(of: _Promised) -> Iterator[Finding]:
    """Inputs and parameters of wrong shapes and kinds."""
    case = of.case
    if case is None:
        return
    for function in of.callee.names:
        taken = of.callee.arguments(function)
        for dtype in DTYPES[:1]:
            values = case.cast(dtype)
            for name, told, wrong in _wrong(of, values, taken):
                call = Call(function, case, dtype, {**values, name: wrong})
                try:
                    of.callee.result(call)
                except (ValueError, TypeError) as error:
                    if {*taken, *of.trained}.isdisjoint(re.findall(r"\w+", str(error))):
                        text = f"what is told of {name} names no argument: {error}"
                        yield Finding(function, name, told, text[:200])
                    continue
                yield Finding(function, name, told, f"{name} is not refused")


def _wrong(
    of: _Promised, values: Mapping[str, Array], taken: list[str]
) -> Iterator[tuple[str, str, Any]]:
    """Names with values that do not fit."""
    declared = getattr(of.module, "INPUTS", {})
    shapes = [declared[name] for name in taken if name in declared]
    for name in taken:
        if name not in declared or name not in values:
            continue
        value = values[name]
        yield name, "an axis too many", value[None]
        yield name, "text", np.full(value.shape, "1")
        yield name, "complex numbers", value.astype(complex)
        for axis, size in enumerate(declared[name]):
            said = sum(shape.count(size) for shape in shapes)
            if not isinstance(size, str) or said > 1:
                more = np.concatenate([value, np.take(value, [0], axis)], axis)
                yield name, f"axis {axis} longer by one", more
    if taken[:1] == ["parameters"]:
        for name in of.trained:
            value = values[name]
            yield name, "an axis too many", value[None]
            if value.ndim:
                yield name, "axis 0 longer by one", np.concatenate([value, value[:1]])


# --- parameters ----------------------------------------------------------------------------------


def _initial(of: _Promised) -> Iterator[Finding]:
    """The model's own values; other seeds; the precision; no array twice."""
    if not of.trained or not of.callee.has("initial_parameters"):
        return
    initial = of.module.initial_parameters
    if initial()[0].dtype != np.dtype(of.compilation.dtype):
        told = f"they are {initial()[0].dtype} by default, not {of.compilation.dtype}"
        yield Finding("initial_parameters", "", "no arguments", told)
        return
    for dtype in DTYPES:
        for seed in SEEDS:
            point = f"seed {seed}, {dtype.name}"
            values = initial(seed, dtype)
            wanted = _drawn(of, seed, dtype)
            for name, value in zip(of.trained, values, strict=True):
                if value.dtype != dtype:
                    told = f"{name} is {value.dtype}"
                elif not np.array_equal(value, wanted[name]):
                    told = f"{name} is not what the model draws"
                else:
                    continue
                yield Finding("initial_parameters", name, point, told)
                return
            before = frozen(values)
            for array in arrays_in(values):
                if array.flags.writeable:
                    array.fill(np.nan)
            if frozen(initial(seed, dtype)) != before:
                yield Finding(
                    "initial_parameters", "", point, "gives other values when called again"
                )
                return


def _drawn(of: _Promised, seed: int | None, dtype: np.dtype[Any]) -> dict[str, Array]:
    """What a module draws from a seed, for the Variables that it trains; or what is put in."""
    graph, trained = of.compilation.model.graph, of.compilation.trainable
    if of.compilation.initial:
        return {name: np.array(one, dtype) for name, one in of.compilation.initial.items()}
    seeded: Any = SimpleNamespace(seed=graph.seed if seed is None else seed, variables=trained)
    values = initial_values(seeded, dtype)
    return {of.compilation.name(node): values[id(node)] for node in trained}


def _files(of: _Promised) -> Iterator[Finding]:
    """Parameters that are written and read again."""
    if not of.trained or not of.callee.has("save_parameters"):
        return
    with tempfile.TemporaryDirectory() as folder:
        for dtype in DTYPES:
            path = Path(folder) / "parameters.of"
            values = of.module.Parameters(*(_numbers(of, name, dtype) for name in of.trained))
            before = frozen(values)
            of.module.save_parameters(path, values)
            if [one.name for one in Path(folder).iterdir()] != [path.name]:
                yield Finding("save_parameters", "", dtype.name, "writes to other files")
                return
            if frozen(values) != before:
                yield Finding("save_parameters", "", dtype.name, "writes to the parameters")
                return
            with np.load(path, allow_pickle=False) as archive:
                written = {name: archive[name] for name in archive.files}
            for name in of.trained:
                value = getattr(values, name)
                kept = written.get(name)
                if kept is None or kept.dtype != dtype or not same(kept, value):
                    told = f"{name} is not what was saved"
                    yield Finding("save_parameters", name, dtype.name, told)
                    return
            read = of.module.load_parameters(path)
            if not isinstance(read, of.module.Parameters) or read[0].dtype != dtype:
                yield Finding(
                    "load_parameters", "", dtype.name, "gives other things than Parameters"
                )
                return
            if frozen(read) != before:
                yield Finding("load_parameters", "", dtype.name, "gives other numbers")
                return
        with open(path, "wb") as file:
            swapped: dict[str, Any] = {name: _swapped(one) for name, one in written.items()}
            np.savez(file, **swapped)
        if frozen(of.module.load_parameters(path)) != before:
            yield Finding("load_parameters", "", "the other byte order", "gives other numbers")
            return
        for name in of.trained:
            for told, wrong in (
                ("is not there", {one: value for one, value in written.items() if one != name}),
                ("of another shape", {**written, name: written[name][None]}),
            ):
                with open(path, "wb") as file:
                    np.savez(file, **wrong)
                try:
                    of.module.load_parameters(path)
                except ValueError:
                    continue
                yield Finding("load_parameters", name, told, f"{name} is not refused")
                return


def _swapped(value: Array) -> Array:
    return value.astype(value.dtype.newbyteorder("S"))


def _numbers(of: _Promised, name: str, dtype: np.dtype[Any]) -> Array:
    """Numbers of which no two are alike, with all their digits."""
    shape = of.known.parameters[name].shape
    random = np.random.default_rng(of.trained.index(name))
    order: Any = "F" if dtype == np.float64 else "C"  # files hold either
    return np.array(random.standard_normal(shape), dtype, order=order)


_TESTS: Mapping[str, Callable[[_Promised], Iterator[Finding]]] = {
    "its functions": _functions,
    "its signatures": _signatures,
    "its inputs": _inputs,
    "what it refuses": _refused,
    "initial parameters": _initial,
    "files of parameters": _files,
}
