"""What a run's requests come to: failed, wrong, illegal, by version, how fast. Pure."""

import math
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

Record = dict[str, Any]
Timeline = Sequence[tuple[float, frozenset[str]]]


@dataclass(frozen=True, slots=True)
class Verdict:
    """The sum of a run.

    Attributes:
        requests: How many were sent.
        failed: Those with no answer, with a status other than 200, or with a wrong answer.
        illegal: Those that a version answered which was not legal at any instant between start and end.
        by_version: How many each version answered.
        digests: Every digest that each version answered under.
        p50: Milliseconds; of those that were answered.
        p99: The same.
    """

    requests: int
    failed: tuple[Record, ...]
    illegal: tuple[Record, ...]
    by_version: dict[str, int]
    digests: dict[str, frozenset[str]]
    p50: float
    p99: float


def judge(records: Iterable[Record], timeline: Timeline) -> Verdict:
    """Judge a run.

    Args:
        records: What `client` printed.
        timeline: From which moment on which versions were legal, oldest first.
    """
    listed = list(records)
    answered = [one for one in listed if one["ok"]]
    times = sorted(one["ms"] for one in answered)
    return Verdict(
        requests=len(listed),
        failed=tuple(one for one in listed if not one["ok"]),
        illegal=tuple(
            one for one in answered if one["version"] not in legal_within(timeline, one["start"], one["end"])
        ),
        by_version=dict(sorted(Counter(one["version"] for one in answered).items())),
        digests={
            version: frozenset(one["digest"] for one in answered if one["version"] == version)
            for version in sorted({one["version"] for one in answered})
        },
        p50=percentile(times, 50),
        p99=percentile(times, 99),
    )


def legal_within(timeline: Timeline, start: float, end: float) -> frozenset[str]:
    """All versions that were legal at some instant from `start` to `end`."""
    moments = [moment for moment, _ in timeline]
    first = max(bisect_right(moments, start) - 1, 0)
    last = bisect_right(moments, end)
    return frozenset().union(*(versions for _, versions in timeline[first:last]))


def percentile(ordered: Sequence[float], percent: float) -> float:
    """The smallest value that `percent` of the values do not exceed; NaN of nothing."""
    if not ordered:
        return math.nan
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)]
