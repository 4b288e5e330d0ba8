"""What a user sees when something is wrong with the model: one line, and where it stands."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from types import FrameType

_PACKAGE = os.path.dirname(os.path.abspath(__file__)) + os.sep


@dataclass(frozen=True, slots=True)
class Location:
    """A line of the user's own code. Only the file's name is kept: output holds no paths."""

    file: str
    line: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


class SymflowError(Exception):
    """A mistake in the model, its data or the command: `model.py:12: matmul: x is (n, 784) ...`.

    Everything that a user can do wrong raises this. A broken invariant inside symflow is an
    AssertionError instead, and is never blamed on the user.
    """

    def __init__(self, message: str, location: Location | None = None) -> None:
        super().__init__(f"{location}: {message}" if location else message)
        self.message = message
        self.location = location


def is_own(frame: FrameType) -> bool:
    """Whether a frame is symflow's, not the user's."""
    return frame.f_code.co_filename.startswith(_PACKAGE)


def calling_location() -> Location | None:
    """The line of the innermost frame that is not symflow's: where the user called us."""
    frame = sys._getframe(1)
    while frame is not None and is_own(frame):
        frame = frame.f_back  # type: ignore[assignment]
    if frame is None:
        return None
    return Location(os.path.basename(frame.f_code.co_filename), frame.f_lineno)
