"""Test generated gradients against numeric derivatives of the generated loss, entry by entry.

The complex step, Im f(x + ih) / h with a tiny h (Squire and Trapp, SIAM Review 40, 1998), is
exact to rounding where the loss is analytic around the point. NumPy's kinked functions (abs,
maximum, comparisons) are continued from the side on which the point lies, and it is watched how
near a kink it is. Where it lies on one, or a function takes no complex numbers, central
differences are extrapolated (Ridders, Advances in Engineering Software 4, 1982).
"""

from __future__ import annotations

import ast
import importlib.util
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from symflow.errors import SymflowError
from symflow.files import compile_files, write
from symflow.shapes import Shape, show

STEP = 1e-30
"""Of the complex step; its square must vanish beside any number that matters."""

NEAR = 1e-7
"""Distance from a kink, relative to the numbers compared, at which a point counts as on it."""

Array = NDArray[Any]


@dataclass(frozen=True)
class Result:
    """What was found for one parameter.

    error    the largest relative error; entries much smaller than the parameter's typical
             gradient are measured against a thousandth of that
    where    the entry at which it is
    entries  how many were tested, of how many
    """

    name: str
    shape: tuple[int, ...]
    error: float
    where: tuple[int, ...]
    entries: tuple[int, int]
    method: str


def check(
    path: Path, shapes: Mapping[str, Shape] | None = None, seed: int = 0, most: int = 200
) -> list[Result]:
    """Test the gradients of a model file or a generated module at a random point.

    At most `most` entries are tested per parameter.
    """
    module = _module(path, shapes or {})
    random = np.random.default_rng(seed)
    parameters, inputs = _point(module, random, path)
    gradients = module.gradients(parameters, **inputs)
    results: list[Result] = []
    for number, name in enumerate(parameters._fields):
        exact = np.asarray(gradients[number], float)
        entries = list(np.ndindex(exact.shape))
        tested = entries
        if len(entries) > most:
            chosen = random.choice(len(entries), most, replace=False)
            tested = [entries[at] for at in sorted(chosen)]

        def loss(
            entry: tuple[int, ...], value: complex, number: int = number
        ) -> NDArray[Any] | complex:
            moved = list(parameters)
            dtype = complex if isinstance(value, complex) else float
            changed = moved[number].astype(dtype)
            changed[entry] = value
            moved[number] = changed.view(_Continued) if dtype is complex else changed
            result: complex = module._loss(type(parameters)(*moved), *_passed(module, inputs))
            return result

        numeric, method = _derivatives(loss, parameters[number], tested)
        exact_tested = np.array([exact[entry] for entry in tested])
        error = _relative(exact_tested, numeric, exact)
        worst = int(np.argmax(error))
        results.append(
            Result(
                name,
                exact.shape,
                float(error[worst]),
                tested[worst],
                (len(tested), len(entries)),
                method,
            )
        )
    return results


def _relative(exact: Array, numeric: Array, everything: Array) -> Array:
    typical = float(np.sqrt(np.mean(np.square(everything))))
    scale = np.maximum(np.maximum(np.abs(exact), np.abs(numeric)), 1e-3 * typical)
    difference = np.abs(exact - numeric)
    error = np.where(difference == 0.0, 0.0, difference / np.where(scale > 0.0, scale, 1.0))
    return np.where(np.isfinite(error), error, np.inf)


def _passed(module: ModuleType, inputs: Mapping[str, Array]) -> list[Array]:
    """The inputs that the loss itself takes, in order."""
    names = module._loss.__code__.co_varnames[1 : module._loss.__code__.co_argcount]
    return [inputs[name] for name in names]


# --- what to test ----------------------------------------------------------------------------


def _module(path: Path, shapes: Mapping[str, Shape]) -> ModuleType:
    """The module at a path, or the one that the model at the path compiles to."""
    try:
        tree = ast.parse(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SymflowError(f"{path}: {error.strerror or error}") from None
    except (SyntaxError, UnicodeDecodeError) as error:
        raise SymflowError(f"{path}: {error}") from None
    if _is_model(tree):
        with tempfile.TemporaryDirectory() as folder:
            write(compile_files(path, Path(folder), shapes, None))
            return _imported(Path(folder) / path.name)
    if shapes:
        raise SymflowError("--shape is for models; the shapes of a module are fixed")
    return _imported(path)


def _is_model(tree: ast.Module) -> bool:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import) and any(one.name == "symflow" for one in node.names):
            return True
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "symflow":
            return True
    return False


def _imported(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise SymflowError(f"{path}: no Python module")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise SymflowError(f"{path}: {type(error).__name__}: {error}") from None
    needed = ("gradients", "_loss", "initial_parameters")
    missing = [name for name in needed if not hasattr(module, name)]
    if missing:
        raise SymflowError(f"{path}: a module without gradients: no {', '.join(missing)}")
    return module


_DRAWS: Sequence[Callable[[np.random.Generator, tuple[int, ...]], Array]] = (
    lambda random, shape: random.standard_normal(shape),
    lambda random, shape: random.uniform(0.1, 0.9, shape),
    lambda random, shape: random.uniform(1.1, 2.9, shape),
)
"""Where inputs are drawn from, until the loss and its gradient are finite."""


def _point(
    module: ModuleType, random: np.random.Generator, path: Path
) -> tuple[Any, dict[str, Array]]:
    initial = module.initial_parameters(dtype=np.float64)
    integers = getattr(module, "INTEGERS", ())
    declared: dict[str, tuple[int | str, ...]] = getattr(module, "INPUTS", {})
    used = module.gradients.__code__.co_varnames[: module.gradients.__code__.co_argcount]
    sizes: dict[str, int] = {}
    for shape in declared.values():
        for size in shape:
            if isinstance(size, str):
                sizes.setdefault(size, 5 + 2 * len(sizes))
    for draw in _DRAWS:
        parameters = type(initial)(
            *(np.asarray(value + 0.1 * draw(random, np.shape(value))) for value in initial)
        )
        inputs = {
            name: (
                random.integers(0, 2, tuple(sizes.get(str(size), size) for size in shape))  # type: ignore[arg-type]
                if name in integers
                else draw(random, tuple(sizes.get(str(size), size) for size in shape))  # type: ignore[arg-type]
            )
            for name, shape in declared.items()
            if name in used
        }
        with np.errstate(all="ignore"):
            value, gradient = module.loss_and_gradients(parameters, **inputs)
        if np.isfinite(value) and all(np.all(np.isfinite(one)) for one in gradient):
            return parameters, inputs
    raise SymflowError(f"{path}: the loss or its gradient is not finite at any point tried")


# --- numeric derivatives ---------------------------------------------------------------------


class _UnsupportedError(Exception):
    """A function that takes no complex numbers, or a point on a kink."""


class _Continued(np.ndarray[Any, np.dtype[Any]]):
    """Complex numbers on which kinked functions go on as on the real line beside them."""

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **options: Any) -> Any:
        plain = [_plain(value) for value in inputs]
        if "out" in options:
            raise _UnsupportedError(ufunc.__name__)
        continued = _CONTINUATIONS.get(ufunc.__name__)
        try:
            if continued is not None and method == "__call__":
                result = continued(*plain)
            else:
                result = getattr(ufunc, method)(*plain, **options)
        except TypeError:
            raise _UnsupportedError(ufunc.__name__) from None
        return _wrapped(result)

    def __array_function__(self, function: Any, types: Any, arguments: Any, options: Any) -> Any:
        if function is np.vdot:  # the complex step wants no conjugate
            first, second = (np.ravel(_plain(value)) for value in arguments)
            return _wrapped(first @ second)
        try:
            return _wrapped(super().__array_function__(function, types, arguments, options))
        except TypeError:
            raise _UnsupportedError(function.__name__) from None


def _plain(value: Any) -> Any:
    return value.view(np.ndarray) if isinstance(value, _Continued) else value


def _wrapped(result: Any) -> Any:
    if isinstance(result, (_Continued, tuple, list)) or not np.iscomplexobj(result):
        return result
    return np.asarray(result).view(_Continued)


def _apart(x: Any, y: Any) -> None:
    """Refuse a comparison that a moving number may decide either way."""
    difference = np.asarray(x) - np.asarray(y)
    moving = np.imag(difference) != 0.0
    scale = np.maximum(np.abs(np.real(x)), np.abs(np.real(y)))
    if np.any(moving & (np.abs(np.real(difference)) <= NEAR * np.maximum(scale, NEAR))):
        raise _UnsupportedError("kink")


def _chosen(first: bool) -> Callable[[Any, Any], Any]:
    def choose(x: Any, y: Any) -> Any:
        _apart(x, y)
        larger = np.real(x) > np.real(y)
        return np.where(larger if first else ~larger, x, y)

    return choose


def _compared(compare: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    def decide(x: Any, y: Any) -> Any:
        _apart(x, y)
        return compare(np.real(x), np.real(y))

    return decide


def _absolute(x: Any) -> Any:
    _apart(x, np.zeros_like(x))
    return np.where(np.real(x) < 0.0, -x, x)


def _sign(x: Any) -> Any:
    _apart(x, np.zeros_like(x))
    return np.sign(np.real(x))


_CONTINUATIONS: Mapping[str, Callable[..., Any]] = {
    "absolute": _absolute,
    "sign": _sign,
    "clip": lambda x, low, high: _chosen(first=False)(_chosen(first=True)(x, low), high),
    "maximum": _chosen(first=True),
    "minimum": _chosen(first=False),
    "greater": _compared(np.greater),
    "greater_equal": _compared(np.greater_equal),
    "less": _compared(np.less),
    "less_equal": _compared(np.less_equal),
    "equal": _compared(np.equal),
    "not_equal": _compared(np.not_equal),
}


def _derivatives(
    loss: Callable[..., Any], point: Array, entries: Sequence[tuple[int, ...]]
) -> tuple[Array, str]:
    """The numeric derivative by each entry, and the method, or methods, that gave them."""
    numeric: list[float] = []
    methods: dict[str, None] = {}
    with np.errstate(all="ignore"):
        for entry in entries:
            value = float(point[entry])
            try:
                stepped = loss(entry, complex(value, STEP))
                numeric.append(float(np.imag(np.asarray(stepped))) / STEP)
                methods["complex step"] = None
            except (_UnsupportedError, TypeError):
                numeric.append(_extrapolated(partial(loss, entry), value))
                methods["Richardson"] = None
    return np.array(numeric), " and ".join(methods)


def _extrapolated(f: Callable[[float], Any], x: float) -> float:
    """Ridders' method: central differences with shrinking steps, extrapolated to step zero."""
    step, shrink = 0.05 * max(1.0, abs(x)), 1.6
    rows: list[list[float]] = []
    best, error = np.nan, np.inf
    for level in range(12):
        h = step / shrink**level
        row = [(float(f(x + h)) - float(f(x - h))) / (2.0 * h)]
        factor = shrink * shrink
        for order in range(level):
            row.append((row[order] * factor - rows[-1][order]) / (factor - 1.0))
            factor *= shrink * shrink
            found = max(abs(row[-1] - row[-2]), abs(row[-1] - rows[-1][order]))
            if found <= error:
                best, error = row[-1], found
        rows.append(row)
    return float(best)


# --- report ----------------------------------------------------------------------------------


def table(results: Sequence[Result], tolerance: float) -> str:
    """One line per parameter: largest relative error, where it is, how it was found."""
    rows = [("parameter", "shape", "entries", "largest error", "at", "method", "")]
    for one in results:
        tested, there_are = one.entries
        shape = show(one.shape) if one.shape else "scalar"
        rows.append(
            (
                one.name,
                shape,
                str(tested) if tested == there_are else f"{tested} of {there_are}",
                f"{one.error:.1e}",
                str(list(one.where)) if one.where else "-",
                one.method,
                "ok" if one.error <= tolerance else "WRONG",
            )
        )
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = [
        "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
    return "\n".join(lines) + "\n"
