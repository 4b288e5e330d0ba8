"""`sf.losses`: what training makes small."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from symflow.arrays import reduce_mean
from symflow.functions import square
from symflow.graph import Tensor, convert
from symflow.guidance import unknown


def mean_squared_error(labels: Any, predictions: Any, name: str | None = None) -> Tensor:
    """The mean of (predictions - labels)² over all entries."""
    return reduce_mean(square(convert(predictions) - labels), name=name)


if not TYPE_CHECKING:
    __getattr__ = unknown("sf.losses", ["mean_squared_error"])
