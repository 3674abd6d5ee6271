"""How much of the machine's memory the embedded PostgreSQL takes."""

import shutil
import sys
from pathlib import Path

import psutil

_CGROUP_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")
_LEAST_MB, _MOST_MB, _SPARE_MB = 256, 4096, 256


def memory_settings() -> dict[str, str]:
    """Return PostgreSQL's settings for this machine."""
    return settings_for(_total_bytes() // 2**20, _shared_memory_mb())


def settings_for(total_mb: int, shared_memory_mb: int) -> dict[str, str]:
    """Return the settings for so much memory: an eighth for PostgreSQL's buffers, which hold what searches walk.

    Buffers take memory only as they are filled: a small index takes little of it on any machine.
    """
    buffers_mb = min(max(total_mb // 8, _LEAST_MB), _MOST_MB)
    # A parallel index build shares its memory; containers often have a /dev/shm of 64 MB.
    has_room = shared_memory_mb > buffers_mb + _SPARE_MB
    return {
        "shared_buffers": f"{buffers_mb}MB",
        "effective_cache_size": f"{max(total_mb // 2, 2 * buffers_mb)}MB",
        **({} if has_room else {"dynamic_shared_memory_type": "mmap"}),
    }


def _shared_memory_mb() -> int:
    try:
        return shutil.disk_usage("/dev/shm").free // 2**20
    except FileNotFoundError:
        return sys.maxsize  # not Linux: another mechanism


def _total_bytes() -> int:
    """Return the machine's memory, or what a container may take of it."""
    total = int(psutil.virtual_memory().total)
    for path in _CGROUP_LIMITS:
        try:
            total = min(total, int(Path(path).read_text()))
        except (OSError, ValueError):  # there is no such file, or it says "max"
            continue
    return total
