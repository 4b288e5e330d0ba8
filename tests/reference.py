"""What several tests measure symflow against, and how they run it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

import symflow as sf

Array = NDArray[Any]


def evaluate(fetches: Any, feed: dict[Any, Any] | None = None) -> Any:
    """The values of tensors in a session of their own."""
    with sf.Session() as session:
        return session.run(fetches, feed)


SCALARS_WIDEN = np.lib.NumpyVersion(np.__version__) < "2.0.0"
"""Whether a scalar of float32 that meets a number of Python's is one of float64, as in NumPy 1.26.
Modules and sessions put that right where they hand out a result."""


def precision_within(result: Any, dtype: Any) -> Any:
    """The precision of a result as it is computed, or the one wanted where NumPy may widen it."""
    return dtype if SCALARS_WIDEN and np.ndim(result) == 0 else np.asarray(result).dtype


def complex_step(function: Callable[..., Any], values: list[Array], at: int) -> Array:
    """The gradient of a real function by one operand: f(x + ih) / h has no cancellation."""
    gradient = np.zeros(values[at].shape)
    for entry in np.ndindex(gradient.shape):
        moved = [value.astype(complex) for value in values]
        moved[at][entry] += 1e-30j
        gradient[entry] = function(*moved).imag / 1e-30
    return gradient
