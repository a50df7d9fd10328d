"""How the two runtimes are asked, and how long."""

import time
from collections.abc import Sequence
from dataclasses import dataclass

from modelroll_server.runtimes.base import Runtime
from modelroll_server.schema import Row, Schema
from modelroll_server.tensors import Outputs, Table

BATCH = 32
_SHOWN = 3


class Budget:
    """The seconds of one check. Stages have a share of it, and what one leaves the next has."""

    def __init__(self, seconds: float) -> None:
        self._began = time.monotonic()
        self.seconds = seconds

    @property
    def spent(self) -> float:
        """Seconds since the beginning."""
        return time.monotonic() - self._began

    def is_over(self, share: float = 1.0) -> bool:
        """Whether this share of the seconds has passed."""
        return self.spent >= share * self.seconds


@dataclass(frozen=True, slots=True)
class Raised:
    """A runtime raised: what it said, by the row's index. Not every row that it raises on is here."""

    rows: dict[int, str]


def reference(runtime: Runtime, table: Table) -> Outputs | Raised:
    """The answers of scikit-learn, in one call; if that raises, some of the rows at fault."""
    try:
        return runtime.predict(table)
    except Exception as error:  # noqa: BLE001 - a model raises what it likes
        found: dict[int, str] = {}
        _find(runtime, table, 0, f"{type(error).__name__}: {error}", found)
        return Raised(found)


def _find(runtime: Runtime, table: Table, start: int, message: str, found: dict[int, str]) -> None:
    """Add the rows of a table on which the runtime raises, by halves."""
    if table.rows == 1:
        found[start] = message
        return
    middle = table.rows // 2
    for first, last in ((0, middle), (middle, table.rows)):
        if len(found) >= _SHOWN:
            return
        half = table.slice(first, last)
        try:
            runtime.predict(half)
        except Exception as error:  # noqa: BLE001 - a model raises what it likes
            _find(runtime, half, start + first, f"{type(error).__name__}: {error}", found)


def compiled(runtime: Runtime, schema: Schema, rows: Sequence[Row], batch: int) -> Outputs | Raised:
    """The answers of the compiled model to decoded rows, as the server asks it: by batches of so many."""
    answered: list[Outputs] = []
    for start in range(0, len(rows), batch):
        table = schema.table(rows[start : start + batch])
        try:
            answered.append(runtime.predict(table))
        except Exception as error:  # noqa: BLE001 - a model raises what it likes
            found: dict[int, str] = {}
            _find(runtime, table, start, f"{type(error).__name__}: {error}", found)
            return Raised(found or {start: f"{type(error).__name__}: {error}"})
    return Outputs.concat(answered)
