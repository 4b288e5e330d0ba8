"""What several tests share: models compiled from text, generated modules, the examples' data."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import symflow as sf
from symflow.compilation import Style
from symflow.files import compile_files, write
from symflow.rows import ROWS

ROOT = Path(__file__).parent.parent
DATA = ROOT / "examples" / "data"
EXAMPLES = sorted(path.stem for path in ROOT.glob("examples/*.py") if path.stem != "demo")


@pytest.fixture(autouse=True)
def graph() -> Iterator[sf.Graph]:
    """A graph of its own for every test."""
    with sf.Graph().as_default() as graph:
        yield graph


@pytest.fixture
def own_table() -> Iterator[None]:
    """The table of elementwise operations, without what the test adds to it when it has ended."""
    before = dict(ROWS)
    yield
    ROWS.clear()
    ROWS.update(before)


EVERY_HELPER = '''\
"""Uses every helper that a generated module can bring along."""

import numpy as np

import symflow as sf

x = sf.placeholder(shape=("n", 4))
k = sf.placeholder(sf.int64, ("n",))
table = sf.constant(np.arange(400.0).reshape(100, 4) / 400.0)  # goes to an .npz
shift = sf.constant([0.1, 0.2, 0.3])
w = sf.Variable(sf.truncated_normal((4, 6)))
e = sf.Variable(sf.truncated_normal((5, 4), stddev=0.5))
v = sf.Variable(np.linspace(0.0, 1.0, 6))
c = sf.Variable(0.25)
q = sf.Variable(np.array([[2.0, 0.5], [0.5, 1.0]]))

mixed = (x + sf.gather(e, k)) @ w
left = sf.sigmoid(mixed[:, :3] + shift)
right = sf.softplus(mixed[:, 3:])
gate = sf.sigmoid(c)
hot = sf.one_hot(k, 5)
slid = sf.nn.avg_pool1d(sf.expand_dims(mixed, -1), 3, 2, "SAME")
near = sf.reduce_sum(sf.square(sf.gather(table, k) - x), axis=1)
score = gate * sf.reduce_sum(left * right, axis=1) + sf.reduce_sum(v[1:4]) * hot[:, 0]
penalty = sf.reduce_sum(sf.elu(v) + sf.xlogy(v, 1.0 + v))
volume = sf.matrix_determinant(q)
slope = sf.gradients(volume, q)[0]
shape = sf.reduce_sum(sf.square(slope)) - sf.log(sf.matrix_determinant(q @ sf.transpose(q)))
regular = penalty + sf.square(volume) + shape
loss = sf.reduce_mean(score * near) + 0.01 * regular + sf.reduce_mean(sf.square(slid))

train_op = sf.train.GradientDescentOptimizer(0.01).minimize(loss)
'''


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--update-generated", action="store_true", help="rewrite generated/ from examples/"
    )
    parser.addoption(
        "--long", action="store_true", help="all cases where a test takes a sample: make test-long"
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """With `--long`, what takes no sample is left to `make test`."""
    if config.getoption("--long"):
        others = [one for one in items if "long" not in getattr(one, "fixturenames", ())]
        config.hook.pytest_deselected(items=others)
        items[:] = [one for one in items if "long" in getattr(one, "fixturenames", ())]


@pytest.fixture(scope="session")
def long(pytestconfig: pytest.Config) -> bool:
    """Whether there is time for all cases, and not for a sample only."""
    return bool(pytestconfig.getoption("--long"))


def imported(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(params=EXAMPLES)
def example(request: pytest.FixtureRequest) -> str:
    """The name of each example in turn."""
    name: str = request.param
    return name


@pytest.fixture(scope="session")
def generated() -> Callable[[str], ModuleType]:
    """An example's module, by name."""
    return lambda name: imported(ROOT / "generated" / f"{name}.py")


@pytest.fixture
def compiled(tmp_path: Path) -> Callable[..., ModuleType]:
    """The module that a model's text compiles to; it stands at `module.__file__`."""

    def compile_text(text: str, style: Style = "fast") -> ModuleType:
        model = tmp_path / "model.py"
        model.write_text(text, encoding="utf-8")
        write(compile_files(model, tmp_path / "out", {}, None, style=style))
        return imported(tmp_path / "out" / "model.py")

    return compile_text


@pytest.fixture(scope="session")
def every_helper(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A generated module with every helper."""
    folder = tmp_path_factory.mktemp("every_helper")
    (folder / "every_helper.py").write_text(EVERY_HELPER)
    write(compile_files(folder / "every_helper.py", folder / "out", {}, None))
    return folder / "out" / "every_helper.py"


@pytest.fixture(scope="session")
def linear_regression() -> Any:
    """x, y, and what the article printed."""
    printed = json.loads((DATA / "linear_regression_printed.json").read_text())
    x, y = np.loadtxt(DATA / "linear_regression.csv", delimiter=",", skiprows=1).T
    return x, y, printed


@pytest.fixture(scope="session")
def breast_cancer() -> Any:
    """((x, y) to train on, (x, y) held out), x standardised."""
    train, test = _split(np.loadtxt(DATA / "breast_cancer.csv", delimiter=",", skiprows=1))
    mean, deviation = train.mean(axis=0), train.std(axis=0)
    mean[-1], deviation[-1] = 0.0, 1.0
    return tuple(_columns((part - mean) / deviation) for part in (train, test))


@pytest.fixture(scope="session")
def diabetes() -> Any:
    """((x, y) to train on, (x, y) held out), both standardised, y a column."""
    train, test = _split(np.loadtxt(DATA / "diabetes.csv", delimiter=",", skiprows=1))
    parts = [(part - train.mean(axis=0)) / train.std(axis=0) for part in (train, test)]
    return tuple((part[:, :-1], part[:, -1:]) for part in parts)


@pytest.fixture(scope="session")
def digits() -> Any:
    """((pixels, digit) to train on, (pixels, digit) held out), pixels from 0 to 1."""
    parts = _split(np.loadtxt(DATA / "digits.csv.gz", delimiter=","))
    return tuple(
        ((part[:, :-1] / 16).astype(np.float32), part[:, -1].astype(int)) for part in parts
    )


def _split(rows: Any) -> tuple[Any, Any]:
    """Four fifths and one fifth of the rows, drawn at random."""
    order = np.random.default_rng(0).permutation(len(rows))
    held_out = len(rows) // 5
    return rows[order[held_out:]], rows[order[:held_out]]


def _columns(rows: Any) -> tuple[Any, Any]:
    return rows[:, :-1], rows[:, -1]
