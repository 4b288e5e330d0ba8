"""What is seen of training while it goes on: a bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import contextlib
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TextIO

LINES = 10
"""How many lines there are where there is no terminal."""

REFRESH = 0.1
"""Seconds from one picture of the bar to the next."""


@dataclass(frozen=True)
class Seen:
    """What is known at a step.

    step        updates made before
    rate        of the next update; None where a line search finds it
    validation  the latest loss on the rows held out
    """

    step: int
    loss: float
    rate: float | None
    validation: float | None

    def text(self) -> str:
        parts = [f"loss {self.loss:<11.6g}"]  # as wide each time, so that nothing jumps
        if self.validation is not None:
            parts.append(f"held out {self.validation:<11.6g}")
        if self.rate is not None:
            parts.append(f"rate {self.rate:.4g}")
        return "  ".join(parts).rstrip()


class Progress:
    """Shows a run from step `first` to step `total`."""

    def __init__(
        self, first: int, total: int, stream: TextIO, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.first = first
        self.total = total
        self.stream = stream
        self.clock = clock
        self.bar = stream.isatty()
        self.start = clock()
        self.next = self.start
        self.every = max(1, total // LINES)
        self.drawn = False

    def due(self, step: int) -> bool:
        """Whether this step is shown; to ask costs next to nothing."""
        if not self.bar:
            return step % self.every == 0 or step == self.first
        return self.clock() >= self.next

    def show(self, seen: Seen) -> None:
        if self.bar:
            self.next = self.clock() + REFRESH
            width = shutil.get_terminal_size().columns - 1
            self._write("\r\x1b[K" + self.line(seen, width))
            self.drawn = True
        else:
            self._write(f"  {self._step(seen.step)}  {seen.text()}\n")

    def line(self, seen: Seen, width: int) -> str:
        """The bar, as long as there is room for it, and how things stand."""
        done = seen.step / self.total if self.total else 1.0
        before = f"{done:>4.0%} "
        after = f" {self._step(seen.step)}  {seen.text()}{self._left(seen.step)}"
        room = min(30, width - len(before) - len(after))
        if room < 5:
            return (before.strip() + after)[:width]
        full, empty = self._marks()
        filled = int(done * room)
        return f"{before}{full * filled}{empty * (room - filled)}{after}"

    def close(self) -> None:
        """Take the bar away; what comes now starts at the left."""
        if self.drawn:
            self._write("\r\x1b[K")
            self.drawn = False

    def _step(self, step: int) -> str:
        return f"{step:>{len(str(self.total))}}/{self.total}"

    def _left(self, step: int) -> str:
        """The time that is left, if the rest goes as what is done."""
        done = step - self.first
        if not done or step >= self.total:
            return ""
        seconds = (self.clock() - self.start) / done * (self.total - step)
        return f"  {spoken(seconds)} left"

    def _marks(self) -> tuple[str, str]:
        try:
            "━─".encode(getattr(self.stream, "encoding", None) or "ascii")
        except UnicodeEncodeError:
            return "#", "."
        return "━", "─"

    def _write(self, text: str) -> None:
        with contextlib.suppress(OSError):  # nobody looks any more: that is no reason to stop
            self.stream.write(text)
            self.stream.flush()


def spoken(seconds: float) -> str:
    """`0.3 s`, `12 s`, `3:20 min` or `2:05 h`."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 60:
        return f"{seconds:.0f} s"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60}:{whole % 60:02} min"
    return f"{whole // 3600}:{whole % 3600 // 60:02} h"
