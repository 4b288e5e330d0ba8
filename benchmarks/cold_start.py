"""W9: a fresh process to the first gradient of W4's small perceptron; wall time and peak memory."""

from __future__ import annotations

import random
import statistics
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benchmarks import processes

# Without np.random, whose import would take an eighth of the time.
DATA = """
import numpy as np
def waves(*shape):
    return np.sin(np.arange(1.0, 1.0 + np.prod(shape))).reshape(shape).astype(np.float32)
p = {"w1": waves(64, 32) / 8, "b1": waves(32), "w2": waves(32, 10) / 6, "b2": waves(10)}
x, y = waves(32, 64), np.eye(10, dtype=np.float32)[np.arange(32) % 10]
"""

STARTS = {
    "python -c pass": "",
    "import numpy": "import numpy",
    "symflow": DATA
    + """
import sys
sys.path.insert(0, sys.argv[1])
import mlp_small
loss, gradients = mlp_small.loss_and_gradients(mlp_small.Parameters(**p), x, y)
print(loss, float(np.abs(gradients.w1).sum()))
""",
    "autograd": DATA
    + """
import autograd.numpy as anp
from autograd import value_and_grad
def loss(p):
    logits = anp.dot(anp.maximum(anp.dot(x, p["w1"]) + p["b1"], 0), p["w2"]) + p["b2"]
    shifted = logits - anp.max(logits, axis=1, keepdims=True)
    log_softmax = shifted - anp.log(anp.sum(anp.exp(shifted), axis=1, keepdims=True))
    return -anp.mean(anp.sum(y * log_softmax, axis=1))
value, gradients = value_and_grad(loss)(p)
print(value, float(np.abs(gradients["w1"]).sum()))
""",
    "jax": DATA
    + """
import jax, jax.numpy as jnp
def loss(p):
    logits = jax.nn.relu(x @ p["w1"] + p["b1"]) @ p["w2"] + p["b2"]
    return -jnp.mean(jnp.sum(y * jax.nn.log_softmax(logits), axis=1))
value, gradients = jax.jit(jax.value_and_grad(loss))(p)
print(value, float(np.abs(np.asarray(gradients["w1"])).sum()))
""",
    "torch": DATA
    + """
import torch
p = {name: torch.as_tensor(value).requires_grad_() for name, value in p.items()}
x, y = torch.as_tensor(x), torch.as_tensor(y)
logits = torch.addmm(p["b2"], torch.relu(torch.addmm(p["b1"], x, p["w1"])), p["w2"])
value = torch.nn.functional.cross_entropy(logits, y)
(gradient, *_) = torch.autograd.grad(value, list(p.values()))
print(value.item(), gradient.abs().sum().item())
""",
}


@dataclass(frozen=True)
class Start:
    """seconds: the median, None where `problem` says why; peak: the median of resident bytes."""

    label: str
    seconds: float | None
    peak: float = 0.0
    problem: str = ""


def measured(module: Path, rounds: int, prepare: Callable[[], None]) -> list[Start]:
    """All starts, interleaved, after one of each that does not count.

    module   the folder of `mlp_small.py`
    prepare  is called in the process before it starts
    """
    problems: dict[str, str] = {}
    outcomes: dict[str, list[processes.Outcome]] = {label: [] for label in STARTS}
    values: dict[str, tuple[float, ...]] = {}
    order, shuffler = list(STARTS), random.Random(0)
    for turn in range(rounds + 1):
        shuffler.shuffle(order)
        for label in list(order):
            try:
                outcome = processes.python(STARTS[label], str(module), prepare=prepare)
            except processes.ProcessError as failure:
                problems[label] = str(failure)
                order.remove(label)
                continue
            if turn:
                outcomes[label].append(outcome)
            if outcome.output:
                values[label] = tuple(map(float, outcome.output[-1].split()))
    for label in wrong(values):
        problems[label] = "wrong"
    return [
        Start(label, None, problem=problems[label])
        if label in problems
        else Start(
            label,
            statistics.median(one.seconds for one in found),
            statistics.median(one.peak for one in found),
        )
        for label, found in outcomes.items()
    ]


def wrong(values: dict[str, tuple[float, ...]], tolerance: float = 1e-5) -> list[str]:
    """Whose loss or gradient is not that of most: further than `tolerance` from the medians."""
    middles = [statistics.median(column) for column in zip(*values.values(), strict=True)]
    return [
        label
        for label, found in values.items()
        if any(
            abs(one - middle) > tolerance * abs(middle)
            for one, middle in zip(found, middles, strict=True)
        )
    ]
