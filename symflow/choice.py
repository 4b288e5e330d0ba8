"""How the functions inside a module of the fast style are told what is wanted of them."""

from __future__ import annotations

from dataclasses import dataclass

from symflow.scaling import RATE


@dataclass(frozen=True)
class Choice:
    """The argument by which `_block` and `_evaluate` know whether gradients are wanted.

    stop   the condition under which only the loss is
    whole  the argument for the gradient of the loss, and `alone` for the loss
    doc    of `_evaluate`, and `note` on the argument of `_block`
    """

    name: str
    type: str
    stop: str
    whole: str
    alone: str
    doc: str
    note: tuple[str, ...] = ()

    @property
    def argument(self) -> str:
        return f"{self.name}: {self.type}"


GRADIENTS = Choice(
    "gradients",
    "bool",
    "not gradients",
    "True",
    "False",
    "The loss and, unless only that is wanted, its gradient, in the workspace.",
)
OF_RATE = Choice(
    RATE,
    "float | None",
    f"{RATE} is None",
    "1.0",
    "None",
    "The loss and the gradient of rate * loss, in the workspace; only the loss for no rate.",
    ("The gradient is that of rate * loss, and is left out where there is no rate.",),
)
