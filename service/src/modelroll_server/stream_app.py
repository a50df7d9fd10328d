"""The process of `modelroll stream`: as `app`, with a broker where that has the ports of inference.

Owns construction, signals and the drain. It follows targets, loads, and says of itself on the management port what a
server does.
"""

import asyncio
import signal

import structlog
import uvloop

from modelroll_server import cancellation, errors, listening
from modelroll_server.app import Answering, end, told
from modelroll_server.http.asgi import Lifecycle
from modelroll_server.http.management_app import ManagementApp
from modelroll_server.registry import sources
from modelroll_server.registry.marker import Marker
from modelroll_server.registry.watcher import Watcher
from modelroll_server.settings import Settings
from modelroll_server.stream import consuming, terms
from modelroll_server.stream.consuming import Consumption
from modelroll_server.stream.counts import StreamCounts
from modelroll_server.stream.handling import Handler
from modelroll_server.telemetry import cpu
from modelroll_server.telemetry.metrics import Metrics

_log = structlog.get_logger(__name__)


class NotInstalled(errors.ModelrollError):
    """What speaks to the broker is an extra, and is not there."""


class StreamApp:
    """One consumer process, built from its settings, of which `stream_url` and `stream_input` are given."""

    def __init__(self, settings: Settings) -> None:
        """Build it.

        Raises:
            NotInstalled: the extra `stream` is not.
        """
        self._settings = settings
        self._lifecycle = Lifecycle()
        self._terminated = asyncio.Event()
        metrics, counts = Metrics(), StreamCounts()
        metrics.add(counts)
        answering = Answering(settings, metrics, metrics, threads=cpu.usable())
        self._registry, self._inference, self._cache = answering.registry, answering.inference, answering.cache
        self._source = sources.named(
            settings.model_path, settings.model_root, settings.model_digest, settings.target_dir
        )
        self._watcher = Watcher(
            self._source, self._registry, answering.candidates, Marker(settings.state_dir), answering.trial
        )
        pod = (settings.pod_name, settings.pod_uid)
        self._management_app = ManagementApp(self._registry, metrics, self._lifecycle, pod)
        handler = Handler(
            self._registry,
            self._inference,
            metrics,
            counts,
            most_bytes=settings.stream_most_bytes,
            most_deliveries=settings.stream_most_deliveries,
        )
        self._terms = terms.of(settings)
        try:
            connect = consuming.named(self._terms, handler)
        except ImportError as error:
            raise NotInstalled(f"{error}: install `modelroll-server[stream]`, which brings FastStream") from error
        self._consumption = Consumption(
            connect, self._registry, counts, shown=self._terms.shown, drain=self._terms.drain
        )

    async def run(self) -> None:
        """Consume until a signal, then settle what was read.

        Raises:
            CannotListen: the port is taken or not ours to take.
            Refused: the broker does not take this client.
        """
        settings = self._settings
        with listening.bound(settings.host, settings.management_port) as management_socket:
            loop = asyncio.get_running_loop()
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.add_signal_handler(number, self._terminated.set)
            self._registry.see(await self._source.read())
            management = listening.listener(self._management_app, 1)
            managing = asyncio.create_task(management.serve([management_socket]))
            watching = asyncio.create_task(self._watcher.run())
            if self._cache is not None:
                self._cache.start()
            _log.info(
                "listening",
                host=settings.host,
                management_port=management_socket.getsockname()[1],
                broker=self._terms.shown,
                input=self._terms.input,
                output=self._terms.output,
                dead=self._terms.dead,
                group=self._terms.group,
                consumer=self._terms.consumer,
            )
            reading = asyncio.create_task(self._consumption.run())
            await told(self._terminated, managing, watching, reading)
            self._lifecycle.draining = self._registry.draining = True
            _log.info("draining", seconds=settings.shutdown_timeout)
            watching.cancel()
            await cancellation.cancel(reading)
            await self._consumption.stop()
            self._watcher.close()
            await end(management, managing, watching, self._cache)
            if reading.done() and not reading.cancelled():
                reading.result()
            _log.info("left")

    def close(self) -> None:
        """Let go of the threads; those that still compute are not waited for."""
        self._inference.close()


def run(settings: Settings) -> None:
    """Consume until told to end.

    Raises:
        NotInstalled: the extra `stream` is not.
        CannotListen: the port is taken or not ours to take.
        Refused: the broker does not take this client.
    """
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        app = StreamApp(settings)
        try:
            runner.run(app.run())
        finally:
            app.close()
