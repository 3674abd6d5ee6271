"""Memory settings of the embedded PostgreSQL and Valkey."""

import os
import shutil
import sys
from pathlib import Path

import psutil

from fabra_project.stack.errors import StackError

_CGROUP_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")
_LEAST_MB, _MOST_MB, _SPARE_MB = 256, 4096, 256


def memory_settings() -> dict[str, str]:
    """Return PostgreSQL's settings for this machine."""
    return settings_for(_total_bytes() // 2**20, _shared_memory_mb())


def redis_memory_mb() -> int:
    """Return Valkey's limit: FABRA_REDIS_MEMORY_MB, or an eighth of the machine's memory.

    Raise StackError if the setting is no number.
    """
    given = os.environ.get("FABRA_REDIS_MEMORY_MB", "")
    if given and not (given.isdigit() and int(given) > 0):
        raise StackError(f"FABRA_REDIS_MEMORY_MB must be a number above 0, not {given!r}.")
    return int(given) if given else min(max(_total_bytes() // 2**20 // 8, _LEAST_MB), _MOST_MB)


def settings_for(total_mb: int, shared_memory_mb: int) -> dict[str, str]:
    """Return the settings for this much memory: an eighth of it for PostgreSQL's buffers, which cache the indexes.

    Buffers take memory only as they are filled, so a small index takes little on any machine.
    """
    buffers_mb = min(max(total_mb // 8, _LEAST_MB), _MOST_MB)
    # A parallel index build uses shared memory, and containers often have a /dev/shm of only 64 MB.
    is_shm_large_enough = shared_memory_mb > buffers_mb + _SPARE_MB
    return {
        "shared_buffers": f"{buffers_mb}MB",
        "effective_cache_size": f"{max(total_mb // 2, 2 * buffers_mb)}MB",
        **({} if is_shm_large_enough else {"dynamic_shared_memory_type": "mmap"}),
    }


def _shared_memory_mb() -> int:
    try:
        return shutil.disk_usage("/dev/shm").free // 2**20
    except FileNotFoundError:
        return sys.maxsize  # not Linux, where shared memory works differently


def _total_bytes() -> int:
    """Return the machine's memory, or the container's limit if that is lower."""
    total = int(psutil.virtual_memory().total)
    for path in _CGROUP_LIMITS:
        try:
            total = min(total, int(Path(path).read_text()))
        except (OSError, ValueError):  # the file does not exist, or contains "max"
            continue
    return total
