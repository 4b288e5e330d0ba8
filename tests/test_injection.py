"""What a model, a command or a file says never becomes code of a module."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from conftest import ROOT, imported

import symflow
from symflow.cli import main
from symflow.errors import SymflowError
from symflow.files import compile_files
from symflow.shipping import Shipping, Values
from symflow.source import BUILTINS, IMPORTED, OF_FILES, check_names, docstring, literal

# --- the writer ----------------------------------------------------------------------------------

HARM = "__import__('builtins').leaked"


class Number(float):
    """A number that would be written as something else."""

    def __repr__(self) -> str:
        return HARM

    __str__ = __repr__

    def __format__(self, form: str) -> str:
        return HARM


class Whole(int):
    """The same of a whole number."""

    __repr__ = __str__ = Number.__repr__  # type: ignore[assignment]
    __format__ = Number.__format__  # type: ignore[assignment]


class Words(str):
    __slots__ = ()
    __repr__ = __str__ = Number.__repr__  # type: ignore[assignment]


LITERALS: list[tuple[Any, str]] = [
    (None, "None"),
    (True, "True"),
    (np.False_, "False"),
    (3, "3"),
    (np.int64(-3), "-3"),
    (np.uint8(200), "200"),
    (0.1, "0.1"),
    (-0.0, "-0.0"),
    (np.float64(1e300), "1e+300"),
    (float("inf"), "np.inf"),
    (-np.inf, "-np.inf"),
    (float("nan"), "np.nan"),
    (Number(1.5), "1.5"),
    (Whole(7), "7"),
    (Words("a"), '"a"'),
    ("", '""'),
    ('a"b', r'"a\"b"'),
    ("a\\", r'"a\\"'),
    ("\n\x1b\0", r'"\n\x1b\x00"'),
    ("\u202e\u2028", r'"\u202e\u2028"'),
    ("\ud800", r'"\ud800"'),
    ("β", '"β"'),
    ("inf nan", '"inf nan"'),
    ((), "()"),
    ((1,), "(1,)"),
    ((1, 2.5), "(1, 2.5)"),
    ([[True, None], "a"], '[[True, None], "a"]'),
    ([Whole(1), Number(np.inf)], "[1, np.inf]"),
]


@pytest.mark.parametrize(("value", "expected"), LITERALS, ids=[one[1] for one in LITERALS])
def test_a_literal_is_what_it_stands_for(value: Any, expected: str) -> None:
    written = literal(value)
    assert written == expected
    found = eval(written, {"np": np, "__builtins__": {}})
    if isinstance(value, (list, tuple, str)) or value is None or value == value:
        assert found == value or isinstance(value, Words)
    assert written.isprintable()


@pytest.mark.parametrize(
    "value",
    [
        1j,
        b"a",
        {1},
        {"a": 1},
        object(),
        print,
        int,
        np.zeros(2),
        np.datetime64("2020"),
        ...,
        slice(1),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_has_no_literal_is_refused(value: Any) -> None:
    with pytest.raises(AssertionError, match="has no literal"):
        literal(value)


@pytest.mark.parametrize(
    "text",
    ['"""', '""" + x', "a\n b", 'ends"', "ends\\", "\\N{DASH}", "\x1b", "\u202e", "#", "'''"],
)
def test_text_stays_in_a_docstring_and_in_a_comment(text: str) -> None:
    told = docstring(text)
    tree = ast.parse(f'def f():\n    """{told}"""\n    # {told}\n')
    (function,) = tree.body
    assert isinstance(function, ast.FunctionDef)
    assert len(function.body) == 1
    assert told.isprintable()


# --- names from nowhere --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "line",
    [
        "eval('1')",
        "exec('1')",
        "__import__('os')",
        "open('x', 'w')",
        "getattr(np, 'x')",
        "globals()",
        "os.remove('x')",
        "import socket",
        "from os import system",
        "breakpoint()",
        "undefined",
        "lambda: compile('1', '', 'eval')",
        "[input() for _ in range(3)]",
    ],
)
def test_a_name_from_nowhere_is_not_written(line: str) -> None:
    """The last door: should a value reach the text as code, no module comes of it."""
    text = f"import numpy as np\n\n\ndef f(x):\n    {line}\n    return x\n"
    with pytest.raises(AssertionError, match="comes from nowhere"):
        check_names(text)


def test_names_that_a_module_has_are_known() -> None:
    check_names("import numpy as np\n\n\ndef f(x):\n    return np.sum(abs(x)) + g(x)\n", ["g"])
    assert not OF_FILES & BUILTINS
    assert not {"eval", "exec", "compile", "getattr", "setattr", "__import__"} & BUILTINS
    assert {one.partition(".")[0] for one in IMPORTED} == IMPORTED


# --- values of the public functions --------------------------------------------------------------

HEAD = """\
import numpy as np

import symflow as sf

class Number(float):
    def __repr__(self):
        return "__import__('builtins').leaked"
    __str__ = __repr__
    def __format__(self, form):
        return "__import__('builtins').leaked"

class Whole(int):
    __repr__ = __str__ = Number.__repr__
    __format__ = Number.__format__

class Words(str):
    __str__ = Number.__repr__
    __format__ = Number.__format__

x = sf.placeholder(shape=("n", 3))
k = sf.placeholder(sf.int64, ("n",))
image = sf.placeholder(shape=("n", 6, 6, 2))
v = sf.Variable([1.0, 2.0, 3.0])
w = sf.Variable(np.eye(3))
"""
TAIL = "loss = sf.reduce_sum(sf.square(x @ w + v))\n"
TRAIN = "sf.train.GradientDescentOptimizer(0.1).minimize(loss)\n"

PAYLOADS = (
    "\"__import__('builtins').leaked\"",
    '"\\"\\"\\"\\nimport leaked\\n\\"\\"\\""',
    '"\\n\\u202e\\x1b[2Jleaked \'\\\\"',
    'Words("a")',
    "Whole(1)",
    "Number(0.5)",
)

SLOTS = [
    # initial values
    *(
        f"u = sf.Variable(sf.{call}); z = x * sf.reduce_sum(u)"
        for call in (
            "random_normal((3,), seed={})",
            "random_normal((3,), mean={})",
            "random_normal((3,), stddev={})",
            "random_normal({})",
            "random_normal(({}, 2))",
            "truncated_normal((3,), seed={})",
            "truncated_normal((3,), mean={})",
            "truncated_normal((3,), stddev={})",
            "random_uniform((3,), seed={})",
            "random_uniform((3,), minval={})",
            "random_uniform((3,), maxval={})",
            "glorot_uniform((3, 3), seed={})",
            "glorot_uniform(({}, 3))",
            "zeros({})",
            "ones(({}, 2))",
        )
    ),
    "u = sf.Variable({}); z = x * u",
    "u = sf.Variable([{}, 1.0, 2.0]); z = x * u",
    "u = sf.Variable([1.0, 2.0, 3.0], name={}); z = x * u",
    "u = sf.Variable(1.0, trainable={}); z = x * u",
    "sf.set_random_seed({}); u = sf.Variable(sf.random_normal(3)); z = x * u",
    # inputs, constants and shapes
    "u = sf.placeholder({}, (3,)); z = x * u",
    "u = sf.placeholder(shape=({}, 3)); z = 2 * u",
    "u = sf.placeholder(shape={}); z = 2 * u",
    "u = sf.placeholder(shape=(3,), name={}); z = x * u",
    "z = x * sf.constant({})",
    "z = x * sf.constant([{}, 2, 3])",
    "z = x * sf.constant([1, 2, 3], dtype={})",
    "z = x * sf.constant([1, 2, 3], name={})",
    "z = x * {}",
    "z = x ** {}",
    "z = sf.fill((3,), {}) * x",
    "z = sf.fill({}, 1.0) * x[0, 0]",
    "z = sf.eye({}) * x[0, 0]",
    "z = sf.range({}) * x[0, 0]",
    "z = sf.range(0, 4, {}) * x[0, 0]",
    # operations
    "z = sf.add(x, 1.0, name={})",
    "z = sf.reduce_sum(x, axis={})",
    "z = sf.reduce_sum(x, axis=[{}])",
    "z = sf.reduce_mean(x, axis=0, keepdims={})",
    "z = sf.reduce_max(x, {})",
    "z = sf.reduce_logsumexp(x, {})",
    "z = sf.reduce_prod(x, {})",
    "z = sf.norm(x, ord={})",
    "z = sf.softmax(x, {})",
    "z = sf.cumsum(x, {})",
    "z = sf.cumsum(x, exclusive={})",
    "z = sf.cumsum(x, reverse={})",
    "z = sf.transpose(x, {})",
    "z = sf.transpose(x, [1, {}])",
    "z = sf.expand_dims(x, {})",
    "z = sf.squeeze(sf.expand_dims(x, 1), {})",
    "z = sf.broadcast_to(v, ({}, 3))",
    "z = sf.broadcast_to(v, ('n', {}))",
    "z = sf.reshape(x, (-1, {}))",
    "z = sf.reshape(x, {})",
    "z = sf.concat([x, x], {})",
    "z = sf.stack([x, x], {})",
    "z = sf.split(x, 3, axis={})[0]",
    "z = sf.unstack(x, axis={})[0]",
    "z = sf.tile(x, [1, {}])",
    "z = sf.repeat(x, {}, axis=1)",
    "z = sf.flip(x, {})",
    "z = sf.roll(x, {}, axis=1)",
    "z = sf.roll(x, 1, axis={})",
    "z = sf.pad(x, [[0, 0], [1, {}]])",
    "z = sf.pad(x, [[0, 0], [1, 1]], mode={})",
    "z = sf.pad(x, [[0, 0], [1, 1]], constant_values={})",
    "z = sf.gather(x, k, axis={})",
    "z = sf.gather(v, {}) * x",
    "z = x[{}]",
    "z = x[:, {}]",
    "z = x[:, {}:]",
    "z = x[:, ::{}]",
    "z = sf.one_hot(k, {})",
    "z = sf.cast(x, {})",
    "z = sf.einsum({}, x, w)",
    "z = sf.matmul(x, w, transpose_b={})",
    "z = sf.tensordot(x, w, {})",
    "z = sf.argmax(x, {})",
    "z = sf.sort(x, axis={})",
    "z = sf.sort(x, direction={})",
    "z = sf.top_k(x, {}).values",
    "z = sf.tril(w, {}) * x[0]",
    "z = sf.matrix_band_part(w, {}, 1) * x[0]",
    "z = sf.unsorted_segment_sum(x, k, {})",
    "z = sf.where(x > {}, x, 0.0)",
    "z = sf.clip_by_value(x, {}, 1.0)",
    "z = sf.leaky_relu(x, {})",
    "z = sf.polygamma({}, x)",
    "z = sf.linalg.matrix_solve(w, sf.transpose(x), adjoint={})",
    "z = sf.nn.max_pool(image, {}, 2, 'SAME')",
    "z = sf.nn.avg_pool(image, 2, {}, 'SAME')",
    "z = sf.nn.max_pool(image, 2, 2, {})",
    "z = sf.nn.conv2d(image, np.ones((2, 2, 2, 1)), {}, 'SAME')",
    "z = sf.nn.conv2d(image, np.ones((2, 2, 2, 1)), 1, 'SAME', dilations={})",
    "z = sf.nn.batch_normalization(x, v, v, None, None, {})",
    # loops
    "z = sf.scan(lambda h, e: h + e, x, sf.zeros(3), reverse={})",
    "z = sf.scan(lambda h, e: h * {} + e, x, v)",
    "z = sf.scan(lambda h, e: sf.add(h, e, name={}), x, v)",
    "z = sf.scan(lambda h, e: h + e, x, v, name={})",
    # names that are not given as such
    "globals()[{}] = x * 2; __all__ = ['z']; z = globals()[{}] + 1",
    "globals()[{}] = x * 2; z = x",
    "z = x; __all__ = [{}]",
]

TRAINERS = [
    "sf.train.GradientDescentOptimizer({}).minimize(loss)",
    "sf.train.GradientDescentOptimizer(0.1, clip_value={}).minimize(loss)",
    "sf.train.GradientDescentOptimizer(0.1, clip_norm={}).minimize(loss)",
    "sf.train.GradientDescentOptimizer(0.1, l2={}).minimize(loss)",
    "sf.train.GradientDescentOptimizer(0.1).minimize(loss, name={})",
    "sf.train.MomentumOptimizer(0.1, {}).minimize(loss)",
    "sf.train.AdamOptimizer(0.1, beta1={}).minimize(loss)",
    "sf.train.AdamOptimizer(0.1, epsilon={}).minimize(loss)",
    "sf.train.RMSPropOptimizer(0.1, decay={}).minimize(loss)",
    "sf.train.AdagradOptimizer(0.1, {}).minimize(loss)",
    "sf.train.AdamWOptimizer({}).minimize(loss)",
    "sf.train.GradientDescentOptimizer(sf.train.exponential_decay({}, 10, 0.5)).minimize(loss)",
    "sf.train.GradientDescentOptimizer(sf.train.exponential_decay(0.1, {}, 0.5)).minimize(loss)",
    "sf.train.GradientDescentOptimizer(sf.train.backtracking_line_search({})).minimize(loss)",
    "sf.train.GradientDescentOptimizer(sf.train.backtracking_line_search(1.0, {})).minimize(loss)",
    "sf.train.GradientDescentOptimizer(sf.train.LineSearch({}, 0.5, 0.1)).minimize(loss)",
    "sf.train.GradientDescentOptimizer(sf.train.LineSearch(1.0, {}, 0.1)).minimize(loss)",
    "sf.train.GradientDescentOptimizer(sf.train.LineSearch(1.0, 0.5, {})).minimize(loss)",
    "from symflow.program import slot; "
    "sf.train.GradientDescentOptimizer(sf.train.Schedule(slot(0) / 9, {})).minimize(loss)",
    "type({}, (sf.train.GradientDescentOptimizer,), {{}})(0.1).minimize(loss)",
    "type('O', (sf.train.MomentumOptimizer,), {{'state': {{{}: 0.0}}}})(0.1, 0.9).minimize(loss)",
    "type('O', (sf.train.MomentumOptimizer,), {{'state': {{'velocity': {}}}}})(0.1, 0.9)"
    ".minimize(loss)",
]


def foreign(text: str) -> list[str]:
    """What a module's text calls, imports or names that no module does."""
    found: list[str] = []
    tree = ast.parse(text)
    own = {one.name for one in ast.walk(tree) if isinstance(one, (ast.FunctionDef, ast.ClassDef))}
    local = {one.arg for one in ast.walk(tree) if isinstance(one, ast.arg)}
    for node in ast.walk(tree):
        names: list[str] = []
        if isinstance(node, ast.Name):
            names = [node.id]
        elif isinstance(node, ast.Attribute):
            names = [node.attr]
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            module = node.module if isinstance(node, ast.ImportFrom) else None
            for one in node.names:
                root = (module or one.name).partition(".")[0]
                if root not in {"numpy", "scipy", "__future__", *STANDARD}:
                    found.append(f"imports {root}")
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            called = node.func.id
            if called not in own | BUILTINS | IMPORTED | OPEN and called not in local:
                found.append(f"calls {called}")
        found += [one for one in names if "leaked" in one or one in NEVER]
    return found


STANDARD = ("collections", "typing", "math", "os", "io", "hashlib", "zipfile", "sys", "pathlib")
STANDARD += ("types", "concurrent")
OPEN = {"open"}
NEVER = {"eval", "exec", "compile", "__import__", "getattr", "globals", "builtins", "system"}


def compiled(text: str, folder: Path) -> str | SymflowError:
    """The module of a model's text, or what is said of it. Nothing of the module is run."""
    path = folder / "model.py"
    path.write_text(text, encoding="utf-8")
    try:
        files = compile_files(path, folder / "out", {}, None)
    except SymflowError as error:
        return error
    return files[folder / "out" / "model.py"].decode()


def test_no_value_becomes_code(tmp_path: Path, long: bool) -> None:
    """Every argument that is no tensor, of functions, optimizers and names, with every payload."""
    slots = [f"{one}\n{TAIL}" for one in SLOTS]
    slots += [f"z = x * 2\n{TAIL}{one}\n" for one in TRAINERS]
    wrong: list[str] = []
    modules: dict[str, None] = {}
    for number, slot in enumerate(slots):
        for at, payload in enumerate(PAYLOADS):
            if not long and at > 3 and (number + at) % 3:
                continue  # numbers mostly compile, which takes time
            text = slot.replace("{}", payload).replace("{{", "{").replace("}}", "}")
            try:
                found = compiled(f"{HEAD}{text}", tmp_path)
            except Exception as error:
                wrong.append(f"{type(error).__name__}: {error}: {text}"[:300])
                continue
            if isinstance(found, SymflowError):
                if not str(found).replace("\n", "").isprintable():
                    wrong.append(f"not printable: {text}")
            else:
                modules[found] = None
                wrong += [f"{one}: {text}" for one in foreign(found)]
                wrong += [f"not printable: {text}"] * (not found.replace("\n", "").isprintable())
    assert wrong == []
    for number, text in enumerate(modules):
        (tmp_path / f"module_{number}.py").write_text(text, encoding="utf-8")
    (tmp_path / "model.py").unlink()
    ruff = [sys.executable, "-m", "ruff", "check", "--no-cache"]
    config = ["--config", str(ROOT / "pyproject.toml")]
    checked = subprocess.run([*ruff, *config, tmp_path], capture_output=True, text=True)
    assert checked.returncode == 0, checked.stdout[-3000:]
    assert len(modules) > 50


# --- files ---------------------------------------------------------------------------------------

FILE_NAMES = [
    '"""\nimport leaked\n""".npz',
    'a"b.npz',
    "a'b.npz",
    "a\\.npz",
    "a\nimport leaked.npz",
    "\x1b[2J.npz",
    "\u202enpz.leaked.npz",
    "a b; touch leaked.npz",
    "*/ leaked.npz",
    "{{ leaked }}.npz",
    "\udcff.npz",
    "#leaked.npz",
    "$(leaked).npz",
]


@pytest.mark.parametrize("name", FILE_NAMES, ids=ascii)
@pytest.mark.parametrize("only", [(), ("score",)], ids=["whole", "only"])
def test_names_of_files_are_only_text(name: str, only: tuple[str, ...], tmp_path: Path) -> None:
    (tmp_path / "model.py").write_text(f"{HEAD}score = x @ w\n{TAIL}{TRAIN}")
    values = Values(name, {"w": np.eye(3), "v": np.ones(3)})
    files = compile_files(
        tmp_path / "model.py", tmp_path, {}, None, ships=Shipping(only, values, selftest=True)
    )
    text = files[tmp_path / "model.py"].decode()
    assert foreign(text) == []
    assert text.replace("\n", "").isprintable()


@pytest.mark.parametrize("name", ['a"b', 'a"""b', "a\nb", "a\\", "\x1b[2J", "\u202e", "a b", "#"])
def test_names_of_other_files_of_a_model_are_only_text(name: str, tmp_path: Path) -> None:
    """They stand in comments, and in what `--trace-nan` says."""
    helper = f"import symflow as sf\ndef f(x):\n    return sf.log(x)\nX = {HARM!r}\n"
    (tmp_path / f"{name}.py").write_text(helper)
    (tmp_path / "model.py").write_text(
        f"{HEAD}import importlib.util\n"
        f"spec = importlib.util.spec_from_file_location('h', {str(tmp_path / f'{name}.py')!r})\n"
        "h = importlib.util.module_from_spec(spec)\nspec.loader.exec_module(h)\n"
        f"z = h.f(x)\nscore = z @ w\n{TAIL}{TRAIN}"
    )
    for traced in (False, True):
        ships = Shipping(trace_nan=traced)
        files = compile_files(tmp_path / "model.py", tmp_path, {}, None, ships=ships)
        text = files[tmp_path / "model.py"].decode()
        assert foreign(text) == []
        assert text.replace("\n", "").isprintable()


def test_the_names_of_a_report_are_only_text(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    harm = "<script>leaked()</script>"
    Path(f"{'a'}{harm.replace('/', '')}.py").write_text(
        "import symflow as sf\ndef f(x):\n    return 2 * x\n"
    )
    Path("model.py").write_text(
        f'"""A model {harm} "\' onload=leaked()."""\n{HEAD}import importlib.util\n'
        f"spec = importlib.util.spec_from_file_location('h', 'a{harm.replace('/', '')}.py')\n"
        "h = importlib.util.module_from_spec(spec)\nspec.loader.exec_module(h)\n"
        f"z = h.f(x)  # {harm}\nscore = z @ w\n{TAIL}{TRAIN}"
    )
    result = CliRunner().invoke(main, ["explain", "model.py", "--html", "report.html"])
    assert result.exit_code == 0, result.output
    page = Path("report.html").read_text()
    assert "leaked" in page
    assert "<script" not in page
    assert not re.search(r"<[^>]*\sonload=", page)


def test_a_row_of_ones_own_reads_no_files() -> None:
    import symflow as sf

    for text in ("open({0})", "__import__('numpy').sin({0})", "eval('{0}')", "x.y({0})"):
        with pytest.raises(SymflowError, match="numpy="):
            sf.operation("mine", lambda x: x, numpy=text)


# --- nothing goes around it ----------------------------------------------------------------------

EMITTERS = (
    *("arguments", "backward", "bodies", "calls", "cores", "descent", "embedding", "emission"),
    *("forward", "gathering", "initial", "initializers", "layout", "loop", "memory", "printing"),
    *("scalar_functions", "scalars", "schedule", "selftest", "statements", "storage", "text"),
    *("tiling", "picking", "picks", "running", "views", "windows", "matrices", "solvers"),
    *("recurrence", "simplification", "watching"),
)
"""The modules that write text of modules."""


def emitters() -> Iterator[tuple[str, ast.Module]]:
    for name in EMITTERS:
        path = Path(symflow.__file__).parent / f"{name}.py"
        yield name, ast.parse(path.read_text(encoding="utf-8"))


def test_values_are_written_by_the_writer_alone() -> None:
    """No `repr`, `!r` or `ascii` where text of modules is made, but in what errors say."""
    found: list[str] = []
    for name, tree in emitters():
        told = {
            id(inner)
            for node in ast.walk(tree)
            if isinstance(node, (ast.Raise, ast.Assert))
            or (isinstance(node, ast.Call) and ast.unparse(node.func) == "SymflowError")
            or (isinstance(node, ast.FunctionDef) and node.name in ("__repr__", "digest"))
            or (isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "told")
            for inner in ast.walk(node)
        }
        for node in ast.walk(tree):
            called = isinstance(node, ast.Call) and ast.unparse(node.func) in ("repr", "ascii")
            formatted = isinstance(node, ast.FormattedValue) and node.conversion in (114, 97)
            if (called or formatted) and id(node) not in told:
                found.append(f"{name}: {ast.unparse(node)}")
    assert sorted(found) == ["bodies: repr(float(value))"]  # asks for its length only


def test_every_text_that_is_run_or_written_is_looked_at() -> None:
    """Python is laid out by `layout.py`, and its names are looked at by `settled`."""
    for path in Path(symflow.__file__).parent.rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        if path.name != "layout.py":
            used = re.findall(r"environment\(([^)]*)\)", text)
            assert set(used) <= {"autoescape=True"}, path.name
        for found in re.findall(r"(?<!def )\b(exec|eval)\((\w[^,)]*)", text):
            assert path.name in RUNS, (path.name, found)


RUNS = {
    "execution.py",  # the user's model
    "memory.py",
    "initial.py",
    "diagnosis.py",
    "evaluation.py",
    "floats.py",  # of `validation`
    "functional.py",
    "highprecision.py",
    "registration.py",
    "simplification.py",
    "tracing.py",
}
"""Where Python text is run."""


def test_a_seed_of_text_is_told(tmp_path: Path) -> None:
    """The case that was found: it ran on import."""
    found = compiled(
        f"{HEAD}u = sf.Variable(sf.random_normal((3,), seed=\"open('x','w')\"))\nz = x * u\n",
        tmp_path,
    )
    assert isinstance(found, SymflowError)
    assert found.message == "random_normal: seed=\"open('x','w')\" is no whole number from 0"
    assert found.location is not None
    assert found.location.line == HEAD.count("\n") + 1


@pytest.mark.parametrize("seed", ["1", 1.5, True, -1, [1], np.float64(2)], ids=repr)
def test_seeds_that_are_none_are_told(seed: Any) -> None:
    import symflow as sf

    for function in (sf.random_normal, sf.truncated_normal, sf.random_uniform, sf.glorot_uniform):
        with pytest.raises(SymflowError, match="is no whole number from 0"):
            function((3, 3), seed=seed)  # type: ignore[operator]
    with pytest.raises(SymflowError, match="is no whole number from 0"):
        sf.set_random_seed(seed)


@pytest.mark.parametrize("seed", [0, 7, np.int32(7), 2**70])
def test_seeds_draw_the_same_numbers(seed: Any, tmp_path: Path) -> None:
    text = f"u = sf.Variable(sf.random_normal((3,), seed={int(seed)}))\nloss = sf.reduce_sum(u)\n"
    found = compiled(f"import symflow as sf\n{text}", tmp_path)
    assert isinstance(found, str)
    (tmp_path / "module.py").write_text(found)
    drawn = imported(tmp_path / "module.py").initial_parameters().u
    assert np.array_equal(drawn, np.random.default_rng(seed).normal(0.0, 1.0, 3))
