"""A pod as its watcher sees it: targets and loads that are as the test says, and a clock that stands still."""

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

import stand_in
from modelroll_server.registry.candidates import InProcess
from modelroll_server.registry.marker import Marker
from modelroll_server.registry.registry import Registry
from modelroll_server.registry.target import Content, Snapshot, Target
from modelroll_server.registry.watcher import Watcher
from modelroll_server.telemetry.metrics import Metrics

if TYPE_CHECKING:
    from collections.abc import Callable

    from modelroll_server import errors

V1 = Content("1.0.0", "churn/1.0.0")
V2 = Content("2.0.0", "churn/2.0.0")
V3 = Content("3.0.0", "churn/3.0.0")
ENV = Target("env", 0, Content(path="churn/1.0.0", env=True))


class Source:
    """What the test says."""

    def __init__(self, snapshot: Snapshot) -> None:
        self.snapshot = snapshot

    async def read(self) -> Snapshot:
        return self.snapshot


class Pod:
    """One pod's watcher, and everything that it touches."""

    def __init__(
        self, snapshot: Snapshot, *, lazy: bool = False, state: Path | None = None, keep_previous: bool = False
    ) -> None:
        self.source = Source(snapshot)
        self.loads = stand_in.Loads()
        self.metrics = Metrics()
        self.registry = Registry(self.metrics, lazy=lazy)
        self.now = 0.0
        self.trial_fails: errors.LoadError | None = None
        self.trial_takes = 0.0
        self.during_trial: Callable[[], None] = lambda: None
        candidates = InProcess(self.registry, self.loads, keep_previous=keep_previous)
        self.tried: list[tuple[str | None, float]] = []
        self.watcher = Watcher(self.source, self.registry, candidates, Marker(state), self.trial, lambda: self.now)

    async def trial(self, content: Content, baseline: Content | None, seconds: float) -> None:
        self.loads.baselines.append(baseline)
        self.tried.append((content.path, seconds))
        self.during_trial()
        await asyncio.sleep(self.trial_takes)
        if self.trial_fails is not None:
            raise self.trial_fails

    async def step(self) -> dict[str, object]:
        await self.watcher.step()
        return self.registry.status()

    async def until_heard(self, revision: int) -> None:
        """Wait until it says that it has read this revision."""
        while (wanted := self.registry.status()["wanted"]) is None or wanted["revision"] != revision:  # noqa: ASYNC110 - nothing tells
            await asyncio.sleep(0.01)

    def failing(self) -> set[str]:
        """The reasons for which Prometheus is told that a load fails."""
        (gauge,) = (one for one in self.metrics.collect() if one.name == "model_reload_failing")
        return {one.labels["reason"] for one in gauge.samples if one.value == 1}

    def number(self) -> str | None:
        return None if self.registry.live is None else self.registry.live.number


def failure(status: dict[str, object]) -> tuple[object, object]:
    found = status["failure"]
    assert isinstance(found, dict)
    return found["revision"], found["reason"]
