"""What goes round in a loop ends by one cancellation, also if the client that it waits for loses it, or with the rest.

Before Python 3.12 `asyncio.wait_for` loses one that comes as its own wait ends: the clients here do so on purpose.
"""

import asyncio
import contextlib

import pytest

import stand_in
from modelroll_server import cancellation, settings, stream_app
from modelroll_server.listening import Listener
from modelroll_server.registry.registry import Registry
from modelroll_server.registry.watcher import Watcher
from modelroll_server.stream import consuming, settling
from modelroll_server.stream.consuming import Consumption
from modelroll_server.stream.counts import StreamCounts
from modelroll_server.stream.events import Backlog
from modelroll_server.stream.settling import Persistence, holding
from modelroll_server.telemetry.metrics import Metrics

SOON = 60.0  # seconds; a machine may be short of time


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    for module, name in ((consuming, "LOOK_EVERY"), (consuming, "FIRST_PAUSE"), (settling, "FIRST_PAUSE")):
        monkeypatch.setattr(module, name, 0.001)
    monkeypatch.setattr(cancellation, "AGAIN", 0.01)
    monkeypatch.setattr(consuming, "CLOSE_SECONDS", 0.01)


class Client:
    """One whose first call lasts until it is cancelled, and then goes on as if it was not.

    Attributes:
        called: Set when that call has begun.
        calls: How many there were.
    """

    def __init__(self, error: Exception | None = None) -> None:
        self.called = asyncio.Event()
        self.calls = 0
        self._error = error

    async def call(self) -> None:
        self.calls += 1
        self.called.set()
        if self.calls == 1:
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.Event().wait()
        await asyncio.sleep(0)
        if self._error is not None:
            raise self._error


class Transport:
    """A consumer whose client loses a cancellation in one of its calls."""

    def __init__(self, client: Client, within: str) -> None:
        self._client = client
        self._within = within
        self.looked = asyncio.Event()
        self.stopped = False

    async def start(self) -> None:
        await self._call("start")

    async def backlog(self) -> Backlog:
        self.looked.set()
        await self._call("backlog")
        return Backlog(0, 0)

    async def stop(self) -> None:
        await self._call("stop")
        if self._within == "stop":
            await asyncio.Event().wait()  # a broker that does not answer
        self.stopped = True

    async def _call(self, name: str) -> None:
        if name == self._within:
            await self._client.call()


def consumption(transport: Transport, *, drain: float = SOON) -> Consumption:
    registry = Registry(Metrics())
    registry.live = stand_in.version()
    return Consumption(lambda: transport, registry, StreamCounts(), shown="a broker", drain=drain)


async def ended(task: asyncio.Task[None]) -> bool:
    """Whether one cancellation ended it; if not, it is ended for good."""
    task.cancel()
    done, _ = await asyncio.wait({task}, timeout=SOON)
    task.cancel()
    await asyncio.wait({task}, timeout=SOON)
    return bool(done) and task.cancelled()


@pytest.mark.parametrize("error", [None, ConnectionError()], ids=["answers", "fails"])
@pytest.mark.parametrize("within", ["start", "backlog"])
async def test_consumption_ends_though_its_client_loses_the_cancellation(within: str, error: Exception | None) -> None:
    client = Client(error)
    transport = Transport(client, within)
    subject = consumption(transport)
    running = asyncio.create_task(subject.run())
    await client.called.wait()
    assert await ended(running)
    assert client.calls == 1
    await subject.stop()
    assert transport.stopped


async def test_a_consumer_that_does_not_stop_is_left_though_it_loses_the_cancellation() -> None:
    client = Client()
    transport = Transport(client, "stop")
    subject = consumption(transport, drain=0.0)
    running = asyncio.create_task(subject.run())
    await transport.looked.wait()
    assert await ended(running)
    async with asyncio.timeout(SOON):
        await subject.stop()
    assert client.calls == 1
    assert not transport.stopped


async def test_what_is_tried_again_ends_though_its_client_loses_the_cancellation() -> None:
    client = Client(ConnectionError())

    async def persist() -> None:
        await Persistence()(client.call)

    trying = asyncio.create_task(persist())
    await client.called.wait()
    assert await ended(trying)
    assert client.calls == 1


async def test_what_was_settled_is_held_no_longer_though_its_client_loses_the_cancellation() -> None:
    client = Client()
    before = asyncio.all_tasks()
    async with holding(client.call, 0.001):
        await client.called.wait()
        (task,) = asyncio.all_tasks() - before
    done, _ = await asyncio.wait({task}, timeout=SOON)
    task.cancel()
    assert done
    assert client.calls == 1


async def test_a_task_that_loses_cancellations_is_cancelled_again_and_not_waited_for_for_ever() -> None:
    lost = 0

    async def lose(times: int) -> None:
        nonlocal lost
        while True:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                lost += 1
                if lost > times:
                    raise

    twice = asyncio.create_task(lose(2))
    await asyncio.sleep(0)
    await cancellation.cancel(twice)
    assert twice.cancelled()
    assert lost == 3
    lost = 0
    often = asyncio.create_task(lose(1000))
    await asyncio.sleep(0)
    await cancellation.cancel(often, 0.05)
    assert not often.done()
    lost = 1000
    await cancellation.cancel(often)
    assert often.cancelled()


@pytest.mark.parametrize(("part", "runs"), [(Watcher, "run"), (Listener, "serve")], ids=["watcher", "management"])
async def test_a_process_of_which_a_part_ends_by_a_fault_ends_with_it(
    part: type, runs: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_arguments: object) -> None:
        raise RuntimeError("a fault")

    monkeypatch.setattr(part, runs, fail)
    environment = {"MODEL_PATH": "absent", "STREAM_URL": "redis://127.0.0.1:1", "STREAM_INPUT": "sensors"}
    told = {"HOST": "127.0.0.1", "MANAGEMENT_PORT": "0", "CACHE_SIZE": "1Mi"}
    app = stream_app.StreamApp(settings.from_environment({**environment, **told}))
    with pytest.raises(RuntimeError, match="a fault"):
        async with asyncio.timeout(10 * SOON):
            await app.run()
    app.close()
