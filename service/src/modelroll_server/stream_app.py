"""The process of `modelroll stream`: as `app`, with a broker where that has the ports of inference.

Owns construction, signals and the drain. It follows targets, loads, and says of itself on the management port what a
server does: to the operator its pods are pods like any others.
"""

import asyncio
import contextlib
import secrets
import signal
import socket
import urllib.parse

import structlog
import uvloop

from modelroll_server import errors, listening
from modelroll_server.app import Answering, end, told
from modelroll_server.http.asgi import Lifecycle
from modelroll_server.http.management_app import ManagementApp
from modelroll_server.registry import sources
from modelroll_server.registry.marker import Marker
from modelroll_server.registry.watcher import Watcher
from modelroll_server.settings import Settings
from modelroll_server.stream import consuming
from modelroll_server.stream.consuming import Consumption
from modelroll_server.stream.counts import StreamCounts
from modelroll_server.stream.events import Terms
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
        terms = _terms(settings)
        try:
            connect = consuming.named(terms, handler)
        except ImportError as error:
            raise NotInstalled(f"{error}: install `modelroll-server[stream]`, which brings FastStream") from error
        self._consumption = Consumption(connect, self._registry, counts, shown=_shown(terms.url), drain=terms.drain)
        self._terms = terms

    async def run(self) -> None:
        """Consume until a signal, then settle what was read.

        Raises:
            CannotListen: the port is taken or not ours to take.
        """
        settings, terms = self._settings, self._terms
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
                broker=_shown(terms.url),
                input=terms.input,
                output=terms.output,
                dead=terms.dead,
                group=terms.group,
                consumer=terms.consumer,
            )
            reading = asyncio.create_task(self._consumption.run())
            await told(self._terminated, managing, watching, reading)
            self._lifecycle.draining = self._registry.draining = True
            _log.info("draining", seconds=settings.shutdown_timeout)
            watching.cancel()
            reading.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await reading
            await self._consumption.stop()
            self._watcher.close()
            await end(management, managing, watching, self._cache)
            _log.info("left")

    def close(self) -> None:
        """Let go of the threads; those that still compute are not waited for."""
        self._inference.close()


def run(settings: Settings) -> None:
    """Consume until told to end.

    Raises:
        NotInstalled: the extra `stream` is not.
        CannotListen: the port is taken or not ours to take.
    """
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        app = StreamApp(settings)
        try:
            runner.run(app.run())
        finally:
            app.close()


def _terms(settings: Settings) -> Terms:
    assert settings.stream_url is not None
    assert settings.stream_input is not None
    return Terms(
        url=settings.stream_url,
        input=settings.stream_input,
        output=settings.stream_output or f"{settings.stream_input}.predictions",
        dead=settings.stream_dead or f"{settings.stream_input}.dead",
        group=settings.stream_group,
        # A name that was used before would be given what a process that died under it was given.
        consumer=f"{settings.pod_name or socket.gethostname()}-{secrets.token_hex(4)}",
        batch=settings.stream_batch,
        claim_after=settings.stream_claim_after,
        drain=settings.shutdown_timeout,
    )


def _shown(url: str) -> str:
    """An address without the password that it may hold."""
    scheme, _, rest = url.partition("://")
    hosts = ",".join(one.rpartition("@")[2] for one in rest.split(","))
    return urllib.parse.urlunsplit((scheme, hosts.partition("/")[0], "", "", ""))
