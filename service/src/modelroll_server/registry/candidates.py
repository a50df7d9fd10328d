"""Where a wanted version is loaded and made live: this process, or, elsewhere, all of its workers.

Owns the candidate: what is loaded and answers nobody yet. Decides nothing: the watcher does.
"""

import asyncio
import concurrent.futures
from typing import Protocol

import structlog

from modelroll_server.artifact.manifest import Manifest
from modelroll_server.registry import compatibility, loader
from modelroll_server.registry.beside import Beside
from modelroll_server.registry.record import Served
from modelroll_server.registry.registry import Registry
from modelroll_server.registry.target import Content, Target
from modelroll_server.registry.version import Version
from modelroll_server.telemetry import memory

PATIENCE = 30.0  # seconds that a load waits for one before it that was given up

_log = structlog.get_logger(__name__)


class Loads(Protocol):
    """What loads and checks versions; blocks."""

    def load(self, content: Content, baseline: Content | None) -> Version:
        """Load and check.

        Raises:
            errors.LoadError: it may not answer.
        """

    def check_baseline(self, manifest: Manifest, baseline: Content | None) -> None:
        """Check again what one rollout asks of a version and another did not.

        Raises:
            errors.SchemaChanged: callers of the baseline could not go on calling.
        """


class Candidates(Protocol):
    """Loads one candidate at a time, beside what is live, and swaps it in or drops it."""

    def holds(self, want: Target) -> bool:
        """Whether it is in memory, so that it would not be loaded."""

    def check_takes_beside(self) -> None:
        """Check that there may be a candidate beside the live version at all.

        Raises:
            errors.CandidateRefused: there may not.
        """

    async def make_room(self) -> None:
        """Let go of everything but the live version, for a load; waits for one that was given up."""

    async def load(self, want: Target, baseline: Content | None) -> Served:
        """Load what is wanted and check it; says what was found. Cancelled, it gives the load up.

        Raises:
            errors.LoadError: it may not answer; nothing is left of it.
        """

    async def swap(self, want: Target) -> None:
        """Make the candidate live, at the revision that wants it; it answers wherever requests are answered."""

    async def drop(self) -> None:
        """Forget the candidate."""

    async def place(self, want: Target) -> None:
        """Have the candidate that was loaded beside the live version, as it is wanted now; it may be there already.

        Raises:
            errors.LoadError: it cannot be there.
        """

    async def remove(self) -> None:
        """Have nothing beside the live version."""

    async def adopt(self, want: Target) -> None:
        """Take over a revision whose content is live already."""

    def close(self) -> None:
        """Begin no further load; one that runs is not waited for."""


class InProcess:
    """Candidates of this process, loaded by one thread.

    The version before the live one may stay in memory: to go back to it is then no load. It makes room before a third
    one is loaded, so that there are never more than two.
    """

    def __init__(self, registry: Registry, loads: Loads, *, keep_previous: bool) -> None:
        self._registry = registry
        self._loads = loads
        self._keep_previous = keep_previous
        self._thread = _thread()
        self._abandoned: asyncio.Future[Version] | None = None
        self._candidate: Version | None = None
        self._previous: Version | None = None

    def holds(self, want: Target) -> bool:
        """Whether it is beside the live version, or was live before it."""
        return self._held(want.content) is not None

    def _held(self, content: Content) -> Version | None:
        beside = self._registry.beside
        held = (None if beside is None else beside.version, self._previous)
        return next((one for one in held if one is not None and one.content.agrees(content)), None)

    def check_takes_beside(self) -> None:
        """There may be one."""

    async def make_room(self) -> None:
        """Let go of everything but the live version."""
        self._previous = self._registry.beside = None
        await self._wait_for_abandoned()
        await self._return_memory()

    async def load(self, want: Target, baseline: Content | None) -> Served:
        """Load what is wanted and check it; says what was found.

        Raises:
            errors.LoadError: it may not answer.
        """
        held = self._held(want.content)
        if held is None:
            await self.make_room()  # a load that was given up may have held on since
        work = asyncio.get_running_loop().run_in_executor(self._thread, self._obtain, held, want.content, baseline)
        try:
            candidate = await asyncio.shield(work)
        except asyncio.CancelledError:
            self._abandon(work)
            raise
        self._candidate = candidate
        return candidate.served

    def _abandon(self, work: asyncio.Future[Version]) -> None:
        """Leave a load to itself that nobody waits for any more: a thread cannot be ended."""
        self._thread.shutdown(wait=False)
        self._thread = _thread()
        self._abandoned = work
        work.add_done_callback(self._forget)

    def _forget(self, work: asyncio.Future[Version]) -> None:
        if not work.cancelled():
            work.exception()  # is of no interest, and would be logged as one that nobody looked at
        if self._abandoned is work:
            self._abandoned = None

    async def _wait_for_abandoned(self) -> None:
        """Two loads at once would take the memory of two; but one that hangs keeps out no other for ever."""
        if self._abandoned is not None and not (await asyncio.wait({self._abandoned}, timeout=PATIENCE))[0]:
            _log.warning("a load that was given up has not ended; another begins beside it", after=PATIENCE)
            self._abandoned = None  # and is waited for once

    def _obtain(self, held: Version | None, content: Content, baseline: Content | None) -> Version:
        if held is None:
            return self._loads.load(content, baseline)
        self._loads.check_baseline(held.manifest, baseline)
        return held

    async def swap(self, want: Target) -> None:
        """Make the candidate live, and give back what the one before held."""
        candidate, self._candidate = self._candidate, None
        assert candidate is not None
        before = self._registry.live
        is_warm = self._held(candidate.content) is candidate
        self._registry.swap(candidate, want, is_warm=is_warm)
        self._previous = before if self._keep_previous else None
        del candidate
        if before is None:
            loader.exempt_from_collection()
        await self._return_memory()

    async def drop(self) -> None:
        """Forget the candidate, and give back what it held."""
        self._candidate = None
        await self._return_memory()

    async def place(self, want: Target) -> None:
        """Have the candidate that was loaded beside the live version, as it is wanted now; it may be there already.

        Raises:
            errors.SchemaChanged: its columns are others than those of the live version.
        """
        version, self._candidate = self._candidate, None
        assert want.candidate is not None
        beside = self._registry.beside
        if version is None or (beside is not None and version is beside.version):
            assert beside is not None
            beside.ask(want.candidate, want.revision)
            return
        live = self._registry.live
        assert live is not None
        compatibility.check_same_columns(version.manifest, live.manifest)
        has_other_rules = compatibility.has_other_rules(version.manifest, live.manifest)
        self._registry.beside = Beside(version, want.candidate, want.revision, has_other_rules=has_other_rules)

    async def remove(self) -> None:
        """Have nothing beside the live version, and give back what that held."""
        if self._registry.beside is not None:
            self._registry.beside = None
            await self._return_memory()

    async def adopt(self, want: Target) -> None:
        """Take over a revision whose content is live already."""
        self._registry.adopt(want)

    def close(self) -> None:
        """Begin no further load; one that runs is not waited for."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def _return_memory(self) -> None:
        await asyncio.get_running_loop().run_in_executor(self._thread, memory.return_freed)


def _thread() -> concurrent.futures.ThreadPoolExecutor:
    return concurrent.futures.ThreadPoolExecutor(1, thread_name_prefix="load")
