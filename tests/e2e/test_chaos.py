"""Rollouts of every kind, and back, while pods and operators die at random: no request fails, no answer is illegal.

`make chaos ROUNDS=50 SEED=…` makes a long one of it, with 200,000 requests.
"""

import itertools
import os
import random
import sys
import time
from dataclasses import dataclass
from typing import Any

import pytest

from checker.table import show
from harness import chaos
from harness.release import Release
from harness.traffic import summary, under_load
from harness.waiting import wait_until

pytestmark = pytest.mark.needs("cluster", "helm", "kubectl")

SHORT = 3
ROUNDS = int(os.environ.get("ROUNDS") or SHORT)
IS_LONG = ROUNDS > SHORT
REQUESTS = int(os.environ.get("REQUESTS") or IS_LONG * 4000 * ROUNDS)  # at least: rounds go on until then
RATE = float(os.environ.get("RATE") or (100 if IS_LONG else 20))  # of each of the two clients
PODS = 3
PROGRESS_DEADLINE = 120
LIVE = "live"
UNDONE = frozenset({"CrashedWhileLoading", "ProgressDeadlineExceeded"})

CANARY = {
    "shadow": {"duration": "1s", "minRequests": 10},
    "steps": [{"percent": 30, "duration": "1s"}],
    "analysis": {"minRequests": 10, "maxLatencyRatio": 1000},
}
STRATEGIES: dict[str, dict[str, Any]] = {
    "RollingUpdate": {"type": "RollingUpdate"},
    "InPlace": {"type": "InPlace", "maxParallel": 2},
    "canary": {"type": "InPlace", "maxParallel": 2, "canary": CANARY},
}


@pytest.mark.timeout(0 if IS_LONG else 900)  # a long one takes the time of its rounds
def test_nothing_fails_whatever_dies(release: Release, capsys: pytest.CaptureFixture[str]) -> None:
    seed = chaos.seed()
    chance = random.Random(seed)
    with capsys.disabled():
        sys.stdout.write(f"\nSEED={seed} makes the same faults and rollouts\n")
    rounds: list[Round] = []
    kinds: list[str] = []
    release.apply_version("2.0.0", withdrawn=True)
    with (
        under_load(release.namespace, RATE, resend_cut=True) as traffic,
        chaos.Faults(release, traffic.readiness, PODS, seed) as faults,
    ):
        for number in itertools.count(1):
            if number > ROUNDS and traffic.count >= REQUESTS:
                break
            if number % len(STRATEGIES) == 1:
                kinds = chance.sample(sorted(STRATEGIES), len(STRATEGIES))
            rounds.append(roll(release, number, kinds[number % len(STRATEGIES)]))
    with capsys.disabled():
        show(traffic.verdict, {str(one): one.seconds for one in rounds})
        for fault in faults.made:
            sys.stdout.write(f"{fault}\n")
        undone = [str(one) for one in rounds if one.end != LIVE]
        numbers = summary(traffic.verdict, seed=seed, rounds=len(rounds), faults=dict(faults.count), undone=undone)
        sys.stdout.write(f"{numbers}\n")
    traffic.assert_flawless()
    assert traffic.verdict.requests >= REQUESTS
    assert faults.count.total() >= min(3, ROUNDS)
    assert_most_went_live(rounds, may_lack_memory=faults.count[chaos.OUT_OF_MEMORY] > 0)


@dataclass(frozen=True)
class Round:
    """One rollout, to a version that was not served before.

    Attributes:
        end: `live`, or the reason for which it was undone.
        seconds: From what was asked for to that end.
    """

    number: int
    kind: str
    version: str
    end: str
    seconds: float

    def __str__(self) -> str:
        return f"{self.number}: {self.kind} to {self.version}: {self.end}"


def roll(release: Release, number: int, kind: str) -> Round:
    """Have the version that is not served served, by this kind of rollout, and wait for how that ends.

    The one that is served is asked for: after a rollout that was undone it is the same as before, and a round that
    asked for it would be over at once. The call to try again makes a version eligible that has failed, and tells its
    conditions of this round from those of an earlier one.
    """
    before = release.settled()
    version = "1.2.0" if before["version"] == "2.0.0" else "2.0.0"
    began = time.monotonic()
    # Going back is by the strategy of where one goes.
    strategy = {"canary": None, "progressDeadlineSeconds": PROGRESS_DEADLINE} | STRATEGIES[kind]
    if version == "2.0.0":
        release.retry(version, f"round {number}", strategy=strategy, withdrawn=False)
    else:
        release.retry(version, f"round {number}", strategy=strategy)
        release.change("2.0.0", withdrawn=True)
    end = wait_until(lambda: ended(release, version), 2 * PROGRESS_DEADLINE + 60, what=f"round {number}: {kind}")
    after = release.settled()
    assert after["version"] == (version if end == LIVE else before["version"]), f"round {number} was no rollout"
    return Round(number, kind, version, end, round(time.monotonic() - began, 1))


def ended(release: Release, version: str) -> str:
    """`live`, or why the rollout was undone; empty while it goes on.

    A container that dies while it loads takes its rollout with it: whether by the version's doing, nobody can tell.
    """
    # Read before the rollout: what is said of an earlier one is none of this, so there has been one by then.
    stalled, live = release.condition(version, "Stalled"), release.condition(version, "Live")
    if release.rollout() is not None:
        return ""
    if stalled.get("status") == "True":
        return str(stalled["reason"])
    return LIVE if live.get("status") == "True" and release.settled().get("version") == version else ""


def assert_most_went_live(rounds: list[Round], *, may_lack_memory: bool) -> None:
    """Faults undo a rollout now and then, never most of them, and for no other reason than that a process died."""
    live = [one for one in rounds if one.end == LIVE]
    assert 2 * len(live) >= len(rounds)
    assert {one.kind for one in live} == {one.kind for one in rounds}
    # What eats a pod's memory leaves none for a version that is just then to be loaded.
    reasons = UNDONE | ({"NotEnoughMemory"} if may_lack_memory else set())
    assert [str(one) for one in rounds if one.end != LIVE and one.end not in reasons] == []
