"""The command line: what it writes, what it prints, how it fails."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from conftest import ROOT, imported

from symflow.cli import COMMANDS, main
from symflow.errors import SymflowError
from symflow.files import compile_files, write

LINEAR = """\
import symflow as sf

x = sf.placeholder(shape=("n",))
y = sf.placeholder(shape=("n",))
w = sf.Variable(1.0)
b = sf.Variable(0.5)
fit = w * x + b
loss = sf.reduce_sum(sf.square(fit - y))
train_op = sf.train.GradientDescentOptimizer(0.01).minimize(loss)
"""
SHAPELESS = LINEAR.replace('shape=("n",)', "")


def run(*arguments: Any) -> Result:
    return CliRunner().invoke(main, [str(one) for one in arguments], prog_name="symflow")


def process(*arguments: Any, python: tuple[str, ...] = (), **options: Any) -> Any:
    command = [sys.executable, *python, "-m", "symflow", *map(str, arguments)]
    options = {"env": None, "cwd": ROOT, **options}
    return subprocess.run(command, capture_output=True, text=True, encoding="utf-8", **options)


@pytest.fixture
def model(tmp_path: Path) -> Callable[[str], Path]:
    """A model file with the given text."""

    def write(text: str) -> Path:
        path = tmp_path / "model.py"
        path.write_text(text, encoding="utf-8")
        return path

    return write


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


# --- help ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", [(), *((one,) for one in COMMANDS)])
@pytest.mark.parametrize("option", ["--help", "-h"])
def test_help_has_an_example(command: tuple[str, ...], option: str) -> None:
    result = run(*command, option)
    assert result.exit_code == 0
    example = rf"^  symflow {command[0] if command else 'compile'}\b"
    assert re.search(example, result.output, re.MULTILINE)
    assert max(map(len, result.output.splitlines())) <= 80


def test_version() -> None:
    assert re.fullmatch(r"symflow, version \d+\.\d+\.\d+\n", run("--version").output)


@pytest.mark.parametrize("arguments", [("--help",), ("--version",), ("compile", "--help")])
def test_help_does_not_wait_for_imports(arguments: tuple[str, ...]) -> None:
    done = process(*arguments, python=("-X", "importtime"))
    modules = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert done.returncode == 0
    assert "symflow.cli" in modules
    assert not modules & {"numpy", "sympy", "jinja2"}


# --- compile -------------------------------------------------------------------------------------


def test_compile_writes_to_generated(model: Callable[[str], Path], tmp_path: Path) -> None:
    done = process("compile", model(LINEAR).name, cwd=tmp_path, env={"PYTHONPATH": str(ROOT)})
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"wrote {Path('generated') / 'model.py'}\n"
    assert [path.name for path in (tmp_path / "generated").iterdir()] == ["model.py"]


@pytest.mark.parametrize("option", ["-o", "--output"])
def test_compile_to_a_folder(model: Callable[[str], Path], tmp_path: Path, option: str) -> None:
    result = run("compile", model(LINEAR), option, tmp_path / "a" / "b")
    assert result.exit_code == 0
    assert [path.name for path in (tmp_path / "a" / "b").iterdir()] == ["model.py"]
    module = imported(tmp_path / "a" / "b" / "model.py")
    assert module.loss(module.initial_parameters(), [1.0, 2.0], [1.0, 1.0]) == 0.25 + 2.25


def test_compile_twice_writes_the_same(model: Callable[[str], Path], out: Path) -> None:
    run("compile", model(LINEAR), "-o", out)
    first = contents(out)
    run("compile", model(LINEAR), "-o", out)
    assert contents(out) == first


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_dtype(model: Callable[[str], Path], out: Path, dtype: str) -> None:
    assert run("compile", model(LINEAR), "-o", out, "--dtype", dtype).exit_code == 0
    module = imported(out / "model.py")
    start = module.initial_parameters()
    assert {one.dtype for one in start} == {np.dtype(dtype)}
    assert {one.dtype for one in module.gradients(start, [1.0], [1.0])} == {np.dtype(dtype)}
    assert f"--dtype {dtype}" in (out / "model.py").read_text()


def test_shape(model: Callable[[str], Path], out: Path) -> None:
    result = run("compile", model(SHAPELESS), "-o", out, "--shape", "x=m", "--shape", "y=m")
    assert result.exit_code == 0, result.stderr
    module = imported(out / "model.py")
    assert module.INPUTS == {"x": ("m",), "y": ("m",)}
    assert "symflow compile model.py --shape x=m --shape y=m" in (out / "model.py").read_text()


@pytest.mark.parametrize(
    ("text", "shapes", "message"),
    [
        (SHAPELESS, (), "model.py:3: the placeholder x has no shape"),
        (SHAPELESS, ("x=n",), "model.py:4: the placeholder y has no shape"),
        (SHAPELESS, ("x=n", "z=n"), "--shape z: the placeholders are: x, y"),
        (LINEAR, ("x=n,3",), "model.py:3: --shape x: (n, 3) does not fit (n,)"),
    ],
)
def test_shape_errors(
    model: Callable[[str], Path], out: Path, text: str, shapes: tuple[str, ...], message: str
) -> None:
    options = [part for shape in shapes for part in ("--shape", shape)]
    result = run("compile", model(text), "-o", out, *options)
    assert result.exit_code == 1
    assert result.stderr.startswith(f"symflow: {message}")
    assert not out.exists()


def test_check_option(model: Callable[[str], Path], out: Path) -> None:
    path = model(LINEAR)
    missing = run("compile", path, "-o", out, "--check")
    assert (missing.exit_code, missing.stdout) == (1, "")
    assert missing.stderr == f"symflow: {out / 'model.py'} is missing\n"
    assert not out.exists()
    run("compile", path, "-o", out)
    assert run("compile", path, "-o", out, "--check").exit_code == 0
    before = contents(out)
    stale = run("compile", model(LINEAR.replace("0.5", "0.75")), "-o", out, "--check")
    assert stale.exit_code == 1
    assert stale.stderr == f"symflow: {out / 'model.py'} is not what the model compiles to\n"
    assert contents(out) == before


@pytest.fixture
def models(tmp_path: Path) -> Callable[..., list[Path]]:
    """Model files by name and text, in one folder."""

    def write(**texts: str) -> list[Path]:
        for name, text in texts.items():
            (tmp_path / f"{name}.py").write_text(text, encoding="utf-8")
        return [tmp_path / f"{name}.py" for name in texts]

    return write


def test_several_models(models: Callable[..., list[Path]], out: Path) -> None:
    paths = models(first=LINEAR, second=LINEAR.replace("0.5", "0.75"))
    result = run("compile", *paths, "-o", out)
    assert result.output == f"wrote {out / 'first.py'}\nwrote {out / 'second.py'}\n"
    assert run("compile", *paths, *paths, "-o", out, "--check").exit_code == 0


def test_what_is_wrong_with_several_models_is_told_together(
    models: Callable[..., list[Path]], out: Path
) -> None:
    wrong = LINEAR.replace("sf.square", "sf.no_square")
    paths = models(good=LINEAR, wrong=wrong, shapeless=SHAPELESS)
    result = run("compile", *paths, "-o", out)
    assert result.exit_code == 1
    assert re.findall(r"^symflow: (\S+:\d+|\d mistakes)", result.stderr, re.MULTILINE) == [
        "shapeless.py:3",
        "wrong.py:8",
        "2 mistakes",
    ]
    assert not out.exists()
    checked = run("compile", *paths, "-o", out, "--check")
    assert checked.exit_code == 1
    assert checked.stderr == f"symflow: {out / 'good.py'} is missing\n" + result.stderr


def test_two_models_of_one_name(models: Callable[..., list[Path]], out: Path) -> None:
    (path,) = models(one=LINEAR)
    other = path.parent / "other" / "one.py"
    result = run("compile", path, other, "-o", out)
    assert result.exit_code == 2
    assert f"{path} and {other} would both be written to {out / 'one.py'}" in result.stderr


def test_a_dump_is_of_one_model(models: Callable[..., list[Path]]) -> None:
    result = run("compile", *models(one=LINEAR, two=LINEAR), "--dump", "lower")
    assert result.exit_code == 2
    assert "--dump takes one MODEL, got 2" in result.stderr


def test_archive_comes_and_goes(model: Callable[[str], Path], out: Path) -> None:
    text = 'import numpy as np\nimport symflow as sf\nx = sf.placeholder(shape=("n",))\n'
    run("compile", model(f"{text}z = sf.reduce_sum(x) * np.arange(500.0)\n"), "-o", out)
    archive, module = sorted(contents(out))
    assert re.fullmatch(r"model\.[0-9a-f]{16}\.npz", archive)
    assert module == "model.py"
    assert_equal = np.testing.assert_array_equal
    assert_equal(imported(out / "model.py").z([1.0, 1.0]), 2 * np.arange(500.0))
    path = model(f"{text}z = sf.reduce_sum(x) * np.arange(5.0)\n")
    stale = run("compile", path, "-o", out, "--check")
    assert stale.stderr == f"symflow: {out / 'model.py'} is not what the model compiles to\n"
    run("compile", path, "-o", out)
    assert sorted(contents(out)) == ["model.py"]


def test_constants_of_one_name_are_two_in_an_archive(
    model: Callable[[str], Path], out: Path
) -> None:
    text = 'import numpy as np\nimport symflow as sf\nx = sf.placeholder(shape=("n",))\n'
    text += "z = sf.reduce_sum(x) * np.arange(500.0) + np.ones((2, 500)) * [[1.0], [2.0]]\n"
    run("compile", model(text), "-o", out)
    expected = 2 * np.arange(500.0) + [[1.0], [2.0]]
    np.testing.assert_array_equal(imported(out / "model.py").z([1.0, 1.0]), expected)


@pytest.mark.parametrize("stage", ["lower", "stabilise", "differentiate", "simplify"])
def test_dump(model: Callable[[str], Path], out: Path, stage: str) -> None:
    result = run("compile", model(LINEAR), "-o", out, "--dump", stage)
    assert (result.exit_code, result.stderr) == (0, "")
    assert re.search(r"^loss -> \S+$", result.stdout, re.MULTILINE)
    assert re.search(r"^d_w -> \S+$", result.stdout, re.MULTILINE)
    assert "model.py:7" in result.stdout
    assert ("derivative(" in result.stdout) == (stage in ("lower", "stabilise"))
    assert not out.exists()


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("compile",),
        ("check",),
        ("train", "model.py"),
        ("compile", "model.py", "--dtype", "int8"),
        ("compile", "model.py", "--dump", "everything"),
        ("compile", "model.py", "--shape", "x"),
        ("compile", "model.py", "--shape", "=3"),
        ("compile", "model.py", "--shape", "x=0"),
        ("compile", "model.py", "--shape", "x=a b"),
        ("check", "model.py", "--most", "some"),
        ("check", "model.py", "--most", "0"),
        ("check", "model.py", "--dtype", "float32"),
        ("check", "model.py", "--tolerance", "-1"),
    ],
)
def test_usage_errors(arguments: tuple[str, ...], model: Callable[[str], Path]) -> None:
    path = model(LINEAR)
    result = run(*(path if one == "model.py" else one for one in arguments))
    assert result.exit_code == 2
    assert "Usage: symflow" in result.stderr


# --- bad models ----------------------------------------------------------------------------------

HEAD = 'import symflow as sf\nx = sf.placeholder(shape=("n", 3))\nw = sf.Variable(sf.ones(3))\n'
MINIMIZE = "sf.GradientDescentOptimizer(0.1).minimize"

# Model text, the line it is blamed on (None: the file), and what the message says.
BAD: dict[str, tuple[str, int | None, str]] = {
    "matmul": (HEAD + "y = x @ sf.ones((4, 2))\n", 4, ""),
    "matmul of a Variable": (HEAD + "v = sf.Variable(sf.ones((4, 2)))\ny = x @ v\n", 5, "(4, 2)"),
    "no shape": (SHAPELESS, 3, "the placeholder x has no shape"),
    "injected name": (HEAD + "y = sf.add(x, 1, name='x\"; import os #')\n", 4, "import os #"),
    "name with a newline": (HEAD + "y = sf.add(x, 1, name='a\\nb')\n", 4, "identifier"),
    "empty name": (HEAD + "y = sf.add(x, 1, name='')\n", 4, "identifier"),
    "keyword": (HEAD + "v = sf.Variable(1.0, name='class')\n", 4, "'class'"),
    "duplicate name": (HEAD + "y = sf.add(x, 1, name='a')\nz = sf.add(x, 2, name='a')\n", 5, ":4"),
    "injected size": ("import symflow as sf\nx = sf.placeholder(shape=('n; import os',))\n", 2, ""),
    "loss not scalar": (HEAD + "loss = x @ w\n", 4, "(n,)"),
    "minimize not scalar": (HEAD + f"{MINIMIZE}(x @ w)\n", 4, "(n,)"),
    "unreached": (HEAD + "b = sf.Variable(0.0)\nloss = sf.reduce_sum(x @ w)\n", 4, "b"),
    "unreached by minimize": (
        HEAD + f"b = sf.Variable(0.0, name='b')\n{MINIMIZE}(sf.reduce_sum(x @ w))\n",
        4,
        "b",
    ),
    "stopped": (HEAD + f"{MINIMIZE}(sf.reduce_sum(sf.stop_gradient(w)))\n", 4, ""),
    "two minimizes": (HEAD + f"{MINIMIZE}(w @ w)\n{MINIMIZE}(2 * (w @ w))\n", 5, "model.py:4"),
    "raises": (HEAD + "def half(n):\n    return 1 / n\nhalf(0)\n", 5, "ZeroDivisionError"),
    "raises two lines": (HEAD + "raise ValueError('a\\nb')\n", 4, "ValueError: a b"),
    "raises what cannot be told": (
        HEAD + "class E(Exception):\n    def __str__(self):\n        raise E\nraise E\n",
        7,
        "E",
    ),
    "recursion": (HEAD + "def f():\n    return f()\nf()\n", 5, "RecursionError"),
    "syntax": (HEAD + "y = (1,\n", 4, "SyntaxError: '(' was never closed"),
    "null byte": (HEAD + "y = 1\0\n", None, "null bytes"),
    "exits": (HEAD + "import sys\nsys.exit(0)\n", 5, "SystemExit"),
    "import": (HEAD + "import no_such_module\n", 4, "no_such_module"),
    "no tensors": ("x = 1\n", None, "no tensor"),
    "empty": ("", None, "no tensor"),
    "inputs only": (HEAD, None, "no tensor"),
    "__all__ names a number": (HEAD + "y = x @ w\nz = 3\n__all__ = ['y', 'z']\n", None, "'z'"),
    "__all__ names nothing": (HEAD + "y = x @ w\n__all__ = ['z']\n", None, "'z'"),
    "__all__ is a number": (HEAD + "y = x @ w\n__all__ = 3\n", None, "__all__"),
    "not ASCII": (HEAD + "größe = sf.placeholder(shape=('n',))\ny = größe * 2\n", 4, "größe"),
    "infinite initial value": (HEAD + "v = sf.Variable(float('inf'))\n", 4, "finite"),
}
ARGUMENTS = ["parameters", "threads", "seed", "steps", "learning_rate", "state", "on_step"]
BAD |= {
    f"placeholder called {name}": (
        'import symflow as sf\nx = sf.placeholder(shape=("n",))\nw = sf.Variable(2.0)\n'
        f'{name} = sf.placeholder(shape=("n",))\n'
        f"total = sf.reduce_sum({name} * w * x)\n{MINIMIZE}(total)\n__all__ = []\n",
        4,
        repr(name),
    )
    for name in ARGUMENTS
}
BAD |= {
    "function called train": (HEAD + "train = x @ w\nz = 2 * train\n", 4, "'train'"),
    "size called class": (
        "import symflow as sf\nx = sf.placeholder(shape=('class',))\ny = sf.reduce_mean(x)\n",
        2,
        "class",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_model(case: str, model: Callable[[str], Path], out: Path) -> None:
    text, line, message = BAD[case]
    path = model(text)
    out.mkdir()
    (out / "model.py").write_text("old")
    (out / "model.npz").write_text("old")
    before = contents(out)
    result = run("compile", path, "-o", out)
    assert contents(out) == before
    assert isinstance(result.exception, SystemExit)
    assert (result.exit_code, result.stdout) == (1, "")
    place = "[^\n]*model\\.py" if line is None else f"model\\.py:{line}: "
    assert re.fullmatch(f"symflow: {place}[^\n]*\n( {{4}}[^\n]*\n)*", result.stderr), result.stderr
    assert message in result.stderr


@pytest.mark.parametrize("name", ["none.py", ".", "my-model.py", "class.py", "latin1.py"])
def test_bad_file(tmp_path: Path, out: Path, name: str) -> None:
    for other in ("my-model.py", "class.py"):
        (tmp_path / other).write_text(LINEAR)
    (tmp_path / "latin1.py").write_bytes(b"# \xe9\n")
    result = run("compile", tmp_path / name, "-o", out)
    assert isinstance(result.exception, SystemExit)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith(f"symflow: {tmp_path / name}: ")
    assert result.stderr.count("\n") == 1 + result.stderr.count("\n    hint: ")
    assert not out.exists()


def test_errors_reach_the_shell(model: Callable[[str], Path], out: Path) -> None:
    done = process("compile", model(HEAD + "import sys\nsys.exit(0)\n"), "-o", out)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "symflow: model.py:5: SystemExit: 0\n    sys.exit(0)\n"


def test_output_below_a_file(model: Callable[[str], Path], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("old")
    result = run("compile", model(LINEAR), "-o", tmp_path / "file" / "out")
    assert (result.exit_code, result.stdout) == (1, "")
    assert re.fullmatch(r"symflow: [^\n]*file[^\n]*\n", result.stderr)
    assert (tmp_path / "file").read_text() == "old"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "model.py"]


@pytest.mark.parametrize("text", [LINEAR, "z"])
def test_output_that_is_a_folder(model: Callable[[str], Path], out: Path, text: str) -> None:
    """Neither of two files is replaced when one of them cannot be."""
    if text == "z":
        text = "import numpy as np\nimport symflow as sf\nz = sf.constant(np.arange(500.0)) * 2\n"
    (out / "model.py").mkdir(parents=True)
    (out / "model.npz").write_text("old")
    result = run("compile", model(text), "-o", out)
    assert (result.exit_code, result.stdout) == (1, "")
    assert re.fullmatch(r"symflow: [^\n]*model\.py[^\n]*\n", result.stderr)
    assert contents(out) == {"model.npz": b"old"}


# --- injection -----------------------------------------------------------------------------------

EFFECT = "__import__('builtins').leaked = 1"
DOCSTRINGS = {
    "ends the docstring": f'a """\n{EFFECT}\n"""',
    "quotes": "a \" b ' c",
    "ends with a quote": 'say "yes"',
    "ends with a backslash": "a \\",
    "backslash and quotes": f'\\""" \n{EFFECT} # \\"""',
    "escapes": "\\x22\\x22\\x22 \\N{SNOWMAN} \\u2603",
    "template": "{{ 7 * 7 }} {% raw %} {# gone #}",
    "percent and braces": "%s {0} {name!r}",
    "null": "a \0 b",
    "control": "a \x07 \x1b[31m b",
    "carriage return": f"a\r{EFFECT}",
    "separators": "a\u2028leaked\u2029b\x0cleaked\x85leaked",
    "bidi": "a \u202e b",
    "long": "long " * 60,
    "blank": " \n ",
}


@pytest.mark.parametrize("case", DOCSTRINGS)
def test_docstrings_are_only_text(
    case: str, compiled: Callable[[str], ModuleType], capsys: pytest.CaptureFixture[str]
) -> None:
    import builtins

    module = compiled(f"{DOCSTRINGS[case]!r}\n{LINEAR}")
    assert not hasattr(builtins, "leaked")
    assert capsys.readouterr() == ("", "")
    text = Path(str(module.__file__)).read_text(encoding="utf-8")
    assert max(map(len, text.splitlines())) <= 100
    assert text.replace("\n", "").isprintable()
    assert module.loss(module.initial_parameters(), [1.0], [1.0]) == 0.25


CONSTANTS = [
    [0.1, -0.0, 1e308, 5e-324, -1e-7, 1 / 3],
    [1.0, float("inf"), float("-inf")],
    [1.0, float("nan")],
    [[2**53 + 2.0], [1e22]],
    [True, False],
    [1, -(2**40)],
    0.1 + 0.2,
    1e-300,
    -2.5,
    float("inf"),
    float("nan"),
]


@pytest.mark.parametrize("value", CONSTANTS, ids=repr)
def test_constants_are_exact(value: Any, compiled: Callable[[str], ModuleType]) -> None:
    module = compiled(
        "import symflow as sf\nfrom math import inf, nan\nx = sf.placeholder(shape=())\n"
        f"z = sf.to_float(sf.constant({value!r})) * x\n"
    )
    np.testing.assert_array_equal(module.z(1.0), np.asarray(value, float))


@pytest.mark.parametrize("value", [one for one in CONSTANTS if np.all(np.isfinite(one))], ids=repr)
def test_initial_values_are_exact(value: Any, compiled: Callable[[str], ModuleType]) -> None:
    value = np.asarray(value, float).tolist()
    module = compiled(
        f"import symflow as sf\nw = sf.Variable({value!r})\nloss = sf.reduce_sum(w)\n"
    )
    np.testing.assert_array_equal(module.initial_parameters().w, np.asarray(value, float))


ROLES = {
    "placeholder": (
        '{name} = sf.placeholder(shape=("n",))\nweights_ = sf.Variable([1.0, 2.0])\n'
        "total = sf.reduce_mean(sf.sigmoid({name}[:, None] * weights_))\n__all__ = []\n"
    ),
    "Variable": (
        'inputs_ = sf.placeholder(shape=("n",))\n{name} = sf.Variable([1.0, 2.0])\n'
        "total = sf.reduce_mean(sf.sigmoid(inputs_[:, None] * {name}))\n__all__ = []\n"
    ),
    "function": (
        'inputs_ = sf.placeholder(shape=("n",))\nweights_ = sf.Variable([1.0, 2.0])\n'
        "{name} = sf.sigmoid(inputs_[:, None] * weights_)\ntotal = sf.reduce_mean({name})\n"
        "__all__ = ['{name}']\n"
    ),
    "size": (
        'inputs_ = sf.placeholder(shape=("{name}",))\nweights_ = sf.Variable([1.0, 2.0])\n'
        "total = sf.reduce_mean(sf.sigmoid(inputs_[:, None] * weights_))\n__all__ = []\n"
    ),
}


ROLES_AT = {role: 5 * at for at, role in enumerate(ROLES)}
"""With which name the sample of each begins."""


@pytest.mark.parametrize("role", ROLES)
def test_names_of_the_module_itself(
    role: str, every_helper: Path, tmp_path: Path, long: bool
) -> None:
    """A name that stands in generated code is refused, or means the same as any other."""
    tree = ast.parse(every_helper.read_text())
    words = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    words |= {node.arg for node in ast.walk(tree) if isinstance(node, (ast.arg, ast.keyword))}
    words |= {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
    broken = {}
    expected = None
    named = sorted(filter(None, words))
    for name in ["plain", *(named if long else named[ROLES_AT[role] :: 20])]:
        text = ROLES[role].format(name=name)
        path = tmp_path / "model.py"
        path.write_text(f"import symflow as sf\n{text}{MINIMIZE}(total)\n")
        try:
            write(compile_files(path, tmp_path / "out", {}, None))
        except SymflowError:
            continue
        except Exception as error:
            broken[name] = repr(error)
            continue
        try:
            found = used(
                imported(tmp_path / "out" / "model.py"), name if role == "function" else None
            )
        except Exception as error:
            broken[name] = repr(error)
            continue
        expected = expected or found
        if found != expected:
            broken[name] = "another result"
    assert broken == {}


def used(module: ModuleType, function: str | None) -> Any:
    """What comes of training, saving and loading a module, and of its function of that name."""
    inputs = [np.array([1.0, -2.0])]
    result = module.train(module.initial_parameters(), *inputs, steps=2, batch_size=2)
    path = Path(str(module.__file__)).with_suffix(".npz")
    module.save_parameters(path, result.parameters)
    (loaded,) = module.load_parameters(path)
    path.unlink()
    exported = getattr(module, function)([loaded], *inputs) if function else np.array([])
    return loaded.tolist(), result.losses, exported.tolist()


def test_name_wins_over_the_variable(compiled: Callable[[str], ModuleType]) -> None:
    """A node is called by its `name=`, else by the module-level variable it is bound to."""
    module = compiled(LINEAR.replace("sf.Variable(1.0)", 'sf.Variable(1.0, name="slope")'))
    assert module.Parameters._fields == ("slope", "b")
