"""What a library offers for a workload: a function to call again and again, and what it found."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from benchmarks.workloads import Array


@dataclass(frozen=True)
class Contender:
    """run: the work, complete when it returns; arrays: its outcome, as `reference.expected`."""

    run: Callable[[], Any]
    arrays: Callable[[Any], Mapping[str, Array]]


Builders = dict[str, Callable[[], Contender]]
"""By label. Each is built in turn, so that one that fails leaves the others alone."""
