"""What a parent and its workers say to each other, and the channel that carries it.

Owns the messages and their framing: four bytes of length, big-endian, then MessagePack. Decides nothing.
"""

import asyncio
import contextlib
import struct
from collections.abc import Iterable
from typing import Any, TypeVar

import msgspec

from modelroll_server import errors
from modelroll_server.drift.window import Sample
from modelroll_server.registry.record import Served
from modelroll_server.registry.target import Content, Snapshot, Target

# --- From the parent -------------------------------------------------------------------------------------------------


class See(msgspec.Struct, tag=True):
    """What there is to serve, as it was read."""

    snapshot: Snapshot


class Begin(msgspec.Struct, tag=True):
    """The parent begins to have a version loaded."""

    want: Target


class Load(msgspec.Struct, tag=True):
    """Load a candidate; answered by `Loaded` or `Failed`."""

    want: Target
    baseline: Content | None


class Swap(msgspec.Struct, tag=True):
    """Make the candidate live; answered by `Swapped`."""

    want: Target


class Drop(msgspec.Struct, tag=True):
    """Forget the candidate."""


class Adopt(msgspec.Struct, tag=True):
    """What is live is wanted at another revision."""

    want: Target


class Refuse(msgspec.Struct, tag=True):
    """What was wanted failed, here or in another worker."""

    want: Target
    failure: "Failed"
    for_good: bool


class Guard(msgspec.Struct, tag=True):
    """What this server shows of itself, as PEM: its certificate, the key, who signs those of clients. None in clear."""

    chain: bytes | None
    key: bytes | None
    client_ca: bytes | None

    def __repr__(self) -> str:
        """Without the key."""
        return "Guard(...)"


class Accept(msgspec.Struct, tag=True):
    """Take connections from now on."""


class Drain(msgspec.Struct, tag=True):
    """Tell clients to close their connections."""


class Leave(msgspec.Struct, tag=True):
    """Stop accepting, leave idle connections to their clients for `patience` seconds, finish and end."""

    patience: float


class Told(msgspec.Struct, tag=True):
    """What all workers were asked lately, for one that is `Watched`: a document of `Traffic`."""

    numbers: dict[str, Any]


# --- From a worker ---------------------------------------------------------------------------------------------------


class Hello(msgspec.Struct, tag=True):
    """The process has started."""


class Loaded(msgspec.Struct, tag=True):
    """The candidate passed its gates."""

    served: Served


class Failed(msgspec.Struct, tag=True):
    """The candidate may not answer."""

    reason: str
    message: str
    expected: Any
    found: Any

    @classmethod
    def of(cls, error: errors.LoadError) -> "Failed":
        """The error as a message."""
        return cls(error.reason, error.message, error.expected, error.found)

    def error(self) -> errors.LoadError:
        """The message as an error of the class that it was."""
        return errors.load_error(self.reason, self.message, expected=self.expected, found=self.found)


class Swapped(msgspec.Struct, tag=True):
    """The candidate is live."""


class Asked(msgspec.Struct, tag=True):
    """A request came while nothing is loaded yet."""


class Watched(msgspec.Struct, tag=True):
    """Somebody looks at the page of this worker; answered by `Told`, if by anything."""


class Family(msgspec.Struct, array_like=True):
    """One metric: every sample has its own name, labels and value."""

    name: str
    kind: str
    documentation: str
    samples: list[tuple[str, dict[str, str], float]]


class Report(msgspec.Struct, tag=True):
    """How a worker is: sent every second, and before it ends.

    Attributes:
        requests: Seen by this process.
        resident: Its memory, in bytes.
        families: Its metrics.
    """

    requests: int
    resident: int
    families: list[Family]


Order = Guard | See | Begin | Load | Swap | Drop | Adopt | Refuse | Accept | Drain | Leave | Told
Answer = Hello | Loaded | Failed | Swapped | Asked | Report | Watched | Sample

_LENGTH = struct.Struct(">I")
_ENCODER = msgspec.msgpack.Encoder()
_ORDERS: msgspec.msgpack.Decoder[Order] = msgspec.msgpack.Decoder(Order)
_ANSWERS: msgspec.msgpack.Decoder[Answer] = msgspec.msgpack.Decoder(Answer)

M = TypeVar("M")


class Channel:
    """One end of the connection between a parent and a worker."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    def send(self, *messages: Order | Answer) -> None:
        """Send, in order; to somebody who has ended it is sent into the void."""
        if not self._writer.is_closing():
            self._writer.writelines(_frames(messages))

    async def sent(self) -> None:
        """Wait until the other end has taken most of what was sent."""
        await self._writer.drain()

    async def order(self) -> Order | None:
        """The next message of the parent; None when it has ended."""
        return await self._next(_ORDERS)

    async def answer(self) -> Answer | None:
        """The next message of the worker; None when it has ended."""
        return await self._next(_ANSWERS)

    async def close(self) -> None:
        """Send what is still to be sent, and close this end."""
        self._writer.close()
        with contextlib.suppress(OSError):
            await self._writer.wait_closed()

    async def _next(self, decoder: "msgspec.msgpack.Decoder[M]") -> M | None:
        try:
            (length,) = _LENGTH.unpack(await self._reader.readexactly(_LENGTH.size))
            return decoder.decode(await self._reader.readexactly(length))
        except (asyncio.IncompleteReadError, OSError):
            return None


def _frames(messages: Iterable[Order | Answer]) -> Iterable[bytes]:
    for message in messages:
        body = _ENCODER.encode(message)
        yield _LENGTH.pack(len(body))
        yield body
