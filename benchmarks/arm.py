"""The arm of W7 for the other libraries; `models/arm.py` says the same in symflow's words."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

LENGTHS = (0.30, 0.28, 0.26, 0.24, 0.22, 0.20, 0.18, 0.16, 0.14, 0.12)
OFFSETS = (0.10, 0.02, -0.03, 0.04, -0.02, 0.03, -0.01, 0.02, -0.02, 0.05)
TWISTS = (0.9, -0.7, 0.5, -1.1, 0.8, -0.6, 0.4, -0.9, 0.7, -0.5)


def objective(
    angles: Sequence[Any],
    target: Sequence[Any],
    cos: Callable[[Any], Any],
    sin: Callable[[Any], Any],
) -> Any:
    """Distance of the hand from its target, tilt and bend; one number for each arm of a batch.

    angles  ten numbers, or arrays of one shape
    target  x, y and z, of the same shape
    """
    ex, ey, ez = [1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]
    at = [0.0, 0.0, 0.0]
    for angle, length, offset, twist in zip(angles, LENGTHS, OFFSETS, TWISTS, strict=True):
        c, s = cos(angle), sin(angle)
        turned = [c * x + s * y for x, y in zip(ex, ey, strict=True)]
        side = [c * y - s * x for x, y in zip(ex, ey, strict=True)]
        at = [p + length * x + offset * z for p, x, z in zip(at, turned, ez, strict=True)]
        ct, st = math.cos(twist), math.sin(twist)
        ex = turned
        ey, ez = (
            [ct * y + st * z for y, z in zip(side, ez, strict=True)],
            [ct * z - st * y for y, z in zip(side, ez, strict=True)],
        )
    away = [p - wanted for p, wanted in zip(at, target, strict=True)]
    down = [ez[0], ez[1], ez[2] + 1.0]
    distance = sum(one * one for one in away)
    tilt = sum(one * one for one in down)
    bent = sum(angle * angle for angle in angles)
    return distance + 0.1 * tilt + 0.001 * bent
