"""How much work the compiler does: what depends on a kind of operation is done once per kind."""

from __future__ import annotations

import cProfile
import pstats
import sys
from pathlib import Path

import pytest
from conftest import EXAMPLES, ROOT

from symflow import notation, printing, program, substitution
from symflow.elementwise import differentiated
from symflow.files import compilation, compile_files
from symflow.notation import _printed as formula_of
from symflow.notation import _with_operands
from symflow.printing import _printed as code_of
from symflow.printing import kernel_text
from symflow.program import Kernel
from symflow.text import PRODUCT, SUM, UNARY, Text

PERCEPTRON = """
import symflow as sf

x = sf.placeholder(shape=("n", 8))
_value = x
for _layer in range({layers}):
    _w = sf.Variable(sf.glorot_uniform((8, 8)), name=f"w{{_layer + 100}}")
    _b = sf.Variable(sf.zeros(8), name=f"b{{_layer + 100}}")
    _value = sf.tanh(_value @ _w + _b, name=f"hidden{{_layer + 100}}")
loss = sf.reduce_mean(sf.square(_value))
sf.GradientDescentOptimizer(0.1).minimize(loss)
"""

UNNAMED = """
import symflow as sf

x = sf.placeholder(shape=("n",))
a = sf.Variable(1.0)
_value = x
for _step in range({steps}):
    _value = sf.tanh(a * _value) + x
loss = sf.reduce_mean(_value)
sf.GradientDescentOptimizer(0.1).minimize(loss)
"""

ONCE_PER_KIND = {
    "derivatives": differentiated,
    "canonical forms": program._canonical,
    "types": program._inferred,
    "kernels written into others": substitution._joined,
    "NumPy expressions": printing._template,
    "formulas": notation._template,
    "formulas with names": notation._printed,
}


def compiled(folder: Path, text: str, **sizes: int) -> None:
    model = folder / "model.py"
    model.write_text(text.format(**sizes))
    compile_files(model, folder, {}, None)


def work(folder: Path, layers: int) -> dict[str, int]:
    """How often each kind of work is done for a perceptron."""
    for function in ONCE_PER_KIND.values():
        function.cache_clear()
    compiled(folder, PERCEPTRON, layers=layers)
    return {name: one.cache_info().misses for name, one in ONCE_PER_KIND.items()}


def calls(folder: Path, text: str, **sizes: int) -> int:
    """The calls of functions that compiling takes."""
    profile = cProfile.Profile()
    profile.enable()
    try:
        compiled(folder, text, **sizes)
    finally:
        profile.disable()
    return int(pstats.Stats(profile).total_calls)


def test_more_layers_of_one_kind_bring_nothing_new(tmp_path: Path) -> None:
    assert work(tmp_path, 36) == work(tmp_path, 12)  # of few, a factor is multiplied elsewhere


@pytest.mark.parametrize(
    ("text", "size"), [(PERCEPTRON, "layers"), (UNNAMED, "steps")], ids=["named", "unnamed"]
)
def test_calls_grow_no_faster_than_the_graph(tmp_path: Path, text: str, size: str) -> None:
    compiled(tmp_path, text, **{size: 60})  # what is done once is done
    few, some, many = (calls(tmp_path, text, **{size: count}) for count in (15, 30, 60))
    assert many - some <= 2.2 * (some - few)  # sums of many terms are taken apart in rounds


def test_a_graph_may_be_deeper_than_the_stack(tmp_path: Path) -> None:
    compiled(tmp_path, UNNAMED, steps=sys.getrecursionlimit() // 2)


CODE = [
    Text("x"),
    Text("p.w"),
    Text("-y", UNARY),
    Text("a + b", SUM),
    Text("-2.0 * c", PRODUCT),
    Text("np.exp(z)"),
]
FORMULAS = [
    "x[i, j]",
    "b[j]",
    "p",
    "x[j, i]",
    "max_2[i]",
    "maximum[i]",
    "-y[i]",
    "a[i] - b[i]",
    "exp(u[i, k])",
    "Σ_k x[i, k]·w[k, j]",
    "c[i] / d",
    "x[i, j]",
]


@pytest.mark.parametrize("example", EXAMPLES)
def test_what_is_printed_once_is_what_would_be_printed_every_time(example: str) -> None:
    definitions = compilation(ROOT / "examples" / f"{example}.py", {}).program().definitions
    kernels = [one.value for one in definitions if isinstance(one.value, Kernel)]
    for value in dict.fromkeys(kernels):
        for turn in range(len(CODE)):
            code = {one: CODE[(at + turn) % len(CODE)] for at, one in enumerate(value.operands)}
            assert kernel_text(value, code.__getitem__) == code_of(
                value, code.__getitem__, whole=False
            )
        count = len(value.accesses)
        for turn in range(len(FORMULAS)):
            texts = [FORMULAS[(5 * at + turn) % len(FORMULAS)] for at in range(count)]
            assert _with_operands(value.body, texts, True) == formula_of(
                value.body, tuple(texts), True
            )
