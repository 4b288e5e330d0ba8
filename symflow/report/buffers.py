"""The memory that a generated module keeps: its workspace, as the module's own text has it."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Buffer:
    """An array of the workspace.

    shape    as the module writes it, in numbers and sizes
    entries  how many that are, for one block of rows where there are blocks; None if it depends
             on sizes that are not known
    holds    what is written to it, one after the other
    """

    name: str
    shape: str
    entries: int | None
    holds: tuple[str, ...]


@dataclass(frozen=True)
class Workspace:
    """rows  of a block at most, 0 where a module does not work in blocks."""

    buffers: tuple[Buffer, ...]
    rows: int

    @property
    def entries(self) -> int | None:
        """Of all buffers together."""
        known = [one.entries for one in self.buffers if one.entries is not None]
        return sum(known) if len(known) == len(self.buffers) else None


def workspace(source: str) -> Workspace:
    """What a module says of its workspace; nothing for one without."""
    tree = ast.parse(source)
    rows, count = 0, ""
    arrays: dict[str, ast.expr] = {}
    holds: dict[str, list[str]] = {}
    for one in tree.body:
        if isinstance(one, ast.Assign) and ast.unparse(one.targets[0]) == "BLOCK":
            rows = int(ast.literal_eval(one.value))
        elif isinstance(one, ast.ClassDef) and one.name == "_Workspace":
            arrays, count = _arrays(one), _first_argument(one)
        elif isinstance(one, ast.FunctionDef):
            _note_uses(one, holds)
    known = {count: rows} if rows else {}
    buffers = (
        Buffer(name, ast.unparse(shape), _entries(shape, known), tuple(holds.get(name, ())))
        for name, shape in arrays.items()
    )
    return Workspace(tuple(buffers), rows)


def _arrays(workspace: ast.ClassDef) -> dict[str, ast.expr]:
    """The shapes of the arrays that the constructor makes."""
    found: dict[str, ast.expr] = {}
    for one in ast.walk(workspace):
        target = one.targets[0] if isinstance(one, ast.Assign) else getattr(one, "target", None)
        value = getattr(one, "value", None)
        if (
            isinstance(one, (ast.Assign, ast.AnnAssign))
            and isinstance(target, ast.Attribute)
            and isinstance(value, ast.Call)
            and ast.unparse(value.func) in ("_empty", "np.ones", "np.empty", "np.zeros")
        ):
            found[target.attr] = value.args[0]
    return found


def _first_argument(workspace: ast.ClassDef) -> str:
    """Of the constructor: the number of rows, where there are blocks."""
    for one in workspace.body:
        if isinstance(one, ast.FunctionDef) and one.name == "__init__":
            return one.args.args[1].arg
    return ""


def _note_uses(function: ast.FunctionDef, holds: dict[str, list[str]]) -> None:
    """What is assigned from a call that writes to a buffer is held there."""
    place: dict[str, str] = {}
    for one in ast.walk(function):
        if not isinstance(one, ast.Assign) or not isinstance(one.targets[0], ast.Name):
            continue
        name, buffer = one.targets[0].id, _written_to(one.value, place)
        if buffer is not None:
            place[name] = buffer
            kept = holds.setdefault(buffer, [])
            if name not in kept:
                kept.append(name)


def _written_to(value: ast.expr, place: Mapping[str, str]) -> str | None:
    """The buffer that an expression's result is in."""
    if isinstance(value, ast.Call):
        out = [one.value for one in value.keywords if one.arg == "out"] or value.args[-1:]
        if not out:
            return None
        value = out[0]
        if isinstance(value, ast.Name):
            return place.get(value.id)
    if isinstance(value, ast.Attribute) and ast.unparse(value.value) == "work":
        return None if value.attr.startswith("ones_") else value.attr
    return None


def _entries(shape: ast.expr, known: Mapping[str, int]) -> int | None:
    """The product of sizes, where all are known."""
    product = 1
    for size in shape.elts if isinstance(shape, ast.Tuple) else [shape]:
        if isinstance(size, ast.Constant) and isinstance(size.value, int):
            product *= size.value
        elif isinstance(size, ast.Name) and size.id in known:
            product *= known[size.id]
        else:
            return None
    return product
