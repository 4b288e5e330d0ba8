"""`symflow compile`: a model in, a module out."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from symflow.commands.options import given_shapes, shapes_option, without_option

if TYPE_CHECKING:
    from symflow.compilation import Compilation, Style

STAGES = ("lower", "stabilise", "differentiate", "simplify")


@click.command("compile")
@click.argument(
    "models", metavar="MODEL...", nargs=-1, required=True, type=click.Path(path_type=Path)
)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("generated"),
    show_default=True,
    help="Folder to write the module to.",
)
@shapes_option
@click.option("--dtype", type=click.Choice(["float32", "float64"]), help="Precision of parameters.")
@click.option(
    "--check",
    "check_only",
    is_flag=True,
    help="Write nothing; exit 1 if the module is not current",
)
@click.option("--dump", type=click.Choice(STAGES), help="Print the program after a stage instead.")
@without_option
@click.option(
    "--style",
    type=click.Choice(["fast", "plain"]),
    default="fast",
    show_default=True,
    help="Loss and gradients in blocks and in place, or as one would write them down.",
)
@click.option(
    "--only",
    multiple=True,
    metavar="NAME",
    help="Functions of these tensors alone: no loss, no training. Repeat for several.",
)
@click.option(
    "--parameters",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE.npz",
    help="Put these values in: for good with --only, else as the initial ones.",
)
@click.option(
    "--with-selftest",
    is_flag=True,
    help="Let the module test itself: python OUTPUT/<model>.py --selftest.",
)
@click.option(
    "--trace-nan",
    is_flag=True,
    help="Let the module say where what is NaN or infinite began.",
)
@click.option(
    "--validate",
    "validated",
    is_flag=True,
    help="Compare the module with the program as written first; write nothing if it is wrong.",
)
def command(
    models: tuple[Path, ...],
    output: Path,
    shapes: tuple[str, ...],
    dtype: str | None,
    check_only: bool,
    dump: str | None,
    without: tuple[str, ...],
    style: str,
    only: tuple[str, ...],
    parameters: Path | None,
    with_selftest: bool,
    trace_nan: bool,
    validated: bool,
) -> None:
    """Compile each MODEL, a Python file that builds a graph, into OUTPUT/<model>.py.

    \b
    symflow compile model.py
    symflow compile model.py -o src/models --dtype float32
    symflow compile model.py --shape x=n,784 --shape y=n
    symflow compile models/*.py --check         in CI
    symflow compile model.py --validate         as `symflow check` does
    symflow compile model.py --only prediction --parameters trained.npz

    Where one of several models is wrong, nothing is written, and all that is wrong is told.
    """
    from symflow.errors import SymflowError, together
    from symflow.files import compilation, is_current, module_files, no_collection, write
    from symflow.shipping import Shipping, read_values

    for option, value in (("--dump", dump), ("--only", only), ("--parameters", parameters)):
        if value and len(models) > 1:
            raise click.UsageError(f"{option} takes one MODEL, got {len(models)}")
    given = given_shapes(shapes)
    ships = Shipping(
        only, None if parameters is None else read_values(parameters), with_selftest, trace_nan
    )
    if dump is not None:
        run = compilation(models[0], given, dtype, without, ships=ships)
        click.echo(run.dump(dump), nl=False)
        return
    _check_targets(models, output, parameters)
    chosen: Style = "plain" if style == "plain" else "fast"
    files: dict[Path, bytes] = {}
    mistakes: list[SymflowError] = []
    for model in dict.fromkeys(models):
        try:
            with no_collection():
                run = compilation(model, given, dtype, without, chosen, ships)
                files.update(module_files(run, output))
            if validated:
                _validate(run, model)
        except SymflowError as error:
            mistakes.append(error)
    stale = [
        path for path, content in files.items() if check_only and not is_current(path, content)
    ]
    for path in stale:
        reason = "is not what the model compiles to" if path.exists() else "is missing"
        click.echo(f"symflow: {path} {reason}", err=True)
    if mistakes:
        raise together(mistakes)
    if check_only:
        sys.exit(1 if stale else 0)
    write(files)
    for path in files:
        click.echo(f"wrote {path}")


def _validate(run: Compilation, model: Path) -> None:
    """An error where the module is not what is written in the model."""
    from symflow.errors import SymflowError
    from symflow.validation.validating import validate_compiled

    report = validate_compiled(run, (run.style,))
    for one in report.limits:
        click.echo(f"symflow: {model}: left out: {one}", err=True)
    if not report.ok:
        for wrong in report.errors:
            click.echo(f"wrong: {wrong}", err=True)
        told = f"{model}: the module is not what is written in the model; nothing is written"
        raise SymflowError(told, hint="--without leaves a rule out; symflow check shows more")


def _check_targets(models: Sequence[Path], output: Path, parameters: Path | None) -> None:
    """An error where two models would be written to one file, or a module over what is read."""
    from symflow.files import check_no_model
    from symflow.writing import check_apart

    first: dict[str, Path] = {}
    for model in models:
        other = first.setdefault(model.stem, model)
        if other != model:
            target = output / f"{model.stem}.py"
            raise click.UsageError(f"{other} and {model} would both be written to {target}")
    inputs = {**{f"the model {model.name}": model for model in models}, "--parameters": parameters}
    for model in first.values():
        target = output / f"{model.stem}.py"
        check_apart(target, inputs)
        check_no_model(target)
