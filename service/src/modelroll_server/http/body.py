"""Bodies: read within limits of bytes and time, inflated, refused only after they were read.

A client that is answered while it still writes gets a reset connection instead of the answer; so what is too large is
discarded first, up to a point.
"""

import asyncio
import contextlib
import time
import zlib

from modelroll_server import errors
from modelroll_server.http.asgi import Receive, Scope, header

LIMIT = 8 * 2**20
READ_SECONDS = 10.0
DISCARD_BYTES = 64 * 2**20
DISCARD_SECONDS = 5.0

_JSON_TYPES = {"", "application/json", "application/octet-stream"}


class Disconnected(Exception):
    """The client went away while it was sending."""


async def read(scope: Scope, receive: Receive, limit: int = LIMIT) -> bytes:
    """The whole body, inflated.

    Raises:
        errors.PayloadTooLarge: more than `limit` bytes, as sent or inflated.
        errors.UnsupportedMediaType: a content type or encoding that is not read here.
        errors.InvalidRequest: not the gzip it says it is; or it did not arrive in time.
        Disconnected: the client went away.
    """
    try:
        data = await _collect(receive, limit)
    except TimeoutError as error:
        raise errors.InvalidRequest(f"the body did not arrive within {READ_SECONDS:.0f} seconds") from error
    _check_content_type(header(scope, b"content-type") or "")
    encoding = (header(scope, b"content-encoding") or "identity").strip().lower()
    if encoding in {"identity", ""}:
        return data
    if encoding in {"gzip", "x-gzip"}:
        return _inflate(data, limit)
    raise errors.UnsupportedMediaType(f"the Content-Encoding {encoding!r} is not read here; gzip is")


async def _collect(receive: Receive, limit: int) -> bytes:
    parts: list[bytes] = []
    size, more = 0, True
    async with asyncio.timeout(READ_SECONDS):
        while more and size <= limit:
            part, more = await _receive(receive)
            size += len(part)
            parts.append(part)
    if size > limit:
        parts.clear()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(DISCARD_SECONDS):
                while more and size <= DISCARD_BYTES:
                    part, more = await _receive(receive)
                    size += len(part)
        raise _too_large(limit)
    return parts[0] if len(parts) == 1 else b"".join(parts)


async def _receive(receive: Receive) -> tuple[bytes, bool]:
    """The next part, and whether another follows."""
    message = await receive()
    if message["type"] == "http.disconnect":
        raise Disconnected
    return message.get("body", b""), message.get("more_body", False)


def _too_large(limit: int) -> errors.PayloadTooLarge:
    return errors.PayloadTooLarge(f"the body has more than {limit // 2**20} MiB")


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


def deadline(scope: Scope, default: float = 10.0) -> float:
    """When the answer must be there, on the clock of `time.monotonic`: X-Request-Timeout-Ms from now, else 10 s.

    Raises:
        errors.InvalidRequest: the header is not a number of milliseconds.
    """
    text = header(scope, b"x-request-timeout-ms")
    if text is None:
        return time.monotonic() + default
    if not (text.isascii() and text.isdigit() and 0 < len(text) < 10):
        raise errors.InvalidRequest("X-Request-Timeout-Ms is not a whole number of milliseconds")
    return time.monotonic() + int(text) / 1000
