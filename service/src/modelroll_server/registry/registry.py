"""Which version is live: what requests read.

Owns the atomic swap: one assignment. A request reads `live` once and keeps what it got. Loads nothing itself.
"""

from modelroll_server import errors
from modelroll_server.registry.record import Record
from modelroll_server.registry.target import Target
from modelroll_server.registry.version import Version
from modelroll_server.telemetry.metrics import Metrics


class Registry(Record):
    """The state of one process that answers.

    Attributes:
        live: The version that answers, or None.
    """

    def __init__(self, metrics: Metrics, *, model: str | None = None, lazy: bool = False) -> None:
        super().__init__(metrics, model=model, lazy=lazy)
        self.live: Version | None = None

    @property
    def is_live(self) -> bool:
        """Whether a version answers."""
        return self.live is not None

    async def obtain(self) -> Version:
        """The live version; on a lazy server the first callers wait for it together.

        Raises:
            errors.NotReady: there is none; the message says why.
        """
        while self.live is None:
            self.asked.set()
            if not self.is_lazy or (self._failure is not None and self._loading is None):
                raise errors.NotReady(self._why_not())
            self._outcome.clear()  # whatever it said, nothing is live; to wait for the past would never end
            await self._outcome.wait()
        return self.live

    def swap(self, version: Version, want: Target) -> None:
        """Make `version` live. Requests that started on the one before finish on it."""
        self.live = version
        self.serve(version.served, want)

    def _why_not(self) -> str:
        if self._failure is None:
            return "no model is loaded yet"
        # The reason is for callers; the message may name paths and is for /status.
        return f"no model is loaded: {self._failure['reason']}"
