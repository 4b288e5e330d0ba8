"""CasADi: SX graphs in its virtual machine, called with arrays and through its buffers."""

from __future__ import annotations

from functools import partial
from typing import Any

import casadi
import numpy as np

from benchmarks import arm
from benchmarks.contender import Builders, Contender
from benchmarks.workloads import Data, Workload

VERSION = f"CasADi {casadi.__version__}"


def builders(workload: Workload, data: Data) -> Builders:
    if workload.name == "W1":
        return {"casadi": partial(_article, workload, data)}
    if workload.name == "W7":
        return {
            "casadi": partial(_arm, data),
            "casadi, buffers": partial(_arm_through_buffers, data),
        }
    return {}


def _article(workload: Workload, data: Data) -> Contender:
    p, x, y = casadi.SX.sym("p", 2), *(casadi.SX.sym(name, 100) for name in "xy")
    loss = casadi.sumsqr(x * p[0] + p[1] - y)
    moved = p - workload.rate * casadi.gradient(loss, p)
    step = casadi.Function("step", [p, x, y], [moved, loss])
    inputs = [casadi.DM(value) for value in data.inputs.values()]

    def run() -> Any:
        at, losses = casadi.DM([float(value) for value in data.parameters.values()]), []
        for _ in range(workload.steps):
            at, value = step(at, *inputs)
            losses.append(value)
        return losses, at

    def arrays(found: Any) -> Any:
        w, b = np.asarray(found[1]).ravel()
        return {"loss": np.array([float(one) for one in found[0]]), "w": w, "b": b}

    return Contender(run, arrays)


def _objective() -> Any:
    angles, target = casadi.SX.sym("angles", 10), casadi.SX.sym("target", 3)
    parts = casadi.vertsplit(angles), casadi.vertsplit(target)
    loss = arm.objective(*parts, casadi.cos, casadi.sin)
    return casadi.Function("arm", [angles, target], [loss, casadi.gradient(loss, angles)])


def _numbers(data: Data) -> tuple[Any, Any]:
    return np.array(list(data.parameters.values())), np.array(list(data.inputs.values()))


def _named(loss: Any, gradient: Any) -> Any:
    slopes = np.asarray(gradient).ravel()
    return {"loss": np.asarray(loss).reshape(()), **{f"angle{i}": d for i, d in enumerate(slopes)}}


def _arm(data: Data) -> Contender:
    function = _objective()
    angles, target = (casadi.DM(values) for values in _numbers(data))
    return Contender(lambda: function(angles, target), lambda found: _named(*found))


def _arm_through_buffers(data: Data) -> Contender:
    buffers, evaluate = _objective().buffer()
    given = _numbers(data)
    loss, gradient = np.zeros(1), np.zeros(10)
    for at, values in enumerate(given):
        buffers.set_arg(at, memoryview(values))
    for at, values in enumerate((loss, gradient)):
        buffers.set_res(at, memoryview(values))

    def run() -> Any:
        evaluate()
        return buffers, given  # alive as long as the function

    return Contender(run, lambda _: _named(loss, gradient))
