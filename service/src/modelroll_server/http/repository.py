"""The model repository extension of the Open Inference Protocol: index, load and unload under `/v2/repository`.

It is there only with REPOSITORY_TOKEN, which each request shows as `Authorization: Bearer …`. `load` reads MODEL_PATH
again. `unload` is refused: a server of one model that has none fails its callers, and ending the process says the same.
"""

import functools
import hmac

import msgspec

from modelroll_server import errors
from modelroll_server.http import body
from modelroll_server.http.asgi import JSON, Response
from modelroll_server.http.exchange import Exchange, Route
from modelroll_server.registry.record import Record
from modelroll_server.registry.refresh import Refresh

LOAD_SECONDS = 120.0  # unless X-Request-Timeout-Ms says another time
_POST = ("POST",)


class Repository:
    """The endpoints."""

    def __init__(self, record: Record, refresh: Refresh, token: str) -> None:
        self._record = record
        self._refresh = refresh
        self._token = f"Bearer {token}".encode()

    def find(self, path: str) -> Route | None:
        """The endpoint of a path."""
        match path.split("/"):
            case ["", "v2", "repository", "index"]:
                return _POST, self._index
            case ["", "v2", "repository", "models", model, "load"]:
                return _POST, functools.partial(self._load, model)
            case ["", "v2", "repository", "models", model, "unload"]:
                return _POST, functools.partial(self._unload, model)
        return None

    async def _index(self, exchange: Exchange) -> Response:
        await self._admit(exchange)
        status = self._record.status()
        live, failure = status["live"], status["failure"]
        found = {
            "name": status["model"],
            "version": "" if live is None else live["version"],
            "state": "UNAVAILABLE" if live is None else "READY",
            "reason": "" if failure is None else f"{failure['reason']}: {failure['message']}",
        }
        return Response(200, msgspec.json.encode([found]), [JSON])

    async def _load(self, model: str, exchange: Exchange) -> Response:
        await self._admit(exchange)
        self._check(model)
        await self._refresh(body.deadline(exchange.heads, LOAD_SECONDS))
        live = self._record.status()["live"]
        return Response(200, msgspec.json.encode({"name": model, "version": live["version"]}), [JSON])

    async def _unload(self, model: str, exchange: Exchange) -> Response:
        await self._admit(exchange)
        self._check(model)
        raise errors.InvalidRequest(f"{model} is the one model of this server; to take it away, end the server")

    async def _admit(self, exchange: Exchange) -> None:
        """Discard the body, which says nothing that is heeded, and look at the token.

        Raises:
            errors.Unauthorized: it is not there, or another.
        """
        await body.discard(exchange.receive)
        if not hmac.compare_digest(exchange.heads.get(b"authorization", b""), self._token):
            exchange.version = None  # which its caller need not learn
            raise errors.Unauthorized("the model repository needs the token of this server")

    def _check(self, model: str) -> None:
        if model != self._record.model:
            raise errors.NotFound(f"the model {model[:100]} is not served here; {self._record.model} is")
