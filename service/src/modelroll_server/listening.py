"""Sockets and HTTP servers: how a port is opened, and how it is left without failing a request.

Knows nothing of what is served.
"""

import asyncio
import contextlib
import math
import select
import socket
import ssl
import time
from collections.abc import Iterator

import uvicorn

from modelroll_server import errors
from modelroll_server.http.asgi import Application
from modelroll_server.http.wire import Connection

KEEP_ALIVE = 75  # longer than the pools of usual clients and proxies: they close first, never under a request
BACKLOG = 2048
LEFT_EVERY = 0.1  # seconds between two looks at whether all clients have left
ON_THE_WIRE = 0.25  # seconds that a request or a connection from before the delay ended may still be on its way


class CannotListen(errors.ModelrollError):
    """A port cannot be listened on."""


class Listener(uvicorn.Server):
    """One uvicorn server whose process handles its own signals."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the signals to the process: uvicorn would close idle connections at once."""
        yield

    async def stop_accepting(self, within: float) -> None:
        """Take what the kernel has queued, then refuse new connections; those that are open stay.

        Closing resets whoever is still in the queue, and the loop takes one connection a turn: a process that got no
        time for a while may have a long one. One that has not emptied `within` so many seconds is closed all the same.
        """
        deadline = time.monotonic() + within
        while self._queued() and time.monotonic() < deadline:  # noqa: ASYNC110 - each turn of the loop takes one
            await asyncio.sleep(0)
        for server in self.servers:
            server.close()

    async def leave(self, within: float, patience: float, interrupted: asyncio.Event) -> None:
        """Stop accepting (see there), leave idle connections to their clients for `patience` seconds, and end `serve`.

        Whoever closes one may close it under the first byte of a request. A client that asks on it is told to close it,
        and pools drop what they do not use; what is left after that time is closed after all.
        """
        await self.stop_accepting(within)
        deadline = time.monotonic() + patience
        if self.config.ssl is not None:  # whoever shakes hands is not among the connections yet
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(min(ON_THE_WIRE, patience)):
                    await interrupted.wait()
        while self.server_state.connections and time.monotonic() < deadline and not interrupted.is_set():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LEFT_EVERY):
                    await interrupted.wait()
        self.should_exit = True

    def _queued(self) -> bool:
        poll = select.poll()
        for server in self.servers:
            for listening in server.sockets:
                poll.register(listening.fileno(), select.POLLIN)
        return bool(poll.poll(0))


def documentation(listening: socket.socket, tls: ssl.SSLContext | None = None) -> str:
    """Where a person on this machine finds the page to try the model on."""
    host, port = listening.getsockname()[:2]
    if host in {"0.0.0.0", "::"}:  # noqa: S104  compared, not bound
        host = "localhost"
    scheme = "http" if tls is None else "https"
    return f"{scheme}://[{host}]:{port}/docs" if ":" in host else f"{scheme}://{host}:{port}/docs"


@contextlib.contextmanager
def bound(host: str, port: int) -> Iterator[socket.socket]:
    """A listening socket for the time of a block.

    Raises:
        CannotListen: the port is taken or not ours to take.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listening = socket.create_server((host, port), family=family, backlog=BACKLOG)
    except OSError as error:
        raise CannotListen(f"cannot listen on port {port} of {host}: {error.strerror or error}") from error
    listening.setblocking(False)
    with listening:
        yield listening


def listener(application: Application, shutdown_timeout: float, tls: ssl.SSLContext | None = None) -> Listener:
    """A server of one application, which gives requests that many seconds when it ends.

    Args:
        application: What answers.
        shutdown_timeout: Seconds.
        tls: What each connection is begun with; None: they are in clear.
    """
    config = uvicorn.Config(
        application,
        http=Connection,
        ws="none",
        lifespan="off",
        interface="asgi3",
        access_log=False,
        log_config=None,
        server_header=False,
        proxy_headers=False,
        backlog=BACKLOG,
        timeout_keep_alive=KEEP_ALIVE,
        timeout_graceful_shutdown=math.ceil(shutdown_timeout),
        ssl_context_factory=None if tls is None else lambda _, __: tls,
    )
    return Listener(config)
