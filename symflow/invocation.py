"""The command by which a module is made, as it stands in the module's head; and read from there.

Who compares a module with its model compiles the model as the module was compiled.
"""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NoReturn

from symflow.errors import SymflowError
from symflow.graph import named_shape
from symflow.shapes import Shape
from symflow.shipping import Shipping, read_values


@dataclass(frozen=True)
class Invocation:
    """The options of `symflow compile`, as they are written on the command line.

    model       the name of the model's file
    parameters  the name of the file of values, "" for none; its folder is not kept
    """

    model: str
    shapes: Mapping[str, Shape] = field(default_factory=dict)
    dtype: str | None = None
    without: tuple[str, ...] = ()
    style: Literal["fast", "plain"] = "fast"
    only: tuple[str, ...] = ()
    parameters: str = ""
    selftest: bool = False
    trace_nan: bool = False

    def __str__(self) -> str:
        shapes = {name: ",".join(map(str, shape)) for name, shape in self.shapes.items()}
        words = [
            *(f" --shape {name}={sizes}" for name, sizes in shapes.items()),
            *([f" --dtype {self.dtype}"] if self.dtype is not None else []),
            *(f" --without {name}" for name in self.without),
            *([f" --style {self.style}"] if self.style != "fast" else []),
            *(f" --only {name}" for name in self.only),
            *([self._of_parameters] if self.parameters else []),
            *([" --with-selftest"] if self.selftest else []),
            *([" --trace-nan"] if self.trace_nan else []),
        ]
        return f"symflow compile {self.model}" + "".join(words)

    @property
    def _of_parameters(self) -> str:
        joined = "=" if self.parameters.startswith("-") else " "  # which else is an option
        return f" --parameters{joined}{shlex.quote(self.parameters)}"

    def ships(self, parameters: Path | None) -> Shipping:
        """What is compiled beside the model, with the values of a file where there are any."""
        values = None if parameters is None else read_values(parameters)
        return Shipping(self.only, values, self.selftest, self.trace_nan)


def invocation(command: str) -> Invocation:
    """A command as it was written; raises ValueError, with what is wrong, where it is none."""
    words = shlex.split(command)
    if words[:2] != ["symflow", "compile"]:
        raise ValueError("there is no one line `symflow compile ...`")
    found = _options().parse_args(words[2:])
    try:
        shapes = dict(named_shape(text) for text in found.shape)
    except SymflowError as error:
        raise ValueError(error.message) from None
    return Invocation(
        found.model,
        shapes,
        found.dtype,
        tuple(found.without),
        found.style,
        tuple(found.only),
        found.parameters,
        found.with_selftest,
        found.trace_nan,
    )


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise ValueError(message)


def _options() -> argparse.ArgumentParser:
    parser = _Parser(add_help=False, allow_abbrev=False)
    parser.add_argument("model")
    for name in ("--shape", "--without", "--only"):
        parser.add_argument(name, action="append", default=[])
    parser.add_argument("--dtype", choices=("float32", "float64"))
    parser.add_argument("--style", choices=("fast", "plain"), default="fast")
    parser.add_argument("--parameters", default="")
    parser.add_argument("--with-selftest", action="store_true")
    parser.add_argument("--trace-nan", action="store_true")
    return parser
