"""Consumers of a Redis group that go: what they were given stays, and nothing else does."""

import asyncio
import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

import brokers
from modelroll_server.stream.counts import StreamCounts
from modelroll_server.stream.credentials import Credentials
from modelroll_server.stream.events import Event, Message
from modelroll_server.stream.handling import Handled
from modelroll_server.stream.redis_streams import RedisStreams
from modelroll_server.stream.terms import Terms

GROUP = "those"
CLAIM_AFTER = 600.0
pytestmark = pytest.mark.needs("redis")
_NAMES = itertools.count()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[brokers.Redis]:
    """A Redis for all of these."""
    found = brokers.Redis(tmp_path_factory.mktemp("broker"))
    yield found
    found.kill()


@pytest.fixture
def stream() -> str:
    """A name that no other test has."""
    return f"sensors-{next(_NAMES)}"


class Echo:
    """Answers events with themselves."""

    async def handle(self, events: Sequence[Event]) -> Handled:
        messages = [Message(event, is_dead=False, payload=event.payload, headers={}) for event in events]
        return Handled(messages, 0.0, StreamCounts())


def consumer(
    server: brokers.Redis, stream: str, name: str, *, claim_after: float = CLAIM_AFTER, url: str = ""
) -> RedisStreams:
    names = (stream, f"{stream}.predictions", f"{stream}.dead", GROUP, name)
    terms = Terms(url or server.url, Credentials(), *names, batch=1, claim_after=claim_after, drain=1.0)
    return RedisStreams(terms, Echo())  # type: ignore[arg-type]


async def consumers(client: Any, stream: str) -> dict[str, int]:
    """Those of the group, with how many events each has."""
    return {one["name"].decode(): one["pending"] for one in await client.xinfo_consumers(stream, GROUP)}


async def given(client: Any, stream: str, name: str) -> bytes:
    """An event that a consumer has read."""
    await client.xadd(stream, {"data": b"{}"})
    ((_, ((place, _),)),) = await client.xreadgroup(GROUP, name, {stream: ">"}, count=1)
    return bytes(place)


async def test_a_consumer_that_leaves_with_nothing_is_forgotten(server: brokers.Redis, stream: str) -> None:
    async with server.client() as client:
        leaving = consumer(server, stream, "leaving")
        await leaving.start()
        await client.xgroup_createconsumer(stream, GROUP, "leaving")
        await client.xgroup_createconsumer(stream, GROUP, "another")
        await leaving.stop()
        assert await consumers(client, stream) == {"another": 0}


async def test_consumers_that_were_killed_are_forgotten_once_they_have_nothing(
    server: brokers.Redis, stream: str
) -> None:
    async with server.client() as client:
        await client.xgroup_create(stream, GROUP, id="0", mkstream=True)
        await client.xack(stream, GROUP, await given(client, stream, "killed"))
        await given(client, stream, "killed-with-an-event")
        await asyncio.sleep(0.05)  # the time that Redis counts
        started = consumer(server, stream, "started", claim_after=0.04)
        patient = consumer(server, stream, "patient")
        await patient.start()
        await patient.stop()
        assert await consumers(client, stream) == {"killed": 0, "killed-with-an-event": 1}
        await started.start()
        assert "killed" not in await consumers(client, stream)
        await started.stop()
        # Its event was claimed, or is there still.
        assert await client.xlen(f"{stream}.predictions") + (await client.xpending(stream, GROUP))["pending"] == 1


async def test_a_consumer_that_was_forgotten_while_it_waited_gets_its_next_event(
    server: brokers.Redis, stream: str
) -> None:
    async with server.client() as client, server.client() as waiting:
        await client.xgroup_create(stream, GROUP, id="0", mkstream=True)
        await client.xgroup_createconsumer(stream, GROUP, "idle")
        read = asyncio.create_task(waiting.xreadgroup(GROUP, "idle", {stream: ">"}, block=60_000))
        async with asyncio.timeout(60):
            while not (await client.info("clients"))["blocked_clients"]:  # noqa: ASYNC110 - Redis has no event for it
                await asyncio.sleep(0.01)
        await asyncio.sleep(0.05)
        other = consumer(server, stream, "other", claim_after=0.04)
        await other.start()
        assert "idle" not in await consumers(client, stream)
        await other.stop()
        await client.xadd(stream, {"data": b"{}"})
        assert len(await read) == 1
        assert await consumers(client, stream) == {"idle": 1}


# As docs/events.md says.
NEEDED = "+ping +xadd +xreadgroup +xautoclaim +xclaim +xpending +xack +xinfo +xgroup +eval +evalsha +script|load"


@pytest.mark.parametrize(("rights", "left"), [(NEEDED, {}), (f"{NEEDED} -xinfo|consumers", {"known": 0})])
async def test_what_a_user_has_to_be_allowed(
    server: brokers.Redis, stream: str, rights: str, left: dict[str, int]
) -> None:
    user = "ACL SETUSER known reset on >password ~sensors-* "
    async with server.client() as client:
        await client.execute_command(*user.split(), *rights.split())
        subject = consumer(server, stream, "known", url=server.url.replace("//", "//known:password@"))
        await subject.start()
        await client.xadd(stream, {"data": b"{}"})
        async with asyncio.timeout(60):
            while not await client.xlen(f"{stream}.predictions"):  # noqa: ASYNC110 - Redis has no event for it
                await asyncio.sleep(0.01)
        await subject.backlog()
        await subject.stop()
        assert (await client.xpending(stream, GROUP))["pending"] == 0
        assert await consumers(client, stream) == left
