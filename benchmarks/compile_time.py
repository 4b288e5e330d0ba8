"""Time and memory of compilation, and lines of code, against the size of the graph.

    python -m benchmarks.compile_time [--repeat 3] [--largest 10000]

Each compilation runs in a process of its own, for SymPy remembers what it has seen. The order of
the sizes is shuffled, the median is reported. The gradients of the smaller graphs are compared
with numeric derivatives.
"""

from __future__ import annotations

import argparse
import random
import statistics
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks import processes
from benchmarks.tables import Table

SIZES = (10, 100, 1_000, 10_000)
SHAPES = ((2, 64), (8, 64), (32, 64), (128, 64), (8, 16), (8, 256), (8, 1024))
"""Depth and width of perceptrons."""
CHECKED = 1_000  # operations up to which gradients are checked

CHAIN = '''"""A chain of {operations} operations and a loss: layers, gates, functions."""

import symflow as sf

x = sf.placeholder(shape=("n", 16))
y = sf.placeholder(shape=("n", 16))

_value = x
for _block in range({blocks}):
    _w = sf.Variable(sf.glorot_uniform((16, 16)), name=f"w{{_block}}")
    _b = sf.Variable(sf.zeros(16), name=f"b{{_block}}")
    _g = sf.Variable(sf.ones(16), name=f"g{{_block}}")
    _hidden = sf.tanh(_value @ _w + _b)  # 3 operations
    _gate = sf.sigmoid(_hidden * _g)  # 2
    _mixed = _hidden + _gate * (_value - _hidden)  # 3
    _value = sf.sin(0.9 * _mixed)  # 2
loss = sf.reduce_mean(sf.square(_value - y))
train_op = sf.train.GradientDescentOptimizer(0.1).minimize(loss)

__all__ = []
'''

PERCEPTRON = '''"""A perceptron with {depth} hidden layers of {width} units."""

import symflow as sf

x = sf.placeholder(shape=("n", {width}))
y = sf.placeholder(shape=("n", 10))

_value = x
for _layer in range({depth}):
    _w = sf.Variable(sf.glorot_uniform(({width}, {width})), name=f"w{{_layer}}")
    _b = sf.Variable(sf.zeros({width}), name=f"b{{_layer}}")
    _value = sf.tanh(_value @ _w + _b, name=f"hidden{{_layer}}")
w = sf.Variable(sf.glorot_uniform(({width}, 10)))
logits = _value @ w
loss = sf.reduce_mean(sf.nn.softmax_cross_entropy_with_logits(labels=y, logits=logits))
train_op = sf.train.GradientDescentOptimizer(0.1).minimize(loss)
'''

CHILD = """
import sys, time
from pathlib import Path
from symflow.files import compile_files, write
start = time.perf_counter()
files = compile_files(Path(sys.argv[1]), Path(sys.argv[2]), {}, None)
print(time.perf_counter() - start)
write(files)
(module,) = (path for path in files if path.suffix == ".py")
print(len(files[module].splitlines()))
"""

CHECK = """
import sys
from symflow.testing import check_gradients
print(max(one.error for one in check_gradients(sys.argv[1], most=1)))
"""


@dataclass(frozen=True)
class Graph:
    """label: as in the table; size: operations or layers; text: of the model."""

    label: str
    size: int
    text: str
    checked: bool = True


@dataclass(frozen=True)
class Compiled:
    """seconds of `compile_files`, the median; peak resident bytes, Python and SymPy included."""

    graph: Graph
    seconds: float | None
    peak: int = 0
    lines: int = 0
    error: float | None = None
    problem: str = ""


def chains(largest: int = SIZES[-1]) -> list[Graph]:
    return [
        Graph(f"{size:,}", size, CHAIN.format(operations=size, blocks=size // 10), size <= CHECKED)
        for size in SIZES
        if size <= largest
    ]


def perceptrons() -> list[Graph]:
    return [
        Graph(
            f"{depth} layers of {width}",
            depth,
            PERCEPTRON.format(depth=depth, width=width),
            depth * width <= 512,
        )
        for depth, width in SHAPES
    ]


def measured(graphs: Sequence[Graph], repeat: int, patience: float = 300.0) -> list[Compiled]:
    """Every graph compiled `repeat` times, in shuffled order; one too slow is not tried again."""
    found: dict[str, list[tuple[float, int, int]]] = {graph.label: [] for graph in graphs}
    errors: dict[str, float] = {}
    problems: dict[str, str] = {}
    runs = [graph for graph in graphs for _ in range(repeat)]
    random.Random(0).shuffle(runs)
    with tempfile.TemporaryDirectory() as folder:
        output = str(Path(folder) / "out")
        model = Path(folder) / "model.py"
        for graph in runs:
            if graph.label in problems:
                continue
            model.write_text(graph.text, encoding="utf-8")
            try:
                outcome = processes.python(CHILD, str(model), output, patience=patience)
                if graph.checked and graph.label not in errors:
                    module = str(Path(output) / "model.py")
                    check = processes.python(CHECK, module, patience=patience)
                    errors[graph.label] = float(check.output[-1])
            except processes.ProcessError as failure:
                problems[graph.label] = str(failure)
                continue
            seconds, lines = outcome.output
            found[graph.label].append((float(seconds), outcome.peak, int(lines)))
    return [_of(graph, found[graph.label], errors, problems) for graph in graphs]


def _of(
    graph: Graph,
    runs: Sequence[tuple[float, int, int]],
    errors: dict[str, float],
    problems: dict[str, str],
) -> Compiled:
    if graph.label in problems:
        return Compiled(graph, None, problem=problems[graph.label])
    seconds, peaks, lines = zip(*runs, strict=True)
    error = errors.get(graph.label)
    peak = int(statistics.median(peaks))
    return Compiled(graph, statistics.median(seconds), peak, lines[0], error)


def table(title: str, unit: str, rows: Sequence[Compiled]) -> Table:
    """unit: what a graph's size counts."""
    header = ("graph", "s", f"ms per {unit}", "peak MiB", "lines", f"lines per {unit}", "error")
    body: list[tuple[str, ...]] = []
    for row in rows:
        if row.seconds is None:
            body.append((row.graph.label, row.problem, "", "", "", "", ""))
            continue
        size = row.graph.size
        body.append(
            (
                row.graph.label,
                f"{row.seconds:.2f}",
                f"{1e3 * row.seconds / size:.2f}",
                f"{row.peak / 2**20:.0f}",
                f"{row.lines:,}",
                f"{row.lines / size:.1f}",
                "" if row.error is None else f"{row.error:.1e}",
            )
        )
    return Table(title, header, tuple(body))


def tables(repeat: int, largest: int = SIZES[-1]) -> tuple[list[Compiled], list[Table]]:
    """What was measured of the chains, and the tables of chains and of perceptrons."""
    of_chains = measured(chains(largest), repeat)
    of_perceptrons = measured(perceptrons(), repeat)
    title = "Compilation against operations: layers, gates, elementwise functions"
    return of_chains, [
        table(title, "operation", of_chains),
        table("Compilation against depth and width of perceptrons", "layer", of_perceptrons),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--largest", type=int, default=SIZES[-1], metavar="OPERATIONS")
    options = parser.parse_args()
    for one in tables(options.repeat, options.largest)[1]:
        print(one.text())


if __name__ == "__main__":
    main()
