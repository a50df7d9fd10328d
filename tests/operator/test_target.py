"""The bytes of targets, moves and settled: those of docs/design/0001-seams.md, and equal for equal values."""

import json
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelroll_operator import target as targets
from modelroll_operator.target import ENV, Baseline, Content, Target
from modelroll_server.registry import target as server_targets

SEAMS = Path(__file__).parents[2] / "docs" / "design" / "0001-seams.md"
DIGEST = "sha256:" + "a" * 64

_TEXTS = st.text(max_size=8) | st.none()
_CONTENTS = st.just(ENV) | st.builds(Content, version=_TEXTS, path=_TEXTS, digest=_TEXTS)


def _examples() -> list[tuple[str, str]]:
    """The examples of the page, whose dots stand for a digest, an attempt or a path, made whole."""
    found = re.findall(
        r"^    (?:(target|settled|move) +)(\{.*?\}+)(?: +or (\{.*\}))?$", SEAMS.read_text(), re.MULTILINE
    )
    pairs = [(name, text) for name, *texts in found for text in texts if text]
    return [(name, re.sub(r'(?<=":)…', '"x"', text)) for name, text in pairs]


def test_the_page_has_an_example_of_each_file() -> None:
    assert {name for name, _ in _examples()} == {"target", "settled", "move"}


@pytest.mark.parametrize(("name", "text"), _examples())
def test_examples_of_the_seams_page_are_read_and_written_alike(name: str, text: str) -> None:
    read = targets.decode(text)
    assert read is not None, name
    assert json.loads(targets.encode(read)) == json.loads(text)


def test_keys_are_sorted_and_nothing_is_spaced() -> None:
    content = Content(version="2.0.0", path="churn/2.0.0", digest=DIGEST)
    value = targets.target(content, 8, baseline=Content(version="1.2.0", path="churn/1.2.0"))
    assert targets.encode(value) == (
        f'{{"baseline":{{"path":"churn/1.2.0"}},"digest":"{DIGEST}","path":"churn/2.0.0","revision":8,"version":"2.0.0"}}'
    )


def test_model_path_is_written_as_env_alone() -> None:
    assert targets.encode(targets.target(ENV, 7)) == '{"env":true,"revision":7}'
    value = targets.target(Content(version="1.0.0", path="m"), 1, baseline=ENV)
    assert value.baseline == Baseline(env=True)


@given(_CONTENTS, st.integers(0, 2**53), st.none() | _CONTENTS, st.none() | st.text(max_size=5))
def test_what_is_written_is_read_back_and_written_alike(
    content: Content, revision: int, baseline: Content | None, attempt: str | None
) -> None:
    value = targets.target(content, revision, baseline=baseline, attempt=attempt)
    text = targets.encode(value)
    read = targets.decode(text)
    assert read == value
    assert targets.encode(read) == text
    assert read.content == content


def test_unknown_keys_are_passed_over() -> None:
    assert targets.decode('{"revision":3,"version":"1.0.0","path":"m","share":5}') == Target(
        revision=3, version="1.0.0", path="m"
    )


@pytest.mark.parametrize("text", [None, "", "{", "[]", "{}", '{"revision":"8"}', '{"revision":8,"path":1}'])
def test_what_is_no_target_says_nothing(text: str | None) -> None:
    assert targets.decode(text) is None


def test_what_a_server_would_refuse_is_no_target_here_either() -> None:
    assert targets.HIGHEST_REVISION == server_targets.HIGHEST_REVISION
    assert targets.HIGHEST_FOREIGN == server_targets.HIGHEST_FOREIGN
    assert targets.decode('{"env":true,"revision":9007199254740992}') is not None
    assert targets.decode('{"env":true,"revision":9007199254740993}') is None
    assert targets.decode('{"env":true,"revision":-1}') is None
