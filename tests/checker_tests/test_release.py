"""What a ModelVersion says counts only when it is about what is asked for now."""

from typing import Any

from harness.release import RETRY, condition_of


def found(generation: int, said_of: int, retry: str | None = None, handled: str | None = None) -> dict[str, Any]:
    """A ModelVersion that is Stalled by what was asked for then."""
    stalled = {"type": "Stalled", "status": "True", "observedGeneration": said_of}
    annotations = {} if retry is None else {RETRY: retry}
    status = {"conditions": [stalled]} | ({} if handled is None else {"lastHandledRetry": handled})
    return {"metadata": {"generation": generation, "annotations": annotations}, "status": status}


def is_stalled(one: dict[str, Any]) -> bool:
    return bool(condition_of(one, "Stalled"))


def test_what_is_said_of_an_earlier_spec_is_nothing() -> None:
    assert is_stalled(found(2, 2))
    assert not is_stalled(found(3, 2))


def test_what_is_said_before_the_call_to_try_again_was_heard_is_nothing() -> None:
    assert is_stalled(found(2, 2, "again", "again"))
    assert not is_stalled(found(2, 2, "again"))
    assert not is_stalled(found(2, 2, "again", "once"))


def test_a_version_that_is_not_there_says_nothing() -> None:
    assert not is_stalled({})
