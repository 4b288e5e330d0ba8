"""Normalisation, under TensorFlow 1's names."""

from __future__ import annotations

from typing import Any

from symflow.arrays import Axis, expand_dims, reduce_mean, reduce_sum
from symflow.functions import add, maximum, multiply, rsqrt, square
from symflow.graph import Tensor, convert


def moments(
    x: Any, axes: Axis, keepdims: bool = False, name: str | None = None
) -> tuple[Tensor, Tensor]:
    """Mean and variance over the given axes; the variance divides by the number of entries."""
    x = convert(x)
    mean = reduce_mean(x, axes, keepdims=keepdims).called("mean")
    centered = (x - (mean if keepdims else _spread(mean, axes, x))).called("centered")
    variance = reduce_mean(square(centered), axes, keepdims=keepdims).called("variance")
    if name is not None:
        mean.name, variance.name = f"{name}_mean", f"{name}_variance"
    return mean, variance


def _spread(mean: Tensor, axes: Axis, x: Tensor) -> Tensor:
    """A mean with the axes that it is over as axes of size one."""
    if axes is None:
        return mean
    wanted = [axes] if isinstance(axes, int) else list(axes)
    if x.shape is not None:
        wanted = [axis % len(x.shape) for axis in wanted]
    elif min(wanted) < 0 <= max(wanted):
        return reduce_mean(x, axes, keepdims=True)
    for axis in sorted(wanted, key=abs):
        mean = expand_dims(mean, axis)
    return mean


def batch_normalization(
    x: Any,
    mean: Any,
    variance: Any,
    offset: Any,
    scale: Any,
    variance_epsilon: float,
    name: str | None = None,
) -> Tensor:
    """scale · (x - mean) / √(variance + variance_epsilon) + offset, all broadcast against x.

    `offset` and `scale` may be None. For a batch, mean and variance are `moments(x, axes)` over
    all axes but the last; gradients go through them too.
    """
    factor = rsqrt(convert(variance) + variance_epsilon).called("factor")
    if scale is not None:
        factor = multiply(factor, scale).called("factor")
    centered = (convert(x) - mean).called("centered")
    if offset is None:
        return multiply(centered, factor, name=name).called("normalized")
    return add(multiply(centered, factor).called("scaled"), offset, name=name).called("normalized")


def layer_norm(
    x: Any,
    offset: Any = None,
    scale: Any = None,
    axes: Axis = -1,
    variance_epsilon: float = 1e-5,
    name: str | None = None,
) -> Tensor:
    """`batch_normalization` of every row by its own mean and variance over `axes`.

    Ba, Kiros and Hinton (2016). `offset` and `scale` are broadcast against x.
    """
    x = convert(x)
    mean, variance = moments(x, axes, keepdims=True)
    return batch_normalization(x, mean, variance, offset, scale, variance_epsilon, name)


def l2_normalize(
    x: Any, axis: Axis = None, epsilon: float = 1e-12, name: str | None = None
) -> Tensor:
    """x / √max(Σ x², epsilon) over the given axes, or over all: 0, with a gradient, at 0."""
    x = convert(x)
    total = reduce_sum(square(x), axis, keepdims=True).called("squares")
    return multiply(x, rsqrt(maximum(total, epsilon)).called("factor"), name=name)
