"""Values that are no kernels: each says its type, its adjoint and its NumPy text itself.

Views (`views.py`) move entries. A new primitive is one class, and nothing else has to know it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal, Protocol

import sympy as sp
from numpy.typing import NDArray

from symflow.program import Builder, Bundle, Label, Program, Type, Value
from symflow.text import Text

Along = int | Literal["sum"] | None
"""See `Primitive.along`."""


class Evaluation(Protocol):
    """What a primitive can ask for when it is evaluated in many digits; see `evaluation.py`."""

    @property
    def context(self) -> Any:
        """The mpmath context of the numbers: `context.sqrt`, `context.matrix`, ..."""

    def size(self, size: sp.Expr) -> int:
        """A size such as `n`, as a number."""

    def outputs(self, program: Program, inputs: Mapping[str, NDArray[Any]]) -> dict[str, Any]:
        """What a program inside the primitive computes of such numbers."""


@dataclass(frozen=True, slots=True)
class Primitive:
    """What all primitives share.

    tensors  names the fields that hold operands, each a tensor or a tuple of them
    is_view  whether NumPy may give a look at the operand rather than an array of its own
    """

    tensors: ClassVar[tuple[str, ...]] = ("source",)
    is_view: ClassVar[bool] = False

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

    def shares(
        self, program: Builder, positions: Sequence[int], upstream: int, labels: Sequence[Label]
    ) -> list[int | None]:
        """The shares of several operands at once, by default one by one."""
        return [
            self.adjoint(program, position, upstream, label)
            for position, label in zip(positions, labels, strict=True)
        ]

    def along(self, axes: Sequence[int | None], types: Sequence[Type]) -> Along:
        """Where the entries along an axis go, if the primitive treats each apart from the others.

        axes   of each operand, the axis that the entries are along; None if it has none of them
        types  of the operands

        The axis of the result that they are along; "sum" if the result is a sum over them; None,
        the default, if it is neither.
        """
        return None

    def numpy(self, operands: Sequence[Text]) -> Text:
        """The NumPy expression, given those of the operands; its axes are those of the result."""
        raise AssertionError(f"{type(self).__name__} does not say how NumPy computes it")

    def exact(
        self, operands: Sequence[NDArray[Any]], evaluation: Evaluation
    ) -> NDArray[Any] | None:
        """The result in many digits, from the definition; None leaves it to the NumPy text.

        Floats are object arrays of mpmath numbers; whole numbers and booleans are arrays of their
        own dtype. The NumPy text does for what moves, adds and multiplies entries. Override where
        NumPy wants numbers of its own, as in `np.linalg` and in functions such as `np.exp`.
        """
        return None


# --- several results -------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Part(Primitive):
    """One of the results of a value that has several."""

    source: int
    index: int

    def infer(self, operands: Sequence[Type]) -> Type:
        bundle = operands[0]
        assert isinstance(bundle, Bundle), f"{bundle} has no parts"
        return bundle.parts[self.index]

    def adjoint(self, program: Builder, position: int, upstream: int, label: Label) -> int | None:
        return program.add(Shares((upstream,), (self.index,)), label)

    def exact(self, operands: Sequence[NDArray[Any]], evaluation: Evaluation) -> NDArray[Any]:
        part: NDArray[Any] = operands[0][self.index]
        return part


@dataclass(frozen=True, slots=True)
class Shares(Primitive):
    """The adjoint of a value with several results: those of some results; the rest are zeros."""

    tensors: ClassVar[tuple[str, ...]] = ("adjoints",)
    adjoints: tuple[int, ...]
    indices: tuple[int, ...]

    def infer(self, operands: Sequence[Type]) -> Type:
        return Bundle.of(operands)
