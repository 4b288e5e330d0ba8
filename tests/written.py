"""A program as it was written, in 50 digits and in float64, and whether a module may differ so.

The measure of what may be lost is the naive code under random rounding: it is often exact by luck
when it runs once (Parker, Monte Carlo Arithmetic, UCLA CSD-970002, 1997).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from types import SimpleNamespace
from typing import Any

import numpy as np
import sympy as sp
from numpy.typing import NDArray
from scipy import special

from symflow.arithmetic import undistributed
from symflow.compiler import compile_program, derivatives_taken
from symflow.elementwise import Opaque, canonical
from symflow.evaluation import Evaluator, exact, helper_functions, with_exact_numbers
from symflow.graph import Placeholder, Tensor, get_default_graph
from symflow.lowering import Request, lower, needed
from symflow.memory import executable, session_source
from symflow.naming import label_nodes
from symflow.primitives import Primitive
from symflow.program import Constant, Full, Input, Iota, Kernel, Program, check, slots_of
from symflow.stabilisation import Rewrite, Rules
from symflow.text import Text

Array = NDArray[Any]

JIGS = 8
TINY = 1e-290
"""Below this numbers have few digits, or are products of which the order decides."""

FAR = 1e100
"""With inputs or a value beyond this, or its inverse, second derivatives are not compared: their
squares and cubes overflow or not as they are multiplied in one order or in another."""

_EXACT = frozenset({"where", "abs", "relu", "maximum", "minimum", "clip_by_value", "relu6"})
"""Operations that do not round, and may not be moved: what ties goes on to tie."""


MOST = 300
"""Beyond this no limit is asked for: 160 digits do not tell 1 - exp(-x) from 1."""


class Model:
    """Tensors that are computed together, compiled and as written; all inputs are placeholders."""

    @undistributed
    def __init__(self, fetches: Mapping[str, Tensor], rules: Rules | None = None) -> None:
        self.applied: list[Rewrite] = []
        nodes = needed(fetches.values())
        labels = label_nodes(nodes, {})
        inputs = [node for node in nodes if isinstance(node, Placeholder)]
        self.names = {node: labels[id(node)].name for node in inputs}
        request = Request(fetches, {}, labels, {})
        without = frozenset() if rules is None else rules.without
        graph = get_default_graph()
        program = compile_program(graph, request, Rules(without, self.applied))
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


# --- as written, in floats -----------------------------------------------------------------------


class Floats:
    """One run of a program as written, every operation moved by a unit in the last place."""

    def __init__(self, seed: int | None) -> None:
        self.random = None if seed is None else np.random.default_rng(seed)
        self.sizes: dict[sp.Expr, int] = {}

    @undistributed
    @np.errstate(all="ignore")
    def outputs(self, program: Program, feed: Mapping[str, Array]) -> dict[str, Array]:
        values: dict[int, Array] = {}
        for tensor, one in enumerate(program.definitions):
            if isinstance(one.value, Input):
                given = np.asarray(
                    feed[one.value.name], float if one.type.dtype == "float" else None
                )
                for size, length in zip(one.type.shape, given.shape, strict=True):
                    if isinstance(size, sp.Symbol):
                        self.sizes[size] = length
                values[tensor] = given
        for tensor, live in enumerate(program.live()):
            value = program[tensor].value
            if live and tensor not in values:
                values[tensor] = self._value(value, [values[at] for at in value.operands])
        return {name: values[tensor] for name, tensor in program.outputs.items()}

    def size(self, size: sp.Expr) -> int:
        return int(size.xreplace(self.sizes))

    def _value(self, value: Any, operands: Sequence[Array]) -> Array:
        if isinstance(value, Kernel):
            return self._kernel(value, operands)
        if isinstance(value, Constant):
            return value.data
        if isinstance(value, Iota):
            return np.arange(self.size(value.size))
        if isinstance(value, Full):
            return np.full([self.size(size) for size in value.shape], value.value)
        assert isinstance(value, Primitive)
        names = [f"operand_{at}" for at in range(len(operands))]
        known = {**helper_functions(), **dict(zip(names, operands, strict=True)), "dtype": float}
        known |= {str(size): number for size, number in self.sizes.items()}
        found = np.asarray(eval(value.numpy([Text(name) for name in names]).source, known))
        return self._moved(found)

    def _kernel(self, value: Kernel, operands: Sequence[Array]) -> Array:
        sizes = [self.size(size) for size in value.sizes]
        places = list(np.ogrid[tuple(map(slice, sizes))]) if sizes else []
        read = [
            operand[tuple(0 if at is None else places[at] for at in access.indices)]
            for operand, access in zip(operands, value.accesses, strict=True)
        ]
        terms = np.broadcast_to(self._body(value.body.xreplace(self.sizes), read), sizes)
        kept = [index for index in value.output if index is not None]
        terms = terms.transpose([*kept, *value.reduced])
        if value.reduced:
            terms = self._folded(value.reduction, terms.reshape(*terms.shape[: len(kept)], -1))
        return terms.reshape([1 if index is None else sizes[index] for index in value.output])

    def _folded(self, reduction: str, terms: Array) -> Array:
        """A reduction along the last axis; sums are added one by one in random order."""
        if reduction != "sum":
            return np.asarray(getattr(np, reduction)(terms, axis=-1))
        if self.random is None or terms.dtype.kind != "f" or terms.shape[-1] < 2:
            return np.asarray(terms.sum(axis=-1))
        order = self.random.permutation(terms.shape[-1])
        return self._moved(np.add.accumulate(terms[..., order], axis=-1)[..., -1])

    def _body(self, body: Any, read: Sequence[Array]) -> Any:
        """A body walked as it stands; sums and products from left to right."""
        if isinstance(body, sp.Symbol):
            return read[slots_of(body)[0]]
        if not body.free_symbols:
            return bool(body) if body in (sp.true, sp.false) else float(sp.N(body, 30))
        parts = [self._body(part, read) for part in body.args]
        if isinstance(body, (sp.Add, sp.Mul)):
            found = parts[0]
            for part in parts[1:]:
                found = self._moved(found + part if isinstance(body, sp.Add) else found * part)
            return found
        if isinstance(body, sp.Pow):
            return self._moved(_power(*parts, body.exp))
        if isinstance(body, Opaque) and body.row.numpy is not None:
            return self._row(body, parts)
        name = {
            "asin": "arcsin",
            "acos": "arccos",
            "atan": "arctan",
            "acosh": "arccosh",
            "Abs": "abs",
        }
        if type(body).__name__ == "erf":
            return self._moved(special.erf(*parts))
        function = getattr(np, name.get(type(body).__name__, type(body).__name__), None)
        if function is None:  # by its definition
            assert isinstance(body, Opaque)
            return self._body(canonical(body.row.maths(*body.args)), read)
        return self._moved(function(*parts))

    def _row(self, body: Opaque, parts: Sequence[Any]) -> Any:
        names = [f"operand_{at}" for at in range(len(parts))]
        known = {**helper_functions(), "special": special, "np": np}
        known |= dict(zip(names, map(np.asarray, parts), strict=True))
        found = eval(body.row.numpy.format(*names), {**known, "dtype": float})
        return found if body.row.name in _EXACT else self._moved(found)

    def _moved(self, value: Any) -> Any:
        value = np.asarray(value)
        if self.random is None or value.dtype.kind != "f":
            return value
        return value * (1 + 1.1e-16 * self.random.choice([-1.0, 1.0], value.shape))


def _power(base: Any, exponent: Any, written: sp.Expr) -> Any:
    if written == sp.Rational(1, 2):
        return np.sqrt(base)
    if written.is_Integer and written.is_negative:
        return 1.0 / np.power(np.asarray(base, float), -int(written))
    return np.power(np.asarray(base, float), exponent)


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
    settles  whether derivatives re-use values that settle at 1, as those of tanh and sigmoid do:
            they are right to the last place of 1, times what they are multiplied by
    worst  the largest error of the module there, in those of the naive code and 0.4 ulp
    """

    def __init__(
        self, model: Model, feed: Mapping[str, Array], most: int = 24, settles: bool = False
    ) -> None:
        self.model = model
        self.settles = settles
        self.feed = feed
        self.worst = 0.0
        self.faults: list[Fault] = []
        found = model.run(feed)
        runs = [Floats(seed).outputs(model.written, feed) for seed in (None, *range(JIGS))]
        self._naive = {name: np.stack([run[name] for run in runs]) for name in found}
        doubts = np.zeros(len(next(iter(feed.values()))))
        self._far = _far([*feed.values(), found["value"]])
        for name, value in found.items():
            some = np.where(self._far & name.startswith("d2"), 0.0, 1.0)
            doubts = np.maximum(doubts, some * _doubt(value, self._naive[name]))
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
        return exact(self.model.written, self._some).values

    @cached_property
    def _near(self) -> list[dict[str, Array]]:
        """All outputs with the inputs moved a little, six times."""
        random = np.random.default_rng(0)
        found = []
        for distance in (30, 33):
            for way in (1, -1, 0):
                evaluator = Evaluator(160)
                mpf = evaluator.context.mpf
                moved = {}
                for name, value in self._some.items():
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
                found.append(evaluator.outputs(self.model.written, moved))
        return found

    def _judge(self, name: str, value: Array) -> None:
        right = self._exact[name]
        runs = self._naive[name][:, self._rows]
        for at in np.ndindex(value.shape):
            if name.startswith("d2") and self._far[self._rows][at[0]]:
                continue
            if name.startswith("d") and not self._exists[at[0]]:
                continue
            found, expected, naive = float(value[at]), right[at], runs[(slice(None), *at)]
            number = float(expected)
            if np.isfinite(number):
                self._against(name, at, found, expected, naive)
            elif np.isfinite(found) and not _is_number(expected):
                self._against_limit(name, at, found)

    def _last_place_of_one(self, name: str, row: int) -> float:
        entries = [np.abs(one[row]).ravel() for one in self._some.values()]
        sizes = [max(float(x), 1 / float(x)) for one in entries for x in one if x]
        with np.errstate(over="ignore"):
            return float(4e-16 * np.prod(sizes) ** (1 + int(name[1])))

    @cached_property
    def _exists(self) -> list[bool]:
        """Whether there is a value at all: a number, an infinity or a limit."""
        found = []
        for at, value in enumerate(self._exact["value"]):
            sides = None if value == value else [float(one["value"][at]) for one in self._near]
            found.append(sides is None or not np.isnan(sides).any())
        return found

    def _against(
        self, name: str, at: tuple[int, ...], found: float, right: Any, naive: Any
    ) -> None:
        number = float(right)
        with np.errstate(all="ignore"):
            noise = float(np.max(np.abs(naive - number)))
        if not np.isfinite(found):
            if np.isfinite(naive).all() and noise < abs(number):
                self._fault(name, at, found, number, noise, np.inf)
            return
        if not np.isfinite(noise):
            noise = self._unlimited(name, at, number) if not np.isfinite(naive[0]) else np.inf
        error = (
            abs(float(type(right)(found) - right))
            if hasattr(right, "_mpf_")
            else abs(found - number)
        )
        if self.settles and name.startswith("d"):
            error = max(error - self._last_place_of_one(name, at[0]), 0.0)
        unit = max(0.4 * float(np.spacing(abs(number))), TINY)
        ratio = max(error - TINY, 0.0) / (noise + unit)
        if ratio > 10 and self._between(name, at, found):
            return
        if ratio > 10:
            self._fault(name, at, found, number, noise, ratio)
        self.worst = max(self.worst, ratio)

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
        sides = [float(one[name][at]) for one in self._near]
        jumps = max(sides) - min(sides) > 1e-6 * max(map(abs, sides))
        return jumps and min(sides) <= found <= max(sides)

    def _against_limit(self, name: str, at: tuple[int, ...], found: float) -> None:
        """The program has no number there; if it tends to one, that it is."""
        if max(abs(float(np.max(np.abs(one[at[0]])))) for one in self._some.values()) > MOST:
            return
        sides = [float(one[name][at]) for one in self._near]
        if not np.isfinite(sides).all():
            return
        if max(sides) - min(sides) > 1e-6 * max(map(abs, sides)) + 1e-25:
            return
        around = np.concatenate([one[at[0]].ravel() for one in self._found.values()])
        terms = np.abs(around[np.isfinite(around)]).max(initial=1.0)
        if abs(found - sides[-1]) > 1e-6 * abs(sides[-1]) + 1e-12 * terms:
            self._fault(name, at, found, sides[-1], np.nan, np.inf)

    def _fault(
        self, name: str, at: tuple[int, ...], found: float, right: float, noise: float, ratio: float
    ) -> None:
        point = {key: value[at[0]].tolist() for key, value in self._some.items()}
        self.worst = max(self.worst, ratio)
        self.faults.append(Fault(name, at, point, found, right, noise))


def _far(arrays: Sequence[Array]) -> Array:
    """Whether there is a number far from 1 in a row."""
    rows = [np.abs(one).reshape(len(one), -1) for one in arrays]
    sizes = np.concatenate(rows, axis=1)
    return np.asarray(((sizes > FAR) | ((sizes < 1 / FAR) & (sizes > 0))).any(axis=1))


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
    gained = ~np.isfinite(plain) & np.isfinite(found)
    doubt = np.where(lost, 1e300, np.where(gained, 1e9, doubt))
    return doubt.reshape(len(doubt), -1).max(axis=1)


def _is_number(value: Any) -> bool:
    """Whether it is a number, if one beyond those of floats."""
    if not hasattr(value, "_mpf_"):
        return bool(np.isfinite(value))
    return bool(value == value and abs(value) != value.context.inf)
