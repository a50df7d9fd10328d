"""A consumer at NATS: what is long in work stays its own, a reading that fails is begun anew, and one ends at once."""

import asyncio
import contextlib
import json
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import nats
import pytest
from nats.aio.msg import Msg
from nats.js import JetStreamContext

import brokers
import stand_in
from modelroll_server.registry.registry import Registry
from modelroll_server.stream import consuming, nats_jetstream
from modelroll_server.stream.consuming import Consumption
from modelroll_server.stream.counts import StreamCounts
from modelroll_server.stream.credentials import Credentials
from modelroll_server.stream.events import Event, Message
from modelroll_server.stream.handling import Handled
from modelroll_server.stream.nats_jetstream import NatsJetStream
from modelroll_server.stream.terms import Terms
from modelroll_server.telemetry.metrics import Metrics
from stream_process import DEAD, EVERY, INPUT, OUTPUT, settled

GUARD = 60.0  # seconds
FETCH = JetStreamContext.PullSubscription.fetch
IDS = [f"event-{number}" for number in range(20)]
EVENTS = [(one, json.dumps({"id": one}).encode()) for one in IDS]
pytestmark = [pytest.mark.needs("nats-server"), pytest.mark.parametrize("broker", EVERY[1:2], indirect=True)]


class Echo:
    """Answers events with themselves, once something is so."""

    def __init__(self, until: Callable[[int], Awaitable[None]] | None = None) -> None:
        self._until = until

    async def handle(self, events: Sequence[Event]) -> Handled:
        if self._until is not None:
            await self._until(len(events))
        messages = [Message(event, is_dead=False, payload=event.payload, headers={"id": event.id}) for event in events]
        return Handled(messages, 0.0, StreamCounts())


def consumer(broker: brokers.Nats, echo: Echo, *, claim_after: float = 600.0) -> NatsJetStream:
    names = (INPUT, OUTPUT, DEAD, "those", "one")
    terms = Terms(broker.url, Credentials(), *names, batch=len(IDS), claim_after=claim_after, drain=GUARD)
    return NatsJetStream(terms, echo)  # type: ignore[arg-type]


async def test_what_takes_long_is_said_to_be_in_work(broker: brokers.Nats) -> None:
    client = await nats.connect(broker.url)
    told = await client.subscribe("$JS.ACK.>")
    await client.flush()

    async def until_told(events: int) -> None:
        """Of each, by the place that the server gave it."""
        places: set[str] = set()
        while len(places) < events:
            one = await told.next_msg(GUARD)
            if one.data == Msg.Ack.Progress:
                places.add(one.subject)

    await broker.produce(INPUT, EVENTS)
    subject = consumer(broker, Echo(until_told), claim_after=0.3)
    await subject.start()
    found = await settled(broker, IDS, GUARD)
    await subject.stop()
    await client.close()
    assert found.lost(IDS) == []
    assert found.doubled() == 0


async def test_a_reading_that_failed_is_begun_anew(broker: brokers.Nats, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LOOK_EVERY", "FIRST_PAUSE"):
        monkeypatch.setattr(consuming, name, 0.01)
    fetches = []

    async def fail_once(self: Any, *args: Any, **more: Any) -> Any:
        fetches.append(self)
        if len(fetches) == 1:
            raise ConnectionError("a fault")
        return await FETCH(self, *args, **more)

    monkeypatch.setattr(JetStreamContext.PullSubscription, "fetch", fail_once)
    await broker.produce(INPUT, EVENTS)
    registry = Registry(Metrics())
    registry.live = stand_in.version()
    subject = Consumption(lambda: consumer(broker, Echo()), registry, StreamCounts(), shown="a broker", drain=GUARD)
    running = asyncio.create_task(subject.run())
    found = await settled(broker, IDS, GUARD)
    running.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await running
    await subject.stop()
    assert found.lost(IDS) == []
    assert fetches[1] is not fetches[0]


async def test_what_is_said_late_of_a_fetch_holds_up_nobody_who_leaves(
    broker: brokers.Nats, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nats_jetstream, "CONNECT_SECONDS", 10 * GUARD)  # that the client waits as it leaves
    monkeypatch.setattr(nats_jetstream, "FETCH_SECONDS", 0.1)
    fetched = asyncio.Event()

    async def then_told(self: Any, *args: Any, **more: Any) -> Any:
        try:
            return await FETCH(self, *args, **more)
        finally:
            await self._nc.publish(self._deliver, headers={"Status": "408"})
            await self._nc.flush()
            fetched.set()

    monkeypatch.setattr(JetStreamContext.PullSubscription, "fetch", then_told)
    subject = consumer(broker, Echo())
    await subject.start()
    await fetched.wait()
    leaving = asyncio.create_task(subject.stop())
    done, _ = await asyncio.wait({leaving}, timeout=GUARD)  # the client loses the cancellation of `asyncio.timeout`
    assert done
    await leaving
