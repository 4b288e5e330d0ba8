"""`symflow explain`: a model and its gradients as formulas."""

from __future__ import annotations

import shutil
from pathlib import Path

import click

from symflow.commands.options import given_shapes, shapes_option, without_option


@click.command("explain")
@click.argument("model", type=click.Path(path_type=Path))
@click.option("--latex", is_flag=True, help="As LaTeX, to paste into a paper.")
@click.option(
    "--rewrites",
    is_flag=True,
    help="What is rewritten so that it keeps its digits, or is done once: before and after.",
)
@click.option(
    "--html",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Write a report: the graph, every tensor with the lines that compute it, costs, and a"
    " check of the gradients.",
)
@shapes_option
@without_option
def command(
    model: Path,
    latex: bool,
    rewrites: bool,
    html: Path | None,
    shapes: tuple[str, ...],
    without: tuple[str, ...],
) -> None:
    """Print MODEL as formulas: what it computes, its gradients, and how it is trained.

    \b
    symflow explain model.py
    symflow explain model.py --latex > model.tex
    symflow explain model.py --rewrites         what was rewritten, and why
    symflow explain model.py --html report.html
    """
    forms = {"--html": html is not None, "--rewrites": rewrites, "--latex": latex}
    chosen = [option for option, given in forms.items() if given]
    if len(chosen) > 1:
        raise click.UsageError(f"{' and '.join(chosen)}: choose one")
    if html is not None:
        from symflow.report.page import write_report

        write_report(model, html, given_shapes(shapes), without)
        click.echo(f"wrote {html}")
        return
    from symflow.explaining import content, paper, terminal
    from symflow.files import compilation

    compiled = compilation(model, given_shapes(shapes), without=without)
    if rewrites:
        click.echo(compiled.explain(), nl=False)
    elif latex:
        click.echo(paper.snippet(content.explained(compiled)), nl=False)
    else:
        columns = shutil.get_terminal_size((terminal.WIDTH, 24)).columns
        width = min(columns, terminal.WIDTH)
        click.echo(terminal.page(content.explained(compiled), width), nl=False)
