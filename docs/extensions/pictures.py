"""The directive `{picture}`: what `symflow train --plot` draws, when the site is built.

```{picture} examples/linear_regression.py --data examples/data/linear_regression.csv --steps 20
What can be seen in it.
```

The arguments are those of `symflow train`; files are the examples, and those of the page.
"""

from __future__ import annotations

import html
import os
import re
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.errors import ExtensionError
from sphinx.util.docutils import SphinxDirective

ROOT = Path(__file__).parent.parent.parent
_FILES = re.compile(r"^<!-- file: (\S+) -->\n```python\n(.*?)^```$", re.DOTALL | re.MULTILINE)


class Picture(SphinxDirective):
    """A picture with a line of text below it, which is also read out in its place."""

    required_arguments = 1
    final_argument_whitespace = True
    has_content = True

    def run(self) -> list[nodes.Node]:
        page = Path(self.env.doc2path(self.env.docname))
        number = self.env.new_serialno("picture")
        name = f"{self.env.docname.replace('/', '-')}-{number}.svg"
        target = Path(self.env.app.outdir) / "_images" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        draw(page.read_text(encoding="utf-8"), self.arguments[0], target)
        up = "../" * self.env.docname.count("/")
        said = html.escape(" ".join(self.content))
        image = f'<img src="{up}_images/{name}" alt="{said}">'
        text = f'<figure class="picture">{image}<figcaption>{said}</figcaption></figure>'
        return [nodes.raw("", text, format="html")]


def draw(page: str, arguments: str, target: Path) -> None:
    """Train as the arguments say, and put the picture where it is wanted."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "examples").symlink_to(ROOT / "examples")
        for name, text in _FILES.findall(page):
            (Path(folder) / name).write_text(text, encoding="utf-8")
        command = [sys.executable, "-m", "symflow", "train", *shlex.split(arguments)]
        done = subprocess.run(
            [*command, "--plot", str(target)],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=False,
        )
    if done.returncode:
        raise ExtensionError(f"symflow train {arguments}: {done.stderr}")


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_directive("picture", Picture)
    return {"parallel_read_safe": True}
