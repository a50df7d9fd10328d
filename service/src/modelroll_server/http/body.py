"""Bodies: read within limits of bytes and time, inflated, refused only after they were read.

A client that is answered while it still writes gets a reset connection instead of the answer; so what is too large is
discarded first, up to a point.
"""

import asyncio
import contextlib
import dataclasses
import time
import zlib
from typing import TypeVar

from modelroll_server import errors
from modelroll_server.http import wire
from modelroll_server.http.asgi import Heads, Message, Receive

LIMIT = 8 * 2**20
MAX_MEMORY = 256 * 2**20
READ_SECONDS = 10.0
DEFAULT_SECONDS = 10.0  # that an answer may take
DISCARD_BYTES = 64 * 2**20
DISCARD_SECONDS = 5.0

_JSON_TYPES = {"", "application/json", "application/octet-stream"}


T = TypeVar("T")


class Disconnected(Exception):
    """The client went away while it was sending, or before it was answered."""


@dataclasses.dataclass(slots=True)
class Memory:
    """What the bodies of all requests take, those being read and those being answered; their readers count."""

    bytes: int = 0


async def read(heads: Heads, receive: Receive, memory: Memory, limit: int = LIMIT) -> bytes:
    """The whole body, inflated.

    Args:
        heads: The request's headers.
        receive: As ASGI gives it.
        memory: What other bodies take; what this one takes is counted while it is read, and then its caller's to count.
        limit: Bytes, as sent or inflated.

    Raises:
        errors.PayloadTooLarge: more than `limit` bytes.
        errors.Overloaded: other bodies fill the memory that there is for them.
        errors.UnsupportedMediaType: a content type or encoding that is not read here.
        errors.InvalidRequest: not the gzip it says it is; or it did not arrive in time.
        Disconnected: the client went away.
    """
    if (cycle := wire.cycle(receive)) is not None and wire.is_whole(cycle):
        data = wire.take(cycle)
        wire.read_on(receive)
        return checked(heads, data, limit)
    try:
        async with asyncio.timeout(READ_SECONDS) as timeout:
            data, more = _piece(await receive())
        if more:
            data = await _rest(data, receive, memory, limit, timeout.when())
    except TimeoutError as error:
        raise errors.InvalidRequest(f"the body did not arrive within {READ_SECONDS:.0f} seconds") from error
    wire.read_on(receive)
    return checked(heads, data, limit)


def checked(heads: Heads, data: bytes, limit: int = LIMIT) -> bytes:
    """A whole body as it was sent: of a type and size that is read here, inflated; errors as of `read`."""
    if len(data) > limit:
        raise _too_large(limit)
    content_type = heads.get(b"content-type")
    if content_type is not None and content_type != b"application/json":
        _check_content_type(content_type.decode("latin-1"))
    encoding = heads.get(b"content-encoding")
    return data if encoding is None else _decoded(data, encoding.decode("latin-1").strip().lower(), limit)


async def _rest(first: bytes, receive: Receive, memory: Memory, limit: int, until: float | None) -> bytes:
    parts = [first]
    size, more = len(first), True
    memory.bytes += size
    try:
        async with asyncio.timeout_at(until):
            while more and size <= limit and memory.bytes <= MAX_MEMORY:
                part, more = _piece(await receive())
                parts.append(part)
                size += len(part)
                memory.bytes += len(part)
        full = memory.bytes > MAX_MEMORY
    finally:
        memory.bytes -= size
    if size <= limit and not full:
        return b"".join(parts)
    parts.clear()
    if more:
        await discard(receive, max(DISCARD_BYTES, 2 * limit) - size)
    raise _too_large(limit) if size > limit else errors.Overloaded("the bodies of other requests fill the memory")


async def discard(receive: Receive, size: int = DISCARD_BYTES) -> bool:
    """Read on, up to a point, and keep nothing; say whether that was all.

    Who is answered while it writes is reset, and does not see the answer.
    """
    more = True
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(DISCARD_SECONDS):
            while more and size > 0:
                part, more = _piece(await receive())
                size -= len(part)
    return not more


def _piece(message: Message) -> tuple[bytes, bool]:
    """The bytes of a message, and whether another follows."""
    if message["type"] == "http.disconnect":
        raise Disconnected
    return message.get("body", b""), message.get("more_body", False)


def _too_large(limit: int) -> errors.PayloadTooLarge:
    return errors.PayloadTooLarge(f"the body has more than {limit // 2**20} MiB")


def _decoded(data: bytes, encoding: str, limit: int) -> bytes:
    if encoding in {"identity", ""}:
        return data
    if encoding in {"gzip", "x-gzip"}:
        return _inflate(data, limit)
    raise errors.UnsupportedMediaType(f"the Content-Encoding {encoding!r} is not read here; gzip is")


def _check_content_type(content_type: str) -> None:
    essence = content_type.partition(";")[0].strip().lower()
    if essence not in _JSON_TYPES and not (essence.startswith("application/") and essence.endswith("+json")):
        raise errors.UnsupportedMediaType(f"the Content-Type {essence!r} is not read here; application/json is")


def _inflate(data: bytes, limit: int) -> bytes:
    inflater = zlib.decompressobj(wbits=31)
    try:
        inflated = inflater.decompress(data, limit + 1)
    except zlib.error as error:
        raise errors.InvalidRequest("the body is not the gzip that its Content-Encoding says") from error
    if len(inflated) > limit:
        raise _too_large(limit)
    if not inflater.eof or inflater.unused_data:
        raise errors.InvalidRequest("the gzip body is cut off, or has something after its end")
    return inflated


def deadline(heads: Heads, default: float = DEFAULT_SECONDS) -> float:
    """When the answer must be there, on the clock of `time.monotonic`.

    X-Request-Timeout-Ms from now, else `default` seconds.

    Raises:
        errors.InvalidRequest: the header is not a number of milliseconds.
    """
    value = heads.get(b"x-request-timeout-ms")
    if value is None:
        return time.monotonic() + default
    text = value.decode("latin-1")
    if not (text.isascii() and text.isdigit() and 0 < len(text) < 10):
        raise errors.InvalidRequest("X-Request-Timeout-Ms is not a whole number of milliseconds")
    return time.monotonic() + int(text) / 1000


async def answered(receive: Receive, answers: asyncio.Future[T]) -> T:
    """What comes of it; nothing is computed for a client that goes.

    Raises:
        Disconnected: it went.
    """
    wire.give_up_with(receive, answers)
    try:
        return await answers
    except asyncio.CancelledError:
        if answers.cancelled() and wire.is_gone(receive):
            raise Disconnected from None
        raise
