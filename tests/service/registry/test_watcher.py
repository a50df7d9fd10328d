"""The watcher against a registry, with loads that obey the test and a clock that stands still."""

import asyncio
from pathlib import Path

import pytest

import stand_in
from modelroll_server import errors
from modelroll_server.registry.candidates import InProcess
from modelroll_server.registry.marker import Marker
from modelroll_server.registry.registry import Registry
from modelroll_server.registry.target import Content, Snapshot, Target
from modelroll_server.registry.watcher import AFTER_A_CRASH, Watcher, back_off
from modelroll_server.telemetry.metrics import Metrics

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

    def __init__(self, snapshot: Snapshot, *, lazy: bool = False, state: Path | None = None) -> None:
        self.source = Source(snapshot)
        self.loads = stand_in.Loads()
        self.registry = Registry(Metrics(), lazy=lazy)
        self.now = 0.0
        self.watcher = Watcher(
            self.source, self.registry, InProcess(self.registry, self.loads), Marker(state), lambda: self.now
        )

    async def step(self) -> dict[str, object]:
        await self.watcher.step()
        return self.registry.status()

    def number(self) -> str | None:
        return None if self.registry.live is None else self.registry.live.number


def failure(status: dict[str, object]) -> tuple[object, object]:
    found = status["failure"]
    assert isinstance(found, dict)
    return found["revision"], found["reason"]


async def test_a_pod_starts_on_its_base_then_follows_a_move() -> None:
    pod = Pod(Snapshot(settled=Target("settled", 7, V1), move=Target("move", 9, V2)))
    await pod.step()
    assert pod.number() == "1.0.0"
    status = await pod.step()
    assert pod.number() == "2.0.0"
    assert status["state"] == "serving"
    assert status["live"] is not None


async def test_a_failed_move_leaves_the_live_version_and_is_never_tried_again() -> None:
    pod = Pod(Snapshot(settled=Target("settled", 7, V1)))
    await pod.step()
    pod.loads.failing["churn/2.0.0"] = errors.GoldenRowsDiffer("row 0", expected=1, found=0)
    pod.source.snapshot = Snapshot(settled=Target("settled", 7, V1), move=Target("move", 9, V2))
    status = await pod.step()
    assert (pod.number(), status["state"], status["ready"]) == ("1.0.0", "failed", True)
    assert failure(status) == (9, "GoldenRowsDiffer")
    await pod.step()
    pod.now += 100
    await pod.step()
    assert [one.path for one in pod.loads.asked] == ["churn/1.0.0", "churn/2.0.0"]


async def test_a_newer_revision_of_the_live_content_clears_the_failure_without_a_load() -> None:
    pod = Pod(Snapshot(settled=Target("settled", 7, V1)))
    await pod.step()
    pod.loads.failing["churn/2.0.0"] = errors.LoadFailed("no")
    pod.source.snapshot = Snapshot(settled=Target("settled", 7, V1), move=Target("move", 9, V2))
    await pod.step()
    pod.source.snapshot = Snapshot(settled=Target("settled", 10, V1), move=Target("move", 9, V2))
    status = await pod.step()
    assert (status["failure"], status["state"], status["settled_revision"]) == (None, "serving", 10)
    assert len(pod.loads.asked) == 2


@pytest.mark.parametrize(
    ("error", "reason"),
    [(errors.DigestMismatch("other bytes"), "DigestMismatch"), (TypeError("unforeseen"), "LoadFailed")],
)
async def test_a_base_that_fails_for_whatever_reason_is_tried_again_with_growing_pauses(
    error: Exception, reason: str
) -> None:
    pod = Pod(Snapshot(settled=Target("settled", 7, V1)))
    pod.loads.failing["churn/1.0.0"] = error
    status = await pod.step()
    assert (status["state"], status["ready"], failure(status)) == ("waiting", False, (7, reason))
    for failures in range(1, 7):
        pod.now += back_off(failures) - 0.01
        await pod.step()
        assert len(pod.loads.asked) == failures
        pod.now += 0.02
        await pod.step()
        assert len(pod.loads.asked) == failures + 1


async def test_a_move_that_fails_as_nobody_foresaw_is_reported_and_not_tried_again() -> None:
    pod = Pod(Snapshot(settled=Target("settled", 7, V1)))
    await pod.step()
    pod.loads.failing["churn/2.0.0"] = TypeError("unforeseen")
    pod.source.snapshot = Snapshot(settled=Target("settled", 7, V1), move=Target("move", 9, V2))
    assert failure(await pod.step()) == (9, "LoadFailed")
    await pod.step()
    assert [one.path for one in pod.loads.asked] == ["churn/1.0.0", "churn/2.0.0"]


async def test_a_missing_base_is_looked_for_every_second() -> None:
    pod = Pod(Snapshot(env=ENV))
    pod.loads.failing["churn/1.0.0"] = errors.ArtifactMissing("nothing there")
    for _ in range(5):
        await pod.step()
        pod.now += 1.01
    assert len(pod.loads.asked) == 5
    pod.loads.failing.clear()
    status = await pod.step()
    assert (status["ready"], status["failure"]) == (True, None)


async def test_another_base_is_loaded_at_once_while_the_first_one_waits() -> None:
    pod = Pod(Snapshot(target=Target("target", 8, V2)))
    pod.loads.failing["churn/2.0.0"] = errors.LoadFailed("no")
    await pod.step()
    pod.source.snapshot = Snapshot(target=Target("target", 8, V2), settled=Target("settled", 9, V1))
    await pod.step()
    assert pod.number() == "1.0.0"


async def test_what_is_not_wanted_any_more_when_it_is_loaded_is_not_swapped_in() -> None:
    pod = Pod(Snapshot(settled=Target("settled", 7, V1)))
    await pod.step()
    pod.source.snapshot = Snapshot(settled=Target("settled", 7, V1), move=Target("move", 9, V2))

    def call_off() -> None:
        pod.source.snapshot = Snapshot(settled=Target("settled", 10, V1), move=Target("move", 9, V2))

    pod.loads.during = call_off
    status = await pod.step()
    assert (pod.number(), status["state"]) == ("1.0.0", "serving")


async def test_a_clash_keeps_what_is_live() -> None:
    pod = Pod(Snapshot(settled=Target("settled", 7, V1)))
    await pod.step()
    pod.source.snapshot = Snapshot(settled=Target("settled", 8, V2), target=Target("target", 8, V3))
    status = await pod.step()
    assert failure(status) == (8, "RevisionClash")
    assert pod.number() == "1.0.0"


async def test_the_baseline_is_handed_to_the_gates_until_the_revision_settles() -> None:
    pod = Pod(Snapshot(target=Target("target", 8, V2, baseline=V1), settled=Target("settled", 7, V1)))
    await pod.step()
    assert pod.loads.baselines == [V1]


async def test_a_base_that_is_not_wanted_any_more_when_it_is_loaded_is_not_swapped_in() -> None:
    pod = Pod(Snapshot(target=Target("target", 8, V2), settled=Target("settled", 7, V1)))

    def call_off() -> None:
        pod.source.snapshot = Snapshot(target=Target("target", 8, V2), settled=Target("settled", 9, V1))

    pod.loads.during = call_off
    status = await pod.step()
    assert (status["ready"], status["live"]) == (False, None)
    pod.loads.during = lambda: None
    await pod.step()
    assert pod.number() == "1.0.0"


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


async def test_a_file_that_does_not_parse_is_reported_under_no_revision() -> None:
    pod = Pod(Snapshot(settled=Target("settled", 7, V1), invalid=("move: not JSON",)))
    await pod.step()
    status = await pod.step()
    assert failure(status) == (-1, "TargetInvalid")
    assert (status["state"], pod.number()) == ("serving", "1.0.0")
