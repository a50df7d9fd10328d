"""Versions beside the live one: the one before it, and a candidate."""

import weakref
from pathlib import Path

import stand_in
from modelroll_server import errors
from modelroll_server.registry.marker import Marker
from modelroll_server.registry.target import Candidate, Content, Snapshot, Target
from watched_pod import V1, V2, V3, Pod, failure


async def _moved(pod: Pod, *contents: Content) -> list[str | None]:
    """The paths loaded when a pod that serves 1.0.0 is moved to one content after the other."""
    await pod.step()
    for revision, content in enumerate(contents, 8):
        pod.source.snapshot = Snapshot(settled=Target("settled", 7, V1), move=Target("move", revision, content))
        await pod.step()
        assert pod.number() == content.version
    return [one.path for one in pod.loads.asked]


async def test_going_back_to_the_version_before_loads_nothing() -> None:
    pod = Pod(Snapshot(settled=Target("settled", 7, V1)), keep_previous=True)
    assert await _moved(pod, V2, V1, V2) == ["churn/1.0.0", "churn/2.0.0"]
    assert pod.registry.status()["reloads"] == {"succeeded": 4, "failed": 0}


async def test_only_the_version_before_is_kept_and_it_makes_room_for_a_third() -> None:
    pod = Pod(Snapshot(settled=Target("settled", 7, V1)), keep_previous=True)
    await pod.step()
    assert pod.registry.live is not None
    first = weakref.ref(pod.registry.live.runtime)
    seen: list[bool] = []
    pod.loads.during = lambda: seen.append(first() is None)
    assert await _moved(pod, V2, V3, V1) == [f"churn/{number}.0.0" for number in (1, 2, 3, 1)]
    assert seen == [False, True, True]


async def test_the_version_before_is_not_kept_where_that_is_not_wanted() -> None:
    pod = Pod(Snapshot(settled=Target("settled", 7, V1)))
    assert await _moved(pod, V2, V1) == ["churn/1.0.0", "churn/2.0.0", "churn/1.0.0"]


async def test_other_bytes_at_the_place_of_the_version_before_are_loaded() -> None:
    pod = Pod(Snapshot(settled=Target("settled", 7, V1)), keep_previous=True)
    assert len(await _moved(pod, V2, Content("1.0.0", "churn/1.0.0", "sha256:other"))) == 3


async def test_a_version_that_was_kept_has_to_keep_to_the_baseline() -> None:
    pod = Pod(Snapshot(settled=Target("settled", 7, V1)), keep_previous=True)
    await _moved(pod, V2)
    pod.source.snapshot = Snapshot(settled=Target("settled", 7, V1), move=Target("move", 9, V1, baseline=V2))
    await pod.step()
    assert pod.loads.baselines[-1] == V2


def _with_candidate(revision: int, percent: float = 0, content: Content = V2, **more: object) -> Snapshot:
    move = Target("move", revision, V1, candidate=Candidate(content, percent, shadow=True), **more)  # type: ignore[arg-type]
    return Snapshot(settled=Target("settled", 7, V1), move=move)


async def _placed(pod: Pod, snapshot: Snapshot) -> dict[str, object]:
    await pod.step()
    pod.source.snapshot = snapshot
    return await pod.step()


async def test_a_candidate_is_loaded_beside_the_live_version_and_answers_nobody_yet() -> None:
    pod = Pod(Snapshot(settled=Target("settled", 7, V1)))
    status = await _placed(pod, _with_candidate(9))
    assert pod.number() == "1.0.0"
    assert (status["state"], status["failure"]) == ("serving", None)
    assert status["live"] is not None
    candidate = status["candidate"]
    assert isinstance(candidate, dict)
    assert (candidate["version"], candidate["revision"], candidate["percent"]) == ("2.0.0", 9, 0)
    assert len(pod.loads.asked) == 2


async def test_another_share_is_no_load_and_begins_the_numbers_anew() -> None:
    pod = Pod(Snapshot(settled=Target("settled", 7, V1)))
    await _placed(pod, _with_candidate(9))
    assert pod.registry.beside is not None
    pod.registry.beside.numbers.answered = 5
    pod.source.snapshot = _with_candidate(10, 25)
    await pod.step()
    assert (pod.registry.beside.asked.percent, pod.registry.beside.revision) == (25, 10)
    assert pod.registry.beside.numbers.answered == 0
    assert len(pod.loads.asked) == 2


async def test_a_candidate_that_is_promoted_takes_no_load() -> None:
    pod = Pod(Snapshot(settled=Target("settled", 7, V1)))
    await _placed(pod, _with_candidate(9))
    pod.source.snapshot = Snapshot(settled=Target("settled", 7, V1), move=Target("move", 10, V2, trial=20))
    status = await pod.step()
    assert (pod.number(), status["candidate"], pod.tried) == ("2.0.0", None, [])
    assert len(pod.loads.asked) == 2


async def test_a_candidate_that_is_called_off_is_let_go_of() -> None:
    pod = Pod(Snapshot(settled=Target("settled", 7, V1)))
    await _placed(pod, _with_candidate(9, 50))
    pod.source.snapshot = Snapshot(settled=Target("settled", 7, V1), move=Target("move", 10, V1))
    status = await pod.step()
    assert (pod.number(), status["candidate"], status["state"]) == ("1.0.0", None, "serving")


async def test_a_candidate_that_fails_its_gates_is_reported_and_not_tried_again() -> None:
    pod = Pod(Snapshot(settled=Target("settled", 7, V1)))
    pod.loads.failing["churn/2.0.0"] = errors.GoldenRowsDiffer("row 0")
    status = await _placed(pod, _with_candidate(9))
    assert (failure(status), status["candidate"]) == ((9, "GoldenRowsDiffer"), None)
    await pod.step()
    assert len(pod.loads.asked) == 2
    pod.source.snapshot = Snapshot(settled=Target("settled", 7, V1), move=Target("move", 10, V1))
    assert (await pod.step())["failure"] is None


async def test_a_candidate_with_other_inputs_is_refused() -> None:
    pod = Pod(Snapshot(settled=Target("settled", 7, V1)))
    pod.loads.inputs["churn/2.0.0"] = stand_in.INPUTS[:2]
    assert failure(await _placed(pod, _with_candidate(9))) == (9, "SchemaChanged")
    assert pod.registry.beside is None


async def test_a_candidate_is_tried_in_a_process_of_its_own_if_that_is_asked() -> None:
    pod = Pod(Snapshot(settled=Target("settled", 7, V1)))
    await _placed(pod, _with_candidate(9, trial=20))
    assert pod.tried == [("churn/2.0.0", 20)]
    pod.source.snapshot = _with_candidate(10, 25, trial=20)
    await pod.step()
    assert len(pod.tried) == 1


async def _that_died_beside(state: Path, times: int, revision: int = 9) -> Pod:
    """A pod whose process ended that often while it had a candidate, and has started again."""
    for _ in range(times):
        pod = Pod(Snapshot(settled=Target("settled", 7, V1)), state=state)
        await _placed(pod, _with_candidate(revision))
        assert pod.registry.beside is not None
    return Pod(Snapshot(settled=Target("settled", 7, V1)), state=state)


async def test_a_pod_that_died_once_beside_a_candidate_takes_it_again(tmp_path: Path) -> None:
    pod = await _that_died_beside(tmp_path, 1)
    status = await _placed(pod, _with_candidate(9))
    assert (status["failure"], pod.registry.beside is None) == (None, False)


async def test_a_candidate_beside_which_a_pod_died_twice_is_reported_and_not_taken_again(tmp_path: Path) -> None:
    pod = await _that_died_beside(tmp_path, 2)
    for _ in range(3):
        assert failure(await _placed(pod, _with_candidate(9))) == (9, "CandidateCrashed")
    assert (pod.number(), pod.registry.beside) == ("1.0.0", None)
    again = Pod(Snapshot(settled=Target("settled", 7, V1)), state=tmp_path)
    await _placed(again, _with_candidate(9))
    assert again.registry.beside is None


async def test_each_stage_may_lose_a_pod_once(tmp_path: Path) -> None:
    await _that_died_beside(tmp_path, 1)
    pod = await _that_died_beside(tmp_path, 1, 10)
    await _placed(pod, _with_candidate(10))
    assert pod.registry.beside is not None


async def test_a_pod_that_ends_as_it_was_told_or_after_its_candidate_did_not_die_of_it(tmp_path: Path) -> None:
    for _ in range(3):
        pod = Pod(Snapshot(settled=Target("settled", 7, V1)), state=tmp_path)
        await _placed(pod, _with_candidate(9))
        assert pod.registry.beside is not None
        pod.watcher.close()
    for ends in (Target("move", 10, V1), Target("move", 10, V2)):
        for _ in range(3):
            pod = Pod(Snapshot(settled=Target("settled", 7, V1)), state=tmp_path)
            await _placed(pod, _with_candidate(9))
            assert pod.registry.beside is not None
            pod.source.snapshot = Snapshot(settled=Target("settled", 7, V1), move=ends)
            await pod.step()


async def test_a_candidate_that_took_the_process_down_as_it_was_loaded_stays_reported(tmp_path: Path) -> None:
    Marker(tmp_path).set(9)
    pod = Pod(Snapshot(settled=Target("settled", 7, V1)), state=tmp_path)
    for _ in range(3):
        assert failure(await _placed(pod, _with_candidate(9))) == (9, "CrashedWhileLoading")


async def test_what_is_tried_finds_the_room_that_it_will_be_loaded_in() -> None:
    pod = Pod(Snapshot(settled=Target("settled", 7, V1)), keep_previous=True)
    await _moved(pod, V2)
    pod.source.snapshot = Snapshot(
        settled=Target("settled", 7, V1), move=Target("move", 9, V2, candidate=Candidate(V1, shadow=True))
    )
    await pod.step()
    assert pod.registry.beside is not None
    held = [weakref.ref(pod.registry.beside.version.runtime)]
    seen: list[bool] = []
    pod.during_trial = lambda: seen.extend(one() is None for one in held)
    pod.source.snapshot = Snapshot(settled=Target("settled", 7, V1), move=Target("move", 10, V3, trial=20))
    await pod.step()
    assert (pod.number(), seen) == ("3.0.0", [True])


async def test_a_pod_that_serves_another_version_goes_to_the_live_one_first() -> None:
    pod = Pod(Snapshot(settled=Target("settled", 7, V3)))
    await _placed(pod, _with_candidate(9))
    assert (pod.number(), pod.registry.beside) == ("1.0.0", None)
    await pod.step()
    assert pod.registry.beside is not None


async def test_a_candidate_is_compared_with_the_baseline_as_it_answers_its_callers() -> None:
    pod = Pod(Snapshot(settled=Target("settled", 7, V1)))
    await pod.step()
    await _placed(pod, _with_candidate(9, baseline=V1))
    assert pod.loads.baselines[-1] == V1
