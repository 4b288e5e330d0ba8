"""The article's experiment: compile its model, train the generated module, compare the losses.

Run by `make demo`. Prints the losses that the simpleflow article printed beside those of the
generated module, and beside those of the article's own program run in a `symflow.Session`.
"""

from __future__ import annotations

import importlib.util
import json
import sys
import tempfile
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

import symflow as sf
from symflow.files import compile_files, write

HERE = Path(__file__).parent


def main() -> int:
    printed = json.loads((HERE / "data" / "linear_regression_printed.json").read_text())
    data = np.loadtxt(HERE / "data" / "linear_regression.csv", delimiter=",", skiprows=1)
    x, y = data.T
    module = compiled(HERE / "linear_regression.py")
    result = module.train(module.initial_parameters(), x, y, steps=20)
    interpreted, w, b = article(x, y)

    print("step  article's loss        generated module      article's program     difference")
    worst = 0.0
    for step, losses in enumerate(zip(printed["loss"], result.losses, interpreted, strict=True)):
        expected = losses[0]
        difference = max(abs(loss / expected - 1) for loss in losses[1:])
        worst = max(worst, difference)
        print(f"{step:>4}  " + "  ".join(f"{one!r:<20}" for one in losses) + f"  {difference:.1e}")
    final = printed["final"]
    weights, biases = result.parameters.w.item(), result.parameters.b.item()
    print(f"\nw     {final['w']!r:<20}  {weights!r:<20}  {w!r}")
    print(f"b     {final['b']!r:<20}  {biases!r:<20}  {b!r}")
    agrees = worst <= 1e-12
    agrees &= abs(weights - final["w"]) < 5e-9
    agrees &= abs(biases - final["b"]) < 1e-13
    print(f"\nlargest relative difference {worst:.1e}: {'agrees' if agrees else 'DIFFERS'}")
    return 0 if agrees else 1


def compiled(model: Path) -> ModuleType:
    """The module of a model, imported from a folder that goes away."""
    with tempfile.TemporaryDirectory() as folder:
        write(compile_files(model, Path(folder), {}, None))
        spec = importlib.util.spec_from_file_location(model.stem, Path(folder) / model.name)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    return module


def article(input_x: Any, input_y: Any) -> tuple[list[float], float, float]:
    """The program of the article; only its import is changed, and printing is left out."""
    x = sf.placeholder()
    y_ = sf.placeholder()
    w = sf.Variable([[1.0]], name="weight")
    b = sf.Variable(0.0, name="threshold")
    y = x * w + b
    loss = sf.reduct_sum(sf.square(y - y_))
    train_op = sf.GradientDescentOptimizer(learning_rate=0.005).minimize(loss)

    losses = []
    feed_dict = {x: input_x, y_: input_y}
    with sf.Session() as sess:
        for _ in range(20):
            losses.append(float(sess.run(loss, feed_dict=feed_dict)))
            sess.run(train_op, feed_dict)
        return losses, float(sess.run(w)[0, 0]), float(sess.run(b))


if __name__ == "__main__":
    sys.exit(main())
