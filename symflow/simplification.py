"""Program → Program: the same values from fewer, larger and stabler kernels.

Each pass walks the program once, forwards, and rebuilds it; tensors that derivatives are still to
be taken by (`kept`) stay as they are. The passes in order:

    fold       literals and index maps vanish into the kernels that read them
    solve      products with inverses become linear systems (`solving.py`)
    stabilise  what overflows or loses digits is replaced (`stabilisation.py`, `rules.py`)
    inline     an elementwise kernel that is read once, and has no name, joins its reader; a sum
               takes the order of axes in which its only reader wants it
    factor     a factor common to all terms is taken out of a sum
    distribute products with sums over different indices, where that is cheaper (`affine.py`)
    contract   sums become contractions or plain reductions (`contraction.py`)
    scale      scalars are multiplied where the fewest elements are (`scaling.py`)
    powers     the base of a power that is written as products becomes a tensor of its own
    share      an expensive subexpression that occurs twice becomes a tensor of its own

Common subexpressions vanish in every pass, since equal values are one tensor; dead code after
every pass.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import lru_cache, partial
from typing import Any

import numpy as np
import sympy as sp
from numpy.typing import NDArray
from sympy.logic.boolalg import Boolean

import symflow.source as source
from symflow.affine import distributed
from symflow.arithmetic import undistributed
from symflow.bodies import Body, Kinds
from symflow.contraction import called, sum_of_products
from symflow.elementwise import canonical, function_of
from symflow.motion import hoisted, last_entries, sunk, tidied
from symflow.program import (
    Access,
    Builder,
    Definition,
    Derivative,
    Kernel,
    Label,
    Program,
    Value,
    kernel,
    literal,
    number,
    operations_in,
    slot,
    slots_of,
    without_dead_code,
)
from symflow.program import Constant as Literal
from symflow.recurrence import in_bodies
from symflow.rows import difference_of_squares, to_float
from symflow.rules import Phase, cost
from symflow.scaling import scaled
from symflow.solving import solve_for_products
from symflow.stabilisation import ALL_RULES, Rewrite, Rules, Stabiliser
from symflow.substitution import composed, parts_sum, substituted, takes_root_apart
from symflow.text import Text
from symflow.views import StopGradient

LARGEST_BODY = 16
"""Operations in one body beyond which nothing more is inlined: SymPy walks trees, not graphs."""

_NO_NUMBERS = (sp.zoo, sp.nan, sp.oo, sp.S.NegativeInfinity, sp.I)
"""What SymPy makes of a function outside of its domain."""

Rebuild = Callable[[Builder, Definition], "int | None"]


@undistributed
def simplify_forward(program: Program, rules: Rules = ALL_RULES) -> Program:
    """What is done before derivatives are taken."""
    program = in_bodies(program, partial(simplify_forward, rules=rules))
    program = _walk(program, _folded)
    program = solve_for_products(program, rules)
    program = _stabilised(program, "written", rules)
    return hoisted(_walk(program, last_entries))


@undistributed
def simplify(program: Program, rules: Rules = ALL_RULES) -> Program:
    """What is done when no derivative is left to take."""
    program = tidied(_walk(program, _folded_without_stops))
    program = sunk(in_bodies(program, partial(simplify, rules=rules)))
    program = _walk(_walk(program, _folded), _with_squares_apart)
    program = _stabilised(program, "computed", rules)
    program = _inline(program)
    program = _walk(program, _with_factors_out)
    program = distributed(program, rules)
    program = _walk(program, _contracted)
    program = _walk(scaled(_walk(program, _folded)), _folded)
    program = _walk(_share(_walk(program, _with_bases)), _folded)
    return _walk(program, _without_absent)


@undistributed
def fold(program: Program) -> Program:
    """The same kernels, reading through literals and renamed axes."""
    return _walk(program, _folded)


def _stabilised(program: Program, phase: Phase, rules: Rules) -> Program:
    applied: list[tuple[int, Rewrite]] | None = None if rules.applied is None else []
    stabiliser = Stabiliser(phase, rules.without, applied)
    rebuilt = _rebuilt(program, stabiliser)
    if rules.applied is not None:
        live = rebuilt.live()
        rules.applied.extend(one for tensor, one in applied or () if live[tensor])
    return without_dead_code(rebuilt)


def _walk(program: Program, rebuild: Rebuild) -> Program:
    """Rebuild a program; `rebuild` may add something else for a definition and return it."""
    return without_dead_code(_rebuilt(program, rebuild))


def _rebuilt(program: Program, rebuild: Rebuild) -> Program:
    kept = {d.value.by for d in program.definitions if isinstance(d.value, Derivative)}
    builder = Builder()
    moved: dict[int, int] = {}
    for tensor, definition in enumerate(program.definitions):
        rebound, value = definition, definition.value.rebind(moved.__getitem__)
        if value is not definition.value:
            rebound = Definition(definition.type, value, definition.label, definition.origin)
        if tensor in kept:
            moved[tensor] = builder.add(rebound.value, rebound.label, rebound.origin, alone=True)
            continue
        added = rebuild(builder, rebound)
        if added is None:
            added = builder.copy(program, definition, rebound.value, moved)
        else:
            builder.relabel(added, rebound.label, rebound.origin)
        moved[tensor] = added
    outputs = {name: moved[tensor] for name, tensor in program.outputs.items()}
    return builder.program(outputs)


# --- fold ------------------------------------------------------------------------------------


def _folded(program: Builder, definition: Definition) -> int | None:
    """Read through literals and index maps; constants of one number are literals."""
    value = definition.value
    if isinstance(value, Literal) and value.data.ndim and value.data.dtype.kind == "f":
        first = value.data.flat[0]
        if np.isfinite(first) and np.all(value.data == first):
            filled = literal(number(first.item()), definition.type.shape)
            return program.add(filled, definition.label, definition.origin)
    if not isinstance(value, Kernel):
        return None
    if value.reduction != "sum":
        access = _source(program, value.accesses[0])
        folded = kernel(value.output, value.sizes, slot(0), [access], value.reduction)
        return program.add(folded, definition.label, definition.origin)
    replacements: dict[sp.Expr, sp.Expr] = {}
    accesses: list[Access] = []
    numbers: list[float] = []
    for position, access in enumerate(value.accesses):
        access = _source(program, access)
        source = program[access.tensor].value
        written = _written_out(source)
        if program.kept(access.tensor):  # what is differentiated by stays, whatever its value
            accesses.append(access)
            continue
        if written is not None and written.is_number:
            numbers.append(float(written))
        elif isinstance(source, Literal) and source.data.ndim == 0:
            numbers.append(source.data.item())  # ±∞ or NaN, which no body holds
        if written is not None:
            is_truth = program[access.tensor].type.dtype == "bool"
            replaced = to_float(slot(position)) if is_truth else slot(position)
            replacements[replaced] = written
        accesses.append(access)
    body = _put_in(value.body, replacements) if replacements else canonical(value.body)
    beyond = not body.is_number and not value.is_index_map
    if beyond and value.elementwise and len(numbers) == len(accesses) > 0:
        result = _outside(value, numbers)
        if result is not None and definition.type.dtype == "float":
            found = program.add(Literal.of(result), definition.label, definition.origin)
            everywhere = kernel(value.output, value.sizes, slot(0), [Access(found, ())])
            return program.add(everywhere, definition.label) if value.output else found
    unchanged = body is value.body and tuple(accesses) == value.accesses
    folded = value if unchanged else kernel(value.output, value.sizes, body, accesses)
    if folded.is_literal and body.is_Integer and definition.type.dtype != "float":
        return _whole(program, folded, definition)
    types = [program[operand].type for operand in folded.operands]
    if folded.infer(types).dtype != definition.type.dtype:
        return None  # a number alone is a float: where(x, 1, 0) is of integers as it stands
    if folded.is_index_map and _unchanged(program, folded):
        return folded.accesses[0].tensor
    return None if unchanged else program.add(folded, definition.label, definition.origin)


def _whole(program: Builder, value: Kernel, definition: Definition) -> int:
    """An integer or a truth everywhere, as a constant: as a literal it would be a float."""
    kind = bool if definition.type.dtype == "bool" else int
    found = Literal.of(np.array(kind(value.body)))
    if not value.output:
        return program.add(found, definition.label, definition.origin)
    number = program.add(found, Label(definition.label.name))
    everywhere = kernel(value.output, value.sizes, slot(0), [Access(number, ())])
    return program.add(everywhere, definition.label, definition.origin)


def _put_in(body: sp.Expr, numbers: Mapping[sp.Expr, sp.Expr]) -> sp.Expr:
    """The body with numbers in place of slots, or as it is where SymPy has no number for that:
    of log(0), NumPy says -inf."""
    try:
        found = canonical(body.xreplace(numbers))
    except TypeError:  # a comparison with what is no number
        return body
    return found if _has_values(found) else body


def _has_values(body: Any) -> bool:
    """Whether all that can be computed of a body now is finite and real."""
    if body.has(*_NO_NUMBERS):
        return False
    if not all(_has_values(part) for part in body.args):
        return False
    if not body.is_number or isinstance(body, Boolean):
        return True
    try:
        return math.isfinite(float(body))
    except (TypeError, ValueError, OverflowError):
        return False


def _outside(value: Kernel, numbers: Sequence[float]) -> NDArray[Any] | None:
    """What NumPy says of a function of numbers that are outside of its domain, if it knows it."""
    texts = [Text(f"np.float64({source.literal(one)})") for one in numbers]
    body = Body(value, texts, value.output, Kinds.of_floats(value))
    written = body.text(value.body).source
    with np.errstate(all="ignore"), suppress(NameError, ZeroDivisionError):
        return np.array(eval(written, {"np": np, "dtype": np.dtype(float)}), float)
    return None


def _written_out(value: Value) -> sp.Expr | None:
    """A literal's number, which stands in the body of its readers: that of a truth, 1 or 0, where
    it is read as a number."""
    if isinstance(value, Kernel) and value.is_literal:
        return value.body
    if isinstance(value, Literal) and value.data.ndim == 0:
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


def _unchanged(program: Builder, value: Kernel) -> bool:
    (access,) = value.accesses
    return access.indices == value.output and not program.kept(access.tensor)


def _folded_without_stops(program: Builder, definition: Definition) -> int | None:
    """When all derivatives are taken, nothing has to be stopped."""
    value = definition.value
    return value.source if isinstance(value, StopGradient) else _folded(program, definition)


def _with_squares_apart(program: Builder, definition: Definition) -> int | None:
    """x² - y² is a product, once nobody asks for its derivative."""
    value = definition.value
    if not isinstance(value, Kernel):
        return None
    body = _with_factors(value.body)
    if body is value.body:
        return None
    factored = kernel(value.output, value.sizes, body, value.accesses)
    return program.add(factored, definition.label, definition.origin)


@lru_cache(maxsize=65536)
def _with_factors(body: sp.Expr) -> sp.Expr:
    function = function_of(difference_of_squares)
    if not body.has(function):
        return body
    return body.replace(function, lambda x, y: (x - y) * (x + y))


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
        value = rebound = definition.value.rebind(moved.__getitem__)
        if isinstance(value, Kernel) and value.reduction == "sum":
            positions = [
                position
                for position, access in enumerate(value.accesses)
                if access.tensor in single and _joins(builder, value, position, access.tensor)
            ]
            if positions:
                joined = substituted(builder, value, positions)
                value = joined if _is_within_range(joined.body) else value
            value = _merged_map(builder, _merged_sum(builder, value, single), single)
        if value is rebound:
            moved[tensor] = builder.copy(program, definition, value, moved)
        else:
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
    if takes_root_apart(value.body, position, source.body):
        return False
    if parts_sum(value.body, position, source.body):
        return False
    return operations_in(source.body) + operations_in(value.body) <= LARGEST_BODY


@lru_cache(maxsize=65536)
def _is_within_range(body: sp.Expr) -> bool:
    """Whether all numbers in a body are far from those that a float holds no more, as is the
    square of the one in (1e-200·x)².
    """
    return all(one == 0 or 1e-250 < abs(one) < 1e250 for one in body.atoms(sp.Rational))


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


def _merged_map(program: Builder, value: Kernel, single: set[int]) -> Kernel:
    """transpose of a sum: y[j, i], y[i, j] = Σ_k x[i, k]·w[k, j] → Σ_k x[i, k]·w[k, j] over [j, i],
    where y is read once.
    """
    if not value.is_index_map:
        return value
    (access,) = value.accesses
    source = program[access.tensor].value
    if access.tensor not in single or not isinstance(source, Kernel) or source.elementwise:
        return value
    inner = dict(zip(access.indices, source.output, strict=True))
    if any(index is not None and index not in inner for index in value.output):
        return value
    output = [None if index is None else inner[index] for index in value.output]
    return kernel(output, source.sizes, source.body, source.accesses)


@lru_cache(maxsize=65536)
def _occurrences(body: sp.Expr, symbol: sp.Symbol) -> int:
    return sum(part == symbol for part in sp.preorder_traversal(body))


# --- factor ----------------------------------------------------------------------------------


def _factored(value: Kernel) -> Kernel:
    """common factor: x / n - y / n → (x - y) / n, where that costs less."""
    body = _common_factors(value.body)
    return value if body == value.body else kernel(value.output, value.sizes, body, value.accesses)


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


def _with_factors_out(program: Builder, definition: Definition) -> int | None:
    value = definition.value
    if not isinstance(value, Kernel) or value.reduction != "sum":
        return None
    factored = _factored(value)
    unchanged = factored is value
    return None if unchanged else program.add(factored, definition.label, definition.origin)


def _contracted(program: Builder, definition: Definition) -> int | None:
    value = definition.value
    if not isinstance(value, Kernel) or value.elementwise or value.reduction != "sum":
        return None
    return sum_of_products(program, value, definition.label, definition.origin)


def _without_absent(program: Builder, definition: Definition) -> int | None:
    """A sum over an index that nothing carries any more, once what it reads is shared."""
    value = definition.value
    if isinstance(value, Kernel) and not value.carried(value.body).issuperset(value.reduced):
        return _contracted(program, definition)
    return None


# --- powers ----------------------------------------------------------------------------------


def _with_bases(program: Builder, definition: Definition) -> int | None:
    """What is multiplied by itself more than once is a tensor: (x + y)³ → s³, s = x + y."""
    value = definition.value
    if not isinstance(value, Kernel) or value.reduction != "sum":
        return None
    accesses = list(value.accesses)
    bases: dict[sp.Expr, sp.Expr] = {}
    for power in sorted(value.body.atoms(sp.Pow), key=sp.default_sort_key):
        base, exponent = power.base, abs(power.exp)
        if base.args and slots_of(base) and exponent in (3, 5, 6, 7) and base not in bases:
            added = program.add(value.part(base), Label(f"{definition.label.name}_{called(base)}"))
            bases[base] = slot(len(accesses))
            accesses.append(Access(added, value.order(base)))
    if not bases:
        return None
    body = value.body.xreplace(bases)
    powered = kernel(value.output, value.sizes, body, accesses)
    return program.add(powered, definition.label, definition.origin)


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
