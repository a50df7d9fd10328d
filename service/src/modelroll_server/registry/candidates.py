"""Where a wanted version is loaded and made live: this process, or, elsewhere, all of its workers.

Owns the candidate: what is loaded and answers nobody yet. Decides nothing: the watcher does.
"""

import asyncio
import concurrent.futures
from collections.abc import Callable
from typing import Protocol

from modelroll_server.registry import loader
from modelroll_server.registry.record import Served
from modelroll_server.registry.registry import Registry
from modelroll_server.registry.target import Content, Target
from modelroll_server.registry.version import Version

LoadFunction = Callable[[Content, Content | None], Version]


class Candidates(Protocol):
    """Loads one candidate at a time, beside what is live, and swaps it in or drops it."""

    async def load(self, want: Target, baseline: Content | None) -> Served:
        """Load what is wanted and check it; says what was found.

        Raises:
            errors.LoadError: it may not answer; nothing is left of it.
        """

    async def swap(self, want: Target) -> None:
        """Make the candidate live, at the revision that wants it; it answers wherever requests are answered."""

    async def drop(self) -> None:
        """Forget the candidate."""

    async def adopt(self, want: Target) -> None:
        """Take over a revision whose content is live already."""

    def close(self) -> None:
        """Begin no further load; one that runs is not waited for."""


class InProcess:
    """Candidates of this process, loaded by one thread."""

    def __init__(self, registry: Registry, load: LoadFunction) -> None:
        self._registry = registry
        self._load = load
        self._thread = concurrent.futures.ThreadPoolExecutor(1, thread_name_prefix="load")
        self._candidate: Version | None = None

    async def load(self, want: Target, baseline: Content | None) -> Served:
        """Load what is wanted and check it; says what was found.

        Raises:
            errors.LoadError: it may not answer.
        """
        loop = asyncio.get_running_loop()
        candidate = await loop.run_in_executor(self._thread, self._load, want.content, baseline)
        self._candidate = candidate
        return candidate.served

    async def swap(self, want: Target) -> None:
        """Make the candidate live, and give back what the one before held."""
        candidate, self._candidate = self._candidate, None
        assert candidate is not None
        is_first = not self._registry.is_live
        self._registry.swap(candidate, want)
        del candidate
        if is_first:
            loader.exempt_from_collection()
        await self._return_memory()

    async def drop(self) -> None:
        """Forget the candidate, and give back what it held."""
        self._candidate = None
        await self._return_memory()

    async def adopt(self, want: Target) -> None:
        """Take over a revision whose content is live already."""
        self._registry.adopt(want)

    def close(self) -> None:
        """Begin no further load; one that runs is not waited for."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def _return_memory(self) -> None:
        await asyncio.get_running_loop().run_in_executor(self._thread, loader.return_memory)
