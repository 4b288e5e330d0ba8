"""`symflow check`: gradients against numeric derivatives, or against 50 digits."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from symflow.commands.options import given_shapes, shapes_option


@click.command("check")
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
@shapes_option
def command(
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
        given_shapes(shapes),
        at=at,
        seed=seed,
        most=most,
        tolerance=tolerance,
        exact=exact,
        dtype=dtype,
    )
    click.echo(table(results), nl=False)
    sys.exit(0 if all(one.ok for one in results) else 1)
