"""The loop around `plan`: what it waits for."""

import asyncio
import time
from datetime import datetime
from itertools import pairwise

import msgspec

from modelroll_operator import actor, steps
from modelroll_operator.actor import Actor
from modelroll_operator.api import Api, ApiError, Json
from modelroll_operator.carry_out import Hands
from modelroll_operator.metrics import Metrics
from modelroll_operator.observe import Observer, Snapshot
from modelroll_operator.observed import Deployment, Failure, Observed
from modelroll_operator.plan import plan
from modelroll_operator.reminding import Reminder
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


class Nobody(Api):
    """Is never called."""

    def __init__(self) -> None:
        pass


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
    running = asyncio.create_task(
        Actor("churn", Standing(seen), Silent(), hands, Reminder(Nobody()), Metrics()).run(lambda: None)
    )
    async with asyncio.timeout(60):
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
    running = asyncio.create_task(
        Actor("churn", Standing(seen), status, hands, Reminder(Nobody()), metrics).run(lambda: None)
    )
    async with asyncio.timeout(60):
        await hands.did.wait()
    running.cancel()
    assert status.wrote == ["churn-1.0.0", "churn-3.0.0"]
    assert isinstance(hands.done[0][1], steps.Save)
    assert metrics.registry.get_sample_value("modelroll_operator_api_errors_total", {"status": "422"}) == 1


async def test_a_version_whose_status_is_refused_can_be_settled_all_the_same() -> None:
    versions = (values.model_version("1.0.0"), values.model_version("2.0.0"))
    begun = plan(values.observed(versions, values.settled_at("1.0.0", 7)))
    assert isinstance(begun, steps.Save)
    assert begun.state.rollout is not None
    rollout = msgspec.structs.replace(begun.state.rollout, phase="settled")
    state = values.settled_at("2.0.0", 8, rollout=rollout)
    seen = values.observed(versions, state, values.pods_serving(values.content("2.0.0"), 8))
    assert isinstance(plan(seen), steps.Wait), "it waits for the status to say Live"
    hands = Noting()
    running = asyncio.create_task(
        Actor("churn", Standing(seen), Refusing(), hands, Reminder(Nobody()), Metrics()).run(lambda: None)
    )
    async with asyncio.timeout(60):
        while not any(isinstance(step, steps.Close) for _, step in hands.done):
            hands.did.clear()
            await hands.did.wait()
    running.cancel()


async def test_a_failure_is_written_down_before_any_other_news() -> None:
    versions = (values.model_version("1.0.0"), values.model_version("2.0.0", strategy="InPlace"))
    begun = plan(values.observed(versions, values.settled_at("1.0.0", 7), values.pods_serving(CONTENT, 7)))
    assert isinstance(begun, steps.Save)
    refusing = values.serving(CONTENT, 7, failure=Failure(8, "GoldenRowsDiffer", "row 0"))
    seen = values.observed(versions, begun.state, [values.pod("a", refusing)])
    hands, status = Noting(), Refusing()
    running = asyncio.create_task(
        Actor("churn", Standing(seen), status, hands, Reminder(Nobody()), Metrics()).run(lambda: None)
    )
    async with asyncio.timeout(60):
        await hands.did.wait()
    running.cancel()
    assert isinstance(hands.done[0][1], steps.RecordFailure)
    assert status.wrote == []


class Changing(Observer):
    """Sees that something goes on, takes its time over it, and is told of the next change meanwhile."""

    def __init__(self, seen: Observed, turns: int) -> None:
        self.seen = seen
        self.turns = turns
        self.actor: Actor
        self.times: list[tuple[float, float]] = []
        self.done = asyncio.Event()

    async def snapshot(self, name: str) -> Snapshot | None:
        began = time.monotonic()
        await asyncio.sleep(0.1)
        self.actor.mark()
        self.times.append((began, time.monotonic()))
        if len(self.times) == self.turns:
            self.done.set()
        return Snapshot(self.seen, None, {})


async def test_changes_that_do_not_end_do_not_keep_it_busy_all_the_time() -> None:
    seen = values.observed((), values.settled_at("1.0.0", 7), [values.pod("a", None, ready=False)])
    observer = Changing(seen, turns=4)
    observer.actor = Actor("churn", observer, Silent(), Noting(), Reminder(Nobody()), Metrics())
    running = asyncio.create_task(observer.actor.run(lambda: None))
    async with asyncio.timeout(60):
        await observer.done.wait()
    running.cancel()
    for (began, ended), (next_began, _) in pairwise(observer.times):
        assert next_began - ended >= ended - began


class Failing(Observer):
    """Meets an error of nobody's foresight, and then sees."""

    def __init__(self, seen: Observed) -> None:
        self.seen = seen
        self.looks = 0

    async def snapshot(self, name: str) -> Snapshot | None:
        self.looks += 1
        if self.looks == 1:
            raise KeyError(name)
        return Snapshot(self.seen, None, {one.uid: {"name": one.name} for one in self.seen.versions})


async def test_a_turn_that_fails_as_nobody_foresaw_is_counted_and_made_again() -> None:
    seen = values.observed((values.model_version("1.0.0"),), values.settled_at("1.0.0", 7))
    observer, hands, metrics = Failing(seen), Noting(), Metrics()
    actor = Actor("churn", observer, Refusing(), hands, Reminder(Nobody()), metrics)
    running = asyncio.create_task(actor.run(lambda: None))
    async with asyncio.timeout(60):
        await hands.did.wait()
    running.cancel()
    assert observer.looks == 2
    assert metrics.registry.get_sample_value("modelroll_operator_turn_failures_total") == 1


async def test_the_rollout_under_way_and_the_conditions_are_shown_and_taken_back_with_the_deployment() -> None:
    versions = (values.model_version("1.0.0"), values.model_version("2.0.0"))
    begun = plan(values.observed(versions, values.settled_at("1.0.0", 7), values.pods_serving(CONTENT, 7)))
    assert isinstance(begun, steps.Save)
    observer = Leaving(values.observed(versions, begun.state, values.pods_serving(CONTENT, 7)))
    hands, metrics = Noting(), Metrics()
    looking = Actor("churn", observer, Silently(), hands, Reminder(Nobody()), metrics)
    running = asyncio.create_task(looking.run(lambda: None))
    async with asyncio.timeout(60):
        await hands.did.wait()
        shown = {name: metrics.registry.get_sample_value(name, labels) for name, labels in SHOWN.items()}
        assert begun.state.rollout is not None
        assert shown["modelroll_rollout_began_timestamp_seconds"] == begun.state.rollout.began.timestamp()
        assert shown["modelroll_modelversion_condition"] == 1
        assert shown["modelroll_pods"] is not None
        observer.gone = True
        looking.mark()
        await running
    assert [metrics.registry.get_sample_value(name, labels) for name, labels in SHOWN.items()] == [None] * len(SHOWN)


SHOWN = {
    "modelroll_rollout_began_timestamp_seconds": {"deployment": "churn", "model_version": "2.0.0"},
    "modelroll_modelversion_condition": {
        "modelversion": "churn-2.0.0",
        "model": "churn",
        "model_version": "2.0.0",
        "type": "Reconciling",
        "reason": "Progressing",
    },
    "modelroll_pods": {"deployment": "churn", "model_version": "1.0.0"},
}


class Leaving(Standing):
    """Sees a Deployment until it is gone."""

    gone = False

    async def snapshot(self, name: str) -> Snapshot | None:
        return None if self.gone else await super().snapshot(name)


class Silently(Silent):
    """Has nothing to write."""

    async def write(self, item: Json, report: Report, now: datetime) -> bool:
        del item, report, now
        return False
