"""Parameters saved and loaded side by side, and processes killed: old or new, whole."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path


def test_nothing_is_torn_and_nothing_fails(long: bool) -> None:
    """1,000 saves and loads and 20 kills; 10,000 and 200 where there is time."""
    script = Path(__file__).parent / "concurrent_saves.py"
    numbers = ("10000", "200") if long else ("1000", "20")
    command = [sys.executable, script, "--operations", numbers[0], "--kills", numbers[1]]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    first, second, third = done.stdout.splitlines()
    assert first.startswith(f"{numbers[0]} saves and loads, 4 processes of 8 threads: 0 failures")
    assert second == "killed before 11 moves or removals: 0 failures"
    assert third == f"killed {numbers[1]} times at random: 0 failures"
