"""Arrays that a module holds: small ones are literals in it, large ones are in a file beside it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from symflow.alphabets import plain, tensor_name
from symflow.layout import array_lines
from symflow.program import Constant, Program
from symflow.statements import Names

LARGEST_LITERAL = 300
"""Entries of an array beyond which it goes to a file beside the module."""

ONE_LINE = 8
"""The same where parameters stand in that file already: beyond what fits a line."""


class Embedded:
    """The array constants of a program.

    names   how each constant is written in a statement, by its digest
    lines   what defines them in the module
    arrays  what stands in the file beside it, by name
    """

    def __init__(self, program: Program, precision: str = "") -> None:
        """`precision` of all floats, for a module that computes in no other."""
        self.names: dict[str, str] = {}
        self.lines: list[str] = []
        self.arrays: dict[str, NDArray[Any]] = {}
        pool = Names(("ARRAYS", "SHAPES"))  # what the module calls so itself
        sizes = [d.value.data.size for d in program.definitions if isinstance(d.value, Constant)]
        beside = precision != "" and max(sizes, default=0) > LARGEST_LITERAL
        largest = ONE_LINE if beside else LARGEST_LITERAL
        for definition in program.definitions:
            value = definition.value
            if not isinstance(value, Constant) or value.data.ndim == 0:
                continue
            name = f"_{tensor_name(pool.give(plain(definition.label.name).upper()))}"
            single = value.data.dtype.kind == "f"  # constants must not widen float32
            self.names[value.digest] = (
                f"np.asarray({name}, dtype)" if single and not precision else name
            )
            typed = single and precision != ""
            data = value.data.astype(precision) if typed else value.data
            if data.size > largest:
                key = self._key(plain(name[1:]).lower())
                self.arrays[key] = data
                self.lines.append(f'{name} = _ARRAYS["{key}"]')
            else:
                more = [f"np.{precision}"] if typed and precision != "float64" else []
                self.lines += array_lines(name, shortest(data), more, 0)

    def initial(self, name: str, value: NDArray[Any]) -> list[str]:
        """`name=...,` in the construction of the initial parameters, from a given value."""
        if value.size <= LARGEST_LITERAL:
            return array_lines(name, value.astype(float), ["dtype"], 8)
        key = self._key(f"initial_{plain(name)}")
        self.arrays[key] = value
        return [f'{name}=np.array(_ARRAYS["{key}"], dtype),']

    def _key(self, wanted: str) -> str:
        """A name for an array in the file; those of the self-test's begin as none of these."""
        key = f"array_{wanted}" if wanted.startswith("selftest_") else wanted
        while key in self.arrays:
            key += "_"
        return key


def shortest(data: NDArray[Any]) -> NDArray[Any]:
    """float32 numbers as those of float64 with the fewest digits that become them again."""
    if data.dtype != np.float32:
        return data
    read = np.array([float(str(one)) for one in data.ravel()]).reshape(data.shape)
    return read if np.array_equal(read.astype(np.float32), data) else data.astype(float)
