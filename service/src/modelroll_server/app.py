"""The process: builds every part from the settings, listens, and leaves without failing a request.

Owns construction, signals and the drain. Only this module and `cli` see the settings.
"""

import asyncio
import contextlib
import math
import select
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import structlog
import uvicorn
import uvloop

from modelroll_server import errors
from modelroll_server.artifact.policy import Policy
from modelroll_server.batching.batcher import Limits
from modelroll_server.cache.cache import Bounds, Cache
from modelroll_server.http.asgi import Application, Lifecycle
from modelroll_server.http.inference_app import InferenceApp
from modelroll_server.http.management_app import ManagementApp
from modelroll_server.inference import Inference
from modelroll_server.registry.loader import Loader
from modelroll_server.registry.marker import Marker
from modelroll_server.registry.registry import Registry
from modelroll_server.registry.sources import Directory, Files, TargetSource, is_model_directory
from modelroll_server.registry.target import Content
from modelroll_server.registry.watcher import Watcher
from modelroll_server.settings import Settings
from modelroll_server.telemetry import cpu
from modelroll_server.telemetry.metrics import Metrics

KEEP_ALIVE = 75  # longer than the pools of usual clients and proxies: they close first, never under a request
BACKLOG = 2048
LEFT_EVERY = 0.1  # seconds between two looks at whether all clients have left
CACHE_SIZE = 64 * 2**20  # bytes in this process, where a Redis is given and no size
ON_THE_WIRE = 0.25  # seconds that a request or a connection from before the delay ended may still be on its way

_log = structlog.get_logger(__name__)


class CannotListen(errors.ModelrollError):
    """A port cannot be listened on."""


class _Listener(uvicorn.Server):
    """One uvicorn server whose process handles its own signals."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the signals to `App`: uvicorn would close idle connections at once."""
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

    def _queued(self) -> bool:
        poll = select.poll()
        for server in self.servers:
            for listening in server.sockets:
                poll.register(listening.fileno(), select.POLLIN)
        return bool(poll.poll(0))


class App:
    """One server process, built from its settings."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._lifecycle = Lifecycle()
        self._interrupted = asyncio.Event()
        self._terminated = asyncio.Event()
        metrics = Metrics()
        self._registry = Registry(metrics, model=settings.model_name, lazy=settings.load == "lazy")
        loader = Loader(
            settings.model_root,
            Policy(settings.artifact_policy),
            model=settings.model_name,
            extra_fields=settings.extra_fields,
        )
        self._source = _source(settings)
        self._watcher = Watcher(self._source, self._registry, loader.load, Marker(settings.state_dir))
        limits = Limits(rows=settings.max_batch_size, delay=settings.max_batch_delay_ms / 1000)
        self._cache = _cache(settings, metrics)
        self._inference = Inference(self._registry, metrics, threads=cpu.usable(), limits=limits, cache=self._cache)
        pod = (settings.pod_name, settings.pod_uid)
        self._inference_app = InferenceApp(
            self._registry, self._inference, metrics, self._lifecycle, log_requests=settings.log_requests
        )
        self._management_app = ManagementApp(self._registry, metrics, self._lifecycle, pod)

    async def run(self) -> None:
        """Serve until a signal, then drain.

        Raises:
            CannotListen: a port is taken or not ours to take.
        """
        settings = self._settings
        with (
            _bound(settings.host, settings.port) as inference_socket,
            _bound(settings.host, settings.management_port) as management_socket,
        ):
            self._handle_signals()
            self._registry.see(await self._source.read())
            # With a delay, the first half of the time is for idle connections to be left: see `_until_left`.
            grace = settings.shutdown_timeout / (2 if settings.drain_delay else 1)
            inference = _listener(self._inference_app, grace)
            management = _listener(self._management_app, 1)
            serving = asyncio.create_task(inference.serve([inference_socket]))
            managing = asyncio.create_task(management.serve([management_socket]))
            watching = asyncio.create_task(self._watcher.run())
            if self._cache is not None:
                self._cache.start()
            _log.info(
                "listening",
                host=settings.host,
                port=inference_socket.getsockname()[1],
                management_port=management_socket.getsockname()[1],
                docs=_documentation(inference_socket),
            )
            leaving = asyncio.create_task(self._terminated.wait())
            # Any of these ends before the signal only by a fault, which must not leave half a server behind.
            await asyncio.wait({leaving, serving, managing, watching}, return_when=asyncio.FIRST_COMPLETED)
            leaving.cancel()
            await self._drain(inference, watching)
            await serving
            management.should_exit = True
            await managing
            if self._cache is not None:
                await self._cache.close()
            if not watching.cancelled():
                watching.result()

    async def _drain(self, inference: _Listener, watching: asyncio.Task[None]) -> None:
        self._lifecycle.draining = self._registry.draining = True
        _log.info("draining", seconds=self._settings.drain_delay)
        if self._registry.live is not None:  # else requests may wait for a first load, which is seen to its end
            watching.cancel()
        await self._pause(self._settings.drain_delay)
        if self._settings.drain_delay:
            await self._pause(ON_THE_WIRE)
        await inference.stop_accepting(self._settings.shutdown_timeout / 2)
        if self._settings.drain_delay:
            await self._until_left(inference)
        inference.should_exit = True
        watching.cancel()
        self._watcher.close()
        with contextlib.suppress(asyncio.CancelledError, Exception):
            await watching

    async def _until_left(self, inference: _Listener) -> None:
        """Leave idle connections to their clients for a while.

        Whoever closes one may close it under the first byte of a request. A client that asks on it is told to close it,
        and pools drop what they do not use; what is left after half the shutdown timeout is closed after all.
        """
        deadline = time.monotonic() + self._settings.shutdown_timeout / 2
        while inference.server_state.connections and time.monotonic() < deadline and not self._interrupted.is_set():
            await self._pause(LEFT_EVERY)

    async def _pause(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._interrupted.wait()

    def close(self) -> None:
        """Let go of the threads; those that still compute are not waited for."""
        self._inference.close()

    def _handle_signals(self) -> None:
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self._terminated.set)

        def interrupt() -> None:  # a person at a terminal does not want to wait for a load balancer
            self._interrupted.set()
            self._terminated.set()

        loop.add_signal_handler(signal.SIGINT, interrupt)


def run(settings: Settings) -> None:
    """Run a server until it is told to end.

    Raises:
        CannotListen: a port is taken or not ours to take.
    """
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        app = App(settings)
        try:
            runner.run(app.run())
        finally:
            app.close()


def _cache(settings: Settings, metrics: Metrics) -> Cache | None:
    size = settings.cache_size
    if not size and settings.cache_url is None:
        return None
    bounds = Bounds(CACHE_SIZE if size is None else size, settings.cache_ttl)
    cache = Cache(bounds, url=settings.cache_url, secret=settings.cache_key)
    metrics.add(cache.counts)
    return cache


def _source(settings: Settings) -> TargetSource:
    if not settings.model_path:
        return Files(settings.target_dir, None)
    path = Path(settings.model_path)
    place = path if path.is_absolute() else settings.model_root / path
    if settings.target_dir is None and is_model_directory(place):
        return Directory(place)
    # Relative where it can be, so that a target that names the same place is seen to be the same.
    name = str(place.relative_to(settings.model_root)) if place.is_relative_to(settings.model_root) else str(place)
    return Files(settings.target_dir, Content(path=name, digest=settings.model_digest, env=True))


def _documentation(listening: socket.socket) -> str:
    """Where a person on this machine finds the page to try the model on."""
    host, port = listening.getsockname()[:2]
    if host in {"0.0.0.0", "::"}:  # noqa: S104  compared, not bound
        host = "localhost"
    return f"http://[{host}]:{port}/docs" if ":" in host else f"http://{host}:{port}/docs"


@contextlib.contextmanager
def _bound(host: str, port: int) -> Iterator[socket.socket]:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listening = socket.create_server((host, port), family=family, backlog=BACKLOG)
    except OSError as error:
        raise CannotListen(f"cannot listen on port {port} of {host}: {error.strerror or error}") from error
    listening.setblocking(False)
    with listening:
        yield listening


def _listener(application: Application, shutdown_timeout: float) -> _Listener:
    config = uvicorn.Config(
        application,
        http="httptools",
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
    )
    return _Listener(config)
