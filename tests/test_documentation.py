"""Every code block of the documentation is true: it is run, and prints what the page shows."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import DATA, ROOT
from documentation import Page, blocks, difference, missing

PAGES = [
    ROOT / "README.md",
    *sorted(ROOT.glob("README.*.md")),
    ROOT / "CONTRIBUTING.md",
    ROOT / "CHANGELOG.md",
    *sorted(path for path in ROOT.glob("docs/**/*.md") if "_build" not in path.parts),
]

CANNOT_RUN: dict[str, list[str]] = {}
"""The reasons that blocks give for not being run, by page."""


def named(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty folder as that of a reader, with the examples beside it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.syspath_prepend(tmp_path)
    shutil.copytree(DATA.parent, tmp_path / "examples")
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        if str(tmp_path) in str(getattr(sys.modules[name], "__file__", None) or tmp_path):
            del sys.modules[name]


@pytest.mark.usefixtures("own_table")
@pytest.mark.parametrize("page", PAGES, ids=named)
def test_every_block_of_the_page_is_true(page: Path, folder: Path) -> None:
    Page(page).run()


def test_blocks_that_cannot_run_are_few_and_known() -> None:
    reasons = {
        named(page): [text for one in blocks(page.read_text()) if (text := one.mark("not run"))]
        for page in PAGES
    }
    assert {page: found for page, found in reasons.items() if found} == CANNOT_RUN


def test_what_differs_is_found() -> None:
    assert difference("a 1.25 b", "a 1.26 b") is None
    assert difference("a 1.25 b", "a 1.27 b") is not None
    assert difference("a\n...\nd", "a\nb\nc\nd") is None
    assert difference("a\n...\nd", "a\nd") is None
    assert difference("a\n...\nd", "a\nb\nc") is not None
    assert difference("a\n...", "a") is None
    assert difference("...\nb", "b") is None
    assert difference("a ... d", "a b d") is None
    assert difference("a ... d", "a d") is not None
    assert missing("a\n...\nc\n", "a\nb\nc\n") == ""
    assert missing("a\nc\n", "a\nb\nc\n") == "a\nc\n"


def test_a_block_that_is_not_true_is_named(folder: Path) -> None:
    page = folder / "page.md"
    page.write_text("Text.\n\n```python\nprint(1 + 1)\n```\n\n```text\n3\n```\n")
    with pytest.raises(AssertionError, match=r"page.md:7: .*shown:\n3\n*real:\n2"):
        Page(page).run()


def test_a_block_in_an_unknown_language_is_an_error(folder: Path) -> None:
    page = folder / "page.md"
    page.write_text("```\nwhat is this?\n```\n")
    with pytest.raises(AssertionError, match="is not run"):
        Page(page).run()
