"""Counters that one thread reads while another makes a series."""

from modelroll_server.telemetry.tally import Counts


def test_a_series_that_is_made_while_others_are_read_comes_with_the_next_read() -> None:
    class Late(str):  # what `collect` hashes for each series
        __slots__ = ()

        def __hash__(self) -> int:
            counts.labels("late")
            return hash(str(self))

    counts = Counts("requests", "Requests", (Late("caller"),))
    counts.labels("shop").value += 2
    counts.labels("desk").value += 1
    (family,) = counts.collect()
    assert [sample.value for sample in family.samples] == [2, 1]
    counts.labels("late").value += 1
    (family,) = counts.collect()
    assert [sample.value for sample in family.samples] == [2, 1, 1]
