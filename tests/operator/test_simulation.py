"""The plan in a simulated cluster: every order of events, every place to be killed in, ends where the specs say."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelroll_operator import target as targets
from modelroll_operator import version as versions
from modelroll_operator.report import report
from modelroll_operator.target import ENV, Content
from simulation import pod as pods
from simulation import values
from simulation.cluster import Cluster
from simulation.driver import Driver

FAILING = {
    "1.9.0": "GoldenRowsDiffer",
    "2.1.0": "ArtifactMissing",
    "2.5.0": "CanaryErrors",  # once it is a candidate
    "3.0.0": pods.HANGS,
}
BAD = frozenset(FAILING) - {"2.5.0"}
VERSIONS = ("1.0.0", "1.9.0", "2.0.0", "2.1.0", "2.5.0", "3.0.0")
Event = tuple[str, str]


Strategies = tuple[frozenset[str], frozenset[str]]
"""The versions that move in place, and of these the ones with a canary."""
NONE = frozenset[str]()
ALL = frozenset(VERSIONS)
STRATEGIES: dict[str, Strategies] = {
    "RollingUpdate": (NONE, NONE),
    "InPlace": (ALL, NONE),
    "Canary": (ALL, ALL),
    "mixed": (ALL - {"1.0.0", "2.0.0"}, ALL),
}


def _simulated(replicas: int = 2, strategies: Strategies = (NONE, NONE), *, lagging: bool = False) -> Driver:
    in_place, canary_of = strategies
    driver = Driver(Cluster(replicas, FAILING, in_place=in_place, canary_of=canary_of, lagging=lagging), BAD)
    driver.converge()
    return driver


def _happen(driver: Driver, event: Event) -> None:
    kind, version = event
    match kind:
        case "apply":
            driver.cluster.apply(version, withdrawn=False)
        case "withdraw":
            if version in driver.cluster.versions:
                driver.cluster.apply(version, withdrawn=True)
        case "delete":
            driver.cluster.delete(version)


def _expected(driver: Driver) -> Content | None:
    """What the specs alone say is served in the end; None: it depends on what was served before."""
    there = [one for one in driver.cluster.versions.values() if not one.withdrawn and one.version not in BAD]
    good = [one.version for one in there if one.version not in FAILING or one.canary is None]
    best = versions.highest(good)
    return None if best is None else values.content(best)


EVENTS = st.tuples(st.sampled_from(("apply", "apply", "apply", "withdraw", "delete")), st.sampled_from(VERSIONS))
CHOICES = st.lists(st.integers(0, 7), max_size=12)


@settings(max_examples=300)
@given(
    st.integers(1, 3),
    st.tuples(st.frozensets(st.sampled_from(VERSIONS)), st.frozensets(st.sampled_from(VERSIONS))),
    st.booleans(),
    st.lists(st.tuples(EVENTS, CHOICES), max_size=6),
)
def test_any_order_of_events_and_steps_ends_where_the_specs_say(
    replicas: int, strategies: Strategies, lagging: bool, script: list[tuple[Event, list[int]]]
) -> None:
    driver = _simulated(replicas, strategies, lagging=lagging)
    for event, choices in script:
        _happen(driver, event)
        for choice in choices:
            driver.step(choice)
    driver.converge()
    expected = _expected(driver)
    assert expected is None or driver.cluster.state.content == expected


def test_before_any_version_model_path_is_served_and_nothing_is_written() -> None:
    driver = _simulated()
    assert driver.effects == 0
    assert driver.cluster.answering() == {ENV}


def _went_through(
    script: tuple[Event, ...], strategies: Strategies, kill_at: int | None, *, after_write: bool, resting: bool
) -> Driver:
    """The script's events, each 12 steps after the other, with the operator killed at one of its writes."""
    driver = _simulated(3, strategies, lagging=True)
    driver.kill_at, driver.kill_after_write = kill_at, after_write
    for event in script:
        _happen(driver, event)
        for _ in range(12):
            killed = kill_at is not None and driver.effects >= kill_at
            for choice in (0, 1, 3, 4, 5, 6):
                driver.step(choice)
            if resting and not killed and kill_at is not None and driver.effects >= kill_at:
                driver.idle()  # nobody replaces the operator until all else has come to rest
    driver.converge()
    return driver


def _end(driver: Driver) -> dict[str, object]:
    """All that is left behind but times, revisions, names of pods, and messages, which say how much was counted."""
    cluster = driver.cluster
    seen, rollout = cluster.observe(), cluster.state.rollout
    template = targets.decode(cluster.target)
    return {
        "settled": cluster.state.content,
        "rollout": None if rollout is None else (rollout.to, rollout.phase),
        "template": None if template is None else template.content,
        "pods": [(pod.ready, pod.status and pod.status.live, pod.status and pod.status.candidate) for pod in seen.pods],
        "attempts": {one.name: one.attempt and (one.attempt.outcome, one.attempt.reason) for one in seen.versions},
        "conditions": {
            one.name: [(said.type, said.status, said.reason) for said in report(seen, one).conditions]
            for one in seen.versions
        },
    }


SCRIPTS: dict[str, tuple[Event, ...]] = {
    "a first version": (("apply", "1.0.0"),),
    "a second one": (("apply", "1.0.0"), ("apply", "2.0.0")),
    "a bad one": (("apply", "1.0.0"), ("apply", "1.9.0")),
    "a bad one at first": (("apply", "1.9.0"),),
    "one that fails as a candidate": (("apply", "1.0.0"), ("apply", "2.5.0")),
    "one that hangs": (("apply", "1.0.0"), ("apply", "3.0.0")),
    "a withdrawal": (("apply", "1.0.0"), ("apply", "2.0.0"), ("withdraw", "2.0.0")),
    "superseded by a bad one": (("apply", "1.0.0"), ("apply", "2.0.0"), ("apply", "2.1.0"), ("delete", "2.1.0")),
}


@pytest.mark.parametrize("strategies", STRATEGIES.values(), ids=STRATEGIES)
@pytest.mark.parametrize("script", SCRIPTS.values(), ids=SCRIPTS)
def test_an_operator_killed_at_any_write_is_replaced_without_a_trace(
    script: tuple[Event, ...], strategies: Strategies
) -> None:
    whole = _went_through(script, strategies, None, after_write=False, resting=False)
    assert whole.effects > 0
    for kill_at in range(1, whole.effects + 1):
        for after_write in (False, True):
            for resting in (False, True):
                killed = _went_through(script, strategies, kill_at, after_write=after_write, resting=resting)
                assert killed.effects >= kill_at
                assert _end(killed) == _end(whole)
