"""Random models that look like what users write, and what is wrong with the modules they become.

What `random_graphs.py` draws is even-handed: names of two letters, data from a normal
distribution, one kind of loss. Here

    names      have 1 to 40 letters, come as twins that differ in case, and are those of sizes,
               keywords of NumPy's functions, and variables of generated code
    values     are zeros, ones, ties, whole numbers and -∞ as often as not
    constants  have every dtype; some models have no placeholder at all
    losses     may be polynomials in their parameters, which are trained by moments of the data
    loops      start from, and hold, every operation
    rules      are left out one by one
    nodes      are written into one another, exported or not

and what is compared, with formulas written by hand (`independent_operations.py`), are the modules
in both styles, by rows and blocks of rows, their training step by step, and a Session.
"""

from __future__ import annotations

import inspect
import keyword
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from abstract_models import Leaf, Model, Step, float_values, step_text, text, without_dead
from batch_graphs import trainable
from graph_comparison import Outcome, forward, tolerance
from independent_numbers import FLOAT, Array
from random_graphs import Drawing, Rejected, _draw_leaves, _finish, _try, chosen_operation
from styles import module, with_rows

import symflow as sf
from symflow.errors import SymflowError
from symflow.rules import NAMES

NAME_REFUSED = "has a meaning of its own in a generated module"
"""What a user is told of a name that cannot be."""

OF_BOOLEANS = ("the carry h is of dtype", "booleans make no diagonal matrix")
"""The same of a loop that starts from truth values or whole numbers."""

ROWS = (1, 3, 4, 5, 19)
"""Rows of data, where a block has four."""

STEPS = 3
SLACK = 4.0
"""How many times what rounding may do is allowed: sums of blocks are taken in another order."""


@dataclass(frozen=True)
class UserModel:
    """A model with what a user decides besides.

    called     the nodes' names
    nested     nodes that have none, and are written where they are read
    exported   what stands in `__all__`; None for all public names
    momentum   of the optimizer; 0 for plain gradient descent
    without    rules that are left out
    tied       whether entries are equal at a kink, which they are no more when rows are moved
    """

    model: Model
    called: tuple[str, ...]
    nested: frozenset[int]
    exported: tuple[int, ...] | None
    size: str
    momentum: float
    without: tuple[str, ...]
    tied: bool

    @property
    def text(self) -> str:
        """The model file."""
        called, lines = list(self.called), ["import numpy as np", "import symflow as sf", ""]
        plain = text(replace(self.model, order=1)).splitlines()[3:]
        for number, node in enumerate(self.model.nodes):
            if isinstance(node, Leaf):
                written = plain[number].partition(" = ")[2].replace("'n'", repr(self.size))
            else:
                written = step_text(node, called)
                for old in ("'n'", '"n"'):
                    written = written.replace(old, repr(self.size))
            if number in self.nested:
                called[number] = f"({written})"
            else:
                lines.append(f"{called[number]} = {written}")
        lines.append(f"loss = {called[self.model.loss]}")
        if self.exported is not None:
            lines.append(f"__all__ = {[called[one] for one in self.exported]!r}")
        kind = f"MomentumOptimizer(0.1, {self.momentum})"
        kind = kind if self.momentum else "GradientDescentOptimizer(0.1)"
        lines.append(f"train_op = sf.train.{kind}.minimize(loss)")
        return "\n".join(lines) + "\n"

    @property
    def variables(self) -> tuple[int, ...]:
        return tuple(
            number
            for number, node in enumerate(self.model.nodes)
            if isinstance(node, Leaf) and node.kind == "Variable"
        )


# --- names -----------------------------------------------------------------------------------

NASTY = (
    *("a", "b", "c", "d", "g", "i", "k", "m", "n", "p", "q", "r", "s", "t", "u", "v"),
    *("A", "B", "D", "N", "W", "X", "w", "x", "y", "z", "xs", "x_x", "x_y", "w_x", "x_t", "x_2"),
    *("axis", "axi", "ax", "keepdims", "keepdim", "out", "initial", "casting", "order", "where"),
    *("stride", "dtyp", "shape", "size", "ones", "zeros", "sum", "mean", "total", "count", "part"),
    *("moment", "moments", "x_mean", "block", "blocks", "given", "work", "works", "sums", "fixed"),
    *("rows", "rest", "threads", "loss_sum", "scale", "row", "start", "stop", "end", "index"),
    *("prediction", "predicted", "logits", "hidden", "weights", "bias", "mask", "target", "error"),
    *("data", "result", "found", "value_", "d_w", "d_x", "w1", "w2", "W1", "b1", "b2", "B1", "l1"),
    *("batch", "batch_x", "velocity", "beta", "gamma", "theta", "alpha", "lam", "mu", "sigma"),
    *("exp", "log", "sin", "sqrt", "dot", "matmul", "einsum", "maximum", "abs_", "float_", "int_"),
    *("special", "erf", "math", "math_", "Any_", "Array_", "array", "arrays", "copy", "random"),
)


def _names(rng: np.random.Generator, count: int) -> list[str]:
    """Distinct names: short and long ones, those above, and twins that differ in case."""
    found: list[str] = []
    while len(found) < count:
        kind = rng.random()
        if found and kind < 0.15:
            name = found[int(rng.integers(len(found)))].swapcase()
        elif found and kind < 0.25:
            name = found[int(rng.integers(len(found)))] + str(rng.choice(["_x", "_2", "_", "x"]))
        elif kind < 0.8:
            name = str(rng.choice(NASTY))
        else:
            letters = list("abcdefghijklmnopqrstuvwxyz_")
            name = "".join(rng.choice(letters, int(rng.integers(1, 41))))
        name = name.lstrip("_")
        usable = name.isidentifier() and not keyword.iskeyword(name) and len(name) <= 40
        if usable and name not in (*found, "loss", "sf", "np", "train_op", "e", "h"):
            found.append(name)
    return found


# --- values ----------------------------------------------------------------------------------


def _whole(rng: np.random.Generator, shape: Sequence[int]) -> Array:
    return rng.integers(0, 4, shape).astype(float)


def _truth(rng: np.random.Generator, shape: Sequence[int]) -> Array:
    return rng.integers(0, 2, shape).astype(float)


def _repeated(rng: np.random.Generator, shape: Sequence[int]) -> Array:
    return np.asarray(rng.choice(np.round(rng.normal(size=2) * 4) / 4, shape))


def _half_zero(rng: np.random.Generator, shape: Sequence[int]) -> Array:
    return np.asarray(rng.normal(size=shape) * rng.integers(0, 2, shape))


def _normal(rng: np.random.Generator, shape: Sequence[int]) -> Array:
    return np.asarray(rng.normal(size=shape))


def _minus_infinity(rng: np.random.Generator, shape: Sequence[int]) -> Array:
    return np.where(rng.random(shape) < 0.3, -np.inf, rng.normal(size=shape))


VALUES = (_normal, _normal, _normal, _whole, _truth, _repeated, _half_zero)


class UserDrawing(Drawing):
    """A model under construction from values that users have."""

    def leaf(self, dims: Sequence[tuple[int, int]], kind: str | None = None) -> int:
        kind = kind or self.one_of(["placeholder", "Variable", "Variable", "constant"])
        shape = self.named(dims)
        if "n" in shape:
            kind = "placeholder"
        draw = self.one_of((_whole, _truth, _normal) if kind == "constant" else VALUES)
        if kind != "Variable" and self.coin(0.1):
            draw = _minus_infinity
        values = [
            draw(self.rng, [one[at] for one in dims]).astype(self.dtype).astype(float)
            for at in (0, 1)
        ]
        second = values[1] if kind == "placeholder" and self.symbolic else values[0]
        declared = _declared(values[0], self.rng) if kind == "constant" else ""
        return self.put(Leaf(kind, shape, (values[0], second), declared))


def _declared(values: Array, rng: np.random.Generator) -> str:
    """The dtype of a constant, now and then not the model's."""
    if not np.all(np.isfinite(values)) or np.any(values % 1):
        return ""
    if np.all(values * (1 - values) == 0) and rng.random() < 0.5:
        return "bool"
    return str(rng.choice(["", "int64", "int32", "int8", "float32", "float64"]))


# --- models ----------------------------------------------------------------------------------


def user_model(seed: int) -> UserModel:
    """A model from a seed."""
    for attempt in range(1000):
        rng = np.random.default_rng([seed, attempt, 2])
        try:
            model, tied = _polynomial(rng) if rng.random() < 0.35 else _graph(rng)
        except Rejected:
            continue
        if rng.random() < 0.25:
            model = _without_placeholders(model, rng)
        if trainable(model):
            return _decided(model, tied, rng)
    raise AssertionError(f"no model is drawn from seed {seed}")


def _without_placeholders(model: Model, rng: np.random.Generator) -> Model:
    """The data in constants, of which the first value of n is the only one."""
    if any(isinstance(one, Step) and "n" in str(one.how) for one in model.nodes):
        return model

    def fixed(leaf: Leaf) -> Leaf:
        value = leaf.values[0]
        declared = _declared(value, rng) if leaf.floating else ""
        return Leaf("constant", value.shape, (value, value), declared)

    nodes = [
        fixed(node) if isinstance(node, Leaf) and node.kind == "placeholder" else node
        for node in model.nodes
    ]
    return replace(model, nodes=tuple(nodes), sizes=(model.sizes[0],) * 2)


def _decided(model: Model, tied: bool, rng: np.random.Generator) -> UserModel:
    """What a user decides besides."""
    names = _names(rng, len(model.nodes) + 1)
    readers = [0] * len(model.nodes)
    for node in model.nodes:
        for one in node.sources if isinstance(node, Step) else ():
            readers[one] += 1
    nested = frozenset(
        number
        for number, node in enumerate(model.nodes[:-1])
        if isinstance(node, Step) and readers[number] == 1 and rng.random() < 0.6
    )
    named = [
        number
        for number, node in enumerate(model.nodes[:-1])
        if isinstance(node, Step) and number not in nested
    ]
    exported = None
    if rng.random() < 0.5:
        exported = tuple(one for one in named if rng.random() < 0.4)
    without: tuple[str, ...] = ()
    if rng.random() < 0.3:
        without = (str(rng.choice(NAMES)),)
    elif rng.random() < 0.15:
        without = tuple(name for name in NAMES if rng.random() < 0.5)
    momentum = 0.9 if rng.random() < 0.25 else 0.0
    variables = tuple(
        number
        for number, node in enumerate(model.nodes)
        if isinstance(node, Leaf) and node.kind == "Variable"
    )
    floats = model._floating()
    fetched = tuple(one for one in (named if exported is None else exported) if floats[one])
    model = replace(model, by=variables, fetched=fetched)
    return UserModel(model, tuple(names[:-1]), nested, exported, names[-1], momentum, without, tied)


def _graph(rng: np.random.Generator) -> tuple[Model, bool]:
    """A model of any operations, and now and then a loop; whether entries are tied."""
    dtype = "float32" if rng.random() < 0.15 else "float64"
    drawing = UserDrawing(rng, bool(rng.random() < 0.5), dtype)
    _draw_leaves(drawing)
    drawing.leaf([(int(rng.integers(1, 4)),) * 2] * int(rng.integers(0, 3)), "Variable")
    steps = int(rng.integers(2, 9))
    loops = rng.random() < 0.3
    for _ in range(4 * steps):
        if sum(isinstance(one, Step) for one in drawing.nodes) >= steps:
            break
        _try(drawing, "loop" if loops and drawing.coin(0.3) else chosen_operation(rng))
    loss = _finish(drawing, 0.5)
    nodes = tuple(drawing.nodes[: loss + 1])
    return without_dead(Model(nodes, drawing.sizes, (), (), dtype)), drawing.tied


def _polynomial(rng: np.random.Generator) -> tuple[Model, bool]:
    """A squared loss of a prediction that is linear in its parameters, or a polynomial of them."""
    dtype = "float32" if rng.random() < 0.1 else "float64"
    drawing = UserDrawing(rng, True, dtype)
    n = drawing.sizes
    columns = int(rng.integers(1, 5))
    x = drawing.leaf([n, (columns, columns)] if drawing.coin() else [n], "placeholder")
    y = drawing.leaf([n], "placeholder")
    weights = drawing.leaf([(4, 4)], "Variable") if drawing.coin(0.4) else None
    total: int | None = None
    for at in range(drawing.integer(1, 5)):
        feature = _feature(drawing, x)
        if weights is not None and drawing.coin(0.7):
            weight = drawing.step("slice", weights, key=(int(at),))
        else:
            weight = drawing.leaf([], "Variable")
        if drawing.coin(0.15):
            weight = drawing.step("square", weight)
        term = drawing.step("multiply", *drawing.shuffled([weight, feature]))
        total = term if total is None else drawing.step("add", total, term)
    assert total is not None
    if drawing.coin(0.3):
        total = drawing.step("multiply", total, drawing.literal(-2, 2) or 1.0)
    residual = drawing.step("subtract", *drawing.shuffled([total, y]))
    squares = drawing.step("square", residual)
    how = {"axis": None, "keepdims": False}
    loss = drawing.step(drawing.one_of(["reduce_sum", "reduce_mean"]), squares, **how)
    if drawing.coin(0.3):
        penalty = drawing.step("l2_loss", drawing.leaf([(2, 2)], "Variable"))
        loss = drawing.step("add", loss, penalty)
    return without_dead(Model(tuple(drawing.nodes[: loss + 1]), n, (), (), dtype)), drawing.tied


def _feature(drawing: Drawing, x: int) -> int:
    """A column of the data, or a function of it, or of two."""
    column = _column(drawing, x)
    kind = drawing.integer(0, 6)
    if kind == 0:
        return column
    if kind == 1:
        return drawing.step(drawing.one_of(["sin", "cos", "tanh", "exp", "square"]), column)
    if kind == 2:
        return drawing.step("multiply", column, _column(drawing, x))
    if kind == 3:
        return drawing.step("pow", column, float(drawing.one_of([2, 3])))
    if kind == 4:
        return drawing.step("add", column, drawing.literal(-2, 2))
    return drawing.step("multiply", drawing.step("square", column), column)


def _column(drawing: Drawing, x: int) -> int:
    if len(drawing.dims(x)) == 1:
        return x
    at = drawing.integer(0, drawing.dims(x)[1][0])
    return drawing.step("slice", x, key=((None, None, None), at))


# --- what must come out ----------------------------------------------------------------------


@dataclass(frozen=True)
class Wanted:
    """A loss, gradients, exported values; what each may be off by; the way of the training."""

    outcome: Outcome
    allowed: dict[str, Array]
    losses: list[float]
    losses_allowed: list[float]
    parameters: list[Array]
    parameters_allowed: list[Array]
    rate: float


def wanted(user: UserModel, model: Model) -> Wanted:
    """Computed by hand-written formulas, and the plain rule of the optimizer."""
    first = allowed = None
    model = replace(model, by=user.variables)
    values = [np.array(_leaf(model, one).values[0]) for one in model.by]
    spread = [np.zeros(one.shape) for one in values]
    velocity = [np.zeros(one.shape) for one in values]
    losses, losses_allowed = [], []
    unit, rate = float(np.finfo(model.dtype).eps), 1e-4
    for _ in range(STEPS):
        at = _moved(model, values)
        with np.errstate(all="ignore"):
            found = forward(at, FLOAT, 0)
            off = tolerance(at, 0, found)
        if first is None:
            first, allowed = found, off
            rate = float(np.float32(1e-3 / max(1.0, float(np.max(np.abs(found.slopes))))))
        slopes, offs = _parts(model, found.slopes), _parts(model, off["slopes"])
        losses.append(float(found.loss[0]))
        through = sum(float(np.sum(np.abs(a) * b)) for a, b in zip(slopes, spread, strict=True))
        losses_allowed.append(float(off["loss"][0]) + through)
        for number, (slope, one) in enumerate(zip(slopes, offs, strict=True)):
            velocity[number] = user.momentum * velocity[number] + slope
            moved = rate * velocity[number]
            values[number] = values[number] - moved
            size = np.abs(values[number]) + np.abs(moved)
            spread[number] = spread[number] + rate * 3 * one + 4 * unit * size
    assert first is not None
    assert allowed is not None
    return Wanted(first, allowed, losses, losses_allowed, values, spread, rate)


def _leaf(model: Model, number: int) -> Leaf:
    leaf = model.nodes[number]
    assert isinstance(leaf, Leaf)
    return leaf


def _moved(model: Model, values: Sequence[Array]) -> Model:
    """The model with other values of what it is differentiated by."""
    nodes = list(model.nodes)
    for number, value in zip(model.by, values, strict=True):
        nodes[number] = replace(_leaf(model, number), values=(value, value))
    return replace(model, nodes=tuple(nodes))


def _parts(model: Model, row: Array) -> list[Array]:
    """One row of all entries as the arrays that they are of."""
    found, first = [], 0
    for number in model.by:
        value = _leaf(model, number).values[0]
        found.append(row[first : first + value.size].reshape(value.shape))
        first += value.size
    return found


# --- what comes out --------------------------------------------------------------------------


def complaint(user: UserModel, folder: Path) -> str | None:
    """What is wrong with what becomes of a model, or None.

    Where a name is refused, the model goes on under harmless ones.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "model.py"
    path.write_text(user.text, encoding="utf-8")
    try:
        made = {style: module(path, style, None, user.without) for style in ("fast", "plain")}
    except SymflowError as error:
        if NAME_REFUSED in str(error) and user.called[0] != "node0":
            called = tuple(f"node{at}" for at in range(len(user.called)))
            return complaint(replace(user, called=called, size="n_rows"), folder)
        return None if any(one in str(error) for one in OF_BOOLEANS) else f"refused: {error}"
    for n in ROWS if user.model.symbolic else (None,):
        given = with_rows(user.model, n, 0.0 if user.tied else 1e-3)
        what = wanted(user, given)
        values = float_values(given, 0)
        if not np.isfinite(what.outcome.loss[0]) or any(np.any(np.isnan(one)) for one in values):
            continue  # of rows that are moved, hand-written formulas may have no number beside -∞
        for style, one in made.items():
            problem = _of_module(user, given, one, what)
            if problem is not None:
                return f"{style}, n = {n}: {problem}"
    return _of_session(user)


def _inputs(user: UserModel, model: Model, function: Callable[..., Any]) -> dict[str, Any]:
    asked = inspect.signature(function).parameters
    return {
        name: node.values[0].astype(model.dtype) if node.floating else node.values[0]
        for name, node in zip(user.called, model.nodes, strict=True)
        if isinstance(node, Leaf) and node.kind == "placeholder" and name in asked
    }


def _of_module(user: UserModel, model: Model, made: Any, what: Wanted) -> str | None:
    p = made.initial_parameters()
    order = {name: at for at, name in enumerate(user.called)}
    fields = [user.variables.index(order[name]) for name in p._fields]
    inputs = _inputs(user, model, made.loss)
    ways: list[dict[str, Any]] = [{}]
    if "threads" in inspect.signature(made.loss).parameters:
        ways.append({"threads": 2})
    slopes = _parts(replace(model, by=user.variables), what.outcome.slopes)
    offs = _parts(replace(model, by=user.variables), what.allowed["slopes"])
    with np.errstate(all="ignore"):
        for how in ways:
            value, gradient = made.loss_and_gradients(p, **inputs, **how)
            checks = [
                ("loss", made.loss(p, **inputs, **how), what.outcome.loss[0], "loss"),
                ("loss_and_gradients", value, what.outcome.loss[0], "loss"),
            ]
            for name, found, right, part in checks:
                if not abs(found - right) <= SLACK * what.allowed[part][0]:
                    return f"{name} is {found!r}, not {right!r}"
            other = made.gradients(p, **inputs, **how)
            for at, (one, two) in zip(fields, zip(gradient, other, strict=True), strict=True):
                if one.dtype != model.dtype:
                    return f"a gradient is {one.dtype}"
                if not np.array_equal(one, two, equal_nan=True):
                    return "gradients are not those of loss_and_gradients"
                problem = _off(one, slopes[at], SLACK * offs[at])
                if problem is not None:
                    return f"d_{user.called[user.variables[at]]} {problem}"
        problem = _of_exports(user, model, made, what)
        if problem is None and not _breaks_ties(model):
            problem = _of_training(user, model, made, what, fields, inputs)
        return problem


def _breaks_ties(model: Model) -> bool:
    """Whether rounding decides, after a step of the training, which of equal entries is largest."""
    picks = any(isinstance(one, Step) and "max" in one.operation for one in model.nodes)
    picks = picks or any(isinstance(one, Step) and "min" in one.operation for one in model.nodes)
    variables = [one for one in model.nodes if isinstance(one, Leaf) and one.kind == "Variable"]
    return picks and any(np.unique(one.values[0]).size < one.values[0].size for one in variables)


def _of_exports(user: UserModel, model: Model, made: Any, what: Wanted) -> str | None:
    p, first = made.initial_parameters(), 0
    with np.errstate(all="ignore"):
        sizes = [one.shape for one in float_values(model, 0)]
    for number in user.model.fetched:
        count = int(np.prod(sizes[number]))
        right = what.outcome.fetched[first : first + count].reshape(sizes[number])
        off = what.allowed["fetched"][first : first + count].reshape(sizes[number])
        first += count
        node = model.nodes[number]
        if isinstance(node, Step) and node.operation == "slice" and number not in _own(user, made):
            continue  # all of a tensor is the tensor itself
        function = getattr(made, user.called[number])
        found = function(p, **_inputs(user, model, function))
        dtype = np.asarray(found).dtype
        if dtype.kind == "f" and dtype != model.dtype:  # whole numbers of constants stay whole
            return f"{user.called[number]} is {dtype}"
        problem = _off(found, right, SLACK * off)
        if problem is not None:
            return f"{user.called[number]} {problem}"
    return None


def _own(user: UserModel, made: Any) -> set[int]:
    """The nodes that have a function of their own."""
    return {at for at, name in enumerate(user.called) if hasattr(made, name)}


def _of_training(
    user: UserModel,
    model: Model,
    made: Any,
    what: Wanted,
    fields: Sequence[int],
    inputs: dict[str, Any],
) -> str | None:
    p = made.initial_parameters()
    result = made.train(p, **inputs, steps=STEPS, learning_rate=what.rate)
    if result.steps != STEPS:
        return f"training stopped after {result.steps} steps: {result.reason}"
    pairs = zip(result.losses, what.losses, what.losses_allowed, strict=True)
    for at, (found, right, off) in enumerate(pairs):
        if not abs(found - right) <= SLACK * off:
            return f"loss {at} of the training is {found!r}, not {right!r}"
    for at, found in zip(fields, result.parameters, strict=True):
        off = SLACK * what.parameters_allowed[at]
        problem = _off(found, what.parameters[at], off)
        if problem is not None:
            return f"{user.called[user.variables[at]]} after training {problem}"
    return None


def _off(found: Any, right: Array, allowed: Array) -> str | None:
    found = np.asarray(found, float)
    if found.shape != right.shape:
        return f"has shape {found.shape}, not {right.shape}"
    within = np.abs(found - right) <= allowed  # False for NaN
    within |= found == right  # -∞ is what it is
    if np.all(within):
        return None
    entry = np.unravel_index(int(np.argmin(within)), within.shape)
    return f"is {found[entry]!r}, not {right[entry]!r}, allowed {allowed[entry]:.1e}"


def _of_session(user: UserModel) -> str | None:
    """The same in a Session, under the user's names."""
    what = wanted(user, user.model)
    with sf.Graph().as_default():
        namespace: dict[str, Any] = {"__name__": "model"}
        exec(compile(user.text, "<user model>", "exec"), namespace)
        variables = [namespace[user.called[one]] for one in user.variables]
        fetches = [namespace["loss"], *sf.gradients(namespace["loss"], variables)]
        feed = {
            namespace[name]: node.values[0]
            for name, node in zip(user.called, user.model.nodes, strict=True)
            if isinstance(node, Leaf) and node.kind == "placeholder"
        }
        with np.errstate(all="ignore"):
            value, *gradient = sf.Session().run(fetches, feed)
    if not abs(float(value) - what.outcome.loss[0]) <= SLACK * what.allowed["loss"][0]:
        return f"Session: the loss is {value!r}, not {what.outcome.loss[0]!r}"
    slopes = _parts(replace(user.model, by=user.variables), what.outcome.slopes)
    offs = _parts(replace(user.model, by=user.variables), what.allowed["slopes"])
    for number, one, right, off in zip(user.variables, gradient, slopes, offs, strict=True):
        problem = _off(one, right, SLACK * off)
        if problem is not None:
            return f"Session: d_{user.called[number]} {problem}"
    return None
