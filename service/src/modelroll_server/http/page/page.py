"""Answers `/`, the files that it needs, and the numbers that it shows while it is open.

A page is rendered when it is asked for, in a thread, by a template that escapes whatever a manifest says. Only what
this server sends runs in it, and it asks nobody else.
"""

import asyncio
import functools
import re
import shlex
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from modelroll_server import errors
from modelroll_server.http.asgi import JSON, Header, Response
from modelroll_server.http.exchange import Endpoint, Exchange, Route
from modelroll_server.http.page import card
from modelroll_server.inference import Inference
from modelroll_server.registry.registry import Registry

if TYPE_CHECKING:
    import jinja2

PATIENCE = 2.0  # seconds that the page waits for a model that is being loaded; then it says so, and looks again

Numbers = Callable[[], Awaitable[dict[str, Any]]]  # a document of `Traffic`

_FILES = Path(__file__).parent
_ASSETS = {
    "page.css": b"text/css; charset=utf-8",
    "page.js": b"text/javascript; charset=utf-8",
    "icon.svg": b"image/svg+xml",
}
_GET = ("GET", "HEAD")
_HTML: Header = (b"content-type", b"text/html; charset=utf-8")
_POLICY = (
    b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    b"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_STRICT: tuple[Header, ...] = (
    (b"content-security-policy", _POLICY),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
)
_FRESH: Header = (b"cache-control", b"no-cache")
_NEVER_KEPT: Header = (b"cache-control", b"no-store")
_ADDRESS = re.compile(rb"[A-Za-z0-9.:\[\]-]{1,255}\Z")


class Page:
    """The page of one process that answers.

    Attributes:
        routes: What it answers, by path.
        assets: Those of them that are the same whatever the model is.
    """

    def __init__(self, registry: Registry, inference: Inference, numbers: Numbers) -> None:
        self._registry = registry
        self._inference = inference
        self._numbers = numbers
        assets: dict[str, Endpoint] = {f"/page/{name}": functools.partial(_asset, name) for name in _ASSETS}
        found: dict[str, Endpoint] = {"/": self._page, "/page/live": self._live, **assets}
        self.routes: dict[str, Route] = {path: (_GET, endpoint) for path, endpoint in found.items()}
        self.assets = frozenset(assets)

    async def sign_in(self) -> Response:
        """What a person without a token gets at `/`: a field for one. It says nothing of the model."""
        content = await asyncio.to_thread((_FILES / "sign_in.html").read_bytes)
        return Response(401, content, [_HTML, *_STRICT, _NEVER_KEPT, (b"www-authenticate", b"Bearer")])

    async def _page(self, exchange: Exchange) -> Response:
        reason = ""
        try:
            version = exchange.version = await self._inference.version(time.monotonic() + PATIENCE)
        except errors.DeadlineExceeded:
            version, reason = None, "the model is being loaded"
        except errors.NotReady as error:
            version, reason = None, error.message
        about = None if version is None else card.of(version)
        content = await asyncio.to_thread(_render, about, self._registry.model, reason, _address(exchange))
        headers = [_HTML, *_STRICT, _NEVER_KEPT]
        if about is None:
            headers.append((b"retry-after", b"2"))
        return Response(503 if about is None else 200, content, headers)

    async def _live(self, _: Exchange) -> Response:
        """What is live, and what was asked of which version; of a candidate, once it answers somebody."""
        numbers = await self._numbers()
        live, beside = self._registry.live, self._registry.beside
        requests: dict[str, int] = numbers.pop("requests")
        together = sum(requests.values())
        candidate = None if beside is None or beside.asked.percent <= 0 else beside.version.number
        roles = {candidate: "candidate", None if live is None else live.number: "live"}
        document = {
            "model": self._registry.model,
            "version": None if live is None else live.number,
            "digest": None if live is None else live.digest,
            **numbers,
            "versions": [
                {"version": number, "role": roles.get(number, "before"), "share": count / together}
                for number, count in sorted(requests.items())
                if number  # what came while nothing was live
            ],
        }
        return Response(200, msgspec.json.encode(document), [JSON, *_STRICT, _NEVER_KEPT])


async def _asset(name: str, _: Exchange) -> Response:
    data = await asyncio.to_thread((_FILES / name).read_bytes)
    return Response(200, data, [(b"content-type", _ASSETS[name]), *_STRICT, _FRESH])


def _address(exchange: Exchange) -> str:
    """Where the caller found this server, for the command that asks the same; a browser's own address replaces it."""
    host = exchange.heads.get(b"host", b"")
    return f"{exchange.scope['scheme']}://{host.decode() if _ADDRESS.match(host) else 'localhost:8000'}"


def _render(about: card.Card | None, model: str, reason: str, address: str) -> bytes:
    return _template().render(card=about, model=model, reason=reason, address=address).encode()


@functools.cache
def _template() -> "jinja2.Template":
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_FILES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["shell"] = shlex.quote
    return environment.get_template("page.html")
