"""How many ulp every operation is off. Here the elementwise ones, and the page that shows all.

    python tests/accuracy.py     writes docs/operations.md

An error is counted in units in the last place of the exact result. Near a zero of a derivative
only the absolute error means something: there the unit is that of a hundredth of the largest
result among the points, or of 0.01.
"""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import array_accuracy
import mpmath
import numpy as np
import sympy as sp
from numpy.typing import NDArray

import symflow as sf
from symflow.arithmetic import undistributed
from symflow.elementwise import Elementwise, canonical, differentiated
from symflow.graph import apply
from symflow.notation import expression_text
from symflow.program import slot
from symflow.rows import ROWS

Array = NDArray[Any]

POINTS = 100
GAMMAS = ("lgamma", "digamma", "polygamma", "log_rising", "polygamma_change")
"""Of negative operands only in the tests: mpmath walks from there to positive ones by ones."""

SLOW = {
    "lgamma": 40,
    "digamma": 40,
    "polygamma": 40,
    "erfinv": 40,
    "ndtri": 100,
    "log_rising": 160,
    "polygamma_change": 160,
}
"""Enough digits where mpmath takes long."""

OUTPUT = Path(__file__).parent.parent / "docs" / "operations.md"


def symbols(row: Elementwise) -> list[sp.Symbol]:
    return list(sp.symbols(f"x:{row.arity}", real=True))


def derived(row: Elementwise, variables: list[sp.Symbol], by: Sequence[int]) -> sp.Expr:
    """The row's maths, differentiated by the operands `by`. SymPy leaves floor′, which is 0."""
    expression = sp.sympify(row.maths(*variables))
    for operand in by:
        expression = sp.diff(expression, variables[operand])
        expression = expression.replace(
            lambda part: isinstance(part, (sp.Derivative, sp.Subs)), lambda part: sp.Integer(0)
        )
    return expression


def exact(
    row: Elementwise, operands: Sequence[Array], by: Sequence[int] = (), digits: int = 50
) -> list[mpmath.mpf]:
    """The row's maths, differentiated by the operands `by`, at each point; NaN where undefined."""
    variables = symbols(row)
    evaluate = sp.lambdify(variables, derived(row, variables, by), "mpmath")
    found: list[mpmath.mpf] = []
    with mpmath.workdps(digits):
        for point in zip(*operands, strict=True):
            try:
                value = mpmath.mpmathify(evaluate(*(mpmath.mpf(float(one)) for one in point)))
            except (ZeroDivisionError, ValueError, OverflowError):
                value = mpmath.nan
            found.append(value if isinstance(value, mpmath.mpf) else mpmath.nan)
    return found


def inside(row: Elementwise, dtype: Any) -> list[Array]:
    """Random operands from the row's domain."""
    random = np.random.default_rng(0)
    found = []
    for number, (low, high) in enumerate(row.domain):
        values = random.uniform(low, high, POINTS).astype(dtype)
        whole = row.result == "bool" or number < row.result_from
        found.append(np.round(values) if whole else values)
    return found


def extreme(row: Elementwise, dtype: Any) -> list[Array]:
    """Operands of every magnitude, and close to one."""
    random = np.random.default_rng(1)
    reach = np.log10(float(np.finfo(dtype).max)) / 6
    found = []
    for number in range(row.arity):
        magnitudes = 10.0 ** random.uniform(-reach, reach, POINTS)
        moderate = 10.0 ** random.uniform(-3.0, 3.0, POINTS)
        near_one = 1.0 + random.choice([-1.0, 1.0], POINTS) * 2.0 ** -random.uniform(2, 40, POINTS)
        values = np.concatenate([magnitudes, moderate, near_one])
        values = (random.permutation(values) * random.choice([-1.0, 1.0], 3 * POINTS)).astype(dtype)
        if row.result == "int":  # of 64 bits
            values = np.clip(values, -(2.0**62), 2.0**62)
        if row.name in GAMMAS:
            values = np.abs(values)
            if number < row.result_from:  # a small order
                values = random.uniform(*row.domain[number], 3 * POINTS).astype(dtype)
        if row.name in ("hill", "hill_slope"):  # of what is positive, to a moderate power
            values = np.abs(values)
            if number == 2:
                values = random.uniform(*row.domain[number], 3 * POINTS).astype(dtype)
        whole = row.result == "bool" or number < row.result_from
        found.append(np.round(values) if whole else values)
    return found


def measured(row: Elementwise, operands: Sequence[Array], dtype: Any, order: int) -> float:
    """The largest error in ulp of all derivatives of an order, over the points where they exist."""
    if order:  # where two operands are equal, some rows have a kink
        smooth = np.ones(len(operands[0]), bool)
        for first, second in itertools.combinations(operands, 2):
            smooth &= first != second
        operands = [operand[smooth] for operand in operands]
    if row.takes == "booleans":
        operands = [operand != 0.0 for operand in operands]
    x = [sf.placeholder(operand.dtype, ("n",)) for operand in operands]
    wanted = list(itertools.product(range(row.arity), repeat=order))
    fetches = []
    for by in wanted:
        y = apply(row, x)
        for operand in by:
            (y,) = sf.gradients(sf.reduce_sum(y), x[operand])
        fetches.append(y)
    with sf.Session() as session, np.errstate(all="ignore"):
        results = session.run(fetches, dict(zip(x, operands, strict=True)))
    # a number of 1e51 beside one of 1e-51 needs all their digits
    large = max(float(np.max(np.abs(one))) for one in operands) >= 100
    digits = SLOW.get(row.name, 250) if large else 50
    return max(
        _largest(exact(row, operands, by, digits), result, dtype)
        for by, result in zip(wanted, results, strict=True)
    )


def _largest(right: Sequence[mpmath.mpf], result: Array, dtype: Any) -> float:
    """The largest error where the exact result is a normal number of the precision, or zero."""
    limits = np.finfo(dtype)
    normal = [
        value == 0 or float(limits.tiny) <= abs(value) <= float(limits.max) for value in right
    ]
    magnitudes = [abs(float(value)) for value, fits in zip(right, normal, strict=True) if fits]
    floor = max(1e-2 * min(1.0, max(magnitudes, default=0.0)), float(limits.tiny))
    worst = 0.0
    with mpmath.workdps(50):
        for value, found, fits in zip(right, map(float, result), normal, strict=True):
            if fits and np.isfinite(found):
                unit = float(np.spacing(dtype(max(abs(float(value)), floor))))
                worst = max(worst, float(abs(mpmath.mpf(found) - value) / unit))
            elif fits:
                worst = np.inf
    return worst


# --- the page --------------------------------------------------------------------------------

COLUMNS = [
    (precision, points, order)
    for points in (inside, extreme)
    for precision in (np.float64, np.float32)
    for order in range(3)
]
"""What is measured of every row."""


def errors(row: Elementwise) -> list[float | None]:
    """The figures of a row, in the order of COLUMNS; None for derivatives of predicates."""
    found: list[float | None] = []
    for precision, points, order in COLUMNS:
        if row.result in ("bool", "int") and order:
            found.append(None)
            continue
        with sf.Graph().as_default():
            found.append(measured(row, points(row, precision), precision, order))
    return found


def figure(error: float | None) -> str:
    """An error as it stands on the page: two digits, or powers of ten."""
    if error is None:
        return ""
    return f"{error:.1f}" if error < 9.95 else f"{error:.0f}" if error < 999.5 else f"{error:.0e}"


@undistributed
def definition(row: Elementwise) -> list[str]:
    """Name, meaning, and derivatives of a row, as they stand on the page."""
    names = list(inspect.signature(row.maths).parameters)
    operands = {slot(number): sp.Symbol(names[number]) for number in range(row.arity)}
    body = row(*operands)
    slopes = [
        expression_text(differentiated(canonical(body), number).xreplace(operands))
        for number in range(row.arity)
    ]
    return [f"`{row.name}`", row.doc, "" if row.result in ("bool", "int") else ", ".join(slopes)]


PREFACE = """\
# The operations, and how exact they are

This page is made by `make docs` from the table of operations, and tested against it.

Every elementwise operation was compiled, with its first and second derivatives by all operands,
and compared with its definition in 50 digits. The figures are the largest errors in ulp (units in
the last place of the exact result) at 100 random points of the usual domain, and at 300 points of
all magnitudes, from 1e-51 to 1e51 in float64 and from 4e-7 to 2e6 in float32, and close to one,
where operation and result exist and are normal numbers. Near a zero of a derivative only the
absolute error means something: there the unit is that of a hundredth of the largest result among
the points (of 0.01 if that is more). 0.5 is as exact as a number can be.

Derivatives that re-use the stored result, as 1 - tanh² does, are exact to an ulp of one, and so
lose relative digits where they vanish; every framework computes them so, because the result is
there already. At kinks see [numerics.md](numerics.md).
"""


ARRAYS = """\
Operations on arrays, with their gradients and the gradient of a weighted sum of the gradients, on
random entries from -1.7 to -0.3 and from 0.3 to 1.7: the generated code against the same graph in
50 digits. The unit is that of the exact entry, or of a hundredth of the largest one. What only
moves entries is exact; sums are rounded by NumPy and its BLAS.
"""


def page(
    table: Sequence[tuple[Elementwise, Sequence[float | None]]],
    arrays: Sequence[tuple[str, Sequence[float | None]]],
) -> str:
    """The text of docs/operations.md."""
    lines = [PREFACE, "## Elementwise operations", ""]
    lines += _table(["operation", "meaning", "derivative"], [definition(row) for row, _ in table])
    orders = ["value", "1st", "2nd"]
    header = [
        "operation",
        *(f"float64 {one}" for one in orders),
        *(f"float32 {one}" for one in orders),
    ]
    for title, start in (("Errors in the usual domain, in ulp", 0), ("Errors anywhere, in ulp", 6)):
        rows = [
            [f"`{row.name}`", *map(figure, figures[start : start + 6])] for row, figures in table
        ]
        lines += ["", f"## {title}", "", *_table(header, rows)]
    rows = [[f"`{name}`", *map(figure, figures)] for name, figures in arrays]
    lines += ["", "## Errors of operations on arrays, in ulp", "", ARRAYS, *_table(header, rows)]
    return "\n".join(lines) + "\n"


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    cells = [[cell.replace("|", "\\|") for cell in row] for row in (header, *rows)]
    first, *rest = (f"| {' | '.join(row)} |" for row in cells)
    return [first, "|" + " --- |" * len(header), *rest]


def figures_on(text: str) -> dict[str, list[float | None]]:
    """The figures of a page, by operation."""
    found: dict[str, list[float | None]] = {}
    for line in text.partition("## Errors")[2].splitlines():
        name, *cells = [cell.strip() for cell in line.strip("|").split("|")]
        if name.startswith("`"):
            row = [float(cell) if cell else None for cell in cells]
            found.setdefault(name.strip("`"), []).extend(row)
    return found


if __name__ == "__main__":
    rows = [(row, errors(row)) for row in ROWS.values()]
    arrays = [(name, array_accuracy.errors(name)) for name in array_accuracy.CASES]
    OUTPUT.write_text(page(rows, arrays), encoding="utf-8")
