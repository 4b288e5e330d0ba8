"""Names: what the user calls something never changes what is computed."""

from __future__ import annotations
