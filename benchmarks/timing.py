"""All contenders of a workload against each other: checked, then timed in turn, shuffled.

Every library lives in a process of its own (`child.py`) and waits on a pipe while another is timed.
"""

from __future__ import annotations

import os
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from multiprocessing import Pipe
from pathlib import Path
from typing import Any

from benchmarks import reference
from benchmarks.workloads import Workload

ROOT = Path(__file__).parent.parent

ONE_THREAD = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "NUMBA_NUM_THREADS": "1",
    "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1",
}
TUNED_MALLOC = {
    "MALLOC_TRIM_THRESHOLD_": "4294967296",
    "MALLOC_MMAP_THRESHOLD_": "4294967296",
    "MALLOC_TOP_PAD_": "268435456",
}


@dataclass(frozen=True)
class Effort:
    """How long to measure.

    rounds    how often each contender is timed, but for one that is too slow, which is timed
              until it has taken `enough` seconds, and three times at least
    seconds   how long a timing is, about
    patience  how long to wait for a contender before it is given up
    """

    rounds: int = 7
    seconds: float = 0.08
    enough: float = 5.0
    patience: float = 180.0

    def plan(self, once: float) -> Plan:
        """For a contender one run of which takes so long."""
        rounds = max(3, min(self.rounds, round(self.enough / once)))
        return Plan(rounds, max(1, round(self.seconds / once)), once < 0.3)


@dataclass(frozen=True)
class Plan:
    """In how many rounds a contender takes part, with how many runs, and whether one goes first."""

    rounds: int
    runs: int
    first: bool


QUICK = Effort(rounds=3, seconds=0.03)


@dataclass(frozen=True)
class Mode:
    """cores: 1 or 2, to which the processes are bound; malloc: "default" or "tuned"."""

    cores: int
    malloc: str = "default"

    @property
    def name(self) -> str:
        return f"{self.cores}c" + ("" if self.malloc == "default" else f" {self.malloc} malloc")

    def environment(self) -> dict[str, str]:
        added = {"BENCHMARK_MODE": f"{self.cores}c", "PYTHONPATH": str(ROOT)}
        if self.cores == 1:
            added |= ONE_THREAD
        if self.malloc == "tuned":
            added |= TUNED_MALLOC
        return os.environ | added

    def bind(self) -> None:
        """In a child, before it starts: only the processors of the mode."""
        if hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: self.cores])


@dataclass(frozen=True)
class Row:
    """One contender: seconds per unit of the workload, or why there are none.

    lowest, highest  of the rounds
    error            as `reference.error` has it
    """

    label: str
    seconds: float | None
    lowest: float | None = None
    highest: float | None = None
    error: float | None = None
    problem: str = ""


@dataclass
class Comparison:
    """A workload in a mode. versions: of the libraries that took part; absent: why others not."""

    workload: str
    mode: str
    rows: list[Row] = field(default_factory=list)
    versions: list[str] = field(default_factory=list)
    absent: dict[str, str] = field(default_factory=dict)


class ChildError(Exception):
    """A child answered with an error, died, or was too slow."""


class Library:
    """The parent's end of a child."""

    def __init__(
        self, name: str, workload: Workload, mode: Mode, modules: Path, patience: float
    ) -> None:
        self.patience = patience
        self.connection, theirs = Pipe()
        command = [sys.executable, "-m", "benchmarks.child", str(theirs.fileno())]
        self.process = subprocess.Popen(
            [*command, name, workload.name],
            pass_fds=[theirs.fileno()],
            env=mode.environment() | {"BENCHMARK_MODULES": str(modules)},
            preexec_fn=mode.bind,
            stderr=None if os.environ.get("BENCHMARK_VERBOSE") else subprocess.DEVNULL,
        )
        theirs.close()

    def answer(self) -> Any:
        try:
            if not self.connection.poll(self.patience):
                raise ChildError(f"no answer in {self.patience:.0f} s")
            right, found = self.connection.recv()
        except (EOFError, OSError):
            raise ChildError("its process died") from None
        if not right:
            raise ChildError(str(found))
        return found

    def ask(self, *request: Any) -> Any:
        try:
            self.connection.send(request)
        except OSError:
            raise ChildError("its process died") from None
        return self.answer()

    def close(self) -> None:
        self.connection.close()
        try:
            self.process.wait(1.0)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def compare(
    workload: Workload, mode: Mode, libraries: Iterable[str], modules: Path, effort: Effort
) -> Comparison:
    """Check and time whatever the libraries offer; one that fails leaves the others alone."""
    result = Comparison(workload.name, mode.name)
    right = reference.expected(workload, workload.data())
    children: dict[str, Library] = {}
    try:
        for name in libraries:
            children[name] = Library(name, workload, mode, modules, effort.patience)
        contenders: dict[str, Library] = {}
        for name, child in children.items():
            try:
                version, labels = child.answer()
            except ChildError as failure:
                result.absent[name] = str(failure)
                continue
            if labels:
                result.versions.append(version)
            contenders |= dict.fromkeys(labels, child)
        _measure(workload, mode, contenders, right, effort, result)
    finally:
        for child in children.values():
            child.close()
    return result


def _measure(
    workload: Workload,
    mode: Mode,
    contenders: Mapping[str, Library],
    right: reference.Result,
    effort: Effort,
    result: Comparison,
) -> None:
    errors: dict[str, float] = {}
    plans: dict[str, Plan] = {}
    for label, child in contenders.items():
        try:
            errors[label] = reference.error(child.ask("check", label), right)
            if errors[label] <= workload.tolerance:
                plans[label] = effort.plan(child.ask("time", label, 1, True)[0])
            else:
                result.rows.append(Row(label, None, error=errors[label], problem="wrong"))
        except ChildError as failure:
            result.rows.append(Row(label, None, problem=str(failure)))
    times: dict[str, list[float]] = {label: [] for label in plans}
    order, shuffler = list(plans), random.Random(0)
    for turn in range(effort.rounds):
        shuffler.shuffle(order)
        for label in [label for label in order if turn < plans[label].rounds]:
            plan = plans[label]
            try:
                wall, processor = contenders[label].ask("time", label, plan.runs, plan.first)
            except ChildError as failure:
                result.rows.append(Row(label, None, problem=str(failure)))
                order.remove(label)
                continue
            times[label].append((processor if mode.cores == 1 else wall) / workload.units)
            if mode.cores > 1:
                time.sleep(0.05)  # for threads that spin a while after their work
    for label in sorted(order, key=lambda label: statistics.median(times[label])):
        found = times[label]
        median = statistics.median(found)
        result.rows.append(Row(label, median, min(found), max(found), errors[label]))
