"""The machine that the figures come from."""

from __future__ import annotations

import os
import platform
from pathlib import Path


def described() -> list[str]:
    """Processor, cores, caches, memory, system, Python; NumPy and its BLAS."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    lines = [f"processor: {_processor()}, {cores} cores, {_extensions()}"]
    caches = _caches()
    if caches:
        lines.append(f"caches: {caches}")
    memory = _field(Path("/proc/meminfo"), "MemTotal")
    if memory:
        lines.append(f"memory: {int(memory.split()[0]) / 2**20:.0f} GiB")
    lines.append(f"system: {platform.system()} {platform.release()}")
    lines.append(f"Python {platform.python_version()}; {_numpy()}")
    return lines


def _field(path: Path, name: str) -> str:
    """What stands behind `name:` for the first time, or ""."""
    try:
        text = path.read_text()
    except OSError:
        return ""
    for line in text.splitlines():
        key, _, value = line.partition(":")
        if key.strip() == name:
            return value.strip()
    return ""


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    name = _field(info, "model name") or platform.processor() or platform.machine()
    family, model = _field(info, "cpu family"), _field(info, "model")
    return f"{name} (family {family}, model {model})" if family else name


def _extensions() -> str:
    flags = _field(Path("/proc/cpuinfo"), "flags").split()
    vector = [flag for flag in ("avx512f", "avx2", "amx_tile") if flag in flags]
    return " ".join(vector) or platform.machine()


def _caches() -> str:
    found: list[str] = []
    for folder in sorted(Path("/sys/devices/system/cpu/cpu0/cache").glob("index*")):
        level, kind, size = ((folder / name).read_text().strip() for name in _CACHE)
        if kind != "Instruction":
            found.append(f"L{level} {_sized(size)}")
    return ", ".join(found)


_CACHE = ("level", "type", "size")


def _sized(size: str) -> str:
    kilobytes = int(size.rstrip("K"))
    return f"{kilobytes // 1024} MiB" if kilobytes >= 1024 else f"{kilobytes} KiB"


def _numpy() -> str:
    try:
        import numpy
    except ImportError:
        return "no NumPy"
    try:
        blas = numpy.show_config(mode="dicts")["Build Dependencies"]["blas"]
        return f"NumPy {numpy.__version__} with {blas['name']} {blas['version']}"
    except (KeyError, TypeError):
        return f"NumPy {numpy.__version__}"
