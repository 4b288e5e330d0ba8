"""All that one run has found."""

from __future__ import annotations

from dataclasses import dataclass, field

from benchmarks.cold_start import Start
from benchmarks.compile_time import Compiled
from benchmarks.limits import Limits
from benchmarks.memory import Need
from benchmarks.tables import Table
from benchmarks.timing import Comparison, Row


@dataclass
class Results:
    """machine: lines; missing: what the compiler lacks, in sentences; limits: by "1c" and "2c"."""

    machine: list[str]
    missing: list[str]
    failures: dict[str, str]
    limits: dict[str, Limits] = field(default_factory=dict)
    comparisons: list[Comparison] = field(default_factory=list)
    starts: list[Start] = field(default_factory=list)
    needs: list[Need] = field(default_factory=list)
    chains: list[Compiled] = field(default_factory=list)
    compiling: list[Table] = field(default_factory=list)

    def comparison(self, workload: str, mode: str) -> Comparison | None:
        for one in self.comparisons:
            if (one.workload, one.mode) == (workload, mode):
                return one
        return None


def fastest(rows: list[Row], *labels: str) -> Row | None:
    """The fastest of those contenders, with whatever number of threads."""
    timed = [
        row for row in rows if row.seconds is not None and without_threads(row.label) in labels
    ]
    return min(timed, key=seconds, default=None)


def best_peer(rows: list[Row]) -> Row | None:
    timed = [row for row in rows if row.seconds is not None and not is_own(row.label)]
    return min(timed, key=seconds, default=None)


def seconds(row: Row) -> float:
    assert row.seconds is not None
    return row.seconds


def without_threads(label: str) -> str:
    return label.removesuffix(", 2 threads")


def is_own(label: str) -> bool:
    return label.startswith("symflow")
