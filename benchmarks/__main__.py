"""Run the benchmarks.

    python -m benchmarks                              everything, into docs/
    python -m benchmarks --only W3 --only W7 --quick  some workloads, and tables on the screen
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from benchmarks import modules
from benchmarks.contenders import LIBRARIES
from benchmarks.timing import Effort, Mode, QUICK, compare
from benchmarks.workloads import BY_NAME, WORKLOADS


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks")
    parser.add_argument("--only", action="append", default=[])
    parser.add_argument("--library", action="append", default=[])
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--mode", action="append", default=[])
    options = parser.parse_args()
    available = modules.features()
    print(available.missing())
    chosen = [w for w in WORKLOADS if not options.only or w.name in options.only]
    with tempfile.TemporaryDirectory() as folder:
        print(modules.compile_variants([w.model for w in chosen], Path(folder), available))
        for w in chosen:
            for mode in (Mode(1), Mode(2)):
                r = compare(w, mode, options.library or LIBRARIES, Path(folder), QUICK if options.quick else Effort())
                base = next((x.seconds for x in r.rows if x.label == "jax"), None)
                print(w.name, r.mode, r.versions, r.absent)
                for x in r.rows:
                    print(f"  {x.label:30} {x.seconds and x.seconds * 1e6} {x.seconds and base and x.seconds / base} {x.error} {x.problem}")


if __name__ == "__main__":
    main()
