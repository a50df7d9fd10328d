"""What the status of a ModelVersion says of its rollout: where it stands, and whether that is an end.

Owns the reading of conditions, and the sentences of `modelroll rollout`. Pure.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

Json = dict[str, Any]
End = Literal["live", "not live"]

RETRY = "modelroll.dev/retry"
LONGEST_RETRY = 1024  # characters of it that a status repeats


@dataclass(frozen=True, slots=True)
class View:
    """One ModelVersion at one moment.

    Attributes:
        updated: Pods that serve it and are Ready.
        desired: Pods that there shall be.
        reason: One word; empty while no operator has looked at it as it is now.
        message: A sentence; may be empty.
        end: How it ended; None while something is under way.
        is_to_retry: Whether it ended in a failure after which only somebody's wish, or a change, makes it try again.
    """

    name: str
    version: str
    updated: int
    desired: int
    reason: str
    message: str
    end: End | None
    is_to_retry: bool

    def __str__(self) -> str:
        """One line."""
        if not self.reason:
            return f"{self.name}: {self.message}"
        said = f"{self.name}: {self.reason}, {self.updated} of {self.desired} pods serve {self.version}"
        return f"{said}: {self.message}" if self.message else said


@dataclass(frozen=True, slots=True)
class Event:
    """One outcome of a rollout."""

    time: str
    name: str
    version: str
    outcome: str
    reason: str
    revision: int | None
    message: str


def view(item: Json) -> View:
    """What a ModelVersion says now."""
    spec, status = item["spec"], item.get("status") or {}
    conditions = {one["type"]: one for one in status.get("conditions") or []}
    pods = status.get("pods") or {}
    ready = conditions.get("Ready") or {}
    is_current = status.get("observedGeneration") == item["metadata"]["generation"] and _is_retried(item, status)
    reason, message = ready.get("reason", ""), ready.get("message", "")
    if not is_current or not reason:
        reason, message = "", "the operator has not looked at " + ("what was changed" if conditions else "it") + " yet"
    end = _end(conditions, reason) if is_current else None
    return View(
        name=name_of(item),
        version=spec["version"],
        updated=pods.get("updated", 0),
        desired=pods.get("desired", 0),
        reason=reason,
        message=message,
        end=end,
        is_to_retry=end == "not live" and has_failed(item) and status["attempt"].get("reason") == reason,
    )


def name_of(item: Json) -> str:
    """The name of a ModelVersion."""
    name: str = item["metadata"]["name"]
    return name


def is_live(item: Json) -> bool:
    """Whether new pods start on it, by what its status last said."""
    conditions = (item.get("status") or {}).get("conditions") or []
    return any(one["type"] == "Live" and one["status"] == "True" for one in conditions)


def has_failed(item: Json) -> bool:
    """Whether the last rollout to it failed."""
    return ((item.get("status") or {}).get("attempt") or {}).get("outcome") == "Failed"


def _is_retried(item: Json, status: Json) -> bool:
    """Whether nobody asked for another try since."""
    retry = (item["metadata"].get("annotations") or {}).get(RETRY)
    return retry is None or retry[:LONGEST_RETRY] == status.get("lastHandledRetry")


def _end(conditions: dict[str, Json], reason: str) -> End | None:
    def is_true(kind: str) -> bool:
        return (conditions.get(kind) or {}).get("status") == "True"

    if is_true("Stalled") or is_true("Conflict") or reason in {"Superseded", "Withdrawn"}:
        return "not live"
    return "live" if is_true("Live") and is_true("RolledOut") and is_true("Ready") else None


def history(items: Iterable[Json]) -> list[Event]:
    """The outcomes that these ModelVersions remember, the newest first."""
    found = [
        Event(
            time=entry["time"],
            name=name_of(item),
            version=item["spec"]["version"],
            outcome=entry["outcome"],
            reason=entry.get("reason", ""),
            revision=entry.get("revision"),
            message=entry.get("message", ""),
        )
        for item in items
        for entry in (item.get("status") or {}).get("history") or []
    ]
    return sorted(found, key=lambda event: (event.time, event.revision or 0), reverse=True)
