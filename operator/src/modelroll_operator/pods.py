"""What pods say of themselves: `GET /status` on their management port.

Owns when a pod is asked again: when it changed, when it is not yet where it should be, and in a slow sweep. Decides
nothing.
"""

import asyncio
import random
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, TypedDict

import aiohttp
import msgspec

from modelroll_operator import names
from modelroll_operator.api import Json
from modelroll_operator.canary import Numbers
from modelroll_operator.observed import Beside, Failure, PodStatus
from modelroll_operator.target import Content

TIMEOUT = aiohttp.ClientTimeout(total=2)
SWEEP = 300.0  # seconds after which a pod that says nothing new is asked all the same
AT_ONCE = 32
PORT = 8081
LONGEST = 4000  # characters of a message; a condition's may have 32,768
SHOWN = 500  # characters of an expected or found value


class _Metadata(TypedDict, total=False):
    name: str
    uid: str
    creationTimestamp: str
    deletionTimestamp: str
    annotations: dict[str, str]
    ownerReferences: list[Json]


class _Port(TypedDict, total=False):
    name: str
    containerPort: int


class _Container(TypedDict, total=False):
    ports: list[_Port]


class _Spec(TypedDict, total=False):
    nodeName: str
    containers: list[_Container]


class _State(TypedDict, total=False):
    phase: str
    podIP: str
    conditions: list[Json]
    containerStatuses: list[Json]
    initContainerStatuses: list[Json]


class _Pod(TypedDict):
    metadata: _Metadata
    spec: _Spec
    status: _State


class Listed(TypedDict):
    """What is read of a list of pods: a sixth of it. Reading all of a thousand is a tenth of a second of CPU."""

    items: list[_Pod]


class _Uid(msgspec.Struct):
    uid: str = ""


class _Live(msgspec.Struct):
    revision: int
    version: str | None = None
    path: str | None = None
    digest: str | None = None
    env: bool = False


class _Wanted(msgspec.Struct):
    revision: int


class _Failure(msgspec.Struct):
    revision: int
    reason: str
    message: str = ""
    expected: Any = None
    found: Any = None


class _Candidate(msgspec.Struct):
    revision: int
    version: str | None = None
    path: str | None = None
    digest: str | None = None
    numbers: Numbers = Numbers()


class _Document(msgspec.Struct):
    pod: _Uid
    live: _Live | None = None
    wanted: _Wanted | None = None
    failure: _Failure | None = None
    candidate: _Candidate | None = None
    state: str = ""


_DECODER = msgspec.json.Decoder(_Document)


@dataclass(frozen=True, slots=True)
class Awaited:
    """What a pod is on its way to; once it is there it need not be asked again.

    Attributes:
        content: What it shall serve; None: it was asked for nothing.
        revision: At which it shall do so at least.
    """

    content: Content | None
    revision: int = 0

    def has_come(self, status: PodStatus) -> bool:
        """Whether the pod said that it is there."""
        return self.content is None or (status.serves(self.content) and status.live_revision >= self.revision)


@dataclass(slots=True)
class _Known:
    signature: tuple[Any, ...]
    status: PodStatus
    expires: float


class Pods:
    """Asks pods, and remembers what they said."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session
        self._known: dict[str, _Known] = {}
        self._slots = asyncio.Semaphore(AT_ONCE)

    async def statuses(self, pods: Iterable[tuple[Json, Awaited]]) -> dict[str, PodStatus]:
        """What each pod said last, by uid; pods that never answered are left out.

        Args:
            pods: The pods, as the API server has them, each with what it is on its way to.
        """
        listed = list(pods)
        # Most have nothing new to say, and a task for each of a thousand costs more than to see that.
        await asyncio.gather(*(self._learn(pod) for pod, awaited in listed if self._is_to_ask(pod, awaited)))
        for uid in self._known.keys() - {pod["metadata"]["uid"] for pod, _ in listed}:
            del self._known[uid]
        return {uid: known.status for uid, known in self._known.items()}

    def _is_to_ask(self, pod: Json, awaited: Awaited) -> bool:
        known = self._known.get(pod["metadata"]["uid"])
        signature = _signature(pod)
        ready = signature[1]
        return (
            known is None
            or known.signature != signature
            or not ready
            or known.expires <= time.monotonic()
            or not awaited.has_come(known.status)
        )

    async def _learn(self, pod: Json) -> None:
        uid = pod["metadata"]["uid"]
        status = await self._ask(pod, uid)
        if status is not None:
            expires = time.monotonic() + SWEEP * random.uniform(0.5, 1.5)  # noqa: S311  spreads the sweep, no secret
            self._known[uid] = _Known(_signature(pod), status, expires)

    async def _ask(self, pod: Json, uid: str) -> PodStatus | None:
        address = pod["status"].get("podIP")
        if not address or pod["status"].get("phase") != "Running":
            return None
        host = f"[{address}]" if ":" in address else address
        url = f"http://{host}:{_management_port(pod)}/status"
        try:
            async with self._slots, self._session.get(url, timeout=TIMEOUT, allow_redirects=False) as response:
                document = _DECODER.decode(await response.content.read(1_000_000))
        except (aiohttp.ClientError, TimeoutError, OSError, msgspec.MsgspecError):
            return None
        # An address may have passed to another pod since the list was made.
        return _status(document) if document.pod.uid == uid else None


def _signature(pod: Json) -> tuple[Any, ...]:
    restarts = sum(one.get("restartCount", 0) for one in pod["status"].get("containerStatuses", []))
    move = (pod["metadata"].get("annotations") or {}).get(names.MOVE_ANNOTATION)
    return restarts, is_ready(pod), move


def is_ready(pod: Json) -> bool:
    """Whether the pod's condition Ready is true."""
    conditions = pod["status"].get("conditions") or []
    return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)


def _management_port(pod: Json) -> int:
    for container in pod["spec"]["containers"]:
        for port in container.get("ports") or []:
            if port.get("name") == "management":
                return int(port["containerPort"])
    return PORT


def _status(document: _Document) -> PodStatus:
    live, failure = document.live, document.failure
    return PodStatus(
        live=None if live is None else Content(version=live.version, path=live.path, digest=live.digest, env=live.env),
        live_revision=0 if live is None else live.revision,
        wanted_revision=None if document.wanted is None else document.wanted.revision,
        failure=None if failure is None else Failure(failure.revision, failure.reason, _sentence(failure)),
        loading=document.state == "loading",
        candidate=None if document.candidate is None else _beside(document.candidate),
    )


def _beside(found: _Candidate) -> Beside:
    content = Content(version=found.version, path=found.path, digest=found.digest)
    return Beside(content, found.revision, found.numbers)


def _sentence(failure: _Failure) -> str:
    """The pod's sentence, with what it expected and what it found."""
    message = failure.message[:LONGEST]
    if failure.expected is None and failure.found is None:
        return message
    expected, found = (msgspec.json.encode(value).decode()[:SHOWN] for value in (failure.expected, failure.found))
    return f"{message} (expected {expected}, found {found})"
