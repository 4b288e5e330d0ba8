"""How much work the compiler does: what depends on a kind of operation is done once per kind."""

from __future__ import annotations

import cProfile
import gc
import pstats
import sys
from pathlib import Path
from typing import Any

import pytest
from conftest import EXAMPLES, ROOT

from symflow import (
    grouping,
    notation,
    printing,
    program,
    rules,
    scaling,
    schedule,
    stabilisation,
    substitution,
)
from symflow.arithmetic import undistributed
from symflow.bodies import Kinds
from symflow.elementwise import differentiated
from symflow.errors import SymflowError
from symflow.files import compilation, compile_files
from symflow.notation import _printed as formula_of
from symflow.notation import _with_operands
from symflow.printing import _printed as code_of
from symflow.printing import kernel_text
from symflow.program import Builder, Kernel
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

GATED = """
import symflow as sf

x = sf.placeholder(shape=("n", 16))
_value = x
for _block in range({blocks}):
    _w = sf.Variable(sf.glorot_uniform((16, 16)), name=f"w{{_block}}")
    _g = sf.Variable(sf.ones(16), name=f"g{{_block}}")
    _hidden = sf.tanh(_value @ _w)
    _gate = sf.sigmoid(_hidden * _g)
    _value = sf.sin(0.9 * (_hidden + _gate * (_value - _hidden)))
loss = sf.reduce_mean(sf.square(_value))
sf.GradientDescentOptimizer(0.1).minimize(loss)
"""

LONG_SUM = """
import symflow as sf

x = sf.placeholder(shape=("n",))
a = sf.Variable(1.0)
loss = sf.reduce_mean(sum(sf.sin(_k * a * x) for _k in range(2, {terms} + 2)))
sf.GradientDescentOptimizer(0.1).minimize(loss)
"""

HIDDEN = """
import symflow as sf

x = sf.placeholder(shape=("n",))
a = sf.placeholder(shape=())
_value = sf.exp(x)
for _step in range(20):
    _value = sf.tanh(a * _value) + x
result = _value
"""

ONCE_PER_KIND = {
    "derivatives": differentiated,
    "canonical forms": program._canonical,
    "types": program._inferred,
    "kernels written into others": substitution._joined,
    "NumPy expressions": printing._template,
    "formulas": notation._template,
    "formulas with names": notation._printed,
    "statements taken apart": grouping._of_form,
    "rules looked for": rules.may_apply,
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
    ("text", "size"),
    [(PERCEPTRON, "layers"), (UNNAMED, "steps"), (GATED, "blocks")],
    ids=["named", "unnamed", "gated"],
)
def test_calls_grow_no_faster_than_the_graph(tmp_path: Path, text: str, size: str) -> None:
    compiled(tmp_path, text, **{size: 60})  # what is done once is done
    few, some, many = (calls(tmp_path, text, **{size: count}) for count in (15, 30, 60))
    assert many - some <= 2.2 * (some - few)


@pytest.mark.parametrize(
    ("text", "size", "count"),
    [(GATED, "blocks", 15), (GATED, "blocks", 120), (LONG_SUM, "terms", 60)],
    ids=["short", "long", "sum"],
)
def test_long_statements_are_taken_apart_in_one_round(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, size: str, count: int
) -> None:
    programs: list[int] = []
    made = schedule._Split

    def counted(*parts: Any) -> Any:
        programs.append(len(parts[0].definitions))
        return made(*parts)

    monkeypatch.setattr(schedule, "_Split", counted)
    compiled(tmp_path, text, **{size: count})
    assert len(programs) <= 5  # the loss and gradients, and the formulas of the summary


def test_a_kernel_is_not_widened_where_no_rule_may_apply(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    widened: list[Kernel] = []
    read_through = stabilisation.read_through

    def noted(builder: Builder, value: Kernel, depth: int, parted: bool = True) -> Kernel:
        widened.append(value)
        return read_through(builder, value, depth, parted)

    monkeypatch.setattr(stabilisation, "read_through", noted)
    compiled(tmp_path, HIDDEN)  # but in the first step, the exponential stands within a tanh
    assert len(widened) < 10
    compiled(tmp_path, HIDDEN.replace("sf.tanh(a * _value) + x", "a * _value + x"))
    assert len(widened) > 20


def test_the_garbage_collector_is_left_as_it_was(tmp_path: Path) -> None:
    compiled(tmp_path, UNNAMED, steps=1)
    assert gc.isenabled()
    with pytest.raises(SymflowError):
        compiled(tmp_path, "x = 1")
    assert gc.isenabled()
    gc.disable()
    try:
        compiled(tmp_path, UNNAMED, steps=1)
        assert not gc.isenabled()
    finally:
        gc.enable()


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
@undistributed
def test_what_is_printed_once_is_what_would_be_printed_every_time(example: str) -> None:
    program = compilation(ROOT / "examples" / f"{example}.py", {}).program()
    kernels = {
        one.value: Kinds.of(one.type, [program[operand].type for operand in one.value.operands])
        for one in program.definitions
        if isinstance(one.value, Kernel)
    }
    for value, kinds in kernels.items():
        for turn in range(len(CODE)):
            code = {one: CODE[(at + turn) % len(CODE)] for at, one in enumerate(value.operands)}
            assert kernel_text(value, code.__getitem__, kinds) == code_of(
                value, code.__getitem__, kinds
            )
        count = len(value.accesses)
        for turn in range(len(FORMULAS)):
            texts = [FORMULAS[(5 * at + turn) % len(FORMULAS)] for at in range(count)]
            assert _with_operands(value.body, texts, True) == formula_of(
                value.body, tuple(texts), True
            )


def test_the_place_of_the_rate_is_looked_for_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All of the gradient comes through each of many tensors: the smallest is tried, not all."""
    tried: list[int] = []
    scales = scaling._scales

    def counted(whole: program.Program, tensor: int) -> bool:
        tried.append(tensor)
        return scales(whole, tensor)

    monkeypatch.setattr(scaling, "_scales", counted)
    path = tmp_path / "model.py"
    path.write_text(
        "import symflow as sf\nx = sf.placeholder(shape=('n', 1024))\n"
        "w = sf.Variable(sf.ones((1024, 16)))\n_value = x @ w\nfor _ in range(50):\n"
        "    _value = sf.sin(sf.reduce_mean(_value, axis=1, keepdims=True) + 0.5 * _value)\n"
        "loss = sf.reduce_mean(_value)\nsf.GradientDescentOptimizer(0.1).minimize(loss)\n"
    )
    run = compilation(path, {})
    assert run.step(run.program(), [run.name(one) for one in run.trainable]) is not None
    assert len(tried) == 1
