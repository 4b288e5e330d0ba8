"""What overflows or loses digits is replaced: rules on bodies, and on several kernels at once.

Done before derivatives are taken, and again after. A rule looks through the elementwise kernels
that a kernel reads: `log(p)` with `p = sigmoid(z)` is seen as `log(sigmoid(z))`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import sympy as sp

from symflow.arithmetic import Symbol
from symflow.elementwise import function_of, without_twins
from symflow.errors import Location
from symflow.guards import guarded
from symflow.infinities import Infinities
from symflow.notation import at, letters, plain_text, subscripts
from symflow.program import Access, Builder, Definition, Kernel, kernel, slot, slots_of
from symflow.rows import log1p
from symflow.rules import (
    NAMES,
    Phase,
    Step,
    described,
    kinds_of,
    may_apply,
    rewritten,
    surface,
)
from symflow.signs import demands, facts_of
from symflow.structures import (
    Restructured,
    log_of_determinant,
    masked_logits,
    norm,
    reciprocal,
    running_exponentials,
    shifted_exponentials,
    shifted_terms,
    variance,
    weighted_exponentials,
)
from symflow.substitution import composed, read_through, substituted

DEPTH = 8
"""How many elementwise kernels, one reading the other, a rule looks through."""


@dataclass(frozen=True)
class Rewrite:
    """One application of a rule: what was replaced by what, in which tensor, from which line."""

    rule: str
    tensor: str
    origin: Location | None
    before: str
    after: str


@dataclass(frozen=True, eq=False)
class Rules:
    """Which rules are not taken; and a list, if somebody wants to know what the others did."""

    without: frozenset[str] = frozenset()
    applied: list[Rewrite] | None = None


ALL_RULES = Rules()


class Stabiliser:
    """The rules that are on, the phase, and, if `applied` is given, what they did."""

    def __init__(
        self,
        phase: Phase,
        without: frozenset[str] = frozenset(),
        applied: list[tuple[int, Rewrite]] | None = None,
    ) -> None:
        self.phase: Phase = phase
        self.without = without
        self.applied = applied
        self._kinds: dict[int, frozenset[str]] = {}
        self._arithmetic: dict[int, frozenset[str]] = {}
        self._infinities: Infinities | None = None

    def __call__(self, program: Builder, definition: Definition) -> int | None:
        """The tensor that computes a definition better, or None."""
        value = definition.value
        if not isinstance(value, Kernel) or value.reduction != "sum" or not value.accesses:
            return None
        found = self._restructured(program, value, definition) if value.elementwise else None
        if found is not None:
            tensor = program.add(found.after, definition.label, definition.origin)
            self._note(
                program, tensor, found.rule, formula_text(program, found.before), found.after
            )
            return tensor
        wide, body, steps, merged = self._widened(program, value)
        better = kernel(wide.output, wide.sizes, body, wide.accesses)
        if steps or merged:  # else it is as it was written
            better = _with_sums_as_written(program, value, better)
        masked = masked_logits(self._known(program), better) if self._on("masked-logit") else None
        if not steps and not merged and masked is None:
            return None
        tensor = program.add(masked or better, definition.label, definition.origin)
        if masked is not None:
            before = formula_text(program, better)
            self._note(program, tensor, "masked-logit", before, masked)
        if merged:
            self._note(program, tensor, "exp-product", formula_text(program, value), wide)
        for step in steps:
            before, after = step.difference
            self._note(
                program,
                tensor,
                step.rule,
                formula_text(program, wide, before),
                formula_text(program, wide, after),
            )
        return tensor

    def _restructured(
        self, program: Builder, value: Kernel, definition: Definition
    ) -> Restructured | None:
        """What a rule on several kernels makes of one."""
        if not _may_be_structured(value.body):
            return None
        found = shifted_exponentials(program, value, definition, self.without)
        if found is None and self._on("log-sum-exp"):
            found = shifted_terms(program, value, definition)
        if found is None and self.phase == "written" and self._on("log-sum-exp"):
            found = weighted_exponentials(program, value, definition)
        if found is None and self.phase == "written" and self._on("log-cumsum-exp"):
            found = running_exponentials(program, value, definition)
        if found is None and self._on("log-determinant"):
            found = log_of_determinant(program, value)
        if found is None and self._on("norm"):
            found = norm(program, value)
        if found is None and self.phase == "written" and self._on("reciprocal"):
            found = reciprocal(program, value)
        if found is None and self.phase == "written" and self._on("variance"):
            found = variance(program, value)
        return found

    def _known(self, program: Builder) -> Infinities:
        if self._infinities is None or self._infinities.program is not program:
            self._infinities = Infinities(program)
        return self._infinities

    def _on(self, rule: str) -> bool:
        return rule not in self.without

    # --- rules on bodies ---

    def _widened(
        self, program: Builder, value: Kernel
    ) -> tuple[Kernel, sp.Expr, Sequence[Step], bool]:
        """The kernel with as few others written into it as the rules need, and what they do;
        and whether SymPy has merged exponentials in it.
        """
        depth = DEPTH if value.elementwise else 0
        if not value.elementwise and self.phase == "computed" and self._on("masked-factor"):
            value = _with_masks(program, value)
        near = self._near(program, value, depth)
        merges = self.phase == "written" and self._on("exp-product") and "exp" in near
        merges = merges and value.body.has(sp.Mul, sp.log)
        if not merges:
            kinds = self._reachable(program, value, depth)
            if not may_apply(value.body, near, kinds, self.phase):
                return value, value.body, (), False
        wide = _widths(program, value, depth, parted=True)
        first = _merging(program, wide) if merges else 0
        if self.phase == "computed":
            while len(wide) > first + 1 and not self._rewritten(program, wide[-1])[1]:
                wide.pop()  # x may be proved to be positive where w·z, which it is, is not
        wanted = _done(*self._rewritten(program, wide[-1]))
        whole = _widths(program, value, depth, parted=False)  # with all sums as they are written
        if whole[-1] is not wide[-1] and _done(*self._rewritten(program, whole[-1])) == wanted:
            merging = _merging(program, whole) if merges else 0
            if (merging > 0) == (first > 0):
                wide, first = whole, merging
        for one in wide[first:]:
            body, steps = self._rewritten(program, one)
            if _done(body, steps) == wanted:
                break
        return one, body, steps, first > 0

    def _rewritten(self, program: Builder, value: Kernel) -> tuple[sp.Expr, tuple[Step, ...]]:
        facts = facts_of(program, value)
        body, steps = rewritten(value.body, self.phase, self.without, facts)
        safe = guarded(body) if self._on("safe-where") else body
        return safe, steps if safe == body else (*steps, Step("safe-where", body, safe))

    def _reachable(self, program: Builder, value: Kernel, depth: int) -> frozenset[str]:
        """The functions in a body, and in those that it may be widened to."""
        kinds = kinds_of(value.body)
        for access in value.accesses if depth else ():
            source = program[access.tensor].value
            if not isinstance(source, Kernel) or not source.elementwise:
                continue
            if access.tensor not in self._kinds:
                kept = program.kept(access.tensor)
                found = frozenset() if kept else self._reachable(program, source, depth - 1)
                self._kinds[access.tensor] = found
            kinds |= self._kinds[access.tensor]
        return kinds

    def _near(self, program: Builder, value: Kernel, depth: int) -> frozenset[str]:
        """The functions that a body may do arithmetic with when it is widened."""
        near, slots = surface(value.body)
        for number in slots if depth else ():
            tensor = value.accesses[number].tensor
            source = program[tensor].value
            if not isinstance(source, Kernel) or not source.elementwise:
                continue
            if tensor not in self._arithmetic:
                kept = program.kept(tensor)
                found = frozenset() if kept else self._near(program, source, depth - 1)
                self._arithmetic[tensor] = found
            near |= self._arithmetic[tensor]
        return near

    # --- what was done ---

    def _note(
        self, program: Builder, tensor: int, rule: str, before: str, after: Kernel | str
    ) -> None:
        if self.applied is not None:
            definition = program[tensor]
            after = after if isinstance(after, str) else formula_text(program, after)
            rewrite = Rewrite(rule, definition.label.name, definition.origin, before, after)
            self.applied.append((tensor, rewrite))


def _with_masks(program: Builder, value: Kernel) -> Kernel:
    """A sum of products that may be 0·∞, with the factors written out that are 0 by choice."""
    for _ in range(DEPTH):
        if not any(True for _ in demands(value.body)):
            break
        masked = [
            position
            for position, access in enumerate(value.accesses)
            if slot(position) in sp.Mul.make_args(value.body)
            and _is_masked(program, access.tensor, DEPTH)
        ]
        if not masked:
            break
        value = substituted(program, value, masked)
    return value


def _is_masked(program: Builder, tensor: int, depth: int) -> bool:
    """Whether a tensor has a factor that a choice makes 0."""
    value = program[tensor].value
    if not isinstance(value, Kernel) or not value.elementwise or program.kept(tensor) or not depth:
        return False
    factors = sp.Mul.make_args(value.body)
    if any(type(one).__name__ == "where" and 0 in one.args[1:] for one in factors):
        return True
    return any(
        factor.is_Symbol and _is_masked(program, value.accesses[number].tensor, depth - 1)
        for factor in factors
        for number in slots_of(factor)
    )


@lru_cache(maxsize=65536)
def _may_be_structured(body: sp.Expr) -> bool:
    """Whether a rule on several kernels may have something to say of a body."""
    return bool(body.has(sp.log, sp.Pow, sp.Add, function_of(log1p)))


def explained(applied: Sequence[Rewrite]) -> str:
    """Every rewrite, grouped by rule: model line, tensor, before → after; and what else may be."""
    if not applied:
        return f"No rule applies.\n{UNLISTED}"
    groups = [
        described(name) + "\n" + "".join(_entry(one) for one in distinct)
        for name in NAMES
        if (distinct := dict.fromkeys(one for one in applied if one.rule == name))
    ]
    return "\n".join([*groups, UNLISTED])


UNLISTED = """\
What is not listed is computed as it is written, but for the order of sums and products: factors
are taken out of sums and multiplied where there is least of them, a·x + a·y → a·(x + y), and sums
of products are contractions, a.dot(x).
"""


def _entry(one: Rewrite) -> str:
    where = f"{one.origin}: {one.tensor}" if one.origin else one.tensor
    if one.before == one.after:  # the same number, with another derivative at a point
        return f"    {where}\n        {one.before}\n"
    line = f"{one.before}  →  {one.after}"
    if len(line) <= 92:
        return f"    {where}\n        {line}\n"
    return f"    {where}\n        {one.before}\n      → {one.after}\n"


def _done(body: sp.Expr, steps: Sequence[Step]) -> tuple[list[str], int]:
    """Which rules were taken, and how many branches there are then."""
    if not steps:
        return [], 0
    branches = sum(type(part).__name__ == "where" for part in sp.preorder_traversal(body))
    return [step.rule for step in steps], branches


def _widths(program: Builder, value: Kernel, depth: int, parted: bool) -> list[Kernel]:
    """A kernel with ever more of those that it reads written into it."""
    wide = [value]
    while len(wide) <= depth:
        wider = read_through(program, wide[-1], 1, parted)
        if wider is wide[-1]:
            break
        wide.append(wider)
    return wide


def _with_sums_as_written(program: Builder, value: Kernel, wide: Kernel) -> Kernel:
    """A rewritten kernel that reads x - w where SymPy has made x - w + 0.1 of (x - w) + 0.1, of
    which the terms are not added in the order in which they were.
    """
    for part, accesses in _sums_of_sums(program, value.body, value.accesses, DEPTH):
        flat = kernel(value.output, value.sizes, part, accesses)
        for _ in range(DEPTH):
            before, flat = flat, read_through(program, flat, 1)
            if flat is before:
                break
            if flat.sizes != wide.sizes or not set(flat.accesses) <= set(wide.accesses):
                continue
            found = [*wide.accesses, *accesses]
            body = wide.body.xreplace(
                {_seen(flat.body, flat.accesses, found): _seen(part, accesses, found)}
            )
            if body != wide.body:
                wide = kernel(wide.output, wide.sizes, body, found)
                break
    return wide


def _sums_of_sums(
    program: Builder, body: sp.Expr, accesses: Sequence[Access], depth: int
) -> Iterator[tuple[sp.Expr, Sequence[Access]]]:
    """The sums in a body, and in those of the kernels that it reads, of which terms are sums; and
    the terms."""
    sources: dict[int, Kernel] = {}
    for number, access in enumerate(accesses):
        source = program[access.tensor].value
        if isinstance(source, Kernel) and source.elementwise and source.accesses:
            sources[number] = source
    for part in _sums(body):
        if any(
            slots_of(term) == (number,) and source.body.is_Add
            for term in part.args
            for number, source in sources.items()
        ):
            yield part, accesses
    for number, source in sources.items():
        if source.body.is_Add:  # of which a slope may be a sum of sums
            yield slot(number), accesses
    for number, source in sources.items() if depth else ():
        inner = [composed(source, one, accesses[number].indices) for one in source.accesses]
        yield from _sums_of_sums(program, source.body, inner, depth - 1)


@lru_cache(maxsize=65536)
def _sums(body: sp.Expr) -> tuple[sp.Add, ...]:
    return tuple(part for part in sp.preorder_traversal(body) if part.is_Add)


def _seen(body: sp.Expr, accesses: Sequence[Access], by: Sequence[Access]) -> sp.Expr:
    """A body, with slots in the order of other accesses."""
    return body.xreplace({slot(at): slot(by.index(one)) for at, one in enumerate(accesses)})


def _merging(program: Builder, wide: list[Kernel]) -> int:
    """How far to read for SymPy to merge exponentials: exp(x)·exp(y) is exp(x + y); 0 if never."""
    for depth in range(1, len(wide)):
        before, after = wide[depth - 1], wide[depth]
        joined = sum(
            isinstance(source := program[access.tensor].value, Kernel)
            and isinstance(source.body, sp.exp)
            and access not in after.accesses
            for access in before.accesses
        )
        if joined and _exponentials(after.body) < _exponentials(before.body) + joined:
            return depth
    return 0


def _exponentials(body: sp.Expr) -> int:
    return sum(isinstance(part, sp.exp) for part in sp.preorder_traversal(body))


def formula_text(program: Builder, value: Kernel, part: sp.Expr | None = None) -> str:
    """A part of a kernel's body as a person writes it."""
    names = letters(len(value.sizes), [str(size) for size in value.sizes])
    part = without_twins(value.body if part is None else part)
    replacements: dict[sp.Symbol, sp.Symbol] = {}
    for number in slots_of(part):
        access = value.accesses[number]
        called = at(program[access.tensor].label.name, subscripts(access.indices, names))
        while Symbol(called) in replacements.values():  # two parts of one name are no zero apart
            called += "′"
        replacements[slot(number)] = Symbol(called)
    return plain_text(part.xreplace(replacements))
