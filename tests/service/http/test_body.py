"""Bodies that are slow, and bodies that are too large, up to how long and how far they are read."""

import asyncio

import pytest

from modelroll_server import errors
from modelroll_server.http import body
from modelroll_server.http.asgi import Message
from skipping_loop import skipping_time

LIMIT = 100


class Client:
    """Sends what it is given, then nothing: it hangs, unless its last part says that it is the last."""

    def __init__(self, *sizes: int, ends: bool) -> None:
        self.parts = [b"x" * size for size in sizes]
        self.ends = ends

    async def receive(self) -> Message:
        if not self.parts:
            await asyncio.Event().wait()
        part = self.parts.pop(0)
        return {"type": "http.request", "body": part, "more_body": bool(self.parts) or not self.ends}


@pytest.fixture(autouse=True)
def little(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(body, "DISCARD_BYTES", 1000)


@skipping_time
async def test_a_body_within_the_limit_is_read_whole() -> None:
    assert await body.read({}, Client(60, 40, ends=True).receive, body.Memory(), LIMIT) == b"x" * 100


@skipping_time
async def test_a_body_that_stops_within_the_limit_is_told_so() -> None:
    with pytest.raises(errors.InvalidRequest, match="did not arrive"):
        await body.read({}, Client(60, ends=False).receive, body.Memory(), LIMIT)


@skipping_time
async def test_all_of_a_body_has_one_time_to_arrive() -> None:
    async def receive() -> Message:
        """Parts without end, each of which comes soon after the one before."""
        await asyncio.sleep(body.READ_SECONDS / 3)
        return {"type": "http.request", "body": b"", "more_body": True}

    with pytest.raises(errors.InvalidRequest, match="did not arrive"):
        async with asyncio.timeout(1.1 * body.READ_SECONDS):
            await body.read({}, receive, body.Memory(), LIMIT)


@pytest.mark.parametrize("sizes", [(101,), (60, 60)])
@skipping_time
async def test_a_body_over_the_limit_is_too_large_however_slowly_it_goes_on(sizes: tuple[int, ...]) -> None:
    with pytest.raises(errors.PayloadTooLarge):
        await body.read({}, Client(*sizes, ends=False).receive, body.Memory(), LIMIT)


@skipping_time
async def test_what_is_too_large_is_read_to_its_end_or_to_a_point() -> None:
    client = Client(101, 500, ends=True)
    with pytest.raises(errors.PayloadTooLarge):
        await body.read({}, client.receive, body.Memory(), LIMIT)
    assert client.parts == []
    client = Client(101, 900, 500, ends=True)
    with pytest.raises(errors.PayloadTooLarge):
        await body.read({}, client.receive, body.Memory(), LIMIT)
    assert len(client.parts) == 1


@skipping_time
async def test_a_body_that_finds_the_memory_taken_is_told_to_come_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(body, "MAX_MEMORY", 150)
    memory = body.Memory(100)
    client = Client(30, 30, 30, ends=True)
    with pytest.raises(errors.Overloaded):
        await body.read({}, client.receive, memory, LIMIT)
    assert (client.parts, memory.bytes) == ([], 100)
    assert len(await body.read({}, Client(30, 10, ends=True).receive, memory, LIMIT)) == 40
    assert memory.bytes == 100


@skipping_time
async def test_a_client_that_goes_away_while_it_is_waited_for_is_let_go() -> None:
    class Gone(Client):
        async def receive(self) -> Message:
            await asyncio.sleep(0)
            return {"type": "http.disconnect"}

    with pytest.raises(body.Disconnected):
        await body.read({}, Gone(ends=False).receive, body.Memory())


@skipping_time
async def test_reading_that_is_cancelled_ends() -> None:
    reading = asyncio.create_task(body.read({}, Client(ends=False).receive, body.Memory()))
    await asyncio.sleep(0)
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
