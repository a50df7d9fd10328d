"""The window slides, starts anew with a version, and says no more than its rows can tell."""

import pytest

from modelroll_server.drift.window import PUBLISHED, SLICES, Population, Sample, Window

TRAINED = [500, 500, 0]


class Clock:
    """A clock that stands still until it is set."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


class Watched:
    """A window over twelve minutes, and what is live."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.live: str | None = "a"
        self.window = Window(SLICES * 60.0, lambda: self.live, self.clock)

    def add(self, served: list[int], digest: str = "a", inputs: int = 1) -> None:
        population = Population(
            "churn",
            f"1.0.0-{digest}",
            digest,
            [f"x{index}" for index in range(inputs)],
            [3 * index for index in range(inputs)],
            TRAINED * inputs,
        )
        self.window.add(Sample(population, sum(served[:3]), served))

    def found(self, name: str) -> dict[str, float]:
        """Values of a metric, by input or else by version."""
        (metric,) = [one for one in self.window.collect() if one.name == f"modelroll_input_{name}"]
        return {one.labels.get("input", one.labels["model_version"]): one.value for one in metric.samples}


@pytest.fixture
def one() -> Watched:
    """A window that has seen nothing."""
    return Watched()


def test_samples_of_all_processes_are_added_up(one: Watched) -> None:
    one.add([100, 0, 0])
    one.add([0, 80, 20])
    assert one.found("rows") == {"1.0.0-a": 200}
    assert one.found("missing_share") == {"x0": 0.1}
    assert 0.1 < one.found("psi")["x0"] < 1
    one.add([0, 20, 0])
    one.add([900, 900, 0])
    assert one.found("psi")["x0"] < 0.1


def test_nothing_is_said_by_few_rows(one: Watched) -> None:
    one.add([99, 0, 0])
    assert one.found("rows") == {"1.0.0-a": 99}
    assert one.found("psi") == one.found("missing_share") == {}
    one.add([1, 0, 0])
    assert one.found("psi")["x0"] > 0.25


def test_what_is_older_than_the_window_is_forgotten(one: Watched) -> None:
    one.add([200, 0, 0])
    one.clock.now += 6 * 60
    one.add([100, 100, 0])
    assert one.found("rows") == {"1.0.0-a": 400}
    one.clock.now += 6 * 60
    assert one.found("rows") == {"1.0.0-a": 200}
    assert one.found("psi")["x0"] == pytest.approx(0, abs=1e-4)
    one.clock.now += 6 * 60
    assert one.found("rows") == {"1.0.0-a": 0}
    assert one.found("psi") == {}


def test_another_version_starts_anew_and_late_samples_of_the_one_before_are_let_go(one: Watched) -> None:
    one.add([200, 0, 0])
    one.live = "b"
    assert one.found("rows") == one.found("psi") == {}
    one.add([200, 0, 0])
    assert one.found("rows") == {}
    one.add([50, 50, 0], "b")
    one.add([200, 0, 0])
    assert one.found("rows") == {"1.0.0-b": 100}
    one.live = None
    assert one.found("rows") == {}


def test_of_a_wide_model_those_that_drift_most_are_told_of(one: Watched) -> None:
    wide = 1000
    one.add([count for index in range(wide) for count in (1000 + index, 1000 - index, 0)], inputs=wide)
    assert set(one.found("psi")) == {f"x{index}" for index in range(wide - PUBLISHED, wide)}
    assert set(one.found("missing_share")) == set(one.found("psi"))


def test_a_version_without_watched_inputs_is_told_of_by_its_rows_alone(one: Watched) -> None:
    one.window.add(Sample(Population("churn", "1.0.0-a", "a", [], [], []), 5, []))
    assert one.found("rows") == {"1.0.0-a": 5}
    assert one.found("psi") == {}
