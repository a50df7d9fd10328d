"""Rollouts in place: running pods change versions under load, none is replaced, and a bad version costs none."""

import sys
import time
from pathlib import Path

import pytest

from checker.table import show
from harness.cluster import ROOT
from harness.release import Release
from harness.traffic import summary, under_load

pytestmark = pytest.mark.needs("cluster", "helm", "kubectl")

BAD = ROOT / "tests" / "artifacts" / "churn"
IN_PLACE = {"type": "InPlace", "maxParallel": 3}
SEED = 5
ROLLOUTS = 4


def _pods(release: Release) -> set[str]:
    return {one["metadata"]["uid"] for one in release.pods()}


def test_pods_move_in_place_and_back_under_load(release: Release, capsys: pytest.CaptureFixture[str]) -> None:
    release.apply_version("1.2.0", strategy=IN_PLACE)
    before = _pods(release)
    times: dict[str, float] = {}
    with under_load(release.namespace) as traffic:
        for number in range(1, ROLLOUTS + 1):
            version = "2.0.0" if number % 2 else "1.2.0"
            began = time.monotonic()
            if number == 1:
                release.apply_version("2.0.0", strategy=IN_PLACE)
            else:
                release.change("2.0.0", withdrawn=version == "1.2.0")
            release.wait_live(version)
            times[f"{number}: {version}"] = round(time.monotonic() - began, 1)
    with capsys.disabled():
        show(traffic.verdict, times)
        sys.stdout.write(f"{summary(traffic.verdict, in_place_seconds=list(times.values()))}\n")
    traffic.assert_flawless()
    assert traffic.verdict.by_version.keys() == {"1.2.0", "2.0.0"}
    assert _pods(release) == before


def test_a_bad_version_is_tried_by_one_pod_and_answers_nobody(release: Release) -> None:
    release.push(Path(BAD))
    before = _pods(release)
    with under_load(release.namespace) as traffic:
        release.apply_version("2.1.0", digest="sha256:" + "0" * 64, strategy=IN_PLACE)
        assert release.wait_stalled("2.1.0") == "DigestMismatch"
        release.delete_version("2.1.0")
    traffic.assert_flawless()
    assert _pods(release) == before
    assert "2.1.0" not in traffic.verdict.by_version
