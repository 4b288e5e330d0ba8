"""Names: what the user calls something never changes what is computed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from conftest import compiled
