"""A program as it was written, in 50 digits and in float64, and whether a module may differ so.

The measure of what may be lost is the naive code under random rounding: it is often exact by luck
when it runs once (Parker, Monte Carlo Arithmetic, UCLA CSD-970002, 1997).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from symflow.arithmetic import undistributed
from symflow.compiler import compile_program, derivatives_taken
from symflow.evaluation import MOST_DIGITS, Evaluator, exact, with_exact_numbers
from symflow.graph import Placeholder, Tensor, get_default_graph
from symflow.lowering import Request, lower, needed
from symflow.memory import executable, session_source
from symflow.naming import label_nodes
from symflow.program import Input, Program, check
from symflow.stabilisation import ALL_RULES, Rules
from symflow.validation.floats import Floats

Array = NDArray[Any]

JIGS = 8
TINY = 1e-290
"""Below this numbers have few digits, or are products of which the order decides."""

FAR = 1e75
"""With a value, an input or the product of all beyond this, or its inverse, it is the order of
factors that decides whether the squares and cubes of second derivatives overflow."""

ENOUGH = 1e-13
"""Of a number, a tenth of what it may be off where the naive code has nothing."""

HUGE = 1e290
"""From here on it is the order of factors that decides whether a product overflows."""

ROOT_OF_TINY = 1e-145
"""What is lost where a number underflows and its root is taken, and the naive code has nothing."""

_EXACT = frozenset({"where", "abs", "relu", "maximum", "minimum", "clip_by_value", "relu6"})
"""Operations that do not round, and may not be moved: what ties goes on to tie."""


MOST = 1000
"""Beyond this no limit is asked for: no precision tells 1 - exp(-x) from 1."""


class Model:
    """Tensors that are computed together, compiled and as written; all inputs are placeholders."""

    @undistributed
    def __init__(self, fetches: Mapping[str, Tensor], rules: Rules | None = None) -> None:
        nodes = needed(fetches.values())
        labels = label_nodes(nodes, {})
        inputs = [node for node in nodes if isinstance(node, Placeholder)]
        self.names = {node: labels[id(node)].name for node in inputs}
        request = Request(fetches, {}, labels, {})
        graph = get_default_graph()
        program = compile_program(graph, request, ALL_RULES if rules is None else rules)
        self.computed = program
        self.written = check(with_exact_numbers(derivatives_taken(lower(graph, request))))
        read = {one.value.name for one in program.definitions if isinstance(one.value, Input)}
        self.arguments = [name for name in self.names.values() if name in read]
        hidden = sorted(read - {*self.arguments})
        self.source, constants = session_source(program, self.arguments, hidden, "float64", False)
        self._call = executable(self.source, constants, f"<model {id(self)}>")

    def run(self, feed: Mapping[str, Array]) -> dict[str, Array]:
        """What the compiled function gives."""
        with np.errstate(all="ignore"):
            found = self._call(SimpleNamespace(), *(feed[name] for name in self.arguments))
        return dict(zip(self.written.outputs, map(np.asarray, found), strict=True))


# --- what may be lost ----------------------------------------------------------------------------


@dataclass(frozen=True)
class Fault:
    """An entry that is wrong: which, and what the program as written says of it."""

    output: str
    at: tuple[int, ...]
    point: Mapping[str, Any]
    found: float
    expected: float
    noise: float

    def __str__(self) -> str:
        point = ", ".join(f"{name} = {value!r}" for name, value in self.point.items())
        told = f"{self.found!r}, not {self.expected!r}; as written within {self.noise:.1e}"
        return f"{self.output} at {point}: {told}"


class Comparison:
    """A model at many points at once: entry `n` of every output reads entry `n` of every input.

    most   at how many points it is asked what is right: those where the two differ most
    worst  the largest error of the module there, in those of the naive code and 0.4 ulp
    """

    def __init__(
        self,
        model: Model,
        feed: Mapping[str, Array],
        most: int = 10,
    ) -> None:
        self.model = model
        self.feed = feed
        self._beside: dict[int, list[dict[str, Array]]] = {}
        self.worst = 0.0
        self.faults: list[Fault] = []
        found = model.run(feed)
        self._naive = _naive(model.written, feed)
        doubts = np.zeros(len(next(iter(feed.values()))))
        self._far = _far([*feed.values(), found["value"]])
        for name, value in found.items():
            doubts = np.maximum(doubts, _doubt(value, self._naive[name]))
        worst = np.argsort(-doubts, kind="stable")[:most]
        self._rows = np.sort(worst[doubts[worst] > 1.0])
        self._found = {name: value[self._rows] for name, value in found.items()}
        if len(self._rows):
            for name, value in found.items():
                self._judge(name, value[self._rows])

    @cached_property
    def _some(self) -> dict[str, Array]:
        return {name: value[self._rows] for name, value in self.feed.items()}

    @cached_property
    def _exact(self) -> Mapping[str, Array]:
        """What is right, row by row: of one that takes many digits the others do not."""
        rows = [
            exact(self.model.written, {name: one[[row]] for name, one in self._some.items()})
            for row in range(len(self._rows))
        ]
        return {name: np.concatenate([one[name] for one in rows]) for name in rows[0].values}

    def _near(self, row: int) -> list[dict[str, Array]]:
        """All outputs at a point with its inputs moved a little, six times."""
        if row not in self._beside:
            self._beside[row] = list(self._moved({n: one[[row]] for n, one in self._some.items()}))
        return self._beside[row]

    def _moved(self, point: Mapping[str, Array]) -> Iterator[dict[str, Array]]:
        random = np.random.default_rng(0)
        digits = _digits(point)
        for distance in (30, 33):
            for way in (1, -1, 0):
                evaluator = Evaluator(digits)
                mpf = evaluator.context.mpf
                moved = {}
                for name, value in point.items():
                    if value.dtype.kind != "f":
                        moved[name] = value
                        continue
                    other = np.empty(value.shape, object)
                    for at in np.ndindex(value.shape):
                        sign = way or (1 if random.random() < 0.5 else -1)
                        step = mpf(float(random.uniform(0.5, 1))) * mpf(10) ** -distance
                        number = mpf(float(value[at]))
                        other[at] = number + sign * step * (abs(number) or 1)
                    moved[name] = other
                yield evaluator.outputs(self.model.written, moved)

    def _judge(self, name: str, value: Array) -> None:
        right = self._exact[name]
        runs = self._naive[name][:, self._rows]
        for at in np.ndindex(value.shape):
            if name.startswith("d") and not self._exists[at[0]]:
                continue
            found, expected, naive = float(value[at]), right[at], runs[(slice(None), *at)]
            number = float(expected)
            if np.isfinite(number):
                self._against(name, at, found, expected, naive)
            elif np.isfinite(found) and not _is_number(expected):
                self._against_limit(name, at, found)

    @cached_property
    def _exists(self) -> list[bool]:
        """Whether there is a value at all: a number, an infinity or a limit."""
        found = []
        for at, value in enumerate(self._exact["value"]):
            sides = None if value == value else [float(one["value"][0]) for one in self._near(at)]
            found.append(sides is None or not np.isnan(sides).any())
        return found

    @cached_property
    def _more(self) -> dict[str, Array]:
        """The naive code many more times."""
        return _naive(self.model.written, self._some, 8 * JIGS, 1)

    @cached_property
    def _sharper(self) -> dict[str, Array]:
        """What is right in more digits: in 65, terms that cancel may agree by chance."""
        return Evaluator(600).outputs(self.model.written, self._some)

    def _against(
        self, name: str, at: tuple[int, ...], found: float, right: Any, naive: Any
    ) -> None:
        number = float(right)
        with np.errstate(all="ignore"):
            noise = float(np.max(np.abs(naive - number)))
        if abs(number) <= 2 * noise < np.inf and noise > TINY:  # as written there is no digit
            return
        if not np.isfinite(found):
            far = name.startswith("d") and self._far[self._rows][at[0]]
            if np.isfinite(naive).all() and not far and abs(number) < HUGE:
                self._fault(name, at, found, number, noise, np.inf)
            return
        lost = not np.isfinite(naive[0])
        if not np.isfinite(noise):
            noise = self._unlimited(name, at, number) + ROOT_OF_TINY + ENOUGH * abs(number)
            if abs(number) <= 2 * noise:
                return
        error = (
            abs(float(type(right)(found) - right))
            if hasattr(right, "_mpf_")
            else abs(found - number)
        )
        unit = max(0.4 * float(np.spacing(abs(number))), TINY)
        ratio = max(error - TINY, 0.0) / (noise + unit)
        if ratio > 10 and (
            self._between(name, at, found) or self._leaves_floats(name, at, number, lost)
        ):
            return
        if ratio > 10:  # which may be luck of the naive code
            more = self._more[name][(slice(None), *at)]
            more = np.abs(more[np.isfinite(more)] - number)
            ratio = max(error - TINY, 0.0) / (more.max(initial=noise) + unit)
        if ratio > 10:
            sharper = self._sharper[name][at]
            if abs(float(sharper) - number) > 1e-9 * abs(number):
                self._against(name, at, found, sharper, naive)
                return
            self._fault(name, at, found, number, noise, ratio)
        self.worst = max(self.worst, ratio)

    @cached_property
    def _without_limit(self) -> dict[str, Array]:
        """All outputs of the module's own program, if no exponent were too large or too small."""
        return Evaluator(MOST_DIGITS).outputs(self.model.computed, self._some)

    def _leaves_floats(self, name: str, at: tuple[int, ...], number: float, lost: bool) -> bool:
        """Whether far from 1 but a step to this is beyond floats; of a second derivative, or where
        the naive code has no number, as for norms of what has no square."""
        if not ((lost or name.startswith("d2")) and self._far[self._rows][at[0]]):
            return False
        return abs(float(self._without_limit[name][at]) - number) <= 1e-6 * abs(number)

    @cached_property
    def _of_any_size(self) -> list[dict[str, Array]]:
        """All outputs in 53 bits and exponents without limit, rounded in three ways."""
        ways = [Evaluator(15, way) for way in ("n", "f", "c")]
        return [one.outputs(self.model.written, self._some) for one in ways]

    def _unlimited(self, name: str, at: tuple[int, ...], number: float) -> float:
        """What the naive code would lose if it did not overflow."""
        found = [abs(float(one[name][at]) - number) for one in self._of_any_size]
        return max(found) if np.isfinite(found).all() else np.inf

    def _between(self, name: str, at: tuple[int, ...], found: float) -> bool:
        """Whether a derivative jumps there, and this is between its sides."""
        sides = [float(one[name][(0, *at[1:])]) for one in self._near(at[0])]
        jumps = max(sides) - min(sides) > 1e-6 * max(map(abs, sides))
        return jumps and min(sides) <= found <= max(sides)

    def _against_limit(self, name: str, at: tuple[int, ...], found: float) -> None:
        """The program has no number there; if it tends to one, that it is."""
        if max(abs(float(np.max(np.abs(one[at[0]])))) for one in self._some.values()) > MOST:
            return
        sides = [float(one[name][(0, *at[1:])]) for one in self._near(at[0])]
        value, near = float(self._exact["value"][at[0]]), float(self._near(at[0])[0]["value"][0])
        jumps = np.isfinite(value) and abs(value - near) > 1e-6 * abs(near) + 1e-12
        if jumps or not np.isfinite(sides).all():
            return
        if max(sides) - min(sides) > 1e-6 * max(map(abs, sides)) + 1e-25:
            return
        around = np.concatenate([one[at[0]].ravel() for one in self._found.values()])
        terms = np.abs(around[np.isfinite(around)]).max(initial=1.0)
        if name.startswith("d"):  # terms may have the inverses of inputs for factors
            terms += (
                1e-3
                * min(self._size(at[0]), HUGE)
                * (1.0 if name.startswith("d1") else min(self._size(at[0]), HUGE))
            )
        if abs(found - sides[-1]) > 1e-6 * abs(sides[-1]) + 1e-12 * terms:
            self._fault(name, at, found, sides[-1], np.nan, np.inf)

    def _size(self, row: int) -> float:
        """The product of all inputs, or of their inverses, whichever are larger than 1."""
        entries = np.abs(np.concatenate([one[row].ravel() for one in self._some.values()]))
        with np.errstate(all="ignore"):
            return float(np.prod([max(one, 1 / one) for one in entries if one]))

    def _fault(
        self, name: str, at: tuple[int, ...], found: float, right: float, noise: float, ratio: float
    ) -> None:
        point = {key: value[at[0]].tolist() for key, value in self._some.items()}
        self.worst = max(self.worst, ratio)
        self.faults.append(Fault(name, at, point, found, right, noise))


def _digits(point: Mapping[str, Array]) -> int:
    """How many it takes to tell 1 - exp(-x) from 1, and the slope of 1 - cos(x) from 0."""
    sizes = np.concatenate([np.abs(one).ravel() for one in point.values()]).astype(float)
    sizes = sizes[(sizes > 0) & (sizes <= MOST)]
    return 160 + int(max(4 * np.abs(np.log10(sizes)).max(initial=0.0), sizes.max(initial=0.0)))


def _far(arrays: Sequence[Array]) -> Array:
    """Whether there is a number far from 1 in a row, or all of them together are."""
    rows = [np.abs(one).reshape(len(one), -1) for one in arrays]
    with np.errstate(all="ignore"):
        sizes = np.abs(np.log(np.concatenate(rows, axis=1)))  # ∞ of 0
        sizes = np.where(np.isfinite(sizes), sizes, 0.0)
    return np.asarray((sizes.sum(axis=1) > np.log(FAR)) | np.isinf(rows[-1]).any(axis=1))


@undistributed
def _naive(
    program: Program, feed: Mapping[str, Array], jigs: int = JIGS, seed: int = 0
) -> dict[str, Array]:
    """The program as written in floats: once, and some times under random rounding."""
    moved = [False] + [True] * jigs
    inputs = {name: np.repeat(one[None], len(moved), axis=0) for name, one in feed.items()}
    return Floats(moved, np.random.default_rng(seed)).outputs(program, inputs)


@np.errstate(all="ignore")
def _doubt(found: Array, naive: Array) -> Array:
    """How far a module is from the naive code, row by row; up to 1 it is surely right.

    The runs of the naive code differ by no more than twice what it loses: four times that and 4 ulp
    away from it, an error is within what is allowed.
    """
    plain = naive[0]
    spread = naive.max(axis=0) - naive.min(axis=0)
    allowed = 4 * spread + 3 * np.spacing(np.abs(plain)) + TINY
    doubt = np.abs(found - plain) / allowed
    doubt = np.where(np.isnan(doubt) | (found == plain), 0.0, doubt)
    lost = np.isfinite(naive).all(axis=0) & ~np.isfinite(found)
    gained = ~np.isfinite(naive).all(axis=0) & np.isfinite(found)
    doubt = np.where(lost, 1e300, np.where(gained, 1e9, doubt))
    return doubt.reshape(len(doubt), -1).max(axis=1)


def _is_number(value: Any) -> bool:
    """Whether it is a number, if one beyond those of floats."""
    if not hasattr(value, "_mpf_"):
        return bool(np.isfinite(value))
    return bool(value == value and abs(value) != value.context.inf)
