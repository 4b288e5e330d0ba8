"""`python -m symflow`."""

from symflow.cli import main

main(prog_name="symflow")
