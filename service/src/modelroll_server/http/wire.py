"""A whole request taken from uvicorn, and a whole answer handed to it, in one piece each.

ASGI passes them as messages, through a task and its coroutines, and checks each header: a third of what a small
request costs. Here the bytes are taken as they lie, and written at once, and uvicorn's own record of the exchange is
brought to where the messages would have left it. Owns what of uvicorn's insides that takes; the version of uvicorn is
bounded for it.
"""

import asyncio
import re
from collections.abc import Callable
from typing import Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from modelroll_server.http.asgi import Fixed, Receive, Response, Send

Cycle = RequestResponseCycle
"""What uvicorn knows of one request and its answer."""

Offer = Callable[[Cycle], asyncio.Future[Any] | None]
"""Takes a request whose body is there, and returns what it waits for; None if it is to be asked by ASGI."""

MAX_HEAD = 64 * 1024  # bytes; what one read brought is taken all the same
HEAD_SECONDS = 10.0  # that a head may take, from its first bytes to its end
FIRST_SECONDS = 75.0  # that a new connection may be silent, as long as between two requests

_TOO_LARGE = b'{"error":"the head of the request has more than 64 KiB","code":"head_too_large"}'
_TOO_SLOW = b'{"error":"the head of the request did not arrive within 10 seconds","code":"head_too_slow"}'
_UPGRADE = re.compile(rb"\r\nupgrade:", re.IGNORECASE)


class Connection(HttpToolsProtocol):
    """Uvicorn's connection, but that the application is offered a request which is there whole before it gets a task.

    The application's `offer` is an `Offer`. One that has none is asked by ASGI alone; so is a request whose body comes
    later than its head, and one that was sent before the last was answered. Heads are bounded in bytes and time, and no
    protocol is changed to: a request that proposes one is answered as if it did not.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._offer: Offer | None = getattr(self.config.loaded_app, "offer", None)
        self._is_reading = False
        self._held: Cycle | None = None  # its head is there, and its body may follow at once
        self._waits: asyncio.Future[Any] | None = None
        self._active: Cycle | None = None  # uvicorn knows the request that came last, not the one that is answered
        self._unread = 0
        self._head_bytes = 0
        self._head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as uvicorn has it
        """Wait for the first request, for a while."""
        super().connection_made(transport)
        self._head_timer = self.loop.call_later(FIRST_SECONDS, transport.close)

    def data_received(self, data: bytes) -> None:
        """Take what the client sent."""
        if b"pgrade:" in data and self._is_between():
            # The parser would take the body for the other protocol's. Clients that speak HTTP/2 propose it, too.
            head, blank, rest = data.partition(b"\r\n\r\n")  # what stands in a body is the caller's
            data = _UPGRADE.sub(b"\r\nx-grade:", head, count=1) + blank + rest
        self._is_reading = True
        super().data_received(data)
        self._is_reading = False
        if (held := self._held) is not None:
            self._held = None
            super()._start_asgi_task(held, self.app)
        cycle: Cycle | None = self.cycle
        if cycle is None or cycle.scope is not self.scope or (cycle.response_complete and self._is_unwatched(cycle)):
            self._wait_for_head(len(data))
        elif self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer, self._head_bytes = None, 0

    def _is_between(self) -> bool:
        """Whether the last request is there whole, and nothing of the next."""
        cycle: Cycle | None = self.cycle
        scope: object = self.scope
        return scope is None or (cycle is not None and cycle.scope is scope and not cycle.more_body)

    def _is_unwatched(self, last: Cycle) -> bool:
        """Whether no timer would end the connection: what came began no request, and is no rest of the last one."""
        return self.timeout_keep_alive_task is None and not last.more_body

    def _wait_for_head(self, size: int) -> None:
        """A head is there in part: it has so many bytes more."""
        if self._head_bytes == 0:
            if self._head_timer is not None:
                self._head_timer.cancel()
            self._head_timer = self.loop.call_later(HEAD_SECONDS, self._refuse, 408, _TOO_SLOW)
        self._head_bytes += size
        if self._head_bytes > MAX_HEAD:
            self._refuse(431, _TOO_LARGE)

    def _refuse(self, status: int, body: bytes) -> None:
        """End the connection: with this answer, or with that to the request before."""
        if self.transport.is_closing():  # it waits for a client to read
            self.transport.abort()
            return
        if self._active is not None and not self._active.response_complete:
            self._active.keep_alive = False
            self.flow.pause_reading()
            return
        head = b"content-type: application/json\r\nconnection: close\r\ncontent-length: %d\r\n\r\n" % len(body)
        self.transport.write(STATUS_LINE[status] + head + body)
        self.transport.close()

    def _start_asgi_task(self, cycle: Cycle, app: Any) -> None:
        self._active = cycle
        # Not from `on_response_complete`: a thousand requests in one piece would be answered in as many nested calls.
        if self._offer is not None and self._is_reading and not cycle.waiting_for_100_continue and app is self.app:
            self._held = cycle
            self._unset_keepalive_if_required()  # of the request before it in the same piece
        else:
            super()._start_asgi_task(cycle, app)

    def on_message_complete(self) -> None:
        """Begin to answer."""
        super().on_message_complete()
        cycle = self._held
        if cycle is not None and self._offer is not None:
            self._held = None
            waits = self._offer(cycle)
            if waits is None:
                super()._start_asgi_task(cycle, self.app)
            elif not cycle.response_complete:
                self._waits = waits
                self.read_on()

    def give_up_with(self, cycle: Cycle, waits: asyncio.Future[Any]) -> None:
        """Cancel what a request that ASGI answers waits for, if its client goes first."""
        if cycle.disconnected:
            waits.cancel()
        elif cycle is self._active:
            self._waits = waits

    def read_on(self) -> None:
        """Hear of it if the client goes: uvicorn reads no further after a large body, or before a next request."""
        if not self.pipeline:
            self.flow.resume_reading()

    def on_response_complete(self) -> None:
        """Go on to the next request."""
        self._waits = None
        super().on_response_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        """Give up what nobody waits for any more."""
        if self._waits is not None:
            self._waits.cancel()
            self._waits = None
        if self._head_timer is not None:
            self._head_timer.cancel()
        if (cycle := self._active) is not None and not cycle.response_complete:
            cycle.disconnected = True
            cycle.message_event.set()
        super().connection_lost(exc)

    def timeout_keep_alive_handler(self) -> None:
        """End a connection that nothing was asked on: at once, if its client has left the last answer unread."""
        unread = self.transport.get_write_buffer_size()
        if unread == 0:
            super().timeout_keep_alive_handler()
        elif unread == self._unread:
            self.transport.abort()
        else:  # it reads slowly
            self._unread = unread
            self.timeout_keep_alive_task = self.loop.call_later(
                self.timeout_keep_alive, self.timeout_keep_alive_handler
            )


class _Usual:
    """The headers of uvicorn's own, as they were written last: it makes the list anew each second."""

    headers: object = None
    lines = b""


_usual = _Usual()


def cycle(bound: Receive | Send) -> Cycle | None:
    """Uvicorn's record of the exchange that ASGI's `receive` or `send` belongs to; None if it is not uvicorn's."""
    found = getattr(bound, "__self__", None)
    return found if type(found) is Cycle else None


def is_whole(cycle: Cycle) -> bool:
    """Whether the request's body is there, to be taken."""
    return not (
        cycle.more_body or cycle.waiting_for_100_continue or cycle.disconnected or not cycle.message_event.is_set()
    )


def take(cycle: Cycle) -> bytes:
    """The request's body."""
    data = bytes(cycle.body)
    cycle.body = bytearray()
    cycle.message_event.clear()
    return data


def read_on(bound: Receive | Send) -> None:
    """Hear of it if the client of an exchange goes, once its body is there."""
    found = cycle(bound)
    if found is not None and (connection := _connection(found)) is not None:
        connection.read_on()


def give_up_with(bound: Receive | Send, waits: asyncio.Future[Any]) -> None:
    """Cancel what an exchange waits for, if its client goes first."""
    found = cycle(bound)
    if found is not None and (connection := _connection(found)) is not None:
        connection.give_up_with(found, waits)


def _connection(cycle: Cycle) -> Connection | None:
    found = getattr(cycle.on_response, "__self__", None)
    return found if isinstance(found, Connection) else None


def is_waiting_to_send(bound: Receive) -> bool:
    """Whether the client sends its body only once it is told to go on."""
    found = cycle(bound)
    return found is not None and found.waiting_for_100_continue


def end_with_answer(bound: Receive) -> None:
    """Have the connection end with the answer: the rest of the request's body is not read."""
    found = cycle(bound)
    if found is not None:
        found.keep_alive = False


def is_gone(bound: Receive | Send) -> bool:
    """Whether it is known that the client of an exchange has gone."""
    found = cycle(bound)
    return found is not None and found.disconnected


def write(response: Response, cycle: Cycle, close: bool) -> bool:
    """Write an answer, or return False when it has to be sent as ASGI messages.

    Args:
        response: Its headers are ours, or checked: they are written as they are.
        cycle: The exchange that it ends.
        close: Whether the connection ends with this answer.
    """
    if cycle.response_started or cycle.disconnected or cycle.flow.write_paused or cycle.scope["method"] == "HEAD":
        return False
    if cycle.default_headers is not _usual.headers:
        _usual.headers, _usual.lines = cycle.default_headers, Fixed(cycle.default_headers).lines
    parts = [STATUS_LINE[response.status], _usual.lines, response.fixed.lines]
    for name, value in response.headers:
        parts += (name, b": ", value, b"\r\n")
    if close:
        cycle.keep_alive = False
    if not cycle.keep_alive:
        parts.append(b"connection: close\r\n")
    parts += (b"content-length: %d\r\n\r\n" % len(response.body), response.body)
    cycle.response_started = cycle.response_complete = True
    cycle.waiting_for_100_continue = False
    cycle.transport.write(b"".join(parts))
    cycle.message_event.set()
    if not cycle.keep_alive:
        cycle.transport.close()
    cycle.on_response()
    return True


def cut(sender: Send) -> None:
    """End a connection at once, with what is not sent yet: its client does not read."""
    found = cycle(sender)
    if found is not None:
        found.transport.abort()
        found.disconnected = True  # as the transport will say in a moment
