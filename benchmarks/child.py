"""One library in a process of its own, which builds, checks and times its contenders when asked.

    python -m benchmarks.child FD LIBRARY WORKLOAD

FD is the child's end of a connection. What libraries print goes to stderr.
"""

from __future__ import annotations

import importlib
import os
import sys
import time
import traceback
from multiprocessing.connection import Connection
from typing import Any

import numpy as np

from benchmarks.contender import Builders, Contender
from benchmarks.workloads import BY_NAME


class Server:
    """The contenders of a library, built on first use."""

    def __init__(self, library: str, workload: str) -> None:
        module = importlib.import_module(f"benchmarks.contenders.with_{library}")
        self.version: str = getattr(module, "VERSION", library)
        chosen = BY_NAME[workload]
        self.builders: Builders = module.builders(chosen, chosen.data())
        self.built: dict[str, Contender] = {}

    def labels(self) -> tuple[str, list[str]]:
        """The library's version, and what it offers."""
        return self.version, list(self.builders)

    def check(self, label: str) -> dict[str, Any]:
        """What a contender finds in its first run."""
        contender = self.built[label] = self.builders[label]()
        found = contender.arrays(contender.run())
        return {name: np.array(value) for name, value in found.items()}

    def time(self, label: str, runs: int, first: bool) -> tuple[float, float]:
        """Seconds of wall and of processor per run; first: after one that does not count."""
        run = self.built[label].run
        if first:
            run()
        wall, processor = time.perf_counter(), time.process_time()
        for _ in range(runs):
            run()
        processor = time.process_time() - processor
        return (time.perf_counter() - wall) / runs, processor / runs


def main() -> None:
    descriptor, library, workload = sys.argv[1:]
    os.dup2(2, 1)
    with Connection(int(descriptor)) as connection:
        try:
            server = Server(library, workload)
        except Exception as error:
            connection.send((False, told(error)))
            return
        connection.send((True, server.labels()))
        while True:
            try:
                name, *arguments = connection.recv()
            except EOFError:
                return
            try:
                connection.send((True, getattr(server, name)(*arguments)))
            except Exception as error:
                connection.send((False, told(error)))


def told(error: Exception) -> str:
    traceback.print_exception(error)
    return f"{type(error).__name__}: {error}".partition("\n")[0]


if __name__ == "__main__":
    main()
