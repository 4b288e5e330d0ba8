"""One call of a function of a module: what is given, what must come, what came."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from symflow.compilation import Compilation
from symflow.validation.cases import Case
from symflow.validation.findings import Finding
from symflow.validation.naive import Expected

Array = NDArray[Any]


@dataclass(frozen=True)
class Call:
    """A function with what it is given.

    values  parameters and inputs by name, in the precision of the call
    """

    function: str
    case: Case
    dtype: np.dtype[Any]
    values: Mapping[str, Array]
    threads: int = 1

    @property
    def told(self) -> str:
        parts = [self.case.name]
        if self.dtype != np.float64:
            parts.append(self.dtype.name)
        if self.threads > 1:
            parts.append(f"{self.threads} threads")
        return ", ".join(parts)

    def finding(self, told: str, array: str = "") -> Finding:
        return Finding(self.function, array, self.told, told)


class Callee:
    """The functions of a module as a model says that they must be."""

    def __init__(self, compilation: Compilation, module: ModuleType) -> None:
        self.module = module
        self.disturbed = False  # whether the last call changed how NumPy treats errors
        self.trained = [compilation.name(node) for node in compilation.trainable]
        self.forward = [*compilation.model.exports]
        has_loss = compilation.model.loss is not None
        self.backward = ["loss", "gradients", "loss_and_gradients"] if has_loss else []

    def has(self, function: str) -> bool:
        return callable(getattr(self.module, function, None))

    @property
    def has_gradients(self) -> bool:
        """Whether there is a loss, and all functions of it are there."""
        return bool(self.backward) and all(map(self.has, self.backward))

    @property
    def names(self) -> list[str]:
        """The functions that compute, those of them that are there."""
        return [name for name in (*self.forward, *self.backward) if self.has(name)]

    def arguments(self, function: str) -> list[str]:
        return [*inspect.signature(getattr(self.module, function)).parameters]

    def takes_threads(self, function: str) -> bool:
        return "threads" in self.arguments(function)

    def parameters(self, values: Mapping[str, Array]) -> Any:
        return self.module.Parameters(*(values[name] for name in self.trained))

    def given(self, function: str, values: Mapping[str, Array]) -> list[Any]:
        """What the function is given by position."""
        return [
            self.parameters(values) if name == "parameters" else values[name]
            for name in self.arguments(function)
            if name == "parameters" or name in values
        ]

    def result(self, call: Call) -> Any:
        """What the call gives; it may raise anything."""
        options = {"threads": call.threads} if call.threads > 1 else {}
        with np.errstate(all="ignore"):
            given, before = self.given(call.function, call.values), np.geterr()
            result = getattr(self.module, call.function)(*given, **options)
            self.disturbed = np.geterr() != before
            return result

    def arrays(self, function: str, result: Any) -> list[tuple[str, str, Any]]:
        """The parts of a result: what they are called in it, and which output each is."""
        if function not in self.backward:
            return [("", function, result)]
        if function == "loss":
            return [("", "loss", result)]
        found: list[tuple[str, str, Any]] = []
        if function == "loss_and_gradients":
            loss, result = result
            found.append(("loss", "loss", loss))
        parts = zip(self.trained, result, strict=True)
        return [*found, *((name, f"d_{name}", value) for name, value in parts)]


def raised(call: Call, error: BaseException) -> Finding:
    told = " ".join(f"{type(error).__name__}: {error}".split())
    return call.finding(f"raises {told[:200]}")


def misshaped(callee: Callee, call: Call, result: Any) -> str | None:
    """What is wrong with the kind of a result, whatever its numbers are."""
    if call.function == "loss":
        return None if type(result) is float else f"gives {_kind(result)}, not a float"
    if call.function == "loss_and_gradients":
        if not isinstance(result, tuple) or len(result) != 2 or type(result[0]) is not float:
            return f"gives {_kind(result)}, not a float and Parameters"
        result = result[1]
    if call.function in callee.backward:
        kind: type = callee.module.Parameters
        if not isinstance(result, kind) or len(result) != len(callee.trained):  # type: ignore[arg-type]
            return f"gives {_kind(result)}, not Parameters"
    return None


def _kind(value: Any) -> str:
    return f"an array {value.shape}" if isinstance(value, np.ndarray) else type(value).__name__


def faults(
    callee: Callee, call: Call, result: Any, expected: Mapping[str, Expected]
) -> Iterator[Finding]:
    """What is wrong with what a call gave."""
    told = misshaped(callee, call, result)
    if told is not None:
        yield call.finding(told)
        return
    for array, output, value in callee.arrays(call.function, result):
        if output not in expected:
            continue
        wanted = expected[output]
        told = _unlike(value, wanted.value, call.dtype)
        if told is None:
            told = wanted.fault(value)
        if told is not None:
            name = f"the derivative by {array}" if output.startswith("d_") and array else output
            yield call.finding(f"{name}{told}", array)


def _unlike(value: Any, wanted: Array, dtype: np.dtype[Any]) -> str | None:
    """What is wrong with the shape or the precision of an array."""
    found = np.asarray(value)
    if found.shape != wanted.shape:
        return f" has the shape {found.shape}, not {wanted.shape}"
    if wanted.dtype.kind == "f" and not isinstance(value, float | np.floating | np.ndarray):
        return f" is a {type(value).__name__}, not an array"
    right = found.dtype == dtype if wanted.dtype.kind == "f" else found.dtype.kind in "biu"
    if type(value) is not float and not right:
        wanted_kind = dtype.name if wanted.dtype.kind == "f" else "whole numbers"
        return f" is {found.dtype}, not {wanted_kind}"
    return None


def frozen(value: Any) -> tuple[bytes, ...]:
    """A result bit for bit."""
    return tuple(np.ascontiguousarray(one).tobytes() for one in _leaves(value))


def same(one: Any, other: Any) -> bool:
    """Whether two results are the same bit for bit; NaN is the same as NaN."""
    return frozen(one) == frozen(other)


def _leaves(value: Any) -> Sequence[Any]:
    if isinstance(value, (tuple, list)):
        return [leaf for one in value for leaf in _leaves(one)]
    return [np.asarray(value)]


def arrays_in(value: Any) -> list[Array]:
    """The arrays that a result is made of."""
    if isinstance(value, (tuple, list)):
        return [leaf for one in value for leaf in arrays_in(one)]
    return [value] if isinstance(value, np.ndarray) else []
