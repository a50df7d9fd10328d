"""`/docs` and `/openapi.json`: the live model's inputs as an OpenAPI document, and a page to try it without internet.

FastAPI is imported when the first of these is asked for, in a thread: it would be half of a cold start.
"""

import asyncio
import importlib.util
import mimetypes
from pathlib import Path

import msgspec

from modelroll_server import errors
from modelroll_server.http import openapi
from modelroll_server.http.asgi import JSON, Response
from modelroll_server.registry.registry import Registry

_ASSETS = frozenset({"swagger-ui-bundle.js", "swagger-ui.css", "favicon.png"})
_PREFIX = "/docs/assets/"


class Documentation:
    """The pages for people."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    def has(self, path: str) -> bool:
        """Whether `path` is one of these pages."""
        return path in {"/docs", "/openapi.json"} or (
            path.startswith(_PREFIX) and path.removeprefix(_PREFIX) in _ASSETS
        )

    async def answer(self, path: str) -> Response:
        """The page, the document or an asset."""
        return await asyncio.to_thread(self._answer, path)

    def _answer(self, path: str) -> Response:
        if path == "/docs":
            return _page(self._registry.model)
        if path == "/openapi.json":
            version = self._registry.live
            if version is None:
                raise errors.NotReady("no model is loaded yet; its inputs are not known")
            return Response(200, msgspec.json.encode(openapi.document(version.manifest, version.schema)), [JSON])
        return _asset(path.removeprefix(_PREFIX))


def _page(model: str) -> Response:
    from fastapi.openapi.docs import get_swagger_ui_html

    page = get_swagger_ui_html(
        openapi_url="openapi.json",
        title=model,
        swagger_js_url=f"{_PREFIX[1:]}swagger-ui-bundle.js",
        swagger_css_url=f"{_PREFIX[1:]}swagger-ui.css",
        swagger_favicon_url=f"{_PREFIX[1:]}favicon.png",
        swagger_ui_parameters={"validatorUrl": None, "tryItOutEnabled": True},
    )
    return Response(200, bytes(page.body), [(b"content-type", b"text/html; charset=utf-8")])


def _asset(name: str) -> Response:
    # The package is found, not imported: only its files are wanted.
    spec = importlib.util.find_spec("fastapi_offline")
    if spec is None or spec.origin is None:
        raise errors.NotFound("the assets of this page are not installed")
    data = (Path(spec.origin).parent / "static" / name).read_bytes()
    kind = mimetypes.guess_type(name)[0] or "application/octet-stream"
    return Response(200, data, [(b"content-type", kind.encode()), (b"cache-control", b"max-age=86400")])
