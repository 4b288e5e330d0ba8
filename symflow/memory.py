"""Program → a function in memory, through the same statements and templates as a module."""

from __future__ import annotations

import linecache
import weakref
from collections.abc import Callable, Sequence
from typing import Any

from numpy.typing import NDArray

from symflow.alphabets import tensor_name
from symflow.errors import SymflowError, calling_location
from symflow.hygiene import marked, settled
from symflow.layout import Function, Helpers, laid_out, render, signature, sizes_of, uses_scipy
from symflow.program import Constant, Input, Program
from symflow.schedule import block
from symflow.watching import trace_function, watched


def executable(text: str, constants: dict[str, NDArray[Any]], name: str) -> Callable[..., Any]:
    """The function `_run` of a source, with its lines shown in tracebacks."""
    namespace: dict[str, Any] = dict(constants)
    try:
        exec(compile(text, name, "exec"), namespace)
    except ModuleNotFoundError as error:
        if error.name != "scipy":
            raise
        raise SymflowError(
            "special functions such as erf and lgamma are computed by SciPy, which is not "
            "installed; hint: pip install scipy",
            calling_location(),
        ) from None
    linecache.cache[name] = (len(text), None, text.splitlines(True), name)
    run: Callable[..., Any] = namespace["_run"]
    weakref.finalize(run, linecache.cache.pop, name, None).atexit = False
    return run


def _in_precision(constant: Constant, dtype: str) -> NDArray[Any]:
    """Floats in the model's precision, since a wider constant would widen all it touches."""
    return constant.data.astype(dtype) if constant.data.dtype.kind == "f" else constant.data


def session_source(
    program: Program,
    arguments: Sequence[str],
    variables: Sequence[str],
    dtype: str,
    traced: bool = False,
) -> tuple[str, dict[str, NDArray[Any]]]:
    """A function `_run(p, *arguments)` that returns a program's outputs, and its constants.

    `p` has an attribute for each of `variables`. If it is `traced`, the function returns where
    what is computed first is not finite instead.
    """
    program = marked(program, {})
    arguments, variables = [tensor_name(one) for one in arguments], [*map(tensor_name, variables)]
    constants = {
        definition.value.digest: (f"_constant_{tensor}", _in_precision(definition.value, dtype))
        for tensor, definition in enumerate(program.definitions)
        if isinstance(definition.value, Constant)
    }
    types = {
        definition.value.name: definition.type
        for definition in program.definitions
        if isinstance(definition.value, Input)
    }
    written = {name: f"p.{name}" for name in variables} | {name: name for name in arguments}
    sizes = sizes_of({name: types[name].shape for name in arguments})
    names = {key: name for key, (name, _) in constants.items()}
    taken = [*sizes, *arguments]
    if traced:
        code = watched(program, program.outputs, written, names, [*taken, *variables])
    else:
        code = block(program, program.outputs, written, names, taken, width=10_000)
    lines = [f"{size} = {source}" for size, source in sizes.items() if code.mentions(size)]
    if code.mentions("dtype"):
        lines.append(f"dtype = np.{dtype}")
    given = ["p: Any", *(f"{name}: Array" for name in arguments)]
    if traced:
        read = [text for name, text in written.items() if name in types]
        function = trace_function("_run", given, read, code, lines)
    else:
        for statement in code.statements:
            lines += statement.lines
        lines += ["return (", *(f"    {code.results[name]}," for name in program.outputs), ")"]
        function = Function(
            signature("_run", given, "tuple[Any, ...]"),
            ("What the session was asked for.",),
            tuple(lines),
        )
    found = {"helpers": Helpers(), "scipy": False}
    text = laid_out("session.py.j2", function=function, traces=traced, **found)
    found = {"helpers": Helpers.of(text), "scipy": uses_scipy(text)}
    text = render("session.py.j2", function=function, traces=traced, **found)
    held = dict(constants.values())
    return settled(text, held), held
