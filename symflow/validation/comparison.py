"""Whether arrays of a module are as right as those of the program as written.

One-sided: |error of the module| ≤ 10 · (worst error of the naive code under random rounding)
+ 4 units in the last place of the array's largest entry. NaN and infinity pass only where the
program has no number.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from symflow.validation.written import Truth

Array = NDArray[Any]

FACTOR = 10.0
ULPS = 4.0


class Verdict(IntEnum):
    RIGHT = 0
    OFF = 1  # further off than rounding explains
    LOST = 2  # not finite, where the program is
    UNKNOWN = 3  # the program itself is not finite
    UNDECIDED = 4  # right by one bound of the truth, off by the other


@dataclass(frozen=True)
class Judged:
    """An array of a module, entry by entry.

    verdicts  of every entry
    error     how far off at most
    ratio     the same in units of what naive code is off; 0 where nothing is known
    naive     whether the naive code is finite in any run
    safe      whether it is in all of them: no rounding takes it out of a domain
    """

    verdicts: Array
    error: Array
    ratio: Array
    naive: Array
    safe: Array

    def has(self, verdict: Verdict) -> bool:
        return bool(np.any(self.verdicts == verdict))


@np.errstate(all="ignore")
def judged(given: Array, true: Truth, runs: Array) -> Judged:
    """
    given  the module's array
    runs   the naive code's arrays, one behind the other
    """
    given = np.asarray(given)
    finite = np.isfinite(given)
    spacing = np.spacing(np.asarray(true.largest, given.dtype)).astype(float)
    naive, safe = (np.asarray(some(np.isfinite(runs), axis=0)) for some in (np.any, np.all))
    passes, errors, ratios = [], [], []
    for first, rest in (true.low, true.high):
        error = np.abs((given.astype(float) - first) - rest)
        lost = np.abs((runs.astype(float) - first) - rest)
        noise = np.max(np.where(np.isfinite(lost), lost, 0.0), axis=0)
        allowed = FACTOR * noise + ULPS * spacing
        passes.append(error <= allowed)  # False for NaN
        errors.append(error)
        ratios.append(np.where(error == 0.0, 0.0, FACTOR * error / allowed))
    right, wrong = passes[0] & passes[1], ~passes[0] & ~passes[1]
    verdicts = np.select(
        [~true.finite, true.beyond, ~finite & true.settled, ~finite, right, wrong],
        [
            Verdict.UNKNOWN,
            _beyond(given),
            Verdict.LOST,
            Verdict.UNDECIDED,
            Verdict.RIGHT,
            Verdict.OFF,
        ],
        Verdict.UNDECIDED,
    )
    ratio = np.maximum(*ratios)
    ratio = np.where(np.isfinite(ratio), ratio, 0.0)
    return Judged(verdicts, np.maximum(*errors), ratio, naive, safe)


def _beyond(given: Array) -> Array:
    """What is too large for floats is infinite, or nothing, or at least large."""
    return np.where(np.abs(given) < LARGE, Verdict.OFF, Verdict.RIGHT)


LARGE = 1e300
