"""What the schedule assumes of the machine: measured figures, as named defaults in one place."""

from __future__ import annotations

BLOCK_BYTES = 1 << 20
"""What one block of rows may take, inputs and buffers together: it should stay in the L2 cache."""

LEAST_BLOCK = 128
"""Rows below which a matrix product runs at a fraction of its speed, whatever the cache holds."""

MOST_BLOCK = 8192
"""Rows beyond which little is gained: by then a call is a small part of its own work. Twice as
many took 5 % off a chain of 40 functions of one column, on a core that nothing else wanted. But
from 10,000 numbers on OpenBLAS wakes a second thread for a dot product, and waits for it: where
the cores are busy, the same chain took a tenth longer.
"""

NUMBER_BYTES = 8
"""Of a number in an estimate: models are compiled for both precisions, and this is the larger."""

MOST_COLUMNS = 64
"""Of a matrix that is stored by column where the largest entry of each row is wanted."""

KEPT_BYTES = 1 << 28
"""What training may keep of the data beside the data, so as not to compute it at every step."""

SMALL = 16384
"""Entries of an array up to which a temporary one costs no more than a call."""
