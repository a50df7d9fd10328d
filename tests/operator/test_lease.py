"""The Lease: one holder, given up in time by whoever cannot renew, taken from whoever does not."""

import asyncio
import types
from typing import Any

import pytest

from modelroll_operator import lease as leases
from modelroll_operator.api import Answer, Api, ApiError
from modelroll_operator.lease import Lease, LeaseLost
from simulation.values import NOW
from skipping_loop import skipping_time


class OneLease(Api):
    """An API server that holds one Lease, and may hang or refuse."""

    def __init__(self) -> None:
        self.namespace = "ns"
        self.held: dict[str, Any] | None = None
        self.answers = asyncio.Event()
        self.answers.set()
        self.refusal: int | None = None
        self.writes = 0
        self._written = asyncio.Condition()

    async def wait_for_writes(self, count: int) -> None:
        async with self._written:
            await self._written.wait_for(lambda: self.writes >= count)

    async def call(self, method: str, path: str, body: dict[str, Any] | None = None, **_: Any) -> Answer:
        await self.answers.wait()
        if self.refusal is not None:
            raise ApiError(self.refusal, "refused")
        if method == "GET":
            if self.held is None:
                raise ApiError(404, "not found")
            return Answer({"metadata": dict(self.held["metadata"]), "spec": dict(self.held["spec"])}, NOW)
        assert body is not None
        current = None if self.held is None else self.held["metadata"]["resourceVersion"]
        if body["metadata"].get("resourceVersion") != current:
            raise ApiError(409, "conflict")
        async with self._written:
            self.writes += 1
            self._written.notify_all()
        self.held = body | {"metadata": body["metadata"] | {"resourceVersion": str(self.writes)}}
        return Answer(self.held, NOW)

    @property
    def holder(self) -> str:
        return "" if self.held is None else str(self.held["spec"]["holderIdentity"])


@pytest.fixture(autouse=True)
def _the_loops_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = types.SimpleNamespace(monotonic=lambda: asyncio.get_running_loop().time())
    monkeypatch.setattr(leases, "time", clock)


@skipping_time
async def test_a_lease_that_nobody_holds_is_taken_and_renewed() -> None:
    api = OneLease()
    lease = Lease(api, "one")
    await lease.acquire()
    assert api.holder == "one"
    async with asyncio.TaskGroup() as group:
        keeping = group.create_task(lease.keep())
        await api.wait_for_writes(4)
        keeping.cancel()


@skipping_time
async def test_a_holder_that_renews_keeps_the_others_out_and_one_that_stops_does_not() -> None:
    api = OneLease()
    first, second = Lease(api, "one"), Lease(api, "two")
    await first.acquire()
    waiting = asyncio.create_task(second.acquire())
    keeping = asyncio.create_task(first.keep())
    await api.wait_for_writes(8)  # twice the Lease's duration
    assert api.holder == "one"
    assert not waiting.done()
    keeping.cancel()
    await waiting
    assert api.holder == "two"


@skipping_time
async def test_a_lease_that_is_let_go_of_is_free_at_once() -> None:
    api = OneLease()
    lease = Lease(api, "one")
    await lease.acquire()
    await lease.release()
    assert api.holder == ""
    await Lease(api, "two").release()
    await Lease(api, "two").acquire()
    await lease.release()
    assert api.holder == "two", "nobody lets go of another's"


@skipping_time
async def test_a_container_that_starts_again_takes_its_own_lease_up() -> None:
    api = OneLease()
    await Lease(api, "one").acquire()
    async with asyncio.timeout(leases.TRY_EVERY / 2):
        await Lease(api, "one").acquire()


@pytest.mark.parametrize("how", ["hangs", "refuses", "conflicts"])
@skipping_time
async def test_a_holder_that_cannot_renew_gives_up_before_anybody_takes_over(how: str) -> None:
    api = OneLease()
    lease = Lease(api, "one")
    await lease.acquire()
    began = asyncio.get_running_loop().time()
    if how == "hangs":
        api.answers.clear()
    else:
        api.refusal = 409 if how == "conflicts" else 503
    with pytest.raises(LeaseLost):
        await lease.keep()
    assert asyncio.get_running_loop().time() - began < leases.DURATION


@skipping_time
async def test_a_holder_that_sees_another_in_its_place_gives_up() -> None:
    api = OneLease()
    lease = Lease(api, "one")
    await lease.acquire()
    assert api.held is not None
    api.held["spec"]["holderIdentity"] = "two"
    with pytest.raises(LeaseLost, match="held by two"):
        await lease.keep()
