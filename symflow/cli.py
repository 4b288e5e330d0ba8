"""`symflow` on the command line: its list of commands, each imported when it is needed.

A command imports SymPy and NumPy when it runs, so that help is there at once.
"""

from __future__ import annotations

from importlib import import_module

import click

import symflow

COMMANDS = ("compile", "check", "train", "predict", "rules")
"""In the order of a first quarter of an hour; each is `commands/<name>.py`."""


class _Commands(click.Group):
    """Commands whose SymflowError is one line on stderr and exit status 1."""

    def list_commands(self, context: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        command: click.Command = import_module(f"symflow.commands.{name}").command
        return command

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
