"""Losses that are quadratic in the parameters, from moments that are computed once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose
from numpy.typing import NDArray
from reference import precision_within

import symflow as sf
from symflow.compiler import compile_stages
from symflow.graph import Tensor
from symflow.lowering import Request, needed
from symflow.memory import executable, session_source
from symflow.moments import RECENTRE, Quadratic, expanded, quadratic
from symflow.naming import label_nodes
from symflow.program import Input, Program

Array = NDArray[Any]
Values = dict[str, Any]


def stages(loss: Tensor, *by: Tensor) -> dict[str, Program]:
    """The program of a loss and its gradients after every stage."""
    labels = label_nodes(needed([loss, *by]), {})
    derivatives = {f"d_{labels[id(x)].name}": (loss, x) for x in by}
    return dict(compile_stages(loss.graph, Request({"loss": loss}, derivatives, labels, {})))


def form(loss: Tensor, *by: Tensor) -> Quadratic | None:
    program = stages(loss, *by)["differentiate"]
    return quadratic(program, [one.name or "" for one in by])


def function(program: Program, dtype: str = "float64") -> Callable[[Mapping[str, Any]], Values]:
    """A program as a function from its inputs to its outputs, by name."""
    inputs = [one.value for one in program.definitions if isinstance(one.value, Input)]
    given = [one.name for one in inputs if one.kind == "placeholder"]
    variables = [one.name for one in inputs if one.kind == "variable"]
    text, constants = session_source(program, given, variables, dtype)
    run = executable(text, constants, "<test>")

    def call(values: Mapping[str, Any]) -> Values:
        p = SimpleNamespace(**{name: values[name] for name in variables})
        results = run(p, *(values[name] for name in given))
        return dict(zip(program.outputs, results, strict=True))

    return call


def source(program: Program) -> str:
    """The lines that compute a program's outputs."""
    inputs = [one.value for one in program.definitions if isinstance(one.value, Input)]
    given = [one.name for one in inputs if one.kind == "placeholder"]
    variables = [one.name for one in inputs if one.kind == "variable"]
    return session_source(program, given, variables, "float64")[0]


def returned(program: Program) -> dict[str, str]:
    """The expression of every output, where each is written in one line."""
    lines = source(program).split("return (\n")[1].splitlines()
    return {name: line.strip(" ,") for name, line in zip(program.outputs, lines, strict=False)}


class Descent:
    """Gradient descent, every step from the data or from moments."""

    def __init__(self, loss: Tensor, *by: Tensor, dtype: str = "float64") -> None:
        programs = stages(loss, *by)
        self.program = programs["simplify"]
        self.names = [one.name or "" for one in by]
        found = expanded(programs["differentiate"], self.names)
        assert found is not None
        self.form = found
        self.dtype = dtype
        self.ordinary = function(self.program, dtype)
        self.moments = function(found.moments, dtype)
        self.step = function(found.step, dtype)

    def from_data(self, data: Values, start: Values, rate: float, steps: int) -> list[Any]:
        p, losses = dict(start), []
        for _ in range(steps):
            results = self.ordinary(data | p)
            losses.append(float(results["loss"]))
            p = {name: p[name] - rate * results[f"d_{name}"] for name in self.names}
        return losses

    def from_moments(self, data: Values, start: Values, rate: float, steps: int) -> list[Any]:
        """The losses; θ₀ moves as soon as the loss has fallen by `RECENTRE`."""
        moments = self.moments(data)
        centre, losses = dict(start), []
        at_centre = self.ordinary(data | centre)
        change = {name: np.zeros_like(value) for name, value in centre.items()}
        given = {self.form.start[name]: value for name, value in at_centre.items()}
        for _ in range(steps):
            results = self.step(moments | change | given)
            if results["loss"] < RECENTRE[self.dtype] * at_centre["loss"]:
                centre = {name: value + change[name] for name, value in centre.items()}
                results = at_centre = self.ordinary(data | centre)
                change = {name: np.zeros_like(value) for name, value in centre.items()}
                given = {self.form.start[name]: value for name, value in at_centre.items()}
            losses.append(float(results["loss"]))
            change = {
                name: np.asarray(value - rate * results[f"d_{name}"], self.dtype)
                for name, value in change.items()
            }
        return losses


# --- what is found ---------------------------------------------------------------------------


def placeholder(name: str, *shape: int | str) -> Tensor:
    return sf.placeholder(shape=shape, name=name)


def variable(name: str, *shape: int) -> Tensor:
    return sf.Variable(np.zeros(shape), name=name)


def squared(difference: Tensor) -> Tensor:
    return sf.reduce_sum(sf.square(difference))


def article() -> tuple[Tensor, ...]:
    x, y = placeholder("x", "n"), placeholder("y", "n")
    w, b = variable("w", 1, 1), variable("b")
    return squared(x * w + b - y), w, b


def several_outputs() -> tuple[Tensor, ...]:
    x, y = placeholder("x", "n", 8), placeholder("y", "n", 3)
    w, b = variable("w", 8, 3), variable("b", 3)
    return sf.reduce_mean(sf.square(sf.matmul(x, w) + b - y)), w, b


def weighted() -> tuple[Tensor, ...]:
    x, y, s = placeholder("x", "n", 4), placeholder("y", "n", 1), placeholder("s", "n", 1)
    w = variable("w", 4, 1)
    return sf.reduce_sum(s * sf.square(sf.matmul(x, w) - y)), w


def weighted_by_output() -> tuple[Tensor, ...]:
    x, y, s = placeholder("x", "n", 4), placeholder("y", "n", 2), placeholder("s", "n", 2)
    w, b = variable("w", 4, 2), variable("b", 2)
    return sf.reduce_mean(s * sf.square(sf.matmul(x, w) + b - y)), w, b


def penalised() -> tuple[Tensor, ...]:
    x, y, decay = placeholder("x", "n", 4), placeholder("y", "n", 2), placeholder("decay", 4, 1)
    w, b = variable("w", 4, 2), variable("b", 2)
    loss = sf.reduce_mean(sf.square(sf.matmul(x, w) + b - y))
    return loss + 0.1 * squared(w) + sf.reduce_sum(decay * sf.square(w)) + squared(b - 1), w, b


def features() -> tuple[Tensor, ...]:
    x, y = placeholder("x", "n"), placeholder("y", "n")
    a, b, c, d = (variable(name) for name in "abcd")
    return sf.reduce_mean(sf.square(a + b * x + c * x**2 + d * sf.exp(-x) - y)), a, b, c, d


def two_losses() -> tuple[Tensor, ...]:
    x, y = placeholder("x", "n", 3), placeholder("y", "n", 1)
    z, u = placeholder("z", "m", 3), placeholder("u", "m", 1)
    w = variable("w", 3, 1)
    return squared(sf.matmul(x, w) - y) + squared(sf.matmul(z, w) - u), w


def two_inputs() -> tuple[Tensor, ...]:
    x, z, y = placeholder("x", "n", 3), placeholder("z", "n", 2), placeholder("y", "n", 1)
    w, v = variable("w", 3, 1), variable("v", 2, 1)
    return squared(sf.matmul(x, w) + sf.matmul(z, v) - y), w, v


def shapes_changed() -> tuple[Tensor, ...]:
    x, y = placeholder("x", "n", 6), placeholder("y", "n")
    w, v = variable("w", 2, 3), variable("v", 4, 1)
    flat = sf.concat([sf.reshape(w, (6, 1)), v], axis=0)
    both = sf.concat([flat[:3], flat[7:]], axis=0)
    return squared(sf.reshape(sf.matmul(x, both), (-1,)) - y) + squared(v), w, v


def transposed() -> tuple[Tensor, ...]:
    x, y = placeholder("x", 5, "n"), placeholder("y", "n")
    w = variable("w", 5)
    rows = sf.transpose(x, name="rows")
    return squared(sf.einsum("nd,d->n", rows, w) - y) + squared(sf.einsum("dn,d->n", x, w)), w


def centred() -> tuple[Tensor, ...]:
    x, y = placeholder("x", "n", 4), placeholder("y", "n", 2)
    w = variable("w", 4, 2)
    z = sf.matmul(x, w)
    return squared(z - sf.reduce_mean(z, axis=0) - y) + squared(sf.reduce_mean(z, axis=1)), w


def standardised() -> tuple[Tensor, ...]:
    x, y = placeholder("x", "n", 4), placeholder("y", "n", 1)
    w = variable("w", 4, 1)
    rows = x - sf.reduce_mean(x, axis=0)
    return squared(sf.matmul(rows, w) - y), w


def masked() -> tuple[Tensor, ...]:
    x, y = placeholder("x", "n", 4), placeholder("y", "n", 2)
    w = variable("w", 4, 2)
    return squared(sf.where(y > 0, sf.matmul(x, w) - y, 0.5 * sf.matmul(x, w))), w


def with_missing_labels() -> tuple[Tensor, ...]:
    x, y = placeholder("x", "n", 4), placeholder("y", "n", 2)
    known = sf.placeholder("bool", shape=("n", 2), name="known")
    w, b = variable("w", 4, 2), variable("b", 2)
    return squared(sf.where(known, sf.matmul(x, w) + b - y, 0.0)), w, b


def whole_numbers() -> tuple[Tensor, ...]:
    x = sf.placeholder("int32", shape=("n", 4), name="x")
    w = variable("w", 4)
    return sf.reduce_mean(sf.square(sf.reduce_sum(sf.to_float(x) * w, axis=1) - 1)), w


def products_of_parameters() -> tuple[Tensor, ...]:
    x, y = placeholder("x", "n", 3), placeholder("y", "n")
    w, v = variable("w", 3), variable("v", 3)
    return (
        sf.reduce_sum(w * v)
        + sf.reduce_mean(sf.reduce_sum(x * w, axis=1) * (y + sf.reduce_sum(x * v, axis=1))),
        w,
        v,
    )


def windows() -> tuple[Tensor, ...]:
    x, y = placeholder("x", "n", 12, 1), placeholder("y", "n", 10, 2)
    w = variable("w", 3, 1, 2)
    return squared(sf.nn.conv1d(x, w, 1, "VALID") - y), w


QUADRATIC = [
    article,
    several_outputs,
    weighted,
    weighted_by_output,
    penalised,
    features,
    two_losses,
    two_inputs,
    shapes_changed,
    transposed,
    centred,
    standardised,
    masked,
    with_missing_labels,
    whole_numbers,
    products_of_parameters,
    windows,
]


def drawn(program: Program, rng: np.random.Generator, dtype: str = "float64") -> Values:
    """Values for all inputs of a program; open sizes are 40 and 30."""
    sizes = {"n": 40, "m": 30}
    found: Values = {}
    for one in program.definitions:
        if isinstance(one.value, Input):
            shape = [sizes.get(str(size), 0) or int(size) for size in one.type.shape]
            kind = {"bool": "bool", "int": "int64", "float": dtype}[one.type.dtype]
            found[one.value.name] = np.asarray(np.round(rng.normal(size=shape), 3), kind)
            if kind == "bool":
                found[one.value.name] = rng.random(shape) < 0.5
    return found


def assert_same(descent: Descent, program: Program, rng: np.random.Generator) -> None:
    """A step of any length gives the loss and the gradients that the data give."""
    given = drawn(program, rng, descent.dtype)
    before = descent.ordinary(given)
    change = {
        name: rng.normal(size=given[name].shape).astype(descent.dtype) for name in descent.names
    }
    expected = descent.ordinary(given | {name: given[name] + change[name] for name in change})
    start = {descent.form.start[name]: value for name, value in before.items()}
    results = descent.step(descent.moments(given) | start | change)
    assert results.keys() == expected.keys()
    tolerance = 1e-10 if descent.dtype == "float64" else 2e-3
    for name, value in expected.items():
        scale = 1 + float(np.max(np.abs(value)))
        assert_allclose(results[name], value, rtol=0, atol=tolerance * scale)
        assert np.shape(results[name]) == np.shape(value)
        assert precision_within(results[name], descent.dtype) == descent.dtype


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("model", QUADRATIC, ids=lambda model: model.__name__)
def test_loss_and_gradients_are_those_from_the_data(model: Callable[[], Any], dtype: str) -> None:
    descent = Descent(*model(), dtype=dtype)
    assert_same(descent, descent.program, np.random.default_rng(0))


@pytest.mark.parametrize("model", QUADRATIC, ids=lambda model: model.__name__)
def test_moments_pay(model: Callable[[], Any]) -> None:
    found = form(*model())
    assert found is not None
    assert 0 < found.break_even() < 5
    assert not any(
        isinstance(one.value, Input) and one.value.kind == "variable"
        for one in found.moments.definitions
    )


def test_a_view_of_nothing_adds_nothing() -> None:
    x, w = placeholder("x", "n", 4), variable("w", 4, 1)
    gone = sf.concat([sf.reshape(w - w, (2, 2)), placeholder("z", 1, 2)], axis=0)
    loss = squared(sf.matmul(x, w)) + sf.reduce_sum(gone * placeholder("y", 3, 2))
    descent = Descent(loss, w)
    assert_same(descent, descent.program, np.random.default_rng(0))


# --- what it looks like ----------------------------------------------------------------------


def test_the_article_needs_three_numbers() -> None:
    found = form(*article())
    assert found is not None
    assert returned(found.moments) == {
        "moment_x_total": "2.0 * np.sum(x)",
        "moment_x_x": "2.0 * (x @ x)",
        "moment_count": "2.0 * n",
    }
    assert "d_w = p.w * moment_x_x + p.b * moment_x_total + start_d_w" in source(found.step)
    assert found.start == {"loss": "start_loss", "d_w": "start_d_w", "d_b": "start_d_b"}
    assert found.break_even({"n": 100}) < 1
    assert found.break_even({"n": 1}) == float("inf")


def test_several_outputs_share_one_matrix() -> None:
    found = form(*several_outputs())
    assert found is not None
    shapes = {name: found.moments[at].type.shape for name, at in found.moments.outputs.items()}
    assert shapes == {"moment_x_total": (8,), "moment_x_x": (8, 8)}
    assert "(x.T @ x)" in source(found.moments)  # one array twice, for which BLAS has syrk
    assert "moment_x_x @ p.w" in source(found.step)


def test_a_moment_serves_both_sides() -> None:
    found = form(*two_inputs())
    assert found is not None
    assert list(found.moments.outputs) == ["moment_x_x", "moment_x_z", "moment_z_z"]
    assert "moment_x_z @ p.v" in source(found.step)
    assert "moment_x_z.T @ p.w" in source(found.step)


def test_two_losses_have_the_sum_of_their_moments() -> None:
    found = form(*two_losses())
    assert found is not None
    assert list(found.moments.outputs) == ["moment_x_x"]
    assert "x_x = 2.0 * (x.T @ x)" in source(found.moments)
    assert returned(found.moments) == {"moment_x_x": "x_x + 2.0 * (z.T @ z)"}


def test_what_the_user_centres_stays_centred() -> None:
    found = form(*standardised())
    assert found is not None
    assert list(found.moments.outputs) == ["moment_x_x"]
    assert "x - np.sum(x, axis=0) / n" in source(found.moments)


# --- what is not quadratic, or does not pay --------------------------------------------------


def in_x(make: Callable[[Tensor, Tensor, Tensor], Tensor]) -> tuple[Tensor, ...]:
    x, y, w = placeholder("x", "n", 4), placeholder("y", "n", 1), variable("w", 4, 1)
    return sf.reduce_mean(make(sf.matmul(x, w), y, w)), w


def two_layers() -> tuple[Tensor, ...]:
    x, y = placeholder("x", "n", 4), placeholder("y", "n", 1)
    w, v = variable("w", 4, 3), variable("v", 3, 1)
    return squared(sf.matmul(sf.matmul(x, w), v) - y), w, v


def a_weight_for_every_row() -> tuple[Tensor, ...]:
    x, y, w = placeholder("x", 50, 2), placeholder("y", 50), variable("w", 50, 2)
    return squared(sf.reduce_sum(x * w, axis=1) - y), w


def more_columns_than_rows() -> tuple[Tensor, ...]:
    x, y, w = placeholder("x", 20, 100), placeholder("y", 20, 1), variable("w", 100, 1)
    return squared(sf.matmul(x, w) - y), w


def without_data() -> tuple[Tensor, ...]:
    w = variable("w", 5)
    return squared(w - 3.0), w


def in_a_loop() -> tuple[Tensor, ...]:
    x, w = placeholder("x", 7), variable("w")
    state = sf.scan(lambda carry, entry: carry * 0.5 + entry * w, x, sf.constant(0.0))
    return squared(state), w


def many_parameters() -> tuple[Tensor, ...]:
    x = placeholder("x", "n")
    by = [variable(f"w{at}") for at in range(70)]
    total = sf.constant(0.0)
    for at, one in enumerate(by):
        total += one * sf.sin(x * float(at + 1))
    return squared(total) + squared(total - x), *by


def a_long_product() -> tuple[Tensor, ...]:
    w = variable("w")
    product: Tensor = w
    for at in range(20):
        product = product * placeholder(f"x{at}", "n")
    return squared(product), w


NOT_QUADRATIC = {
    "logistic": lambda: in_x(lambda z, y, w: sf.log(1 + sf.exp(-y * z))),
    "mlp": lambda: in_x(lambda z, y, w: sf.square(sf.tanh(z) - y)),
    "relu": lambda: in_x(lambda z, y, w: sf.square(sf.nn.relu(z) - y)),
    "cubic": lambda: in_x(lambda z, y, w: sf.square(z - y) + sf.reduce_sum(w**3)),
    "fourth power": lambda: in_x(lambda z, y, w: (z - y) ** 4),
    "abs": lambda: in_x(lambda z, y, w: sf.abs(z - y)),
    "maximum": lambda: in_x(lambda z, y, w: sf.square(z - y) + sf.reduce_max(w)),
    "where on a parameter": lambda: in_x(lambda z, y, w: sf.where(z > y, sf.square(z - y), z)),
    "division": lambda: in_x(lambda z, y, w: sf.square(z - y) / sf.reduce_sum(sf.square(w))),
    "floor": lambda: in_x(lambda z, y, w: sf.square(z - y) + sf.floor(z)),
    "stopped gradient": lambda: in_x(lambda z, y, w: z * sf.stop_gradient(z) - y),
    "stopped target": lambda: in_x(lambda z, y, w: sf.square(z - sf.stop_gradient(0.5 * z))),
    "two layers": two_layers,
    "without data": without_data,
    "in a loop": in_a_loop,
    "a long product": a_long_product,
    "many products": many_parameters,
}


@pytest.mark.parametrize("model", NOT_QUADRATIC.values(), ids=NOT_QUADRATIC)
def test_there_is_no_such_form(model: Callable[[], Any]) -> None:
    loss, *by = model()
    program = stages(loss, *by)["differentiate"]
    assert expanded(program, [one.name or "" for one in by]) is None


@pytest.mark.parametrize(
    "model", [a_weight_for_every_row, more_columns_than_rows], ids=lambda model: model.__name__
)
def test_moments_larger_than_the_data_are_not_worth_it(model: Callable[[], Any]) -> None:
    descent = Descent(*model())
    assert_same(descent, descent.program, np.random.default_rng(0))
    assert form(*model()) is None


# --- at random -------------------------------------------------------------------------------


class Affine:
    """Draws tensors that are affine in Variables, with data as coefficients."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.variables = [variable(f"w{at}", *shape) for at, shape in enumerate(self.shapes())]
        self.data = [placeholder(f"x{at}", *shape) for at, shape in enumerate(self.shapes())]
        self.known = list(self.variables)

    def shapes(self) -> list[tuple[int, ...]]:
        return [tuple(self.rng.choice([1, 2, 3, 4], self.rng.integers(0, 4))) for _ in range(3)]

    def one_of(self, options: Any) -> Any:
        return options[self.rng.integers(len(options))]

    def coefficient(self, shape: tuple[int, ...]) -> Tensor:
        """Data that can be broadcast to a shape."""
        kept = shape[self.rng.integers(len(shape) + 1) :]
        sizes = [1 if self.rng.random() < 0.2 else int(size) for size in kept]
        name = f"x{len(self.data)}"
        self.data.append(placeholder(name, *sizes))
        made = [lambda x: x, sf.tanh, sf.square, lambda x: x - sf.reduce_mean(x), lambda x: 1 - x]
        return self.one_of(made)(self.data[-1])

    def grow(self) -> None:
        tensor = self.one_of(self.known[-4:] if self.rng.random() < 0.7 else self.known)
        self.known.append(self.one_of(GROWTH)(self, tensor))

    def loss(self) -> Tensor:
        for _ in range(self.rng.integers(2, 9)):
            self.grow()
        total = sf.constant(0.0)
        for tensor in [*self.known[-3:], *self.variables]:
            other = self.one_of([tensor, tensor, *self.known])
            if shape_of(other) != shape_of(tensor):
                other = tensor + self.coefficient(shape_of(tensor))
            product = tensor * other * self.coefficient(shape_of(tensor))
            total += self.one_of([sf.reduce_sum, sf.reduce_mean])(product)
        return total


def shape_of(tensor: Tensor) -> tuple[int, ...]:
    assert tensor.type is not None
    return tuple(map(int, tensor.type.shape))


def contracted(graph: Affine, tensor: Tensor) -> Tensor:
    """A matrix of data times the last axis."""
    shape = shape_of(tensor)
    if not shape:
        return tensor * graph.coefficient((3,))
    name = f"x{len(graph.data)}"
    graph.data.append(placeholder(name, shape[-1], 5))
    outer = "abcdefgh"[: len(shape) - 1]
    return sf.einsum(f"{outer}i,ij->{outer}j", tensor, graph.data[-1])


def cut(graph: Affine, tensor: Tensor) -> Tensor:
    shape = shape_of(tensor)
    return tensor[1:] if shape and shape[0] > 1 else tensor * 2.0


def joined(graph: Affine, tensor: Tensor) -> Tensor:
    return sf.concat([tensor, tensor * 3.0], axis=0) if shape_of(tensor) else tensor / 7.0


def met(graph: Affine, tensor: Tensor) -> Tensor:
    """A sum with another tensor of the same shape, if there is one."""
    same = [one for one in graph.known if shape_of(one) == shape_of(tensor)]
    return tensor - graph.one_of(same) / 3


def chosen(graph: Affine, tensor: Tensor) -> Tensor:
    condition = graph.coefficient(shape_of(tensor)) > 0
    return sf.where(condition, tensor, graph.one_of([0.0, 0.5 * tensor, 2.0]))


def summed(graph: Affine, tensor: Tensor) -> Tensor:
    rank = len(shape_of(tensor))
    axis = int(graph.rng.integers(rank)) if rank else None
    function = graph.one_of([sf.reduce_sum, sf.reduce_mean])
    return function(tensor, axis=axis, keepdims=bool(graph.rng.random() < 0.5))


GROWTH: list[Callable[[Affine, Tensor], Tensor]] = [
    contracted,
    cut,
    joined,
    met,
    chosen,
    summed,
    lambda graph, tensor: tensor * graph.coefficient(shape_of(tensor)),
    lambda graph, tensor: tensor + graph.coefficient(shape_of(tensor)),
    lambda graph, tensor: sf.transpose(tensor),
    lambda graph, tensor: sf.reshape(tensor, (-1,)),
    lambda graph, tensor: sf.expand_dims(tensor, 0),
]


@pytest.mark.parametrize("seed", range(60))
def test_random_affine_graphs(seed: int) -> None:
    graph = Affine(seed)
    descent = Descent(graph.loss(), *graph.variables)
    assert_same(descent, descent.program, graph.rng)


# --- accuracy --------------------------------------------------------------------------------


@pytest.mark.parametrize("near", [1.0, 1e-3, 1e-6], ids=lambda near: f"from {near}")
@pytest.mark.parametrize("offset", [0.0, 1000.0])
def test_losses_keep_their_digits(offset: float, near: float) -> None:
    """With noise of 1e-5, the last losses are 1e-11 of the first; `near` is how far to go."""
    rng = np.random.default_rng(1)
    x, y = placeholder("x", 1000, 8), placeholder("y", 1000, 1)
    w, b = variable("w", 8, 1), variable("b")
    descent = Descent(sf.reduce_mean(sf.square(sf.matmul(x, w) + b - y)), w, b)
    rows, weights = rng.normal(size=(1000, 8)) + offset, rng.normal(size=(8, 1))
    labels = rows @ weights + 3 + 1e-5 * rng.normal(size=(1000, 1))
    start = {"w": weights + near * rng.normal(size=(8, 1)), "b": np.array(3.0)}
    ones = np.hstack([rows, np.ones((1000, 1))])
    rate = 500 / np.linalg.eigvalsh(ones.T @ ones).max()
    data = {"x": rows, "y": labels}
    exact = descent.from_data(data, start, rate, 500)
    assert_allclose(descent.from_moments(data, start, rate, 500), exact, rtol=1e-7)


@pytest.mark.parametrize("model", [article, several_outputs, weighted, penalised, features])
def test_descent_takes_the_same_way(model: Callable[[], Any]) -> None:
    descent = Descent(*model())
    given = drawn(descent.program, np.random.default_rng(2))
    start = {name: given[name] for name in descent.names}
    data = {name: abs(given[name]) for name in given if name not in start}
    exact = descent.from_data(data, start, 1e-4, 300)
    assert exact[-1] < exact[0]
    assert_allclose(descent.from_moments(data, start, 1e-4, 300), exact, rtol=1e-10)
