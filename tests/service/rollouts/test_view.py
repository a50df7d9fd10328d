"""What `modelroll rollout` makes of a ModelVersion's status."""

from typing import Any

import pytest

from modelroll_server.rollouts.view import history, view


def _item(ready: str = "False", reason: str = "Progressing", *, generation: int = 1, **others: str) -> dict[str, Any]:
    conditions = [{"type": "Ready", "status": ready, "reason": reason, "message": "why"}]
    conditions += [{"type": kind, "status": status, "reason": reason, "message": ""} for kind, status in others.items()]
    return {
        "metadata": {"name": "churn-2.0.0", "generation": generation},
        "spec": {"model": "churn", "version": "2.0.0"},
        "status": {
            "observedGeneration": 1,
            "conditions": conditions,
            "pods": {"desired": 3, "updated": 2, "ready": 3, "summary": "2/3"},
        },
    }


@pytest.mark.parametrize(
    ("item", "end"),
    [
        (_item(Reconciling="True"), None),
        (_item("True", "Live", Live="True", RolledOut="True"), "live"),
        (_item("True", "Live", Live="True", RolledOut="False"), None),
        (_item("False", "Degraded", Live="True", RolledOut="True", Degraded="True"), None),
        (_item("False", "GoldenRowsDiffer", Stalled="True"), "not live"),
        (_item("False", "Conflict", Conflict="True"), "not live"),
        (_item("True", "Superseded"), "not live"),
        (_item("False", "Withdrawn"), "not live"),
        (_item("False", "Paused"), None),
        (_item("True", "Live", Live="True", RolledOut="True", generation=2), None),
    ],
)
def test_whether_a_rollout_has_ended(item: dict[str, Any], end: str | None) -> None:
    assert view(item).end == end


@pytest.mark.parametrize(
    ("handled", "retry", "end"),
    [("1", "2", None), (None, "1", None), ("1", "1", "not live"), ("x" * 1024, "x" * 5000, "not live")],
)
def test_another_try_that_was_asked_for_is_no_end(handled: str | None, retry: str, end: str | None) -> None:
    item = _item("False", "GoldenRowsDiffer", Stalled="True")
    item["metadata"]["annotations"] = {"modelroll.dev/retry": retry}
    if handled is not None:
        item["status"]["lastHandledRetry"] = handled
    assert view(item).end == end


def test_one_line_says_where_it_stands() -> None:
    assert str(view(_item())) == "churn-2.0.0: Progressing, 2 of 3 pods serve 2.0.0: why"


def test_what_nobody_has_looked_at_says_so_and_counts_no_pods() -> None:
    item = _item("True", "Live", generation=2, Live="True", RolledOut="True")
    assert str(view(item)) == "churn-2.0.0: the operator has not looked at what was changed yet"
    del item["status"]
    assert str(view(item)) == "churn-2.0.0: the operator has not looked at it yet"


@pytest.mark.parametrize(
    ("item", "attempt", "is_to_retry"),
    [
        (_item("False", "GoldenRowsDiffer", Stalled="True"), "GoldenRowsDiffer", True),
        (_item("False", "DeploymentNotFound", Stalled="True"), "GoldenRowsDiffer", False),
        (_item("False", "DeploymentNotFound", Stalled="True"), None, False),
        (_item("False", "Withdrawn"), "GoldenRowsDiffer", False),
        (_item("True", "Superseded"), None, False),
        (_item("False", "Conflict", Conflict="True"), None, False),
        (_item("False", "GoldenRowsDiffer", Stalled="True", generation=2), "GoldenRowsDiffer", False),
    ],
)
def test_another_try_is_advised_after_a_failure_alone(
    item: dict[str, Any], attempt: str | None, *, is_to_retry: bool
) -> None:
    if attempt is not None:
        item["status"]["attempt"] = {"outcome": "Failed", "reason": attempt}
    assert view(item).is_to_retry is is_to_retry


def test_the_history_of_several_is_one_list_with_the_newest_first() -> None:
    one, other = _item(), _item()
    other["metadata"]["name"], other["spec"]["version"] = "churn-1.0.0", "1.0.0"
    one["status"]["history"] = [
        {"time": "2026-01-03T00:00:00Z", "outcome": "Failed", "reason": "GoldenRowsDiffer", "message": "row 0"},
        {"time": "2026-01-01T00:00:00Z", "outcome": "Live", "revision": 8},
    ]
    other["status"]["history"] = [
        {"time": "2026-01-02T00:00:00Z", "outcome": "Live", "revision": 9},
        {"time": "2026-01-01T00:00:00Z", "outcome": "Live", "revision": 7},
    ]
    events = history([one, other, _item()])
    assert [(event.name, event.outcome, event.revision) for event in events] == [
        ("churn-2.0.0", "Failed", None),
        ("churn-1.0.0", "Live", 9),
        ("churn-2.0.0", "Live", 8),
        ("churn-1.0.0", "Live", 7),
    ]
    assert (events[0].reason, events[0].message) == ("GoldenRowsDiffer", "row 0")
