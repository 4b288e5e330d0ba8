"""Every function that computes: for all numbers of rows, in both precisions, by threads, and again.

What a call gives is compared with the program as written. Then all calls are made once more, in
another order and after their results have been written to, and must give the same bits: nothing is
kept from a call but what does not matter.
"""

from __future__ import annotations

import contextlib
import warnings
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
            if not known.expected(case, dtype):
                continue
            for call in _calls(callee, case, dtype):
                with blocks_of(module, case.rows):
                    yield from _made(callee, call, known, made)
    yield from _again(callee, made)
    yield from _forms(callee, known)
    yield from _not_a_number(callee, known)


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
        threads: tuple[int, ...] = THREADS[:1]
        if callee.takes_threads(name):
            threads = THREADS if large else THREADS[::2]
        for count in threads if case.rows is not None else threads[:2]:
            yield Call(name, case, dtype, values, count)


def _made(callee: Callee, call: Call, known: Cases, made: list[_Made]) -> Iterator[Finding]:
    before = {name: value.tobytes() for name, value in call.values.items()}
    settings = _settings()
    try:
        result = callee.result(call)
    except Exception as error:  # a module may be any
        yield raised(call, error)
        return
    for name, bits in before.items():
        if call.values[name].tobytes() != bits:
            yield call.finding(f"{name} is written to")
            return
    if _settings() != settings or callee.disturbed:
        yield call.finding("changes settings of NumPy, or its random numbers")
        return
    wrong = list(faults(callee, call, result, known.expected(call.case, call.dtype)))
    yield from wrong
    if not wrong:
        made.append(_Made(call, result, frozen(result)))


def _settings() -> Any:
    """What is not a function's to change: how errors are treated, and the common random numbers."""
    name, keys, *rest = np.random.get_state()
    return np.getbufsize(), name, np.asarray(keys).tobytes(), rest


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
    yield from _while_errors_warn(callee, made)
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


def _while_errors_warn(callee: Callee, made: list[_Made]) -> Iterator[Finding]:
    """With other settings of how NumPy treats errors, which stay what they are."""
    seen: set[str] = set()
    for one in made:
        call = one.call
        if call.function not in seen:
            seen.add(call.function)
            with warnings.catch_warnings(), np.errstate(all="warn"):
                warnings.simplefilter("ignore")
                before = np.geterr()
                with blocks_of(callee.module, call.case.rows), contextlib.suppress(Exception):
                    given = callee.given(call.function, call.values)
                    getattr(callee.module, call.function)(*given)
                if np.geterr() != before:
                    yield call.finding("changes how NumPy treats errors")


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
    "arrays of small whole numbers": lambda value: _small(value),
}


_WIDER = ("lists", "arrays in double precision")


def _forms(callee: Callee, known: Cases) -> Iterator[Finding]:
    """Arguments by name, as other things that are arrays; only parameters give a precision."""
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
                    strange = told not in (*_WIDER, "arrays of small whole numbers")
                    parts = {one: form(values[one]) for one in callee.trained if strange}
                    given["parameters"] = callee.parameters({**values, **parts})
                elif told in _WIDER and dtype != np.float64:
                    continue  # without parameters, the precision is that of the inputs
                call = Call(name, case, dtype, values)
                try:
                    with np.errstate(all="ignore"), blocks_of(callee.module, case.rows):
                        result = getattr(callee.module, name)(**given)
                except Exception as error:
                    yield replace(raised(call, error), point=f"{call.told}, given as {told}")
                    continue
                for finding in faults(callee, call, result, expected):
                    yield replace(finding, point=f"{finding.point}, given as {told}")
    yield from _mixed(callee, case)


def _mixed(callee: Callee, case: Case) -> Iterator[Finding]:
    """Parameters of two precisions count as those of the higher, and whole numbers as numbers."""
    if len(callee.trained) < 2:
        return
    low = case.cast(np.float32)
    high = {name: _doubled(value) for name, value in low.items()}
    for first in (True, False):
        some = callee.trained[:1] if first else callee.trained[1:]
        mixed = {**high, **{name: low[name] for name in some}}
        for name in callee.names:
            if "parameters" in callee.arguments(name):
                one, other = (Call(name, case, DTYPES[0], values) for values in (mixed, high))
                try:
                    with blocks_of(callee.module, case.rows):
                        alike = same(callee.result(one), callee.result(other))
                except Exception as error:
                    yield raised(one, error)
                    continue
                if not alike:
                    yield one.finding("parameters of two precisions are not those of the higher")


def _small(value: Array) -> Array:
    """Whole numbers in 16 bits; what is not whole stays as it is."""
    return value.astype(np.int16) if value.dtype.kind in "iu" else value


def _doubled(value: Array) -> Array:
    return value.astype(np.float64) if value.dtype.kind == "f" else value


def _strided(value: Array) -> Array:
    return np.repeat(value, 2, -1)[..., ::2] if value.ndim else value


def _readonly(value: Array) -> Array:
    copied = value.copy()
    copied.flags.writeable = False
    return copied


# --- what is no number ---------------------------------------------------------------------------


def _not_a_number(callee: Callee, known: Cases) -> Iterator[Finding]:
    """NaN in the data is NaN in values that depend on it; slopes may be known to be 0."""
    case = next((one for one in known.few if any(n > BLOCK for n in one.sizes.values())), None)
    if case is None:
        return
    for name in case.inputs:
        value = case.inputs[name]
        if name in callee.trained or value.dtype.kind != "f" or not value.ndim:
            continue
        spoilt = value.copy()
        spoilt.flat[-1] = np.nan
        inputs = {**case.inputs, name: spoilt}
        written = known.reference.runs({one: array[None] for one, array in inputs.items()}, [False])
        told = replace(case, name=f"{case.name}, NaN at the end of {name}", inputs=inputs)
        for function in (*callee.forward, *callee.backward[:1]):
            if not callee.has(function):
                continue
            call = Call(function, told, DTYPES[0], inputs)
            try:
                with blocks_of(callee.module, case.rows):
                    result = callee.result(call)
            except Exception:  # as for singular matrices
                continue
            if misshaped(callee, call, result) is None:
                for array, output, found in callee.arrays(function, result):
                    if output in written and _hides(np.asarray(found), written[output][0]):
                        yield call.finding(f"{output} is a number where NaN is given", array)


def _hides(found: Array, written: Array) -> bool:
    """Whether there is a number for NaN in everything that is written."""
    if found.shape != written.shape or found.dtype.kind != "f":
        return False
    lost = np.isnan(written)
    return bool(lost.any() and np.isfinite(found[lost]).all())
