"""The loop around `plan`: what it waits for."""

import asyncio
import time
from datetime import datetime

import msgspec

from modelroll_operator import actor, steps
from modelroll_operator.actor import Actor
from modelroll_operator.api import ApiError, Json
from modelroll_operator.carry_out import Hands
from modelroll_operator.metrics import Metrics
from modelroll_operator.observe import Observer, Snapshot
from modelroll_operator.observed import Deployment, Observed
from modelroll_operator.plan import plan
from modelroll_operator.report import Report
from modelroll_operator.status import StatusWriter
from simulation import values

CONTENT = values.content("1.0.0")


class Standing(Observer):
    """Sees the same each time."""

    def __init__(self, seen: Observed) -> None:
        self.seen = seen

    async def snapshot(self, name: str) -> Snapshot | None:
        del name
        return Snapshot(self.seen, None, {one.uid: {"name": one.name} for one in self.seen.versions})


class Noting(Hands):
    """Notes when it was told to do what."""

    def __init__(self) -> None:
        self.done: list[tuple[float, steps.Step]] = []
        self.did = asyncio.Event()

    async def carry_out(self, step: steps.Step, snapshot: Snapshot) -> bool:
        del snapshot
        self.done.append((time.monotonic(), step))
        self.did.set()
        return False


class Silent(StatusWriter):
    """Says nothing to anybody."""

    def __init__(self) -> None:
        pass

    async def tell_unasked(self, deployment: Deployment, revision: int, message: str, now: datetime) -> None:
        pass


async def test_a_rollout_is_forgotten_only_after_it_looked_finished_for_a_while() -> None:
    begun = plan(values.observed((values.model_version("2.0.0"),), values.settled_at("1.0.0", 7)))
    assert isinstance(begun, steps.Save)
    assert begun.state.rollout is not None
    rollout = msgspec.structs.replace(begun.state.rollout, phase="aborting")
    state = values.settled_at("1.0.0", 9, rollout=rollout)
    seen = values.observed((), state, values.pods_serving(CONTENT, 9))
    assert isinstance(plan(seen), steps.Close)
    hands = Noting()
    began = time.monotonic()
    running = asyncio.create_task(Actor("churn", Standing(seen), Silent(), hands, Metrics()).run(lambda: None))
    async with asyncio.timeout(20):
        await hands.did.wait()
    running.cancel()
    when, step = hands.done[0]
    assert isinstance(step, steps.Close)
    assert when - began >= actor.AGREED_FOR == 1.0


class Refusing(Silent):
    """Its API server does not take the status of one version."""

    def __init__(self) -> None:
        self.wrote: list[str] = []

    async def write(self, item: Json, report: Report, now: datetime) -> bool:
        del report, now
        if item["name"] == "churn-2.0.0":
            raise ApiError(422, "status.conditions: Too many")
        self.wrote.append(item["name"])
        return False


async def test_a_version_whose_status_is_refused_holds_up_no_other() -> None:
    versions = tuple(values.model_version(text) for text in ("1.0.0", "2.0.0", "3.0.0"))
    seen = values.observed(versions, values.settled_at("1.0.0", 7), values.pods_serving(CONTENT, 7))
    hands, status, metrics = Noting(), Refusing(), Metrics()
    running = asyncio.create_task(Actor("churn", Standing(seen), status, hands, metrics).run(lambda: None))
    async with asyncio.timeout(20):
        await hands.did.wait()
    running.cancel()
    assert status.wrote == ["churn-1.0.0", "churn-3.0.0"]
    assert isinstance(hands.done[0][1], steps.Save)
    assert metrics.registry.get_sample_value("modelroll_operator_api_errors_total", {"status": "422"}) == 1
