"""The functions of a module for exported tensors, and what says where they are not finite."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from symflow.arguments import Arguments
from symflow.layout import Function, paragraphs, signature
from symflow.ownership import owns_memory
from symflow.shapes import show
from symflow.source import docstring
from symflow.statements import INDENT, WIDTH, assignment, call
from symflow.watching import trace_function, watched


def exported(given: Arguments, name: str, traced: bool) -> Iterator[Function]:
    """The function that computes an output of the program, and, if `traced`, what traces it."""
    program = given.program
    tensor = program.outputs[name]
    used = given.used([tensor])
    code = given.block({name: tensor}, WIDTH - len(": Array"))
    type_ = program[tensor].type
    shape = show(type_.shape) if type_.shape else "a scalar"
    result = code.results[name]
    lines = [*given.entry(used), *given.prelude(code, used)]
    statements = list(code.statements)
    for statement in statements:
        lines += statement.lines
    owned = owns_memory(program, tensor)
    if not owned or type_.shape == ():
        made = "np.asarray" if owned else "np.array"
        kept = f", {given.precision(used)}" if type_.dtype == "float" and not type_.shape else ""
        lines += call(f"return {made}", [f"{result}{kept}"], "")
    elif re.fullmatch(r"\w+", result):
        lines.append(f"return {result}")
    else:
        lines += [f"result: Array = {result}", "return result"]
    if lines[-1] == f"return {result}":
        lines = [part for line in lines for part in _annotated(line, result)]
    inputs = [f"{one} {show(given.types[one].shape)}" for one in used]
    of = f", from {', '.join(inputs)}" if inputs else ""
    doc = paragraphs(docstring(f"{name}, {shape}{of}."))
    function = Function(signature(name, given.declared(used), "Array"), doc, tuple(lines))
    if not traced:
        yield function
        return
    yield required(given, function, f"_trace_{name}", used)
    yield tracing(given, f"_trace_{name}", {name: tensor}, used)


def required(given: Arguments, function: Function, trace: str, used: Sequence[str]) -> Function:
    """A function that says where what is not finite in its result began."""
    *lines, last = function.lines
    result = last.removeprefix("return ")
    if not result.isidentifier():
        lines, result = [*lines, f"result = {result}"], "result"
    passed = [result, '""', trace, *(["p"] if given.parameters else []), *used]
    lines += [*call("_require_finite", passed, ""), f"return {result}"]
    return replace(function, lines=tuple(lines))


def tracing(given: Arguments, name: str, roots: Mapping[str, int], used: Sequence[str]) -> Function:
    """The function that looks for what is not finite first."""
    taken = [*given.taken, *given.parameters]
    code = watched(given.program, roots, given.written, given.constants, taken)
    arguments = given.checked(used)
    read = [*(f"p.{one}" for one in given.parameters), *used]
    return trace_function(name, arguments, read, code, given.prelude(code, used))


def _annotated(line: str, name: str) -> list[str]:
    """The assignment to a result with its type, for NumPy's operators are typed as Any."""
    prefix = f"{name} = "
    if not line.startswith(prefix):
        return [line]
    annotated = f"{name}: Array = {line.removeprefix(prefix)}"
    code, hash_, comment = annotated.rpartition("  # ")
    if not hash_:
        return assignment(f"{name}: Array", line.removeprefix(prefix))
    if INDENT + len(annotated) <= WIDTH:
        return [annotated]
    return [f"# {comment}", code]
