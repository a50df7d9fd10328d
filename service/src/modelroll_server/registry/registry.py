"""Which version is live, since when and why: the state that requests and `/status` read.

Owns the atomic swap: one assignment. A request reads `live` once and keeps what it got. Loads nothing itself.
"""

import asyncio
import datetime as dt
from typing import Any

import structlog

from modelroll_server import errors
from modelroll_server.registry import target as targets
from modelroll_server.registry.target import Content, Live, Snapshot, Target
from modelroll_server.registry.version import Version
from modelroll_server.telemetry.metrics import Metrics

_log = structlog.get_logger(__name__)


class Registry:
    """The state of one server.

    Attributes:
        live: The version that answers, or None.
        refused: Revisions that failed and are not tried again while something is live.
    """

    def __init__(self, metrics: Metrics, *, model: str | None = None, lazy: bool = False) -> None:
        self.live: Version | None = None
        self.refused: frozenset[int] = frozenset()
        self.draining = False
        self.asked = asyncio.Event()
        self._model = model
        self._metrics = metrics
        self._lazy = lazy
        self._content = Content()
        self._revision = -1
        self._snapshot = Snapshot()
        self._loading: Target | None = None
        self._failure: dict[str, Any] | None = None
        self._outcome = asyncio.Event()
        self._reloads = {"succeeded": 0, "failed": 0}

    @property
    def is_lazy(self) -> bool:
        """Whether loading waits for the first request: only MODEL_PATH may wait."""
        want = targets.base(self._snapshot)
        return self._lazy and want is not None and want.source == "env"

    @property
    def is_ready(self) -> bool:
        """Whether requests are answered; a lazy server is ready by choice."""
        return self.live is not None or self.is_lazy

    @property
    def model(self) -> str:
        """The model's name, as far as it is known."""
        return self.live.model if self.live is not None else self._model or "model"

    def position(self) -> Live | None:
        """What is live in the words of a target, at the highest revision that says so."""
        return None if self.live is None else Live(self._content, self._revision)

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

    def see(self, snapshot: Snapshot) -> None:
        """Take note of a reading."""
        self._snapshot = snapshot

    def begin(self, want: Target) -> None:
        """Take note that a load begins."""
        self._loading = want
        # What failed is tried again every second or so: that is no news, and would bury why it failed.
        again = self._failure is not None and self._failure["revision"] == want.revision
        (_log.debug if again else _log.info)("loading", **_named(want))

    def abandon(self) -> None:
        """Take note that a load ended and is not wanted any more."""
        self._loading = None
        self._outcome.set()

    def swap(self, version: Version, want: Target) -> None:
        """Make `version` live. Requests that started on the one before finish on it."""
        self.live = version
        self._content = version.content
        self._loading = None
        self._reloads["succeeded"] += 1
        self._metrics.reloads.labels("succeeded").inc()
        self._metrics.load_time.labels(version.model, version.number).observe(version.seconds)
        self._arrive(want)
        self._outcome.set()
        _log.info("live", seconds=round(version.seconds, 3), **_named(want))

    def adopt(self, want: Target) -> None:
        """Take over a revision whose content is live already."""
        self._arrive(want)
        _log.info("adopted", **_named(want))

    def refuse(self, want: Target, error: errors.LoadError, *, for_good: bool) -> None:
        """Report a failure; `for_good` means that the revision is not tried again."""
        self._loading = None
        news = self._failure is None or (
            self._failure["revision"],
            self._failure["reason"],
            self._failure["message"],
        ) != (
            want.revision,
            error.reason,
            error.message,
        )
        if news:
            self._reloads["failed"] += 1
            self._metrics.reloads.labels(error.reason).inc()
            self._failure = _failure(want.revision, error)
            details = {name: self._failure[name] for name in ("reason", "message", "expected", "found")}
            _log.warning("refused", **details, tried_again=not for_good, **_named(want))
        if for_good:
            self.refused |= {want.revision}
        self._outcome.set()

    def status(self) -> dict[str, Any]:
        """The document of `/status`, without the pod and the count of requests."""
        snapshot = self._snapshot
        want = targets.base(snapshot) if self.live is None else targets.wanted(snapshot)
        settled = snapshot.settled
        return {
            "model": self.model,
            "state": self._state(),
            "ready": self.is_ready,
            "live": self._live_document(),
            "wanted": None if want is None else {**_content_document(want.content), **_origin(want)},
            "settled_revision": None if settled is None else settled.revision,
            "failure": self._failure or self._invalid(),
            "reloads": dict(self._reloads),
        }

    def _state(self) -> str:
        if self.draining:
            return "draining"
        if self._loading is not None:
            return "loading"
        if self.live is None:
            return "waiting"
        return "serving" if self._failure is None else "failed"

    def _live_document(self) -> dict[str, Any] | None:
        if self.live is None:
            return None
        return {
            **_content_document(self._content),
            "revision": self._revision,
            "runtime": self.live.runtime.kind,
            "loaded": self.live.loaded,
        }

    def _invalid(self) -> dict[str, Any] | None:
        if not self._snapshot.invalid:
            return None
        return _failure(-1, errors.TargetInvalid("; ".join(self._snapshot.invalid)))

    def _arrive(self, want: Target) -> None:
        assert self.live is not None
        self._revision = want.revision
        found = self._content
        self._content = Content(found.version, want.content.path or found.path, found.digest, want.content.env)
        if self._failure is not None and self._failure["revision"] <= want.revision:
            self._failure = None
        live = self.live
        self._metrics.live(
            {
                "model": live.model,
                "model_version": live.number,
                "digest": live.digest,
                "runtime": live.runtime.kind,
                "revision": str(want.revision),
            }
        )

    def _why_not(self) -> str:
        if self._failure is None:
            return "no model is loaded yet"
        # The reason is for callers; the message may name paths and is for /status.
        return f"no model is loaded: {self._failure['reason']}"


def _failure(revision: int, error: errors.LoadError) -> dict[str, Any]:
    return {
        "revision": revision,
        "reason": error.reason,
        "message": error.message,
        "expected": error.expected,
        "found": error.found,
        "since": dt.datetime.now(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
    }


def _content_document(content: Content) -> dict[str, Any]:
    return {"version": content.version, "path": content.path, "digest": content.digest, "env": content.env}


def _origin(want: Target) -> dict[str, Any]:
    return {"revision": want.revision, "source": want.source}


def _named(want: Target) -> dict[str, Any]:
    return {
        "revision": want.revision,
        "source": want.source,
        "version": want.content.version,
        "path": want.content.path,
    }
