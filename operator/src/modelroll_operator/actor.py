"""One Deployment's loop: observe, report, plan, take one step, again until there is nothing to do.

Owns when it turns and how long it rests. One actor per Deployment, so that no two steps for it ever overlap.
"""

import asyncio
import dataclasses
import random
import time
from collections import Counter
from collections.abc import Callable

import structlog

from modelroll_operator import liverule, spans, steps
from modelroll_operator.api import ApiError
from modelroll_operator.carry_out import Hands
from modelroll_operator.metrics import Metrics
from modelroll_operator.observe import Observer, Snapshot
from modelroll_operator.observed import ModelVersion, Observed
from modelroll_operator.plan import plan
from modelroll_operator.reminding import Reminder
from modelroll_operator.report import present, report
from modelroll_operator.status import StatusWriter
from modelroll_operator.telemetry.traces import Traces

PROMPT = 0.1  # seconds to the next turn when something has just been set going; then twice that, and so on up to SOON
SOON = 1.0  # seconds between turns while something is under way
RESYNC = 300.0  # seconds between turns when nothing is, should an event have been lost
AGREED_FOR = 1.0  # seconds for which a rollout must look finished before it is forgotten
LONGEST_BACK_OFF = 30.0

_log = structlog.get_logger(__name__)


class Actor:
    """Brings one Deployment to where its ModelVersions say."""

    def __init__(
        self,
        name: str,
        observer: Observer,
        status: StatusWriter,
        hands: Hands,
        reminder: Reminder,
        metrics: Metrics,
        traces: Traces | None = None,
    ) -> None:
        self.name = name
        self._traces = traces
        self._observer = observer
        self._status = status
        self._hands = hands
        self._reminder = reminder
        self._metrics = metrics
        self._dirty = asyncio.Event()
        self._dirty.set()
        self._closing_since: float | None = None
        self._waited = 0  # turns in a row
        self._last_said = ""
        self._refusals: dict[str, str] = {}  # what was said last, by the ModelVersion's uid
        self._told: int | None = None  # the settled revision that no eligible version asks for, once that was said

    def mark(self) -> None:
        """Something about the Deployment changed."""
        self._dirty.set()

    async def run(self, alive: Callable[[], None]) -> None:
        """Turn until the Deployment is gone. `alive` is called at each turn."""
        failures = 0
        rest = least = 0.0
        while True:
            await self._sleep(rest, least)
            alive()
            began = time.monotonic()
            try:
                turned = await self._turn()
            except Exception as error:  # noqa: BLE001  whatever it is, other Deployments go on
                # A conflict means that somebody was quicker: look again at once.
                failures = 0 if isinstance(error, ApiError) and error.status == 409 else failures + 1
                self._note(error)
                self._closing_since = None
                rest, least = min(LONGEST_BACK_OFF, 0.25 * 2.0 ** min(failures, 10)), 0.0
                continue
            failures = 0
            if turned is None:
                return
            rest = turned
            # A thousand pods that change one after the other would keep it busy all the time, each by a turn over all.
            least = min(SOON, rest, time.monotonic() - began)

    def _note(self, error: Exception) -> None:
        if not isinstance(error, ApiError):
            self._metrics.failures.inc()
            _log.error("a turn failed", deployment=self.name, exc_info=error)
            return
        self._metrics.api_errors.labels(str(error.status)).inc()
        if error.status != 409:
            _log.warning("API error", deployment=self.name, error=str(error))

    async def _sleep(self, seconds: float, least: float) -> None:
        """Rest until something changed, for so many seconds at most, and so many at least."""
        await asyncio.sleep(least)
        try:
            async with asyncio.timeout(seconds - least):
                await self._dirty.wait()
        except TimeoutError:
            pass
        self._dirty.clear()

    async def _turn(self) -> float | None:
        """One turn; seconds to rest after it, or None when the Deployment is gone."""
        snapshot = await self._observer.snapshot(self.name)
        if snapshot is None:
            self._metrics.forget(self.name)
            return None
        self._metrics.turns.inc()
        self._show(snapshot.observed)  # first: what follows may fail at every turn
        step = plan(dataclasses.replace(snapshot.observed, untold=frozenset(self._refusals)))
        # A failure is written down before anything else: a status that has news at every turn, as a canary's has, would
        # be written first each time, and what was planned on the one before be refused.
        wrote = False if isinstance(step, steps.RecordFailure) else await self._report(snapshot)
        if isinstance(step, steps.Close) and not self._has_agreed():
            return SOON / 4
        if not isinstance(step, steps.Close):
            self._closing_since = None
        with spans.step(self._traces, step, snapshot.observed):
            self._say(step)
            acted = await self._hands.carry_out(step, snapshot)
        spans.ended(self._traces, step, snapshot.observed)
        reminder = await self._reminder.remind(snapshot.observed)
        self._count(step, snapshot.observed)
        self._waited = self._waited + 1 if isinstance(step, steps.Wait) and not wrote else 0
        if acted or (wrote and not isinstance(step, steps.Wait)):
            return 0.0
        rest = self._rest(step)
        return rest if reminder is None else min(rest, reminder)

    def _rest(self, step: steps.Step) -> float:
        """Seconds until the next turn, where nothing was done in this one."""
        if not isinstance(step, steps.Wait):
            return RESYNC * random.uniform(0.5, 1.5)  # noqa: S311  spreads
        return min(SOON, PROMPT * 2.0 ** (self._waited - 1)) if step.seconds is None else step.seconds

    async def _report(self, snapshot: Snapshot) -> bool:
        seen = snapshot.observed
        wrote = False
        mine = (one for one in seen.versions if liverule.resolved(one, seen.siblings, self.name) and not one.deleting)
        reports = [(version, report(seen, version)) for version in mine]
        self._metrics.conditions(self.name, [one for version, said in reports for one in present(version, said)])
        for version, said in reports:
            try:
                wrote = await self._status.write(snapshot.versions[version.uid], said, seen.now) or wrote
                self._refusals.pop(version.uid, None)
            except ApiError as error:
                if not error.is_about_the_body:
                    raise
                self._refused(version, error)
        await self._report_deployment(seen)
        return wrote

    def _refused(self, version: ModelVersion, error: ApiError) -> None:
        """One version whose status is not taken, as by a CRD of another release, holds up no other, nor its rollout."""
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

    def _show(self, seen: Observed) -> None:
        serving = Counter(
            pod.status.live.version or ""
            for pod in seen.serving
            if pod.status is not None and pod.status.live is not None
        )
        self._metrics.count_pods(self.name, serving)
        rollout = None if seen.state is None else seen.state.rollout
        if rollout is None:
            self._metrics.under_way(self.name, None, None)
        else:
            self._metrics.under_way(self.name, rollout.to.version, rollout.began)

    def _count(self, step: steps.Step, seen: Observed) -> None:
        outcome = _outcome(step, seen)
        rollout = None if seen.state is None else seen.state.rollout
        if outcome is not None and rollout is not None:
            self._metrics.ended(seen.deployment.model, outcome, (seen.now - rollout.began).total_seconds())

    def _has_agreed(self) -> bool:
        now = time.monotonic()
        if self._closing_since is None:
            self._closing_since = now
        return now - self._closing_since >= AGREED_FOR

    def _say(self, step: steps.Step) -> None:
        match step:
            case steps.Wait(why, _) | steps.Nothing(why):
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


def _outcome(step: steps.Step, seen: Observed) -> str | None:
    """How a rollout ends with this step; None where it does not."""
    match step:
        case steps.RecordFailure():
            return "failed"
        case steps.Save(_, "settle"):
            return "succeeded"
        case steps.Save(state, "abort") if state.rollout is not None:
            mine = (one for one in seen.versions if one.uid == state.rollout.uid)
            failed = any(liverule.failed(one, seen.deployment.template_hash) for one in mine)
            return None if failed else "called off"  # what failed was counted when that was written down
        case _:
            return None
