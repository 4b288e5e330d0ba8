"""The tables of a run, for the terminal and as docs/benchmarks.md."""

from __future__ import annotations

from benchmarks import targets
from benchmarks.limits import Limits
from benchmarks.modules import FAST
from benchmarks.results import Results, best_peer, fastest
from benchmarks.tables import Table, digits, duration, ratio
from benchmarks.timing import Comparison, Row
from benchmarks.workloads import BY_NAME, WORKLOADS

METHOD = """\
Every library lives in a process of its own and waits on a pipe while another is timed. All
contenders of a workload are timed in turn, in shuffled order, round after round; a time is the
median of the rounds, and each counts as many runs as fit in a fraction of a second, after one that
does not count. Before a contender is timed, what it finds is compared with a derivation by hand in
float64 (`benchmarks/reference.py`): to 1e-12 of the largest entry of every array, to 1e-5 in
float32. After training, losses of all steps and parameters are compared; of the float32 networks
the losses. A contender that is wrong is called wrong and not timed.

**1c** is one core: bound to one processor, one thread everywhere, the process's processor time.
**2c** is two: bound to two processors, each library's own number of threads, wall time; symflow's
functions with one thread and with two. With *tuned malloc* glibc keeps the memory that is freed,
which spares JAX's and NumPy's fresh arrays their page faults.

All get arrays of their own kind beforehand, and hand out arrays of their own kind. JAX is jitted,
and its training steps have their parameters donated; `jax scan` runs all steps in one call, which
holds for training loops without callbacks. PyTorch is eager. *By hand* is a formula rearranged by
a person, where symflow has the naive one. The interpreter is a small graph interpreter in the
manner of the article that symflow grew from: one NumPy call per node and direction.

`x limit` is the time as a multiple of what the hardware allows, as far as one number can say:
below 1, less was done than the bound supposes."""

HEADER = ("contender", "time", "x JAX", "x best peer", "x limit", "rounds", "error")


def comparison_table(comparison: Comparison, limits: Limits | None) -> Table:
    """Contenders from the fastest on; those that were not timed, and why, at the end."""
    workload = BY_NAME[comparison.workload]
    jax, peer = fastest(comparison.rows, "jax"), best_peer(comparison.rows)
    limit = workload.limit(limits) if workload.limit and limits else None
    timed = sorted(
        (row for row in comparison.rows if row.seconds), key=lambda row: row.seconds or 0
    )
    lines = [
        (
            row.label,
            duration(row.seconds or 0),
            compared(row, jax),
            compared(row, peer),
            ratio(row.seconds, limit),
            spread(row),
            _error(row),
        )
        for row in timed
    ]
    lines += [
        (row.label, row.problem, "", "", "", "", _error(row))
        for row in comparison.rows
        if row.seconds is None
    ]
    notes = [f"Times are per {workload.unit}."] if workload.unit != "call" else []
    if limit is not None:
        notes.append(f"The limit, {workload.bound}, is {duration(limit)}.")
    notes += [f"No {name}: {why}." for name, why in comparison.absent.items()]
    title = f"{workload.name}, {comparison.mode}: {workload.title}"
    return Table(title, HEADER, tuple(lines), " ".join(notes))


def compared(row: Row | None, other: Row | None) -> str:
    return ratio(row.seconds if row else None, other.seconds if other else None)


def spread(row: Row) -> str:
    """How far the rounds lie from the median, below and above, in percent."""
    if not (row.seconds and row.lowest and row.highest):
        return ""
    below, above = row.lowest / row.seconds - 1.0, row.highest / row.seconds - 1.0
    return f"-{100 * abs(below):.0f} +{100 * above:.0f} %"


def _error(row: Row) -> str:
    return "" if row.error is None else f"{row.error:.0e}"


def summary(results: Results) -> Table:
    """Ratios to JAX at a glance: the module that a user gets, and the fastest other library."""
    lines: list[tuple[str, ...]] = []
    for workload in WORKLOADS:
        modes = [one for one in results.comparisons if one.workload == workload.name]
        for comparison in modes:
            own, jax = fastest(comparison.rows, FAST), fastest(comparison.rows, "jax")
            peer = best_peer(comparison.rows)
            lines.append(
                (
                    f"{workload.name}, {comparison.mode}",
                    duration(own.seconds) if own and own.seconds else "–",
                    compared(own, jax),
                    compared(own, peer),
                    peer.label if peer else "–",
                )
            )
    return Table(
        "symflow's modules at a glance",
        ("workload", "symflow", "x JAX", "x best peer", "best peer"),
        tuple(lines),
    )


def limits_table(results: Results) -> Table:
    sizes = sorted({size for limits in results.limits.values() for size in limits.read})
    lines = [
        (
            mode,
            *(digits(limits.read[size] / 1e9) for size in sizes),
            digits(limits.dgemm / 1e9),
            digits(limits.sgemm / 1e9),
        )
        for mode, limits in results.limits.items()
    ]
    header = ("cores", *(f"read {size} MiB, GB/s" for size in sizes), "dgemm, GF/s", "sgemm, GF/s")
    note = (
        "Measured with NumPy in the same run: dot products of arrays of three sizes, and square "
        "products of 2048; the best of many."
    )
    return Table("Physical limits", header, tuple(lines), note)


def starts_table(results: Results) -> Table:
    own = next((one.seconds for one in results.starts if one.label == "symflow"), None)
    lines = [
        (one.label, one.problem, "", "")
        if one.seconds is None
        else (
            one.label,
            duration(one.seconds),
            ratio(one.seconds, own),
            f"{one.peak / 2**20:.0f}",
        )
        for one in sorted(results.starts, key=lambda one: one.seconds or float("inf"))
    ]
    return Table(
        "W9: a fresh process to the first gradient of the MLP 64-32-10",
        ("process", "wall time", "x symflow", "peak MiB"),
        tuple(lines),
    )


def needs_table(results: Results) -> Table:
    lines = [
        (
            one.label,
            f"{one.rows:,}",
            f"{one.inputs / 2**20:.0f}",
            one.problem if one.beyond is None else f"{one.beyond / 2**20:.1f}",
        )
        for one in results.needs
    ]
    return Table(
        "Memory of a gradient: logistic regression on 4 columns",
        ("module", "rows", "inputs, MiB", "peak beyond them, MiB"),
        tuple(lines),
    )


def sections(results: Results, unmeasured: bool = True) -> list[tuple[str, list[Table]]]:
    """Headings, and the tables below them; what was not measured is left out.

    unmeasured  targets of which nothing was measured are listed too
    """
    comparisons = [
        comparison_table(one, results.limits.get(one.mode[:2])) for one in results.comparisons
    ]
    found = [
        ("Results", [summary(results), targets.table(results, unmeasured)]),
        ("Workloads", [*([limits_table(results)] if results.limits else []), *comparisons]),
        ("Start", [starts_table(results)] if results.starts else []),
        ("Memory", [needs_table(results)] if results.needs else []),
        ("Compilation", results.compiling),
    ]
    return [(heading, tables) for heading, tables in found if tables]


def text(results: Results) -> str:
    """For the terminal."""
    parts = [*results.missing, *(f"{what}: {why}" for what, why in results.failures.items()), ""]
    for _, tables in sections(results, unmeasured=False):
        parts += [table.text() for table in tables]
    return "\n".join(parts)


def markdown(results: Results) -> str:
    """docs/benchmarks.md."""
    versions = dict.fromkeys(name for one in results.comparisons for name in one.versions)
    libraries = [name for name in versions if name not in ("symflow", "interpreter")]
    machine = [*results.machine, "libraries: " + ", ".join(libraries)]
    parts = [
        "# Benchmarks\n",
        "Written by `make bench`, which builds an environment of its own, measures everything on "
        "this page in one run and replaces the page. Figures are of one machine.\n",
        "![Times as multiples of JAX's](benchmarks.svg)\n",
    ]
    for heading, tables in sections(results):
        parts.append(f"## {heading}\n")
        parts += [table.markdown() for table in tables]
        if heading == "Results":
            limits = [*results.missing, *(f"{a}: {b}." for a, b in results.failures.items())]
            parts += ["".join(f"- {one}\n" for one in limits)] if limits else []
            parts += ["## Machine\n", "".join(f"- {line}\n" for line in machine)]
            parts += ["## Method\n", METHOD + "\n"]
    return "\n".join(parts)
