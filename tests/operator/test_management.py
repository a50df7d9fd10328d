"""The operator's own port: what Prometheus reads of it after an actor's turns, and what the kubelet is told."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import aiohttp
import pytest
from prometheus_client import CollectorRegistry

from modelroll_operator import management, steps, supervisor
from modelroll_operator.actor import Actor
from modelroll_operator.api import Answer, Api, Json
from modelroll_operator.carry_out import Hands
from modelroll_operator.management import STALLED_AFTER
from modelroll_operator.metrics import Metrics
from modelroll_operator.observe import Observer, Snapshot
from modelroll_operator.observed import Failure, Observed
from modelroll_operator.plan import plan
from modelroll_operator.reminding import Reminder
from modelroll_operator.report import Report
from modelroll_operator.status import StatusWriter
from modelroll_operator.supervisor import Supervisor
from simulation import values

OLD, NEW = values.content("1.0.0"), values.content("2.0.0")
Get = Callable[[str], Awaitable[tuple[int, str]]]
Serve = Callable[..., Awaitable[Get]]


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    """Serves the port; what comes of it asks it for a path, and gives the status and the text."""
    runners = []
    async with aiohttp.ClientSession() as session:

        async def one(registry: CollectorRegistry, turned: Callable[[], float] = lambda: 0.0) -> Get:
            runners.append(await management.serve(0, registry, turned, lambda: ""))
            port = runners[-1].addresses[0][1]

            async def get(path: str) -> tuple[int, str]:
                async with session.get(f"http://127.0.0.1:{port}{path}") as response:
                    return response.status, await response.text()

            return get

        yield one
    for runner in runners:
        await runner.cleanup()


# --- what is counted ---


class Scenes(Observer):
    """Sees one thing after the other, None for a Deployment that is gone, and then no more."""

    def __init__(self, scenes: Iterable[Observed | None]) -> None:
        self.scenes = iter(scenes)
        self.over = asyncio.Event()

    async def snapshot(self, name: str) -> Snapshot | None:
        del name
        for seen in self.scenes:
            return None if seen is None else Snapshot(seen, None, {one.uid: {} for one in seen.versions})
        self.over.set()
        await asyncio.Event().wait()
        raise AssertionError


class Idle(Hands):
    """Says that it did what it was told, and did not."""

    def __init__(self) -> None:
        pass

    async def carry_out(self, step: steps.Step, snapshot: Snapshot) -> bool:
        del step, snapshot
        return True


class Silent(StatusWriter):
    """Says nothing to anybody."""

    def __init__(self) -> None:
        pass

    async def write(self, item: Json, report: Report, now: datetime) -> bool:
        del item, report, now
        return False

    async def tell_unasked(self, *_: Any) -> None:
        pass


class Nobody(Api):
    """Is never called."""

    def __init__(self) -> None:
        pass


async def _turn_through(metrics: Metrics, *scenes: Observed | None) -> None:
    """The turns of one actor that sees these; each is over when the next begins."""
    observer = Scenes(scenes)
    actor = Actor("churn", observer, Silent(), Idle(), Reminder(Nobody()), metrics)
    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        running = group.create_task(actor.run(lambda: None))
        over = group.create_task(observer.over.wait())
        await asyncio.wait({running, over}, return_when=asyncio.FIRST_COMPLETED)
        running.cancel()
        over.cancel()


async def _shown(get: Get, *names: str) -> dict[str, float]:
    """The samples of these names, as Prometheus reads them."""
    status, text = await get("/metrics")
    assert status == 200
    lines = (line.rpartition(" ") for line in text.splitlines() if not line.startswith("#"))
    return {sample: float(value) for sample, _, value in lines if sample.partition("{")[0] in names}


def _rolling() -> Observed:
    """A rollout to 2.0.0 in place that began just now."""
    versions = (values.model_version("1.0.0"), values.model_version("2.0.0", strategy="InPlace"))
    seen = values.observed(versions, values.settled_at("1.0.0", 7), values.pods_serving(OLD, 7))
    step = plan(seen)
    assert isinstance(step, steps.Save)
    return replace(seen, state=step.state)


def _later(seen: Observed, seconds: float, **changes: Any) -> Observed:
    return replace(seen, now=seen.now + timedelta(seconds=seconds), **changes)


async def test_rollouts_are_counted_by_how_they_ended_and_how_long_they_took(serve: Serve) -> None:
    metrics = Metrics()
    get = await serve(metrics.registry)
    rolling = _rolling()
    arrived = _later(rolling, 42, pods=values.pods_serving(NEW, 8))
    await _turn_through(metrics, rolling, arrived)
    refusing = values.serving(OLD, 7, failure=Failure(8, "GoldenRowsDiffer", "row 0"))
    failing = _later(rolling, 7, pods=(values.pod("p0", refusing),))
    step = plan(failing)
    assert isinstance(step, steps.RecordFailure)
    written = replace(step.version, attempt=step.attempt)
    called_off_for_it = _later(failing, 1, versions=(rolling.versions[0], written))
    await _turn_through(metrics, failing, called_off_for_it)
    withdrawn = replace(rolling.versions[1], withdrawn=True)
    await _turn_through(metrics, _later(rolling, 3, versions=(rolling.versions[0], withdrawn)), None)

    by = {outcome: f'{{model="churn",outcome="{outcome}"}}' for outcome in ("succeeded", "failed", "called off")}
    assert await _shown(get, "modelroll_rollouts_total") == {
        f"modelroll_rollouts_total{labels}": 1 for labels in by.values()
    }
    assert await _shown(get, "modelroll_rollout_seconds_sum", "modelroll_rollout_seconds_count") == {
        **{f"modelroll_rollout_seconds_count{labels}": 1 for labels in by.values()},
        f"modelroll_rollout_seconds_sum{by['succeeded']}": 42,
        f"modelroll_rollout_seconds_sum{by['failed']}": 7,
        f"modelroll_rollout_seconds_sum{by['called off']}": 3,
    }


async def test_pods_are_counted_by_the_version_that_they_serve(serve: Serve) -> None:
    metrics = Metrics()
    get = await serve(metrics.registry)
    old, new = values.serving(OLD, 7), values.serving(NEW, 8)
    pods = (
        values.pod("a", old),
        values.pod("b", old),
        values.pod("c", new),
        values.pod("not ready", new, ready=False),
        values.pod("leaving", new, terminating=True),
        values.pod("silent", None),
    )
    state = values.settled_at("1.0.0", 7)

    def sample(version: str) -> str:
        return f'modelroll_pods{{deployment="churn",model_version="{version}"}}'

    await _turn_through(metrics, values.observed((), state, pods))
    assert await _shown(get, "modelroll_pods") == {sample("1.0.0"): 2, sample("2.0.0"): 1}
    await _turn_through(metrics, values.observed((), state, values.pods_serving(NEW, 8, 3)))
    assert await _shown(get, "modelroll_pods") == {sample("2.0.0"): 3}, "what none serves any more is gone"
    await _turn_through(metrics, values.observed((), state, pods), None)
    assert await _shown(get, "modelroll_pods") == {}, "with the Deployment they are gone"


# --- whether it is alive ---


@dataclass
class Clock:
    """Stands in for `time` in a module."""

    now: float = 1000.0

    def monotonic(self) -> float:
        """The time that it was set to."""
        return self.now


class Stuck(Api):
    """An API server with nothing in it, which answers when it is let."""

    def __init__(self) -> None:
        self.namespace = "ns"
        self.asked = asyncio.Event()
        self.may_answer = asyncio.Event()

    async def call(self, method: str, path: str, body: dict[str, Any] | None = None, **_: Any) -> Answer:
        self.asked.set()
        await self.may_answer.wait()
        return Answer({"items": []}, values.NOW)


async def test_a_loop_that_does_not_turn_is_not_alive_until_it_turns_again(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, api = Clock(), Stuck()
    monkeypatch.setattr(management, "time", clock)
    monkeypatch.setattr(supervisor, "time", clock)
    async with aiohttp.ClientSession() as session, asyncio.timeout(60):
        supervising = Supervisor(api, session, Metrics())
        get = await serve(CollectorRegistry(), lambda: supervising.turned)
        running = asyncio.create_task(supervising.run())
        await api.asked.wait()
        clock.now += STALLED_AFTER
        assert await get("/livez") == (200, "ok\n")
        clock.now += 1
        assert await get("/livez") == (503, f"the loop has not turned for {STALLED_AFTER + 1:.0f} s\n")
        api.may_answer.set()
        while (await get("/livez"))[0] != 200:
            pass  # asking gives it time
        running.cancel()
