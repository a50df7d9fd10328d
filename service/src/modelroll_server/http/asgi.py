"""The shape of ASGI that the routes here use: scopes, messages, a request's head and a response.

Owns nothing but these types and how a response is sent.
"""

import asyncio
import dataclasses
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]
Header = tuple[bytes, bytes]
Heads = Mapping[bytes, bytes]  # a request's headers; of one that is there twice, the last

JSON: Header = (b"content-type", b"application/json")


@dataclasses.dataclass(slots=True)
class Response:
    """A whole answer: status, body, and headers (with the content type)."""

    status: int
    body: bytes
    headers: list[Header]


@dataclasses.dataclass(slots=True)
class Lifecycle:
    """What all routes need to know of the process.

    Attributes:
        listening: Whether all ports are.
        draining: Whether it is on its way out.
        leaving: Set when what goes on for long, such as a stream, is to end.
        requests: How many it has seen.
    """

    listening: bool = True
    draining: bool = False
    leaving: asyncio.Event = dataclasses.field(default_factory=asyncio.Event)
    requests: int = 0


async def send(response: Response, scope: Scope, sender: Send, lifecycle: Lifecycle) -> None:
    """Send an answer; while draining it ends the connection, so that the client takes its next request elsewhere."""
    headers = [*response.headers, (b"content-length", b"%d" % len(response.body))]
    if lifecycle.draining:
        headers.append((b"connection", b"close"))
    await sender({"type": "http.response.start", "status": response.status, "headers": headers})
    body = b"" if scope["method"] == "HEAD" else response.body
    await sender({"type": "http.response.body", "body": body})
