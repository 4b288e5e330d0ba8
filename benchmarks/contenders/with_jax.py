"""JAX: jitted gradients, jitted training steps with donated parameters, and lax.scan."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import logsumexp

from benchmarks import arm
from benchmarks.contender import Builders, Contender
from benchmarks.workloads import Array, Data, Workload

jax.config.update("jax_enable_x64", True)

VERSION = f"JAX {jax.__version__}"

Values = dict[str, Any]
Loss = Callable[[Values, Values], Any]


def article(p: Values, inputs: Values) -> Any:
    return jnp.sum((inputs["x"] * p["w"] + p["b"] - inputs["y"]) ** 2)


def linear(p: Values, inputs: Values) -> Any:
    return jnp.mean((inputs["x"] @ p["w"] + p["b"] - inputs["y"]) ** 2)


def logistic(p: Values, inputs: Values) -> Any:
    z = inputs["x"] @ p["w"] + p["b"]
    return jnp.mean(jax.nn.softplus(z) - inputs["y"] * z)


def mlp(p: Values, inputs: Values) -> Any:
    value, layers = inputs["x"], len(p) // 2
    for layer in range(1, layers):
        value = jax.nn.relu(value @ p[f"w{layer}"] + p[f"b{layer}"])
    logits = value @ p[f"w{layers}"] + p[f"b{layers}"]
    return -jnp.mean(jnp.sum(inputs["y"] * jax.nn.log_softmax(logits), axis=1))


def elementwise(p: Values, inputs: Values) -> Any:
    x = inputs["x"]
    return jnp.mean(jax.nn.gelu(jnp.tanh(p["a"] * x + p["b"])) * jax.nn.sigmoid(p["c"] * x))


def gmm(p: Values, inputs: Values, products: bool = False) -> Any:
    """ADBench's form; with products, L_k x - L_k μ_k: one matrix product, and a small one."""
    x, (k, d) = inputs["x"], p["means"].shape
    column, row = np.triu_indices(d, 1)
    places = np.arange(d)
    factors = jnp.zeros((k, d, d)).at[:, row, column].set(p["lower"])
    factors = factors.at[:, places, places].set(jnp.exp(p["log_diagonal"]))
    if products:
        whitened = (x @ factors.reshape(k * d, d).T).reshape(-1, k, d)
        whitened -= jnp.einsum("kij,kj->ki", factors, p["means"])
    else:
        whitened = jnp.einsum("kij,nkj->nki", factors, x[:, None, :] - p["means"])
    exponents = p["alphas"] + jnp.sum(p["log_diagonal"], 1) - 0.5 * jnp.sum(whitened**2, axis=2)
    constant = logsumexp(p["alphas"]) + 0.5 * d * math.log(2 * math.pi)
    density = jnp.sum(logsumexp(exponents, axis=1) - constant)
    squares = jnp.sum(jnp.exp(2 * p["log_diagonal"])) + jnp.sum(p["lower"] ** 2)
    return -(density + 0.5 * squares - k * wishart_constant(d))


def wishart_constant(d: int) -> float:
    log_gamma = 0.25 * d * (d - 1) * math.log(math.pi)
    log_gamma += sum(math.lgamma(0.5 * (d + 2 - j)) for j in range(1, d + 1))
    return -0.5 * (d + 1) * d * math.log(2) - log_gamma


def arms(p: Values, inputs: Values) -> Any:
    """The text of the model. Indexing one array of ten angles takes JAX twenty times as long."""
    return jnp.sum(arm.objective(list(p.values()), list(inputs.values()), jnp.cos, jnp.sin))


def arms_by_matrices(p: Values, inputs: Values) -> Any:
    """Products of ten 4 × 4 matrices, as Denavit and Hartenberg have it."""

    def objective(angles: Any, target: Any) -> Any:
        frame = jnp.eye(4)
        for q, a, d, twist in zip(angles, arm.LENGTHS, arm.OFFSETS, arm.TWISTS, strict=True):
            c, s, ct, st = jnp.cos(q), jnp.sin(q), math.cos(twist), math.sin(twist)
            joint = [
                [c, -s * ct, s * st, a * c],
                [s, c * ct, -c * st, a * s],
                [0.0, st, ct, d],
                [0.0, 0.0, 0.0, 1.0],
            ]
            frame = frame @ jnp.array(joint)
        away = frame[:3, 3] - jnp.stack(target)
        down = frame[:3, 2] + jnp.array([0.0, 0.0, 1.0])
        return away @ away + 0.1 * down @ down + 0.001 * sum(q * q for q in angles)

    angles, target = list(p.values()), list(inputs.values())
    if target[0].ndim == 0:
        return objective(angles, target)
    return jnp.sum(jax.vmap(objective)(angles, target))


LOSSES: dict[str, Loss] = {
    "article": article,
    "linear": linear,
    "logistic": logistic,
    "mlp": mlp,
    "elementwise": elementwise,
    "gmm": gmm,
    "arm": arms,
}


def builders(workload: Workload, data: Data) -> Builders:
    loss = LOSSES[workload.family]
    if workload.kind == "training":
        found: Builders = {"jax": partial(_stepping, workload, data, loss)}
        if workload.family in ("article", "linear"):
            found["jax scan"] = partial(_scanning, workload, data, loss)
        return found
    found = {"jax": partial(_gradients, data, loss)}
    if workload.family == "gmm":
        by_products = partial(gmm, products=True)
        found["jax, products by hand"] = partial(_gradients, data, by_products)
    if workload.family == "arm":
        found["jax, 4 × 4 matrices"] = partial(_gradients, data, arms_by_matrices)
    return found


def _arrays(values: Mapping[str, Array]) -> Values:
    return {name: jnp.asarray(value) for name, value in values.items()}


def _named(loss: Any, values: Values) -> Mapping[str, Array]:
    return {"loss": np.asarray(loss)} | {name: np.asarray(one) for name, one in values.items()}


def _gradients(data: Data, loss: Loss) -> Contender:
    p, inputs = _arrays(data.parameters), _arrays(data.inputs)
    differentiate = jax.jit(jax.value_and_grad(loss))
    return Contender(
        lambda: jax.block_until_ready(differentiate(p, inputs)),
        lambda found: _named(*found),
    )


def _descended(loss: Loss, rate: float) -> Callable[[Values, Values], tuple[Any, Values]]:
    def step(p: Values, inputs: Values) -> tuple[Any, Values]:
        value, gradients = jax.value_and_grad(loss)(p, inputs)
        return value, jax.tree.map(lambda one, slope: one - rate * slope, p, gradients)

    return step


def _stepping(workload: Workload, data: Data, loss: Loss) -> Contender:
    start, inputs = _arrays(data.parameters), _arrays(data.inputs)
    step = jax.jit(_descended(loss, workload.rate), donate_argnums=0)

    def run() -> Any:
        p = jax.tree.map(jnp.copy, start)
        losses: list[Any] = []
        for _ in range(workload.steps):
            value, p = step(p, inputs)
            losses.append(value)
        return jax.block_until_ready((losses, p))

    def arrays(found: Any) -> Mapping[str, Array]:
        losses, p = found
        return _named(jnp.stack(losses), p)

    return Contender(run, arrays)


def _scanning(workload: Workload, data: Data, loss: Loss) -> Contender:
    start, inputs = _arrays(data.parameters), _arrays(data.inputs)
    step = _descended(loss, workload.rate)

    @jax.jit
    def train(p: Values, inputs: Values) -> Any:
        def body(p: Values, _: None) -> tuple[Values, Any]:
            value, moved = step(p, inputs)
            return moved, value

        return jax.lax.scan(body, p, None, length=workload.steps)

    return Contender(
        lambda: jax.block_until_ready(train(start, inputs)),
        lambda found: _named(found[1], found[0]),
    )
