"""Where the benchmarks keep what is made once: models, peers' environments, tools. Outside the repository."""

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
BENCHMARKS = ROOT / "benchmarks"
RESULTS = BENCHMARKS / "results"


def cache() -> Path:
    """`$XDG_CACHE_HOME/modelroll/bench`, or the same under ~/.cache."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "modelroll" / "bench"
