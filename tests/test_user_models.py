"""Random models that look like what users write, in all styles, trained step by step.

`make fuzz` runs as many as there is time for.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import user_models
from abstract_models import Leaf, Step
from fuzz import report_user
from user_models import complaint, user_model

import symflow as sf
from symflow.rules import NAMES

SAMPLE, ALL, CHUNK = 320, 2000, 40


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "first" in metafunc.fixturenames:
        count = ALL if metafunc.config.getoption("--long") else SAMPLE
        metafunc.parametrize("first", range(0, count, CHUNK))


@pytest.mark.usefixtures("long")
def test_user_models(first: int) -> None:
    failures = [found for seed in range(first, first + CHUNK) if (found := report_user(seed))]
    assert not failures, "\n\n".join(["", *failures])


def test_they_look_like_what_users_write() -> None:
    """Every kind of model that the generator promises is there in numbers."""
    found: Counter[str] = Counter()
    models = [user_model(seed) for seed in range(ALL // 2)]
    for user in models:
        nodes = user.model.nodes
        leaves = [node for node in nodes if isinstance(node, Leaf)]
        lengths = [len(name) for name in user.called]
        found["names of one letter"] += 1 in lengths
        found["names of 30 letters and more"] += max(lengths) >= 30
        found["twins in case"] += len({one.lower() for one in user.called}) < len(user.called)
        found["no placeholder"] += all(one.kind != "placeholder" for one in leaves)
        found["float32"] += user.model.dtype == "float32"
        found["momentum"] += bool(user.momentum)
        found["without a rule"] += bool(user.without)
        found["-∞"] += any(np.any(np.isinf(one.values[0])) for one in leaves)
        found["zeros"] += any(np.any(one.values[0] == 0) for one in leaves)
        for one in leaves:
            found[one.declared] += 1
        for one in nodes:
            if isinstance(one, Step) and one.operation == "loop":
                found[one.how["head"]] += 1
    rare = {name: count for name, count in found.items() if count < 3}
    assert not rare, rare
    assert {"bool", "int8", "int64", "float32", "row", "softmax", "masked"} <= set(found)
    assert set().union(*(user.without for user in models)) == set(NAMES)


def test_a_wrong_gradient_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An operation that symflow computes in another way than the formulas written by hand."""
    seeds = (user_model(seed) for seed in range(1000))
    user = next(one for one in seeds if "sf.tanh(" in one.text and complaint(one, tmp_path) is None)
    monkeypatch.setattr(sf, "tanh", lambda x: sf.sin(x))
    found = complaint(user, tmp_path)
    assert found is not None


@pytest.mark.parametrize("fault", ["rate", "loss", "step"])
def test_wrong_training_is_noticed(
    fault: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A training that is off by 1e-3 of a step's way, at a rate at which no loss tells."""
    seeds = (user_model(seed) for seed in range(1000))
    user = next(one for one in seeds if not one.momentum and complaint(one, tmp_path) is None)
    module = user_models.module

    def faulty(*given: Any) -> Any:
        made = module(*given)
        train = made.train

        def wrong(p: Any, **how: Any) -> Any:
            if fault == "rate":
                how["learning_rate"] *= 1.001
            result = train(p, **how)
            if fault == "loss":
                return result._replace(losses=[one * (1 + 1e-9) for one in result.losses])
            return train(p, **{**how, "steps": 2}) if fault == "step" else result

        made.train = wrong
        return made

    monkeypatch.setattr(user_models, "module", faulty)
    found = complaint(user, tmp_path)
    assert found is not None
    assert "training" in found
