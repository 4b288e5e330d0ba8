"""Modules that test themselves: they pass as they are, and fail with anything changed."""

from __future__ import annotations

import io
import re
import shutil
import subprocess
import sys
import tokenize
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT, imported

from symflow.files import compile_files, write
from symflow.selftest import with_digest
from symflow.shipping import Shipping, Values

INFERENCE = ROOT / "generated" / "inference"
(BESIDE,) = INFERENCE.glob("digits.*.npz")

MODELS = {
    "linear": (
        'x = sf.placeholder(shape=("n",))\ny = sf.placeholder(shape=("n",))\n'
        "w = sf.Variable(1.0)\nb = sf.Variable(0.5)\nfit = w * x + b\n"
        "loss = sf.reduce_sum(sf.square(fit - y))\n"
        "sf.train.GradientDescentOptimizer(0.01).minimize(loss)\n"
    ),
    "adam": (
        'x = sf.placeholder(shape=("n", 3))\nk = sf.placeholder(sf.int64, ("n",))\n'
        "w = sf.Variable(sf.glorot_uniform((3, 4)))\nscores = x @ w\n"
        "hot = sf.one_hot(k, 4)\n"
        "loss = -sf.reduce_mean(hot * sf.log_softmax(scores))\n"
        "sf.train.AdamOptimizer(0.05).minimize(loss)\n"
    ),
    "momentum of numbers": (
        "a = sf.Variable(1.5)\nb = sf.Variable(-0.5)\nloss = (1 - a) ** 2 + 10 * (b - a * a) ** 2\n"
        "sf.train.MomentumOptimizer(0.01, 0.9).minimize(loss)\n"
    ),
    "line search": (
        "x = sf.placeholder(shape=(6, 3))\nw = sf.Variable(sf.ones(3))\n"
        "loss = sf.reduce_sum(sf.square(x @ w - 1.0))\n"
        "sf.GradientDescentOptimizer(sf.train.backtracking_line_search()).minimize(loss)\n"
    ),
    "no training": 'x = sf.placeholder(shape=("n",))\nk = x > 0.25\nz = sf.log(x)\n',
    "positive inputs": (
        'x = sf.placeholder(shape=("n",))\nw = sf.Variable(2.0)\n'
        "loss = sf.reduce_sum(w * sf.log(sf.sqrt(x) - 1))\n"
    ),
    "constants": "z = sf.constant([1.0, 2.0]) * 2\n",
    "many": (
        'x = sf.placeholder(shape=("n", 30))\nw = sf.Variable(sf.random_normal((30, 20)))\n'
        "loss = sf.reduce_sum(sf.tanh(x @ w))\n"
    ),
}


@pytest.fixture
def testing(tmp_path: Path) -> Callable[..., Path]:
    """The file of a module that a model's text compiles to, with a self-test."""

    def compile_text(text: str, style: str = "fast", **choices: object) -> Path:
        (tmp_path / "model.py").write_text(f"import symflow as sf\n{text}")
        ships = Shipping(selftest=True, **choices)  # type: ignore[arg-type]
        kind = "plain" if style == "plain" else "fast"
        write(
            compile_files(
                tmp_path / "model.py",
                tmp_path / "out",
                {},
                None,
                style=kind,  # type: ignore[arg-type]
                ships=ships,
            )
        )
        return tmp_path / "out" / "model.py"

    return compile_text


def passes(path: Path) -> bool:
    """Whether a module's self-test passes; what cannot run does not."""
    try:
        with np.errstate(all="ignore"):
            return bool(imported(path).selftest())
    except Exception:
        return False


@pytest.mark.parametrize("style", ["fast", "plain"])
@pytest.mark.parametrize("name", MODELS)
def test_a_module_passes_its_test(
    testing: Callable[..., Path], capsys: pytest.CaptureFixture[str], name: str, style: str
) -> None:
    path = testing(MODELS[name], style)
    assert imported(path).selftest()
    first, *tested, last = capsys.readouterr().out.splitlines()
    assert first == "this file: as compiled"
    assert last == f"self-test passed, NumPy {np.__version__}"
    assert tested
    for line in tested:
        assert re.fullmatch(r"float(32|64) [\w ]+: error \d\.\de[-+]\d\d", line)


def test_what_is_tested(testing: Callable[..., Path], capsys: pytest.CaptureFixture[str]) -> None:
    assert imported(testing(MODELS["linear"])).selftest()
    tested = re.findall(r"^(float\d\d) ([\w ]+): error", capsys.readouterr().out, re.MULTILINE)
    assert [name for dtype, name in tested if dtype == "float64"] == [
        "fit",
        "loss",
        "gradient by w",
        "gradient by b",
        "loss in blocks",
        "gradient by w in blocks",
        "gradient by b in blocks",
        "losses",
        "w after 3 steps",
        "b after 3 steps",
        "losses one by one",
        "w after 3 steps one by one",
        "b after 3 steps one by one",
    ]
    assert [dtype for dtype, _ in tested].count("float32") == 13


def test_without_the_option_there_is_no_test() -> None:
    for path in (ROOT / "generated").glob("*.py"):
        assert "selftest" not in path.read_text()


def test_command_line(testing: Callable[..., Path]) -> None:
    path = testing(MODELS["linear"])

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([sys.executable, path, *arguments], capture_output=True, text=True)

    alone, wrong = run(), run("--test")
    assert alone.returncode == wrong.returncode == 2
    assert alone.stderr == wrong.stderr == "usage: python model.py --selftest\n"
    assert run("--selftest").returncode == 0
    path.write_text(path.read_text().replace("2.0 * ", "2.5 * "))
    changed = run("--selftest")
    assert changed.returncode == 1
    assert "CHANGED" in changed.stdout
    assert "  WRONG" in changed.stdout
    assert changed.stdout.splitlines()[-1].startswith("self-test FAILED")


def test_twice_the_same(testing: Callable[..., Path]) -> None:
    path = testing(MODELS["adam"])
    before = path.read_bytes()
    testing(MODELS["adam"])
    assert path.read_bytes() == before


def test_the_test_is_of_values_that_are_put_in(testing: Callable[..., Path]) -> None:
    values = Values("trained.npz", {"w": np.array([[1.0]] * 3) * [1.0, 2.0, 3.0, 4.0]})
    path = testing(MODELS["adam"], only=("scores",), parameters=values)
    assert passes(path)
    path = testing(MODELS["adam"], parameters=values)
    assert passes(path)


def test_training_that_diverges_is_tested_as_far_as_it_goes(
    testing: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    text = (
        "w = sf.Variable(3.0)\nloss = sf.exp(w * w)\n"
        "sf.train.GradientDescentOptimizer(0.01).minimize(loss)\n"
    )
    assert imported(testing(text)).selftest()
    assert "float64 w after 1 step: error" in capsys.readouterr().out


def test_what_float32_cannot_hold_is_tested_in_float64(
    testing: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    text = 'x = sf.placeholder(shape=("n",))\nz = sf.exp(200.0 + x)\n'
    assert imported(testing(text)).selftest()
    tested = capsys.readouterr().out
    assert "float64 z: error" in tested
    assert "float32 z" not in tested
    assert "float32: not tested, it does not hold the numbers of this model" in tested


def test_no_finite_result_is_told(testing: Callable[..., Path]) -> None:
    from symflow.errors import SymflowError

    with pytest.raises(SymflowError, match="found no inputs at which all results are finite"):
        testing('x = sf.placeholder(shape=("n",))\nz = sf.log(x - x * x - 5)\n')


# --- mutants -------------------------------------------------------------------------------------


def mutants(text: str) -> Iterator[tuple[str, str]]:
    """A module with each number and each operator changed in turn, and the line it is on."""
    other = {"+": "-", "-": "+", "*": "+", "/": "*", "@": "*", ">": "<=", "<": ">=", "==": "!="}
    lines = text.splitlines(keepends=True)
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        row, (start, end) = token.start[0] - 1, (token.start[1], token.end[1])
        if token.type == tokenize.NUMBER:
            number = float(token.string)
            whole = token.string.isdigit()
            changed = str(int(number) + 1) if whole else repr(number * 1.001 or 0.001)
        elif token.type == tokenize.OP and token.string in other:
            changed = other[token.string]
        else:
            continue
        line = lines[row]
        moved = [*lines[:row], f"{line[:start]}{changed}{line[end:]}", *lines[row + 1 :]]
        yield line.strip(), "".join(moved)


def test_any_number_or_operator_that_is_changed_is_noticed(tmp_path: Path) -> None:
    shutil.copy(BESIDE, tmp_path)
    path = tmp_path / "digits.py"
    text = (INFERENCE / "digits.py").read_text()
    path.write_text(text)
    assert passes(path)
    before, after = text.split("def selftest()")  # what judges is not judged
    assert after
    for line, mutant in mutants(before):
        path.write_text(f"{mutant}def selftest(){after}")
        assert not passes(path), line


def _shifts(line: str) -> bool:
    """Whether a line shifts what a softmax is of, which changes no result."""
    return "- np.max(" in line


def test_numbers_alone_notice_a_change_of_what_is_computed(tmp_path: Path) -> None:
    """Also where the hash is that of the changed module."""
    shutil.copy(BESIDE, tmp_path)
    path = tmp_path / "digits.py"
    text = (INFERENCE / "digits.py").read_text()
    start, end = text.index("# --- forward"), text.index("# --- arguments")
    assert "_W1" in text[start:end]
    count = 0
    for line, mutant in mutants(text[start:end]):
        if _shifts(line):
            continue
        whole = re.sub(r'_DIGEST = ".*"', '_DIGEST = ""', text[:start] + mutant + text[end:])
        path.write_text(with_digest(whole))
        assert not passes(path), line
        count += 1
    assert count > 5


def test_any_parameter_that_is_changed_is_noticed(tmp_path: Path) -> None:
    shutil.copy(INFERENCE / "digits.py", tmp_path)
    arrays = dict(np.load(BESIDE))
    random = np.random.default_rng(0)
    for name, array in arrays.items():
        for _ in range(5):
            changed = array.copy()
            entry = tuple(random.integers(0, size) for size in array.shape)
            changed[entry] = np.nextafter(changed[entry], np.float32(9))
            np.savez(tmp_path / BESIDE.name, **{**arrays, name: changed})
            assert not passes(tmp_path / "digits.py"), (name, entry)


@pytest.mark.parametrize("name", ["linear", "adam", "momentum of numbers"])
def test_numbers_alone_notice_a_change_of_the_loss_or_the_optimizer(
    testing: Callable[..., Path], name: str
) -> None:
    path = testing(MODELS[name], "plain")
    text = path.read_text()
    count = 0
    for function in ("_loss", "_loss_and_gradients", "_updated", "_corrected_rate"):
        found = re.search(rf"^def {function}\(.*?(?=^[^\s)])", text[1:], re.DOTALL | re.MULTILINE)
        if found is None:
            assert function == "_corrected_rate"
            continue
        start, end = found.start() + 1, found.end() + 1
        for line, mutant in mutants(text[start:end]):
            if "dtype" in line or _shifts(line):
                continue  # which of the parameters says so does not matter
            whole = re.sub(r'_DIGEST = ".*"', '_DIGEST = ""', text[:start] + mutant + text[end:])
            path.write_text(with_digest(whole))
            assert not passes(path), line
            count += 1
    assert count > 5
