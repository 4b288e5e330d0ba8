"""Random graphs against three other ways to their derivatives, and against themselves rewritten.

`make fuzz-graphs N=100000` runs as many as there is time for.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from abstract_models import Leaf, Model, Step, float_values, inserted, names, text
from batch_graphs import trainable
from fuzz import complaint, report
from graph_comparison import (
    Outcome,
    built,
    compared,
    computed,
    feed,
    forward,
    outcomes,
    references,
    tolerance,
)
from independent_numbers import FLOAT
from independent_operations import OPERATIONS
from random_graphs import available, random_model
from shrinking import shrunk

import symflow as sf
from symflow.compiler import STAGES
from symflow.files import compile_files
from symflow.rows import ROWS
from symflow.simplification import _folded, _walk

GRAPHS, CHUNK = 2000, 40
METAMORPHIC = range(10_000, 10_030)


@pytest.mark.parametrize("first", range(0, GRAPHS, CHUNK))
def test_random_graphs(first: int) -> None:
    failures = [found for seed in range(first, first + CHUNK) if (found := report(seed))]
    assert not failures, "\n\n".join(["", *failures])


def test_every_operation_is_drawn() -> None:
    """A row without an entry among the independent ones would never be met."""
    written = (sf, sf.nn, sf.linalg)
    internal = {name for name in ROWS if not any(hasattr(one, name) for one in written)}
    internal.add("to_int")  # whole numbers have no derivative
    assert set(ROWS) - set(OPERATIONS) <= internal
    wanted = {name for name, one in OPERATIONS.items() if available(name) and one.weight}
    models = []
    for seed in range(GRAPHS):
        models.append(random_model(seed))
        wanted -= models[-1].operations
        if not wanted and len(models) >= GRAPHS // 5:
            break
    assert not wanted
    assert sum(model.order == 2 for model in models) > len(models) // 20
    assert sum(model.dtype == "float32" for model in models) > len(models) // 20
    assert sum(model.symbolic for model in models) > len(models) // 10


def test_the_tolerance_is_strict() -> None:
    """What is allowed is small beside the outcome, for all but a few ill-conditioned graphs."""
    relative = []
    for seed in range(300):
        model = random_model(seed)
        truth = references(model, 0)["forward mode"]
        allowed = tolerance(model, 0, truth)
        size = np.max(np.abs(truth.slopes), initial=1.0)
        relative.append(float(np.max(allowed["slopes"]) / size / np.finfo(model.dtype).eps))
    assert np.percentile(relative, 50) < 1e3
    assert np.percentile(relative, 98) < 1e5


# --- the machinery itself --------------------------------------------------------------------


def wrong_tanh(x: Any, name: str | None = None) -> Any:
    return sf.sin(x) * 1.0


def leads_to(model: Model, operation: str) -> bool:
    """Whether the operation lies between the loss and what it is differentiated by."""
    return any(
        isinstance(model.nodes[number], Step)
        and model.nodes[number].operation == operation
        and set(model.reached(number)) & set(model.by) - {number}
        for number in model.reached()
    )


def test_a_failure_shrinks_to_the_operation_that_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    models = (random_model(seed) for seed in range(1000))
    candidates = (one for one in models if len(one.nodes) > 10 and leads_to(one, "tanh"))
    monkeypatch.setattr(sf, "tanh", wrong_tanh, raising=False)
    model = next(one for one in candidates if complaint(one) is not None)
    smaller = shrunk(model, lambda candidate: complaint(candidate) is not None)
    steps = [node.operation for node in smaller.nodes if isinstance(node, Step)]
    assert "tanh" in steps
    assert len(steps) <= 3
    assert "sf.tanh" in text(smaller)
    # one entry, and one beside it to differentiate by where that was a constant
    assert sum(leaf.values[0].size for leaf in smaller.nodes if isinstance(leaf, Leaf)) <= 2


def test_the_three_other_ways_agree_with_50_digits() -> None:
    """Were a formula of the interpreter wrong, the complex step or the digits would say so."""
    for seed in range(20_000, 20_040):
        model = random_model(seed)
        truth = references(model, 0)["forward mode"]
        assert compared(model, [truth], digits=True) is None, text(model)


# --- rewritten graphs ------------------------------------------------------------------------


def plain_model(seed: int) -> Model:
    """A model that is differentiated by its leaves only, once."""
    model = random_model(seed, order=1)
    leaves = tuple(one for one in model.by if isinstance(model.nodes[one], Leaf))
    return replace(model, by=leaves)


def agree(model: Model, found: list[Outcome], wanted: list[Outcome], times: float = 2) -> None:
    for at, (one, other) in enumerate(zip(found, wanted, strict=True)):
        allowed = tolerance(model, at, forward(model, FLOAT, at))
        for name, part in one.parts.items():
            difference = np.abs(part - other.parts[name])
            assert np.all(difference <= times * allowed[name]), f"{name}\n{text(model)}"


def dims(model: Model, number: int) -> list[tuple[int, int]]:
    first, second = (float_values(model, at)[number].shape for at in (0, 1))
    return list(zip(first, second, strict=True))


def rewritten(model: Model, rng: np.random.Generator) -> Iterator[tuple[str, Model]]:
    """The same function in other words."""
    floats = [
        number
        for number in model.reached()
        if any(number in one.sources for one in model.nodes if isinstance(one, Step))
    ]
    for _ in range(2):
        node = int(rng.choice(floats))
        readers = [
            number
            for number, one in enumerate(model.nodes)
            if isinstance(one, Step) and node in one.sources
        ]
        some = [one for one in readers if rng.random() < 0.7] or readers
        yield "x + 0", inserted(model, node, [Step("add", (-1, 0.0))], some)
        yield "x * 1", inserted(model, node, [Step("multiply", (1.0, -1))], some)
        sizes = dims(model, node)
        order = [int(one) for one in rng.permutation(len(sizes))]
        there, back = tuple(order), tuple(order.index(at) for at in range(len(order)))
        twice = [Step("transpose", (-1,), {"perm": one}) for one in (there, back)]
        yield "transposed twice", inserted(model, node, twice, some)
        if all(one == other or (one, other) == model.sizes for one, other in sizes):
            shape = tuple(one if one == other else "n" for one, other in sizes)
            flat = [Step("reshape", (-1,), {"shape": one}) for one in ((-1,), shape)]
            yield "reshaped there and back", inserted(model, node, flat, some)
        original = model.nodes[node]
        if isinstance(original, Step) and len(readers) > 1:
            yield "split", inserted(model, node, [original], readers[1:])


@pytest.mark.parametrize("seed", METAMORPHIC)
def test_the_same_function_in_other_words(seed: int) -> None:
    model = plain_model(seed)
    wanted = computed(model)
    for name, other in rewritten(model, np.random.default_rng(seed)):
        problem = compared(other, found := computed(other))
        assert problem is None, f"{name}: {problem}\n{text(other)}"
        agree(model, found, wanted)


@pytest.mark.parametrize("seed", METAMORPHIC)
def test_simplification_changes_nothing(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only literals are folded into their readers, since the printer counts on that."""
    model = random_model(seed)
    wanted = computed(model)
    monkeypatch.setitem(STAGES, "simplify", lambda program, rules: _walk(program, _folded))
    monkeypatch.setitem(STAGES, "stabilise", lambda program, rules: program)
    found = computed(model)
    assert compared(model, found) is None, text(model)
    agree(model, found, wanted)


@pytest.mark.parametrize("seed", METAMORPHIC)
def test_the_gradient_is_linear(seed: int) -> None:
    """∇(a·f + b·g) = a·∇f + b·∇g, with f the loss and g of another node."""
    model = plain_model(seed)
    a, b = 0.75, -1.5
    graph = built(model)
    number = max(one for one in model.reached()[:-1] if set(model.reached(one)) & set(model.by))
    by = [graph.tensors[one] for one in model.by if one in model.reached(number)]
    with graph.session.graph.as_default():
        f, g = graph.loss, sf.reduce_sum(sf.sin(graph.tensors[number]))
        parts = [sf.gradients(one, by) for one in (f, g, a * f + b * g)]
    values = graph.session.run(parts, feed(model, graph.tensors, 0))
    size = max(np.max(np.abs(one)) for part in values for one in part)
    slack = 1e4 * np.finfo(model.dtype).eps * max(size, 1e-2)
    for one, other, both in zip(*values, strict=True):
        assert np.max(np.abs(a * one + b * other - both)) <= slack, text(model)


@pytest.mark.parametrize("seed", METAMORPHIC)
def test_names_do_not_matter(seed: int) -> None:
    model = random_model(seed)
    called = [f"node_{len(model.nodes) - number}" for number in range(len(model.nodes))]
    found = outcomes(model, built(model, called=called))
    for one, other in zip(found, computed(model), strict=True):
        for name, part in one.parts.items():
            np.testing.assert_array_equal(part, other.parts[name], err_msg=text(model))


LETTERS = dict(zip("ctwxC", "duyzD", strict=True))
"""Other names of the same length and order; formulas name factors in alphabetical order."""


def module_text(folder: Path, model: Model, called: list[str]) -> str:
    folder.mkdir(parents=True)
    (folder / "model.py").write_text(text(model, called), encoding="utf-8")
    files = compile_files(folder / "model.py", folder / "out", {}, None)
    content = files[folder / "out" / "model.py"]
    assert content is not None
    found = re.sub(r"graph [0-9a-f]{8}", "", content.decode())  # no name is in the hash
    return re.sub(r"#.*", "", found)  # a formula names its factors in alphabetical order


@pytest.mark.parametrize("seed", METAMORPHIC[:15])
def test_a_module_is_the_same_up_to_its_names(seed: int, tmp_path: Path) -> None:
    models = (plain_model(seed + 1000 * further) for further in range(1000))
    model = next(one for one in models if trainable(one))
    called = names(model)
    other = [LETTERS[one[0]] + one[1:] for one in called]
    first = module_text(tmp_path / "first", model, called)
    second = module_text(tmp_path / "second", model, other)
    letter = re.compile(r"(?<![A-Za-z0-9])([ctwxC])(?=\d)")
    assert letter.sub(lambda found: LETTERS[found[1]], first) == second
