"""What people and machines do to a rollout that is under way: whatever it is, the live rule has the last word."""

from collections.abc import Callable

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from modelroll_operator import target as targets
from modelroll_operator import version as versions
from modelroll_operator.plan import plan
from modelroll_operator.target import ENV
from simulation import pod as pods
from simulation import values
from simulation.cluster import Cluster
from simulation.driver import Driver

FAILING = {"1.9.0": "GoldenRowsDiffer", "2.1.0": "ArtifactMissing", "3.0.0": pods.HANGS}
CHOICES = st.lists(st.integers(0, 7), max_size=12)


NONE, ALL = frozenset[str](), frozenset(("1.0.0", "1.9.0", "2.0.0", "2.1.0", "2.2.0", "3.0.0"))
IN_PLACE = {"RollingUpdate": (NONE, NONE), "InPlace": (ALL, NONE), "Canary": (ALL, ALL)}  # and of these, with a canary
STRATEGIES = st.sampled_from(sorted(IN_PLACE))


def _simulated(strategy: str = "RollingUpdate") -> Driver:
    in_place, canary_of = IN_PLACE[strategy]
    cluster = Cluster(2, FAILING, in_place=in_place, canary_of=canary_of, lagging=True)
    driver = Driver(cluster, frozenset(FAILING))
    driver.converge()
    return driver


def _is_bad(driver: Driver, version: str) -> bool:
    attempt = driver.cluster.versions[version].attempt
    return attempt is not None and attempt.outcome == "Failed"


def _lose(driver: Driver) -> None:
    driver.lost = True
    driver.cluster.lose_config_map()


def _write_template_by_hand(driver: Driver) -> None:
    driver.lost = True  # what it names is served by nobody's leave
    driver.cluster.set_template(targets.encode(targets.target(values.content("0.9.0"), 50)))


def _kill(driver: Driver) -> None:
    driver.cluster.kill(0)


def _crash_both(driver: Driver) -> None:
    driver.cluster.crash(0)
    driver.cluster.crash(1)


def _pause(driver: Driver) -> None:
    driver.cluster.pause(True)
    driver.idle()
    for _ in range(20):
        driver.step(0)
    driver.cluster.tick(1000)  # the deadline stands still
    driver.step(0)
    driver.cluster.pause(False)


def _pause_version(driver: Driver) -> None:
    driver.cluster.apply("2.0.0", paused=True)
    for _ in range(20):
        driver.step(0)
        driver.idle()
    driver.cluster.tick(1000)
    driver.step(0)
    driver.cluster.apply("2.0.0", paused=False)


def _scale_to_nothing_and_back(driver: Driver) -> None:
    driver.cluster.scale(0)
    for _ in range(5):
        driver.idle()
        driver.step(0)
        driver.cluster.tick(100)
    driver.cluster.scale(2)


FAULTS: dict[str, Callable[[Driver], None]] = {
    "lost ConfigMap": _lose,
    "rollout undo": lambda driver: driver.cluster.undo(),
    "stripped annotation": lambda driver: driver.cluster.set_template(None),
    "template written by hand": _write_template_by_hand,
    "scaled up": lambda driver: driver.cluster.scale(4),
    "scaled down": lambda driver: driver.cluster.scale(1),
    "scaled to nothing and back": _scale_to_nothing_and_back,
    "a pod deleted": _kill,
    "a container killed": lambda driver: driver.cluster.crash(0),
    "both containers killed": _crash_both,
    "a new image": lambda driver: driver.cluster.set_template(driver.cluster.target, "image 2"),
    "paused Deployment": _pause,
    "paused version": _pause_version,
    "withdrawn": lambda driver: driver.cluster.apply("2.0.0", withdrawn=True),
    "deleted": lambda driver: driver.cluster.delete("2.0.0"),
    "superseded": lambda driver: driver.cluster.apply("2.2.0"),
    "superseded by a bad one": lambda driver: driver.cluster.apply("2.1.0"),
}


def _mid_rollout(moments: int, strategy: str) -> Driver:
    """1.0.0 is settled, and the rollout to 2.0.0 is `moments` steps old."""
    driver = _simulated(strategy)
    driver.cluster.apply("1.0.0")
    driver.converge()
    driver.cluster.apply("2.0.0")
    for moment in range(moments):
        driver.step((0, 1, 3, 4, 5)[moment % 5])
    return driver


@pytest.mark.parametrize("strategy", IN_PLACE)
@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_a_fault_at_any_moment_of_a_rollout_ends_where_the_live_rule_says(
    fault: Callable[[Driver], None], strategy: str
) -> None:
    for moments in range(0, 100, 3):
        driver = _mid_rollout(moments, strategy)
        fault(driver)
        driver.converge()
        good = [text for text in driver.cluster.versions if not driver.cluster.versions[text].withdrawn]
        expected = versions.highest(text for text in good if not _is_bad(driver, text))
        assert driver.cluster.state.content == values.content(expected or "")


@settings(max_examples=40)
@example(
    [("superseded", [0, 1]), ("template written by hand", [1])], 27, "RollingUpdate"
)  # it outranked what an abort had settled
@example([("scaled down", [1]), ("scaled up", [])], 0, "RollingUpdate")  # a pod goes that was to go before it
@given(st.lists(st.tuples(st.sampled_from(sorted(FAULTS)), CHOICES), max_size=5), st.integers(0, 60), STRATEGIES)
def test_faults_upon_faults_come_to_an_end(faults: list[tuple[str, list[int]]], moments: int, strategy: str) -> None:
    driver = _mid_rollout(moments, strategy)
    for name, choices in faults:
        FAULTS[name](driver)
        for choice in choices:
            driver.step(choice)
    driver.converge()


@settings(max_examples=40)
@given(
    st.integers(0, 60),
    st.lists(st.integers(0, 7), min_size=1, max_size=40),
    st.sampled_from(("1.9.0", "2.1.0", "3.0.0")),
    STRATEGIES,
)
def test_a_late_write_of_a_deposed_operator_changes_nothing(
    moments: int, between: list[int], version: str, strategy: str
) -> None:
    driver = _mid_rollout(moments, strategy)
    seen = driver.cluster.observe()
    late = plan(seen)
    driver.cluster.apply(version)
    for choice in between:
        driver.step(choice)
    driver.carry_out(late, seen)
    driver.converge()
    assert driver.cluster.state.content == values.content("2.0.0")


def test_with_nobody_to_check_a_version_it_is_not_settled() -> None:
    driver = _simulated()
    driver.cluster.scale(0)
    driver.cluster.apply("1.9.0")
    for _ in range(30):
        driver.step(0)
        driver.step(1)
        driver.cluster.tick(60)
    assert driver.cluster.state.content == ENV
    driver.cluster.scale(2)
    driver.converge()
    assert _is_bad(driver, "1.9.0")
    assert driver.cluster.answering() == {ENV}
