"""A generated function statement by statement: what each computes, and the model line it is from.

The comments of a generated module name the line of the model that each statement comes from, so
that what goes wrong in a module can be told in terms of the model, also where only the module is
there.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from types import CodeType
from typing import Any

import numpy as np

from symflow.subject import Point, Subject

_ORIGIN = re.compile(r"#.*?(\S+\.py:\d+)\s*$")


@dataclass(frozen=True)
class Statement:
    """A statement of a generated function.

    name    what it assigns
    line    of the module
    text    its source on one line
    origin  `model.py:7`, if its comment says so
    reads   names that it mentions
    """

    name: str
    line: int
    text: str
    origin: str | None
    reads: tuple[str, ...]

    def __str__(self) -> str:
        where = self.origin or f"line {self.line} of the module"
        return f"{where}: {self.text}"


Change = Callable[[Any], Any]


class Trace:
    """The function that computes loss and gradients, to be run statement by statement."""

    def __init__(self, of: Subject) -> None:
        self.subject = of
        self.statements: list[Statement] = []
        self._codes: list[CodeType] = []
        self._nodes: list[list[ast.stmt]] = []
        self.arguments: list[str] = []
        self.loss: CodeType | None = None
        self._lines = of.source.splitlines()
        for node in of.tree.body:
            if isinstance(node, ast.FunctionDef) and node.name == "_loss_and_gradients":
                self.arguments = [one.arg for one in node.args.args]
                self._read(node)

    def _read(self, function: ast.FunctionDef) -> None:
        for node in function.body:
            if isinstance(node, ast.Return):
                if isinstance(node.value, ast.Tuple):
                    loss = node.value.elts[0]
                    if isinstance(loss, ast.Call) and loss.args:  # float(...)
                        loss = loss.args[0]
                    self.loss = compile(ast.Expression(loss), "<loss>", "eval")
            elif not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)):
                self._add(node)

    def _add(self, node: ast.stmt) -> None:
        """Add a statement; what goes on to compute the same name is part of it."""
        statement, nodes = self._statement(node), [node]
        if self.statements and statement.name and self.statements[-1].name == statement.name:
            first = self.statements.pop()
            self._codes.pop()
            nodes = [*self._nodes.pop(), node]
            statement = replace(
                first,
                text=f"{first.text}; {statement.text}",
                reads=(*first.reads, *statement.reads),
            )
        elif statement.origin is None and self.subject.pure is not self.subject.module:
            above = self.statements[-1].origin if self.statements else None
            statement = replace(statement, origin=above)  # one comment stands above all its calls
        self.statements.append(statement)
        self._nodes.append(nodes)
        self._codes.append(compile(ast.Module(nodes, []), "<module>", "exec"))

    def _statement(self, node: ast.stmt) -> Statement:
        target = node.targets[0] if isinstance(node, ast.Assign) else getattr(node, "target", None)
        name = target.id if isinstance(target, ast.Name) else ""
        text = " ".join(ast.unparse(node).split())
        reads = tuple(one.id for one in ast.walk(node) if isinstance(one, ast.Name))
        return Statement(name, node.lineno, text, self._origin(node), reads)

    def _origin(self, node: ast.stmt) -> str | None:
        """The model line in the comment behind a statement, or in those above it."""
        first, last = node.lineno - 1, (node.end_lineno or node.lineno) - 1
        for line in self._lines[first : last + 1]:
            found = _ORIGIN.search(line)
            if found:
                return found[1]
        while first > 0 and self._lines[first - 1].strip().startswith("#"):
            first -= 1
            found = _ORIGIN.search(self._lines[first])
            if found:
                return found[1]
        return None

    def at_line(self, line: int) -> Statement | None:
        """The statement of either function that computes the loss, at a line of the module."""
        kinds = (ast.Assign, ast.AnnAssign, ast.AugAssign, ast.Return)
        for function in ast.walk(self.subject.tree):
            if isinstance(function, ast.FunctionDef):
                for node in function.body:
                    if node.lineno <= line <= (node.end_lineno or 0) and isinstance(node, kinds):
                        return self._statement(node)
        return None

    def names(
        self,
        point: Point,
        changes: Mapping[str, Change] | None = None,
        until: Collection[str] = (),
    ) -> dict[str, Any]:
        """All names after the last statement, or after those that assign `until`."""
        missing, found = set(until), dict[str, Any]()
        for statement, names in self.run(point, changes):
            found = names
            missing.discard(statement.name)
            if until and not missing:
                break
        return found

    def run(
        self, point: Point, changes: Mapping[str, Change] | None = None
    ) -> Iterator[tuple[Statement, dict[str, Any]]]:
        """Run it; after each statement, it and all names. `changes` are made when assigned."""
        names: dict[str, Any] = dict(vars(self.subject.pure))
        names |= {self.arguments[0]: point.parameters, **self.subject.given(point.inputs)}
        with np.errstate(all="ignore"):
            for statement, code in zip(self.statements, self._codes, strict=True):
                exec(code, names)
                if changes and statement.name in changes:
                    names[statement.name] = changes[statement.name](names[statement.name])
                yield statement, names
