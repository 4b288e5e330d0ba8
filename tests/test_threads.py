"""Graphs built in several threads, and what a session leaves behind."""

from __future__ import annotations

import gc
import linecache
import traceback
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

import symflow as sf
from symflow.files import compile_files


def built(number: int) -> tuple[float, float]:
    """A graph of its own for each call, and numbers that no other has."""
    with sf.Graph().as_default():
        x = sf.placeholder(shape=("n",), name="x")
        w = sf.Variable(float(number), name="w")
        h = w * x
        for power in range(3):
            h = h + float(power) * sf.square(h)
        loss = sf.reduce_sum(h)
        with sf.Session() as session:
            run = session.run([loss, sf.gradients(loss, w)[0]], {x: [1.0, 0.5]})
            return float(run[0]), float(run[1])


def test_graphs_of_several_threads_stay_apart() -> None:
    alone = [built(number) for number in range(40)]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(built, [*range(40)] * 3, timeout=300))
    assert together == alone * 3


def test_every_thread_has_a_default_graph_of_its_own() -> None:
    here = sf.get_default_graph()

    def there() -> tuple[bool, int]:
        sf.constant(1.0)
        return sf.get_default_graph() is here, len(sf.get_default_graph().nodes)

    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(there).result() == (False, 1)
    assert not here.nodes
    assert sf.get_default_graph() is here


def test_models_compile_side_by_side(tmp_path: Path) -> None:
    def compiled(number: int) -> str:
        path = tmp_path / f"model{number}.py"
        path.write_text(
            "import symflow as sf\nx = sf.placeholder(shape=('n',))\n"
            f"w = sf.Variable({float(number)})\nloss = sf.reduce_sum(sf.square(w*x - {number}.5))\n"
        )
        files = compile_files(path, tmp_path / "out", {}, None)
        return "".join(one.decode() for one in files.values() if one is not None)

    alone = [compiled(number) for number in range(8)]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(compiled, range(8), timeout=300)) == alone


def test_lines_of_a_session_go_with_it() -> None:
    before = len(linecache.cache)
    for number in range(20):
        session = sf.Session()
        session.run(sf.square(sf.constant(float(number))))
    del session
    gc.collect()
    assert len(linecache.cache) <= before + 2


def test_lines_of_a_session_are_shown_while_it_lives() -> None:
    x = sf.placeholder(shape=("n", "n"), name="x")
    session = sf.Session()
    with pytest.raises(np.linalg.LinAlgError) as raised:
        session.run(sf.matrix_inverse(x), {x: np.zeros((2, 2))})
    assert "np.linalg.inv" in "".join(traceback.format_exception(raised.value))
