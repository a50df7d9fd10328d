"""How many rows may wait, of all versions together."""

from dataclasses import dataclass

from modelroll_server import errors

MAX_QUEUED_ROWS = 4_096


@dataclass(slots=True)
class Admission:
    """Counts the rows that wait. A request alone may be larger than the bound; what computes is no longer counted.

    Attributes:
        max_rows: The bound.
        rows: How many wait; who adds rows takes them away again.
    """

    max_rows: int = MAX_QUEUED_ROWS
    rows: int = 0

    def is_full(self, rows: int) -> bool:
        """Whether so many more are too many."""
        return self.rows > 0 and self.rows + rows > self.max_rows

    def refuse(self) -> errors.Overloaded:
        """The error for who comes too late."""
        return errors.Overloaded(f"{self.rows} rows are waiting already")
