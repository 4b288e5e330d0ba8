"""Options that several commands have."""

from __future__ import annotations

from typing import TYPE_CHECKING

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


def given_shapes(shapes: tuple[str, ...]) -> dict[str, Shape]:
    """`x=n,784` as a name and a shape; a usage error where it is none."""
    from symflow.errors import SymflowError
    from symflow.graph import shape_of

    parsed: dict[str, Shape] = {}
    for text in shapes:
        name, equals, sizes = text.partition("=")
        entries = [entry.strip() for entry in sizes.strip("() ").split(",") if entry.strip()]
        if not equals or not name.strip():
            raise click.BadParameter(f"{text!r} is not NAME=SIZE,SIZE,...", param_hint="--shape")
        try:
            parsed[name.strip()] = shape_of(
                [int(entry) if entry.lstrip("-").isdigit() else entry for entry in entries]
            )
        except SymflowError as error:
            raise click.BadParameter(error.message, param_hint="--shape") from None
    return parsed
