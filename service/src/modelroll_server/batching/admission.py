"""How many rows may wait, of all versions together."""

from modelroll_server import errors
from modelroll_server.telemetry.metrics import Metrics

MAX_QUEUED_ROWS = 4_096


class Admission:
    """Counts the rows that wait. A request alone may be larger than the bound; what computes is no longer counted."""

    def __init__(self, metrics: Metrics, max_rows: int = MAX_QUEUED_ROWS) -> None:
        self._metrics = metrics
        self._max_rows = max_rows

    def is_full(self, rows: int) -> bool:
        """Whether so many more are too many."""
        waiting = self._metrics.queued_rows
        return waiting > 0 and waiting + rows > self._max_rows

    def refuse(self) -> errors.Overloaded:
        """The error for who comes too late."""
        return errors.Overloaded(f"{self._metrics.queued_rows} rows are waiting already")

    def enter(self, rows: int) -> None:
        """Rows begin to wait."""
        self._metrics.queued_rows += rows

    def leave(self, rows: int) -> None:
        """Rows are being computed, or given up."""
        self._metrics.queued_rows -= rows
