"""What becomes of a load when another thing is wanted, and of a version that is tried in a process of its own first."""

import asyncio
import threading

import pytest
from structlog.testing import capture_logs

from modelroll_server import errors
from modelroll_server.registry.target import Snapshot, Target
from watched_pod import V1, V2, V3, Pod, failure


async def _that_gave_a_load_up() -> Pod:
    """One that serves 1.0.0, beside a load of 2.0.0 that has not ended and that nobody waits for any more."""
    pod = Pod(Snapshot(settled=Target("settled", 7, V1)))
    await pod.step()
    pod.loads.hanging["churn/2.0.0"] = threading.Event()
    pod.source.snapshot = Snapshot(settled=Target("settled", 7, V1), move=Target("move", 9, V2))
    step = asyncio.create_task(pod.step())
    async with asyncio.timeout(60):
        await pod.until_heard(9)
        pod.source.snapshot = Snapshot(settled=Target("settled", 7, V1), move=Target("move", 10, V1))
        await step
    return pod


async def test_a_load_that_hangs_is_given_up_when_another_thing_is_wanted() -> None:
    pod = await _that_gave_a_load_up()
    status = await pod.step()
    position = pod.registry.position()
    assert position is not None
    assert (pod.number(), position.revision, status["state"]) == ("1.0.0", 10, "serving")
    pod.loads.hanging["churn/2.0.0"].set()


async def test_a_load_waits_for_one_that_was_given_up_as_two_take_the_memory_of_two() -> None:
    pod = await _that_gave_a_load_up()
    pod.source.snapshot = Snapshot(move=Target("move", 11, V3))
    step = asyncio.create_task(pod.step())
    async with asyncio.timeout(60):
        await pod.until_heard(11)
        assert pod.loads.asked == [V1, V2]
        pod.loads.hanging["churn/2.0.0"].set()
        await step
    assert (pod.number(), pod.loads.asked) == ("3.0.0", [V1, V2, V3])


async def test_a_load_that_never_ends_does_not_keep_out_the_next_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("modelroll_server.registry.candidates.PATIENCE", 0.1)
    pod = await _that_gave_a_load_up()
    pod.source.snapshot = Snapshot(move=Target("move", 11, V3))
    with capture_logs() as logs:
        async with asyncio.timeout(60):
            await pod.step()
    assert pod.number() == "3.0.0"
    assert len([one for one in logs if "has not ended" in one["event"]]) == 1, "it is waited for once"
    pod.loads.hanging["churn/2.0.0"].set()


async def test_what_is_tried_is_given_up_when_another_thing_is_wanted() -> None:
    pod = Pod(Snapshot(settled=Target("settled", 7, V1)))
    await pod.step()
    pod.trial_takes = 3600
    pod.source.snapshot = Snapshot(settled=Target("settled", 7, V1), move=Target("move", 9, V2, trial=3600))
    step = asyncio.create_task(pod.step())
    async with asyncio.timeout(60):
        await pod.until_heard(9)
        pod.source.snapshot = Snapshot(settled=Target("settled", 7, V1), move=Target("move", 10, V1))
        await step
    status = await pod.step()
    assert (pod.number(), status["state"], len(pod.loads.asked)) == ("1.0.0", "serving", 1)


async def test_what_fails_in_a_process_of_its_own_is_not_loaded_in_the_one_that_answers() -> None:
    pod = Pod(Snapshot(settled=Target("settled", 7, V1)))
    await pod.step()
    pod.trial_fails = errors.LoadTimedOut("too long")
    pod.source.snapshot = Snapshot(settled=Target("settled", 7, V1), move=Target("move", 9, V2, V1, trial=20))
    assert failure(await pod.step()) == (9, "LoadTimedOut")
    await pod.step()
    assert pod.tried == [("churn/2.0.0", 20)]
    assert [one.path for one in pod.loads.asked] == ["churn/1.0.0"]
    assert pod.loads.baselines == [None, V1]


async def test_what_passed_in_a_process_of_its_own_is_loaded() -> None:
    pod = Pod(Snapshot(settled=Target("settled", 7, V1)), keep_previous=True)
    await pod.step()
    pod.source.snapshot = Snapshot(settled=Target("settled", 7, V1), move=Target("move", 9, V2, trial=20))
    await pod.step()
    assert pod.number() == "2.0.0"
    pod.source.snapshot = Snapshot(settled=Target("settled", 7, V1), move=Target("move", 10, V1, trial=20))
    await pod.step()
    assert (pod.number(), len(pod.tried)) == ("1.0.0", 1)  # it was in memory
