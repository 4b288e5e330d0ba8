"""Imports go one way: every module of symflow may import only what stands above it here."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest

import symflow

PACKAGE = Path(symflow.__file__).parent

ORDER = (
    ("arithmetic",),
    ("archives", "ending", "errors", "showing", "source", "continuation"),
    ("elimination", "functional", "machine", "heads", "reading", "writing"),
    ("alphabets", "tokens"),
    ("flat",),
    ("guidance", "shapes", "initializers"),
    ("program",),
    ("elementwise", "text", "statements"),
    ("rows", "bodies", "primitives", "axes", "expressions"),
    ("highprecision",),
    ("views", "windows", "calls"),
    ("matrices", "picking", "picks", "running", "tiling", "signs"),
    ("solvers", "poles"),
    ("operations", "differentiation", "expansion", "contraction", "printing", "guards"),
    ("recurrence",),
    ("ownership",),
    ("batching", "hygiene", "notation", "motion", "matching", "pieces"),
    ("formulas", "formulas.tree", "formulas.spelling"),
    ("formulas.algebra", "formulas.text", "formulas.latex", "formulas.mathml"),
    ("formulas.moving", "formulas.wrapping"),
    ("formulas.reading",),
    ("formulas.selection",),
    ("formulas.lines",),
    ("rules", "polynomials"),
    ("substitution", "invariants"),
    ("infinities",),
    ("structures", "products"),
    ("stabilisation",),
    ("solving", "estimates"),
    ("affine", "scaling"),
    ("simplification", "choice"),
    ("schedule", "graph", "storage", "moments", "grouping"),
    ("derivatives", "naming", "lowering", "layout", "scalars"),
    ("evaluation",),
    ("registration",),
    ("functions",),
    ("arrays", "filling"),
    ("matrix_parts", "reductions", "selection", "shaping"),
    ("sliding", "normalization"),
    ("convolution", "pooling"),
    ("linalg", "nn", "scanning", "losses", "train", "initial", "watching"),
    ("memory",),
    ("folding",),
    ("compiler",),
    ("gathering",),
    ("cores", "descent"),
    ("execution", "loop", "session"),
    ("model",),
    ("shipping",),
    ("invocation", "scalar_functions"),
    ("compilation", "arguments", "embedding"),
    ("vectors",),
    ("selftest", "forward"),
    ("backward",),
    ("emission",),
    ("files",),
    ("explaining", "explaining.training"),
    ("explaining.content",),
    ("explaining.paper", "explaining.terminal"),
    ("modules",),
    ("subject", "differences", "results"),
    ("tracing", "exactness", "roundoff"),
    ("diagnosis",),
    ("validation", "validation.findings", "validation.floats", "validation.points"),
    ("validation.written", "validation.borders"),
    ("validation.calling", "validation.comparison", "validation.derivatives"),
    ("validation.limits",),
    ("validation.values", "validation.naive"),
    ("validation.cases", "validation.trajectories"),
    ("validation.calls",),
    ("validation.functions", "validation.threads", "validation.contract"),
    ("validation.training",),
    ("validation.blame",),
    ("validation.validating",),
    ("checking",),
    ("testing",),
    ("notebook",),
    ("report", "report.layers", "report.entries", "report.buffers", "report.relabelling"),
    ("report.computed", "report.costs", "report.equations", "report.graph"),
    ("report.picture",),
    ("report.listing",),
    ("report.tables", "report.tensors"),
    ("report.page",),
    ("api",),
    ("estimators.building", "estimators.roles"),
    ("estimators.base",),
    ("estimators.classification", "estimators.regression"),
    ("estimators",),
    ("fitting", "fitting.tables", "fitting.interrupts", "fitting.progress"),
    ("fitting.matching",),
    ("fitting.modules",),
    ("fitting.checkpoints", "fitting.predictions"),
    ("fitting.run",),
    ("fitting.pictures",),
    ("commands", "commands.options"),
    ("commands.check", "commands.compile", "commands.explain", "commands.rules"),
    ("commands.predict", "commands.train"),
    ("cli",),
    ("__main__",),
)
FILES = sorted(PACKAGE.rglob("*.py"))
FLOOR = {name: floor for floor, names in enumerate(ORDER) for name in names}


def imported(path: Path) -> list[str]:
    """The modules of symflow that a file imports, wherever in it."""
    found: list[str] = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("symflow"):
            found.append((node.module or "").removeprefix("symflow").removeprefix("."))
        elif isinstance(node, ast.Import):
            found += [
                one.name.removeprefix("symflow").removeprefix(".")
                for one in node.names
                if one.name.split(".")[0] == "symflow"
            ]
    return [name for name in found if name]


def dotted(path: Path) -> str:
    """The name of a module below `symflow`; "" for the package itself."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@pytest.mark.parametrize("path", FILES, ids=dotted)
def test_imports_go_one_way(path: Path) -> None:
    own = dotted(path)
    if not own:
        assert set(imported(path)) <= {"api"}
        return
    assert own in FLOOR, f"{own} has no place in the order of modules"
    for name in imported(path):
        assert FLOOR[name] < FLOOR[own], f"{own} imports {name}, which stands below it"


OPTIONAL = {
    "estimators": {"sklearn", "scipy"},
    "fitting.pictures": {"matplotlib"},
    "fitting.tables": {"pyarrow"},
}
"""What only some rooms and modules import: the extras of pyproject.toml."""


def test_only_declared_packages_are_imported() -> None:
    needed = {"symflow", "sympy", "numpy", "jinja2", "click", "mpmath", *sys.stdlib_module_names}
    for path in FILES:
        own = dotted(path)
        allowed = needed | OPTIONAL.get(own, OPTIONAL.get(own.partition(".")[0], set()))
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = []
            if isinstance(node, ast.Import):
                names = [one.name for one in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = [node.module or ""]
            for name in names:
                assert name.split(".")[0] in allowed, f"{path.name} imports {name}"


def test_no_module_hides_a_public_name() -> None:
    """Importing `symflow.x` would replace what `symflow.x` gives a user."""
    public = set(dir(symflow)) - {"linalg", "losses", "nn", "testing", "train"}
    assert not public & {dotted(path).partition(".")[0] for path in FILES}
