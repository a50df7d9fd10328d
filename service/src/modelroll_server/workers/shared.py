"""The record of a parent, whose workers hear of it what they tell their callers while nothing is live."""

from typing import TYPE_CHECKING

from modelroll_server import errors
from modelroll_server.registry.record import Record
from modelroll_server.registry.target import Snapshot, Target
from modelroll_server.telemetry.metrics import Metrics
from modelroll_server.workers.messages import Begin, Failed, Order, Refuse, See

if TYPE_CHECKING:
    from collections.abc import Callable


class SharedRecord(Record):
    """A record that tells its news.

    Attributes:
        tell: How.
    """

    def __init__(self, metrics: Metrics, *, model: str | None = None, lazy: bool = False) -> None:
        super().__init__(metrics, model=model, lazy=lazy)
        self.tell: Callable[[Order], None] = lambda _: None
        self._refusal: Refuse | None = None

    def see(self, snapshot: Snapshot) -> None:
        """Take note of a reading."""
        is_news = snapshot != self._snapshot
        super().see(snapshot)
        if is_news:
            self.tell(See(snapshot))

    def begin(self, want: Target) -> None:
        """Take note that a load begins."""
        super().begin(want)
        self.tell(Begin(want))

    def refuse(self, want: Target, error: errors.LoadError, *, for_good: bool) -> None:
        """Report a failure."""
        super().refuse(want, error, for_good=for_good)
        self._refusal = Refuse(want, Failed.of(error), for_good)
        self.tell(self._refusal)

    def so_far(self) -> list[Order]:
        """What a new worker is told."""
        refusal: list[Order] = [] if self._refusal is None else [self._refusal]
        return [See(self._snapshot), *refusal]
