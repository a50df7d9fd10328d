"""What callers notice of rollouts in place: a request's time while one is under way, and while none is.

Owns the comparison, and the share of a core that the pods took meanwhile. No version is in memory when pods move to it.
"""

import json
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from both_runtimes import uncompiled
from checker.verdict import Record
from harness import load_pod, traffic
from harness import release as releases
from harness.release import Release

PODS = 3
VERSIONS = ("2.0.0", "1.2.0")
STEADY = 30.0  # seconds
IN_PLACE = {"type": "InPlace", "maxParallel": 1}
# User and system time of the container's first process, which is the server.
_USED = """
import os
fields = open("/proc/1/stat").read().rpartition(")")[2].split()
print((int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK"))
"""


def run(rounds: int, rate: float) -> None:
    """Measure and print."""
    table = Table(
        "artifact", "requests", "failed", "cores", "p50 steady", "p50 rolling", "p99 steady", "p99 rolling", "p99 ratio"
    )
    found: dict[str, dict[str, Any]] = {}
    for kind in ("compiled", "joblib"):
        with releases.fresh("noticed") as release, tempfile.TemporaryDirectory() as directory:
            _install(release, kind, Path(directory))
            one = found[kind] = _measured(release, rounds, rate)
        times = [f"{one[name]:.1f} ms" for name in ("p50_steady", "p50_rolling", "p99_steady", "p99_rolling")]
        table.add_row(
            kind, str(one["requests"]), str(one["failed"]), f"{one['cores']:.2f}", *times, f"{one['ratio']:.2f}"
        )
    Console(width=140).print(table)
    sys.stdout.write(f"{json.dumps(found)}\n")


def _install(release: Release, kind: str, place: Path) -> None:
    if kind == "joblib":
        for version in VERSIONS:
            copy = uncompiled(releases.CHURN / version, place / "churn" / version)
            release.digests[version] = releases.digest_of(copy)
    release.push(place / "churn" if kind == "joblib" else releases.CHURN)
    release.install(autoscaling__enabled="false", replicas=str(PODS), keepPrevious="false")
    for version in reversed(VERSIONS):
        release.apply_version(version, strategy=IN_PLACE, withdrawn=version != "1.2.0")
    release.wait_ready(PODS, 300)
    release.wait_live("1.2.0")
    traffic.ensure_client(release.namespace)


def _measured(release: Release, rounds: int, rate: float) -> dict[str, Any]:
    load = load_pod.Load(release.namespace.name, keep_alive=True, rate=rate)
    load.wait_for_answers(200)
    spans: list[tuple[float, float]] = []
    began, used = time.time(), _seconds_used(release)
    time.sleep(STEADY)
    cores = (_seconds_used(release) - used) / (time.time() - began)
    steady = (began, time.time())
    for number in range(rounds):
        version = VERSIONS[number % 2]
        start = time.time()
        release.change("2.0.0", withdrawn=version != "2.0.0")
        release.wait_live(version)
        spans.append((start, time.time()))
        time.sleep(1.0)
    load.stop()
    records = list(load.records)
    quiet = _times(records, [steady])
    rolling = _times(records, spans)
    p99 = statistics.quantiles(quiet, n=100)[98], statistics.quantiles(rolling, n=100)[98]
    return {
        "requests": len(records),
        "failed": sum(not one["ok"] for one in records),
        "cores": cores,
        "p50_steady": statistics.median(quiet),
        "p50_rolling": statistics.median(rolling),
        "p99_steady": p99[0],
        "p99_rolling": p99[1],
        "ratio": p99[1] / p99[0],
        "rolling_requests": len(rolling),
    }


def _times(records: list[Record], spans: list[tuple[float, float]]) -> list[float]:
    """Milliseconds of the requests that began within the spans."""
    return [one["ms"] for one in records if any(start <= one["start"] < end for start, end in spans)]


def _seconds_used(release: Release) -> float:
    """CPU seconds of all servers since they began."""
    used = 0.0
    for pod in release.pods():
        used += float(release.namespace.kubectl("exec", pod["metadata"]["name"], "--", "python", "-c", _USED))
    return used
