"""`symflow` on the command line. SymPy and NumPy are imported when a command needs them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

import symflow

if TYPE_CHECKING:
    from symflow.shapes import Shape

STAGES = ("lower", "stabilise", "differentiate", "simplify")


class _Commands(click.Group):
    """Commands whose SymflowError is one line on stderr and exit status 1."""

    def invoke(self, context: click.Context) -> object:
        try:
            return super().invoke(context)
        except Exception as error:
            from symflow.errors import SymflowError

            if not isinstance(error, SymflowError):
                raise
            click.echo(f"symflow: {error}", err=True)
            context.exit(1)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(symflow.__version__, prog_name="symflow")
def main() -> None:
    """Compile a model into a NumPy module with exact gradients.

    \b
    symflow compile model.py                writes generated/model.py
    symflow check generated/model.py        tests its gradients
    """


@main.command("compile")
@click.argument("model", type=click.Path(path_type=Path))
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("generated"),
    show_default=True,
    help="Folder to write the module to.",
)
@click.option(
    "--shape",
    "shapes",
    multiple=True,
    metavar="NAME=n,784",
    help="Shape of a placeholder: numbers, or names of open sizes. Repeat for several.",
)
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
@click.option(
    "--explain",
    is_flag=True,
    help="Print what was rewritten so that it keeps its digits, and write nothing.",
)
@click.option(
    "--without",
    multiple=True,
    metavar="RULE",
    help="Leave a rule out; `symflow rules` lists them. Repeat for several.",
)
@click.option(
    "--style",
    type=click.Choice(["fast", "plain"]),
    default="fast",
    show_default=True,
    help="Loss and gradients in blocks and in place, or as one would write them down.",
)
def compile_command(
    model: Path,
    output: Path,
    shapes: tuple[str, ...],
    dtype: str | None,
    check_only: bool,
    dump: str | None,
    explain: bool,
    without: tuple[str, ...],
    style: str,
) -> None:
    """Compile MODEL, a Python file that builds a graph, into OUTPUT/<model>.py.

    \b
    symflow compile model.py
    symflow compile model.py -o src/models --dtype float32
    symflow compile model.py --shape x=n,784 --shape y=n
    symflow compile model.py --check            in CI
    symflow compile model.py --explain          what was rewritten, and why
    """
    from symflow.files import compilation, compile_files, is_current, write

    given = _parsed(shapes)
    if dump is not None:
        click.echo(compilation(model, given, dtype, without).dump(dump), nl=False)
        return
    if explain:
        click.echo(compilation(model, given, dtype, without).explain(), nl=False)
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


@main.command("rules")
def rules_command() -> None:
    """List the rules that keep digits: name, equation, what goes wrong without it."""
    from symflow.rules import documented

    click.echo(documented(), nl=False)


def _parsed(shapes: tuple[str, ...]) -> dict[str, Shape]:
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


@main.command("check")
@click.argument("path", metavar="MODEL_OR_MODULE", type=click.Path(path_type=Path))
@click.option("--exact", is_flag=True, help="Compare with the model in 50 digits; report ulp.")
@click.option(
    "--at",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="POINT.npz",
    help="Values of parameters and inputs, by name; what it does not hold is drawn.",
)
@click.option("--seed", default=0, show_default=True, help="Of the point that is tested.")
@click.option(
    "--tolerance",
    type=click.FloatRange(min=0.0),
    help="Largest relative error that passes.  [default: 1e-6, or 1e-3 in float32]",
)
@click.option(
    "--most",
    type=click.IntRange(min=1),
    default=200,
    show_default=True,
    help="Entries tested per parameter; of larger ones, as many are sampled.",
)
@click.option(
    "--dtype",
    type=click.Choice(["float32", "float64"]),
    default="float64",
    show_default=True,
    help="With --exact: what the module computes in.",
)
@click.option("--shape", "shapes", multiple=True, metavar="NAME=n,784", help="As for compile.")
def check_command(
    path: Path,
    exact: bool,
    at: Path | None,
    seed: int,
    tolerance: float | None,
    most: int,
    dtype: str,
    shapes: tuple[str, ...],
) -> None:
    """Test every gradient of a model, or of a generated module, against numeric derivatives.

    \b
    symflow check model.py
    symflow check model.py --exact              against 50 digits, in ulp
    symflow check model.py --at point.npz       at a point of yours: at a kink
    symflow check generated/model.py --most 1000

    The loss is differentiated numerically, entry by entry: by the complex step where the program
    is analytic around the point, by Richardson-extrapolated differences elsewhere. At a kink, any
    number between the derivatives from both sides passes. Exits 1 if a gradient is off, and says
    why.
    """
    from symflow.checking import check
    from symflow.results import table

    if dtype == "float32" and not exact:
        raise click.UsageError("--dtype float32 needs --exact: numeric derivatives need float64")
    results = check(
        path,
        _parsed(shapes),
        at=at,
        seed=seed,
        most=most,
        tolerance=tolerance,
        exact=exact,
        dtype=dtype,
    )
    click.echo(table(results), nl=False)
    sys.exit(0 if all(one.ok for one in results) else 1)
