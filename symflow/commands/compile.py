"""`symflow compile`: a model in, a module out."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from symflow.commands.options import given_shapes, shapes_option, without_option

STAGES = ("lower", "stabilise", "differentiate", "simplify")


@click.command("compile")
@click.argument("model", type=click.Path(path_type=Path))
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("generated"),
    show_default=True,
    help="Folder to write the module to.",
)
@shapes_option
@click.option(
    "--dtype", type=click.Choice(["float32", "float64"]), help="Precision of initial parameters."
)
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
def command(
    model: Path,
    output: Path,
    shapes: tuple[str, ...],
    dtype: str | None,
    check_only: bool,
    dump: str | None,
    without: tuple[str, ...],
    style: str,
) -> None:
    """Compile MODEL, a Python file that builds a graph, into OUTPUT/<model>.py.

    \b
    symflow compile model.py
    symflow compile model.py -o src/models --dtype float32
    symflow compile model.py --shape x=n,784 --shape y=n
    symflow compile model.py --check            in CI
    """
    from symflow.files import compilation, compile_files, is_current, write

    given = given_shapes(shapes)
    if dump is not None:
        click.echo(compilation(model, given, dtype, without).dump(dump), nl=False)
        return
    files = compile_files(
        model, output, given, dtype, without, "plain" if style == "plain" else "fast"
    )
    if check_only:
        stale = [path for path, content in files.items() if not is_current(path, content)]
        for path in stale:
            reason = "is not what the model compiles to" if path.exists() else "is missing"
            click.echo(f"symflow: {path} {reason}", err=True)
        sys.exit(1 if stale else 0)
    write(files)
    for path, content in files.items():
        if content is not None:
            click.echo(f"wrote {path}")
