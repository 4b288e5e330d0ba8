"""What a formula consists of: a small tree, made once and written in three ways.

Products, sums and fractions are as a person writes them: no factor is a negative number, a
negative term is a `Negative`, and what is divided by stands below a `Quotient`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Literal


@dataclass(frozen=True, slots=True)
class Number:
    """A number that is not negative, as its shortest decimal."""

    text: str


@dataclass(frozen=True, slots=True)
class Name:
    """An index, a size or a constant of mathematics: `i`, `n`, `π`."""

    name: str


@dataclass(frozen=True, slots=True)
class Quantity:
    """A tensor by its name. With `bar`, the derivative of the loss by that tensor."""

    name: str
    bar: bool = False


@dataclass(frozen=True, slots=True)
class Partial:
    """∂ of / ∂ by: the gradient of something named by something named."""

    of: str
    by: str


@dataclass(frozen=True, slots=True)
class Entry:
    """base[indices]: an entry of a tensor, or of what a function makes of tensors."""

    base: Tree
    indices: tuple[Tree, ...]


@dataclass(frozen=True, slots=True)
class Negative:
    inside: Tree


@dataclass(frozen=True, slots=True)
class Sum:
    terms: tuple[Tree, ...]


@dataclass(frozen=True, slots=True)
class Product:
    factors: tuple[Tree, ...]


@dataclass(frozen=True, slots=True)
class Quotient:
    above: Tree
    below: Tree


@dataclass(frozen=True, slots=True)
class Power:
    base: Tree
    exponent: Tree


@dataclass(frozen=True, slots=True)
class Root:
    inside: Tree
    degree: int = 2


@dataclass(frozen=True, slots=True)
class Call:
    """A function of numbers or of whole tensors."""

    function: str
    arguments: tuple[Tree, ...]


@dataclass(frozen=True, slots=True)
class Fenced:
    """|x|, ⌊x⌋, ⌈x⌉, ‖x‖; and [condition], which is 1 where the condition holds and else 0."""

    kind: Literal["abs", "floor", "ceil", "norm", "indicator"]
    inside: Tree


@dataclass(frozen=True, slots=True)
class Big:
    """Σ, max, ... over indices; `bound` says more of them, as in Σ over k ≤ i."""

    kind: Literal["sum", "product", "max", "min", "any", "all", "argmax", "argmin"]
    over: tuple[Tree, ...]
    body: Tree
    bound: tuple[str, Tree] | None = None


@dataclass(frozen=True, slots=True)
class Relation:
    """left = right, left < right, left ∧ right: true or false."""

    left: Tree
    operator: Literal["=", "≠", "<", "≤", ">", "≥", "∧", "∨", "⊕"]
    right: Tree


@dataclass(frozen=True, slots=True)
class Not:
    inside: Tree


@dataclass(frozen=True, slots=True)
class Cases:
    """Values, each taken under its condition if none before it is; and what is taken otherwise."""

    branches: tuple[tuple[Tree, Tree], ...]
    otherwise: Tree


@dataclass(frozen=True, slots=True)
class Equation:
    """What is defined, and as what; or what is assigned, as in a step of training."""

    left: Tree
    right: Tree
    operator: Literal["=", "←"] = "="


Tree = (
    Number
    | Name
    | Quantity
    | Partial
    | Entry
    | Negative
    | Sum
    | Product
    | Quotient
    | Power
    | Root
    | Call
    | Fenced
    | Big
    | Relation
    | Not
    | Cases
)

ZERO, UNIT = Number("0"), Number("1")


def parts(tree: Tree) -> Iterator[Tree]:
    """The trees directly inside a tree, from left to right."""
    for field in fields(tree):
        yield from _trees(getattr(tree, field.name))


def _trees(value: object) -> Iterator[Tree]:
    if isinstance(value, tuple):
        for one in value:
            yield from _trees(one)
    elif not isinstance(value, (str, bool, int)) and value is not None:
        yield value  # type: ignore[misc]


def renamed(tree: Tree, names: Mapping[str, str]) -> Tree:
    """The tree with other letters for some indices and sizes."""
    if isinstance(tree, Name):
        return Name(names.get(tree.name, tree.name))
    found = {field.name: _renamed(getattr(tree, field.name), names) for field in fields(tree)}
    return replace(tree, **found)


def _renamed(value: Any, names: Mapping[str, str]) -> Any:
    if isinstance(value, tuple):
        return tuple(_renamed(one, names) for one in value)
    return value if value is None or isinstance(value, (str, bool, int)) else renamed(value, names)
