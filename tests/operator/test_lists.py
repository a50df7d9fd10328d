"""Who shares a list with whom, and that nobody gets one that is older than his question."""

import asyncio
from typing import Any

import pytest

from modelroll_operator.api import Answer, Api, ApiError
from modelroll_operator.lists import Lists
from simulation import values


class Slow(Api):
    """An API server that answers when it is let; each answer has its number."""

    def __init__(self) -> None:
        self.namespace = "ns"
        self.calls = 0
        self.fails = False
        self.begun = asyncio.Event()
        self.may_answer = asyncio.Event()

    async def call(self, method: str, path: str, body: dict[str, Any] | None = None, **_: Any) -> Answer:
        self.calls += 1
        number = self.calls
        self.begun.set()
        await self.may_answer.wait()
        if self.fails:
            raise ApiError(503, "busy")
        return Answer({"number": number}, values.NOW)


async def _number(lists: Lists) -> int:
    return int((await lists.model_versions()).body["number"])


async def test_those_who_ask_while_a_call_is_under_way_share_the_next() -> None:
    api = Slow()
    lists = Lists(api)
    first = asyncio.create_task(_number(lists))
    await api.begun.wait()
    late = [asyncio.create_task(_number(lists)) for _ in range(200)]
    await asyncio.sleep(0)
    api.may_answer.set()
    assert await first == 1
    assert set(await asyncio.gather(*late)) == {2}
    assert await _number(lists) == 3, "who asks alone gets his own"


async def test_a_failure_is_everybody_s_who_waited_and_the_next_who_asks_tries_anew() -> None:
    api = Slow()
    api.fails = True
    lists = Lists(api)
    first = asyncio.create_task(_number(lists))
    await api.begun.wait()
    late = [asyncio.create_task(_number(lists)) for _ in range(3)]
    await asyncio.sleep(0)
    api.may_answer.set()
    for one in (first, *late):
        with pytest.raises(ApiError, match="503: busy"):
            await one
    assert api.calls == 2
    api.fails = False
    assert await _number(lists) == 3


async def test_one_who_stops_waiting_holds_nobody_up() -> None:
    api = Slow()
    lists = Lists(api)
    first, second = (asyncio.create_task(_number(lists)) for _ in range(2))
    await api.begun.wait()
    first.cancel()
    api.may_answer.set()
    assert await second == 2
