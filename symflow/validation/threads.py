"""Threads of a module, brought into the order that does most harm.

What goes wrong between threads goes wrong once in a thousand times. So the threads are led: a
tracer stops each at every line of the module. In step, all of them do a line before any does the
next, and what they share is overwritten before it is read. One behind the other, the first or the
last ends first, and sums must not depend on that.
"""

from __future__ import annotations

import contextlib
import threading
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from types import FrameType, ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from symflow.validation.calls import Call, Callee, faults, frozen, raised
from symflow.validation.cases import BLOCK, Case, Cases, blocks_of
from symflow.validation.findings import Finding

Array = NDArray[Any]

ROWS = 6 * BLOCK - 1

PATIENCE = 0.25
"""Seconds that a thread waits for others; they may not come."""


def check_threads(module: ModuleType, known: Cases) -> Iterator[Finding]:
    """Functions by several threads, and several calls at the same time."""
    callee = Callee(known.compilation, module)
    case = known.case({one: ROWS if one == known.rows else 3 for one in known.sizes})
    if case is None or module.__file__ is None or not callee.has_gradients:
        return
    with blocks_of(module, BLOCK):
        if known.rows is not None and callee.takes_threads(callee.backward[-1]):
            yield from _of_one_call(callee, known, case)
        yield from _of_many_calls(callee, known, case)


def _of_one_call(callee: Callee, known: Cases, case: Case) -> Iterator[Finding]:
    dtype = np.dtype(np.float64)
    expected, values = known.expected(case, dtype), case.cast(dtype)
    for function in callee.backward[::2]:  # the third computes what the second does
        call = Call(function, case, dtype, values, 3)
        seen: set[tuple[bytes, ...]] = set()
        for lead in (in_step(2), in_step(3), _one_behind_the_other(0), _one_behind_the_other(2)):
            call = Call(function, case, dtype, values, lead.count)
            try:
                with led(callee.module, lead):
                    result = callee.result(call)
            except Exception as error:
                yield raised(call, error)
                return
            if lead.count == 3:
                seen.add(frozen(result))
            yield from faults(callee, call, result, expected)
        if len(seen) > 1:
            yield call.finding("gives other digits when its threads end in another order")
    yield from _errors(callee, case)


def _errors(callee: Callee, case: Case) -> Iterator[Finding]:
    """How NumPy is to treat errors holds in threads too."""
    function = callee.backward[0]
    for scale in (1e200, 1e306):
        values = {
            name: value * scale if value.dtype.kind == "f" else value
            for name, value in case.inputs.items()
        }
        call = Call(function, case, np.dtype(np.float64), values, 2)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                callee.result(call)
        except RuntimeWarning:
            yield call.finding("warns in a thread, where the caller wants no warnings")
            return
        except Exception:
            return  # no number there


def _of_many_calls(callee: Callee, known: Cases, case: Case) -> Iterator[Finding]:
    """Two calls with other data at the same time, as they are alone."""
    function = callee.backward[-1]
    dtype = np.dtype(np.float64)
    values = [case.cast(dtype), case.cast(dtype)]
    for value in values[1].values():
        if value.dtype.kind == "f":
            value *= 0.75
    calls = [Call(function, case, dtype, one) for one in values]
    results: list[Any] = [None, None]
    errors: list[Exception] = []

    def make(at: int) -> None:
        try:
            results[at] = callee.result(calls[at])
        except Exception as error:
            errors.append(error)

    try:
        alone = [frozen(callee.result(one)) for one in calls]
    except Exception as error:
        yield raised(calls[0], error)
        return
    with led(callee.module, in_step(2)):
        threads = [threading.Thread(target=make, args=(at,), daemon=True) for at in range(2)]
        for one in threads:
            one.start()
        for one in threads:
            one.join()
    if errors:
        yield raised(calls[0], errors[0])
    elif [frozen(one) for one in results] != alone:
        yield calls[0].finding("gives something else while another thread calls it, too")


# --- threads that are led ------------------------------------------------------------------------


class _Lead(ABC):
    """When each of so many threads may go on.

    Threads are numbered in the order in which they begin.
    """

    def __init__(self, count: int) -> None:
        self.count = count
        self._turn = threading.Condition()
        self._numbers: dict[int, int] = {}
        self._ended: set[int] = set()
        self._waiting: set[int] = set()
        self._round = 0
        self._given_up = False

    def begin(self) -> int:
        with self._turn:
            number = len(self._numbers)
            self._numbers[number] = number
            self._turn.notify_all()
            return number

    def end(self, number: int) -> None:
        with self._turn:
            self._ended.add(number)
            self._turn.notify_all()

    @abstractmethod
    def line(self, number: int) -> None:
        """Called before each line that a thread does: returns when it may go on."""

    def _until(self, condition: Callable[[], bool]) -> None:
        """Wait; where others do not come, all go on as they like from then on."""
        if not self._given_up and not self._turn.wait_for(
            lambda: self._given_up or condition(), PATIENCE
        ):
            self._given_up = True
            self._turn.notify_all()


class _InStep(_Lead):
    """All do a line before any does the next."""

    def line(self, number: int) -> None:
        with self._turn:
            here = self._round
            self._waiting.add(number)
            if self._all_wait():
                self._next()
            self._until(lambda: self._round != here or self._all_wait())
            if self._round == here:
                self._next()

    def _all_wait(self) -> bool:
        return len(self._numbers) >= self.count and self._waiting | self._ended >= set(
            self._numbers
        )

    def _next(self) -> None:
        self._round += 1
        self._waiting.clear()
        self._turn.notify_all()


class _OneBehindTheOther(_Lead):
    """One waits until all others have ended."""

    def __init__(self, count: int, last: int) -> None:
        super().__init__(count)
        self.last = last

    def line(self, number: int) -> None:
        if number == self.last:
            with self._turn:
                self._until(lambda: len(self._ended - {number}) >= self.count - 1)


def in_step(count: int) -> _Lead:
    return _InStep(count)


def _one_behind_the_other(last: int) -> _Lead:
    return _OneBehindTheOther(3, last)


@contextlib.contextmanager
def led(module: ModuleType, lead: _Lead) -> Iterator[None]:
    """Threads that begin now wait before lines of the module as they are told."""
    file = module.__file__
    depth: dict[int, int] = {}
    numbers: dict[int, int] = {}

    def enter(frame: FrameType, event: str, argument: Any) -> Any:
        if frame.f_code.co_filename != file:
            return None
        me = threading.get_ident()
        if not depth.get(me):
            depth[me] = 0
            numbers[me] = lead.begin()
        depth[me] += 1
        return inside

    def inside(frame: FrameType, event: str, argument: Any) -> Any:
        me = threading.get_ident()
        if event == "line":
            lead.line(numbers[me])
        elif event == "return":
            depth[me] -= 1
            if not depth[me]:
                lead.end(numbers[me])
        return inside

    before = threading.gettrace()
    threading.settrace(enter)
    try:
        yield
    finally:
        threading.settrace(before)
