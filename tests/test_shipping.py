"""Modules of some tensors alone, with their parameters in them."""

from __future__ import annotations

import inspect
import io
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from conftest import DATA, ROOT, imported
from numpy.testing import assert_allclose, assert_array_equal

from symflow.cli import main

MODEL = """\
import symflow as sf

x = sf.placeholder(shape=("n", 3))
y = sf.placeholder(shape=("n",))
w = sf.Variable([[1.0], [2.0], [-1.0]])
b = sf.Variable(0.5)
size = sf.Variable([2.0], trainable=False)
scores = x @ w + b
chance = sf.sigmoid(scores[:, 0] / size)
doubled = 2 * x
loss = sf.reduce_mean(sf.square(chance - y))
sf.train.GradientDescentOptimizer(0.1).minimize(loss)
__all__ = ["chance"]
"""
W, B = [[0.25], [-1.5], [3.0]], -0.75


def run(*arguments: Any) -> Result:
    return CliRunner().invoke(main, ["compile", *map(str, arguments)], prog_name="symflow")


@pytest.fixture
def compiled(tmp_path: Path) -> Callable[..., ModuleType]:
    """The module that a model's text is compiled to with some options, beside `trained.npz`."""
    np.savez(tmp_path / "trained.npz", w=np.float64(W), b=np.float64(B))
    np.savez(tmp_path / "single.npz", w=np.float32(W), b=np.float32(B))

    def compile_text(text: str, *options: str) -> ModuleType:
        (tmp_path / "model.py").write_text(text)
        placed = [tmp_path / one if one.endswith(".npz") else one for one in options]
        result = run(tmp_path / "model.py", "-o", tmp_path / "out", *placed)
        assert result.exit_code == 0, result.stderr
        return imported(tmp_path / "out" / "model.py")

    return compile_text


def functions(module: ModuleType) -> set[str]:
    public = inspect.getmembers(module, lambda one: inspect.isfunction(one) or inspect.isclass(one))
    return {name for name, one in public if name[0] != "_" and one.__module__ == module.__name__}


X = np.random.default_rng(0).normal(size=(4, 3))


def chance(w: Any, b: Any, x: Any = X, size: float = 2.0) -> Any:
    return 1 / (1 + np.exp(-((x @ np.asarray(w))[:, 0] + b) / size))


# --- only ----------------------------------------------------------------------------------------


def test_only_one_function(compiled: Callable[..., ModuleType]) -> None:
    module = compiled(MODEL, "--only", "chance")
    assert functions(module) == {"Parameters", "chance", "load_parameters"}
    assert module.INPUTS == {"x": ("n", 3)}
    p = module.Parameters(np.array(W), np.array(B))
    assert_allclose(module.chance(p, X), chance(W, B), rtol=1e-14)


def test_only_reads_parameters_of_the_whole_model(
    compiled: Callable[..., ModuleType], tmp_path: Path
) -> None:
    whole = compiled(MODEL)
    whole.save_parameters(tmp_path / "all.npz", whole.Parameters(np.array(W), np.array(B)))
    module = compiled(MODEL, "--only", "scores")
    p = module.load_parameters(tmp_path / "all.npz")
    assert_allclose(module.scores(p, X), X @ W + B, rtol=1e-14)


def test_only_takes_what_is_not_exported_and_what_needs_no_parameter(
    compiled: Callable[..., ModuleType],
) -> None:
    module = compiled(MODEL, "--only", "doubled", "--only", "scores")
    assert {"doubled", "scores"} <= functions(module)
    alone = compiled(MODEL, "--only", "doubled")
    assert functions(alone) == {"doubled"}
    assert_array_equal(alone.doubled(X), 2 * X)


def test_only_the_loss(compiled: Callable[..., ModuleType]) -> None:
    module = compiled(MODEL, "--only", "loss", "--parameters", "trained.npz")
    assert functions(module) == {"loss"}
    found = module.loss(X, np.ones(4))
    assert_allclose(found, np.mean(np.square(chance(W, B) - 1)), rtol=1e-14)


def test_only_unknown(tmp_path: Path) -> None:
    (tmp_path / "model.py").write_text(MODEL)
    near = run(tmp_path / "model.py", "-o", tmp_path / "out", "--only", "chanse")
    assert (near.exit_code, near.stdout) == (1, "")
    assert near.stderr == (
        "symflow: --only chanse: model.py has no such tensor to compute\n"
        "    hint: did you mean chance?\n"
    )
    other = run(tmp_path / "model.py", "-o", tmp_path / "out", "--only", "x")
    assert other.stderr == (
        "symflow: --only x: model.py has no such tensor to compute\n"
        "    hint: it has chance, scores, doubled, loss\n"
    )
    assert not (tmp_path / "out").exists()


# --- parameters ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("file", "dtype", "tolerance"),
    [("trained.npz", np.float64, 1e-14), ("single.npz", np.float32, 1e-6)],
)
def test_parameters_are_part_of_the_module(
    compiled: Callable[..., ModuleType], file: str, dtype: Any, tolerance: float
) -> None:
    module = compiled(MODEL, "--only", "chance", "--parameters", file)
    assert functions(module) == {"chance"}
    for given in (X, X.astype(np.float32)):
        found = module.chance(given)
        assert found.dtype == dtype
        assert_allclose(found, chance(W, B), rtol=1e-6 if given is not X else tolerance)
    text = Path(str(module.__file__)).read_text()
    assert f"symflow compile model.py --only chance --parameters {file}\n" in text


def test_a_precision_of_its_own(compiled: Callable[..., ModuleType]) -> None:
    module = compiled(
        MODEL, "--only", "chance", "--parameters", "trained.npz", "--dtype", "float32"
    )
    assert module.chance(X).dtype == np.float32


def test_parameters_are_where_training_starts(compiled: Callable[..., ModuleType]) -> None:
    module = compiled(MODEL, "--parameters", "trained.npz")
    start = module.initial_parameters()
    assert_array_equal(start.w, W)
    assert_array_equal(start.b, B)
    assert_array_equal(module.size if hasattr(module, "size") else 2.0, 2.0)
    assert module.train(start, X, np.ones(4), steps=2).steps == 2


def test_many_parameters_stand_beside_the_module(tmp_path: Path) -> None:
    values = np.load(DATA / "digits_parameters.npz")
    model = ROOT / "examples" / "digits.py"
    run(model, "-o", tmp_path, "--parameters", DATA / "digits_parameters.npz")
    start = imported(tmp_path / "digits.py").initial_parameters()
    for name in values:
        assert_array_equal(getattr(start, name), values[name])


def test_values_of_variables_that_are_not_trained_are_taken_too(
    compiled: Callable[..., ModuleType], tmp_path: Path
) -> None:
    np.savez(tmp_path / "more.npz", w=np.array(W), b=np.array(B), size=np.array([4.0]), other=1)
    module = compiled(MODEL, "--only", "chance", "--parameters", "more.npz")
    assert_allclose(module.chance(X), chance(W, B, size=4.0), rtol=1e-14)


def test_the_digest_covers_the_values(compiled: Callable[..., ModuleType], tmp_path: Path) -> None:
    def header(*options: str) -> str:
        text = Path(str(compiled(MODEL, "--parameters", "trained.npz", *options).__file__))
        return next(line for line in text.read_text().splitlines() if ", graph " in line)

    before = header("--only", "chance"), header()
    np.savez(tmp_path / "trained.npz", w=np.float64(W), b=np.nextafter(B, 1))
    after = header("--only", "chance"), header()
    assert before[0] != after[0]
    assert before[1] != after[1]


def test_the_module_of_digits_reads_digits(digits: Any) -> None:
    pixels, digit = digits[1]
    module = imported(ROOT / "generated" / "inference" / "digits.py")
    found = module.probability(pixels).argmax(axis=1)
    assert np.mean(found == digit) > 0.97
    whole = imported(ROOT / "generated" / "digits.py")
    p = whole.load_parameters(DATA / "digits_parameters.npz")
    assert_allclose(module.probability(pixels), whole.probability(p, pixels), rtol=1e-5, atol=1e-7)


def test_the_module_of_digits_holds_nothing_of_training() -> None:
    text = (ROOT / "generated" / "inference" / "digits.py").read_text()
    for word in ("gradient", "train", "loss", "Parameters", "_Workspace", "learning"):
        assert word not in text.replace("digits_parameters", "")


def _one_array() -> bytes:
    file = io.BytesIO()
    np.save(file, np.ones(3))
    return file.getvalue()


WRONG: dict[str, tuple[Callable[[Path], object], str]] = {
    "missing": (lambda path: np.savez(path, w=np.array(W)), "file.npz holds no b; it holds: w"),
    "shape": (
        lambda path: np.savez(path, w=np.ones((3, 2)), b=B),
        "file.npz: w is (3, 2), but (3, 1) in the model",
    ),
    "not finite": (lambda path: np.savez(path, w=W, b=np.nan), "file.npz: b is not finite"),
    "text": (
        lambda path: np.savez(path, w=np.array([["a"]] * 3), b=B),
        "{path}: array w: expected real numbers, got <U1",
    ),
    "not npz": (
        lambda path: path.write_text("w = 1"),
        "{path}: not an .npz file of arrays: File is not a zip file",
    ),
    "empty": (
        lambda path: path.write_text(""),
        "{path}: not an .npz file of arrays: File is not a zip file",
    ),
    "objects": (
        lambda path: np.savez(path, w=np.array([None]), b=B),
        "{path}: array w: expected real numbers, got object",
    ),
    "one array": (
        lambda path: path.write_bytes(_one_array()),
        "{path}: one array, not an .npz file of arrays\n    hint: np.savez writes one",
    ),
    "nowhere": (lambda path: None, "{path}: No such file or directory"),
}


@pytest.mark.parametrize("options", [(), ("--only", "chance")], ids=["whole", "only"])
@pytest.mark.parametrize("case", WRONG)
def test_wrong_parameters(tmp_path: Path, case: str, options: tuple[str, ...]) -> None:
    make, message = WRONG[case]
    (tmp_path / "model.py").write_text(MODEL)
    path = tmp_path / "file.npz"
    make(path)
    result = run(tmp_path / "model.py", "-o", tmp_path / "out", "--parameters", path, *options)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == f"symflow: {message.format(path=path)}\n"
    assert not (tmp_path / "out").exists()


# --- what is computed when it is compiled --------------------------------------------------------

FOLDED = """\
import symflow as sf

x = sf.placeholder(shape=("n", 3))
mean = sf.Variable([1.0, 2.0, 3.0])
variance = sf.Variable([0.5, 1.0, 2.0])
a = sf.Variable([[2.0, 0.5, 0.0], [0.5, 1.0, 0.25], [0.0, 0.25, 3.0]])
normal = (x - mean) * sf.rsqrt(variance + 0.001)
solved = normal @ sf.cholesky(a @ sf.transpose(a))
loss = sf.reduce_sum(sf.square(solved))
"""


def test_what_depends_on_parameters_alone_is_computed_once(
    compiled: Callable[..., ModuleType], tmp_path: Path
) -> None:
    whole = compiled(FOLDED)
    start = whole.initial_parameters()
    whole.save_parameters(tmp_path / "p.npz", start)
    module = compiled(FOLDED, "--only", "solved", "--parameters", "p.npz")
    body = inspect.getsource(module.solved)
    assert "sqrt" not in body
    assert "cholesky" not in body
    assert_allclose(module.solved(X), whole.solved(start, X), rtol=1e-13, atol=1e-15)


def test_what_depends_on_sizes_is_not_computed_once(
    compiled: Callable[..., ModuleType], tmp_path: Path
) -> None:
    text = (
        'import symflow as sf\nx = sf.placeholder(shape=("n",))\nw = sf.Variable([1.0, 2.0])\n'
        "spread = loss = sf.reduce_mean(x * sf.reduce_sum(sf.exp(w)))\n"
    )
    np.savez(tmp_path / "p.npz", w=np.array([0.5, -1.0]))
    module = compiled(text, "--only", "spread", "--parameters", "p.npz")
    assert "exp" not in inspect.getsource(module.spread)
    for n in (2, 5):
        expected = np.mean(np.arange(n) * np.sum(np.exp([0.5, -1.0])))
        assert_allclose(module.spread(np.arange(float(n))), expected, rtol=1e-14)


def test_a_singular_matrix_raises_when_it_is_called(
    compiled: Callable[..., ModuleType], tmp_path: Path
) -> None:
    np.savez(tmp_path / "p.npz", mean=np.ones(3), variance=np.ones(3), a=np.zeros((3, 3)))
    module = compiled(FOLDED, "--only", "solved", "--parameters", "p.npz")
    with pytest.raises(np.linalg.LinAlgError):
        module.solved(X)


def test_check_says_that_there_are_no_gradients(
    compiled: Callable[..., ModuleType], tmp_path: Path
) -> None:
    compiled(MODEL, "--only", "chance", "--parameters", "trained.npz")
    command = ["check", str(tmp_path / "out" / "model.py")]
    result = CliRunner().invoke(main, command, prog_name="symflow")
    assert result.exit_code == 1
    assert "a module without gradients" in result.stderr
