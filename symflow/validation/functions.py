"""Every function that computes: for all numbers of rows, in both precisions, by threads, and again.

What a call gives is compared with the program as written. Then all calls are made once more, in
another order and after their results have been written to, and must give the same bits: nothing is
kept from a call but what does not matter.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from symflow.compilation import Compilation
from symflow.validation.calls import (
    Call,
    Callee,
    arrays_in,
    faults,
    frozen,
    misshaped,
    raised,
    same,
)
from symflow.validation.cases import BLOCK, Case, Cases, blocks_of
from symflow.validation.findings import Finding
from symflow.validation.naive import MORE_JIGS

Array = NDArray[Any]

DTYPES = (np.dtype(np.float64), np.dtype(np.float32))

THREADS = (1, 2, 3)


@dataclass
class _Made:
    """A call that was made.

    result  what it gave, which may have changed since
    bits    what that was then
    """

    call: Call
    result: Any
    bits: tuple[bytes, ...]


def check_functions(module: ModuleType, known: Cases) -> Iterator[Finding]:
    """Values, kinds and arguments of every call; then what is kept between calls."""
    callee = Callee(known.compilation, module)
    made: list[_Made] = []
    for case in (*known.few, *known.many(module)):
        for dtype in _dtypes(case, known.compilation):
            expected = known.expected(case, dtype)
            if not expected:
                continue
            for call in _calls(callee, case, dtype):
                with blocks_of(module, case.rows):
                    findings = list(_made(callee, call, expected, made))
                if findings and call.threads == 1:  # which may be rounding
                    expected = known.expected(case, dtype, MORE_JIGS)
                    with blocks_of(module, case.rows):
                        findings = list(_made(callee, call, expected, made))
                yield from findings
    yield from _again(callee, made)
    yield from _forms(callee, known)


def _dtypes(case: Case, compilation: Compilation) -> tuple[np.dtype[Any], ...]:
    """Single precision where there is one row, one block and a row, or several blocks."""
    odd = all(count % 2 for count in case.sizes.values())
    known = precisions(compilation)
    return known if odd else known[:1]


def precisions(compilation: Compilation) -> tuple[np.dtype[Any], ...]:
    """What a module computes in: only what its parameters are in where it holds them."""
    return (np.dtype(compilation.dtype),) if compilation.embedded else DTYPES


def _calls(callee: Callee, case: Case, dtype: np.dtype[Any]) -> Iterator[Call]:
    """Functions that are given the same arrays, first by one thread."""
    values = case.cast(dtype)
    large = any(count > BLOCK for count in case.sizes.values())
    for name in callee.names:
        threads = THREADS if large and callee.takes_threads(name) else THREADS[:1]
        for count in threads if case.rows is not None else threads[:2]:
            yield Call(name, case, dtype, values, count)


def _made(
    callee: Callee, call: Call, expected: Mapping[str, Any], made: list[_Made]
) -> Iterator[Finding]:
    before = {name: value.tobytes() for name, value in call.values.items()}
    try:
        result = callee.result(call)
    except Exception as error:  # a module may be any
        yield raised(call, error)
        return
    for name, bits in before.items():
        if call.values[name].tobytes() != bits:
            yield call.finding(f"{name} is written to")
            return
    wrong = False
    for finding in faults(callee, call, result, expected):
        wrong = True
        yield finding
    if not wrong:
        made.append(_Made(call, result, frozen(result)))


# --- again ---------------------------------------------------------------------------------------


def _again(callee: Callee, made: list[_Made]) -> Iterator[Finding]:
    """All calls once more, from the last to the first."""
    for one in made:
        if frozen(one.result) != one.bits:
            yield one.call.finding("what was returned has changed since: it is used again")
            return
    for one in made:
        told = _shared(one)
        if told is not None:
            yield one.call.finding(told)
            return
    for one in made:
        for array in arrays_in(one.result):
            if array.flags.writeable and not _is_given(array, one.call):
                array.fill(0 if array.dtype.kind in "biu" else np.nan)
    for one in reversed(made):
        yield from _repeated(callee, one, "after other calls it gives something else")
    yield from _with_other_values(callee, made)
    yield from _in_dirty_memory(callee, made)


def _is_given(array: Array, call: Call) -> bool:
    return any(np.shares_memory(array, value) for value in call.values.values())


def _shared(one: _Made) -> str | None:
    """Where results share memory with the arguments, or with each other."""
    arrays = arrays_in(one.result)
    if any(_is_given(array, one.call) for array in arrays):
        return "what is returned shares memory with an argument"
    for number, array in enumerate(arrays):
        if any(np.shares_memory(array, other) for other in arrays[number + 1 :]):
            return "two gradients share memory"
    return None


def _repeated(callee: Callee, one: _Made, told: str) -> Iterator[Finding]:
    try:
        with blocks_of(callee.module, one.call.case.rows):
            result = callee.result(one.call)
    except Exception as error:
        yield raised(one.call, error)
        return
    if frozen(result) != one.bits:
        yield one.call.finding(told)


def _with_other_values(callee: Callee, made: list[_Made]) -> Iterator[Finding]:
    """The same arrays with other numbers in them: nothing may be known by identity."""
    seen: set[str] = set()
    for one in made:
        call = one.call
        if call.function in seen or call.threads > 1:
            continue
        seen.add(call.function)
        changed = {name: _moved(value) for name, value in call.values.items()}
        kept = {name: value.copy() for name, value in call.values.items()}
        try:
            with blocks_of(callee.module, call.case.rows):
                given = callee.given(call.function, call.values)
                function = getattr(callee.module, call.function)
                with np.errstate(all="ignore"):
                    function(*given)
                    for name, value in call.values.items():
                        value[...] = changed[name]
                    found = function(*given)
                    wanted = callee.result(replace(call, values=changed))
        except Exception as error:
            yield raised(call, error)
            continue
        finally:
            for name, value in call.values.items():
                value[...] = kept[name]
        if misshaped(callee, call, found) or not same(found, wanted):
            yield call.finding("the same arrays with other numbers give what they gave before")


def _moved(value: Array) -> Array:
    return np.array(value if value.dtype.kind != "f" else value * value.dtype.type(0.875))


def _in_dirty_memory(callee: Callee, made: list[_Made]) -> Iterator[Finding]:
    """In memory that holds NaN before it is written to."""
    with _dirty(callee.module):
        for one in made:
            if one.call.case.rows is not None:
                yield from _repeated(callee, one, "it reads memory that nothing was written to")


class _DirtyNumPy:
    """NumPy, where what is empty holds NaN."""

    def __getattr__(self, name: str) -> Any:
        return getattr(np, name)

    @staticmethod
    def empty(shape: Any, dtype: Any = float, *rest: Any, **options: Any) -> Array:
        return _nan(np.empty(shape, dtype, *rest, **options))

    @staticmethod
    def empty_like(like: Any, *rest: Any, **options: Any) -> Array:
        return _nan(np.empty_like(like, *rest, **options))


def _nan(array: Array) -> Array:
    array.fill(np.nan if array.dtype.kind == "f" else 85)
    return array


@contextlib.contextmanager
def _dirty(module: ModuleType) -> Iterator[None]:
    """The module with no idle workspaces, and with memory that is not clean."""
    names = vars(module)
    before: dict[str, Any] = {
        name: names[name] for name in ("np", "_empty", "_idle") if name in names
    }
    if "_empty" in before:
        plain = before["_empty"]
        names["_empty"] = lambda *shape, **options: _nan(plain(*shape, **options))
    if "_idle" in before:
        names["_idle"] = {}
    names["np"] = _DirtyNumPy()
    try:
        yield
    finally:
        names.update(before)


# --- arguments in other forms --------------------------------------------------------------------


_FORMS: Mapping[str, Callable[[Array], Any]] = {
    "lists": lambda value: value.tolist(),
    "arrays in double precision": lambda value: _doubled(value),
    "arrays in Fortran's order": lambda value: np.array(value, order="F"),
    "arrays that are not contiguous": lambda value: _strided(value),
    "arrays that are not to be written": lambda value: _readonly(value),
}


_WIDER = ("lists", "arrays in double precision")


def _forms(callee: Callee, known: Cases) -> Iterator[Finding]:
    """Inputs by name, as other things that are arrays: the precision is that of the parameters."""
    case = next((one for one in known.few if any(n > BLOCK for n in one.sizes.values())), None)
    case = case or (known.few[-1] if known.few else None)
    if case is None:
        return
    for dtype in precisions(known.compilation):
        expected, values = known.expected(case, dtype), case.cast(dtype)
        for told, form in _FORMS.items():
            for name in callee.names:
                inputs = [one for one in callee.arguments(name) if one in values]
                given = {one: form(values[one]) for one in inputs}
                if "parameters" in callee.arguments(name):
                    given["parameters"] = callee.parameters(values)
                elif told in _WIDER and dtype != np.float64:
                    continue  # without parameters, the precision is that of the inputs
                call = Call(name, case, dtype, values)
                try:
                    with np.errstate(all="ignore"), blocks_of(callee.module, case.rows):
                        result = getattr(callee.module, name)(**given)
                except Exception as error:
                    yield replace(raised(call, error), point=f"{call.told}, inputs as {told}")
                    continue
                for finding in faults(callee, call, result, expected):
                    yield replace(finding, point=f"{finding.point}, inputs as {told}")


def _doubled(value: Array) -> Array:
    return value.astype(np.float64) if value.dtype.kind == "f" else value


def _strided(value: Array) -> Array:
    return np.repeat(value, 2, -1)[..., ::2] if value.ndim else value


def _readonly(value: Array) -> Array:
    copied = value.copy()
    copied.flags.writeable = False
    return copied
