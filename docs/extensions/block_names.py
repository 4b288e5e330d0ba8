"""Shows the name of a file above its block, and leaves out the other comments of a page.

The comments are those by which the tests know what a block is; see `tests/documentation.py`.
"""

from __future__ import annotations

import re

from docutils import nodes
from sphinx.application import Sphinx

_NAMED = re.compile(r"<!-- (file|in): (\S+) -->")


def _name_blocks(app: Sphinx, tree: nodes.document) -> None:
    for comment in list(tree.findall(nodes.raw)):
        text = comment.astext().strip()
        if not text.startswith("<!--"):
            continue
        block = comment.next_node(siblings=True, descend=False)
        found = _NAMED.fullmatch(text)
        if found and isinstance(block, nodes.literal_block):
            label = found[2] if found[1] == "file" else f"in {found[2]}"
            name = nodes.paragraph(label, label, classes=["block-name"])
            block.parent.insert(block.parent.index(block), name)
        comment.parent.remove(comment)


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("doctree-read", _name_blocks)
    return {"parallel_read_safe": True}
