"""The loop that brings what is live to what is wanted: protocol S2 and S3 against real files, time and loads.

Owns when things happen: the reading every 100 ms, the back-off, the one load at a time. What happens is `target`'s.
"""

import asyncio
import time
from collections.abc import Callable

import structlog

from modelroll_server import errors
from modelroll_server.registry import target as targets
from modelroll_server.registry.candidates import Candidates
from modelroll_server.registry.marker import Marker
from modelroll_server.registry.record import Record
from modelroll_server.registry.sources import TargetSource
from modelroll_server.registry.target import Adopt, Clash, Content, Load, Snapshot, Target

PERIOD = 0.1
LOOK_AGAIN = 1.0  # for an artifact that is not there (yet)
AFTER_A_CRASH = 5.0  # seconds for which a start says what the last one died of, before it may die of it again
LONGEST_BACK_OFF = 10.0

_log = structlog.get_logger(__name__)


class Watcher:
    """Follows one source of targets into one registry."""

    def __init__(
        self,
        source: TargetSource,
        registry: Record,
        candidates: Candidates,
        marker: Marker,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._source = source
        self._registry = registry
        self._candidates = candidates
        self._marker = marker
        self._clock = clock
        self._failing: Target | None = None
        self._failures = 0
        self._next_try = 0.0
        self._began = clock()
        if marker.found is not None:
            error = errors.CrashedWhileLoading(f"the process died while it loaded revision {marker.found}")
            registry.refuse(Target("move", marker.found, Content()), error, for_good=False)

    async def run(self) -> None:
        """Follow until cancelled."""
        while True:
            try:
                await self.step()
            except Exception:  # noqa: BLE001 - what is live goes on answering, whatever happens to the watcher
                _log.exception("the watcher failed; it goes on")
            await asyncio.sleep(PERIOD)

    def close(self) -> None:
        """Begin no further load; one that runs is not waited for."""
        self._candidates.close()

    async def step(self) -> None:
        """Read once, and do what follows from it."""
        snapshot = await self._source.read()
        self._registry.see(snapshot)
        live = self._registry.position()
        if live is None:
            await self._start(snapshot)
            return
        match targets.decide(snapshot, live, self._registry.refused, self._marker.crashed):
            case Adopt(want):
                await self._candidates.adopt(want)
            case Clash(want, other):
                self._registry.refuse(want, _clash(want, other), for_good=False)
            case Load(want):
                await self._follow(snapshot, want)

    async def _start(self, snapshot: Snapshot) -> None:
        match targets.decide_start(snapshot):
            case Clash(want, other):
                self._registry.refuse(want, _clash(want, other), for_good=False)
            case Load(want):
                waits = self._registry.is_lazy and not self._registry.asked.is_set()
                if waits or self._clock() < self._may_try(want):
                    return
                await self._try_base(snapshot, want)

    def _may_try(self, want: Target) -> float:
        if want.revision == self._marker.found:
            return self._began + AFTER_A_CRASH
        return self._next_try if want == self._failing else 0.0

    async def _try_base(self, snapshot: Snapshot, want: Target) -> None:
        self._failures = self._failures + 1 if want == self._failing else 1
        try:
            await self._load_marked(snapshot, want)
        except errors.LoadError as error:
            self._registry.refuse(want, error, for_good=False)
            self._failing = want
            soon = isinstance(error, errors.ArtifactMissing | errors.ArtifactIncomplete | errors.ArtifactUnreadable)
            self._next_try = self._clock() + (LOOK_AGAIN if soon else back_off(self._failures))
            return
        latest = await self._source.read()
        # Otherwise the next step reads again and loads what is wanted now.
        await self._end(want, is_wanted=want.asks_the_same(targets.base(latest)))

    async def _follow(self, snapshot: Snapshot, want: Target) -> None:
        try:
            await self._load_marked(snapshot, want)
        except errors.LoadError as error:
            self._registry.refuse(want, error, for_good=True)
            if isinstance(error, errors.CrashedWhileLoading):
                self._marker.crash(want.revision)
            return
        # While it loaded the rollout may have been called off: nobody may see a version that is not wanted any more.
        await self._end(want, is_wanted=want.asks_the_same(targets.wanted(await self._source.read())))

    async def _end(self, want: Target, *, is_wanted: bool) -> None:
        if is_wanted:
            await self._candidates.swap(want)
        else:
            self._registry.abandon()
            await self._candidates.drop()

    async def _load_marked(self, snapshot: Snapshot, want: Target) -> None:
        self._registry.begin(want)
        self._marker.set(want.revision)
        try:
            await self._candidates.load(want, targets.gated_by_baseline(snapshot, want))
        except errors.LoadError:
            raise
        except Exception as error:  # one of our own; it would be met again at every reading
            _log.exception("the load failed as nobody foresaw", revision=want.revision)
            raise errors.LoadFailed(f"{type(error).__name__}: {error}") from error
        finally:
            self._marker.clear()


def back_off(failures: int) -> float:
    """Seconds to wait after that many failures in a row: 1, 2, 4, 8, then 10."""
    return min(LONGEST_BACK_OFF, 2.0 ** min(failures - 1, 10))


def _clash(want: Target, other: Content) -> errors.RevisionClash:
    sentence = f"revision {want.revision} is said to be both {want.content.path} and {other.path}"
    return errors.RevisionClash(sentence, expected=other.path, found=want.content.path)
