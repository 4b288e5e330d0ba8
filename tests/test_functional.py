"""How the gradient checker reads modules of the fast style, and what it finds in them."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from abstract_models import text
from batch_graphs import batch_model
from conftest import ROOT, imported
from styles import data, with_rows
from test_checking import MLP, run
from test_fast import inputs_of, moved

from symflow.files import compile_files, write
from symflow.functional import functional
from symflow.testing import check_gradients

Compile = Callable[[str], ModuleType]


def rebuilt(made: ModuleType) -> ModuleType:
    """The module without places."""
    source = Path(made.__file__ or "").read_text(encoding="utf-8")
    found, _ = functional(made, ast.parse(source))
    return found


def same(made: ModuleType, p: Any, inputs: dict[str, Any]) -> None:
    found = rebuilt(made)
    order = [inputs[name] for name in getattr(made, "INPUTS", {}) if name in inputs]
    value, gradient = made.loss_and_gradients(p, *order)
    other, slopes = found._loss_and_gradients(p, *order)
    np.testing.assert_allclose(other, value, rtol=1e-13)
    np.testing.assert_allclose(found._loss(p, *order), value, rtol=1e-13)
    for one, two in zip(slopes, gradient, strict=True):
        np.testing.assert_allclose(one, two, rtol=0, atol=1e-12 * np.max(np.abs(two)))


# --- modules as functions ------------------------------------------------------------------------


def test_examples_compute_the_same_without_places(
    example: str, generated: Callable[[str], ModuleType]
) -> None:
    made = generated(example)
    if not hasattr(made, "_evaluate"):
        return
    inputs = {
        name: value.astype(int if name in getattr(made, "INTEGERS", ()) else float)
        for name, value in inputs_of(made, 7).items()
    }
    same(made, moved(made), inputs)


def test_a_block_is_all_rows(generated: Callable[[str], ModuleType]) -> None:
    """Its workspace is for all of them too, however many they are."""
    made = generated("mlp_regression")
    same(made, moved(made), inputs_of(made, made.BLOCK + 5))


@pytest.mark.parametrize("seed", range(700, 715))
def test_random_graphs_compute_the_same_without_places(compiled: Compile, seed: int) -> None:
    model = with_rows(batch_model(seed), 7)
    made = compiled(text(model))
    if hasattr(made, "_evaluate"):
        same(made, made.initial_parameters(), data(model, made))


def test_rows_of_parameters(compiled: Compile) -> None:
    made = compiled(
        "import symflow as sf\na = sf.Variable(sf.random_normal((600, 2), seed=1))\n"
        "b = sf.Variable(sf.random_normal((600, 2), seed=2))\n"
        "loss = sf.reduce_sum(sf.square(a * b - 1.5)) + sf.l2_loss(a)\n"
    )
    assert all(one.ok for one in check_gradients(Path(made.__file__ or "")))


# --- wrong modules -------------------------------------------------------------------------------


@pytest.fixture
def broken(tmp_path: Path) -> Callable[..., Path]:
    """The fast module of a model, with a piece of its source replaced."""

    def edit(text: str, old: str, new: str) -> Path:
        (tmp_path / "model.py").write_text(text, encoding="utf-8")
        path = tmp_path / "out" / "model.py"
        write(compile_files(tmp_path / "model.py", path.parent, {}, None))
        source = path.read_text(encoding="utf-8")
        assert source.count(old) == 1, source
        path.write_text(source.replace(old, new), encoding="utf-8")
        return path

    return edit


# What is replaced in the module of MLP, the parameters then wrong, and where the reason points.
EDITS = {
    "wrong factor": (
        "d_prediction = np.multiply(2.0 / total_n,",
        "d_prediction = np.multiply(4.0 / total_n,",
        ["w1", "b1", "w2"],
        8,
    ),
    "wrong sign": ("np.subtract(1.0, d_hidden_sum_part", "np.add(1.0, d_hidden_sum_part", None, 7),
    "no statement": ("    np.subtract(1.0, d_hidden_sum_part, d_hidden_sum_part)\n", "", None, 7),
    "no last statement": ("    np.add(d_w1, d_w1_part, d_w1)\n", "", ["w1"], 4),
    "wrong operand": ("x.T.dot(d_hidden_sum,", "(x + 1.0).T.dot(d_hidden_sum,", ["w1"], 7),
    "wrong product": (
        "hidden.T.dot(d_prediction,",
        "np.square(hidden).T.dot(d_prediction,",
        ["w2"],
        6,
    ),
    "wrong sum": ("d_b1 = work.ones_n.dot(", "d_b1 = -work.ones_n.dot(", ["b1"], 5),
}


@pytest.mark.parametrize("edit", EDITS.values(), ids=EDITS)
def test_a_wrong_derivative_is_traced_to_its_line(
    broken: Callable[..., Path], edit: tuple[str, str, list[str] | None, int]
) -> None:
    old, new, wrong, line = edit
    path = broken(MLP, old, new)
    results = check_gradients(path)
    assert [one.name for one in results if not one.ok] == (wrong or ["w1", "b1"])
    for one in results:
        if not one.ok:
            assert f"model.py:{line}" in str(one.reason), one.reason
    result = run("check", path)
    assert result.exit_code == 1
    assert "WRONG" in result.stdout
    assert f"model.py:{line}" in result.stdout + result.stderr


# Two results in one buffer: of the first something is needed after the second is written.
LIVENESS = {
    "the product over the layer": (
        "d_hidden_sum = np.multiply(p.w2[:, 0], d_prediction, work.d_hidden_sum)",
        "d_hidden_sum = np.multiply(p.w2[:, 0], d_prediction, hidden)",
    ),
    "the layer over itself": (
        "d_hidden_sum = np.multiply(p.w2[:, 0], d_prediction, work.d_hidden_sum)",
        "d_hidden_sum = np.multiply(p.w2[:, 0], d_prediction, work.hidden)",
    ),
    "a sum over the workspace's ones": (
        "d_w2 = hidden.T.dot(d_prediction, work.d_w2)",
        "d_w2 = hidden.T.dot(d_prediction, work.d_w2)\n    work.ones_n.fill(2.0)",
    ),
    "the end over a sum": (
        "d_w1 = np.multiply(0.1, p.w1, work.d_w1)",
        "d_w1 = np.multiply(0.1, p.w1, d_w1_part)",
    ),
}


@pytest.mark.parametrize("edit", LIVENESS.values(), ids=LIVENESS)
def test_two_results_in_one_place_are_noticed(
    broken: Callable[..., Path], edit: tuple[str, str]
) -> None:
    path = broken(MLP, *edit)
    assert not all(one.ok for one in check_gradients(path))
    result = run("check", path)
    assert result.exit_code == 1
    assert "WRONG" in result.stdout


OTHERS = {
    "np.add": "np.subtract",
    "np.subtract": "np.add",
    "np.multiply": "np.add",
    "np.divide": "np.multiply",
    "np.greater": "np.less",
    "np.maximum": "np.minimum",
}


@pytest.mark.parametrize("name", ["digits", "logistic_regression", "mlp_regression"])
def test_every_operation_of_a_gradient_matters(name: str, tmp_path: Path) -> None:
    """Each is replaced by another, one after the other."""
    source = (ROOT / "generated" / f"{name}.py").read_text(encoding="utf-8")
    stop = re.search(r"if (not gradients|rate is None):", source)
    assert stop is not None
    begin = stop.start()
    end = source.index("# --- training")
    found = [
        one
        for one in re.finditer(r"(np\.\w+)\(", source[begin:end])
        if one[1] in OTHERS and not source[begin:end][: one.start()].endswith("float(")
    ]
    assert len(found) >= 3
    path = tmp_path / f"{name}.py"
    for one in found:
        start, stop = begin + one.start(1), begin + one.end(1)
        path.write_text(source[:start] + OTHERS[one[1]] + source[stop:], encoding="utf-8")
        line = source[:start].count("\n") + 1
        made = imported(path)
        p = moved(made)
        wrong = [one for one in check_gradients(path, at=p._asdict()) if not one.ok]
        assert wrong, f"line {line}: {source.splitlines()[line - 1]}"
