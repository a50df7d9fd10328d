"""The loop around `plan`: what it waits for."""

import asyncio
import time
from datetime import datetime

import msgspec

from modelroll_operator import actor, steps
from modelroll_operator.actor import Actor
from modelroll_operator.carry_out import Hands
from modelroll_operator.metrics import Metrics
from modelroll_operator.observe import Observer, Snapshot
from modelroll_operator.observed import Deployment, Observed
from modelroll_operator.plan import plan
from modelroll_operator.status import StatusWriter
from simulation import values

CONTENT = values.content("1.0.0")


class Standing(Observer):
    """Sees the same each time."""

    def __init__(self, seen: Observed) -> None:
        self.seen = seen

    async def snapshot(self, name: str) -> Snapshot | None:
        del name
        return Snapshot(self.seen, None, {})


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
