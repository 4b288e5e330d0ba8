"""What is measured: for each workload its model, its data, and what the hardware allows.

Data are drawn from fixed seeds, so that every process makes the same.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from benchmarks.limits import Limits

Array = NDArray[Any]


@dataclass(frozen=True)
class Data:
    """Where a workload starts. Names are those of the model."""

    parameters: Mapping[str, Array]
    inputs: Mapping[str, Array]


@dataclass(frozen=True)
class Workload:
    """One thing to do, the same for every contender.

    family     which formula: models of one family differ in their sizes
    model      the file in `models/`
    kind       "gradient": the loss and its gradients once; "training": `steps` of descent
    unit       what one time is the time of, and how many of them a run does
    tolerance  largest error relative to the largest entry of an array, against `reference.py`
    limit      seconds that a unit takes at least on the hardware, if there is a bound worth a word
    bound      that bound in words

    tuned_malloc  measured with malloc tuned as well
    by_losses     of training, only the losses are compared: where a unit of a float32 network is
                  within rounding of relu's kink, its weights go one way or the other
    """

    name: str
    title: str
    family: str
    model: str
    kind: Literal["gradient", "training"]
    data: Callable[[], Data]
    tolerance: float = 1e-12
    steps: int = 1
    rate: float = 0.0
    unit: str = "call"
    units: int = 1
    limit: Callable[[Limits], float] | None = None
    bound: str = ""
    tuned_malloc: bool = False
    by_losses: bool = False


# --- data ----------------------------------------------------------------------------------------


def _article() -> Data:
    random = np.random.default_rng(1)
    x = np.linspace(-1.0, 1.0, 100)
    y = 3.0 * x + 0.5 * random.normal(size=100)
    return Data({"w": np.array(1.0), "b": np.array(0.0)}, {"x": x, "y": y})


def _linear() -> Data:
    random = np.random.default_rng(2)
    x = random.normal(size=(100_000, 32))
    y = x @ random.normal(size=32) + 0.7 + 0.5 * random.normal(size=100_000)
    return Data({"w": np.zeros(32), "b": np.array(0.0)}, {"x": x, "y": y})


def _logistic() -> Data:
    random = np.random.default_rng(3)
    x = random.normal(size=(100_000, 64))
    chance = 1.0 / (1.0 + np.exp(-x @ random.normal(size=64)))
    y = (random.uniform(size=100_000) < chance).astype(float)
    return Data({"w": 0.1 * random.normal(size=64), "b": np.array(0.1)}, {"x": x, "y": y})


def _mlp(sizes: tuple[int, ...], rows: int) -> Data:
    random = np.random.default_rng(4)
    parameters: dict[str, Array] = {}
    for layer, (before, after) in enumerate(pairwise(sizes), 1):
        most = np.sqrt(6.0 / (before + after))
        weights = random.uniform(-most, most, (before, after))
        parameters[f"w{layer}"] = weights.astype(np.float32)
        parameters[f"b{layer}"] = np.zeros(after, np.float32)
    x = random.normal(size=(rows, sizes[0])).astype(np.float32)
    y = np.eye(sizes[-1], dtype=np.float32)[random.integers(0, sizes[-1], rows)]
    return Data(parameters, {"x": x, "y": y})


def _elementwise() -> Data:
    random = np.random.default_rng(5)
    parameters = {name: random.normal(size=1_000_000) for name in "abc"}
    return Data(parameters, {"x": random.normal(size=1_000_000)})


def _gmm(d: int, k: int, n: int) -> Data:
    """Drawn as ADBench's own inputs are, but for triangles that keep the components comparable."""
    random = np.random.default_rng(6)
    parameters = {
        "alphas": random.normal(size=k),
        "means": random.uniform(size=(k, d)),
        "log_diagonal": 0.3 * random.normal(size=(k, d)),
        "lower": random.normal(size=(k, d * (d - 1) // 2)) / np.sqrt(d),
    }
    return Data(parameters, {"x": random.normal(size=(n, d))})


def _arm(shape: tuple[int, ...]) -> Data:
    random = np.random.default_rng(7)
    parameters = {
        f"angle{joint}": np.asarray(0.1 * (joint + 1) + 0.5 * random.normal(size=shape))
        for joint in range(10)
    }
    target = {"target_x": 0.8, "target_y": 0.3, "target_z": 0.6}
    inputs = {name: np.asarray(at + 0.2 * random.normal(size=shape)) for name, at in target.items()}
    return Data(parameters, inputs)


def _mlp_flops(sizes: tuple[int, ...], rows: int) -> float:
    """Forward, by the weights, and by all layers' inputs but the first."""
    pairs = [before * after for before, after in pairwise(sizes)]
    return 2.0 * rows * (2 * sum(pairs) + sum(pairs[1:]))


BIG, SMALL = (784, 256, 128, 10), (64, 32, 10)

WORKLOADS = (
    Workload(
        name="W1",
        title="linear regression of the article, 100 points: training step",
        family="article",
        model="article",
        kind="training",
        data=_article,
        steps=1000,
        rate=0.005,
        unit="step",
        units=1000,
    ),
    Workload(
        name="W2",
        title="linear regression, 100,000 × 32: 100 training steps",
        family="linear",
        model="linear",
        kind="training",
        data=_linear,
        steps=100,
        rate=0.1,
        unit="100 steps",
        limit=lambda limits: 100 * limits.reading(100_000 * 32 * 8),
        bound="reading x once a step",
    ),
    Workload(
        name="W3",
        title="logistic regression, 100,000 × 64: loss and gradients",
        family="logistic",
        model="logistic",
        kind="gradient",
        data=_logistic,
        limit=lambda limits: limits.reading(100_000 * 64 * 8),
        bound="reading x once",
    ),
    Workload(
        name="W4 big",
        title="MLP 784-256-128-10, batch 128, float32: training step",
        family="mlp",
        model="mlp_big",
        kind="training",
        data=lambda: _mlp(BIG, 128),
        tolerance=1e-5,
        by_losses=True,
        steps=10,
        rate=0.1,
        unit="step",
        units=10,
        limit=lambda limits: _mlp_flops(BIG, 128) / limits.sgemm,
        bound="its matrix products at sgemm's peak",
    ),
    Workload(
        name="W4 small",
        title="MLP 64-32-10, batch 32, float32: training step",
        family="mlp",
        model="mlp_small",
        kind="training",
        data=lambda: _mlp(SMALL, 32),
        tolerance=1e-5,
        by_losses=True,
        steps=100,
        rate=0.1,
        unit="step",
        units=100,
        limit=lambda limits: _mlp_flops(SMALL, 32) / limits.sgemm,
        bound="its matrix products at sgemm's peak",
    ),
    Workload(
        name="W5",
        title="mean(gelu(tanh(a·x + b))·sigmoid(c·x)), 1,000,000 entries: loss and gradients",
        family="elementwise",
        model="elementwise",
        kind="gradient",
        data=_elementwise,
        limit=lambda limits: limits.reading(7 * 8_000_000),
        bound="moving four arrays in and three out",
        tuned_malloc=True,
    ),
    Workload(
        name="W6 d10",
        title="ADBench's Gaussian mixture, d = 10, K = 25, n = 1000: loss and gradients",
        family="gmm",
        model="gmm_d10",
        kind="gradient",
        data=lambda: _gmm(10, 25, 1000),
        limit=lambda limits: 4 * 1000 * 25 * 10**2 / limits.dgemm,
        bound="4·n·K·d² operations at dgemm's peak",
    ),
    Workload(
        name="W6 d64",
        title="ADBench's Gaussian mixture, d = 64, K = 50, n = 1000: loss and gradients",
        family="gmm",
        model="gmm_d64",
        kind="gradient",
        data=lambda: _gmm(64, 50, 1000),
        limit=lambda limits: 4 * 1000 * 50 * 64**2 / limits.dgemm,
        bound="4·n·K·d² operations at dgemm's peak",
    ),
    Workload(
        name="W7",
        title="arm of ten joints, about 500 scalar operations: loss and gradients",
        family="arm",
        model="arm",
        kind="gradient",
        data=lambda: _arm(()),
    ),
    Workload(
        name="W7b",
        title="4096 arms of ten joints: loss and gradients, per arm",
        family="arm",
        model="arm_batch",
        kind="gradient",
        data=lambda: _arm((4096,)),
        unit="arm",
        units=4096,
    ),
)

BY_NAME = {workload.name: workload for workload in WORKLOADS}
