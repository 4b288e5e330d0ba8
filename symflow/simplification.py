"""Program → Program: the same values from fewer, larger and stabler kernels.

Each pass walks the program once, forwards, and rebuilds it; tensors that derivatives are still to
be taken by (`kept`) stay as they are. The passes in order:

    fold       literals and index maps vanish into the kernels that read them
    stabilise  what overflows or loses digits is replaced (`rules.py`, and sums of exponentials)
    inline     an elementwise kernel that is read once, and has no name, joins its reader
    factor     a factor common to all terms is taken out of a sum
    contract   sums become contractions or plain reductions (`contraction.py`)
    share      an expensive subexpression that occurs twice becomes a tensor of its own

Common subexpressions vanish in every pass, since equal values are one tensor; dead code after
every pass.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from functools import lru_cache

import numpy as np
import sympy as sp

from symflow.contraction import sum_of_products
from symflow.elementwise import canonical, exp, log
from symflow.program import (
    Access,
    Builder,
    Definition,
    Derivative,
    Indices,
    Kernel,
    Label,
    Program,
    Value,
    kernel,
    number,
    slot,
    slots_of,
    without_dead_code,
)
from symflow.program import Constant as Literal
from symflow.rules import cost, rewritten
from symflow.views import StopGradient

LARGEST_BODY = 60
"""Operations in one body beyond which nothing more is inlined: SymPy walks trees, not graphs."""

Rebuild = Callable[[Builder, Definition], "int | None"]


def simplify_forward(program: Program) -> Program:
    """What is done before derivatives are taken."""
    program = _walk(program, _folded)
    return _walk(program, _stabilised)


def simplify(program: Program) -> Program:
    """What is done when no derivative is left to take."""
    program = _walk(program, _without_stops)
    program = _walk(program, _folded)
    program = _walk(program, _stabilised)
    program = _inline(program)
    program = _walk(program, _factored)
    program = _walk(program, _contracted)
    program = _walk(program, _folded)
    return _walk(_share(program), _folded)


def _walk(program: Program, rebuild: Rebuild) -> Program:
    """Rebuild a program; `rebuild` may add something else for a definition and return it."""
    kept = {d.value.by for d in program.definitions if isinstance(d.value, Derivative)}
    builder = Builder()
    moved: dict[int, int] = {}
    for tensor, definition in enumerate(program.definitions):
        rebound = Definition(
            definition.type,
            definition.value.rebind(moved.__getitem__),
            definition.label,
            definition.origin,
        )
        if tensor in kept:
            moved[tensor] = builder.add(rebound.value, rebound.label, rebound.origin, alone=True)
            continue
        added = rebuild(builder, rebound)
        if added is None:
            added = builder.add(rebound.value, rebound.label, rebound.origin)
        else:
            builder.relabel(added, rebound.label, rebound.origin)
        moved[tensor] = added
    outputs = {name: moved[tensor] for name, tensor in program.outputs.items()}
    return without_dead_code(builder.program(outputs))


# --- fold ------------------------------------------------------------------------------------


def _folded(program: Builder, definition: Definition) -> int | None:
    """Read through literals and index maps; number constants are literals."""
    value = definition.value
    if not isinstance(value, Kernel):
        return None
    if value.reduction != "sum":
        access = _source(program, value.accesses[0])
        folded = kernel(value.output, value.sizes, slot(0), [access], value.reduction)
        return program.add(folded, definition.label, definition.origin)
    replacements: dict[sp.Symbol, sp.Expr] = {}
    accesses: list[Access] = []
    for position, access in enumerate(value.accesses):
        access = _source(program, access)
        source = program[access.tensor].value
        written = _written_out(source)
        if written is not None and not program.kept(access.tensor):
            replacements[slot(position)] = written
        accesses.append(access)
    body = value.body.xreplace(replacements) if replacements else value.body
    folded = kernel(value.output, value.sizes, canonical(body), accesses)
    if folded.is_index_map and _unchanged(program, folded):
        return folded.accesses[0].tensor
    return program.add(folded, definition.label, definition.origin)


def _written_out(value: Value) -> sp.Expr | None:
    """A literal's number, which stands in the body of its readers."""
    if isinstance(value, Kernel) and value.is_literal:
        return value.body
    if isinstance(value, Literal) and value.data.ndim == 0 and value.data.dtype.kind != "b":
        return number(value.data.item()) if np.isfinite(value.data) else None
    return None


def _source(program: Builder, access: Access) -> Access:
    """The access behind an index map: what it reads, with the indices composed.

    A map that the user named stays, so that the code speaks of it; NumPy makes it a view.
    """
    source = program[access.tensor].value
    stays = program.kept(access.tensor) or program[access.tensor].label.exact
    if isinstance(source, Kernel) and source.is_index_map and not stays:
        return composed(source, source.accesses[0], access.indices)
    return access


def composed(source: Kernel, inner: Access, indices: Indices) -> Access:
    """`inner`, an access inside `source`, seen from a kernel that reads source at `indices`."""
    outer = dict(zip(source.output, indices, strict=True))
    return Access(inner.tensor, tuple(None if i is None else outer[i] for i in inner.indices))


def _unchanged(program: Builder, value: Kernel) -> bool:
    (access,) = value.accesses
    return access.indices == value.output and not program.kept(access.tensor)


def _without_stops(program: Builder, definition: Definition) -> int | None:
    """When all derivatives are taken, nothing has to be stopped."""
    value = definition.value
    return value.source if isinstance(value, StopGradient) else None


# --- stabilise -------------------------------------------------------------------------------


def _stabilised(program: Builder, definition: Definition) -> int | None:
    value = definition.value
    if not isinstance(value, Kernel) or not value.elementwise:
        return None
    if not value.body.has(sp.log, sp.Pow, sp.exp) and not _masked(value.body):
        return None
    shifted = _shifted_exponentials(program, value, definition)
    if shifted is not None:
        return shifted
    wide = _read_through(program, value)
    body, applied = rewritten(wide.body)
    undone = value.body.has(sp.log) and not body.has(sp.log)  # SymPy itself: log(exp(x)) is x
    if not applied and not undone:
        return None
    return program.add(
        kernel(wide.output, wide.sizes, body, wide.accesses), definition.label, definition.origin
    )


def _masked(body: sp.Expr) -> bool:
    return isinstance(body, sp.Mul) and any(type(part).__name__ == "where" for part in body.args)


def _read_through(program: Builder, value: Kernel, depth: int = 3) -> Kernel:
    """The kernel with the elementwise kernels that it reads written out in its body."""
    for _ in range(depth):
        through = [
            position
            for position, access in enumerate(value.accesses)
            if isinstance(source := program[access.tensor].value, Kernel)
            and source.elementwise
            and source.accesses
            and not program.kept(access.tensor)
            and cost(source.body) + cost(value.body) < 20
        ]
        if not through:
            break
        value = substituted(program, value, through)
    return value


def substituted(program: Builder, value: Kernel, positions: list[int]) -> Kernel:
    """The kernel with some operands, elementwise kernels themselves, replaced by their bodies."""
    accesses = list(value.accesses)
    replacements: dict[sp.Symbol, sp.Expr] = {}
    for position in positions:
        access = value.accesses[position]
        source = program[access.tensor].value
        assert isinstance(source, Kernel)
        inner: dict[sp.Symbol, sp.Expr] = {}
        for at, read in enumerate(source.accesses):
            inner[slot(at)] = slot(len(accesses))
            accesses.append(composed(source, read, access.indices))
        replacements[slot(position)] = source.body.xreplace(inner)
    body = canonical(value.body.xreplace(replacements))
    return kernel(value.output, value.sizes, body, accesses)


def _shifted_exponentials(program: Builder, value: Kernel, definition: Definition) -> int | None:
    """log-sum-exp: log Σ c·exp(x) → m + log Σ c·exp(x - m) with m = max x;
    softmax: exp(x) / Σ exp(x) → exp(x - m) / Σ exp(x - m).

    m is a constant for derivatives, which is exact: neither side depends on it.
    """
    for position, access in enumerate(value.accesses):
        total = program[access.tensor].value
        if not isinstance(total, Kernel) or total.elementwise or program.kept(access.tensor):
            continue
        wide = _read_through(program, total)
        exponent = _exponent_of(wide.body)
        if exponent is None or total.reduction != "sum" or _is_shifted(program, wide):
            continue
        logarithm = log(slot(position))
        if value.body.has(logarithm):
            reader = value
        elif value.body.has(1 / slot(position)):
            reader = _read_through(program, value, 1)
            if access not in reader.accesses or _exponent_of(reader.body, True) is None:
                continue
        else:
            continue
        shifted, peak = _around_peak(program, wide, exponent, definition)
        accesses = [*reader.accesses, Access(shifted, access.indices), Access(peak, access.indices)]
        sum_, top = slot(len(accesses) - 2), slot(len(accesses) - 1)
        old = slot(reader.accesses.index(access))
        if reader is value:
            body = value.body.xreplace({logarithm: top + log(sum_)})
        else:
            numerator = _exponent_of(reader.body, True)
            body = reader.body.xreplace({exp(numerator): exp(numerator - top), old: sum_})
        return program.add(
            kernel(value.output, value.sizes, body, accesses), definition.label, definition.origin
        )
    return None


def _exponent_of(body: sp.Expr, anywhere: bool = False) -> sp.Expr | None:
    """x, where the body is exp(x) times what has no operand, or (anywhere) times anything."""
    exponents = [part.args[0] for part in sp.Mul.make_args(body) if type(part) is sp.exp]
    rest = [part for part in sp.Mul.make_args(body) if type(part) is not sp.exp]
    if len(exponents) != 1 or (not anywhere and any(slots_of(part) for part in rest)):
        return None
    return exponents[0]


def _around_peak(
    program: Builder, total: Kernel, exponent: sp.Expr, definition: Definition
) -> tuple[int, int]:
    """Σ c·exp(x - m) and m, for a kernel Σ c·exp(x)."""
    name = definition.label.name
    space = _exponent(program, total, exponent, name)
    peak = program.add(
        kernel(total.output, total.sizes, slot(0), [space], "max"),
        Label(f"{name}_max"),
        definition.origin,
    )
    peak = program.add(StopGradient(peak), Label(f"{name}_max"), definition.origin)
    coefficient = sp.Mul(*(one for one in sp.Mul.make_args(total.body) if type(one) is not sp.exp))
    shifted = kernel(
        total.output,
        total.sizes,
        coefficient * exp(slot(0) - slot(1)),
        [space, Access(peak, total.output)],
    )
    return program.add(shifted, Label(f"{name}_total"), definition.origin), peak


def _is_shifted(program: Builder, total: Kernel) -> bool:
    """Whether a maximum is subtracted already inside a sum of exponentials."""
    for access in total.accesses:
        source = program[access.tensor].value
        while isinstance(source, StopGradient):
            source = program[source.source].value
        if isinstance(source, Kernel) and source.reduction == "max":
            return True
    return False


def _exponent(program: Builder, total: Kernel, exponent: sp.Expr, name: str) -> Access:
    """What is exponentiated, as one tensor over all indices of the sum."""
    everything = tuple(range(len(total.sizes)))
    if isinstance(exponent, sp.Symbol):
        access = total.accesses[slots_of(exponent)[0]]
        if set(access.indices) >= set(everything):
            return access
    tensor = program.add(
        kernel(everything, total.sizes, exponent, total.accesses), Label(f"{name}_exponent")
    )
    return Access(tensor, everything)


# --- inline ----------------------------------------------------------------------------------


def _inline(program: Program) -> Program:
    """Join elementwise kernels that are read once, and that the user did not name."""
    readers = [len(consumers) for consumers in program.consumers()]
    for tensor in program.outputs.values():
        readers[tensor] += 1
    single: set[int] = set()  # tensors of the new program that may vanish into their reader
    builder = Builder()
    moved: dict[int, int] = {}
    for tensor, definition in enumerate(program.definitions):
        value = definition.value.rebind(moved.__getitem__)
        if isinstance(value, Kernel) and value.reduction == "sum":
            positions = [
                position
                for position, access in enumerate(value.accesses)
                if access.tensor in single and _joins(builder, value, position, access.tensor)
            ]
            if positions:
                value = substituted(builder, value, positions)
            value = _merged_sum(builder, value, single)
        moved[tensor] = builder.add(value, definition.label, definition.origin)
        joinable = isinstance(value, Kernel) and value.reduction == "sum" and value.accesses
        if joinable and readers[tensor] == 1 and not definition.label.exact:
            single.add(moved[tensor])
        else:
            single.discard(moved[tensor])
    outputs = {name: moved[tensor] for name, tensor in program.outputs.items()}
    return without_dead_code(builder.program(outputs))


def _joins(program: Builder, value: Kernel, position: int, tensor: int) -> bool:
    source = program[tensor].value
    assert isinstance(source, Kernel)
    if not source.elementwise:
        return False
    if len(source.body.args) > 1 and _occurrences(value.body, slot(position)) > 1:
        return False
    return bool(source.body.count_ops() + value.body.count_ops() <= LARGEST_BODY)


def _merged_sum(program: Builder, value: Kernel, single: set[int]) -> Kernel:
    """sum of sums: Σ_i c·Σ_j x[i, j] → Σ_ij c·x[i, j], where the inner sum is read once."""
    if value.elementwise or len(value.accesses) != 1:
        return value
    (access,) = value.accesses
    source = program[access.tensor].value
    if access.tensor not in single or not isinstance(source, Kernel) or source.elementwise:
        return value
    coefficient, rest = value.body.as_independent(slot(0), as_Add=False)
    if rest != slot(0) or not set(value.reduced) <= set(access.indices):
        return value
    inner = dict(zip(source.output, access.indices, strict=True))
    sizes = list(value.sizes)
    for index in source.reduced:
        inner[index] = len(sizes)
        sizes.append(source.sizes[index])
    accesses = [
        Access(one.tensor, tuple(None if i is None else inner[i] for i in one.indices))
        for one in source.accesses
    ]
    return kernel(value.output, sizes, coefficient * source.body, accesses)


def _occurrences(body: sp.Expr, symbol: sp.Symbol) -> int:
    return sum(part == symbol for part in sp.preorder_traversal(body))


# --- factor ----------------------------------------------------------------------------------


def _factored(program: Builder, definition: Definition) -> int | None:
    """common factor: x / n - y / n → (x - y) / n, where that costs less."""
    value = definition.value
    if not isinstance(value, Kernel) or not value.body.has(sp.Add) or value.reduction != "sum":
        return None
    body = _common_factors(value.body)
    if body == value.body:
        return None
    return program.add(
        kernel(value.output, value.sizes, body, value.accesses), definition.label, definition.origin
    )


@lru_cache(maxsize=65536)
def _common_factors(body: sp.Expr) -> sp.Expr:
    """The body with what all terms of a sum share, the number included, in front of the sum."""
    if not body.args or not body.has(sp.Add):
        return body
    body = body.func(*(_common_factors(part) for part in body.args))
    if not isinstance(body, sp.Add):
        return body
    split = [term.as_coeff_Mul() for term in body.args]
    factors = [sp.Mul.make_args(rest) for _, rest in split]
    common = [one for one in factors[0] if all(one in other for other in factors[1:])]
    size = abs(split[0][0])
    if any(abs(coefficient) != size for coefficient, _ in split):
        size = sp.Integer(1)
    rest = [
        sp.Mul(coefficient / size, *(one for one in parts if one not in common))
        for (coefficient, _), parts in zip(split, factors, strict=True)
    ]
    factored = sp.Mul(size, *common, sp.Add(*rest))
    return factored if cost(factored) < cost(body) else body


# --- contract --------------------------------------------------------------------------------


def _contracted(program: Builder, definition: Definition) -> int | None:
    value = definition.value
    if not isinstance(value, Kernel) or value.elementwise or value.reduction != "sum":
        return None
    return sum_of_products(program, value, definition.label, definition.origin)


# --- share -----------------------------------------------------------------------------------


def _share(program: Program) -> Program:
    """Make every expensive subexpression that occurs twice, in one body or in two, a tensor."""
    counts: Counter[Kernel] = Counter()
    for definition in program.definitions:
        if isinstance(definition.value, Kernel):
            counts.update(part for _, part in _expensive(definition.value))
    if all(count < 2 for count in counts.values()):
        return program
    builder = Builder()
    moved: dict[int, int] = {}
    for tensor, definition in enumerate(program.definitions):
        value = definition.value
        if isinstance(value, Kernel):
            accesses = [Access(moved[one.tensor], one.indices) for one in value.accesses]
            replacements: dict[sp.Expr, sp.Expr] = {}
            for expression, part in _expensive(value):
                if counts[part] > 1 and part != value and expression not in replacements:
                    label = Label(f"{definition.label.name}_{_called(expression)}")
                    shared = builder.add(part.rebind(moved.__getitem__), label, definition.origin)
                    replacements[expression] = slot(len(accesses))
                    accesses.append(Access(shared, value.order(expression)))
            body = value.body.xreplace(replacements)
            rebuilt: Value = kernel(value.output, value.sizes, body, accesses, value.reduction)
        else:
            rebuilt = value.rebind(moved.__getitem__)
        moved[tensor] = builder.add(rebuilt, definition.label, definition.origin)
    outputs = {name: moved[tensor] for name, tensor in program.outputs.items()}
    return without_dead_code(builder.program(outputs))


def _called(expression: sp.Expr) -> str:
    return "sqrt" if isinstance(expression, sp.Pow) else type(expression).__name__.lower()


def _expensive(value: Kernel) -> Iterator[tuple[sp.Expr, Kernel]]:
    """Functions and roots in a body, each with the kernel that would compute it alone."""
    if value.reduction != "sum":
        return
    for part in sp.preorder_traversal(value.body):
        if not slots_of(part) or not part.args or cost(part) < 0.7:
            continue
        if isinstance(part, (sp.Function, sp.exp)) or (
            isinstance(part, sp.Pow) and not part.exp.is_Integer
        ):
            yield part, value.part(part)
