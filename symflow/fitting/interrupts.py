"""Ctrl-C while training: the first asks it to stop after the step, the second ends the process.

The same goes for the signals by which a system ends a process, or a terminal is closed.
"""

from __future__ import annotations

import contextlib
import os
import signal
from types import FrameType
from typing import Any

from symflow.ending import SIGNALS

NOTICE = b"\nstopping after this step; once more quits at once\n"


class Interrupts:
    """Within it, `number` is the signal that came, or None. Only for the main thread."""

    def __init__(self) -> None:
        self.number: int | None = None
        self._before: dict[signal.Signals, Any] = {}

    @property
    def status(self) -> int:
        """What a shell is told of a process that a signal ended."""
        return 128 + self.number if self.number is not None else 0

    def __enter__(self) -> Interrupts:
        for one in SIGNALS:
            if signal.getsignal(one) is not signal.SIG_IGN:  # as below nohup
                self._before[one] = signal.signal(one, self._came)
        return self

    def __exit__(self, *exception: object) -> None:
        for one, handler in self._before.items():
            signal.signal(one, handler)

    def _came(self, number: int, frame: FrameType | None) -> None:
        self.number = number
        for one, handler in self._before.items():
            signal.signal(one, handler)
        with contextlib.suppress(OSError):  # the terminal may be gone
            os.write(2, NOTICE)  # the streams of Python may be in the middle of a line
