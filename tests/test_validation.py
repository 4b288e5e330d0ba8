"""Validation against the program as written: what is wrong is caught, and nothing that is right."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mpmath
import numpy as np
import pytest
import sympy as sp
from click.testing import CliRunner
from conftest import EVERY_HELPER, ROOT
from everyday_models import EVERYDAY
from planted_rules import CASES, PLANTED, plant

import symflow as sf
from symflow import bodies, compiler, elementwise, simplification
from symflow.arithmetic import undistributed
from symflow.cli import main
from symflow.compilation import Compilation
from symflow.errors import SymflowError
from symflow.files import compilation, compile_files, write
from symflow.modules import Generated
from symflow.program import Kernel, Program, kernel, slot
from symflow.testing import assert_valid, validate
from symflow.validation.comparison import Verdict, judged
from symflow.validation.findings import Report
from symflow.validation.floats import Floats
from symflow.validation.limits import Limits
from symflow.validation.validating import LEAST, expectation, validate_compiled
from symflow.validation.values import references
from symflow.validation.written import as_written, truth, truths

HEAD = "import symflow as sf\n"
LINE = HEAD + 'x = sf.placeholder(shape=("n",), name="x")\n'

SAMPLE = 4
"""Of so many everyday models one is validated, unless all cases are asked for."""


@pytest.fixture
def model(tmp_path: Path) -> Callable[[str], Path]:
    """A model file with the given text."""

    def write_text(text: str) -> Path:
        path = tmp_path / "model.py"
        path.write_text(text, encoding="utf-8")
        return path

    return write_text


@pytest.fixture
def run(model: Callable[[str], Path]) -> Callable[[str], Compilation]:
    return lambda text: compilation(model(text), {})


def command(*arguments: Any) -> Any:
    return CliRunner().invoke(main, [str(one) for one in arguments], prog_name="symflow")


# --- what is right -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", EVERYDAY)
def test_everyday_models_are_valid(name: str, model: Callable[[str], Path], long: bool) -> None:
    if list(EVERYDAY).index(name) % SAMPLE and not long:
        pytest.skip("one of a sample")
    assert_valid(model(HEAD + EVERYDAY[name]))


@pytest.mark.parametrize(
    "name", ["tail of the normal", "second derivative", "no derivative", "stopped", "elastic net"]
)
def test_what_other_checks_call_wrong(name: str, model: Callable[[str], Path]) -> None:
    assert_valid(model(HEAD + EVERYDAY[name]))


def test_every_helper_and_more(model: Callable[[str], Path]) -> None:
    assert_valid(model(EVERY_HELPER))
    more = HEAD + (
        "a = sf.Variable(sf.random_normal((4, 4)))\n"
        "s = sf.concat([a[1:3], a[::-1]], axis=0)\n"
        'q = sf.einsum("ii->i", a) * sf.gather(a[0], [0, 0, 3, 1])\n'
        "t = sf.sin(sf.reshape(s, (3, 8)))\n"
        "loss = sf.reduce_sum(t) + sf.reduce_sum(q) + sf.reduce_max(sf.exp(a))\n"
    )
    assert_valid(model(more))


def test_an_example_is_valid_in_time(example: str) -> None:
    started = time.process_time()
    result = command("check", ROOT / "examples" / f"{example}.py")
    assert result.exit_code == 0, result.output
    assert result.output.splitlines()[-1].startswith("ok: ")
    large = example in ("digits", "digits_cnn", "lstm")
    assert ("left out: " in result.output) == large
    assert time.process_time() - started < (20.0 if large else 6.0)  # twice as long as it takes


# --- what is wrong -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", CASES)
def test_a_planted_rule_is_caught_and_blamed(
    name: str, run: Callable[[str], Compilation], monkeypatch: pytest.MonkeyPatch
) -> None:
    text = HEAD + CASES[name].model + "\n"
    assert validate_compiled(run(text), ("plain",)).ok
    plant(CASES[name], monkeypatch)
    report = validate_compiled(run(text), ("plain",))
    assert not report.ok
    for one in report.errors:
        assert re.match(rf"the rule {PLANTED}: model\.py:\d+: ", one.blame), one


def test_an_edited_module_is_no_fault_of_the_compiler(
    model: Callable[[str], Path], tmp_path: Path
) -> None:
    path = model(LINE + "w = sf.Variable(2.0)\nloss = sf.reduce_sum(sf.square(w * x))\n")
    write(compile_files(path, tmp_path / "out", {}, None, style="plain"))
    made = tmp_path / "out" / "model.py"
    assert command("check", path, made).exit_code == 0
    source = made.read_text()
    assert "d_w = 2.0 * " in source
    made.write_text(source.replace("d_w = 2.0 * ", "d_w = 2.000000001 * "))
    result = command("check", path, made)
    assert result.exit_code == 1
    assert "wrong: gradients: the derivative by w is " in result.output
    assert "the compiler: the module is not what the compiler makes" in result.output
    with pytest.raises(AssertionError, match="the module is wrong"):
        assert_valid(path, made)


def _by_squares(program: Program) -> Program:
    """t - t0 as ((t + 1)² - t² - (t0 + 1)² + t0²) / 2."""
    first, second = slot(0), slot(1)
    twice = (first + 1) ** 2 - first**2 - (second + 1) ** 2 + second**2
    ways = {first - second: twice / 2, second - first: -twice / 2}
    definitions = []
    for one in program.definitions:
        if isinstance(one.value, Kernel):
            value = one.value
            body = value.body.xreplace(ways)
            value = kernel(value.output, value.sizes, body, value.accesses, value.reduction)
            one = type(one)(one.type, value, one.label, one.origin)
        definitions.append(one)
    return Program(tuple(definitions), program.outputs)


def test_a_stage_that_loses_digits_is_named(
    run: Callable[[str], Compilation], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Phases of Julian dates."""
    text = HEAD + (
        't = sf.placeholder(shape=("n",), name="t")\nt0 = sf.Variable(2460000.5)\n'
        "loss = sf.reduce_sum(sf.sin(6.5 * (t - t0)))\n"
    )
    assert validate_compiled(run(text), ("plain",)).ok
    real = compiler.STAGES["simplify"]
    spread = undistributed(lambda program, rules: _by_squares(real(program, rules)))
    monkeypatch.setitem(compiler.STAGES, "simplify", spread)
    report = validate_compiled(run(text), ("plain",))
    assert {one.function for one in report.errors} >= {"loss", "gradients"}
    assert all("right in many digits, wrong in floats" in one.blame for one in report.errors)
    assert all("the stage simplify: " in one.blame for one in report.errors)


def test_a_stage_with_wrong_algebra_is_named(
    run: Callable[[str], Compilation], monkeypatch: pytest.MonkeyPatch
) -> None:
    real = simplification.sum_of_products

    def doubled(program: Any, value: Kernel, *rest: Any) -> Any:
        body = 2 * value.body
        return real(program, kernel(value.output, value.sizes, body, value.accesses), *rest)

    monkeypatch.setattr(simplification, "sum_of_products", doubled)
    text = LINE + "w = sf.Variable(2.0)\nloss = sf.reduce_sum(sf.sin(w) * x)\n"
    report = validate_compiled(run(text), ("plain",))
    assert report.errors
    assert all("the stage simplify: wrong in many digits" in one.blame for one in report.errors)


def test_wrong_printing_is_told_from_wrong_algebra(
    run: Callable[[str], Compilation], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bodies, "literal", lambda value: f"{value:.7g}")
    report = validate_compiled(
        run(LINE + "w = sf.Variable(2.0)\nloss = sf.reduce_sum(0.123456789123 * sf.sin(w * x))\n")
    )
    assert report.errors
    assert all(one.blame.startswith("printing or layout: ") for one in report.errors)


def test_a_wrong_rule_of_differentiation_is_caught(
    run: Callable[[str], Compilation], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is part of the reference too; only difference quotients of the loss show it."""
    real = elementwise.differentiated

    def wrong(body: sp.Expr, number: int) -> sp.Expr:
        found = real(body, number)
        return 2 * found if body.has(sp.tanh) else found

    monkeypatch.setattr("symflow.differentiation.differentiated", wrong)
    text = (
        LINE + "w = sf.Variable(0.5)\nb = sf.Variable(0.1)\nloss = sf.reduce_sum(sf.tanh(w*x)*b)\n"
    )
    report = validate_compiled(run(text))
    (found,) = report.errors
    assert "the derivative by w along a random direction is " in found.told
    assert "a rule of differentiation" in found.blame


def test_one_of_two_entry_points(model: Callable[[str], Path]) -> None:
    """`gradients` and `loss_and_gradients` are called both, and functions of tensors."""
    path = model(LINE + "w = sf.Variable(2.0)\nz = w * x\nloss = sf.reduce_sum(sf.square(z))\n")
    module = Generated.compiled(compilation(path, {})).module
    for name in ("loss", "gradients", "loss_and_gradients", "z"):
        real = getattr(module, name)

        def wrong(*given: Any, real: Any = real, **named: Any) -> Any:
            found = real(*given, **named)
            if isinstance(found, tuple) and not hasattr(found, "_fields"):
                return found[0] * 1.000001, found[1]
            if hasattr(found, "_fields"):
                return type(found)(*(1.000001 * one for one in found))
            return 1.000001 * found

        setattr(module, name, wrong)
        report = validate(path, module)
        setattr(module, name, real)
        assert {one.function for one in report.errors} == {name}


# --- traps ---------------------------------------------------------------------------------------


def _truth(*values: Any) -> Any:
    context = mpmath.mp.clone()
    array = np.array([context.mpf(one) for one in values], object)
    return truth(array, array)


def test_nan_never_passes() -> None:
    """Not against an error that is NaN, a naive code that is NaN, or an infinite unit."""
    nan, inf = np.nan, np.inf
    given = np.array([nan, nan, inf, 1.0, nan])
    true = _truth(1.0, 1e308, 2.0, "inf", 1.0)
    runs = np.array([[nan, 1e308, 2.0, 1.0, inf]] * 3)
    assert list(judged(given, true, runs).verdicts) == [
        Verdict.LOST,
        Verdict.LOST,
        Verdict.LOST,
        Verdict.UNKNOWN,
        Verdict.LOST,
    ]
    assert not judged(given, true, runs).has(Verdict.RIGHT)


def test_an_error_is_measured_by_the_largest_entry_and_by_what_naive_code_loses() -> None:
    true = _truth(1.0, 1e-20)
    runs = np.array([[1.0, 1e-20]] * 9)
    off = np.array([1.0 + 5 * 2.0**-52, 1e-20 + 3 * 2.0**-52])
    assert list(judged(off, true, runs).verdicts) == [Verdict.OFF, Verdict.RIGHT]
    runs[3] = [1.0 + 2.0**-52, 1e-20]
    assert list(judged(off, true, runs).verdicts) == [Verdict.RIGHT, Verdict.RIGHT]


LIMITS = {
    "a pole": ("1 / x", 0.0, None),
    "a pole on one side": ("sf.exp(1 / x)", 0.0, None),
    "a logarithm": ("sf.log(x)", 0.0, None),
    "an entropy": ("x * sf.log(x)", 0.0, 0.0),
    "a removable singularity": ("sf.sin(x) / x", 0.0, 1.0),
    "another": ("(sf.exp(x) - 1) / x", 0.0, 1.0),
    "a difference": ("(x ** 2 - 4) / (x - 2)", 2.0, 4.0),
    "a sign": ("x / sf.sqrt(x ** 2)", 0.0, None),
}


@pytest.mark.parametrize("case", LIMITS.values(), ids=LIMITS.keys())
def test_limits(case: tuple[str, float, float | None], run: Callable[[str], Compilation]) -> None:
    formula, at, expected = case
    program = as_written(run(HEAD + f"x = sf.Variable(1.0)\nloss = {formula}\n"))
    found = float(Limits(program, {"x": np.array(at)}).limit("loss"))
    assert np.isnan(found) if expected is None else found == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(
    ("formula", "expected"),
    [
        ("sf.sqrt(sf.maximum(0.0, x))", 0.0),
        ("sf.sqrt(sf.relu(x)) + 3 * x", 3.0),
        ("sf.acos(sf.clip_by_value(x, -1.0, 1.0)) * x", np.pi),
    ],
)
def test_flat_branches_have_a_derivative(
    formula: str, expected: float, run: Callable[[str], Compilation]
) -> None:
    """Moving the input does not leave a flat branch, where a derivative may be 0·∞ near by, too."""
    program = as_written(run(HEAD + f"x = sf.Variable(1.0)\nloss = {formula}\n"))
    limits = Limits(program, {"x": np.array(-1.5)})
    assert limits.slope("loss", "x", ()) == pytest.approx(expected, rel=1e-12)


def test_what_saturates_is_asked_again_in_many_digits(run: Callable[[str], Compilation]) -> None:
    """1 + erf(-28) is 0 in 65 digits, rounded down or up."""
    program = as_written(run(HEAD + "x = sf.Variable(-40.0)\nloss = sf.log(sf.ndtr(x))\n"))
    point = {"x": np.array(-40.0)}
    few, many = truths(program, point, 65)["loss"], truths(program, point, 1100)["loss"]
    assert not few.finite.all() or few.low[0] != few.high[0]
    with mpmath.workdps(50):
        expected = mpmath.log(mpmath.erfc(40 / mpmath.sqrt(2)) / 2)
    assert float(many.nearest) == pytest.approx(float(expected), rel=1e-15)
    report = validate_compiled(
        run(LINE + "w = sf.Variable(0.1)\nloss = sf.reduce_sum(-sf.log(sf.ndtr(x+w)))")
    )
    assert report.ok, report


def test_towers_of_exponentials_end(model: Callable[[str], Path]) -> None:
    started = time.process_time()
    validate(
        model(LINE + "w = sf.Variable(0.1)\nloss = sf.reduce_sum(sf.exp(sf.exp(sf.exp(w * x))))")
    )
    validate(
        model(
            LINE + "w = sf.Variable(0.1)\nloss = sf.reduce_sum(sf.cosh(sf.exp(w * x)) ** sf.exp(w))"
        )
    )
    assert time.process_time() - started < 20.0


def test_singular_matrices_may_be_refused(model: Callable[[str], Path]) -> None:
    text = (
        HEAD
        + 'b = sf.placeholder(shape=(2,), name="b")\na = sf.Variable([[1.0, 2.0], [3.0, 4.0]])\n'
    )
    assert_valid(model(text + "loss = sf.reduce_sum(sf.matrix_solve(a, sf.expand_dims(b, 1)))\n"))
    assert_valid(model(text + "loss = sf.reduce_sum(sf.cholesky(a @ sf.transpose(a)) @ b)\n"))


def test_sums_may_be_added_in_any_order(model: Callable[[str], Path]) -> None:
    x = np.random.default_rng(0).uniform(0.5, 1.0, 20_000)
    path = model(LINE + "w = sf.Variable(1.0)\nloss = sf.reduce_sum(w * x)\n")
    assert_valid(path, at={"x": x, "w": 1.0})


def test_a_model_in_single_precision_is_validated(model: Callable[[str], Path]) -> None:
    path = model(
        HEAD
        + 'x = sf.placeholder(sf.float32, ("n", 3), name="x")\n'
        + "w = sf.Variable(sf.glorot_uniform((3, 2)))\n"
        + "loss = sf.reduce_mean(sf.square(sf.tanh(x @ w)))\n"
    )
    assert_valid(path)


def test_naive_code_is_moved_where_it_rounds(run: Callable[[str], Compilation]) -> None:
    """One run of naive code is often exact; what only moves numbers, or chooses, stays as it is."""
    text = (
        LINE
        + "w = sf.Variable(1.0)\na = w * x\nc = sf.maximum(x, w)\nloss = sf.reduce_sum(a - c)\n"
    )
    program = as_written(run(text))
    moved = [False] + 8 * [True]
    inputs = {"x": np.tile(np.array([1.0, 2.0, 4.0]), (9, 1)), "w": np.full(9, 1.0)}
    found = Floats(moved, np.random.default_rng(0)).outputs(program, inputs)
    assert np.array_equal(found["c"], np.tile([1.0, 2.0, 4.0], (9, 1)))
    assert np.array_equal(found["a"][0], [1.0, 2.0, 4.0])
    assert len(np.unique(found["a"][1:, 1])) == 2
    assert np.max(np.abs(found["a"] / [1.0, 2.0, 4.0] - 1.0)) <= 2.0**-52


# --- points --------------------------------------------------------------------------------------


def _points(run: Compilation, **at: Any) -> dict[str, Any]:
    return {one.name: one.inputs for one in expectation(run, at or None).points}


def test_the_points_of_a_model(run: Callable[[str], Compilation]) -> None:
    text = LINE + 'y = sf.placeholder(shape=("n",), name="y")\nw = sf.Variable(2.5)\n'
    found = _points(run(text + "loss = sf.reduce_sum(sf.relu(w * x - y))\n"))
    assert found["the initial values, random data"]["w"] == 2.5
    assert np.all(found["0 everywhere"]["x"] == 0.0)
    assert np.all(found["x = -1e6"]["x"] == -1e6)
    assert np.array_equal(found["x = y"]["x"], found["x = y"]["y"])
    assert np.all(np.abs(found["1e6 and a little everywhere"]["y"] - 1e6) < 10.0)
    gaps = (
        found["x = 0 at every second entry"]["x"] if "x = 0 at every second entry" in found else 0
    )
    assert np.any(gaps == 0.0)
    (border,) = [inputs for name, inputs in found.items() if name.startswith("the border of loss")]
    assert np.any(border["w"] * border["x"] - border["y"] == 0.0)


BORDERS = {
    "a comparison": "sf.where(w * x > 1.0, x, w)",
    "a maximum": "sf.maximum(sf.exp(w * x), 2.0)",
    "an absolute value": "sf.abs(w - 3 * x)",
    "a clip": "sf.clip_by_value(x * w, -0.25, 0.25)",
    "a relu": "sf.relu(x - w)",
}


@pytest.mark.parametrize("formula", BORDERS.values(), ids=BORDERS.keys())
def test_points_on_the_border_of_conditions(
    formula: str, run: Callable[[str], Compilation]
) -> None:
    made = run(LINE + f"w = sf.Variable(0.5)\nloss = sf.reduce_sum({formula})\n")
    borders = [name for name in _points(made) if name.startswith("the border of ")]
    assert borders
    assert all("model.py:" in name for name in borders)
    assert validate_compiled(made).ok


def test_a_point_of_ones_own_comes_first(
    model: Callable[[str], Path], run: Callable[[str], Compilation], tmp_path: Path
) -> None:
    text = LINE + "w = sf.Variable(0.5)\nloss = sf.reduce_sum(sf.sin(w * x))\n"
    given = {"x": np.arange(7.0), "w": 3.0}
    first = expectation(run(text), given).points[0]
    assert (first.name, first.own) == ("the point given", True)
    assert np.array_equal(first.inputs["x"], given["x"])
    np.savez(tmp_path / "point.npz", **given)
    assert command("check", model(text), "--at", tmp_path / "point.npz").exit_code == 0
    with pytest.raises(SymflowError, match=r"w: expected a scalar|w: expected \(\), got \(3,\)"):
        validate(model(text), at={"w": np.ones(3)})
    with pytest.raises(SymflowError, match="has no 'u'; a point has values of: "):
        validate(model(text), at={"u": 1.0})


def test_where_the_model_itself_is_not_finite(model: Callable[[str], Path]) -> None:
    result = command("check", model(HEAD + "w = sf.Variable(-5.0)\nloss = sf.log(w)\n"))
    assert result.exit_code == 0
    assert "note: the loss that is written is not finite: undefined: loss is nan at model.py:3" in (
        result.output
    )


# --- the command, and tests of one's own ---------------------------------------------------------


def test_a_module_that_is_wrong_is_not_written(
    model: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = CASES["expm1 by hand"]
    path, out = model(HEAD + case.model), tmp_path / "out"
    assert command("compile", path, "-o", out, "--validate").exit_code == 0
    before = (out / "model.py").read_bytes()
    plant(case, monkeypatch)
    path.write_text(path.read_text() + "\nother = loss * 2\n")
    result = command("compile", path, "-o", out, "--validate")
    assert result.exit_code == 1
    assert "the rule planted: model.py:4: " in result.output
    assert "the module is not what is written in the model; nothing is written" in result.output
    assert (out / "model.py").read_bytes() == before
    assert command("compile", path, "-o", out).exit_code == 0
    assert (out / "model.py").read_bytes() != before


def test_options_of_modules_and_of_models(model: Callable[[str], Path], tmp_path: Path) -> None:
    path = model(LINE + "w = sf.Variable(0.5)\nloss = sf.reduce_sum(sf.sin(w * x))\n")
    write(compile_files(path, tmp_path / "out", {}, None))
    made = tmp_path / "out" / "model.py"
    assert command("check", path, "--tolerance", 0.1).exit_code == 2
    assert command("check", made, "--every-point").exit_code == 2
    assert command("check", made, made).exit_code == 2
    with pytest.raises(SymflowError, match="a generated module without its model"):
        validate(made)


def test_models_without_a_loss_and_graphs(model: Callable[[str], Path]) -> None:
    report = validate(model(LINE + "z = sf.exp(x) * 2\n"))
    assert report.ok
    assert [one.function for one in report.rows] == ["z"]
    x = sf.placeholder(shape=("n", 2), name="x")
    w = sf.Variable([0.5, -0.5], name="w")
    loss = sf.reduce_sum(sf.square(sf.tanh(x @ w)))
    assert_valid(loss, at={"x": np.ones((2, 2)), "w": np.zeros(2)})


def test_the_report_of_a_person(model: Callable[[str], Path]) -> None:
    result = command("check", model(LINE + "w = sf.Variable(0.5)\nloss = sf.reduce_sum(w * x)\n"))
    head, *rows, last = result.output.splitlines()
    assert re.split(r"\s{2,}", head.strip()) == ["shape", "error", "× naive", "entry", "point"]
    assert [row.split("  ")[0] for row in rows] == ["loss", "gradients: w"]
    assert all(row.endswith("ok") for row in rows)
    assert re.fullmatch(r"ok: \d+ points", last)


def test_large_models_say_what_was_left_out(model: Callable[[str], Path]) -> None:
    text = HEAD + (
        'x = sf.placeholder(shape=("n", 100), name="x")\nw = sf.Variable(sf.ones((100, 200)))\n'
        "loss = sf.reduce_sum(sf.tanh(x @ w))\n"
    )
    run = compilation(model(text), {})
    report: Report = validate_compiled(run, ("plain",), effort=300_000)
    assert report.ok
    assert re.fullmatch(r"\d+ of \d+ points: the model is large", report.limits[0])
    assert report.points == LEAST


def test_the_same_seed_gives_the_same_numbers(run: Callable[[str], Compilation]) -> None:
    made = run(LINE + "w = sf.Variable(0.5)\nloss = sf.reduce_sum(sf.sin(w * x))\n")
    first, second = (str(validate_compiled(made, seed=3)) for _ in range(2))
    assert first == second
    program = as_written(made)
    points = expectation(made).points[:3]
    one, two = (references(program, points, 5)[1].runs["d_w"] for _ in range(2))
    assert np.array_equal(one, two)
