"""Which lines of a generated module compute which tensor.

A module says so itself: its statements stand under comments with a name, a shape and a model line.
A statement without one goes on with what the one above it has begun.
"""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from symflow.primitives import Part
from symflow.program import Input
from symflow.recurrence import Scan
from symflow.report.entries import Entry
from symflow.shapes import show

MAIN = ("_block", "_evaluate", "_fixed", "_loss_and_gradients", "_loss")
"""The functions that compute loss and gradient; what stands in one of them is shown first."""


@dataclass(frozen=True)
class Lines:
    """Lines of a generated module, the first and the last of them, that compute one thing.

    name, shape, origin  what their comment calls it
    """

    function: str
    name: str
    shape: str
    origin: str
    first: int
    last: int


@dataclass(frozen=True)
class Computed:
    """Where a tensor is computed.

    lines   of its own; or, if there are none, those of the tensors that it is written into
    within  whether they are those of others
    """

    lines: tuple[Lines, ...]
    within: bool = False


def computed(source: str, entries: Sequence[Entry]) -> Mapping[tuple[int, ...], Computed]:
    """For the path of every tensor, the lines of a module that compute it; none for inputs."""
    own: dict[tuple[int, ...], list[Lines]] = {}
    tree = ast.parse(source)
    consumers = _consumers(entries)
    by_name = _ByName(entries, consumers)
    said = list(groups(source, tree))
    for lines in said:
        entry = by_name.found(lines)
        if entry is not None:
            own.setdefault(entry.path, []).append(lines)
    for path, loops in _loops(tree, entries, {one.function for one in said}).items():
        own.setdefault(path, []).extend(loops)
    found = {path: Computed(tuple(sorted(lines, key=_rank))) for path, lines in own.items()}
    for one in reversed(entries):
        if one.path in found or isinstance(one.definition.value, Input):
            continue
        within = [line for path in consumers[one.path] for line in _of(found, path)]
        if within:
            found[one.path] = Computed(tuple(sorted(dict.fromkeys(within), key=_rank)), True)
    return found


def names_in_module(
    found: Mapping[tuple[int, ...], Computed], entries: Sequence[Entry]
) -> dict[tuple[int, ...], str]:
    """What the functions that compute loss and gradient call tensors, after their labels."""
    names: dict[tuple[int, ...], str] = {}
    for one in entries:
        where = found.get(one.path, Computed((), True))
        if not where.within and where.lines[0].function in MAIN:
            name, label = where.lines[0].name, one.definition.label.name
            if name == label or name.startswith(f"{label}_"):
                names[one.path] = name
    return names


def _of(found: Mapping[tuple[int, ...], Computed], path: tuple[int, ...]) -> Sequence[Lines]:
    return found[path].lines if path in found else ()


def _rank(lines: Lines) -> tuple[int, int]:
    at = MAIN.index(lines.function) if lines.function in MAIN else len(MAIN)
    return (0 if at < len(MAIN) - 1 else at), lines.first


def _consumers(entries: Sequence[Entry]) -> dict[tuple[int, ...], list[tuple[int, ...]]]:
    found: dict[tuple[int, ...], list[tuple[int, ...]]] = {one.path: [] for one in entries}
    for one in entries:
        for operand in dict.fromkeys(one.definition.value.operands):
            found[(*one.path[:-1], operand)].append(one.path)
    return found


# --- what the module says --------------------------------------------------------------------


def groups(source: str, tree: ast.Module) -> Iterator[Lines]:
    """Every run of statements under a comment that says what it computes."""
    comments = _comments(source)
    for function in tree.body:
        if isinstance(function, ast.FunctionDef):
            yield from _in_function(function.name, function.body, comments)


def _in_function(
    function: str, body: Sequence[ast.stmt], comments: Mapping[int, str]
) -> Iterator[Lines]:
    current: Lines | None = None
    for statement in body:
        inner = getattr(statement, "body", None)
        if isinstance(inner, list):
            if current is not None:
                yield current
                current = None
            yield from _in_function(function, inner, comments)
            continue
        first = statement.lineno
        while first - 1 in comments and comments[first - 1].startswith("# "):
            first -= 1
        last = statement.end_lineno or statement.lineno
        said = [comments[line] for line in range(first, statement.lineno)]
        said += [comments[last].lstrip()] if last in comments else []
        begun = _said(said, function, _target(statement), first, last)
        if begun is not None:
            if current is not None:
                yield current
            current = begun
        elif current is not None and _goes_on(statement, current.name):
            current = replace(current, last=last)
        elif current is not None:
            yield current
            current = None
    if current is not None:
        yield current


def _comments(source: str) -> dict[int, str]:
    """The comment of every line that has one; behind a space where code stands before it."""
    found: dict[int, str] = {}
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            alone = not token.line[: token.start[1]].strip()
            found[token.start[0]] = token.string if alone else f" {token.string}"
    return found


def _said(
    comments: Sequence[str], function: str, target: str, first: int, last: int
) -> Lines | None:
    name, shape, origin = "", "", ""
    for comment in comments:
        text = comment.removeprefix("# ")
        formula = re.match(r"(\w+)(?:\[[^\]]*\])?(?: =|:) ", text)
        if formula:
            name = formula[1]
        for part in re.split(r"  +", re.sub(r"^\w+: ", "", text)):
            if part == "scalar" or re.fullmatch(r"\(.*\)", part):
                shape = part
            elif re.fullmatch(r"\S+\.py:\d+", part):
                origin = part
    if not origin and not name:
        return None
    target = target if target != "result" else ""  # of the function
    return Lines(function, name or target or function.lstrip("_"), shape, origin, first, last)


def _target(statement: ast.stmt) -> str:
    if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
        return statement.target.id
    if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name):
        return statement.targets[0].id
    return ""


def _goes_on(statement: ast.stmt, name: str) -> bool:
    """Whether a statement without a comment belongs to what is called so."""
    if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Call):
        return not ast.unparse(statement.value.func).endswith(".append")
    target = _target(statement)
    return target == name or target.startswith(f"{name}_part")


# --- which tensor that is --------------------------------------------------------------------


class _ByName:
    """Tensors by what lines say of them: name and model line, and shape where that tells more."""

    def __init__(
        self,
        entries: Sequence[Entry],
        consumers: Mapping[tuple[int, ...], Sequence[tuple[int, ...]]],
    ) -> None:
        self.consumers = consumers
        self.named: dict[str, list[Entry]] = {}
        self.at: dict[tuple[str, str], list[Entry]] = {}
        for one in sorted(entries, key=lambda one: (-one.definition.label.rank, one.path)):
            if not isinstance(one.definition.value, Input):
                self.named.setdefault(one.definition.label.name, []).append(one)
                if isinstance(one.definition.value, Part):
                    continue
                place = str(one.definition.origin or ""), _shape(one)
                self.at.setdefault(place, []).append(one)

    def found(self, lines: Lines) -> Entry | None:
        """The tensor that lines compute."""
        exact = self._fitting(lines.name, lines)
        if exact:
            return self._last(exact)
        base = re.sub(r"(_t)?(_\d+)?$", "", lines.name)
        found = self._fitting(base, lines)
        number = re.search(r"_(\d+)$", lines.name)
        if found and number:
            return found[min(int(number[1]), len(found)) - 1]
        if not found:  # such as the first value of what a loop carries
            near = self.at.get((lines.origin, lines.shape), [])
            only = [one for one in near if one.backward == lines.name.startswith("d_")] or near
            return only[0] if len(only) == 1 and lines.origin else None
        return self._last(found)

    def _fitting(self, name: str, lines: Lines) -> list[Entry]:
        found = [one for one in self.named.get(name, ()) if _is_at(one, lines)]
        return [one for one in found if _shape(one) == lines.shape] or found

    def _last(self, found: Sequence[Entry]) -> Entry:
        """Of tensors of one name, the one that the others are written into."""
        paths = {one.path for one in found}
        ends = [
            one
            for one in found
            if not self.consumers[one.path] or not paths.issuperset(self.consumers[one.path])
        ]
        return (ends or found)[0]


def _is_at(one: Entry, lines: Lines) -> bool:
    return not lines.origin or str(one.definition.origin or "") == lines.origin


def _shape(one: Entry) -> str:
    return show(one.definition.type.shape) if one.definition.type.shape else "scalar"


def _loops(
    tree: ast.Module, entries: Sequence[Entry], functions: Collection[str]
) -> dict[tuple[int, ...], list[Lines]]:
    """The loops of functions that compute tensors, in the order of the program's loops."""
    scans = [
        one for one in entries if isinstance(one.definition.value, Scan) and len(one.path) == 1
    ]
    found: dict[tuple[int, ...], list[Lines]] = {}
    for function in tree.body:
        if not isinstance(function, ast.FunctionDef) or function.name not in functions:
            continue
        loops = [one for one in function.body if isinstance(one, ast.For)]
        for one, loop in zip(scans, loops, strict=False):
            last = max(loop.body[0].lineno - 1, loop.lineno)
            name = one.definition.label.name
            lines = Lines(function.name, name, "", "", loop.lineno, last)
            found.setdefault(one.path, []).append(lines)
    return found
