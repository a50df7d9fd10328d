"""The V1 protocol of KServe and TensorFlow Serving: `/v1/models`, and `:predict` with `instances`.

Only the live version is there. Labels come back, as these protocols have it; probabilities are for the other endpoints.
"""

from collections.abc import Callable

import msgspec

from modelroll_server import errors
from modelroll_server.batching.batch import Rows
from modelroll_server.http.asgi import JSON, Response
from modelroll_server.http.exchange import Endpoint, Exchange, Route
from modelroll_server.openinference import metadata
from modelroll_server.registry.registry import Registry
from modelroll_server.registry.version import Version
from modelroll_server.tensors import Answers

Decode = Callable[[Version, bytes], Rows]
Encode = Callable[[Answers, Version], bytes]

_GET = ("GET", "HEAD")
_PREFIX = "/v1/models"
_PREDICT = ":predict"


class V1:
    """The endpoints under `/v1`."""

    def __init__(self, registry: Registry, predicting: Callable[[Decode, Encode], Endpoint]) -> None:
        """The endpoints; `predicting` makes one of how bodies become rows, and answers bodies."""
        self._registry = registry
        self._predicting = predicting

    def find(self, path: str) -> Route | None:
        """The endpoint of a path."""
        if path.rstrip("/") == _PREFIX:
            return _GET, self._models
        if not path.startswith(f"{_PREFIX}/"):
            return None
        named = path.removeprefix(f"{_PREFIX}/")
        is_predict = named.endswith(_PREDICT)
        model, _, number = named.removesuffix(_PREDICT).partition("/versions/")
        if not model or "/" in model or "/" in number:
            return None
        if is_predict:
            return ("POST",), self._predicting(_decoder(model, number or None), _labels)
        return _GET, self._status(model, number or None)

    async def _models(self, _: Exchange) -> Response:
        return Response(200, msgspec.json.encode({"models": [self._registry.model]}), [JSON])

    def _status(self, model: str, number: str | None) -> Endpoint:
        async def status(exchange: Exchange) -> Response:
            version = exchange.version
            if version is None:
                raise errors.NotReady("no model is loaded yet")
            metadata.check_names(version, model, number)
            found = {
                "version": version.number,
                "state": "AVAILABLE",
                "status": {"error_code": "OK", "error_message": ""},
            }
            # The first two words are KServe's, the third is TensorFlow Serving's.
            document = {"name": version.model, "ready": True, "model_version_status": [found]}
            return Response(200, msgspec.json.encode(document), [JSON])

        return status


def _decoder(model: str, number: str | None) -> Decode:
    def decode(version: Version, data: bytes) -> Rows:
        metadata.check_names(version, model, number)
        return version.json.rows(data)

    return decode


def _labels(answers: Answers, _: Version) -> bytes:
    return msgspec.json.encode({"predictions": answers.lists()["prediction"]})
