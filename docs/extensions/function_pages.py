"""The directive `{functions}`: public names with their signatures and docstrings.

```{functions} placeholder Variable constant
```

shows `sf.placeholder(...)` and so on; `{functions} nn:*` shows all that `sf.nn` offers, without
what `{arrays}` shows already. `symflow.flat.flat` is a name of a module that `sf` does not have. A
name of `symflow.api` that stands on no page is a warning.
"""

from __future__ import annotations

import inspect
from importlib import import_module
from typing import Any

from array_examples import SHOWN
from docutils import nodes
from prose import prose
from sphinx.application import Sphinx
from sphinx.errors import ExtensionError
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective

import symflow as sf

_logger = logging.getLogger(__name__)
_NO_FUNCTIONS = {"linalg", "losses", "nn", "testing", "train"}
"""Modules; their contents are documented by `{functions} nn:*`."""


class Functions(SphinxDirective):
    """Public names of `symflow`, in the order given."""

    required_arguments = 1
    final_argument_whitespace = True

    def run(self) -> list[nodes.Node]:
        text = "\n\n".join(entry(name) for name in _wanted(self.arguments[0].split()))
        self.env.note_dependency(inspect.getfile(sf))
        return self.parse_text_to_nodes(text)


def _wanted(patterns: list[str]) -> list[str]:
    found = []
    for pattern in patterns:
        module, star, _ = pattern.partition(":*")
        if not star:
            found.append(pattern)
            continue
        names = getattr(getattr(sf, module), "__all__", None) or public(module)
        found += [one for name in names if (one := f"{module}.{name}") not in SHOWN]
    return found


def public(module: str) -> list[str]:
    """What a module without `__all__` defines itself."""
    contents = vars(getattr(sf, module))
    own = f"symflow.{module}"
    return [
        name
        for name, one in contents.items()
        if not name.startswith("_") and getattr(one, "__module__", None) == own
    ]


def thing(name: str) -> Any:
    """What a dotted name below `sf` is, or one of a module of symflow's in full."""
    if name.startswith("symflow."):
        module, _, last = name.rpartition(".")
        return getattr(import_module(module), last)
    found: Any = sf
    for part in name.split("."):
        found = getattr(found, part)
    return found


def entry(name: str) -> str:
    """A name as a directive of Sphinx's domain of Python, in Markdown."""
    one = thing(name)
    shown = name if name.startswith("symflow.") else f"sf.{name}"
    if inspect.isclass(one) and one.__module__.startswith("symflow"):
        return _class(shown, one)
    if not callable(one) or inspect.isclass(one):
        return f"```{{py:data}} {shown}\n```"
    return f"```{{py:function}} {shown}{signature(one)}\n\n{_doc(one)}\n```"


def _class(name: str, one: type) -> str:
    methods = [
        (found, member)
        for found, member in vars(one).items()
        if not found.startswith("_") and inspect.isfunction(member) and member.__doc__
    ]
    inside = "\n\n".join(
        f"````{{py:method}} {found}{signature(member)}\n\n{_doc(member)}\n````"
        for found, member in methods
    )
    call = "" if issubclass(one, tuple | Exception) else signature(one)
    return f"``````{{py:class}} {name}{call}\n\n{_doc(one)}\n\n{inside}\n``````"


def _doc(one: Any) -> str:
    text = inspect.getdoc(one)
    if not text:
        raise ExtensionError(f"{one!r} has no docstring")
    return prose(text)


def signature(one: Any) -> str:
    """The parameters with their defaults; types are left to the docstrings."""
    found = inspect.signature(one)
    parameters = [
        parameter.replace(annotation=inspect.Parameter.empty)
        for parameter in found.parameters.values()
        if parameter.name != "self"
    ]
    bare = found.replace(parameters=parameters, return_annotation=inspect.Signature.empty)
    return str(bare)


def _complain(app: Sphinx, environment: Any) -> None:
    """Every public name must stand on a page."""
    documented = {name for name, *_ in environment.get_domain("py").get_objects()}
    for name in set(dir(sf)) - _NO_FUNCTIONS:
        if f"sf.{name}" not in documented:
            _logger.warning("sf.%s is documented on no page", name)


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_directive("functions", Functions)
    app.connect("env-check-consistency", _complain)
    return {"parallel_read_safe": True}
