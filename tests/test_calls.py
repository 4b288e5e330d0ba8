"""Statements taken apart into calls that write in place, and the places they write to."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import sympy as sp
from conftest import EXAMPLES, ROOT
from styles import difference, evaluated, module, styles

from symflow.alphabets import plain
from symflow.calls import Call
from symflow.grouping import Calls
from symflow.program import Type
from symflow.statements import Statement
from symflow.storage import Group, Stored, stored

HEAD = "import symflow as sf\n"
N, D, K = (sp.Symbol(name, integer=True, positive=True) for name in "ndk")
KNOWN = {
    "x": Type((N, D)),
    "y": Type((N, D)),
    "w": Type((D, K)),
    "v": Type((D,)),
    "s": Type(()),
    "b": Type((N, D), "bool"),
    "i": Type((N,), "int"),
}


def taken_apart(expression: str, type_: Type) -> list[Call]:
    taken = set(KNOWN)

    def fresh(name: str) -> str:
        while name in taken:
            name += "_2"
        taken.add(name)
        return name

    statement = Statement("z", expression, "", False, "# model.py:1")
    return Calls(KNOWN, fresh).group(statement, type_)


def lines(expressions: dict[str, tuple[str, Type]], results: Sequence[str]) -> Stored:
    """Statements as lines with places."""
    taken = {*KNOWN, *expressions}

    def fresh(name: str) -> str:
        while name in taken:
            name += "_2"
        taken.add(name)
        return name

    calls = Calls(KNOWN, fresh)
    groups = []
    for name, (expression, type_) in expressions.items():
        statement = Statement(name, expression, "", False, "# model.py:1")
        groups.append(Group(statement, tuple(calls.group(statement, type_))))
    scalars = {name: not type_.shape for name, (_, type_) in expressions.items()}
    return stored(groups, results, scalars, {})


def source(found: Stored) -> list[str]:
    return [line for group in found.lines for line in group if not line.startswith("#")]


MATRIX = Type((N, D))


# --- calls ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("expression", "type_", "functions"),
    [
        ("x + y", MATRIX, ["np.add"]),
        ("x @ w + s", Type((N, K)), ["x.dot", "np.add"]),
        ("np.exp(-x) * y", MATRIX, ["np.negative", "np.exp", "np.multiply"]),
        ("np.maximum(x, 0.0)", MATRIX, ["np.maximum"]),
        ("x.T @ y", Type((D, D)), ["x.T.dot"]),
        ("np.sum(x, axis=1)", Type((N,)), ["x.dot"]),
        ("np.sum(x, axis=0)", Type((D,)), ["work.ones_n.dot"]),
        ("np.max(x, axis=1, keepdims=True)", Type((N, sp.Integer(1))), ["np.maximum.reduce"]),
        ("np.where(b, x, np.exp(y))", MATRIX, ["np.exp", "np.copyto"]),
        ("x > y", Type((N, D), "bool"), ["np.greater"]),
        ("(x > y).astype(dtype)", MATRIX, ["np.greater"]),
        ('np.einsum("ij,kj->ik", x, y)', Type((N, N)), ["np.einsum"]),
        # what stays as it is
        ("np.where(b, x, y)", MATRIX, ["np.where(b, x, y)"]),
        ("x[:, ::2]", Type((N, D / 2)), ["x[:, ::2]"]),
        ("np.sum(x)", Type(()), ["np.add.reduce(x, axis=None)"]),
        ("b + b", Type((N, D), "int"), ["b + b"]),
    ],
)
def test_an_expression_is_taken_apart(expression: str, type_: Type, functions: list[str]) -> None:
    assert [plain(one.function) for one in taken_apart(expression, type_)] == functions


@pytest.mark.parametrize(
    ("expression", "aligned"),
    [
        ("x + y", ("x", "y")),
        ("x + v", ("x",)),  # the row is broadcast
        ("x * s", ("x",)),
        ("x > y", ()),  # of another type
        ("x + y.T.T", ("x",)),
    ],
)
def test_what_a_result_may_be_written_over(expression: str, aligned: tuple[str, ...]) -> None:
    type_ = Type((N, D), "bool") if ">" in expression else MATRIX
    (*_, last) = taken_apart(expression, type_)
    assert last.aligned == aligned


# --- places --------------------------------------------------------------------------------------


def test_a_result_is_written_over_an_operand_that_is_not_needed_again() -> None:
    found = lines({"a": ("np.exp(x)", MATRIX), "c": ("a * y", MATRIX)}, ["c"])
    assert source(found) == ["a = np.exp(x, work.a)", "c = np.multiply(a, y, a)"]
    assert [one.name for one in found.buffers] == ["a"]


def test_an_operand_that_is_needed_again_is_kept() -> None:
    found = lines(
        {"a": ("np.exp(x)", MATRIX), "c": ("a * y", MATRIX), "d": ("a + c", MATRIX)}, ["d"]
    )
    assert source(found)[1:] == ["c = np.multiply(a, y, work.c)", "d = np.add(a, c, a)"]


def test_a_result_is_an_operand_that_is_needed_again() -> None:
    found = lines({"a": ("np.exp(x)", MATRIX), "c": ("a * y", MATRIX)}, ["a", "c"])
    assert source(found)[1:] == ["c = np.multiply(a, y, work.c)"]


def test_what_is_given_is_never_written_to() -> None:
    found = lines({"a": ("x + y", MATRIX)}, ["a"])
    assert source(found) == ["a = np.add(x, y, work.a)"]


def test_no_product_is_written_over_an_operand() -> None:
    square = Type((N, N))
    found = lines({"a": ("x @ y.T", square), "c": ("a @ a", square)}, ["c"])
    assert source(found)[1:] == ["c = a.dot(a, work.c)"]


def test_a_result_of_another_type_has_another_place() -> None:
    found = lines(
        {"a": ("np.exp(x)", MATRIX), "c": ("a > y", Type((N, D), "bool"))},
        ["c"],
    )
    assert source(found)[1:] == ["c = np.greater(a, y, work.c)"]
    assert [one.type.dtype for one in found.buffers] == ["float", "bool"]


def test_an_operand_may_be_seen_another_way_at_the_same_time(tmp_path: Path) -> None:
    """NumPy sees that the two overlap."""
    path = tmp_path / "model.py"
    path.write_text(
        HEAD + "w = sf.Variable(sf.random_normal((5, 5), seed=1))\na = sf.exp(w)\n"
        "c = a + sf.transpose(a)\ne = sf.where(w > 0, sf.transpose(sf.sin(c)), sf.sin(c))\n"
        "loss = sf.reduce_sum(sf.tanh(e) * w)\n"
    )
    both = styles(path, "float64")
    p = both.plain.initial_parameters()
    assert difference(evaluated(both.fast, p, {}), evaluated(both.plain, p, {})) is None


@pytest.mark.parametrize(
    ("view", "type_"),
    [
        ("a.T", Type((D, N))),
        ("a[:, None]", Type((N, sp.Integer(1), D))),
        ("np.reshape(a, (d, n))", Type((D, N))),
        ("np.broadcast_to(a, (k, n, d))", Type((K, N, D))),
    ],
)
def test_a_view_keeps_its_base(view: str, type_: Type) -> None:
    """The buffer is not free as long as something looks at it."""
    found = lines(
        {
            "a": ("np.exp(x)", MATRIX),
            "view": (view, type_),
            "c": ("np.exp(y)", MATRIX),
            "e": ("np.exp(view)", type_),
        },
        ["c", "e"],
    )
    assert "c = np.exp(y, work.c)" in source(found)


def test_a_view_of_a_view_keeps_its_base() -> None:
    found = lines(
        {
            "a": ("np.exp(x)", MATRIX),
            "view": ("a.T", Type((D, N))),
            "other": ("view.T", MATRIX),
            "c": ("np.exp(y)", MATRIX),
        },
        ["c", "other"],
    )
    assert source(found)[-1] == "c = np.exp(y, work.c)"


def test_a_single_entry_may_be_a_view() -> None:
    """`np.reshape(a, ())` is an array of no axes, which looks at the buffer of `a`."""
    one = Type((sp.Integer(1),))
    known = {"a": ("np.max(v, axis=0, keepdims=True)", one)}
    last = {"c": ("np.sum(v, axis=0, keepdims=True)", one)}
    view = {"entry": ("np.reshape(a, ())", Type(())), "same": ("entry", Type(()))}
    found = lines(known | view | last, ["same", "c"])
    assert {one.name for one in found.buffers} == {"a", "c"}
    number = {"entry": ("a[0]", Type(())), "same": ("entry", Type(()))}
    found = lines(known | number | last, ["same", "c"])
    assert {one.name for one in found.buffers} == {"a"}


def test_a_single_entry_that_is_a_view_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "model.py"
    path.write_text(
        HEAD + "w = sf.Variable([-0.5, -0.25, 1.0])\n"
        "largest = sf.reshape(sf.reduce_max(w, axis=0, keepdims=True), ())\n"
        "loss = sf.sin(largest) * largest + largest\n"
    )
    both = styles(path, "float64")
    p = both.plain.initial_parameters()
    assert difference(evaluated(both.fast, p, {}), evaluated(both.plain, p, {})) is None


# --- workspaces ----------------------------------------------------------------------------------


def buffers(made: Any) -> list[str]:
    """The arrays of the workspace that something is to be written to."""
    found: list[str] = re.findall(r"self\.(\w+): Array = np\.empty", made.SOURCE)
    return found


@pytest.mark.parametrize("steps", [10, 50])
def test_a_long_chain_takes_few_buffers(tmp_path: Path, steps: int) -> None:
    path = tmp_path / "model.py"
    path.write_text(
        HEAD
        + "x = sf.placeholder(shape=('n', 3))\nw = sf.Variable(sf.ones(3))\ny = x * w\n"
        + "y = y * 1.5 + sf.abs(x)\n" * steps
        + "loss = sf.reduce_sum(y)\n"
    )
    assert len(buffers(module(path, "fast"))) <= 4


@pytest.mark.parametrize("example", EXAMPLES)
def test_every_buffer_is_written_to(example: str) -> None:
    made = module(ROOT / "examples" / f"{example}.py", "fast")
    functions = made.SOURCE.partition("class _Workspace")[2]
    for name in buffers(made):
        assert re.search(rf"\bwork\.{name}\b", functions), name


@pytest.mark.parametrize("example", EXAMPLES)
def test_a_workspace_is_all_that_is_written_to(example: str) -> None:
    """No call of the block or behind it has a place that is an input or a parameter."""
    made = module(ROOT / "examples" / f"{example}.py", "fast")
    functions = {one.name: one for one in ast.walk(ast.parse(made.SOURCE)) if _is_function(one)}
    for name in ("_block", "_evaluate"):
        if name not in functions:
            continue
        given = {one.arg for one in functions[name].args.args}
        for call in ast.walk(functions[name]):
            if isinstance(call, ast.Call) and (place := _place(call)) is not None:
                base = ast.unparse(place).split(".")[0].split("[")[0]
                assert base not in given - {"work"}, ast.unparse(call)


def _is_function(node: ast.AST) -> bool:
    return isinstance(node, ast.FunctionDef)


def _place(call: ast.Call) -> ast.expr | None:
    for keyword in call.keywords:
        if keyword.arg == "out":
            return keyword.value
    name = ast.unparse(call.func)
    if name.endswith(".dot") and len(call.args) == 2:
        return call.args[1]
    ufunc = getattr(np, name.removeprefix("np."), None)
    if isinstance(ufunc, np.ufunc) and len(call.args) > ufunc.nin:
        return call.args[-1]
    return None


@pytest.mark.parametrize("key", ["-4:", ":7", "-9:9", "-4:2", "1:8"])
def test_ends_beyond_an_axis_are_at_its_end(key: str, compiled: Callable[..., ModuleType]) -> None:
    """A buffer of four entries was made for x[-4:] of three."""
    text = (
        "import numpy as np\nimport symflow as sf\nw = sf.Variable(np.array([0.5, 1.5, 2.5]))\n"
        f"z = sf.tanh(sf.sin(w)[{key}])\nloss = sf.reduce_sum(sf.square(z))\n"
        "train_op = sf.train.GradientDescentOptimizer(0.1).minimize(loss)\n"
    )
    module = compiled(text)
    p = module.initial_parameters()
    w = np.array([0.5, 1.5, 2.5])
    part = eval(f"np.tanh(np.sin(w)[{key}])", {"np": np, "w": w})
    np.testing.assert_allclose(module.loss(p), np.sum(part**2), rtol=1e-15)
    np.testing.assert_allclose(module.z(p), part, rtol=1e-15)
