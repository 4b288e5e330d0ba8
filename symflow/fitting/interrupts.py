"""Ctrl-C while training: the first asks it to stop after the step, the second ends the process."""

from __future__ import annotations

import os
import signal
from types import FrameType
from typing import Any

SIGNALS = (signal.SIGINT, signal.SIGTERM)
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
            self._before[one] = signal.signal(one, self._came)
        return self

    def __exit__(self, *exception: object) -> None:
        for one, handler in self._before.items():
            signal.signal(one, handler)

    def _came(self, number: int, frame: FrameType | None) -> None:
        self.number = number
        for one in SIGNALS:
            signal.signal(one, signal.SIG_DFL)
        os.write(2, NOTICE)  # the streams of Python may be in the middle of a line
