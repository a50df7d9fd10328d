"""Keeps one actor per Deployment, and answers for the ModelVersions that are for none.

Owns the actors and the marks. Decides nothing about rollouts.
"""

import asyncio
import time
from collections.abc import Mapping

import aiohttp
import structlog

from modelroll_operator import liverule, names
from modelroll_operator.actor import LONGEST_BACK_OFF, Actor
from modelroll_operator.api import Api, ApiError, Json
from modelroll_operator.carry_out import Hands
from modelroll_operator.lists import Lists
from modelroll_operator.metrics import Metrics
from modelroll_operator.observe import Observer, model_version
from modelroll_operator.pods import Pods
from modelroll_operator.reminding import Reminder
from modelroll_operator.report import Report, present, unresolved
from modelroll_operator.status import StatusWriter
from modelroll_operator.telemetry.traces import Traces

RESYNC = 120.0  # seconds after which Deployments and ModelVersions are listed again, should an event have been lost

_log = structlog.get_logger(__name__)


class Supervisor:
    """Starts actors, passes marks on, reports orphans."""

    def __init__(
        self, api: Api, session: aiohttp.ClientSession, metrics: Metrics, traces: Traces | None = None
    ) -> None:
        self._api = api
        self._traces = traces
        self._session = session
        self._metrics = metrics
        self._status = StatusWriter(api)
        self._lists = Lists(api)
        self._actors: dict[str, tuple[Actor, asyncio.Task[None]]] = {}
        self._deployments: dict[str, str] = {}
        self._asked: dict[str, Json] = {}  # of each ModelVersion, what is not its status
        self._dirty = asyncio.Event()
        self._dirty.set()
        self.turned = time.monotonic()

    def mark(self, deployment: str, model: str) -> None:
        """This Deployment, which serves this model, changed."""
        if not self.touch(deployment) or self._deployments.get(deployment) != model:
            self._dirty.set()

    def ask(self, item: Json, is_there: bool = True) -> None:
        """This ModelVersion changed: the affair of the Deployments of its model, or ours where it is for none.

        A change of its status alone is our own doing: the numbers of a canary, written down, would have us look at once
        for the next ones.
        """
        version = model_version(item)
        asked = _asked(item)
        if is_there and self._asked.get(version.uid) == asked:
            return
        self._asked[version.uid] = asked
        if not is_there:
            del self._asked[version.uid]
        siblings = _serving(self._deployments, version.model)
        for name in siblings:
            self.touch(name)
        if not any(liverule.resolved(version, siblings, name) for name in siblings):
            self._dirty.set()

    def touch(self, deployment: str) -> bool:
        """Something of this Deployment's changed, such as a pod; whether it is one of ours: most are not."""
        known = self._actors.get(deployment)
        if known is None or known[1].done():
            return False
        known[0].mark()
        return True

    async def run(self) -> None:
        """Supervise until cancelled."""
        failures = 0
        try:
            while True:
                rest = RESYNC
                try:
                    await self._turn()
                    failures = 0
                except ApiError as error:
                    failures += 1
                    self._metrics.api_errors.labels(str(error.status)).inc()
                    rest = min(LONGEST_BACK_OFF, 0.25 * 2.0 ** min(failures, 10))
                    _log.warning("API error", error=str(error))
                self._alive()
                await self._sleep(rest)
        finally:
            for _, task in self._actors.values():
                task.cancel()
            await asyncio.gather(*(task for _, task in self._actors.values()), return_exceptions=True)

    async def _sleep(self, seconds: float) -> None:
        # The loop is seen to turn while it rests, too.
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline and not self._dirty.is_set():
            try:
                async with asyncio.timeout(min(5.0, seconds)):
                    await self._dirty.wait()
            except TimeoutError:
                self._alive()
        self._dirty.clear()

    def _alive(self) -> None:
        self.turned = time.monotonic()

    async def _turn(self) -> None:
        items = (await self._lists.deployments()).body["items"]
        deployments = {item["metadata"]["name"]: item["metadata"]["labels"][names.MODEL_LABEL] for item in items}
        for name, (_, task) in list(self._actors.items()):
            if task.done():
                del self._actors[name]
                # An actor ends by itself when its Deployment is gone; any other end is a fault of ours, to be seen.
                task.result()
        changed = {model for _, model in deployments.items() ^ self._deployments.items()}
        self._deployments = deployments
        for model in changed:  # which Deployment a ModelVersion is for may depend on all that serve its model
            for name in _serving(deployments, model):
                self.touch(name)
        for name in deployments.keys() - self._actors.keys():
            self._actors[name] = self._start(name)
        await self._report_orphans(deployments)

    def _start(self, name: str) -> tuple[Actor, asyncio.Task[None]]:
        observer, hands = Observer(self._api, self._lists, Pods(self._session)), Hands(self._api, self._status)
        actor = Actor(name, observer, self._status, hands, Reminder(self._api), self._metrics, self._traces)
        task = asyncio.create_task(actor.run(self._alive), name=f"actor {name}")
        # A Deployment that is gone may be back already, and its ModelVersions are for none until then.
        task.add_done_callback(lambda _: self._dirty.set())
        return actor, task

    async def _report_orphans(self, deployments: dict[str, str]) -> None:
        answer = await self._lists.model_versions()
        reports: list[tuple[Json, Report]] = []
        present_now: list[tuple[str, ...]] = []
        for item in answer.body["items"]:
            version = model_version(item)
            siblings = _serving(deployments, version.model)
            if version.deleting or any(liverule.resolved(version, siblings, name) for name in siblings):
                continue
            said = unresolved(version, siblings)
            reports.append((item, said))
            present_now += present(version, said)
        self._metrics.conditions("", present_now)
        for item, said in reports:
            try:
                await self._status.write(item, said, answer.date)
            except ApiError as error:
                if error.status not in {404, 409} and not error.is_about_the_body:
                    raise
                # Gone, or changed: seen next turn. Refused: so it will be at every turn, which the count shows.
                self._metrics.api_errors.labels(str(error.status)).inc()


def _serving(deployments: Mapping[str, str], model: str) -> tuple[str, ...]:
    """The names of those that serve the model."""
    return tuple(sorted(name for name, served in deployments.items() if served == model))


def _asked(item: Json) -> Json:
    """What of a ModelVersion people write; a spec that changes has another generation."""
    metadata = item["metadata"]
    return {name: metadata.get(name) for name in ("generation", "annotations", "labels", "deletionTimestamp")}
