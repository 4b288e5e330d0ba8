"""The one way in which values and texts become part of a module: as literals, comments and names.

What a model, a command or a file says is text like any other. It stands in a module as a literal
of a known type, or in a docstring or a comment that it cannot leave; it names a thing only where it
is a name. Templates and formulas are symflow's own.
"""

from __future__ import annotations

import keyword
import re
import symtable
import unicodedata
from collections.abc import Collection, Iterator
from typing import Any

import numpy as np


def literal(value: Any) -> str:
    """A value as Python writes it: a number, a truth value, None, text, tuples and lists of them.

    NumPy names what is not finite. How the value's own class would have it written does not count.
    Raises AssertionError for anything else.
    """
    if value is None or isinstance(value, (bool, np.bool_)):
        return repr(None if value is None else bool(value))
    if isinstance(value, (int, np.integer)):
        return int.__repr__(int(value))
    if isinstance(value, (float, np.floating)):
        return re.sub(r"\b(inf|nan)\b", r"np.\1", float.__repr__(float(value)))
    if isinstance(value, str):
        return _quoted(str.__str__(value))
    if isinstance(value, (tuple, list)):
        inside = ", ".join(map(literal, value))
        if isinstance(value, list):
            return f"[{inside}]"
        return f"({inside},)" if len(value) == 1 else f"({inside})"
    raise AssertionError(f"{type(value).__name__} has no literal")


def _quoted(text: str) -> str:
    """Text in double quotes, as a formatter has it, in ASCII where it is not printable."""
    written = "".join(_in_quotes(one) for one in text)
    return f'"{written}"'


def _in_quotes(character: str) -> str:
    if character in '"\\':
        return f"\\{character}"
    return character if character.isprintable() else character.encode("unicode_escape").decode()


def docstring(text: str) -> str:
    """A text for a docstring or a comment: one line, no quotes that end it, no escapes."""
    plain = "".join(one if one.isprintable() else " " for one in text)
    return " ".join(plain.split()).replace("\\", "/").replace('"""', "'''").rstrip('"')


def is_identifier(name: str) -> bool:
    """Whether a name can stand in Python source as it is."""
    return name.isidentifier() and name.isascii() and not keyword.iskeyword(name)


def is_name(name: object) -> bool:
    """Whether Python itself could have bound a name, as it reads it: in letters of any script."""
    if not isinstance(name, str) or not name.isidentifier() or keyword.iskeyword(name):
        return False
    return unicodedata.normalize("NFKC", name) == name


# --- modules -------------------------------------------------------------------------------------

BUILTINS = frozenset(
    {"ArithmeticError", "AttributeError", "Exception", "FloatingPointError", "ImportError"}
    | {"LookupError", "OSError", "TypeError", "ValueError"}
    | {"abs", "all", "any", "bool", "callable", "dict", "divmod", "enumerate", "float", "frozenset"}
    | {"int", "isinstance", "iter", "len", "list", "map", "max", "min", "next", "object", "pow"}
    | {"print", "range", "reversed", "round", "set", "slice", "sorted", "str", "sum", "super"}
    | {"tuple", "type", "zip"}
)
"""Of Python's own, what a module may call anywhere: nothing that reads, writes or runs."""

OF_FILES = frozenset({"open", "os", "zipfile", "io", "hashlib", "Path", "__file__"})
"""What only the functions that save, load and test themselves may use."""

WITH_FILES = frozenset(
    {"save_parameters", "load_parameters", "_read_array", "_read_arrays", "_digest", "selftest"}
)

IMPORTED = frozenset(
    {"annotations", "np", "special", "math", "sys", "Any", "NamedTuple", "NDArray", "ArrayLike"}
    | {"Callable", "Iterable", "Iterator", "Sequence", "SimpleNamespace", "ThreadPoolExecutor"}
    | {"os", "zipfile", "io", "hashlib", "Path"}
)
"""What a module imports."""


def check_names(text: str, known: Collection[str] = ()) -> None:
    """Raise AssertionError where a module's text has a name that comes from nowhere.

    known  names that the text is given when it is run

    It is made of symflow's own text, so that none should. Should a value be code there after all,
    the module is not written.
    """
    top = symtable.symtable(text, "module", "exec")  # a third of the time and memory of a tree
    own = {one.get_name() for one in top.get_symbols() if one.is_assigned() or one.is_imported()}
    own.update(known)
    for scope in _scopes(top):
        for symbol in scope.get_symbols():
            called = symbol.get_name()
            if not _is_known(symbol, scope is top, scope.get_name(), own):
                raise AssertionError(f"{called} in {scope.get_name()} comes from nowhere")


def _is_known(symbol: symtable.Symbol, at_top: bool, scope: str, own: Collection[str]) -> bool:
    called = symbol.get_name()
    if symbol.is_imported():
        return called in IMPORTED
    if not (at_top or symbol.is_global()):
        return True
    if called in OF_FILES:
        return at_top or scope in WITH_FILES
    return called in own or called in BUILTINS or called in _MODULE


_MODULE = frozenset({"__name__", "__class__"})


def _scopes(table: symtable.SymbolTable) -> Iterator[symtable.SymbolTable]:
    yield table
    for inner in table.get_children():
        yield from _scopes(inner)
