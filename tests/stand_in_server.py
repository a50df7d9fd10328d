"""The inference and management apps over a stand-in model, in this process."""

import asyncio
import contextlib
import socket
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

import stand_in
from modelroll_server.batching.batcher import Limits
from modelroll_server.cache.cache import Cache
from modelroll_server.http import wire
from modelroll_server.http.asgi import Lifecycle
from modelroll_server.http.inference_app import InferenceApp, Options
from modelroll_server.http.management_app import ManagementApp
from modelroll_server.http.page.page import Page
from modelroll_server.inference import Inference
from modelroll_server.registry.registry import Registry
from modelroll_server.registry.target import Target
from modelroll_server.registry.version import Version
from modelroll_server.telemetry.metrics import Metrics
from modelroll_server.telemetry.traces import Traces
from modelroll_server.telemetry.traffic import Traffic

THREADS = 2  # that compute


@dataclass
class Server:
    """Both ports, and what is behind them."""

    registry: Registry
    lifecycle: Lifecycle
    metrics: Metrics
    app: InferenceApp
    inference: httpx.AsyncClient
    management: httpx.AsyncClient
    application: InferenceApp

    def swap(self, number: str, runtime: stand_in.Echo | None = None, revision: int = 1) -> None:
        """Make another version live."""
        version = stand_in.version(number, runtime)
        self.registry.swap(version, Target("settled", revision, version.content))


@contextlib.asynccontextmanager
async def serving(
    cache: Cache | None = None, *, page: bool = True, traces: Traces | None = None
) -> AsyncIterator[Server]:
    """A server with version 1.0.0 live, and with the page at `/`, or without."""
    registry, lifecycle, metrics = Registry(Metrics()), Lifecycle(), Metrics()
    inference = Inference(registry, metrics, threads=THREADS, limits=Limits(queued=100), cache=cache, traces=traces)
    traffic = Traffic(metrics.latency.collect)

    async def numbers() -> dict[str, Any]:
        return traffic.document()

    found_page = Page(registry, inference, numbers) if page else None
    app = InferenceApp(registry, inference, metrics, lifecycle, options=Options(page=found_page, traces=traces))
    management = ManagementApp(registry, metrics, lifecycle, ("pod-1", "uid-1"))

    def client(application: Callable[..., object]) -> httpx.AsyncClient:
        return httpx.AsyncClient(transport=httpx.ASGITransport(application), base_url="http://server")  # type: ignore[arg-type]

    async with client(app) as inference_client, client(management) as management_client:
        found = Server(registry, lifecycle, metrics, app, inference_client, management_client, app)
        found.swap("1.0.0")
        yield found
    inference.close()


@contextlib.asynccontextmanager
async def listening(
    application: InferenceApp, connection: type[HttpToolsProtocol] = wire.Connection, keep_alive: int = 5
) -> AsyncIterator[int]:
    """The application on a real port, which is given; connections without a request are kept for so many seconds."""
    config = uvicorn.Config(
        application,
        port=0,
        http=connection,
        ws="none",
        lifespan="off",
        log_config=None,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=keep_alive,
    )
    server = uvicorn.Server(config)
    with socket.create_server(("127.0.0.1", 0)) as bound:
        serving = asyncio.create_task(server._serve([bound]))  # noqa: SLF001 - `serve` would take the signals
        try:
            yield bound.getsockname()[1]
        finally:
            server.should_exit = server.force_exit = True
            await serving


@contextlib.contextmanager
def in_a_thread(version: Version | None = None) -> Iterator[int]:
    """A server with a thread of its own, for clients that block; gives its port.

    Args:
        version: Live in place of the stand-in's own.
    """
    found: list[int] = []
    started, ended = threading.Event(), threading.Event()

    async def serve() -> None:
        async with serving() as server, listening(server.application) as port:
            if version is not None:
                server.registry.swap(version, Target("settled", 2, version.content))
            found.append(port)
            started.set()
            await asyncio.to_thread(ended.wait)

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    try:
        assert started.wait(60)
        yield found[0]
    finally:
        ended.set()
        thread.join()
