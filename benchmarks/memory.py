"""How much memory a gradient needs beside its inputs, as the rows grow: logistic regression."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from benchmarks import processes

ROWS = (100_000, 10_000_000)

CODE = """
import sys
sys.path.insert(0, sys.argv[1])
import numpy as np
import logistic_narrow as module
rows, threads = int(sys.argv[2]), int(sys.argv[3])
random = np.random.default_rng(0)
x, y = np.empty((rows, 4)), np.empty(rows)
random.random(out=x)
random.random(out=y)
options = {"threads": threads} if threads > 1 else {}
p = module.Parameters(w=np.full(4, 0.1), b=np.array(0.1))
module.loss_and_gradients(p, x[:10], y[:10], **options)


def resident():
    return int(open("/proc/self/status").read().split("VmRSS:")[1].split()[0]) * 1024


open("/proc/self/clear_refs", "w").write("5")
before = resident()
module.loss_and_gradients(p, x, y, **options)
print(before)
"""


@dataclass(frozen=True)
class Need:
    """inputs: bytes of x and y; beyond: peak bytes of the gradient beside what was there before."""

    label: str
    rows: int
    inputs: int
    beyond: int | None
    problem: str = ""


def measured(modules: Path, threads: bool) -> list[Need]:
    """modules: a folder for each variant; threads: whether two threads can be asked for."""
    found: list[Need] = []
    for path in sorted(modules.glob("*/*.py")):
        folder, blocked = path.parent, "threads" in path.read_text(encoding="utf-8")
        for count in (1, 2) if threads and blocked else (1,):
            label = folder.name + (f", {count} threads" if count > 1 else "")
            found += [_need(label, folder, rows, count) for rows in ROWS]
    return found


def _need(label: str, folder: Path, rows: int, threads: int) -> Need:
    inputs = rows * 5 * 8
    try:
        outcome = processes.python(CODE, str(folder), str(rows), str(threads))
    except processes.ProcessError as failure:
        return Need(label, rows, inputs, None, str(failure))
    return Need(label, rows, inputs, max(0, outcome.peak - int(outcome.output[-1])))
