"""`sf.nn`: activations, layers and losses of networks, under TensorFlow 1's names."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from symflow.arrays import expand_dims, l2_loss, log_softmax, reduce_sum, softmax, squeeze
from symflow.convolution import (
    conv1d,
    conv2d,
    conv2d_transpose,
    conv3d,
    depthwise_conv2d,
    separable_conv2d,
)
from symflow.functions import (
    add,
    elu,
    leaky_relu,
    multiply,
    ndtr,
    negative,
    relu,
    relu6,
    selu,
    sigmoid,
    softplus,
    subtract,
    swish,
    tanh,
)
from symflow.functions import gelu as _gelu
from symflow.graph import Tensor, convert, structural
from symflow.guidance import unknown
from symflow.normalization import batch_normalization, l2_normalize, layer_norm, moments
from symflow.pooling import avg_pool, avg_pool1d, avg_pool3d, max_pool, max_pool1d, max_pool3d
from symflow.selection import embedding_lookup, top_k

__all__ = [
    "avg_pool",
    "avg_pool1d",
    "avg_pool3d",
    "batch_normalization",
    "bias_add",
    "conv1d",
    "conv2d",
    "conv2d_transpose",
    "conv3d",
    "depthwise_conv2d",
    "elu",
    "embedding_lookup",
    "gelu",
    "l2_loss",
    "l2_normalize",
    "layer_norm",
    "leaky_relu",
    "log_softmax",
    "max_pool",
    "max_pool1d",
    "max_pool3d",
    "moments",
    "relu",
    "relu6",
    "selu",
    "separable_conv2d",
    "sigmoid",
    "sigmoid_cross_entropy_with_logits",
    "softmax",
    "softmax_cross_entropy_with_logits",
    "softplus",
    "sparse_softmax_cross_entropy_with_logits",
    "swish",
    "tanh",
    "top_k",
]


def softmax_cross_entropy_with_logits(
    *, labels: Any, logits: Any, axis: int = -1, name: str | None = None
) -> Tensor:
    """-Σ labels · log softmax(logits) along an axis; one number per row."""
    return negative(reduce_sum(convert(labels) * log_softmax(logits, axis), axis), name=name)


def sparse_softmax_cross_entropy_with_logits(
    *, labels: Any, logits: Any, name: str | None = None
) -> Tensor:
    """-log softmax(logits) at a label: a whole number per row, which of the last axis' entries.

    labels  (...), whole numbers; negative ones count from the end, as in NumPy, and one that is out
            of range is an IndexError when the program runs
    logits  (..., classes)

    The result has the shape of the labels. Raises SymflowError, with the line of the model, where
    these shapes do not agree, or labels are no whole numbers.
    """
    logits, labels = convert(logits), expand_dims(labels, -1)
    shares = log_softmax(logits, -1).called("log_softmax")
    operation = "sparse_softmax_cross_entropy_with_logits"
    right = structural(operation, shares, labels).called("log_likelihood")
    return negative(squeeze(right, -1), name=name)


def sigmoid_cross_entropy_with_logits(
    *, labels: Any, logits: Any, name: str | None = None
) -> Tensor:
    """-y · log σ(z) - (1 - y) · log(1 - σ(z)) = softplus(z) - y · z, for each entry."""
    logits = convert(logits)
    return subtract(softplus(logits), convert(labels) * logits, name=name)


def gelu(features: Any, approximate: bool = True, name: str | None = None) -> Tensor:
    """x · Φ(x), by Hendrycks and Gimpel (2016): their approximation with tanh, which NumPy can
    compute, or the function itself, which SciPy can."""
    if approximate:
        return _gelu(features, name=name)
    features = convert(features)
    return multiply(features, ndtr(features), name=name)


def bias_add(value: Any, bias: Any, name: str | None = None) -> Tensor:
    """value + bias, the bias along the last axis."""
    return add(value, bias, name=name)


if not TYPE_CHECKING:
    __getattr__ = unknown("sf.nn", __all__)
