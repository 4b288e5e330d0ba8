"""symflow's generated modules, in the variants that `modules.py` compiled."""

from __future__ import annotations

import importlib.util
import inspect
import os
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

from benchmarks.contender import Builders, Contender
from benchmarks.workloads import Array, Data, Workload


def builders(workload: Workload, data: Data) -> Builders:
    found: Builders = {}
    folder = Path(os.environ["BENCHMARK_MODULES"]) / workload.model
    for path in sorted(folder.glob("*/*.py")):
        variant = path.parent.name
        module = _imported(path)
        found[variant] = partial(_contender, workload, data, module, {})
        if os.environ["BENCHMARK_MODE"] == "2c" and takes_threads(module):
            two = {"threads": 2}
            found[f"{variant}, 2 threads"] = partial(_contender, workload, data, module, two)
    return found


def takes_threads(module: ModuleType) -> bool:
    return "threads" in inspect.signature(module.loss_and_gradients).parameters


def _imported(path: Path) -> ModuleType:
    name = f"{path.stem}_{path.parent.name.replace(', ', '_').replace(' ', '_')}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _contender(
    workload: Workload, data: Data, module: ModuleType, options: Mapping[str, Any]
) -> Contender:
    parameters = module.Parameters(**data.parameters)
    inputs = tuple(data.inputs[name] for name in module.INPUTS)
    if workload.kind == "gradient":
        run = partial(module.loss_and_gradients, parameters, *inputs, **options)
        return Contender(run, _of_gradients)
    if "threads" not in inspect.signature(module.train).parameters:
        options = {}
    settings = {"learning_rate": workload.rate, "steps": workload.steps, **options}
    return Contender(partial(module.train, parameters, *inputs, **settings), _of_training)


def _of_gradients(outcome: Any) -> Mapping[str, Array]:
    loss, gradients = outcome
    return {"loss": loss, **gradients._asdict()}


def _of_training(outcome: Any) -> Mapping[str, Array]:
    return {"loss": outcome.losses, **outcome.parameters._asdict()}
