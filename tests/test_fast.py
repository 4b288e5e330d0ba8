"""The fast style: what the plain style computes, block by block, by threads, in a workspace."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from batch_graphs import batch_model, trainable
from conftest import EXAMPLES, ROOT, imported
from random_graphs import random_model
from styles import ROWS, Styles, data, difference, evaluated, is_rounding, of_graph, styles, trained
from styles import with_rows

GRAPHS, CHUNK = 500, 25
WITHOUT = ("loop-invariant", "quadratic-loss")


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
        for how in ({"threads": 1}, {"threads": 3}) if both.has_blocks else ({},):
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
