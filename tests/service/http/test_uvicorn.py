"""What uvicorn's connections see of the answers that are written to them directly: the same as of those by ASGI."""

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator

import pytest
import uvicorn

import stand_in
from stand_in_server import Server

BODY = json.dumps({**stand_in.ROW, "charges": 0.25}).encode()
ANSWER = b'{"prediction":3,"probability":[0.75,0.25],"model_version":"1.0.0"}'


def request(body: bytes = BODY, *headers: str, line: str = "POST /predict HTTP/1.1") -> bytes:
    head = [line, "Host: x", f"Content-Length: {len(body)}", *headers, "", ""]
    return "\r\n".join(head).encode() + body


class Connection:
    """One client's connection, byte by byte."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def answer(self) -> tuple[int, dict[str, str], bytes]:
        head = (await asyncio.wait_for(self.reader.readuntil(b"\r\n\r\n"), 10)).decode()
        status, *lines = head.strip().split("\r\n")
        headers = dict(line.lower().split(": ", 1) for line in lines)
        body = await self.reader.readexactly(int(headers.get("content-length", 0)))
        return int(status.split()[1]), headers, body

    async def ends(self) -> bool:
        return await asyncio.wait_for(self.reader.read(1), 10) == b""


@pytest.fixture
async def connection(server: Server) -> AsyncIterator[Connection]:
    """A connection to a real uvicorn with the stand-in model."""
    config = uvicorn.Config(server.app, http="httptools", lifespan="off", log_config=None, server_header=False)
    listener = uvicorn.Server(config)
    # The test's process keeps its own signals.
    listener.capture_signals = contextlib.nullcontext  # type: ignore[assignment, method-assign]
    listening = socket.create_server(("127.0.0.1", 0))
    port = listening.getsockname()[1]
    serving = asyncio.create_task(listener.serve([listening]))  # who connects before it has started waits a little
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    yield Connection(reader, writer)
    writer.close()
    listener.should_exit = True
    await serving


async def test_an_answer_is_the_same_as_by_asgi_but_for_what_uvicorn_adds(
    server: Server, connection: Connection
) -> None:
    connection.writer.write(request(BODY, "X-Request-Id: mine"))
    status, headers, body = await connection.answer()
    sent = await server.inference.post("/predict", content=BODY, headers={"x-request-id": "mine"})
    assert (status, body) == (sent.status_code, sent.content) == (200, ANSWER)
    assert headers.pop("date")
    assert headers == dict(sent.headers)


async def test_a_connection_takes_one_request_after_the_other(connection: Connection) -> None:
    for _ in range(3):
        connection.writer.write(request())
        assert (await connection.answer())[2] == ANSWER


async def test_requests_sent_before_the_first_is_answered_are_answered_in_order(connection: Connection) -> None:
    bodies = [json.dumps({**stand_in.ROW, "tenure": tenure}).encode() for tenure in range(20)]
    connection.writer.write(b"".join(request(body) for body in bodies))
    assert [json.loads((await connection.answer())[2])["prediction"] for _ in bodies] == list(range(20))


async def test_a_body_may_come_in_pieces(connection: Connection) -> None:
    whole = request()
    for at in range(0, len(whole), 40):
        connection.writer.write(whole[at : at + 40])
        await asyncio.sleep(0.001)
    assert (await connection.answer())[2] == ANSWER
    connection.writer.write(request())
    assert (await connection.answer())[2] == ANSWER


async def test_who_asks_whether_to_send_the_body_is_told_to(connection: Connection) -> None:
    head, body = request(BODY, "Expect: 100-continue").split(b"\r\n\r\n")
    connection.writer.write(head + b"\r\n\r\n")
    assert (await connection.answer())[0] == 100
    connection.writer.write(body)
    assert (await connection.answer())[2] == ANSWER


async def test_a_refusal_leaves_the_connection_open(connection: Connection) -> None:
    for body, status in ((b"{", 400), (BODY, 200), (b"", 400), (BODY, 200)):
        connection.writer.write(request(body))
        assert (await connection.answer())[0] == status


@pytest.mark.parametrize(
    ("line", "headers"),
    [("POST /predict HTTP/1.1", ("Connection: close",)), ("POST /predict HTTP/1.0", ())],
)
async def test_who_wants_the_connection_to_end_sees_it_end(
    connection: Connection, line: str, headers: tuple[str, ...]
) -> None:
    connection.writer.write(request(BODY, *headers, line=line))
    _, found, body = await connection.answer()
    assert (found["connection"], body) == ("close", ANSWER)
    assert await connection.ends()


async def test_while_draining_an_answer_ends_its_connection(server: Server, connection: Connection) -> None:
    server.lifecycle.draining = True
    connection.writer.write(request())
    _, headers, body = await connection.answer()
    assert (headers["connection"], body) == ("close", ANSWER)
    assert await connection.ends()


async def test_a_head_has_no_body(connection: Connection) -> None:
    connection.writer.write(b"HEAD /health HTTP/1.1\r\nHost: x\r\n\r\n")
    head = await asyncio.wait_for(connection.reader.readuntil(b"\r\n\r\n"), 10)
    assert b"content-length: " in head
    connection.writer.write(request())
    assert (await connection.answer())[2] == ANSWER


async def test_who_leaves_before_the_answer_harms_nobody(server: Server, connection: Connection) -> None:
    connection.writer.write(request())
    connection.writer.close()
    await asyncio.sleep(0.05)
    assert (await server.inference.post("/predict", content=BODY)).content == ANSWER
    assert server.metrics.in_flight == 0
