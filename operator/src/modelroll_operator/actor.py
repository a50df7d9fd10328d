"""One Deployment's loop: observe, report, plan, take one step, again until there is nothing to do.

Owns when it turns and how long it rests. One actor per Deployment, so that no two steps for it ever overlap.
"""

import asyncio
import random
import time
from collections.abc import Callable

import structlog

from modelroll_operator import liverule, steps
from modelroll_operator.api import ApiError
from modelroll_operator.carry_out import Hands
from modelroll_operator.metrics import Metrics
from modelroll_operator.observe import Observer, Snapshot
from modelroll_operator.observed import ModelVersion, Observed
from modelroll_operator.plan import plan
from modelroll_operator.report import report
from modelroll_operator.status import StatusWriter

SOON = 1.0  # seconds between turns while something is under way
RESYNC = 300.0  # seconds between turns when nothing is, should an event have been lost
AGREED_FOR = 1.0  # seconds for which a rollout must look finished before it is forgotten
LONGEST_BACK_OFF = 30.0

_log = structlog.get_logger(__name__)


class Actor:
    """Brings one Deployment to where its ModelVersions say."""

    def __init__(self, name: str, observer: Observer, status: StatusWriter, hands: Hands, metrics: Metrics) -> None:
        self.name = name
        self._observer = observer
        self._status = status
        self._hands = hands
        self._metrics = metrics
        self._dirty = asyncio.Event()
        self._dirty.set()
        self._closing_since: float | None = None
        self._last_said = ""
        self._refusals: dict[str, str] = {}  # what was said last, by the ModelVersion's uid
        self._told: int | None = None  # the settled revision that no eligible version asks for, once that was said

    def mark(self) -> None:
        """Something about the Deployment changed."""
        self._dirty.set()

    async def run(self, alive: Callable[[], None]) -> None:
        """Turn until the Deployment is gone. `alive` is called at each turn."""
        failures = 0
        rest = 0.0
        while True:
            await self._sleep(rest)
            alive()
            try:
                turned = await self._turn()
            except ApiError as error:
                # A conflict means that somebody was quicker: look again at once.
                failures = 0 if error.status == 409 else failures + 1
                self._metrics.api_errors.labels(str(error.status)).inc()
                if error.status != 409:
                    _log.warning("API error", deployment=self.name, error=str(error))
                rest = min(LONGEST_BACK_OFF, 0.25 * 2.0 ** min(failures, 10))
                self._closing_since = None
                continue
            failures = 0
            if turned is None:
                return
            rest = turned

    async def _sleep(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._dirty.wait()
        except TimeoutError:
            pass
        self._dirty.clear()

    async def _turn(self) -> float | None:
        """One turn; seconds to rest after it, or None when the Deployment is gone."""
        snapshot = await self._observer.snapshot(self.name)
        if snapshot is None:
            self._metrics.unasked.remove(self.name)
            return None
        self._metrics.turns.inc()
        step = plan(snapshot.observed)
        wrote = await self._report(snapshot)
        if isinstance(step, steps.Close) and not self._has_agreed():
            return SOON / 4
        if not isinstance(step, steps.Close):
            self._closing_since = None
        self._say(step)
        wrote = await self._hands.carry_out(step, snapshot) or wrote
        if isinstance(step, steps.RecordFailure):
            self._metrics.rollouts.labels(snapshot.observed.deployment.model, "failed").inc()
        if isinstance(step, steps.Save) and step.why == "settle":
            self._metrics.rollouts.labels(snapshot.observed.deployment.model, "succeeded").inc()
        if wrote:
            return 0.0
        return SOON if isinstance(step, steps.Wait) else RESYNC * random.uniform(0.5, 1.5)  # noqa: S311  spreads

    async def _report(self, snapshot: Snapshot) -> bool:
        seen = snapshot.observed
        wrote = False
        for version in seen.versions:
            if not liverule.resolved(version, seen.siblings, self.name) or version.deleting:
                continue
            said = report(seen, version)
            try:
                wrote = await self._status.write(snapshot.versions[version.uid], said, seen.now) or wrote
            except ApiError as error:
                if not error.is_about_the_body:
                    raise
                self._refused(version, error)
        await self._report_deployment(seen)
        return wrote

    def _refused(self, version: ModelVersion, error: ApiError) -> None:
        """One version whose status is not taken, as by a CRD of another release, holds up no other."""
        self._metrics.api_errors.labels(str(error.status)).inc()
        if self._refusals.get(version.uid) != str(error):
            _log.error("status refused", deployment=self.name, version=version.name, error=str(error))
        self._refusals[version.uid] = str(error)

    async def _report_deployment(self, seen: Observed) -> None:
        why = liverule.unasked(seen)
        self._metrics.unasked.labels(self.name).set(why is not None)
        settled = None if seen.state is None else seen.state.settled
        if why is None or settled is None:
            self._told = None
        elif self._told != settled.revision:
            await self._status.tell_unasked(seen.deployment, settled.revision, why, seen.now)
            self._told = settled.revision

    def _has_agreed(self) -> bool:
        now = time.monotonic()
        if self._closing_since is None:
            self._closing_since = now
        return now - self._closing_since >= AGREED_FOR

    def _say(self, step: steps.Step) -> None:
        match step:
            case steps.Wait(why) | steps.Nothing(why):
                said = why
            case steps.Save(state, why):
                said = f"{why}: {state.memory.rollout.to.version if state.memory.rollout else state.content.version}"
            case steps.RecordFailure(version, attempt):
                said = f"failed: {version.name}: {attempt.reason}: {attempt.message}"
            case _:
                said = type(step).__name__
        if said != self._last_said:  # transitions, not every turn
            _log.info("step", deployment=self.name, step=type(step).__name__, why=said)
        self._last_said = said
