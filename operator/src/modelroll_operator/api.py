"""The Kubernetes API as JSON: one method, one error, the server's clock.

Owns the connection and its time-outs. The official client brings credentials, TLS and the connection pool; its typed
methods are left aside because they turn every object of a list into a model that nobody here needs.
"""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlencode

import msgspec
from kubernetes.aio import client, config

Json = dict[str, Any]

APPLY = "application/apply-patch+yaml"
MERGE = "application/merge-patch+json"
FIELD_MANAGER = "modelroll-operator"
TIMEOUT = 10.0  # seconds for one call, connection included
AGAIN_AFTER = (0.1, 0.3)  # seconds after which a read that failed in passing is made again
AT_ONCE = 32  # calls; the others wait, and their time does not run


class ApiError(Exception):
    """The API server refused a call, or did not answer.

    Attributes:
        status: The HTTP status; 0 when there was no answer.
        message: What was asked, and what was said to it.
    """

    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"{status}: {message}")
        self.status = status
        self.message = message

    @property
    def is_passing(self) -> bool:
        """Whether the same call may succeed a moment later: a connection that broke, a server that stumbled."""
        return self.status == 0 or self.status >= 500

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
        self._slots = asyncio.Semaphore(AT_ONCE)
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
        shape: type | None = None,
    ) -> Answer:
        """Make one call; a read that fails in passing, and not by taking long, twice more.

        One look at a Deployment takes several reads: without that one broken connection would make it begin anew.

        Args:
            method: Of HTTP.
            path: With a leading slash.
            body: What is sent.
            query: What stands behind the question mark.
            content_type: Of the body.
            timeout: Seconds.
            shape: A TypedDict: only what it names is read out of the answer, which is what makes a long list cheap.

        Raises:
            ApiError: It was refused, or there was no answer in time.
        """
        end = time.monotonic() + timeout
        for pause in AGAIN_AFTER if method == "GET" else ():
            try:
                return await self._call(method, path, body, query, content_type, shape, end - time.monotonic())
            except ApiError as error:
                if not error.is_passing or time.monotonic() + 2 * pause > end:
                    raise
            await asyncio.sleep(pause)
        return await self._call(method, path, body, query, content_type, shape, end - time.monotonic())

    async def _call(
        self,
        method: str,
        path: str,
        body: Json | None,
        query: Mapping[str, str] | None,
        content_type: str,
        shape: type | None,
        timeout: float,  # noqa: ASYNC109  a call must end whatever its caller does
    ) -> Answer:
        if method in {"POST", "PUT", "PATCH"}:
            query = {"fieldManager": FIELD_MANAGER, **(query or {})}
        configuration = self._client.configuration
        headers = {"Accept": "application/json", "Content-Type": content_type}
        token = await configuration.get_api_key_with_prefix("BearerToken", alias="authorization")
        if token:
            headers["Authorization"] = token
        url = f"{configuration.host}{path}" + (f"?{urlencode(query)}" if query else "")
        try:
            async with self._slots:
                response = await self._client.call_api(method, url, headers, body, _request_timeout=timeout)
                data = await response.read()  # type: ignore[no-untyped-call]
        except Exception as error:
            # The library lets errors of several others through; to a caller they are all one: no answer.
            raise ApiError(0, f"{method} {path}: {type(error).__name__}: {error}") from error
        if not 200 <= response.status <= 299:
            said = (_object(data) or {}).get("message", response.reason)
            raise ApiError(response.status, f"{method} {path}: {said}")
        answer = _object(data, shape)
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


def _object(data: bytes, shape: Any = None) -> Json | None:
    """The JSON object in an answer; an API server that is overloaded or knows no such kind answers in plain text."""
    try:
        answer = msgspec.json.decode(data, type=shape or Any) if data else {}
    except msgspec.MsgspecError:
        return None
    return answer if isinstance(answer, dict) else None


def _date(text: str | None) -> datetime:
    return datetime.now(UTC) if text is None else parsedate_to_datetime(text)
