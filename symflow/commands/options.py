"""Options that several commands have."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from symflow.shapes import Shape

shapes_option = click.option(
    "--shape",
    "shapes",
    multiple=True,
    metavar="NAME=n,784",
    help="Shape of a placeholder: numbers, or names of open sizes. Repeat for several.",
)

without_option = click.option(
    "--without",
    multiple=True,
    metavar="RULE",
    help="Leave a rule out; `symflow rules` lists them. Repeat for several.",
)


def finite(context: click.Context, option: click.Parameter, value: float | None) -> float | None:
    """A number of an option, as a callback; click takes nan and inf for numbers too."""
    if value is not None and not math.isfinite(value):
        raise click.BadParameter(f"{value} is not finite")
    return value


def data_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """`--data`, and `--map` for how its columns are called."""
    map_option = click.option(
        "--map",
        "maps",
        multiple=True,
        metavar="INPUT=COLUMNS",
        help="Columns that an input is made of: x=age,bmi. Repeat for several.",
    )
    data_option = click.option(
        "--data",
        type=click.Path(path_type=Path, dir_okay=False),
        help="Rows: .npz, .csv, .tsv or .parquet.",
    )
    return data_option(map_option(command))


def given_shapes(shapes: tuple[str, ...]) -> dict[str, Shape]:
    """`x=n,784` as a name and a shape; a usage error where it is none."""
    from symflow.errors import SymflowError
    from symflow.graph import named_shape

    try:
        return dict(map(named_shape, shapes))
    except SymflowError as error:
        raise click.BadParameter(error.message, param_hint="--shape") from None
