"""Generated modules run where there is only NumPy, the newest and the oldest that is supported."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import EXAMPLES, ROOT

USES = """\
import importlib.util, inspect, sys, tempfile
import numpy as np
import numpy.random  # brings two modules of Cython's along

before = set(sys.modules)
spec = importlib.util.spec_from_file_location("generated", sys.argv[1])
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
dtype = np.dtype(sys.argv[2])

random = np.random.default_rng(0)
inputs = {}
for name, shape in getattr(module, "INPUTS", {}).items():
    sizes = [8 if isinstance(size, str) else size for size in shape]
    if name in getattr(module, "INTEGERS", ()):
        inputs[name] = random.integers(0, 5, sizes)
    else:
        inputs[name] = random.uniform(0, 1, sizes).astype(dtype)
start = module.initial_parameters(dtype=dtype.type)
result = module.train(start, **inputs, steps=3, learning_rate=0.001)
assert result.steps == 3 and len(result.losses) == 3
assert all(type(one) is float for one in result.losses)
assert result.losses[2] < result.losses[0], result.losses

with tempfile.TemporaryDirectory() as folder:
    module.save_parameters(folder + "/saved.npz", result.parameters)
    loaded = module.load_parameters(folder + "/saved.npz")
    with np.load(folder + "/saved.npz") as saved:
        assert tuple(saved.files) == module.Parameters._fields  # and nothing else
assert all(map(np.array_equal, loaded, result.parameters))

found = {"initial": start, "trained": result.parameters, "loaded": loaded}
found["gradients"] = module.gradients(result.parameters, **inputs)
for name, function in vars(module).items():
    if inspect.isfunction(function) and inspect.signature(function).return_annotation == "Array":
        if not name.startswith("_"):
            wanted = list(inspect.signature(function).parameters)[1:]
            found[name] = [function(start, **{one: inputs[one] for one in wanted})]
wrong = [
    f"{name}[{at}]: {value.dtype}"
    for name, values in found.items()
    for at, value in enumerate(values)
    if not isinstance(value, np.ndarray) or value.dtype != dtype
]
assert not wrong, wrong

new = {name.partition(".")[0] for name in set(sys.modules) - before}
foreign = new - set(sys.stdlib_module_names) - {"numpy"}
assert not foreign, foreign
"""


@pytest.fixture(scope="session", params=["numpy", "numpy==1.26.4"])
def numpy_only(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of an environment with NumPy and nothing else."""
    if request.param == "numpy==1.26.4" and sys.version_info >= (3, 13):
        pytest.skip("NumPy 1.26.4 has no wheels beyond Python 3.12")
    folder = tmp_path_factory.mktemp("environment")
    python = folder / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    install = ["install", "--quiet", "--disable-pip-version-check", "--only-binary=:all:"]
    subprocess.run([python, "-m", "pip", *install, request.param], check=True)
    return python


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("name", [*EXAMPLES, "every_helper"])
def test_numpy_is_enough(numpy_only: Path, every_helper: Path, name: str, dtype: str) -> None:
    module = every_helper if name == "every_helper" else ROOT / "generated" / f"{name}.py"
    command = [numpy_only, "-I", "-W", "error", "-c", USES, module, dtype]
    run = subprocess.run(command, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr


def test_inference_tests_itself(numpy_only: Path, tmp_path: Path) -> None:
    for path in (ROOT / "generated" / "inference").glob("digits.*"):
        shutil.copy(path, tmp_path)
    module = tmp_path / "digits.py"
    command = [numpy_only, "-I", "-W", "error", module, "--selftest"]
    run = subprocess.run(command, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr
    first, tested, last = run.stdout.splitlines()
    assert first == "this file: as compiled"
    assert tested.startswith("float32 probability: error ")
    assert last.startswith("self-test passed, NumPy ")
    text = module.read_text()
    module.write_text(text.replace("+ _B1, 0.0)", "+ _B1, 0.5)"))
    assert module.read_text() != text
    run = subprocess.run(command, capture_output=True, text=True)
    assert run.returncode == 1
    first, tested, last = run.stdout.splitlines()
    assert first == "this file: CHANGED since it was compiled"
    assert tested.endswith("  WRONG")
    assert last.startswith("self-test FAILED")


def test_every_helper_is_there(every_helper: Path) -> None:
    text = every_helper.read_text()
    helpers = [
        "_sigmoid",
        "_softplus",
        "_elu",
        "_xlogy",
        "_cofactors",
        "_cofactor_slope",
        "_log_determinant",
        "_placed",
        "_scattered",
        "_truncated_normal",
    ]
    assert [name for name in helpers if f"def {name}(" not in text] == []
    (archive,) = every_helper.parent.glob("*.npz")
    assert f'_ARRAYS = _read_arrays("{archive.name}")' in text
