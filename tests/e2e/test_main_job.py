"""The main job: a new version goes live, and back, and again, while pods die; no request fails, no answer is wrong."""

import os
import sys
import time

import pytest

from checker.table import show
from harness.chaos import DELETIONS, Faults, seed
from harness.release import Release
from harness.traffic import CUSTOMERS, ask_every_customer, summary, under_load

pytestmark = pytest.mark.needs("cluster", "helm", "kubectl")

ROLLOUTS = int(os.environ.get("ROLLOUTS", "4"))


def test_predictions_are_those_of_scikit_learn(release: Release) -> None:
    for version in ("1.2.0", "2.0.0"):
        release.apply_version(version)
        release.wait_live(version)
        verdict = ask_every_customer(release.namespace)
        assert verdict.failed == ()
        assert verdict.by_version.keys() == {version}
        assert verdict.requests >= CUSTOMERS


def test_nothing_fails_in_rollouts_while_pods_die(release: Release, capsys: pytest.CaptureFixture[str]) -> None:
    release.delete_version("2.0.0")
    release.wait_live("1.2.0")
    chosen = seed()
    with capsys.disabled():
        sys.stdout.write(f"\nSEED={chosen} chooses the same pods to delete\n")
    times: dict[str, float] = {}
    with (
        under_load(release.namespace) as traffic,
        Faults(release, traffic.readiness, 3, chosen, DELETIONS) as deletions,
    ):
        for number in range(1, ROLLOUTS + 1):
            version = "2.0.0" if number % 2 else "1.2.0"
            began = time.monotonic()
            go_to(release, version, first=number == 1)
            release.wait_live(version, 180)
            times[f"{number}: {version}"] = round(time.monotonic() - began, 1)
    with capsys.disabled():
        show(traffic.verdict, times)
        numbers = summary(
            traffic.verdict, rollout_seconds=list(times.values()), deleted=deletions.count.total(), seed=chosen
        )
        sys.stdout.write(f"{numbers}\n")
    traffic.assert_flawless()
    assert deletions.count.total() >= ROLLOUTS // 2
    assert traffic.verdict.by_version.keys() == {"1.2.0", "2.0.0"}


def go_to(release: Release, version: str, *, first: bool) -> None:
    """As a person would: apply it once, take it out, let it in again."""
    if first:
        release.apply_version("2.0.0")
    else:
        release.change("2.0.0", withdrawn=version == "1.2.0")
