"""Statements that are watched: where a tensor first is not finite.

A module that is compiled with --trace-nan computes as any other. Only where a result is not finite,
a second function does it again, one operation per statement, and after each tells `_Trace` what it
computed, from what, by which formula and on which line of the model (`templates/nan.py.j2`).
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import sympy as sp

from symflow.alphabets import size_name
from symflow.arithmetic import undistributed
from symflow.hygiene import free
from symflow.invariants import is_free
from symflow.layout import Function, signature
from symflow.program import Program
from symflow.recurrence import Scan
from symflow.schedule import Printer, block
from symflow.source import docstring, literal
from symflow.statements import INDENT, WIDTH, Block, ForLoop, Statement, call


class Explaining(Printer):
    """NumPy's functions of arrays, each statement with its formula."""

    explains = True


@undistributed
def watched(
    program: Program,
    roots: Mapping[str, int],
    written: Mapping[str, str],
    constants: Mapping[str, str],
    taken: Sequence[str],
) -> Block:
    """A block with a statement for each operation, each of which is watched."""
    code = block(
        program,
        roots,
        written,
        constants,
        taken,
        apart=_operations,
        printer=Explaining(),
    )
    return _watched(code, frozenset(map(size_name, _sizes(program))))


@undistributed
def trace_function(
    name: str, arguments: Sequence[str], given: Sequence[str], code: Block, prelude: Sequence[str]
) -> Function:
    """`def name(arguments) -> str`, which says where the block first is not finite.

    given    how the parameters and inputs are written
    prelude  statements before it
    """
    lines = [*call("_trace = _Trace", [f"{_key(one)}={one}" for one in given], ""), *prelude]
    for statement in code.statements:
        lines += statement.lines
    for result, text in code.results.items():  # one may be an expression, as of a number
        if text not in (*code.names, *given):
            lines += call("_trace.saw", [text, f'"{result}"', '""', '""'], "")
    doc = "Where what is computed first is not finite."
    return Function(signature(name, arguments, "str"), (doc,), (*lines, "return _trace.told()"))


def _sizes(program: Program) -> set[sp.Symbol]:
    return {
        symbol
        for definition in program.definitions
        for size in definition.type.shape
        for symbol in size.free_symbols
    }


def _operations(program: Program, roots: Mapping[str, int]) -> set[int]:
    """What can make something that is not finite."""
    return {
        tensor
        for tensor, definition in enumerate(program.definitions)
        if not is_free(definition.value)
        and definition.value.operands
        and not isinstance(definition.value, Scan)
        and definition.type.dtype == "float"
    }


def _watched(code: Block, sizes: frozenset[str]) -> Block:
    """The block with a line after each statement, also within loops."""
    statements: list[Statement | ForLoop] = []
    for one in code.statements:
        if isinstance(one, ForLoop):
            statements.append(replace(one, step=_watched(one.step, sizes)))
        else:
            statements.append(
                replace(one, shown=False, after=tuple(_line(code.program, one, sizes)))
            )
    return replace(code, statements=tuple(statements))


def _line(program: Program, statement: Statement, sizes: frozenset[str]) -> list[str]:
    """`_trace.saw(...)` of a statement."""
    definition = program[statement.tensor]
    formula = statement.formula or f"{statement.name} = {statement.expression}"
    told = docstring(formula).replace('"', "'")
    room = WIDTH - statement.indent - INDENT - len('"",')
    operands = [f"{_key(one)}={one}" for one in _read(statement.expression) if one not in sizes]
    body = getattr(definition.value, "body", None)
    if isinstance(body, sp.Expr) and body.has(sp.oo, -sp.oo):  # infinite, but not by accident
        named = {one.partition("=")[0] for one in operands}
        operands.append(f"{free('infinity', named)}=np.inf")
    given = [
        statement.name,
        f'"{statement.name}"',
        literal(told if len(told) <= room else ""),
        literal(str(definition.origin or "")),
        *operands,
    ]
    return call("_trace.saw", given, "", statement.indent)


def _key(source: str) -> str:
    """What an array is called: `w1` for `p.w1`."""
    return source.removeprefix("p.")


def _read(expression: str) -> list[str]:
    """The arrays that an expression reads, in order, each once."""
    return list(dict.fromkeys(_names(ast.parse(expression, mode="eval").body)))


def _names(node: ast.expr) -> Iterator[str]:
    if isinstance(node, ast.Attribute):
        if isinstance(node.value, ast.Name) and node.value.id == "p":
            yield f"p.{node.attr}"
        elif not (isinstance(node.value, ast.Name) and node.value.id in ("np", "special")):
            yield from _names(node.value)
        return
    if isinstance(node, ast.Name):
        if node.id not in ("np", "dtype", "special"):
            yield node.id
        return
    children = ast.iter_child_nodes(node)
    for child in children:
        if isinstance(node, ast.Call) and child is node.func and isinstance(child, ast.Name):
            continue
        for part in [child.value] if isinstance(child, ast.keyword) else [child]:
            if isinstance(part, ast.expr):
                yield from _names(part)
