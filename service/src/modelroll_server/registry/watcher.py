"""The loop that brings what is live to what is wanted: protocol S2 and S3 against real files, time and loads.

Owns when things happen: the reading every 100 ms, the back-off, the one load at a time. What happens is `target`'s.
"""

import asyncio
import dataclasses
import time
from collections.abc import Awaitable, Callable

import structlog

from modelroll_server import errors
from modelroll_server.registry import target as targets
from modelroll_server.registry.candidates import Candidates
from modelroll_server.registry.marker import Marker
from modelroll_server.registry.record import Record
from modelroll_server.registry.sources import TargetSource
from modelroll_server.registry.target import Adopt, Candidate, Clash, Content, Keep, Live, Load, Snapshot, Target

Trial = Callable[[Content, Content | None, float], Awaitable[None]]
Reading = Callable[[Snapshot], Target | None]

PERIOD = 0.1
LOOK_AGAIN = 1.0  # for an artifact that is not there (yet)
PASSING = (errors.ArtifactMissing, errors.ArtifactIncomplete, errors.ArtifactUnreadable)  # a push may be under way
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
        trial: Trial,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._source = source
        self._registry = registry
        self._candidates = candidates
        self._marker = marker
        self._trial = trial
        self._clock = clock
        self._failing: Target | None = None
        self._failures = 0
        self._next_try = 0.0
        self._began = clock()
        self._beside: Target | None = None  # what a candidate was put beside the live version for
        if marker.found is not None:
            error = errors.CrashedWhileLoading(f"the process died while it loaded revision {marker.found}")
            registry.refuse(Target("move", marker.found, Content()), error, for_good=False)
        if marker.lost is not None:
            sentence = f"the process died twice while the candidate of revision {marker.lost} was beside what it serves"
            registry.refuse(Target("move", marker.lost, Content()), errors.CandidateCrashed(sentence), for_good=False)

    async def run(self) -> None:
        """Follow until cancelled."""
        while True:
            try:
                await self.step()
            except Exception:  # noqa: BLE001 - what is live goes on answering, whatever happens to the watcher
                _log.exception("the watcher failed; it goes on")
            await asyncio.sleep(PERIOD)

    def close(self) -> None:
        """Begin no further load; one that runs is not waited for. What ends now did not die of its candidate."""
        self._candidates.close()
        self._is_beside(None)

    async def step(self) -> None:
        """Read once, and do what follows from it."""
        snapshot = await self._source.read()
        self._registry.see(snapshot)
        live = self._registry.position()
        if live is None:
            await self._start(snapshot)
            return
        match targets.decide(snapshot, live, self._registry.refused, self._marker.crashed):
            case Keep():
                await self._accompany(snapshot, live)
            case Adopt(want):
                await self._candidates.adopt(want)
                await self._accompany(snapshot, live)
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
            is_there = await self._load_marked(snapshot, want, want, targets.base)
        except errors.LoadError as error:
            self._registry.refuse(want, error, for_good=False)
            self._failing = want
            self._next_try = self._clock() + (LOOK_AGAIN if isinstance(error, PASSING) else back_off(self._failures))
            return
        latest = await self._source.read()
        # Otherwise the next step reads again and loads what is wanted now.
        await self._end(want, is_wanted=is_there and want.asks_the_same(targets.base(latest)))

    async def _follow(self, snapshot: Snapshot, want: Target, *, beside: Candidate | None = None) -> None:
        """Load what is wanted, and have it live; or what is wanted beside it, and have it there."""
        if self._clock() < self._may_try(want):
            return
        what = want if beside is None else dataclasses.replace(want, content=beside.content)
        try:
            if beside is not None:
                self._candidates.check_takes_beside()
            is_there = await self._load_marked(snapshot, want, what, targets.wanted)
            # While it loaded the rollout may have been called off: nobody may see what is not wanted any more.
            is_wanted = is_there and want.asks_the_same(targets.wanted(await self._source.read()))
            if is_wanted and beside is not None:
                await self._candidates.place(want)
        except errors.LoadError as error:
            passing = isinstance(error, PASSING)
            self._registry.refuse(want, error, for_good=not passing)
            if passing:
                self._failing, self._next_try = want, self._clock() + LOOK_AGAIN
            if isinstance(error, errors.CrashedWhileLoading):
                self._marker.crash(want.revision)
            return
        if is_wanted and beside is not None:
            self._is_beside(want)
            self._registry.accompany(want)
        else:
            await self._end(want, is_wanted=is_wanted)

    async def _accompany(self, snapshot: Snapshot, live: Live) -> None:
        """Have beside the live version what is to be there."""
        want = targets.beside(snapshot, live, self._registry.refused, self._marker.crashed)
        if want is None or want.candidate is None:
            if self._beside is not None:
                self._is_beside(None)
                await self._candidates.remove()
        elif want != self._beside:
            await self._follow(snapshot, want, beside=want.candidate)

    def _is_beside(self, want: Target | None) -> None:
        self._beside = want
        self._marker.accompany(None if want is None else want.revision)

    async def _end(self, want: Target, *, is_wanted: bool) -> None:
        if is_wanted:
            await self._candidates.swap(want)
            self._is_beside(None)
        else:
            self._registry.abandon()
            await self._candidates.drop()

    async def _load_marked(self, snapshot: Snapshot, want: Target, what: Target, reading: Reading) -> bool:
        self._registry.begin(want)
        self._marker.set(want.revision)
        try:
            return await self._try_and_load(
                what, targets.gated_by_baseline(snapshot, want), lambda heard: want.asks_the_same(reading(heard))
            )
        except errors.LoadError:
            raise
        except Exception as error:  # one of our own; it would be met again at every reading
            _log.exception("the load failed as nobody foresaw", revision=want.revision)
            raise errors.LoadFailed(f"{type(error).__name__}: {error}") from error
        finally:
            self._marker.clear()

    async def _try_and_load(
        self, what: Target, baseline: Content | None, is_wanted: Callable[[Snapshot], bool]
    ) -> bool:
        """Whether a candidate is there now; not if another thing came to be wanted meanwhile."""
        if not self._candidates.holds(what):
            # Before the trial, which may take what is left: that is less than the load finds unless both make room.
            if not await self._hearing(self._candidates.make_room(), is_wanted):
                return False
            self._is_beside(None)
            if what.trial is not None:
                trial = self._trial(what.content, baseline, what.trial)
                if not await self._hearing(trial, is_wanted):
                    return False
        return await self._hearing(self._candidates.load(what, baseline), is_wanted)

    async def _hearing(self, work: Awaitable[object], goes_on: Callable[[Snapshot], bool]) -> bool:
        """Wait for it, and read on meanwhile: who is told to go elsewhere does so, however long a load takes.

        Returns:
            Whether it came to its end; it was given up otherwise.
        """
        task = asyncio.ensure_future(work)
        try:
            while not (await asyncio.wait({task}, timeout=PERIOD))[0]:
                snapshot = await self._source.read()
                self._registry.see(snapshot)
                if not goes_on(snapshot):
                    return False
            await task
        finally:
            if task.cancel():
                await asyncio.wait({task})
        return True


def back_off(failures: int) -> float:
    """Seconds to wait after that many failures in a row: 1, 2, 4, 8, then 10."""
    return min(LONGEST_BACK_OFF, 2.0 ** min(failures - 1, 10))


def _clash(want: Target, other: Content) -> errors.RevisionClash:
    sentence = f"revision {want.revision} is said to be both {want.content.path} and {other.path}"
    return errors.RevisionClash(sentence, expected=other.path, found=want.content.path)
