"""One request on its way, as an endpoint gets it, and what a route is."""

import itertools
import secrets
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from modelroll_server.http.asgi import Heads, Receive, Response, Scope
from modelroll_server.registry.version import Version
from modelroll_server.telemetry.tally import Tally

if TYPE_CHECKING:
    from modelroll_server.access.callers import Caller
    from modelroll_server.telemetry.traces import Trace

TIMED = 16  # of so many requests one has its phases timed

_ID_CHARACTERS = frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.:/+=@")
_PROCESS = secrets.token_hex(6).encode()  # no other process gives the same ids
_NUMBERS = itertools.count(1)


class Exchange:
    """One request on its way: its head, its id, and the version that its answer will name.

    Attributes:
        began: When its head was read, on the clock of `time.monotonic`.
        number: A count of requests.
        heads: Its headers.
        request_id: Its own, or one made here.
        version: What answers it: the live version, until one is pinned.
        is_prediction: Whether it is counted as one.
        is_timed: Whether its phases are.
        trace: Its span; None where it has none.
        error: The code of the error that it is answered with, where it has a span.
        caller: Who sent it, by the token; None where nobody asks for one.
    """

    __slots__ = (
        "began",
        "caller",
        "error",
        "heads",
        "is_prediction",
        "is_timed",
        "number",
        "receive",
        "request_id",
        "scope",
        "trace",
        "version",
    )

    def __init__(self, scope: Scope, receive: Receive, version: Version | None) -> None:
        self.began = time.monotonic()
        self.scope = scope
        self.receive = receive
        self.version = version
        self.number = number = next(_NUMBERS)
        self.heads: Heads = dict(scope["headers"])
        given = self.heads.get(b"x-request-id")
        self.request_id = given if given is not None and _is_id(given) else b"%b-%x" % (_PROCESS, number)
        self.is_prediction = False
        self.is_timed = not number % TIMED
        self.trace: Trace | None = None
        self.error: str | None = None
        self.caller: Caller | None = None

    def timed(self, phase: str, seconds: Tally, began: float) -> None:
        """Take note of a phase that began then and ends now."""
        now = time.monotonic()
        seconds.observe(now - began)
        if self.trace is not None:
            self.trace.phase(phase, began, now)


Endpoint = Callable[[Exchange], Awaitable[Response]]
Route = tuple[tuple[str, ...], Endpoint]  # the methods that it takes, and what answers


def _is_id(given: bytes) -> bool:
    return 0 < len(given) <= 128 and _ID_CHARACTERS.issuperset(given)
