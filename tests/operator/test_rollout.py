"""What the operator remembers, as the ConfigMap holds it."""

from datetime import UTC, datetime

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelroll_operator import rollout as rollouts
from modelroll_operator import target as targets
from modelroll_operator.rollout import Memory, Phase, Rollout, State
from modelroll_operator.target import ENV, Content

OLD = Content(version="1.2.0", path="churn/1.2.0")
TIME = datetime(2026, 1, 1, tzinfo=UTC)
NEW = Content(version="2.0.0", path="churn/2.0.0", digest="sha256:" + "b" * 64)


def _rollout(*, baseline: bool = True, phase: Phase = "moving", restore: str | None = None) -> Rollout:
    return Rollout(
        id="r", uid="u", name="churn-2.0.0", key="u/1//t", strategy="RollingUpdate", revision=8, to=NEW, previous=OLD,
        restore=restore, baseline=baseline, phase=phase, began=TIME, started=TIME,
    )  # fmt: skip


@given(
    st.none() | st.integers(0, 99),
    st.integers(0, 99),
    st.none() | st.sampled_from(("moving", "applied", "settled", "aborting")),
    st.none() | st.text(max_size=5),
)
def test_what_is_saved_is_read_back(
    settled: int | None, counter: int, phase: Phase | None, restore: str | None
) -> None:
    rollout = None if phase is None else _rollout(phase=phase, restore=restore)
    state = State(
        settled=None if settled is None else targets.target(OLD, settled),
        memory=Memory(counter=counter, rollout=rollout),
    )
    assert rollouts.read(state.data()) == state


def test_before_anything_is_settled_only_the_operator_key_is_written() -> None:
    state = State(memory=Memory(counter=1))
    assert state.data() == {"operator": '{"counter":1}'}
    assert state.content == ENV


@pytest.mark.parametrize(
    "data", [{"operator": "{"}, {"operator": '{"counter":"x"}'}, {"operator": "{}", "settled": "{"}]
)
def test_a_config_map_that_cannot_be_read_counts_as_lost(data: dict[str, str]) -> None:
    assert rollouts.read(data) is None


@pytest.mark.parametrize("time", ["yesterday", "2026-01-01T00:00:00", "9999-01-01T00:00:00Z"])
def test_a_time_that_is_none_counts_as_lost_too(time: str) -> None:
    operator = msgspec.to_builtins(Memory(counter=8, rollout=_rollout()))
    assert rollouts.read({"operator": msgspec.json.encode(operator).decode()}) is not None
    operator["rollout"]["started"] = time
    assert rollouts.read({"operator": msgspec.json.encode(operator).decode()}) is None


def test_a_strategy_that_there_is_not_counts_as_lost_too() -> None:
    operator = msgspec.to_builtins(Memory(counter=8, rollout=_rollout()))
    operator["rollout"]["strategy"] = "Canary"
    assert rollouts.read({"operator": msgspec.json.encode(operator).decode()}) is None


def test_an_empty_config_map_says_that_nothing_happened_yet() -> None:
    assert rollouts.read({}) == State()


def test_the_annotation_is_the_same_bytes_in_every_phase() -> None:
    assert len({_rollout(phase=phase).annotation for phase in ("moving", "applied", "settled", "aborting")}) == 1


def test_pods_compare_their_schema_with_what_was_settled_unless_the_change_is_allowed() -> None:
    compared, free = (targets.decode(_rollout(baseline=baseline).annotation) for baseline in (True, False))
    assert compared is not None
    assert compared.baseline == targets.Baseline(path="churn/1.2.0")
    assert free is not None
    assert free.baseline is None
