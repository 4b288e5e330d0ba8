"""Run the benchmarks.

    python -m benchmarks                                everything, into docs/
    python -m benchmarks --only W3 --only W7 --quick    some workloads, tables on the screen
    python -m benchmarks --only W5 --mode 1c --library symflow --library jax
    python -m benchmarks --only W9 --only memory --only compile

Only a run of everything replaces docs/benchmarks.md and its picture.
"""

from __future__ import annotations

import argparse
import pickle
import tempfile
from pathlib import Path

from benchmarks import (
    cold_start,
    compile_time,
    limits,
    machine,
    memory,
    modules,
    picture,
    processes,
    report,
)
from benchmarks.contenders import LIBRARIES
from benchmarks.results import Results
from benchmarks.timing import QUICK, Comparison, Effort, Mode, compare
from benchmarks.workloads import WORKLOADS, Workload

ROOT = Path(__file__).parent.parent
KEPT = ROOT / "build" / "benchmarks.pickle"
OTHERS = ("W9", "memory", "compile")
MODES = {mode.name: mode for mode in (Mode(1), Mode(2), Mode(1, "tuned"), Mode(2, "tuned"))}


def parsed() -> argparse.Namespace:
    names = [*(workload.name for workload in WORKLOADS), *OTHERS]
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--only", action="append", choices=names, help="workload or part; repeat for several")
    add("--mode", action="append", choices=MODES, help="repeat for several")
    add("--library", action="append", choices=LIBRARIES, help="repeat for several")
    add("--quick", action="store_true", help="few and short rounds, graphs to 1,000 operations")
    add("--again", action="store_true", help="write the page of the last whole run again")
    return parser.parse_args()


def main() -> None:
    options = parsed()
    if options.again:
        publish(pickle.loads(KEPT.read_bytes()))
        return
    results = run(options)
    print(report.text(results))
    if not (options.only or options.mode or options.library or options.quick):
        KEPT.parent.mkdir(exist_ok=True)
        KEPT.write_bytes(pickle.dumps(results))
        publish(results)


def publish(results: Results) -> None:
    docs = ROOT / "docs"
    (docs / "benchmarks.md").write_text(report.markdown(results), encoding="utf-8")
    try:
        picture.draw(results, docs / "benchmarks.svg")
    except ImportError as error:
        print(f"no picture: {error}")


def run(options: argparse.Namespace) -> Results:
    """Everything that the options ask for; what fails stands in the results."""
    parts = options.only or [*(workload.name for workload in WORKLOADS), *OTHERS]
    chosen = [workload for workload in WORKLOADS if workload.name in parts]
    modes = [MODES[name] for name in options.mode or MODES]
    available = modules.features()
    results = Results(machine.described(), available.missing(), {})
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        models = [workload.model for workload in chosen]
        models += ["mlp_small"] * ("W9" in parts) + ["logistic_narrow"] * ("memory" in parts)
        results.failures |= modules.compile_variants(models, folder, available)
        if chosen:
            measure_limits(results, modes)
        for workload in chosen:
            compare_all(results, workload, modes, options, folder)
        if "W9" in parts:
            module = folder / "mlp_small" / modules.FAST
            rounds = 3 if options.quick else 9
            results.starts = cold_start.measured(module, rounds, Mode(2).bind)
        if "memory" in parts:
            results.needs = memory.measured(folder / "logistic_narrow", available.threads)
    if "compile" in parts:
        largest, repeat = (1_000, 1) if options.quick else (10_000, 3)
        results.chains, results.compiling = compile_time.tables(repeat, largest)
    return results


def measure_limits(results: Results, modes: list[Mode]) -> None:
    for mode in modes:
        if mode.malloc == "default":
            outcome = processes.python(
                "from benchmarks import limits\nprint(limits.to_json(limits.measured()))",
                environment=mode.environment(),
                prepare=mode.bind,
            )
            results.limits[mode.name] = limits.of_json(outcome.output[-1])


def compare_all(
    results: Results,
    workload: Workload,
    modes: list[Mode],
    options: argparse.Namespace,
    folder: Path,
) -> None:
    effort = QUICK if options.quick else Effort()
    for mode in modes:
        if mode.malloc == "tuned" and not workload.tuned_malloc:
            continue
        print(f"{workload.name}, {mode.name} ...", flush=True)
        try:
            found = compare(workload, mode, options.library or LIBRARIES, folder, effort)
        except Exception as error:  # one workload must not take the others along
            results.failures[f"{workload.name}, {mode.name}"] = f"{type(error).__name__}: {error}"
            found = Comparison(workload.name, mode.name)
        results.comparisons.append(found)


if __name__ == "__main__":
    main()
