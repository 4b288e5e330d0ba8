"""The tests that concern generated modules, on other Pythons and versions of the dependencies.

python tests/environments.py [NAME ...]

Each environment is built anew in `.venv-long/NAME`, from the interpreter that is found: as
`python3.X` on the path, or among pyenv's. One whose Python is not here is told and left out; with
SYMFLOW_PYTHONS=required that is a failure. In each, and where this runs, the examples and random
models must compile to the same bytes.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / ".venv-long"
RANDOM_MODELS = 200
"""Of which the bytes are compared, beside the examples."""


@dataclass(frozen=True)
class Environment:
    """An interpreter, and which versions it is given: the least that are allowed, or the newest.

    select  which tests of MODULES are run, as pytest's -k has it
    """

    name: str
    python: str
    least: bool = False
    select: str = ""

    @property
    def bin(self) -> Path:
        return FOLDER / self.name / ("Scripts" if sys.platform == "win32" else "bin")


MODULES = (
    "tests/test_descent.py",
    "tests/test_elementwise.py",
    "tests/test_fast.py",
    "tests/test_flat.py",
    "tests/test_golden.py",
    "tests/test_gradients.py",
    "tests/test_moments.py",
    "tests/test_optimizers.py",
    "tests/test_oracles.py",
    "tests/test_scalars.py",
    "tests/test_scan.py",
    "tests/test_selftest.py",
    "tests/test_session.py",
    "tests/test_singular_points.py",
    "tests/test_solvers.py",
    "tests/test_special.py",
    "tests/test_training.py",
    "tests/test_user_models.py",
    "tests/test_windows.py",
)
"""The tests that concern generated modules."""

ENVIRONMENTS = (
    Environment("oldest", "3.10", least=True, select="not tool"),
    Environment("newest", "3.13"),
)
"""What NumPy 1.26 says of types is too little for mypy to follow modules; tools run elsewhere."""


def interpreter(version: str) -> str | None:
    """A Python of a version that runs, or None."""
    pyenv = os.environ.get("PYENV_ROOT", str(Path.home() / ".pyenv"))
    candidates = [shutil.which(f"python{version}")]
    candidates += map(str, sorted(Path(pyenv, "versions").glob(f"{version}.*/bin/python")))
    for one in candidates:
        command = [one, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"] if one else []
        if not command:
            continue
        run = subprocess.run(command, capture_output=True, text=True)
        if run.returncode == 0 and run.stdout.strip() == version:
            return one
    return None


def least_versions() -> list[str]:
    """The dependencies of pyproject.toml, and SciPy, each in the least version that is allowed."""
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    wanted = re.findall(r'^    "([a-z0-9]+)>=([0-9.]+)",$', _section(text, "dependencies"), re.M)
    assert len(wanted) >= 4, "pyproject.toml says what symflow needs in another way"
    versions = {
        name: version if version.count(".") > 1 else f"{version}.0" for name, version in wanted
    }
    return [*(f"{name}=={version}" for name, version in versions.items()), "scipy==1.11.1"]


def _section(text: str, name: str) -> str:
    found = re.search(rf"^{name} = \[\n(.*?)^\]", text, re.M | re.S)
    assert found is not None
    return found[1]


def built(one: Environment, python: str) -> bool:
    """Whether the environment could be made; pip says why it could not."""
    shutil.rmtree(FOLDER / one.name, ignore_errors=True)
    subprocess.run([python, "-m", "venv", str(FOLDER / one.name)], check=True)
    pins = least_versions() if one.least else ["scipy>=1.11"]
    tools = ["pytest>=9.2.0", "pytest-xdist>=3.8", "ruff~=0.17.6", "mypy~=2.4"]
    install = [str(one.bin / "python"), "-m", "pip", "install", "--quiet"]
    install += ["--disable-pip-version-check", "-e", str(ROOT), *pins, *tools]
    return subprocess.run(install).returncode == 0


def bytes_of_modules(python: str) -> str:
    """A digest of every module that the examples and random models compile to, line by line."""
    command = [python, str(ROOT / "tests" / "same_bytes.py"), str(RANDOM_MODELS)]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if run.returncode:
        print(run.stderr, file=sys.stderr)
    return run.stdout


def tested(one: Environment, here: str) -> str:
    """What came of the tests in an environment, in a few words."""
    python = interpreter(one.python)
    if python is None:
        required = os.environ.get("SYMFLOW_PYTHONS") == "required"
        return f"FAILED: no Python {one.python}" if required else f"not run: no Python {one.python}"
    if not built(one, python):
        return "FAILED: it could not be built"
    asked = [str(one.bin / "python"), "-m", "pip", "list", "--disable-pip-version-check"]
    listed = subprocess.run(asked, capture_output=True, text=True).stdout
    shown = re.findall(r"^((?:numpy|sympy|scipy|Jinja2|click) +\S+)", listed, re.M)
    print(f"{one.name}: Python {one.python}, {', '.join(' '.join(x.split()) for x in shown)}")
    there = bytes_of_modules(str(one.bin / "python"))
    if there != here or not here:
        print(*_differing(here, there), sep="\n")
        return "FAILED: modules are not the same bytes"
    run = subprocess.run(
        [str(one.bin / "python"), "-m", "pytest", "-n", "auto", "-k", one.select, *MODULES],
        cwd=ROOT,
    )
    return "passed" if run.returncode == 0 else "FAILED"


def _differing(here: str, there: str) -> list[str]:
    pairs = zip(here.splitlines(), there.splitlines(), strict=False)
    return [f"  {one}  here, {other}  there" for one, other in pairs if one != other][:20]


def main(names: Sequence[str]) -> int:
    unknown = set(names) - {one.name for one in ENVIRONMENTS}
    if unknown:
        print(f"no environment is called {', '.join(sorted(unknown))}", file=sys.stderr)
        return 2
    here = bytes_of_modules(sys.executable)
    found: dict[str, str] = {}
    for one in ENVIRONMENTS:
        if not names or one.name in names:
            start = time.perf_counter()
            result = tested(one, here)
            found[one.name] = f"{result}, {time.perf_counter() - start:.0f} s"
    for name, result in found.items():
        print(f"environment {name}: {result}")
    return int(any("FAILED" in result for result in found.values()))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
