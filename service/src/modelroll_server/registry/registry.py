"""Which version is live: what requests read.

Owns the atomic swap: one assignment. A request reads `live` once and keeps what it got. Loads nothing itself.
"""

import dataclasses
from typing import TYPE_CHECKING, Any

from modelroll_server import errors
from modelroll_server.registry.record import Record
from modelroll_server.registry.target import Target
from modelroll_server.registry.version import Version
from modelroll_server.telemetry.metrics import Metrics

if TYPE_CHECKING:
    from modelroll_server.registry.beside import Beside


class Registry(Record):
    """The state of one process that answers.

    Attributes:
        live: The version that answers, or None.
        beside: The candidate beside it, or None.
    """

    def __init__(self, metrics: Metrics, *, model: str | None = None, lazy: bool = False) -> None:
        super().__init__(metrics, model=model, lazy=lazy)
        self.live: Version | None = None
        self.beside: Beside | None = None

    @property
    def is_live(self) -> bool:
        """Whether a version answers."""
        return self.live is not None

    async def obtain(self) -> Version:
        """The live version; callers of a server that starts, or is lazy, wait for the first one together.

        A container that was killed and is back is asked before the cluster knows that it has nothing loaded.

        Raises:
            errors.NotReady: there is none; the message says why.
        """
        while self.live is None:
            self.asked.set()
            if not (self._may_load_now() if self.is_lazy else self.is_starting):
                raise errors.NotReady(self._why_not())
            self._outcome.clear()  # whatever it said, nothing is live; to wait for the past would never end
            await self._outcome.wait()
        return self.live

    def swap(self, version: Version, want: Target, *, is_warm: bool = False) -> None:
        """Make `version` live. Requests that started on the one before finish on it.

        Args:
            version: What shall answer.
            want: Who asked for it.
            is_warm: It was in memory, so that there was nothing to load.
        """
        self.live, self.beside = version, None
        self.serve(dataclasses.replace(version.served, seconds=0.0) if is_warm else version.served, want)

    def _candidate_document(self) -> dict[str, Any] | None:
        return None if self.beside is None else self.beside.document()

    def _may_load_now(self) -> bool:
        return self._failure is None or self._loading is not None

    def _why_not(self) -> str:
        if self._failure is None:
            return "no model is loaded yet"
        # The reason is for callers; the message may name paths and is for /status.
        return f"no model is loaded: {self._failure['reason']}"
