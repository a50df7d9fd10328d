"""What one piece of work costs: seconds, the operator's CPU and memory, its calls, its questions to pods.

Owns the scenarios of `make scale`.
"""

import asyncio
import time
from collections.abc import Callable, Coroutine
from pathlib import Path

from hack.scale import plane, rollouts
from hack.scale.calls import Calls
from hack.scale.cost import Cost
from modelroll_operator.api import Api

Record = Callable[[Cost], None]
LONGEST = 1800  # seconds for a rollout, of the thousand pods of one at a time as well


class Meter:
    """Measures pieces of work, one after the other."""

    def __init__(
        self, record: Record, fleet: rollouts.Fleet, operator: plane.Operator, stand_in: plane.StandIn, calls: Calls
    ) -> None:
        self._record = record
        self._fleet = fleet
        self._operator = operator
        self._stand_in = stand_in
        self._calls = calls

    async def measure(self, work: str, doing: Coroutine[None, None, None]) -> None:
        """Measure one."""
        self._calls.since_last()
        cpu, reads, began = self._operator.cpu_seconds(), self._stand_in.reads(), time.monotonic()
        await self._unless_ended(doing)
        cost = Cost(
            deployments=len(self._fleet.names),
            pods=self._fleet.pods,
            work=work,
            seconds=round(time.monotonic() - began, 2),
            cpu_seconds=round(self._operator.cpu_seconds() - cpu, 2),
            peak_memory_mib=round(self._operator.peak_memory_mib()),
            status_reads=self._stand_in.reads() - reads,
            calls=dict(sorted(self._calls.since_last().items())),
        )
        self._record(cost)

    async def _unless_ended(self, doing: Coroutine[None, None, None]) -> None:
        """Do it, and do not wait for an operator that has ended: where the machine is too small it loses its Lease."""
        work = asyncio.create_task(doing)
        while not work.done():
            await asyncio.wait({work}, timeout=1)
            if not self._operator.runs() and not work.done():
                work.cancel()
                raise RuntimeError("the operator has ended; its log is in the directory that --keep names")
        await work


class Run:
    """The scenarios, on one control plane."""

    def __init__(self, record: Record, place: Path, load_seconds: float, idle_seconds: float) -> None:
        self._record = record
        self._place = place
        self._load_seconds = load_seconds
        self._idle_seconds = idle_seconds

    async def one_deployment(self, pods: int, waves: list[int]) -> None:
        """One Deployment: its first version, one for each number of pods at once, one by new pods; then nothing."""
        api = await Api.connect(plane.NAMESPACE)
        stand_in = plane.StandIn(self._load_seconds)
        fleet = rollouts.Fleet(api, 1, pods, stand_in.port)
        await fleet.create()
        operator = plane.Operator(self._place)
        meter = Meter(self._record, fleet, operator, stand_in, Calls(self._place / "audit.log"))
        try:
            plan = [("start, and InPlace, all at once", _in_place(pods))]
            plan += [(f"InPlace, {many} at once", _in_place(many)) for many in waves]
            plan += [("RollingUpdate, maxSurge 25%", {"type": "RollingUpdate", "progressDeadlineSeconds": LONGEST})]
            for number, (work, strategy) in enumerate(plan, 1):
                await meter.measure(work, _roll(fleet, f"{number}.0.0", strategy))
            await self._idle(meter)
        finally:
            operator.end()
            await fleet.delete()
            stand_in.end()
            await api.close()

    async def many_deployments(self, deployments: int, pods: int) -> None:
        """Many Deployments: all at once, one alone, nothing."""
        api = await Api.connect(plane.NAMESPACE)
        stand_in = plane.StandIn(self._load_seconds)
        fleet = rollouts.Fleet(api, deployments, pods, stand_in.port)
        await fleet.create()
        operator = plane.Operator(self._place)
        meter = Meter(self._record, fleet, operator, stand_in, Calls(self._place / "audit.log"))
        try:
            await meter.measure("start, and InPlace, all", _roll(fleet, "1.0.0", _in_place(pods)))
            await meter.measure("InPlace, all", _roll(fleet, "2.0.0", _in_place(pods)))
            await meter.measure("InPlace, one of them", _roll(fleet, "3.0.0", _in_place(pods), fleet.names[:1]))
            rolling = {"type": "RollingUpdate", "progressDeadlineSeconds": LONGEST}
            await meter.measure("RollingUpdate, all", _roll(fleet, "4.0.0", rolling))
            await self._idle(meter)
        finally:
            operator.end()
            await fleet.delete()
            stand_in.end()
            await api.close()

    async def _idle(self, meter: Meter) -> None:
        if self._idle_seconds:
            await asyncio.sleep(10)  # the last events of what was before
            await meter.measure(f"nothing, {self._idle_seconds:.0f} s", asyncio.sleep(self._idle_seconds))


async def _roll(fleet: rollouts.Fleet, version: str, strategy: rollouts.Json, models: list[str] | None = None) -> None:
    await fleet.apply(version, strategy, models)
    await fleet.wait_live(version, LONGEST, models)


def _in_place(at_once: int) -> rollouts.Json:
    return {"type": "InPlace", "maxParallel": min(1000, at_once), "progressDeadlineSeconds": LONGEST}
