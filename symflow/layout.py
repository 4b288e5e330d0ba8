"""Source text: templates, signatures and literals as a formatter leaves them."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
from numpy.typing import NDArray

from symflow.alphabets import size_name
from symflow.shapes import Shape
from symflow.source import literal
from symflow.statements import WIDTH, distinct


@dataclass(frozen=True)
class Function:
    """A function ready to be laid out."""

    signature: tuple[str, ...]
    doc: tuple[str, ...]
    lines: tuple[str, ...] = ()


@dataclass(frozen=True)
class Helpers:
    sigmoid: bool = False
    softplus: bool = False
    elu: bool = False
    masked_product: bool = False
    masked_quotient: bool = False
    xlogy: bool = False
    polygamma: bool = False
    log_rising: bool = False
    polygamma_change: bool = False
    cofactors: bool = False
    cofactor_slope: bool = False
    log_determinant: bool = False
    xlog1py: bool = False
    xlogx: bool = False
    log1mexp: bool = False
    exp_over_expm1: bool = False
    inverse_mills: bool = False
    log_erfc: bool = False
    erfc_hazard: bool = False
    log_cosh: bool = False
    exprel: bool = False
    hill: bool = False
    hill_slope: bool = False
    log1prel: bool = False
    sinc: bool = False
    placed: bool = False
    put_along: bool = False
    scattered: bool = False
    windows: bool = False
    overlap_added: bool = False
    recurrence: bool = False
    truncated_normal: bool = False

    @staticmethod
    def of(source: str) -> Helpers:
        """Those that a source calls or hands on."""
        called = set(re.findall(r"(?<![\w.])_(\w+)\b", source))
        called |= {"polygamma"} if "polygamma_change" in called else set()
        return Helpers(**{name: name in called for name in Helpers.__dataclass_fields__})


_BY_SCIPY = (
    *("polygamma", "log_rising", "polygamma_change"),
    *("inverse_mills", "log_erfc", "erfc_hazard"),
)
"""Helpers that call SciPy's functions."""


def uses_scipy(source: str) -> bool:
    """Whether a source calls functions that NumPy lacks."""
    return re.search(rf"(?<![\w.])(special\.\w|_({'|'.join(_BY_SCIPY)})\()", source) is not None


def uses_math(source: str) -> bool:
    """Whether a source calls functions of floats."""
    return re.search(r"(?<![\w.])math\.\w", source) is not None


@cache
def environment(autoescape: bool = False) -> jinja2.Environment:
    """Where templates are found; with `autoescape` what they are given stays text in HTML."""
    package = Path(__file__).parent
    folders = [package / "templates", package.parent / "templates"]  # installed, or a checkout
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(folders),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=autoescape,
    )


def laid_out(template: str, **values: Any) -> str:
    """The template's text as it comes."""
    return environment().get_template(template).render(**values)


def render(template: str, **values: Any) -> str:
    """The template's text with blank lines as a formatter leaves them."""
    text = laid_out(template, **values)
    text = re.sub(r"[ \t]+\n", "\n", text)
    return re.sub(r"\n{4,}", "\n\n\n", text).strip("\n") + "\n"


def signature(name: str, arguments: Sequence[str], returns: str) -> tuple[str, ...]:
    """`def name(arguments) -> returns:` on one line if it fits, as a formatter breaks it if not."""
    distinct([one.partition(":")[0] for one in arguments])
    line = f"def {name}({', '.join(arguments)}) -> {returns}:"
    if len(line) <= WIDTH:
        return (line,)
    inner = f"    {', '.join(arguments)}"
    if len(inner) <= WIDTH and "*" not in arguments:
        return (f"def {name}(", inner, f") -> {returns}:")
    return (f"def {name}(", *(f"    {argument}," for argument in arguments), f") -> {returns}:")


def array_lines(name: str, array: NDArray[Any], more: Sequence[str], indent: int) -> list[str]:
    """`name = np.array(..., more)` broken as a formatter would; ends in a comma within a call."""
    equals, end = ("=", ",") if indent else (" = ", "")
    line = f"{name}{equals}np.array({', '.join([literal(array.tolist()), *more])}){end}"
    if indent + len(line) <= WIDTH:
        return [line]
    inside = _nested(array, indent + 4)
    if not more:
        return [f"{name}{equals}np.array(", *(f"    {one}" for one in inside), f"){end}"]
    inside[-1] += ","
    rest = [f"    {one}," for one in more]
    return [f"{name}{equals}np.array(", *(f"    {one}" for one in inside), *rest, f"){end}"]


def _nested(array: NDArray[Any], indent: int) -> list[str]:
    line = literal(array.tolist())
    if indent + len(line) + 1 <= WIDTH or array.ndim == 0:
        return [line]
    lines = ["["]
    for row in array:
        part = _nested(np.asarray(row), indent + 4)
        part[-1] += ","
        lines += [f"    {one}" for one in part]
    return [*lines, "]"]


def sizes_of(shapes: Mapping[str, Shape]) -> dict[str, str]:
    """How each named size is found, by its name in text: `n` as `x.shape[0]`."""
    found: dict[str, str] = {}
    for name, shape in shapes.items():
        for axis, size in enumerate(shape):
            if size.is_Symbol:
                found.setdefault(size_name(size), f"{name}.shape[{axis}]")
    return found


def paragraphs(text: str) -> tuple[str, ...]:
    """A docstring's first line, and the rest of it where it is too long for one."""
    return tuple(textwrap.wrap(text, WIDTH - 4 - len('"""') * 2)) or ("",)
