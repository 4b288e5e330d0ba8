"""Functions that SciPy computes: where they are stable, what modules say, and without SciPy.

Values and derivatives are tested with those of all other rows, in test_elementwise.py.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import mpmath
import numpy as np
import pytest
import sympy as sp
from conftest import EXAMPLES, ROOT
from numpy.testing import assert_allclose
from numpy.typing import NDArray
from reference import evaluate
from test_standalone import USES

import symflow as sf
from symflow.checking import check

Array = NDArray[Any]


def normal(x: Any) -> Any:
    return mpmath.ncdf(x)


STABLE: dict[str, tuple[Callable[..., Any], Callable[..., Any], list[float]]] = {
    "erf": (sf.erf, mpmath.erf, [1e-300, 1e-9, -6.0, 30.0]),
    "erfc": (sf.erfc, mpmath.erfc, [-30.0, 1e-9, 5.0, 25.0]),
    "1 - erf": (lambda x: 1 - sf.erf(x), mpmath.erfc, [-5.0, 5.0, 25.0]),
    "1 + erf": (lambda x: 1 + sf.erf(x), lambda x: mpmath.erfc(-x), [5.0, -5.0, -25.0]),
    "half of erfc": (
        lambda x: 0.5 * (1 - sf.erf(x)),
        lambda x: mpmath.erfc(x) / 2,
        [-5.0, 5.0, 25.0],
    ),
    "Φ as textbooks write it": (
        lambda x: 0.5 * (1 + sf.erf(x / np.sqrt(2.0))),
        normal,
        [5.0, -5.0, -35.0],
    ),
    "ndtr": (sf.ndtr, normal, [-37.0, -1.0, 0.0, 30.0]),
    "ndtri": (sf.ndtri, lambda x: mpmath.sqrt(2) * mpmath.erfinv(2 * x - 1), [1e-9, 0.5, 0.75]),
    "erfinv": (sf.erfinv, mpmath.erfinv, [1e-12, 0.5, -0.999]),
    "exact gelu": (
        lambda x: sf.nn.gelu(x, approximate=False),
        lambda x: x * normal(x),
        [-37.0, -3.0, 0.0, 2.0, 800.0],
    ),
    "lgamma": (
        sf.lgamma,
        lambda x: mpmath.log(abs(mpmath.gamma(x))),
        [1e-200, 1e-3, 1.25, 1e4, -0.5, -3.75],
    ),
    "digamma": (sf.digamma, mpmath.digamma, [1e-3, 1.4616321449683623, 1e8, -0.5, -3.75]),
    "trigamma": (
        lambda x: sf.polygamma(1, x),
        lambda x: mpmath.polygamma(1, x),
        [1e-3, 40.0, 1e8, -0.5, -3.75],
    ),
    "log of beta": (
        lambda x: sf.lgamma(x) + sf.lgamma(2.0) - sf.lgamma(x + 2.0),
        lambda x: mpmath.log(mpmath.beta(x, 2)),
        [1e-3, 1.0, 40.0],
    ),
}


@pytest.mark.parametrize("case", STABLE.values(), ids=STABLE)
def test_stable(case: tuple[Any, Any, list[float]]) -> None:
    """Value and slope keep their digits far from the domain that rows are tested on."""
    function, reference, values = case
    x = sf.placeholder(sf.float64, ("n",))
    y = function(x)
    found, slope = evaluate([y, *sf.gradients(sf.reduce_sum(y), x)], {x: values})
    with mpmath.workdps(500):
        right = [float(reference(mpmath.mpf(one))) for one in values]
        tiny = mpmath.mpf(10) ** -300
        slopes = []
        for one in map(mpmath.mpf, values):
            step = abs(one) * mpmath.mpf(10) ** -25 + tiny
            slopes.append(float((reference(one + step) - reference(one - step)) / (2 * step)))
    assert_allclose(found, right, rtol=2e-13, atol=1e-300)
    assert_allclose(slope, slopes, rtol=2e-13, atol=1e-300)


def test_poles_are_infinite() -> None:
    x = sf.placeholder(sf.float64, ("n",))
    assert np.all(np.isposinf(evaluate(sf.lgamma(x), {x: [0.0, -1.0, -2.0]})))


@pytest.mark.parametrize("approximate", [True, False])
def test_gelu(approximate: bool) -> None:
    x = sf.placeholder(sf.float64, ("n",))
    points = np.linspace(-4.0, 4.0, 17)
    exact = [float(one * mpmath.ncdf(one)) for one in points]
    found = evaluate(sf.nn.gelu(x, approximate), {x: points})
    distance = np.max(np.abs(found - exact))
    assert distance < 1e-15 or (approximate and 1e-5 < distance < 1e-3)


def test_orders_of_polygamma() -> None:
    x = sf.placeholder(sf.float64, ("n",))
    orders = [sf.polygamma(order, x) for order in range(5)]
    at = np.array([0.5, 3.25])
    for order, found in enumerate(evaluate(orders, {x: at})):
        assert_allclose(found, [float(mpmath.polygamma(order, one)) for one in at], rtol=1e-14)
    with pytest.raises(sf.SymflowError, match=r"a whole number from 0, not -1"):
        sf.polygamma(-1, x)
    with pytest.raises(sf.SymflowError, match=r"a whole number from 0, not 0\.5"):
        sf.polygamma(0.5, x)


@pytest.mark.parametrize(
    ("maths", "reference"),
    [
        (lambda x: sp.gamma(x), lambda x: mpmath.gamma(x)),
        (lambda x: sp.Ei(x), lambda x: mpmath.ei(x)),
        (lambda x: sp.besselj(0, x), lambda x: mpmath.besselj(0, x)),
        (lambda x: sp.erfc(-x) + sp.loggamma(x), lambda x: mpmath.erfc(-x) + mpmath.loggamma(x)),
        (
            lambda x: sp.digamma(x) * sp.polygamma(2, x),
            lambda x: mpmath.psi(0, x) * mpmath.psi(2, x),
        ),
    ],
    ids=["gamma", "Ei", "Bessel", "erfc and loggamma", "polygamma"],
)
@pytest.mark.usefixtures("own_table")
def test_special_functions_of_sympy_in_operations_of_ones_own(maths: Any, reference: Any) -> None:
    function = sf.operation("own", maths, domain=((0.1, 4.0),))
    x = sf.placeholder(sf.float64, ("n",))
    y = function(x)
    at = [0.4, 1.3, 2.2]
    found, slope = evaluate([y, *sf.gradients(sf.reduce_sum(y), x)], {x: at})
    assert_allclose(found, [float(reference(one)) for one in at], rtol=1e-13)
    assert_allclose(slope, [float(mpmath.diff(reference, one)) for one in at], rtol=1e-12)


# --- modules ---------------------------------------------------------------------------------

MODEL = '''\
"""Uses every special function."""

import numpy as np

import symflow as sf

x = sf.placeholder(shape=("n",))
a = sf.Variable(np.array([0.25, 0.5, 0.75]))
wide = x[:, None] + a
special_cases = sf.erf(wide) + sf.erfc(wide) + sf.erfinv(a) + sf.ndtr(wide) + sf.ndtri(a)
gammas = sf.lgamma(wide) + sf.digamma(wide) + sf.polygamma(1, wide)
loss = sf.reduce_mean(sf.square(special_cases + gammas + sf.nn.gelu(wide, approximate=False)))

train_op = sf.train.GradientDescentOptimizer(0.001).minimize(loss)
'''


@pytest.fixture
def special(compiled: Callable[[str], ModuleType]) -> Path:
    return Path(str(compiled(MODEL).__file__))


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_a_module_needs_numpy_and_scipy(special: Path, dtype: str) -> None:
    """In a process of its own, which finds symflow's own packages used nowhere."""
    uses = USES.replace('- {"numpy"}', '- {"numpy", "scipy"}').replace(
        "before =", "import scipy.special; before ="
    )
    assert uses.count("scipy") == 2
    command = [sys.executable, "-I", "-W", "error", "-c", uses, special, dtype]
    run = subprocess.run(command, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr


def test_a_module_says_what_it_needs(special: Path) -> None:
    text = special.read_text()
    assert "It needs NumPy and SciPy." in text
    assert text.count("import special") == 1


@pytest.mark.parametrize("example", EXAMPLES)
def test_other_modules_import_numpy_only(example: str) -> None:
    text = (ROOT / "generated" / f"{example}.py").read_text()
    assert "It needs NumPy and nothing else." in text
    assert "scipy" not in text


def test_tools_have_nothing_to_say(special: Path) -> None:
    for tool in (["ruff", "check"], ["ruff", "format", "--check"], ["mypy", "--strict"]):
        command = [sys.executable, "-m", *tool, str(special)]
        run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
        assert run.returncode == 0, run.stdout + run.stderr


def test_without_scipy_there_is_a_hint(
    special: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Compiling works; running says what to install."""
    monkeypatch.setitem(sys.modules, "scipy", None)
    x = sf.placeholder(sf.float64, (2,))
    with pytest.raises(sf.SymflowError, match=r"\.py:\d+: special functions .*pip install scipy"):
        evaluate(sf.erf(x), {x: [1.0, 2.0]})
    with pytest.raises(sf.SymflowError, match=r"(No module named|halted)(.|\n)*hint: pip install"):
        check(special)
    assert evaluate(sf.tanh(x), {x: [0.0, 0.0]}).tolist() == [0.0, 0.0]


def test_symflow_does_not_wait_for_scipy() -> None:
    code = "import sys, symflow as sf; sf.Session; assert 'scipy' not in sys.modules"
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr


CHECKED = """
import numpy as np
import symflow as sf
a = sf.Variable(np.array([0.2, 0.4, 1.3]))
loss = sf.reduce_sum({loss})
"""


@pytest.mark.parametrize(
    ("loss", "method", "tolerance"),
    [
        ("sf.erf(a) * sf.erfc(a)", "complex step", 1e-12),
        ("sf.nn.gelu(a, approximate=False)", "complex step", 1e-12),
        ("sf.digamma(a)", "complex step", 1e-12),
        ("sf.lgamma(a)", "Richardson", 1e-8),
        ("sf.polygamma(1, a)", "Richardson", 1e-8),
        ("sf.erfinv(sf.tanh(a)) + sf.ndtri(sf.sigmoid(a))", "Richardson", 1e-8),
    ],
)
def test_the_checker(tmp_path: Path, loss: str, method: str, tolerance: float) -> None:
    (tmp_path / "model.py").write_text(CHECKED.format(loss=loss))
    (result,) = check(tmp_path / "model.py")
    assert result.method == method
    assert result.error < tolerance
