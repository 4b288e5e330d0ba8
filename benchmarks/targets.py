"""What symflow is to reach, and whether it does."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from benchmarks.modules import FAST, NOT_HOISTED
from benchmarks.results import Results, fastest, seconds, without_threads
from benchmarks.tables import Table, digits
from benchmarks.timing import Row
from benchmarks.workloads import BY_NAME

BOTH = ("1c", "2c")


@dataclass(frozen=True)
class Target:
    """The time of `own`, as a multiple of that of `other`, at most."""

    workload: str
    mode: str
    most: float
    own: str = FAST
    other: str = "jax"
    words: str = ""


RATIOS = (
    *(Target("W1", mode, 0.02, words="hoisted") for mode in BOTH),
    *(Target("W1", mode, 0.15, NOT_HOISTED, words="not hoisted") for mode in BOTH),
    *(Target("W1", mode, 1 / 30, other="interpreter", words="to the interpreter") for mode in BOTH),
    *(Target("W2", mode, 0.03, words="hoisted") for mode in BOTH),
    *(Target("W2", mode, 0.6, NOT_HOISTED, words="not hoisted") for mode in BOTH),
    Target("W3", "1c", 0.45),
    Target("W3", "2c", 0.55),
    Target("W4 big", "1c", 1.0),
    Target("W4 big", "2c", 0.7),
    Target("W4 small", "1c", 0.6),
    Target("W4 small", "2c", 0.3),
    Target("W5", "1c", 0.45),
    Target("W5", "2c", 0.45),
    Target("W5", "1c tuned malloc", 1.3),
    Target("W5", "2c tuned malloc", 1.1),
    *(Target(name, mode, 0.3) for name in ("W6 d10", "W6 d64") for mode in BOTH),
    *(Target("W7", mode, 0.15) for mode in BOTH),
    *(Target("W7b", mode, 0.25) for mode in BOTH),
)


@dataclass(frozen=True)
class Verdict:
    """One line: what is asked, what was found (None: not measured), and how it is shown."""

    what: str
    asked: str
    found: str
    met: bool | None

    @property
    def word(self) -> str:
        return {True: "met", False: "missed", None: "not measured"}[self.met]


def verdicts(results: Results) -> list[Verdict]:
    ratios = [_ratio(results, one) for one in RATIOS]
    return [*ratios, *_starts(results), *_memory(results), *_compiling(results)]


def table(results: Results, unmeasured: bool = True) -> Table:
    """unmeasured: with those of which nothing was measured."""
    found = [one for one in verdicts(results) if unmeasured or one.met is not None]
    lines = [(one.what, one.asked, one.found, one.word) for one in found]
    note = (
        "Ratios of times, of symflow's to JAX's jit where nothing else is said; with two cores, "
        "symflow with one or two threads, whichever is faster."
    )
    return Table("Targets", ("what", "target", "measured", ""), tuple(lines), note)


def _ratio(results: Results, target: Target) -> Verdict:
    words = f", {target.words}" if target.words else ""
    what, asked = f"{target.workload}, {target.mode}{words}", f"≤ {target.most:.3g}"
    comparison = results.comparison(target.workload, target.mode)
    rows = comparison.rows if comparison else []
    own = fastest(rows, target.own)
    if not _has(results, target, rows):
        own = fastest(rows, FAST)  # a module that is the same without the rules has one row
    other = fastest(rows, target.other)
    if own is None or other is None:
        return Verdict(what, asked, "–", None)
    found = seconds(own) / seconds(other)
    return _judged(what, asked, found, target.most)


def _has(results: Results, target: Target, rows: Sequence[Row]) -> bool:
    """Whether the variant is one of its own, be it timed, wrong or impossible to compile."""
    failed = f"{BY_NAME[target.workload].model}: {target.own}" in results.failures
    return failed or any(without_threads(row.label) == target.own for row in rows)


def _judged(
    what: str, asked: str, found: float, most: float, shown: Callable[[float], str] | None = None
) -> Verdict:
    text = shown(found) if shown else (f"{found:.3f}" if found < 1 else digits(found))
    return Verdict(what, asked, text, found <= most)


def _starts(results: Results) -> list[Verdict]:
    by_label = {one.label: one for one in results.starts if one.seconds is not None}
    own, numpy, jax = (by_label.get(label) for label in ("symflow", "import numpy", "jax"))
    found: list[Verdict] = []
    for what, asked, most, other in (
        ("W9, first gradient to `import numpy`", "≤ 1.1", 1.1, numpy),
        ("W9, first gradient to JAX's", "≤ 1/8", 1 / 8, jax),
    ):
        if own is None or other is None or own.seconds is None or other.seconds is None:
            found.append(Verdict(what, asked, "–", None))
        else:
            found.append(_judged(what, asked, own.seconds / other.seconds, most))
    if own is None:
        return [*found, Verdict("W9, peak memory", "≤ 36 MiB", "–", None)]
    peak = own.peak / 2**20
    return [*found, _judged("W9, peak memory", "≤ 36 MiB", peak, 36.0, lambda x: f"{x:.1f} MiB")]


def _memory(results: Results) -> list[Verdict]:
    """A gradient of a hundred times as many rows needs no more than a little beside its inputs."""
    what, asked = "memory beside the inputs, 1e7 rows less 1e5 rows", "≤ 4 MiB"
    beyond = [one.beyond for one in results.needs if one.label == FAST]
    if len(beyond) < 2 or beyond[0] is None or beyond[-1] is None:
        return [Verdict(what, asked, "–", None)]
    more = (beyond[-1] - beyond[0]) / 2**20
    return [_judged(what, asked, more, 4.0, lambda x: f"{x:.1f} MiB")]


def _compiling(results: Results) -> list[Verdict]:
    by_size = {one.graph.size: one for one in results.chains}
    large, small = by_size.get(10_000), by_size.get(1_000)
    whole, share = "compile time of 10,000 operations", "its time per operation to that of 1,000"
    if large is None or small is None or small.seconds is None:
        return [Verdict(whole, "≤ 10 s", "–", None), Verdict(share, "≤ 1.3", "–", None)]
    if large.seconds is None:
        return [
            Verdict(whole, "≤ 10 s", large.problem, False),
            Verdict(share, "≤ 1.3", "–", None),
        ]
    return [
        _judged(whole, "≤ 10 s", large.seconds, 10.0, lambda x: f"{x:.1f} s"),
        _judged(share, "≤ 1.3", large.seconds / small.seconds / 10, 1.3),
    ]
