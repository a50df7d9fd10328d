"""The watcher follows what a pod is told, and what is live stays until the next one passed its gates."""

import pytest

from modelroll_server import errors
from modelroll_server.registry.target import Snapshot, Target
from modelroll_server.registry.watcher import back_off
from watched_pod import ENV, V1, V2, V3, Pod, failure


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
    assert pod.failing() == {"GoldenRowsDiffer"}
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
    assert pod.failing() == {"LoadFailed"}
    pod.source.snapshot = Snapshot(settled=Target("settled", 10, V1), move=Target("move", 9, V2))
    status = await pod.step()
    assert pod.failing() == set()
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


@pytest.mark.parametrize(
    "error",
    [errors.ArtifactMissing("not there"), errors.ArtifactIncomplete("half"), errors.ArtifactUnreadable("input/output")],
)
async def test_a_move_to_an_artifact_that_is_being_pushed_is_tried_every_second(error: errors.LoadError) -> None:
    pod = Pod(Snapshot(settled=Target("settled", 7, V1)))
    await pod.step()
    pod.loads.failing["churn/2.0.0"] = error
    pod.source.snapshot = Snapshot(settled=Target("settled", 7, V1), move=Target("move", 9, V2))
    assert failure(await pod.step()) == (9, error.reason)
    await pod.step()
    assert len(pod.loads.asked) == 2
    pod.loads.failing.clear()
    pod.now += 1.01
    status = await pod.step()
    assert (pod.number(), status["failure"], status["state"]) == ("2.0.0", None, "serving")


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


async def test_a_file_that_does_not_parse_is_reported_under_no_revision() -> None:
    pod = Pod(Snapshot(settled=Target("settled", 7, V1), invalid=("move: not JSON",)))
    await pod.step()
    status = await pod.step()
    assert failure(status) == (-1, "TargetInvalid")
    assert pod.failing() == {"TargetInvalid"}
    assert (status["state"], pod.number()) == ("serving", "1.0.0")
