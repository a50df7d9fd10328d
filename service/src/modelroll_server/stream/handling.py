"""From events to messages, over the one path: each event is one row, and those that come together are one batch.

Owns whose a fault is. The event's own makes a dead letter. One that passes (a full queue, no model yet) is waited for:
nobody waits for the answer to an event, and none may be lost. Knows no broker.
"""

import asyncio
import time
from collections.abc import Sequence

import msgspec
import structlog

from modelroll_server import encoding, errors
from modelroll_server.inference import Inference
from modelroll_server.pipeline import Begun
from modelroll_server.registry.registry import Registry
from modelroll_server.registry.version import Version
from modelroll_server.stream import counts as outcomes
from modelroll_server.stream.counts import StreamCounts
from modelroll_server.stream.events import Event, Message, printable
from modelroll_server.telemetry.metrics import Metrics
from modelroll_server.tensors import Answers

SECONDS = 30.0  # that one attempt may take
FIRST_PAUSE, LONGEST_PAUSE = 0.05, 5.0  # seconds between attempts
TOO_MANY_DELIVERIES = "too_many_deliveries"
PASSING = (errors.Overloaded, errors.DeadlineExceeded, errors.NotReady)

_INTERNAL = "the server failed on this event; its log has the reason"
_log = structlog.get_logger(__name__)


class Handled:
    """Events with what is to be sent for them.

    Attributes:
        messages: One for each event, in their order.
    """

    def __init__(self, messages: Sequence[Message], began: float, counts: StreamCounts) -> None:
        self.messages = messages
        self._began = began
        self._counts = counts

    def settled(self) -> None:
        """Count them: the broker has the messages, and will not give the events to anybody again."""
        seconds = time.monotonic() - self._began
        for message in self.messages:
            self._counts.events.labels(message.headers["reason"] if message.is_dead else outcomes.ANSWERED).value += 1
            self._counts.seconds.labels().observe(seconds)


class Handler:
    """Answers events by whatever is live."""

    def __init__(
        self,
        registry: Registry,
        inference: Inference,
        metrics: Metrics,
        counts: StreamCounts,
        *,
        most_bytes: int,
        most_deliveries: int,
    ) -> None:
        """A handler.

        Args:
            registry: What is live.
            inference: What predicts.
            metrics: Where rows are counted, as those of any transport.
            counts: Where events are counted.
            most_bytes: The largest payload that is looked into.
            most_deliveries: How often an event is tried before it is taken for what kills consumers.
        """
        self._registry = registry
        self._inference = inference
        self._metrics = metrics
        self._counts = counts
        self._most_bytes = most_bytes
        self._most_deliveries = most_deliveries

    async def handle(self, events: Sequence[Event]) -> Handled:
        """What is to be sent for each event. Takes as long as it takes; cancelling it computes nothing further."""
        began = time.monotonic()
        self._counts.redelivered += sum(event.deliveries > 1 for event in events)
        messages: dict[int, Message] = {}
        for index, event in enumerate(events):
            if (refusal := self._refusal(event)) is not None:
                messages[index] = _dead(event, *refusal)
        waiting = [index for index in range(len(events)) if index not in messages]
        pause = FIRST_PAUSE
        while waiting:
            found = await self._attempt([events[index] for index in waiting])
            messages.update((index, one) for index, one in zip(waiting, found, strict=True) if one is not None)
            waiting = [index for index in waiting if index not in messages]
            if waiting:
                self._counts.retried += len(waiting)
                await asyncio.sleep(pause)
                pause = min(2 * pause, LONGEST_PAUSE)
        return Handled([messages[index] for index in range(len(events))], began, self._counts)

    async def _attempt(self, events: Sequence[Event]) -> list[Message | None]:
        """A message for each, or None where it is to be tried again."""
        self._metrics.in_flight += len(events)
        begun: list[Begun] = []
        try:
            for event in events:  # without a turn of the loop in between: they join one batch
                begun.append(await self._begin(event))  # noqa: PERF401 - what began is let go of below
            running = [one.answers for one in begun if one.answers is not None]
            if running:
                await asyncio.wait(running)
        finally:
            self._metrics.in_flight -= len(events)
            for one in begun:
                if one.answers is not None:
                    one.answers.cancel()
        return [self._message(event, one) for event, one in zip(events, begun, strict=True)]

    async def _begin(self, event: Event) -> Begun:
        begun = Begun(time.monotonic())
        deadline = begun.began + SECONDS
        try:
            version = begun.version = self._registry.live or await self._inference.version(deadline)
            begun.answers = self._inference.predict(version, [version.json.row(event.payload)], deadline)
        except errors.RequestError as error:
            begun.error = error
        except Exception:  # noqa: BLE001 - logged; the event is kept as a dead letter, and the others get their answers
            _log.exception("an event failed", place=event.place)
        return begun

    def _refusal(self, event: Event) -> tuple[str, str] | None:
        """Why it is not looked into: the code and the sentence of its dead letter."""
        if event.wrong is not None:
            return errors.InvalidRequest.code, event.wrong
        if (size := len(event.payload)) > self._most_bytes:
            return errors.PayloadTooLarge.code, f"the event has {size} bytes; {self._most_bytes} are looked into"
        if (before := event.deliveries - 1) >= self._most_deliveries:
            return TOO_MANY_DELIVERIES, f"it was given to {before} consumers, none of which lived to settle it"
        return None

    def _message(self, event: Event, begun: Begun) -> Message | None:
        found, version = begun.result(), begun.version
        if isinstance(found, PASSING):
            return None
        if isinstance(found, Answers):
            assert version is not None
            if lost := found.lost():
                self._metrics.non_finite.labels(version.model, version.number).inc(lost)
            self._count(begun, version, 200)
            headers = {"id": printable(event.id), "model-version": version.number}
            return Message(event, False, _identified(event, found, version), headers)
        self._count(begun, version, 500 if found is None or isinstance(found, errors.InferenceFailed) else 400)
        more = {} if version is None else {"model-version": version.number}
        if found is None:
            return _dead(event, "internal", _INTERNAL, **more)
        if found.field is not None:
            more["field"] = found.field
        return _dead(event, found.code, found.message, **more)

    def _count(self, begun: Begun, version: Version | None, status: int) -> None:
        model, number = (self._registry.model, "") if version is None else (version.model, version.number)
        of_version = self._metrics.of_version(model, number)
        of_version.count(status)
        of_version.latency.observe(time.monotonic() - begun.began)


def _dead(event: Event, code: str, said: str, **more: str) -> Message:
    headers = {"id": event.id, "reason": code, "message": said, "source": event.place, **more}
    _log.debug("dead letter", **headers)
    return Message(event, True, event.payload, {name: printable(value) for name, value in headers.items()})


def _identified(event: Event, answers: Answers, version: Version) -> bytes:
    """The body of `/predict` with the event's id before it."""
    return b'{"id":' + msgspec.json.encode(event.id) + b"," + encoding.one(answers, version)[1:]
