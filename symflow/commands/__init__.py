"""The commands of `symflow`, one module each; `cli.py` is their list."""
