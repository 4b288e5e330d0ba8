"""The fast style: what the plain style computes, block by block, by threads, in a workspace."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from batch_graphs import batch_model, trainable
from conftest import EVERY_HELPER, EXAMPLES, ROOT
from random_graphs import random_model
from styles import (
    ROWS,
    Styles,
    data,
    difference,
    evaluated,
    is_rounding,
    module,
    of_graph,
    styles,
    trained,
    with_rows,
)

GRAPHS, CHUNK = 500, 25
WITHOUT = ("loop-invariant", "quadratic-loss")
HEAD = "import symflow as sf\n"
DESCENT = "sf.train.GradientDescentOptimizer(0.1).minimize(loss)\n"

Make = Callable[[str], Styles]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """Both styles of a model's text, with blocks of four rows."""

    def compile_text(text: str) -> Styles:
        path = tmp_path / "model.py"
        path.write_text(HEAD + text + DESCENT, encoding="utf-8")
        return styles(path)

    return compile_text


_KNOWN: dict[str, Styles] = {}


def of_example(name: str) -> Styles:
    if name not in _KNOWN:
        _KNOWN[name] = styles(ROOT / "examples" / f"{name}.py")
    return _KNOWN[name]


def inputs_of(made: ModuleType, n: int, seed: int = 0) -> dict[str, Any]:
    """Random inputs with n rows; all whole numbers are digits."""
    rng = np.random.default_rng(seed)
    found: dict[str, Any] = {}
    for name, shape in getattr(made, "INPUTS", {}).items():
        sizes = [{"n": n, "t": 3}.get(one, one) for one in shape]
        whole = name in getattr(made, "INTEGERS", ())
        found[name] = rng.integers(0, 4, sizes) if whole else rng.normal(size=sizes)
    return found


def moved(made: ModuleType, dtype: Any = np.float64, seed: int = 0) -> Any:
    """The initial parameters, not quite: many are 0."""
    rng = np.random.default_rng(seed)
    initial = made.initial_parameters(dtype=dtype)
    return made.Parameters(
        *(np.asarray(one + 0.1 * rng.normal(size=one.shape), dtype) for one in initial)
    )


def ways(both: Styles) -> list[dict[str, int]]:
    return [{"threads": 1}, {"threads": 3}] if both.has_blocks else [{}]


# --- the same numbers ----------------------------------------------------------------------------


def disagreement(seed: int, folder: Path, without: tuple[str, ...] = ()) -> str | None:
    """What the two styles of a random graph do not agree on; three of five have a batch."""
    model = batch_model(seed) if seed % 5 < 3 else random_model(seed)
    if not trainable(model):
        model = batch_model(seed)
    both = of_graph(model, folder, without)
    for n in ROWS if model.symbolic else (None,):
        given = with_rows(model, n)
        inputs = data(given, both.plain)
        p = both.plain.initial_parameters()
        wanted = evaluated(both.plain, p, inputs)
        way = trained(both.plain, p, inputs, steps=3)
        for how in ways(both):
            found = evaluated(both.fast, p, inputs, **how)
            problem = difference(found, wanted)
            if problem is not None and not is_rounding(given, both.plain, found, wanted):
                return f"graph {seed}, n = {n}, {how}: {problem}"
            other = trained(both.fast, p, inputs, steps=3, **how)
            if isinstance(way, str) or isinstance(other, str):
                if way != other:
                    return f"graph {seed}, n = {n}, {how}: training: {other}, not {way}"
            elif problem is None and (problem := difference(other, way, 1e-10)) is not None:
                return f"graph {seed}, n = {n}, {how}: training: {problem}"
    return None


@pytest.mark.parametrize("first", range(0, GRAPHS, CHUNK))
def test_random_graphs(first: int, tmp_path: Path) -> None:
    problems = [disagreement(seed, tmp_path) for seed in range(first, first + CHUNK)]
    assert [one for one in problems if one is not None] == []


def test_random_graphs_without_what_is_computed_once(tmp_path: Path) -> None:
    seeds = range(GRAPHS, GRAPHS + 2 * CHUNK)
    problems = [disagreement(seed, tmp_path, WITHOUT) for seed in seeds]
    assert [one for one in problems if one is not None] == []


OPTIMIZERS = (
    "MomentumOptimizer(0.01, 0.9)",
    "AdamOptimizer(0.01)",
    "RMSPropOptimizer(0.01)",
    "AdagradOptimizer(0.01)",
    "GradientDescentOptimizer(sf.train.exponential_decay(0.01, 2, 0.5))",
    "GradientDescentOptimizer(sf.train.backtracking_line_search())",
)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_random_graphs_are_trained_in_the_same_way(optimizer: str, tmp_path: Path) -> None:
    training = f"sf.train.{optimizer}.minimize(loss)\n"
    for seed in range(5):
        given = with_rows(batch_model(30_000 + seed), 19)
        both = of_graph(given, tmp_path, training=training)
        p, inputs = both.plain.initial_parameters(), data(given, both.plain)
        for more in ({}, {"batch_size": 6}):
            way = trained(both.plain, p, inputs, steps=4, **more)
            for how in ways(both):
                found = trained(both.fast, p, inputs, steps=4, **how, **more)
                if isinstance(way, str) or isinstance(found, str):
                    assert found == way
                else:
                    assert difference(found, way, 1e-9) is None, f"graph {seed}, {how}, {more}"


def test_a_line_search_keeps_the_gradient(tmp_path: Path) -> None:
    """It computes losses in the workspace where the gradient is."""
    path = tmp_path / "model.py"
    path.write_text(
        HEAD + "x = sf.placeholder(shape=('n', 3))\nw = sf.Variable([0.1, -1.4, 0.5])\n"
        "loss = sf.reduce_mean(sf.sin(x)) + sf.reduce_mean(sf.sqrt(sf.sigmoid(w)))\n"
        "rate = sf.train.backtracking_line_search(64.0)\n"
        "sf.train.GradientDescentOptimizer(rate).minimize(loss)\n"
    )
    both = styles(path, "float64")
    p, inputs = both.plain.initial_parameters(), inputs_of(both.plain, 9)
    found, way = (trained(one, p, inputs, steps=5) for one in (both.fast, both.plain))
    assert not isinstance(found, str)
    assert not isinstance(way, str)
    assert difference(found, way) is None


def test_many_random_graphs_have_blocks(tmp_path: Path) -> None:
    graphs = [of_graph(batch_model(seed), tmp_path) for seed in range(20)]
    assert sum(one.has_blocks for one in graphs) >= 12


@pytest.mark.parametrize("n", ROWS)
def test_examples(example: str, n: int) -> None:
    both = of_example(example)
    p, inputs = moved(both.plain), inputs_of(both.plain, n)
    wanted = evaluated(both.plain, p, inputs)
    way = trained(both.plain, p, inputs, steps=4)
    assert not isinstance(way, str)
    for how in ways(both):
        assert difference(evaluated(both.fast, p, inputs, **how), wanted) is None
        found = trained(both.fast, p, inputs, steps=4, **how)
        assert not isinstance(found, str)
        assert difference(found, way, 1e-11) is None


@pytest.mark.parametrize("example", [one for one in EXAMPLES if one != "rosenbrock"])
@pytest.mark.parametrize("size", [1, 3, 4, 9])
def test_examples_in_batches(example: str, size: int) -> None:
    both = of_example(example)
    p, inputs = moved(both.plain), inputs_of(both.plain, 19)
    way = trained(both.plain, p, inputs, steps=4, batch_size=size)
    assert not isinstance(way, str)
    for how in ways(both):
        found = trained(both.fast, p, inputs, steps=4, batch_size=size, **how)
        assert not isinstance(found, str)
        assert difference(found, way, 1e-11) is None


@pytest.mark.parametrize("n", [1, 5, 19])
def test_every_helper(tmp_path: Path, n: int) -> None:
    path = tmp_path / "model.py"
    few = EVERY_HELPER.replace("reshape(100, 4)", "reshape(100, 4)[:5]")
    path.write_text(few, encoding="utf-8")
    both = styles(path, "float64")
    p, inputs = moved(both.plain), inputs_of(both.plain, n)
    wanted = evaluated(both.plain, p, inputs)
    for how in ways(both):
        assert difference(evaluated(both.fast, p, inputs, **how), wanted) is None


def test_rows_may_be_those_of_a_parameter(make: Make) -> None:
    """There is no input that rows could be counted by."""
    both = make(
        "a = sf.Variable(sf.random_normal((600, 3), seed=1))\n"
        "b = sf.Variable(sf.random_normal((600, 3), seed=2))\n"
        "loss = sf.reduce_sum(sf.square(a * b - 1.5)) + sf.l2_loss(a)\n"
    )
    assert both.has_blocks
    p = moved(both.plain)
    wanted = evaluated(both.plain, p, {})
    for how in ways(both):
        assert difference(evaluated(both.fast, p, {}, **how), wanted) is None
        way = trained(both.plain, p, {}, steps=3, learning_rate=1e-3)
        found = trained(both.fast, p, {}, steps=3, learning_rate=1e-3, **how)
        assert not isinstance(way, str)
        assert not isinstance(found, str)
        assert difference(found, way) is None


def test_what_is_computed_once_reads_what_rows_share(make: Make) -> None:
    both = make(
        "x = sf.placeholder(shape=('n', 3))\nz = sf.placeholder(shape=(3, 3))\n"
        "k = sf.placeholder(shape=(3,))\nw = sf.Variable(sf.ones(3))\n"
        "m = sf.exp(z) @ sf.tanh(z)\n"
        "loss = sf.reduce_sum(sf.sin(x @ m) * w) + sf.reduce_logsumexp(w * k)\n"
        "loss = loss + sf.reduce_sum(w * sf.reduce_logsumexp(x, axis=1, keepdims=True))\n"
    )
    p, inputs = moved(both.plain), inputs_of(both.plain, 19)
    wanted = evaluated(both.plain, p, inputs)
    for how in ways(both):
        assert difference(evaluated(both.fast, p, inputs, **how), wanted) is None


def test_an_input_of_other_results_is_no_input_of_the_loss(make: Make) -> None:
    """Sizes were read off it, as if it were a parameter."""
    both = make(
        "x = sf.placeholder(shape=('n', 1))\ny = sf.placeholder(shape=('n', 'n'))\n"
        "total = sf.reduce_sum(x)\nw = sf.Variable([1.0, 2.0])\n"
        "loss = sf.reduce_sum(sf.sin(sf.expand_dims(w, 1) * sf.reduce_sum(y, 0)))\n"
        "__all__ = ['total']\n"
    )
    p, inputs = moved(both.plain), {"y": np.random.default_rng(0).normal(size=(5, 5))}
    found, wanted = (evaluated(one, p, inputs) for one in (both.fast, both.plain))
    assert difference(found, wanted) is None


def test_of_an_input_only_the_size_may_be_read(make: Make) -> None:
    both = make(
        "x = sf.placeholder(shape=('n', 2))\nw = sf.Variable([1.0, 2.0])\n"
        "loss = sf.l2_loss(w) * sf.reduce_sum(sf.ones_like(x))\n"
    )
    p, inputs = moved(both.plain), inputs_of(both.plain, 9)
    found, wanted = (evaluated(one, p, inputs) for one in (both.fast, both.plain))
    assert difference(found, wanted) is None
    np.testing.assert_allclose(wanted.arrays[0], 18 * p.w)


# --- whose arrays they are -----------------------------------------------------------------------

SHARED = {
    "one gradient for two": (
        "a = sf.Variable([1.0, 2.0])\nb = sf.Variable([3.0, 4.0])\n"
        "loss = sf.reduce_sum(sf.sin(a + b))\n"
    ),
    "one gradient for two, of rows": (
        "x = sf.placeholder(shape=('n', 3))\na = sf.Variable(sf.ones(3))\n"
        "b = sf.Variable(sf.ones(3))\nloss = sf.reduce_sum(sf.sin(x * (a + b)))\n"
    ),
    "an input": (
        "x = sf.placeholder(shape=(3,))\nw = sf.Variable(sf.ones(3))\nloss = sf.reduce_sum(w * x)\n"
    ),
    "a view of an input": (
        "x = sf.placeholder(shape=(4, 3))\nw = sf.Variable(sf.ones((3, 4)))\n"
        "loss = sf.reduce_sum(w * sf.transpose(x))\n"
    ),
    "the other parameter": (
        "a = sf.Variable([1.0, 2.0])\nb = sf.Variable([3.0, 4.0])\nloss = sf.reduce_sum(a * b)\n"
    ),
    "the parameter itself": "a = sf.Variable([1.0, 2.0])\nloss = sf.l2_loss(a)\n",
    "a constant": (
        "a = sf.Variable([1.0, 2.0])\nloss = sf.reduce_sum(a * sf.constant([3.0, 4.0]))\n"
    ),
    "a number in every entry": "w = sf.Variable([1.0, 2.0])\nloss = sf.reduce_sum(w)\n",
    "the same sum in every entry": (
        "x = sf.placeholder(shape=('n',))\nw = sf.Variable([1.0, 2.0])\n"
        "loss = sf.reduce_sum(w) * sf.reduce_sum(x)\n"
    ),
}


@pytest.mark.parametrize("text", SHARED.values(), ids=SHARED)
def test_a_gradient_that_is_something_else_too(make: Make, text: str) -> None:
    """Training writes to gradients; what is the same array must not change with them."""
    both = make(text)
    p, inputs = moved(both.plain), inputs_of(both.plain, 9)
    before = {name: value.copy() for name, value in inputs.items()}
    start = [one.copy() for one in p]
    way = trained(both.plain, p, inputs, steps=4)
    assert not isinstance(way, str)
    for more in ({}, {"on_step": lambda *_: None}):
        found = trained(both.fast, p, inputs, steps=4, **more)
        assert not isinstance(found, str)
        assert difference(found, way) is None
    gradient = both.fast.gradients(p, **inputs)
    for one in gradient:
        one[...] = np.nan
    for name, value in inputs.items():
        np.testing.assert_array_equal(value, before[name])
    for one, other in zip(p, start, strict=True):
        np.testing.assert_array_equal(one, other)
    again, wanted = (evaluated(one, p, inputs) for one in (both.fast, both.plain))
    assert difference(again, wanted) is None


@pytest.mark.parametrize("n", [4, 19])
def test_results_stay_what_they_were(example: str, n: int) -> None:
    made = of_example(example).fast
    p = moved(made)
    first = made.loss_and_gradients(p, **inputs_of(made, n, 1))[1]
    kept = [one.copy() for one in first]
    other = made.gradients(moved(made, seed=5), **inputs_of(made, n, 2))
    for one, two, before in zip(first, other, kept, strict=True):
        np.testing.assert_array_equal(one, before)
        assert not np.shares_memory(one, two)
        assert one.base is None or one.base.base is None
        assert one.flags.writeable


@pytest.mark.parametrize("sum_", ["a * a + b", "a + b"])
def test_gradients_with_rows_are_arrays_of_their_own(make: Make, sum_: str) -> None:
    """Also where two of them are equal, and are computed once."""
    both = make(
        "x = sf.placeholder(sf.float64, (600,))\nscale = sf.Variable(2.0)\n"
        "a = sf.Variable(sf.ones(600))\nb = sf.Variable(sf.zeros(600))\n"
        f"loss = sf.reduce_mean(sf.tanh(x * ({sum_})) * scale)\n"
    )
    p, x = both.fast.initial_parameters(), np.linspace(-1.0, 1.0, 600)
    first = both.fast.gradients(p, x)
    assert both.has_blocks
    for one, wanted in zip(first, both.plain.gradients(p, x), strict=True):
        np.testing.assert_allclose(one, wanted, rtol=1e-12, atol=1e-15)
    kept = [one.copy() for one in first]
    again = both.fast.gradients(p, x + 1.0)
    made = [*first, *again]
    for at, one in enumerate(made):
        assert not any(np.shares_memory(one, other) for other in made[at + 1 :])
    for one, before in zip(first, kept, strict=True):
        np.testing.assert_array_equal(one, before)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_what_is_written_to_starts_where_a_cache_line_does(dtype: Any) -> None:
    work = of_example("digits").fast._Workspace(7, np.dtype(dtype))
    arrays = {name: one for name, one in vars(work).items() if isinstance(one, np.ndarray)}
    written = [one for name, one in arrays.items() if not name.startswith("ones")]
    assert len(written) > 5
    for one in written:
        assert one.__array_interface__["data"][0] % 64 == 0
        assert one.flags.writeable
        assert one.dtype == dtype


def test_parameters_of_a_step_stay_what_they_were(example: str) -> None:
    made = of_example(example).fast
    p, inputs = moved(made), inputs_of(made, 9)
    start = [one.copy() for one in p]
    seen: list[Any] = []
    kept: list[list[Any]] = []

    def on_step(step: int, loss: float, parameters: Any) -> None:
        seen.append(parameters)
        kept.append([one.copy() for one in parameters])

    result = made.train(p, **inputs, steps=4, on_step=on_step)
    end = [one.copy() for one in result.parameters]
    made.train(result.parameters, **inputs, steps=3)
    made.gradients(p, **inputs)
    for parameters, copies in zip([p, *seen, result.parameters], [start, *kept, end], strict=True):
        for one, before in zip(parameters, copies, strict=True):
            np.testing.assert_array_equal(one, before)
    assert len(seen) == 4
    assert all(np.any(one != two) for one, two in zip(seen[0], seen[3], strict=True))


# --- threads -------------------------------------------------------------------------------------


def bits(result: tuple[float, Any]) -> list[bytes]:
    value, gradient = result
    return [np.float64(value).tobytes(), *(np.ascontiguousarray(one).tobytes() for one in gradient)]


@pytest.mark.parametrize("example", ["digits", "logistic_regression", "lstm", "linear_regression"])
def test_calls_at_the_same_time(example: str) -> None:
    """The sizes differ, so that workspaces of all kinds are borrowed and given back."""
    made = of_example(example).fast
    calls = [
        (moved(made, seed=at), inputs_of(made, 1 + at % 23, at), 1 + at % 3) for at in range(60)
    ]

    def called(call: tuple[Any, Mapping[str, Any], int]) -> list[bytes]:
        p, inputs, threads = call
        how = {"threads": threads} if hasattr(made, "BLOCK") else {}
        return bits(made.loss_and_gradients(p, **inputs, **how))

    wanted = [called(one) for one in calls]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(called, calls)) == wanted
        assert list(pool.map(called, reversed(calls))) == wanted[::-1]


@pytest.mark.parametrize("threads", [1, 2, 3, 7])
def test_the_same_threads_give_the_same_bits(threads: int) -> None:
    for example in ("digits", "logistic_regression", "mlp_regression"):
        made = of_example(example).fast
        p, inputs = moved(made), inputs_of(made, 61)
        first = bits(made.loss_and_gradients(p, **inputs, threads=threads))
        for _ in range(5):
            made.loss(p, **inputs_of(made, 7, 3))
            assert bits(made.loss_and_gradients(p, **inputs, threads=threads)) == first
        start = [made.train(p, **inputs, steps=3, threads=threads) for _ in range(2)]
        assert start[0].losses == start[1].losses


@pytest.mark.parametrize("threads", [0, -1])
def test_threads_are_counted_from_one(threads: int) -> None:
    made = of_example("digits").fast
    p, inputs = moved(made), inputs_of(made, 9)
    for function in (made.loss, made.gradients, made.loss_and_gradients, made.train):
        with pytest.raises(ValueError, match=f"^threads: expected 1 or more, got {threads}$"):
            function(p, **inputs, threads=threads)


@pytest.mark.parametrize("threads", [1, 3])
def test_an_exception_leaves_the_module_usable(
    threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = of_example("mlp_regression").fast
    p, inputs = moved(made), inputs_of(made, 19)
    wanted = bits(made.loss_and_gradients(p, **inputs, threads=threads))
    block, calls = made._block, []

    def failing(*arguments: Any) -> Any:
        calls.append(1)
        if len(calls) == 3:
            raise ZeroDivisionError
        return block(*arguments)

    monkeypatch.setattr(made, "_block", failing)
    with pytest.raises(ZeroDivisionError):
        made.loss_and_gradients(p, **inputs, threads=threads)
    assert bits(made.loss_and_gradients(p, **inputs, threads=threads)) == wanted


@pytest.mark.parametrize("threads", [1, 3])
def test_threads_treat_errors_as_their_caller_does(make: Make, threads: int) -> None:
    """NumPy's settings are those of a thread."""
    made = make(
        "x = sf.placeholder(shape=('n', 3))\nw = sf.Variable(sf.ones(3))\n"
        "loss = sf.reduce_sum(sf.log(x * w))\n"
    ).fast
    p, inputs = made.initial_parameters(), {"x": np.ones((19, 3))}
    wanted = bits(made.loss_and_gradients(p, **inputs, threads=threads))
    wrong = {"x": inputs["x"] - 2.0 * (np.arange(19) == 17)[:, None]}
    with np.errstate(all="raise"), pytest.raises(FloatingPointError):
        made.loss(p, **wrong, threads=threads)
    with pytest.warns(RuntimeWarning, match="invalid value"):
        made.loss(p, **wrong, threads=threads)
    with np.errstate(all="ignore"):
        assert np.isnan(made.loss(p, **wrong, threads=threads))
    assert bits(made.loss_and_gradients(p, **inputs, threads=threads)) == wanted


def test_workspaces_are_used_again_and_not_kept_for_ever() -> None:
    made = of_example("digits").fast
    p = moved(made)
    for n in range(1, 60):
        made.BLOCK = 64  # type: ignore[attr-defined]
        made.loss(p, **inputs_of(made, n))
    made.BLOCK = 4  # type: ignore[attr-defined]
    assert len(made._idle) <= 10
    made.loss(p, **inputs_of(made, 9))
    idle = [id(one) for works in made._idle.values() for one in works]
    made.loss(p, **inputs_of(made, 9))
    assert [id(one) for works in made._idle.values() for one in works] == idle


# --- precision, and what is no number ------------------------------------------------------------


def test_float32_stays_float32(example: str) -> None:
    both = of_example(example)
    made = both.fast
    single, double = moved(made, np.float32), moved(made, np.float32)
    double = made.Parameters(*(one.astype(np.float64) for one in double))
    inputs = inputs_of(made, 19)
    wanted = evaluated(both.plain, double, inputs)
    for how in ways(both):
        found = evaluated(made, single, inputs, **how)
        assert all(one.dtype == np.float32 for one in found.arrays)
        np.testing.assert_allclose(found.losses, wanted.losses, rtol=1e-4)
        for one, other in zip(found.arrays, wanted.arrays, strict=True):
            np.testing.assert_allclose(one, other, atol=1e-4 * np.max(np.abs(other)))
        for more in ({}, {"on_step": lambda *_: None}):
            result = made.train(single, **inputs, steps=3, learning_rate=1e-3, **how, **more)
            assert all(one.dtype == np.float32 for one in result.parameters)
    works = [one for works in getattr(made, "_idle", {}).values() for one in works]
    for one in works:
        arrays = [value for value in vars(one).values() if isinstance(value, np.ndarray)]
        assert {value.dtype for value in arrays} <= {one.dtype, np.dtype(bool)}


@pytest.mark.parametrize("kind", [np.int64, np.int8, np.uint8, bool])
def test_whole_numbers_and_booleans_are_taken(make: Make, kind: Any) -> None:
    both = make(
        "x = sf.placeholder(shape=('n', 3))\ny = sf.placeholder(shape=('n',))\n"
        "w = sf.Variable(sf.ones(3))\n"
        "loss = sf.reduce_sum(sf.where(y > 0.5, x @ w, sf.tanh(x @ w)) * y)\n"
    )
    inputs = {name: one.astype(kind) for name, one in inputs_of(both.plain, 9).items()}
    p = moved(both.plain)
    wanted = evaluated(both.plain, p, inputs)
    assert difference(evaluated(both.fast, p, inputs), wanted) is None
    whole = both.fast.Parameters(np.array([1, 2, 3]))
    assert both.fast.gradients(whole, **inputs).w.dtype == np.float64


NOT_FINITE = {
    "max": "z = sf.reduce_max(x * w, axis=1)\n",
    "min": "z = sf.reduce_min(x * w, axis=1)\n",
    "maximum": "z = sf.maximum(x * w, 0.5) * x\n",
    "relu": "z = sf.relu(x * w)\n",
    "where": "z = sf.where(x > 0.0, sf.log(x * w), x * w)\n",
    "where and nothing": "z = sf.where(x > 0.0, x * w, 0.0)\n",
    "softmax": "z = sf.square(sf.softmax(x * w))\n",
    "logsumexp": "z = sf.reduce_logsumexp(x * w, axis=1)\n",
    "sigmoid": "z = sf.sigmoid(x * w) + sf.softplus(x * w)\n",
    "elu": "z = sf.elu(x * w)\n",
    "product": "z = sf.sin(x @ sf.reshape(w, (3, 1)))\n",
    "sums": "z = sf.reduce_sum(x * w, axis=1) ** 2\n",
    "norm": "z = sf.norm(x * w, axis=1)\n",
    "abs": "z = sf.abs(x) * w\n",
}


@pytest.mark.parametrize("z", NOT_FINITE.values(), ids=NOT_FINITE)
@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf, 0.0, -0.0])
def test_what_is_not_finite_goes_the_same_way(make: Make, z: str, wrong: float) -> None:
    both = make(
        "x = sf.placeholder(shape=('n', 3))\nw = sf.Variable(sf.ones(3))\n"
        f"{z}loss = sf.reduce_sum(z)\n"
    )
    p, inputs = moved(both.plain), inputs_of(both.plain, 9)
    inputs["x"][6, 1] = wrong
    wanted = evaluated(both.plain, p, inputs)
    for how in ways(both):
        assert difference(evaluated(both.fast, p, inputs, **how), wanted) is None


# --- memory --------------------------------------------------------------------------------------

PEAK = """
import importlib.util, sys, tracemalloc
import numpy as np
spec = importlib.util.spec_from_file_location("model", sys.argv[1])
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
p = module.initial_parameters()
x, y = np.ones((int(sys.argv[2]), 8)), np.ones(int(sys.argv[2]))
module.gradients(p, x[:10], y[:10])
tracemalloc.start()
module.loss_and_gradients(p, x, y)
print(tracemalloc.get_traced_memory()[1])
module.train(p, x, y, steps=2, batch_size=1000)
"""


def test_memory_does_not_grow_with_the_rows(compiled: Any) -> None:
    made = compiled(
        HEAD + "x = sf.placeholder(sf.float64, ('n', 8))\ny = sf.placeholder(sf.float64, ('n',))\n"
        "w = sf.Variable(sf.ones((8, 16)))\nv = sf.Variable(sf.ones(16))\n"
        "loss = sf.reduce_mean(sf.square(sf.tanh(x @ w) @ v - y))\n" + DESCENT
    )
    peaks = []
    for n in (100_000, 1_000_000):
        command = [sys.executable, "-c", PEAK, str(made.__file__), str(n)]
        run = subprocess.run(command, capture_output=True, text=True, check=True)
        peaks.append(int(run.stdout))
    assert peaks[1] <= peaks[0] + 100_000  # a slice for each of the blocks
    assert peaks[1] < 8_000_000  # the inputs take 72 MB, tanh alone 128 MB


def test_style_is_chosen() -> None:
    path = ROOT / "examples" / "digits.py"
    assert not hasattr(module(path, "plain"), "_Workspace")
    assert hasattr(module(path, "fast"), "_Workspace")
