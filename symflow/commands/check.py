"""`symflow check`: a model's module against the model, or the gradients of a module alone."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import click

from symflow.commands.options import finite, given_shapes, shapes_option

if TYPE_CHECKING:
    from symflow.shapes import Shape
    from symflow.validation.findings import Report


@click.command("check")
@click.argument("path", metavar="MODEL_OR_MODULE", type=click.Path(path_type=Path))
@click.argument("module", metavar="[MODULE]", required=False, type=click.Path(path_type=Path))
@click.option(
    "--at",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="POINT.npz",
    help="Values of parameters and inputs, by name; the rest is drawn.",
)
@click.option(
    "--seed",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="Of the points that are tested.",
)
@click.option(
    "--parameters",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE.npz",
    help="Of a module compiled with --parameters: where these are, if not beside it or its model.",
)
@click.option("--every-point", is_flag=True, help="Leave no point out, however large the model is.")
@click.option(
    "--tolerance",
    type=click.FloatRange(min=0.0),
    callback=finite,
    help="Of a module alone: largest relative error that passes.  [default: 1e-6]",
)
@click.option(
    "--most",
    type=click.IntRange(min=1),
    help="Of a module alone: entries tested per parameter.  [default: 200]",
)
@shapes_option
def command(
    path: Path,
    module: Path | None,
    at: Path | None,
    seed: int,
    parameters: Path | None,
    every_point: bool,
    tolerance: float | None,
    most: int | None,
    shapes: tuple[str, ...],
) -> None:
    """Compare what a model compiles to with what is written in it.

    \b
    symflow check model.py                      the modules that it compiles to
    symflow check model.py generated/model.py   a module that was changed
    symflow check model.py --at point.npz       at a point of yours first
    symflow check generated/model.py            a module alone: its gradients

    The model is evaluated as it is written, in 50 digits and with no rule applied, at points at
    which programs go wrong: zeros, ties, extremes, borders of conditions. A module may lose ten
    times as much as the same operations in NumPy would, and no more; it is finite wherever the
    model is. Exits 1 if it is wrong, and names the rule that made it so.

    A module is compared as what its head says: there is the command that it was compiled by.

    Gradients of a module alone are compared with numeric derivatives.
    """
    from symflow.modules import is_model, parsed

    if module is None and parameters is not None:
        raise click.UsageError("--parameters is for modules that are compared with their model")
    if not is_model(parsed(path)):
        if module is not None or every_point:
            raise click.UsageError(f"{path} is a module; the model comes first")
        _check_alone(path, at, seed, most, tolerance, given_shapes(shapes))
    for option, value in (("--tolerance", tolerance), ("--most", most)):
        if value is not None:
            raise click.UsageError(f"{option} is for modules alone: {path} is a model")
    effort = sys.maxsize if every_point else None
    report = _compared(path, module, at, seed, effort, given_shapes(shapes), parameters)
    click.echo(str(report), nl=False)
    sys.exit(0 if report.ok else 1)


def _check_alone(
    path: Path,
    at: Path | None,
    seed: int,
    most: int | None,
    tolerance: float | None,
    shapes: Mapping[str, Shape],
) -> NoReturn:
    """The gradients of a module against numeric derivatives."""
    from symflow.checking import TOLERANCE, check
    from symflow.results import table

    found = check(
        path, shapes, at=at, seed=seed, most=most or 200, tolerance=tolerance or TOLERANCE
    )
    click.echo(table(found), nl=False)
    sys.exit(0 if all(one.ok for one in found) else 1)


def _compared(
    path: Path,
    module: Path | None,
    at: Path | None,
    seed: int,
    effort: int | None,
    shapes: Mapping[str, Shape],
    parameters: Path | None,
) -> Report:
    """What a model compiles to, or a module that it is said to be, against what is written."""
    from symflow.modules import imported, is_model, parsed
    from symflow.subject import compilation_of, compiled_as
    from symflow.validation.validating import EFFORT, validate, validate_compiled

    effort = effort or EFFORT
    if module is None:
        run = compilation_of(path, shapes)
        assert run is not None
        return validate_compiled(run, at=at, seed=seed, effort=effort)
    if is_model(parsed(module)):
        raise click.UsageError(f"{module} is a model too; what is compared with it is a module")
    run = compiled_as(path, module, shapes, parameters)
    assert run is not None
    return validate(run, imported(module), at=at, seed=seed, effort=effort)
