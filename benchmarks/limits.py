"""What the hardware can do, measured with NumPy: how fast memory is read, and matrices multiplied.

They are measured in a process of the mode in question, and come back as JSON.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial

MEGABYTE = 1 << 20
SIZES = (16, 64, 1024)
"""Megabytes that are read: within the L3 cache, about as large as the larger inputs, and DRAM."""


@dataclass(frozen=True)
class Limits:
    """read: megabytes of an array → bytes a second; dgemm and sgemm: operations a second."""

    read: dict[int, float]
    dgemm: float
    sgemm: float

    def reading(self, size: int) -> float:
        """Seconds to read so many bytes, at the rate of the next larger size that was measured."""
        fits = [megabytes for megabytes in self.read if size <= megabytes * MEGABYTE]
        return size / self.read[min(fits, default=max(self.read))]


def to_json(limits: Limits) -> str:
    return json.dumps(asdict(limits))


def of_json(text: str) -> Limits:
    found = json.loads(text)
    read = {int(megabytes): rate for megabytes, rate in found["read"].items()}
    return Limits(read, found["dgemm"], found["sgemm"])


def best(function: Callable[[], object], least: float) -> float:
    """The shortest of the calls that fit into `least` seconds, five at least."""
    times: list[float] = []
    until = time.perf_counter() + least
    while len(times) < 5 or time.perf_counter() < until:
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return min(times)


def measured() -> Limits:
    """In this process, with the threads that its environment gives to BLAS.

    Reading is the dot product of an array with itself, or with another half.
    """
    import numpy as np

    read: dict[int, float] = {}
    for megabytes in SIZES:
        x = np.ones(megabytes * MEGABYTE // 8)
        rows = x.reshape(-1, 1024)
        first, second = np.split(x, 2)
        ways: list[Callable[[], object]] = [partial(x.dot, x), partial(first.dot, second)]
        if hasattr(np, "vecdot"):  # NumPy 2
            ways.append(partial(np.vecdot, rows, rows))
        read[megabytes] = 8 * x.size / min(best(way, 0.3) for way in ways)
    peaks: list[float] = []
    for dtype in (np.float64, np.float32):
        a, b = np.ones((2048, 2048), dtype), np.ones((2048, 2048), dtype)
        out = np.empty_like(a)
        seconds = best(partial(np.matmul, a, b, out=out), 2.0)
        peaks.append(2.0 * 2048**3 / seconds)
    return Limits(read, *peaks)
