"""`symflow check` of a module with its model: as what its head says that it is."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from fault_models import model_file
from planted_faults import FAULTS

from symflow.arithmetic import undistributed
from symflow.cli import main
from symflow.compilation import Compilation, Style
from symflow.errors import SymflowError
from symflow.files import compilation
from symflow.heads import Head, generated_head, head_of
from symflow.invocation import Invocation, invocation
from symflow.modules import Generated
from symflow.shapes import Shape
from symflow.shipping import Shipping, Values
from symflow.subject import compiled_as
from symflow.testing import assert_gradients, assert_valid
from symflow.validation import validating
from symflow.validation.findings import Report
from symflow.validation.validating import CHECKS, Validation, validate

MODEL = '''\
"""A model with a name that looks so: symflow compile other.py."""
import symflow as sf

x = sf.placeholder(shape=("n", 2))
y = sf.placeholder(shape=("n",))
w = sf.Variable([0.5, -0.25])
b = sf.Variable(sf.random_normal((), stddev=0.5))
hidden = x @ w
prediction = sf.sigmoid(hidden) + b
loss = sf.reduce_mean(sf.square(prediction - y))
sf.train.MomentumOptimizer(0.02, 0.9).minimize(loss)
'''

CHOICES: tuple[tuple[str, ...], ...] = (
    ("", "--dtype float32"),
    ("", "--parameters held.npz", "--parameters single.npz"),
    ("", "--only prediction", "--only prediction --only hidden"),
    ("", "--style plain"),
    ("", "--without softplus"),
    ("", "--with-selftest"),
    ("", "--trace-nan"),
    ("", "--shape x=n,2"),
)
"""Options of `symflow compile`: of each line one."""


def _combined(seed: int, count: int) -> list[str]:
    """Each choice alone, and some at random together."""
    random = np.random.default_rng(seed)
    alone = [one for choice in CHOICES for one in choice if one]
    drawn = [" ".join(str(random.choice(one)) for one in CHOICES) for _ in range(count)]
    return [*dict.fromkeys(" ".join(one.split()) for one in (*alone, *drawn))]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("model.py").write_text(MODEL)
    np.savez("held.npz", w=np.array([1.5, 2.5]), b=np.array(3.0))
    np.savez("single.npz", w=np.array([0.1, 0.7], np.float32), b=np.array(0.3, np.float32))
    return tmp_path


def run(*arguments: Any) -> Result:
    return CliRunner().invoke(main, [str(one) for one in arguments], prog_name="symflow")


def compiled(options: str) -> Path:
    result = run("compile", "model.py", *options.split())
    assert result.exit_code == 0, result.output
    return Path("generated/model.py")


@undistributed
def checked(module: Path | Generated) -> Report:
    """A module against the model beside it, at few points; nobody is blamed."""
    path = Path("generated/model.py")
    found = module if isinstance(module, Generated) else Generated.read(module)
    as_said = compiled_as(Path("model.py"), path)
    assert as_said is not None
    return validate(as_said, found.module, effort=1)


# --- the command ---------------------------------------------------------------------------------


def test_every_command_is_read_as_it_is_written() -> None:
    for chosen in itertools.product(*CHOICES):
        command = " ".join(["symflow compile model.py", *(one for one in chosen if one)])
        read = invocation(command)
        assert sorted(str(read).split()) == sorted(command.split())
        assert invocation(str(read)) == read


@pytest.mark.parametrize(
    "name", ["it's.npz", "two words.npz", "-p.npz", "a;b.npz", 'q".npz', "é.npz"]
)
def test_names_of_files_are_quoted(name: str, here: Path) -> None:
    said = Invocation("model.py", parameters=name)
    assert invocation(str(said)) == said
    os.replace("held.npz", name)
    result = run("compile", "model.py", f"--parameters={name}")
    assert result.exit_code == 0, result.output
    found = compiled_as(Path("model.py"), Path("generated/model.py"))
    assert found is not None
    assert found.initial["b"] == 3.0


def test_shapes_of_the_command_are_those_of_the_run(here: Path) -> None:
    found = compiled_as(Path("model.py"), compiled("--shape x=rows,2 --shape y=rows"))
    assert found is not None
    shape: Shape = found.invocation.shapes["x"]
    assert list(map(str, shape)) == ["rows", "2"]


@pytest.mark.parametrize("options", _combined(0, 4))
def test_a_module_is_checked_as_what_it_is(options: str, here: Path) -> None:
    report = checked(compiled(options))
    assert report.ok, str(report)
    assert ("--only" in options) == ("loss" not in {one.function for one in report.rows})


def test_all_combinations_are_compiled_again_to_the_same_module(here: Path, long: bool) -> None:
    for options in _combined(1, 400 if long else 12):
        path = compiled(options)
        found = compiled_as(Path("model.py"), path)
        assert found is not None
        assert Generated.compiled(found).text == path.read_text()


def test_the_command_line(here: Path) -> None:
    path = compiled("--dtype float32 --only prediction --style plain")
    result = run("check", "model.py", path)
    assert result.exit_code == 0, result.output
    assert result.output.splitlines()[-1].startswith("ok: ")
    assert "hidden" not in result.output
    assert_valid("model.py", path)


def test_a_module_of_a_function_that_is_missing(here: Path) -> None:
    path = compiled("--only prediction")
    path.write_text(path.read_text().replace(" --only prediction", ""))
    result = run("check", "model.py", path)
    assert result.exit_code == 1
    assert "wrong: hidden: is missing at: its module\n" in result.output
    assert "wrong: loss: is missing at: its module\n" in result.output


# --- parameters ----------------------------------------------------------------------------------


def test_parameters_beside_the_module_and_elsewhere(here: Path) -> None:
    path = compiled("--parameters held.npz")
    (here / "elsewhere").mkdir()
    os.replace("held.npz", "elsewhere/kept.npz")
    result = run("check", "model.py", path)
    assert result.exit_code == 1
    assert result.output == (
        "symflow: generated/model.py: was compiled with --parameters held.npz, which is neither"
        " beside it nor beside the model\n    hint: --parameters FILE says where it is\n"
    )
    assert run("check", "model.py", path, "--parameters", "elsewhere/kept.npz").exit_code == 0
    os.replace("elsewhere/kept.npz", "generated/held.npz")
    assert run("check", "model.py", path).exit_code == 0


@pytest.mark.parametrize(
    "options", ["--parameters held.npz", "--parameters held.npz --only hidden"]
)
def test_of_two_files_of_a_name_the_right_one_is_taken(options: str, here: Path) -> None:
    path = compiled(options)
    np.savez("generated/held.npz", w=np.zeros(2), b=np.array(0.0))
    assert checked(path).ok
    os.remove("held.npz")
    report = checked(path)
    assert not report.ok
    assert "was compiled from another graph: " in str(report)


def test_parameters_for_a_module_without(here: Path) -> None:
    path = compiled("")
    result = run("check", "model.py", path, "--parameters", "held.npz")
    assert "generated/model.py: was compiled without --parameters\n" in result.output
    result = run("check", "model.py", "--parameters", "held.npz")
    assert result.exit_code == 2
    assert "--parameters is for modules that are compared with their model" in result.output


# --- arguments of functions ----------------------------------------------------------------------


@pytest.mark.parametrize("seed", [-1, -(2**70), 0.5, "1", None, True])
@pytest.mark.parametrize("function", [assert_valid, assert_gradients])
def test_seeds_that_are_none(function: Any, seed: Any, here: Path) -> None:
    with pytest.raises(SymflowError, match=r"^seed: expected a whole number from 0, got "):
        function("model.py", seed=seed)


# --- heads ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("Generated by symflow", "Made by somebody", "its head, as symflow writes it, is missing"),
        ('"""', "#", "SyntaxError"),
        ("    symflow compile", "symflow compile", "there is no one line `symflow compile ...`"),
        ("    symflow compile model.py\n", "", "there is no one line `symflow compile ...`"),
        ("compile model.py\n", "compile model.py --fast\n", "unrecognized arguments: --fast"),
        ("compile model.py\n", "compile model.py --dtype float16\n", "invalid choice: 'float16'"),
        ("compile model.py\n", "compile model.py --only\n", "--only: expected one argument"),
        ("compile model.py\n", "compile model.py --shape x\n", "'x' is not NAME=SIZE"),
        ("compile model.py\n", "compile --style plain\n", "required: model"),
        ("compile model.py\n", "compile 'model.py\n", "No closing quotation"),
        (
            "compile model.py\n",
            "compile model.py\n    symflow compile other.py\n",
            "there is no one line `symflow compile ...`",
        ),
    ],
)
def test_a_damaged_head_is_told(old: str, new: str, told: str, here: Path) -> None:
    path = compiled("")
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    result = run("check", "model.py", path)
    assert result.exit_code == 1
    assert result.output.startswith("symflow: generated/model.py:")
    assert told in result.output
    assert "bug" not in result.output


def test_a_module_without_a_head(here: Path) -> None:
    path = compiled("")
    text = path.read_text()
    path.write_text(text[text.index('"""\n\n') + 3 :])
    for check in (lambda: run("check", "model.py", path),):
        assert "its head, as symflow writes it, is missing\n    hint: " in check().output
    with pytest.raises(SymflowError, match=r"is missing"):
        assert_valid("model.py", path)


def test_an_unknown_rule_of_another_version(here: Path) -> None:
    path = compiled("")
    path.write_text(path.read_text().replace("model.py\n\n", "model.py --without a-rule\n\n", 1))
    result = run("check", "model.py", path)
    assert "there is no rule 'a-rule'" in result.output


def test_the_head_of_another_graph_is_told_where_something_is_wrong(here: Path) -> None:
    path = compiled("")
    Path("model.py").write_text(MODEL.replace("sf.square(", "2.0 * sf.square("))
    report = checked(path)
    assert not report.ok
    assert "note: the module was compiled from another graph: " in str(report)
    Path("model.py").write_text(MODEL.replace('"""A model', '"""Another model'))
    assert checked(path).ok


def test_heads() -> None:
    text = (
        "A.\n\nGenerated by symflow 0.1.0 from a.py, graph 00ff.\nC:\n\n    symflow compile a.py\n"
    )
    assert head_of(text) == Head("a.py", "00ff", "symflow compile a.py")
    assert head_of("A.") is None
    assert head_of(None) is None
    assert generated_head(f'"""{text}"""\n') == head_of(text)
    assert generated_head(f'"""{text}"""\nimport symflow as sf\n') is None
    assert generated_head(f'"""{text}"""\nimport (') is None


# --- faults --------------------------------------------------------------------------------------

GROUPS: dict[tuple[str, Style], tuple[str, ...]] = {
    ("adam", "fast"): ("float32", "parameters", "float32 parameters", "trace"),
    ("momentum", "plain"): ("float32", "parameters", "float32 parameters", "trace"),
    ("squares", "fast"): ("float32", "parameters"),
    ("guarded", "plain"): ("float32", "parameters"),
    ("tables", "fast"): ("float32", "parameters", "only score looked doubled"),
    ("mlp_regression", "fast"): ("only prediction", "only prediction float32 parameters"),
}
"""Of these models are the faults that are planted, and how their modules are compiled."""

PART = 16
"""One fault in so many is planted by default."""


def _values(run: Compilation, options: str) -> Values | None:
    """Parameters that were found by training, so to say."""
    if "parameters" not in options:
        return None
    random = np.random.default_rng(3)
    shapes = {run.name(node): node.initial_value.shape for node in run.trainable}
    kind = np.float32 if "float32" in options else np.float64
    return Values("f.npz", {k: random.normal(size=one).astype(kind) for k, one in shapes.items()})


def _as(model: Path, style: Style, options: str) -> Compilation:
    only = tuple(
        one for one in options.split() if one in ("prediction", "score", "looked", "doubled")
    )
    ships = Shipping(only, _values(compilation(model, {}), options), trace_nan="trace" in options)
    return compilation(model, {}, "float32" if "float32" in options else None, (), style, ships)


@pytest.mark.parametrize(
    ("model", "style", "options"),
    [(*group, options) for group, many in GROUPS.items() for options in many],
)
@undistributed
def test_planted_faults_are_found_in_modules_of_every_kind(
    model: str,
    style: Style,
    options: str,
    tmp_path: Path,
    long: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Those of the table whose place is there in such a module, too."""
    monkeypatch.setattr(validating, "blamed", lambda *_: "")
    found_in = _as(model_file(model, tmp_path), style, options)
    generated = Generated.compiled(found_in)
    expected = validating.expectation(found_in)
    faults = [one for one in FAULTS if (one.model, one.style) == (model, style)]
    planted = []
    for fault in faults:
        with contextlib.suppress(LookupError):
            planted.append((fault, fault.planted(generated.text)))
    assert len(planted) >= 4
    missed = []
    for fault, text in planted if long else planted[len(options) % PART :: PART] or planted[:1]:
        module = dataclasses.replace(generated, text=text).module
        validation = Validation(found_in, module, expected)
        findings = (one for check in reversed(CHECKS) for one in check(validation) if not one.note)
        found = next(map(str, findings), None)
        if bool(found) == bool(fault.survives):
            missed.append(f"{fault}: {found}")
    assert not missed
