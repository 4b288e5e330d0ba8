"""symflow: a symbolic differentiation compiler. `import symflow as sf`.

The interface is loaded on first use, so that `symflow --help` does not wait for SymPy.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from symflow.api import *  # noqa: F403


def __getattr__(name: str) -> Any:
    if name.startswith("_"):
        raise AttributeError(name)
    from importlib import import_module

    return getattr(import_module("symflow.api"), name)


def __dir__() -> list[str]:
    from importlib import import_module

    return list(import_module("symflow.api").__all__)
