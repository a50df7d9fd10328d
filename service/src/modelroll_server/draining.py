"""When a server that was told to end may go: once nobody comes any more, and the cluster knows that nobody is to.

Why it is not a fixed time stands in docs/design/0012-leaving.md.
"""

import asyncio
import contextlib
import dataclasses
import enum
import time

from modelroll_server.http.asgi import Lifecycle

LOOK_EVERY = 0.1  # seconds
QUIET = 1 / 3  # of the delay without a request: nobody comes any more
LONGEST = 2  # delays, after which a server goes whoever comes


class Stage(enum.Enum):
    """How far a server is on its way out."""

    WANTED = "requests still come, or came a moment ago"
    UNWANTED = "nobody is to come any more, and that is what /readyz says"
    GONE = "whoever asks has had the time to see it"


@dataclasses.dataclass(frozen=True, slots=True)
class Terms:
    """How long a server stays.

    Attributes:
        delay: Seconds for which it takes new connections at least.
        noticed: Seconds after which everybody who routes requests has seen that it is not ready; 0: nobody looks.
    """

    delay: float
    noticed: float = 0.0

    @property
    def longest(self) -> float:
        """Seconds after which it goes at the latest."""
        return LONGEST * self.delay + self.noticed


class Departure:
    """Decides by the time and by how many requests have come; knows no clock."""

    def __init__(self, terms: Terms, now: float, requests: int) -> None:
        self._terms = terms
        self._began = self._last = now
        self._requests = requests
        self._unwanted_since: float | None = None

    def look(self, now: float, requests: int) -> Stage:
        """Where it is, at a time at which so many requests have come in all."""
        if requests != self._requests:
            self._requests, self._last = requests, now
        delay = self._terms.delay
        nobody_comes = now - self._last >= QUIET * delay
        if self._unwanted_since is None and (nobody_comes or now - self._began >= LONGEST * delay):
            self._unwanted_since = now
        if self._unwanted_since is None:
            return Stage.WANTED
        was_seen = now - self._unwanted_since >= self._terms.noticed
        if now - self._began >= self._terms.longest or (was_seen and nobody_comes and now - self._began >= delay):
            return Stage.GONE
        return Stage.UNWANTED


async def take_leave(lifecycle: Lifecycle, terms: Terms, interrupted: asyncio.Event) -> None:
    """Go on answering until nobody is to come, and say so in between; at once when interrupted."""
    departure = Departure(terms, time.monotonic(), lifecycle.requests)
    while not interrupted.is_set():
        stage = departure.look(time.monotonic(), lifecycle.requests)
        lifecycle.unwanted = stage is not Stage.WANTED
        if stage is Stage.GONE:
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LOOK_EVERY):
                await interrupted.wait()
