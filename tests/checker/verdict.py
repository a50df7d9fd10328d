"""What a run's requests come to: failed, wrong, illegal, by version, how fast. Pure."""

import math
from array import array
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

Record = dict[str, Any]
Timeline = Sequence[tuple[float, frozenset[str]]]
Window = tuple[float, float]
"""From and until when, in seconds, as time.time() has them."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """The sum of a run.

    Attributes:
        requests: How many were sent.
        failed: Those with no answer, a status other than 200, a wrong answer, or a connection that was cut while nobody
            had killed a process.
        illegal: Those that a version answered which was not legal at any instant between start and end.
        cut: How many were refused a connection, or had it cut, by a kill, and were answered when sent once more.
        cut_by: The same, by the kind of error that each first got.
        by_version: How many each version answered.
        digests: Every digest that each version answered under.
        p50: Milliseconds; of those that were answered.
        p99: The same.
    """

    requests: int
    failed: tuple[Record, ...]
    illegal: tuple[Record, ...]
    cut: int
    cut_by: dict[str, int]
    by_version: dict[str, int]
    digests: dict[str, frozenset[str]]
    p50: float
    p99: float


def judge(records: Iterable[Record], timeline: Timeline, kills: Sequence[Window] = ()) -> Verdict:
    """Judge a run, in one pass: a long one has more records than anybody wants to hold.

    Args:
        records: What `client` printed.
        timeline: From which moment on which versions were legal, oldest first.
        kills: While a process that was killed may have cut connections. A cut at any other moment is a failure, even
            where the second try was answered.
    """
    failed: list[Record] = []
    illegal: list[Record] = []
    times = array("d")
    by_version: Counter[str] = Counter()
    digests: dict[str, set[str]] = {}
    cut_by: Counter[str] = Counter()
    requests = 0
    moments = [moment for moment, _ in timeline]
    for one in records:
        requests += 1
        moment = one.get("cut")
        if not one["ok"] or not (moment is None or is_within(kills, moment)):
            failed.append(one)
            continue
        if moment is not None:
            cut_by[str(one.get("cut_by")).partition(":")[0]] += 1
        times.append(one["ms"])
        by_version[one["version"]] += 1
        digests.setdefault(one["version"], set()).add(one["digest"])
        if one["version"] not in _legal_within(timeline, moments, one["start"], one["end"]):
            illegal.append(one)
    ordered = sorted(times)
    return Verdict(
        requests=requests,
        failed=tuple(failed),
        illegal=tuple(illegal),
        cut=cut_by.total(),
        cut_by=dict(sorted(cut_by.items())),
        by_version=dict(sorted(by_version.items())),
        digests={version: frozenset(digests[version]) for version in sorted(digests)},
        p50=percentile(ordered, 50),
        p99=percentile(ordered, 99),
    )


def is_within(windows: Iterable[Window], moment: float) -> bool:
    """Whether a moment lies in one of the windows."""
    return any(start <= moment <= end for start, end in windows)


def legal_within(timeline: Timeline, start: float, end: float) -> frozenset[str]:
    """All versions that were legal at some instant from `start` to `end`."""
    return _legal_within(timeline, [moment for moment, _ in timeline], start, end)


def _legal_within(timeline: Timeline, moments: Sequence[float], start: float, end: float) -> frozenset[str]:
    first = max(bisect_right(moments, start) - 1, 0)
    last = bisect_right(moments, end)
    return frozenset().union(*(versions for _, versions in timeline[first:last]))


def percentile(ordered: Sequence[float], percent: float) -> float:
    """The smallest value that `percent` of the values do not exceed; NaN of nothing."""
    if not ordered:
        return math.nan
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)]
