"""A run of training: from where it stands to its end, or to where it is interrupted."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from symflow.errors import SymflowError
from symflow.fitting.checkpoints import Checkpoint, Record, save
from symflow.fitting.interrupts import Interrupts
from symflow.fitting.modules import Module, chosen, row_axes, row_count
from symflow.fitting.progress import Progress, Seen

Array = NDArray[Any]
Data = Mapping[str, Array]

SAVE_EVERY = 60.0
"""Seconds after which a run that is saved is saved meanwhile."""

VALIDATIONS = 100
"""How often in a run the loss on the rows held out is computed."""


@dataclass(frozen=True)
class Plan:
    """What is trained on what.

    data     of the rows that are trained on
    held     of the rows that are held out; None if there are none
    threads  None for as many as the module takes by itself
    save     where the run is saved meanwhile; None if nowhere
    """

    module: Module
    record: Record
    data: Data
    held: Data | None
    threads: int | None
    save: Path | None


@dataclass(frozen=True)
class Outcome:
    """Where a run has come: `reason` is "steps", "tolerance" or "stopped"."""

    checkpoint: Checkpoint
    reason: str
    seconds: float


def split(
    inputs: Mapping[str, tuple[int | str, ...]], data: Data, fraction: float, seed: int
) -> tuple[Data, Data]:
    """The rows to train on, and a fraction of them held out; the same for the same seed."""
    axes = row_axes(inputs)
    count = row_count(data, axes)
    if count is None:
        raise SymflowError("--validation: the data have no rows to hold out")
    if count < 2:
        raise SymflowError("--validation: one row is too few to hold some out")
    held = min(max(1, round(fraction * count)), count - 1)
    order = np.random.default_rng((seed, count, held)).permutation(count)
    kept, out = np.sort(order[held:]), np.sort(order[:held])
    return chosen(data, axes, kept), chosen(data, axes, out)


def in_precision(data: Data, integers: frozenset[str], dtype: Any) -> Data:
    """The data as training computes with them, converted once."""
    return {
        name: array if name in integers else array.astype(dtype, copy=False)
        for name, array in data.items()
    }


def rate_at(plan: Plan) -> Callable[[int], float | None]:
    """The learning rate by the number of updates; None where a line search finds it."""
    rate = plan.record.learning_rate
    if hasattr(plan.module.module, "_line_search"):
        return lambda step: None
    if rate is None:
        rate = plan.module.default("learning_rate")
    return rate if callable(rate) else lambda step: rate


def trained(plan: Plan, start: Checkpoint, stop: Interrupts, progress: Progress) -> Outcome:
    """Train until the steps of the record are done, the tolerance is met, or `stop` has a signal.

    Raises SymflowError where the loss is no longer finite, or the data do not fit.
    """
    began = time.monotonic()
    now, reason = start, "stopped"
    while reason == "stopped" and stop.number is None:
        now, reason = _some(plan, now, stop, progress)
        if plan.save is not None and reason == "stopped" and stop.number is None:
            save(plan.save, now)
    history = now.history
    if plan.held is not None and reason != "stopped":
        history.validation[now.state.step] = loss_on(plan.module, now.parameters, plan.held)
    progress.close()
    return Outcome(now, reason, time.monotonic() - began)


def loss_on(module: Module, parameters: Any, data: Data) -> float:
    """The loss on some data; what is not finite is the caller's to see."""
    with np.errstate(all="ignore"):
        return float(module.module.loss(parameters, **data))


def smaller_steps(plan: Plan) -> str:
    """A hint for where the loss grows."""
    rate = rate_at(plan)(0)
    hint = "hint: " + (f"--learning-rate below {rate:g}" if rate is not None else "another start")
    largest = {
        name: float(np.max(np.abs(array)))
        for name, array in plan.data.items()
        if name not in plan.module.integers and array.size
    }
    name = max(largest, key=lambda one: largest[one], default="")
    if name and largest[name] > 10.0:
        hint += f", or data of about the size of 1: {name} reaches {largest[name]:.4g}"
    return hint


def _some(
    plan: Plan, now: Checkpoint, stop: Interrupts, progress: Progress
) -> tuple[Checkpoint, str]:
    """Train for a while: until the end, a signal, or the time to save."""
    record, history, module = plan.record, now.history, plan.module
    until = time.monotonic() + SAVE_EVERY if plan.save is not None else float("inf")
    every = max(1, record.steps // VALIDATIONS)
    rate = rate_at(plan)
    keeps_path = sum(np.size(one) for one in now.parameters) <= 2
    first = now.state.step

    def on_step(step: int, loss: float, parameters: Any) -> bool:
        if keeps_path:
            entries = np.concatenate([np.ravel(one) for one in parameters])
            history.path.append(tuple(map(float, entries)))
        if plan.held is not None and step % every == 0:
            history.validation[step] = loss_on(module, parameters, plan.held)
        if progress.due(step):
            latest = next(reversed(history.validation.values()), None)
            progress.show(Seen(step, loss, rate(step), latest))
        return stop.number is not None or (step > first and time.monotonic() > until)

    how: dict[str, Any] = {"steps": record.steps - first, "tolerance": record.tolerance}
    if record.learning_rate is not None:
        how["learning_rate"] = record.learning_rate
    if record.batch_size is not None:
        how["batch_size"] = record.batch_size
    if plan.threads is not None:
        how["threads"] = plan.threads
    if module.takes("seed"):
        how["seed"] = record.seed
    try:
        with np.errstate(all="ignore"):
            result = module.module.train(
                now.parameters, **plan.data, **how, state=now.state, on_step=on_step
            )
    except FloatingPointError as error:
        progress.close()
        what = str(error).partition("; lower the learning rate")[0]
        raise SymflowError(f"{module.path}: {what}; {smaller_steps(plan)}") from None
    except (ValueError, np.linalg.LinAlgError) as error:
        progress.close()
        raise SymflowError(f"{module.path}: {error}") from None
    history.losses += result.losses[: result.steps]
    history.cut(result.state.step)
    return Checkpoint(record, result.parameters, result.state, history), result.reason
