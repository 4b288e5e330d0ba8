"""`symflow rules`: what the compiler may rewrite."""

from __future__ import annotations

import click


@click.command("rules")
def command() -> None:
    """List the rules that keep digits: name, equation, what goes wrong without it.

    \b
    symflow rules
    symflow rules | grep -A 3 log               those about logarithms
    """
    from symflow.rules import documented

    click.echo(documented(), nl=False)
