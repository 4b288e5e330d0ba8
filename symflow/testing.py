"""For your own tests: models that compile to what is written in them.

from symflow.testing import assert_valid

def test_model():
    assert_valid("model.py")
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from symflow.checking import TOLERANCE, check
from symflow.errors import SymflowError
from symflow.graph import Tensor, shape_of
from symflow.modules import imported
from symflow.results import Result, table
from symflow.shapes import Shape
from symflow.subject import called, compilation_of, compiled_as
from symflow.validation.findings import Finding, Report, Row
from symflow.validation.validating import validate as validate_module
from symflow.validation.validating import validate_compiled

__all__ = [
    "Finding",
    "Report",
    "Result",
    "Row",
    "assert_gradients",
    "assert_valid",
    "check_gradients",
    "validate",
]

Shapes = Mapping[str, Sequence[int | str]]


def validate(
    model: Path | str | ModuleType | Tensor,
    module: Path | str | ModuleType | None = None,
    *,
    at: Mapping[str, Any] | Path | str | None = None,
    shapes: Shapes | None = None,
    seed: int = 0,
) -> Report:
    """What `symflow check` finds of a model: how far its module is from the program as written.

    model   path of a model, the model imported, or the loss of a graph, which is differentiated by
            the Variables that it depends on
    module  a module to compare with it, as what its head says that it is; the compiler's own, in
            both styles, if it is not given
    at      values of parameters and inputs by name, or an .npz file of them: the first point. What
            is not given is drawn, from `seed`
    shapes  of placeholders that have none: {"x": ("n", 784)}
    """
    _check_seed(seed)
    given = _parsed(shapes)
    run = (
        compilation_of(model, given) if module is None else compiled_as(model, _path(module), given)
    )
    if run is None:
        raise SymflowError(
            f"{called(model)}: a generated module without its model",
            hint="give the model; check_gradients tests a module alone",
        )
    if module is None:
        return validate_compiled(run, at=at, seed=seed)
    found = _path(module)
    loaded = found if isinstance(found, ModuleType) else imported(found)
    return validate_module(run, loaded, at=at, seed=seed)


def assert_valid(
    model: Path | str | ModuleType | Tensor,
    module: Path | str | ModuleType | None = None,
    *,
    at: Mapping[str, Any] | Path | str | None = None,
    shapes: Shapes | None = None,
    seed: int = 0,
) -> None:
    """Raise AssertionError, with all that was found, unless `validate` is content."""
    __tracebackhide__ = True
    report = validate(model, module, at=at, shapes=shapes, seed=seed)
    if not report.ok:
        raise AssertionError(f"the module is wrong\n{report}")


def check_gradients(
    model: Path | str | ModuleType | Tensor,
    *,
    at: Mapping[str, Any] | Path | str | None = None,
    shapes: Shapes | None = None,
    seed: int = 0,
    most: int = 200,
    tolerance: float = TOLERANCE,
) -> list[Result]:
    """What `symflow check` finds of a module alone: its gradients against numeric derivatives.

    model      path of a generated module or of a model, either of them imported, or the loss of
               a graph, which is differentiated by the Variables that it depends on
    at         values of parameters and inputs by name, or an .npz file of them: where to test.
               What is not given is drawn, from `seed`
    shapes     of placeholders that have none: {"x": ("n", 784)}
    most       entries tested per parameter; of larger ones, as many are sampled
    tolerance  largest relative error that passes

    At a kink any number from the derivative from below to that from above passes, for each entry
    by itself. Raises SymflowError where loss or gradients are not finite.
    """
    _check_seed(seed)
    return check(model, _parsed(shapes), at=at, seed=seed, most=most, tolerance=tolerance)


def assert_gradients(
    model: Path | str | ModuleType | Tensor,
    *,
    at: Mapping[str, Any] | Path | str | None = None,
    shapes: Shapes | None = None,
    seed: int = 0,
    most: int = 200,
    tolerance: float = TOLERANCE,
) -> None:
    """Raise AssertionError, with the table and the reasons, unless `check_gradients` is content."""
    __tracebackhide__ = True
    results = check_gradients(
        model, at=at, shapes=shapes, seed=seed, most=most, tolerance=tolerance
    )
    if not all(one.ok for one in results):
        raise AssertionError(f"gradients are wrong\n{table(results)}")


def _check_seed(seed: Any) -> None:
    whole = isinstance(seed, (int, np.integer)) and not isinstance(seed, bool)
    if not whole or seed < 0:
        raise SymflowError(f"seed: expected a whole number from 0, got {seed!r}")


def _path(module: Path | str | ModuleType) -> Path | ModuleType:
    return module if isinstance(module, ModuleType) else Path(module)


def _parsed(shapes: Shapes | None) -> Mapping[str, Shape]:
    return {name: shape_of(list(shape)) for name, shape in (shapes or {}).items()}
