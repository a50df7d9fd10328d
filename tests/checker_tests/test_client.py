"""The checking client against servers that are at fault: each fault planted is a fault seen."""

import asyncio
import contextlib
import json
import socket
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

import ports
from checker import verdict

CLIENT = Path(__file__).parents[1] / "checker" / "client.py"
ROW = {"row": {"x": 1}, "expected": {"1.2.0": {"prediction": "Yes", "probability": [0.25, 0.75]}}}
RIGHT = {"prediction": "Yes", "probability": [0.25, 0.75], "model_version": "1.2.0"}

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def served(handler: Handler) -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_post("/predict", handler)
    runner = web.AppRunner(app, shutdown_timeout=0.1)  # some handlers never end
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        await runner.cleanup()


async def records(url: str, place: Path, *flags: str, seconds: float = 0.5) -> list[dict[str, Any]]:
    """Run the client to its end."""
    rows = place / "rows.jsonl"
    rows.write_text(json.dumps(ROW) + "\n")
    command = [sys.executable, str(CLIENT), "--url", url, "--rows", str(rows), "--seconds", str(seconds), *flags]
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe)
    assert process.stdout is not None
    output = await process.stdout.read()
    assert await process.wait() == 0
    assert process.stdin is not None
    process.stdin.close()
    return [json.loads(line) for line in output.splitlines()]


def answering(answer: dict[str, Any], header: str = "1.2.0", status: int = 200) -> Handler:
    async def handler(_: web.Request) -> web.StreamResponse:
        return web.json_response(answer, status=status, headers={"X-Model-Version": header})

    return handler


async def redirecting(_: web.Request) -> web.StreamResponse:
    raise web.HTTPFound("/elsewhere")


async def hanging(_: web.Request) -> web.StreamResponse:
    await asyncio.Event().wait()
    return web.Response()


def answering_text(text: str) -> Handler:
    async def handler(_: web.Request) -> web.StreamResponse:
        return web.Response(text=text, headers={"X-Model-Version": "1.2.0"})

    return handler


async def resetting(request: web.Request) -> web.StreamResponse:
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


FAULTS: dict[str, tuple[Handler, str]] = {
    "another label": (answering({**RIGHT, "prediction": "No"}), "wrong: 1.2.0 predicts"),
    "another probability": (answering({**RIGHT, "probability": [0.2501, 0.7499]}), "wrong: 1.2.0 says"),
    "no probability": (answering({**RIGHT, "probability": None}), "wrong: expected 2 probabilities"),
    "an unknown version": (answering({**RIGHT, "model_version": "9.9.9"}, "9.9.9"), "wrong: nobody knows"),
    "a header that lies": (answering(RIGHT, "2.0.0"), "wrong: header says 2.0.0"),
    "a server error": (answering(RIGHT, status=503), "status 503"),
    "a probability that is no number": (answering({**RIGHT, "probability": [float("nan"), 0.75]}), "wrong: 1.2.0 says"),
    "a probability of text": (answering({**RIGHT, "probability": ["a", "b"]}), "wrong: expected 2 probabilities"),
    "a version that is no text": (answering({**RIGHT, "model_version": ["1.2.0"]}), "wrong: header says 1.2.0"),
    "a list": (answering_text("[1]"), "wrong: not an object"),
    "null": (answering_text("null"), "wrong: not an object"),
    "half an answer": (answering_text('{"prediction": "Y'), "JSONDecodeError"),
    "no answer in time": (hanging, "TimeoutError"),
    "a redirect": (redirecting, "status 302"),
    "a reset connection": (resetting, "ServerDisconnectedError"),
}


@pytest.mark.parametrize("name", FAULTS)
@pytest.mark.parametrize("flag", ["--keep-alive", "--no-keep-alive"])
async def test_a_fault_is_seen_in_every_request(name: str, flag: str, tmp_path: Path) -> None:
    handler, sentence = FAULTS[name]
    patience = "0.3" if handler is hanging else "60"
    async with served(handler) as url:
        found = await records(url, tmp_path, flag, "--timeout", patience)
    assert found
    assert all(not one["ok"] and one["error"].startswith(sentence) for one in found)


async def test_right_answers_are_right(tmp_path: Path) -> None:
    async with served(answering(RIGHT)) as url:
        found = await records(url, tmp_path)
    assert found
    assert all(one["ok"] and one["version"] == "1.2.0" and one["start"] <= one["end"] for one in found)


async def test_nothing_is_sent_twice(tmp_path: Path) -> None:
    seen = 0

    async def counting(request: web.Request) -> web.StreamResponse:
        nonlocal seen
        seen += 1
        return await resetting(request)

    async with served(counting) as url:
        found = await records(url, tmp_path)
    assert len(found) == seen


async def test_what_a_cut_connection_left_unanswered_is_sent_once_more_if_that_is_asked(tmp_path: Path) -> None:
    seen = 0

    async def cutting_every_second(request: web.Request) -> web.StreamResponse:
        nonlocal seen
        seen += 1
        return await resetting(request) if seen % 2 else await answering(RIGHT)(request)

    began = time.time()
    async with served(cutting_every_second) as url:
        found = await records(url, tmp_path, "--resend-cut", "0", "--connections", "1")
    assert found
    assert all(one["ok"] for one in found)
    assert all(began <= one["cut"] <= one["start"] for one in found)
    assert seen == 2 * len(found)
    # Who resets connections without being killed, as a server that does not drain, is found out all the same.
    legal = [(0.0, frozenset({"1.2.0"}))]
    assert verdict.judge(found, legal).failed == tuple(found)
    assert verdict.judge(found, legal, [(began, time.time())]).failed == ()


async def test_a_connection_that_never_comes_about_is_cut_not_waited_for(tmp_path: Path) -> None:
    with contextlib.ExitStack() as stack:
        full = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        for _ in range(2):  # nobody takes them, and so no other is even refused
            one = stack.enter_context(socket.socket())
            one.setblocking(False)
            one.connect_ex(full.getsockname())
        await asyncio.sleep(0.1)
        url = f"http://127.0.0.1:{full.getsockname()[1]}"
        began = time.time()
        found = await records(url, tmp_path, "--connect-timeout", "0.2", "--resend-cut", "0")
    assert found
    assert all(one["error"].startswith("ConnectionTimeoutError") and began < one["cut"] for one in found)


async def test_what_is_cut_twice_is_a_failure(tmp_path: Path) -> None:
    async with served(resetting) as url:
        found = await records(url, tmp_path, "--resend-cut", "0")
    assert found
    assert not any(one["ok"] for one in found)


async def test_nobody_there_is_a_failure(tmp_path: Path) -> None:
    found = await records(f"http://127.0.0.1:{ports.reserve()}", tmp_path)
    assert found
    assert not any(one["ok"] for one in found)


async def test_it_says_when_it_fell_behind(tmp_path: Path) -> None:
    rows = tmp_path / "rows.jsonl"
    rows.write_text(json.dumps(ROW) + "\n")
    async with served(hanging) as url:
        pipe = asyncio.subprocess.PIPE
        command = [sys.executable, str(CLIENT), "--url", url, "--rows", str(rows), "--seconds", "2"]
        flags = ["--connections", "1", "--rate", "100", "--timeout", "1.5"]
        process = await asyncio.create_subprocess_exec(*command, *flags, stdin=pipe, stdout=pipe, stderr=pipe)
        _, complaint = await process.communicate()
    assert b"fell behind" in complaint


async def test_the_end_of_its_input_ends_it(tmp_path: Path) -> None:
    rows = tmp_path / "rows.jsonl"
    rows.write_text(json.dumps(ROW) + "\n")
    async with served(answering(RIGHT)) as url:
        pipe = asyncio.subprocess.PIPE
        command = [sys.executable, str(CLIENT), "--url", url, "--rows", str(rows)]
        process = await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe)
        assert process.stdin is not None
        assert process.stdout is not None
        assert await process.stdout.readline()
        process.stdin.close()
        async with asyncio.timeout(60):
            await process.stdout.read()
            assert await process.wait() == 0
