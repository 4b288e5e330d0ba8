"""Run a model file; where a statement is a mistake, go on after it, so that the next is told too.

What a statement with a mistake would have bound is a broken tensor: whatever is made of it is
broken, and complaints that come of it are not told.
"""

from __future__ import annotations
import __future__

import ast
import inspect
import os
import re
import sys
import sysconfig
import traceback
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any

from symflow.errors import Location, SymflowError, is_own, running, shown
from symflow.graph import Graph, StepInput, Tensor
from symflow.guidance import nearest

Namespace = dict[str, Any]

_FUTURE = sum({getattr(__future__, name).compiler_flag for name in __future__.all_feature_names})
_LIBRARIES = tuple({sysconfig.get_path(name) + os.sep for name in ("stdlib", "purelib", "platlib")})
_BOUND_BY = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
_MOST_FRAMES = 8


def run(path: Path, source: str, graph: Graph) -> tuple[ast.Module, Namespace, list[SymflowError]]:
    """The tree of a model file, the names that it binds, and the mistakes in it."""
    tree = ast.Module([], [])
    namespace: Namespace = {"__name__": path.stem, "__file__": str(path)}
    try:
        tree = ast.parse(source, str(path))
        flags = compile(tree, str(path), "exec", dont_inherit=True).co_flags & _FUTURE
    except SyntaxError as error:
        return tree, namespace, [_ungrammatical(error, path)]
    except (ValueError, RecursionError, MemoryError) as error:  # null bytes; nested too deeply
        return tree, namespace, [SymflowError(_told(error), Location(path.name, 1))]
    folder = str(path.resolve().parent)
    sys.path.insert(0, folder)
    try:
        with graph.as_default(), running(str(path), source):
            return tree, namespace, _run(tree.body, str(path), flags, namespace)
    finally:
        sys.path.remove(folder)


def _run(body: list[ast.stmt], path: str, flags: int, namespace: Namespace) -> list[SymflowError]:
    mistakes: list[SymflowError] = []
    while body:
        try:
            code = compile(ast.Module(body, []), path, "exec", flags, dont_inherit=True)
            exec(code, namespace)
            break
        except SymflowError as error:
            at = _failed(body, error, path)
            if not _comes_of_another(error, body[at], namespace):
                mistakes.append(error)
            if not _spoil(body[at], namespace):
                break
            body = body[at + 1 :]
        except (Exception, SystemExit) as error:
            if isinstance(error, AssertionError) and _is_ours(error):
                raise
            if not mistakes:
                mistakes.append(_blamed(error, path))
            break
    return mistakes


def _failed(body: list[ast.stmt], error: BaseException, path: str) -> int:
    """Which statement of the file an error ended."""
    line = next(_frames(error, path))[1]
    return max(at for at, one in enumerate(body) if at == 0 or _first_line(one) <= line)


def _first_line(statement: ast.stmt) -> int:
    decorators: list[ast.expr] = getattr(statement, "decorator_list", [])
    return min([statement.lineno, *(one.lineno for one in decorators)])


def _frames(error: BaseException, path: str) -> Iterator[tuple[FrameType, int]]:
    """Frames from the model file on to where an error was raised, with their lines."""
    frames = list(traceback.walk_tb(error.__traceback__))
    names = [frame.f_code.co_filename for frame, _ in frames]
    return iter(frames[names.index(path) :] if path in names else [])


# --- going on after a mistake --------------------------------------------------------------------


def _spoil(statement: ast.stmt, namespace: Namespace) -> bool:
    """Break what a failed statement would have bound, and containers that it may have filled;
    False where what it binds cannot be known."""
    if isinstance(statement, (ast.Import, ast.ImportFrom)):
        return False
    for node in ast.walk(statement):
        if isinstance(node, _BOUND_BY):
            namespace[node.name] = _broken()
        elif isinstance(node, ast.Name):
            held = namespace.get(node.id)
            if isinstance(node.ctx, ast.Store) or isinstance(held, (list, dict, set)):
                namespace[node.id] = _broken()
    return True


def _broken() -> Tensor:
    tensor = StepInput(None, Graph())
    tensor.broken = True
    return tensor


def _comes_of_another(error: BaseException, statement: ast.stmt, namespace: Namespace) -> bool:
    """Whether a statement read something broken on its way to an error."""
    names = [node for node in ast.walk(statement) if isinstance(node, ast.Name)]
    held = [namespace.get(node.id) for node in names if isinstance(node.ctx, ast.Load)]
    for frame, _ in traceback.walk_tb(error.__traceback__):
        if frame.f_locals is not namespace:  # a function
            held += frame.f_locals.values()
            if frame.f_globals is namespace:
                held += [namespace.get(name) for name in frame.f_code.co_names]
    return any(map(_holds_broken, held))


def _holds_broken(value: Any) -> bool:
    values = value if isinstance(value, (list, tuple)) else [value]
    # one that is not yet made has no such attribute
    return any(isinstance(one, Tensor) and vars(one).get("broken", False) for one in values)


# --- what Python raises --------------------------------------------------------------------------


def _told(error: BaseException) -> str:
    try:
        text = re.sub(r"\. Did you mean .*", "", " ".join(str(error).split()))
    except Exception:  # an exception that cannot even say what it is
        text = ""
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _ungrammatical(error: SyntaxError, path: Path) -> SymflowError:
    """A SyntaxError with the line and a caret under the place, as Python shows it."""
    name = os.path.basename(error.filename or path.name)
    text = error.text or ""
    excerpt = [shown(text)] if text.strip() else []
    if excerpt and error.offset and len(excerpt[0]) == len(text.strip()):
        indent = len(text) - len(text.lstrip())
        excerpt.append(" " * max(error.offset - 1 - indent, 0) + "^")
    message = f"{type(error).__name__}: {error.msg}"
    return SymflowError(message, Location(name, error.lineno or 1), excerpt=excerpt)


def _is_ours(error: BaseException) -> bool:
    """Whether an exception comes from inside of symflow."""
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    return is_own(frames[-1])


def _blamed(error: BaseException, path: str) -> SymflowError:
    """What the model raised, with the frames that are the user's own."""
    if isinstance(error, SyntaxError) and os.path.isfile(error.filename or ""):
        return _ungrammatical(error, Path(path))  # of a file that the model imports
    frames = [one for one in _frames(error, path) if _is_users(one[0])]
    if not frames:
        return SymflowError(_told(error), Location(os.path.basename(path), 1))
    called = _called(error)
    message = _told(error) if called is None else f"{called}: {_told(error)}"
    frame, line = frames[-1]
    at = _at(frame, line)
    excerpt = [at.source] if len(frames) == 1 else _traceback(frames)
    known = {*frame.f_locals, *frame.f_globals}
    return SymflowError(message, at, excerpt=excerpt, hint=_hint(error, known))


def _is_users(frame: FrameType) -> bool:
    file = frame.f_code.co_filename
    return not (is_own(frame) or file.startswith(("<frozen", *_LIBRARIES)))


def _at(frame: FrameType, line: int) -> Location:
    file = frame.f_code.co_filename
    return Location(os.path.basename(file), line, file)


def _called(error: BaseException) -> str | None:
    """The function of symflow that an exception came out of, if it did."""
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    own = [at for at, frame in enumerate(frames) if _is_users(frame)]
    inside = frames[own[-1] + 1 :] if own else []
    return inside[0].f_code.co_name.strip("_") if inside and is_own(inside[0]) else None


def _traceback(frames: list[tuple[FrameType, int]]) -> list[str]:
    """The user's frames as Python writes them, the outermost first."""
    lines: list[str] = []
    for number, (frame, line) in enumerate(frames):
        if len(frames) > _MOST_FRAMES and 4 <= number < len(frames) - 4:
            if number == 4:
                lines.append(f"... {len(frames) - _MOST_FRAMES} more ...")
            continue
        at = _at(frame, line)
        lines.append(f'File "{at.file}", line {at.line}, in {frame.f_code.co_name}')
        lines += [f"  {at.source}"] if at.source else []
    return lines


_HINTS = (
    (
        r"operand '\w+' does not support ufuncs",
        "a tensor holds no numbers yet: use symflow's function, as sf.exp for np.exp",
    ),
    (r"unsupported operand type\(s\) for //", "sf.floor(a / b)"),
)
"""For what Python and NumPy say of a tensor."""


def _hint(error: BaseException, known: set[str]) -> str | None:
    text = _told(error)
    for pattern, hint in _HINTS:
        if re.search(pattern, text):
            return hint
    if isinstance(error, ImportError) and error.name == "symflow":
        missing = re.search(r"cannot import name '(\w+)'", text)
        return _hint_for_import(missing[1]) if missing else None
    if isinstance(error, NameError) and error.name:
        near = nearest(error.name, {one for one in known if not one.startswith("_")})
        return f"did you mean {near}?" if near else None
    function = re.match(r"TypeError: (?:(\w+)\.)?(\w+)\(\) ", text)
    return None if function is None else _signature(function[1] or function[2])


def _hint_for_import(name: str) -> str | None:
    try:
        getattr(sys.modules["symflow"], name)
    except SymflowError as error:
        return error.hint
    return None


def _signature(name: str) -> str | None:
    """How a function of symflow is called."""
    for module in ("api", "nn", "train", "losses", "linalg"):
        found = vars(sys.modules.get(f"symflow.{module}", object)).get(name)
        if callable(found):
            parameters = inspect.signature(found).parameters.values()
            shown = ", ".join(str(one).partition(":")[0] for one in parameters)
            return f"it takes {name}({shown})"
    return None
