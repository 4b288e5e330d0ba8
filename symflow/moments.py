"""Losses that are quadratic in the parameters, from moments of the data that are computed once.

Let θ = θ₀ + δ. Where every gradient is affine in θ, exactly

    g(θ) = g(θ₀) + H·δ        L(θ) = L(θ₀) + ½⟨δ, g(θ₀) + g(θ)⟩

and H, the second derivative, depends on the data alone: for the mean of (x·w - y)² it is
2/n·Σ_n x[n, i]·x[n, k]. A step of training costs as much as H is large, however much data there
is. L(θ₀) and g(θ₀) come from the loss and its gradients, computed from the data as ever.

Why this form and not wᵀGw - 2wᵀc + yᵀy: there, three large numbers leave a small loss, and what
they round away is large next to it (a relative error of 1e-3 where the noise is 1e-5). Here L(θ₀)
is a sum of squares of residuals, which cancels nothing, and what is added to it is as small as
the loss has changed. The rounding of one step is about ε·L(θ₀), so the relative error of L(θ) is
ε·L(θ₀)/L(θ); once the loss has fallen by `RECENTRE`, θ₀ should move to θ, which costs one
ordinary gradient. Without that a loss that fell from 10 to 1e-10 was wrong by 6e-5 of itself,
with it by 1e-11, and by 1e-8 where features are around 1000 (`tests/test_moments.py`).

How H·δ is found: the part of every tensor that is linear in δ is a sum of products, each of them
of the data and of one δ, and a kernel on one operand carries products to products. In the product

    d_w[i] = Σ_n Σ_k 2/n·x[n, i]·x[n, k]·δ_w[k]

the factors of data are summed over all indices that neither the gradient nor δ has. What is left
of them is a moment; equal moments are one tensor.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import sympy as sp

from symflow.arithmetic import undistributed
from symflow.invariants import dependent, nominal, work
from symflow.polynomials import degree
from symflow.products import LINEAR_VIEWS, Expansion
from symflow.program import (
    Access,
    Builder,
    Input,
    Kernel,
    Label,
    Program,
    Type,
    Value,
    check,
    indices_of,
    kernel,
    slot,
    without_dead_code,
)
from symflow.simplification import fold, simplify
from symflow.stabilisation import ALL_RULES, Rules
from symflow.views import StopGradient

RECENTRE: dict[str, float] = {"float64": 1e-4, "float32": 1e-1}
"""By precision: the share of L(θ₀) below which L(θ) should become the new L(θ₀)."""

LARGEST = 2
"""How large an array may be on the way to the moments, next to all of the data."""

_OF_MASKS = frozenset({"masked-product", "masked-product-no", "masked-factor", "masked-factor-no"})
"""Rules that would write the factors of a moment into a `where`: then it is no matrix product.

They keep 0·∞ out of what a mask leaves out. A moment holds the mask itself, and the data behind it
only in rows of a matrix product, of which the ordinary gradient multiplies the same by 0.
"""


@dataclass(frozen=True)
class Quadratic:
    """A loss and its gradients from moments, and what that saves.

    moments   from the placeholders: outputs `moment_x_x`, ...; no parameter is read
    step      inputs: for every parameter, under its name, how far it is from θ₀; the moments,
              under the names of `moments.outputs`; and the loss and the gradients at θ₀, as
              `start` names them. Outputs: `loss`, and `d_w`, ... for every parameter
    start     from each output of `step` to the input that is its value at θ₀
    once      nanoseconds to compute the moments, as a formula in the sizes such as n
    each      the same for one `step`
    ordinary  the same for the loss and its gradients from the data
    """

    moments: Program
    step: Program
    start: Mapping[str, str]
    once: sp.Expr
    each: sp.Expr
    ordinary: sp.Expr

    def break_even(self, sizes: Mapping[str, int] | None = None) -> float:
        """After how many steps the moments have paid; a size that is not given is nominal."""
        saved = nominal(self.ordinary - self.each, sizes)
        return nominal(self.once, sizes) / saved if saved > 0 else float("inf")


def quadratic(
    program: Program, parameters: Sequence[str], rules: Rules = ALL_RULES
) -> Quadratic | None:
    """The loss in terms of moments, where it is quadratic, and where that is less work.

    program     has outputs `loss` and, for every parameter, `d_<parameter>`, and no derivative
                left to take. It should be the program before simplification: a `stop_gradient`,
                with which `d_w` is not the derivative of `loss`, cannot be seen after it
    parameters  names of inputs
    rules       for the simplification of both programs

    None where `expanded` gives none; where the moments are no smaller than the data, or need
    larger arrays on the way; where a step is no less work than the ordinary one.
    """
    found = expanded(program, parameters, rules)
    return found if found is not None and _pays(found) else None


@undistributed
def expanded(
    program: Program, parameters: Sequence[str], rules: Rules = ALL_RULES
) -> Quadratic | None:
    """The same whatever it costs.

    None where it is not plain from the bodies of the kernels that the loss is a polynomial of
    degree two and every gradient one of degree one; where nothing depends on the data; where a
    moment would have a size that is known only when the program runs.
    """
    names = {name: f"d_{name}" for name in parameters}
    wanted = {name: program.outputs[name] for name in ("loss", *names.values())}
    whole = without_dead_code(Program(program.definitions, wanted))
    source = fold(whole)
    if not _is_quadratic(source, parameters):
        return None
    expansion = Expansion(source, parameters)
    live = source.live([source.outputs[name] for name in names.values()])
    for tensor, one in enumerate(source.definitions):
        if (live[tensor] or isinstance(one.value, Input)) and not expansion.add(tensor):
            return None
    changes = {d: expansion.linear_part(source.outputs[d]) for d in names.values()}
    change = expansion.builder.program(expansion.changes | changes)
    called = _moments_of(change, parameters)
    if not called or any(
        size.free_symbols for tensor in called for size in change[tensor].type.shape
    ):
        return None
    moments = _from_data(change, parameters, called)
    step, start = _from_moments(change, names, called)
    moments = check(simplify(moments, replace(rules, without=rules.without | _OF_MASKS)))
    step = check(simplify(step, rules))
    ordinary = simplify(whole, rules)
    reads = dependent(ordinary, parameters)
    return Quadratic(
        moments,
        step,
        start,
        work(moments, range(len(moments.definitions))),
        work(step, range(len(step.definitions))),
        work(ordinary, (tensor for tensor, moving in enumerate(reads) if moving)),
    )


def _pays(found: Quadratic) -> bool:
    """Whether moments are smaller than the data, and a step is less work."""
    data = [one for one in found.moments.definitions if not one.value.operands]
    moments = [found.moments[tensor] for tensor in found.moments.outputs.values()]
    stored, read = (
        nominal(sp.Add(*(sp.Mul(*one.type.shape) for one in tensors)))
        for tensors in (moments, data)
    )
    largest = max(nominal(sp.Mul(*one.type.shape)) for one in found.moments.definitions)
    return stored < read and largest <= LARGEST * read and found.break_even() < float("inf")


def _is_quadratic(program: Program, parameters: Sequence[str]) -> bool:
    """Whether the loss is a polynomial of degree two, and no gradient is stopped anywhere."""
    moving = dependent(program, parameters)
    live = program.live([program.outputs["loss"]])
    degrees: dict[int, int] = {}
    for tensor, definition in enumerate(program.definitions):
        value = definition.value
        if isinstance(value, StopGradient) and moving[tensor]:
            return False
        if not live[tensor] or not moving[tensor]:
            continue
        found: int | None = None
        reads = {at: degrees.get(one, 0) for at, one in enumerate(value.operands)}
        if isinstance(value, Input):
            found = 1
        elif isinstance(value, Kernel) and value.reduction == "sum":
            found = degree(value.body, reads)
        elif isinstance(value, LINEAR_VIEWS):
            found = max(reads.values())
        if found is None or found > 2:
            return False
        degrees[tensor] = found
    return True


# --- two programs ----------------------------------------------------------------------------


def _moments_of(program: Program, parameters: Sequence[str]) -> dict[int, str]:
    """What is read of the data where δ is, and how it is called."""
    moving = dependent(program, parameters)
    called: dict[int, str] = {}
    for tensor, definition in enumerate(program.definitions):
        for operand in definition.value.operands if moving[tensor] else ():
            if not moving[operand] and not _is_number(program[operand].value):
                name = f"moment_{program[operand].label.name}"
                called.setdefault(operand, _free(name, [*parameters, *called.values()]))
    return called


def _from_data(program: Program, parameters: Sequence[str], called: Mapping[int, str]) -> Program:
    """The moments, from what does not depend on the parameters."""
    moving = dependent(program, parameters)
    builder = Builder()
    moved: dict[int, int] = {}
    for tensor, definition in enumerate(program.definitions):
        if not moving[tensor]:
            value = definition.value.rebind(moved.__getitem__)
            moved[tensor] = builder.add(value, definition.label, definition.origin)
    return builder.program({name: moved[tensor] for tensor, name in called.items()})


def _from_moments(
    program: Program, gradients: Mapping[str, str], called: Mapping[int, str]
) -> tuple[Program, dict[str, str]]:
    """The loss and its gradients, and by which input the value of each at θ₀ is given.

    gradients  from each parameter, an output of `program` that is its δ, to its gradient, an
               output that is what δ adds to it
    """
    moving = dependent(program, list(gradients))
    builder = Builder()
    moved: dict[int, int] = {}
    for tensor, definition in enumerate(program.definitions):
        value = definition.value
        if tensor in called:
            value = Input(called[tensor], definition.type, "placeholder")
        elif not moving[tensor] and not _is_number(value):
            continue
        value = value.rebind(moved.__getitem__)
        moved[tensor] = builder.add(value, definition.label, definition.origin)
    taken = [*gradients, *called.values()]
    start = {name: _free(f"start_{name}", taken) for name in ("loss", *gradients.values())}
    at_start = builder.add(Input(start["loss"], Type(()), "placeholder"), Label("start_loss"))
    shares = [at_start]
    outputs: dict[str, int] = {}
    for parameter, name in gradients.items():
        change, added = (moved[program.outputs[one]] for one in (parameter, name))
        type_ = builder[change].type
        before = builder.add(Input(start[name], type_, "placeholder"), Label(f"start_{name}"))
        total = slot(0) + slot(1)
        outputs[name] = builder.elementwise(total, [before, added], Label(name, 2))
        indices, sizes = indices_of(type_.shape)
        accesses = [Access(one, indices) for one in (change, before, outputs[name])]
        share = kernel((), sizes, slot(0) * (slot(1) + slot(2)) / 2, accesses)
        shares.append(builder.add(share, Label("loss_change")))
    total = sp.Add(*(slot(number) for number in range(len(shares))))
    loss = builder.elementwise(total, shares, Label("loss", 2))
    return builder.program({"loss": loss} | outputs), start


def _is_number(value: Value) -> bool:
    """Whether a value is the same number everywhere, whatever the data are."""
    return isinstance(value, Kernel) and value.is_literal and not value.body.free_symbols


def _free(name: str, taken: Sequence[str]) -> str:
    """The name, with a number behind it if it is taken."""
    names = itertools.chain([name], (f"{name}_{number}" for number in itertools.count(2)))
    return next(one for one in names if one not in taken)
