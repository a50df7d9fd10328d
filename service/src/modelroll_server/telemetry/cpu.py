"""How many CPUs this process may use: the cgroup's quota, else the CPUs it is pinned to.

Owns the reading of cgroup v1 and v2 files. Libraries size their thread pools by the machine's cores, which under a
quota means throttling: the caps of `thread_variables` are for the environment, before numpy is imported.
"""

import math
import os
from collections.abc import Mapping
from pathlib import Path

CGROUP_ROOT = Path("/sys/fs/cgroup")


def quota(root: Path = CGROUP_ROOT) -> float | None:
    """CPUs that the cgroup allows, as a fraction; None without a limit."""
    try:
        text = (root / "cpu.max").read_text(encoding="ascii")
    except OSError:
        return _quota_v1(root)
    allowed, _, period = text.strip().partition(" ")
    return None if allowed == "max" else _ratio(allowed, period or "100000")


def _quota_v1(root: Path) -> float | None:
    for folder in ("cpu", "cpu,cpuacct"):
        try:
            allowed = (root / folder / "cpu.cfs_quota_us").read_text(encoding="ascii").strip()
            period = (root / folder / "cpu.cfs_period_us").read_text(encoding="ascii").strip()
        except OSError:
            continue
        return None if allowed.startswith("-") else _ratio(allowed, period)
    return None


def _ratio(allowed: str, period: str) -> float | None:
    try:
        return int(allowed) / int(period)
    except (ValueError, ZeroDivisionError):
        return None


def usable(root: Path = CGROUP_ROOT) -> int:
    """Whole CPUs to plan threads for, at least one: the quota rounded up, never more than the CPUs of the process."""
    affinity = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    limit = quota(root)
    return max(1, affinity if limit is None else min(affinity, math.ceil(limit)))


def thread_variables(threads: int, environment: Mapping[str, str]) -> dict[str, str]:
    """Caps for the numeric libraries, for the variables that nobody has set."""
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS", "LOKY_MAX_CPU_COUNT")
    return {name: str(threads) for name in names if name not in environment}
