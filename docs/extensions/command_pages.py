"""The directive `{commands}`: the help of `symflow` and of each of its commands."""

from __future__ import annotations

from click.testing import CliRunner
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from symflow.cli import COMMANDS, main


class Commands(SphinxDirective):
    """A section per command, with what `--help` prints."""

    def run(self) -> list[nodes.Node]:
        parts = [_help()]
        parts += [f"## symflow {name}\n\n{_help(name)}" for name in COMMANDS]
        return self.parse_text_to_nodes("\n\n".join(parts), allow_section_headings=True)


def _help(*command: str) -> str:
    run = CliRunner().invoke(main, [*command, "--help"], prog_name="symflow")
    return f"```text\n{run.output}```"


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_directive("commands", Commands)
    return {"parallel_read_safe": True}
