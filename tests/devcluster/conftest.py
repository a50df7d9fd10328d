"""A fake machine for `hack/cluster`, and a shell with the parts of devcluster in it."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from devcluster.fake_machine import ROOT, Machine


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


@pytest.fixture
def bash(tmp_path: Path) -> Callable[[str], subprocess.CompletedProcess[str]]:
    """Run a piece of bash with the parts of devcluster sourced, its state under a folder of the test's own."""

    def run(script: str) -> subprocess.CompletedProcess[str]:
        lib = ROOT / "hack" / "devcluster" / "lib"
        prelude = (
            f"set -euo pipefail; RUN={tmp_path}; BIN=$RUN/bin; HERE={lib.parent}\n"
            "mkdir -p $RUN/logs $BIN; exec {LOCK}>$RUN/lock\n"
            f"say() {{ echo $*; }}; . {lib}/process.sh; . {lib}/build.sh\n"
        )
        return subprocess.run(["bash", "-c", prelude + script], capture_output=True, text=True, check=False, timeout=60)

    return run
