"""HIPS autograd: a tape over NumPy."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from importlib.metadata import version
from typing import Any

import autograd.numpy as np
from autograd import value_and_grad
from autograd.scipy.special import logsumexp

from benchmarks import arm
from benchmarks.contender import Builders, Contender
from benchmarks.workloads import Data, Workload

VERSION = f"autograd {version('autograd')}"

Values = dict[str, Any]
Loss = Callable[[Values, Values], Any]


def article(p: Values, inputs: Values) -> Any:
    return np.sum((inputs["x"] * p["w"] + p["b"] - inputs["y"]) ** 2)


def linear(p: Values, inputs: Values) -> Any:
    return np.mean((np.dot(inputs["x"], p["w"]) + p["b"] - inputs["y"]) ** 2)


def logistic(p: Values, inputs: Values) -> Any:
    z = np.dot(inputs["x"], p["w"]) + p["b"]
    return np.mean(np.maximum(z, 0.0) + np.log1p(np.exp(-np.abs(z))) - inputs["y"] * z)


def mlp(p: Values, inputs: Values) -> Any:
    value, layers = inputs["x"], len(p) // 2
    for layer in range(1, layers):
        value = np.maximum(np.dot(value, p[f"w{layer}"]) + p[f"b{layer}"], 0.0)
    logits = np.dot(value, p[f"w{layers}"]) + p[f"b{layers}"]
    log_softmax = logits - logsumexp(logits, axis=1, keepdims=True)
    return -np.mean(np.sum(inputs["y"] * log_softmax, axis=1))


def elementwise(p: Values, inputs: Values) -> Any:
    x = inputs["x"]
    u = np.tanh(p["a"] * x + p["b"])
    gelu = 0.5 * u * (1.0 + np.tanh(math.sqrt(2.0 / math.pi) * (u + 0.044715 * u * u * u)))
    return np.mean(gelu / (1.0 + np.exp(-p["c"] * x)))


def gmm(p: Values, inputs: Values) -> Any:
    """ADBench's form."""
    x, (k, d) = inputs["x"], p["means"].shape
    column, row = np.triu_indices(d, 1)
    places = np.zeros((d, d), int)
    places[row, column] = np.arange(len(row))
    diagonal = np.exp(p["log_diagonal"])[:, :, None] * np.eye(d)
    factors = diagonal + p["lower"][:, places] * np.tril(np.ones((d, d)), -1)
    whitened = np.einsum("kij,nkj->nki", factors, x[:, None, :] - p["means"])
    exponents = p["alphas"] + np.sum(p["log_diagonal"], 1) - 0.5 * np.sum(whitened**2, axis=2)
    constant = logsumexp(p["alphas"]) + 0.5 * d * math.log(2 * math.pi)
    density = np.sum(logsumexp(exponents, axis=1) - constant)
    squares = np.sum(np.exp(2 * p["log_diagonal"])) + np.sum(p["lower"] ** 2)
    log_gamma = 0.25 * d * (d - 1) * math.log(math.pi)
    log_gamma += sum(math.lgamma(0.5 * (d + 2 - j)) for j in range(1, d + 1))
    wishart = -0.5 * (d + 1) * d * math.log(2) - log_gamma
    return -(density + 0.5 * squares - k * wishart)


def arms(p: Values, inputs: Values) -> Any:
    angles = [p[f"angle{joint}"] for joint in range(10)]
    return np.sum(arm.objective(angles, list(inputs.values()), np.cos, np.sin))


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
    differentiate = value_and_grad(LOSSES[workload.family])
    if workload.kind == "training":
        return {"autograd": partial(_stepping, workload, data, differentiate)}
    return {"autograd": partial(_gradients, data, differentiate)}


def _gradients(data: Data, differentiate: Any) -> Contender:
    p, inputs = dict(data.parameters), dict(data.inputs)
    return Contender(lambda: differentiate(p, inputs), lambda found: {"loss": found[0], **found[1]})


def _stepping(workload: Workload, data: Data, differentiate: Any) -> Contender:
    inputs = dict(data.inputs)

    def run() -> Any:
        p, losses = dict(data.parameters), []
        for _ in range(workload.steps):
            value, gradients = differentiate(p, inputs)
            losses.append(value)
            p = {name: one - workload.rate * gradients[name] for name, one in p.items()}
        return losses, p

    return Contender(run, lambda found: {"loss": np.array(found[0]), **found[1]})
