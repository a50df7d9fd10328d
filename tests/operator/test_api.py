"""One call to an API server: what it answers, refuses, and does not say in time."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime

import pytest
from aiohttp import web
from kubernetes.aio import client

from modelroll_operator.api import Api, ApiError

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Connect = Callable[[Handler], Awaitable[Api]]


@pytest.fixture
async def connect() -> AsyncIterator[Connect]:
    """Connects to an API server that is one function."""
    runners: list[web.AppRunner] = []
    apis: list[Api] = []

    async def one(handler: Handler) -> Api:
        app = web.Application()
        app.add_routes([web.route("*", "/{path:.*}", handler)])
        runners.append(web.AppRunner(app, shutdown_timeout=0.1))
        await runners[-1].setup()
        await web.TCPSite(runners[-1], "127.0.0.1", 0).start()
        configuration = client.Configuration(host=f"http://127.0.0.1:{runners[-1].addresses[0][1]}")
        apis.append(Api(client.ApiClient(configuration), "ns"))
        return apis[-1]

    yield one
    for api in apis:
        await api.close()
    for runner in runners:
        await runner.cleanup()


async def test_an_answer_comes_with_the_servers_clock(connect: Connect) -> None:
    async def handler(request: web.Request) -> web.Response:
        headers = {"Date": "Thu, 01 Jan 2026 00:00:07 GMT"}
        return web.json_response({"path": request.path_qs, "body": await request.json()}, headers=headers)

    api = await connect(handler)
    answer = await api.call("PATCH", api.core("pods", "p"), {"a": 1}, query={"force": "true"})
    assert answer.body == {"path": "/api/v1/namespaces/ns/pods/p?force=true", "body": {"a": 1}}
    assert answer.date == datetime(2026, 1, 1, 0, 0, 7, tzinfo=UTC)


async def test_a_refusal_carries_its_status_and_sentence(connect: Connect) -> None:
    async def handler(_: web.Request) -> web.Response:
        return web.json_response({"kind": "Status", "message": "the object has been modified"}, status=409)

    api = await connect(handler)
    with pytest.raises(ApiError, match="the object has been modified") as caught:
        await api.call("PUT", api.core("configmaps", "c"), {})
    assert caught.value.status == 409


@pytest.mark.parametrize("status", [404, 429, 502])
async def test_a_refusal_in_plain_text_is_a_refusal_too(connect: Connect, status: int) -> None:
    async def handler(_: web.Request) -> web.Response:
        return web.Response(status=status, text="404 page not found\n")

    api = await connect(handler)
    with pytest.raises(ApiError) as caught:
        await api.call("GET", api.core("pods"))
    assert caught.value.status == status


@pytest.mark.parametrize("text", ["<html>", "[]", '{"items": ['])
async def test_an_answer_that_is_no_object_is_no_answer(connect: Connect, text: str) -> None:
    async def handler(_: web.Request) -> web.Response:
        return web.Response(text=text)

    api = await connect(handler)
    with pytest.raises(ApiError) as caught:
        await api.call("GET", api.core("pods"))
    assert caught.value.status == 0


async def test_no_answer_in_time_is_an_error(connect: Connect) -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"{")
        await asyncio.Event().wait()
        return response

    api = await connect(handler)
    with pytest.raises(ApiError) as caught:
        await api.call("GET", api.core("pods"), timeout=0.2)
    assert caught.value.status == 0


async def test_nobody_there_is_an_error() -> None:
    api = Api(client.ApiClient(client.Configuration(host="http://127.0.0.1:1")), "ns")
    with pytest.raises(ApiError) as caught:
        await api.call("GET", api.core("pods"))
    assert caught.value.status == 0
    await api.close()
