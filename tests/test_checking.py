"""The gradient checker: what it accepts, what it catches, and the reason that it gives."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from click.testing import Result as Run
from conftest import ROOT, imported

import symflow as sf
from symflow.cli import main
from symflow.errors import SymflowError
from symflow.files import compile_files, write
from symflow.testing import assert_gradients, check_gradients

HEAD = "import symflow as sf\n"
LINEAR = (
    HEAD
    + """\
x = sf.placeholder(shape=("n",))
y = sf.placeholder(shape=("n",))
w = sf.Variable(1.0)
b = sf.Variable(0.5)
fit = w * x + b
loss = sf.reduce_sum(sf.square(fit - y))
"""
)
MLP = (
    HEAD
    + """\
x = sf.placeholder(shape=("n", 3))
y = sf.placeholder(shape=("n", 1))
w1 = sf.Variable(sf.glorot_uniform((3, 4)))
b1 = sf.Variable(sf.zeros(4))
w2 = sf.Variable(sf.glorot_uniform((4, 1)))
hidden = sf.tanh(x @ w1 + b1)
prediction = hidden @ w2
loss = sf.reduce_mean(sf.square(prediction - y)) + 0.1 * sf.l2_loss(w1)
"""
)


@pytest.fixture
def model(tmp_path: Path) -> Callable[[str], Path]:
    """A model file with the given text."""

    def write_text(text: str) -> Path:
        path = tmp_path / "model.py"
        path.write_text(text, encoding="utf-8")
        return path

    return write_text


@pytest.fixture
def broken(model: Callable[[str], Path], tmp_path: Path) -> Callable[..., Path]:
    """The module of a model, with a piece of its source replaced."""

    def edit(text: str, old: str, new: str) -> Path:
        out = tmp_path / "out"
        write(compile_files(model(text), out, {}, None, style="plain"))
        source = (out / "model.py").read_text(encoding="utf-8")
        assert old in source, source
        (out / "model.py").write_text(source.replace(old, new), encoding="utf-8")
        return out / "model.py"

    return edit


def run(*arguments: Any) -> Run:
    return CliRunner().invoke(main, [str(one) for one in arguments], prog_name="symflow")


def rows(output: str) -> list[dict[str, str]]:
    """The table of `symflow check`."""
    head, *lines = [re.split(r"\s{2,}", line) for line in output.split("\n\n")[0].splitlines()]
    return [dict(zip([*head, "verdict"], line, strict=True)) for line in lines]


# --- the command ---------------------------------------------------------------------------------


def test_an_example_is_right(example: str) -> None:
    result = run("check", ROOT / "generated" / f"{example}.py")
    assert (result.exit_code, result.stderr) == (0, "")
    module = imported(ROOT / "generated" / f"{example}.py")
    found = rows(result.stdout)
    assert [row["parameter"] for row in found] == list(module.Parameters._fields)
    for row in found:
        assert float(row["largest error"]) <= 1e-14
        assert row["method"] == "complex step"
        assert row["verdict"] == "ok"


def test_large_parameters_are_sampled(model: Callable[[str], Path], tmp_path: Path) -> None:
    text = HEAD + "w = sf.Variable(sf.ones((20, 20)))\nloss = sf.reduce_sum(w * w * w)"
    write(compile_files(model(text), tmp_path / "out", {}, None))
    path = tmp_path / "out" / "model.py"
    assert [row["entries"] for row in rows(run("check", path, "--most", 7).stdout)] == ["7 of 400"]
    assert [row["entries"] for row in rows(run("check", path, "--most", 400).stdout)] == ["400"]


def test_numbers_in_arrays_of_one_entry_are_tested(model: Callable[[str], Path]) -> None:
    text = """\
import symflow as sf

w = sf.Variable([0.5])
loss = sf.reduce_sum(sf.exp(w) + sf.square(w))
"""
    (result,) = check_gradients(model(text))
    assert result.ok
    assert result.shape == (1,)


def test_nothing_is_written(model: Callable[[str], Path], tmp_path: Path) -> None:
    assert run("check", model(LINEAR)).exit_code == 0
    assert [one.name for one in tmp_path.iterdir()] == ["model.py"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x = 1\n", "model.py: neither a model nor a generated module"),
        ("x = (\n", "'(' was never closed"),
        ("1 / 0\n", "ZeroDivisionError: division by zero"),
        (LINEAR.replace('shape=("n",)', ""), "the placeholder x has no shape"),
    ],
    ids=["no model", "syntax", "raises", "no shape"],
)
def test_what_cannot_be_checked_is_told(
    model: Callable[[str], Path], text: str, message: str
) -> None:
    result = run("check", model(text))
    assert (result.exit_code, result.stdout) == (1, "")
    assert re.match(r"symflow: [^\n]*model\.py[^\n]*\n", result.stderr)
    assert message in result.stderr


def test_a_missing_file(tmp_path: Path) -> None:
    result = run("check", tmp_path / "none.py")
    assert result.exit_code == 1
    assert result.stderr == f"symflow: {tmp_path / 'none.py'}: No such file or directory\n"


# --- where ---------------------------------------------------------------------------------------


def test_a_point_is_read_from_a_file(model: Callable[[str], Path], tmp_path: Path) -> None:
    path = model(HEAD + "w = sf.Variable(sf.ones(3))\nloss = sf.reduce_sum(sf.abs(w))\n")
    write(compile_files(path, tmp_path / "out", {}, None))
    np.savez(tmp_path / "point.npz", w=np.array([0.0, 1.0, -2.0]))
    result = run("check", tmp_path / "out" / "model.py", "--at", tmp_path / "point.npz")
    assert result.exit_code == 0
    (row,) = rows(result.stdout)
    assert row["method"] == "interval [-1, 1] and complex step"


@pytest.mark.parametrize(
    ("at", "message"),
    [
        ({"u": 1.0}, "has no 'u'; a point has values of: w, b, x, y"),
        ({"w": np.ones(3)}, r"w: expected \(\), got \(3,\)"),
        ({"x": np.ones(3), "y": np.ones(4)}, r"y: expected \(3,\), got \(4,\)"),
        ("none.npz", "none.npz: No such file or directory"),
    ],
)
def test_a_point_that_does_not_fit(model: Callable[[str], Path], at: Any, message: str) -> None:
    with pytest.raises(SymflowError, match=message):
        check_gradients(model(LINEAR), at=at)


def test_open_sizes_are_those_of_the_point(model: Callable[[str], Path]) -> None:
    assert_gradients(model(LINEAR), at={"y": np.arange(11.0)})


# --- wrong derivatives ---------------------------------------------------------------------------

# What is replaced in the module of MLP, the parameters then wrong, and where the reason points.
EDITS = {
    "factor 2": ("d_prediction = 2.0 / n", "d_prediction = 4.0 / n", ["w1", "b1", "w2"], 8),
    "wrong sign": ("d_b1 = np.sum(", "d_b1 = -np.sum(", ["b1"], 5),
    "missing term": ("d_w1 = 0.1 * p.w1 + ", "d_w1 = ", ["w1"], 4),
    "missing factor": (" * (1.0 - hidden * hidden)", "", ["w1", "b1"], 7),
    "wrong matrix": ("d_w2 = hidden.T", "d_w2 = (2.0 * hidden - hidden**3).T", ["w2"], 6),
}


@pytest.mark.parametrize("edit", EDITS.values(), ids=EDITS.keys())
def test_a_wrong_derivative_is_traced_to_its_line(
    broken: Callable[..., Path], edit: tuple[str, str, list[str], int]
) -> None:
    old, new, wrong, line = edit
    results = check_gradients(broken(MLP, old, new))
    assert [one.name for one in results if not one.ok] == wrong
    for one in results:
        if not one.ok:
            assert one.reason is not None
            assert one.reason.startswith(f"wrong derivative: {one.name}[")
            assert f"{one.computed:.10g}, not {one.expected:.10g}" in one.reason
            assert f"at model.py:{line}: " in one.reason or f"in model.py:{line}: " in one.reason
            assert new.split(" = ")[0].strip() in one.reason


def test_wrong_results_of_right_derivatives(broken: Callable[..., Path]) -> None:
    path = broken(LINEAR, "b=np.array(d_b", "b=np.array(0.999 * d_b")
    result = run("check", path)
    assert result.exit_code == 1
    assert [row["verdict"] for row in rows(result.stdout)] == ["ok", "WRONG"]
    assert "the derivatives are right before line " in result.stdout
    assert "b=np.array(0.999 * d_b" in result.stdout
    assert run("check", path, "--tolerance", 0.01).exit_code == 0


@pytest.mark.parametrize("scale", [1e-8, 1e-12])
def test_small_entries_are_measured_against_themselves(
    broken: Callable[..., Path], scale: float
) -> None:
    """Beside entries of ordinary size, one that is tiny and off by a factor of two."""
    text = HEAD + (
        f"c = sf.constant([1.0, 0.5, {scale}])\n"
        "w = sf.Variable(sf.ones(3))\nloss = sf.reduce_sum(sf.sin(c * w))\n"
    )
    small = "d_w = d_w * np.where(np.abs(d_w) < 1e-6, 2.0, 1.0)\n    d = Parameters("
    (result,) = check_gradients(broken(text, "d = Parameters(", small))
    assert (result.where, result.error) == ((2,), 0.5)
    assert result.reason is not None
    (right,) = check_gradients(broken(text, "d = Parameters(", "d = Parameters("))
    assert right.ok


def test_entries_that_cancel_are_measured_against_their_terms(
    broken: Callable[..., Path],
) -> None:
    """The gradient is the rounding of a sum that is 0; a real error beside it is caught."""
    text = HEAD + (
        'x = sf.placeholder(shape=("n",))\nw = sf.Variable(1.0)\nloss = w * sf.reduce_sum(x)\n'
    )
    x = np.array([0.1, 0.2, -0.3])
    assert np.sum(x) == 2.0**-54  # and 2**-55 in exact arithmetic
    wrong = broken(text, "d = Parameters(", "d_w = d_w + 1e-9\n    d = Parameters(")
    path = wrong.parent.parent / "model.py"
    assert_gradients(path, at={"x": x})
    assert not check_gradients(wrong, at={"x": x})[0].ok


def test_a_saturated_gradient_is_rounding_and_no_error(model: Callable[[str], Path]) -> None:
    """1 - sigmoid(80) is 0 in double precision, and 2e-35 in truth."""
    text = HEAD + (
        'x = sf.placeholder(shape=("n", 2))\nw = sf.Variable([40.0, 40.0])\n'
        "q = sf.sigmoid(x @ w)\nloss = sf.reduce_sum(q - sf.log(q))\n"
    )
    assert_gradients(model(text), at={"x": np.ones((3, 2)), "w": np.array([40.0, 40.0])})


def test_what_stops_the_gradient_is_held(model: Callable[[str], Path]) -> None:
    text = HEAD + (
        "w = sf.Variable(sf.ones((3, 3)))\nloss = sf.reduce_sum(sf.stop_gradient(sf.sin(w)) @ w)\n"
    )
    results = check_gradients(model(text))
    assert all(one.ok for one in results)
    assert results[-1].method == "50 digits"


def test_a_function_without_complex_numbers_is_extrapolated(broken: Callable[..., Path]) -> None:
    text = HEAD + "w = sf.Variable(2.0)\nloss = sf.exp(w)\n"
    (result,) = check_gradients(broken(text, "np.exp(p.w)", "np.exp(np.ldexp(p.w, 0))"))
    assert result.ok
    assert result.method == "Richardson"
    assert result.error < 1e-9


def test_what_extrapolation_cannot_decide_is_said(broken: Callable[..., Path]) -> None:
    text = HEAD + "w = sf.Variable(2.0)\nloss = 3 * w + 1e12\n"
    (result,) = check_gradients(broken(text, "3.0 * p.w", "3.0 * np.ldexp(p.w, 0)"))
    assert result.reason is not None
    assert result.reason.startswith("undecided: w is 3, and the numeric derivative 3.0")
    assert "(ldexp: no complex numbers at model.py:3" in result.reason


def test_near_a_kink_differences_are_extrapolated(model: Callable[[str], Path]) -> None:
    """2 beside 3e7 is near enough to the kink for the complex step to give up."""
    text = HEAD + "w = sf.Variable(2.0)\nloss = sf.maximum(w + 3e7, 3e7) - 3e7\n"
    (result,) = check_gradients(model(text), tolerance=1e-5)
    assert result.ok
    assert result.method == "Richardson"


# --- kinks ---------------------------------------------------------------------------------------

# The loss of w, where w is, and the interval of the derivative by its first entry there.
KINKS: dict[str, tuple[str, list[float], tuple[float, float]]] = {
    "abs": ("reduce_sum(sf.abs(w))", [0.0, 1.0], (-1, 1)),
    "relu": ("reduce_sum(3 * sf.relu(w))", [0.0, -1.0], (0, 3)),
    "maximum": ("reduce_sum(sf.maximum(w, 1.0))", [1.0, 2.0], (0, 1)),
    "minimum": ("reduce_sum(sf.minimum(w, 1.0))", [1.0, 2.0], (0, 1)),
    "reduce_max": ("reduce_max(w * w)", [1.0, 1.0], (0, 2)),
    "reduce_min": ("reduce_min(w)", [1.0, 1.0], (0, 1)),
    "clip": ("reduce_sum(sf.clip_by_value(w, -1, 1) * 2)", [1.0, 0.3], (0, 2)),
    "where": ("reduce_sum(sf.where(w > 1, w * w, w))", [1.0, 0.3], (1, 2)),
    "norm": ("sqrt(sf.reduce_sum(w * w))", [0.0, 0.0], (-1, 1)),
    "elu": ("reduce_sum(sf.elu(w, 2.0))", [0.0, 1.0], (1, 2)),
    "a jump": ("reduce_sum(sf.floor(w) + w)", [1.0, 0.3], (1, 1)),
}


@pytest.mark.parametrize("kink", KINKS.values(), ids=KINKS.keys())
def test_a_gradient_at_a_kink_may_be_any_in_the_interval(
    broken: Callable[..., Path],
    model: Callable[[str], Path],
    kink: tuple[str, list[float], tuple[float, float]],
) -> None:
    loss, at, (low, high) = kink
    text = HEAD + f"w = sf.Variable([0.0, 0.0])\nloss = sf.{loss}\n"
    point = {"w": np.array(at)}
    assert_gradients(model(text), at=point)
    changed = "d = Parameters(w=np.array([{}, d.w[1]]))\n    return float(loss), d"
    for given in (low, (low + high) / 2, high):
        path = broken(text, "return float(loss), d", changed.format(given))
        (result,) = check_gradients(path, at=point)
        assert result.ok, result.reason
        if low < high:
            assert f"interval [{low}, {high}]" in result.method
    for given in (low - 0.01, high + 0.01):
        path = broken(text, "return float(loss), d", changed.format(given))
        (result,) = check_gradients(path, at=point)
        assert result.reason is not None
        if low < high:
            assert result.reason.startswith(f"outside the interval [{low}, {high}] at a kink: w[0]")
            assert "kink at model.py:3: " in result.reason
        else:
            assert result.reason.startswith("wrong derivative: w[0]")


# --- not finite ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("loss", "w", "reason"),
    [
        ("h * h", 800.0, r"overflow: h\[0\] is inf at model.py:3: h = np.exp\(.*7.43312e\+694 in"),
        ("sf.sqrt(h - 5)", 0.0, r"undefined: \w+\[0\] is nan at model.py:4: .*nan in 50 digits"),
        (
            "1.0 / (h - 1)",
            0.0,
            r"pole or overflow: loss_quotient\[0\] is inf at model.py:4: .*\+inf in",
        ),
    ],
    ids=["overflow", "root of a negative number", "pole"],
)
def test_what_is_not_finite_is_traced_to_its_line(
    model: Callable[[str], Path], loss: str, w: float, reason: str
) -> None:
    text = HEAD + (
        "w = sf.Variable([0.5, 0.25])\nh = sf.exp(w)\n" + f"loss = sf.reduce_sum({loss})\n"
    )
    with pytest.raises(SymflowError, match="not finite at the point given: " + reason):
        check_gradients(model(text), at={"w": np.array([w, 0.5])})


def test_a_point_that_is_not_finite_itself(model: Callable[[str], Path]) -> None:
    with pytest.raises(SymflowError, match="w itself is not finite"):
        check_gradients(model(LINEAR), at={"w": np.nan})


# --- in tests of one's own -----------------------------------------------------------------------


def test_a_model_a_module_and_a_graph(model: Callable[[str], Path], tmp_path: Path) -> None:
    path = model(MLP)
    write(compile_files(path, tmp_path / "out", {}, None))
    assert_gradients(path)
    assert_gradients(str(path))
    assert_gradients(tmp_path / "out" / "model.py")
    module: ModuleType = imported(tmp_path / "out" / "model.py")
    assert_gradients(module)
    x = sf.placeholder(shape=("n", 2), name="x")
    w = sf.Variable([0.5, -0.5], name="w")
    sf.Variable(1.0, name="unused")
    loss = sf.reduce_sum(sf.square(sf.tanh(x @ w)))
    assert_gradients(loss)
    assert_gradients(loss, at={"x": np.ones((2, 2)), "w": np.zeros(2)})
    assert [one.name for one in check_gradients(loss)] == ["w"]
    with pytest.raises(SymflowError, match="the loss depends on no Variable"):
        check_gradients(sf.reduce_sum(x))


def test_a_model_that_was_imported(model: Callable[[str], Path]) -> None:
    assert_gradients(imported(model(LINEAR)))


def test_shapes_are_given_as_in_a_model(model: Callable[[str], Path]) -> None:
    path = model(LINEAR.replace('shape=("n",)', ""))
    assert_gradients(path, shapes={"x": ("n",), "y": ("n",)})


def test_the_assertion_shows_the_table_and_the_reason(broken: Callable[..., Path]) -> None:
    path = broken(LINEAR, " = 2.0 * ", " = ")
    with pytest.raises(AssertionError) as caught:
        assert_gradients(path)
    text = str(caught.value)
    assert text.count("WRONG") == 2
    assert "w: wrong derivative: w is " in text
    assert "at model.py:5: d_b = " in text
    assert [one.error for one in check_gradients(path)] == pytest.approx([0.5, 0.5])
