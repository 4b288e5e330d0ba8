"""Arrays → the bytes of an .npz file, and what the file beside a module is called.

Its name ends in a hash of what it holds, and the module knows it by that name: a module never
computes with the arrays of another, whichever of the two is replaced first.
"""

from __future__ import annotations

import hashlib
import io
import re
import zipfile
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

_NAMED = re.compile(r"""\b_read_arrays\(\s*["'](\w+\.[0-9a-f]{16}\.npz)["']""")
_WRITTEN = re.compile(r"(\w+)\.([0-9a-f]{16})\.npz")


def archived(arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """An .npz file of arrays of any shapes, the same bytes every time; `np.load` reads it.

    Not by `np.savez`: what it writes beside the arrays depends on the versions of Python and NumPy.
    Raises ValueError for an array of objects.
    """
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as members:
        for name, array in arrays.items():
            member = zipfile.ZipInfo(f"{name}.npy")  # of 1980, as all without a time
            member.create_system = 3  # Unix, wherever it is written
            content = io.BytesIO()
            np.lib.format.write_array(content, array, allow_pickle=False)
            members.writestr(member, content.getvalue())
    return file.getvalue()


def beside(stem: str, archive: bytes) -> str:
    """The name of the file beside a module that holds its arrays."""
    return f"{stem}.{_digest(archive)}.npz"


def named_in(text: str) -> str | None:
    """The file beside a module that its text names, if there is one."""
    found = _NAMED.search(text)
    return None if found is None else found[1]


def is_written(path: Path, stems: Collection[str]) -> bool:
    """Whether a file holds what was written beside a module of such a name: its hash tells."""
    found = _WRITTEN.fullmatch(path.name)
    if found is None or found[1] not in stems or path.is_symlink() or not path.is_file():
        return False
    return _digest(path.read_bytes()) == found[2]


def _digest(archive: bytes) -> str:
    return hashlib.sha256(archive).hexdigest()[:16]
