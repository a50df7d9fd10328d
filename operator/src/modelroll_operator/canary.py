"""A candidate that is judged: what a ModelVersion asks of it, what pods say of it, and what follows from that. Pure.

Owns the limits and the sentences of a verdict. Knows nothing of rollouts.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields
from typing import Any, Literal

_DURATION = re.compile(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?")
_SECONDS = (3600, 60, 1)


@dataclass(frozen=True, slots=True)
class Numbers:
    """What became of rows, in one pod or in all; seconds are those of computing what was compared.

    Attributes:
        answered: Asked for by callers, and answered by the candidate.
        failed: That the candidate raised on, and the live version does not.
        compared: Answered by both.
        disagreed: Of those, where they predict differently.
        live_seconds: That the live version took.
        candidate_seconds: That the candidate took for the same.
        requests: Whose rows these are.
        comparisons: Requests whose rows are among those compared.
    """

    answered: int = 0
    failed: int = 0
    compared: int = 0
    disagreed: int = 0
    live_seconds: float = 0.0
    candidate_seconds: float = 0.0
    requests: int = 0
    comparisons: int = 0

    @property
    def rows(self) -> int:
        """How many rows say anything."""
        return self.answered + self.failed + self.compared

    @property
    def error_rate(self) -> float:
        """The share of rows that it raised on."""
        return self.failed / self.rows if self.rows else 0.0

    @property
    def disagreement(self) -> float:
        """The share of compared rows that it predicts differently."""
        return self.disagreed / self.compared if self.compared else 0.0

    @property
    def latency_ratio(self) -> float | None:
        """Its computing time to the live version's; None while nothing was compared."""
        return self.candidate_seconds / self.live_seconds if self.live_seconds else None


def total(found: Iterable[Numbers]) -> Numbers:
    """The sums over several pods."""
    listed = list(found)
    return Numbers(**{field.name: sum(getattr(one, field.name) for one in listed) for field in fields(Numbers)})


@dataclass(frozen=True, slots=True)
class Stage:
    """One part of a canary.

    Attributes:
        percent: Of the requests that the candidate answers.
        seconds: That it lasts at least.
        min_requests: Requests without which there is no verdict.
    """

    percent: float
    seconds: float
    min_requests: int


@dataclass(frozen=True, slots=True)
class Analysis:
    """The limits that a candidate has to keep."""

    max_error_rate: float = 0.0
    max_latency_ratio: float = 1.5
    max_disagreement: float = 1.0


@dataclass(frozen=True, slots=True)
class Canary:
    """The whole of it: one stage after the other."""

    stages: tuple[Stage, ...]
    analysis: Analysis


@dataclass(frozen=True, slots=True)
class Verdict:
    """What follows from the numbers of one stage."""

    kind: Literal["passed", "failed", "open"]
    reason: str = ""
    message: str = ""


def read(spec: dict[str, Any] | None) -> Canary | None:
    """`spec.strategy.canary` as the CRD has it; None where there is none."""
    if not spec:
        return None
    limits = spec.get("analysis") or {}
    few = limits.get("minRequests", 100)
    shadow = spec.get("shadow")
    stages = (
        [] if shadow is None else [Stage(0.0, seconds(shadow.get("duration", "60s")), shadow.get("minRequests", few))]
    )
    stages += [Stage(float(one["percent"]), seconds(one["duration"]), few) for one in spec.get("steps") or []]
    analysis = Analysis(
        limits.get("maxErrorRate", 0.0), limits.get("maxLatencyRatio", 1.5), limits.get("maxDisagreement", 1.0)
    )
    return Canary(tuple(stages), analysis) if stages else None


def seconds(duration: str) -> float:
    """A duration such as 90s, 5m or 1h30m.

    Raises:
        ValueError: It is none.
    """
    found = _DURATION.fullmatch(duration)
    if not duration or found is None:
        raise ValueError(f"{duration!r} is no duration such as 90s, 5m or 1h30m")
    return float(sum(int(part) * unit for part, unit in zip(found.groups(), _SECONDS, strict=True) if part))


def verdict(numbers: Numbers, stage: Stage, analysis: Analysis, elapsed: float) -> Verdict:
    """What follows from what was seen in `elapsed` seconds of a stage.

    A limit that is passed ends it at once, as soon as there are requests enough to say so: of those compared, for what
    is said of comparing. With fewer it is no verdict yet, and nothing is promoted against what few of them say.
    """
    is_over = elapsed >= stage.seconds
    for reason, sentence, requests in _exceeded(numbers, analysis):
        if requests >= stage.min_requests:
            return Verdict("failed", reason, sentence)
        few = f"{sentence}; a verdict takes {stage.min_requests}"
        return Verdict("open", "CanaryInconclusive", few) if is_over else Verdict("open")
    if not is_over:
        return Verdict("open")
    if numbers.requests < stage.min_requests:
        few = f"its time is over, and {stage.min_requests} requests are wanted"
        return Verdict("open", "CanaryInconclusive", few)
    return Verdict("passed")


def _exceeded(numbers: Numbers, analysis: Analysis) -> Iterator[tuple[str, str, int]]:
    """The limits that are passed: the reason, a sentence, and how many requests say so; most of them first."""
    ratio = numbers.latency_ratio or 0.0
    checks = (
        ("CanaryErrors", "it raised on", numbers.error_rate, analysis.max_error_rate, "of rows", numbers.requests),
        (
            "CanaryDisagrees",
            "it disagrees on",
            numbers.disagreement,
            analysis.max_disagreement,
            "of rows",
            numbers.comparisons,
        ),
        ("CanarySlower", "it takes", ratio, analysis.max_latency_ratio, "times as long", numbers.comparisons),
    )
    for reason, what, found, limit, unit, requests in checks:
        if found > limit:
            yield reason, f"{what} {found:.3g} {unit}, where {limit:g} is allowed ({requests} requests)", requests


def sentence(canary: Canary, index: int, numbers: Numbers) -> str:
    """Where it stands, for people."""
    stage = canary.stages[index]
    does = f"answers {stage.percent:g}% of requests" if stage.percent else "is compared in the shadow"
    said = f"stage {index + 1} of {len(canary.stages)}, it {does}: {numbers.requests} requests"
    said += f", errors {numbers.error_rate:.3g}"
    if numbers.compared:
        said += f", disagreement {numbers.disagreement:.3g}, latency ratio {numbers.latency_ratio or 0:.2f}"
    return said
