"""The process: builds every part from the settings, listens, and leaves without failing a request.

Owns construction, signals and the drain. Only this module, `stream_app`, `workers`, `cli`, and the `terms` of `stream`
and `registry` see the settings: what is built is told single values, or those terms.
"""

import asyncio
import contextlib
import importlib
import signal
from typing import TYPE_CHECKING, Any

import structlog
import uvloop

from modelroll_server import draining, listening
from modelroll_server.access.access import Access
from modelroll_server.access.callers import Callers
from modelroll_server.batching.batcher import Limits
from modelroll_server.cache.cache import Bounds, Cache
from modelroll_server.drift.watch import Deliver, Watch
from modelroll_server.drift.window import Window
from modelroll_server.http.asgi import Lifecycle
from modelroll_server.http.inference_app import InferenceApp, Options
from modelroll_server.http.management_app import ManagementApp
from modelroll_server.http.page.page import Numbers, Page
from modelroll_server.http.repository import Repository
from modelroll_server.inference import Inference
from modelroll_server.listening import Listener
from modelroll_server.registry import sources
from modelroll_server.registry.candidates import InProcess
from modelroll_server.registry.loader import Loader
from modelroll_server.registry.marker import Marker
from modelroll_server.registry.refresh import Refresh
from modelroll_server.registry.registry import Registry
from modelroll_server.registry.terms import Terms
from modelroll_server.registry.trial import Trial
from modelroll_server.registry.watcher import Watcher
from modelroll_server.settings import Settings
from modelroll_server.telemetry import cpu
from modelroll_server.telemetry.metrics import Metrics
from modelroll_server.telemetry.traces import Traces
from modelroll_server.telemetry.traffic import Traffic

if TYPE_CHECKING:
    from modelroll_server.grpc.server import GrpcServer

CACHE_SIZE = 64 * 2**20  # bytes in this process, where a Redis is given and no size

_log = structlog.get_logger(__name__)


class Answering:
    """What loads and answers in one process, whoever tells it what to serve.

    Attributes:
        registry: What is live here.
        candidates: How another version gets to be.
        inference: The one path of a prediction.
        cache: Of answers; who runs the event loop starts and closes it.
    """

    def __init__(
        self,
        settings: Settings,
        metrics: Metrics,
        reloads: Metrics,
        *,
        threads: int,
        deliver: Deliver | None = None,
        traces: Traces | None = None,
    ) -> None:
        """Build it.

        Args:
            settings: What the server is told.
            metrics: Where requests are counted.
            reloads: Where versions are counted.
            threads: That compute.
            deliver: Gets the samples that drift is told by; None: they are kept, and told of in `metrics`.
            traces: Where traces go; None: there are none.
        """
        self._traces = traces
        if traces is not None:
            metrics.add(traces.counts)
        self._name = settings.model_name
        self._metrics = metrics
        self.registry = Registry(reloads, model=settings.model_name, lazy=settings.load == "lazy")
        terms = Terms.of(settings)
        self.trial = Trial(terms, model=self._model)
        loader = Loader(terms, model=self._model)
        self.candidates = InProcess(self.registry, loader, keep_previous=settings.keep_previous)
        limits = Limits(rows=settings.max_batch_size, delay=settings.max_batch_delay_ms / 1000)
        self.cache = _cache(settings, metrics)
        watch = None
        if settings.drift:
            if deliver is None:
                window = Window(settings.drift_window, lambda: self.registry.digest)
                metrics.add(window)
                deliver = window.add
            watch = Watch(deliver)
        self.inference = Inference(
            self.registry, metrics, threads=threads, limits=limits, cache=self.cache, watch=watch, traces=traces
        )

    def over_http(
        self, settings: Settings, lifecycle: Lifecycle, numbers: Numbers, callers: Callers | None
    ) -> InferenceApp:
        """The inference port.

        Args:
            settings: What the server is told.
            lifecycle: The process's.
            numbers: That the page shows.
            callers: Who may call; None: everybody.
        """
        page = Page(self.registry, self.inference, numbers) if settings.page else None
        return InferenceApp(
            self.registry,
            self.inference,
            self._metrics,
            lifecycle,
            Options(settings.log_requests, page, self._traces, callers),
        )

    def _model(self) -> str | None:
        """What is served here for as long as the process runs: as it was told, or what went live first."""
        live = self.registry.live
        return self._name if live is None else live.model


class App:
    """One server process, built from its settings."""

    def __init__(self, settings: Settings, traces: Traces | None = None) -> None:
        self._settings = settings
        self._traces = traces
        self._lifecycle = Lifecycle(listening=settings.grpc_port is None)
        self._interrupted = asyncio.Event()
        self._terminated = asyncio.Event()
        metrics = self._metrics = Metrics()
        self._grpc: GrpcServer | None = None
        traffic = Traffic(metrics.latency.collect)

        async def numbers() -> dict[str, Any]:
            return traffic.document()

        answering = Answering(settings, metrics, metrics, threads=cpu.usable(), traces=traces)
        self._registry, self._inference, self._cache = answering.registry, answering.inference, answering.cache
        self._access = Access((settings.tls_dir, settings.tls_client_ca), settings.tokens_dir, metrics, metrics)
        self._inference_app = answering.over_http(settings, self._lifecycle, numbers, self._access.callers)
        self._source = sources.named(
            settings.model_path, settings.model_root, settings.model_digest, settings.target_dir
        )
        if settings.repository_token is not None:
            refresh = Refresh(self._source, self._registry)
            self._inference_app.repository = Repository(self._registry, refresh, settings.repository_token)
        self._watcher = Watcher(
            self._source, self._registry, answering.candidates, Marker(settings.state_dir), answering.trial
        )
        pod = (settings.pod_name, settings.pod_uid)
        self._management_app = ManagementApp(self._registry, metrics, self._lifecycle, pod)

    async def run(self) -> None:
        """Serve until a signal, then drain.

        Raises:
            CannotListen: a port is taken or not ours to take.
            CredentialsUnusable: what is to guard the ports cannot be used.
        """
        settings = self._settings
        self._access.load()
        with (
            listening.bound(settings.host, settings.port) as inference_socket,
            listening.bound(settings.host, settings.management_port) as management_socket,
        ):
            self._handle_signals()
            self._registry.see(await self._source.read())
            # With a delay, the first half of the time is for idle connections to be left: see `Listener.leave`.
            grace = settings.shutdown_timeout / (2 if settings.drain_delay else 1)
            inference = listening.listener(self._inference_app, grace, self._access.tls)
            management = listening.listener(self._management_app, 1)
            serving = asyncio.create_task(inference.serve([inference_socket]))
            speaking = asyncio.create_task(self._speak_grpc())
            managing = asyncio.create_task(management.serve([management_socket]))
            watching = asyncio.create_task(self._watcher.run())
            guarding = asyncio.create_task(self._access.run())
            if self._cache is not None:
                self._cache.start()
            _log.info(
                "listening",
                host=settings.host,
                port=inference_socket.getsockname()[1],
                management_port=management_socket.getsockname()[1],
                docs=listening.documentation(inference_socket, self._access.tls),
            )
            await told(self._terminated, serving, speaking, managing, watching, guarding)
            await self._drain(watching)
            stopping = asyncio.create_task(self._stop_grpc(speaking, grace))
            await self._close(inference, watching)
            await serving
            await stopping
            guarding.cancel()
            await end(management, managing, watching, self._cache)
            if guarding.done() and not guarding.cancelled():
                guarding.result()

    async def _speak_grpc(self) -> None:
        """Serve gRPC until it is stopped. Importing it takes a while, and the HTTP ports do not wait for that."""
        settings = self._settings
        if settings.grpc_port is None:
            await asyncio.Event().wait()
            return
        module = await asyncio.to_thread(importlib.import_module, "modelroll_server.grpc.server")
        limits = (settings.grpc_max_receive_bytes, settings.grpc_max_send_bytes)
        leaving = self._lifecycle.leaving
        server = module.GrpcServer(
            self._registry,
            self._inference,
            self._metrics,
            leaving,
            max_message=limits,
            traces=self._traces,
            access=self._access,
        )
        try:
            port = await server.start(settings.host, settings.grpc_port)
        except module.PortTaken as error:
            raise listening.CannotListen(
                f"cannot listen on port {settings.grpc_port} of {settings.host}: {error}"
            ) from error
        self._grpc = server
        self._lifecycle.listening = True
        _log.info("listening for grpc", host=settings.host, grpc_port=port)
        await server.terminated()

    async def _stop_grpc(self, speaking: asyncio.Task[None], grace: float) -> None:
        if self._grpc is not None:
            await self._grpc.stop(grace)
        else:
            speaking.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await speaking

    async def _drain(self, watching: asyncio.Task[None]) -> None:
        self._lifecycle.draining = self._registry.draining = True
        _log.info("draining", seconds=self._settings.drain_delay)
        if self._registry.live is not None:  # else requests may wait for a first load, which is seen to its end
            watching.cancel()
        if self._settings.drain_delay:
            terms = draining.Terms(self._settings.drain_delay, self._settings.unready_after)
            await draining.take_leave(self._lifecycle, terms, self._interrupted)
            await self._pause(listening.ON_THE_WIRE)

    async def _close(self, inference: Listener, watching: asyncio.Task[None]) -> None:
        self._lifecycle.leaving.set()
        patience = self._settings.shutdown_timeout / 2
        await inference.leave(patience, patience if self._settings.drain_delay else 0.0, self._interrupted)
        watching.cancel()
        self._watcher.close()
        with contextlib.suppress(asyncio.CancelledError, Exception):
            await watching

    async def _pause(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._interrupted.wait()

    def close(self) -> None:
        """Let go of the threads; those that still compute are not waited for."""
        self._inference.close()
        if self._traces is not None:
            self._traces.close()

    def _handle_signals(self) -> None:
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self._terminated.set)

        def interrupt() -> None:  # a person at a terminal does not want to wait for a load balancer
            self._interrupted.set()
            self._terminated.set()

        loop.add_signal_handler(signal.SIGINT, interrupt)


async def told(to_end: asyncio.Event, *parts: asyncio.Task[Any]) -> None:
    """Wait until a process is told to end, or one of its parts ends before: by a fault, which must not leave half."""
    leaving = asyncio.create_task(to_end.wait())
    await asyncio.wait({leaving, *parts}, return_when=asyncio.FIRST_COMPLETED)
    leaving.cancel()


async def end(
    management: Listener, managing: asyncio.Task[None], watching: asyncio.Task[None], cache: Cache | None
) -> None:
    """Close what a process has beside its answering, once that has ended.

    Args:
        management: The listener of the management port.
        managing: What serves it.
        watching: What follows targets, which was told to end.
        cache: Of answers.

    Raises:
        Exception: what ended `watching` before it was told to.
    """
    management.should_exit = True
    await managing
    if cache is not None:
        await cache.close()
    if watching.done() and not watching.cancelled():
        watching.result()


def run(settings: Settings, traces: Traces | None = None) -> None:
    """Run a server until it is told to end.

    Args:
        settings: What it is told.
        traces: Where traces go; None: there are none.

    Raises:
        CannotListen: a port is taken or not ours to take.
        CredentialsUnusable: what is to guard the ports cannot be used.
    """
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        app = App(settings, traces)
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
