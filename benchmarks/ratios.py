"""From samples to what is said about them: medians over rounds, and ratios taken within each round."""

import statistics
from collections.abc import Callable, Iterable

from benchmarks import results

Measure = Callable[[results.Sample], float]


def rate(sample: results.Sample) -> float:
    """Good answers a second."""
    return sample.load.rate


def rate_of_cpu(sample: results.Sample) -> float:
    """Good answers a second of processor time: what is left of the rate when others took the core for a while."""
    return sample.load.rate * sample.load.seconds / max(sample.cpu_seconds, 0.001)


def core(sample: results.Sample) -> float:
    """Share of its core that the server used: well below 1, and it was the load or somebody else that was too slow."""
    return sample.cpu_seconds / sample.load.seconds


def p50(sample: results.Sample) -> float:
    """Milliseconds."""
    return sample.load.latency_ms.p50


def p99(sample: results.Sample) -> float:
    """Milliseconds."""
    return sample.load.latency_ms.p99


def rounds(run: results.Run, subject: str, model: str, connections: int) -> dict[int, results.Sample]:
    """What one subject did, by round."""
    return {
        sample.round: sample
        for sample in run.samples
        if (sample.subject, sample.model, sample.connections) == (subject, model, connections)
    }


def median(run: results.Run, measure: Measure, subject: str, model: str, connections: int) -> float | None:
    """Of the rounds; None when it was not measured."""
    found = [measure(sample) for sample in rounds(run, subject, model, connections).values()]
    return statistics.median(found) if found else None


def errors(run: results.Run, subject: str, model: str, connections: int) -> int:
    """Of all rounds together."""
    return sum(sample.load.errors.total for sample in rounds(run, subject, model, connections).values())


def by_round(
    run: results.Run, measure: Measure, subject: str, other: str, model: str, connections: int, *, minus: bool = False
) -> list[float]:
    """`subject / other` (or `subject - other`) in each round that has both, the smallest first."""
    ours, theirs = (rounds(run, name, model, connections) for name in (subject, other))
    pairs = [(measure(ours[one]), measure(theirs[one])) for one in ours.keys() & theirs.keys()]
    return sorted(one - two if minus else one / two for one, two in pairs if minus or two > 0)


def compared(
    run: results.Run, measure: Measure, subject: str, other: str, model: str, connections: int, *, minus: bool = False
) -> float | None:
    """The median of `by_round`; None when either was not measured."""
    found = by_round(run, measure, subject, other, model, connections, minus=minus)
    return statistics.median(found) if found else None


def fastest(run: results.Run, names: Iterable[str], model: str, connections: int) -> tuple[str, float] | None:
    """The one of these with the highest median rate, and that rate."""
    found = [(name, median(run, rate, name, model, connections)) for name in names]
    return max(((name, value) for name, value in found if value), key=lambda one: one[1], default=None)


def middle(values: Iterable[float]) -> float:
    """The median."""
    return statistics.median(list(values))
