"""W7: an arm of ten joints, in scalars: about 500 operations.

Joint i turns by its angle about the z axis of the link before it; its link has the length, the
offset and the twist of Denavit and Hartenberg. The loss is the squared distance of the hand from
its target, how far its z axis is from pointing down, and a little of the angles themselves.
"""

import math

import symflow as sf

LENGTHS = (0.30, 0.28, 0.26, 0.24, 0.22, 0.20, 0.18, 0.16, 0.14, 0.12)
OFFSETS = (0.10, 0.02, -0.03, 0.04, -0.02, 0.03, -0.01, 0.02, -0.02, 0.05)
TWISTS = (0.9, -0.7, 0.5, -1.1, 0.8, -0.6, 0.4, -0.9, 0.7, -0.5)

target_x = sf.placeholder(shape=())
target_y = sf.placeholder(shape=())
target_z = sf.placeholder(shape=())

_angles = [sf.Variable(0.1 * (joint + 1), name=f"angle{joint}") for joint in range(10)]

# The columns of the rotation of the last frame, and its origin.
_ex, _ey, _ez = [1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]
_at = [0.0, 0.0, 0.0]
for _angle, _length, _offset, _twist in zip(_angles, LENGTHS, OFFSETS, TWISTS, strict=True):
    _cos, _sin = sf.cos(_angle), sf.sin(_angle)
    _turned = [_cos * x + _sin * y for x, y in zip(_ex, _ey, strict=True)]
    _side = [_cos * y - _sin * x for x, y in zip(_ex, _ey, strict=True)]
    _at = [at + _length * x + _offset * z for at, x, z in zip(_at, _turned, _ez, strict=True)]
    _ct, _st = math.cos(_twist), math.sin(_twist)
    _ex = _turned
    _ey, _ez = (
        [_ct * y + _st * z for y, z in zip(_side, _ez, strict=True)],
        [_ct * z - _st * y for y, z in zip(_side, _ez, strict=True)],
    )

_distance = (
    sf.square(_at[0] - target_x) + sf.square(_at[1] - target_y) + sf.square(_at[2] - target_z)
)
_tilt = sf.square(_ez[0]) + sf.square(_ez[1]) + sf.square(_ez[2] + 1.0)
_bent = sum(sf.square(angle) for angle in _angles)
loss = _distance + 0.1 * _tilt + 0.001 * _bent

train_op = sf.train.GradientDescentOptimizer(0.01).minimize(loss)

__all__ = []
