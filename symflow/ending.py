"""A signal that ends a command lets it tidy up first: no files are left that are half written."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterator
from types import FrameType
from typing import Any, NoReturn

SIGNALS = tuple(
    signal.Signals[name]
    for name in ("SIGINT", "SIGTERM", "SIGHUP")
    if name in signal.Signals.__members__  # there is no SIGHUP on Windows
)
"""By which a person or a system ends a process, or a terminal is closed."""


class Ended(BaseException):
    """A signal came that ends the process."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


@contextlib.contextmanager
def tidily() -> Iterator[None]:
    """Within it, a signal unwinds what runs, and then ends the process as it would have done."""
    before: dict[signal.Signals, Any] = {}
    if threading.current_thread() is threading.main_thread():
        for one in SIGNALS:
            if signal.getsignal(one) in (signal.SIG_DFL, signal.default_int_handler):
                before[one] = signal.signal(one, _came)
    try:
        yield
    except Ended as ended:
        with contextlib.suppress(OSError, ValueError):
            sys.stdout.flush()
        signal.signal(ended.number, signal.SIG_DFL)
        os.kill(os.getpid(), ended.number)
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)


def _came(number: int, frame: FrameType | None) -> NoReturn:
    raise Ended(number)
