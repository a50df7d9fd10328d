"""`/predict/stream` over a real connection: order, versions, bad lines, who does not read, and the drain."""

import asyncio
import itertools
import json
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import stand_in
from modelroll_server.http import asgi
from modelroll_server.http.lines import Lines
from stand_in_server import Server, listening, serving

HEAD = b"POST /predict/stream HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-ndjson\r\n"


@dataclass
class Client:
    """A stream of chunks in both directions."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def send(self, data: bytes) -> None:
        self.writer.write(b"%x\r\n%b\r\n" % (len(data), data))
        await self.writer.drain()

    async def head(self) -> bytes:
        return await self.reader.readuntil(b"\r\n\r\n")

    async def lines(self) -> list[dict[str, Any]]:
        """The lines of the next chunk; none at the end."""
        size = int(await self.reader.readuntil(b"\r\n"), 16)
        data = (await self.reader.readexactly(size + 2))[:-2]
        return [json.loads(line) for line in data.splitlines()]

    async def all(self) -> list[dict[str, Any]]:
        found = []
        while part := await self.lines():
            found += part
        return found


@pytest.fixture
async def port(server: Server) -> AsyncIterator[int]:
    async with listening(server.application) as found:
        yield found


@pytest.fixture
async def client(port: int) -> AsyncIterator[Client]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(HEAD + b"Transfer-Encoding: chunked\r\n\r\n")
    yield Client(reader, writer)
    writer.close()


def line(tenure: int, **changes: Any) -> bytes:
    return json.dumps({**stand_in.ROW, "tenure": tenure, **changes}).encode() + b"\n"


async def test_each_line_is_answered_in_turn_by_what_is_live(server: Server, client: Client) -> None:
    for tenure in range(3):
        await client.send(line(tenure))
        if tenure == 0:
            assert b"200 OK" in await client.head()
        (answer,) = await client.lines()
        assert (answer["prediction"], answer["model_version"]) == (tenure, "1.0.0")
    server.swap("2.0.0", revision=2)
    await client.send(line(3))
    assert (await client.lines())[0]["model_version"] == "2.0.0"
    await client.send(b"")
    assert await client.lines() == []


async def test_bad_lines_are_answered_with_their_errors_and_the_rest_goes_on(client: Client) -> None:
    body = line(0) + b"{\n" + line(2, contract="weekly") + b" " * (2**20 + 1) + b"\n" + b"\n" + line(5)[:-1]
    for at in range(0, len(body), 100_000):
        await client.send(body[at : at + 100_000])
    await client.send(b"")
    await client.head()
    answers = await client.all()
    assert [answer.get("code") for answer in answers] == [
        None,
        "invalid_json",
        "invalid_field",
        "payload_too_large",
        "invalid_json",
        None,
    ]
    assert [answer["line"] for answer in answers[1:5]] == [2, 3, 4, 5]
    assert all("error" in answer for answer in answers[1:5])
    assert answers[2]["field"] == "contract"
    assert [answers[0]["prediction"], answers[5]["prediction"]] == [0, 5]
    assert {answer["model_version"] for answer in answers} == {"1.0.0"}


def test_a_client_that_reads_only_after_it_has_written_gets_its_answers() -> None:
    rows = 30_000
    body = b"".join(line(tenure) for tenure in range(rows))

    def ask(port: int) -> list[dict[str, Any]]:
        with socket.create_connection(("127.0.0.1", port)) as connection:
            connection.settimeout(60)
            connection.sendall(HEAD + b"Connection: close\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
            data = b""
            while part := connection.recv(2**20):
                data += part
        _, _, chunked = data.partition(b"\r\n\r\n")
        found = b""
        while chunked:
            size, _, chunked = chunked.partition(b"\r\n")
            found += chunked[: int(size, 16)]
            chunked = chunked[int(size, 16) + 2 :]
        return [json.loads(one) for one in found.splitlines()]

    async def run() -> list[dict[str, Any]]:
        async with serving() as server, listening(server.application) as port:
            return await asyncio.to_thread(ask, port)

    answers = asyncio.run(run())
    assert [answer["prediction"] for answer in answers] == list(range(rows))


async def test_a_leaving_server_answers_what_it_read_and_names_the_next_line(server: Server, client: Client) -> None:
    await client.send(line(0) + line(1) + line(2)[:10])
    await client.head()
    answers: list[dict[str, Any]] = []
    while len(answers) < 2:
        answers += await client.lines()
    server.lifecycle.leaving.set()
    assert await client.all() == [{"end": "draining", "next_line": 3}]


async def test_who_does_not_read_is_not_read_from_and_then_cut_off(
    server: Server, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asgi, "BLOCKED_SECONDS", 0.5)
    computed: list[int] = []
    server.swap("1.1.0", stand_in.Echo(lambda table: computed.append(table.rows)))
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=2**16)
    writer.write(HEAD + b"Transfer-Encoding: chunked\r\n\r\n")
    client = Client(reader, writer)
    wrote = 0

    async def write() -> None:
        nonlocal wrote
        while True:
            await client.send(line(wrote) * 100)
            wrote += 100

    with pytest.raises(ConnectionError):
        await write()
    assert 0 < sum(computed) < wrote
    while server.metrics.in_flight:  # noqa: ASYNC110 - nothing tells when it is given up
        await asyncio.sleep(0.001)


async def test_a_client_that_goes_away_in_the_middle_harms_nobody(server: Server, client: Client) -> None:
    await client.send(line(0) * 50 + line(1)[:5])
    client.writer.transport.abort()
    answer = await server.inference.post("/predict", json=stand_in.ROW)
    assert answer.status_code == 200


async def test_what_a_gone_client_sent_in_one_piece_is_not_worked_through(server: Server, port: int) -> None:
    body = b"1\n" * 2_000_000  # each refused
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(HEAD + b"Content-Length: %d\r\n\r\n%b" % (len(body), body))
    await reader.readuntil(b"\r\n\r\n")  # the head goes out with the first answers, when all was read
    writer.transport.abort()
    async with asyncio.timeout(60):
        while server.metrics.in_flight:  # noqa: ASYNC110 - nothing tells when it is given up
            await asyncio.sleep(0.001)
    refused = 'prediction_total{model="churn",model_version="1.0.0",status="400"}'
    lines = server.metrics.exposition().decode().splitlines()
    assert 0 < next(float(line.split()[1]) for line in lines if line.startswith(refused)) < 100_000


@pytest.mark.parametrize(
    ("headers", "status"),
    [({"content-type": "text/csv"}, 415), ({"content-encoding": "gzip"}, 415), ({"x-request-timeout-ms": "x"}, 400)],
)
async def test_what_is_no_stream_is_refused_at_once(server: Server, headers: dict[str, str], status: int) -> None:
    answer = await server.inference.post("/predict/stream", content=line(1), headers=headers)
    assert answer.status_code == status


async def test_without_a_model_the_answer_is_503(server: Server) -> None:
    server.registry.live = None
    assert (await server.inference.post("/predict/stream", content=line(1))).status_code == 503


@given(st.binary(max_size=60), st.lists(st.integers(0, 60)), st.integers(0, 8))
def test_pieces_do_not_matter_to_lines(data: bytes, cuts: list[int], limit: int) -> None:
    data = data.replace(b"\x01", b"\n")
    lines = Lines(limit)
    places = [0, *sorted(cuts), len(data)]
    found = [line for start, end in itertools.pairwise(places) for line in lines.feed(data[start:end])]
    found += lines.finish()
    whole = data.split(b"\n")
    expected = whole if whole[-1] else whole[:-1]
    assert found == [line if len(line) <= limit else None for line in expected]
