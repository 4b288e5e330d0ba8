"""docs/operations.md says what the operations are, and how exact."""

from __future__ import annotations

import accuracy
import array_accuracy
import pytest
from array_accuracy import CASES

from symflow.elementwise import Elementwise
from symflow.rows import ROWS

TEXT = accuracy.OUTPUT.read_text(encoding="utf-8")
FIGURES = accuracy.figures_on(TEXT)


def test_the_page_is_of_the_table() -> None:
    """`make docs` writes it again."""
    assert list(FIGURES) == [*ROWS, *CASES]
    rows = [(row, FIGURES[row.name]) for row in ROWS.values()]
    assert accuracy.page(rows, [(name, FIGURES[name]) for name in CASES]) == TEXT


@pytest.mark.parametrize("row", ROWS.values(), ids=lambda row: row.name)
def test_no_error_is_larger_than_documented(row: Elementwise) -> None:
    """By much: other processors round some functions of NumPy otherwise."""
    for documented, found in zip(FIGURES[row.name], accuracy.errors(row), strict=True):
        assert (found is None) == (documented is None)
        if found is not None and documented is not None:
            assert found <= 2 * documented + 1


@pytest.mark.parametrize("name", CASES)
def test_no_error_of_an_array_operation_is_larger_than_documented(name: str) -> None:
    """By much: other libraries add up in another order."""
    for documented, found in zip(FIGURES[name], array_accuracy.errors(name), strict=True):
        assert documented is not None
        assert found <= 4 * documented + 8
