"""What modules are made of examples and random models, as digests, to compare environments.

python tests/same_bytes.py [N] [--seed SEED] [--texts FOLDER]

Prints a line for each: what it is, and the digest of its modules in both styles, with the files
beside them. Two versions of SymPy, or of anything else, compute the same if they print the same.
With `--texts` the modules are also written, to see where they differ.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, get_args

sys.path.insert(0, str(Path(__file__).parent))

from abstract_models import text
from random_graphs import random_model
from user_models import user_model

from symflow.errors import SymflowError
from symflow.files import compile_files

EXAMPLES = Path(__file__).parent.parent / "examples"

Style = Literal["fast", "plain"]


def models(count: int, seed: int) -> Iterator[tuple[str, str]]:
    """Names and texts: all examples, and as many random models, of both kinds."""
    for path in sorted(set(EXAMPLES.glob("*.py")) - {EXAMPLES / "demo.py"}):
        yield path.stem, path.read_text(encoding="utf-8")
    for number in range(seed, seed + count):
        yield f"user_model_{number}", user_model(number).text
        yield f"graph_{number}", text(random_model(number))


def digest(name: str, content: str, texts: Path | None) -> str:
    """Of all files that a model is compiled to; what is said of it where it is not."""
    found = hashlib.sha256()
    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder) / f"{name}.py"
        model.write_text(content, encoding="utf-8")
        for style in get_args(Style):
            try:
                files = compile_files(model, Path(style), {}, None, style=style)
            except SymflowError as error:
                return str(error.printed).splitlines()[0].replace(folder, "")
            for path, written in sorted(files.items()):
                found.update(str(path).encode() + b"\0" + (written or b"") + b"\0")
                if texts is not None and written is not None:
                    (texts / style).mkdir(parents=True, exist_ok=True)
                    (texts / path).write_bytes(written)
    return found.hexdigest()[:16]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("count", nargs="?", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--texts", type=Path)
    given = parser.parse_args()
    for name, content in models(given.count, given.seed):
        print(name, digest(name, content, given.texts))
    return 0


if __name__ == "__main__":
    sys.exit(main())
