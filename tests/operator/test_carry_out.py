"""What each step writes: the fences that keep a late or mistaken writer from doing harm are in every body."""

from typing import Any

import pytest

from modelroll_operator import steps
from modelroll_operator.api import APPLY, Answer, Api, ApiError, Json
from modelroll_operator.carry_out import Hands
from modelroll_operator.observe import Snapshot
from modelroll_operator.status import StatusWriter
from simulation import values

STATE = values.settled_at("2.0.0", 8)
OWNED: Json = {"uid": values.deployment().uid}


class Recorder(Api):
    """Takes every call, and fails those that it is told to."""

    def __init__(self, failing: dict[str, int] | None = None) -> None:
        self.namespace = "ns"
        self.calls: list[tuple[str, str, dict[str, Any], dict[str, Any]]] = []
        self.failing = failing or {}

    async def call(self, method: str, path: str, body: dict[str, Any] | None = None, **more: Any) -> Answer:
        self.calls.append((method, path, body or {}, more))
        status = self.failing.get(path.rpartition("/")[2])
        if status is not None:
            raise ApiError(status, "as told")
        return Answer({}, values.NOW)


async def carry_out(api: Recorder, step: steps.Step, config_map: Json | None = None) -> bool:
    return await Hands(api, StatusWriter(api)).carry_out(step, Snapshot(values.observed(), config_map, {}))


@pytest.mark.parametrize("step", [steps.Save(STATE, "settle"), steps.Close(STATE)])
async def test_the_state_is_swapped_only_for_the_one_that_was_seen(step: steps.Step) -> None:
    api = Recorder()
    seen = {"metadata": {"uid": "c", "resourceVersion": "41", "ownerReferences": [OWNED]}}
    assert await carry_out(api, step, seen)
    ((method, path, body, _),) = api.calls
    assert (method, path.rpartition("/")[2]) == ("PUT", "churn-target")
    assert body["metadata"]["resourceVersion"] == "41"
    assert body["metadata"]["ownerReferences"][0]["uid"] == OWNED["uid"]
    assert body["data"] == STATE.data()


async def test_the_first_state_is_created_so_that_a_second_writer_is_refused() -> None:
    api = Recorder()
    await carry_out(api, steps.Save(STATE, "begin"))
    assert [(method, "resourceVersion" in body["metadata"]) for method, _, body, _ in api.calls] == [("POST", False)]


async def test_the_state_of_an_earlier_deployment_is_deleted_by_its_uid_and_made_anew() -> None:
    api = Recorder()
    seen = {"metadata": {"uid": "c", "resourceVersion": "41", "ownerReferences": [{"uid": "earlier"}]}}
    await carry_out(api, steps.Save(STATE, "begin"), seen)
    (first, _, deletion, _), (second, _, _, _) = api.calls
    assert (first, deletion["preconditions"], second) == ("DELETE", {"uid": "c"}, "POST")


@pytest.mark.parametrize("annotation", ["text", None])
async def test_the_template_is_applied_only_to_the_deployment_that_was_seen(annotation: str | None) -> None:
    api = Recorder()
    await carry_out(api, steps.ApplyTemplate(annotation))
    ((method, _, body, more),) = api.calls
    assert (method, more["content_type"], more["query"]["force"]) == ("PATCH", APPLY, "true")
    assert body["metadata"]["resourceVersion"] == values.deployment().resource_version
    expected = {} if annotation is None else {"modelroll.dev/target": annotation}
    assert body["spec"] == {"template": {"metadata": {"annotations": expected}}}


async def test_a_move_is_for_the_pod_that_was_seen_and_for_no_other_of_its_name() -> None:
    pods = values.pods_serving(values.content("1.0.0"), 7, 3)
    api = Recorder({"p0": 404, "p1": 409})
    assert await carry_out(api, steps.MovePods(pods, "text"))
    assert {body["metadata"]["uid"] for _, _, body, _ in api.calls} == {pod.uid for pod in pods}
    assert {body["metadata"]["annotations"]["modelroll.dev/move"] for _, _, body, _ in api.calls} == {"text"}


async def test_what_the_api_server_refuses_otherwise_is_raised() -> None:
    pods = values.pods_serving(values.content("1.0.0"), 7, 2)
    with pytest.raises(ApiError):
        await carry_out(Recorder({"p1": 403}), steps.MovePods(pods, "text"))
    seen = {"metadata": {"uid": "c", "resourceVersion": "41", "ownerReferences": [OWNED]}}
    with pytest.raises(ApiError):
        await carry_out(Recorder({"churn-target": 409}), steps.Save(STATE, "settle"), seen)


@pytest.mark.parametrize("step", [steps.Nothing(), steps.Wait("for a while")])
async def test_waiting_writes_nothing(step: steps.Step) -> None:
    api = Recorder()
    assert not await carry_out(api, step)
    assert api.calls == []
