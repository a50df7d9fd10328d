"""A pod that does not hear is asked again, less and less often, and one that has heard never."""

from typing import Any

import pytest

from modelroll_operator import names
from modelroll_operator import target as targets
from modelroll_operator.api import Answer, Api, ApiError
from modelroll_operator.observed import Pod
from modelroll_operator.reminding import FIRST, TIMES, Reminder
from simulation import values

OLD = values.content("1.0.0")


class Recorder(Api):
    """Notes who is patched, and when."""

    def __init__(self, status: int | None = None) -> None:
        self.namespace = "ns"
        self.now = 100.0
        self.asked: list[tuple[float, str, str]] = []
        self._status = status

    async def call(self, method: str, path: str, body: dict[str, Any] | None = None, **_: Any) -> Answer:
        assert (method, body is not None) == ("PATCH", True)
        annotations = (body or {})["metadata"]["annotations"]
        self.asked.append((round(self.now - 100, 2), path.rpartition("/")[2], annotations[names.REMINDER_ANNOTATION]))
        if self._status is not None:
            raise ApiError(self._status, "as told")
        return Answer({}, values.NOW)


def told(name: str, wanted: int, revision: int = 9) -> Pod:
    """A pod that was told of a revision, and has heard of one."""
    move = targets.encode(targets.target(values.content("2.0.0"), revision, attempt="a"))
    return values.pod(name, values.serving(OLD, wanted), move=move)


async def turns(api: Recorder, reminder: Reminder, pods: list[Pod], seconds: float) -> None:
    """Look ten times a second."""
    for _ in range(round(seconds * 10)):
        await reminder.remind(values.observed((), values.settled_at("1.0.0", 7), pods))
        api.now += 0.1


async def test_who_does_not_hear_is_asked_again_less_and_less_often_and_at_last_not_any_more() -> None:
    api = Recorder()
    reminder = Reminder(api, lambda: api.now)
    await turns(api, reminder, [told("deaf", 7), told("heard", 9)], 300)
    times = [when for when, _, _ in api.asked]
    assert {name for _, name, _ in api.asked} == {"deaf"}
    assert len(times) == TIMES
    assert times[:6] == pytest.approx([0.2, 0.4, 0.6, 1.0, 1.8, 3.4], abs=0.7)  # each waits for the next look
    assert 90 < times[-1] < 120
    assert len({said for _, _, said in api.asked}) == TIMES, "what is written is new each time"


async def test_who_was_told_something_new_is_asked_again_about_that() -> None:
    api = Recorder()
    reminder = Reminder(api, lambda: api.now)
    await turns(api, reminder, [told("deaf", 7)], 300)
    before = len(api.asked)
    await turns(api, reminder, [told("deaf", 7, revision=10)], 1)
    assert [said for _, _, said in api.asked[before:]][:2] == ["10/1", "10/2"]


async def test_it_says_when_to_look_next() -> None:
    api = Recorder()
    reminder = Reminder(api, lambda: api.now)
    seen = values.observed((), values.settled_at("1.0.0", 7), [told("deaf", 7)])
    assert await reminder.remind(seen) == pytest.approx(FIRST)
    assert await reminder.remind(values.observed((), values.settled_at("1.0.0", 7), [told("deaf", 9)])) is None


@pytest.mark.parametrize("status", [404, 409])
async def test_a_pod_that_is_gone_is_nobodys_error(status: int) -> None:
    api = Recorder(status)
    await turns(api, Reminder(api, lambda: api.now), [told("deaf", 7)], 1)
    assert api.asked


async def test_what_the_api_server_refuses_otherwise_is_raised() -> None:
    api = Recorder(403)
    with pytest.raises(ApiError):
        await turns(api, Reminder(api, lambda: api.now), [told("deaf", 7)], 1)
