"""Times as multiples of JAX's, as bars on a logarithmic scale: left of 1 is faster."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.modules import FAST, NOT_HOISTED, PLAIN
from benchmarks.results import Results, fastest, seconds
from benchmarks.targets import RATIOS
from benchmarks.timing import Row
from benchmarks.workloads import WORKLOADS

SHOWN = {
    FAST: ("symflow", "#0b5fa5"),
    NOT_HOISTED: ("symflow, not hoisted", "#5b9bd0"),
    PLAIN: ("symflow, plain", "#a9cbe6"),
    "jax by hand": ("JAX, other forms", "#e8a33d"),
    "torch": ("PyTorch", "#c8553d"),
    "autograd": ("autograd", "#8f8f8f"),
    "pytensor": ("PyTensor", "#7d6b9e"),
    "casadi": ("CasADi", "#5f9e6e"),
    "interpreter": ("interpreter", "#444444"),
}
"""What is drawn, from top to bottom: the fastest row of each."""

FORMS = {
    "jax by hand": ("jax scan", "jax, products by hand", "jax, 4 × 4 matrices"),
    "torch": ("torch", "torch, products by hand"),
    "casadi": ("casadi", "casadi, buffers"),
}


def draw(results: Results, path: Path) -> None:
    """Write the picture; which kind of file follows from its name."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    matplotlib.rcParams |= {"svg.hashsalt": "symflow", "svg.fonttype": "none", "font.size": 8}
    panels = {cores: bars(results, cores) for cores in ("1c", "2c")}
    tallest = max(sum(len(rows) + 1 for _, rows in groups) for groups in panels.values())
    figure, axes = pyplot.subplots(1, 2, figsize=(11.5, 0.125 * tallest + 1.4), sharex=True)
    for axis, (cores, groups) in zip(axes, panels.items(), strict=True):
        _panel(axis, "one core" if cores == "1c" else "two cores", groups, results, cores)
    handles = [
        pyplot.Rectangle((0, 0), 1, 1, color=color, label=words)
        for key, (words, color) in SHOWN.items()
        if any(key == one for groups in panels.values() for _, rows in groups for one, _ in rows)
    ]
    handles.append(pyplot.Line2D([], [], color="black", marker="|", linestyle="", label="target"))
    figure.legend(handles=handles, loc="lower center", ncol=5, frameon=False)
    figure.suptitle("Time as a multiple of JAX's jit, same work: left of 1 is faster")
    figure.tight_layout(rect=(0, 0.06, 1, 1))
    figure.savefig(path, dpi=110, metadata={"Date": None} if path.suffix == ".svg" else None)
    pyplot.close(figure)


def bars(results: Results, cores: str) -> list[tuple[str, list[tuple[str, float]]]]:
    """For every workload, and for W5 for both mallocs, what is drawn: key of SHOWN and ratio."""
    groups: list[tuple[str, list[tuple[str, float]]]] = []
    for workload in WORKLOADS:
        for mode, name in ((cores, workload.name), (f"{cores} tuned malloc", "W5 tuned")):
            comparison = results.comparison(workload.name, mode)
            jax = fastest(comparison.rows, "jax") if comparison else None
            if comparison is None or jax is None:
                continue
            found: list[tuple[str, float]] = []
            for key in SHOWN:
                row: Row | None = fastest(comparison.rows, *FORMS.get(key, (key,)))
                if row is not None:
                    found.append((key, seconds(row) / seconds(jax)))
            groups.append((name, found))
    return groups


def _panel(
    axis: Any,
    title: str,
    groups: list[tuple[str, list[tuple[str, float]]]],
    results: Results,
    cores: str,
) -> None:
    at, ticks = 0.0, []
    for name, rows in groups:
        ticks.append((at + (len(rows) - 1) / 2, name))
        mode = f"{cores} tuned malloc" if name == "W5 tuned" else cores
        asked = [
            one.most
            for one in RATIOS
            if (one.workload, one.mode, one.other) == (name.split(" tuned")[0], mode, "jax")
        ]
        for key, value in rows:
            axis.barh(at, value - 1.0, left=1.0, height=0.9, color=SHOWN[key][1])
            words = f"{value:.2g}" if value < 10 else f"{value:.0f}"
            side = {"ha": "right", "xytext": (-2, 0)} if value < 1 else {"xytext": (2, 0)}
            axis.annotate(
                words, (value, at), textcoords="offset points", va="center", fontsize=6, **side
            )
            at += 1.0
        for most in asked:
            axis.plot([most, most], [at - len(rows) - 0.6, at - 0.4], color="black", lw=0.8)
        at += 1.0
    axis.set_xscale("log")
    axis.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axis.axvline(1.0, color="black", lw=0.6)
    axis.set_yticks([place for place, _ in ticks], [name for _, name in ticks])
    axis.set_ylim(at - 0.5, -1.0)
    axis.margins(x=0.08)
    axis.grid(axis="x", color="#dddddd", lw=0.5)
    axis.set_axisbelow(True)
    axis.spines[["top", "right", "left"]].set_visible(False)
    axis.tick_params(axis="y", length=0)
    axis.set_title(title, fontsize=9)
