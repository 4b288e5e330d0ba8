"""Python in a process of its own: what it prints, how long it takes, and its peak memory."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent

PEAK = """
def _peak():
    try:
        status = open("/proc/self/status").read()
    except OSError:
        import resource, sys
        unit = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    return int(status.split("VmHWM:")[1].split()[0]) * 1024
"""
"""Peak resident bytes of the process itself. Linux starts `ru_maxrss` at the size of the parent."""


@dataclass(frozen=True)
class Outcome:
    """seconds: from start to end; peak: resident bytes; output: what was printed, in lines."""

    seconds: float
    peak: int
    output: list[str]


class ProcessError(Exception):
    """A process ended with an error, or did not end."""


def python(
    code: str,
    *arguments: str,
    environment: Mapping[str, str] | None = None,
    patience: float = 600.0,
    prepare: Callable[[], None] | None = None,
) -> Outcome:
    """Run code; its last line of output is the peak, which is taken off."""
    whole = f"{code}\n{PEAK}\nprint(_peak())"
    with tempfile.TemporaryFile() as errors:
        start = time.perf_counter()
        try:
            run = subprocess.run(
                [sys.executable, "-c", whole, *arguments],
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                env=os.environ | {"PYTHONPATH": str(ROOT)} | dict(environment or {}),
                timeout=patience,
                preexec_fn=prepare,
            )
        except subprocess.TimeoutExpired:
            raise ProcessError(f"not done in {patience:.0f} s") from None
        seconds = time.perf_counter() - start
        errors.seek(0)
        complaint = errors.read().decode(errors="replace").strip()
    if run.returncode:
        raise ProcessError(complaint.rpartition("\n")[2] or f"exit status {run.returncode}")
    *output, peak = run.stdout.split("\n")[:-1]
    return Outcome(seconds, int(peak), output)
