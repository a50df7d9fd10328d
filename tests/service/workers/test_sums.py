"""The metrics of several processes as one: what is counted never falls, whoever ends."""

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from modelroll_server.workers.accounts import families
from modelroll_server.workers.messages import Family
from modelroll_server.workers.sums import Sums


def counted(requests: int, waiting: int) -> list[Family]:
    """The metrics of a process that has answered some requests, and has others waiting."""
    registry = CollectorRegistry()
    counter = Counter("answers", "Answers", ("status",), registry=registry)
    seconds = Histogram("seconds", "Seconds", buckets=(1.0,), registry=registry)
    for _ in range(requests):
        counter.labels("200").inc()
        seconds.observe(0.5)
    Gauge("waiting", "Waiting", registry=registry).set(waiting)
    return families(registry.collect())


def values(sums: Sums) -> dict[str, float]:
    """Every sample by its name and bucket; the time that a process began to count is none of it."""
    samples = [sample for metric in sums.collect() for sample in metric.samples]
    found = {one.name + one.labels.get("le", ""): one.value for one in samples if not one.name.endswith("_created")}
    assert len(found) == len([one for one in samples if not one.name.endswith("_created")])
    return found


def test_counters_and_histograms_are_those_of_all_and_gauges_of_those_that_are_there() -> None:
    sums = Sums()
    sums.report(0, counted(3, 5))
    sums.report(1, counted(4, 7))
    everything = {"answers_total": 7, "seconds_bucket1.0": 7, "seconds_bucket+Inf": 7, "seconds_count": 7}
    assert values(sums) == {**everything, "seconds_sum": 3.5, "waiting": 12}
    sums.end(0)
    assert values(sums) == {**everything, "seconds_sum": 3.5, "waiting": 7}
    sums.report(0, counted(1, 1))
    assert values(sums)["answers_total"] == 8


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 3) | st.none()), max_size=30))
def test_no_counter_ever_falls_and_none_is_counted_twice(events: list[tuple[int, int | None]]) -> None:
    sums, alive, ended, before = Sums(), dict.fromkeys(range(3), 0), 0, 0.0
    for worker, more in events:
        if more is None:
            sums.end(worker)
            ended += alive[worker]
            alive[worker] = 0
        else:
            alive[worker] += more
            sums.report(worker, counted(alive[worker], 0))
        found = values(sums).get("answers_total", 0.0)
        assert found >= before
        assert found == ended + sum(alive.values())
        before = found
