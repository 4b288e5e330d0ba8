"""A module against a run of the compiler: every check there is, and what each of them finds."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

from symflow.compilation import Compilation
from symflow.validation.findings import Finding, Report


@dataclass
class Validation:
    """A module that is validated, and what all checks share.

    compilation  the run of the compiler that the module is said to come from
    module       the module, loaded; it may be another than the compiler would make
    at           values of parameters and inputs by name, or an .npz file of them
    seed         of everything that is drawn
    seconds      how long the checks may take together, roughly
    limits       what was left out; checks append to it
    """

    compilation: Compilation
    module: ModuleType
    at: Mapping[str, Any] | Path | str | None = None
    seed: int = 0
    seconds: float = 8.0
    limits: list[str] = field(default_factory=list)


Check = Callable[[Validation], Iterator[Finding]]

CHECKS: tuple[Check, ...] = ()
"""In the order in which they are made."""


def validate(
    compilation: Compilation,
    module: ModuleType,
    *,
    at: Mapping[str, Any] | Path | str | None = None,
    seed: int = 0,
    seconds: float = 8.0,
) -> Report:
    """Compare a module with the program as it was written."""
    validation = Validation(compilation, module, at, seed, seconds)
    findings = tuple(finding for check in CHECKS for finding in check(validation))
    return Report(findings, tuple(validation.limits))
