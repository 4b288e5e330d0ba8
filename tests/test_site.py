"""The documentation builds as a site without a warning, and its links hold."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from conftest import ROOT


def built(folder: Path) -> Path:
    """The site, built as `make site` builds it."""
    options = ["--fail-on-warning", "--keep-going", "--nitpicky", "--quiet"]
    done = subprocess.run(
        [sys.executable, "-m", "sphinx", *options, "docs", str(folder)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert not done.stderr
    return folder


class _Links(HTMLParser):
    """What a page links to, what it loads, and the names in it that can be linked to."""

    def __init__(self) -> None:
        super().__init__()
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.names: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.names |= {value for key in ("id", "name") if (value := given.get(key))}
        if tag == "a" and given.get("href"):
            self.links.append(given["href"] or "")
        elif tag in ("script", "img", "iframe") and given.get("src"):
            self.loaded.append(given["src"] or "")
        elif tag == "link" and given.get("rel") == "stylesheet":
            self.loaded.append(given["href"] or "")


def read(path: Path) -> _Links:
    parser = _Links()
    parser.feed(path.read_text(encoding="utf-8"))
    return parser


def check_link(link: str, path: Path, pages: dict[Path, _Links]) -> None:
    """A link leads to a file, and to a name in it; those to elsewhere are not followed."""
    target = urlsplit(link)
    if target.scheme:
        assert target.scheme in ("https", "http"), link
        return
    file = (path.parent / unquote(target.path)).resolve() if target.path else path
    assert file.exists(), f"{path.name} links to {link}"
    name = unquote(target.fragment)
    if name and file in pages:
        assert name in pages[file].names, f"{path.name} links to {link}"


def test_the_site_builds_and_its_links_hold(tmp_path: Path) -> None:
    """One test, for the site is to be built once, and not by every worker. Nothing that a page
    loads is elsewhere: it can be read without a network.
    """
    pages = {path: read(path) for path in sorted(built(tmp_path).rglob("*.html"))}
    assert len(pages) > 20
    for path, page in pages.items():
        for link in page.links:
            check_link(link, path, pages)
        for source in page.loaded:
            assert not urlsplit(source).netloc, f"{path.name} loads {source}"
            assert (path.parent / urlsplit(source).path).exists(), f"{path.name} loads {source}"


@pytest.mark.parametrize("page", sorted(ROOT.glob("*.md")), ids=lambda page: page.name)
def test_links_of_pages_at_the_top_hold(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#\s]+)", page.read_text(encoding="utf-8")):
        if not urlsplit(target).scheme:
            assert (page.parent / target).exists(), f"{page.name} links to {target}"
