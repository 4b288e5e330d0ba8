"""Program → Program: helper functions written out, so that calls in place can compute them.

A module of the plain style has a helper for what is more than one call of NumPy, such as
`_sigmoid`. Written out, its parts can be written to buffers, and functions of the same tensor
share what they have in common: softplus and sigmoid, a loss and its derivative, need one
exponential for both.

    decay(x)     =  exp(-|x|)                            never overflows
    sigmoid(x)   =  max(decay, x ≥ 0) / (1 + decay)
    softplus(x)  =  max(x, 0) + log1p(decay)
    elu(x, a)    =  max(x, 0) + a·expm1(min(x, 0))

These are the formulas of the helpers in `templates/helpers.py.j2`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import sympy as sp

from symflow.elementwise import Opaque
from symflow.errors import Location
from symflow.program import Access, Builder, Kernel, Label, Program, kernel, slot
from symflow.rows import ROWS, exp, expm1, greater_equal, log1p, minimum, to_float

_OF_DECAY: Mapping[str, Callable[[sp.Expr, sp.Expr], sp.Expr]] = {
    "sigmoid": lambda x, decay: ROWS["maximum"](decay, to_float(greater_equal(x, 0))) / (1 + decay),
    "softplus": lambda x, decay: ROWS["maximum"](x, 0) + log1p(decay),
}
"""Functions of x that have exp(-|x|) in common."""


def expanded(program: Program) -> Program:
    """The program without helpers that can be written out."""
    builder = Builder()
    moved: dict[int, int] = {}
    for tensor, definition in enumerate(program.definitions):
        value = definition.value.rebind(moved.__getitem__)
        if isinstance(value, Kernel) and value.reduction == "sum":
            value = _expanded(builder, value, definition.label, definition.origin)
        moved[tensor] = builder.add(value, definition.label, definition.origin)
    return builder.program({name: moved[tensor] for name, tensor in program.outputs.items()})


def _expanded(builder: Builder, value: Kernel, label: Label, origin: Location | None) -> Kernel:
    changed = value
    while (helper := _innermost(changed.body)) is not None:
        if type(helper).row.name == "elu":
            x, alpha = helper.args
            written = ROWS["maximum"](x, 0) + alpha * expm1(minimum(x, 0))
        else:
            changed, x = _tensor(builder, changed, helper.args[0], f"{label.name}_operand", origin)
            called = label.name if x.args else builder[_read(changed, x)].label.name
            changed, decay = _tensor(
                builder, changed, exp(-ROWS["abs"](x)), f"{called}_decay", origin
            )
            written = _OF_DECAY[type(helper).row.name](x, decay)
            helper = helper.func(x)
        changed = replace(changed, body=changed.body.xreplace({helper: written}))
    if changed is value:
        return value
    return kernel(value.output, value.sizes, changed.body, changed.accesses)


def _innermost(body: sp.Expr) -> Opaque | None:
    """A helper that has no other in its operands."""
    for part in sp.postorder_traversal(body):
        if isinstance(part, Opaque) and type(part).row.name in (*_OF_DECAY, "elu"):
            return part
    return None


def _tensor(
    builder: Builder, value: Kernel, part: sp.Expr, name: str, origin: Location | None
) -> tuple[Kernel, sp.Expr]:
    """A part of a body as a tensor of its own, and the slot that reads it."""
    if part.is_Symbol:
        return value, part
    tensor = builder.add(value.part(part), Label(name), origin)
    own = slot(len(value.accesses))
    accesses = (*value.accesses, Access(tensor, value.order(part)))
    return replace(value, body=value.body.xreplace({part: own}), accesses=accesses), own


def _read(value: Kernel, x: sp.Expr) -> int:
    """The tensor that a slot reads."""
    return next(one.tensor for number, one in enumerate(value.accesses) if slot(number) == x)
