"""The benchmarks' own machinery, without the libraries they compare, and their models."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks import modules, reference, report, tables, targets
from benchmarks.cold_start import Start, wrong
from benchmarks.compile_time import Compiled, Graph, chains
from benchmarks.limits import Limits, of_json, to_json
from benchmarks.memory import Need
from benchmarks.results import Results, best_peer, fastest
from benchmarks.timing import Comparison, Effort, Mode, Row, compare
from benchmarks.workloads import BY_NAME, WORKLOADS
from symflow.testing import assert_gradients

LIMITS = Limits({16: 4e9, 1024: 2e9}, dgemm=5e10, sgemm=1e11)
MODELS = sorted(modules.MODELS.glob("*.py"), key=lambda path: path.stem)


def made_up() -> Results:
    """A run of W1 and W3 with two libraries, one of them wrong once."""
    w1 = [
        Row("symflow", 2e-6, 1e-6, 3e-6, 1e-16),
        Row("jax", 1e-5, 1e-5, 1e-5, 1e-16),
        Row("jax scan", 1e-6, 1e-6, 1e-6, 1e-16),
        Row("interpreter", 1e-4, 1e-4, 1e-4, 1e-16),
    ]
    w3 = [
        Row("symflow", 8e-3, 8e-3, 8e-3, 1e-16),
        Row("symflow, 2 threads", 4e-3, 4e-3, 5e-3, 1e-16),
        Row("torch", None, error=0.5, problem="wrong"),
        Row("jax", 1e-2, 1e-2, 1e-2, 1e-15),
    ]
    return Results(
        machine=["processor: abacus"],
        missing=["The compiler has no --style."],
        failures={},
        limits={"1c": LIMITS, "2c": LIMITS},
        comparisons=[
            Comparison("W1", "1c", w1, ["symflow", "JAX 1"]),
            Comparison("W3", "2c", w3, ["symflow", "JAX 1", "torch 2"], {"casadi": "no casadi"}),
        ],
        starts=[
            Start("import numpy", 0.1, 25 * 2**20),
            Start("symflow", 0.105, 30 * 2**20),
            Start("torch", None, problem="no torch"),
            Start("jax", 1.0, 200 * 2**20),
        ],
        needs=[
            Need("symflow", 100_000, 4_000_000, 2**20),
            Need("symflow", 10_000_000, 400_000_000, 2**20),
        ],
        chains=[
            Compiled(Graph("1,000", 1_000, ""), 2.0),
            Compiled(Graph("10,000", 10_000, ""), 30.0),
        ],
    )


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(2.5, "2.50 s"), (0.0123, "12.3 ms"), (4.2e-5, "42.0 µs"), (1.5e-7, "150 ns")],
)
def test_durations_have_three_digits(seconds: float, shown: str) -> None:
    assert tables.duration(seconds) == shown


def test_ratios() -> None:
    assert tables.ratio(1.0, 8.0) == "0.125"
    assert tables.ratio(30.0, 2.0) == "15.0"
    assert tables.ratio(1.0, None) == "–"


def test_a_table_as_text_and_as_markdown() -> None:
    table = tables.Table("Times", ("who", "s"), (("a", "1"), ("longer", "10")), "A note.")
    assert table.text() == "Times\n\nwho      s\na        1\nlonger  10\nA note.\n"
    assert table.markdown() == (
        "### Times\n\n| who | s |\n| --- | ---: |\n| a | 1 |\n| longer | 10 |\n\nA note.\n"
    )


def test_an_error_is_relative_to_the_largest_entry() -> None:
    right = {"w": np.array([4.0, 1e-9]), "b": np.array(2.0)}
    assert reference.error({"w": [4.0, 0.4], "b": 2.0}, right) == pytest.approx(0.1)
    assert reference.error({"w": [4.0, np.nan], "b": 2.0}, right) == np.inf
    assert reference.error({"w": [4.0], "b": 2.0}, right) == np.inf
    assert reference.error({"b": 2.0}, right) == np.inf


def test_the_fastest_and_the_best_of_the_others() -> None:
    w1, w3 = (one.rows for one in made_up().comparisons)
    assert fastest(w3, "symflow").label == "symflow, 2 threads"
    assert fastest(w3, "torch") is None
    assert best_peer(w1).label == "jax scan"


def test_verdicts() -> None:
    """A module that hoists nothing counts as not hoisted too; what was not measured says so."""
    found = {one.what: one.word for one in targets.verdicts(made_up())}
    assert found["W1, 1c, hoisted"] == "missed"
    assert found["W1, 1c, not hoisted"] == "missed"
    assert found["W1, 1c, to the interpreter"] == "met"
    assert found["W1, 2c, hoisted"] == "not measured"
    assert found["W3, 2c"] == "met"
    assert found["W9, first gradient to `import numpy`"] == "met"
    assert found["W9, peak memory"] == "met"
    assert found["memory beside the inputs, 1e7 rows less 1e5 rows"] == "met"
    assert found["compile time of 10,000 operations"] == "missed"
    assert found["its time per operation to that of 1,000"] == "missed"


def test_a_variant_that_is_wrong_has_no_ratio() -> None:
    results = made_up()
    rows = results.comparisons[0].rows
    rows.append(Row("symflow, not hoisted", None, error=1.0, problem="wrong"))
    found = {one.what: one.word for one in targets.verdicts(results)}
    assert found["W1, 1c, not hoisted"] == "not measured"


def test_a_graph_that_never_compiles_misses_its_target() -> None:
    results = made_up()
    results.chains[-1] = Compiled(Graph("10,000", 10_000, ""), None, problem="not done in 300 s")
    found = {one.what: (one.found, one.word) for one in targets.verdicts(results)}
    assert found["compile time of 10,000 operations"] == ("not done in 300 s", "missed")
    assert found["its time per operation to that of 1,000"] == ("–", "not measured")


def test_the_report() -> None:
    results = made_up()
    text, page = report.text(results), report.markdown(results)
    assert "not measured" not in text
    assert "not measured" in page
    row = "symflow, 2 threads 4.00 ms 0.400 0.400 0.156 -0 +25 % 1e-16"
    assert row in [" ".join(line.split()) for line in text.splitlines()]
    assert "| torch | wrong |  |  |  |  | 5e-01 |" in page
    assert "No casadi: no casadi." in page
    assert "- processor: abacus" in page
    assert "- libraries: JAX 1, torch 2" in page
    assert "- The compiler has no --style." in page


def test_the_picture(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    from benchmarks import picture

    picture.draw(made_up(), tmp_path / "picture.svg")
    assert "symflow" in (tmp_path / "picture.svg").read_text(encoding="utf-8")


def test_limits() -> None:
    assert LIMITS.reading(8_000_000) == 8_000_000 / 4e9
    assert LIMITS.reading(51_200_000) == 51_200_000 / 2e9
    assert LIMITS.reading(2**40) == 2**40 / 2e9
    assert of_json(to_json(LIMITS)) == LIMITS


def test_a_start_that_finds_another_gradient_is_wrong() -> None:
    assert wrong({"a": (1.0, 2.0), "b": (1.0, 2.1), "c": (1.0, 2.0)}) == ["b"]


def test_variants_that_differ_in_words_alone_are_one() -> None:
    first = '"""Compiled so."""\n\nx = 1  # one\n'
    assert modules.statements(first) == modules.statements('"""Compiled otherwise."""\nx = 1\n')
    assert modules.statements(first) != modules.statements('"""Compiled so."""\nx = 2\n')


def test_every_workload_has_its_model() -> None:
    stems = {path.stem for path in MODELS}
    assert {workload.model for workload in WORKLOADS} | {"logistic_narrow"} == stems
    assert all(one.workload in BY_NAME for one in targets.RATIOS)


def test_a_comparison(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who is right is timed; who is wrong is called wrong; who is not there leaves others alone."""
    none = modules.Features(styles=False, threads=False, hoisting=())
    assert modules.compile_variants(["article"], tmp_path, none) == {}
    effort = Effort(rounds=2, seconds=0.001)
    libraries = ("symflow", "interpreter", "of_nobody")
    found = compare(BY_NAME["W1"], Mode(1), libraries, tmp_path, effort)
    assert sorted(row.label for row in found.rows) == ["interpreter", "symflow"]
    assert all(row.lowest <= row.seconds <= row.highest for row in found.rows)
    assert list(found.absent) == ["of_nobody"]

    right = reference.expected(BY_NAME["W1"], BY_NAME["W1"].data())
    monkeypatch.setattr(reference, "expected", lambda *_: {**right, "b": right["b"] + 1e-9})
    found = compare(BY_NAME["W1"], Mode(1), ("symflow",), tmp_path, effort)
    assert [(row.label, row.seconds, row.problem) for row in found.rows] == [
        ("symflow", None, "wrong")
    ]


@pytest.mark.parametrize("path", MODELS, ids=lambda path: path.stem)
def test_gradients_of_the_models(path: Path) -> None:
    assert_gradients(path, most=2)


def test_gradients_of_a_chain(tmp_path: Path) -> None:
    model = tmp_path / "chain.py"
    model.write_text(chains(100)[-1].text, encoding="utf-8")
    assert_gradients(model, most=1)
