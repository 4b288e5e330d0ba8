"""What training does not change, and estimates of work."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import sympy as sp

import symflow as sf
from symflow.compiler import compile_program
from symflow.graph import Tensor
from symflow.invariants import data_only, dependent, nominal, work
from symflow.lowering import Request, needed
from symflow.naming import label_nodes
from symflow.polynomials import degree, slopes
from symflow.program import Program, slot
from symflow.rows import exp, where


def compiled(loss: Tensor, *by: Tensor) -> Program:
    labels = label_nodes(needed([loss, *by]), {})
    derivatives = {f"d_{labels[id(x)].name}": (loss, x) for x in by}
    return compile_program(loss.graph, Request({"loss": loss}, derivatives, labels, {}))


def named(program: Program, tensors: Any) -> list[str]:
    return [program[tensor].label.name for tensor in tensors]


@pytest.fixture
def x() -> Tensor:
    return sf.placeholder(shape=("n", 4), name="x")


@pytest.fixture
def w() -> Tensor:
    return sf.Variable(np.zeros((4, 2)), name="w")


def test_features_are_computed_once(x: Tensor, w: Tensor) -> None:
    features = sf.tanh(x, name="features")
    scores = sf.matmul(features, w, name="scores")
    program = compiled(sf.reduce_sum(sf.exp(scores)), w)
    assert named(program, data_only(program, ["w"])) == ["features"]


def test_only_what_the_loop_reads_is_kept(x: Tensor, w: Tensor) -> None:
    """The logarithm is a step on the way to the features; what the loop reads is what stays."""
    inner = sf.log(1 + sf.square(x), name="inner")
    features = sf.subtract(inner, sf.reduce_mean(inner, axis=0), name="features")
    program = compiled(sf.reduce_sum(sf.exp(sf.matmul(features, w))), w)
    assert named(program, data_only(program, ["w"])) == ["features"]


def test_renamed_axes_are_looked_through(x: Tensor, w: Tensor) -> None:
    features = sf.tanh(x, name="features")
    flat = sf.reshape(features, (-1, 2, 2), name="flat")
    program = compiled(sf.reduce_sum(sf.exp(sf.einsum("nij,ij->n", flat, w[:2]))), w)
    assert named(program, data_only(program, ["w"])) == ["features"]


def test_inputs_alone_are_nothing_to_compute(x: Tensor, w: Tensor) -> None:
    program = compiled(sf.reduce_sum(sf.exp(sf.matmul(x, w))), w)
    assert data_only(program, ["w"]) == ()


def test_what_depends_on_a_parameter_does_through_everything(x: Tensor, w: Tensor) -> None:
    program = compiled(sf.reduce_sum(sf.exp(sf.matmul(sf.tanh(x), w))), w)
    moving = dependent(program, ["w"])
    assert moving[program.outputs["loss"]]
    assert named(program, (at for at, one in enumerate(moving) if not one)) == ["x", "sum_tanh"]
    assert not any(dependent(program, ["v"]))


def test_another_parameter_is_data(x: Tensor, w: Tensor) -> None:
    v = sf.Variable(np.zeros((4, 4)), name="v")
    hidden = sf.tanh(sf.matmul(x, v), name="hidden")
    program = compiled(sf.reduce_sum(sf.exp(sf.matmul(hidden, w))), w)
    assert named(program, data_only(program, ["w"])) == ["hidden"]
    assert data_only(program, ["w", "v"]) == ()


def test_work_grows_with_the_data(x: Tensor, w: Tensor) -> None:
    program = compiled(sf.reduce_sum(sf.exp(sf.matmul(x, w))), w)
    total = work(program, range(len(program.definitions)))
    assert {str(size) for size in total.free_symbols} == {"n"}
    assert nominal(total, {"n": 2000}) == pytest.approx(2 * nominal(total, {"n": 1000}), rel=0.01)
    assert nominal(total) == nominal(total, {"n": 1000})
    assert work(program, program.inputs) == 0


# --- bodies as polynomials -------------------------------------------------------------------

a, b, c = slot(0), slot(1), slot(2)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (sp.Integer(3), 0),
        (exp(c), 0),
        (a * exp(c), 1),
        (a * b, 2),
        ((a - c) ** 2, 2),
        ((a + 1) ** 2 * b, 3),
        (a / c, 1),
        (where(c, a, b * 2), 1),
        (where(c, a * b, 0), 2),
        (c / a, None),
        (sp.sqrt(a), None),
        (exp(a), None),
        (where(a, b, 0), None),
    ],
)
def test_degrees(body: sp.Expr, expected: int | None) -> None:
    assert degree(body, {0: 1, 1: 1}) == expected


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (exp(c), {}),
        (a, {0: sp.Integer(1)}),
        (c * (a - 2 * b + c), {0: c, 1: -2 * c}),
        (a * c - a, {0: c - 1}),
        (where(c, 3 * a, b), {0: where(c, 3, 0), 1: where(c, 0, 1)}),
        (a * b, None),
        (a**2, None),
        (exp(a), None),
        (where(a, b, 0), None),
    ],
)
def test_slopes(body: sp.Expr, expected: dict[int, sp.Expr] | None) -> None:
    assert slopes(body, frozenset({0, 1})) == expected
