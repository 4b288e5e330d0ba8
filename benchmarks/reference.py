"""What is right: losses and gradients derived by hand, or by the complex step, in float64."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from benchmarks import arm
from benchmarks.workloads import Array, Data, Workload

Values = Mapping[str, Array]
Result = dict[str, Array]
"""By name: "loss" and the gradients; after training "loss", one for each step, and parameters."""


def expected(workload: Workload, data: Data) -> Result:
    """What every contender must find, from the same data."""
    differentiate = GRADIENTS[workload.family]
    p = {name: np.asarray(value, np.float64) for name, value in data.parameters.items()}
    inputs = {name: np.asarray(value, np.float64) for name, value in data.inputs.items()}
    if workload.kind == "gradient":
        loss, gradients = differentiate(p, inputs)
        return {"loss": np.asarray(loss), **gradients}
    losses: list[float] = []
    for _ in range(workload.steps):
        loss, gradients = differentiate(p, inputs)
        losses.append(float(loss))
        p = {name: value - workload.rate * gradients[name] for name, value in p.items()}
    return {"loss": np.array(losses)} if workload.by_losses else {"loss": np.array(losses), **p}


def error(found: Mapping[str, Any], right: Result) -> float:
    """The largest error of an entry, relative to the largest entry of its array.

    A name that is missing, a wrong shape or a number that is not finite is an infinite error.
    """
    worst = 0.0
    for name, want in right.items():
        got = np.asarray(found[name], np.float64) if name in found else np.array(np.nan)
        if got.shape != want.shape or not np.all(np.isfinite(got)):
            return float("inf")
        largest = float(np.max(np.abs(want)))
        worst = max(worst, float(np.max(np.abs(got - want))) / (largest or 1.0))
    return worst


# --- gradients -----------------------------------------------------------------------------------


def _article(p: Values, inputs: Values) -> tuple[Any, Result]:
    x, y = inputs["x"], inputs["y"]
    residual = x * p["w"] + p["b"] - y
    return residual @ residual, {"w": 2 * np.sum(x * residual), "b": 2 * np.sum(residual)}


def _linear(p: Values, inputs: Values) -> tuple[Any, Result]:
    x, y = inputs["x"], inputs["y"]
    residual = x @ p["w"] + p["b"] - y
    gradients = {"w": 2 / len(y) * (residual @ x), "b": 2 * np.mean(residual)}
    return np.mean(residual**2), gradients


def _logistic(p: Values, inputs: Values) -> tuple[Any, Result]:
    x, y = inputs["x"], inputs["y"]
    z = x @ p["w"] + p["b"]
    loss = np.mean(np.logaddexp(0.0, z) - y * z)
    slope = (1.0 / (1.0 + np.exp(-z)) - y) / len(y)
    return loss, {"w": slope @ x, "b": np.sum(slope)}


def _mlp(p: Values, inputs: Values) -> tuple[Any, Result]:
    y = inputs["y"]
    layers = len(p) // 2
    values = [inputs["x"]]
    for layer in range(1, layers + 1):
        value = values[-1] @ p[f"w{layer}"] + p[f"b{layer}"]
        values.append(value if layer == layers else np.maximum(value, 0.0))
    shifted = values[-1] - np.max(values[-1], axis=1, keepdims=True)
    log_softmax = shifted - np.log(np.sum(np.exp(shifted), axis=1, keepdims=True))
    slope = (np.exp(log_softmax) - y) / len(y)
    gradients: Result = {}
    for layer in range(layers, 0, -1):
        gradients[f"w{layer}"] = values[layer - 1].T @ slope
        gradients[f"b{layer}"] = np.sum(slope, axis=0)
        slope = (slope @ p[f"w{layer}"].T) * (values[layer - 1] > 0)
    return -np.sum(log_softmax * y) / len(y), gradients


def _elementwise(p: Values, inputs: Values) -> tuple[Any, Result]:
    a, b, c, x = p["a"], p["b"], p["c"], inputs["x"]
    u = np.tanh(a * x + b)
    s = 1.0 / (1.0 + np.exp(-c * x))
    root = np.sqrt(2.0 / np.pi)
    t = np.tanh(root * (u + 0.044715 * u**3))
    gelu = 0.5 * u * (1.0 + t)
    d_gelu = 0.5 * (1.0 + t) + 0.5 * u * (1.0 - t**2) * root * (1.0 + 3 * 0.044715 * u**2)
    slope = d_gelu * s * (1.0 - u**2) / x.size
    gradients = {"a": slope * x, "b": slope, "c": gelu * s * (1.0 - s) * x / x.size}
    return np.mean(gelu * s), gradients


def _gmm(p: Values, inputs: Values) -> tuple[Any, Result]:
    """Component by component; with gamma = 1 and m = 0 of the Wishart prior."""
    from math import lgamma, log, pi

    x, alphas, means, lower = inputs["x"], p["alphas"], p["means"], p["lower"]
    (n, d), k = x.shape, len(alphas)
    column, row = np.triu_indices(d, 1)
    diagonal = np.exp(p["log_diagonal"])
    exponents, factors, whitened = np.empty((n, k)), [], []
    for one in range(k):
        factor = np.diag(diagonal[one])
        factor[row, column] = lower[one]
        moved = (x - means[one]) @ factor.T
        exponents[:, one] = alphas[one] + np.sum(p["log_diagonal"][one]) - 0.5 * np.sum(moved**2, 1)
        factors.append(factor)
        whitened.append(moved)
    largest = np.max(exponents, axis=1, keepdims=True)
    shares = np.exp(exponents - largest)
    totals = np.sum(shares, axis=1, keepdims=True)
    shares /= totals
    weights = np.exp(alphas - np.max(alphas))
    log_weights = np.max(alphas) + np.log(np.sum(weights))
    prior = 0.5 * (np.sum(diagonal**2) + np.sum(lower**2))
    log_gamma = 0.25 * d * (d - 1) * log(pi) + sum(
        lgamma(0.5 * (d + 2 - j)) for j in range(1, d + 1)
    )
    prior -= k * (-(d + 1) * d * 0.5 * log(2) - log_gamma)
    density = np.sum(largest + np.log(totals)) - n * (log_weights + 0.5 * d * log(2 * pi))
    gradients: Result = {
        "alphas": -(np.sum(shares, axis=0) - n * weights / np.sum(weights)),
        "means": np.empty_like(means),
        "log_diagonal": np.empty_like(diagonal),
        "lower": np.empty_like(lower),
    }
    for one in range(k):
        pulled = shares[:, one : one + 1] * whitened[one]
        gradients["means"][one] = -np.sum(pulled, axis=0) @ factors[one]
        d_factor = pulled.T @ (x - means[one])
        along = np.diag(d_factor) * diagonal[one] - np.sum(shares[:, one])
        gradients["log_diagonal"][one] = along - diagonal[one] ** 2
        gradients["lower"][one] = d_factor[row, column] - lower[one]
    return -(density + prior), gradients


def _arm(p: Values, inputs: Values) -> tuple[Any, Result]:
    """By the complex step, which is exact to rounding."""
    angles, target = list(p.values()), list(inputs.values())
    gradients: Result = {}
    for joint, name in enumerate(p):
        stepped = [angle + (1e-100j if at == joint else 0.0) for at, angle in enumerate(angles)]
        gradients[name] = np.imag(arm.objective(stepped, target, np.cos, np.sin)) / 1e-100
    return np.sum(arm.objective(angles, target, np.cos, np.sin)), gradients


GRADIENTS: dict[str, Callable[[Values, Values], tuple[Any, Result]]] = {
    "article": _article,
    "linear": _linear,
    "logistic": _logistic,
    "mlp": _mlp,
    "elementwise": _elementwise,
    "gmm": _gmm,
    "arm": _arm,
}
