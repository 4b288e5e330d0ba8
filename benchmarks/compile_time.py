"""Compile time of perceptrons with 5, 20, 80 and 320 hidden layers; time per layer must not grow.

    python benchmarks/compile_time.py [--repeat 3]
    python benchmarks/compile_time.py --operations [--most 10000]

Each compilation runs in a process of its own, for SymPy remembers what it has seen. The order of
the sizes is shuffled, the median is reported. The generated gradients of every size are compared
with the complex step before a time counts. The last line is a whole `symflow compile` of a
3-layer perceptron, Python's start included.

With --operations: graphs of 10, 100, 1,000 and 10,000 operations that the user writes, once each:
perceptrons, and elementwise operations on operands drawn at random, with reductions and biases
among them; seconds of the processor, and the most memory that the process held.
"""

from __future__ import annotations

import argparse
import random
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

LAYERS = (5, 20, 80, 320)

MODEL = '''"""A perceptron with {layers} hidden layers."""

import symflow as sf

x = sf.placeholder(shape=("n", 16))
y = sf.placeholder(shape=("n", 10))

_value = x
for _layer in range({layers}):
    _w = sf.Variable(sf.glorot_uniform((16, 16)), name=f"w{{_layer}}")
    _b = sf.Variable(sf.zeros(16), name=f"b{{_layer}}")
    _value = sf.tanh(_value @ _w + _b, name=f"hidden{{_layer}}")
w = sf.Variable(sf.glorot_uniform((16, 10)))
logits = _value @ w
loss = sf.reduce_mean(sf.nn.softmax_cross_entropy_with_logits(labels=y, logits=logits))
train_op = sf.GradientDescentOptimizer(0.1).minimize(loss)
'''

OPERATIONS = (10, 100, 1_000, 10_000)

ELEMENTWISE = '''"""{operations} elementwise operations on operands drawn at random."""

import random

import symflow as sf

_random = random.Random(0)
x = sf.placeholder(shape=("n", 8))
scale = sf.Variable(sf.ones((1, 8)))
bias = sf.Variable(sf.ones(8))
_values = [x, x * scale, x + bias]
_one = [sf.tanh, sf.sin, sf.sigmoid, sf.cos, sf.softplus, sf.square]
_two = [lambda u, v: u + v, lambda u, v: u * v, lambda u, v: u - v, sf.maximum]
for _step in range({operations}):
    _first, _second = _random.choices(_values[-30:], k=2)
    _kind = _random.random()
    if _kind < 0.4:
        _values.append(_random.choice(_one)(_first))
    elif _kind < 0.45:
        _values.append(_first + sf.reduce_mean(_second, axis=0))
    elif _kind < 0.55:
        _values.append(_first * bias)
    else:
        _values.append(_random.choice(_two)(_first, _second))
loss = sf.reduce_mean(sf.square(sum(_values[-10:], _values[-11])))
train_op = sf.GradientDescentOptimizer(0.1).minimize(loss)
'''

MEASURE = """
import resource, sys, time
from pathlib import Path
from symflow.files import compile_files
start = time.process_time()
files = compile_files(Path(sys.argv[1]), Path(sys.argv[1]).parent, {}, None)
elapsed = time.process_time() - start
(lines,) = (len(files[path].splitlines()) for path in files if path.suffix == ".py")
print(elapsed, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, lines)
"""

CHILD = """
import sys, time
from pathlib import Path
from symflow.files import compile_files, write
import symflow.checking
start = time.perf_counter()
files = compile_files(Path(sys.argv[1]), Path(sys.argv[2]), {}, None)
elapsed = time.perf_counter() - start
write(files)
(module,) = (path for path in files if path.suffix == ".py")
worst = max(one.error for one in symflow.checking.check(module, most=1))
print(elapsed, worst, len(files[module].splitlines()))
"""


def measured(name: str, text: str, count: int) -> None:
    """Print how long a model takes."""
    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder) / "model.py"
        model.write_text(text)
        run = [sys.executable, "-c", MEASURE, str(model)]
        found = subprocess.run(run, capture_output=True, text=True, check=True).stdout
    elapsed, memory, lines = map(float, found.split())
    print(
        f"{name:<11}  {count:>10,}  {elapsed:>11.2f}  {1e3 * elapsed / count:>18.2f}  "
        f"{memory:>12.0f}  {int(lines):>5}",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--operations", action="store_true")
    parser.add_argument("--most", type=int, default=max(OPERATIONS))
    arguments = parser.parse_args()
    if arguments.operations:
        print("graph        operations  compile (s)  per operation (ms)  memory (MiB)  lines")
        for count in OPERATIONS:
            if count <= arguments.most:
                measured("perceptron", MODEL.format(layers=-(-count // 3)), count)
        for count in OPERATIONS:
            if count <= arguments.most:
                measured("elementwise", ELEMENTWISE.format(operations=count), count)
        return
    repeat = arguments.repeat
    times: dict[int, list[float]] = {layers: [] for layers in LAYERS}
    errors: dict[int, float] = {}
    lines: dict[int, int] = {}
    whole: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        runs = [layers for layers in LAYERS for _ in range(repeat)]
        random.Random(0).shuffle(runs)
        for layers in runs:
            model = Path(folder) / f"mlp{layers}.py"
            model.write_text(MODEL.format(layers=layers))
            run = subprocess.run(
                [sys.executable, "-c", CHILD, str(model), str(Path(folder) / "out")],
                capture_output=True,
                text=True,
                check=True,
            )
            elapsed, error, count = run.stdout.split()
            times[layers].append(float(elapsed))
            errors[layers] = float(error)
            lines[layers] = int(count)
        small = Path(folder) / "mlp3.py"
        small.write_text(MODEL.format(layers=3))
        for _ in range(repeat):
            start = time.perf_counter()
            subprocess.run(
                [sys.executable, "-m", "symflow", "compile", str(small), "-o", folder + "/out"],
                capture_output=True,
                check=True,
            )
            whole.append(time.perf_counter() - start)
    print("layers  compile (s)  per layer (ms)  of 5 layers  lines  largest error")
    first = statistics.median(times[LAYERS[0]]) / LAYERS[0]
    for layers in LAYERS:
        median = statistics.median(times[layers])
        print(
            f"{layers:>6}  {median:>11.3f}  {1e3 * median / layers:>14.2f}  "
            f"{median / layers / first:>11.2f}  {lines[layers]:>5}  {errors[layers]:.1e}"
        )
    print(f"\n`symflow compile` of 3 layers, with Python's start: {statistics.median(whole):.2f} s")


if __name__ == "__main__":
    main()
