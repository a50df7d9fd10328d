"""Versions: the shared table of cases, and order as SemVer has it."""

import itertools
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelroll_server.artifact.version import Version, highest, is_version

CASES = json.loads((Path(__file__).parents[2] / "version_cases.json").read_text())
VERSIONS = st.from_regex(
    r"(0|[1-9][0-9]{0,3})(\.(0|[1-9][0-9]{0,3})){2}(-[a-z]{1,4}(\.(0|[1-9][0-9]?))?)?", fullmatch=True
)


@pytest.mark.parametrize(("lower", "higher"), list(itertools.pairwise(CASES["ascending"])))
def test_each_case_stands_below_the_next(lower: str, higher: str) -> None:
    assert Version.parse(lower) < Version.parse(higher)
    assert not Version.parse(higher) < Version.parse(lower)


@pytest.mark.parametrize("text", CASES["invalid"])
def test_what_is_not_a_version_is_refused_with_the_text(text: str) -> None:
    assert not is_version(text)
    with pytest.raises(ValueError, match="is not a version"):
        Version.parse(text)


@given(st.lists(VERSIONS, min_size=1, unique=True))
def test_order_is_total_and_a_release_is_served_before_any_pre_release(texts: list[str]) -> None:
    versions = [Version.parse(text) for text in texts]
    ascending = sorted(versions)
    assert all(lower < higher for lower, higher in itertools.pairwise(ascending))
    releases = [version for version in ascending if not version.pre_release]
    assert highest(versions) == (releases or ascending)[-1]


@given(st.text(max_size=20))
def test_any_text_is_a_version_or_refused_and_never_raises_otherwise(text: str) -> None:
    if is_version(text):
        assert str(Version.parse(text)) == text


def test_nothing_is_the_highest_of_nothing() -> None:
    assert highest([]) is None
