"""Arrays → the bytes of an .npz file."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray


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
