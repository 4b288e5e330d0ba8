"""Random differences and sums of products are no worse than what was written."""

from __future__ import annotations

import pytest
import random_products

EXPRESSIONS = 240
ALL = 5000
CHUNK = 20


@pytest.mark.parametrize("first", range(0, ALL, CHUNK))
def test_random_products(first: int, long: bool) -> None:
    """A sample; `--long` tries them all."""
    if not long and first >= EXPRESSIONS:
        pytest.skip("in make test-long")
    failures = random_products.failures(range(first, first + CHUNK))
    assert not failures, "\n".join(["", *failures])


def test_expressions_are_of_many_kinds() -> None:
    texts = [random_products.expression(seed).text for seed in range(300)]
    assert len(set(texts)) > 290
    for part in (" ** 2 - ", " ** 4", "sf.sqrt(", "sf.log(", "1.0 - (", ") * (", " / ", "0.1 * "):
        assert sum(part in text for text in texts) > 5, part
