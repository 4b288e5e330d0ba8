"""What a notebook shows in place of the plain text of an object.

Tensors stand at the beginning of the compiler, and what is shown of them comes from its end; so
`notebook.py` is loaded when a notebook asks for it.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any


class Shown:
    """An object that notebooks show as `notebook.py` says; None leaves it at its plain text."""

    def _repr_html_(self) -> str | None:
        return _asked("html", self)

    def _repr_latex_(self) -> str | None:
        return _asked("latex", self)


def _asked(form: str, one: object) -> str | None:
    found: Any = getattr(import_module("symflow.notebook"), form)(one)
    return found if isinstance(found, str) else None
