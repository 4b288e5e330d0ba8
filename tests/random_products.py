"""Random differences and sums of products: where factors are taken out, digits and zeros are lost.

python tests/random_products.py 5000     how many of them go wrong, and the first that do
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from rule_contexts import points
from written import Comparison, Fault, Model

import symflow as sf

NAMES = ("a", "b", "c", "w", "x")
NUMBERS = (2.0, 3.0, 0.5, 0.1, -1.5, 4.0)

Tensor = Any
Build = Callable[[dict[str, Tensor]], Tensor]


@dataclass(frozen=True)
class Expression:
    """Its text as in a model file, and the names that it reads."""

    text: str
    names: tuple[str, ...]

    def comparison(self) -> Comparison:
        """Value and gradient against what was written."""
        with sf.Graph().as_default():
            of = {name: sf.placeholder(sf.float64, ("n",), name) for name in self.names}
            value = eval(self.text, {"sf": sf, **of})
            slopes = sf.gradients(sf.reduce_sum(value), [of[name] for name in self.names])
            fetches = {"value": value}
            fetches |= {f"d1_{name}": one for name, one in zip(self.names, slopes, strict=True)}
            model = Model(fetches)
        return Comparison(model, points(dict.fromkeys(self.names)))


def expression(seed: int) -> Expression:
    random = np.random.default_rng([20261130, seed])
    names = tuple(str(one) for one in random.choice(NAMES, int(random.integers(2, 5)), False))
    text = _Writer(random, names).whole()
    return Expression(text, tuple(name for name in names if name in _read(text)))


def _read(text: str) -> set[str]:
    return {name for name in NAMES if name in text.replace("sf.sqrt", "").replace("sf.log", "")}


class _Writer:
    """Expressions as people write them."""

    def __init__(self, random: np.random.Generator, names: Sequence[str]) -> None:
        self.random = random
        self.names = names

    def one_of(self, choices: Sequence[Any]) -> Any:
        return choices[int(self.random.integers(len(choices)))]

    def whole(self) -> str:
        inner = self.one_of(
            [self.total, self.total, self.squares, self.one_minus, self.roots, self.product_of]
        )()
        t = self.one_of(self.names)
        forms = ["{0}"] * 5 + ["{1} * ({0})", "{1} + ({0})", "{1} - ({0})", "({0}) / {1}"]
        forms += [
            "({0}) ** 2",
            "sf.sqrt({0})",
            "1.0 / ({0})",
            "sf.log({0})",
            "sf.sqrt(1.0 + ({0}) ** 2)",
        ]
        return str(self.one_of(forms)).format(inner, t)

    def power(self) -> str:
        name, degree = self.one_of(self.names), self.one_of([1, 1, 1, 2, 2, 3, 4])
        return name if degree == 1 else f"{name} ** {degree}"

    def product(self, common: Sequence[str] = ()) -> str:
        factors = [*common, *(self.power() for _ in range(int(self.random.integers(1, 3))))]
        order = self.random.permutation(len(factors))
        product = " * ".join(factors[at] for at in order)
        number = self.one_of([None, None, *NUMBERS])
        return product if number is None else f"{number} * {product}"

    def total(self) -> str:
        common = [self.power()] if self.random.random() < 0.5 else []
        terms = [self.product(common) for _ in range(int(self.random.integers(2, 5)))]
        if self.random.random() < 0.3:
            terms[int(self.random.integers(len(terms)))] = str(self.one_of([1.0, 2.0, 0.5]))
        text = terms[0]
        for term in terms[1:]:
            text += f" {self.one_of('-+-')} {term}"
        return text

    def squares(self) -> str:
        first, second = (
            self.one_of([self.one_of(self.names), f"({self.product()})"]) for _ in range(2)
        )
        degree = self.one_of([2, 2, 4])
        return f"{first} ** {degree} - {second} ** {degree}"

    def one_minus(self) -> str:
        number, degree = self.one_of([1.0, 4.0, 2.0]), self.one_of([2, 2, 3, 4])
        return f"{number} - ({self.product()}) ** {degree}"

    def roots(self) -> str:
        first, second = self.one_of(self.names), self.one_of(self.names)
        inner = self.one_of(["{0} + 1.0", "{0} ** 2 + {1}", "{0} * {1}", "{0}"])
        other = self.one_of(["sf.sqrt({1})", "{0}", "1.0", "sf.sqrt({0})"])
        return f"sf.sqrt({inner}) - {other}".format(first, second)

    def product_of(self) -> str:
        return f"({self.total()}) * ({self.one_of([self.total, self.squares])()})"


def failures(seeds: Sequence[int]) -> list[str]:
    """The expressions that are worse than as written, with a point each."""
    found = []
    for seed in seeds:
        one = expression(seed)
        if not one.names:
            continue
        faults: list[Fault] = one.comparison().faults
        if faults:
            found.append(f"{seed}: {one.text}: {faults[0]}")
    return found


if __name__ == "__main__":
    wrong = failures(range(int(sys.argv[1])))
    print("\n".join([*wrong[:20], f"{len(wrong)} of {sys.argv[1]}"]))
