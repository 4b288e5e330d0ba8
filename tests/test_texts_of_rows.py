"""The NumPy text of a row where it is a formula and no call: how tightly it binds."""

from __future__ import annotations

import numpy as np
import pytest
import sympy as sp

from symflow.arithmetic import undistributed
from symflow.bodies import Body, Kinds
from symflow.program import Access, kernel, slot
from symflow.rows import ROWS
from symflow.text import Text

FORMULAS = [
    name
    for name, row in ROWS.items()
    if row.numpy and row.arity <= 2 and any(sign in row.numpy for sign in (" * ", " / "))
]
A, B, C = 0.75, -0.3, 1.9


@pytest.mark.parametrize("name", FORMULAS)
@undistributed
def test_it_is_one_thing_in_what_is_around_it(name: str) -> None:
    a, b, c = slot(0), slot(1), slot(2)
    row = ROWS[name]
    operands = [((a + b, c), (A + B, C)), ((c, a - b), (C, A - B))]
    if row.arity == 1:
        operands = [((a + b - c,), (A + B - C,))]
    for given, value in operands:
        inner = row(*given)
        exact = float(row.maths(*map(sp.Float, value)))
        for body, wanted in (
            (1 / inner, 1 / exact),
            (a - inner, A - exact),
            (a / inner, A / exact),
            (b * inner, B * exact),
            (inner**2, exact**2),
            (sp.sqrt(inner**2 + 1), np.sqrt(exact**2 + 1)),
            (c - 2 * inner / a, C - 2 * exact / A),
        ):
            made = kernel((), (), body, [Access(at, ()) for at in range(3)])
            texts = [Text(f"({one})" if one < 0 else str(one)) for one in (A, B, C)]
            text = Body(made, texts, (), Kinds.of_floats(made)).text(body).source
            names = {"np": np, "_sigmoid": lambda x: 1 / (1 + np.exp(-x))}
            assert np.isclose(eval(text, names), wanted, rtol=1e-12), text


def test_there_are_some() -> None:
    assert {"difference_of_squares", "fraction", "logistic_slope"} <= set(FORMULAS)
