"""The Kubernetes API as JSON: one method, one error, the server's clock.

Owns the connection and its time-outs. The official client brings credentials, TLS and the connection pool; its typed
methods are left aside because they turn every object of a list into a model that nobody here needs.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlencode

from kubernetes.aio import client, config

Json = dict[str, Any]

APPLY = "application/apply-patch+yaml"
MERGE = "application/merge-patch+json"
FIELD_MANAGER = "modelroll-operator"
TIMEOUT = 10.0  # seconds for one call, connection included


class ApiError(Exception):
    """The API server refused a call, or did not answer.

    Attributes:
        status: The HTTP status; 0 when there was no answer.
    """

    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"{status}: {message}")
        self.status = status

    @property
    def is_about_the_body(self) -> bool:
        """Whether the body itself was refused: the same one will be refused again."""
        return self.status in {400, 413, 422}


@dataclass(frozen=True, slots=True)
class Answer:
    """What the API server said, and its clock."""

    body: Json
    date: datetime


class Api:
    """One connection pool to one API server."""

    def __init__(self, api_client: client.ApiClient, namespace: str) -> None:
        self._client = api_client
        self.namespace = namespace

    @classmethod
    async def connect(cls, namespace: str) -> "Api":
        """Connect with the pod's service account, or with KUBECONFIG outside a cluster."""
        configuration = client.Configuration()
        try:
            config.load_incluster_config(client_configuration=configuration)  # type: ignore[no-untyped-call]
        except config.ConfigException:
            await config.load_kube_config(client_configuration=configuration)  # type: ignore[no-untyped-call]
        return cls(client.ApiClient(configuration), namespace)

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()  # type: ignore[no-untyped-call]

    async def call(
        self,
        method: str,
        path: str,
        body: Json | None = None,
        *,
        query: Mapping[str, str] | None = None,
        content_type: str = "application/json",
        timeout: float = TIMEOUT,  # noqa: ASYNC109  a call must end whatever its caller does
    ) -> Answer:
        """Make one call.

        Raises:
            ApiError: It was refused, or there was no answer in time.
        """
        configuration = self._client.configuration
        headers = {"Accept": "application/json", "Content-Type": content_type}
        token = await configuration.get_api_key_with_prefix("BearerToken", alias="authorization")
        if token:
            headers["Authorization"] = token
        url = f"{configuration.host}{path}" + (f"?{urlencode(query)}" if query else "")
        try:
            response = await self._client.call_api(method, url, headers, body, _request_timeout=timeout)
            data = await response.read()  # type: ignore[no-untyped-call]
        except Exception as error:
            # The library lets errors of several others through; to a caller they are all one: no answer.
            raise ApiError(0, f"{method} {path}: {type(error).__name__}: {error}") from error
        answer = _object(data)
        if not 200 <= response.status <= 299:
            raise ApiError(response.status, f"{method} {path}: {(answer or {}).get('message', response.reason)}")
        if answer is None:
            raise ApiError(0, f"{method} {path}: the answer is no JSON object")
        return Answer(answer, _date(response.headers.get("Date")))

    # --- the paths that are used ---

    def core(self, *parts: str) -> str:
        """A path of the core group in the namespace."""
        return "/".join(("/api/v1/namespaces", self.namespace, *parts))

    def group(self, group: str, *parts: str) -> str:
        """A path of a named group and version in the namespace."""
        return "/".join(("/apis", group, "namespaces", self.namespace, *parts))


def _object(data: bytes) -> Json | None:
    """The JSON object in an answer; an API server that is overloaded or knows no such kind answers in plain text."""
    try:
        answer = json.loads(data) if data else {}
    except ValueError:
        return None
    return answer if isinstance(answer, dict) else None


def _date(text: str | None) -> datetime:
    return datetime.now(UTC) if text is None else parsedate_to_datetime(text)
