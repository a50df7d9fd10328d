"""Writes the status of ModelVersions, and Events on its transitions. Nothing else does.

Owns times, history and what counts as a change: an unchanged status is not written.
"""

import dataclasses
import secrets
from datetime import datetime

import structlog

from modelroll_operator import names
from modelroll_operator.api import MERGE, Api, ApiError, Json
from modelroll_operator.observed import Attempt, Deployment
from modelroll_operator.report import CanaryStatus, Condition, PodCounts, Report

HISTORY = 10
LONGEST_RETRY = 1024  # characters, as the CRD has it
LONGEST_MESSAGE = 4096  # characters; a pod or the scheduler may say more than anybody reads

_log = structlog.get_logger(__name__)

# The transitions to True that people want to hear of, with the type of the Event.
_NEWS = {
    "Live": "Normal",
    "Reconciling": "Normal",
    "Degraded": "Warning",
    "Stalled": "Warning",
    "Conflict": "Warning",
}


class StatusWriter:
    """The one writer."""

    def __init__(self, api: Api) -> None:
        self._api = api

    async def write(self, item: Json, report: Report, now: datetime) -> bool:
        """Bring one ModelVersion's status to what `report` says; whether anything had to change.

        Raises:
            ApiError: The API server refused or did not answer.
        """
        before: Json = item.get("status") or {}
        conditions = _timed(item, report.conditions, now)
        after: Json = {
            "observedGeneration": item["metadata"]["generation"],
            "conditions": conditions,
            "pods": None if report.pods is None else _counted(report.pods),
            "servedDigest": report.served_digest,
        }
        if report.canary is not None:
            after["canary"] = _canary(report.canary)
        retry = (item["metadata"].get("annotations") or {}).get(names.RETRY_ANNOTATION)
        if retry is not None:
            after["lastHandledRetry"] = retry[:LONGEST_RETRY]
        old_attempt = before.get("attempt") or {}
        if report.succeeded is not None and old_attempt.get("key") != report.succeeded:
            # In a merge patch null takes away what an attempt that failed has said.
            gone = {"message": None}
            after["attempt"] = {
                "key": report.succeeded,
                "outcome": "Succeeded",
                "reason": "Live",
                "time": _text(now),
                **gone,
            }
        news = [one for one in report.conditions if _is_news(one, before)]
        if any(one.type == "Live" for one in news):
            entry = {"time": _text(now), "outcome": "Live", "revision": report.revision}
            after["history"] = _with_entry(before, entry)
        if all(before.get(name) == value for name, value in after.items()):
            return False
        await self._patch(item, after)
        for condition in news:
            await self._tell_transition(item, condition, now)
        return True

    async def record(self, item: Json, attempt: Attempt, now: datetime) -> None:
        """Write a failed attempt, before anything is undone.

        Raises:
            ApiError: The API server refused or did not answer.
        """
        entry = {
            "time": _text(now),
            "outcome": attempt.outcome,
            "reason": attempt.reason,
            "message": attempt.message[:LONGEST_MESSAGE],
        }
        history = _with_entry(item.get("status") or {}, entry)
        await self._patch(item, {"attempt": {"key": attempt.key, **entry}, "history": history})

    async def _patch(self, item: Json, status: Json) -> None:
        # The version that was read goes along: a status is never written over one that was not seen.
        body = {"metadata": {"resourceVersion": item["metadata"]["resourceVersion"]}, "status": status}
        path = self._api.group(names.GROUP, names.PLURAL, item["metadata"]["name"], "status")
        await self._api.call("PATCH", path, body, content_type=MERGE)

    async def tell_unasked(self, deployment: Deployment, revision: int, message: str, now: datetime) -> None:
        """Say at a Deployment that nothing eligible asks for what it serves; once per settled revision."""
        # Named by what it is about: an operator that starts again finds it told.
        name = f"{deployment.name}.no-eligible-version.{deployment.uid[:8]}.{revision}"
        about = {"apiVersion": names.APPS, "kind": "Deployment", "name": deployment.name, "uid": deployment.uid}
        await self._tell(name, about, ("Warning", "NoEligibleVersion", message), now)

    async def _tell_transition(self, item: Json, condition: Condition, now: datetime) -> None:
        metadata = item["metadata"]
        name = f"{metadata['name']}.{secrets.token_hex(8)}"
        about = {"apiVersion": names.GROUP, "kind": "ModelVersion", "name": metadata["name"], "uid": metadata["uid"]}
        about["resourceVersion"] = metadata["resourceVersion"]
        await self._tell(name, about, (_NEWS[condition.type], condition.reason, condition.message), now)

    async def _tell(self, name: str, about: Json, said: tuple[str, str, str], now: datetime) -> None:
        kind, reason, message = said
        event = {
            "metadata": {"name": name, "namespace": self._api.namespace},
            "involvedObject": {"namespace": self._api.namespace, **about},
            "type": kind,
            "reason": reason,
            "message": message[:1024],
            "source": {"component": "modelroll-operator"},
            "firstTimestamp": _text(now),
            "lastTimestamp": _text(now),
            "count": 1,
        }
        try:
            await self._api.call("POST", self._api.core("events"), event)
        except ApiError as error:  # an Event is news, not state: losing one must not hold a rollout up
            if error.status != 409:
                _log.warning("event not written", name=name, reason=reason, error=str(error))


def _is_news(condition: Condition, before: Json) -> bool:
    if condition.type not in _NEWS or condition.status != "True" or condition.reason == "Pending":
        return False
    old = next((one for one in before.get("conditions") or [] if one["type"] == condition.type), None)
    return old is None or old["status"] != "True" or old["reason"] != condition.reason


def _timed(item: Json, conditions: tuple[Condition, ...], now: datetime) -> list[Json]:
    """The conditions with their times: the one of the last transition moves only when the status does."""
    old = {one["type"]: one for one in (item.get("status") or {}).get("conditions") or []}
    timed = []
    for condition in conditions:
        was = old.get(condition.type)
        same = was is not None and was["status"] == condition.status
        timed.append(
            {
                "type": condition.type,
                "status": condition.status,
                "observedGeneration": item["metadata"]["generation"],
                "lastTransitionTime": was["lastTransitionTime"] if same and was is not None else _text(now),
                "reason": condition.reason,
                "message": condition.message[:LONGEST_MESSAGE],
            }
        )
    return timed


def _with_entry(status: Json, entry: Json) -> list[Json]:
    return [{name: value for name, value in entry.items() if value is not None}, *(status.get("history") or [])][
        :HISTORY
    ]


def _canary(canary: CanaryStatus) -> Json:
    said = {
        "stage": canary.stage,
        "stages": canary.stages,
        "percent": canary.percent,
        "requests": canary.requests,
        "rows": canary.rows,
        "errorRate": canary.error_rate,
        "disagreement": canary.disagreement,
    }
    return said if canary.latency_ratio is None else said | {"latencyRatio": canary.latency_ratio}


def _counted(pods: PodCounts) -> Json:
    return {**dataclasses.asdict(pods), "summary": f"{pods.updated}/{pods.desired}"}


def _text(time: datetime) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ")
