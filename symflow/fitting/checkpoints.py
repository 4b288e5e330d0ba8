"""Where a run of training stands, as a file: parameters, state, and what has been seen so far.

It is an .npz file that holds the parameters by their names, so that a module's `load_parameters`
reads it too. What else it holds has names that begin with `training/`, which no parameter can have:
a record of the run in JSON, the optimizer's state, and the losses.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from symflow.archives import archived
from symflow.errors import SymflowError
from symflow.fitting.modules import Module
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
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = dict(archive)
    except (FileNotFoundError, PermissionError, IsADirectoryError) as error:
        raise SymflowError(f"{path}: {error.strerror}") from None
    except (ValueError, OSError, EOFError, BadZipFile) as error:
        raise SymflowError(f"{path}: not a file that symflow train saved: {error}") from None
    if f"{PREFIX}run" not in arrays:
        raise SymflowError(
            f"{path}: holds no run that could go on, only {', '.join(arrays) or 'nothing'}; "
            "hint: --start begins a new run from parameters"
        )
    about = json.loads(str(arrays[f"{PREFIX}run"]))
    step = about.pop("step")
    record = Record(**about)
    if record.module != module.digest:
        raise SymflowError(
            f"{path}: a run of another module than {module.path}; the model has changed, "
            "or was compiled otherwise; hint: --start begins a new run from its parameters"
        )
    parameters = module.loaded(path)
    kinds = module.module.TrainingState._fields[1:]
    kept = (
        module.module.Parameters(
            *(arrays[f"{PREFIX}{name}/{parameter}"] for parameter in module.parameters)
        )
        for name in kinds
    )
    history = History(
        arrays[f"{PREFIX}losses"].tolist(),
        {int(at): float(loss) for at, loss in arrays[f"{PREFIX}validation"]},
        [tuple(point) for point in arrays[f"{PREFIX}path"].tolist()],
    )
    return Checkpoint(record, parameters, module.module.TrainingState(step, *kept), history)


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
