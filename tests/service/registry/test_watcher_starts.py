"""Starts: after a crash, and of a server that loads nothing before it is asked."""

import asyncio
from pathlib import Path

import pytest

from modelroll_server import errors
from modelroll_server.registry.marker import Marker
from modelroll_server.registry.target import Snapshot, Target
from modelroll_server.registry.watcher import AFTER_A_CRASH
from watched_pod import ENV, V1, V2, Pod, failure


async def test_the_marker_stands_while_a_move_loads_and_is_gone_afterwards(tmp_path: Path) -> None:
    pod = Pod(Snapshot(settled=Target("settled", 7, V1)), state=tmp_path)
    await pod.step()
    found: list[int | None] = []

    def look() -> None:
        found.append(9 if b'"loading":9' in (tmp_path / "loading.json").read_bytes() else None)

    pod.loads.during = look
    pod.source.snapshot = Snapshot(settled=Target("settled", 7, V1), move=Target("move", 9, V2))
    await pod.step()
    assert found == [9]
    assert Marker(tmp_path).found is None


async def test_a_revision_that_took_the_process_down_is_reported_and_not_taken_again(tmp_path: Path) -> None:
    Marker(tmp_path).set(9)
    snapshot = Snapshot(settled=Target("settled", 7, V1), move=Target("move", 9, V2))
    for _ in range(2):  # the second start finds no marker, and knows all the same
        pod = Pod(snapshot, state=tmp_path)
        await pod.step()
        await pod.step()
        assert pod.number() == "1.0.0"
    pod = Pod(snapshot, state=tmp_path)
    Marker(tmp_path).set(9)
    pod = Pod(snapshot, state=tmp_path)
    status = await pod.step()
    assert failure(status) == (9, "CrashedWhileLoading")
    assert status["state"] == "failed"


async def test_a_start_that_died_of_its_base_says_so_before_it_tries_again(tmp_path: Path) -> None:
    died = Pod(Snapshot(target=Target("target", 8, V2)), state=tmp_path)
    marked: list[bytes] = []
    died.loads.during = lambda: marked.append((tmp_path / "loading.json").read_bytes())
    await died.step()
    assert b'"loading":8' in marked[0]

    Marker(tmp_path).set(8)
    pod = Pod(Snapshot(target=Target("target", 8, V2)), state=tmp_path)
    assert AFTER_A_CRASH >= 3.0, "the operator looks once a second, and must have seen it"
    pod.now = AFTER_A_CRASH - 0.1
    assert failure(await pod.step()) == (8, "CrashedWhileLoading")
    assert pod.number() is None
    pod.now = AFTER_A_CRASH
    await pod.step()
    assert pod.number() == "2.0.0"

    Marker(tmp_path).set(8)
    pod = Pod(Snapshot(target=Target("target", 8, V2), settled=Target("settled", 9, V1)), state=tmp_path)
    await pod.step()
    assert pod.number() == "1.0.0", "another revision is not waited for"


async def test_a_lazy_pod_is_ready_at_once_and_loads_once_for_all_who_ask() -> None:
    pod = Pod(Snapshot(env=ENV), lazy=True)
    status = await pod.step()
    assert (status["ready"], status["state"], pod.loads.asked) == (True, "waiting", [])
    asking = [asyncio.create_task(pod.registry.obtain()) for _ in range(20)]
    await asyncio.sleep(0)
    await pod.step()
    found = await asyncio.gather(*asking)
    assert {version.number for version in found} == {"1.0.0"}
    assert len(pod.loads.asked) == 1


async def test_a_lazy_load_that_fails_tells_those_who_ask_and_is_tried_again() -> None:
    pod = Pod(Snapshot(env=ENV), lazy=True)
    pod.loads.failing["churn/1.0.0"] = errors.LoadFailed("no")
    await pod.step()
    asking = asyncio.create_task(pod.registry.obtain())
    await asyncio.sleep(0)
    await pod.step()
    with pytest.raises(errors.NotReady, match="LoadFailed"):
        await asking
    with pytest.raises(errors.NotReady, match="LoadFailed"):
        await pod.registry.obtain()
    pod.loads.failing.clear()
    pod.now += 1.01
    await pod.step()
    assert (await pod.registry.obtain()).number == "1.0.0"


async def test_who_waits_for_a_lazy_load_that_is_not_wanted_any_more_waits_for_the_next() -> None:
    pod = Pod(Snapshot(env=ENV), lazy=True)
    await pod.step()
    asking = asyncio.create_task(pod.registry.obtain())
    await asyncio.sleep(0)
    pod.registry.begin(Target("env", 0, V1))
    pod.registry.abandon()
    await asyncio.sleep(0.01)  # the loop goes on
    assert not asking.done()
    await pod.step()
    assert (await asking).number == "1.0.0"


async def test_a_failure_from_before_anybody_asked_does_not_keep_a_lazy_pod_from_loading() -> None:
    pod = Pod(Snapshot(env=ENV), lazy=True)
    pod.registry.refuse(Target("move", 3, V1), errors.CrashedWhileLoading("the process died"), for_good=False)
    with pytest.raises(errors.NotReady, match="CrashedWhileLoading"):
        await pod.registry.obtain()
    await pod.step()
    assert (await pod.registry.obtain()).number == "1.0.0"


async def test_a_target_is_never_loaded_lazily() -> None:
    pod = Pod(Snapshot(settled=Target("settled", 7, V1), env=ENV), lazy=True)
    await pod.step()
    assert pod.number() == "1.0.0"


async def test_who_asks_a_pod_that_starts_waits_for_its_first_version() -> None:
    pod = Pod(Snapshot(settled=Target("settled", 7, V1)))
    asked = asyncio.create_task(pod.registry.obtain())
    await asyncio.sleep(0)
    assert not asked.done()
    await pod.step()
    assert (await asked).number == "1.0.0"


async def test_who_asks_a_pod_that_cannot_start_is_told_why() -> None:
    pod = Pod(Snapshot(settled=Target("settled", 7, V1)))
    pod.loads.failing["churn/1.0.0"] = errors.ArtifactMissing("nothing is there")
    asked = asyncio.create_task(pod.registry.obtain())
    await pod.step()
    with pytest.raises(errors.NotReady, match="ArtifactMissing"):
        await asked
    with pytest.raises(errors.NotReady, match="ArtifactMissing"):
        await pod.registry.obtain()
