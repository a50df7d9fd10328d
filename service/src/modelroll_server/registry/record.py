"""What is told, what is live and what failed, in words: the state behind `/status`, without a model in it.

Owns the document and every transition of it. One process's `Registry` adds the version that answers; the parent of
several workers has this alone.
"""

import asyncio
import dataclasses
import datetime as dt
from typing import Any

import structlog

from modelroll_server import errors
from modelroll_server.registry import target as targets
from modelroll_server.registry.target import Content, Live, Snapshot, Target
from modelroll_server.telemetry.metrics import Metrics

_log = structlog.get_logger(__name__)


@dataclasses.dataclass(frozen=True)
class Served:
    """A loaded and checked version, described.

    Attributes:
        content: Where it came from, with the version and digest that were found there.
        model: The model's name.
        number: The version, such as `2.0.0`.
        runtime: What computes.
        seconds: How long loading and checking took.
    """

    content: Content
    model: str
    number: str
    digest: str
    runtime: str
    seconds: float


class Record:
    """What one server is told and what it serves.

    Attributes:
        refused: Revisions that failed and are not tried again while something is live.
        draining: Whether the server is on its way out.
        asked: Set when a request came to a lazy server that has nothing loaded.
        short: What keeps a server from being ready although a version is live; None when nothing does.
    """

    def __init__(self, metrics: Metrics, *, model: str | None = None, lazy: bool = False) -> None:
        self.refused: frozenset[int] = frozenset()
        self.draining = False
        self.asked = asyncio.Event()
        self.short: str | None = None
        self._model = model
        self._metrics = metrics
        self._lazy = lazy
        self._served: Served | None = None
        self._since = ""
        self._content = Content()
        self._revision = -1
        self._snapshot = Snapshot()
        self._loading: Target | None = None
        self._failure: dict[str, Any] | None = None
        self._outcome = asyncio.Event()
        self._reloads = {"succeeded": 0, "failed": 0}
        metrics.read_failure(self._failing)

    @property
    def is_live(self) -> bool:
        """Whether a version answers."""
        return self._served is not None

    @property
    def digest(self) -> str | None:
        """Of the version that answers; None where none does."""
        return None if self._served is None else self._served.digest

    @property
    def is_lazy(self) -> bool:
        """Whether loading waits for the first request: only MODEL_PATH may wait."""
        want = targets.base(self._snapshot)
        return self._lazy and want is not None and want.source == "env"

    @property
    def is_ready(self) -> bool:
        """Whether requests are answered; a lazy server is ready by choice."""
        return self.short is None and (self.is_live or self.is_lazy)

    @property
    def model(self) -> str:
        """The model's name, as far as it is known."""
        return self._served.model if self._served is not None else self._model or "model"

    def position(self) -> Live | None:
        """What is live in the words of a target, at the highest revision that says so."""
        return Live(self._content, self._revision) if self.is_live else None

    @property
    def is_starting(self) -> bool:
        """Whether nothing was live yet, and nothing speaks against it."""
        return self._served is None and self._failure is None and not self._snapshot.invalid

    def why_not_ready(self) -> str:
        """What `/readyz` says when it is not."""
        failure = self._failure or self._invalid()
        if failure is not None and not self.is_live:
            return f"{failure['reason']}: {failure['message']}"
        return self.short or "no model is loaded yet"

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

    def accompany(self, want: Target) -> None:
        """Take note that the candidate that is wanted is beside the live version."""
        self._loading = None
        if self._failure is not None and self._failure["revision"] <= want.revision:
            self._failure = None
        assert want.candidate is not None
        asked = want.candidate
        _log.info("beside", percent=asked.percent, shadow=asked.shadow, **_content_document(asked.content))

    def serve(self, served: Served, want: Target) -> None:
        """Take note that a version is live."""
        self._served = served
        self._since = _now()
        self._content = served.content
        self._loading = None
        self._reloads["succeeded"] += 1
        self._metrics.reloads.labels("succeeded").inc()
        self._metrics.load_time.labels(served.model, served.number).observe(served.seconds)
        self._arrive(served, want)
        self._outcome.set()
        found = {"version": served.number, "runtime": served.runtime, "digest": served.digest}
        _log.info("live", seconds=round(served.seconds, 3), **{**_named(want), **found})

    def adopt(self, want: Target) -> None:
        """Take over a revision whose content is live already."""
        assert self._served is not None
        self._arrive(self._served, want)
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
        want = targets.wanted(snapshot) if self.is_live else targets.base(snapshot)
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
            "candidate": self._candidate_document(),
        }

    def _state(self) -> str:
        if self.draining:
            return "draining"
        if self._loading is not None:
            return "loading"
        if not self.is_live:
            return "waiting"
        return "serving" if self._failure is None else "failed"

    def _candidate_document(self) -> dict[str, Any] | None:
        """What is beside the live version, for one process."""
        return None

    def _live_document(self) -> dict[str, Any] | None:
        if self._served is None or not self.is_live:
            return None
        return {
            **_content_document(self._content),
            "revision": self._revision,
            "runtime": self._served.runtime,
            "since": self._since,
        }

    def _failing(self) -> str | None:
        failure = self._failure or self._invalid()
        return None if failure is None else str(failure["reason"])

    def _invalid(self) -> dict[str, Any] | None:
        if not self._snapshot.invalid:
            return None
        return _failure(-1, errors.TargetInvalid("; ".join(self._snapshot.invalid)))

    def _arrive(self, served: Served, want: Target) -> None:
        self._revision = want.revision
        found = self._content
        self._content = Content(found.version, want.content.path or found.path, found.digest, want.content.env)
        # What a move says to serve may be there, and its candidate have failed: that stands.
        settles = want.revision if want.candidate is None else want.revision - 1
        if self._failure is not None and self._failure["revision"] <= settles:
            self._failure = None
        self._metrics.live(
            {
                "model": served.model,
                "model_version": served.number,
                "digest": served.digest,
                "runtime": served.runtime,
                "revision": str(want.revision),
            }
        )


def _failure(revision: int, error: errors.LoadError) -> dict[str, Any]:
    return {
        "revision": revision,
        "reason": error.reason,
        "message": error.message,
        "expected": error.expected,
        "found": error.found,
        "since": _now(),
    }


def _now() -> str:
    """RFC 3339, UTC, with milliseconds."""
    return dt.datetime.now(dt.UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


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
