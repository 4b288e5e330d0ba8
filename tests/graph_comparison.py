"""One model, computed by symflow and by three other ways, and what differs.

The other ways are forward mode by hand, the complex step, and both of them in 50 digits. None of
them is in error by nothing, so the tolerance is measured: the same walk is taken again with a
random relative error of 1e-9 in every result, and what that does to the outcome is what rounding
does, scaled to the precision of the model. An ill-conditioned graph is thus judged leniently
where it is ill-conditioned, and all others are judged strictly.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from abstract_models import Leaf, Model, Moved, Noise, names, text, walk
from independent_numbers import EXACT, FLOAT, Arithmetic, Array, exactly

import symflow as sf

ROUNDINGS = 100.0
"""How many times the measured effect of one rounding per operation is allowed."""

_NOISE = 1e-9
_ORIGIN = "<random graph>"


@dataclass(frozen=True)
class Outcome:
    """The loss, its slopes by all entries, and the values fetched besides, each as one row."""

    loss: Array
    slopes: Array
    fetched: Array

    @property
    def parts(self) -> dict[str, Array]:
        return {"loss": self.loss, "slopes": self.slopes, "fetched": self.fetched}


# --- by symflow ------------------------------------------------------------------------------


@dataclass(frozen=True)
class Built:
    """A model as symflow's graph."""

    session: sf.Session
    tensors: list[Any]
    loss: Any
    fetches: list[Any]
    namespace: dict[str, Any]


def built(model: Model, source: str | None = None, called: list[str] | None = None) -> Built:
    called = called or names(model)
    with sf.Graph().as_default():
        namespace: dict[str, Any] = {"__name__": "model"}
        exec(compile(source or text(model, called), _ORIGIN, "exec"), namespace)
        tensors = [namespace[one] for one in called]
        loss = namespace["loss"]
        slopes = sf.gradients(loss, [tensors[one] for one in model.by])
        fetches = [loss, *slopes, *(tensors[one] for one in model.fetched)]
        return Built(sf.Session(), tensors, loss, fetches, namespace)


def feed(model: Model, tensors: list[Any], at: int) -> dict[Any, Array]:
    return {
        tensors[number]: node.values[at]
        for number, node in enumerate(model.nodes)
        if isinstance(node, Leaf) and node.kind == "placeholder"
    }


def computed(model: Model) -> list[Outcome]:
    """What symflow makes of the model, for each value of n; it compiles once."""
    return outcomes(model, built(model))


def outcomes(model: Model, graph: Built) -> list[Outcome]:
    found = []
    for at in range(2 if model.symbolic else 1):
        values = graph.session.run(graph.fetches, feed(model, graph.tensors, at))
        for value in values:
            assert np.asarray(value).dtype == model.dtype, "the precision of the model is lost"
        loss, *rest = (np.asarray(one, float) for one in values)
        count = len(model.by)
        found.append(Outcome(loss.reshape(1), _row(rest[:count]), _row(rest[count:])))
    return found


def _row(arrays: list[Array]) -> Array:
    return np.concatenate([one.ravel() for one in arrays] or [np.zeros(0)])


# --- by other ways ---------------------------------------------------------------------------


def shapes(model: Model, at: int) -> dict[int, tuple[int, ...]]:
    with np.errstate(all="ignore"):
        values, _ = walk(model, FLOAT, at, 1, {})
    return {one: values[one].shape[1:] for one in model.by}


def units(model: Model, m: Arithmetic, at: int, step: Any = 1.0) -> tuple[int, Moved]:
    """One sample for every entry of what is differentiated by; that entry moves by `step`."""
    sizes = shapes(model, at)
    samples = sum(int(np.prod(shape)) for shape in sizes.values())
    moved: dict[int, Array] = {}
    first = 0
    for node, shape in sizes.items():
        size = int(np.prod(shape))
        zeros = np.zeros((samples, size), object if m is EXACT else type(step))
        for entry in range(size):
            zeros[first + entry, entry] = step
        moved[node] = zeros.reshape(samples, *shape)
        first += size
    return samples, moved


def forward(model: Model, m: Arithmetic, at: int, noise: Noise | None = None) -> Outcome:
    """Forward mode, one direction per entry; at second order with a complex step across."""
    samples, directions = units(model, m, at)
    values, tangents = walk(model, m, at, samples, {}, directions, noise)
    slopes = tangents[model.loss]
    slopes = np.zeros(samples) if slopes is None else np.broadcast_to(slopes, (samples,))
    fetched = _row([np.asarray(values[one][0]) for one in model.fetched])
    if model.order == 1:
        return Outcome(values[model.loss][:1], slopes, fetched)
    along: dict[int, Array] = {}
    first = 0
    for node, shape in shapes(model, at).items():
        part = slopes[first : first + int(np.prod(shape))].reshape(shape)
        along[node] = np.broadcast_to(2 * part, (samples, *shape))
        first += part.size
    _, shifts = units(model, m, at, m.step)
    _, tangents = walk(model, m, at, samples, shifts, along, noise)
    across = tangents[model.loss]
    second = np.zeros(samples) if across is None else m.imaginary(across) / m.imaginary(m.step)
    return Outcome(np.sum(slopes**2, keepdims=True), np.broadcast_to(second, (samples,)), fetched)


def complex_step(model: Model, m: Arithmetic, at: int, noise: Noise | None = None) -> Outcome:
    """First derivatives only, without a single rule."""
    assert model.order == 1
    samples, shifts = units(model, m, at, m.step)
    values, _ = walk(model, m, at, samples, shifts, None, noise)
    loss = np.broadcast_to(values[model.loss], (samples,))
    fetched = _row([np.asarray(m.real(values[one][0])) for one in model.fetched])
    return Outcome(m.real(loss[:1]), m.imaginary(loss) / m.imaginary(m.step), fetched)


def floats(outcome: Outcome) -> Outcome:
    return Outcome(*(np.asarray(one, float) for one in outcome.parts.values()))


def exact(model: Model, at: int) -> list[Outcome]:
    """Both ways, in 50 digits."""
    with exactly(), np.errstate(all="ignore"):
        found = [forward(model, EXACT, at)]
        if model.order == 1:
            found.append(complex_step(model, EXACT, at))
        return [floats(one) for one in found]


def tolerance(model: Model, at: int, truth: Outcome) -> dict[str, Array]:
    """What rounding can do to each entry of the outcome."""
    rng = np.random.default_rng(0)
    epsilon = float(np.finfo(model.dtype).eps)
    spread = {name: np.zeros(part.shape) for name, part in truth.parts.items()}
    for _ in range(3):
        with np.errstate(all="ignore"):
            noisy = forward(model, FLOAT, at, Noise(_NOISE, rng))
        for name, part in noisy.parts.items():
            spread[name] = np.maximum(spread[name], np.abs(part - truth.parts[name]))
    found = {}
    for name, part in truth.parts.items():
        size = np.max(np.abs(part), initial=1.0)  # of what may have cancelled
        found[name] = ROUNDINGS * epsilon * (spread[name] / _NOISE + size)
    return found


# --- comparison ------------------------------------------------------------------------------


def differences(model: Model, digits: bool = False) -> str | None:
    """What is wrong, or None. `digits` asks the 50-digit evaluation in any case; where the others
    differ it is asked always, and decides."""
    return compared(model, computed(model), digits)


def compared(model: Model, found: list[Outcome], digits: bool = False) -> str | None:
    for at, outcome in enumerate(found):
        problem = _compared_at(model, outcome, at, digits)
        if problem is not None:
            return problem if len(found) == 1 else f"n = {model.sizes[at]}: {problem}"
    return None


class Judge:
    """A model with what it must give, to be held against one symflow after another."""

    def __init__(self, model: Model) -> None:
        self.model = model
        self.wanted = [forward(model, FLOAT, at) for at in range(2 if model.symbolic else 1)]
        self.allowed = [tolerance(model, at, one) for at, one in enumerate(self.wanted)]

    def accepts(self) -> bool:
        """Whether symflow, as it is now, gives that; a crash is a no."""
        try:
            found = computed(self.model)
        except Exception:
            return False
        pairs = zip(found, self.wanted, self.allowed, strict=True)
        return all(_first(one, other, allowed) is None for one, other, allowed in pairs)


def references(model: Model, at: int) -> dict[str, Outcome]:
    with np.errstate(all="ignore"):
        found = {"forward mode": forward(model, FLOAT, at)}
        if model.order == 1:
            found["the complex step"] = complex_step(model, FLOAT, at)
    return found


def _compared_at(model: Model, outcome: Outcome, at: int, digits: bool) -> str | None:
    others = references(model, at)
    allowed = tolerance(model, at, others["forward mode"])
    if not digits and all(_first(outcome, other, allowed) is None for other in others.values()):
        return None
    for other in exact(model, at):
        wrong = _first(outcome, other, allowed)
        if wrong is not None:
            return f"symflow against 50 digits: {wrong}"
    for way, other in others.items():
        wrong = _first(other, exact(model, at)[0], allowed)
        if wrong is not None:
            return f"{way} against 50 digits (symflow agrees with them): {wrong}"
    return None


def _first(found: Outcome, wanted: Outcome, allowed: Mapping[str, Array]) -> str | None:
    for name, part in found.parts.items():
        expected = wanted.parts[name]
        if part.shape != expected.shape:
            return f"{name} has {part.size} entries, not {expected.size}"
        within = np.abs(part - expected) <= allowed[name]  # False for nan
        if not np.all(within):
            entry = int(np.argmin(within))
            return (
                f"{name}[{entry}] is {part[entry]!r}, not {expected[entry]!r};"
                f" allowed {allowed[name][entry]:.1e}"
            )
    return None
