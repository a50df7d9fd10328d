"""The shape of ASGI that the routes here use: scopes, messages, a request's head and a response.

Owns nothing but these types and how a response is sent.
"""

import asyncio
import contextlib
import dataclasses
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Mapping, MutableMapping
from typing import Any

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]
Header = tuple[bytes, bytes]
Heads = Mapping[bytes, bytes]  # a request's headers; of one that is there twice, the last

BLOCKED_SECONDS = 30.0  # that a client may leave a part unread before it is cut off

JSON: Header = (b"content-type", b"application/json")


class Fixed:
    """Headers that many answers share.

    Attributes:
        headers: They.
        lines: The same as they are written.
    """

    __slots__ = ("headers", "lines")

    def __init__(self, headers: Iterable[Header]) -> None:
        self.headers = tuple(headers)
        self.lines = b"".join(b"%b: %b\r\n" % header for header in self.headers)


NONE = Fixed(())


@dataclasses.dataclass(slots=True)
class Response:
    """An answer: status, headers (with the content type), and the whole body, or parts that follow one another."""

    status: int
    body: bytes
    headers: list[Header]
    parts: AsyncGenerator[bytes, None] | None = None
    fixed: Fixed = NONE  # further headers


@dataclasses.dataclass(slots=True)
class Lifecycle:
    """What all routes need to know of the process.

    Attributes:
        listening: Whether all ports are.
        draining: Whether it is on its way out.
        unwanted: Whether nobody is to come any more.
        leaving: Set when what goes on for long, such as a stream, is to end.
        requests: How many it has seen, over HTTP.
    """

    listening: bool = True
    draining: bool = False
    unwanted: bool = False
    leaving: asyncio.Event = dataclasses.field(default_factory=asyncio.Event)
    requests: int = 0


async def send(response: Response, scope: Scope, sender: Send, lifecycle: Lifecycle) -> None:
    """Send an answer; while draining it ends the connection, so that the client takes its next request elsewhere."""
    headers = [*response.headers, *response.fixed.headers, (b"content-length", b"%d" % len(response.body))]
    if lifecycle.draining:
        headers.append((b"connection", b"close"))
    await sender({"type": "http.response.start", "status": response.status, "headers": headers})
    body = b"" if scope["method"] == "HEAD" else response.body
    await sender({"type": "http.response.body", "body": body})


async def stream(response: Response, parts: AsyncGenerator[bytes, None], sender: Send, lifecycle: Lifecycle) -> bool:
    """Send an answer part by part; false if its reader did not take one, and is to be cut off."""
    headers = [*response.headers, *response.fixed.headers]
    if lifecycle.draining:
        headers.append((b"connection", b"close"))
    await sender({"type": "http.response.start", "status": response.status, "headers": headers})
    async with contextlib.aclosing(parts) as found:
        async for part in found:
            try:
                async with asyncio.timeout(BLOCKED_SECONDS):
                    await sender({"type": "http.response.body", "body": part, "more_body": True})
            except TimeoutError:
                return False
    await sender({"type": "http.response.body", "body": b""})
    return True
