"""A proxy before an API server that refuses, delays, cuts and hangs calls, as it is told.

Owns how a fault looks to a client. Which call has which is a function's of the test.
"""

import asyncio
import base64
import os
import ssl
import tempfile
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

import aiohttp
import yaml
from aiohttp import web

Kind = Literal["refuse", "delay", "cut", "cut after", "hang"]
CLOSING = 0.25  # seconds after which connections with TLS are closed that their library says are
HOP_BY_HOP = {"connection", "transfer-encoding", "content-length", "content-encoding", "host", "keep-alive"}


@dataclass(frozen=True, slots=True)
class Fault:
    """What happens to one call.

    Attributes:
        kind: `refuse` it with a status; `delay` it; `cut` the connection instead of passing it on, or after it was
            carried out; `hang`: answer nothing for a while, and cut it then.
        status: Of a refusal.
        seconds: Of a delay, or a hanging call.
    """

    kind: Kind
    status: int = 500
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Call:
    """One call on its way to the API server."""

    method: str
    path: str
    is_watch: bool


Decide = Callable[[Call], Fault | None]


class FaultyApi:
    """The proxy, in a thread of its own, until it is closed.

    Attributes:
        decide: Says which fault a call has; may be changed while it runs.
        kubeconfig: For clients that are to go by it.
    """

    def __init__(self, place: Path) -> None:
        self.decide: Decide = lambda _: None
        self.kubeconfig = place / "faulty.kubeconfig"
        self._url, self._tls = admin()
        self._started = threading.Event()
        self._stop = asyncio.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._started.wait(60), "the proxy does not start"
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(60)

    async def _run(self) -> None:
        self._loop = asyncio.get_running_loop()
        connector = aiohttp.TCPConnector(ssl=self._tls, limit=0)
        timeout = aiohttp.ClientTimeout(total=None)
        async with aiohttp.ClientSession(connector=connector, timeout=timeout, auto_decompress=True) as self._session:
            app = web.Application(client_max_size=2**26)
            app.add_routes([web.route("*", "/{path:.*}", self._answer)])
            runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
            await runner.setup()
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            self.kubeconfig.write_text(_kubeconfig(f"http://127.0.0.1:{runner.addresses[0][1]}"))
            self._started.set()
            await self._stop.wait()
            await runner.cleanup()
        await asyncio.sleep(CLOSING)

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        call = Call(request.method, request.path, "watch" in request.query)
        fault = self.decide(call)
        match fault:
            case Fault("refuse", status):
                document = {
                    "kind": "Status",
                    "apiVersion": "v1",
                    "status": "Failure",
                    "code": status,
                    "message": "planted",
                }
                return web.json_response(document, status=status)
            case Fault("cut"):
                return _cut(request)
            case Fault("hang", _, seconds):
                await asyncio.sleep(seconds)
                return _cut(request)
            case Fault("delay", _, seconds):
                await asyncio.sleep(seconds)
        return await self._passed_on(request, is_cut=fault is not None and fault.kind == "cut after")

    async def _passed_on(self, request: web.Request, *, is_cut: bool) -> web.StreamResponse:
        headers = {name: value for name, value in request.headers.items() if name.lower() not in HOP_BY_HOP}
        url = f"{self._url}{request.raw_path}"
        try:
            async with self._session.request(
                request.method, url, data=await request.read() or None, headers=headers
            ) as found:
                kept = {name: value for name, value in found.headers.items() if name.lower() not in HOP_BY_HOP}
                if is_cut:
                    await found.read()
                    return _cut(request)
                answer = web.StreamResponse(status=found.status, headers=kept)
                await answer.prepare(request)
                async for chunk in found.content.iter_any():
                    await answer.write(chunk)
                await answer.write_eof()
                return answer
        except (aiohttp.ClientError, ConnectionError):
            return _cut(request)


def _cut(request: web.Request) -> web.StreamResponse:
    if request.transport is not None:
        request.transport.abort()
    return web.Response()


def admin() -> tuple[str, ssl.SSLContext | bool]:
    """The API server that KUBECONFIG names, and how one is let in there: by a client's certificate."""
    document: Any = yaml.safe_load(Path(os.environ["KUBECONFIG"]).read_text())
    context = next(one for one in document["contexts"] if one["name"] == document["current-context"])["context"]
    cluster = next(one for one in document["clusters"] if one["name"] == context["cluster"])["cluster"]
    user = next(one for one in document["users"] if one["name"] == context["user"])["user"]
    with tempfile.TemporaryDirectory() as directory:
        place = Path(directory)

        def file(of: dict[str, str], name: str) -> str:
            if name in of:
                return of[name]
            written = place / name
            written.write_bytes(base64.b64decode(of[f"{name}-data"]))
            return str(written)

        tls = ssl.create_default_context(cafile=file(cluster, "certificate-authority"))
        tls.load_cert_chain(file(user, "client-certificate"), file(user, "client-key"))
    return cluster["server"], tls


def _kubeconfig(server: str) -> str:
    return yaml.safe_dump(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "faulty",
            "clusters": [{"name": "faulty", "cluster": {"server": server}}],
            "users": [{"name": "faulty", "user": {}}],
            "contexts": [{"name": "faulty", "context": {"cluster": "faulty", "user": "faulty"}}],
        }
    )
