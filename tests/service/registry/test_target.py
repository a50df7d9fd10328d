"""Protocol S2 and S3 as decisions: what is loaded, adopted, refused or left alone."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelroll_server import errors
from modelroll_server.registry import target as targets
from modelroll_server.registry.target import Adopt, Clash, Content, Keep, Live, Load, Snapshot, Source, Target

ENV = Target("env", 0, Content(path="churn/1.0.0", env=True))
V1 = Content("1.0.0", "churn/1.0.0", "sha256:1")
V2 = Content("2.0.0", "churn/2.0.0", "sha256:2")

contents = st.sampled_from([V1, V2, Content("3.0.0", "churn/3.0.0", None)])


def targets_of(source: Source) -> st.SearchStrategy[Target | None]:
    return st.none() | st.builds(Target, st.just(source), st.integers(1, 6), contents)


snapshots = st.builds(
    Snapshot,
    targets_of("target"),
    targets_of("settled"),
    targets_of("move"),
    st.sampled_from([None, ENV]),
)
lives = st.builds(Live, contents, st.integers(0, 7))
revisions = st.frozensets(st.integers(1, 6))


@given(snapshots)
def test_a_pod_starts_with_the_higher_of_target_and_settled_and_never_with_a_move(snapshot: Snapshot) -> None:
    base = targets.base(snapshot)
    named = [one for one in (snapshot.target, snapshot.settled) if one is not None]
    if named:
        assert base is not None
        assert base.revision == max(one.revision for one in named)
        assert base.source != "move"
    else:
        assert base == snapshot.env


@given(snapshots, lives, revisions, revisions)
def test_a_running_pod_never_goes_to_a_lower_revision(
    snapshot: Snapshot, live: Live, refused: frozenset[int], crashed: frozenset[int]
) -> None:
    decision = targets.decide(snapshot, live, refused, crashed)
    if isinstance(decision, Load | Adopt):
        assert decision.want.revision > live.revision


@given(snapshots, lives, revisions, revisions)
def test_a_refused_revision_is_never_loaded_again(
    snapshot: Snapshot, live: Live, refused: frozenset[int], crashed: frozenset[int]
) -> None:
    decision = targets.decide(snapshot, live, refused, crashed)
    if isinstance(decision, Load):
        assert decision.want.revision not in refused
        assert decision.want.source != "move" or decision.want.revision not in crashed


@given(snapshots, lives, revisions, revisions)
def test_what_is_live_already_is_never_loaded(
    snapshot: Snapshot, live: Live, refused: frozenset[int], crashed: frozenset[int]
) -> None:
    decision = targets.decide(snapshot, live, refused, crashed)
    if isinstance(decision, Load):
        assert not decision.want.content.agrees(live.content)
    if isinstance(decision, Adopt):
        assert decision.want.content.agrees(live.content)


@given(snapshots, lives)
def test_following_a_decision_comes_to_rest(snapshot: Snapshot, live: Live) -> None:
    decision = targets.decide(snapshot, live, frozenset(), frozenset())
    if isinstance(decision, Load | Adopt):
        live = Live(decision.want.content, decision.want.revision)
        decision = targets.decide(snapshot, live, frozenset(), frozenset())
    assert isinstance(decision, Keep | Clash)


@given(snapshots, lives)
def test_one_revision_with_two_contents_is_never_loaded(snapshot: Snapshot, live: Live) -> None:
    decision = targets.decide(snapshot, live, frozenset(), frozenset())
    if isinstance(decision, Load | Adopt):
        want = decision.want
        for other in (snapshot.target, snapshot.settled, snapshot.move):
            if other is not None and other.revision == want.revision:
                assert other.content.agrees(want.content)


def test_a_move_above_the_base_is_loaded() -> None:
    snapshot = Snapshot(settled=Target("settled", 7, V1), move=Target("move", 9, V2))
    assert targets.decide(snapshot, Live(V1, 7), frozenset(), frozenset()) == Load(Target("move", 9, V2))


def test_a_crashed_revision_is_loaded_when_it_was_settled_all_the_same() -> None:
    snapshot = Snapshot(settled=Target("settled", 9, V2), move=Target("move", 9, V2))
    decision = targets.decide(snapshot, Live(V1, 7), frozenset(), frozenset({9}))
    assert decision == Load(Target("settled", 9, V2))


def test_live_content_under_its_own_revision_with_another_content_is_a_clash() -> None:
    snapshot = Snapshot(settled=Target("settled", 7, V2))
    assert isinstance(targets.decide(snapshot, Live(V1, 7), frozenset(), frozenset()), Clash)


def test_two_bases_that_clash_are_not_loaded_at_start() -> None:
    snapshot = Snapshot(target=Target("target", 7, V1), settled=Target("settled", 7, V2))
    assert isinstance(targets.decide_start(snapshot), Clash)


def test_model_path_that_is_named_by_a_target_is_adopted() -> None:
    live = Live(Content("1.0.0", "churn/1.0.0", "sha256:1", env=True), 0)
    snapshot = Snapshot(settled=Target("settled", 3, V1), env=ENV)
    assert targets.decide(snapshot, live, frozenset(), frozenset()) == Adopt(Target("settled", 3, V1))


def test_the_baseline_counts_only_until_the_revision_has_settled() -> None:
    want = Target("target", 8, V2, baseline=V1)
    before = Snapshot(target=want, settled=Target("settled", 7, V1))
    after = Snapshot(target=want, settled=Target("settled", 8, V2))
    assert targets.gated_by_baseline(before, want) == V1
    assert targets.gated_by_baseline(after, want) is None


EXAMPLES: list[tuple[Source, dict[str, Any], Target]] = [
    (
        "target",
        {"baseline": {"path": "churn/1.0.0"}, "digest": "sha256:2", "path": "churn/2.0.0", "revision": 8},
        Target("target", 8, Content(None, "churn/2.0.0", "sha256:2"), Content(path="churn/1.0.0")),
    ),
    ("settled", {"env": True, "revision": 7}, Target("settled", 7, Content(env=True))),
    (
        "move",
        {"attempt": "u/3", "path": "a..b/2.0.0", "revision": 9, "version": "2.0.0", "newer": [1]},
        Target("move", 9, Content("2.0.0", "a..b/2.0.0"), attempt="u/3"),
    ),
]


@pytest.mark.parametrize(("source", "document", "expected"), EXAMPLES, ids=[one[0] for one in EXAMPLES])
def test_the_documents_of_the_seams_page_are_read(source: Source, document: dict[str, Any], expected: Target) -> None:
    assert targets.parse(source, json.dumps(document).encode()) == expected


@pytest.mark.parametrize("data", [b"", b" \n"])
def test_an_empty_file_says_nothing(data: bytes) -> None:
    assert targets.parse("move", data) is None


@pytest.mark.parametrize(
    "data",
    [
        b"{",
        b"[]",
        b"{}",
        b'{"revision":1}',
        b'{"revision":-1,"path":"a"}',
        b'{"revision":"1","path":"a"}',
        b'{"revision":1,"path":"/a"}',
        b'{"revision":9007199253692417,"path":"a"}',
        b'{"revision":1,"path":"a/../b"}',
        b"\xff",
        b'{"revision":9,"path":"\xff"}',
        b"[" * 100_000,
    ],
)
def test_a_file_that_cannot_be_meant_is_invalid(data: bytes) -> None:
    with pytest.raises(errors.TargetInvalid):
        targets.parse("target", data)


def test_what_is_settled_may_go_above_whatever_was_written_by_hand() -> None:
    document = b'{"revision":9007199254740992,"path":"a"}'
    assert targets.parse("settled", document) is not None
    with pytest.raises(errors.TargetInvalid):
        targets.parse("move", document)
