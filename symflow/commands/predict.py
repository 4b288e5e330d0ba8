"""`symflow predict`: a module, its parameters and a file of data in; values out."""

from __future__ import annotations

from pathlib import Path

import click

from symflow.commands.options import data_options, given_shapes, shapes_option

FILE = click.Path(path_type=Path, dir_okay=False)


@click.command("predict")
@click.argument("path", metavar="MODEL_OR_MODULE", type=click.Path(path_type=Path))
@click.option("--parameters", type=FILE, help="What `symflow train` saved.")
@data_options
@click.option("--function", help="Of the module; needed where it has several.")
@click.option("-o", "--output", type=FILE, help="Write to this .csv or .npz instead of printing.")
@shapes_option
def command(
    path: Path,
    parameters: Path | None,
    data: Path | None,
    maps: tuple[str, ...],
    function: str | None,
    output: Path | None,
    shapes: tuple[str, ...],
) -> None:
    """Compute what a trained model says of each row of data.

    \b
    symflow predict model.py --parameters trained.npz --data new.csv
    symflow predict generated/model.py --parameters trained.npz --data new.csv \\
        --function probability -o probability.csv

    The data are read as by `symflow train`, and --map works in the same way; inputs that the
    function does not read may be missing. Without -o, a table in CSV is printed. A module that
    was compiled with --parameters holds them already.
    """
    from symflow.errors import SymflowError
    from symflow.fitting.matching import arrays, described, matched, parsed
    from symflow.fitting.modules import opened
    from symflow.fitting.predictions import (
        as_csv,
        by_row,
        check_kind,
        function_of,
        predicted,
        save,
    )
    from symflow.fitting.tables import table
    from symflow.writing import check_writable

    module = opened(path, given_shapes(shapes))
    if output is not None:
        check_kind(output)
        check_writable(output, {**module.files, "--parameters": parameters, "--data": data})
    name = function_of(module, function)
    if module.has_parameters and parameters is None:
        raise click.UsageError("--parameters is needed: the module does not hold them")
    if parameters is not None and not module.has_parameters:
        raise SymflowError(f"{path}: --parameters: the module holds them already")
    values = None if parameters is None else module.loaded(parameters)
    inputs = module.inputs(name)
    given = {}
    if inputs:
        if data is None:
            raise click.UsageError(f"--data is needed: {name} reads {', '.join(inputs)}")
        maps_given = parsed(maps)
        source = table(data)
        matches = matched(source, inputs, maps_given, strict=False)
        if any(match.guess for match in matches):
            click.echo("\n".join([f"{source.path}:", *described(source, matches)]), err=True)
        given = arrays(source, matches, module.integers)
    elif data is not None:
        raise SymflowError(f"{path}: --data: {name} reads no data")
    found = predicted(module, name, values, given)
    rows = by_row(module, name, found, given)
    if output is None:
        click.echo(as_csv(name, rows), nl=False)
        return
    save(output, name, found, rows)
    click.echo(f"wrote {output}")
