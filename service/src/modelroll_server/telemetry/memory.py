"""How much memory is left in this container, and how much a piece of work takes at its worst.

Owns the reading of cgroup v1 and v2 files, and of what the kernel says of this process.
"""

import contextlib
import ctypes
from collections.abc import Callable
from pathlib import Path

CGROUP_ROOT = Path("/sys/fs/cgroup")
PROCESS = Path("/proc/self")
MARGIN = 32 * 2**20  # bytes that a load leaves to the requests that are answered meanwhile
_NO_LIMIT = 2**60  # version 1 says "none" by a number about as large as there are

_FILES = (  # limit, usage, statistics, and what those call pages that were read from files and are not in use
    ("memory.max", "memory.current", "memory.stat", "inactive_file"),
    ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes", "memory/memory.stat", "total_inactive_file"),
)


def left(root: Path = CGROUP_ROOT) -> int | None:
    """Bytes that may still be taken; None without a limit, or where no cgroup says."""
    for limit_file, usage_file, statistics, inactive in _FILES:
        try:
            limit = (root / limit_file).read_text(encoding="ascii").strip()
            usage = int((root / usage_file).read_text(encoding="ascii"))
            lines = (root / statistics).read_text(encoding="ascii").splitlines()
            if limit == "max" or int(limit) >= _NO_LIMIT:
                return None
            cached = next((int(line.split()[1]) for line in lines if line.split()[:1] == [inactive]), 0)
        except (OSError, ValueError, IndexError):
            continue
        return max(0, int(limit) - max(0, usage - cached))
    return None


def peak_of(work: Callable[[], object], process: Path = PROCESS) -> int | None:
    """Bytes by which this process grows at most while `work` runs; None where the kernel does not say.

    Less than the truth by what fits into memory that the process has and does not use: some MiB.
    """
    return_freed()
    try:
        (process / "clear_refs").write_text("5", encoding="ascii")  # the highest so far is what there is now
        before = _kibibytes(process, "VmRSS")
    except OSError:
        work()
        return None
    work()
    return max(0, _kibibytes(process, "VmHWM") - before) * 1024


def return_freed() -> None:
    """Give freed pages back to the system: the C library keeps them otherwise, and reloads would look like a leak."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


def _kibibytes(process: Path, name: str) -> int:
    lines = (process / "status").read_text(encoding="ascii", errors="replace").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))
