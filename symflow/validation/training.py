"""`train` of a module against the model's training, step by step: where it stops, what it returns.

By all rows and by mini-batches, at the model's rate and at others, from the beginning and from a
later state, in both precisions, and by every way that a module has: from moments of the data, with
what no parameter changes kept or computed anew, in blocks and by threads.
"""

from __future__ import annotations

import contextlib
import inspect
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, cached_property, partial
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from symflow.loop import batch_axes
from symflow.program import Input
from symflow.train import Schedule
from symflow.validation.calls import arrays_in, frozen, same
from symflow.validation.cases import BLOCK, Case, Cases
from symflow.validation.findings import Finding
from symflow.validation.naive import JIGS, MORE, MOST_JIGS, Expected
from symflow.validation.threads import in_step, led
from symflow.validation.trajectories import Reached, Trajectories, batches, expected

Array = NDArray[Any]

STEPS = 5
ROWS = 5 * BLOCK + 3
"""Rows that training is given: several blocks and a rest."""

FEWER_ROWS = 2 * BLOCK + 3
"""The same of large models."""

BATCH = BLOCK + 1
"""Rows of a mini-batch: one more than a block."""

LATE = 40
"""Updates that have been made where training goes on late."""

SMALL_RATE = 1e-6
"""Times the model's: what the loss does not show stands in the digits of the parameters."""

OFFSET = 1e5
"""Where data are that are far from zero."""

SEED = 2**40 + 7
"""Of the order of the rows, that of a large number."""

DEFAULTS: Mapping[str, Any] = {
    "steps": 1000,
    "tolerance": 0.0,
    "batch_size": None,
    "seed": 0,
    "threads": 1,
    "state": None,
    "on_step": None,
}
"""Of the arguments of `train`, where it has them."""


@dataclass(frozen=True)
class Path:
    """A trajectory that a module must follow, and how it is asked to.

    told     in which way: "5 steps"
    case     the data
    dtype    of the module
    reached  where it is before each update, under random rounding
    still    the same in double precision, where that is not the dtype
    options  arguments of `train`
    again    the same under random rounding more often
    """

    told: str
    case: Case
    dtype: np.dtype[Any]
    reached: Sequence[Reached]
    still: Sequence[Reached]
    options: Mapping[str, Any] = field(default_factory=dict)
    again: Callable[[], Path | None] = lambda: None

    def expected(self, steps: int, of: Callable[[Reached], Array]) -> Expected:
        """Something of where it is after so many updates."""
        found, right = of(self.reached[steps]), of(self.still[steps])
        return expected(found, self.dtype, right[0], partial(self._surer, steps, of))

    def _surer(self, steps: int, of: Callable[[Reached], Array]) -> Expected | None:
        path = self.again()
        return path.expected(steps, of) if path is not None and path.steps >= steps else None

    @property
    def steps(self) -> int:
        return len(self.reached) - 1


class Paths:
    """The trajectories of one model, each computed once."""

    def __init__(self, known: Cases) -> None:
        training = known.compilation.model.training
        assert training is not None
        self.model = Trajectories(known.compilation, training)
        self.names = self.model.names
        self.known = known

    @cached_property
    def case(self) -> Case | None:
        return self.known.case(
            {one: self.rows if one == self.known.rows else 3 for one in self.known.sizes}
        )

    @property
    def rows(self) -> int:
        return FEWER_ROWS if self.known.large else ROWS

    def _path(
        self,
        told: str,
        steps: int = STEPS,
        dtype: Any = np.float64,
        options: Mapping[str, Any] | None = None,
        case: Case | None = None,
        jigs: int = JIGS,
        **how: Any,
    ) -> Path | None:
        """None where not even the first loss is a number."""
        case = case or self.case
        if case is None:
            return None
        values = case.cast(dtype)
        start = {name: values[name] for name in self.names}
        data = {name: value for name, value in values.items() if name not in start}
        reached = self.model.followed(start, data, steps, dtype=dtype, jigs=jigs, **how)
        still = reached
        if dtype != np.float64:
            still = self.model.followed(_doubled(start), _doubled(data), steps, **how)
            reached = reached[: len(still)]
        if not reached:
            return None
        more = partial(self._path, told, steps, dtype, options, case, MORE * jigs, **how)
        again = cache(more) if jigs < MOST_JIGS else lambda: None
        return Path(told, case, np.dtype(dtype), reached, still, options or {}, again)

    @cached_property
    def whole(self) -> Path | None:
        """By all rows, as the model says."""
        return self._path("by all rows")

    @cached_property
    def single(self) -> Path | None:
        return self._path("by all rows", 3, np.float32)

    @cached_property
    def small(self) -> Path | None:
        """At a small rate, which is given."""
        rate = SMALL_RATE * self.model.own_rate(0)
        options = {"learning_rate": rate}
        return self._path(f"at the rate {rate:g}", 3, rates=lambda _: rate, options=options)

    @cached_property
    def late(self) -> Path | None:
        """From a later state, at the model's rate."""
        kept = self.kept
        if kept is None:
            return None
        return self._path("from a later state", 2, first=LATE, kept=kept)

    @cached_property
    def own(self) -> Path | None:
        """From a later state, at rates that a function of the user's gives."""
        kept = self.kept
        if kept is None:
            return None

        def rate(step: int) -> float:
            return self.model.own_rate(0) / (1.0 + 0.25 * step)

        options = {"learning_rate": rate}
        told = "by a function of the rate"
        return self._path(told, 2, first=LATE, kept=kept, rates=rate, options=options)

    @property
    def kept(self) -> dict[str, dict[str, Array]] | None:
        """The state of the optimizer after two updates."""
        if self.whole is None or self.whole.steps < 2:
            return None
        return {
            name: {one: value[0] for one, value in values.items()}
            for name, values in self.whole.reached[2].kept.items()
        }

    @cached_property
    def batched(self) -> Path | None:
        """By mini-batches, for more than a pass."""
        return self._by_batches("by mini-batches", BATCH, SEED, self.rows // BATCH + 2)

    @cached_property
    def late_batches(self) -> Path | None:
        """By mini-batches, from a later state."""
        told = "by mini-batches from a later state"
        return None if self.kept is None else self._by_batches(told, BATCH, 0, 3, LATE)

    @cached_property
    def still(self) -> Path | None:
        """At a rate of 0."""
        options = {"learning_rate": 0.0}
        return self._path("at the rate 0", 2, rates=lambda _: 0.0, options=options)

    def _by_batches(
        self, told: str, size: int, seed: int, steps: int, first: int = 0
    ) -> Path | None:
        axes = self.axes
        if not axes or self.case is None:
            return None
        rows = batches(self.rows, size, seed, first + steps + 1)[first:]
        data = [
            {
                name: np.take(value, some, axes[name]) if name in axes else value
                for name, value in self.case.inputs.items()
                if name not in self.names
            }
            for some in rows
        ]
        options = {"batch_size": size, **({"seed": seed} if seed else {})}
        begun: dict[str, Any] = {"first": first, "kept": self.kept} if first else {}
        return self._path(told, steps, rows=data, options=options, **begun)

    @cached_property
    def one_by_one(self) -> Path | None:
        """By mini-batches of a row."""
        return self._by_batches("row by row", 1, 0, 3)

    @cached_property
    def offset(self) -> Path | None:
        """With data far from zero, where moments lose digits, at a rate that suits them."""
        if self.case is None or not self.model.optimizer.is_plain:
            return None
        inputs = {
            name: value + OFFSET if name not in self.names and value.dtype.kind == "f" else value
            for name, value in self.case.inputs.items()
        }
        case = replace(self.case, name=f"{self.case.name}, data far from zero", inputs=inputs)
        start = self._path("", 0, case=case)
        if start is None or not start.reached[0].norm[0] > 0.0:
            return None
        rate = float(0.1 * abs(start.reached[0].loss[0]) / start.reached[0].norm[0] ** 2)
        told, options = f"at the rate {rate:g}", {"learning_rate": rate}
        return self._path(told, 4, case=case, rates=lambda _: rate, options=options)

    @cached_property
    def axes(self) -> dict[str, int]:
        """The axis of the rows of each input that has any, where there are mini-batches."""
        program = self.model.loss
        values = (program[tensor].value for tensor in program.inputs)
        inputs = [one for one in values if isinstance(one, Input) and one.kind == "placeholder"]
        return batch_axes({one.name: one.type for one in inputs}, self.known.reference.loops)


def _doubled(values: Mapping[str, Array]) -> dict[str, Array]:
    return {
        name: value.astype(np.float64) if value.dtype.kind == "f" else value
        for name, value in values.items()
    }


# --- the check -----------------------------------------------------------------------------------


def check_training(module: ModuleType, paths: Paths) -> Iterator[Finding]:
    """Everything that `train` promises, for a few steps each."""
    if not callable(getattr(module, "train", None)):
        yield Finding("train", "", "its module", "is missing")
        return
    if paths.whole is None:
        return  # where nothing is a number
    trained = _Trained(module, paths, paths.whole)
    with _settings(module, BLOCK=BLOCK):
        for test in _TESTS:
            try:
                yield from test(trained)
            except _ChangedError as error:
                yield Finding("train", "", _told(test), str(error))
            except Exception as error:  # a module may be any
                told = " ".join(f"{type(error).__name__}: {error}".split())[:200]
                yield Finding("train", "", _told(test), f"raises {told}")


def _told(test: Callable[..., Any]) -> str:
    return " ".join((test.__doc__ or "").split("\n")[0].rstrip(".").split())


class _Trained:
    """A module's `train`, to be called in many ways."""

    def __init__(self, module: ModuleType, paths: Paths, whole: Path) -> None:
        self.module = module
        self.whole = whole
        self.paths = paths
        self.names = paths.names
        self.arguments = inspect.signature(module.train).parameters
        self.state = [*paths.model.optimizer.state]

    def has(self, argument: str) -> bool:
        return argument in self.arguments

    def given(self, path: Path) -> list[Any]:
        values = path.case.cast(path.dtype)
        parameters = self.module.Parameters(*(values[name] for name in self.names))
        inputs = [values[name] for name in self.arguments if name in values]
        return [parameters, *inputs]

    def run(self, path: Path, steps: int | None = None, **options: Any) -> Any:
        """The result, if nothing that it was given has changed."""
        given = self.given(path)
        before = frozen(tuple(given))
        options = {**path.options, **options}
        if path.reached[0].step and "state" not in options:
            options["state"] = self.started(path)
        given_state = options.get("state")
        with np.errstate(all="ignore"):
            result = self.module.train(
                *given, steps=path.steps if steps is None else steps, **options
            )
        if frozen(tuple(given)) != before:
            raise _ChangedError("what it is given is written to")
        handed = arrays_in((*given, given_state) if given_state is not None else tuple(given))
        for array in arrays_in((result.parameters, result.state)):
            if any(np.shares_memory(array, one) for one in handed):
                raise _ChangedError("the result shares memory with what it is given")
        return result

    def started(self, path: Path) -> Any:
        """The state from which a path begins."""
        first = path.reached[0]
        kept = [
            self.module.Parameters(
                *(np.array(first.kept[state][name][0], path.dtype) for name in self.names)
            )
            for state in self.state
        ]
        return self.module.TrainingState(first.step, *kept)

    # --- comparison ---

    def faults(
        self, path: Path, result: Any, steps: int, reason: str, how: str = ""
    ) -> Iterator[Finding]:
        """What is wrong with a result after so many updates."""
        point = f"{path.told}{', ' if how else ''}{how}, {path.case.name}"
        if path.dtype != np.float64:
            point += f", {path.dtype.name}"

        def finding(told: str, array: str = "") -> Finding:
            return Finding("train", array, point, told)

        if result.reason != reason or result.steps != steps:
            yield finding(
                f"ends after {result.steps} steps for {result.reason!r}, "
                f"not after {steps} for {reason!r}"
            )
            return
        losses = steps + (reason != "steps")
        if type(result.losses) is not list or len(result.losses) != losses:
            yield finding(f"gives {len(result.losses)} losses, not {losses}")
            return
        for number, loss in enumerate(result.losses):
            wanted = path.expected(number, lambda one: one.loss)
            told = f" is a {type(loss).__name__}" if type(loss) is not float else wanted.fault(loss)
            if told is not None:
                yield finding(f"loss {number}{told}", "losses")
                return
        yield from self._arrays(finding, path, result.parameters, steps, None)
        yield from self._state(finding, path, result.state, steps)

    def _state(
        self, finding: Callable[..., Finding], path: Path, state: Any, steps: int
    ) -> Iterator[Finding]:
        wanted = path.reached[0].step + steps
        if state.step != wanted or type(state.step) is not int:
            yield finding(f"the state is of step {state.step}, not {wanted}", "state")
            return
        for name in self.state:
            yield from self._arrays(finding, path, getattr(state, name), steps, name)

    def _arrays(
        self, finding: Callable[..., Finding], path: Path, found: Any, steps: int, kept: str | None
    ) -> Iterator[Finding]:
        if not isinstance(found, self.module.Parameters):
            yield finding(f"{kept or 'parameters'} is a {type(found).__name__}, not Parameters")
            return
        for name, value in zip(self.names, found, strict=True):
            wanted = path.expected(steps, partial(_array, name, kept))
            told = None
            dtypes = {path.dtype} if kept is None else {path.dtype, np.dtype(np.float64)}
            if value.dtype not in dtypes or value.shape != wanted.value.shape:
                told = f" is {value.dtype} {value.shape}, not {path.dtype} {wanted.value.shape}"
            told = told or wanted.fault(value)
            if told is not None:
                array = name if kept is None else f"{kept} of {name}"
                yield finding(f"{array}{told}", array)
                return


def _array(name: str, kept: str | None, of: Reached) -> Array:
    return (of.parameters if kept is None else of.kept[kept])[name]


class _ChangedError(Exception):
    """What is given to `train` is not as it was."""


@contextlib.contextmanager
def _settings(module: ModuleType, **values: Any) -> Iterator[None]:
    """The module with constants of other values, those of them that it has."""
    names = vars(module)
    before = {name: names[name] for name in values if name in names}
    names.update({name: values[name] for name in before})
    try:
        yield
    finally:
        names.update(before)


# --- what is tested ------------------------------------------------------------------------------


def _signature(of: _Trained) -> Iterator[Finding]:
    """Defaults of the arguments."""
    for name, default in DEFAULTS.items():
        if of.has(name) and of.arguments[name].default != default:
            told = f"{name} is {of.arguments[name].default!r} by default, not {default!r}"
            yield Finding("train", "", "its signature", told)


def _few_steps(of: _Trained) -> Iterator[Finding]:
    """No step, one and several, by every way there is."""
    whole = of.whole
    for steps in sorted({0, 1, 2, whole.steps} & {*range(whole.steps + 1)}):
        yield from of.faults(whole, of.run(whole, steps), steps, "steps")
    first = of.run(whole)
    for name, value in (("KEPT", 0), ("RECENTRE", 0.75), ("BREAK_EVEN", 10**9)):
        if hasattr(of.module, name):
            with _settings(of.module, **{name: value}):
                yield from of.faults(
                    whole, of.run(whole), whole.steps, "steps", f"{name} = {value}"
                )
    if of.has("threads"):
        with led(of.module, in_step(2)):
            result = of.run(whole, threads=2)
        yield from of.faults(whole, result, whole.steps, "steps", "2 threads")
    if not same(of.run(whole), first):
        yield Finding("train", "", whole.told, "gives something else when it is called again")


def _precision(of: _Trained) -> Iterator[Finding]:
    """Single precision."""
    path = of.paths.single
    if path is not None:
        yield from of.faults(path, of.run(path), path.steps, "steps")


def _rates(of: _Trained) -> Iterator[Finding]:
    """Rates that are given."""
    paths = of.paths
    for path in (paths.small, paths.late, paths.own, paths.offset, paths.still):
        if path is not None:
            yield from of.faults(path, of.run(path, 0), 0, "steps")
            yield from of.faults(path, of.run(path), path.steps, "steps")
            result = of.run(path, on_step=lambda *_: None)
            yield from of.faults(path, result, path.steps, "steps", "on_step")


def _default_rate(of: _Trained) -> Iterator[Finding]:
    """The rate by default."""
    own, default = of.paths.model.optimizer.learning_rate, of.arguments["learning_rate"].default
    for step in (0, 1, LATE, 1000):
        wanted = of.paths.model.own_rate(step)
        rate = default(step) if callable(default) else default
        kind = callable(default) == isinstance(own, Schedule)
        if not kind or not math.isclose(rate, wanted, rel_tol=1e-14):
            told = f"the rate is {rate!r} after {step} updates, not {wanted!r}"
            yield Finding("train", "", "its signature", told)
            return


def _going_on(of: _Trained) -> Iterator[Finding]:
    """A run in two parts, the second from where the first has ended."""
    for path in (of.whole, of.paths.single, of.paths.batched):
        if path is None:
            continue
        half = path.steps // 2
        if not half:
            continue
        first = of.run(path, half)
        before = frozen((first.parameters, first.state))
        rest = of.given(path)[1:]
        options = {**path.options, "state": first.state, "steps": path.steps - half}
        with np.errstate(all="ignore"):
            second = of.module.train(first.parameters, *rest, **options)
        if frozen((first.parameters, first.state)) != before:
            yield Finding("train", "", path.told, "the state that it goes on from is written to")
            return
        joined = of.module.TrainingResult(
            second.parameters,
            [*first.losses, *second.losses],
            first.steps + second.steps,
            second.reason,
            second.state,
        )
        yield from of.faults(path, joined, path.steps, "steps", "in two parts")
        by_moments = hasattr(of.module, "BREAK_EVEN") and path is not of.paths.batched
        if not by_moments and not same(joined, of.run(path)):
            yield Finding("train", "", path.told, "goes on otherwise than if it had not ended")


def _tolerance(of: _Trained) -> Iterator[Finding]:
    """A tolerance a little above the norm of a gradient, and a little below."""
    for path in (of.whole, of.paths.batched):
        if path is not None:
            yield from _within_tolerance(of, path)


def _within_tolerance(of: _Trained, path: Path) -> Iterator[Finding]:
    norms = [float(one.norm[0]) for one in path.still]
    after = [at for at in range(1, path.steps) if norms[at] < 0.999 * min(norms[:at])]
    for at in dict.fromkeys([0, *after[-1:]]):
        runs = np.concatenate([one.norm for one in path.reached[: at + 1]])
        scatter = float(np.max(np.abs(path.reached[at].norm - norms[at]))) / max(norms[at], 1e-300)
        if not 1e-100 < norms[at] < 1e100 or scatter > 1e-8 or not np.all(np.isfinite(runs)):
            continue
        above = (1.0 + 1e-6) * norms[at]
        for how in ("", "on_step"):
            options: dict[str, Any] = {"on_step": lambda *_: None} if how else {}
            result = of.run(path, max(path.steps, at + 1), tolerance=above, **options)
            yield from of.faults(path, result, at, "tolerance", how)
            if at < path.steps:
                below = of.run(path, at + 1, tolerance=(1.0 - 1e-6) * norms[at], **options)
                yield from of.faults(path, below, at + 1, "steps", how)


def _on_step(of: _Trained) -> Iterator[Finding]:
    """What on_step is told, and that it can stop."""
    for path in (of.whole, of.paths.late, of.paths.batched):
        if path is not None:
            yield from _watched(of, path)


def _watched(of: _Trained, path: Path) -> Iterator[Finding]:
    seen: list[tuple[Any, ...]] = []
    kept: list[tuple[bytes, ...]] = []

    def watch(*told: Any) -> None:
        seen.append(told)
        kept.append(frozen(told[2]))

    result = of.run(path, on_step=watch)
    yield from of.faults(path, result, path.steps, "steps", "on_step")
    first = path.reached[0].step
    if [one[:2] for one in seen] != [(first + at, loss) for at, loss in enumerate(result.losses)]:
        yield Finding("train", "on_step", path.told, "is told other steps or losses")
        return
    for at, one in enumerate(seen):
        yield from of._arrays(
            lambda told, array="", at=at: Finding("train", f"on_step, {array}", f"step {at}", told),
            path,
            one[2],
            at,
            None,
        )
    if [frozen(one[2]) for one in seen] != kept:
        yield Finding("train", "on_step", path.told, "the parameters that it is given change later")
        return

    def spoil(step: int, loss: float, parameters: Any) -> None:
        for array in parameters:
            if array.flags.writeable:
                array.fill(np.nan)

    if not same(of.run(path, on_step=spoil), result):
        yield Finding("train", "on_step", path.told, "the parameters that it is given are live")
        return
    stop = first + path.steps // 2
    for answer in (True, np.True_):
        ended = of.run(
            path, on_step=lambda step, *_, answer=answer: answer if step == stop else None
        )
        yield from of.faults(path, ended, stop - first, "stopped")


def _mini_batches(of: _Trained) -> Iterator[Finding]:
    """Mini-batches."""
    path = of.paths.batched
    if of.has("batch_size") != (path is not None):
        yield Finding(
            "train",
            "",
            "its signature",
            "batch_size is there, and the data have no rows"
            if path is None
            else "there is no batch_size",
        )
        return
    if path is None:
        return
    yield from of.faults(path, of.run(path), path.steps, "steps")
    if of.has("threads"):
        yield from of.faults(path, of.run(path, threads=2), path.steps, "steps", "2 threads")
    for other in (of.paths.one_by_one, of.paths.late_batches):
        if other is not None:
            yield from of.faults(other, of.run(other), other.steps, "steps")


def _refusals(of: _Trained) -> Iterator[Finding]:
    """What is refused."""
    path = of.whole
    wrong: list[tuple[str, dict[str, Any]]] = [
        ("steps=-1", {"steps": -1}),
        ("tolerance=-1", {"tolerance": -1.0}),
    ]
    if of.has("batch_size"):
        wrong += [
            ("batch_size=0", {"batch_size": 0}),
            ("too many rows", {"batch_size": of.paths.rows + 1}),
        ]
    if of.has("threads"):
        wrong.append(("threads=0", {"threads": 0}))
    for told, options in wrong:
        try:
            of.run(path, **{"steps": 1, **options})
        except ValueError:
            continue
        yield Finding("train", "", told, "is not refused")
    given = of.given(path)
    with np.errstate(all="ignore"):
        given[0] = of.module.Parameters(*(np.full_like(one, np.nan) for one in given[0]))
        for options in ({}, {"on_step": lambda *_: None}):
            try:
                result = of.module.train(*given, steps=3, **options)
            except (FloatingPointError, np.linalg.LinAlgError):
                continue
            if not all(map(math.isfinite, result.losses)):
                yield Finding(
                    "train", "", "NaN as parameters", "a loss that is not finite is no error"
                )
                return


_TESTS: Sequence[Callable[[_Trained], Iterator[Finding]]] = (
    _signature,
    _default_rate,
    _few_steps,
    _precision,
    _rates,
    _going_on,
    _tolerance,
    _on_step,
    _mini_batches,
    _refusals,
)
