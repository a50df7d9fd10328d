"""What a candidate in the shadow costs the requests that the live version answers.

Windows of load with the candidate and without it, one after the other: a ratio is taken of two neighbours.
"""

import statistics
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import models, moves, process, rounds
from benchmarks.subjects import ours

CONNECTIONS = (1, 16, 64)
WINDOW_SECONDS = 3
PAIRS = 5


@dataclass(frozen=True)
class Cost:
    """At one number of connections, medians over the pairs.

    Attributes:
        connections: How many.
        p50: With the candidate to without.
        p99: The same.
        rate: The same, of answers a second.
        compared: Share of the rows that were compared.
        failed: Requests without a good answer.
    """

    connections: int
    p50: float
    p99: float
    rate: float
    compared: float
    failed: int


def measure(name: str) -> list[Cost]:
    """The costs, by number of connections."""
    model = models.open_model(name)
    subject = ours.Following()
    with rounds.ready(subject, model) as (server, port, scratch):
        mover = _Mover(server, scratch / "targets", model.name, subject.versions)
        found = []
        for connections in CONNECTIONS:
            pairs, compared, asked, failed = [], 0, 0, 0
            for _ in range(PAIRS):
                mover.move(shadow=False)
                without = subject.load(port, model, connections, WINDOW_SECONDS, scratch)
                mover.move(shadow=True)
                beside = subject.load(port, model, connections, WINDOW_SECONDS, scratch)
                compared += mover.compared()
                asked += beside.answers
                failed += without.errors.total + beside.errors.total
                pairs.append((beside, without))
            found.append(
                Cost(
                    connections=connections,
                    p50=statistics.median(one.latency_ms.p50 / other.latency_ms.p50 for one, other in pairs),
                    p99=statistics.median(one.latency_ms.p99 / other.latency_ms.p99 for one, other in pairs),
                    rate=statistics.median(one.rate / other.rate for one, other in pairs),
                    compared=compared / max(1, asked),
                    failed=failed,
                )
            )
        return found


class _Mover:
    """Has a candidate beside the live version, in the shadow, or none."""

    def __init__(self, server: process.ServerProcess, targets: Path, model: str, versions: tuple[str, str]) -> None:
        self._moves = moves.Moves(server, targets)
        self._live, self._candidate = ({"path": f"{model}/{version}", "version": version} for version in versions)

    def move(self, *, shadow: bool) -> None:
        """To a candidate in the shadow, or to none.

        Raises:
            moves.NotThere: The server did not follow.
        """
        beside = {"candidate": {**self._candidate, "percent": 0, "shadow": True}} if shadow else {}
        self._moves.move({**self._live, **beside}, self._has_candidate if shadow else self._has_none)

    def _has_candidate(self, status: Any) -> bool:
        return status["candidate"] is not None and status["candidate"]["revision"] == self._moves.revision

    def _has_none(self, status: Any) -> bool:
        return status["candidate"] is None

    def compared(self) -> int:
        """Rows that were compared so far."""
        return int(self._moves.status()["candidate"]["numbers"]["compared"])
