"""Versions and their order, by the cases that the server's tests read too."""

import json
import random
from pathlib import Path

import pytest

from modelroll_operator import version as versions

CASES = json.loads((Path(__file__).parent.parent / "version_cases.json").read_text())
ASCENDING: list[str] = CASES["ascending"]


@pytest.mark.parametrize("text", ASCENDING)
def test_what_semver_allows_is_a_version(text: str) -> None:
    assert versions.is_version(text)


@pytest.mark.parametrize("text", CASES["invalid"])
def test_what_semver_refuses_is_no_version(text: str) -> None:
    assert not versions.is_version(text)


def test_order_is_that_of_semver() -> None:
    shuffled = list(ASCENDING)
    random.Random(1).shuffle(shuffled)
    assert sorted(shuffled, key=versions.order) == ASCENDING


def test_a_release_is_preferred_to_a_higher_pre_release() -> None:
    assert versions.highest(["1.0.0", "2.0.0-rc.1"]) == "1.0.0"


def test_pre_releases_are_served_when_there_is_nothing_else() -> None:
    assert versions.highest(["2.0.0-rc.2", "2.0.0-rc.10"]) == "2.0.0-rc.10"


def test_nothing_is_highest_among_nothing() -> None:
    assert versions.highest([]) is None


def test_ordering_what_is_no_version_is_an_error() -> None:
    with pytest.raises(ValueError, match="'v1' is not a version"):
        versions.order("v1")
