"""For your own tests: gradients that must be right.

from symflow.testing import assert_gradients

def test_gradients():
    assert_gradients("model.py")
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from symflow.checking import check
from symflow.graph import Tensor, shape_of
from symflow.results import Result, table

__all__ = ["Result", "assert_gradients", "check_gradients"]


def check_gradients(
    model: Path | str | ModuleType | Tensor,
    *,
    at: Mapping[str, Any] | Path | str | None = None,
    shapes: Mapping[str, Sequence[int | str]] | None = None,
    seed: int = 0,
    most: int = 200,
    tolerance: float | None = None,
    exact: bool = False,
    dtype: str = "float64",
) -> list[Result]:
    """What `symflow check` finds, one result per parameter.

    model      path of a model or of a generated module, either of them imported, or the loss of
               a graph, which is differentiated by the Variables that it depends on
    at         values of parameters and inputs by name, or an .npz file of them: where to test.
               What is not given is drawn, from `seed`
    shapes     of placeholders that have none: {"x": ("n", 784)}
    most       entries tested per parameter; of larger ones, as many are sampled
    tolerance  largest relative error that passes: 1e-6 if not given, 1e-3 in float32
    exact      compare with the model in 50 digits rather than with numeric derivatives; results
               then have `ulp`, and the first is the loss
    dtype      "float64" or, if exact, "float32": what the module computes in

    At a kink any number from the derivative from below to that from above passes, for each entry
    by itself. Raises SymflowError where loss or gradients are not finite.
    """
    parsed = {name: shape_of(list(shape)) for name, shape in (shapes or {}).items()}
    return check(
        model,
        parsed,
        at=at,
        seed=seed,
        most=most,
        tolerance=tolerance,
        exact=exact,
        dtype=dtype,
    )


def assert_gradients(
    model: Path | str | ModuleType | Tensor,
    *,
    at: Mapping[str, Any] | Path | str | None = None,
    shapes: Mapping[str, Sequence[int | str]] | None = None,
    seed: int = 0,
    most: int = 200,
    tolerance: float | None = None,
    exact: bool = False,
    dtype: str = "float64",
) -> None:
    """Raise AssertionError, with the table and the reasons, unless `check_gradients` is content."""
    __tracebackhide__ = True
    results = check_gradients(
        model,
        at=at,
        shapes=shapes,
        seed=seed,
        most=most,
        tolerance=tolerance,
        exact=exact,
        dtype=dtype,
    )
    if not all(one.ok for one in results):
        raise AssertionError(f"gradients are wrong\n{table(results)}")
