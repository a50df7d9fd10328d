"""The lists that every actor reads: one call answers all who ask at the same time.

Owns when a list is fresh: whoever asks gets one that was begun after that. With two hundred Deployments on their way,
each looking at all of them by itself, the work grew with the square of their number.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypedDict

from modelroll_operator import names
from modelroll_operator.api import Answer, Api, ApiError, Json


class _Metadata(TypedDict, total=False):
    name: str
    uid: str
    resourceVersion: str
    generation: int
    deletionTimestamp: str
    labels: dict[str, str]
    annotations: dict[str, str]
    ownerReferences: list[Json]


class _Object(TypedDict, total=False):
    metadata: _Metadata
    spec: Json
    status: Json


class Objects(TypedDict):
    """What is read of a list. Half of what the API server sends is who wrote which field."""

    items: list[_Object]


class Lists:
    """The lists of one namespace. Who asks shares the answer with others, and does not change it."""

    def __init__(self, api: Api) -> None:
        self._deployments = _Shared(
            lambda: api.call(
                "GET", api.group(names.APPS, "deployments"), query={"labelSelector": names.MODEL_LABEL}, shape=Objects
            )
        )
        self._model_versions = _Shared(lambda: api.call("GET", api.group(names.GROUP, names.PLURAL), shape=Objects))

    async def deployments(self) -> Answer:
        """All Deployments that serve a model.

        Raises:
            ApiError: The call was refused or not answered.
        """
        return await self._deployments.get()

    async def model_versions(self) -> Answer:
        """All ModelVersions.

        Raises:
            ApiError: The call was refused or not answered.
        """
        return await self._model_versions.get()


class _Shared:
    """One call at a time; those who wait for its end share the next."""

    def __init__(self, call: Callable[[], Awaitable[Answer]]) -> None:
        self._call = call
        self._begun = 0
        self._ended = 0  # the number of the call that `_found` is of
        self._found: Answer | ApiError = ApiError(0, "not asked yet")
        self._turn = asyncio.Lock()

    async def get(self) -> Answer:
        asked = self._begun
        async with self._turn:
            if self._ended <= asked:
                self._begun += 1
                try:
                    self._found = await self._call()
                except ApiError as error:
                    self._found = error
                self._ended = self._begun
        if isinstance(self._found, ApiError):
            raise ApiError(self._found.status, self._found.message)
        return self._found
