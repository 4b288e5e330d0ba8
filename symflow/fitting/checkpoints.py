"""Where a run of training stands, as a file: parameters, state, and what has been seen so far.

It is an .npz file that holds the parameters by their names, so that a module's `load_parameters`
reads it too. What else it holds has names that begin with `training/`, which no parameter can have:
a record of the run in JSON, the optimizer's state, and the losses.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from symflow.archives import archived
from symflow.errors import SymflowError
from symflow.fitting.modules import Module
from symflow.reading import Archive
from symflow.writing import write

Array = NDArray[Any]
PREFIX = "training/"


@dataclass(frozen=True)
class Record:
    """What a run is of, and how it goes. A run goes on only where these are the same.

    module, data  digests of the module's text and of the rows that are trained on
    steps         how many updates it is to make in all; may be another when it goes on, as may
                  the learning rate, None for the module's own, and the tolerance
    """

    module: str
    data: str
    seed: int
    batch_size: int | None
    dtype: str
    steps: int
    learning_rate: float | None
    tolerance: float


@dataclass
class History:
    """What has been seen of a run.

    losses      before each update
    validation  the loss on the rows held out, by the number of updates before
    path        the parameters before each update, where they are one or two numbers
    """

    losses: list[float] = field(default_factory=list)
    validation: dict[int, float] = field(default_factory=dict)
    path: list[tuple[float, ...]] = field(default_factory=list)

    def cut(self, steps: int) -> None:
        """Forget what was seen of a step that will be taken again."""
        del self.losses[steps:], self.path[steps:]


@dataclass(frozen=True)
class Checkpoint:
    """A run as it stands: `state` is the module's `TrainingState`."""

    record: Record
    parameters: Any
    state: Any
    history: History


def data_digest(data: Mapping[str, Array]) -> str:
    """The same for the same arrays of the same names."""
    digest = hashlib.sha256()
    for name in sorted(data):
        array = np.ascontiguousarray(data[name])
        digest.update(f"{name} {array.dtype.str} {array.shape}".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()[:16]


def save(path: Path, checkpoint: Checkpoint) -> None:
    """Write it; an existing file is replaced at once or not at all."""
    history = checkpoint.history
    arrays: dict[str, Any] = dict(checkpoint.parameters._asdict())
    about = {**asdict(checkpoint.record), "step": checkpoint.state.step}
    arrays[f"{PREFIX}run"] = np.array(json.dumps(about))
    for name, kept in list(checkpoint.state._asdict().items())[1:]:
        for parameter, value in kept._asdict().items():
            arrays[f"{PREFIX}{name}/{parameter}"] = value
    arrays[f"{PREFIX}losses"] = np.array(history.losses)
    arrays[f"{PREFIX}validation"] = np.array([*history.validation.items()]).reshape(-1, 2)
    arrays[f"{PREFIX}path"] = np.array(history.path)
    write({path: archived(arrays)})


def load(path: Path, module: Module) -> Checkpoint:
    """Read what `save` wrote. Raises SymflowError where it is no such file, or another module's."""
    archive = Archive(path)
    if f"{PREFIX}run" not in archive.names:
        raise SymflowError(
            f"{path}: holds no run that could go on, only {', '.join(archive.names) or 'nothing'}; "
            "hint: --start begins a new run from parameters"
        )
    record, step = _record(path, archive.text(f"{PREFIX}run"))
    if record.module != module.digest:
        raise SymflowError(
            f"{path}: a run of another module than {module.path}; the model has changed, "
            "or was compiled otherwise; hint: --start begins a new run from its parameters"
        )
    parameters = module.loaded(path)
    if parameters[0].dtype != record.dtype:
        raise _damaged(path, f"parameters in {parameters[0].dtype}, not in {record.dtype}")
    kept = [
        type(parameters)(*(_kept(archive, name, *one) for one in parameters._asdict().items()))
        for name in module.module.TrainingState._fields[1:]
    ]
    history = History(
        _history(archive, "losses", (step,)).tolist(),
        {int(at): float(loss) for at, loss in _history(archive, "validation", (None, 2))},
        [tuple(point) for point in _path(archive, parameters, step).tolist()],
    )
    return Checkpoint(record, parameters, module.module.TrainingState(step, *kept), history)


def _kept(archive: Archive, name: str, parameter: str, value: Array) -> Array:
    """What an optimizer keeps for a parameter."""
    array = archive.numbers(f"{PREFIX}{name}/{parameter}")
    if array.shape != value.shape or array.dtype != value.dtype:
        told = f"{name} of {parameter} is {array.shape} of {array.dtype}"
        raise _damaged(archive.path, f"{told}, not {value.shape} of {value.dtype}")
    return array


def _history(archive: Archive, name: str, shape: tuple[int | None, ...]) -> Array:
    """Floats of a shape, of which an axis may be of any length."""
    array = archive.numbers(f"{PREFIX}{name}")
    fits = array.ndim == len(shape) and all(
        want in (None, got) for want, got in zip(shape, array.shape, strict=True)
    )
    if not fits or array.dtype.kind != "f" or (name == "validation" and not _in_range(array[:, 0])):
        raise _damaged(archive.path, f"its {name} are {array.shape} of {array.dtype}")
    return array


def _in_range(steps: Array) -> bool:
    return bool(np.all((steps >= 0) & (steps <= LARGEST)))


def _path(archive: Archive, parameters: Any, step: int) -> Array:
    """The points of the parameters where they are so few that they are kept."""
    entries = sum(one.size for one in parameters)
    array = archive.numbers(f"{PREFIX}path")
    return array if array.shape == (0,) else _history(archive, "path", (step, entries))


def _damaged(path: Path, what: str) -> SymflowError:
    return SymflowError(
        f"{path}: not a run as symflow train saved it: {what}; "
        "hint: --start begins a new run from its parameters"
    )


# --- the record ----------------------------------------------------------------------------------

LARGEST = 2**53
"""Of a number of updates."""


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= LARGEST


def _is_number(value: Any) -> bool:
    known = isinstance(value, (int, float)) and not isinstance(value, bool)
    return known and math.isfinite(value) and value >= 0


FIELDS: dict[str, Callable[[Any], bool]] = {
    "module": _is_text,
    "data": _is_text,
    "seed": _is_whole,
    "batch_size": lambda value: value is None or (_is_whole(value) and value > 0),
    "dtype": lambda value: value in ("float32", "float64"),
    "steps": _is_whole,
    "learning_rate": lambda value: value is None or _is_number(value),
    "tolerance": _is_number,
    "step": _is_whole,
}
"""What stands in a record, and what it can be."""


def _record(path: Path, text: str) -> tuple[Record, int]:
    """The record of a run, and the updates made."""
    try:
        about = json.loads(text)
    except (ValueError, RecursionError):
        raise _damaged(path, "its record is no JSON") from None
    if not isinstance(about, dict) or about.keys() != FIELDS.keys():
        raise _damaged(path, "its record is of something else")
    for name, fits in FIELDS.items():
        if not fits(about[name]):
            raise _damaged(path, f"{name} is {str(about[name])[:40]!r}")
    step = about.pop("step")
    return Record(**about), step


# --- going on ------------------------------------------------------------------------------------


def check_same(path: Path, old: Record, new: Record) -> None:
    """Raise SymflowError unless a run can go on as the other."""
    if old.data != new.data:
        raise SymflowError(
            f"{path}: a run on other data, or on other rows of them; "
            "hint: --start begins a new run from its parameters"
        )
    for name in ("seed", "batch_size", "dtype"):
        was, now = getattr(old, name), getattr(new, name)
        if was != now:
            option = f"--{name.replace('_', '-')}"
            said = f"without {option}" if was is None else f"with {option} {was}"
            raise SymflowError(f"{path}: a run {said}, not {now}")
