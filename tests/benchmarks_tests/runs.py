"""Runs of the benchmarks as values, for the tests of what is said about them."""

from benchmarks import results
from benchmarks.machine import Machine, Source


def load(rate: float, *, p50: float = 1.0, p99: float = 10.0, refused: int = 0) -> results.Load:
    """Two seconds of load with that many good answers a second."""
    return results.Load(
        answers=int(rate * 2) + refused,
        seconds=2.0,
        errors=results.Errors(status=refused),
        latency_ms=results.Latency(p50, p99, p99, p99),
    )


def sample(number: int, subject: str, rate: float, *, connections: int = 64, **more: float) -> results.Sample:
    """One turn of a subject with the logistic regression, which used half a core."""
    model = "logistic"
    refused = int(more.pop("refused", 0))
    return results.Sample(number, subject, model, connections, load(rate, refused=refused, **more), cpu_seconds=1.0)


def run(*samples: results.Sample) -> results.Run:
    """A run that found these."""
    names = dict.fromkeys(one.subject for one in samples)
    return results.Run(
        began="2026-01-01T00:00:00Z",
        seconds={"64": 2.0},
        machine=Machine("a processor", 2, 8.0, "Linux"),
        source=Source("0" * 40, changed=False),
        versions={"python": "3.11.7"},
        subjects=[results.Subject(name, f"what {name} is") for name in names],
        samples=list(samples),
    )
