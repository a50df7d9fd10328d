"""The live rule: a function of the specs and of which keys failed."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelroll_operator import liverule
from modelroll_operator.observed import Attempt, ModelVersion
from simulation import values


def _chosen(*versions: ModelVersion, **changes: Any) -> str | None:
    live = liverule.choose(values.observed(versions, **changes)).live
    return None if live is None else live.name


def _failed(version: str, **changes: Any) -> ModelVersion:
    refused = values.model_version(version, **changes)
    key = liverule.key(refused, "template")
    return values.model_version(version, **(changes | {"attempt": Attempt(key, "Failed", "LoadFailed", "")}))


def test_the_highest_version_is_live() -> None:
    assert _chosen(values.model_version("1.9.0"), values.model_version("1.10.0")) == "churn-1.10.0"


@given(st.permutations([values.model_version(text) for text in ("1.0.0", "1.1.0", "2.0.0-rc.1")]))
def test_the_order_of_applies_does_not_matter(versions: list[ModelVersion]) -> None:
    assert _chosen(*versions) == "churn-1.1.0"


@pytest.mark.parametrize(
    "change",
    [
        {"withdrawn": True},
        {"deleting": True},
        {"strategy": "Teleport"},
        {"deployment": "another"},
    ],
)
def test_a_version_that_may_not_be_served_is_passed_over(change: dict[str, Any]) -> None:
    high = values.model_version("2.0.0", **change)
    assert _chosen(values.model_version("1.0.0"), high) == "churn-1.0.0"


def test_a_version_that_is_none_is_passed_over() -> None:
    """The API server refuses it; an object that came by another way must not stop the rest."""
    assert _chosen(values.model_version("1.0.0"), values.model_version("latest")) == "churn-1.0.0"


def test_nothing_is_chosen_when_there_is_nothing() -> None:
    assert _chosen() is None


def test_a_failed_version_is_passed_over() -> None:
    assert _chosen(values.model_version("1.0.0"), _failed("2.0.0")) == "churn-1.0.0"


@pytest.mark.parametrize("change", [{"asks": "2"}, {"retry": "1"}, {"uid": "made-again"}])
def test_a_change_makes_a_failed_version_eligible_again(change: dict[str, Any]) -> None:
    attempt = _failed("2.0.0").attempt
    again = values.model_version("2.0.0", **(change | {"attempt": attempt}))
    assert _chosen(values.model_version("1.0.0"), again) == "churn-2.0.0"


def test_a_key_has_room_for_any_retry() -> None:
    version = values.model_version("2.0.0", uid="0" * 36, asks="x" * 16, retry="x" * 100_000)
    assert len(liverule.key(version, "0" * 16)) < 100


def test_a_new_image_makes_a_failed_version_eligible_again() -> None:
    image = values.deployment(template_hash="another image")
    assert _chosen(values.model_version("1.0.0"), _failed("2.0.0"), deployment=image) == "churn-2.0.0"


def test_a_conflict_blocks_when_it_would_be_highest() -> None:
    versions = [values.model_version("1.0.0"), *(values.model_version("2.0.0", name=n, uid=n) for n in "ab")]
    choice = liverule.choose(values.observed(versions))
    assert (choice.live, choice.blocked) == (None, True)


def test_a_conflict_below_the_highest_blocks_nothing() -> None:
    versions = [values.model_version("2.0.0"), *(values.model_version("1.0.0", name=n, uid=n) for n in "ab")]
    assert _chosen(*versions) == "churn-2.0.0"


def test_withdrawing_one_ends_a_conflict() -> None:
    a = values.model_version("2.0.0", name="a", uid="a")
    b = values.model_version("2.0.0", name="b", uid="b", withdrawn=True)
    assert _chosen(a, b) == "a"


def test_without_a_name_the_only_deployment_of_the_model_is_meant() -> None:
    version = values.model_version("1.0.0")
    assert _chosen(version, siblings=("churn", "churn-canary")) is None
    named = values.model_version("1.0.0", deployment="churn")
    assert _chosen(named, siblings=("churn", "churn-canary")) == "churn-1.0.0"
