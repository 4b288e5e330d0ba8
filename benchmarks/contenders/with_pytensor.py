"""PyTensor: compiled functions in its default mode; training by updates of shared variables."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytensor
import pytensor.tensor as pt

from benchmarks.contender import Builders, Contender
from benchmarks.workloads import Data, Workload

VERSION = f"PyTensor {pytensor.__version__}"


def article(w: Any, b: Any, x: Any, y: Any) -> Any:
    return pt.sum((x * w + b - y) ** 2)


def linear(w: Any, b: Any, x: Any, y: Any) -> Any:
    return pt.mean((pt.dot(x, w) + b - y) ** 2)


def logistic(w: Any, b: Any, x: Any, y: Any) -> Any:
    z = pt.dot(x, w) + b
    return pt.mean(pt.softplus(z) - y * z)


LOSSES = {"article": article, "linear": linear, "logistic": logistic}


def builders(workload: Workload, data: Data) -> Builders:
    if workload.family not in LOSSES:
        return {}
    return {"pytensor": partial(_contender, workload, data)}


def _contender(workload: Workload, data: Data) -> Contender:
    p = {name: pytensor.shared(value, name=name) for name, value in data.parameters.items()}
    x, y = (pytensor.shared(value, name=name) for name, value in data.inputs.items())
    loss = LOSSES[workload.family](p["w"], p["b"], x, y)
    gradients = pt.grad(loss, list(p.values()))
    if workload.kind == "gradient":
        function = pytensor.function([], [loss, *gradients])
        return Contender(function, lambda found: dict(zip(["loss", *p], found, strict=True)))
    pairs = zip(p.values(), gradients, strict=True)
    step = pytensor.function([], loss, updates=[(one, one - workload.rate * d) for one, d in pairs])

    def run() -> Any:
        for name, value in data.parameters.items():
            p[name].set_value(value)
        return [step() for _ in range(workload.steps)]

    def arrays(losses: Any) -> Any:
        return {"loss": np.array(losses), **{name: one.get_value() for name, one in p.items()}}

    return Contender(run, arrays)
