"""`symflow check`: a model's module against the model, or the gradients of a module alone."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from symflow.commands.options import finite, given_shapes, shapes_option


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

    Gradients of a module alone are compared with numeric derivatives.
    """
    from symflow.checking import TOLERANCE, check
    from symflow.errors import SymflowError
    from symflow.modules import imported, is_model, parsed
    from symflow.results import table
    from symflow.subject import compilation_of
    from symflow.validation.calling import Functions
    from symflow.validation.validating import EFFORT, validate, validate_compiled

    run = compilation_of(path, given_shapes(shapes))
    if run is None:
        if module is not None or every_point:
            raise click.UsageError(f"{path} is a module; the model comes first")
        results = check(path, at=at, seed=seed, most=most or 200, tolerance=tolerance or TOLERANCE)
        click.echo(table(results), nl=False)
        sys.exit(0 if all(one.ok for one in results) else 1)
    for option, value in (("--tolerance", tolerance), ("--most", most)):
        if value is not None:
            raise click.UsageError(f"{option} is for modules alone: {path} is a model")
    effort = sys.maxsize if every_point else EFFORT
    if module is None:
        report = validate_compiled(run, at=at, seed=seed, effort=effort)
    else:
        if is_model(parsed(module)):
            raise click.UsageError(f"{module} is a model too; what is compared with it is a module")
        loaded = imported(module)
        missing = [name for name in Functions(run, loaded).names if not hasattr(loaded, name)]
        if missing:
            raise SymflowError(
                f"{module}: has no {', '.join(missing)}, which {path} compiles to",
                hint="symflow compile --only NAME --validate compares a module of some tensors",
            )
        report = validate(run, loaded, at=at, seed=seed, effort=effort)
    click.echo(str(report), nl=False)
    sys.exit(0 if report.ok else 1)
