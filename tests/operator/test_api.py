"""One call to an API server: what it answers, refuses, and does not say in time."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime

import pytest
from aiohttp import web
from kubernetes.aio import client

from modelroll_operator.api import AT_ONCE, Api, ApiError, Json
from modelroll_operator.pods import Listed

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
    path = "/api/v1/namespaces/ns/pods/p?fieldManager=modelroll-operator&force=true"
    assert answer.body == {"path": path, "body": {"a": 1}}, "whoever looks at managedFields finds out who wrote"
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


@pytest.mark.parametrize("fault", [500, 503, None], ids=["500", "503", "a connection that breaks"])
async def test_a_read_that_fails_in_passing_is_made_again_and_a_write_is_not(
    connect: Connect, fault: int | None
) -> None:
    asked: list[str] = []

    async def handler(request: web.Request) -> web.Response:
        asked.append(request.method)
        if len(asked) > 2:
            return web.json_response({"at": "last"})
        if fault is None:
            assert request.transport is not None
            request.transport.abort()
        return web.Response(status=fault or 500)

    api = await connect(handler)
    assert (await api.call("GET", api.core("pods"))).body == {"at": "last"}
    asked.clear()
    with pytest.raises(ApiError) as caught:
        await api.call("PATCH", api.core("pods", "p"), {})
    assert (caught.value.status, asked) == (fault or 0, ["PATCH"])


@pytest.mark.parametrize("status", [404, 409, 410, 429])
async def test_a_read_that_is_refused_is_not_made_again(connect: Connect, status: int) -> None:
    asked: list[str] = []

    async def handler(request: web.Request) -> web.Response:
        asked.append(request.method)
        return web.Response(status=status)

    api = await connect(handler)
    with pytest.raises(ApiError):
        await api.call("GET", api.core("pods"))
    assert asked == ["GET"]


async def test_nobody_there_is_an_error() -> None:
    api = Api(client.ApiClient(client.Configuration(host="http://127.0.0.1:1")), "ns")
    with pytest.raises(ApiError) as caught:
        await api.call("GET", api.core("pods"))
    assert caught.value.status == 0
    await api.close()


async def test_of_a_list_of_pods_only_what_is_used_is_read(connect: Connect) -> None:
    used: Json = {
        "metadata": {"name": "p", "uid": "u", "creationTimestamp": "2026-01-01T00:00:00Z", "annotations": {"a": "b"}},
        "spec": {"nodeName": "n", "containers": [{"ports": [{"name": "management", "containerPort": 8081}]}]},
        "status": {"phase": "Running", "podIP": "127.1.0.1", "conditions": [{"type": "Ready", "status": "True"}]},
    }
    whole: Json = {
        "metadata": used["metadata"] | {"managedFields": [{"fieldsV1": {}}]},
        "spec": used["spec"] | {"tolerations": [{}]},
        "status": used["status"] | {"qosClass": "Burstable"},
    }

    async def handler(_: web.Request) -> web.Response:
        return web.json_response({"kind": "PodList", "items": [whole]})

    api = await connect(handler)
    assert (await api.call("GET", api.core("pods"), shape=Listed)).body == {"items": [used]}


async def test_a_list_of_another_shape_is_no_answer(connect: Connect) -> None:
    async def handler(_: web.Request) -> web.Response:
        return web.json_response({"items": "none"})

    api = await connect(handler)
    with pytest.raises(ApiError, match="no JSON object"):
        await api.call("GET", api.core("pods"), shape=Listed)


async def test_so_many_calls_at_once_and_the_others_wait_without_their_time_running(connect: Connect) -> None:
    inside: set[int] = set()
    most = 0
    full = asyncio.Event()

    async def handler(request: web.Request) -> web.Response:
        nonlocal most
        inside.add(id(request))
        most = max(most, len(inside))
        if len(inside) == AT_ONCE:
            full.set()
        await full.wait()
        await asyncio.sleep(0.1)
        inside.discard(id(request))
        return web.json_response({})

    api = await connect(handler)
    await asyncio.gather(*(api.call("GET", api.core("pods"), timeout=2) for _ in range(AT_ONCE * 4)))
    assert most == AT_ONCE
