"""Seconds from `kubectl apply` to the last pod's swap, on the cluster that is up; a table, and JSON.

Owns what is measured. Every version that pods move to is a copy under a number of its own, so that no pod has it in
memory; to go back they need load nothing. When a pod swapped, its own `/status` says, to the millisecond, by the clock
that this process reads, too: the cluster has to be on this machine.
"""

import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from datetime import datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from harness import release as releases
from harness.release import Release
from harness.waiting import wait_until

PODS = 10
PODS_OF_ROLLING = 3
OLD = "1.2.0"
IN_PLACE = {"type": "InPlace", "maxParallel": PODS}
ROLLING = {"type": "RollingUpdate"}
Measured = dict[str, list[float]]


def run(rounds: int) -> None:
    """Measure and print."""
    measured: Measured = {}
    settings = {"autoscaling__enabled": "false", "replicas": str(PODS)}
    with releases.fresh("rollouts") as release, tempfile.TemporaryDirectory() as directory:
        versions = _copies(Path(directory), rounds)
        for place in (releases.CHURN, Path(directory) / "churn"):
            release.push(place)
        release.install(**settings)
        release.apply_version(OLD, strategy=IN_PLACE)
        release.wait_ready(PODS, 300)
        release.wait_live(OLD)
        for version, digest in versions:
            _in_place(release, version, digest, measured)
        release.namespace.kubectl("scale", "deployment/churn", f"--replicas={PODS_OF_ROLLING}")
        release.wait_ready(PODS_OF_ROLLING, 120)
        release.change(OLD, strategy=ROLLING)
        for version, digest in versions:
            _rolling(release, version, digest, measured)
    _print(measured)


def _copies(place: Path, count: int) -> list[tuple[str, str]]:
    """Copies of 2.0.0 under other numbers; with their digests."""
    made = []
    for number in range(1, count + 1):
        version = f"2.0.{number}"
        copy = place / "churn" / version
        copy.mkdir(parents=True)
        for file in (releases.CHURN / "2.0.0").iterdir():
            (copy / file.name).write_bytes(file.read_bytes())
        manifest = json.loads((copy / "modelroll.json").read_bytes()) | {"version": version}
        (copy / "modelroll.json").write_text(json.dumps(manifest, indent=1) + "\n")
        made.append((version, releases.digest_of(copy)))
    return made


def _in_place(release: Release, version: str, digest: str, measured: Measured) -> None:
    def forth() -> None:
        release.apply_version(version, digest=digest, strategy=IN_PLACE)

    _measure(release, version, forth, f"InPlace, {PODS} pods, a new version", measured)
    _measure(release, OLD, lambda: release.delete_version(version), f"InPlace, {PODS} pods, back", measured)


def _rolling(release: Release, version: str, digest: str, measured: Measured) -> None:
    name = f"RollingUpdate, {PODS_OF_ROLLING} pods"
    began = time.time()
    release.apply_version(version, digest=digest, strategy=ROLLING)
    release.wait_live(version, 180)
    ready = [_condition_since(pod, "Ready") for pod in release.pods()]
    _add(measured, f"{name}: last new pod Ready", [max(ready) - began])
    release.wait_ready(PODS_OF_ROLLING, 120)
    release.delete_version(version)
    release.wait_live(OLD, 180)
    release.wait_ready(PODS_OF_ROLLING, 120)


def _measure(release: Release, version: str, change: Callable[[], None], name: str, measured: Measured) -> None:
    began = time.time()
    change()
    release.wait_live(version, 120)
    lives = [release.status_of(pod["metadata"]["name"])["live"] for pod in release.pods()]
    assert {live["version"] for live in lives} == {version}
    _add(measured, f"{name}: first pod's swap", [min(_seconds(live["since"]) for live in lives) - began])
    _add(measured, f"{name}: last pod's swap", [max(_seconds(live["since"]) for live in lives) - began])
    is_live = wait_until(lambda: release.condition(version, "Live"), what="the condition Live")
    _add(measured, f"{name}: Live=True, to the second", [_seconds(is_live["lastTransitionTime"]) - began])


def _condition_since(pod: dict[str, Any], kind: str) -> float:
    found = next(one for one in pod["status"]["conditions"] if one["type"] == kind)
    return _seconds(found["lastTransitionTime"])


def _seconds(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def _add(measured: Measured, name: str, seconds: Iterable[float]) -> None:
    measured.setdefault(name, []).extend(round(one, 3) for one in seconds)


def _print(measured: Measured) -> None:
    table = Table("seconds from kubectl's start", "median", "least", "most", "rounds")
    for name, seconds in measured.items():
        least, most = min(seconds), max(seconds)
        table.add_row(name, f"{statistics.median(seconds):.2f}", f"{least:.2f}", f"{most:.2f}", str(len(seconds)))
    Console(width=120).print(table)
    sys.stdout.write(f"{json.dumps(measured)}\n")
