"""PyTorch, eager: autograd.grad, and updates in place."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from benchmarks import arm
from benchmarks.contender import Builders, Contender
from benchmarks.workloads import Array, Data, Workload

VERSION = f"torch {torch.__version__}"

Values = dict[str, Any]
Loss = Callable[[Values, Values], Any]


def article(p: Values, inputs: Values) -> Any:
    return torch.sum((inputs["x"] * p["w"] + p["b"] - inputs["y"]) ** 2)


def linear(p: Values, inputs: Values) -> Any:
    return torch.mean((inputs["x"] @ p["w"] + p["b"] - inputs["y"]) ** 2)


def logistic(p: Values, inputs: Values) -> Any:
    logits = inputs["x"] @ p["w"] + p["b"]
    return functional.binary_cross_entropy_with_logits(logits, inputs["y"])


def mlp(p: Values, inputs: Values) -> Any:
    value, layers = inputs["x"], len(p) // 2
    for layer in range(1, layers):
        value = torch.relu(torch.addmm(p[f"b{layer}"], value, p[f"w{layer}"]))
    logits = torch.addmm(p[f"b{layers}"], value, p[f"w{layers}"])
    return functional.cross_entropy(logits, inputs["y"])


def elementwise(p: Values, inputs: Values) -> Any:
    x = inputs["x"]
    gelu = functional.gelu(torch.tanh(p["a"] * x + p["b"]), approximate="tanh")
    return torch.mean(gelu * torch.sigmoid(p["c"] * x))


def gmm(p: Values, inputs: Values, products: bool = False) -> Any:
    """ADBench's form; with products, L_k x - L_k μ_k: one matrix product, and a small one."""
    x, (k, d) = inputs["x"], p["means"].shape
    column, row = np.triu_indices(d, 1)
    factors = torch.diag_embed(torch.exp(p["log_diagonal"]))
    factors = factors.index_put(
        (torch.arange(k)[:, None], torch.as_tensor(row), torch.as_tensor(column)), p["lower"]
    )
    if products:
        whitened = (x @ factors.reshape(k * d, d).T).reshape(-1, k, d)
        whitened = whitened - torch.einsum("kij,kj->ki", factors, p["means"])
    else:
        whitened = torch.einsum("kij,nkj->nki", factors, x[:, None, :] - p["means"])
    exponents = p["alphas"] + p["log_diagonal"].sum(1) - 0.5 * (whitened**2).sum(2)
    constant = torch.logsumexp(p["alphas"], 0) + 0.5 * d * math.log(2 * math.pi)
    density = torch.sum(torch.logsumexp(exponents, 1) - constant)
    squares = torch.exp(2 * p["log_diagonal"]).sum() + (p["lower"] ** 2).sum()
    log_gamma = 0.25 * d * (d - 1) * math.log(math.pi)
    log_gamma += sum(math.lgamma(0.5 * (d + 2 - j)) for j in range(1, d + 1))
    wishart = -0.5 * (d + 1) * d * math.log(2) - log_gamma
    return -(density + 0.5 * squares - k * wishart)


def arms(p: Values, inputs: Values) -> Any:
    angles, target = list(p.values()), list(inputs.values())
    return torch.sum(arm.objective(angles, target, torch.cos, torch.sin))


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
        return {"torch": partial(_stepping, workload, data, loss)}
    found: Builders = {"torch": partial(_gradients, data, loss)}
    if workload.family == "gmm":
        by_products = partial(gmm, products=True)
        found["torch, products by hand"] = partial(_gradients, data, by_products)
    return found


def _tensors(values: Mapping[str, Array]) -> Values:
    return {name: torch.as_tensor(value) for name, value in values.items()}


def _gradients(data: Data, loss: Loss) -> Contender:
    p, inputs = _tensors(data.parameters), _tensors(data.inputs)
    for value in p.values():
        value.requires_grad_()
    leaves = list(p.values())

    def run() -> Any:
        value = loss(p, inputs)
        return value, torch.autograd.grad(value, leaves)

    def arrays(found: Any) -> Mapping[str, Array]:
        gradients = {name: one.numpy() for name, one in zip(p, found[1], strict=True)}
        return {"loss": found[0].detach().numpy(), **gradients}

    return Contender(run, arrays)


def _stepping(workload: Workload, data: Data, loss: Loss) -> Contender:
    start, inputs = _tensors(data.parameters), _tensors(data.inputs)

    def run() -> Any:
        p = {name: value.clone().requires_grad_() for name, value in start.items()}
        leaves, losses = list(p.values()), []
        for _ in range(workload.steps):
            value = loss(p, inputs)
            gradients = torch.autograd.grad(value, leaves)
            losses.append(value.detach())
            with torch.no_grad():
                for one, slope in zip(leaves, gradients, strict=True):
                    one.sub_(slope, alpha=workload.rate)
        return losses, p

    def arrays(found: Any) -> Mapping[str, Array]:
        trained = {name: value.detach().numpy() for name, value in found[1].items()}
        return {"loss": np.array([one.item() for one in found[0]]), **trained}

    return Contender(run, arrays)
