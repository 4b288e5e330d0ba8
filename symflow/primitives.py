"""Values that are no kernels: each says its type, its adjoint and its NumPy text itself.

Views (`views.py`) move entries. A new primitive is one class, and nothing else has to know it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

from symflow.program import Builder, Label, Type, Value
from symflow.text import Text


@dataclass(frozen=True, slots=True)
class Primitive:
    """What all primitives share.

    `tensors` names the fields that hold operands, each a tensor or a tuple of them.
    """

    tensors: ClassVar[tuple[str, ...]] = ("source",)

    @property
    def operands(self) -> tuple[int, ...]:
        found: list[int] = []
        for name in self.tensors:
            value = getattr(self, name)
            found.extend(value if isinstance(value, tuple) else (value,))
        return tuple(found)

    def rebind(self, binding: Callable[[int], int]) -> Value:
        moved = {
            name: tuple(map(binding, value)) if isinstance(value, tuple) else binding(value)
            for name, value in ((name, getattr(self, name)) for name in self.tensors)
        }
        return replace(self, **moved)

    def infer(self, operands: Sequence[Type]) -> Type:
        raise AssertionError(f"{type(self).__name__} does not say its type")

    def adjoint(self, program: Builder, position: int, upstream: int, label: Label) -> int | None:
        """The share of operand `position` in the adjoint, given the adjoint of the result."""
        raise AssertionError(f"{type(self).__name__} does not say its adjoint")

    def numpy(self, operands: Sequence[Text]) -> Text:
        """The NumPy expression, given those of the operands; its axes are those of the result."""
        raise AssertionError(f"{type(self).__name__} does not say how NumPy computes it")
