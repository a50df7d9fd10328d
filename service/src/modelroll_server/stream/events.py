"""What goes in and what comes out, apart from any broker: events, messages, and how far behind a group is."""

import dataclasses
from collections.abc import Mapping

LONGEST_ID = 200  # characters


@dataclasses.dataclass(frozen=True, slots=True)
class Event:
    """One event as it was read.

    Attributes:
        id: What its producer called it, or else its place.
        place: Where the broker has it, such as `sensors/1767225600000-0`; no two have the same.
        payload: A JSON row, as of `POST /predict`.
        deliveries: How often it was given to a consumer, this time included; 1 where the broker does not count.
        wrong: Why there is no payload; None where there is one.
    """

    id: str
    place: str
    payload: bytes
    deliveries: int = 1
    wrong: str | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Message:
    """What is sent for one event.

    Attributes:
        event: That one.
        is_dead: Whether it is a dead letter: the payload as it came, and why it got no answer.
        payload: Its body.
        headers: Printable ASCII text, without line breaks.
    """

    event: Event
    is_dead: bool
    payload: bytes
    headers: Mapping[str, str]

    def without_payload(self, why: str) -> "Message":
        """The same for a broker that takes no message so large: its place says where the payload still is."""
        return dataclasses.replace(self, payload=b"", headers={**self.headers, "payload": printable(why)})


@dataclasses.dataclass(frozen=True, slots=True)
class Backlog:
    """How far behind a group is; of Kafka's topics, what this consumer has been assigned.

    Attributes:
        waiting: Events that nobody was given yet; None where the broker does not know, as Redis before version 7, or
            where events were deleted that nobody had read.
        pending: Events that a consumer was given and has not settled.
    """

    waiting: int | None
    pending: int


class NotConsuming(Exception):
    """Nothing is read any more, and only a new start helps; the message says why."""


def identity(given: bytes | str | None, place: str) -> str:
    """The id of an event: what its producer gave it, as far as that is printable and not too long, or its place."""
    text = given.decode(errors="replace") if isinstance(given, bytes) else given or ""
    return "".join(one if one.isprintable() else "?" for one in text[:LONGEST_ID]).strip() or place


def printable(text: str) -> str:
    """A text as a header of any broker takes it: ASCII, the rest escaped, in one line."""
    one_line = " ".join(text.split())
    return "".join(one if " " <= one <= "~" else one.encode("unicode_escape").decode() for one in one_line)
