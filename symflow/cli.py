"""`symflow` on the command line: its list of commands, each imported when it is needed.

A command imports SymPy and NumPy when it runs, so that help is there at once.
"""

from __future__ import annotations

import os
from importlib import import_module
from typing import Any

import click

import symflow
from symflow.ending import tidily

COMMANDS = ("compile", "check", "explain", "train", "predict", "rules")
"""In the order of a first quarter of an hour; each is `commands/<name>.py`."""

TRACEBACK = "SYMFLOW_TRACEBACK"
"""The variable of the environment that shows where an error comes from."""

BUG = 70
"""The exit status of a bug of ours, as sysexits.h has it."""


def _tell_bug(error: Exception) -> None:
    """What is no mistake of the user's."""
    text = " ".join(f"{type(error).__name__}: {error}".split())
    click.echo(f"symflow: a bug of symflow, not of yours: {text[:300]}", err=True)
    click.echo(f"    hint: {TRACEBACK}=1 shows where; please report it with the model", err=True)


class _Commands(click.Group):
    """Commands whose SymflowError is told on stderr, with exit status 1."""

    def list_commands(self, context: click.Context) -> list[str]:
        return list(COMMANDS)

    def resolve_command(
        self, context: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click does it, with the nearest command for one that is not there."""
        if args and not args[0].startswith("-") and args[0] not in COMMANDS:
            from difflib import get_close_matches

            near = get_close_matches(args[0], COMMANDS, 1)
            hint = f" Did you mean {near[0]!r}?" if near else f" There are: {', '.join(COMMANDS)}."
            context.fail(f"No such command {args[0]!r}.{hint}")
        return super().resolve_command(context, args)

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        command: click.Command = import_module(f"symflow.commands.{name}").command
        return command

    def main(self, *arguments: Any, **options: Any) -> Any:
        with tidily():
            return super().main(*arguments, **options)

    def invoke(self, context: click.Context) -> object:
        try:
            return super().invoke(context)
        except (click.ClickException, click.exceptions.Exit, click.Abort):
            raise
        except Exception as error:
            from symflow.errors import SymflowError

            if os.environ.get(TRACEBACK):
                raise
            if not isinstance(error, SymflowError):
                _tell_bug(error)
                context.exit(BUG)
            click.echo(error.printed, err=True)
            context.exit(1)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(symflow.__version__, prog_name="symflow")
def main() -> None:
    """Compile a model into a NumPy module with exact gradients.

    \b
    symflow compile model.py                writes generated/model.py
    symflow check model.py                  compares it with what is written
    symflow explain model.py                prints both as formulas
    """
