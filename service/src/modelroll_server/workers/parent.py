"""The parent of several workers: it listens, follows the targets, and answers on the management port alone.

Owns the process as `app` owns that of a server without workers: construction, signals and the drain. It imports no
library that computes, and holds no model.
"""

import asyncio
import contextlib
import dataclasses
import signal
import socket

import structlog
import uvloop

from modelroll_server import draining, listening
from modelroll_server import settings as configuration
from modelroll_server.access.access import Access
from modelroll_server.drift.window import Window
from modelroll_server.http.asgi import Lifecycle
from modelroll_server.http.management_app import ManagementApp
from modelroll_server.registry import sources
from modelroll_server.registry.marker import Marker
from modelroll_server.registry.terms import Terms
from modelroll_server.registry.trial import Trial
from modelroll_server.registry.watcher import Watcher
from modelroll_server.settings import Settings
from modelroll_server.telemetry.metrics import Metrics
from modelroll_server.workers.accounts import Accounts
from modelroll_server.workers.crew import Crew, Start
from modelroll_server.workers.messages import Guard
from modelroll_server.workers.shared import SharedRecord

TO_END = 3.0  # seconds that a worker may take to end after its last request

_log = structlog.get_logger(__name__)


class Parent:
    """One server of several processes, built from its settings."""

    def __init__(self, settings: Settings, count: int, port: socket.socket, management_port: socket.socket) -> None:
        self._settings = settings
        self._port, self._management_port = port, management_port
        self._lifecycle = Lifecycle()
        self._interrupted = asyncio.Event()
        self._terminated = asyncio.Event()
        metrics = Metrics()
        self._record = SharedRecord(metrics, model=settings.model_name, lazy=settings.load == "lazy")
        window = Window(settings.drift_window, lambda: self._record.digest)
        accounts = Accounts(metrics, self._lifecycle, window)
        # Each worker reads the same for itself, but for a certificate that cannot be read any more when it is started;
        # what becomes of it is told once, from here.
        self._access = Access((settings.tls_dir, settings.tls_client_ca), settings.tokens_dir, Metrics(), metrics)
        environment = configuration.to_environment(dataclasses.replace(settings, workers=count))
        start = Start(environment, port, settings.worker_timeout, self._guard)
        self._crew = Crew(count, start, self._record, accounts)
        self._source = sources.named(
            settings.model_path, settings.model_root, settings.model_digest, settings.target_dir
        )
        trial = Trial(Terms.of(settings), model=self._model)
        self._watcher = Watcher(self._source, self._record, self._crew, Marker(settings.state_dir), trial)
        pod = (settings.pod_name, settings.pod_uid)
        self._management_app = ManagementApp(self._record, accounts, self._lifecycle, pod, self._crew.status)

    def _guard(self) -> Guard:
        if self._access.tls is None:
            return Guard(None, None, None)
        pair = self._access.tls.pair
        return Guard(pair.chain, pair.key, pair.client_ca)

    def _model(self) -> str | None:
        return self._record.model if self._record.is_live else self._settings.model_name

    async def run(self) -> None:
        """Serve until a signal, then drain.

        Raises:
            crew.NobodyLeft: what was live is lost.
            errors.CredentialsUnusable: what is to guard the port cannot be used.
        """
        self._access.load()
        self._handle_signals()
        self._record.see(await self._source.read())
        management = listening.listener(self._management_app, 1)
        managing = asyncio.create_task(management.serve([self._management_port]))
        working = asyncio.create_task(self._crew.run())
        watching = asyncio.create_task(self._watcher.run())
        guarding = asyncio.create_task(self._access.run())
        _log.info(
            "listening",
            host=self._settings.host,
            port=self._port.getsockname()[1],
            management_port=self._management_port.getsockname()[1],
            docs=listening.documentation(self._port, self._access.tls),
            grpc="off: it is spoken by a server of one process",
        )
        leaving = asyncio.create_task(self._terminated.wait())
        # Any of these ends before the signal only by a fault, which must not leave half a server behind.
        await asyncio.wait({leaving, working, managing, watching, guarding}, return_when=asyncio.FIRST_COMPLETED)
        leaving.cancel()
        if not working.done():
            await self._drain(watching)
        watching.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await watching
        await working
        management.should_exit = True
        await managing
        guarding.cancel()
        if guarding.done() and not guarding.cancelled():
            guarding.result()

    async def _drain(self, watching: asyncio.Task[None]) -> None:
        settings = self._settings
        self._lifecycle.draining = self._record.draining = True
        self._crew.drain()
        _log.info("draining", seconds=settings.drain_delay)
        if self._record.is_live:  # else requests may wait for a first load, which is seen to its end
            watching.cancel()
        if settings.drain_delay:
            terms = draining.Terms(settings.drain_delay, settings.unready_after)
            await draining.take_leave(self._lifecycle, terms, self._interrupted)
            await self._pause(listening.ON_THE_WIRE)
        # The last who has the socket looks at its queue before closing it; that must be a worker.
        self._port.close()
        patience = settings.shutdown_timeout / 2 if settings.drain_delay else 0.0
        await self._crew.leave(0.0 if self._interrupted.is_set() else patience, settings.shutdown_timeout + TO_END)

    async def _pause(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._interrupted.wait()

    def _handle_signals(self) -> None:
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self._terminated.set)

        def interrupt() -> None:  # a person at a terminal does not want to wait for a load balancer
            self._interrupted.set()
            self._terminated.set()
            self._crew.interrupt()

        loop.add_signal_handler(signal.SIGINT, interrupt)


def run(settings: Settings, count: int) -> None:
    """Run a server of `count` workers until it is told to end.

    Raises:
        listening.CannotListen: a port is taken or not ours to take.
        crew.NobodyLeft: what was live is lost; starting anew loads what is settled.
    """
    with (
        listening.bound(settings.host, settings.port) as port,
        listening.bound(settings.host, settings.management_port) as management_port,
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
    ):
        runner.run(_run(settings, count, port, management_port))


async def _run(settings: Settings, count: int, port: socket.socket, management_port: socket.socket) -> None:
    await Parent(settings, count, port, management_port).run()
