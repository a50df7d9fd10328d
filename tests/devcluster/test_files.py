"""The scripts parse and are clean, and the files for kind and GitHub say what they must."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
SCRIPTS = [
    ROOT / ".ci/run",
    *(ROOT / "hack" / name for name in ("cluster", "current.sh", "with-helm", "kind/kind.sh", "devcluster/devcluster")),
    ROOT / "hack/scale/control-plane",
    *sorted((ROOT / "hack/devcluster/lib").glob("*.sh")),
]


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_script_parses(script: Path) -> None:
    subprocess.run(["bash", "-n", script], check=True)


@pytest.mark.parametrize(
    "name", [".ci/run", "hack/cluster", "hack/with-helm", "hack/devcluster/devcluster", "hack/scale/control-plane"]
)
def test_script_is_clean_with_what_it_sources(name: str) -> None:
    result = subprocess.run(
        [Path(sys.executable).with_name("shellcheck"), "-x", ROOT / name], capture_output=True, text=True, check=False
    )

    assert result.returncode == 0, result.stdout


def _yaml(name: str) -> Any:
    return yaml.safe_load((ROOT / name).read_text())


def test_kind_has_the_same_timing_as_devcluster() -> None:
    cluster = _yaml("hack/kind/cluster.yaml")
    (patch,) = (yaml.safe_load(patch) for patch in cluster["kubeadmConfigPatches"])
    flags = patch["controllerManager"]["extraArgs"]
    devcluster = (ROOT / "hack/devcluster/lib/control_plane.sh").read_text()

    assert flags == dict(
        re.findall(r"--(node-monitor-grace-period|horizontal-pod-autoscaler-sync-period)=(\w+)", devcluster)
    )


def test_the_workflow_runs_the_same_commands_as_the_ci_script() -> None:
    job = _yaml(".github/workflows/ci.yaml")["jobs"]["check"]
    workflow = [step["run"] for step in job["steps"] if "run" in step]
    script = (ROOT / ".ci/run").read_text()

    assert job["env"]["CLUSTER"] == "kind"
    for command in (
        "make setup",
        "hack/servers/build nats-server versitygw",
        "make lint",
        "make verify",
        "make demo",
        "make test",
    ):
        assert command in workflow
        assert command in script


def test_the_workflow_installs_what_the_ci_script_does() -> None:
    steps = _yaml(".github/workflows/ci.yaml")["jobs"]["check"]["steps"]
    (install,) = [step["run"] for step in steps if "apt-get install" in step.get("run", "")]
    parts = re.search(r"for part in (.+); do", (ROOT / ".ci/run").read_text())

    assert parts is not None
    there = {"make", "git", "chromium", "python3-venv"}  # on GitHub's runners
    assert set(parts[1].split()) - there <= set(install.split())
