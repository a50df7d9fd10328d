"""What is written into a ModelVersion's status, and when nothing is."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from modelroll_operator.api import Answer, Api, ApiError
from modelroll_operator.observed import Attempt
from modelroll_operator.report import Condition, PodCounts, Report
from modelroll_operator.status import StatusWriter
from simulation import values

PROGRESSING = Report(
    (
        Condition("Ready", "False", "Progressing", "pods move"),
        Condition("Reconciling", "True", "Progressing", "pods move"),
    ),
    pods=PodCounts(desired=2, updated=0, ready=2),
)
LIVE = Report(
    (Condition("Ready", "True", "Live", "it answers"), Condition("Live", "True", "Live", "it answers")),
    pods=PodCounts(desired=2, updated=2, ready=2),
    served_digest="sha256:1",
    succeeded="key",
    revision=8,
)
LATER = values.NOW + timedelta(seconds=5)


def merge(target: Any, patch: Any) -> Any:
    """RFC 7386, as the API server does it."""
    if not isinstance(patch, dict):
        return patch
    merged = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        merged[name] = None if value is None else merge(merged.get(name), value)
    return {name: value for name, value in merged.items() if value is not None}


class OneVersion(Api):
    """An API server that holds one ModelVersion's status, and counts Events."""

    def __init__(self) -> None:
        self.namespace = "ns"
        self.item: dict[str, Any] = {
            "metadata": {"name": "churn-2.0.0", "uid": "u", "generation": 3, "resourceVersion": "1"}
        }
        self.events: list[dict[str, Any]] = []
        self.patches: list[dict[str, Any]] = []
        self.events_are_refused = False

    async def call(self, method: str, path: str, body: dict[str, Any] | None = None, **_: Any) -> Answer:
        assert body is not None
        if path.endswith("/events"):
            if self.events_are_refused:
                raise ApiError(403, "no more Events in this namespace")
            self.events.append(body)
        else:
            assert method == "PATCH"
            assert path.endswith("/modelversions/churn-2.0.0/status")
            self.patches.append(body)
            self.item = {**self.item, "status": merge(self.status, body["status"])}
        return Answer({}, values.NOW)

    @property
    def status(self) -> dict[str, Any]:
        found: dict[str, Any] = self.item.get("status", {})
        return found

    def condition(self, kind: str) -> dict[str, Any]:
        found: dict[str, Any] = next(one for one in self.status["conditions"] if one["type"] == kind)
        return found


@pytest.fixture
def api() -> OneVersion:
    return OneVersion()


async def test_a_status_that_says_it_all_is_not_written_again(api: OneVersion) -> None:
    writer = StatusWriter(api)
    assert await writer.write(api.item, PROGRESSING, values.NOW)
    assert not await writer.write(api.item, PROGRESSING, LATER)
    assert (len(api.patches), len(api.events)) == (1, 1)


async def test_a_write_names_what_it_was_made_from(api: OneVersion) -> None:
    await StatusWriter(api).write(api.item, PROGRESSING, values.NOW)
    assert api.patches[0]["metadata"] == {"resourceVersion": "1"}
    assert api.status["observedGeneration"] == 3
    assert {one["observedGeneration"] for one in api.status["conditions"]} == {3}


async def test_the_time_of_a_condition_moves_only_with_its_status(api: OneVersion) -> None:
    writer = StatusWriter(api)
    await writer.write(api.item, PROGRESSING, values.NOW)
    began = api.condition("Ready")["lastTransitionTime"]
    api.item["metadata"]["generation"] = 4
    await writer.write(api.item, PROGRESSING, LATER)
    assert api.condition("Ready")["lastTransitionTime"] == began
    assert api.condition("Ready")["observedGeneration"] == 4
    await writer.write(api.item, LIVE, LATER)
    assert api.condition("Ready")["lastTransitionTime"] != began


async def test_a_condition_that_is_true_no_longer_is_taken_away(api: OneVersion) -> None:
    writer = StatusWriter(api)
    await writer.write(api.item, PROGRESSING, values.NOW)
    await writer.write(api.item, LIVE, LATER)
    assert [one["type"] for one in api.status["conditions"]] == ["Ready", "Live"]


async def test_going_live_is_told_and_remembered(api: OneVersion) -> None:
    await StatusWriter(api).write(api.item, LIVE, values.NOW)
    assert api.status["attempt"] == {
        "key": "key",
        "outcome": "Succeeded",
        "reason": "Live",
        "time": "2026-01-01T00:00:00Z",
    }
    assert api.status["history"] == [{"time": "2026-01-01T00:00:00Z", "outcome": "Live", "revision": 8}]
    assert api.status["servedDigest"] == "sha256:1"
    (event,) = api.events
    assert (event["type"], event["reason"], event["involvedObject"]["uid"]) == ("Normal", "Live", "u")


async def test_a_failure_is_remembered_and_the_history_has_an_end(api: OneVersion) -> None:
    writer = StatusWriter(api)
    for number in range(12):
        await writer.record(api.item, Attempt(f"key {number}", "Failed", "LoadFailed", "why"), values.NOW)
    assert api.status["attempt"]["key"] == "key 11"
    assert len(api.status["history"]) == 10
    assert api.status["history"][0] == {
        "time": "2026-01-01T00:00:00Z",
        "outcome": "Failed",
        "reason": "LoadFailed",
        "message": "why",
    }


async def test_nothing_of_a_failed_attempt_is_left_beside_a_later_success(api: OneVersion) -> None:
    writer = StatusWriter(api)
    await writer.record(api.item, Attempt("key before", "Failed", "LoadFailed", "why"), values.NOW)
    await writer.write(api.item, LIVE, LATER)
    assert api.status["attempt"].items() >= {"key": "key", "outcome": "Succeeded", "reason": "Live"}.items()
    assert "message" not in api.status["attempt"]
    assert not await writer.write(api.item, LIVE, LATER)


async def test_an_event_that_is_refused_holds_nothing_up(api: OneVersion) -> None:
    api.events_are_refused = True
    assert await StatusWriter(api).write(api.item, LIVE, values.NOW)
    assert api.condition("Live")["status"] == "True"


async def test_degraded_is_told_as_a_warning(api: OneVersion) -> None:
    degraded = Report((Condition("Degraded", "True", "Degraded", "z: ArtifactMissing"),))
    await StatusWriter(api).write(api.item, degraded, values.NOW)
    assert [(one["type"], one["reason"], one["message"]) for one in api.events] == [
        ("Warning", "Degraded", "z: ArtifactMissing")
    ]


async def test_the_retry_that_was_seen_is_said(api: OneVersion) -> None:
    api.item["metadata"]["annotations"] = {"modelroll.dev/retry": "7"}
    await StatusWriter(api).write(api.item, PROGRESSING, values.NOW)
    assert api.status["lastHandledRetry"] == "7"


async def test_what_is_longer_than_the_crd_allows_is_cut(api: OneVersion) -> None:
    api.item["metadata"]["annotations"] = {"modelroll.dev/retry": "é" * 5000}
    long = Condition("Ready", "False", "Progressing", "x" * 40_000)
    await StatusWriter(api).write(api.item, replace(PROGRESSING, conditions=(long,)), values.NOW)
    assert len(api.status["lastHandledRetry"]) == 1024
    assert len(api.condition("Ready")["message"]) == 4096
    await StatusWriter(api).record(api.item, Attempt("key", "Failed", "LoadFailed", "x" * 40_000), values.NOW)
    assert len(api.status["attempt"]["message"]) == len(api.status["history"][0]["message"]) == 4096
