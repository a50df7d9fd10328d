"""What clients see of answers that go past ASGI: the same as of those by ASGI, whichever way the requests come in."""

import asyncio
import contextlib
import dataclasses
import gzip
import json
import threading
from collections.abc import AsyncIterator, Callable

import pytest
import uvloop
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

import stand_in
import stand_in_server
from modelroll_server.http import asgi, wire
from modelroll_server.registry.target import Target
from modelroll_server.schema import Row, Schema
from modelroll_server.schema.json import JsonDecoder
from modelroll_server.tensors import Table
from raw_connection import Connection, connected
from stand_in_server import THREADS, Server, listening

BODY = json.dumps({**stand_in.ROW, "charges": 0.25}).encode()
ANSWER = b'{"prediction":3,"probability":[0.75,0.25],"model_version":"1.0.0"}'


def post(body: bytes = BODY, *headers: str, line: str = "POST /predict HTTP/1.1") -> bytes:
    head = [line, "Host: x", f"Content-Length: {len(body)}", *headers, "", ""]
    return "\r\n".join(head).encode() + body


@pytest.fixture(params=[wire.Connection, HttpToolsProtocol], ids=["offered", "asgi"])
async def port(server: Server, request: pytest.FixtureRequest) -> AsyncIterator[int]:
    """The port of a real uvicorn with the stand-in model, which is offered requests, or asked by ASGI."""
    async with listening(server.app, request.param) as found:
        yield found


@pytest.fixture
async def connection(port: int) -> AsyncIterator[Connection]:
    """A connection to it."""
    async with connected(port) as found:
        yield found


async def test_an_answer_is_the_same_as_by_asgi_but_for_what_uvicorn_adds(
    server: Server, connection: Connection
) -> None:
    connection.writer.write(post(BODY, "X-Request-Id: mine"))
    status, headers, body = await connection.answer()
    sent = await server.inference.post("/predict", content=BODY, headers={"x-request-id": "mine"})
    assert (status, body) == (sent.status_code, sent.content) == (200, ANSWER)
    assert headers.pop("date")
    assert headers == dict(sent.headers)


async def test_a_connection_takes_one_request_after_the_other(connection: Connection) -> None:
    for _ in range(3):
        connection.writer.write(post())
        assert (await connection.answer())[2] == ANSWER


async def test_requests_sent_before_the_first_is_answered_are_answered_in_order(connection: Connection) -> None:
    bodies = [json.dumps({**stand_in.ROW, "tenure": tenure}).encode() for tenure in range(20)]
    connection.writer.write(b"".join(post(body) for body in bodies))
    assert [json.loads((await connection.answer())[2])["prediction"] for _ in bodies] == list(range(20))


async def test_a_body_may_come_in_pieces(connection: Connection) -> None:
    whole = post()
    for at in range(0, len(whole), 40):
        connection.writer.write(whole[at : at + 40])
        await asyncio.sleep(0.001)
    assert (await connection.answer())[2] == ANSWER
    connection.writer.write(post())
    assert (await connection.answer())[2] == ANSWER


async def test_who_asks_whether_to_send_the_body_is_told_to(connection: Connection) -> None:
    head, body = post(BODY, "Expect: 100-continue").split(b"\r\n\r\n")
    connection.writer.write(head + b"\r\n\r\n")
    assert (await connection.answer())[0] == 100
    connection.writer.write(body)
    assert (await connection.answer())[2] == ANSWER


async def test_a_refusal_leaves_the_connection_open(connection: Connection) -> None:
    for body, status in ((b"{", 400), (BODY, 200), (b"", 400), (BODY, 200)):
        connection.writer.write(post(body))
        assert (await connection.answer())[0] == status


@pytest.mark.parametrize(
    ("line", "headers"),
    [("POST /predict HTTP/1.1", ("Connection: close",)), ("POST /predict HTTP/1.0", ())],
)
async def test_who_wants_the_connection_to_end_sees_it_end(
    connection: Connection, line: str, headers: tuple[str, ...]
) -> None:
    connection.writer.write(post(BODY, *headers, line=line))
    _, found, body = await connection.answer()
    assert (found["connection"], body) == ("close", ANSWER)
    assert await connection.ends()


async def test_while_draining_an_answer_ends_its_connection(server: Server, connection: Connection) -> None:
    server.lifecycle.draining = True
    connection.writer.write(post())
    _, headers, body = await connection.answer()
    assert (headers["connection"], body) == ("close", ANSWER)
    assert await connection.ends()


async def test_a_head_has_no_body(connection: Connection) -> None:
    connection.writer.write(b"HEAD /health HTTP/1.1\r\nHost: x\r\n\r\n")
    head = await asyncio.wait_for(connection.reader.readuntil(b"\r\n\r\n"), 60)
    assert b"content-length: " in head
    connection.writer.write(post())
    assert (await connection.answer())[2] == ANSWER


async def test_who_leaves_before_the_answer_harms_nobody(server: Server, connection: Connection) -> None:
    held = Held(server)
    connection.writer.write(post())
    await held.begun()
    connection.writer.close()
    held.may_end.set()
    while server.metrics.in_flight:  # noqa: ASYNC110 - nothing tells when it is over
        await asyncio.sleep(0.001)
    assert (await server.inference.post("/predict", content=BODY)).content == ANSWER


async def test_a_thousand_bad_requests_in_one_piece_are_refused_one_after_the_other(connection: Connection) -> None:
    connection.writer.write(b"".join(post(b"{") for _ in range(1000)) + post())
    for _ in range(1000):
        assert (await connection.answer())[0] == 400
    assert (await connection.answer())[2] == ANSWER


async def test_a_client_that_reads_late_gets_every_answer_in_order(connection: Connection) -> None:
    rows = [{**stand_in.ROW, "tenure": tenure} for tenure in range(10_000)]
    bodies = [json.dumps({"instances": rows[start:]}).encode() for start in range(0, 100, 10)]
    for body in bodies:  # all answers together are more than the sockets hold
        connection.writer.write(post(body, line="POST /batch_predict HTTP/1.1"))
    await connection.writer.drain()
    for start in range(0, 100, 10):
        status, _, body = await connection.answer()
        assert (status, json.loads(body)["predictions"]) == (200, list(range(start, 10_000)))


class Held:
    """A model that computes until it is let go, and remembers the rows it was given."""

    def __init__(self, server: Server) -> None:
        self.rows: list[int] = []
        self.computing, self.may_end = threading.Event(), threading.Event()
        server.swap("1.0.0", stand_in.Echo(self._compute), revision=2)

    def _compute(self, table: Table) -> None:
        self.rows += table.columns[0].tolist()
        self.computing.set()
        assert self.may_end.wait(60)

    async def begun(self) -> None:
        assert await asyncio.to_thread(self.computing.wait, 60)


def row(tenure: int) -> bytes:
    return json.dumps({**stand_in.ROW, "tenure": tenure}).encode()


def queued(server: Server) -> float:
    lines = server.metrics.exposition().decode().splitlines()
    return next(float(line.split()[1]) for line in lines if line.startswith("queued_rows "))


def v1(tenure: int, pad: bytes) -> bytes:
    body = json.dumps({"instances": [{**stand_in.ROW, "tenure": tenure}]}).encode()
    return post(body + pad, line="POST /v1/models/churn:predict HTTP/1.1")


def v2(tenure: int, pad: bytes) -> bytes:
    values: dict[str, tuple[str, object]] = {
        "tenure": ("INT64", tenure),
        "charges": ("FP64", 0.5),
        "contract": ("BYTES", "month"),
    }
    inputs = [
        {"name": name, "shape": [1, 1], "datatype": datatype, "data": [value]}
        for name, (datatype, value) in values.items()
    ]
    return post(json.dumps({"inputs": inputs}).encode() + pad, line="POST /v2/models/churn/infer HTTP/1.1")


def compressed(tenure: int, pad: bytes) -> bytes:
    return post(gzip.compress(row(tenure) + pad, 0), "Content-Encoding: gzip")


def predict(tenure: int, pad: bytes) -> bytes:
    return post(row(tenure) + pad)


@pytest.mark.parametrize("size", [0, 100_000, 300_000], ids=["small", "read no further", "decoded in a thread"])
@pytest.mark.parametrize("ask", [predict, v1, v2, compressed])
async def test_the_rows_of_who_has_left_are_not_computed(
    server: Server, ask: Callable[[int, bytes], bytes], size: int
) -> None:
    held = Held(server)
    async with listening(server.app) as port, contextlib.AsyncExitStack() as stack:
        *busy, other, last = [await stack.enter_async_context(connected(port)) for _ in range(THREADS + 2)]
        for tenure, connection in enumerate(busy):  # one after the other: together they would be one batch
            connection.writer.write(ask(tenure, b" " * size))
            while len(held.rows) <= tenure:  # noqa: ASYNC110 - nothing tells when a row has come in
                await asyncio.sleep(0.001)
        for waiting, connection in enumerate((other, last)):
            connection.writer.write(ask(THREADS + waiting, b" " * size))
            while queued(server) <= waiting:  # noqa: ASYNC110 - as above
                await asyncio.sleep(0.001)
        other.writer.close()
        while server.metrics.in_flight > THREADS + 1:  # noqa: ASYNC110 - nor when its client has left
            await asyncio.sleep(0.001)
        held.may_end.set()
        assert [(await connection.answer())[0] for connection in (*busy, last)] == [200] * (THREADS + 1)
    assert held.rows == [*range(THREADS), THREADS + 1]


class Reading(JsonDecoder):
    """Reads rows until it is let go, if they are large."""

    def __init__(self) -> None:
        super().__init__(Schema(stand_in.INPUTS))
        self.begun, self.may_end = threading.Event(), threading.Event()

    def row(self, data: bytes) -> Row:
        if len(data) > len(BODY):
            self.begun.set()
            assert self.may_end.wait(60)
        return super().row(data)


async def test_the_rows_of_who_has_left_while_they_were_read_are_not_computed(server: Server) -> None:
    reading, computed = Reading(), Held(server)
    computed.may_end.set()
    assert server.registry.live is not None
    version = dataclasses.replace(server.registry.live, json=reading)
    server.registry.swap(version, Target("settled", 3, version.content))
    async with listening(server.app) as port, connected(port) as leaves, connected(port) as stays:
        leaves.writer.write(predict(7, b" " * 300_000))
        assert await asyncio.to_thread(reading.begun.wait, 60)
        leaves.writer.close()
        for _ in range(20):  # by then the server has heard of it
            stays.writer.write(post())
            await stays.answer()
        reading.may_end.set()
        while server.metrics.in_flight:  # noqa: ASYNC110 - nothing tells when it is given up
            await asyncio.sleep(0.001)
    assert computed.rows == [3] * 20


async def test_a_connection_is_not_idle_while_the_second_of_two_requests_in_one_piece_is_computed(
    server: Server,
) -> None:
    held = Held(server)
    async with listening(server.app, keep_alive=0) as port, connected(port) as connection:
        connection.writer.write(post(b"{") + post())
        await held.begun()
        assert (await connection.answer())[0] == 400
        for _ in range(10):  # turns of the loop, in which an idle connection would be closed
            await asyncio.sleep(0.001)
        held.may_end.set()
        assert (await connection.answer())[0] == 200


async def test_who_proposes_http_2_is_answered_in_http_1(server: Server) -> None:
    proposal = ("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQAAP__")
    async with listening(server.app) as port, connected(port) as connection:
        connection.writer.write(post(BODY, *proposal) + post())
        for _ in range(2):
            assert (await connection.answer())[::2] == (200, ANSWER)


async def test_a_body_that_has_what_looks_like_a_proposal_is_taken_as_it_is(server: Server) -> None:
    text = b"a\r\nUpgrade: b"
    inputs = [
        {"name": "tenure", "datatype": "INT64", "shape": [1], "data": [3]},
        {"name": "charges", "datatype": "FP64", "shape": [1], "data": [0.25]},
        {"name": "contract", "datatype": "BYTES", "shape": [1], "parameters": {"binary_data_size": 4 + len(text)}},
    ]
    document = json.dumps({"inputs": inputs}).encode()
    body = document + len(text).to_bytes(4, "little") + text
    length = f"Inference-Header-Content-Length: {len(document)}"
    async with listening(server.app) as port, connected(port) as connection:
        connection.writer.write(post(body, length, line="POST /v2/models/churn/infer HTTP/1.1"))
        status, _, answer = await connection.answer()
    assert status == 400
    assert repr(text.decode()) in json.loads(answer)["message"]


async def test_the_head_of_a_request_is_bounded(server: Server) -> None:
    async with listening(server.app) as port, connected(port) as connection:
        connection.writer.write(post())
        assert (await connection.answer())[0] == 200
        connection.writer.write(b"POST /predict HTTP/1.1\r\n" + b"a: b\r\n" * 11_000)  # 66,000 bytes
        status, headers, body = await connection.answer()
        assert (status, headers["connection"], json.loads(body)["code"]) == (431, "close", "head_too_large")
        assert await connection.ends()


@pytest.mark.parametrize("sent", [b"", b"POST /pre", b"POST /predict HTTP/1.1\r\nHost: x\r\n", b"\r\n"])
async def test_a_connection_without_a_request_ends(
    server: Server, monkeypatch: pytest.MonkeyPatch, sent: bytes
) -> None:
    # Of what comes late, not of the first bytes of one who has only just connected.
    monkeypatch.setattr(wire, "HEAD_SECONDS" if sent else "FIRST_SECONDS", 0.05)
    for before in (b"", post()):
        if before and not sent:
            continue  # that is an idle connection, which uvicorn ends
        async with listening(server.app) as port, connected(port) as connection:
            connection.writer.write(before)
            if before:
                assert (await connection.answer())[0] == 200
            connection.writer.write(sent)
            rest = await asyncio.wait_for(connection.reader.read(), 60)
            assert rest.startswith(b"HTTP/1.1 408 ") if sent else rest == b""


async def test_a_request_is_answered_although_the_head_of_the_next_does_not_arrive(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wire, "HEAD_SECONDS", 0.02)
    held = Held(server)
    async with listening(server.app) as port, connected(port) as connection:
        connection.writer.write(post() + b"POST /pre")
        await held.begun()
        await asyncio.sleep(0.05)
        held.may_end.set()
        status, headers, _ = await connection.answer()
        assert (status, headers["connection"]) == (200, "close")
        assert await connection.ends()


def test_who_leaves_with_requests_unanswered_leaves_no_error_behind(caplog: pytest.LogCaptureFixture) -> None:
    async def leave() -> None:
        async with stand_in_server.serving() as server:
            held = Held(server)
            async with listening(server.app) as port:
                async with connected(port) as connection:
                    connection.writer.write(post() * 5)
                    await held.begun()
                held.may_end.set()
                while server.metrics.in_flight:  # noqa: ASYNC110 - nothing tells when the last is computed
                    await asyncio.sleep(0.001)
                async with connected(port) as connection:
                    connection.writer.write(post())
                    assert (await connection.answer())[0] == 200

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:  # which refuses to write to who is gone
        runner.run(leave())
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


async def writes_on(connection: Connection) -> None:
    while True:
        connection.writer.write(b"\r\n")
        await connection.writer.drain()
        await asyncio.sleep(0.05)


async def test_a_client_that_never_reads_is_cut_off(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asgi, "BLOCKED_SECONDS", 0.2)
    body = json.dumps({"instances": [stand_in.ROW] * 10_000}).encode()
    async with listening(server.app, keep_alive=1) as port, connected(port) as connection:
        connection.writer.transport.pause_reading()  # type: ignore[attr-defined] # a socket's has it
        for _ in range(30):
            connection.writer.write(post(body, line="POST /batch_predict HTTP/1.1"))
        with pytest.raises(ConnectionError):
            await asyncio.wait_for(writes_on(connection), 60)
