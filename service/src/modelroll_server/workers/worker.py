"""One worker: it loads and answers what its parent tells it to, and reports.

Owns nothing that is decided: not what is live, not when it accepts, not when it leaves. It ends with its parent.
"""

import asyncio
import logging
import math
import os
import signal
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Any

import structlog
import uvloop

from modelroll_server import errors, listening
from modelroll_server import settings as configuration
from modelroll_server.access import certificate
from modelroll_server.access.access import Access
from modelroll_server.app import Answering
from modelroll_server.http.asgi import Lifecycle
from modelroll_server.registry.target import Content, Target
from modelroll_server.settings import Settings
from modelroll_server.telemetry import cpu, logs
from modelroll_server.telemetry import traces as tracing
from modelroll_server.telemetry.metrics import Metrics
from modelroll_server.telemetry.traces import Traces
from modelroll_server.workers.accounts import families
from modelroll_server.workers.messages import (
    Accept,
    Adopt,
    Asked,
    Begin,
    Channel,
    Drain,
    Drop,
    Failed,
    Guard,
    Hello,
    Leave,
    Load,
    Loaded,
    Order,
    Refuse,
    Report,
    See,
    Swap,
    Swapped,
    Told,
    Watched,
)

if TYPE_CHECKING:
    from modelroll_server.registry.record import Served

REPORT_EVERY = 1.0  # seconds
_OF_THE_PARENT = "modelroll_server.registry.record"  # its lines are written once, by the parent


class Worker:
    """What one worker is made of."""

    def __init__(
        self, settings: Settings, port: socket.socket, channel: Channel, threads: int, traces: Traces | None
    ) -> None:
        self._port = port
        self._traces = traces
        self._channel = channel
        self._lifecycle = Lifecycle()
        self._metrics = Metrics()
        # What is loaded and live is counted by the parent, once for all: here it goes nowhere.
        answering = Answering(settings, self._metrics, Metrics(), threads=threads, deliver=channel.send, traces=traces)
        self._registry, self._candidates = answering.registry, answering.candidates
        self._inference, self._cache = answering.inference, answering.cache
        self._grace = settings.shutdown_timeout / (2 if settings.drain_delay else 1)
        self._access = Access((settings.tls_dir, settings.tls_client_ca), settings.tokens_dir, self._metrics, Metrics())
        self._application = answering.over_http(settings, self._lifecycle, self._numbers, self._access.callers)
        self._is_guarded = asyncio.Event()
        self._listener: listening.Listener | None = None
        self._serving: asyncio.Task[None] | None = None
        self._leaving: asyncio.Task[None] | None = None
        self._interrupted = asyncio.Event()
        self._left = asyncio.Event()
        self._loading: asyncio.Task[Served] | None = None
        self._changes: asyncio.Queue[Load | Swap | Drop | Adopt] = asyncio.Queue()
        self._told: asyncio.Future[dict[str, Any]] | None = None

    async def run(self) -> None:
        """Do as told until told to leave, or until the parent is gone."""
        self._channel.send(Hello())
        if self._cache is not None:
            self._cache.start()
        jobs = (self._obey(), self._change(), self._report(), self._ask(), self._look(), self._left.wait())
        tasks = [asyncio.create_task(each) for each in jobs]
        # Each ends before this worker has left only by a fault, which must not leave half a worker behind.
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()
        for result in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(result, Exception):
                raise result
        if self._serving is not None:
            await self._serving
        if self._cache is not None:
            await self._cache.close()
        self._inference.close()
        self._candidates.close()
        if self._traces is not None:
            await asyncio.to_thread(self._traces.close)
        self._channel.send(self._state())
        await self._channel.close()

    async def _obey(self) -> None:
        while (order := await self._channel.order()) is not None:
            if isinstance(order, Told):
                self._show(order.numbers)
            elif isinstance(order, Guard):
                self._join(order)
            else:
                self._follow(order)
        os._exit(1)  # the parent is gone, and with it whoever would say what is live

    def _follow(self, order: Order) -> None:
        match order:
            case See(snapshot):
                self._registry.see(snapshot)
            case Begin(want):
                self._registry.begin(want)
            case Refuse(want, failure, for_good):
                self._registry.refuse(want, failure.error(), for_good=for_good)
            case Load() | Swap() | Drop() | Adopt():
                if isinstance(order, Drop) and self._loading is not None:
                    self._loading.cancel()
                self._changes.put_nowait(order)
            case Accept():
                self._listener = listening.listener(self._application, self._grace, self._access.tls)
                self._serving = asyncio.create_task(self._listener.serve([self._port]))
                self._serving.add_done_callback(lambda _: self._left.set())
            case Drain():
                self._lifecycle.draining = self._registry.draining = True
            case Leave(patience):
                if self._leaving is not None:
                    self._interrupted.set()
                else:
                    self._leaving = asyncio.create_task(self._leave(patience))

    def _join(self, guard: Guard) -> None:
        shown = None
        if guard.chain is not None and guard.key is not None:
            shown = certificate.again(guard.chain, guard.key, guard.client_ca)
        self._access.join(shown)
        self._is_guarded.set()

    async def _change(self) -> None:
        while True:
            match await self._changes.get():
                case Load(want, baseline):
                    await self._load(want, baseline)
                case Swap(want):
                    await self._candidates.swap(want)
                    self._channel.send(Swapped())
                case Drop():
                    self._registry.abandon()
                    await self._candidates.drop()
                case Adopt(want):
                    await self._candidates.adopt(want)

    async def _load(self, want: Target, baseline: Content | None) -> None:
        self._loading = asyncio.create_task(self._candidates.load(want, baseline))
        await asyncio.wait({self._loading})
        loading, self._loading = self._loading, None
        try:
            self._channel.send(Loaded(loading.result()))
        except errors.LoadError as error:
            self._channel.send(Failed.of(error))
        except asyncio.CancelledError:
            self._channel.send(Failed.of(errors.LoadTimedOut("it was given up")))

    async def _report(self) -> None:
        while True:
            self._channel.send(self._state())
            await self._channel.sent()
            await asyncio.sleep(REPORT_EVERY)

    async def _numbers(self) -> dict[str, Any]:
        """What all workers were asked lately, which the parent knows; who asks meanwhile gets the same answer."""
        if self._told is None or self._told.done():
            self._told = asyncio.get_running_loop().create_future()
            self._channel.send(Watched())
        return dict(await asyncio.shield(self._told))

    def _show(self, numbers: dict[str, Any]) -> None:
        if self._told is not None and not self._told.done():
            self._told.set_result(numbers)

    async def _ask(self) -> None:
        await self._registry.asked.wait()
        self._channel.send(Asked())
        await asyncio.Event().wait()

    async def _look(self) -> None:
        await self._is_guarded.wait()
        await self._access.run()

    async def _leave(self, patience: float) -> None:
        self._lifecycle.leaving.set()
        if self._serving is None or self._listener is None:
            self._left.set()
        else:
            while not (self._listener.started or self._serving.done()):  # noqa: ASYNC110 - uvicorn has no event for it
                await asyncio.sleep(0.01)
            await self._listener.leave(self._grace, patience, self._interrupted)

    def _state(self) -> Report:
        return Report(self._lifecycle.requests, _resident(), families(self._metrics.collect()))


def main(index: int, port: int, channel: int) -> None:
    """Be one worker: number `index`, on the listening socket `port`, told and heard through the socket `channel`."""
    # A terminal sends its signals to all processes; what follows from them is the parent's to say.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    settings = configuration.from_environment(os.environ)
    logs.configure(settings.log_level, settings.log_format)
    logging.getLogger(_OF_THE_PARENT).setLevel(logging.ERROR)
    structlog.contextvars.bind_contextvars(worker=index)
    assert isinstance(settings.workers, int)
    threads = math.ceil(cpu.usable() / settings.workers)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_run(settings, socket.socket(fileno=port), socket.socket(fileno=channel), threads))
        logging.shutdown()
        os._exit(0)  # also when a computation that nobody waits for still runs in a thread


async def _run(settings: Settings, port: socket.socket, channel: socket.socket, threads: int) -> None:
    port.setblocking(False)
    reader, writer = await asyncio.open_unix_connection(sock=channel)
    traces = tracing.from_environment(os.environ, tracing.SERVER)
    await Worker(settings, port, Channel(reader, writer), threads, traces).run()


def _resident() -> int:
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except OSError:
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")
